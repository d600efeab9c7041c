/* SPDX-License-Identifier: Apache-2.0 */
/* A piece of the model: its layout, there and back, cut and damaged everywhere, and lies. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "checksum.h"
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

static struct wire_model example_fields(void)
{
    return (struct wire_model){
        .experiment = {9, 8, 7},
        .round = 5,
        .flags = WIRE_MODEL_FINAL,
        .tensors = 2,
        .parameters = 3,
        .largest_samples = 0x0102030405060708u,
        .first = 0,
        .count = 3,
        .next_frame = 0x11121314,
        .deadline_ms = 0x21222324,
        .steps = (const uint8_t *)steps,
        .weights = (const uint8_t *)weights,
    };
}

static struct buf written(const struct wire_model *m)
{
    struct buf b = {0};
    assert_int_equal(wire_model_write(&b, m), CAIRN_OK);
    return b;
}

static struct buf example(void)
{
    const struct wire_model m = example_fields();
    return written(&m);
}

/* The last two of a model that has 2^63 before them. */
static struct buf later_example(void)
{
    struct wire_model m = example_fields();
    m.first = UINT64_C(1) << 63;
    m.count = 2;
    m.parameters = m.first + 2;
    return written(&m);
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
    checksum_of(b->data, b->size - WIRE_MODEL_DIGEST, 0, b->data + b->size - WIRE_MODEL_DIGEST);
}

/* Integers behind the weights, in the first piece and in no other. */
static void test_model_message__words(void **state)
{
    (void)state;
    static const uint64_t words[2] = {UINT64_MAX, 0x0102030405060708u};
    struct wire_model m = example_fields(), found;
    struct cairn_problem why = {0};
    m.n_words = 2;
    m.words = (const uint8_t *)words;
    struct buf b = written(&m);
    assert_int_equal(b.size, 96 + 16 + 12 + 16 + 16);
    assert_memory_equal(b.data + 72, "\x02\0\0\0", 4);
    assert_memory_equal(b.data + 124, words, sizeof words);
    assert_int_equal(wire_model_read(buf_span(&b), &found, &why), 0);
    assert_int_equal(found.n_words, 2);
    assert_memory_equal(found.words, words, sizeof words);
    buf_release(&b);
    m.first = 2;
    m.count = 1;
    b = written(&m);
    assert_int_equal(b.size, 96 + 4 + 16);
    assert_int_equal(wire_model_read(buf_span(&b), &found, &why), 0);
    assert_null(found.words);
    buf_release(&b);
}

static void test_model_message__layout(void **state)
{
    (void)state;
    struct buf b = example();
    assert_int_equal(b.size, 96 + 16 + 12 + 16);
    assert_memory_equal(b.data, "CRNM\x04\0\x01\0\x09\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0", 24);
    assert_memory_equal(b.data + 24, "\x05\0\0\0\x02\0\0\0\x03\0\0\0\0\0\0\0", 16);
    assert_memory_equal(b.data + 40, "\x08\x07\x06\x05\x04\x03\x02\x01", 8);
    assert_memory_equal(b.data + 48, "\0\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0", 16);
    assert_memory_equal(b.data + 64, "\x14\x13\x12\x11\x24\x23\x22\x21", 8);
    assert_memory_equal(b.data + 72, (uint8_t[24]){0}, 24);
    assert_memory_equal(b.data + 96, "\0\0\0\0\0\0\xe0\x3f\0\0\0\0\0\0\x10\x3e", 16);
    assert_memory_equal(b.data + 112, "\0\0\x80\x3f\0\0\x20\xc0\0\0\x80\x0d", 12);
    uint8_t digest[16];
    checksum_of(b.data, 124, 0, digest);
    assert_memory_equal(b.data + 124, digest, 16);
    buf_release(&b);
}

