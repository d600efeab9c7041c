/* SPDX-License-Identifier: Apache-2.0 */
/*
 * safetensors files: a little-endian u64 with the length of a JSON header, the header, the tensors'
 * bytes. The header comes from outside, so it is collected into plain entries first, sorted by
 * where the bytes are, and only a list that covers the file without gap or overlap becomes a shape.
 */
#include "safetensors.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "input.h"
#include "json.h"
#include "sizes.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && sizeof(float) == 4,
               "tensors of F32 are copied as they are in memory");

enum { LENGTH_SIZE = 8 };
/* the limit of the format's reference implementation */
#define HEADER_LIMIT UINT64_C(100000000)
#define METADATA_KEY "__metadata__"

/* Elements that are converted at a time, on the stack. */
enum { BLOCK = 2048 };

static int no_memory(struct cairn_problem *why)
{
    return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for the header of a model");
}

/* ---- writing ---- */

static json_t *shape_json(const struct model_tensor *tensor)
{
    json_t *list = json_array();

    for (unsigned d = 0; d < tensor->n_dims; d++) {
        if (json_array_append_new(list, json_integer((json_int_t)tensor->dims[d]))) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static int add_tensor(json_t *header, const struct model_tensor *tensor, struct cairn_problem *why)
{
    const json_int_t begin = (json_int_t)tensor->byte;
    const json_int_t end =
        begin + (json_int_t)tensor->count * (json_int_t)model_dtype_size(tensor->dtype);
    json_t *entry;

    if (strcmp(tensor->name, METADATA_KEY) == 0) {
        return problem_set(why, CAIRN_ERR_DATA, "rename it",
                           "a tensor cannot be called " METADATA_KEY);
    }
    entry = json_pack("{s:s, s:o, s:[I, I]}", "dtype", model_dtype_name(tensor->dtype),
                      "shape", shape_json(tensor), "data_offsets", begin, end);
    if (json_object_set_new(header, tensor->name, entry)) {
        return problem_set(why, CAIRN_ERR_DATA, "tensor names must be UTF-8",
                           "tensor \"%s\" cannot be written", tensor->name);
    }
    return 0;
}

/* Length and header, filled up with spaces so that the floats start at a multiple of 8. */
static int append_header(struct buf *file, const json_t *header)
{
    static const char spaces[LENGTH_SIZE] = "        ";
    uint8_t length[LENGTH_SIZE] = {0};
    uint64_t header_size;

    if (buf_append(file, length, sizeof length) || json_append(file, header, 0) ||
        buf_append(file, spaces, size_round_up(file->size, LENGTH_SIZE) - file->size)) {
        return CAIRN_ERR_NO_MEMORY;
    }
    header_size = file->size - LENGTH_SIZE;
    memcpy(file->data, &header_size, sizeof header_size);
    return 0;
}

static int make_header(const struct model_shape *shape, const struct model_tensor *const *order,
                       const json_t *metadata, struct buf *out, struct cairn_problem *why)
{
    json_t *header = json_object();
    int err = 0;

    if (metadata && json_object_set(header, METADATA_KEY, (json_t *)(uintptr_t)metadata)) {
        err = no_memory(why);
    }

    for (size_t t = 0; !err && t < shape->n_tensors + shape->n_carried; t++) {
        err = add_tensor(header, order[t], why);
    }
    if (!err && append_header(out, header)) {
        err = no_memory(why);
    }
    json_decref(header);
    return err;
}

int safetensors_header(const struct model_shape *shape, const json_t *metadata, struct buf *out,
                       struct cairn_problem *why)
{
    const struct model_tensor **order = model_shape_order(shape);
    const int err = order ? make_header(shape, order, metadata, out, why) : no_memory(why);

    free(order);
    return err;
}

static int cannot_hold(const struct model_tensor *tensor, struct cairn_problem *why)
{
    return problem_set(why, CAIRN_ERR_DATA, "give the tensor a wider dtype",
                       "tensor \"%s\" has a value that dtype %s cannot hold", tensor->name,
                       model_dtype_name(tensor->dtype));
}

static int write_words(struct file_draft *draft, const struct model_tensor *tensor,
                       const uint64_t *words, struct cairn_problem *why)
{
    uint8_t bytes[BLOCK * sizeof *words];
    int err = 0;

    for (size_t at = 0, n; !err && at < tensor->count; at += n) {
        n = tensor->count - at < BLOCK ? tensor->count - at : BLOCK;
        if (!model_dtype_from_words(tensor->dtype, words + at, n, bytes)) {
            return cannot_hold(tensor, why);
        }
        err = file_draft_write(draft, bytes, n * model_dtype_size(tensor->dtype), why);
    }
    return err;
}

static int write_floats(struct file_draft *draft, const struct model_tensor *tensor,
                        const float *values, struct cairn_problem *why)
{
    uint8_t bytes[BLOCK * sizeof(double)];
    int err = 0;

    if (tensor->dtype == MODEL_F32) {
        return file_draft_write(draft, values, tensor->count * sizeof *values, why);
    }
    for (size_t at = 0, n; !err && at < tensor->count; at += n) {
        n = tensor->count - at < BLOCK ? tensor->count - at : BLOCK;
        if (!model_dtype_from_floats(tensor->dtype, values + at, n, bytes)) {
            return cannot_hold(tensor, why);
        }
        err = file_draft_write(draft, bytes, n * model_dtype_size(tensor->dtype), why);
    }
    return err;
}

static int write_tensors(struct file_draft *draft, const struct model_shape *shape,
                         const struct model_tensor *const *order, const float *model,
                         const uint64_t *words, struct cairn_problem *why)
{
    int err = 0;

    for (size_t t = 0; !err && t < shape->n_tensors + shape->n_carried; t++) {
        if (order[t]->count == 0) {
            continue; /* and there may be no array at all */
        }
        err = model_dtype_is_float(order[t]->dtype)
                  ? write_floats(draft, order[t], model + order[t]->offset, why)
                  : write_words(draft, order[t], words + order[t]->offset, why);
    }
    return err;
}

int safetensors_write_all(const char *path, const struct model_shape *shape, const float *model,
                          const uint64_t *words, const json_t *metadata, struct cairn_problem *why)
{
    struct buf header = {0};
    struct file_draft draft = {0};
    const struct model_tensor **order = model_shape_order(shape);
    int err = order ? make_header(shape, order, metadata, &header, why) : no_memory(why);

    if (!err) {
        err = file_draft_open(&draft, path, 0644, why);
    }
    if (!err) {
        err = file_draft_write(&draft, header.data, header.size, why);
    }
    if (!err) {
        err = write_tensors(&draft, shape, order, model, words, why);
    }
    if (!err) {
        err = file_draft_finish(&draft, true, why);
    }
    file_draft_drop(&draft);
    buf_release(&header);
    free(order);
    return err;
}

int safetensors_write(const char *path, const struct model_shape *shape, const float *model,
                      struct cairn_problem *why)
{
    if (shape->n_words > 0) {
        return problem_set(why, CAIRN_ERR_BUG, NULL, "a model's integers are not written");
    }
    return safetensors_write_all(path, shape, model, NULL, NULL, why);
}

/* ---- reading ---- */

struct entry {
    const char *name; /* borrowed from the header */
    uint64_t begin, end;
    size_t number; /* in the header */
    uint64_t dims[MODEL_MAX_DIMS];
    unsigned n_dims;
    enum model_dtype dtype;
};

/* One file while it is read. */
struct reading {
    const char *name;   /* of the file, for messages */
    uint64_t data_size; /* of the tensors' bytes */
    struct entry *entries;
    size_t n_entries;
    struct cairn_problem *why;
};

static const char hint_broken[] = "write the file again with a safetensors library";

static int check_metadata(const char *name, json_t *metadata, struct cairn_problem *why)
{
    const char *key;
    json_t *value;

    if (!json_is_object(metadata)) {
        return problem_set(why, CAIRN_ERR_DATA, hint_broken,
                           "%s: " METADATA_KEY " is not an object", name);
    }
    json_object_foreach (metadata, key, value) {
        if (!json_is_string(value)) {
            return problem_set(why, CAIRN_ERR_DATA, hint_broken,
                               "%s: " METADATA_KEY ": \"%s\" is not a text", name, key);
        }
    }
    return 0;
}

/* A list of non-negative integers. @return how many, or -1 */
static int read_numbers(const json_t *list, uint64_t *out, size_t most)
{
    size_t n = json_array_size(list);

    if (!json_is_array(list) || n > most) {
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *number = json_array_get(list, i);
        if (!json_is_integer(number) || json_integer_value(number) < 0) {
            return -1;
        }
        out[i] = (uint64_t)json_integer_value(number);
    }
    return (int)n;
}

static int read_entry(const struct reading *r, const char *name, const json_t *tensor,
                      struct entry *out)
{
    const json_t *type = json_object_get(tensor, "dtype");
    const char *dtype = json_string_value(type);
    uint64_t offsets[2];
    int n_dims;

    if (!dtype) {
        return problem_set(r->why, CAIRN_ERR_DATA, hint_broken,
                           "%s: tensor \"%s\" has no dtype", r->name, name);
    }
    out->dtype = strlen(dtype) == json_string_length(type) ? model_dtype_named(dtype) : MODEL_DTYPES;
    if (out->dtype == MODEL_DTYPES) {
        return problem_set(r->why, CAIRN_ERR_DATA,
                           "F64, F32, F16, BF16, integers of 8 to 64 bits and BOOL can be read",
                           "%s: tensor \"%s\" has dtype \"%.20s\"", r->name, name, dtype);
    }
    n_dims = read_numbers(json_object_get(tensor, "shape"), out->dims, MODEL_MAX_DIMS);
    if (n_dims < 0) {
        return problem_set(r->why, CAIRN_ERR_DATA, hint_broken,
                           "%s: the shape of tensor \"%s\" is not a list of at most %d sizes",
                           r->name, name, MODEL_MAX_DIMS);
    }
    if (read_numbers(json_object_get(tensor, "data_offsets"), offsets, 2) != 2 ||
        offsets[0] > offsets[1]) {
        return problem_set(r->why, CAIRN_ERR_DATA, hint_broken,
                           "%s: the data_offsets of tensor \"%s\" are not begin and end", r->name,
                           name);
    }
    if (json_object_size(tensor) != 3) {
        return problem_set(r->why, CAIRN_ERR_DATA, hint_broken,
                           "%s: tensor \"%s\" has more than dtype, shape and data_offsets",
                           r->name, name);
    }
    out->name = name;
    out->n_dims = (unsigned)n_dims;
    out->begin = offsets[0];
    out->end = offsets[1];
    return 0;
}

static int read_entries(struct reading *r, json_t *header)
{
    const char *key;
    json_t *value;
    int err;

    r->entries = size_alloc_array(json_object_size(header) + 1, sizeof *r->entries);
    if (!r->entries) {
        return problem_set(r->why, CAIRN_ERR_NO_MEMORY, NULL, "%s: no memory", r->name);
    }
    json_object_foreach (header, key, value) {
        if (strcmp(key, METADATA_KEY) == 0) {
            err = check_metadata(r->name, value, r->why);
        } else {
            r->entries[r->n_entries].number = r->n_entries;
            err = read_entry(r, key, value, &r->entries[r->n_entries]);
            r->n_entries++;
        }
        if (err) {
            return err;
        }
    }
    return 0;
}

/* By place; an empty tensor comes before the one that starts where it lies, several as in the header. */
static int by_place(const void *a, const void *b)
{
    const struct entry *x = a;
    const struct entry *y = b;

    if (x->begin != y->begin) {
        return x->begin < y->begin ? -1 : 1;
    }
    if (x->end != y->end) {
        return x->end < y->end ? -1 : 1;
    }
    return (x->number > y->number) - (x->number < y->number);
}

/* Sorted entries cover the data exactly: each begins where the one before it ends. */
static int check_cover(const struct reading *r)
{
    const char *before = "the start";
    uint64_t end = 0;

    for (size_t i = 0; i < r->n_entries; i++) {
        const struct entry *e = &r->entries[i];
        if (e->begin < end) {
            return problem_set(r->why, CAIRN_ERR_DATA, hint_broken,
                               "%s: tensors \"%s\" and \"%s\" overlap: \"%s\" begins at byte "
                               "%" PRIu64 ", \"%s\" ends at %" PRIu64,
                               r->name, before, e->name, e->name, e->begin, before, end);
        }
        if (e->begin > end) {
            return problem_set(r->why, CAIRN_ERR_DATA, hint_broken,
                               "%s: bytes %" PRIu64 " to %" PRIu64 " between \"%s\" and \"%s\" "
                               "belong to no tensor", r->name, end, e->begin, before, e->name);
        }
        end = e->end;
        before = e->name;
    }
    if (end > r->data_size) {
        return problem_set(r->why, CAIRN_ERR_DATA, "copy the file again: it is cut off",
                           "%s: tensor \"%s\" ends at byte %" PRIu64 ", the file holds %" PRIu64,
                           r->name, before, end, r->data_size);
    }
    if (end < r->data_size) {
        return problem_set(r->why, CAIRN_ERR_DATA, hint_broken,
                           "%s: %" PRIu64 " bytes behind the last tensor, \"%s\"", r->name,
                           r->data_size - end, before);
    }
    return 0;
}

static int build_shape(const struct reading *r, struct model_shape *shape)
{
    for (size_t i = 0; i < r->n_entries; i++) {
        const struct entry *e = &r->entries[i];
        struct cairn_problem inner;
        const uint64_t before = shape->n_bytes;
        int err = model_shape_add_typed(shape, e->name, e->dtype, e->dims, e->n_dims, &inner);

        if (err) {
            return problem_set(r->why, err, inner.hint, "%s: %s", r->name, inner.what);
        }
        if (shape->n_bytes - before != e->end - e->begin) {
            const size_t size = model_dtype_size(e->dtype);
            return problem_set(r->why, CAIRN_ERR_DATA, hint_broken,
                               "%s: tensor \"%s\" has %" PRIu64 " elements of %zu bytes, but a "
                               "range of %" PRIu64 " bytes", r->name, e->name,
                               (shape->n_bytes - before) / size, size, e->end - e->begin);
        }
    }
    return 0;
}

int safetensors_data_at(const uint8_t first[LENGTH_SIZE], uint64_t size, const char *name,
                        uint64_t *data_at, struct cairn_problem *why)
{
    uint64_t length;

    if (size < LENGTH_SIZE) {
        return problem_set(why, CAIRN_ERR_DATA, "this is no safetensors file",
                           "%s: %" PRIu64 " bytes, not even a header length", name, size);
    }
    memcpy(&length, first, sizeof length);
    if (length > HEADER_LIMIT) {
        return problem_set(why, CAIRN_ERR_DATA, "this is no safetensors file",
                           "%s: header length %" PRIu64 ", at most %" PRIu64 " are allowed", name,
                           length, HEADER_LIMIT);
    }
    if (length > size - LENGTH_SIZE) {
        return problem_set(why, CAIRN_ERR_DATA, "copy the file again: it is cut off",
                           "%s: header length %" PRIu64 ", but only %" PRIu64 " bytes follow", name,
                           length, size - LENGTH_SIZE);
    }
    *data_at = LENGTH_SIZE + length;
    return 0;
}

/* JSON that a file holds. @return a new reference or NULL */
static json_t *parse_text(struct span text, const char *name, struct cairn_problem *why)
{
    struct cairn_problem inner;
    json_t *json = json_parse_zeros(text, name, &inner);

    if (!json && inner.code == CAIRN_ERR_NO_MEMORY) {
        *why = inner;
    } else if (!json) {
        (void)problem_set(why, CAIRN_ERR_DATA, hint_broken, "%s", inner.what);
    }
    return json;
}

static int parse_header(const struct reading *r, struct span text, json_t **out)
{
    json_t *header = parse_text(text, r->name, r->why);

    if (header && !json_is_object(header)) {
        json_decref(header);
        return problem_set(r->why, CAIRN_ERR_DATA, hint_broken, "%s: the header is not an object",
                           r->name);
    }
    *out = header;
    return header ? 0 : r->why->code;
}

json_t *safetensors_parse_metadata(struct span text, const char *name, struct cairn_problem *why)
{
    json_t *metadata = parse_text(text, name, why);

    if (metadata && check_metadata(name, metadata, why)) {
        json_decref(metadata);
        return NULL;
    }
    return metadata;
}

/* @param[out] header_out  the header, for its metadata; NULL: not wanted */
static int parse_start(struct span start, uint64_t size, const char *name,
                       struct model_shape *shape, json_t **header_out, struct cairn_problem *why)
{
    struct reading r = {.name = name, .why = why};
    struct model_shape found = {0};
    uint64_t data_at = 0;
    int err = safetensors_data_at(start.data, size, name, &data_at, why);

    if (err) {
        return err;
    }
    r.data_size = size - data_at;
    json_t *header = NULL;
    err = parse_header(&r, (struct span){start.data + LENGTH_SIZE, (size_t)data_at - LENGTH_SIZE},
                       &header);
    if (err) {
        return err;
    }
    err = read_entries(&r, header);
    if (err) {
        goto cleanup;
    }
    qsort(r.entries, r.n_entries, sizeof *r.entries, by_place);
    err = check_cover(&r);
    if (!err) {
        err = build_shape(&r, &found);
    }
    if (!err) {
        *shape = found;
        found = (struct model_shape){0};
    }
    if (!err && header_out) {
        *header_out = json_incref(header);
    }
cleanup:
    model_shape_release(&found);
    free(r.entries);
    json_decref(header);
    return err;
}

int safetensors_parse_shape(struct span start, uint64_t size, const char *name,
                            struct model_shape *shape, struct cairn_problem *why)
{
    return parse_start(start, size, name, shape, NULL, why);
}

/* ---- reading from files ---- */

static int read_start(struct safetensors_file *file, uint64_t header_most,
                      struct cairn_problem *why)
{
    const struct input *in = &file->in;
    uint8_t first[LENGTH_SIZE] = {0};
    struct buf start = {0};
    json_t *header = NULL;
    const size_t begin = in->size < sizeof first ? (size_t)in->size : sizeof first;
    int err = input_read(in, 0, first, begin, why);

    if (!err) {
        err = safetensors_data_at(first, in->size, in->path, &file->data_at, why);
    }
    if (!err && header_most > 0 && file->data_at > header_most) {
        err = problem_set(why, CAIRN_ERR_REFUSED, "write only the model's tensors",
                          "%s: a header of %" PRIu64 " bytes; this model's has no more than %" PRIu64,
                          in->path, file->data_at, header_most);
    }
    if (!err) {
        err = input_append(in, 0, (size_t)file->data_at, &start, why);
    }
    if (!err) {
        err = parse_start(buf_span(&start), in->size, in->path, &file->found, &header, why);
    }
    if (!err) {
        file->metadata = json_incref(json_object_get(header, METADATA_KEY));
    }
    json_decref(header);
    buf_release(&start);
    return err;
}

/* Where each tensor of the wanted shape is among the file's. */
static int place_tensors(struct safetensors_file *file, struct cairn_problem *why)
{
    file->at = size_alloc_array(file->shape->n_tensors + 1, sizeof *file->at); /* never of size 0 */
    if (!file->at) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "%s: no memory", file->in.path);
    }
    for (size_t t = 0; t < file->shape->n_tensors; t++) {
        file->at[t] = (size_t)(model_shape_named(&file->found, file->shape->tensors[t].name) -
                               file->found.tensors);
    }
    return 0;
}

