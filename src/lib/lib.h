/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIB_LIB_H
#define LIB_LIB_H

#include <cairn/err.h>

/** "function: what". Always CAIRN_ERR_USAGE. */
int lib_misuse(struct cairn_problem *why, const char *function, const char *what);

#endif
