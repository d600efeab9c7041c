/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRAIN_BUILTIN_H
#define TRAIN_BUILTIN_H

#include "trainer.h"

/** The built-in trainer: nn/'s networks on data/'s rows, as a config describes them. */
enum train_model { TRAIN_MLP, TRAIN_LOGISTIC, TRAIN_LINEAR, TRAIN_CNN };

/** How training rows are shared out; data/partition.h says what each means. */
enum train_partition { TRAIN_CONTIGUOUS, TRAIN_IID, TRAIN_DIRICHLET, TRAIN_SHARDS };

/** The built-in model. Plain value; `layers` is borrowed. */
struct train_shape {
    enum train_model type;
    const size_t *layers; /* sizes, input to output, as nn/network.h has them; NULL: the default.
                           * The first may be 0: the features of the data */
    size_t n_layers;      /* 0 with NULL */
    size_t features;      /* of the data, where it is known; else 0 */
    size_t height, width; /* of its images, where it is known and has some; else 0 */
};

/** Where the data is and whose part it is. Plain value, texts borrowed. */
struct train_data {
    const char *dir;      /* folder with the data set; data/dataset.h names its files */
    unsigned resize;      /* side length that images are scaled to; 0 = as they are */
    const char *label;    /* column of a CSV file; NULL = "label" */
    enum train_partition partition;
    uint64_t seed;        /* of the partition */
    double alpha;         /* of TRAIN_DIRICHLET */
    size_t min_samples;   /* fewest rows of a client; 0 is taken for 1 */
    uint32_t shards_per_client; /* of TRAIN_SHARDS */
};

/** What the built-in trainer needs to know; all borrowed for the call. */
struct train_builtin_options {
    struct train_data data;
    enum train_model model;
    const size_t *layers; /* NULL = train_builtin_layers */
    size_t n_layers;      /* 0 with NULL */
    unsigned epochs;      /* a round */
    unsigned batch;
    float learning_rate;
    float momentum;
    float proximal_mu;       /* FedProx; 0 = none */
    uint32_t client_number;  /* clients that share the data; 0 = evaluator: the test set, whole */
    uint32_t client_index;   /* 0 .. client_number-1 */
};

/**
 * An evaluator in whose folder there is no test data at all evaluates nothing (0 samples), if
 * `layers` tells it the shape.
 * @retval CAIRN_ERR_DATA  a file is missing or not what it should be, the layers do not fit the
 *                         data, or the rows cannot be shared out
 */
CAIRN_MUST_CHECK int train_builtin_new(const struct train_builtin_options *options,
                                       struct trainer **out, struct cairn_problem *why);

enum { TRAIN_DEFAULT_LAYERS = 5 };
/** The layers of a model for which the config names none. @return how many of `out` are set */
size_t train_builtin_layers(enum train_model type, size_t features,
                            size_t out[TRAIN_DEFAULT_LAYERS]);
/**
 * Tensors of the built-in model, named and shaped as nn/network.h has them: "layer1.weight"
 * [out, in], "layer1.bias" [out], ...
 * @retval CAIRN_ERR_DATA  layers that the type cannot have, or that do not fit the data
 */
CAIRN_MUST_CHECK int train_builtin_shape(const struct train_shape *shape, struct model_shape *out,
                                         struct cairn_problem *why);

/** Bytes of the network of such a model, with batches of so many rows: nn/network.h's network_bytes. */
size_t train_builtin_bytes(const struct train_shape *shape, size_t batch);

enum { TRAIN_MAX_LAYERS = 64 };
/**
 * The reverse: which built-in model has tensors of these names and shapes. The first of the layers is
 * 0 for a CNN, whose tensors do not tell how large its images are.
 * @param[out] layers  room for TRAIN_MAX_LAYERS
 * @retval CAIRN_ERR_DATA  none
 */
CAIRN_MUST_CHECK int train_builtin_recognise(const struct model_shape *shape,
                                             enum train_model *type, size_t *layers,
                                             size_t *n_layers, struct cairn_problem *why);

struct dataset_source;
/**
 * The data as data/ wants it described.
 * @param outputs  of the model, its last layer; 0: not known yet, the default
 */
void train_builtin_source(const struct train_data *data, enum train_model model, size_t outputs,
                          struct dataset_source *out);

#endif
