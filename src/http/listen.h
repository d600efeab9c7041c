/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_LISTEN_H
#define HTTP_LISTEN_H

#include <stdint.h>

#include "problem.h"

/**
 * Open a listening TCP socket on a numeric address. Inside http only.
 *
 * @param port  0 = any free one
 * @param fd    close-on-exec, not blocking
 * @param bound the port that was bound
 * @retval CAIRN_ERR_ENVIRONMENT the address is not one of this machine, the port is taken or
 *                               forbidden; fd and bound are untouched
 */
CAIRN_MUST_CHECK int listen_open(const char *address, uint16_t port, int *fd, uint16_t *bound,
                                 struct cairn_problem *why);

#endif
