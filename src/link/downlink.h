/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_DOWNLINK_H
#define ROLE_DOWNLINK_H

#include "backoff.h"
#include "flight.h"
#include "role.h"

/**
 * A message to each of several nodes, until each has taken it: configs to all
 * nodes, the first piece of a model to the children. All fly side by side, and
 * one that hangs holds up nobody else. Failures that may pass are tried again with backoff; a refusal
 * in words goes into this node's log, once for each that is new.
 * One thread at a time.
 */
struct downlink_target {
    char address[FED_ADDRESS_SIZE];
    const char *path;
    struct span body; /* borrowed until it is delivered or restarted */
    bool delivered;
    struct backoff backoff;
    char trouble[240]; /* the last failure, for who asks what is being waited for */
    struct flight flight;
};

struct downlink {
    struct downlink_target *targets; /* owned */
    size_t n;
    const struct role_host *host;
    /** A target that refuses for good: true = it ends the whole (downlink_step fails), false = it is
     * asked again like one that cannot be reached. */
    bool strict;
    /** Looks at the answer of a target that said 200; false: not what is wanted, try again.
     * NULL accepts any 200. */
    bool (*accept)(void *ctx, size_t target, const struct http_exchange *exchange);
    void *ctx;
};

/** Targets begin as delivered: there is nothing to deliver yet. @retval CAIRN_ERR_NO_MEMORY */
CAIRN_MUST_CHECK int downlink_init(struct downlink *down, const struct role_host *host, size_t n);
void downlink_release(struct downlink *down);
/** Give up what is in the air, so that bodies may change; every target counts as delivered. */
void downlink_halt(struct downlink *down);
/** A target is to get its body, again or for the first time. Nothing happens while that is under way. */
void downlink_again(struct downlink *down, size_t target);
bool downlink_done(const struct downlink *down);

/**
 * Look at what has landed, and start what is due.
 * @param[out] next_ns  when to be called again; UINT64_MAX when only a landing can bring work
 * @return 0, or strict: the error of a target that refused for good (why names it)
 */
int downlink_step(struct downlink *down, uint64_t *next_ns, struct cairn_problem *why);
/** "127.0.0.2:5000 (connection refused), ..." of undelivered targets, cut to size. */
void downlink_waiting_for(const struct downlink *down, char *text, size_t size);

#endif
