/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Step 1: a client's model becomes an update file. Frame by frame: floats are read, held against
 * the range, made integers and encrypted, and the frame is written before the next one is read.
 */
#include <math.h>
#include <string.h>

#include "cipher_file.h"
#include "cipher_keys.h"
#include "files_common.h"
#include "input_kind.h"
#include "problem.h"
#include "quantiser.h"
#include "random.h"
#include "sizes.h"

static const char function[] = "cairn_files_encrypt";

void cairn_encrypt_options_init(struct cairn_encrypt_options *options)
{
    if (options != NULL) {
        *options = (struct cairn_encrypt_options){
            .size = sizeof *options, .index = UINT32_MAX, .samples = 1, .round = 1};
    }
}

/* One encryption while it goes on. */
struct job {
    const struct cairn_encrypt_options *options;
    struct session session;
    struct tensor_file in;
    struct tensor_file base; /* closed without one */
    struct update_header header;
    struct quantiser quantiser;
    double range;
    struct secret_rng *rng;
    struct files_crew crew;
    enum files_format format;
    enum seal_version version;    /* the rest is for the other programs' formats */
    struct seal_codec codec;
    struct seal_public_key key;
    /* one frame's worth */
    float *update; /* the model, less the base where there is one */
    float *global; /* NULL without a base */
    int32_t *values;
    struct buf frame;
    uint64_t clamped;
};

static void job_release(struct job *job)
{
    const size_t n = job->header.plan.frame_params;
    files_run_free(job->update, n, sizeof *job->update);
    files_run_free(job->global, n, sizeof *job->global);
    files_run_free(job->values, n, sizeof *job->values);
    buf_release(&job->frame);
    secret_rng_free(job->rng);
    seal_public_key_release(&job->key);
    seal_codec_release(&job->codec);
    files_crew_release(&job->crew);
    update_header_release(&job->header);
    tensor_file_close(&job->base);
    tensor_file_close(&job->in);
    session_release(&job->session);
}

/* ---- what can be said before anything is read ---- */

static int check_options(const struct cairn_encrypt_options *o, struct cairn_problem *why)
{
    if (o == NULL || o->size != sizeof *o) {
        return files_missing(function, "cairn_encrypt_options_init", why);
    }
    if (o->public_path == NULL || o->in == NULL || o->out == NULL) {
        return files_missing(function, "a path: public_path, in and out are needed", why);
    }
    if (o->index == UINT32_MAX) {
        return problem_set(why, CAIRN_ERR_USAGE,
                           "number the clients 0, 1, 2, ... and give each its own --index",
                           "the number of this client is missing");
    }
    if (o->round == 0) {
        return problem_set(why, CAIRN_ERR_USAGE, NULL, "round 0; rounds count from 1");
    }
    int error = input_keep(o->in, o->out, why);
    if (!error) {
        error = input_keep(o->base, o->out, why);
    }
    return error ? error : cipher_keep_keys(o->out, why);
}

static int choose_params(struct job *job, struct cairn_problem *why)
{
    const struct he_params *given = &job->session.params;
    enum he_profile profile;
    int error = files_profile(job->options->profile, given->profile, &profile, why);
    if (error || profile == given->profile) {
        job->header.params = *given;
        return error;
    }
    if (job->format != FILES_CAIRN) {
        return problem_set(why, CAIRN_ERR_USAGE, "make a key pair for this profile with keygen",
                           "the key of %s is for profile %s", job->options->public_path,
                           he_profile_name(given->profile));
    }
    if (profile != HE_NONE && job->session.key == NULL) {
        return problem_set(why, CAIRN_ERR_USAGE, "make a key pair with `cairn keygen`",
                           "%s is of profile none and has no key to encrypt with",
                           job->options->public_path);
    }
    error = he_params_choose(profile, given->value_bits, given->max_contributors,
                             &job->header.params, why);
    if (!error && profile != HE_NONE && job->header.params.degree != given->degree) {
        error = problem_set(why, CAIRN_ERR_USAGE, "make a key pair for this profile with keygen",
                            "the key of %s, for %s, is of another ring than %s needs",
                            job->options->public_path, given->id, job->header.params.id);
    }
    return error;
}

