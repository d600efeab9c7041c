/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node holds at most one role. Whoever uses the role, a request or the step,
 * counts as a user; a new config builds the new role first, waits until the old
 * one has no users, and swaps them. So a wrong config changes nothing, and no
 * request ever sees a role that is going away.
 */
#include "node.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "answer.h"
#include "builtin.h"
#include "client.h"
#include "command_trainer.h"
#include "digest.h"
#include "holder.h"
#include "json.h"
#include "log.h"
#include "query.h"
#include "roundlog.h"
#include "shared_trainer.h"
#include "switch.h"
#include "synthetic.h"

enum {
    /* A switch's config names its children: 10,000 of them at about 150 bytes, and a key of 20 kB. */
    CONFIG_LIMIT = 4 << 20,
    /* How long a new config waits for the old role to finish what it is doing. */
    SWAP_TIMEOUT_S = 50,
    BOOT_ID = 8,
};

struct node {
    struct node_options options;
    char address[FED_ADDRESS_SIZE];
    char data_dir[FED_PATH_SIZE];
    char log_dir[FED_PATH_SIZE];
    char train_command[FED_JSON_SIZE]; /* "" = none */
    char train_environment[FED_JSON_SIZE];
    char boot[2 * BOOT_ID + 1]; /* differs after every start */
    struct role_host host;
    atomic_uint_fast64_t received, sent;

    pthread_mutex_t configuring; /* one new config at a time; taken before lock */
    pthread_mutex_t lock;        /* guards what follows */
    pthread_cond_t unused;       /* users has become 0 */
    struct role *role;
    unsigned users;
    bool installed; /* by hand: no config is taken */
    json_t *config;
    char digest[DIGEST_HEX_SIZE];
};

/* ---- the world as the role sees it ---- */

/* Routes of roles begin with a letter of their own; /train is the aggregator's. */
static bool belongs_to_a_role(const char *path)
{
    return strncmp(path, "/c/", 3) == 0 || strncmp(path, "/s/", 3) == 0 ||
           strncmp(path, "/a/", 3) == 0 || strcmp(path, "/train") == 0;
}

/* What moves a round. Whoever looks at nodes (GET /status, /log, ...) changes no figure. */
static bool is_counted(const char *method, const char *path)
{
    return strcmp(method, "POST") == 0 || belongs_to_a_role(path);
}

static void count_exchange(struct node *node, const struct http_exchange *x)
{
    if (is_counted(x->method, x->path)) {
        atomic_fetch_add(&node->sent, x->sent);
        atomic_fetch_add(&node->received, x->answer.size);
    }
}

static void host_exchange(void *ctx, struct http_exchange *list, size_t n)
{
    struct node *node = ctx;
    node->options.exchange(node->options.ctx, list, n);
    for (size_t i = 0; i < n; i++) {
        count_exchange(node, &list[i]);
    }
}

/* Whom to tell of the end of an exchange, after its bytes have been counted. */
struct sender {
    struct node *node;
    void (*done)(void *done_ctx, struct http_exchange *x);
    void *done_ctx;
};

static void count_and_tell(void *ctx, struct http_exchange *x)
{
    const struct sender sender = *(struct sender *)ctx;
    free(ctx);
    count_exchange(sender.node, x);
    sender.done(sender.done_ctx, x);
}

static void host_send(void *ctx, struct http_exchange *x,
                      void (*done)(void *done_ctx, struct http_exchange *x), void *done_ctx)
{
    struct node *node = ctx;
    struct sender *sender = malloc(sizeof *sender);
    if (sender == NULL) {
        http_exchange_refuse(x);
        done(done_ctx, x);
        return;
    }
    *sender = (struct sender){node, done, done_ctx};
    node->options.send(node->options.ctx, x, count_and_tell, sender);
}

static void host_cancel(void *ctx, struct http_exchange *x)
{
    struct node *node = ctx;
    node->options.cancel(node->options.ctx, x);
}

static void host_wake(void *ctx)
{
    struct node *node = ctx;
    if (node->options.wake != NULL) {
        node->options.wake(node->options.ctx);
    }
}

