/* SPDX-License-Identifier: Apache-2.0 */
/* What is refused, where the message points, and that equal documents have equal digests. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "digest.h"
#include "fault.h"
#include "json.h"

static json_t *parse(const char *text, struct cairn_problem *why)
{
    struct span s = {(const uint8_t *)text, strlen(text)};
    return json_parse(s, "config.json", why);
}

static void test_json__refuses(void **state)
{
    (void)state;
    static const struct {
        const char *text, *place;
    } rows[] = {
        {"", "config.json: empty"},
        {"\xef\xbb\xbf{}", "config.json:1:1: "},
        {"{\"a\": 1, \"a\": 2}", "config.json:1:12: "},
        {"{\n  \"a\": 1,\n}", "config.json:3:1: "},
        {"{} {}", "config.json:1:4: "},
        {"{} x", "config.json:1:4: "},
        {"[1e999]", "config.json:1:6: "},
        {"[99999999999999999999]", "config.json:1:21: "},
        {"[\"\xff\"]", "config.json:1:"},
        {"[\"\xc0\x80\"]", "config.json:1:"},
        {"[\"\\u0000\"]", "config.json:1:"},
        {"[\"\\ud800\"]", "config.json:1:"},
        {"[01]", "config.json:1:"},
        {"[NaN]", "config.json:1:"},
        {"['a']", "config.json:1:"},
        {"[1] // no", "config.json:1:"},
        {"7", "config.json:1:1: "},
        {"[", "config.json:1:1: "},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct cairn_problem why = {0};
        json_t *document = parse(rows[i].text, &why);
        if (document) {
            fail_msg("accepted: %s", rows[i].text);
        }
        assert_int_equal(why.code, CAIRN_ERR_MALFORMED);
        if (strncmp(why.what, rows[i].place, strlen(rows[i].place)) != 0) {
            fail_msg("'%s' gave '%s'", rows[i].text, why.what);
        }
        assert_null(parse(rows[i].text, NULL));
    }
}

static void test_json__refuses_zero_bytes(void **state)
{
    (void)state;
    static const char *const texts[] = {"{}\0", "{\0}", "[\"a\0b\"]"};
    static const size_t sizes[] = {3, 3, 7};
    for (size_t i = 0; i < 3; i++) {
        struct span s = {(const uint8_t *)texts[i], sizes[i]};
        assert_null(json_parse(s, "x", NULL));
    }
}

/* Brackets without end: refused before the stack ends (jansson stops at 2048). */
static void test_json__nesting_is_bounded(void **state)
{
    (void)state;
    enum { DEPTH = 1000000 };
    char *text = malloc(DEPTH);
    assert_non_null(text);
    memset(text, '[', DEPTH);
    struct cairn_problem why;
    assert_null(json_parse((struct span){(uint8_t *)text, DEPTH}, "x", &why));
    assert_non_null(strstr(why.what, "maximum parsing depth"));
    free(text);
}

/* Reading ends where the span ends, not at a zero byte behind it. */
static void test_json__does_not_read_on(void **state)
{
    (void)state;
    char *text = malloc(7);
    assert_non_null(text);
    memcpy(text, "{\"a\":1}", 7);
    json_t *j = json_parse((struct span){(uint8_t *)text, 7}, "x", NULL);
    assert_non_null(j);
    json_decref(j);
    assert_null(json_parse((struct span){(uint8_t *)text, 6}, "x", NULL));
    free(text);
}

static void test_json__append(void **state)
{
    (void)state;
    json_t *j = parse("{\"z\":1,\"a\":[true,\"\xc3\xa9\\n\"]}", NULL);
    assert_non_null(j);
    struct buf b = {0};
    assert_int_equal(buf_append(&b, "x", 1), CAIRN_OK);
    assert_int_equal(json_append(&b, j, 0), CAIRN_OK);
    assert_string_equal(buf_text(&b), "x{\"z\": 1, \"a\": [true, \"\xc3\xa9\\n\"]}");
    buf_clear(&b);
    assert_int_equal(json_append(&b, j, 2), CAIRN_OK);
    assert_non_null(strstr(buf_text(&b), "{\n  \"z\": 1,\n"));
    json_decref(j);
    buf_release(&b);
}

static void test_json__numbers_read_back_the_same(void **state)
{
    (void)state;
    static const double values[] = {0.1, 1.0 / 3, 5e-324, 1.7976931348623157e308};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        json_t *j = json_pack("{s:f}", "v", values[i]);
        struct buf b = {0};
        assert_int_equal(json_append(&b, j, 0), CAIRN_OK);
        json_t *back = json_parse(buf_span(&b), "x", NULL);
        assert_true(json_get_number(back, "v", -1) == values[i]);
        json_decref(j);
        json_decref(back);
        buf_release(&b);
    }
}

static void test_json__digest_sees_content_only(void **state)
{
    (void)state;
    static const char *const same[] = {"{\"a\":1,\"b\":{\"x\":[1,2],\"y\":\"\xc3\xa9\"}}",
                                       " { \"b\" : {\"y\":\"\\u00e9\",\n"
                                       "\"x\":[1,\t2]}, \"a\" : 1 } "};
    static const char *const other[] = {"{\"a\":1,\"b\":{\"x\":[2,1],\"y\":\"\xc3\xa9\"}}",
                                        "{\"a\":1}"};
    char hex[2][DIGEST_HEX_SIZE];
    for (size_t i = 0; i < 2; i++) {
        json_t *j = parse(same[i], NULL);
        assert_int_equal(json_digest(j, hex[i]), CAIRN_OK);
        json_decref(j);
    }
    assert_string_equal(hex[0], hex[1]);
    for (size_t i = 0; i < 2; i++) {
        json_t *j = parse(other[i], NULL);
        assert_int_equal(json_digest(j, hex[1]), CAIRN_OK);
        assert_string_not_equal(hex[0], hex[1]);
        json_decref(j);
    }
}

