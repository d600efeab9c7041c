/* SPDX-License-Identifier: Apache-2.0 */
/* Element types: the two half formats against arithmetic in double, and integers at their ends. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "dtype.h"
#include "le.h"
#include "replay.h"

static void test_dtype__names_and_sizes(void **state)
{
    (void)state;
    for (enum model_dtype d = MODEL_F32; d < MODEL_DTYPES; d++) {
        assert_int_equal(model_dtype_named(model_dtype_name(d)), d);
        assert_int_equal(model_dtype_is_float(d), strchr(model_dtype_name(d), 'F') != NULL);
    }
    assert_int_equal(model_dtype_named("F8_E4M3"), MODEL_DTYPES);
    assert_int_equal(model_dtype_named("f32"), MODEL_DTYPES);
    assert_int_equal(model_dtype_size(MODEL_BOOL), 1);
    assert_int_equal(model_dtype_size(MODEL_BF16), 2);
    assert_int_equal(model_dtype_size(MODEL_U64), 8);
}

static uint16_t to_half(enum model_dtype dtype, float value)
{
    uint8_t bytes[2];
    (void)model_dtype_from_floats(dtype, &value, 1, bytes);
    return le_get16(bytes);
}

static float from_half(enum model_dtype dtype, uint16_t half)
{
    uint8_t bytes[2];
    float value;
    le_put16(bytes, half);
    model_dtype_to_floats(dtype, bytes, 1, &value);
    return value;
}

/* Encodings of IEEE 754 binary16 as they stand in its tables, and of bfloat16, the upper half of binary32. */
static void test_dtype__known_halves(void **state)
{
    static const struct {
        enum model_dtype dtype;
        float value;
        uint16_t half;
    } known[] = {
        {MODEL_F16, 1.0F, 0x3c00},       {MODEL_F16, -2.0F, 0xc000},
        {MODEL_F16, 65504.0F, 0x7bff},   {MODEL_F16, 0x1p-14F, 0x0400},
        {MODEL_F16, 0x1p-24F, 0x0001},   {MODEL_F16, 0.333251953125F, 0x3555},
        {MODEL_F16, -0.0F, 0x8000},      {MODEL_F16, INFINITY, 0x7c00},
        {MODEL_BF16, 1.0F, 0x3f80},      {MODEL_BF16, -2.0F, 0xc000},
        {MODEL_BF16, 3.140625F, 0x4049}, {MODEL_BF16, -INFINITY, 0xff80},
    };
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const float back = from_half(known[i].dtype, known[i].half);
        assert_int_equal(to_half(known[i].dtype, known[i].value), known[i].half);
        assert_memory_equal(&back, &known[i].value, sizeof back);
    }
    /* ties go to even: half way between two neighbours, above and below */
    assert_int_equal(to_half(MODEL_F16, 1.0F + 0x1p-11F), 0x3c00);
    assert_int_equal(to_half(MODEL_F16, 1.0F + 3 * 0x1p-11F), 0x3c02);
    assert_int_equal(to_half(MODEL_F16, 0x1p-25F), 0x0000);
    assert_int_equal(to_half(MODEL_F16, 3 * 0x1p-25F), 0x0002);
    assert_int_equal(to_half(MODEL_F16, 65519.996F), 0x7bff);
    assert_int_equal(to_half(MODEL_F16, 65520.0F), 0x7c00);
    assert_int_equal(to_half(MODEL_BF16, 1.0F + 0x1p-8F), 0x3f80);
    assert_int_equal(to_half(MODEL_BF16, 1.0F + 3 * 0x1p-8F), 0x3f82);
    assert_int_equal(to_half(MODEL_BF16, 3.4e38F), 0x7f80);
}

/* Every one of the 65536 survives the way through float32. */
static void test_dtype__halves_are_exact(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        for (int k = 0; k < 2; k++) {
            const enum model_dtype dtype = k == 0 ? MODEL_F16 : MODEL_BF16;
            const float value = from_half(dtype, (uint16_t)h);
            if (isnan(value)) {
                assert_true(isnan(from_half(dtype, to_half(dtype, value))));
            } else {
                assert_int_equal(to_half(dtype, value), h);
            }
        }
    }
}

