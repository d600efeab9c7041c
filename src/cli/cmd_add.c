/* SPDX-License-Identifier: Apache-2.0 */
/* cairn add: update files become one. */
#include "cli.h"
#include "files_cli.h"

int cmd_add(struct cli *cli, int argc, char **argv, struct cairn_problem *why)
{
    const char *out = NULL;
    const char *format = NULL;
    const char *key = NULL;
    struct cairn_files_report report;
    const struct cli_option list[] = {
        {"out", CLI_TEXT, "FILE", "the sum, an update file itself; needed", &out, 0, 0},
        {"format", CLI_TEXT, "NAME", "cairn, seal or tenseal: whose files these are (cairn)",
         &format, 0, 0},
        {"key", CLI_TEXT, "FILE", "keygen's public file: take TenSEAL vectors without FILE.json, each for one sample",
         &key, 0, 0},
    };
    int error =
        cli_parse(cli, &argc, &argv, list, sizeof list / sizeof list[0], 1, INT32_MAX, why);
    if (!error) {
        error = files_cli_need("out", out, NULL, why);
    }
    if (!error) {
        error = cairn_files_add_format(format, key, (const char *const *)argv, (size_t)argc, out,
                                       &report, why);
    }
    if (error) {
        return error;
    }
    files_cli_warn_plain(&report, out);
    json_t *document = files_cli_report(&report, out);
    if (document != NULL) {
        (void)json_object_set_new(document, "files", json_integer(argc));
    }
    return files_cli_print(cli, "added", document, why);
}
