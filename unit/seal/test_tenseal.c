/* SPDX-License-Identifier: Apache-2.0 */
/* TenSEAL's protocol buffers: bytes by hand, round trips, and messages that are none. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tenseal.h"

static const double scale = 1099511627776.0; /* 2^40; as a double 00 00 00 00 00 00 70 42 */

/* Two ciphertexts "abc" and "de" of 4096 and 10 values: the sizes and the scale stand in TenSEAL
 * 0.3.18's own message just like this. */
static const uint8_t vector_bytes[] = {
    0x0a, 3,   0x80, 0x20, 10, 0x12, 3, 'a', 'b', 'c',  0x12, 2,
    'd',  'e', 0x19, 0,    0,  0,    0, 0,   0,   0x70, 0x42,
};

/* Parameters "P", public {key "K", flags 7, scale}, private {key "S"}, symmetric. */
static const uint8_t context_bytes[] = {
    0x0a, 1, 'P', 0x12, 14,   0x0a, 1,    'K', 0x10, 7, 0x19, 0,    0,
    0,    0, 0,   0,    0x70, 0x42, 0x1a, 3,   0x0a, 1, 'S',  0x20, 1,
};

static int read_vector(const uint8_t *bytes, size_t size, struct tenseal_vector *out)
{
    uint8_t *exact = malloc(size > 0 ? size : 1);
    struct cairn_problem why = {0};
    memcpy(exact, bytes, size);
    int rc = tenseal_vector_read((struct span){exact, size}, out, &why);
    assert_true(rc == 0 || (rc == CAIRN_ERR_MALFORMED && why.code == rc));
    free(exact); /* the spans of what was read now point nowhere */
    return rc;
}

static int read_context(const uint8_t *bytes, size_t size, struct tenseal_context *out)
{
    uint8_t *exact = malloc(size > 0 ? size : 1);
    struct cairn_problem why = {0};
    memcpy(exact, bytes, size);
    int rc = tenseal_context_read((struct span){exact, size}, out, &why);
    assert_true(rc == 0 || (rc == CAIRN_ERR_MALFORMED && why.code == rc));
    free(exact);
    return rc;
}

static bool is_text(struct span s, const char *text)
{
    return s.size == strlen(text) && memcmp(s.data, text, s.size) == 0;
}

static void test_tenseal__vector(void **state)
{
    (void)state;
    struct tenseal_vector v = {0};
    struct span bytes = {vector_bytes, sizeof vector_bytes};
    assert_int_equal(tenseal_vector_read(bytes, &v, NULL), 0);
    assert_int_equal(v.chunks, 2);
    assert_int_equal(v.sizes[0], 4096);
    assert_int_equal(v.sizes[1], 10);
    assert_true(is_text(v.ciphertexts[0], "abc"));
    assert_true(is_text(v.ciphertexts[1], "de"));
    assert_memory_equal(&v.scale, &scale, sizeof scale);
    struct buf b = {0};
    assert_int_equal(tenseal_vector_write(&v, &b), 0);
    assert_int_equal(b.size, sizeof vector_bytes);
    assert_memory_equal(b.data, vector_bytes, b.size);
    buf_release(&b);
    tenseal_vector_release(&v);
}

/* Numbers one by one, fields in another order, and fields of every type that are not known. */
static void test_tenseal__vector_in_other_words(void **state)
{
    (void)state;
    static const uint8_t other[] = {
        0x19, 0, 0,   0,   0,   0,    0, 0x70, 0x42, 0x20, 5, 0x08, 0x80, 0x20,
        0x12, 3, 'a', 'b', 'c', 0x29, 1, 2,    3,    4,    5, 6,    7,    8,
        0x35, 1, 2,   3,   4,   0x12, 2, 'd',  'e',  0x3a, 1, 'x',  0x08, 10,
    };
    struct tenseal_vector v = {0};
    assert_int_equal(tenseal_vector_read((struct span){other, sizeof other}, &v, NULL), 0);
    assert_int_equal(v.chunks, 2);
    assert_int_equal(v.sizes[0], 4096);
    assert_int_equal(v.sizes[1], 10);
    assert_true(is_text(v.ciphertexts[1], "de"));
    tenseal_vector_release(&v);
}

