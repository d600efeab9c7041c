/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_RANDOM_INTERNAL_H
#define BASE_RANDOM_INTERNAL_H

#include <sys/types.h>

#include "random.h"

/** Seams of random.c for tests. No source of src/ but random.c includes this. */

/** getrandom(2); a test puts a function here that answers short, is interrupted, or fails. */
extern ssize_t (*random_getrandom)(void *out, size_t size, unsigned flags);

enum random_cipher { RANDOM_AES256, RANDOM_CHACHA20 };

/** secret_rng_new with a cipher of the caller's choice instead of the processor's. */
CAIRN_MUST_CHECK int random_new_with(enum random_cipher cipher, struct secret_rng **out);

enum {
    /** key, then initial counter block (AES) or nonce in its first 8 bytes (ChaCha20) */
    RANDOM_SEED_SIZE = 48,
    /** bytes handed out under one key */
    RANDOM_REKEY_BYTES = 1 << 26,
};

#endif
