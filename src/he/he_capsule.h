/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HE_HE_CAPSULE_H
#define HE_HE_CAPSULE_H

#include "he_keys.h"
#include "he_sample.h"

/** Profile capsule: one polynomial a chunk under a one-time key, and the key in a capsule. */

/** What names the public polynomials of a frame. */
struct he_frame_name {
    const uint8_t *nonce; /* HE_NONCE_SIZE bytes, borrowed */
    uint32_t round;
    uint32_t frame;
};

/** A payload of n values in range, n <= HE_MAX_CHUNKS chunks. On failure the payload is to be
 * thrown away. @retval CAIRN_ERR_NO_ENTROPY, CAIRN_ERR_NO_MEMORY, CAIRN_ERR_ENVIRONMENT */
CAIRN_MUST_CHECK int he_capsule_encrypt(const struct he_params *params,
                                        const struct he_public_key *key, struct secret_rng *rng,
                                        const struct he_frame_name *name, const int32_t *values,
                                        size_t n, uint8_t *payload, struct he_crew *crew);

/** Open a sum. @param[out] bad  0, or all ones if it is not an honest sum of `contributors`
 * payloads: then sums are meaningless. @retval CAIRN_ERR_ENVIRONMENT */
CAIRN_MUST_CHECK int he_capsule_open(const struct he_params *params,
                                     const struct he_secret_key *key,
                                     const struct he_frame_name *name, uint32_t contributors,
                                     const uint8_t *payload, size_t n, int64_t *sums, uint64_t *bad,
                                     struct he_crew *crew);

#endif
