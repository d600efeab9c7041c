/* SPDX-License-Identifier: Apache-2.0 */
/* cairn inspect: tell what a file is, by its content, and what is in it. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "digest.h"
#include "file.h"
#include "frame.h"
#include "inspect_seal.h"
#include "json.h"
#include "model_file.h"
#include "model_message.h"
#include "secret.h"
#include "secret_file.h"
#include "table.h"
#include "update_file.h"

/* Of what is read whole: batches, model messages, JSON, what TenSEAL writes. */
static const size_t largest_file = (size_t)8 << 30;

static void add_digest(json_t *document, const char *key, const void *bytes, size_t size)
{
    uint8_t digest[DIGEST_SIZE];
    char hex[DIGEST_HEX_SIZE];
    digest_of(bytes, size, digest);
    digest_hex(digest, DIGEST_SIZE, hex);
    (void)json_object_set_new(document, key, json_string(hex));
}

static void add_hex(json_t *document, const char *key, const uint8_t *bytes, size_t size)
{
    char hex[2 * WIRE_EXPERIMENT + 1];
    digest_hex(bytes, size < WIRE_EXPERIMENT ? size : WIRE_EXPERIMENT, hex);
    (void)json_object_set_new(document, key, json_string(hex));
}

static json_t *describe_tensor(const struct model_tensor *t)
{
    json_t *dims = json_array();
    for (unsigned d = 0; d < t->n_dims; d++) {
        (void)json_array_append_new(dims, json_integer((json_int_t)t->dims[d]));
    }
    return json_pack("{s:s, s:s, s:o, s:I}", "name", t->name, "dtype", model_dtype_name(t->dtype),
                     "shape", dims, "count", (json_int_t)t->count);
}

static int inspect_batch(struct span bytes, json_t *document, struct cairn_problem *why)
{
    struct wire_batch batch;
    struct wire_frame frame;
    int error = wire_batch_read(bytes, &batch, why);
    if (error) {
        return error;
    }
    add_hex(document, "experiment", batch.context.experiment, WIRE_EXPERIMENT);
    (void)json_object_set_new(document, "round", json_integer((json_int_t)batch.context.round));
    (void)json_object_set_new(document, "origin", json_integer((json_int_t)batch.origin));
    json_t *frames = json_array();
    int more;
    while ((more = wire_batch_next(&batch, &frame, why)) == 1) {
        (void)json_array_append_new(frames, json_pack("{s:I, s:I, s:I, s:I, s:I}", "index",
                                                      (json_int_t)frame.index, "contributors",
                                                      (json_int_t)frame.contributors, "weight",
                                                      (json_int_t)frame.weight, "parameter_set",
                                                      (json_int_t)frame.params_id, "payload_bytes",
                                                      (json_int_t)frame.payload.size));
    }
    (void)json_object_set_new(document, "frames", frames);
    return more;
}

static int inspect_message(struct span bytes, json_t *document, struct cairn_problem *why)
{
    struct wire_model m;
    int error = wire_model_read(bytes, &m, why);
    if (error) {
        return error;
    }
    add_hex(document, "experiment", m.experiment, WIRE_EXPERIMENT);
    (void)json_object_set_new(document, "round", json_integer((json_int_t)m.round));
    (void)json_object_set_new(document, "final", json_boolean(m.flags & WIRE_MODEL_FINAL));
    (void)json_object_set_new(document, "tensor_count", json_integer((json_int_t)m.tensors));
    (void)json_object_set_new(document, "params", json_integer((json_int_t)m.parameters));
    (void)json_object_set_new(document, "largest_samples",
                              json_integer((json_int_t)m.largest_samples));
    (void)json_object_set_new(document, "first", json_integer((json_int_t)m.first));
    (void)json_object_set_new(document, "count", json_integer((json_int_t)m.count));
    (void)json_object_set_new(document, "next_frame", json_integer((json_int_t)m.next_frame));
    (void)json_object_set_new(document, "deadline_ms", json_integer((json_int_t)m.deadline_ms));
    add_digest(document, m.count == m.parameters ? "model_digest" : "piece_digest", m.weights,
               (size_t)m.count * sizeof(float));
    return 0;
}

static void set_kind(json_t *document, const char *kind)
{
    (void)json_object_set_new(document, "kind", json_string(kind));
}

