/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches and frames: one whose bytes are written out here by hand, random ones there and back,
 * one cut at every byte and one damaged in every bit, and lies whose digests are right.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "checksum.h"
#include "frame.h"
#include "le.h"
#include "replay.h"

static const struct wire_context context = {
    .experiment = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
    .round = 0x01020304,
    .stream = WIRE_STREAM_UPDATE,
};

enum { FRAMES = 3, FIRST = 7 };

static const struct span no_set = {NULL, 0};

/* Another one each time; CAIRN_TEST_SEED in the environment brings one back. */
static uint64_t property_seed(void)
{
    const char *text = getenv("CAIRN_TEST_SEED");
    uint64_t seed = text ? (uint64_t)strtoull(text, NULL, 0) : (uint64_t)getpid();
    print_message("CAIRN_TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

/* Three frames: one with a set, one with nobody in it, one without a set. */
static struct buf example(void)
{
    struct buf b = {0};
    assert_int_equal(buf_append(&b, (const uint8_t[WIRE_BATCH_HEADER]){0}, WIRE_BATCH_HEADER), 0);
    static const uint32_t contributors[FRAMES] = {3, 0, 2};
    static const size_t payload[FRAMES] = {20, 0, 5};
    for (uint32_t i = 0; i < FRAMES; i++) {
        static const uint8_t bits[2] = {0x05, 0x80};
        struct span set = i == 0 ? (struct span){bits, sizeof bits} : no_set;
        size_t begin = b.size, at;
        assert_int_equal(wire_frame_begin(&b, FIRST + i, contributors[i],
                                          i == 1 ? 0 : 0x1122334455667788u, 0xabcd, payload[i], set,
                                          &at),
                         CAIRN_OK);
        assert_int_equal(at, begin + WIRE_FRAME_HEADER);
        for (size_t k = 0; k < payload[i]; k++) {
            assert_int_equal(b.data[at + k], 0);
            b.data[at + k] = (uint8_t)(0x40 + k);
        }
        assert_int_equal(wire_frame_end(&b, begin, &context), CAIRN_OK);
        assert_int_equal(b.size - begin, wire_frame_size(payload[i], set.size));
    }
    wire_batch_header(b.data, &context, 42, FRAMES, FIRST, b.size);
    return b;
}

/* Read a batch to its end from memory of exactly its size, where the sanitizer sees every byte
 * too many. Returns 0 or the first error. */
static int read_through(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    struct wire_batch batch;
    struct wire_frame frame;
    struct cairn_problem why = {0};
    int result = wire_batch_read((struct span){size > 0 ? copy : NULL, size}, &batch, &why);
    if (!result) {
        while ((result = wire_batch_next(&batch, &frame, &why)) == 1) {
        }
    }
    assert_int_equal(why.code, result);
    free(copy);
    return result;
}

/* The layout, byte by byte as frame.h describes it, with digests made here. */
static void test_frame__layout(void **state)
{
    (void)state;
    struct buf b = example();
    const uint8_t *p = b.data;
    assert_memory_equal(p, "CRNB\x02\x00\x01\x00", 8);
    assert_memory_equal(p + 8, context.experiment, 16);
    assert_memory_equal(p + 24, "\x04\x03\x02\x01\x2a\0\0\0\x03\0\0\0\x07\0\0\0", 16);
    assert_true(le_get64(p + 40) == b.size);
    for (size_t i = 48; i < 64; i++) {
        assert_int_equal(p[i], 0);
    }
    uint8_t digest[16], belongs[40] = "cairn frame v2";
    checksum_of(p, 64, 0, digest);
    assert_memory_equal(p + 64, digest, 16);

    const uint8_t *f = p + WIRE_BATCH_HEADER;
    assert_memory_equal(f,
                        "\x07\0\0\0\x03\0\0\0\x88\x77\x66\x55\x44\x33\x22\x11"
                        "\xcd\xab\0\0\x14\0\0\0\x0a\0\0\0\0\0\0\0",
                        32);
    assert_memory_equal(f + 32, "@ABCDEFGHIJKLMNOPQRS", 20);
    assert_memory_equal(f + 52, "\x01\0\0\0\x02\0\0\0\x05\x80", 10);
    memcpy(belongs + 16, context.experiment, 16);
    memcpy(belongs + 32, "\x04\x03\x02\x01\x01\0\0\0", 8);
    checksum_of(f, 62, checksum_seed(belongs, sizeof belongs), digest);
    assert_memory_equal(f + 62, digest, 16);
    assert_int_equal(le_get32(f + 62 + 16), FIRST + 1); /* the next frame */
    buf_release(&b);
}

static void test_frame__reads_what_was_written(void **state)
{
    (void)state;
    struct buf b = example();
    struct wire_batch batch;
    struct wire_frame f;
    assert_int_equal(wire_batch_read(buf_span(&b), &batch, NULL), CAIRN_OK);
    assert_memory_equal(batch.context.experiment, context.experiment, 16);
    assert_true(batch.context.round == context.round);
    assert_int_equal(batch.context.stream, WIRE_STREAM_UPDATE);
    assert_int_equal(batch.origin, 42);
    assert_int_equal(batch.frames, FRAMES);
    assert_int_equal(batch.first_index, FIRST);

    assert_int_equal(wire_batch_next(&batch, &f, NULL), 1);
    assert_int_equal(f.index, FIRST);
    assert_int_equal(f.contributors, 3);
    assert_true(f.weight == 0x1122334455667788u);
    assert_int_equal(f.params_id, 0xabcd);
    assert_int_equal(f.payload.size, 20);
    assert_ptr_equal(f.payload.data, b.data + 80 + 32);
    assert_int_equal(f.contributor_set.size, 2);
    assert_memory_equal(f.contributor_set.data, "\x05\x80", 2);
    assert_ptr_equal(f.bytes.data, b.data + 80);
    assert_int_equal(f.bytes.size, wire_frame_size(20, 2));

    assert_int_equal(wire_batch_next(&batch, &f, NULL), 1);
    assert_int_equal(f.index, FIRST + 1);
    assert_int_equal(f.contributors, 0);
    assert_int_equal(f.payload.size, 0);
    assert_int_equal(f.contributor_set.size, 0);
    assert_int_equal(wire_batch_next(&batch, &f, NULL), 1);
    assert_int_equal(f.index, FIRST + 2);
    assert_int_equal(wire_batch_next(&batch, &f, NULL), 0);
    assert_int_equal(wire_batch_next(&batch, &f, NULL), 0);
    assert_int_equal(batch.frames, FRAMES);
    assert_int_equal(batch.first_index, FIRST);
    buf_release(&b);
}

static void test_frame__cut_at_every_byte(void **state)
{
    (void)state;
    struct buf b = example();
    for (size_t n = 0; n < b.size; n++) {
        assert_int_equal(read_through(b.data, n), CAIRN_ERR_MALFORMED);
    }
    assert_int_equal(read_through(b.data, b.size), 0);
    /* also where the header says the shorter length, as one who cuts on purpose would */
    for (size_t n = WIRE_BATCH_HEADER; n < b.size; n++) {
        wire_batch_header(b.data, &context, 42, FRAMES, FIRST, n);
        assert_int_equal(read_through(b.data, n), CAIRN_ERR_MALFORMED);
    }
    buf_release(&b);
}

static void test_frame__every_bit_matters(void **state)
{
    (void)state;
    struct buf b = example();
    for (size_t i = 0; i < b.size * 8; i++) {
        b.data[i / 8] ^= (uint8_t)(1u << i % 8);
        int error = read_through(b.data, b.size);
        assert_true(error == CAIRN_ERR_MALFORMED || error == CAIRN_ERR_INTEGRITY);
        b.data[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    assert_int_equal(read_through(b.data, b.size), 0);
    assert_int_equal(buf_append(&b, "", 1), CAIRN_OK);
    assert_int_equal(read_through(b.data, b.size), CAIRN_ERR_MALFORMED);
    wire_batch_header(b.data, &context, 42, FRAMES, FIRST, b.size);
    assert_int_equal(read_through(b.data, b.size), CAIRN_ERR_MALFORMED);
    buf_release(&b);
}

/* A header with one field changed and its digest made right again. */
static void test_frame__lying_headers(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        unsigned width;
        uint64_t value;
        int expected;
    } rows[] = {
        {4, 2, 1, CAIRN_ERR_MALFORMED},           {4, 2, 3, CAIRN_ERR_MALFORMED},
        {6, 2, 0, CAIRN_ERR_MALFORMED},           {6, 2, 2, CAIRN_ERR_MALFORMED},
        {6, 2, 0x0101, CAIRN_ERR_MALFORMED},      {24, 4, 0, CAIRN_ERR_MALFORMED},
        {24, 4, 5, CAIRN_ERR_INTEGRITY},          {8, 4, 0, CAIRN_ERR_INTEGRITY},
        {32, 4, 0, CAIRN_ERR_MALFORMED},          {32, 4, 2, CAIRN_ERR_MALFORMED},
        {32, 4, 4, CAIRN_ERR_MALFORMED},          {32, 4, 0xffffffff, CAIRN_ERR_MALFORMED},
        {36, 4, 6, CAIRN_ERR_MALFORMED},          {36, 4, 0xfffffffe, CAIRN_ERR_MALFORMED},
        {40, 8, 0, CAIRN_ERR_MALFORMED},          {40, 8, 79, CAIRN_ERR_MALFORMED},
        {40, 8, 80, CAIRN_ERR_MALFORMED},         {40, 8, UINT64_MAX, CAIRN_ERR_MALFORMED},
        {40, 8, (uint64_t)1 << 63, CAIRN_ERR_MALFORMED},
        {48, 4, 1, CAIRN_ERR_MALFORMED},          {60, 4, 0x80000000, CAIRN_ERR_MALFORMED},
        {28, 4, 9, 0}, /* another origin is nothing that this layer could know better */
    };
    struct buf b = example();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t kept[WIRE_BATCH_HEADER], value[8];
        memcpy(kept, b.data, sizeof kept);
        le_put64(value, rows[i].value);
        memcpy(b.data + rows[i].at, value, rows[i].width);
        checksum_of(b.data, 64, 0, b.data + 64);
        assert_int_equal(read_through(b.data, b.size), rows[i].expected);
        memcpy(b.data, kept, sizeof kept);
    }
    buf_release(&b);
}

/* Counts that cannot be are refused with the header, before anybody plans for that many frames. */
static void test_frame__counts_are_held_against_the_bytes(void **state)
{
    (void)state;
    struct buf b = example();
    struct wire_batch batch;
    static const uint32_t counts[] = {FRAMES + 1, 1000, UINT32_MAX - FIRST};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        wire_batch_header(b.data, &context, 42, counts[i], FIRST, b.size);
        assert_int_equal(wire_batch_read(buf_span(&b), &batch, NULL), CAIRN_ERR_MALFORMED);
    }
    wire_batch_header(b.data, &context, 42, 0, 0, WIRE_BATCH_HEADER);
    assert_int_equal(read_through(b.data, WIRE_BATCH_HEADER), CAIRN_ERR_MALFORMED);
    buf_release(&b);
}

static uint64_t context_seed(void)
{
    uint8_t belongs[40] = "cairn frame v2";
    memcpy(belongs + 16, context.experiment, WIRE_EXPERIMENT);
    le_put32(belongs + 32, context.round);
    le_put32(belongs + 36, WIRE_STREAM_UPDATE);
    return checksum_seed(belongs, sizeof belongs);
}

/* One frame with these bytes, in a right batch, with a right digest. */
static int read_one(const uint8_t header[WIRE_FRAME_HEADER], const void *rest, size_t size)
{
    struct buf b = {0};
    assert_int_equal(buf_append(&b, (const uint8_t[WIRE_BATCH_HEADER]){0}, WIRE_BATCH_HEADER), 0);
    assert_int_equal(buf_append(&b, header, WIRE_FRAME_HEADER), 0);
    assert_int_equal(buf_append(&b, rest, size), 0);
    const size_t covered = b.size - WIRE_BATCH_HEADER;
    assert_int_equal(buf_append(&b, (const uint8_t[WIRE_FRAME_DIGEST]){0}, WIRE_FRAME_DIGEST), 0);
    checksum_of(b.data + WIRE_BATCH_HEADER, covered, context_seed(),
                b.data + WIRE_BATCH_HEADER + covered);
    wire_batch_header(b.data, &context, 1, 1, FIRST, b.size);
    int result = read_through(b.data, b.size);
    buf_release(&b);
    return result;
}

static void test_frame__lying_frames(void **state)
{
    (void)state;
    static const struct {
        uint32_t index, contributors;
        uint64_t weight;
        uint32_t ring, payload, extensions, reserved;
        const char *rest;
        size_t size;
        int expected;
    } rows[] = {
#define BAD CAIRN_ERR_MALFORMED
        {FIRST, 1, 1, 0xffff, 4, 0, 0, "abcd", 4, 0},
        {FIRST, 1, 0, 0, 0, 0, 0, "", 0, 0},
        {FIRST, 0, 0, 0, 0, 0, 0, "", 0, 0},
        {FIRST + 1, 1, 1, 0, 4, 0, 0, "abcd", 4, BAD},
        {FIRST - 1, 1, 1, 0, 4, 0, 0, "abcd", 4, BAD},
        {FIRST, 0, 0, 0, 4, 0, 0, "abcd", 4, BAD},
        {FIRST, 0, 1, 0, 0, 0, 0, "", 0, BAD},
        {FIRST, 1, 1, 0x10000, 4, 0, 0, "abcd", 4, BAD},
        {FIRST, 1, 1, 0, 4, 0, 1, "abcd", 4, BAD},
        /* lengths: one too long, one too short, both at their largest, a sum that is 4 mod 2^32 */
        {FIRST, 1, 1, 0, 5, 0, 0, "abcd", 4, BAD},
        {FIRST, 1, 1, 0, 3, 0, 0, "abcd", 4, CAIRN_ERR_INTEGRITY},
        {FIRST, 1, 1, 0, 0xffffffff, 0, 0, "abcd", 4, BAD},
        {FIRST, 1, 1, 0, 0xffffffff, 0xffffffff, 0, "abcd", 4, BAD},
        {FIRST, 1, 1, 0, 0xfffffffc, 8, 0, "abcd", 4, BAD},
        {FIRST, 1, 1, 0, 0x80000000, 0x80000004, 0, "abcd", 4, BAD},
        {FIRST, 1, 1, 0, 4, 0xffffffff, 0, "abcd", 4, BAD},
        /* extensions: an empty unknown one, a known one, both in order */
        {FIRST, 1, 1, 0, 0, 8, 0, "\x09\0\0\0\0\0\0\0", 8, 0},
        {FIRST, 1, 1, 0, 0, 9, 0, "\x01\0\0\0\x01\0\0\0x", 9, 0},
        {FIRST, 1, 1, 0, 0, 17, 0, "\x01\0\0\0\x01\0\0\0x\x09\0\0\0\0\0\0\0", 17, 0},
        {FIRST, 1, 1, 0, 0, 16, 0, "\x02\0\0\0\x08\0\0\0abcdefgh", 16, 0},
        {FIRST, 1, 1, 0, 1, 9, 0, "p\0\0\0\0\x01\0\0\0x", 10, 0},
        /* cut header, reserved bytes, too long by one, at their largest, twice, out of order, an
         * empty set, rubbish behind */
        {FIRST, 1, 1, 0, 0, 1, 0, "\x09", 1, BAD},
        {FIRST, 1, 1, 0, 0, 7, 0, "\x09\0\0\0\0\0\0", 7, BAD},
        {FIRST, 1, 1, 0, 0, 8, 0, "\x09\0\x01\0\0\0\0\0", 8, BAD},
        {FIRST, 1, 1, 0, 0, 8, 0, "\x09\0\0\x80\0\0\0\0", 8, BAD},
        {FIRST, 1, 1, 0, 0, 9, 0, "\x01\0\0\0\x02\0\0\0x", 9, BAD},
        {FIRST, 1, 1, 0, 0, 9, 0, "\x01\0\0\0\xff\xff\xff\xffx", 9, BAD},
        {FIRST, 1, 1, 0, 0, 18, 0, "\x01\0\0\0\x01\0\0\0x\x01\0\0\0\x01\0\0\0y", 18, BAD},
        {FIRST, 1, 1, 0, 0, 16, 0, "\x09\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0", 16, BAD},
        {FIRST, 1, 1, 0, 0, 8, 0, "\x02\0\0\0\0\0\0\0", 8, BAD}, /* no words, or half of one */
        {FIRST, 1, 1, 0, 0, 12, 0, "\x02\0\0\0\x04\0\0\0abcd", 12, BAD},
        {FIRST, 1, 1, 0, 0, 17, 0, "\x09\0\0\0\0\0\0\0\x01\0\0\0\x01\0\0\0x", 17, BAD},
        {FIRST, 1, 1, 0, 0, 8, 0, "\x01\0\0\0\0\0\0\0", 8, BAD},
        {FIRST, 1, 1, 0, 0, 10, 0, "\x01\0\0\0\x01\0\0\0xy", 10, BAD},
#undef BAD
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t header[WIRE_FRAME_HEADER];
        le_put32(header, rows[i].index);
        le_put32(header + 4, rows[i].contributors);
        le_put64(header + 8, rows[i].weight);
        le_put32(header + 16, rows[i].ring);
        le_put32(header + 20, rows[i].payload);
        le_put32(header + 24, rows[i].extensions);
        le_put32(header + 28, rows[i].reserved);
        int result = read_one(header, rows[i].rest, rows[i].size);
        if (result != rows[i].expected) {
            fail_msg("row %zu gave %d", i, result);
        }
    }
}

/* What is not accepted changes neither the place in the batch nor the caller's frame. */
static void test_frame__refusal_changes_nothing(void **state)
{
    (void)state;
    struct buf b = example();
    struct wire_batch batch, before;
    struct wire_frame frame, kept;
    memset(&batch, 0x5a, sizeof batch);
    before = batch;
    b.data[70] ^= 1;
    assert_int_equal(wire_batch_read(buf_span(&b), &batch, NULL), CAIRN_ERR_INTEGRITY);
    assert_memory_equal(&batch, &before, sizeof batch);
    b.data[70] ^= 1;

    assert_int_equal(wire_batch_read(buf_span(&b), &batch, NULL), CAIRN_OK);
    assert_int_equal(wire_batch_next(&batch, &frame, NULL), 1);
    size_t second = WIRE_BATCH_HEADER + frame.bytes.size;
    b.data[second + 35] ^= 1;
    before = batch;
    kept = frame;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(wire_batch_next(&batch, &frame, NULL), CAIRN_ERR_INTEGRITY);
        assert_memory_equal(&batch, &before, sizeof batch);
        assert_memory_equal(&frame, &kept, sizeof frame);
    }
    b.data[second + 35] ^= 1;
    assert_int_equal(wire_batch_next(&batch, &frame, NULL), 1);
    buf_release(&b);
}

