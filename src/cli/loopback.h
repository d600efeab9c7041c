/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_LOOPBACK_H
#define CLI_LOOPBACK_H

#include <stdbool.h>

#include <jansson.h>

#include <cairn/err.h>

#include "tree.h"

/**
 * Rewrite the addresses of a config so that all its nodes can live on this machine. 127.x.y.z
 * stays; any other IPv4 address a.b.c.d becomes 127.b.c.d; host names, IPv6 addresses and whatever
 * would clash get 127.77.x.y in the order of the nodes. Ports stay.
 *
 * @param config  changed in place
 * @param tree    of the same config
 * @retval CAIRN_ERR_NO_MEMORY, CAIRN_ERR_CONFIG
 */
CAIRN_MUST_CHECK int loopback_rewrite(json_t *config, const struct fed_tree *tree,
                                      struct cairn_problem *why);
/** Does this node live at 127.x.y.z? */
bool loopback_has(const struct fed_node *node);

#endif
