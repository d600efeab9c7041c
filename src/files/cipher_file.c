/* SPDX-License-Identifier: Apache-2.0 */
/* Files of SEAL ciphertexts, bare or in TenSEAL's vectors: see cipher_file.h. */
#include "cipher_file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "input.h"
#include "problem.h"
#include "seal_look.h"
#include "sizes.h"

/* One protocol buffer in memory: 2^28 values, and below what protobuf itself allows. */
static const uint64_t largest_vector = (UINT64_C(1) << 31) - 1;
enum { RUN = 1 << 20 }; /* bytes that are digested at a time */

static int no_memory(struct cairn_problem *why)
{
    return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a file of ciphertexts");
}

double cipher_unit(enum files_format format, const struct update_header *header)
{
    return seal_codec_unit(format, header->steps[0], header->largest_samples);
}

size_t cipher_count(const struct update_header *header)
{
    return size_ceil_div(header->shape.n_params, header->params.chunk_params);
}

/* ---- walking ---- */

static int new_extents(struct cipher_file *f, size_t n, struct cairn_problem *why)
{
    f->at = size_alloc_array(n, sizeof *f->at);
    f->sizes = size_alloc_array(n, sizeof *f->sizes);
    f->n = n;
    return f->at == NULL || f->sizes == NULL ? no_memory(why) : 0;
}

static int walk_object(struct cipher_file *f, const struct input *in, size_t i, uint64_t at,
                       size_t longest, struct cairn_problem *why)
{
    uint8_t header[SEAL_LOOK_HEADER];
    if (in->size - at < sizeof header) {
        return problem_set(why, CAIRN_ERR_DATA, "copy the file again",
                           "%s: object %zu of %zu: the file ends before it does", in->path, i,
                           f->n);
    }
    int error = input_read(in, at, header, sizeof header, why);
    if (error) {
        return error;
    }
    const uint64_t size = seal_look_size(header);
    if (size == 0 || size > longest) {
        return problem_set(why, CAIRN_ERR_DATA, "SEAL ciphertexts, one after the other, are wanted",
                           "%s: object %zu: no SEAL ciphertext of these parameters", in->path, i);
    }
    if (size > in->size - at) {
        return problem_set(why, CAIRN_ERR_DATA, "copy the file again",
                           "%s: object %zu of %zu is cut off", in->path, i, f->n);
    }
    f->at[i] = at;
    f->sizes[i] = (size_t)size;
    return 0;
}

static int walk_seal(struct cipher_file *f, const struct input *in, size_t longest, size_t n,
                     struct cairn_problem *why)
{
    uint64_t at = 0;
    int error = new_extents(f, n, why);
    for (size_t i = 0; i < n && !error; i++) {
        error = walk_object(f, in, i, at, longest, why);
        at += error ? 0 : f->sizes[i];
    }
    if (!error && at != in->size) {
        error = problem_set(why, CAIRN_ERR_DATA, "is it of another model than its note?",
                            "%s: %" PRIu64 " bytes follow the %zu objects that there must be",
                            in->path, in->size - at, n);
    }
    return error;
}

/* Where the vector's ciphertexts lie, which hold `full` values each but for the last. */
static int walk_vector(struct cipher_file *f, const struct input *in, struct span bytes,
                       size_t full, size_t n, struct cairn_problem *why)
{
    struct tenseal_vector v = {0};
    struct cairn_problem inner = {0};
    int error = tenseal_vector_read(bytes, &v, &inner);
    if (error) {
        return problem_set(why, error == CAIRN_ERR_MALFORMED ? CAIRN_ERR_DATA : error,
                           "CKKSVector.serialize() writes such a file", "%s: %s", in->path,
                           inner.what);
    }
    if (n != 0 && v.chunks != n) {
        error = problem_set(why, CAIRN_ERR_DATA, "is it of another model?",
                            "%s: %zu ciphertexts; there must be %zu", in->path, v.chunks, n);
    } else {
        error = new_extents(f, v.chunks, why);
    }
    for (size_t i = 0; i < v.chunks && !error; i++) {
        f->at[i] = (uint64_t)(v.ciphertexts[i].data - bytes.data);
        f->sizes[i] = v.ciphertexts[i].size;
        f->values += v.sizes[i];
        if (v.sizes[i] > full || (i + 1 < v.chunks && v.sizes[i] != full)) {
            error = problem_set(why, CAIRN_ERR_REFUSED,
                                "encrypt the flattened model as one CKKSVector",
                                "%s: object %zu holds %" PRIu32
                                " values; all but the last hold %zu", in->path, i, v.sizes[i],
                                full);
        }
    }
    tenseal_vector_release(&v);
    return error;
}

