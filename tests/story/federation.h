/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORY_FEDERATION_H
#define STORY_FEDERATION_H

#include "aggregator.h"
#include "node.h"

/**
 * A whole federation in one process: an aggregator and any number of other
 * nodes, joined by a transport that calls the other node's handler directly, with a
 * clock that only the test turns and a trainer that makes up its updates.
 */
struct federation;

struct federation_options {
    const char *config;       /* text of config.json */
    const char *folder;       /* for logs and runs */
    size_t n_params;          /* of the made-up model, in two tensors */
    const struct model_shape *shape; /* or in these; then n_params is not looked at. NULL: those two */
    const char *init;         /* file with the model that the aggregator begins with; NULL: the trainer's */
    uint64_t order_seed;      /* nodes step in an order shuffled by it */
    bool threads;             /* one thread per node and the system's clock, instead of turns */
    /** Sees every request before it is delivered. false: the peer "cannot be reached". May be NULL. */
    bool (*deliver)(void *ctx, const struct http_exchange *x);
    /** Sees every exchange after it has been answered. May be NULL. */
    void (*answered)(void *ctx, const struct http_exchange *x);
    void *ctx;
    int bad_client;           /* this client index trains a NaN in round 2; -1 = none */
    const uint64_t *samples;  /* per client index; NULL = 10 + index */
    const float *targets;     /* per client index: every client moves all parameters to its target; NULL = made-up */
};

struct federation *federation_new(const struct federation_options *options);
/** Run until the aggregator has finished. @return its problem's code */
int federation_run(struct federation *f, struct cairn_problem *problem);
/** New reference; NULL when it failed. */
json_t *federation_summary(struct federation *f);
/** All that the aggregator has said so far, line by line; borrowed. */
const char *federation_said(struct federation *f);
/** The node at an address, for requests by hand. */
void federation_request(struct federation *f, struct http_exchange *x);
/** Move the clock and let the nodes take turns until nobody has work; for tests that stop in the middle. */
void federation_turns(struct federation *f, unsigned turns);
void federation_advance(struct federation *f, double seconds);
/** The node at this address is gone and started anew, with nothing but what is on its disk; the aggregator goes on with its
 * unfinished run, without being told of `init` again. Not with threads. */
void federation_restart(struct federation *f, const char *address);
/** As it was read; borrowed. */
const struct fed_config *federation_config(const struct federation *f);
void federation_free(struct federation *f);

#endif
