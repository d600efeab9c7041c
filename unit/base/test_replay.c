/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replayable randomness. The known answers come from a second implementation,
 * in Python: hashlib's BLAKE2b and a ChaCha20 written after RFC 8439 and checked against its
 * vectors, with the counter in words 12 and 13.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "digest.h"
#include "le.h"
#include "replay.h"

static struct replay_rng fresh(void)
{
    struct replay_rng r;
    replay_init(&r, "shuffle", 0x0123456789abcdefu, 7, 3);
    return r;
}

static void test_replay__known_words(void **state)
{
    (void)state;
    struct replay_rng r = fresh();
    assert_true(replay_u32(&r) == 0x337a1200u);
    assert_true(replay_u64(&r) == 0xd9c409a125111736u);
    assert_true(replay_u32(&r) == 0xd2ad9a8cu);
    replay_seek(&r, 255); /* the last word of one kilobyte and the first of the next */
    assert_true(replay_u32(&r) == 0x82fee7ccu);
    assert_true(replay_u32(&r) == 0x288ad067u);
    replay_seek(&r, ((uint64_t)1 << 36) + 5); /* a block number beyond 32 bits */
    assert_true(replay_u32(&r) == 0xfa793d51u);
}

static void test_replay__known_numbers(void **state)
{
    (void)state;
    static const uint32_t below[] = {2, 1, 8, 8, 2, 8, 5, 2, 8, 4, 2, 2};
    struct replay_rng r = fresh();
    for (size_t i = 0; i < sizeof below / sizeof below[0]; i++) {
        assert_int_equal(replay_below(&r, 10), below[i]);
    }
    static const uint32_t order[10] = {3, 7, 0, 9, 4, 8, 5, 6, 1, 2};
    uint32_t indices[10] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    r = fresh();
    replay_shuffle(&r, indices, 10);
    assert_memory_equal(indices, order, sizeof order);
    r = fresh();
    assert_true(replay_float(&r) == 0.20108139514923096f);
    /* Box-Muller in 50 decimal digits (Python's decimal), rounded once at the end */
    static const double normal[] = {0x1.bd71c9c358fa5p-1, 0x1.0db51688ab310p-5,
                                    -0x1.e56989d3beb10p-5};
    r = fresh();
    for (size_t i = 0; i < 3; i++) {
        assert_true(fabs(replay_normal(&r) / normal[i] - 1) < 1e-15);
    }
}

/* Each of the four inputs counts, and the purpose is compared in all its 32 bytes. */
static void test_replay__inputs_make_streams(void **state)
{
    (void)state;
    static const struct {
        const char *purpose;
        uint64_t seed;
        uint32_t round, index;
    } rows[] = {
        {"shuffle", 1, 1, 1},
        {"weights", 1, 1, 1},
        {"shuffle", 2, 1, 1},
        {"shuffle", 1 + ((uint64_t)1 << 32), 1, 1},
        {"shuffle", 1, 2, 1},
        {"shuffle", 1, 1, 2},
        {"", 1, 1, 1},
        {"0123456789012345678901234567890a", 1, 1, 1},
        {"0123456789012345678901234567890b", 1, 1, 1},
    };
    enum { ROWS = sizeof rows / sizeof rows[0] };
    uint64_t first[ROWS];
    for (size_t i = 0; i < ROWS; i++) {
        struct replay_rng r;
        replay_init(&r, rows[i].purpose, rows[i].seed, rows[i].round, rows[i].index);
        first[i] = replay_u64(&r);
        for (size_t j = 0; j < i; j++) {
            assert_true(first[i] != first[j]);
        }
    }
}

static void test_replay__seek_finds_every_word(void **state)
{
    (void)state;
    enum { WORDS = 700 };
    uint32_t words[WORDS];
    struct replay_rng r = fresh();
    for (size_t i = 0; i < WORDS; i++) {
        words[i] = replay_u32(&r);
    }
    for (size_t i = WORDS; i-- > 0;) {
        replay_seek(&r, i);
        assert_true(replay_u32(&r) == words[i]);
        assert_true(i + 1 == WORDS || replay_u32(&r) == words[i + 1]);
    }
}

/* chi-squared over 7 cells, 6 degrees of freedom: 50 is exceeded with probability 5e-9, and the
 * seed is fixed, so this cannot fail by chance tomorrow */
