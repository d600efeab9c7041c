/* SPDX-License-Identifier: Apache-2.0 */
/* Checked arithmetic at its edges, little-endian integers, and arrays. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "le.h"
#include "sizes.h"

static void test_sizes__overflow_leaves_out_untouched(void **state)
{
    (void)state;
    size_t out = 5;
    assert_false(size_add(SIZE_MAX, 1, &out));
    assert_false(size_mul(SIZE_MAX / 2 + 1, 2, &out));
    assert_int_equal(out, 5);
    assert_true(size_add(SIZE_MAX - 1, 1, &out));
    assert_true(out == SIZE_MAX);
    assert_true(size_mul(SIZE_MAX / 2, 2, &out));
    assert_true(out == SIZE_MAX - 1);
    assert_true(size_mul(0, SIZE_MAX, &out));
    assert_int_equal(out, 0);
}

static void test_sizes__rounding(void **state)
{
    (void)state;
    assert_int_equal(size_ceil_div(0, 8), 0);
    assert_int_equal(size_ceil_div(1, 8), 1);
    assert_int_equal(size_ceil_div(8, 8), 1);
    assert_int_equal(size_ceil_div(9, 8), 2);
    assert_true(size_ceil_div(SIZE_MAX, 2) == SIZE_MAX / 2 + 1);
    assert_int_equal(size_round_up(65, 64), 128);
    assert_int_equal(size_round_up(64, 64), 64);
}

static void test_sizes__arrays_are_aligned_and_zero(void **state)
{
    (void)state;
    for (size_t n = 0; n < 300; n += 7) {
        uint8_t *a = size_alloc_array(n, 3);
        assert_non_null(a);
        assert_int_equal((uintptr_t)a % 64, 0);
        for (size_t i = 0; i < 3 * n; i++) {
            assert_int_equal(a[i], 0);
        }
        memset(a, 0xff, 3 * n); /* the sanitizer sees whether it is all there */
        free(a);
    }
}

static void test_sizes__arrays_refuse_overflow(void **state)
{
    (void)state;
    assert_null(size_alloc_array(SIZE_MAX / 2, 3));
    assert_null(size_alloc_array(SIZE_MAX, 1)); /* fits, until it is rounded up */
    assert_null(size_alloc_array(2, SIZE_MAX));
}

static void test_sizes__little_endian(void **state)
{
    (void)state;
    uint8_t b[9] = {0};
    le_put64(b + 1, 0x8877665544332211u); /* unaligned on purpose */
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(b[1 + i], 0x11 * (i + 1));
    }
    assert_true(le_get64(b + 1) == 0x8877665544332211u);
    assert_true(le_get32(b + 5) == 0x88776655u);
    assert_int_equal(le_get16(b + 7), 0x8877);
    le_put32(b, 0xdeadbeefu);
    le_put16(b + 4, 0xcafe);
    assert_memory_equal(b, "\xef\xbe\xad\xde\xfe\xca", 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes__overflow_leaves_out_untouched),
        cmocka_unit_test(test_sizes__rounding),
        cmocka_unit_test(test_sizes__arrays_are_aligned_and_zero),
        cmocka_unit_test(test_sizes__arrays_refuse_overflow),
        cmocka_unit_test(test_sizes__little_endian),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
