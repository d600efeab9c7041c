/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys of the wide ring as bytes (he_key_header.h): version 2, moduli q1 and q2. Fields of a public
 * key: b in coefficients, N of 50 bits modulo q1, then N modulo q2, each below its prime; of a
 * secret one: s, N of 2 bits, 0, 1, and 2 for -1. Programs that know only version 1 refuse
 * version 2 for its length.
 */
#include <stdlib.h>
#include <string.h>

#include "digest.h"
#include "he_declassify.h"
#include "he_key_header.h"
#include "he_noise.h"
#include "he_wide.h"
#include "le.h"
#include "secret.h"

enum {
    N = RING_WIDE_DEGREE,
    WORDS_AT = HE_KEY_WORDS_AT(RING_WIDE_PRIMES), /* seed or id */
    HEADER = HE_KEY_FIELDS_AT(RING_WIDE_PRIMES),
    FIELD_BITS = 50,
    FIELDS = N * FIELD_BITS / 8, /* of one prime */
    PUBLIC_SIZE = HEADER + RING_WIDE_PRIMES * FIELDS + DIGEST_SIZE,
    TOP_BIT = 49, /* of q1 - 1 */
};
_Static_assert(HEADER + N * HE_KEY_TRIT_BITS / 8 + DIGEST_SIZE == HE_SECRET_KEY_WIDE_SIZE,
               "the length in he.h");
_Static_assert((RING_WIDE_Q1_VALUE - 1) % 2 == 0 && (RING_WIDE_Q1_VALUE - 1) >> TOP_BIT == 1, "-1");

static const struct he_key_kind public_kind = {
    .magic = {'C', 'R', 'N', 'P'},
    .version = 2,
    .size = PUBLIC_SIZE,
    .degree = N,
    .primes = RING_WIDE_PRIMES,
    .moduli = {RING_WIDE_Q1_VALUE, RING_WIDE_Q2_VALUE},
    .name = "public key",
    .label = "cairn public key v2",
    .hint = "is this the public key of this experiment, whole?",
};
static const struct he_key_kind secret_kind = {
    .magic = {'C', 'R', 'N', 'K'},
    .version = 2,
    .size = HE_SECRET_KEY_WIDE_SIZE,
    .degree = N,
    .primes = RING_WIDE_PRIMES,
    .moduli = {RING_WIDE_Q1_VALUE, RING_WIDE_Q2_VALUE},
    .name = "secret key",
    .label = "cairn secret key v2",
    .hint = "is this the secret key that keygen wrote, whole?",
};

/* ---- public keys ---- */

/* Offset of b modulo one prime. */
static size_t fields_at(int prime)
{
    return HEADER + (size_t)prime * FIELDS;
}

int he_wide_public_key_write(const struct he_public_key *key, struct buf *out)
{
    int rc = buf_reserve(out, PUBLIC_SIZE);
    if (rc != 0) {
        return rc;
    }
    uint8_t *bytes = out->data + out->size;
    he_key_begin(&public_kind, key->wide->seed, bytes);
    for (int p = 0; p < RING_WIDE_PRIMES; p++) {
        kern_get()->pack_bits(bytes + fields_at(p), key->wide->b[p], N, FIELD_BITS);
    }
    he_key_end(&public_kind, bytes);
    out->size += PUBLIC_SIZE;
    return 0;
}

/* Before any transform: a reduction would hide a coefficient that should not be there. */
static int check_coefficients(const struct he_wide_public_key *key, struct cairn_problem *why)
{
    for (int p = 0; p < RING_WIDE_PRIMES; p++) {
        const uint64_t q = ring_wide_get((enum ring_wide_prime)p)->modulus.q;
        for (size_t i = 0; i < N; i++) {
            if (key->b[p][i] >= q) {
                return problem_set(why, CAIRN_ERR_MALFORMED, "fetch the key again",
                                   "public key coefficient %zu is not below prime %d", i, p + 1);
            }
        }
    }
    return 0;
}

int he_wide_public_key_read(struct span bytes, struct he_public_key **out,
                            struct cairn_problem *why)
{
    int rc = he_key_check(&public_kind, bytes, why);
    if (rc != 0) {
        return rc;
    }
    struct he_public_key *key = he_wide_public_key_new();
    if (key == NULL) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a public key");
    }
    memcpy(key->wide->seed, bytes.data + WORDS_AT, sizeof key->wide->seed);
    for (int p = 0; p < RING_WIDE_PRIMES; p++) {
        kern_get()->unpack_bits(key->wide->b[p], bytes.data + fields_at(p), N, FIELD_BITS);
    }
    rc = check_coefficients(key->wide, why);
    if (rc == 0) {
        rc = he_wide_public_key_complete(key->wide);
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

bool he_wide_is_secret_key(struct span bytes)
{
    return he_key_is(&secret_kind, bytes);
}

int he_wide_secret_key_write(const struct he_secret_key *key, const uint8_t id[HE_KEY_ID_SIZE],
                             uint8_t *out)
{
    memset(out, 0, HE_SECRET_KEY_WIDE_SIZE);
    struct he_wide_scratch *s = he_wide_scratch_new();
    if (s == NULL) {
        return CAIRN_ERR_NO_MEMORY;
    }
    memcpy(s->a[0], key->wide->hat[RING_WIDE_Q1], sizeof s->a[0]);
    kern_get()->ntt_inv(s->a[0], ring_wide_get(RING_WIDE_Q1));
    he_key_begin(&secret_kind, id, out);
    he_key_pack_secret(out + HEADER, s->a[0], N, TOP_BIT);
    he_key_end(&secret_kind, out);
    he_wide_scratch_free(s);
    return 0;
}

int he_wide_secret_key_read(struct span bytes, struct he_secret_key **out,
                            uint8_t id[HE_KEY_ID_SIZE], struct cairn_problem *why)
{
    int rc = he_key_check(&secret_kind, bytes, why);
    if (rc != 0) {
        return rc;
    }
    struct he_wide_scratch *s = he_wide_scratch_new();
    struct he_secret_key *key = he_wide_secret_key_new();
    if (s == NULL || key == NULL) {
        rc = problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a secret key");
        goto cleanup;
    }
    uint64_t bad = he_key_unpack_secret(bytes.data + HEADER, N, HE_NOISE_MAX_WIDE_KEY_WEIGHT, s->small,
                                        s->a[0]);
    he_declassify(&bad, sizeof bad); /* of a key that is kept: it is one */
    if (bad != 0) {
        rc = problem_set(why, CAIRN_ERR_MALFORMED, "make a new key pair",
                         "the secret key's coefficients are not those of a key");
        goto cleanup;
    }
    he_wide_forward(key->wide->hat, s->small, RING_WIDE_ALL_PRIMES);
    memcpy(id, bytes.data + WORDS_AT, HE_KEY_ID_SIZE);
    *out = key;
    key = NULL;
cleanup:
    he_secret_key_free(key);
    he_wide_scratch_free(s);
    return rc;
}
