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

static struct network_targets classes_of(const uint8_t *labels)
{
    return (struct network_targets){.classes = labels};
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

/* By hand. MLP 3, 4, 2: 26 parameters twice; a row has 3 inputs, and 4 + 2 outputs with as many deltas.
 * CNN on 10 x 10: 143 parameters; a row has 100 + 2 (128 + 32 + 12 + 3 + 4 + 10); patches 9 x 64 and 18 x 4. */
static void test_network__bytes(void **state)
{
    (void)state;
    const size_t mlp[] = {3, 4, 2}, cnn[] = {100, 2, 3, 4, 10}, huge[] = {1 << 30, 1 << 30, 1 << 30};
    const struct network_spec a = {.type = NETWORK_MLP, .sizes = mlp, .n_sizes = 3};
    const struct network_spec b = {.type = NETWORK_CNN, .sizes = cnn, .n_sizes = 5};
    const struct network_spec c = {.type = NETWORK_MLP, .sizes = huge, .n_sizes = 3};
    assert_int_equal(network_bytes(&a, 5), sizeof(float) * (2 * 26 + 5 * (3 + 2 * 6)));
    assert_int_equal(network_bytes(&b, 7), sizeof(float) * (2 * 143 + 7 * (100 + 2 * 189) + 9 * 64 + 18 * 4));
    assert_true(network_bytes(&a, SIZE_MAX / 4) == SIZE_MAX);
    assert_true(network_bytes(&c, 1) == SIZE_MAX);
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
    assert_true(fabs(network_forward(net, classes_of(&label), 1, &correct) - 0.974077) < 1e-6);
    assert_int_equal(correct, 0);
    assert_true(fabs(network_forward(net, classes_of(&other_label), 1, &correct) - 0.474077) < 1e-6);
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
    assert_true(network_forward(net, classes_of(&label), 1, NULL) == 1e4);
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
    assert_true(isnan(network_forward(net, classes_of(&label), 1, NULL)));
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
 * Central differences. In float32 with h = 2^-11, rounding costs about 2^-23 * loss / h = 4e-4 and
 * curvature about h^2 = 2e-7; but a ReLU that switches within +-h makes a difference meaningless,
 * and so does another pixel that becomes the largest of its window: a few parameters in a hundred
 * may be off.
 */
static void check_gradients(struct network_spec spec, size_t n, uint64_t seed)
{
    const float h = 0x1p-11f;
    struct network *net = must_make(spec, n + 3); /* a batch that is not full */
    struct replay_rng rng;
    uint8_t labels[16];
    float values[16];
    const struct network_targets targets = {labels, values};
    float *gradient;
    size_t n_params, off = 0;

    assert_int_equal(count_params(spec, &n_params), 0);
    gradient = malloc(n_params * sizeof *gradient);
    replay_init(&rng, "test", seed, 0, 0);
    network_initial(&spec, seed, network_params(net));
    fill_batch(net, &rng, spec.sizes[0], n, spec.sizes[spec.n_sizes - 1], labels);
    for (size_t i = 0; i < n; i++) {
        values[i] = replay_float(&rng);
    }
    for (size_t i = 0; i < n_params; i++) {
        network_params(net)[i] += 0.1f * (replay_float(&rng) - 0.5f); /* biases, too, are not 0 */
    }
    (void)network_forward(net, targets, n, NULL);
    network_backward(net, targets, n, 0.0f);
    memcpy(gradient, network_velocity(net), n_params * sizeof *gradient);
    for (size_t i = 0; i < n_params; i++) {
        float *p = &network_params(net)[i];
        const float kept = *p;
        double above, below, expected;

        *p = kept + h;
        above = network_forward(net, targets, n, NULL);
        *p = kept - h;
        below = network_forward(net, targets, n, NULL);
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
        check_gradients(mlp_spec(one_layer, 2), 9, seed);
        check_gradients(mlp_spec(two_layers, 3), 1, seed);
        check_gradients(mlp_spec(two_layers, 3), 12, seed);
        check_gradients(mlp_spec(three_layers, 4), 13, seed);
    }
}

/* Loss and mu/2 |w - anchor|^2 of FedProx's equation 2, at the network's parameters. */
static double proximal_objective(struct network *net, struct network_targets targets, size_t n,
                                 size_t n_params, float mu, const float *anchor)
{
    double squares = 0;
    for (size_t i = 0; i < n_params; i++) {
        const double off = (double)network_params(net)[i] - (double)anchor[i];
        squares += off * off;
    }
    return network_forward(net, targets, n, NULL) / (double)n + (double)mu / 2 * squares;
}

/* At rate 1 and without momentum a step is the gradient; tolerances as above. */
static void test_network__a_proximal_step_is_the_gradient_of_its_objective(void **state)
{
    enum { ROWS = 12, PARAMS = 5 * 8 + 8 + 8 * 3 + 3 };
    static const size_t sizes[] = {5, 8, 3};
    const float h = 0x1p-11F;
    float anchor[PARAMS], start[PARAMS], step[PARAMS];
    uint8_t labels[ROWS];
    struct replay_rng rng;
    size_t off = 0;

    (void)state;
    print_message("seed 6\n");
    replay_init(&rng, "test", 6, 0, 0);
    struct network *net = new_net(sizes, 3, ROWS);
    const struct network_targets targets = classes_of(labels);
    const struct network_step prox = {1.0F, 0.0F, 2.0F, anchor};
    fill_batch(net, &rng, 5, ROWS, 3, labels);
    for (size_t i = 0; i < PARAMS; i++) {
        start[i] = replay_float(&rng) - 0.5F;
        anchor[i] = replay_float(&rng) - 0.5F;
    }
    memcpy(network_params(net), start, sizeof start);
    (void)network_train_batch(net, targets, ROWS, &prox);
    for (size_t i = 0; i < PARAMS; i++) {
        step[i] = start[i] - network_params(net)[i];
    }
    memcpy(network_params(net), start, sizeof start);
    for (size_t i = 0; i < PARAMS; i++) {
        double side[2];
        for (int k = 0; k < 2; k++) {
            network_params(net)[i] = start[i] + (k == 0 ? h : -h);
            side[k] = proximal_objective(net, targets, ROWS, PARAMS, prox.proximal_mu, anchor);
        }
        network_params(net)[i] = start[i];
        const double expected = (side[0] - side[1]) / (2.0 * (double)h);
        off += fabs(expected - (double)step[i]) > 1e-3 * (1.0 + fabs(expected));
    }
    assert_true(off <= PARAMS / 20);
    network_free(net);
}

static void test_network__gradients_of_regressions(void **state)
{
    static const size_t classes[] = {6, 4}, one[] = {6, 1};

    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        check_gradients((struct network_spec){NETWORK_LOGISTIC, classes, 2, 0, 0}, 9, seed);
        check_gradients((struct network_spec){NETWORK_LINEAR, one, 2, 0, 0}, 9, seed);
    }
}

/* 12 x 14: 10 x 12, 5 x 6, 3 x 4, 1 x 2: rows that fill no window of the second pooling. */
static void test_network__gradients_of_a_cnn(void **state)
{
    static const size_t sizes[] = {168, 3, 4, 6, 5}, square[] = {100, 2, 3, 4, 3};

    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        check_gradients((struct network_spec){NETWORK_CNN, sizes, 5, 12, 14}, 7, seed);
        check_gradients((struct network_spec){NETWORK_CNN, square, 5, 0, 0}, 1, seed);
    }
}

