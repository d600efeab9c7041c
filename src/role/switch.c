/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A switch, read from top to bottom:
 *
 *   handle_model      the first piece of a model has come: open the fold for its round, ask for a step
 *   switch_step       watch the children -> pass the model on -> take complete sums -> send them up
 *   handle_receive    folding: the receiver adds the frames
 *   relay             dumb: the parent gets the request as it is, the child gets the parent's answer
 *
 * It needs no disk. After a restart it gets its config from the aggregator and the open round, with the
 * frame to go on at, from its parent; its children are told the same way.
 */
#include "switch.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "busy.h"
#include "downlink.h"
#include "json.h"
#include "log.h"
#include "model_message.h"
#include "pieces.h"
#include "plan.h"
#include "receiver.h"
#include "roundlog.h"
#include "sampling.h"
#include "sizes.h"
#include "tenseal_batch.h"
#include "uplink.h"
#include "watch.h"

/* What came in and the step has not taken. Guarded by lock. */
struct arrivals {
    struct buf model; /* piece 0 of a round; empty = nothing */
    bool rewind;      /* the parent wants this round's sums again ... */
    uint32_t from;    /* ... from here on */
    uint32_t deadline_ms;
};

struct switch_role {
    struct role role;
    const struct role_host *host;
    struct fed_assignment *assignment;
    struct fed_plan plan;
    struct receiver receiver; /* folding only */
    struct pieces pieces;
    struct watch watch; /* of the children */
    struct roundlog log;
    bool log_ready, lock_ready;

    pthread_mutex_t lock; /* guards down to `trouble` */
    struct arrivals arrived;
    uint32_t newest_round;
    bool final_came;
    struct roundlog_entry entry; /* of the newest round */
    struct busy relaying;        /* dumb only: batches are with the parent */
    char trouble[400];
    bool *lost; /* n_streams: a switch below says that the stream's origin is dead */

    /* only the stepping thread touches what follows */
    struct buf model; /* piece 0 of the round, on its way to the children */
    struct downlink down;
    struct uplink uplink;
    struct fed_closing closing;
    uint64_t deadline_ns; /* of delivering to the parent */
    uint32_t round;
    uint32_t chosen;      /* clients below that take part in it */
    bool *awaited;        /* n_streams: those that have such clients; folding only */
    bool final_taken;
    bool up_ended;        /* nothing more goes up in this round */
    struct buf *finished; /* n_frames: whole frames that the parent has not taken yet */
    uint32_t next;        /* frame to send: the parent has everything below */
    uint32_t built;       /* frames 0 .. built-1 are complete */
    struct buf batch;
};

static struct switch_role *switch_of(struct role *role)
{
    return (struct switch_role *)role; /* its first member */
}

static bool is_dumb(const struct switch_role *s)
{
    return s->assignment->self.dumb;
}

static int64_t now_us(const struct switch_role *s)
{
    return s->host->clock->wall_us(s->host->clock->ctx);
}

/* ---- the model comes in ---- */

static size_t admit_model(struct role *role, const char *query, int64_t length,
                          struct http_reply *refusal)
{
    (void)query;
    (void)length;
    (void)refusal;
    const struct switch_role *s = switch_of(role);
    size_t size = 0;
    return wire_model_size(s->assignment->n_tensors, s->plan.n_words,
                           fed_plan_piece_count(&s->plan, 0), 0, &size) == 0
               ? size
               : 0;
}

