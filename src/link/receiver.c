/* SPDX-License-Identifier: Apache-2.0 */
#include "receiver.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "answer.h"
#include "digest.h"
#include "query.h"

/* How long a child that has run ahead is kept waiting for room before it is told to ask again: long beside a
 * round trip, so that waiting is quiet, and short beside the time in which a server should stop. */
enum {
    WAIT_S = 1,
    /* Each keeps a thread of the server, which others need (server.workers is 16): further ones are answered at
     * once and ask again by themselves. */
    MOST_WAITING = 4
};

int receiver_init(struct receiver *in, const struct role_host *host, const struct fed_plan *plan,
                  const struct fed_stream *streams, size_t n_streams, uint32_t window,
                  size_t batch_limit, const uint8_t experiment[WIRE_EXPERIMENT])
{
    *in = (struct receiver){.host = host, .plan = plan, .batch_limit = batch_limit};
    memcpy(in->experiment, experiment, WIRE_EXPERIMENT);
    const int err = fed_fold_new(plan, streams, n_streams, window, &in->fold);
    if (err == 0) {
        pthread_condattr_t monotonic;
        pthread_mutex_init(&in->lock, NULL);
        pthread_condattr_init(&monotonic);
        pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
        pthread_cond_init(&in->moved, &monotonic);
        pthread_condattr_destroy(&monotonic);
    }
    return err;
}

void receiver_release(struct receiver *in)
{
    if (in->fold != NULL) {
        fed_fold_free(in->fold);
        pthread_cond_destroy(&in->moved);
        pthread_mutex_destroy(&in->lock);
    }
    *in = (struct receiver){0};
}

void receiver_open(struct receiver *in, uint32_t round, uint32_t first, const bool *awaited)
{
    pthread_mutex_lock(&in->lock);
    if (fed_fold_round(in->fold) != round) {
        busy_restart(&in->adding, clock_now_ns(in->host->clock));
    }
    fed_fold_open(in->fold, round, first);
    fed_fold_await(in->fold, awaited);
    pthread_cond_broadcast(&in->moved);
    pthread_mutex_unlock(&in->lock);
}

void receiver_close(struct receiver *in)
{
    pthread_mutex_lock(&in->lock);
    fed_fold_close(in->fold);
    pthread_cond_broadcast(&in->moved);
    pthread_mutex_unlock(&in->lock);
}

void receiver_move(struct receiver *in, uint32_t base)
{
    pthread_mutex_lock(&in->lock);
    fed_fold_move(in->fold, base);
    pthread_cond_broadcast(&in->moved);
    pthread_mutex_unlock(&in->lock);
}

void receiver_set_live(struct receiver *in, uint32_t origin, bool live)
{
    pthread_mutex_lock(&in->lock);
    fed_fold_set_live(in->fold, origin, live);
    pthread_mutex_unlock(&in->lock);
}

int receiver_check_experiment(const uint8_t expected[WIRE_EXPERIMENT],
                              const uint8_t found[WIRE_EXPERIMENT], struct cairn_problem *why)
{
    if (memcmp(expected, found, WIRE_EXPERIMENT) == 0) {
        return 0;
    }
    char here[2 * WIRE_EXPERIMENT + 1], there[2 * WIRE_EXPERIMENT + 1];
    digest_hex(expected, WIRE_EXPERIMENT, here);
    digest_hex(found, WIRE_EXPERIMENT, there);
    return problem_set(why, CAIRN_ERR_UNKNOWN, "wait for the config of the new experiment",
                       "experiment %s is not the one that runs here (%s)", there, here);
}

/* ---- what was asked, and what is answered ---- */

/* A batch as its query announces it. */
struct announced {
    uint32_t round, origin, first;
};

/* @return false for a query that does not tell all of it: a hand-made request, checked with its body */
static bool read_query(const char *query, struct announced *out)
{
    return query_u32(query, "round", &out->round) && query_u32(query, "origin", &out->origin) &&
           query_u32(query, "first", &out->first);
}

/* The experiment that a query names, if it names one. */
static int check_query_experiment(const struct receiver *in, const char *query,
                                  struct cairn_problem *why)
{
    uint8_t found[WIRE_EXPERIMENT];
    return query_hex(query, "exp", found, sizeof found)
               ? receiver_check_experiment(in->experiment, found, why)
               : 0;
}

/* A batch of another round than the open one. */
static int check_round(uint32_t open, uint32_t round, struct cairn_problem *why)
{
    if (round == open) {
        return 0;
    }
    if (round > open) {
        return problem_set(why, CAIRN_ERR_BUSY, "try again when the model has come down",
                           "round %u has not reached this node, which is in round %u",
                           (unsigned)round, (unsigned)open);
    }
    return problem_set(why, CAIRN_ERR_CLOSED, "drop these frames; \"round\" names the open one",
                       "round %u is over, round %u is open", (unsigned)round, (unsigned)open);
}

