/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client, read from top to bottom:
 *
 *   handle_model    the first piece of a model has come: keep it, ask for a step
 *   client_step     take it -> fetch the other pieces -> train -> send, as far as each goes
 *   train_round     train, refuse what is not finite, add the update to what is owed
 *   send_frames     encrypt a batch of frames while the one before is in the air, go where the parent says
 *
 * What is owed is kept from round to round, and the integers of a frame are worked out when the frame is
 * built: any frame can be built again, with the same integers and fresh randomness, whatever index the
 * parent asks for, until the next model comes.
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
#include "pieces.h"
#include "plan.h"
#include "privacy.h"
#include "privacy_noise.h"
#include "quantiser.h"
#include "receiver.h"
#include "roundlog.h"
#include "sampling.h"
#include "secret.h"
#include "sizes.h"
#include "uplink.h"

enum client_state {
    CLIENT_WAITING,  /* for a model */
    CLIENT_FETCHING, /* the rest of it */
    CLIENT_TRAINING, /* on the own slice */
    CLIENT_SENDING,  /* frames to the parent */
    CLIENT_SENT,     /* the parent has them all, or has closed the round; the next model is awaited */
    CLIENT_RESTING,  /* others take part in this round; the next model is awaited */
    CLIENT_STALLED,  /* the parent refused for good; the next model is awaited */
    CLIENT_FINISHED, /* the final model has come */
};

static const char *const state_names[] = {"waiting", "fetching", "training", "sending",
                                          "sent",    "resting",  "stalled",  "finished"};

/* What came in and the step has not taken. Guarded by lock. */
struct arrivals {
    struct buf model; /* piece 0 of a round; empty = nothing */
    int64_t at_us;    /* wall clock, for the log */
    uint64_t at_ns;   /* monotonic */
    bool rewind;      /* the parent wants this round's frames again ... */
    uint32_t from;    /* ... from here on */
};

/* A batch that is ready before it may take off. */
struct ahead {
    struct buf bytes;
    uint32_t first, frames; /* frames = 0: there is none */
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
    size_t *frames_at;      /* at_once: where in the batch that is built its frames begin */
    uint32_t at_once;       /* frames in a batch */
    struct roundlog log;
    bool log_ready, lock_ready;

    pthread_mutex_t lock; /* guards the next six */
    struct arrivals arrived;
    enum client_state state;
    uint32_t newest_round; /* of any model that came */
    char trouble[400];     /* why it stalled or sat out, or what else was wrong, for GET /status */
    uint32_t trouble_round; /* the last round that had any; 0 = none yet */
    char last_trouble[400]; /* of that round */