static void test_replay__below_is_even(void **state)
{
    (void)state;
    enum { CELLS = 7, N = 70000 };
    long count[CELLS] = {0};
    struct replay_rng r = fresh();
    for (int i = 0; i < N; i++) {
        uint32_t v = replay_below(&r, CELLS);
        assert_true(v < CELLS);
        count[v]++;
    }
    double chi = 0;
    for (size_t i = 0; i < CELLS; i++) {
        double d = (double)count[i] - N / CELLS;
        chi += d * d / (N / CELLS);
    }
    assert_true(chi < 50);
    assert_int_equal(replay_below(&r, 1), 0);
    /* Of 3 * 2^30 results, the lower 2^30 have two words each unless words are drawn again. */
    long low = 0;
    for (int i = 0; i < N; i++) {
        low += replay_below(&r, 0xc0000000u) % 3 == 0;
    }
    assert_true(labs(low - N / 3) < 6 * 125); /* six standard deviations */
}

/* The moments of 200000 normals, and each against libm: the rounding of a logarithm, a root, a
 * cosine and a product, a few units in the last place. */
static void test_replay__normal(void **state)
{
    (void)state;
    enum { N = 200000 };
    struct replay_rng r = fresh(), copy = fresh();
    double sum = 0, squares = 0, fourth = 0, worst = 0;
    for (int i = 0; i < N; i++) {
        double z = replay_normal(&r);
        double u = (double)((replay_u64(&copy) >> 11) + 1) * 0x1p-53;
        double t = (double)(replay_u64(&copy) >> 11) * 0x1p-53;
        double length = sqrt(-2 * log(u));
        /* relative to the length: close to its zeros libm's cosine of 2*pi*t knows less */
        double error = fabs(z - length * cos(6.283185307179586477 * t)) / (length + 1e-300);
        worst = error > worst ? error : worst;
        sum += z;
        squares += z * z;
        fourth += z * z * z * z;
    }
    assert_true(worst < 2e-15);
    assert_true(fabs(sum / N) < 6 / sqrt(N));
    assert_true(fabs(squares / N - 1) < 6 * sqrt(2.0 / N));
    assert_true(fabs(fourth / N - 3) < 6 * sqrt(96.0 / N));
}

/* The promise is the same bits everywhere, so the bits of 100000 normals are
 * frozen here; gcc and clang, optimised and not, agree on them. */
static void test_replay__normal_has_the_same_bits_everywhere(void **state)
{
    (void)state;
    struct replay_rng r = fresh();
    struct digest_state digest;
    uint8_t out[DIGEST_SIZE];
    char hex[DIGEST_HEX_SIZE];
    digest_init(&digest);
    for (int i = 0; i < 100000; i++) {
        double z = replay_normal(&r);
        uint64_t bits;
        uint8_t bytes[8];
        memcpy(&bits, &z, sizeof bits);
        le_put64(bytes, bits);
        digest_update(&digest, bytes, sizeof bytes);
    }
    digest_final(&digest, out);
    digest_hex(out, sizeof out, hex);
    assert_string_equal(hex, "2bcbaf67dc6812b0c0ebf6302f0873a0631d74775108b10b2b60d0e733d86011");
}

static void test_replay__float_and_shuffle_keep_their_range(void **state)
{
    (void)state;
    struct replay_rng r = fresh();
    for (int i = 0; i < 10000; i++) {
        float f = replay_float(&r);
        assert_true(f >= 0 && f < 1);
        assert_true(floorf(f * 16777216) == f * 16777216);
    }
    uint32_t indices[1000];
    uint8_t seen[1000] = {0};
    for (uint32_t i = 0; i < 1000; i++) {
        indices[i] = i;
    }
    replay_shuffle(&r, indices, 1000);
    size_t moved = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        assert_int_equal(seen[indices[i]]++, 0);
        moved += indices[i] != i;
    }
    assert_true(moved > 900);
    replay_shuffle(&r, NULL, 0);
}

static void test_replay__words_are_those_of_single_draws(void **state)
{
    (void)state;
    static const size_t runs[] = {1, 3, 255, 256, 257, 1000, 0, 7};
    struct replay_rng one, many;
    uint32_t words[1000];
    replay_init(&one, "words", 5, 6, 7);
    replay_init(&many, "words", 5, 6, 7);
    for (size_t r = 0; r < sizeof runs / sizeof runs[0]; r++) {
        replay_words(&many, words, runs[r]);
        for (size_t i = 0; i < runs[r]; i++) {
            assert_int_equal(words[i], replay_u32(&one));
        }
    }
    assert_int_equal(replay_u32(&many), replay_u32(&one));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replay__words_are_those_of_single_draws),
        cmocka_unit_test(test_replay__known_words),
        cmocka_unit_test(test_replay__known_numbers),
        cmocka_unit_test(test_replay__inputs_make_streams),
        cmocka_unit_test(test_replay__seek_finds_every_word),
        cmocka_unit_test(test_replay__below_is_even),
        cmocka_unit_test(test_replay__normal),
        cmocka_unit_test(test_replay__normal_has_the_same_bits_everywhere),
        cmocka_unit_test(test_replay__float_and_shuffle_keep_their_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