int safetensors_open_input(struct safetensors_file *file, const struct input *in,
                           const struct model_shape *shape, uint64_t header_most,
                           struct cairn_problem *why)
{
    *file = (struct safetensors_file){.in = *in};
    int err = read_start(file, header_most, why);

    file->shape = shape ? shape : &file->found;
    if (!err && shape) {
        err = model_shape_same(shape, &file->found, in->path, why);
    }
    if (!err) {
        err = place_tensors(file, why);
    }
    if (err) {
        safetensors_close(file);
    }
    return err;
}

int safetensors_open(struct safetensors_file *file, const char *path,
                     const struct model_shape *shape, uint64_t header_most,
                     struct cairn_problem *why)
{
    struct input in;
    *file = (struct safetensors_file){0};
    int err = input_open(&in, path, why);

    if (err) {
        return err;
    }
    err = safetensors_open_input(file, &in, shape, header_most, why);
    file->owns = !err;
    if (err) {
        input_close(&in);
    }
    return err;
}

int safetensors_read_floats(const struct input *in, uint64_t at, enum model_dtype dtype, size_t n,
                            float *out, struct cairn_problem *why)
{
    const size_t size = model_dtype_size(dtype);
    uint8_t bytes[BLOCK * sizeof(double)];
    int err = 0;

    if (dtype == MODEL_F32) {
        return input_read(in, at, out, n * size, why);
    }
    for (size_t done = 0, here; !err && done < n; done += here) {
        here = n - done < BLOCK ? n - done : BLOCK;
        err = input_read(in, at + size * (uint64_t)done, bytes, here * size, why);
        if (!err) {
            model_dtype_to_floats(dtype, bytes, here, out + done);
        }
    }
    return err;
}

