/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdatomic.h>
#include <stdbool.h>

#include "clock.h"
#include "parallel.h"

enum { PIECES = 1000, MOST_WORKERS = 8 };

struct tally {
    atomic_uint done[PIECES];
    atomic_bool inside[MOST_WORKERS]; /* a body of that worker is running */
    atomic_bool clash;
    atomic_uint workers_seen; /* bitmap */
};

static void count(void *ctx, size_t i, unsigned worker)
{
    struct tally *t = ctx;
    if (atomic_exchange(&t->inside[worker], true)) {
        t->clash = true;
    }
    atomic_fetch_add(&t->done[i], 1);
    atomic_fetch_or(&t->workers_seen, 1U << worker);
    atomic_store(&t->inside[worker], false);
}

static void run_team(unsigned threads, unsigned jobs, size_t n)
{
    struct parallel *team;
    struct tally t = {0};
    assert_int_equal(parallel_new(threads, &team), 0);
    assert_int_equal(parallel_size(team), threads);
    for (unsigned j = 0; j < jobs; j++) {
        parallel_for(team, n, count, &t);
        for (size_t i = 0; i < PIECES; i++) {
            assert_int_equal(t.done[i], i < n ? j + 1 : 0);
        }
    }
    assert_false(t.clash);
    assert_int_equal(t.workers_seen >> threads, 0);
    assert_true(n >= threads || t.workers_seen >> n == 0); /* below the pieces, too */
    parallel_free(team);
}

static void test_parallel__every_piece_once(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 2, 7, PIECES};
    for (unsigned threads = 1; threads <= MOST_WORKERS; threads++) {
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
            run_team(threads, 5, sizes[s]);
        }
    }
}

static void test_parallel__many_small_jobs(void **state)
{
    (void)state;
    run_team(4, 2000, 3);
}

static void test_parallel__without_a_team_the_caller_works(void **state)
{
    (void)state;
    struct tally t = {0};
    parallel_for(NULL, 10, count, &t);
    assert_int_equal(t.workers_seen, 1);
    assert_int_equal(t.done[9], 1);
    assert_int_equal(parallel_size(NULL), 1);
    parallel_free(NULL);
}

static void nap(void *ctx, size_t i, unsigned worker)
{
    (void)ctx;
    (void)i;
    (void)worker;
    clock_system.sleep_ns(clock_system.ctx, 100000000);
}

static void test_parallel__pieces_run_side_by_side(void **state)
{
    (void)state;
    struct parallel *team;
    assert_int_equal(parallel_new(4, &team), 0);
    const uint64_t from = clock_now_ns(&clock_system);
    parallel_for(team, 4, nap, NULL);
    /* one after the other they would take 0.4 s */
    assert_true(clock_seconds(from, clock_now_ns(&clock_system)) < 0.3);
    parallel_free(team);
}

static void test_parallel__zero_means_all_processors(void **state)
{
    (void)state;
    struct parallel *team;
    assert_int_equal(parallel_new(0, &team), 0);
    assert_true(parallel_size(team) >= 1);
    parallel_free(team);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parallel__every_piece_once),
        cmocka_unit_test(test_parallel__many_small_jobs),
        cmocka_unit_test(test_parallel__without_a_team_the_caller_works),
        cmocka_unit_test(test_parallel__pieces_run_side_by_side),
        cmocka_unit_test(test_parallel__zero_means_all_processors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
