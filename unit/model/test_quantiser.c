/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The quantiser: exact weighted means, independence of cuts, unbiased rounding, nothing lost over
 * rounds, and models that are no models named.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "quantiser.h"
#include "replay.h"

enum { N = 10000 };

static struct model_shape shape; /* "a" [100, 50], "empty" [0], "b" [5000] */
static float global[N], local[N], owed[N];
static int32_t values[N];
static int64_t sums[N];

static int setup(void **state)
{
    static const uint64_t a[] = {100, 50}, none[] = {0}, b[] = {5000};
    struct cairn_problem why;

    (void)state;
    assert_int_equal(model_shape_add(&shape, "a", a, 2, &why), 0);
    assert_int_equal(model_shape_add(&shape, "empty", none, 1, &why), 0);
    assert_int_equal(model_shape_add(&shape, "b", b, 1, &why), 0);
    assert_int_equal(shape.n_params, N);
    memset(global, 0, sizeof global);
    memset(local, 0, sizeof local);
    memset(owed, 0, sizeof owed);
    memset(sums, 0, sizeof sums);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    model_shape_release(&shape);
    return 0;
}

static void fill(struct replay_rng *rng, float *model, float scale)
{
    for (size_t i = 0; i < N; i++) {
        model[i] = scale * (float)replay_normal(rng);
    }
}

