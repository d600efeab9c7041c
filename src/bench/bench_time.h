/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_BENCH_TIME_H
#define BENCH_BENCH_TIME_H

#include <stddef.h>
#include <stdint.h>

#include <cairn/err.h>

/** Repeating work and timing it, in one thread or several. */

/** The middle of n >= 1 values, or the mean of the two in the middle. Sorts them. */
double bench_median(double *values, size_t n);

/** Nanoseconds of one call of a function that takes well under a millisecond: the median over
 * batches that are long enough for the clock. */
double bench_call_ns(void (*run)(void *ctx), void *ctx, uint64_t budget_ns);

/** Work that is done in passes: in each, every thread does its part once. */
struct bench_work {
    int (*part)(void *ctx, unsigned thread, unsigned pass); /* 0 or CAIRN_ERR_* */
    void (*before)(void *ctx); /* NULL, or called before each pass by one thread, not timed */
    void *ctx;
    unsigned threads;
    unsigned least;     /* passes, behind one for warming up, which is pass 0 */
    uint64_t budget_ns; /* no pass begins after that, once there are `least` */
};

/**
 * @param[out] ns  of one pass, from when all threads may begin to when the last one is done: the
 *                 median
 * @return 0, or what a part returned first: nothing is done after that pass
 * @retval CAIRN_ERR_NO_MEMORY
 * @retval CAIRN_ERR_ENVIRONMENT  so many threads are not to be had
 */
CAIRN_MUST_CHECK int bench_work_run(const struct bench_work *work, double *ns);
/** The same, the shortest pass. */
CAIRN_MUST_CHECK int bench_work_best(const struct bench_work *work, double *ns);

#endif
