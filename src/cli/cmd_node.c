/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cairn node: wait for a config and take the role that it names.
 *
 * --daemon: the shell's process forks, and the child becomes the node. The child reports through a
 * pipe once it listens, or why it does not, so the shell gets an honest exit code and the prompt
 * comes back when the node can be used.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "file.h"
#include "log.h"
#include "serve.h"

struct node_arguments {
    const char *listen, *advertise, *data_dir, *log_dir, *train_command, *train_environment;
    unsigned port;
    bool daemon, verbose, quiet;
};

static int check_length(const char *option, const char *text, struct cairn_problem *why)
{
    return text == NULL || strlen(text) < FED_JSON_SIZE
               ? 0
               : problem_set(why, CAIRN_ERR_USAGE, NULL, "%s is longer than %d bytes", option,
                             FED_JSON_SIZE - 1);
}

static int parse(struct cli *cli, int *argc, char ***argv, struct node_arguments *o,
                 struct cairn_problem *why)
{
    const struct cli_option list[] = {
        {"listen", CLI_TEXT, "ADDRESS", "address to bind; default 0.0.0.0, all", &o->listen, 0, 0},
        {"port", CLI_NUMBER, "PORT", "port to bind; default 5000", &o->port, 1, 65535},
        {"advertise", CLI_TEXT, "HOST:PORT", "what the others call this node, for logs",
         &o->advertise, 0, 0},
        {"data-dir", CLI_TEXT, "DIR", "this machine's data set; default data", &o->data_dir, 0, 0},
        {"log-dir", CLI_TEXT, "DIR", "folder of the logs; default log", &o->log_dir, 0, 0},
        {"train-command", CLI_TEXT, "JSON",
         "what train.type command runs here: '[\"python3\", \"./train.py\"]'", &o->train_command, 0, 0},
        {"train-environment", CLI_TEXT, "JSON", "more variables for it: '{\"NAME\": \"value\"}'",
         &o->train_environment, 0, 0},
        {"daemon", CLI_FLAG, NULL, "go on after the shell has ended", &o->daemon, 0, 0},
        {"verbose", CLI_FLAG, NULL, "say more", &o->verbose, 0, 0},
        {"quiet", CLI_FLAG, NULL, "only warnings", &o->quiet, 0, 0},
    };
    int error = cli_parse(cli, argc, argv, list, sizeof list / sizeof list[0], 0, 0, why);
    if (!error) {
        error = check_length("--train-command", o->train_command, why);
    }
    if (!error) {
        error = check_length("--train-environment", o->train_environment, why);
    }
    if (!error && o->verbose) {
        log_set_level(LOG_DEBUG);
    } else if (!error && o->quiet) {
        log_set_level(LOG_WARNING);
    }
    return error;
}

static int start(const struct node_arguments *o, struct serve **serve, struct cairn_problem *why)
{
    const struct serve_options options = {.listen = o->listen,
                                          .port = (uint16_t)o->port,
                                          .advertise = o->advertise,
                                          .data_dir = o->data_dir,
                                          .log_dir = o->log_dir,
                                          .train_command = o->train_command,
                                          .train_environment = o->train_environment};
    return serve_start(&options, serve, why);
}

/* SIGTERM and SIGINT are how a node is ended, so they are no failure. */
static int run_here(const struct node_arguments *o, struct cairn_problem *why)
{
    struct serve *serve = NULL;
    int error = start(o, &serve, why);
    if (!error) {
        char name[FED_ADDRESS_SIZE];
        (void)snprintf(name, sizeof name, "%s:%u", o->listen, o->port);
        log_set_name(o->advertise ? o->advertise : name);
        log_line(LOG_INFO, "waiting for a config on %s port %u", o->listen, o->port);
        (void)serve_run(serve, NULL, NULL);
    }
    serve_free(serve);
    return error;
}

/* ---- as a daemon ---- */

