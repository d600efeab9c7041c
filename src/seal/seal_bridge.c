/* SPDX-License-Identifier: Apache-2.0 */
/* From cairn's ring to SEAL's objects: see seal_bridge.h. */
#include "seal_bridge.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "he_ckks.h"
#include "he_export.h"
#include "he_keys.h"
#include "he_layout.h"
#include "secret.h"
#include "seal_context.h"
#include "sizes.h"

void seal_bridge_params(uint64_t plain_modulus, struct seal_params *out)
{
    memset(out, 0, sizeof *out);
    out->scheme = SEAL_BFV;
    out->degree = RING_DEGREE;
    out->primes = 1;
    out->q[0] = RING_Q_VALUE;
    out->plain_modulus = plain_modulus;
}

static int check_context(const struct seal_context *context, struct cairn_problem *why)
{
    const struct seal_params *p = &context->params;
    if (p->scheme != SEAL_BFV || p->degree != RING_DEGREE || p->primes != 1 ||
        p->q[0] != RING_Q_VALUE) {
        return problem_set(why, CAIRN_ERR_REFUSED, "make the context from seal_bridge_params",
                           "SEAL bridge: parameters: expected BFV, N 2048, q %llu, found N %zu, "
                           "%u primes, the first %llu",
                           (unsigned long long)RING_Q_VALUE, p->degree, p->primes,
                           (unsigned long long)p->q[0]);
    }
    return 0;
}

void seal_bridge_ckks_params(struct seal_params *out)
{
    memset(out, 0, sizeof *out);
    out->scheme = SEAL_CKKS;
    out->degree = HE_CKKS_DEGREE;
    out->primes = HE_CKKS_PRIMES;
    memcpy(out->q, he_ckks_primes, sizeof he_ckks_primes);
}

static int check_ckks_context(const struct seal_context *context, struct cairn_problem *why)
{
    const struct seal_params *p = &context->params;
    if (p->scheme != SEAL_CKKS || p->degree != HE_CKKS_DEGREE || p->primes != HE_CKKS_PRIMES ||
        memcmp(p->q, he_ckks_primes, sizeof he_ckks_primes) != 0) {
        return problem_set(why, CAIRN_ERR_REFUSED, "make the context from seal_bridge_ckks_params",
                           "SEAL bridge: parameters: expected CKKS, N %d with %d primes, found N %zu "
                           "with %u", HE_CKKS_DEGREE, HE_CKKS_PRIMES, p->degree, p->primes);
    }
    return 0;
}

static int no_memory(struct cairn_problem *why)
{
    return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a SEAL object");
}

/* An empty pair. */
static int new_pair_at(unsigned level, size_t degree, double scale, struct seal_cipher *c,
                       struct cairn_problem *why)
{
    *c = (struct seal_cipher){.level = level, .scale = scale, .count = 2 * degree * level};
    c->words = size_alloc_array(c->count, sizeof *c->words);
    return c->words != NULL ? 0 : no_memory(why);
}

static int new_pair(struct seal_cipher *c, struct cairn_problem *why)
{
    return new_pair_at(1, RING_DEGREE, 1.0, c, why);
}

/* Keys of N = 4096 are no keys of SEAL's. */
static int check_ring(const void *wide, struct cairn_problem *why)
{
    return wide == NULL ? 0
                        : problem_set(why, CAIRN_ERR_REFUSED, "make a key pair for N = 2048",
                                      "SEAL bridge: a key of N = 4096");
}

static int ckks_public_key(const struct seal_context *context, const struct he_ckks_public_key *key,
                           struct seal_public_key *out, struct cairn_problem *why)
{
    struct seal_cipher pair;
    int rc = check_ckks_context(context, why);
    if (rc == 0) {
        rc = new_pair_at(HE_CKKS_PRIMES, HE_CKKS_DEGREE, 1.0, &pair, why);
    }
    if (rc == 0) {
        memcpy(pair.words, key->pair, sizeof key->pair);
        seal_public_key_release(out);
        out->pair = pair;
    }
    return rc;
}

int seal_bridge_public_key(const struct seal_context *context, const struct he_public_key *key,
                           struct seal_public_key *out, struct cairn_problem *why)
{
    if (key->ckks != NULL) {
        return ckks_public_key(context, key->ckks, out, why);
    }
    struct seal_cipher pair;
    int rc = check_context(context, why);
    if (rc == 0) {
        rc = check_ring(key->wide, why);
    }
    if (rc == 0) {
        rc = new_pair(&pair, why);
    }
    if (rc == 0) {
        memcpy(pair.words, key->b_hat, sizeof key->b_hat);
        memcpy(pair.words + RING_DEGREE, key->a_hat, sizeof key->a_hat);
        seal_public_key_release(out);
        out->pair = pair;
    }
    return rc;
}