/*
 * By hand: image pixel (y, x) of 10 x 10 is y. The first convolution's window is 1 at its last row
 * and first column, bias -1: row y of 8 x 8 is y + 2 - 1. Pooling takes rows 1, 3, 5, 7 of them:
 * 2, 4, 6, 8. The second one's is 1 at its first row and middle column, bias 0.5: rows 2.5, 4.5 of
 * 2 x 2, pooled to 4.5. Hidden: 2 x 4.5 = 9. Outputs: 9 + 0.25 and 0.
 */
static void test_network__cnn_forward_by_hand(void **state)
{
    static const size_t sizes[] = {100, 1, 1, 1, 2};
    static const float params[] = {0, 0, 0, 0, 0, 0, 1, 0, 0, -1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0.5f,
                                   2, 0, 1, 0, 0.25f, 0};
    static const uint8_t labels[] = {1, 0};
    struct network *net = must_make((struct network_spec){NETWORK_CNN, sizes, 5, 0, 0}, 2);
    uint64_t correct = 0;
    double loss;

    (void)state;
    memcpy(network_params(net), params, sizeof params);
    for (size_t i = 0; i < 200; i++) {
        network_input(net)[i] = (float)(i / 10 % 10);
    }
    loss = network_forward(net, classes_of(labels), 2, &correct);
    assert_true(fabs(loss - 9.25 - 2 * log(1 + exp(-9.25))) < 1e-5);
    assert_int_equal(correct, 1);
    network_input(net)[199] = NAN; /* in the last place of one window, which does not hide it */
    assert_true(isnan(network_forward(net, classes_of(labels), 2, NULL)));
    network_free(net);
}

