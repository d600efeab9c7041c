/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_PROBLEM_H
#define BASE_PROBLEM_H

#include <cairn/err.h>

/**
 * Fill `problem` (ignored when NULL) and return `code`, so that a failing
 * function can say  return problem_set(why, CAIRN_ERR_DATA, "hint", "text %d", n);
 * Inside cairn only: who uses the library reads problems.
 *
 * @param hint  what to do, or NULL
 */
int problem_set(struct cairn_problem *problem, int code, const char *hint, const char *format, ...)
    CAIRN_PRINTF(4, 5);

#endif