static void host_traffic(void *ctx, uint64_t *received, uint64_t *sent)
{
    struct node *node = ctx;
    *received = atomic_load(&node->received);
    *sent = atomic_load(&node->sent);
}

static int builtin_trainer(const struct fed_settings *s, const char *data_dir,
                           uint32_t client_number, uint32_t index, struct trainer **out,
                           struct cairn_problem *why)
{
    const struct train_builtin_options options =
        fed_train_options(s, data_dir, client_number, index);
    return train_builtin_new(&options, out, why);
}

static int synthetic_trainer(const struct fed_settings *s, uint32_t client_number, uint32_t index,
                             struct trainer **out, struct cairn_problem *why)
{
    const struct train_synthetic_options options = {
        .n_params = (size_t)s->params,
        .step_s = s->step_s,
        .client_number = client_number,
        .client_index = index,
    };
    return train_synthetic_new(&options, out, why);
}

/* The aggregator's own config may say what is run; of anybody else's config nothing is run. */
static int command_trainer(const struct node *node, const struct fed_settings *s,
                           const struct model_shape *shape, const json_t *metadata,
                           uint32_t client_number, uint32_t index, struct trainer **out,
                           struct cairn_problem *why)
{
    const bool own = client_number == 0;
    const struct train_command_options options = {
        .command = own ? s->train_command : node->train_command,
        .environment = own ? s->train_environment : node->train_environment,
        .settings = s->train_settings,
        .data_dir = node->data_dir,
        .shape = shape,
        .metadata = metadata,
        .model_file = s->model_file,
        .keep = s->train_keep,
        .evaluate = s->train_evaluate,
        .timeout_s = s->train_timeout_s > 0 ? s->train_timeout_s : s->deadline_s,
        .memory_bytes = s->train_memory_bytes,
        .samples = s->train_samples,
        .seed = s->seed,
        .proximal_mu = s->proximal_mu,
        .client_number = client_number,
        .client_index = index,
    };
    return train_command_new(&options, out, why);
}

static int make_trainer(struct node *node, const struct fed_settings *settings,
                        const struct model_shape *shape, const json_t *metadata,
                        uint32_t client_number, uint32_t index, struct trainer **out,
                        struct cairn_problem *why)
{
    if (node->options.trainer != NULL) {
        return node->options.trainer(node->options.ctx, settings, node->data_dir, client_number,
                                     index, out, why);
    }
    if (strcmp(settings->train_type, "command") == 0) {
        return command_trainer(node, settings, shape, metadata, client_number, index, out, why);
    }
    return strcmp(settings->train_type, "synthetic") == 0
               ? synthetic_trainer(settings, client_number, index, out, why)
               : builtin_trainer(settings, node->data_dir, client_number, index, out, why);
}

/* The trainer, as one of what is shared. */
static int host_trainer(void *ctx, const struct fed_settings *settings,
                        const struct model_shape *shape, const json_t *metadata,
                        uint32_t client_number, uint32_t index, struct trainer **out,
                        struct cairn_problem *why)
{
    struct trainer *trainer = NULL;
    struct model_share_rules rules;
    int err = fed_share_rules(settings, &rules, why);
    if (err == 0) {
        err = make_trainer(ctx, settings, shape, metadata, client_number, index, &trainer, why);
    }
    if (err == 0) {
        const struct train_shared_options options = {
            .rules = &rules, .client = client_number > 0, .seed = settings->seed};
        err = train_shared_new(trainer, &options, out, why);
        if (err != 0) {
            trainer->free(trainer);
        }
    }
    fed_share_rules_release(&rules);
    return err;
}

/* ---- holding the role ---- */

static struct role *acquire_role(struct node *node)
{
    pthread_mutex_lock(&node->lock);
    struct role *role = node->role;
    node->users += role != NULL;
    pthread_mutex_unlock(&node->lock);
    return role;
}

static void release_role(struct node *node, const struct role *role)
{
    if (role == NULL) {
        return;
    }
    pthread_mutex_lock(&node->lock);
    if (--node->users == 0) {
        pthread_cond_signal(&node->unused);
    }
    pthread_mutex_unlock(&node->lock);
}

