/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cairn check: everything that can be said of a config before it runs. The document is built first;
 * what is printed for people comes from it, so the two never say different things.
 */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "estimate.h"
#include "json.h"
#include "liveness.h"
#include "loopback.h"
#include "sampling.h"
#include "shares.h"
#include "table.h"

#define SECURITY_SOURCE                                                                            \
    "lattice-estimator under the MATZOV cost model; margin to the limits of ePrint 2024/463"

static json_t *finite_or_null(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *make_parameters(const struct estimate *e)
{
    const struct he_params *he = &e->plan.he;
    bool encrypted = he->profile != HE_NONE;
    json_t *p = json_pack("{s:s, s:s, s:i, s:i, s:I, s:I}", "id", he->id, "profile",
                          he_profile_name(he->profile), "value_bits", (int)he->value_bits, "lanes",
                          (int)he->lanes, "contributors", (json_int_t)he->max_contributors,
                          "most_contributors", (json_int_t)e->most_contributors);
    (void)json_object_set_new(p, "bits_per_param",
                              json_real(8 * (double)e->stream_bytes / (double)e->plan.n_params));
    (void)json_object_set_new(p, "failure_log2", finite_or_null(he->failure_log2));
    if (encrypted) {
        (void)json_object_set_new(p, "ring_degree", json_integer((json_int_t)he->degree));
        (void)json_object_set_new(p, "modulus", json_integer((json_int_t)he->modulus));
        (void)json_object_set_new(p, "security_bits", json_real(he->security_bits));
        (void)json_object_set_new(p, "security_margin_bits", json_real(he->security_margin_bits));
        (void)json_object_set_new(p, "security_source", json_string(SECURITY_SOURCE));
    }
    return p;
}

/* What encryption.only lets go in plain, and what that saves. */
static json_t *make_in_plain(const struct estimate *e)
{
    const size_t encrypted = e->plan.n_params - e->plan.n_plain;
    json_t *names = json_array();
    for (size_t t = 0; e->plan.n_plain > 0 && t < e->shape.n_tensors; t++) {
        if (e->shape.tensors[t].offset >= encrypted) {
            (void)json_array_append_new(names, json_string(e->shape.tensors[t].name));
        }
    }
    return json_pack("{s:I, s:o, s:I}", "params", (json_int_t)e->plan.n_plain, "tensors", names,
                     "bytes_saved", (json_int_t)e->all_encrypted_bytes - (json_int_t)e->stream_bytes);
}

static bool folds(const struct fed_node *node)
{
    return node->type != FED_CLIENT && !node->dumb;
}

/* What a node that adds up goes by. Its quorum is of the clients below it that a round has chosen, at least one. */
static void add_round_rules(json_t *node, const struct estimate *e, const struct fed_config *config,
                            uint32_t number)
{
    const struct fed_settings *s = &config->settings;
    const struct fed_tree *tree = &config->tree;
    const uint32_t size = fed_sample_size(s, tree->n_clients);
    const struct fed_sample_range chosen =
        fed_sample_range(s, tree->n_clients, fed_tree_clients_below(tree, number));
    json_t *rules = json_pack(
        "{s:I, s:I, s:f, s:f, s:I, s:I}", "fewest_quorum", (json_int_t)fed_quorum(s, size, chosen.fewest),
        "quorum", (json_int_t)fed_quorum(s, size, chosen.most), "deadline_s", fed_deadline_s(s, tree->nodes[number].depth), "grace_s",
        fed_grace_s(s, fed_tree_height(tree, number)), "window_frames", (json_int_t)e->window,
        "window_bytes", (json_int_t)(e->window * (uint64_t)fed_plan_frame_bytes(&e->plan)));
    (void)json_object_update(node, rules);
    json_decref(rules);
}

static json_t *make_nodes(const struct estimate *e, const struct fed_config *config)
{
    const struct fed_tree *tree = &config->tree;
    json_t *nodes = json_array();
    for (uint32_t i = 0; i < tree->n_nodes; i++) {
        const struct fed_node *n = &tree->nodes[i];
        struct estimate_bytes bytes = estimate_traffic(e, tree, i);
        json_t *node = json_pack(
            "{s:s, s:s, s:I, s:I, s:I}", "address", n->address, "role", fed_type_name(n->type),
            "byte_received_per_round", (json_int_t)bytes.received, "byte_send_per_round",
            (json_int_t)bytes.sent, "memory_bytes", (json_int_t)estimate_memory(e, tree, i));
        if (n->type != FED_AGGREGATOR) {
            (void)json_object_set_new(node, "parent", json_string(tree->nodes[n->parent].address));
        }
        if (n->type == FED_SWITCH) {
            (void)json_object_set_new(node, "dumb", json_boolean(n->dumb));
        }
        if (folds(n)) {
            add_round_rules(node, e, config, i);
        }
        if (n->type == FED_CLIENT) {
            (void)json_object_set_new(node, "index", json_integer((json_int_t)n->index));
            (void)json_object_set_new(node, "client_number",
                                      json_integer((json_int_t)n->client_number));
        }
        (void)json_array_append_new(nodes, node);
    }
    return nodes;
}

/* The nodes that add up at one depth: how many there are, and the longest grace among them, for it
 * hangs on what is below. @return NULL when there is none */
static json_t *make_level(const struct fed_config *config, uint32_t depth, bool *deeper)
{
    const struct fed_tree *tree = &config->tree;
    json_int_t n = 0;
    double grace_s = 0;
    *deeper = false;
    for (uint32_t i = 0; i < tree->n_nodes; i++) {
        *deeper = *deeper || tree->nodes[i].depth > depth;
        if (tree->nodes[i].depth == depth && folds(&tree->nodes[i])) {
            grace_s = fmax(grace_s, fed_grace_s(&config->settings, fed_tree_height(tree, i)));
            n++;
        }
    }
    return n == 0 ? NULL
                  : json_pack("{s:I, s:I, s:f, s:f}", "depth", (json_int_t)depth, "nodes", n,
                              "deadline_s", fed_deadline_s(&config->settings, depth), "grace_s",
                              grace_s);
}

static json_t *make_round(const struct fed_config *config)
{
    const struct fed_settings *s = &config->settings;
    json_t *levels = json_array();
    bool deeper = true;
    for (uint32_t depth = 0; deeper; depth++) {
        json_t *level = make_level(config, depth, &deeper);
        if (level) {
            (void)json_array_append_new(levels, level);
        }
    }
    const uint32_t size = fed_sample_size(s, config->tree.n_clients);
    const uint32_t quorum = fed_quorum(s, size, size);
    return json_pack("{s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:o}", "clients", (json_int_t)size, "quorum",
                     (json_int_t)quorum,
                     "fewest_contributors",
                     (json_int_t)(quorum > s->privacy_floor ? quorum : s->privacy_floor),
                     "start_timeout_s", s->start_timeout_s, "heartbeat_s", s->heartbeat_s,
                     "suspect_s", FED_SUSPECT_HEARTBEATS * s->heartbeat_s, "dead_s",
                     FED_DEAD_HEARTBEATS * s->heartbeat_s, "levels", levels);
}

/* Rounds that the client who is chosen most often takes part in. */
static uint32_t most_rounds(const struct fed_config *config)
{
    uint32_t rounds[FED_MAX_CLIENTS] = {0}, most = 0;
    struct fed_sample sample;
    for (uint32_t round = 1; round <= config->iterations; round++) {
        fed_sample_choose(&config->settings, config->tree.n_clients, round, &sample);
        for (uint32_t k = 0; k < config->tree.n_clients; k++) {
            rounds[k] += fed_sample_has(&sample, k);
            most = rounds[k] > most ? rounds[k] : most;
        }
    }
    return most;
}

/* What the whole run costs a client's privacy, with as many in every sum as expected, and with as few as are opened. */
static json_t *make_privacy(const struct estimate *e, const struct fed_config *config)
{
    const struct fed_settings *s = &config->settings;
    const struct fed_privacy *p = &e->privacy;
    const uint32_t size = fed_sample_size(s, config->tree.n_clients);
    const uint32_t quorum = fed_quorum(s, size, size);
    const uint32_t fewest = quorum > s->privacy_floor ? quorum : s->privacy_floor;
    const uint32_t rounds = p->noise ? most_rounds(config) : 0;
    if (!p->noise) {
        return json_pack("{s:f, s:f}", "clip_norm", s->clip_norm, "noise_multiplier", 0.0);
    }
    return json_pack(
        "{s:f, s:f, s:f, s:I, s:f, s:I, s:f, s:I, s:f}", "clip_norm", s->clip_norm,
        "noise_multiplier", s->noise_multiplier, "delta", p->delta, "expected_contributors",
        (json_int_t)p->expected, "epsilon",
        fed_privacy_epsilon(rounds * fed_privacy_rho(p, p->expected), p->delta),
        "fewest_contributors", (json_int_t)fewest, "epsilon_of_fewest",
        fed_privacy_epsilon(rounds * fed_privacy_rho(p, fewest), p->delta),
        "steps_of_clip_norm", (json_int_t)p->scale, "client_noise_deviation",
        p->step * sqrt((double)p->variance));
}

/* Settings as {"train.batch": {"value": 32, "default": true}, ...}. */
static void add_settings(json_t *into, const json_t *effective, const json_t *written,
                         const char *prefix)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)effective, key, value)
    {
        char path[128];
        const json_t *own = json_object_get(written, key);
        (void)snprintf(path, sizeof path, "%s%s%s", prefix, prefix[0] ? "." : "", key);
        if (json_is_object(value)) {
            add_settings(into, value, own, path);
        } else {
            (void)json_object_set_new(
                into, path, json_pack("{s:O, s:b}", "value", value, "default", (int)(own == NULL)));
        }
    }
}

