/* SPDX-License-Identifier: Apache-2.0 */
/* A trainer of a part of a model: what is not shared is kept from round to round, and goes nowhere. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "safetensors.h"
#include "shared_trainer.h"
#include "synthetic.h"

enum { FLOATS = 7 }; /* body 0..3, own 4..5, tail 6 */

/* Adds 1 to the body, 10 to what is its own, 100 to the tail and 1 to each integer. */
struct adder {
    struct trainer base;
    struct model_shape shape;
    uint64_t words[2];
    bool poison, fail;
    float seen[FLOATS]; /* the model that it was given last */
    float left[FLOATS]; /* what a keeper has made of it */
    int begun;          /* models that a keeper was given */
    int freed;
};

static void adder_initial(struct trainer *self, uint64_t seed, float *model)
{
    struct adder *a = self->state;
    for (size_t i = 0; i < FLOATS; i++) {
        model[i] = (float)seed + 0.25F * (float)i;
    }
    a->words[0] = 7;
    a->words[1] = 9;
}

static int adder_train(struct trainer *self, const float *global, float *local, uint64_t seed,
                       uint32_t round, uint32_t index, struct train_metrics *metrics,
                       struct cairn_problem *why)
{
    (void)seed;
    (void)round;
    (void)index;
    struct adder *a = self->state;
    memcpy(a->seen, global, sizeof a->seen);
    for (size_t i = 0; i < FLOATS; i++) {
        local[i] = global[i] + (i < 4 ? 1.0F : i < 6 ? 10.0F : 100.0F);
    }
    if (a->poison) {
        local[5] = NAN; /* not shared: nobody else would look at it */
    }
    a->words[0]++;
    a->words[1]++;
    *metrics = (struct train_metrics){0};
    return a->fail ? problem_set(why, CAIRN_ERR_TRAINER, NULL, "no") : 0;
}

static int adder_evaluate(struct trainer *self, const float *model, struct eval_metrics *metrics,
                          struct cairn_problem *why)
{
    (void)why;
    struct adder *a = self->state;
    memcpy(a->seen, model, sizeof a->seen);
    *metrics = (struct eval_metrics){.samples = 1};
    return 0;
}

static void adder_free(struct trainer *self)
{
    struct adder *a = self->state;
    a->freed++;
    model_shape_release(&a->shape);
}

static void make_adder(struct adder *a)
{
    *a = (struct adder){0};
    assert_int_equal(model_shape_add_typed(&a->shape, "body", MODEL_F16, &(uint64_t){4}, 1, NULL), 0);
    assert_int_equal(model_shape_add_typed(&a->shape, "steps", MODEL_I64, NULL, 0, NULL), 0);
    assert_int_equal(model_shape_add(&a->shape, "own.w", &(uint64_t){2}, 1, NULL), 0);
    assert_int_equal(model_shape_add_typed(&a->shape, "own.n", MODEL_U8, NULL, 0, NULL), 0);
    assert_int_equal(model_shape_add(&a->shape, "tail", NULL, 0, NULL), 0);
    a->words[0] = UINT64_C(1) << 63;
    a->base = (struct trainer){.shape = &a->shape, .samples = 5, .needs_model = true, .words = a->words,
                               .n_words = 2, .state = a, .initial = adder_initial,
                               .train = adder_train, .evaluate = adder_evaluate, .free = adder_free};
}

static struct trainer *share_some(struct trainer *inner, bool client, const char *exclude,
                                  const char *only)
{
    struct trainer *out = NULL;
    struct cairn_problem why = {0};
    struct model_share_rules rules = {.exclude = json_array(), .only = json_array()};
    if (exclude != NULL) {
        json_array_append_new(rules.exclude, json_string(exclude));
    }
    if (only != NULL) {
        json_array_append_new(rules.only, json_string(only));
    }
    const struct train_shared_options options = {.rules = &rules, .client = client, .seed = 3};
    assert_int_equal(train_shared_new(inner, &options, &out, &why), 0);
    json_decref(rules.exclude);
    json_decref(rules.only);
    return out;
}

static struct trainer *share(struct trainer *inner, bool client, const char *exclude)
{
    return share_some(inner, client, exclude, NULL);
}

