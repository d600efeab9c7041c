/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rung_guard TEST: run a test under the CAIRN_CPU of the environment, or exit with 77 (skipped)
 * where the processor lacks that rung. Without it kern_get would quietly fall back to portable C.
 */
#include <stdio.h>
#include <unistd.h>

#include "cpu.h"

int main(int argc, char **argv)
{
    struct cairn_problem why = {0};
    enum cpu_rung rung;
    if (argc < 2) {
        (void)fprintf(stderr, "usage: rung_guard TEST [ARGUMENT...]\n");
        return 2;
    }
    if (cpu_rung(&rung, &why) != 0) {
        (void)printf("skipped: %s\n", why.what);
        return 77;
    }
    (void)execv(argv[1], argv + 1);
    perror(argv[1]);
    return 2;
}
