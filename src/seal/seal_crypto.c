/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SEAL's arithmetic. Polynomials are residue arrays, prime after prime; functions that end in
 * `_poly` go over all of them up to a level.
 */
#include "seal_crypto.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kern.h"
#include "modulus.h"
#include "secret.h"
#include "seal_context.h"
#include "sizes.h"

/* Temporaries that depend on secrets, from secret_alloc. */
struct scratch {
    size_t n;
    unsigned level;
    uint64_t *poly;  /* (N level) */
    uint64_t *pair;  /* (2 N level) */
    int32_t *small;  /* (N) */
    uint8_t *random; /* (6 N) */
};

static void scratch_free(struct scratch *s)
{
    secret_free(s->poly);
    secret_free(s->pair);
    secret_free(s->small);
    secret_free(s->random);
}

static int scratch_new(const struct seal_context *context, unsigned level, struct scratch *s,
                       struct cairn_problem *why)
{
    const size_t n = context->params.degree;
    *s = (struct scratch){.n = n, .level = level};
    s->poly = secret_alloc(8 * n * level);
    s->pair = secret_alloc(16 * n * level);
    s->small = secret_alloc(4 * n);
    s->random = secret_alloc(6 * n);
    if (s->poly == NULL || s->pair == NULL || s->small == NULL || s->random == NULL) {
        scratch_free(s);
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL,
                           "no memory to compute with SEAL objects");
    }
    return 0;
}

/* ---- samples ---- */

static int sample_cbd(struct secret_rng *rng, struct scratch *s)
{
    int rc = secret_rng_fill(rng, s->random, 6 * s->n);
    if (rc == 0) {
        kern_get()->sample_cbd21(s->small, s->n, s->random);
    }
    return rc;
}

static int sample_ternary(struct secret_rng *rng, struct scratch *s)
{
    size_t filled = 0;
    while (filled < s->n) {
        /* 3 of 4 pairs of bits are kept, so n/4 bytes, 4 at least, fill three quarters */
        size_t helping = s->n / 4 + 4;
        int rc = secret_rng_fill(rng, s->random, helping);
        if (rc != 0) {
            return rc;
        }
        filled += kern_get()->sample_ternary(s->small + filled, s->n - filled, s->random, helping);
    }
    return 0;
}

/* a small signed number mod q: q is added when it is negative */
static inline uint64_t lift(int32_t x, uint64_t q)
{
    int64_t wide = x;
    return (uint64_t)wide + (q & (uint64_t)(wide >> 63));
}

/* out = the samples, transformed */
static void lift_and_transform(const struct seal_context *context, unsigned level,
                               const int32_t *small, uint64_t *out)
{
    const size_t n = context->params.degree;
    for (unsigned j = 0; j < level; j++) {
        for (size_t i = 0; i < n; i++) {
            out[j * n + i] = lift(small[i], context->params.q[j]);
        }
        seal_ntt_forward(out + j * n, &context->ntt[j]);
    }
}

/* ---- polynomials ---- */

static void forward_poly(const struct seal_context *context, unsigned level, uint64_t *a)
{
    for (unsigned j = 0; j < level; j++) {
        seal_ntt_forward(a + j * context->params.degree, &context->ntt[j]);
    }
}

static void backward_poly(const struct seal_context *context, unsigned level, uint64_t *a)
{
    for (unsigned j = 0; j < level; j++) {
        seal_ntt_backward(a + j * context->params.degree, &context->ntt[j]);
    }
}

static void mul_poly(const struct seal_context *context, unsigned level, uint64_t *out,
                     const uint64_t *a, const uint64_t *b)
{
    const size_t n = context->params.degree;
    for (unsigned j = 0; j < level; j++) {
        const struct seal_modulus *m = &context->ntt[j].m;
        for (size_t i = j * n; i < (j + 1) * n; i++) {
            out[i] = seal_mul(a[i], b[i], m);
        }
    }
}

