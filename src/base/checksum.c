/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include <xxhash.h>

#include "checksum.h"

_Static_assert(CHECKSUM_SIZE == sizeof(XXH128_canonical_t), "XXH3-128");

void checksum_of(const void *bytes, size_t size, uint64_t seed, uint8_t out[CHECKSUM_SIZE])
{
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_withSeed(bytes, size, seed));
    memcpy(out, canonical.digest, CHECKSUM_SIZE);
}

uint64_t checksum_seed(const void *context, size_t size)
{
    return XXH3_64bits(context, size);
}