/* Put a role in place of the old one, once nobody uses that any more. document may be NULL.
 * @retval CAIRN_ERR_BUSY  the old role is still at work; nothing has changed */
static int swap_role(struct node *node, struct role *role, json_t *document, const char *digest,
                     struct cairn_problem *why)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += SWAP_TIMEOUT_S;
    int err = 0;
    pthread_mutex_lock(&node->lock);
    while (node->users > 0 && err == 0) {
        err = pthread_cond_timedwait(&node->unused, &node->lock, &until);
    }
    if (node->users > 0) {
        pthread_mutex_unlock(&node->lock);
        return problem_set(why, CAIRN_ERR_BUSY, "try again",
                           "the experiment before is still at work on this node");
    }
    struct role *old = node->role;
    json_t *old_config = node->config;
    node->role = role;
    node->config = json_incref(document);
    snprintf(node->digest, sizeof node->digest, "%s", digest);
    pthread_mutex_unlock(&node->lock);
    if (old != NULL) {
        old->free(old);
    }
    json_decref(old_config);
    return 0;
}

void node_install(struct node *node, struct role *role)
{
    struct cairn_problem why;
    if (swap_role(node, role, NULL, "", &why) == 0) {
        pthread_mutex_lock(&node->lock);
        node->installed = true;
        pthread_mutex_unlock(&node->lock);
    }
}

uint64_t node_step(struct node *node)
{
    struct role *role = acquire_role(node);
    const uint64_t again = role == NULL ? UINT64_MAX : role->step(role);
    release_role(node, role);
    return again;
}

/* ---- what every node answers ---- */

static json_t *status_document(struct node *node)
{
    double cpu_s;
    uint64_t rss, received, sent;
    roundlog_usage(&cpu_s, &rss);
    host_traffic(node, &received, &sent);
    struct role *role = acquire_role(node);
    pthread_mutex_lock(&node->lock);
    json_t *doc = json_pack("{s:s, s:s, s:s, s:s, s:s, s:f, s:I, s:I, s:I}", "address",
                            node->address, "role", role == NULL ? "none" : role->name, "digest",
                            node->digest, "boot", node->boot, "version", CAIRN_VERSION, "cpu_s",
                            cpu_s, "peak_rss_bytes", (json_int_t)rss, "byte_received",
                            (json_int_t)received, "byte_send", (json_int_t)sent);
    if (doc != NULL && node->config != NULL) {
        for (const char *const *key = (const char *const[]){"experiment", "encryption", NULL};
             *key != NULL; key++) {
            json_t *value = json_object_get(node->config, *key);
            if (value != NULL) {
                json_object_set(doc, *key, value);
            }
        }
    }
    pthread_mutex_unlock(&node->lock);
    if (doc != NULL && role != NULL) {
        role->status(role, doc);
    }
    release_role(node, role);
    return doc;
}

static void get_status(struct node *node, const struct http_request *request,
                       struct http_reply *reply)
{
    (void)request;
    answer_json(reply, status_document(node));
}

static void log_member(const char *key, const json_t *value)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    log_line(LOG_WARNING, "status: %s %s", key, text == NULL ? "(no memory)" : text);
    free(text);
}

/* Whoever sends a signal wants to see it, also with --quiet. */
void node_log_status(struct node *node)
{
    json_t *doc = status_document(node), *value, *element;
    const char *key;
    size_t i;
    json_object_foreach(doc, key, value) {
        if (json_is_array(value)) {
            json_array_foreach(value, i, element) {
                log_member(key, element);
            }
        } else {
            log_member(key, value);
        }
    }
    json_decref(doc);
}

static void not_configured(struct http_reply *reply)
{
    struct cairn_problem why;
    problem_set(&why, CAIRN_ERR_NOT_CONFIGURED, "POST /config first; the aggregator does that",
                "this node has no role yet");
    http_reply_problem(reply, &why);
}

