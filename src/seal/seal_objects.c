/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plaintexts, secret keys, ciphertexts and public keys as bytes.
 *
 *   Plaintext   header 16 | parms_id 32 | count u64 | scale f64 | words
 *   SecretKey   a Plaintext of level K
 *   Ciphertext  header 16 | parms_id 32 | is_ntt u8 | polynomials u64 | N u64 | primes u64 |
 *               scale f64 | correction_factor u64 (not with a 3.x header) | words | [seed]
 *   PublicKey   a Ciphertext of level K, transformed
 *   words       header 16 | count u64 | count words
 *   seed        header 16 | generator u8 | 64 bytes; there when only c0 is
 *
 * Dimensions are compared with the context before a single word is allocated or drawn.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "secret.h"
#include "seal_context.h"
#include "seal_source.h"
#include "sizes.h"

enum {
    PLAIN_FIXED = 64,    /* up to the words */
    WORDS_FIXED = 24,    /* of the array: header and count */
    CIPHER_FIXED_4 = 89, /* up to the words */
    CIPHER_FIXED_3 = 81, /* without correction_factor */
    SEED_OBJECT = 81,
    POLYNOMIALS = 2,
    MAX_POLYNOMIALS = 16, /* SEAL's */
};

/* ---- fields that several objects have ---- */

static int read_level(struct seal_source *s, const struct seal_context *context, int *level)
{
    uint8_t id[SEAL_ID_SIZE];
    int rc = seal_source_bytes(s, "parms_id", id, sizeof id);
    if (rc == 0) {
        *level = seal_context_level_of(context, id);
        if (*level < 0) {
            rc = seal_source_fail(
                s, CAIRN_ERR_REFUSED, "parms_id", "one of these parameters' levels",
                "%02x%02x%02x%02x..., made with other parameters", id[0], id[1], id[2], id[3]);
        }
    }
    return rc;
}

static int read_fixed(struct seal_source *s, const char *field, uint64_t expected)
{
    uint64_t found = 0;
    int rc = seal_source_u64(s, field, &found);
    if (rc == 0 && found != expected) {
        char text[32];
        (void)snprintf(text, sizeof text, "%llu", (unsigned long long)expected);
        rc = seal_source_fail(s, CAIRN_ERR_MALFORMED, field, text, "%llu",
                              (unsigned long long)found);
    }
    return rc;
}

/* Exactly 1 where there is no scale, otherwise a normal positive number. */
static int read_scale(struct seal_source *s, bool scaled, double *out)
{
    int rc = seal_source_f64(s, "scale", out);
    if (rc == 0 && !scaled && !(*out >= 1.0 && *out <= 1.0)) {
        rc = seal_source_fail(s, CAIRN_ERR_MALFORMED, "scale", "1", "%g", *out);
    }
    if (rc == 0 && scaled && (!isnormal(*out) || *out < 0)) {
        rc = seal_source_fail(s, CAIRN_ERR_MALFORMED, "scale", "a normal positive number", "%g",
                              *out);
    }
    return rc;
}

/* The polynomials of one after the other, each modulo the first `level` primes. */
static int read_residues(struct seal_source *s, const struct seal_context *context, unsigned level,
                         size_t count, uint64_t *words)
{
    const size_t n = context->params.degree;
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < count; at += n) {
        rc = seal_source_words(s, "coefficients", words + at, n, context->params.q[at / n % level]);
    }
    return rc;
}

/* ---- plaintexts and secret keys ---- */

struct plain_head {
    int level;
    uint64_t count;
    double scale;
};

static int read_plain_head(struct seal_source *s, const struct seal_context *context,
                           struct plain_head *h)
{
    int rc = read_level(s, context, &h->level);
    if (rc == 0) {
        rc = seal_source_u64(s, "coeff_count", &h->count);
    }
    return rc;
}