/* A JSON file: a run's summary, a node's log, or a config, which gets its full check. */
static int inspect_json(struct cli *cli, const char *path, struct span bytes, json_t *document,
                        struct cairn_problem *why)
{
    struct cairn_problem ignored;
    json_t *content = cli_config_document(bytes, path, &ignored);
    int error = 0;
    if (json_object_get(content, "model_digest")) {
        set_kind(document, "summary of a run");
        (void)json_object_update(document, content);
    } else if (json_object_get(content, "iteration")) {
        set_kind(document, "log of a node");
        (void)json_object_update(document, content);
    } else if (inspect_note(content, document)) {
        set_kind(document, "note beside a file of SEAL or TenSEAL");
    } else {
        struct fed_config config = {0};
        set_kind(document, "config");
        error = cli_check_config(cli, path, bytes, &config, why);
        if (!error) {
            (void)json_object_update_new(document,
                                         json_pack("{s:s, s:s, s:I, s:I, s:I}", "experiment",
                                                   config.settings.experiment, "profile",
                                                   he_profile_name(config.settings.profile),
                                                   "rounds", (json_int_t)config.iterations,
                                                   "clients", (json_int_t)config.tree.n_clients,
                                                   "switches", (json_int_t)config.tree.n_switches));
            fed_config_release(&config);
        }
    }
    json_decref(content);
    return error;
}

/* ---- the cryptography on files: read in runs, whatever their size ---- */

static void add_params(json_t *document, const struct he_params *params)
{
    (void)json_object_update_new(
        document, json_pack("{s:s, s:s, s:i, s:I}", "parameters", params->id, "profile",
                            he_profile_name(params->profile), "value_bits", (int)params->value_bits,
                            "most_contributors", (json_int_t)params->max_contributors));
}

static int inspect_public(const char *path, json_t *document, struct cairn_problem *why)
{
    struct session session = {0};
    int error = session_read(path, &session, why);
    if (error) {
        return error;
    }
    add_params(document, &session.params);
    (void)json_object_update_new(
        document, json_pack("{s:f, s:I, s:I}", "range", session.range, "largest_samples",
                            (json_int_t)session.largest_samples, "frame_params",
                            (json_int_t)session.frame_params));
    add_hex(document, "nonce", session.nonce, HE_NONCE_SIZE);
    if (session.key != NULL) {
        add_hex(document, "key", session.key_id, HE_KEY_ID_SIZE);
    }
    session_release(&session);
    return 0;
}

/* Which pair it is of, and nothing of the key. */
static int inspect_secret(const char *path, json_t *document, struct cairn_problem *why)
{
    struct he_secret_key *key = NULL;
    uint8_t id[HE_KEY_ID_SIZE];
    int error = secret_file_read(path, &key, id, why);
    if (!error) {
        add_hex(document, "key", id, sizeof id);
    }
    he_secret_key_free(key);
    return error;
}

static json_t *set_members(const struct buf *set)
{
    json_t *members = json_array();
    for (size_t i = 0; i < 8 * set->size; i++) {
        if (set->data[i / 8] >> (i % 8) & 1) {
            (void)json_array_append_new(members, json_integer((json_int_t)i));
        }
    }
    return members;
}

static void describe_update(const struct update_header *h, json_t *document)
{
    add_params(document, &h->params);
    add_hex(document, "nonce", h->nonce, sizeof h->nonce);
    if (h->params.profile != HE_NONE) {
        add_hex(document, "key", h->key_id, sizeof h->key_id);
    }
    (void)json_object_update_new(
        document, json_pack("{s:I, s:I, s:o, s:I, s:I, s:s, s:I, s:I}", "round",
                            (json_int_t)h->round, "contributors", (json_int_t)h->contributors,
                            "members", set_members(&h->set), "samples", (json_int_t)h->weight,
                            "largest_samples", (json_int_t)h->largest_samples, "format",
                            tensor_format_name(h->format), "frames", (json_int_t)h->plan.n_frames,
                            "params", (json_int_t)h->shape.n_params));
    if (h->has_base) {
        add_hex(document, "base", h->base, sizeof h->base);
    }
}