static void test_tenseal__context(void **state)
{
    (void)state;
    struct tenseal_context c;
    struct span bytes = {context_bytes, sizeof context_bytes};
    assert_int_equal(tenseal_context_read(bytes, &c, NULL), 0);
    assert_true(is_text(c.params, "P") && is_text(c.public_key, "K") && is_text(c.secret_key, "S"));
    assert_true(c.symmetric && c.flags == 7);
    assert_memory_equal(&c.scale, &scale, sizeof scale);
    struct buf b = {0};
    assert_int_equal(tenseal_context_write(&c, &b), 0);
    assert_int_equal(b.size, sizeof context_bytes);
    assert_memory_equal(b.data, context_bytes, b.size);
    buf_release(&b);
    /* what is absent is not written */
    const struct tenseal_context least = {.params = {(const uint8_t *)"P", 1}};
    assert_int_equal(tenseal_context_write(&least, &b), 0);
    assert_int_equal(b.size, 3);
    assert_int_equal(tenseal_context_read(buf_span(&b), &c, NULL), 0);
    assert_true(c.public_key.size == 0 && c.secret_key.size == 0 && !c.symmetric);
    buf_release(&b);
}

static void test_tenseal__cut_anywhere(void **state)
{
    (void)state;
    struct tenseal_vector v = {.chunks = 99}, v_before = v;
    for (size_t cut = 0; cut < sizeof vector_bytes; cut++) {
        assert_int_equal(read_vector(vector_bytes, cut, &v), CAIRN_ERR_MALFORMED);
        assert_memory_equal(&v, &v_before, sizeof v);
    }
    /* a context that ends between two fields is a shorter context */
    static const size_t whole[] = {3, 19, 24};
    for (size_t cut = 0; cut < sizeof context_bytes; cut++) {
        struct tenseal_context c;
        bool ends_well = cut == whole[0] || cut == whole[1] || cut == whole[2];
        assert_int_equal(read_context(context_bytes, cut, &c) == 0, ends_well);
    }
}

