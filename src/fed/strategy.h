/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FED_STRATEGY_H
#define FED_STRATEGY_H

#include "config.h"
#include "shape.h"

/**
 * What the aggregator makes of the weighted mean of an opened sum: D below, element by element. It sees what
 * everybody may see, so no rule costs any privacy.
 *
 *   fedavg      x <- x + lr D
 *   fedavgm     m <- momentum m + D                 x <- x + lr m
 *   fedadam     v <- beta2 v + (1 - beta2) D^2              \
 *   fedyogi     v <- v - (1 - beta2) D^2 sign(v - D^2)       > after m <- beta1 m + (1 - beta1) D;
 *   fedadagrad  v <- v + D^2                                /  x <- x + lr m / (sqrt(v) + tau)
 *
 * m begins at 0, v at tau^2; nothing is corrected for that beginning.
 * Sources: fedavgm: Hsu, Qi and Brown, arXiv 1909.06335, with the server's rate of Reddi et al. The last three: Reddi et al.,
 * "Adaptive Federated Optimization", ICLR 2021, Algorithm 2, with the v_{-1} >= tau^2 that it asks for; there fedadagrad's
 * beta1 is 0, which is its default here. Programs differ in the beginning: in Flower 1.42 and in the authors' own experiments
 * (google-research/federated) v begins at 0, and both correct fedadam's rate by sqrt(1 - beta2^t) / (1 - beta1^t), as Kingma and
 * Ba do, Flower with t + 1 for t.
 *
 * Worked in double, in this order of operations, and kept as float: the same bits on every machine, in any cut into
 * runs. With lr = 1 fedavg has those of quantiser_apply. An element whose frame was not opened keeps
 * x, m and v.
 *
 * All that a strategy keeps is one array of `arrays` times n_params floats: the model, then m, then v.
 */

/** Copies of the model's size: 1, with m 2, with v 3. */
unsigned fed_strategy_arrays(const struct fed_strategy *strategy);
/**
 * Names and shapes of all that is kept, as a checkpoint has it: the model's tensors, and behind them one flat tensor
 * for each array. @param[out] kept  the caller's, model_shape_release; empty on failure
 * @retval CAIRN_ERR_NO_MEMORY, CAIRN_ERR_DATA
 */
CAIRN_MUST_CHECK int fed_strategy_shape(const struct fed_strategy *strategy,
                                        const struct model_shape *model, struct model_shape *kept,
                                        struct cairn_problem *why);
/** m and v before the first round; the model is not touched. */
void fed_strategy_begin(const struct fed_strategy *strategy, size_t n_params, float *kept);
/**
 * Take an opened run in. Parameters as those of quantiser_apply; only elements first .. first+n-1 of each array
 * change.
 */
void fed_strategy_apply(const struct fed_strategy *strategy, const struct model_shape *model,
                        const double *steps, uint64_t largest_samples, uint64_t weight,
                        size_t first, size_t n, const int64_t *sums, float *kept, double *largest);

#endif
