/* SPDX-License-Identifier: Apache-2.0 */
#include "closing.h"

#include <math.h>

void fed_closing_begin(struct fed_closing *closing, uint64_t now_ns, uint64_t deadline_ns,
                       double grace_s, uint32_t quorum)
{
    *closing = (struct fed_closing){
        .deadline_ns = deadline_ns,
        .grace_ns = (uint64_t)ceil(grace_s * 1e9), /* what is above 0 stays above 0 */
        .quorum_at_ns = now_ns,
        .quorum = quorum,
        .quorum_met = quorum == 0};
}

static void watch_quorum(struct fed_closing *closing, uint64_t now_ns, uint32_t through)
{
    const bool met = through >= closing->quorum;
    if (met && !closing->quorum_met) {
        closing->quorum_at_ns = now_ns;
    }
    closing->quorum_met = met;
}

enum fed_close fed_closing_check(struct fed_closing *closing, uint64_t now_ns,
                                 const struct fed_fold *fold, uint64_t *again_ns)
{
    *again_ns = now_ns;
    watch_quorum(closing, now_ns, fed_fold_through(fold));
    if (fed_fold_all_through(fold)) {
        return FED_CLOSE_COMPLETE;
    }
    const bool grace = closing->grace_ns > 0 && closing->quorum_met;
    const uint64_t grace_ends_ns = closing->quorum_at_ns + closing->grace_ns;
    if (grace && now_ns >= grace_ends_ns) {
        return FED_CLOSE_GRACE;
    }
    if (now_ns >= closing->deadline_ns) {
        return FED_CLOSE_DEADLINE;
    }
    const bool grace_first = grace && grace_ends_ns < closing->deadline_ns;
    *again_ns = grace_first ? grace_ends_ns : closing->deadline_ns;
    return FED_WAIT;
}

const char *fed_close_name(enum fed_close close)
{
    static const char *const names[] = {[FED_WAIT] = "waiting",
                                        [FED_CLOSE_COMPLETE] = "complete",
                                        [FED_CLOSE_GRACE] = "grace",
                                        [FED_CLOSE_DEADLINE] = "deadline"};
    return names[close];
}
