/* SPDX-License-Identifier: Apache-2.0 */
/* Hashes against published values; hexadecimal and base64 take back exactly what they give. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "digest.h"

static void assert_hex(const uint8_t *bytes, size_t size, const char *expected)
{
    char text[129];
    assert_true(2 * size < sizeof text);
    digest_hex(bytes, size, text);
    assert_string_equal(text, expected);
}

/* Both values as `b2sum -l 256` of GNU coreutils prints them, an implementation of its own. */
static void test_digest__known_answers(void **state)
{
    (void)state;
    uint8_t out[DIGEST_SIZE];
    digest_of(NULL, 0, out);
    assert_hex(out, sizeof out, "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
    digest_of("abc", 3, out);
    assert_hex(out, sizeof out, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
}

static void test_digest__pieces_equal_the_whole(void **state)
{
    (void)state;
    uint8_t bytes[300], whole[DIGEST_SIZE], pieces[DIGEST_SIZE];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * i);
    }
    digest_of(bytes, sizeof bytes, whole);
    for (size_t cut = 0; cut <= sizeof bytes; cut++) { /* across blocks of 128 */
        struct digest_state s;
        digest_init(&s);
        digest_update(&s, bytes, cut);
        digest_update(&s, bytes + cut, sizeof bytes - cut);
        digest_final(&s, pieces);
        assert_memory_equal(whole, pieces, sizeof whole);
    }
}

static void test_digest__hex(void **state)
{
    (void)state;
    uint8_t out[3] = {9, 9, 9};
    assert_int_equal(digest_from_hex("00aBfF", out, 3), CAIRN_OK);
    assert_memory_equal(out, "\x00\xab\xff", 3);
    static const char *const bad[] = {"", "0", "00abf", "00abff0", "00abff00", "00abfg", "00 bff",
                                      "0x0abf", "00abf\xff", " 0abff"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint8_t kept[3] = {1, 2, 3};
        assert_int_equal(digest_from_hex(bad[i], kept, 3), CAIRN_ERR_MALFORMED);
        assert_memory_equal(kept, "\1\2\3", 3);
    }
    assert_int_equal(digest_from_hex("", out, 0), CAIRN_OK);
}

/* RFC 4648, section 10 */
static void test_digest__base64_known_answers(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", ""},         {"f", "Zg=="},         {"fo", "Zm8="},        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf b = {0};
        assert_int_equal(buf_append(&b, "<", 1), CAIRN_OK);
        assert_int_equal(base64_append(&b, (const uint8_t *)rows[i][0], strlen(rows[i][0])), 0);
        assert_string_equal(buf_text(&b) + 1, rows[i][1]);
        assert_int_equal(b.size, 1 + strlen(rows[i][1]));
        buf_clear(&b);
        assert_int_equal(base64_parse(rows[i][1], &b), CAIRN_OK);
        assert_string_equal(buf_text(&b), rows[i][0]);
        assert_int_equal(b.size, strlen(rows[i][0]));
        buf_release(&b);
    }
}

static void test_digest__base64_is_strict(void **state)
{
    (void)state;
    static const char *const bad[] = {"Z",      "Zg",    "Zg=",   "Zg===",   "Zm9v=",
                                      "Zm9vZ",  "Zm9v\n", " Zm9v", "Zm 9v",   "Zm9vYmE",
                                      "Zh==",   "Zm9=",  "-_-_",  "====",    "Zg==Zg=="};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct buf b = {0};
        assert_int_equal(buf_append(&b, "abc", 3), CAIRN_OK);
        if (base64_parse(bad[i], &b) != CAIRN_ERR_MALFORMED) {
            fail_msg("accepted: %s", bad[i]);
        }
        assert_string_equal(buf_text(&b), "abc");
        buf_release(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digest__known_answers),
        cmocka_unit_test(test_digest__pieces_equal_the_whole),
        cmocka_unit_test(test_digest__hex),
        cmocka_unit_test(test_digest__base64_known_answers),
        cmocka_unit_test(test_digest__base64_is_strict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
