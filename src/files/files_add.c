/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Step 2: update files become one. Every header is held against the first before anything is
 * written; then the frames are added one index at a time, with one frame of the sum and one of the
 * file at hand in memory. Files are opened again for each frame, so their number has no limit; that
 * a file still is what it was is told by the digest of its header, which is not parsed again.
 */
#include <stdlib.h>
#include <string.h>

#include "add_job.h"
#include "cipher_keys.h"
#include "files_common.h"
#include "input_kind.h"
#include "problem.h"
#include "sizes.h"

static const char function[] = "cairn_files_add";

static void job_release(struct add_job *job)
{
    for (size_t i = 0; i < job->n; i++) {
        buf_release(&job->parts[i].set);
        cipher_file_release(&job->parts[i].ciphers);
    }
    free(job->parts);
    buf_release(&job->work);
    buf_release(&job->out);
    update_header_release(&job->total);
}

/* ---- headers ---- */

/* The last thing of a header is its digest. */
static int read_digest(const struct input *in, uint64_t body_at, uint8_t out[DIGEST_SIZE],
                       struct cairn_problem *why)
{
    return input_read(in, body_at - DIGEST_SIZE, out, DIGEST_SIZE, why);
}

static bool first_common(const struct buf *a, const struct buf *b, uint32_t *client)
{
    for (size_t i = 0; i < a->size; i++) {
        const unsigned common = (unsigned)(a->data[i] & b->data[i]);
        if (common != 0) {
            *client = (uint32_t)(8 * i) + (uint32_t)__builtin_ctz(common);
            return true;
        }
    }
    return false;
}

static int check_new_clients(const struct add_job *job, size_t at, struct cairn_problem *why)
{
    uint32_t client = 0;
    if (!first_common(&job->total.set, &job->parts[at].set, &client)) {
        return 0;
    }
    for (size_t i = 0; i < job->n; i++) { /* only to name the other file */
        const struct add_part *other = &job->parts[i];
        if (i != at && first_common(&other->set, &job->parts[at].set, &client)) {
            return problem_set(why, CAIRN_ERR_REFUSED,
                               "add each client once; did two clients take the same --index?",
                               "client %u is in %s and in %s", client, other->path,
                               job->parts[at].path);
        }
    }
    return CAIRN_ERR_BUG; /* the total is the union of these */
}

int add_keep(struct add_job *job, size_t at, const char *path, struct update_header *header,
             struct cairn_problem *why)
{
    struct add_part *part = &job->parts[at];
    struct update_header *total = &job->total;
    part->path = path;
    part->contributors = header->contributors;
    part->weight = header->weight;
    if (buf_append(&part->set, header->set.data, header->set.size) != 0) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a set of clients");
    }
    if (job->first == NULL) {
        *total = *header;
        *header = (struct update_header){0};
        job->first = path;
        return 0;
    }
    int error = update_header_match(total, job->first, header, path, why);
    if (!error) {
        error = check_new_clients(job, at, why);
    }
    if (error) {
        return error;
    }
    for (size_t i = 0; i < total->set.size; i++) {
        total->set.data[i] |= part->set.data[i];
    }
    total->contributors += part->contributors;
    total->weight += part->weight;
    return 0;
}

static int read_header(struct add_job *job, size_t at, const char *path, struct cairn_problem *why)
{
    struct add_part *part = &job->parts[at];
    struct update_file file;
    int error = update_file_open(&file, path, why);
    if (error) {
        return error;
    }
    part->size = file.in.size;
    part->body_at = file.body_at;
    error = read_digest(&file.in, part->body_at, part->digest, why);
    if (!error) {
        error = add_keep(job, at, path, &file.header, why);
    }
    update_file_close(&file);
    return error;
}

static int read_headers(struct add_job *job, const char *const *paths, struct cairn_problem *why)
{
    int error = 0;
    for (size_t i = 0; i < job->n && !error; i++) {
        error = read_header(job, i, paths[i], why);
    }
    return error;
}

/* ---- frames ---- */

/* Is it the file whose header was read? */
static int check_same(const struct input *in, const struct add_part *part,
                      struct cairn_problem *why)
{
    uint8_t digest[DIGEST_SIZE] = {0};
    int error = in->size == part->size ? read_digest(in, part->body_at, digest, why) : 0;
    if (!error && memcmp(digest, part->digest, sizeof digest) != 0) {
        error = problem_set(why, CAIRN_ERR_INTEGRITY, "add again when nobody writes these files",
                            "%s has changed meanwhile", part->path);
    }
    return error;
}

