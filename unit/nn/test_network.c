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

#include "network.h"
#include "replay.h"

static struct network_spec mlp_spec(const size_t *sizes, size_t n_sizes)
{
    return (struct network_spec){.type = NETWORK_MLP, .sizes = sizes, .n_sizes = n_sizes};
}

static struct network *must_make(struct network_spec spec, size_t batch)
{
    struct cairn_problem why;
    struct network *net = NULL;

    if (network_new(&spec, batch, &net, &why)) {
        fail_msg("%s", why.what);
    }
    return net;
}

static struct network *new_net(const size_t *sizes, size_t n_sizes, size_t batch)
{
    return must_make(mlp_spec(sizes, n_sizes), batch);
}

static int count_params(struct network_spec spec, size_t *n)
{
    struct cairn_problem why;
    size_t n_tensors;

    return network_tensors(&spec, NULL, &n_tensors, n, &why);
}

static void mlp_initial(const size_t *sizes, size_t n_sizes, uint64_t seed, float *params)
{
    const struct network_spec spec = mlp_spec(sizes, n_sizes);

    network_initial(&spec, seed, params);
}

static void test_network__counts_params(void **state)
{
    static const size_t sizes[] = {784, 128, 10};
    size_t n = 0;

    (void)state;
    assert_int_equal(count_params(mlp_spec(sizes, 3), &n), 0);
    assert_int_equal(n, 784 * 128 + 128 + 128 * 10 + 10);
}

static void test_network__refuses_sizes(void **state)
{
    static const size_t none[] = {784, 0, 10};
    static const size_t large[] = {2147483647, 2147483647, 2147483647, 2147483647, 2147483647};
    static const size_t too_large[] = {(size_t)1 << 31, 10};
    static const size_t good[] = {2, 2};
    const struct network_spec spec = mlp_spec(good, 2);
    struct cairn_problem why;
    struct network *net = NULL;
    size_t n = 5;

    (void)state;
    assert_int_equal(count_params(mlp_spec(none, 3), &n), CAIRN_ERR_DATA);
    assert_int_equal(count_params(mlp_spec(none, 1), &n), CAIRN_ERR_DATA);
    assert_int_equal(count_params(mlp_spec(large, 5), &n), CAIRN_ERR_DATA);
    assert_int_equal(count_params(mlp_spec(too_large, 2), &n), CAIRN_ERR_DATA);
    assert_int_equal(network_new(&spec, 0, &net, &why), CAIRN_ERR_DATA);
    assert_int_equal(n, 5);
    assert_null(net);
}

/*
 * By hand: W1 = [1 2; -1 1], b1 = (0.5, -3), x = (1, 2): (5.5, -2), after ReLU (5.5, 0).
 * W2 = [1 1; 0 3], b2 = (-5, 0): outputs (0.5, 0).
 * Loss for label 1: ln(1 + e^0.5) = 0.974077; for label 0 it is 0.5 less.
 */
static void test_network__forward_by_hand(void **state)
{
    static const size_t sizes[] = {2, 2, 2};
    static const float params[] = {1, 2, -1, 1, 0.5f, -3, 1, 1, 0, 3, -5, 0};
    static const float x[] = {1, 2};
    static const uint8_t label = 1, other_label = 0;
    struct network *net = new_net(sizes, 3, 1);
    uint64_t correct = 0;

    (void)state;
    memcpy(network_params(net), params, sizeof params);
    memcpy(network_input(net), x, sizeof x);
    assert_true(fabs(network_forward(net, &label, 1, &correct) - 0.974077) < 1e-6);
    assert_int_equal(correct, 0);
    assert_true(fabs(network_forward(net, &other_label, 1, &correct) - 0.474077) < 1e-6);
    assert_int_equal(correct, 1);
    network_free(net);
}

static void test_network__large_outputs_do_not_overflow(void **state)
{
    static const size_t sizes[] = {1, 3};
    static const float params[] = {1e4f, 2e4f, -1e4f, 0, 0, 0};
    static const uint8_t label = 0;
    struct network *net = new_net(sizes, 2, 1);

    (void)state;
    memcpy(network_params(net), params, sizeof params);
    *network_input(net) = 1.0f;
    assert_true(network_forward(net, &label, 1, NULL) == 1e4);
    network_free(net);
}

/* ReLU must not turn NaN into 0. */
static void test_network__divergence_shows_in_the_loss(void **state)
{
    static const size_t sizes[] = {1, 2, 2};
    static const uint8_t label = 0;
    struct network *net = new_net(sizes, 3, 1);

    (void)state;
    mlp_initial(sizes, 3, 1, network_params(net));
    network_params(net)[0] = NAN;
    *network_input(net) = 1.0f;
    assert_true(isnan(network_forward(net, &label, 1, NULL)));
    network_free(net);
}

