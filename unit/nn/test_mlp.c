/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network: a forward pass worked out by hand, gradients against finite differences, a step
 * against plain arithmetic, and the same bits for the same seed.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "mlp.h"
#include "replay.h"

static struct mlp *new_net(const size_t *sizes, size_t n_sizes, size_t batch)
{
    struct cairn_problem why;
    struct mlp *net = NULL;

    assert_int_equal(mlp_new(sizes, n_sizes, batch, &net, &why), 0);
    return net;
}

static void test_mlp__counts_params(void **state)
{
    static const size_t sizes[] = {784, 128, 10};
    struct cairn_problem why;
    size_t n = 0;

    (void)state;
    assert_int_equal(mlp_count_params(sizes, 3, &n, &why), 0);
    assert_int_equal(n, 784 * 128 + 128 + 128 * 10 + 10);
}

static void test_mlp__refuses_sizes(void **state)
{
    static const size_t none[] = {784, 0, 10};
    static const size_t large[] = {2147483647, 2147483647, 2147483647, 2147483647, 2147483647};
    static const size_t too_large[] = {(size_t)1 << 31, 10};
    static const size_t good[] = {2, 2};
    struct cairn_problem why;
    struct mlp *net = NULL;
    size_t n = 5;

    (void)state;
    assert_int_equal(mlp_count_params(none, 3, &n, &why), CAIRN_ERR_DATA);
    assert_int_equal(mlp_count_params(none, 1, &n, &why), CAIRN_ERR_DATA);
    assert_int_equal(mlp_count_params(large, 5, &n, &why), CAIRN_ERR_DATA);
    assert_int_equal(mlp_count_params(too_large, 2, &n, &why), CAIRN_ERR_DATA);
    assert_int_equal(mlp_new(good, 2, 0, &net, &why), CAIRN_ERR_DATA);
    assert_int_equal(n, 5);
    assert_null(net);
}

/*
 * By hand: W1 = [1 2; -1 1], b1 = (0.5, -3), x = (1, 2): (5.5, -2), after ReLU (5.5, 0).
 * W2 = [1 1; 0 3], b2 = (-5, 0): outputs (0.5, 0).
 * Loss for label 1: ln(1 + e^0.5) = 0.974077; for label 0 it is 0.5 less.
 */
static void test_mlp__forward_by_hand(void **state)
{
    static const size_t sizes[] = {2, 2, 2};
    static const float params[] = {1, 2, -1, 1, 0.5f, -3, 1, 1, 0, 3, -5, 0};
    static const float x[] = {1, 2};
    static const uint8_t label = 1, other_label = 0;
    struct mlp *net = new_net(sizes, 3, 1);
    uint64_t correct = 0;

    (void)state;
    memcpy(mlp_params(net), params, sizeof params);
    memcpy(mlp_input(net), x, sizeof x);
    assert_true(fabs(mlp_forward(net, &label, 1, &correct) - 0.974077) < 1e-6);
    assert_int_equal(correct, 0);
    assert_true(fabs(mlp_forward(net, &other_label, 1, &correct) - 0.474077) < 1e-6);
    assert_int_equal(correct, 1);
    mlp_free(net);
}

static void test_mlp__large_outputs_do_not_overflow(void **state)
{
    static const size_t sizes[] = {1, 3};
    static const float params[] = {1e4f, 2e4f, -1e4f, 0, 0, 0};
    static const uint8_t label = 0;
    struct mlp *net = new_net(sizes, 2, 1);

    (void)state;
    memcpy(mlp_params(net), params, sizeof params);
    *mlp_input(net) = 1.0f;
    assert_true(mlp_forward(net, &label, 1, NULL) == 1e4);
    mlp_free(net);
}

/* ReLU must not turn NaN into 0. */
static void test_mlp__divergence_shows_in_the_loss(void **state)
{
    static const size_t sizes[] = {1, 2, 2};
    static const uint8_t label = 0;
    struct mlp *net = new_net(sizes, 3, 1);

    (void)state;
    mlp_initial(sizes, 3, 1, mlp_params(net));
    mlp_params(net)[0] = NAN;
    *mlp_input(net) = 1.0f;
    assert_true(isnan(mlp_forward(net, &label, 1, NULL)));
    mlp_free(net);
}

