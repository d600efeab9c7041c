/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FED_CONFIG_CHECK_H
#define FED_CONFIG_CHECK_H

#include "config_read.h"

/** Faults for keys that come twice in one object. */
void config_check_repeats(struct config_reader *r);
/**
 * Settings against the number of clients: sums that could leave their lanes, the privacy floor, the
 * quorum, frames that fit no batch. Sets the privacy floor where the config leaves it to cairn.
 * @param root       the document, for places
 * @param n_clients  from 1 to FED_MAX_CLIENTS
 */
void config_check_settings(struct config_reader *r, const struct config_object *root,
                           struct fed_settings *settings, uint32_t n_clients);

#endif
