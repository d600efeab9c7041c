/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KERN_KERN_WIDE128_H
#define KERN_KERN_WIDE128_H

#include "kern.h"
#include "kern_math.h"

/**
 * Kernels for a modulus of two primes: residues are handled prime by prime with the slots of
 * kern.h, and what looks at whole numbers of up to 100 bits is here, in portable C with 128-bit
 * words only.
 *
 * What kern.h says of its slots holds for these: the time depends on n and the constants, so
 * operands may be secret; n is a multiple of 8; no allocation. Signed numbers are kern_u128 in
 * two's complement.
 */

/** What joins residues modulo q1, q2 and q3. Built by ring_wide_join (ring_wide.h). */
struct kern_wide_join {
    struct kern_crt two;       /* q = q1 q2, between 2^99 and 2^100 */
    uint64_t q3;               /* 2^49 < q3 < q2 < q1 < 2^50 */
    uint64_t q1_mod_q3, q1_mod_q3_shoup;
    uint64_t inverse3;         /* (q1 q2)^-1 mod q3 */
    uint64_t inverse3_shoup;
};

/** From mod q to mod 2^bits. */
struct kern_wide_switch {
    kern_u128 q;        /* odd, between 2^99 and 2^100 */
    unsigned bits;      /* K, 1..100 */
    kern_u128 quotient; /* floor(2^(K+101) / q) */
};
void kern_wide_switch_init(struct kern_wide_switch *out, const struct kern_wide_join *join,
                           unsigned bits);

/** As struct kern_lanes, for words of up to 99 bits. */
struct kern_wide_lanes {
    unsigned lanes;      /* L, 1..64 */
    uint64_t radix;      /* r, odd, 3 <= r < 2^50 */
    kern_u128 recip;     /* floor(2^128 / r) */
    uint64_t recip64;    /* floor(2^64 / r) */
    unsigned wide;       /* digits to take off until what is left is below 2^63, at most L - 1 */
    uint64_t digit_half; /* (r-1)/2 */
    kern_u128 half;      /* (r^L-1)/2 */
};
/** @return false, out untouched, unless r is odd, 3 <= r < 2^50, L in 1..64 and r^L < 2^99 */
bool kern_wide_lanes_init(struct kern_wide_lanes *out, unsigned lanes, uint64_t radix);
/** floor(2^bits / r^L), bits <= 100: the step D that has room for every word. */
kern_u128 kern_wide_step_of(const struct kern_wide_lanes *lanes, unsigned bits);

/** As struct kern_step: messages at multiples of D modulo 2^K. */
struct kern_wide_step {
    struct kern_wide_switch mask;
    kern_u128 quotient; /* floor(2^(K+KERN_FRACTION_BITS+101) / q) */
    uint64_t step;      /* D, 1 <= D <= 2^40, D <= 2^K */
    kern_u128 recip;    /* floor(2^128 / 2D) */
    kern_u128 offset;   /* floor(2^(K-1) / D) + 1 */
    uint64_t limit;     /* in units of 2^-KERN_FRACTION_BITS, below 2^62 */
};
void kern_wide_step_init(struct kern_wide_step *out, const struct kern_wide_join *join,
                         unsigned bits, uint64_t step, uint64_t limit);

/** out[i] = the x in [0, q) with x = a[i] mod q1 = b[i] mod q2. */
void kern_wide_join2(kern_u128 *out, const uint64_t *a, const uint64_t *b, size_t n,
                     const struct kern_wide_join *join);
/** out[i] = x mod 2^128, signed, for the integer x, |x| < 2^126, with residues a, b, c modulo
 * q1, q2, q3. */
void kern_wide_join3(kern_u128 *out, const uint64_t *a, const uint64_t *b, const uint64_t *c,
                     size_t n, const struct kern_wide_join *join);
/** out[i] = the field in[i] < 2^bits, centred, modulo one prime; 1 <= bits <= 100. */
void kern_wide_lift_field(uint64_t *out, const kern_u128 *in, unsigned bits, size_t n,
                          const struct kern_modulus *m);

/** As the slots lanes_pack and lanes_unpack; |m| below 2^126. */
void kern_wide_lanes_pack(kern_u128 *m, size_t stride, const int32_t *values, size_t count,
                          const struct kern_wide_lanes *lanes);
uint64_t kern_wide_lanes_unpack(int64_t *values, size_t count, const kern_u128 *m, size_t stride,
                                const struct kern_wide_lanes *lanes, uint64_t limit);

/** a[i] = round(a[i] 2^K / q) mod 2^K, a in [0, q). q is odd: no ties. */
void kern_wide_switch(kern_u128 *a, size_t n, const struct kern_wide_switch *s);
/** a[i] = a[i] + D message[i] mod 2^K. */
void kern_wide_add_step(kern_u128 *a, const kern_u128 *message, size_t n,
                        const struct kern_wide_step *s);

/** As the slots pack_bits, unpack_bits and add_packed, for fields of 1..128 bits. Bytes are
 * public. */
void kern_wide_pack(uint8_t *out, const kern_u128 *fields, size_t count, unsigned bits);
void kern_wide_unpack(kern_u128 *fields, const uint8_t *in, size_t count, unsigned bits);
void kern_wide_add_packed(uint8_t *sum, const uint8_t *in, size_t size, unsigned bits);

/** As the slot open_step: x = sum[i] + product[i] 2^K / q, product in [0, q). */
uint64_t kern_wide_open_step(kern_u128 *message, const kern_u128 *sum, const kern_u128 *product,
                             size_t n, const struct kern_wide_step *s);
/**
 * The same for x = c0[i] + product[i] 2^(K-bits1), product a signed integer.
 * K and bits1 in 1..100; what lies below 2^-KERN_FRACTION_BITS is cut off.
 */
uint64_t kern_wide_open_torus(kern_u128 *message, const kern_u128 *c0, const kern_u128 *product,
                              unsigned bits1, size_t n, const struct kern_wide_step *s);

#endif
