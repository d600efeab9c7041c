/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trainer that is somebody else's program, read from top to bottom:
 *
 *   take_model     the model goes into its file as it comes
 *   do_task        write the task, have it done within its time, end what is left
 *   command_train  a task, and what it has left behind is checked
 *
 * The update is the difference of two files and is read run by run, and what stays with the program is kept in a
 * file, so a client holds nothing of the model's size for either.
 */
#include "command_trainer.h"

#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "clock.h"
#include "command_files.h"
#include "command_process.h"
#include "json.h"
#include "log.h"
#include "model_file.h"
#include "quantiser.h"
#include "secret.h"
#include "sizes.h"

enum {
    MOST_LINES = 100, /* of a task's output in the log; the newest is always in GET /status */
    MOST_ERRORS = 24, /* lines of its errors in the log: a traceback */
    LAST_WORDS = 260, /* of its errors in a sentence */
    UPDATE_RUN = 4096, /* elements that are looked at at a time */
    TASK_VERSION = 1,
    ENVIRONMENT_FIXED = 6, /* PATH, HOME, LANG, CAIRN_DATA_DIR, CAIRN_WORK_DIR, CAIRN_SOCKET */
};

extern char **environ;

struct command {
    struct trainer base; /* first, so that freeing one frees the other */
    struct model_shape shape; /* of the model: floats, all F32, and behind them integers */
    struct model_shape whole; /* of an evaluator: in the order and with the types that the model began with */
    uint64_t *words;          /* the integers, in either's order */
    struct command_files files;
    struct command_process process;
    char **argv;        /* NULL at the end; owned, like its texts */
    char **environment; /* the same */
    char *guard;
    json_t *settings;
    json_t *metadata; /* of the model; NULL: none */
    double timeout_s, proximal_mu;
    uint64_t memory_bytes, seed;
    uint32_t client_number, client_index;
    bool keep, can_evaluate;
    float *first;               /* evaluator: the initial model, until it is asked for */
    struct cairn_problem taken; /* what went wrong when the model came */
    unsigned lines;             /* of this task's output in the log */
    pthread_mutex_t lock;       /* guards the next two */
    char progress[COMMAND_LINE];
    json_t *metrics;
};

/* ---- what the program says ---- */

static void note_line(void *ctx, const char *text)
{
    struct command *c = ctx;
    pthread_mutex_lock(&c->lock);
    (void)snprintf(c->progress, sizeof c->progress, "%s", text);
    pthread_mutex_unlock(&c->lock);
    if (c->lines < MOST_LINES) {
        log_line(LOG_INFO, "trainer: %s", text);
    } else if (c->lines == MOST_LINES) {
        log_line(LOG_INFO, "trainer: more than %d lines; GET /status tells the newest", MOST_LINES);
    }
    c->lines++;
}

/* The kept end of its standard error goes into the log, once. */
static void log_tail(struct command *c, enum log_level level)
{
    char words[COMMAND_TAIL + 1];
    const size_t n = c->process.n_tail;
    memcpy(words, c->process.tail, n);
    words[n] = '\0';
    c->process.n_tail = 0;
    const char *at = words;
    unsigned lines = 0;
    for (size_t i = n; i > 0 && lines <= MOST_ERRORS; i--) { /* the last ones */
        lines += words[i - 1] == '\n';
        at = lines <= MOST_ERRORS ? words + i - 1 : at;
    }
    while (*at != '\0') {
        const size_t length = strcspn(at, "\n");
        if (length > 0) {
            log_line(level, "trainer: %.*s", (int)length, at);
        }
        at += length + (at[length] == '\n');
    }
}

