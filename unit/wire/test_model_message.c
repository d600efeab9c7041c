/* SPDX-License-Identifier: Apache-2.0 */
/* The model message: its layout, there and back, cut and damaged everywhere, and lies. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "digest.h"
#include "le.h"
#include "model_message.h"
#include "replay.h"

static const double steps[2] = {0.5, 0x1p-30};
static const float weights[3] = {1.0f, -2.5f, 0x1p-100f};

/* Another one each time; CAIRN_TEST_SEED in the environment brings one back. */
static uint64_t property_seed(void)
{
    const char *text = getenv("CAIRN_TEST_SEED");
    uint64_t seed = text ? (uint64_t)strtoull(text, NULL, 0) : (uint64_t)getpid();
    print_message("CAIRN_TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

static struct buf example(void)
{
    const struct wire_model m = {
        .experiment = {9, 8, 7},
        .round = 5,
        .flags = WIRE_MODEL_FINAL,
        .tensors = 2,
        .parameters = 3,
        .largest_samples = 0x0102030405060708u,
        .steps = (const uint8_t *)steps,
        .weights = (const uint8_t *)weights,
    };
    struct buf b = {0};
    assert_int_equal(wire_model_write(&b, &m), CAIRN_OK);
    return b;
}

/* From memory of exactly the size, so that the sanitizer sees a byte too many. */
static int read_exactly(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    struct wire_model m, before;
    struct cairn_problem why = {0};
    memset(&m, 0x5a, sizeof m);
    before = m;
    int error = wire_model_read((struct span){size > 0 ? copy : NULL, size}, &m, &why);
    assert_int_equal(why.code, error);
    if (error) {
        assert_memory_equal(&m, &before, sizeof m);
    }
    free(copy);
    return error;
}

static void repair(struct buf *b)
{
    digest_of(b->data, b->size - DIGEST_SIZE, b->data + b->size - DIGEST_SIZE);
}

static void test_model_message__layout(void **state)
{
    (void)state;
    struct buf b = example();
    assert_int_equal(b.size, 64 + 16 + 12 + 32);
    assert_memory_equal(b.data, "CRNM\x01\0\x01\0\x09\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0", 24);
    assert_memory_equal(b.data + 24, "\x05\0\0\0\x02\0\0\0\x03\0\0\0\0\0\0\0", 16);
    assert_memory_equal(b.data + 40, "\x08\x07\x06\x05\x04\x03\x02\x01", 8);
    assert_memory_equal(b.data + 64, "\0\0\0\0\0\0\xe0\x3f\0\0\0\0\0\0\x10\x3e", 16);
    assert_memory_equal(b.data + 80, "\0\0\x80\x3f\0\0\x20\xc0\0\0\x80\x0d", 12);
    uint8_t digest[DIGEST_SIZE];
    digest_of(b.data, 92, digest);
    assert_memory_equal(b.data + 92, digest, 32);
    buf_release(&b);
}

static void test_model_message__reads_what_was_written(void **state)
{
    (void)state;
    struct buf b = example();
    struct wire_model m;
    assert_int_equal(wire_model_read(buf_span(&b), &m, NULL), CAIRN_OK);
    assert_memory_equal(m.experiment, "\x09\x08\x07\0", 4);
    assert_int_equal(m.round, 5);
    assert_int_equal(m.flags, WIRE_MODEL_FINAL);
    assert_int_equal(m.tensors, 2);
    assert_int_equal(m.parameters, 3);
    assert_true(m.largest_samples == 0x0102030405060708u);
    assert_memory_equal(m.steps, steps, sizeof steps);
    assert_memory_equal(m.weights, weights, sizeof weights);
    buf_release(&b);
}

static void test_model_message__cut_at_every_byte(void **state)
{
    (void)state;
    struct buf b = example();
    for (size_t n = 0; n < b.size; n++) {
        assert_int_equal(read_exactly(b.data, n), CAIRN_ERR_MALFORMED);
    }
    assert_int_equal(read_exactly(b.data, b.size), CAIRN_OK);
    assert_int_equal(buf_append(&b, "", 1), CAIRN_OK);
    assert_int_equal(read_exactly(b.data, b.size), CAIRN_ERR_MALFORMED);
    buf_release(&b);
}

static void test_model_message__every_bit_matters(void **state)
{
    (void)state;
    struct buf b = example();
    for (size_t i = 0; i < b.size * 8; i++) {
        b.data[i / 8] ^= (uint8_t)(1u << i % 8);
        int error = read_exactly(b.data, b.size);
        assert_true(error == CAIRN_ERR_MALFORMED || error == CAIRN_ERR_INTEGRITY);
        b.data[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    buf_release(&b);
}

/* One field changed and the digest made right again. */
static void test_model_message__lies(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        unsigned width;
        uint64_t value;
        int expected;
    } rows[] = {
#define BAD CAIRN_ERR_MALFORMED
        {4, 2, 0, BAD},
        {4, 2, 2, BAD},
        {6, 2, 0, CAIRN_OK},
        {6, 2, 2, BAD},
        {6, 2, 0x8001, BAD},
        {24, 4, 0, BAD},
        {28, 4, 1, BAD},
        {28, 4, 3, BAD},
        {28, 4, 0xffffffff, BAD},
        {32, 8, 2, BAD},
        {32, 8, 4, BAD},
        {32, 8, UINT64_MAX, BAD},
        /* 4 * parameters is 12 again, modulo 2^64 */
        {32, 8, ((uint64_t)1 << 62) + 3, BAD},
        {40, 8, 0, CAIRN_OK},
        {48, 4, 1, BAD},
        {60, 4, 0x80000000, BAD},
        /* steps: zero, minus zero, negative, infinite, not a number; the smallest is allowed */
        {64, 8, 0, BAD},
        {64, 8, 0x8000000000000000, BAD},
        {72, 8, 0xbff0000000000000, BAD},
        {72, 8, 0x7ff0000000000000, BAD},
        {72, 8, 0x7ff8000000000000, BAD},
        {72, 8, 0xfff8000000000001, BAD},
        {72, 8, 1, CAIRN_OK},
#undef BAD
    };
    struct buf b = example();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t kept[8], value[8];
        memcpy(kept, b.data + rows[i].at, 8);
        le_put64(value, rows[i].value);
        memcpy(b.data + rows[i].at, value, rows[i].width);
        repair(&b);
        int error = read_exactly(b.data, b.size);
        if (error != rows[i].expected) {
            fail_msg("row %zu gave %d", i, error);
        }
        memcpy(b.data + rows[i].at, kept, 8);
    }
    buf_release(&b);
}

static void test_model_message__sizes(void **state)
{
    (void)state;
    size_t size = 7;
    assert_int_equal(wire_model_size(0, 0, &size), CAIRN_OK);
    assert_int_equal(size, 96);
    assert_int_equal(wire_model_size(2, 3, &size), CAIRN_OK);
    assert_int_equal(size, 124);
    assert_int_equal(wire_model_size(1, UINT64_MAX, &size), CAIRN_ERR_TOO_LONG);
    assert_int_equal(wire_model_size(0, UINT64_MAX / 4, &size), CAIRN_ERR_TOO_LONG);
    assert_int_equal(size, 124);
    const struct wire_model huge = {.parameters = UINT64_MAX};
    struct buf b = {0};
    assert_int_equal(wire_model_write(&b, &huge), CAIRN_ERR_TOO_LONG);
    assert_int_equal(b.size, 0);
    buf_release(&b);
}

/* 200 random models behind something else in the buffer */
static void test_model_message__random_round_trip(void **state)
{
    (void)state;
    uint64_t seed = property_seed();
    struct replay_rng r;
    replay_init(&r, "test", seed, 0, 0);
    for (int i = 0; i < 200; i++) {
        uint8_t step_bytes[8 * 20], weight_bytes[4 * 500];
        struct wire_model in = {.round = 1 + replay_below(&r, UINT32_MAX),
                                .flags = (uint16_t)replay_below(&r, 2),
                                .tensors = replay_below(&r, 21),
                                .parameters = replay_below(&r, 501),
                                .largest_samples = replay_u64(&r),
                                .steps = step_bytes,
                                .weights = weight_bytes};
        struct wire_model out;
        for (uint32_t k = 0; k < in.tensors; k++) {
            double step = exp(replay_normal(&r) * 20);
            memcpy(step_bytes + 8 * (size_t)k, &step, 8);
        }
        for (size_t k = 0; k < 4 * in.parameters; k++) {
            weight_bytes[k] = (uint8_t)replay_u32(&r);
        }
        for (size_t k = 0; k < WIRE_EXPERIMENT; k++) {
            in.experiment[k] = (uint8_t)replay_u32(&r);
        }
        struct buf b = {0};
        assert_int_equal(buf_append(&b, "xyz", 3), CAIRN_OK);
        assert_int_equal(wire_model_write(&b, &in), CAIRN_OK);
        assert_memory_equal(b.data, "xyz", 3);
        assert_int_equal(wire_model_read((struct span){b.data + 3, b.size - 3}, &out, NULL), 0);
        assert_memory_equal(out.experiment, in.experiment, WIRE_EXPERIMENT);
        assert_true(out.round == in.round && out.flags == in.flags && out.tensors == in.tensors &&
                    out.parameters == in.parameters && out.largest_samples == in.largest_samples);
        assert_memory_equal(out.steps, step_bytes, 8 * (size_t)in.tensors);
        assert_memory_equal(out.weights, weight_bytes, 4 * (size_t)in.parameters);
        buf_release(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model_message__layout),
        cmocka_unit_test(test_model_message__reads_what_was_written),
        cmocka_unit_test(test_model_message__cut_at_every_byte),
        cmocka_unit_test(test_model_message__every_bit_matters),
        cmocka_unit_test(test_model_message__lies),
        cmocka_unit_test(test_model_message__sizes),
        cmocka_unit_test(test_model_message__random_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
