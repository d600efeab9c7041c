/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_INPUT_H
#define BASE_INPUT_H

#include <stdint.h>

#include "buf.h"

/**
 * A regular file that is read in runs, at any place. Never mapped: a file that somebody shortens
 * meanwhile is then an error and not a signal. Zero-initialised with fd -1 is closed.
 */
struct input {
    const char *path; /* borrowed */
    int fd;
    uint64_t size;
};

/** @retval CAIRN_ERR_DATA  not there, not readable, no regular file: in->fd is -1 */
CAIRN_MUST_CHECK int input_open(struct input *in, const char *path, struct cairn_problem *why);
/** Closing what is closed is allowed. */
void input_close(struct input *in);
/** Exactly `size` bytes from `at` on. @retval CAIRN_ERR_DATA the file is shorter, or unreadable */
CAIRN_MUST_CHECK int input_read(const struct input *in, uint64_t at, void *out, size_t size,
                                struct cairn_problem *why);
/** The same, appended to `out`. @retval CAIRN_ERR_NO_MEMORY also */
CAIRN_MUST_CHECK int input_append(const struct input *in, uint64_t at, size_t size, struct buf *out,
                                  struct cairn_problem *why);

#endif
