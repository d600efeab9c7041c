/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader of configs and of assignments. The first byte chooses: even, a config.json; odd, the
 * document of an assignment.
 */
#include <string.h>

#include "config.h"
#include "config_doc.h"
#include "fuzz.h"

enum { ASSIGNMENT = 1 };

static const char seed_config[] =
    "{\"aggregator\": {\"iteration\": 10, \"ip\": \"10.0.0.1\", \"receive\": [\"s\"]}, \"seed\": "
    "7,\n"
    "\"train\": {\"epochs\": 2, \"learning_rate\": 1e-1}, \"model\": {\"layers\": [4, 3, 2]},\n"
    "\"encryption\": {\"profile\": \"none\"}, \"round\": {\"privacy_floor\": 1},\n"
    "\"others\": {\"s\": {\"type\": \"switch\", \"receive\": [\"[::1]:80\"], \"send\": "
    "\"10.0.0.1\", "
    "\"dumb\": true, \"key\": \"\\u00e4\"},\n"
    "\"[::1]:80\": {\"type\": \"client\", \"client_number\": 1, \"index\": 0, \"send\": \"s\"}}}\n";

/* Every node of a config that was read can be told, and reads what it is told. */
static void check_assignments(const struct fed_config *config)
{
    static const uint8_t key[] = {1, 2, 3};
    struct fed_session session = {.n_params = 1, .n_tensors = 1};
    if (config->settings.profile != HE_NONE) {
        session.public_key = (struct span){.data = key, .size = sizeof key};
    }
    for (uint32_t i = 1; i < config->tree.n_nodes; i++) {
        struct fed_assignment a;
        struct cairn_problem why;
        json_t *document = fed_assignment_write(config, i, &session);
        FUZZ_REQUIRE(document != NULL);
        FUZZ_REQUIRE(fed_assignment_read(document, &a, &why) == 0);
        FUZZ_REQUIRE(a.node == i && a.n_clients == config->tree.n_clients);
        fed_assignment_release(&a);
        json_decref(document);
    }
}

static void run_config(struct span text)
{
    struct fed_config config;
    struct fed_faults faults;
    int err = fed_config_read("fuzz.json", text, &config, &faults);
    FUZZ_REQUIRE(err == 0 || err == CAIRN_ERR_CONFIG);
    FUZZ_REQUIRE((err == 0) == (faults.n_errors == 0));
    for (size_t i = 0; i < faults.n; i++) {
        const struct fed_fault *fault = &faults.list[i];
        FUZZ_REQUIRE(fault->line >= 1 && fault->column >= 1 && fault->text[0] != '\0');
        FUZZ_REQUIRE(i == 0 || fault->line >= fault[-1].line);
        json_t *utf8 = json_string(fault->text);
        FUZZ_REQUIRE(utf8 != NULL);
        json_decref(utf8);
    }
    if (err == 0) {
        check_assignments(&config);
        fed_config_release(&config);
    }
    fed_faults_release(&faults);
}

/* The scanner has its own idea of the grammar. What jansson takes it must take, but for depth and
 * zero bytes, at which jansson ends. */
static void compare_with_jansson(struct span text)
{
    struct config_doc doc;
    struct config_syntax syntax = {0};
    json_error_t error;
    if (memchr(text.data, '\0', text.size) != NULL) {
        return;
    }
    json_t *json = json_loadb((const char *)text.data, text.size, JSON_DECODE_ANY, &error);
    int err = config_doc_read(text, &doc, &syntax);
    FUZZ_REQUIRE(json == NULL || err == 0 || strstr(syntax.text, "nested deeper") != NULL);
    FUZZ_REQUIRE(json == NULL || err != 0 || json_equal(json, doc.root));
    if (err == 0) {
        config_doc_release(&doc);
    }
    json_decref(json);
}

static void run_assignment(struct span text)
{
    struct fed_assignment a;
    struct cairn_problem why;
    json_t *document = json_loadb((const char *)text.data, text.size,
                                  JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
    if (document != NULL && fed_assignment_read(document, &a, &why) == 0) {
        FUZZ_REQUIRE(a.self.type == FED_CLIENT || a.n_children > 0);
        FUZZ_REQUIRE(a.n_clients >= 1 && a.settings.privacy_floor <= a.n_clients);
        fed_assignment_release(&a);
    }
    json_decref(document);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct span text = {.data = data + 1, .size = size - 1};
    if (data[0] & ASSIGNMENT) {
        run_assignment(text);
    } else {
        run_config(text);
        compare_with_jansson(text);
    }
    return 0;
}

/* The document of node `node` of the seed config. */
static size_t assignment_text(uint32_t node, char *out, size_t capacity)
{
    struct fed_config config;
    struct fed_faults faults;
    struct fed_session session = {.n_params = 1, .n_tensors = 1};
    struct span text = {.data = (const uint8_t *)seed_config, .size = sizeof seed_config - 1};
    FUZZ_REQUIRE(fed_config_read("seed.json", text, &config, &faults) == 0);
    json_t *document = fed_assignment_write(&config, node, &session);
    size_t size = json_dumpb(document, out, capacity, 0);
    json_decref(document);
    fed_config_release(&config);
    fed_faults_release(&faults);
    return size;
}

size_t fuzz_seed_input(unsigned which, uint8_t *out, size_t capacity)
{
    static const char numbers[] =
        "[1e999, -0, 0.5E-3, 123456789012345678901, \"\\ud83d\\ude00\\n\", true, null]";
    static const char twice[] = "{\"a\": {\"b\": 1, \"b\": 2}, \"\\u0061\": [[], {}]}";
    FUZZ_REQUIRE(capacity >= 4096);
    out[0] = which >= 3 ? ASSIGNMENT : 0;
    switch (which) {
    case 0:
        memcpy(out + 1, seed_config, sizeof seed_config - 1);
        return sizeof seed_config;
    case 1:
        memcpy(out + 1, numbers, sizeof numbers - 1);
        return sizeof numbers;
    case 2:
        memcpy(out + 1, twice, sizeof twice - 1);
        return sizeof twice;
    case 3:
    case 4:
        return 1 + assignment_text(which - 2, (char *)out + 1, capacity - 1);
    default:
        return 0;
    }
}
