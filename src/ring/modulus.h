/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RING_MODULUS_H
#define RING_MODULUS_H

#include <stdbool.h>
#include <stdint.h>

/**
 * Number theory on public moduli, for tables and parameters. Divides freely: never for secrets.
 */

/** a b mod q, q > 0. */
uint64_t modulus_mul(uint64_t a, uint64_t b, uint64_t q);
/** base^exponent mod q, q > 1. */
uint64_t modulus_pow(uint64_t base, uint64_t exponent, uint64_t q);
/** a^-1 mod the prime q, a not 0 mod q. */
uint64_t modulus_inverse(uint64_t a, uint64_t q);
/**
 * Is n prime? Exact for every 64-bit n.
 * Source: Miller-Rabin with the bases 2, 3, ..., 37 (first twelve primes), which decide all
 *         n < 3.3 10^24 (Sorenson and Webster, "Strong pseudoprimes to twelve prime bases", 2017)
 */
bool modulus_is_prime(uint64_t n);
/** The smallest prime = 1 mod step above `above`; 0 if there is none below 2^62. step >= 1. */
uint64_t modulus_next_prime(uint64_t above, uint64_t step);
/**
 * The smallest primitive root of unity of order `order` mod the prime q.
 * @param order  a power of two >= 2 that divides q - 1
 * Cost  order / 2 multiplications
 */
uint64_t modulus_smallest_root(uint64_t order, uint64_t q);
/** floor(w 2^64 / q), w < q: Shoup's companion of a constant w. */
uint64_t modulus_shoup(uint64_t w, uint64_t q);

#endif
