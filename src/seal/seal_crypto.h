/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SEAL_SEAL_CRYPTO_H
#define SEAL_SEAL_CRYPTO_H

#include "random.h"
#include "seal.h"

/**
 * Keys, encryption, sums and decryption as Microsoft SEAL does them, word for word where nothing
 * is random. For interoperation and for judging; cairn's own rounds use he.h.
 *
 * Errors are centred binomial 21+21, secrets and u uniform ternary, all from `rng`. No branch,
 * index or division depends on a secret. Outputs are replaced on success and untouched on failure.
 */

/** A uniform ternary key. @retval CAIRN_ERR_NO_ENTROPY, CAIRN_ERR_NO_MEMORY */
CAIRN_MUST_CHECK int seal_keygen(const struct seal_context *context, struct secret_rng *rng,
                                 struct seal_secret_key *out, struct cairn_problem *why);
/** (-(a s + e), a), with a from a fresh BLAKE2xb seed. @param seeded  leave a out when writing */
CAIRN_MUST_CHECK int seal_public_key_make(const struct seal_context *context,
                                          const struct seal_secret_key *key, struct secret_rng *rng,
                                          bool seeded, struct seal_public_key *out,
                                          struct cairn_problem *why);

/** (-(a s + e) + M, a) at the plaintext's level (BFV: the first), seeded with BLAKE2xb. */
CAIRN_MUST_CHECK int seal_encrypt_symmetric(const struct seal_context *context,
                                            const struct seal_secret_key *key,
                                            struct secret_rng *rng, const struct seal_plain *plain,
                                            struct seal_cipher *out, struct cairn_problem *why);
/**
 * pk u + (e0, e1) one level above the plaintext's, divided by that level's last prime and rounded
 * (nothing is divided where there is one prime only), plus the message.
 */
CAIRN_MUST_CHECK int seal_encrypt(const struct seal_context *context,
                                  const struct seal_public_key *key, struct secret_rng *rng,
                                  const struct seal_plain *plain, struct seal_cipher *out,
                                  struct cairn_problem *why);

/**
 * BFV: round(t (c0 + c1 s) / q) mod t, exact while the noise is below q / 2t by 2^-56 of it.
 * CKKS: c0 + c1 s, transformed. With another key the answer is noise: nothing tells.
 */
CAIRN_MUST_CHECK int seal_decrypt(const struct seal_context *context,
                                  const struct seal_secret_key *key,
                                  const struct seal_cipher *cipher, struct seal_plain *out,
                                  struct cairn_problem *why);

/**
 * sum += x.
 * @retval CAIRN_ERR_REFUSED  another level or scale (both are named), or c1 would become zero; sum
 *                            is untouched
 */
CAIRN_MUST_CHECK int seal_add(const struct seal_context *context, struct seal_cipher *sum,
                              const struct seal_cipher *x, struct cairn_problem *why);
/** cipher += plain. A seeded one stays seeded. @retval CAIRN_ERR_REFUSED as seal_add */
CAIRN_MUST_CHECK int seal_add_plain(const struct seal_context *context, struct seal_cipher *cipher,
                                    const struct seal_plain *plain, struct cairn_problem *why);

/** A BFV plaintext from N coefficients below t. @retval CAIRN_ERR_REFUSED the first that is not */
CAIRN_MUST_CHECK int seal_plain_from_coefficients(const struct seal_context *context,
                                                  const uint64_t *coefficients,
                                                  struct seal_plain *out,
                                                  struct cairn_problem *why);

#endif
