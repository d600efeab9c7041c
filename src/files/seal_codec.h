/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FILES_SEAL_CODEC_H
#define FILES_SEAL_CODEC_H

#include "files_format.h"
#include "kern.h"
#include "seal_ckks.h"
#include "seal_crypto.h"

/**
 * A model's whole numbers in SEAL ciphertexts, params->chunk_params in each, and sums back.
 *
 *   bfv        lane words as coefficients modulo t, at N = 2048: as cairn's own, but modulo q and
 *              not cut to fewer bits, so the noise is below what the parameters were chosen for
 *   seal-ckks  slots, at N = 8192, level 3, scale 2^40; a slot holds a number times `unit`
 *
 * In format seal the unit is 1, and a slot further from a whole number than honest noise gets is
 * refused. TenSEAL's clients send real numbers: there unit = step * largest_samples, so that slots
 * hold samples * value, and the sum is rounded to whole units before anybody sees it: the noise of
 * a CKKS decryption tells about the key (he_ckks.h).
 */
struct seal_codec {
    struct he_params params;
    struct seal_context *context;
    struct seal_ckks_encoder *encoder; /* NULL for bfv */
    struct kern_lanes lanes;           /* bfv */
    double unit;
    bool exact; /* slots must be whole */
};

/**
 * @param unit  0: whole numbers
 * @retval CAIRN_ERR_CONFIG  a ring that SEAL has not; a unit that drowns in the noise of
 *         max_contributors ciphertexts, or whose largest multiple cannot be encoded
 */
CAIRN_MUST_CHECK int seal_codec_init(struct seal_codec *codec, const struct he_params *params,
                                     double unit, struct cairn_problem *why);
void seal_codec_release(struct seal_codec *codec);

/** Ciphertext of count <= chunk_params values. @retval as seal_encrypt */
CAIRN_MUST_CHECK int seal_codec_encrypt(const struct seal_codec *codec,
                                        const struct seal_public_key *key, struct secret_rng *rng,
                                        const int32_t *values, size_t count,
                                        struct seal_cipher *out, struct cairn_problem *why);
/** The sums of `contributors` such. @retval CAIRN_ERR_INTEGRITY  not an honest sum;
 * no more is told */
CAIRN_MUST_CHECK int seal_codec_open(const struct seal_codec *codec,
                                     const struct seal_secret_key *key, uint32_t contributors,
                                     const struct seal_cipher *cipher, int64_t *sums, size_t count,
                                     struct cairn_problem *why);

/**
 * One ciphertext of a file from the front of `bytes`, as this codec makes them.
 * @param path, number  for messages
 * @param consumed      as in seal.h
 * @retval CAIRN_ERR_DATA     no ciphertext
 * @retval CAIRN_ERR_REFUSED  other parameters, level or scale; seeded, which only the holder of
 *                            the secret key can make; c1 = 0
 */
CAIRN_MUST_CHECK int seal_codec_read(const struct seal_codec *codec, const char *path,
                                     size_t number, struct span bytes, size_t *consumed,
                                     struct seal_cipher *out, struct cairn_problem *why);
/** Longest form that such a ciphertext has in a file. */
size_t seal_codec_longest(const struct he_params *params);

/** The unit of a format's slots, for seal_codec_init. */
double seal_codec_unit(enum files_format format, double step, uint64_t largest_samples);

#endif
