/* SPDX-License-Identifier: Apache-2.0 */
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
#include "modulus.h"
#include "ring.h"
#include "security.h"

static struct he_params choose(enum he_profile profile, unsigned value_bits, uint32_t n)
{
    struct he_params p;
    struct cairn_problem why;
    assert_int_equal(he_params_choose(profile, value_bits, n, &p, &why), 0);
    return p;
}

static struct he_params choose_narrow(enum he_profile profile, unsigned value_bits, uint32_t n)
{
    struct he_params p;
    struct cairn_problem why;
    assert_int_equal(he_choose_degree(RING_DEGREE, profile, value_bits, n, &p, &why), 0);
    return p;
}

/* Origin: the project's parameter study, columns "2048/50 torus", failure bound 2^-64. Those of
 * "4096/100 torus" are in test_he_wide_params.c. */
static const struct {
    enum he_profile profile;
    unsigned value_bits;
    uint32_t n;
    double bits;
} study[] = {
    {HE_CAPSULE, 8, 4, 10.7},   {HE_CAPSULE, 8, 15, 13.3},  {HE_CAPSULE, 8, 100, 18.0},
    {HE_CAPSULE, 8, 1000, 23.5}, {HE_CAPSULE, 12, 4, 15.0}, {HE_CAPSULE, 12, 15, 18.0},
    {HE_CAPSULE, 12, 100, 22.5}, {HE_CAPSULE, 12, 1000, 32.0}, {HE_CAPSULE, 16, 4, 19.5},
    {HE_CAPSULE, 16, 15, 22.5}, {HE_CAPSULE, 16, 100, 30.0}, {HE_CAPSULE, 16, 1000, 36.0},
    {HE_CAPSULE, 16, 10000, 43.0}, {HE_CAPSULE, 24, 15, 32.0},
    {HE_BFV, 8, 4, 24.7},       {HE_BFV, 8, 15, 31.3},      {HE_BFV, 8, 100, 39.5},
    {HE_BFV, 8, 1000, 61.0},    {HE_BFV, 12, 4, 35.0},      {HE_BFV, 12, 15, 40.0},
    {HE_BFV, 12, 100, 58.0},    {HE_BFV, 12, 1000, 69.0},   {HE_BFV, 16, 4, 44.0},
    {HE_BFV, 16, 15, 56.0},     {HE_BFV, 16, 100, 66.0},    {HE_BFV, 16, 1000, 77.0},
    {HE_BFV, 16, 10000, 90.0},  {HE_BFV, 24, 15, 72.0},
};

static void test_he_params__bits_agree_with_the_study(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof study / sizeof study[0]; i++) {
        struct he_params p = choose_narrow(study[i].profile, study[i].value_bits, study[i].n);
        if (fabs(p.bits_per_param - study[i].bits) > 1.0) {
            fail_msg("%s: %.2f bits, study %.2f", p.id, p.bits_per_param, study[i].bits);
        }
    }
    /* the two sets that the study names in full */
    struct he_params p = choose(HE_BFV, 8, 15);
    assert_int_equal(p.lanes, 3);
    assert_int_equal(p.radix, 3811);
    assert_true(p.bfv.plain_modulus == UINT64_C(0xce31d0001));
    assert_int_equal(p.bfv.bits0, 44);
    assert_int_equal(p.bfv.bits1, 50);
    p = choose(HE_CAPSULE, 8, 15);
    assert_int_equal(p.lanes, 3);
    assert_int_equal(p.bits, 40);
}

static void check_capsule(const struct he_params *p)
{
    double n = p->max_contributors;
    uint64_t span = 1;
    for (unsigned j = 0; j < p->lanes; j++) {
        span *= p->radix;
    }
    assert_int_equal(p->radix, p->max_contributors * ((UINT64_C(1) << p->value_bits) - 2) + 1);
    assert_int_equal(p->step, (UINT64_C(1) << p->bits) / span);
    assert_int_equal(p->bfv.radix, 42 * p->max_contributors + 1);
    /* n/2 + B 2^K / q < D/2, with k for 2^-64 over 2^40 coefficients from the study: 12.06 */
    double b = fmin(21 * n, 12.06 * sqrt(10.5 * n));
    assert_true(n / 2 + b * ldexp(1, (int)p->bits) / (double)p->modulus < (double)p->step / 2);
}

