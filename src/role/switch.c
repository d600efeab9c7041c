/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A switch, read from top to bottom:
 *
 *   handle_model      a model has come: open the fold for its round, ask for a step
 *   switch_step       pass the model down -> take complete sums -> send them up
 *   handle_receive    folding: the receiver adds the frames
 *   relay_batch       dumb: the parent gets the batch as it is, the child gets the parent's answer
 */
#include "switch.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "downlink.h"
#include "log.h"
#include "model_message.h"
#include "plan.h"
#include "receiver.h"
#include "roundlog.h"
#include "uplink.h"

struct switch_role {
    struct role role;
    const struct role_host *host;
    struct fed_assignment *assignment;
    struct fed_plan plan;
    struct receiver receiver; /* folding only */
    struct roundlog log;
    bool log_ready, lock_ready;

    pthread_mutex_t lock; /* guards down to `trouble` */
    struct buf pending;   /* a model message that the step has not taken */
    int64_t arrived_us;
    uint32_t newest_round;
    bool final_came;
    struct roundlog_entry entry; /* of the newest round */
    char trouble[400];

    /* only the stepping thread touches what follows */
    struct buf model; /* the message that is on its way down */
    struct downlink down;
    struct uplink uplink;
    uint32_t round;
    bool final_taken;
    bool up_stalled;      /* the parent refused, or the round is closed */
    struct buf *finished; /* n_frames: whole frames that the parent has not taken yet */
    uint32_t next;        /* frame to send */
    uint32_t built;       /* frames 0 .. built-1 are complete */
    struct buf batch;
};

static struct switch_role *switch_of(struct role *role)
{
    return (struct switch_role *)role; /* its first member */
}

static int64_t now_us(const struct switch_role *s)
{
    return s->host->clock->wall_us(s->host->clock->ctx);
}

/* ---- the model on its way down ---- */

static size_t admit_model(struct role *role, const char *query, int64_t content_length,
                          struct http_reply *refusal)
{
    (void)query;
    (void)content_length;
    (void)refusal;
    const struct switch_role *s = (const struct switch_role *)role;
    size_t size = 0;
    return wire_model_size(s->assignment->n_tensors, s->assignment->n_params, 0, &size) == 0 ? size
                                                                                             : 0;
}

static int check_model(const struct switch_role *s, const struct wire_model *m,
                       struct cairn_problem *why)
{
    const int err = receiver_check_experiment(s->assignment->id, m->experiment, why);
    if (err == 0 && m->parameters != s->plan.n_params) {
        return problem_set(why, CAIRN_ERR_REFUSED, NULL, "%llu parameters, expected %zu",
                           (unsigned long long)m->parameters, s->plan.n_params);
    }
    return err;
}

/* Under the lock: the entry of a round that has ended goes into the log. */
static void close_entry(struct switch_role *s)
{
    if (s->entry.round == 0) {
        return;
    }
    if (s->entry.end_us == 0) {
        s->entry.end_us = now_us(s);
    }
    roundlog_add(&s->log, &s->entry);
    s->entry = (struct roundlog_entry){0};
}

/* Under the lock. */
static int keep_model(struct switch_role *s, const struct wire_model *m, struct span body)
{
    const bool final = (m->flags & WIRE_MODEL_FINAL) != 0;
    if (final ? s->final_came : m->round <= s->newest_round) {
        return 0;
    }
    struct buf copy = {0};
    if (buf_append(&copy, body.data, body.size) != 0) {
        return CAIRN_ERR_NO_MEMORY;
    }
    close_entry(s);
    buf_release(&s->pending);
    s->pending = copy;
    s->final_came = final;
    s->newest_round = m->round;
    if (!final) {
        s->entry = (struct roundlog_entry){.round = m->round, .start_us = now_us(s)};
        if (!s->assignment->self.dumb) {
            receiver_open(&s->receiver, m->round);
        }
    }
    return 0;
}

static void handle_model(struct role *role, const struct http_request *request,
                         struct http_reply *reply)
{
    struct switch_role *s = switch_of(role);
    struct cairn_problem why = {0};
    struct wire_model m;
    int err = wire_model_read(request->body, &m, &why);
    if (err == 0) {
        err = check_model(s, &m, &why);
    }
    uint32_t newest = 0;
    if (err == 0) {
        pthread_mutex_lock(&s->lock);
        err = keep_model(s, &m, request->body);
        newest = s->newest_round;
        pthread_mutex_unlock(&s->lock);
        if (err != 0) {
            problem_set(&why, err, NULL, "no memory for the model");
        }
    }
    if (err == 0 && m.round < newest) {
        err = problem_set(&why, CAIRN_ERR_CLOSED, NULL, "round %u is over", (unsigned)m.round);
    }
    if (err == 0) {
        s->host->wake(s->host->ctx);
        answer_json(reply, json_pack("{s:I}", "round", (json_int_t)newest));
    } else if (err == CAIRN_ERR_CLOSED) {
        answer_problem_with(reply, &why, "round", newest);
    } else {
        http_reply_problem(reply, &why);
    }
}

