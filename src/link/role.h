/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_ROLE_H
#define ROLE_ROLE_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "clock.h"
#include "config.h"
#include "http.h"
#include "trainer.h"

/**
 * What a role is and what it is given.
 *
 * A role never sleeps, owns no thread and opens no socket. It is asked two
 * things: to answer a request (`handle`, from any thread, and `part` before it), and to do what can be done
 * now (`step`, from one thread at a time). Transport, clock and trainer are
 * passed in, so that a test can run a whole federation in one process with a clock
 * that it turns by hand.
 */

struct role;

/** The world as a role sees it. Borrowed by the role for its whole life. */
struct role_host {
    void *ctx;
    const struct clock_source *clock;
    /** Run exchanges with other nodes side by side; returns when each has ended. Any thread. */
    void (*exchange)(void *ctx, struct http_exchange *list, size_t n);
    /**
     * Begin one exchange; `done` is called once, when it has ended, possibly before this returns.
     * Until then x, what it points to and its body stay where they are. `done` must not block.
     * Any thread. flight.h is the convenient way.
     */
    void (*send)(void *ctx, struct http_exchange *x,
                 void (*done)(void *done_ctx, struct http_exchange *x), void *done_ctx);
    /** Give it up; returns when `done` has, at once when x is not under way. Never from `done`. */
    void (*cancel)(void *ctx, struct http_exchange *x);
    /** Handlers of requests may wait; false where they run in the turn of whoever asks. */
    bool may_block;
    /** `step` has something to do. Any thread. */
    void (*wake)(void *ctx);
    /**
     * Bytes of the bodies of requests and answers since the node started, both directions; without
     * GETs of what every node answers (/status, /log, ...), which are no part of a round. Any thread.
     */
    void (*traffic)(void *ctx, uint64_t *received, uint64_t *sent);
    /**
     * A trainer for these settings. client_number 0: an evaluator.
     * @param shape     of the model, where a client's assignment tells it (train.type command); else NULL
     * @param metadata  of the model, the same
     * @retval CAIRN_ERR_DATA, CAIRN_ERR_TRAINER
     */
    int (*trainer)(void *ctx, const struct fed_settings *settings, const struct model_shape *shape,
                   const json_t *metadata, uint32_t client_number, uint32_t index,
                   struct trainer **out, struct cairn_problem *why);
    /** Where this node keeps its logs; a path of this machine, never one that a peer named. */
    const char *log_dir;
    const char *address; /* this node's own name in messages, "127.0.0.4:5000" */
};

/**
 * A route of a role. `admit` sees a request's headers, as in struct http_app: it answers how long the
 * body may be, or refuses, and must not block. NULL: no body is allowed. `part` sees what has come of
 * a long body, as there; NULL: it is of no use.
 */
struct role_route {
    const char *method;
    const char *path;
    size_t (*admit)(struct role *self, const char *query, int64_t content_length,
                    struct http_reply *refusal);
    void (*handle)(struct role *self, const struct http_request *request, struct http_reply *reply);
    size_t (*part)(struct role *self, const struct http_request *request);
};

struct role {
    const char *name;                /* "client", "switch", "aggregator" */
    const struct role_route *routes; /* ends with method NULL */
    /**
     * Do what can be done now.
     * @return monotonic time in ns at which to be called again even if nobody wakes;
     *         UINT64_MAX when only a wake can bring work
     */
    uint64_t (*step)(struct role *self);
    /** Add state, round and the like to GET /status. Any thread. */
    void (*status)(struct role *self, json_t *into);
    /** The node's log document, a new reference. Any thread. */
    json_t *(*log)(struct role *self);
    void (*free)(struct role *self);
};

#endif
