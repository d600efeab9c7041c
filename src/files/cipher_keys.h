/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FILES_CIPHER_KEYS_H
#define FILES_CIPHER_KEYS_H

#include "seal_codec.h"

/**
 * Key pairs as other programs' files (files_format.h). In `session` the key is NULL, and key_id is
 * the digest of the public file.
 */

/** Make and write a pair. @param session  everything but key_id, which is filled in
 * @param[out] bytes  of the public file. @retval as cairn_files_keygen */
CAIRN_MUST_CHECK int cipher_keys_make(struct session *session, enum files_format format,
                                      enum seal_version version, const char *public_path,
                                      const char *secret_path, bool replace, uint64_t *bytes,
                                      struct cairn_problem *why);
/**
 * @param session  session_release
 * @retval CAIRN_ERR_INTEGRITY  not the public file that its note is about
 */
CAIRN_MUST_CHECK int cipher_session_read(const char *path, enum files_format format,
                                         struct session *session, enum seal_version *version,
                                         struct cairn_problem *why);
/** seal_codec_unit of a session. */
double cipher_session_unit(const struct session *session, enum files_format format);
/** @param out  seal_public_key_release. @retval CAIRN_ERR_DATA, CAIRN_ERR_REFUSED */
CAIRN_MUST_CHECK int cipher_public_key_read(const char *path, enum files_format format,
                                            const struct seal_codec *codec,
                                            struct seal_public_key *out,
                                            struct cairn_problem *why);
/** @param key_id  of the pair that is wanted
 * @param out  seal_secret_key_release
 * @retval CAIRN_ERR_IDENTITY  of another pair; the others as secret_file_read */
CAIRN_MUST_CHECK int cipher_secret_key_read(const char *path, enum files_format format,
                                            const struct seal_codec *codec,
                                            const uint8_t key_id[HE_KEY_ID_SIZE],
                                            struct seal_secret_key *out,
                                            struct cairn_problem *why);

/** Only keygen replaces a key: input_keep_keys, and the same for other programs' keys. A missing
 * file is none. @retval CAIRN_ERR_USAGE  `out` is a key */
CAIRN_MUST_CHECK int cipher_keep_keys(const char *out, struct cairn_problem *why);

#endif
