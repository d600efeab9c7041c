/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client, read from top to bottom:
 *
 *   handle_model    a model has come: keep it, ask for a step
 *   client_step     take the model -> train_round -> send_frames, as far as they go
 *   train_round     train, refuse what is not finite, owe the update
 *   send_frames     quantise and encrypt a batch of frames, post it, go where the parent says
 *
 * What is owed stays as it is until the next model comes, so any frame can be quantised again, with
 * the same integers, and encrypted again, with fresh randomness, whatever index the parent asks
 * for.
 */
#include "client.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "frame.h"
#include "log.h"
#include "model_message.h"
#include "parallel.h"
#include "plan.h"
#include "quantiser.h"
#include "roundlog.h"
#include "secret.h"
#include "sizes.h"
#include "uplink.h"

enum client_state {
    CLIENT_WAITING,  /* for a model */
    CLIENT_TRAINING, /* on the own slice */
    CLIENT_SENDING,  /* frames to the parent */
    CLIENT_SENT,     /* the parent has them all; the next model is awaited */
    CLIENT_STALLED,  /* the parent refused for good; the next model is awaited */
    CLIENT_FINISHED, /* the final model has come */
};

static const char *const state_names[] = {"waiting", "training", "sending",
                                          "sent",    "stalled",  "finished"};

/* A model as it came, until the step takes it. Guarded by lock. */
struct pending_model {
    bool present;
    uint32_t round;
    uint16_t flags;
    uint64_t largest_samples;
    int64_t arrived_us;
    float *weights; /* n_params; NULL where the trainer needs no model */
    double *steps;  /* n_tensors */
};

struct client {
    struct role role;
    const struct role_host *host;
    struct fed_assignment *assignment;
    struct trainer *trainer;
    struct fed_plan plan;
    struct he_public_key *key;
    struct parallel *team; /* works on the chunks of a frame, then on the digests of a batch */
    struct he_crew *crew;
    struct secret_rng *rng; /* NULL without encryption */
    size_t *frames_at;      /* at_once: where in the batch its frames begin */
    uint32_t at_once;       /* frames in a batch */
    size_t frame_params;    /* in the first frame, which no other exceeds */
    int32_t *values;        /* frame_params: the frame that is being built */
    struct roundlog log;
    bool log_ready, lock_ready;

    pthread_mutex_t lock; /* guards the next four */
    struct pending_model pending;
    enum client_state state;
    uint32_t newest_round; /* of any model that came */
    char trouble[400];     /* why it stalled or sat out, for GET /status */

    /* only the stepping thread touches what follows */
    float *global; /* n_params: the model of this round; NULL where the trainer needs none */
    float *local;  /* n_params: after training; NULL when the trainer tells updates run by run */
    float *owed;   /* n_params: what is to be sent, see quantiser.h */
    float *run;    /* one frame's parameters, of a trainer that tells them run by run */
    struct quantiser quantiser; /* of this round */
    bool unsettled;             /* this round's integers have not been taken off what is owed */
    uint32_t counted;           /* frames whose saturated values are in the entry */
    double *steps;              /* n_tensors */
    uint64_t largest_samples;
    uint32_t round;
    bool sits_out; /* this round's update was refused: contribute nothing */
    uint32_t next; /* frame to send */
    struct uplink uplink;
    struct buf batch;
    struct buf set; /* own bit */
    struct roundlog_entry entry;
};

static struct client *client_of(struct role *role)
{
    return (struct client *)role; /* its first member */
}

static void set_state(struct client *c, enum client_state state)
{
    pthread_mutex_lock(&c->lock);
    c->state = state;
    pthread_mutex_unlock(&c->lock);
    log_line(LOG_DEBUG, "round %u: %s", (unsigned)c->round, state_names[state]);
}

/* ---- what comes in ---- */

static size_t admit_model(struct role *role, const char *query, int64_t content_length,
                          struct http_reply *refusal)
{
    (void)query;
    (void)content_length;
    (void)refusal;
    const struct client *c = (const struct client *)role;
    size_t size = 0;
    return wire_model_size(c->assignment->n_tensors, c->assignment->n_params, 0, &size) == 0 ? size
                                                                                             : 0;
}

