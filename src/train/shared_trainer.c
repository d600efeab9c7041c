/* SPDX-License-Identifier: Apache-2.0 */
/* A trainer around another one: what goes in is put among what stays, what comes out is picked from it. */
#include "shared_trainer.h"

#include <stdlib.h>
#include <string.h>

#include "le.h"
#include "quantiser.h"
#include "safetensors.h"
#include "secret.h"
#include "share.h"
#include "sizes.h"

struct shared_trainer {
    struct trainer base;
    struct trainer *inner;
    struct model_share share;
    float *whole;   /* the inner model: what is not shared is kept here; NULL where there is no such float */
    float *trained; /* what a training makes of it; NULL where none is wanted */
    bool has_own;   /* of a client whose inner trainer takes the model: `whole` holds what is not shared */
    struct cairn_problem taken; /* what went wrong when the model came; train tells it */
    struct model_shape written;           /* as the model is written; empty: as the inner one's shape is */
    json_t *metadata;                     /* of the file that was loaded; NULL: the inner one's goes */
};

static struct shared_trainer *shared_of(const struct trainer *self)
{
    return self->state;
}

/* The whole model that goes with these shared floats. */
static const float *put_together(struct shared_trainer *s, const float *shared)
{
    if (s->share.all_floats) {
        return shared;
    }
    model_share_scatter(&s->share, shared, 0, s->base.shape->n_params, s->whole);
    return s->whole;
}

static void put_words(struct shared_trainer *s)
{
    if (s->base.n_words > 0) {
        model_share_scatter_words(&s->share, s->base.words, s->inner->words);
    }
}

static void pick_words(struct shared_trainer *s)
{
    if (s->base.n_words > 0) {
        model_share_gather_words(&s->share, s->inner->words, s->base.words);
    }
}

static void shared_initial(struct trainer *self, uint64_t seed, float *model)
{
    struct shared_trainer *s = shared_of(self);
    s->inner->initial(s->inner, seed, s->share.all_floats ? model : s->whole);
    if (!s->share.all_floats) {
        model_share_gather(&s->share, s->whole, 0, self->shape->n_params, model);
    }
    pick_words(s);
}

/* ---- around a trainer that takes the model, as it comes, and keeps it itself ---- */

enum { GAP_RUN = 4096 };

/* Each run of what is not shared; at most GAP_RUN floats at once. */
static int for_each_gap(struct shared_trainer *s,
                        int (*use)(struct shared_trainer *s, size_t first, size_t n,
                                   struct cairn_problem *why),
                        struct cairn_problem *why)
{
    const struct model_shape *shape = s->inner->shape;
    int err = 0;
    for (size_t t = 0; err == 0 && t < shape->n_tensors; t++) {
        const struct model_tensor *tensor = &shape->tensors[t];
        const size_t count = model_share_has(&s->share, tensor) ? 0 : tensor->count;
        for (size_t at = 0, n; err == 0 && at < count; at += n) {
            n = count - at < GAP_RUN ? count - at : GAP_RUN;
            err = use(s, tensor->offset + at, n, why);
        }
    }
    return err;
}

static int give_gap(struct shared_trainer *s, size_t first, size_t n, struct cairn_problem *why)
{
    (void)why;
    s->inner->take_model(s->inner, first, n, (const uint8_t *)(s->whole + first));
    return 0;
}

/* All that a training has left, shared or not. */
static int check_trained(struct shared_trainer *s, struct cairn_problem *why)
{
    const struct model_shape *shape = s->inner->shape;
    float run[GAP_RUN];
    int err = 0;
    for (size_t at = 0, n; err == 0 && at < shape->n_params; at += n) {
        n = shape->n_params - at < GAP_RUN ? shape->n_params - at : GAP_RUN;
        err = s->inner->trained(s->inner, at, n, run, why);
        if (err == 0) {
            err = quantiser_check_finite_part(shape, run, at, n, why);
        }
    }
    secret_wipe(run, sizeof run);
    return err;
}

