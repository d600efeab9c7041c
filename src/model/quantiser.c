/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The quantiser. Every value is worked on in double and in the same order of operations, with a
 * random word that is addressed by the parameter's position: so a value's integer depends on
 * nothing but the value, and any cut of the model into runs gives the same integers.
 */
#include "quantiser.h"

#include <math.h>
#include <string.h>

#include "replay.h"

/*
 * The last opened update is a mean, and a single client's update reaches further. With 3, about a
 * hundred values saturate in ten rounds of the MNIST simulation, and error feedback returns them.
 */
#define RANGE_PER_LARGEST 3.0

int32_t quantiser_limit(unsigned value_bits)
{
    return (int32_t)((UINT32_C(1) << (value_bits - 1)) - 1);
}

int quantiser_check_finite(const struct model_shape *shape, const float *model,
                           struct cairn_problem *why)
{
    for (size_t i = 0; i < shape->n_params; i++) {
        /* written so that NaN fails too */
        if (!(fabsf(model[i]) < QUANTISER_LARGEST_MAGNITUDE)) {
            const struct model_tensor *tensor = model_shape_find(shape, i);
            return problem_set(why, CAIRN_ERR_TRAINER,
                               "the training has diverged: lower train.learning_rate, and look "
                               "at the data",
                               "tensor \"%s\", element %zu is %g", tensor->name,
                               i - tensor->offset, (double)model[i]);
        }
    }
    return 0;
}

/* Elements of run [first, end) that are in the tensor of element `first`. */
static size_t stretch(const struct model_tensor *tensor, size_t first, size_t end)
{
    size_t tensor_end = tensor->offset + tensor->count;

    return (end < tensor_end ? end : tensor_end) - first;
}

static int32_t round_and_clamp(double y, double u, int32_t limit, uint64_t *saturated)
{
    double rounded = floor(y + u);

    if (rounded > limit) {
        ++*saturated;
        return limit;
    }
    if (rounded < -limit) {
        ++*saturated;
        return -limit;
    }
    return (int32_t)rounded;
}

void quantiser_run(const struct quantiser *q, const float *global, const float *local,
                   float *residual, size_t first, size_t n, int32_t *out, uint64_t *saturated)
{
    const double weight = (double)q->samples / (double)q->largest_samples;
    const int32_t limit = quantiser_limit(q->value_bits);
    const size_t end = first + n;
    struct replay_rng rng;

    if (q->samples == 0) {
        memset(out, 0, n * sizeof *out);
        return;
    }
    replay_init(&rng, "rounding", q->seed, q->round, q->client_index);
    replay_seek(&rng, first);
    while (first < end) {
        const struct model_tensor *tensor = model_shape_find(q->shape, first);
        const double step = q->steps[tensor - q->shape->tensors];
        const size_t count = stretch(tensor, first, end);

        for (size_t i = first; i < first + count; i++) {
            double owed = (double)local[i] - (double)global[i] + (double)residual[i];
            double u = replay_u32(&rng) * 0x1p-32;
            int32_t value = round_and_clamp(owed * weight / step, u, limit, saturated);

            residual[i] = (float)(owed - value * step / weight);
            *out++ = value;
        }
        first += count;
    }
}

void quantiser_apply(const struct model_shape *shape, const double *steps,
                     uint64_t largest_samples, uint64_t weight, size_t first, size_t n,
                     const int64_t *sums, float *model, double *largest)
{
    const size_t end = first + n;

    while (first < end) {
        const struct model_tensor *tensor = model_shape_find(shape, first);
        const size_t t = (size_t)(tensor - shape->tensors);
        const size_t count = stretch(tensor, first, end);

        for (size_t i = first; i < first + count; i++) {
            double mean = (double)*sums++ * steps[t] * (double)largest_samples / (double)weight;

            model[i] = (float)((double)model[i] + mean);
            largest[t] = fmax(largest[t], fabs(mean));
        }
        first += count;
    }
}

void quantiser_choose_steps(const struct model_shape *shape, unsigned value_bits,
                            const double *largest, double *steps)
{
    const double limit = quantiser_limit(value_bits);

    for (size_t t = 0; t < shape->n_tensors; t++) {
        double step = (largest ? RANGE_PER_LARGEST * largest[t] : QUANTISER_FIRST_RANGE) / limit;
        /* zero and what is too small to divide by without loss keep the step they had */
        if (isnormal(step)) {
            steps[t] = step;
        }
    }
}
