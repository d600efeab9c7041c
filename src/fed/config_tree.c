/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nodes: each one read by the field table, then all of them against each other.
 *
 * A node's `send` is what makes the tree; `receive` says the same edges from the other end and must
 * agree. The checks go on from whatever could be read: a node whose address or type is wrong is
 * still known to the others, so that one mistake is not told once for each node that refers to it.
 * Everything is linear in the size of the config, with one hash table from addresses to nodes.
 */
#include "config_tree.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "sizes.h"

#define NOBODY UINT32_MAX

enum way { WAY_UNKNOWN, WAY_WALKING, WAY_ARRIVES, WAY_LOST };

/* A node on its way from the text into the tree; number 0 is the aggregator. */
struct draft {
    struct config_self self;
    struct fed_address address; /* text "" when it could not be read */
    enum fed_type type;
    uint32_t place;
    uint32_t at_index, at_number, at_send, at_receive; /* places of members, 0 = absent */
    bool receives;   /* has a list of children that can be compared */
    bool listed;     /* its parent's list names it */
    uint32_t parent; /* NOBODY when `send` leads nowhere */
    enum way way;
};

struct drafts {
    struct config_reader *r;
    struct draft *list;
    uint32_t n;
    uint32_t n_clients;
    json_t *by_address; /* address -> number in the list */
};

static const char *name_of(const struct draft *draft)
{
    return draft->address.text[0] != '\0' ? draft->address.text : "a node without a good address";
}

static void make_label(const char *name, char label[CONFIG_LABEL_SIZE])
{
    snprintf(label, CONFIG_LABEL_SIZE, "%.*s: ", CONFIG_LABEL_SIZE - 3, name);
}

static uint32_t number_of(const struct drafts *d, const char *address)
{
    const json_t *number = json_object_get(d->by_address, address);
    return number != NULL ? (uint32_t)json_integer_value(number) : NOBODY;
}

/* Make a node known by its address, unless another has it. One that stays unknown can be in
 * nobody's list: that is not told on top. */
static int register_address(struct drafts *d, uint32_t number, uint32_t at)
{
    struct draft *draft = &d->list[number];
    if (draft->address.text[0] == '\0') {
        draft->listed = true;
        return 0;
    }
    uint32_t earlier = number_of(d, draft->address.text);
    if (earlier != NOBODY) {
        const struct config_place *place = &d->r->doc.places[d->list[earlier].place];
        config_fault_at_key(d->r, at, "%s is already the address of the %s at line %u, column %u",
                            draft->address.text, earlier == 0 ? "aggregator" : "node",
                            place->key_line, place->key_column);
        draft->listed = true;
        return 0;
    }
    return json_object_set_new_nocheck(d->by_address, draft->address.text,
                                       json_integer((json_int_t)number)) == 0
               ? 0
               : CAIRN_ERR_NO_MEMORY;
}

static int read_aggregator(struct drafts *d, uint32_t place)
{
    struct draft *draft = &d->list[0];
    const char *ignored;
    *draft = (struct draft){.type = FED_AGGREGATOR, .place = place, .way = WAY_ARRIVES};
    if (!json_is_object(d->r->doc.places[place].json) || place == 0) {
        return 0;
    }
    struct config_object object = {.groups = {{.fields = config_aggregator, .base = &draft->self}},
                                   .n_groups = 1};
    config_read_object(d->r, place, "aggregator: ", &object);
    draft->at_receive = config_found(&object, "receive");
    uint32_t at_ip = config_found(&object, "ip");
    if (draft->self.ip[0] != '\0') {
        (void)fed_address_parse(draft->self.ip, &draft->address, &ignored);
    }
    return at_ip != 0 ? register_address(d, 0, at_ip) : 0;
}

/* What the node is, before its other members can be read. Without a good "type", what it has tells.
 */
static bool is_switch(const struct config_doc *doc, uint32_t place)
{
    const char *word = json_string_value(doc->places[config_doc_member(doc, place, "type")].json);
    if (word != NULL && (strcmp(word, "client") == 0 || strcmp(word, "switch") == 0)) {
        return word[0] == 's';
    }
    bool counts = config_doc_member(doc, place, "index") != 0;
    return config_doc_member(doc, place, "receive") != 0 ||
           (word != NULL && word[0] == 's' && !counts);
}

/* The key of `others` is the node's address, and "ip" must not say another. */
static void read_key(struct drafts *d, struct draft *draft, uint32_t at_ip)
{
    const struct config_place *place = &d->r->doc.places[draft->place];
    const char *wrong;
    const char *ignored;
    bool has_ip = draft->self.ip[0] != '\0';
    if (fed_address_parse(place->name, &draft->address, &wrong) != 0) {
        config_fault_at_key(d->r, draft->place, "others: \"%.60s\" %s", place->name, wrong);
        if (has_ip) {
            (void)fed_address_parse(draft->self.ip, &draft->address, &ignored);
        }
    } else if (has_ip && strcmp(draft->self.ip, draft->address.text) != 0) {
        config_fault(d->r, at_ip, "%s: ip: %s is not the address that this node stands under",
                     draft->address.text, draft->self.ip);
    }
}

