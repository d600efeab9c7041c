/* SPDX-License-Identifier: Apache-2.0 */
/* Key pairs of profile seal-ckks. */
#include <stdlib.h>
#include <string.h>

#include "he_ckks.h"
#include "he_declassify.h"
#include "he_sample.h"
#include "le.h"
#include "secret.h"
#include "sizes.h"

enum { N = HE_CKKS_DEGREE };

struct he_public_key *he_ckks_public_key_new(void)
{
    struct he_public_key *key = size_alloc_array(1, sizeof *key);
    if (key != NULL) {
        key->ckks = size_alloc_array(1, sizeof *key->ckks);
    }
    if (key != NULL && key->ckks == NULL) {
        he_public_key_free(key);
        key = NULL;
    }
    return key;
}

struct he_secret_key *he_ckks_secret_key_new(void)
{
    struct he_secret_key *key = secret_alloc(sizeof *key);
    if (key != NULL) {
        key->ckks = secret_alloc(sizeof *key->ckks);
    }
    if (key != NULL && key->ckks == NULL) {
        he_secret_key_free(key);
        key = NULL;
    }
    return key;
}

/* Words of a stream that are below the prime. @return how many were kept, at most `room` */
static size_t keep(const uint8_t *stream, size_t words, unsigned prime, uint64_t *out, size_t room)
{
    size_t kept = 0;
    for (size_t i = 0; i < words && kept < room; i++) {
        uint64_t x = le_get64(stream + 8 * i) & kern_mask_bits(he_ckks_prime_bits[prime]);
        out[kept] = x;
        kept += x < he_ckks_primes[prime];
    }
    return kept;
}

static int expand_prime(const uint8_t seed[32], unsigned prime, uint64_t *out, uint8_t *stream)
{
    uint8_t key[32];
    size_t filled = 0, size = (size_t)8 * N;
    uint64_t offset = 0;
    he_prime_seed("cairn seal-ckks a v1", seed, prime, key);
    while (filled < N) {
        int rc = random_expand(key, offset, stream, size);
        if (rc != 0) {
            return rc;
        }
        filled += keep(stream, size / 8, prime, out + filled, N - filled);
        offset += size;
        size = 64; /* a word is refused once in 2^20 or less */
    }
    return 0;
}

int he_ckks_expand(const uint8_t seed[32], uint64_t *a)
{
    uint8_t *stream = size_alloc_array(8, N);
    int rc = stream != NULL ? 0 : CAIRN_ERR_NO_MEMORY;
    for (unsigned k = 0; rc == 0 && k < HE_CKKS_PRIMES; k++) {
        rc = expand_prime(seed, k, a + (size_t)k * N, stream);
    }
    free(stream);
    return rc;
}

static int make_public(struct secret_rng *rng, const struct he_ckks_secret_key *secret,
                       struct he_ckks_public_key *key, struct rlwe_scratch *s)
{
    uint64_t *a = key->pair + HE_CKKS_WORDS;
    int rc = secret_rng_fill(rng, key->seed, sizeof key->seed);
    he_declassify(key->seed, sizeof key->seed); /* part of the public key */
    if (rc == 0) {
        rc = he_ckks_expand(key->seed, a);
    }
    if (rc == 0) {
        rc = rlwe_zero(he_ckks_ring(), HE_CKKS_PRIMES, secret->hat, a, true, rng, s);
    }
    if (rc == 0) {
        memcpy(key->pair, s->poly, 8 * (size_t)HE_CKKS_WORDS);
    }
    return rc;
}

int he_ckks_keygen(struct secret_rng *rng, struct he_secret_key **secret,
                   struct he_public_key **public_key)
{
    struct rlwe_scratch s = {0};
    struct he_secret_key *sk = he_ckks_secret_key_new();
    struct he_public_key *pk = he_ckks_public_key_new();
    int rc = sk == NULL || pk == NULL || he_ckks_ring() == NULL
                 ? CAIRN_ERR_NO_MEMORY
                 : rlwe_scratch_init(&s, he_ckks_ring(), HE_CKKS_PRIMES);
    if (rc == 0) {
        rc = rlwe_secret(he_ckks_ring(), rng, sk->ckks->hat, &s);
    }
    if (rc == 0) {
        rc = make_public(rng, sk->ckks, pk->ckks, &s);
    }
    rlwe_scratch_release(&s);
    if (rc != 0) {
        he_public_key_free(pk);
        he_secret_key_free(sk);
        return rc;
    }
    *secret = sk;
    *public_key = pk;
    return 0;
}
