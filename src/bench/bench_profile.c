/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One parameter set at work: clients encrypt, their payloads are folded, the sum is opened and
 * compared with the plain one.
 *
 * Several threads encrypt one frame and open one frame together, chunk by chunk, as clients and
 * aggregators do. They fold side by side, each a frame of its own, as a switch that works on several
 * frames does; their payloads are copies of one frame's. On machines with very many threads some
 * share their inputs (FRAMES_BYTES), never their outputs.
 */
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "bench_time.h"
#include "he_layout.h"
#include "parallel.h"
#include "problem.h"
#include "replay.h"
#include "sizes.h"

enum {
    FRAMES_BYTES = 512 << 20, /* all payloads: what a small machine can spare */
    LEAST_PASSES = 5,
    EXTREMES = 64, /* values at the end of their range in every client's frame */
    ROUND = 1,
    FRAME = 0,
};

/* Everything that one measurement needs. */
struct stage {
    const struct bench_job *job;
    size_t payload_bytes;
    unsigned frames;
    uint8_t *payloads; /* frames x clients; the first frame's are encrypted, the others copied */
    uint8_t *sums;     /* of each thread */
    int32_t *values;   /* of each client */
    int64_t *expected; /* their sum */
    int64_t *opened;
    struct parallel *team;
    struct he_crew *crew;
    struct secret_rng *rng;
    struct he_secret_key *secret;
    struct he_public_key *public_key;
    uint8_t nonce[HE_NONCE_SIZE]; /* zero: keys are thrown away afterwards */
    struct cairn_problem problem;
};

static uint8_t *payload_of(const struct stage *s, unsigned frame, unsigned client)
{
    return s->payloads + ((size_t)frame * s->job->clients + client) * s->payload_bytes;
}

static uint8_t *sum_of(const struct stage *s, unsigned thread)
{
    return s->sums + thread * s->payload_bytes;
}

/* ---- the three operations ---- */

static int encrypt_part(void *ctx, unsigned thread, unsigned pass)
{
    struct stage *s = ctx;
    const struct bench_job *job = s->job;
    const unsigned client = pass % job->clients;
    (void)thread;
    return he_encrypt(job->params, s->public_key, s->rng, s->crew, s->nonce, ROUND, FRAME,
                      s->values + client * job->n, job->n, payload_of(s, 0, client), &s->problem);
}

static int fold_part(void *ctx, unsigned thread, unsigned pass)
{
    struct stage *s = ctx;
    const struct bench_job *job = s->job;
    (void)pass;
    for (unsigned client = 0; client < job->clients; client++) {
        he_add(job->params, job->n, sum_of(s, thread), payload_of(s, thread % s->frames, client));
    }
    return 0;
}

/* Payloads come from the network, not from a cache; the sums stay near while they grow. */
static void before_fold(void *ctx)
{
    struct stage *s = ctx;
    bench_memory_evict(s->job->memory);
    memset(s->sums, 0, s->job->threads * s->payload_bytes);
}

static int open_part(void *ctx, unsigned thread, unsigned pass)
{
    struct stage *s = ctx;
    const struct bench_job *job = s->job;
    (void)thread;
    (void)pass;
    return he_open(job->params, s->secret, s->crew, s->nonce, ROUND, FRAME, job->clients,
                   sum_of(s, 0), job->n, s->opened, &s->problem);
}

/* ---- the stage ---- */

static void make_values(struct stage *s)
{
    const int32_t limit = (int32_t)he_value_limit(s->job->params->value_bits);
    const size_t n = s->job->n;
    for (unsigned client = 0; client < s->job->clients; client++) {
        struct replay_rng rng;
        replay_init(&rng, "bench values", 0, 0, client);
        for (size_t i = 0; i < n; i++) {
            const int32_t v = (int32_t)(replay_u32(&rng) % (2 * (uint32_t)limit + 1)) - limit;
            s->values[client * n + i] = i >= EXTREMES ? v : i % 2 ? limit : -limit;
            s->expected[i] += s->values[client * n + i];
        }
    }
}

static int make_keys(struct stage *s)
{
    int error = secret_rng_new(&s->rng);
    if (error == 0 && s->job->params->profile != HE_NONE) {
        error = he_keygen(s->job->params, s->rng, &s->secret, &s->public_key);
    }
    return error;
}

static int make_team(struct stage *s)
{
    int error = parallel_new(s->job->threads, &s->team);
    return error != 0 ? error : he_crew_new(s->job->params, s->team, &s->crew);
}

/* Rows of an array with room for one element more, as an empty one has no address. */
static void *rows(size_t a, size_t b, size_t element)
{
    size_t n;
    return size_mul(a, b, &n) && size_add(n, 1, &n) ? size_alloc_array(n, element) : NULL;
}