static int CAIRN_PRINTF(3, 4)
    failed(struct command *c, struct cairn_problem *why, const char *format, ...)
{
    char what[200], words[LAST_WORDS];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(what, sizeof what, format, args);
    va_end(args);
    command_process_last_words(&c->process, words, sizeof words);
    log_tail(c, LOG_ERROR);
    return problem_set(why, CAIRN_ERR_TRAINER, "more of its lines are in this node's log",
                       "the trainer %s%s%s", what,
                       words[0] == '\0' ? "" : "; its last words: ", words);
}

/* ---- a task ---- */

static json_t *make_task(const struct command *c, const char *kind, uint32_t round, double seconds)
{
    json_t *task =
        json_pack("{s:i, s:s, s:I, s:I, s:I, s:I, s:f, s:f, s:O}", "version", TASK_VERSION, "task",
                  kind, "round", (json_int_t)round, "index", (json_int_t)c->client_index,
                  "client_number", (json_int_t)c->client_number, "seed", (json_int_t)c->seed,
                  "seconds", seconds, "proximal_mu", c->proximal_mu, "settings", c->settings);
    if (task != NULL && c->client_number > 0) {
        (void)json_object_set_new(task, "samples", json_integer((json_int_t)c->base.samples));
    }
    return task;
}

static int start_program(struct command *c, struct cairn_problem *why)
{
    const struct command_start start = {.guard = c->guard,
                                        .command = c->argv,
                                        .environment = c->environment,
                                        .work_dir = c->files.folder,
                                        .keep = c->keep,
                                        .memory_bytes = c->memory_bytes,
                                        .line = note_line,
                                        .ctx = c};
    command_process_stop(&c->process);
    return command_process_start(&c->process, &start, why);
}

/* A message of a kept program. @return 0, or an error; *done when this was its answer */
static int take_message(struct command *c, const json_t *message, bool *done,
                        struct cairn_problem *why)
{
    const char *error = json_get_text(message, "error", NULL);
    const char *progress = json_get_text(message, "progress", NULL);
    if (error != NULL) {
        return failed(c, why, "reports: %.180s", error);
    }
    if (progress != NULL) {
        note_line(c, progress);
    }
    *done = json_get_bool(message, "done", 0) != 0;
    return progress != NULL || *done
               ? 0
               : failed(c, why, "sent a message without \"progress\", \"done\" or \"error\"");
}

/* What came of waiting. @return 0, or an error; *done when the task is over */
static int take_event(struct command *c, enum command_event event, const json_t *message,
                      double seconds, bool *done, struct cairn_problem *why)
{
    char fate[96];
    switch (event) {
    case COMMAND_MESSAGE:
        return take_message(c, message, done, why);
    case COMMAND_NONSENSE:
        return failed(c, why, "sent something that is no message");
    case COMMAND_LATE:
        command_process_stop(&c->process);
        return failed(c, why, "was not done after %.1f s and was ended", seconds);
    case COMMAND_INTERRUPTED:
        return failed(c, why, "was ended, because this node was asked to end");
    case COMMAND_ENDED:
        break;
    }
    command_process_fate(&c->process, fate, sizeof fate);
    *done = !c->keep && c->process.status == 0;
    return *done ? 0 : failed(c, why, "%s%s", fate, c->keep ? " without an answer" : "");
}

static int run_program(struct command *c, const json_t *task, double seconds,
                       struct cairn_problem *why)
{
    const uint64_t deadline = clock_now_ns(&clock_system) + (uint64_t)(seconds * 1e9);
    bool done = false;
    int err = 0;
    c->lines = 0;
    if (!c->keep || command_process_ended(&c->process)) {
        err = start_program(c, why);
    }
    if (err == 0 && c->keep) {
        err = command_process_send(&c->process, task, why);
    }
    while (err == 0 && !done) {
        json_t *message = NULL;
        const enum command_event event = command_process_wait(&c->process, deadline, &message);
        err = take_event(c, event, message, seconds, &done, why);
        json_decref(message);
    }
    return err;
}

