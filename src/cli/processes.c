/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Child processes: fork, exec of /proc/self/exe, a signalfd to wait on, wait4 for what they used.
 *
 * Nothing may survive the command that started it. Three things see to that: processes_release ends
 * all by their ids; PR_SET_PDEATHSIG has the kernel do it when this process is killed; and
 * descriptors are close-on-exec, so no child holds another's pipe open.
 */
#include "processes.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

static void watched_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGHUP);
    sigaddset(set, SIGCHLD);
}

int processes_init(struct processes *set, size_t most, struct cairn_problem *why)
{
    sigset_t watched;
    *set = (struct processes){.signals = -1};
    set->list = calloc(most, sizeof *set->list);
    if (!set->list) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "out of memory");
    }
    set->capacity = most;
    watched_signals(&watched);
    (void)sigprocmask(SIG_BLOCK, &watched, &set->before);
    set->signals = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
    if (set->signals < 0) {
        int error = problem_set(why, CAIRN_ERR_ENVIRONMENT, NULL, "cannot wait for processes: %s",
                                strerror(errno));
        processes_release(set);
        return error;
    }
    return 0;
}

/* ---- in the child: only what is allowed between fork and exec ---- */

struct child_plan {
    const char *const *argv;
    int input, output, errors; /* descriptors that become 0, 1 and 2; -1 = as they are */
    pid_t parent;
    sigset_t signals;
};

_Noreturn static void become_child(const struct child_plan *plan)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != plan->parent) {
        _exit(EXIT_FAILURE); /* the parent died before the line above */
    }
    (void)sigprocmask(SIG_SETMASK, &plan->signals, NULL);
    (void)dup2(plan->input, STDIN_FILENO);
    if (plan->output >= 0) {
        (void)dup2(plan->output, STDOUT_FILENO);
    }
    if (plan->errors >= 0) {
        (void)dup2(plan->errors, STDERR_FILENO);
    }
    /* exec takes char *const *, but does not write: C has no way to say so */
    (void)execv("/proc/self/exe", (char *const *)(uintptr_t)plan->argv);
    static const char text[] = "cannot start /proc/self/exe: is /proc mounted?\n";
    ssize_t ignored = write(STDERR_FILENO, text, sizeof text - 1);
    (void)ignored;
    _exit(4);
}

/* ---- in the parent ---- */

static void close_if(int fd)
{
    if (fd >= 0) {
        (void)close(fd);
    }
}

