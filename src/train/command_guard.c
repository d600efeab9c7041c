/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guard of a trainer's program, in a process of its own so that nothing of a trainer can
 * outlive its node, whatever happens to either:
 *
 *   - it is a subreaper, so whatever the program starts, also in a session of its own or orphaned,
 *     is in the end a child of the guard, which ends and collects children until there are none;
 *   - it reads from a pipe whose other end the node holds: a node that dies in any way closes it;
 *   - the program asks the kernel to be killed when the guard dies.
 *
 * It is a fresh program, not a fork of the node, so that it shares none of the node's memory and
 * keys. Libraries may have started threads in it: between fork and exec only calls that are safe
 * there are made.
 */
#include "command_guard.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"

enum {
    /* Enough for a data loader with many workers; a leak of descriptors ends before the machine's
     * do. */
    MOST_FILES = 4096,
    /* What helpers of a program (a resource tracker, a pool of workers) take to notice that it has
     * ended. */
    GRACE_MS = 1000,
    /* As a shell has it. */
    EXIT_NOT_STARTED = 127,
};

struct guard {
    rlim_t memory; /* 0 = no limit */
    const char *work_dir;
    bool keep;
    char *const *command;
    pid_t program;
};

/* ---- between fork and exec ---- */

static void limit(__rlimit_resource_t resource, rlim_t most)
{
    struct rlimit now;
    if (getrlimit(resource, &now) == 0) {
        const rlim_t wanted =
            now.rlim_max == RLIM_INFINITY || now.rlim_max > most ? most : now.rlim_max;
        now = (struct rlimit){wanted, wanted};
        (void)setrlimit(resource, &now);
    }
}

_Noreturn static void cannot_start(const char *what)
{
    const char *const words[] = {"cannot start ", what, ": ", strerrordesc_np(errno), "\n"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        const ssize_t ignored = write(STDERR_FILENO, words[i], strlen(words[i]));
        (void)ignored;
    }
    _exit(EXIT_NOT_STARTED);
}

static void reset_signals(void)
{
    sigset_t none;
    for (int number = 1; number < NSIG; number++) {
        (void)signal(number, SIG_DFL); /* fails for those that cannot be caught */
    }
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

_Noreturn static void become_program(const struct guard *g, pid_t guard)
{
    (void)setsid();
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != guard) {
        _exit(EXIT_NOT_STARTED); /* the guard died before the line above */
    }
    reset_signals();
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_NOFILE, MOST_FILES);
    if (g->memory > 0) {
        limit(RLIMIT_AS, g->memory);
    }
    const int nothing = open("/dev/null", O_RDONLY);
    if (nothing < 0 || dup2(nothing, STDIN_FILENO) < 0 ||
        dup2(COMMAND_GUARD_OUTPUT, STDOUT_FILENO) < 0 ||
        dup2(g->keep ? COMMAND_GUARD_SOCKET : nothing, COMMAND_SOCKET) < 0) {
        cannot_start("a program");
    }
    (void)close_range(g->keep ? COMMAND_SOCKET + 1 : COMMAND_SOCKET, ~0U, 0);
    if (chdir(g->work_dir) != 0) {
        cannot_start(g->work_dir);
    }
    (void)execvp(g->command[0], g->command);
    cannot_start(g->command[0]);
}

/* ---- ending everything ---- */

/* The parent of a process as /proc has it; 0 when it is gone. */
static pid_t parent_of(const char *pid)
{
    char path[64], text[512];
    (void)snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0) {
        (void)close(fd);
    }
    if (got <= 0) {
        return 0;
    }
    text[got] = '\0';
    const char *behind_name = strrchr(text, ')'); /* ") S ppid": a name may hold anything */
    return behind_name == NULL || strlen(behind_name) < 5
               ? 0
               : (pid_t)strtol(behind_name + 4, NULL, 10);
}

/* Some child of this process; 0 when there is none. All of them get that signal; 0: none. */
static pid_t find_child(int number)
{
    DIR *folder = opendir("/proc");
    pid_t found = 0;
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
        if (entry->d_name[0] < '0' || entry->d_name[0] > '9' ||
            parent_of(entry->d_name) != getpid()) {
            continue;
        }
        found = (pid_t)strtol(entry->d_name, NULL, 10);
        if (number == 0) {
            break;
        }
        (void)kill(found, number);
    }
    if (folder != NULL) {
        (void)closedir(folder);
    }
    return found;
}

