/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's clocks behind the interface that tests replace. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "clock.h"

static const uint64_t ns_per_s = 1000000000u;
static const int64_t us_per_s = 1000000;

static uint64_t system_monotonic_ns(void *ctx)
{
    (void)ctx;
    struct timespec t = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail for this clock on Linux */
    return (uint64_t)t.tv_sec * ns_per_s + (uint64_t)t.tv_nsec;
}

static int64_t system_wall_us(void *ctx)
{
    (void)ctx;
    struct timespec t = {0};
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * us_per_s + t.tv_nsec / 1000;
}

/* Until a point in time rather than for a while, so that signals do not lengthen the sleep. */
static void system_sleep_ns(void *ctx, uint64_t ns)
{
    uint64_t until;
    if (__builtin_add_overflow(system_monotonic_ns(ctx), ns, &until)) {
        until = UINT64_MAX;
    }
    struct timespec t = {.tv_sec = (time_t)(until / ns_per_s), .tv_nsec = (long)(until % ns_per_s)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) {
    }
}

const struct clock_source clock_system = {
    .monotonic_ns = system_monotonic_ns,
    .wall_us = system_wall_us,
    .sleep_ns = system_sleep_ns,
};

uint64_t clock_now_ns(const struct clock_source *clock)
{
    return clock->monotonic_ns(clock->ctx);
}

double clock_seconds(uint64_t from_ns, uint64_t to_ns)
{
    /* subtract first: a double cannot hold a long uptime in nanoseconds */
    return to_ns >= from_ns ? (double)(to_ns - from_ns) * 1e-9 : -(double)(from_ns - to_ns) * 1e-9;
}

void clock_format(int64_t wall_us, char text[CLOCK_TEXT_SIZE])
{
    int64_t us = wall_us % us_per_s;
    time_t s = (time_t)(wall_us / us_per_s);
    if (us < 0) { /* before 1970, where C rounds towards zero */
        us += us_per_s;
        s--;
    }
    struct tm t = {0};
    (void)gmtime_r(&s, &t); /* any int64 of microseconds is a year that fits an int */
    char wide[96]; /* as much as seven ints of any value take, so that no compiler doubts it */
    (void)snprintf(wide, sizeof wide, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", t.tm_year + 1900,
                   t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec, (int)us);
    size_t size = strnlen(wide, CLOCK_TEXT_SIZE - 1); /* a six-digit year and its sign still fit */
    memcpy(text, wide, size);
    text[size] = 0;
}
