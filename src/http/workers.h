/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_WORKERS_H
#define HTTP_WORKERS_H

#include <stdbool.h>

#include <cairn/err.h>

/**
 * Threads that take jobs from one queue, first come first served. Inside http
 * only. A job is embedded in whatever it is about, so queueing never allocates.
 */
struct workers_job {
    struct workers_job *next;
};

struct workers;

/** @retval CAIRN_ERR_NO_MEMORY, CAIRN_ERR_ENVIRONMENT (no thread): nothing runs, *out is NULL */
CAIRN_MUST_CHECK int workers_start(unsigned threads, void (*run)(struct workers_job *job),
                                   struct workers **out);
/** Queue a job; run is called with it on one of the threads. False after workers_stop. */
bool workers_push(struct workers *workers, struct workers_job *job);
/** Take no more jobs, run those in the queue, end the threads. */
void workers_stop(struct workers *workers);
/** Free, after workers_stop. NULL is ignored. */
void workers_free(struct workers *workers);

#endif