static int check_model(const struct client *c, const struct wire_model *m,
                       struct cairn_problem *why)
{
    if (memcmp(m->experiment, c->assignment->id, WIRE_EXPERIMENT) != 0) {
        return problem_set(why, CAIRN_ERR_UNKNOWN, "post the config of that experiment first",
                           "this model belongs to an experiment that does not run here");
    }
    if (m->parameters != c->plan.n_params || m->tensors != c->trainer->shape->n_tensors) {
        return problem_set(why, CAIRN_ERR_REFUSED, "all nodes must run the same model and data",
                           "the model has %llu parameters in %u tensors, expected %zu in %zu",
                           (unsigned long long)m->parameters, (unsigned)m->tensors,
                           c->plan.n_params, c->trainer->shape->n_tensors);
    }
    if (m->count != m->parameters) {
        return problem_set(why, CAIRN_ERR_REFUSED, NULL, "a piece of the model, not the whole");
    }
    if (m->largest_samples < c->trainer->samples || m->largest_samples == 0) {
        return problem_set(why, CAIRN_ERR_REFUSED, NULL,
                           "largest sample count %llu, but this client has %llu",
                           (unsigned long long)m->largest_samples,
                           (unsigned long long)c->trainer->samples);
    }
    return 0;
}

/* Under the lock. @return false when this model or a newer one has come before */
static bool keep_model(struct client *c, const struct wire_model *m)
{
    const bool final = (m->flags & WIRE_MODEL_FINAL) != 0;
    if (final ? c->state == CLIENT_FINISHED : m->round <= c->newest_round) {
        return false;
    }
    if (c->trainer->needs_model) {
        memcpy(c->pending.weights, m->weights, c->plan.n_params * sizeof(float));
    }
    memcpy(c->pending.steps, m->steps, c->trainer->shape->n_tensors * sizeof(double));
    c->pending.present = true;
    c->pending.round = m->round;
    c->pending.flags = m->flags;
    c->pending.largest_samples = m->largest_samples;
    c->pending.arrived_us = c->host->clock->wall_us(c->host->clock->ctx);
    c->newest_round = m->round;
    return true;
}

static void handle_model(struct role *role, const struct http_request *request,
                         struct http_reply *reply)
{
    struct client *c = client_of(role);
    struct cairn_problem why = {0};
    struct wire_model m;
    int err = wire_model_read(request->body, &m, &why);
    if (err == 0) {
        err = check_model(c, &m, &why);
    }
    if (err != 0) {
        http_reply_problem(reply, &why);
        return;
    }
    pthread_mutex_lock(&c->lock);
    const bool fresh = keep_model(c, &m);
    const uint32_t newest = c->newest_round;
    pthread_mutex_unlock(&c->lock);
    if (fresh) {
        c->host->wake(c->host->ctx);
    }
    if (m.round < newest) {
        problem_set(&why, CAIRN_ERR_CLOSED, NULL, "round %u is over", (unsigned)m.round);
        answer_problem_with(reply, &why, "round", newest);
        return;
    }
    answer_json(reply, json_pack("{s:I}", "round", (json_int_t)newest));
}

/* The original project's nudge: training begins by itself when a model comes, so this only answers whether it has. */
static void handle_train(struct role *role, const struct http_request *request,
                         struct http_reply *reply)
{
    (void)request;
    struct client *c = client_of(role);
    pthread_mutex_lock(&c->lock);
    const enum client_state state = c->state;
    const uint32_t round = c->newest_round;
    pthread_mutex_unlock(&c->lock);
    if (round == 0) {
        struct cairn_problem why;
        problem_set(&why, CAIRN_ERR_REFUSED, "the aggregator opens the first round",
                    "there is no model to train yet");
        http_reply_problem(reply, &why);
        return;
    }
    answer_json(reply, json_pack("{s:I, s:s}", "round", (json_int_t)round, "state",
                                 state_names[state]));
}

/* ---- training ---- */

static bool newer_model_waits(struct client *c)
{
    pthread_mutex_lock(&c->lock);
    const bool waits = c->pending.present;
    pthread_mutex_unlock(&c->lock);
    return waits;
}

/* The round is over: what its integers came to is no longer owed. */
static void settle(struct client *c)
{
    if (c->unsettled) {
        quantiser_settle(&c->quantiser, c->owed, 0, c->plan.n_params);
        c->unsettled = false;
    }
}

