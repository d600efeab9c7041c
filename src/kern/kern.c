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
    (void)rung; /* portable C is the only rung so far */
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