static void check_bfv_set(const struct he_bfv_set *set, uint32_t n)
{
    uint64_t span = 1;
    for (unsigned j = 0; j < set->lanes; j++) {
        span *= set->radix;
    }
    assert_true(set->plain_modulus > span);
    assert_int_equal(set->plain_modulus % 4096, 1);
    assert_true(modulus_is_prime(set->plain_modulus));
    assert_true(set->failure_log2 <= -64);
    double room = (double)RING_Q_VALUE / (2 * (double)set->plain_modulus);
    assert_true(he_noise_bfv(n, set->bits0, set->bits1, 12.06) < room);
}

static void test_he_params__every_choice_keeps_its_promises(void **state)
{
    (void)state;
    static const uint32_t ns[] = {1, 2, 3, 4, 5, 7, 12, 15, 31, 100, 333, 1000, 3000, 10000};
    int chosen = 0;
    for (int profile = HE_NONE; profile <= HE_CAPSULE; profile++) {
        for (unsigned b = 2; b <= 32; b++) {
            for (size_t i = 0; i < sizeof ns / sizeof ns[0]; i++) {
                struct he_params p = choose((enum he_profile)profile, b, ns[i]);
                chosen++;
                assert_true(strlen(p.id) > 0 && strlen(p.id) < HE_ID_SIZE - 1);
                assert_true(p.failure_log2 <= -64);
                if (profile == HE_NONE) {
                    assert_true(p.bits == 32 || p.bits == 64);
                    uint64_t largest = ns[i] * ((UINT64_C(1) << (b - 1)) - 1);
                    assert_true(largest < UINT64_C(1) << (p.bits - 1));
                    continue;
                }
                assert_true(p.security_bits >= 128);
                assert_true(p.security_margin_bits >= 3);
                if (p.degree != RING_DEGREE) {
                    continue; /* test_he_wide_params.c */
                }
                check_bfv_set(&p.bfv, ns[i]);
                if (profile == HE_CAPSULE) {
                    check_capsule(&p);
                }
            }
        }
    }
    printf("%d sets\n", chosen);
    assert_true(chosen > 1000);
}

static void test_he_params__refusals_say_what_would_do(void **state)
{
    (void)state;
    struct he_params p = {.bits = 77};
    struct cairn_problem why = {0};
    assert_int_equal(he_choose_degree(RING_DEGREE, HE_CAPSULE, 24, 10000, &p, &why),
                     CAIRN_ERR_CONFIG);
    assert_non_null(strstr(why.what, "10000 clients at value_bits 24"));
    assert_non_null(strstr(why.hint, "fewer"));
    assert_int_equal(he_choose_degree(RING_DEGREE, HE_BFV, 24, 1000, &p, &why), CAIRN_ERR_CONFIG);
    assert_int_equal(p.bits, 77);
    for (int profile = HE_NONE; profile <= HE_CAPSULE; profile++) {
        enum he_profile pr = (enum he_profile)profile;
        assert_int_equal(he_params_choose(pr, 1, 5, &p, &why), CAIRN_ERR_CONFIG);
        assert_int_equal(he_params_choose(pr, 33, 5, &p, &why), CAIRN_ERR_CONFIG);
        assert_int_equal(he_params_choose(pr, 8, 0, &p, &why), CAIRN_ERR_CONFIG);
        assert_int_equal(he_params_choose(pr, 8, 10001, &p, &why), CAIRN_ERR_CONFIG);
        assert_int_equal(he_params_choose(pr, 8, 0, &p, NULL), CAIRN_ERR_CONFIG);
    }
}

