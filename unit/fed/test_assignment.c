/* SPDX-License-Identifier: Apache-2.0 */
/* What is posted to a node is what the node reads; and what it refuses. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_text.h"
#include "json.h"
#include "random_tree.h"

static const uint8_t key_bytes[] = {0, 1, 2, 0xff, 0xfe};

static struct fed_session make_session(enum he_profile profile, struct replay_rng *rng)
{
    struct fed_session session = {.n_params = 1 + (replay_u64(rng) >> 30),
                                  .n_tensors = 1 + replay_below(rng, 1000000),
                                  .n_words = replay_below(rng, 4097),
                                  .n_plain = replay_below(rng, 1000)};
    for (size_t i = 0; i < sizeof session.id; i++) {
        session.id[i] = (uint8_t)replay_u32(rng);
    }
    for (size_t i = 0; i < sizeof session.nonce; i++) {
        session.nonce[i] = (uint8_t)replay_u32(rng);
    }
    if (profile != HE_NONE) {
        session.public_key = (struct span){.data = key_bytes, .size = sizeof key_bytes};
    }
    return session;
}

static void read_config(struct span text, struct fed_config *config)
{
    struct fed_faults faults;
    assert_int_equal(fed_config_read("round-trip.json", text, config, &faults), 0);
    fed_faults_release(&faults);
}

/* Each stream's clients are those of the tree that are at its origin or below. */
static void check_stream_clients(const struct fed_config *c, uint32_t number,
                                 const struct fed_assignment *a)
{
    size_t k = 0;
    for (size_t i = 0; i < a->n_streams; i++) {
        for (uint32_t n = 0; n < a->streams[i].n_clients; n++, k++) {
            uint32_t at = 0;
            while (c->tree.nodes[at].type != FED_CLIENT ||
                   c->tree.nodes[at].index != a->stream_clients[k]) {
                at++;
                assert_true(at < c->tree.n_nodes);
            }
            while (at != a->streams[i].origin) {
                assert_int_not_equal(at, number);
                at = c->tree.nodes[at].parent;
            }
        }
    }
}

static void check_assignment(const struct fed_config *c, uint32_t number,
                             const struct fed_session *session, const struct fed_assignment *a)
{
    const struct fed_node *node = &c->tree.nodes[number];
    const struct fed_node *parent = &c->tree.nodes[node->parent];
    struct fed_stream *streams;
    size_t n;
    json_t *settings = fed_settings_json(&c->settings);
    json_t *settings_read = fed_settings_json(&a->settings);
    /* paths of the sender's machine do not travel: the reader has the defaults */
    assert_string_equal(a->settings.data_dir, "data");
    assert_string_equal(a->settings.log_dir, "log");
    json_object_del(settings, "log");
    json_object_del(settings_read, "log");
    json_object_del(json_object_get(settings, "data"), "dir");
    json_object_del(json_object_get(settings_read, "data"), "dir");
    assert_true(json_equal(settings, settings_read));
    json_decref(settings);
    json_decref(settings_read);
    assert_int_equal(a->self.type, node->type);
    assert_string_equal(a->self.address, node->address);
    assert_string_equal(a->self.host, node->host);
    assert_int_equal(a->self.port, node->port);
    assert_int_equal(a->self.client_number, node->client_number);
    assert_int_equal(a->self.index, node->index);
    assert_int_equal(a->self.dumb, node->dumb);
    assert_int_equal(a->node, number);
    assert_int_equal(a->iterations, c->iterations);
    assert_int_equal(a->n_clients, c->tree.n_clients);
    assert_string_equal(a->parent, parent->address);
    assert_int_equal(a->parent_type, parent->type);
    assert_int_equal(a->n_children, node->n_children);
    for (uint32_t i = 0; i < node->n_children; i++) {
        const struct fed_node *child = &c->tree.nodes[c->tree.children[node->first_child + i]];
        assert_string_equal(a->children[i], child->address);
        assert_int_equal(a->child_types[i], child->type);
    }
    assert_int_equal(fed_tree_streams(&c->tree, number, &streams, &n), 0);
    assert_int_equal(a->n_streams, n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(a->streams[i].origin, streams[i].origin);
        assert_int_equal(a->streams[i].n_clients, streams[i].n_clients);
        assert_int_equal(a->streams[i].child, streams[i].child);
    }
    check_stream_clients(c, number, a);
    assert_true(a->grace_s == fed_grace_s(&c->settings, fed_tree_height(&c->tree, number)));
    free(streams);
    assert_memory_equal(a->id, session->id, sizeof a->id);
    assert_memory_equal(a->nonce, session->nonce, sizeof a->nonce);
    assert_true(a->n_params == session->n_params);
    assert_int_equal(a->n_tensors, session->n_tensors);
    assert_int_equal(a->n_words, session->n_words);
    assert_int_equal(a->n_plain, session->n_plain);
    assert_int_equal(a->public_key.size, session->public_key.size);
    if (a->public_key.size > 0) {
        assert_memory_equal(a->public_key.data, session->public_key.data, a->public_key.size);
    }
}

