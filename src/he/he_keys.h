/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HE_HE_KEYS_H
#define HE_HE_KEYS_H

#include "he.h"
#include "ring.h"

/** (b, a) = (-(a s + e), a), from size_alloc_array. Immutable once made. */
struct he_public_key {
    _Alignas(64) uint64_t b[RING_DEGREE]; /* coefficients */
    uint64_t b_hat[RING_DEGREE];          /* transformed */
    uint64_t a_hat[RING_DEGREE];
    uint8_t seed[32]; /* a = he_expand(he_public_key_seed(seed)), coefficients */
    struct he_wide_public_key *wide; /* owned; of N = 4096: the whole key. NULL otherwise */
    struct he_ckks_public_key *ckks; /* the same for profile seal-ckks */
};

/** Ternary s, transformed modulo each prime; from secret_alloc. Immutable once made. */
struct he_secret_key {
    _Alignas(64) uint64_t hat[RING_PRIMES][RING_DEGREE];
    struct he_wide_secret_key *wide; /* as above, from secret_alloc */
    struct he_ckks_secret_key *ckks;
};

/** Fill b_hat and a_hat from b and seed. @retval CAIRN_ERR_ENVIRONMENT, CAIRN_ERR_NO_MEMORY */
CAIRN_MUST_CHECK int he_public_key_complete(struct he_public_key *key);

/** Parameters and key of one ring? `key` NULL: of N = 2048. @retval CAIRN_ERR_REFUSED  no; both are
 * named */
CAIRN_MUST_CHECK int he_check_public_key(const struct he_params *params,
                                         const struct he_public_key *key,
                                         struct cairn_problem *why);
CAIRN_MUST_CHECK int he_check_secret_key(const struct he_params *params,
                                         const struct he_secret_key *key,
                                         struct cairn_problem *why);
/** "2048-50": degree and bits of the modulus of a ring that there is. */
const char *he_ring_name(size_t degree);

#endif
