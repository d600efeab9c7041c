/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RING_RING_H
#define RING_RING_H

#include "kern.h"

/**
 * The ring Z_q[x] / (x^N + 1), N = 2048, for the two primes that cairn uses.
 *
 * RING_Q carries the ciphertexts. RING_Q2 is there only to open torus ciphertexts: a product over
 * the integers is computed modulo both and put together again (kern_ops.crt_centred).
 * Both primes are 1 mod 4N, so they would serve N = 4096 as well.
 */
enum { RING_DEGREE = 2048 };
enum ring_prime { RING_Q, RING_Q2 };
enum { RING_PRIMES = 2 };

#define RING_Q_VALUE UINT64_C(0x3ffffffffc001)  /* 2^50 - 2^14 + 1 */
#define RING_Q2_VALUE UINT64_C(0x3fffffffcc001) /* 2^50 - 13 2^14 + 1 */

/** Transform tables. Built at the first call, immutable afterwards, any thread, never freed. */
const struct kern_ntt *ring_get(enum ring_prime which);
/** Constants to join residues modulo RING_Q (q1) and RING_Q2 (q2); as above. */
const struct kern_crt *ring_crt(void);

#endif
