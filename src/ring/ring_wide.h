/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RING_RING_WIDE_H
#define RING_RING_WIDE_H

#include "kern.h"
#include "kern_wide128.h"

/**
 * The wide ring Z_q[x] / (x^N + 1), N = 4096, q = q1 q2 of 100 bits: polynomials are held as
 * residues modulo both primes.
 *
 * RING_WIDE_Q3 carries no ciphertext. Like RING_Q2 in ring.h it is there to open torus
 * ciphertexts: a centred field of at most 100 bits times a ternary key is below 2^12 2^99 = 2^111
 * over the integers, more than q holds and far less than q1 q2 q3 / 2 > 2^146.
 */
enum { RING_WIDE_DEGREE = 4096 };
enum ring_wide_prime { RING_WIDE_Q1, RING_WIDE_Q2, RING_WIDE_Q3 };
enum {
    RING_WIDE_PRIMES = 2,     /* of q */
    RING_WIDE_ALL_PRIMES = 3, /* of an opening */
    RING_WIDE_Q_BITS = 100,   /* bit length of q */
};

/* The three largest primes below 2^50 that are 1 mod 2^14 = 4N (the first two serve ring.h too):
 * of the numbers 2^50 - k 2^14 + 1 those with k = 1, 13 and 67; the test walks through the rest. */
#define RING_WIDE_Q1_VALUE UINT64_C(0x3ffffffffc001)
#define RING_WIDE_Q2_VALUE UINT64_C(0x3fffffffcc001)
#define RING_WIDE_Q3_VALUE UINT64_C(0x3ffffffef4001)

/** q, for bounds: 2^100 less a hair. */
#define RING_WIDE_Q_REAL ((double)RING_WIDE_Q1_VALUE * (double)RING_WIDE_Q2_VALUE)

/** Transform tables. Built at the first call, immutable afterwards, any thread, never freed. */
const struct kern_ntt *ring_wide_get(enum ring_wide_prime which);
/** Constants to join residues modulo q1, q2 (and q3); as above. */
const struct kern_wide_join *ring_wide_join(void);

#endif
