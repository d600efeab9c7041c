/* SPDX-License-Identifier: Apache-2.0 */
/* cairn schema: the JSON Schema of config.json, for editors that complete and check as one types; or all settings
 * as a table, for people. */
#include "buf.h"
#include "cli.h"

static int print_table(struct cairn_problem *why)
{
    struct buf text = {0};
    const int error = fed_config_fields_text(&text);
    if (!error) {
        (void)fwrite(text.data, 1, text.size, stdout);
    }
    buf_release(&text);
    return error ? cli_no_memory(why) : 0;
}

int cmd_schema(struct cli *cli, int argc, char **argv, struct cairn_problem *why)
{
    bool table = false;
    const struct cli_option list[] = {
        {"table", CLI_FLAG, NULL, "print the settings as a table instead", &table, 0, 0},
    };
    int error = cli_parse(cli, &argc, &argv, list, 1, 0, 0, why);
    if (!error && table && !cli->json) {
        return print_table(why);
    }
    return error ? error : cli_print_json(cli, fed_config_schema(), why);
}
