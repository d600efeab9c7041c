/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_CLIENT_H
#define ROLE_CLIENT_H

#include "role.h"

/**
 * The client's story: wait for the model, train on the own slice, quantise the
 * update, encrypt it frame by frame, send it to the parent at the index that the
 * parent asks for, wait for the next model.
 *
 * @param assignment  taken over when 0 is returned, else still the caller's
 * @retval CAIRN_ERR_DATA    the data slice cannot be loaded
 * @retval CAIRN_ERR_CONFIG  encryption is asked for and no usable public key came, or the model does not
 *                           have the size that the aggregator announced
 * @retval CAIRN_ERR_NO_MEMORY, CAIRN_ERR_NO_ENTROPY
 */
CAIRN_MUST_CHECK int client_new(struct fed_assignment *assignment, const struct role_host *host,
                                struct role **out, struct cairn_problem *why);

#endif
