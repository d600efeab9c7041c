/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each rule against numbers worked by hand from its paper: Hsu et al. (arXiv 1909.06335) for fedavgm, Algorithm 2 of Reddi
 * et al. (ICLR 2021) for the adaptive ones. Fractions of two are exact; square roots that are not whole are told to 1e-6.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "quantiser.h"
#include "replay.h"
#include "strategy.h"

enum { N = 700, MOST = 3 * N };

static struct model_shape one; /* a tensor of one element */

static int make_shape(void **state)
{
    (void)state;
    return model_shape_add(&one, "a", NULL, 0, NULL);
}

static int free_shape(void **state)
{
    (void)state;
    model_shape_release(&one);
    return 0;
}

/* A round whose mean update is `mean`, a multiple of 1/4: sums of steps of 1/2, from 3 samples where most have 6. */
static void take(const struct fed_strategy *s, double mean, float kept[3])
{
    const double step = 0.5;
    const int64_t sum = (int64_t)(mean / (step * 6 / 12));
    double largest = 0;
    fed_strategy_apply(s, &one, &step, 6, 12, 0, 1, &sum, kept, &largest);
    assert_true(largest == fabs(mean));
}

static void test_strategy__fedavg_adds_its_share_of_the_mean(void **state)
{
    (void)state;
    const struct fed_strategy s = {.rule = FED_AVG, .learning_rate = 0.5};
    float kept[3] = {1, 7, 7};
    assert_int_equal(fed_strategy_arrays(&s), 1);
    fed_strategy_begin(&s, 1, kept);
    take(&s, 3, kept);
    assert_true(kept[0] == 2.5F && kept[1] == 7 && kept[2] == 7);
}

/* m: 1, then 0.5 * 1 - 2 = -1.5, then -0.75 + 0 */
static void test_strategy__fedavgm_as_in_hsu_2019(void **state)
{
    (void)state;
    const struct fed_strategy s = {.rule = FED_AVGM, .learning_rate = 0.25, .momentum = 0.5};
    float kept[3] = {10, 5, 7};
    assert_int_equal(fed_strategy_arrays(&s), 2);
    fed_strategy_begin(&s, 1, kept);
    take(&s, 1, kept);
    assert_true(kept[0] == 10.25F && kept[1] == 1);
    take(&s, -2, kept);
    assert_true(kept[0] == 9.875F && kept[1] == -1.5F);
    take(&s, 0, kept);
    assert_true(kept[0] == 9.6875F && kept[1] == -0.75F && kept[2] == 7);
}

/* v begins at 9/16. With D = 1 it is 25/16, whose root is 1.25: a step of 0.5 * 1 / (1.25 + 0.75) = 0.25; with D = 3 it is
 * 169/16, of root 3.25: 0.5 * 3 / 4 = 0.375. */
static void test_strategy__fedadagrad_as_in_reddi_2021(void **state)
{
    (void)state;
    const struct fed_strategy s = {.rule = FED_ADAGRAD, .learning_rate = 0.5, .tau = 0.75};
    float kept[3] = {0, 5, 5};
    assert_int_equal(fed_strategy_arrays(&s), 3);
    fed_strategy_begin(&s, 1, kept);
    assert_true(kept[1] == 0 && kept[2] == 0.5625F);
    take(&s, 1, kept);
    assert_true(kept[0] == 0.25F && kept[1] == 1 && kept[2] == 1.5625F);
    take(&s, 3, kept);
    assert_true(kept[0] == 0.625F && kept[1] == 3 && kept[2] == 10.5625F);
}

/* v begins at 1/4. With D = 3.5 it is 1/8 + 49/8 = 6.25, of root 2.5, and m = 3/4 * 3.5 = 2.625, undivided by 1 - beta1: a step
 * of 2.625 / 3 = 0.875. Then D = 1: v = 3.125 + 0.5 = 3.625, m = 0.65625 + 0.75 = 1.40625, step 1.40625 / 2.4039433. */
static void test_strategy__fedadam_as_in_reddi_2021(void **state)
{
    (void)state;
    const struct fed_strategy s = {
        .rule = FED_ADAM, .learning_rate = 1, .beta1 = 0.25, .beta2 = 0.5, .tau = 0.5};
    float kept[3] = {0};
    fed_strategy_begin(&s, 1, kept);
    take(&s, 3.5, kept);
    assert_true(kept[0] == 0.875F && kept[1] == 2.625F && kept[2] == 6.25F);
    take(&s, 1, kept);
    assert_true(kept[1] == 1.40625F && kept[2] == 3.625F);
    assert_true(fabs(kept[0] - (0.875 + 0.5849763)) < 1e-6);
}

