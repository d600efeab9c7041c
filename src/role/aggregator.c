/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The aggregator, read from top to bottom:
 *
 *   step_configuring   every node gets its config, again and again, until it runs that one
 *   step_ready         start by itself, or when somebody asks
 *   open_round         choose the steps, open the fold, send the model down
 *   step_collecting    take complete sums, decide over each, open it, apply it
 *   close_round        evaluate, write down, go on
 *   step_finishing     the final model goes down
 *   step_gathering     every node's log comes in
 *   finish             summary, model, done
 *
 * A failure anywhere ends the experiment with a problem that says what was waited for.
 */
#include "aggregator.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "digest.h"
#include "downlink.h"
#include "json.h"
#include "log.h"
#include "model_message.h"
#include "parallel.h"
#include "plan.h"
#include "quantiser.h"
#include "receiver.h"
#include "round.h"
#include "roundlog.h"
#include "runfolder.h"
#include "secret.h"
#include "sizes.h"
#include "summary.h"

enum aggregator_state {
    AGG_CONFIGURING,
    AGG_READY,
    AGG_COLLECTING,
    AGG_FINISHING,
    AGG_GATHERING,
    AGG_DONE,
    AGG_FAILED,
};

static const char *const state_names[] = {"configuring", "ready", "collecting", "finishing",
                                          "gathering",   "done",  "failed"};

static const uint64_t NOTICE_NS = 5000000000; /* long enough not to chatter, short enough to be asked about */
enum { WHO_SIZE = 320 };                      /* of the list of who is missing */

/* What is known of a node besides its place in the tree. */
struct peer {
    struct buf config; /* its document */
    char digest[DIGEST_HEX_SIZE];
    uint64_t samples; /* clients: as reported when it took its config */
    struct backoff backoff; /* of asking for its log */
};

struct aggregator {
    struct role role;
    const struct role_host *host;
    const struct fed_config *config;
    struct trainer *trainer; /* initial weights and evaluation */
    struct fed_plan plan;
    struct he_secret_key *secret;
    struct parallel *team; /* with which sums are opened */
    struct he_crew *crew;
    uint8_t id[WIRE_EXPERIMENT];
    uint8_t nonce[HE_NONCE_SIZE];
    struct receiver receiver;
    struct roundlog log;
    bool log_ready, lock_ready;
    struct runfolder run;
    void (*progress)(void *ctx, const char *line);
    void *progress_ctx;

    pthread_mutex_t lock; /* guards the next five */
    enum aggregator_state state;
    uint32_t round_shown;
    bool start_asked;
    struct cairn_problem problem; /* of AGG_FAILED */
    json_t *summary;              /* of AGG_DONE */

    /* only the stepping thread touches what follows */
    struct peer *peers;      /* n_nodes; peers[0] is unused */
    json_t **logs;           /* n_nodes: the log of each node that has finished */
    struct downlink configs; /* target i is node i + 1 */
    struct downlink models;  /* to the children */
    struct buf message;      /* the model on its way down */
    uint64_t largest_samples;
    float *model;    /* n_params */
    double *steps;   /* n_tensors */
    double *largest; /* n_tensors: of the last opened update */
    int64_t *sums;   /* frame_params */
    struct fed_round round;
    struct roundlog_entry entry;
    uint64_t round_began_ns, began_ns;
    uint64_t deadline_ns; /* of what is being waited for */
    uint64_t notice_ns;   /* when to say next who is being waited for */
    uint32_t discarded; /* frames of this round whose opening failed its check */
    struct eval_metrics metrics;
};

static struct aggregator *aggregator_of(struct role *role)
{
    return (struct aggregator *)role; /* its first member */
}

static uint64_t now_ns(const struct aggregator *a)
{
    return clock_now_ns(a->host->clock);
}

/* Something is waited for, this long at most; after NOTICE_S without it, it is said who is missing. */
static void begin_waiting(struct aggregator *a, double seconds)
{
    a->deadline_ns = now_ns(a) + (uint64_t)(seconds * 1e9);
    a->notice_ns = now_ns(a) + NOTICE_NS;
}

