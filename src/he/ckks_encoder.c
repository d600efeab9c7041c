/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slots to coefficients and back: the complex twin of prime_ntt.c. The forward transform evaluates
 * at zeta^(2 brv(i) + 1), so slot j, the value at zeta^(3^j), stands at index brv((3^j - 1) / 2),
 * and its conjugate at brv((2N - 3^j - 1) / 2); as P is real, the second follows from the first.
 */
#include "ckks_encoder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bit_reverse.h"
#include "he_declassify.h"
#include "modulus.h"
#include "sizes.h"

struct ckks_encoder {
    const struct rns_ring *ring;
    size_t n;
    struct ckks_complex *roots; /* (N) zeta^brv(k) */
    size_t *slot;               /* (N) index of slot j, then of its conjugate */
    uint64_t *inverse;          /* (K K) [j K + i] q_i^-1 mod q_j, i < j */
};

void ckks_encoder_free(struct ckks_encoder *encoder)
{
    if (encoder != NULL) {
        free(encoder->roots);
        free(encoder->slot);
        free(encoder->inverse);
        free(encoder);
    }
}

static void fill_tables(struct ckks_encoder *e)
{
    const size_t n = e->n;
    for (size_t k = 0; k < n; k++) {
        /* long double, so that a root is off by one rounding to double and hardly more */
        long double angle = acosl(-1) * (long double)k / (long double)n;
        e->roots[bit_reverse(k, n)] =
            (struct ckks_complex){(double)cosl(angle), (double)sinl(angle)};
    }
    size_t power = 1; /* 3^j mod 2N */
    for (size_t j = 0; j < n / 2; j++) {
        e->slot[j] = bit_reverse((power - 1) / 2, n);
        e->slot[n / 2 + j] = bit_reverse((2 * n - power - 1) / 2, n);
        power = 3 * power & (2 * n - 1);
    }
}

static void fill_inverses(struct ckks_encoder *e)
{
    const struct rns_ring *ring = e->ring;
    for (unsigned j = 0; j < ring->primes; j++) {
        const uint64_t q = ring->ntt[j].m.q;
        for (unsigned i = 0; i < j; i++) {
            e->inverse[j * ring->primes + i] = modulus_inverse(ring->ntt[i].m.q % q, q);
        }
    }
}

int ckks_encoder_new(const struct rns_ring *ring, struct ckks_encoder **out)
{
    struct ckks_encoder *e = calloc(1, sizeof *e);
    if (e != NULL) {
        e->ring = ring;
        e->n = ring->n;
        e->roots = size_alloc_array(e->n, sizeof *e->roots);
        e->slot = size_alloc_array(e->n, sizeof *e->slot);
        e->inverse = size_alloc_array((size_t)ring->primes * ring->primes, sizeof *e->inverse);
    }
    if (e == NULL || e->roots == NULL || e->slot == NULL || e->inverse == NULL) {
        ckks_encoder_free(e);
        return CAIRN_ERR_NO_MEMORY;
    }
    fill_tables(e);
    fill_inverses(e);
    *out = e;
    return 0;
}

size_t ckks_slots(const struct ckks_encoder *encoder)
{
    return encoder->n / 2;
}

