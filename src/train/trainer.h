/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRAIN_TRAINER_H
#define TRAIN_TRAINER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cairn/err.h>

#include "shape.h"

/**
 * What a client, or an aggregator that evaluates, asks of a trainer.
 * A trainer is used by one thread at a time and freed by its holder.
 */
struct train_metrics {
    double loss;      /* mean over the training samples of the last epoch */
    double seconds;
};

struct eval_metrics {
    uint64_t samples; /* 0 = there was nothing to evaluate on */
    uint64_t correct;
    bool no_classes;  /* a regression: nothing is counted as correct */
    double loss;      /* mean cross-entropy; of a regression the mean squared error */
};

struct trainer {
    const struct model_shape *shape; /* owned by the trainer */
    uint64_t samples;                /* training samples of this client's slice; evaluator: 0 */
    const char *fingerprint;         /* of the places of its rows in the data set; NULL: none */
    bool needs_model;                /* false: a client need not keep the model that it is sent */
    bool by_run;                     /* it tells its update run by run instead of a trained model */
    void *state;

    /** Initial weights from the seed, n_params floats. */
    void (*initial)(struct trainer *self, uint64_t seed, float *model);
    /**
     * Train one round's epochs from `global` on the client's slice.
     * @param global      n_params; NULL where it is not needed
     * @param[out] local  n_params, may not alias global; NULL when by_run
     * @retval CAIRN_ERR_TRAINER with the cause
     */
    int (*train)(struct trainer *self, const float *global, float *local, uint64_t seed,
                 uint32_t round, uint32_t client_index, struct train_metrics *metrics,
                 struct cairn_problem *why);
    /**
     * Of a trainer that is by_run, else NULL: flattened parameters first .. first+n-1 of the update
     * that this round's train came to. Runs may be asked for in any order and again; the values are
     * the same each time, until train is called for another round.
     * @param[out] out  n
     */
    void (*update)(struct trainer *self, uint32_t round, uint32_t client_index, size_t first,
                   size_t n, float *out);
    /** Evaluate on the test data that this trainer holds. @retval CAIRN_ERR_TRAINER */
    int (*evaluate)(struct trainer *self, const float *model, struct eval_metrics *metrics,
                    struct cairn_problem *why);
    void (*free)(struct trainer *self);
};

#endif
