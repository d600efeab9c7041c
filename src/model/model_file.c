/* SPDX-License-Identifier: Apache-2.0 */
/* From NumPy's formats to safetensors: the arrays' headers first, then their elements, run by run. */
#include "model_file.h"

#include <unistd.h>

#include "file.h"
#include "npz.h"

enum { RUN = 1 << 15 }; /* bytes that are copied at a time: deflate's window */

/* What is converted: the array in a .npy file, or those of an archive. */
struct arrays {
    const struct input *in;
    const struct model_shape *wanted; /* NULL: any */
    struct npz *npz;                  /* NULL: a .npy file, with */
    struct npy npy;
    uint64_t at; /* where in it is read next */
    struct model_shape shape;
    int to; /* the scratch file */
    uint64_t written;
};

/* ---- headers ---- */

static int add_tensor(struct arrays *a, const char *name, enum model_dtype dtype,
                      const uint64_t *dims, unsigned n_dims, struct cairn_problem *why)
{
    struct cairn_problem inner = {0};
    const int err = model_shape_add_typed(&a->shape, name, dtype, dims, n_dims, &inner);
    return err == 0 ? 0 : problem_set(why, err, inner.hint, "%s: %s", a->in->path, inner.what);
}

static const char *only_name(const struct model_shape *wanted)
{
    if (wanted == NULL || wanted->n_tensors + wanted->n_carried != 1) {
        return NPY_ONLY_NAME;
    }
    return wanted->n_tensors == 1 ? wanted->tensors[0].name : wanted->carried[0].name;
}

static int look_at_npy(struct arrays *a, struct cairn_problem *why)
{
    const int err = npy_read_header(a->in, npy_parse_any, &a->npy, why);
    if (err != 0) {
        return err;
    }
    a->at = a->npy.data_at;
    return add_tensor(a, only_name(a->wanted), npz_dtype(a->npy.type), a->npy.dims, a->npy.n_dims,
                      why);
}

static int look_at_npz(struct arrays *a, struct cairn_problem *why)
{
    struct npz_array array;
    bool at_end = false;
    int err = npz_open(a->in, &a->npz, why);
    while (err == 0 && !at_end) {
        err = npz_next(a->npz, &at_end, &array, why);
        if (err == 0 && !at_end) {
            err = add_tensor(a, array.name, array.dtype, array.dims, array.n_dims, why);
        }
    }
    return err;
}

/* ---- writing ---- */

static int put(struct arrays *a, const void *bytes, size_t size, struct cairn_problem *why)
{
    a->written += size;
    return file_scratch_write(a->to, bytes, size, why);
}

static int put_header(struct arrays *a, struct cairn_problem *why)
{
    struct buf header = {0};
    struct cairn_problem inner = {0};
    int err = safetensors_header(&a->shape, NULL, &header, &inner);
    err = err == 0 ? put(a, header.data, header.size, why)
                   : problem_set(why, err, inner.hint, "%s: %s", a->in->path, inner.what);
    buf_release(&header);
    return err;
}

static int get(struct arrays *a, void *out, size_t size, struct cairn_problem *why)
{
    if (a->npz != NULL) {
        return npz_read(a->npz, out, size, why);
    }
    const int err = input_read(a->in, a->at, out, size, why);
    a->at += size;
    return err;
}

static int put_elements(struct arrays *a, uint64_t bytes, struct cairn_problem *why)
{
    uint8_t run[RUN];
    int err = 0;
    for (uint64_t done = 0; err == 0 && done < bytes; done += RUN) {
        const size_t n = bytes - done < RUN ? (size_t)(bytes - done) : RUN;
        err = get(a, run, n, why);
        if (err == 0) {
            err = put(a, run, n, why);
        }
    }
    return err;
}

static int put_members(struct arrays *a, struct cairn_problem *why)
{
    struct npz_array array;
    bool at_end = false;
    int err = 0;
    while (err == 0 && !at_end) {
        err = npz_next(a->npz, &at_end, &array, why);
        if (err == 0 && !at_end) {
            err = put_elements(a, array.bytes, why);
        }
    }
    return err;
}

static int convert(struct arrays *a, struct cairn_problem *why)
{
    int err = a->wanted == NULL ? 0 : model_shape_same(a->wanted, &a->shape, a->in->path, why);
    if (err == 0) {
        err = file_scratch_open(&a->to, why);
    }
    if (err == 0) {
        err = put_header(a, why);
    }
    if (err == 0) {
        err = a->npz != NULL ? put_members(a, why) : put_elements(a, a->shape.n_bytes, why);
    }
    return err;
}

/* ---- opening ---- */

/* `in` becomes what it is converted to, or is left as it is. */
static int replace(struct input *in, bool archive, const struct model_shape *wanted,
                   struct cairn_problem *why)
{
    struct arrays a = {.in = in, .wanted = wanted, .to = -1};
    int err = archive ? look_at_npz(&a, why) : look_at_npy(&a, why);
    if (err == 0) {
        err = convert(&a, why);
    }
    npz_close(a.npz);
    model_shape_release(&a.shape);
    if (err == 0) {
        input_close(in);
        in->fd = a.to;
        in->size = a.written;
    } else if (a.to >= 0) {
        (void)close(a.to);
    }
    return err;
}

int model_input_open(struct input *in, const char *path, const struct model_shape *wanted,
                     struct cairn_problem *why)
{
    uint8_t first[8] = {0};
    int err = input_open(in, path, why);
    if (err != 0) {
        return err;
    }
    const size_t size = in->size < sizeof first ? (size_t)in->size : sizeof first;
    const struct span start = {first, size};
    err = input_read(in, 0, first, size, why);
    if (err == 0 && (npy_begins(start) || npz_begins(start))) {
        err = replace(in, npz_begins(start), wanted, why);
    }
    if (err != 0) {
        input_close(in);
    }
    return err;
}

int model_file_open(struct safetensors_file *file, const char *path,
                    const struct model_shape *shape, struct cairn_problem *why)
{
    struct input in;
    *file = (struct safetensors_file){0};
    int err = model_input_open(&in, path, shape, why);
    if (err != 0) {
        return err;
    }
    err = safetensors_open_input(file, &in, shape, 0, why);
    file->owns = err == 0;
    if (err != 0) {
        input_close(&in);
    }
    return err;
}
