/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The quantiser. Every value is worked on in double and in the same order of operations, with a
 * random word that is addressed by the parameter's position: so a value's integer depends on
 * nothing but the value, and any cut of the model into runs gives the same integers.
 */
#include "quantiser.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "kern.h"
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

int quantiser_check_finite_part(const struct model_shape *shape, const float *part, size_t first,
                                size_t n, struct cairn_problem *why)
{
    for (size_t i = 0; i < n; i++) {
        /* written so that NaN fails too */
        if (!(fabsf(part[i]) < QUANTISER_LARGEST_MAGNITUDE)) {
            const struct model_tensor *tensor = model_shape_find(shape, first + i);
            return problem_set(why, CAIRN_ERR_TRAINER,
                               "the training has diverged: lower train.learning_rate, and look "
                               "at the data",
                               "tensor \"%s\", element %zu is %g", tensor->name,
                               first + i - tensor->offset, (double)part[i]);
        }
    }
    return 0;
}

int quantiser_check_finite(const struct model_shape *shape, const float *model,
                           struct cairn_problem *why)
{
    return quantiser_check_finite_part(shape, model, 0, shape->n_params, why);
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
    bool toward_zero;
};

enum { BLOCK = 256 }; /* values worked on at a time: their random words and results stay in cache */

static int32_t cut_off(double y, double largest)
{
    const double t = y > largest ? largest : y < -largest ? -largest : y;
    return (int32_t)t;
}

/* As the kernel, without its words. */
static size_t cut_off_block(const struct grid *grid, const float *owed, size_t n, int32_t *out)
{
    const double beyond = grid->limit + 1;
    size_t clamped = 0;

    for (size_t i = 0; i < n; i++) {
        const int32_t whole = cut_off((double)owed[i] * grid->per_unit, beyond);
        out[i] = cut_off(whole, grid->limit);
        clamped += out[i] != whole;
    }
    return clamped;
}

/* n <= BLOCK values of one tensor. @return how many were clamped */
static size_t round_block(const struct grid *grid, const float *owed, const uint32_t *words,
                          size_t n, int32_t *out)
{
    return grid->toward_zero ? cut_off_block(grid, owed, n, out)
                             : kern_get()->round_randomly(out, owed, words, n, grid->per_unit,
                                                          grid->limit);
}

/* A run block by block, each within one tensor. */
struct walk {
    const struct quantiser *q;
    size_t first, end; /* of the run, in the flattened model */
    size_t at, n;      /* the block: where it begins in the run, and its length */
    struct grid grid;
};

/* There is nothing to walk through for a client without samples, whose grid has no unit. */
static struct walk walk_run(const struct quantiser *q, size_t first, size_t n)
{
    return (struct walk){.q = q,
                         .first = first,
                         .end = q->samples == 0 ? first : first + n,
                         .grid = {.limit = quantiser_limit(q->value_bits),
                                  .toward_zero = q->toward_zero}};
}

static bool walk_on(struct walk *walk)
{
    const struct quantiser *q = walk->q;
    const double weight = (double)q->samples / (double)q->largest_samples;

    walk->at += walk->n;
    const size_t place = walk->first + walk->at;
    if (place >= walk->end) {
        return false;
    }
    const struct model_tensor *tensor = model_shape_find(q->shape, place);
    const double step = q->steps[tensor - q->shape->tensors];
    const size_t here = stretch(tensor, place, walk->end);

    walk->n = here < BLOCK ? here : BLOCK;
    walk->grid.per_unit = weight / step;
    walk->grid.unit = step / weight;
    return true;
}

static void rounding_words(const struct quantiser *q, size_t first, struct replay_rng *rng)
{
    replay_init(rng, "rounding", q->seed, q->round, q->client_index);
    replay_seek(rng, first);
}

void quantiser_norm(const float *global, const float *local, size_t n, double *norm2)
{
    double sum = *norm2;

    for (size_t i = 0; i < n; i++) {
        const double update = (double)local[i] - (global ? (double)global[i] : 0);
        sum += update * update;
    }
    *norm2 = sum;
}

void quantiser_shrink(const float *global, float *local, size_t n, double share)
{
    for (size_t i = 0; share != 1 && i < n; i++) {
        const double from = global ? (double)global[i] : 0;
        local[i] = (float)(from + share * ((double)local[i] - from));
    }
}

void quantiser_owe(const float *global, const float *local, float *owed, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        owed[i] = (float)((double)owed[i] + ((double)local[i] - (double)global[i]));
    }
}

void quantiser_add(const float *update, float *owed, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        owed[i] += update[i];
    }
}

void quantiser_read(const struct quantiser *q, const float *owed, size_t first, size_t n,
                    int32_t *out, uint64_t *saturated)
{
    struct walk walk = walk_run(q, first, n);
    struct replay_rng rng;
    uint32_t words[BLOCK];
    uint64_t clamped = 0;

    if (q->samples == 0) {
        memset(out, 0, n * sizeof *out);
    }
    rounding_words(q, first, &rng);
    while (walk_on(&walk)) {
        replay_words(&rng, words, walk.n);
        clamped += round_block(&walk.grid, owed + walk.at, words, walk.n, out + walk.at);
    }
    if (saturated) {
        *saturated += clamped;
    }
}

void quantiser_settle(const struct quantiser *last, float *owed, size_t first, size_t n)
{
    struct walk walk = walk_run(last, first, n);
    struct replay_rng rng;
    uint32_t words[BLOCK];
    int32_t integers[BLOCK];

    rounding_words(last, first, &rng);
    while (walk_on(&walk)) {
        replay_words(&rng, words, walk.n);
        (void)round_block(&walk.grid, owed + walk.at, words, walk.n, integers);
        kern_get()->take_off(owed + walk.at, integers, walk.n, walk.grid.unit);
    }
}

void quantiser_settle_read(const struct quantiser *last, const int32_t *integers, float *owed,
                           size_t first, size_t n)
{
    struct walk walk = walk_run(last, first, n);

    while (walk_on(&walk)) {
        kern_get()->take_off(owed + walk.at, integers + walk.at, walk.n, walk.grid.unit);
    }
}

void quantiser_mean(const struct model_shape *shape, const double *steps, uint64_t largest_samples,
                    uint64_t weight, size_t first, size_t n, const int64_t *sums, double *mean,
                    double *largest)
{
    for (size_t i = 0; i < n;) {
        const struct model_tensor *tensor = model_shape_find(shape, first + i);
        const size_t t = (size_t)(tensor - shape->tensors);
        const size_t end = i + stretch(tensor, first + i, first + n);
        const double unit = steps[t] * (double)largest_samples / (double)weight;
        int64_t most = 0; /* largest magnitude of a sum */

        for (; i < end; i++) {
            mean[i] = (double)sums[i] * unit;
            most = sums[i] > most ? sums[i] : -sums[i] > most ? -sums[i] : most;
        }
        if (largest) {
            largest[t] = fmax(largest[t], (double)most * unit);
        }
    }
}

void quantiser_apply_part(const struct model_shape *shape, const double *steps,
                          uint64_t largest_samples, uint64_t weight, size_t first, size_t n,
                          const int64_t *sums, float *part, double *largest)
{
    double mean[BLOCK];

    for (size_t at = 0, here; at < n; at += here) {
        here = n - at < BLOCK ? n - at : BLOCK;
        quantiser_mean(shape, steps, largest_samples, weight, first + at, here, sums + at, mean,
                       largest);
        for (size_t i = 0; i < here; i++) {
            part[at + i] = (float)((double)part[at + i] + mean[i]);
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
