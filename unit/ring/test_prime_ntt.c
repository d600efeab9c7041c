/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "digest.h"
#include "le.h"
#include "modulus.h"
#include "prime_ntt.h"

static void assert_words_digest(const uint64_t *words, size_t count, const char *hex)
{
    uint8_t *bytes = malloc(8 * count), digest[DIGEST_SIZE];
    char text[2 * DIGEST_SIZE + 1];
    for (size_t i = 0; i < count; i++) {
        le_put64(bytes + 8 * i, words[i]);
    }
    digest_of(bytes, 8 * count, digest);
    digest_hex(digest, sizeof digest, text);
    assert_string_equal(text, hex);
    free(bytes);
}

/* The transform of 1, 2, .., N under the first prime, from SEAL 4.4.3: first words, and BLAKE2b-256
 * of all. */
static void assert_ramp(const struct prime_ntt *t, const uint64_t first[4], const char *digest)
{
    uint64_t *a = calloc(t->n, sizeof *a);
    for (size_t i = 0; i < t->n; i++) {
        a[i] = i + 1;
    }
    prime_ntt_forward(a, t);
    assert_memory_equal(a, first, 32);
    assert_words_digest(a, t->n, digest);
    prime_ntt_backward(a, t);
    for (size_t i = 0; i < t->n; i++) {
        assert_int_equal(a[i], i + 1);
    }
    free(a);
}

static void test_prime_ntt__transforms_are_seals(void **state)
{
    (void)state;
    struct prime_ntt t;
    assert_int_equal(prime_ntt_init(&t, 2048, 0x3ffffffffed001), 0);
    assert_ramp(
        &t,
        (const uint64_t[]){0x38493a1c8caafa, 0x14c89c452347af, 0x4d6ed941cfb23, 0x15fd2a9905ab88},
        "89dda0eccc76e3181e351834c4656d0018155a58169185e917d4dd3b6a9d3eb2");
    prime_ntt_release(&t);
    assert_int_equal(prime_ntt_init(&t, 8192, 0xffffffffffe8001), 0);
    assert_ramp(&t,
                (const uint64_t[]){0xee9345d7f33c301, 0x7c62bd1853e5f11, 0x43a4eee7f90e728,
                                   0xf3f8875fb052b62},
                "c32dd87474a475311f8cde5af2e945f9fe7ae087b51e16577044039c03151637");
    prime_ntt_release(&t);
}

/* The definition, at a small degree, with the largest primes and the extreme words. */
static void test_prime_ntt__transform_by_its_definition(void **state)
{
    (void)state;
    const unsigned sizes[] = {60, 40, 20, 8};
    for (size_t k = 0; k < 4; k++) {
        const uint64_t q = modulus_next_prime(UINT64_C(1) << sizes[k], 32);
        struct prime_ntt t;
        assert_int_equal(prime_ntt_init(&t, 16, q), 0);
        uint64_t a[16], out[16];
        for (size_t i = 0; i < 16; i++) {
            a[i] = i % 3 == 0 ? q - 1 : i % 3 == 1 ? 0 : q / 2 + i;
        }
        memcpy(out, a, sizeof a);
        prime_ntt_forward(out, &t);
        for (size_t j = 0; j < 16; j++) {
            size_t brv = (j & 1) << 3 | (j & 2) << 1 | (j & 4) >> 1 | (j & 8) >> 3;
            uint64_t sum = 0;
            for (size_t i = 0; i < 16; i++) {
                uint64_t power = 1;
                for (size_t e = 0; e < (2 * brv + 1) * i; e++) {
                    power = (uint64_t)((kern_u128)power * t.psi % q);
                }
                sum = (uint64_t)((sum + (kern_u128)a[i] * power) % q);
            }
            assert_int_equal(out[j], sum);
        }
        prime_ntt_backward(out, &t);
        assert_memory_equal(out, a, sizeof a);
        prime_ntt_release(&t);
    }
}

static void test_prime_ntt__products_at_the_extremes(void **state)
{
    (void)state;
    const uint64_t primes[] = {3, 17, 0x3ffffffffed001, 0xffffffffffe8001,
                               UINT64_C(2305843009213693951)}; /* 2^61 - 1 */
    for (size_t k = 0; k < 5; k++) {
        struct prime_modulus m;
        prime_modulus_init(&m, primes[k]);
        const uint64_t q = m.q;
        const uint64_t words[] = {0, 1, q / 2, q / 2 + 1, q - 2, q - 1};
        for (size_t i = 0; i < 6; i++) {
            for (size_t j = 0; j < 6; j++) {
                uint64_t expected = (uint64_t)((kern_u128)words[i] * words[j] % q);
                assert_int_equal(prime_mul(words[i], words[j], &m), expected);
                assert_int_equal(prime_add(words[i], words[j], &m), (words[i] + words[j]) % q);
                assert_int_equal(prime_sub(words[i], words[j], &m),
                                 (words[i] + q - words[j]) % q);
            }
            assert_int_equal(prime_neg(words[i], &m), (q - words[i]) % q);
        }
        const uint64_t one_shoup = (uint64_t)(((kern_u128)1 << 64) / q);
        const uint64_t any[] = {0, q - 1, q, 2 * q, UINT64_MAX - 1, UINT64_MAX};
        for (size_t i = 0; i < 6; i++) {
            assert_int_equal(prime_reduce64(any[i], one_shoup, q), any[i] % q);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prime_ntt__transforms_are_seals),
        cmocka_unit_test(test_prime_ntt__transform_by_its_definition),
        cmocka_unit_test(test_prime_ntt__products_at_the_extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
