/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "liveness.h"

enum { BEAT = 1000, START = 5000 };

static void assert_states(const struct fed_liveness *l, uint64_t heard_ns)
{
    static const struct {
        uint64_t after;
        enum fed_life life;
    } rows[] = {{0, FED_ALIVE},          {3 * BEAT - 1, FED_ALIVE},
                {3 * BEAT, FED_SUSPECT}, {6 * BEAT - 1, FED_SUSPECT},
                {6 * BEAT, FED_DEAD},    {UINT64_MAX / 2, FED_DEAD}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(fed_liveness_state(l, heard_ns + rows[i].after, BEAT), rows[i].life);
        assert_true(fed_liveness_silence(l, heard_ns + rows[i].after) == rows[i].after);
    }
}

static void test_liveness__silence_counts_from_the_beginning(void **state)
{
    (void)state;
    struct fed_liveness l;
    fed_liveness_begin(&l, START);
    assert_states(&l, START);
}

static void test_liveness__one_answer_brings_back(void **state)
{
    (void)state;
    struct fed_liveness l;
    fed_liveness_begin(&l, START);
    assert_int_equal(fed_liveness_state(&l, START + 100 * BEAT, BEAT), FED_DEAD);
    assert_false(fed_liveness_heard(&l, START + 100 * BEAT, NULL));
    assert_states(&l, START + 100 * BEAT);
}

static void test_liveness__an_older_reading_changes_nothing(void **state)
{
    (void)state;
    struct fed_liveness l;
    fed_liveness_begin(&l, START);
    assert_false(fed_liveness_heard(&l, START + BEAT, "a"));
    assert_false(fed_liveness_heard(&l, START, "a"));
    assert_states(&l, START + BEAT);
    assert_true(fed_liveness_silence(&l, START) == 0);
}

static void test_liveness__another_boot_id_is_a_restart(void **state)
{
    (void)state;
    struct fed_liveness l;
    fed_liveness_begin(&l, START);
    assert_false(fed_liveness_heard(&l, START, "0123")); /* the first that is told */
    assert_false(fed_liveness_heard(&l, START, "0123"));
    assert_false(fed_liveness_heard(&l, START, NULL));
    assert_false(fed_liveness_heard(&l, START, ""));
    assert_true(fed_liveness_heard(&l, START, "01234"));
    assert_false(fed_liveness_heard(&l, START, "01234")); /* told once */
    assert_true(fed_liveness_heard(&l, START, "0123"));
    fed_liveness_begin(&l, START);
    assert_false(fed_liveness_heard(&l, START, "9"));
}

static void test_liveness__long_boot_ids_are_compared_as_far_as_they_are_kept(void **state)
{
    (void)state;
    struct fed_liveness l;
    char boot[3 * FED_BOOT_SIZE];
    memset(boot, 'a', sizeof boot);
    boot[sizeof boot - 1] = '\0';
    fed_liveness_begin(&l, START);
    assert_false(fed_liveness_heard(&l, START, boot));
    assert_false(fed_liveness_heard(&l, START, boot));
    boot[FED_BOOT_SIZE - 2] = 'b';
    assert_true(fed_liveness_heard(&l, START, boot));
    boot[FED_BOOT_SIZE - 1] = 'b';
    assert_false(fed_liveness_heard(&l, START, boot));
}

static void test_liveness__names(void **state)
{
    (void)state;
    assert_string_equal(fed_life_name(FED_ALIVE), "alive");
    assert_string_equal(fed_life_name(FED_SUSPECT), "suspect");
    assert_string_equal(fed_life_name(FED_DEAD), "dead");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_liveness__silence_counts_from_the_beginning),
        cmocka_unit_test(test_liveness__one_answer_brings_back),
        cmocka_unit_test(test_liveness__an_older_reading_changes_nothing),
        cmocka_unit_test(test_liveness__another_boot_id_is_a_restart),
        cmocka_unit_test(test_liveness__long_boot_ids_are_compared_as_far_as_they_are_kept),
        cmocka_unit_test(test_liveness__names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
