/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HE_RLWE_H
#define HE_RLWE_H

#include <stdbool.h>

#include "random.h"
#include "rns.h"

#include <cairn/err.h>

/**
 * Encryption over any ring of rns.h, as Microsoft SEAL does it, word for word where nothing is
 * random: what its schemes BFV and CKKS share. Messages are added by whoever calls
 * (rlwe_bfv.h, ckks_encoder.h).
 *
 * With K primes keys live at level K. A pair (c0, c1) is 2 N level words, c0 first, and decrypts as
 * c0 + c1 s. Errors are centred binomial 21+21, secrets and masks uniform ternary. No branch,
 * index or division depends on a secret.
 */

/** Temporaries that depend on secrets, from secret_alloc. */
struct rlwe_scratch {
    size_t n;
    unsigned level;
    uint64_t *poly;  /* (N level) */
    uint64_t *pair;  /* (2 N level) */
    uint64_t *work;  /* (N) */
    int32_t *small;  /* (N) */
    uint8_t *random; /* (6 N) */
};

/** @retval CAIRN_ERR_NO_MEMORY  and *s is empty. Free with rlwe_scratch_release. */
CAIRN_MUST_CHECK int rlwe_scratch_init(struct rlwe_scratch *s, const struct rns_ring *ring,
                                       unsigned level);
void rlwe_scratch_release(struct rlwe_scratch *s);

/** A uniform ternary key, transformed modulo all primes. @param[out] key  (N K) from secret memory.
 * @retval CAIRN_ERR_NO_ENTROPY */
CAIRN_MUST_CHECK int rlwe_secret(const struct rns_ring *ring, struct secret_rng *rng, uint64_t *key,
                                 struct rlwe_scratch *s);

/**
 * s->poly = -(a k + e) at `level` (at most s->level), in the representation of `a`.
 * @param key  (N K) transformed
 * @param a    (N level) transformed or, if !hat, coefficients
 * @retval CAIRN_ERR_NO_ENTROPY
 */
CAIRN_MUST_CHECK int rlwe_zero(const struct rns_ring *ring, unsigned level, const uint64_t *key,
                               const uint64_t *a, bool hat, struct secret_rng *rng,
                               struct rlwe_scratch *s);

/**
 * An encryption of zero under a public key: key u + (e0, e1) at s->level, and where `level` is
 * one below it, divided by the last prime of s->level and rounded.
 * s->pair + p N s->level holds c_p, transformed if `hat`; words beyond N level are spoilt.
 * @param key  (2 N K) transformed
 * @retval CAIRN_ERR_NO_ENTROPY
 */
CAIRN_MUST_CHECK int rlwe_zero_public(const struct rns_ring *ring, unsigned level,
                                      const uint64_t *key, bool hat, struct secret_rng *rng,
                                      struct rlwe_scratch *s);

/** x = c0 + c1 k, in the representation of the pair. @param[out] x  (N level) from secret memory */
void rlwe_phase(const struct rns_ring *ring, unsigned level, const uint64_t *key,
                const uint64_t *pair, bool hat, uint64_t *x);

#endif
