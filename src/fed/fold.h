/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FED_FOLD_H
#define FED_FOLD_H

#include <stdbool.h>

#include "plan.h"
#include "tree.h"

/**
 * The fold: streams of frames in, one stream of sums out.
 *
 * Whoever receives frames, a switch or the aggregator, in plain or encrypted,
 * holds one of these. Each stream delivers its frames in index order, and a frame is
 * accepted at exactly the index that is expected from that stream, whole or not at all,
 * so nothing counts twice. A frame is complete when every stream has delivered it; complete frames are
 * taken in index order. What is held: one sum per frame that some stream has reached and
 * not every stream, never a copy per child.
 *
 *   stream 0  ■ ■ ■ ■ □ □          next = 4
 *   stream 1  ■ ■ □ □ □ □          next = 2
 *             └─┘ complete   ^ sums of frames 2 and 3 are open
 *
 * Pure state: no I/O, no clock. One thread at a time.
 */
struct fed_fold;

/** A complete frame's sum. Owner: fed_sum_release. */
struct fed_sum {
    uint32_t index;
    uint32_t contributors;
    uint64_t weight;
    struct buf payload; /* he_payload_bytes; empty when nobody contributed */
    struct buf set;     /* fed_plan_set_bytes */
};

void fed_sum_release(struct fed_sum *sum);

/** @param streams  copied; n >= 1.  @param plan  borrowed.  @retval CAIRN_ERR_NO_MEMORY */
CAIRN_MUST_CHECK int fed_fold_new(const struct fed_plan *plan, const struct fed_stream *streams,
                                  size_t n, struct fed_fold **out);
void fed_fold_free(struct fed_fold *fold);

/** Drop what is held and begin a round: every stream starts at frame 0. */
void fed_fold_open(struct fed_fold *fold, uint32_t round);
/** The open round; 0 before the first. */
uint32_t fed_fold_round(const struct fed_fold *fold);

/**
 * Take in one frame of a stream. Whoever read it has checked its digest and, where it passes
 * fed_plan_check, its fields (fed_plan_check_fields): both take long, and need no lock.
 * @param origin     node number of the stream
 * @param[out] next  the index that is expected from this stream now, also on failure; 0 for an unknown one
 * @retval CAIRN_ERR_UNKNOWN      no such stream here
 * @retval CAIRN_ERR_WRONG_INDEX  not the expected frame, or all have been delivered
 * @retval CAIRN_ERR_REFUSED      fails fed_plan_check; more contributors than the stream has clients; a client
 *                                that is already in the sum; weights that overflow
 * @retval CAIRN_ERR_NO_MEMORY
 * In every failure the fold is as it was.
 */
CAIRN_MUST_CHECK int fed_fold_accept(struct fed_fold *fold, uint32_t origin,
                                     const struct wire_frame *frame, uint32_t *next,
                                     struct cairn_problem *why);

/** Is the next frame in index order complete? */
bool fed_fold_ready(const struct fed_fold *fold);
/** Move the next complete frame out; only when fed_fold_ready. */
void fed_fold_take(struct fed_fold *fold, struct fed_sum *out);
/** Frames taken in this round. */
uint32_t fed_fold_taken(const struct fed_fold *fold);

/** A stream that has not delivered everything: its origin and how far it is. i counts from 0.
 * @return false when there is no i-th such stream */
bool fed_fold_missing(const struct fed_fold *fold, size_t i, uint32_t *origin, uint32_t *next);

#endif
