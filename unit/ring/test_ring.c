/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "modulus.h"
#include "ring.h"

static void test_ring__primes_are_what_they_should_be(void **state)
{
    (void)state;
    static const uint64_t primes[] = {RING_Q_VALUE, RING_Q2_VALUE};
    for (int p = 0; p < RING_PRIMES; p++) {
        struct kern_modulus m;
        assert_true(modulus_is_prime(primes[p]));
        assert_true(kern_modulus_init(&m, primes[p]));
        assert_int_equal(ring_get((enum ring_prime)p)->modulus.q, primes[p]);
        assert_int_equal(ring_get((enum ring_prime)p)->modulus.barrett, m.barrett);
        assert_int_equal(ring_get((enum ring_prime)p)->n, RING_DEGREE);
    }
    /* the smallest primitive 4096-th root of unity, found by a separate search in Python */
    assert_int_equal(ring_get(RING_Q)->roots[RING_DEGREE / 2], UINT64_C(0xfb9cd36317));
}

static void test_ring__transform_of_a_monomial(void **state)
{
    (void)state;
    static _Alignas(64) uint64_t a[RING_DEGREE];
    for (int p = 0; p < RING_PRIMES; p++) {
        const struct kern_ntt *t = ring_get((enum ring_prime)p);
        const uint64_t q = t->modulus.q;
        memset(a, 0, sizeof a);
        a[1] = 1; /* x itself: every value is an odd power of psi */
        kern_get()->ntt_fwd(a, t);
        for (size_t j = 0; j < RING_DEGREE; j++) {
            assert_int_equal(modulus_pow(a[j], RING_DEGREE, q), q - 1);
        }
        /* x^N = -1: multiplying by x N times negates */
        static _Alignas(64) uint64_t b[RING_DEGREE], c[RING_DEGREE];
        for (size_t i = 0; i < RING_DEGREE; i++) {
            b[i] = c[i] = (i * UINT64_C(0x9e3779b97f4a7)) % q;
        }
        kern_get()->ntt_fwd(b, t);
        kern_get()->mul(b, b, a, RING_DEGREE, &t->modulus);
        kern_get()->ntt_inv(b, t);
        assert_int_equal(b[0], (q - c[RING_DEGREE - 1]) % q);
        assert_memory_equal(b + 1, c, (RING_DEGREE - 1) * sizeof *b);
    }
}

static void test_ring__crt_constant(void **state)
{
    (void)state;
    const struct kern_crt *crt = ring_crt();
    assert_int_equal(modulus_mul(crt->inverse, RING_Q_VALUE % RING_Q2_VALUE, RING_Q2_VALUE), 1);
    _Alignas(64) uint64_t a[8] = {5, RING_Q_VALUE - 5, 0}, b[8] = {5, RING_Q2_VALUE - 5, 0};
    kern_get()->crt_centred(a, a, b, 8, crt);
    assert_int_equal(a[0], 5);
    assert_int_equal((int64_t)a[1], -5);
    assert_int_equal(a[2], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ring__primes_are_what_they_should_be),
        cmocka_unit_test(test_ring__transform_of_a_monomial),
        cmocka_unit_test(test_ring__crt_constant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
