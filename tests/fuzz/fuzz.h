/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/**
 * What a fuzz target is: two functions. Digests stop a fuzzer at the door, so
 * a target takes the first byte of its input as a mode, and some modes repair the digests of the
 * rest before it is read.
 */

/** One run. Broken promises end the process (FUZZ_REQUIRE); bytes that are refused do not.
 * @return 0 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/**
 * Inputs to begin with, made by the target so that no binary files are kept: number 0, 1, ...
 * @return its size, at most capacity; 0 when there is no such input
 */
size_t fuzz_seed_input(unsigned which, uint8_t *out, size_t capacity);

/** A promise of the code under test. */
#define FUZZ_REQUIRE(condition)                                                                    \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition);          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#endif
