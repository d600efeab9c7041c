/* SPDX-License-Identifier: Apache-2.0 */
/* Choosing the kernels, once per process: portable C first, then every rung that the
 * processor can run replaces what it does better. */
#include "kern.h"

#include <pthread.h>

#include "kern_rungs.h"

static struct kern_ops chosen;
static pthread_once_t chosen_once = PTHREAD_ONCE_INIT;

void kern_fill(struct kern_ops *ops, enum cpu_rung rung)
{
    kern_fill_c(ops);
#if defined(KERN_X86)
    if (rung < CPU_RUNG_AVX2) {
        return;
    }
    kern_fill_avx2(ops);
    if (rung < CPU_RUNG_AVX512) {
        return;
    }
    kern_fill_avx512(ops);
#else
    (void)rung; /* cpu_rung knows no other here */
#endif
}

static void choose(void)
{
    enum cpu_rung rung;
    if (cpu_rung(&rung, NULL) != 0) {
        rung = CPU_RUNG_C;
    }
    kern_fill(&chosen, rung);
}

const struct kern_ops *kern_get(void)
{
    pthread_once(&chosen_once, choose);
    return &chosen;
}
