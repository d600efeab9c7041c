/* SPDX-License-Identifier: Apache-2.0 */
/* The network's memory, and the order in which its layers work: forward, backward, step. */
#include "network.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <cblas.h>

#include "layer.h"
#include "sizes.h"

struct network {
    const struct network_loss *loss;
    size_t n_params;
    size_t max_batch;
    size_t n_layers;
    float *params;   /* (n_params) */
    float *velocity; /* (n_params) */
    float *input;    /* (max_batch, features) */
    struct layer layers[];
};

/* ---- memory ---- */

/* An aligned matrix of max_batch rows; NULL also when the size overflows. */
static float *batch_matrix(const struct network *net, size_t columns)
{
    size_t n;

    return size_mul(net->max_batch, columns, &n) ? size_alloc_array(n, sizeof(float)) : NULL;
}

/* Let every layer point at its part of params and velocity, and at its own batch matrices. */
static bool build_layers(struct network *net, const struct network_plan *plan)
{
    const float *input = net->input;
    size_t offset = 0;

    for (size_t l = 0; l < net->n_layers; l++) {
        struct layer *layer = &net->layers[l];

        layer->shape = plan->layers[l];
        layer->weight = net->params + offset;
        layer->weight_velocity = net->velocity + offset;
        offset += layer->shape.n_weights;
        layer->bias = net->params + offset;
        layer->bias_velocity = net->velocity + offset;
        offset += layer->shape.n_biases;
        layer->input = input;
        layer->output = batch_matrix(net, layer->shape.out);
        layer->delta = batch_matrix(net, layer->shape.out);
        layer->scratch = size_alloc_array(layer->shape.scratch + 1, sizeof(float)); /* not of 0 */
        if (!layer->output || !layer->delta || !layer->scratch) {
            return false;
        }
        input = layer->output;
    }
    return true;
}

int network_new(const struct network_spec *spec, size_t max_batch, struct network **out,
                struct cairn_problem *why)
{
    struct network_plan plan;
    struct network *net;
    int err = network_plan_make(spec, &plan, why);

    if (err) {
        return err;
    }
    if (max_batch == 0 || max_batch > INT_MAX) {
        return problem_set(why, CAIRN_ERR_DATA, "a batch has at least one row",
                           "batches of %zu rows are not possible", max_batch);
    }
    net = calloc(1, sizeof *net + plan.n_layers * sizeof net->layers[0]);
    if (!net) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for the network");
    }
    net->loss = plan.loss;
    net->n_params = plan.n_params;
    net->max_batch = max_batch;
    net->n_layers = plan.n_layers;
    net->params = size_alloc_array(net->n_params, sizeof(float));
    net->velocity = size_alloc_array(net->n_params, sizeof(float));
    net->input = batch_matrix(net, plan.layers[0].in);
    if (!net->params || !net->velocity || !net->input || !build_layers(net, &plan)) {
        network_free(net);
        return problem_set(why, CAIRN_ERR_NO_MEMORY, "make the layers or the batch smaller",
                           "no memory for a network of %zu parameters", plan.n_params);
    }
    openblas_set_num_threads(1); /* other nodes want the other cores */
    *out = net;
    return 0;
}

void network_free(struct network *net)
{
    if (!net) {
        return;
    }
    for (size_t l = 0; l < net->n_layers; l++) {
        free(net->layers[l].output);
        free(net->layers[l].delta);
        free(net->layers[l].scratch);
    }
    free(net->params);
    free(net->velocity);
    free(net->input);
    free(net);
}

float *network_params(struct network *net)
{
    return net->params;
}

float *network_input(struct network *net)
{
    return net->input;
}

const float *network_velocity(const struct network *net)
{
    return net->velocity;
}

void network_reset_momentum(struct network *net)
{
    memset(net->velocity, 0, net->n_params * sizeof *net->velocity);
}

/* ---- work ---- */

double network_forward(struct network *net, struct network_targets targets, size_t n,
                       uint64_t *correct)
{
    for (size_t l = 0; l < net->n_layers; l++) {
        net->layers[l].shape.kind->forward(&net->layers[l], n);
    }
    return net->loss->forward(&net->layers[net->n_layers - 1], targets, n, correct);
}

/* The derivative by what the layer before puts out becomes that by what its ReLU was given. */
static void pass_back(const struct layer *layer, const struct layer *before, size_t n)
{
    layer->shape.kind->pass_back(layer, n, before->delta);
    if (before->shape.relu) {
        for (size_t i = 0; i < n * before->shape.out; i++) {
            before->delta[i] = before->output[i] > 0.0f ? before->delta[i] : 0.0f;
        }
    }
}

void network_backward(struct network *net, struct network_targets targets, size_t n, float momentum)
{
    net->loss->backward(&net->layers[net->n_layers - 1], targets, n);
    for (size_t l = net->n_layers; l-- > 0;) {
        const struct layer *layer = &net->layers[l];

        if (layer->shape.kind->gradient) {
            layer->shape.kind->gradient(layer, n, momentum);
        }
        if (l > 0) {
            pass_back(layer, layer - 1, n);
        }
    }
}

double network_train_batch(struct network *net, struct network_targets targets, size_t n,
                           const struct network_step *step)
{
    double loss = network_forward(net, targets, n, NULL);

    network_backward(net, targets, n, step->momentum);
    if (step->proximal_mu > 0.0f) {
        for (size_t i = 0; i < net->n_params; i++) {
            net->velocity[i] += step->proximal_mu * (net->params[i] - step->anchor[i]);
        }
    }
    for (size_t i = 0; i < net->n_params; i++) {
        net->params[i] -= step->learning_rate * net->velocity[i];
    }
    return loss;
}