static void fill_batch(struct network *net, struct replay_rng *rng, size_t features, size_t n,
                       size_t classes, uint8_t *labels)
{
    for (size_t i = 0; i < n * features; i++) {
        network_input(net)[i] = replay_float(rng);
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
    struct network *net = new_net(sizes, n_sizes, n + 3); /* a batch that is not full */
    struct replay_rng rng;
    uint8_t labels[16];
    float *gradient;
    size_t n_params, off = 0;

    assert_int_equal(count_params(mlp_spec(sizes, n_sizes), &n_params), 0);
    gradient = malloc(n_params * sizeof *gradient);
    replay_init(&rng, "test", seed, 0, 0);
    mlp_initial(sizes, n_sizes, seed, network_params(net));
    fill_batch(net, &rng, sizes[0], n, sizes[n_sizes - 1], labels);
    (void)network_forward(net, labels, n, NULL);
    network_backward(net, labels, n, 0.0f);
    memcpy(gradient, network_velocity(net), n_params * sizeof *gradient);
    for (size_t i = 0; i < n_params; i++) {
        float *p = &network_params(net)[i];
        const float kept = *p;
        double above, below, expected;

        *p = kept + h;
        above = network_forward(net, labels, n, NULL);
        *p = kept - h;
        below = network_forward(net, labels, n, NULL);
        *p = kept;
        expected = (above - below) / (2.0 * (double)h) / (double)n;
        off += fabs(expected - (double)gradient[i]) > 1e-3 * (1.0 + fabs(expected));
    }
    if (off > n_params / 20) {
        fail_msg("%zu of %zu gradients differ", off, n_params);
    }
    free(gradient);
    network_free(net);
}

static void test_network__gradients_match_finite_differences(void **state)
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
static void test_network__momentum_step(void **state)
{
    static const size_t sizes[] = {3, 4, 2};
    enum { N_PARAMS = 3 * 4 + 4 + 4 * 2 + 2, ROWS = 5 };
    struct network *net = new_net(sizes, 3, ROWS);
    struct network *judge = new_net(sizes, 3, ROWS);
    float w[N_PARAMS], v[N_PARAMS] = {0};
    uint8_t labels[ROWS];
    struct replay_rng rng;

    (void)state;
    replay_init(&rng, "test", 9, 0, 0);
    mlp_initial(sizes, 3, 9, w);
    memcpy(network_params(net), w, sizeof w);
    fill_batch(net, &rng, 3, ROWS, 2, labels);
    memcpy(network_input(judge), network_input(net), ROWS * 3 * sizeof(float));
    for (int step = 0; step < 2; step++) {
        memcpy(network_params(judge), w, sizeof w);
        (void)network_forward(judge, labels, ROWS, NULL);
        network_backward(judge, labels, ROWS, 0.0f);
        for (size_t i = 0; i < N_PARAMS; i++) {
            v[i] = 0.9f * v[i] + network_velocity(judge)[i];
            w[i] -= 0.1f * v[i];
        }
        (void)network_train_batch(net, labels, ROWS, 0.1f, 0.9f);
        for (size_t i = 0; i < N_PARAMS; i++) {
            assert_true(fabsf(network_params(net)[i] - w[i]) < 1e-6f);
        }
    }
    network_reset_momentum(net);
    for (size_t i = 0; i < N_PARAMS; i++) {
        assert_true(network_velocity(net)[i] == 0.0f);
    }
    network_free(net);
    network_free(judge);
}

/* The task is to tell which half of the inputs is brighter. */
static double train_on_halves(struct network *net, size_t features, size_t batches, uint64_t seed)
{
    uint8_t labels[32];
    struct replay_rng rng;
    double loss = 0.0;

    replay_init(&rng, "test", seed, 0, 0);
    for (size_t b = 0; b < batches; b++) {
        for (size_t row = 0; row < 32; row++) {
            float *x = network_input(net) + row * features;
            float difference = 0.0f;
            for (size_t j = 0; j < features; j++) {
                x[j] = replay_float(&rng);
                difference += j < features / 2 ? x[j] : -x[j];
            }
            labels[row] = difference > 0.0f;
        }
        loss = network_train_batch(net, labels, 32, 0.05f, 0.9f) / 32;
    }
    return loss;
}

static void test_network__learns(void **state)
{
    static const size_t sizes[] = {20, 16, 2};
    struct network *net = new_net(sizes, 3, 32);

    (void)state;
    mlp_initial(sizes, 3, 1, network_params(net));
    assert_true(train_on_halves(net, 20, 1, 1) > 0.5);
    assert_true(train_on_halves(net, 20, 500, 1) < 0.2);
    network_free(net);
}

static void test_network__same_seed_same_bits(void **state)
{
    static const size_t sizes[] = {21, 33, 17, 2};
    struct network *a = new_net(sizes, 4, 32);
    void *shift = malloc(1000 + 8); /* let the second network's memory lie elsewhere */
    struct network *b = new_net(sizes, 4, 47);
    size_t n;

    (void)state;
    assert_int_equal(count_params(mlp_spec(sizes, 4), &n), 0);
    mlp_initial(sizes, 4, 5, network_params(a));
    mlp_initial(sizes, 4, 5, network_params(b));
    (void)train_on_halves(a, 21, 40, 3);
    (void)train_on_halves(b, 21, 40, 3);
    assert_memory_equal(network_params(a), network_params(b), n * sizeof(float));
    assert_true((uintptr_t)network_params(a) % 64 == 0 && (uintptr_t)network_input(b) % 64 == 0);
    free(shift);
    network_free(a);
    network_free(b);
}

/*
 * Mean 0 and variance 2 / in, biases 0. Of 40,000 samples the mean deviates by sqrt(2/400/40000),
 * the variance by sqrt(2/40000) = 0.7 % of itself; allowed are four times as much.
 */
static void test_network__initial_weights(void **state)
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
        cmocka_unit_test(test_network__counts_params),
        cmocka_unit_test(test_network__refuses_sizes),
        cmocka_unit_test(test_network__forward_by_hand),
        cmocka_unit_test(test_network__large_outputs_do_not_overflow),
        cmocka_unit_test(test_network__divergence_shows_in_the_loss),
        cmocka_unit_test(test_network__gradients_match_finite_differences),
        cmocka_unit_test(test_network__momentum_step),
        cmocka_unit_test(test_network__learns),
        cmocka_unit_test(test_network__same_seed_same_bits),
        cmocka_unit_test(test_network__initial_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