static void get_config(struct node *node, const struct http_request *request,
                       struct http_reply *reply)
{
    (void)request;
    pthread_mutex_lock(&node->lock);
    json_t *config = json_incref(node->config);
    pthread_mutex_unlock(&node->lock);
    if (config == NULL) {
        not_configured(reply);
    } else {
        answer_json(reply, config);
    }
}

static void get_log(struct node *node, const struct http_request *request,
                    struct http_reply *reply)
{
    (void)request;
    struct role *role = acquire_role(node);
    if (role == NULL) {
        not_configured(reply);
    } else {
        answer_json(reply, role->log(role));
    }
    release_role(node, role);
}

static void get_health(struct node *node, const struct http_request *request,
                       struct http_reply *reply)
{
    (void)node;
    (void)request;
    answer_json(reply, json_pack("{s:s}", "status", "ok"));
}

static void get_metrics(struct node *node, const struct http_request *request,
                        struct http_reply *reply)
{
    (void)request;
    json_t *doc = status_document(node);
    reply->status = 200;
    reply->content_type = "text/plain; version=0.0.4";
    const int err = buf_printf(
        &reply->body,
        "# HELP cairn_received_bytes_total Bodies of requests and answers that move a round.\n"
        "# TYPE cairn_received_bytes_total counter\n"
        "cairn_received_bytes_total %lld\n"
        "# HELP cairn_sent_bytes_total Bodies of requests and answers that move a round.\n"
        "# TYPE cairn_sent_bytes_total counter\n"
        "cairn_sent_bytes_total %lld\n"
        "# HELP cairn_round Newest round that this node has seen.\n"
        "# TYPE cairn_round gauge\n"
        "cairn_round %lld\n"
        "# HELP cairn_cpu_seconds_total User and system time of the process.\n"
        "# TYPE cairn_cpu_seconds_total counter\n"
        "cairn_cpu_seconds_total %.3f\n"
        "# HELP cairn_peak_resident_bytes Peak resident memory of the process.\n"
        "# TYPE cairn_peak_resident_bytes gauge\n"
        "cairn_peak_resident_bytes %lld\n"
        "# HELP cairn_info Role and version.\n"
        "# TYPE cairn_info gauge\n"
        "cairn_info{role=\"%s\",version=\"%s\"} 1\n",
        json_get_int(doc, "byte_received", 0), json_get_int(doc, "byte_send", 0),
        json_get_int(doc, "round", 0), json_get_number(doc, "cpu_s", 0),
        json_get_int(doc, "peak_rss_bytes", 0), json_get_text(doc, "role", "none"), CAIRN_VERSION);
    json_decref(doc);
    if (err != 0) {
        reply->status = 503;
    }
}

/* ---- taking a config ---- */

static int build_role(struct node *node, const json_t *document, struct role **out,
                      struct cairn_problem *why)
{
    struct fed_assignment *assignment = calloc(1, sizeof *assignment);
    if (assignment == NULL) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a config");
    }
    int err = fed_assignment_read(document, assignment, why);
    if (err == 0) {
        err = assignment->self.type == FED_CLIENT
                  ? client_new(assignment, &node->host, out, why)
                  : switch_new(assignment, &node->host, out, why);
        if (err != 0) {
            fed_assignment_release(assignment);
        }
    }
    if (err != 0) {
        free(assignment);
    }
    return err;
}

static int take_config(struct node *node, json_t *document, struct cairn_problem *why)
{
    char digest[DIGEST_HEX_SIZE];
    struct role *role = NULL;
    int err = json_digest(document, digest);
    if (err != 0) {
        return problem_set(why, err, NULL, "no memory for a config");
    }
    pthread_mutex_lock(&node->lock);
    const bool same = node->role != NULL && strcmp(node->digest, digest) == 0;
    json_t *held = json_incref(node->config);
    pthread_mutex_unlock(&node->lock);
    if (!same) {
        err = holder_check(held, document, &node->host, why);
    }
    json_decref(held);
    if (same || err != 0) {
        return err;
    }
    err = build_role(node, document, &role, why);
    if (role != NULL) {
        const char *name = role->name;
        err = swap_role(node, role, document, digest, why);
        if (err != 0) {
            role->free(role);
        } else {
            log_line(LOG_INFO, "%s is a %s now, experiment %s", node->address, name,
                     json_get_text(document, "experiment", "?"));
        }
    }
    return err;
}

