/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "http.h"
#include "json.h"

/* A problem's reply, read back by a JSON parser. */
static json_t *parse_back(struct http_reply *reply)
{
    struct cairn_problem why = {0};
    json_t *document = json_parse(buf_span(&reply->body), "reply", &why);
    if (!document) {
        print_error("%s\n", why.what);
    }
    return document;
}

static void test_reply__problem_has_status_and_three_members(void **state)
{
    (void)state;
    struct cairn_problem why = {0};
    struct http_reply reply = {0};
    (void)problem_set(&why, CAIRN_ERR_WRONG_INDEX, "go on at 4", "frame %d is not next", 7);
    http_reply_problem(&reply, &why);
    assert_int_equal(reply.status, 409);
    assert_null(reply.content_type);
    json_t *document = parse_back(&reply);
    assert_non_null(document);
    assert_string_equal(json_get_text(document, "error", ""), "frame 7 is not next");
    assert_string_equal(json_get_text(document, "hint", ""), "go on at 4");
    assert_string_equal(json_get_text(document, "code", ""), "WRONG_INDEX");
    json_decref(document);
    http_reply_release(&reply);
    assert_null(reply.body.data);
}

static void test_reply__problem_without_text_uses_the_sentence(void **state)
{
    (void)state;
    struct cairn_problem why = {.code = CAIRN_ERR_BUSY};
    struct http_reply reply = {0};
    http_reply_problem(&reply, &why);
    json_t *document = parse_back(&reply);
    assert_non_null(document);
    assert_string_equal(json_get_text(document, "error", ""),
                        cairn_error_sentence(CAIRN_ERR_BUSY));
    assert_int_equal(reply.status, 503);
    json_decref(document);
    http_reply_release(&reply);
}

static void test_reply__every_byte_survives_or_becomes_a_question_mark(void **state)
{
    (void)state;
    for (int byte = 1; byte < 256; byte++) {
        struct cairn_problem why = {.code = CAIRN_ERR_REFUSED};
        struct http_reply reply = {0};
        char expected[8] = {'a', byte < 0x80 ? (char)byte : '?', 'z', 0};
        why.what[0] = 'a';
        why.what[1] = (char)byte;
        why.what[2] = 'z';
        http_reply_problem(&reply, &why);
        json_t *document = parse_back(&reply);
        assert_non_null(document);
        assert_string_equal(json_get_text(document, "error", ""), expected);
        assert_null(memchr(reply.body.data, '\n', reply.body.size - 1));
        json_decref(document);
        http_reply_release(&reply);
    }
}

static void test_reply__unicode_is_kept_and_old_body_is_dropped(void **state)
{
    (void)state;
    struct cairn_problem why = {0};
    struct http_reply reply = {.content_type = "text/plain"};
    assert_int_equal(buf_printf(&reply.body, "half an answer"), 0);
    (void)problem_set(&why, CAIRN_ERR_DATA, NULL, "Zürich \xe2\x82\xac \xf0\x9f\xaa\xa8");
    http_reply_problem(&reply, &why);
    json_t *document = parse_back(&reply);
    assert_non_null(document);
    assert_string_equal(json_get_text(document, "error", ""), why.what);
    assert_null(reply.content_type);
    json_decref(document);
    http_reply_release(&reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reply__problem_has_status_and_three_members),
        cmocka_unit_test(test_reply__problem_without_text_uses_the_sentence),
        cmocka_unit_test(test_reply__every_byte_survives_or_becomes_a_question_mark),
        cmocka_unit_test(test_reply__unicode_is_kept_and_old_body_is_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