static const struct fed_node *node_at(const struct aggregator *a, uint32_t node)
{
    return &a->config->tree.nodes[node];
}

static const char *name_of(void *ctx, uint32_t node)
{
    return node_at(ctx, node)->address;
}

static void CAIRN_PRINTF(2, 3) say(struct aggregator *a, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (a->progress != NULL) {
        a->progress(a->progress_ctx, line);
    } else {
        log_line(LOG_INFO, "%s", line);
    }
}

/* Not there yet. @return when to look again */
static uint64_t keep_waiting(struct aggregator *a, uint64_t again, const char *for_what,
                             const char *who)
{
    if (now_ns(a) >= a->notice_ns) {
        say(a, "waiting for %s: %s", for_what, who);
        a->notice_ns = now_ns(a) + NOTICE_NS;
    }
    again = again < a->notice_ns ? again : a->notice_ns;
    return again < a->deadline_ns ? again : a->deadline_ns;
}

static void set_state(struct aggregator *a, enum aggregator_state state)
{
    pthread_mutex_lock(&a->lock);
    a->state = state;
    a->round_shown = a->round.number;
    pthread_mutex_unlock(&a->lock);
}

static void fail(struct aggregator *a, const struct cairn_problem *why)
{
    pthread_mutex_lock(&a->lock);
    a->state = AGG_FAILED;
    a->problem = *why; /* told by whoever asks aggregator_finished */
    pthread_mutex_unlock(&a->lock);
}

/* ---- configs ---- */

static bool config_taken(void *ctx, size_t target, const struct http_exchange *x)
{
    struct aggregator *a = ctx;
    struct peer *peer = &a->peers[target + 1];
    json_t *answer = answer_document(x);
    const bool same = strcmp(json_get_text(answer, "digest", ""), peer->digest) == 0;
    const long long samples = json_get_int(answer, "samples", 0);
    peer->samples = samples > 0 ? (uint64_t)samples : 0;
    json_decref(answer);
    if (same) {
        log_line(LOG_DEBUG, "%s has its config", x->address);
    }
    return same;
}

static int choose_largest_samples(struct aggregator *a, struct cairn_problem *why)
{
    uint64_t total = 0;
    a->largest_samples = 0;
    for (uint32_t i = 1; i < a->config->tree.n_nodes; i++) {
        const uint64_t samples = a->peers[i].samples;
        a->largest_samples = samples > a->largest_samples ? samples : a->largest_samples;
        total += samples;
    }
    if (total == 0) {
        return problem_set(why, CAIRN_ERR_DATA, "check the clients' data folders",
                           "no client has a single training sample; the model stays as it is");
    }
    say(a, "%u clients ready, %llu training samples", (unsigned)a->config->tree.n_clients,
        (unsigned long long)total);
    return 0;
}

static uint64_t step_configuring(struct aggregator *a)
{
    struct cairn_problem why = {0};
    uint64_t again = UINT64_MAX;
    int err = downlink_step(&a->configs, a->host, &again, &why);
    if (err == 0 && downlink_done(&a->configs)) {
        err = choose_largest_samples(a, &why);
        if (err == 0) {
            set_state(a, AGG_READY);
            if (!a->config->settings.autostart) {
                say(a, "waiting for POST /a/train, because server.autostart is false");
            }
            return 0;
        }
    }
    char who[WHO_SIZE];
    downlink_waiting_for(&a->configs, who, sizeof who);
    if (err == 0 && now_ns(a) >= a->deadline_ns) {
        err = problem_set(&why, CAIRN_ERR_NETWORK,
                          "start the missing nodes (cairn node), or raise server.start_timeout_s",
                          "no config could be given to: %s", who);
    }
    if (err != 0) {
        fail(a, &why);
        return UINT64_MAX;
    }
    return keep_waiting(a, again, "nodes to take their config", who);
}

/* ---- rounds ---- */

