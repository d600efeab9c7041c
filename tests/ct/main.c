/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Constant time, checked by valgrind: nothing that the program branches on or indexes with may
 * depend on a secret. Then the same is asked of two functions that do so, which shows that this
 * build of the check is not blind.
 *
 * Exit status: 0 all as it should be, 1 not, 2 not under valgrind, 77 not on this processor
 */
#include "ct.h"

#include <stdio.h>
#include <stdlib.h>

#include "cpu.h"

static uint64_t random_state = 1;

/* Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014 */
uint64_t ct_random(void)
{
    random_state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t x = random_state;
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

void ct_random_bytes(void *out, size_t size)
{
    uint8_t *bytes = out;
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)(ct_random() >> 56);
    }
}

bool ct_is_secret(const void *memory, size_t size)
{
    const uint8_t *bytes = memory;
    uint8_t undefined = 0;
    for (size_t i = 0; i < size && undefined == 0; i++) {
        ct_require(VALGRIND_GET_VBITS(bytes + i, &undefined, 1) == 1, "valgrind knows the memory");
    }
    return undefined != 0;
}

void ct_require(bool condition, const char *what)
{
    if (!condition) {
        printf("the check itself is broken: %s\n", what);
        exit(1);
    }
}

struct section {
    const char *name;
    void (*run)(void);
    bool leaks;
};

static const struct section sections[] = {
    {"kernels", ct_every_kernel, false},
    {"key generation, encryption, opening", ct_encryption, false},
    {"planted branch", ct_planted_branch, true},
    {"planted index", ct_planted_index, true},
};

int main(void)
{
    setbuf(stdout, NULL);
    if (!RUNNING_ON_VALGRIND) {
        printf("run it under valgrind, see run.sh\n");
        return 2;
    }
    enum cpu_rung rung;
    struct cairn_problem why;
    if (cpu_rung(&rung, &why) != 0) {
        printf("%s\n", why.what);
        return 77;
    }
    int status = 0;
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++) {
        const struct section *s = &sections[i];
        VALGRIND_PRINTF("section: %s\n", s->name);
        unsigned before = VALGRIND_COUNT_ERRORS;
        s->run();
        unsigned found = VALGRIND_COUNT_ERRORS - before;
        if ((found != 0) != s->leaks) {
            printf("%s: %u places where a secret decides%s\n", s->name, found,
                   s->leaks ? ", and they are there: the check is blind" : "");
            status = 1;
        }
    }
    return status;
}
