/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CPU_CPU_INTERNAL_H
#define CPU_CPU_INTERNAL_H

#include "cpu.h"

/** Seam of cpu.c for its own tests: the choice, with both facts as arguments.
 * @param word  what CAIRN_CPU holds; NULL or empty: no cap
 * @param best  what the processor can do
 * @retval CAIRN_ERR_USAGE as cpu_rung */
CAIRN_MUST_CHECK int cpu_rung_choose(const char *word, enum cpu_rung best, enum cpu_rung *out,
                                     struct cairn_problem *why);

#endif
