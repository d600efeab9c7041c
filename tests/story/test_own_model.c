/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Federations of a model as a training program has it: tensors of half precision, statistics of a
 * BatchNorm, a counter, a scalar, a mask, a personal layer. What comes of it encrypted is, bit for
 * bit, what comes of it in plain, and of the same model in float32.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "federation.h"
#include "file.h"
#include "json.h"
#include "made_up_trainer.h"
#include "replay.h"
#include "safetensors.h"
#include "story_folder.h"

enum { ROUNDS = 3, CLIENTS = 3 };
#define ZERO (UINT64_C(1) << 63) /* the word of a signed 0 */

static char init[96], final_path[96];
static struct model_shape mixed, plain; /* the same tensors; `plain` has all floats as F32 */
static float *first; /* the initial floats */
static const uint64_t first_words[] = {ZERO + 41, ZERO - 3, ZERO + 7, 250};

static const struct {
    const char *name;
    enum model_dtype dtype;
    uint64_t count; /* 0: a scalar */
} tensors[] = {
    {"conv.weight", MODEL_F16, 5000},      {"bn.weight", MODEL_F32, 40},
    {"bn.running_mean", MODEL_F64, 40},    {"bn.running_var", MODEL_F32, 40},
    {"bn.num_batches_tracked", MODEL_I64, 0}, {"fc.weight", MODEL_BF16, 9000},
    {"levels", MODEL_I16, 2},              {"scale", MODEL_F32, 0},
    {"level", MODEL_U8, 0},                {"head.weight", MODEL_F16, 300},
};

static json_t *metadata; /* of the file */

static void add(struct model_shape *shape, size_t t, enum model_dtype dtype)
{
    assert_int_equal(model_shape_add_typed(shape, tensors[t].name, dtype, &tensors[t].count,
                                           tensors[t].count > 0, NULL), 0);
}

static int begin(void **state)
{
    struct replay_rng rng;
    (void)state;
    if (story_folder_make(state) != 0) {
        return -1;
    }
    snprintf(init, sizeof init, "%s/init", story_folder);
    snprintf(final_path, sizeof final_path, "%s/runs/story/model.safetensors", story_folder);
    for (size_t t = 0; t < sizeof tensors / sizeof tensors[0]; t++) {
        const bool floats = model_dtype_is_float(tensors[t].dtype);
        add(&mixed, t, tensors[t].dtype);
        add(&plain, t, floats ? MODEL_F32 : tensors[t].dtype);
    }
    first = calloc(mixed.n_params, sizeof *first);
    replay_init(&rng, "own model", 5, 0, 0);
    for (size_t i = 0; i < mixed.n_params; i++) { /* a multiple of 1/64 below 1: exact in every type */
        first[i] = (float)((int)(replay_u32(&rng) % 127) - 63) / 64.0F;
    }
    metadata = json_pack("{s:s}", "format", "pt");
    return safetensors_write_all(init, &mixed, first, first_words, metadata, NULL);
}

static int end(void **state)
{
    model_shape_release(&mixed);
    json_decref(metadata);
    model_shape_release(&plain);
    free(first);
    return story_folder_remove(state);
}

/* @param encryption  members of that section; a frame of profile seal-ckks asks for a larger batch */
static const char *config_with(const char *encryption, bool dumb, const char *more)
{
    static char text[2048];
    snprintf(text, sizeof text,
             "{\"experiment\": \"story\", \"seed\": 7,"
             " \"encryption\": {%s}%s,"
             " \"round\": {\"frame_params\": 4096, \"deadline_s\": 60},"
             " \"server\": {\"batch_bytes\": %d, \"start_timeout_s\": 30},"
             " \"aggregator\": {\"iteration\": %d, \"ip\": \"10.0.0.1\"},"
             " \"others\": {"
             "  \"10.0.0.2\": {\"type\": \"switch\", \"receive\": [\"10.0.0.3\", \"10.0.0.4\"],"
             "   \"send\": \"10.0.0.1\", \"ip\": \"10.0.0.2\", \"dumb\": %s},"
             "  \"10.0.0.3\": {\"type\": \"client\", \"client_number\": 3, \"index\": 0,"
             "   \"send\": \"10.0.0.2\", \"ip\": \"10.0.0.3\"},"
             "  \"10.0.0.4\": {\"type\": \"client\", \"client_number\": 3, \"index\": 1,"
             "   \"send\": \"10.0.0.2\", \"ip\": \"10.0.0.4\"},"
             "  \"10.0.0.5\": {\"type\": \"client\", \"client_number\": 3, \"index\": 2,"
             "   \"send\": \"10.0.0.1\", \"ip\": \"10.0.0.5\"}}}",
             encryption, more, strstr(encryption, "ckks") != NULL ? 3 << 17 : 1 << 17, ROUNDS, dumb ? "true" : "false");
    return text;
}

