/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A federation on this machine, read from top to bottom:
 *
 *   prepare        the config with loopback addresses, in a private folder
 *   start_nodes    `cairn node` for every node but the aggregator
 *   start_root     `cairn agg --json`, whose stdout is the result
 *   supervise      wait for the aggregator's end, a node that dies, or Ctrl-C
 *   add_usage      what wait4 says of every process goes into the document
 *
 * Whatever happens on the way, the processes are ended and the folder is removed.
 */
#include "federation.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "json.h"
#include "loopback.h"
#include "processes.h"
#include "roundlog.h"

void federation_options_list(struct federation_options *options,
                             struct cli_option list[FEDERATION_OPTIONS])
{
    list[0] = (struct cli_option){"data-dir",         CLI_TEXT, "DIR", "the data set's folder",
                                  &options->data_dir, 0,        0};
    list[1] = (struct cli_option){"log-dir",         CLI_TEXT, "DIR", "folder of the nodes' logs",
                                  &options->log_dir, 0,        0};
    list[2] = (struct cli_option){"runs-dir",         CLI_TEXT, "DIR", "folder of the results",
                                  &options->runs_dir, 0,        0};
    list[3] = (struct cli_option){
        "verbose", CLI_FLAG, NULL, "show every node's own lines too", &options->verbose, 0, 0};
}

struct federation {
    struct cli *cli;
    struct federation_options options; /* nothing is NULL any more */
    struct fed_config config;          /* with loopback addresses */
    char folder[PROCESS_PATH_SIZE];    /* private, removed at the end */
    char path[PROCESS_PATH_SIZE];      /* of the config in it */
    char logs[PROCESS_PATH_SIZE];      /* <log_dir>/<experiment> */
    struct processes set;              /* process i is node i + 1, the last one the aggregator */
    int output;                        /* the aggregator's stdout */
    struct buf answer;                 /* what has come out of it */
};

enum {
    GRACE_MS = 5000,   /* a node's handlers end within a second; training looks up once a batch */
    LAST_WORDS = 2000, /* of a node that died: a few lines */
};

/* ---- prepare ---- */

static int make_folder(struct federation *f, const char *name, struct cairn_problem *why)
{
    const char *slash = strrchr(name, '/');
    char folder[PROCESS_PATH_SIZE - 256];
    (void)snprintf(folder, sizeof folder, "%s/cairn-run-XXXXXX", file_temporary_folder());
    if (!mkdtemp(folder)) {
        return problem_set(why, CAIRN_ERR_STORAGE, "set TMPDIR to a folder that can be written",
                           "cannot make a folder like %s: %s", folder, strerror(errno));
    }
    (void)snprintf(f->folder, sizeof f->folder, "%s", folder);
    (void)snprintf(f->path, sizeof f->path, "%s/%.200s", folder, slash ? slash + 1 : name);
    return 0;
}

static void remove_folder(const struct federation *f)
{
    if (f->folder[0]) {
        (void)unlink(f->path);
        (void)rmdir(f->folder);
    }
}

static int read_silently(const char *name, struct span text, struct fed_config *config,
                         struct cairn_problem *why)
{
    struct fed_faults faults = {0};
    int error = fed_config_read(name, text, config, &faults);
    if (error) {
        (void)problem_set(why, error, "`cairn check` says more", "%s: %s", name,
                          faults.n ? faults.list[0].text : cairn_error_sentence(error));
    }
    fed_faults_release(&faults);
    return error;
}

/* The config as its nodes will have it, read again for the tree with the new addresses. */
static int rewrite(struct federation *f, const char *name, const json_t *config, struct buf *text,
                   struct cairn_problem *why)
{
    json_t *document = json_deep_copy(config);
    struct fed_config before = {0};
    int error = document && json_append(text, document, 2) == 0 ? 0 : cli_no_memory(why);
    if (!error) {
        error = read_silently(name, buf_span(text), &before, why);
    }
    if (!error) {
        error = loopback_rewrite(document, &before.tree, why);
        fed_config_release(&before);
    }
    buf_clear(text);
    if (!error && json_append(text, document, 2) != 0) {
        error = cli_no_memory(why);
    }
    json_decref(document);
    return error ? error : read_silently(name, buf_span(text), &f->config, why);
}

static int prepare(struct federation *f, const char *name, const json_t *config,
                   struct cairn_problem *why)
{
    struct buf text = {0};
    int error = rewrite(f, name, config, &text, why);
    if (!error) {
        const struct fed_settings *s = &f->config.settings;
        f->options.data_dir = f->options.data_dir ? f->options.data_dir : s->data_dir;
        f->options.log_dir = f->options.log_dir ? f->options.log_dir : s->log_dir;
        f->options.runs_dir = f->options.runs_dir ? f->options.runs_dir : s->runs_dir;
        (void)snprintf(f->logs, sizeof f->logs, "%s/%s", f->options.log_dir, s->experiment);
        error = file_make_folders(f->logs, why);
    }
    if (!error) {
        error = make_folder(f, name, why);
    }
    if (!error) {
        error = file_replace(f->path, text.data, text.size, 0600, why);
    }
    if (!error) {
        error = processes_init(&f->set, f->config.tree.n_nodes, why);
    }
    buf_release(&text);
    return error;
}

