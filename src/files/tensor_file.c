/* SPDX-License-Identifier: Apache-2.0 */
/* Models in files: only their headers are held in memory. */
#include "tensor_file.h"

#include <stdlib.h>
#include <string.h>

#include "digest.h"
#include "input_kind.h"
#include "npy.h"
#include "problem.h"
#include "safetensors.h"
#include "secret.h"
#include "sizes.h"

const char *tensor_format_name(enum tensor_format format)
{
    return format == TENSOR_NPY ? "npy" : "safetensors";
}

/* ---- opening ---- */

static int by_name(const void *a, const void *b)
{
    const struct model_tensor *const *x = a;
    const struct model_tensor *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

/* Sums are averaged, and what these files hold is nothing but sums. */
static int refuse_integers(const struct tensor_file *file, const struct model_shape *found,
                           struct cairn_problem *why)
{
    return found->n_carried == 0
               ? 0
               : problem_set(why, CAIRN_ERR_DATA, "leave it out: integers cannot be averaged",
                             "%s: tensor \"%s\" has dtype %s; only floats can be encrypted",
                             file->in.path, found->carried[0].name,
                             model_dtype_name(found->carried[0].dtype));
}

/* file->shape = found in the order of names, and where each tensor's bytes are. */
static int sort_shape(struct tensor_file *file, const struct model_shape *found, uint64_t data_at,
                      struct cairn_problem *why)
{
    const size_t n = found->n_tensors;
    const struct model_tensor **order = size_alloc_array(n + 1, sizeof(struct model_tensor *));
    int error = 0;
    file->at = size_alloc_array(n + 1, sizeof *file->at);
    if (order == NULL || file->at == NULL) {
        error = problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a list of tensors");
        goto cleanup;
    }
    for (size_t t = 0; t < n; t++) {
        order[t] = &found->tensors[t];
    }
    qsort(order, n, sizeof *order, by_name);
    for (size_t t = 0; t < n && !error; t++) {
        file->at[t] = data_at + order[t]->byte;
        error = model_shape_add_typed(&file->shape, order[t]->name, order[t]->dtype, order[t]->dims,
                                      order[t]->n_dims, why);
    }
cleanup:
    free(order);
    return error;
}

static int open_npy(struct tensor_file *file, struct cairn_problem *why)
{
    struct npy npy;
    _Static_assert((int)NPY_MAX_DIMS <= (int)MODEL_MAX_DIMS, "every array is a tensor");
    int error = npy_read_header(&file->in, npy_parse, &npy, why);
    if (error) {
        return error;
    }
    struct model_shape found = {0};
    error = model_shape_add(&found, NPY_ONLY_NAME, npy.dims, npy.n_dims, why);
    if (!error) {
        error = sort_shape(file, &found, npy.data_at, why);
    }
    model_shape_release(&found);
    return error;
}

static bool looks_like_safetensors(const struct input *in)
{
    return strstr(input_kind(in), "safetensors") != NULL;
}

static int open_safetensors(struct tensor_file *file, const uint8_t first[8],
                            struct cairn_problem *why)
{
    struct buf start = {0};
    struct model_shape found = {0};
    uint64_t data_at = 0;
    int error = safetensors_data_at(first, file->in.size, file->in.path, &data_at, why);
    if (error && !looks_like_safetensors(&file->in)) {
        return problem_set(why, error, "safetensors and .npy can be read",
                           "%s is %s; a model is needed here", file->in.path,
                           input_kind(&file->in));
    }
    if (error) {
        return error; /* a model, and cut off or damaged */
    }
    error = input_append(&file->in, 0, (size_t)data_at, &start, why);
    if (!error) {
        error = safetensors_parse_shape(buf_span(&start), file->in.size, file->in.path, &found,
                                        why);
    }
    buf_release(&start);
    if (!error) {
        error = refuse_integers(file, &found, why);
    }
    if (!error) {
        error = sort_shape(file, &found, data_at, why);
    }
    model_shape_release(&found);
    return error;
}

int tensor_file_open(struct tensor_file *file, const char *path, struct cairn_problem *why)
{
    uint8_t first[8] = {0};
    *file = (struct tensor_file){.in.fd = -1};
    int error = input_open(&file->in, path, why);
    if (error) {
        return error;
    }
    const size_t size = file->in.size < sizeof first ? (size_t)file->in.size : sizeof first;
    error = input_read(&file->in, 0, first, size, why);
    if (!error && npy_begins((struct span){first, size})) {
        file->format = TENSOR_NPY;
        error = open_npy(file, why);
    } else if (!error) {
        file->format = TENSOR_SAFETENSORS;
        error = open_safetensors(file, first, why);
    }
    if (!error && file->shape.n_params == 0) {
        error = problem_set(why, CAIRN_ERR_DATA, NULL, "%s holds no parameters", path);
    }
    if (error) {
        tensor_file_close(file);
    }
    return error;
}

void tensor_file_close(struct tensor_file *file)
{
    input_close(&file->in);
    model_shape_release(&file->shape);
    free(file->at);
    file->at = NULL;
}

/* ---- reading ---- */

int tensor_file_read(const struct tensor_file *file, size_t first, size_t n, float *out,
                     struct cairn_problem *why)
{
    const size_t end = first + n;
    int error = 0;
    while (first < end && !error) {
        const struct model_tensor *tensor = model_shape_find(&file->shape, first);
        const size_t within = first - tensor->offset;
        const size_t left = tensor->count - within;
        const size_t count = end - first < left ? end - first : left;
        const uint64_t at = file->at[tensor - file->shape.tensors] +
                            model_dtype_size(tensor->dtype) * (uint64_t)within;
        error = safetensors_read_floats(&file->in, at, tensor->dtype, count, out, why);
        out += count;
        first += count;
    }
    return error;
}

int tensor_file_digest(const struct tensor_file *file, uint8_t out[DIGEST_SIZE],
                       struct cairn_problem *why)
{
    enum { RUN = 1 << 16 };
    struct digest_state state;
    float *run = size_alloc_array(RUN, sizeof *run);
    int error = 0;
    if (run == NULL) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory to read a model");
    }
    digest_init(&state);
    for (size_t at = 0; at < file->shape.n_params && !error; at += RUN) {
        const size_t left = file->shape.n_params - at;
        const size_t n = left < RUN ? left : RUN;
        error = tensor_file_read(file, at, n, run, why);
        digest_update(&state, run, n * sizeof *run);
    }
    if (!error) {
        digest_final(&state, out);
    }
    secret_wipe(run, RUN * sizeof *run);
    free(run);
    return error;
}

