/* SPDX-License-Identifier: Apache-2.0 */
/* Between a config's words and the floors below: layers, tensors, and which data. */
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

    if (shape->n_layers == 0 || shape->features == 0 || shape->layers[0] == shape->features) {
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
