/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cairn demo: a whole federation on this machine, on real data, as a person who is new here would
 * want to see it: one aggregator, two switches, the clients shared between them, MNIST, encrypted.
 */
#include <string.h>

#include "cli.h"
#include "dataset.h"
#include "federation.h"
#include "json.h"
#include "report.h"

struct demo_options {
    unsigned rounds, clients;
    struct federation_options federation;
};

enum {
    SWITCHES = 2,
    FIRST_CLIENT = SWITCHES + 2, /* 127.0.0.1 is the aggregator, then come the switches */
    MOST_CLIENTS = 200,          /* one byte of the address names a node */
};

static int parse(struct cli *cli, int *argc, char ***argv, struct demo_options *o,
                 struct cairn_problem *why)
{
    struct cli_option list[2 + FEDERATION_OPTIONS] = {
        {"rounds", CLI_NUMBER, "N", "rounds; default 10", &o->rounds, 1, 1000},
        {"clients", CLI_NUMBER, "N", "clients; default 12", &o->clients, 2, MOST_CLIENTS},
    };
    federation_options_list(&o->federation, list + 2);
    return cli_parse(cli, argc, argv, list, sizeof list / sizeof list[0], 0, 0, why);
}

static json_t *address(unsigned last)
{
    return json_sprintf("127.0.0.%u", last);
}

static void add_node(json_t *others, unsigned last, json_t *node)
{
    char name[32];
    (void)snprintf(name, sizeof name, "127.0.0.%u", last);
    (void)json_object_set_new(node, "ip", address(last));
    (void)json_object_set_new(others, name, node);
}

/* The first switch gets the first half of the clients, the second the rest. */
static unsigned parent_of(unsigned client, unsigned clients)
{
    return client < (clients + 1) / SWITCHES ? 2 : 3;
}

static json_t *make_nodes(unsigned clients)
{
    json_t *others = json_object();
    for (unsigned s = 2; s < FIRST_CLIENT; s++) {
        json_t *receive = json_array();
        for (unsigned c = 0; c < clients; c++) {
            if (parent_of(c, clients) == s) {
                (void)json_array_append_new(receive, address(FIRST_CLIENT + c));
            }
        }
        add_node(others, s,
                 json_pack("{s:s, s:o, s:o, s:b}", "type", "switch", "receive", receive, "send",
                           address(1), "dumb", 0));
    }
    for (unsigned c = 0; c < clients; c++) {
        add_node(others, FIRST_CLIENT + c,
                 json_pack("{s:s, s:i, s:i, s:o}", "type", "client", "client_number", (int)clients,
                           "index", (int)c, "send", address(parent_of(c, clients))));
    }
    return others;
}

static json_t *make_config(const struct demo_options *o)
{
    return json_pack("{s:s, s:{s:i, s:o}, s:o, s:{s:s}, s:{s:s}}", "experiment", "demo",
                     "aggregator", "iteration", (int)o->rounds, "ip", address(1), "others",
                     make_nodes(o->clients), "encryption", "profile", "capsule", "data", "dir",
                     o->federation.data_dir);
}

static int check_data(const char *dir, struct cairn_problem *why)
{
    const struct dataset_source source = {.dir = dir};
    struct dataset_facts facts;
    int error = dataset_facts_read(&source, &facts, why);
    if (error) {
        (void)snprintf(why->hint, sizeof why->hint,
                       "./demo.sh fetches MNIST; or name its folder with --data-dir");
    }
    return error;
}

/* One sentence: what came out, and who could have read what. */
static void print_sentence(const json_t *result)
{
    char accuracy[REPORT_TEXT_SIZE], upload[CLI_BYTES_SIZE], plain[CLI_BYTES_SIZE];
    printf(
        "\n%lld clients trained a model to %s on test images in %.1f s; each sent %s a round, "
        "encrypted (%s in plain float32), and no switch saw a client's model or update, only "
        "ciphertexts that it added up; the key is the aggregator's, which opens the sums and sends "
        "the averaged model down in clear.\n",
        json_get_int(result, "clients", 0), report_accuracy(result, accuracy),
        json_get_number(result, "wall_s", 0),
        cli_bytes((uint64_t)json_get_int(result, "upload_bytes_per_client_round", 0), upload),
        cli_bytes((uint64_t)json_get_int(result, "float32_bytes", 0), plain));
}

int cmd_demo(struct cli *cli, int argc, char **argv, struct cairn_problem *why)
{
    struct demo_options o = {.rounds = 10, .clients = 12, .federation = {.data_dir = "data"}};
    int error = parse(cli, &argc, &argv, &o, why);
    if (!error) {
        error = check_data(o.federation.data_dir, why);
    }
    if (error) {
        return error;
    }
    json_t *result = NULL;
    json_t *config = make_config(&o);
    error = config ? federation_run(cli, "demo.json", config, &o.federation, &result, why)
                   : cli_no_memory(why);
    if (!error && cli->json) {
        error = cli_print_json(cli, json_incref(result), why);
    } else if (!error) {
        report_print(result, stdout);
        print_sentence(result);
    }
    json_decref(result);
    json_decref(config);
    return error;
}
