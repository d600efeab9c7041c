/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRAIN_COMMAND_GUARD_H
#define TRAIN_COMMAND_GUARD_H

#include <stdint.h>

/**
 * The process between a node and a trainer's program. It is started with
 *
 *     NAME COMMAND_GUARD_WORD memory_bytes work_dir once|keep program [argument...]
 *
 * and these descriptors. It starts the program in a session of its own, waits for its end or for
 * the end of the lifeline, ends everything that came of the program, and reports.
 */
#define COMMAND_GUARD_WORD "trainer-guard"

enum {
    COMMAND_GUARD_LIFELINE = 0, /* its end of file: end everything */
    COMMAND_GUARD_REPORT = 1,   /* one struct command_guard_report, when nothing runs any more */
    COMMAND_GUARD_ERRORS = 2,   /* the program's standard error */
    COMMAND_GUARD_OUTPUT = 3,   /* the program's standard output */
    COMMAND_GUARD_SOCKET = 4,   /* "keep": becomes the program's descriptor COMMAND_SOCKET */
    COMMAND_GUARD_FDS = 5,
    COMMAND_SOCKET = 3,
};

struct command_guard_report {
    int32_t status; /* of the program, as waitpid(2) has it */
    uint32_t left;  /* processes that outlived it and were ended */
};

/** What main() of such a program calls when argv[1] is COMMAND_GUARD_WORD. @return exit status */
int command_guard_main(int argc, char **argv);

#endif