static json_t *describe_tensors(const struct model_shape *shape)
{
    json_t *tensors = json_array();
    for (size_t i = 0; i < shape->n_tensors; i++) {
        (void)json_array_append_new(tensors, describe_tensor(&shape->tensors[i]));
    }
    return tensors;
}

static int inspect_update(const char *path, json_t *document, struct cairn_problem *why)
{
    struct update_file file;
    struct buf work = {0};
    struct wire_frame frame;
    int error = update_file_open(&file, path, why);
    if (error) {
        return error;
    }
    for (uint32_t i = 0; i < file.header.plan.n_frames && !error; i++) {
        error = update_file_frame(&file, i, &work, &frame, why);
    }
    if (!error) {
        describe_update(&file.header, document);
        (void)json_object_set_new(document, "tensors", describe_tensors(&file.header.shape));
    }
    buf_release(&work);
    update_file_close(&file);
    return error;
}

/* Of its floats, as float32. */
static int add_model_digest(json_t *document, const struct safetensors_file *file,
                            struct cairn_problem *why)
{
    enum { RUN = 1 << 14 };
    const size_t n = file->found.n_params;
    struct digest_state state;
    uint8_t digest[DIGEST_SIZE];
    char hex[DIGEST_HEX_SIZE];
    float run[RUN];
    digest_init(&state);
    for (size_t at = 0; at < n; at += RUN) {
        const size_t here = n - at < RUN ? n - at : RUN;
        const int error = safetensors_read_run(file, at, here, run, why);
        if (error) {
            return error;
        }
        digest_update(&state, run, here * sizeof *run);
    }
    digest_final(&state, digest);
    digest_hex(digest, DIGEST_SIZE, hex);
    (void)json_object_set_new(document, "model_digest", json_string(hex));
    return 0;
}

/* Tensors of floats and of integers, as they are in the file. */
static json_t *describe_all_tensors(const struct model_shape *shape)
{
    json_t *tensors = json_array();
    const struct model_tensor **order = model_shape_order(shape);
    for (size_t i = 0; order != NULL && i < shape->n_tensors + shape->n_carried; i++) {
        (void)json_array_append_new(tensors, describe_tensor(order[i]));
    }
    free(order);
    return tensors;
}

static int inspect_model(const char *path, json_t *document, struct cairn_problem *why)
{
    struct safetensors_file file;
    int error = model_file_open(&file, path, NULL, why);
    if (!error) {
        (void)json_object_set_new(document, "params",
                                  json_integer((json_int_t)file.found.n_params));
        error = add_model_digest(document, &file, why);
    }
    if (!error && file.metadata != NULL) {
        (void)json_object_set(document, "metadata", file.metadata);
    }
    if (!error) {
        (void)json_object_set_new(document, "tensors", describe_all_tensors(&file.found));
    }
    safetensors_close(&file);
    return error;
}

enum { START = 9 }; /* bytes that tell a file's kind */

struct kind {
    const char *magic;
    const char *name;
    int (*inspect)(const char *path, json_t *document, struct cairn_problem *why);
};

/* By the first bytes. @return NULL: of another kind, or shorter */
static const struct kind *kind_of(const uint8_t start[START])
{
    static const struct kind kinds[] = {
        {"CRNS", "public file of a key pair", inspect_public},
        {"CRNU", "update file", inspect_update},
        {"CRNK", "secret key", inspect_secret},
        {"\x93NUMPY", ".npy array", inspect_model},
        {"PK\x03\x04", ".npz archive", inspect_model},
        {"\x5e\xa1\x10", "SEAL objects", inspect_seal},
    };
    static const struct kind safetensors = {NULL, "safetensors model", inspect_model};
    static const uint8_t header[] = {0, 0, 0, '{'}; /* behind the low bytes of the header's length */
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (memcmp(start, kinds[i].magic, strlen(kinds[i].magic)) == 0) {
            return &kinds[i];
        }
    }
    const bool message = memcmp(start, "CRNM", 4) == 0; /* of a model: an id stands there */
    return !message && memcmp(start + START - sizeof header, header, sizeof header) == 0
               ? &safetensors
               : NULL;
}