/* ---- start ---- */

/* Nodes take nothing to run from a config that is posted to them: this command, which the config was given to by
 * whoever runs it, tells them on their command lines. */
static void add_command(const struct fed_settings *s, const char **argv)
{
    if (s->train_command[0]) {
        *argv++ = "--train-command";
        *argv++ = s->train_command;
    }
    if (s->train_environment[0]) {
        *argv++ = "--train-environment";
        *argv++ = s->train_environment;
    }
}

static int start_nodes(struct federation *f, struct cairn_problem *why)
{
    enum { FIXED = 10, ADDED = 4 };
    int error = 0;
    for (uint32_t i = 1; !error && i < f->config.tree.n_nodes; i++) {
        const struct fed_node *node = &f->config.tree.nodes[i];
        char port[8], file[FED_ADDRESS_SIZE], errors[PROCESS_PATH_SIZE + FED_ADDRESS_SIZE + 8];
        (void)snprintf(port, sizeof port, "%u", (unsigned)node->port);
        roundlog_file_name(node->address, file, sizeof file);
        (void)snprintf(errors, sizeof errors, "%s/%s.err", f->logs, file);
        const char *argv[FIXED + ADDED + 1] = {
            "cairn", "node",       "--listen",          node->host,  "--port",
            port,    "--data-dir", f->options.data_dir, "--log-dir", f->options.log_dir};
        add_command(&f->config.settings, argv + FIXED);
        error = processes_start(&f->set, node->address, argv, f->options.verbose ? NULL : errors,
                                NULL, why);
    }
    return error;
}

static int start_root(struct federation *f, struct cairn_problem *why)
{
    const char *const argv[] = {"cairn",      "agg",
                                f->path,      "--json",
                                "--data-dir", f->options.data_dir,
                                "--log-dir",  f->options.log_dir,
                                "--runs-dir", f->options.runs_dir,
                                "--quiet",    NULL};
    return processes_start(&f->set, f->config.tree.nodes[0].address, argv, NULL, &f->output, why);
}

/* ---- supervise ---- */

static struct process *root_of(struct federation *f)
{
    return &f->set.list[f->set.n - 1];
}

/* What a node printed last is mostly the reason; its line about what to do would need the one
 * before. */
static void last_line(struct buf *words, char *line, size_t size)
{
    const char *text = buf_text(words);
    line[0] = 0;
    if (!text) {
        return;
    }
    for (const char *at = text; *at;) {
        size_t length = strcspn(at, "\n");
        if (length > 0 && at[0] != ' ') {
            (void)snprintf(line, size, "%.*s", (int)length, at);
        }
        at += length + (at[length] == '\n');
    }
}

static int node_died(const struct process *p, struct cairn_problem *why)
{
    struct buf words = {0};
    char line[240];
    process_last_words(p, LAST_WORDS, &words);
    last_line(&words, line, sizeof line);
    int code = p->exit_status > 128 ? CAIRN_ERR_ENVIRONMENT : cli_error_from(NULL, p->exit_status);
    const char *file = p->errors[0] ? p->errors : "the lines above";
    int error = 0;
    if (p->exit_status > 128) {
        char hint[200];
        (void)snprintf(hint, sizeof hint, "its own lines are in %.150s", file);
        error = problem_set(why, code, hint, "the node %s was ended by signal %d (%s)%s%s", p->name,
                            p->exit_status - 128, strsignal(p->exit_status - 128),
                            line[0] ? "; its last line: " : "", line);
    } else {
        error = problem_set(why, code, NULL, "the node %s ended with exit status %d%s%s", p->name,
                            p->exit_status, line[0] ? ": " : "", line);
    }
    buf_release(&words);
    return error;
}

static int check_ended(struct federation *f, bool *finished, struct cairn_problem *why)
{
    for (size_t i = 0; i + 1 < f->set.n; i++) {
        if (f->set.list[i].pid == 0) {
            return node_died(&f->set.list[i], why);
        }
    }
    *finished = root_of(f)->pid == 0;
    return 0;
}

/* A run's document is some hundred bytes a node; 64 MB are a bound against nonsense. */
static const size_t answer_limit = (size_t)64 << 20;

/* @return false at the end of the output */
static bool read_answer(struct federation *f)
{
    uint8_t bytes[4096];
    ssize_t got = read(f->output, bytes, sizeof bytes);
    if (got < 0 && errno == EINTR) {
        return true;
    }
    return got > 0 && f->answer.size < answer_limit &&
           buf_append(&f->answer, bytes, (size_t)got) == 0;
}

