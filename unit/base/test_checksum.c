/* SPDX-License-Identifier: Apache-2.0 */
/* XXH3 against the values that xxHash publishes for its own check. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "checksum.h"

static const uint64_t prime32 = 2654435761u, prime64 = 11400714785074694797u;

enum { MOST = 2367 };

/* xxHash's buffer: the top bytes of prime32 prime64^i modulo 2^64. */
static void fill(uint8_t bytes[MOST])
{
    uint64_t x = prime32;
    for (size_t i = 0; i < MOST; i++) {
        bytes[i] = (uint8_t)(x >> 56);
        x *= prime64;
    }
}

static uint64_t big_endian(const uint8_t *p)
{
    uint64_t x = 0;
    for (size_t i = 0; i < 8; i++) {
        x = x << 8 | p[i];
    }
    return x;
}

/* From cli/xsum_sanity_check.c of xxHash 0.8.1, there the lower 64 bits first; one for each of the ways
 * in which the length is taken. */
static void test_checksum__known_answers(void **state)
{
    (void)state;
    static const struct {
        size_t size;
        uint64_t seed, low, high;
    } rows[] = {
        {0, 0, 0x6001c324468d497f, 0x99aa06d3014798d8},
        {0, prime32, 0x5444f7869c671ab0, 0x92220ae55e14ab50},
        {1, prime32, 0xb53d5557e7f76f8d, 0x89b99554ba22467c},
        {6, prime32, 0x269d8f70be98856e, 0x5a865b5389abd2b1},
        {12, prime32, 0x9be9f9a67f3c7dfb, 0xd7e09d518a3405d3},
        {24, prime32, 0xd7304c54ebad40a9, 0x3162026714a6a243},
        {48, prime32, 0x7ba3c3e453a1934e, 0x163adde36c072295},
        {81, prime32, 0x703fbb3d7a5f755c, 0x2724ec7adc750fb6},
        {222, 0, 0xf1aebd597cec6b3a, 0x337e09641b948717},
        {222, prime32, 0xae995bb8af917a8d, 0x91820016621e97f1},
        {403, prime64, 0x6259f6ecfd6443fd, 0xbed311971e0be8f2},
        {512, prime64, 0x3ce457de14c27708, 0x925d06b8ec5b8040},
        {2048, prime32, 0x230d43f30206260b, 0x7fb03f7e7186c3ea},
        {2240, prime32, 0xed385111126fba6f, 0x50a1fe17b338995f},
        {2367, 0, 0xcb37aeb9e5d361ed, 0xe89c0f6ff369b427},
        {2367, prime32, 0x6f5360ae69c2f406, 0xd23aae4b76c31ecb},
    };
    uint8_t bytes[MOST], out[CHECKSUM_SIZE];
    fill(bytes);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        checksum_of(rows[i].size > 0 ? bytes : NULL, rows[i].size, rows[i].seed, out);
        assert_true(big_endian(out) == rows[i].high && big_endian(out + 8) == rows[i].low);
    }
}

/* From the same table, without a seed. */
static void test_checksum__known_seeds(void **state)
{
    (void)state;
    uint8_t bytes[MOST];
    fill(bytes);
    assert_true(checksum_seed(NULL, 0) == 0x2d06800538d394c2);
    assert_true(checksum_seed(bytes, 24) == 0xa3fe70bf9d3510eb);
    assert_true(checksum_seed(bytes, 48) == 0x397da259ecba1f11);
    assert_true(checksum_seed(bytes, 80) == 0xbcdefbbb2c47c90a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checksum__known_answers),
        cmocka_unit_test(test_checksum__known_seeds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