static int set_stage(struct stage *s, const struct bench_job *job)
{
    const size_t threads = job->threads;
    s->job = job;
    s->payload_bytes = he_payload_bytes(job->params, job->n);
    const size_t room = FRAMES_BYTES / (s->payload_bytes * job->clients) + 1;
    s->frames = (unsigned)(room < threads ? room : threads);
    s->payloads = rows((size_t)s->frames * job->clients, s->payload_bytes, 1);
    s->sums = rows(threads, s->payload_bytes, 1);
    s->values = rows(job->clients, job->n, sizeof *s->values);
    s->expected = rows(1, job->n, sizeof *s->expected);
    s->opened = rows(1, job->n, sizeof *s->opened);
    if (!s->payloads || !s->sums || !s->values || !s->expected || !s->opened) {
        return CAIRN_ERR_NO_MEMORY;
    }
    make_values(s);
    const int error = make_keys(s);
    return error != 0 ? error : make_team(s);
}

static void clear_stage(struct stage *s)
{
    he_crew_free(s->crew);
    parallel_free(s->team);
    secret_rng_free(s->rng);
    he_secret_key_free(s->secret);
    he_public_key_free(s->public_key);
    free(s->payloads);
    free(s->sums);
    free(s->values);
    free(s->expected);
    free(s->opened);
}

/* ---- measuring ---- */

static int explain(const struct stage *s, int error, const char *doing, struct cairn_problem *why)
{
    const char *name = he_profile_name(s->job->params->profile);
    if (s->problem.code != 0) {
        return problem_set(why, error, s->problem.hint, "profile %s, %s: %s", name, doing,
                           s->problem.what);
    }
    return problem_set(why, error, NULL, "profile %s, %s: %s", name, doing,
                       cairn_error_sentence(error));
}

static const char wrong[] = "times of wrong results are worth nothing; CAIRN_CPU=c may help";

static int check_sums(const struct stage *s, struct cairn_problem *why)
{
    const struct bench_job *job = s->job;
    const char *name = he_profile_name(job->params->profile);
    for (unsigned thread = 1; thread < job->threads; thread++) {
        if (memcmp(sum_of(s, thread), sum_of(s, 0), s->payload_bytes) != 0) {
            return problem_set(why, CAIRN_ERR_INTEGRITY, wrong,
                               "profile %s: two threads fold the same payloads to two sums", name);
        }
    }
    for (size_t i = 0; i < job->n; i++) {
        if (s->opened[i] != s->expected[i]) {
            return problem_set(why, CAIRN_ERR_INTEGRITY, wrong,
                               "profile %s: parameter %zu opens to %lld, the plain sum is %lld",
                               name, i, (long long)s->opened[i], (long long)s->expected[i]);
        }
    }
    return 0;
}

static void copy_payloads(struct stage *s)
{
    const size_t bytes = s->job->clients * s->payload_bytes;
    for (unsigned frame = 1; frame < s->frames; frame++) {
        memcpy(payload_of(s, frame, 0), payload_of(s, 0, 0), bytes);
    }
}

static int measure(struct stage *s, struct bench_times *out, struct cairn_problem *why)
{
    const struct bench_job *job = s->job;
    const double n = (double)job->n;
    double encrypt_ns, fold_ns, open_ns;
    struct bench_work work = {.part = encrypt_part,
                              .ctx = s,
                              .threads = 1, /* and the rest of the crew */
                              .least = job->clients > LEAST_PASSES ? job->clients : LEAST_PASSES,
                              .budget_ns = job->effort->operation_ns};
    int error = bench_work_run(&work, &encrypt_ns);
    if (error != 0) {
        return explain(s, error, "encrypting", why);
    }
    copy_payloads(s);
    const struct bench_work fold = {.part = fold_part,
                                    .before = before_fold,
                                    .ctx = s,
                                    .threads = job->threads,
                                    .least = LEAST_PASSES,
                                    .budget_ns = job->effort->operation_ns};
    if ((error = bench_work_run(&fold, &fold_ns)) != 0) {
        return explain(s, error, "folding", why);
    }
    work.least = LEAST_PASSES;
    work.part = open_part;
    if ((error = bench_work_run(&work, &open_ns)) != 0) {
        return explain(s, error, "opening", why);
    }
    const double payloads = (double)job->clients * job->threads;
    out->encrypt_ns = encrypt_ns / n;
    out->open_ns = open_ns / n;
    out->fold_ns = fold_ns / (payloads * n);
    out->fold_gb_s = payloads * (double)s->payload_bytes / fold_ns;
    out->bits_per_param = 8 * (double)s->payload_bytes / n;
    return check_sums(s, why);
}

int bench_profile(const struct bench_job *job, struct bench_times *out, struct cairn_problem *why)
{
    if (job->clients < 1 || job->clients > BENCH_MAX_CLIENTS || job->threads < 1 ||
        job->threads > BENCH_MAX_THREADS || job->n < 1) {
        return problem_set(why, CAIRN_ERR_BUG, NULL, "cannot measure such a job");
    }
    struct stage *s = calloc(1, sizeof *s);
    if (!s) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "out of memory");
    }
    int error = set_stage(s, job);
    error = error != 0 ? explain(s, error, "preparing", why) : measure(s, out, why);
    clear_stage(s);
    free(s);
    return error;
}
