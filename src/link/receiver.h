/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_RECEIVER_H
#define ROLE_RECEIVER_H

#include <pthread.h>

#include "busy.h"
#include "closing.h"
#include "fold.h"
#include "role.h"

/**
 * Where batches arrive: a fold behind a lock, spoken to over HTTP. A folding
 * switch and the aggregator each hold one. Internally locked.
 *
 *   POST .../receive?exp=E&round=R&origin=O&first=I   a batch; what the query tells is checked before the body
 *                                                     is read, so a refusal costs no upload
 *   GET  .../next?...                                 the same query; waits a moment for room in the window
 *
 * Both answer {"next", "round"}; 409 and 503 name "next" too, 410 names the open "round".
 */
struct receiver {
    pthread_mutex_t lock;
    pthread_cond_t moved; /* the window has moved, or another round is open */
    struct fed_fold *fold;
    const struct fed_plan *plan;
    uint8_t experiment[WIRE_EXPERIMENT];
    size_t batch_limit; /* bytes */
    struct busy adding; /* checking and adding, in this round */
    unsigned waiting;   /* requests that are kept waiting for room */
    uint64_t refused;   /* late frames, duplicates and the like since the start */
    const struct role_host *host;
};

/**
 * @param plan    borrowed
 * @param window  frames held at most
 * @param batch_limit  bytes of a body
 * @retval CAIRN_ERR_NO_MEMORY
 */
CAIRN_MUST_CHECK int receiver_init(struct receiver *in, const struct role_host *host,
                                   const struct fed_plan *plan, const struct fed_stream *streams,
                                   size_t n_streams, uint32_t window, size_t batch_limit,
                                   const uint8_t experiment[WIRE_EXPERIMENT]);
void receiver_release(struct receiver *in);

/** Begin a round, or begin it again, at frame `first`. @param awaited  fed_fold_await */
void receiver_open(struct receiver *in, uint32_t round, uint32_t first, const bool *awaited);
/** Nothing more is taken in for this round. */
void receiver_close(struct receiver *in);
/** The parent has, or this node has opened, everything below `base`. */
void receiver_move(struct receiver *in, uint32_t base);
/** Wait for this stream, or don't. */
void receiver_set_live(struct receiver *in, uint32_t origin, bool live);

/** On the headers of a batch: body bytes allowed, or *refusal filled. */
size_t receiver_admit(struct receiver *in, const char *query, struct http_reply *refusal);
/**
 * What has come of a batch: its whole frames are taken at once, so that a sum need not wait for the end of
 * the batch. The number of those is noted in request->progress, and receiver_handle goes on behind them.
 * @return bytes of the body at which there is more to take
 */
size_t receiver_part(struct receiver *in, const struct http_request *request);
/** POST of a batch. Wakes the host when a sum is complete. */
void receiver_handle(struct receiver *in, const struct http_request *request,
                     struct http_reply *reply);
/** GET of the next index. */
void receiver_next(struct receiver *in, const struct http_request *request,
                   struct http_reply *reply);

/** The next complete sum in index order. @return false when there is none */
bool receiver_take(struct receiver *in, struct fed_sum *out);
/** Is it time to close? As fed_closing_check. */
enum fed_close receiver_closing(struct receiver *in, struct fed_closing *closing,
                                uint64_t *again_ns);
/** "127.0.0.4:5000 (0 of 3 frames)", ... of streams that are not through. name: address by node number. */
void receiver_waiting_for(struct receiver *in, const char *(*name)(void *ctx, uint32_t node),
                          void *ctx, char *text, size_t size);
/** Clients whose whole update has arrived. */
uint32_t receiver_through(struct receiver *in);
/** Seconds since the round was opened in which a batch, or several side by side, were checked and added. */
double receiver_fold_seconds(struct receiver *in);
/** Batches that were refused since the start. */
uint64_t receiver_refused(struct receiver *in);

/**
 * Is this of this experiment? Used before a dumb switch passes a batch on, too.
 * @retval CAIRN_ERR_UNKNOWN  names both
 */
CAIRN_MUST_CHECK int receiver_check_experiment(const uint8_t expected[WIRE_EXPERIMENT],
                                               const uint8_t found[WIRE_EXPERIMENT],
                                               struct cairn_problem *why);

#endif