static int write_message(struct aggregator *a, uint16_t flags)
{
    struct wire_model m = {.round = a->round.number,
                           .flags = flags,
                           .tensors = (uint32_t)a->trainer->shape->n_tensors,
                           .parameters = a->plan.n_params,
                           .count = a->plan.n_params,
                           .largest_samples = a->largest_samples,
                           .steps = (const uint8_t *)a->steps,
                           .weights = (const uint8_t *)a->model};
    memcpy(m.experiment, a->id, WIRE_EXPERIMENT);
    buf_clear(&a->message);
    const int err = wire_model_write(&a->message, &m);
    for (size_t i = 0; i < a->models.n; i++) {
        a->models.targets[i].body = buf_span(&a->message);
    }
    downlink_restart(&a->models);
    return err;
}

static uint64_t open_round(struct aggregator *a, uint32_t number)
{
    const struct fed_settings *s = &a->config->settings;
    fed_round_begin(&a->round, number, a->plan.n_frames, s->privacy_floor, 1);
    a->entry = (struct roundlog_entry){.round = number,
                                       .start_us = a->host->clock->wall_us(a->host->clock->ctx)};
    a->round_began_ns = now_ns(a);
    begin_waiting(a, s->deadline_s);
    a->discarded = 0;
    quantiser_choose_steps(a->trainer->shape, s->value_bits, number == 1 ? NULL : a->largest,
                           a->steps);
    memset(a->largest, 0, a->trainer->shape->n_tensors * sizeof *a->largest);
    receiver_open(&a->receiver, number);
    if (write_message(a, 0) != 0) {
        struct cairn_problem why;
        problem_set(&why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for the model of round %u",
                    (unsigned)number);
        fail(a, &why);
        return UINT64_MAX;
    }
    set_state(a, AGG_COLLECTING);
    return 0;
}

static uint64_t step_ready(struct aggregator *a)
{
    pthread_mutex_lock(&a->lock);
    const bool start = a->config->settings.autostart || a->start_asked;
    pthread_mutex_unlock(&a->lock);
    if (!start) {
        return UINT64_MAX;
    }
    a->began_ns = now_ns(a);
    return open_round(a, 1);
}

/* A sum that passed the rules is opened, once, and becomes part of the model. */
static void open_sum(struct aggregator *a, const struct fed_sum *sum)
{
    struct cairn_problem why = {0};
    const size_t first = fed_plan_first(&a->plan, sum->index);
    const size_t count = fed_plan_count(&a->plan, sum->index);
    const int err = he_open(&a->plan.he, a->secret, a->crew, a->nonce, a->round.number, sum->index,
                            sum->contributors, sum->payload.data, count, a->sums, &why);
    if (err != 0) {
        a->discarded++;
        log_line(LOG_ERROR, "round %u, frame %u is discarded: %s", (unsigned)a->round.number,
                 (unsigned)sum->index, why.what);
        return;
    }
    quantiser_apply(a->trainer->shape, a->steps, a->largest_samples, sum->weight, first, count,
                    a->sums, a->model, a->largest);
}

static int take_sums(struct aggregator *a, struct cairn_problem *why)
{
    struct fed_sum sum;
    int err = 0;
    while (err == 0 && receiver_take(&a->receiver, &sum)) {
        const uint64_t from = now_ns(a);
        enum fed_verdict verdict = FED_KEEP_NOTHING;
        err = fed_round_decide(&a->round, &sum, &verdict, why);
        if (err == 0 && verdict == FED_OPEN) {
            open_sum(a, &sum);
        } else if (err == 0) {
            log_line(LOG_WARNING, "round %u, frame %u keeps the old values: %s",
                     (unsigned)a->round.number, (unsigned)sum.index,
                     verdict == FED_KEEP_FLOOR ? "fewer contributors than the privacy floor"
                                               : "no samples behind it");
        }
        a->entry.decrypt_s += clock_seconds(from, now_ns(a));
        fed_sum_release(&sum);
    }
    return err;
}