static int keep_gap(struct shared_trainer *s, size_t first, size_t n, struct cairn_problem *why)
{
    return s->inner->trained(s->inner, first, n, s->whole + first, why);
}

/* A round's model begins with what this client has kept, before its first training with what its trainer
 * would begin with. */
static void begin_model(struct shared_trainer *s, const uint8_t *weights)
{
    s->taken = (struct cairn_problem){0};
    if (!s->has_own) {
        s->inner->deadline_ns = s->base.deadline_ns; /* of this round, not of one that failed before */
        s->taken.code = s->inner->own_initial(s->inner, s->whole, &s->taken);
        s->has_own = s->taken.code == 0;
    }
    s->inner->take_model(s->inner, 0, 0, weights);
    if (s->has_own) {
        (void)for_each_gap(s, give_gap, &s->taken);
    }
}

static void shared_take_model(struct trainer *self, size_t first, size_t n, const uint8_t *weights)
{
    struct shared_trainer *s = shared_of(self);
    if (s->share.all_floats) {
        s->inner->take_model(s->inner, first, n, weights);
        return;
    }
    if (n == 0) {
        begin_model(s, weights);
    }
    for (size_t done = 0, here, at; done < n; done += here) {
        here = model_share_run(&s->share, first + done, n - done, &at);
        s->inner->take_model(s->inner, at, here, weights + sizeof(float) * done);
    }
}

static int train_taken(struct shared_trainer *s, uint64_t seed, uint32_t round,
                       uint32_t client_index, struct train_metrics *metrics,
                       struct cairn_problem *why)
{
    if (s->taken.code != 0) {
        *why = s->taken;
        return why->code;
    }
    int err = s->inner->train(s->inner, NULL, NULL, seed, round, client_index, metrics, why);
    if (err == 0) {
        err = check_trained(s, why);
    }
    return err != 0 ? err : for_each_gap(s, keep_gap, why);
}

/* ---- training ---- */

/* By a trainer of whole models, some of which stays here. */
static int train_whole(struct shared_trainer *s, const float *global, float *local, uint64_t seed,
                       uint32_t round, uint32_t client_index, struct train_metrics *metrics,
                       struct cairn_problem *why)
{
    const float *whole = put_together(s, global);
    const struct model_shape *shape = s->inner->shape;
    int err = s->inner->train(s->inner, whole, s->trained, seed, round, client_index, metrics, why);
    if (err == 0) {
        err = quantiser_check_finite(shape, s->trained, why);
    }
    if (err == 0) {
        model_share_gather(&s->share, s->trained, 0, s->base.shape->n_params, local);
        memcpy(s->whole, s->trained, shape->n_params * sizeof *s->whole);
    }
    return err;
}

static int shared_train(struct trainer *self, const float *global, float *local, uint64_t seed,
                        uint32_t round, uint32_t client_index, struct train_metrics *metrics,
                        struct cairn_problem *why)
{
    struct shared_trainer *s = shared_of(self);
    put_words(s);
    s->inner->deadline_ns = self->deadline_ns;
    int err;
    if (s->trained != NULL) {
        err = train_whole(s, global, local, seed, round, client_index, metrics, why);
    } else if (s->inner->take_model != NULL && !s->share.all_floats) {
        err = train_taken(s, seed, round, client_index, metrics, why);
    } else {
        err = s->inner->train(s->inner, global, local, seed, round, client_index, metrics, why);
    }
    if (err == 0) {
        pick_words(s);
    }
    return err;
}

static int shared_update(struct trainer *self, uint32_t round, uint32_t client_index, size_t first,
                         size_t n, float *out, struct cairn_problem *why)
{
    struct shared_trainer *s = shared_of(self);
    int err = 0;
    for (size_t done = 0, here, at; err == 0 && done < n; done += here) {
        here = model_share_run(&s->share, first + done, n - done, &at);
        err = s->inner->update(s->inner, round, client_index, at, here, out + done, why);
    }
    return err;
}

