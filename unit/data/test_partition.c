/* SPDX-License-Identifier: Apache-2.0 */
/* Every row belongs to one client, whatever the remainder. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "partition.h"

static void assert_covers(size_t rows, uint32_t clients)
{
    struct cairn_problem why;
    size_t next = 0;

    for (uint32_t i = 0; i < clients; i++) {
        struct row_range slice;
        assert_int_equal(partition_slice(rows, clients, i, &slice, &why), 0);
        assert_int_equal(slice.first, next);
        assert_true(slice.count >= rows / clients && slice.count <= rows / clients + 1);
        next += slice.count;
    }
    assert_int_equal(next, rows);
}

static void test_partition__every_row_once(void **state)
{
    (void)state;
    assert_covers(60000, 7);
    assert_covers(60000, 12);
    assert_covers(10000, 9999);
    assert_covers(5, 5);
    assert_covers(1, 1);
    for (uint32_t clients = 1; clients <= 60; clients++) {
        for (size_t rows = clients; rows <= 200; rows++) {
            assert_covers(rows, clients);
        }
    }
}

/* floor(6 * 60000 / 7) = 51428, by hand */
static void test_partition__known_slice(void **state)
{
    struct cairn_problem why;
    struct row_range slice;

    (void)state;
    assert_int_equal(partition_slice(60000, 7, 6, &slice, &why), 0);
    assert_int_equal(slice.first, 51428);
    assert_int_equal(slice.count, 8572);
}

static void test_partition__largest_numbers(void **state)
{
    struct cairn_problem why;
    struct row_range slice;

    (void)state;
    assert_int_equal(partition_slice(UINT32_MAX, UINT32_MAX, UINT32_MAX - 1, &slice, &why), 0);
    assert_int_equal(slice.first, UINT32_MAX - 1);
    assert_int_equal(slice.count, 1);
}

static void test_partition__all_rows_without_clients(void **state)
{
    struct cairn_problem why;
    struct row_range slice;

    (void)state;
    assert_int_equal(partition_slice(60000, 0, 3, &slice, &why), 0);
    assert_int_equal(slice.first, 0);
    assert_int_equal(slice.count, 60000);
}

static void test_partition__refuses(void **state)
{
    struct row_range slice = {77, 88};
    struct cairn_problem why;

    (void)state;
    assert_int_equal(partition_slice(11, 12, 0, &slice, &why), CAIRN_ERR_DATA);
    assert_int_equal(partition_slice(60000, 12, 12, &slice, &why), CAIRN_ERR_DATA);
    assert_int_equal(slice.first, 77);
    assert_int_equal(slice.count, 88);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_partition__every_row_once),
        cmocka_unit_test(test_partition__known_slice),
        cmocka_unit_test(test_partition__largest_numbers),
        cmocka_unit_test(test_partition__all_rows_without_clients),
        cmocka_unit_test(test_partition__refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