static int interrupted(struct federation *f, int number, struct cairn_problem *why)
{
    f->cli->exit_code = 128 + number; /* as a shell reports it */
    return problem_set(why, CAIRN_ERR_TIMEOUT, NULL,
                       "stopped by signal %d (%s); every node was ended", number,
                       strsignal(number));
}

static int supervise(struct federation *f, struct cairn_problem *why)
{
    bool finished = false;
    int number = 0;
    int error = 0;
    int output = f->output;
    while (!error && !(finished && output < 0)) {
        switch (processes_wait(&f->set, output, -1, &number)) {
        case PROCESSES_SIGNAL:
            error = interrupted(f, number, why);
            break;
        case PROCESSES_OUTPUT:
            if (!read_answer(f)) {
                output = -1;
            }
            break;
        case PROCESSES_ENDED:
            error = check_ended(f, &finished, why);
            break;
        case PROCESSES_TIMEOUT:
            break;
        }
    }
    return error;
}

/* ---- the result ---- */

static void add_usage(const struct federation *f, json_t *document)
{
    size_t k;
    json_t *entry;
    json_array_foreach(json_object_get(document, "nodes"), k, entry)
    {
        const char *address = json_get_text(entry, "address", "");
        for (size_t i = 0; i < f->set.n; i++) {
            const struct process *p = &f->set.list[i];
            if (strcmp(p->name, address) == 0) {
                (void)json_object_set_new(entry, "cpu_s", json_real(p->cpu_s));
                (void)json_object_set_new(entry, "peak_rss_bytes",
                                          json_integer((json_int_t)p->peak_rss_bytes));
            }
        }
    }
}

/* The most that one client sent in one round, from the logs that the aggregator has collected. */
static void add_largest_upload(const struct federation *f, json_t *document)
{
    long long largest = 0;
    for (uint32_t i = 1; i < f->config.tree.n_nodes; i++) {
        const struct fed_node *node = &f->config.tree.nodes[i];
        char file[FED_ADDRESS_SIZE], path[PROCESS_PATH_SIZE];
        struct buf text = {0};
        struct cairn_problem ignored;
        roundlog_file_name(node->address, file, sizeof file);
        (void)snprintf(path, sizeof path, "%.800s/%s/nodes/%s.json", f->options.runs_dir,
                       f->config.settings.experiment, file);
        json_t *log = NULL;
        if (node->type == FED_CLIENT && file_read(path, answer_limit, &text, &ignored) == 0) {
            log = json_parse(buf_span(&text), path, &ignored);
        }
        size_t k;
        json_t *entry;
        json_array_foreach(json_object_get(log, "iteration"), k, entry)
        {
            long long bytes = json_get_int(entry, "byte_send", 0);
            largest = bytes > largest ? bytes : largest;
        }
        json_decref(log);
        buf_release(&text);
    }
    (void)json_object_set_new(document, "largest_upload_bytes", json_integer(largest));
}

static int aggregator_failed(struct federation *f, const json_t *answer, struct cairn_problem *why)
{
    const struct process *root = root_of(f);
    if (answer && json_object_get(answer, "error")) {
        int code = cli_error_from(json_get_text(answer, "code", ""), root->exit_status);
        f->cli->told = true;
        return problem_set(why, code, json_get_text(answer, "hint", ""), "%s",
                           json_get_text(answer, "error", ""));
    }
    return problem_set(why, CAIRN_ERR_BUG, NULL,
                       "the aggregator %s ended with exit status %d and without a result",
                       root->name, root->exit_status);
}

static int take_result(struct federation *f, json_t **document, struct cairn_problem *why)
{
    struct cairn_problem ignored;
    json_t *answer = json_parse(buf_span(&f->answer), "the aggregator's result", &ignored);
    if (!answer || root_of(f)->exit_status != 0) {
        int error = aggregator_failed(f, answer, why);
        json_decref(answer);
        return error;
    }
    add_usage(f, answer);
    add_largest_upload(f, answer);
    *document = answer;
    return 0;
}

int federation_run(struct cli *cli, const char *name, const json_t *config,
                   const struct federation_options *options, json_t **document,
                   struct cairn_problem *why)
{
    struct federation f = {.cli = cli, .options = *options, .output = -1};
    *document = NULL;
    int error = prepare(&f, name, config, why);
    if (!error) {
        error = start_nodes(&f, why);
    }
    if (!error) {
        error = start_root(&f, why);
    }
    if (!error) {
        error = supervise(&f, why);
    }
    if (f.set.list) {
        processes_stop(&f.set, GRACE_MS);
    }
    if (!error) {
        error = take_result(&f, document, why);
    }
    if (f.output >= 0) {
        (void)close(f.output);
    }
    processes_release(&f.set);
    remove_folder(&f);
    buf_release(&f.answer);
    fed_config_release(&f.config);
    return error;
}