static int read_node(struct drafts *d, uint32_t place)
{
    struct config_reader *r = d->r;
    struct draft *draft = &d->list[d->n++];
    char label[CONFIG_LABEL_SIZE];
    *draft = (struct draft){.place = place, .parent = NOBODY, .self.index = UINT32_MAX};
    make_label(r->doc.places[place].name, label);
    bool a_switch = is_switch(&r->doc, place);
    draft->type = a_switch ? FED_SWITCH : FED_CLIENT;
    d->n_clients += a_switch ? 0 : 1;
    if (!json_is_object(r->doc.places[place].json)) {
        config_fault(r, place, "%sa node is an object, { \"type\": \"client\" or \"switch\", ... }",
                     label);
        read_key(d, draft, 0);
        return register_address(d, d->n - 1, place);
    }
    struct config_object object = {
        .groups = {{.fields = a_switch ? config_switch : config_client, .base = &draft->self}},
        .n_groups = 1};
    config_read_object(r, place, label, &object);
    draft->at_number = config_found(&object, "client_number");
    draft->at_index = config_found(&object, "index");
    draft->at_send = config_found(&object, "send");
    draft->at_receive = config_found(&object, "receive");
    read_key(d, draft, config_found(&object, "ip"));
    return register_address(d, d->n - 1, place);
}

static int read_nodes(struct drafts *d, uint32_t aggregator, uint32_t others)
{
    int err = read_aggregator(d, aggregator);
    d->n = 1;
    if (others == 0 || !json_is_object(d->r->doc.places[others].json)) {
        return err;
    }
    for (uint32_t i = d->r->doc.places[others].first_child; i != 0 && err == 0;
         i = d->r->doc.places[i].next) {
        if (!d->r->doc.places[i].shadowed) {
            err = read_node(d, i);
        }
    }
    return err;
}

/* client_number, index: each slice of the data exactly once. owner holds a client per index. */
static void check_slices(struct drafts *d, uint32_t owner[FED_MAX_CLIENTS])
{
    memset(owner, 0, FED_MAX_CLIENTS * sizeof owner[0]);
    for (uint32_t i = 1; i < d->n; i++) {
        const struct draft *client = &d->list[i];
        uint32_t number = client->self.client_number;
        uint32_t index = client->self.index;
        if (client->type != FED_CLIENT) {
            continue;
        }
        if (number != 0 && number != d->n_clients) {
            config_fault(d->r, client->at_number,
                         "%s: client_number: %" PRIu32 ", but %" PRIu32 " client%s listed",
                         name_of(client), number, d->n_clients,
                         d->n_clients == 1 ? " is" : "s are");
        }
        if (index == UINT32_MAX) {
            continue;
        }
        if (number != 0 && index >= number) {
            config_fault(d->r, client->at_index,
                         "%s: index: %" PRIu32 " is outside 0 .. %" PRIu32 " (client_number - 1)",
                         name_of(client), index, number - 1);
        } else if (owner[index] != 0) {
            config_fault(d->r, client->at_index, "%s: index: %" PRIu32 " is also the index of %s",
                         name_of(client), index, name_of(&d->list[owner[index]]));
        } else {
            owner[index] = i;
        }
    }
}

static const char *address_at(const void *ctx, size_t i)
{
    const struct drafts *d = ctx;
    return i < d->n ? d->list[i].address.text : NULL;
}

static void unknown_address(struct drafts *d, uint32_t place, const struct draft *draft,
                            const char *member, const char *address)
{
    const char *nearest = config_nearest(d->r, address, address_at, d);
    config_fault(d->r, place, "%s: %s: there is no node %s%s%s%s", name_of(draft), member, address,
                 nearest != NULL ? "; did you mean " : "", nearest != NULL ? nearest : "",
                 nearest != NULL ? "?" : "");
}

/* `send`: every node's parent. */
static void check_send(struct drafts *d)
{
    for (uint32_t i = 1; i < d->n; i++) {
        struct draft *draft = &d->list[i];
        if (draft->self.send[0] == '\0') {
            continue;
        }
        uint32_t parent = number_of(d, draft->self.send);
        if (parent == NOBODY && d->list[0].address.text[0] == '\0') {
            draft->parent = 0; /* the aggregator's address could not be read: this may be it */
        } else if (parent == NOBODY) {
            unknown_address(d, draft->at_send, draft, "send", draft->self.send);
        } else if (d->list[parent].type == FED_CLIENT) {
            config_fault(d->r, draft->at_send,
                         "%s: send: %s is a client; only switches and the "
                         "aggregator receive",
                         name_of(draft), draft->self.send);
        } else {
            draft->parent = parent;
        }
    }
}

