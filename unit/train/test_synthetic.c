/* SPDX-License-Identifier: Apache-2.0 */
/* The synthetic trainer: its tensors, and values that do not depend on how they are cut. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "replay.h"
#include "synthetic.h"

enum { N = 5000 };

static struct trainer *must_make(size_t n_params, uint32_t client_number, uint32_t index)
{
    const struct train_synthetic_options options = {
        .n_params = n_params, .client_number = client_number, .client_index = index};
    struct trainer *trainer = NULL;
    assert_int_equal(train_synthetic_new(&options, &trainer, NULL), 0);
    return trainer;
}

static void must_train(struct trainer *t, uint64_t seed, uint32_t round, uint32_t index)
{
    struct train_metrics metrics;
    assert_int_equal(t->train(t, NULL, NULL, seed, round, index, &metrics, NULL), 0);
}

static void whole_update(struct trainer *t, uint64_t seed, uint32_t round, uint32_t index,
                         float *out)
{
    must_train(t, seed, round, index);
    assert_int_equal(t->update(t, round, index, 0, t->shape->n_params, out, NULL), 0);
}

/* Halves of what is left; the sixteenth takes the rest. */
static void test_synthetic__shape(void **state)
{
    (void)state;
    struct model_shape shape;
    for (size_t n = 1; n < 40; n++) {
        assert_int_equal(train_synthetic_shape(n, &shape, NULL), 0);
        assert_int_equal(shape.n_params, n);
        for (size_t t = 0; t < shape.n_tensors; t++) {
            assert_true(shape.tensors[t].count > 0);
        }
        model_shape_release(&shape);
    }
    assert_int_equal(train_synthetic_shape(10000000000, &shape, NULL), 0);
    assert_int_equal(shape.n_tensors, 16);
    assert_true(shape.n_params == 10000000000 && shape.tensors[0].count == 5000000000);
    assert_string_equal(shape.tensors[15].name, "part16");
    model_shape_release(&shape);
    assert_int_equal(train_synthetic_shape(10, &shape, NULL), 0);
    assert_int_equal(shape.n_tensors, 4); /* 5, 3, 1, 1 */
    assert_int_equal(shape.tensors[1].count, 3);
    model_shape_release(&shape);
}

/* The formula of the header, from the words of the stream one by one. */
static void test_synthetic__values(void **state)
{
    (void)state;
    static float update[N];
    struct trainer *t = must_make(N, 3, 2);
    struct replay_rng words;
    double largest[16] = {0};
    whole_update(t, 77, 4, 2, update);
    replay_init(&words, "synthetic", 77, 4, 2);
    for (size_t i = 0; i < N; i++) {
        const struct model_tensor *tensor = model_shape_find(t->shape, i);
        const size_t k = (size_t)(tensor - t->shape->tensors);
        const double expected = (double)(int32_t)replay_u32(&words) / 2147483648.0 * 0.01 /
                                (double)(k + 1);
        assert_true(fabs((double)update[i] - expected) < 1e-9);
        largest[k] = fmax(largest[k], fabs((double)update[i]));
    }
    assert_true(largest[0] > 0.0099 && largest[0] <= 0.01000001);
    assert_true(largest[1] > 0.0049 && largest[1] <= 0.00500001);
    t->free(t);
}

static void test_synthetic__cuts_do_not_matter(void **state)
{
    (void)state;
    static float whole[N], cut[N];
    static const size_t cuts[] = {1, 255, 256, 257, 2499, 2500, 2501, 4999};
    struct trainer *t = must_make(N, 3, 1);
    whole_update(t, 1, 2, 1, whole);
    for (size_t c = 0; c < sizeof cuts / sizeof cuts[0]; c++) {
        memset(cut, 0, sizeof cut);
        for (size_t k = (N - 1) / cuts[c] + 1; k-- > 0;) { /* from the back */
            const size_t first = k * cuts[c];
            const size_t n = first + cuts[c] < N ? cuts[c] : N - first;
            assert_int_equal(t->update(t, 2, 1, first, n, cut + first, NULL), 0);
        }
        assert_memory_equal(whole, cut, sizeof whole);
    }
    assert_int_equal(t->update(t, 2, 1, N, 0, cut, NULL), 0);
    t->free(t);
}

/* Seed, round and client each make another update; the same three the same, in any trainer. */
static void test_synthetic__replays(void **state)
{
    (void)state;
    static float first[N], other[N];
    struct trainer *a = must_make(N, 3, 0), *b = must_make(N, 5, 4);
    whole_update(a, 7, 1, 0, first);
    whole_update(b, 7, 1, 0, other);
    assert_memory_equal(first, other, sizeof first);
    whole_update(b, 8, 1, 0, other);
    assert_memory_not_equal(first, other, sizeof first);
    whole_update(b, 7, 2, 0, other);
    assert_memory_not_equal(first, other, sizeof first);
    whole_update(b, 7, 1, 1, other);
    assert_memory_not_equal(first, other, sizeof first);
    a->free(a);
    b->free(b);
}

static void test_synthetic__what_it_says_of_itself(void **state)
{
    (void)state;
    static float model[N];
    struct trainer *client = must_make(N, 3, 2), *evaluator = must_make(N, 0, 0);
    struct eval_metrics metrics = {.samples = 9};
    assert_true(client->by_run && !client->needs_model);
    assert_int_equal(client->samples, 12);
    assert_int_equal(evaluator->samples, 0);
    memset(model, 1, sizeof model);
    evaluator->initial(evaluator, 5, model);
    for (size_t i = 0; i < N; i++) {
        assert_true(model[i] == 0.0f);
    }
    assert_int_equal(evaluator->evaluate(evaluator, model, &metrics, NULL), 0);
    assert_int_equal(metrics.samples, 0);
    client->free(client);
    evaluator->free(evaluator);
}

static void test_synthetic__takes_its_time(void **state)
{
    (void)state;
    const struct train_synthetic_options options = {
        .n_params = 1, .step_s = 0.05, .client_number = 1};
    struct trainer *t = NULL;
    struct train_metrics metrics;
    assert_int_equal(train_synthetic_new(&options, &t, NULL), 0);
    const uint64_t from = clock_now_ns(&clock_system);
    assert_int_equal(t->train(t, NULL, NULL, 1, 1, 0, &metrics, NULL), 0);
    assert_true(clock_seconds(from, clock_now_ns(&clock_system)) >= 0.05);
    assert_true(metrics.seconds == 0.05);
    t->free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_synthetic__shape),
        cmocka_unit_test(test_synthetic__values),
        cmocka_unit_test(test_synthetic__cuts_do_not_matter),
        cmocka_unit_test(test_synthetic__replays),
        cmocka_unit_test(test_synthetic__what_it_says_of_itself),
        cmocka_unit_test(test_synthetic__takes_its_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