/* A later piece has no steps, and says where it begins. */
static void test_model_message__layout_of_a_later_piece(void **state)
{
    (void)state;
    struct buf b = later_example();
    assert_int_equal(b.size, 96 + 8 + 16);
    assert_memory_equal(b.data + 28, "\x02\0\0\0\x02\0\0\0\0\0\0\x80", 12);
    assert_memory_equal(b.data + 48, "\0\0\0\0\0\0\0\x80\x02\0\0\0\0\0\0\0", 16);
    assert_memory_equal(b.data + 96, "\0\0\x80\x3f\0\0\x20\xc0", 8);
    struct wire_model m;
    assert_int_equal(wire_model_read(buf_span(&b), &m, NULL), CAIRN_OK);
    assert_null(m.steps);
    assert_ptr_equal(m.weights, b.data + 96);
    assert_true(m.first == UINT64_C(1) << 63 && m.count == 2);
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
    assert_true(m.first == 0 && m.count == 3);
    assert_true(m.next_frame == 0x11121314 && m.deadline_ms == 0x21222324);
    assert_memory_equal(m.steps, steps, sizeof steps);
    assert_memory_equal(m.weights, weights, sizeof weights);
    buf_release(&b);
}

/* A copy of what was read says the same, of its own bytes. */
static void test_model_message__again(void **state)
{
    (void)state;
    struct buf b = example();
    struct buf copy = {0};
    struct wire_model m;
    assert_int_equal(wire_model_read(buf_span(&b), &m, NULL), CAIRN_OK);
    assert_int_equal(buf_append(&copy, b.data, b.size), 0);
    buf_release(&b);
    const struct wire_model again = wire_model_again(copy.data);
    assert_memory_equal(again.experiment, m.experiment, sizeof m.experiment);
    assert_true(again.round == m.round && again.flags == m.flags && again.tensors == m.tensors);
    assert_true(again.parameters == m.parameters && again.largest_samples == m.largest_samples);
    assert_true(again.first == m.first && again.count == m.count && again.n_words == m.n_words);
    assert_true(again.next_frame == m.next_frame && again.deadline_ms == m.deadline_ms);
    assert_memory_equal(again.steps, steps, sizeof steps);
    assert_memory_equal(again.weights, weights, sizeof weights);
    buf_release(&copy);
}

/* Sending a kept piece again at another time is as writing it anew. */
static void test_model_message__retime(void **state)
{
    (void)state;
    struct wire_model m = example_fields();
    struct buf kept = written(&m);
    m.next_frame = 0;
    m.deadline_ms = UINT32_MAX;
    struct buf anew = written(&m);
    wire_model_retime(kept.data, kept.size, 0, UINT32_MAX);
    assert_int_equal(kept.size, anew.size);
    assert_memory_equal(kept.data, anew.data, anew.size);
    buf_release(&kept);
    buf_release(&anew);
}