static inline struct ckks_complex times(struct ckks_complex a, struct ckks_complex b)
{
    return (struct ckks_complex){a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}

/* out[i] = P(zeta^(2 brv(i) + 1)) */
static void transform(struct ckks_complex *a, const struct ckks_encoder *e)
{
    size_t half = e->n / 2;
    for (size_t blocks = 1; blocks < e->n; blocks *= 2, half /= 2) {
        for (size_t b = 0; b < blocks; b++) {
            const struct ckks_complex w = e->roots[blocks + b];
            struct ckks_complex *x = a + 2 * half * b, *y = x + half;
            for (size_t i = 0; i < half; i++) {
                struct ckks_complex u = x[i], v = times(y[i], w);
                x[i] = (struct ckks_complex){u.re + v.re, u.im + v.im};
                y[i] = (struct ckks_complex){u.re - v.re, u.im - v.im};
            }
        }
    }
}

/* The inverse of it, times `factor` N. */
static void transform_back(struct ckks_complex *a, const struct ckks_encoder *e, double factor)
{
    size_t half = 1;
    for (size_t blocks = e->n / 2; blocks >= 1; blocks /= 2, half *= 2) {
        for (size_t b = 0; b < blocks; b++) {
            const struct ckks_complex w = {e->roots[blocks + b].re, -e->roots[blocks + b].im};
            struct ckks_complex *x = a + 2 * half * b, *y = x + half;
            for (size_t i = 0; i < half; i++) {
                struct ckks_complex u = x[i], v = y[i];
                x[i] = (struct ckks_complex){u.re + v.re, u.im + v.im};
                y[i] = times((struct ckks_complex){u.re - v.re, u.im - v.im}, w);
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
    he_declassify(&over, sizeof over); /* the caller sees success or failure */
    return over >> 63 != 0;
}

static int check_wish(const struct ckks_encoder *e, const double *values, size_t count,
                      double scale, struct cairn_problem *why)
{
    if (count > e->n / 2) {
        return problem_set(why, CAIRN_ERR_REFUSED, "split the values",
                           "CKKS encoder: values: expected at most %zu, found %zu", e->n / 2,
                           count);
    }
    if (!isnormal(scale) || scale < 0) {
        return problem_set(why, CAIRN_ERR_REFUSED, NULL,
                           "CKKS encoder: scale: expected a normal positive number, found %g",
                           scale);
    }
    if (!any_reaches(INFINITY, values, count, 1)) {
        return 0;
    }
    size_t at = 0;
    while (isfinite(values[at])) { /* only values that are refused are searched */
        at++;
    }
    return problem_set(why, CAIRN_ERR_REFUSED, "a model with such a weight is broken",
                       "CKKS encoder: value %zu: expected a number, found %g", at, values[at]);
}

/* Largest magnitude of a coefficient: 2^63 and half the modulus of the level. */
static double coefficient_limit(const struct ckks_encoder *e, unsigned level)
{
    double half = 0.5, most = ldexp(1, 63);
    for (unsigned j = 0; j < level && half < most; j++) {
        half *= (double)e->ring->ntt[j].m.q;
    }
    return half < most ? half : most;
}

/* C's round() for |x| < 2^63, without a branch: what truncation leaves is exact. */
static inline int64_t round_half_away(double x)
{
    int64_t whole = (int64_t)x;
    double rest = x - (double)whole;
    return whole + (rest >= 0.5) - (rest <= -0.5);
}

/* x mod q */
static inline uint64_t lift64(int64_t x, const struct prime_ntt *t)
{
    uint64_t negative = (uint64_t)(x >> 63);
    uint64_t magnitude = ((uint64_t)x ^ negative) - negative;
    uint64_t r = prime_reduce64(magnitude, t->one_shoup, t->m.q);
    uint64_t opposite = prime_neg(r, &t->m);
    return (r & ~negative) | (opposite & negative);
}

static void to_residues(const struct ckks_encoder *e, const struct ckks_complex *a, unsigned level,
                        uint64_t *words)
{
    for (unsigned j = 0; j < level; j++) {
        const struct prime_ntt *t = &e->ring->ntt[j];
        for (size_t i = 0; i < e->n; i++) {
            words[j * e->n + i] = lift64(round_half_away(a[i].re), t);
        }
        prime_ntt_forward(words + j * e->n, t);
    }
}

/* Values into their places, and to coefficients (the real parts). */
static void fill_coefficients(const struct ckks_encoder *e, const double *values, size_t count,
                              double scale, struct ckks_complex *a)
{
    memset(a, 0, e->n * sizeof *a);
    for (size_t j = 0; j < count; j++) {
        a[e->slot[j]].re = values[j];
        a[e->slot[e->n / 2 + j]].re = values[j];
    }
    transform_back(a, e, scale / (double)e->n);
}

int ckks_encode(const struct ckks_encoder *encoder, const double *values, size_t count,
                double scale, unsigned level, uint64_t *words, struct ckks_complex *work,
                struct cairn_problem *why)
{
    int rc = check_wish(encoder, values, count, scale, why);
    if (rc != 0) {
        return rc;
    }
    const double limit = coefficient_limit(encoder, level);
    fill_coefficients(encoder, values, count, scale, work);
    if (any_reaches(limit, &work[0].re, encoder->n, sizeof *work / sizeof work[0].re)) {
        return problem_set(why, CAIRN_ERR_REFUSED, "a smaller scale, or smaller values",
                           "CKKS encoder: coefficients: expected below 2^%.1f, found larger ones",
                           log2(limit));
    }
    to_residues(encoder, work, level, words);
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
 * Modulo q_j, h is (q_j - 1)/2 at every level, as 2h = Q - 1 = -1.
 */
static double centred(const struct ckks_encoder *e, unsigned level, const uint64_t *words)
{
    const struct rns_ring *ring = e->ring;
    uint64_t digit[RNS_MAX_PRIMES];
    for (unsigned j = 0; j < level; j++) {
        const struct prime_ntt *t = &ring->ntt[j];
        uint64_t v = prime_add(words[j * e->n], (t->m.q - 1) / 2, &t->m);
        for (unsigned i = 0; i < j; i++) {
            uint64_t lower = prime_reduce64(digit[i], t->one_shoup, t->m.q);
            v = prime_mul(prime_sub(v, lower, &t->m), e->inverse[j * ring->primes + i], &t->m);
        }
        digit[j] = v;
    }
    double x = 0;
    for (unsigned j = level; j-- > 0;) {
        const uint64_t q = ring->ntt[j].m.q;
        x = x * (double)q + (double)((int64_t)digit[j] - (int64_t)((q - 1) / 2));
    }
    return x;
}

void ckks_decode(const struct ckks_encoder *encoder, uint64_t *words, unsigned level, double scale,
                 double *values, struct ckks_complex *work)
{
    const double unit = 1 / scale;
    rns_backward(encoder->ring, level, words);
    for (size_t i = 0; i < encoder->n; i++) {
        work[i] = (struct ckks_complex){centred(encoder, level, words + i) * unit, 0};
    }
    transform(work, encoder);
    for (size_t j = 0; j < encoder->n / 2; j++) {
        values[j] = work[encoder->slot[j]].re;
    }
}

/* ---- whole numbers ---- */

/*
 * The nearest whole number to |x| < 2^51: next to 1.5 2^52 doubles are 1 apart, so adding it rounds,
 * and the distance of the sum's bits from its own is the number. No conversion to an integer, which
 * would not be defined for large x and would want a choice before it, which compilers make a branch.
 * For other x, infinite ones and NaN, the exponents differ, and what comes out is beyond +-2^50.
 */
static int64_t round_nearest(double x, double *distance)
{
    const double magic = 0x1.8p52;
    const double sum = x + magic;
    uint64_t bits, zero;
    memcpy(&bits, &sum, sizeof bits);
    memcpy(&zero, &magic, sizeof zero);
    *distance = x - (sum - magic);
    return (int64_t)(bits - zero);
}

/* Differences are or-ed together and the sign of all of them asked for once, at the end: of a
 * comparison at each slot clang makes a branch. */
uint64_t ckks_round(const double *values, size_t slots, const struct ckks_whole *rule, int64_t *out,
                    size_t count)
{
    const uint64_t reach = magnitude_bits(rule->reach);
    uint64_t over = 0;
    for (size_t i = 0; i < slots; i++) {
        double distance;
        const uint64_t whole = (uint64_t)round_nearest(values[i], &distance);
        const uint64_t allowed = i < count ? rule->limit : 0;
        over |= reach - magnitude_bits(distance);
        over |= (allowed - whole) | (allowed + whole);
        if (i < count) {
            out[i] = (int64_t)whole;
        }
    }
    return 0 - (over >> 63);
}
