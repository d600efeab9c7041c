/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands on files print. */
#include "files_cli.h"

#include <stdlib.h>

#include "problem.h"

json_t *files_cli_report(const struct cairn_files_report *report, const char *out)
{
    json_t *document = json_pack(
        "{s:s, s:I, s:s, s:b, s:I, s:I, s:I, s:I, s:I}", "out", out, "bytes",
        (json_int_t)report->bytes, "parameters", report->parameters, "encrypted",
        (int)report->encrypted, "round", (json_int_t)report->round, "contributors",
        (json_int_t)report->contributors, "samples", (json_int_t)report->weight, "params",
        (json_int_t)report->params, "frames", (json_int_t)report->frames);
    return document;
}

int files_cli_print(struct cli *cli, const char *title, json_t *document,
                    struct cairn_problem *why)
{
    const char *key;
    json_t *value;
    if (document == NULL) {
        return cli_no_memory(why);
    }
    if (cli->json) {
        return cli_print_json(cli, document, why);
    }
    printf("%s\n", title);
    json_object_foreach(document, key, value)
    {
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6));
        printf("  %-18s ", key);
        cli_print_clean(stdout, json_is_string(value) ? json_string_value(value)
                                : text                ? text
                                                      : "");
        printf("\n");
        free(text);
    }
    json_decref(document);
    return 0;
}

int files_cli_need(const char *option, const char *value, const char *hint,
                   struct cairn_problem *why)
{
    if (value != NULL) {
        return 0;
    }
    return problem_set(why, CAIRN_ERR_USAGE, hint, "--%s is missing", option);
}

void files_cli_warn_plain(const struct cairn_files_report *report, const char *path)
{
    if (!report->encrypted) {
        fprintf(stderr, "cairn: profile none: ");
        cli_print_clean(stderr, path);
        fprintf(stderr, " is NOT encrypted, whoever has it reads the model\n");
    }
}
