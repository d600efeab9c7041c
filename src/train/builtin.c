/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The built-in trainer: nn/'s networks on data/'s rows. A client holds its own rows, pixels as
 * bytes, which become floats batch by batch.
 *
 * Momentum starts at zero every round: a client's velocity belongs to where its own weights ended,
 * and the round begins from the mean of everybody's. On MNIST (12 clients, 16 bits, 10 rounds,
 * three seeds) keeping it made no difference: 97.46 % against 97.44 %. Without it a trainer has no
 * memory between rounds, so a client may be restarted or sit a round out and still be replayed.
 */
#include "builtin.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "builtin_shape.h"
#include "clock.h"
#include "dataset.h"
#include "replay.h"
#include "sizes.h"

struct builtin {
    struct trainer base; /* first, so that freeing one frees the other */
    struct model_shape shape;
    struct builtin_spec spec;
    unsigned epochs;
    size_t batch; /* no larger than the data */
    struct network_step step;
    struct dataset train; /* empty for an evaluator */
    struct dataset test;
    struct network *net;
    uint32_t *order; /* (train.rows) */
    uint8_t *labels; /* (batch) classes of the rows in the batch, or */
    float *targets;  /* (batch) their numbers */
};

/* ---- working on batches ---- */

/* Copy n rows into the network's batch: those that `order` names, or first .. when it is NULL. */
static void gather(struct builtin *b, const struct dataset *set, const uint32_t *order,
                   size_t first, size_t n)
{
    float *input = network_input(b->net); /* (batch, features) */

    for (size_t i = 0; i < n; i++) {
        size_t row = order ? order[first + i] : first + i;

        dataset_row(set, row, input + i * set->form.features);
        if (set->labels) {
            b->labels[i] = set->labels[row];
        } else {
            b->targets[i] = set->targets[row];
        }
    }
}

static struct network_targets targets_of(const struct builtin *b)
{
    return (struct network_targets){.classes = b->labels, .values = b->targets};
}

static size_t batch_rows(const struct builtin *b, const struct dataset *set, size_t first)
{
    return set->rows - first < b->batch ? set->rows - first : b->batch;
}

/* Every row once, in the order given. @return mean loss */
static double run_epoch(struct builtin *b)
{
    double loss = 0.0;
    size_t n;

    for (size_t first = 0; first < b->train.rows; first += n) {
        n = batch_rows(b, &b->train, first);
        gather(b, &b->train, b->order, first, n);
        loss += network_train_batch(b->net, targets_of(b), n, &b->step);
    }
    return loss / (double)b->train.rows;
}

/* ---- struct trainer ---- */

static void builtin_initial(struct trainer *self, uint64_t seed, float *model)
{
    const struct builtin *b = self->state;

    network_initial(&b->spec.network, seed, model);
}

static int builtin_train(struct trainer *self, const float *global, float *local, uint64_t seed,
                         uint32_t round, uint32_t client_index, struct train_metrics *metrics,
                         struct cairn_problem *why)
{
    struct builtin *b = self->state;
    const size_t bytes = b->shape.n_params * sizeof *global;
    const uint64_t start = clock_now_ns(&clock_system);
    struct replay_rng rng;
    double loss = 0.0;

    if (b->train.rows == 0) {
        return problem_set(why, CAIRN_ERR_TRAINER, NULL, "an evaluator has no training data");
    }
    memcpy(network_params(b->net), global, bytes);
    network_reset_momentum(b->net);
    b->step.anchor = global;
    for (size_t i = 0; i < b->train.rows; i++) {
        b->order[i] = (uint32_t)i;
    }
    replay_init(&rng, "shuffle", seed, round, client_index);
    for (unsigned epoch = 0; epoch < b->epochs; epoch++) {
        replay_shuffle(&rng, b->order, b->train.rows);
        loss = run_epoch(b);
        if (!isfinite(loss)) {
            return problem_set(why, CAIRN_ERR_TRAINER,
                               "lower train.learning_rate or train.momentum, or scale the features",
                               "training has diverged: the loss of epoch %u is %g", epoch + 1,
                               loss);
        }
    }
    b->step.anchor = NULL;
    memcpy(local, network_params(b->net), bytes);
    metrics->loss = loss;
    metrics->seconds = clock_seconds(start, clock_now_ns(&clock_system));
    return 0;
}

static int builtin_evaluate(struct trainer *self, const float *model, struct eval_metrics *metrics,
                            struct cairn_problem *why)
{
    struct builtin *b = self->state;
    uint64_t correct = 0;
    double loss = 0.0;
    size_t n;

    (void)why;
    if (b->test.rows == 0) {
        *metrics = (struct eval_metrics){0};
        return 0;
    }
    memcpy(network_params(b->net), model, b->shape.n_params * sizeof *model);
    for (size_t first = 0; first < b->test.rows; first += n) {
        n = batch_rows(b, &b->test, first);
        gather(b, &b->test, NULL, first, n);
        loss += network_forward(b->net, targets_of(b), n, &correct);
    }
    *metrics = (struct eval_metrics){0};
    metrics->samples = b->test.rows;
    metrics->correct = correct;
    metrics->no_classes = b->test.targets != NULL;
    metrics->loss = loss / (double)b->test.rows;
    return 0;
}