/* The canonical form of {"b": 1, "a": []} is {"a":[],"b":1}; the digest is BLAKE2b-256 of it. */
static void test_json__digest_known_answer(void **state)
{
    (void)state;
    char hex[DIGEST_HEX_SIZE], expected[DIGEST_HEX_SIZE];
    uint8_t digest[DIGEST_SIZE];
    json_t *j = parse("{\"b\": 1, \"a\": []}", NULL);
    assert_int_equal(json_digest(j, hex), CAIRN_OK);
    digest_of("{\"a\":[],\"b\":1}", 14, digest);
    digest_hex(digest, sizeof digest, expected);
    assert_string_equal(hex, expected);
    json_decref(j);
}

static void test_json__members(void **state)
{
    (void)state;
    json_t *j = parse("{\"t\":\"x\",\"i\":7,\"r\":1.5,\"b\":true,\"f\":false,\"n\":null}", NULL);
    assert_string_equal(json_get_text(j, "t", "d"), "x");
    assert_string_equal(json_get_text(j, "i", "d"), "d");
    assert_null(json_get_text(j, "none", NULL));
    assert_int_equal(json_get_int(j, "i", -1), 7);
    assert_int_equal(json_get_int(j, "r", -1), -1);
    assert_true(json_get_number(j, "r", -1) == 1.5);
    assert_true(json_get_number(j, "i", -1) == 7);
    assert_true(json_get_number(j, "t", -1) == -1);
    assert_int_equal(json_get_bool(j, "b", 0), 1);
    assert_int_equal(json_get_bool(j, "f", 1), 0);
    assert_int_equal(json_get_bool(j, "n", 1), 1);
    assert_int_equal(json_get_int(NULL, "i", 3), 3);
    json_decref(j);
}

/* Each request for memory refused in turn: a lack of memory, or the whole document; not a fault of
 * the text, and not another number than was written (the buffer of a token grows at its 16th byte,
 * and what jansson has no room for it leaves out). */
static void test_json__parse_is_whole_or_fails(void **state)
{
    (void)state;
    static const char text[] = "{\"a name of more than sixteen letters\": 123456789012345678, "
                               "\"b\": [\"a text of more than sixteen letters\", 0.12345678901234566]}";
    const struct span span = {(const uint8_t *)text, strlen(text)};
    unsigned refused = 0;
    for (unsigned n = 1; n < 60; n++) {
        char rule[32];
        struct cairn_problem why = {0};
        snprintf(rule, sizeof rule, "malloc:%u", n);
        assert_true(fault_arm(rule));
        json_t *document = json_parse(span, "config.json", &why);
        assert_true(fault_arm(NULL));
        if (document == NULL) {
            assert_int_equal(why.code, CAIRN_ERR_NO_MEMORY);
            refused++;
        } else {
            struct buf out = {0};
            assert_int_equal(json_append(&out, document, 0), CAIRN_OK);
            assert_string_equal(buf_text(&out), text);
            buf_release(&out);
        }
        json_decref(document);
    }
    assert_in_range(refused, 10, 59);
}

/* Each request for memory refused in turn: a failure, or the whole text. */
static void test_json__append_is_whole_or_fails(void **state)
{
    (void)state;
    static const char text[] = "{\"some long name of a member\": [1, 2, {\"another one\": "
                               "\"and a text that fills the buffer and fills it again\"}], "
                               "\"the last name of them all\": true}";
    json_t *document = json_loads(text, 0, NULL);
    assert_non_null(document);
    for (int length = 0; length < 200; length++) { /* the buffer grows at another place each time */
        for (unsigned n = 1; n < 40; n++) {
            char rule[32];
            struct buf out = {0};
            for (int i = 0; i < length; i++) {
                assert_int_equal(buf_append(&out, "x", 1), CAIRN_OK);
            }
            snprintf(rule, sizeof rule, "malloc:%u+", n);
            assert_true(fault_arm(rule));
            const int error = json_append(&out, document, 0);
            assert_true(fault_arm(NULL));
            if (error) {
                assert_int_equal(out.size, length);
            } else {
                assert_string_equal(buf_text(&out) + length, text);
            }
            buf_release(&out);
        }
    }
    json_decref(document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json__refuses),
        cmocka_unit_test(test_json__refuses_zero_bytes),
        cmocka_unit_test(test_json__nesting_is_bounded),
        cmocka_unit_test(test_json__does_not_read_on),
        cmocka_unit_test(test_json__append),
        cmocka_unit_test(test_json__numbers_read_back_the_same),
        cmocka_unit_test(test_json__digest_sees_content_only),
        cmocka_unit_test(test_json__digest_known_answer),
        cmocka_unit_test(test_json__members),
        cmocka_unit_test(test_json__parse_is_whole_or_fails),
        cmocka_unit_test(test_json__append_is_whole_or_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
