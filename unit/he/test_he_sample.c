/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Samplers: known answers for public polynomials, statistics for secret ones. Statistics draw from
 * the operating system, so each bound is wide enough to fail by chance less than once in 10^12
 * runs.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "digest.h"
#include "he_sample.h"
#include "le.h"

static _Alignas(64) uint64_t a[RING_DEGREE];
static uint8_t stream[8 * RING_DEGREE];

/*
 * Made outside cairn with Python's hashlib.blake2b and `openssl enc -aes-256-ctr -iv 0`, from the
 * sentence in he_sample.h: id "capsule-2048-50-b16-n15-L2-K45-key-L2-K24+30", nonce 00 01 .. 1f,
 * round 7, frame 3, chunk 1.
 */
static void test_he_sample__known_answer_capsule_a(void **state)
{
    (void)state;
    struct he_params p;
    assert_int_equal(he_params_choose(HE_CAPSULE, 16, 15, &p, NULL), 0);
    uint8_t nonce[HE_NONCE_SIZE], seed[32];
    for (int i = 0; i < HE_NONCE_SIZE; i++) {
        nonce[i] = (uint8_t)i;
    }
    char hex[DIGEST_HEX_SIZE];
    he_capsule_seed(&p, nonce, 7, 3, 1, seed);
    digest_hex(seed, sizeof seed, hex);
    assert_string_equal(hex, "640ae7ccebc059af2efe28daef91927a3b1d6f834d7db4d1c2ad12c9ede147b9");

    assert_int_equal(he_expand(seed, a, stream), 0);
    assert_true(a[0] == UINT64_C(0x2975e18c366da));
    assert_true(a[1] == UINT64_C(0x8f7b94eb1938));
    assert_true(a[2047] == UINT64_C(0x78d9101deedc));
    uint8_t bytes[8 * RING_DEGREE], digest[DIGEST_SIZE];
    for (size_t i = 0; i < RING_DEGREE; i++) {
        le_put64(bytes + 8 * i, a[i]);
    }
    digest_of(bytes, sizeof bytes, digest);
    digest_hex(digest, sizeof digest, hex);
    assert_string_equal(hex, "194dfabb1d6d2a5c6f0617532e10624886d1817b0fcfcadab6730ae5867420f4");
}

/* Made in the same way: seed 00 01 .. 1f. */
static void test_he_sample__known_answer_public_key_a(void **state)
{
    (void)state;
    uint8_t key_seed[32], seed[32];
    for (int i = 0; i < 32; i++) {
        key_seed[i] = (uint8_t)i;
    }
    he_public_key_seed(key_seed, seed);
    assert_int_equal(he_expand(seed, a, stream), 0);
    assert_true(a[0] == UINT64_C(0x605eb6bd3d2a));
    assert_true(a[1] == UINT64_C(0xd7a767e45b69));
}

static void test_he_sample__every_field_names_another_polynomial(void **state)
{
    (void)state;
    struct he_params p, other;
    assert_int_equal(he_params_choose(HE_CAPSULE, 16, 15, &p, NULL), 0);
    assert_int_equal(he_params_choose(HE_CAPSULE, 16, 14, &other, NULL), 0);
    const uint8_t nonce[HE_NONCE_SIZE] = {0}, nonce2[HE_NONCE_SIZE] = {[31] = 1};
    uint8_t seeds[6][32];
    he_capsule_seed(&p, nonce, 1, 1, 1, seeds[0]);
    he_capsule_seed(&p, nonce, 2, 1, 1, seeds[1]);
    he_capsule_seed(&p, nonce, 1, 2, 1, seeds[2]);
    he_capsule_seed(&p, nonce, 1, 1, 2, seeds[3]);
    he_capsule_seed(&p, nonce2, 1, 1, 1, seeds[4]);
    he_capsule_seed(&other, nonce, 1, 1, 1, seeds[5]);
    for (int i = 0; i < 6; i++) {
        for (int j = 0; j < i; j++) {
            assert_memory_not_equal(seeds[i], seeds[j], 32);
        }
    }
}