static json_t *make_settings(const struct fed_config *config, const json_t *written)
{
    json_t *effective = fed_settings_json(&config->settings);
    json_t *settings = json_object();
    add_settings(settings, effective, written, "");
    json_decref(effective);
    return settings;
}

static json_t *make_document(const struct cli *cli, const struct fed_config *config,
                             const json_t *written, const struct estimate *e)
{
    json_t *warnings = json_object_get(cli->details, "faults");
    return json_pack(
        "{s:b, s:s, s:I, s:I, s:I, s:I, s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o, "
        "s:I, s:o}",
        "valid", 1, "experiment", config->settings.experiment, "rounds",
        (json_int_t)config->iterations, "clients", (json_int_t)config->tree.n_clients, "switches",
        (json_int_t)config->tree.n_switches, "params", (json_int_t)e->plan.n_params,
        "params_source", e->shape_source, "parameters", make_parameters(e), "frames",
        (json_int_t)e->plan.n_frames, "upload_bytes_per_client_round", (json_int_t)e->stream_bytes,
        "float32_bytes", (json_int_t)e->plan.n_params * 4, "model_message_bytes",
        (json_int_t)e->model_bytes, "privacy_floor", (json_int_t)config->settings.privacy_floor,
        "privacy", make_privacy(e, config), "round", make_round(config), "nodes", make_nodes(e, config), "settings",
        make_settings(config, written), "warnings",
        warnings ? json_incref(warnings) : json_array(), "params_at_home", (json_int_t)e->at_home,
        "in_plain", make_in_plain(e));
}

