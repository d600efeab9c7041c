/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_LAYER_H
#define NN_LAYER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "network.h"

/**
 * What a network is made of. A layer's shape is fixed before there is memory (network_plan.c); its
 * pointers are set once (network.c); its kind knows the arithmetic and nothing else.
 * All matrices are row-major; the shape stands beside every pointer.
 */
struct layer;

struct layer_kind {
    /** output = f(input), ReLU included where the shape asks for it. */
    void (*forward)(const struct layer *layer, size_t n);
    /** velocities = momentum * themselves + gradient, from input and delta; NULL: no parameters. */
    void (*gradient)(const struct layer *layer, size_t n, float momentum);
    /** `before` (n, in) = derivative of the loss by the input, from delta. */
    void (*pass_back)(const struct layer *layer, size_t n, float *before);
};

struct layer_image {
    size_t channels, height, width;
};

/** Of one row of the batch. */
struct layer_shape {
    const struct layer_kind *kind;
    char name[NETWORK_NAME_SIZE - sizeof "weight"];
    size_t in, out; /* floats */
    size_t fan_in;  /* weights that one output has */
    size_t n_weights, n_biases;
    size_t scratch; /* floats */
    bool relu;
    /* layers of images only */
    struct layer_image from, to; /* what the rows are: in and out floats */
    size_t window;               /* pixels a side */
};

struct layer {
    struct layer_shape shape;
    float *weight;          /* (biases, fan_in)  part of the network's params */
    float *bias;            /* (biases)          part of params */
    float *weight_velocity; /* (biases, fan_in)  part of velocity */
    float *bias_velocity;   /* (biases)          part of velocity */
    const float *input;     /* (max_batch, in)   the output of the layer before, or the batch */
    float *output;          /* (max_batch, out)  of the last layer: what the loss makes of it */
    float *delta;           /* (max_batch, out)  derivative of the loss by what ReLU is given */
    float *scratch;         /* (shape.scratch)   for one call */
};

extern const struct layer_kind layer_dense, layer_conv, layer_pool;

/** What the rows should have come out as. */
struct network_loss {
    /** Looks at the last layer's output and may replace it. @return as network_forward */
    double (*forward)(const struct layer *last, struct network_targets targets, size_t n,
                      uint64_t *correct);
    /** delta = derivative of the batch's mean loss, right after forward. */
    void (*backward)(const struct layer *last, struct network_targets targets, size_t n);
};

extern const struct network_loss loss_softmax, loss_squared;

/** A network before there is memory for it. Plain value. */
struct network_plan {
    const struct network_loss *loss;
    size_t n_layers;
    struct layer_shape layers[NETWORK_MAX_SIZES - 1];
    size_t n_params;
    bool from_zero; /* the initial parameters */
};

/** @retval CAIRN_ERR_DATA  as network_tensors */
CAIRN_MUST_CHECK int network_plan_make(const struct network_spec *spec, struct network_plan *out,
                                       struct cairn_problem *why);

/** This way round NaN stays NaN: a diverged network must not look like a sparse one. */
static inline float layer_relu(float x)
{
    return x < 0.0f ? 0.0f : x;
}

#endif