static void shared_status(struct trainer *self, json_t *into)
{
    const struct shared_trainer *s = shared_of(self);
    s->inner->status(s->inner, into);
}

static int shared_evaluate(struct trainer *self, const float *model, struct eval_metrics *metrics,
                           struct cairn_problem *why)
{
    struct shared_trainer *s = shared_of(self);
    put_words(s);
    s->inner->metadata = self->metadata;
    return s->inner->evaluate(s->inner, put_together(s, model), metrics, why);
}

static int shared_write(struct trainer *self, const char *path, const float *model, bool as_float32,
                        struct cairn_problem *why)
{
    struct shared_trainer *s = shared_of(self);
    const struct model_shape *shape = s->written.n_params > 0 ? &s->written : s->inner->shape;
    struct model_shape wide = {0};
    int err = 0;
    if (as_float32) {
        err = model_shape_widened(shape, &wide, why);
    }
    put_words(s);
    if (err == 0) {
        err = safetensors_write_all(path, as_float32 ? &wide : shape, put_together(s, model),
                                    s->inner->words, self->metadata, why);
    }
    model_shape_release(&wide);
    return err;
}

static void shared_free(struct trainer *self)
{
    struct shared_trainer *s = shared_of(self);
    const size_t n = s->inner->shape->n_params;
    if (s->whole != NULL) {
        secret_wipe(s->whole, n * sizeof *s->whole);
    }
    if (s->trained != NULL) {
        secret_wipe(s->trained, n * sizeof *s->trained);
    }
    free(s->whole);
    free(s->trained);
    free(s->base.words);
    model_shape_release(&s->written);
    json_decref(s->metadata);
    model_share_release(&s->share);
    s->inner->free(s->inner);
    free(s);
}

static bool plain_float32(const struct model_shape *shape)
{
    bool plain = shape->n_carried == 0;
    for (size_t t = 0; t < shape->n_tensors; t++) {
        plain = plain && shape->tensors[t].dtype == MODEL_F32;
    }
    return plain;
}

static int allocate(struct shared_trainer *s, bool client)
{
    const struct model_shape *shape = s->inner->shape;
    const bool whole_models = client && !s->inner->by_run;
    s->base.n_words = s->share.n_words;
    s->base.words = calloc(s->share.n_words + 1, sizeof *s->base.words); /* never of size 0 */
    if (!s->share.all_floats) {
        s->whole = size_alloc_array(shape->n_params, sizeof *s->whole);
        s->trained = whole_models ? size_alloc_array(shape->n_params, sizeof *s->trained) : NULL;
    }
    return s->base.words == NULL || (!s->share.all_floats && s->whole == NULL) ||
                   (!s->share.all_floats && whole_models && s->trained == NULL)
               ? CAIRN_ERR_NO_MEMORY
               : 0;
}

static void drop(struct shared_trainer *s)
{
    model_share_release(&s->share);
    free(s->whole);
    free(s->trained);
    free(s->base.words);
    free(s);
}

/* What this trainer cannot do with such a model. */
static int check_inner(const struct trainer *inner, struct cairn_problem *why)
{
    if (inner->shape->n_words > 0 && inner->words == NULL) {
        return problem_set(why, CAIRN_ERR_CONFIG, "leave its integers out of the model's file",
                           "tensor \"%s\" has dtype %s, and this trainer knows floats only",
                           inner->shape->carried[0].name,
                           model_dtype_name(inner->shape->carried[0].dtype));
    }
    return 0;
}

