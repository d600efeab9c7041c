/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_CHECKSUM_H
#define BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/**
 * XXH3 of libxxhash, whose values are fixed since its version 0.8.0: for bytes that are on their way.
 * It finds accidents. Whoever wants to can make other bytes with the same checksum, so what is named,
 * kept or compared by its digest takes BLAKE2b (digest.h).
 */
enum { CHECKSUM_SIZE = 16 };

/** XXH3-128 in its canonical form, big-endian. */
void checksum_of(const void *bytes, size_t size, uint64_t seed, uint8_t out[CHECKSUM_SIZE]);
/** XXH3-64: a seed from what bytes belong to, so that they pass nowhere else. */
uint64_t checksum_seed(const void *context, size_t size);

#endif
