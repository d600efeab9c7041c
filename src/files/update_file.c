/* SPDX-License-Identifier: Apache-2.0 */
/* Update files: their header, and their frames one at a time. */
#include "update_file.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "problem.h"
#include "sizes.h"

static const struct container_kind kind = {"CRNU", 2, "an update file"};

void update_header_release(struct update_header *header)
{
    model_shape_release(&header->shape);
    free(header->steps);
    header->steps = NULL;
    buf_release(&header->set);
}

int update_header_plan(struct update_header *header, struct cairn_problem *why)
{
    struct cairn_problem inner;
    /* a file holds the whole model at once: one piece */
    if (fed_plan_init(&header->plan, &header->params, header->shape.n_params, header->frame_params,
                      header->params.max_contributors, SIZE_MAX, &inner) != 0) {
        return problem_set(why, CAIRN_ERR_DATA, NULL, "%s", inner.what);
    }
    return 0;
}

struct wire_context update_context(const struct update_header *header)
{
    struct wire_context context = {.round = header->round, .stream = WIRE_STREAM_UPDATE};
    memcpy(context.experiment, header->nonce, WIRE_EXPERIMENT);
    return context;
}

static size_t frame_size(const struct fed_plan *plan, uint32_t index)
{
    return wire_frame_size(he_payload_bytes(&plan->he, fed_plan_count(plan, index)),
                           fed_plan_set_bytes(plan));
}

/* At most 2^32 frames of at most SESSION_MOST_FRAME_PARAMS times 8 bytes: below 2^58. */
uint64_t update_body_size(const struct update_header *header)
{
    const uint32_t last = header->plan.n_frames - 1;
    return (uint64_t)last * frame_size(&header->plan, 0) + frame_size(&header->plan, last);
}

/* ---- writing ---- */

static json_t *tensor_json(const struct model_tensor *tensor, double step)
{
    json_t *dims = json_array();
    for (unsigned d = 0; d < tensor->n_dims; d++) {
        if (json_array_append_new(dims, json_integer((json_int_t)tensor->dims[d])) != 0) {
            json_decref(dims);
            return NULL;
        }
    }
    return json_pack("{s:s, s:s, s:o, s:f}", "name", tensor->name, "dtype", "F32", "shape", dims,
                     "step", step);
}

json_t *update_header_json(const struct update_header *header)
{
    json_t *document = session_params_json(&header->params);
    json_t *tensors = json_array();
    bool ok = document != NULL && tensors != NULL;
    for (size_t t = 0; ok && t < header->shape.n_tensors; t++) {
        ok = json_array_append_new(tensors, tensor_json(&header->shape.tensors[t],
                                                        header->steps[t])) == 0;
    }
    json_t *more = json_pack(
        "{s:o, s:o, s:I, s:I, s:I, s:s, s:o, s:I, s:I, s:o, s:O}", "nonce",
        container_hex_json(header->nonce, HE_NONCE_SIZE), "key",
        container_hex_json(header->key_id, HE_KEY_ID_SIZE), "round", (json_int_t)header->round,
        "largest_samples", (json_int_t)header->largest_samples, "frame_params",
        (json_int_t)header->frame_params, "format", tensor_format_name(header->format), "base",
        header->has_base ? container_hex_json(header->base, DIGEST_SIZE) : json_null(),
        "contributors", (json_int_t)header->contributors, "weight", (json_int_t)header->weight,
        "set", container_hex_json(header->set.data, header->set.size), "tensors", tensors);
    ok = ok && more != NULL && json_object_update(document, more) == 0;
    json_decref(more);
    json_decref(tensors);
    if (!ok) {
        json_decref(document);
        return NULL;
    }
    return document;
}

int update_header_write(const struct update_header *header, struct file_draft *draft,
                        struct cairn_problem *why)
{
    struct buf bytes = {0};
    json_t *document = update_header_json(header);
    int error = document == NULL
                    ? CAIRN_ERR_NO_MEMORY
                    : container_header(&kind, document, update_body_size(header), &bytes);
    if (error) {
        problem_set(why, error, "tensor names must be UTF-8",
                    "%s: cannot write the list of tensors", draft->path);
    } else {
        error = file_draft_write(draft, bytes.data, bytes.size, why);
    }
    json_decref(document);
    buf_release(&bytes);
    return error;
}

