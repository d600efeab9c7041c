/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The aggregator and the other nodes. What each of them should run is known here; what it does run, its status tells,
 * once a heartbeat. Where the two differ, it gets its config again; a child that has missed the open round gets
 * that again. So any start order works, and a node that was started anew needs nobody's help.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aggregation.h"
#include "answer.h"
#include "json.h"
#include "log.h"
#include "summary.h"

/* ---- configs ---- */

static bool config_taken(void *ctx, size_t target, const struct http_exchange *x)
{
    struct aggregator *a = ctx;
    struct peer *peer = &a->peers[target + 1];
    json_t *answer = answer_document(x);
    const bool same = strcmp(json_get_text(answer, "digest", ""), peer->digest) == 0;
    const long long samples = json_get_int(answer, "samples", 0);
    if (same) {
        peer->samples = samples > 0 ? (uint64_t)samples : 0;
        log_line(LOG_DEBUG, "%s has its config", x->address);
    }
    json_decref(answer);
    return same;
}

static int choose_largest_samples(struct aggregator *a, struct cairn_problem *why)
{
    uint64_t total = 0, largest = a->largest_samples; /* of a run that goes on: of who is away, too */
    uint32_t ready = 0;
    for (uint32_t i = 1; i < a->config->tree.n_nodes; i++) {
        ready += aggregation_node(a, i)->type == FED_CLIENT && a->configs.targets[i - 1].delivered;
        const uint64_t samples = a->peers[i].samples;
        largest = samples > largest ? samples : largest;
        total += samples;
    }
    if (total == 0) {
        return problem_set(why, CAIRN_ERR_DATA, "check the clients' data folders",
                           "no client has a single training sample; the model stays as it is");
    }
    a->largest_samples = largest;
    aggregation_say(a, "%u clients ready, %llu training samples", (unsigned)ready,
                    (unsigned long long)total);
    return 0;
}

/* The session of a new run goes into the ledger, with what the nodes have reported. */
static int begin_ledger(struct aggregator *a, struct cairn_problem *why)
{
    const uint32_t n = a->config->tree.n_nodes;
    struct ledger_session session = {.n_params = a->plan.n_params,
                                     .n_tensors = (uint32_t)a->trainer->shape->n_tensors,
                                     .public_key = buf_span(&a->public_key),
                                     .largest_samples = a->largest_samples,
                                     .n_nodes = n};
    uint64_t *samples = calloc(n, sizeof *samples);
    if (samples == NULL) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for the sample counts");
    }
    for (uint32_t i = 1; i < n; i++) {
        samples[i] = a->peers[i].samples;
    }
    session.samples = samples;
    memcpy(session.config_digest, a->config_digest, sizeof session.config_digest);
    memcpy(session.id, a->id, sizeof session.id);
    memcpy(session.nonce, a->nonce, sizeof session.nonce);
    const int err = ledger_begin(a->ledger, &session, a->secret, why);
    free(samples);
    a->begun = err == 0;
    return err;
}

static int all_configured(struct aggregator *a, struct cairn_problem *why)
{
    int err = choose_largest_samples(a, why);
    if (err == 0 && !a->begun) {
        err = begin_ledger(a, why);
    }
    if (err == 0) {
        a->configs.strict = false; /* from here on a node that refuses is one that is missing */
        aggregation_set_state(a, AGG_READY);
        if (!a->config->settings.autostart) {
            aggregation_say(a, "waiting for POST /a/train, because server.autostart is false");
        }
    }
    return err;
}

/* A run that goes on does not wait for nodes that have died meanwhile, as long as it has its quorum; a new one does: its
 * config may name an address that is wrong. */
static bool may_go_on(struct aggregator *a)
{
    const bool late = aggregation_now_ns(a) >= a->deadline_ns;
    uint32_t clients = 0;
    for (uint32_t i = 1; i < a->config->tree.n_nodes; i++) {
        const bool there = a->configs.targets[i - 1].delivered;
        if (!there && !late && watch_state(&a->watch, i - 1) != FED_DEAD) {
            return false;
        }
        clients += there && aggregation_node(a, i)->type == FED_CLIENT;
    }
    return a->begun && clients >= aggregation_quorum(a);
}

