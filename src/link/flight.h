/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_FLIGHT_H
#define ROLE_FLIGHT_H

#include <stdatomic.h>

#include "role.h"

/**
 * One exchange under way, for a role that does not wait: start it, and at every step ask whether it
 * has landed. Zero-initialised means idle.
 *
 *     idle --start--> in the air --(the transport)--> landed --clear--> idle
 *
 * The owner's calls come from one thread at a time. From start until landed, x and everything that
 * it points to belong to the transport. A flight stays where it is until it is idle again.
 */
struct flight {
    struct http_exchange x;
    const struct role_host *host; /* of the newest start */
    atomic_int state;             /* enum flight_state, in flight.c */
};

/** Send x, which the caller has filled in. host->wake is called when it has landed. From idle only. */
void flight_start(struct flight *flight, const struct role_host *host);
bool flight_idle(const struct flight *flight);
/** Has it ended? x then holds the outcome until flight_clear. */
bool flight_landed(const struct flight *flight);
/** Release the outcome of what has landed; idle again. */
void flight_clear(struct flight *flight);
/**
 * Whatever it does, end it: cancel and clear. Before what x points to is freed; and always before the
 * flight is, the host being used up to here.
 */
void flight_abandon(struct flight *flight);

#endif
