/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the processor can do. The compiler's own table is asked rather than cpuid itself: it
 * also looks at whether the operating system saves the wide registers.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "cpu.h"
#include "cpu_internal.h"

static const char *const names[] = {"c", "avx2", "avx512"};
enum { RUNGS = sizeof names / sizeof names[0] };

static enum cpu_rung best_rung(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
        return CPU_RUNG_C;
    }
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vpopcntdq")) {
        return CPU_RUNG_AVX512;
    }
    return CPU_RUNG_AVX2;
#else
    return CPU_RUNG_C;
#endif
}

int cpu_rung_choose(const char *word, enum cpu_rung best, enum cpu_rung *out,
                    struct cairn_problem *why)
{
    if (!word || !*word) {
        *out = best;
        return CAIRN_OK;
    }
    for (int i = 0; i < RUNGS; i++) {
        if (strcmp(word, names[i]) != 0) {
            continue;
        }
        if (i > (int)best) {
            return problem_set(why, CAIRN_ERR_USAGE, "unset CAIRN_CPU, or choose a lower rung",
                               "CAIRN_CPU=%s: this processor only goes up to %s", word,
                               names[best]);
        }
        *out = (enum cpu_rung)i;
        return CAIRN_OK;
    }
    return problem_set(why, CAIRN_ERR_USAGE, "one of c, avx2, avx512, or unset it",
                       "CAIRN_CPU=%s: no such rung", word);
}

int cpu_rung(enum cpu_rung *out, struct cairn_problem *why)
{
    return cpu_rung_choose(getenv("CAIRN_CPU"), best_rung(), out, why);
}

const char *cpu_rung_name(enum cpu_rung rung)
{
    return (unsigned)rung < RUNGS ? names[rung] : "unknown";
}

static char model_name[48 + 1] = "unknown"; /* three leaves of four registers */
static pthread_once_t model_once = PTHREAD_ONCE_INIT;

static void find_model_name(void)
{
#if defined(__x86_64__)
    enum { FIRST_LEAF = (int)0x80000002, LEAVES = 3 };
    unsigned words[LEAVES * 4];
    for (unsigned i = 0; i < LEAVES; i++) {
        unsigned *w = words + 4 * i;
        if (!__get_cpuid((unsigned)FIRST_LEAF + i, w, w + 1, w + 2, w + 3)) {
            return;
        }
    }
    /* some makers pad in front, some behind */
    char text[sizeof words + 1] = {0};
    memcpy(text, words, sizeof words);
    const char *begin = text + strspn(text, " ");
    size_t size = strlen(begin);
    while (size > 0 && begin[size - 1] == ' ') {
        size--;
    }
    if (size > 0) {
        memcpy(model_name, begin, size);
        model_name[size] = 0;
    }
#endif
}

const char *cpu_model_name(void)
{
    (void)pthread_once(&model_once, find_model_name);
    return model_name;
}
