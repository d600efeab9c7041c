/* SPDX-License-Identifier: Apache-2.0 */
/* What every command shares beside its options: printing, and reading config files. */
#include "cli.h"

#include <string.h>
#include <unistd.h>

#include "file.h"
#include "json.h"

int cli_no_memory(struct cairn_problem *why)
{
    return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "out of memory");
}

/* ---- what is printed ---- */

int cli_print_json(struct cli *cli, json_t *document, struct cairn_problem *why)
{
    struct buf text = {0};
    int error = document ? json_append(&text, document, 2) : CAIRN_ERR_NO_MEMORY;
    if (!error) {
        error = buf_append(&text, "\n", 1);
    }
    if (error) {
        error = cli_no_memory(why);
    } else if (fwrite(text.data, 1, text.size, stdout) != text.size || fflush(stdout) != 0) {
        error = problem_set(why, CAIRN_ERR_STORAGE, NULL, "cannot write to standard output");
    }
    cli->printed = true;
    buf_release(&text);
    json_decref(document);
    return error;
}

void cli_print_clean(FILE *to, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        (void)fputc(c < 0x20 || c == 0x7f ? '?' : c, to);
    }
}

void cli_print_problem(const char *command, const struct cairn_problem *problem)
{
    fprintf(stderr, "cairn%s%s: ", command[0] ? " " : "", command);
    cli_print_clean(stderr, problem->what);
    if (problem->hint[0]) {
        fprintf(stderr, "\n  what to do: ");
        cli_print_clean(stderr, problem->hint);
    }
    fprintf(stderr, "\n");
}

const char *cli_bytes(uint64_t bytes, char text[CLI_BYTES_SIZE])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1000 && unit < 4) {
        value /= 1000;
        unit++;
    }
    int decimals = unit == 0 ? 0 : value < 10 ? 2 : 1;
    (void)snprintf(text, CLI_BYTES_SIZE, "%.*f %s", decimals, value, units[unit]);
    return text;
}

int cli_error_from(const char *name, int exit_code)
{
    static const struct {
        const char *name;
        int code;
    } list[] = {
#define CAIRN_X(name, value, http, exit_code, sentence) {#name, (value)},
        CAIRN_ERRORS(CAIRN_X)
#undef CAIRN_X
    };
    /* the errors that the exit codes are named after */
    static const int plain[] = {CAIRN_ERR_USAGE,   CAIRN_ERR_CONFIG,  CAIRN_ERR_ENVIRONMENT,
                                CAIRN_ERR_NETWORK, CAIRN_ERR_QUORUM,  CAIRN_ERR_IDENTITY,
                                CAIRN_ERR_DATA,    CAIRN_ERR_REFUSED, CAIRN_ERR_STORAGE};
    for (size_t i = 0; name && i < sizeof list / sizeof list[0]; i++) {
        if (strcmp(list[i].name, name) == 0) {
            return list[i].code;
        }
    }
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        if (cairn_error_exit(plain[i]) == exit_code) {
            return plain[i];
        }
    }
    return CAIRN_ERR_BUG;
}

/* ---- config files ---- */

/* A config is a few hundred bytes a node: this is room for ten times the most clients there may be.
 */
static const size_t config_limit = (size_t)FED_MAX_CLIENTS * 10 * 512;

static void print_fault(const char *name, const struct fed_fault *fault)
{
    cli_print_clean(stderr, name);
    if (fault->line > 0) {
        fprintf(stderr, ":%u:%u", fault->line, fault->column);
    }
    fprintf(stderr, ": %s: ", fault->warning ? "warning" : "error");
    cli_print_clean(stderr, fault->text);
    fprintf(stderr, "\n");
}

static void keep_fault(struct cli *cli, const struct fed_fault *f)
{
    if (!cli->details) {
        cli->details = json_object();
    }
    json_t *list = json_object_get(cli->details, "faults");
    if (!list) {
        list = json_array();
        (void)json_object_set_new(cli->details, "faults", list);
    }
    (void)json_array_append_new(list,
                                json_pack("{s:i, s:i, s:b, s:s}", "line", (int)f->line, "column",
                                          (int)f->column, "warning", (int)f->warning, "text",
                                          f->text));
}

void cli_tell_fault(struct cli *cli, const char *name, const struct fed_fault *fault)
{
    if (!cli->quiet || !fault->warning) {
        print_fault(name, fault);
    }
    keep_fault(cli, fault);
}

int cli_check_config(struct cli *cli, const char *name, struct span text, struct fed_config *config,
                     struct cairn_problem *why)
{
    struct fed_faults faults = {0};
    int error = fed_config_read(name, text, config, &faults);
    for (size_t i = 0; i < faults.n; i++) {
        cli_tell_fault(cli, name, &faults.list[i]);
    }
    if (error == CAIRN_ERR_CONFIG) {
        (void)problem_set(why, error, "nothing was started; mend the config and run again",
                          "%s has %zu fault%s", name, faults.n_errors,
                          faults.n_errors == 1 ? "" : "s");
    } else if (error) {
        (void)problem_set(why, error, NULL, "cannot read %s: %s", name,
                          cairn_error_sentence(error));
    }
    fed_faults_release(&faults);
    return error;
}

int cli_read_config(struct cli *cli, const char *path, struct buf *text, struct fed_config *config,
                    struct cairn_problem *why)
{
    struct buf own = {0};
    struct buf *into = text ? text : &own;
    int error = file_read(path, config_limit, into, why);
    if (error == CAIRN_ERR_STORAGE) {
        why->code = error = CAIRN_ERR_CONFIG; /* not the disk's fault: it is the wrong path */
    }
    if (!error) {
        error = cli_check_config(cli, path, buf_span(into), config, why);
    }
    buf_release(&own);
    return error;
}

/* The config's reader takes a byte order mark, jansson does not. */
json_t *cli_config_document(struct span text, const char *name, struct cairn_problem *why)
{
    static const char mark[] = "\xef\xbb\xbf";
    size_t skip = text.size >= 3 && memcmp(text.data, mark, 3) == 0 ? 3 : 0;
    return json_parse((struct span){text.data + skip, text.size - skip}, name, why);
}