/* ---- for people ---- */

enum { MOST_DEPTH = 32 }; /* of what is drawn; deeper nodes are drawn at this depth */

static void describe(const struct fed_tree *tree, uint32_t node)
{
    const struct fed_node *n = &tree->nodes[node];
    printf("%s  %s", n->address, fed_type_name(n->type));
    if (n->type == FED_SWITCH) {
        printf(", %s, %u clients below", n->dumb ? "dumb: passes on" : "folding: adds up",
               (unsigned)fed_tree_clients_below(tree, node));
    } else if (n->type == FED_CLIENT) {
        printf(", slice %u of 0..%u", (unsigned)n->index, (unsigned)n->client_number - 1);
    }
    printf("\n");
}

/* open[d]: does the node at depth d have younger siblings, so that its line goes on downwards? */
static void print_tree(const struct fed_tree *tree, uint32_t node, bool open[MOST_DEPTH],
                       unsigned depth)
{
    const struct fed_node *n = &tree->nodes[node];
    for (unsigned d = 1; d < depth; d++) {
        printf("%s", open[d] ? "|  " : "   ");
    }
    printf("%s", depth == 0 ? "" : open[depth] ? "|- " : "`- ");
    describe(tree, node);
    for (uint32_t i = 0; i < n->n_children; i++) {
        unsigned below = depth + 1 < MOST_DEPTH ? depth + 1 : depth;
        open[below] = i + 1 < n->n_children;
        print_tree(tree, tree->children[n->first_child + i], open, below);
    }
}

static bool is_ckks(const json_t *parameters)
{
    return strcmp(json_get_text(parameters, "profile", ""), he_profile_name(HE_SEAL_CKKS)) == 0;
}