static void fill_batch(struct mlp *net, struct replay_rng *rng, size_t features, size_t n,
                       size_t classes, uint8_t *labels)
{
    for (size_t i = 0; i < n * features; i++) {
        mlp_input(net)[i] = replay_float(rng);
    }
    for (size_t i = 0; i < n; i++) {
        labels[i] = (uint8_t)replay_below(rng, (uint32_t)classes);
    }
}

/*
 * Central differences. In float32 with h = 2^-9, rounding costs about 2^-23 * loss / h = 1e-4 and
 * curvature about h^2 = 4e-6; but a ReLU that switches within +-h makes a difference meaningless,
 * so a few parameters in a hundred may be off.
 */
static void check_gradients(const size_t *sizes, size_t n_sizes, size_t n, uint64_t seed)
{
    const float h = 0x1p-9f;
    struct mlp *net = new_net(sizes, n_sizes, n + 3); /* a batch that is not full */
    struct replay_rng rng;
    struct cairn_problem why;
    uint8_t labels[16];
    float *gradient;
    size_t n_params, off = 0;

    assert_int_equal(mlp_count_params(sizes, n_sizes, &n_params, &why), 0);
    gradient = malloc(n_params * sizeof *gradient);
    replay_init(&rng, "test", seed, 0, 0);
    mlp_initial(sizes, n_sizes, seed, mlp_params(net));
    fill_batch(net, &rng, sizes[0], n, sizes[n_sizes - 1], labels);
    (void)mlp_forward(net, labels, n, NULL);
    mlp_backward(net, labels, n, 0.0f);
    memcpy(gradient, mlp_velocity(net), n_params * sizeof *gradient);
    for (size_t i = 0; i < n_params; i++) {
        float *p = &mlp_params(net)[i];
        const float kept = *p;
        double above, below, expected;

        *p = kept + h;
        above = mlp_forward(net, labels, n, NULL);
        *p = kept - h;
        below = mlp_forward(net, labels, n, NULL);
        *p = kept;
        expected = (above - below) / (2.0 * (double)h) / (double)n;
        off += fabs(expected - (double)gradient[i]) > 1e-3 * (1.0 + fabs(expected));
    }
    if (off > n_params / 20) {
        fail_msg("%zu of %zu gradients differ", off, n_params);
    }
    free(gradient);
    mlp_free(net);
}

static void test_mlp__gradients_match_finite_differences(void **state)
{
    static const size_t one_layer[] = {6, 4};
    static const size_t two_layers[] = {5, 8, 3};
    static const size_t three_layers[] = {7, 9, 6, 4};

    (void)state;
    print_message("seeds 1..5\n");
    for (uint64_t seed = 1; seed <= 5; seed++) {
        check_gradients(one_layer, 2, 9, seed);
        check_gradients(two_layers, 3, 1, seed);
        check_gradients(two_layers, 3, 12, seed);
        check_gradients(three_layers, 4, 13, seed);
    }
}

/* Two steps on one batch, against v = m v + g; w = w - r v with the gradients asked for apart. */
static void test_mlp__momentum_step(void **state)
{
    static const size_t sizes[] = {3, 4, 2};
    enum { N_PARAMS = 3 * 4 + 4 + 4 * 2 + 2, ROWS = 5 };
    struct mlp *net = new_net(sizes, 3, ROWS);
    struct mlp *judge = new_net(sizes, 3, ROWS);
    float w[N_PARAMS], v[N_PARAMS] = {0};
    uint8_t labels[ROWS];
    struct replay_rng rng;

    (void)state;
    replay_init(&rng, "test", 9, 0, 0);
    mlp_initial(sizes, 3, 9, w);
    memcpy(mlp_params(net), w, sizeof w);
    fill_batch(net, &rng, 3, ROWS, 2, labels);
    memcpy(mlp_input(judge), mlp_input(net), ROWS * 3 * sizeof(float));
    for (int step = 0; step < 2; step++) {
        memcpy(mlp_params(judge), w, sizeof w);
        (void)mlp_forward(judge, labels, ROWS, NULL);
        mlp_backward(judge, labels, ROWS, 0.0f);
        for (size_t i = 0; i < N_PARAMS; i++) {
            v[i] = 0.9f * v[i] + mlp_velocity(judge)[i];
            w[i] -= 0.1f * v[i];
        }
        (void)mlp_train_batch(net, labels, ROWS, 0.1f, 0.9f);
        for (size_t i = 0; i < N_PARAMS; i++) {
            assert_true(fabsf(mlp_params(net)[i] - w[i]) < 1e-6f);
        }
    }
    mlp_reset_momentum(net);
    for (size_t i = 0; i < N_PARAMS; i++) {
        assert_true(mlp_velocity(net)[i] == 0.0f);
    }
    mlp_free(net);
    mlp_free(judge);
}

