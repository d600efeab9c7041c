/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's clocks go forward; times are written as RFC 3339 wants them. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <signal.h>
#include <string.h>
#include <sys/time.h>

#include "clock.h"

static void test_clock__formats(void **state)
{
    (void)state;
    /* seconds from `date -u -d ... +%s` */
    static const struct {
        int64_t us;
        const char *text;
    } rows[] = {
        {0, "1970-01-01T00:00:00.000000Z"},
        {1769860800123456, "2026-01-31T12:00:00.123456Z"},
        {951782399999999, "2000-02-28T23:59:59.999999Z"},
        {951782400000000, "2000-02-29T00:00:00.000000Z"},
        {-1, "1969-12-31T23:59:59.999999Z"},
        {-1000000, "1969-12-31T23:59:59.000000Z"},
    };
    char text[CLOCK_TEXT_SIZE];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        clock_format(rows[i].us, text);
        assert_string_equal(text, rows[i].text);
    }
    clock_format(INT64_MIN, text); /* stays inside */
    assert_true(strlen(text) < CLOCK_TEXT_SIZE);
    clock_format(INT64_MAX, text);
    assert_true(strlen(text) < CLOCK_TEXT_SIZE);
}

static void test_clock__seconds(void **state)
{
    (void)state;
    assert_true(clock_seconds(1000000000u, 2500000000u) == 1.5);
    assert_true(clock_seconds(2500000000u, 1000000000u) == -1.5);
    /* after centuries of uptime a nanosecond is still one */
    assert_true(clock_seconds(UINT64_MAX - 1, UINT64_MAX) == 1e-9);
}

static void ignore(int number)
{
    (void)number;
}

static void test_clock__sleep_survives_signals(void **state)
{
    (void)state;
    struct sigaction action = {.sa_handler = ignore};
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    const struct itimerval often = {{0, 2000}, {0, 2000}}, never = {{0, 0}, {0, 0}};
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    uint64_t from = clock_now_ns(&clock_system);
    clock_system.sleep_ns(clock_system.ctx, 20000000);
    uint64_t to = clock_now_ns(&clock_system);
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    assert_true(to - from >= 20000000);
}

static void test_clock__wall_is_after_this_was_written(void **state)
{
    (void)state;
    assert_true(clock_system.wall_us(clock_system.ctx) > 1760000000000000); /* October 2025 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clock__formats),
        cmocka_unit_test(test_clock__seconds),
        cmocka_unit_test(test_clock__sleep_survives_signals),
        cmocka_unit_test(test_clock__wall_is_after_this_was_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