/* sum (+)= frame `index` of one file. */
static int add_frame(struct add_job *job, size_t at, uint32_t index, uint8_t *sum,
                     struct cairn_problem *why)
{
    const struct add_part *part = &job->parts[at];
    struct update_file file = {.header = job->total, .body_at = part->body_at};
    struct wire_frame frame;
    file.header.contributors = part->contributors; /* the rest is the same, and the job's */
    file.header.weight = part->weight;
    file.header.set = part->set;
    int error = input_open(&file.in, part->path, why);
    if (error) {
        return error;
    }
    error = check_same(&file.in, part, why);
    if (!error) {
        error = update_file_frame(&file, index, &job->work, &frame, why);
    }
    if (!error && at == 0) {
        memcpy(sum, frame.payload.data, frame.payload.size);
    } else if (!error) {
        he_add(&job->total.params, fed_plan_count(&job->total.plan, index), sum,
               frame.payload.data);
    }
    input_close(&file.in);
    return error;
}

static int write_frame(struct add_job *job, uint32_t index, struct file_draft *draft,
                       struct cairn_problem *why)
{
    const struct update_header *total = &job->total;
    const struct wire_context context = update_context(total);
    size_t payload_at = 0;
    buf_clear(&job->out);
    int error = wire_frame_begin(
        &job->out, index, total->contributors, total->weight, total->params.short_id,
        he_payload_bytes(&total->params, fed_plan_count(&total->plan, index)),
        buf_span(&total->set), &payload_at);
    if (error) {
        return problem_set(why, error, NULL, "no memory for one frame");
    }
    for (size_t i = 0; i < job->n && !error; i++) {
        error = add_frame(job, i, index, job->out.data + payload_at, why);
    }
    if (!error && wire_frame_end(&job->out, 0, &context) != 0) {
        error = problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for one frame");
    }
    return error ? error : file_draft_write(draft, job->out.data, job->out.size, why);
}

static int write_sum(struct add_job *job, const char *path, uint64_t *bytes,
                     struct cairn_problem *why)
{
    struct file_draft draft;
    int error = file_draft_open(&draft, path, 0644, why);
    if (error) {
        return error;
    }
    error = update_header_write(&job->total, &draft, why);
    for (uint32_t i = 0; i < job->total.plan.n_frames && !error; i++) {
        error = write_frame(job, i, &draft, why);
    }
    if (error) {
        file_draft_drop(&draft);
        return error;
    }
    return files_finish(&draft, bytes, why);
}

static int check_arguments(const char *const *paths, size_t n, const char *out,
                           struct cairn_problem *why)
{
    if (paths == NULL || n == 0 || out == NULL) {
        return files_missing(function, "a path: update files and the sum's are needed", why);
    }
    for (size_t i = 0; i < n; i++) {
        if (paths[i] == NULL) {
            return files_missing(function, "the path of an update file", why);
        }
    }
    return cipher_keep_keys(out, why);
}

int cairn_files_add(const char *const *paths, size_t n, const char *out,
                    struct cairn_files_report *report, struct cairn_problem *why)
{
    return cairn_files_add_format(NULL, NULL, paths, n, out, report, why);
}

static int add_own(struct add_job *job, const char *const *paths, const char *out, uint64_t *bytes,
                   struct cairn_problem *why)
{
    int error = read_headers(job, paths, why);
    return error ? error : write_sum(job, out, bytes, why);
}

int cairn_files_add_format(const char *name, const char *public_path, const char *const *paths,
                           size_t n, const char *out, struct cairn_files_report *report,
                           struct cairn_problem *why)
{
    struct add_job job = {0};
    enum files_format format;
    uint64_t bytes = 0;
    int error = check_arguments(paths, n, out, why);
    if (!error) {
        error = files_format_read(name, &format, why);
    }
    if (error) {
        return error;
    }
    job.parts = size_alloc_array(n, sizeof *job.parts);
    if (job.parts == NULL) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a list of files");
    }
    job.n = n;
    error = format == FILES_CAIRN
                ? add_own(&job, paths, out, &bytes, why)
                : add_ciphers(&job, format, public_path, paths, out, &bytes, why);
    if (!error && report != NULL) {
        files_report_header(report, &job.total);
        report->bytes = bytes;
    }
    job_release(&job);
    return error;
}
