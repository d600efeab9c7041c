/* SPDX-License-Identifier: Apache-2.0 */
/* The list of errors, and sentences that are too long or that quote themselves. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "problem.h"

static void test_problem__every_code_has_its_row(void **state)
{
    (void)state;
    static const int codes[] = {
#define X_CODE(name, value, http, exit_code, sentence) CAIRN_ERR_##name,
        CAIRN_ERRORS(X_CODE)
#undef X_CODE
    };
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        assert_true(codes[i] < 0);
        assert_true(strlen(cairn_error_name(codes[i])) > 0);
        assert_true(strlen(cairn_error_sentence(codes[i])) > 0);
        assert_in_range(cairn_error_http(codes[i]), 400, 599);
        assert_in_range(cairn_error_exit(codes[i]), 1, 125);
        for (size_t j = 0; j < i; j++) {
            assert_int_not_equal(codes[i], codes[j]);
            assert_string_not_equal(cairn_error_name(codes[i]), cairn_error_name(codes[j]));
        }
    }
    assert_string_equal(cairn_error_name(CAIRN_ERR_WRONG_INDEX), "WRONG_INDEX");
    assert_int_equal(cairn_error_http(CAIRN_ERR_WRONG_INDEX), 409);
    assert_int_equal(cairn_error_exit(CAIRN_ERR_STORAGE), 10);
}

static void test_problem__ok_and_unknown_codes(void **state)
{
    (void)state;
    assert_string_equal(cairn_error_name(CAIRN_OK), "OK");
    assert_int_equal(cairn_error_http(CAIRN_OK), 200);
    assert_int_equal(cairn_error_exit(CAIRN_OK), 0);
    assert_string_equal(cairn_error_name(-12345), "BUG");
    assert_int_equal(cairn_error_http(7), 500);
    assert_int_equal(cairn_error_exit(7), 70);
}

static void test_problem__null_is_ignored(void **state)
{
    (void)state;
    assert_int_equal(problem_set(NULL, CAIRN_ERR_DATA, "h", "x %d", 1), CAIRN_ERR_DATA);
}

static void test_problem__may_quote_itself(void **state)
{
    (void)state;
    struct cairn_problem p;
    assert_int_equal(problem_set(&p, CAIRN_ERR_DATA, "mend it", "inner %d", 7), CAIRN_ERR_DATA);
    (void)problem_set(&p, CAIRN_ERR_CONFIG, p.hint, "outer: %s", p.what);
    assert_int_equal(p.code, CAIRN_ERR_CONFIG);
    assert_string_equal(p.what, "outer: inner 7");
    assert_string_equal(p.hint, "mend it");
    (void)problem_set(&p, CAIRN_ERR_CONFIG, NULL, "x");
    assert_string_equal(p.hint, "");
}

/* 2-byte characters after 0 or 1 single bytes: one of the two would be cut in its middle. */
static void test_problem__long_text_is_cut_at_a_character(void **state)
{
    (void)state;
    struct cairn_problem p;
    for (size_t shift = 0; shift < 2; shift++) {
        char text[1001] = {0};
        for (size_t i = 0; i + 1 < 999; i += 2) {
            memcpy(text + shift + i, "\xc3\xa9", 2);
        }
        text[0] = shift ? 'x' : text[0];
        (void)problem_set(&p, CAIRN_ERR_DATA, text, "%s", text);
        size_t what = sizeof p.what - 1, hint = sizeof p.hint - 1;
        what -= (what - shift) % 2;
        hint -= (hint - shift) % 2;
        assert_int_equal(strlen(p.what), what);
        assert_int_equal(strlen(p.hint), hint);
        assert_memory_equal(p.what, text, what);
        assert_memory_equal(p.hint, text, hint);
    }
}

static void test_problem__text_that_just_fits_is_whole(void **state)
{
    (void)state;
    struct cairn_problem p;
    char text[400];
    memset(text, 'a', 399);
    text[399] = 0;
    (void)problem_set(&p, CAIRN_ERR_DATA, NULL, "%s", text);
    assert_string_equal(p.what, text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_problem__every_code_has_its_row),
        cmocka_unit_test(test_problem__ok_and_unknown_codes),
        cmocka_unit_test(test_problem__null_is_ignored),
        cmocka_unit_test(test_problem__may_quote_itself),
        cmocka_unit_test(test_problem__long_text_is_cut_at_a_character),
        cmocka_unit_test(test_problem__text_that_just_fits_is_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
