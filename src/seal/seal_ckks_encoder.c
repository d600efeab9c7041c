/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slots to coefficients and back: the complex twin of seal_ntt.c. The forward transform evaluates
 * at zeta^(2 brv(i) + 1), so slot j, the value at zeta^(3^j), stands at index brv((3^j - 1) / 2),
 * and its conjugate at brv((2N - 3^j - 1) / 2); as P is real, the second follows from the first.
 *
 * Values are secret: no branch, index or division depends on one, except on whether they may be
 * encoded at all.
 */
#include "seal_ckks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "modulus.h"
#include "seal_context.h"
#include "secret.h"
#include "sizes.h"

struct pair {
    double re, im;
};

struct seal_ckks_encoder {
    const struct seal_context *context;
    size_t n;
    struct pair *roots; /* (N) zeta^brv(k) */
    size_t *slot;       /* (N) index of slot j, then of its conjugate */
};

static size_t bit_reverse(size_t k, size_t n)
{
    size_t r = 0;
    for (size_t bit = 1; bit < n; bit <<= 1) {
        r = r << 1 | ((k & bit) != 0);
    }
    return r;
}

void seal_ckks_encoder_free(struct seal_ckks_encoder *encoder)
{
    if (encoder != NULL) {
        free(encoder->roots);
        free(encoder->slot);
        free(encoder);
    }
}

static void fill_tables(struct seal_ckks_encoder *e)
{
    const size_t n = e->n;
    for (size_t k = 0; k < n; k++) {
        double angle = M_PI * (double)k / (double)n;
        e->roots[bit_reverse(k, n)] = (struct pair){cos(angle), sin(angle)};
    }
    size_t power = 1; /* 3^j mod 2N */
    for (size_t j = 0; j < n / 2; j++) {
        e->slot[j] = bit_reverse((power - 1) / 2, n);
        e->slot[n / 2 + j] = bit_reverse((2 * n - power - 1) / 2, n);
        power = 3 * power & (2 * n - 1);
    }
}

int seal_ckks_encoder_new(const struct seal_context *context, struct seal_ckks_encoder **out,
                          struct cairn_problem *why)
{
    if (context->params.scheme != SEAL_CKKS) {
        return problem_set(why, CAIRN_ERR_REFUSED, NULL,
                           "SEAL encoder: scheme: expected CKKS, found another");
    }
    struct seal_ckks_encoder *e = calloc(1, sizeof *e);
    if (e != NULL) {
        e->context = context;
        e->n = context->params.degree;
        e->roots = size_alloc_array(e->n, sizeof *e->roots);
        e->slot = size_alloc_array(e->n, sizeof *e->slot);
    }
    if (e == NULL || e->roots == NULL || e->slot == NULL) {
        seal_ckks_encoder_free(e);
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a SEAL encoder");
    }
    fill_tables(e);
    *out = e;
    return 0;
}

size_t seal_ckks_slots(const struct seal_ckks_encoder *encoder)
{
    return encoder->n / 2;
}

