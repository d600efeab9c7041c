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

/* How one tensor's values meet the grid. */
struct grid {
    double per_unit; /* steps in one unit of the update, the client's weight included */
    double unit;     /* its inverse */
    int32_t limit;
};

enum { BLOCK = 256 }; /* values worked on at a time: their random words and results stay in cache */

/*
 * floor(y + u) without a branch or a call, so that compilers make vectors of it. After clamping
 * |t| <= 2^24, where adding and subtracting 1.5 2^52 rounds to a whole number (to nearest, ties to even); it is
 * one less where that went up, which the sign of the exact difference tells.
 * u = word / 2^32, by way of a signed number: those convert quickly.
 */
static int32_t floor_of_sum(double y, uint32_t word, double largest)
{
    const double to_whole = 0x1.8p52;
    const double u = (double)(int32_t)(word ^ UINT32_C(0x80000000)) * 0x1p-32 + 0.5;
    double t = y + u;

    t = t > largest ? largest : t;
    t = t < -largest ? -largest : t;
    const double whole = (t + to_whole) - to_whole;
    const double above = t - whole; /* in [-1/2, 1/2] */
    uint64_t bits;
    memcpy(&bits, &above, sizeof bits);
    return (int32_t)whole - (int32_t)(bits >> 63);
}

/* n <= BLOCK values of one tensor. @return how many were clamped */
static unsigned round_block(const struct grid *grid, const double *owed, const uint32_t *words,
                            size_t n, int32_t *out)
{
    const int32_t limit = grid->limit;
    const double beyond = limit + 1;
    unsigned clamped = 0;

    for (size_t i = 0; i < n; i++) {
        out[i] = floor_of_sum(owed[i] * grid->per_unit, words[i], beyond);
    }
    for (size_t i = 0; i < n; i++) {
        int32_t kept = out[i] > limit ? limit : out[i];

        kept = kept < -limit ? -limit : kept;
        clamped += kept != out[i];
        out[i] = kept;
    }
    return clamped;
}

/* What the values of a block are, with what is owed from before. NULL counts as zeros. */
static void gather_owed(const float *global, const float *local, const float *residual, size_t n,
                        double *owed)
{
    for (size_t i = 0; i < n; i++) {
        owed[i] = (double)local[i];
    }
    for (size_t i = 0; global != NULL && i < n; i++) {
        owed[i] -= (double)global[i];
    }
    for (size_t i = 0; residual != NULL && i < n; i++) {
        owed[i] += (double)residual[i];
    }
}

void quantiser_run_part(const struct quantiser *q, const float *global, const float *local,
                        float *residual, size_t first, size_t n, int32_t *out, uint64_t *saturated)
{
    const double weight = (double)q->samples / (double)q->largest_samples;
    struct grid grid = {.limit = quantiser_limit(q->value_bits)};
    struct replay_rng rng;
    double owed[BLOCK];
    uint32_t words[BLOCK];

    if (q->samples == 0) {
        memset(out, 0, n * sizeof *out);
        return;
    }
    replay_init(&rng, "rounding", q->seed, q->round, q->client_index);
    replay_seek(&rng, first);
    for (size_t i = 0, here; i < n; i += here) {
        const struct model_tensor *tensor = model_shape_find(q->shape, first + i);
        const double step = q->steps[tensor - q->shape->tensors];

        here = stretch(tensor, first + i, first + n);
        here = here < BLOCK ? here : BLOCK;
        grid.per_unit = weight / step;
        grid.unit = step / weight;
        replay_words(&rng, words, here);
        gather_owed(global ? global + i : NULL, local + i, residual ? residual + i : NULL, here,
                    owed);
        *saturated += round_block(&grid, owed, words, here, out + i);
        for (size_t k = 0; residual != NULL && k < here; k++) {
            residual[i + k] = (float)(owed[k] - out[i + k] * grid.unit);
        }
    }
}

void quantiser_run(const struct quantiser *q, const float *global, const float *local,
                   float *residual, size_t first, size_t n, int32_t *out, uint64_t *saturated)
{
    quantiser_run_part(q, global + first, local + first, residual + first, first, n, out,
                       saturated);
}

void quantiser_apply_part(const struct model_shape *shape, const double *steps,
                          uint64_t largest_samples, uint64_t weight, size_t first, size_t n,
                          const int64_t *sums, float *part, double *largest)
{
    for (size_t i = 0; i < n;) {
        const struct model_tensor *tensor = model_shape_find(shape, first + i);
        const size_t t = (size_t)(tensor - shape->tensors);
        const size_t end = i + stretch(tensor, first + i, first + n);
        const double unit = steps[t] * (double)largest_samples / (double)weight;
        int64_t most = 0; /* largest magnitude of a sum */

        for (; i < end; i++) {
            part[i] = (float)((double)part[i] + (double)sums[i] * unit);
            most = sums[i] > most ? sums[i] : -sums[i] > most ? -sums[i] : most;
        }
        if (largest) {
            largest[t] = fmax(largest[t], (double)most * unit);
        }
    }
}

void quantiser_apply(const struct model_shape *shape, const double *steps,
                     uint64_t largest_samples, uint64_t weight, size_t first, size_t n,
                     const int64_t *sums, float *model, double *largest)
{
    quantiser_apply_part(shape, steps, largest_samples, weight, first, n, sums, model + first,
                         largest);
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
