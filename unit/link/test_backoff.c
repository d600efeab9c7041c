/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "backoff.h"

static void test_backoff__grows_to_its_cap(void **state)
{
    (void)state;
    struct backoff b = {0};
    uint64_t now = 1000, cap = 100000000;
    for (unsigned i = 0; i < 20; i++) {
        backoff_failed(&b, now, 1, 0);
        const uint64_t wait = b.retry_at_ns - now;
        assert_in_range(wait, cap / 2, cap);
        cap = 2 * cap > 5000000000 ? 5000000000 : 2 * cap;
        now = b.retry_at_ns;
    }
    backoff_reset(&b);
    assert_int_equal(b.retry_at_ns, 0);
}

static void test_backoff__nodes_do_not_return_in_step(void **state)
{
    (void)state;
    struct backoff a = {0}, b = {0};
    backoff_failed(&a, 1000, 1, 0);
    backoff_failed(&b, 1000, 2, 0);
    assert_true(a.retry_at_ns != b.retry_at_ns);
}

static void test_backoff__waits_as_long_as_it_is_asked_to(void **state)
{
    (void)state;
    struct backoff b = {0};
    backoff_failed(&b, 0, 1, 30);
    assert_int_equal(b.retry_at_ns, 30000000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_backoff__grows_to_its_cap),
        cmocka_unit_test(test_backoff__nodes_do_not_return_in_step),
        cmocka_unit_test(test_backoff__waits_as_long_as_it_is_asked_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