/* Who has another version hears that, and not that it was damaged: its digests are other ones, too. */
static void test_frame__another_version(void **state)
{
    (void)state;
    struct buf b = example();
    struct wire_batch batch;
    struct cairn_problem why = {0};
    b.data[4] = 1;
    assert_int_equal(wire_batch_read(buf_span(&b), &batch, &why), CAIRN_ERR_MALFORMED);
    assert_string_equal(why.what, "batch: version 1, this is version 2");
    buf_release(&b);
}

/* A frame lifted as it is into another batch passes there, but not in another round. */
static void test_frame__moves_between_batches_of_its_round(void **state)
{
    (void)state;
    struct buf b = example();
    struct wire_batch batch;
    struct wire_frame f;
    assert_int_equal(wire_batch_read(buf_span(&b), &batch, NULL), CAIRN_OK);
    assert_int_equal(wire_batch_next(&batch, &f, NULL), 1);
    struct buf c = {0};
    assert_int_equal(buf_append(&c, b.data, WIRE_BATCH_HEADER), CAIRN_OK);
    assert_int_equal(buf_append(&c, f.bytes.data, f.bytes.size), CAIRN_OK);
    wire_batch_header(c.data, &context, 99, 1, FIRST, c.size);
    assert_int_equal(read_through(c.data, c.size), 0);
    struct wire_context other = context;
    other.round++;
    wire_batch_header(c.data, &other, 99, 1, FIRST, c.size);
    assert_int_equal(read_through(c.data, c.size), CAIRN_ERR_INTEGRITY);
    other = context;
    other.experiment[15] ^= 1;
    wire_batch_header(c.data, &other, 99, 1, FIRST, c.size);
    assert_int_equal(read_through(c.data, c.size), CAIRN_ERR_INTEGRITY);
    buf_release(&b);
    buf_release(&c);
}

