/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_BUSY_H
#define ROLE_BUSY_H

#include "clock.h"

/**
 * Time in which at least one of several threads was at some work. Added up per thread it could be
 * more than the round took, and would not tell where the round's time went. The caller locks.
 */
struct busy {
    unsigned at_work; /* threads */
    uint64_t since_ns; /* when the first of them began */
    double seconds;
};

static inline void busy_begin(struct busy *busy, uint64_t now_ns)
{
    busy->since_ns = busy->at_work == 0 ? now_ns : busy->since_ns;
    busy->at_work++;
}

static inline void busy_end(struct busy *busy, uint64_t now_ns)
{
    busy->at_work--;
    busy->seconds += busy->at_work == 0 ? clock_seconds(busy->since_ns, now_ns) : 0;
}

/** Count from here on, whoever is at work. */
static inline void busy_restart(struct busy *busy, uint64_t now_ns)
{
    busy->since_ns = now_ns;
    busy->seconds = 0;
}

#endif