static bool take_pending(struct client *c)
{
    if (!newer_model_waits(c)) {
        return false;
    }
    settle(c); /* while the round's steps are still here; a model that waits does not go away */
    pthread_mutex_lock(&c->lock);
    float *weights = c->global;
    c->global = c->pending.weights;
    c->pending.weights = weights;
    double *steps = c->steps;
    c->steps = c->pending.steps;
    c->pending.steps = steps;
    c->pending.present = false;
    c->round = c->pending.round;
    c->largest_samples = c->pending.largest_samples;
    c->entry = (struct roundlog_entry){.round = c->round, .start_us = c->pending.arrived_us};
    c->state = (c->pending.flags & WIRE_MODEL_FINAL) != 0 ? CLIENT_FINISHED : CLIENT_TRAINING;
    c->trouble[0] = '\0';
    pthread_mutex_unlock(&c->lock);
    return true;
}

static void sit_out(struct client *c, const struct cairn_problem *why)
{
    c->sits_out = true;
    pthread_mutex_lock(&c->lock);
    memcpy(c->trouble, why->what, sizeof c->trouble);
    pthread_mutex_unlock(&c->lock);
    log_line(LOG_ERROR, "round %u: sits out: %s", (unsigned)c->round, why->what);
}

/* A frame's run of the update, refused if it is no number. */
static int update_run(struct client *c, uint32_t frame, struct cairn_problem *why)
{
    const size_t first = fed_plan_first(&c->plan, frame), n = fed_plan_count(&c->plan, frame);
    c->trainer->update(c->trainer, c->round, c->assignment->self.index, first, n, c->run);
    return quantiser_check_finite_part(c->trainer->shape, c->run, first, n, why);
}

/* All runs are looked at before the first is owed: a round is sat out as a whole. */
static int owe_by_run(struct client *c, struct cairn_problem *why)
{
    int err = 0;
    for (uint32_t i = 0; err == 0 && i < c->plan.n_frames; i++) {
        err = update_run(c, i, why);
    }
    for (uint32_t i = 0; err == 0 && c->trainer->samples > 0 && i < c->plan.n_frames; i++) {
        err = update_run(c, i, why);
        quantiser_add(c->run, c->owed + fed_plan_first(&c->plan, i), fed_plan_count(&c->plan, i));
    }
    return err;
}

static int owe_local(struct client *c, struct cairn_problem *why)
{
    const int err = quantiser_check_finite(c->trainer->shape, c->local, why);
    if (err == 0 && c->trainer->samples > 0) {
        quantiser_owe(c->global, c->local, c->owed, c->plan.n_params);
    }
    return err;
}

static void train_round(struct client *c)
{
    struct cairn_problem why = {0};
    struct train_metrics metrics = {0};
    const uint64_t from = clock_now_ns(c->host->clock);
    c->sits_out = false;
    int err = c->trainer->train(c->trainer, c->global, c->local, c->assignment->settings.seed,
                                c->round, c->assignment->self.index, &metrics, &why);
    if (err == 0) {
        err = c->trainer->by_run ? owe_by_run(c, &why) : owe_local(c, &why);
    }
    c->entry.train_s = clock_seconds(from, clock_now_ns(c->host->clock));
    if (err != 0) {
        sit_out(c, &why);
    } else {
        c->quantiser = (struct quantiser){.shape = c->trainer->shape,
                                          .steps = c->steps,
                                          .value_bits = c->assignment->settings.value_bits,
                                          .samples = c->trainer->samples,
                                          .largest_samples = c->largest_samples,
                                          .seed = c->assignment->settings.seed,
                                          .round = c->round,
                                          .client_index = c->assignment->self.index};
        c->unsettled = true;
    }
    c->next = 0;
    c->counted = 0;
    uplink_begin(&c->uplink, c->round);
    set_state(c, CLIENT_SENDING);
}

/* ---- sending ---- */