static int check_against_session(struct job *job, struct cairn_problem *why)
{
    const struct cairn_encrypt_options *o = job->options;
    const struct session *s = &job->session;
    job->range = o->range != 0 ? o->range : s->range;
    job->header.largest_samples = o->largest_samples != 0 ? o->largest_samples : s->largest_samples;
    if (o->index >= s->params.max_contributors) {
        return problem_set(why, CAIRN_ERR_USAGE,
                           "indices are 0 to N-1, N being what keygen was told",
                           "client %u of at most %u", o->index, s->params.max_contributors);
    }
    if (!session_range_is_good(job->range)) {
        return problem_set(why, CAIRN_ERR_USAGE, "take the largest magnitude of any value",
                           "a range of %g; 1e-20 to 1e20 are possible", job->range);
    }
    if (job->header.largest_samples > SESSION_MOST_SAMPLES) {
        return problem_set(why, CAIRN_ERR_USAGE, NULL,
                           "the largest number of samples is above 2^40");
    }
    if (o->samples > job->header.largest_samples) {
        return problem_set(why, CAIRN_ERR_USAGE,
                           "give every client the same --largest-samples, the most that any has",
                           "%llu samples are more than the largest number, %llu",
                           (unsigned long long)o->samples,
                           (unsigned long long)job->header.largest_samples);
    }
    return choose_params(job, why);
}

/* ---- preparing ---- */

static int open_models(struct job *job, struct cairn_problem *why)
{
    const struct cairn_encrypt_options *o = job->options;
    int error = tensor_file_open(&job->in, o->in, why);
    if (error || o->base == NULL) {
        return error;
    }
    error = tensor_file_open(&job->base, o->base, why);
    if (!error) {
        error = tensor_same_shape(&job->in.shape, o->in, &job->base.shape, o->base, why);
    }
    if (!error) {
        job->header.has_base = true;
        error = tensor_file_digest(&job->base, job->header.base, why);
    }
    return error;
}

static int fill_header(struct job *job, struct cairn_problem *why)
{
    struct update_header *h = &job->header;
    const struct session *s = &job->session;
    memcpy(h->nonce, s->nonce, sizeof h->nonce);
    if (h->params.profile != HE_NONE) {
        memcpy(h->key_id, s->key_id, sizeof h->key_id);
    }
    h->round = job->options->round;
    h->frame_params = s->frame_params;
    h->format = job->in.format;
    h->shape = job->in.shape; /* the header's from here on */
    job->in.shape = (struct model_shape){0};
    h->contributors = 1;
    h->weight = job->options->samples;
    h->steps = size_alloc_array(h->shape.n_tensors, sizeof *h->steps);
    int error = update_header_plan(h, why);
    if (error) {
        return error;
    }
    const size_t set_bytes = fed_plan_set_bytes(&h->plan);
    if (h->steps == NULL || buf_reserve(&h->set, set_bytes) != 0) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a header");
    }
    for (size_t t = 0; t < h->shape.n_tensors; t++) {
        h->steps[t] = job->range / quantiser_limit(h->params.value_bits);
    }
    memset(h->set.data, 0, set_bytes);
    h->set.data[job->options->index / 8] = (uint8_t)(1u << job->options->index % 8);
    h->set.size = set_bytes;
    return 0;
}

