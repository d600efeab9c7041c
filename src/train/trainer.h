/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRAIN_TRAINER_H
#define TRAIN_TRAINER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include <cairn/err.h>

#include "share.h"

/**
 * What a client, or an aggregator that evaluates, asks of a trainer.
 * A trainer is used by one thread at a time and freed by its holder.
 */
struct train_metrics {
    double loss;      /* mean over the training samples of the last epoch */
    double seconds;
    uint64_t samples; /* the weight of this round's update, at most the trainer's; 0: the trainer's */
    char note[160];   /* what to tell people although the update counts; "" = nothing */
};

struct eval_metrics {
    uint64_t samples; /* 0 = there was nothing to evaluate on */
    uint64_t correct;
    bool no_classes;  /* a regression: nothing is counted as correct */
    double loss;      /* mean cross-entropy; of a regression the mean squared error */
};

struct trainer {
    const struct model_shape *shape; /* owned by the trainer */
    size_t n_plain;                  /* parameters of it, the last ones, that go in plain (share.h) */
    uint64_t samples;                /* training samples of this client's slice; evaluator: 0 */
    const char *fingerprint;         /* of the places of its rows in the data set; NULL: none */
    bool needs_model;                /* false: a client need not keep the model that it is sent */
    bool by_run;                     /* it tells its update run by run instead of a trained model */
    uint64_t deadline_ns; /* its holder's: when the next training must be done, monotonic; 0 = no limit */
    /**
     * Of a model with integers (shape.h), else NULL and 0; the trainer's. `initial` and `train` leave
     * them here, and the holder puts those of the round's model here before it calls train or evaluate.
     */
    uint64_t *words;
    size_t n_words;
    /**
     * What is said of the model beside its tensors (safetensors.h), NULL = nothing: of an evaluator what the file
     * says that the model began with; of a client what its holder was told. A holder may put another here.
     */
    const json_t *metadata;
    /**
     * Its holder's, of a trainer that takes the model: only what is shared comes and is told, by its place in `shape`;
     * the rest the trainer keeps itself. It begins with what it would begin with by itself, and changes with a whole
     * training: one that fails or whose update is not finite changes nothing of it. NULL: all is shared.
     */
    const struct model_share *share;
    const struct model_shape *whole; /* of which only `shape` is shared (shared_trainer.h); NULL = all is */
    void *state;

    /** Initial weights from the seed, n_params floats. */
    void (*initial)(struct trainer *self, uint64_t seed, float *model);
    /**
     * Of a trainer that keeps the model itself, else NULL: a run of this round's model, as the holder gets it,
     * float32 little-endian, unaligned. An empty one begins a model, and again when a round's model comes anew; then
     * each parameter that is shared comes in one run at least, in any order. What goes wrong is told by train.
     */
    void (*take_model)(struct trainer *self, size_t first, size_t n, const uint8_t *weights);
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
     * @retval CAIRN_ERR_DATA  what the update is read from has gone bad
     */
    int (*update)(struct trainer *self, uint32_t round, uint32_t client_index, size_t first,
                  size_t n, float *out, struct cairn_problem *why);
    /** Evaluate on the test data that this trainer holds. @retval CAIRN_ERR_TRAINER */
    int (*evaluate)(struct trainer *self, const float *model, struct eval_metrics *metrics,
                    struct cairn_problem *why);
    /** Add to GET /status what is worth telling of the training. Any thread. May be NULL. */
    void (*status)(struct trainer *self, json_t *into);
    /**
     * Write the whole model, with what is not shared, each tensor in its own type, or all floats as float32.
     * NULL: there is no more to write than `shape` tells.
     * @retval CAIRN_ERR_DATA  a value that its type cannot hold
     * @retval CAIRN_ERR_STORAGE
     */
    int (*write)(struct trainer *self, const char *path, const float *model, bool as_float32,
                 struct cairn_problem *why);
    void (*free)(struct trainer *self);
};

#endif
