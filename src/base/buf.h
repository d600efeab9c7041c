/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

#include "problem.h"

/** Borrowed bytes: never freed by who receives them. */
struct span {
    const uint8_t *data;
    size_t size; /* bytes */
};

/**
 * A growable array of bytes. Zero-initialised is empty and valid.
 * Owner: whoever holds the struct calls buf_release. One thread at a time.
 * Not for secrets (see secret.h): growth leaves copies behind.
 */
struct buf {
    uint8_t *data;
    size_t size;     /* bytes in use */
    size_t capacity; /* bytes allocated */
};

/** Make room for `extra` more bytes. @retval CAIRN_ERR_NO_MEMORY unchanged */
CAIRN_MUST_CHECK int buf_reserve(struct buf *b, size_t extra);
/** Append bytes. @retval CAIRN_ERR_NO_MEMORY unchanged */
CAIRN_MUST_CHECK int buf_append(struct buf *b, const void *bytes, size_t size);
/** Append text in printf form, without a terminating zero. @retval CAIRN_ERR_NO_MEMORY unchanged */
CAIRN_MUST_CHECK int buf_printf(struct buf *b, const char *format, ...) CAIRN_PRINTF(2, 3);
/** Ensure a zero byte after the content (not counted in size) and return it as text; NULL without
 * memory. Borrowed until the next change. */
const char *buf_text(struct buf *b);
/** Forget the content, keep the memory. */
void buf_clear(struct buf *b);
/** Free; the struct is empty again. */
void buf_release(struct buf *b);
/** Borrow the content. */
struct span buf_span(const struct buf *b);

#endif
