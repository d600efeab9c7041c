/* SPDX-License-Identifier: Apache-2.0 */
/* A fully connected layer: W x + b for the whole batch at once. */
#include "layer.h"

#include <cblas.h>

static void add_bias(const struct layer *layer, size_t n)
{
    const size_t out = layer->shape.out;

    for (size_t row = 0; row < n; row++) {
        float *y = layer->output + row * out;
        for (size_t j = 0; j < out; j++) {
            y[j] += layer->bias[j];
        }
    }
}

static void add_bias_relu(const struct layer *layer, size_t n)
{
    const size_t out = layer->shape.out;

    for (size_t row = 0; row < n; row++) {
        float *y = layer->output + row * out;
        for (size_t j = 0; j < out; j++) {
            y[j] = layer_relu(y[j] + layer->bias[j]);
        }
    }
}

/* output (n, out) = input (n, in) * weight^T (in, out), plus bias; this is where the time goes */
static void dense_forward(const struct layer *layer, size_t n)
{
    const int in = (int)layer->shape.in, out = (int)layer->shape.out;

    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)n, out, in, 1.0f, layer->input, in,
                layer->weight, in, 0.0f, layer->output, out);
    if (layer->shape.relu) {
        add_bias_relu(layer, n);
    } else {
        add_bias(layer, n);
    }
}

/* weight_velocity (out, in) = momentum * itself + delta^T (out, n) * input (n, in);
 * bias_velocity (out) = momentum * itself + column sums of delta (n, out) */
static void dense_gradient(const struct layer *layer, size_t n, float momentum)
{
    const size_t in = layer->shape.in, out = layer->shape.out;
    float *v = layer->bias_velocity;

    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)out, (int)in, (int)n, 1.0f,
                layer->delta, (int)out, layer->input, (int)in, momentum, layer->weight_velocity,
                (int)in);
    for (size_t j = 0; j < out; j++) {
        v[j] *= momentum;
    }
    for (size_t row = 0; row < n; row++) {
        const float *delta = layer->delta + row * out;
        for (size_t j = 0; j < out; j++) {
            v[j] += delta[j];
        }
    }
}

/* before (n, in) = delta (n, out) * weight (out, in) */
static void dense_pass_back(const struct layer *layer, size_t n, float *before)
{
    const int in = (int)layer->shape.in, out = (int)layer->shape.out;

    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)n, in, out, 1.0f, layer->delta, out,
                layer->weight, in, 0.0f, before, in);
}

const struct layer_kind layer_dense = {dense_forward, dense_gradient, dense_pass_back};