static void add_poly(const struct seal_context *context, unsigned level, uint64_t *a,
                     const uint64_t *b)
{
    const size_t n = context->params.degree;
    for (unsigned j = 0; j < level; j++) {
        const struct seal_modulus *m = &context->ntt[j].m;
        for (size_t i = j * n; i < (j + 1) * n; i++) {
            a[i] = seal_add_mod(a[i], b[i], m);
        }
    }
}

static void neg_poly(const struct seal_context *context, unsigned level, uint64_t *a)
{
    const size_t n = context->params.degree;
    for (unsigned j = 0; j < level; j++) {
        for (size_t i = j * n; i < (j + 1) * n; i++) {
            a[i] = seal_neg_mod(a[i], &context->ntt[j].m);
        }
    }
}

static void add_small_poly(const struct seal_context *context, unsigned level, uint64_t *a,
                           const int32_t *small)
{
    const size_t n = context->params.degree;
    for (unsigned j = 0; j < level; j++) {
        const struct seal_modulus *m = &context->ntt[j].m;
        for (size_t i = 0; i < n; i++) {
            a[j * n + i] = seal_add_mod(a[j * n + i], lift(small[i], m->q), m);
        }
    }
}

/*
 * Divide by the last prime p of `level` and round, in coefficients, in place: with h = p >> 1 and
 * r = (x_last + h) mod p,  x' = (x - r + h) p^-1 mod q  for each other prime q.
 */
static void divide_round_poly(const struct seal_context *context, unsigned level, uint64_t *a)
{
    const size_t n = context->params.degree;
    const struct seal_ntt *last = &context->ntt[level - 1];
    const uint64_t h = last->m.q >> 1;
    uint64_t *x = a + (level - 1) * n;
    for (size_t i = 0; i < n; i++) {
        x[i] = seal_add_mod(x[i], h, &last->m);
    }
    for (unsigned j = 0; j + 1 < level; j++) {
        const struct seal_ntt *t = &context->ntt[j];
        const uint64_t q = t->m.q;
        const uint64_t h_q = h % q; /* public */
        const uint64_t inverse = modulus_inverse(last->m.q % q, q);
        for (size_t i = 0; i < n; i++) {
            uint64_t r = seal_sub_mod(seal_reduce64(x[i], t->one_shoup, q), h_q, &t->m);
            a[j * n + i] = seal_mul(seal_sub_mod(a[j * n + i], r, &t->m), inverse, &t->m);
        }
    }
}

/* ---- messages ---- */

/* What BFV adds for m, modulo one prime: m floor(Q/t) + floor((rest m + floor((t+1)/2)) / t), Q the
 * product of the level's primes and rest = Q mod t. */
struct bfv_scale {
    uint64_t t;
    uint64_t rest, rest_shoup;         /* Q mod t */
    uint64_t half;                     /* floor((t+1) / 2) */
    uint64_t floor_q[SEAL_MAX_PRIMES]; /* floor(Q/t) mod q_j */
};

static void bfv_scale_init(const struct seal_context *context, unsigned level, struct bfv_scale *s)
{
    const struct seal_params *p = &context->params;
    s->t = p->plain_modulus;
    s->rest = 1 % s->t;
    for (unsigned j = 0; j < level; j++) {
        s->rest = (uint64_t)((kern_u128)s->rest * p->q[j] % s->t);
    }
    s->rest_shoup = (uint64_t)(((kern_u128)s->rest << 64) / s->t);
    s->half = (s->t + 1) / 2;
    for (unsigned j = 0; j < level; j++) {
        /* floor(Q/t) = (Q - rest) / t and Q = 0 mod q_j */
        uint64_t q = p->q[j];
        uint64_t over_t = modulus_inverse(s->t % q, q);
        s->floor_q[j] = (uint64_t)((kern_u128)((q - s->rest % q) % q) * over_t % q);
    }
}