static const char *config_of(const char *profile, bool dumb, const char *more)
{
    char encryption[64];
    snprintf(encryption, sizeof encryption, "\"profile\": \"%s\"", profile);
    return config_with(encryption, dumb, more);
}

static struct federation_options options_for(const char *config, const struct model_shape *shape)
{
    return (struct federation_options){.config = config,
                                       .folder = story_folder,
                                       .shape = shape,
                                       .init = init,
                                       .order_seed = 1,
                                       .bad_client = -1};
}

static void finish(struct federation *f)
{
    struct cairn_problem problem = {0};
    const int err = federation_run(f, &problem);
    if (err != 0) {
        fail_msg("%s", problem.what);
    }
    federation_free(f);
}

/* The bytes of the final model. */
static struct buf run(const char *config, const struct model_shape *shape)
{
    const struct federation_options options = options_for(config, shape);
    struct buf bytes = {0};
    struct cairn_problem why;
    finish(federation_new(&options));
    assert_int_equal(file_read(final_path, 1 << 20, &bytes, &why), 0);
    return bytes;
}

/* The final model's floats, in the order of its tensors, and its integers. */
static void read_final(const struct model_shape *shape, float *floats, uint64_t words[4])
{
    struct safetensors_file file;
    struct cairn_problem why = {0};
    assert_int_equal(safetensors_open(&file, final_path, shape, 0, &why), 0);
    assert_int_equal(safetensors_read_run(&file, 0, shape->n_params, floats, &why), 0);
    assert_int_equal(safetensors_read_words(&file, words, &why), 0);
    for (size_t t = 0; t < shape->n_tensors; t++) { /* names, order, types */
        assert_memory_equal(&file.found.tensors[t], &shape->tensors[t], sizeof shape->tensors[t]);
    }
    for (size_t t = 0; t < shape->n_carried; t++) {
        assert_memory_equal(&file.found.carried[t], &shape->carried[t], sizeof shape->carried[t]);
    }
    assert_true(json_equal(file.metadata, metadata));
    safetensors_close(&file);
}

/* Client 2 raises the word at place i most, by i + 3 a round, and the others begin from its value in the next. */
static void assert_largest(const uint64_t words[4])
{
    for (size_t i = 0; i < 3; i++) {
        assert_true(words[i] == first_words[i] + ROUNDS * (i + 3));
    }
}

static void test_own_model__same_bits_in_all_scenarios(void **state)
{
    static const char *const profiles[] = {"none", "capsule", "bfv"};
    static const char keep_level[] = ", \"model\": {\"exclude\": [\"level\"]}"; /* a U8 would overflow */
    (void)state;
    struct buf expected = run(config_of("none", false, keep_level), &mixed);
    for (size_t p = 0; p < 3; p++) {
        for (int dumb = 0; dumb < 2; dumb++) {
            struct buf bytes = run(config_of(profiles[p], dumb != 0, keep_level), &mixed);
            assert_int_equal(bytes.size, expected.size);
            assert_memory_equal(bytes.data, expected.data, bytes.size);
            buf_release(&bytes);
        }
    }
    float *floats = calloc(mixed.n_params, sizeof *floats);
    float *wide = calloc(mixed.n_params, sizeof *wide);
    uint64_t words[4], wide_words[4];
    read_final(&mixed, floats, words);
    assert_largest(words);
    assert_int_equal(words[3], 250);

    /* the same model in float32 becomes the same, but for the last rounding */
    char in_float32[104];
    struct federation_options options = options_for(config_of("none", false, keep_level), &plain);
    snprintf(in_float32, sizeof in_float32, "%s32", init);
    assert_int_equal(
        safetensors_write_all(in_float32, &plain, first, first_words, metadata, NULL), 0);
    options.init = in_float32;
    finish(federation_new(&options));
    read_final(&plain, wide, wide_words);
    assert_memory_equal(words, wide_words, sizeof words);
    size_t changed = 0;
    for (size_t t = 0; t < mixed.n_tensors; t++) {
        const struct model_tensor *tensor = &mixed.tensors[t];
        for (size_t i = tensor->offset; i < tensor->offset + tensor->count; i++) {
            uint8_t bytes[8];
            float rounded;
            assert_true(model_dtype_from_floats(tensor->dtype, &wide[i], 1, bytes));
            model_dtype_to_floats(tensor->dtype, bytes, 1, &rounded);
            assert_memory_equal(&rounded, &floats[i], sizeof rounded);
            changed += floats[i] != first[i];
        }
    }
    assert_true(changed > mixed.n_params * 9 / 10);
    free(floats);
    free(wide);
    buf_release(&expected);
}