/* To the nearest multiple of the neighbours' distance, worked out in double: `bits` of fraction, smallest exponent. */
static double nearest(double value, int bits, int smallest)
{
    int exponent;
    (void)frexp(value, &exponent); /* value = m 2^exponent, 0.5 <= m < 1 */
    exponent = exponent - 1 < smallest ? smallest : exponent - 1;
    const double unit = ldexp(1.0, exponent - bits);
    return nearbyint(value / unit) * unit;
}

static void test_dtype__rounds_to_nearest(void **state)
{
    struct replay_rng rng;
    const uint64_t seed = 17;
    (void)state;
    print_message("seed %llu\n", (unsigned long long)seed);
    replay_init(&rng, "dtype", seed, 0, 0);
    for (int i = 0; i < 1000000; i++) {
        uint32_t bits = replay_u32(&rng);
        if (i % 2 == 0) { /* every other one in the range of binary16 */
            bits = (bits & UINT32_C(0x87ffffff)) | UINT32_C(0x30000000) | (bits & 3 ? 0 : bits << 8 & UINT32_C(0x08000000));
        }
        float value;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value)) {
            continue;
        }
        double half = nearest(value, 10, -14), brain = nearest(value, 7, -126);
        half = fabs(half) > 65504 ? copysign(INFINITY, half) : half;
        brain = fabs(brain) > 0x1.fep127 ? copysign(INFINITY, brain) : brain;
        assert_true((double)from_half(MODEL_F16, to_half(MODEL_F16, value)) == half);
        assert_true((double)from_half(MODEL_BF16, to_half(MODEL_BF16, value)) == brain);
    }
}

static void test_dtype__doubles(void **state)
{
    static const double doubles[] = {1.0 + 0x1p-24, 1.0 + 3 * 0x1p-24, 1e300, -0.0, 0x1p-149};
    static const float floats[] = {1.0F, 1.0F + 0x1p-22F, INFINITY, -0.0F, 0x1p-149F};
    uint8_t bytes[sizeof doubles + 1];
    float out[5];
    double back[5];
    (void)state;
    memcpy(bytes + 1, doubles, sizeof doubles); /* unaligned */
    model_dtype_to_floats(MODEL_F64, bytes + 1, 5, out);
    assert_memory_equal(out, floats, sizeof floats);
    assert_true(model_dtype_from_floats(MODEL_F64, floats, 5, (uint8_t *)back));
    for (size_t i = 0; i < 5; i++) {
        assert_true(back[i] == (double)floats[i]);
    }
}

static void check_integer(enum model_dtype dtype, const void *low, const void *high, uint64_t low_word,
                          uint64_t high_word)
{
    const size_t size = model_dtype_size(dtype);
    uint8_t bytes[16], again[16];
    uint64_t words[2];
    memcpy(bytes, low, size);
    memcpy(bytes + size, high, size);
    assert_true(model_dtype_to_words(dtype, bytes, 2, words));
    assert_int_equal(words[0], low_word);
    assert_int_equal(words[1], high_word);
    assert_true(model_dtype_from_words(dtype, words, 2, again));
    assert_memory_equal(again, bytes, 2 * size);
}

static void test_dtype__integers_keep_their_order(void **state)
{
    const uint64_t zero = UINT64_C(1) << 63;
    (void)state;
    check_integer(MODEL_I64, &(int64_t){INT64_MIN}, &(int64_t){INT64_MAX}, 0, UINT64_MAX);
    check_integer(MODEL_I32, &(int32_t){INT32_MIN}, &(int32_t){7}, zero - (UINT64_C(1) << 31),
                  zero + 7);
    check_integer(MODEL_I16, &(int16_t){-1}, &(int16_t){INT16_MAX}, zero - 1, zero + 32767);
    check_integer(MODEL_I8, &(int8_t){INT8_MIN}, &(int8_t){INT8_MAX}, zero - 128, zero + 127);
    check_integer(MODEL_U64, &(uint64_t){0}, &(uint64_t){UINT64_MAX}, 0, UINT64_MAX);
    check_integer(MODEL_U32, &(uint32_t){1}, &(uint32_t){UINT32_MAX}, 1, UINT32_MAX);
    check_integer(MODEL_U16, &(uint16_t){1}, &(uint16_t){65535}, 1, 65535);
    check_integer(MODEL_U8, &(uint8_t){1}, &(uint8_t){255}, 1, 255);
    check_integer(MODEL_BOOL, &(uint8_t){0}, &(uint8_t){1}, 0, 1);
}

