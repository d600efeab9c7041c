/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting the guard and listening to it, to the program's output, and to its socket, by one poll.
 *
 * posix_spawn starts the guard, since this process has threads and much memory. The guard reports
 * when nothing runs any more, so the end of a trainer is the report and not a signal, and no other
 * part's children are waited for by mistake.
 */
#include "command_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "buf.h"
#include "clock.h"
#include "command_guard.h"
#include "ending.h"
#include "json.h"
#include "le.h"

enum {
    MOST_ARGUMENTS = 256,
    /* A program that is told by the end of its socket: what a framework takes to unload. */
    FAREWELL_MS = 2000,
    /* The guard needs to send signals and collect: longer is a process that the kernel cannot end.
     * */
    GUARD_MS = 10000,
    LENGTH_SIZE = 4,
    LAST_READS =
        64, /* more than a pipe holds: who still writes has escaped a guard that was killed */
};

static void close_if(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
    }
    *fd = -1;
}

/* ---- starting ---- */

/* Both ends of what connects the program with this process; ours[i] belongs to theirs[i]. */
struct wiring {
    int ours[COMMAND_GUARD_FDS], theirs[COMMAND_GUARD_FDS];
};

static void unwire(struct wiring *w)
{
    for (int i = 0; i < COMMAND_GUARD_FDS; i++) {
        close_if(&w->ours[i]);
        close_if(&w->theirs[i]);
    }
}

/* Above the numbers that the guard's become: so no dup2 closes what a later one needs. */
static bool move_up(int *fd)
{
    const int up = fcntl(*fd, F_DUPFD_CLOEXEC, COMMAND_GUARD_FDS);
    (void)close(*fd);
    *fd = up;
    return up >= 0;
}

static bool wire(struct wiring *w, bool keep)
{
    bool good = true;
    for (int i = 0; i < COMMAND_GUARD_FDS && good; i++) {
        int ends[2];
        if (i == COMMAND_GUARD_SOCKET) {
            good = !keep || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0;
        } else {
            good = pipe2(ends, O_CLOEXEC) == 0;
        }
        if (good && (i != COMMAND_GUARD_SOCKET || keep)) {
            const bool ours_writes = i == COMMAND_GUARD_LIFELINE;
            w->ours[i] = ends[ours_writes ? 1 : 0];
            w->theirs[i] = ends[ours_writes ? 0 : 1];
            good = move_up(&w->theirs[i]) && fcntl(w->ours[i], F_SETFL, O_NONBLOCK) == 0;
        }
    }
    return good;
}

static int spawn(const struct command_start *start, const struct wiring *w, pid_t *pid)
{
    char memory[24];
    char *argv[MOST_ARGUMENTS + 8] = {(char[]){"cairn"}, (char[]){COMMAND_GUARD_WORD}, memory};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t set;
    int n = 3, error = 0;

    (void)snprintf(memory, sizeof memory, "%llu", (unsigned long long)start->memory_bytes);
    argv[n++] =
        (char *)(uintptr_t)start->work_dir; /* exec does not write: C has no way to say so */
    argv[n++] = start->keep ? (char[]){"keep"} : (char[]){"once"};
    for (int i = 0; start->command[i] != NULL; i++) {
        if (i == MOST_ARGUMENTS) {
            return E2BIG;
        }
        argv[n++] = start->command[i];
    }
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawnattr_init(&attributes);
    for (int i = 0; i < COMMAND_GUARD_FDS && error == 0; i++) {
        if (w->theirs[i] >= 0) {
            error = posix_spawn_file_actions_adddup2(&actions, w->theirs[i], i);
        }
    }
    sigemptyset(&set);
    (void)posix_spawnattr_setsigmask(&attributes, &set);
    sigfillset(&set);
    (void)posix_spawnattr_setsigdefault(&attributes, &set);
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
                                                    POSIX_SPAWN_SETSIGDEF);
    if (error == 0) {
        error = posix_spawn(pid, start->guard, &actions, &attributes, argv, start->environment);
    }
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&actions);
    return error;
}

int command_process_start(struct command_process *p, const struct command_start *start,
                          struct cairn_problem *why)
{
    struct wiring w;
    pid_t pid = 0;
    for (int i = 0; i < COMMAND_GUARD_FDS; i++) {
        w.ours[i] = w.theirs[i] = -1;
    }
    int error = wire(&w, start->keep) ? spawn(start, &w, &pid) : errno;
    if (error != 0) {
        unwire(&w);
        return problem_set(why, CAIRN_ERR_ENVIRONMENT,
                           "see ulimit -n (files), ulimit -u (processes) and the free memory",
                           "the trainer cannot be started: %s", strerror(error));
    }
    *p = (struct command_process){.guard = pid,
                                  .lifeline = w.ours[COMMAND_GUARD_LIFELINE],
                                  .report = w.ours[COMMAND_GUARD_REPORT],
                                  .errors = w.ours[COMMAND_GUARD_ERRORS],
                                  .output = w.ours[COMMAND_GUARD_OUTPUT],
                                  .socket = w.ours[COMMAND_GUARD_SOCKET],
                                  .line = start->line,
                                  .ctx = start->ctx};
    for (int i = 0; i < COMMAND_GUARD_FDS; i++) {
        close_if(&w.theirs[i]);
    }
    return 0;
}

