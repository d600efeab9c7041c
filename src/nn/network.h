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
    /** An MLP without hidden layers: multinomial logistic regression. sizes {784, 10}. */
    NETWORK_LOGISTIC,
    /** Linear regression: one output, the loss is the squared error. sizes {13, 1}. */
    NETWORK_LINEAR,
    /**
     * A small convolutional network for images of one channel: twice a convolution with windows of
     * 3 x 3, ReLU and the largest of every 2 x 2; then an MLP with one hidden layer.
     * sizes {784, 16, 32, 128, 10}: pixels, channels of the first and the second convolution,
     * hidden neurons, classes. An image has 10 pixels a side or more.
     */
    NETWORK_CNN,
};

enum {
    NETWORK_MAX_SIZES = 64,
    NETWORK_MAX_TENSORS = 2 * (NETWORK_MAX_SIZES - 1), /* a weight and a bias a layer */
    NETWORK_NAME_SIZE = 40,
    NETWORK_MAX_DIMS = 4,
};

/** Which network. Plain value; `sizes` is borrowed for the calls. */
struct network_spec {
    enum network_type type;
    const size_t *sizes; /* features first, outputs last */
    size_t n_sizes;
    size_t height, width; /* of an image, for a CNN; 0 and 0: it is square */
};

/** What the rows of a batch should come out as. NETWORK_LINEAR looks at values, the others at
 * classes. Borrowed for the call. */
struct network_targets {
    const uint8_t *classes; /* (n), each < the last of the sizes */
    const float *values;    /* (n) */
};

/**
 * How a batch changes the parameters w:
 *   velocity = momentum * velocity + gradient + proximal_mu * (w - anchor),  w -= rate * velocity
 * The proximal term is the gradient of mu/2 |w - anchor|^2, which FedProx adds to a client's loss,
 * with the round's global model as the anchor.
 * Source: Li et al., "Federated Optimization in Heterogeneous Networks", MLSys 2020, equation 2.
 */
struct network_step {
    float learning_rate;
    float momentum;
    float proximal_mu;   /* 0: no such term */
    const float *anchor; /* (n_params); NULL where proximal_mu is 0 */
};

/** A run of the parameters that belongs together. */
struct network_tensor {
    char name[NETWORK_NAME_SIZE]; /* "layer1.weight", "linear.bias", "conv2.weight", "fc1.bias" */
    unsigned n_dims;
    size_t dims[NETWORK_MAX_DIMS]; /* outputs, inputs; of a convolution also height, width */
};

/**
 * The tensors, in the order of the parameters; the products of their dimensions add up to them.
 * @param[out] out  NULL, or room for NETWORK_MAX_TENSORS
 * @param[out] n_params  checked: that many floats can be asked for
 * @retval CAIRN_ERR_DATA  too few or too many sizes, a size of 0, images too small or that are none,
 *                         or more than memory can hold
 */
CAIRN_MUST_CHECK int network_tensors(const struct network_spec *spec, struct network_tensor *out,
                                     size_t *n_tensors, size_t *n_params,
                                     struct cairn_problem *why);
/**
 * He initialisation: weights normal with variance 2 / inputs, biases zero, from the replayable
 * stream ("weights", seed). The regressions begin at zero: they have one minimum, and no need of
 * neurons that differ.
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
/** Bytes of the arrays that network_new makes: the parameters and their velocity, and what each layer has of a batch. SIZE_MAX
 * where none could be made. */
size_t network_bytes(const struct network_spec *spec, size_t max_batch);

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
 * @param n        1 .. max_batch
 * @param correct  NULL, or raised by the rows whose class had the largest output
 * @return the sum of the rows' losses; NaN or infinite when the parameters have diverged
 */
double network_forward(struct network *net, struct network_targets targets, size_t n,
                       uint64_t *correct);
/**
 * velocity = momentum * velocity + gradient of the batch's mean loss; right after network_forward
 * on the same targets.
 */
void network_backward(struct network *net, struct network_targets targets, size_t n,
                      float momentum);
/** Forward, backward, step. @return as network_forward */
double network_train_batch(struct network *net, struct network_targets targets, size_t n,
                           const struct network_step *step);

#endif