/* The task is to tell which half of the inputs is brighter. */
static double train_on_halves(struct mlp *net, size_t features, size_t batches, uint64_t seed)
{
    uint8_t labels[32];
    struct replay_rng rng;
    double loss = 0.0;

    replay_init(&rng, "test", seed, 0, 0);
    for (size_t b = 0; b < batches; b++) {
        for (size_t row = 0; row < 32; row++) {
            float *x = mlp_input(net) + row * features;
            float difference = 0.0f;
            for (size_t j = 0; j < features; j++) {
                x[j] = replay_float(&rng);
                difference += j < features / 2 ? x[j] : -x[j];
            }
            labels[row] = difference > 0.0f;
        }
        loss = mlp_train_batch(net, labels, 32, 0.05f, 0.9f) / 32;
    }
    return loss;
}

static void test_mlp__learns(void **state)
{
    static const size_t sizes[] = {20, 16, 2};
    struct mlp *net = new_net(sizes, 3, 32);

    (void)state;
    mlp_initial(sizes, 3, 1, mlp_params(net));
    assert_true(train_on_halves(net, 20, 1, 1) > 0.5);
    assert_true(train_on_halves(net, 20, 500, 1) < 0.2);
    mlp_free(net);
}

static void test_mlp__same_seed_same_bits(void **state)
{
    static const size_t sizes[] = {21, 33, 17, 2};
    struct mlp *a = new_net(sizes, 4, 32);
    void *shift = malloc(1000 + 8); /* let the second network's memory lie elsewhere */
    struct mlp *b = new_net(sizes, 4, 47);
    struct cairn_problem why;
    size_t n;

    (void)state;
    assert_int_equal(mlp_count_params(sizes, 4, &n, &why), 0);
    mlp_initial(sizes, 4, 5, mlp_params(a));
    mlp_initial(sizes, 4, 5, mlp_params(b));
    (void)train_on_halves(a, 21, 40, 3);
    (void)train_on_halves(b, 21, 40, 3);
    assert_memory_equal(mlp_params(a), mlp_params(b), n * sizeof(float));
    assert_true((uintptr_t)mlp_params(a) % 64 == 0 && (uintptr_t)mlp_input(b) % 64 == 0);
    free(shift);
    mlp_free(a);
    mlp_free(b);
}

/*
 * Mean 0 and variance 2 / in, biases 0. Of 40,000 samples the mean deviates by sqrt(2/400/40000),
 * the variance by sqrt(2/40000) = 0.7 % of itself; allowed are four times as much.
 */
static void test_mlp__initial_weights(void **state)
{
    static const size_t sizes[] = {400, 100, 2};
    const size_t n_weights = 400 * 100;
    float *params = malloc((n_weights + 100 + 200 + 2) * sizeof *params);
    double sum = 0.0, squares = 0.0;

    (void)state;
    mlp_initial(sizes, 3, 1, params);
    for (size_t i = 0; i < n_weights; i++) {
        sum += (double)params[i];
        squares += (double)params[i] * (double)params[i];
    }
    assert_true(fabs(sum / (double)n_weights) < 4.0 * sqrt(2.0 / 400) / sqrt((double)n_weights));
    assert_true(fabs(squares / (double)n_weights * 400 / 2 - 1.0) < 0.03);
    for (size_t i = 0; i < 100; i++) {
        assert_true(params[n_weights + i] == 0.0f);
    }
    assert_true(params[n_weights + 100] != 0.0f);
    assert_true(params[n_weights + 100 + 200] == 0.0f && params[n_weights + 100 + 201] == 0.0f);
    free(params);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mlp__counts_params),
        cmocka_unit_test(test_mlp__refuses_sizes),
        cmocka_unit_test(test_mlp__forward_by_hand),
        cmocka_unit_test(test_mlp__large_outputs_do_not_overflow),
        cmocka_unit_test(test_mlp__divergence_shows_in_the_loss),
        cmocka_unit_test(test_mlp__gradients_match_finite_differences),
        cmocka_unit_test(test_mlp__momentum_step),
        cmocka_unit_test(test_mlp__learns),
        cmocka_unit_test(test_mlp__same_seed_same_bits),
        cmocka_unit_test(test_mlp__initial_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
