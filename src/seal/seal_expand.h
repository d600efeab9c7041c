/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SEAL_SEAL_EXPAND_H
#define SEAL_SEAL_EXPAND_H

#include "seal.h"

enum { SEAL_BLOCK_SIZE = 4096 };

/**
 * Is this word of a stream too large to be reduced mod q evenly? With M = 2^64 - 1 it is from
 * M - M mod q - 1 on. That is one word too early, and must be: every reader has to throw away the
 * same words.
 */
static inline bool seal_is_rejected(uint64_t word, uint64_t q)
{
    return word >= UINT64_MAX - UINT64_MAX % q - 1;
}

/**
 * Block number `counter` of a seed's stream.
 *   BLAKE2xb  BLAKE2Xb(4096 bytes, message LE64(counter), key = seed)
 *   SHAKE256  SHAKE256(seed | LE64(counter)), 4096 bytes
 */
void seal_seed_block(const struct seal_seed *seed, uint64_t counter, uint8_t out[SEAL_BLOCK_SIZE]);

/** FIPS 202 SHAKE256. */
void seal_shake256(const uint8_t *message, size_t size, uint8_t *out, size_t out_size);

#endif
