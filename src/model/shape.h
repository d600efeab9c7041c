/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_SHAPE_H
#define MODEL_SHAPE_H

#include <stddef.h>
#include <stdint.h>

#include "dtype.h"
#include "problem.h"

/**
 * Names, types and shapes of a model's tensors.
 *
 * Its tensors of floats are what is averaged: flattened in their order into one array of float32,
 * `n_params` long. Those of integers (counters, such as BatchNorm's num_batches_tracked) are
 * carried: flattened in their order into one array of words (dtype.h), `n_words` long. Most models
 * have none.
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
    size_t offset; /* of the first element in its array, floats or words */
    size_t count;  /* elements; may be 0 */
    enum model_dtype dtype;
    size_t place;  /* among all tensors of the model, of floats and of integers, from 0 */
    uint64_t byte; /* of its first element, where all are written in this order, each in its dtype */
};

/** Owner: whoever holds it calls model_shape_release. Immutable once built. */
struct model_shape {
    struct model_tensor *tensors; /* of floats */
    size_t n_tensors;
    size_t n_params;
    struct model_tensor *carried; /* of integers */
    size_t n_carried;
    size_t n_words;
    uint64_t n_bytes; /* of all tensors, each in its dtype */
};

/**
 * Append a tensor of float32. @retval CAIRN_ERR_NO_MEMORY; CAIRN_ERR_DATA: name too long, empty or taken, too
 * many tensors or dimensions, or a size that overflows. The shape is unchanged then.
 */
CAIRN_MUST_CHECK int model_shape_add(struct model_shape *shape, const char *name,
                                     const uint64_t *dims, unsigned n_dims,
                                     struct cairn_problem *why);
/** The same of any type: behind the last one of its kind, and in place behind all. */
CAIRN_MUST_CHECK int model_shape_add_typed(struct model_shape *shape, const char *name,
                                           enum model_dtype dtype, const uint64_t *dims,
                                           unsigned n_dims, struct cairn_problem *why);
/** The tensor of this name, floats or integers; NULL when there is none. */
const struct model_tensor *model_shape_named(const struct model_shape *shape, const char *name);
/** All tensors, floats and integers, in the order of their places: n_tensors + n_carried borrowed pointers.
 * @return the caller's (free); NULL without memory */
const struct model_tensor **model_shape_order(const struct model_shape *shape);
/** The tensor of floats that holds flattened element i < n_params. Binary search. */
const struct model_tensor *model_shape_find(const struct model_shape *shape, size_t i);
void model_shape_release(struct model_shape *shape);

/**
 * Have both the same tensors, in any order: names, dimensions, and floats where there are floats?
 * Floats may differ in their type, integers may not.
 * @param name  of `found`, for messages
 * @retval CAIRN_ERR_REFUSED  names the first tensor that is missing, too many or of another shape
 */
CAIRN_MUST_CHECK int model_shape_same(const struct model_shape *wanted,
                                      const struct model_shape *found, const char *name,
                                      struct cairn_problem *why);
/**
 * `shape`, flattened as it is, with the types and places that its tensors have in `found`, for which
 * model_shape_same holds.
 * @param[out] out  the caller's, model_shape_release; untouched on failure
 * @retval CAIRN_ERR_NO_MEMORY
 */
CAIRN_MUST_CHECK int model_shape_like(const struct model_shape *shape,
                                      const struct model_shape *found, struct model_shape *out,
                                      struct cairn_problem *why);
/**
 * A copy of `shape` in other types, to which nothing may be added.
 * @param types  of each tensor, by its place: a float type for floats, and integers as they are; NULL: those that they have
 * @param[out] out  the caller's, model_shape_release; untouched on failure
 * @retval CAIRN_ERR_NO_MEMORY
 */
CAIRN_MUST_CHECK int model_shape_typed(const struct model_shape *shape, const enum model_dtype *types,
                                       struct model_shape *out, struct cairn_problem *why);
/** A copy whose floats are all F32. @param[out] out  as model_shape_typed */
CAIRN_MUST_CHECK int model_shape_widened(const struct model_shape *shape, struct model_shape *out,
                                         struct cairn_problem *why);

#endif