static void test_he_sample__uniform_is_uniform(void **state)
{
    (void)state;
    enum { ROUNDS = 64, BINS = 64 };
    double bins[BINS] = {0};
    uint8_t seed[32];
    assert_int_equal(random_from_system(seed, sizeof seed), 0);
    for (int k = 0; k < ROUNDS; k++) {
        seed[0]++;
        assert_int_equal(he_expand(seed, a, stream), 0);
        for (size_t i = 0; i < RING_DEGREE; i++) {
            assert_true(a[i] < RING_Q_VALUE);
            bins[a[i] >> 44]++;
        }
    }
    double expected = (double)ROUNDS * RING_DEGREE / BINS, chi2 = 0;
    for (int b = 0; b < BINS; b++) {
        chi2 += (bins[b] - expected) * (bins[b] - expected) / expected;
    }
    printf("chi-square %.1f, 63 degrees of freedom\n", chi2);
    assert_true(chi2 > 15 && chi2 < 180); /* far beyond 10^-12 on both sides */
}

/* Moments and chi-square of 256 polynomials against the distribution p over lo..lo+n-1. */
static void check_distribution(int (*draw)(struct secret_rng *, struct he_scratch *),
                               const double *p, int lo, int n, double variance)
{
    enum { ROUNDS = 256 };
    struct secret_rng *rng;
    assert_int_equal(secret_rng_new(&rng), 0);
    struct he_scratch *s = he_scratch_new();
    assert_non_null(s);
    double count[64] = {0}, sum = 0, squares = 0, neighbours = 0;
    const double total = (double)ROUNDS * RING_DEGREE;
    for (int k = 0; k < ROUNDS; k++) {
        assert_int_equal(draw(rng, s), 0);
        for (size_t i = 0; i < RING_DEGREE; i++) {
            int v = s->small[i];
            assert_true(v >= lo && v < lo + n);
            count[v - lo]++;
            sum += v;
            squares += v * v;
            neighbours += v * s->small[(i + 1) % RING_DEGREE];
        }
    }
    double chi2 = 0, bins = 0, tail = 0, tail_p = 0;
    for (int i = 0; i < n; i++) { /* rare values share a bin */
        if (p[i] * total < 50) {
            tail += count[i];
            tail_p += p[i];
        } else {
            chi2 += pow(count[i] - p[i] * total, 2) / (p[i] * total);
            bins++;
        }
    }
    if (tail_p * total > 1) {
        chi2 += pow(tail - tail_p * total, 2) / (tail_p * total);
    }
    double deviation = sqrt(variance);
    printf("mean %.5f, variance %.4f (%.4f), chi-square %.1f over %.0f bins\n", sum / total,
           squares / total, variance, chi2, bins);
    assert_true(fabs(sum / total) < 8 * deviation / sqrt(total));
    assert_true(fabs(squares / total - variance) < 8 * variance * sqrt(2 / total));
    assert_true(fabs(neighbours / total) < 8 * variance / sqrt(total));
    assert_true(chi2 < bins + 12 * sqrt(2 * bins) + 40);
    he_scratch_free(s);
    secret_rng_free(rng);
}

static void test_he_sample__cbd_distribution(void **state)
{
    (void)state;
    double p[43]; /* C(42, k) / 2^42 */
    p[0] = ldexp(1, -42);
    for (int k = 1; k <= 42; k++) {
        p[k] = p[k - 1] * (43 - k) / k;
    }
    check_distribution(he_sample_cbd, p, -21, 43, 10.5);
}

static void test_he_sample__ternary_distribution(void **state)
{
    (void)state;
    const double p[3] = {1 / 3.0, 1 / 3.0, 1 / 3.0};
    check_distribution(he_sample_ternary, p, -1, 3, 2 / 3.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_he_sample__known_answer_capsule_a),
        cmocka_unit_test(test_he_sample__known_answer_public_key_a),
        cmocka_unit_test(test_he_sample__every_field_names_another_polynomial),
        cmocka_unit_test(test_he_sample__uniform_is_uniform),
        cmocka_unit_test(test_he_sample__cbd_distribution),
        cmocka_unit_test(test_he_sample__ternary_distribution),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
