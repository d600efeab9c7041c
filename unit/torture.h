/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UNIT_TORTURE_H
#define UNIT_TORTURE_H

#include <stdbool.h>

/**
 * Failing what can fail, one call at a time: a scenario is run again and again, and in the n-th run
 * the n-th request for memory (or for randomness, a cipher, a thread) is refused, until a run gets by
 * without it.
 *
 * Requests are counted where cairn's own code makes them, by the linker's --wrap (CMakeLists.txt,
 * cairn_torture) and by jansson's allocation hooks. What other libraries ask for inside is theirs,
 * and taken for a whole: sodium_malloc, gcry_cipher_open.
 */
enum torture {
    TORTURE_ONCE,  /* the n-th request fails, the next ones do not */
    TORTURE_ALWAYS /* nor does any after it succeed */
};

/**
 * @param scenario  what is tried: returns CAIRN_*, frees all it has made, checks what must be as it
 *                  was; called between arming and disarming
 * @param allowed   codes besides NO_MEMORY that a refused request may turn into; ends with 0
 */
void torture(const char *name, int (*scenario)(void *ctx), void *ctx, const int *allowed);

/** While a scenario runs: stop refusing, so that it can check and clean up. */
void torture_over(void);
/** Was a request refused in this run? */
bool torture_refused(void);

#endif