static json_t *round_line(const struct aggregator *a)
{
    json_t *line = json_pack("{s:I, s:f, s:I, s:I, s:I, s:I, s:f, s:f}", "round",
                             (json_int_t)a->round.number, "wall_s",
                             clock_seconds(a->round_began_ns, now_ns(a)), "fewest_contributors",
                             (json_int_t)a->round.fewest, "most_contributors",
                             (json_int_t)a->round.most, "frames_kept", (json_int_t)a->round.kept,
                             "frames_discarded", (json_int_t)a->discarded, "fold_s",
                             a->entry.fold_s, "decrypt_s", a->entry.decrypt_s);
    if (line != NULL && a->metrics.samples > 0) {
        json_object_set_new(line, "accuracy",
                            json_real((double)a->metrics.correct / (double)a->metrics.samples));
        json_object_set_new(line, "loss", json_real(a->metrics.loss));
    }
    return line;
}

static void say_round(struct aggregator *a)
{
    char accuracy[48] = "";
    if (a->metrics.samples > 0) {
        snprintf(accuracy, sizeof accuracy, ", accuracy %.4f",
                 (double)a->metrics.correct / (double)a->metrics.samples);
    }
    say(a, "round %u of %u: %u of %u clients%s, %.2f s", (unsigned)a->round.number,
        (unsigned)a->config->iterations, (unsigned)a->round.fewest,
        (unsigned)a->config->tree.n_clients, accuracy,
        clock_seconds(a->round_began_ns, now_ns(a)));
}

