/* SPDX-License-Identifier: Apache-2.0 */
/* What passes between a node and a trainer's program, as files in a private folder. */
#include "command_files.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "input.h"
#include "json.h"

enum {
    METRICS_MOST = 65536, /* some hundred numbers with their names */
    NAME_SIZE = 24,       /* of the files' names */
    FOLDERS_DEEP = 16,    /* descriptors that removing a tree may use */
    RUN = 4096,           /* elements of model.safetensors read at a time */
    /* A header of another library may have spaces, metadata and other names of keys around the same
     * tensors. */
    HEADER_SLACK = 65536,
    HEADER_TIMES = 4,
};

static void path_of(const struct command_files *files, const char *name,
                    char path[COMMAND_PATH_SIZE + NAME_SIZE])
{
    (void)snprintf(path, COMMAND_PATH_SIZE + NAME_SIZE, "%s/%s", files->folder, name);
}

int command_files_make(struct command_files *files, struct cairn_problem *why)
{
    char folder[COMMAND_PATH_SIZE];
    *files = (struct command_files){.model = -1};
    const int n = snprintf(folder, sizeof folder, "%s/cairn-train-XXXXXX",
                           file_temporary_folder());
    if (n < 0 || (size_t)n >= sizeof folder || mkdtemp(folder) == NULL) {
        return problem_set(why, CAIRN_ERR_STORAGE, "set TMPDIR to a folder that can be written",
                           "cannot make a work folder for the trainer, %s: %s", folder,
                           strerror(errno));
    }
    memcpy(files->folder, folder, sizeof folder);
    return 0;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status;
    (void)type;
    (void)where;
    (void)remove(path);
    return 0; /* as much as can be */
}

void command_files_remove(struct command_files *files)
{
    if (files->folder[0] == '\0') {
        return;
    }
    safetensors_close(&files->trained);
    command_home_release(&files->home);
    model_shape_release(&files->given);
    if (files->model >= 0) {
        (void)close(files->model);
    }
    (void)nftw(files->folder, remove_one, FOLDERS_DEEP, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    *files = (struct command_files){.model = -1};
}

/* ---- what is there for the program ---- */

static int write_at(struct command_files *files, uint64_t at, const void *bytes, size_t size,
                    struct cairn_problem *why)
{
    struct stat status;
    const int err = file_write_at(files->model, files->folder, at, bytes, size, why);
    if (fstat(files->model, &status) == 0) {
        files->written = status.st_mtim;
    }
    return err;
}

static bool stays(const struct command_files *files, const struct model_tensor *tensor)
{
    return files->share != NULL && !model_share_has(files->share, tensor);
}

bool command_files_lack_home(const struct command_files *files)
{
    return files->share != NULL && !files->share->everything && files->home.types == NULL;
}

static int open_model(struct command_files *files, struct cairn_problem *why)
{
    char path[COMMAND_PATH_SIZE + NAME_SIZE];
    path_of(files, "model.safetensors", path);
    if (files->model >= 0) {
        (void)close(files->model);
    }
    (void)unlink(
        path); /* a file of its own each time: a program may still have the last one open */
    files->model = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0400);
    return files->model < 0 ? file_failed(why, path, "make it") : 0;
}

int command_files_begin_model(struct command_files *files, const struct model_shape *shape,
                              struct cairn_problem *why)
{
    struct buf header = {0};
    model_shape_release(&files->given);
    int err = model_shape_typed(shape, files->home.types, &files->given, why);
    if (err == 0) {
        err = open_model(files, why);
    }
    if (err == 0) {
        err = safetensors_header(&files->given, files->metadata, &header, why);
    }
    if (err == 0) {
        files->data_at = header.size;
        err = write_at(files, 0, header.data, header.size, why);
    }
    if (err == 0 && files->home.types != NULL) {
        err = command_home_give(&files->home, files->share, &files->given, files->model,
                                files->data_at, files->folder, why);
    }
    buf_release(&header);
    return err;
}

