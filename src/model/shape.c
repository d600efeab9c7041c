/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of tensors behind a flattened model. Everything that is sent, quantised or
 * summed is one array of floats; this list says which element belongs to which tensor.
 */
#include "shape.h"

#include <stdlib.h>
#include <string.h>

#include "sizes.h"

static bool name_taken(const struct model_shape *shape, const char *name)
{
    for (size_t t = 0; t < shape->n_tensors; t++) {
        if (strcmp(shape->tensors[t].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static int check_name(const struct model_shape *shape, const char *name, struct cairn_problem *why)
{
    size_t length = strlen(name);

    if (length == 0) {
        return problem_set(why, CAIRN_ERR_DATA, "give every tensor a name",
                           "tensor %zu has an empty name", shape->n_tensors);
    }
    if (length >= MODEL_NAME_SIZE) {
        return problem_set(why, CAIRN_ERR_DATA, "rename it", "tensor name \"%.40s...\" has %zu "
                           "bytes; at most %d are possible", name, length, MODEL_NAME_SIZE - 1);
    }
    if (name_taken(shape, name)) {
        return problem_set(why, CAIRN_ERR_DATA, "tensors are told apart by their names",
                           "two tensors are called \"%s\"", name);
    }
    return 0;
}

/* Elements of a tensor; false when the product does not fit. A single size must be an integer of
 * JSON even where another one is 0. */
static bool count_elements(const uint64_t *dims, unsigned n_dims, size_t *out)
{
    size_t count = 1;

    for (unsigned d = 0; d < n_dims; d++) {
        if (dims[d] > INT64_MAX || !size_mul(count, (size_t)dims[d], &count)) {
            return false;
        }
    }
    *out = count;
    return true;
}

/* Room for one more. The capacity is the next power of two above n_tensors, so it is not stored. */
static int grow(struct model_shape *shape)
{
    size_t n = shape->n_tensors;
    struct model_tensor *larger;

    if ((n & (n - 1)) != 0) {
        return 0;
    }
    larger = realloc(shape->tensors, (n == 0 ? 1 : 2 * n) * sizeof *larger);
    if (!larger) {
        return CAIRN_ERR_NO_MEMORY;
    }
    shape->tensors = larger;
    return 0;
}

int model_shape_add(struct model_shape *shape, const char *name, const uint64_t *dims,
                    unsigned n_dims, struct cairn_problem *why)
{
    struct model_tensor *tensor;
    size_t count;
    size_t total;
    size_t bytes;
    int err = check_name(shape, name, why);

    if (err) {
        return err;
    }
    if (shape->n_tensors == MODEL_MAX_TENSORS) {
        return problem_set(why, CAIRN_ERR_DATA, "merge tensors", "more than %d tensors",
                           MODEL_MAX_TENSORS);
    }
    if (n_dims > MODEL_MAX_DIMS) {
        return problem_set(why, CAIRN_ERR_DATA, "reshape it",
                           "tensor \"%s\" has %u dimensions; at most %d are possible", name, n_dims,
                           MODEL_MAX_DIMS);
    }
    if (!count_elements(dims, n_dims, &count) || !size_add(shape->n_params, count, &total) ||
        !size_mul(total, sizeof(float), &bytes)) {
        return problem_set(why, CAIRN_ERR_DATA, "check its dimensions",
                           "the dimensions of tensor \"%s\" multiply to more than memory can hold",
                           name);
    }
    if (grow(shape)) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for the list of tensors");
    }
    tensor = &shape->tensors[shape->n_tensors];
    memset(tensor, 0, sizeof *tensor);
    memcpy(tensor->name, name, strlen(name) + 1);
    tensor->n_dims = n_dims;
    for (unsigned d = 0; d < n_dims; d++) {
        tensor->dims[d] = dims[d];
    }
    tensor->offset = shape->n_params;
    tensor->count = count;
    shape->n_params = total;
    shape->n_tensors++;
    return 0;
}

const struct model_tensor *model_shape_find(const struct model_shape *shape, size_t i)
{
    size_t low = 0;
    size_t high = shape->n_tensors;

    /* The last tensor that starts at or before i. An empty tensor never is the last of those: the
     * one behind it starts at the same place. */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (shape->tensors[middle].offset <= i) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return &shape->tensors[low];
}

void model_shape_release(struct model_shape *shape)
{
    free(shape->tensors);
    *shape = (struct model_shape){0};
}
