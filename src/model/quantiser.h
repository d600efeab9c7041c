/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_QUANTISER_H
#define MODEL_QUANTISER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shape.h"

/**
 * From float32 updates to small integers whose sum is exact, and back.
 *
 *   q = clamp(floor(y + u), -(2^(b-1)-1), 2^(b-1)-1)
 *   y = owed * (samples / largest_samples) / step,   u uniform in [0,1)
 *
 * `step` is per tensor and per round; `samples` weighs the client, so the mean is
 *
 *   mean = sum(q) * step * largest_samples / sum(samples)
 *
 * `owed` is all that a client keeps of its updates: what it has still to send, one float for each
 * parameter. A round adds its update to it (quantiser_owe, quantiser_add); from then on
 * quantiser_read gives that round's integers, as often as they are asked for. When the round is
 * over, quantiser_settle takes off what the integers came to, and what rounding and clamping lost
 * stays owed (error feedback).
 * u is word i of the replayable stream ("rounding", seed, round, client index)
 * for flattened parameter i, so the result does not depend on how the model is cut into frames.
 * All arithmetic in double, so every profile and tree gives the same bits; owed is rounded to float
 * once when an update is added and once when it is settled.
 * Source: unbiased stochastic rounding as in QSGD (Alistarh et al., NeurIPS 2017);
 * error feedback as in Seide et al., Interspeech 2014.
 */
struct quantiser {
    const struct model_shape *shape; /* borrowed */
    const double *steps;             /* n_tensors, each finite and > 0; borrowed */
    unsigned value_bits;             /* b, 2..24 */
    uint64_t samples;                /* this client's; 0: its integers are 0 and settle
                                        nothing, so do not let it owe its updates */
    uint64_t largest_samples;        /* >= samples, >= 1 */
    uint64_t seed;
    uint32_t round;
    uint32_t client_index;
    bool toward_zero; /* no u: the fraction is cut off, which never lengthens a vector of values */
};

/** The largest magnitude: 2^(b-1) - 1. */
int32_t quantiser_limit(unsigned value_bits);

/**
 * From here on float32 cannot tell x from x + 1, so an update of the size that round 1 starts from
 * would be lost. A diverged training looks like this, a useful model does not; and
 * what is clamped is owed, so one such value would saturate its tensor for ever.
 */
#define QUANTISER_LARGEST_MAGNITUDE 16777216.0f /* 2^24 */

/**
 * Refuse a model with NaN, infinity or a magnitude of QUANTISER_LARGEST_MAGNITUDE or more.
 * @retval CAIRN_ERR_TRAINER  why names tensor, index in the tensor and value of the first one
 */
CAIRN_MUST_CHECK int quantiser_check_finite(const struct model_shape *shape, const float *model,
                                            struct cairn_problem *why);
/** The same for who holds one run and not the model: `part` begins at parameter `first`. */
CAIRN_MUST_CHECK int quantiser_check_finite_part(const struct model_shape *shape, const float *part,
                                                 size_t first, size_t n, struct cairn_problem *why);

/*
 * In what follows all arrays hold a run of n parameters, of any cut; where the place in the model
 * matters they begin at flattened parameter `first`. Values are finite.
 */

/** *norm2 += |local - global|^2; of an update as it is, where global is NULL. One square after the other, so that any cut
 * into runs gives the same bits. */
void quantiser_norm(const float *global, const float *local, size_t n, double *norm2);
/** local - global, or an update as it is where global is NULL, becomes `share` of itself; of 1 it stays untouched. */
void quantiser_shrink(const float *global, float *local, size_t n, double share);

/** owed += local - global, of a trained model. */
void quantiser_owe(const float *global, const float *local, float *owed, size_t n);
/** owed += update, of a trainer that tells updates. */
void quantiser_add(const float *update, float *owed, size_t n);
/**
 * The integers of a run. Changes nothing, so any frame can be made again, with the same integers.
 * @param[out] out  n integers; zeros when q->samples is 0
 * @param[in,out] saturated  raised by the number of clamped values; NULL: not counted
 */
void quantiser_read(const struct quantiser *q, const float *owed, size_t first, size_t n,
                    int32_t *out, uint64_t *saturated);
/**
 * After a round: take off what quantiser_read gave for it, so that owed is what rounding and
 * clamping lost. To be called once for each round and parameter that was sent, with that round's
 * quantiser and before the next update is added; twice takes off twice.
 */
void quantiser_settle(const struct quantiser *last, float *owed, size_t first, size_t n);
/** The same for who still has the integers that quantiser_read gave. */
void quantiser_settle_read(const struct quantiser *last, const int32_t *integers, float *owed,
                           size_t first, size_t n);

/**
 * The weighted mean of an opened run.
 * @param sums     n sums of quantised values, |sum| < 2^53
 * @param weight   samples behind these sums, >= 1 (the frame's own weight)
 * @param[out] mean        n
 * @param[in,out] largest  n_tensors: raised to the largest magnitude of the mean seen per tensor;
 *                         NULL: not asked
 */
void quantiser_mean(const struct model_shape *shape, const double *steps, uint64_t largest_samples,
                    uint64_t weight, size_t first, size_t n, const int64_t *sums, double *mean,
                    double *largest);

/**
 * Add the weighted mean of an opened run (quantiser_mean) to the model.
 * @param[in,out] model    n_params; only first .. first+n-1 changes
 * @param[in,out] largest  n_tensors, or NULL
 */
void quantiser_apply(const struct model_shape *shape, const double *steps,
                     uint64_t largest_samples, uint64_t weight, size_t first, size_t n,
                     const int64_t *sums, float *model, double *largest);

/** The same for who holds one run and not the model: `part` begins at parameter `first`. */
void quantiser_apply_part(const struct model_shape *shape, const double *steps,
                          uint64_t largest_samples, uint64_t weight, size_t first, size_t n,
                          const int64_t *sums, float *part, double *largest);

/** Range that round 1 starts from. */
#define QUANTISER_FIRST_RANGE 1.0
/**
 * Choose every tensor's step for a round: range / limit, where range is QUANTISER_FIRST_RANGE in
 * round 1 and 3 times the largest magnitude of the last opened update afterwards. A tensor whose
 * last update was all zero, or was not opened, keeps its step.
 * @param largest  n_tensors from quantiser_apply; NULL in round 1
 * @param[in,out] steps  n_tensors
 */
void quantiser_choose_steps(const struct model_shape *shape, unsigned value_bits,
                            const double *largest, double *steps);

#endif
