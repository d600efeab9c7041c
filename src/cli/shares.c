/* SPDX-License-Identifier: Apache-2.0 */
/* How the training rows are shared out, before anything runs. */
#include "shares.h"

#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "dataset.h"
#include "estimate.h"
#include "json.h"
#include "sizes.h"
#include "table.h"

/* All shares of one number of clients. Configs may give clients several such numbers. */
struct sharing {
    struct dataset_source source;
    size_t classes; /* 0: labels are numbers */
    uint32_t clients;
    struct dataset_share *shares; /* (clients) */
    size_t *counts;               /* (clients, classes) */
};

static void release(struct sharing *s)
{
    free(s->shares);
    free(s->counts);
    s->shares = NULL;
    s->counts = NULL;
    s->clients = 0;
}

static int share_among(struct sharing *s, uint32_t clients, struct cairn_problem *why)
{
    size_t cells = 0;
    release(s);
    s->shares = calloc(clients, sizeof *s->shares);
    if (s->classes > 0 && size_mul(clients, s->classes, &cells)) {
        s->counts = calloc(cells, sizeof *s->counts);
    }
    if (!s->shares || (s->classes > 0 && !s->counts)) {
        return cli_no_memory(why);
    }
    s->clients = clients;
    return dataset_shares(&s->source, clients, s->shares, s->counts, why);
}

static json_t *describe(const struct sharing *s, const struct fed_node *node)
{
    const struct dataset_share *share = &s->shares[node->index];
    json_t *one = json_pack("{s:s, s:I, s:I, s:s}", "address", node->address, "index",
                            (json_int_t)node->index, "samples", (json_int_t)share->rows,
                            "fingerprint", share->fingerprint);
    json_t *classes = s->classes > 0 ? json_array() : NULL;
    for (size_t c = 0; classes && c < s->classes; c++) {
        const size_t n = s->counts[node->index * s->classes + c];
        (void)json_array_append_new(classes, json_integer((json_int_t)n));
    }
    if (classes) {
        (void)json_object_set_new(one, "classes", classes);
    }
    return one;
}

/* Both parts, in whatever state: what is wrong with them is worth knowing now. */
static bool is_here(const struct fed_settings *settings, const char *dir)
{
    return strcmp(settings->train_type, "builtin") == 0 && dataset_is_there(dir, DATASET_TRAIN) &&
           dataset_is_there(dir, DATASET_TEST);
}

int shares_make(const struct fed_config *config, const char *data_dir, json_t **out,
                struct cairn_problem *why)
{
    const struct fed_tree *tree = &config->tree;
    struct sharing s = {0};
    estimate_source(&config->settings, data_dir, &s.source);
    if (!is_here(&config->settings, data_dir)) {
        *out = json_null();
        return 0;
    }
    struct dataset_facts facts;
    int error = dataset_facts_read(&s.source, &facts, why);
    if (error) {
        return error;
    }
    s.classes = s.source.numbers ? 0 : s.source.classes > 0 ? s.source.classes : DATASET_CLASSES;
    json_t *list = json_array();
    error = list ? 0 : cli_no_memory(why);
    for (uint32_t i = 0; !error && i < tree->n_nodes; i++) {
        const struct fed_node *node = &tree->nodes[i];
        if (node->type != FED_CLIENT) {
            continue;
        }
        if (node->client_number != s.clients) {
            error = share_among(&s, node->client_number, why);
        }
        if (!error && json_array_append_new(list, describe(&s, node))) {
            error = cli_no_memory(why);
        }
    }
    release(&s);
    if (error) {
        json_decref(list);
        return error;
    }
    *out = list;
    return 0;
}

/* ---- for people ---- */

enum { MOST_LINES = 32, MOST_CLASSES = 12, SHOWN_DIGITS = 12 };

static void print_share(struct table *table, const json_t *share, size_t classes)
{
    const json_t *counts = json_object_get(share, "classes");
    table_cell(table, "%s", json_get_text(share, "address", "?"));
    table_cell(table, "%lld", json_get_int(share, "samples", 0));
    table_cell(table, "%.*s", SHOWN_DIGITS, json_get_text(share, "fingerprint", ""));
    for (size_t c = 0; c < classes; c++) {
        table_cell(table, "%lld", (long long)json_integer_value(json_array_get(counts, c)));
    }
}

void shares_print(const json_t *shares, const struct fed_settings *settings)
{
    static const char *const names[] = {"slices of the file", "slices of the shuffled rows",
                                        "Dirichlet proportions of each class",
                                        "shards of few classes"};
    const size_t n = json_array_size(shares);
    const size_t all = json_array_size(json_object_get(json_array_get(shares, 0), "classes"));
    const size_t classes = all <= MOST_CLASSES ? all : 0;
    struct table table = {.columns = 3 + classes};
    if (n == 0) {
        return;
    }
    printf("\ntraining rows    %s, seed %llu%s\n", names[settings->partition],
           (unsigned long long)settings->seed, classes ? "; rows of each class" : "");
    table_cells(&table, "client", "rows", "fingerprint", NULL);
    for (size_t c = 0; c < classes; c++) {
        table_cell(&table, "%zu", c);
    }
    for (size_t i = 0; i < n && i < MOST_LINES; i++) {
        print_share(&table, json_array_get(shares, i), classes);
    }
    table_print(&table, stdout);
    if (n > MOST_LINES) {
        printf("(and %zu more; --json has all)\n", n - MOST_LINES);
    }
}
