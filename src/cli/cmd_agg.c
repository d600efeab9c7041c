/* SPDX-License-Identifier: Apache-2.0 */
/* cairn agg: the aggregator. Reads a config, gives every node its own, runs the rounds, and ends.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "aggregator.h"
#include "cli.h"
#include "clock.h"
#include "log.h"
#include "reload.h"
#include "report.h"
#include "serve.h"

struct agg_options {
    const char *listen, *data_dir, *log_dir, *runs_dir, *init;
    unsigned port;
    bool verbose, quiet, resume, anew;
};

static int parse(struct cli *cli, int *argc, char ***argv, struct agg_options *o,
                 struct cairn_problem *why)
{
    const struct cli_option list[] = {
        {"listen", CLI_TEXT, "ADDRESS", "address to bind; default: the config's", &o->listen, 0, 0},
        {"port", CLI_NUMBER, "PORT", "port to bind; default: the config's", &o->port, 1, 65535},
        {"data-dir", CLI_TEXT, "DIR", "test data; default: the config's data.dir", &o->data_dir, 0,
         0},
        {"log-dir", CLI_TEXT, "DIR", "folder of the log; default: the config's", &o->log_dir, 0, 0},
        {"runs-dir", CLI_TEXT, "DIR", "folder of the results; default: the config's", &o->runs_dir,
         0, 0},
        {"init", CLI_TEXT, "FILE", "model to begin a new run with, safetensors, .npz or .npy; default: the trainer's",
         &o->init, 0, 0},
        {"resume", CLI_FLAG, NULL, "go on with an unfinished run, and with nothing else", &o->resume, 0,
         0},
        {"anew", CLI_FLAG, NULL, "give up an unfinished run of this config, which is otherwise gone on with",
         &o->anew, 0, 0},
        {"verbose", CLI_FLAG, NULL, "say more", &o->verbose, 0, 0},
        {"quiet", CLI_FLAG, NULL, "progress and errors only", &o->quiet, 0, 0},
    };
    int error = cli_parse(cli, argc, argv, list, sizeof list / sizeof list[0], 0, 1, why);
    if (!error && o->verbose) {
        log_set_level(LOG_DEBUG);
    } else if (!error && o->quiet) {
        log_set_level(LOG_WARNING);
        cli->quiet = true;
    }
    return error;
}

/* A server binds numbers; a config may hold names. */
static int resolve(const char *host, char *numeric, size_t size, struct cairn_problem *why)
{
    const struct addrinfo wanted = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int failed = getaddrinfo(host, NULL, &wanted, &found);
    if (!failed) {
        failed = getnameinfo(found->ai_addr, found->ai_addrlen, numeric, (socklen_t)size, NULL, 0,
                             NI_NUMERICHOST);
        freeaddrinfo(found);
    }
    if (failed) {
        return problem_set(why, CAIRN_ERR_ENVIRONMENT, "--listen 0.0.0.0 binds every address",
                           "the aggregator's name \"%s\" has no address here: %s", host,
                           gai_strerror(failed));
    }
    return 0;
}

static int set_runs_dir(struct fed_settings *settings, const char *runs_dir,
                        struct cairn_problem *why)
{
    if (runs_dir && strlen(runs_dir) >= sizeof settings->runs_dir) {
        return problem_set(why, CAIRN_ERR_USAGE, NULL, "--runs-dir is longer than %zu bytes",
                           sizeof settings->runs_dir - 1);
    }
    if (runs_dir) {
        memcpy(settings->runs_dir, runs_dir, strlen(runs_dir) + 1);
    }
    return 0;
}

static int listen_here(const struct agg_options *o, const struct fed_config *config,
                       struct reload *reload, struct serve **serve, struct cairn_problem *why)
{
    const struct fed_node *self = &config->tree.nodes[0];
    char numeric[NI_MAXHOST];
    if (!o->listen) {
        int error = resolve(self->host, numeric, sizeof numeric, why);
        if (error) {
            return error;
        }
    }
    const struct serve_options options = {
        .listen = o->listen ? o->listen : numeric,
        .port = (uint16_t)(o->port ? o->port : self->port),
        .advertise = self->address,
        .data_dir = o->data_dir ? o->data_dir : config->settings.data_dir,
        .log_dir = o->log_dir ? o->log_dir : config->settings.log_dir,
        .workers = config->settings.workers,
        .max_connections = config->settings.max_connections,
        /* on a terminal, SIGHUP says that it was closed, and ends the run as it ends everything there */
        .reload = isatty(STDERR_FILENO) ? NULL : reload_check,
        .reload_ctx = reload,
    };
    int error = serve_start(&options, serve, why);
    if (error == CAIRN_ERR_ENVIRONMENT && !o->listen) {
        size_t used = strlen(why->hint);
        (void)snprintf(why->hint + used, sizeof why->hint - used,
                       "%s--listen and --port bind another address than the config's",
                       used ? "; " : "");
    }
    return error;
}

static void print_progress(void *ctx, const char *line)
{
    (void)ctx;
    cli_print_clean(stderr, line);
    (void)fputc('\n', stderr);
}

struct until {
    struct role *role;
    struct cairn_problem problem;
    bool finished;
};

static bool is_finished(void *ctx)
{
    struct until *until = ctx;
    until->finished = aggregator_finished(until->role, &until->problem);
    return until->finished;
}

static int run(struct cli *cli, struct serve *serve, struct role *role, struct cairn_problem *why)
{
    struct until until = {.role = role};
    aggregator_on_progress(role, print_progress, NULL);
    int number = serve_run(serve, is_finished, &until);
    if (!until.finished) {
        cli->exit_code = 128 + number; /* as a shell reports it */
        return problem_set(why, CAIRN_ERR_TIMEOUT, NULL,
                           "stopped by signal %d (%s) before the run was over", number,
                           strsignal(number));
    }
    if (until.problem.code != 0) {
        *why = until.problem;
        return why->code;
    }
    json_t *summary = aggregator_summary(role);
    int error = 0;
    if (!summary) {
        error = cli_no_memory(why);
    } else if (cli->json) {
        error = cli_print_json(cli, json_incref(summary), why);
    } else {
        report_print(summary, stdout);
    }
    json_decref(summary);
    return error;
}

int cmd_agg(struct cli *cli, int argc, char **argv, struct cairn_problem *why)
{
    struct agg_options o = {0};
    int error = parse(cli, &argc, &argv, &o, why);
    if (error) {
        return error;
    }
    struct fed_config config = {0};
    struct buf text = {0};
    struct serve *serve = NULL;
    struct role *role = NULL;
    struct reload reload = {.path = argc > 0 ? argv[0] : "config.json"};
    error = cli_read_config(cli, reload.path, &text, &config, why);
    if (!error) {
        error = set_runs_dir(&config.settings, o.runs_dir, why);
    }
    if (!error) {
        reload.text = buf_span(&text);
        error = listen_here(&o, &config, &reload, &serve, why);
    }
    if (!error) {
        error = aggregator_new(&config, buf_span(&text),
                               o.resume ? AGGREGATOR_RESUME
                               : o.anew ? AGGREGATOR_ANEW
                                        : AGGREGATOR_EITHER,
                               o.init, node_host(serve_node(serve)), &role, why);
    }
    if (!error) {
        node_install(serve_node(serve), role);
        error = run(cli, serve, role, why);
    }
    serve_free(serve);
    fed_config_release(&config);
    buf_release(&text);
    return error;
}
