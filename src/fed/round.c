/* SPDX-License-Identifier: Apache-2.0 */
#include "round.h"

void fed_round_begin(struct fed_round *round, uint32_t number, uint32_t n_frames,
                     uint32_t privacy_floor, uint32_t quorum)
{
    *round = (struct fed_round){.number = number,
                                .n_frames = n_frames,
                                .privacy_floor = privacy_floor,
                                .quorum = quorum,
                                .fewest = UINT32_MAX};
}

int fed_round_decide(struct fed_round *round, const struct fed_sum *sum,
                     enum fed_verdict *verdict, struct cairn_problem *why)
{
    if (sum->index != round->decided || round->decided == round->n_frames) {
        return problem_set(why, CAIRN_ERR_CLOSED, NULL,
                           "round %u: frame %u comes out of turn (%u is next); it stays closed",
                           (unsigned)round->number, (unsigned)sum->index,
                           (unsigned)round->decided);
    }
    round->decided++;
    if (sum->contributors < round->fewest) {
        round->fewest = sum->contributors;
    }
    if (sum->contributors > round->most) {
        round->most = sum->contributors;
    }
    *verdict = FED_OPEN;
    if (sum->contributors < round->privacy_floor) {
        *verdict = FED_KEEP_FLOOR;
    } else if (sum->contributors < round->quorum) {
        *verdict = FED_KEEP_QUORUM;
    } else if (sum->weight == 0) {
        *verdict = FED_KEEP_NOTHING;
    }
    round->opened += *verdict == FED_OPEN;
    round->kept += *verdict != FED_OPEN;
    return 0;
}

bool fed_round_complete(const struct fed_round *round)
{
    return round->decided == round->n_frames;
}
