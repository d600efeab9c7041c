/* SPDX-License-Identifier: Apache-2.0 */
/* Between a config's words and the floors below: layers, tensors, and which data. */
#include <stdio.h>
#include <string.h>

#include "builtin_shape.h"
#include "dataset.h"

_Static_assert((int)TRAIN_MLP == (int)NETWORK_MLP && (int)TRAIN_LOGISTIC == (int)NETWORK_LOGISTIC &&
                   (int)TRAIN_LINEAR == (int)NETWORK_LINEAR && (int)TRAIN_CNN == (int)NETWORK_CNN,
               "the words of model.type");
_Static_assert((int)TRAIN_CONTIGUOUS == (int)PARTITION_CONTIGUOUS &&
                   (int)TRAIN_IID == (int)PARTITION_IID &&
                   (int)TRAIN_DIRICHLET == (int)PARTITION_DIRICHLET &&
                   (int)TRAIN_SHARDS == (int)PARTITION_SHARDS,
               "the words of data.partition");

_Static_assert((int)TRAIN_MAX_LAYERS == (int)NETWORK_MAX_SIZES, "as many as a network can have");

/* One hidden layer of 128, and half of the channels that McMahan et al. (AISTATS 2017) gave MNIST's
 * CNN: what a client sends is a fifteenth of their model. */
enum { HIDDEN = 128, CHANNELS_1 = 16, CHANNELS_2 = 32 };

size_t train_builtin_layers(enum train_model type, size_t features,
                            size_t out[TRAIN_DEFAULT_LAYERS])
{
    const size_t mlp[] = {features, HIDDEN, DATASET_CLASSES};
    const size_t logistic[] = {features, DATASET_CLASSES};
    const size_t linear[] = {features, 1};
    const size_t cnn[] = {features, CHANNELS_1, CHANNELS_2, HIDDEN, DATASET_CLASSES};

    switch (type) {
    case TRAIN_MLP:
        memcpy(out, mlp, sizeof mlp);
        return sizeof mlp / sizeof mlp[0];
    case TRAIN_LOGISTIC:
        memcpy(out, logistic, sizeof logistic);
        return sizeof logistic / sizeof logistic[0];
    case TRAIN_LINEAR:
        memcpy(out, linear, sizeof linear);
        return sizeof linear / sizeof linear[0];
    case TRAIN_CNN:
        memcpy(out, cnn, sizeof cnn);
        return sizeof cnn / sizeof cnn[0];
    }
    return 0;
}

static int check_fit(const struct train_shape *shape, struct cairn_problem *why)
{
    const bool image = shape->height > 0;

    if (shape->n_layers == 0 || shape->features == 0 || shape->layers[0] == 0 ||
        shape->layers[0] == shape->features) {
        return 0;
    }
    if (image) {
        return problem_set(why, CAIRN_ERR_DATA, "the first entry of model.layers is the pixels of "
                           "an image, after data.resize",
                           "model.layers begins with %zu, but images of %zu x %zu have %zu pixels",
                           shape->layers[0], shape->height, shape->width, shape->features);
    }
    return problem_set(why, CAIRN_ERR_DATA, "the first entry of model.layers is the features of a row",
                       "model.layers begins with %zu, but the data's rows have %zu features",
                       shape->layers[0], shape->features);
}

int builtin_spec(const struct train_shape *shape, struct builtin_spec *out,
                 struct cairn_problem *why)
{
    int err = check_fit(shape, why);

    if (err) {
        return err;
    }
    if (shape->n_layers > NETWORK_MAX_SIZES) {
        return problem_set(why, CAIRN_ERR_DATA, "name the inputs, hidden layers and outputs",
                           "%zu layer sizes; 2 to %d are possible", shape->n_layers,
                           NETWORK_MAX_SIZES);
    }
    out->n = shape->n_layers;
    if (out->n > 0) {
        memcpy(out->sizes, shape->layers, out->n * sizeof *out->sizes);
        out->sizes[0] = out->sizes[0] > 0 ? out->sizes[0] : shape->features;
    } else {
        out->n = train_builtin_layers(shape->type, shape->features, out->sizes);
    }
    out->network = (struct network_spec){.type = (enum network_type)shape->type,
                                         .sizes = out->sizes,
                                         .n_sizes = out->n,
                                         .height = shape->height,
                                         .width = shape->width};
    return 0;
}

static int add_tensor(const struct network_tensor *tensor, struct model_shape *shape,
                      struct cairn_problem *why)
{
    uint64_t dims[NETWORK_MAX_DIMS];

