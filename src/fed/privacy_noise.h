/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FED_PRIVACY_NOISE_H
#define FED_PRIVACY_NOISE_H

#include <stddef.h>
#include <stdint.h>

#include "random.h"

/**
 * A client's share of the privacy noise: discrete Gaussian integers, N_Z(0, variance), P(y) in proportion to
 * exp(-y^2 / (2 variance)).
 *
 * Sampled exactly, from whole numbers and random bits alone, as Algorithms 1 to 3 of Canonne, Kamath and Steinke, "The
 * Discrete Gaussian for Differential Privacy" (NeurIPS 2020) have it: no floating point is near, so none of its low
 * bits can tell anything.
 *
 * A round's noise comes from one key, fresh from the operating system's generator (struct secret_root), and frame f's from
 * branch f of it. So a frame that has to be built again has the same noise: two of them would show the update more
 * sharply than one. Never from the config's seed; the types forbid it.
 *
 * The time that a sample takes depends on it. One thread at a time.
 */
struct privacy_noise;

/** Variances that the sampler's 128-bit products hold with room to spare. */
#define PRIVACY_NOISE_MAX_VARIANCE (UINT64_C(1) << 44)

/** @param variance  1 .. PRIVACY_NOISE_MAX_VARIANCE
 * @retval CAIRN_ERR_NO_MEMORY, CAIRN_ERR_NO_ENTROPY, CAIRN_ERR_BUG (variance): *out is NULL */
CAIRN_MUST_CHECK int privacy_noise_new(uint64_t variance, struct privacy_noise **out);
/** Wipe and free; NULL is ignored. */
void privacy_noise_free(struct privacy_noise *noise);

/** Another round: another key. @retval CAIRN_ERR_NO_ENTROPY  nothing may be added then */
CAIRN_MUST_CHECK int privacy_noise_begin(struct privacy_noise *noise);
/**
 * Add this round's noise of frame `frame` to n values, the same however often it is asked for.
 * @param limit  what a value may reach; a sum beyond it is clamped there (privacy.h says how seldom that is)
 * @retval CAIRN_ERR_NO_ENTROPY  values are zeroed and must not be sent
 */
CAIRN_MUST_CHECK int privacy_noise_add(struct privacy_noise *noise, uint32_t frame, int32_t limit,
                                       int32_t *values, size_t n);

/* ---- the sampler by itself ---- */

/** Random bits, a few at a time. Fill with what `fill` gives, which may fail. */
struct privacy_bits {
    int (*fill)(void *ctx, void *out, size_t size);
    void *ctx;
    uint64_t words[64];
    size_t used; /* of words; 64 = none left */
    uint64_t bits;
    unsigned left; /* in bits */
    int error; /* of fill; from then on all bits are 1 and nothing that was made of them counts */
};
void privacy_bits_begin(struct privacy_bits *bits, int (*fill)(void *ctx, void *out, size_t size),
                        void *ctx);
/** true with probability num / den exactly; num <= den, den < 2^127. */
__extension__ typedef unsigned __int128 privacy_u128;
int privacy_bernoulli(struct privacy_bits *bits, privacy_u128 num, privacy_u128 den);
/** true with probability exp(-num / den) exactly; den < 2^100. */
int privacy_bernoulli_exp(struct privacy_bits *bits, privacy_u128 num, privacy_u128 den);
/** One discrete Gaussian. */
int64_t privacy_discrete_gaussian(struct privacy_bits *bits, uint64_t variance);

#endif
