/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"

/** Files. Every descriptor is close-on-exec. Errors name the path and errno's sentence. */

/**
 * Read a whole file. out is appended to.
 * @param limit  bytes; a longer file is refused before it is read
 * @retval CAIRN_ERR_STORAGE not there, not readable, too long
 */
CAIRN_MUST_CHECK int file_read(const char *path, size_t limit, struct buf *out,
                               struct cairn_problem *why);
/**
 * Replace a file whole or not at all: temporary file beside it, write, fsync, rename, fsync of the
 * folder. Parents must exist.
 * @param mode  such as 0644, 0600
 * @retval CAIRN_ERR_STORAGE the old file stands
 */
CAIRN_MUST_CHECK int file_replace(const char *path, const void *bytes, size_t size, unsigned mode,
                                  struct cairn_problem *why);
/**
 * The same without the two fsyncs, for what is written often and may be lost with the power: readers
 * still see the old content or the new one, whole.
 * @retval CAIRN_ERR_STORAGE the old file stands
 */
CAIRN_MUST_CHECK int file_rewrite(const char *path, const void *bytes, size_t size, unsigned mode,
                                  struct cairn_problem *why);
/** Append and flush one run of bytes, creating the file (0644). @retval CAIRN_ERR_STORAGE */
CAIRN_MUST_CHECK int file_append(const char *path, const void *bytes, size_t size,
                                 struct cairn_problem *why);
/** mkdir -p, mode 0755. @retval CAIRN_ERR_STORAGE */
CAIRN_MUST_CHECK int file_make_folders(const char *path, struct cairn_problem *why);
bool file_exists(const char *path);

#endif
