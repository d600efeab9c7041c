/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRAIN_COMMAND_PROCESS_H
#define TRAIN_COMMAND_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <jansson.h>

#include "problem.h"

/**
 * A running program of a trainer, behind its guard (command_guard.h): started, listened to with a
 * deadline, ended with all that came of it. One thread at a time.
 *
 * What it writes is read all the time, so that it never waits for a reader: whole lines of its
 * standard output go to `line`, of its standard error the end is kept.
 *
 * A program that is kept has a socket, descriptor 3, on which both sides send messages: a length, 4
 * bytes little-endian, and that many bytes of JSON, an object.
 */
enum {
    COMMAND_TAIL = 4096,          /* of standard error: the last lines of any traceback */
    COMMAND_LINE = 240,           /* of standard output: longer lines are cut */
    COMMAND_MESSAGE_MOST = 65536, /* of a program's message */
};

struct command_start {
    const char *guard;        /* path of a program that calls command_guard_main */
    char *const *command;     /* program, arguments, NULL */
    char *const *environment; /* "NAME=value", ..., NULL */
    const char *work_dir;
    bool keep;
    uint64_t memory_bytes; /* most address space of each of its processes; 0 = no limit */
    void (*line)(void *ctx, const char *text);
    void *ctx;
};

struct command_process {
    pid_t guard;          /* 0: nothing runs */
    int lifeline, report; /* to and from the guard; -1 = closed */
    int output, errors;   /* of the program */
    int socket;           /* -1 unless kept */
    int status;           /* of the program, once it has ended, as waitpid(2) has it */
    uint32_t left;        /* processes that outlived it and were ended */
    void (*line)(void *ctx, const char *text);
    void *ctx;
    char partial[COMMAND_LINE]; /* of a line of output that is not yet whole */
    size_t n_partial;
    char tail[COMMAND_TAIL];
    size_t n_tail;
    uint8_t *message; /* of the program, not yet whole */
    size_t n_message, capacity;
};

/** Zeroed is no process; -1 for the descriptors is set here. @retval CAIRN_ERR_ENVIRONMENT nothing
 * runs */
CAIRN_MUST_CHECK int command_process_start(struct command_process *p,
                                           const struct command_start *start,
                                           struct cairn_problem *why);

enum command_event {
    COMMAND_ENDED,    /* the program, and everything that came of it: `status` and `left` are set */
    COMMAND_MESSAGE,  /* it has sent one */
    COMMAND_NONSENSE, /* it has sent something else */
    COMMAND_LATE,     /* the deadline has passed */
    COMMAND_INTERRUPTED, /* a signal has asked this process to end (ending.h) */
};
/**
 * @param deadline_ns   monotonic; UINT64_MAX = none
 * @param[out] message  of COMMAND_MESSAGE, a new reference
 */
enum command_event command_process_wait(struct command_process *p, uint64_t deadline_ns,
                                        json_t **message);
/** To a kept program. @retval CAIRN_ERR_TRAINER it does not take it */
CAIRN_MUST_CHECK int command_process_send(struct command_process *p, const json_t *message,
                                          struct cairn_problem *why);
/** Has it ended meanwhile? Takes no time. */
bool command_process_ended(struct command_process *p);
/**
 * End it, if it has not ended, and everything that came of it, and close what belongs to it;
 * `status`, `left` and the tail stay. A kept one is told by the end of its socket and has a moment.
 * Idempotent.
 */
void command_process_stop(struct command_process *p);

/** "ended with exit status 3", "was ended by signal 11 (Segmentation fault)". */
void command_process_fate(const struct command_process *p, char *text, size_t size);
/** The last lines on standard error that fit, on one line; "" when there are none. */
void command_process_last_words(const struct command_process *p, char *text, size_t size);

#endif
