/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_WATCH_H
#define ROLE_WATCH_H

#include <pthread.h>

#include "flight.h"
#include "liveness.h"
#include "role.h"

/**
 * Who is alive: GET /status of each of several nodes, once a heartbeat. The nodes answer from
 * their request threads, so one that trains is no less alive. A node that is silent for three
 * heartbeats is suspect, for six dead; the first answer makes it alive again.
 * Stepped by one thread; watch_state and watch_json from any.
 */
struct watched {
    char address[FED_ADDRESS_SIZE];
    struct flight flight;
    uint64_t due_ns;
    enum fed_life told;         /* what was logged last */
    struct fed_liveness life;   /* under the lock */
};

struct watch {
    struct watched *nodes; /* owned */
    size_t n;
    const struct role_host *host;
    uint64_t heartbeat_ns;
    pthread_mutex_t lock;
    /** A node has answered. Stepping thread. */
    void (*heard)(void *ctx, size_t node, const json_t *status);
    /** A node is suspect, dead, or alive again. Stepping thread. May be NULL. */
    void (*changed)(void *ctx, size_t node, enum fed_life life);
    void *ctx;
};

/** The caller fills in nodes[i].address. @retval CAIRN_ERR_NO_MEMORY */
CAIRN_MUST_CHECK int watch_init(struct watch *watch, const struct role_host *host, size_t n,
                                double heartbeat_s);
void watch_release(struct watch *watch);
/** @return when to be called again */
uint64_t watch_step(struct watch *watch);
enum fed_life watch_state(struct watch *watch, size_t node);
/** [{"address", "state", "silent_s"}]; new reference. */
json_t *watch_json(struct watch *watch);

#endif