/* One frame at the end of the batch, all but its digest. */
static int build_frame(struct client *c, uint32_t index, size_t *frame_at,
                       struct cairn_problem *why)
{
    const size_t first = fed_plan_first(&c->plan, index), count = fed_plan_count(&c->plan, index);
    size_t payload_at = 0;
    int err;
    *frame_at = c->batch.size;
    if (c->sits_out) {
        err = wire_frame_begin(&c->batch, index, 0, 0, c->plan.he.short_id, 0, (struct span){0},
                               &payload_at);
    } else {
        err =
            wire_frame_begin(&c->batch, index, 1, c->trainer->samples, c->plan.he.short_id,
                             he_payload_bytes(&c->plan.he, count), buf_span(&c->set), &payload_at);
    }
    if (err == 0 && !c->sits_out) {
        quantiser_read(&c->quantiser, c->owed + first, first, count, c->values,
                       index >= c->counted ? &c->entry.saturated : NULL);
        c->counted = index >= c->counted ? index + 1 : c->counted; /* not when it is built again */
        err = he_encrypt(&c->plan.he, c->key, c->rng, c->crew, c->assignment->nonce, c->round,
                         index, c->values, count, c->batch.data + payload_at, why);
    }
    return err != 0 ? err : wire_frame_close(&c->batch, *frame_at);
}

/* Digesting takes about as long as encrypting. */
static void seal_one(void *ctx, size_t i, unsigned worker)
{
    struct client *c = ctx;
    (void)worker;
    wire_frame_seal(c->batch.data + c->frames_at[i], &c->uplink.context);
}

static int build_batch(struct client *c, uint32_t frames, struct cairn_problem *why)
{
    static const uint8_t room_for_header[WIRE_BATCH_HEADER];
    const uint64_t from = clock_now_ns(c->host->clock);
    buf_clear(&c->batch);
    int err = buf_append(&c->batch, room_for_header, sizeof room_for_header);
    for (uint32_t i = 0; err == 0 && i < frames; i++) {
        err = build_frame(c, c->next + i, &c->frames_at[i], why);
    }
    if (err == 0) {
        parallel_for(c->team, frames, seal_one, c);
    }
    c->entry.encrypt_s += clock_seconds(from, clock_now_ns(c->host->clock));
    if (err != 0 && why->code == 0) {
        problem_set(why, err, NULL, "frames %u to %u cannot be built: %s", (unsigned)c->next,
                    (unsigned)(c->next + frames - 1), cairn_error_sentence(err));
    }
    return err;
}

/* Nothing more to send in this round: all is delivered, or the parent has closed it. */
static void round_ended(struct client *c)
{
    c->entry.end_us = c->host->clock->wall_us(c->host->clock->ctx);
    c->entry.send_s = c->uplink.send_s;
    c->entry.frames = c->next;
    c->entry.contributors = c->sits_out || c->next == 0 ? 0 : 1;
    roundlog_add(&c->log, &c->entry);
    set_state(c, CLIENT_SENT);
}

static void stall(struct client *c, const struct cairn_problem *why)
{
    log_line(LOG_ERROR, "round %u: %s", (unsigned)c->round, why->what);
    pthread_mutex_lock(&c->lock);
    memcpy(c->trouble, why->what, sizeof c->trouble);
    c->state = CLIENT_STALLED;
    pthread_mutex_unlock(&c->lock);
}

/* @return when to be called again */
static uint64_t send_frames(struct client *c)
{
    while (c->next < c->plan.n_frames && !newer_model_waits(c)) {
        const uint32_t left = c->plan.n_frames - c->next;
        const uint32_t frames = left < c->at_once ? left : c->at_once;
        struct cairn_problem why = {0};
        if (build_batch(c, frames, &why) != 0) {
            stall(c, &why);
            return UINT64_MAX;
        }
        uint32_t next = 0;
        switch (uplink_post(&c->uplink, c->host, &c->batch, c->next, frames, &next, &why)) {
        case UPLINK_NEXT:
            c->next = next;
            break;
        case UPLINK_LATER:
            log_line(LOG_WARNING, "round %u: %s; trying again", (unsigned)c->round, why.what);
            return c->uplink.backoff.retry_at_ns;
        case UPLINK_CLOSED:
            log_line(LOG_WARNING, "round %u was closed after %u of %u frames", (unsigned)c->round,
                     (unsigned)c->next, (unsigned)c->plan.n_frames);
            round_ended(c);
            return UINT64_MAX;
        case UPLINK_FAILED:
            stall(c, &why);
            return UINT64_MAX;
        }
    }
    if (c->next >= c->plan.n_frames) {
        round_ended(c);
    }
    return UINT64_MAX;
}