/* ---- what it writes ---- */

static void take_output(struct command_process *p, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] == '\n') {
            p->partial[p->n_partial] = '\0';
            if (p->n_partial > 0) {
                p->line(p->ctx, p->partial);
            }
            p->n_partial = 0;
        } else if (p->n_partial < sizeof p->partial - 1 && bytes[i] != '\0') {
            p->partial[p->n_partial++] = bytes[i];
        }
    }
}

static void take_errors(struct command_process *p, const char *bytes, size_t n)
{
    if (n > sizeof p->tail) {
        bytes += n - sizeof p->tail;
        n = sizeof p->tail;
    }
    if (p->n_tail + n > sizeof p->tail) {
        const size_t keep = sizeof p->tail - n;
        memmove(p->tail, p->tail + (p->n_tail - keep), keep);
        p->n_tail = keep;
    }
    memcpy(p->tail + p->n_tail, bytes, n);
    p->n_tail += n;
}

/* One read from each of the two. @return did anything come? */
static bool listen_once(struct command_process *p)
{
    char bytes[8192];
    bool any = false;
    for (int k = 0; k < 2; k++) {
        int *fd = k == 0 ? &p->output : &p->errors;
        const ssize_t got = *fd < 0 ? -1 : read(*fd, bytes, sizeof bytes);
        if (got > 0) {
            (k == 0 ? take_output : take_errors)(p, bytes, (size_t)got);
            any = true;
        } else if (*fd >= 0 && (got == 0 || (errno != EAGAIN && errno != EINTR))) {
            close_if(fd); /* its end */
        }
    }
    return any;
}

/* ---- messages ---- */

/* Bytes that the message under way still needs; 0 = it is whole. SIZE_MAX: it is none. */
static size_t message_needs(const struct command_process *p)
{
    if (p->n_message < LENGTH_SIZE) {
        return LENGTH_SIZE - p->n_message;
    }
    const uint32_t length = le_get32(p->message);
    return length > COMMAND_MESSAGE_MOST ? SIZE_MAX : LENGTH_SIZE + length - p->n_message;
}

static bool make_room(struct command_process *p)
{
    if (p->message == NULL) {
        p->message = malloc(LENGTH_SIZE + COMMAND_MESSAGE_MOST);
    }
    return p->message != NULL;
}

static bool parse_message(struct command_process *p, json_t **message)
{
    const struct span text = {p->message + LENGTH_SIZE, p->n_message - LENGTH_SIZE};
    p->n_message = 0;
    *message = json_parse(text, "a message", NULL);
    if (!json_is_object(*message)) {
        json_decref(*message);
        *message = NULL;
    }
    return *message != NULL;
}

/* What the socket has. @return COMMAND_MESSAGE, COMMAND_NONSENSE, or COMMAND_LATE: nothing whole
 * yet */
static enum command_event read_socket(struct command_process *p, json_t **message)
{
    if (!make_room(p)) {
        return COMMAND_NONSENSE;
    }
    for (;;) {
        const size_t needs = message_needs(p);
        if (needs == 0) {
            return parse_message(p, message) ? COMMAND_MESSAGE : COMMAND_NONSENSE;
        }
        if (needs == SIZE_MAX) {
            return COMMAND_NONSENSE;
        }
        const ssize_t got = recv(p->socket, p->message + p->n_message, needs, MSG_DONTWAIT);
        if (got > 0) {
            p->n_message += (size_t)got;
        } else if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
            return COMMAND_LATE;
        } else {
            close_if(&p->socket); /* its program ends, or will be ended at the deadline */
            return COMMAND_LATE;
        }
    }
}

int command_process_send(struct command_process *p, const json_t *message,
                         struct cairn_problem *why)
{
    struct buf bytes = {0};
    uint8_t length[LENGTH_SIZE] = {0};
    int err = buf_append(&bytes, length, sizeof length);
    if (err == 0) {
        err = json_append(&bytes, message, 0);
    }
    if (err != 0) {
        buf_release(&bytes);
        return problem_set(why, err, NULL, "no memory for a message to the trainer");
    }
    le_put32(bytes.data, (uint32_t)(bytes.size - LENGTH_SIZE));
    /* whoever has taken the message before has left room for a few of them */
    const ssize_t sent =
        p->socket < 0 ? -1 : send(p->socket, bytes.data, bytes.size, MSG_DONTWAIT | MSG_NOSIGNAL);
    const bool whole = sent == (ssize_t)bytes.size;
    buf_release(&bytes);
    return whole ? 0
                 : problem_set(why, CAIRN_ERR_TRAINER,
                               "read descriptor 3, or set train.keep to false",
                               "the trainer does not read its messages");
}

/* ---- waiting ---- */