/* Random settings within their ranges, as a config writes them. */
static void random_settings(struct replay_rng *rng, uint32_t n_clients, char *text, size_t size)
{
    snprintf(
        text, size,
        "\"seed\": %llu, \"model\": {\"layers\": [%u, %u, %u]}, \"data\": {\"dir\": \"d\xc3\xa4 "
        "\\\"x\\\"\", "
        "\"resize\": %u}, \"train\": {\"epochs\": %u, \"batch\": %u, \"learning_rate\": %.17g, "
        "\"momentum\": %.17g}, \"encryption\": {\"profile\": \"%s\", \"value_bits\": %u}, "
        "\"round\": "
        "{\"deadline_s\": %.17g, \"privacy_floor\": %u, \"quorum\": %.17g, \"grace_s\": %.17g}, "
        "\"server\": {\"workers\": %u, \"autostart\": %s, \"window_bytes\": %u, "
        "\"heartbeat_s\": %.17g},",
        (unsigned long long)(replay_u64(rng) >> 11), 1 + replay_below(rng, 1000000),
        1 + replay_below(rng, 1000000), 1 + replay_below(rng, 1000000), replay_below(rng, 1025),
        1 + replay_below(rng, 1000), 1 + replay_below(rng, 65536),
        (double)replay_float(rng) * 99 + 1e-9, (double)replay_float(rng) * 0.999,
        he_profile_name((enum he_profile)replay_below(rng, HE_PROFILES)),
        2 + replay_below(rng, 12), 1 + (double)replay_float(rng) * 1000,
        replay_below(rng, n_clients + 1),
        replay_below(rng, 2) ? (double)replay_float(rng) * 0.99 + 0.001
                             : 1 + replay_below(rng, n_clients),
        replay_below(rng, 2) ? (double)replay_float(rng) * 9 : 0, 1 + replay_below(rng, 64),
        replay_below(rng, 2) ? "true" : "false", 65536 + replay_below(rng, 1U << 30),
        0.1 + (double)replay_float(rng) * 3000);
}

static void test_assignment__round_trip(void **state)
{
    (void)state;
    enum { SEED = 7 };
    struct replay_rng rng;
    print_message("seed %d\n", SEED);
    replay_init(&rng, "test assignment", SEED, 0, 0);
    for (int round = 0; round < 40; round++) {
        struct random_tree t;
        struct fed_config c;
        struct buf text = {0};
        char settings[1000];
        random_tree_make(&t, &rng);
        random_settings(&rng, t.n_clients, settings, sizeof settings);
        assert_int_equal(random_tree_print(&t, settings, &text), 0);
        read_config(buf_span(&text), &c);
        struct fed_session session = make_session(c.settings.profile, &rng);
        for (uint32_t i = 1; i < c.tree.n_nodes; i++) {
            struct fed_assignment a;
            struct cairn_problem why;
            json_t *document = fed_assignment_write(&c, i, &session);
            assert_non_null(document);
            int err = fed_assignment_read(document, &a, &why);
            if (err != 0) {
                fail_msg("%s", why.what);
            }
            check_assignment(&c, i, &session, &a);
            fed_assignment_release(&a);
            json_decref(document);
        }
        fed_config_release(&c);
        buf_release(&text);
    }
}

