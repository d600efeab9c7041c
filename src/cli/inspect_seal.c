/* SPDX-License-Identifier: Apache-2.0 */
/* cairn inspect, for files of Microsoft SEAL and TenSEAL. */
#include "inspect_seal.h"

#include <string.h>

#include "digest.h"
#include "files_format.h"
#include "input.h"
#include "problem.h"
#include "seal_look.h"
#include "secret.h"
#include "tenseal.h"

/* The longest object that any parameters allow, a ciphertext of 16 polynomials: 16 * 32768 * 64
 * words of 8 bytes. */
static const uint64_t largest_object = (UINT64_C(16) * SEAL_MAX_DEGREE * SEAL_MAX_PRIMES + 64) * 8;

static void add_number(json_t *row, const char *key, uint64_t value)
{
    (void)json_object_set_new(row, key, json_integer((json_int_t)value));
}

/* All rows have the same members: they become a table. */
static json_t *describe(const struct seal_look *look, uint64_t bytes)
{
    static const char *const compressions[] = {"none", "zlib", "zstd"};
    char version[24];
    char id[17] = "";
    (void)snprintf(version, sizeof version, "%u.%u", look->major, look->minor);
    if (look->kind != SEAL_KIND_PARAMS) {
        digest_hex(look->id, 8, id);
    }
    return json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:f, s:s}", "object",
                     seal_kind_name(look->kind), "version", version, "compression",
                     compressions[look->compression], "bytes", (json_int_t)bytes, "degree",
                     (json_int_t)look->degree, "primes", (json_int_t)look->primes, "scale",
                     look->scale, "parms_id", id);
}

/* An object that looks like the one before is counted with it. */
static int add_row(json_t *rows, json_t *row)
{
    json_t *last = json_array_get(rows, json_array_size(rows) - 1);
    json_int_t count = 0;
    if (row == NULL) {
        return CAIRN_ERR_NO_MEMORY;
    }
    if (last != NULL) {
        count = json_integer_value(json_object_get(last, "count"));
        add_number(row, "count", (uint64_t)count);
        if (json_equal(last, row)) {
            json_decref(row);
            add_number(last, "count", (uint64_t)count + 1);
            return 0;
        }
    }
    add_number(row, "count", 1);
    return json_array_append_new(rows, row) == 0 ? 0 : CAIRN_ERR_NO_MEMORY;
}

static int look_at(const struct input *in, uint64_t *at, size_t number, struct buf *work,
                   json_t *rows, struct cairn_problem *why)
{
    uint8_t header[SEAL_LOOK_HEADER];
    struct cairn_problem inner = {0};
    struct seal_look look;
    size_t consumed = 0;
    int error = input_read(in, *at, header, sizeof header, why);
    const uint64_t size = error ? 0 : seal_look_size(header);
    if (!error && (size == 0 || size > in->size - *at || size > largest_object)) {
        return problem_set(why, CAIRN_ERR_DATA, "copy the file again",
                           "%s: object %zu is no SEAL object, or is cut off", in->path, number);
    }
    buf_clear(work);
    if (!error) {
        error = input_append(in, *at, (size_t)size, work, why);
    }
    if (error) {
        return error;
    }
    error = seal_look(buf_span(work), &consumed, &look, &inner);
    if (error) {
        return problem_set(why, CAIRN_ERR_DATA, inner.hint, "%s: object %zu: %s", in->path, number,
                           inner.what);
    }
    *at += consumed;
    error = add_row(rows, describe(&look, size));
    return error ? problem_set(why, error, NULL, "no memory for a list of objects") : 0;
}

/* What the note beside the file says. */
static void add_note(const char *path, enum files_format format, json_t *document)
{
    json_t *note = NULL;
    enum seal_version version;
    uint8_t digest[DIGEST_SIZE];
    bool has_digest = false;
    if (note_read(path, format, &note, &version, digest, &has_digest, NULL) == 0) {
        (void)inspect_note(note, document);
        json_decref(note);
    }
}

int inspect_seal(const char *path, json_t *document, struct cairn_problem *why)
{
    struct input in;
    struct buf work = {0};
    json_t *rows = json_array();
    uint64_t at = 0;
    size_t number = 0;
    int error = input_open(&in, path, why);
    if (error) {
        json_decref(rows);
        return error;
    }
    while (at < in.size && !error) {
        error = look_at(&in, &at, number++, &work, rows, why);
    }
    if (work.data != NULL) {
        secret_wipe(work.data, work.size); /* it may be a secret key */
    }
    buf_release(&work);
    input_close(&in);
    if (error) {
        json_decref(rows);
        return error;
    }
    add_number(document, "objects", number);
    add_note(path, FILES_SEAL, document);
    (void)json_object_set_new(document, "seal", rows);
    return 0;
}

static void describe_context(const struct tenseal_context *c, json_t *document)
{
    struct seal_params params;
    if (c->params.size != 0 && seal_params_read(c->params, NULL, &params, NULL) == 0) {
        add_number(document, "degree", params.degree);
        add_number(document, "primes", params.primes);
    }
    (void)json_object_update_new(
        document, json_pack("{s:b, s:b, s:f}", "public_key", (int)(c->public_key.size != 0),
                            "secret_key", (int)(c->secret_key.size != 0), "scale", c->scale));
}

static void describe_vector(const struct tenseal_vector *v, json_t *document)
{
    uint64_t values = 0;
    for (size_t i = 0; i < v->chunks; i++) {
        values += v->sizes[i];
    }
    add_number(document, "values", values);
    add_number(document, "ciphertexts", v->chunks);
    (void)json_object_set_new(document, "scale", json_real(v->scale));
}

bool inspect_tenseal(const char *path, struct span bytes, json_t *document)
{
    struct tenseal_vector vector = {0};
    struct tenseal_context context = {0};
    const char *kind = NULL;
    if (tenseal_vector_read(bytes, &vector, NULL) == 0) {
        kind = "TenSEAL CKKSVector";
        describe_vector(&vector, document);
        tenseal_vector_release(&vector);
    } else if (tenseal_context_read(bytes, &context, NULL) == 0) {
        kind = context.secret_key.size != 0 ? "TenSEAL context with its secret key"
                                            : "TenSEAL context";
        describe_context(&context, document);
    }
    if (kind != NULL) {
        (void)json_object_set_new(document, "kind", json_string(kind));
        add_note(path, FILES_TENSEAL, document);
    }
    return kind != NULL;
}

bool inspect_note(const json_t *note, json_t *document)
{
    static const char *const told[] = {"parameters",   "key",     "round",  "contributors",
                                       "weight",       "base",    "format", "most_contributors",
                                       "largest_samples", "range"};
    const char *file = json_string_value(json_object_get(note, "file"));
    if (file == NULL || json_object_get(note, "seal_version") == NULL) {
        return false;
    }
    for (size_t i = 0; i < sizeof told / sizeof told[0]; i++) {
        json_t *member = json_object_get(note, told[i]);
        if (member != NULL) {
            (void)json_object_set(document, told[i], member);
        }
    }
    return true;
}
