/* SPDX-License-Identifier: Apache-2.0 */
/*
 * float_fedavg CONFIG [--data DIR]: federated averaging of a config's built-in trainer with nothing of cairn between
 * the clients: no grid, no integers, no frames. Updates are summed in double, weighted by samples, and the
 * accuracy after each round is printed, one line each.
 *
 * The yardstick for what rounding to a grid costs: same data, same slices, same initial weights,
 * same order of batches.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "builtin.h"
#include "config.h"
#include "file.h"
#include "trainer.h"

struct federation {
    const struct fed_settings *settings;
    const char *data_dir;
    uint32_t n_clients;
    struct trainer *evaluator, **clients;
    float *model, *local;
    double *sum;
};

static int fail(const struct cairn_problem *why)
{
    fprintf(stderr, "float_fedavg: %s\n", why->what);
    return -1;
}

static int begin(struct federation *f)
{
    struct cairn_problem why = {0};
    f->clients = calloc(f->n_clients, sizeof(struct trainer *));
    for (uint32_t k = 0; f->clients != NULL && k <= f->n_clients; k++) {
        const bool last = k == f->n_clients; /* the evaluator */
        const struct train_builtin_options options = fed_train_options(
            f->settings, f->data_dir, last ? 0 : f->n_clients, last ? 0 : k);
        if (train_builtin_new(&options, last ? &f->evaluator : &f->clients[k], &why) != 0) {
            return fail(&why);
        }
    }
    const size_t n = f->evaluator == NULL ? 0 : f->evaluator->shape->n_params;
    f->model = calloc(n, sizeof *f->model);
    f->local = calloc(n, sizeof *f->local);
    f->sum = calloc(n, sizeof *f->sum);
    if (f->clients == NULL || n == 0 || f->model == NULL || f->local == NULL || f->sum == NULL) {
        return -1;
    }
    f->evaluator->initial(f->evaluator, f->settings->seed, f->model);
    return 0;
}

static int run_round(struct federation *f, uint32_t round)
{
    const size_t n = f->evaluator->shape->n_params;
    uint64_t samples = 0;
    memset(f->sum, 0, n * sizeof *f->sum);
    for (uint32_t k = 0; k < f->n_clients; k++) {
        struct cairn_problem why = {0};
        struct train_metrics metrics = {0};
        struct trainer *client = f->clients[k];
        if (client->train(client, f->model, f->local, f->settings->seed, round, k, &metrics,
                          &why) != 0) {
            return fail(&why);
        }
        samples += client->samples;
        for (size_t i = 0; i < n; i++) {
            f->sum[i] += (double)client->samples * (f->local[i] - f->model[i]);
        }
    }
    for (size_t i = 0; i < n; i++) {
        f->model[i] += (float)(f->sum[i] / (double)samples);
    }
    return 0;
}

static int run(struct federation *f, uint32_t rounds)
{
    int err = begin(f);
    for (uint32_t round = 1; err == 0 && round <= rounds; round++) {
        struct cairn_problem why = {0};
        struct eval_metrics m = {0};
        err = run_round(f, round);
        if (err == 0 && f->evaluator->evaluate(f->evaluator, f->model, &m, &why) != 0) {
            err = fail(&why);
        }
        if (err == 0) {
            printf("%.4f\n", m.samples == 0 ? 0 : (double)m.correct / (double)m.samples);
        }
    }
    return err;
}

static void end(struct federation *f)
{
    for (uint32_t k = 0; f->clients != NULL && k < f->n_clients; k++) {
        if (f->clients[k] != NULL) {
            f->clients[k]->free(f->clients[k]);
        }
    }
    if (f->evaluator != NULL) {
        f->evaluator->free(f->evaluator);
    }
    free(f->clients);
    free(f->model);
    free(f->local);
    free(f->sum);
}

int main(int argc, char **argv)
{
    enum { LIMIT = 1 << 26 };
    const bool data = argc == 4 && strcmp(argv[2], "--data") == 0;
    if (argc != 2 && !data) {
        fprintf(stderr, "float_fedavg CONFIG [--data DIR]\n");
        return 2;
    }
    struct cairn_problem why = {0};
    struct fed_faults faults = {0};
    struct fed_config config = {0};
    struct buf text = {0};
    int err = file_read(argv[1], LIMIT, &text, &why);
    if (err != 0) {
        fail(&why);
    } else if ((err = fed_config_read(argv[1], buf_span(&text), &config, &faults)) != 0) {
        fprintf(stderr, "float_fedavg: %s: %s\n", argv[1], faults.n > 0 ? faults.list[0].text : "");
    } else {
        struct federation f = {.settings = &config.settings,
                               .data_dir = data ? argv[3] : config.settings.data_dir,
                               .n_clients = config.tree.n_clients};
        err = run(&f, config.iterations);
        end(&f);
    }
    fed_config_release(&config);
    fed_faults_release(&faults);
    buf_release(&text);
    return err == 0 ? 0 : 1;
}
