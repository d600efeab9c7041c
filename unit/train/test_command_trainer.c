/* SPDX-License-Identifier: Apache-2.0 */
/* A trainer that is a program: shell scripts, with this test program as their guard. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "command_guard.h"
#include "command_trainer.h"
#include "log.h"

enum { N = 5 };
static const float model[N] = {1, -2, 3.5F, 0, 8};

#define COPY                                                                                       \
    "cp model.safetensors trained.safetensors; echo '{\"samples\": 2, \"loss\": 0.25}' > "         \
    "metrics.json; "

static struct trainer *make(const char *script, const struct train_command_options *more)
{
    struct model_shape shape = {0};
    struct train_command_options options = {0};
    struct cairn_problem why = {0};
    struct trainer *t = NULL;
    char command[2048];
    json_t *list = json_pack("[s, s, s]", "sh", "-c", script);
    char *text = json_dumps(list, 0);
    if (more != NULL) {
        options = *more;
    }
    assert_true(strlen(text) < sizeof command);
    memcpy(command, text, strlen(text) + 1);
    free(text);
    json_decref(list);
    options.command = command;
    options.shape = &shape;
    options.samples = 3;
    options.client_number = 4;
    options.client_index = 2;
    options.timeout_s = options.timeout_s > 0 ? options.timeout_s : 30;
    assert_int_equal(model_shape_add(&shape, "w", (const uint64_t[]){2, 2}, 2, NULL), 0);
    assert_int_equal(model_shape_add(&shape, "nothing", (const uint64_t[]){0}, 1, NULL), 0);
    assert_int_equal(model_shape_add(&shape, "s", NULL, 0, NULL), 0);
    assert_int_equal(train_command_new(&options, &t, &why), 0);
    model_shape_release(&shape);
    assert_int_equal(t->shape->n_params, N);
    assert_true(t->by_run && !t->needs_model);
    return t;
}

static int train(struct trainer *t, struct train_metrics *metrics, struct cairn_problem *why)
{
    uint8_t odd[1 + sizeof model]; /* weights come unaligned */
    memcpy(odd + 1, model, sizeof model);
    t->take_model(t, 0, 0, odd + 1);
    t->take_model(t, 0, 3, odd + 1);
    t->take_model(t, 3, 2, odd + 1 + 3 * sizeof(float));
    *metrics = (struct train_metrics){0};
    return t->train(t, NULL, NULL, 7, 4, 2, metrics, why);
}

/* Expect a failure whose sentence has these words. */
static void expect_failure(const char *script, const struct train_command_options *more,
                           const char *words)
{
    struct train_metrics metrics;
    struct cairn_problem why = {0};
    struct trainer *t = make(script, more);
    assert_int_equal(train(t, &metrics, &why), CAIRN_ERR_TRAINER);
    if (strstr(why.what, words) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", words, why.what);
    }
    t->free(t);
}

static void test_command__copies(void **state)
{
    (void)state;
    struct train_metrics metrics;
    struct cairn_problem why = {0};
    float update[N] = {9, 9, 9, 9, 9};
    struct trainer *t = make(COPY "echo half; echo done", NULL);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(train(t, &metrics, &why), 0);
        assert_int_equal(metrics.samples, 2);
        assert_true(metrics.loss == 0.25);
        assert_string_equal(metrics.note, "");
        assert_int_equal(t->update(t, 4, 2, 0, N, update, &why), 0);
        for (int i = 0; i < N; i++) {
            assert_true(update[i] == 0);
        }
    }
    json_t *status = json_object();
    t->status(t, status);
    assert_string_equal(json_string_value(json_object_get(status, "progress")), "done");
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(status, "metrics"), "samples")), 2);
    json_decref(status);
    t->free(t);
}

