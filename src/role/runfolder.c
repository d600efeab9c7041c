/* SPDX-License-Identifier: Apache-2.0 */
#include "runfolder.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "json.h"
#include "log.h"
#include "roundlog.h"
#include "safetensors.h"

#define ROUND_START "round-"
#define ROUND_END ".safetensors"

void runfolder_path(const struct runfolder *run, const char *name, char out[RUNFOLDER_PATH_SIZE])
{
    snprintf(out, RUNFOLDER_PATH_SIZE, "%s/%.100s", run->path, name);
}

void runfolder_locate(struct runfolder *run, const char *runs_dir, const char *experiment)
{
    snprintf(run->path, sizeof run->path, "%s/%s", runs_dir, experiment);
}

/* The folder, without a summary, and with the config. */
static int begin(struct runfolder *run, struct span config_text, struct cairn_problem *why)
{
    char path[RUNFOLDER_PATH_SIZE];
    runfolder_path(run, "nodes", path);
    const int err = file_make_folders(path, why);
    if (err != 0) {
        return err;
    }
    runfolder_path(run, "summary.json", path);
    unlink(path);
    runfolder_path(run, "config.json", path);
    return file_replace(path, config_text.data, config_text.size, 0644, why);
}

/* Models of rounds of an earlier run. */
static void drop_rounds(const struct runfolder *run)
{
    char path[RUNFOLDER_PATH_SIZE];
    DIR *folder = opendir(run->path);
    const struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        const char *rest = entry->d_name + strlen(ROUND_START);
        if (strncmp(entry->d_name, ROUND_START, strlen(ROUND_START)) == 0 &&
            strcmp(rest + strspn(rest, "0123456789"), ROUND_END) == 0) {
            runfolder_path(run, entry->d_name, path);
            unlink(path);
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
}

int runfolder_begin(struct runfolder *run, const char *runs_dir, const char *experiment,
                    struct span config_text, struct cairn_problem *why)
{
    char path[RUNFOLDER_PATH_SIZE];
    runfolder_locate(run, runs_dir, experiment);
    runfolder_path(run, "rounds.jsonl", path);
    unlink(path);
    drop_rounds(run);
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
    char path[RUNFOLDER_PATH_SIZE];
    struct buf text = {0};
    runfolder_locate(run, runs_dir, experiment);
    int err = begin(run, config_text, why);
    runfolder_path(run, "rounds.jsonl", path);
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
    char path[RUNFOLDER_PATH_SIZE];
    struct buf text = {0};
    runfolder_path(run, "rounds.jsonl", path);
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

int runfolder_model(struct runfolder *run, uint32_t round, struct trainer *trainer,
                    const float *model, struct cairn_problem *why)
{
    char path[RUNFOLDER_PATH_SIZE], name[32] = "model.safetensors";
    if (round > 0) {
        snprintf(name, sizeof name, ROUND_START "%u" ROUND_END, (unsigned)round);
    }
    runfolder_path(run, name, path);
    if (trainer->write == NULL) {
        return safetensors_write(path, trainer->shape, model, why);
    }
    int err = trainer->write(trainer, path, model, false, why);
    if (err == CAIRN_ERR_DATA) {
        log_line(LOG_WARNING, "%s: %s; it is written as float32", path, why->what);
        err = trainer->write(trainer, path, model, true, why);
    }
    return err;
}

int runfolder_node(struct runfolder *run, const char *address, const json_t *log,
                   struct cairn_problem *why)
{
    char path[RUNFOLDER_PATH_SIZE], name[FED_ADDRESS_SIZE];
    roundlog_file_name(address, name, sizeof name);
    snprintf(path, sizeof path, "%s/nodes/%s.json", run->path, name);
    return write_document(path, log, false, why);
}

int runfolder_summary(struct runfolder *run, const json_t *summary, struct cairn_problem *why)
{
    char path[RUNFOLDER_PATH_SIZE];
    runfolder_path(run, "summary.json", path);
    return write_document(path, summary, true, why);
}