static uint64_t close_round(struct aggregator *a)
{
    struct cairn_problem why = {0};
    a->entry.fold_s = receiver_fold_seconds(&a->receiver);
    a->entry.frames = a->plan.n_frames;
    a->entry.contributors = a->round.fewest;
    a->entry.end_us = a->host->clock->wall_us(a->host->clock->ctx);
    roundlog_add(&a->log, &a->entry);
    int err = a->trainer->evaluate(a->trainer, a->model, &a->metrics, &why);
    if (err == 0) {
        json_t *line = round_line(a);
        err = line == NULL ? problem_set(&why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a log line")
                           : runfolder_round(&a->run, line, &why);
        json_decref(line);
    }
    if (err != 0) {
        fail(a, &why);
        return UINT64_MAX;
    }
    say_round(a);
    if (a->round.number < a->config->iterations) {
        return open_round(a, a->round.number + 1);
    }
    if (write_message(a, WIRE_MODEL_FINAL) != 0) {
        problem_set(&why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for the final model");
        fail(a, &why);
        return UINT64_MAX;
    }
    begin_waiting(a, a->config->settings.deadline_s);
    set_state(a, AGG_FINISHING);
    return 0;
}

static void fail_round(struct aggregator *a, const char *who)
{
    struct cairn_problem why;
    problem_set(&why, CAIRN_ERR_QUORUM,
                "look at those nodes with `cairn status`; raise round.deadline_s if they are slow",
                "round %u was not complete after %.0f s; waiting for %s", (unsigned)a->round.number,
                a->config->settings.deadline_s, who);
    fail(a, &why);
}

static uint64_t step_collecting(struct aggregator *a)
{
    struct cairn_problem why = {0};
    uint64_t again = UINT64_MAX;
    int err = 0;
    if (!downlink_done(&a->models)) {
        err = downlink_step(&a->models, a->host, &again, &why);
    }
    if (err == 0) {
        err = take_sums(a, &why);
    }
    if (err != 0) {
        fail(a, &why);
        return UINT64_MAX;
    }
    if (fed_round_complete(&a->round)) {
        return close_round(a);
    }
    char who[WHO_SIZE], what[48];
    receiver_waiting_for(&a->receiver, name_of, a, who, sizeof who);
    if (now_ns(a) >= a->deadline_ns) {
        fail_round(a, who);
        return UINT64_MAX;
    }
    snprintf(what, sizeof what, "the updates of round %u", (unsigned)a->round.number);
    return keep_waiting(a, again, what, who);
}

/* ---- the end ---- */

static uint64_t step_finishing(struct aggregator *a)
{
    struct cairn_problem why = {0};
    uint64_t again = UINT64_MAX;
    int err = downlink_step(&a->models, a->host, &again, &why);
    char who[WHO_SIZE];
    downlink_waiting_for(&a->models, who, sizeof who);
    if (err == 0 && !downlink_done(&a->models) && now_ns(a) >= a->deadline_ns) {
        err = problem_set(&why, CAIRN_ERR_NETWORK, NULL, "the final model did not reach %s", who);
    }
    if (err != 0) {
        fail(a, &why);
        return UINT64_MAX;
    }
    if (downlink_done(&a->models)) {
        roundlog_finish(&a->log);
        begin_waiting(a, a->config->settings.start_timeout_s);
        set_state(a, AGG_GATHERING);
        return 0;
    }
    return keep_waiting(a, again, "nodes to take the final model", who);
}

static void take_log(struct aggregator *a, uint32_t node, const struct http_exchange *x)
{
    struct peer *peer = &a->peers[node];
    json_t *log = x->error == 0 && x->status == 200 ? answer_document(x) : NULL;
    if (log != NULL && json_get_bool(log, "finished", 0)) {
        a->logs[node] = log;
        return;
    }
    json_decref(log);
    backoff_failed(&peer->backoff, now_ns(a), node, 0);
}

/* Ask every node that is due for its log, side by side. @return when to ask again, UINT64_MAX when all are in */
static uint64_t gather_logs(struct aggregator *a)
{
    const uint32_t n_nodes = a->config->tree.n_nodes;
    struct http_exchange *list = calloc(n_nodes, sizeof *list);
    uint32_t *which = calloc(n_nodes, sizeof *which);
    uint64_t again = UINT64_MAX;
    size_t n = 0;
    for (uint32_t i = 1; list != NULL && which != NULL && i < n_nodes; i++) {
        if (a->logs[i] == NULL && a->peers[i].backoff.retry_at_ns <= now_ns(a)) {
            list[n] = (struct http_exchange){
                .address = node_at(a, i)->address, .method = "GET", .path = "/log"};
            which[n++] = i;
        }
    }
    if (n > 0) {
        a->host->exchange(a->host->ctx, list, n);
    }
    for (size_t k = 0; k < n; k++) {
        take_log(a, which[k], &list[k]);
        http_exchange_release(&list[k]);
    }
    for (uint32_t i = 1; i < n_nodes; i++) {
        if (a->logs[i] == NULL && a->peers[i].backoff.retry_at_ns < again) {
            again = a->peers[i].backoff.retry_at_ns;
        }
    }
    free(which);
    free(list);
    return again;
}

static int write_run(struct aggregator *a, const json_t *summary, struct cairn_problem *why)
{
    int err = runfolder_model(&a->run, a->trainer->shape, a->model, why);
    for (uint32_t i = 0; err == 0 && i < a->config->tree.n_nodes; i++) {
        if (a->logs[i] != NULL) {
            err = runfolder_node(&a->run, node_at(a, i)->address, a->logs[i], why);
        }
    }
    return err != 0 ? err : runfolder_summary(&a->run, summary, why);
}

static void finish(struct aggregator *a)
{
    struct cairn_problem why = {0};
    a->logs[0] = roundlog_document(&a->log);
    const struct run_result result = {.config = a->config,
                                      .plan = &a->plan,
                                      .model = a->model,
                                      .rounds = a->round.number,
                                      .metrics = a->metrics,
                                      .wall_s = clock_seconds(a->began_ns, now_ns(a)),
                                      .logs = a->logs};
    json_t *summary = run_summary(&result);
    const int err = summary == NULL
                        ? problem_set(&why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for the summary")
                        : write_run(a, summary, &why);
    if (err != 0) {
        json_decref(summary);
        fail(a, &why);
        return;
    }
    pthread_mutex_lock(&a->lock);
    a->summary = summary;
    a->state = AGG_DONE;
    pthread_mutex_unlock(&a->lock);
    say(a, "results are in %s", a->run.path);
}

/* Addresses of nodes whose log is not in, cut to size. */
static void without_log(const struct aggregator *a, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t i = 1; i < a->config->tree.n_nodes && used < size; i++) {
        if (a->logs[i] == NULL) {
            const int n = snprintf(text + used, size - used, "%s%s", used > 0 ? ", " : "",
                                   node_at(a, i)->address);
            used += n > 0 ? (size_t)n : 0;
        }
    }
}

static uint64_t step_gathering(struct aggregator *a)
{
    const uint64_t again = gather_logs(a);
    if (again != UINT64_MAX && now_ns(a) < a->deadline_ns) {
        char who[WHO_SIZE];
        without_log(a, who, sizeof who);
        return keep_waiting(a, again, "logs", who);
    }
    for (uint32_t i = 1; i < a->config->tree.n_nodes; i++) {
        if (a->logs[i] == NULL) {
            log_line(LOG_WARNING, "%s did not hand in its log; the summary is without it",
                     node_at(a, i)->address);
        }
    }
    finish(a);
    return UINT64_MAX;
}

static uint64_t aggregator_step(struct role *role)
{
    struct aggregator *a = aggregator_of(role);
    uint64_t again = 0;
    while (again == 0) { /* a state that has just begun is looked at once more */
        switch (a->state) {
        case AGG_CONFIGURING:
            again = step_configuring(a);
            break;
        case AGG_READY:
            again = step_ready(a);
            break;
        case AGG_COLLECTING:
            again = step_collecting(a);
            break;
        case AGG_FINISHING:
            again = step_finishing(a);
            break;
        case AGG_GATHERING:
            again = step_gathering(a);
            break;
        case AGG_DONE:
        case AGG_FAILED:
            again = UINT64_MAX;
            break;
        }
    }
    return again;
}

/* ---- requests ---- */

static size_t admit_batch(struct role *role, const char *query, int64_t content_length,
                          struct http_reply *refusal)
{
    (void)query;
    (void)content_length;
    (void)refusal;
    const struct aggregator *a = (const struct aggregator *)role;
    return fed_plan_batch_limit(&a->plan, a->config->settings.batch_bytes);
}

static void handle_receive(struct role *role, const struct http_request *request,
                           struct http_reply *reply)
{
    receiver_handle(&aggregator_of(role)->receiver, request, reply);
}

static void handle_train(struct role *role, const struct http_request *request,
                         struct http_reply *reply)
{
    (void)request;
    struct aggregator *a = aggregator_of(role);
    pthread_mutex_lock(&a->lock);
    a->start_asked = true;
    const enum aggregator_state state = a->state;
    const uint32_t round = a->round_shown;
    pthread_mutex_unlock(&a->lock);
    a->host->wake(a->host->ctx);
    answer_json(reply, json_pack("{s:s, s:I}", "state", state_names[state], "round",
                                 (json_int_t)round));
}

static void aggregator_status(struct role *role, json_t *into)
{
    struct aggregator *a = aggregator_of(role);
    pthread_mutex_lock(&a->lock);
    json_object_set_new(into, "state", json_string(state_names[a->state]));
    json_object_set_new(into, "round", json_integer((json_int_t)a->round_shown));
    if (a->state == AGG_FAILED) {
        json_object_set_new(into, "trouble", json_string(a->problem.what));
    }
    const bool collecting = a->state == AGG_COLLECTING;
    pthread_mutex_unlock(&a->lock);
    json_object_set_new(into, "rounds", json_integer((json_int_t)a->config->iterations));
    json_object_set_new(into, "experiment", json_string(a->config->settings.experiment));
    json_object_set_new(into, "parameters", json_string(a->plan.he.id));
    if (collecting) {
        char who[WHO_SIZE];
        receiver_waiting_for(&a->receiver, name_of, a, who, sizeof who);
        json_object_set_new(into, "waiting_for", json_string(who));
    }
}

static json_t *aggregator_log(struct role *role)
{
    return roundlog_document(&aggregator_of(role)->log);
}

static void aggregator_free(struct role *role)
{
    struct aggregator *a = aggregator_of(role);
    for (uint32_t i = 0; a->peers != NULL && i < a->config->tree.n_nodes; i++) {
        buf_release(&a->peers[i].config);
    }
    for (uint32_t i = 0; a->logs != NULL && i < a->config->tree.n_nodes; i++) {
        json_decref(a->logs[i]);
    }
    free(a->peers);
    free(a->logs);
    downlink_release(&a->configs);
    downlink_release(&a->models);
    receiver_release(&a->receiver);
    if (a->log_ready) {
        roundlog_release(&a->log);
    }
    if (a->lock_ready) {
        pthread_mutex_destroy(&a->lock);
    }
    if (a->trainer != NULL) {
        a->trainer->free(a->trainer);
    }
    he_secret_key_free(a->secret);
    he_crew_free(a->crew);
    parallel_free(a->team);
    json_decref(a->summary);
    buf_release(&a->message);
    free(a->model);
    free(a->steps);
    free(a->largest);
    if (a->sums != NULL) {
        secret_wipe(a->sums, a->plan.frame_params * sizeof *a->sums);
    }
    free(a->sums);
    free(a);
}

static const struct role_route aggregator_routes[] = {
    {"POST", "/a/receive", admit_batch, handle_receive},
    {"POST", "/a/train", NULL, handle_train},
    {"GET", "/train", NULL, handle_train},
    {NULL, NULL, NULL, NULL},
};

/* ---- birth ---- */

/* Key pair, nonce and id of this run; the public key's bytes go to `public_key`. */
static int make_session(struct aggregator *a, struct buf *public_key, struct cairn_problem *why)
{
    struct secret_rng *rng = NULL;
    struct he_public_key *key = NULL;
    int err = random_from_system(a->id, sizeof a->id);
    if (err == 0) {
        err = random_from_system(a->nonce, sizeof a->nonce);
    }
    if (err == 0 && a->plan.he.profile != HE_NONE) {
        err = secret_rng_new(&rng);
        if (err == 0) {
            err = he_keygen(&a->plan.he, rng, &a->secret, &key);
        }
        if (err == 0) {
            err = he_public_key_write(key, public_key);
        }
    }
    he_public_key_free(key);
    secret_rng_free(rng);
    return err == 0 ? 0 : problem_set(why, err, NULL, "no keys for this run: %s",
                                      cairn_error_sentence(err));
}

static int make_peer(struct aggregator *a, uint32_t node, const struct fed_session *session)
{
    struct peer *peer = &a->peers[node];
    json_t *document = fed_assignment_write(a->config, node, session);
    int err = document == NULL ? CAIRN_ERR_NO_MEMORY : json_append(&peer->config, document, 0);
    if (err == 0) {
        err = json_digest(document, peer->digest);
    }
    json_decref(document);
    if (err == 0) {
        struct downlink_target *target = &a->configs.targets[node - 1];
        memcpy(target->address, node_at(a, node)->address, sizeof target->address);
        target->path = "/config";
        target->body = buf_span(&peer->config);
    }
    return err;
}

static int make_links(struct aggregator *a, struct span public_key)
{
    const struct fed_tree *tree = &a->config->tree;
    struct fed_session session = {.public_key = public_key,
                                  .n_params = a->plan.n_params,
                                  .n_tensors = (uint32_t)a->trainer->shape->n_tensors};
    memcpy(session.id, a->id, sizeof session.id);
    memcpy(session.nonce, a->nonce, sizeof session.nonce);
    a->peers = calloc(tree->n_nodes, sizeof *a->peers);
    a->logs = calloc(tree->n_nodes, sizeof(json_t *));
    int err = a->peers == NULL || a->logs == NULL ? CAIRN_ERR_NO_MEMORY
                                                  : downlink_init(&a->configs, tree->n_nodes - 1);
    a->configs.accept = config_taken;
    a->configs.ctx = a;
    for (uint32_t i = 1; err == 0 && i < tree->n_nodes; i++) {
        err = make_peer(a, i, &session);
    }
    if (err == 0) {
        err = downlink_init(&a->models, tree->nodes[0].n_children);
    }
    for (uint32_t i = 0; err == 0 && i < tree->nodes[0].n_children; i++) {
        const struct fed_node *child = node_at(a, tree->children[tree->nodes[0].first_child + i]);
        memcpy(a->models.targets[i].address, child->address,
               sizeof a->models.targets[i].address);
        a->models.targets[i].path = child->type == FED_CLIENT ? "/c/model" : "/s/model";
    }
    return err;
}

static int make_team(struct aggregator *a)
{
    const int err = parallel_new(a->config->settings.server_threads, &a->team);
    return err != 0 ? err : he_crew_new(&a->plan.he, a->team, &a->crew);
}

static int make_state(struct aggregator *a)
{
    const size_t n = a->plan.n_params, tensors = a->trainer->shape->n_tensors;
    struct fed_stream *streams = NULL;
    size_t n_streams = 0;
    a->model = size_alloc_array(n, sizeof(float));
    a->steps = size_alloc_array(tensors, sizeof(double));
    a->largest = size_alloc_array(tensors, sizeof(double));
    a->sums = size_alloc_array(a->plan.frame_params, sizeof(int64_t));
    if (a->model == NULL || a->steps == NULL || a->largest == NULL || a->sums == NULL) {
        return CAIRN_ERR_NO_MEMORY;
    }
    a->trainer->initial(a->trainer, a->config->settings.seed, a->model);
    int err = a->secret == NULL ? 0 : make_team(a);
    if (err == 0) {
        err = fed_tree_streams(&a->config->tree, 0, &streams, &n_streams);
    }
    if (err == 0) {
        err = receiver_init(&a->receiver, a->host, &a->plan, streams, n_streams, a->id);
    }
    free(streams);
    return err;
}

static int make_plan(struct aggregator *a, struct cairn_problem *why)
{
    const struct fed_settings *s = &a->config->settings;
    struct he_params he;
    int err = a->host->trainer(a->host->ctx, s, 0, 0, &a->trainer, why);
    if (err == 0) {
        err = he_params_choose(s->profile, s->value_bits, a->config->tree.n_clients, &he, why);
    }
    return err != 0 ? err
                    : fed_plan_init(&a->plan, &he, a->trainer->shape->n_params, s->frame_params,
                                    a->config->tree.n_clients, s->batch_bytes, why);
}

int aggregator_new(const struct fed_config *config, struct span text, const struct role_host *host,
                   struct role **out, struct cairn_problem *why)
{
    struct aggregator *a = calloc(1, sizeof *a);
    if (a == NULL) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for an aggregator");
    }
    a->host = host;
    a->config = config;
    a->role = (struct role){.name = "aggregator",
                            .routes = aggregator_routes,
                            .step = aggregator_step,
                            .status = aggregator_status,
                            .log = aggregator_log,
                            .free = aggregator_free};
    pthread_mutex_init(&a->lock, NULL);
    a->lock_ready = true;
    struct buf public_key = {0};
    int err = make_plan(a, why);
    if (err == 0) {
        err = make_session(a, &public_key, why);
    }
    if (err == 0) {
        err = make_links(a, buf_span(&public_key));
    }
    if (err == 0) {
        err = make_state(a);
    }
    if (err == 0) {
        err = roundlog_init(&a->log, host, node_at(a, 0)->address, "aggregator",
                            config->settings.experiment);
        a->log_ready = err == 0;
    }
    if (err == 0) {
        err = runfolder_begin(&a->run, config->settings.runs_dir, config->settings.experiment,
                              text, why);
    }
    buf_release(&public_key);
    if (err != 0) {
        if (why->code == 0) {
            problem_set(why, err, NULL, "the aggregator cannot start: %s",
                        cairn_error_sentence(err));
        }
        aggregator_free(&a->role);
        return err;
    }
    a->began_ns = now_ns(a);
    begin_waiting(a, config->settings.start_timeout_s);
    *out = &a->role;
    return 0;
}

void aggregator_on_progress(struct role *self, void (*progress)(void *ctx, const char *line),
                            void *ctx)
{
    struct aggregator *a = aggregator_of(self);
    a->progress = progress;
    a->progress_ctx = ctx;
}

bool aggregator_finished(struct role *self, struct cairn_problem *problem)
{
    struct aggregator *a = aggregator_of(self);
    pthread_mutex_lock(&a->lock);
    const bool finished = a->state == AGG_DONE || a->state == AGG_FAILED;
    *problem = a->problem;
    pthread_mutex_unlock(&a->lock);
    return finished;
}

json_t *aggregator_summary(struct role *self)
{
    struct aggregator *a = aggregator_of(self);
    pthread_mutex_lock(&a->lock);
    json_t *summary = a->summary == NULL ? NULL : json_incref(a->summary);
    pthread_mutex_unlock(&a->lock);
    return summary;
}