    for (unsigned d = 0; d < tensor->n_dims; d++) {
        dims[d] = tensor->dims[d];
    }
    return model_shape_add(shape, tensor->name, dims, tensor->n_dims, why);
}

int train_builtin_shape(const struct train_shape *wanted, struct model_shape *out,
                        struct cairn_problem *why)
{
    struct network_tensor tensors[NETWORK_MAX_TENSORS];
    struct model_shape shape = {0};
    struct builtin_spec spec;
    size_t n_tensors = 0, n_params;
    int err = builtin_spec(wanted, &spec, why);

    if (!err) {
        err = network_tensors(&spec.network, tensors, &n_tensors, &n_params, why);
    }
    for (size_t t = 0; !err && t < n_tensors; t++) {
        err = add_tensor(&tensors[t], &shape, why);
    }
    if (err) {
        model_shape_release(&shape);
        return err;
    }
    *out = shape;
    return 0;
}

size_t train_builtin_bytes(const struct train_shape *wanted, size_t batch)
{
    struct builtin_spec spec;
    struct cairn_problem ignored;

    return builtin_spec(wanted, &spec, &ignored) ? SIZE_MAX : network_bytes(&spec.network, batch);
}

/* ---- from tensors to layers ---- */

/* The weight of a layer of that name, or NULL. */
static const struct model_tensor *weight_of(const struct model_shape *shape, const char *layer)
{
    char name[MODEL_NAME_SIZE];

    (void)snprintf(name, sizeof name, "%s.weight", layer);
    for (size_t t = 0; t < shape->n_tensors; t++) {
        if (strcmp(shape->tensors[t].name, name) == 0 && shape->tensors[t].n_dims >= 2) {
            return &shape->tensors[t];
        }
    }
    return NULL;
}

/* @return how many sizes; 0: it is no MLP */
static size_t recognise_mlp(const struct model_shape *shape, size_t *layers)
{
    const struct model_tensor *weight;
    char name[32] = "layer1";
    size_t n = 0;

    while (n + 1 < TRAIN_MAX_LAYERS && (weight = weight_of(shape, name))) {
        layers[n] = (size_t)weight->dims[1];
        layers[++n] = (size_t)weight->dims[0];
        (void)snprintf(name, sizeof name, "layer%zu", n + 1);
    }
    return n > 0 ? n + 1 : 0;
}

static size_t recognise_cnn(const struct model_shape *shape, size_t *layers)
{
    static const char *const names[] = {"conv1", "conv2", "fc1", "fc2"};

    layers[0] = 0;
    for (size_t l = 0; l < 4; l++) {
        const struct model_tensor *weight = weight_of(shape, names[l]);
        if (!weight) {
            return 0;
        }
        layers[l + 1] = (size_t)weight->dims[0];
    }
    return 5;
}

int train_builtin_recognise(const struct model_shape *shape, enum train_model *type,
                            size_t *layers, size_t *n_layers, struct cairn_problem *why)
{
    const struct model_tensor *linear = weight_of(shape, "linear");

    *type = TRAIN_MLP;
    *n_layers = recognise_mlp(shape, layers);
    if (*n_layers == 0) {
        *type = TRAIN_CNN;
        *n_layers = recognise_cnn(shape, layers);
    }
    if (*n_layers == 0 && linear) {
        *type = linear->dims[0] == 1 ? TRAIN_LINEAR : TRAIN_LOGISTIC;
        layers[0] = (size_t)linear->dims[1];
        layers[1] = (size_t)linear->dims[0];
        *n_layers = 2;
    }
    return *n_layers > 0 ? 0
                         : problem_set(why, CAIRN_ERR_DATA,
                                       "other models are evaluated by the program that trains them",
                                       "its %zu tensors are not those of a built-in model",
                                       shape->n_tensors);
}

/* ---- the data ---- */

void train_builtin_source(const struct train_data *data, enum train_model model, size_t outputs,
                          struct dataset_source *out)
{
    *out = (struct dataset_source){
        .dir = data->dir,
        .resize = data->resize,
        .classes = model == TRAIN_LINEAR ? 1 : outputs, /* nobody asks a regression's */
        .label = data->label,
        .numbers = model == TRAIN_LINEAR,
        .partition = {.kind = (enum partition_kind)data->partition,
                      .seed = data->seed,
                      .alpha = data->alpha,
                      .min_samples = data->min_samples,
                      .shards_per_client = data->shards_per_client},
    };
}
