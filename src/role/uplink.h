/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_UPLINK_H
#define ROLE_UPLINK_H

#include "backoff.h"
#include "frame.h"
#include "role.h"

/**
 * Batches to the parent, one after the other, at the index that the parent asks for.
 * One thread at a time.
 */
struct uplink {
    char address[FED_ADDRESS_SIZE];
    const char *path; /* "/s/receive" or "/a/receive" */
    uint32_t origin;  /* own node number */
    struct wire_context context;
    struct backoff backoff;
    double send_s; /* time spent in exchanges, since uplink_begin */
};

enum uplink_verdict {
    UPLINK_NEXT,   /* go on at *next: accepted, or the parent wants another index */
    UPLINK_LATER,  /* may pass: try again at backoff.retry_at_ns */
    UPLINK_CLOSED, /* the parent has another round open: this round's frames are not wanted any more */
    UPLINK_FAILED, /* refused for good; why says it */
};

void uplink_begin(struct uplink *up, uint32_t round);
/**
 * Post one batch. `batch` has room for the header in front, which is filled in here.
 * @param batch   WIRE_BATCH_HEADER bytes, then `frames` frames from index `first` on
 * @param[out] next  valid for UPLINK_NEXT
 */
enum uplink_verdict uplink_post(struct uplink *up, const struct role_host *host, struct buf *batch,
                                uint32_t first, uint32_t frames, uint32_t *next,
                                struct cairn_problem *why);

#endif
