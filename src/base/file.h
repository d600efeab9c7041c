/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
/**
 * A file that is written piece by piece and still appears whole or not at all: a temporary file
 * beside it, which file_draft_finish puts in its place. Zero-initialised is empty. Owner calls
 * file_draft_finish or file_draft_drop.
 */
struct file_draft {
    const char *path; /* borrowed */
    char *beside;     /* NULL: nothing is open */
    int fd;
};
/** @retval CAIRN_ERR_STORAGE nothing is open */
CAIRN_MUST_CHECK int file_draft_open(struct file_draft *draft, const char *path, unsigned mode,
                                     struct cairn_problem *why);
/** @retval CAIRN_ERR_STORAGE file_draft_drop is still the owner's to call */
CAIRN_MUST_CHECK int file_draft_write(struct file_draft *draft, const void *bytes, size_t size,
                                      struct cairn_problem *why);
/** Flush and replace. The draft is empty afterwards, whatever happens.
 * @param durable  with the two fsyncs of file_replace
 * @retval CAIRN_ERR_STORAGE the old file stands
 * @retval CAIRN_ERR_BUG nothing is open */
CAIRN_MUST_CHECK int file_draft_finish(struct file_draft *draft, bool durable,
                                       struct cairn_problem *why);
/** Is this the name of such a temporary file? A crash leaves them behind. */
bool file_draft_named(const char *name);
/** Leave the old file as it is; an empty draft is ignored. */
void file_draft_drop(struct file_draft *draft);

/** Where files for a while go: TMPDIR, or /tmp. */
const char *file_temporary_folder(void);
/**
 * A file without a name, for what is too large for memory; it ends with its descriptor.
 * @param[out] fd  the caller's, close
 * @retval CAIRN_ERR_STORAGE
 */
CAIRN_MUST_CHECK int file_scratch_open(int *fd, struct cairn_problem *why);
/** All bytes, behind those that were written before. @retval CAIRN_ERR_STORAGE */
CAIRN_MUST_CHECK int file_scratch_write(int fd, const void *bytes, size_t size,
                                        struct cairn_problem *why);

/** Append and flush one run of bytes, creating the file (0644). @retval CAIRN_ERR_STORAGE */
CAIRN_MUST_CHECK int file_append(const char *path, const void *bytes, size_t size,
                                 struct cairn_problem *why);
/** All the bytes, from byte `at` on. @param path  of fd, for messages. @retval CAIRN_ERR_STORAGE */
CAIRN_MUST_CHECK int file_write_at(int fd, const char *path, uint64_t at, const void *bytes,
                                   size_t size, struct cairn_problem *why);
/** mkdir -p, mode 0755. @retval CAIRN_ERR_STORAGE */
CAIRN_MUST_CHECK int file_make_folders(const char *path, struct cairn_problem *why);
bool file_exists(const char *path);
/** Make the name of `path` itself last: a folder's entries are written when the folder is.
 * @return 0, or -1 with errno */
CAIRN_MUST_CHECK int file_sync_folder(const char *path);
/** Does `path` name the file that fd has open, itself and not through a link? */
bool file_is_at(int fd, const char *path);
/** Fill `why` from errno: "path: cannot doing: sentence", with a hint. @return CAIRN_ERR_STORAGE */
int file_failed(struct cairn_problem *why, const char *path, const char *doing);

#endif
