/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CPU_CPU_H
#define CPU_CPU_H

#include "problem.h"

/**
 * What the processor can do, and the mask that forces a rung.
 * CAIRN_CPU=c|avx2|avx512 in the environment caps what is reported.
 */
enum cpu_rung { CPU_RUNG_C, CPU_RUNG_AVX2, CPU_RUNG_AVX512 };

/**
 * The highest rung that this machine and CAIRN_CPU allow. avx2 needs AVX2 and
 * FMA; avx512 needs F, DQ, VL, BW, VBMI and VPOPCNTDQ, with the operating system's support for the
 * registers.
 * @retval CAIRN_ERR_USAGE  CAIRN_CPU holds another word, or a rung that this processor lacks
 */
CAIRN_MUST_CHECK int cpu_rung(enum cpu_rung *out, struct cairn_problem *why);
/** "c", "avx2", "avx512" */
const char *cpu_rung_name(enum cpu_rung rung);
/** The processor's own name ("AMD EPYC ..."), or "unknown". Borrowed, static. */
const char *cpu_model_name(void);

#endif