/* w = (1, -2), b = 0.5: outputs 1 - 2 + 0.5 = -0.5 and 3.5; errors -1.5 and 1.5. */
static void test_network__linear_by_hand(void **state)
{
    static const size_t sizes[] = {2, 1};
    static const float params[] = {1, -2, 0.5f}, x[] = {1, 1, 5, 1}, values[] = {1, 2};
    const struct network_targets targets = {.values = values};
    struct network *net = must_make((struct network_spec){NETWORK_LINEAR, sizes, 2, 0, 0}, 2);

    (void)state;
    memcpy(network_params(net), params, sizeof params);
    memcpy(network_input(net), x, sizeof x);
    assert_true(network_forward(net, targets, 2, NULL) == 4.5);
    network_backward(net, targets, 2, 0.0f);
    /* mean of 2 error x: (-1.5 + 1.5 * 5), (-1.5 + 1.5), 0 */
    assert_true(network_velocity(net)[0] == 6.0f);
    assert_true(network_velocity(net)[1] == 0.0f);
    assert_true(network_velocity(net)[2] == 0.0f);
    network_free(net);
}

/*
 * One weight, one row: x = 1, value 0, w = 2, b = 0, anchor (1, 0), mu = 0.5, rate 0.1,
 * momentum 0.5. Step 1: gradient 2 * 2 = 4 for both; velocity 4 + 0.5 (2 - 1) = 4.5 and 4 + 0 = 4;
 * w = 1.55, b = -0.4. Step 2: error 1.15, gradient 2.3; velocity 2.25 + 2.3 + 0.275 = 4.825 and
 * 2 + 2.3 - 0.2 = 4.1; w = 1.0675, b = -0.81.
 */
static void test_network__proximal_by_hand(void **state)
{
    static const size_t sizes[] = {1, 1};
    static const float anchor[] = {1, 0}, value = 0;
    const struct network_targets targets = {.values = &value};
    const struct network_step step = {0.1f, 0.5f, 0.5f, anchor};
    struct network *net = must_make((struct network_spec){NETWORK_LINEAR, sizes, 2, 0, 0}, 1);

    (void)state;
    network_params(net)[0] = 2.0f;
    *network_input(net) = 1.0f;
    assert_true(network_train_batch(net, targets, 1, &step) == 4.0);
    assert_true(fabsf(network_params(net)[0] - 1.55f) < 1e-6f);
    assert_true(fabsf(network_params(net)[1] + 0.4f) < 1e-6f);
    assert_true(fabs(network_train_batch(net, targets, 1, &step) - 1.15 * 1.15) < 1e-6);
    assert_true(fabsf(network_params(net)[0] - 1.0675f) < 1e-6f);
    assert_true(fabsf(network_params(net)[1] + 0.81f) < 1e-6f);
    network_free(net);
}

static void assert_tensor(const struct network_tensor *t, const char *name, unsigned n_dims,
                          const size_t *dims)
{
    assert_string_equal(t->name, name);
    assert_int_equal(t->n_dims, n_dims);
    assert_memory_equal(t->dims, dims, n_dims * sizeof *dims);
}

/* 28: 26, 13, 11, 5. */
static void test_network__tensors(void **state)
{
    static const size_t cnn[] = {784, 16, 32, 128, 10}, line[] = {13, 1};
    static const size_t dims[][4] = {{16, 1, 3, 3}, {16}, {32, 16, 3, 3}, {32}, {128, 800}, {128},
                                     {10, 128}, {10}, {1, 13}, {1}};
    struct network_tensor t[NETWORK_MAX_TENSORS];
    struct network_spec spec = {NETWORK_CNN, cnn, 5, 0, 0};
    struct cairn_problem why;
    size_t n, n_params;

    (void)state;
    assert_int_equal(network_tensors(&spec, t, &n, &n_params, &why), 0);
    assert_int_equal(n, 8);
    assert_int_equal(n_params, 160 + 4640 + 800 * 128 + 128 + 1290);
    assert_tensor(&t[0], "conv1.weight", 4, dims[0]);
    assert_tensor(&t[1], "conv1.bias", 1, dims[1]);
    assert_tensor(&t[2], "conv2.weight", 4, dims[2]);
    assert_tensor(&t[3], "conv2.bias", 1, dims[3]);
    assert_tensor(&t[4], "fc1.weight", 2, dims[4]);
    assert_tensor(&t[7], "fc2.bias", 1, dims[7]);
    spec = (struct network_spec){NETWORK_LINEAR, line, 2, 0, 0};
    assert_int_equal(network_tensors(&spec, t, &n, &n_params, &why), 0);
    assert_int_equal(n, 2);
    assert_tensor(&t[0], "linear.weight", 2, dims[8]);
    assert_tensor(&t[1], "linear.bias", 1, dims[9]);
}

static void assert_refused(struct network_spec spec, const char *words)
{
    struct cairn_problem why = {0};
    size_t n_tensors, n_params;

    assert_int_equal(network_tensors(&spec, NULL, &n_tensors, &n_params, &why), CAIRN_ERR_DATA);
    if (!strstr(why.what, words)) {
        fail_msg("\"%s\" does not name \"%s\"", why.what, words);
    }
}

