/* SPDX-License-Identifier: Apache-2.0 */
/* The accountant against published values and closed forms, and what a client's update and its noise need of a lane. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "privacy.h"
#include "quantiser.h"

static struct fed_settings settings_of(double clip, double noise, unsigned bits)
{
    return (struct fed_settings){.value_bits = bits,
                                 .clip_norm = clip,
                                 .noise_multiplier = noise,
                                 .noise_expected = 1,
                                 .privacy_delta = 1e-5};
}

/* TensorFlow Privacy's own test of its accountant has a divergence of 1.1 at order 32 and delta 1e-5 come to 1.32783806. */
static void test_privacy__a_published_conversion(void **state)
{
    (void)state;
    assert_true(fabs(fed_privacy_at_order(1.1, 32, 1e-5) - 1.32783806176) < 1e-10);
}

static double normal(double x)
{
    return erfc(-x / sqrt(2)) / 2;
}

/* The Gaussian mechanism's exact epsilon, for noise of 1 / mu sensitivities: Balle and Wang, "Improving the Gaussian Mechanism
 * for Differential Privacy" (ICML 2018), Theorem 8, solved by halving. */
static double exact_epsilon(double mu, double delta)
{
    double low = 0, high = 1000;
    for (int i = 0; i < 200; i++) {
        const double e = (low + high) / 2;
        const double d = normal(mu / 2 - e / mu) - exp(e) * normal(-mu / 2 - e / mu);
        *(d > delta ? &low : &high) = e;
    }
    return high;
}

/* Never below the truth, never above what Bun and Steinke (TCC 2016, Proposition 1.3) have, and close to the truth. */
static void test_privacy__epsilon_between_the_exact_one_and_the_simple_bound(void **state)
{
    (void)state;
    const double deltas[] = {1e-3, 1e-5, 1e-10};
    for (double mu = 0.01; mu < 8; mu *= 1.3) {
        const double rho = mu * mu / 2;
        for (unsigned d = 0; d < 3; d++) {
            const double epsilon = fed_privacy_epsilon(rho, deltas[d]);
            const double simple = rho + 2 * sqrt(rho * log(1 / deltas[d]));
            const double exact = exact_epsilon(mu, deltas[d]);
            assert_true(epsilon >= exact - 1e-9);
            assert_true(epsilon <= simple);
            assert_true(epsilon < 1.25 * exact + 0.05);
        }
    }
    assert_true(fed_privacy_epsilon(0, 1e-5) == 0);
}

/* Worked with 300 steps of a search in double, by another program: 1 and 10 rounds at a multiplier of 1. */
static void test_privacy__rounds_add_up(void **state)
{
    (void)state;
    assert_true(fabs(fed_privacy_epsilon(0.5, 1e-5) - 4.728386985) < 1e-6);
    assert_true(fabs(fed_privacy_epsilon(10 * 0.5, 1e-5) - 19.047259552) < 1e-6);
    for (double rho = 0.01; rho < 10; rho *= 2) {
        assert_true(fed_privacy_epsilon(2 * rho, 1e-5) > fed_privacy_epsilon(rho, 1e-5));
        assert_true(fed_privacy_epsilon(2 * rho, 1e-5) < 2 * fed_privacy_epsilon(rho, 1e-5));
    }
}

/* D_alpha of two discrete distributions on -reach .. reach. */
static double renyi(const double *p, const double *q, int reach, double alpha)
{
    double sum = 0;
    for (int i = 0; i <= 2 * reach; i++) {
        sum += p[i] > 0 && q[i] > 0 ? exp(alpha * log(p[i]) + (1 - alpha) * log(q[i])) : 0;
    }
    return log(sum) / (alpha - 1);
}

/* Worked out in full: noise of `clients` discrete Gaussians of variance V against the same, one further. Its divergence is at
 * most alpha rho (and, of one alone, alpha / (2 V) to the last digits: Canonne et al., Proposition 5). */
static void test_privacy__a_sum_of_discrete_gaussians_loses_no_more_than_rho(void **state)
{
    (void)state;
    enum { REACH = 120, ALL = 2 * REACH + 1 };
    const uint64_t variance = 4;
    double one[ALL], sum[ALL], next[ALL], shifted[ALL], total = 0;
    for (int i = 0; i < ALL; i++) {
        one[i] = exp(-(i - REACH) * (i - REACH) / (2.0 * (double)variance));
        total += one[i];
    }
    for (int i = 0; i < ALL; i++) {
        one[i] /= total;
    }
    memcpy(sum, one, sizeof sum);
    for (uint32_t clients = 1; clients <= 5; clients++) {
        memset(shifted, 0, sizeof shifted);
        memcpy(shifted + 1, sum, sizeof sum - sizeof *sum);
        const struct fed_privacy p = {.noise = true, .norm2 = 1, .variance = variance, .n_params = 1};
        const double rho = fed_privacy_rho(&p, clients);
        for (double alpha = 1.5; alpha < 12; alpha *= 2) {
            const double d = renyi(sum, shifted, REACH, alpha);
            assert_true(d <= alpha * rho * (1 + 1e-9));
            assert_true(d > 0.999 * alpha / (2.0 * (double)variance * clients));
        }
        memset(next, 0, sizeof next);
        for (int i = 0; i < ALL; i++) {
            for (int j = 0; j < ALL; j++) {
                const int at = i + j - REACH;
                if (at >= 0 && at < ALL) {
                    next[at] += sum[i] * one[j];
                }
            }
        }
        memcpy(sum, next, sizeof sum);
    }
}

/* 12 clients, 101770 parameters, clip 1, z = 1, 10 rounds, 16 bits. By hand: T = sqrt(2 (ln 2^101 + ln(101770 * 12 * 10))) =
 * sqrt(2 (70.01 + 16.32)) = 13.14; s + 1 + 13.14 sqrt((s^2 + 25442 + 6 (s + 159.5)) / 12) <= 32767 up to s = 6834. */
