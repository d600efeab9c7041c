/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options of a command: one table gives getopt_long its list, the help its lines, and the
 * values their places.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

enum { MOST_OPTIONS = 16, OPTION_HELP = 'h', OPTION_JSON = 'j', OPTION_FIRST = 256 };

struct option_names {
    const struct cli_option *options;
    size_t n;
};

static const char *option_name(const void *list, size_t i)
{
    static const char *const everywhere[] = {"help", "json"};
    const struct option_names *names = list;
    if (i < names->n) {
        return names->options[i].name;
    }
    return i - names->n < 2 ? everywhere[i - names->n] : NULL;
}

static void print_help(const struct cli_command *command, const struct cli_option *options,
                       size_t n)
{
    printf("cairn %s\n\n%s\n\n", command->usage, command->summary);
    for (size_t i = 0; i < n; i++) {
        char name[48];
        (void)snprintf(name, sizeof name, "--%s %s", options[i].name,
                       options[i].value ? options[i].value : "");
        printf("  %-22s %s\n", name, options[i].help);
    }
    printf("  %-22s %s\n", "--json", "print the result as one JSON document");
    printf("  %-22s %s\n", "--help", "this text");
}

static int bad_option(const struct cli_option *options, size_t n, const char *word, int kind,
                      struct cairn_problem *why)
{
    const char *hint = "`--help` lists the options";
    if (kind == ':') {
        return problem_set(why, CAIRN_ERR_USAGE, hint, "the option %s needs a value", word);
    }
    const char *plain = word + strspn(word, "-");
    const char *near = cli_nearest(plain, option_name, &(struct option_names){options, n});
    if (near) {
        return problem_set(why, CAIRN_ERR_USAGE, hint,
                           "there is no option \"%s\"; did you mean --%s?", word, near);
    }
    return problem_set(why, CAIRN_ERR_USAGE, hint, "there is no option \"%s\"", word);
}

static int set_number(const struct cli_option *option, const char *text, struct cairn_problem *why)
{
    char *end = NULL;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != 0 || errno != 0 || value < option->least ||
        value > option->most) {
        return problem_set(why, CAIRN_ERR_USAGE, NULL,
                           "--%s %s: a whole number from %u to %u is needed", option->name, text,
                           option->least, option->most);
    }
    *(unsigned *)option->into = (unsigned)value;
    return 0;
}

int cli_read_count(const char *option, const char *text, uint64_t *out, struct cairn_problem *why)
{
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != 0 || errno != 0) {
        return problem_set(why, CAIRN_ERR_USAGE, NULL, "--%s %s: a whole number is needed", option,
                           text);
    }
    *out = value;
    return 0;
}

static int set_real(const struct cli_option *option, const char *text, struct cairn_problem *why)
{
    char *end = NULL;
    double value = strtod(text, &end);
    const bool begins = (text[0] >= '0' && text[0] <= '9') || text[0] == '.';
    if (!begins || end == text || *end != 0 || !isfinite(value) || !(value > 0)) {
        return problem_set(why, CAIRN_ERR_USAGE, NULL, "--%s %s: a number above 0 is needed",
                           option->name, text);
    }
    *(double *)option->into = value;
    return 0;
}

static int set_option(const struct cli_option *option, const char *text, struct cairn_problem *why)
{
    switch (option->kind) {
    case CLI_FLAG:
        *(bool *)option->into = true;
        return 0;
    case CLI_TEXT:
        *(const char **)option->into = text;
        return 0;
    case CLI_NUMBER:
        return set_number(option, text, why);
    case CLI_COUNT:
        return cli_read_count(option->name, text, option->into, why);
    case CLI_REAL:
        return set_real(option, text, why);
    }
    return CAIRN_ERR_BUG;
}

static void fill_list(struct option *list, const struct cli_option *options, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        list[i] = (struct option){options[i].name,
                                  options[i].kind == CLI_FLAG ? no_argument : required_argument,
                                  NULL, OPTION_FIRST + (int)i};
    }
    list[n] = (struct option){"json", no_argument, NULL, OPTION_JSON};
    list[n + 1] = (struct option){"help", no_argument, NULL, OPTION_HELP};
    list[n + 2] = (struct option){NULL, 0, NULL, 0};
}

static int check_count(const struct cli_command *command, int n, char **argv, int least, int most,
                       struct cairn_problem *why)
{
    if (n < least) {
        return problem_set(why, CAIRN_ERR_USAGE, "`--help` says more",
                           "something is missing; the form is: cairn %s", command->usage);
    }
    if (n > most) {
        return problem_set(why, CAIRN_ERR_USAGE, "`--help` says more",
                           "\"%s\" is one argument too many; the form is: cairn %s", argv[most],
                           command->usage);
    }
    return 0;
}

int cli_parse(struct cli *cli, int *argc, char ***argv, const struct cli_option *options,
              size_t n_options, int least, int most, struct cairn_problem *why)
{
    struct option list[MOST_OPTIONS + 3];
    const struct cli_command *command = cli_find((*argv)[0]);
    if (!command) {
        command = cli_find("node");
    }
    if (!command || n_options > MOST_OPTIONS) {
        return CAIRN_ERR_BUG;
    }
    fill_list(list, options, n_options);
    opterr = 0;
    optind = 0; /* 0 makes glibc forget any earlier scan */
    for (int found; (found = getopt_long(*argc, *argv, ":h", list, NULL)) != -1;) {
        int error = 0;
        if (found == OPTION_HELP) {
            print_help(command, options, n_options);
            return CLI_HELPED;
        }
        if (found == OPTION_JSON) {
            cli->json = true;
        } else if (found >= OPTION_FIRST) {
            error = set_option(&options[found - OPTION_FIRST], optarg, why);
        } else {
            error = bad_option(options, n_options, (*argv)[optind - 1], found, why);
        }
        if (error) {
            return error;
        }
    }
    *argc -= optind;
    *argv += optind;
    return check_count(command, *argc, *argv, least, most, why);
}

/* ---- the nearest word ---- */

enum { LONGEST_WORD = 32 };

/* Edit distance of Levenshtein, one row at a time. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t row[LONGEST_WORD + 1];
    size_t n = strlen(b);
    for (size_t j = 0; j <= n; j++) {
        row[j] = j;
    }
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            best = row[j] + 1 < best ? row[j] + 1 : best;
            row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
        }
    }
    return row[n];
}

const char *cli_nearest(const char *word, const char *(*name)(const void *list, size_t i),
                        const void *list)
{
    const char *best = NULL;
    size_t length = strlen(word);
    size_t least = length < 4 ? 2 : 3; /* more than two slips in a word is another word */
    if (length == 0 || length > LONGEST_WORD) {
        return NULL;
    }
    for (size_t i = 0; name(list, i); i++) {
        if (strlen(name(list, i)) > LONGEST_WORD) {
            continue;
        }
        size_t distance = edit_distance(word, name(list, i));
        if (distance < least) {
            least = distance;
            best = name(list, i);
        }
    }
    return best;
}
