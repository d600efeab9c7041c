/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATA_BYTE_SOURCE_H
#define DATA_BYTE_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "problem.h"

/**
 * The bytes of a file, unpacked on the way when the file is gzip. Which it is, is told by its first
 * two bytes (1f 8b), never by its name. Holds a few tens of kilobytes, whatever the file's size.
 * Owner: whoever opened it. One thread at a time.
 */
struct byte_source;

/**
 * @param path  a regular file; borrowed until byte_source_close
 * @retval CAIRN_ERR_DATA  missing, not readable, no regular file, empty
 * @retval CAIRN_ERR_NO_MEMORY
 */
CAIRN_MUST_CHECK int byte_source_open(const char *path, struct byte_source **out,
                                      struct cairn_problem *why);
void byte_source_close(struct byte_source *source);

/**
 * Read up to `size` bytes; fewer only at the end of the data.
 * @param out  NULL: pass over them
 * @param[out] got  how many there were
 * @retval CAIRN_ERR_DATA  the disk or the gzip stream is damaged, or the gzip stream is cut off, or the file was
 *                         shortened meanwhile
 */
CAIRN_MUST_CHECK int byte_source_read(struct byte_source *source, uint8_t *out, size_t size,
                                      size_t *got, struct cairn_problem *why);

bool byte_source_is_gzip(const struct byte_source *source);
/** The most bytes that can come out altogether: exact for a raw file, an upper bound for gzip. */
uint64_t byte_source_most(const struct byte_source *source);

#endif