/* Some tensors encrypted, some in plain, one at home: the same bits as all of it in plain, in the tensors' own order. */
static void test_own_model__some_of_it_encrypted(void **state)
{
    static const char *const profiles[] = {"none", "capsule", "bfv", "seal-ckks"};
    static const char more[] = ", \"model\": {\"exclude\": [\"level\", \"bn.running_var\"]}";
    struct buf expected = {0};
    (void)state;
    for (size_t p = 0; p < 4; p++) {
        for (int dumb = 0; dumb < 2; dumb++) {
            char encryption[96];
            snprintf(encryption, sizeof encryption,
                     "\"profile\": \"%s\", \"only\": [\"fc.*\", \"bn.weight\", \"scale\"]",
                     profiles[p]);
            const struct federation_options options =
                options_for(config_with(encryption, dumb != 0, more), &mixed);
            struct federation *f = federation_new(&options);
            struct cairn_problem why = {0};
            struct buf bytes = {0};
            assert_int_equal(federation_run(f, &why), 0);
            json_t *summary = federation_summary(f);
            const long long shared = 5000 + 40 + 40 + 9000 + 1 + 300;
            assert_int_equal(json_get_int(summary, "params", 0), shared);
            assert_int_equal(json_get_int(summary, "params_in_plain", 0),
                             p == 0 ? shared : shared - 9000 - 40 - 1);
            json_decref(summary);
            federation_free(f);
            assert_int_equal(file_read(final_path, 1 << 20, &bytes, &why), 0);
            if (p == 0 && dumb == 0) {
                expected = bytes;
                continue;
            }
            assert_int_equal(bytes.size, expected.size);
            assert_memory_equal(bytes.data, expected.data, bytes.size);
            buf_release(&bytes);
        }
    }
    float *floats = calloc(mixed.n_params, sizeof *floats);
    uint64_t words[4];
    read_final(&mixed, floats, words); /* names and order are the file's */
    size_t changed = 0;
    for (size_t i = 0; i < mixed.n_params; i++) {
        changed += floats[i] != first[i];
    }
    assert_true(changed > (mixed.n_params - 40) * 9 / 10);
    free(floats);
    buf_release(&expected);
}

/* A U8 of 250 is raised by 6 a round and by more than it holds in round 1: all integers keep their old values. */
static void test_own_model__integers_beyond_their_type(void **state)
{
    float *floats = calloc(mixed.n_params, sizeof *floats);
    uint64_t words[4];
    (void)state;
    struct buf bytes = run(config_of("none", false, ""), &mixed);
    read_final(&mixed, floats, words);
    assert_memory_equal(words, first_words, sizeof words);
    assert_true(memcmp(floats, first, 5000 * sizeof *floats) != 0);
    buf_release(&bytes);
    free(floats);
}

/* Searches everything that is sent for a run of floats. */
struct spy {
    uint8_t own[32]; /* the first floats of the head */
    unsigned seen, messages;
};

static bool search(void *ctx, const struct http_exchange *x)
{
    struct spy *spy = ctx;
    spy->messages++;
    spy->seen += x->body.size > 0 &&
                 memmem(x->body.data, x->body.size, spy->own, sizeof spy->own) != NULL;
    return true;
}

