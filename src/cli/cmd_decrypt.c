/* SPDX-License-Identifier: Apache-2.0 */
/* cairn decrypt: a sum becomes the weighted mean of its models. */
#include "cli.h"
#include "files_cli.h"

int cmd_decrypt(struct cli *cli, int argc, char **argv, struct cairn_problem *why)
{
    struct cairn_decrypt_options options;
    struct cairn_files_report report;
    cairn_decrypt_options_init(&options);
    const struct cli_option list[] = {
        {"key", CLI_TEXT, "FILE", "the secret key that keygen wrote", &options.secret_path, 0, 0},
        {"in", CLI_TEXT, "FILE", "the sum; needed", &options.in, 0, 0},
        {"out", CLI_TEXT, "FILE", "the mean, in the format of the models; needed", &options.out, 0,
         0},
        {"base", CLI_TEXT, "FILE", "add the mean to this model, encrypt's --base", &options.base, 0,
         0},
        {"sum", CLI_FLAG, NULL, "the sum of samples * model instead of the mean", &options.sum, 0,
         0},
        {"threads", CLI_NUMBER, "T", "that open; default: all processors", &options.threads, 1,
         256},
        {"format", CLI_TEXT, "NAME", "cairn, seal or tenseal: whose files these are (cairn)",
         &options.format, 0, 0},
        {"floor", CLI_NUMBER, "F", "do not open sums of fewer clients (3)", &options.floor, 1,
         UINT32_MAX},
    };
    int error = cli_parse(cli, &argc, &argv, list, sizeof list / sizeof list[0], 0, 0, why);
    if (!error) {
        error = files_cli_need("in", options.in, NULL, why);
    }
    if (!error) {
        error = files_cli_need("out", options.out, NULL, why);
    }
    if (!error) {
        error = cairn_files_decrypt(&options, &report, why);
    }
    if (error) {
        return error;
    }
    return files_cli_print(cli, "opened", files_cli_report(&report, options.out), why);
}
