/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys of profile seal-ckks as bytes (he_key_header.h): version 3, the moduli are the three data
 * primes and the special one. Fields of a public key: b, transformed, for each prime N of its
 * length, each below it; of a secret one: s, N of 2 bits: 0, 1, and 2 for -1.
 */
#include <string.h>

#include "digest.h"
#include "he_ckks.h"
#include "he_declassify.h"
#include "he_key_header.h"
#include "kern_prime.h"
#include "secret.h"

enum {
    N = HE_CKKS_DEGREE,
    WORDS_AT = HE_KEY_WORDS_AT(HE_CKKS_PRIMES),
    FIELDS_AT = HE_KEY_FIELDS_AT(HE_CKKS_PRIMES),
    PUBLIC_SIZE = FIELDS_AT + N / 8 * HE_CKKS_MODULUS_BITS + DIGEST_SIZE,
    TOP_BIT = 59, /* of q1 - 1 */
};
_Static_assert(FIELDS_AT + N * HE_KEY_TRIT_BITS / 8 + DIGEST_SIZE == HE_SECRET_KEY_CKKS_SIZE,
               "the length in he.h");
_Static_assert((HE_CKKS_Q1 - 1) % 2 == 0 && (HE_CKKS_Q1 - 1) >> TOP_BIT == 1, "-1 mod q1");

static const struct he_key_kind public_kind = {
    .magic = {'C', 'R', 'N', 'P'},
    .version = 3,
    .size = PUBLIC_SIZE,
    .degree = N,
    .primes = HE_CKKS_PRIMES,
    .moduli = {HE_CKKS_Q1, HE_CKKS_Q2, HE_CKKS_Q3, HE_CKKS_SPECIAL},
    .name = "public key",
    .label = "cairn public key v3",
    .hint = "is this the public key of this experiment, whole?",
};
static const struct he_key_kind secret_kind = {
    .magic = {'C', 'R', 'N', 'K'},
    .version = 3,
    .size = HE_SECRET_KEY_CKKS_SIZE,
    .degree = N,
    .primes = HE_CKKS_PRIMES,
    .moduli = {HE_CKKS_Q1, HE_CKKS_Q2, HE_CKKS_Q3, HE_CKKS_SPECIAL},
    .name = "secret key",
    .label = "cairn secret key v3",
    .hint = "is this the secret key that keygen wrote, whole?",
};

/* ---- public keys ---- */

int he_ckks_public_key_write(const struct he_public_key *key, struct buf *out)
{
    int rc = buf_reserve(out, PUBLIC_SIZE);
    if (rc != 0) {
        return rc;
    }
    uint8_t *bytes = out->data + out->size, *at = bytes + FIELDS_AT;
    he_key_begin(&public_kind, key->ckks->seed, bytes);
    for (unsigned k = 0; k < HE_CKKS_PRIMES; k++) {
        kern_get()->pack_bits(at, key->ckks->pair + (size_t)k * N, N, he_ckks_prime_bits[k]);
        at += N / 8 * he_ckks_prime_bits[k];
    }
    he_key_end(&public_kind, bytes);
    out->size += PUBLIC_SIZE;
    return 0;
}

static int read_fields(const uint8_t *at, struct he_ckks_public_key *key, struct cairn_problem *why)
{
    for (unsigned k = 0; k < HE_CKKS_PRIMES; k++) {
        const size_t bytes = N / 8 * he_ckks_prime_bits[k];
        size_t bad;
        if (!kern_prime_check_packed(at, bytes, he_ckks_prime_bits[k], he_ckks_primes[k], &bad)) {
            return problem_set(why, CAIRN_ERR_MALFORMED, "fetch the key again",
                               "public key coefficient %zu is not below prime %u", bad, k + 1);
        }
        kern_get()->unpack_bits(key->pair + (size_t)k * N, at, N, he_ckks_prime_bits[k]);
        at += bytes;
    }
    return 0;
}

int he_ckks_public_key_read(struct span bytes, struct he_public_key **out,
                            struct cairn_problem *why)
{
    int rc = he_key_check(&public_kind, bytes, why);
    if (rc != 0) {
        return rc;
    }
    struct he_public_key *key = he_ckks_public_key_new();
    if (key == NULL) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a public key");
    }
    memcpy(key->ckks->seed, bytes.data + WORDS_AT, sizeof key->ckks->seed);
    rc = read_fields(bytes.data + FIELDS_AT, key->ckks, why);
    if (rc == 0) {
        rc = he_ckks_expand(key->ckks->seed, key->ckks->pair + HE_CKKS_WORDS);
        if (rc != 0) {
            problem_set(why, rc, NULL, "cannot expand the public key's polynomial");
        }
    }
    if (rc != 0) {
        he_public_key_free(key);
        return rc;
    }
    *out = key;
    return 0;
}

/* ---- secret keys: no branch on coefficients ---- */

bool he_ckks_is_secret_key(struct span bytes)
{
    return he_key_is(&secret_kind, bytes);
}

int he_ckks_secret_key_write(const struct he_secret_key *key, const uint8_t id[HE_KEY_ID_SIZE],
                             uint8_t *out)
{
    uint64_t *trits = secret_alloc(8 * (size_t)N);
    memset(out, 0, HE_SECRET_KEY_CKKS_SIZE);
    if (trits == NULL || he_ckks_ring() == NULL) {
        secret_free(trits);
        return CAIRN_ERR_NO_MEMORY;
    }
    memcpy(trits, key->ckks->hat, 8 * (size_t)N);
    prime_ntt_backward(trits, &he_ckks_ring()->ntt[0]);
    he_key_begin(&secret_kind, id, out);
    he_key_pack_secret(out + FIELDS_AT, trits, N, TOP_BIT);
    he_key_end(&secret_kind, out);
    secret_free(trits);
    return 0;
}

int he_ckks_secret_key_read(struct span bytes, struct he_secret_key **out,
                            uint8_t id[HE_KEY_ID_SIZE], struct cairn_problem *why)
{
    int rc = he_key_check(&secret_kind, bytes, why);
    if (rc != 0) {
        return rc;
    }
    struct rlwe_scratch s = {0};
    struct he_secret_key *key = he_ckks_secret_key_new();
    if (key == NULL || he_ckks_ring() == NULL || rlwe_scratch_init(&s, he_ckks_ring(), 1) != 0) {
        rc = problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a secret key");
        goto cleanup;
    }
    uint64_t bad = he_key_unpack_secret(bytes.data + FIELDS_AT, N, N, s.small, s.work);
    he_declassify(&bad, sizeof bad); /* of a key that is kept: it is one */
    if (bad != 0) {
        rc = problem_set(why, CAIRN_ERR_MALFORMED, "make a new key pair",
                         "the secret key's coefficients are not those of a key");
        goto cleanup;
    }
    rns_lift_small(he_ckks_ring(), HE_CKKS_PRIMES, s.small, key->ckks->hat);
    rns_forward(he_ckks_ring(), HE_CKKS_PRIMES, key->ckks->hat);
    memcpy(id, bytes.data + WORDS_AT, HE_KEY_ID_SIZE);
    *out = key;
    key = NULL;
cleanup:
    he_secret_key_free(key);
    rlwe_scratch_release(&s);
    return rc;
}