/* A kept program goes on after what went well, and after nothing else. */
static int do_task(struct command *c, const char *kind, uint32_t round, struct cairn_problem *why)
{
    double seconds = c->timeout_s;
    if (c->base.deadline_ns > 0) {
        const uint64_t now = clock_now_ns(&clock_system);
        const double left = now < c->base.deadline_ns ? clock_seconds(now, c->base.deadline_ns) : 0;
        seconds = left < seconds ? left : seconds;
    }
    json_t *task = make_task(c, kind, round, seconds);
    int err = task == NULL ? problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a task")
                           : command_files_put_task(&c->files, task, why);
    if (err == 0) {
        err = run_program(c, task, seconds, why);
    }
    if (err != 0 || !c->keep) {
        command_process_stop(&c->process); /* whatever it was at */
    }
    json_decref(task);
    return err;
}

/* ---- struct trainer ---- */

static void command_initial(struct trainer *self, uint64_t seed, float *model)
{
    struct command *c = self->state;
    (void)seed; /* the program was told it */
    memcpy(model, c->first, c->shape.n_params * sizeof *model);
    free(c->first);
    c->first = NULL;
}

/* The task that else is the aggregator's: what this client's own part begins with. */
static int begin_home(struct command *c, struct cairn_problem *why)
{
    if (!command_files_lack_home(&c->files)) {
        return 0;
    }
    int err = do_task(c, "initial", 0, why);
    if (err == 0) {
        err = command_files_open_trained(&c->files, &c->shape, why);
    }
    return err != 0 ? err : command_files_keep_home(&c->files, why);
}

static int begin_model(struct command *c, struct cairn_problem *why)
{
    c->files.share = c->base.share;
    c->files.metadata = c->base.metadata;
    const int err = begin_home(c, why);
    return err != 0 ? err : command_files_begin_model(&c->files, &c->shape, why);
}

static void command_take_model(struct trainer *self, size_t first, size_t n, const uint8_t *weights)
{
    struct command *c = self->state;
    if (n == 0) {
        c->taken = (struct cairn_problem){0};
        c->taken.code = begin_model(c, &c->taken);
    } else if (c->taken.code == 0) {
        c->taken.code = command_files_put(&c->files, first, n, weights, &c->taken);
    }
}

static void keep_metrics(struct command *c, json_t *metrics)
{
    pthread_mutex_lock(&c->lock);
    json_decref(c->metrics);
    c->metrics = metrics;
    pthread_mutex_unlock(&c->lock);
}

/* What a finished training has left: counted, whole, and of the model that was sent. */
static int check_training(struct command *c, struct train_metrics *metrics,
                          struct cairn_problem *why)
{
    json_t *found = NULL;
    int err = command_files_metrics(&c->files, &found, why);
    if (err == 0) {
        metrics->samples = (uint64_t)json_get_int(found, "samples", 0);
        metrics->loss = json_get_number(found, "loss", 0);
        keep_metrics(c, found);
        if (metrics->samples > c->base.samples) {
            err = problem_set(
                why, CAIRN_ERR_TRAINER, "train.samples is the most that any client trains on",
                "metrics.json: %llu samples, but train.samples is %llu",
                (unsigned long long)metrics->samples, (unsigned long long)c->base.samples);
        }
    }
    if (err == 0) {
        err = command_files_open_trained(&c->files, &c->shape, why);
    }
    if (err == 0) {
        err = command_files_check_model(&c->files, why);
    }
    log_tail(c, err != 0 ? LOG_ERROR : LOG_INFO); /* also of who does well: it may warn */
    return err;
}

/* As its holder will ask for it, by which time it is too late to keep nothing of this training. */
static int check_update(struct command *c, struct cairn_problem *why)
{
    const struct model_share *share = c->files.share;
    float run[UPDATE_RUN];
    int err = 0;
    for (size_t first = 0, n, at; err == 0 && first < share->shape.n_params; first += n) {
        n = share->shape.n_params - first < UPDATE_RUN ? share->shape.n_params - first : UPDATE_RUN;
        n = model_share_run(share, first, n, &at);
        err = command_files_update(&c->files, at, n, run, why);
        if (err == 0) {
            err = quantiser_check_finite_part(&share->shape, run, first, n, why);
        }
    }
    secret_wipe(run, sizeof run);
    return err;
}