/* Collect one who has ended. @return as waitpid(2) */
static pid_t reap_one(const struct guard *g, struct command_guard_report *report, int options)
{
    int status = 0;
    const pid_t pid = waitpid(-1, &status, options);
    if (pid == g->program) {
        report->status = status;
    } else if (pid > 0) {
        report->left++;
    }
    return pid;
}

/* Collect those who have ended. @return is anybody left? */
static bool reap(const struct guard *g, struct command_guard_report *report)
{
    pid_t pid;
    while ((pid = reap_one(g, report, WNOHANG)) > 0) {
    }
    return pid == 0;
}

/* Until the last child of an ended program has ended by itself, or the grace is over. @return is
 * anybody left? */
static bool wait_for_helpers(const struct guard *g, struct command_guard_report *report)
{
    const uint64_t until = clock_now_ns(&clock_system) + (uint64_t)GRACE_MS * 1000000;
    while (reap(g, report)) {
        const uint64_t now = clock_now_ns(&clock_system);
        const pid_t child = now < until ? find_child(0) : 0;
        if (child == 0) {
            return true;
        }
        struct pollfd end[2] = {{.fd = pidfd_open(child, 0), .events = POLLIN},
                                {.fd = COMMAND_GUARD_LIFELINE, .events = POLLIN}};
        (void)poll(end, 2, (int)((until - now) / 1000000) + 1);
        if (end[0].fd >= 0) {
            (void)close(end[0].fd);
        }
        if (end[1].revents != 0) {
            return true;
        }
    }
    return false;
}

/* Whoever dies leaves its children to this process, so it goes on until there are none. */
static void end_everything(const struct guard *g, struct command_guard_report *report)
{
    report->left = 0;
    (void)kill(-g->program, SIGKILL); /* most of them, at once */
    while (reap(g, report) && find_child(SIGKILL) != 0) {
        (void)reap_one(g, report, 0);
    }
}

/* ---- a life ---- */

/* @return whether the program ended by itself */
static bool wait_for_program(const struct guard *g)
{
    struct pollfd wait_for[2] = {{.fd = pidfd_open(g->program, 0), .events = POLLIN},
                                 {.fd = COMMAND_GUARD_LIFELINE, .events = POLLIN}};
    while (poll(wait_for, 2, -1) < 0 && errno == EINTR) {
    }
    const bool ended = wait_for[0].revents != 0;
    if (wait_for[0].fd >= 0) {
        (void)close(wait_for[0].fd);
    }
    return ended;
}

static bool read_arguments(int argc, char **argv, struct guard *g)
{
    enum { MEMORY = 2, WORK_DIR, FORM, PROGRAM };
    char *end = NULL;
    if (argc <= PROGRAM) {
        return false;
    }
    *g = (struct guard){.memory = strtoull(argv[MEMORY], &end, 10),
                        .work_dir = argv[WORK_DIR],
                        .keep = strcmp(argv[FORM], "keep") == 0,
                        .command = argv + PROGRAM};
    return *end == '\0' && (g->keep || strcmp(argv[FORM], "once") == 0);
}

int command_guard_main(int argc, char **argv)
{
    struct guard g;
    struct command_guard_report report = {0};
    if (!read_arguments(argc, argv, &g) || prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) {
        return EXIT_FAILURE;
    }
    (void)close_range(COMMAND_GUARD_FDS, ~0U, 0);
    for (const int *number = (const int[]){SIGINT, SIGTERM, SIGHUP, SIGPIPE, 0}; *number != 0;
         number++) {
        (void)signal(*number, SIG_IGN); /* it ends with its lifeline, and not before its charges */
    }
    (void)signal(SIGCHLD, SIG_DFL);
    const pid_t self = getpid();
    g.program = fork();
    if (g.program == 0) {
        become_program(&g, self);
    }
    if (g.program < 0) {
        report.status = EXIT_NOT_STARTED << 8; /* as waitpid(2) has an exit status */
    } else {
        /* what they write must end for the node when they do */
        (void)close(COMMAND_GUARD_OUTPUT);
        (void)close(COMMAND_GUARD_SOCKET);
        if (!wait_for_program(&g) || wait_for_helpers(&g, &report)) {
            end_everything(&g, &report);
        } else {
            report.left = 0; /* helpers, who ended by themselves */
        }
    }
    return write(COMMAND_GUARD_REPORT, &report, sizeof report) == (ssize_t)sizeof report
               ? EXIT_SUCCESS
               : EXIT_FAILURE;
}
