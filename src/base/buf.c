/* SPDX-License-Identifier: Apache-2.0 */
/* A growable array of bytes. Doubling, so that n appends cost O(n). */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "sizes.h"

int buf_reserve(struct buf *b, size_t extra)
{
    size_t needed;
    if (!size_add(b->size, extra, &needed)) {
        return CAIRN_ERR_NO_MEMORY;
    }
    if (needed <= b->capacity) {
        return CAIRN_OK;
    }
    size_t capacity;
    if (!size_mul(b->capacity, 2, &capacity) || capacity < needed) {
        capacity = needed;
    }
    uint8_t *data = realloc(b->data, capacity);
    if (!data && capacity > needed) {
        /* twice as much was too much; just enough may still be there */
        capacity = needed;
        data = realloc(b->data, capacity);
    }
    if (!data) {
        return CAIRN_ERR_NO_MEMORY;
    }
    b->data = data;
    b->capacity = capacity;
    return CAIRN_OK;
}

int buf_append(struct buf *b, const void *bytes, size_t size)
{
    if (size == 0) {
        return CAIRN_OK;
    }
    int error = buf_reserve(b, size);
    if (error) {
        return error;
    }
    memcpy(b->data + b->size, bytes, size);
    b->size += size;
    return CAIRN_OK;
}

int buf_printf(struct buf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (size < 0) {
        return CAIRN_ERR_NO_MEMORY;
    }
    /* vsnprintf always ends with a zero byte, which is written but not counted */
    int error = buf_reserve(b, (size_t)size + 1);
    if (error) {
        return error;
    }
    va_start(args, format);
    (void)vsnprintf((char *)b->data + b->size, (size_t)size + 1, format, args);
    va_end(args);
    b->size += (size_t)size;
    return CAIRN_OK;
}

const char *buf_text(struct buf *b)
{
    if (buf_reserve(b, 1)) {
        return NULL;
    }
    b->data[b->size] = 0;
    return (const char *)b->data;
}

void buf_clear(struct buf *b)
{
    b->size = 0;
}

void buf_release(struct buf *b)
{
    free(b->data);
    *b = (struct buf){0};
}

struct span buf_span(const struct buf *b)
{
    return (struct span){b->data, b->size};
}
