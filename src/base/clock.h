/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/**
 * Time as something that is passed in, so that tests can turn it by hand.
 * Deadlines use monotonic_ns only; wall_us is for logs.
 */
struct clock_source {
    uint64_t (*monotonic_ns)(void *ctx); /* never goes back */
    int64_t (*wall_us)(void *ctx);       /* microseconds since 1970, UTC */
    void (*sleep_ns)(void *ctx, uint64_t ns);
    void *ctx;
};

/** The machine's clocks. Immutable. */
extern const struct clock_source clock_system;

uint64_t clock_now_ns(const struct clock_source *clock);
/** Seconds between two monotonic readings. */
double clock_seconds(uint64_t from_ns, uint64_t to_ns);

enum { CLOCK_TEXT_SIZE = 32 };
/** RFC 3339 UTC with microseconds, "2026-01-31T12:00:00.123456Z". */
void clock_format(int64_t wall_us, char text[CLOCK_TEXT_SIZE]);

#endif
