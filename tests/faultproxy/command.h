/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAULTPROXY_COMMAND_H
#define FAULTPROXY_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** UP: from who connected to the target; DOWN: back. Also the index of the side that sends. */
enum direction { UP, DOWN, DIRECTIONS };

/** What happens once `at` bytes have gone through. FLIP: to byte number `at`. */
enum fault_kind { FAULT_CUT, FAULT_RESET, FAULT_STALL, FAULT_HALFOPEN, FAULT_FLIP, FAULT_KINDS };

extern const char *const fault_names[FAULT_KINDS];

struct fault {
    bool on;
    bool once; /* goes off after it has struck */
    uint64_t at;
};

struct faults {
    struct fault list[DIRECTIONS][FAULT_KINDS];
    uint8_t mask[DIRECTIONS]; /* of FAULT_FLIP */
    uint64_t delay_ms[DIRECTIONS];
    uint64_t rate[DIRECTIONS]; /* bytes a second, 0 = as fast as it goes */
    bool duplicate, duplicate_once;
    uint64_t duplicate_after_ms; /* 0 = side by side with the first */
    bool refuse;
    char only[256]; /* prefix of a path; "" = all bytes */
};

/** What a line asks for beyond changing the faults. */
enum command { COMMAND_BAD, COMMAND_SET, COMMAND_PASS, COMMAND_DROP, COMMAND_STATS, COMMAND_QUIT };

/** Read one line (it is taken apart). COMMAND_BAD: `faults` is as it was, *why says what is wrong. */
enum command command_read(char *line, struct faults *faults, const char **why);

extern const char command_help[];

#endif