/* Where values stand, and how many clients fit. */
static void print_room(const json_t *p)
{
    const long long lanes = json_get_int(p, "lanes", 0), bits = json_get_int(p, "value_bits", 0);
    const long long most = json_get_int(p, "most_contributors", 0);
    const long long clients = json_get_int(p, "contributors", 0);
    if (is_ckks(p)) {
        printf("slots            one value of %lld bits a slot, %lld slots a ciphertext of %lld "
               "coefficients; sums of up to %lld clients are opened\n",
               bits, json_get_int(p, "ring_degree", 0) / 2, json_get_int(p, "ring_degree", 0),
               clients);
        return;
    }
    printf("lanes            %lld value%s of %lld bits a coefficient; a lane holds the sum of %lld "
           "clients, this config has %lld\n", lanes, lanes == 1 ? "" : "s", bits, most, clients);
}

static void print_failure(const json_t *p)
{
    if (json_is_number(json_object_get(p, "failure_log2"))) {
        printf("wrong sum        less likely than 2^%.0f per opening\n",
               json_get_number(p, "failure_log2", 0));
    } else {
        printf("wrong sum        cannot happen: honest noise ends below half of the step between "
               "two sums\n");
    }
}

/* Names of tensors, as many as a line holds. */
static void print_tensors(const json_t *names)
{
    enum { MOST = 4 };
    const size_t n = json_array_size(names);
    for (size_t i = 0; i < n && i < MOST; i++) {
        printf("%s%s", i == 0 ? "" : ", ", json_string_value(json_array_get(names, i)));
    }
    if (n > MOST) {
        printf(" and %zu more", n - MOST);
    }
}

static void print_in_plain(const json_t *document)
{
    const json_t *in_plain = json_object_get(document, "in_plain");
    const long long params = json_get_int(in_plain, "params", 0);
    const long long saved = json_get_int(in_plain, "bytes_saved", 0);
    const long long upload = json_get_int(document, "upload_bytes_per_client_round", 0);
    char bytes[CLI_BYTES_SIZE];
    if (params == 0) {
        return;
    }
    printf("IN PLAIN         %lld of %lld parameters, %.1f %% (encryption.only): ", params,
           json_get_int(document, "params", 0),
           100 * (double)params / (double)json_get_int(document, "params", 1));
    print_tensors(json_object_get(in_plain, "tensors"));
    printf("\n                 switches and the network can read each client's own update of them; that "
           "%s %s, %.1f %% of the upload\n",
           saved < 0 ? "costs" : "saves", cli_bytes((uint64_t)llabs(saved), bytes),
           100 * (double)llabs(saved) / (double)(upload + saved));
}

static void print_parameters(const json_t *document)
{
    const json_t *p = json_object_get(document, "parameters");
    char upload[CLI_BYTES_SIZE], plain[CLI_BYTES_SIZE];
    printf("\nmodel            %lld parameters (%s), in %lld frame%s\n",
           json_get_int(document, "params", 0), json_get_text(document, "params_source", "?"),
           json_get_int(document, "frames", 0),
           json_get_int(document, "frames", 0) == 1 ? "" : "s");
    if (json_get_int(document, "params_at_home", 0) > 0) {
        printf("stays at home    %lld more parameters, which no client sends (model.include, "
               "model.exclude)\n",
               json_get_int(document, "params_at_home", 0));
    }
    printf("parameter set    %s\n", json_get_text(p, "id", "?"));
    print_room(p);
    if (json_object_get(p, "security_bits")) {
        printf("security         %.1f bits, %.1f bits of modulus below the 128-bit limit (%s)\n",
               json_get_number(p, "security_bits", 0),
               json_get_number(p, "security_margin_bits", 0),
               json_get_text(p, "security_source", ""));
        print_failure(p);
        printf("who can read     the aggregator holds the key and opens sums; switches and the "
               "network "
               "see ciphertexts on the way up, and the averaged model on its way down\n");
        print_in_plain(document);
    } else {
        printf("security         NONE: updates travel in the clear (encryption.profile is none)\n");
    }
    printf("upload           %s per client and round, %.2f bits a parameter; float32 would be "
           "%s\n",
           cli_bytes((uint64_t)json_get_int(document, "upload_bytes_per_client_round", 0), upload),
           json_get_number(p, "bits_per_param", 0),
           cli_bytes((uint64_t)json_get_int(document, "float32_bytes", 0), plain));
}

/* "none", for a level that waits for every live client */
static void grace_cell(struct table *table, double grace_s)
{
    if (grace_s > 0) {
        table_cell(table, "%.6g s", grace_s);
    } else {
        table_cell(table, "none");
    }
}