int train_shared_new(struct trainer *inner, const struct train_shared_options *options,
                     struct trainer **out, struct cairn_problem *why)
{
    if (options->client && model_share_everything(options->rules) && plain_float32(inner->shape)) {
        *out = inner;
        return 0;
    }
    struct shared_trainer *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for the trainer");
    }
    s->inner = inner;
    s->base = (struct trainer){.samples = inner->samples,
                               .fingerprint = inner->fingerprint,
                               .take_model = inner->take_model != NULL ? shared_take_model : NULL,
                               .status = inner->status != NULL ? shared_status : NULL,
                               .needs_model = inner->needs_model,
                               .by_run = inner->by_run,
                               .metadata = inner->metadata,
                               .state = s,
                               .whole = inner->shape,
                               .initial = shared_initial,
                               .train = shared_train,
                               .update = inner->update != NULL ? shared_update : NULL,
                               .evaluate = shared_evaluate,
                               .write = shared_write,
                               .free = shared_free};
    int err = model_share_init(&s->share, inner->shape, options->rules, why);
    if (err == 0) {
        err = check_inner(inner, why);
    }
    if (err == 0 && allocate(s, options->client) != 0) {
        err = problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a model of %zu parameters",
                          inner->shape->n_params);
    }
    if (err != 0) {
        drop(s);
        return err;
    }
    s->base.shape = &s->share.shape;
    s->base.n_plain = s->share.n_plain;
    if (options->client && s->whole != NULL && inner->take_model == NULL) {
        inner->initial(inner, options->seed, s->whole); /* what is not shared begins with this */
    }
    *out = &s->base;
    return 0;
}

/* ---- beginning with a file ---- */

static int load_floats(struct shared_trainer *s, const struct safetensors_file *file, float *shared,
                       struct cairn_problem *why)
{
    const struct model_shape *shape = s->inner->shape;
    float *whole = s->share.all_floats ? shared : s->whole;
    struct cairn_problem inner = {0};
    int err = safetensors_read_run(file, 0, shape->n_params, whole, why);
    if (err == 0 && quantiser_check_finite(shape, whole, &inner) != 0) {
        err = problem_set(why, CAIRN_ERR_DATA, inner.hint, "%s: %s", file->in.path, inner.what);
    }
    if (err == 0 && !s->share.all_floats) {
        model_share_gather(&s->share, whole, 0, s->base.shape->n_params, shared);
    }
    return err;
}

int train_shared_load(struct trainer *self, const char *path, float *shared,
                      struct cairn_problem *why)
{
    struct shared_trainer *s = shared_of(self);
    const struct model_shape *shape = s->inner->shape;
    struct safetensors_file file;
    struct cairn_problem inner = {0};
    int err = safetensors_open(&file, path, shape, 0, &inner);
    if (err != 0) {
        return problem_set(why, err == CAIRN_ERR_REFUSED ? CAIRN_ERR_DATA : err, inner.hint, "%s",
                           inner.what);
    }
    err = load_floats(s, &file, shared, why);
    if (err == 0 && shape->n_words > 0) {
        err = safetensors_read_words(&file, s->inner->words, why);
    }
    if (err == 0) {
        model_shape_release(&s->written); /* of an earlier file */
        err = model_shape_like(shape, &file.found, &s->written, why);
    }
    if (err == 0) {
        pick_words(s);
        json_decref(s->metadata);
        s->metadata = json_incref(file.metadata);
        self->metadata = s->metadata;
    }
    safetensors_close(&file);
    return err;
}

int train_shared_take_words(struct trainer *self, const uint8_t *words, struct cairn_problem *why)
{
    const struct shared_trainer *s = shared_of(self);
    const struct model_tensor *tensor = s->inner->shape->carried;
    uint8_t bytes[sizeof(uint64_t)];
    for (size_t i = 0; i < self->n_words; i++) {
        const uint64_t word = le_get64(words + sizeof word * i);
        while (s->share.words[i] >= tensor->offset + tensor->count) {
            tensor++;
        }
        if (!model_dtype_from_words(tensor->dtype, &word, 1, bytes)) {
            return problem_set(why, CAIRN_ERR_REFUSED, "a client counts further than its type can",
                               "tensor \"%s\" has a value that dtype %s cannot hold", tensor->name,
                               model_dtype_name(tensor->dtype));
        }
    }
    for (size_t i = 0; i < self->n_words; i++) {
        self->words[i] = le_get64(words + sizeof(uint64_t) * i);
    }
    return 0;
}
