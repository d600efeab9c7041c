/* SPDX-License-Identifier: Apache-2.0 */
/* What of a model is shared: patterns, and the way between the whole and its part. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay.h"
#include "share.h"

static void test_share__patterns(void **state)
{
    static const struct {
        const char *pattern, *name;
        bool matches;
    } rows[] = {
        {"a", "a", true},          {"a", "ab", false},         {"ab", "a", false},
        {"*", "", true},           {"*", "a.b", true},         {"?", "a", true},
        {"?", "", false},          {"?", "ab", false},         {"a*", "a", true},
        {"a*c", "abbc", true},     {"a*c", "abcb", false},     {"*.bias", "l1.bias", true},
        {"*.bias", "bias", false}, {"l?.w", "l12.w", false},   {"l??.w", "l12.w", true},
        {"*a*b*", "xaxxb", true},  {"*a*b*", "xbxxa", false},  {"a**b", "ab", true},
        {"*ab", "aaab", true},     {"*aab", "aaaab", true},    {"bn[0]", "bn[0]", true},
        {"?", "\xc3\xa4", true},   {"?x", "\xc3\xa4x", true},  {"??", "\xc3\xa4", false},
        {"", "", true},            {"", "a", false},           {"A", "a", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (model_pattern_matches(rows[i].pattern, rows[i].name) != rows[i].matches) {
            fail_msg("\"%s\" and \"%s\"", rows[i].pattern, rows[i].name);
        }
    }
}

static json_t *list(const char *one, const char *two)
{
    json_t *patterns = json_array();
    if (one != NULL) {
        json_array_append_new(patterns, json_string(one));
    }
    if (two != NULL) {
        json_array_append_new(patterns, json_string(two));
    }
    return patterns;
}

static void make_shape(struct model_shape *shape)
{
    static const struct {
        const char *name;
        enum model_dtype dtype;
        uint64_t count;
    } tensors[] = {{"conv.weight", MODEL_F16, 4}, {"bn.mean", MODEL_F32, 3},
                   {"bn.count", MODEL_I64, 1},    {"none", MODEL_F32, 0},
                   {"fc.weight", MODEL_F32, 5},   {"fc.mask", MODEL_BOOL, 2},
                   {"head.weight", MODEL_BF16, 2}};
    for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; i++) {
        assert_int_equal(model_shape_add_typed(shape, tensors[i].name, tensors[i].dtype,
                                               &tensors[i].count, 1, NULL), 0);
    }
}

static int init(struct model_share *share, const struct model_shape *whole, json_t *include,
                json_t *exclude, struct cairn_problem *why)
{
    const int err = model_share_init(share, whole, include, exclude, why);
    json_decref(include);
    json_decref(exclude);
    return err;
}

static void test_share__everything(void **state)
{
    struct model_shape whole = {0};
    struct model_share share;
    struct cairn_problem why = {0};
    size_t at;
    (void)state;
    make_shape(&whole);
    assert_int_equal(init(&share, &whole, NULL, list(NULL, NULL), &why), 0);
    assert_true(share.all_floats);
    assert_int_equal(share.shape.n_params, 14);
    assert_int_equal(share.shape.n_tensors, 5);
    assert_int_equal(share.shape.n_carried, 0);
    assert_int_equal(share.n_words, 3);
    assert_int_equal(share.shape.tensors[0].dtype, MODEL_F32);
    assert_int_equal(model_share_run(&share, 3, 9, &at), 9);
    assert_int_equal(at, 3);
    model_share_release(&share);
    model_shape_release(&whole);
}

/* Any run of the part, there and back, against the rule written out. */
static void test_share__a_part(void **state)
{
    struct model_shape whole = {0};
    struct model_share share;
    struct cairn_problem why = {0};
    float values[14], part[14], again[14];
    uint64_t words[3] = {70, 71, 72}, some[3] = {0};
    static const float expected[] = {0, 1, 2, 3, 7, 8, 9, 10, 11};
    (void)state;
    make_shape(&whole);
    for (size_t i = 0; i < 14; i++) {
        values[i] = (float)i;
    }
    assert_int_equal(init(&share, &whole, list("*.*", "none"), list("bn.*", "head.*"), &why), 0);
    assert_false(share.all_floats);
    assert_int_equal(share.shape.n_params, 9);
    assert_int_equal(share.shape.n_tensors, 3);
    assert_int_equal(share.n_words, 2);
    for (size_t first = 0; first <= 9; first++) {
        for (size_t n = 0; first + n <= 9; n++) {
            memset(part, 0x7f, sizeof part);
            model_share_gather(&share, values, first, n, part);
            assert_memory_equal(part, expected + first, n * sizeof *part);
            memcpy(again, values, sizeof again);
            for (size_t i = 0; i < n; i++) {
                part[i] += 100;
            }
            model_share_scatter(&share, part, first, n, again);
            for (size_t i = 0, k = 0; i < 14; i++) {
                const bool shared = k < 9 && expected[k] == (float)i;
                const bool changed = shared && k >= first && k < first + n;
                assert_true(again[i] == values[i] + (changed ? 100 : 0));
                k += shared;
            }
        }
    }
    model_share_gather_words(&share, words, some);
    assert_int_equal(some[0], 71);
    assert_int_equal(some[1], 72);
    some[0] = 5;
    model_share_scatter_words(&share, some, words);
    assert_int_equal(words[0], 70);
    assert_int_equal(words[1], 5);
    model_share_release(&share);
    model_shape_release(&whole);
}

static void assert_refused(const struct model_shape *whole, json_t *include, json_t *exclude,
                           const char *words)
{
    struct model_share share;
    struct cairn_problem why = {0};
    assert_int_equal(init(&share, whole, include, exclude, &why), CAIRN_ERR_CONFIG);
    if (strstr(why.what, words) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", why.what, words);
    }
}

static void test_share__refuses(void **state)
{
    struct model_shape whole = {0}, large = {0};
    (void)state;
    make_shape(&whole);
    assert_refused(&whole, NULL, list("bn.maen", NULL), "model.exclude: no tensor");
    assert_refused(&whole, list("fc.*", "FC.*"), NULL, "\"FC.*\"");
    assert_refused(&whole, NULL, list("*", NULL), "nothing to average");
    assert_refused(&whole, list("bn.count", NULL), NULL, "nothing to average");
    assert_int_equal(model_shape_add(&large, "w", &(uint64_t){1}, 1, NULL), 0);
    assert_int_equal(model_shape_add_typed(&large, "a", MODEL_I8, &(uint64_t){MODEL_MOST_WORDS}, 1,
                                           NULL), 0);
    assert_int_equal(model_shape_add_typed(&large, "b", MODEL_I8, &(uint64_t){1}, 1, NULL), 0);
    assert_refused(&large, NULL, NULL, "\"b\" the model has more than 4096");
    struct model_share share;
    struct cairn_problem why = {0};
    assert_int_equal(init(&share, &large, NULL, list("a", NULL), &why), 0);
    assert_int_equal(share.n_words, 1);
    model_share_release(&share);
    model_shape_release(&whole);
    model_shape_release(&large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_share__patterns),
        cmocka_unit_test(test_share__everything),
        cmocka_unit_test(test_share__a_part),
        cmocka_unit_test(test_share__refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
