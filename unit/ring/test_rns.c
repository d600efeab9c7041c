/* SPDX-License-Identifier: Apache-2.0 */
/* Division by the last prime against its definition over the integers. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "random.h"
#include "replay.h"
#include "rns.h"

__extension__ typedef __int128 i128;

enum { N = 16, LEVEL = 3 };
/* 1 mod 2N: 40, 20 and 30 bits, so that everything fits in 128 */
static const uint64_t primes[LEVEL] = {0xfffff4c001, 0xffe81, 0x3ffffe81};

static struct rns_ring ring;
static struct replay_rng replay;

static int setup(void **state)
{
    (void)state;
    uint64_t seed;
    if (random_from_system(&seed, sizeof seed) != 0) {
        return -1;
    }
    printf("seed %#llx\n", (unsigned long long)seed);
    replay_init(&replay, "rns test", seed, 0, 0);
    return rns_ring_init(&ring, N, primes, LEVEL);
}

static int teardown(void **state)
{
    (void)state;
    rns_ring_release(&ring);
    return 0;
}

static uint64_t mod(i128 x, uint64_t q)
{
    i128 r = x % (i128)q;
    return (uint64_t)(r < 0 ? r + (i128)q : r);
}

/* round(x / p), ties up */
static i128 rounded(i128 x, uint64_t p)
{
    i128 y = x + (i128)(p / 2);
    i128 r = y % (i128)p;
    return (y - (r < 0 ? r + (i128)p : r)) / (i128)p;
}

/* Numbers up to a quarter of the modulus, the extremes among them. */
static void some_numbers(i128 x[N])
{
    const uint64_t p = primes[LEVEL - 1];
    const i128 most = (i128)primes[0] * primes[1] / 4 * p;
    for (size_t i = 0; i < N; i++) {
        x[i] = (i128)((unsigned __int128)replay_u64(&replay) << 22 | replay_u32(&replay)) % most;
        x[i] = i % 2 == 0 ? x[i] : -x[i];
    }
    x[0] = 0;
    x[1] = p / 2; /* the largest that is rounded down, and the smallest that is not */
    x[2] = p / 2 + 1;
    x[3] = -(i128)(p / 2);
    x[4] = -(i128)(p / 2) - 1;
    x[5] = most;
    x[6] = -most;
}

static void residues_of(const i128 x[N], uint64_t *a)
{
    for (size_t j = 0; j < LEVEL; j++) {
        for (size_t i = 0; i < N; i++) {
            a[j * N + i] = mod(x[i], primes[j]);
        }
    }
}

static void test_rns__divides_and_rounds(void **state)
{
    (void)state;
    i128 x[N];
    uint64_t a[LEVEL * N];
    some_numbers(x);
    residues_of(x, a);
    rns_divide_round(&ring, LEVEL, a);
    for (size_t k = 0; k < (LEVEL - 1) * N; k++) {
        assert_int_equal(a[k], mod(rounded(x[k % N], primes[LEVEL - 1]), primes[k / N]));
    }
}

static void test_rns__divides_transformed_words_alike(void **state)
{
    (void)state;
    i128 x[N];
    uint64_t a[LEVEL * N], hat[LEVEL * N], work[N];
    int32_t small[N];
    some_numbers(x);
    residues_of(x, a);
    memcpy(hat, a, sizeof hat);
    rns_forward(&ring, LEVEL, hat);
    for (size_t i = 0; i < N; i++) {
        small[i] = (int32_t)replay_below(&replay, 43) - 21;
    }
    rns_add_small(&ring, LEVEL, a, small);
    rns_divide_round(&ring, LEVEL, a);
    rns_divide_round_hat(&ring, LEVEL, hat, small, work);
    rns_backward(&ring, LEVEL - 1, hat);
    assert_memory_equal(a, hat, (LEVEL - 1) * N * sizeof *a);
}

static void test_rns__small_numbers(void **state)
{
    (void)state;
    static const int32_t small[N] = {0, 1, -1, 21, -21, 1000000, -1000000};
    uint64_t a[LEVEL * N], b[LEVEL * N];
    rns_lift_small(&ring, LEVEL, small, a);
    for (size_t k = 0; k < LEVEL * N; k++) {
        assert_int_equal(a[k], mod(small[k % N], primes[k / N]));
    }
    memcpy(b, a, sizeof b);
    rns_neg(&ring, LEVEL, b);
    rns_add(&ring, LEVEL, b, a);
    for (size_t k = 0; k < LEVEL * N; k++) {
        assert_int_equal(b[k], 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rns__divides_and_rounds),
        cmocka_unit_test(test_rns__divides_transformed_words_alike),
        cmocka_unit_test(test_rns__small_numbers),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