static void test_privacy__the_plan_by_hand(void **state)
{
    (void)state;
    const struct fed_settings s = settings_of(1, 1, 16);
    struct fed_privacy p;
    assert_int_equal(fed_privacy_plan(&s, 101770, 12, 10, &p, NULL), 0);
    const double reach = sqrt(2 * (101 * log(2) + log(101770.0 * 12 * 10)));
    assert_true(p.noise && p.expected == 12 && p.limit == 32767);
    assert_true(p.scale + 1 + reach * sqrt((double)p.variance) <= 32767);
    assert_true(p.scale > 6800 && p.scale < 6860);
    assert_true(p.step == 1 / p.scale);
    assert_true((double)p.norm2 == floor(p.scale * p.scale + 101770 / 4.0 +
                                         6 * (p.scale + sqrt(101770) / 2)));
    assert_true((double)p.variance == ceil((double)p.norm2 / 12));
    assert_true(fed_privacy_multiplier(&p, 12) >= 1 && fed_privacy_multiplier(&p, 12) < 1.0001);
    /* who drops out takes noise away: 3 of 12 leave half of it */
    assert_true(fabs(fed_privacy_multiplier(&p, 3) - 0.5) < 1e-4);
    assert_true(fabs(fed_privacy_rho(&p, 12) - 0.5) < 1e-3);
    assert_true(fabs(fed_privacy_rho(&p, 3) - 2) < 4e-3);
}

static void test_privacy__who_is_not_expected_is_not_needed(void **state)
{
    (void)state;
    struct fed_settings s = settings_of(1, 1, 16);
    struct fed_privacy p;
    s.noise_expected = 0.7;
    assert_int_equal(fed_privacy_plan(&s, 1000, 10, 5, &p, NULL), 0);
    assert_int_equal(p.expected, 7);
    assert_true(fed_privacy_multiplier(&p, 7) >= 1);
    assert_true(fed_privacy_multiplier(&p, 10) > 1.19);
    s.noise_expected = 0.01;
    assert_int_equal(fed_privacy_plan(&s, 1000, 10, 5, &p, NULL), 0);
    assert_int_equal(p.expected, 1);
}

static void test_privacy__what_does_not_fit_is_refused(void **state)
{
    (void)state;
    struct fed_privacy p;
    struct cairn_problem why = {0};
    struct fed_settings s = settings_of(1, 1, 8); /* 127 steps for 100000 roundings */
    assert_int_equal(fed_privacy_plan(&s, 100000, 12, 10, &p, &why), CAIRN_ERR_CONFIG);
    assert_non_null(strstr(why.what, "too coarse"));
    s = settings_of(1, 1000, 16); /* noise a thousand times the update */
    assert_int_equal(fed_privacy_plan(&s, 100000, 2, 10, &p, &why), CAIRN_ERR_CONFIG);
    s = settings_of(1, 1e-6, 16); /* hardly any noise, which is then no Gaussian's */
    assert_int_equal(fed_privacy_plan(&s, 1000, 12, 10, &p, &why), CAIRN_ERR_CONFIG);
    assert_non_null(strstr(why.what, "variance"));
    s = settings_of(1, 0, 2);
    assert_int_equal(fed_privacy_plan(&s, 100000, 12, 10, &p, &why), 0);
    assert_false(p.noise);
}

static void test_privacy__clipping(void **state)
{
    (void)state;
    assert_true(fed_privacy_share(0, 1e30) == 1);
    assert_true(fed_privacy_share(5, 25) == 1);
    assert_true(fed_privacy_share(5, 100) == 0.5);
    const float global[4] = {1, 2, 3, 4}, local[4] = {4, 2, -1, 4};
    float clipped[4], update[4] = {3, 0, -4, 0};
    double norm2 = 0;
    quantiser_norm(global, local, 2, &norm2);
    quantiser_norm(global + 2, local + 2, 2, &norm2);
    assert_true(norm2 == 25);
    memcpy(clipped, local, sizeof local);
    quantiser_shrink(global, clipped, 4, fed_privacy_share(2.5, norm2));
    assert_true(clipped[0] == 2.5F && clipped[1] == 2 && clipped[2] == 1 && clipped[3] == 4);
    norm2 = 0;
    quantiser_norm(NULL, update, 4, &norm2);
    quantiser_shrink(NULL, update, 4, fed_privacy_share(2.5, norm2));
    assert_true(norm2 == 25 && update[0] == 1.5F && update[2] == -2);
}

static void test_privacy__squares_do_not_overflow_unseen(void **state)
{
    (void)state;
    int32_t values[] = {3, -4, INT32_MAX, INT32_MAX, INT32_MAX, INT32_MIN + 1, INT32_MAX};
    uint64_t norm2 = 0;
    fed_privacy_square(values, 2, &norm2);
    assert_int_equal(norm2, 25);
    fed_privacy_square(values, 7, &norm2);
    assert_true(norm2 == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_privacy__a_published_conversion),
        cmocka_unit_test(test_privacy__epsilon_between_the_exact_one_and_the_simple_bound),
        cmocka_unit_test(test_privacy__rounds_add_up),
        cmocka_unit_test(test_privacy__a_sum_of_discrete_gaussians_loses_no_more_than_rho),
        cmocka_unit_test(test_privacy__the_plan_by_hand),
        cmocka_unit_test(test_privacy__who_is_not_expected_is_not_needed),
        cmocka_unit_test(test_privacy__what_does_not_fit_is_refused),
        cmocka_unit_test(test_privacy__clipping),
        cmocka_unit_test(test_privacy__squares_do_not_overflow_unseen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
