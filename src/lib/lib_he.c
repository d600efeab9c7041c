/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcairn, <cairn/he.h>: the interface of src/he for who does not live in this tree. It adds what
 * callers that were not compiled together need: every pointer and every size is checked.
 */
#include <cairn/he.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "he.h"
#include "lib.h"
#include "problem.h"
#include "secret.h"
#include "sizes.h"

_Static_assert((int)CAIRN_PROFILE_NONE == (int)HE_NONE && (int)CAIRN_PROFILE_BFV == (int)HE_BFV &&
                   (int)CAIRN_PROFILE_CAPSULE == (int)HE_CAPSULE &&
                   (int)CAIRN_PROFILE_SEAL_CKKS == (int)HE_SEAL_CKKS,
               "the profiles are the same");
_Static_assert((int)CAIRN_NONCE_SIZE == (int)HE_NONCE_SIZE, "and the nonce");
_Static_assert((int)CAIRN_SECRET_KEY_MOST >= (int)HE_SECRET_KEY_SIZE &&
                   (int)CAIRN_SECRET_KEY_MOST >= (int)HE_SECRET_KEY_WIDE_SIZE &&
                   (int)CAIRN_SECRET_KEY_MOST >= (int)HE_SECRET_KEY_CKKS_SIZE,
               "room for a key of any ring");

struct cairn_params {
    struct he_params he;
};

struct cairn_public_key {
    struct he_public_key *he;
};

struct cairn_secret_key {
    struct he_secret_key *he;
    uint8_t id[HE_KEY_ID_SIZE];
};

int lib_misuse(struct cairn_problem *why, const char *function, const char *what)
{
    return problem_set(why, CAIRN_ERR_USAGE, "see the function's contract", "%s: %s", function,
                       what);
}

/* Same text as the misuse of a pointer, wherever it happens. */
#define NEED(pointer)                                                                              \
    do {                                                                                           \
        if ((pointer) == NULL) {                                                                   \
            return lib_misuse(why, __func__, #pointer " is NULL");                                 \
        }                                                                                          \
    } while (0)

static int no_memory(struct cairn_problem *why)
{
    return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "out of memory");
}

const char *cairn_version(void)
{
    return CAIRN_VERSION;
}

/* ---- parameters ---- */

int cairn_params_new(enum cairn_profile profile, unsigned value_bits, uint32_t contributors,
                     struct cairn_params **out, struct cairn_problem *why)
{
    NEED(out);
    if (profile != CAIRN_PROFILE_NONE && profile != CAIRN_PROFILE_BFV &&
        profile != CAIRN_PROFILE_CAPSULE && profile != CAIRN_PROFILE_SEAL_CKKS) {
        return lib_misuse(why, __func__, "no such profile");
    }
    struct cairn_params *params = calloc(1, sizeof *params);
    if (params == NULL) {
        return no_memory(why);
    }
    int rc = he_params_choose((enum he_profile)profile, value_bits, contributors, &params->he, why);
    if (rc != 0) {
        free(params);
        return rc;
    }
    *out = params;
    return 0;
}

void cairn_params_free(struct cairn_params *params)
{
    free(params);
}

const char *cairn_params_id(const struct cairn_params *params)
{
    return params != NULL ? params->he.id : "";
}

double cairn_params_failure_log2(const struct cairn_params *params)
{
    return params != NULL ? params->he.failure_log2 : (double)NAN;
}

double cairn_params_security_bits(const struct cairn_params *params)
{
    return params != NULL ? params->he.security_bits : (double)NAN;
}

int32_t cairn_params_limit(const struct cairn_params *params)
{
    return params != NULL ? (int32_t)((UINT32_C(1) << (params->he.value_bits - 1)) - 1) : 0;
}

size_t cairn_payload_size(const struct cairn_params *params, size_t n)
{
    /* as many polynomials as he_encrypt tells apart; without encryption what fits any memory */
    const size_t most_chunks = 4096;
    if (params == NULL || n == 0) {
        return 0;
    }
    const size_t most = params->he.profile == HE_NONE ? (size_t)1 << 40
                                                      : params->he.chunk_params * most_chunks;
    return n <= most ? he_payload_bytes(&params->he, n) : 0;
}

