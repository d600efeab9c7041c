/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "modulus.h"

static void test_modulus__primes_below_ten_thousand(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 10000; n++) {
        bool prime = n >= 2;
        for (uint64_t d = 2; d * d <= n; d++) {
            prime = prime && n % d != 0;
        }
        assert_int_equal(modulus_is_prime(n), prime);
    }
}

static void test_modulus__strong_pseudoprimes_are_composite(void **state)
{
    (void)state;
    /* smallest strong pseudoprimes to the first 1..4, 9 prime bases: OEIS A014233 */
    assert_false(modulus_is_prime(2047));
    assert_false(modulus_is_prime(1373653));
    assert_false(modulus_is_prime(25326001));
    assert_false(modulus_is_prime(3215031751));
    assert_false(modulus_is_prime(UINT64_C(3825123056546413051)));
    assert_true(modulus_is_prime(UINT64_C(18446744073709551557))); /* largest below 2^64 */
}

static void test_modulus__next_prime(void **state)
{
    (void)state;
    /* origin: the project's parameter study: b = 8, n = 15 and 14, three lanes */
    assert_int_equal(modulus_next_prime(UINT64_C(3826) * 3826 * 3826, 4096), UINT64_C(0xd0a38b001));
    assert_int_equal(modulus_next_prime(UINT64_C(3811) * 3811 * 3811, 4096), UINT64_C(0xce31d0001));
    assert_int_equal(modulus_next_prime(12289, 4096), 40961);
    assert_int_equal(modulus_next_prime(12288, 4096), 12289);
    assert_int_equal(modulus_next_prime(UINT64_C(1) << 62, 2), 0);
}

static void test_modulus__inverse_and_root(void **state)
{
    (void)state;
    const uint64_t q = UINT64_C(0x3ffffffffc001);
    for (uint64_t a = 1; a < 500; a++) {
        assert_int_equal(modulus_mul(modulus_inverse(a, q), a, q), 1);
    }
    for (uint64_t a = 1; a < 12289; a += 7) { /* exhaustive search mod a small prime */
        assert_int_equal(modulus_mul(modulus_inverse(a, 12289), a, 12289), 1);
    }
    uint64_t smallest = 1;
    while (modulus_pow(smallest, 64, 12289) != 12288) {
        smallest++;
    }
    assert_int_equal(modulus_smallest_root(128, 12289), smallest);
    /* 2^64 - ceil(2^64 / q), and q is a little below 2^50 */
    assert_int_equal(modulus_shoup(q - 1, q), UINT64_MAX - (UINT64_C(1) << 14));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_modulus__primes_below_ten_thousand),
        cmocka_unit_test(test_modulus__strong_pseudoprimes_are_composite),
        cmocka_unit_test(test_modulus__next_prime),
        cmocka_unit_test(test_modulus__inverse_and_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
