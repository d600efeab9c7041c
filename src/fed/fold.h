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
 * so nothing counts twice. A frame is complete when every live stream has delivered it;
 * complete frames are taken in index order. What is held: one sum per frame that some
 * stream has reached and that is not taken, never a copy per child, and none at or beyond
 * base + window.
 *
 *   stream 0  ■ ■ ■ ■ ■ □ □ □      next = 5: busy, until base moves
 *   stream 1  ■ ■ ■ □ □ □ □ □      next = 3
 *   stream 2  ■ □ □ □ □ □ □ □      dead; when it comes back it goes on at 2
 *             ^   ^     ^
 *          base   taken base + window
 *
 * base is where this node's care begins: the parent has what is below. It moves when
 * it is told to (fed_fold_move), so sums that were taken but not handed over still count
 * against the window.
 *
 * At any time each stream has delivered every frame of [taken, its next). What it missed
 * below, while it was dead, stays missed: those frames' contributor sets say so.
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
    struct buf words;   /* of frame 0: the largest of each, 8 bytes each; empty when nobody contributed */
};

void fed_sum_release(struct fed_sum *sum);

/**
 * @param plan     borrowed
 * @param streams  copied; n >= 1; all of them live
 * @param window   frames that are held beyond the base at most, >= 1; more than the plan has is all
 * @retval CAIRN_ERR_NO_MEMORY
 */
CAIRN_MUST_CHECK int fed_fold_new(const struct fed_plan *plan, const struct fed_stream *streams,
                                  size_t n, uint32_t window, struct fed_fold **out);
void fed_fold_free(struct fed_fold *fold);

/**
 * Drop what is held and begin a round, or go back within one: every stream is expected at frame
 * `first` (at most n_frames), base = taken = first. Opens a closed fold. Who is live stays as it is.
 */
void fed_fold_open(struct fed_fold *fold, uint32_t round, uint32_t first);
/**
 * Streams that bring nothing in this round, because none of their clients takes part: they are not waited for, and nothing is
 * accepted of them. After fed_fold_open, which expects all.
 * @param awaited  one for each stream, in the order of fed_fold_new
 */
void fed_fold_await(struct fed_fold *fold, const bool *awaited);
/** The open round; 0 before the first. */
uint32_t fed_fold_round(const struct fed_fold *fold);

/**
 * Would a frame with this index be taken in? What headers alone can tell; nothing is changed.
 * The index expected of a stream is the one after its last, or `taken` where that is more.
 * @param origin     node number of the stream
 * @param[out] next  the index that is expected from this stream now, also on failure; 0 for an unknown one
 * @retval CAIRN_ERR_UNKNOWN      no such stream here
 * @retval CAIRN_ERR_CLOSED       no round is open, or it was closed, or every frame that this
 *                                stream still has was taken without it, or it sits this round out
 * @retval CAIRN_ERR_WRONG_INDEX  not the expected frame, or the stream has delivered all
 * @retval CAIRN_ERR_BUSY         the expected one, but at or beyond base + window: again later
 */
CAIRN_MUST_CHECK int fed_fold_expect(const struct fed_fold *fold, uint32_t origin, uint32_t index,
                                     uint32_t *next, struct cairn_problem *why);

/**
 * Take in one frame of a stream. Whoever read it has checked its digest and, where it passes
 * fed_plan_check, its fields (fed_plan_check_fields): both take long, and need no lock.
 * A dead stream is live again.
 * @retval what fed_fold_expect refuses, with `next` as there, and
 * @retval CAIRN_ERR_REFUSED      fails fed_plan_check; more contributors than the stream has clients; a client
 *                                that is already in the sum; weights that overflow
 * @retval CAIRN_ERR_NO_MEMORY
 * In every failure the fold is as it was.
 */
CAIRN_MUST_CHECK int fed_fold_accept(struct fed_fold *fold, uint32_t origin,
                                     const struct wire_frame *frame, uint32_t *next,
                                     struct cairn_problem *why);

/** A dead stream is not waited for; what it delivered stays in. Unknown origins are ignored. */
void fed_fold_set_live(struct fed_fold *fold, uint32_t origin, bool live);

/** Is the next frame in index order complete: delivered by each live stream, of which there is one,
 * or the fold closed? */
bool fed_fold_ready(const struct fed_fold *fold);
/** Move the next complete frame out; only when fed_fold_ready. Does not move base. */
void fed_fold_take(struct fed_fold *fold, struct fed_sum *out);
/** Frames 0 .. taken-1 are out of the fold, or were below `first` when it was opened. */
uint32_t fed_fold_taken(const struct fed_fold *fold);
/** Frames below `base` are no longer this node's care: the parent has them, or they are opened.
 * Base never moves back, and never beyond what is taken. */
void fed_fold_move(struct fed_fold *fold, uint32_t base);

/** From now on nothing is accepted, and every remaining frame is complete with what it has, also
 * with nobody. */
void fed_fold_close(struct fed_fold *fold);
bool fed_fold_closed(const struct fed_fold *fold);

/** Clients who are through: the contributors of the last frame, of each stream that delivered it.
 * A client that has nothing to contribute is not counted, also when its frames came. */
uint32_t fed_fold_through(const struct fed_fold *fold);
/** Has every live stream that is awaited delivered everything, and is there such a one? */
bool fed_fold_all_through(const struct fed_fold *fold);

/** An awaited stream that has not delivered everything, live or dead: its origin and how far it is. i counts from 0.
 * @return false when there is no i-th such stream */
bool fed_fold_missing(const struct fed_fold *fold, size_t i, uint32_t *origin, uint32_t *next,
                      bool *live);

#endif
