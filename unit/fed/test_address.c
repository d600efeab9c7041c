/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses: one spelling for each, and what is refused (test_config.c has the sentences). */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "address.h"

static void test_address__one_spelling(void **state)
{
    (void)state;
    static const struct {
        const char *text, *address, *host;
        uint16_t port;
    } rows[] = {
        {"127.0.0.1", "127.0.0.1:5000", "127.0.0.1", 5000},
        {"127.0.0.1:1", "127.0.0.1:1", "127.0.0.1", 1},
        {"Node-1.Example", "node-1.example:5000", "node-1.example", 5000},
        {"my_node:65535", "my_node:65535", "my_node", 65535},
        {"3com", "3com:5000", "3com", 5000},
        {"[::1]", "[::1]:5000", "::1", 5000},
        {"[0:0:0:0:0:0:0:1]:80", "[::1]:80", "::1", 80},
        {"[2001:DB8::0001]:5000", "[2001:db8::1]:5000", "2001:db8::1", 5000},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fed_address a;
        const char *why;
        assert_int_equal(fed_address_parse(rows[i].text, &a, &why), 0);
        assert_string_equal(a.text, rows[i].address);
        assert_string_equal(a.host, rows[i].host);
        assert_int_equal(a.port, rows[i].port);
        /* an address in its one spelling stays as it is */
        assert_int_equal(fed_address_parse(rows[i].address, &a, &why), 0);
        assert_string_equal(a.text, rows[i].address);
    }
}

static void test_address__refused_and_untouched(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",        ":5000",   "a:",     "a:0",        "a:05",      "a:65536",   "a:999999999999",
        "a:1x",    "a b",     "a/b",    "a..b",       ".a",        "a.",        "a-",
        "-a",      "a.-b",    "10.0.0", "10.0.0.0.1", "256.1.1.1", "01.2.3.4",  "1.2.3.4.",
        "::1",     "[::1",    "[::1]x", "[]:5000",    "[::]:5000", "[1.2.3.4]", "[fe80::1%eth0]",
        "0.0.0.0", "tcp://a", "a:1:2",  "\xc3\xa4",   "user@a",    "[::1]:",    "0.0.0.0:5000",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct fed_address a;
        struct fed_address before;
        const char *why = NULL;
        memset(&a, 0x5a, sizeof a);
        memset(&before, 0x5a, sizeof before);
        assert_int_equal(fed_address_parse(bad[i], &a, &why), -1);
        assert_non_null(why);
        assert_memory_equal(&a, &before, sizeof a);
    }
}

/* The longest host, and one more; the longest text of all fits its array. */
static void test_address__lengths(void **state)
{
    (void)state;
    char text[120];
    struct fed_address a;
    const char *why;
    memset(text, 'a', sizeof text);
    text[40] = '.'; /* labels end at 63 */
    memcpy(text + 73, ":65535", 7);
    assert_int_equal(fed_address_parse(text, &a, &why), 0);
    assert_int_equal(strlen(a.text), 79);
    memset(text, 'a', sizeof text);
    text[40] = '.';
    text[74] = '\0';
    assert_int_equal(fed_address_parse(text, &a, &why), -1);
    memset(text, 'a', sizeof text);
    text[64] = '\0';
    assert_int_equal(fed_address_parse(text, &a, &why), -1);
    text[63] = '\0';
    assert_int_equal(fed_address_parse(text, &a, &why), 0);
    static const char longest[] = "[2001:db8:1111:2222:3333:4444:5555:6666]:65535";
    assert_int_equal(fed_address_parse(longest, &a, &why), 0);
    assert_string_equal(a.text, longest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_address__one_spelling),
        cmocka_unit_test(test_address__refused_and_untouched),
        cmocka_unit_test(test_address__lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
