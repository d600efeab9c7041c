/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAIRN_QUANTISER_H
#define CAIRN_QUANTISER_H

#include <stddef.h>
#include <stdint.h>

#include <cairn/err.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * From float32 to small integers whose sum is exact, and from the sum to the weighted mean.
 *
 *   q    = clamp(floor(x (samples / largest_samples) / step + u), +-(2^(value_bits-1) - 1))
 *   mean = sum(q) step largest_samples / sum(samples),   step = range / (2^(value_bits-1) - 1)
 *
 * u is uniform in [0,1) and follows from (seed, round, client, position): stochastic rounding that
 * can be replayed. The first six members must be the same for all who are summed, or the mean is
 * not one.
 */
struct cairn_quantiser {
    double range;             /* largest magnitude that is not clamped, > 0 */
    unsigned value_bits;      /* 2..24, as of the parameters; a float32 has no more */
    uint64_t largest_samples; /* 1 .. 2^40 */
    uint32_t round;
    uint64_t first;           /* position of values[0] in the whole model */
    uint64_t seed;            /* may differ between clients */
    uint32_t client;          /* number of this client */
    uint64_t samples;         /* of this client: its weight, at most largest_samples */
};

/**
 * @param values            finite
 * @param[in,out] residual  n, or NULL: what earlier rounds still owe, and what is owed now
 * @param[in,out] clamped   or NULL: raised by the number of values that were out of range
 * @retval CAIRN_ERR_USAGE  a member out of its range
 * @retval CAIRN_ERR_DATA   NaN or infinity, its index in why; outputs untouched
 */
CAIRN_API CAIRN_MUST_CHECK int cairn_quantise(const struct cairn_quantiser *quantiser,
                                              const float *values, float *residual, size_t n,
                                              int32_t *out, uint64_t *clamped,
                                              struct cairn_problem *why);
/**
 * @param weight  the samples of all who are in the sums, added; at least 1
 * @param sums    |sum| < 2^53
 * @retval CAIRN_ERR_USAGE
 */
CAIRN_API CAIRN_MUST_CHECK int cairn_mean(const struct cairn_quantiser *quantiser, uint64_t weight,
                                          const int64_t *sums, size_t n, float *mean,
                                          struct cairn_problem *why);

#ifdef __cplusplus
}
#endif

#endif