static int train(struct trainer *t, const float *global, float *local)
{
    struct train_metrics metrics;
    struct cairn_problem why = {0};
    return t->train(t, global, local, 3, 1, 0, &metrics, &why);
}

static void test_shared_trainer__keeps_its_own(void **state)
{
    struct adder a;
    float local[5] = {0};
    const float global[5] = {1, 2, 3, 4, 5};
    (void)state;
    make_adder(&a);
    struct trainer *t = share(&a.base, true, "own.*");
    assert_int_equal(t->shape->n_params, 5);
    assert_int_equal(t->n_words, 1);
    assert_int_equal(t->samples, 5);
    for (int round = 1; round <= 3; round++) {
        t->words[0] = 50; /* as it came with the model */
        assert_int_equal(train(t, global, local), 0);
        assert_int_equal(t->words[0], 51);
        assert_int_equal(a.words[1], 9 + round); /* its own counter */
        const float trained[] = {2, 3, 4, 5, 105};
        assert_memory_equal(local, trained, sizeof trained);
        assert_true(a.seen[4] == 4.0F + 10.0F * (float)(round - 1)); /* initially seed + 0.25 * 4 */
        assert_true(a.seen[5] == 4.25F + 10.0F * (float)(round - 1));
        assert_true(a.seen[6] == 5.0F);
    }
    t->free(t);
    assert_int_equal(a.freed, 1);
}

/* What is encrypted comes first for whoever averages, and where it belongs for whoever trains. */
static void test_shared_trainer__what_goes_in_plain_comes_last(void **state)
{
    struct adder a;
    float local[5] = {0};
    const float global[5] = {5, 1, 2, 3, 4}, trained[] = {105, 2, 3, 4, 5};
    (void)state;
    make_adder(&a);
    struct trainer *t = share_some(&a.base, true, "own.*", "tail");
    assert_int_equal(t->n_plain, 4);
    assert_string_equal(t->shape->tensors[0].name, "tail");
    for (int round = 0; round < 2; round++) {
        assert_int_equal(train(t, global, local), 0);
        assert_memory_equal(local, trained, sizeof trained);
        const float seen[] = {1, 2, 3, 4, 4.0F + 10.0F * (float)round, 4.25F + 10.0F * (float)round, 5};
        assert_memory_equal(a.seen, seen, sizeof seen);
    }
    t->free(t);
    make_adder(&a);
    t = share_some(&a.base, true, NULL, "tail"); /* nothing at home, but another order */
    const float all[FLOATS] = {5, 1, 2, 3, 4, 6, 7}, result[FLOATS] = {105, 2, 3, 4, 5, 16, 17};
    float out[FLOATS];
    assert_int_equal(t->n_plain, 6);
    assert_int_equal(train(t, all, out), 0);
    assert_memory_equal(out, result, sizeof result);
    t->free(t);
}

static void test_shared_trainer__nothing_of_a_bad_training_stays(void **state)
{
    struct adder a;
    float local[5] = {0};
    const float global[5] = {1, 2, 3, 4, 5};
    (void)state;
    make_adder(&a);
    struct trainer *t = share(&a.base, true, "own.*");
    a.poison = true;
    assert_int_equal(train(t, global, local), CAIRN_ERR_TRAINER);
    a.poison = false;
    a.fail = true;
    assert_int_equal(train(t, global, local), CAIRN_ERR_TRAINER);
    a.fail = false;
    assert_int_equal(train(t, global, local), 0);
    assert_true(a.seen[4] == 4.0F && a.seen[5] == 4.25F);
    t->free(t);
}

static void test_shared_trainer__not_in_the_way(void **state)
{
    struct trainer *inner, *t;
    struct cairn_problem why;
    (void)state;
    const struct train_synthetic_options options = {.n_params = 5000, .client_number = 1};
    assert_int_equal(train_synthetic_new(&options, &inner, &why), 0);
    t = share(inner, true, NULL);
    assert_ptr_equal(t, inner);
    t->free(t);
}