/* b = 16, n = 12: 12 x 32767 = 393204 < 2^19, and a sign */
static void test_he_params__plain_is_no_wider_than_the_sum(void **state)
{
    (void)state;
    struct he_params p;
    struct cairn_problem why = {0};
    assert_int_equal(he_params_plain(16, 12, &p, &why), 0);
    assert_int_equal(p.bits, 20);
    assert_int_equal(p.profile, HE_NONE);
    assert_string_equal(p.id, "none-b16-n12-K20");
    assert_int_not_equal(p.short_id, choose(HE_NONE, 16, 12).short_id);
    assert_int_equal(he_params_plain(2, 1, &p, &why), 0);
    assert_int_equal(p.bits, 2);
    assert_int_equal(he_params_plain(1, 5, &p, &why), CAIRN_ERR_CONFIG);
    assert_int_equal(he_params_plain(33, 5, &p, &why), CAIRN_ERR_CONFIG);
    assert_int_equal(he_params_plain(8, 0, &p, &why), CAIRN_ERR_CONFIG);
    assert_int_equal(he_params_plain(8, 10001, &p, &why), CAIRN_ERR_CONFIG);
}

static void test_he_params__identity(void **state)
{
    (void)state;
    struct he_params a = choose(HE_CAPSULE, 16, 15), b = choose(HE_CAPSULE, 16, 15);
    assert_string_equal(a.id, "capsule-2048-50-b16-n15-L2-K45-key-L2-K24+30");
    assert_string_equal(b.id, a.id);
    assert_int_equal(b.short_id, a.short_id);
    assert_int_not_equal(a.short_id, choose(HE_CAPSULE, 16, 14).short_id);
    assert_string_equal(choose(HE_NONE, 16, 15).id, "none-b16-n15-w32");
    assert_string_equal(choose(HE_NONE, 32, 2).id, "none-b32-n2-w64");
}

static void test_he_params__profile_names(void **state)
{
    (void)state;
    for (int i = HE_NONE; i <= HE_CAPSULE; i++) {
        enum he_profile back;
        assert_int_equal(he_profile_from_name(he_profile_name((enum he_profile)i), &back), 0);
        assert_int_equal(back, i);
    }
    enum he_profile out = HE_BFV;
    assert_int_equal(he_profile_from_name("ckks", &out), -1);
    assert_int_equal(out, HE_BFV);
}

static void test_he_params__security_table(void **state)
{
    (void)state;
    assert_int_equal(security_largest_modulus_bits(2048), 53);
    assert_int_equal(security_largest_modulus_bits(2047), 0);
    assert_int_equal(security_margin_bits(2048, RING_Q_VALUE), 3);
    assert_int_equal(security_margin_bits(2048, UINT64_C(1) << 50), 2);
    assert_true(security_margin_bits(512, 3) < 0);
    struct security_estimate e;
    assert_int_equal(security_estimate_of(2048, RING_Q_VALUE + 2, &e), -1);
    assert_true(choose(HE_CAPSULE, 8, 15).security_bits == 137.1);
}

static void test_he_params__sections(void **state)
{
    (void)state;
    struct he_section s[HE_MAX_SECTIONS];
    struct he_params p = choose(HE_CAPSULE, 16, 15);
    for (size_t n = 1; n < 20000; n += 1023) {
        size_t chunks = (n + 4095) / 4096;
        assert_int_equal(he_sections(&p, n, s), 3);
        assert_int_equal(s[0].bits, 45);
        assert_int_equal(s[0].count, chunks * 2048);
        assert_int_equal(s[1].count, 1024); /* two lanes */
        assert_int_equal(he_payload_bytes(&p, n),
                         chunks * 2048 * 45 / 8 + 1024 * 24 / 8 + 2048 * 30 / 8);
    }
    p = choose(HE_NONE, 16, 15);
    assert_int_equal(he_payload_bytes(&p, 7), 28);
    p = choose(HE_BFV, 8, 15);
    assert_int_equal(he_payload_bytes(&p, 6145), 2 * 2048 * (44 + 50) / 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_he_params__bits_agree_with_the_study),
        cmocka_unit_test(test_he_params__every_choice_keeps_its_promises),
        cmocka_unit_test(test_he_params__refusals_say_what_would_do),
        cmocka_unit_test(test_he_params__plain_is_no_wider_than_the_sum),
        cmocka_unit_test(test_he_params__identity),
        cmocka_unit_test(test_he_params__profile_names),
        cmocka_unit_test(test_he_params__security_table),
        cmocka_unit_test(test_he_params__sections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
