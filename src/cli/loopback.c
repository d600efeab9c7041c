/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of a config, moved to the loopback network: 127.0.0.0/8 is one machine with 2^24
 * addresses. */
#include "loopback.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "cli.h"

/* Where each node goes: "host:port" by node number. */
struct move {
    const struct fed_tree *tree;
    char (*to)[FED_ADDRESS_SIZE];
};

static bool is_taken(const struct move *move, uint32_t before, const char *address)
{
    for (uint32_t i = 0; i < before; i++) {
        if (strcmp(move->to[i], address) == 0) {
            return true;
        }
    }
    /* an address that stays where it is must not be taken by an earlier node that moves */
    for (uint32_t i = before; i < move->tree->n_nodes; i++) {
        if (strcmp(move->tree->nodes[i].address, address) == 0) {
            return true;
        }
    }
    return false;
}

bool loopback_has(const struct fed_node *node)
{
    struct in_addr parsed;
    return inet_pton(AF_INET, node->host, &parsed) == 1 && ntohl(parsed.s_addr) >> 24 == 127;
}

/* a.b.c.d -> 127.b.c.d, except the network's own and its broadcast address */
static bool same_tail(const struct fed_node *node, char to[FED_ADDRESS_SIZE])
{
    struct in_addr parsed;
    if (inet_pton(AF_INET, node->host, &parsed) != 1) {
        return false;
    }
    uint32_t tail = ntohl(parsed.s_addr) & 0xffffff;
    (void)snprintf(to, FED_ADDRESS_SIZE, "127.%u.%u.%u:%u", (unsigned)(tail >> 16),
                   (unsigned)(tail >> 8 & 0xff), (unsigned)(tail & 0xff), (unsigned)node->port);
    return tail != 0 && tail != 0xffffff;
}

static int choose(const struct move *move, uint32_t i, struct cairn_problem *why)
{
    const struct fed_node *node = &move->tree->nodes[i];
    if (loopback_has(node)) {
        memcpy(move->to[i], node->address, FED_ADDRESS_SIZE);
        return 0;
    }
    char to[FED_ADDRESS_SIZE];
    if (same_tail(node, to) && !is_taken(move, i, to)) {
        memcpy(move->to[i], to, FED_ADDRESS_SIZE);
        return 0;
    }
    for (unsigned k = i + 1; k < 65536 + i; k++) {
        (void)snprintf(to, FED_ADDRESS_SIZE, "127.77.%u.%u:%u", k >> 8 & 0xff, k & 0xff,
                       (unsigned)node->port);
        if (!is_taken(move, i, to)) {
            memcpy(move->to[i], to, FED_ADDRESS_SIZE);
            return 0;
        }
    }
    return problem_set(why, CAIRN_ERR_CONFIG, NULL, "no loopback address is left for %s",
                       node->address);
}

/* The new address for a spelling of an old one. NULL: it is no node's. */
static const char *moved(const struct move *move, const char *text)
{
    struct fed_address address;
    const char *fault = NULL;
    if (!text || fed_address_parse(text, &address, &fault) != 0) {
        return NULL;
    }
    for (uint32_t i = 0; i < move->tree->n_nodes; i++) {
        if (strcmp(move->tree->nodes[i].address, address.text) == 0) {
            return move->to[i];
        }
    }
    return NULL;
}

static int rewrite_member(const struct move *move, json_t *node, const char *key)
{
    const char *to = moved(move, json_string_value(json_object_get(node, key)));
    return to ? json_object_set_new(node, key, json_string(to)) : 0;
}

static int rewrite_node(const struct move *move, json_t *node)
{
    json_t *list = json_object_get(node, "receive");
    int failed = rewrite_member(move, node, "ip") | rewrite_member(move, node, "send");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *to = moved(move, json_string_value(json_array_get(list, i)));
        failed |= to ? json_array_set_new(list, i, json_string(to)) : 0;
    }
    return failed;
}

/* The keys of `others` are addresses, so the object is built anew, in its order. */
static int rewrite_config(const struct move *move, json_t *config)
{
    json_t *others = json_object();
    const char *key = NULL;
    json_t *node = NULL;
    int failed = rewrite_node(move, json_object_get(config, "aggregator"));
    json_object_foreach(json_object_get(config, "others"), key, node)
    {
        const char *to = moved(move, key);
        failed |= rewrite_node(move, node);
        failed |= json_object_set(others, to ? to : key, node);
    }
    return failed | json_object_set_new(config, "others", others);
}

int loopback_rewrite(json_t *config, const struct fed_tree *tree, struct cairn_problem *why)
{
    struct move move = {tree, calloc(tree->n_nodes, FED_ADDRESS_SIZE)};
    int error = 0;
    if (!move.to) {
        return cli_no_memory(why);
    }
    for (uint32_t i = 0; !error && i < tree->n_nodes; i++) {
        error = choose(&move, i, why);
    }
    if (!error && rewrite_config(&move, config) != 0) {
        error = cli_no_memory(why);
    }
    free(move.to);
    return error;
}
