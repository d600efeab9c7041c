/* SPDX-License-Identifier: Apache-2.0 */
/* SEAL's schemes on SEAL's objects: what is computed is in he (rlwe.h), what is here checks that
 * objects fit each other and keeps their levels, scales and seeds. */
#include "seal_crypto.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rlwe.h"
#include "rlwe_bfv.h"
#include "seal_context.h"
#include "secret.h"
#include "sizes.h"

static bool is_ckks(const struct seal_context *context)
{
    return context->params.scheme == SEAL_CKKS; /* so polynomials are transformed */
}

static int scratch_init(const struct seal_context *context, unsigned level, struct rlwe_scratch *s,
                        struct cairn_problem *why)
{
    int rc = rlwe_scratch_init(s, &context->ring, level);
    return rc == 0 ? 0 : problem_set(why, rc, NULL, "no memory to compute with SEAL objects");
}

static void add_message(const struct seal_context *context, const struct seal_plain *plain,
                        unsigned level, uint64_t *c0)
{
    if (is_ckks(context)) {
        rns_add(&context->ring, level, c0, plain->words);
    } else {
        rlwe_bfv_add(&context->ring, level, context->params.plain_modulus, plain->words, c0);
    }
}

/* The level at which a plaintext is encrypted. */
static unsigned target_level(const struct seal_context *context, const struct seal_plain *plain)
{
    return plain->level != 0 ? plain->level : seal_context_first_level(context);
}

int seal_plain_from_coefficients(const struct seal_context *context, const uint64_t *coefficients,
                                 struct seal_plain *out, struct cairn_problem *why)
{
    const struct seal_params *p = &context->params;
    uint64_t over = 0;
    for (size_t i = 0; i < p->degree; i++) {
        over |= (p->plain_modulus - 1 - coefficients[i]) | coefficients[i];
    }
    if (p->scheme != SEAL_BFV || over >> 63 != 0) {
        return problem_set(why, CAIRN_ERR_REFUSED, NULL,
                           "SEAL plaintext: expected BFV coefficients below %llu, found others",
                           (unsigned long long)p->plain_modulus);
    }
    struct seal_plain plain = {.scale = 1.0, .count = p->degree};
    plain.words = secret_alloc(8 * plain.count);
    if (plain.words == NULL) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a SEAL plaintext");
    }
    memcpy(plain.words, coefficients, 8 * plain.count);
    seal_plain_release(out);
    *out = plain;
    return 0;
}

/* ---- operands that belong to another context ---- */

static int check_plain(const struct seal_context *context, const struct seal_plain *plain,
                       struct cairn_problem *why)
{
    const bool bfv = context->params.scheme == SEAL_BFV;
    if (bfv ? plain->level != 0 : !seal_is_data_level(context, (int)plain->level)) {
        return problem_set(why, CAIRN_ERR_REFUSED, NULL,
                           "SEAL plaintext: level: expected %s, found %u",
                           bfv ? "0, BFV coefficients" : "a data level", plain->level);
    }
    size_t count = seal_poly_words(context, bfv ? 1 : plain->level);
    if (plain->count != count) {
        return problem_set(why, CAIRN_ERR_REFUSED, NULL,
                           "SEAL plaintext: words: expected %zu, found %zu", count, plain->count);
    }
    return 0;
}

static int check_cipher(const struct seal_context *context, const struct seal_cipher *cipher,
                        struct cairn_problem *why)
{
    if (!seal_is_data_level(context, (int)cipher->level) ||
        cipher->count != 2 * seal_poly_words(context, cipher->level)) {
        return problem_set(why, CAIRN_ERR_REFUSED, "do both belong to the same parameters?",
                           "SEAL ciphertext: expected a data level and its %zu words a prime, "
                           "found level %u with %zu words",
                           2 * context->params.degree, cipher->level, cipher->count);
    }
    return 0;
}

static int check_secret_key(const struct seal_context *context, const struct seal_secret_key *key,
                            struct cairn_problem *why)
{
    size_t count = seal_poly_words(context, context->params.primes);
    if (key->count != count) {
        return problem_set(why, CAIRN_ERR_REFUSED, "is this the key of these parameters?",
                           "SEAL secret key: words: expected %zu, found %zu", count, key->count);
    }
    return 0;
}

static int check_public_key(const struct seal_context *context, const struct seal_public_key *key,
                            struct cairn_problem *why)
{
    unsigned primes = context->params.primes;
    size_t count = 2 * seal_poly_words(context, primes);
    if (key->pair.level != primes || key->pair.count != count) {
        return problem_set(why, CAIRN_ERR_REFUSED, "is this the key of these parameters?",
                           "SEAL public key: expected level %u with %zu words, found %u with %zu",
                           primes, count, key->pair.level, key->pair.count);
    }
    return 0;
}

/* ---- keys ---- */

static int fail(struct cairn_problem *why, int rc, const char *doing)
{
    return problem_set(why, rc, NULL, "cannot %s: %s", doing, cairn_error_sentence(rc));
}

