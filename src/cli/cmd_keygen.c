/* SPDX-License-Identifier: Apache-2.0 */
/* cairn keygen: the public file that all clients get, and the secret key. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli.h"
#include "files_cli.h"
#include "he.h"
#include "problem.h"

/* NAME.public and NAME.secret; in a folder, cairn.public and cairn.secret. */
static int make_paths(const char *out, struct buf *public_path, struct buf *secret_path)
{
    struct stat status;
    const size_t length = strlen(out);
    const bool folder = (length > 0 && out[length - 1] == '/') ||
                        (stat(out, &status) == 0 && S_ISDIR(status.st_mode));
    const char *between = !folder ? "" : out[length - 1] == '/' ? "cairn" : "/cairn";
    int error = buf_printf(public_path, "%s%s.public", out, between);
    return error ? error : buf_printf(secret_path, "%s%s.secret", out, between);
}

static const char *default_profile(const char *format)
{
    return format == NULL || strcmp(format, "cairn") == 0 ? "capsule"
           : strcmp(format, "tenseal") == 0               ? "seal-ckks"
                                                          : "bfv";
}

static json_t *make_document(const struct cairn_keygen_options *options,
                             const struct he_params *params, const char *public_path,
                             const char *secret_path)
{
    const bool encrypted = params->profile != HE_NONE;
    json_t *d = json_pack("{s:s, s:s*, s:s, s:s, s:i, s:I, s:f, s:I, s:f}", "public", public_path,
                          "secret", encrypted ? secret_path : NULL, "parameters", params->id,
                          "profile", he_profile_name(params->profile), "value_bits",
                          (int)params->value_bits, "contributors",
                          (json_int_t)params->max_contributors, "range", options->range,
                          "largest_samples", (json_int_t)options->largest_samples,
                          "bits_per_param", params->bits_per_param);
    if (encrypted) {
        (void)json_object_set_new(d, "failure_log2", isfinite(params->failure_log2)
                                                         ? json_real(params->failure_log2)
                                                         : json_null());
        (void)json_object_set_new(d, "security_bits", json_real(params->security_bits));
    }
    if (options->format != NULL && strcmp(options->format, "cairn") != 0) {
        (void)json_object_del(d, "bits_per_param"); /* that of cairn's own ciphertexts */
        (void)json_object_set_new(d, "format", json_string(options->format));
    }
    return d;
}

static void print_next_steps(const char *format, const char *public_path, const char *secret_path)
{
    const bool own = format == NULL || strcmp(format, "cairn") == 0;
    const char *suffix = own ? "cairn" : format;
    char option[32] = "";
    if (!own) {
        (void)snprintf(option, sizeof option, " --format %s", format);
    }
    printf("\n  give %s%s to every client; each runs\n"
           "    cairn encrypt%s --key %s --index I --in model.safetensors --out update-I.%s\n"
           "  anybody adds:   cairn add%s --out sum.%s update-*.%s\n",
           public_path, own ? "" : ", with the .json beside it,", option, public_path, suffix,
           option, suffix, suffix);
    if (secret_path != NULL) {
        printf("  keep %s to yourself; it opens the sum:\n"
               "    cairn decrypt%s --key %s --in sum.%s --out mean.safetensors\n",
               secret_path, option, secret_path, suffix);
    }
}

static int keygen(struct cli *cli, const struct cairn_keygen_options *options,
                  const char *public_path, const char *secret_path, struct cairn_problem *why)
{
    struct cairn_files_report report;
    struct he_params params;
    enum he_profile profile = HE_CAPSULE;
    int error = cairn_files_keygen(options, public_path, secret_path, &report, why);
    if (error || he_profile_from_name(options->profile, &profile) != 0) {
        return error;
    }
    error = he_params_choose(profile, options->value_bits, options->contributors, &params, why);
    if (error) {
        return error;
    }
    if (!report.encrypted) {
        fprintf(stderr, "cairn: profile none: there is no key, nothing will be encrypted\n");
    }
    error = files_cli_print(cli, "made", make_document(options, &params, public_path, secret_path),
                            why);
    if (!error && !cli->json) {
        print_next_steps(options->format, public_path, report.encrypted ? secret_path : NULL);
    }
    return error;
}

int cmd_keygen(struct cli *cli, int argc, char **argv, struct cairn_problem *why)
{
    struct cairn_keygen_options options;
    const char *out = "cairn";
    cairn_keygen_options_init(&options);
    options.profile = NULL;
    const struct cli_option list[] = {
        {"contributors", CLI_NUMBER, "N", "no more clients than this in one sum; needed",
         &options.contributors, 1, UINT32_MAX},
        {"out", CLI_TEXT, "NAME", "writes NAME.public and NAME.secret, or into a folder (cairn)",
         &out, 0, 0},
        {"profile", CLI_TEXT, "NAME",
         "capsule (smallest), bfv, seal-ckks, or none: no encryption (capsule; for seal bfv, for "
         "tenseal seal-ckks)",
         &options.profile, 0, 0},
        {"value-bits", CLI_NUMBER, "B", "bits of a quantised value, 2 to 24 (16)",
         &options.value_bits, 2, 24},
        {"range", CLI_REAL, "R", "values lie within +-R (1)", &options.range, 0, 0},
        {"largest-samples", CLI_COUNT, "M", "the most samples that any client has (1: plain mean)",
         &options.largest_samples, 0, 0},
        {"format", CLI_TEXT, "NAME", "cairn, seal or tenseal: whose files these are (cairn)",
         &options.format, 0, 0},
        {"seal-version", CLI_TEXT, "V", "of SEAL's objects, 4.1 or 3.7 (4.1; tenseal 3.7)",
         &options.seal_version, 0, 0},
        {"force", CLI_FLAG, NULL, "replace files that are there", &options.force, 0, 0},
    };
    int error = cli_parse(cli, &argc, &argv, list, sizeof list / sizeof list[0], 0, 0, why);
    if (error) {
        return error;
    }
    if (options.profile == NULL) {
        options.profile = default_profile(options.format);
    }
    if (options.contributors == 0) {
        return files_cli_need("contributors", NULL, "say how many clients there may be", why);
    }
    struct buf public_path = {0};
    struct buf secret_path = {0};
    const char *public_text = NULL;
    const char *secret_text = NULL;
    if (make_paths(out, &public_path, &secret_path) == 0) {
        public_text = buf_text(&public_path);
        secret_text = buf_text(&secret_path);
    }
    error = public_text != NULL && secret_text != NULL
                ? keygen(cli, &options, public_text, secret_text, why)
                : cli_no_memory(why);
    buf_release(&public_path);
    buf_release(&secret_path);
    return error;
}
