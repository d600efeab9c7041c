/* SPDX-License-Identifier: Apache-2.0 */
/* Trees: the example with three levels by hand, and random ones against a recursive definition. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "file.h"
#include "random_tree.h"

static void read_tree(struct span text, struct fed_config *config)
{
    struct fed_faults faults;
    int err = fed_config_read("tree.json", text, config, &faults);
    for (size_t i = 0; err != 0 && i < faults.n; i++) {
        print_error("%u:%u: %s\n", faults.list[i].line, faults.list[i].column, faults.list[i].text);
    }
    assert_int_equal(err, 0);
    fed_faults_release(&faults);
}

static uint32_t find(const struct fed_tree *tree, const char *host)
{
    for (uint32_t i = 0; i < tree->n_nodes; i++) {
        if (strcmp(tree->nodes[i].host, host) == 0) {
            return i;
        }
    }
    fail_msg("no node %s", host);
    return 0;
}

static void assert_streams(const struct fed_tree *tree, const char *node,
                           const char *const *origins, const uint32_t *clients,
                           const uint32_t *children, size_t n)
{
    struct fed_stream *streams;
    size_t found;
    assert_int_equal(fed_tree_streams(tree, find(tree, node), &streams, &found), 0);
    assert_int_equal(found, n);
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(tree->nodes[streams[i].origin].host, origins[i]);
        assert_int_equal(streams[i].n_clients, clients[i]);
        assert_int_equal(streams[i].child, children[i]);
    }
    free(streams);
}

/* examples/three_levels.json, read off the file by eye. 127.0.0.4 is dumb, so its parent
 * receives the streams of 127.0.0.7 and .8 as such. */
static void test_tree__three_levels(void **state)
{
    (void)state;
    char path[400];
    struct buf text = {0};
    struct fed_config c;
    struct cairn_problem why;
    snprintf(path, sizeof path, "%s/examples/three_levels.json", CAIRN_SOURCE_DIR);
    assert_int_equal(file_read(path, 1 << 20, &text, &why), 0);
    read_tree(buf_span(&text), &c);
    assert_streams(&c.tree, "127.0.0.1", (const char *const[]){"127.0.0.2", "127.0.0.3"},
                   (const uint32_t[]){7, 5}, (const uint32_t[]){0, 1}, 2);
    assert_streams(&c.tree, "127.0.0.2",
                   (const char *const[]){"127.0.0.7", "127.0.0.8", "127.0.0.5"},
                   (const uint32_t[]){3, 1, 3}, (const uint32_t[]){0, 0, 1}, 3);
    assert_streams(&c.tree, "127.0.0.4", (const char *const[]){"127.0.0.7", "127.0.0.8"},
                   (const uint32_t[]){3, 1}, (const uint32_t[]){0, 1}, 2);
    assert_streams(&c.tree, "127.0.0.6", (const char *const[]){"127.0.0.10", "127.0.0.22"},
                   (const uint32_t[]){4, 1}, (const uint32_t[]){0, 1}, 2);
    assert_streams(&c.tree, "127.0.0.22", NULL, NULL, NULL, 0);
    assert_int_equal(fed_tree_clients_below(&c.tree, 0), 12);
    assert_int_equal(fed_tree_clients_below(&c.tree, find(&c.tree, "127.0.0.4")), 4);
    assert_int_equal(fed_tree_clients_below(&c.tree, find(&c.tree, "127.0.0.22")), 1);
    assert_int_equal(fed_tree_height(&c.tree, 0), 4);
    assert_int_equal(fed_tree_height(&c.tree, find(&c.tree, "127.0.0.4")), 2);
    assert_int_equal(fed_tree_height(&c.tree, find(&c.tree, "127.0.0.6")), 2); /* 1 and 2 */
    assert_int_equal(fed_tree_height(&c.tree, find(&c.tree, "127.0.0.22")), 0);
    fed_config_release(&c);
    buf_release(&text);
}

