/* SPDX-License-Identifier: Apache-2.0 */
/* The list of tensors: what is refused, and who owns which element. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "replay.h"
#include "shape.h"

static void add(struct model_shape *shape, const char *name, uint64_t size)
{
    struct cairn_problem why;

    assert_int_equal(model_shape_add(shape, name, &size, 1, &why), 0);
}

static void test_shape__offsets_and_counts(void **state)
{
    static const uint64_t dims[] = {3, 4, 5};
    struct model_shape shape = {0};
    struct cairn_problem why;

    (void)state;
    assert_int_equal(model_shape_add(&shape, "a", dims, 3, &why), 0);
    assert_int_equal(model_shape_add(&shape, "scalar", NULL, 0, &why), 0);
    assert_int_equal(model_shape_add(&shape, "b", dims + 1, 2, &why), 0);
    assert_int_equal(shape.n_tensors, 3);
    assert_int_equal(shape.n_params, 60 + 1 + 20);
    assert_int_equal(shape.tensors[1].offset, 60);
    assert_int_equal(shape.tensors[1].count, 1);
    assert_int_equal(shape.tensors[1].n_dims, 0);
    assert_int_equal(shape.tensors[2].offset, 61);
    assert_int_equal(shape.tensors[2].dims[1], 5);
    model_shape_release(&shape);
    assert_int_equal(shape.n_tensors, 0);
}

static void assert_refused(struct model_shape *shape, const char *name, const uint64_t *dims,
                           unsigned n_dims)
{
    const struct model_shape before = *shape;
    struct cairn_problem why = {0};

    assert_int_equal(model_shape_add(shape, name, dims, n_dims, &why), CAIRN_ERR_DATA);
    assert_memory_equal(shape, &before, sizeof before);
    assert_true(why.what[0] != '\0');
}

static void test_shape__refuses(void **state)
{
    static const uint64_t wraps_to_0[] = {UINT64_C(1) << 32, UINT64_C(1) << 32};
    static const uint64_t wraps_in_bytes[] = {UINT64_C(1) << 62};
    static const uint64_t above_json[] = {0, UINT64_C(1) << 63};
    static const uint64_t ones[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    struct model_shape shape = {0};
    char name[MODEL_NAME_SIZE + 1];

    (void)state;
    add(&shape, "w", 4);
    memset(name, 'n', sizeof name);
    name[MODEL_NAME_SIZE] = '\0';
    assert_refused(&shape, name, ones, 1);
    assert_refused(&shape, "", ones, 1);
    assert_refused(&shape, "w", ones, 1);
    assert_refused(&shape, "x", wraps_to_0, 2);
    assert_refused(&shape, "x", wraps_in_bytes, 1);
    assert_refused(&shape, "x", above_json, 2);
    assert_refused(&shape, "x", ones, 9);
    name[MODEL_NAME_SIZE - 1] = '\0';
    add(&shape, name, 1);
    model_shape_release(&shape);
}

static void test_shape__sum_overflows(void **state)
{
    static const uint64_t half[] = {(UINT64_C(1) << 61) + 1};
    struct model_shape shape = {0};
    struct cairn_problem why;

    (void)state;
    assert_int_equal(model_shape_add(&shape, "a", half, 1, &why), 0);
    assert_refused(&shape, "b", half, 1);
    model_shape_release(&shape);
}

static void test_shape__too_many_tensors(void **state)
{
    struct model_shape shape = {0};
    uint64_t one = 1;
    char name[16];

    (void)state;
    for (unsigned t = 0; t < MODEL_MAX_TENSORS; t++) {
        (void)snprintf(name, sizeof name, "t%u", t);
        add(&shape, name, 1);
    }
    assert_refused(&shape, "one more", &one, 1);
    model_shape_release(&shape);
}

/* Property: the owner of i is the tensor whose range holds i, with empty tensors everywhere. */
static void test_shape__finds_the_owner(void **state)
{
    struct replay_rng rng;
    char name[16];

    (void)state;
    print_message("seed 8\n");
    replay_init(&rng, "test", 8, 0, 0);
    for (int repeat = 0; repeat < 100; repeat++) {
        struct model_shape shape = {0};
        unsigned n = 1 + replay_below(&rng, 20);

        for (unsigned t = 0; t < n; t++) {
            (void)snprintf(name, sizeof name, "t%u", t);
            add(&shape, name, replay_below(&rng, 4));
        }
        for (size_t t = 0; t < shape.n_tensors; t++) {
            for (size_t i = 0; i < shape.tensors[t].count; i++) {
                assert_ptr_equal(model_shape_find(&shape, shape.tensors[t].offset + i),
                                 &shape.tensors[t]);
            }
        }
        model_shape_release(&shape);
    }
}

/* Places and elements stay, types change, and with them where the bytes are: worked out by hand. */
static void test_shape__in_other_types(void **state)
{
    static const struct {
        const char *name;
        enum model_dtype dtype;
        uint64_t count;
    } tensors[] = {{"a", MODEL_F16, 3}, {"n", MODEL_I64, 2}, {"b", MODEL_F64, 5}, {"m", MODEL_BOOL, 7},
                   {"c", MODEL_F32, 1}};
    static const enum model_dtype types[] = {MODEL_F64, MODEL_I64, MODEL_F32, MODEL_BOOL, MODEL_BF16};
    static const uint64_t typed[] = {0, 24, 40, 60, 67, 69}, wide[] = {0, 12, 28, 48, 55, 59},
                          same[] = {0, 6, 22, 62, 69, 73};
    const uint64_t *const expected[] = {typed, wide, same};
    struct model_shape shape = {0}, out;
    struct cairn_problem why;
    (void)state;
    for (size_t t = 0; t < 5; t++) {
        assert_int_equal(model_shape_add_typed(&shape, tensors[t].name, tensors[t].dtype, &tensors[t].count, 1, &why),
                         0);
    }
    for (int k = 0; k < 3; k++) {
        assert_int_equal(k == 0   ? model_shape_typed(&shape, types, &out, &why)
                         : k == 1 ? model_shape_widened(&shape, &out, &why)
                                  : model_shape_typed(&shape, NULL, &out, &why), 0);
        for (size_t t = 0; t < 5; t++) {
            const struct model_tensor *tensor = model_shape_named(&out, tensors[t].name);
            const bool floats = model_dtype_is_float(tensors[t].dtype);
            assert_int_equal(tensor->place, t);
            assert_int_equal(tensor->byte, expected[k][t]);
            assert_int_equal(tensor->offset, model_shape_named(&shape, tensors[t].name)->offset);
            assert_int_equal(tensor->dtype, k == 0             ? types[t]
                                            : k == 1 && floats ? MODEL_F32
                                                               : tensors[t].dtype);
        }
        assert_int_equal(out.n_bytes, expected[k][5]);
        assert_int_equal(out.n_params, 9);
        assert_int_equal(out.n_words, 9);
        model_shape_release(&out);
    }
    model_shape_release(&shape);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shape__offsets_and_counts),
        cmocka_unit_test(test_shape__refuses),
        cmocka_unit_test(test_shape__sum_overflows),
        cmocka_unit_test(test_shape__too_many_tensors),
        cmocka_unit_test(test_shape__finds_the_owner),
        cmocka_unit_test(test_shape__in_other_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