static int prepare(struct job *job, struct cairn_problem *why)
{
    const size_t n = job->header.plan.frame_params;
    job->quantiser = (struct quantiser){.shape = &job->header.shape,
                                        .steps = job->header.steps,
                                        .value_bits = job->header.params.value_bits,
                                        .samples = job->options->samples,
                                        .largest_samples = job->header.largest_samples,
                                        .round = job->options->round,
                                        .client_index = job->options->index};
    int error = secret_rng_new(&job->rng);
    if (!error && job->options->seed != NULL) {
        job->quantiser.seed = *job->options->seed;
    } else if (!error) {
        error = random_from_system(&job->quantiser.seed, sizeof job->quantiser.seed);
    }
    if (error) {
        return problem_set(why, error, NULL, "cannot encrypt: %s", cairn_error_sentence(error));
    }
    job->update = files_run_new(n, sizeof *job->update);
    job->values = files_run_new(n, sizeof *job->values);
    if (job->header.has_base) {
        job->global = files_run_new(n, sizeof *job->global);
    }
    if (job->update == NULL || job->values == NULL ||
        (job->header.has_base && job->global == NULL)) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for one frame");
    }
    if (job->format == FILES_CAIRN) {
        return files_crew_new(&job->header.params, job->options->threads, &job->crew, why);
    }
    error = seal_codec_init(&job->codec, &job->header.params,
                            cipher_unit(job->format, &job->header), why);
    return error ? error
                 : cipher_public_key_read(job->options->public_path, job->format, &job->codec,
                                          &job->key, why);
}

/* ---- one frame ---- */

static int bad_value(const struct job *job, const char *path, size_t at, double value,
                     bool out_of_range, struct cairn_problem *why)
{
    const struct model_tensor *tensor = model_shape_find(&job->header.shape, at);
    if (out_of_range) {
        return problem_set(why, CAIRN_ERR_DATA,
                           "give every client a larger --range, or --clip to clamp such values",
                           "%s: tensor \"%s\", element %zu: %g is outside +-%g", path, tensor->name,
                           at - tensor->offset, value, job->range);
    }
    return problem_set(why, CAIRN_ERR_DATA, "only finite values have a mean",
                       "%s: tensor \"%s\", element %zu is %g", path, tensor->name,
                       at - tensor->offset, value);
}

/* Finite values only, and then their difference from the base within the range. */
static int make_update(struct job *job, size_t first, size_t n, struct cairn_problem *why)
{
    for (size_t i = 0; i < n; i++) {
        const double local = (double)job->update[i];
        if (!isfinite(local)) {
            return bad_value(job, job->options->in, first + i, local, false, why);
        }
        if (job->global != NULL && !isfinite(job->global[i])) {
            return bad_value(job, job->options->base, first + i, (double)job->global[i], false,
                             why);
        }
        if (job->global != NULL) {
            job->update[i] = (float)(local - (double)job->global[i]);
        }
        const double update = (double)job->update[i];
        if (!job->options->clip && fabs(update) > job->range) {
            return bad_value(job, job->options->in, first + i, update, true, why);
        }
    }
    return 0;
}

/* One frame's floats become integers. */
static int read_frame(struct job *job, uint32_t index, struct cairn_problem *why)
{
    const struct update_header *h = &job->header;
    const size_t first = fed_plan_first(&h->plan, index);
    const size_t n = fed_plan_count(&h->plan, index);
    struct tensor_file in = job->in;
    in.shape = h->shape; /* borrowed back */
    int error = tensor_file_read(&in, first, n, job->update, why);
    if (!error && job->global != NULL) {
        error = tensor_file_read(&job->base, first, n, job->global, why);
    }
    if (!error) {
        error = make_update(job, first, n, why);
    }
    if (!error) {
        quantiser_read(&job->quantiser, job->update, first, n, job->values, &job->clamped);
    }
    return error;
}

