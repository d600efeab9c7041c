/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_PROCESSES_H
#define CLI_PROCESSES_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cairn/err.h>

#include "buf.h"

/**
 * Child processes of a command that runs a whole federation: each is this same program with other
 * arguments. They are ended when the set is released and, through the kernel, also when this
 * process dies in any other way, so nothing is ever left behind.
 *
 * While a set exists SIGINT, SIGTERM, SIGHUP and SIGCHLD are received through it and nowhere else.
 */
enum { PROCESS_NAME_SIZE = 96, PROCESS_PATH_SIZE = 1024 };

struct process {
    char name[PROCESS_NAME_SIZE];
    pid_t pid;       /* 0 once it has ended */
    int exit_status; /* exit code, or 128 + signal */
    double cpu_s;    /* user and system, from wait4 */
    uint64_t peak_rss_bytes;
    char errors[PROCESS_PATH_SIZE]; /* file that holds its stderr; "" = it goes to ours */
};

struct processes {
    struct process *list;
    size_t n, capacity;
    int signals; /* signalfd */
    sigset_t before;
};

/** @param most  processes there will be.  @retval CAIRN_ERR_NO_MEMORY, CAIRN_ERR_ENVIRONMENT */
CAIRN_MUST_CHECK int processes_init(struct processes *set, size_t most, struct cairn_problem *why);

/**
 * Start this program once more.
 * @param argv    ends with NULL; argv[0] is shown in process lists
 * @param errors  file for its stdout and stderr, replaced; NULL: stderr is ours
 * @param[out] output  NULL, or the reading end of a pipe on its stdout; the caller closes it
 * @retval CAIRN_ERR_ENVIRONMENT
 */
CAIRN_MUST_CHECK int processes_start(struct processes *set, const char *name,
                                     const char *const *argv, const char *errors, int *output,
                                     struct cairn_problem *why);

enum processes_event {
    PROCESSES_ENDED,  /* at least one has ended */
    PROCESSES_OUTPUT, /* `output` can be read, or is at its end */
    PROCESSES_SIGNAL, /* this process is to end; *signal_number says why */
    PROCESSES_TIMEOUT,
};
/**
 * Wait until something happens. A signal comes before an end, for Ctrl-C reaches the children too.
 * @param output      a descriptor, or -1
 * @param timeout_ms  -1: for ever
 */
enum processes_event processes_wait(struct processes *set, int output, int timeout_ms,
                                    int *signal_number);

/** Ask every process to end, wait, and kill what is left after `grace_ms`. Afterwards every one has
 * its usage. */
void processes_stop(struct processes *set, unsigned grace_ms);
/** Stop what still runs, free, and take signals as before. */
void processes_release(struct processes *set);

/** Append the last lines that a process wrote on stderr, at most `size` bytes. */
void process_last_words(const struct process *process, size_t size, struct buf *out);

#endif