/* The guard's last word, or its end without one. @return has it ended? */
static bool read_report(struct command_process *p)
{
    struct command_guard_report report;
    const ssize_t got = p->report < 0 ? 0 : read(p->report, &report, sizeof report);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return false;
    }
    if (got == (ssize_t)sizeof report) {
        p->status = report.status;
        p->left = report.left;
    } else {
        p->status = SIGKILL; /* the guard was killed, and its program with it */
    }
    return true;
}

static void collect(struct command_process *p)
{
    while (waitpid(p->guard, NULL, 0) < 0 && errno == EINTR) {
    }
    p->guard = 0;
    for (int i = 0; i < LAST_READS && listen_once(p); i++) {
    }
    take_output(p, "\n", 1); /* a last line without an end */
    close_if(&p->lifeline);
    close_if(&p->report);
    close_if(&p->output);
    close_if(&p->errors);
    close_if(&p->socket);
    free(p->message);
    p->message = NULL;
    p->n_message = 0;
}

/* Milliseconds for poll(2), rounded up, at most an hour. */
static int poll_ms(uint64_t deadline_ns)
{
    enum { HOUR_MS = 3600000 };
    const uint64_t now = clock_now_ns(&clock_system);
    if (deadline_ns <= now) {
        return 0;
    }
    const uint64_t ms = (deadline_ns - now - 1) / 1000000 + 1;
    return ms < HOUR_MS ? (int)ms : HOUR_MS;
}

enum command_event command_process_wait(struct command_process *p, uint64_t deadline_ns,
                                        json_t **message)
{
    *message = NULL;
    for (;;) {
        if (p->guard == 0) {
            return COMMAND_ENDED;
        }
        if (clock_now_ns(&clock_system) >= deadline_ns) {
            return COMMAND_LATE;
        }
        struct pollfd fds[] = {{.fd = p->report, .events = POLLIN},
                               {.fd = p->output, .events = POLLIN},
                               {.fd = p->errors, .events = POLLIN},
                               {.fd = p->socket, .events = POLLIN}};
        const int n = poll(fds, sizeof fds / sizeof fds[0], poll_ms(deadline_ns));
        if (n < 0) { /* by a signal; others only ask how it goes */
            if (ending_signal != 0) {
                return COMMAND_INTERRUPTED;
            }
            continue;
        }
        (void)listen_once(p);
        const enum command_event event =
            fds[3].revents != 0 ? read_socket(p, message) : COMMAND_LATE;
        if (event != COMMAND_LATE) {
            return event;
        }
        if (fds[0].revents != 0 && read_report(p)) {
            collect(p);
            return COMMAND_ENDED;
        }
    }
}

bool command_process_ended(struct command_process *p)
{
    if (p->guard != 0 && read_report(p)) {
        collect(p);
    }
    return p->guard == 0;
}

/* @return has the guard reported in time? What a kept program still says is of no use. */
static bool wait_for_end(struct command_process *p, unsigned ms)
{
    const uint64_t until = clock_now_ns(&clock_system) + (uint64_t)ms * 1000000;
    for (;;) {
        json_t *message = NULL;
        const enum command_event event = command_process_wait(p, until, &message);
        json_decref(message);
        if (event == COMMAND_ENDED || event == COMMAND_LATE) {
            return event == COMMAND_ENDED;
        }
        if (event == COMMAND_NONSENSE) {
            close_if(&p->socket);
        }
    }
}

void command_process_stop(struct command_process *p)
{
    if (p->guard == 0) {
        return;
    }
    if (p->socket >= 0) {
        close_if(&p->socket);
        if (wait_for_end(p, FAREWELL_MS)) {
            return;
        }
    }
    close_if(&p->lifeline);
    if (!wait_for_end(p, GUARD_MS)) {
        (void)kill(p->guard, SIGKILL);
        p->status = SIGKILL;
        collect(p);
    }
}

/* ---- in words ---- */

void command_process_fate(const struct command_process *p, char *text, size_t size)
{
    if (WIFSIGNALED(p->status)) {
        const char *name = sigdescr_np(WTERMSIG(p->status));
        (void)snprintf(text, size, "was ended by signal %d (%s)", WTERMSIG(p->status),
                       name == NULL ? "unknown" : name);
    } else {
        (void)snprintf(text, size, "ended with exit status %d", WEXITSTATUS(p->status));
    }
}

void command_process_last_words(const struct command_process *p, char *text, size_t size)
{
    size_t end = p->n_tail;
    while (end > 0 && (p->tail[end - 1] == '\n' || p->tail[end - 1] == ' ')) {
        end--;
    }
    size_t at = end > size - 1 ? end - (size - 1) : 0;
    if (at > 0) { /* from the beginning of a line, where that leaves something */
        const char *line = memchr(p->tail + at, '\n', end - at);
        at = line == NULL ? at : (size_t)(line - p->tail) + 1;
    }
    for (size_t i = at; i < end; i++) {
        const unsigned char c = (unsigned char)p->tail[i];
        text[i - at] = c == '\n' ? '|' : c < ' ' || c == 0x7F ? ' ' : (char)c;
    }
    text[end - at] = '\0';
}
