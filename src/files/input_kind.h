/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FILES_INPUT_KIND_H
#define FILES_INPUT_KIND_H

#include <stdbool.h>

#include "input.h"

/** What the file is, by its first bytes, in words that fit behind "is". */
const char *input_kind(const struct input *in);

/** Would writing `path` destroy this file? False also when `path` does not exist. */
bool input_is(const char *input_path, const char *path);
/** @retval CAIRN_ERR_USAGE  `out` is the file `in` (NULL is ignored) */
CAIRN_MUST_CHECK int input_keep(const char *in, const char *out, struct cairn_problem *why);
/** Only keygen replaces a key. @retval CAIRN_ERR_USAGE  `out` is a secret key or a public file */
CAIRN_MUST_CHECK int input_keep_keys(const char *out, struct cairn_problem *why);

#endif