/* Another one each time; CAIRN_TEST_SEED in the environment brings one back. */
static uint64_t property_seed(void)
{
    const char *text = getenv("CAIRN_TEST_SEED");
    uint64_t seed = text ? (uint64_t)strtoull(text, NULL, 0) : (uint64_t)getpid();
    print_message("CAIRN_TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

/* A whole round for a run of the model, the arrays those of the whole model. */
static void run_round(const struct quantiser *q, float *still_owed, size_t first, size_t n,
                      int32_t *out, uint64_t *saturated)
{
    quantiser_owe(global + first, local + first, still_owed + first, n);
    quantiser_read(q, still_owed + first, first, n, out, saturated);
    quantiser_settle(q, still_owed + first, first, n);
}

static void test_quantiser__limit(void **state)
{
    (void)state;
    assert_int_equal(quantiser_limit(2), 1);
    assert_int_equal(quantiser_limit(8), 127);
    assert_int_equal(quantiser_limit(16), 32767);
    assert_int_equal(quantiser_limit(24), 8388607);
}

/* The word that the header promises for a parameter, and the formula with it. */
static void test_quantiser__formula(void **state)
{
    static const double steps[] = {0.01, 1.0, 0.02};
    const struct quantiser q = {&shape, steps, 8, 30, 40, 77, 5, 3, false};
    struct replay_rng rng, words;
    uint64_t saturated = 0;
    static float before[N];

    (void)state;
    replay_init(&rng, "test", 1, 0, 0);
    fill(&rng, global, 1.0f);
    fill(&rng, local, 1.0f);
    fill(&rng, owed, 0.01f);
    for (size_t i = 0; i < N; i++) {
        before[i] = (float)((double)owed[i] + ((double)local[i] - (double)global[i]));
    }
    quantiser_owe(global, local, owed, N);
    assert_memory_equal(owed, before, sizeof owed);
    quantiser_read(&q, owed, 0, N, values, &saturated);
    quantiser_settle(&q, owed, 0, N);
    replay_init(&words, "rounding", 77, 5, 3);
    for (size_t i = 0; i < N; i++) {
        double step = i < 5000 ? 0.01 : 0.02;
        double u = replay_u32(&words) / 4294967296.0;
        double rounded = floor((double)before[i] * (0.75 / step) + u);
        double clamped = rounded > 127 ? 127 : rounded < -127 ? -127 : rounded;

        assert_true(values[i] == clamped);
        assert_true(owed[i] == (float)((double)before[i] - clamped * (step / 0.75)));
        saturated -= rounded != clamped;
    }
    assert_int_equal(saturated, 0);
}

static void add_client(const double *steps, float value, uint64_t samples, uint32_t index)
{
    const struct quantiser q = {&shape, steps, 16, samples, 90, 1, 1, index, false};
    uint64_t saturated = 0;

    for (size_t i = 0; i < N; i++) {
        local[i] = value;
    }
    memset(owed, 0, sizeof owed);
    run_round(&q, owed, 0, N, values, &saturated);
    assert_int_equal(saturated, 0);
    for (size_t i = 0; i < N; i++) {
        sums[i] += values[i];
    }
}

/* Samples 1, 9, 90 with models 0, 10, 100: (0 + 90 + 9000) / 100 = 90.9; a plain mean is 36.67. */
static void weighted_mean(double step, double tolerance)
{
    const double steps[] = {step, step, step};
    double largest[3] = {0};
    double mean = 0.0;

    memset(sums, 0, sizeof sums);
    memset(global, 0, sizeof global);
    add_client(steps, 0.0f, 1, 0);
    add_client(steps, 10.0f, 9, 1);
    add_client(steps, 100.0f, 90, 2);
    quantiser_apply(&shape, steps, 90, 100, 0, N, sums, global, largest);
    for (size_t i = 0; i < N; i++) {
        assert_true(fabs((double)global[i] - 90.9) <= tolerance);
        mean += (double)global[i] / N;
    }
    /* rounding has no bias; the float32 models themselves are within 4e-6 */
    assert_true(fabs(mean - 90.9) < 0.02 * tolerance + 1e-5);
    assert_true(fabs(largest[0] - 90.9) <= tolerance && largest[1] == 0.0);
}

static void test_quantiser__mean_is_weighted(void **state)
{
    (void)state;
    /* 10 * 0.1 / step and 100 / step are integers: nothing is rounded but the final float32 */
    weighted_mean(0.0078125, 4e-6);
    /* Otherwise the second and the third client are off by less than a step each, which counts
     * 90/100 of itself. The first one's 0 is exact. */
    weighted_mean(0.00417, 2 * 0.9 * 0.00417);
    /* Within one step for the client that is alone in being rounded: 100 / 0.004 is an integer. */
    weighted_mean(0.004, 0.004);
}

static void test_quantiser__cuts_do_not_matter(void **state)
{
    static const double steps[] = {0.001, 1.0, 0.002};
    static const size_t cuts[] = {1, 7, 16, 255, 256, 257, 4999, 5000, 5001, 9999};
    const struct quantiser q = {&shape, steps, 12, 50, 60, 42, 7, 1, false};
    static float whole_owed[N], cut_owed[N];
    static int32_t cut_values[N];
    uint64_t saturated = 0, cut_saturated = 0;
    struct replay_rng rng;

    (void)state;
    replay_init(&rng, "test", 2, 0, 0);
    fill(&rng, local, 2.0f);
    run_round(&q, whole_owed, 0, N, values, &saturated);
    assert_true(saturated > 0);
    for (size_t c = 0; c < sizeof cuts / sizeof cuts[0]; c++) {
        memset(cut_owed, 0, sizeof cut_owed);
        cut_saturated = 0;
        /* from the back, so that order does not matter either */
        for (size_t k = (N - 1) / cuts[c] + 1; k-- > 0;) {
            size_t first = k * cuts[c];
            size_t n = first + cuts[c] < N ? cuts[c] : N - first;
            run_round(&q, cut_owed, first, n, cut_values + first, &cut_saturated);
        }
        assert_memory_equal(values, cut_values, sizeof values);
        assert_memory_equal(whole_owed, cut_owed, sizeof whole_owed);
        assert_int_equal(saturated, cut_saturated);
    }
}

static void test_quantiser__applies_in_cuts(void **state)
{
    static const double steps[] = {0.003, 1.0, 0.005};
    double whole_largest[3] = {0}, cut_largest[3] = {0};
    static float cut_model[N];
    struct replay_rng rng;

    (void)state;
    replay_init(&rng, "test", 3, 0, 0);
    for (size_t i = 0; i < N; i++) {
        sums[i] = (int64_t)replay_below(&rng, 2001) - 1000;
    }
    quantiser_apply(&shape, steps, 7, 20, 0, N, sums, global, whole_largest);
    for (size_t first = 0; first < N; first += 999) {
        size_t n = first + 999 < N ? 999 : N - first;
        quantiser_apply(&shape, steps, 7, 20, first, n, sums + first, cut_model, cut_largest);
    }
    assert_memory_equal(global, cut_model, sizeof global);
    assert_memory_equal(whole_largest, cut_largest, sizeof whole_largest);
    assert_true(whole_largest[0] <= 0.003 * 1000 * 7 / 20 + 1e-12);
}

static void test_quantiser__nothing_to_do(void **state)
{
    static const double steps[] = {1, 1, 1};
    struct quantiser q = {&shape, steps, 8, 10, 10, 1, 1, 0, false};
    struct model_shape none = {0};
    struct cairn_problem why;
    uint64_t saturated = 0;
    double largest[3] = {0};

    (void)state;
    run_round(&q, owed, 5000, 0, values, &saturated);
    run_round(&q, owed, N, 0, values, &saturated);
    quantiser_apply(&shape, steps, 10, 10, N, 0, sums, global, largest);
    q.shape = &none;
    quantiser_read(&q, NULL, 0, 0, values, &saturated);
    quantiser_settle(&q, NULL, 0, 0);
    quantiser_settle_read(&q, NULL, NULL, 0, 0);
    quantiser_owe(NULL, NULL, NULL, 0);
    quantiser_add(NULL, NULL, 0);
    assert_int_equal(quantiser_check_finite(&none, NULL, &why), 0);
    assert_int_equal(saturated, 0);
}

/* Zeros go up, and what is owed from before stays owed. */
static void test_quantiser__no_samples(void **state)
{
    static const double steps[] = {0.01, 1, 0.01};
    const struct quantiser q = {&shape, steps, 8, 0, 10, 1, 1, 0, false};
    uint64_t saturated = 0;

    (void)state;
    for (size_t i = 0; i < N; i++) {
        owed[i] = 5.5f;
        values[i] = 9;
    }
    quantiser_read(&q, owed, 0, N, values, &saturated);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(values[i], 0);
        values[i] = 9; /* settling must not look at them */
    }
    quantiser_settle(&q, owed, 0, N);
    quantiser_settle_read(&q, values, owed, 0, N);
    for (size_t i = 0; i < N; i++) {
        assert_true(owed[i] == 5.5f);
    }
    assert_int_equal(saturated, 0);
}

/* Any frame can be made again: reading changes nothing and gives the same, in any order. */
static void test_quantiser__reads_again(void **state)
{
    static const double steps[] = {0.001, 1, 0.002};
    const struct quantiser q = {&shape, steps, 8, 3, 4, 9, 8, 7, false};
    static float before[N], settled[N];
    static int32_t again[N];
    uint64_t saturated = 0, once;
    struct replay_rng rng;

    (void)state;
    replay_init(&rng, "test", 4, 0, 0);
    fill(&rng, owed, 0.1f);
    memcpy(before, owed, sizeof owed);
    quantiser_read(&q, owed, 0, N, values, &saturated);
    once = saturated;
    assert_true(once > 0);
    quantiser_read(&q, owed + 4999, 4999, 300, again + 4999, &saturated);
    quantiser_read(&q, owed, 0, 4999, again, &saturated);
    quantiser_read(&q, owed + 5299, 5299, N - 5299, again + 5299, &saturated);
    assert_memory_equal(values, again, sizeof values);
    assert_int_equal(saturated, 2 * once);
    quantiser_read(&q, owed, 0, N, again, NULL);
    assert_memory_equal(values, again, sizeof values);
    assert_memory_equal(owed, before, sizeof owed);

    memcpy(settled, owed, sizeof owed);
    quantiser_settle(&q, settled, 0, N);
    quantiser_settle_read(&q, values, owed, 0, N);
    assert_memory_equal(settled, owed, sizeof owed);
}

/* An update that is told, not subtracted, is owed in the same way. */
static void test_quantiser__adds_updates(void **state)
{
    static float told[N], expected[N];
    struct replay_rng rng;

    (void)state;
    replay_init(&rng, "test", 5, 0, 0);
    fill(&rng, told, 1.0f);
    fill(&rng, owed, 0.1f);
    for (size_t i = 0; i < N; i++) {
        expected[i] = told[i] + owed[i];
    }
    quantiser_add(told, owed, N);
    assert_memory_equal(owed, expected, sizeof owed);
}

/*
 * Property: one array of floats comes to what a naive quantiser in double does that keeps a residual
 * beside the update. Rounding to float moves a value by 2^-24 of itself, so an integer may differ by
 * one where y + u falls that close to a whole number, and what is owed differs by that step.
 * On the border of what is clamped one of the two may count a value that the other does not.
 */
static void same_as_naive(unsigned value_bits, uint64_t seed)
{
    static double naive[N];
    double steps[] = {0, 0, 0};
    size_t differ = 0, border = 0;
    uint64_t saturated = 0, expected = 0;
    const double limit = quantiser_limit(value_bits);
    struct replay_rng rng, words;

    memset(owed, 0, sizeof owed);
    memset(naive, 0, sizeof naive);
    replay_init(&rng, "test", seed, value_bits, 0);
    quantiser_choose_steps(&shape, value_bits, NULL, steps);
    for (uint32_t round = 1; round <= 5; round++) {
        const struct quantiser q = {&shape, steps, value_bits, 40, 50, seed, round, 2, false};

        fill(&rng, global, 1.0f);
        fill(&rng, local, 0.5f);
        run_round(&q, owed, 0, N, values, &saturated);
        replay_init(&words, "rounding", seed, round, 2);
        for (size_t i = 0; i < N; i++) {
            const double unit = steps[0] / 0.8;
            naive[i] += (double)local[i] - (double)global[i];
            double t = naive[i] / unit + replay_u32(&words) / 4294967296.0;
            double rounded = floor(t);
            double clamped = fmax(-limit, fmin(limit, rounded));

            /* 2^15 is rounded at most 10 times by then, each time by 2^-9 */
            border += fabs(t - (limit + 1)) < 0.02 || fabs(t + limit) < 0.02;
            naive[i] -= clamped * unit;
            expected += rounded != clamped;
            if (values[i] != clamped) {
                assert_true(fabs(values[i] - clamped) == 1);
                naive[i] += (clamped - values[i]) * unit; /* the same integer was sent */
                differ++;
            }
            /* |owed| < 32 in five rounds of |update| < 6: 2^-20 a rounding, two of them a round */
            assert_true(fabs((double)owed[i] - naive[i]) < 5 * 2 * 0x1p-20);
        }
    }
    assert_true(saturated > 0 && expected > 0);
    assert_true(saturated <= expected + border && expected <= saturated + border);
    /* a value of 1 lies 2^-24 / unit of the way to the next integer away: 0.05 % of them at 16 bits */
    assert_true(differ < 5 * N / 100);
}

static void test_quantiser__same_as_naive(void **state)
{
    const uint64_t seed = property_seed();

    (void)state;
    same_as_naive(16, seed);
    same_as_naive(12, seed);
    same_as_naive(8, seed);
    same_as_naive(4, seed);
}

/*
 * Property: whatever the updates, what came out over all rounds plus what is still owed is what
 * went in. What saturates in the early rounds is paid back in the later, quiet ones.
 */
static void error_feedback(unsigned value_bits, uint64_t seed)
{
    static double sent[N], meant[N];
    double steps[] = {0, 0, 0};
    uint64_t saturated = 0, late = 0;
    struct replay_rng rng;

    memset(owed, 0, sizeof owed);
    memset(sent, 0, sizeof sent);
    memset(meant, 0, sizeof meant);
    memset(global, 0, sizeof global);
    replay_init(&rng, "test", seed, 0, 0);
    quantiser_choose_steps(&shape, value_bits, NULL, steps);
    for (uint32_t round = 1; round <= 30; round++) {
        const struct quantiser q = {&shape, steps, value_bits, 40, 50, seed, round, 2, false};

        fill(&rng, local, round <= 10 ? 1.0f : 0.0f);
        run_round(&q, owed, 0, N, values, round <= 20 ? &saturated : &late);
        for (size_t i = 0; i < N; i++) {
            meant[i] += (double)local[i];
            sent[i] += values[i] * steps[i < 5000 ? 0 : 2] / 0.8;
            assert_true(fabs(meant[i] - sent[i] - (double)owed[i]) < 1e-4);
        }
    }
    assert_true(saturated > 0);
    assert_int_equal(late, 0);
    for (size_t i = 0; i < N; i++) {
        assert_true(fabs((double)owed[i]) <= steps[0] / 0.8);
    }
}

static void test_quantiser__error_feedback_pays_back(void **state)
{
    (void)state;
    print_message("seeds 11..13\n");
    for (uint64_t seed = 11; seed <= 13; seed++) {
        error_feedback(16, seed);
        error_feedback(8, seed);
        error_feedback(4, seed);
    }
}

static void assert_not_finite(size_t i, float value, const char *words)
{
    struct cairn_problem why = {0};

    global[i] = value;
    assert_int_equal(quantiser_check_finite(&shape, global, &why), CAIRN_ERR_TRAINER);
    if (!strstr(why.what, words)) {
        fail_msg("\"%s\" does not name \"%s\"", why.what, words);
    }
    assert_int_equal(quantiser_check_finite_part(&shape, global + i, i, N - i, &why),
                     CAIRN_ERR_TRAINER);
    if (!strstr(why.what, words)) {
        fail_msg("of a part, \"%s\" does not name \"%s\"", why.what, words);
    }
    assert_int_equal(quantiser_check_finite_part(&shape, global, 0, i, &why), 0);
    global[i] = 0.0f;
}

static void test_quantiser__names_what_is_no_number(void **state)
{
    struct cairn_problem why;

    (void)state;
    assert_int_equal(quantiser_check_finite(&shape, global, &why), 0);
    global[17] = -16777215.0f;
    assert_int_equal(quantiser_check_finite(&shape, global, &why), 0);
    global[17] = 0.0f;
    assert_not_finite(0, NAN, "tensor \"a\", element 0 is nan");
    assert_not_finite(4999, INFINITY, "tensor \"a\", element 4999 is inf");
    assert_not_finite(5000, -INFINITY, "tensor \"b\", element 0 is -inf");
    assert_not_finite(9999, 1e30f, "tensor \"b\", element 4999 is 1e+30");
    assert_not_finite(3, 16777216.0f, "element 3 is 1.67772e+07");
}

static void test_quantiser__chooses_steps(void **state)
{
    const double largest[] = {0.5, 0.0, 1e-310};
    double steps[] = {9, 9, 9};

    (void)state;
    quantiser_choose_steps(&shape, 8, NULL, steps);
    assert_true(steps[0] == 1.0 / 127 && steps[1] == 1.0 / 127 && steps[2] == 1.0 / 127);
    steps[1] = 0.25;
    steps[2] = 0.75;
    quantiser_choose_steps(&shape, 8, largest, steps);
    assert_true(steps[0] == 1.5 / 127);
    assert_true(steps[1] == 0.25); /* all zero: kept */
    assert_true(steps[2] == 0.75); /* too small to divide by: kept */
}

/* Who holds one run and not the model gets the same mean. */
static void test_quantiser__parts(void **state)
{
    static const size_t cuts[] = {0, 1, 4999, 5001, 7777, N};
    static float part[N];
    const double steps[] = {1.0 / 127, 1, 0.5 / 127};
    struct replay_rng rng;
    double largest[3] = {0};

    (void)state;
    replay_init(&rng, "test", 8, 0, 0);
    fill(&rng, local, 1);
    for (size_t i = 0; i < N; i++) {
        sums[i] = (int64_t)replay_below(&rng, 255) - 127;
    }
    memcpy(part, local, sizeof part);
    quantiser_apply(&shape, steps, 4, 3, 0, N, sums, local, largest);
    for (size_t c = 0; c + 1 < sizeof cuts / sizeof cuts[0]; c++) {
        const size_t at = cuts[c];
        quantiser_apply_part(&shape, steps, 4, 3, at, cuts[c + 1] - at, sums + at, part + at, NULL);
    }
    assert_memory_equal(local, part, sizeof part);
}

/* Cut off, no value is longer than what it stands for, and none is more than one step shorter. */
static void test_quantiser__toward_zero(void **state)
{
    (void)state;
    const double steps[] = {0.01, 0.02, 0.03, 0.04};
    const struct quantiser q = {&shape, steps, 8, 30, 40, 77, 5, 3, true};
    const float all[N] = {0.3F, -0.3F, 0.29999F, 1e-9F, -1e-9F, 0, 1.7F, 2, -2, 1e9F};
    int32_t got[N];
    uint64_t saturated = 0;
    quantiser_read(&q, all, 0, N, got, &saturated);
    assert_int_equal(saturated, 3); /* 1.7 is 127.5 steps, 2 are 150 */
    for (size_t i = 0; i < N; i++) {
        const double y =
            all[i] * (30.0 / 40 / steps[model_shape_find(&shape, i) - shape.tensors]);
        assert_int_equal(got[i], (int32_t)fmax(fmin(trunc(y), 127), -127));
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(test_quantiser__##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(limit),
        CASE(formula),
        CASE(mean_is_weighted),
        CASE(cuts_do_not_matter),
        CASE(applies_in_cuts),
        CASE(nothing_to_do),
        CASE(no_samples),
        CASE(reads_again),
        CASE(adds_updates),
        CASE(same_as_naive),
        CASE(error_feedback_pays_back),
        CASE(names_what_is_no_number),
        CASE(chooses_steps),
        CASE(parts),
        CASE(toward_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