/* The last four bytes of the file are element 4: it becomes 2.0f, little-endian 00 00 00 40. */
static void test_command__update_is_the_difference(void **state)
{
    (void)state;
    struct train_metrics metrics;
    struct cairn_problem why = {0};
    float update[2];
    struct trainer *t = make("head -c -4 model.safetensors > trained.safetensors; "
                             "printf '\\000\\000\\000\\100' >> trained.safetensors; "
                             "echo '{\"samples\": 3}' > metrics.json",
                             NULL);
    assert_int_equal(train(t, &metrics, &why), 0);
    assert_int_equal(t->update(t, 4, 2, 3, 2, update, &why), 0);
    assert_true(update[0] == 0 && update[1] == -6);
    t->free(t);
}

static void test_command__task_and_folder(void **state)
{
    (void)state;
    static const char script[] =
        "grep -q '\"task\": \"train\"' task.json && grep -q '\"round\": 4' task.json && "
        "grep -q '\"index\": 2' task.json && grep -q '\"client_number\": 4' task.json && "
        "grep -q '\"samples\": 3' task.json && grep -q '\"seed\": 7' task.json && "
        "grep -q '\"proximal_mu\": 0.25' task.json && "
        "grep -q '\"x\": null' task.json && [ \"$HOME\" = \"$PWD\" ] && "
        "[ \"$CAIRN_WORK_DIR\" = \"$PWD\" ] && [ \"$(stat -c %a .)\" = 700 ] && "
        "[ \"$(ulimit -c)\" = 0 ] && [ \"$(ulimit -Hn)\" -le 4096 ] && [ \"$A\" = \"$B/x\" ] && [ "
        "-z \"$SHOULD_NOT\" ] && " COPY;
    char here[512], environment[1024];
    struct train_metrics metrics;
    struct cairn_problem why = {0};
    assert_non_null(getcwd(here, sizeof here));
    (void)snprintf(environment, sizeof environment, "{\"A\": \"./x\", \"B\": \"%s/.\"}", here);
    assert_int_equal(setenv("SHOULD_NOT", "be there", 1), 0);
    struct trainer *t = make(script, &(struct train_command_options){.settings = "{\"x\": null}",
                                                                     .environment = environment,
                                                                     .seed = 7,
                                                                     .proximal_mu = 0.25});
    const int err = train(t, &metrics, &why);
    if (err != 0) {
        fail_msg("%s", why.what);
    }
    t->free(t);
}

static void test_command__folder_is_removed(void **state)
{
    (void)state;
    struct train_metrics metrics;
    struct cairn_problem why = {0};
    char folder[] = "/tmp/cairn-unit-XXXXXX", script[512], where[64];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(where, sizeof where, "%s/where", folder);
    (void)snprintf(script, sizeof script, "pwd > %s; mkdir -p a/b; touch a/b/c; " COPY, where);
    struct trainer *t = make(script, NULL);
    assert_int_equal(train(t, &metrics, &why), 0);
    FILE *file = fopen(where, "r");
    char path[512] = "";
    struct stat status;
    assert_non_null(file);
    assert_non_null(fgets(path, sizeof path, file));
    (void)fclose(file);
    path[strcspn(path, "\n")] = '\0';
    assert_int_equal(stat(path, &status), 0);
    t->free(t);
    assert_int_equal(stat(path, &status), -1);
    (void)unlink(where);
    (void)rmdir(folder);
}