/* Where this float is in model.safetensors; those of a run that is shared follow. */
static uint64_t place_of(const struct command_files *files, size_t first)
{
    const struct model_tensor *tensor = model_shape_find(&files->given, first);
    return files->data_at + tensor->byte + sizeof(float) * (uint64_t)(first - tensor->offset);
}

int command_files_put(struct command_files *files, size_t first, size_t n, const uint8_t *weights,
                      struct cairn_problem *why)
{
    return write_at(files, place_of(files, first), weights, n * sizeof(float), why);
}

static int put_words_of(struct command_files *files, const struct model_tensor *tensor,
                        const uint64_t *words, struct cairn_problem *why)
{
    const size_t size = tensor->count * model_dtype_size(tensor->dtype);
    uint8_t *bytes = malloc(size + 1); /* never of size 0 */
    if (bytes == NULL) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a model's integers");
    }
    const int err =
        model_dtype_from_words(tensor->dtype, words, tensor->count, bytes)
            ? write_at(files, files->data_at + tensor->byte, bytes, size, why)
            : problem_set(why, CAIRN_ERR_DATA, NULL, "tensor \"%s\" of dtype %s came with a value beyond it",
                          tensor->name, model_dtype_name(tensor->dtype));
    free(bytes);
    return err;
}

int command_files_put_words(struct command_files *files, const uint64_t *words,
                            struct cairn_problem *why)
{
    int err = 0;
    for (size_t t = 0; err == 0 && t < files->given.n_carried; t++) {
        const struct model_tensor *tensor = &files->given.carried[t];
        err = stays(files, tensor) ? 0 : put_words_of(files, tensor, words + tensor->offset, why);
    }
    return err;
}

int command_files_put_task(struct command_files *files, const json_t *task,
                           struct cairn_problem *why)
{
    char path[COMMAND_PATH_SIZE + NAME_SIZE];
    struct buf text = {0};
    safetensors_close(&files->trained);
    path_of(files, "trained.safetensors", path);
    (void)unlink(path);
    path_of(files, "metrics.json", path);
    (void)unlink(path);
    path_of(files, "task.json", path);
    int err = json_append(&text, task, 2);
    err = err != 0 ? problem_set(why, err, NULL, "no memory for a task")
                   : file_rewrite(path, text.data, text.size, 0600, why);
    buf_release(&text);
    return err;
}

/* ---- what it leaves ---- */

/* What is wrong with a file of the trainer is the trainer's fault. */
static int blame(struct cairn_problem *why, int err, const char *hint)
{
    struct cairn_problem inner = *why;
    return err == 0 || err == CAIRN_ERR_NO_MEMORY
               ? err
               : problem_set(why, CAIRN_ERR_TRAINER, hint, "%s", inner.what);
}

static int check_metrics(const json_t *metrics, struct cairn_problem *why)
{
    static const char hint[] = "it is an object of numbers, {\"samples\": 600, \"loss\": 0.5}";
    const char *key;
    json_t *value;
    if (!json_is_object(metrics)) {
        return problem_set(why, CAIRN_ERR_TRAINER, hint, "metrics.json is no object");
    }
    json_object_foreach((json_t *)(uintptr_t)metrics, key, value)
    {
        if (!json_is_number(value)) {
            return problem_set(why, CAIRN_ERR_TRAINER, hint, "metrics.json: \"%.60s\" is no number",
                               key);
        }
    }
    if (json_get_int(metrics, "samples", 0) < 1) {
        return problem_set(why, CAIRN_ERR_TRAINER, hint,
                           "metrics.json: \"samples\" is not a whole number from 1 on");
    }
    return 0;
}

