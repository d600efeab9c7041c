/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cairn, the program. One table names every command; this file finds the one that is
 * asked for, runs it, and turns what it returns into words and an exit code. Each command is a file
 * of its own, cmd_<name>.c.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "command_guard.h"
#include "random.h"
#include "secret.h"

static const struct cli_command commands[] = {
    {"agg", cmd_agg, "push every node its config, run the rounds", "agg [config.json] [options]"},
    {"node", cmd_node, "wait for a config and take the role it names", "[node] [options]"},
    {"demo", cmd_demo, "the whole federation on this machine, on real data", "demo [options]"},
    {"run", cmd_run, "all nodes of a config on this machine, one process each",
     "run config.json [options]"},
    {"compare", cmd_compare, "the four scenarios one after the other, and one table",
     "compare config.json [options]"},
    {"check", cmd_check, "validate a config; print tree, parameters, bytes and memory",
     "check config.json [options]"},
    {"push", cmd_push, "send nodes their config without running anything",
     "push config.json [address...] [options]"},
    {"status", cmd_status, "what a running node is doing", "status address|URL [options]"},
    {"log", cmd_log, "a running node's log", "log address|URL [options]"},
    {"bench", cmd_bench, "what encryption costs on this machine", "bench [options]"},
    {"schema", cmd_schema, "the JSON Schema of config.json", "schema [options]"},
    {"keygen", cmd_keygen, "a key pair for the cryptography on files",
     "keygen --contributors N [--out NAME] [options]"},
    {"encrypt", cmd_encrypt, "a model becomes an update file",
     "encrypt --key PUBLIC --index I --in MODEL --out UPDATE [options]"},
    {"add", cmd_add, "update files become one; no key is needed",
     "add --out SUM UPDATE... [options]"},
    {"decrypt", cmd_decrypt, "a sum becomes the weighted mean of its models",
     "decrypt --key SECRET --in SUM --out MODEL [options]"},
    {"eval", cmd_eval, "how good a model is on a test set",
     "eval MODEL [config.json] [--data-dir DIR] [options]"},
    {"inspect", cmd_inspect, "tell what a file is and what is in it", "inspect FILE [options]"},
};

enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

const struct cli_command *cli_find(const char *name)
{
    for (size_t i = 0; i < N_COMMANDS; i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

static const char *command_name(const void *list, size_t i)
{
    (void)list;
    return i < N_COMMANDS ? commands[i].name : NULL;
}

static void print_help(void)
{
    printf("cairn " CAIRN_VERSION
           ": federated averaging over encrypted models, summed inside the network\n\n");
    for (size_t i = 0; i < N_COMMANDS; i++) {
        printf("  cairn %-8s  %s\n", commands[i].name, commands[i].summary);
    }
    printf("\n`cairn` alone is `cairn node`. `cairn COMMAND --help` says more about each; --json\n"
           "makes any of them print exactly one JSON document.\n\n"
           "exit codes: 0 done, 2 command line, 3 config, 4 this machine, 5 network, 6 identity,\n"
           "7 too few contributors, 8 data or training, 9 integrity, 10 disk, 70 a bug in cairn\n");
}

static int unknown_command(const char *word, struct cairn_problem *why)
{
    const char *near = cli_nearest(word, command_name, NULL);
    if (near) {
        return problem_set(why, CAIRN_ERR_USAGE, "`cairn --help` lists every command",
                           "there is no command \"%s\"; did you mean `cairn %s`?", word, near);
    }
    return problem_set(why, CAIRN_ERR_USAGE, "`cairn --help` lists every command",
                       "there is no command \"%s\"", word);
}

/* Scripts that asked for JSON get JSON also when things go wrong, even when the
 * options could not be read. */
static bool wants_json(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            return true;
        }
    }
    return false;
}

static void report_failure(struct cli *cli, const char *name, const struct cairn_problem *problem,
                           int exit_code)
{
    if (!cli->told) {
        cli_print_problem(name, problem);
    }
    if (!cli->json || cli->printed) {
        return;
    }
    json_t *document =
        json_pack("{s:s, s:s, s:s, s:i}", "error", problem->what, "hint", problem->hint, "code",
                  cairn_error_name(problem->code), "exit", exit_code);
    if (document && cli->details) {
        (void)json_object_update(document, cli->details);
    }
    struct cairn_problem unwritable;
    if (cli_print_json(cli, document, &unwritable) != 0) {
        cli_print_problem(name, &unwritable);
    }
}

static int finish(struct cli *cli, const char *name, int error, struct cairn_problem *problem)
{
    if (error >= 0 && (fflush(stdout) != 0 || ferror(stdout))) {
        error = problem_set(problem, CAIRN_ERR_STORAGE, NULL, "cannot write to standard output");
    }
    int exit_code = error < 0 ? cairn_error_exit(error) : 0;
    if (cli->exit_code != 0) {
        exit_code = cli->exit_code;
    }
    if (error < 0) {
        problem->code = error;
        if (problem->what[0] == 0) {
            (void)problem_set(problem, error, NULL, "%s", cairn_error_sentence(error));
        }
        report_failure(cli, name, problem, exit_code);
    }
    json_decref(cli->details);
    return exit_code;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], COMMAND_GUARD_WORD) == 0) { /* no command of people's */
        return command_guard_main(argc, argv);
    }
    secret_harden_process();
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGCHLD, SIG_DFL); /* a parent may have left it ignored, and wait4 needs it */

    struct cli cli = {.json = wants_json(argc, argv)};
    struct cairn_problem problem = {0};
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
                     strcmp(argv[1], "help") == 0)) {
        print_help();
        return finish(&cli, "", 0, &problem);
    }
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        printf("cairn " CAIRN_VERSION "\n");
        return finish(&cli, "", 0, &problem);
    }
    random_prepare();
    if (argc <= 1 || argv[1][0] == '-') {
        return finish(&cli, "node", cmd_node(&cli, argc, argv, &problem), &problem);
    }
    const struct cli_command *command = cli_find(argv[1]);
    if (!command) {
        return finish(&cli, "", unknown_command(argv[1], &problem), &problem);
    }
    int error = command->run(&cli, argc - 1, argv + 1, &problem);
    return finish(&cli, command->name, error, &problem);
}
