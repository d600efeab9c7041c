/* SPDX-License-Identifier: Apache-2.0 */
/* A run's document as lines and a table. */
#include "report.h"

#include <string.h>

#include "cli.h"
#include "json.h"
#include "table.h"

static const char *const roles[] = {"aggregator", "switch", "client"};

static uint64_t get_count(const json_t *object, const char *key)
{
    long long value = json_get_int(object, key, 0);
    return value > 0 ? (uint64_t)value : 0;
}

/* Sums over all rounds of all nodes of a role; then means. */
static void add_durations(double sum[ROUNDLOG_DURATIONS], const json_t *node)
{
    for (size_t i = 0; i < ROUNDLOG_DURATIONS; i++) {
        sum[i] += json_get_number(node, roundlog_durations[i], 0);
    }
}

static void divide_durations(double sum[ROUNDLOG_DURATIONS], uint64_t by)
{
    for (size_t i = 0; by > 0 && i < ROUNDLOG_DURATIONS; i++) {
        sum[i] /= (double)by;
    }
}

struct report_role report_role_of(const json_t *document, const char *role)
{
    struct report_role sum = {0};
    uint64_t rounds = 0;
    size_t k;
    const json_t *node;
    json_array_foreach(json_object_get(document, "nodes"), k, node)
    {
        if (strcmp(json_get_text(node, "role", ""), role) != 0) {
            continue;
        }
        uint64_t peak = get_count(node, "peak_rss_bytes");
        sum.nodes++;
        sum.received += get_count(node, "byte_received");
        sum.sent += get_count(node, "byte_send");
        sum.cpu_s += json_get_number(node, "cpu_s", 0);
        sum.peak_rss_bytes = peak > sum.peak_rss_bytes ? peak : sum.peak_rss_bytes;
        rounds += get_count(node, "rounds");
        add_durations(sum.round_s, node);
    }
    divide_durations(sum.round_s, rounds);
    return sum;
}

double report_cpu(const json_t *document)
{
    double cpu_s = 0;
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        cpu_s += report_role_of(document, roles[i]).cpu_s;
    }
    return cpu_s;
}

uint64_t report_peak(const json_t *document)
{
    uint64_t peak = 0;
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        uint64_t of_role = report_role_of(document, roles[i]).peak_rss_bytes;
        peak = of_role > peak ? of_role : peak;
    }
    return peak;
}

const char *report_accuracy(const json_t *document, char text[REPORT_TEXT_SIZE])
{
    const json_t *accuracy = json_object_get(document, "accuracy");
    if (json_is_number(accuracy)) {
        (void)snprintf(text, REPORT_TEXT_SIZE, "%.2f %%", 100 * json_number_value(accuracy));
    } else {
        (void)snprintf(text, REPORT_TEXT_SIZE, "not evaluated");
    }
    return text;
}

static void print_roles(const json_t *document, FILE *to)
{
    struct table table = {.columns = 6};
    table_cells(&table, "role", "nodes", "bytes in", "bytes out", "CPU s", "peak memory", NULL);
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        char in[CLI_BYTES_SIZE], out[CLI_BYTES_SIZE], peak[CLI_BYTES_SIZE];
        struct report_role sum = report_role_of(document, roles[i]);
        if (sum.nodes == 0) {
            continue;
        }
        table_cell(&table, "%s", roles[i]);
        table_cell(&table, "%u", sum.nodes);
        table_cell(&table, "%s", cli_bytes(sum.received, in));
        table_cell(&table, "%s", cli_bytes(sum.sent, out));
        table_cell(&table, "%.2f", sum.cpu_s);
        table_cell(&table, "%s", cli_bytes(sum.peak_rss_bytes, peak));
    }
    table_print(&table, to);
}

void report_print_in_plain(const json_t *document, FILE *to)
{
    const long long in_plain = json_get_int(document, "params_in_plain", 0);
    const long long params = json_get_int(document, "params", 0);
    if (in_plain > 0 && in_plain < params) {
        fprintf(to, "IN PLAIN: %.1f %% of the parameters of each client's update (encryption.only)\n",
                100 * (double)in_plain / (double)params);
    }
}

void report_print(const json_t *document, FILE *to)
{
    char accuracy[REPORT_TEXT_SIZE], upload[CLI_BYTES_SIZE], plain[CLI_BYTES_SIZE];
    fprintf(to, "\nexperiment %s: profile %s, %s, %lld rounds, %lld clients, %lld switches\n",
            json_get_text(document, "experiment", "?"), json_get_text(document, "profile", "?"),
            json_get_bool(document, "in_network", 0) ? "summed in the network"
                                                     : "summed at the aggregator",
            json_get_int(document, "rounds", 0), json_get_int(document, "clients", 0),
            json_get_int(document, "switches", 0));
    const bool has_loss = json_is_number(json_object_get(document, "loss"));
    if (!has_loss || json_is_number(json_object_get(document, "accuracy"))) { /* a regression has none */
        fprintf(to, "accuracy %s, ", report_accuracy(document, accuracy));
    }
    if (has_loss) {
        fprintf(to, "loss %.4f, ", json_get_number(document, "loss", 0));
    }
    fprintf(to, "%.1f s\n", json_get_number(document, "wall_s", 0));
    fprintf(to, "upload per client and round %s (%.2f bits a parameter; float32 would be %s)\n",
            cli_bytes(get_count(document, "upload_bytes_per_client_round"), upload),
            json_get_number(document, "bits_per_param", 0),
            cli_bytes(get_count(document, "float32_bytes"), plain));
    report_print_in_plain(document, to);
    fprintf(to, "model %s\n\n", json_get_text(document, "model_digest", "?"));
    print_roles(document, to);
}
