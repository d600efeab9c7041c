/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RING_RNS_H
#define RING_RNS_H

#include "prime_ntt.h"

/**
 * The ring Z_Q[x] / (x^N + 1), Q a product of primes of any size below 2^61: a polynomial is held
 * as its residues, prime after prime, N words each, in coefficients or transformed.
 *
 * At LEVEL k it is held modulo the first k primes: N k words. Functions here go over all of them,
 * and no branch, index or division depends on a word.
 */
enum { RNS_MAX_PRIMES = 64 };

struct rns_ring {
    size_t n;        /* N, a power of two >= 8 */
    unsigned primes; /* K */
    struct prime_ntt ntt[RNS_MAX_PRIMES]; /* (K) */
};

/** @param q  different primes = 1 mod 2n below 2^61. @retval CAIRN_ERR_NO_MEMORY; out is empty.
 * Free with rns_ring_release, which takes an empty one, too. */
int rns_ring_init(struct rns_ring *out, size_t n, const uint64_t *q, unsigned primes);
void rns_ring_release(struct rns_ring *ring);

/** Words of a polynomial at a level. */
static inline size_t rns_words(const struct rns_ring *ring, unsigned level)
{
    return ring->n * level;
}

/** Transforms (prime_ntt.h), in place. */
void rns_forward(const struct rns_ring *ring, unsigned level, uint64_t *a);
void rns_backward(const struct rns_ring *ring, unsigned level, uint64_t *a);
/** out = a b, word by word; out may be a or b. */
void rns_mul(const struct rns_ring *ring, unsigned level, uint64_t *out, const uint64_t *a,
             const uint64_t *b);
/** a += b */
void rns_add(const struct rns_ring *ring, unsigned level, uint64_t *a, const uint64_t *b);
/** a = -a */
void rns_neg(const struct rns_ring *ring, unsigned level, uint64_t *a);
/** out = N small signed numbers, each below every prime in magnitude. */
void rns_lift_small(const struct rns_ring *ring, unsigned level, const int32_t *small,
                    uint64_t *out);
/** a += such numbers */
void rns_add_small(const struct rns_ring *ring, unsigned level, uint64_t *a, const int32_t *small);

/**
 * Divide by the last prime p of `level` and round, in coefficients, in place: with h = p >> 1 and
 * r = (x_last + h) mod p,  x' = (x - r + h) p^-1 mod q  for each other prime q.
 * What is left is at level - 1; the words of p are spoilt. Source: Microsoft SEAL.
 */
void rns_divide_round(const struct rns_ring *ring, unsigned level, uint64_t *a);
/**
 * a + small, divided and rounded in the same way, with a transformed before and after: the same
 * words as in coefficients, for one transform of p's words back and one of each other prime's.
 * @param small  (N) as rns_add_small, in coefficients
 * @param work   (N)
 */
void rns_divide_round_hat(const struct rns_ring *ring, unsigned level, uint64_t *a,
                          const int32_t *small, uint64_t *work);

#endif
