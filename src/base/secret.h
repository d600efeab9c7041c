/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include <stddef.h>

/**
 * Memory for secrets: libsodium's guarded heap (guard pages before and after,
 * canary, locked into RAM where the limit allows, left out of core dumps,
 * wiped when freed). 64-byte aligned, size rounded up for that. Zeroed when handed out.
 * @return NULL without memory
 */
void *secret_alloc(size_t size);
/** Wipe and free; NULL is ignored. */
void secret_free(void *memory);
/** Wipe memory that is not from secret_alloc; not removed by optimisers. */
void secret_wipe(void *memory, size_t size);
/** Constant-time comparison. @return 1 equal, 0 different */
int secret_equal(const void *a, const void *b, size_t size);
/** Keep secrets out of core dumps and other users' debuggers: no core files, not dumpable
 * (setrlimit RLIMIT_CORE 0, prctl PR_SET_DUMPABLE 0). Called once by main(). */
void secret_harden_process(void);

#endif
