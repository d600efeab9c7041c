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
    float *whole;   /* the inner model: what is not shared is kept here; NULL where there is no such float, or the
                       inner trainer keeps it */
    float *trained; /* what a training makes of it; NULL where none is wanted */
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

/* ---- around a trainer that takes the model, as it comes, and keeps of it what is its own ---- */

static void shared_take_model(struct trainer *self, size_t first, size_t n, const uint8_t *weights)
{
    struct shared_trainer *s = shared_of(self);
    if (n == 0) {
        s->inner->deadline_ns = self->deadline_ns; /* it may train already, for what it begins with */
        s->inner->take_model(s->inner, first, n, weights);
    }
    for (size_t done = 0, here, at; done < n; done += here) {
        here = model_share_run(&s->share, first + done, n - done, &at);
        s->inner->take_model(s->inner, at, here, weights + sizeof(float) * done);
    }
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
    const int err =
        s->trained != NULL
            ? train_whole(s, global, local, seed, round, client_index, metrics, why)
            : s->inner->train(s->inner, global, local, seed, round, client_index, metrics, why);
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
    const bool kept_here = !s->share.all_floats && !(client && s->inner->by_run);
    s->base.n_words = s->share.n_words;
    s->base.words = calloc(s->share.n_words + 1, sizeof *s->base.words); /* never of size 0 */
    if (kept_here) {
        s->whole = size_alloc_array(shape->n_params, sizeof *s->whole);
        s->trained = client ? size_alloc_array(shape->n_params, sizeof *s->trained) : NULL;
    }
    return s->base.words == NULL || (kept_here && s->whole == NULL) ||
                   (kept_here && client && s->trained == NULL)
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
    if (options->client && s->whole != NULL) {
        inner->initial(inner, options->seed, s->whole); /* what is not shared begins with this */
    }
    inner->share = options->client ? &s->share : NULL;
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

int train_shared_load(struct trainer *self, const struct input *in, float *shared,
                      struct cairn_problem *why)
{
    struct shared_trainer *s = shared_of(self);
    const struct model_shape *shape = s->inner->shape;
    struct safetensors_file file;
    struct cairn_problem inner = {0};
    int err = safetensors_open_input(&file, in, shape, 0, &inner);
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
