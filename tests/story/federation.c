/* SPDX-License-Identifier: Apache-2.0 */
#include "federation.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "made_up_trainer.h"
#include "synthetic.h"
#include "replay.h"

struct member {
    struct federation *federation;
    struct node *node;
    struct http_app app;
    const char *address; /* borrowed from the config's tree */
    atomic_bool woken;
    uint64_t again_ns;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t bell;
};

struct federation {
    struct federation_options options;
    struct fed_config config;
    struct member *members; /* n_nodes; 0 is the aggregator */
    struct role *aggregator;
    struct clock_source clock;
    _Atomic uint64_t now_ns; /* of the turned clock */
    struct replay_rng order;
    atomic_bool stop;
    struct buf said; /* the aggregator's progress, only its own thread adds */
};

static void note_said(void *ctx, const char *line)
{
    struct federation *f = ctx;
    if (buf_printf(&f->said, "%s\n", line) != 0) {
        abort();
    }
}

const char *federation_said(struct federation *f)
{
    return buf_text(&f->said);
}

/* ---- the clock that the test turns ---- */

static uint64_t turned_ns(void *ctx)
{
    return ((struct federation *)ctx)->now_ns;
}

static int64_t turned_us(void *ctx)
{
    return (int64_t)(((struct federation *)ctx)->now_ns / 1000);
}

static void turned_sleep(void *ctx, uint64_t ns)
{
    ((struct federation *)ctx)->now_ns += ns;
}

/* ---- the transport that calls the other's handler ---- */

static struct member *member_at(struct federation *f, const char *address)
{
    for (uint32_t i = 0; i < f->config.tree.n_nodes; i++) {
        if (strcmp(f->members[i].address, address) == 0) {
            return &f->members[i];
        }
    }
    return NULL;
}

void federation_request(struct federation *f, struct http_exchange *x)
{
    struct member *to = member_at(f, x->address);
    x->error = 0;
    x->status = 0;
    x->sent = 0;
    x->answer = (struct buf){0};
    const bool reachable =
        to != NULL && (f->options.deliver == NULL || f->options.deliver(f->options.ctx, x));
    if (!reachable) {
        x->error = CAIRN_ERR_NETWORK;
        snprintf(x->what, sizeof x->what, "%.100s: connection refused", x->address);
        return;
    }
    struct http_reply reply = {0};
    const bool get = strcmp(x->method, "GET") == 0;
    char path[256];
    assert(strlen(x->path) < sizeof path);
    snprintf(path, sizeof path, "%s", x->path);
    char *mark = strchr(path, '?');
    const char *query = mark == NULL ? "" : mark + 1;
    if (mark != NULL) {
        *mark = '\0';
    }
    const size_t limit = to->app.admit(to->app.ctx, x->method, path, query,
                                       get ? -1 : (int64_t)x->body.size, &reply);
    if (reply.status < 400 && x->body.size > limit) {
        struct cairn_problem why;
        problem_set(&why, CAIRN_ERR_TOO_LONG, NULL, "%zu bytes, at most %zu", x->body.size, limit);
        http_reply_problem(&reply, &why);
    } else if (reply.status < 400) {
        const struct http_request request = {.method = x->method,
                                             .path = path,
                                             .query = query,
                                             .peer = "story",
                                             .accept = "",
                                             .body = x->body};
        x->sent = x->body.size;
        to->app.handle(to->app.ctx, &request, &reply);
    }
    x->status = reply.status == 0 ? 200 : reply.status;
    x->retry_after_s = reply.retry_after_s;
    x->answer = reply.body;
    if (f->options.answered != NULL) {
        f->options.answered(f->options.ctx, x);
    }
}

/* The other's handler runs at once, so nothing is ever under way. */
static void send_now(void *ctx, struct http_exchange *x,
                     void (*done)(void *done_ctx, struct http_exchange *x), void *done_ctx)
{
    const struct member *from = ctx;
    federation_request(from->federation, x);
    done(done_ctx, x);
}

static void cancel_nothing(void *ctx, struct http_exchange *x)
{
    (void)ctx;
    (void)x;
}

static void exchange(void *ctx, struct http_exchange *list, size_t n)
{
    const struct member *from = ctx;
    for (size_t i = 0; i < n; i++) {
        federation_request(from->federation, &list[i]);
    }
}