static void test_tenseal__every_bit_flipped(void **state)
{
    (void)state;
    uint8_t v_bytes[sizeof vector_bytes], c_bytes[sizeof context_bytes];
    memcpy(v_bytes, vector_bytes, sizeof v_bytes);
    memcpy(c_bytes, context_bytes, sizeof c_bytes);
    for (size_t bit = 0; bit < 8 * sizeof v_bytes; bit++) {
        struct tenseal_vector v = {0};
        v_bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (read_vector(v_bytes, sizeof v_bytes, &v) == 0) {
            assert_true(v.chunks >= 1);
        }
        tenseal_vector_release(&v);
        v_bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t bit = 0; bit < 8 * sizeof c_bytes; bit++) {
        struct tenseal_context c;
        c_bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        (void)read_context(c_bytes, sizeof c_bytes, &c);
        c_bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

#define REFUSED_VECTOR(...)                                                                        \
    do {                                                                                           \
        static const uint8_t refused_bytes[] = {__VA_ARGS__};                                      \
        struct tenseal_vector refused_vector = {0};                                                \
        assert_int_equal(read_vector(refused_bytes, sizeof refused_bytes, &refused_vector),        \
                         CAIRN_ERR_MALFORMED);                                                     \
        assert_null(refused_vector.sizes);                                                         \
    } while (0)
#define SCALE 0x19, 0, 0, 0, 0, 0, 0, 0x70, 0x42

static void test_tenseal__messages_that_are_none(void **state)
{
    (void)state;
    REFUSED_VECTOR(SCALE);                        /* nothing encrypted */
    REFUSED_VECTOR(0x08, 1, 0x12, 1, 'a');        /* no scale */
    REFUSED_VECTOR(0x08, 1, SCALE);               /* a size without its ciphertext */
    REFUSED_VECTOR(0x12, 1, 'a', SCALE);          /* and the other way round */
    REFUSED_VECTOR(0x08, 0, 0x12, 1, 'a', SCALE); /* no values */
    REFUSED_VECTOR(0x08, 0x80, 0x80, 0x80, 0x80, 0x10, 0x12, 1, 'a', SCALE); /* 2^32 values */
    REFUSED_VECTOR(0x09, 1, 0, 0, 0, 0, 0, 0, 0, 0x12, 1, 'a', SCALE); /* a size as a double */
    REFUSED_VECTOR(0x08, 1, 0x10, 1, SCALE);        /* a ciphertext as a number */
    REFUSED_VECTOR(0x08, 1, 0x12, 1, 'a', 0x18, 1); /* a scale as a number */
    REFUSED_VECTOR(0x08, 1, 0x12, 1, 'a', 0x19, 0, 0, 0, 0, 0, 0, 0, 0);       /* scale 0 */
    REFUSED_VECTOR(0x08, 1, 0x12, 1, 'a', 0x19, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f); /* NaN */
    REFUSED_VECTOR(0x08, 1, 0x12, 1, 'a', 0x19, 0, 0, 0, 0, 0, 0, 0xf0, 0x7f); /* Inf */
    REFUSED_VECTOR(0x08, 1, 0x12, 1, 'a', 0x19, 0, 0, 0, 0, 0, 0, 0x70, 0xc2); /* negative */
    REFUSED_VECTOR(0x08, 1, 0x12, 1, 'a', 0x19, 1, 0, 0, 0, 0, 0, 0, 0);       /* subnormal */
    REFUSED_VECTOR(0x08, 1, 0x12, 1, 'a', SCALE, 0x03);                        /* field 0 */
    REFUSED_VECTOR(0x08, 1, 0x12, 1, 'a', SCALE, 0x23, 0x24);                  /* a group */
    REFUSED_VECTOR(0x08, 1, 0x12, 1, 'a', SCALE, 0x27);                        /* wire type 7 */
    /* lengths: 2^63, 2^64 - 1, more than 64 bits, and a number without an end */
    REFUSED_VECTOR(0x12, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1);
    REFUSED_VECTOR(0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 'a');
    REFUSED_VECTOR(0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 'a');
    REFUSED_VECTOR(0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 'a');
    REFUSED_VECTOR(0x12, 0xff, 0xff, 0xff);
    /* a size of 2^64 + 1, and a length that would lead back to the beginning */
    REFUSED_VECTOR(0x08, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2, 0x12, 1, 'a',
                   SCALE);
    REFUSED_VECTOR(0x12, 0xf5, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1);
    REFUSED_VECTOR(0x0a, 2, 0x80, 0x80, 0x12, 1, 'a', SCALE); /* a size cut by its own field */
}

/* As many sizes as one likes, in few bytes: refused before arrays are made for them. */
static void test_tenseal__many_sizes(void **state)
{
    (void)state;
    enum { MANY = 1 << 20 };
    struct buf b = {0};
    assert_int_equal(buf_append(&b, "\x0a\x80\x80\x40", 4), 0); /* 2^20 bytes, one size each */
    assert_int_equal(buf_reserve(&b, MANY), 0);
    memset(b.data + b.size, 1, MANY);
    b.size += MANY;
    assert_int_equal(buf_append(&b, vector_bytes + 5, sizeof vector_bytes - 5), 0);
    struct tenseal_vector v = {0};
    assert_int_equal(tenseal_vector_read(buf_span(&b), &v, NULL), CAIRN_ERR_MALFORMED);
    buf_release(&b);
}

static void test_tenseal__contexts_that_are_none(void **state)
{
    (void)state;
    static const uint8_t no_params[] = {0x12, 2, 0x10, 7};
    static const uint8_t nan_scale[] = {0x0a, 1, 'P', 0x12, 9, 0x19, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f};
    static const uint8_t kind_2[] = {0x0a, 1, 'P', 0x20, 2};
    static const uint8_t key_number[] = {0x0a, 1, 'P', 0x1a, 2, 0x08, 1};
    static const uint8_t inner_overrun[] = {0x0a, 1, 'P', 0x12, 2, 0x0a, 9, 'K'};
    struct tenseal_context c;
    memset(&c, 0x5a, sizeof c);
    struct tenseal_context before = c;
    assert_int_equal(read_context(no_params, sizeof no_params, &c), CAIRN_ERR_MALFORMED);
    assert_int_equal(read_context(nan_scale, sizeof nan_scale, &c), CAIRN_ERR_MALFORMED);
    assert_int_equal(read_context(kind_2, sizeof kind_2, &c), CAIRN_ERR_MALFORMED);
    assert_int_equal(read_context(key_number, sizeof key_number, &c), CAIRN_ERR_MALFORMED);
    assert_int_equal(read_context(inner_overrun, sizeof inner_overrun, &c), CAIRN_ERR_MALFORMED);
    assert_memory_equal(&c, &before, sizeof c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tenseal__vector),
        cmocka_unit_test(test_tenseal__vector_in_other_words),
        cmocka_unit_test(test_tenseal__context),
        cmocka_unit_test(test_tenseal__cut_anywhere),
        cmocka_unit_test(test_tenseal__every_bit_flipped),
        cmocka_unit_test(test_tenseal__messages_that_are_none),
        cmocka_unit_test(test_tenseal__many_sizes),
        cmocka_unit_test(test_tenseal__contexts_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
