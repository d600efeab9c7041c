/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NN_MLP_H
#define NN_MLP_H

#include <stddef.h>
#include <stdint.h>

#include "problem.h"

/**
 * A multilayer perceptron: fully connected layers, ReLU between them, softmax
 * and cross-entropy at the end, trained by mini-batch SGD with momentum.
 *
 *   sizes = {784, 128, 10}:   x (784) -> W1 x + b1 -> ReLU (128) -> W2 . + b2 -> softmax (10)
 *
 * Parameters are one array of float32, layer after layer: weight [out, in] row by row, then
 * bias [out].
 *
 * Lifecycle:
 *     mlp_new -> copy parameters into mlp_params, mlp_reset_momentum
 *             -> { fill mlp_input, mlp_train_batch }*  -> copy mlp_params out -> mlp_free
 *
 * Nothing is allocated after mlp_new. All memory is the network's own and aligned, so the same
 * numbers give the same bits wherever the caller keeps its copies. One thread at a time; BLAS runs
 * in that thread. Bits may differ between CPU models, because BLAS sums in another order there.
 */
struct mlp;

/**
 * Number of parameters, checked.
 * @retval CAIRN_ERR_DATA  fewer than two sizes, a size of 0, or more than memory can hold
 */
CAIRN_MUST_CHECK int mlp_count_params(const size_t *sizes, size_t n_sizes, size_t *out,
                                      struct cairn_problem *why);
/**
 * He initialisation: weights normal with variance 2 / in, biases zero, from the
 * replayable stream ("weights", seed).
 * Source: He et al., "Delving Deep into Rectifiers", ICCV 2015, equation 10.
 * @param sizes   accepted by mlp_count_params
 * @param params  that many floats
 */
void mlp_initial(const size_t *sizes, size_t n_sizes, uint64_t seed, float *params);

/**
 * @param sizes      features first, classes last
 * @param max_batch  rows that one call works on at most, >= 1
 * @retval CAIRN_ERR_DATA (see mlp_count_params), CAIRN_ERR_NO_MEMORY
 */
CAIRN_MUST_CHECK int mlp_new(const size_t *sizes, size_t n_sizes, size_t max_batch,
                             struct mlp **out, struct cairn_problem *why);
void mlp_free(struct mlp *net);

/** The parameters, to be filled before the first batch. */
float *mlp_params(struct mlp *net); /* (n_params) */
/** The batch to work on, to be filled before each of the calls below. */
float *mlp_input(struct mlp *net); /* (max_batch, features) */
/**
 * Velocity, laid out like the parameters. After mlp_backward with momentum 0 it is the gradient.
 */
const float *mlp_velocity(const struct mlp *net); /* (n_params) */
void mlp_reset_momentum(struct mlp *net);

/**
 * Run the batch through the network.
 * @param labels   (n), each < classes
 * @param n        1 .. max_batch
 * @param correct  NULL, or raised by the rows whose label had the largest output
 * @return the sum of the rows' cross-entropy; NaN or infinite when the parameters have diverged
 */
double mlp_forward(struct mlp *net, const uint8_t *labels, size_t n, uint64_t *correct);
/**
 * velocity = momentum * velocity + gradient of the batch's mean loss; right after mlp_forward
 * on the same labels.
 */
void mlp_backward(struct mlp *net, const uint8_t *labels, size_t n, float momentum);
/** Forward, backward, then params -= learning_rate * velocity. @return as mlp_forward */
double mlp_train_batch(struct mlp *net, const uint8_t *labels, size_t n, float learning_rate,
                       float momentum);

#endif