static int walk_tenseal(struct cipher_file *f, const struct input *in, size_t full, size_t n,
                        struct cairn_problem *why)
{
    struct buf bytes = {0};
    if (in->size > largest_vector) {
        return problem_set(why, CAIRN_ERR_DATA, NULL, "%s is too long for one protocol buffer",
                           in->path);
    }
    int error = input_append(in, 0, (size_t)in->size, &bytes, why);
    if (!error) {
        error = walk_vector(f, in, buf_span(&bytes), full, n, why);
    }
    buf_release(&bytes);
    return error;
}

static int digest_file(const struct input *in, uint8_t out[DIGEST_SIZE], struct cairn_problem *why)
{
    struct digest_state state;
    struct buf run = {0};
    int error = 0;
    digest_init(&state);
    for (uint64_t at = 0; at < in->size && !error; at += RUN) {
        const size_t size = in->size - at < RUN ? (size_t)(in->size - at) : RUN;
        buf_clear(&run);
        error = input_append(in, at, size, &run, why);
        if (!error) {
            digest_update(&state, run.data, run.size);
        }
    }
    digest_final(&state, out);
    buf_release(&run);
    return error;
}

int cipher_file_walk(struct cipher_file *file, const char *path, enum files_format format,
                     const struct seal_codec *codec, size_t n, struct cairn_problem *why)
{
    struct cipher_file f = {.path = path};
    struct input in;
    int error = input_open(&in, path, why);
    if (error) {
        return error;
    }
    f.size = in.size;
    error = format == FILES_SEAL
                ? walk_seal(&f, &in, seal_codec_longest(&codec->params), n, why)
                : walk_tenseal(&f, &in, codec->params.chunk_params, n, why);
    if (!error) {
        error = digest_file(&in, f.digest, why);
    }
    input_close(&in);
    if (error) {
        cipher_file_release(&f);
        return error;
    }
    *file = f;
    return 0;
}

void cipher_file_release(struct cipher_file *file)
{
    free(file->at);
    free(file->sizes);
    *file = (struct cipher_file){0};
}

int cipher_file_match(const struct cipher_file *file, const uint8_t digest[DIGEST_SIZE],
                      struct cairn_problem *why)
{
    if (memcmp(file->digest, digest, DIGEST_SIZE) == 0) {
        return 0;
    }
    return problem_set(why, CAIRN_ERR_INTEGRITY, "copy both files again",
                       "%s is not the file that its note, %s.json, is about, or is damaged",
                       file->path, file->path);
}

int cipher_file_read(const struct cipher_file *file, const struct seal_codec *codec, size_t i,
                     struct buf *work, struct seal_cipher *out, struct cairn_problem *why)
{
    struct input in;
    int error = input_open(&in, file->path, why);
    if (error) {
        return error;
    }
    buf_clear(work);
    if (in.size != file->size) {
        error = problem_set(why, CAIRN_ERR_INTEGRITY, "add again when nobody writes these files",
                            "%s has changed meanwhile", file->path);
    } else {
        error = input_append(&in, file->at[i], file->sizes[i], work, why);
    }
    input_close(&in);
    return error ? error : seal_codec_read(codec, file->path, i, buf_span(work), NULL, out, why);
}

/* ---- notes ---- */

/* A vector's slots are all counted in one unit. */
static int check_steps(const struct update_header *header, const char *beside,
                       struct cairn_problem *why)
{
    for (size_t t = 1; t < header->shape.n_tensors; t++) {
        if (header->steps[t] != header->steps[0]) {
            return container_bad(beside, "step", why);
        }
    }
    return 0;
}

int cipher_note_read(const char *path, enum files_format format, struct update_header *header,
                     enum seal_version *version, uint8_t digest[DIGEST_SIZE], bool *has_digest,
                     struct cairn_problem *why)
{
    json_t *document = NULL;
    struct buf beside = {0};
    int error = note_read(path, format, &document, version, digest, has_digest, why);
    if (!error) {
        error = note_path(path, &beside, why);
    }
    if (!error) {
        error = update_header_parse(document, header, buf_text(&beside), why);
    }
    if (!error) {
        error = files_format_takes(format, header->params.profile, why);
    }
    if (!error && format == FILES_TENSEAL) {
        error = check_steps(header, buf_text(&beside), why);
    }
    json_decref(document);
    buf_release(&beside);
    return error;
}

/* ---- writing ---- */

struct cipher_extent {
    size_t at, size;
    uint32_t values;
};

