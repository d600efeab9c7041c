/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Adding in other programs' formats. Every note is held against the first and every file walked
 * over before anything is written; then ciphertext by ciphertext, with two of them in memory.
 *
 * A TenSEAL client writes a vector and no note. It is taken for one client of weight 1, with the
 * lowest number that is free, whose model has the tensors of the files that have notes; where there
 * are none, what keygen's public file says and one flat array. Such vectors are taken only where
 * that file is given: an update whose note was forgotten would count as one sample and nobody would
 * see it.
 */
#include <stdlib.h>
#include <string.h>

#include "add_job.h"
#include "cipher_keys.h"
#include "input_kind.h"
#include "problem.h"
#include "quantiser.h"
#include "sizes.h"

/* What is not the same for cairn's own files. */
struct sum {
    struct add_job *job;
    enum files_format format;
    enum seal_version version;
    struct seal_codec codec;
};

/* ---- files with notes ---- */

static int walk(struct sum *sum, size_t at, size_t n, struct cairn_problem *why)
{
    struct add_part *part = &sum->job->parts[at];
    return cipher_file_walk(&part->ciphers, part->path, sum->format, &sum->codec, n, why);
}

static int ready_codec(struct sum *sum, struct cairn_problem *why)
{
    const struct update_header *total = &sum->job->total;
    return sum->codec.context != NULL
               ? 0
               : seal_codec_init(&sum->codec, &total->params, cipher_unit(sum->format, total), why);
}

static int read_noted(struct sum *sum, size_t at, const char *path, struct cairn_problem *why)
{
    struct update_header header = {0};
    const bool is_first = sum->job->first == NULL;
    enum seal_version version;
    uint8_t digest[DIGEST_SIZE];
    bool has_digest = false;
    int error =
        cipher_note_read(path, sum->format, &header, &version, digest, &has_digest, why);
    if (!error) {
        error = add_keep(sum->job, at, path, &header, why);
    }
    update_header_release(&header);
    if (!error) {
        sum->version = is_first ? version : sum->version;
        error = ready_codec(sum, why);
    }
    if (!error) {
        error = walk(sum, at, cipher_count(&sum->job->total), why);
    }
    if (!error && has_digest) {
        error = cipher_file_match(&sum->job->parts[at].ciphers, digest, why);
    }
    return error;
}

/* ---- TenSEAL vectors without ---- */

/* What the public file says of a flat array of n values. */
static int header_of_session(const struct session *session, uint64_t n,
                             struct update_header *header, struct cairn_problem *why)
{
    const double limit = quantiser_limit(session->params.value_bits);
    *header = (struct update_header){.params = session->params,
                                     .round = 1,
                                     .largest_samples = session->largest_samples,
                                     .frame_params = session->frame_params,
                                     .format = TENSOR_NPY};
    memcpy(header->nonce, session->nonce, sizeof header->nonce);
    memcpy(header->key_id, session->key_id, sizeof header->key_id);
    header->steps = size_alloc_array(1, sizeof *header->steps);
    if (header->steps == NULL) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a header");
    }
    header->steps[0] = session->range / limit;
    int error = model_shape_add(&header->shape, "array", &n, 1, why);
    return error ? error : update_header_plan(header, why);
}

/* The total of nothing yet, to be added to. */
static int begin_total(struct sum *sum, const struct session *session, const char *public_path,
                       const char *vector, struct cairn_problem *why)
{
    struct add_job *job = sum->job;
    struct cipher_file shape;
    int error = seal_codec_init(&sum->codec, &session->params,
                                cipher_session_unit(session, sum->format), why);
    if (!error) {
        error = cipher_file_walk(&shape, vector, sum->format, &sum->codec, 0, why);
    }
    if (!error) {
        error = header_of_session(session, shape.values, &job->total, why);
        cipher_file_release(&shape);
    }
    if (!error && (buf_reserve(&job->total.set, fed_plan_set_bytes(&job->total.plan)) != 0)) {
        error = problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a set of clients");
    }
    if (!error) {
        job->total.set.size = fed_plan_set_bytes(&job->total.plan);
        memset(job->total.set.data, 0, job->total.set.size);
        job->first = public_path;
    }
    return error;
}

/* The public file that vectors without notes are for, before the first of them. */
static int ready_for_bare(struct sum *sum, const char *public_path, const char *vector,
                          struct cairn_problem *why)
{
    const struct add_job *job = sum->job;
    struct session session = {0};
    enum seal_version version;
    if (public_path == NULL) {
        return problem_set(why, CAIRN_ERR_USAGE,
                           "copy its note, too; for a TenSEAL client's own vector, which counts as "
                           "one sample, give keygen's public file with --key",
                           "%s has no note, %s.json", vector, vector);
    }
    int error = cipher_session_read(public_path, sum->format, &session, &version, why);
    if (error) {
        return error;
    }
    if (job->first == NULL) {
        sum->version = version;
        error = begin_total(sum, &session, public_path, vector, why);
    } else if (memcmp(session.key_id, job->total.key_id, sizeof session.key_id) != 0) {
        error = problem_set(why, CAIRN_ERR_REFUSED, "give the public file they were encrypted with",
                            "%s is not the key of %s", public_path, job->first);
    }
    session_release(&session);
    return error;
}

/* Without clients' numbers, a vector that is given twice shows in its bytes: no two encryptions
 * are the same. */
