/* SPDX-License-Identifier: Apache-2.0 */
/* TenSEAL's vectors become batches: see tenseal_batch.h. */
#include "tenseal_batch.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "answer.h"
#include "digest.h"
#include "he_ckks.h"
#include "he_layout.h"
#include "query.h"
#include "receiver.h"
#include "seal_bridge.h"
#include "seal_codec.h"
#include "tenseal.h"

/* In front of each ciphertext stand its field's number and length and its size, and once the scale:
 * numbers of at most 10 bytes. */
enum { FRAMING = 3 * 10 };

static int check_profile(const struct fed_plan *plan, struct cairn_problem *why)
{
    if (plan->noise) {
        return problem_set(why, CAIRN_ERR_REFUSED, "send with cairn's own client",
                           "in this run clients add noise to their updates, and TenSEAL adds none");
    }
    if (plan->n_plain > 0) {
        return problem_set(why, CAIRN_ERR_REFUSED, "send with cairn's own client",
                           "with encryption.only a part of the model goes in plain, and a CKKSVector is "
                           "encrypted whole");
    }
    return he_is_ckks(&plan->he)
               ? 0
               : problem_set(why, CAIRN_ERR_REFUSED,
                             "TenSEAL clients need \"encryption\": {\"profile\": \"seal-ckks\"}",
                             "this run's profile is %s", he_profile_name(plan->he.profile));
}

bool tenseal_batch_asked(const char *query)
{
    char form[16];
    return query_text(query, "form", form, sizeof form);
}

size_t tenseal_batch_admit(const struct fed_plan *plan, size_t batch_bytes, const char *query,
                           size_t limit, struct http_reply *refusal)
{
    struct cairn_problem why = {0};
    if (!tenseal_batch_asked(query)) {
        return limit;
    }
    if (check_profile(plan, &why) != 0) {
        http_reply_problem(refusal, &why);
        return 0;
    }
    const size_t chunks = fed_plan_batch_frames(plan, batch_bytes) *
                          he_chunks(&plan->he, fed_plan_count(plan, 0));
    return chunks * (seal_codec_longest(&plan->he) + FRAMING) + FRAMING;
}

/* ---- what the query says ---- */

struct announced {
    struct wire_context context;
    uint32_t origin, first, client;
    uint64_t weight;
};

static int read_query(const struct fed_plan *plan, const char *query, struct announced *out,
                      uint8_t digest[DIGEST_SIZE], struct cairn_problem *why)
{
    char form[16];
    struct announced a = {.context.stream = WIRE_STREAM_UPDATE};
    if (!query_text(query, "form", form, sizeof form) || strcmp(form, "tenseal") != 0 ||
        !query_hex(query, "exp", a.context.experiment, WIRE_EXPERIMENT) ||
        !query_u32(query, "round", &a.context.round) || a.context.round == 0 ||
        !query_u32(query, "origin", &a.origin) || !query_u32(query, "first", &a.first) ||
        !query_u32(query, "client", &a.client) ||
        !query_u64(query, "weight", &a.weight) ||
        !query_hex(query, "digest", digest, DIGEST_SIZE)) {
        return problem_set(why, CAIRN_ERR_MALFORMED, NULL,
                           "the query of a CKKSVector must name exp, round (from 1 on), origin, "
                           "first, form=tenseal, client, weight and digest");
    }
    if (a.client >= plan->n_clients || a.weight == 0) {
        return problem_set(why, CAIRN_ERR_REFUSED, "a client without samples sends nothing",
                           "client %" PRIu32 " of %" PRIu32 " with %" PRIu64 " samples", a.client,
                           plan->n_clients, a.weight);
    }
    *out = a;
    return 0;
}

static int check_digest(struct span body, const uint8_t announced[DIGEST_SIZE],
                        struct cairn_problem *why)
{
    uint8_t digest[DIGEST_SIZE];
    digest_of(body.data, body.size, digest);
    return memcmp(digest, announced, sizeof digest) == 0
               ? 0
               : problem_set(why, CAIRN_ERR_INTEGRITY, "send it again",
                             "the vector does not match its digest: damaged on its way");
}

/* ---- what the vector holds ---- */

/* TenSEAL repeats a short vector in the slots behind it, which would spoil the sum. */
static int check_vector(const struct tenseal_vector *v, struct cairn_problem *why)
{
    if (v->scale != ldexp(1, HE_CKKS_SCALE_BITS)) {
        return problem_set(why, CAIRN_ERR_REFUSED, "keep the global_scale of the context",
                           "the vector's scale is %.17g and must be 2^%d", v->scale,
                           HE_CKKS_SCALE_BITS);
    }
    for (size_t i = 0; i < v->chunks; i++) {
        if (v->sizes[i] != HE_CKKS_SLOTS) {
            return problem_set(why, CAIRN_ERR_REFUSED, "fill the last one up with zeros",
                               "ciphertext %zu holds %" PRIu32 " values; each must hold %d", i,
                               v->sizes[i], HE_CKKS_SLOTS);
        }
    }
    return 0;
}

