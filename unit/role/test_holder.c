/* SPDX-License-Identifier: Apache-2.0 */
/* A node that works for a run is asked to take another run's config: what its aggregator answers decides. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "holder.h"
#include "json.h"

/* What the aggregator at 10.0.0.1:5000 says to GET /status. */
struct aggregator {
    int error;
    int status;
    const char *answer;
    unsigned asked;
};

static void answer(void *ctx, struct http_exchange *list, size_t n)
{
    struct aggregator *a = ctx;
    assert_int_equal(n, 1);
    assert_string_equal(list->address, "10.0.0.1:5000");
    assert_string_equal(list->path, "/status");
    assert_true(list->timeout_s > 0);
    a->asked++;
    list->error = a->error;
    list->status = a->status;
    if (a->error == 0) {
        assert_int_equal(buf_append(&list->answer, a->answer, strlen(a->answer)), 0);
    }
}

static json_t *config(const char *experiment, const char *id, const char *aggregator)
{
    return json_pack("{s:s, s:{s:s, s:s}}", "experiment", experiment, "session", "id", id,
                     "aggregator", aggregator);
}

static int check(struct aggregator *a, const char *held_by, const char *wanted_id,
                 struct cairn_problem *why)
{
    const struct role_host host = {.ctx = a, .exchange = answer, .address = "10.0.0.9:5000"};
    json_t *held = config("first", "aa", held_by), *wanted = config("second", wanted_id, "10.0.0.2:5000");
    *why = (struct cairn_problem){0};
    const int err = holder_check(held, wanted, &host, why);
    json_decref(held);
    json_decref(wanted);
    return err;
}

static void test_holder__a_live_run_is_not_left(void **state)
{
    (void)state;
    static const char *const live[] = {"configuring", "ready", "collecting", "finishing", "gathering"};
    for (size_t i = 0; i < sizeof live / sizeof live[0]; i++) {
        char text[200];
        struct cairn_problem why;
        (void)snprintf(text, sizeof text,
                       "{\"role\": \"aggregator\", \"session\": \"aa\", \"boot\": \"b00\", \"state\": \"%s\"}",
                       live[i]);
        struct aggregator a = {.status = 200, .answer = text};
        assert_int_equal(check(&a, "10.0.0.1:5000", "bb", &why), CAIRN_ERR_REFUSED);
        for (const char *const *word = (const char *const[]){"10.0.0.9:5000", "\"first\"", "10.0.0.1:5000",
                                                             "b00", "\"second\"", NULL};
             *word != NULL; word++) {
            assert_non_null(strstr(why.what, *word));
        }
    }
}

static void test_holder__others_hold_nothing(void **state)
{
    (void)state;
    struct cairn_problem why;
    struct aggregator cases[] = {
        {.error = CAIRN_ERR_NETWORK},
        {.status = 503, .answer = "{}"},
        {.status = 200, .answer = "no JSON"},
        {.status = 200, .answer = "{\"role\": \"none\"}"},
        {.status = 200, .answer = "{\"session\": \"aa\", \"state\": \"done\"}"},
        {.status = 200, .answer = "{\"session\": \"aa\", \"state\": \"failed\"}"},
        {.status = 200, .answer = "{\"session\": \"cc\", \"state\": \"collecting\"}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(check(&cases[i], "10.0.0.1:5000", "bb", &why), 0);
        assert_int_equal(cases[i].asked, 1);
    }
}

static void test_holder__nobody_is_asked_without_need(void **state)
{
    (void)state;
    struct cairn_problem why;
    struct aggregator a = {.status = 200, .answer = "{\"session\": \"aa\", \"state\": \"collecting\"}"};
    assert_int_equal(check(&a, "10.0.0.1:5000", "aa", &why), 0); /* the same run, told anew */
    assert_int_equal(check(&a, "", "bb", &why), 0);              /* of an older aggregator */
    json_t *wanted = config("second", "bb", "10.0.0.2:5000");
    const struct role_host host = {.ctx = &a, .exchange = answer, .address = "10.0.0.9:5000"};
    assert_int_equal(holder_check(NULL, wanted, &host, &why), 0);
    json_decref(wanted);
    assert_int_equal(a.asked, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_holder__a_live_run_is_not_left),
        cmocka_unit_test(test_holder__others_hold_nothing),
        cmocka_unit_test(test_holder__nobody_is_asked_without_need),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