/* Under the lock. `next` is UINT32_MAX where the round already decides. */
static int check_announced(struct receiver *in, const struct announced *a, uint32_t *next,
                           uint32_t *open, struct cairn_problem *why)
{
    *next = UINT32_MAX;
    *open = fed_fold_round(in->fold);
    const int err = check_round(*open, a->round, why);
    return err != 0 ? err : fed_fold_expect(in->fold, a->origin, a->first, next, why);
}

static void refuse(struct receiver *in, struct http_reply *reply, const struct cairn_problem *why,
                   uint32_t next, uint32_t open)
{
    pthread_mutex_lock(&in->lock);
    in->refused++;
    pthread_mutex_unlock(&in->lock);
    reply->retry_after_s = why->code == CAIRN_ERR_BUSY ? 1 : 0;
    if (why->code == CAIRN_ERR_CLOSED) {
        answer_problem_with(reply, why, "round", open);
    } else if (next != UINT32_MAX &&
               (why->code == CAIRN_ERR_WRONG_INDEX || why->code == CAIRN_ERR_BUSY)) {
        answer_problem_with(reply, why, "next", next);
    } else {
        http_reply_problem(reply, why);
    }
}

size_t receiver_admit(struct receiver *in, const char *query, struct http_reply *refusal)
{
    struct cairn_problem why = {0};
    struct announced a;
    uint32_t next = UINT32_MAX, open = 0;
    int err = check_query_experiment(in, query, &why);
    if (err == 0 && read_query(query, &a)) {
        pthread_mutex_lock(&in->lock);
        err = check_announced(in, &a, &next, &open, &why);
        pthread_mutex_unlock(&in->lock);
    }
    if (err != 0) {
        refuse(in, refusal, &why, next, open);
    }
    return in->batch_limit;
}

/* ---- batches ---- */

/* Outside the lock, because it reads the whole payload. A frame that fails fed_plan_check is left to
 * the fold, which looks at its index first: a child that is only behind must be told so. */
static int check_fields(const struct receiver *in, const struct wire_frame *frame,
                        struct cairn_problem *why)
{
    struct cairn_problem later = {0};
    return fed_plan_check(in->plan, frame, &later) != 0
               ? 0
               : fed_plan_check_fields(in->plan, frame, why);
}

/* What is known of a batch while it is taken. */
struct taking {
    struct wire_batch batch;
    size_t taken; /* frames of it, also before */
    uint32_t next, open;
    bool ready; /* there is a sum for the host */
};

static int take_frame(struct receiver *in, struct taking *t, const struct wire_frame *frame,
                      struct cairn_problem *why)
{
    pthread_mutex_lock(&in->lock);
    t->open = fed_fold_round(in->fold);
    int err = check_round(t->open, t->batch.context.round, why);
    if (err == 0) {
        err = fed_fold_accept(in->fold, t->batch.origin, frame, &t->next, why);
    }
    t->taken += err == 0;
    t->ready = fed_fold_ready(in->fold) || fed_fold_all_through(in->fold);
    pthread_mutex_unlock(&in->lock);
    return err;
}

/* Frames one by one: read and checked outside the lock, added inside it. */
static int take_frames(struct receiver *in, struct taking *t, bool part, struct cairn_problem *why)
{
    struct wire_frame frame;
    int err = 0, more = 0;
    while (err == 0 && (!part || wire_batch_is_there(&t->batch)) &&
           (more = wire_batch_next(&t->batch, &frame, why)) == 1) {
        err = check_fields(in, &frame, why);
        if (err == 0) {
            err = take_frame(in, t, &frame, why);
        }
    }
    return err != 0 || more == 1 ? err : more;
}

/* A batch, or what has come of it, behind the frames that were taken before. */
static int take_batch(struct receiver *in, struct taking *t, const struct http_request *request,
                      bool part, struct cairn_problem *why)
{
    t->taken = request->progress == NULL ? 0 : *request->progress;
    int err = part ? wire_batch_read_part(request->body, &t->batch, why)
                   : wire_batch_read(request->body, &t->batch, why);
    if (err == 0) {
        err = receiver_check_experiment(in->experiment, t->batch.context.experiment, why);
    }
    if (err == 0 && !wire_batch_skip(&t->batch, (uint32_t)t->taken)) {
        err = CAIRN_ERR_BUG; /* they were there before */
    }
    if (err != 0) {
        return err;
    }
    const struct announced a = {t->batch.context.round, t->batch.origin,
                                t->batch.first_index + t->batch.position};
    pthread_mutex_lock(&in->lock);
    err = check_announced(in, &a, &t->next, &t->open, why);
    if (err == 0) {
        busy_begin(&in->adding, clock_now_ns(in->host->clock));
    }
    pthread_mutex_unlock(&in->lock);
    if (err == 0) {
        err = take_frames(in, t, part, why);
        pthread_mutex_lock(&in->lock);
        busy_end(&in->adding, clock_now_ns(in->host->clock));
        pthread_mutex_unlock(&in->lock);
    }
    if (t->ready) {
        in->host->wake(in->host->ctx);
    }
    return err;
}

