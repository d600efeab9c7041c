/* SPDX-License-Identifier: Apache-2.0 */
/* Repeating and timing: who does which part, when it stops, what is taken from the times. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "bench.h"
#include "bench_time.h"
#include "clock.h"

enum { THREADS = 3, MOST = 1000, MILLISECOND = 1000000 };

static void test_bench_time__median(void **state)
{
    (void)state;
    double one[] = {7}, odd[] = {9, 1, 5}, even[] = {4, 1, 100, 2};
    assert_true(bench_median(one, 1) == 7);
    assert_true(bench_median(odd, 3) == 5);
    assert_true(bench_median(even, 4) == 3);
}

static void count_call(void *ctx)
{
    (*(uint64_t *)ctx)++;
}

static void sleep_call(void *ctx)
{
    (void)ctx;
    clock_system.sleep_ns(clock_system.ctx, MILLISECOND / 5);
}

static void test_bench_time__call_takes_its_time(void **state)
{
    (void)state;
    uint64_t calls = 0;
    double ns = bench_call_ns(count_call, &calls, MILLISECOND);
    assert_true(ns > 0 && ns < 1000);
    assert_true(calls > 1000); /* small functions are called often */
    ns = bench_call_ns(sleep_call, NULL, MILLISECOND);
    assert_true(ns >= MILLISECOND / 5);
}

struct diary {
    unsigned parts[THREADS]; /* each thread writes its own */
    unsigned before;
    unsigned failing_pass;
    bool sleeps;
};

static int note_part(void *ctx, unsigned thread, unsigned pass)
{
    struct diary *d = ctx;
    assert_int_equal(pass, d->parts[thread]); /* every thread, every pass, in order */
    assert_int_equal(d->before, pass + 1);
    d->parts[thread]++;
    if (d->sleeps && thread == THREADS - 1) {
        clock_system.sleep_ns(clock_system.ctx, MILLISECOND);
    }
    return d->failing_pass != 0 && pass == d->failing_pass && thread == 1 ? CAIRN_ERR_DATA : 0;
}

static void note_before(void *ctx)
{
    struct diary *d = ctx;
    d->before++;
}

static struct bench_work work_of(struct diary *d, unsigned least)
{
    return (struct bench_work){
        .part = note_part, .before = note_before, .ctx = d, .threads = THREADS, .least = least};
}

static void test_bench_time__every_thread_does_every_pass(void **state)
{
    (void)state;
    struct diary d = {0};
    struct bench_work work = work_of(&d, 7);
    double ns = 0;
    assert_int_equal(bench_work_run(&work, &ns), 0);
    assert_true(ns > 0);
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(d.parts[i], 8); /* and one to warm up */
    }
    assert_int_equal(d.before, 8);
}

static void test_bench_time__a_pass_lasts_as_long_as_its_slowest_thread(void **state)
{
    (void)state;
    struct diary d = {.sleeps = true};
    struct bench_work work = work_of(&d, 3);
    double ns = 0;
    assert_int_equal(bench_work_run(&work, &ns), 0);
    assert_true(ns >= MILLISECOND);
    d = (struct diary){.sleeps = true};
    assert_int_equal(bench_work_best(&work, &ns), 0);
    assert_true(ns >= MILLISECOND);
}

static void test_bench_time__budget_and_bound(void **state)
{
    (void)state;
    struct diary d = {.sleeps = true};
    struct bench_work work = work_of(&d, 1);
    double ns = 0;
    work.budget_ns = 20 * MILLISECOND;
    assert_int_equal(bench_work_run(&work, &ns), 0);
    assert_true(d.parts[0] >= 2 && d.parts[0] <= 22);
    d = (struct diary){0};
    work.budget_ns = UINT64_MAX;
    assert_int_equal(bench_work_run(&work, &ns), 0);
    assert_int_equal(d.parts[0], MOST + 1);
}

static void test_bench_time__an_error_ends_it(void **state)
{
    (void)state;
    struct diary d = {.failing_pass = 2};
    struct bench_work work = work_of(&d, 50);
    double ns = -1;
    assert_int_equal(bench_work_run(&work, &ns), CAIRN_ERR_DATA);
    assert_true(ns == -1);
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(d.parts[i], 3);
    }
}

static void test_bench_time__refuses_what_cannot_be(void **state)
{
    (void)state;
    struct diary d = {0};
    struct bench_work work = work_of(&d, 0);
    double ns;
    assert_int_equal(bench_work_run(&work, &ns), CAIRN_ERR_BUG);
    work.least = 1;
    work.threads = 0;
    assert_int_equal(bench_work_run(&work, &ns), CAIRN_ERR_BUG);
    work.threads = BENCH_MAX_THREADS + 1;
    assert_int_equal(bench_work_run(&work, &ns), CAIRN_ERR_BUG);
    assert_int_equal(d.before, 0);
    assert_in_range(bench_processors(), 1, BENCH_MAX_THREADS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bench_time__median),
        cmocka_unit_test(test_bench_time__call_takes_its_time),
        cmocka_unit_test(test_bench_time__every_thread_does_every_pass),
        cmocka_unit_test(test_bench_time__a_pass_lasts_as_long_as_its_slowest_thread),
        cmocka_unit_test(test_bench_time__budget_and_bound),
        cmocka_unit_test(test_bench_time__an_error_ends_it),
        cmocka_unit_test(test_bench_time__refuses_what_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
