/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions about the tree of nodes. A tree comes from a config that was checked, so parents and
 * children agree and nothing is its own ancestor. Its depth has no bound, so nothing here recurses:
 * counts are taken by climbing from the clients, and the one walk down keeps its own stack.
 */
#include "tree.h"

#include <stdlib.h>

#include "sizes.h"

const char *fed_type_name(enum fed_type type)
{
    static const char *const names[] = {
        [FED_AGGREGATOR] = "aggregator", [FED_SWITCH] = "switch", [FED_CLIENT] = "client"};
    return names[type];
}

void fed_tree_release(struct fed_tree *tree)
{
    free(tree->nodes);
    free(tree->children);
    *tree = (struct fed_tree){0};
}

static bool folds(const struct fed_node *node)
{
    return node->type == FED_SWITCH && !node->dumb;
}

/* Whose stream brings what the node `from` sends to its ancestor `to`: the last on the way that
 * makes a stream of its own. @return false when `to` is no ancestor of `from` */
static bool stream_origin(const struct fed_tree *tree, uint32_t from, uint32_t to, uint32_t *origin)
{
    const struct fed_node *nodes = tree->nodes;
    *origin = from;
    if (nodes[from].depth <= nodes[to].depth) {
        return false;
    }
    uint32_t at = nodes[from].parent;
    while (nodes[at].depth > nodes[to].depth) {
        if (folds(&nodes[at])) {
            *origin = at;
        }
        at = nodes[at].parent;
    }
    return at == to;
}

uint32_t fed_tree_clients_below(const struct fed_tree *tree, uint32_t node)
{
    uint32_t count = 0;
    if (tree->nodes[node].type == FED_CLIENT) {
        return 1;
    }
    for (uint32_t i = 0; i < tree->n_nodes; i++) {
        uint32_t origin;
        count += tree->nodes[i].type == FED_CLIENT && stream_origin(tree, i, node, &origin);
    }
    return count;
}

uint32_t fed_tree_height(const struct fed_tree *tree, uint32_t node)
{
    const struct fed_node *nodes = tree->nodes;
    uint32_t height = 0;
    if (nodes[node].n_children == 0) {
        return 0;
    }
    for (uint32_t i = 0; i < tree->n_nodes; i++) {
        uint32_t origin;
        const bool higher =
            nodes[i].type == FED_CLIENT && nodes[i].depth > nodes[node].depth + height;
        if (higher && stream_origin(tree, i, node, &origin)) {
            height = nodes[i].depth - nodes[node].depth;
        }
    }
    return height;
}

/* The origins of the streams that arrive at `node`, in tree order. stack and out hold n_nodes each.
 */
static size_t list_origins(const struct fed_tree *tree, uint32_t node, uint32_t *stack,
                           uint32_t *out)
{
    size_t n = 0;
    size_t waiting = 0;
    stack[waiting++] = node;
    while (waiting > 0) {
        uint32_t at = stack[--waiting];
        const struct fed_node *here = &tree->nodes[at];
        if (at != node && (here->type == FED_CLIENT || folds(here))) {
            out[n++] = at;
            continue;
        }
        /* last child first onto the stack, so that the first comes off first */
        for (uint32_t i = here->n_children; i > 0; i--) {
            stack[waiting++] = tree->children[here->first_child + i - 1];
        }
    }
    return n;
}

/* The child of `node` at or above `origin`, which is below `node`. */
static uint32_t child_towards(const struct fed_tree *tree, uint32_t node, uint32_t origin)
{
    while (tree->nodes[origin].parent != node) {
        origin = tree->nodes[origin].parent;
    }
    return origin;
}

/* Which of `node`'s children each stream comes through. Streams are in tree order, and each child
 * brings one, so the next one comes through the same child or the next. */
static void name_children(const struct fed_tree *tree, uint32_t node, struct fed_stream *streams,
                          size_t n)
{
    const uint32_t *children = &tree->children[tree->nodes[node].first_child];
    uint32_t child = 0;
    for (size_t i = 0; i < n; i++) {
        const uint32_t through = child_towards(tree, node, streams[i].origin);
        child += children[child] != through;
        streams[i].child = child;
    }
}

int fed_tree_streams(const struct fed_tree *tree, uint32_t node, struct fed_stream **out, size_t *n)
{
    int err = CAIRN_ERR_NO_MEMORY;
    if (tree->nodes[node].n_children == 0) {
        *out = NULL;
        *n = 0;
        return 0;
    }
    uint32_t *stack = size_alloc_array(tree->n_nodes, sizeof *stack);
    uint32_t *origins = size_alloc_array(tree->n_nodes, sizeof *origins);
    uint32_t *clients = size_alloc_array(tree->n_nodes, sizeof *clients); /* by origin */
    struct fed_stream *streams = NULL;
    if (stack == NULL || origins == NULL || clients == NULL) {
        goto cleanup;
    }
    size_t count = list_origins(tree, node, stack, origins);
    streams = calloc(count, sizeof *streams);
    if (streams == NULL) {
        goto cleanup;
    }
    for (uint32_t i = 0; i < tree->n_nodes; i++) {
        uint32_t origin;
        if (tree->nodes[i].type == FED_CLIENT && stream_origin(tree, i, node, &origin)) {
            clients[origin]++;
        }
    }
    for (size_t i = 0; i < count; i++) {
        streams[i] = (struct fed_stream){.origin = origins[i], .n_clients = clients[origins[i]]};
    }
    name_children(tree, node, streams, count);
    *out = streams;
    *n = count;
    err = 0;
cleanup:
    free(stack);
    free(origins);
    free(clients);
    return err;
}

int fed_tree_stream_clients(const struct fed_tree *tree, uint32_t node,
                            const struct fed_stream *streams, size_t n, uint32_t **out)
{
    uint32_t *next = size_alloc_array(tree->n_nodes, sizeof *next); /* by origin: where its next client goes */
    uint32_t *clients = size_alloc_array((size_t)tree->n_clients + 1, sizeof *clients);
    uint32_t at = 0;
    if (next == NULL || clients == NULL) {
        free(next);
        free(clients);
        return CAIRN_ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < n; i++) {
        next[streams[i].origin] = at;
        at += streams[i].n_clients;
    }
    for (uint32_t i = 0; i < tree->n_nodes; i++) {
        uint32_t origin;
        if (tree->nodes[i].type == FED_CLIENT && stream_origin(tree, i, node, &origin)) {
            clients[next[origin]++] = tree->nodes[i].index;
        }
    }
    free(next);
    *out = clients;
    return 0;
}