static void test_frame__writer_refuses(void **state)
{
    (void)state;
    struct buf b = {0};
    size_t at = 77;
    static const uint8_t byte = 1;
    const size_t too_long = ((size_t)1 << 31) + 1;
    assert_int_equal(wire_frame_begin(&b, 0, 1, 1, 0, too_long, no_set, &at), CAIRN_ERR_TOO_LONG);
    assert_int_equal(
        wire_frame_begin(&b, 0, 1, 1, 0, 0, (struct span){&byte, too_long}, &at),
        CAIRN_ERR_TOO_LONG);
    assert_int_equal(b.size, 0);
    assert_int_equal(at, 77);
    assert_int_equal(wire_frame_end(&b, 0, &context), CAIRN_ERR_BUG);
    assert_int_equal(wire_frame_begin(&b, 0, 1, 1, 0, 10, no_set, &at), CAIRN_OK);
    assert_int_equal(wire_frame_end(&b, 1, &context), CAIRN_ERR_BUG);
    b.size--;
    assert_int_equal(wire_frame_end(&b, 0, &context), CAIRN_ERR_BUG);
    b.size++;
    assert_int_equal(wire_frame_end(&b, 0, &context), CAIRN_OK);
    assert_int_equal(wire_frame_end(&b, 0, &context), CAIRN_ERR_BUG); /* finished already */
    assert_true(wire_frame_size(SIZE_MAX, 0) == SIZE_MAX);
    assert_true(wire_frame_size(0, SIZE_MAX) == SIZE_MAX);
    assert_int_equal(wire_frame_size(0, 0), 48);
    assert_int_equal(wire_frame_size(10, 3), 69);
    buf_release(&b);
}