static int check_model(const struct switch_role *s, const struct wire_model *m,
                       struct cairn_problem *why)
{
    const int err = receiver_check_experiment(s->assignment->id, m->experiment, why);
    if (err == 0 && (m->parameters != s->plan.n_params || m->n_words != s->plan.n_words || m->first != 0 ||
                     m->count != fed_plan_piece_count(&s->plan, 0))) {
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
    if (final ? s->final_came : m->round < s->newest_round) {
        return 0;
    }
    if (!final && m->round == s->newest_round) {
        s->arrived.rewind = true; /* it has this model: the parent tells where to go on */
        s->arrived.from = m->next_frame;
        s->arrived.deadline_ms = m->deadline_ms;
        return 0;
    }
    buf_clear(&s->arrived.model);
    const int err = buf_append(&s->arrived.model, body.data, body.size);
    if (err != 0) {
        return err;
    }
    close_entry(s);
    s->arrived.rewind = false;
    s->final_came = final;
    s->newest_round = m->round;
    if (!final) {
        s->entry = (struct roundlog_entry){.round = m->round, .start_us = now_us(s)};
        busy_restart(&s->relaying, clock_now_ns(s->host->clock));
        pieces_open(&s->pieces, m->round);
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
        } else if (m.round < newest) {
            err = problem_set(&why, CAIRN_ERR_CLOSED, NULL, "round %u is over", (unsigned)m.round);
        }
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

static void handle_piece(struct role *role, const struct http_request *request,
                         struct http_reply *reply)
{
    pieces_handle(&switch_of(role)->pieces, request, reply);
}

/* ---- frames come in ---- */

static size_t admit_batch(struct role *role, const char *query, int64_t length,
                          struct http_reply *refusal)
{
    (void)length;
    struct switch_role *s = switch_of(role);
    const size_t batch_bytes = s->assignment->settings.batch_bytes;
    const size_t limit = is_dumb(s) ? fed_plan_batch_limit(&s->plan, batch_bytes)
                                    : receiver_admit(&s->receiver, query, refusal);
    return tenseal_batch_admit(&s->plan, batch_bytes, query, limit, refusal);
}

/* Count what a dumb switch passes on, for its log. */
static void note_relayed(struct switch_role *s, const struct wire_batch *batch)
{
    pthread_mutex_lock(&s->lock);
    if (s->entry.round == batch->context.round) {
        s->entry.frames += batch->frames;
        s->entry.contributors += batch->first_index == 0;
        s->entry.send_s = s->relaying.seconds;
        s->entry.end_us = now_us(s);
    }
    pthread_mutex_unlock(&s->lock);
}

/* Ask the parent what a child asked, with its query, and answer what the parent answers.
 * @return the status of that */
static int relay(struct switch_role *s, const struct http_request *request, const char *route,
                 struct http_reply *reply)
{
    char path[256];
    snprintf(path, sizeof path, "%s%s%s%.180s", s->uplink.side, route,
             request->query[0] != '\0' ? "?" : "", request->query);
    struct http_exchange x = {.address = s->uplink.address,
                              .method = request->method,
                              .path = path,
                              .body = request->body};
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
    }
    const int status = x.error == 0 ? x.status : 0;
    http_exchange_release(&x);
    return status;
}

static void relay_batch(struct switch_role *s, const struct http_request *request,
                        struct http_reply *reply)
{
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
    pthread_mutex_lock(&s->lock);
    busy_begin(&s->relaying, clock_now_ns(s->host->clock));
    pthread_mutex_unlock(&s->lock);
    const int status = relay(s, request, "/receive", reply);
    pthread_mutex_lock(&s->lock);
    busy_end(&s->relaying, clock_now_ns(s->host->clock));
    pthread_mutex_unlock(&s->lock);
    if (status == 200) {
        note_relayed(s, &batch);
    }
}

static void take_batch(struct role *role, const struct http_request *request,
                       struct http_reply *reply)
{
    struct switch_role *s = switch_of(role);
    if (is_dumb(s)) {
        relay_batch(s, request, reply);
    } else {
        receiver_handle(&s->receiver, request, reply);
    }
}

static void handle_receive(struct role *role, const struct http_request *request,
                           struct http_reply *reply)
{
    const struct switch_role *s = switch_of(role);
    if (tenseal_batch_asked(request->query)) {
        tenseal_batch_handle(&s->plan, s->assignment->id, s->assignment->settings.batch_bytes,
                             request, reply, take_batch, role);
    } else {
        take_batch(role, request, reply);
    }
}

static void handle_tenseal(struct role *role, const struct http_request *request,
                           struct http_reply *reply)
{
    const struct switch_role *s = switch_of(role);
    (void)request;
    tenseal_context_handle(&s->plan, buf_span(&s->assignment->public_key), reply);
}

/* What a dumb switch passes on, it passes on whole: only its parent knows whether it is wanted. */
static size_t take_part(struct role *role, const struct http_request *request)
{
    struct switch_role *s = switch_of(role);
    return is_dumb(s) || tenseal_batch_asked(request->query)
               ? SIZE_MAX
               : receiver_part(&s->receiver, request);
}

static void handle_next(struct role *role, const struct http_request *request,
                        struct http_reply *reply)
{
    struct switch_role *s = switch_of(role);
    if (is_dumb(s)) {
        (void)relay(s, request, "/next", reply);
    } else {
        receiver_next(&s->receiver, request, reply);
    }
}

/* ---- a round begins, or begins again ---- */

static void drop_finished(struct switch_role *s)
{
    for (uint32_t i = 0; s->finished != NULL && i < s->plan.n_frames; i++) {
        buf_release(&s->finished[i]);
    }
}

/* Who takes part in this round. @return clients that make a quorum of those below */
static uint32_t choose_clients(struct switch_role *s)
{
    const struct fed_assignment *a = s->assignment;
    struct fed_sample sample;
    fed_sample_choose(&a->settings, a->n_clients, s->round, &sample);
    s->chosen = fed_sample_streams(&sample, a->streams, a->n_streams, a->stream_clients, s->awaited);
    return fed_quorum(&a->settings, sample.size, s->chosen);
}

/* Everything from frame `first` on is collected (again), and the children are told. */
static void collect_from(struct switch_role *s, uint32_t first)
{
    const struct fed_assignment *a = s->assignment;
    const uint64_t now = clock_now_ns(s->host->clock);
    const uint64_t left_ms = s->deadline_ns <= now ? 0 : (s->deadline_ns - now) / 1000000;
    downlink_halt(&s->down); /* nobody reads the message while it changes */
    wire_model_retime(s->model.data, s->model.size, first, (uint32_t)((double)left_ms * FED_DEADLINE_SHARE));
    for (size_t i = 0; i < s->down.n; i++) {
        s->down.targets[i].body = buf_span(&s->model);
        downlink_again(&s->down, i);
    }
    uplink_begin(&s->uplink, s->round);
    const uint32_t quorum = choose_clients(s);
    s->up_ended = s->final_taken || is_dumb(s) || s->chosen == 0;
    if (s->up_ended) {
        return;
    }
    drop_finished(s);
    first = first < s->plan.n_frames ? first : s->plan.n_frames;
    s->next = s->built = first;
    receiver_open(&s->receiver, s->round, first, s->awaited);
    fed_closing_begin(&s->closing, now, s->deadline_ns, a->grace_s, quorum);
}

static void set_deadline(struct switch_role *s, uint32_t deadline_ms)
{
    s->deadline_ns = clock_now_ns(s->host->clock) + (uint64_t)deadline_ms * 1000000;
}

/* The parent has sent the model of the open round once more, because it has lost frames, or only because it did not hear
 * our answer: it is asked where to go on. */
static void ask_where_to_go_on(struct switch_role *s, const struct arrivals *arrived)
{
    set_deadline(s, arrived->deadline_ms);
    if (is_dumb(s) || s->chosen == 0) {
        collect_from(s, arrived->from); /* only the children hear of it */
    } else {
        s->up_ended = false;
        uplink_ask(&s->uplink, arrived->from);
    }
}

static void take_arrivals(struct switch_role *s)
{
    pthread_mutex_lock(&s->lock);
    const struct arrivals arrived = s->arrived;
    const bool model = arrived.model.size > 0, final = s->final_came;
    s->arrived.rewind = false;
    if (model) {
        s->arrived.model = (struct buf){0};
        s->round = s->newest_round;
        s->trouble[0] = '\0';
    }
    pthread_mutex_unlock(&s->lock);
    if (model) {
        const struct wire_model m = wire_model_again(arrived.model.data);
        downlink_halt(&s->down);
        buf_release(&s->model);
        s->model = arrived.model;
        s->final_taken = final;
        set_deadline(s, m.deadline_ms);
        collect_from(s, m.next_frame);
    } else if (arrived.rewind && !s->final_taken) {
        ask_where_to_go_on(s, &arrived);
    }
}

static void note_trouble(struct switch_role *s, const struct cairn_problem *why)
{
    log_line(LOG_ERROR, "round %u: %s", (unsigned)s->round, why->what);
    pthread_mutex_lock(&s->lock);
    memcpy(s->trouble, why->what, sizeof s->trouble);
    pthread_mutex_unlock(&s->lock);
}

/* ---- children ---- */

/* Can this stream's frames arrive? A switch watches its children and is told of those farther below, where
 * a dumb one passes their frames on. Any thread. */
static bool stream_lives(struct switch_role *s, size_t i)
{
    pthread_mutex_lock(&s->lock);
    const bool lost = s->lost[i];
    pthread_mutex_unlock(&s->lock);
    return !lost && watch_state(&s->watch, s->assignment->streams[i].child) != FED_DEAD;
}

/* Streams that are dead are not waited for. */
static void mind_streams(struct switch_role *s, size_t child)
{
    for (size_t i = 0; !is_dumb(s) && i < s->assignment->n_streams; i++) {
        if (s->assignment->streams[i].child == child) {
            receiver_set_live(&s->receiver, s->assignment->streams[i].origin, stream_lives(s, i));
        }
    }
}

static bool is_listed(const json_t *list, uint32_t origin)
{
    for (size_t k = 0; k < json_array_size(list); k++) {
        if (json_integer_value(json_array_get(list, k)) == (json_int_t)origin) {
            return true;
        }
    }
    return false;
}

/* A switch tells which of its streams are dead; a client's status has no such list. */
static void take_lost(struct switch_role *s, size_t child, const json_t *list)
{
    bool changed = false;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->assignment->n_streams; i++) {
        const struct fed_stream *stream = &s->assignment->streams[i];
        const bool lost = stream->child == child && is_listed(list, stream->origin);
        if (stream->child == child && s->lost[i] != lost) {
            s->lost[i] = lost;
            changed = true;
        }
    }
    pthread_mutex_unlock(&s->lock);
    if (changed) {
        mind_streams(s, child);
    }
}

