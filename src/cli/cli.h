/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include <cairn/err.h>

#include "config.h"

/**
 * What every command shares. A command parses its options with cli_parse, does its work, and
 * returns 0 or a CAIRN_ERR_*: main() prints the problem and turns it into the exit code, so that no
 * command has its own way of failing. stdout carries the result and nothing else; everything that
 * is said on the way goes to stderr.
 */
struct cli {
    bool json;       /* the result is exactly one JSON document */
    bool printed;    /* that document is out */
    bool quiet;      /* no warnings about the config */
    bool told;       /* the problem is on stderr already, from a child */
    json_t *details; /* more members for the document that reports a failure; owned */
    int exit_code;   /* when not 0, the process's exit code whatever the command returns */
};

struct cli_command {
    const char *name;
    int (*run)(struct cli *cli, int argc, char **argv, struct cairn_problem *why);
    const char *summary; /* one line */
    const char *usage;   /* what follows "cairn " */
};

/** The command with that name, or NULL. */
const struct cli_command *cli_find(const char *name);

/* ---- options ---- */

enum cli_kind {
    CLI_FLAG,   /* into: bool *, set true */
    CLI_TEXT,   /* into: const char ** */
    CLI_NUMBER, /* into: unsigned *, least .. most */
    CLI_COUNT,  /* into: uint64_t *, any */
    CLI_REAL,   /* into: double *, finite and above 0 */
};

struct cli_option {
    const char *name; /* "data-dir" */
    enum cli_kind kind;
    const char *value; /* "DIR", for the help; NULL for a flag */
    const char *help;
    void *into;
    unsigned least, most;
};

enum { CLI_HELPED = 1 }; /* the help was asked for and is printed: nothing more to do */

/**
 * Parse a command's arguments; --json and --help are understood everywhere.
 * @param[in,out] argc, argv  argv[0] is the command's name; afterwards only what is no option,
 * without it
 * @param least, most         how many such arguments may be left
 * @return 0, CLI_HELPED, or
 * @retval CAIRN_ERR_USAGE
 */
CAIRN_MUST_CHECK int cli_parse(struct cli *cli, int *argc, char ***argv,
                               const struct cli_option *options, size_t n_options, int least,
                               int most, struct cairn_problem *why);
/** A whole number. @retval CAIRN_ERR_USAGE names the option */
CAIRN_MUST_CHECK int cli_read_count(const char *option, const char *text, uint64_t *out,
                                    struct cairn_problem *why);
/** The word of the list that is written most like `word`, or NULL when none is near. name(i) is
 * NULL behind the last one. */
const char *cli_nearest(const char *word, const char *(*name)(const void *list, size_t i),
                        const void *list);

/* ---- what is printed ---- */

/** Print the command's one document on stdout. Takes the reference. @retval CAIRN_ERR_STORAGE */
CAIRN_MUST_CHECK int cli_print_json(struct cli *cli, json_t *document, struct cairn_problem *why);
/** A problem for people on stderr. */
void cli_print_problem(const char *command, const struct cairn_problem *problem);
/** Text that others made, with control characters made harmless. */
void cli_print_clean(FILE *to, const char *text);

/** 1234567 -> "1.23 MB"; decimal units, as in the limits that people quote. */
enum { CLI_BYTES_SIZE = 24 };
const char *cli_bytes(uint64_t bytes, char text[CLI_BYTES_SIZE]);

/* ---- config files ---- */

/**
 * Read and check a config file. Faults are printed on stderr, all of them, and kept in cli->details
 * ("faults").
 * @param[out] text    NULL, or gets the file's content appended, on failure too (buf_release)
 * @param[out] config  valid when 0 is returned; fed_config_release
 * @retval CAIRN_ERR_CONFIG, also for a file that is not there
 */
CAIRN_MUST_CHECK int cli_read_config(struct cli *cli, const char *path, struct buf *text,
                                     struct fed_config *config, struct cairn_problem *why);
/** The same for text; name as in fed_config_read. */
CAIRN_MUST_CHECK int cli_check_config(struct cli *cli, const char *name, struct span text,
                                      struct fed_config *config, struct cairn_problem *why);
/** Say a fault of a config and keep it in cli->details; with --quiet, a warning is only kept. */
void cli_tell_fault(struct cli *cli, const char *name, const struct fed_fault *fault);
/** The JSON of a config that has been read. New reference; NULL with `why`. */
json_t *cli_config_document(struct span text, const char *name, struct cairn_problem *why);

/** CAIRN_ERR_NO_MEMORY with a sentence. */
int cli_no_memory(struct cairn_problem *why);
/** The error whose name or, failing that, whose exit code this is; CAIRN_ERR_BUG for none. */
int cli_error_from(const char *name, int exit_code);

/* ---- the commands ---- */

#define CLI_COMMAND(name)                                                                          \
    int name(struct cli *cli, int argc, char **argv, struct cairn_problem *why)
CLI_COMMAND(cmd_add);
CLI_COMMAND(cmd_agg);
CLI_COMMAND(cmd_bench);
CLI_COMMAND(cmd_check);
CLI_COMMAND(cmd_compare);
CLI_COMMAND(cmd_decrypt);
CLI_COMMAND(cmd_demo);
CLI_COMMAND(cmd_encrypt);
CLI_COMMAND(cmd_eval);
CLI_COMMAND(cmd_inspect);
CLI_COMMAND(cmd_keygen);
CLI_COMMAND(cmd_log);
CLI_COMMAND(cmd_node);
CLI_COMMAND(cmd_push);
CLI_COMMAND(cmd_run);
CLI_COMMAND(cmd_schema);
CLI_COMMAND(cmd_status);

#endif
