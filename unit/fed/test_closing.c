/* SPDX-License-Identifier: Apache-2.0 */
/* When a fold is closed: three clients and one frame, so each is through with one delivery. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "closing.h"

enum { CLIENTS = 3, PARAMS = 2 };
#define SECOND UINT64_C(1000000000)

static struct fed_plan plan;
static struct fed_fold *fold;
static struct fed_closing closing;
static const uint64_t start = 50 * SECOND;

static int begin(void **state)
{
    (void)state;
    static const struct fed_stream streams[CLIENTS] = {{1, 1, 0}, {2, 1, 1}, {3, 1, 2}};
    struct he_params he;
    struct cairn_problem why = {0};
    if (he_params_choose(HE_NONE, 16, CLIENTS, &he, &why) != 0 ||
        fed_plan_init(&plan, &he, PARAMS, PARAMS, CLIENTS, 1 << 16, &why) != 0 ||
        fed_fold_new(&plan, streams, CLIENTS, 1, &fold) != 0) {
        return -1;
    }
    fed_fold_open(fold, 1, 0);
    return 0;
}

static int end(void **state)
{
    (void)state;
    fed_fold_free(fold);
    return 0;
}

static void deliver(uint32_t origin)
{
    static const uint8_t payload[64];
    const uint8_t set = (uint8_t)(1U << (origin - 1));
    const struct wire_frame frame = {.contributors = 1,
                                     .weight = 1,
                                     .params_id = plan.he.short_id,
                                     .payload = {payload, he_payload_bytes(&plan.he, PARAMS)},
                                     .contributor_set = {&set, 1}};
    struct cairn_problem why = {0};
    uint32_t next;
    assert_int_equal(fed_fold_accept(fold, origin, &frame, &next, &why), 0);
}

/* Look at `start + after`: expect this, and when to look again, also counted from `start`. */
static void assert_check(uint64_t after, enum fed_close expected, uint64_t again)
{
    uint64_t again_ns = 0;
    assert_int_equal(fed_closing_check(&closing, start + after, fold, &again_ns), expected);
    assert_true(again_ns == start + again);
}

static void test_closing__complete_when_all_live_are_through(void **state)
{
    (void)state;
    fed_closing_begin(&closing, start, start + 60 * SECOND, 0, 3);
    deliver(1);
    deliver(2);
    assert_check(1, FED_WAIT, 60 * SECOND);
    fed_fold_set_live(fold, 3, false);
    assert_check(2, FED_CLOSE_COMPLETE, 2);
    fed_fold_set_live(fold, 3, true);
    assert_check(3, FED_WAIT, 60 * SECOND);
    deliver(3);
    assert_check(61 * SECOND, FED_CLOSE_COMPLETE, 61 * SECOND); /* named before the deadline */
}

static void test_closing__the_deadline_ends_it(void **state)
{
    (void)state;
    fed_closing_begin(&closing, start, start + 60 * SECOND, 0, 1);
    deliver(1); /* the quorum is through, but there is no grace rule */
    assert_check(0, FED_WAIT, 60 * SECOND);
    assert_check(60 * SECOND - 1, FED_WAIT, 60 * SECOND);
    assert_check(60 * SECOND, FED_CLOSE_DEADLINE, 60 * SECOND);
}

static void test_closing__grace_begins_when_the_quorum_is_through(void **state)
{
    (void)state;
    fed_closing_begin(&closing, start, start + 60 * SECOND, 2.5, 2);
    deliver(1);
    assert_check(10 * SECOND, FED_WAIT, 60 * SECOND);
    deliver(2);
    assert_check(20 * SECOND, FED_WAIT, 20 * SECOND + 5 * SECOND / 2);
    assert_check(21 * SECOND, FED_WAIT, 20 * SECOND + 5 * SECOND / 2); /* and not again */
    assert_check(20 * SECOND + 5 * SECOND / 2 - 1, FED_WAIT, 20 * SECOND + 5 * SECOND / 2);
    assert_check(20 * SECOND + 5 * SECOND / 2, FED_CLOSE_GRACE, 20 * SECOND + 5 * SECOND / 2);
}

static void test_closing__the_deadline_cuts_the_grace_short(void **state)
{
    (void)state;
    fed_closing_begin(&closing, start, start + 60 * SECOND, 30, 1);
    deliver(1);
    assert_check(40 * SECOND, FED_WAIT, 60 * SECOND);
    assert_check(60 * SECOND, FED_CLOSE_DEADLINE, 60 * SECOND);
}

static void test_closing__going_back_begins_the_grace_anew(void **state)
{
    (void)state;
    fed_closing_begin(&closing, start, start + 60 * SECOND, 5, 1);
    deliver(1);
    assert_check(1 * SECOND, FED_WAIT, 6 * SECOND);
    fed_fold_open(fold, 1, 0);
    assert_check(7 * SECOND, FED_WAIT, 60 * SECOND);
    deliver(1);
    assert_check(8 * SECOND, FED_WAIT, 13 * SECOND);
    assert_check(13 * SECOND, FED_CLOSE_GRACE, 13 * SECOND);
}

static void test_closing__the_smallest_grace_is_still_one(void **state)
{
    (void)state;
    fed_closing_begin(&closing, start, UINT64_MAX, 1e-12, 0); /* no quorum: from the start */
    assert_check(0, FED_WAIT, 1);
    assert_check(1, FED_CLOSE_GRACE, 1);
}

static void test_closing__without_a_deadline_nothing_ends_it(void **state)
{
    (void)state;
    fed_closing_begin(&closing, start, UINT64_MAX, 0, 1);
    deliver(1);
    assert_check(UINT64_MAX / 2, FED_WAIT, UINT64_MAX - start);
}

static void test_closing__names(void **state)
{
    (void)state;
    assert_string_equal(fed_close_name(FED_WAIT), "waiting");
    assert_string_equal(fed_close_name(FED_CLOSE_COMPLETE), "complete");
    assert_string_equal(fed_close_name(FED_CLOSE_GRACE), "grace");
    assert_string_equal(fed_close_name(FED_CLOSE_DEADLINE), "deadline");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_closing__complete_when_all_live_are_through, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_closing__the_deadline_ends_it, begin, end),
        cmocka_unit_test_setup_teardown(test_closing__grace_begins_when_the_quorum_is_through,
                                        begin, end),
        cmocka_unit_test_setup_teardown(test_closing__the_deadline_cuts_the_grace_short, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_closing__going_back_begins_the_grace_anew, begin, end),
        cmocka_unit_test_setup_teardown(test_closing__the_smallest_grace_is_still_one, begin, end),
        cmocka_unit_test_setup_teardown(test_closing__without_a_deadline_nothing_ends_it, begin,
                                        end),
        cmocka_unit_test(test_closing__names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