static void test_command__faults(void **state)
{
    (void)state;
    expect_failure("echo what now >&2; exit 3", NULL,
                   "ended with exit status 3; its last words: what now");
    expect_failure("kill -SEGV $$", NULL, "was ended by signal 11 (Segmentation fault)");
    expect_failure(":", NULL, "metrics.json: cannot open");
    expect_failure("echo '{' > metrics.json", NULL, "metrics.json:2:");
    expect_failure("echo '[]' > metrics.json", NULL, "is no object");
    expect_failure("echo '{\"samples\": 2.5}' > metrics.json", NULL, "not a whole number");
    expect_failure("mkdir metrics.json", NULL, "is no regular file");
    expect_failure("head -c 70000 /dev/zero > metrics.json", NULL, "longer than");
    expect_failure("echo '{\"samples\": 4}' > metrics.json", NULL, "train.samples is 3");
    expect_failure("echo '{\"samples\": 3}' > metrics.json", NULL,
                   "trained.safetensors: cannot open");
    expect_failure(COPY "truncate -s -1 trained.safetensors", NULL, "trained.safetensors");
    expect_failure(COPY "ln -sf /dev/zero trained.safetensors", NULL, "no regular file");
    expect_failure(COPY "printf '\\000\\000\\020\\000\\000\\000\\000\\000' > trained.safetensors; "
                        "head -c 2000000 /dev/zero >> trained.safetensors",
                   NULL, "a header of");
    expect_failure(COPY
                   "chmod 600 model.safetensors; printf x | dd of=model.safetensors bs=1 seek=9 "
                   "conv=notrunc 2> /dev/null",
                   NULL, "has changed model.safetensors");
}

static void test_command__deadline(void **state)
{
    (void)state;
    struct train_metrics metrics;
    struct cairn_problem why = {0};
    const uint64_t from = clock_now_ns(&clock_system);
    struct trainer *t = make("exec sleep 1000", &(struct train_command_options){.timeout_s = 500});
    t->deadline_ns = from + 300000000;
    assert_int_equal(train(t, &metrics, &why), CAIRN_ERR_TRAINER);
    assert_non_null(strstr(why.what, "was not done after 0."));
    assert_true(clock_now_ns(&clock_system) - from < UINT64_C(20000000000));
    t->free(t);
    expect_failure("while :; do echo again and again >&2; done",
                   &(struct train_command_options){.timeout_s = 0.3}, "again and again");
}

static pid_t pid_in(const char *path)
{
    FILE *file = fopen(path, "r");
    char text[32] = "";
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof text, file));
    (void)fclose(file);
    return (pid_t)strtol(text, NULL, 10);
}

/* Orphans in a session of their own: of a program that ends well, and of one that is ended. */
static void test_command__nothing_is_left(void **state)
{
    (void)state;
    char folder[] = "/tmp/cairn-unit-XXXXXX", script[1024], where[64];
    struct train_metrics metrics;
    struct cairn_problem why = {0};
    assert_non_null(mkdtemp(folder));
    (void)snprintf(where, sizeof where, "%s/pid", folder);
    for (int hangs = 0; hangs < 2; hangs++) {
        (void)snprintf(script, sizeof script,
                       "setsid sh -c 'setsid sleep 1000 > /dev/null 2>&1 & echo $! > %s'; " COPY
                       "%s",
                       where, hangs ? "sleep 1000" : "");
        struct trainer *t =
            make(script, &(struct train_command_options){.timeout_s = hangs ? 1 : 30});
        assert_int_equal(train(t, &metrics, &why), hangs ? CAIRN_ERR_TRAINER : 0);
        assert_string_equal(metrics.note, hangs ? ""
                                                : "the trainer left 1 processes behind, which were "
                                                  "ended; its update counts");
        assert_int_equal(kill(pid_in(where), 0), -1);
        assert_int_equal(errno, ESRCH);
        t->free(t);
    }
    (void)unlink(where);
    (void)rmdir(folder);
}

static void test_command__options(void **state)
{
    (void)state;
    static const struct {
        const char *command, *environment, *words;
    } cases[] = {
        {"", "", "there is no command"},
        {"[]", "", "no list of texts"},
        {"{\"a\": \"b\"}", "", "no list of texts"},
        {"[\"a\", 3]", "", "no list of texts"},
        {"[\"a\"]", "[\"b\"]", "no object of texts"},
        {"[\"a\"]", "{\"b\": 1}", "no object of texts"},
        {"[\"a\"]", "{\"b=c\": \"d\"}", "no object of texts"},
    };
    struct model_shape shape = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct train_command_options options = {.command = cases[i].command,
                                                      .environment = cases[i].environment,
                                                      .shape = &shape,
                                                      .client_number = 1};
        struct cairn_problem why = {0};
        struct trainer *t = NULL;
        assert_int_equal(train_command_new(&options, &t, &why), CAIRN_ERR_CONFIG);
        assert_null(t);
        assert_non_null(strstr(why.what, cases[i].words));
    }
}

