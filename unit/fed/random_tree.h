/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UNIT_FED_RANDOM_TREE_H
#define UNIT_FED_RANDOM_TREE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "buf.h"
#include "replay.h"

enum { RANDOM_TREE_MAX = 40 };

/* A tree of switches and clients as the tests remember it. Number 0 is the aggregator; node i > 0
 * is called "n<i>". Every switch has a client somewhere below. */
struct random_tree {
    uint32_t n;
    uint32_t parent[RANDOM_TREE_MAX];
    bool is_switch[RANDOM_TREE_MAX];
    bool dumb[RANDOM_TREE_MAX];
    uint32_t n_clients;
};

static inline void random_tree_make(struct random_tree *t, struct replay_rng *rng)
{
    bool has_child[RANDOM_TREE_MAX] = {false};
    t->n = 2 + replay_below(rng, RANDOM_TREE_MAX - 2);
    t->n_clients = 0;
    for (uint32_t i = 1; i < t->n; i++) {
        t->is_switch[i] = replay_below(rng, 2) != 0;
        t->dumb[i] = t->is_switch[i] && replay_below(rng, 3) == 0;
        t->parent[i] = replay_below(rng, i);
        if (t->parent[i] != 0 && !t->is_switch[t->parent[i]]) {
            t->parent[i] = 0;
        }
        has_child[t->parent[i]] = true;
    }
    for (uint32_t i = 1; i < t->n; i++) {
        if (!has_child[i]) {
            t->is_switch[i] = t->dumb[i] = false; /* a leaf is a client */
        }
        t->n_clients += t->is_switch[i] ? 0 : 1;
    }
}

/* @return 0, or -1 without memory */
static inline int random_tree_print(const struct random_tree *t, const char *settings,
                                    struct buf *out)
{
    uint32_t index = 0;
    int err = buf_printf(
        out, "{\"aggregator\": {\"iteration\": 3, \"ip\": \"n0\"}, %s \"others\": {", settings);
    for (uint32_t i = 1; i < t->n; i++) {
        err |=
            buf_printf(out, "%s\n\"n%u\": {\"send\": \"n%u\", ", i > 1 ? "," : "", i, t->parent[i]);
        if (!t->is_switch[i]) {
            err |= buf_printf(out, "\"type\": \"client\", \"client_number\": %u, \"index\": %u}",
                              t->n_clients, index++);
            continue;
        }
        err |= buf_printf(out, "\"type\": \"switch\", \"dumb\": %s, \"receive\": [",
                          t->dumb[i] ? "true" : "false");
        bool first = true;
        for (uint32_t c = i + 1; c < t->n; c++) {
            if (t->parent[c] == i) {
                err |= buf_printf(out, "%s\"n%u\"", first ? "" : ", ", c);
                first = false;
            }
        }
        err |= buf_printf(out, "]}");
    }
    return err | buf_printf(out, "}}") ? -1 : 0;
}

#endif