/* The definition, as tree.h puts it: a child's own stream, or through a dumb one its children's. */
static size_t expect_streams(const struct random_tree *t, uint32_t node, uint32_t *origins)
{
    size_t n = 0;
    for (uint32_t i = node + 1; i < t->n; i++) {
        if (t->parent[i] != node) {
            continue;
        }
        if (t->is_switch[i] && t->dumb[i]) {
            n += expect_streams(t, i, origins + n);
        } else {
            origins[n++] = i;
        }
    }
    return n;
}

static uint32_t expect_clients(const struct random_tree *t, uint32_t node)
{
    uint32_t n = node != 0 && !t->is_switch[node] ? 1 : 0;
    for (uint32_t i = node + 1; i < t->n; i++) {
        n += t->parent[i] == node ? expect_clients(t, i) : 0;
    }
    return n;
}

static uint32_t expect_height(const struct random_tree *t, uint32_t node)
{
    uint32_t height = 0;
    for (uint32_t i = node + 1; i < t->n; i++) {
        const uint32_t below = t->parent[i] == node ? 1 + expect_height(t, i) : 0;
        height = below > height ? below : height;
    }
    return height;
}

static bool is_below(const struct random_tree *t, uint32_t node, uint32_t top)
{
    return node == top || (node != 0 && is_below(t, t->parent[node], top));
}

static void check_tree(const struct random_tree *t, const struct fed_tree *tree)
{
    assert_int_equal(tree->n_nodes, t->n);
    for (uint32_t i = 0; i < t->n; i++) {
        const struct fed_node *node = &tree->nodes[i];
        uint32_t origins[RANDOM_TREE_MAX];
        struct fed_stream *streams;
        size_t n;
        uint64_t clients = 0;
        assert_int_equal(node->parent, i == 0 ? 0 : t->parent[i]);
        assert_int_equal(node->depth, i == 0 ? 0 : tree->nodes[node->parent].depth + 1);
        assert_int_equal(fed_tree_clients_below(tree, i), expect_clients(t, i));
        assert_int_equal(fed_tree_height(tree, i), expect_height(t, i));
        assert_int_equal(fed_tree_streams(tree, i, &streams, &n), 0);
        assert_int_equal(n, expect_streams(t, i, origins));
        for (size_t k = 0; k < n; k++) {
            assert_int_equal(streams[k].origin, origins[k]);
            assert_int_equal(streams[k].n_clients, expect_clients(t, origins[k]));
            assert_in_range(streams[k].child, 0, node->n_children - 1);
            assert_true(
                is_below(t, origins[k], tree->children[node->first_child + streams[k].child]));
            clients += streams[k].n_clients;
        }
        assert_int_equal(clients, node->type == FED_CLIENT ? 0 : expect_clients(t, i));
        free(streams);
    }
}

static void test_tree__random(void **state)
{
    (void)state;
    enum { SEED = 20260101 };
    struct replay_rng rng;
    print_message("seed %d\n", SEED);
    replay_init(&rng, "test tree", SEED, 0, 0);
    for (int round = 0; round < 300; round++) {
        struct random_tree t;
        struct fed_config c;
        struct buf text = {0};
        random_tree_make(&t, &rng);
        assert_int_equal(random_tree_print(&t, "", &text), 0);
        read_tree(buf_span(&text), &c);
        check_tree(&t, &c.tree);
        fed_config_release(&c);
        buf_release(&text);
    }
}

static void test_tree__names(void **state)
{
    (void)state;
    assert_string_equal(fed_type_name(FED_AGGREGATOR), "aggregator");
    assert_string_equal(fed_type_name(FED_SWITCH), "switch");
    assert_string_equal(fed_type_name(FED_CLIENT), "client");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree__three_levels),
        cmocka_unit_test(test_tree__random),
        cmocka_unit_test(test_tree__names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