/* ---- reading ---- */

static int read_tensor(const json_t *tensor, struct update_header *header, const char *path,
                       struct cairn_problem *why)
{
    const char *name = json_string_value(json_object_get(tensor, "name"));
    const char *dtype = json_string_value(json_object_get(tensor, "dtype"));
    const json_t *shape = json_object_get(tensor, "shape");
    const double step = json_number_value(json_object_get(tensor, "step"));
    uint64_t dims[MODEL_MAX_DIMS] = {0};
    struct cairn_problem inner;
    const size_t n_dims = json_array_size(shape);
    if (name == NULL || dtype == NULL || strcmp(dtype, "F32") != 0 || !json_is_array(shape) ||
        n_dims > MODEL_MAX_DIMS || !isnormal(step) || step < 0) {
        return container_bad(path, "tensors", why);
    }
    for (size_t d = 0; d < n_dims; d++) {
        const json_t *size = json_array_get(shape, d);
        if (!json_is_integer(size) || json_integer_value(size) < 0) {
            return container_bad(path, "tensors", why);
        }
        dims[d] = (uint64_t)json_integer_value(size);
    }
    const size_t at = header->shape.n_tensors;
    if (at > 0 && strcmp(header->shape.tensors[at - 1].name, name) >= 0) {
        return container_bad(path, "tensors", why); /* in the order of names, or not one of ours */
    }
    if (model_shape_add(&header->shape, name, dims, (unsigned)n_dims, &inner) != 0) {
        return problem_set(why, inner.code, inner.hint, "%s: %s", path, inner.what);
    }
    header->steps[at] = step;
    return 0;
}

static int read_tensors(const json_t *document, struct update_header *header, const char *path,
                        struct cairn_problem *why)
{
    const json_t *tensors = json_object_get(document, "tensors");
    const size_t n = json_array_size(tensors);
    header->steps = size_alloc_array(n + 1, sizeof *header->steps);
    if (header->steps == NULL) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a list of tensors");
    }
    int error = 0;
    for (size_t t = 0; t < n && !error; t++) {
        error = read_tensor(json_array_get(tensors, t), header, path, why);
    }
    if (!error && header->shape.n_params == 0) {
        error = container_bad(path, "tensors", why);
    }
    return error;
}

static int read_format(const json_t *document, struct update_header *header, const char *path,
                       struct cairn_problem *why)
{
    const char *format = json_string_value(json_object_get(document, "format"));
    const json_t *base = json_object_get(document, "base");
    if (format == NULL || (strcmp(format, "npy") != 0 && strcmp(format, "safetensors") != 0)) {
        return container_bad(path, "format", why);
    }
    header->format = strcmp(format, "npy") == 0 ? TENSOR_NPY : TENSOR_SAFETENSORS;
    if (header->format == TENSOR_NPY && header->shape.n_tensors != 1) {
        return container_bad(path, "format", why);
    }
    header->has_base = !json_is_null(base);
    if (header->has_base && container_hex(document, "base", header->base, DIGEST_SIZE) != 0) {
        return container_bad(path, "base", why);
    }
    if (container_hex(document, "nonce", header->nonce, HE_NONCE_SIZE) != 0 ||
        container_hex(document, "key", header->key_id, HE_KEY_ID_SIZE) != 0) {
        return container_bad(path, "nonce", why);
    }
    return 0;
}

/* The set is as long as the plan says, has `contributors` bits, none above the last client. */
static int read_set(const json_t *document, struct update_header *header, const char *path,
                    struct cairn_problem *why)
{
    const size_t size = fed_plan_set_bytes(&header->plan);
    if (buf_reserve(&header->set, size) != 0) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a set of clients");
    }
    if (container_hex(document, "set", header->set.data, size) != 0) {
        return container_bad(path, "set", why);
    }
    header->set.size = size;
    uint32_t members = 0;
    for (size_t i = 0; i < size; i++) {
        members += (uint32_t)__builtin_popcount(header->set.data[i]);
    }
    const unsigned used = header->plan.n_clients % 8;
    if (members != header->contributors || (used != 0 && header->set.data[size - 1] >> used != 0)) {
        return container_bad(path, "set", why);
    }
    return 0;
}