uint64_t aggregation_step_configuring(struct aggregator *a)
{
    struct cairn_problem why = {0};
    uint64_t again = UINT64_MAX;
    char who[WHO_SIZE];
    int err = downlink_step(&a->configs, &again, &why);
    downlink_waiting_for(&a->configs, who, sizeof who);
    if (err == 0 && (downlink_done(&a->configs) || may_go_on(a))) {
        if (who[0] != '\0') {
            aggregation_say(a, "going on without %s", who);
        }
        err = all_configured(a, &why);
        if (err == 0) {
            return 0;
        }
    }
    if (err == 0 && aggregation_now_ns(a) >= a->deadline_ns) {
        err = problem_set(&why, CAIRN_ERR_NETWORK,
                          "start the missing nodes (cairn node), or raise server.start_timeout_s",
                          "no config could be given to: %s", who);
    }
    if (err != 0) {
        aggregation_fail(a, &why);
        return UINT64_MAX;
    }
    return aggregation_keep_waiting(a, again, "nodes to take their config", who);
}

/* ---- who is there ---- */

/* Where a node stands among the root's children; SIZE_MAX when it is none. */
static size_t child_number(const struct aggregator *a, uint32_t node)
{
    const struct fed_tree *tree = &a->config->tree;
    for (uint32_t i = 0; i < tree->nodes[0].n_children; i++) {
        if (tree->children[tree->nodes[0].first_child + i] == node) {
            return i;
        }
    }
    return SIZE_MAX;
}

/* Has this child missed what was sent down last, the open round or the end? */
static bool has_missed(const struct aggregator *a, const json_t *status)
{
    return a->state == AGG_COLLECTING
               ? json_get_int(status, "round", 0) < a->round.number
               : a->state > AGG_COLLECTING && strcmp(json_get_text(status, "state", ""), "finished") != 0;
}

/* What went wrong at a client reaches people here, once for each round. */
static void say_trouble(struct aggregator *a, uint32_t node, const json_t *trouble, const char *key)
{
    struct peer *peer = &a->peers[node];
    const long long round = json_get_int(trouble, "round", 0);
    const char *what = json_get_text(trouble, key, "");
    char name[24];
    snprintf(name, sizeof name, "%lld", round);
    if (what[0] == '\0' || round < 1 || round > a->round.number ||
        json_object_get(peer->told, name) != NULL) {
        return;
    }
    peer->told = peer->told == NULL ? json_object() : peer->told;
    (void)json_object_set_new(peer->told, name, json_true());
    aggregation_say(a, "%s, round %lld: %s", aggregation_node(a, node)->address, round, what);
}

static void node_heard(void *ctx, size_t target, const json_t *status)
{
    struct aggregator *a = ctx;
    const uint32_t node = (uint32_t)target + 1;
    const size_t child = child_number(a, node);
    if (a->state > AGG_CONFIGURING && aggregation_node(a, node)->type == FED_CLIENT &&
        strcmp(json_get_text(status, "digest", ""), a->peers[node].digest) == 0) {
        say_trouble(a, node, json_object_get(status, "last_trouble"), "what");
    }
    if (strcmp(json_get_text(status, "digest", ""), a->peers[node].digest) != 0) {
        downlink_again(&a->configs, target);
    } else if (child != SIZE_MAX && has_missed(a, status)) {
        downlink_again(&a->models, child);
    }
}

/* Can this stream's frames arrive? Its origin and every node on the way must be alive. */
static bool path_lives(struct aggregator *a, uint32_t node)
{
    for (; node != 0; node = aggregation_node(a, node)->parent) {
        if (watch_state(&a->watch, node - 1) == FED_DEAD) {
            return false;
        }
    }
    return true;
}

static void node_changed(void *ctx, size_t target, enum fed_life life)
{
    struct aggregator *a = ctx;
    (void)life;
    if (a->state > AGG_CONFIGURING) {
        aggregation_say(a, "%s is %s", a->watch.nodes[target].address, fed_life_name(life));
    }
    for (size_t i = 0; i < a->n_streams; i++) {
        receiver_set_live(&a->receiver, a->streams[i].origin, path_lives(a, a->streams[i].origin));
    }
}

