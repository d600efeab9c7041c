/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_NODE_H
#define ROLE_NODE_H

#include "role.h"

/**
 * A node: the place where a role lives. It answers what every node answers
 * (/config, /status, /log, /metrics, /healthz), takes a role when a config names one, and
 * hands everything else to that role's routes. It knows no sockets: node_app is what an
 * HTTP server, or a test, calls.
 */
struct node;

struct node_options {
    const char *address;  /* own name, "host:port"; copied */
    const char *data_dir; /* where this machine keeps the data set; copied */
    const char *log_dir;  /* copied */
    const char *train_command;     /* this machine's, as train.command is written; NULL = none; copied */
    const char *train_environment; /* the same */
    const struct clock_source *clock;
    void *ctx; /* for those below */
    /** As in struct role_host. */
    void (*exchange)(void *ctx, struct http_exchange *list, size_t n);
    void (*send)(void *ctx, struct http_exchange *x,
                 void (*done)(void *done_ctx, struct http_exchange *x), void *done_ctx);
    void (*cancel)(void *ctx, struct http_exchange *x);
    bool may_block;
    /** Called when node_step has something to do; may be NULL. Any thread. */
    void (*wake)(void *ctx);
    /** NULL: the trainer that settings.train_type names. */
    int (*trainer)(void *ctx, const struct fed_settings *settings, const char *data_dir,
                   uint32_t client_number, uint32_t index, struct trainer **out,
                   struct cairn_problem *why);
};

/** @retval CAIRN_ERR_NO_MEMORY */
CAIRN_MUST_CHECK int node_new(const struct node_options *options, struct node **out);
/** No request may be running any more. NULL is ignored. */
void node_free(struct node *node);

/** What a server calls; valid as long as the node. */
struct http_app node_app(struct node *node);
/** One step of the role, if there is one. One thread at a time. @return as role.step */
uint64_t node_step(struct node *node);
/** The status, a line of the log for each of its members and for each element of a list. */
void node_log_status(struct node *node);
/** What the node gives to a role that is made by hand (the aggregator). */
const struct role_host *node_host(struct node *node);
/** Install a role by hand; the node frees it. A POST /config is refused from then on. */
void node_install(struct node *node, struct role *role);

#endif
