/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HE_RLWE_BFV_H
#define HE_RLWE_BFV_H

#include "rns.h"

/**
 * BFV's messages over the rings of rns.h, with Microsoft SEAL's rounding: coefficients below a
 * plain modulus t of at most 60 bits, coprime to every prime.
 */

/**
 * c += m floor(Q/t) + floor(((Q mod t) m + floor((t+1)/2)) / t), Q the product of the level's
 * primes, coefficients.
 * @param m  (N) below t
 */
void rlwe_bfv_add(const struct rns_ring *ring, unsigned level, uint64_t t, const uint64_t *m,
                  uint64_t *c);

/** m = round(t x / Q) mod t, exact while x is nearer to a message than Q / 2t by 2^-56 of it.
 * @param x  (N level) coefficients. @param[out] m  (N) */
void rlwe_bfv_round(const struct rns_ring *ring, unsigned level, uint64_t t, const uint64_t *x,
                    uint64_t *m);

#endif
