/* SPDX-License-Identifier: Apache-2.0 */
/* cairn run: all nodes of a config on this machine, one process each. */
#include "cli.h"
#include "federation.h"
#include "report.h"

int cmd_run(struct cli *cli, int argc, char **argv, struct cairn_problem *why)
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
    json_t *result = NULL;
    error = cli_read_config(cli, argv[0], &text, &config, why);
    if (!error) {
        fed_config_release(&config);
        document = cli_config_document(buf_span(&text), argv[0], why);
        error = document ? federation_run(cli, argv[0], document, &options, &result, why)
                         : CAIRN_ERR_CONFIG;
    }
    if (!error && cli->json) {
        error = cli_print_json(cli, json_incref(result), why);
    } else if (!error) {
        report_print(result, stdout);
    }
    json_decref(result);
    json_decref(document);
    buf_release(&text);
    return error;
}