static void add_bfv_message(const struct seal_context *context, unsigned level,
                            const struct seal_plain *plain, uint64_t *c0)
{
    const size_t n = context->params.degree;
    struct bfv_scale s;
    bfv_scale_init(context, level, &s);
    for (size_t i = 0; i < n; i++) {
        const uint64_t m = plain->words[i];
        uint64_t fix = kern_mulhi(m, s.rest_shoup);
        uint64_t r = m * s.rest - fix * s.t; /* [0, 2t): floor is one too small or right */
        uint64_t more = ~kern_mask_less(r, s.t);
        fix -= more;
        r -= s.t & more;
        fix -= ~kern_mask_less(r + s.half, s.t); /* the half carries */
        for (unsigned j = 0; j < level; j++) {
            const struct seal_ntt *t = &context->ntt[j];
            uint64_t term = seal_mul(seal_reduce64(m, t->one_shoup, t->m.q), s.floor_q[j], &t->m);
            term = seal_add_mod(term, seal_reduce64(fix, t->one_shoup, t->m.q), &t->m);
            c0[j * n + i] = seal_add_mod(c0[j * n + i], term, &t->m);
        }
    }
}

static void add_message(const struct seal_context *context, const struct seal_plain *plain,
                        unsigned level, uint64_t *c0)
{
    if (context->params.scheme == SEAL_BFV) {
        add_bfv_message(context, level, plain, c0);
    } else {
        add_poly(context, level, c0, plain->words);
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
    struct scratch s;
    int rc = scratch_new(context, 1, &s, why);
    if (rc != 0) {
        return rc;
    }
    struct seal_secret_key key = {.count = seal_poly_words(context, primes)};
    key.words = secret_alloc(8 * key.count);
    rc = key.words == NULL ? CAIRN_ERR_NO_MEMORY : sample_ternary(rng, &s);
    if (rc == 0) {
        lift_and_transform(context, primes, s.small, key.words);
        seal_secret_key_release(out);
        *out = key;
    } else {
        seal_secret_key_release(&key);
        fail(why, rc, "make a SEAL secret key");
    }
    scratch_free(&s);
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

/*
 * c = (-(a s + e), a) with a from a fresh seed, sampled in the representation that is asked for.
 * The sum is made in scratch memory: before the error is in, it would show the key.
 */
static int encrypt_zero(const struct seal_context *context, const struct seal_secret_key *key,
                        struct secret_rng *rng, bool ntt, struct seal_cipher *c, struct scratch *s)
{
    const size_t half = c->count / 2;
    c->seeded = true;
    c->seed.prng = SEAL_BLAKE2XB;
    int rc = secret_rng_fill(rng, c->seed.bytes, sizeof c->seed.bytes);
    if (rc == 0) {
        rc = seal_expand(context, &c->seed, c->level, c->words + half);
    }
    if (rc == 0) {
        rc = sample_cbd(rng, s);
    }
    if (rc != 0) {
        return rc;
    }
    memcpy(s->pair, c->words + half, 8 * half);
    if (!ntt) {
        forward_poly(context, c->level, s->pair);
    }
    mul_poly(context, c->level, s->poly, s->pair, key->words);
    if (ntt) {
        lift_and_transform(context, c->level, s->small, s->pair);
        add_poly(context, c->level, s->poly, s->pair);
    } else {
        backward_poly(context, c->level, s->poly);
        add_small_poly(context, c->level, s->poly, s->small);
    }
    neg_poly(context, c->level, s->poly);
    return 0;
}

int seal_public_key_make(const struct seal_context *context, const struct seal_secret_key *key,
                         struct secret_rng *rng, bool seeded, struct seal_public_key *out,
                         struct cairn_problem *why)
{
    const unsigned level = context->params.primes;
    struct scratch s;
    struct seal_cipher c;
    int rc = scratch_new(context, level, &s, why);
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
    scratch_free(&s);
    return rc;
}

/* ---- encryption ---- */

int seal_encrypt_symmetric(const struct seal_context *context, const struct seal_secret_key *key,
                           struct secret_rng *rng, const struct seal_plain *plain,
                           struct seal_cipher *out, struct cairn_problem *why)
{
    const unsigned level = target_level(context, plain);
    struct scratch s;
    struct seal_cipher c;
    int rc = check_plain(context, plain, why);
    if (rc == 0) {
        rc = check_secret_key(context, key, why);
    }
    if (rc == 0) {
        rc = scratch_new(context, level, &s, why);
    }
    if (rc != 0) {
        return rc;
    }
    rc = pair_new(context, level, plain->scale, &c);
    if (rc == 0) {
        rc = encrypt_zero(context, key, rng, context->params.scheme == SEAL_CKKS, &c, &s);
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
    scratch_free(&s);
    return rc;
}

/* s->pair = pk u + (e0, e1) at s->level, in coefficients; each polynomial N s->level words long */
static int public_zero(const struct seal_context *context, const struct seal_public_key *key,
                       struct secret_rng *rng, struct scratch *s)
{
    const size_t half = seal_poly_words(context, s->level);
    const size_t key_half = key->pair.count / 2;
    int rc = sample_ternary(rng, s);
    if (rc == 0) {
        lift_and_transform(context, s->level, s->small, s->poly);
    }
    for (unsigned p = 0; rc == 0 && p < 2; p++) {
        uint64_t *c = s->pair + p * half;
        rc = sample_cbd(rng, s);
        if (rc == 0) {
            mul_poly(context, s->level, c, key->pair.words + p * key_half, s->poly);
            backward_poly(context, s->level, c);
            add_small_poly(context, s->level, c, s->small);
        }
    }
    return rc;
}

/* From s->pair to the ciphertext at its level: divided where s->level lies one above. */
static void finish_public(const struct seal_context *context, const struct seal_plain *plain,
                          struct seal_cipher *c, struct scratch *s)
{
    const size_t above = seal_poly_words(context, s->level), half = c->count / 2;
    for (unsigned p = 0; p < 2; p++) {
        uint64_t *x = s->pair + p * above;
        if (s->level > c->level) {
            divide_round_poly(context, s->level, x);
        }
        if (context->params.scheme == SEAL_CKKS) {
            forward_poly(context, c->level, x);
        }
        if (p == 0) {
            add_message(context, plain, c->level, x);
        }
        memcpy(c->words + p * half, x, 8 * half);
    }
}

int seal_encrypt(const struct seal_context *context, const struct seal_public_key *key,
                 struct secret_rng *rng, const struct seal_plain *plain, struct seal_cipher *out,
                 struct cairn_problem *why)
{
    const unsigned level = target_level(context, plain);
    struct scratch s;
    struct seal_cipher c;
    int rc = check_plain(context, plain, why);
    if (rc == 0) {
        rc = check_public_key(context, key, why);
    }
    if (rc == 0) {
        rc = scratch_new(context, context->params.primes > 1 ? level + 1 : level, &s, why);
    }
    if (rc != 0) {
        return rc;
    }
    rc = pair_new(context, level, plain->scale, &c);
    if (rc == 0) {
        rc = public_zero(context, key, rng, &s);
    }
    if (rc == 0) {
        finish_public(context, plain, &c, &s);
        seal_cipher_release(out);
        *out = c;
    } else {
        seal_cipher_release(&c);
        fail(why, rc, "encrypt a SEAL plaintext");
    }
    scratch_free(&s);
    return rc;
}

/* ---- decryption ---- */

/* x = c0 + c1 s, in the representation of the ciphertext. x: (N level), from secret memory */
static void phase(const struct seal_context *context, const struct seal_secret_key *key,
                  const struct seal_cipher *cipher, uint64_t *x)
{
    const size_t half = cipher->count / 2;
    const bool ntt = context->params.scheme == SEAL_CKKS;
    memcpy(x, cipher->words + half, 8 * half);
    if (!ntt) {
        forward_poly(context, cipher->level, x);
    }
    mul_poly(context, cipher->level, x, x, key->words);
    if (!ntt) {
        backward_poly(context, cipher->level, x);
    }
    add_poly(context, cipher->level, x, cipher->words);
}

/*
 * m = round(t x / Q) mod t. By the Chinese remainder theorem x / Q = sum_j y_j / q_j mod 1 with
 * y_j = x_j (Q/q_j)^-1 mod q_j, so t x / Q = sum_j t y_j / q_j mod t: whole parts are added mod t,
 * fractions as 2^-64ths, each at most 3 of them too small.
 */
struct bfv_unscale {
    uint64_t whole[SEAL_MAX_PRIMES];                             /* floor(t / q_j) */
    uint64_t rest[SEAL_MAX_PRIMES], rest_shoup[SEAL_MAX_PRIMES]; /* t mod q_j */
    uint64_t factor[SEAL_MAX_PRIMES];                            /* (Q/q_j)^-1 mod q_j */
    uint64_t recip[SEAL_MAX_PRIMES]; /* floor(2^(63 + bits) / q_j), bits = length of q_j */
};

static void bfv_unscale_init(const struct seal_context *context, unsigned level,
                             struct bfv_unscale *u)
{
    const struct seal_params *p = &context->params;
    for (unsigned j = 0; j < level; j++) {
        const uint64_t q = p->q[j];
        uint64_t others = 1;
        for (unsigned i = 0; i < level; i++) {
            if (i != j) {
                others = (uint64_t)((kern_u128)others * (p->q[i] % q) % q);
            }
        }
        u->factor[j] = modulus_inverse(others, q);
        u->whole[j] = p->plain_modulus / q;
        u->rest[j] = p->plain_modulus % q;
        u->rest_shoup[j] = (uint64_t)(((kern_u128)u->rest[j] << 64) / q);
        u->recip[j] = (uint64_t)(((kern_u128)1 << (63 + context->ntt[j].m.bits)) / q);
    }
}

/* t y / q, whole part and fraction; whole * y < t because y < q */
static uint64_t scaled_part(const struct seal_modulus *m, const struct bfv_unscale *u, unsigned j,
                            uint64_t y, uint64_t *fraction)
{
    uint64_t quotient = kern_mulhi(y, u->rest_shoup[j]);
    uint64_t r = y * u->rest[j] - quotient * m->q; /* [0, 2q) */
    uint64_t more = ~kern_mask_less(r, m->q);
    r -= m->q & more;
    *fraction = (uint64_t)(((kern_u128)r * u->recip[j]) >> (m->bits - 1));
    return u->whole[j] * y + quotient - more;
}

static void bfv_unscale_poly(const struct seal_context *context, unsigned level, const uint64_t *x,
                             uint64_t *out)
{
    const size_t n = context->params.degree;
    const uint64_t t = context->params.plain_modulus;
    struct bfv_unscale u;
    bfv_unscale_init(context, level, &u);
    for (size_t i = 0; i < n; i++) {
        kern_u128 fraction = (kern_u128)1 << 63; /* one half, for rounding */
        uint64_t sum = 0;
        for (unsigned j = 0; j < level; j++) {
            const struct seal_modulus *m = &context->ntt[j].m;
            uint64_t part;
            uint64_t y = seal_mul(x[j * n + i], u.factor[j], m);
            uint64_t whole = scaled_part(m, &u, j, y, &part);
            fraction += part;
            sum = kern_reduce_once(sum + whole, t);
        }
        for (unsigned j = 0; j <= level; j++) { /* at most `level` carries, and the half */
            uint64_t carry = (uint64_t)(fraction >> 64);
            uint64_t one = (carry | (0 - carry)) >> 63; /* 1 unless carry is 0 */
            sum = kern_reduce_once(sum + one, t);
            fraction -= (kern_u128)one << 64;
        }
        out[i] = sum;
    }
    secret_wipe(&u, sizeof u);
}

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
    phase(context, key, cipher, x);
    if (bfv) {
        p.words = secret_alloc(8 * p.count);
        if (p.words != NULL) {
            bfv_unscale_poly(context, cipher->level, x, p.words);
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
        any |= seal_add_mod(sum->words[half + i], x->words[half + i], &context->ntt[i / n].m);
    }
    if (any == 0) {
        return problem_set(why, CAIRN_ERR_REFUSED, NULL,
                           "SEAL sum: second polynomial: expected something, found zero: the sum "
                           "would not be encrypted");
    }
    add_poly(context, sum->level, sum->words, x->words);
    add_poly(context, sum->level, sum->words + half, x->words + half);
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
