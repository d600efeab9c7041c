/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRAIN_BUILTIN_SHAPE_H
#define TRAIN_BUILTIN_SHAPE_H

#include "builtin.h"
#include "network.h"

/** A network with the sizes it points to: not to be copied. */
struct builtin_spec {
    size_t sizes[NETWORK_MAX_SIZES];
    size_t n;
    struct network_spec network;
};

/** The network that a shape asks for, default layers filled in. @retval CAIRN_ERR_DATA */
CAIRN_MUST_CHECK int builtin_spec(const struct train_shape *shape, struct builtin_spec *out,
                                  struct cairn_problem *why);

#endif
