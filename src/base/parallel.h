/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_PARALLEL_H
#define BASE_PARALLEL_H

#include <stddef.h>

#include <cairn/err.h>

/**
 * A team of threads that runs independent pieces of work. The caller is one of
 * them, so a team of 1 starts no thread and costs nothing. Between calls the
 * others sleep. Used by one thread at a time.
 *
 * Which worker runs which piece is not determined; a body that must give the same result whatever
 * the team's size writes only to what belongs to its piece.
 */
struct parallel;

/**
 * @param threads  in all, the caller included; 0 = one per processor that this process may use
 * @retval CAIRN_ERR_NO_MEMORY  no memory, or no threads to be had; *out is NULL
 */
CAIRN_MUST_CHECK int parallel_new(unsigned threads, struct parallel **out);
/** Workers of the team, at least 1; NULL counts as a team of 1. */
unsigned parallel_size(const struct parallel *team);
/**
 * Run body(ctx, i, worker) for every i in 0 .. n-1, and return when all are done.
 * worker is below both parallel_size and n, and no two bodies that run at once have the same:
 * scratch memory can be kept per worker.
 * @param team  NULL runs everything on the caller, as worker 0
 */
void parallel_for(struct parallel *team, size_t n,
                  void (*body)(void *ctx, size_t i, unsigned worker), void *ctx);
void parallel_free(struct parallel *team);

#endif
