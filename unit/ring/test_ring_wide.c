/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "modulus.h"
#include "ring_wide.h"

enum { N = RING_WIDE_DEGREE };

static const uint64_t primes[] = {RING_WIDE_Q1_VALUE, RING_WIDE_Q2_VALUE, RING_WIDE_Q3_VALUE};

static void test_ring_wide__three_largest_primes(void **state)
{
    (void)state;
    const uint64_t step = UINT64_C(4) * N;
    int found = 0;
    for (uint64_t q = (UINT64_C(1) << 50) - step + 1; found < RING_WIDE_ALL_PRIMES; q -= step) {
        if (modulus_is_prime(q)) {
            const struct kern_ntt *t = ring_wide_get((enum ring_wide_prime)found);
            assert_int_equal(q, primes[found++]);
            assert_int_equal(t->modulus.q, q);
            assert_int_equal(t->n, N);
        }
    }
    kern_u128 q = (kern_u128)primes[0] * primes[1];
    assert_true(q >> 99 == 1); /* RING_WIDE_Q_BITS */
}

/* x^N = -1, every product in full: sums of 4096 products of 100 bits fit in 128. */
static void schoolbook(uint64_t *out, const uint64_t *a, const uint64_t *b, uint64_t q)
{
    for (size_t k = 0; k < N; k++) {
        kern_u128 plus = 0, minus = 0;
        for (size_t i = 0; i <= k; i++) {
            plus += (kern_u128)a[i] * b[k - i];
        }
        for (size_t i = k + 1; i < N; i++) {
            minus += (kern_u128)a[i] * b[N + k - i];
        }
        out[k] = (uint64_t)((plus % q + q - minus % q) % q);
    }
}

static void test_ring_wide__products_are_those_of_the_schoolbook(void **state)
{
    (void)state;
    static _Alignas(64) uint64_t a[N], b[N], expected[N];
    for (int p = 0; p < RING_WIDE_ALL_PRIMES; p++) {
        const struct kern_ntt *t = ring_wide_get((enum ring_wide_prime)p);
        const uint64_t q = primes[p];
        uint64_t x = 0x9e3779b97f4a7c15 + (uint64_t)p;
        for (size_t i = 0; i < N; i++) {
            x = x * 6364136223846793005u + 1442695040888963407u;
            a[i] = i % 5 == 0 ? q - 1 : (x >> 8) % q;
            b[i] = i % 7 == 0 ? q - 1 : (x >> 11) % q;
        }
        schoolbook(expected, a, b, q);
        kern_get()->ntt_fwd(a, t);
        kern_get()->ntt_fwd(b, t);
        kern_get()->mul(a, a, b, N, &t->modulus);
        kern_get()->ntt_inv(a, t);
        assert_memory_equal(a, expected, sizeof a);
    }
}

static void test_ring_wide__largest_coefficients(void **state)
{
    (void)state;
    static _Alignas(64) uint64_t a[N], before[N];
    for (int p = 0; p < RING_WIDE_ALL_PRIMES; p++) {
        const struct kern_ntt *t = ring_wide_get((enum ring_wide_prime)p);
        for (size_t i = 0; i < N; i++) {
            a[i] = before[i] = primes[p] - 1;
        }
        kern_get()->ntt_fwd(a, t);
        kern_get()->ntt_inv(a, t);
        assert_memory_equal(a, before, sizeof a);
    }
}

/* Residues by division, back to the number by ring_wide_join. */
static void test_ring_wide__residues_join(void **state)
{
    (void)state;
    const kern_u128 q = (kern_u128)primes[0] * primes[1], large = (kern_u128)1 << 111;
    const kern_u128 numbers[8] = {0, 1, primes[0], q / 2, q / 2 + 1, q - primes[1], q - 2, q - 1};
    const kern_u128 signs[8] = {0, 1, 0 - (kern_u128)1, large, 0 - large, large - 1,
                                0 - (large / 3), large / 5};
    _Alignas(64) uint64_t r[3][8];
    kern_u128 back[8];
    for (int i = 0; i < 8; i++) {
        r[0][i] = (uint64_t)(numbers[i] % primes[0]);
        r[1][i] = (uint64_t)(numbers[i] % primes[1]);
    }
    kern_wide_join2(back, r[0], r[1], 8, ring_wide_join());
    assert_memory_equal(back, numbers, sizeof back);
    for (int i = 0; i < 8; i++) {
        kern_u128 magnitude = signs[i] >> 127 ? 0 - signs[i] : signs[i];
        for (int p = 0; p < 3; p++) {
            uint64_t m = (uint64_t)(magnitude % primes[p]);
            r[p][i] = signs[i] >> 127 && m != 0 ? primes[p] - m : m;
        }
    }
    kern_wide_join3(back, r[0], r[1], r[2], 8, ring_wide_join());
    assert_memory_equal(back, signs, sizeof back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ring_wide__three_largest_primes),
        cmocka_unit_test(test_ring_wide__products_are_those_of_the_schoolbook),
        cmocka_unit_test(test_ring_wide__largest_coefficients),
        cmocka_unit_test(test_ring_wide__residues_join),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
