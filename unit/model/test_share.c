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

static int init_only(struct model_share *share, const struct model_shape *whole, json_t *include,
                     json_t *exclude, json_t *only, struct cairn_problem *why)
{
    const struct model_share_rules rules = {.include = include, .exclude = exclude, .only = only};
    const int err = model_share_init(share, whole, &rules, why);
    json_decref(include);
    json_decref(exclude);
    json_decref(only);
    return err;
}

static int init(struct model_share *share, const struct model_shape *whole, json_t *include,
                json_t *exclude, struct cairn_problem *why)
{
    return init_only(share, whole, include, exclude, NULL, why);
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
    assert_true(share.all_floats && share.everything);
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

/* Any run of the part, there and back. @param places  of each shared float, its place in the whole */
static void check_runs(const struct model_share *share, const float *places, size_t shared)
{
    float values[14], part[14], again[14];
    for (size_t i = 0; i < 14; i++) {
        values[i] = (float)i;
    }
    assert_int_equal(share->shape.n_params, shared);
    for (size_t first = 0; first <= shared; first++) {
        for (size_t n = 0; first + n <= shared; n++) {
            memset(part, 0x7f, sizeof part);
            model_share_gather(share, values, first, n, part);
            assert_memory_equal(part, places + first, n * sizeof *part);
            memcpy(again, values, sizeof again);
            for (size_t i = 0; i < n; i++) {
                part[i] += 100;
            }
            model_share_scatter(share, part, first, n, again);
            for (size_t i = 0; i < n; i++) {
                again[(size_t)places[first + i]] -= 100; /* each once, and no other */
            }
            assert_memory_equal(again, values, sizeof values);
        }
    }
}

static void test_share__a_part(void **state)
{
    struct model_shape whole = {0};
    struct model_share share;
    struct cairn_problem why = {0};
    uint64_t words[3] = {70, 71, 72}, some[3] = {0};
    static const float expected[] = {0, 1, 2, 3, 7, 8, 9, 10, 11};
    (void)state;
    make_shape(&whole);
    assert_int_equal(init(&share, &whole, list("*.*", "none"), list("bn.*", "head.*"), &why), 0);
    assert_false(share.all_floats);
    assert_int_equal(share.shape.n_tensors, 3);
    assert_int_equal(share.n_words, 2);
    assert_int_equal(share.n_plain, 0);
    check_runs(&share, expected, 9);
    for (size_t t = 0; t < whole.n_tensors; t++) {
        const char *name = whole.tensors[t].name;
        assert_int_equal(model_share_has(&share, &whole.tensors[t]),
                         strncmp(name, "bn.", 3) != 0 && strncmp(name, "head.", 5) != 0);
    }
    assert_false(share.everything);
    for (size_t t = 0; t < whole.n_tensors + whole.n_carried; t++) { /* in the order of the places */
        static const bool shared[] = {true, false, false, true, true, true, false};
        const struct model_tensor *tensor =
            t < whole.n_tensors ? &whole.tensors[t] : &whole.carried[t - whole.n_tensors];
        assert_int_equal(model_share_has(&share, tensor), shared[tensor->place]);
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

/* What is encrypted comes first, each kind in the order of the model. */
static void test_share__what_goes_in_plain_comes_last(void **state)
{
    struct model_shape whole = {0};
    struct model_share share;
    struct cairn_problem why = {0};
    static const float everything[] = {4, 5, 6, 12, 13, 0, 1, 2, 3, 7, 8, 9, 10, 11};
    static const float some[] = {7, 8, 9, 10, 11, 4, 5, 6, 12, 13};
    (void)state;
    make_shape(&whole);
    assert_int_equal(init_only(&share, &whole, NULL, NULL, list("head.*", "bn.*"), &why), 0);
    assert_false(share.all_floats);
    assert_int_equal(share.n_plain, 9);
    assert_int_equal(share.n_words, 3);
    assert_string_equal(share.shape.tensors[1].name, "head.weight");
    check_runs(&share, everything, 14);
    model_share_release(&share);
    assert_int_equal(init_only(&share, &whole, NULL, list("conv.*", NULL), list("fc.*", NULL), &why), 0);
    assert_int_equal(share.n_plain, 5);
    check_runs(&share, some, 10);
    model_share_release(&share);
    assert_int_equal(init_only(&share, &whole, NULL, NULL, list("*", NULL), &why), 0);
    assert_true(share.all_floats);
    assert_int_equal(share.n_plain, 0);
    model_share_release(&share);
    model_shape_release(&whole);
}

static void assert_only_refused(const struct model_shape *whole, json_t *exclude, json_t *only,
                                const char *words)
{
    struct model_share share;
    struct cairn_problem why = {0};
    assert_int_equal(init_only(&share, whole, NULL, exclude, only, &why), CAIRN_ERR_CONFIG);
    if (strstr(why.what, words) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", why.what, words);
    }
}

/* Nobody is to believe that something is encrypted which is not. */
static void test_share__only_what_can_be_encrypted(void **state)
{
    struct model_shape whole = {0};
    (void)state;
    make_shape(&whole);
    assert_only_refused(&whole, NULL, list("fc.*", "haed.*"), "encryption.only: no tensor of the model");
    assert_only_refused(&whole, NULL, list("fc.weight", "fc.mask"), "shared is called \"fc.mask\"");
    assert_only_refused(&whole, list("head.*", NULL), list("fc.*", "head.*"), "called \"head.*\"");
    assert_only_refused(&whole, NULL, list("none", NULL), "nothing to encrypt");
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
    assert_true(share.all_floats && !share.everything);
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
        cmocka_unit_test(test_share__what_goes_in_plain_comes_last),
        cmocka_unit_test(test_share__only_what_can_be_encrypted),
        cmocka_unit_test(test_share__refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
