/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cairn compare: one config in four scenarios, {plain, encrypted} times {dumb switches, folding
 * switches}, one after the other. Two fields of the config are all that differs between them.
 */
#include <string.h>

#include "cli.h"
#include "federation.h"
#include "json.h"
#include "report.h"
#include "table.h"

enum {
    N_SCENARIOS = 4,
    PLAIN_DUMB = 0,
    BASELINE = 1, /* what time is saved against: encrypted/dumb */
    ENCRYPTED_FOLDING = 3,
};

static const char *const roles[] = {"aggregator", "switch", "client"};
enum { N_ROLES = sizeof roles / sizeof roles[0] };

static const struct scenario {
    const char *name;
    bool encrypted, dumb;
} scenarios[N_SCENARIOS] = {
    {"plain/dumb", false, true},
    {"encrypted/dumb", true, true},
    {"plain/folding", false, false},
    {"encrypted/folding", true, false},
};

static int set_profile(json_t *config, const char *profile)
{
    json_t *section = json_object_get(config, "encryption");
    if (!section) {
        section = json_object();
        if (json_object_set_new(config, "encryption", section) != 0) {
            return -1;
        }
    }
    return json_object_set_new(section, "profile", json_string(profile));
}

static int set_dumb(json_t *config, bool dumb)
{
    const char *key;
    json_t *node;
    int failed = 0;
    json_object_foreach(json_object_get(config, "others"), key, node)
    {
        if (strcmp(json_get_text(node, "type", ""), "switch") == 0) {
            failed |= json_object_set_new(node, "dumb", json_boolean(dumb));
        }
    }
    return failed;
}

/* Every scenario is an experiment of its own: "name.plain-dumb". */
static int set_experiment(json_t *config, const char *experiment, const struct scenario *scenario)
{
    char name[FED_NAME_SIZE];
    const char *slash = strchr(scenario->name, '/');
    int head = (int)(slash - scenario->name);
    /* what is kept of a long name leaves room for the longest scenario's */
    (void)snprintf(name, sizeof name, "%.40s.%.*s-%s", experiment, head, scenario->name, slash + 1);
    return json_object_set_new(config, "experiment", json_string(name));
}

static json_t *make_config(const json_t *document, const struct fed_config *config,
                           const struct scenario *scenario)
{
    enum he_profile encrypted = config->settings.profile;
    json_t *copy = json_deep_copy(document);
    if (encrypted == HE_NONE) {
        encrypted = HE_CAPSULE; /* a config that says none compares with the default */
    }
    if (!copy ||
        set_profile(copy, he_profile_name(scenario->encrypted ? encrypted : HE_NONE)) != 0 ||
        set_dumb(copy, scenario->dumb) != 0 ||
        set_experiment(copy, config->settings.experiment, scenario) != 0) {
        json_decref(copy);
        return NULL;
    }
    return copy;
}

static int run_scenario(struct cli *cli, const char *name, const json_t *document,
                        const struct fed_config *config, const struct scenario *scenario,
                        const struct federation_options *options, json_t *results,
                        struct cairn_problem *why)
{
    json_t *copy = make_config(document, config, scenario);
    if (!copy) {
        return cli_no_memory(why);
    }
    fprintf(stderr, "--- %s\n", scenario->name);
    json_t *result = NULL;
    int error = federation_run(cli, name, copy, options, &result, why);
    json_decref(copy);
    json_t *entry =
        error ? NULL : json_pack("{s:s, s:b}", "name", scenario->name, "dumb", (int)scenario->dumb);
    if (!error && (!entry || json_object_update(entry, result) != 0 ||
                   json_array_append(results, entry) != 0)) {
        error = cli_no_memory(why);
    }
    json_decref(entry);
    json_decref(result);
    return error;
}

static bool is_same_model(const json_t *results)
{
    const char *first = json_get_text(json_array_get(results, 0), "model_digest", "");
    bool same = first[0] != 0;
    for (size_t i = 1; i < json_array_size(results); i++) {
        same = same &&
               strcmp(first, json_get_text(json_array_get(results, i), "model_digest", "?")) == 0;
    }
    return same;
}

