/* SPDX-License-Identifier: Apache-2.0 */
/* The trainer that makes its updates up, a run at a time. */
#include "synthetic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "replay.h"

enum { TENSORS = 16, BLOCK = 256 };

#define LARGEST_VALUE 0.01f

struct synthetic {
    struct trainer base; /* first, so that freeing one frees the other */
    struct model_shape shape;
    double step_s;
    uint64_t seed; /* of the last training */
};

int train_synthetic_shape(size_t n_params, struct model_shape *out, struct cairn_problem *why)
{
    struct model_shape shape = {0};
    size_t left = n_params;
    int err = 0;

    for (unsigned t = 1; !err && left > 0; t++) {
        const uint64_t count = t == TENSORS ? left : left - left / 2;
        char name[MODEL_NAME_SIZE];

        (void)snprintf(name, sizeof name, "part%u", t);
        err = model_shape_add(&shape, name, &count, 1, why);
        left -= (size_t)count;
    }
    if (err) {
        model_shape_release(&shape);
        return err;
    }
    *out = shape;
    return 0;
}

static void synthetic_initial(struct trainer *self, uint64_t seed, float *model)
{
    (void)seed;
    memset(model, 0, self->shape->n_params * sizeof *model);
}

static int synthetic_train(struct trainer *self, const float *global, float *local, uint64_t seed,
                           uint32_t round, uint32_t client_index, struct train_metrics *metrics,
                           struct cairn_problem *why)
{
    struct synthetic *s = self->state;

    (void)global;
    (void)local;
    (void)round;
    (void)client_index;
    (void)why;
    s->seed = seed;
    if (s->step_s > 0) {
        clock_system.sleep_ns(clock_system.ctx, (uint64_t)(s->step_s * 1e9));
    }
    *metrics = (struct train_metrics){.seconds = s->step_s};
    return 0;
}

static int synthetic_update(struct trainer *self, uint32_t round, uint32_t client_index,
                            size_t first, size_t n, float *out, struct cairn_problem *why)
{
    (void)why;
    const struct synthetic *s = self->state;
    struct replay_rng rng;
    uint32_t words[BLOCK];

    replay_init(&rng, "synthetic", s->seed, round, client_index);
    replay_seek(&rng, first);
    for (size_t i = 0, here; i < n; i += here) {
        const struct model_tensor *tensor = model_shape_find(&s->shape, first + i);
        const size_t left = tensor->offset + tensor->count - (first + i);
        const float scale = LARGEST_VALUE / (float)(tensor - s->shape.tensors + 1) * 0x1p-31f;

        here = n - i < left ? n - i : left;
        here = here < BLOCK ? here : BLOCK;
        replay_words(&rng, words, here);
        for (size_t k = 0; k < here; k++) {
            out[i + k] = (float)(int32_t)words[k] * scale;
        }
    }
    return 0;
}

static int synthetic_evaluate(struct trainer *self, const float *model,
                              struct eval_metrics *metrics, struct cairn_problem *why)
{
    (void)self;
    (void)model;
    (void)why;
    *metrics = (struct eval_metrics){0};
    return 0;
}

static void synthetic_free(struct trainer *self)
{
    struct synthetic *s = self->state;

    model_shape_release(&s->shape);
    free(s);
}

int train_synthetic_new(const struct train_synthetic_options *options, struct trainer **out,
                        struct cairn_problem *why)
{
    struct synthetic *s = calloc(1, sizeof *s);

    if (!s) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for the trainer");
    }
    const int err = train_synthetic_shape(options->n_params, &s->shape, why);
    if (err) {
        free(s);
        return err;
    }
    s->step_s = options->step_s;
    s->base = (struct trainer){.shape = &s->shape,
                               .by_run = true,
                               .state = s,
                               .initial = synthetic_initial,
                               .train = synthetic_train,
                               .update = synthetic_update,
                               .evaluate = synthetic_evaluate,
                               .free = synthetic_free};
    if (options->client_number > 0) {
        s->base.samples = UINT64_C(10) + options->client_index;
    }
    *out = &s->base;
    return 0;
}
