/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FED_CLOSING_H
#define FED_CLOSING_H

#include "fold.h"

/**
 * When a node stops waiting and closes its fold. Three reasons, the first that holds:
 *
 *   complete  every live stream has delivered everything
 *   grace     `quorum` clients have been through for `grace_s`: stragglers had their time
 *   deadline  the time is over
 *
 * A fold that is opened again further back has nobody through: the grace begins anew.
 *
 * Pure state; times are monotonic nanoseconds. One thread at a time.
 */
struct fed_closing {
    uint64_t deadline_ns;
    uint64_t grace_ns;
    uint64_t quorum_at_ns; /* since when the quorum is through; meaningful with quorum_met */
    uint32_t quorum;
    bool quorum_met;
};

enum fed_close { FED_WAIT, FED_CLOSE_COMPLETE, FED_CLOSE_GRACE, FED_CLOSE_DEADLINE };

/**
 * @param deadline_ns  when the round ends at the latest; UINT64_MAX: never
 * @param grace_s      0: no grace rule, every live client is waited for until the deadline
 * @param quorum       clients
 */
void fed_closing_begin(struct fed_closing *closing, uint64_t now_ns, uint64_t deadline_ns,
                       double grace_s, uint32_t quorum);
/**
 * Look at the fold after anything happened to it, and when the time has come.
 * @param[out] again_ns  when to look again even if nothing happens; now_ns unless FED_WAIT
 */
enum fed_close fed_closing_check(struct fed_closing *closing, uint64_t now_ns,
                                 const struct fed_fold *fold, uint64_t *again_ns);
/** "waiting", "complete", "grace", "deadline" */
const char *fed_close_name(enum fed_close close);

#endif
