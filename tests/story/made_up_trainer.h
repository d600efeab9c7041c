/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORY_MADE_UP_TRAINER_H
#define STORY_MADE_UP_TRAINER_H

#include "trainer.h"

/**
 * A trainer whose updates follow from (seed, round, index) alone, or lead to a target. In a model with integers the one
 * at place i of the words is raised by client k by i + k + 1 a round.
 */
struct made_up_options {
    size_t n_params;
    const struct model_shape *shape; /* its tensors; NULL: made_up_shape of n_params */
    uint64_t samples;
    int poison_round;     /* train a NaN in this round; 0 = never */
    const float *target;  /* all parameters go there; NULL = made-up updates */
};

int made_up_trainer(const struct made_up_options *options, struct trainer **out);
/** Shape of its model: "body" takes all but the last 3 parameters, "tail" those; one tensor when
 * there are fewer than 8. */
int made_up_shape(size_t n_params, struct model_shape *out);
/** What its train does, for tests that recompute a run. */
void made_up_update(size_t n_params, const float *global, float *local, uint64_t seed,
                    uint32_t round, uint32_t index);

#endif
