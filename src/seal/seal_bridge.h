/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SEAL_SEAL_BRIDGE_H
#define SEAL_SEAL_BRIDGE_H

#include "he.h"
#include "seal.h"

/**
 * cairn's own keys and ciphertexts as SEAL's objects. Both use the same ring (N = 2048,
 * q = 0x3ffffffffc001), the same order of transformed words and the same signs, so nothing but the
 * wire form differs: fields modulo 2^K become words modulo q by c -> round(c q / 2^K), which adds
 * at most half a unit of q to the noise.
 *
 * `context` is everywhere one of seal_bridge_params, and keys and payloads are of the ring of
 * N = 2048 (he_choose_degree): lane words of the wide ring are longer than SEAL's plain moduli.
 * @retval CAIRN_ERR_REFUSED  they are not
 *
 * Profile seal-ckks is SEAL's own from the start: there nothing is converted. Its keys go with a
 * context of seal_bridge_ckks_params, and its payloads through seal_bridge_ckks.
 */

/** BFV over cairn's ring. @param plain_modulus  params->bfv.plain_modulus for profile bfv, 2^T for
 * a chunk of he_export_params; for any other chunk see seal_bridge_chunk */
void seal_bridge_params(uint64_t plain_modulus, struct seal_params *out);

/** The parameters of profile seal-ckks. */
void seal_bridge_ckks_params(struct seal_params *out);

CAIRN_MUST_CHECK int seal_bridge_public_key(const struct seal_context *context,
                                            const struct he_public_key *key,
                                            struct seal_public_key *out, struct cairn_problem *why);
CAIRN_MUST_CHECK int seal_bridge_secret_key(const struct seal_context *context,
                                            const struct he_secret_key *key,
                                            struct seal_secret_key *out, struct cairn_problem *why);

/** Chunk `chunk` of a payload (or a sum of payloads) of profile bfv with n values. It opens to lane
 * words modulo t. */
CAIRN_MUST_CHECK int seal_bridge_bfv(const struct seal_context *context,
                                     const struct he_params *params, const uint8_t *payload,
                                     size_t n, size_t chunk, struct seal_cipher *out,
                                     struct cairn_problem *why);

/** Chunk `chunk` of a payload, or a sum, of profile seal-ckks, at scale 2^40: its slots hold whole
 * numbers. @retval CAIRN_ERR_REFUSED  a field is not below its prime */
CAIRN_MUST_CHECK int seal_bridge_ckks(const struct seal_context *context,
                                      const struct he_params *params, const uint8_t *payload,
                                      size_t n, size_t chunk, struct seal_cipher *out,
                                      struct cairn_problem *why);

/** And back: a ciphertext, as seal_cipher_read leaves it, becomes chunk `chunk` of a payload.
 * @retval CAIRN_ERR_REFUSED  of another level or scale; nothing is written */
CAIRN_MUST_CHECK int seal_bridge_ckks_payload(const struct seal_cipher *cipher,
                                              const struct he_params *params, size_t n,
                                              size_t chunk, uint8_t *payload,
                                              struct cairn_problem *why);

/**
 * Chunk `chunk` of a payload, or a sum, of profile capsule: (b, a_j).
 *
 * With the summed key of seal_bridge_summed_key it decrypts to round(t x / 2^K) mod t, x = D m + a
 * small distance. With D = 2^(K-T) and t = 2^T (he_export_params) that is the lane word m mod t.
 * With another t, such as a prime = 1 mod 2N, the caller rounds once more: with y the centred
 * answer, m = round(y 2^K / (t D)); the first rounding moves that by 2^K / (2 t D) at most, so t
 * should be large: up to q it may be any.
 */
CAIRN_MUST_CHECK int seal_bridge_chunk(const struct seal_context *context,
                                       const struct he_params *params,
                                       const uint8_t nonce[HE_NONCE_SIZE], uint32_t round,
                                       uint32_t frame, const uint8_t *payload, size_t n,
                                       size_t chunk, struct seal_cipher *out,
                                       struct cairn_problem *why);

/** The sum of the one-time keys, as a SEAL secret key. This is an opening: see
 * he_export_summed_key. */
CAIRN_MUST_CHECK int seal_bridge_summed_key(const struct seal_context *context,
                                            const struct he_params *params,
                                            const struct he_secret_key *secret,
                                            uint32_t contributors, const uint8_t *payload, size_t n,
                                            struct seal_secret_key *out, struct cairn_problem *why);

/**
 * A seeded SEAL ciphertext from N fields modulo 2^bits (1..50), for a common polynomial that was
 * expanded from a SEAL seed in coefficients: half the size, and SEAL expands it by itself.
 */
CAIRN_MUST_CHECK int seal_bridge_seeded(const struct seal_context *context, const uint64_t *fields,
                                        unsigned bits, const struct seal_seed *seed,
                                        struct seal_cipher *out, struct cairn_problem *why);

/** fields[i] = round(words[i] 2^bits / q) mod 2^bits, and back round(fields[i] q / 2^bits); N of
 * them, bits 1..50. In place if equal. */
void seal_bridge_to_torus(const uint64_t *words, unsigned bits, uint64_t *fields);
void seal_bridge_from_torus(const uint64_t *fields, unsigned bits, uint64_t *words);

#endif
