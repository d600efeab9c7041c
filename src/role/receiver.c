/* SPDX-License-Identifier: Apache-2.0 */
#include "receiver.h"

#include <stdio.h>
#include <string.h>

#include "answer.h"
#include "digest.h"

int receiver_init(struct receiver *in, const struct role_host *host, const struct fed_plan *plan,
                  const struct fed_stream *streams, size_t n_streams,
                  const uint8_t experiment[WIRE_EXPERIMENT])
{
    *in = (struct receiver){.host = host, .plan = plan};
    memcpy(in->experiment, experiment, WIRE_EXPERIMENT);
    const int err = fed_fold_new(plan, streams, n_streams, plan->n_frames, &in->fold);
    if (err == 0) {
        pthread_mutex_init(&in->lock, NULL);
    }
    return err;
}

void receiver_release(struct receiver *in)
{
    if (in->fold != NULL) {
        fed_fold_free(in->fold);
        pthread_mutex_destroy(&in->lock);
    }
    *in = (struct receiver){0};
}

void receiver_open(struct receiver *in, uint32_t round)
{
    pthread_mutex_lock(&in->lock);
    fed_fold_open(in->fold, round, 0);
    in->fold_s = 0;
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

/* A batch of another round than the open one. *open is that one. */
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

/* Frames one by one: read and checked outside the lock, added inside it. */
static int take_frames(struct receiver *in, struct wire_batch *batch, uint32_t *next, uint32_t *open,
                       bool *ready, struct cairn_problem *why)
{
    struct wire_frame frame;
    int more;
    while ((more = wire_batch_next(batch, &frame, why)) == 1) {
        int err = check_fields(in, &frame, why);
        if (err != 0) {
            return err;
        }
        pthread_mutex_lock(&in->lock);
        const uint64_t from = clock_now_ns(in->host->clock);
        *open = fed_fold_round(in->fold);
        err = check_round(*open, batch->context.round, why);
        if (err == 0) {
            err = fed_fold_accept(in->fold, batch->origin, &frame, next, why);
        }
        *ready = fed_fold_ready(in->fold);
        in->fold_s += clock_seconds(from, clock_now_ns(in->host->clock));
        pthread_mutex_unlock(&in->lock);
        if (err != 0) {
            return err;
        }
    }
    return more;
}

void receiver_handle(struct receiver *in, const struct http_request *request,
                     struct http_reply *reply)
{
    struct cairn_problem why = {0};
    struct wire_batch batch;
    uint32_t next = 0;
    bool ready = false;
    pthread_mutex_lock(&in->lock);
    uint32_t open = fed_fold_round(in->fold);
    pthread_mutex_unlock(&in->lock);

    int err = wire_batch_read(request->body, &batch, &why);
    if (err == 0) {
        err = receiver_check_experiment(in->experiment, batch.context.experiment, &why);
    }
    if (err == 0) {
        err = check_round(open, batch.context.round, &why);
    }
    if (err == 0) {
        err = take_frames(in, &batch, &next, &open, &ready, &why);
    }
    if (ready) {
        in->host->wake(in->host->ctx);
    }
    if (err == 0) {
        answer_json(reply, json_pack("{s:I, s:I}", "next", (json_int_t)next, "round",
                                     (json_int_t)open));
    } else if (err == CAIRN_ERR_WRONG_INDEX) {
        answer_problem_with(reply, &why, "next", next);
    } else if (err == CAIRN_ERR_CLOSED) {
        answer_problem_with(reply, &why, "round", open);
    } else {
        reply->retry_after_s = err == CAIRN_ERR_BUSY ? 1 : 0;
        http_reply_problem(reply, &why);
    }
}

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

void receiver_waiting_for(struct receiver *in, const char *(*name)(void *ctx, uint32_t node),
                          void *ctx, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    pthread_mutex_lock(&in->lock);
    uint32_t origin, next;
    bool live;
    for (size_t i = 0; used < size && fed_fold_missing(in->fold, i, &origin, &next, &live); i++) {
        const int n = snprintf(text + used, size - used, "%s%s (%u frames came)",
                               used > 0 ? ", " : "", name(ctx, origin), (unsigned)next);
        used += n > 0 ? (size_t)n : 0;
    }
    pthread_mutex_unlock(&in->lock);
}

double receiver_fold_seconds(struct receiver *in)
{
    pthread_mutex_lock(&in->lock);
    const double seconds = in->fold_s;
    pthread_mutex_unlock(&in->lock);
    return seconds;
}