int seal_keygen(const struct seal_context *context, struct secret_rng *rng,
                struct seal_secret_key *out, struct cairn_problem *why)
{
    const unsigned primes = context->params.primes;
    struct rlwe_scratch s;
    int rc = scratch_init(context, 1, &s, why);
    if (rc != 0) {
        return rc;
    }
    struct seal_secret_key key = {.count = seal_poly_words(context, primes)};
    key.words = secret_alloc(8 * key.count);
    rc = key.words == NULL ? CAIRN_ERR_NO_MEMORY : rlwe_secret(&context->ring, rng, key.words, &s);
    if (rc == 0) {
        seal_secret_key_release(out);
        *out = key;
    } else {
        seal_secret_key_release(&key);
        fail(why, rc, "make a SEAL secret key");
    }
    rlwe_scratch_release(&s);
    return rc;
}

static int pair_new(const struct seal_context *context, unsigned level, double scale,
                    struct seal_cipher *c)
{
    *c = (struct seal_cipher){.level = level, .scale = scale};
    c->count = 2 * seal_poly_words(context, level);
    c->words = size_alloc_array(c->count, sizeof *c->words);
    return c->words != NULL ? 0 : CAIRN_ERR_NO_MEMORY;
}

/* c = (-(a s + e), a) with a from a fresh seed, sampled in the representation that is asked for; its
 * first half is left in s->poly. */
static int encrypt_zero(const struct seal_context *context, const struct seal_secret_key *key,
                        struct secret_rng *rng, bool hat, struct seal_cipher *c,
                        struct rlwe_scratch *s)
{
    uint64_t *a = c->words + c->count / 2;
    c->seeded = true;
    c->seed.prng = SEAL_BLAKE2XB;
    int rc = secret_rng_fill(rng, c->seed.bytes, sizeof c->seed.bytes);
    if (rc == 0) {
        rc = seal_expand(context, &c->seed, c->level, a);
    }
    return rc != 0 ? rc : rlwe_zero(&context->ring, c->level, key->words, a, hat, rng, s);
}

int seal_public_key_make(const struct seal_context *context, const struct seal_secret_key *key,
                         struct secret_rng *rng, bool seeded, struct seal_public_key *out,
                         struct cairn_problem *why)
{
    const unsigned level = context->params.primes;
    struct rlwe_scratch s;
    struct seal_cipher c;
    int rc = scratch_init(context, level, &s, why);
    if (rc != 0) {
        return rc;
    }
    rc = pair_new(context, level, 1.0, &c);
    if (rc == 0) {
        rc = encrypt_zero(context, key, rng, true, &c, &s);
    }
    if (rc == 0) {
        memcpy(c.words, s.poly, 8 * (c.count / 2));
        c.seeded = seeded;
        seal_cipher_release(&out->pair);
        out->pair = c;
    } else {
        seal_cipher_release(&c);
        fail(why, rc, "make a SEAL public key");
    }
    rlwe_scratch_release(&s);
    return rc;
}

/* ---- encryption ---- */

int seal_encrypt_symmetric(const struct seal_context *context, const struct seal_secret_key *key,
                           struct secret_rng *rng, const struct seal_plain *plain,
                           struct seal_cipher *out, struct cairn_problem *why)
{
    const unsigned level = target_level(context, plain);
    struct rlwe_scratch s;
    struct seal_cipher c;
    int rc = check_plain(context, plain, why);
    if (rc == 0) {
        rc = check_secret_key(context, key, why);
    }
    if (rc == 0) {
        rc = scratch_init(context, level, &s, why);
    }
    if (rc != 0) {
        return rc;
    }
    rc = pair_new(context, level, plain->scale, &c);
    if (rc == 0) {
        rc = encrypt_zero(context, key, rng, is_ckks(context), &c, &s);
    }
    if (rc == 0) {
        add_message(context, plain, level, s.poly);
        memcpy(c.words, s.poly, 8 * (c.count / 2));
        seal_cipher_release(out);
        *out = c;
    } else {
        seal_cipher_release(&c);
        fail(why, rc, "encrypt a SEAL plaintext");
    }
    rlwe_scratch_release(&s);
    return rc;
}

/* From s->pair to the ciphertext, with the message in it. */
static void finish_public(const struct seal_context *context, const struct seal_plain *plain,
                          struct seal_cipher *c, struct rlwe_scratch *s)
{
    const size_t above = seal_poly_words(context, s->level), half = c->count / 2;
    add_message(context, plain, c->level, s->pair);
    memcpy(c->words, s->pair, 8 * half);
    memcpy(c->words + half, s->pair + above, 8 * half);
}