/* ---- keys ---- */

/* Takes over both keys, also on failure. */
static int wrap_pair(struct he_secret_key *secret, struct he_public_key *public_key,
                     struct cairn_secret_key **secret_out, struct cairn_public_key **public_out,
                     struct cairn_problem *why)
{
    struct cairn_secret_key *s = calloc(1, sizeof *s);
    struct cairn_public_key *p = calloc(1, sizeof *p);
    if (s == NULL || p == NULL || he_public_key_id(public_key, s->id) != 0) {
        free(s);
        free(p);
        he_secret_key_free(secret);
        he_public_key_free(public_key);
        return no_memory(why);
    }
    s->he = secret;
    p->he = public_key;
    *secret_out = s;
    *public_out = p;
    return 0;
}

int cairn_keygen(const struct cairn_params *params, struct cairn_secret_key **secret,
                 struct cairn_public_key **public_key, struct cairn_problem *why)
{
    struct secret_rng *rng = NULL;
    struct he_secret_key *s = NULL;
    struct he_public_key *p = NULL;
    NEED(params);
    NEED(secret);
    NEED(public_key);
    if (params->he.profile == HE_NONE) {
        return lib_misuse(why, __func__, "profile none has no keys");
    }
    int rc = secret_rng_new(&rng);
    if (rc == 0) {
        rc = he_keygen(&params->he, rng, &s, &p);
    }
    secret_rng_free(rng);
    if (rc != 0) {
        return problem_set(why, rc, NULL, "cannot make a key pair: %s", cairn_error_sentence(rc));
    }
    return wrap_pair(s, p, secret, public_key, why);
}

void cairn_public_key_free(struct cairn_public_key *key)
{
    if (key != NULL) {
        he_public_key_free(key->he);
        free(key);
    }
}

void cairn_secret_key_free(struct cairn_secret_key *key)
{
    if (key != NULL) {
        he_secret_key_free(key->he);
        free(key);
    }
}

/* Does `out` hold `need` bytes? *size = need in any case. */
static int check_room(const char *function, const uint8_t *out, size_t *size, size_t need,
                      struct cairn_problem *why)
{
    const size_t room = *size;
    *size = need;
    if (room < need) {
        return problem_set(why, CAIRN_ERR_USAGE, "size says how many are needed",
                           "%s: %zu bytes of room, %zu are needed", function, room, need);
    }
    return out == NULL ? lib_misuse(why, function, "out is NULL") : 0;
}

int cairn_public_key_write(const struct cairn_public_key *key, uint8_t *out, size_t *size,
                           struct cairn_problem *why)
{
    struct buf bytes = {0};
    NEED(key);
    NEED(size);
    if (he_public_key_write(key->he, &bytes) != 0) {
        return no_memory(why);
    }
    int rc = check_room(__func__, out, size, bytes.size, why);
    if (rc == 0) {
        memcpy(out, bytes.data, bytes.size);
    }
    buf_release(&bytes);
    return rc;
}

int cairn_public_key_read(const struct cairn_params *params, const uint8_t *bytes, size_t size,
                          struct cairn_public_key **out, struct cairn_problem *why)
{
    NEED(params);
    NEED(bytes);
    NEED(out);
    if (params->he.profile == HE_NONE) {
        return lib_misuse(why, __func__, "profile none has no keys");
    }
    struct cairn_public_key *key = calloc(1, sizeof *key);
    if (key == NULL) {
        return no_memory(why);
    }
    int rc = he_public_key_read((struct span){bytes, size}, &params->he, &key->he, why);
    if (rc != 0) {
        free(key);
        return rc;
    }
    *out = key;
    return 0;
}

int cairn_secret_key_write(const struct cairn_secret_key *key, uint8_t *out, size_t *size,
                           struct cairn_problem *why)
{
    NEED(key);
    NEED(size);
    int rc = check_room(__func__, out, size, he_secret_key_size(key->he), why);
    if (rc == 0 && he_secret_key_write(key->he, key->id, out) != 0) {
        rc = no_memory(why);
    }
    return rc;
}

