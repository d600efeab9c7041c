/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_SIZES_H
#define BASE_SIZES_H

#include <stdbool.h>
#include <stddef.h>

/** Deflate's best, by which claims are measured: 258 bytes from two bits, 1032 to 1 (zlib's technical details). */
enum { SIZE_DEFLATE_RATIO = 1032 };

/** Checked arithmetic on sizes: true and *out set, or false and *out untouched on overflow. */
static inline bool size_add(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_add_overflow(a, b, &r)) {
        return false;
    }
    *out = r;
    return true;
}

static inline bool size_mul(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_mul_overflow(a, b, &r)) {
        return false;
    }
    *out = r;
    return true;
}

/** ceil(a / b), b > 0 */
static inline size_t size_ceil_div(size_t a, size_t b)
{
    return a / b + (a % b != 0);
}

/** a rounded up to a multiple of b, b > 0; the caller knows that it does not overflow */
static inline size_t size_round_up(size_t a, size_t b)
{
    return size_ceil_div(a, b) * b;
}

/** 64-byte aligned, zeroed array of n elements; NULL on overflow or without memory. Free with
 * free(). */
void *size_alloc_array(size_t n, size_t element_size);

#endif