static void test_network__refuses_what_a_type_cannot_be(void **state)
{
    static const size_t two[] = {4, 2, 2}, small[] = {81, 1, 1, 1, 2}, odd[] = {101, 1, 1, 1, 2};
    static const size_t many[] = {784, 400000, 1, 1, 2};

    (void)state;
    assert_refused((struct network_spec){NETWORK_LOGISTIC, two, 3, 0, 0}, "has 2: features");
    assert_refused((struct network_spec){NETWORK_LINEAR, two, 2, 0, 0}, "one output, not 2");
    assert_refused((struct network_spec){NETWORK_CNN, two, 3, 0, 0}, "3 layer sizes; a CNN has 5");
    assert_refused((struct network_spec){NETWORK_CNN, small, 5, 0, 0}, "9 x 9 are too small");
    assert_refused((struct network_spec){NETWORK_CNN, odd, 5, 0, 0}, "101 features are no square");
    assert_refused((struct network_spec){NETWORK_CNN, many, 5, 0, 0}, "400000 channels");
}

/* Two steps on one batch, against v = m v + g; w = w - r v with the gradients asked for apart. */
static void check_momentum(struct network_spec spec)
{
    enum { ROWS = 5 };
    const struct network_step step = {.learning_rate = 0.1f, .momentum = 0.9f};
    struct network *net = must_make(spec, ROWS), *judge = must_make(spec, ROWS);
    const size_t features = spec.sizes[0];
    float *w, *v;
    uint8_t labels[ROWS];
    struct replay_rng rng;
    size_t n;

    assert_int_equal(count_params(spec, &n), 0);
    w = calloc(n, sizeof *w);
    v = calloc(n, sizeof *v);
    replay_init(&rng, "test", 9, 0, 0);
    network_initial(&spec, 9, w);
    memcpy(network_params(net), w, n * sizeof *w);
    fill_batch(net, &rng, features, ROWS, 2, labels);
    memcpy(network_input(judge), network_input(net), ROWS * features * sizeof(float));
    for (int i = 0; i < 2; i++) {
        memcpy(network_params(judge), w, n * sizeof *w);
        (void)network_forward(judge, classes_of(labels), ROWS, NULL);
        network_backward(judge, classes_of(labels), ROWS, 0.0f);
        for (size_t p = 0; p < n; p++) {
            v[p] = 0.9f * v[p] + network_velocity(judge)[p];
            w[p] -= 0.1f * v[p];
        }
        (void)network_train_batch(net, classes_of(labels), ROWS, &step);
        for (size_t p = 0; p < n; p++) {
            assert_true(fabsf(network_params(net)[p] - w[p]) < 1e-6f);
        }
    }
    network_reset_momentum(net);
    for (size_t p = 0; p < n; p++) {
        assert_true(network_velocity(net)[p] == 0.0f);
    }
    free(w);
    free(v);
    network_free(net);
    network_free(judge);
}

static void test_network__momentum_step(void **state)
{
    static const size_t mlp[] = {3, 4, 2}, cnn[] = {100, 2, 3, 4, 2};

    (void)state;
    check_momentum(mlp_spec(mlp, 3));
    check_momentum((struct network_spec){NETWORK_CNN, cnn, 5, 0, 0});
}

/* The task is to tell which half of the inputs is brighter. */
static double train_on_halves(struct network *net, size_t features, size_t batches, uint64_t seed)
{
    uint8_t labels[32];
    struct replay_rng rng;
    const struct network_step step = {.learning_rate = 0.05f, .momentum = 0.9f};
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
        loss = network_train_batch(net, classes_of(labels), 32, &step) / 32;
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
        cmocka_unit_test(test_network__bytes),
        cmocka_unit_test(test_network__refuses_sizes),
        cmocka_unit_test(test_network__forward_by_hand),
        cmocka_unit_test(test_network__large_outputs_do_not_overflow),
        cmocka_unit_test(test_network__divergence_shows_in_the_loss),
        cmocka_unit_test(test_network__gradients_match_finite_differences),
        cmocka_unit_test(test_network__a_proximal_step_is_the_gradient_of_its_objective),
        cmocka_unit_test(test_network__gradients_of_regressions),
        cmocka_unit_test(test_network__gradients_of_a_cnn),
        cmocka_unit_test(test_network__cnn_forward_by_hand),
        cmocka_unit_test(test_network__linear_by_hand),
        cmocka_unit_test(test_network__proximal_by_hand),
        cmocka_unit_test(test_network__tensors),
        cmocka_unit_test(test_network__refuses_what_a_type_cannot_be),
        cmocka_unit_test(test_network__momentum_step),
        cmocka_unit_test(test_network__learns),
        cmocka_unit_test(test_network__same_seed_same_bits),
        cmocka_unit_test(test_network__initial_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