/* Nobody thinks of FILE.json when he names FILE: only a note is written over. */
static int check_place_of_note(const char *path, struct cairn_problem *why)
{
    json_t *note = note_of_any(path);
    const bool free_to_take = note != NULL || !note_exists(path);
    json_decref(note);
    if (free_to_take) {
        return 0;
    }
    return problem_set(why, CAIRN_ERR_USAGE, "choose another name for the output",
                       "%s.json is there, and is not the note of such a file", path);
}

int cipher_writer_open(struct cipher_writer *w, const char *path, enum files_format format,
                       enum seal_version version, const struct seal_codec *codec,
                       struct cairn_problem *why)
{
    *w = (struct cipher_writer){.codec = codec, .format = format, .version = version};
    digest_init(&w->digest);
    int error = check_place_of_note(path, why);
    return error ? error : file_draft_open(&w->draft, path, 0644, why);
}

static int flush(struct cipher_writer *w, struct cairn_problem *why)
{
    digest_update(&w->digest, w->work.data, w->work.size);
    w->bytes += w->work.size;
    return file_draft_write(&w->draft, w->work.data, w->work.size, why);
}

int cipher_writer_put(struct cipher_writer *w, const struct seal_cipher *cipher, size_t count,
                      struct cairn_problem *why)
{
    const struct seal_options options = {w->version, SEAL_PLAIN};
    if (w->format == FILES_SEAL) {
        buf_clear(&w->work);
    }
    struct cipher_extent extent = {.at = w->work.size, .values = (uint32_t)count};
    int error = seal_cipher_write(w->codec->context, cipher, &options, &w->work);
    extent.size = w->work.size - extent.at;
    if (!error && w->format == FILES_TENSEAL) {
        error = buf_append(&w->extents, &extent, sizeof extent);
    }
    if (error) {
        return no_memory(why);
    }
    return w->format == FILES_SEAL ? flush(w, why) : 0;
}

/* The protocol buffer of all ciphertexts, in their place. */
static int make_vector(struct cipher_writer *w, struct cairn_problem *why)
{
    const size_t n = w->extents.size / sizeof(struct cipher_extent);
    struct tenseal_vector v = {.chunks = n, .scale = (double)(UINT64_C(1) << 40)};
    struct buf out = {0};
    v.sizes = size_alloc_array(n, sizeof *v.sizes);
    v.ciphertexts = size_alloc_array(n, sizeof *v.ciphertexts);
    int error = v.sizes == NULL || v.ciphertexts == NULL ? CAIRN_ERR_NO_MEMORY : 0;
    for (size_t i = 0; i < n && !error; i++) {
        struct cipher_extent e;
        memcpy(&e, w->extents.data + i * sizeof e, sizeof e);
        v.sizes[i] = e.values;
        v.ciphertexts[i] = (struct span){w->work.data + e.at, e.size};
    }
    if (!error) {
        error = tenseal_vector_write(&v, &out);
    }
    tenseal_vector_release(&v);
    if (error) {
        buf_release(&out);
        return problem_set(why, error, "use --format seal, which is written piece by piece",
                           "cannot make a CKKSVector of %zu ciphertexts", n);
    }
    buf_release(&w->work);
    w->work = out;
    return 0;
}

static int draft_note(const struct cipher_writer *w, const struct update_header *header,
                      const char *beside, struct file_draft *draft, struct cairn_problem *why)
{
    struct buf text = {0};
    uint8_t digest[DIGEST_SIZE];
    struct digest_state state = w->digest;
    digest_final(&state, digest);
    int error =
        note_write(update_header_json(header), w->format, w->version, digest, &text, why);
    if (!error) {
        error = file_draft_open(draft, beside, 0644, why);
    }
    if (!error) {
        error = file_draft_write(draft, text.data, text.size, why);
    }
    buf_release(&text);
    return error;
}

int cipher_writer_finish(struct cipher_writer *w, const struct update_header *header,
                         struct cairn_problem *why)
{
    struct file_draft note = {0};
    struct buf beside = {0};
    int error = w->format == FILES_TENSEAL ? make_vector(w, why) : 0;
    if (!error && w->format == FILES_TENSEAL) {
        error = flush(w, why);
    }
    if (!error) {
        error = note_path(w->draft.path, &beside, why);
    }
    if (!error) {
        error = draft_note(w, header, buf_text(&beside), &note, why);
    }
    if (!error) {
        error = file_draft_finish(&w->draft, true, why);
    }
    if (!error) {
        error = file_draft_finish(&note, true, why);
    }
    file_draft_drop(&note);
    buf_release(&beside);
    return error;
}

void cipher_writer_release(struct cipher_writer *w)
{
    file_draft_drop(&w->draft);
    buf_release(&w->work);
    buf_release(&w->extents);
}