/* The seed form of the document, exactly. */
static void test_assignment__seed_form(void **state)
{
    (void)state;
    struct fed_config c;
    struct replay_rng rng;
    replay_init(&rng, "test assignment", 1, 0, 0);
    read_config(text_span(good_config), &c);
    struct fed_session session = make_session(c.settings.profile, &rng);
    json_t *document = fed_assignment_write(&c, 1, &session);
    json_t *expected =
        json_pack("{s:s,s:[s,s],s:s,s:s,s:b}", "type", "switch", "receive", "10.0.0.4:5000",
                  "10.0.0.5:5000", "send", "10.0.0.1:5000", "ip", "10.0.0.2:5000", "dumb", 0);
    const char *key;
    json_t *value;
    json_object_foreach(expected, key, value)
    {
        assert_true(json_equal(value, json_object_get(document, key)));
    }
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(document, "session"), "public_key")),
        "AAEC//4=");
    json_decref(expected);
    json_decref(document);
    fed_config_release(&c);
}

/* Changes to a good document: path (section or NULL, member), new value as JSON ("" = remove), and
 * the words of the refusal. */
struct change {
    uint32_t node; /* 1 and 2 are switches, 3 to 5 clients */
    const char *section, *member, *value, *fragment;
};

static const struct change changes[] = {
    {3, NULL, "type", "\"switch\"", "\"receive\" is missing"},
    {3, NULL, "type", "\"aggregator\"", "allowed: \"client\", \"switch\""},
    {3, NULL, "nonsense", "1", "\"nonsense\" is not known here"},
    {3, NULL, "dumb", "true", "belongs to switches only"},
    {3, NULL, "index", "3", "index: is outside 0 .. client_number - 1"},
    {3, NULL, "client_number", "4", "session.n_clients: is not \"client_number\""},
    {3, NULL, "send", "\"10.0.0.3\"", "session.parent: is not the address in \"send\""},
    {3, NULL, "ip", "", "\"ip\" is missing"},
    {3, NULL, "experiment", "", "\"experiment\" is missing"},
    {3, NULL, "experiment", "\"../x\"", "has other characters"},
    {3, NULL, "session", "", "\"session\" is missing"},
    {3, NULL, "session", "[]", "session: [] is a list; allowed: an object"},
    {3, NULL, "aggregator", "{}", "\"aggregator\" is not known here"},
    {1, NULL, "receive", "[\"10.0.0.4:5000\"]", "session.children: are not those in \"receive\""},
    {1, NULL, "dumb", "0", "dumb: 0 is a number"},
    {1, "train", "epochs", "0", "train.epochs: 0 is too small; allowed: a whole number, 1 .. 1000"},
    {1, "train", "speed", "1", "train.\"speed\" is not known here"},
    {1, "round", "privacy_floor", "4", "more than the number of clients, 3"},
    {1, "encryption", "profile", "\"none\"", "there is a key, but encryption.profile is none"},
    {3, "session", "public_key", "\"\"", "is empty, but encryption.profile asks for encryption"},
    {3, "session", "public_key", "\"AAE\"", "is no base64 text"},
    {3, "session", "public_key", "7", "session.public_key: 7 is a number; allowed: base64 text"},
    {3, "session", "id", "\"00\"",
     "session.id: \"00\" is something else; allowed: 32 hexadecimal digits"},
    {3, "session", "nonce", "", "session.\"nonce\" is missing"},
    {3, "session", "node", "0", "session.node: 0 is too small"},
    {3, "session", "iterations", "100001", "session.iterations: 100001 is too large"},
    {3, "session", "n_params", "0", "session.n_params: 0 is too small"},
    {3, "session", "n_tensors", "1.5", "session.n_tensors: 1.5 is no whole number"},
    {3, "session", "n_clients", "2", "session.n_clients: is not \"client_number\""},
    {1, "session", "n_clients", "1", "session.streams: more clients than session.n_clients"},
    {3, "session", "parent_type", "\"client\"", "allowed: \"aggregator\", \"switch\""},
    {3, "session", "parent", "\"a:b:c\"", "session.parent: \"a:b:c\" has more than one colon"},
    {3, "session", "secret_key", "\"AAEC\"", "session.\"secret_key\" is not known here"},
    {1, "session", "children", "[]", "session.children: a switch has at least one child"},
    {1, "session", "children", "{}", "session.children: {} is an object; allowed: a list"},
    {1, "session", "children", "[7]", "session.children: each element is an object"},
    {1, "session", "children", "[{\"address\": \"a\"}]", "session.children: \"type\" is missing"},
    {1, "session", "streams", "[]", "a switch has streams, a client has none"},
    {1, "session", "streams", "[{\"origin\": 3, \"clients\": -1, \"child\": 0}]",
     "clients: -1 is too small"},
    {1, "session", "streams", "[{\"origin\": 3, \"clients\": 2}]",
     "session.streams: \"child\" is missing"},
    {1, "session", "streams", "[{\"origin\": 3, \"clients\": 2, \"child\": 2}]",
     "session.streams: comes through a child that is not there"},
    {3, "session", "streams", "[{\"origin\": 3, \"clients\": 1, \"child\": 0}]",
     "a switch has streams, a client has none"},
    {1, "session", "clients", "[0]", "session.clients: are not as many as session.streams have"},
    {1, "session", "clients", "[0, 99]", "session.clients: element 1 is no index below session.n_clients"},
    {1, "session", "clients", "[0, \"1\"]", "session.clients: element 1 is no index"},
    {1, "session", "clients", "", "session.\"clients\" is missing"},
    {1, "session", "grace_s", "-0.5", "session.grace_s: -0.5 is too small"},
    {1, "session", "grace_s", "", "session.\"grace_s\" is missing"},
    {3, "round", "quorum", "4", "round.quorum: 4 is more than the number of clients, 3"},
    {3, "round", "quorum", "2.5", "neither a share of the clients, below 1, nor a number"},
};