/* A key for `count` words that are already transformed, which it takes. */
static void take_key(uint64_t *words, size_t count, struct seal_secret_key *out)
{
    seal_secret_key_release(out);
    *out = (struct seal_secret_key){count, words};
}

static int copy_key(const uint64_t *hat, size_t count, struct seal_secret_key *out,
                    struct cairn_problem *why)
{
    uint64_t *words = secret_alloc(8 * count);
    if (words == NULL) {
        return no_memory(why);
    }
    memcpy(words, hat, 8 * count);
    take_key(words, count, out);
    return 0;
}

int seal_bridge_secret_key(const struct seal_context *context, const struct he_secret_key *key,
                           struct seal_secret_key *out, struct cairn_problem *why)
{
    if (key->ckks != NULL) {
        int rc = check_ckks_context(context, why);
        return rc != 0 ? rc : copy_key(key->ckks->hat, HE_CKKS_WORDS, out, why);
    }
    int rc = check_context(context, why);
    if (rc == 0) {
        rc = check_ring(key->wide, why);
    }
    return rc != 0 ? rc : copy_key(key->hat[RING_Q], RING_DEGREE, out, why);
}

void seal_bridge_to_torus(const uint64_t *words, unsigned bits, uint64_t *fields)
{
    struct kern_switch s;
    kern_switch_init(&s, &ring_get(RING_Q)->modulus, bits);
    if (fields != words) {
        memcpy(fields, words, 8 * RING_DEGREE);
    }
    kern_get()->switch_pow2(fields, RING_DEGREE, &s);
}

void seal_bridge_from_torus(const uint64_t *fields, unsigned bits, uint64_t *words)
{
    const kern_u128 half = (kern_u128)1 << (bits - 1);
    for (size_t i = 0; i < RING_DEGREE; i++) {
        uint64_t x = (uint64_t)(((kern_u128)fields[i] * RING_Q_VALUE + half) >> bits);
        words[i] = kern_reduce_once(x, RING_Q_VALUE); /* a field near 2^bits may round up to q */
    }
}

/* A chunk that is there, of this profile and ring? */
static int check_chunk(const struct he_params *params, enum he_profile profile, size_t n,
                       size_t chunk, struct cairn_problem *why)
{
    if (params->profile != profile || n < 1 || chunk >= he_chunks(params, n)) {
        return problem_set(why, CAIRN_ERR_REFUSED, NULL,
                           "SEAL bridge: chunk %zu of %zu values: expected profile %s and a chunk "
                           "that is there, found profile %s",
                           chunk, n, he_profile_name(profile), he_profile_name(params->profile));
    }
    if (profile != HE_SEAL_CKKS && params->degree != RING_DEGREE) {
        return problem_set(why, CAIRN_ERR_REFUSED,
                           "fewer value_bits or fewer clients take N = 2048",
                           "SEAL bridge: parameters %s: expected N %d", params->id, RING_DEGREE);
    }
    return 0;
}

/* One polynomial of `bits`-bit fields into a pair's words. */
static void unpack(const uint8_t *bytes, unsigned bits, uint64_t *words)
{
    kern_get()->unpack_bits(words, bytes, RING_DEGREE, bits);
    seal_bridge_from_torus(words, bits, words);
}

static int finish(struct seal_cipher *c, int rc, struct seal_cipher *out)
{
    if (rc != 0) {
        seal_cipher_release(c);
        return rc;
    }
    seal_cipher_release(out);
    *out = *c;
    return 0;
}

int seal_bridge_bfv(const struct seal_context *context, const struct he_params *params,
                    const uint8_t *payload, size_t n, size_t chunk, struct seal_cipher *out,
                    struct cairn_problem *why)
{
    struct seal_cipher c = {0};
    int rc = check_context(context, why);
    if (rc == 0) {
        rc = check_chunk(params, HE_BFV, n, chunk, why);
    }
    if (rc == 0) {
        rc = new_pair(&c, why);
    }
    if (rc == 0) {
        struct he_section s[HE_MAX_SECTIONS];
        he_sections(params, n, s);
        const uint8_t *second = payload + he_section_bytes(&s[0]);
        unpack(payload + chunk * (RING_DEGREE / 8 * s[0].bits), s[0].bits, c.words);
        unpack(second + chunk * (RING_DEGREE / 8 * s[1].bits), s[1].bits, c.words + RING_DEGREE);
    }
    return finish(&c, rc, out);
}

