/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.json, from text to a checked value. The work is in the parts: config_scan and config_doc
 * (text and places), config_read (values, by the table in config_fields), config_tree (nodes) and
 * config_check (settings against each other). This file is the order in which they are called.
 */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "config_check.h"
#include "config_read.h"
#include "config_tree.h"
#include "problem.h"

void fed_config_release(struct fed_config *config)
{
    fed_tree_release(&config->tree);
    *config = (struct fed_config){0};
}

uint32_t fed_quorum(const struct fed_settings *settings, uint32_t n_clients, uint32_t below)
{
    /* A decimal share is off by 2^-54 of itself, so its product by less than 10^-11 for all counts
     * of clients: 0.07 of 100 is 7, not 8. */
    const double slack = 1e-9;
    const double share =
        settings->quorum < 1 ? settings->quorum : settings->quorum / (double)n_clients;
    const double clients = ceil(share * (double)below - slack);
    return clients < 1 ? 1 : (uint32_t)clients;
}

double fed_grace_s(const struct fed_settings *settings, uint32_t height)
{
    const double grace = settings->grace_s * (double)height;
    return grace < FED_LONGEST_S ? grace : FED_LONGEST_S; /* no deadline leaves more */
}

double fed_deadline_s(const struct fed_settings *settings, uint32_t depth)
{
    return settings->deadline_s * pow(FED_DEADLINE_SHARE, depth);
}

static bool read_patterns(const char *text, json_t **out)
{
    *out = text[0] == '\0' ? NULL : json_loads(text, 0, NULL);
    return text[0] == '\0' || *out != NULL;
}

int fed_share_rules(const struct fed_settings *settings, struct model_share_rules *out,
                    struct cairn_problem *why)
{
    *out = (struct model_share_rules){0};
    return read_patterns(settings->include, &out->include) &&
                   read_patterns(settings->exclude, &out->exclude) &&
                   read_patterns(settings->only, &out->only)
               ? 0
               : problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a list of patterns");
}

void fed_share_rules_release(struct model_share_rules *rules)
{
    json_decref(rules->include);
    json_decref(rules->exclude);
    json_decref(rules->only);
}

/* "runs/my first.json" -> "my-first": the file's name without folders and ending, other characters
 * than a name may have replaced. */
static void name_from_file(const char *file, char out[FED_NAME_SIZE])
{
    const char *slash = strrchr(file, '/');
    const char *start = slash != NULL ? slash + 1 : file;
    start += strspn(start, ".");
    const char *dot = strrchr(start, '.');
    size_t size = dot != NULL ? (size_t)(dot - start) : strlen(start);
    size = size < FED_NAME_SIZE ? size : FED_NAME_SIZE - 1;
    for (size_t i = 0; i < size; i++) {
        char c = start[i];
        bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '-' || c == '_' || c == '.';
        out[i] = good ? c : '-';
    }
    out[size] = '\0';
    if (size == 0) {
        snprintf(out, FED_NAME_SIZE, "experiment");
    }
}

static int read_document(struct config_reader *r, const char *name, struct fed_config *out)
{
    struct config_object root = {
        .groups = {{.fields = config_nodes}, {.fields = config_settings, .base = &out->settings}},
        .n_groups = 2};
    uint32_t n_clients = 0;
    config_defaults(config_settings, &out->settings);
    config_check_repeats(r);
    if (!json_is_object(r->doc.root)) {
        config_fault(r, 0, "a config is an object, { \"aggregator\": ..., \"others\": ... }");
        return 0;
    }
    config_read_object(r, 0, "", &root);
    if (out->settings.experiment[0] == '\0') {
        name_from_file(name, out->settings.experiment);
    }
    int err = config_tree_read(r, config_found(&root, "aggregator"), config_found(&root, "others"),
                               &out->iterations, &n_clients, &out->tree);
    if (err == 0 && n_clients > 0 && n_clients <= FED_MAX_CLIENTS) {
        config_check_settings(r, &root, &out->settings, n_clients);
    }
    return err;
}

int fed_config_read(const char *name, struct span text, struct fed_config *out,
                    struct fed_faults *faults)
{
    struct config_reader r;
    struct config_syntax syntax;
    struct fed_config config = {0};
    config_reader_init(&r);
    *faults = (struct fed_faults){0};
    int err = config_doc_read(text, &r.doc, &syntax);
    if (err == CAIRN_ERR_MALFORMED) {
        config_syntax_fault(&r, &syntax);
        err = 0;
    } else if (err == 0) {
        err = read_document(&r, name, &config);
    }
    if (r.no_memory) {
        err = CAIRN_ERR_NO_MEMORY;
    }
    if (err == 0) {
        config_faults_sort(&r.faults);
        err = r.faults.n_errors > 0 ? CAIRN_ERR_CONFIG : 0;
        *faults = r.faults;
        r.faults = (struct fed_faults){0};
    }
    if (err == 0) {
        *out = config;
    } else {
        fed_config_release(&config);
    }
    config_reader_release(&r);
    return err;
}

struct train_shape fed_train_shape(const struct fed_settings *s)
{
    return (struct train_shape){.type = s->model,
                                .layers = s->n_layers == 0 ? NULL : s->layers,
                                .n_layers = s->n_layers};
}

struct train_data fed_train_data(const struct fed_settings *s, const char *data_dir)
{
    return (struct train_data){.dir = data_dir,
                               .resize = s->resize,
                               .label = s->data_label,
                               .partition = s->partition,
                               .seed = s->seed,
                               .alpha = s->alpha,
                               .min_samples = s->min_samples,
                               .shards_per_client = s->shards_per_client};
}

struct train_builtin_options fed_train_options(const struct fed_settings *s, const char *data_dir,
                                               uint32_t client_number, uint32_t index)
{
    return (struct train_builtin_options){.data = fed_train_data(s, data_dir),
                                          .model = s->model,
                                          .layers = s->n_layers == 0 ? NULL : s->layers,
                                          .n_layers = s->n_layers,
                                          .epochs = s->epochs,
                                          .batch = s->batch,
                                          .learning_rate = (float)s->learning_rate,
                                          .momentum = (float)s->momentum,
                                          .proximal_mu = (float)s->proximal_mu,
                                          .client_number = client_number,
                                          .client_index = index};
}