int seal_encrypt(const struct seal_context *context, const struct seal_public_key *key,
                 struct secret_rng *rng, const struct seal_plain *plain, struct seal_cipher *out,
                 struct cairn_problem *why)
{
    const unsigned level = target_level(context, plain);
    struct rlwe_scratch s;
    struct seal_cipher c;
    int rc = check_plain(context, plain, why);
    if (rc == 0) {
        rc = check_public_key(context, key, why);
    }
    if (rc == 0) {
        rc = scratch_init(context, context->params.primes > 1 ? level + 1 : level, &s, why);
    }
    if (rc != 0) {
        return rc;
    }
    rc = pair_new(context, level, plain->scale, &c);
    if (rc == 0) {
        rc = rlwe_zero_public(&context->ring, level, key->pair.words, is_ckks(context), rng, &s);
    }
    if (rc == 0) {
        finish_public(context, plain, &c, &s);
        seal_cipher_release(out);
        *out = c;
    } else {
        seal_cipher_release(&c);
        fail(why, rc, "encrypt a SEAL plaintext");
    }
    rlwe_scratch_release(&s);
    return rc;
}

/* ---- decryption ---- */

int seal_decrypt(const struct seal_context *context, const struct seal_secret_key *key,
                 const struct seal_cipher *cipher, struct seal_plain *out,
                 struct cairn_problem *why)
{
    const bool bfv = context->params.scheme == SEAL_BFV;
    const size_t half = cipher->count / 2;
    struct seal_plain p = {bfv ? 0 : cipher->level, cipher->scale,
                           bfv ? context->params.degree : half, NULL};
    int rc = check_cipher(context, cipher, why);
    if (rc == 0) {
        rc = check_secret_key(context, key, why);
    }
    if (rc != 0) {
        return rc;
    }
    uint64_t *x = secret_alloc(8 * half);
    if (x == NULL) {
        return fail(why, CAIRN_ERR_NO_MEMORY, "decrypt a SEAL ciphertext");
    }
    rlwe_phase(&context->ring, cipher->level, key->words, cipher->words, !bfv, x);
    if (bfv) {
        p.words = secret_alloc(8 * p.count);
        if (p.words != NULL) {
            rlwe_bfv_round(&context->ring, cipher->level, context->params.plain_modulus, x,
                           p.words);
        }
        secret_free(x);
    } else {
        p.words = x;
    }
    if (p.words == NULL) {
        return fail(why, CAIRN_ERR_NO_MEMORY, "decrypt a SEAL ciphertext");
    }
    seal_plain_release(out);
    *out = p;
    return 0;
}

/* ---- sums ---- */

/* SEAL's rule for equal scales. */
static bool is_close(double a, double b)
{
    return fabs(a - b) < DBL_EPSILON * fmax(fmax(fabs(a), fabs(b)), 1.0);
}

static int check_operands(const struct seal_context *context, unsigned level_a, double scale_a,
                          unsigned level_b, double scale_b, struct cairn_problem *why)
{
    if (level_a != level_b) {
        const uint8_t *a = context->ids[level_a], *b = context->ids[level_b];
        return problem_set(why, CAIRN_ERR_REFUSED, "both must be made at the same level",
                           "SEAL sum: parms_id: expected %02x%02x%02x%02x... (level %u), found "
                           "%02x%02x%02x%02x... (level %u)",
                           a[0], a[1], a[2], a[3], level_a, b[0], b[1], b[2], b[3], level_b);
    }
    if (!is_close(scale_a, scale_b)) {
        return problem_set(why, CAIRN_ERR_REFUSED, "both must be encoded with the same scale",
                           "SEAL sum: scale: expected %.17g, found %.17g", scale_a, scale_b);
    }
    return 0;
}

int seal_add(const struct seal_context *context, struct seal_cipher *sum,
             const struct seal_cipher *x, struct cairn_problem *why)
{
    int rc = check_cipher(context, sum, why);
    if (rc == 0) {
        rc = check_cipher(context, x, why);
    }
    if (rc == 0) {
        rc = check_operands(context, sum->level, sum->scale, x->level, x->scale, why);
    }
    if (rc != 0) {
        return rc;
    }
    const size_t half = sum->count / 2, n = context->params.degree;
    uint64_t any = 0;
    for (size_t i = 0; i < half; i++) {
        any |= prime_add(sum->words[half + i], x->words[half + i], &context->ring.ntt[i / n].m);
    }
    if (any == 0) {
        return problem_set(why, CAIRN_ERR_REFUSED, NULL,
                           "SEAL sum: second polynomial: expected something, found zero: the sum "
                           "would not be encrypted");
    }
    rns_add(&context->ring, sum->level, sum->words, x->words);
    rns_add(&context->ring, sum->level, sum->words + half, x->words + half);
    sum->seeded = false;
    return 0;
}

int seal_add_plain(const struct seal_context *context, struct seal_cipher *cipher,
                   const struct seal_plain *plain, struct cairn_problem *why)
{
    unsigned level = plain->level != 0 ? plain->level : cipher->level; /* BFV fits every level */
    int rc = check_plain(context, plain, why);
    if (rc == 0) {
        rc = check_cipher(context, cipher, why);
    }
    if (rc == 0) {
        rc = check_operands(context, cipher->level, cipher->scale, level, plain->scale, why);
    }
    if (rc == 0) {
        add_message(context, plain, cipher->level, cipher->words);
    }
    return rc;
}