static int encrypt_frame(struct job *job, uint32_t index, struct file_draft *draft,
                         struct cairn_problem *why)
{
    const struct update_header *h = &job->header;
    const struct wire_context context = update_context(h);
    const size_t n = fed_plan_count(&h->plan, index);
    size_t payload_at = 0;
    int error = read_frame(job, index, why);
    if (error) {
        return error;
    }
    buf_clear(&job->frame);
    error = wire_frame_begin(&job->frame, index, h->contributors, h->weight, h->params.short_id,
                             he_payload_bytes(&h->params, n), buf_span(&h->set), &payload_at);
    if (error) {
        return problem_set(why, error, NULL, "no memory for one frame");
    }
    error = he_encrypt(&h->params, job->session.key, job->rng, job->crew.crew, h->nonce, h->round,
                       index, job->values, n, job->frame.data + payload_at, why);
    if (!error && wire_frame_end(&job->frame, 0, &context) != 0) {
        error = problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for one frame");
    }
    return error ? error : file_draft_write(draft, job->frame.data, job->frame.size, why);
}

static int write_update(struct job *job, uint64_t *bytes, struct cairn_problem *why)
{
    struct file_draft draft;
    int error = file_draft_open(&draft, job->options->out, 0644, why);
    if (error) {
        return error;
    }
    error = update_header_write(&job->header, &draft, why);
    for (uint32_t i = 0; i < job->header.plan.n_frames && !error; i++) {
        error = encrypt_frame(job, i, &draft, why);
    }
    if (error) {
        file_draft_drop(&draft);
        return error;
    }
    return files_finish(&draft, bytes, why);
}

/* ---- the other programs' formats ---- */

static int put_frame(struct job *job, uint32_t index, struct cipher_writer *writer,
                     struct cairn_problem *why)
{
    const size_t n = fed_plan_count(&job->header.plan, index);
    const size_t chunk = job->header.params.chunk_params;
    struct seal_cipher cipher = {0};
    int error = read_frame(job, index, why);
    for (size_t at = 0; at < n && !error; at += chunk) {
        const size_t count = n - at < chunk ? n - at : chunk;
        error = seal_codec_encrypt(&job->codec, &job->key, job->rng, job->values + at, count,
                                   &cipher, why);
        if (!error) {
            error = cipher_writer_put(writer, &cipher, count, why);
        }
    }
    seal_cipher_release(&cipher);
    return error;
}

static int write_ciphers(struct job *job, uint64_t *bytes, struct cairn_problem *why)
{
    struct cipher_writer writer;
    int error = cipher_writer_open(&writer, job->options->out, job->format, job->version,
                                   &job->codec, why);
    for (uint32_t i = 0; i < job->header.plan.n_frames && !error; i++) {
        error = put_frame(job, i, &writer, why);
    }
    if (!error) {
        error = cipher_writer_finish(&writer, &job->header, why);
    }
    *bytes = writer.bytes;
    cipher_writer_release(&writer);
    return error;
}

int cairn_files_encrypt(const struct cairn_encrypt_options *options,
                        struct cairn_files_report *report, struct cairn_problem *why)
{
    struct job job = {.options = options, .in.in.fd = -1, .base.in.fd = -1};
    uint64_t bytes = 0;
    int error = check_options(options, why);
    if (error) {
        return error;
    }
    error = files_format_read(options->format, &job.format, why);
    if (!error && job.format == FILES_CAIRN) {
        error = session_read(options->public_path, &job.session, why);
    } else if (!error) {
        error = cipher_session_read(options->public_path, job.format, &job.session, &job.version,
                                    why);
    }
    if (!error) {
        error = check_against_session(&job, why);
    }
    if (!error) {
        error = open_models(&job, why);
    }
    if (!error) {
        error = fill_header(&job, why);
    }
    if (!error) {
        error = prepare(&job, why);
    }
    if (!error) {
        error = job.format == FILES_CAIRN ? write_update(&job, &bytes, why)
                                          : write_ciphers(&job, &bytes, why);
    }
    if (!error && report != NULL) {
        files_report_header(report, &job.header);
        report->bytes = bytes;
        report->clamped = job.clamped;
    }
    job_release(&job);
    return error;
}
