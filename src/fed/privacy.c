/* SPDX-License-Identifier: Apache-2.0 */
#include "privacy.h"

#include <math.h>

#include "privacy_noise.h"
#include "quantiser.h"

/* The rounding's norm goes beyond its bound with probability exp(-ROUNDING^2 / 2) = e^-18. */
static const double ROUNDING = 6;
/* Noise goes beyond the lane with probability 2^-TAIL_BITS in a whole run. */
static const double TAIL_BITS = 100;
/* Below a deviation of 2 the sum of discrete Gaussians is no Gaussian any more: at 2, tau is below 10^-16 m. */
static const double LEAST_VARIANCE = 4;

static double norm2_of(double scale, double n_params)
{
    return floor(scale * scale + n_params / 4 + ROUNDING * (scale + sqrt(n_params) / 2));
}

static double variance_of(const struct fed_settings *s, double norm2, uint32_t expected)
{
    return ceil(s->noise_multiplier * s->noise_multiplier * norm2 / expected);
}

/* T for so many samples: 2 exp(-T^2 / 2) samples <= 2^-TAIL_BITS. */
static double tail(double samples)
{
    return sqrt(2 * (log(2) * (TAIL_BITS + 1) + log(samples)));
}

/* The most steps that fit, by halving: what is needed grows with the scale. */
static double largest_scale(const struct fed_settings *s, double n_params, uint32_t expected,
                            double reach, double limit)
{
    double fits = 0, too_many = limit;
    while (too_many - fits > 1) {
        const double scale = floor((fits + too_many) / 2);
        const double variance = variance_of(s, norm2_of(scale, n_params), expected);
        *(scale + 1 + reach * sqrt(variance) <= limit ? &fits : &too_many) = scale;
    }
    return fits;
}

int fed_privacy_plan(const struct fed_settings *s, size_t n_params, uint32_t clients,
                     uint32_t rounds, struct fed_privacy *out, struct cairn_problem *why)
{
    const double n = (double)n_params, limit = quantiser_limit(s->value_bits);
    const double share = floor(s->noise_expected * clients + 1e-9); /* 0.7 of 10 is 7 */
    *out = (struct fed_privacy){.noise = s->noise_multiplier > 0, .n_params = n_params};
    if (!out->noise) {
        return 0;
    }
    const uint32_t expected = share < 1 ? 1 : (uint32_t)share;
    const double reach = tail(n * clients * rounds);
    const double scale = largest_scale(s, n, expected, reach, limit);
    const double norm2 = norm2_of(scale, n), variance = variance_of(s, norm2, expected);
    if (scale < 1 || norm2 > 4 * scale * scale) {
        return problem_set(why, CAIRN_ERR_CONFIG,
                           "raise encryption.value_bits, or lower privacy.noise_multiplier",
                           "values of %u bits are too coarse for noise: a client's update is at most "
                           "%.0f steps long, and rounding %zu values alone can come to %.0f",
                           s->value_bits, scale, n_params, sqrt(n) / 2);
    }
    if (variance < LEAST_VARIANCE || variance > (double)PRIVACY_NOISE_MAX_VARIANCE) {
        return problem_set(why, CAIRN_ERR_CONFIG,
                           "raise privacy.noise_multiplier, or encryption.value_bits",
                           "a client's share of the noise has variance %.3g, and %g .. %g are "
                           "accounted for",
                           variance, LEAST_VARIANCE, (double)PRIVACY_NOISE_MAX_VARIANCE);
    }
    out->scale = scale;
    out->step = s->clip_norm / scale;
    out->norm2 = (uint64_t)norm2;
    out->expected = expected;
    out->variance = (uint64_t)variance;
    out->limit = (int32_t)limit;
    out->delta = s->privacy_delta;
    return 0;
}

void fed_privacy_steps(const struct fed_privacy *p, const struct model_shape *shape,
                       unsigned value_bits, const double *largest, double *steps)
{
    if (!p->noise) {
        quantiser_choose_steps(shape, value_bits, largest, steps);
        return;
    }
    for (size_t t = 0; t < shape->n_tensors; t++) {
        steps[t] = p->step;
    }
}

double fed_privacy_share(double clip, double norm2)
{
    return clip == 0 || norm2 <= clip * clip ? 1 : clip / sqrt(norm2);
}

void fed_privacy_square(const int32_t *values, size_t n, uint64_t *norm2)
{
    for (size_t i = 0; i < n; i++) {
        const uint64_t square = (uint64_t)((int64_t)values[i] * values[i]);
        if (__builtin_add_overflow(*norm2, square, norm2)) {
            *norm2 = UINT64_MAX;
            return;
        }
    }
}

double fed_privacy_multiplier(const struct fed_privacy *p, uint32_t contributors)
{
    return sqrt((double)contributors * (double)p->variance / (double)p->norm2);
}

double fed_privacy_rho(const struct fed_privacy *p, uint32_t contributors)
{
    const double pi = 3.14159265358979323846;
    double tau = 0;
    for (uint32_t k = 1; k < contributors; k++) {
        tau += 10 * exp(-2 * pi * pi * (double)p->variance * k / (k + 1.0));
    }
    const double loss =
        1 / fed_privacy_multiplier(p, contributors) + tau * sqrt((double)p->n_params);
    return loss * loss / 2;
}

double fed_privacy_at_order(double divergence, double alpha, double delta)
{
    return divergence + log1p(-1 / alpha) + (log(1 / delta) - log(alpha)) / (alpha - 1);
}

/* Over alpha - 1 = e^x the bound has one valley: thirds of the interval are thrown away. */
double fed_privacy_epsilon(double rho, double delta)
{
    double low = log(1e-9), high = log(1e9);
    if (rho == 0) {
        return 0;
    }
    while (high - low > 1e-9) {
        const double a = low + (high - low) / 3, b = high - (high - low) / 3;
        const double at_a = fed_privacy_at_order(rho * (1 + exp(a)), 1 + exp(a), delta);
        const double at_b = fed_privacy_at_order(rho * (1 + exp(b)), 1 + exp(b), delta);
        *(at_a < at_b ? &high : &low) = at_a < at_b ? b : a;
    }
    const double alpha = 1 + exp(low);
    const double epsilon = fed_privacy_at_order(rho * alpha, alpha, delta);
    return epsilon > 0 ? epsilon : 0;
}
