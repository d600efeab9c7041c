/* SPDX-License-Identifier: Apache-2.0 */
/* cairn status and cairn log: what a running node says of itself. */
#include <string.h>

#include "address.h"
#include "answer.h"
#include "cli.h"
#include "json.h"
#include "serve.h"
#include "table.h"

/* "http://127.0.0.2:5000/status" and "127.0.0.2" name the same node. */
static int parse_address(const char *text, struct fed_address *out, struct cairn_problem *why)
{
    static const char scheme[] = "http://";
    char host[FED_ADDRESS_SIZE];
    const char *from = text;
    if (strncmp(text, scheme, sizeof scheme - 1) == 0) {
        from += sizeof scheme - 1;
    }
    size_t length = strcspn(from, "/");
    const char *fault = "is too long";
    if (length < sizeof host) {
        memcpy(host, from, length);
        host[length] = 0;
        if (fed_address_parse(host, out, &fault) == 0) {
            return 0;
        }
    }
    return problem_set(why, CAIRN_ERR_USAGE, "the form is host, host:port or http://host:port",
                       "\"%s\" %s", text, fault);
}

static int fetch(const char *text, const char *path, json_t **out, struct cairn_problem *why)
{
    struct fed_address address;
    int error = parse_address(text, &address, why);
    if (error) {
        return error;
    }
    struct http_exchange x = {
        .address = address.text, .method = "GET", .path = path, .timeout_s = 10};
    error = serve_exchange_once(&x, 1, why);
    if (!error && (x.error || x.status != 200)) {
        error = answer_to_problem(&x, why);
    }
    if (!error) {
        *out = answer_document(&x);
        if (!*out) {
            error =
                problem_set(why, CAIRN_ERR_MALFORMED, "is it a cairn node?",
                            "%s answers GET %s with something that is no JSON", address.text, path);
        }
    }
    http_exchange_release(&x);
    return error;
}

static void print_value(const char *key, const json_t *value)
{
    char *text = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    printf("%-16s ", key);
    cli_print_clean(stdout, json_is_string(value) ? json_string_value(value) : text ? text : "?");
    printf("\n");
    free(text);
}

static void print_members(const json_t *document, const char *except)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)document, key, value)
    {
        if (!except || strcmp(key, except) != 0) {
            print_value(key, value);
        }
    }
}

static void print_log(const json_t *document)
{
    struct table table = {.columns = 8};
    print_members(document, "iteration");
    printf("\n");
    table_cells(&table, "round", "start", "end", "bytes in", "bytes out", "train s", "wait s",
                "contributors", NULL);
    size_t k;
    const json_t *entry;
    json_array_foreach(json_object_get(document, "iteration"), k, entry)
    {
        table_cell(&table, "%lld", json_get_int(entry, "round", 0));
        table_cell(&table, "%s", json_get_text(entry, "start_time", "?"));
        table_cell(&table, "%s", json_get_text(entry, "end_time", "?"));
        table_cell(&table, "%lld", json_get_int(entry, "byte_received", 0));
        table_cell(&table, "%lld", json_get_int(entry, "byte_send", 0));
        table_cell(&table, "%.3f", json_get_number(entry, "train_s", 0));
        table_cell(&table, "%.3f", json_get_number(entry, "wait_s", 0));
        table_cell(&table, "%lld", json_get_int(entry, "contributors", 0));
    }
    table_print(&table, stdout);
}

static int show(struct cli *cli, int argc, char **argv, const char *path, struct cairn_problem *why)
{
    int error = cli_parse(cli, &argc, &argv, NULL, 0, 1, 1, why);
    json_t *document = NULL;
    if (!error) {
        error = fetch(argv[0], path, &document, why);
    }
    if (error) {
        return error;
    }
    if (cli->json) {
        return cli_print_json(cli, document, why);
    }
    if (strcmp(path, "/log") == 0) {
        print_log(document);
    } else {
        print_members(document, NULL);
    }
    json_decref(document);
    return 0;
}

int cmd_status(struct cli *cli, int argc, char **argv, struct cairn_problem *why)
{
    return show(cli, argc, argv, "/status", why);
}

int cmd_log(struct cli *cli, int argc, char **argv, struct cairn_problem *why)
{
    return show(cli, argc, argv, "/log", why);
}