static int read_numbers(const json_t *document, struct update_header *header, const char *path,
                        struct cairn_problem *why)
{
    uint64_t round = 0;
    uint64_t frame_params = 0;
    uint64_t contributors = 0;
    int error = session_number(document, "round", 1, UINT32_MAX, path, &round, why);
    if (!error) {
        error = session_number(document, "largest_samples", 1, SESSION_MOST_SAMPLES, path,
                               &header->largest_samples, why);
    }
    if (!error) {
        error = session_number(document, "frame_params", 1, SESSION_MOST_FRAME_PARAMS, path,
                               &frame_params, why);
    }
    if (!error) {
        error = session_number(document, "contributors", 1, header->params.max_contributors, path,
                               &contributors, why);
    }
    if (!error) {
        error = session_number(document, "weight", 0, header->largest_samples * contributors, path,
                               &header->weight, why);
    }
    header->round = (uint32_t)round;
    header->frame_params = (uint32_t)frame_params;
    header->contributors = (uint32_t)contributors;
    return error;
}

int update_header_parse(const json_t *document, struct update_header *header, const char *path,
                        struct cairn_problem *why)
{
    int error = session_params_read(document, path, &header->params, why);
    if (!error) {
        error = read_numbers(document, header, path, why);
    }
    if (!error) {
        error = read_tensors(document, header, path, why);
    }
    if (!error) {
        error = read_format(document, header, path, why);
    }
    if (!error) {
        error = update_header_plan(header, why);
    }
    return error ? error : read_set(document, header, path, why);
}

int update_file_open(struct update_file *file, const char *path, struct cairn_problem *why)
{
    json_t *document = NULL;
    *file = (struct update_file){.in.fd = -1};
    int error = input_open(&file->in, path, why);
    if (error) {
        return error;
    }
    error = container_read(&file->in, &kind, &document, &file->body_at, why);
    if (!error) {
        error = update_header_parse(document, &file->header, path, why);
    }
    json_decref(document);
    if (!error && update_body_size(&file->header) != file->in.size - file->body_at) {
        error = problem_set(why, CAIRN_ERR_INTEGRITY, "copy the file again",
                            "%s has %" PRIu64 " bytes of frames; its header asks for %" PRIu64,
                            path, file->in.size - file->body_at, update_body_size(&file->header));
    }
    if (error) {
        update_file_close(file);
    }
    return error;
}

void update_file_close(struct update_file *file)
{
    input_close(&file->in);
    update_header_release(&file->header);
}

int update_file_frame(const struct update_file *file, uint32_t index, struct buf *bytes,
                      struct wire_frame *frame, struct cairn_problem *why)
{
    const struct update_header *h = &file->header;
    const size_t size = frame_size(&h->plan, index);
    struct cairn_problem inner = {0};
    buf_clear(bytes);
    int error = input_append(&file->in, file->body_at + (uint64_t)index * frame_size(&h->plan, 0),
                             size, bytes, why);
    if (error) {
        return error;
    }
    struct wire_batch one = {
        .context = update_context(h), .frames = 1, .first_index = index, .rest = buf_span(bytes)};
    struct wire_frame found;
    error = wire_batch_next(&one, &found, &inner);
    if (error == 1) {
        error = fed_plan_check(&h->plan, &found, &inner);
        if (!error) {
            error = fed_plan_check_fields(&h->plan, &found, &inner);
        }
        if (!error && (one.rest.size != 0 || found.contributors != h->contributors ||
                       found.weight != h->weight ||
                       memcmp(found.contributor_set.data, h->set.data, h->set.size) != 0)) {
            error = problem_set(&inner, CAIRN_ERR_INTEGRITY, NULL,
                                "frame %u has other contributors than the header", index);
        }
    }
    if (error) {
        return problem_set(why, CAIRN_ERR_INTEGRITY, "copy the file again", "%s is damaged: %s",
                           file->in.path, inner.what);
    }
    *frame = found;
    return 0;
}