/* A config may come with its digest, since damaged text may still be a config. */
static int check_digest(const json_t *document, const char *query, struct cairn_problem *why)
{
    char announced[DIGEST_HEX_SIZE], digest[DIGEST_HEX_SIZE];
    if (!query_text(query, "digest", announced, sizeof announced)) {
        return 0;
    }
    const int err = json_digest(document, digest);
    if (err != 0) {
        return problem_set(why, err, NULL, "no memory for a config");
    }
    return strcmp(announced, digest) == 0
               ? 0
               : problem_set(why, CAIRN_ERR_INTEGRITY, "send it again",
                             "the config does not match its digest: damaged on its way");
}

static void post_config(struct node *node, const struct http_request *request,
                        struct http_reply *reply)
{
    struct cairn_problem why = {0};
    pthread_mutex_lock(&node->lock);
    const bool installed = node->installed;
    pthread_mutex_unlock(&node->lock);
    if (installed) {
        problem_set(&why, CAIRN_ERR_REFUSED, "post to a node that was started as `cairn node`",
                    "this node is the aggregator and takes no config");
        http_reply_problem(reply, &why);
        return;
    }
    json_t *document = json_parse(request->body, "POST /config", &why);
    int err = document == NULL ? CAIRN_ERR_MALFORMED : check_digest(document, request->query, &why);
    if (err == 0) {
        pthread_mutex_lock(&node->configuring);
        err = take_config(node, document, &why);
        pthread_mutex_unlock(&node->configuring);
    }
    json_decref(document);
    if (err == 0) {
        host_wake(node);
        answer_json(reply, status_document(node));
        return;
    }
    if (why.code == 0) {
        problem_set(&why, err, NULL, "%s", cairn_error_sentence(err));
    }
    log_line(LOG_ERROR, "config refused: %s", why.what);
    http_reply_problem(reply, &why);
}

static const struct {
    const char *method;
    const char *path;
    size_t limit;
    void (*handle)(struct node *, const struct http_request *, struct http_reply *);
} node_routes[] = {
    {"POST", "/config", CONFIG_LIMIT, post_config}, {"GET", "/config", 0, get_config},
    {"GET", "/status", 0, get_status},              {"GET", "/log", 0, get_log},
    {"GET", "/metrics", 0, get_metrics},            {"GET", "/healthz", 0, get_health},
};
enum { NODE_ROUTES = sizeof node_routes / sizeof node_routes[0] };

/* ---- finding the way ---- */

static int find_node_route(const char *method, const char *path)
{
    for (int i = 0; i < NODE_ROUTES; i++) {
        if (strcmp(path, node_routes[i].path) == 0 && strcmp(method, node_routes[i].method) == 0) {
            return i;
        }
    }
    return -1;
}

static const struct role_route *find_role_route(const struct role *role, const char *method,
                                                const char *path)
{
    for (const struct role_route *r = role->routes; r->method != NULL; r++) {
        if (strcmp(path, r->path) == 0 && strcmp(method, r->method) == 0) {
            return r;
        }
    }
    return NULL;
}

static void no_such_route(const struct role *role, const char *method, const char *path,
                          struct http_reply *reply)
{
    if (role == NULL && belongs_to_a_role(path)) {
        not_configured(reply);
        return;
    }
    struct cairn_problem why;
    problem_set(&why, CAIRN_ERR_UNKNOWN, "GET /status tells this node's role", "no route %s %.200s%s%s",
                method, path, role == NULL ? "" : " on a ", role == NULL ? "" : role->name);
    http_reply_problem(reply, &why);
}

