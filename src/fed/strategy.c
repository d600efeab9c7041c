/* SPDX-License-Identifier: Apache-2.0 */
/* From the mean update to the next model. */
#include "strategy.h"

#include <math.h>

#include "quantiser.h"

enum { BLOCK = 256 }; /* elements worked on at a time: their means stay in cache */

/* The same run of all three arrays. */
struct run {
    float *x, *m, *v;
};

unsigned fed_strategy_arrays(const struct fed_strategy *strategy)
{
    switch (strategy->rule) {
    case FED_AVG:
        return 1;
    case FED_AVGM:
        return 2;
    case FED_ADAM:
    case FED_YOGI:
    case FED_ADAGRAD:
        break;
    }
    return 3;
}

int fed_strategy_shape(const struct fed_strategy *strategy, const struct model_shape *model,
                       struct model_shape *kept, struct cairn_problem *why)
{
    static const char *const names[] = {NULL, "strategy.m", "strategy.v"};
    const uint64_t size = model->n_params;
    int err = 0;
    *kept = (struct model_shape){0};
    for (size_t t = 0; err == 0 && t < model->n_tensors; t++) {
        const struct model_tensor *tensor = &model->tensors[t];
        err = model_shape_add(kept, tensor->name, tensor->dims, tensor->n_dims, why);
    }
    for (unsigned a = 1; err == 0 && a < fed_strategy_arrays(strategy); a++) {
        err = model_shape_add(kept, names[a], &size, 1, why);
    }
    if (err != 0) {
        model_shape_release(kept);
    }
    return err;
}

void fed_strategy_begin(const struct fed_strategy *strategy, size_t n_params, float *kept)
{
    const unsigned arrays = fed_strategy_arrays(strategy);
    for (size_t i = n_params; i < arrays * n_params; i++) {
        kept[i] = i < 2 * n_params ? 0 : (float)(strategy->tau * strategy->tau);
    }
}

static void average(double rate, const double *mean, size_t n, float *x)
{
    for (size_t i = 0; i < n; i++) {
        x[i] = (float)((double)x[i] + rate * mean[i]);
    }
}

static void average_with_momentum(const struct fed_strategy *s, const double *mean, size_t n,
                                  const struct run *run)
{
    for (size_t i = 0; i < n; i++) {
        const double m = s->momentum * (double)run->m[i] + mean[i];
        run->m[i] = (float)m;
        run->x[i] = (float)((double)run->x[i] + s->learning_rate * m);
    }
}

static double next_v(const struct fed_strategy *s, double v, double square)
{
    if (s->rule == FED_ADAGRAD) {
        return v + square;
    }
    if (s->rule == FED_ADAM) {
        return s->beta2 * v + (1 - s->beta2) * square;
    }
    const double sign = v > square ? 1 : v < square ? -1 : 0;
    return v - (1 - s->beta2) * square * sign;
}

static void adapt(const struct fed_strategy *s, const double *mean, size_t n, const struct run *run)
{
    for (size_t i = 0; i < n; i++) {
        const double m = s->beta1 * (double)run->m[i] + (1 - s->beta1) * mean[i];
        const double v = next_v(s, (double)run->v[i], mean[i] * mean[i]);
        run->m[i] = (float)m;
        run->v[i] = (float)v;
        run->x[i] = (float)((double)run->x[i] + s->learning_rate * m / (sqrt(v) + s->tau));
    }
}

void fed_strategy_apply(const struct fed_strategy *strategy, const struct model_shape *model,
                        const double *steps, uint64_t largest_samples, uint64_t weight,
                        size_t first, size_t n, const int64_t *sums, float *kept, double *largest)
{
    const unsigned arrays = fed_strategy_arrays(strategy);
    double mean[BLOCK];
    for (size_t at = 0, here; at < n; at += here) {
        here = n - at < BLOCK ? n - at : BLOCK;
        quantiser_mean(model, steps, largest_samples, weight, first + at, here, sums + at, mean,
                       largest);
        struct run run = {.x = kept + first + at};
        run.m = arrays > 1 ? run.x + model->n_params : NULL;
        run.v = arrays > 2 ? run.m + model->n_params : NULL;
        if (run.v != NULL) {
            adapt(strategy, mean, here, &run);
        } else if (run.m != NULL) {
            average_with_momentum(strategy, mean, here, &run);
        } else {
            average(strategy->learning_rate, mean, here, run.x);
        }
    }
}
