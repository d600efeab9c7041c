/* SPDX-License-Identifier: Apache-2.0 */
/* What comes before encrypting and after opening: floats to integers, sums back to floats. */
#include <stdlib.h>

#include "bench.h"
#include "bench_time.h"
#include "problem.h"
#include "quantiser.h"
#include "replay.h"
#include "sizes.h"

enum { N = 1 << 17, VALUE_BITS = 16, LEAST_PASSES = 5 };

struct desk {
    struct model_shape shape;
    struct quantiser quantiser;
    double step;
    float *model, *local, *owed;
    int32_t *values;
    int64_t *sums;
    uint64_t saturated;
};

/* What a client does with each parameter in a round. */
static int run_part(void *ctx, unsigned thread, unsigned pass)
{
    struct desk *d = ctx;
    (void)thread;
    (void)pass;
    quantiser_owe(d->model, d->local, d->owed, N);
    quantiser_read(&d->quantiser, d->owed, 0, N, d->values, &d->saturated);
    quantiser_settle(&d->quantiser, d->owed, 0, N);
    return 0;
}

static int apply_part(void *ctx, unsigned thread, unsigned pass)
{
    struct desk *d = ctx;
    (void)thread;
    (void)pass;
    double largest = 0;
    quantiser_apply(&d->shape, &d->step, 1, 1, 0, N, d->sums, d->model, &largest);
    return 0;
}

static int set_desk(struct desk *d)
{
    const uint64_t dims[] = {N};
    d->model = size_alloc_array(N, sizeof *d->model);
    d->local = size_alloc_array(N, sizeof *d->local);
    d->owed = size_alloc_array(N, sizeof *d->owed);
    d->values = size_alloc_array(N, sizeof *d->values);
    d->sums = size_alloc_array(N, sizeof *d->sums);
    if (!d->model || !d->local || !d->owed || !d->values || !d->sums) {
        return CAIRN_ERR_NO_MEMORY;
    }
    const int error = model_shape_add(&d->shape, "w", dims, 1, NULL);
    if (error != 0) {
        return error;
    }
    struct replay_rng rng;
    replay_init(&rng, "bench floats", 0, 0, 0);
    for (size_t i = 0; i < N; i++) {
        d->local[i] = 2 * replay_float(&rng) - 1;
        d->sums[i] = (int64_t)replay_below(&rng, 1000) - 500;
    }
    quantiser_choose_steps(&d->shape, VALUE_BITS, NULL, &d->step);
    d->quantiser = (struct quantiser){.shape = &d->shape,
                                      .steps = &d->step,
                                      .value_bits = VALUE_BITS,
                                      .samples = 1,
                                      .largest_samples = 1};
    return 0;
}

static void clear_desk(struct desk *d)
{
    model_shape_release(&d->shape);
    free(d->model);
    free(d->local);
    free(d->owed);
    free(d->values);
    free(d->sums);
}

int bench_quantiser(const struct bench_effort *effort, double *quantise_ns, double *apply_ns,
                    struct cairn_problem *why)
{
    struct desk d = {0};
    double quantise = 0, apply = 0;
    struct bench_work work = {.part = run_part,
                              .ctx = &d,
                              .threads = 1,
                              .least = LEAST_PASSES,
                              .budget_ns = effort->operation_ns};
    int error = set_desk(&d);
    if (error == 0) {
        error = bench_work_run(&work, &quantise);
    }
    work.part = apply_part;
    if (error == 0) {
        error = bench_work_run(&work, &apply);
    }
    clear_desk(&d);
    if (error != 0) {
        return problem_set(why, error, NULL, "cannot measure the quantiser: %s",
                           cairn_error_sentence(error));
    }
    *quantise_ns = quantise / N;
    *apply_ns = apply / N;
    return 0;
}