static void builtin_free(struct trainer *self)
{
    struct builtin *b = self->state;

    network_free(b->net);
    dataset_release(&b->train);
    dataset_release(&b->test);
    model_shape_release(&b->shape);
    free(b->order);
    free(b->labels);
    free(b->targets);
    free(b);
}

/* ---- making one ---- */

static int check_options(const struct train_builtin_options *o, struct cairn_problem *why)
{
    if (o->epochs == 0 || o->batch == 0) {
        return problem_set(why, CAIRN_ERR_DATA, "train.epochs and train.batch start at 1",
                           "%u epochs of batches of %u train nothing", o->epochs, o->batch);
    }
    if (!(o->learning_rate > 0.0f) || !isfinite(o->learning_rate) || !(o->momentum >= 0.0f) ||
        !(o->momentum < 1.0f)) {
        return problem_set(why, CAIRN_ERR_DATA,
                           "train.learning_rate is above 0, train.momentum is in [0, 1)",
                           "learning rate %g with momentum %g cannot train",
                           (double)o->learning_rate, (double)o->momentum);
    }
    if (!(o->proximal_mu >= 0.0f) || !isfinite(o->proximal_mu)) {
        return problem_set(why, CAIRN_ERR_DATA, "train.proximal_mu is 0 or above",
                           "a proximal term of weight %g cannot train", (double)o->proximal_mu);
    }
    return 0;
}

static int load_data(struct builtin *b, const struct train_builtin_options *o,
                     struct cairn_problem *why)
{
    struct dataset_source source;
    int err;

    train_builtin_source(&o->data, o->model, o->n_layers > 0 ? o->layers[o->n_layers - 1] : 0,
                         &source);
    if (o->client_number == 0 && o->n_layers > 0 && !dataset_is_there(o->data.dir, DATASET_TEST)) {
        return 0; /* an evaluator with nothing to evaluate on */
    }
    err = dataset_load(&source, DATASET_TEST, o->client_number, o->client_index, &b->test, why);
    if (err || o->client_number == 0) {
        return err;
    }
    err = dataset_load(&source, DATASET_TRAIN, o->client_number, o->client_index, &b->train, why);
    return err ? err : dataset_check_match(o->data.dir, &b->train.form, &b->test.form, why);
}

static int choose_network(struct builtin *b, const struct train_builtin_options *o,
                          struct cairn_problem *why)
{
    const struct train_shape shape = {.type = o->model,
                                      .layers = o->layers,
                                      .n_layers = o->n_layers,
                                      .features = b->test.form.features,
                                      .height = b->test.form.height,
                                      .width = b->test.form.width};
    int err = builtin_spec(&shape, &b->spec, why);

    return err ? err : train_builtin_shape(&shape, &b->shape, why);
}

/* The network and its batch memory, once data and layers are known. */
static int build(struct builtin *b, const struct train_builtin_options *o,
                 struct cairn_problem *why)
{
    const size_t rows = b->train.rows > b->test.rows ? b->train.rows : b->test.rows;
    const size_t most = rows > 0 ? rows : 1;

    b->batch = o->batch < most ? o->batch : most;
    b->order = size_alloc_array(b->train.rows + 1, sizeof *b->order); /* never of size 0 */
    b->labels = size_alloc_array(b->batch, sizeof *b->labels);
    b->targets = size_alloc_array(b->batch, sizeof *b->targets);
    if (!b->order || !b->labels || !b->targets) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for the trainer");
    }
    return network_new(&b->spec.network, b->batch, &b->net, why);
}

int train_builtin_new(const struct train_builtin_options *options, struct trainer **out,
                      struct cairn_problem *why)
{
    struct builtin *b;
    int err = check_options(options, why);

    if (err) {
        return err;
    }
    b = calloc(1, sizeof *b);
    if (!b) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for the trainer");
    }
    b->epochs = options->epochs;
    b->step = (struct network_step){.learning_rate = options->learning_rate,
                                    .momentum = options->momentum,
                                    .proximal_mu = options->proximal_mu};
    b->base.state = b;
    err = load_data(b, options, why);
    if (!err) {
        err = choose_network(b, options, why);
    }
    if (!err) {
        err = build(b, options, why);
    }
    if (err) {
        builtin_free(&b->base);
        return err;
    }
    b->base.shape = &b->shape;
    b->base.samples = b->train.rows;
    b->base.fingerprint = b->train.rows > 0 ? b->train.fingerprint : NULL;
    b->base.needs_model = true;
    b->base.initial = builtin_initial;
    b->base.train = builtin_train;
    b->base.evaluate = builtin_evaluate;
    b->base.free = builtin_free;
    *out = &b->base;
    return 0;
}
