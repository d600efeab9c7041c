/* SPDX-License-Identifier: Apache-2.0 */
/* Tables for people. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "table.h"

static void check(struct table *table, const char *expected)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    table_print(table, to);
    (void)fclose(to);
    assert_string_equal(text, expected);
    assert_null(table->cells);
    free(text);
}

static void test_table__columns_are_as_wide_as_they_must(void **state)
{
    (void)state;
    struct table table = {.columns = 3};
    table_cells(&table, "role", "nodes", "s", NULL);
    table_cell(&table, "aggregator");
    table_cell(&table, "%u", 1U);
    table_cell(&table, "%.2f", 0.5);
    check(&table, "role        nodes     s\n"
                  "aggregator      1  0.50\n");
}

static void test_table__many_rows(void **state)
{
    (void)state;
    struct table table = {.columns = 1};
    char expected[400 * 2 + 1] = {0};
    for (size_t i = 0; i < 400; i++) { /* grows three times */
        table_cell(&table, "x");
        memcpy(expected + 2 * i, "x\n", 2);
    }
    check(&table, expected);
}

static void test_table__long_cells_are_cut(void **state)
{
    (void)state;
    struct table table = {.columns = 1};
    char expected[TABLE_CELL_SIZE + 1];
    memset(expected, 'y', sizeof expected);
    memcpy(expected + TABLE_CELL_SIZE - 1, "\n", 2);
    char longer[200];
    memset(longer, 'y', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    table_cell(&table, "%s", longer);
    check(&table, expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table__columns_are_as_wide_as_they_must),
        cmocka_unit_test(test_table__many_rows),
        cmocka_unit_test(test_table__long_cells_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
