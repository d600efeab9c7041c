/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FED_CONFIG_TREE_H
#define FED_CONFIG_TREE_H

#include "config_read.h"

/**
 * The nodes of a config, read and checked against each other.
 *
 * @param aggregator  place of that object, 0 when it is absent
 * @param others      place of that object, 0 when it is absent
 * @param[out] iterations  0 when it could not be read
 * @param[out] n_clients   clients that are listed, good or not
 * @param[out] tree   set only when no fault was found in or between nodes; fed_tree_release
 * @retval CAIRN_ERR_NO_MEMORY
 */
CAIRN_MUST_CHECK int config_tree_read(struct config_reader *r, uint32_t aggregator, uint32_t others,
                                      uint32_t *iterations, uint32_t *n_clients,
                                      struct fed_tree *tree);

#endif