    /* only the stepping thread touches what follows */
    struct buf opening; /* piece 0 of this round */
    float *global;      /* n_params: the model of this round; NULL where the trainer does not need it */
    float *local;       /* n_params: after training; NULL where the trainer tells its update run by run */
    float *owed;        /* n_params: update and what rounding lost before */
    int32_t *integers;  /* of one frame */
    double *steps;      /* n_tensors: of this round */
    struct quantiser quantiser; /* of this round; it reads `steps` */
    struct fed_privacy privacy;
    struct privacy_noise *noise; /* NULL: none is added */
    double norm2, share;         /* of this round's update: its squared length, and what clipping leaves of it */
    bool settled;       /* `owed` holds what is left after sending, not what is to be sent */
    uint32_t round;
    uint64_t fetch_ns;  /* when fetching them began */
    uint32_t fetched;   /* pieces 0 .. fetched-1 are here */
    struct flight fetch;
    struct backoff fetch_backoff;
    bool sits_out;      /* this round's update was refused: contribute nothing */
    bool newcomer;      /* of its rounds this is the first: another process may have sent some of it */
    uint64_t samples;   /* behind this round's update */
    uint32_t next;      /* frame to send */
    uint32_t counted;   /* frames whose saturated values are counted */
    struct uplink uplink;
    struct ahead ahead;
    double meanwhile_s; /* of encrypting, while a batch of this round was in the air */
    struct buf set; /* own bit */
    struct roundlog_entry entry; /* round 0 when it is in the log */
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

static size_t admit_model(struct role *role, const char *query, int64_t length,
                          struct http_reply *refusal)
{
    (void)query;
    (void)length;
    (void)refusal;
    const struct client *c = client_of(role);
    size_t size = 0;
    return wire_model_size(c->assignment->n_tensors, c->plan.n_words,
                           fed_plan_piece_count(&c->plan, 0), 0, &size) == 0
               ? size
               : 0;
}

/* With noise, how long a step is decides how much of it there is: the config says it, not the parent. */
static int check_steps(const struct client *c, const struct wire_model *m,
                       struct cairn_problem *why)
{
    for (size_t t = 0; c->privacy.noise && t < m->tensors; t++) {
        double step;
        memcpy(&step, m->steps + t * sizeof step, sizeof step);
        if (step != c->privacy.step) {
            return problem_set(why, CAIRN_ERR_REFUSED, NULL,
                               "tensor %zu has steps of %g, and this config's privacy asks for %g",
                               t, step, c->privacy.step);
        }
    }
    return 0;
}

static int check_model(const struct client *c, const struct wire_model *m,
                       struct cairn_problem *why)
{
    const int err = receiver_check_experiment(c->assignment->id, m->experiment, why);
    if (err != 0) {
        return err;
    }
    if (m->first != 0 || m->count != fed_plan_piece_count(&c->plan, 0) ||
        m->parameters != c->plan.n_params || m->tensors != c->trainer->shape->n_tensors ||
        m->n_words != c->plan.n_words) {
        return problem_set(why, CAIRN_ERR_REFUSED, "all nodes must run the same model and data",
                           "the model has %llu parameters in %u tensors, expected %zu in %zu",
                           (unsigned long long)m->parameters, (unsigned)m->tensors,
                           c->plan.n_params, c->trainer->shape->n_tensors);
    }
    if (m->largest_samples < c->trainer->samples || m->largest_samples == 0) {
        return problem_set(why, CAIRN_ERR_REFUSED, NULL,
                           "largest sample count %llu, but this client has %llu",
                           (unsigned long long)m->largest_samples,
                           (unsigned long long)c->trainer->samples);
    }
    return check_steps(c, m, why);
}

/* Under the lock. */
static int keep_model(struct client *c, const struct wire_model *m, struct span body)
{
    if ((m->flags & WIRE_MODEL_FINAL) != 0 ? c->state == CLIENT_FINISHED
                                           : m->round < c->newest_round) {
        return 0;
    }
    if (m->round == c->newest_round && (m->flags & WIRE_MODEL_FINAL) == 0) {
        c->arrived.rewind = true; /* it has this model: the parent tells where to go on */
        c->arrived.from = m->next_frame;
        return 0;
    }
    buf_clear(&c->arrived.model);
    const int err = buf_append(&c->arrived.model, body.data, body.size);
    if (err == 0) {
        c->arrived.at_us = c->host->clock->wall_us(c->host->clock->ctx);
        c->arrived.at_ns = clock_now_ns(c->host->clock);
        c->arrived.rewind = false;
        c->newest_round = m->round;
    }
    return err;
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
    uint32_t newest = 0;
    if (err == 0) {
        pthread_mutex_lock(&c->lock);
        err = keep_model(c, &m, request->body);
        newest = c->newest_round;
        pthread_mutex_unlock(&c->lock);
        if (err != 0) {
            problem_set(&why, err, NULL, "no memory for the model");
        } else if (m.round < newest) {
            err = problem_set(&why, CAIRN_ERR_CLOSED, NULL, "round %u is over", (unsigned)m.round);
        }
    }
    if (err == 0) {
        c->host->wake(c->host->ctx);
        answer_json(reply, json_pack("{s:I}", "round", (json_int_t)newest));
    } else if (err == CAIRN_ERR_CLOSED) {
        answer_problem_with(reply, &why, "round", newest);
    } else {
        http_reply_problem(reply, &why);
    }
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

/* ---- ends of rounds ---- */

/* Nothing more to send in this round: all is delivered, or it is closed, or another one begins. */
static void end_entry(struct client *c)
{
    if (c->entry.round == 0) {
        return;
    }
    c->entry.end_us = c->host->clock->wall_us(c->host->clock->ctx);
    c->entry.send_s = c->uplink.send_s > c->meanwhile_s ? c->uplink.send_s - c->meanwhile_s : 0;
    c->entry.frames = c->next;
    c->entry.contributors = c->sits_out || c->next == 0 ? 0 : 1;
    roundlog_add(&c->log, &c->entry);
    c->entry.round = 0;
}

static void note_trouble(struct client *c, const struct cairn_problem *why)
{
    log_line(LOG_ERROR, "round %u: %s", (unsigned)c->round, why->what);
    memcpy(c->entry.trouble, why->what, sizeof c->entry.trouble);
    pthread_mutex_lock(&c->lock);
    memcpy(c->trouble, why->what, sizeof c->trouble);
    memcpy(c->last_trouble, why->what, sizeof c->last_trouble);
    c->trouble_round = c->round;
    pthread_mutex_unlock(&c->lock);
}

static void stall(struct client *c, const struct cairn_problem *why)
{
    note_trouble(c, why);
    end_entry(c);
    set_state(c, CLIENT_STALLED);
}

/* Frames without contributors go up, so that nobody waits for this client's update. */
static void sit_out(struct client *c, const struct cairn_problem *why)
{
    c->sits_out = true;
    note_trouble(c, why);
    log_line(LOG_ERROR, "round %u: sits out", (unsigned)c->round);
}

/* The parent has frames up to `next`. Where a process before this one may have sent them, there is another update behind them, with
 * other noise, and all that a client sends in a round is to be no longer than noise is counted for. */
static void leave_rest(struct client *c, uint32_t sent, uint32_t next)
{
    struct cairn_problem why = {0};
    if (c->noise == NULL || !c->newcomer || c->sits_out || next <= sent) {
        return;
    }
    problem_set(&why, CAIRN_ERR_REFUSED, NULL,
                "frames %u to %u may have been sent before this client was started anew: with "
                "privacy noise an update is sent by one process or not to its end",
                (unsigned)sent, (unsigned)(next - 1));
    sit_out(c, &why);
    c->ahead.frames = 0;
}

/* ---- the model ---- */

static void take_weights(struct client *c, const struct wire_model *m)
{
    if (m->words != NULL && m->n_words > 0) {
        memcpy(c->trainer->words, m->words, (size_t)m->n_words * sizeof *c->trainer->words);
    }
    if (c->trainer->take_model != NULL) {
        if (m->first == 0) {
            c->trainer->take_model(c->trainer, 0, 0, m->weights);
        }
        c->trainer->take_model(c->trainer, (size_t)m->first, (size_t)m->count, m->weights);
    } else if (c->global != NULL) {
        memcpy(c->global + m->first, m->weights, (size_t)m->count * sizeof(float));
    }
}

/* What the last round sent is no longer owed. */
static void settle(struct client *c)
{
    if (!c->settled && c->assignment->settings.error_feedback) {
        quantiser_settle(&c->quantiser, c->owed, 0, c->plan.n_params);
    } else if (!c->assignment->settings.error_feedback) {
        memset(c->owed, 0, c->plan.n_params * sizeof *c->owed);
    }
    c->settled = true;
}

static bool takes_part(const struct client *c)
{
    struct fed_sample sample;
    fed_sample_choose(&c->assignment->settings, c->assignment->n_clients, c->round, &sample);
    return fed_sample_has(&sample, c->assignment->self.index);
}

static void begin_round(struct client *c, const struct wire_model *m,
                        const struct arrivals *arrived)
{
    const struct fed_settings *s = &c->assignment->settings;
    end_entry(c);
    const uint64_t from = clock_now_ns(c->host->clock);
    settle(c); /* with the steps of the round that was sent, before they are overwritten */
    c->fetch_ns = clock_now_ns(c->host->clock);
    memcpy(c->steps, m->steps, c->trainer->shape->n_tensors * sizeof *c->steps);
    c->newcomer = c->round == 0;
    c->round = m->round;
    c->quantiser = (struct quantiser){.shape = c->trainer->shape,
                                      .steps = c->steps,
                                      .value_bits = s->value_bits,
                                      .samples = c->trainer->samples,
                                      .largest_samples = m->largest_samples,
                                      .seed = s->seed,
                                      .round = m->round,
                                      .client_index = c->assignment->self.index};
    c->entry = (struct roundlog_entry){.round = m->round,
                                       .start_us = arrived->at_us,
                                       .encrypt_s = clock_seconds(from, c->fetch_ns)};
    c->meanwhile_s = 0;
    c->next = m->next_frame;
    c->counted = 0;
    c->sits_out = false;
    c->samples = c->trainer->samples;
    c->trainer->deadline_ns = arrived->at_ns + m->deadline_ms * UINT64_C(1000000);
    c->ahead.frames = 0;
    uplink_begin(&c->uplink, m->round);
    flight_abandon(&c->fetch);
    backoff_reset(&c->fetch_backoff);
    take_weights(c, m);
    c->fetched = 1;
    pthread_mutex_lock(&c->lock);
    c->trouble[0] = '\0';
    pthread_mutex_unlock(&c->lock);
    if (takes_part(c)) {
        leave_rest(c, 0, m->next_frame);
        set_state(c, c->sits_out ? CLIENT_SENDING : CLIENT_FETCHING);
        return;
    }
    c->sits_out = true;
    end_entry(c);
    set_state(c, CLIENT_RESTING);
}

/* The parent wants this round's frames from here on. */
static void rewind_to(struct client *c, uint32_t from)
{
    const bool sends = c->state == CLIENT_SENDING || c->state == CLIENT_SENT ||
                       c->state == CLIENT_STALLED;
    if (!sends || (c->state == CLIENT_SENDING && from >= c->next)) {
        return;
    }
    if (from < c->next) {
        log_line(LOG_WARNING, "round %u: sending again from frame %u", (unsigned)c->round,
                 (unsigned)from);
        c->next = from;
    }
    c->ahead.frames = 0;
    uplink_begin(&c->uplink, c->round);
    set_state(c, CLIENT_SENDING);
}

/* @return did anything come */
static bool take_arrivals(struct client *c)
{
    pthread_mutex_lock(&c->lock);
    const struct arrivals arrived = c->arrived;
    const bool model = arrived.model.size > 0;
    if (model) {
        c->arrived.model = c->opening;
        buf_clear(&c->arrived.model);
        c->opening = arrived.model;
    }
    c->arrived.rewind = false;
    pthread_mutex_unlock(&c->lock);
    if (model) {
        const struct wire_model m = wire_model_again(c->opening.data);
        if ((m.flags & WIRE_MODEL_FINAL) != 0) {
            end_entry(c);
            set_state(c, CLIENT_FINISHED);
        } else {
            begin_round(c, &m, &arrived);
        }
    } else if (arrived.rewind) {
        rewind_to(c, arrived.from);
    }
    return model || arrived.rewind;
}

static bool something_waits(struct client *c)
{
    pthread_mutex_lock(&c->lock);
    const bool waits = c->arrived.model.size > 0 || c->arrived.rewind;
    pthread_mutex_unlock(&c->lock);
    return waits;
}

/* A piece has landed. @return 0, or what is wrong with it */
static int take_piece(struct client *c, struct cairn_problem *why)
{
    const struct pieces_asked asked = {c->round, c->fetched};
    const struct http_exchange *x = &c->fetch.x;
    struct wire_model m;
    int err = x->error == 0 && x->status == 200 ? 0 : answer_to_problem(x, why);
    if (err == 0) {
        err = pieces_read(buf_span(&x->answer), &c->plan, c->assignment->id, &asked, &m, why);
    }
    if (err == 0) {
        take_weights(c, &m);
        c->fetched++;
        backoff_reset(&c->fetch_backoff);
        return 0;
    }
    if (answer_is_temporary(x) || err == CAIRN_ERR_INTEGRITY || err == CAIRN_ERR_MALFORMED) {
        backoff_failed(&c->fetch_backoff, clock_now_ns(c->host->clock), c->uplink.origin,
                       x->retry_after_s);
        log_line(LOG_WARNING, "round %u: %s; trying again", (unsigned)c->round, why->what);
        return 0;
    }
    return err;
}

/* Pieces 1 and on. @return when to be called again */
static uint64_t fetch_pieces(struct client *c)
{
    struct cairn_problem why = {0};
    while (c->fetched < fed_plan_pieces(&c->plan) && !something_waits(c)) {
        if (flight_landed(&c->fetch)) {
            const int err = take_piece(c, &why);
            flight_clear(&c->fetch);
            if (err != 0) { /* it came too late for this model: its parent need not wait for it */
                sit_out(c, &why);
                set_state(c, CLIENT_SENDING);
                return UINT64_MAX;
            }
            continue;
        }
        if (!flight_idle(&c->fetch)) {
            return UINT64_MAX;
        }
        if (c->fetch_backoff.retry_at_ns > clock_now_ns(c->host->clock)) {
            return c->fetch_backoff.retry_at_ns;
        }
        uplink_target(&c->uplink, "/model", (uint64_t)c->fetched * c->plan.piece_params);
        c->fetch.x = (struct http_exchange){
            .address = c->uplink.address, .method = "GET", .path = c->uplink.target};
        flight_start(&c->fetch, c->host);
    }
    if (c->fetched == fed_plan_pieces(&c->plan)) {
        set_state(c, CLIENT_TRAINING);
    }
    return UINT64_MAX;
}

/* ---- training ---- */

/* Each run of the update of a trainer that tells it run by run. */
static int for_each_run(struct client *c,
                        int (*use)(struct client *c, float *run, size_t first, size_t n,
                                   struct cairn_problem *why),
                        struct cairn_problem *why)
{
    float run[4096];
    const size_t n = c->plan.n_params, most = sizeof run / sizeof run[0];
    int err = 0;
    for (size_t first = 0; err == 0 && first < n; first += most) {
        const size_t here = n - first < most ? n - first : most;
        err = c->trainer->update(c->trainer, c->round, c->assignment->self.index, first, here, run,
                                 why);
        if (err == 0) {
            err = use(c, run, first, here, why);
        }
    }
    secret_wipe(run, sizeof run);
    return err;
}

static int check_run(struct client *c, float *run, size_t first, size_t n,
                     struct cairn_problem *why)
{
    return quantiser_check_finite_part(c->trainer->shape, run, first, n, why);
}

static int measure_run(struct client *c, float *run, size_t first, size_t n,
                       struct cairn_problem *why)
{
    (void)first;
    (void)why;
    quantiser_norm(NULL, run, n, &c->norm2);
    return 0;
}

static int owe_run(struct client *c, float *run, size_t first, size_t n, struct cairn_problem *why)
{
    (void)why;
    quantiser_shrink(NULL, run, n, c->share);
    quantiser_add(run, c->owed + first, n);
    return 0;
}

static int owe_runs(struct client *c, struct cairn_problem *why)
{
    const double clip = c->assignment->settings.clip_norm;
    int err = for_each_run(c, check_run, why);
    if (err == 0 && clip > 0) {
        err = for_each_run(c, measure_run, why);
    }
    c->share = fed_privacy_share(clip, c->norm2);
    if (err == 0) {
        err = for_each_run(c, owe_run, why);
        if (err != 0) { /* some of it is in there: what was owed before goes with it */
            memset(c->owed, 0, c->plan.n_params * sizeof *c->owed);
        }
    }
    return err;
}

/* The update becomes owed, clipped, all of it or nothing. */
static int owe_update(struct client *c, struct cairn_problem *why)
{
    const double clip = c->assignment->settings.clip_norm;
    const size_t n = c->plan.n_params;
    c->norm2 = 0;
    if (c->trainer->by_run) {
        return owe_runs(c, why);
    }
    const int err = quantiser_check_finite(c->trainer->shape, c->local, why);
    if (err == 0 && clip > 0) {
        quantiser_norm(c->global, c->local, n, &c->norm2);
        c->share = fed_privacy_share(clip, c->norm2);
        quantiser_shrink(c->global, c->local, n, c->share);
    }
    if (err == 0) {
        quantiser_owe(c->global, c->local, c->owed, n);
    }
    return err;
}

/* Squared length of the whole numbers that would be sent. */
static uint64_t integers_norm(struct client *c)
{
    uint64_t norm2 = 0;
    for (uint32_t f = 0; f < c->plan.n_frames; f++) {
        const size_t first = fed_plan_first(&c->plan, f), count = fed_plan_count(&c->plan, f);
        quantiser_read(&c->quantiser, c->owed + first, first, count, c->integers, NULL);
        fed_privacy_square(c->integers, count, &norm2);
    }
    return norm2;
}

/* This round's noise, for whole numbers that are no longer than it was counted for. */
static int make_private(struct client *c, struct cairn_problem *why)
{
    if (c->noise == NULL) {
        return 0;
    }
    if (integers_norm(c) > c->privacy.norm2) {
        c->quantiser.toward_zero = true;
        if (integers_norm(c) > c->privacy.norm2) {
            return problem_set(why, CAIRN_ERR_TRAINER,
                               "raise privacy.clip_norm, or train smaller weights",
                               "the update is longer than privacy.clip_norm %g after clipping: "
                               "float32 has no finer weights of that size",
                               c->assignment->settings.clip_norm);
        }
    }
    const int err = privacy_noise_begin(c->noise);
    return err == 0 ? 0 : problem_set(why, err, NULL, "no randomness for noise: nothing is sent");
}

/* A trainer may have used fewer samples than it has. */
static void take_weight(struct client *c, uint64_t samples)
{
    if (samples > 0) {
        c->samples = samples;
        c->quantiser.samples = samples;
    }
}

static void train_round(struct client *c)
{
    struct cairn_problem why = {0};
    struct train_metrics metrics = {0};
    const uint64_t from = clock_now_ns(c->host->clock);
    c->entry.fetch_s = clock_seconds(c->fetch_ns, from);
    int err = c->trainer->train(c->trainer, c->global, c->local, c->assignment->settings.seed,
                                c->round, c->assignment->self.index, &metrics, &why);
    if (err == 0) {
        take_weight(c, metrics.samples);
    }
    if (err == 0 && c->samples > 0) {
        err = owe_update(c, &why);
    }
    if (err == 0) {
        err = make_private(c, &why);
    }
    if (err != 0) {
        sit_out(c, &why);
    } else if (metrics.note[0] != '\0') {
        problem_set(&why, CAIRN_ERR_TRAINER, NULL, "%s", metrics.note);
        note_trouble(c, &why);
    }
    c->settled = c->sits_out;
    c->entry.train_s = clock_seconds(from, clock_now_ns(c->host->clock));
    set_state(c, CLIENT_SENDING);
}

/* ---- sending ---- */

/* The integers of a frame, the same however often it is built. */
static int read_integers(struct client *c, uint32_t index, struct cairn_problem *why)
{
    const size_t first = fed_plan_first(&c->plan, index), count = fed_plan_count(&c->plan, index);
    uint64_t *saturated = index < c->counted ? NULL : &c->entry.saturated;
    quantiser_read(&c->quantiser, c->owed + first, first, count, c->integers, saturated);
    c->counted = index < c->counted ? c->counted : index + 1;
    const int err = c->noise == NULL ? 0
                                     : privacy_noise_add(c->noise, index, c->privacy.limit,
                                                         c->integers, count);
    return err == 0 ? 0 : problem_set(why, err, NULL, "no randomness for noise");
}

/* The model's integers, in the clear, in the frame that carries them. */
static struct span words_of(const struct client *c, uint32_t index)
{
    return (struct span){(const uint8_t *)c->trainer->words,
                         fed_plan_words(&c->plan, index) * sizeof *c->trainer->words};
}

/* One frame at the end of `out`, all but its digest. */
static int build_frame(struct client *c, uint32_t index, struct buf *out,
                       struct cairn_problem *why)
{
    const size_t count = fed_plan_count(&c->plan, index), frame_at = out->size;
    const struct he_params *he = fed_plan_he(&c->plan, index);
    const size_t payload = c->sits_out ? 0 : he_payload_bytes(he, count);
    const struct span set = c->sits_out ? (struct span){0} : buf_span(&c->set);
    size_t payload_at = 0;
    int err = wire_frame_begin(out, index, c->sits_out ? 0 : 1,
                               c->sits_out ? 0 : c->samples, he->short_id, payload,
                               set, &payload_at);
    if (err == 0 && !c->sits_out) {
        err = read_integers(c, index, why);
    }
    if (err == 0 && !c->sits_out) {
        err = he_encrypt(he, c->key, c->rng, c->crew, c->assignment->nonce, c->round,
                         index, c->integers, count, out->data + payload_at, why);
    }
    if (err == 0 && !c->sits_out) {
        err = wire_frame_words(out, frame_at, words_of(c, index));
    }
    return err != 0 ? err : wire_frame_close(out, frame_at);
}

/* Digesting takes about as long as encrypting. */
static void seal_one(void *ctx, size_t i, unsigned worker)
{
    struct client *c = ctx;
    (void)worker;
    wire_frame_seal(c->ahead.bytes.data + c->frames_at[i], &c->uplink.context);
}

static int build_frames(struct client *c, uint32_t first, uint32_t frames,
                        struct cairn_problem *why)
{
    struct buf *out = &c->ahead.bytes;
    int err = uplink_reserve(out);
    for (uint32_t i = 0; err == 0 && i < frames; i++) {
        c->frames_at[i] = out->size;
        err = build_frame(c, first + i, out, why);
    }
    if (err == 0) {
        parallel_for(c->team, frames, seal_one, c);
    } else if (why->code == 0) {
        problem_set(why, err, NULL, "frames %u to %u cannot be built: %s", (unsigned)first,
                    (unsigned)(first + frames - 1), cairn_error_sentence(err));
    }
    return err;
}

/* The batch that begins at `first`, unless it is there already. */
static int build_ahead(struct client *c, uint32_t first, struct cairn_problem *why)
{
    const uint32_t left = c->plan.n_frames - first;
    const uint32_t frames = left < c->at_once ? left : c->at_once;
    if (c->ahead.frames > 0 && c->ahead.first == first) {
        return 0;
    }
    const uint64_t from = clock_now_ns(c->host->clock);
    c->ahead.frames = 0;
    const int err = build_frames(c, first, frames, why);
    c->entry.encrypt_s += clock_seconds(from, clock_now_ns(c->host->clock));
    if (err == 0) {
        c->ahead.first = first;
        c->ahead.frames = frames;
    }
    return err;
}

/* Let the next batch fly, if it may. @return when to try again; 0 = it took off */
static uint64_t send_batch(struct client *c)
{
    struct cairn_problem why = {0};
    if (!uplink_ready(&c->uplink)) {
        return c->uplink.backoff.retry_at_ns;
    }
    if (uplink_holds(&c->uplink, c->next)) {
        uplink_repeat(&c->uplink);
        return 0;
    }
    const int err = build_ahead(c, c->next, &why);
    if (err == CAIRN_ERR_REFUSED) { /* these values cannot be encrypted, now or later */
        stall(c, &why);
        return UINT64_MAX;
    }
    if (err != 0) {
        log_line(LOG_WARNING, "round %u: %s; trying again", (unsigned)c->round, why.what);
        backoff_failed(&c->uplink.backoff, clock_now_ns(c->host->clock), c->uplink.origin, 0);
        return c->uplink.backoff.retry_at_ns;
    }
    uplink_post(&c->uplink, &c->ahead.bytes, c->ahead.first, c->ahead.frames);
    c->ahead.frames = 0;
    return 0;
}

/* While a batch flies: build what will most likely follow it. */
static void build_meanwhile(struct client *c)
{
    struct cairn_problem why = {0};
    const uint32_t after = c->uplink.first + c->uplink.frames;
    const double before_s = c->entry.encrypt_s;
    if (after < c->plan.n_frames && build_ahead(c, after, &why) != 0) {
        log_line(LOG_WARNING, "round %u: %s", (unsigned)c->round, why.what);
    }
    c->meanwhile_s += c->entry.encrypt_s - before_s;
}

/* @return when to be called again */
static uint64_t send_frames(struct client *c)
{
    uint64_t again = 0;
    do {
        struct cairn_problem why = {0};
        uint32_t next = 0;
        switch (uplink_land(&c->uplink, &next, &why)) {
        case UPLINK_FLYING:
            build_meanwhile(c);
            return UINT64_MAX;
        case UPLINK_NEXT:
            if (c->uplink.elsewhere) {
                leave_rest(c, c->next, next);
            }
            c->next = next;
            break;
        case UPLINK_IDLE:
            break;
        case UPLINK_LATER:
            log_line(LOG_WARNING, "round %u: %s; trying again", (unsigned)c->round, why.what);
            break;
        case UPLINK_CLOSED:
            log_line(LOG_WARNING, "round %u was closed after %u of %u frames", (unsigned)c->round,
                     (unsigned)c->next, (unsigned)c->plan.n_frames);
            end_entry(c);
            set_state(c, CLIENT_SENT);
            return UINT64_MAX;
        case UPLINK_FAILED:
            stall(c, &why);
            return UINT64_MAX;
        }
        if (c->next >= c->plan.n_frames) {
            end_entry(c);
            set_state(c, CLIENT_SENT);
            return UINT64_MAX;
        }
        again = something_waits(c) ? UINT64_MAX : send_batch(c);
    } while (again == 0);
    return again;
}

/* The next model may overtake the answer to the last batch, which belongs to the round before: a moment is given to it.
 * @return until when; 0 = nothing is to be waited for */
static uint64_t answer_is_due(struct client *c)
{
    static const uint64_t moment_ns = 1000000000;
    if (c->state != CLIENT_SENDING || flight_idle(&c->uplink.flight) ||
        flight_landed(&c->uplink.flight)) {
        return 0;
    }
    pthread_mutex_lock(&c->lock);
    const uint64_t until = c->arrived.model.size > 0 ? c->arrived.at_ns + moment_ns : 0;
    pthread_mutex_unlock(&c->lock);
    return until > clock_now_ns(c->host->clock) ? until : 0;
}

static uint64_t client_step(struct role *role)
{
    struct client *c = client_of(role);
    uint64_t again = UINT64_MAX;
    do {
        const uint64_t due = answer_is_due(c);
        if (due != 0) {
            return due;
        }
        if (c->state == CLIENT_SENDING && flight_landed(&c->uplink.flight)) {
            (void)send_frames(c); /* what came of it, before another round begins */
        }
        take_arrivals(c);
        if (c->state == CLIENT_FINISHED) {
            roundlog_finish(&c->log);
            return UINT64_MAX;
        }
        if (c->state == CLIENT_FETCHING) {
            again = fetch_pieces(c);
        }
        if (c->state == CLIENT_TRAINING) {
            train_round(c);
        }
        if (c->state == CLIENT_SENDING) {
            again = send_frames(c);
        }
    } while (something_waits(c));
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
    if (c->trouble_round > 0) {
        json_object_set_new(into, "last_trouble",
                            json_pack("{s:I, s:s}", "round", (json_int_t)c->trouble_round, "what",
                                      c->last_trouble));
    }
    pthread_mutex_unlock(&c->lock);
    if (c->trainer->status != NULL) {
        c->trainer->status(c->trainer, into);
    }
    json_object_set_new(into, "samples", json_integer((json_int_t)c->trainer->samples));
    if (c->trainer->fingerprint != NULL) {
        json_object_set_new(into, "samples_fingerprint",
                            json_string(c->trainer->fingerprint));
    }
    json_object_set_new(into, "parameters", json_string(c->plan.he.id));
    json_object_set_new(into, "params_in_plain", json_integer((json_int_t)fed_plan_in_plain(&c->plan)));
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
    uplink_release(&c->uplink);
    flight_abandon(&c->fetch);
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
    privacy_noise_free(c->noise);
    secret_rng_free(c->rng);
    he_crew_free(c->crew);
    parallel_free(c->team);
    free(c->frames_at);
    buf_release(&c->arrived.model);
    buf_release(&c->opening);
    buf_release(&c->ahead.bytes);
    free(c->global);
    free_wiped(c->local, c->plan.n_params * sizeof *c->local);
    free_wiped(c->owed, c->plan.n_params * sizeof *c->owed);
    free_wiped(c->integers, c->plan.frame_params * sizeof *c->integers);
    free(c->steps);
    buf_release(&c->set);
    if (c->assignment != NULL) {
        fed_assignment_release(c->assignment);
        free(c->assignment);
    }
    free(c);
}

static const struct role_route client_routes[] = {
    {"POST", "/c/model", admit_model, handle_model, NULL},
    {"POST", "/c/train", NULL, handle_train, NULL},
    {NULL, NULL, NULL, NULL, NULL},
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

static int make_noise(struct client *c, const struct fed_assignment *a, struct cairn_problem *why)
{
    const int err = fed_privacy_plan(&a->settings, c->plan.n_params,
                                     fed_sample_size(&a->settings, a->n_clients), a->iterations,
                                     &c->privacy, why);
    return err != 0 || !c->privacy.noise ? err : privacy_noise_new(c->privacy.variance, &c->noise);
}

static int make_team(struct client *c, const struct fed_settings *s)
{
    c->at_once = fed_plan_batch_frames(&c->plan, s->batch_bytes);
    c->frames_at = size_alloc_array(c->at_once, sizeof *c->frames_at);
    if (c->frames_at == NULL) {
        return CAIRN_ERR_NO_MEMORY;
    }
    int err = parallel_new(s->train_threads, &c->team);
    if (err == 0) {
        err = he_crew_new(&c->plan.he, c->team, &c->crew);
    }
    return err != 0 || s->profile == HE_NONE ? err : secret_rng_new(&c->rng);
}

/* Has this client the model that the aggregator speaks of, and is the same of it encrypted? */
static int check_trainer(const struct trainer *own, const struct fed_assignment *a,
                         struct cairn_problem *why)
{
    if (own->shape->n_params != a->n_params || own->shape->n_tensors != a->n_tensors ||
        own->n_words != a->n_words) {
        return problem_set(why, CAIRN_ERR_CONFIG,
                           "use the same data set and model.layers on all nodes",
                           "this client's model has %zu parameters, the aggregator's %llu",
                           own->shape->n_params, (unsigned long long)a->n_params);
    }
    if (own->n_plain != a->n_plain) {
        return problem_set(why, CAIRN_ERR_CONFIG, "run the same version of cairn on all nodes",
                           "the aggregator wants %llu parameters in plain, but this client's "
                           "encryption.only comes to %zu",
                           (unsigned long long)a->n_plain, own->n_plain);
    }
    return 0;
}

static int make_plan(struct client *c, const struct fed_assignment *a, struct cairn_problem *why)
{
    const bool noise = a->settings.noise_multiplier > 0;
    struct he_params he;
    int err = he_params_choose(a->settings.profile, a->settings.value_bits, a->n_clients, &he, why);
    if (err == 0) {
        err = check_trainer(c->trainer, a, why);
    }
    if (err == 0) {
        err = fed_plan_init(&c->plan, &he, (size_t)a->n_params, a->settings.frame_params,
                            a->n_clients, a->settings.batch_bytes, why);
    }
    if (err == 0) {
        err = fed_plan_split(&c->plan, (size_t)a->n_plain, noise, why);
    }
    return err != 0 ? err : fed_plan_carry(&c->plan, a->n_words, noise, why);
}

static int allocate(struct client *c, uint32_t index)
{
    const size_t n = c->plan.n_params;
    const bool whole = !c->trainer->by_run;
    if (whole || c->trainer->needs_model) {
        c->global = size_alloc_array(n, sizeof(float));
    }
    if (whole) {
        c->local = size_alloc_array(n, sizeof(float));
    }
    c->owed = calloc(n, sizeof(float)); /* nothing is owed yet */
    c->settled = true;
    c->integers = size_alloc_array(c->plan.frame_params, sizeof(int32_t));
    c->steps = size_alloc_array(c->trainer->shape->n_tensors, sizeof(double));
    if (c->owed == NULL || c->integers == NULL || c->steps == NULL ||
        (whole && (c->global == NULL || c->local == NULL)) ||
        (c->trainer->needs_model && c->global == NULL)) {
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
    int err = host->trainer(host->ctx, s, &assignment->shape, assignment->metadata,
                            assignment->self.client_number, assignment->self.index, &c->trainer, why);
    if (err == 0) {
        err = make_plan(c, assignment, why);
    }
    if (err == 0) {
        err = load_key(c, assignment, why);
    }
    if (err == 0) {
        err = make_noise(c, assignment, why);
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
    if (err == 0) {
        roundlog_set_fingerprint(&c->log, c->trainer->fingerprint);
    }
    if (err != 0) {
        if (why->code == 0) {
            problem_set(why, err, NULL, "a client cannot start: %s", cairn_error_sentence(err));
        }
        client_free(&c->role);
        return err;
    }
    if (c->plan.n_plain > 0) {
        log_line(LOG_WARNING, "encryption.only: of each update of this client %zu of %zu parameters will travel "
                 "unencrypted", c->plan.n_plain, c->plan.n_params);
    }
    pthread_mutex_init(&c->lock, NULL);
    c->lock_ready = true;
    c->assignment = assignment;
    uplink_init(&c->uplink, host, assignment);
    *out = &c->role;
    return 0;
}
