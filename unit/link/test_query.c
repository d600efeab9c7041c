/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "query.h"

static void test_query__finds_its_numbers(void **state)
{
    (void)state;
    static const char query[] = "round=3&origin=4294967295&first=0&big=18446744073709551615";
    uint32_t narrow = 7;
    uint64_t wide = 7;
    assert_true(query_u32(query, "round", &narrow));
    assert_int_equal(narrow, 3);
    assert_true(query_u32(query, "origin", &narrow));
    assert_int_equal(narrow, UINT32_MAX);
    assert_true(query_u32(query, "first", &narrow));
    assert_int_equal(narrow, 0);
    assert_true(query_u64(query, "origin", &wide));
    assert_int_equal(wide, UINT32_MAX);
    assert_true(query_u64(query, "big", &wide));
    assert_true(wide == UINT64_MAX);
    assert_false(query_u32(query, "big", &narrow));
    assert_true(query_u32("&&first=0012&", "first", &narrow));
    assert_int_equal(narrow, 12);
}

static void test_query__everything_else_is_no_number(void **state)
{
    (void)state;
    static const char *const queries[] = {
        "",
        "first",
        "first=",
        "first=-1",
        "first=+1",
        "first= 1",
        "first=1 ",
        "first=1.0",
        "first=0x1",
        "first=1,2",
        "first=1;",
        "first=%31",
        "xfirst=1",
        "firstx=1",
        "FIRST=1",
        "first =1",
        "first=1=1",
        "x=first=1",
        "first=1&first=1",
        "first=&first=1",
        "first=1&x=2&first=3",
        "first=18446744073709551616",
        "first=99999999999999999999999999",
        "firs=1",
        "firsu=1",
        "girst=1",
    };
    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++) {
        uint32_t narrow = 7;
        uint64_t wide = 7;
        if (query_u32(queries[i], "first", &narrow) || query_u64(queries[i], "first", &wide) ||
            narrow != 7 || wide != 7) {
            fail_msg("\"%s\" is read as %u or %llu", queries[i], narrow, (unsigned long long)wide);
        }
    }
    uint32_t narrow = 7;
    assert_false(query_u32("first=4294967296", "first", &narrow));
    assert_int_equal(narrow, 7);
}

static void test_query__hexadecimal_and_text(void **state)
{
    (void)state;
    uint8_t bytes[3] = {7, 7, 7};
    char text[5] = "same";
    assert_true(query_hex("a=1&exp=00ff1a", "exp", bytes, sizeof bytes));
    assert_memory_equal(bytes, "\x00\xff\x1a", 3);
    static const char *const bad[] = {"", "exp=", "exp=00ff1", "exp=00ff1a0", "exp=00ff1g", "exp=00FF1A",
                                      "exp=00ff1a&exp=00ff1a", "xexp=00ff1a", "exp=0x0f1a"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(query_hex(bad[i], "exp", bytes, sizeof bytes));
        assert_memory_equal(bytes, "\x00\xff\x1a", 3);
    }
    assert_true(query_text("x=1&d=abcd&y=2", "d", text, sizeof text));
    assert_string_equal(text, "abcd");
    assert_false(query_text("d=abcde", "d", text, sizeof text)); /* one too long */
    assert_false(query_text("d=", "d", text, sizeof text));
    assert_false(query_text("d=ab&d=ab", "d", text, sizeof text));
    assert_string_equal(text, "abcd");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_query__finds_its_numbers),
        cmocka_unit_test(test_query__everything_else_is_no_number),
        cmocka_unit_test(test_query__hexadecimal_and_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
