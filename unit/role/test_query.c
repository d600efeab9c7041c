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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_query__finds_its_numbers),
        cmocka_unit_test(test_query__everything_else_is_no_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
