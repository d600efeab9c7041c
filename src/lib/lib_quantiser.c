/* SPDX-License-Identifier: Apache-2.0 */
/* libcairn, <cairn/quantiser.h>: the shared quantiser for one run of values. */
#include <cairn/quantiser.h>

#include <math.h>
#include <string.h>

#include "lib.h"
#include "problem.h"
#include "quantiser.h"

/* Counting samples in double stays exact, as in src/files/session.h. */
#define MOST_SAMPLES (UINT64_C(1) << 40)

static int check(const struct cairn_quantiser *q, size_t n, const char *function,
                 struct cairn_problem *why)
{
    if (q->value_bits < 2 || q->value_bits > 24) {
        return lib_misuse(why, function, "value_bits are 2 to 24");
    }
    if (!(q->range >= 1e-20 && q->range <= 1e20)) {
        return lib_misuse(why, function, "a range is 1e-20 to 1e20");
    }
    if (q->largest_samples < 1 || q->largest_samples > MOST_SAMPLES) {
        return lib_misuse(why, function, "largest_samples are 1 to 2^40");
    }
    if (q->samples > q->largest_samples) {
        return lib_misuse(why, function, "samples are at most largest_samples");
    }
    if (n == 0 || n > SIZE_MAX / sizeof(int64_t) - q->first || q->first > SIZE_MAX / 16) {
        return lib_misuse(why, function, "n is at least 1, and the model fits memory");
    }
    return 0;
}

/* One tensor that reaches from 0 to the end of this run. */
struct whole {
    struct model_tensor tensor;
    struct model_shape shape;
    double step;
};

static void whole_init(struct whole *w, const struct cairn_quantiser *q, size_t n)
{
    const size_t count = (size_t)q->first + n;
    *w = (struct whole){.tensor = {.name = "values", .n_dims = 1, .dims = {count}, .count = count},
                        .shape = {.n_tensors = 1, .n_params = count},
                        .step = q->range / quantiser_limit(q->value_bits)};
    w->shape.tensors = &w->tensor;
}

static int check_finite(const float *values, size_t n, const char *what, const char *function,
                        struct cairn_problem *why)
{
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(values[i])) {
            return problem_set(why, CAIRN_ERR_DATA, "only finite values have a mean",
                               "%s: %s %zu is %g", function, what, i, (double)values[i]);
        }
    }
    return 0;
}

int cairn_quantise(const struct cairn_quantiser *quantiser, const float *values, float *residual,
                   size_t n, int32_t *out, uint64_t *clamped, struct cairn_problem *why)
{
    struct whole w;
    uint64_t saturated = 0;
    if (quantiser == NULL || values == NULL || out == NULL) {
        return lib_misuse(why, __func__, "quantiser, values and out are needed");
    }
    int rc = check(quantiser, n, __func__, why);
    if (rc == 0) {
        rc = check_finite(values, n, "value", __func__, why);
    }
    if (rc == 0 && residual != NULL) {
        rc = check_finite(residual, n, "residual", __func__, why);
    }
    if (rc != 0) {
        return rc;
    }
    whole_init(&w, quantiser, n);
    const struct quantiser q = {.shape = &w.shape,
                                .steps = &w.step,
                                .value_bits = quantiser->value_bits,
                                .samples = quantiser->samples,
                                .largest_samples = quantiser->largest_samples,
                                .seed = quantiser->seed,
                                .round = quantiser->round,
                                .client_index = quantiser->client};
    const size_t first = (size_t)quantiser->first;
    if (residual != NULL && q.samples > 0) {
        quantiser_add(values, residual, n);
    }
    quantiser_read(&q, residual != NULL ? residual : values, first, n, out, &saturated);
    if (residual != NULL) {
        quantiser_settle_read(&q, out, residual, first, n);
    }
    if (clamped != NULL) {
        *clamped += saturated;
    }
    return 0;
}

int cairn_mean(const struct cairn_quantiser *quantiser, uint64_t weight, const int64_t *sums,
               size_t n, float *mean, struct cairn_problem *why)
{
    struct whole w;
    if (quantiser == NULL || sums == NULL || mean == NULL) {
        return lib_misuse(why, __func__, "quantiser, sums and mean are needed");
    }
    if (weight == 0) {
        return lib_misuse(why, __func__, "the weight is at least 1");
    }
    int rc = check(quantiser, n, __func__, why);
    if (rc != 0) {
        return rc;
    }
    whole_init(&w, quantiser, n);
    memset(mean, 0, n * sizeof *mean);
    quantiser_apply_part(&w.shape, &w.step, quantiser->largest_samples, weight,
                         (size_t)quantiser->first, n, sums, mean, NULL);
    return 0;
}
