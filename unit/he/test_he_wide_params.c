/* SPDX-License-Identifier: Apache-2.0 */
/* The chooser over N = 4096, and between the two rings. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "he_choice.h"
#include "he_noise.h"
#include "ring_wide.h"
#include "security.h"

enum { N = RING_WIDE_DEGREE };

static const double q = RING_WIDE_Q_REAL;
static const uint32_t contributors[] = {1, 2, 3, 5, 10, 15, 48, 100, 400, 1000, 3000, 10000};
enum { COUNTS = sizeof contributors / sizeof contributors[0] };

static struct he_params choose_in(size_t degree, enum he_profile profile, unsigned value_bits,
                                  uint32_t n)
{
    struct he_params p;
    assert_int_equal(he_choose_degree(degree, profile, value_bits, n, &p, NULL), 0);
    return p;
}

/* Origin: the project's parameter study, columns "4096/100 torus", failure bound 2^-64, all rows */
static const struct {
    enum he_profile profile;
    unsigned value_bits;
    uint32_t n;
    double bits;
} study[] = {
    {HE_CAPSULE, 8, 4, 10.2}, {HE_CAPSULE, 8, 15, 12.6}, {HE_CAPSULE, 8, 100, 15.8},
    {HE_CAPSULE, 8, 1000, 20.5}, {HE_CAPSULE, 8, 10000, 25.0}, {HE_CAPSULE, 12, 4, 14.4},
    {HE_CAPSULE, 12, 15, 16.8}, {HE_CAPSULE, 12, 100, 20.5}, {HE_CAPSULE, 12, 1000, 25.0},
    {HE_CAPSULE, 12, 10000, 30.0}, {HE_CAPSULE, 16, 4, 18.5}, {HE_CAPSULE, 16, 15, 21.0},
    {HE_CAPSULE, 16, 100, 25.0}, {HE_CAPSULE, 16, 1000, 29.3}, {HE_CAPSULE, 16, 10000, 36.0},
    {HE_CAPSULE, 20, 4, 22.7}, {HE_CAPSULE, 20, 15, 25.3}, {HE_CAPSULE, 20, 100, 29.0},
    {HE_CAPSULE, 20, 1000, 35.0}, {HE_CAPSULE, 20, 10000, 40.0}, {HE_CAPSULE, 24, 4, 27.0},
    {HE_CAPSULE, 24, 15, 29.3}, {HE_CAPSULE, 24, 100, 34.0}, {HE_CAPSULE, 24, 1000, 39.0},
    {HE_CAPSULE, 24, 10000, 44.0},
    {HE_BFV, 8, 4, 21.8}, {HE_BFV, 8, 15, 26.3}, {HE_BFV, 8, 100, 33.4}, {HE_BFV, 8, 1000, 42.5},
    {HE_BFV, 8, 10000, 53.0}, {HE_BFV, 12, 4, 30.5}, {HE_BFV, 12, 15, 35.2},
    {HE_BFV, 12, 100, 42.5}, {HE_BFV, 12, 1000, 52.7}, {HE_BFV, 12, 10000, 61.0},
    {HE_BFV, 16, 4, 39.5}, {HE_BFV, 16, 15, 44.0}, {HE_BFV, 16, 100, 52.3},
    {HE_BFV, 16, 1000, 60.7}, {HE_BFV, 16, 10000, 74.0}, {HE_BFV, 20, 4, 48.7},
    {HE_BFV, 20, 15, 53.3}, {HE_BFV, 20, 100, 60.3}, {HE_BFV, 20, 1000, 73.0},
    {HE_BFV, 20, 10000, 82.0}, {HE_BFV, 24, 4, 56.7}, {HE_BFV, 24, 15, 61.7},
    {HE_BFV, 24, 100, 72.0}, {HE_BFV, 24, 1000, 81.0}, {HE_BFV, 24, 10000, 90.0},
};