static void apply(json_t *document, const struct change *change)
{
    json_t *object =
        change->section != NULL ? json_object_get(document, change->section) : document;
    if (change->value[0] == '\0') {
        assert_int_equal(json_object_del(object, change->member), 0);
        return;
    }
    json_t *value = json_loads(change->value, JSON_DECODE_ANY, NULL);
    assert_non_null(value);
    assert_int_equal(json_object_set_new(object, change->member, value), 0);
}

static void test_assignment__refusals(void **state)
{
    (void)state;
    struct fed_config c;
    struct replay_rng rng;
    size_t failed = 0;
    replay_init(&rng, "test assignment", 2, 0, 0);
    read_config(text_span(good_config), &c);
    struct fed_session session = make_session(c.settings.profile, &rng);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        struct fed_assignment a;
        struct fed_assignment before;
        struct cairn_problem why = {0};
        memset(&a, 0x5a, sizeof a);
        memset(&before, 0x5a, sizeof before);
        json_t *document = fed_assignment_write(&c, changes[i].node, &session);
        apply(document, &changes[i]);
        int err = fed_assignment_read(document, &a, &why);
        if (err != CAIRN_ERR_CONFIG || strstr(why.what, changes[i].fragment) == NULL) {
            print_error("%s: expected \"%s\", got %d \"%s\"\n", changes[i].member,
                        changes[i].fragment, err, why.what);
            failed++;
        }
        assert_memory_equal(&a, &before, sizeof a);
        json_decref(document);
    }
    assert_int_equal(failed, 0);
    fed_config_release(&c);
}

