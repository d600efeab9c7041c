/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FILES_CONTAINER_H
#define FILES_CONTAINER_H

#include <jansson.h>

#include "input.h"

/**
 * What the public file and update files have in common: a header, and a body that it describes.
 * Integers little-endian.
 *
 *    0  magic            4    "CRNS" public file, "CRNU" update file
 *    4  version          u16  of this kind of file
 *    6  reserved         u16  0
 *    8  header length    u32  to the end of the digest
 *   12  reserved         u32  0
 *   16  file length      u64
 *   24  JSON             header length - 56
 *    .  digest           32   BLAKE2b-256 of "cairn file v1" (zeros to 32 bytes) and all before
 *    .  body             file length - header length
 *
 * The digest finds accidents, not forgeries. The body has digests of its own.
 */
enum { CONTAINER_OVERHEAD = 56 };

struct container_kind {
    char magic[4];
    uint16_t version;
    const char *what; /* "an update file", for messages */
};

/** A tensor takes less than 1 KiB of JSON (its name, escaped, 127 * 6; 8 dimensions of 20 digits),
 * and there are at most MODEL_MAX_TENSORS = 16384. */
enum { CONTAINER_JSON_LIMIT = 16 << 20 };

/** Append the header of a file whose body has `body` bytes. @retval CAIRN_ERR_NO_MEMORY;
 * CAIRN_ERR_TOO_LONG more JSON than the limit */
CAIRN_MUST_CHECK int container_header(const struct container_kind *kind, const json_t *document,
                                      uint64_t body, struct buf *out);
/**
 * @param[out] document  json_decref
 * @param[out] body_at   the body is all from there to the end of the file
 * @retval CAIRN_ERR_DATA       of another kind or version
 * @retval CAIRN_ERR_INTEGRITY  cut off, or damaged
 */
CAIRN_MUST_CHECK int container_read(const struct input *in, const struct container_kind *kind,
                                    json_t **document, uint64_t *body_at,
                                    struct cairn_problem *why);

/** A member of a document that is not what it should be. Always CAIRN_ERR_DATA. */
int container_bad(const char *path, const char *what, struct cairn_problem *why);
/** A member that is hexadecimal of exactly `size` bytes.
 * @retval CAIRN_ERR_MALFORMED out untouched */
CAIRN_MUST_CHECK int container_hex(const json_t *document, const char *key, uint8_t *out,
                                   size_t size);
/** New reference, or NULL without memory. */
json_t *container_hex_json(const uint8_t *bytes, size_t size);

#endif