static void test_he_wide_params__bits_agree_with_the_study(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof study / sizeof study[0]; i++) {
        struct he_params p = choose_in(N, study[i].profile, study[i].value_bits, study[i].n);
        if (fabs(p.bits_per_param - study[i].bits) > 1.0) {
            fail_msg("%s: %.2f bits, study %.2f", p.id, p.bits_per_param, study[i].bits);
        }
    }
}

static kern_u128 span(uint64_t radix, unsigned lanes)
{
    kern_u128 p = 1;
    for (unsigned j = 0; j < lanes; j++) {
        assert_true(p < ((kern_u128)1 << 100) / radix);
        p *= radix;
    }
    return p;
}

/* With k = 12.06 for 2^-64 and 15.31 for 2^-128, both over 2^40 coefficients; from the study. */
static double tail(double failure_log2)
{
    return failure_log2 <= -128 ? 15.31 : 12.06;
}

static void check_step(const struct he_params *p)
{
    double n = p->max_contributors, k = tail(p->failure_log2);
    assert_in_range(p->bits, 1, 100);
    kern_u128 step = ((kern_u128)1 << p->bits) / span(p->radix, p->lanes);
    assert_true(step == p->step);
    double b = fmin(21 * n, k * sqrt(10.5 * n));
    assert_true(n / 2 + b * ldexp(1, (int)p->bits) / q < (double)p->step / 2);
}

/* The study's formulas, with the mean of ||sum u||^2 and of ||s||^2. */
static void check_bfv_set(const struct he_bfv_set *set, uint32_t clients)
{
    double n = clients, k = tail(set->failure_log2);
    assert_in_range(set->bits0, 1, 100);
    assert_in_range(set->bits1, 1, 100);
    kern_u128 step = ((kern_u128)1 << set->bits0) / span(set->radix, set->lanes);
    assert_true(step == set->step);
    assert_int_equal(set->plain_modulus, 0);
    double errors = k * sqrt(10.5 * n * (4 * N / 3.0 + 1));
    double c1 = k * sqrt(n * (2 * N / 3.0) / 12) * ldexp(q, -(int)set->bits1);
    double c0 = n / 2 * ldexp(q, -(int)set->bits0);
    assert_true(errors + c1 + c0 < (double)set->step / 2 * ldexp(q, -(int)set->bits0));
    assert_true(set->failure_log2 <= -64);
    /* what opening tolerates stays within the step */
    double noise = he_noise_bfv_in(&he_noise_wide, clients, set->bits0, set->bits1, 12.06);
    assert_true(ldexp(noise / q, (int)set->bits0) < (double)set->step / 2);
}

static void check_wide(const struct he_params *p)
{
    assert_int_equal(p->degree, N);
    assert_true(p->modulus == RING_WIDE_Q1_VALUE && p->modulus2 == RING_WIDE_Q2_VALUE);
    assert_int_equal(p->radix,
                     p->max_contributors * ((UINT64_C(1) << p->value_bits) - 2) + 1);
    assert_int_equal(p->chunk_params, N * p->lanes);
    assert_true(p->failure_log2 <= -64);
    assert_true(p->security_bits == 137.2 && p->security_margin_bits == 6);
    check_bfv_set(&p->bfv, p->max_contributors);
    if (p->profile == HE_CAPSULE) {
        check_step(p);
        assert_int_equal(p->bfv.radix, 42 * p->max_contributors + 1);
        assert_true(fabs(p->bits_per_param - (double)p->bits / p->lanes) < 1e-9);
    }
    struct he_section s[HE_MAX_SECTIONS];
    size_t n = 3 * p->chunk_params + 1, bytes = 0;
    for (unsigned i = 0; i < he_sections(p, n, s); i++) {
        assert_int_equal(s[i].count * s[i].bits % 8, 0);
        bytes += s[i].count * s[i].bits / 8;
    }
    assert_int_equal(he_payload_bytes(p, n), bytes);
}

