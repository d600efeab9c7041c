/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_NETWORK_H
#define NN_NETWORK_H

#include <stddef.h>
#include <stdint.h>

#include "problem.h"

/**
 * A network of layers with a loss at its end, trained by mini-batch SGD with momentum.
 *
 * Parameters are one array of float32, layer after layer: a layer's weight, its outputs first and
 * row by row, then its bias. That is PyTorch's order, so that its tensors and these can be taken
 * for each other.
 *
 * Lifecycle:
 *     network_new -> copy parameters into network_params, network_reset_momentum
 *                 -> { fill network_input, network_train_batch }*
 *                 -> copy network_params out -> network_free
 *
 * Nothing is allocated after network_new. All memory is the network's own and aligned, so the same
 * numbers give the same bits wherever the caller keeps its copies. One thread at a time; BLAS runs
 * in that thread. Bits may differ between CPU models, because BLAS sums in another order there.
 */
struct network;

enum network_type {
    /**
     * Fully connected layers, ReLU between them, softmax and cross-entropy at the end.
     * sizes {784, 128, 10}: 784 inputs, 128 neurons, 10 classes.
     */
    NETWORK_MLP,
};

enum {
    NETWORK_MAX_SIZES = 64,
    NETWORK_MAX_TENSORS = 2 * (NETWORK_MAX_SIZES - 1), /* a weight and a bias a layer */
    NETWORK_NAME_SIZE = 32,
    NETWORK_MAX_DIMS = 2,
};

/** Which network. Plain value; `sizes` is borrowed for the calls. */
struct network_spec {
    enum network_type type;
    const size_t *sizes; /* features first, outputs last */
    size_t n_sizes;
};

/** A run of the parameters that belongs together. */
struct network_tensor {
    char name[NETWORK_NAME_SIZE]; /* "layer1.weight" */
    unsigned n_dims;
    size_t dims[NETWORK_MAX_DIMS];
};

/**
 * The tensors, in the order of the parameters; the products of their dimensions add up to them.
 * @param[out] out  NULL, or room for NETWORK_MAX_TENSORS
 * @param[out] n_params  checked: that many floats can be asked for
 * @retval CAIRN_ERR_DATA  too few or too many sizes, a size of 0, or more than memory can hold
 */
CAIRN_MUST_CHECK int network_tensors(const struct network_spec *spec, struct network_tensor *out,
                                     size_t *n_tensors, size_t *n_params,
                                     struct cairn_problem *why);
/**
 * He initialisation: weights normal with variance 2 / inputs, biases zero, from the replayable
 * stream ("weights", seed).
 * Source: He et al., "Delving Deep into Rectifiers", ICCV 2015, equation 10.
 * @param spec    accepted by network_tensors
 * @param params  that many floats
 */
void network_initial(const struct network_spec *spec, uint64_t seed, float *params);

/**
 * @param max_batch  rows that one call works on at most, >= 1
 * @retval CAIRN_ERR_DATA (see network_tensors), CAIRN_ERR_NO_MEMORY
 */
CAIRN_MUST_CHECK int network_new(const struct network_spec *spec, size_t max_batch,
                                 struct network **out, struct cairn_problem *why);
void network_free(struct network *net);

/** The parameters, to be filled before the first batch. */
float *network_params(struct network *net); /* (n_params) */
/** The batch to work on, to be filled before each of the calls below. */
float *network_input(struct network *net); /* (max_batch, features) */
/**
 * Velocity, laid out like the parameters. After network_backward with momentum 0 it is the
 * gradient.
 */
const float *network_velocity(const struct network *net); /* (n_params) */
void network_reset_momentum(struct network *net);

/**
 * Run the batch through the network.
 * @param labels   (n), each < classes
 * @param n        1 .. max_batch
 * @param correct  NULL, or raised by the rows whose label had the largest output
 * @return the sum of the rows' losses; NaN or infinite when the parameters have diverged
 */
double network_forward(struct network *net, const uint8_t *labels, size_t n, uint64_t *correct);
/**
 * velocity = momentum * velocity + gradient of the batch's mean loss; right after network_forward
 * on the same labels.
 */
void network_backward(struct network *net, const uint8_t *labels, size_t n, float momentum);
/** Forward, backward, then params -= learning_rate * velocity. @return as network_forward */
double network_train_batch(struct network *net, const uint8_t *labels, size_t n,
                           float learning_rate, float momentum);

#endif
