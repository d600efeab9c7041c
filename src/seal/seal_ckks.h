/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SEAL_SEAL_CKKS_H
#define SEAL_SEAL_CKKS_H

#include "seal.h"

/** CKKS's N/2 slots of real numbers (ckks_encoder.h) of SEAL's plaintexts. */
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
 * @retval CAIRN_ERR_REFUSED  as ckks_encode, and a level that no ciphertext has
 */
CAIRN_MUST_CHECK int seal_ckks_encode(const struct seal_ckks_encoder *encoder, const double *values,
                                      size_t count, double scale, unsigned level,
                                      struct seal_plain *out, struct cairn_problem *why);
/** Real parts of all N/2 slots: secret, see ckks_decode. */
CAIRN_MUST_CHECK int seal_ckks_decode(const struct seal_ckks_encoder *encoder,
                                      const struct seal_plain *plain, double *values,
                                      struct cairn_problem *why);

#endif
