/* SPDX-License-Identifier: Apache-2.0 */
#include "summary.h"

#include <math.h>

#include "digest.h"
#include "json.h"
#include "privacy.h"
#include "roundlog.h"

static void add_durations(json_t *node, const json_t *entries)
{
    for (size_t i = 0; i < ROUNDLOG_DURATIONS; i++) {
        double seconds = 0;
        size_t k;
        const json_t *entry;
        json_array_foreach(entries, k, entry)
        {
            seconds += json_get_number(entry, roundlog_durations[i], 0);
        }
        json_object_set_new(node, roundlog_durations[i], json_real(seconds));
    }
}

static void add_node(json_t *nodes, const json_t *log)
{
    const json_t *entries = json_object_get(log, "iteration");
    json_t *node = json_pack("{s:s, s:s, s:I, s:I, s:f, s:I, s:I}", "address",
                             json_get_text(log, "address", ""), "role",
                             json_get_text(log, "role", ""), "byte_send",
                             (json_int_t)json_get_int(log, "byte_send", 0), "byte_received",
                             (json_int_t)json_get_int(log, "byte_received", 0), "cpu_s",
                             json_get_number(log, "cpu_s", 0), "peak_rss_bytes",
                             (json_int_t)json_get_int(log, "peak_rss_bytes", 0), "rounds",
                             (json_int_t)json_array_size(entries));
    add_durations(node, entries);
    json_array_append_new(nodes, node);
}

/* Mean bytes that a client sends in a round, over those whose logs came in. */
static double upload_per_client_round(const struct run_result *r)
{
    double bytes = 0;
    size_t rounds = 0;
    for (uint32_t i = 1; i < r->config->tree.n_nodes; i++) {
        if (r->config->tree.nodes[i].type != FED_CLIENT || r->logs[i] == NULL) {
            continue;
        }
        size_t k;
        const json_t *entry;
        json_array_foreach(json_object_get(r->logs[i], "iteration"), k, entry)
        {
            bytes += (double)json_get_int(entry, "byte_send", 0);
            rounds++;
        }
    }
    return rounds == 0 ? 0 : bytes / (double)rounds;
}

static bool any_switch_folds(const struct fed_tree *tree)
{
    for (uint32_t i = 1; i < tree->n_nodes; i++) {
        if (tree->nodes[i].type == FED_SWITCH && !tree->nodes[i].dumb) {
            return true;
        }
    }
    return false;
}

static void set_or_null(json_t *object, const char *key, bool known, double value)
{
    json_object_set_new(object, key, known && isfinite(value) ? json_real(value) : json_null());
}

static json_t *make_nodes(const struct run_result *r)
{
    json_t *nodes = json_array();
    for (uint32_t i = 0; i < r->config->tree.n_nodes; i++) {
        if (r->logs[i] != NULL) {
            add_node(nodes, r->logs[i]);
        }
    }
    return nodes;
}

json_t *run_summary(const struct run_result *r)
{
    const struct fed_settings *s = &r->config->settings;
    const struct he_params *he = &r->plan->he;
    uint8_t digest[DIGEST_SIZE];
    char hex[DIGEST_HEX_SIZE];
    digest_of(r->model, r->plan->n_params * sizeof(float), digest);
    digest_hex(digest, DIGEST_SIZE, hex);
    const double upload = upload_per_client_round(r);
    const bool encrypted = s->profile != HE_NONE;
    json_t *doc = json_pack(
        "{s:s, s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:s, s:f, s:I, s:I, s:f}", "experiment",
        s->experiment, "profile", he_profile_name(s->profile), "key_holder",
        encrypted ? "aggregator" : "none", "in_network", (int)any_switch_folds(&r->config->tree),
        "clients", (json_int_t)r->config->tree.n_clients, "switches",
        (json_int_t)r->config->tree.n_switches, "rounds", (json_int_t)r->rounds, "params",
        (json_int_t)r->plan->n_params, "value_bits", (json_int_t)s->value_bits, "model_digest", hex,
        "bits_per_param", 8 * upload / (double)r->plan->n_params, "upload_bytes_per_client_round",
        (json_int_t)llround(upload), "float32_bytes",
        (json_int_t)sizeof(float) * (json_int_t)r->plan->n_params, "wall_s", r->wall_s);
    if (doc == NULL) {
        return NULL;
    }
    const bool evaluated = r->metrics.samples > 0;
    const bool counted = evaluated && !r->metrics.no_classes;
    set_or_null(doc, "accuracy", counted,
                counted ? (double)r->metrics.correct / (double)r->metrics.samples : 0);
    set_or_null(doc, "loss", evaluated, r->metrics.loss);
    set_or_null(doc, "failure_log2", isfinite(he->failure_log2), he->failure_log2);
    set_or_null(doc, "security_bits", encrypted, he->security_bits);
    if (r->privacy->noise) {
        json_object_set_new(doc, "privacy",
                            json_pack("{s:f, s:f, s:f, s:f}", "epsilon", r->epsilon, "delta",
                                      r->privacy->delta, "clip_norm", s->clip_norm,
                                      "noise_multiplier", s->noise_multiplier));
    }
    json_object_set_new(doc, "parameters", json_string(he->id));
    json_object_set_new(doc, "params_in_plain", json_integer((json_int_t)fed_plan_in_plain(r->plan)));
    json_object_set_new(doc, "nodes", make_nodes(r));
    return doc;
}
