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

/* rdp_privacy_accountant_test.py of dp-accounting (google/differential-privacy; before that, of TensorFlow Privacy),
 * test_compute_epsilon_delta_pure_dp: a divergence of 1.1 at orders 2 to 32, of which 32 is the best. */
static void test_privacy__a_published_conversion(void **state)
{
    (void)state;
    assert_true(fabs(fed_privacy_at_order(1.1, 32, 1e-5) - 1.32783806176) < 1e-10);
    assert_true(fed_privacy_at_order(1.1, 31, 1e-5) > 1.32783806176);
}

/* The same file's test_compute_epsilon_delta_gaussian: noise that comes to epsilon 1. And zCDP_to_approxDP/test.rs of OpenDP
 * (opendp/opendp, rust/src/combinators/measure_cast): noise of 4 sensitivities. */
static void test_privacy__published_epsilons(void **state)
{
    (void)state;
    const double multiplier = 4.530877117;
    assert_true(fabs(fed_privacy_epsilon(0.5 / (multiplier * multiplier), 1e-6) - 1) < 1e-9);
    assert_true(fabs(fed_privacy_epsilon(0.5 / 16, 1e-3) - 0.6880024554878086) < 1e-13);
}

/* dp-accounting 0.6.0: RdpAccountant over GaussianDpEvent(multiplier), composed `rounds` times, with orders that were halved until
 * ten digits stood. */