/* ---- shapes ---- */

static const char same_hint[] = "all must be of one model: the same tensors with the same shapes";

int tensor_same_shape(const struct model_shape *a, const char *a_name, const struct model_shape *b,
                      const char *b_name, struct cairn_problem *why)
{
    for (size_t t = 0; t < a->n_tensors || t < b->n_tensors; t++) {
        const struct model_tensor *x = t < a->n_tensors ? &a->tensors[t] : NULL;
        const struct model_tensor *y = t < b->n_tensors ? &b->tensors[t] : NULL;
        const int order = x == NULL ? 1 : y == NULL ? -1 : strcmp(x->name, y->name);
        if (order != 0) {
            return problem_set(why, CAIRN_ERR_REFUSED, same_hint,
                               "tensor \"%s\" is in %s, not in %s", order < 0 ? x->name : y->name,
                               order < 0 ? a_name : b_name, order < 0 ? b_name : a_name);
        }
        if (x->n_dims != y->n_dims || memcmp(x->dims, y->dims, sizeof x->dims) != 0) {
            return problem_set(why, CAIRN_ERR_REFUSED, same_hint,
                               "tensor \"%s\" has another shape in %s than in %s", x->name, a_name,
                               b_name);
        }
    }
    return 0;
}

int tensor_header_write(enum tensor_format format, const struct model_shape *shape,
                        struct file_draft *draft, struct cairn_problem *why)
{
    struct buf header = {0};
    int error;
    if (format == TENSOR_NPY) {
        error = npy_header(shape->tensors[0].dims, shape->tensors[0].n_dims, &header);
        if (error) {
            problem_set(why, error, NULL, "no memory for the header of an array");
        }
    } else {
        error = safetensors_header(shape, NULL, &header, why);
    }
    if (!error) {
        error = file_draft_write(draft, header.data, header.size, why);
    }
    buf_release(&header);
    return error;
}