static void wake(void *ctx)
{
    struct member *m = ctx;
    pthread_mutex_lock(&m->lock);
    m->woken = true;
    pthread_cond_signal(&m->bell);
    pthread_mutex_unlock(&m->lock);
}

static int trainer(void *ctx, const struct fed_settings *settings, const char *data_dir,
                   uint32_t client_number, uint32_t index, struct trainer **out,
                   struct cairn_problem *why)
{
    (void)data_dir;
    if (strcmp(settings->train_type, "synthetic") == 0) {
        const struct train_synthetic_options synthetic = {.n_params = (size_t)settings->params,
                                                          .client_number = client_number,
                                                          .client_index = index};
        return train_synthetic_new(&synthetic, out, why);
    }
    const struct federation_options *o = &((struct member *)ctx)->federation->options;
    struct made_up_options options = {.n_params = o->n_params, .shape = o->shape};
    if (o->targets != NULL) {
        options.target = &o->targets[client_number == 0 ? 0 : index];
    }
    if (client_number > 0) {
        options.samples = o->samples != NULL ? o->samples[index] : 10 + index;
        options.poison_round = o->bad_client == (int)index ? 2 : 0;
    }
    const int err = made_up_trainer(&options, out);
    return err == 0 ? 0 : problem_set(why, err, NULL, "no made-up trainer");
}

/* ---- birth and death ---- */

static int make_member(struct federation *f, uint32_t i)
{
    struct member *m = &f->members[i];
    m->federation = f;
    m->address = f->config.tree.nodes[i].address;
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->bell, NULL);
    m->woken = true;
    m->again_ns = 0;
    const struct node_options options = {.address = m->address,
                                         .data_dir = "nowhere",
                                         .log_dir = f->options.folder,
                                         .clock = &f->clock,
                                         .ctx = m,
                                         .exchange = exchange,
                                         .send = send_now,
                                         .cancel = cancel_nothing,
                                         .wake = wake,
                                         .trainer = trainer};
    const int err = node_new(&options, &m->node);
    if (err == 0) {
        m->app = node_app(m->node);
    }
    return err;
}

/* The role of member 0, which its node frees. */
static int make_aggregator(struct federation *f, enum aggregator_resume wanted, const char *init)
{
    struct cairn_problem why = {0};
    const struct span text = {(const uint8_t *)f->options.config, strlen(f->options.config)};
    const int err = aggregator_new(&f->config, text, wanted, init,
                                   node_host(f->members[0].node), &f->aggregator, &why);
    if (err != 0) {
        fprintf(stderr, "the aggregator cannot start: %d %s\n", err, why.what);
        return err;
    }
    aggregator_on_progress(f->aggregator, note_said, f);
    node_install(f->members[0].node, f->aggregator);
    return 0;
}

static void print_faults(const struct fed_faults *faults)
{
    for (size_t i = 0; i < faults->n; i++) {
        if (!faults->list[i].warning) {
            fprintf(stderr, "%u:%u: %s\n", faults->list[i].line, faults->list[i].column,
                    faults->list[i].text);
        }
    }
}

struct federation *federation_new(const struct federation_options *options)
{
    struct federation *f = calloc(1, sizeof *f);
    struct fed_faults faults = {0};
    assert(f != NULL);
    f->options = *options;
    f->clock = options->threads ? clock_system
                                : (struct clock_source){.monotonic_ns = turned_ns,
                                                        .wall_us = turned_us,
                                                        .sleep_ns = turned_sleep,
                                                        .ctx = f};
    f->now_ns = 1000000000;
    replay_init(&f->order, "order", options->order_seed, 0, 0);
    const struct span text = {(const uint8_t *)options->config, strlen(options->config)};
    int err = fed_config_read("story.json", text, &f->config, &faults);
    print_faults(&faults);
    fed_faults_release(&faults);
    if (err == 0) {
        snprintf(f->config.settings.runs_dir, sizeof f->config.settings.runs_dir, "%.400s/runs",
                 options->folder);
        f->members = calloc(f->config.tree.n_nodes, sizeof *f->members);
        assert(f->members != NULL);
    }
    for (uint32_t i = 0; err == 0 && i < f->config.tree.n_nodes; i++) {
        err = make_member(f, i);
    }
    if (err == 0) {
        err = make_aggregator(f, AGGREGATOR_ANEW, options->init);
    }
    if (err != 0) {
        exit(1);
    }
    return f;
}