/* Frames that the ciphertexts are, from a.first on; 0 and a problem if they are no whole ones. */
static uint32_t count_frames(const struct fed_plan *plan, uint32_t first, uint32_t most,
                             size_t ciphertexts, struct cairn_problem *why)
{
    uint32_t frames = 0;
    size_t used = 0;
    while (used < ciphertexts && frames < most && first < plan->n_frames - frames) {
        used += he_chunks(&plan->he, fed_plan_count(plan, first + frames));
        frames++;
    }
    if (used != ciphertexts) {
        problem_set(why, CAIRN_ERR_REFUSED,
                    "a frame is round.frame_params values; send the rest in another request",
                    "%zu ciphertexts from frame %" PRIu32 " on are no whole frames; %" PRIu32
                    " take %zu, of %" PRIu32 " at most",
                    ciphertexts, first, frames, used, most);
        return 0;
    }
    return frames;
}

/* A batch while it is made. */
struct job {
    const struct fed_plan *plan;
    struct announced a;
    struct seal_codec codec;
    struct tenseal_vector vector;
    size_t at; /* ciphertext */
    struct seal_cipher cipher;
    struct buf set;
};

static int put_chunk(struct job *job, size_t n, size_t chunk, uint8_t *payload,
                     struct cairn_problem *why)
{
    struct cairn_problem inner = {0};
    int err = seal_codec_read(&job->codec, "the vector", job->at,
                              job->vector.ciphertexts[job->at], NULL, &job->cipher, &inner);
    if (err != 0) { /* bytes that are no ciphertext may have been damaged: not for good */
        return problem_set(why, err == CAIRN_ERR_DATA ? CAIRN_ERR_MALFORMED : err, inner.hint, "%s",
                           inner.what);
    }
    job->at++;
    return seal_bridge_ckks_payload(&job->cipher, &job->plan->he, n, chunk, payload, why);
}

static int put_frame(struct job *job, uint32_t index, struct buf *out, struct cairn_problem *why)
{
    const struct he_params *he = &job->plan->he;
    const size_t n = fed_plan_count(job->plan, index), frame_at = out->size;
    size_t payload_at = 0;
    int err = wire_frame_begin(out, index, 1, job->a.weight, he->short_id,
                               he_payload_bytes(he, n), buf_span(&job->set), &payload_at);
    if (err != 0) {
        return problem_set(why, err, NULL, "no memory for frame %" PRIu32, index);
    }
    for (size_t chunk = 0; chunk < he_chunks(he, n) && err == 0; chunk++) {
        err = put_chunk(job, n, chunk, out->data + payload_at, why);
    }
    if (err == 0 && wire_frame_end(out, frame_at, &job->a.context) != 0) {
        err = problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for frame %" PRIu32, index);
    }
    return err;
}

static int put_batch(struct job *job, size_t batch_bytes, struct buf *out,
                     struct cairn_problem *why)
{
    const size_t set = fed_plan_set_bytes(job->plan), begin = out->size;
    const uint32_t frames =
        count_frames(job->plan, job->a.first, fed_plan_batch_frames(job->plan, batch_bytes),
                     job->vector.chunks, why);
    if (frames == 0) {
        return why->code;
    }
    if (buf_reserve(&job->set, set) != 0 || buf_reserve(out, WIRE_BATCH_HEADER) != 0) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a batch");
    }
    memset(job->set.data, 0, set);
    job->set.size = set;
    job->set.data[job->a.client / 8] = (uint8_t)(1U << job->a.client % 8);
    out->size += WIRE_BATCH_HEADER;
    int err = 0;
    for (uint32_t i = 0; i < frames && err == 0; i++) {
        err = put_frame(job, job->a.first + i, out, why);
    }
    wire_batch_header(out->data + begin, &job->a.context, job->a.origin, frames, job->a.first,
                      out->size - begin);
    return err;
}

static void job_release(struct job *job)
{
    seal_codec_release(&job->codec);
    tenseal_vector_release(&job->vector);
    seal_cipher_release(&job->cipher);
    buf_release(&job->set);
}

