/* SPDX-License-Identifier: Apache-2.0 */
/* cairn eval: how good a model is on a test set. */
#include <stdlib.h>
#include <string.h>

#include "builtin.h"
#include "cli.h"
#include "dataset.h"
#include "digest.h"
#include "model_file.h"
#include "sizes.h"

/* Bytes of a batch do not change what an evaluation says; 256 rows keep BLAS busy. */
enum { ROWS_AT_ONCE = 256 };

/* What to evaluate, and on what. */
struct subject {
    struct train_builtin_options options;
    struct fed_config config; /* of the command line; zeros without one */
    size_t layers[TRAIN_MAX_LAYERS];
};

/* Without a config the model says what it is, and the data is as the defaults have it. */
static int take_model(struct subject *s, const char *model, struct cairn_problem *why)
{
    struct safetensors_file file;
    struct cairn_problem inner = {0};
    int error = model_file_open(&file, model, NULL, why);
    if (error) {
        return error;
    }
    error = train_builtin_recognise(&file.found, &s->options.model, s->layers,
                                    &s->options.n_layers, &inner);
    s->options.layers = s->layers;
    safetensors_close(&file);
    return error ? problem_set(why, error, inner.hint, "%s: %s", model, inner.what) : 0;
}

static int take_config(struct cli *cli, struct subject *s, const char *path,
                       struct cairn_problem *why)
{
    int error = cli_read_config(cli, path, NULL, &s->config, why);
    if (error) {
        return error;
    }
    const struct fed_settings *settings = &s->config.settings;
    if (strcmp(settings->train_type, "builtin") != 0) {
        return problem_set(why, CAIRN_ERR_CONFIG,
                           "other models are evaluated by the program that trains them",
                           "%s: train.type is %s; cairn eval knows the built-in models", path,
                           settings->train_type);
    }
    s->options = fed_train_options(settings, settings->data_dir, 0, 0);
    s->options.batch = ROWS_AT_ONCE;
    return 0;
}

static json_t *describe(const char *path, const struct model_shape *shape, const float *model,
                        const struct eval_metrics *metrics)
{
    const double samples = (double)metrics->samples;
    uint8_t digest[DIGEST_SIZE];
    char hex[DIGEST_HEX_SIZE];
    digest_of(model, shape->n_params * sizeof *model, digest);
    digest_hex(digest, DIGEST_SIZE, hex);
    json_t *accuracy =
        metrics->no_classes ? json_null() : json_real((double)metrics->correct / samples);
    json_t *correct = metrics->no_classes ? json_null() : json_integer((json_int_t)metrics->correct);
    return json_pack("{s:s, s:I, s:s, s:I, s:o, s:o, s:f}", "model", path, "params",
                     (json_int_t)shape->n_params, "model_digest", hex, "samples",
                     (json_int_t)metrics->samples, "correct", correct, "accuracy", accuracy, "loss",
                     metrics->loss);
}

static void print_metrics(const struct eval_metrics *metrics)
{
    if (metrics->no_classes) {
        printf("mean squared error %.6g on %llu rows\n", metrics->loss,
               (unsigned long long)metrics->samples);
    } else {
        printf("accuracy %.2f %% (%llu of %llu), loss %.6g\n",
               100 * (double)metrics->correct / (double)metrics->samples,
               (unsigned long long)metrics->correct, (unsigned long long)metrics->samples,
               metrics->loss);
    }
}

static int evaluate(struct cli *cli, struct trainer *trainer, const char *path,
                    struct cairn_problem *why)
{
    struct eval_metrics metrics = {0};
    struct safetensors_file file = {0};
    const size_t n = trainer->shape->n_params;
    float *model = size_alloc_array(n, sizeof *model);
    int error = model ? model_file_open(&file, path, trainer->shape, why) : cli_no_memory(why);
    if (!error) {
        error = safetensors_read_run(&file, 0, n, model, why);
    }
    if (!error) {
        error = trainer->evaluate(trainer, model, &metrics, why);
    }
    if (!error && cli->json) {
        error = cli_print_json(cli, describe(path, trainer->shape, model, &metrics), why);
    } else if (!error) {
        print_metrics(&metrics);
    }
    safetensors_close(&file);
    free(model);
    return error;
}

static int eval(struct cli *cli, struct subject *s, const char *model, const char *config,
                const char *data_dir, struct cairn_problem *why)
{
    struct trainer *trainer = NULL;
    int error = config ? take_config(cli, s, config, why) : take_model(s, model, why);
    if (error) {
        return error;
    }
    s->options.data.dir = data_dir ? data_dir : s->options.data.dir;
    if (!dataset_is_there(s->options.data.dir, DATASET_TEST)) {
        return problem_set(why, CAIRN_ERR_DATA, "--data-dir names the data set's folder",
                           "there is no test set in %s", s->options.data.dir);
    }
    error = train_builtin_new(&s->options, &trainer, why);
    if (!error) {
        error = evaluate(cli, trainer, model, why);
        trainer->free(trainer);
    }
    return error;
}

int cmd_eval(struct cli *cli, int argc, char **argv, struct cairn_problem *why)
{
    const char *data_dir = NULL;
    const struct cli_option list[] = {
        {"data-dir", CLI_TEXT, "DIR", "the data set's folder; default: the config's data.dir",
         &data_dir, 0, 0},
    };
    int error = cli_parse(cli, &argc, &argv, list, 1, 1, 2, why);
    if (error) {
        return error;
    }
    const char *config = argc == 2 ? argv[1] : NULL;
    if (!config && !data_dir) {
        return problem_set(why, CAIRN_ERR_USAGE, "cairn eval MODEL config.json, or cairn eval MODEL "
                           "--data-dir DIR", "on what? neither a config nor --data-dir is given");
    }
    /* an evaluator does not train, but its options are checked */
    struct subject s = {
        .options = {.epochs = 1, .batch = ROWS_AT_ONCE, .learning_rate = 1, .client_number = 0}};
    error = eval(cli, &s, argv[0], config, data_dir, why);
    fed_config_release(&s.config);
    return error;
}
