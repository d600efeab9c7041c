/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SEAL_SEAL_CKKS_H
#define SEAL_SEAL_CKKS_H

#include "seal.h"

/**
 * CKKS's N/2 slots of real numbers: slot j of a polynomial P is P(zeta^(3^j)) / scale with
 * zeta = exp(i pi / N). In double precision, as SEAL does it.
 */
struct seal_ckks_encoder;

/** @param context  borrowed, of scheme CKKS. @retval CAIRN_ERR_REFUSED, CAIRN_ERR_NO_MEMORY */
CAIRN_MUST_CHECK int seal_ckks_encoder_new(const struct seal_context *context,
                                           struct seal_ckks_encoder **out,
                                           struct cairn_problem *why);
void seal_ckks_encoder_free(struct seal_ckks_encoder *encoder);
/** N/2 */
size_t seal_ckks_slots(const struct seal_ckks_encoder *encoder);

/**
 * The plaintext at `level` whose first `count` slots hold `values`, the others 0.
 * Coefficients are rounded half away from zero and must stay below 2^62 and half the modulus:
 * |value| scale is safely below that when it is below 2^61 and a quarter of the modulus.
 * @retval CAIRN_ERR_REFUSED  NaN or Inf (the slot is named), too large, a scale that is not a
 *                            normal positive number, a level that no ciphertext has
 */
CAIRN_MUST_CHECK int seal_ckks_encode(const struct seal_ckks_encoder *encoder, const double *values,
                                      size_t count, double scale, unsigned level,
                                      struct seal_plain *out, struct cairn_problem *why);
/** Real parts of all N/2 slots. The values are secret until they have been rounded to what they
 * stand for: what is left of the noise in them tells about the key. */
CAIRN_MUST_CHECK int seal_ckks_decode(const struct seal_ckks_encoder *encoder,
                                      const struct seal_plain *plain, double *values,
                                      struct cairn_problem *why);

#endif
