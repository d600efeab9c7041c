/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RING_BIT_REVERSE_H
#define RING_BIT_REVERSE_H

#include <stddef.h>

/** brv(k): the log2(n) bits of k < n in reverse, n a power of two. */
static inline size_t bit_reverse(size_t k, size_t n)
{
    size_t r = 0;
    for (size_t bit = 1; bit < n; bit *= 2) {
        r = r << 1 | (k & 1);
        k >>= 1;
    }
    return r;
}

#endif
