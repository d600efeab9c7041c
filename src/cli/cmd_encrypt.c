/* SPDX-License-Identifier: Apache-2.0 */
/* cairn encrypt: a client's model becomes an update file. */
#include "cli.h"
#include "files_cli.h"
#include "problem.h"

static int encrypt(struct cli *cli, const struct cairn_encrypt_options *options,
                   struct cairn_problem *why)
{
    struct cairn_files_report report;
    int error = cairn_files_encrypt(options, &report, why);
    if (error) {
        return error;
    }
    files_cli_warn_plain(&report, options->out);
    if (report.clamped > 0) {
        fprintf(stderr, "cairn: %llu values were out of range and are clamped\n",
                (unsigned long long)report.clamped);
    }
    json_t *document = files_cli_report(&report, options->out);
    if (document != NULL) {
        (void)json_object_set_new(document, "index", json_integer((json_int_t)options->index));
        (void)json_object_set_new(
            document, "bits_per_param",
            json_real(8.0 * (double)report.bytes / (double)report.params));
        (void)json_object_set_new(document, "clamped", json_integer((json_int_t)report.clamped));
        (void)json_object_set_new(
            document, "rounding_seed",
            json_string(options->seed != NULL ? "given" : "from the operating system"));
    }
    return files_cli_print(cli, report.encrypted ? "encrypted" : "written, not encrypted", document,
                           why);
}

int cmd_encrypt(struct cli *cli, int argc, char **argv, struct cairn_problem *why)
{
    enum { NO_INDEX = UINT32_MAX };
    struct cairn_encrypt_options options;
    uint64_t seed = 0;
    const char *seed_text = NULL;
    cairn_encrypt_options_init(&options);
    const struct cli_option list[] = {
        {"key", CLI_TEXT, "FILE", "the public file that keygen wrote; needed", &options.public_path,
         0, 0},
        {"in", CLI_TEXT, "FILE", "the model: safetensors (F32) or .npy (<f4); needed", &options.in,
         0, 0},
        {"out", CLI_TEXT, "FILE", "the update file; needed", &options.out, 0, 0},
        {"index", CLI_NUMBER, "I", "the number of this client, 0 to N-1; needed", &options.index, 0,
         UINT32_MAX - 1},
        {"base", CLI_TEXT, "FILE", "send the difference from this model", &options.base, 0, 0},
        {"samples", CLI_COUNT, "K", "samples of this client, its weight (1)", &options.samples, 0,
         0},
        {"largest-samples", CLI_COUNT, "M", "instead of keygen's; the same for all clients",
         &options.largest_samples, 0, 0},
        {"range", CLI_REAL, "R", "instead of keygen's; the same for all clients", &options.range, 0,
         0},
        {"round", CLI_NUMBER, "R", "another one for each sum that is opened (1)", &options.round, 1,
         UINT32_MAX},
        {"profile", CLI_TEXT, "NAME", "instead of keygen's; the same for all clients",
         &options.profile, 0, 0},
        {"seed", CLI_TEXT, "S", "of the stochastic rounding (from the operating system)",
         &seed_text, 0, 0},
        {"threads", CLI_NUMBER, "T", "that encrypt; default: all processors", &options.threads, 1,
         256},
        {"format", CLI_TEXT, "NAME", "cairn, seal or tenseal: whose files these are (cairn)",
         &options.format, 0, 0},
        {"clip", CLI_FLAG, NULL, "clamp values that are out of range, and count them",
         &options.clip, 0, 0},
    };
    int error = cli_parse(cli, &argc, &argv, list, sizeof list / sizeof list[0], 0, 0, why);
    if (!error) {
        error = files_cli_need("key", options.public_path, "it is what keygen wrote", why);
    }
    if (!error) {
        error = files_cli_need("in", options.in, NULL, why);
    }
    if (!error) {
        error = files_cli_need("out", options.out, NULL, why);
    }
    if (!error && options.index == NO_INDEX) {
        error = files_cli_need("index", NULL,
                               "number the clients 0, 1, 2, ... and give each its own", why);
    }
    if (!error && seed_text != NULL) {
        error = cli_read_count("seed", seed_text, &seed, why);
        options.seed = &seed;
    }
    return error ? error : encrypt(cli, &options, why);
}
