/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the aggregator tells a node: the node's own entry of the config, all settings, and the
 * session. Writing and reading go by the same field table as config.json, so what one side writes
 * the other side checks.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "config_check.h"
#include "config_read.h"
#include "digest.h"
#include "json.h"
#include "safetensors.h"
#include "sizes.h"

static const char *const node_words[] = {
    [0] = "client", [1] = "switch"}; /* as in the field table */

void fed_assignment_release(struct fed_assignment *assignment)
{
    free(assignment->children);
    free(assignment->child_types);
    free(assignment->streams);
    free(assignment->stream_clients);
    buf_release(&assignment->public_key);
    model_shape_release(&assignment->shape);
    json_decref(assignment->metadata);
    *assignment = (struct fed_assignment){0};
}

/* Writing. A NULL anywhere makes the setters fail, so memory is checked in one place. */

static bool put(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value) == 0;
}

static json_t *child_addresses(const struct fed_tree *tree, const struct fed_node *node)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < node->n_children; i++) {
        const struct fed_node *child = &tree->nodes[tree->children[node->first_child + i]];
        if (json_array_append_new(list, json_string(child->address)) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *child_objects(const struct fed_tree *tree, const struct fed_node *node)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < node->n_children; i++) {
        const struct fed_node *child = &tree->nodes[tree->children[node->first_child + i]];
        json_t *object = json_pack("{s:s,s:s}", "address", child->address, "type",
                                   node_words[child->type == FED_SWITCH]);
        if (json_array_append_new(list, object) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *stream_objects(const struct fed_tree *tree, uint32_t node)
{
    struct fed_stream *streams = NULL;
    size_t n = 0;
    json_t *list = json_array();
    bool good = fed_tree_streams(tree, node, &streams, &n) == 0;
    for (size_t i = 0; i < n && good; i++) {
        good = json_array_append_new(list, json_pack("{s:I,s:I,s:I}", "origin",
                                                     (json_int_t)streams[i].origin, "clients",
                                                     (json_int_t)streams[i].n_clients, "child",
                                                     (json_int_t)streams[i].child)) == 0;
    }
    free(streams);
    if (!good) {
        json_decref(list);
        return NULL;
    }
    return list;
}

static json_t *stream_client_indices(const struct fed_tree *tree, uint32_t node)
{
    struct fed_stream *streams = NULL;
    uint32_t *clients = NULL;
    size_t n = 0, k = 0;
    json_t *list = json_array();
    bool good = fed_tree_streams(tree, node, &streams, &n) == 0 &&
                fed_tree_stream_clients(tree, node, streams, n, &clients) == 0;
    for (size_t i = 0; i < n && good; i++) {
        for (uint32_t c = 0; c < streams[i].n_clients && good; c++) {
            good = json_array_append_new(list, json_integer((json_int_t)clients[k++])) == 0;
        }
    }
    free(clients);
    free(streams);
    if (!good) {
        json_decref(list);
        return NULL;
    }
    return list;
}

static json_t *sizes_json(const struct model_tensor *tensor)
{
    json_t *sizes = json_array();
    for (unsigned d = 0; d < tensor->n_dims; d++) {
        if (json_array_append_new(sizes, json_integer((json_int_t)tensor->dims[d])) != 0) {
            json_decref(sizes);
            return NULL;
        }
    }
    return sizes;
}

static bool add_tensor(json_t *list, const struct model_tensor *tensor)
{
    json_t *object = json_pack("{s:s,s:o}", "name", tensor->name, "shape", sizes_json(tensor));
    if (object != NULL && !model_dtype_is_float(tensor->dtype) &&
        json_object_set_new(object, "dtype", json_string(model_dtype_name(tensor->dtype))) != 0) {
        json_decref(object);
        return false;
    }
    return json_array_append_new(list, object) == 0;
}

/* Floats of whatever type first, then integers: what a client keeps of each is an array. */
static json_t *tensor_objects(const struct model_shape *shape)
{
    json_t *list = json_array();
    bool good = list != NULL;
    for (size_t t = 0; good && shape != NULL && t < shape->n_tensors; t++) {
        good = add_tensor(list, &shape->tensors[t]);
    }
    for (size_t t = 0; good && shape != NULL && t < shape->n_carried; t++) {
        good = add_tensor(list, &shape->carried[t]);
    }
    if (!good) {
        json_decref(list);
        return NULL;
    }
    return list;
}

static json_t *base64_json(struct span bytes)
{
    struct buf text = {0};
    json_t *json = NULL;
    if (bytes.size == 0) {
        return json_string("");
    }
    if (base64_append(&text, bytes.data, bytes.size) == 0) {
        json = json_stringn((const char *)text.data, text.size);
    }
    buf_release(&text);
    return json;
}

/* As base64: its texts may hold what a config's may not. */
static bool put_metadata(json_t *json, const json_t *metadata)
{
    struct buf text = {0};
    const bool good = metadata == NULL || (json_append(&text, metadata, 0) == 0 &&
                                           put(json, "metadata", base64_json(buf_span(&text))));
    buf_release(&text);
    return good;
}

static bool put_node(json_t *document, const struct fed_tree *tree, const struct fed_node *node)
{
    bool client = node->type == FED_CLIENT;
    bool good = put(document, "type", json_string(node_words[!client]));
    if (client) {
        good = put(document, "client_number", json_integer(node->client_number)) && good;
        good = put(document, "index", json_integer(node->index)) && good;
    } else {
        good = put(document, "receive", child_addresses(tree, node)) && good;
        good = put(document, "dumb", json_boolean(node->dumb)) && good;
    }
    good = put(document, "send", json_string(tree->nodes[node->parent].address)) && good;
    return put(document, "ip", json_string(node->address)) && good;
}

static bool put_session(json_t *document, const struct fed_config *config, uint32_t number,
                        const struct fed_session *session)
{
    const struct fed_tree *tree = &config->tree;
    const struct fed_node *node = &tree->nodes[number];
    const struct fed_node *parent = &tree->nodes[node->parent];
    struct config_session plain = {
        .node = number,
        .iterations = config->iterations,
        .n_clients = tree->n_clients,
        .n_params = session->n_params,
        .n_tensors = session->n_tensors,
        .n_words = session->n_words,
        .n_plain = session->n_plain,
        .parent_type = parent->type,
        .grace_s = fed_grace_s(&config->settings, fed_tree_height(tree, number))};
    memcpy(plain.id, session->id, sizeof plain.id);
    memcpy(plain.nonce, session->nonce, sizeof plain.nonce);
    memcpy(plain.aggregator, tree->nodes[0].address, sizeof plain.aggregator);
    memcpy(plain.parent, parent->address, sizeof plain.parent);
    json_t *json = json_object();
    bool good = true;
    for (size_t i = 0; i < config_session.n; i++) {
        const struct config_field *field = &config_session.list[i];
        if (field->kind != CONFIG_LIST && field->kind != CONFIG_BASE64) {
            good = put(json, field->name, config_value_json(field, &plain)) && good;
        }
    }
    good = put(json, "children", child_objects(tree, node)) && good;
    good = put(json, "streams", stream_objects(tree, number)) && good;
    good = put(json, "clients", stream_client_indices(tree, number)) && good;
    good = put(json, "public_key", base64_json(session->public_key)) && good;
    good = put(json, "tensors", tensor_objects(node->type == FED_CLIENT ? session->shape : NULL)) && good;
    good = put_metadata(json, node->type == FED_CLIENT ? session->metadata : NULL) && good;
    return put(document, "session", json) && good;
}

json_t *fed_assignment_write(const struct fed_config *config, uint32_t node,
                             const struct fed_session *session)
{
    json_t *document = json_object();
    json_t *settings = fed_settings_json(&config->settings);
    /* where a machine keeps its data and logs, and what it runs, is its own affair */
    (void)json_object_del(settings, "log");
    (void)json_object_del(json_object_get(settings, "data"), "dir");
    (void)json_object_del(json_object_get(settings, "model"), "file");
    (void)json_object_del(json_object_get(settings, "train"), "command");
    (void)json_object_del(json_object_get(settings, "train"), "environment");
    bool good = put_node(document, &config->tree, &config->tree.nodes[node]);
    good = settings != NULL && json_object_update(document, settings) == 0 && good;
    good = put_session(document, config, node, session) && good;
    json_decref(settings);
    if (!good) {
        json_decref(document);
        return NULL;
    }
    return document;
}

int fed_check_metadata(const json_t *metadata, struct cairn_problem *why)
{
    struct buf text = {0};
    if (metadata == NULL) {
        return 0;
    }
    int err = json_append(&text, metadata, 0);
    if (err != 0) {
        err = problem_set(why, err, NULL, "no memory for the model's __metadata__");
    } else if (text.size > FED_MOST_METADATA) {
        err = problem_set(why, CAIRN_ERR_DATA, "take out of the file what its programs do not need",
                          "the model's __metadata__ has %zu bytes; clients can be told of at most %d",
                          text.size, FED_MOST_METADATA);
    }
    buf_release(&text);
    return err;
}

/* Reading */

static const struct config_field session_field[] = {
    {.name = "session", .kind = CONFIG_NODE, .required = true, .help = "what this run needs"},
};

/* A document on its way into an assignment. */
struct intake {
    struct config_reader *r;
    struct config_self self;
    struct config_session plain;
    uint32_t at_session;
    size_t n_stream_clients;
    struct fed_assignment *out;
};

/* An element of a list of objects, into `base`. */
static void read_element(struct config_reader *r, uint32_t place, struct config_fields fields,
                         const char *label, void *base)
{
    struct config_object object = {.groups = {{.fields = fields, .base = base}}, .n_groups = 1};
    if (json_is_object(r->doc.places[place].json)) {
        config_read_object(r, place, label, &object);
    } else {
        config_fault(r, place, "%seach element is an object", label);
    }
}

static int read_children(struct intake *in, uint32_t list)
{
    struct fed_assignment *out = in->out;
    const struct config_place *places = in->r->doc.places;
    size_t n = json_array_size(places[list].json);
    out->children = size_alloc_array(n + 1, sizeof *out->children);
    out->child_types = size_alloc_array(n + 1, sizeof *out->child_types);
    if (out->children == NULL || out->child_types == NULL) {
        return CAIRN_ERR_NO_MEMORY;
    }
    for (uint32_t i = places[list].first_child; i != 0; i = places[i].next) {
        struct config_child child = {0};
        read_element(in->r, i, config_child, "session.children: ", &child);
        memcpy(out->children[out->n_children], child.address, sizeof child.address);
        out->child_types[out->n_children++] = child.type != 0 ? FED_SWITCH : FED_CLIENT;
    }
    return 0;
}

static uint64_t clients_that_arrive(const struct fed_assignment *a)
{
    uint64_t clients = 0;
    for (size_t i = 0; i < a->n_streams; i++) {
        clients += a->streams[i].n_clients;
    }
    return clients;
}

static int read_streams(struct intake *in, uint32_t list)
{
    struct fed_assignment *out = in->out;
    const struct config_place *places = in->r->doc.places;
    size_t n = json_array_size(places[list].json);
    out->streams = size_alloc_array(n + 1, sizeof *out->streams);
    if (out->streams == NULL) {
        return CAIRN_ERR_NO_MEMORY;
    }
    for (uint32_t i = places[list].first_child; i != 0; i = places[i].next) {
        struct config_stream stream = {0};
        read_element(in->r, i, config_stream, "session.streams: ", &stream);
        out->streams[out->n_streams++] = (struct fed_stream){
            .origin = stream.origin, .n_clients = stream.clients, .child = stream.child};
    }
    if (clients_that_arrive(out) > in->plain.n_clients) {
        config_fault(in->r, list, "session.streams: more clients than session.n_clients");
    }
    return 0;
}

/* Each a client of this federation. */
static int read_stream_clients(struct intake *in, uint32_t list)
{
    struct fed_assignment *out = in->out;
    const json_t *json = in->r->doc.places[list].json;
    const size_t n = json_array_size(json);
    out->stream_clients = size_alloc_array(n + 1, sizeof *out->stream_clients);
    if (out->stream_clients == NULL) {
        return CAIRN_ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *index = json_array_get(json, i);
        const json_int_t k = json_is_integer(index) ? json_integer_value(index) : -1;
        if (k < 0 || k >= (json_int_t)in->plain.n_clients) {
            config_fault(in->r, list, "session.clients: element %zu is no index below session.n_clients", i);
            return 0;
        }
        out->stream_clients[i] = (uint32_t)k;
        in->n_stream_clients = i + 1;
    }
    return 0;
}

/* A tensor's sizes into dims. @return how many, or -1 */
static int read_dims(const struct config_reader *r, uint32_t tensor, uint64_t dims[MODEL_MAX_DIMS])
{
    const uint32_t list = config_doc_member(&r->doc, tensor, "shape");
    int n = 0;
    for (uint32_t i = list != 0 ? r->doc.places[list].first_child : 0; i != 0;
         i = r->doc.places[i].next) {
        const json_t *size = r->doc.places[i].json;
        if (n == MODEL_MAX_DIMS || !json_is_integer(size) || json_integer_value(size) < 0) {
            return -1;
        }
        dims[n++] = (uint64_t)json_integer_value(size);
    }
    return n;
}

/* The tensors are those of the whole model; what is counted is what of it is shared. */
static bool holds_the_shared(const struct intake *in, const struct model_shape *shape)
{
    const struct fed_settings *s = &in->out->settings;
    const struct config_session *plain = &in->plain;
    return s->include[0] == '\0' && s->exclude[0] == '\0'
               ? shape->n_params == plain->n_params && shape->n_tensors == plain->n_tensors
               : shape->n_params >= plain->n_params && shape->n_tensors >= plain->n_tensors;
}

static int read_tensor(struct model_shape *shape, const struct config_tensor *tensor,
                       const uint64_t *dims, unsigned n, struct cairn_problem *why)
{
    const enum model_dtype dtype =
        tensor->dtype[0] == '\0' ? MODEL_F32 : model_dtype_named(tensor->dtype);
    if (dtype == MODEL_DTYPES || (tensor->dtype[0] != '\0' && model_dtype_is_float(dtype))) {
        return problem_set(why, CAIRN_ERR_DATA, NULL, "\"%.60s\": there are no integers of type \"%s\"",
                           tensor->name, tensor->dtype);
    }
    return model_shape_add_typed(shape, tensor->name, dtype, dims, n, why);
}

static int read_tensors(struct intake *in, uint32_t list)
{
    struct config_reader *r = in->r;
    struct model_shape *shape = &in->out->shape;
    const bool wanted = in->self.is_switch == 0 &&
                        strcmp(in->out->settings.train_type, "command") == 0;
    int err = 0;
    for (uint32_t i = r->doc.places[list].first_child; i != 0 && err == 0; i = r->doc.places[i].next) {
        struct config_tensor tensor = {0};
        struct cairn_problem why = {0};
        uint64_t dims[MODEL_MAX_DIMS];
        const size_t faults = r->faults.n_errors;
        read_element(r, i, config_tensor, "session.tensors: ", &tensor);
        const int n = read_dims(r, i, dims);
        if (n < 0) {
            config_fault(r, i, "session.tensors: a shape is a list of at most %d sizes", MODEL_MAX_DIMS);
        } else if (r->faults.n_errors == faults) {
            err = read_tensor(shape, &tensor, dims, (unsigned)n, &why);
        }
        if (err == CAIRN_ERR_DATA) {
            config_fault(r, i, "session.tensors: %s", why.what);
        }
    }
    if (err == 0 && wanted && !holds_the_shared(in, shape)) {
        config_fault(r, list, "session.tensors: are not n_tensors with n_params elements");
    }
    return err == CAIRN_ERR_NO_MEMORY ? err : 0;
}

static int read_public_key(struct intake *in, uint32_t place)
{
    struct config_reader *r = in->r;
    const char *text = json_string_value(r->doc.places[place].json);
    if (text == NULL) {
        return 0; /* told by the reader */
    }
    int err = base64_parse(text, &in->out->public_key);
    if (err == CAIRN_ERR_NO_MEMORY) {
        return err;
    }
    bool has_key = in->out->public_key.size > 0;
    if (err != 0) {
        config_fault(r, place, "session.public_key: is no base64 text");
    } else if (has_key != (in->out->settings.profile != HE_NONE)) {
        config_fault(r, place,
                     has_key ? "session.public_key: there is a key, but "
                               "encryption.profile is none"
                             : "session.public_key: is empty, but encryption.profile "
                               "asks for encryption");
    }
    return 0;
}

static int read_metadata(struct intake *in, uint32_t place)
{
    const char *text = json_string_value(in->r->doc.places[place].json);
    struct cairn_problem why = {0};
    struct buf bytes = {0};
    if (text == NULL) {
        return 0; /* told by the reader */
    }
    int err = base64_parse(text, &bytes);
    if (err == 0 && bytes.size <= FED_MOST_METADATA) {
        in->out->metadata =
            safetensors_parse_metadata(buf_span(&bytes), "session.metadata", &why);
        err = in->out->metadata == NULL ? why.code : 0;
    }
    if (err != CAIRN_ERR_NO_MEMORY && in->out->metadata == NULL) {
        config_fault(in->r, place, "session.metadata: is no base64 text of an object of texts, %d bytes at most",
                     FED_MOST_METADATA);
    }
    buf_release(&bytes);
    return err == CAIRN_ERR_NO_MEMORY ? err : 0;
}

static int read_session(struct intake *in)
{
    struct config_reader *r = in->r;
    struct config_object object = {.groups = {{.fields = config_session, .base = &in->plain}},
                                   .n_groups = 1};
    if (!json_is_object(r->doc.places[in->at_session].json)) {
        return 0;
    }
    config_read_object(r, in->at_session, "session.", &object);
    uint32_t key = config_found(&object, "public_key");
    uint32_t children = config_found(&object, "children");
    uint32_t streams = config_found(&object, "streams");
    uint32_t clients = config_found(&object, "clients");
    int err = children != 0 ? read_children(in, children) : 0;
    if (err == 0 && streams != 0) {
        err = read_streams(in, streams);
    }
    if (err == 0 && clients != 0) {
        err = read_stream_clients(in, clients);
    }
    const uint32_t tensors = config_found(&object, "tensors");
    if (err == 0 && tensors != 0) {
        err = read_tensors(in, tensors);
    }
    const uint32_t metadata = config_found(&object, "metadata");
    if (err == 0 && metadata != 0) {
        err = read_metadata(in, metadata);
    }
    return err != 0 || key == 0 ? err : read_public_key(in, key);
}

/* The receive list of the seed form against the children of the session: the same addresses in the
 * same order. */
static bool same_children(const struct config_doc *doc, uint32_t receive,
                          const struct fed_assignment *a)
{
    size_t k = 0;
    for (uint32_t i = receive != 0 ? doc->places[receive].first_child : 0; i != 0;
         i = doc->places[i].next, k++) {
        const char *text = json_string_value(doc->places[i].json);
        if (text == NULL || k >= a->n_children || strcmp(text, a->children[k]) != 0) {
            return false;
        }
    }
    return k == a->n_children;
}

static bool every_stream_has_a_child(const struct fed_assignment *a)
{
    for (size_t i = 0; i < a->n_streams; i++) {
        if (a->streams[i].child >= a->n_children) {
            return false;
        }
    }
    return true;
}

/* The seed form and the session tell some things twice: they must agree. */
static void check_agreement(struct intake *in, const struct config_object *root)
{
    struct config_reader *r = in->r;
    const struct config_self *self = &in->self;
    const struct config_session *plain = &in->plain;
    bool client = self->is_switch == 0;
    if (strcmp(self->send, plain->parent) != 0) {
        config_fault(r, in->at_session, "session.parent: is not the address in \"send\"");
    }
    if (client && self->client_number != plain->n_clients) {
        config_fault(r, in->at_session, "session.n_clients: is not \"client_number\"");
    }
    if (client && self->index >= self->client_number) {
        config_fault(r, config_found(root, "index"), "index: is outside 0 .. client_number - 1");
    }
    if (!same_children(&r->doc, config_found(root, "receive"), in->out)) {
        config_fault(r, in->at_session, "session.children: are not those in \"receive\"");
    }
    if (client != (in->out->n_streams == 0)) {
        config_fault(r, in->at_session, "session.streams: a switch has streams, a client has none");
    }
    if (!every_stream_has_a_child(in->out)) {
        config_fault(r, in->at_session, "session.streams: comes through a child that is not there");
    }
    if (r->faults.n_errors == 0 && in->n_stream_clients != clients_that_arrive(in->out)) {
        config_fault(r, in->at_session,
                     "session.clients: are not as many as session.streams have");
    }
    if (!client && in->out->n_children == 0) {
        config_fault(r, in->at_session, "session.children: a switch has at least one child");
    }
}

/* What is run here is chosen here: nobody who can reach this port may name a program. */
static void check_nothing_to_run(struct intake *in)
{
    const struct fed_settings *s = &in->out->settings;
    if (s->train_command[0] != '\0' || s->train_environment[0] != '\0') {
        config_fault(in->r, 0,
                     "train.command, train.environment: are every machine's own; start this node with "
                     "--train-command");
    }
    if (s->model_file[0] != '\0') {
        config_fault(in->r, 0, "model.file: is the aggregator's own");
    }
}

static void take_over(struct intake *in)
{
    struct fed_assignment *out = in->out;
    struct fed_address address;
    const char *wrong;
    bool client = in->self.is_switch == 0;
    out->self.type = client ? FED_CLIENT : FED_SWITCH;
    if (fed_address_parse(in->self.ip, &address, &wrong) == 0) {
        memcpy(out->self.address, address.text, sizeof out->self.address);
        memcpy(out->self.host, address.host, sizeof out->self.host);
        out->self.port = address.port;
    }
    out->self.client_number = in->self.client_number;
    out->self.index = client ? in->self.index : 0;
    out->self.dumb = in->self.dumb;
    out->self.n_children = (uint32_t)out->n_children;
    out->node = in->plain.node;
    out->iterations = in->plain.iterations;
    out->n_clients = in->plain.n_clients;
    out->n_params = in->plain.n_params;
    out->n_tensors = in->plain.n_tensors;
    out->n_words = in->plain.n_words;
    out->n_plain = in->plain.n_plain;
    out->grace_s = in->plain.grace_s;
    out->parent_type = in->plain.parent_type == FED_SWITCH ? FED_SWITCH : FED_AGGREGATOR;
    memcpy(out->parent, in->plain.parent, sizeof out->parent);
    memcpy(out->id, in->plain.id, sizeof out->id);
    memcpy(out->nonce, in->plain.nonce, sizeof out->nonce);
}

static int read_document(struct intake *in)
{
    struct config_reader *r = in->r;
    if (!json_is_object(r->doc.root)) {
        config_fault(r, 0, "an assignment is an object");
        return 0;
    }
    const char *type = json_string_value(r->doc.places[config_doc_member(&r->doc, 0, "type")].json);
    bool a_switch = type != NULL && strcmp(type, "switch") == 0;
    struct config_object root = {
        .groups = {{.fields = a_switch ? config_switch : config_client, .base = &in->self},
                   {.fields = config_settings, .base = &in->out->settings},
                   {.fields = {session_field, 1}}},
        .n_groups = 3};
    config_defaults(config_settings, &in->out->settings);
    config_read_object(r, 0, "", &root);
    in->at_session = config_found(&root, "session");
    if (config_found(&root, "experiment") == 0) {
        config_fault(r, 0, "\"experiment\" is missing");
    }
    if (config_found(&root, "ip") == 0) {
        config_fault(r, 0, "\"ip\" is missing");
    }
    check_nothing_to_run(in);
    int err = in->at_session != 0 ? read_session(in) : 0;
    if (err == 0 && r->faults.n_errors == 0) {
        check_agreement(in, &root);
    }
    if (err == 0 && r->faults.n_errors == 0) {
        config_check_settings(r, &root, &in->out->settings, in->plain.n_clients);
        take_over(in);
    }
    return err;
}

/* The first fault in order of place. It goes over the network to whoever wrote the document, where
 * line and column of our copy mean nothing: the member's name has to do. */
static int tell_first(struct config_reader *r, struct cairn_problem *why)
{
    config_faults_sort(&r->faults);
    for (size_t i = 0; i < r->faults.n; i++) {
        if (!r->faults.list[i].warning) {
            return problem_set(why, CAIRN_ERR_CONFIG,
                               "the aggregator and this node may be different versions of cairn",
                               "node config: %s", r->faults.list[i].text);
        }
    }
    return 0;
}

static int read_text(struct config_reader *r, struct span text, struct fed_assignment *out,
                     struct cairn_problem *why)
{
    struct config_syntax syntax;
    struct intake in = {.r = r, .self.index = UINT32_MAX, .out = out};
    int err = config_doc_read(text, &r->doc, &syntax);
    if (err == CAIRN_ERR_MALFORMED) {
        return problem_set(why, CAIRN_ERR_CONFIG, NULL, "node config: %s", syntax.text);
    }
    if (err == 0) {
        err = read_document(&in);
    }
    if (err != 0 || r->no_memory) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory to read a node config");
    }
    return tell_first(r, why);
}

int fed_assignment_read(const json_t *document, struct fed_assignment *out,
                        struct cairn_problem *why)
{
    struct config_reader r;
    struct buf text = {0};
    struct fed_assignment read = {0};
    if (document == NULL) {
        return problem_set(why, CAIRN_ERR_CONFIG, NULL, "node config: there is no document");
    }
    config_reader_init(&r);
    /* The reader works on text, which has places; a document that was parsed once is written again.
     */
    int err = json_append(&text, document, 0);
    if (err != 0) {
        err = problem_set(why, err, NULL, "no memory to read a node config");
    } else {
        err = read_text(&r, buf_span(&text), &read, why);
    }
    if (err == 0) {
        *out = read;
    } else {
        fed_assignment_release(&read);
    }
    config_reader_release(&r);
    buf_release(&text);
    return err;
}