static void test_frame__words(void **state)
{
    (void)state;
    static const uint64_t words[3] = {1, UINT64_MAX, 3};
    static const uint8_t set[2] = {1, 0};
    const struct span bytes = {(const uint8_t *)words, sizeof words};
    struct buf b = {0};
    struct wire_frame f;
    struct cairn_problem why = {0};
    size_t at;
    assert_int_equal(wire_frame_begin(&b, 0, 1, 1, 7, 10, (struct span){set, 2}, &at), 0);
    assert_int_equal(wire_frame_words(&b, 0, (struct span){NULL, 0}), 0); /* none: nothing */
    assert_int_equal(wire_frame_words(&b, 0, bytes), 0);
    assert_int_equal(wire_frame_end(&b, 0, &context), 0);
    assert_int_equal(b.size, wire_frame_size(10, 2) + wire_words_size(3));
    assert_int_equal(wire_words_size(0), 0);
    struct wire_batch one = {.context = context, .frames = 1, .rest = buf_span(&b)};
    const struct wire_batch before = one;
    assert_int_equal(wire_batch_next(&one, &f, &why), 1);
    assert_int_equal(f.words.size, sizeof words);
    assert_memory_equal(f.words.data, words, sizeof words);
    assert_int_equal(f.contributor_set.size, 2);
    assert_int_equal(f.payload.size, 10);
    b.data[b.size - WIRE_FRAME_DIGEST - 1] ^= 1; /* they are under the digest */
    one = before;
    assert_int_equal(wire_batch_next(&one, &f, &why), CAIRN_ERR_INTEGRITY);
    buf_release(&b);
}

