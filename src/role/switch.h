/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_SWITCH_H
#define ROLE_SWITCH_H

#include "role.h"

/**
 * The switch's story: pass the model down to the children, add what they send
 * frame by frame, send each complete sum on to the parent. A dumb switch passes every
 * child's batch on untouched instead, and the parent's answer back.
 *
 * It holds no key and never needs one.
 *
 * @param assignment  taken over when 0 is returned, else still the caller's
 * @retval CAIRN_ERR_CONFIG, CAIRN_ERR_NO_MEMORY
 */
CAIRN_MUST_CHECK int switch_new(struct fed_assignment *assignment, const struct role_host *host,
                                struct role **out, struct cairn_problem *why);

#endif
