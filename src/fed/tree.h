/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FED_TREE_H
#define FED_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cairn/err.h>

/**
 * The nodes of one config and how they hang together. Node 0 is the
 * aggregator, the others follow in the config's order; a node's number is what a batch's `origin`
 * says. Immutable once read from a valid config.
 */
enum fed_type { FED_AGGREGATOR, FED_SWITCH, FED_CLIENT };

enum { FED_ADDRESS_SIZE = 80, FED_DEFAULT_PORT = 5000 };

struct fed_node {
    enum fed_type type;
    char address[FED_ADDRESS_SIZE]; /* "host:port", always with the port */
    char host[FED_ADDRESS_SIZE];
    uint16_t port;
    uint32_t parent;      /* node number; the aggregator's is 0, itself */
    uint32_t first_child; /* in fed_tree.children */
    uint32_t n_children;
    uint32_t client_number; /* clients only: how many share the data */
    uint32_t index;         /* clients only: which slice, 0 .. client_number-1 */
    bool dumb;              /* switches only: passes its children's frames on untouched */
    unsigned depth;         /* 0 for the aggregator */
};

struct fed_tree {
    struct fed_node *nodes;
    uint32_t n_nodes;
    uint32_t *children; /* node numbers, grouped by parent */
    uint32_t n_clients;
    uint32_t n_switches;
};

/**
 * A stream is a row of frames with one origin that a parent receives: from each child that is
 * a client or a folding switch its own, and through a dumb switch those of the switch's children.
 */
struct fed_stream {
    uint32_t origin;    /* node number */
    uint32_t n_clients; /* clients below it that can contribute */
    uint32_t child;     /* which of the parent's children it comes through, from 0 */
};

/** Streams that arrive at `node`, in tree order. *out is the caller's to free.
 * @retval CAIRN_ERR_NO_MEMORY */
CAIRN_MUST_CHECK int fed_tree_streams(const struct fed_tree *tree, uint32_t node,
                                      struct fed_stream **out, size_t *n);
/**
 * Indices of the clients behind each of `node`'s streams, one stream after the other: streams[i].n_clients of each. *out is
 * the caller's to free.
 * @param streams  as fed_tree_streams has them
 * @retval CAIRN_ERR_NO_MEMORY
 */
CAIRN_MUST_CHECK int fed_tree_stream_clients(const struct fed_tree *tree, uint32_t node,
                                             const struct fed_stream *streams, size_t n,
                                             uint32_t **out);
/** Links from a node down to the client farthest below it: 0 for a client. */
uint32_t fed_tree_height(const struct fed_tree *tree, uint32_t node);
/** Clients at or below a node. */
uint32_t fed_tree_clients_below(const struct fed_tree *tree, uint32_t node);
const char *fed_type_name(enum fed_type type); /* "aggregator", "switch", "client" */
void fed_tree_release(struct fed_tree *tree);

#endif