/* ---- frames on their way up ---- */

static size_t admit_batch(struct role *role, const char *query, int64_t content_length,
                          struct http_reply *refusal)
{
    (void)query;
    (void)content_length;
    (void)refusal;
    const struct switch_role *s = (const struct switch_role *)role;
    return fed_plan_batch_limit(&s->plan, s->assignment->settings.batch_bytes);
}

/* Count what a dumb switch passes on, for its log. */
static void note_relayed(struct switch_role *s, const struct wire_batch *batch, double seconds)
{
    pthread_mutex_lock(&s->lock);
    if (s->entry.round == batch->context.round) {
        s->entry.frames += batch->frames;
        s->entry.contributors += batch->first_index == 0;
        s->entry.send_s += seconds;
        s->entry.end_us = now_us(s);
    }
    pthread_mutex_unlock(&s->lock);
}

static void relay_batch(struct switch_role *s, const struct http_request *request,
                        const struct wire_batch *batch, struct http_reply *reply)
{
    struct http_exchange x = {.address = s->uplink.address,
                              .method = "POST",
                              .path = s->uplink.path,
                              .body = request->body};
    const uint64_t from = clock_now_ns(s->host->clock);
    s->host->exchange(s->host->ctx, &x, 1);
    if (x.error != 0) {
        struct cairn_problem why;
        problem_set(&why, CAIRN_ERR_BUSY, "try again; this switch's parent does not answer", "%s",
                    x.what);
        reply->retry_after_s = 1;
        http_reply_problem(reply, &why);
    } else {
        reply->status = x.status;
        reply->retry_after_s = x.retry_after_s;
        reply->body = x.answer;
        x.answer = (struct buf){0};
        if (x.status == 200) {
            note_relayed(s, batch, clock_seconds(from, clock_now_ns(s->host->clock)));
        }
    }
    http_exchange_release(&x);
}

static void handle_receive(struct role *role, const struct http_request *request,
                           struct http_reply *reply)
{
    struct switch_role *s = switch_of(role);
    if (!s->assignment->self.dumb) {
        receiver_handle(&s->receiver, request, reply);
        return;
    }
    struct cairn_problem why = {0};
    struct wire_batch batch;
    int err = wire_batch_read(request->body, &batch, &why);
    if (err == 0) {
        err = receiver_check_experiment(s->assignment->id, batch.context.experiment, &why);
    }
    if (err != 0) {
        http_reply_problem(reply, &why);
        return;
    }
    relay_batch(s, request, &batch, reply);
}

/* ---- the step ---- */

static void drop_finished(struct switch_role *s)
{
    for (uint32_t i = 0; s->finished != NULL && i < s->plan.n_frames; i++) {
        buf_release(&s->finished[i]);
    }
    s->next = 0;
    s->built = 0;
}

static void take_model(struct switch_role *s)
{
    pthread_mutex_lock(&s->lock);
    const bool present = s->pending.size > 0;
    if (present) {
        buf_release(&s->model);
        s->model = s->pending;
        s->pending = (struct buf){0};
        s->round = s->newest_round;
        s->final_taken = s->final_came;
    }
    pthread_mutex_unlock(&s->lock);
    if (!present) {
        return;
    }
    for (size_t i = 0; i < s->down.n; i++) {
        s->down.targets[i].body = buf_span(&s->model);
    }
    downlink_restart(&s->down);
    drop_finished(s);
    s->up_stalled = s->final_taken || s->assignment->self.dumb;
    uplink_begin(&s->uplink, s->round);
}

static void note_trouble(struct switch_role *s, const struct cairn_problem *why)
{
    log_line(LOG_ERROR, "round %u: %s", (unsigned)s->round, why->what);
    pthread_mutex_lock(&s->lock);
    memcpy(s->trouble, why->what, sizeof s->trouble);
    pthread_mutex_unlock(&s->lock);
}

static uint64_t pass_model_down(struct switch_role *s)
{
    uint64_t again = UINT64_MAX;
    struct cairn_problem why = {0};
    if (downlink_done(&s->down)) {
        return UINT64_MAX;
    }
    if (downlink_step(&s->down, s->host, &again, &why) != 0) {
        note_trouble(s, &why);
    }
    if (downlink_done(&s->down)) {
        buf_release(&s->model);
        if (s->final_taken) {
            roundlog_finish(&s->log);
        }
    }
    return again;
}

