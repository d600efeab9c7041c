/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HE_HE_CREW_H
#define HE_HE_CREW_H

#include "he.h"

/**
 * Inside this part: one frame, chunk by chunk, on a team of threads.
 *
 * A chunk's bits hang on its number only. What it writes is its own, what it draws comes from branch
 * `chunk` of a root that the caller's generator gave before any chunk began (random.h), and what
 * it finds wrong is or-ed together.
 */

/** What one thread works with. Its scratch is from secret_alloc. */
struct he_worker {
    void *scratch;          /* struct he_scratch; N = 4096, 8192: he_wide_scratch, he_ckks_scratch */
    struct secret_rng *rng; /* encrypting: this chunk's branch */
    uint64_t bad;           /* opening: 0, or all ones when a chunk was not honest */
    int rc;                 /* of the first chunk that failed; no further one is begun */
};

/** Worker 0 of a crew: what is done for the frame as a whole. */
struct he_worker *he_crew_first(struct he_crew *crew);

/** One chunk. @param job  of the frame: only read @return 0 or CAIRN_ERR_* */
typedef int he_chunk_body(const void *job, size_t chunk, struct he_worker *w);

/** Run body for every chunk, each with its branch of randomness. @return 0 or what a chunk returned
 * @retval CAIRN_ERR_NO_ENTROPY, CAIRN_ERR_NO_MEMORY */
CAIRN_MUST_CHECK int he_crew_encrypt(struct he_crew *crew, struct secret_rng *rng, size_t chunks,
                                     he_chunk_body *body, const void *job);
/** The same without randomness. @param[in,out] bad  each chunk's finding is or-ed to it */
CAIRN_MUST_CHECK int he_crew_open(struct he_crew *crew, size_t chunks, he_chunk_body *body,
                                  const void *job, uint64_t *bad);
/** The caller's crew, or where he gave none, one of the calling thread alone.
 * @retval CAIRN_ERR_NO_MEMORY
 * @retval CAIRN_ERR_BUG  made for another ring */
CAIRN_MUST_CHECK int he_crew_enter(const struct he_params *params, struct he_crew *given,
                                   struct he_crew **out);
/** Wipe what the frame has left in memory. `given` as at he_crew_enter. */
void he_crew_leave(struct he_crew *crew, const struct he_crew *given);

#endif
