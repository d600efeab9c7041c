/* SPDX-License-Identifier: Apache-2.0 */
#include "made_up_trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "replay.h"

struct made_up {
    struct trainer trainer;
    struct model_shape shape;
    uint64_t *words;
    struct made_up_options options;
    float target;
};

int made_up_shape(size_t n_params, struct model_shape *out)
{
    if (n_params < 8) {
        return model_shape_add(out, "body", &(uint64_t){n_params}, 1, NULL);
    }
    const int err = model_shape_add(out, "body", &(uint64_t){n_params - 3}, 1, NULL);
    return err != 0 ? err : model_shape_add(out, "tail", &(uint64_t){3}, 1, NULL);
}

void made_up_update(size_t n_params, const float *global, float *local, uint64_t seed,
                    uint32_t round, uint32_t index)
{
    struct replay_rng rng;
    replay_init(&rng, "made-up update", seed, round, index);
    for (size_t i = 0; i < n_params; i++) {
        local[i] = global[i] + 0.1F * (replay_float(&rng) - 0.5F);
    }
}

static void made_up_initial(struct trainer *self, uint64_t seed, float *model)
{
    const struct made_up *m = self->state;
    struct replay_rng rng;
    replay_init(&rng, "made-up weights", seed, 0, 0);
    for (size_t i = 0; i < m->shape.n_params; i++) {
        model[i] = m->options.target != NULL ? 0.0F : replay_float(&rng);
    }
    for (size_t i = 0; i < m->shape.n_words; i++) {
        m->words[i] = 10 * i;
    }
}

static int made_up_train(struct trainer *self, const float *global, float *local, uint64_t seed,
                         uint32_t round, uint32_t index, struct train_metrics *metrics,
                         struct cairn_problem *why)
{
    (void)why;
    const struct made_up *m = self->state;
    const size_t n = m->shape.n_params;
    made_up_update(n, global, local, seed, round, index);
    for (size_t i = 0; m->options.target != NULL && i < n; i++) {
        local[i] = m->target;
    }
    if (m->options.poison_round == (int)round) {
        local[n / 2] = NAN;
    }
    for (size_t i = 0; i < m->shape.n_words; i++) {
        m->words[i] += i + index + 1;
    }
    *metrics = (struct train_metrics){0};
    return 0;
}

static int made_up_evaluate(struct trainer *self, const float *model, struct eval_metrics *metrics,
                            struct cairn_problem *why)
{
    (void)self;
    (void)model;
    (void)why;
    *metrics = (struct eval_metrics){0};
    return 0;
}

static void made_up_free(struct trainer *self)
{
    struct made_up *m = self->state;
    model_shape_release(&m->shape);
    free(m->words);
    free(m);
}

static int copy_shape(const struct model_shape *shape, struct model_shape *out)
{
    return model_shape_like(shape, shape, out, NULL);
}

int made_up_trainer(const struct made_up_options *options, struct trainer **out)
{
    struct made_up *m = calloc(1, sizeof *m);
    if (m == NULL || (options->shape != NULL ? copy_shape(options->shape, &m->shape)
                                             : made_up_shape(options->n_params, &m->shape)) != 0) {
        free(m);
        return CAIRN_ERR_NO_MEMORY;
    }
    m->words = calloc(m->shape.n_words + 1, sizeof *m->words);
    if (m->words == NULL) {
        model_shape_release(&m->shape);
        free(m);
        return CAIRN_ERR_NO_MEMORY;
    }
    m->options = *options;
    if (options->target != NULL) {
        m->target = *options->target;
    }
    m->trainer = (struct trainer){.shape = &m->shape,
                                  .words = m->words,
                                  .n_words = m->shape.n_words,
                                  .samples = options->samples,
                                  .needs_model = true,
                                  .state = m,
                                  .initial = made_up_initial,
                                  .train = made_up_train,
                                  .evaluate = made_up_evaluate,
                                  .free = made_up_free};
    *out = &m->trainer;
    return 0;
}