static void print_levels(const json_t *levels)
{
    struct table table = {.columns = 4};
    size_t k;
    const json_t *level;
    table_cells(&table, "adding up", "nodes", "deadline", "grace", NULL);
    json_array_foreach(levels, k, level)
    {
        const long long depth = json_get_int(level, "depth", 0);
        if (depth == 0) {
            table_cell(&table, "aggregator");
        } else {
            table_cell(&table, "switches at depth %lld", depth);
        }
        table_cell(&table, "%lld", json_get_int(level, "nodes", 0));
        table_cell(&table, "%.6g s", json_get_number(level, "deadline_s", 0));
        grace_cell(&table, json_get_number(level, "grace_s", 0));
    }
    table_print(&table, stdout);
}

static void print_privacy(const json_t *p)
{
    if (json_get_number(p, "clip_norm", 0) > 0) {
        printf("clipping         an update longer than %g is scaled down to that\n",
               json_get_number(p, "clip_norm", 0));
    }
    if (json_get_number(p, "noise_multiplier", 0) == 0) {
        printf("noise            none: the mean of a round's updates is told as it is\n");
        return;
    }
    printf("noise            %g times that on each parameter of a sum of %lld clients, each with its "
           "share of deviation %.3g\n",
           json_get_number(p, "noise_multiplier", 0), json_get_int(p, "expected_contributors", 0),
           json_get_number(p, "client_noise_deviation", 0));
    printf("privacy          epsilon %.3f at delta %g after all rounds, and %.3f if every sum has "
           "only %lld clients\n",
           json_get_number(p, "epsilon", 0), json_get_number(p, "delta", 0),
           json_get_number(p, "epsilon_of_fewest", 0), json_get_int(p, "fewest_contributors", 0));
}

static void print_round(const json_t *document)
{
    const json_t *round = json_object_get(document, "round");
    const long long quorum = json_get_int(round, "quorum", 0);
    const long long floor = json_get_int(document, "privacy_floor", 0);
    printf("\nprivacy floor    sums of fewer than %lld clients are not opened\n", floor);
    printf("clients a round  %lld of %lld\n", json_get_int(round, "clients", 0),
           json_get_int(document, "clients", 0));
    printf("quorum           %lld of %lld clients; sums of fewer leave the model as it is%s\n",
           quorum, json_get_int(round, "clients", 0),
           quorum < floor ? " (the privacy floor asks for more, and decides)" : "");
    printf("start            the aggregator waits %.6g s for its nodes\n",
           json_get_number(round, "start_timeout_s", 0));
    printf("signs of life    every %.6g s; after %.6g s of silence a child is suspect, after %.4g "
           "s no "
           "longer waited for\n",
           json_get_number(round, "heartbeat_s", 0), json_get_number(round, "suspect_s", 0),
           json_get_number(round, "dead_s", 0));
    printf("a round ends     when all who live have delivered, or the quorum has and its grace is "
           "over, or at the deadline\n");
    print_levels(json_object_get(round, "levels"));
}

/* How far children may run ahead: only nodes that add up hold sums. */
static void window_cell(struct table *table, const json_t *node)
{
    const long long frames = json_get_int(node, "window_frames", 0);
    char bytes[CLI_BYTES_SIZE];
    if (frames == 0) {
        table_cell(table, "-");
        return;
    }
    table_cell(table, "%lld frame%s, %s", frames, frames == 1 ? "" : "s",
               cli_bytes((uint64_t)json_get_int(node, "window_bytes", 0), bytes));
}

static void print_nodes(const json_t *document)
{
    struct table table = {.columns = 6};
    printf("\n");
    table_cells(&table, "node", "role", "in per round", "out per round", "window", "memory about",
                NULL);
    size_t k;
    const json_t *node;
    json_array_foreach(json_object_get(document, "nodes"), k, node)
    {
        char in[CLI_BYTES_SIZE], out[CLI_BYTES_SIZE], memory[CLI_BYTES_SIZE];
        table_cell(&table, "%s", json_get_text(node, "address", "?"));
        table_cell(&table, "%s", json_get_text(node, "role", "?"));
        table_cell(&table, "%s",
                   cli_bytes((uint64_t)json_get_int(node, "byte_received_per_round", 0), in));
        table_cell(&table, "%s",
                   cli_bytes((uint64_t)json_get_int(node, "byte_send_per_round", 0), out));
        window_cell(&table, node);
        table_cell(&table, "%s",
                   cli_bytes((uint64_t)json_get_int(node, "memory_bytes", 0), memory));
    }
    table_print(&table, stdout);
    printf("(memory: at its peak, with everything on its way that can be; a trainer's program takes its own)\n");
}

