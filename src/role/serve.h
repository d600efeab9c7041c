/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_SERVE_H
#define ROLE_SERVE_H

#include "node.h"

/**
 * A node on a real machine: HTTP server, one courier, system clock, and one thread that steps.
 */
struct serve_options {
    const char *listen;   /* numeric address */
    uint16_t port;
    const char *advertise; /* own name "host:port" in logs; NULL: listen:port */
    const char *data_dir;
    const char *log_dir;
    const char *train_command;     /* of struct node_options */
    const char *train_environment;
    unsigned workers;         /* 0 = default */
    unsigned max_connections; /* 0 = default */
    void (*reload)(void *ctx); /* on SIGHUP, between two steps; NULL: SIGHUP is not touched */
    void *reload_ctx;
};

struct serve;

/** Listen; nothing runs yet. @retval CAIRN_ERR_ENVIRONMENT port taken (named), CAIRN_ERR_NO_MEMORY */
CAIRN_MUST_CHECK int serve_start(const struct serve_options *options, struct serve **out,
                                 struct cairn_problem *why);
struct node *serve_node(struct serve *serve);
/**
 * Step the node until `until(ctx)` says so (asked after every step), or SIGTERM/SIGINT arrives. The same one again ends
 * the process on the spot, and one that is still in the middle of a step after 5 s is ended by it, too. SIGUSR1 has the node's status written to the log.
 * @return 0, or the signal's number
 */
int serve_run(struct serve *serve, bool (*until)(void *ctx), void *ctx);
void serve_free(struct serve *serve);

/** Exchanges without a node, for the commands that talk to running nodes; returns when each has ended. */
CAIRN_MUST_CHECK int serve_exchange_once(struct http_exchange *list, size_t n,
                                         struct cairn_problem *why);

#endif
