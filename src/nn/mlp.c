/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network, top to bottom: memory, forward, loss, backward, step. The only
 * file that talks to BLAS. All matrices are row-major; the shape stands beside every pointer.
 */
#include "mlp.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cblas.h>

#include "replay.h"
#include "sizes.h"

struct layer {
    size_t in, out;
    float *weight;          /* (out, in)         part of params */
    float *bias;            /* (out)             part of params */
    float *weight_velocity; /* (out, in)         part of velocity */
    float *bias_velocity;   /* (out)             part of velocity */
    const float *input;     /* (max_batch, in)   the output of the layer before, or the batch */
    float *output;          /* (max_batch, out)  after ReLU; of the last layer: probabilities */
    float *delta;           /* (max_batch, out)  derivative of the loss by W x + b */
};

struct mlp {
    size_t n_params;
    size_t max_batch;
    size_t n_layers;
    float *params;   /* (n_params) */
    float *velocity; /* (n_params) */
    float *input;    /* (max_batch, features) */
    struct layer layers[];
};

/* ---- sizes and memory ---- */

int mlp_count_params(const size_t *sizes, size_t n_sizes, size_t *out, struct cairn_problem *why)
{
    size_t total = 0;

    if (n_sizes < 2) {
        return problem_set(why, CAIRN_ERR_DATA, "name at least the inputs and the outputs",
                           "a network needs two layer sizes, %zu given", n_sizes);
    }
    for (size_t l = 0; l < n_sizes; l++) {
        /* BLAS counts in int */
        if (sizes[l] == 0 || sizes[l] > INT_MAX) {
            return problem_set(why, CAIRN_ERR_DATA, "layer sizes start at 1",
                               "layer size %zu of the list is %zu", l + 1, sizes[l]);
        }
    }
    for (size_t l = 0; l + 1 < n_sizes; l++) {
        size_t weights;
        size_t bytes;
        if (!size_mul(sizes[l], sizes[l + 1], &weights) || !size_add(total, weights, &total) ||
            !size_add(total, sizes[l + 1], &total) || !size_mul(total, sizeof(float), &bytes)) {
            return problem_set(why, CAIRN_ERR_DATA, "make the layers smaller",
                               "layers of %zu and %zu have more weights than memory can hold",
                               sizes[l], sizes[l + 1]);
        }
    }
    *out = total;
    return 0;
}

void mlp_initial(const size_t *sizes, size_t n_sizes, uint64_t seed, float *params)
{
    struct replay_rng rng;

    replay_init(&rng, "weights", seed, 0, 0);
    for (size_t l = 0; l + 1 < n_sizes; l++) {
        size_t n_weights = sizes[l] * sizes[l + 1];
        double deviation = sqrt(2.0 / (double)sizes[l]);

        for (size_t i = 0; i < n_weights; i++) {
            *params++ = (float)(deviation * replay_normal(&rng));
        }
        for (size_t i = 0; i < sizes[l + 1]; i++) {
            *params++ = 0.0f;
        }
    }
}

/* An aligned matrix of max_batch rows; NULL also when the size overflows. */
static float *batch_matrix(const struct mlp *net, size_t columns)
{
    size_t n;

    return size_mul(net->max_batch, columns, &n) ? size_alloc_array(n, sizeof(float)) : NULL;
}

/* Let every layer point at its part of params and velocity, and at its own batch matrices. */
static bool build_layers(struct mlp *net, const size_t *sizes)
{
    const float *input = net->input;
    size_t offset = 0;

    for (size_t l = 0; l < net->n_layers; l++) {
        struct layer *layer = &net->layers[l];

        layer->in = sizes[l];
        layer->out = sizes[l + 1];
        layer->weight = net->params + offset;
        layer->weight_velocity = net->velocity + offset;
        offset += layer->in * layer->out;
        layer->bias = net->params + offset;
        layer->bias_velocity = net->velocity + offset;
        offset += layer->out;
        layer->input = input;
        layer->output = batch_matrix(net, layer->out);
        layer->delta = batch_matrix(net, layer->out);
        if (!layer->output || !layer->delta) {
            return false;
        }
        input = layer->output;
    }
    return true;
}

int mlp_new(const size_t *sizes, size_t n_sizes, size_t max_batch, struct mlp **out,
            struct cairn_problem *why)
{
    size_t n_params;
    struct mlp *net;
    int err = mlp_count_params(sizes, n_sizes, &n_params, why);

    if (err) {
        return err;
    }
    if (max_batch == 0 || max_batch > INT_MAX) {
        return problem_set(why, CAIRN_ERR_DATA, "a batch has at least one row",
                           "batches of %zu rows are not possible", max_batch);
    }
    net = calloc(1, sizeof *net + (n_sizes - 1) * sizeof net->layers[0]);
    if (!net) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for the network");
    }
    net->n_params = n_params;
    net->max_batch = max_batch;
    net->n_layers = n_sizes - 1;
    net->params = size_alloc_array(n_params, sizeof(float));
    net->velocity = size_alloc_array(n_params, sizeof(float));
    net->input = batch_matrix(net, sizes[0]);
    if (!net->params || !net->velocity || !net->input || !build_layers(net, sizes)) {
        mlp_free(net);
        return problem_set(why, CAIRN_ERR_NO_MEMORY, "make the layers or the batch smaller",
                           "no memory for a network of %zu parameters", n_params);
    }
    openblas_set_num_threads(1); /* other nodes want the other cores */
    *out = net;
    return 0;
}

