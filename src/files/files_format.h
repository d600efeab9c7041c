/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FILES_FILES_FORMAT_H
#define FILES_FILES_FORMAT_H

#include "session.h"
#include "seal.h"

/**
 * Whose bytes the four steps read and write.
 *
 *   cairn    one container a file (container.h)
 *   seal     PUBLIC a SEAL public key, PUBLIC.parms SEAL parameters, the secret key a SEAL secret
 *            key; an update is SEAL ciphertexts, one after the other, and nothing else
 *   tenseal  PUBLIC and the secret key TenSEAL contexts, an update a TenSEAL CKKSVector
 *
 * What the other programs' objects have no room for (names and shapes, steps, contributors) stands
 * in a note: a small JSON file beside the file it is about, with ".json" behind its name. A public
 * file's note has the members of session.h, an update's those of update_file.h, a secret key's
 * (mode 0600, too) the "key" that says of which pair it is, and all have "file",
 * the format, and "digest", BLAKE2b-256 of the file, which finds accidents.
 */
enum files_format { FILES_CAIRN, FILES_SEAL, FILES_TENSEAL };

/** @param name  NULL is cairn.  @retval CAIRN_ERR_USAGE  the names there are */
CAIRN_MUST_CHECK int files_format_read(const char *name, enum files_format *out,
                                       struct cairn_problem *why);
const char *files_format_name(enum files_format format);
/** "4.1" or "3.7"; NULL is what the format's readers need: 4.1 for seal, 3.7 for tenseal.
 * @retval CAIRN_ERR_USAGE  another, or one that TenSEAL cannot read */
CAIRN_MUST_CHECK int files_seal_version(enum files_format format, const char *name,
                                        enum seal_version *out, struct cairn_problem *why);
/** Can ciphertexts of this profile be written in this format? @retval CAIRN_ERR_USAGE  why not, and
 * what can */
CAIRN_MUST_CHECK int files_format_takes(enum files_format format, enum he_profile profile,
                                        struct cairn_problem *why);
/** With Microsoft SEAL's parameters. @retval CAIRN_ERR_CONFIG  a ring that SEAL cannot work in */
CAIRN_MUST_CHECK int files_format_params(const struct he_params *params,
                                         struct cairn_problem *why);

/** Where the note of a file is. @retval CAIRN_ERR_NO_MEMORY */
CAIRN_MUST_CHECK int note_path(const char *path, struct buf *out, struct cairn_problem *why);
bool note_exists(const char *path);
/** The bytes of a note: `document`, which is taken (NULL: no memory), and what all notes have. */
CAIRN_MUST_CHECK int note_write(json_t *document, enum files_format format,
                                enum seal_version version, const uint8_t digest[32],
                                struct buf *out, struct cairn_problem *why);
/**
 * @param path  of the file that the note is about
 * @param[out] document  json_decref
 * @param[out] digest    untouched when the note has none: other programs need not make one
 * @retval CAIRN_ERR_DATA  no note, or of another format;  CAIRN_ERR_NO_MEMORY
 */
CAIRN_MUST_CHECK int note_read(const char *path, enum files_format format, json_t **document,
                               enum seal_version *version, uint8_t digest[32], bool *has_digest,
                               struct cairn_problem *why);
/** The same, whatever the format. json_decref. @return NULL  there is none */
json_t *note_of_any(const char *path);

#endif
