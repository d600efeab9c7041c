/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KERN_KERN_MATH_H
#define KERN_KERN_MATH_H

#include <stdint.h>

/**
 * The arithmetic that the portable kernels are made of. No branch, index or division depends on
 * an operand, so all of it may see secrets.
 *
 * Notation: brackets give ranges, [0, q) without q.
 */

__extension__ typedef unsigned __int128 kern_u128;

/** floor(a b / 2^64) */
static inline uint64_t kern_mulhi(uint64_t a, uint64_t b)
{
    return (uint64_t)(((kern_u128)a * b) >> 64);
}

/** All ones if a < b, else 0. Both below 2^63, so the sign of the difference tells. */
static inline uint64_t kern_mask_less(uint64_t a, uint64_t b)
{
    return 0 - ((a - b) >> 63);
}

/** x - q if x >= q, else x. Both below 2^63. */
static inline uint64_t kern_reduce_once(uint64_t x, uint64_t q)
{
    uint64_t r = x - q;
    return r + (q & (0 - (r >> 63)));
}

/**
 * x w mod q, lazily: any x, w in [0, q), w_shoup = floor(w 2^64 / q), q < 2^63. Result in [0, 2q).
 * The quotient floor(x w_shoup / 2^64) is below x w / q by less than 1 + x / 2^64 < 2.
 * Source: Shoup's trick as in Harvey, "Faster arithmetic for number-theoretic transforms", 2014.
 */
static inline uint64_t kern_mul_shoup_lazy(uint64_t x, uint64_t w, uint64_t w_shoup, uint64_t q)
{
    return x * w - kern_mulhi(x, w_shoup) * q;
}

/** floor(x / d) and the remainder for any x and d in [2, 2^62), recip = floor(2^64 / d).
 * x recip / 2^64 is below x / d by less than x / 2^64 < 1: one correction is enough. */
static inline uint64_t kern_divide(uint64_t x, uint64_t d, uint64_t recip, uint64_t *remainder)
{
    uint64_t quotient = kern_mulhi(x, recip);
    uint64_t rest = x - quotient * d; /* [0, 2d) */
    uint64_t more = ~kern_mask_less(rest, d);
    *remainder = rest - (d & more);
    return quotient - more; /* more is 0 or -1 */
}

/** The 2^bits residue of a field as a signed number in [-2^(bits-1), 2^(bits-1)), 1 <= bits <= 64.
 * Flipping the sign bit and subtracting it again extends the sign. */
static inline int64_t kern_centre(uint64_t field, unsigned bits)
{
    uint64_t sign = UINT64_C(1) << (bits - 1);
    uint64_t mask = sign | (sign - 1);
    return (int64_t)(((field & mask) ^ sign) - sign);
}

/** 2^bits - 1, 1 <= bits <= 64 */
static inline uint64_t kern_mask_bits(unsigned bits)
{
    return UINT64_MAX >> (64 - bits);
}

#endif
