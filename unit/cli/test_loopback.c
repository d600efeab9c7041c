/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of a config on the loopback network: what moves, what stays, what clashes. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "cli.h"
#include "loopback.h"

/* loopback.c needs these two of cli.h; their files need all the rest of the program */
int cli_no_memory(struct cairn_problem *why)
{
    return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "out of memory");
}

/* A config of one client for each address, all below the aggregator at `root`; rewritten. */
static json_t *rewritten(const char *root, const char *const *addresses, size_t n)
{
    json_t *others = json_object();
    for (size_t i = 0; i < n; i++) {
        json_object_set_new(others, addresses[i],
                            json_pack("{s:s, s:i, s:i, s:s, s:s}", "type", "client",
                                      "client_number", (int)n, "index", (int)i, "send", root, "ip",
                                      addresses[i]));
    }
    json_t *config = json_pack("{s:{s:i, s:s}, s:o}", "aggregator", "iteration", 1, "ip", root,
                               "others", others);
    char *text = json_dumps(config, 0);
    struct fed_config read = {0};
    struct fed_faults faults = {0};
    struct cairn_problem why = {0};
    assert_int_equal(
        fed_config_read("t.json", (struct span){(uint8_t *)text, strlen(text)}, &read, &faults), 0);
    assert_int_equal(loopback_rewrite(config, &read.tree, &why), 0);
    fed_faults_release(&faults);
    fed_config_release(&read);
    free(text);
    return config;
}

/* The i-th key of others, which must also be that node's "ip". */
static const char *nth_address(json_t *config, size_t i)
{
    const char *key;
    json_t *node;
    json_object_foreach(json_object_get(config, "others"), key, node)
    {
        if (i-- == 0) {
            assert_string_equal(json_string_value(json_object_get(node, "ip")), key);
            return key;
        }
    }
    fail();
    return NULL;
}

static void test_loopback__loopback_stays(void **state)
{
    (void)state;
    const char *const addresses[] = {"127.0.0.2", "127.9.8.7:6000"};
    json_t *config = rewritten("127.0.0.1", addresses, 2);
    assert_string_equal(nth_address(config, 0), "127.0.0.2:5000");
    assert_string_equal(nth_address(config, 1), "127.9.8.7:6000");
    json_decref(config);
}

static void test_loopback__first_octet_is_replaced(void **state)
{
    (void)state;
    const char *const addresses[] = {"10.10.1.2", "192.168.4.5:7000"};
    json_t *config = rewritten("10.10.1.1", addresses, 2);
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(config, "aggregator"), "ip")),
        "127.10.1.1:5000");
    assert_string_equal(nth_address(config, 0), "127.10.1.2:5000");
    assert_string_equal(nth_address(config, 1), "127.168.4.5:7000");
    const json_t *first = json_object_get(json_object_get(config, "others"), "127.10.1.2:5000");
    assert_string_equal(json_string_value(json_object_get(first, "send")), "127.10.1.1:5000");
    json_decref(config);
}

static void test_loopback__clashes_and_names_get_their_own(void **state)
{
    (void)state;
    /* the first two would meet; the third would take the place of the fourth, which stays */
    const char *const addresses[] = {"10.1.1.1",      "11.1.1.1",     "12.2.2.2",
                                     "127.2.2.2",     "node.example", "[2001:db8::1]:5001",
                                     "10.255.255.255"};
    json_t *config = rewritten("10.0.0.1", addresses, 7);
    assert_string_equal(nth_address(config, 0), "127.1.1.1:5000");
    assert_string_equal(nth_address(config, 1), "127.77.0.3:5000");
    assert_string_equal(nth_address(config, 2), "127.77.0.4:5000");
    assert_string_equal(nth_address(config, 3), "127.2.2.2:5000");
    assert_string_equal(nth_address(config, 4), "127.77.0.6:5000");
    assert_string_equal(nth_address(config, 5), "127.77.0.7:5001");
    assert_string_equal(nth_address(config, 6), "127.77.0.8:5000"); /* not the broadcast address */
    json_decref(config);
}

static void test_loopback__same_host_other_ports(void **state)
{
    (void)state;
    const char *const addresses[] = {"10.1.1.1:5001", "10.1.1.1:5002"};
    json_t *config = rewritten("10.1.1.1", addresses, 2);
    assert_string_equal(nth_address(config, 0), "127.1.1.1:5001");
    assert_string_equal(nth_address(config, 1), "127.1.1.1:5002");
    json_decref(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loopback__loopback_stays),
        cmocka_unit_test(test_loopback__first_octet_is_replaced),
        cmocka_unit_test(test_loopback__clashes_and_names_get_their_own),
        cmocka_unit_test(test_loopback__same_host_other_ports),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