/* v begins at 1/4, below D^2 = 12.25: it grows by half of that, to 6.375, of root 2.5248762, and m = 2.625. Then
 * D = 1, whose square lies below v: it falls by 1/2 to 5.875, of root 2.4238399, and m = 1.40625. Where v = D^2 it stays. */
static void test_strategy__fedyogi_as_in_reddi_2021(void **state)
{
    (void)state;
    const struct fed_strategy s = {
        .rule = FED_YOGI, .learning_rate = 1, .beta1 = 0.25, .beta2 = 0.5, .tau = 0.5};
    float kept[3] = {0};
    fed_strategy_begin(&s, 1, kept);
    take(&s, 3.5, kept);
    assert_true(kept[2] == 6.375F && fabs(kept[0] - 0.8678041) < 1e-6);
    take(&s, 1, kept);
    assert_true(kept[1] == 1.40625F && kept[2] == 5.875F);
    assert_true(fabs(kept[0] - (0.8678041 + 0.4809599)) < 1e-6);
    kept[2] = 4;
    take(&s, -2, kept);
    assert_true(kept[2] == 4);
}

/* Six rounds as Flower 1.42.0 (flwr.server.strategy) goes through them. Its v begins at 0 and was set to tau^2 for this; the factor
 * sqrt(1 - beta2^(t+1)) / (1 - beta1^(t+1)) of its FedAdam, which Algorithm 2 does not have, was divided out of eta. */
static void test_strategy__as_flower_has_them(void **state)
{
    (void)state;
    enum { ROUNDS = 6 };
    static const double means[ROUNDS] = {1.5, -0.25, 0.75, -2, 0, 0.5};
    static const struct {
        struct fed_strategy strategy;
        double x[ROUNDS];
    } runs[] = {
        {{.rule = FED_AVGM, .learning_rate = 0.5, .momentum = 0.9},
         {1.75, 2.3, 3.17, 2.953, 2.7577, 2.83193}},
        {{.rule = FED_YOGI, .learning_rate = 0.03, .beta1 = 0.9, .beta2 = 0.99, .tau = 0.125},
         {1.014051248, 1.024304466, 1.039856206, 1.036722434, 1.033902040, 1.034963111}},
        {{.rule = FED_ADAGRAD, .learning_rate = 0.03, .tau = 0.125},
         {1.027603986, 1.023060788, 1.035388314, 1.013570132, 1.013570132, 1.018932647}},
        {{.rule = FED_ADAM, .learning_rate = 0.03, .beta1 = 0.9, .beta2 = 0.99, .tau = 0.125},
         {1.014068843, 1.024365764, 1.040019663, 1.036868159, 1.034021854, 1.035096085}},
    };
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        float kept[3] = {1};
        fed_strategy_begin(&runs[i].strategy, 1, kept);
        for (unsigned r = 0; r < ROUNDS; r++) {
            take(&runs[i].strategy, means[r], kept);
            assert_true(fabs(kept[0] - runs[i].x[r]) < 1e-6);
        }
    }
}

static void make_two(struct model_shape *shape)
{
    *shape = (struct model_shape){0};
    assert_int_equal(model_shape_add(shape, "first", &(uint64_t){N - 300}, 1, NULL), 0);
    assert_int_equal(model_shape_add(shape, "second", &(uint64_t){300}, 1, NULL), 0);
}

static void fill(int64_t *sums, float *kept)
{
    struct replay_rng rng;
    replay_init(&rng, "test", 3, 0, 0);
    for (size_t i = 0; i < N; i++) {
        sums[i] = (int64_t)replay_below(&rng, 2001) - 1000;
        kept[i] = replay_float(&rng);
    }
}