static void test_he_wide_params__every_wide_set_keeps_its_promises(void **state)
{
    (void)state;
    int sets = 0, safest = 0;
    for (int profile = HE_BFV; profile <= HE_CAPSULE; profile++) {
        for (unsigned b = 2; b <= 32; b++) {
            for (size_t i = 0; i < COUNTS; i++) {
                struct he_params p = choose_in(N, (enum he_profile)profile, b, contributors[i]);
                check_wide(&p);
                sets++;
                safest += p.failure_log2 <= -128;
            }
        }
    }
    printf("%d sets, %d of them at 2^-128 or less\n", sets, safest);
    assert_true(safest > sets * 9 / 10);
}

/* Nothing is refused, and the ring is what he_choice.h says. */
static void test_he_wide_params__the_rule(void **state)
{
    (void)state;
    int wide = 0, sets = 0;
    for (int profile = HE_BFV; profile <= HE_CAPSULE; profile++) {
        enum he_profile pr = (enum he_profile)profile;
        for (unsigned b = 4; b <= 24; b++) {
            for (size_t i = 0; i < COUNTS; i++) {
                struct he_params p, narrow, large = choose_in(N, pr, b, contributors[i]);
                struct cairn_problem why;
                assert_int_equal(he_params_choose(pr, b, contributors[i], &p, &why), 0);
                assert_true(p.failure_log2 <= -64);
                assert_true(p.security_bits >= 128 && p.security_margin_bits >= 3);
                bool small = he_choose_degree(2048, pr, b, contributors[i], &narrow, NULL) == 0;
                bool saves = small && large.bits_per_param <= 0.9 * narrow.bits_per_param;
                bool expected = !small || (saves && pr == HE_CAPSULE);
                assert_string_equal(p.id, expected ? large.id : narrow.id);
                wide += expected;
                sets++;
            }
        }
    }
    printf("N = 4096 for %d of %d\n", wide, sets);
    assert_true(wide > 0 && wide < sets);
}

static void test_he_wide_params__the_usual_sets(void **state)
{
    (void)state;
    struct he_params p;
    assert_int_equal(he_params_choose(HE_CAPSULE, 16, 15, &p, NULL), 0);
    assert_int_equal(p.degree, 2048);
    assert_int_equal(p.lanes, 2);
    assert_int_equal(p.bits, 45);
    assert_true(p.bits_per_param == 22.5);
    assert_int_equal(he_params_choose(HE_CAPSULE, 24, 10000, &p, NULL), 0);
    assert_string_equal(p.id, "capsule-4096-100-b24-n10000-L2-K88-key-L1-K33+36");
    assert_int_equal(he_params_choose(HE_BFV, 24, 10000, &p, NULL), 0);
    assert_string_equal(p.id, "bfv-4096-100-b24-n10000-L2-K89+92");
    assert_int_equal(p.bits_per_param * 2, 181);
}

static void test_he_wide_params__security(void **state)
{
    (void)state;
    struct security_estimate e;
    assert_int_equal(security_modulus_bits(RING_WIDE_Q1_VALUE, RING_WIDE_Q2_VALUE), 100);
    assert_int_equal(security_modulus_bits(RING_WIDE_Q1_VALUE, 0), 50);
    assert_int_equal(security_largest_modulus_bits(N), 106);
    assert_int_equal(security_estimate_of(N, RING_WIDE_Q1_VALUE, &e), 0);
    assert_true(e.public_key == 137.2);
    assert_int_equal(security_estimate_of(N, RING_WIDE_Q3_VALUE, &e), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_he_wide_params__bits_agree_with_the_study),
        cmocka_unit_test(test_he_wide_params__every_wide_set_keeps_its_promises),
        cmocka_unit_test(test_he_wide_params__the_rule),
        cmocka_unit_test(test_he_wide_params__the_usual_sets),
        cmocka_unit_test(test_he_wide_params__security),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