/* One entry of a `receive` list. */
static void check_entry(struct drafts *d, uint32_t owner, uint32_t place)
{
    const struct draft *parent = &d->list[owner];
    const char *text = json_string_value(d->r->doc.places[place].json);
    struct fed_address address;
    const char *wrong = "is no address in quotes";
    if (text == NULL || fed_address_parse(text, &address, &wrong) != 0) {
        config_fault(d->r, place, "%s: receive: \"%.60s\" %s", name_of(parent),
                     text != NULL ? text : "", wrong);
        return;
    }
    uint32_t number = number_of(d, address.text);
    if (number == NOBODY) {
        unknown_address(d, place, parent, "receive", address.text);
        return;
    }
    struct draft *child = &d->list[number];
    if (number == 0) {
        config_fault(d->r, place, "%s: receive: %s is the aggregator, which sends to nobody",
                     name_of(parent), address.text);
    } else if (child->parent != owner && child->parent != NOBODY) {
        config_fault(d->r, place, "%s: receive: %s sends to %s, not here", name_of(parent),
                     address.text, child->self.send);
    } else if (child->parent == owner && child->listed) {
        config_fault(d->r, place, "%s: receive: %s is listed twice", name_of(parent), address.text);
    } else {
        child->listed = true;
    }
}

/* `receive`: the same edges as `send`, from the other end. */
static void check_receive(struct drafts *d)
{
    struct config_place *places = d->r->doc.places;
    for (uint32_t i = 0; i < d->n; i++) {
        struct draft *parent = &d->list[i];
        uint32_t list = parent->at_receive;
        if (list == 0 || !json_is_array(places[list].json)) {
            continue;
        }
        parent->receives = true;
        if (json_array_size(places[list].json) == 0 && parent->type == FED_SWITCH) {
            config_fault(d->r, list, "%s: receive: is empty; a switch needs at least one child",
                         name_of(parent));
        }
        for (uint32_t k = places[list].first_child; k != 0; k = places[k].next) {
            check_entry(d, i, k);
        }
    }
    for (uint32_t i = 1; i < d->n; i++) {
        const struct draft *child = &d->list[i];
        if (child->parent != NOBODY && !child->listed && d->list[child->parent].receives) {
            config_fault(d->r, child->at_send,
                         "%s: send: the receive list of %s does not name this node", name_of(child),
                         child->self.send);
        }
    }
}

/* "a -> b -> a". A long one is cut in the middle. */
static void tell_cycle(struct drafts *d, uint32_t first)
{
    enum { SHOWN = 6, TEXT = 300 };
    char text[TEXT];
    size_t at = 0;
    uint32_t node = first;
    size_t shown = 0;
    text[0] = '\0';
    do {
        if (shown < SHOWN && at < TEXT) {
            int n = snprintf(text + at, TEXT - at, "%s -> ", name_of(&d->list[node]));
            at += n > 0 ? (size_t)n : 0;
        }
        shown++;
        node = d->list[node].parent;
    } while (node != first);
    config_fault(d->r, d->list[first].at_send, "these nodes send in a circle: %s%s%s", text,
                 shown > SHOWN ? "... -> " : "", name_of(&d->list[first]));
}

/* Follow `send` from a node until its fate is known, and give all on the way the same. */
static void follow(struct drafts *d, uint32_t start)
{
    uint32_t node = start;
    while (node != NOBODY && d->list[node].way == WAY_UNKNOWN) {
        d->list[node].way = WAY_WALKING;
        node = d->list[node].parent;
    }
    enum way way = WAY_LOST;
    if (node != NOBODY && d->list[node].way == WAY_WALKING) {
        tell_cycle(d, node);
        /* a node of the circle has been told of: it is lost, but no orphan */
        uint32_t around = node;
        do {
            d->list[around].way = WAY_LOST;
            around = d->list[around].parent;
        } while (around != node);
    } else if (node != NOBODY) {
        way = d->list[node].way;
    }
    for (node = start; node != NOBODY && d->list[node].way == WAY_WALKING;
         node = d->list[node].parent) {
        d->list[node].way = way;
        if (way == WAY_LOST && d->list[node].parent != NOBODY) {
            config_fault_at_key(
                d->r, d->list[node].place,
                "%s: does not reach the aggregator, for %s, where it sends, does not",
                name_of(&d->list[node]), d->list[node].self.send);
        }
    }
}