static void print_settings(const json_t *document)
{
    const char *key;
    json_t *setting;
    printf("\nsettings\n");
    json_object_foreach(json_object_get(document, "settings"), key, setting)
    {
        /* 15 digits are what a double holds of a decimal fraction: 0.1, not 0.10000000000000001 */
        char *value = json_dumps(json_object_get(setting, "value"),
                                 JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15));
        printf("  %-24s %s%s\n", key, value ? value : "?",
               json_get_bool(setting, "default", 0) ? "  (default)" : "");
        free(value);
    }
}

static void print_document(const json_t *document, const struct fed_config *config)
{
    const struct fed_tree *tree = &config->tree;
    bool open[MOST_DEPTH] = {false};
    printf("experiment %s: valid; %lld rounds, %lld clients, %lld switches\n\n",
           json_get_text(document, "experiment", "?"), json_get_int(document, "rounds", 0),
           json_get_int(document, "clients", 0), json_get_int(document, "switches", 0));
    print_tree(tree, 0, open, 0);
    print_parameters(document);
    print_privacy(json_object_get(document, "privacy"));
    print_round(document);
    print_nodes(document);
    shares_print(json_object_get(document, "shares"), &config->settings);
    print_settings(document);
    if (json_array_size(json_object_get(document, "warnings")) > 0) {
        printf("\n%zu warning(s), see above\n",
               json_array_size(json_object_get(document, "warnings")));
    }
}

/* Nodes at loopback addresses share this machine, and it may be too small for them. */
static void warn_of_memory(struct cli *cli, const char *path, const struct fed_config *config,
                           const struct estimate *e)
{
    const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    uint64_t here = 0;
    for (uint32_t i = 0; i < config->tree.n_nodes; i++) {
        here += loopback_has(&config->tree.nodes[i]) ? estimate_memory(e, &config->tree, i) : 0;
    }
    if (pages <= 0 || page <= 0 || here <= (uint64_t)pages * (uint64_t)page) {
        return;
    }
    struct fed_fault fault = {.warning = true};
    char needed[CLI_BYTES_SIZE], there[CLI_BYTES_SIZE];
    (void)snprintf(fault.text, sizeof fault.text,
                   "the nodes at loopback addresses take about %s together, and this machine has "
                   "%s; make the model or the number of clients smaller",
                   cli_bytes(here, needed), cli_bytes((uint64_t)pages * (uint64_t)page, there));
    cli_tell_fault(cli, path, &fault);
}

static int check(struct cli *cli, const char *path, const struct fed_config *config,
                 const json_t *written, const char *data_dir, struct cairn_problem *why)
{
    struct estimate e;
    int error = estimate_init(&e, config, data_dir, why);
    if (error) {
        return error;
    }
    warn_of_memory(cli, path, config, &e);
    json_t *document = make_document(cli, config, written, &e);
    json_t *shares = NULL;
    error = document ? shares_make(config, data_dir, &shares, why) : cli_no_memory(why);
    if (!error) {
        (void)json_object_set_new(document, "shares", shares);
        if (cli->json) {
            error = cli_print_json(cli, json_incref(document), why);
        } else {
            print_document(document, config);
        }
    }
    json_decref(document);
    estimate_release(&e);
    return error;
}

int cmd_check(struct cli *cli, int argc, char **argv, struct cairn_problem *why)
{
    const char *data_dir = NULL;
    const struct cli_option list[] = {
        {"data-dir", CLI_TEXT, "DIR", "the data set's folder; default: the config's data.dir",
         &data_dir, 0, 0},
    };
    int error = cli_parse(cli, &argc, &argv, list, 1, 1, 1, why);
    if (error) {
        return error;
    }
    struct buf text = {0};
    struct fed_config config = {0};
    error = cli_read_config(cli, argv[0], &text, &config, why);
    if (!error) {
        json_t *written = cli_config_document(buf_span(&text), argv[0], why);
        error = written ? check(cli, argv[0], &config, written,
                                data_dir ? data_dir : config.settings.data_dir, why) : CAIRN_ERR_CONFIG;
        json_decref(written);
        fed_config_release(&config);
    }
    buf_release(&text);
    return error;
}