struct model_frame {
    uint32_t contributors;
    uint64_t weight;
    uint16_t params_id;
    size_t payload, set;
    uint64_t at; /* word of the random stream that fills payload and set */
};

static void fill(struct replay_rng *r, uint64_t at, uint8_t *out, size_t size)
{
    replay_seek(r, at);
    for (size_t i = 0; i < size; i++) {
        out[i] = (uint8_t)replay_u32(r);
    }
}

/* 300 random batches of up to 12 frames of up to 3000 bytes, written, read and compared. */
static void test_frame__random_batches_round_trip(void **state)
{
    (void)state;
    uint64_t seed = property_seed();
    struct replay_rng r, filler;
    replay_init(&r, "test", seed, 0, 0);
    replay_init(&filler, "test", seed, 0, 1);
    for (int round = 0; round < 300; round++) {
        struct model_frame model[12];
        struct wire_context c = {.round = 1 + replay_below(&r, UINT32_MAX),
                                 .stream = WIRE_STREAM_UPDATE};
        fill(&filler, 0, c.experiment, sizeof c.experiment);
        uint32_t frames = 1 + replay_below(&r, 12);
        uint32_t first = replay_u32(&r);
        if (first > UINT32_MAX - frames || replay_below(&r, 4) == 0) {
            first = UINT32_MAX - frames + 1; /* the very last index is used too */
        }
        struct buf b = {0};
        uint8_t set[3000];
        assert_int_equal(buf_append(&b, set, WIRE_BATCH_HEADER), CAIRN_OK);
        for (uint32_t i = 0; i < frames; i++) {
            struct model_frame *m = &model[i];
            int nobody = replay_below(&r, 4) == 0;
            *m = (struct model_frame){nobody ? 0 : 1 + replay_below(&r, UINT32_MAX),
                                      nobody ? 0 : replay_u64(&r),
                                      (uint16_t)replay_u32(&r),
                                      nobody ? 0 : replay_below(&r, 3000),
                                      replay_below(&r, 2) ? replay_below(&r, 40) : 0,
                                      replay_u32(&r)};
            fill(&filler, m->at, set, m->set);
            size_t begin = b.size, at;
            assert_int_equal(wire_frame_begin(&b, first + i, m->contributors, m->weight,
                                              m->params_id, m->payload,
                                              (struct span){set, m->set}, &at),
                             CAIRN_OK);
            fill(&filler, m->at + 1, b.data + at, m->payload);
            assert_int_equal(wire_frame_end(&b, begin, &c), CAIRN_OK);
        }
        wire_batch_header(b.data, &c, (uint32_t)round, frames, first, b.size);

        struct wire_batch batch;
        struct wire_frame f;
        assert_int_equal(wire_batch_read(buf_span(&b), &batch, NULL), CAIRN_OK);
        for (uint32_t i = 0; i < frames; i++) {
            const struct model_frame *m = &model[i];
            uint8_t expected[3000];
            assert_int_equal(wire_batch_next(&batch, &f, NULL), 1);
            assert_true(f.index == first + i && f.contributors == m->contributors &&
                        f.weight == m->weight && f.params_id == m->params_id);
            assert_int_equal(f.payload.size, m->payload);
            assert_int_equal(f.contributor_set.size, m->set);
            fill(&filler, m->at, expected, m->set);
            assert_true(m->set == 0 || memcmp(f.contributor_set.data, expected, m->set) == 0);
            fill(&filler, m->at + 1, expected, m->payload);
            assert_memory_equal(f.payload.data, expected, m->payload);
        }
        assert_int_equal(wire_batch_next(&batch, &f, NULL), 0);
        buf_release(&b);
    }
}

