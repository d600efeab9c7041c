/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UNIT_SEAL_HEX_H
#define UNIT_SEAL_HEX_H

/** Known answers as text. Include after cmocka.h. */
#include <stdlib.h>
#include <string.h>

#include "digest.h"
#include "le.h"
#include "seal.h"

/** Bytes of a hexadecimal text; free() them. */
static inline uint8_t *from_hex(const char *text, size_t *size)
{
    *size = strlen(text) / 2;
    uint8_t *bytes = malloc(*size);
    assert_int_equal(digest_from_hex(text, bytes, *size), 0);
    return bytes;
}

static inline void assert_digest(const void *bytes, size_t size, const char *hex)
{
    uint8_t digest[DIGEST_SIZE];
    char text[DIGEST_HEX_SIZE];
    digest_of(bytes, size, digest);
    digest_hex(digest, DIGEST_SIZE, text);
    assert_string_equal(text, hex);
}

/** BLAKE2b-256 of words as they stand in SEAL's files. */
static inline void assert_words_digest(const uint64_t *words, size_t count, const char *hex)
{
    uint8_t *bytes = malloc(8 * count);
    for (size_t i = 0; i < count; i++) {
        le_put64(bytes + 8 * i, words[i]);
    }
    assert_digest(bytes, 8 * count, hex);
    free(bytes);
}

static inline struct seal_seed seed_from_hex(enum seal_prng prng, const char *hex)
{
    struct seal_seed seed = {.prng = prng};
    assert_int_equal(digest_from_hex(hex, seed.bytes, SEAL_SEED_SIZE), 0);
    return seed;
}

#endif