void mlp_free(struct mlp *net)
{
    if (!net) {
        return;
    }
    for (size_t l = 0; l < net->n_layers; l++) {
        free(net->layers[l].output);
        free(net->layers[l].delta);
    }
    free(net->params);
    free(net->velocity);
    free(net->input);
    free(net);
}

float *mlp_params(struct mlp *net)
{
    return net->params;
}

float *mlp_input(struct mlp *net)
{
    return net->input;
}

const float *mlp_velocity(const struct mlp *net)
{
    return net->velocity;
}

void mlp_reset_momentum(struct mlp *net)
{
    memset(net->velocity, 0, net->n_params * sizeof *net->velocity);
}

/* ---- forward ---- */

static void add_bias(const struct layer *layer, size_t n)
{
    for (size_t row = 0; row < n; row++) {
        float *y = layer->output + row * layer->out;
        for (size_t j = 0; j < layer->out; j++) {
            y[j] += layer->bias[j];
        }
    }
}

static void add_bias_relu(const struct layer *layer, size_t n)
{
    for (size_t row = 0; row < n; row++) {
        float *y = layer->output + row * layer->out;
        for (size_t j = 0; j < layer->out; j++) {
            float sum = y[j] + layer->bias[j];
            /* this way round NaN stays NaN: a diverged network must not look like a sparse one */
            y[j] = sum < 0.0f ? 0.0f : sum;
        }
    }
}

/* output (n, out) = input (n, in) * weight^T (in, out), plus bias; this is where the time goes */
static void layer_forward(const struct layer *layer, size_t n, bool last)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)n, (int)layer->out, (int)layer->in,
                1.0f, layer->input, (int)layer->in, layer->weight, (int)layer->in, 0.0f,
                layer->output, (int)layer->out);
    if (last) {
        add_bias(layer, n);
    } else {
        add_bias_relu(layer, n);
    }
}

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

double mlp_forward(struct mlp *net, const uint8_t *labels, size_t n, uint64_t *correct)
{
    const struct layer *last = &net->layers[net->n_layers - 1];
    double loss = 0.0;

    for (size_t l = 0; l < net->n_layers; l++) {
        layer_forward(&net->layers[l], n, l + 1 == net->n_layers);
    }
    for (size_t row = 0; row < n; row++) {
        float *y = last->output + row * last->out;
        size_t best = largest_of(y, last->out);

        if (correct && best == labels[row]) {
            ++*correct;
        }
        loss += softmax_row(y, last->out, best, labels[row]);
    }
    return loss;
}

/* ---- backward ---- */

/* Of softmax with cross-entropy, averaged over the batch: (probability - [is the label]) / n */
static void loss_delta(const struct layer *last, const uint8_t *labels, size_t n)
{
    const float scale = 1.0f / (float)n;

    for (size_t row = 0; row < n; row++) {
        const float *p = last->output + row * last->out;
        float *delta = last->delta + row * last->out;

        for (size_t j = 0; j < last->out; j++) {
            delta[j] = p[j] * scale;
        }
        delta[labels[row]] -= scale;
    }
}

/* weight_velocity (out, in) = momentum * itself + delta^T (out, n) * input (n, in);
 * bias_velocity (out) = momentum * itself + column sums of delta (n, out) */
static void layer_gradient(const struct layer *layer, size_t n, float momentum)
{
    float *v = layer->bias_velocity;

    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)layer->out, (int)layer->in, (int)n,
                1.0f, layer->delta, (int)layer->out, layer->input, (int)layer->in, momentum,
                layer->weight_velocity, (int)layer->in);
    for (size_t j = 0; j < layer->out; j++) {
        v[j] *= momentum;
    }
    for (size_t row = 0; row < n; row++) {
        const float *delta = layer->delta + row * layer->out;
        for (size_t j = 0; j < layer->out; j++) {
            v[j] += delta[j];
        }
    }
}

/* before->delta (n, in) = delta (n, out) * weight (out, in), where ReLU let something through */
static void pass_back(const struct layer *layer, const struct layer *before, size_t n)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)n, (int)layer->in, (int)layer->out,
                1.0f, layer->delta, (int)layer->out, layer->weight, (int)layer->in, 0.0f,
                before->delta, (int)layer->in);
    for (size_t i = 0; i < n * layer->in; i++) {
        before->delta[i] = layer->input[i] > 0.0f ? before->delta[i] : 0.0f;
    }
}

void mlp_backward(struct mlp *net, const uint8_t *labels, size_t n, float momentum)
{
    loss_delta(&net->layers[net->n_layers - 1], labels, n);
    for (size_t l = net->n_layers; l-- > 0;) {
        layer_gradient(&net->layers[l], n, momentum);
        if (l > 0) {
            pass_back(&net->layers[l], &net->layers[l - 1], n);
        }
    }
}

double mlp_train_batch(struct mlp *net, const uint8_t *labels, size_t n, float learning_rate,
                       float momentum)
{
    double loss = mlp_forward(net, labels, n, NULL);

    mlp_backward(net, labels, n, momentum);
    for (size_t i = 0; i < net->n_params; i++) {
        net->params[i] -= learning_rate * net->velocity[i];
    }
    return loss;
}