int seal_bridge_ckks(const struct seal_context *context, const struct he_params *params,
                     const uint8_t *payload, size_t n, size_t chunk, struct seal_cipher *out,
                     struct cairn_problem *why)
{
    struct seal_cipher c = {0};
    int rc = check_ckks_context(context, why);
    if (rc == 0) {
        rc = check_chunk(params, HE_SEAL_CKKS, n, chunk, why);
    }
    if (rc == 0) {
        rc = he_check_fields(params, n, payload, why);
    }
    if (rc == 0) {
        rc = new_pair_at(HE_CKKS_LEVEL, HE_CKKS_DEGREE, ldexp(1, HE_CKKS_SCALE_BITS), &c, why);
    }
    if (rc == 0) {
        (void)he_ckks_unpack_chunk(params, payload, n, chunk, c.words); /* checked above */
    }
    return finish(&c, rc, out);
}

int seal_bridge_ckks_payload(const struct seal_cipher *cipher, const struct he_params *params,
                             size_t n, size_t chunk, uint8_t *payload, struct cairn_problem *why)
{
    int rc = check_chunk(params, HE_SEAL_CKKS, n, chunk, why);
    if (rc != 0) {
        return rc;
    }
    if (cipher->level != HE_CKKS_LEVEL || cipher->count != 2 * HE_CKKS_LEVEL * HE_CKKS_DEGREE ||
        cipher->scale != ldexp(1, HE_CKKS_SCALE_BITS)) {
        return problem_set(why, CAIRN_ERR_REFUSED, NULL,
                           "SEAL bridge: expected a ciphertext of level %d at scale 2^%d, found "
                           "level %u at %g",
                           HE_CKKS_LEVEL, HE_CKKS_SCALE_BITS, cipher->level, cipher->scale);
    }
    he_ckks_pack_chunk(params, payload, n, chunk, cipher->words);
    return 0;
}

int seal_bridge_chunk(const struct seal_context *context, const struct he_params *params,
                      const uint8_t nonce[HE_NONCE_SIZE], uint32_t round, uint32_t frame,
                      const uint8_t *payload, size_t n, size_t chunk, struct seal_cipher *out,
                      struct cairn_problem *why)
{
    struct seal_cipher c = {0};
    int rc = check_context(context, why);
    if (rc == 0) {
        rc = check_chunk(params, HE_CAPSULE, n, chunk, why);
    }
    if (rc == 0) {
        rc = new_pair(&c, why);
    }
    if (rc == 0) {
        rc = he_export_chunk_polynomial(params, nonce, round, frame, (uint32_t)chunk,
                                        c.words + RING_DEGREE, why);
    }
    if (rc == 0) {
        unpack(payload + chunk * (RING_DEGREE / 8 * params->bits), params->bits, c.words);
    }
    return finish(&c, rc, out);
}

int seal_bridge_summed_key(const struct seal_context *context, const struct he_params *params,
                           const struct he_secret_key *secret, uint32_t contributors,
                           const uint8_t *payload, size_t n, struct seal_secret_key *out,
                           struct cairn_problem *why)
{
    int rc = check_context(context, why);
    if (rc != 0) {
        return rc;
    }
    uint64_t *words = secret_alloc(8 * RING_DEGREE);
    if (words == NULL) {
        return no_memory(why);
    }
    rc = he_export_summed_key(params, secret, contributors, payload, n, words, why);
    if (rc != 0) {
        secret_free(words);
        return rc;
    }
    take_key(words, RING_DEGREE, out);
    return 0;
}

int seal_bridge_seeded(const struct seal_context *context, const uint64_t *fields, unsigned bits,
                       const struct seal_seed *seed, struct seal_cipher *out,
                       struct cairn_problem *why)
{
    struct seal_cipher c = {0};
    int rc = check_context(context, why);
    if (rc == 0) {
        rc = new_pair(&c, why);
    }
    if (rc == 0) {
        rc = seal_expand(context, seed, 1, c.words + RING_DEGREE);
        if (rc != 0) {
            no_memory(why);
        }
    }
    if (rc == 0) {
        c.seeded = true;
        c.seed = *seed;
        seal_bridge_from_torus(fields, bits, c.words);
    }
    return finish(&c, rc, out);
}
