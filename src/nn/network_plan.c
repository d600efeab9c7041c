/* SPDX-License-Identifier: Apache-2.0 */
/* From a type and a list of sizes to layers: their shapes, names and places among the parameters. */
#include "layer.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>

#include "replay.h"
#include "sizes.h"

static int check_sizes(const struct network_spec *spec, struct cairn_problem *why)
{
    if (spec->n_sizes < 2 || spec->n_sizes > NETWORK_MAX_SIZES) {
        return problem_set(why, CAIRN_ERR_DATA, "name the inputs, hidden layers and outputs",
                           "a network has 2 to %d layer sizes, %zu given", NETWORK_MAX_SIZES,
                           spec->n_sizes);
    }
    for (size_t l = 0; l < spec->n_sizes; l++) {
        /* BLAS counts in int */
        if (spec->sizes[l] == 0 || spec->sizes[l] > INT_MAX) {
            return problem_set(why, CAIRN_ERR_DATA, "layer sizes start at 1",
                               "layer size %zu of the list is %zu", l + 1, spec->sizes[l]);
        }
    }
    return 0;
}

/* Append a layer without its sizes. */
static struct layer_shape *add_layer(struct network_plan *plan, const struct layer_kind *kind)
{
    struct layer_shape *layer = &plan->layers[plan->n_layers++];

    *layer = (struct layer_shape){.kind = kind};
    return layer;
}

static struct layer_shape *add_dense(struct network_plan *plan, size_t in, size_t out)
{
    struct layer_shape *layer = add_layer(plan, &layer_dense);

    layer->in = in;
    layer->out = out;
    layer->fan_in = in;
    layer->n_biases = out;
    return layer;
}

static void plan_mlp(const struct network_spec *spec, struct network_plan *plan)
{
    for (size_t l = 0; l + 1 < spec->n_sizes; l++) {
        struct layer_shape *layer = add_dense(plan, spec->sizes[l], spec->sizes[l + 1]);

        (void)snprintf(layer->name, sizeof layer->name, "layer%zu", l + 1);
        layer->relu = l + 2 < spec->n_sizes;
    }
}

/* n_weights of every layer and the sum of all, if they can be counted. */
static int count_params(struct network_plan *plan, struct cairn_problem *why)
{
    size_t total = 0, bytes;

    for (size_t l = 0; l < plan->n_layers; l++) {
        struct layer_shape *layer = &plan->layers[l];

        if (!size_mul(layer->fan_in, layer->n_biases, &layer->n_weights) ||
            !size_add(total, layer->n_weights, &total) ||
            !size_add(total, layer->n_biases, &total) || !size_mul(total, sizeof(float), &bytes)) {
            return problem_set(why, CAIRN_ERR_DATA, "make the layers smaller",
                               "layers of %zu and %zu have more weights than memory can hold",
                               layer->in, layer->out);
        }
    }
    plan->n_params = total;
    return 0;
}

int network_plan_make(const struct network_spec *spec, struct network_plan *out,
                      struct cairn_problem *why)
{
    int err = check_sizes(spec, why);

    if (err) {
        return err;
    }
    *out = (struct network_plan){.loss = &loss_softmax};
    plan_mlp(spec, out);
    return count_params(out, why);
}

/* ---- tensors ---- */

static void describe(const struct layer_shape *layer, struct network_tensor *weight,
                     struct network_tensor *bias)
{
    (void)snprintf(weight->name, sizeof weight->name, "%s.weight", layer->name);
    (void)snprintf(bias->name, sizeof bias->name, "%s.bias", layer->name);
    weight->n_dims = 2;
    weight->dims[0] = layer->n_biases;
    weight->dims[1] = layer->fan_in;
    bias->n_dims = 1;
    bias->dims[0] = layer->n_biases;
}

int network_tensors(const struct network_spec *spec, struct network_tensor *out, size_t *n_tensors,
                    size_t *n_params, struct cairn_problem *why)
{
    struct network_plan plan;
    size_t n = 0;
    int err = network_plan_make(spec, &plan, why);

    if (err) {
        return err;
    }
    for (size_t l = 0; l < plan.n_layers; l++) {
        if (plan.layers[l].n_biases == 0) {
            continue;
        }
        if (out) {
            describe(&plan.layers[l], &out[n], &out[n + 1]);
        }
        n += 2;
    }
    *n_tensors = n;
    *n_params = plan.n_params;
    return 0;
}

void network_initial(const struct network_spec *spec, uint64_t seed, float *params)
{
    struct network_plan plan;
    struct cairn_problem ignored;
    struct replay_rng rng;

    if (network_plan_make(spec, &plan, &ignored)) {
        return; /* a caller's mistake: there is no number of parameters either */
    }
    replay_init(&rng, "weights", seed, 0, 0);
    for (size_t l = 0; l < plan.n_layers; l++) {
        const struct layer_shape *layer = &plan.layers[l];
        const double deviation = layer->fan_in ? sqrt(2.0 / (double)layer->fan_in) : 0;

        for (size_t i = 0; i < layer->n_weights; i++) {
            *params++ = (float)(deviation * replay_normal(&rng));
        }
        for (size_t i = 0; i < layer->n_biases; i++) {
            *params++ = 0.0f;
        }
    }
}