/* What stays with the program changes with the whole training only. */
static int keep_home(struct command *c, struct cairn_problem *why)
{
    if (c->files.share == NULL || c->files.share->everything) {
        return 0;
    }
    const int err = check_update(c, why);
    return err != 0 ? err : command_files_keep_home(&c->files, why);
}

static int command_train(struct trainer *self, const float *global, float *local, uint64_t seed,
                         uint32_t round, uint32_t client_index, struct train_metrics *metrics,
                         struct cairn_problem *why)
{
    struct command *c = self->state;
    const uint64_t from = clock_now_ns(&clock_system);
    (void)global;
    (void)local;
    (void)seed;
    (void)client_index;
    if (c->taken.code != 0) {
        *why = c->taken;
        return why->code;
    }
    int err = command_files_put_words(&c->files, c->words, why);
    if (err == 0) {
        err = do_task(c, "train", round, why);
    }
    if (err == 0) {
        err = check_training(c, metrics, why);
    }
    if (err == 0) {
        err = command_files_words(&c->files, c->words, why);
    }
    if (err == 0) {
        err = keep_home(c, why);
    }
    metrics->seconds = clock_seconds(from, clock_now_ns(&clock_system));
    if (err == 0 && c->process.left > 0) {
        (void)snprintf(metrics->note, sizeof metrics->note,
                       "the trainer left %u processes behind, which were ended; its update counts",
                       (unsigned)c->process.left);
    }
    return err;
}

static int command_update(struct trainer *self, uint32_t round, uint32_t client_index, size_t first,
                          size_t n, float *out, struct cairn_problem *why)
{
    struct command *c = self->state;
    (void)round;
    (void)client_index;
    return command_files_update(&c->files, first, n, out, why);
}

static int read_evaluation(struct command *c, struct eval_metrics *out, struct cairn_problem *why)
{
    json_t *found = NULL;
    const int err = command_files_metrics(&c->files, &found, why);
    if (err != 0) {
        return err;
    }
    const long long samples = json_get_int(found, "samples", 0);
    const double correct =
        json_get_number(found, "correct", json_get_number(found, "accuracy", 0) * (double)samples);
    if (!(correct >= 0) || correct > (double)samples) {
        json_decref(found);
        return problem_set(why, CAIRN_ERR_TRAINER, "\"accuracy\" is a share, \"correct\" a count",
                           "metrics.json: more correct than there are samples");
    }
    *out = (struct eval_metrics){.samples = (uint64_t)samples,
                                 .correct = (uint64_t)llround(correct),
                                 .no_classes = !json_object_get(found, "correct") &&
                                               !json_object_get(found, "accuracy"),
                                 .loss = json_get_number(found, "loss", 0)};
    keep_metrics(c, found);
    return 0;
}

/* A program that fails at this costs the round its accuracy, and nothing more. */
static int command_evaluate(struct trainer *self, const float *model, struct eval_metrics *metrics,
                            struct cairn_problem *why)
{
    struct command *c = self->state;
    *metrics = (struct eval_metrics){0};
    if (!c->can_evaluate) {
        return 0;
    }
    c->files.metadata = self->metadata;
    int err = command_files_begin_model(&c->files, &c->shape, why);
    if (err == 0) {
        err = command_files_put(&c->files, 0, c->shape.n_params, (const uint8_t *)model, why);
    }
    if (err == 0) {
        err = command_files_put_words(&c->files, c->words, why);
    }
    if (err == 0) {
        err = do_task(c, "evaluate", 0, why);
    }
    if (err == 0) {
        err = read_evaluation(c, metrics, why);
    }
    if (err != 0) {
        log_line(LOG_WARNING, "this round is not evaluated: %s", why->what);
    }
    return 0;
}

