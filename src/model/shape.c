/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of tensors behind a flattened model. Everything that is sent, quantised or
 * summed is one array of floats; this list says which element belongs to which tensor.
 */
#include "shape.h"

#include <stdlib.h>
#include <string.h>

#include "sizes.h"

static const struct model_tensor *named_in(const struct model_tensor *list, size_t n,
                                           const char *name)
{
    for (size_t t = 0; t < n; t++) {
        if (strcmp(list[t].name, name) == 0) {
            return &list[t];
        }
    }
    return NULL;
}

const struct model_tensor *model_shape_named(const struct model_shape *shape, const char *name)
{
    const struct model_tensor *found = named_in(shape->tensors, shape->n_tensors, name);
    return found != NULL ? found : named_in(shape->carried, shape->n_carried, name);
}

static size_t places(const struct model_shape *shape)
{
    return shape->n_tensors + shape->n_carried;
}

static int no_memory(struct cairn_problem *why)
{
    return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for the list of tensors");
}

static int check_name(const struct model_shape *shape, const char *name, struct cairn_problem *why)
{
    size_t length = strlen(name);

    if (length == 0) {
        return problem_set(why, CAIRN_ERR_DATA, "give every tensor a name",
                           "tensor %zu has an empty name", places(shape));
    }
    if (length >= MODEL_NAME_SIZE) {
        return problem_set(why, CAIRN_ERR_DATA, "rename it", "tensor name \"%.40s...\" has %zu "
                           "bytes; at most %d are possible", name, length, MODEL_NAME_SIZE - 1);
    }
    if (model_shape_named(shape, name) != NULL) {
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

/* Room for one more in a list of n. The capacity is the next power of two above n, so it is not stored. */
static int grow(struct model_tensor **list, size_t n)
{
    struct model_tensor *larger;

    if ((n & (n - 1)) != 0) {
        return 0;
    }
    larger = realloc(*list, (n == 0 ? 1 : 2 * n) * sizeof *larger);
    if (!larger) {
        return CAIRN_ERR_NO_MEMORY;
    }
    *list = larger;
    return 0;
}

static int check_limits(const struct model_shape *shape, const char *name, unsigned n_dims,
                        struct cairn_problem *why)
{
    if (places(shape) == MODEL_MAX_TENSORS) {
        return problem_set(why, CAIRN_ERR_DATA, "merge tensors", "more than %d tensors",
                           MODEL_MAX_TENSORS);
    }
    if (n_dims > MODEL_MAX_DIMS) {
        return problem_set(why, CAIRN_ERR_DATA, "reshape it",
                           "tensor \"%s\" has %u dimensions; at most %d are possible", name, n_dims,
                           MODEL_MAX_DIMS);
    }
    return 0;
}

/* What the shape comes to with `count` more elements; false when memory cannot hold it, in whatever type. */
static bool add_sizes(const struct model_shape *shape, enum model_dtype dtype, size_t count,
                      struct model_shape *larger)
{
    const bool floats = model_dtype_is_float(dtype);
    size_t *total = floats ? &larger->n_params : &larger->n_words;
    size_t own, bytes, held;
    *larger = *shape;
    if (!size_add(*total, count, total) || !size_mul(*total, floats ? sizeof(float) : sizeof(uint64_t), &held) ||
        !size_mul(count, model_dtype_size(dtype), &own) ||
        !size_add((size_t)shape->n_bytes, own, &bytes)) {
        return false;
    }
    larger->n_bytes = bytes;
    return true;
}

int model_shape_add_typed(struct model_shape *shape, const char *name, enum model_dtype dtype,
                          const uint64_t *dims, unsigned n_dims, struct cairn_problem *why)
{
    const bool floats = model_dtype_is_float(dtype);
    struct model_shape larger;
    size_t count;
    int err = check_name(shape, name, why);

    if (!err) {
        err = check_limits(shape, name, n_dims, why);
    }
    if (err) {
        return err;
    }
    if (!count_elements(dims, n_dims, &count) || !add_sizes(shape, dtype, count, &larger)) {
        return problem_set(why, CAIRN_ERR_DATA, "check its dimensions",
                           "the dimensions of tensor \"%s\" multiply to more than memory can hold",
                           name);
    }
    if (grow(floats ? &shape->tensors : &shape->carried,
             floats ? shape->n_tensors : shape->n_carried)) {
        return no_memory(why);
    }
    struct model_tensor *tensor =
        floats ? &shape->tensors[shape->n_tensors] : &shape->carried[shape->n_carried];
    memset(tensor, 0, sizeof *tensor);
    tensor->n_dims = n_dims;
    tensor->offset = floats ? shape->n_params : shape->n_words;
    tensor->count = count;
    tensor->dtype = dtype;
    tensor->place = places(shape);
    tensor->byte = shape->n_bytes;
    memcpy(tensor->name, name, strlen(name) + 1);
    for (unsigned d = 0; d < n_dims; d++) {
        tensor->dims[d] = dims[d];
    }
    shape->n_params = larger.n_params;
    shape->n_words = larger.n_words;
    shape->n_bytes = larger.n_bytes;
    shape->n_tensors += floats;
    shape->n_carried += !floats;
    return 0;
}

int model_shape_add(struct model_shape *shape, const char *name, const uint64_t *dims,
                    unsigned n_dims, struct cairn_problem *why)
{
    return model_shape_add_typed(shape, name, MODEL_F32, dims, n_dims, why);
}

const struct model_tensor **model_shape_order(const struct model_shape *shape)
{
    const struct model_tensor **order =
        size_alloc_array(places(shape) + 1, sizeof(struct model_tensor *)); /* never of size 0 */
    for (size_t t = 0; order != NULL && t < shape->n_tensors; t++) {
        order[shape->tensors[t].place] = &shape->tensors[t];
    }
    for (size_t t = 0; order != NULL && t < shape->n_carried; t++) {
        order[shape->carried[t].place] = &shape->carried[t];
    }
    return order;
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
    free(shape->carried);
    *shape = (struct model_shape){0};
}

static const char same_hint[] = "give a file of the model that is trained";

static int check_tensor(const struct model_tensor *wanted, const struct model_tensor *there,
                        const char *name, struct cairn_problem *why)
{
    if (there == NULL) {
        return problem_set(why, CAIRN_ERR_REFUSED, same_hint, "%s has no tensor \"%s\"", name,
                           wanted->name);
    }
    if (there->n_dims != wanted->n_dims ||
        memcmp(there->dims, wanted->dims, sizeof wanted->dims) != 0) {
        return problem_set(why, CAIRN_ERR_REFUSED, same_hint,
                           "%s: tensor \"%s\" has another shape than the model's, %zu elements, "
                           "not %zu", name, wanted->name, there->count, wanted->count);
    }
    if (there->dtype != wanted->dtype && !(model_dtype_is_float(there->dtype) &&
                                           model_dtype_is_float(wanted->dtype))) {
        return problem_set(why, CAIRN_ERR_REFUSED, same_hint,
                           "%s: tensor \"%s\" has dtype %s, the model's has %s", name,
                           wanted->name, model_dtype_name(there->dtype),
                           model_dtype_name(wanted->dtype));
    }
    return 0;
}

/* Names in a shape are all different: as many tensors, each of which is found, are the same ones. */
int model_shape_same(const struct model_shape *wanted, const struct model_shape *found,
                     const char *name, struct cairn_problem *why)
{
    int err = 0;
    for (size_t t = 0; !err && t < wanted->n_tensors; t++) {
        const struct model_tensor *tensor = &wanted->tensors[t];
        err = check_tensor(tensor, model_shape_named(found, tensor->name), name, why);
    }
    for (size_t t = 0; !err && t < wanted->n_carried; t++) {
        const struct model_tensor *tensor = &wanted->carried[t];
        err = check_tensor(tensor, model_shape_named(found, tensor->name), name, why);
    }
    if (!err && places(found) != places(wanted)) {
        err = problem_set(why, CAIRN_ERR_REFUSED, same_hint, "%s has %zu tensors, the model has %zu",
                          name, places(found), places(wanted));
    }
    return err;
}

static struct model_tensor *copy_like(const struct model_tensor *list, size_t n,
                                      const struct model_shape *found)
{
    struct model_tensor *copy = size_alloc_array(n + 1, sizeof *copy); /* never of size 0 */
    for (size_t t = 0; copy != NULL && t < n; t++) {
        const struct model_tensor *there = model_shape_named(found, list[t].name);
        copy[t] = list[t];
        copy[t].dtype = there->dtype;
        copy[t].place = there->place;
        copy[t].byte = there->byte;
    }
    return copy;
}

int model_shape_like(const struct model_shape *shape, const struct model_shape *found,
                     struct model_shape *out, struct cairn_problem *why)
{
    struct model_shape like = *shape;
    like.n_bytes = found->n_bytes;
    like.tensors = copy_like(shape->tensors, shape->n_tensors, found);
    like.carried = copy_like(shape->carried, shape->n_carried, found);
    if (like.tensors == NULL || like.carried == NULL) {
        model_shape_release(&like);
        return no_memory(why);
    }
    *out = like;
    return 0;
}

static struct model_tensor *copy_typed(const struct model_tensor *list, size_t n,
                                       const enum model_dtype *types)
{
    struct model_tensor *copy = size_alloc_array(n + 1, sizeof *copy); /* never of size 0 */
    for (size_t t = 0; copy != NULL && t < n; t++) {
        copy[t] = list[t];
        copy[t].dtype = types != NULL ? types[list[t].place] : list[t].dtype;
    }
    return copy;
}

/* Where the bytes of each tensor are, by the types of those before it. */
static int lay_out(struct model_shape *shape, struct cairn_problem *why)
{
    const struct model_tensor **order = model_shape_order(shape);
    if (order == NULL) {
        return no_memory(why);
    }
    shape->n_bytes = 0;
    for (size_t place = 0; place < places(shape); place++) {
        struct model_tensor *tensor = (struct model_tensor *)(uintptr_t)order[place];
        tensor->byte = shape->n_bytes;
        shape->n_bytes += tensor->count * model_dtype_size(tensor->dtype);
    }
    free(order);
    return 0;
}

int model_shape_typed(const struct model_shape *shape, const enum model_dtype *types,
                      struct model_shape *out, struct cairn_problem *why)
{
    struct model_shape typed = *shape;
    typed.tensors = copy_typed(shape->tensors, shape->n_tensors, types);
    typed.carried = copy_typed(shape->carried, shape->n_carried, types);
    const int err = typed.tensors == NULL || typed.carried == NULL ? no_memory(why)
                                                                   : lay_out(&typed, why);
    if (err != 0) {
        model_shape_release(&typed);
        return err;
    }
    *out = typed;
    return 0;
}

int model_shape_widened(const struct model_shape *shape, struct model_shape *out,
                        struct cairn_problem *why)
{
    enum model_dtype *types = size_alloc_array(places(shape) + 1, sizeof *types); /* never of size 0 */
    if (types == NULL) {
        return no_memory(why);
    }
    for (size_t t = 0; t < shape->n_tensors; t++) {
        types[shape->tensors[t].place] = MODEL_F32;
    }
    for (size_t t = 0; t < shape->n_carried; t++) {
        types[shape->carried[t].place] = shape->carried[t].dtype;
    }
    const int err = model_shape_typed(shape, types, out, why);
    free(types);
    return err;
}