/* The program may leave it out again. Its longest header is one that has it, too. */
static void test_command__metadata(void **state)
{
    (void)state;
    char value[100001];
    struct train_metrics metrics;
    struct cairn_problem why = {0};
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    json_t *metadata = json_pack("{s:s, s:s}", "note", "kept as it is", "long", value);
    struct trainer *t = make("head -c 60 model.safetensors | grep -q '\"__metadata__\": {\"note\": \"kept as it is\", ' && " COPY,
                             &(struct train_command_options){.metadata = metadata});
    json_decref(metadata);
    if (train(t, &metrics, &why) != 0) {
        fail_msg("%s", why.what);
    }
    t->free(t);
}

static void test_command__evaluator(void **state)
{
    (void)state;
    /* a header of 96 bytes, then 1.0f and -2.0f, by hand */
    static const char script[] =
        "case $(cat task.json) in *initial*) printf '\\140\\000\\000\\000\\000\\000\\000\\000%-96s"
        "\\000\\000\\200\\077\\000\\000\\000\\300' "
        "'{\"__metadata__\":{\"by\":\"me\"},\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}' > "
        "trained.safetensors;; "
        "*) grep -q '\"__metadata__\": {\"by\": \"me\"}' model.safetensors || exit 1; "
        "if mkdir once; then echo '{\"samples\": 8, \"accuracy\": 0.75, \"loss\": 2}'; "
        "else echo '{\"samples\": 8, \"loss\": 3}'; fi > metrics.json;; esac";
    struct cairn_problem why = {0};
    struct eval_metrics metrics;
    struct trainer *t = NULL;
    float first[2];
    json_t *list = json_pack("[s, s, s]", "sh", "-c", script);
    char *text = json_dumps(list, 0);
    const struct train_command_options options = {
        .command = text, .evaluate = true, .timeout_s = 30};
    const int err = train_command_new(&options, &t, &why);
    if (err != 0) {
        fail_msg("%s", why.what);
    }
    assert_int_equal(t->shape->n_params, 2);
    assert_int_equal(t->samples, 0);
    t->initial(t, 1, first);
    assert_true(first[0] == 1 && first[1] == -2);
    assert_string_equal(json_string_value(json_object_get(t->metadata, "by")), "me");
    assert_int_equal(t->evaluate(t, first, &metrics, &why), 0);
    assert_int_equal(metrics.samples, 8);
    assert_int_equal(metrics.correct, 6);
    assert_true(metrics.loss == 2);
    assert_false(metrics.no_classes);
    assert_int_equal(t->evaluate(t, first, &metrics, &why), 0); /* a regression */
    assert_true(metrics.no_classes && metrics.loss == 3);
    t->free(t);
    free(text);
    json_decref(list);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], COMMAND_GUARD_WORD) == 0) {
        return command_guard_main(argc, argv);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_command__copies),
        cmocka_unit_test(test_command__update_is_the_difference),
        cmocka_unit_test(test_command__task_and_folder),
        cmocka_unit_test(test_command__folder_is_removed),
        cmocka_unit_test(test_command__faults),
        cmocka_unit_test(test_command__deadline),
        cmocka_unit_test(test_command__nothing_is_left),
        cmocka_unit_test(test_command__options),
        cmocka_unit_test(test_command__metadata),
        cmocka_unit_test(test_command__evaluator),
    };
    struct rlimit core; /* as large as it may be: a program must not have it */
    if (getrlimit(RLIMIT_CORE, &core) == 0) {
        core.rlim_cur = core.rlim_max;
        (void)setrlimit(RLIMIT_CORE, &core);
    }
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