static inline struct pair times(struct pair a, struct pair b)
{
    return (struct pair){a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}

/* out[i] = P(zeta^(2 brv(i) + 1)) */
static void transform(struct pair *a, const struct seal_ckks_encoder *e)
{
    size_t half = e->n / 2;
    for (size_t blocks = 1; blocks < e->n; blocks *= 2, half /= 2) {
        for (size_t b = 0; b < blocks; b++) {
            const struct pair w = e->roots[blocks + b];
            struct pair *x = a + 2 * half * b, *y = x + half;
            for (size_t i = 0; i < half; i++) {
                struct pair u = x[i], v = times(y[i], w);
                x[i] = (struct pair){u.re + v.re, u.im + v.im};
                y[i] = (struct pair){u.re - v.re, u.im - v.im};
            }
        }
    }
}

/* The inverse of it, times `factor` N. */
static void transform_back(struct pair *a, const struct seal_ckks_encoder *e, double factor)
{
    size_t half = 1;
    for (size_t blocks = e->n / 2; blocks >= 1; blocks /= 2, half *= 2) {
        for (size_t b = 0; b < blocks; b++) {
            const struct pair w = {e->roots[blocks + b].re, -e->roots[blocks + b].im};
            struct pair *x = a + 2 * half * b, *y = x + half;
            for (size_t i = 0; i < half; i++) {
                struct pair u = x[i], v = y[i];
                x[i] = (struct pair){u.re + v.re, u.im + v.im};
                y[i] = times((struct pair){u.re - v.re, u.im - v.im}, w);
            }
        }
    }
    for (size_t i = 0; i < e->n; i++) {
        a[i].re *= factor;
        a[i].im *= factor;
    }
}

/* ---- encoding ---- */

/* The bits of numbers without their signs are in the order of their magnitudes, Inf and NaN above
 * all. */
static uint64_t magnitude_bits(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & INT64_MAX;
}

/* Is any of count numbers, `stride` apart, as large as the limit, infinite or NaN? No branch before
 * all have been looked at. */
static bool any_reaches(double limit, const double *numbers, size_t count, size_t stride)
{
    const uint64_t last = magnitude_bits(limit) - 1;
    uint64_t over = 0;
    for (size_t i = 0; i < count; i++) {
        over |= last - magnitude_bits(numbers[stride * i]); /* the sign bit: both below 2^63 */
    }
    return over >> 63 != 0;
}

static int check_wish(const struct seal_ckks_encoder *e, const double *values, size_t count,
                      double scale, unsigned level, struct cairn_problem *why)
{
    if (count > e->n / 2) {
        return problem_set(why, CAIRN_ERR_REFUSED, "split the values",
                           "SEAL encoder: values: expected at most %zu, found %zu", e->n / 2,
                           count);
    }
    if (!isnormal(scale) || scale < 0) {
        return problem_set(why, CAIRN_ERR_REFUSED, NULL,
                           "SEAL encoder: scale: expected a normal positive number, found %g",
                           scale);
    }
    if (!seal_is_data_level(e->context, (int)level)) {
        return problem_set(why, CAIRN_ERR_REFUSED, NULL,
                           "SEAL encoder: level: expected 1 to %u, found %u",
                           seal_context_first_level(e->context), level);
    }
    if (!any_reaches(INFINITY, values, count, 1)) {
        return 0;
    }
    size_t at = 0;
    while (isfinite(values[at])) { /* only values that are refused are searched */
        at++;
    }
    return problem_set(why, CAIRN_ERR_REFUSED, "a model with such a weight is broken",
                       "SEAL encoder: value %zu: expected a number, found %g", at, values[at]);
}

/* Largest magnitude of a coefficient: 2^62 and half the modulus of the level. */
static double coefficient_limit(const struct seal_ckks_encoder *e, unsigned level)
{
    double half = 0.5, most = ldexp(1, 62);
    for (unsigned j = 0; j < level && half < most; j++) {
        half *= (double)e->context->params.q[j];
    }
    return half < most ? half : most;
}

/* C's round() for |x| < 2^62, without a branch: what truncation leaves is exact. */
static inline int64_t round_half_away(double x)
{
    int64_t whole = (int64_t)x;
    double rest = x - (double)whole;
    return whole + (rest >= 0.5) - (rest <= -0.5);
}

/* x mod q for |x| < 2^62 */
static inline uint64_t lift64(int64_t x, const struct seal_ntt *t)
{
    uint64_t negative = (uint64_t)(x >> 63);
    uint64_t magnitude = ((uint64_t)x ^ negative) - negative;
    uint64_t r = seal_reduce64(magnitude, t->one_shoup, t->m.q);
    uint64_t opposite = seal_neg_mod(r, &t->m);
    return (r & ~negative) | (opposite & negative);
}

static void to_residues(const struct seal_ckks_encoder *e, const struct pair *a, unsigned level,
                        uint64_t *words)
{
    for (unsigned j = 0; j < level; j++) {
        const struct seal_ntt *t = &e->context->ntt[j];
        for (size_t i = 0; i < e->n; i++) {
            words[j * e->n + i] = lift64(round_half_away(a[i].re), t);
        }
        seal_ntt_forward(words + j * e->n, t);
    }
}

/* Values into their places, and to coefficients (the real parts). */
static void fill_coefficients(const struct seal_ckks_encoder *e, const double *values, size_t count,
                              double scale, struct pair *a)
{
    for (size_t j = 0; j < count; j++) {
        a[e->slot[j]].re = values[j];
        a[e->slot[e->n / 2 + j]].re = values[j];
    }
    transform_back(a, e, scale / (double)e->n);
}

int seal_ckks_encode(const struct seal_ckks_encoder *encoder, const double *values, size_t count,
                     double scale, unsigned level, struct seal_plain *out,
                     struct cairn_problem *why)
{
    int rc = check_wish(encoder, values, count, scale, level, why);
    if (rc != 0) {
        return rc;
    }
    struct seal_plain p = {level, scale, seal_poly_words(encoder->context, level), NULL};
    p.words = secret_alloc(8 * p.count);
    struct pair *a = secret_alloc(encoder->n * sizeof *a);
    if (p.words == NULL || a == NULL) {
        rc = problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory to encode SEAL slots");
    } else {
        const double limit = coefficient_limit(encoder, level);
        fill_coefficients(encoder, values, count, scale, a);
        if (any_reaches(limit, &a[0].re, encoder->n, sizeof *a / sizeof a[0].re)) {
            rc = problem_set(why, CAIRN_ERR_REFUSED, "a smaller scale, or smaller values",
                             "SEAL encoder: coefficients: expected below 2^%.1f, found larger ones",
                             log2(limit));
        } else {
            to_residues(encoder, a, level, p.words);
        }
    }
    secret_free(a);
    if (rc != 0) {
        seal_plain_release(&p);
        return rc;
    }
    seal_plain_release(out);
    *out = p;
    return 0;
}

/* ---- decoding ---- */

/*
 * A centred coefficient as a double. With P_j = q_1 .. q_(j-1) and h = (Q - 1) / 2, which is
 * sum_j (q_j - 1)/2 P_j, the mixed-radix digits v_j of x + h give
 *
 *   x = sum_j (v_j - (q_j - 1)/2) P_j:
 *
 * digits in +-(q_j - 1)/2, of which the highest that is not 0 outweighs all below it. So adding
 * them up from the top in floating point loses nothing but rounding, however small x is beside Q.
 */
struct garner {
    uint64_t half[SEAL_MAX_PRIMES];                     /* h mod q_j */
    uint64_t inverse[SEAL_MAX_PRIMES][SEAL_MAX_PRIMES]; /* [j][i] q_i^-1 mod q_j, i < j */
};

static void garner_init(const struct seal_context *context, unsigned level, struct garner *g)
{
    const uint64_t *q = context->params.q;
    for (unsigned j = 0; j < level; j++) {
        g->half[j] = (q[j] - 1) / 2; /* 2h = Q - 1 = -1 mod q_j */
        for (unsigned i = 0; i < j; i++) {
            g->inverse[j][i] = modulus_inverse(q[i] % q[j], q[j]);
        }
    }
}

static double centred(const struct seal_context *context, unsigned level, const struct garner *g,
                      const uint64_t *words, size_t stride)
{
    uint64_t digit[SEAL_MAX_PRIMES];
    for (unsigned j = 0; j < level; j++) {
        const struct seal_ntt *t = &context->ntt[j];
        uint64_t v = seal_add_mod(words[j * stride], g->half[j], &t->m);
        for (unsigned i = 0; i < j; i++) {
            uint64_t lower = seal_reduce64(digit[i], t->one_shoup, t->m.q);
            v = seal_mul(seal_sub_mod(v, lower, &t->m), g->inverse[j][i], &t->m);
        }
        digit[j] = v;
    }
    double x = 0;
    for (unsigned j = level; j-- > 0;) {
        const uint64_t q = context->params.q[j];
        x = x * (double)q + (double)((int64_t)digit[j] - (int64_t)((q - 1) / 2));
    }
    return x;
}

static int check_plain(const struct seal_ckks_encoder *e, const struct seal_plain *plain,
                       struct cairn_problem *why)
{
    if (!seal_is_data_level(e->context, (int)plain->level) ||
        plain->count != seal_poly_words(e->context, plain->level) || !isnormal(plain->scale)) {
        return problem_set(why, CAIRN_ERR_REFUSED, NULL,
                           "SEAL encoder: plaintext: expected one of these parameters, found "
                           "level %u with %zu words and scale %g",
                           plain->level, plain->count, plain->scale);
    }
    return 0;
}

int seal_ckks_decode(const struct seal_ckks_encoder *encoder, const struct seal_plain *plain,
                     double *values, struct cairn_problem *why)
{
    const size_t n = encoder->n;
    int rc = check_plain(encoder, plain, why);
    if (rc != 0) {
        return rc;
    }
    struct pair *a = secret_alloc(n * sizeof *a);
    uint64_t *words = secret_alloc(8 * plain->count);
    struct garner *g = malloc(sizeof *g);
    if (a == NULL || words == NULL || g == NULL) {
        rc = problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory to decode SEAL slots");
    } else {
        memcpy(words, plain->words, 8 * plain->count);
        for (unsigned j = 0; j < plain->level; j++) {
            seal_ntt_backward(words + j * n, &encoder->context->ntt[j]);
        }
        garner_init(encoder->context, plain->level, g);
        const double unit = 1 / plain->scale;
        for (size_t i = 0; i < n; i++) {
            a[i].re = centred(encoder->context, plain->level, g, words + i, n) * unit;
        }
        transform(a, encoder);
        for (size_t j = 0; j < n / 2; j++) {
            values[j] = a[encoder->slot[j]].re;
        }
    }
    secret_free(a);
    secret_free(words);
    free(g);
    return rc;
}
