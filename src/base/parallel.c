/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One job at a time: parallel_for publishes it under the lock with a new number, wakes the workers, takes
 * pieces itself until none is left, and waits for those who still hold one. A piece is taken by an
 * atomic counter, so a slow worker delays nobody but its own piece.
 */
#include "parallel.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

struct job {
    size_t n;
    void (*body)(void *ctx, size_t i, unsigned worker);
    void *ctx;
};

struct worker {
    struct parallel *team;
    unsigned number; /* 1 .. size-1; the caller is 0 */
    pthread_t thread;
};

struct parallel {
    unsigned size;
    unsigned started; /* threads that run; size - 1 once parallel_new is through */
    struct worker *workers;
    atomic_size_t next; /* piece of the job that nobody has taken */

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t begun, ended;
    struct job job;
    uint64_t number; /* of the job; grows */
    unsigned busy;   /* workers that have not finished it */
    bool stop;
};

static unsigned processors(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) {
        return 1;
    }
    const int n = CPU_COUNT(&set);
    return n < 1 ? 1 : (unsigned)n;
}

static void take_pieces(struct parallel *team, const struct job *job, unsigned worker)
{
    for (;;) {
        const size_t i = atomic_fetch_add_explicit(&team->next, 1, memory_order_relaxed);
        if (i >= job->n) {
            return;
        }
        job->body(job->ctx, i, worker);
    }
}

static void *work(void *arg)
{
    const struct worker *self = arg;
    struct parallel *team = self->team;
    uint64_t seen = 0;
    pthread_mutex_lock(&team->lock);
    for (;;) {
        while (!team->stop && team->number == seen) {
            pthread_cond_wait(&team->begun, &team->lock);
        }
        if (team->stop) {
            break;
        }
        seen = team->number;
        const struct job job = team->job;
        pthread_mutex_unlock(&team->lock);
        if (self->number < job.n) { /* else there is no piece for it, nor memory of its own */
            take_pieces(team, &job, self->number);
        }
        pthread_mutex_lock(&team->lock);
        if (--team->busy == 0) {
            pthread_cond_signal(&team->ended);
        }
    }
    pthread_mutex_unlock(&team->lock);
    return NULL;
}

static int start_workers(struct parallel *team)
{
    for (unsigned i = 0; i + 1 < team->size; i++) {
        team->workers[i] = (struct worker){.team = team, .number = i + 1};
        if (pthread_create(&team->workers[i].thread, NULL, work, &team->workers[i]) != 0) {
            return CAIRN_ERR_NO_MEMORY;
        }
        team->started++;
    }
    return 0;
}

int parallel_new(unsigned threads, struct parallel **out)
{
    *out = NULL;
    struct parallel *team = calloc(1, sizeof *team);
    if (team == NULL) {
        return CAIRN_ERR_NO_MEMORY;
    }
    team->size = threads == 0 ? processors() : threads;
    pthread_mutex_init(&team->lock, NULL);
    pthread_cond_init(&team->begun, NULL);
    pthread_cond_init(&team->ended, NULL);
    team->workers = calloc(team->size, sizeof *team->workers);
    const int err = team->workers == NULL ? CAIRN_ERR_NO_MEMORY : start_workers(team);
    if (err != 0) {
        parallel_free(team);
        return err;
    }
    *out = team;
    return 0;
}

unsigned parallel_size(const struct parallel *team)
{
    return team == NULL ? 1 : team->size;
}

void parallel_for(struct parallel *team, size_t n,
                  void (*body)(void *ctx, size_t i, unsigned worker), void *ctx)
{
    if (team == NULL || team->size == 1 || n <= 1) {
        for (size_t i = 0; i < n; i++) {
            body(ctx, i, 0);
        }
        return;
    }
    const struct job job = {n, body, ctx};
    pthread_mutex_lock(&team->lock);
    atomic_store_explicit(&team->next, 0, memory_order_relaxed);
    team->job = job;
    team->busy = team->size - 1;
    team->number++;
    pthread_cond_broadcast(&team->begun);
    pthread_mutex_unlock(&team->lock);
    take_pieces(team, &job, 0);
    pthread_mutex_lock(&team->lock);
    while (team->busy > 0) {
        pthread_cond_wait(&team->ended, &team->lock);
    }
    pthread_mutex_unlock(&team->lock);
}

void parallel_free(struct parallel *team)
{
    if (team == NULL) {
        return;
    }
    pthread_mutex_lock(&team->lock);
    team->stop = true;
    pthread_cond_broadcast(&team->begun);
    pthread_mutex_unlock(&team->lock);
    for (unsigned i = 0; i < team->started; i++) {
        pthread_join(team->workers[i].thread, NULL);
    }
    free(team->workers);
    pthread_cond_destroy(&team->ended);
    pthread_cond_destroy(&team->begun);
    pthread_mutex_destroy(&team->lock);
    free(team);
}
