/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_SHAPE_H
#define MODEL_SHAPE_H

#include <stddef.h>
#include <stdint.h>

#include "problem.h"

/**
 * Names and shapes of a model's tensors, in the order in which the model is
 * flattened. The flattened model is one array of float32, `n_params` long.
 */
enum { MODEL_NAME_SIZE = 128, MODEL_MAX_DIMS = 8 };
/**
 * Names are compared one by one, so n tensors cost n^2 / 2 comparisons: about a second here, while
 * the largest published models have a few thousand tensors.
 */
enum { MODEL_MAX_TENSORS = 16384 };

struct model_tensor {
    char name[MODEL_NAME_SIZE];
    unsigned n_dims; /* 0 = scalar */
    uint64_t dims[MODEL_MAX_DIMS];
    size_t offset; /* of the first element in the flattened model */
    size_t count;  /* elements; may be 0 */
};

/** Owner: whoever holds it calls model_shape_release. Immutable once built. */
struct model_shape {
    struct model_tensor *tensors;
    size_t n_tensors;
    size_t n_params;
};

/**
 * Append a tensor. @retval CAIRN_ERR_NO_MEMORY; CAIRN_ERR_DATA: name too long, empty or taken, too
 * many tensors or dimensions, or a size that overflows. The shape is unchanged then.
 */
CAIRN_MUST_CHECK int model_shape_add(struct model_shape *shape, const char *name,
                                     const uint64_t *dims, unsigned n_dims,
                                     struct cairn_problem *why);
/** The tensor that holds flattened element i < n_params. Binary search. */
const struct model_tensor *model_shape_find(const struct model_shape *shape, size_t i);
void model_shape_release(struct model_shape *shape);

#endif
