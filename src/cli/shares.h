/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_SHARES_H
#define CLI_SHARES_H

#include <jansson.h>

#include "config.h"

/**
 * Which client trains on what, told from the data set alone.
 * @param[out] out  new reference: a list, one object a client, {"address", "index", "samples",
 *                  "fingerprint", "classes": [rows of class 0, of class 1, ...]}, without classes
 *                  where labels are numbers; JSON null where the data set is not here or none is used
 * @retval CAIRN_ERR_DATA  the data is here and cannot be shared out so, or is damaged
 * @retval CAIRN_ERR_NO_MEMORY
 */
CAIRN_MUST_CHECK int shares_make(const struct fed_config *config, const char *data_dir, json_t **out,
                                 struct cairn_problem *why);
/** The same for people; nothing for null. */
void shares_print(const json_t *shares, const struct fed_settings *settings);

#endif