/* A run of commands: shapes travel to clients, what is run never does. */
static void test_assignment__commands(void **state)
{
    (void)state;
    static const char config[] =
        "{\"aggregator\": {\"iteration\": 1, \"ip\": \"a\"}, \"encryption\": {\"profile\": \"none\"},"
        "\"model\": {\"file\": \"m\"}, \"train\": {\"type\": \"command\", \"samples\": 3, "
        "\"command\": [\"x\", \"a b\"], \"environment\": {\"A\": \"b\"}, \"settings\": {\"lr\": [1, null]}},"
        "\"others\": {\"c\": {\"type\": \"client\", \"client_number\": 1, \"index\": 0, \"send\": \"a\"}}}";
    struct model_shape shape = {0};
    struct fed_config c;
    struct fed_assignment a;
    struct cairn_problem why = {0};
    assert_int_equal(model_shape_add(&shape, "w", (const uint64_t[]){2, 3}, 2, NULL), 0);
    assert_int_equal(model_shape_add(&shape, "none", (const uint64_t[]){0}, 1, NULL), 0);
    assert_int_equal(model_shape_add(&shape, "scalar", NULL, 0, NULL), 0);
    read_config((struct span){(const uint8_t *)config, sizeof config - 1}, &c);
    const struct fed_session session = {.n_params = 7, .n_tensors = 3, .shape = &shape};
    json_t *document = fed_assignment_write(&c, 1, &session);
    json_t *train = json_object_get(document, "train");
    assert_null(json_object_get(train, "command"));
    assert_null(json_object_get(train, "environment"));
    assert_null(json_object_get(json_object_get(document, "model"), "file"));
    assert_int_equal(fed_assignment_read(document, &a, &why), 0);
    assert_string_equal(a.settings.train_settings, "{\"lr\": [1, null]}");
    assert_int_equal(a.shape.n_tensors, 3);
    for (size_t t = 0; t < 3; t++) {
        assert_string_equal(a.shape.tensors[t].name, shape.tensors[t].name);
        assert_int_equal(a.shape.tensors[t].n_dims, shape.tensors[t].n_dims);
        assert_int_equal(a.shape.tensors[t].count, shape.tensors[t].count);
    }
    fed_assignment_release(&a);

    json_object_set_new(train, "command", json_pack("[s]", "x"));
    assert_int_equal(fed_assignment_read(document, &a, &why), CAIRN_ERR_CONFIG);
    assert_non_null(strstr(why.what, "every machine's own"));
    json_object_del(train, "command");
    json_object_set_new(train, "environment", json_pack("{s:s}", "LD_PRELOAD", "x"));
    assert_int_equal(fed_assignment_read(document, &a, &why), CAIRN_ERR_CONFIG);
    json_object_del(train, "environment");
    json_t *tensors = json_object_get(json_object_get(document, "session"), "tensors");
    json_object_set_new(json_array_get(tensors, 0), "shape", json_pack("[i, i]", 2, -3));
    assert_int_equal(fed_assignment_read(document, &a, &why), CAIRN_ERR_CONFIG);
    json_object_set_new(json_array_get(tensors, 0), "shape", json_pack("[i, i]", 2, 4));
    assert_int_equal(fed_assignment_read(document, &a, &why), CAIRN_ERR_CONFIG); /* n_params says otherwise */
    json_object_set_new(json_array_get(tensors, 0), "shape", json_pack("[i, i]", 3, 2));
    assert_int_equal(fed_assignment_read(document, &a, &why), 0);
    fed_assignment_release(&a);
    json_object_set_new(json_array_get(tensors, 0), "name", json_string("none"));
    assert_int_equal(fed_assignment_read(document, &a, &why), CAIRN_ERR_CONFIG); /* twice */
    json_decref(document);
    model_shape_release(&shape);
    fed_config_release(&c);
}

