/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Step 3: the sum is opened and becomes the weighted mean. Everything that can be known without the
 * key is checked before the key is used; what fails afterwards fails in one way, whatever the
 * reason, so that nobody learns about the key from which files are refused.
 */
#include <string.h>

#include "cipher_file.h"
#include "cipher_keys.h"
#include "files_common.h"
#include "input_kind.h"
#include "problem.h"
#include "quantiser.h"
#include "secret_file.h"

static const char function[] = "cairn_files_decrypt";

void cairn_decrypt_options_init(struct cairn_decrypt_options *options)
{
    if (options != NULL) {
        *options =
            (struct cairn_decrypt_options){.size = sizeof *options, .floor = FILES_FLOOR};
    }
}

/* One opening while it goes on. */
struct job {
    const struct cairn_decrypt_options *options;
    struct update_file in;
    struct tensor_file base; /* closed without one */
    struct he_secret_key *secret;
    struct files_crew crew;
    enum files_format format;
    struct cipher_file ciphers; /* the rest is for the other programs' formats */
    struct seal_codec codec;
    struct seal_secret_key key;
    struct seal_cipher cipher;
    /* one frame's worth */
    struct buf frame;
    int64_t *sums;
    float *mean;
};

static void job_release(struct job *job)
{
    const size_t n = job->in.header.plan.frame_params;
    files_run_free(job->sums, n, sizeof *job->sums);
    files_run_free(job->mean, n, sizeof *job->mean);
    buf_release(&job->frame);
    he_secret_key_free(job->secret);
    files_crew_release(&job->crew);
    seal_cipher_release(&job->cipher);
    seal_secret_key_release(&job->key);
    cipher_file_release(&job->ciphers);
    seal_codec_release(&job->codec);
    tensor_file_close(&job->base);
    update_file_close(&job->in);
}

static int check_options(const struct cairn_decrypt_options *o, struct cairn_problem *why)
{
    if (o == NULL || o->size != sizeof *o) {
        return files_missing(function, "cairn_decrypt_options_init", why);
    }
    if (o->in == NULL || o->out == NULL) {
        return files_missing(function, "a path: in and out are needed", why);
    }
    if (o->floor == 0) {
        return problem_set(why, CAIRN_ERR_USAGE, "the floor is at least 1",
                           "a floor of 0 contributors");
    }
    if (o->sum && o->base != NULL) {
        return problem_set(why, CAIRN_ERR_USAGE, "leave out one of them",
                           "a base is added to the mean; it has no place in a sum");
    }
    int error = input_keep(o->in, o->out, why);
    if (!error) {
        error = input_keep(o->base, o->out, why);
    }
    return error ? error : cipher_keep_keys(o->out, why);
}

/* What may be opened at all. */
static int check_contributors(const struct job *job, struct cairn_problem *why)
{
    const struct update_header *h = &job->in.header;
    if (h->contributors < job->options->floor) {
        return problem_set(why, CAIRN_ERR_QUORUM,
                           "a sum of few tells too much about each; if that is what you want, say "
                           "so with --floor",
                           "%s is a sum of %u client%s; the floor is %u", job->options->in,
                           h->contributors, h->contributors == 1 ? "" : "s", job->options->floor);
    }
    if (h->weight == 0) {
        return problem_set(why, CAIRN_ERR_QUORUM, NULL,
                           "%s: none of its %u clients had any samples: there is no mean",
                           job->options->in, h->contributors);
    }
    return 0;
}

static int open_base(struct job *job, struct cairn_problem *why)
{
    const struct update_header *h = &job->in.header;
    const char *path = job->options->base;
    uint8_t digest[DIGEST_SIZE];
    if (path == NULL) {
        return 0;
    }
    if (!h->has_base) {
        return problem_set(why, CAIRN_ERR_USAGE, "leave --base out: the mean is the model",
                           "%s holds whole models, not differences from a base", job->options->in);
    }
    int error = tensor_file_open(&job->base, path, why);
    if (!error) {
        error = tensor_same_shape(&h->shape, job->options->in, &job->base.shape, path, why);
    }
    if (!error) {
        error = tensor_file_digest(&job->base, digest, why);
    }
    if (!error && memcmp(digest, h->base, sizeof digest) != 0) {
        error = problem_set(why, CAIRN_ERR_REFUSED, "give the model that the clients started from",
                            "%s is another base than that of %s", path, job->options->in);
    }
    return error;
}

static int read_secret(struct job *job, struct cairn_problem *why)
{
    const struct update_header *h = &job->in.header;
    uint8_t id[HE_KEY_ID_SIZE];
    if (h->params.profile == HE_NONE) {
        return 0;
    }
    if (job->options->secret_path == NULL) {
        return problem_set(why, CAIRN_ERR_USAGE, "give the secret key that keygen wrote",
                           "%s is encrypted and no key is given", job->options->in);
    }
    if (job->format != FILES_CAIRN) {
        return cipher_secret_key_read(job->options->secret_path, job->format, &job->codec,
                                      h->key_id, &job->key, why);
    }
    int error = secret_file_read(job->options->secret_path, &job->secret, id, why);
    if (!error && memcmp(id, h->key_id, sizeof id) != 0) {
        char key[17];
        char sum[17];
        digest_hex(id, 8, key);
        digest_hex(h->key_id, 8, sum);
        error = problem_set(why, CAIRN_ERR_IDENTITY, "give the secret key of that pair",
                            "%s is of key pair %s; %s is encrypted for %s",
                            job->options->secret_path, key, job->options->in, sum);
    }
    return error;
}