/* ---- do two files belong together? ---- */

static int differ(struct cairn_problem *why, const char *hint, const char *what, const char *a,
                  const char *a_path, const char *b, const char *b_path)
{
    return problem_set(why, CAIRN_ERR_REFUSED, hint, "%s differs: %s in %s, %s in %s", what, a,
                       a_path, b, b_path);
}

enum { SHORT = 8 }; /* bytes that are shown of a nonce or a digest */

static int differ_hex(struct cairn_problem *why, const char *hint, const char *what,
                      const uint8_t *a, const char *a_path, const uint8_t *b, const char *b_path)
{
    char x[2 * SHORT + 1];
    char y[2 * SHORT + 1];
    digest_hex(a, SHORT, x);
    digest_hex(b, SHORT, y);
    return differ(why, hint, what, x, a_path, y, b_path);
}

static int differ_number(struct cairn_problem *why, const char *hint, const char *what, uint64_t a,
                         const char *a_path, uint64_t b, const char *b_path)
{
    char x[24];
    char y[24];
    (void)snprintf(x, sizeof x, "%" PRIu64, a);
    (void)snprintf(y, sizeof y, "%" PRIu64, b);
    return differ(why, hint, what, x, a_path, y, b_path);
}

static int match_steps(const struct update_header *a, const char *a_path,
                       const struct update_header *b, const char *b_path,
                       struct cairn_problem *why)
{
    for (size_t t = 0; t < a->shape.n_tensors; t++) {
        if (a->steps[t] != b->steps[t]) {
            char x[32];
            char y[32];
            (void)snprintf(x, sizeof x, "%.9g", a->steps[t]);
            (void)snprintf(y, sizeof y, "%.9g", b->steps[t]);
            return differ(why, "encrypt with the same --range", "the step of the quantiser", x,
                          a_path, y, b_path);
        }
    }
    return 0;
}

int update_header_match(const struct update_header *a, const char *a_path,
                        const struct update_header *b, const char *b_path,
                        struct cairn_problem *why)
{
    static const char same_file[] = "encrypt both with the same public file";
    if (strcmp(a->params.id, b->params.id) != 0) {
        return differ(why, same_file, "the parameter set", a->params.id, a_path, b->params.id,
                      b_path);
    }
    if (memcmp(a->key_id, b->key_id, sizeof a->key_id) != 0) {
        return differ_hex(why, same_file, "the key", a->key_id, a_path, b->key_id, b_path);
    }
    if (memcmp(a->nonce, b->nonce, sizeof a->nonce) != 0) {
        return differ_hex(why, same_file, "the nonce", a->nonce, a_path, b->nonce, b_path);
    }
    if (a->round != b->round) {
        return differ_number(why, "encrypt with the same --round", "the round", a->round, a_path,
                             b->round, b_path);
    }
    if (a->largest_samples != b->largest_samples) {
        return differ_number(why, "encrypt with the same --largest-samples",
                             "the largest number of samples", a->largest_samples, a_path,
                             b->largest_samples, b_path);
    }
    if (a->frame_params != b->frame_params) {
        return differ_number(why, same_file, "the size of frames", a->frame_params, a_path,
                             b->frame_params, b_path);
    }
    if (a->format != b->format) {
        return differ(why, "encrypt all from the same format", "the format of the models",
                      tensor_format_name(a->format), a_path, tensor_format_name(b->format),
                      b_path);
    }
    if (a->has_base != b->has_base) {
        return problem_set(why, CAIRN_ERR_REFUSED, "encrypt all with --base, or none",
                           "%s holds differences from a base, %s whole models",
                           a->has_base ? a_path : b_path, a->has_base ? b_path : a_path);
    }
    if (a->has_base && memcmp(a->base, b->base, sizeof a->base) != 0) {
        return differ_hex(why, "encrypt with the same --base", "the base model", a->base, a_path,
                          b->base, b_path);
    }
    int error = tensor_same_shape(&a->shape, a_path, &b->shape, b_path, why);
    return error ? error : match_steps(a, a_path, b, b_path, why);
}
