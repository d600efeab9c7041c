/* SPDX-License-Identifier: Apache-2.0 */
/* cairn schema: the JSON Schema of config.json, for editors that complete and check as one types.
 */
#include "cli.h"

int cmd_schema(struct cli *cli, int argc, char **argv, struct cairn_problem *why)
{
    int error = cli_parse(cli, &argc, &argv, NULL, 0, 0, 0, why);
    return error ? error : cli_print_json(cli, fed_config_schema(), why);
}