/* Of a trainer that tells its update run by run: the runs of what is shared. */
static void test_shared_trainer__by_run(void **state)
{
    struct trainer *inner, *t;
    struct cairn_problem why;
    struct train_metrics metrics;
    float whole[5000], part[5000];
    (void)state;
    const struct train_synthetic_options options = {.n_params = 5000, .client_number = 1};
    assert_int_equal(train_synthetic_new(&options, &inner, &why), 0);
    const struct model_tensor second = inner->shape->tensors[1];
    t = share(inner, true, second.name);
    assert_int_equal(t->shape->n_params, 5000 - second.count);
    assert_int_equal(t->train(t, NULL, NULL, 3, 1, 0, &metrics, &why), 0);
    assert_int_equal(inner->update(inner, 1, 0, 0, 5000, whole, &why), 0);
    assert_int_equal(t->update(t, 1, 0, 0, 5000 - second.count, part, &why), 0);
    assert_memory_equal(part, whole, second.offset * sizeof *part);
    assert_memory_equal(part + second.offset, whole + second.offset + second.count,
                        (5000 - second.offset - second.count) * sizeof *part);
    assert_int_equal(t->update(t, 1, 0, second.offset - 1, 2, part, &why), 0); /* across what is left out */
    assert_true(part[0] == whole[second.offset - 1]);
    assert_true(part[1] == whole[second.offset + second.count]);
    t->free(t);
}

/* Keeps the model itself. */
static void keeper_take(struct trainer *self, size_t first, size_t n, const uint8_t *weights)
{
    struct adder *a = self->state;
    if (n == 0) {
        memset(a->seen, 0, sizeof a->seen); /* another model */
        a->begun++;
    }
    memcpy(a->seen + first, weights, n * sizeof(float));
}

/* As adder_train, from the model that it has taken; what comes of it is in `left`. */
static int keeper_train(struct trainer *self, const float *global, float *local, uint64_t seed,
                        uint32_t round, uint32_t index, struct train_metrics *metrics,
                        struct cairn_problem *why)
{
    struct adder *a = self->state;
    float before[FLOATS];
    (void)local;
    assert_null(global);
    memcpy(before, a->seen, sizeof before);
    return adder_train(self, before, a->left, seed, round, index, metrics, why);
}

static void make_keeper(struct adder *a)
{
    make_adder(a);
    a->base.by_run = true;
    a->base.take_model = keeper_take;
    a->base.train = keeper_train;
}

/* In two pieces, the second of which begins behind what is not shared. */
static void give(struct trainer *t, const float weights[5])
{
    t->take_model(t, 0, 0, (const uint8_t *)weights);
    t->take_model(t, 0, 3, (const uint8_t *)weights);
    t->take_model(t, 3, 2, (const uint8_t *)(weights + 3));
}

static void test_shared_trainer__one_that_keeps_the_model(void **state)
{
    static const float weights[FLOATS] = {1, 2, 3};
    struct adder a;
    (void)state;
    make_adder(&a);
    a.base.by_run = true;
    a.base.take_model = keeper_take;
    struct trainer *t = share(&a.base, true, NULL); /* whose types are not float32, and all is shared */
    t->deadline_ns = 77;
    t->take_model(t, 0, 2, (const uint8_t *)weights);
    t->take_model(t, 2, 1, (const uint8_t *)(weights + 2));
    assert_memory_equal(a.seen, weights, 3 * sizeof *weights);
    assert_int_equal(train(t, weights, (float[FLOATS]){0}), 0);
    assert_int_equal(a.base.deadline_ns, 77);
    t->free(t);
}

