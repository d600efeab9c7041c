/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HE_HE_BFV_H
#define HE_HE_BFV_H

#include "he_keys.h"
#include "he_sample.h"

/**
 * Encrypt one polynomial of lane words under a public key and put it on the torus wire.
 *
 *   c0 = b u + e1 + round(q m / t),  c1 = a u + e2  mod q,  u ternary, e1, e2 CBD21,  s->message =
 *   m on the wire: round(c0 2^K0 / q) of the first `used` coefficients, round(c1 2^K1 / q) of all
 *
 * Changes s->a, b, small, random. @param used  a multiple of 8
 * @retval CAIRN_ERR_NO_ENTROPY
 */
CAIRN_MUST_CHECK int he_bfv_encrypt(const struct he_bfv_set *set, const struct he_public_key *key,
                                    struct secret_rng *rng, size_t used, uint8_t *c0, uint8_t *c1,
                                    struct he_scratch *s);

/**
 * Open a sum of `contributors` such polynomials: s->message = the first `used` coefficients of the
 * sum of messages, balanced mod t. c1, a K1-bit number, times s is taken over the integers.
 *
 * Changes s->a, b, c.
 * @return 0, or all ones if a coefficient lies further from a message than honest noise reaches
 */
uint64_t he_bfv_open(const struct he_bfv_set *set, const struct he_secret_key *key,
                     uint32_t contributors, size_t used, const uint8_t *c0, const uint8_t *c1,
                     struct he_scratch *s);

#endif
