/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kern.h"
#include "kern_prime.h"
#include "random.h"
#include "replay.h"

enum { MOST = 1600 }; /* fields: more than three blocks */

static const struct {
    unsigned bits;
    uint64_t q;
} sets[] = {
    {60, 0xffffffffffe8001}, {40, 0xfffff4c001}, {40, 0xfffffdc001}, {2, 3}, {17, 65537},
    {61, UINT64_C(2305843009213693951)},
};
enum { SETS = sizeof sets / sizeof sets[0] };

static struct replay_rng replay;
static _Alignas(64) uint64_t a[MOST], b[MOST], out[MOST];
static uint8_t bytes_a[8 * MOST + 1], bytes_b[8 * MOST + 1];

static int setup(void **state)
{
    (void)state;
    uint64_t seed;
    if (random_from_system(&seed, sizeof seed) != 0) {
        return -1;
    }
    printf("seed %#llx\n", (unsigned long long)seed);
    replay_init(&replay, "prime fields", seed, 0, 0);
    return 0;
}

/* Random fields, with every pair of extremes at the head. */
static void fill(uint64_t q, size_t count)
{
    const uint64_t ends[] = {0, 1, q / 2, q - 2, q - 1};
    for (size_t i = 0; i < count; i++) {
        a[i] = i < 25 ? ends[i / 5] % q : replay_u64(&replay) % q;
        b[i] = i < 25 ? ends[i % 5] % q : replay_u64(&replay) % q;
    }
}

static void test_kern_prime__adds_like_integers(void **state)
{
    (void)state;
    static const size_t counts[] = {8, 32, 512, 520, 1024, MOST};
    for (size_t s = 0; s < SETS; s++) {
        for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
            const size_t n = counts[c], size = n / 8 * sets[s].bits;
            fill(sets[s].q, n);
            kern_get()->pack_bits(bytes_a + 1, a, n, sets[s].bits);
            kern_get()->pack_bits(bytes_b + 1, b, n, sets[s].bits);
            bytes_a[size + 1 < sizeof bytes_a ? size + 1 : 0] = 0x5a;
            kern_prime_add_packed(bytes_a + 1, bytes_b + 1, size, sets[s].bits, sets[s].q);
            assert_int_equal(bytes_a[size + 1 < sizeof bytes_a ? size + 1 : 0], 0x5a);
            kern_get()->unpack_bits(out, bytes_a + 1, n, sets[s].bits);
            for (size_t i = 0; i < n; i++) {
                assert_int_equal(out[i], (a[i] + b[i]) % sets[s].q);
            }
        }
    }
}

static void test_kern_prime__finds_the_first_that_lies(void **state)
{
    (void)state;
    static const size_t places[] = {0, 1, 511, 512, 1000, MOST - 1};
    for (size_t s = 0; s < SETS; s++) {
        const uint64_t most = UINT64_MAX >> (64 - sets[s].bits);
        const size_t size = MOST / 8 * sets[s].bits;
        size_t at = 0;
        fill(sets[s].q, MOST);
        kern_get()->pack_bits(bytes_a, a, MOST, sets[s].bits);
        assert_true(kern_prime_check_packed(bytes_a, size, sets[s].bits, sets[s].q, &at));
        for (size_t p = sizeof places / sizeof places[0]; p-- > 0 && most >= sets[s].q;) {
            a[places[p]] = p % 2 == 0 ? sets[s].q : most;
            kern_get()->pack_bits(bytes_a, a, MOST, sets[s].bits);
            assert_false(kern_prime_check_packed(bytes_a, size, sets[s].bits, sets[s].q, &at));
            assert_int_equal(at, places[p]);
        }
    }
}

/* A lie spoils its own field's sum and no other's. */
static void test_kern_prime__a_lie_stays_in_its_field(void **state)
{
    (void)state;
    const unsigned bits = 60;
    const uint64_t q = sets[0].q, most = UINT64_MAX >> 4;
    fill(q, 64);
    a[30] = b[30] = most;
    kern_get()->pack_bits(bytes_a, a, 64, bits);
    kern_get()->pack_bits(bytes_b, b, 64, bits);
    kern_prime_add_packed(bytes_a, bytes_b, 480, bits, q);
    kern_get()->unpack_bits(out, bytes_a, 64, bits);
    for (size_t i = 0; i < 64; i++) {
        assert_true(i == 30 || out[i] == (a[i] + b[i]) % q);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kern_prime__adds_like_integers),
        cmocka_unit_test(test_kern_prime__finds_the_first_that_lies),
        cmocka_unit_test(test_kern_prime__a_lie_stays_in_its_field),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