int safetensors_read_run(const struct safetensors_file *file, size_t first, size_t n, float *out,
                         struct cairn_problem *why)
{
    int err = 0;

    for (size_t done = 0, here; !err && done < n; done += here) {
        const struct model_tensor *tensor = model_shape_find(file->shape, first + done);
        const size_t inside = first + done - tensor->offset;

        const struct model_tensor *in_file =
            &file->found.tensors[file->at[tensor - file->shape->tensors]];
        const uint64_t byte = in_file->byte + model_dtype_size(in_file->dtype) * (uint64_t)inside;

        here = tensor->count - inside < n - done ? tensor->count - inside : n - done;
        err = safetensors_read_floats(&file->in, file->data_at + byte, in_file->dtype, here,
                                      out + done, why);
    }
    return err;
}

int safetensors_read_words_of(const struct safetensors_file *file,
                              const struct model_tensor *tensor, uint64_t *words,
                              struct cairn_problem *why)
{
    const struct model_tensor *in_file = model_shape_named(&file->found, tensor->name);
    const size_t size = model_dtype_size(tensor->dtype);
    uint8_t bytes[BLOCK * sizeof *words];
    int err = 0;

    for (size_t at = 0, n; !err && at < tensor->count; at += n) {
        n = tensor->count - at < BLOCK ? tensor->count - at : BLOCK;
        err = input_read(&file->in, file->data_at + in_file->byte + size * (uint64_t)at, bytes,
                         n * size, why);
        if (!err && !model_dtype_to_words(tensor->dtype, bytes, n, words + at)) {
            err = problem_set(why, CAIRN_ERR_DATA, hint_broken,
                              "%s: tensor \"%s\" of dtype %s has a value that is neither 0 nor 1",
                              file->in.path, tensor->name, model_dtype_name(tensor->dtype));
        }
    }
    return err;
}

int safetensors_read_words(const struct safetensors_file *file, uint64_t *words,
                           struct cairn_problem *why)
{
    int err = 0;

    for (size_t t = 0; !err && t < file->shape->n_carried; t++) {
        const struct model_tensor *tensor = &file->shape->carried[t];
        err = safetensors_read_words_of(file, tensor, words + tensor->offset, why);
    }
    return err;
}

void safetensors_close(struct safetensors_file *file)
{
    if (file->owns) {
        input_close(&file->in);
    }
    model_shape_release(&file->found);
    free(file->at);
    json_decref(file->metadata);
    *file = (struct safetensors_file){0};
}

int safetensors_read(const char *path, const struct model_shape *shape, float *model,
                     struct cairn_problem *why)
{
    struct safetensors_file file;
    int err = safetensors_open(&file, path, shape, 0, why);

    if (err) {
        return err;
    }
    err = safetensors_read_run(&file, 0, shape->n_params, model, why);
    if (err && shape->n_params > 0) {
        memset(model, 0, shape->n_params * sizeof *model);
    }
    safetensors_close(&file);
    return err;
}
