/* SPDX-License-Identifier: Apache-2.0 */
/* Key pairs: made, freed, and brought into the form that encryption wants. */
#include "he_keys.h"

#include <stdlib.h>
#include <string.h>

#include "he_ckks.h"
#include "he_declassify.h"
#include "he_noise.h"
#include "he_sample.h"
#include "he_wide.h"
#include "secret.h"
#include "sizes.h"

void he_secret_key_free(struct he_secret_key *key)
{
    if (key != NULL) {
        secret_free(key->wide);
        secret_free(key->ckks);
    }
    secret_free(key);
}

void he_public_key_free(struct he_public_key *key)
{
    if (key != NULL) {
        free(key->wide);
        free(key->ckks);
    }
    free(key);
}

/* ---- which ring ---- */

const char *he_ring_name(size_t degree)
{
    switch (degree) {
    case RING_DEGREE:
        return "2048-50";
    case RING_WIDE_DEGREE:
        return "4096-100";
    case HE_CKKS_DEGREE:
        return "8192-200";
    default:
        return "of unknown degree";
    }
}

static size_t degree_of(bool wide, bool ckks)
{
    return ckks ? (size_t)HE_CKKS_DEGREE : wide ? (size_t)RING_WIDE_DEGREE : (size_t)RING_DEGREE;
}

static int check_degree(const struct he_params *params, size_t degree, struct cairn_problem *why)
{
    if (params->profile == HE_NONE || params->degree == degree) {
        return 0;
    }
    return problem_set(why, CAIRN_ERR_REFUSED, "make a key pair for these parameters",
                       "a key of ring %s; parameters %s are of ring %s", he_ring_name(degree),
                       params->id, he_ring_name(params->degree));
}

int he_check_public_key(const struct he_params *params, const struct he_public_key *key,
                        struct cairn_problem *why)
{
    const bool wide = key != NULL && key->wide != NULL, ckks = key != NULL && key->ckks != NULL;
    return check_degree(params, degree_of(wide, ckks), why);
}

int he_check_secret_key(const struct he_params *params, const struct he_secret_key *key,
                        struct cairn_problem *why)
{
    const bool wide = key != NULL && key->wide != NULL, ckks = key != NULL && key->ckks != NULL;
    return check_degree(params, degree_of(wide, ckks), why);
}

/* ---- N = 2048 ---- */

int he_public_key_complete(struct he_public_key *key)
{
    const struct kern_ops *ops = kern_get();
    const struct kern_ntt *ring = ring_get(RING_Q);
    uint8_t seed[32];
    uint8_t *stream = size_alloc_array(8, RING_DEGREE);
    if (stream == NULL) {
        return CAIRN_ERR_NO_MEMORY;
    }
    he_public_key_seed(key->seed, seed);
    int rc = he_expand(seed, key->a_hat, stream);
    if (rc == 0) {
        ops->ntt_fwd(key->a_hat, ring);
        memcpy(key->b_hat, key->b, sizeof key->b);
        ops->ntt_fwd(key->b_hat, ring);
    }
    free(stream);
    return rc;
}

/* s->small = a ternary secret of bounded weight: a key that is too heavy is thrown away whole. */
static int draw_secret(struct secret_rng *rng, struct he_scratch *s)
{
    uint32_t heavy;
    do {
        int rc = he_sample_ternary(rng, s);
        if (rc != 0) {
            return rc;
        }
        uint32_t weight = 0;
        for (size_t i = 0; i < RING_DEGREE; i++) {
            weight += (uint32_t)s->small[i] & 1; /* 1 for both 1 and -1 */
        }
        heavy = (HE_NOISE_MAX_KEY_WEIGHT - weight) >> 31;
        /* tells of a key that is kept only what everybody knows: it is not too heavy */
        he_declassify(&heavy, sizeof heavy);
    } while (heavy != 0);
    return 0;
}

static int make_secret(struct secret_rng *rng, struct he_scratch *s, struct he_secret_key *key)
{
    int rc = draw_secret(rng, s);
    for (int p = 0; rc == 0 && p < RING_PRIMES; p++) {
        const struct kern_ntt *ring = ring_get((enum ring_prime)p);
        kern_get()->lift_small(key->hat[p], s->small, RING_DEGREE, &ring->modulus);
        kern_get()->ntt_fwd(key->hat[p], ring);
    }
    return rc;
}

/* b = -(a s + e). The public parts are filled first, with b = 0, to have a_hat. */
static int make_public(struct secret_rng *rng, struct he_scratch *s,
                       const struct he_secret_key *secret, struct he_public_key *key)
{
    const struct kern_ops *ops = kern_get();
    const struct kern_ntt *ring = ring_get(RING_Q);
    int rc = secret_rng_fill(rng, key->seed, sizeof key->seed);
    he_declassify(key->seed, sizeof key->seed); /* part of the public key */
    if (rc == 0) {
        rc = he_public_key_complete(key);
    }
    if (rc == 0) {
        rc = he_sample_cbd(rng, s);
    }
    if (rc != 0) {
        return rc;
    }
    ops->mul(key->b, key->a_hat, secret->hat[RING_Q], RING_DEGREE, &ring->modulus);
    ops->ntt_inv(key->b, ring);
    ops->neg_add_small(key->b, s->small, RING_DEGREE, &ring->modulus);
    memcpy(key->b_hat, key->b, sizeof key->b);
    ops->ntt_fwd(key->b_hat, ring);
    return 0;
}

int he_keygen(const struct he_params *params, struct secret_rng *rng, struct he_secret_key **secret,
              struct he_public_key **public_key)
{
    *secret = NULL;
    *public_key = NULL;
    if (params->profile == HE_NONE) {
        return CAIRN_ERR_BUG;
    }
    if (he_is_ckks(params)) {
        return he_ckks_keygen(rng, secret, public_key);
    }
    if (he_is_wide(params)) {
        return he_wide_keygen(rng, secret, public_key);
    }
    int rc = CAIRN_ERR_NO_MEMORY;
    struct he_scratch *s = he_scratch_new();
    struct he_secret_key *sk = secret_alloc(sizeof *sk);
    struct he_public_key *pk = size_alloc_array(1, sizeof *pk);
    if (s != NULL && sk != NULL && pk != NULL) {
        rc = make_secret(rng, s, sk);
        if (rc == 0) {
            rc = make_public(rng, s, sk, pk);
        }
    }
    he_scratch_free(s);
    if (rc != 0) {
        if (pk != NULL) {
            secret_wipe(pk, sizeof *pk); /* b may still lack its error */
        }
        he_public_key_free(pk);
        he_secret_key_free(sk);
        return rc;
    }
    *secret = sk;
    *public_key = pk;
    return 0;
}
