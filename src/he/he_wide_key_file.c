/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys of the wide ring as bytes, little-endian. Version 1 of either format is the ring of
 * N = 2048 (he_key_file.c, he_secret_file.c); programs that know only that refuse version 2 for its
 * length.
 *
 *    0  "CRNP", "CRNK"  4   public, secret
 *    4  version         u16  2
 *    6  reserved        u16  0
 *    8  length          u32  of the whole object
 *   12  degree          u32  4096
 *   16  q1, q2          u64 each
 *   32  seed, or id     32   of the polynomial a; secret: of the pair
 *   64  b, or s              public: N fields of 50 bits modulo q1, then N modulo q2, each below
 *                            its prime; secret: N fields of 2 bits, 0, 1, and 2 for -1
 *    .  digest          32   BLAKE2b-256 of the label (zeros to 32 bytes) and all before
 */
#include <stdlib.h>
#include <string.h>

#include "digest.h"
#include "he_declassify.h"
#include "he_noise.h"
#include "he_wide.h"
#include "le.h"
#include "secret.h"

enum {
    N = RING_WIDE_DEGREE,
    VERSION = 2,
    HEADER = 64,
    WORDS_AT = 32, /* seed or id */
    FIELD_BITS = 50,
    FIELDS = N * FIELD_BITS / 8, /* of one prime */
    PUBLIC_SIZE = HEADER + RING_WIDE_PRIMES * FIELDS + DIGEST_SIZE,
    TRIT_BITS = 2,
    SECRET_DIGEST_AT = HEADER + N * TRIT_BITS / 8,
};
_Static_assert(SECRET_DIGEST_AT + DIGEST_SIZE == HE_SECRET_KEY_WIDE_SIZE, "the length in he.h");
/* A residue 0, 1 or q1 - 1 is told by its bits 0 and 49 */
_Static_assert((RING_WIDE_Q1_VALUE - 1) % 2 == 0 && (RING_WIDE_Q1_VALUE - 1) >> 49 == 1, "-1");

/* A kind of object. */
struct kind {
    uint8_t magic[4];
    uint32_t size;
    const char *name;
    char label[32];
    const char *hint;
};

static const struct kind public_kind = {{'C', 'R', 'N', 'P'}, PUBLIC_SIZE, "public key",
                                        "cairn public key v2",
                                        "is this the public key of this experiment, whole?"};
static const struct kind secret_kind = {{'C', 'R', 'N', 'K'}, HE_SECRET_KEY_WIDE_SIZE,
                                        "secret key", "cairn secret key v2",
                                        "is this the secret key that keygen wrote, whole?"};

static void key_digest(const struct kind *kind, const uint8_t *bytes, uint8_t out[DIGEST_SIZE])
{
    struct digest_state state;
    digest_init(&state);
    digest_update(&state, kind->label, sizeof kind->label);
    digest_update(&state, bytes, kind->size - DIGEST_SIZE);
    digest_final(&state, out);
    secret_wipe(&state, sizeof state);
}

static void write_header(const struct kind *kind, const uint8_t words[32], uint8_t *bytes)
{
    memset(bytes, 0, kind->size);
    memcpy(bytes, kind->magic, sizeof kind->magic);
    le_put16(bytes + 4, VERSION);
    le_put32(bytes + 8, kind->size);
    le_put32(bytes + 12, N);
    le_put64(bytes + 16, RING_WIDE_Q1_VALUE);
    le_put64(bytes + 24, RING_WIDE_Q2_VALUE);
    memcpy(bytes + WORDS_AT, words, 32);
}