static int check_new_bytes(const struct add_job *job, size_t at, struct cairn_problem *why)
{
    const struct add_part *part = &job->parts[at];
    for (size_t i = 0; i < job->n; i++) {
        const struct add_part *other = &job->parts[i];
        if (i != at && other->ciphers.n != 0 &&
            memcmp(other->ciphers.digest, part->ciphers.digest, DIGEST_SIZE) == 0) {
            return problem_set(why, CAIRN_ERR_REFUSED, "add each client once",
                               "%s is the same update as %s", part->path, other->path);
        }
    }
    return 0;
}

static int take_number(struct sum *sum, size_t at, const char *path, struct cairn_problem *why)
{
    struct update_header *total = &sum->job->total;
    struct add_part *part = &sum->job->parts[at];
    const uint32_t most = total->params.max_contributors;
    uint32_t free_number = 0;
    while (free_number < most && (total->set.data[free_number / 8] >> free_number % 8 & 1) != 0) {
        free_number++;
    }
    if (free_number == most) {
        return problem_set(why, CAIRN_ERR_REFUSED, "keygen --contributors says how many may be",
                           "%s would be more than the %u clients of %s", path, most,
                           sum->job->first);
    }
    if (buf_append(&part->set, total->set.data, total->set.size) != 0) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a set of clients");
    }
    memset(part->set.data, 0, part->set.size);
    part->set.data[free_number / 8] = (uint8_t)(1u << free_number % 8);
    part->path = path;
    part->contributors = 1;
    part->weight = 1;
    total->set.data[free_number / 8] |= part->set.data[free_number / 8];
    total->contributors++;
    total->weight++;
    return 0;
}

static int read_bare(struct sum *sum, size_t at, const char *path, struct cairn_problem *why)
{
    const struct update_header *total = &sum->job->total;
    const struct cipher_file *f = &sum->job->parts[at].ciphers;
    int error = take_number(sum, at, path, why);
    if (!error) {
        error = walk(sum, at, cipher_count(total), why);
    }
    if (!error) {
        error = check_new_bytes(sum->job, at, why);
    }
    if (!error && f->values != total->shape.n_params) {
        error = problem_set(why, CAIRN_ERR_REFUSED, "is it of another model?",
                            "%s holds %llu values, the model of %s %zu", path,
                            (unsigned long long)f->values, sum->job->first,
                            total->shape.n_params);
    }
    return error;
}

static int read_all(struct sum *sum, const char *public_path, const char *const *paths,
                    struct cairn_problem *why)
{
    const bool bare_is_allowed = sum->format == FILES_TENSEAL;
    const size_t n = sum->job->n;
    bool ready = false;
    int error = 0;
    for (size_t i = 0; i < n && !error; i++) {
        if (!bare_is_allowed || note_exists(paths[i])) {
            error = read_noted(sum, i, paths[i], why);
        }
    }
    for (size_t i = 0; i < n && !error; i++) {
        if (sum->job->parts[i].path == NULL) {
            error = ready ? 0 : ready_for_bare(sum, public_path, paths[i], why);
            ready = true;
            error = error ? error : read_bare(sum, i, paths[i], why);
        }
    }
    return error;
}

/* ---- adding ---- */

static int add_object(struct sum *sum, size_t i, struct seal_cipher *total,
                      struct seal_cipher *one, struct cairn_problem *why)
{
    struct add_job *job = sum->job;
    struct cairn_problem inner = {0};
    int error = cipher_file_read(&job->parts[0].ciphers, &sum->codec, i, &job->work, total, why);
    for (size_t p = 1; p < job->n && !error; p++) {
        error = cipher_file_read(&job->parts[p].ciphers, &sum->codec, i, &job->work, one, why);
        if (!error && seal_add(sum->codec.context, total, one, &inner) != 0) {
            error = problem_set(why, inner.code, inner.hint, "%s: object %zu: %s",
                                job->parts[p].path, i, inner.what);
        }
    }
    return error;
}

static int write_sum(struct sum *sum, const char *out, uint64_t *bytes, struct cairn_problem *why)
{
    const struct update_header *total = &sum->job->total;
    const size_t objects = cipher_count(total), chunk = total->params.chunk_params;
    struct seal_cipher a = {0}, b = {0};
    struct cipher_writer writer;
    int error = cipher_writer_open(&writer, out, sum->format, sum->version, &sum->codec, why);
    for (size_t i = 0; i < objects && !error; i++) {
        const size_t left = total->shape.n_params - i * chunk;
        error = add_object(sum, i, &a, &b, why);
        if (!error) {
            error = cipher_writer_put(&writer, &a, left < chunk ? left : chunk, why);
        }
    }
    if (!error) {
        error = cipher_writer_finish(&writer, total, why);
    }
    *bytes = writer.bytes;
    cipher_writer_release(&writer);
    seal_cipher_release(&a);
    seal_cipher_release(&b);
    return error;
}

int add_ciphers(struct add_job *job, enum files_format format, const char *public_path,
                const char *const *paths, const char *out, uint64_t *bytes,
                struct cairn_problem *why)
{
    struct sum sum = {.job = job, .format = format};
    int error = read_all(&sum, public_path, paths, why);
    if (!error) {
        error = write_sum(&sum, out, bytes, why);
    }
    seal_codec_release(&sum.codec);
    return error;
}