static json_t *lost_json(struct switch_role *s)
{
    json_t *list = json_array();
    for (size_t i = 0; i < s->assignment->n_streams; i++) {
        if (!stream_lives(s, i)) {
            (void)json_array_append_new(list,
                                        json_integer((json_int_t)s->assignment->streams[i].origin));
        }
    }
    return list;
}

/* A child has told its status: if it has missed the open round, or the end, it gets that again. */
static void child_heard(void *ctx, size_t child, const json_t *status)
{
    struct switch_role *s = ctx;
    take_lost(s, child, json_object_get(status, "lost"));
    const bool missed = s->final_taken
                            ? strcmp(json_get_text(status, "state", ""), "finished") != 0
                            : json_get_int(status, "round", 0) < s->round;
    if (s->round > 0 && missed) {
        downlink_again(&s->down, child);
    }
}

static void child_changed(void *ctx, size_t child, enum fed_life life)
{
    (void)life;
    mind_streams(ctx, child);
}

/* Does any child who is alive still want it? */
static bool model_is_awaited(struct switch_role *s)
{
    for (size_t i = 0; i < s->down.n; i++) {
        if (!s->down.targets[i].delivered && watch_state(&s->watch, i) != FED_DEAD) {
            return true;
        }
    }
    return false;
}