uint64_t aggregation_tend_nodes(struct aggregator *a)
{
    struct cairn_problem why = {0};
    uint64_t configs = UINT64_MAX;
    const uint64_t watch = watch_step(&a->watch);
    if (a->state > AGG_CONFIGURING) {
        (void)downlink_step(&a->configs, &configs, &why); /* not strict: it has no refusals */
    }
    return watch < configs ? watch : configs;
}

/* ---- logs ---- */

static void take_log(struct aggregator *a, uint32_t node, const struct http_exchange *x)
{
    struct peer *peer = &a->peers[node];
    json_t *log = x->error == 0 && x->status == 200 ? answer_document(x) : NULL;
    if (log != NULL && json_get_bool(log, "finished", 0)) {
        const json_t *rounds = json_object_get(log, "iteration");
        for (size_t i = 0; i < json_array_size(rounds); i++) {
            say_trouble(a, node, json_array_get(rounds, i), "trouble");
        }
        a->logs[node] = log;
        return;
    }
    json_decref(log);
    backoff_failed(&peer->backoff, aggregation_now_ns(a), node, 0);
}

/* Of those who can still hand theirs in. */
static bool log_is_awaited(struct aggregator *a, uint32_t node)
{
    return a->logs[node] == NULL && watch_state(&a->watch, node - 1) != FED_DEAD;
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
        if (log_is_awaited(a, i) && a->peers[i].backoff.retry_at_ns <= aggregation_now_ns(a)) {
            list[n] = (struct http_exchange){.address = aggregation_node(a, i)->address,
                                             .method = "GET",
                                             .path = "/log",
                                             .timeout_s = 10};
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
        if (log_is_awaited(a, i) && a->peers[i].backoff.retry_at_ns < again) {
            again = a->peers[i].backoff.retry_at_ns;
        }
    }
    free(which);
    free(list);
    return again;
}

/* Copies of what the nodes have themselves: a run does not fail for them. */
static void write_logs(struct aggregator *a)
{
    for (uint32_t i = 0; i < a->config->tree.n_nodes; i++) {
        struct cairn_problem why = {0};
        if (a->logs[i] != NULL &&
            runfolder_node(&a->run, aggregation_node(a, i)->address, a->logs[i], &why) != 0) {
            log_line(LOG_WARNING, "the log of %s is not in the run's folder: %s",
                     aggregation_node(a, i)->address, why.what);
        }
    }
}

static int write_run(struct aggregator *a, const json_t *summary, struct cairn_problem *why)
{
    int err = runfolder_model(&a->run, 0, a->trainer, a->model, why);
    write_logs(a);
    if (err == 0) {
        err = runfolder_summary(&a->run, summary, why);
    }
    return err != 0 ? err : ledger_finish(a->ledger, why);
}

/* Write what the run leaves behind, and be done. */
static void finish(struct aggregator *a)
{
    struct cairn_problem why = {0};
    a->logs[0] = roundlog_document(&a->log);
    const struct run_result result = {.config = a->config,
                                      .plan = &a->plan,
                                      .model = a->model,
                                      .rounds = a->round.number,
                                      .metrics = a->metrics,
                                      .privacy = &a->privacy,
                                      .epsilon = aggregation_epsilon(a),
                                      .wall_s = clock_seconds(a->began_ns, aggregation_now_ns(a)),
                                      .logs = a->logs};
    json_t *summary = run_summary(&result);
    const int err = summary == NULL
                        ? problem_set(&why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for the summary")
                        : write_run(a, summary, &why);
    if (err != 0) {
        json_decref(summary);
        aggregation_fail(a, &why);
        return;
    }
    pthread_mutex_lock(&a->lock);
    a->summary = summary;
    a->state = AGG_DONE;
    pthread_mutex_unlock(&a->lock);
    aggregation_say(a, "results are in %s", a->run.path);
}

/* Addresses of nodes whose log is not in, cut to size. */
static void without_log(const struct aggregator *a, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t i = 1; i < a->config->tree.n_nodes && used < size; i++) {
        if (a->logs[i] == NULL) {
            const int n = snprintf(text + used, size - used, "%s%s", used > 0 ? ", " : "",
                                   aggregation_node(a, i)->address);
            used += n > 0 ? (size_t)n : 0;
        }
    }
}