/* It is told what stays with it, and given the rest, each time with the time that there is. */
static void test_shared_trainer__one_that_keeps_the_model_and_a_part_at_home(void **state)
{
    static const float weights[5] = {1, 2, 3, 4, 0.1F};
    struct adder a;
    (void)state;
    make_keeper(&a);
    struct trainer *t = share(&a.base, true, "own.*");
    assert_non_null(a.base.share);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(model_share_has(a.base.share, &a.shape.tensors[i]), i != 1);
    }
    assert_true(model_share_has(a.base.share, &a.shape.carried[0]));
    assert_false(model_share_has(a.base.share, &a.shape.carried[1]));
    for (uint64_t round = 1; round <= 2; round++) {
        t->deadline_ns = 10 * round;
        t->words[0] = 50 + round;
        give(t, weights);
        assert_int_equal(a.base.deadline_ns, 10 * round); /* before it trains, for what it begins with */
        assert_int_equal(a.begun, round);
        assert_memory_equal(a.seen, weights, 4 * sizeof *weights);
        assert_true(a.seen[4] == 0 && a.seen[5] == 0 && a.seen[6] == weights[4]);
        a.poison = round == 1; /* its own affair */
        assert_int_equal(train(t, NULL, NULL), 0);
        assert_int_equal(t->words[0], 51 + round);
    }
    t->free(t);
    struct trainer *evaluator;
    make_adder(&a);
    evaluator = share(&a.base, false, "own.*");
    assert_null(a.base.share);
    evaluator->free(evaluator);
}

static void test_shared_trainer__integers_that_nobody_holds(void **state)
{
    struct adder a;
    struct trainer *out = NULL;
    struct cairn_problem why = {0};
    const struct model_share_rules rules = {0};
    const struct train_shared_options options = {.rules = &rules, .client = true};
    (void)state;
    make_adder(&a);
    a.base.words = NULL;
    assert_int_equal(train_shared_new(&a.base, &options, &out, &why), CAIRN_ERR_CONFIG);
    assert_non_null(strstr(why.what, "\"steps\" has dtype I64"));
    assert_int_equal(a.freed, 0); /* still the caller's */
    a.base.free(&a.base);
}

static char path[64];

static int make_path(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "/tmp/cairn-test-XXXXXX");
    const int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_path(void **state)
{
    (void)state;
    return unlink(path);
}

static int load(struct trainer *t, float *shared, struct cairn_problem *why)
{
    struct input in;
    assert_int_equal(input_open(&in, path, why), 0);
    const int err = train_shared_load(t, &in, shared, why);
    input_close(&in);
    return err;
}

/* From a file in another order and other types, and written like it. */
static void test_shared_trainer__begins_with_a_file(void **state)
{
    static const float in_file[FLOATS] = {8, 1, 2, 3, 4, 0.5F, -0.5F};
    const uint64_t words[2] = {200, (UINT64_C(1) << 63) + 1000};
    json_t *metadata = json_pack("{s:s}", "format", "pt");
    struct model_shape shape = {0};
    struct cairn_problem why = {0};
    struct safetensors_file file;
    struct adder a;
    struct eval_metrics metrics;
    float shared[5];
    (void)state;
    assert_int_equal(model_shape_add_typed(&shape, "tail", MODEL_BF16, NULL, 0, NULL), 0);
    assert_int_equal(model_shape_add_typed(&shape, "own.n", MODEL_U8, NULL, 0, NULL), 0);
    assert_int_equal(model_shape_add_typed(&shape, "body", MODEL_F64, &(uint64_t){4}, 1, NULL), 0);
    assert_int_equal(model_shape_add_typed(&shape, "own.w", MODEL_F16, &(uint64_t){2}, 1, NULL), 0);
    assert_int_equal(model_shape_add_typed(&shape, "steps", MODEL_I64, NULL, 0, NULL), 0);
    assert_int_equal(safetensors_write_all(path, &shape, in_file, words, metadata, &why), 0);

    make_adder(&a);
    struct trainer *t = share(&a.base, false, "own.*");
    t->initial(t, 3, shared);
    assert_int_equal(load(t, shared, &why), 0);
    static const float expected[] = {1, 2, 3, 4, 8};
    assert_memory_equal(shared, expected, sizeof expected);
    assert_true(t->words[0] == words[1]);
    assert_int_equal(t->evaluate(t, shared, &metrics, &why), 0);
    assert_true(a.seen[4] == 0.5F && a.seen[5] == -0.5F);

    shared[4] = 1.0F + 0x1p-8F; /* between two of the file's type */
    t->words[0]++;
    assert_int_equal(t->write(t, path, shared, false, &why), 0);
    assert_int_equal(safetensors_open(&file, path, NULL, 0, &why), 0);
    assert_int_equal(file.found.n_tensors, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_memory_equal(&file.found.tensors[i], &shape.tensors[i], sizeof shape.tensors[i]);
    }
    assert_true(json_equal(file.metadata, metadata));
    json_decref(metadata);
    float read[FLOATS];
    uint64_t counters[2];
    assert_int_equal(safetensors_read_run(&file, 0, FLOATS, read, &why), 0);
    assert_int_equal(safetensors_read_words(&file, counters, &why), 0);
    assert_true(read[0] == 1.0F && read[1] == 1.0F && read[5] == 0.5F);
    assert_true(counters[0] == 200 && counters[1] == words[1] + 1);
    safetensors_close(&file);

    shared[4] = 3.4e38F; /* no bfloat16 */
    assert_int_equal(t->write(t, path, shared, false, &why), CAIRN_ERR_DATA);
    assert_int_equal(t->write(t, path, shared, true, &why), 0);
    assert_int_equal(safetensors_open(&file, path, NULL, 0, &why), 0);
    assert_int_equal(file.found.tensors[0].dtype, MODEL_F32);
    assert_string_equal(file.found.tensors[0].name, "tail");
    assert_int_equal(file.found.carried[0].dtype, MODEL_U8);
    assert_int_equal(safetensors_read_run(&file, 0, 1, read, &why), 0);
    assert_true(read[0] == 3.4e38F);
    safetensors_close(&file);
    t->free(t);
    model_shape_release(&shape);
}