static void test_privacy__as_another_accountant_has_it(void **state)
{
    (void)state;
    static const struct {
        double multiplier, rounds, delta, epsilon;
    } table[] = {
        {0.5, 3, 1e-9, 27.2986326},    {0.8, 1000, 1e-5, 967.75895}, {1, 1, 1e-5, 4.728386985},
        {1, 10, 1e-5, 19.04725955},    {2, 100, 1e-6, 37.42179957},  {5, 10, 1e-3, 2.040754657},
        {10, 1000, 1e-5, 19.04725955}, {50, 30, 1e-5, 0.4140879875},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const double rho = table[i].rounds / (2 * table[i].multiplier * table[i].multiplier);
        const double epsilon = fed_privacy_epsilon(rho, table[i].delta);
        assert_true(fabs(epsilon / table[i].epsilon - 1) < 1e-9);
    }
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

static void test_privacy__rounds_add_up(void **state)
{
    (void)state;
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

enum { REACH = 120, ALL = 2 * REACH + 1 };

/* into = of a + of b, each on -REACH .. REACH; what lies beyond is lost, below 10^-300 here. */
static void convolve(const double *a, const double *b, double *into)
{
    memset(into, 0, ALL * sizeof *into);
    for (int i = 0; i < ALL; i++) {
        for (int j = 0; j < ALL; j++) {
            const int at = i + j - REACH;
            if (at >= 0 && at < ALL) {
                into[at] += a[i] * b[j];
            }
        }
    }
}

static void discrete_gaussian(double variance, double *out)
{
    double total = 0;
    for (int i = 0; i < ALL; i++) {
        out[i] = exp(-(i - REACH) * (i - REACH) / (2 * variance));
        total += out[i];
    }
    for (int i = 0; i < ALL; i++) {
        out[i] /= total;
    }
}

/* Worked out in full: noise of `clients` discrete Gaussians of variance V against the same, one further. Its divergence is at
 * most alpha rho, and nearly alpha / (2 V clients). At V = 1 it goes beyond that, by 10^-7: there tau is what makes rho a bound. */
static void test_privacy__a_sum_of_discrete_gaussians_loses_no_more_than_rho(void **state)
{
    (void)state;
    double one[ALL], sum[ALL], next[ALL], shifted[ALL];
    bool beyond_one_gaussian = false;
    for (uint64_t variance = 1; variance <= 4; variance *= 4) {
        discrete_gaussian((double)variance, one);
        memcpy(sum, one, sizeof sum);
        for (uint32_t clients = 1; clients <= 5; clients++) {
            const struct fed_privacy p = {
                .noise = true, .norm2 = 1, .variance = variance, .n_params = 1};
            const double rho = fed_privacy_rho(&p, clients);
            const double plain = 0.5 / (double)(variance * clients);
            memset(shifted, 0, sizeof shifted);
            memcpy(shifted + 1, sum, sizeof sum - sizeof *sum);
            for (double alpha = 1.5; alpha < 12; alpha *= 2) {
                const double d = renyi(sum, shifted, REACH, alpha);
                assert_true(d <= alpha * rho * (1 + 1e-9));
                assert_true(d > 0.999 * alpha * plain);
                beyond_one_gaussian = beyond_one_gaussian || d > alpha * plain * (1 + 1e-8);
            }
            convolve(sum, one, next);
            memcpy(sum, next, sizeof sum);
        }
    }
    assert_true(beyond_one_gaussian);
}

/* V = 1, three clients, B = 9, d = 10000: tau = 10 (e^(-pi^2) + e^(-4 pi^2 / 3)) = 10 (5.172319e-5 + 1.927142e-6) = 5.365033e-4;
 * rho = (sqrt(9 / 3) + 100 tau)^2 / 2 = (1.7320508 + 0.0536503)^2 / 2 = 1.5943643. */
static void test_privacy__rho_by_hand(void **state)
{
    (void)state;
    const struct fed_privacy p = {.noise = true, .norm2 = 9, .variance = 1, .n_params = 10000};
    assert_true(fabs(fed_privacy_rho(&p, 3) - 1.5943643) < 1e-6);
    assert_true(fed_privacy_rho(&p, 1) == 4.5); /* of one there is no tau */
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

/* From plan to epsilon as the authors' own code has it: ddgauss_epsilon of google-research/federated (distributed_dp/
 * accounting_utils.py), with beta = e^-18, the plan's step as gamma and its sqrt(V) steps as local_stddev, and orders as above. Two
 * things differ: a squared norm of whole numbers is rounded down, and the conversion is that of dp-accounting 0.6.0. */
static void test_privacy__plans_as_the_papers_own_code_counts_them(void **state)
{
    (void)state;
    static const struct {
        double clip, multiplier, expected, delta;
        unsigned bits;
        uint32_t clients, rounds, contributors;
        size_t n_params;
        double epsilon;
    } table[] = {
        {0.5, 1, 0.7, 1e-8, 20, 100, 1, 60, 1000, 6.630378452},
        {4, 0.3, 1, 1e-5, 16, 12, 30, 12, 101770, 251.8132801},
        {4, 4, 1, 1e-5, 16, 100, 30, 60, 101770, 9.233982134},
        {1, 1, 1, 1e-5, 12, 3, 10, 2, 1000, 24.83081325},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct fed_settings s = settings_of(table[i].clip, table[i].multiplier, table[i].bits);
        struct fed_privacy p;
        s.noise_expected = table[i].expected;
        s.privacy_delta = table[i].delta;
        const int err = fed_privacy_plan(&s, table[i].n_params, table[i].clients, table[i].rounds,
                                         &p, NULL);
        assert_int_equal(err, 0);
        const double rho = table[i].rounds * fed_privacy_rho(&p, table[i].contributors);
        assert_true(fabs(fed_privacy_epsilon(rho, p.delta) / table[i].epsilon - 1) < 1e-9);
    }
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
        cmocka_unit_test(test_privacy__published_epsilons),
        cmocka_unit_test(test_privacy__as_another_accountant_has_it),
        cmocka_unit_test(test_privacy__epsilon_between_the_exact_one_and_the_simple_bound),
        cmocka_unit_test(test_privacy__rounds_add_up),
        cmocka_unit_test(test_privacy__a_sum_of_discrete_gaussians_loses_no_more_than_rho),
        cmocka_unit_test(test_privacy__rho_by_hand),
        cmocka_unit_test(test_privacy__the_plan_by_hand),
        cmocka_unit_test(test_privacy__plans_as_the_papers_own_code_counts_them),
        cmocka_unit_test(test_privacy__who_is_not_expected_is_not_needed),
        cmocka_unit_test(test_privacy__what_does_not_fit_is_refused),
        cmocka_unit_test(test_privacy__clipping),
        cmocka_unit_test(test_privacy__squares_do_not_overflow_unseen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