static int open_descriptors(struct child_plan *plan, const char *errors, int pipe_ends[2],
                            bool piped, struct cairn_problem *why)
{
    plan->input = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (errors) {
        plan->errors = open(errors, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
        if (plan->errors < 0) {
            return problem_set(why, CAIRN_ERR_STORAGE, NULL, "cannot write %s: %s", errors,
                               strerror(errno));
        }
        plan->output = plan->errors;
    }
    if (piped) {
        if (pipe2(pipe_ends, O_CLOEXEC) != 0) {
            return problem_set(why, CAIRN_ERR_ENVIRONMENT, NULL, "cannot make a pipe: %s",
                               strerror(errno));
        }
        plan->output = pipe_ends[1];
    }
    return 0;
}

int processes_start(struct processes *set, const char *name, const char *const *argv,
                    const char *errors, int *output, struct cairn_problem *why)
{
    struct child_plan plan = {argv, -1, -1, -1, getpid(), set->before};
    int pipe_ends[2] = {-1, -1};
    if (set->n == set->capacity) {
        return problem_set(why, CAIRN_ERR_BUG, NULL, "more processes than announced");
    }
    int error = open_descriptors(&plan, errors, pipe_ends, output != NULL, why);
    pid_t pid = error ? -1 : fork();
    if (pid == 0) {
        become_child(&plan);
    }
    if (!error && pid < 0) {
        error = problem_set(why, CAIRN_ERR_ENVIRONMENT, "see `ulimit -u` and the free memory",
                            "cannot start a process for %s: %s", name, strerror(errno));
    }
    if (!error) {
        struct process *p = &set->list[set->n++];
        p->pid = pid;
        (void)snprintf(p->name, sizeof p->name, "%s", name);
        (void)snprintf(p->errors, sizeof p->errors, "%s", errors ? errors : "");
    }
    close_if(plan.input);
    close_if(plan.errors);
    close_if(pipe_ends[1]);
    if (error) {
        close_if(pipe_ends[0]);
    } else if (output) {
        *output = pipe_ends[0];
    }
    return error;
}

/* Collect every process that has ended. @return was there one? */
static bool reap(struct processes *set)
{
    bool any = false;
    for (size_t i = 0; i < set->n; i++) {
        struct process *p = &set->list[i];
        int status = 0;
        struct rusage usage;
        if (p->pid == 0 || wait4(p->pid, &status, WNOHANG, &usage) != p->pid) {
            continue;
        }
        p->pid = 0;
        p->exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        p->cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                   (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
        p->peak_rss_bytes = (uint64_t)usage.ru_maxrss * 1024; /* the kernel counts in KiB */
        any = true;
    }
    return any;
}

/* Take all that the signalfd has. @return a signal that asks this process to end, or 0 */
static int drain_signals(struct processes *set)
{
    struct signalfd_siginfo info;
    int found = 0;
    while (read(set->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo != SIGCHLD) {
            found = (int)info.ssi_signo;
        }
    }
    return found;
}

/*
 * A SIGCHLD may be read from the signalfd a moment before wait4 knows of the end it announces (seen
 * on Linux 6.18 with a process of several threads), and then no second one comes. So every wait
 * looks again after a second.
 */
enum { LOOK_AGAIN_MS = 1000 };

/* Milliseconds that poll may wait: what is left, or until it is time to look again. */
static int poll_ms(uint64_t begin_ns, int timeout_ms)
{
    if (timeout_ms < 0) {
        return LOOK_AGAIN_MS;
    }
    uint64_t gone = (clock_now_ns(&clock_system) - begin_ns) / 1000000;
    int left = gone >= (uint64_t)timeout_ms ? 0 : timeout_ms - (int)gone;
    return left < LOOK_AGAIN_MS ? left : LOOK_AGAIN_MS;
}

enum processes_event processes_wait(struct processes *set, int output, int timeout_ms,
                                    int *signal_number)
{
    struct pollfd wait_for[2] = {{.fd = set->signals, .events = POLLIN},
                                 {.fd = output, .events = POLLIN}};
    uint64_t begin = clock_now_ns(&clock_system);
    for (;;) {
        int left = poll_ms(begin, timeout_ms);
        int n = poll(wait_for, output >= 0 ? 2 : 1, left);
        *signal_number = drain_signals(set);
        if (*signal_number != 0) {
            return PROCESSES_SIGNAL;
        }
        if (reap(set)) { /* first, for its SIGCHLD has been taken; output that waits is seen next
                            time */
            return PROCESSES_ENDED;
        }
        if (output >= 0 && n > 0 && wait_for[1].revents != 0) {
            return PROCESSES_OUTPUT;
        }
        if (timeout_ms >= 0 && left == 0) {
            return PROCESSES_TIMEOUT;
        }
    }
}

static bool any_runs(const struct processes *set)
{
    for (size_t i = 0; i < set->n; i++) {
        if (set->list[i].pid != 0) {
            return true;
        }
    }
    return false;
}

static void signal_all(const struct processes *set, int number)
{
    for (size_t i = 0; i < set->n; i++) {
        if (set->list[i].pid != 0) {
            (void)kill(set->list[i].pid, number);
        }
    }
}

void processes_stop(struct processes *set, unsigned grace_ms)
{
    static const struct timespec nap = {.tv_nsec = 5000000};
    uint64_t begin = clock_now_ns(&clock_system);
    bool killed = false;
    reap(set);
    signal_all(set, SIGTERM);
    while (any_runs(set)) {
        if (!killed && clock_now_ns(&clock_system) - begin > (uint64_t)grace_ms * 1000000) {
            signal_all(set, SIGKILL);
            killed = true;
        }
        struct pollfd wait_for = {.fd = set->signals, .events = POLLIN};
        if (set->signals < 0 || poll(&wait_for, 1, 50) < 0) {
            (void)nanosleep(&nap, NULL);
        }
        (void)drain_signals(set); /* a second Ctrl-C changes nothing: it is ending already */
        reap(set);
    }
}

void processes_release(struct processes *set)
{
    if (!set->list) {
        return;
    }
    processes_stop(set, 2000);
    free(set->list);
    close_if(set->signals);
    (void)sigprocmask(SIG_SETMASK, &set->before, NULL);
    *set = (struct processes){.signals = -1};
}

void process_last_words(const struct process *process, size_t size, struct buf *out)
{
    int fd = process->errors[0] ? open(process->errors, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) {
        return;
    }
    off_t end = lseek(fd, 0, SEEK_END);
    off_t from = end > (off_t)size ? end - (off_t)size : 0;
    if (end > 0 && buf_reserve(out, size) == 0) {
        ssize_t got = pread(fd, out->data + out->size, size, from);
        out->size += got > 0 ? (size_t)got : 0;
    }
    close_if(fd);
}