static void command_status(struct trainer *self, json_t *into)
{
    struct command *c = self->state;
    pthread_mutex_lock(&c->lock);
    if (c->progress[0] != '\0') {
        json_object_set_new(into, "progress", json_string(c->progress));
    }
    if (c->metrics != NULL) {
        json_object_set_new(into, "metrics", json_deep_copy(c->metrics));
    }
    pthread_mutex_unlock(&c->lock);
}

static void free_texts(char **list)
{
    for (size_t i = 0; list != NULL && list[i] != NULL; i++) {
        free(list[i]);
    }
    free(list);
}

static void command_free(struct trainer *self)
{
    struct command *c = self->state;
    command_process_stop(&c->process);
    command_files_remove(&c->files);
    model_shape_release(&c->shape);
    model_shape_release(&c->whole);
    free_texts(c->argv);
    free_texts(c->environment);
    json_decref(c->settings);
    json_decref(c->metadata);
    json_decref(c->metrics);
    free(c->guard);
    free(c->first);
    free(c->words);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

/* ---- making one ---- */

/* What begins with ./ or ../ is a path from the folder in which the node was started. */
static char *absolute(const char *text)
{
    char *out = NULL;
    char *here =
        strncmp(text, "./", 2) == 0 || strncmp(text, "../", 3) == 0 ? getcwd(NULL, 0) : NULL;
    if (here == NULL) {
        return strdup(text);
    }
    if (asprintf(&out, "%s/%s", here, text) < 0) {
        out = NULL;
    }
    free(here);
    return out;
}

/* JSON text, of an object or a list of nothing but texts. @return NULL with why */
static json_t *read_texts(const char *text, const char *name, struct cairn_problem *why)
{
    const struct span span = {(const uint8_t *)text, strlen(text)};
    json_t *json = json_parse(span, name, why);
    bool good = json_is_array(json);
    const char *key;
    json_t *value;
    size_t i;
    json_array_foreach(json, i, value)
    {
        good = good && json_is_string(value) && strlen(json_string_value(value)) > 0;
    }
    if (json_is_object(json)) {
        good = true;
        json_object_foreach(json, key, value)
        {
            good = good && json_is_string(value) && key[0] != '\0' && strchr(key, '=') == NULL;
        }
    }
    if (json != NULL && !good) {
        json_decref(json);
        (void)problem_set(why, CAIRN_ERR_CONFIG, NULL, "%s holds something else than texts", name);
        return NULL;
    }
    return json;
}

static int no_memory(struct cairn_problem *why)
{
    return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for the trainer");
}

static int make_argv(struct command *c, const char *text, struct cairn_problem *why)
{
    static const char hint[] =
        "set train.command, or on a node of its own --train-command, to a list of "
        "texts: [\"python3\", \"./train.py\"]";
    if (text == NULL || text[0] == '\0') {
        return problem_set(why, CAIRN_ERR_CONFIG, hint,
                           "train.type is command, but there is no command");
    }
    json_t *list = read_texts(text, "train.command", why);
    if (list == NULL || json_array_size(list) == 0) {
        json_decref(list);
        return problem_set(why, CAIRN_ERR_CONFIG, hint, "train.command is no list of texts");
    }
    int err = 0;
    c->argv = calloc(json_array_size(list) + 1, sizeof *c->argv);
    for (size_t i = 0; c->argv != NULL && err == 0 && i < json_array_size(list); i++) {
        c->argv[i] = absolute(json_string_value(json_array_get(list, i)));
        err = c->argv[i] == NULL ? no_memory(why) : 0;
    }
    json_decref(list);
    return c->argv == NULL ? no_memory(why) : err;
}

/* A variable at the end of a list that has room. */
static bool put_variable(char **list, size_t *n, const char *name, const char *value)
{
    if (value == NULL || asprintf(&list[*n], "%s=%s", name, value) < 0) {
        list[*n] = NULL;
        return value == NULL; /* nothing to put */
    }
    *n += 1;
    return true;
}

/* PATH, LANG, what is cairn's, and what the config says; the config's come first and win. */
static bool fill_environment(struct command *c, const json_t *own, const char *data_dir)
{
    char **list = c->environment;
    const char *path = getenv("PATH"), *key;
    json_t *value;
    size_t n = 0;
    bool good = true;
    json_object_foreach((json_t *)(uintptr_t)own, key, value)
    {
        char *text = absolute(json_string_value(value));
        good = text != NULL && put_variable(list, &n, key, text) && good;
        free(text);
    }
    char *data = data_dir == NULL ? NULL : realpath(data_dir, NULL);
    const struct {
        const char *name, *value;
    } fixed[ENVIRONMENT_FIXED] = {{"PATH", path != NULL ? path : "/usr/local/bin:/usr/bin:/bin"},
                                  {"HOME", c->files.folder},
                                  {"LANG", getenv("LANG")},
                                  {"CAIRN_DATA_DIR", data},
                                  {"CAIRN_WORK_DIR", c->files.folder},
                                  {"CAIRN_SOCKET", c->keep ? "3" : NULL}};
    for (size_t i = 0; i < ENVIRONMENT_FIXED; i++) {
        if (json_object_get(own, fixed[i].name) == NULL) {
            good = put_variable(list, &n, fixed[i].name, fixed[i].value) && good;
        }
    }
    free(data);
    for (char **at = environ; *at != NULL; at++) {
        const char *equals = strchr(*at, '=');
        const bool ours = strncmp(*at, "CAIRN_DATA_DIR=", 15) == 0 ||
                          strncmp(*at, "CAIRN_WORK_DIR=", 15) == 0 ||
                          strncmp(*at, "CAIRN_SOCKET=", 13) == 0;
        if (equals != NULL && strncmp(*at, "CAIRN_", 6) == 0 && !ours) {
            list[n] = strdup(*at);
            good = list[n++] != NULL && good;
        }
    }
    return good;
}

static int make_environment(struct command *c, const struct train_command_options *o,
                            struct cairn_problem *why)
{
    const bool none = o->environment == NULL || o->environment[0] == '\0';
    json_t *own = read_texts(none ? "{}" : o->environment, "train.environment", why);
    size_t room = json_object_size(own) + ENVIRONMENT_FIXED + 1;
    if (!json_is_object(own)) {
        json_decref(own);
        return problem_set(why, CAIRN_ERR_CONFIG, "{\"NAME\": \"value\"}",
                           "train.environment is no object of texts");
    }
    for (char **at = environ; *at != NULL; at++) {
        room++;
    }
    c->environment = calloc(room, sizeof *c->environment);
    const bool good = c->environment != NULL && fill_environment(c, own, o->data_dir);
    json_decref(own);
    return good ? 0 : no_memory(why);
}

static int make_settings(struct command *c, const char *text, struct cairn_problem *why)
{
    const bool none = text == NULL || text[0] == '\0';
    const struct span span = {(const uint8_t *)(none ? "{}" : text), none ? 2 : strlen(text)};
    c->settings = json_parse(span, "train.settings", why);
    return c->settings == NULL ? why->code : 0;
}

static int copy_shape(struct command *c, const struct model_shape *from, struct cairn_problem *why)
{
    int err = 0;
    for (size_t t = 0; err == 0 && t < from->n_tensors; t++) {
        const struct model_tensor *tensor = &from->tensors[t];
        err = model_shape_add(&c->shape, tensor->name, tensor->dims, tensor->n_dims, why);
    }
    for (size_t t = 0; err == 0 && t < from->n_carried; t++) {
        const struct model_tensor *tensor = &from->carried[t];
        err = model_shape_add_typed(&c->shape, tensor->name, tensor->dtype, tensor->dims,
                                    tensor->n_dims, why);
    }
    if (err == 0) {
        c->words = calloc(from->n_words + 1, sizeof *c->words); /* never of size 0 */
        err = c->words == NULL ? no_memory(why) : 0;
    }
    c->base.words = c->words;
    c->base.n_words = from->n_words;
    return err;
}

/* An evaluator's shape, metadata and initial model, of a file that is open. */
static int take_file(struct command *c, struct safetensors_file *file, struct cairn_problem *why)
{
    c->metadata = json_incref(file->metadata);
    c->base.metadata = c->metadata;
    c->first = size_alloc_array(file->found.n_params + 1, sizeof *c->first); /* never of size 0 */
    if (c->first == NULL) {
        return no_memory(why);
    }
    int err = safetensors_read_run(file, 0, file->found.n_params, c->first, why);
    if (err == 0) {
        err = model_shape_like(&file->found, &file->found, &c->whole, why);
    }
    if (err == 0) {
        err = copy_shape(c, &file->found, why);
    }
    return err != 0 ? err : safetensors_read_words(file, c->words, why);
}

static int make_initial(struct command *c, const struct train_command_options *o,
                        struct cairn_problem *why)
{
    struct safetensors_file file = {0};
    int err;
    if (o->model_file != NULL && o->model_file[0] != '\0') {
        err = model_file_open(&file, o->model_file, NULL, why);
        err = err != 0 ? err : take_file(c, &file, why);
        safetensors_close(&file);
        return err;
    }
    err = do_task(c, "initial", 0, why);
    if (err == 0) {
        err = command_files_open_trained(&c->files, NULL, why);
    }
    return err != 0 ? err : take_file(c, &c->files.trained, why);
}

static int build(struct command *c, const struct train_command_options *o,
                 struct cairn_problem *why)
{
    int err = command_files_make(&c->files, why);
    if (err == 0) {
        err = make_argv(c, o->command, why);
    }
    if (err == 0) {
        err = make_environment(c, o, why);
    }
    if (err == 0) {
        err = make_settings(c, o->settings, why);
    }
    if (err == 0) {
        c->guard = strdup(o->guard != NULL ? o->guard : "/proc/self/exe");
        err = c->guard == NULL ? no_memory(why) : 0;
    }
    if (err != 0) {
        return err;
    }
    return o->client_number > 0 ? copy_shape(c, o->shape, why) : make_initial(c, o, why);
}

int train_command_new(const struct train_command_options *options, struct trainer **out,
                      struct cairn_problem *why)
{
    struct command *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return no_memory(why);
    }
    const bool client = options->client_number > 0;
    pthread_mutex_init(&c->lock, NULL);
    c->files.model = -1;
    c->keep = options->keep;
    c->can_evaluate = !client && options->evaluate;
    c->timeout_s = options->timeout_s;
    c->proximal_mu = options->proximal_mu;
    c->memory_bytes = options->memory_bytes;
    c->seed = options->seed;
    c->client_number = options->client_number;
    c->client_index = options->client_index;
    c->metadata = json_incref((json_t *)(uintptr_t)options->metadata);
    c->base = (struct trainer){.shape = options->client_number > 0 ? &c->shape : &c->whole,
                               .samples = client ? options->samples : 0,
                               .by_run = true,
                               .metadata = c->metadata,
                               .state = c,
                               .initial = command_initial,
                               .take_model = command_take_model,
                               .train = command_train,
                               .update = command_update,
                               .evaluate = command_evaluate,
                               .status = command_status,
                               .free = command_free};
    const int err = build(c, options, why);
    if (err != 0) {
        command_free(&c->base);
        return err;
    }
    *out = &c->base;
    return 0;
}