static void test_strategy__fedavg_at_rate_1_has_the_bits_of_plain_averaging(void **state)
{
    (void)state;
    const struct fed_strategy s = {.rule = FED_AVG, .learning_rate = 1};
    const double steps[2] = {0.0007, 0.00031};
    double largest[2] = {0}, expected_largest[2] = {0};
    static float kept[MOST], expected[MOST];
    int64_t sums[N];
    struct model_shape shape;
    make_two(&shape);
    fill(sums, kept);
    memcpy(expected, kept, sizeof kept);
    quantiser_apply(&shape, steps, 7, 19, 0, N, sums, expected, expected_largest);
    fed_strategy_apply(&s, &shape, steps, 7, 19, 0, N, sums, kept, largest);
    assert_memory_equal(kept, expected, sizeof kept);
    assert_memory_equal(largest, expected_largest, sizeof largest);
    model_shape_release(&shape);
}

static void test_strategy__any_cut_gives_the_same_bits_and_touches_no_other_element(void **state)
{
    (void)state;
    const double steps[2] = {0.0007, 0.00031};
    static float whole[MOST], cut[MOST], start[MOST];
    int64_t sums[N];
    struct model_shape shape;
    make_two(&shape);
    for (unsigned rule = FED_AVG; rule <= FED_ADAGRAD; rule++) {
        const struct fed_strategy s = {.rule = (enum fed_rule)rule,
                                       .learning_rate = 0.03,
                                       .momentum = 0.9,
                                       .beta1 = 0.9,
                                       .beta2 = 0.99,
                                       .tau = 0.001};
        const size_t bytes = fed_strategy_arrays(&s) * N * sizeof(float);
        fill(sums, start);
        fed_strategy_begin(&s, N, start);
        memcpy(whole, start, bytes);
        memcpy(cut, start, bytes);
        fed_strategy_apply(&s, &shape, steps, 7, 19, 0, N, sums, whole, NULL);
        for (size_t first = 0, n = 1; first < N - 100; first += n, n = n * 2 + 1) {
            const size_t here = N - 100 - first < n ? N - 100 - first : n;
            fed_strategy_apply(&s, &shape, steps, 7, 19, first, here, sums + first, cut, NULL);
        }
        for (unsigned a = 0; a < fed_strategy_arrays(&s); a++) { /* the last 100 were not opened */
            assert_memory_equal(cut + a * N, whole + a * N, (N - 100) * sizeof *cut);
            assert_memory_equal(cut + (a + 1) * N - 100, start + (a + 1) * N - 100, 100 * sizeof *cut);
        }
    }
    model_shape_release(&shape);
}

static void test_strategy__a_checkpoint_begins_with_the_model(void **state)
{
    (void)state;
    struct model_shape shape, kept;
    make_two(&shape);
    for (unsigned rule = FED_AVG; rule <= FED_ADAGRAD; rule++) {
        const struct fed_strategy s = {.rule = (enum fed_rule)rule};
        assert_int_equal(fed_strategy_shape(&s, &shape, &kept, NULL), 0);
        assert_int_equal(kept.n_params, fed_strategy_arrays(&s) * N);
        assert_int_equal(kept.n_tensors, 1 + fed_strategy_arrays(&s));
        assert_string_equal(kept.tensors[1].name, "second");
        assert_int_equal(kept.tensors[1].offset, shape.tensors[1].offset);
        model_shape_release(&kept);
    }
    assert_int_equal(model_shape_add(&shape, "strategy.m", NULL, 0, NULL), 0);
    const struct fed_strategy s = {.rule = FED_AVGM};
    struct cairn_problem why = {0};
    assert_int_equal(fed_strategy_shape(&s, &shape, &kept, &why), CAIRN_ERR_DATA);
    assert_non_null(strstr(why.what, "strategy.m"));
    assert_null(kept.tensors);
    model_shape_release(&shape);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strategy__fedavg_adds_its_share_of_the_mean),
        cmocka_unit_test(test_strategy__fedavgm_as_in_hsu_2019),
        cmocka_unit_test(test_strategy__fedadagrad_as_in_reddi_2021),
        cmocka_unit_test(test_strategy__fedadam_as_in_reddi_2021),
        cmocka_unit_test(test_strategy__fedyogi_as_in_reddi_2021),
        cmocka_unit_test(test_strategy__as_flower_has_them),
        cmocka_unit_test(test_strategy__fedavg_at_rate_1_has_the_bits_of_plain_averaging),
        cmocka_unit_test(test_strategy__any_cut_gives_the_same_bits_and_touches_no_other_element),
        cmocka_unit_test(test_strategy__a_checkpoint_begins_with_the_model),
    };
    return cmocka_run_group_tests(tests, make_shape, free_shape);
}