static int check_header(const struct kind *kind, struct span bytes, struct cairn_problem *why)
{
    if (bytes.size != kind->size || memcmp(bytes.data, kind->magic, sizeof kind->magic) != 0 ||
        le_get32(bytes.data + 8) != kind->size) {
        return problem_set(why, CAIRN_ERR_MALFORMED, kind->hint,
                           "not a %s: %zu bytes where %u are expected", kind->name, bytes.size,
                           kind->size);
    }
    if (le_get16(bytes.data + 4) != VERSION || le_get16(bytes.data + 6) != 0) {
        return problem_set(why, CAIRN_ERR_MALFORMED, "use the same version of cairn everywhere",
                           "%s of version %u, this program reads version %d at degree %d",
                           kind->name, (unsigned)le_get16(bytes.data + 4), VERSION, N);
    }
    if (le_get32(bytes.data + 12) != N || le_get64(bytes.data + 16) != RING_WIDE_Q1_VALUE ||
        le_get64(bytes.data + 24) != RING_WIDE_Q2_VALUE) {
        return problem_set(why, CAIRN_ERR_MALFORMED, kind->hint, "%s of another ring", kind->name);
    }
    uint8_t digest[DIGEST_SIZE];
    key_digest(kind, bytes.data, digest);
    if (!secret_equal(digest, bytes.data + kind->size - DIGEST_SIZE, DIGEST_SIZE)) {
        return problem_set(why, CAIRN_ERR_INTEGRITY, kind->hint,
                           "the %s's digest does not match: it is damaged", kind->name);
    }
    return 0;
}

/* ---- public keys ---- */

static const char *ring_name(size_t degree)
{
    return degree == N ? "4096-100" : degree == RING_DEGREE ? "2048-50" : "of unknown degree";
}

int he_wide_check_header(struct span bytes, const struct he_params *params,
                         struct cairn_problem *why)
{
    if (bytes.size < HEADER || memcmp(bytes.data, public_kind.magic, 4) != 0) {
        return 0;
    }
    const uint32_t degree = le_get32(bytes.data + 12);
    if (degree == params->degree || (degree != N && degree != RING_DEGREE)) {
        return 0;
    }
    return problem_set(why, CAIRN_ERR_MALFORMED, "make a key pair for these parameters",
                       "public key of ring %s; parameters %s are of ring %s", ring_name(degree),
                       params->id, ring_name(params->degree));
}

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
    write_header(&public_kind, key->wide->seed, bytes);
    for (int p = 0; p < RING_WIDE_PRIMES; p++) {
        kern_get()->pack_bits(bytes + fields_at(p), key->wide->b[p], N, FIELD_BITS);
    }
    key_digest(&public_kind, bytes, bytes + PUBLIC_SIZE - DIGEST_SIZE);
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
    int rc = check_header(&public_kind, bytes, why);
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
    return bytes.size == HE_SECRET_KEY_WIDE_SIZE &&
           memcmp(bytes.data, secret_kind.magic, sizeof secret_kind.magic) == 0;
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
    for (size_t i = 0; i < N; i++) {
        s->a[0][i] = (s->a[0][i] & 1) | s->a[0][i] >> 49 << 1;
    }
    write_header(&secret_kind, id, out);
    kern_get()->pack_bits(out + HEADER, s->a[0], N, TRIT_BITS);
    key_digest(&secret_kind, out, out + SECRET_DIGEST_AT);
    he_wide_scratch_free(s);
    return 0;
}

/* s->small = the coefficients. @return nonzero unless all are ternary and not too many */
static uint64_t unpack_secret(const uint8_t *fields, struct he_wide_scratch *s)
{
    uint64_t *trits = s->a[0];
    uint64_t bad = 0;
    uint64_t weight = 0;
    kern_get()->unpack_bits(trits, fields, N, TRIT_BITS);
    for (size_t i = 0; i < N; i++) {
        bad |= trits[i] & trits[i] >> 1;
        weight += (trits[i] & 1) + (trits[i] >> 1);
        s->small[i] = (int32_t)(trits[i] & 1) - (int32_t)(trits[i] >> 1);
    }
    bad |= (HE_NOISE_MAX_WIDE_KEY_WEIGHT - weight) >> 63;
    return bad;
}

int he_wide_secret_key_read(struct span bytes, struct he_secret_key **out,
                            uint8_t id[HE_KEY_ID_SIZE], struct cairn_problem *why)
{
    int rc = check_header(&secret_kind, bytes, why);
    if (rc != 0) {
        return rc;
    }
    struct he_wide_scratch *s = he_wide_scratch_new();
    struct he_secret_key *key = he_wide_secret_key_new();
    if (s == NULL || key == NULL) {
        rc = problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a secret key");
        goto cleanup;
    }
    uint64_t bad = unpack_secret(bytes.data + HEADER, s);
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
