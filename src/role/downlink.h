/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_DOWNLINK_H
#define ROLE_DOWNLINK_H

#include "backoff.h"
#include "role.h"

/**
 * The same kind of message to several nodes, until each has taken it: configs
 * to all nodes, models to the children. Targets that fail in a way that may pass are tried again with
 * backoff; one that refuses for good ends it.
 * One thread at a time.
 */
struct downlink_target {
    char address[FED_ADDRESS_SIZE];
    const char *path;
    struct span body; /* borrowed until it is delivered */
    bool delivered;
    struct backoff backoff;
    char trouble[240]; /* the last failure, for who asks what is being waited for */
};

struct downlink {
    struct downlink_target *targets; /* owned */
    size_t n;
    /** Looks at the answer of a target that said 200; false: not what is wanted, try again.
     * NULL accepts any 200. */
    bool (*accept)(void *ctx, size_t target, const struct http_exchange *exchange);
    void *ctx;
};

/** @retval CAIRN_ERR_NO_MEMORY */
CAIRN_MUST_CHECK int downlink_init(struct downlink *down, size_t n);
void downlink_release(struct downlink *down);
/** Forget deliveries: a new message is to go out. */
void downlink_restart(struct downlink *down);
bool downlink_done(const struct downlink *down);

/**
 * Post to every target that is due, side by side.
 * @param[out] next_ns  when the earliest undelivered target is due; UINT64_MAX when all are delivered
 * @return 0, or the error of a target that refused for good (why names it)
 */
CAIRN_MUST_CHECK int downlink_step(struct downlink *down, const struct role_host *host,
                                   uint64_t *next_ns, struct cairn_problem *why);
/** "127.0.0.2:5000 (connection refused), ..." of undelivered targets, cut to size. */
void downlink_waiting_for(const struct downlink *down, char *text, size_t size);

#endif