static size_t node_admit(void *ctx, const char *method, const char *path, const char *query,
                         int64_t content_length, struct http_reply *refusal)
{
    struct node *node = ctx;
    const int route = find_node_route(method, path);
    if (route >= 0) {
        return node_routes[route].limit;
    }
    size_t limit = 0;
    struct role *role = acquire_role(node);
    const struct role_route *r = role == NULL ? NULL : find_role_route(role, method, path);
    if (r == NULL) {
        no_such_route(role, method, path, refusal);
    } else if (r->admit != NULL) {
        limit = r->admit(role, query, content_length, refusal);
    }
    release_role(node, role);
    if (refusal->status >= 400 && is_counted(method, path)) {
        atomic_fetch_add(&node->sent, refusal->body.size);
    }
    return limit;
}

static void dispatch(struct node *node, const struct http_request *request,
                     struct http_reply *reply)
{
    const int route = find_node_route(request->method, request->path);
    if (route >= 0) {
        node_routes[route].handle(node, request, reply);
        return;
    }
    struct role *role = acquire_role(node);
    const struct role_route *r =
        role == NULL ? NULL : find_role_route(role, request->method, request->path);
    if (r == NULL) {
        no_such_route(role, request->method, request->path, reply);
    } else {
        r->handle(role, request, reply);
    }
    release_role(node, role);
}

static void node_handle(void *ctx, const struct http_request *request, struct http_reply *reply)
{
    struct node *node = ctx;
    const bool counted = is_counted(request->method, request->path);
    if (counted) {
        atomic_fetch_add(&node->received, request->body.size);
    }
    dispatch(node, request, reply);
    if (counted) {
        atomic_fetch_add(&node->sent, reply->body.size);
    }
}

static size_t node_part(void *ctx, const struct http_request *request)
{
    struct node *node = ctx;
    size_t wanted = SIZE_MAX;
    if (find_node_route(request->method, request->path) >= 0) {
        return wanted;
    }
    struct role *role = acquire_role(node);
    const struct role_route *r =
        role == NULL ? NULL : find_role_route(role, request->method, request->path);
    if (r != NULL && r->part != NULL) {
        wanted = r->part(role, request);
    }
    release_role(node, role);
    return wanted;
}

struct http_app node_app(struct node *node)
{
    return (struct http_app){
        .ctx = node, .admit = node_admit, .part = node_part, .handle = node_handle};
}

const struct role_host *node_host(struct node *node)
{
    return &node->host;
}

int node_new(const struct node_options *options, struct node **out)
{
    struct node *node = calloc(1, sizeof *node);
    uint8_t boot[BOOT_ID];
    if (node == NULL) {
        return CAIRN_ERR_NO_MEMORY;
    }
    const int err = random_from_system(boot, sizeof boot);
    if (err != 0) {
        free(node);
        return err;
    }
    digest_hex(boot, sizeof boot, node->boot);
    node->options = *options;
    snprintf(node->address, sizeof node->address, "%s", options->address);
    snprintf(node->data_dir, sizeof node->data_dir, "%s", options->data_dir);
    snprintf(node->log_dir, sizeof node->log_dir, "%s", options->log_dir);
    snprintf(node->train_command, sizeof node->train_command, "%s",
             options->train_command != NULL ? options->train_command : "");
    snprintf(node->train_environment, sizeof node->train_environment, "%s",
             options->train_environment != NULL ? options->train_environment : "");
    node->host = (struct role_host){.ctx = node,
                                    .clock = options->clock,
                                    .exchange = host_exchange,
                                    .send = host_send,
                                    .cancel = host_cancel,
                                    .may_block = options->may_block,
                                    .wake = host_wake,
                                    .traffic = host_traffic,
                                    .trainer = host_trainer,
                                    .log_dir = node->log_dir,
                                    .address = node->address};
    pthread_mutex_init(&node->configuring, NULL);
    pthread_mutex_init(&node->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&node->unused, &attr);
    pthread_condattr_destroy(&attr);
    *out = node;
    return 0;
}

void node_free(struct node *node)
{
    if (node == NULL) {
        return;
    }
    if (node->role != NULL) {
        node->role->free(node->role);
    }
    json_decref(node->config);
    pthread_cond_destroy(&node->unused);
    pthread_mutex_destroy(&node->lock);
    pthread_mutex_destroy(&node->configuring);
    free(node);
}
