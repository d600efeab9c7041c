/* SPDX-License-Identifier: Apache-2.0 */
/* CSV: what RFC 4180 allows, and what is refused with its line. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "csv.h"
#include "idx_files.h"

static char folder[64];
static char path[512];

static int setup(void **state)
{
    (void)state;
    make_folder(folder);
    (void)snprintf(path, sizeof path, "%s/x.csv", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

static struct csv_reader *must_open(const char *text, size_t size)
{
    struct csv_reader *csv = NULL;
    struct cairn_problem why = {0};

    write_raw(folder, "x.csv", text, size);
    if (csv_open(path, &csv, &why)) {
        fail_msg("%s", why.what);
    }
    return csv;
}

static void must_read(struct csv_reader *csv, bool more)
{
    struct cairn_problem why = {0};
    bool at_end = false;

    if (csv_next(csv, &at_end, &why)) {
        fail_msg("%s", why.what);
    }
    assert_int_equal(at_end, !more);
}

/* The same three records in every way that they may be written. */
static void test_csv__one_table_many_ways(void **state)
{
    static const char *const ways[] = {
        "a,b,label\n1,-2.5,0\n3e2,4,1\n",
        "a,b,label\r\n1,-2.5,0\r\n3e2,4,1\r\n",
        "\xef\xbb\xbf\x61,b,label\n1,-2.5,0\n3e2,4,1",
        "\"a\",\"b\",\"label\"\r\n\"1\",\"-2.5\",\"0\"\r\n\"3e2\",\"4\",\"1\"",
        "\xef\xbb\xbf\"a\",b,label\n1 , -2.5,0\t\n +3E+2,\" 4\" ,1\r\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        struct csv_reader *csv = must_open(ways[i], strlen(ways[i]));
        struct cairn_problem why = {0};
        double a, b, label;

        assert_int_equal(csv_columns(csv), 3);
        assert_string_equal(csv_name(csv, 0), "a");
        assert_string_equal(csv_name(csv, 2), "label");
        must_read(csv, true);
        assert_int_equal(csv_line(csv), 2);
        assert_int_equal(csv_number(csv, 0, &a, &why), 0);
        assert_int_equal(csv_number(csv, 1, &b, &why), 0);
        assert_int_equal(csv_number(csv, 2, &label, &why), 0);
        assert_true(a == 1 && b == -2.5 && label == 0);
        must_read(csv, true);
        assert_int_equal(csv_line(csv), 3);
        assert_int_equal(csv_number(csv, 0, &a, &why), 0);
        assert_true(a == 300);
        if (i < 4) { /* in quotes, blanks belong to the field, and to no number */
            assert_int_equal(csv_number(csv, 1, &b, &why), 0);
            assert_true(b == 4);
        } else {
            assert_int_equal(csv_number(csv, 1, &b, &why), CAIRN_ERR_DATA);
        }
        must_read(csv, false);
        csv_close(csv);
    }
}

static void test_csv__quotes(void **state)
{
    static const char text[] = "\"say \"\"x\"\"\",\"a,b\",\"\",c\n\"\"\"\",,\"\",\" d \"\n";
    struct csv_reader *csv = must_open(text, sizeof text - 1);

    (void)state;
    assert_int_equal(csv_columns(csv), 4);
    assert_string_equal(csv_name(csv, 0), "say \"x\"");
    assert_string_equal(csv_name(csv, 1), "a,b");
    assert_string_equal(csv_name(csv, 2), "");
    must_read(csv, true);
    assert_string_equal(csv_field(csv, 0), "\"");
    assert_string_equal(csv_field(csv, 1), "");
    assert_string_equal(csv_field(csv, 2), "");
    assert_string_equal(csv_field(csv, 3), " d ");
    must_read(csv, false);
    csv_close(csv);
}

/* Lines that are longer than what is read at once, from a packed file. */
static void test_csv__long_lines(void **state)
{
    enum { COLUMNS = 20000, LINES = 9 };
    char *text = malloc(LINES * COLUMNS * 8);
    size_t size = 0;
    struct csv_reader *csv = NULL;
    struct cairn_problem why;

    (void)state;
    for (size_t line = 0; line < LINES; line++) {
        for (size_t c = 0; c < COLUMNS; c++) {
            size += (size_t)sprintf(text + size, "%zu%s", line + c, c + 1 < COLUMNS ? "," : "\n");
        }
    }
    write_gzip(folder, "x.csv", text, size);
    assert_int_equal(csv_open(path, &csv, &why), 0);
    assert_int_equal(csv_columns(csv), COLUMNS);
    for (size_t line = 1; line < LINES; line++) {
        double value = 0;
        must_read(csv, true);
        assert_int_equal(csv_number(csv, COLUMNS - 1, &value, &why), 0);
        assert_true(value == (double)(line + COLUMNS - 1));
    }
    must_read(csv, false);
    csv_close(csv);
    free(text);
}