uint64_t aggregation_step_gathering(struct aggregator *a)
{
    struct cairn_problem why = {0};
    uint64_t models = UINT64_MAX;
    uint64_t again = gather_logs(a);
    (void)downlink_step(&a->models, &models, &why); /* who was started anew learns that this is the end */
    again = again == UINT64_MAX || again < models ? again : models;
    if (again != UINT64_MAX && aggregation_now_ns(a) < a->deadline_ns) {
        char who[WHO_SIZE];
        without_log(a, who, sizeof who);
        return aggregation_keep_waiting(a, again, "logs", who);
    }
    for (uint32_t i = 1; i < a->config->tree.n_nodes; i++) {
        if (a->logs[i] == NULL) {
            log_line(LOG_WARNING, "%s did not hand in its log; the summary is without it",
                     aggregation_node(a, i)->address);
        }
    }
    finish(a);
    return UINT64_MAX;
}

/* ---- birth and death ---- */

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
        memcpy(target->address, aggregation_node(a, node)->address, sizeof target->address);
        memcpy(a->watch.nodes[node - 1].address, target->address,
               sizeof a->watch.nodes[node - 1].address);
        snprintf(peer->path, sizeof peer->path, "/config?digest=%s", peer->digest);
        target->path = peer->path;
        target->body = buf_span(&peer->config);
        downlink_again(&a->configs, node - 1);
    }
    return err;
}

static void make_children(struct aggregator *a)
{
    const struct fed_tree *tree = &a->config->tree;
    for (uint32_t i = 0; i < tree->nodes[0].n_children; i++) {
        const struct fed_node *child =
            aggregation_node(a, tree->children[tree->nodes[0].first_child + i]);
        memcpy(a->models.targets[i].address, child->address, sizeof a->models.targets[i].address);
        a->models.targets[i].path = child->type == FED_CLIENT ? "/c/model" : "/s/model";
    }
}

bool aggregation_tells_models(const struct aggregator *a)
{
    return strcmp(a->config->settings.train_type, "command") == 0;
}

int aggregation_make_nodes(struct aggregator *a)
{
    const struct fed_tree *tree = &a->config->tree;
    struct fed_session session = {.public_key = buf_span(&a->public_key),
                                  .n_params = a->plan.n_params,
                                  .n_tensors = (uint32_t)a->trainer->shape->n_tensors,
                                  .n_words = a->plan.n_words,
                                  .n_plain = a->trainer->n_plain};
    if (aggregation_tells_models(a)) {
        session.shape = a->trainer->whole != NULL ? a->trainer->whole : a->trainer->shape;
        session.metadata = a->trainer->metadata;
    }
    memcpy(session.id, a->id, sizeof session.id);
    memcpy(session.nonce, a->nonce, sizeof session.nonce);
    a->peers = calloc(tree->n_nodes, sizeof *a->peers);
    a->logs = calloc(tree->n_nodes, sizeof(json_t *));
    int err = a->peers == NULL || a->logs == NULL
                  ? CAIRN_ERR_NO_MEMORY
                  : downlink_init(&a->configs, a->host, tree->n_nodes - 1);
    if (err == 0) {
        err = downlink_init(&a->models, a->host, tree->nodes[0].n_children);
    }
    if (err == 0) {
        err = watch_init(&a->watch, a->host, tree->n_nodes - 1, a->config->settings.heartbeat_s);
    }
    a->configs.accept = config_taken;
    a->configs.strict = true;
    a->configs.ctx = a->watch.ctx = a;
    a->watch.heard = node_heard;
    a->watch.changed = node_changed;
    for (uint32_t i = 1; err == 0 && i < tree->n_nodes; i++) {
        err = make_peer(a, i, &session);
    }
    if (err == 0) {
        make_children(a);
    }
    return err;
}

void aggregation_release_nodes(struct aggregator *a)
{
    watch_release(&a->watch);
    downlink_release(&a->configs);
    downlink_release(&a->models);
    for (uint32_t i = 0; a->peers != NULL && i < a->config->tree.n_nodes; i++) {
        buf_release(&a->peers[i].config);
        json_decref(a->peers[i].told);
    }
    for (uint32_t i = 0; a->logs != NULL && i < a->config->tree.n_nodes; i++) {
        json_decref(a->logs[i]);
    }
    free(a->peers);
    free(a->logs);
}
