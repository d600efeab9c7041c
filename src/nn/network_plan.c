/* SPDX-License-Identifier: Apache-2.0 */
/* From a type and a list of sizes to layers: their shapes, names and places among the parameters. */
#include "layer.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>

#include "replay.h"
#include "sizes.h"

enum { WINDOW = 3, POOL = 2 };

/* How many sizes a type has, and what they are. */
static const struct {
    const char *name, *sizes;
    size_t least, most;
} rules[] = {
    [NETWORK_MLP] = {"an MLP", "inputs, hidden layers, outputs", 2, NETWORK_MAX_SIZES},
    [NETWORK_LOGISTIC] = {"logistic regression", "features, classes", 2, 2},
    [NETWORK_LINEAR] = {"linear regression", "features, 1", 2, 2},
    [NETWORK_CNN] = {"a CNN", "pixels, channels, channels, hidden neurons, classes", 5, 5},
};

static int check_sizes(const struct network_spec *spec, struct cairn_problem *why)
{
    const size_t least = rules[spec->type].least, most = rules[spec->type].most;

    if (spec->n_sizes < least || spec->n_sizes > most) {
        return problem_set(why, CAIRN_ERR_DATA, "model.layers lists them, or is left out",
                           "%zu layer sizes; %s has %zu%s: %s", spec->n_sizes,
                           rules[spec->type].name, least, least < most ? " or more" : "",
                           rules[spec->type].sizes);
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

/* ---- images ---- */

static size_t pixels(struct layer_image image)
{
    return image.channels * image.height * image.width;
}

/* @return CAIRN_ERR_DATA also when there is no square of that many pixels */
static int image_of(const struct network_spec *spec, struct layer_image *out,
                    struct cairn_problem *why)
{
    const size_t side = (size_t)lround(sqrt((double)spec->sizes[0])); /* of at most INT_MAX */

    *out = (struct layer_image){1, spec->height, spec->width};
    if (spec->height == 0 && spec->width == 0) {
        *out = (struct layer_image){1, side, side};
    }
    if (pixels(*out) != spec->sizes[0]) {
        return problem_set(why, CAIRN_ERR_DATA,
                           "model.type mlp and logistic take rows that are no images",
                           "a CNN works on images: %zu features are no square, and nothing says "
                           "their height and width", spec->sizes[0]);
    }
    return 0;
}

static void finish_image_layer(struct layer_shape *layer)
{
    layer->in = pixels(layer->from);
    layer->out = pixels(layer->to);
}

/* @return what comes out */
static struct layer_image add_conv(struct network_plan *plan, const char *name,
                                   struct layer_image from, size_t channels)
{
    struct layer_shape *layer = add_layer(plan, &layer_conv);

    (void)snprintf(layer->name, sizeof layer->name, "%s", name);
    layer->from = from;
    layer->to = (struct layer_image){channels, from.height - WINDOW + 1, from.width - WINDOW + 1};
    layer->window = WINDOW;
    layer->relu = true;
    layer->fan_in = from.channels * WINDOW * WINDOW;
    layer->n_biases = channels;
    layer->scratch = layer->fan_in * layer->to.height * layer->to.width;
    finish_image_layer(layer);
    return layer->to;
}

static struct layer_image add_pool(struct network_plan *plan, struct layer_image from)
{
    struct layer_shape *layer = add_layer(plan, &layer_pool);

    layer->from = from;
    layer->to = (struct layer_image){from.channels, from.height / POOL, from.width / POOL};
    layer->window = POOL;
    finish_image_layer(layer);
    return layer->to;
}

/* What a channel of an image has left of a side: convolution and pooling, twice. */
static size_t left_of_side(size_t side)
{
    for (int i = 0; i < 2; i++) {
        side = side < WINDOW ? 0 : (side - WINDOW + 1) / POOL;
    }
    return side;
}

static int check_cnn(const struct network_spec *spec, struct layer_image image,
                     struct cairn_problem *why)
{
    size_t floats = 0;

    if (left_of_side(image.height) == 0 || left_of_side(image.width) == 0) {
        return problem_set(why, CAIRN_ERR_DATA, "data.resize scales images up, too",
                           "images of %zu x %zu are too small for a CNN; it wants 10 pixels a side",
                           image.height, image.width);
    }
    /* the most that one row becomes is below the channels' windows at every pixel */
    for (size_t l = 1; l <= 2; l++) {
        if (!size_mul(spec->sizes[l], WINDOW * WINDOW, &floats) ||
            !size_mul(floats, spec->sizes[0], &floats) || floats > INT_MAX) {
            return problem_set(why, CAIRN_ERR_DATA, "make the channels fewer or the images smaller",
                               "%zu channels of %zu pixels are more than a CNN can work on",
                               spec->sizes[l], spec->sizes[0]);
        }
    }
    return 0;
}

static int plan_cnn(const struct network_spec *spec, struct network_plan *plan,
                    struct cairn_problem *why)
{
    struct layer_image image;
    struct layer_shape *hidden, *last;
    int err = image_of(spec, &image, why);

    if (!err) {
        err = check_cnn(spec, image, why);
    }
    if (err) {
        return err;
    }
    image = add_pool(plan, add_conv(plan, "conv1", image, spec->sizes[1]));
    image = add_pool(plan, add_conv(plan, "conv2", image, spec->sizes[2]));
    hidden = add_dense(plan, pixels(image), spec->sizes[3]);
    (void)snprintf(hidden->name, sizeof hidden->name, "fc1");
    hidden->relu = true;
    last = add_dense(plan, spec->sizes[3], spec->sizes[4]);
    (void)snprintf(last->name, sizeof last->name, "fc2");
    return 0;
}

/* ---- regressions ---- */

static int plan_regression(const struct network_spec *spec, struct network_plan *plan,
                           struct cairn_problem *why)
{
    struct layer_shape *layer = add_dense(plan, spec->sizes[0], spec->sizes[1]);

    (void)snprintf(layer->name, sizeof layer->name, "linear");
    plan->from_zero = true;
    if (spec->type == NETWORK_LINEAR) {
        plan->loss = &loss_squared;
        if (spec->sizes[1] != 1) {
            return problem_set(why, CAIRN_ERR_DATA, "the second entry of model.layers is 1",
                               "linear regression has one output, not %zu", spec->sizes[1]);
        }
    }
    return 0;
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
    switch (spec->type) {
    case NETWORK_MLP:
        plan_mlp(spec, out);
        break;
    case NETWORK_LOGISTIC:
    case NETWORK_LINEAR:
        err = plan_regression(spec, out, why);
        break;
    case NETWORK_CNN:
        err = plan_cnn(spec, out, why);
        break;
    }
    return err ? err : count_params(out, why);
}

/* ---- tensors ---- */

static void describe(const struct layer_shape *layer, struct network_tensor *weight,
                     struct network_tensor *bias)
{
    const bool is_image = layer->window > 0;

    (void)snprintf(weight->name, sizeof weight->name, "%s.weight", layer->name);
    (void)snprintf(bias->name, sizeof bias->name, "%s.bias", layer->name);
    weight->n_dims = is_image ? 4 : 2;
    weight->dims[0] = layer->n_biases;
    weight->dims[1] = is_image ? layer->from.channels : layer->fan_in;
    weight->dims[2] = layer->window;
    weight->dims[3] = layer->window;
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

size_t network_bytes(const struct network_spec *spec, size_t max_batch)
{
    struct network_plan plan;
    struct cairn_problem ignored;
    size_t row, floats = 0, bytes;

    if (network_plan_make(spec, &plan, &ignored)) {
        return SIZE_MAX;
    }
    row = plan.layers[0].in; /* of a batch */
    bool fits = size_mul(2, plan.n_params, &floats);
    for (size_t l = 0; fits && l < plan.n_layers; l++) {
        const struct layer_shape *layer = &plan.layers[l];

        fits = size_add(row, layer->out, &row) && size_add(row, layer->out, &row) && /* output, delta */
               size_add(floats, layer->scratch, &floats);
    }
    return fits && size_mul(row, max_batch, &row) && size_add(floats, row, &floats) &&
                   size_mul(floats, sizeof(float), &bytes)
               ? bytes
               : SIZE_MAX;
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
        const double deviation = layer->fan_in > 0 ? sqrt(2.0 / (double)layer->fan_in) : 0;

        for (size_t i = 0; i < layer->n_weights; i++) {
            *params++ = plan.from_zero ? 0.0f : (float)(deviation * replay_normal(&rng));
        }
        for (size_t i = 0; i < layer->n_biases; i++) {
            *params++ = 0.0f;
        }
    }
}
