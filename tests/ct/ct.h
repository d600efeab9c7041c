/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CT_CT_H
#define CT_CT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <valgrind/memcheck.h>

#include "kern.h"

/**
 * Secret memory is memory that valgrind takes for undefined: it has its values, and every branch,
 * index or system call that depends on them, through whatever arithmetic, is reported.
 */
static inline void ct_hide(const void *memory, size_t size)
{
    (void)VALGRIND_MAKE_MEM_UNDEFINED(memory, size);
}

static inline void ct_reveal(const void *memory, size_t size)
{
    (void)VALGRIND_MAKE_MEM_DEFINED(memory, size);
}

/** Does any bit of it depend on a secret? */
bool ct_is_secret(const void *memory, size_t size);

/** The check itself is wrong, such as a secret that did not arrive: say so, and exit with 1. */
void ct_require(bool condition, const char *what);

/** Numbers that repeat from run to run. */
uint64_t ct_random(void);
void ct_random_bytes(void *out, size_t size);

/** The kernels as the processor and CAIRN_CPU choose them, untouched. */
const struct kern_ops *ct_kernels(void);

/**
 * kern_ops.sample_ternary with the exception that its contract makes, and nothing more: which pairs
 * of bits are thrown away is public, what the others hold is secret.
 */
size_t ct_sample_ternary(int32_t *out, size_t n, const uint8_t *bytes, size_t size);

/** The sections of the check: every slot of the table, and the cryptography on top of it. */
void ct_every_kernel(void);
void ct_encryption(void);
/** What must be found: a branch and an index that depend on a secret. */
void ct_planted_branch(void);
void ct_planted_index(void);

#endif