int cairn_secret_key_read(const struct cairn_params *params, const uint8_t *bytes, size_t size,
                          struct cairn_secret_key **out, struct cairn_problem *why)
{
    NEED(params);
    NEED(bytes);
    NEED(out);
    if (params->he.profile == HE_NONE) {
        return lib_misuse(why, __func__, "profile none has no keys");
    }
    struct cairn_secret_key *key = calloc(1, sizeof *key);
    if (key == NULL) {
        return no_memory(why);
    }
    int rc = he_secret_key_read((struct span){bytes, size}, &key->he, key->id, why);
    if (rc != 0) {
        free(key);
        return rc;
    }
    *out = key;
    return 0;
}

/* ---- the three steps ---- */

int cairn_nonce_new(uint8_t nonce[CAIRN_NONCE_SIZE], struct cairn_problem *why)
{
    NEED(nonce);
    int rc = random_from_system(nonce, CAIRN_NONCE_SIZE);
    return rc == 0 ? 0 : problem_set(why, rc, NULL, "cannot make a nonce: %s",
                                     cairn_error_sentence(rc));
}

/* n and payload_size belong together. */
static int check_payload(const char *function, const struct cairn_params *params, size_t n,
                         size_t payload_size, struct cairn_problem *why)
{
    const size_t need = cairn_payload_size(params, n);
    if (need == 0) {
        return problem_set(why, CAIRN_ERR_USAGE, "cut the values into several payloads",
                           "%s: no payload has %zu values", function, n);
    }
    if (payload_size != need) {
        return problem_set(why, CAIRN_ERR_USAGE, "cairn_payload_size tells the size",
                           "%s: a payload of %zu bytes; %zu values take %zu", function,
                           payload_size, n, need);
    }
    return 0;
}

int cairn_encrypt(const struct cairn_params *params, const struct cairn_public_key *key,
                  const uint8_t nonce[CAIRN_NONCE_SIZE], uint32_t round, uint32_t frame,
                  const int32_t *values, size_t n, uint8_t *payload, size_t payload_size,
                  struct cairn_problem *why)
{
    struct secret_rng *rng = NULL;
    NEED(params);
    NEED(nonce);
    NEED(values);
    NEED(payload);
    if (key == NULL && params->he.profile != HE_NONE) {
        return lib_misuse(why, __func__, "key is NULL");
    }
    int rc = check_payload(__func__, params, n, payload_size, why);
    if (rc != 0) {
        return rc;
    }
    rc = secret_rng_new(&rng);
    if (rc != 0) {
        memset(payload, 0, payload_size);
        return problem_set(why, rc, NULL, "cannot encrypt: %s", cairn_error_sentence(rc));
    }
    rc = he_encrypt(&params->he, key != NULL ? key->he : NULL, rng, NULL, nonce, round, frame,
                    values, n, payload, why);
    secret_rng_free(rng);
    return rc;
}

int cairn_add(const struct cairn_params *params, size_t n, uint8_t *sum, const uint8_t *payload,
              size_t payload_size, struct cairn_problem *why)
{
    NEED(params);
    NEED(sum);
    NEED(payload);
    int rc = check_payload(__func__, params, n, payload_size, why);
    if (rc == 0) {
        rc = he_check_fields(&params->he, n, payload, why);
    }
    if (rc == 0) {
        he_add(&params->he, n, sum, payload);
    }
    return rc;
}

int cairn_open(const struct cairn_params *params, const struct cairn_secret_key *secret,
               const uint8_t nonce[CAIRN_NONCE_SIZE], uint32_t round, uint32_t frame,
               uint32_t contributors, const uint8_t *payload, size_t payload_size, int64_t *sums,
               size_t n, struct cairn_problem *why)
{
    NEED(params);
    NEED(nonce);
    NEED(payload);
    NEED(sums);
    if (secret == NULL && params->he.profile != HE_NONE) {
        return lib_misuse(why, __func__, "secret is NULL");
    }
    int rc = check_payload(__func__, params, n, payload_size, why);
    return rc != 0 ? rc
                   : he_open(&params->he, secret != NULL ? secret->he : NULL, NULL, nonce, round,
                             frame, contributors, payload, n, sums, why);
}