static void test_dtype__what_does_not_fit(void **state)
{
    const uint64_t zero = UINT64_C(1) << 63;
    uint8_t bytes[8];
    uint64_t word;
    (void)state;
    assert_true(model_dtype_from_floats(MODEL_F16, (const float[]){65519.0F, INFINITY, NAN}, 3, bytes));
    assert_false(model_dtype_from_floats(MODEL_F16, (const float[]){1, -65520.0F, 2}, 3, bytes));
    assert_false(model_dtype_from_floats(MODEL_BF16, (const float[]){3.4e38F}, 1, bytes));
    assert_false(model_dtype_to_words(MODEL_BOOL, (const uint8_t[]){2}, 1, &word));
    assert_false(model_dtype_from_words(MODEL_BOOL, &(uint64_t){2}, 1, bytes));
    assert_false(model_dtype_from_words(MODEL_U8, &(uint64_t){256}, 1, bytes));
    assert_false(model_dtype_from_words(MODEL_I8, &(uint64_t){zero + 128}, 1, bytes));
    assert_false(model_dtype_from_words(MODEL_I8, &(uint64_t){zero - 129}, 1, bytes));
    assert_false(model_dtype_from_words(MODEL_I32, &(uint64_t){0}, 1, bytes));
}

/* Against the C library, on any bits: as it says of what they are as floats. */
static void test_dtype__what_is_no_value(void **state)
{
    static const uint8_t bools[] = {0, 1, 1, 2}, integers[] = {255, 255, 255, 255};
    struct replay_rng rng;
    const uint64_t seed = 18;
    (void)state;
    print_message("seed %llu\n", (unsigned long long)seed);
    replay_init(&rng, "dtype", seed, 0, 0);
    for (int i = 0; i < 200000; i++) {
        const enum model_dtype dtype = (enum model_dtype)(i % (MODEL_BF16 + 1));
        const uint64_t bits = i % 3 == 0 ? replay_u64(&rng) | UINT64_C(0x7ff07f807c007f80) : replay_u64(&rng);
        uint8_t bytes[8];
        double wide;
        float value;
        memcpy(bytes, &bits, sizeof bits);
        memcpy(&wide, bytes, sizeof wide);
        model_dtype_to_floats(dtype, bytes, 1, &value);
        const bool good = dtype == MODEL_F64 ? isfinite(wide) : isfinite(value);
        assert_int_equal(model_dtype_first_bad(dtype, bytes, 1), good);
    }
    assert_int_equal(model_dtype_first_bad(MODEL_BOOL, bools, 4), 3);
    assert_int_equal(model_dtype_first_bad(MODEL_BOOL, bools, 3), 3);
    assert_int_equal(model_dtype_first_bad(MODEL_I16, integers, 2), 2);
    assert_int_equal(model_dtype_first_bad(MODEL_F32, (const uint8_t[]){0, 0, 0, 0, 0, 0, 0x80, 0x7f}, 2), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dtype__names_and_sizes),
        cmocka_unit_test(test_dtype__known_halves),
        cmocka_unit_test(test_dtype__halves_are_exact),
        cmocka_unit_test(test_dtype__rounds_to_nearest),
        cmocka_unit_test(test_dtype__doubles),
        cmocka_unit_test(test_dtype__integers_keep_their_order),
        cmocka_unit_test(test_dtype__what_does_not_fit),
        cmocka_unit_test(test_dtype__what_is_no_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
