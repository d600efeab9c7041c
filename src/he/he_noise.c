/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bounds.
 *
 * Payload under one-time keys: the masks' errors e_i add up, nothing multiplies them.
 *
 * Public-key BFV, n ciphertexts under one key, in units of 1/q:
 *   errors           sum (e u_i + e1_i + e2_i s): proxy 10.5 (||sum u_i||^2 + n + n ||s||^2)
 *   message          round(q m / t) is off by at most 1/2 each: n/2 (N = 4096 has no such term)
 *   c0 on the wire   rounding to 2^K0: at most n/2 units of q / 2^K0
 *   c1 on the wire   rounding to 2^K1, uniform in +-1/2 (proxy 1/12), times s: proxy n ||s||^2 / 12
 * Errors and c1's rounding are bounded apart and added (two events of 2 exp(-k^2/2) each), because
 * the rounding is a function of the ciphertext and so not independent of its error.
 *
 * ||sum u_i||^2 has mean 2nN/3; by the chi-square tail it exceeds 1.54 times that with probability
 * exp(-N/2 (0.54 - ln 1.54)) = 2^-160, which is 2^-131 over the 2^29 polynomials that hold 2^40
 * coefficients. At N = 4096 1.37 times is exceeded with exp(-N/2 (0.37 - ln 1.37)) = 2^-163, 2^-135
 * over 2^28 polynomials.
 */
#include "he_noise.h"

#include <math.h>

#include "he_ckks.h"
#include "he_layout.h"
#include "ring.h"
#include "ring_wide.h"

static const double error_variance = 10.5; /* 42 / 4 */
static const double log2_e = 1.4426950408889634; /* 1 / ln 2 */
static const double log2_coefficients = 40;

double he_noise_tail(double failure_log2)
{
    return sqrt((log2_coefficients + 2 - fmax(failure_log2, -128)) * 2 / log2_e);
}

const struct he_noise_ring he_noise_narrow = {
    .degree = RING_DEGREE,
    .modulus = (double)RING_Q_VALUE,
    .key_weight = HE_NOISE_MAX_KEY_WEIGHT,
    .mask_slack = 1.54,
    .rounding = 0.5,
};

const struct he_noise_ring he_noise_wide = {
    .degree = RING_WIDE_DEGREE,
    .modulus = RING_WIDE_Q_REAL,
    .key_weight = HE_NOISE_MAX_WIDE_KEY_WEIGHT,
    .mask_slack = 1.37,
    .rounding = 0,
};

double he_noise_payload_in(const struct he_noise_ring *ring, uint32_t contributors, unsigned bits,
                           double k)
{
    double n = contributors;
    double errors = fmin(21 * n, k * sqrt(error_variance * n));
    return n / 2 + ldexp(errors / ring->modulus, (int)bits);
}

double he_noise_payload(uint32_t contributors, unsigned bits, double k)
{
    return he_noise_payload_in(&he_noise_narrow, contributors, bits, k);
}

double he_noise_payload_failure(uint32_t contributors, double room)
{
    double n = contributors;
    if (room > 21 * n) {
        return -INFINITY;
    }
    if (room <= 0) {
        return INFINITY;
    }
    return log2_coefficients + 1 - room * room / (error_variance * n) / 2 * log2_e;
}

/* What k multiplies. */
static double bfv_deviation(const struct he_noise_ring *ring, double n, unsigned bits1)
{
    double masks = ring->mask_slack * n * 2 * ring->degree / 3;
    double errors = sqrt(error_variance * (masks + n + n * ring->key_weight));
    double rounding = ldexp(ring->modulus, -(int)bits1) * sqrt(n * ring->key_weight / 12);
    return errors + rounding;
}

/* What it does not. */
static double bfv_fixed(const struct he_noise_ring *ring, double n, unsigned bits0)
{
    return n * ring->rounding + n / 2 * ldexp(ring->modulus, -(int)bits0);
}

double he_noise_bfv_in(const struct he_noise_ring *ring, uint32_t contributors, unsigned bits0,
                       unsigned bits1, double k)
{
    return bfv_fixed(ring, contributors, bits0) + k * bfv_deviation(ring, contributors, bits1);
}

double he_noise_bfv_failure_in(const struct he_noise_ring *ring, uint32_t contributors,
                               unsigned bits0, unsigned bits1, double room)
{
    double k =
        (room - bfv_fixed(ring, contributors, bits0)) / bfv_deviation(ring, contributors, bits1);
    if (k <= 0) {
        return INFINITY;
    }
    return log2_coefficients + 2 - k * k / 2 * log2_e;
}

double he_noise_bfv(uint32_t contributors, unsigned bits0, unsigned bits1, double k)
{
    return he_noise_bfv_in(&he_noise_narrow, contributors, bits0, bits1, k);
}

double he_noise_bfv_failure(uint32_t contributors, unsigned bits0, unsigned bits1, double room)
{
    return he_noise_bfv_failure_in(&he_noise_narrow, contributors, bits0, bits1, room);
}

/*
 * Profile seal-ckks, n ciphertexts, N = 8192, scale D = 2^40. Everything is bounded outright.
 *
 * Noise of one coefficient, from what Microsoft SEAL's encryption does:
 *   dividing by the special prime p  rounds c0 and c1: 1/2, and 1/2 times the N coefficients of a
 *                                    ternary s: (1 + N) / 2
 *   under the division               (e u + e0 + e1 s) / p, |e| <= 21, ternary u: 21 (2N + 1) / p
 *   encoding                         rounds the message's coefficients: 1/2
 * A slot is a sum of N coefficients times numbers of magnitude 1: N times as much, n of them, and
 * over D in units of the step between two whole numbers.
 *
 * Floating point, u = 2^-53: a fast transform of length N gives y with an error of at most
 * log2 N (mu + 4 sqrt 2 u) ||y|| in the 2-norm, mu the error of its roots of unity (Higham,
 * Accuracy and Stability of Numerical Algorithms, 2nd edition, theorem 24.2, whose terms of second
 * order are left out: 10^-14 of it). Roots are rounded once, mu <= sqrt(1/2) u and a hair:
 * 6.5 u log2 N together.
 *   encoding  coefficients have 2-norm limit D at most (Parseval) and get the error of one
 *             transform; sqrt N turns it into slots: sqrt N 6.5 u log2 N limit, n of them
 *   decoding  coefficients become doubles with a relative error of 16 u (three digits, each a
 *             rounding of digit and prime, a product and a sum that may cancel half), and then
 *             transformed: the 2-norm of the slots is at most sqrt N (n limit + 1).
 */
double he_noise_ckks(unsigned value_bits, uint32_t contributors)
{
    const double n = contributors, degree = HE_CKKS_DEGREE;
    const double limit = (double)he_value_limit(value_bits);
    const double u = 0x1p-53, transform = 6.5 * u * log2(degree);
    double coefficient = (1 + degree) / 2 + 21 * (2 * degree + 1) / (double)HE_CKKS_SPECIAL + 0.5;
    double noise = ldexp(n * degree * coefficient, -HE_CKKS_SCALE_BITS);
    double encoding = n * sqrt(degree) * transform * limit;
    double decoding = sqrt(degree) * (transform + 16 * u) * (n * limit + 1);
    return noise + encoding + decoding;
}
