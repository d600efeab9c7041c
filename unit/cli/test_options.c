/* SPDX-License-Identifier: Apache-2.0 */
/* Options of a command, and the nearest word to a mistyped one. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "cli.h"

static const struct cli_command command = {"run", NULL, "what it does", "run config.json"};

const struct cli_command *cli_find(const char *name)
{
    return strcmp(name, command.name) == 0 ? &command : NULL;
}

struct values {
    bool flag;
    const char *text;
    unsigned number;
    uint64_t count;
    double real;
};

static int parse(struct values *v, struct cli *cli, int *argc, char ***argv,
                 struct cairn_problem *why)
{
    const struct cli_option list[] = {
        {"verbose", CLI_FLAG, NULL, "", &v->flag, 0, 0},
        {"data-dir", CLI_TEXT, "DIR", "", &v->text, 0, 0},
        {"port", CLI_NUMBER, "PORT", "", &v->number, 1, 65535},
        {"samples", CLI_COUNT, "K", "", &v->count, 0, 0},
        {"range", CLI_REAL, "R", "", &v->real, 0, 0},
    };
    return cli_parse(cli, argc, argv, list, 5, 1, 2, why);
}

#define PARSE(...)                                                                                 \
    char *words[] = {"run", __VA_ARGS__, NULL};                                                    \
    char **argv = words;                                                                           \
    int argc = sizeof words / sizeof words[0] - 1;                                                 \
    struct values v = {0};                                                                         \
    struct cli cli = {0};                                                                          \
    struct cairn_problem why = {0};                                                                \
    int error = parse(&v, &cli, &argc, &argv, &why)

static void test_options__values_and_arguments(void **state)
{
    (void)state;
    PARSE("a.json", "--port", "7000", "--verbose", "b.json", "--data-dir=here", "--json");
    assert_int_equal(error, 0);
    assert_int_equal(argc, 2);
    assert_string_equal(argv[0], "a.json");
    assert_string_equal(argv[1], "b.json");
    assert_true(v.flag && cli.json);
    assert_int_equal(v.number, 7000);
    assert_string_equal(v.text, "here");
}

static void test_options__what_follows_two_dashes_is_no_option(void **state)
{
    (void)state;
    PARSE("--", "--port");
    assert_int_equal(error, 0);
    assert_string_equal(argv[0], "--port");
}

static void test_options__counts_and_reals(void **state)
{
    (void)state;
    PARSE("a.json", "--samples", "18446744073709551615", "--range", "2.5e-3");
    assert_int_equal(error, 0);
    assert_true(v.count == UINT64_MAX && v.real == 2.5e-3);
}

static void test_options__bad_counts_and_reals(void **state)
{
    (void)state;
    static char *const bad[][2] = {
        {"--samples", "-1"},    {"--samples", "+1"},   {"--samples", "1x"}, {"--samples", ""},
        {"--samples", " 1"},    {"--samples", "1e3"},  {"--samples", "18446744073709551616"},
        {"--range", "0"},       {"--range", "-1"},     {"--range", ""},     {"--range", " 1"},
        {"--range", "1,5"},     {"--range", "nan"},    {"--range", "inf"},  {"--range", "1e999"},
        {"--range", "1x"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        PARSE("a.json", bad[i][0], bad[i][1]);
        assert_int_equal(error, CAIRN_ERR_USAGE);
        assert_true(v.count == 0 && v.real == 0);
    }
}

static void test_options__number_out_of_range(void **state)
{
    (void)state;
    static char *const bad[] = {
        "0", "65536", "-1", "+1", "1x", "", " 1", "0x10", "99999999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        PARSE("a.json", "--port", bad[i]);
        assert_int_equal(error, CAIRN_ERR_USAGE);
        assert_int_equal(v.number, 0);
        assert_non_null(strstr(why.what, "1 to 65535"));
    }
}

static void test_options__unknown_names_the_nearest(void **state)
{
    (void)state;
    PARSE("a.json", "--data-dri", "x");
    assert_int_equal(error, CAIRN_ERR_USAGE);
    assert_non_null(strstr(why.what, "--data-dri"));
    assert_non_null(strstr(why.what, "did you mean --data-dir?"));
}

static void test_options__missing_value(void **state)
{
    (void)state;
    PARSE("a.json", "--port");
    assert_int_equal(error, CAIRN_ERR_USAGE);
    assert_non_null(strstr(why.what, "--port needs a value"));
}

static void test_options__too_few_and_too_many(void **state)
{
    (void)state;
    {
        PARSE("--verbose");
        assert_int_equal(error, CAIRN_ERR_USAGE);
        assert_non_null(strstr(why.what, "cairn run config.json"));
    }
    {
        PARSE("a", "b", "c");
        assert_int_equal(error, CAIRN_ERR_USAGE);
        assert_non_null(strstr(why.what, "\"c\""));
    }
}

static const char *word(const void *list, size_t i)
{
    return ((const char *const *)list)[i];
}

static void test_options__nearest(void **state)
{
    (void)state;
    static const char *const words[] = {"run", "compare", "check", "demo", NULL};
    assert_string_equal(cli_nearest("comapre", word, words), "compare");
    assert_string_equal(cli_nearest("chek", word, words), "check");
    assert_string_equal(cli_nearest("rum", word, words), "run");
    assert_string_equal(cli_nearest("run", word, words), "run");
    assert_null(cli_nearest("federate", word, words));
    assert_null(cli_nearest("xyz", word, words));
    assert_null(cli_nearest("", word, words));
    assert_null(cli_nearest("a-word-that-is-much-longer-than-any-command-may-be", word, words));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options__values_and_arguments),
        cmocka_unit_test(test_options__what_follows_two_dashes_is_no_option),
        cmocka_unit_test(test_options__number_out_of_range),
        cmocka_unit_test(test_options__unknown_names_the_nearest),
        cmocka_unit_test(test_options__missing_value),
        cmocka_unit_test(test_options__too_few_and_too_many),
        cmocka_unit_test(test_options__counts_and_reals),
        cmocka_unit_test(test_options__bad_counts_and_reals),
        cmocka_unit_test(test_options__nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