static void print_scenarios(const json_t *results)
{
    struct table table = {.columns = 8};
    double baseline = json_get_number(json_array_get(results, BASELINE), "wall_s", 0);
    table_cells(&table, "scenario", "accuracy", "wall s", "CPU s", "peak memory", "largest upload",
                "bits/parameter", "time saved", NULL);
    for (size_t i = 0; i < json_array_size(results); i++) {
        const json_t *r = json_array_get(results, i);
        char accuracy[REPORT_TEXT_SIZE], peak[CLI_BYTES_SIZE], upload[CLI_BYTES_SIZE];
        double wall = json_get_number(r, "wall_s", 0);
        table_cell(&table, "%s", scenarios[i].name);
        table_cell(&table, "%s", report_accuracy(r, accuracy));
        table_cell(&table, "%.2f", wall);
        table_cell(&table, "%.2f", report_cpu(r));
        table_cell(&table, "%s", cli_bytes(report_peak(r), peak));
        table_cell(&table, "%s",
                   cli_bytes((uint64_t)json_get_int(r, "largest_upload_bytes", 0), upload));
        table_cell(&table, "%.2f", json_get_number(r, "bits_per_param", 0));
        if (i == BASELINE || baseline <= 0) {
            table_cell(&table, "-");
        } else {
            table_cell(&table, "%.1f %%", 100 * (baseline - wall) / baseline);
        }
    }
    table_print(&table, stdout);
}

static void print_roles(const json_t *results)
{
    struct table table = {.columns = 7};
    table_cells(&table, "scenario", "role", "nodes", "bytes in", "bytes out", "CPU s",
                "peak memory", NULL);
    for (size_t i = 0; i < json_array_size(results); i++) {
        for (size_t k = 0; k < N_ROLES; k++) {
            char in[CLI_BYTES_SIZE], out[CLI_BYTES_SIZE], peak[CLI_BYTES_SIZE];
            struct report_role sum = report_role_of(json_array_get(results, i), roles[k]);
            if (sum.nodes == 0) {
                continue;
            }
            table_cell(&table, "%s", scenarios[i].name);
            table_cell(&table, "%s", roles[k]);
            table_cell(&table, "%u", sum.nodes);
            table_cell(&table, "%s", cli_bytes(sum.received, in));
            table_cell(&table, "%s", cli_bytes(sum.sent, out));
            table_cell(&table, "%.2f", sum.cpu_s);
            table_cell(&table, "%s", cli_bytes(sum.peak_rss_bytes, peak));
        }
    }
    table_print(&table, stdout);
}

/* What encryption and folding cost together, or save: against everybody's plain update passed on. */
struct ratios {
    double round_wall, bytes_in; /* of the aggregator; 0 = unknown */
};

static double ratio(double a, double b)
{
    return b > 0 ? a / b : 0;
}

static struct ratios compare_ends(const json_t *results)
{
    const struct report_role plain = report_role_of(json_array_get(results, PLAIN_DUMB), roles[0]);
    const struct report_role folding =
        report_role_of(json_array_get(results, ENCRYPTED_FOLDING), roles[0]);
    return (struct ratios){ratio(folding.round_s[0], plain.round_s[0]),
                           ratio((double)folding.received, (double)plain.received)};
}

static void print_ratios(const json_t *results)
{
    const struct report_role plain = report_role_of(json_array_get(results, PLAIN_DUMB), roles[0]);
    const struct report_role folding =
        report_role_of(json_array_get(results, ENCRYPTED_FOLDING), roles[0]);
    const struct ratios ratios = compare_ends(results);
    char here[CLI_BYTES_SIZE], there[CLI_BYTES_SIZE];
    printf("%s against %s:\n", scenarios[ENCRYPTED_FOLDING].name, scenarios[PLAIN_DUMB].name);
    printf("  a round takes %.3f times as long: %.3f s, %.3f s\n", ratios.round_wall,
           folding.round_s[0], plain.round_s[0]);
    printf("  bytes into the aggregator %.3f times as many: %s, %s\n", ratios.bytes_in,
           cli_bytes(folding.received, here), cli_bytes(plain.received, there));
}

