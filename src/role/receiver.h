/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_RECEIVER_H
#define ROLE_RECEIVER_H

#include <pthread.h>

#include "fold.h"
#include "role.h"

/**
 * Where batches arrive: a fold behind a lock, spoken to over HTTP. A switch
 * and the aggregator each hold one. Internally locked.
 */
struct receiver {
    pthread_mutex_t lock;
    struct fed_fold *fold;
    const struct fed_plan *plan;
    uint8_t experiment[WIRE_EXPERIMENT];
    double fold_s; /* spent adding, in this round */
    const struct role_host *host;
};

/** @param plan  borrowed.  @retval CAIRN_ERR_NO_MEMORY */
CAIRN_MUST_CHECK int receiver_init(struct receiver *in, const struct role_host *host,
                                   const struct fed_plan *plan, const struct fed_stream *streams,
                                   size_t n_streams, const uint8_t experiment[WIRE_EXPERIMENT]);
void receiver_release(struct receiver *in);

void receiver_open(struct receiver *in, uint32_t round);
/** POST of a batch. Wakes the host when a sum is complete. */
void receiver_handle(struct receiver *in, const struct http_request *request,
                     struct http_reply *reply);
/** The next complete sum in index order. @return false when there is none */
bool receiver_take(struct receiver *in, struct fed_sum *out);
/** "127.0.0.4:5000 (0 of 3 frames)", ... of streams that are not through. names: address by node number. */
void receiver_waiting_for(struct receiver *in, const char *(*name)(void *ctx, uint32_t node),
                          void *ctx, char *text, size_t size);
/** Seconds spent adding since the round was opened. */
double receiver_fold_seconds(struct receiver *in);

/**
 * Is this batch of this experiment? Used before a dumb switch passes it on, too.
 * @retval CAIRN_ERR_UNKNOWN  names both
 */
CAIRN_MUST_CHECK int receiver_check_experiment(const uint8_t expected[WIRE_EXPERIMENT],
                                               const uint8_t found[WIRE_EXPERIMENT],
                                               struct cairn_problem *why);

#endif