void federation_restart(struct federation *f, const char *address)
{
    struct member *m = member_at(f, address);
    assert(m != NULL);
    const uint32_t i = (uint32_t)(m - f->members);
    node_free(m->node);
    pthread_cond_destroy(&m->bell);
    pthread_mutex_destroy(&m->lock);
    int err = make_member(f, i);
    if (err == 0 && i == 0) {
        err = make_aggregator(f, AGGREGATOR_EITHER, NULL);
    }
    assert(err == 0);
    (void)err;
}

void federation_free(struct federation *f)
{
    for (uint32_t i = 0; i < f->config.tree.n_nodes; i++) {
        node_free(f->members[i].node);
        pthread_cond_destroy(&f->members[i].bell);
        pthread_mutex_destroy(&f->members[i].lock);
    }
    free(f->members);
    buf_release(&f->said);
    fed_config_release(&f->config);
    free(f);
}

/* ---- taking turns ---- */

void federation_advance(struct federation *f, double seconds)
{
    f->now_ns += (uint64_t)(seconds * 1e9);
}

/* Every node that has something to do takes one step, in shuffled order. @return did anybody? */
static bool one_turn(struct federation *f, uint64_t *earliest_ns)
{
    const uint32_t n = f->config.tree.n_nodes;
    uint32_t *order = calloc(n, sizeof *order);
    assert(order != NULL);
    for (uint32_t i = 0; i < n; i++) {
        order[i] = i;
    }
    replay_shuffle(&f->order, order, n);
    bool worked = false;
    *earliest_ns = UINT64_MAX;
    for (uint32_t k = 0; k < n; k++) {
        struct member *m = &f->members[order[k]];
        if (atomic_exchange(&m->woken, false) || m->again_ns <= f->now_ns) {
            m->again_ns = node_step(m->node);
            worked = true;
        }
        *earliest_ns = m->again_ns < *earliest_ns ? m->again_ns : *earliest_ns;
    }
    free(order);
    return worked;
}

void federation_turns(struct federation *f, unsigned turns)
{
    uint64_t earliest;
    for (unsigned i = 0; i < turns; i++) {
        one_turn(f, &earliest);
    }
}

static void run_in_turns(struct federation *f, struct cairn_problem *problem)
{
    for (unsigned idle = 0; !aggregator_finished(f->aggregator, problem);) {
        uint64_t earliest;
        if (one_turn(f, &earliest)) {
            idle = 0;
        } else if (earliest != UINT64_MAX && idle < 100000) {
            f->now_ns = earliest > f->now_ns ? earliest : f->now_ns;
            idle++;
        } else {
            problem_set(problem, CAIRN_ERR_BUG, NULL, "nobody has anything to do or to wait for");
            return;
        }
    }
}

/* ---- one thread per node ---- */

static void *member_thread(void *ctx)
{
    struct member *m = ctx;
    while (!m->federation->stop) {
        node_step(m->node);
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 20000000; /* also serves the deadlines that steps asked for */
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_mutex_lock(&m->lock);
        if (!m->woken) {
            pthread_cond_timedwait(&m->bell, &m->lock, &until);
        }
        m->woken = false;
        pthread_mutex_unlock(&m->lock);
    }
    return NULL;
}

static void run_in_threads(struct federation *f, struct cairn_problem *problem)
{
    for (uint32_t i = 0; i < f->config.tree.n_nodes; i++) {
        const int err = pthread_create(&f->members[i].thread, NULL, member_thread, &f->members[i]);
        assert(err == 0);
        (void)err;
    }
    while (!aggregator_finished(f->aggregator, problem)) {
        clock_system.sleep_ns(clock_system.ctx, 5000000);
    }
    f->stop = true;
    for (uint32_t i = 0; i < f->config.tree.n_nodes; i++) {
        wake(&f->members[i]);
        pthread_join(f->members[i].thread, NULL);
    }
}

int federation_run(struct federation *f, struct cairn_problem *problem)
{
    if (f->options.threads) {
        run_in_threads(f, problem);
    } else {
        run_in_turns(f, problem);
    }
    return problem->code;
}

json_t *federation_summary(struct federation *f)
{
    return aggregator_summary(f->aggregator);
}

const struct fed_config *federation_config(const struct federation *f)
{
    return &f->config;
}