/* Read to the end; every field of every line must be a number. */
static int read_all(const char *text, size_t size, struct cairn_problem *why)
{
    struct csv_reader *csv = NULL;
    bool at_end = false;
    int err;

    write_raw(folder, "x.csv", text, size);
    err = csv_open(path, &csv, why);
    while (!err && !at_end) {
        err = csv_next(csv, &at_end, why);
        for (size_t c = 0; !err && !at_end && c < csv_columns(csv); c++) {
            double value;
            err = csv_number(csv, c, &value, why);
        }
    }
    csv_close(csv);
    return err;
}

static void test_csv__refuses(void **state)
{
    static const struct {
        const char *text, *place, *words;
    } bad[] = {
        {"a,b\n1,2\n3\n", "x.csv:3: ", "1 fields, but the header has 2"},
        {"a,b\n1,2,3\n", "x.csv:2: ", "3 fields"},
        {"a,b\n1,2,\n", "x.csv:2: ", "3 fields"},
        {"a,b\n1,\n", "x.csv:2: ", "no value for \"b\""},
        {"a,b\n,1\n", "x.csv:2: ", "no value for \"a\""},
        {"a,b\n1,\"\"\n", "x.csv:2: ", "no value"},
        {"a,b\n\n1,2\n", "x.csv:2: ", "empty"},
        {"a,b\n1,2\n\n", "x.csv:3: ", "empty"},
        {"a,b\n1,x\n", "x.csv:2: ", "\"x\" for \"b\" is no finite number"},
        {"a,b\n1,nan\n", "x.csv:2: ", "no finite number"},
        {"a,b\n1,inf\n", "x.csv:2: ", "no finite number"},
        {"a,b\n1,0x10\n", "x.csv:2: ", "no finite number"},
        {"a,b\n1,1e999\n", "x.csv:2: ", "no finite number"},
        {"a,b\n1,1.2.3\n", "x.csv:2: ", "no finite number"},
        {"a,b\n1,1 2\n", "x.csv:2: ", "no finite number"},
        {"a,b\n1,-\n", "x.csv:2: ", "no finite number"},
        {"a,b\n1,\"2\n", "x.csv:2: ", "quote"},
        {"a,b\n1,\"2\n3\"\n", "x.csv:2: ", "quote"},
        {"a,b\n1,2\"3\n", "x.csv:2: ", "quote"},
        {"a,b\n1,\"2\"3\n", "x.csv:2: ", "quote"},
        {"a,b\n1,2\r\r\n", "x.csv:2: ", "carriage return"},
        {"a,b\r1,2\r3,4\r", "x.csv:1: ", "carriage return"},
        {"\"a\rb\",c\n1,2\n", "x.csv:1: ", "carriage return"},
        {"<html>\n", "x.csv", "HTML"},
        {"\xef\xbb\xbf<html>\n", "x.csv", "HTML"},
        {"\xef\xbb\xbf", "x.csv", "empty"},
        {"\n", "x.csv:1: ", "empty"},
        {"", "x.csv", "empty"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct cairn_problem why = {0};
        assert_int_equal(read_all(bad[i].text, strlen(bad[i].text), &why), CAIRN_ERR_DATA);
        if (!strstr(why.what, bad[i].place) || !strstr(why.what, bad[i].words)) {
            fail_msg("%zu: \"%s\" does not say \"%s\" \"%s\"", i, why.what, bad[i].place,
                     bad[i].words);
        }
    }
}

static void test_csv__refuses_what_is_no_text(void **state)
{
    static const char wide[] = "a\0,\0b\0\n\0"; /* UTF-16 */
    char *endless = malloc(CSV_LINE_LIMIT + 2);
    struct cairn_problem why = {0};

    (void)state;
    assert_int_equal(read_all(wide, sizeof wide - 1, &why), CAIRN_ERR_DATA);
    assert_non_null(strstr(why.what, "x.csv:1: a zero byte"));
    memset(endless, '1', CSV_LINE_LIMIT + 2);
    assert_int_equal(read_all(endless, CSV_LINE_LIMIT + 1, &why), CAIRN_ERR_DATA);
    assert_non_null(strstr(why.what, "longer than 16 MiB"));
    free(endless);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(test_csv__##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(one_table_many_ways),
        CASE(quotes),
        CASE(long_lines),
        CASE(refuses),
        CASE(refuses_what_is_no_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
