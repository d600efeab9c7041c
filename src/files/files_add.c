/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Step 2: update files become one. Every header is held against the first before anything is
 * written; then the frames are added one index at a time, with one frame of the sum and one of the
 * file at hand in memory. Files are opened again for each frame, so their number has no limit; that
 * a file still is what it was is told by the digest of its header, which is not parsed again.
 */
#include <stdlib.h>
#include <string.h>

#include "files_common.h"
#include "input_kind.h"
#include "problem.h"
#include "sizes.h"

static const char function[] = "cairn_files_add";

/* What is kept of each file. */
struct part {
    const char *path;
    uint64_t size, body_at;
    uint8_t digest[DIGEST_SIZE]; /* of its header */
    uint32_t contributors;
    uint64_t weight;
    struct buf set;
};

struct job {
    struct update_header total; /* the first file's, with the contributors of all */
    struct part *parts;
    size_t n;
    struct buf work, out; /* one frame each */
};

static void job_release(struct job *job)
{
    for (size_t i = 0; i < job->n; i++) {
        buf_release(&job->parts[i].set);
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

static int check_new_clients(const struct job *job, size_t at, struct cairn_problem *why)
{
    uint32_t client = 0;
    if (!first_common(&job->total.set, &job->parts[at].set, &client)) {
        return 0;
    }
    for (size_t i = 0; i < at; i++) { /* only to name the other file */
        if (first_common(&job->parts[i].set, &job->parts[at].set, &client)) {
            return problem_set(why, CAIRN_ERR_REFUSED,
                               "add each client once; did two clients take the same --index?",
                               "client %u is in %s and in %s", client, job->parts[i].path,
                               job->parts[at].path);
        }
    }
    return CAIRN_ERR_BUG; /* the total is the union of these */
}

/* Keep what is needed of a file that has just been opened; its header goes to the total or away. */
static int keep_part(struct job *job, size_t at, struct update_file *file,
                     struct cairn_problem *why)
{
    struct part *part = &job->parts[at];
    struct update_header *total = &job->total;
    *part = (struct part){.path = file->in.path,
                          .size = file->in.size,
                          .body_at = file->body_at,
                          .contributors = file->header.contributors,
                          .weight = file->header.weight};
    if (buf_append(&part->set, file->header.set.data, file->header.set.size) != 0) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a set of clients");
    }
    int error = read_digest(&file->in, part->body_at, part->digest, why);
    if (error) {
        return error;
    }
    if (at == 0) {
        *total = file->header;
        file->header = (struct update_header){0};
        return 0;
    }
    error = update_header_match(total, job->parts[0].path, &file->header, part->path, why);
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

static int read_headers(struct job *job, const char *const *paths, struct cairn_problem *why)
{
    int error = 0;
    for (size_t i = 0; i < job->n && !error; i++) {
        struct update_file file;
        error = update_file_open(&file, paths[i], why);
        if (!error) {
            error = keep_part(job, i, &file, why);
            update_file_close(&file);
        }
    }
    return error;
}

/* ---- frames ---- */

/* Is it the file whose header was read? */
static int check_same(const struct input *in, const struct part *part, struct cairn_problem *why)
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
static int add_frame(struct job *job, size_t at, uint32_t index, uint8_t *sum,
                     struct cairn_problem *why)
{
    const struct part *part = &job->parts[at];
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

static int write_frame(struct job *job, uint32_t index, struct file_draft *draft,
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

static int write_sum(struct job *job, const char *path, uint64_t *bytes, struct cairn_problem *why)
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
    return input_keep_keys(out, why);
}

int cairn_files_add(const char *const *paths, size_t n, const char *out,
                    struct cairn_files_report *report, struct cairn_problem *why)
{
    struct job job = {0};
    uint64_t bytes = 0;
    int error = check_arguments(paths, n, out, why);
    if (error) {
        return error;
    }
    job.parts = size_alloc_array(n, sizeof *job.parts);
    if (job.parts == NULL) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a list of files");
    }
    job.n = n;
    error = read_headers(&job, paths, why);
    if (!error) {
        error = write_sum(&job, out, &bytes, why);
    }
    if (!error && report != NULL) {
        files_report_header(report, &job.total);
        report->bytes = bytes;
    }
    job_release(&job);
    return error;
}