static bool write_all(int fd, const void *bytes, size_t size)
{
    const char *at = bytes;
    while (size > 0) {
        ssize_t n = write(fd, at, size);
        if (n < 0 && errno != EINTR) {
            return false;
        }
        at += n > 0 ? n : 0;
        size -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

static bool read_all(int fd, void *bytes, size_t size)
{
    char *at = bytes;
    while (size > 0) {
        ssize_t n = read(fd, at, size);
        if (n == 0 || (n < 0 && errno != EINTR)) {
            return false;
        }
        at += n > 0 ? n : 0;
        size -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

static int redirect(const char *path, struct cairn_problem *why)
{
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (nothing < 0 || log < 0) {
        return problem_set(why, CAIRN_ERR_STORAGE, "choose another folder with --log-dir",
                           "cannot write %s: %s", path, strerror(errno));
    }
    (void)dup2(nothing, STDIN_FILENO);
    (void)dup2(log, STDOUT_FILENO);
    (void)dup2(log, STDERR_FILENO);
    (void)close(nothing);
    (void)close(log);
    return 0;
}

/* The child. It reports to the shell's process through `report` and never returns into main's
 * reporting. */
_Noreturn static void live_on(const struct node_arguments *o, const char *log, int report)
{
    struct cairn_problem why = {0};
    struct serve *serve = NULL;
    (void)setsid();
    (void)signal(SIGHUP, SIG_IGN);
    why.code = redirect(log, &why);
    if (why.code == 0) {
        why.code = start(o, &serve, &why);
    }
    bool told = write_all(report, &why, sizeof why);
    (void)close(report);
    if (why.code == 0 && told) {
        log_line(LOG_INFO, "waiting for a config on %s port %u", o->listen, o->port);
        (void)serve_run(serve, NULL, NULL);
    }
    serve_free(serve);
    _exit(why.code == 0 ? 0 : cairn_error_exit(why.code));
}

static int tell_shell(struct cli *cli, const struct node_arguments *o, pid_t pid, const char *log,
                      struct cairn_problem *why)
{
    if (cli->json) {
        return cli_print_json(cli,
                              json_pack("{s:i, s:s, s:i, s:s}", "pid", (int)pid, "listen",
                                        o->listen, "port", (int)o->port, "log", log),
                              why);
    }
    printf("cairn node %d listens on %s port %u; its lines go to %s; end it with: kill %d\n",
           (int)pid, o->listen, o->port, log, (int)pid);
    return 0;
}

static int run_as_daemon(struct cli *cli, const struct node_arguments *o, struct cairn_problem *why)
{
    char log[PATH_MAX];
    int pipe_ends[2];
    int error = file_make_folders(o->log_dir, why);
    if (error) {
        return error;
    }
    (void)snprintf(log, sizeof log, "%s/cairn-%u.log", o->log_dir, o->port);
    if (pipe2(pipe_ends, O_CLOEXEC) != 0) {
        return problem_set(why, CAIRN_ERR_ENVIRONMENT, NULL, "cannot make a pipe: %s",
                           strerror(errno));
    }
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(pipe_ends[0]);
        live_on(o, log, pipe_ends[1]);
    }
    (void)close(pipe_ends[1]);
    struct cairn_problem told = {0};
    if (pid < 0) {
        error = problem_set(why, CAIRN_ERR_ENVIRONMENT, NULL, "cannot fork: %s", strerror(errno));
    } else if (!read_all(pipe_ends[0], &told, sizeof told)) {
        error = problem_set(why, CAIRN_ERR_ENVIRONMENT, NULL,
                            "the node ended before it could listen; see %s", log);
    } else if (told.code != 0) {
        *why = told;
        error = told.code;
    }
    (void)close(pipe_ends[0]);
    return error ? error : tell_shell(cli, o, pid, log, why);
}

int cmd_node(struct cli *cli, int argc, char **argv, struct cairn_problem *why)
{
    struct node_arguments o = {
        .listen = "0.0.0.0", .port = FED_DEFAULT_PORT, .data_dir = "data", .log_dir = "log"};
    int error = parse(cli, &argc, &argv, &o, why);
    if (error) {
        return error;
    }
    return o.daemon ? run_as_daemon(cli, &o, why) : run_here(&o, why);
}
