/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "round.h"

static enum fed_verdict decide(struct fed_round *round, uint32_t index, uint32_t contributors,
                               uint64_t weight)
{
    const struct fed_sum sum = {.index = index, .contributors = contributors, .weight = weight};
    struct cairn_problem why = {0};
    enum fed_verdict verdict = FED_KEEP_NOTHING;
    assert_int_equal(fed_round_decide(round, &sum, &verdict, &why), 0);
    return verdict;
}

static void test_round__floor_and_weight(void **state)
{
    (void)state;
    struct fed_round round;
    fed_round_begin(&round, 1, 5, 3, 1);
    assert_int_equal(decide(&round, 0, 3, 1), FED_OPEN);
    assert_int_equal(decide(&round, 1, 2, 100), FED_KEEP_FLOOR);
    assert_int_equal(decide(&round, 2, 0, 0), FED_KEEP_FLOOR);
    assert_int_equal(decide(&round, 3, 9, 0), FED_KEEP_NOTHING);
    assert_false(fed_round_complete(&round));
    assert_int_equal(decide(&round, 4, 4, 4), FED_OPEN);
    assert_true(fed_round_complete(&round));
    assert_int_equal(round.kept, 3);
    assert_int_equal(round.opened, 2);
    assert_int_equal(round.fewest, 0);
    assert_int_equal(round.most, 9);
}

static void test_round__the_quorum_keeps_what_the_floor_lets_pass(void **state)
{
    (void)state;
    struct fed_round round;
    fed_round_begin(&round, 1, 6, 3, 5);
    assert_int_equal(decide(&round, 0, 5, 1), FED_OPEN);
    assert_int_equal(decide(&round, 1, 4, 1), FED_KEEP_QUORUM);
    assert_int_equal(decide(&round, 2, 3, 0), FED_KEEP_QUORUM);
    assert_int_equal(decide(&round, 3, 2, 1), FED_KEEP_FLOOR);
    assert_int_equal(decide(&round, 4, 5, 0), FED_KEEP_NOTHING);
    assert_int_equal(decide(&round, 5, 6, 1), FED_OPEN);
    assert_int_equal(round.opened, 2);
    assert_int_equal(round.kept, 4);
}

static void test_round__a_frame_is_decided_once(void **state)
{
    (void)state;
    struct fed_round round;
    struct cairn_problem why = {0};
    enum fed_verdict verdict = FED_OPEN;
    fed_round_begin(&round, 4, 2, 1, 1);
    assert_int_equal(decide(&round, 0, 3, 1), FED_OPEN);
    const struct fed_sum again = {.index = 0, .contributors = 4, .weight = 2};
    assert_int_equal(fed_round_decide(&round, &again, &verdict, &why), CAIRN_ERR_CLOSED);
    assert_int_equal(decide(&round, 1, 3, 1), FED_OPEN);
    const struct fed_sum late = {.index = 2, .contributors = 4, .weight = 2};
    assert_int_equal(fed_round_decide(&round, &late, &verdict, &why), CAIRN_ERR_CLOSED);
    assert_int_equal(fed_round_decide(&round, &again, &verdict, &why), CAIRN_ERR_CLOSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round__floor_and_weight),
        cmocka_unit_test(test_round__the_quorum_keeps_what_the_floor_lets_pass),
        cmocka_unit_test(test_round__a_frame_is_decided_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
