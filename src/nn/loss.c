/* SPDX-License-Identifier: Apache-2.0 */
/* What stands at the end of a network: softmax with cross-entropy, or the squared error. */
#include "layer.h"

#include <math.h>

static size_t largest_of(const float *y, size_t n) /* y (n) */
{
    size_t best = 0;

    for (size_t j = 1; j < n; j++) {
        if (y[j] > y[best]) {
            best = j;
        }
    }
    return best;
}

/* Turn one row of outputs into probabilities. @return -log of the label's probability */
static double softmax_row(float *y, size_t n, size_t best, size_t label) /* y (n) */
{
    const float largest = y[best]; /* taken off first, so that expf cannot overflow */
    const double label_distance = (double)(largest - y[label]);
    float sum = 0.0f;

    for (size_t j = 0; j < n; j++) {
        y[j] = expf(y[j] - largest);
        sum += y[j];
    }
    for (size_t j = 0; j < n; j++) {
        y[j] /= sum;
    }
    return label_distance + log((double)sum);
}

static double softmax_forward(const struct layer *last, struct network_targets targets, size_t n,
                              uint64_t *correct)
{
    const uint8_t *labels = targets.classes;
    const size_t out = last->shape.out;
    double loss = 0.0;

    for (size_t row = 0; row < n; row++) {
        float *y = last->output + row * out;
        size_t best = largest_of(y, out);

        if (correct && best == labels[row]) {
            ++*correct;
        }
        loss += softmax_row(y, out, best, labels[row]);
    }
    return loss;
}

/* (probability - [is the label]) / n */
static void softmax_backward(const struct layer *last, struct network_targets targets, size_t n)
{
    const uint8_t *labels = targets.classes;
    const size_t out = last->shape.out;
    const float scale = 1.0f / (float)n;

    for (size_t row = 0; row < n; row++) {
        const float *p = last->output + row * out;
        float *delta = last->delta + row * out;

        for (size_t j = 0; j < out; j++) {
            delta[j] = p[j] * scale;
        }
        delta[labels[row]] -= scale;
    }
}

const struct network_loss loss_softmax = {softmax_forward, softmax_backward};

/* ---- one output, (output - value)^2 ---- */

static double squared_forward(const struct layer *last, struct network_targets targets, size_t n,
                              uint64_t *correct)
{
    double loss = 0.0;

    (void)correct; /* no number is exactly right */
    for (size_t row = 0; row < n; row++) {
        const double error = (double)last->output[row] - (double)targets.values[row];
        loss += error * error;
    }
    return loss;
}

static void squared_backward(const struct layer *last, struct network_targets targets, size_t n)
{
    const float scale = 2.0f / (float)n;

    for (size_t row = 0; row < n; row++) {
        last->delta[row] = scale * (last->output[row] - targets.values[row]);
    }
}

const struct network_loss loss_squared = {squared_forward, squared_backward};