size_t receiver_part(struct receiver *in, const struct http_request *request)
{
    struct cairn_problem why = {0};
    struct taking t = {.next = UINT32_MAX};
    const int err = take_batch(in, &t, request, true, &why);
    *request->progress = t.taken;
    /* what is wrong is told when all is there: before, nobody listens */
    return err != 0 || t.batch.position == t.batch.frames
               ? SIZE_MAX
               : request->body.size - t.batch.rest.size + wire_batch_needs(&t.batch);
}

void receiver_handle(struct receiver *in, const struct http_request *request,
                     struct http_reply *reply)
{
    struct cairn_problem why = {0};
    struct taking t = {.next = UINT32_MAX};
    const int err = take_batch(in, &t, request, false, &why);
    if (err == 0) {
        answer_json(reply, json_pack("{s:I, s:I}", "next", (json_int_t)t.next, "round",
                                     (json_int_t)t.open));
    } else {
        refuse(in, reply, &why, t.next, t.open);
    }
}

/* Under the lock: until the check says something else than "no room", for a moment at most. */
static int wait_for_room(struct receiver *in, const struct announced *a, uint32_t *next,
                         uint32_t *open, struct cairn_problem *why)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += WAIT_S;
    int err;
    bool late = !in->host->may_block || in->waiting >= MOST_WAITING;
    in->waiting++;
    while ((err = check_announced(in, a, next, open, why)) == CAIRN_ERR_BUSY && !late) {
        late = pthread_cond_timedwait(&in->moved, &in->lock, &until) != 0;
    }
    in->waiting--;
    return err;
}

void receiver_next(struct receiver *in, const struct http_request *request,
                   struct http_reply *reply)
{
    struct cairn_problem why = {0};
    struct announced a;
    uint32_t next = UINT32_MAX, open = 0;
    int err = check_query_experiment(in, request->query, &why);
    if (err == 0 && !read_query(request->query, &a)) {
        err = problem_set(&why, CAIRN_ERR_MALFORMED, NULL,
                          "the query must name round, origin and first");
    }
    if (err == 0) {
        pthread_mutex_lock(&in->lock);
        err = wait_for_room(in, &a, &next, &open, &why);
        pthread_mutex_unlock(&in->lock);
    }
    if (err == 0) {
        answer_json(reply, json_pack("{s:I, s:I}", "next", (json_int_t)next, "round",
                                     (json_int_t)open));
    } else {
        refuse(in, reply, &why, next, open);
    }
}

/* ---- sums ---- */

bool receiver_take(struct receiver *in, struct fed_sum *out)
{
    pthread_mutex_lock(&in->lock);
    const bool ready = fed_fold_ready(in->fold);
    if (ready) {
        fed_fold_take(in->fold, out);
    }
    pthread_mutex_unlock(&in->lock);
    return ready;
}

enum fed_close receiver_closing(struct receiver *in, struct fed_closing *closing,
                                uint64_t *again_ns)
{
    pthread_mutex_lock(&in->lock);
    const enum fed_close verdict =
        fed_closing_check(closing, clock_now_ns(in->host->clock), in->fold, again_ns);
    pthread_mutex_unlock(&in->lock);
    return verdict;
}

void receiver_waiting_for(struct receiver *in, const char *(*name)(void *ctx, uint32_t node),
                          void *ctx, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    pthread_mutex_lock(&in->lock);
    uint32_t origin, next;
    bool live;
    for (size_t i = 0; used < size && fed_fold_missing(in->fold, i, &origin, &next, &live); i++) {
        const int n = snprintf(text + used, size - used, "%s%s (%s%u frames came)",
                               used > 0 ? ", " : "", name(ctx, origin), live ? "" : "dead, ",
                               (unsigned)next);
        used += n > 0 ? (size_t)n : 0;
    }
    pthread_mutex_unlock(&in->lock);
}

uint32_t receiver_through(struct receiver *in)
{
    pthread_mutex_lock(&in->lock);
    const uint32_t clients = fed_fold_through(in->fold);
    pthread_mutex_unlock(&in->lock);
    return clients;
}

double receiver_fold_seconds(struct receiver *in)
{
    pthread_mutex_lock(&in->lock);
    const double seconds = in->adding.seconds;
    pthread_mutex_unlock(&in->lock);
    return seconds;
}

uint64_t receiver_refused(struct receiver *in)
{
    pthread_mutex_lock(&in->lock);
    const uint64_t refused = in->refused;
    pthread_mutex_unlock(&in->lock);
    return refused;
}
