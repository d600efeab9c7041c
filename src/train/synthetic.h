/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRAIN_SYNTHETIC_H
#define TRAIN_SYNTHETIC_H

#include "trainer.h"

/**
 * A trainer without data, for measuring and for models larger than there is data for. It keeps
 * nothing of the model's size: its updates are told run by run and follow from
 * (seed, round, client index) and the position alone.
 *
 *   value i = v 2^-31 0.01 / (t + 1),  v in [-2^31, 2^31) uniform, t the number of its tensor from 0
 *
 * v is word i of the replayable stream ("synthetic", seed, round, client index). The initial model
 * is all zeros, an evaluation has no samples, and client k says that it has 10 + k samples.
 */
struct train_synthetic_options {
    size_t n_params;        /* at least 1 */
    double step_s;          /* how long a round's training pretends to take */
    uint32_t client_number; /* 0 = evaluator */
    uint32_t client_index;
};

/** @retval CAIRN_ERR_NO_MEMORY, CAIRN_ERR_DATA */
CAIRN_MUST_CHECK int train_synthetic_new(const struct train_synthetic_options *options,
                                         struct trainer **out, struct cairn_problem *why);
/**
 * Its model: at most 16 tensors, "part1", "part2", ..., each with half of what is left, so that
 * pieces and frames end inside of tensors and tensors inside of pieces and frames.
 * @retval CAIRN_ERR_NO_MEMORY, CAIRN_ERR_DATA
 */
CAIRN_MUST_CHECK int train_synthetic_shape(size_t n_params, struct model_shape *out,
                                           struct cairn_problem *why);

#endif