/* Sums that are complete become frames of this switch. */
static int build_finished(struct switch_role *s, struct cairn_problem *why)
{
    struct fed_sum sum;
    int err = 0;
    while (err == 0 && receiver_take(&s->receiver, &sum)) {
        struct buf *frame = &s->finished[sum.index];
        size_t payload_at = 0;
        buf_clear(frame);
        err = wire_frame_begin(frame, sum.index, sum.contributors, sum.weight,
                               s->plan.he.short_id, sum.payload.size, buf_span(&sum.set),
                               &payload_at);
        if (err == 0 && sum.payload.size > 0) {
            memcpy(frame->data + payload_at, sum.payload.data, sum.payload.size);
        }
        if (err == 0) {
            err = wire_frame_end(frame, 0, &s->uplink.context);
        }
        if (err == 0) {
            s->built = sum.index + 1;
            pthread_mutex_lock(&s->lock);
            s->entry.contributors = sum.contributors;
            pthread_mutex_unlock(&s->lock);
        } else {
            problem_set(why, err, NULL, "the sum of frame %u cannot be sent on: %s",
                        (unsigned)sum.index, cairn_error_sentence(err));
        }
        fed_sum_release(&sum);
    }
    return err;
}

static int build_batch(struct switch_role *s, uint32_t frames)
{
    static const uint8_t room_for_header[WIRE_BATCH_HEADER];
    buf_clear(&s->batch);
    int err = buf_append(&s->batch, room_for_header, sizeof room_for_header);
    for (uint32_t i = 0; err == 0 && i < frames; i++) {
        const struct buf *frame = &s->finished[s->next + i];
        err = buf_append(&s->batch, frame->data, frame->size);
    }
    return err;
}

/* The parent has everything below `next`. It may not fall back below what was dropped. */
static void move_to(struct switch_role *s, uint32_t next)
{
    for (uint32_t i = s->next; i < next && i < s->built; i++) {
        buf_release(&s->finished[i]);
    }
    s->next = next;
}

static void round_sent(struct switch_role *s)
{
    pthread_mutex_lock(&s->lock);
    if (s->entry.round == s->round) {
        s->entry.end_us = now_us(s);
        s->entry.frames = s->plan.n_frames;
        s->entry.send_s = s->uplink.send_s;
        s->entry.fold_s = receiver_fold_seconds(&s->receiver);
    }
    close_entry(s);
    pthread_mutex_unlock(&s->lock);
    s->up_stalled = true;
}