static int build(const struct drafts *d, struct fed_tree *out)
{
    struct fed_tree tree = {.n_nodes = d->n};
    tree.nodes = size_alloc_array(d->n, sizeof *tree.nodes);
    tree.children = size_alloc_array(d->n, sizeof *tree.children);
    if (tree.nodes == NULL || tree.children == NULL) {
        fed_tree_release(&tree);
        return CAIRN_ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < d->n; i++) {
        const struct draft *draft = &d->list[i];
        struct fed_node *node = &tree.nodes[i];
        node->type = draft->type;
        memcpy(node->address, draft->address.text, sizeof node->address);
        memcpy(node->host, draft->address.host, sizeof node->host);
        node->port = draft->address.port;
        node->parent = i == 0 ? 0 : draft->parent;
        node->client_number = draft->self.client_number;
        node->index = draft->type == FED_CLIENT ? draft->self.index : 0;
        node->dumb = draft->self.dumb;
        tree.n_clients += node->type == FED_CLIENT ? 1 : 0;
        tree.n_switches += node->type == FED_SWITCH ? 1 : 0;
        if (i > 0) {
            tree.nodes[node->parent].n_children++;
        }
    }
    *out = tree;
    return 0;
}

/* Children grouped by parent, in the config's order. */
static void group_children(struct fed_tree *tree)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < tree->n_nodes; i++) {
        tree->nodes[i].first_child = at;
        at += tree->nodes[i].n_children;
        tree->nodes[i].n_children = 0;
    }
    for (uint32_t i = 1; i < tree->n_nodes; i++) {
        struct fed_node *parent = &tree->nodes[tree->nodes[i].parent];
        tree->children[parent->first_child + parent->n_children++] = i;
    }
}

/* Depths from the root down: a parent's is known before its children's. */
static int set_depths(struct fed_tree *tree)
{
    uint32_t *queue = size_alloc_array(tree->n_nodes, sizeof *queue);
    if (queue == NULL) {
        return CAIRN_ERR_NO_MEMORY;
    }
    size_t end = 1; /* the aggregator, number 0, is in it */
    for (size_t at = 0; at < end; at++) {
        const struct fed_node *node = &tree->nodes[queue[at]];
        for (uint32_t k = 0; k < node->n_children; k++) {
            uint32_t child = tree->children[node->first_child + k];
            tree->nodes[child].depth = node->depth + 1;
            queue[end++] = child;
        }
    }
    free(queue);
    return 0;
}

static int build_tree(const struct drafts *d, struct fed_tree *out)
{
    struct fed_tree tree;
    int err = build(d, &tree);
    if (err != 0) {
        return err;
    }
    group_children(&tree);
    err = set_depths(&tree);
    if (err != 0) {
        fed_tree_release(&tree);
        return err;
    }
    *out = tree;
    return 0;
}

static void check_count(struct drafts *d, uint32_t others)
{
    if (others == 0 || !json_is_object(d->r->doc.places[others].json)) {
        return;
    }
    if (d->n_clients == 0) {
        config_fault(d->r, others, "others: there is no client; a federation needs at least one");
    } else if (d->n_clients > FED_MAX_CLIENTS) {
        config_fault(d->r, others, "others: %" PRIu32 " clients are more than cairn allows, %d",
                     d->n_clients, FED_MAX_CLIENTS);
    }
}

int config_tree_read(struct config_reader *r, uint32_t aggregator, uint32_t others,
                     uint32_t *iterations, uint32_t *n_clients, struct fed_tree *tree)
{
    int err = CAIRN_ERR_NO_MEMORY;
    size_t before = r->faults.n_errors;
    size_t most = 2; /* the aggregator, and never an empty array */
    for (uint32_t i = others == 0 ? 0 : r->doc.places[others].first_child; i != 0;
         i = r->doc.places[i].next) {
        most++;
    }
    struct drafts d = {.r = r, .list = calloc(most, sizeof *d.list), .by_address = json_object()};
    uint32_t *owner = calloc(FED_MAX_CLIENTS, sizeof *owner);
    if (d.list == NULL || d.by_address == NULL || owner == NULL) {
        goto cleanup;
    }
    err = read_nodes(&d, aggregator, others);
    if (err != 0) {
        goto cleanup;
    }
    check_count(&d, others);
    check_slices(&d, owner);
    check_send(&d);
    check_receive(&d);
    for (uint32_t i = 1; i < d.n; i++) {
        follow(&d, i);
    }
    *iterations = d.list[0].self.iteration;
    *n_clients = d.n_clients;
    bool whole = aggregator != 0 && others != 0 && d.n > 1;
    if (whole && r->faults.n_errors == before && !r->no_memory) {
        err = build_tree(&d, tree);
    }
cleanup:
    free(d.list);
    free(owner);
    json_decref(d.by_address);
    return err;
}
