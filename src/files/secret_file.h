/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FILES_SECRET_FILE_H
#define FILES_SECRET_FILE_H

#include <stdbool.h>

#include "he.h"

/**
 * A secret key's file: mode 0600, owned by who uses it, never a symbolic link, and its bytes in
 * secret memory only.
 */

/**
 * @param replace  put it in the place of a file that is there
 * @retval CAIRN_ERR_STORAGE  also: there is one, or a symbolic link
 */
CAIRN_MUST_CHECK int secret_file_write(const char *path, const struct he_secret_key *key,
                                       const uint8_t id[HE_KEY_ID_SIZE], bool replace,
                                       struct cairn_problem *why);
/** The same for bytes that are another program's secret key. */
CAIRN_MUST_CHECK int secret_file_put(const char *path, struct span bytes, bool replace,
                                     struct cairn_problem *why);
/** Read such bytes, no more than `limit`, with the checks of secret_file_read.
 * @param[out] out  secret_free */
CAIRN_MUST_CHECK int secret_file_get(const char *path, size_t limit, uint8_t **out,
                                     size_t *out_size, struct cairn_problem *why);
/**
 * @retval CAIRN_ERR_ENVIRONMENT  others may read or write it (the command that mends it is the
 *                                hint), it is somebody else's, or a symbolic link
 * @retval CAIRN_ERR_DATA         not there, or no secret key
 * @retval CAIRN_ERR_INTEGRITY    damaged
 */
CAIRN_MUST_CHECK int secret_file_read(const char *path, struct he_secret_key **key,
                                      uint8_t id[HE_KEY_ID_SIZE], struct cairn_problem *why);

/**
 * Overwrite it and remove it; one that is not there is no error. A link, or what is no file, is
 * only removed. File systems that write to new places, and the wear levelling of flash memory, may keep the
 * old bytes all the same.
 * @retval CAIRN_ERR_STORAGE  it is still there, or was removed without having been overwritten
 */
CAIRN_MUST_CHECK int secret_file_remove(const char *path, struct cairn_problem *why);

/** For what must not be there yet. @retval CAIRN_ERR_STORAGE it is, or is a symbolic link */
CAIRN_MUST_CHECK int secret_file_absent(const char *path, bool replace, struct cairn_problem *why);

#endif