static uint64_t pass_model_down(struct switch_role *s)
{
    uint64_t again = UINT64_MAX;
    struct cairn_problem why = {0};
    if (downlink_step(&s->down, &again, &why) != 0) {
        note_trouble(s, &why);
    }
    if (s->final_taken && !model_is_awaited(s)) {
        roundlog_finish(&s->log);
    }
    return again;
}

/* ---- sums on their way up ---- */

/* A sum that is complete becomes a frame of this switch. */
static int build_frame(struct switch_role *s, const struct fed_sum *sum)
{
    struct buf *frame = &s->finished[sum->index];
    size_t payload_at = 0;
    buf_clear(frame);
    int err = wire_frame_begin(frame, sum->index, sum->contributors, sum->weight,
                               fed_plan_he(&s->plan, sum->index)->short_id, sum->payload.size, buf_span(&sum->set),
                               &payload_at);
    if (err == 0 && sum->payload.size > 0) {
        memcpy(frame->data + payload_at, sum->payload.data, sum->payload.size);
    }
    if (err == 0) {
        err = wire_frame_words(frame, 0, buf_span(&sum->words));
    }
    return err != 0 ? err : wire_frame_end(frame, 0, &s->uplink.context);
}

static int build_finished(struct switch_role *s, struct cairn_problem *why)
{
    struct fed_sum sum;
    int err = 0;
    while (err == 0 && receiver_take(&s->receiver, &sum)) {
        err = build_frame(s, &sum);
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
    int err = uplink_reserve(&s->batch);
    for (uint32_t i = 0; err == 0 && i < frames; i++) {
        const struct buf *frame = &s->finished[s->next + i];
        err = buf_append(&s->batch, frame->data, frame->size);
    }
    return err;
}

/* The parent has everything below `next`. */
static void move_to(struct switch_role *s, uint32_t next)
{
    for (uint32_t i = s->next; i < next && i < s->built; i++) {
        buf_release(&s->finished[i]);
    }
    s->next = next;
    receiver_move(&s->receiver, next);
}

static void round_sent(struct switch_role *s)
{
    pthread_mutex_lock(&s->lock);
    if (s->entry.round == s->round) {
        s->entry.end_us = now_us(s);
        s->entry.frames = s->next;
        s->entry.send_s = s->uplink.send_s;
        s->entry.fold_s = receiver_fold_seconds(&s->receiver);
    }
    close_entry(s);
    pthread_mutex_unlock(&s->lock);
    s->up_ended = true;
}

static void give_up_round(struct switch_role *s, const struct cairn_problem *why)
{
    note_trouble(s, why);
    receiver_close(&s->receiver); /* its children need not send what will go nowhere */
    round_sent(s);
}

static void go_on_at(struct switch_role *s, uint32_t next)
{
    if (s->next <= next && next <= s->built) {
        move_to(s, next);
        return;
    }
    log_line(LOG_WARNING, "round %u: the parent goes on at frame %u, not %u; collecting from there",
             (unsigned)s->round, (unsigned)next, (unsigned)s->next);
    collect_from(s, next);
}

/* Let the next batch fly, if there is one and it may. @return when to try again; 0 = it took off */
static uint64_t send_batch(struct switch_role *s)
{
    const uint32_t most = fed_plan_batch_frames(&s->plan, s->assignment->settings.batch_bytes);
    const uint32_t left = s->built - s->next;
    const uint32_t frames = left < most ? left : most;
    if (frames == 0 && !s->uplink.lost) {
        return UINT64_MAX;
    }
    if (!uplink_ready(&s->uplink)) {
        return s->uplink.backoff.retry_at_ns;
    }
    if (s->uplink.lost || uplink_holds(&s->uplink, s->next)) {
        uplink_repeat(&s->uplink);
        return 0;
    }
    if (build_batch(s, frames) != 0) {
        backoff_failed(&s->uplink.backoff, clock_now_ns(s->host->clock), s->uplink.origin, 0);
        log_line(LOG_WARNING, "round %u: no memory for a batch; trying again", (unsigned)s->round);
        return s->uplink.backoff.retry_at_ns;
    }
    uplink_post(&s->uplink, &s->batch, s->next, frames);
    return 0;
}

/* @return when to be called again */
static uint64_t send_sums_up(struct switch_role *s)
{
    uint64_t again = 0;
    while (again == 0 && !s->up_ended) {
        struct cairn_problem why = {0};
        uint32_t next = 0;
        switch (uplink_land(&s->uplink, &next, &why)) {
        case UPLINK_FLYING:
            return UINT64_MAX;
        case UPLINK_IDLE:
            break;
        case UPLINK_NEXT:
            go_on_at(s, next);
            break;
        case UPLINK_LATER:
            log_line(LOG_WARNING, "round %u: %s; trying again", (unsigned)s->round, why.what);
            break;
        case UPLINK_CLOSED:
            problem_set(&why, CAIRN_ERR_CLOSED, NULL, "the parent has closed this round");
            give_up_round(s, &why);
            return UINT64_MAX;
        case UPLINK_FAILED:
            give_up_round(s, &why);
            return UINT64_MAX;
        }
        if (!s->up_ended && s->next == s->plan.n_frames && !s->uplink.lost) {
            round_sent(s);
        }
        again = s->up_ended ? UINT64_MAX : send_batch(s);
    }
    return again == 0 ? UINT64_MAX : again;
}

static const char *name_of(void *ctx, uint32_t node)
{
    const struct switch_role *s = ctx;
    for (size_t i = 0; i < s->assignment->n_streams; i++) {
        const struct fed_stream *stream = &s->assignment->streams[i];
        if (stream->origin == node) {
            return s->assignment->children[stream->child];
        }
    }
    return "?";
}

/* Say who was waited for, and take no more. */
static void close_fold(struct switch_role *s, enum fed_close reason)
{
    char who[320];
    receiver_waiting_for(&s->receiver, name_of, s, who, sizeof who);
    if (who[0] != '\0') {
        log_line(LOG_WARNING, "round %u: closed (%s) without %s", (unsigned)s->round,
                 fed_close_name(reason), who);
    }
    receiver_close(&s->receiver);
}

static uint64_t collect(struct switch_role *s)
{
    struct cairn_problem why = {0};
    uint64_t again = UINT64_MAX;
    if (s->up_ended || s->round == 0) {
        return UINT64_MAX;
    }
    const enum fed_close reason = receiver_closing(&s->receiver, &s->closing, &again);
    if (reason == FED_CLOSE_GRACE || reason == FED_CLOSE_DEADLINE) {
        close_fold(s, reason);
    }
    again = reason == FED_WAIT ? again : UINT64_MAX; /* else the parent alone is waited for */
    if (build_finished(s, &why) != 0) {
        give_up_round(s, &why);
        return UINT64_MAX;
    }
    const uint64_t up = send_sums_up(s);
    return up < again ? up : again;
}

static uint64_t switch_step(struct role *role)
{
    struct switch_role *s = switch_of(role);
    take_arrivals(s);
    uint64_t again = watch_step(&s->watch);
    const uint64_t up = collect(s);
    const uint64_t down = pass_model_down(s);
    again = up < again ? up : again;
    return down < again ? down : again;
}

/* ---- what others see ---- */

static void switch_status(struct role *role, json_t *into)
{
    struct switch_role *s = switch_of(role);
    pthread_mutex_lock(&s->lock);
    json_object_set_new(into, "state", json_string(s->final_came ? "finished" : "passing"));
    json_object_set_new(into, "round", json_integer((json_int_t)s->newest_round));
    json_object_set_new(into, "dumb", json_boolean(is_dumb(s)));
    if (s->trouble[0] != '\0') {
        json_object_set_new(into, "trouble", json_string(s->trouble));
    }
    pthread_mutex_unlock(&s->lock);
    json_object_set_new(into, "parameters", json_string(s->plan.he.id));
    json_object_set_new(into, "params_in_plain", json_integer((json_int_t)fed_plan_in_plain(&s->plan)));
    json_object_set_new(into, "children", watch_json(&s->watch));
    json_object_set_new(into, "lost", lost_json(s));
    if (!is_dumb(s)) {
        json_object_set_new(into, "refused", json_integer((json_int_t)receiver_refused(&s->receiver)));
    }
}

static json_t *switch_log(struct role *role)
{
    return roundlog_document(&switch_of(role)->log);
}

static void switch_free(struct role *role)
{
    struct switch_role *s = switch_of(role);
    watch_release(&s->watch);
    downlink_release(&s->down);
    uplink_release(&s->uplink);
    drop_finished(s);
    free(s->finished);
    free(s->awaited);
    receiver_release(&s->receiver);
    pieces_release(&s->pieces);
    if (s->log_ready) {
        roundlog_release(&s->log);
    }
    if (s->lock_ready) {
        pthread_mutex_destroy(&s->lock);
    }
    buf_release(&s->arrived.model);
    buf_release(&s->model);
    buf_release(&s->batch);
    free(s->lost);
    if (s->assignment != NULL) {
        fed_assignment_release(s->assignment);
        free(s->assignment);
    }
    free(s);
}

static const struct role_route switch_routes[] = {
    {"POST", "/s/receive", admit_batch, handle_receive, take_part},
    {"GET", "/s/next", NULL, handle_next, NULL},
    {"GET", "/s/tenseal", NULL, handle_tenseal, NULL},
    {"POST", "/s/model", admit_model, handle_model, NULL},
    {"GET", "/s/model", NULL, handle_piece, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

/* ---- birth ---- */

static int make_links(struct switch_role *s, const struct fed_assignment *a)
{
    int err = downlink_init(&s->down, s->host, a->n_children);
    if (err == 0) {
        err = watch_init(&s->watch, s->host, a->n_children, a->settings.heartbeat_s);
    }
    for (size_t i = 0; err == 0 && i < a->n_children; i++) {
        struct downlink_target *target = &s->down.targets[i];
        memcpy(target->address, a->children[i], sizeof target->address);
        memcpy(s->watch.nodes[i].address, a->children[i], sizeof s->watch.nodes[i].address);
        target->path = a->child_types[i] == FED_CLIENT ? "/c/model" : "/s/model";
    }
    s->watch.heard = child_heard;
    s->watch.changed = child_changed;
    s->watch.ctx = s;
    uplink_init(&s->uplink, s->host, a);
    pieces_init(&s->pieces, s->host, a, &s->plan);
    return err;
}

static int make_fold(struct switch_role *s, const struct fed_assignment *a)
{
    const struct fed_settings *settings = &a->settings;
    s->finished = calloc(s->plan.n_frames, sizeof *s->finished);
    s->awaited = size_alloc_array(a->n_streams, sizeof *s->awaited);
    if (s->finished == NULL || s->awaited == NULL) {
        return CAIRN_ERR_NO_MEMORY;
    }
    return receiver_init(&s->receiver, s->host, &s->plan, a->streams, a->n_streams,
                         fed_plan_window(&s->plan, settings->window_bytes, settings->batch_bytes),
                         fed_plan_batch_limit(&s->plan, settings->batch_bytes), a->id);
}

static int make_plan(struct switch_role *s, const struct fed_assignment *a,
                     struct cairn_problem *why)
{
    const struct fed_settings *settings = &a->settings;
    const bool noise = settings->noise_multiplier > 0;
    struct he_params he;
    int err =
        he_params_choose(settings->profile, settings->value_bits, a->n_clients, &he, why);
    if (err == 0) {
        err = fed_plan_init(&s->plan, &he, (size_t)a->n_params, settings->frame_params,
                            a->n_clients, settings->batch_bytes, why);
    }
    if (err == 0) {
        err = fed_plan_split(&s->plan, (size_t)a->n_plain, noise, why);
    }
    if (err == 0) {
        err = fed_plan_carry(&s->plan, a->n_words, noise, why);
    }
    s->plan.noise = noise;
    return err;
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
    int err = make_plan(s, assignment, why);
    if (err == 0 && !assignment->self.dumb) {
        err = make_fold(s, assignment);
    }
    if (err == 0) {
        err = make_links(s, assignment);
    }
    if (err == 0) {
        s->lost = calloc(assignment->n_streams, sizeof *s->lost);
        err = s->lost != NULL ? 0 : CAIRN_ERR_NO_MEMORY;
    }
    if (err == 0) {
        err = roundlog_init(&s->log, host, assignment->self.address, "switch",
                            assignment->settings.experiment);
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
