/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_UPLINK_H
#define ROLE_UPLINK_H

#include "backoff.h"
#include "flight.h"
#include "frame.h"
#include "role.h"

/**
 * Batches to the parent, one in the air at a time, at the index that the parent asks for. While one
 * flies, its sender builds the next. A parent whose window is full is asked when there is room.
 * One thread at a time.
 */
struct uplink {
    const struct role_host *host;
    char address[FED_ADDRESS_SIZE];
    const char *side; /* "/s" or "/a": where the parent's routes are */
    uint32_t origin;  /* own node number */
    struct wire_context context;
    struct backoff backoff;
    double send_s; /* time that batches were in the air, since uplink_begin */

    struct flight flight;
    bool asks;         /* what flies asks for room */
    bool full;         /* the parent had no room when it was last heard */
    bool lost;         /* the parent has yet to say where to go on */
    bool elsewhere;    /* the last *next did not come of taking a batch: the parent had frames, or lost some */
    struct buf batch;  /* what flies, or is to fly again: header, frames */
    uint32_t first;    /* of the batch */
    uint32_t frames;   /* in it; 0 = there is none */
    uint64_t since_ns; /* takeoff */
    char target[160];  /* path and query of what flies */
};

enum uplink_verdict {
    UPLINK_IDLE,   /* nothing is in the air */
    UPLINK_FLYING, /* not back yet */
    UPLINK_NEXT,   /* go on at *next: accepted, or the parent wants another index */
    UPLINK_LATER,  /* may pass: uplink_repeat at backoff.retry_at_ns */
    UPLINK_CLOSED, /* the parent has closed this round: its frames are not wanted any more */
    UPLINK_FAILED, /* refused for good; why says it */
};

/** @param parent_type  FED_AGGREGATOR or FED_SWITCH */
void uplink_init(struct uplink *up, const struct role_host *host,
                 const struct fed_assignment *assignment);
void uplink_release(struct uplink *up);
/** Another round, or this one once more: what flies is given up. */
void uplink_begin(struct uplink *up, uint32_t round);
/** May a batch take off now? False while one flies or failures are being waited out. */
bool uplink_ready(const struct uplink *up);
/** Begin a batch: `batch` is emptied, with room for the header. @retval CAIRN_ERR_NO_MEMORY */
CAIRN_MUST_CHECK int uplink_reserve(struct buf *batch);
/**
 * Let a batch fly. Only when uplink_ready.
 * @param batch  from uplink_reserve, then `frames` whole frames from index `first` on; swapped with up->batch
 */
void uplink_post(struct uplink *up, struct buf *batch, uint32_t first, uint32_t frames);
/** Is the batch that begins at `first` still here, to be sent once more as it is? */
bool uplink_holds(const struct uplink *up, uint32_t first);
/** Let the held batch, or the question of uplink_ask, fly again. Only when uplink_ready. */
void uplink_repeat(struct uplink *up);
/** Ask where to go on, without sending anything; what flies is given up. Until the answer has come, `lost` is set: a
 * question that did not get through is to be repeated. */
void uplink_ask(struct uplink *up, uint32_t first);
/** What has come of it. @param[out] next  valid for UPLINK_NEXT */
enum uplink_verdict uplink_land(struct uplink *up, uint32_t *next, struct cairn_problem *why);
/** Path and query of a request to the parent about this round, "/s/next?exp=...", in up->target. */
void uplink_target(struct uplink *up, const char *route, uint64_t first);

#endif
