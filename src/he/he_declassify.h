/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HE_HE_DECLASSIFY_H
#define HE_HE_DECLASSIFY_H

#include <stddef.h>

/**
 * "From here on this may be seen": marks what comes from a secret and is public all the same.
 *
 * The build of tests/ct runs under valgrind with secrets marked as undefined memory, so that a
 * branch or an index that depends on one is reported; there this call makes memory defined. In
 * every other build it is nothing. Each use says why, and SOUNDNESS.md lists all of them.
 */
#ifdef CAIRN_CT
#include <valgrind/memcheck.h>
static inline void he_declassify(const void *memory, size_t size)
{
    (void)VALGRIND_MAKE_MEM_DEFINED(memory, size);
}
#else
static inline void he_declassify(const void *memory, size_t size)
{
    (void)memory;
    (void)size;
}
#endif

#endif