/* What came from outside is no value of the tensor's type: nothing of it is taken. */
static void test_shared_trainer__integers_from_outside(void **state)
{
    const uint64_t zero = UINT64_C(1) << 63;
    struct cairn_problem why = {0};
    struct adder a;
    float shared[FLOATS];
    (void)state;
    make_adder(&a);
    struct trainer *t = share(&a.base, false, NULL);
    t->initial(t, 3, shared);
    uint64_t words[2] = {zero + 5, 256}; /* an I64 and a U8 */
    assert_int_equal(train_shared_take_words(t, (const uint8_t *)words, &why), CAIRN_ERR_REFUSED);
    assert_non_null(strstr(why.what, "own.n"));
    assert_true(t->words[0] == 7 && t->words[1] == 9);
    words[1] = 255;
    assert_int_equal(train_shared_take_words(t, (const uint8_t *)words, &why), 0);
    assert_true(t->words[0] == zero + 5 && t->words[1] == 255);
    t->free(t);
}

static void test_shared_trainer__refuses_other_files(void **state)
{
    static const float values[FLOATS] = {0, 0, 0, INFINITY};
    struct cairn_problem why = {0};
    struct model_shape other = {0};
    struct adder a;
    float shared[5];
    (void)state;
    make_adder(&a);
    struct trainer *t = share(&a.base, false, "own.*");
    assert_int_equal(model_shape_add(&other, "body", &(uint64_t){4}, 1, NULL), 0);
    assert_int_equal(safetensors_write(path, &other, values, &why), 0);
    assert_int_equal(load(t, shared, &why), CAIRN_ERR_DATA);
    assert_int_equal(safetensors_write_all(path, &a.shape, values, a.words, NULL, &why), 0);
    assert_int_equal(load(t, shared, &why), CAIRN_ERR_DATA);
    assert_non_null(strstr(why.what, "body"));
    t->free(t);
    model_shape_release(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shared_trainer__keeps_its_own),
        cmocka_unit_test(test_shared_trainer__what_goes_in_plain_comes_last),
        cmocka_unit_test(test_shared_trainer__nothing_of_a_bad_training_stays),
        cmocka_unit_test(test_shared_trainer__not_in_the_way),
        cmocka_unit_test(test_shared_trainer__by_run),
        cmocka_unit_test(test_shared_trainer__integers_from_outside),
        cmocka_unit_test(test_shared_trainer__one_that_keeps_the_model),
        cmocka_unit_test(test_shared_trainer__one_that_keeps_the_model_and_a_part_at_home),
        cmocka_unit_test(test_shared_trainer__integers_that_nobody_holds),
        cmocka_unit_test_setup_teardown(test_shared_trainer__begins_with_a_file, make_path,
                                        remove_path),
        cmocka_unit_test_setup_teardown(test_shared_trainer__refuses_other_files, make_path,
                                        remove_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