static int prepare(struct job *job, struct cairn_problem *why)
{
    const size_t n = job->in.header.plan.frame_params;
    job->sums = files_run_new(n, sizeof *job->sums);
    job->mean = files_run_new(n, sizeof *job->mean);
    if (job->sums == NULL || job->mean == NULL) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for one frame");
    }
    return job->format != FILES_CAIRN ? 0
                                      : files_crew_new(&job->in.header.params,
                                                       job->options->threads, &job->crew, why);
}

/* The one thing that is said of a frame that cannot be opened. */
static int not_honest(const struct job *job, struct cairn_problem *why)
{
    return problem_set(why, CAIRN_ERR_INTEGRITY,
                       "copy the files again and add them again; nothing was written",
                       "%s cannot be opened: it is damaged, or not an honest sum of its %u clients",
                       job->options->in, job->in.header.contributors);
}

/* One frame's sums, from a frame of cairn's. */
static int open_own(struct job *job, uint32_t index, size_t n, struct cairn_problem *why)
{
    const struct update_header *h = &job->in.header;
    struct wire_frame frame;
    int error = update_file_frame(&job->in, index, &job->frame, &frame, why);
    return error ? error
                 : he_open(&h->params, job->secret, job->crew.crew, h->nonce, h->round, index,
                           h->contributors, frame.payload.data, n, job->sums, why);
}

/* The same from ciphertexts. A frame has whole chunks, the last one excepted. */
static int open_ciphers(struct job *job, size_t first, size_t n, struct cairn_problem *why)
{
    const size_t chunk = job->in.header.params.chunk_params;
    int error = 0;
    for (size_t at = 0; at < n && !error; at += chunk) {
        const size_t count = n - at < chunk ? n - at : chunk;
        error = cipher_file_read(&job->ciphers, &job->codec, (first + at) / chunk, &job->frame,
                                 &job->cipher, why);
        if (!error) {
            error = seal_codec_open(&job->codec, &job->key, job->in.header.contributors,
                                    &job->cipher, job->sums + at, count, why);
        }
    }
    return error;
}

static int open_frame(struct job *job, uint32_t index, struct file_draft *draft,
                      struct cairn_problem *why)
{
    const struct update_header *h = &job->in.header;
    const size_t first = fed_plan_first(&h->plan, index);
    const size_t n = fed_plan_count(&h->plan, index);
    int error = job->format == FILES_CAIRN ? open_own(job, index, n, why)
                                           : open_ciphers(job, first, n, why);
    if (error) {
        return error == CAIRN_ERR_INTEGRITY ? not_honest(job, why) : error;
    }
    memset(job->mean, 0, n * sizeof *job->mean);
    if (job->base.in.fd >= 0) {
        error = tensor_file_read(&job->base, first, n, job->mean, why);
    }
    quantiser_apply_part(&h->shape, h->steps, h->largest_samples,
                         job->options->sum ? 1 : h->weight, first, n, job->sums, job->mean, NULL);
    return error ? error : file_draft_write(draft, job->mean, n * sizeof *job->mean, why);
}

static int write_mean(struct job *job, uint64_t *bytes, struct cairn_problem *why)
{
    const struct update_header *h = &job->in.header;
    struct file_draft draft;
    int error = file_draft_open(&draft, job->options->out, 0644, why);
    if (error) {
        return error;
    }
    error = tensor_header_write(h->format, &h->shape, &draft, why);
    for (uint32_t i = 0; i < h->plan.n_frames && !error; i++) {
        error = open_frame(job, i, &draft, why);
    }
    if (error) {
        file_draft_drop(&draft);
        return error;
    }
    return files_finish(&draft, bytes, why);
}

/* The note, and the ciphertexts that it is about. */
static int open_foreign(struct job *job, struct cairn_problem *why)
{
    struct update_header *h = &job->in.header;
    const char *path = job->options->in;
    enum seal_version version;
    uint8_t digest[DIGEST_SIZE];
    bool has_digest = false;
    int error = cipher_note_read(path, job->format, h, &version, digest, &has_digest, why);
    if (!error) {
        error = seal_codec_init(&job->codec, &h->params, cipher_unit(job->format, h), why);
    }
    if (!error) {
        error = cipher_file_walk(&job->ciphers, path, job->format, &job->codec, cipher_count(h),
                                 why);
    }
    if (!error && has_digest) {
        error = cipher_file_match(&job->ciphers, digest, why);
    }
    return error;
}

int cairn_files_decrypt(const struct cairn_decrypt_options *options,
                        struct cairn_files_report *report, struct cairn_problem *why)
{
    struct job job = {.options = options, .in.in.fd = -1, .base.in.fd = -1};
    uint64_t bytes = 0;
    int error = check_options(options, why);
    if (error) {
        return error;
    }
    error = files_format_read(options->format, &job.format, why);
    if (!error) {
        error = job.format == FILES_CAIRN ? update_file_open(&job.in, options->in, why)
                                          : open_foreign(&job, why);
    }
    if (!error) {
        error = check_contributors(&job, why);
    }
    if (!error) {
        error = open_base(&job, why);
    }
    if (!error) {
        error = read_secret(&job, why);
    }
    if (!error) {
        error = prepare(&job, why);
    }
    if (!error) {
        error = write_mean(&job, &bytes, why);
    }
    if (!error && report != NULL) {
        files_report_header(report, &job.in.header);
        report->bytes = bytes;
    }
    job_release(&job);
    return error;
}