static uint64_t client_step(struct role *role)
{
    struct client *c = client_of(role);
    uint64_t again = UINT64_MAX;
    do {
        if (take_pending(c)) {
            if (c->state == CLIENT_FINISHED) {
                roundlog_finish(&c->log);
                return UINT64_MAX;
            }
            train_round(c);
        }
        if (c->state == CLIENT_SENDING &&
            c->uplink.backoff.retry_at_ns <= clock_now_ns(c->host->clock)) {
            again = send_frames(c);
        } else if (c->state == CLIENT_SENDING) {
            again = c->uplink.backoff.retry_at_ns;
        }
    } while (newer_model_waits(c));
    return again;
}

/* ---- what others see ---- */

static void client_status(struct role *role, json_t *into)
{
    struct client *c = client_of(role);
    pthread_mutex_lock(&c->lock);
    json_object_set_new(into, "state", json_string(state_names[c->state]));
    json_object_set_new(into, "round", json_integer((json_int_t)c->newest_round));
    if (c->trouble[0] != '\0') {
        json_object_set_new(into, "trouble", json_string(c->trouble));
    }
    pthread_mutex_unlock(&c->lock);
    json_object_set_new(into, "samples", json_integer((json_int_t)c->trainer->samples));
    json_object_set_new(into, "parameters", json_string(c->plan.he.id));
}

static json_t *client_log(struct role *role)
{
    return roundlog_document(&client_of(role)->log);
}

/* What this client alone has learned does not stay in freed memory. */
static void free_wiped(void *memory, size_t size)
{
    if (memory != NULL) {
        secret_wipe(memory, size);
    }
    free(memory);
}

static void client_free(struct role *role)
{
    struct client *c = client_of(role);
    if (c->lock_ready) {
        pthread_mutex_destroy(&c->lock);
    }
    if (c->log_ready) {
        roundlog_release(&c->log);
    }
    if (c->trainer != NULL) {
        c->trainer->free(c->trainer);
    }
    he_public_key_free(c->key);
    secret_rng_free(c->rng);
    he_crew_free(c->crew);
    parallel_free(c->team);
    free(c->frames_at);
    free_wiped(c->values, c->frame_params * sizeof *c->values);
    free(c->pending.weights);
    free(c->pending.steps);
    free(c->global);
    free_wiped(c->local, c->plan.n_params * sizeof *c->local);
    free_wiped(c->owed, c->plan.n_params * sizeof *c->owed);
    free_wiped(c->run, c->frame_params * sizeof *c->run);
    free(c->steps);
    buf_release(&c->batch);
    buf_release(&c->set);
    if (c->assignment != NULL) {
        fed_assignment_release(c->assignment);
        free(c->assignment);
    }
    free(c);
}

static const struct role_route client_routes[] = {
    {"POST", "/c/model", admit_model, handle_model},
    {"POST", "/c/train", NULL, handle_train},
    {NULL, NULL, NULL, NULL},
};

/* ---- birth ---- */

static int load_key(struct client *c, const struct fed_assignment *a, struct cairn_problem *why)
{
    if (a->settings.profile == HE_NONE) {
        return 0;
    }
    if (a->public_key.size == 0) {
        return problem_set(why, CAIRN_ERR_CONFIG, "let the aggregator send the config",
                           "profile %s needs a public key and the config brings none; "
                           "this node will not send updates in plain",
                           he_profile_name(a->settings.profile));
    }
    return he_public_key_read(buf_span(&a->public_key), &c->plan.he, &c->key, why);
}

static int make_team(struct client *c, const struct fed_settings *s)
{
    c->at_once = fed_plan_batch_frames(&c->plan, s->batch_bytes);
    c->frame_params = fed_plan_count(&c->plan, 0);
    c->values = size_alloc_array(c->frame_params, sizeof *c->values);
    c->frames_at = size_alloc_array(c->at_once, sizeof *c->frames_at);
    if (c->values == NULL || c->frames_at == NULL) {
        return CAIRN_ERR_NO_MEMORY;
    }
    int err = parallel_new(s->train_threads, &c->team);
    if (err == 0) {
        err = he_crew_new(&c->plan.he, c->team, &c->crew);
    }
    return err != 0 || s->profile == HE_NONE ? err : secret_rng_new(&c->rng);
}

