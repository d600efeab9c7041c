/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_HOLDER_H
#define ROLE_HOLDER_H

#include <jansson.h>

#include "role.h"

/**
 * May a node leave the run that it works for and take the config of another one? The aggregator that holds the node
 * is asked: as long as it runs that session, two aggregators would take the node from each other for ever. One that
 * does not answer, has ended, or runs something else by now holds nothing.
 *
 * @param held    the node's config, NULL when it has none
 * @param wanted  the config that was posted
 * @retval CAIRN_ERR_REFUSED  names the run, its aggregator and the aggregator's boot id
 */
CAIRN_MUST_CHECK int holder_check(const json_t *held, const json_t *wanted,
                                  const struct role_host *host, struct cairn_problem *why);

#endif
