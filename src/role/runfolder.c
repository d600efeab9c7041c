/* SPDX-License-Identifier: Apache-2.0 */
#include "runfolder.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "json.h"
#include "roundlog.h"
#include "safetensors.h"

enum { RUN_PATH = FED_PATH_SIZE + FED_NAME_SIZE + FED_ADDRESS_SIZE + 32 };

static void path_in(const struct runfolder *run, const char *name, char out[RUN_PATH])
{
    snprintf(out, RUN_PATH, "%s/%s", run->path, name);
}

void runfolder_locate(struct runfolder *run, const char *runs_dir, const char *experiment)
{
    snprintf(run->path, sizeof run->path, "%s/%s", runs_dir, experiment);
}

/* The folder, without a summary, and with the config. */
static int begin(struct runfolder *run, struct span config_text, struct cairn_problem *why)
{
    char path[RUN_PATH];
    path_in(run, "nodes", path);
    const int err = file_make_folders(path, why);
    if (err != 0) {
        return err;
    }
    path_in(run, "summary.json", path);
    unlink(path);
    path_in(run, "config.json", path);
    return file_replace(path, config_text.data, config_text.size, 0644, why);
}

int runfolder_begin(struct runfolder *run, const char *runs_dir, const char *experiment,
                    struct span config_text, struct cairn_problem *why)
{
    char path[RUN_PATH];
    runfolder_locate(run, runs_dir, experiment);
    path_in(run, "rounds.jsonl", path);
    unlink(path);
    return begin(run, config_text, why);
}

/* Bytes of the whole lines at the text's beginning that are of rounds up to `committed`. */
static size_t committed_lines(struct span text, const char *path, uint32_t committed)
{
    size_t at = 0;
    while (at < text.size) {
        const uint8_t *line = text.data + at;
        const uint8_t *end = memchr(line, '\n', text.size - at);
        if (end == NULL) {
            break;
        }
        const struct span one = {line, (size_t)(end - line)};
        struct cairn_problem why;
        json_t *document = json_parse(one, path, &why);
        const long long round = json_get_int(document, "round", 0);
        json_decref(document);
        if (round < 1 || round > (long long)committed) {
            break;
        }
        at += one.size + 1;
    }
    return at;
}

int runfolder_resume(struct runfolder *run, const char *runs_dir, const char *experiment,
                     struct span config_text, uint32_t committed, struct cairn_problem *why)
{
    enum { LIMIT = 1 << 28 }; /* 4 KiB for each of 65536 rounds */
    char path[RUN_PATH];
    struct buf text = {0};
    runfolder_locate(run, runs_dir, experiment);
    int err = begin(run, config_text, why);
    path_in(run, "rounds.jsonl", path);
    if (err == 0 && file_exists(path)) {
        err = file_read(path, LIMIT, &text, why);
    }
    if (err == 0) {
        const size_t keep = committed_lines(buf_span(&text), path, committed);
        err = keep == text.size ? 0 : file_replace(path, text.data, keep, 0644, why);
    }
    buf_release(&text);
    return err;
}

/* A node's log can be asked for again; the summary stands for the whole run. */
static int write_document(const char *path, const json_t *document, bool durable,
                          struct cairn_problem *why)
{
    struct buf text = {0};
    int err = json_append(&text, document, 2);
    if (err == 0) {
        err = buf_append(&text, "\n", 1);
    }
    if (err != 0) {
        problem_set(why, err, NULL, "no memory for %s", path);
    } else {
        err = durable ? file_replace(path, text.data, text.size, 0644, why)
                      : file_rewrite(path, text.data, text.size, 0644, why);
    }
    buf_release(&text);
    return err;
}

int runfolder_round(struct runfolder *run, const json_t *line, struct cairn_problem *why)
{
    char path[RUN_PATH];
    struct buf text = {0};
    path_in(run, "rounds.jsonl", path);
    int err = json_append(&text, line, 0);
    if (err == 0) {
        err = buf_append(&text, "\n", 1);
    }
    if (err != 0) {
        problem_set(why, err, NULL, "no memory for %s", path);
    } else {
        err = file_append(path, text.data, text.size, why);
    }
    buf_release(&text);
    return err;
}

int runfolder_model(struct runfolder *run, const struct model_shape *shape, const float *model,
                    struct cairn_problem *why)
{
    char path[RUN_PATH];
    path_in(run, "model.safetensors", path);
    return safetensors_write(path, shape, model, NULL, 0, why);
}

int runfolder_node(struct runfolder *run, const char *address, const json_t *log,
                   struct cairn_problem *why)
{
    char path[RUN_PATH], name[FED_ADDRESS_SIZE];
    roundlog_file_name(address, name, sizeof name);
    snprintf(path, sizeof path, "%s/nodes/%s.json", run->path, name);
    return write_document(path, log, false, why);
}

int runfolder_summary(struct runfolder *run, const json_t *summary, struct cairn_problem *why)
{
    char path[RUN_PATH];
    path_in(run, "summary.json", path);
    return write_document(path, summary, true, why);
}
