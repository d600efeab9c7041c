/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secret keys of N = 2048 as bytes (he_key_header.h; other rings: he_wide_key_file.c,
 * he_ckks_key_file.c): version 1, fields are s, N of 2 bits: 0, 1, and 2 for -1.
 *
 * Everything that depends on the coefficients lives in secret memory or is wiped, and is computed
 * without a branch on them: reading a key takes as long whatever it is.
 */
#include <string.h>

#include "digest.h"
#include "he_ckks.h"
#include "he_declassify.h"
#include "he_key_header.h"
#include "he_keys.h"
#include "he_noise.h"
#include "he_sample.h"
#include "he_wide.h"
#include "secret.h"

enum {
    FIELDS_AT = HE_KEY_FIELDS_AT(1),
    FIELDS = RING_DEGREE * HE_KEY_TRIT_BITS / 8,
    TOP_BIT = 49, /* of q - 1 */
};
_Static_assert(FIELDS_AT + FIELDS + DIGEST_SIZE == HE_SECRET_KEY_SIZE, "the length in he.h");
_Static_assert((int)HE_KEY_ID_SIZE == (int)DIGEST_SIZE, "an id is a digest");
_Static_assert((RING_Q_VALUE - 1) % 2 == 0 && (RING_Q_VALUE - 1) >> TOP_BIT == 1, "-1 mod q");

static const struct he_key_kind kind = {
    .magic = {'C', 'R', 'N', 'K'},
    .version = 1,
    .size = HE_SECRET_KEY_SIZE,
    .degree = RING_DEGREE,
    .primes = 1,
    .moduli = {RING_Q_VALUE},
    .name = "secret key",
    .label = "cairn secret key v1",
    .hint = "is this the secret key that keygen wrote, whole?",
};

int he_public_key_id(const struct he_public_key *key, uint8_t id[HE_KEY_ID_SIZE])
{
    struct buf bytes = {0};
    int rc = he_public_key_write(key, &bytes);
    if (rc == 0) {
        digest_of(bytes.data, bytes.size, id);
    }
    buf_release(&bytes);
    return rc;
}

size_t he_secret_key_size(const struct he_secret_key *key)
{
    return key->ckks != NULL   ? HE_SECRET_KEY_CKKS_SIZE
           : key->wide != NULL ? HE_SECRET_KEY_WIDE_SIZE
                               : HE_SECRET_KEY_SIZE;
}

int he_secret_key_write(const struct he_secret_key *key, const uint8_t id[HE_KEY_ID_SIZE],
                        uint8_t *out)
{
    if (key->ckks != NULL) {
        return he_ckks_secret_key_write(key, id, out);
    }
    if (key->wide != NULL) {
        return he_wide_secret_key_write(key, id, out);
    }
    memset(out, 0, HE_SECRET_KEY_SIZE);
    struct he_scratch *s = he_scratch_new();
    if (s == NULL) {
        return CAIRN_ERR_NO_MEMORY;
    }
    memcpy(s->a, key->hat[RING_Q], sizeof s->a);
    kern_get()->ntt_inv(s->a, ring_get(RING_Q));
    he_key_begin(&kind, id, out);
    he_key_pack_secret(out + FIELDS_AT, s->a, RING_DEGREE, TOP_BIT);
    he_key_end(&kind, out);
    he_scratch_free(s);
    return 0;
}

int he_secret_key_read(struct span bytes, struct he_secret_key **out, uint8_t id[HE_KEY_ID_SIZE],
                       struct cairn_problem *why)
{
    if (he_ckks_is_secret_key(bytes)) {
        return he_ckks_secret_key_read(bytes, out, id, why);
    }
    if (he_wide_is_secret_key(bytes)) {
        return he_wide_secret_key_read(bytes, out, id, why);
    }
    int rc = he_key_check(&kind, bytes, why);
    if (rc != 0) {
        return rc;
    }
    struct he_scratch *s = he_scratch_new();
    struct he_secret_key *key = secret_alloc(sizeof *key);
    if (s == NULL || key == NULL) {
        rc = problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a secret key");
        goto cleanup;
    }
    uint64_t bad = he_key_unpack_secret(bytes.data + FIELDS_AT, RING_DEGREE, HE_NOISE_MAX_KEY_WEIGHT,
                                        s->small, s->a);
    he_declassify(&bad, sizeof bad); /* of a key that is kept: it is one */
    if (bad != 0) {
        rc = problem_set(why, CAIRN_ERR_MALFORMED, "make a new key pair",
                         "the secret key's coefficients are not those of a key");
        goto cleanup;
    }
    for (int p = 0; p < RING_PRIMES; p++) {
        const struct kern_ntt *ring = ring_get((enum ring_prime)p);
        kern_get()->lift_small(key->hat[p], s->small, RING_DEGREE, &ring->modulus);
        kern_get()->ntt_fwd(key->hat[p], ring);
    }
    memcpy(id, bytes.data + HE_KEY_WORDS_AT(1), HE_KEY_ID_SIZE);
    *out = key;
    key = NULL;
cleanup:
    he_secret_key_free(key);
    he_scratch_free(s);
    return rc;
}