static void test_own_model__what_is_excluded_stays(void **state)
{
    (void)state;
    float *floats = calloc(mixed.n_params, sizeof *floats);
    uint64_t words[4];
    const struct model_tensor *head = model_shape_named(&mixed, "head.weight");
    const struct model_tensor *mean = model_shape_named(&mixed, "bn.running_mean");
    const char *more = ", \"model\": {\"exclude\": [\"head.*\", \"bn.running_*\", \"level*\"]}";
    struct federation_options options = options_for(config_of("none", false, more), &mixed);
    struct spy spy = {0};
    memcpy(spy.own, first + head->offset, sizeof spy.own);
    options.deliver = search;
    options.ctx = &spy;
    struct federation *f = federation_new(&options);
    struct cairn_problem problem = {0};
    assert_int_equal(federation_run(f, &problem), 0);
    json_t *summary = federation_summary(f);
    assert_int_equal(json_get_int(summary, "params", 0), 5000 + 40 + 9000 + 1);
    json_decref(summary);
    federation_free(f);
    read_final(&mixed, floats, words);
    assert_memory_equal(floats + head->offset, first + head->offset, head->count * sizeof *floats);
    assert_memory_equal(floats + mean->offset, first + mean->offset, 80 * sizeof *floats);
    assert_true(memcmp(floats, first, 5000 * sizeof *floats) != 0);
    assert_true(words[0] == first_words[0] + ROUNDS * 3); /* bn.num_batches_tracked is shared */
    assert_memory_equal(words + 1, first_words + 1, 3 * sizeof *words);
    assert_true(spy.messages > 20);
    assert_int_equal(spy.seen, 0);
    /* and the search would have found it: the weights go down as they are */
    memcpy(spy.own, first, sizeof spy.own);
    options.ctx = &spy;
    finish(federation_new(&options));
    assert_true(spy.seen > 0);
    free(floats);
}

/* Killed at any turn, and gone on with without the file that it began with. */
static void test_own_model__an_aggregator_that_is_killed(void **state)
{
    static const char more[] = ", \"model\": {\"exclude\": [\"level\", \"head.*\"]},"
                               " \"log\": {\"checkpoint_every\": 2}";
    (void)state;
    static const char encryption[] = "\"profile\": \"capsule\", \"only\": [\"fc.*\"]";
    struct buf expected = run(config_with(encryption, false, more), &mixed);
    unsigned kills = 0;
    for (unsigned turns = 1; turns < 32; turns++) {
        struct federation_options options = options_for(config_with(encryption, false, more), &mixed);
        struct federation *f = federation_new(&options);
        char path[112];
        struct buf bytes = {0};
        struct cairn_problem why;
        for (unsigned i = 0; i < turns; i++) {
            federation_turns(f, 1);
            federation_advance(f, 0.03);
        }
        snprintf(path, sizeof path, "%s/runs/story/journal", story_folder);
        if (!file_exists(path)) { /* nothing to go on with: not begun, or done */
            federation_free(f);
            continue;
        }
        kills++;
        federation_restart(f, "10.0.0.1:5000");
        finish(f);
        assert_int_equal(file_read(final_path, 1 << 20, &bytes, &why), 0);
        assert_int_equal(bytes.size, expected.size);
        assert_memory_equal(bytes.data, expected.data, bytes.size);
        snprintf(path, sizeof path, "%s/runs/story/round-2.safetensors", story_folder);
        assert_true(file_exists(path));
        buf_release(&bytes);
    }
    print_message("killed %u times\n", kills);
    assert_true(kills >= 10);
    buf_release(&expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_own_model__same_bits_in_all_scenarios, begin, end),
        cmocka_unit_test_setup_teardown(test_own_model__some_of_it_encrypted, begin, end),
        cmocka_unit_test_setup_teardown(test_own_model__integers_beyond_their_type, begin, end),
        cmocka_unit_test_setup_teardown(test_own_model__what_is_excluded_stays, begin, end),
        cmocka_unit_test_setup_teardown(test_own_model__an_aggregator_that_is_killed, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