int command_files_metrics(const struct command_files *files, json_t **out,
                          struct cairn_problem *why)
{
    static const char hint[] = "the trainer writes metrics.json into its work folder";
    char path[COMMAND_PATH_SIZE + NAME_SIZE];
    struct input in;
    struct buf text = {0};
    path_of(files, "metrics.json", path);
    int err = input_open(&in, path, why);
    if (err != 0) {
        return blame(why, err, hint);
    }
    if (in.size > METRICS_MOST) {
        err = problem_set(why, CAIRN_ERR_TRAINER, "keep it to numbers",
                          "metrics.json is longer than %d bytes", METRICS_MOST);
    } else {
        err = blame(why, input_append(&in, 0, (size_t)in.size, &text, why), hint);
    }
    input_close(&in);
    json_t *metrics = err == 0 ? json_parse(buf_span(&text), "metrics.json", why) : NULL;
    buf_release(&text);
    if (metrics == NULL) {
        return err != 0 ? err : blame(why, why->code, hint);
    }
    err = check_metrics(metrics, why);
    if (err != 0) {
        json_decref(metrics);
        return err;
    }
    *out = metrics;
    return 0;
}

/* The longest header that a file of this model may have. */
static int most_header(const struct command_files *files, const struct model_shape *shape,
                       uint64_t *most, struct cairn_problem *why)
{
    struct buf header = {0};
    const int err = safetensors_header(shape, files->metadata, &header, why);
    *most = HEADER_TIMES * (uint64_t)header.size + HEADER_SLACK;
    buf_release(&header);
    return err;
}

int command_files_open_trained(struct command_files *files, const struct model_shape *shape,
                               struct cairn_problem *why)
{
    char path[COMMAND_PATH_SIZE + NAME_SIZE];
    uint64_t most = 0;
    path_of(files, "trained.safetensors", path);
    int err = shape == NULL ? 0 : most_header(files, shape, &most, why);
    if (err == 0) {
        err = safetensors_open(&files->trained, path, shape, most, why);
        files->trained.in.path = "trained.safetensors"; /* from here on */
    }
    return blame(why, err,
                 "the trainer writes the model that it was given, trained, to "
                 "trained.safetensors in its work folder");
}

int command_files_words(const struct command_files *files, uint64_t *words,
                        struct cairn_problem *why)
{
    const struct model_shape *shape = files->trained.shape;
    int err = 0;
    for (size_t t = 0; err == 0 && t < shape->n_carried; t++) {
        const struct model_tensor *tensor = &shape->carried[t];
        err = stays(files, tensor) ? 0
                                   : safetensors_read_words_of(&files->trained, tensor,
                                                               words + tensor->offset, why);
    }
    return blame(why, err, "a BOOL is 0 or 1; the trainer writes the whole model, its integers too");
}

int command_files_keep_home(struct command_files *files, struct cairn_problem *why)
{
    return command_home_keep(&files->home, files->folder, files->share, &files->trained, why);
}

int command_files_check_model(const struct command_files *files, struct cairn_problem *why)
{
    struct stat status;
    if (fstat(files->model, &status) == 0 && status.st_mtim.tv_sec == files->written.tv_sec &&
        status.st_mtim.tv_nsec == files->written.tv_nsec) {
        return 0;
    }
    return problem_set(why, CAIRN_ERR_TRAINER, "write the trained model to trained.safetensors",
                       "the trainer has changed model.safetensors, which is for reading only");
}

int command_files_update(const struct command_files *files, size_t first, size_t n, float *out,
                         struct cairn_problem *why)
{
    const struct input model = {
        .path = "model.safetensors", .fd = files->model, .size = UINT64_MAX};
    float before[RUN];
    const uint64_t at = place_of(files, first);
    int err = safetensors_read_run(&files->trained, first, n, out, why);
    for (size_t done = 0, here; err == 0 && done < n; done += here) {
        here = n - done < RUN ? n - done : RUN;
        err = input_read(&model, at + sizeof(float) * (uint64_t)done, before,
                         here * sizeof *before, why);
        for (size_t i = 0; err == 0 && i < here; i++) {
            out[done + i] -= before[i];
        }
    }
    return err;
}
