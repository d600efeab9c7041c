/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Public keys of N = 2048 as bytes, little-endian (N = 4096: he_wide_key_file.c):
 *
 *    0  "CRNP"       4
 *    4  version      u16  1
 *    6  reserved     u16  0
 *    8  length       u32  of the whole object
 *   12  degree       u32  2048
 *   16  modulus      u64
 *   24  seed         32   of the polynomial a
 *   56  b            N fields of 50 bits, each below the modulus
 *    .  digest       32   BLAKE2b-256 of "cairn public key v1" (zeros to 32 bytes) and all before
 *
 * The same key serves every parameter set over this ring, so no more of the set is written. The
 * digest finds accidents, not forgeries: who vouches for a key is the transport's business.
 */
#include <stdlib.h>
#include <string.h>

#include "digest.h"
#include "he_keys.h"
#include "he_wide.h"
#include "le.h"
#include "sizes.h"

enum {
    HEADER = 56,
    FIELD_BITS = 50,
    FIELDS = RING_DEGREE * FIELD_BITS / 8,
    LENGTH = HEADER + FIELDS + DIGEST_SIZE,
    VERSION = 1,
};

static const uint8_t magic[4] = {'C', 'R', 'N', 'P'};

static void key_digest(const uint8_t *bytes, uint8_t out[DIGEST_SIZE])
{
    static const char label[32] = "cairn public key v1";
    struct digest_state state;
    digest_init(&state);
    digest_update(&state, label, sizeof label);
    digest_update(&state, bytes, LENGTH - DIGEST_SIZE);
    digest_final(&state, out);
}

int he_public_key_write(const struct he_public_key *key, struct buf *out)
{
    if (key->wide != NULL) {
        return he_wide_public_key_write(key, out);
    }
    int rc = buf_reserve(out, LENGTH);
    if (rc != 0) {
        return rc;
    }
    uint8_t *bytes = out->data + out->size;
    memset(bytes, 0, LENGTH);
    memcpy(bytes, magic, sizeof magic);
    le_put16(bytes + 4, VERSION);
    le_put32(bytes + 8, LENGTH);
    le_put32(bytes + 12, RING_DEGREE);
    le_put64(bytes + 16, RING_Q_VALUE);
    memcpy(bytes + 24, key->seed, sizeof key->seed);
    kern_get()->pack_bits(bytes + HEADER, key->b, RING_DEGREE, FIELD_BITS);
    key_digest(bytes, bytes + LENGTH - DIGEST_SIZE);
    out->size += LENGTH;
    return 0;
}

static int check_header(struct span bytes, const struct he_params *params,
                        struct cairn_problem *why)
{
    const char *hint = "is this the public key of this experiment, whole?";
    if (bytes.size != LENGTH || memcmp(bytes.data, magic, sizeof magic) != 0 ||
        le_get32(bytes.data + 8) != LENGTH) {
        return problem_set(why, CAIRN_ERR_MALFORMED, hint,
                           "not a public key: %zu bytes where %d are expected", bytes.size, LENGTH);
    }
    if (le_get16(bytes.data + 4) != VERSION || le_get16(bytes.data + 6) != 0) {
        return problem_set(why, CAIRN_ERR_MALFORMED, "use the same version of cairn everywhere",
                           "public key of version %u, this program reads version %d",
                           (unsigned)le_get16(bytes.data + 4), VERSION);
    }
    if (le_get32(bytes.data + 12) != params->degree ||
        le_get64(bytes.data + 16) != params->modulus) {
        return problem_set(why, CAIRN_ERR_MALFORMED, hint,
                           "public key of another ring than these parameters'");
    }
    uint8_t digest[DIGEST_SIZE];
    key_digest(bytes.data, digest);
    if (memcmp(digest, bytes.data + LENGTH - DIGEST_SIZE, DIGEST_SIZE) != 0) {
        return problem_set(why, CAIRN_ERR_INTEGRITY, "fetch the key again",
                           "the public key's digest does not match");
    }
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

int he_public_key_read(struct span bytes, const struct he_params *params,
                       struct he_public_key **out, struct cairn_problem *why)
{
    int rc = he_wide_check_header(bytes, params, why);
    if (rc == 0 && he_is_wide(params)) {
        return he_wide_public_key_read(bytes, out, why);
    }
    if (rc == 0) {
        rc = check_header(bytes, params, why);
    }
    if (rc != 0) {
        return rc;
    }
    struct he_public_key *key = size_alloc_array(1, sizeof *key);
    if (key == NULL) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a public key");
    }
    memcpy(key->seed, bytes.data + 24, sizeof key->seed);
    kern_get()->unpack_bits(key->b, bytes.data + HEADER, RING_DEGREE, FIELD_BITS);
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
