/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Public keys of N = 2048 as bytes (he_key_header.h; other rings: he_wide_key_file.c,
 * he_ckks_key_file.c): version 1, fields are b in coefficients, N of 50 bits, each below the
 * modulus. The same key serves every parameter set over this ring, so no more of the set is written.
 */
#include <stdlib.h>
#include <string.h>

#include "digest.h"
#include "he_ckks.h"
#include "he_key_header.h"
#include "he_keys.h"
#include "he_wide.h"
#include "le.h"
#include "sizes.h"

enum {
    FIELDS_AT = HE_KEY_FIELDS_AT(1),
    FIELD_BITS = 50,
    FIELDS = RING_DEGREE * FIELD_BITS / 8,
    LENGTH = FIELDS_AT + FIELDS + DIGEST_SIZE,
};

static const struct he_key_kind kind = {
    .magic = {'C', 'R', 'N', 'P'},
    .version = 1,
    .size = LENGTH,
    .degree = RING_DEGREE,
    .primes = 1,
    .moduli = {RING_Q_VALUE},
    .name = "public key",
    .label = "cairn public key v1",
    .hint = "is this the public key of this experiment, whole?",
};

int he_public_key_write(const struct he_public_key *key, struct buf *out)
{
    if (key->ckks != NULL) {
        return he_ckks_public_key_write(key, out);
    }
    if (key->wide != NULL) {
        return he_wide_public_key_write(key, out);
    }
    int rc = buf_reserve(out, LENGTH);
    if (rc != 0) {
        return rc;
    }
    uint8_t *bytes = out->data + out->size;
    he_key_begin(&kind, key->seed, bytes);
    kern_get()->pack_bits(bytes + FIELDS_AT, key->b, RING_DEGREE, FIELD_BITS);
    he_key_end(&kind, bytes);
    out->size += LENGTH;
    return 0;
}

/* Before any transform: a reduction would hide a coefficient that should not be there. */
static int check_coefficients(const struct he_public_key *key, struct cairn_problem *why)
{
    for (size_t i = 0; i < RING_DEGREE; i++) {
        if (key->b[i] >= RING_Q_VALUE) {
            return problem_set(why, CAIRN_ERR_MALFORMED, "fetch the key again",
                               "public key coefficient %zu is not below the modulus", i);
        }
    }
    return 0;
}

/* Is this a key of the ring that the parameters want, as far as the header tells? Bytes that are no
 * key of any ring pass: the readers have better words for them. */
static int check_ring(struct span bytes, const struct he_params *params, struct cairn_problem *why)
{
    if (bytes.size < FIELDS_AT || memcmp(bytes.data, kind.magic, sizeof kind.magic) != 0) {
        return 0;
    }
    const uint32_t degree = le_get32(bytes.data + 12);
    if (degree == params->degree || (degree != RING_DEGREE && degree != RING_WIDE_DEGREE &&
                                     degree != HE_CKKS_DEGREE)) {
        return 0;
    }
    return problem_set(why, CAIRN_ERR_MALFORMED, "make a key pair for these parameters",
                       "public key of ring %s; parameters %s are of ring %s",
                       he_ring_name(degree), params->id, he_ring_name(params->degree));
}

int he_public_key_read(struct span bytes, const struct he_params *params,
                       struct he_public_key **out, struct cairn_problem *why)
{
    int rc = check_ring(bytes, params, why);
    if (rc == 0 && he_is_ckks(params)) {
        return he_ckks_public_key_read(bytes, out, why);
    }
    if (rc == 0 && he_is_wide(params)) {
        return he_wide_public_key_read(bytes, out, why);
    }
    if (rc == 0) {
        rc = he_key_check(&kind, bytes, why);
    }
    if (rc != 0) {
        return rc;
    }
    struct he_public_key *key = size_alloc_array(1, sizeof *key);
    if (key == NULL) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a public key");
    }
    memcpy(key->seed, bytes.data + HE_KEY_WORDS_AT(1), sizeof key->seed);
    kern_get()->unpack_bits(key->b, bytes.data + FIELDS_AT, RING_DEGREE, FIELD_BITS);
    rc = check_coefficients(key, why);
    if (rc == 0) {
        rc = he_public_key_complete(key);
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