static int make_plan(struct client *c, const struct fed_assignment *a, struct cairn_problem *why)
{
    struct he_params he;
    int err = he_params_choose(a->settings.profile, a->settings.value_bits, a->n_clients, &he, why);
    if (err == 0 && (c->trainer->shape->n_params != a->n_params ||
                     c->trainer->shape->n_tensors != a->n_tensors)) {
        err = problem_set(why, CAIRN_ERR_CONFIG,
                          "use the same data set and model.layers on all nodes",
                          "this client's model has %zu parameters, the aggregator's %llu",
                          c->trainer->shape->n_params, (unsigned long long)a->n_params);
    }
    return err != 0 ? err
                    : fed_plan_init(&c->plan, &he, (size_t)a->n_params, a->settings.frame_params,
                                    a->n_clients, a->settings.batch_bytes, why);
}

static int allocate(struct client *c, uint32_t index)
{
    const size_t n = c->plan.n_params, tensors = c->trainer->shape->n_tensors;
    const struct trainer *t = c->trainer;
    c->pending.steps = size_alloc_array(tensors, sizeof(double));
    c->steps = size_alloc_array(tensors, sizeof(double));
    c->owed = size_alloc_array(n, sizeof(float));
    if (t->needs_model) {
        c->pending.weights = size_alloc_array(n, sizeof(float));
        c->global = size_alloc_array(n, sizeof(float));
    }
    if (t->by_run) {
        c->run = size_alloc_array(c->frame_params, sizeof(float));
    } else {
        c->local = size_alloc_array(n, sizeof(float));
    }
    if (c->pending.steps == NULL || c->steps == NULL || c->owed == NULL ||
        (t->needs_model && (c->pending.weights == NULL || c->global == NULL)) ||
        (t->by_run ? c->run == NULL : c->local == NULL)) {
        return CAIRN_ERR_NO_MEMORY;
    }
    const size_t set = fed_plan_set_bytes(&c->plan);
    const int err = buf_reserve(&c->set, set);
    if (err == 0) {
        memset(c->set.data, 0, set);
        c->set.data[index / 8] = (uint8_t)(1U << (index % 8));
        c->set.size = set;
    }
    return err;
}

int client_new(struct fed_assignment *assignment, const struct role_host *host, struct role **out,
               struct cairn_problem *why)
{
    struct client *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a client");
    }
    c->host = host;
    c->role = (struct role){.name = "client",
                            .routes = client_routes,
                            .step = client_step,
                            .status = client_status,
                            .log = client_log,
                            .free = client_free};
    const struct fed_settings *s = &assignment->settings;
    int err = host->trainer(host->ctx, s, assignment->self.client_number, assignment->self.index,
                            &c->trainer, why);
    if (err == 0) {
        err = make_plan(c, assignment, why);
    }
    if (err == 0) {
        err = load_key(c, assignment, why);
    }
    if (err == 0) {
        err = make_team(c, s);
    }
    if (err == 0) {
        err = allocate(c, assignment->self.index);
    }
    if (err == 0) {
        err = roundlog_init(&c->log, host, assignment->self.address, "client", s->experiment);
        c->log_ready = err == 0;
    }
    if (err != 0) {
        if (why->code == 0) {
            problem_set(why, err, NULL, "a client cannot start: %s", cairn_error_sentence(err));
        }
        client_free(&c->role);
        return err;
    }
    pthread_mutex_init(&c->lock, NULL);
    c->lock_ready = true;
    c->assignment = assignment;
    memcpy(c->uplink.address, assignment->parent, sizeof c->uplink.address);
    c->uplink.path = assignment->parent_type == FED_AGGREGATOR ? "/a/receive" : "/s/receive";
    c->uplink.origin = assignment->node;
    memcpy(c->uplink.context.experiment, assignment->id, WIRE_EXPERIMENT);
    c->uplink.context.stream = WIRE_STREAM_UPDATE;
    *out = &c->role;
    return 0;
}
