/* SPDX-License-Identifier: Apache-2.0 */
/* Well-formed and ill-formed UTF-8, by the boundaries of Unicode's table 3-7. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "utf8.h"

static void test_utf8__boundaries(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t length;
        uint32_t code;
    } rows[] = {
        {"A", 1, 'A'},
        {"\x7f", 1, 0x7f},
        {"\xc2\x80", 2, 0x80},
        {"\xdf\xbf", 2, 0x7ff},
        {"\xe0\xa0\x80", 3, 0x800},
        {"\xed\x9f\xbf", 3, 0xd7ff},
        {"\xee\x80\x80", 3, 0xe000},
        {"\xef\xbf\xbf", 3, 0xffff},
        {"\xf0\x90\x80\x80", 4, 0x10000},
        {"\xf4\x8f\xbf\xbf", 4, 0x10ffff},
        /* ill-formed: lone continuation, overlong, surrogate, too large, cut, wrong follower */
        {"\x80", 0, 0},
        {"\xc0\x80", 0, 0},
        {"\xc1\xbf", 0, 0},
        {"\xe0\x9f\xbf", 0, 0},
        {"\xed\xa0\x80", 0, 0},
        {"\xf0\x8f\xbf\xbf", 0, 0},
        {"\xf4\x90\x80\x80", 0, 0},
        {"\xf5\x80\x80\x80", 0, 0},
        {"\xff", 0, 0},
        {"\xc3", 0, 0},
        {"\xe2\x82", 0, 0},
        {"\xc3(", 0, 0},
        {"\xe2\x82(", 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint32_t code = 0;
        const char *s = rows[i].bytes;
        assert_int_equal(utf8_decode((const uint8_t *)s, strlen(s), &code), rows[i].length);
        assert_int_equal(code, rows[i].code);
    }
    uint32_t code;
    assert_int_equal(utf8_decode((const uint8_t *)"", 0, &code), 0);
}

static void test_utf8__whole_drops_a_cut_character_only(void **state)
{
    (void)state;
    const char *text = "a\xf0\x90\x80\x80z";
    static const size_t expected[] = {0, 1, 1, 1, 1, 5, 6};
    for (size_t n = 0; n <= 6; n++) {
        assert_int_equal(utf8_whole(text, n), expected[n]);
    }
    /* not UTF-8 at all: left alone */
    assert_int_equal(utf8_whole("\x80\x80\x80\x80\x80", 5), 5);
    assert_int_equal(utf8_whole("\x80", 1), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utf8__boundaries),
        cmocka_unit_test(test_utf8__whole_drops_a_cut_character_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