/* @return false: it is of another kind, and nothing has been done */
static bool inspect_streamed(const char *path, json_t *document, int *error,
                             struct cairn_problem *why)
{
    struct input in;
    uint8_t start[START] = {0};
    if (input_open(&in, path, NULL) != 0) {
        return false;
    }
    const bool read = in.size >= sizeof start && input_read(&in, 0, start, sizeof start, NULL) == 0;
    const uint64_t size = in.size;
    input_close(&in);
    const struct kind *kind = read ? kind_of(start) : NULL;
    if (kind == NULL) {
        return false;
    }
    (void)json_object_set_new(document, "bytes", json_integer((json_int_t)size));
    set_kind(document, kind->name);
    *error = kind->inspect(path, document, why);
    return true;
}

static bool begins(struct span bytes, const char *magic)
{
    const size_t n = strlen(magic);
    return bytes.size >= n && memcmp(bytes.data, magic, n) == 0;
}

static bool looks_like_json(struct span bytes)
{
    size_t i = begins(bytes, "\xef\xbb\xbf") ? 3 : 0;
    while (i < bytes.size && memchr(" \t\r\n", bytes.data[i], 4)) {
        i++;
    }
    return i < bytes.size && bytes.data[i] == '{';
}

static int inspect(struct cli *cli, const char *path, struct span bytes, json_t *document,
                   struct cairn_problem *why)
{
    if (bytes.size == 0) {
        return problem_set(why, CAIRN_ERR_DATA, NULL, "%s is empty", path);
    }
    if (begins(bytes, "CRNB")) {
        set_kind(document, "batch of frames");
        return inspect_batch(bytes, document, why);
    }
    if (begins(bytes, "CRNM")) {
        set_kind(document, "model message");
        return inspect_message(bytes, document, why);
    }
    if (looks_like_json(bytes)) {
        return inspect_json(cli, path, bytes, document, why);
    }
    if (inspect_tenseal(path, bytes, document)) {
        return 0;
    }
    return problem_set(
        why, CAIRN_ERR_DATA,
        "known are: safetensors, .npy, .npz, keys, update files, config.json, summary.json, node logs, "
        "batches, model messages, SEAL objects, TenSEAL contexts and vectors",
        "%s is none of the files that cairn writes or reads", path);
}

static void print_table(const char *name, const json_t *list)
{
    const char *key;
    json_t *value;
    struct table table = {.columns = json_object_size(json_array_get(list, 0))};
    printf("\n%s\n", name);
    json_object_foreach(json_array_get(list, 0), key, value)
    {
        table_cell(&table, "%s", key);
    }
    size_t k;
    const json_t *row;
    json_array_foreach(list, k, row)
    {
        json_object_foreach((json_t *)(uintptr_t)row, key, value)
        {
            char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
            table_cell(&table, "%s",
                       json_is_string(value) ? json_string_value(value)
                       : text                ? text
                                             : "?");
            free(text);
        }
    }
    table_print(&table, stdout);
}

static void print_document(const json_t *document)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)document, key, value)
    {
        if (json_is_object(json_array_get(value, 0))) {
            print_table(key, value);
            continue;
        }
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        printf("%-30s ", key);
        cli_print_clean(stdout, json_is_string(value) ? json_string_value(value)
                                : text                ? text
                                                      : "");
        printf("\n");
        free(text);
    }
}

int cmd_inspect(struct cli *cli, int argc, char **argv, struct cairn_problem *why)
{
    int error = cli_parse(cli, &argc, &argv, NULL, 0, 1, 1, why);
    if (error) {
        return error;
    }
    struct buf bytes = {0};
    json_t *document = json_pack("{s:s}", "file", argv[0]);
    if (document == NULL) {
        return cli_no_memory(why);
    }
    if (!inspect_streamed(argv[0], document, &error, why)) {
        error = file_read(argv[0], largest_file, &bytes, why);
        if (!error) {
            (void)json_object_set_new(document, "bytes", json_integer((json_int_t)bytes.size));
            error = inspect(cli, argv[0], buf_span(&bytes), document, why);
        }
    }
    if (!error && cli->json) {
        error = cli_print_json(cli, json_incref(document), why);
    } else if (!error) {
        print_document(document);
    }
    json_decref(document);
    if (bytes.data != NULL) {
        secret_wipe(bytes.data, bytes.size); /* it may be a context with a secret key */
    }
    buf_release(&bytes);
    return error;
}