/* A frame that stands alone: whole and nothing behind it. Its digest is somebody else's affair. */
static void test_frame__alone(void **state)
{
    (void)state;
    struct buf b = example();
    const size_t size = wire_frame_size(20, 2); /* of the first frame */
    uint8_t *alone = malloc(size + 1);
    assert_non_null(alone);
    memcpy(alone, b.data + WIRE_BATCH_HEADER, size);
    alone[size] = 0;
    struct wire_frame f = {0};
    memset(alone + size - WIRE_FRAME_DIGEST, 0, WIRE_FRAME_DIGEST);
    assert_int_equal(wire_frame_read((struct span){alone, size}, &f, NULL), 0);
    assert_int_equal(f.index, FIRST);
    assert_int_equal(f.contributors, 3);
    assert_int_equal(f.payload.size, 20);
    assert_int_equal(f.bytes.size, size);
    const struct wire_frame before = f;
    for (size_t cut = 0; cut < size; cut++) {
        assert_int_not_equal(wire_frame_read((struct span){alone, cut}, &f, NULL), 0);
    }
    assert_int_equal(wire_frame_read((struct span){alone, size + 1}, &f, NULL),
                     CAIRN_ERR_MALFORMED);
    alone[WIRE_FRAME_HEADER + 20 + 2] = 1; /* reserved, of its extension */
    assert_int_equal(wire_frame_read((struct span){alone, size}, &f, NULL), CAIRN_ERR_MALFORMED);
    assert_memory_equal(&f, &before, sizeof f);
    free(alone);
    buf_release(&b);
}

