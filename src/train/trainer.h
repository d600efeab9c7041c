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
    double loss;      /* mean cross-entropy */
};

struct trainer {
    const struct model_shape *shape; /* owned by the trainer */
    uint64_t samples;                /* training samples of this client's slice; evaluator: 0 */
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

/** What the built-in trainer needs to know; all borrowed for the call. */
struct train_builtin_options {
    const char *data_dir;    /* folder with the four IDX files, raw or gzip */
    unsigned resize;         /* side length the images are scaled to; 0 = as they are */
    const size_t *layers;    /* layer sizes, input to output; NULL = features, 128, 10 */
    size_t n_layers;         /* 0 with NULL */
    unsigned epochs;         /* a round */
    unsigned batch;
    float learning_rate;
    float momentum;
    uint32_t client_number;  /* clients that share the data; 0 = evaluator: the test set, whole */
    uint32_t client_index;   /* 0 .. client_number-1 */
};

/**
 * The built-in trainer: a multilayer perceptron on IDX data (nn/, data/).
 * An evaluator in whose folder there is no test data at all evaluates nothing (0 samples), if `layers` tells
 * it the shape.
 * @retval CAIRN_ERR_DATA  a file is missing or not what it should be, or the layers do not fit the
 *                         data
 */
CAIRN_MUST_CHECK int train_builtin_new(const struct train_builtin_options *options,
                                       struct trainer **out, struct cairn_problem *why);

/**
 * Shape of the built-in model from its layer sizes: "layer1.weight" [out, in],
 * "layer1.bias" [out], "layer2.weight", ...
 * @retval CAIRN_ERR_DATA  fewer than two sizes, or a size of 0
 */
CAIRN_MUST_CHECK int train_builtin_shape(const size_t *layers, size_t n_layers,
                                         struct model_shape *out, struct cairn_problem *why);

#endif