int tenseal_batch_make(const struct fed_plan *plan, const uint8_t experiment[WIRE_EXPERIMENT],
                       size_t batch_bytes, const char *query, struct span body, struct buf *out,
                       struct cairn_problem *why)
{
    struct cairn_problem local = {0};
    struct job job = {.plan = plan};
    uint8_t digest[DIGEST_SIZE];
    const size_t begin = out->size;
    why = why != NULL ? why : &local;
    int err = check_profile(plan, why);
    if (err == 0) {
        err = read_query(plan, query, &job.a, digest, why);
    }
    if (err == 0) {
        err = receiver_check_experiment(experiment, job.a.context.experiment, why);
    }
    if (err == 0) {
        err = check_digest(body, digest, why);
    }
    if (err == 0) {
        err = tenseal_vector_read(body, &job.vector, why);
    }
    if (err == 0) {
        err = check_vector(&job.vector, why);
    }
    if (err == 0) {
        err = seal_codec_init(&job.codec, &plan->he, 0, why);
    }
    if (err == 0) {
        err = put_batch(&job, batch_bytes, out, why);
    }
    if (err != 0) {
        out->size = begin;
    }
    job_release(&job);
    return err;
}

void tenseal_batch_handle(const struct fed_plan *plan, const uint8_t experiment[WIRE_EXPERIMENT],
                          size_t batch_bytes, const struct http_request *request,
                          struct http_reply *reply,
                          void (*take)(struct role *role, const struct http_request *request,
                                       struct http_reply *reply),
                          struct role *role)
{
    struct cairn_problem why = {0};
    struct buf bytes = {0};
    struct wire_batch b;
    int err = tenseal_batch_make(plan, experiment, batch_bytes, request->query, request->body,
                                 &bytes, &why);
    if (err == 0) {
        err = wire_batch_read(buf_span(&bytes), &b, &why);
    }
    if (err != 0) {
        http_reply_problem(reply, &why);
    } else {
        char id[2 * WIRE_EXPERIMENT + 1], query[128];
        struct http_request batch = *request;
        digest_hex(experiment, WIRE_EXPERIMENT, id);
        (void)snprintf(query, sizeof query,
                       "exp=%s&round=%" PRIu32 "&origin=%" PRIu32 "&first=%" PRIu32, id,
                       b.context.round, b.origin, b.first_index);
        batch.query = query;
        batch.body = buf_span(&bytes);
        take(role, &batch, reply);
    }
    buf_release(&bytes);
}

/* ---- the context ---- */

static int write_key(const struct fed_plan *plan, struct span public_key, struct buf *params,
                     struct buf *open, struct cairn_problem *why)
{
    const struct seal_options options = {SEAL_VERSION_3_7, SEAL_PLAIN}; /* tenseal.h */
    struct he_public_key *key = NULL;
    struct seal_public_key seal_key = {0};
    struct seal_context *context = NULL;
    struct seal_params p;
    seal_bridge_ckks_params(&p);
    int err = he_public_key_read(public_key, &plan->he, &key, why);
    if (err == 0) {
        err = seal_context_new(&p, SEAL_128, &context, why);
    }
    if (err == 0) {
        err = seal_bridge_public_key(context, key, &seal_key, why);
    }
    if (err == 0 && (seal_params_write(&p, &options, params) != 0 ||
                     seal_public_key_write(context, &seal_key, &options, open) != 0)) {
        err = problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a TenSEAL context");
    }
    seal_public_key_release(&seal_key);
    seal_context_free(context);
    he_public_key_free(key);
    return err;
}

int tenseal_batch_context(const struct fed_plan *plan, struct span public_key, struct buf *out,
                          struct cairn_problem *why)
{
    struct buf params = {0}, open = {0};
    int err = check_profile(plan, why);
    if (err == 0) {
        err = write_key(plan, public_key, &params, &open, why);
    }
    if (err == 0) {
        const struct tenseal_context context = {.params = buf_span(&params),
                                                .public_key = buf_span(&open),
                                                .scale = ldexp(1, HE_CKKS_SCALE_BITS),
                                                .flags = TENSEAL_FLAGS};
        err = tenseal_context_write(&context, out);
        if (err != 0) {
            problem_set(why, err, NULL, "no memory for a TenSEAL context");
        }
    }
    buf_release(&params);
    buf_release(&open);
    return err;
}

void tenseal_context_handle(const struct fed_plan *plan, struct span public_key,
                            struct http_reply *reply)
{
    struct cairn_problem why = {0};
    if (tenseal_batch_context(plan, public_key, &reply->body, &why) != 0) {
        http_reply_problem(reply, &why);
    } else {
        reply->content_type = "application/octet-stream";
    }
}