/* What has come of a batch, cut at every byte: just the frames that are whole are there, each is read as it
 * is from the whole batch, and what is said to be needed is what brings more. */
static void test_frame__parts_of_a_batch(void **state)
{
    (void)state;
    struct buf b = example();
    struct cairn_problem why = {0};
    for (size_t size = 0; size <= b.size; size++) {
        uint8_t *part = malloc(size > 0 ? size : 1);
        assert_non_null(part);
        memcpy(part, b.data, size);
        struct wire_batch batch, whole;
        struct wire_frame f, g;
        const int err = wire_batch_read_part((struct span){part, size}, &batch, &why);
        assert_int_equal(err, size < WIRE_BATCH_HEADER ? CAIRN_ERR_MALFORMED : 0);
        assert_int_equal(wire_batch_read(buf_span(&b), &whole, &why), 0);
        while (err == 0 && wire_batch_is_there(&batch)) {
            assert_int_equal(wire_batch_next(&batch, &f, &why), 1);
            assert_int_equal(wire_batch_next(&whole, &g, &why), 1);
            assert_int_equal(f.bytes.size, g.bytes.size);
            assert_memory_equal(f.bytes.data, g.bytes.data, g.bytes.size);
        }
        if (err == 0 && batch.position < FRAMES) {
            const size_t needs = wire_batch_needs(&batch);
            assert_true(needs > batch.rest.size);
            assert_true(needs == WIRE_FRAME_HEADER ||
                        (wire_batch_next(&whole, &g, &why) == 1 && needs == g.bytes.size));
            struct wire_batch again;
            assert_int_equal(wire_batch_read(buf_span(&b), &again, &why), 0);
            assert_true(wire_batch_skip(&again, batch.position));
            assert_int_equal(again.position, batch.position);
            assert_ptr_equal(again.rest.data - b.data, batch.rest.data - part);
            assert_false(wire_batch_skip(&batch, 1));
        }
        free(part);
    }
    le_put64(b.data + 40, b.size - 1); /* less than there is */
    struct wire_batch batch;
    checksum_of(b.data, 64, 0, b.data + 64);
    assert_int_equal(wire_batch_read_part(buf_span(&b), &batch, &why), CAIRN_ERR_MALFORMED);
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frame__layout),
        cmocka_unit_test(test_frame__reads_what_was_written),
        cmocka_unit_test(test_frame__cut_at_every_byte),
        cmocka_unit_test(test_frame__every_bit_matters),
        cmocka_unit_test(test_frame__lying_headers),
        cmocka_unit_test(test_frame__counts_are_held_against_the_bytes),
        cmocka_unit_test(test_frame__lying_frames),
        cmocka_unit_test(test_frame__refusal_changes_nothing),
        cmocka_unit_test(test_frame__another_version),
        cmocka_unit_test(test_frame__moves_between_batches_of_its_round),
        cmocka_unit_test(test_frame__writer_refuses),
        cmocka_unit_test(test_frame__random_batches_round_trip),
        cmocka_unit_test(test_frame__alone),
        cmocka_unit_test(test_frame__parts_of_a_batch),
        cmocka_unit_test(test_frame__words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
