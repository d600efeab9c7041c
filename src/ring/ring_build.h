/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RING_RING_BUILD_H
#define RING_RING_BUILD_H

#include "kern.h"

/** Inside this part: the tables of one transform, for any degree. */

/** words[brv(k)] = root^k mod q, shoup[brv(k)] its companion (kern_math.h), k < n. */
void ring_fill_powers(uint64_t *words, uint64_t *shoup, uint64_t root, size_t n, uint64_t q);

/** Memory of one transform: n words or doubles each, 64-byte aligned. */
struct ring_memory {
    uint64_t *roots, *roots_shoup, *inverse, *inverse_shoup;
    double *roots_real, *roots_ratio, *inverse_real, *inverse_ratio;
};

/**
 * Fill the tables of degree n modulo the prime q, from the smallest primitive 2n-th root of unity,
 * which is searched for and so needs no constant to be trusted.
 * @param n  a power of two, 16..32768
 * @param q  2^49 < q < 2^50, q = 1 mod 2n
 */
void ring_build(struct kern_ntt *t, const struct ring_memory *memory, size_t n, uint64_t q);

#endif