/* Whatever its texts hold, and in their order; clients alone are told. */
static void test_assignment__metadata(void **state)
{
    (void)state;
    static const char config[] =
        "{\"aggregator\": {\"ip\": \"10.0.0.1\", \"iteration\": 1}, "
        "\"others\": {\"10.0.0.2\": {\"type\": \"switch\", \"send\": \"10.0.0.1\", \"receive\": [\"10.0.0.3\"]}, "
        "\"10.0.0.3\": {\"type\": \"client\", \"send\": \"10.0.0.2\", \"client_number\": 1, \"index\": 0}}, "
        "\"encryption\": {\"profile\": \"none\"}, "
        "\"train\": {\"type\": \"command\", \"command\": [\"python3\"], \"samples\": 5}}";
    struct model_shape shape = {0};
    struct fed_config c;
    struct fed_assignment a;
    struct cairn_problem why = {0};
    json_t *metadata = json_object();
    json_object_set_new(metadata, "z", json_stringn("\0x\0", 3));
    json_object_set_new(metadata, "", json_string("\xf0\x9f\x98\x80 \"\\\n"));
    json_object_set_new(metadata, "a", json_string(""));
    assert_int_equal(model_shape_add(&shape, "w", NULL, 0, NULL), 0);
    read_config((struct span){(const uint8_t *)config, sizeof config - 1}, &c);
    struct fed_session session = {.n_params = 1, .n_tensors = 1, .shape = &shape, .metadata = metadata};
    assert_int_equal(fed_check_metadata(metadata, &why), 0);
    for (uint32_t node = 1; node <= 2; node++) {
        json_t *document = fed_assignment_write(&c, node, &session);
        char *text = json_dumps(document, 0); /* as it is posted: without zero bytes */
        json_decref(document);
        document = json_parse((struct span){(const uint8_t *)text, strlen(text)}, "POST /config", &why);
        assert_int_equal(fed_assignment_read(document, &a, &why), 0);
        assert_true((a.metadata == NULL) == (a.self.type == FED_SWITCH));
        if (a.metadata != NULL) {
            char *sent = json_dumps(metadata, 0), *found = json_dumps(a.metadata, 0);
            assert_string_equal(found, sent);
            free(sent);
            free(found);
        }
        fed_assignment_release(&a);
        json_t *in_session = json_object_get(document, "session");
        for (const char *const *bad = (const char *const[]){"", "?", "W10=", "eyJhIjoxfQ==", NULL}; *bad != NULL; bad++) {
            json_object_set_new(in_session, "metadata", json_string(*bad)); /* [], {"a":1} */
            assert_int_equal(fed_assignment_read(document, &a, &why), CAIRN_ERR_CONFIG);
            assert_non_null(strstr(why.what, "session.metadata"));
        }
        json_decref(document);
        free(text);
    }
    char *large = calloc(FED_MOST_METADATA + 1, 1);
    memset(large, 'x', FED_MOST_METADATA - strlen("{\"a\": \"\"}"));
    json_object_clear(metadata);
    json_object_set_new(metadata, "a", json_string(large));
    assert_int_equal(fed_check_metadata(metadata, &why), 0);
    large[strlen(large)] = 'x';
    json_object_set_new(metadata, "a", json_string(large));
    assert_int_equal(fed_check_metadata(metadata, &why), CAIRN_ERR_DATA);
    assert_non_null(strstr(why.what, "262145 bytes"));
    json_t *document = fed_assignment_write(&c, 2, &session);
    assert_int_equal(fed_assignment_read(document, &a, &why), CAIRN_ERR_CONFIG);
    json_decref(document);
    assert_int_equal(fed_check_metadata(NULL, &why), 0);
    free(large);
    json_decref(metadata);
    model_shape_release(&shape);
    fed_config_release(&c);
}

static void test_assignment__other_documents(void **state)
{
    (void)state;
    static const char *const texts[] = {"[]", "null", "7", "{}", "{\"type\": \"client\"}", "\"x\""};
    struct fed_assignment a;
    struct cairn_problem why;
    assert_int_equal(fed_assignment_read(NULL, &a, &why), CAIRN_ERR_CONFIG);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        json_t *document = json_loads(texts[i], JSON_DECODE_ANY, NULL);
        assert_int_equal(fed_assignment_read(document, &a, &why), CAIRN_ERR_CONFIG);
        json_decref(document);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_assignment__round_trip),
        cmocka_unit_test(test_assignment__seed_form),
        cmocka_unit_test(test_assignment__refusals),
        cmocka_unit_test(test_assignment__commands),
        cmocka_unit_test(test_assignment__metadata),
        cmocka_unit_test(test_assignment__other_documents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
