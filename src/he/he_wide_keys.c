/* SPDX-License-Identifier: Apache-2.0 */
/* Sampling and key pairs over the wide ring. */
#include <stdlib.h>
#include <string.h>

#include "he_declassify.h"
#include "he_noise.h"
#include "he_sample.h"
#include "he_wide.h"
#include "secret.h"
#include "sizes.h"

enum { N = RING_WIDE_DEGREE };

struct he_wide_scratch *he_wide_scratch_new(void)
{
    return secret_alloc(sizeof(struct he_wide_scratch));
}

void he_wide_scratch_free(struct he_wide_scratch *s)
{
    secret_free(s);
}

int he_wide_sample_cbd(struct secret_rng *rng, struct he_wide_scratch *s)
{
    return he_draw_cbd(rng, s->small, N, s->random);
}

int he_wide_sample_ternary(struct secret_rng *rng, struct he_wide_scratch *s)
{
    return he_draw_ternary(rng, s->small, N, s->random);
}

int he_wide_expand(const uint8_t seed[32], enum ring_wide_prime prime, uint64_t *out,
                   uint8_t *stream)
{
    const struct kern_modulus *m = &ring_wide_get(prime)->modulus;
    uint8_t key[32];
    size_t filled = 0, size = (size_t)8 * N;
    uint64_t offset = 0;
    he_prime_seed("cairn wide ring v1", seed, (uint32_t)prime, key);
    while (filled < N) {
        int rc = random_expand(key, offset, stream, size);
        if (rc != 0) {
            return rc;
        }
        filled += kern_get()->uniform_reject(out + filled, N - filled, stream, size, m);
        offset += size;
        size = 64; /* a word is refused once in 2^32 or less */
    }
    return 0;
}

void he_wide_forward(uint64_t hat[][N], const int32_t *small, int primes)
{
    for (int p = 0; p < primes; p++) {
        const struct kern_ntt *ring = ring_wide_get((enum ring_wide_prime)p);
        kern_get()->lift_small(hat[p], small, N, &ring->modulus);
        kern_get()->ntt_fwd(hat[p], ring);
    }
}

struct he_public_key *he_wide_public_key_new(void)
{
    struct he_public_key *key = size_alloc_array(1, sizeof *key);
    if (key != NULL) {
        key->wide = size_alloc_array(1, sizeof *key->wide);
    }
    if (key != NULL && key->wide == NULL) {
        he_public_key_free(key);
        key = NULL;
    }
    return key;
}

struct he_secret_key *he_wide_secret_key_new(void)
{
    struct he_secret_key *key = secret_alloc(sizeof *key);
    if (key != NULL) {
        key->wide = secret_alloc(sizeof *key->wide);
    }
    if (key != NULL && key->wide == NULL) {
        he_secret_key_free(key);
        key = NULL;
    }
    return key;
}

int he_wide_public_key_complete(struct he_wide_public_key *key)
{
    const struct kern_ops *ops = kern_get();
    uint8_t seed[32];
    uint8_t *stream = size_alloc_array(8, N);
    if (stream == NULL) {
        return CAIRN_ERR_NO_MEMORY;
    }
    he_public_key_seed(key->seed, seed);
    int rc = 0;
    for (int p = 0; rc == 0 && p < RING_WIDE_PRIMES; p++) {
        const struct kern_ntt *ring = ring_wide_get((enum ring_wide_prime)p);
        rc = he_wide_expand(seed, (enum ring_wide_prime)p, key->a_hat[p], stream);
        if (rc == 0) {
            ops->ntt_fwd(key->a_hat[p], ring);
            memcpy(key->b_hat[p], key->b[p], sizeof key->b[p]);
            ops->ntt_fwd(key->b_hat[p], ring);
        }
    }
    free(stream);
    return rc;
}

/* s->small = a ternary secret of bounded weight, as he_keys.c has it */
static int draw_secret(struct secret_rng *rng, struct he_wide_scratch *s)
{
    uint32_t heavy;
    do {
        int rc = he_wide_sample_ternary(rng, s);
        if (rc != 0) {
            return rc;
        }
        uint32_t weight = 0;
        for (size_t i = 0; i < N; i++) {
            weight += (uint32_t)s->small[i] & 1; /* 1 for both 1 and -1 */
        }
        heavy = (HE_NOISE_MAX_WIDE_KEY_WEIGHT - weight) >> 31;
        /* tells of a key that is kept only what everybody knows: it is not too heavy */
        he_declassify(&heavy, sizeof heavy);
    } while (heavy != 0);
    return 0;
}

/* b = -(a s + e). The public parts are filled first, with b = 0, to have a_hat. */
static int make_public(struct secret_rng *rng, struct he_wide_scratch *s,
                       const struct he_wide_secret_key *secret, struct he_wide_public_key *key)
{
    const struct kern_ops *ops = kern_get();
    int rc = secret_rng_fill(rng, key->seed, sizeof key->seed);
    he_declassify(key->seed, sizeof key->seed); /* part of the public key */
    if (rc == 0) {
        rc = he_wide_public_key_complete(key);
    }
    if (rc == 0) {
        rc = he_wide_sample_cbd(rng, s);
    }
    for (int p = 0; rc == 0 && p < RING_WIDE_PRIMES; p++) {
        const struct kern_ntt *ring = ring_wide_get((enum ring_wide_prime)p);
        ops->mul(key->b[p], key->a_hat[p], secret->hat[p], N, &ring->modulus);
        ops->ntt_inv(key->b[p], ring);
        ops->neg_add_small(key->b[p], s->small, N, &ring->modulus);
        memcpy(key->b_hat[p], key->b[p], sizeof key->b[p]);
        ops->ntt_fwd(key->b_hat[p], ring);
    }
    return rc;
}

int he_wide_keygen(struct secret_rng *rng, struct he_secret_key **secret,
                   struct he_public_key **public_key)
{
    int rc = CAIRN_ERR_NO_MEMORY;
    struct he_wide_scratch *s = he_wide_scratch_new();
    struct he_secret_key *sk = he_wide_secret_key_new();
    struct he_public_key *pk = he_wide_public_key_new();
    if (s != NULL && sk != NULL && pk != NULL) {
        rc = draw_secret(rng, s);
    }
    if (rc == 0) {
        he_wide_forward(sk->wide->hat, s->small, RING_WIDE_ALL_PRIMES);
        rc = make_public(rng, s, sk->wide, pk->wide);
    }
    he_wide_scratch_free(s);
    if (rc != 0) {
        if (pk != NULL) {
            secret_wipe(pk->wide, sizeof *pk->wide); /* b may still lack its error */
        }
        he_public_key_free(pk);
        he_secret_key_free(sk);
        return rc;
    }
    *secret = sk;
    *public_key = pk;
    return 0;
}
