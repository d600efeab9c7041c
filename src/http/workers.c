/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A queue and the threads that empty it. Stopping and freeing are two steps,
 * because the thread that pushes may live longer than the workers: it then
 * gets a plain no instead of freed memory.
 */
#include <pthread.h>
#include <stdlib.h>

#include "workers.h"

struct workers {
    pthread_mutex_t mutex; /* guards the fields up to `stopping` */
    pthread_cond_t changed;
    struct workers_job *first;
    struct workers_job **end; /* where the next job is hooked in */
    bool stopping;

    void (*run)(struct workers_job *job);
    unsigned n;
    pthread_t threads[];
};

static struct workers_job *take(struct workers *w)
{
    pthread_mutex_lock(&w->mutex);
    while (!w->first && !w->stopping) {
        pthread_cond_wait(&w->changed, &w->mutex);
    }
    struct workers_job *job = w->first;
    if (job) {
        w->first = job->next;
        if (!w->first) {
            w->end = &w->first;
        }
    }
    pthread_mutex_unlock(&w->mutex);
    return job;
}

static void *work(void *arg)
{
    struct workers *w = arg;
    for (struct workers_job *job = take(w); job; job = take(w)) {
        w->run(job);
    }
    return NULL;
}

int workers_start(unsigned threads, void (*run)(struct workers_job *job), struct workers **out)
{
    *out = NULL;
    struct workers *w = calloc(1, sizeof *w + threads * sizeof w->threads[0]);
    if (!w) {
        return CAIRN_ERR_NO_MEMORY;
    }
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->changed, NULL);
    w->end = &w->first;
    w->run = run;
    for (; w->n < threads; w->n++) {
        if (pthread_create(&w->threads[w->n], NULL, work, w) != 0) {
            workers_stop(w);
            workers_free(w);
            return CAIRN_ERR_ENVIRONMENT;
        }
    }
    *out = w;
    return CAIRN_OK;
}

bool workers_push(struct workers *w, struct workers_job *job)
{
    pthread_mutex_lock(&w->mutex);
    bool taken = !w->stopping;
    if (taken) {
        job->next = NULL;
        *w->end = job;
        w->end = &job->next;
        pthread_cond_signal(&w->changed);
    }
    pthread_mutex_unlock(&w->mutex);
    return taken;
}

void workers_stop(struct workers *w)
{
    pthread_mutex_lock(&w->mutex);
    w->stopping = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mutex);
    for (unsigned i = 0; i < w->n; i++) {
        pthread_join(w->threads[i], NULL);
    }
    w->n = 0;
}

void workers_free(struct workers *w)
{
    if (!w) {
        return;
    }
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->mutex);
    free(w);
}