/* One batch. @return true when there may be another */
static bool send_batch(struct switch_role *s, uint64_t *again)
{
    const uint32_t at_once = fed_plan_batch_frames(&s->plan, s->assignment->settings.batch_bytes);
    const uint32_t left = s->built - s->next;
    const uint32_t frames = left < at_once ? left : at_once;
    struct cairn_problem why = {0};
    uint32_t next = 0;
    if (build_batch(s, frames) != 0) {
        problem_set(&why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a batch");
        note_trouble(s, &why);
        backoff_failed(&s->uplink.backoff, clock_now_ns(s->host->clock), s->uplink.origin, 0);
        *again = s->uplink.backoff.retry_at_ns;
        return false;
    }
    switch (uplink_post(&s->uplink, s->host, &s->batch, s->next, frames, &next, &why)) {
    case UPLINK_NEXT:
        if (next < s->next || next > s->plan.n_frames) {
            problem_set(&why, CAIRN_ERR_WRONG_INDEX, "start the round again",
                        "the parent asks for frame %u; this switch has sent on everything below %u",
                        (unsigned)next, (unsigned)s->next);
            break;
        }
        move_to(s, next);
        return true;
    case UPLINK_LATER:
        log_line(LOG_WARNING, "round %u: %s; trying again", (unsigned)s->round, why.what);
        *again = s->uplink.backoff.retry_at_ns;
        return false;
    case UPLINK_CLOSED:
        problem_set(&why, CAIRN_ERR_CLOSED, NULL, "the parent has closed this round");
        break;
    case UPLINK_FAILED:
        break;
    }
    note_trouble(s, &why);
    s->up_stalled = true;
    return false;
}

static uint64_t send_sums_up(struct switch_role *s)
{
    struct cairn_problem why = {0};
    uint64_t again = UINT64_MAX;
    if (s->up_stalled || s->round == 0) {
        return UINT64_MAX;
    }
    if (build_finished(s, &why) != 0) {
        note_trouble(s, &why);
        s->up_stalled = true;
        return UINT64_MAX;
    }
    if (s->uplink.backoff.retry_at_ns > clock_now_ns(s->host->clock)) {
        return s->uplink.backoff.retry_at_ns;
    }
    while (s->next < s->built && send_batch(s, &again)) {
    }
    if (!s->up_stalled && s->next == s->plan.n_frames) {
        round_sent(s);
    }
    return again;
}

static uint64_t switch_step(struct role *role)
{
    struct switch_role *s = switch_of(role);
    take_model(s);
    const uint64_t up = send_sums_up(s);
    const uint64_t down = pass_model_down(s);
    return up < down ? up : down;
}

/* ---- what others see ---- */

static void switch_status(struct role *role, json_t *into)
{
    struct switch_role *s = switch_of(role);
    pthread_mutex_lock(&s->lock);
    json_object_set_new(into, "state", json_string(s->final_came ? "finished" : "passing"));
    json_object_set_new(into, "round", json_integer((json_int_t)s->newest_round));
    json_object_set_new(into, "dumb", json_boolean(s->assignment->self.dumb));
    if (s->trouble[0] != '\0') {
        json_object_set_new(into, "trouble", json_string(s->trouble));
    }
    pthread_mutex_unlock(&s->lock);
    json_object_set_new(into, "parameters", json_string(s->plan.he.id));
}

static json_t *switch_log(struct role *role)
{
    return roundlog_document(&switch_of(role)->log);
}

static void switch_free(struct role *role)
{
    struct switch_role *s = switch_of(role);
    drop_finished(s);
    free(s->finished);
    receiver_release(&s->receiver);
    downlink_release(&s->down);
    if (s->log_ready) {
        roundlog_release(&s->log);
    }
    if (s->lock_ready) {
        pthread_mutex_destroy(&s->lock);
    }
    buf_release(&s->pending);
    buf_release(&s->model);
    buf_release(&s->batch);
    if (s->assignment != NULL) {
        fed_assignment_release(s->assignment);
        free(s->assignment);
    }
    free(s);
}

static const struct role_route switch_routes[] = {
    {"POST", "/s/receive", admit_batch, handle_receive},
    {"POST", "/s/model", admit_model, handle_model},
    {NULL, NULL, NULL, NULL},
};

/* ---- birth ---- */

static int make_links(struct switch_role *s, const struct fed_assignment *a)
{
    int err = downlink_init(&s->down, a->n_children);
    for (size_t i = 0; err == 0 && i < a->n_children; i++) {
        struct downlink_target *target = &s->down.targets[i];
        memcpy(target->address, a->children[i], sizeof target->address);
        target->path = a->child_types[i] == FED_CLIENT ? "/c/model" : "/s/model";
        target->delivered = true; /* nothing to deliver yet */
    }
    memcpy(s->uplink.address, a->parent, sizeof s->uplink.address);
    s->uplink.path = a->parent_type == FED_AGGREGATOR ? "/a/receive" : "/s/receive";
    s->uplink.origin = a->node;
    memcpy(s->uplink.context.experiment, a->id, WIRE_EXPERIMENT);
    s->uplink.context.stream = WIRE_STREAM_UPDATE;
    return err;
}

static int make_fold(struct switch_role *s, const struct fed_assignment *a)
{
    s->finished = calloc(s->plan.n_frames, sizeof *s->finished);
    if (s->finished == NULL) {
        return CAIRN_ERR_NO_MEMORY;
    }
    return receiver_init(&s->receiver, s->host, &s->plan, a->streams, a->n_streams, a->id);
}

int switch_new(struct fed_assignment *assignment, const struct role_host *host, struct role **out,
               struct cairn_problem *why)
{
    struct switch_role *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a switch");
    }
    s->host = host;
    s->role = (struct role){.name = "switch",
                            .routes = switch_routes,
                            .step = switch_step,
                            .status = switch_status,
                            .log = switch_log,
                            .free = switch_free};
    const struct fed_settings *settings = &assignment->settings;
    struct he_params he;
    int err = he_params_choose(settings->profile, settings->value_bits, assignment->n_clients, &he,
                               why);
    if (err == 0) {
        err = fed_plan_init(&s->plan, &he, (size_t)assignment->n_params, settings->frame_params,
                            assignment->n_clients, settings->batch_bytes, why);
    }
    if (err == 0 && !assignment->self.dumb) {
        err = make_fold(s, assignment);
    }
    if (err == 0) {
        err = make_links(s, assignment);
    }
    if (err == 0) {
        err = roundlog_init(&s->log, host, assignment->self.address, "switch", settings->experiment);
        s->log_ready = err == 0;
    }
    if (err != 0) {
        if (why->code == 0) {
            problem_set(why, err, NULL, "a switch cannot start: %s", cairn_error_sentence(err));
        }
        switch_free(&s->role);
        return err;
    }
    pthread_mutex_init(&s->lock, NULL);
    s->lock_ready = true;
    s->assignment = assignment;
    *out = &s->role;
    return 0;
}
