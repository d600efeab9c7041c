/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FED_ROUND_H
#define FED_ROUND_H

#include <stdbool.h>

#include "fold.h"

/**
 * What may be opened. A (round, frame) is opened at most once, for one
 * contributor set that is fixed before: opening {A,B} and later {A,B,C} of the
 * same updates would show C. A frame with fewer contributors than the privacy
 * floor or the quorum, or without any sample, is not opened: those parameters keep
 * the old model's values. The floor protects clients, the quorum the model; where both
 * forbid, the floor is named.
 *
 * Pure state. One thread at a time.
 */
struct fed_round {
    uint32_t number;        /* of the round, from 1 */
    uint32_t n_frames;
    uint32_t decided;       /* frames 0 .. decided-1 have their verdict */
    uint32_t privacy_floor;
    uint32_t quorum;
    uint32_t opened;        /* frames that were to be opened; opened + kept = decided */
    uint32_t kept;          /* frames that keep the old values */
    uint32_t fewest, most;  /* contributors of a decided frame */
};

enum fed_verdict {
    FED_OPEN,         /* decrypt and apply, now and never again */
    FED_KEEP_FLOOR,   /* too few contributors to hide one among them */
    FED_KEEP_QUORUM,  /* too few to speak for all */
    FED_KEEP_NOTHING, /* no samples behind it */
};

void fed_round_begin(struct fed_round *round, uint32_t number, uint32_t n_frames,
                     uint32_t privacy_floor, uint32_t quorum);
/**
 * Decide over the next frame and note that it is decided, before it is opened.
 * @retval CAIRN_ERR_CLOSED  that frame has been decided before, or is not the next one: never opened
 */
CAIRN_MUST_CHECK int fed_round_decide(struct fed_round *round, const struct fed_sum *sum,
                                      enum fed_verdict *verdict, struct cairn_problem *why);
/** Has every frame its verdict? */
bool fed_round_complete(const struct fed_round *round);

#endif
