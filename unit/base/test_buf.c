/* SPDX-License-Identifier: Apache-2.0 */
/* A growable array: what was appended is there, and a refusal changes nothing. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "buf.h"

static void test_buf__append_and_print(void **state)
{
    (void)state;
    struct buf b = {0};
    assert_int_equal(buf_append(&b, "abc", 3), CAIRN_OK);
    assert_int_equal(buf_printf(&b, "-%d-%s", 42, "x"), CAIRN_OK);
    assert_int_equal(buf_append(&b, NULL, 0), CAIRN_OK);
    assert_int_equal(b.size, 8);
    assert_string_equal(buf_text(&b), "abc-42-x");
    assert_int_equal(b.size, 8);
    struct span s = buf_span(&b);
    assert_ptr_equal(s.data, b.data);
    assert_int_equal(s.size, 8);
    buf_clear(&b);
    assert_int_equal(b.size, 0);
    assert_true(b.capacity > 0);
    assert_string_equal(buf_text(&b), "");
    buf_release(&b);
    assert_null(b.data);
    assert_int_equal(b.capacity, 0);
    buf_release(&b); /* twice is harmless */
}

static void test_buf__empty_is_valid(void **state)
{
    (void)state;
    struct buf b = {0};
    assert_int_equal(buf_span(&b).size, 0);
    assert_int_equal(buf_reserve(&b, 0), CAIRN_OK);
    assert_string_equal(buf_text(&b), "");
    buf_release(&b);
}

static void test_buf__grows_in_few_steps(void **state)
{
    (void)state;
    struct buf b = {0};
    size_t moves = 0, capacity = 0;
    for (unsigned i = 0; i < 100000; i++) {
        uint8_t byte = (uint8_t)(i * 7);
        assert_int_equal(buf_append(&b, &byte, 1), CAIRN_OK);
        moves += b.capacity != capacity;
        capacity = b.capacity;
    }
    assert_true(moves <= 18); /* log2(100000) = 16.6 */
    for (unsigned i = 0; i < 100000; i++) {
        assert_int_equal(b.data[i], (uint8_t)(i * 7));
    }
    buf_release(&b);
}

static void test_buf__too_much_changes_nothing(void **state)
{
    (void)state;
    struct buf b = {0};
    assert_int_equal(buf_append(&b, "abc", 3), CAIRN_OK);
    struct buf before = b;
    assert_int_equal(buf_reserve(&b, SIZE_MAX), CAIRN_ERR_NO_MEMORY);
    assert_memory_equal(&b, &before, sizeof b);
    assert_memory_equal(b.data, "abc", 3);
    buf_release(&b);
}

static void test_buf__printf_at_every_length(void **state)
{
    (void)state;
    struct buf b = {0};
    char text[200] = {0};
    for (size_t n = 0; n < sizeof text - 1; n++) {
        text[n] = 'x';
        buf_release(&b);
        assert_int_equal(buf_printf(&b, "%s", text), CAIRN_OK);
        assert_int_equal(b.size, n + 1);
        assert_memory_equal(b.data, text, n + 1);
    }
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buf__append_and_print),
        cmocka_unit_test(test_buf__empty_is_valid),
        cmocka_unit_test(test_buf__grows_in_few_steps),
        cmocka_unit_test(test_buf__too_much_changes_nothing),
        cmocka_unit_test(test_buf__printf_at_every_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
