/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SEAL_SEAL_SOURCE_H
#define SEAL_SEAL_SOURCE_H

#include "seal.h"

/**
 * One object's bytes, drawn field by field. A compressed object is inflated only as far as it is
 * drawn, straight into what the caller has found room for; so a caller who checks dimensions before
 * he draws what they announce is safe from bombs, and nothing here is ever larger than asked.
 */
struct seal_inflater;

struct seal_source {
    const char *object; /* for messages */
    struct cairn_problem *why;
    const uint8_t *next; /* stored bytes that are not drawn yet */
    size_t left;
    size_t stored;                  /* bytes of the whole object, header included */
    unsigned major, minor;          /* version of the outer header */
    struct seal_inflater *inflater; /* NULL: not compressed */
};

enum { SEAL_HEADER_SIZE = 16 };

/** Read the outer header. Afterwards seal_source_close must be called, whatever the answer.
 * @param secret    what is read must not stay behind in freed memory
 * @param consumed  NULL: bytes after the object are refused */
CAIRN_MUST_CHECK int seal_source_open(struct seal_source *s, const char *object, bool secret,
                                      struct span bytes, const size_t *consumed,
                                      struct cairn_problem *why);
/** The object must end here. */
CAIRN_MUST_CHECK int seal_source_end(struct seal_source *s);
void seal_source_close(struct seal_source *s);

CAIRN_MUST_CHECK int seal_source_bytes(struct seal_source *s, const char *field, void *out,
                                       size_t size);
CAIRN_MUST_CHECK int seal_source_u64(struct seal_source *s, const char *field, uint64_t *out);
CAIRN_MUST_CHECK int seal_source_u8(struct seal_source *s, const char *field, uint8_t *out);
CAIRN_MUST_CHECK int seal_source_f64(struct seal_source *s, const char *field, double *out);
/** Header of a nested object that takes `size` bytes, header included. */
CAIRN_MUST_CHECK int seal_source_nested(struct seal_source *s, const char *field, uint64_t size);
/** Header and count of an array of words; that they agree is all that is known of the count. */
CAIRN_MUST_CHECK int seal_source_array(struct seal_source *s, const char *field, uint64_t *count);
/** Announced: `count` words come. Fails before anything is allocated for them if they cannot. */
CAIRN_MUST_CHECK int seal_source_expect_words(struct seal_source *s, const char *field,
                                              size_t count);
/** count words, each below `limit`; the first that is not is named. */
CAIRN_MUST_CHECK int seal_source_words(struct seal_source *s, const char *field, uint64_t *out,
                                       size_t count, uint64_t limit);

/** @return code, with "object: field: expected ..., found ..." */
int seal_source_fail(const struct seal_source *s, int code, const char *field, const char *expected,
                     const char *found_format, ...) CAIRN_PRINTF(5, 6);

/**
 * Compression, one stream for all that follows the header.
 * @param secret  work in secret memory: zlib only, libzstd's stable interface has no such choice
 * @retval NULL without memory
 */
struct seal_inflater *seal_inflater_new(enum seal_compression compression, bool secret);
void seal_inflater_free(struct seal_inflater *inflater);
/** Draw exactly `size` bytes; *next and *left move on.
 * @retval CAIRN_ERR_MALFORMED  damaged, or it ends earlier; CAIRN_ERR_NO_MEMORY */
CAIRN_MUST_CHECK int seal_inflater_draw(struct seal_inflater *inflater, const uint8_t **next,
                                        size_t *left, void *out, size_t size);
/** Has the stream ended, with all stored bytes used and no more to draw? */
bool seal_inflater_at_end(struct seal_inflater *inflater, const uint8_t **next, size_t *left);
/** Append the compressed form. @retval CAIRN_ERR_NO_MEMORY */
CAIRN_MUST_CHECK int seal_deflate(enum seal_compression compression, struct span bytes,
                                  struct buf *out);

/** Writing: a header, whose size is set when the object is complete. */
struct seal_sink {
    struct buf bytes; /* the object, not compressed */
    unsigned major, minor;
    int error; /* the first; later calls do nothing */
};

void seal_sink_open(struct seal_sink *s, enum seal_version version, size_t size);
void seal_sink_bytes(struct seal_sink *s, const void *bytes, size_t size);
void seal_sink_u8(struct seal_sink *s, uint8_t x);
void seal_sink_u64(struct seal_sink *s, uint64_t x);
void seal_sink_f64(struct seal_sink *s, double x);
void seal_sink_nested(struct seal_sink *s, uint64_t size);
void seal_sink_words(struct seal_sink *s, const uint64_t *words, size_t count);
/** Append the object to `out` and forget it, wiping what it was made in. @return 0 or s->error */
CAIRN_MUST_CHECK int seal_sink_close(struct seal_sink *s, enum seal_compression compression,
                                     struct buf *out);

#endif