/* count words follow, after their array header; room for them and `capacity` at least */
static int read_secret_words(struct seal_source *s, const struct seal_context *context,
                             unsigned level, size_t count, size_t capacity, uint64_t **out)
{
    uint64_t found = 0;
    int rc = seal_source_array(s, "coefficients", &found);
    if (rc == 0 && found != count) {
        char expected[32];
        (void)snprintf(expected, sizeof expected, "coeff_count, %zu", count);
        rc = seal_source_fail(s, CAIRN_ERR_MALFORMED, "coefficients", expected, "%llu",
                              (unsigned long long)found);
    }
    if (rc == 0) {
        rc = seal_source_expect_words(s, "coefficients", count);
    }
    if (rc != 0) {
        return rc;
    }
    uint64_t *words = secret_alloc(8 * capacity);
    if (words == NULL) {
        return problem_set(s->why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a SEAL %s", s->object);
    }
    rc = level == 0
             ? seal_source_words(s, "coefficients", words, count, context->params.plain_modulus)
             : read_residues(s, context, level, count, words);
    if (rc == 0) {
        rc = seal_source_end(s);
    }
    if (rc != 0) {
        secret_free(words);
        return rc;
    }
    *out = words;
    return 0;
}

/* Does a plaintext of this level and count exist? */
static int check_plain_head(const struct seal_source *s, const struct seal_context *context,
                            const struct plain_head *h)
{
    const bool bfv = context->params.scheme == SEAL_BFV;
    if (bfv && h->level != 0) {
        return seal_source_fail(s, CAIRN_ERR_REFUSED, "parms_id", "0, BFV coefficients",
                                "a transformed plaintext of level %d", h->level);
    }
    if (!bfv && !seal_is_data_level(context, h->level)) {
        return seal_source_fail(s, CAIRN_ERR_REFUSED, "parms_id", "that of a data level",
                                "level %d", h->level);
    }
    size_t most = seal_poly_words(context, bfv ? 1 : (unsigned)h->level);
    if (h->count > most || (!bfv && h->count != most)) {
        char expected[40];
        (void)snprintf(expected, sizeof expected, bfv ? "at most %zu" : "%zu", most);
        return seal_source_fail(s, CAIRN_ERR_MALFORMED, "coeff_count", expected, "%llu",
                                (unsigned long long)h->count);
    }
    return 0;
}

static int read_plain(struct seal_source *s, const struct seal_context *context,
                      struct seal_plain *p)
{
    struct plain_head h = {0};
    int rc = read_plain_head(s, context, &h);
    if (rc == 0) {
        rc = check_plain_head(s, context, &h);
    }
    if (rc == 0) {
        rc = read_scale(s, h.level != 0, &h.scale);
    }
    if (rc == 0) {
        size_t capacity = seal_poly_words(context, h.level == 0 ? 1 : (unsigned)h.level);
        rc = read_secret_words(s, context, (unsigned)h.level, (size_t)h.count, capacity, &p->words);
        p->count = capacity;
    }
    p->level = (unsigned)h.level;
    p->scale = h.scale;
    return rc;
}

int seal_plain_read(const struct seal_context *context, struct span bytes, size_t *consumed,
                    struct seal_plain *out, struct cairn_problem *why)
{
    struct seal_source s;
    struct seal_plain p = {0};
    int rc = seal_source_open(&s, "plaintext", true, bytes, consumed, why);
    if (rc == 0) {
        rc = read_plain(&s, context, &p);
    }
    seal_source_close(&s);
    if (rc == 0) {
        seal_plain_release(out);
        *out = p;
        if (consumed != NULL) {
            *consumed = s.stored;
        }
    }
    return rc;
}

static int write_plain(const struct seal_context *context, unsigned level, double scale,
                       const uint64_t *words, size_t count, enum seal_version version,
                       struct buf *out)
{
    size_t size = PLAIN_FIXED + WORDS_FIXED + 8 * count;
    struct seal_sink s;
    seal_sink_open(&s, version, size);
    seal_sink_bytes(&s, context->ids[level], SEAL_ID_SIZE);
    seal_sink_u64(&s, count);
    seal_sink_f64(&s, scale);
    seal_sink_words(&s, words, count);
    return seal_sink_close(&s, SEAL_PLAIN, out);
}

int seal_plain_write(const struct seal_context *context, const struct seal_plain *plain,
                     enum seal_version version, struct buf *out)
{
    return write_plain(context, plain->level, plain->scale, plain->words, plain->count, version,
                       out);
}

void seal_plain_release(struct seal_plain *plain)
{
    secret_free(plain->words);
    *plain = (struct seal_plain){0};
}

static int read_key(struct seal_source *s, const struct seal_context *context,
                    struct seal_secret_key *key)
{
    const unsigned primes = context->params.primes;
    const size_t count = seal_poly_words(context, primes);
    struct plain_head h = {0};
    int rc = read_plain_head(s, context, &h);
    if (rc == 0 && (unsigned)h.level != primes) {
        rc = seal_source_fail(s, CAIRN_ERR_REFUSED, "parms_id", "that of the key level",
                              "level %d of %u", h.level, primes);
    }
    if (rc == 0 && h.count != count) {
        char expected[32];
        (void)snprintf(expected, sizeof expected, "%zu", count);
        rc = seal_source_fail(s, CAIRN_ERR_MALFORMED, "coeff_count", expected, "%llu",
                              (unsigned long long)h.count);
    }
    if (rc == 0) {
        rc = read_scale(s, false, &h.scale);
    }
    if (rc == 0) {
        rc = read_secret_words(s, context, primes, count, count, &key->words);
    }
    key->count = count;
    return rc;
}

int seal_secret_key_read(const struct seal_context *context, struct span bytes, size_t *consumed,
                         struct seal_secret_key *out, struct cairn_problem *why)
{
    struct seal_source s;
    struct seal_secret_key key = {0};
    int rc = seal_source_open(&s, "secret key", true, bytes, consumed, why);
    if (rc == 0) {
        rc = read_key(&s, context, &key);
    }
    seal_source_close(&s);
    if (rc == 0) {
        seal_secret_key_release(out);
        *out = key;
        if (consumed != NULL) {
            *consumed = s.stored;
        }
    }
    return rc;
}

int seal_secret_key_write(const struct seal_context *context, const struct seal_secret_key *key,
                          enum seal_version version, struct buf *out)
{
    return write_plain(context, context->params.primes, 1.0, key->words, key->count, version, out);
}

void seal_secret_key_release(struct seal_secret_key *key)
{
    secret_free(key->words);
    *key = (struct seal_secret_key){0};
}

/* ---- ciphertexts and public keys ---- */

/* What is asked of a pair of polynomials: of a ciphertext, or of a public key. */
struct pair_rule {
    const char *object;
    bool is_key;
    bool ntt;
    bool scaled;
};

static struct pair_rule rule_of(const struct seal_context *context, bool is_key)
{
    const bool ckks = context->params.scheme == SEAL_CKKS;
    return (struct pair_rule){is_key ? "public key" : "ciphertext", is_key, is_key || ckks,
                              ckks && !is_key};
}

static int check_level(const struct seal_source *s, const struct seal_context *context,
                       const struct pair_rule *rule, int level)
{
    if (rule->is_key ? (unsigned)level != context->params.primes
                     : !seal_is_data_level(context, level)) {
        return seal_source_fail(s, CAIRN_ERR_REFUSED, "parms_id",
                                rule->is_key ? "that of the key level" : "that of a data level",
                                "level %d of %u", level, context->params.primes);
    }
    return 0;
}

static int read_ntt_flag(struct seal_source *s, const struct pair_rule *rule)
{
    uint8_t flag = 0;
    int rc = seal_source_u8(s, "is_ntt_form", &flag);
    if (rc == 0 && flag != (rule->ntt ? 1 : 0)) {
        rc = seal_source_fail(s, CAIRN_ERR_MALFORMED, "is_ntt_form",
                              rule->ntt ? "1, transformed" : "0, coefficients", "%u",
                              (unsigned)flag);
    }
    return rc;
}

static int read_polynomials(struct seal_source *s)
{
    uint64_t size = 0;
    int rc = seal_source_u64(s, "polynomials", &size);
    if (rc == 0 && size != POLYNOMIALS) {
        rc = seal_source_fail(s, size > MAX_POLYNOMIALS ? CAIRN_ERR_MALFORMED : CAIRN_ERR_REFUSED,
                              "polynomials", "2", "%llu", (unsigned long long)size);
    }
    return rc;
}

/* All fields up to the words. */
static int read_pair_head(struct seal_source *s, const struct seal_context *context,
                          const struct pair_rule *rule, struct seal_cipher *c)
{
    int level = 0;
    int rc = read_level(s, context, &level);
    if (rc == 0) {
        rc = check_level(s, context, rule, level);
    }
    if (rc == 0) {
        rc = read_ntt_flag(s, rule);
    }
    if (rc == 0) {
        rc = read_polynomials(s);
    }
    if (rc == 0) {
        rc = read_fixed(s, "degree", context->params.degree);
    }
    if (rc == 0) {
        rc = read_fixed(s, "primes", (uint64_t)level);
    }
    if (rc == 0) {
        rc = read_scale(s, rule->scaled, &c->scale);
    }
    if (rc == 0 && s->major >= 4) {
        rc = read_fixed(s, "correction_factor", 1);
    }
    c->level = (unsigned)level;
    return rc;
}

/* The array's header and count: c0 alone, or both. */
static int read_pair_count(struct seal_source *s, size_t half, struct seal_cipher *c,
                           size_t *stored)
{
    uint64_t count = 0;
    int rc = seal_source_array(s, "coefficients", &count);
    if (rc == 0 && count != half && count != POLYNOMIALS * half) {
        char expected[60];
        (void)snprintf(expected, sizeof expected, "%zu words, or %zu with a seed", 2 * half, half);
        rc = seal_source_fail(s, CAIRN_ERR_MALFORMED, "coefficients", expected, "%llu",
                              (unsigned long long)count);
    }
    if (rc == 0) {
        rc = seal_source_expect_words(s, "coefficients", (size_t)count);
    }
    c->seeded = count == half;
    *stored = (size_t)count;
    return rc;
}

static int read_seed(struct seal_source *s, struct seal_seed *seed)
{
    uint8_t prng = 0;
    int rc = seal_source_nested(s, "seed", SEED_OBJECT);
    if (rc == 0) {
        rc = seal_source_u8(s, "seed generator", &prng);
    }
    if (rc == 0 && prng != SEAL_BLAKE2XB && prng != SEAL_SHAKE256) {
        rc = seal_source_fail(s, CAIRN_ERR_MALFORMED, "seed generator",
                              "1 (BLAKE2xb) or 2 (SHAKE256)", "%u", (unsigned)prng);
    }
    if (rc == 0) {
        rc = seal_source_bytes(s, "seed", seed->bytes, sizeof seed->bytes);
    }
    seed->prng = (enum seal_prng)prng;
    return rc;
}

static int check_not_transparent(const struct seal_source *s, const uint64_t *c1, size_t half)
{
    uint64_t any = 0;
    for (size_t i = 0; i < half; i++) {
        any |= c1[i];
    }
    if (any == 0) {
        return seal_source_fail(s, CAIRN_ERR_REFUSED, "second polynomial",
                                "something: without it nothing is encrypted", "zero");
    }
    return 0;
}

static int read_pair_words(struct seal_source *s, const struct seal_context *context, size_t stored,
                           struct seal_cipher *c)
{
    const size_t half = seal_poly_words(context, c->level);
    c->count = POLYNOMIALS * half;
    c->words = size_alloc_array(c->count, sizeof *c->words);
    if (c->words == NULL) {
        return problem_set(s->why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a SEAL %s", s->object);
    }
    int rc = read_residues(s, context, c->level, stored, c->words);
    if (rc == 0 && c->seeded) {
        rc = read_seed(s, &c->seed);
    }
    if (rc == 0) {
        rc = seal_source_end(s);
    }
    if (rc == 0 && c->seeded) {
        rc = seal_expand(context, &c->seed, c->level, c->words + half);
        if (rc != 0) {
            problem_set(s->why, rc, NULL, "no memory to expand a SEAL %s", s->object);
        }
    }
    return rc != 0 ? rc : check_not_transparent(s, c->words + half, half);
}

static int read_pair(const struct seal_context *context, bool is_key, struct span bytes,
                     size_t *consumed, struct seal_cipher *out, struct cairn_problem *why)
{
    const struct pair_rule rule = rule_of(context, is_key);
    struct seal_source s;
    struct seal_cipher c = {0};
    size_t stored = 0;
    int rc = seal_source_open(&s, rule.object, false, bytes, consumed, why);
    if (rc == 0) {
        rc = read_pair_head(&s, context, &rule, &c);
    }
    if (rc == 0) {
        rc = read_pair_count(&s, seal_poly_words(context, c.level), &c, &stored);
    }
    if (rc == 0) {
        rc = read_pair_words(&s, context, stored, &c);
    }
    seal_source_close(&s);
    if (rc != 0) {
        seal_cipher_release(&c);
        return rc;
    }
    seal_cipher_release(out);
    *out = c;
    if (consumed != NULL) {
        *consumed = s.stored;
    }
    return 0;
}

static int write_pair(const struct seal_context *context, bool is_key, const struct seal_cipher *c,
                      const struct seal_options *options, struct buf *out)
{
    const struct seal_options o = options != NULL ? *options : (struct seal_options){0};
    const struct pair_rule rule = rule_of(context, is_key);
    const bool old = o.version == SEAL_VERSION_3_7;
    const size_t count = c->seeded ? c->count / 2 : c->count;
    size_t size = WORDS_FIXED + 8 * count;
    size += old ? CIPHER_FIXED_3 : CIPHER_FIXED_4;
    size += c->seeded ? SEED_OBJECT : 0;
    struct seal_sink s;
    seal_sink_open(&s, o.version, size);
    seal_sink_bytes(&s, context->ids[c->level], SEAL_ID_SIZE);
    seal_sink_u8(&s, rule.ntt);
    seal_sink_u64(&s, POLYNOMIALS);
    seal_sink_u64(&s, context->params.degree);
    seal_sink_u64(&s, c->level);
    seal_sink_f64(&s, c->scale);
    if (!old) {
        seal_sink_u64(&s, 1); /* correction_factor: only BGV has others */
    }
    seal_sink_words(&s, c->words, count);
    if (c->seeded) {
        seal_sink_nested(&s, SEED_OBJECT);
        seal_sink_u8(&s, (uint8_t)c->seed.prng);
        seal_sink_bytes(&s, c->seed.bytes, sizeof c->seed.bytes);
    }
    return seal_sink_close(&s, o.compression, out);
}

int seal_cipher_read(const struct seal_context *context, struct span bytes, size_t *consumed,
                     struct seal_cipher *out, struct cairn_problem *why)
{
    return read_pair(context, false, bytes, consumed, out, why);
}

int seal_cipher_write(const struct seal_context *context, const struct seal_cipher *cipher,
                      const struct seal_options *options, struct buf *out)
{
    return write_pair(context, false, cipher, options, out);
}

void seal_cipher_release(struct seal_cipher *cipher)
{
    free(cipher->words);
    *cipher = (struct seal_cipher){0};
}

int seal_public_key_read(const struct seal_context *context, struct span bytes, size_t *consumed,
                         struct seal_public_key *out, struct cairn_problem *why)
{
    return read_pair(context, true, bytes, consumed, &out->pair, why);
}

int seal_public_key_write(const struct seal_context *context, const struct seal_public_key *key,
                          const struct seal_options *options, struct buf *out)
{
    return write_pair(context, true, &key->pair, options, out);
}

void seal_public_key_release(struct seal_public_key *key)
{
    seal_cipher_release(&key->pair);
}
