/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HE_HE_EXPORT_H
#define HE_HE_EXPORT_H

#include "he_keys.h"

/**
 * What other programs need to open a capsule payload for themselves: the public polynomial of a
 * chunk, and the sum of the one-time keys. Both in the ring modulo RING_Q, N = RING_DEGREE.
 */

/**
 * Parameters whose chunks another BFV program can open with a plain modulus that is a power of two:
 * as `params` (profile capsule), but the step D is 2^(K-T), T the fewest bits that hold a word of
 * lanes, and K as large as that takes. Payloads of the two sets do not add up: their ids differ.
 * @retval CAIRN_ERR_CONFIG  no K up to 50 keeps the failure bound
 */
CAIRN_MUST_CHECK int he_export_params(const struct he_params *params, struct he_params *out,
                                      unsigned *plain_bits, struct cairn_problem *why);

/** The polynomial a_j of a chunk, in coefficients. Public. @retval CAIRN_ERR_NO_MEMORY,
 * CAIRN_ERR_ENVIRONMENT */
CAIRN_MUST_CHECK int he_export_chunk_polynomial(const struct he_params *params,
                                                const uint8_t nonce[HE_NONCE_SIZE], uint32_t round,
                                                uint32_t frame, uint32_t chunk,
                                                uint64_t *coefficients, struct cairn_problem *why);

/**
 * The sum S of the one-time keys of `contributors` payloads, transformed. Whoever holds it opens
 * every chunk of that sum, so this IS an opening: once for a (round, frame), as he_open.
 * @param[out] key  (N) from secret_alloc; zeroed on failure
 * @retval CAIRN_ERR_REFUSED, CAIRN_ERR_INTEGRITY  as he_open
 */
CAIRN_MUST_CHECK int he_export_summed_key(const struct he_params *params,
                                          const struct he_secret_key *secret, uint32_t contributors,
                                          const uint8_t *payload, size_t n, uint64_t *key,
                                          struct cairn_problem *why);

#endif
