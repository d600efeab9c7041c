/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HE_CKKS_ENCODER_H
#define HE_CKKS_ENCODER_H

#include <cairn/err.h>

#include "problem.h"
#include "rns.h"

/**
 * CKKS's N/2 slots of real numbers: slot j of a polynomial P is P(zeta^(3^j)) / scale with
 * zeta = exp(i pi / N). In double precision, as Microsoft SEAL does it.
 *
 * Values are secret: no branch, index or division depends on one, except on whether they may be
 * encoded at all. SOUNDNESS.md says what is assumed of floating-point instructions.
 */
struct ckks_encoder;

struct ckks_complex {
    double re, im;
};

/** @param ring  borrowed. @retval CAIRN_ERR_NO_MEMORY */
CAIRN_MUST_CHECK int ckks_encoder_new(const struct rns_ring *ring, struct ckks_encoder **out);
void ckks_encoder_free(struct ckks_encoder *encoder);
/** N/2 */
size_t ckks_slots(const struct ckks_encoder *encoder);

/**
 * The polynomial whose first `count` slots hold `values`, the others 0, transformed.
 * Coefficients are rounded half away from zero and must stay below 2^63 and half the modulus of
 * the level: |value| scale is safely below that when it is below 2^62 and a quarter of the modulus.
 * @param[out] words  (N level) from secret memory; spoilt on failure
 * @param      work   (N) from secret memory
 * @retval CAIRN_ERR_REFUSED  more values than slots, NaN or Inf (the slot is named), a scale that
 *                            is not a normal positive number, coefficients too large
 */
CAIRN_MUST_CHECK int ckks_encode(const struct ckks_encoder *encoder, const double *values,
                                 size_t count, double scale, unsigned level, uint64_t *words,
                                 struct ckks_complex *work, struct cairn_problem *why);
/**
 * Real parts of all N/2 slots. They are secret until they have been rounded to what they stand for:
 * what is left of the noise in them tells about the key.
 * @param words  (N level) transformed; spoilt
 * @param scale  normal and positive
 * @param work   (N) from secret memory
 */
void ckks_decode(const struct ckks_encoder *encoder, uint64_t *words, unsigned level, double scale,
                 double *values, struct ckks_complex *work);

/** What decoded whole numbers must be like. */
struct ckks_whole {
    uint64_t limit; /* largest magnitude, below 2^50 */
    double reach;   /* how far a slot may lie from its whole number, below 1/2 */
};
/**
 * Decoded slots to whole numbers, the nearest.
 * @param values    (slots)
 * @param[out] out  (count) the first of them; the others must be 0
 * @return 0, or all ones if any slot is not such a number
 */
uint64_t ckks_round(const double *values, size_t slots, const struct ckks_whole *rule, int64_t *out,
                    size_t count);

#endif