static void print_times(const json_t *results)
{
    static const char *const names[ROUNDLOG_DURATIONS] = {
        "round",   "model down", "training", "encrypting", "adding",
        "sending", "journal",    "opening",  "committing", "waiting"};
    struct table table = {.columns = 2 + ROUNDLOG_DURATIONS};
    table_cells(&table, "scenario", "role", NULL);
    for (size_t d = 0; d < ROUNDLOG_DURATIONS; d++) {
        table_cell(&table, "%s", names[d]);
    }
    for (size_t i = 0; i < json_array_size(results); i++) {
        for (size_t k = 0; k < N_ROLES; k++) {
            const struct report_role sum = report_role_of(json_array_get(results, i), roles[k]);
            if (sum.nodes == 0) {
                continue;
            }
            table_cell(&table, "%s", scenarios[i].name);
            table_cell(&table, "%s", roles[k]);
            for (size_t d = 0; d < ROUNDLOG_DURATIONS; d++) {
                if (sum.round_s[d] > 0) {
                    table_cell(&table, "%.3f", sum.round_s[d]);
                } else {
                    table_cell(&table, "-");
                }
            }
        }
    }
    table_print(&table, stdout);
}

static void print_comparison(const json_t *results, bool same)
{
    printf("\n");
    print_scenarios(results);
    printf("\nper role, all rounds, all nodes of the role together; peak memory of its largest "
           "node\n");
    print_roles(results);
    printf("\nwhere the time goes: seconds a round, mean of the role's nodes; encrypting has rounding in "
           "it, adding the check of\ndigests and goes on beside the rest, sending is a batch on its way "
           "while nothing is encrypted\n");
    print_times(results);
    printf("\n");
    report_print_in_plain(json_array_get(results, ENCRYPTED_FOLDING), stdout);
    print_ratios(results);
    printf("\ntime saved is wall time against %s; largest upload is the most that one client sent "
           "in one round\n",
           scenarios[BASELINE].name);
    if (same) {
        printf("the four final models are identical, bit for bit: %s\n",
               json_get_text(json_array_get(results, 0), "model_digest", "?"));
    } else {
        printf("THE FINAL MODELS DIFFER\n");
    }
}

static int report(struct cli *cli, json_t *results, struct cairn_problem *why)
{
    bool same = is_same_model(results);
    int error = 0;
    if (cli->json) {
        const struct ratios ratios = compare_ends(results);
        error = cli_print_json(cli,
                               json_pack("{s:O, s:b, s:{s:f, s:f}}", "scenarios", results,
                                         "same_model", (int)same, "folding_to_plain", "round_wall",
                                         ratios.round_wall, "bytes_in", ratios.bytes_in),
                               why);
    } else {
        print_comparison(results, same);
    }
    if (!error && !same) {
        error = problem_set(why, CAIRN_ERR_INTEGRITY,
                            "a round that a client missed can cause it; otherwise it is a bug",
                            "the final models of the scenarios differ");
    }
    return error;
}

int cmd_compare(struct cli *cli, int argc, char **argv, struct cairn_problem *why)
{
    struct federation_options options = {0};
    struct cli_option list[FEDERATION_OPTIONS];
    federation_options_list(&options, list);
    int error = cli_parse(cli, &argc, &argv, list, FEDERATION_OPTIONS, 1, 1, why);
    if (error) {
        return error;
    }
    struct buf text = {0};
    struct fed_config config = {0};
    json_t *document = NULL;
    json_t *results = json_array();
    error = cli_read_config(cli, argv[0], &text, &config, why);
    if (!error) {
        document = cli_config_document(buf_span(&text), argv[0], why);
        error = document ? 0 : CAIRN_ERR_CONFIG;
        for (size_t i = 0; !error && i < N_SCENARIOS; i++) {
            error = run_scenario(cli, argv[0], document, &config, &scenarios[i], &options, results,
                                 why);
        }
        if (!error) {
            error = report(cli, results, why);
        }
        fed_config_release(&config);
    }
    json_decref(results);
    json_decref(document);
    buf_release(&text);
    return error;
}
