/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timing. Threads meet at a barrier before and after each pass, and the first of them, the caller's
 * own, holds the clock. So a pass of several threads includes waiting for the slowest, as a frame
 * that is worked on together would.
 */
#include "bench_time.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "bench.h"
#include "clock.h"

enum {
    MOST_PASSES = 1000,
    BATCHES = 15,          /* of bench_call_ns: an odd number, so that the median is one of them */
    LEAST_BATCH_NS = 5000, /* the clock costs some 25 ns: half a percent */
};

static uint64_t now_ns(void)
{
    return clock_now_ns(&clock_system);
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, compare_doubles);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* ---- one small function ---- */

static uint64_t batch_ns(void (*run)(void *ctx), void *ctx, uint64_t calls)
{
    const uint64_t begin = now_ns();
    for (uint64_t i = 0; i < calls; i++) {
        run(ctx);
    }
    return now_ns() - begin;
}

double bench_call_ns(void (*run)(void *ctx), void *ctx, uint64_t budget_ns)
{
    const uint64_t wanted =
        budget_ns / BATCHES > LEAST_BATCH_NS ? budget_ns / BATCHES : LEAST_BATCH_NS;
    uint64_t calls = 1;
    uint64_t took = batch_ns(run, ctx, calls); /* warms up as well */
    while (took < wanted / 2) {
        calls *= 2;
        took = batch_ns(run, ctx, calls);
    }
    double ns[BATCHES];
    for (size_t i = 0; i < BATCHES; i++) {
        ns[i] = (double)batch_ns(run, ctx, calls) / (double)calls;
    }
    return bench_median(ns, BATCHES);
}

/* ---- passes of several threads ---- */

struct gang {
    const struct bench_work *work;
    pthread_mutex_t gate; /* held until all threads are there, or one is not to be had */
    bool called_off;
    pthread_barrier_t begin, end;
    bool done; /* written by the first thread between end and begin, read by all behind begin */
    int errors[BENCH_MAX_THREADS];
    double *ns;
    unsigned passes; /* that ns holds */
};

struct member {
    struct gang *gang;
    unsigned thread;
};

static void *follow(void *argument)
{
    const struct member *m = argument;
    struct gang *g = m->gang;
    pthread_mutex_lock(&g->gate);
    const bool called_off = g->called_off;
    pthread_mutex_unlock(&g->gate);
    for (unsigned pass = 0; !called_off; pass++) {
        pthread_barrier_wait(&g->begin);
        if (g->done) {
            break;
        }
        g->errors[m->thread] = g->work->part(g->work->ctx, m->thread, pass);
        pthread_barrier_wait(&g->end);
    }
    return NULL;
}

static int first_error(const struct gang *g)
{
    for (unsigned i = 0; i < g->work->threads; i++) {
        if (g->errors[i] != 0) {
            return g->errors[i];
        }
    }
    return 0;
}

/* What the caller's own thread does. Pass 0 is not kept. */
static int lead(struct gang *g)
{
    const struct bench_work *work = g->work;
    uint64_t started = now_ns();
    int error = 0;
    for (unsigned pass = 0; error == 0; pass++) {
        if (work->before) {
            work->before(work->ctx);
        }
        const uint64_t begin = now_ns();
        pthread_barrier_wait(&g->begin);
        g->errors[0] = work->part(work->ctx, 0, pass);
        pthread_barrier_wait(&g->end);
        const uint64_t end = now_ns();
        error = first_error(g);
        if (pass == 0) {
            started = end;
        } else {
            g->ns[g->passes++] = (double)(end - begin);
        }
        if (g->passes == MOST_PASSES ||
            (g->passes >= work->least && end - started >= work->budget_ns)) {
            break;
        }
    }
    g->done = true;
    pthread_barrier_wait(&g->begin);
    return error;
}

static int run_gang(struct gang *g)
{
    struct member members[BENCH_MAX_THREADS];
    pthread_t threads[BENCH_MAX_THREADS];
    unsigned started = 1; /* the caller's own is there already */
    pthread_mutex_lock(&g->gate);
    for (; started < g->work->threads; started++) {
        members[started] = (struct member){g, started};
        if (pthread_create(&threads[started], NULL, follow, &members[started]) != 0) {
            g->called_off = true;
            break;
        }
    }
    pthread_mutex_unlock(&g->gate);
    const int error = g->called_off ? CAIRN_ERR_ENVIRONMENT : lead(g);
    for (unsigned i = 1; i < started; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    return error;
}

/* ns[0 .. *passes) of all passes */
static int run(const struct bench_work *work, double ns[MOST_PASSES], unsigned *passes)
{
    if (work->threads < 1 || work->threads > BENCH_MAX_THREADS || work->least < 1 ||
        work->least > MOST_PASSES) {
        return CAIRN_ERR_BUG;
    }
    struct gang g = {.work = work, .gate = PTHREAD_MUTEX_INITIALIZER, .ns = ns};
    if (pthread_barrier_init(&g.begin, NULL, work->threads) != 0) {
        return CAIRN_ERR_NO_MEMORY;
    }
    int error = CAIRN_ERR_NO_MEMORY;
    if (pthread_barrier_init(&g.end, NULL, work->threads) == 0) {
        error = run_gang(&g);
        pthread_barrier_destroy(&g.end);
    }
    pthread_barrier_destroy(&g.begin);
    *passes = g.passes;
    return error;
}

int bench_work_run(const struct bench_work *work, double *ns)
{
    double all[MOST_PASSES];
    unsigned passes = 0;
    const int error = run(work, all, &passes);
    if (error == 0) {
        *ns = bench_median(all, passes);
    }
    return error;
}

int bench_work_best(const struct bench_work *work, double *ns)
{
    double all[MOST_PASSES];
    unsigned passes = 0;
    const int error = run(work, all, &passes);
    if (error == 0) {
        (void)bench_median(all, passes);
        *ns = all[0]; /* sorted */
    }
    return error;
}