/* As in a batch: of which version it is comes before whether it is whole. */
static void test_model_message__another_version(void **state)
{
    (void)state;
    struct buf b = example();
    struct wire_model m;
    struct cairn_problem why = {0};
    b.data[4] = 3;
    assert_int_equal(wire_model_read(buf_span(&b), &m, &why), CAIRN_ERR_MALFORMED);
    assert_string_equal(why.what, "model message: version 3, this is version 4");
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

static void every_bit_matters(struct buf b)
{
    for (size_t i = 0; i < b.size * 8; i++) {
        b.data[i / 8] ^= (uint8_t)(1u << i % 8);
        int error = read_exactly(b.data, b.size);
        assert_true(error == CAIRN_ERR_MALFORMED || error == CAIRN_ERR_INTEGRITY);
        b.data[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    buf_release(&b);
}

static void test_model_message__every_bit_matters(void **state)
{
    (void)state;
    every_bit_matters(example());
    every_bit_matters(later_example());
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
        {4, 2, 1, BAD},
        {4, 2, 3, BAD},
        {4, 2, 5, BAD},
        {6, 2, 0, CAIRN_OK},
        {6, 2, 2, BAD},
        {6, 2, 0x8001, BAD},
        {24, 4, 0, BAD},
        {28, 4, 1, BAD},
        {28, 4, 3, BAD},
        {28, 4, 0xffffffff, BAD},
        /* of a larger model this is the first piece; of a smaller one it cannot be */
        {32, 8, 2, BAD},
        {32, 8, 0, BAD},
        {32, 8, 4, CAIRN_OK},
        {32, 8, UINT64_MAX, CAIRN_OK},
        {40, 8, 0, CAIRN_OK},
        /* elsewhere it would have no steps */
        {48, 8, 1, BAD},
        {48, 8, UINT64_MAX, BAD},
        {56, 8, 2, BAD},
        {56, 8, 4, BAD},
        {56, 8, UINT64_MAX, BAD},
        /* 4 * count is 12 again, modulo 2^64 */
        {56, 8, ((uint64_t)1 << 62) + 3, BAD},
        {64, 4, UINT32_MAX, CAIRN_OK},
        {68, 4, 0, CAIRN_OK},
        {72, 4, 1, BAD},
        {92, 4, 0x80000000, BAD},
        /* steps: zero, minus zero, negative, infinite, not a number; the smallest is allowed */
        {96, 8, 0, BAD},
        {96, 8, 0x8000000000000000, BAD},
        {104, 8, 0xbff0000000000000, BAD},
        {104, 8, 0x7ff0000000000000, BAD},
        {104, 8, 0x7ff8000000000000, BAD},
        {104, 8, 0xfff8000000000001, BAD},
        {104, 8, 1, CAIRN_OK},
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

/* Where a piece lies in its model, digest right: at the end, past it, around the end of 64 bits. */
static void test_model_message__lies_about_the_place(void **state)
{
    (void)state;
    static const struct {
        uint64_t first, parameters;
        int expected;
    } rows[] = {
        {1, 3, CAIRN_OK},
        {2, 3, CAIRN_ERR_MALFORMED},
        {3, 3, CAIRN_ERR_MALFORMED},
        {1, 2, CAIRN_ERR_MALFORMED},
        {1, 1, CAIRN_ERR_MALFORMED},
        {1, 0, CAIRN_ERR_MALFORMED},
        {UINT64_MAX - 2, UINT64_MAX, CAIRN_OK},
        {UINT64_MAX - 1, UINT64_MAX, CAIRN_ERR_MALFORMED},
        {UINT64_MAX, UINT64_MAX, CAIRN_ERR_MALFORMED},
        {UINT64_MAX, 1, CAIRN_ERR_MALFORMED}, /* first + count is 1 again, modulo 2^64 */
        {UINT64_MAX - 1, 5, CAIRN_ERR_MALFORMED},
    };
    struct buf b = later_example();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        le_put64(b.data + 48, rows[i].first);
        le_put64(b.data + 32, rows[i].parameters);
        repair(&b);
        int error = read_exactly(b.data, b.size);
        if (error != rows[i].expected) {
            fail_msg("row %zu gave %d", i, error);
        }
    }
    buf_release(&b);
}

/* No parameters: neither written nor read, though its length would be right. */
static void test_model_message__an_empty_piece(void **state)
{
    (void)state;
    struct wire_model m = example_fields();
    struct buf b = {0}, one;
    m.count = 0;
    assert_int_equal(wire_model_write(&b, &m), CAIRN_ERR_BUG);
    m.first = 3;
    assert_int_equal(wire_model_write(&b, &m), CAIRN_ERR_BUG);
    assert_int_equal(b.size, 0);
    m.first = 2;
    m.count = 1;
    one = written(&m);
    assert_int_equal(read_exactly(one.data, one.size), CAIRN_OK);
    one.size -= 4;
    le_put64(one.data + 56, 0);
    repair(&one);
    assert_int_equal(read_exactly(one.data, one.size), CAIRN_ERR_MALFORMED);
    buf_release(&one);
}

static void test_model_message__sizes(void **state)
{
    (void)state;
    size_t size = 7;
    assert_int_equal(wire_model_size(0, 0, 0, 0, &size), CAIRN_OK);
    assert_int_equal(size, 112);
    assert_int_equal(wire_model_size(2, 0, 3, 0, &size), CAIRN_OK);
    assert_int_equal(size, 140);
    assert_int_equal(wire_model_size(UINT32_MAX, 0, 3, 1, &size), CAIRN_OK);
    assert_int_equal(size, 124);
    assert_int_equal(wire_model_size(2, 5, 3, 0, &size), CAIRN_OK);
    assert_int_equal(size, 140 + 40);
    assert_int_equal(wire_model_size(2, 5, 3, 1, &size), CAIRN_OK); /* not in the first piece */
    assert_int_equal(size, 124);
    assert_int_equal(wire_model_size(1, 0, UINT64_MAX, 0, &size), CAIRN_ERR_TOO_LONG);
    assert_int_equal(wire_model_size(0, 0, UINT64_MAX / 4, 1, &size), CAIRN_ERR_TOO_LONG);
    assert_int_equal(size, 124);
    struct wire_model m = example_fields();
    struct buf b = {0};
    m.parameters = m.count = UINT64_MAX;
    assert_int_equal(wire_model_write(&b, &m), CAIRN_ERR_TOO_LONG);
    m.first = 1; /* beyond the model, and around the end of 64 bits */
    assert_int_equal(wire_model_write(&b, &m), CAIRN_ERR_BUG);
    m.parameters = 3;
    m.count = 3;
    assert_int_equal(wire_model_write(&b, &m), CAIRN_ERR_BUG);
    assert_int_equal(b.size, 0);
    buf_release(&b);
}

/* 200 random pieces behind something else in the buffer */
static void test_model_message__random_round_trip(void **state)
{
    (void)state;
    uint64_t seed = property_seed();
    struct replay_rng r;
    replay_init(&r, "test", seed, 0, 0);
    for (int i = 0; i < 200; i++) {
        uint8_t step_bytes[8 * 20], weight_bytes[4 * 500];
        const uint64_t first = replay_below(&r, 2) * (replay_u64(&r) >> 1);
        struct wire_model in = {.round = 1 + replay_below(&r, UINT32_MAX),
                                .flags = (uint16_t)replay_below(&r, 2),
                                .tensors = replay_below(&r, 21),
                                .first = first,
                                .count = 1 + replay_below(&r, 500),
                                .largest_samples = replay_u64(&r),
                                .next_frame = replay_u32(&r),
                                .deadline_ms = replay_u32(&r),
                                .steps = step_bytes,
                                .weights = weight_bytes};
        in.parameters = first + in.count + replay_below(&r, 3);
        struct wire_model out;
        for (uint32_t k = 0; k < in.tensors; k++) {
            double step = exp(replay_normal(&r) * 20);
            memcpy(step_bytes + 8 * (size_t)k, &step, 8);
        }
        for (size_t k = 0; k < 4 * in.count; k++) {
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
        assert_true(out.first == in.first && out.count == in.count &&
                    out.next_frame == in.next_frame && out.deadline_ms == in.deadline_ms);
        assert_true((out.steps != NULL) == (first == 0));
        if (out.steps != NULL) {
            assert_memory_equal(out.steps, step_bytes, 8 * (size_t)in.tensors);
        }
        assert_memory_equal(out.weights, weight_bytes, 4 * (size_t)in.count);
        buf_release(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model_message__layout),
        cmocka_unit_test(test_model_message__words),
        cmocka_unit_test(test_model_message__layout_of_a_later_piece),
        cmocka_unit_test(test_model_message__again),
        cmocka_unit_test(test_model_message__retime),
        cmocka_unit_test(test_model_message__reads_what_was_written),
        cmocka_unit_test(test_model_message__another_version),
        cmocka_unit_test(test_model_message__cut_at_every_byte),
        cmocka_unit_test(test_model_message__every_bit_matters),
        cmocka_unit_test(test_model_message__lies),
        cmocka_unit_test(test_model_message__lies_about_the_place),
        cmocka_unit_test(test_model_message__an_empty_piece),
        cmocka_unit_test(test_model_message__sizes),
        cmocka_unit_test(test_model_message__random_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
