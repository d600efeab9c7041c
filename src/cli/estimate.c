/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes and memory of a round, by arithmetic. */
#include "estimate.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "builtin.h"
#include "dataset.h"
#include "frame.h"
#include "model_file.h"
#include "model_message.h"
#include "pieces.h"
#include "sampling.h"
#include "strategy.h"
#include "quantiser.h"
#include "sizes.h"
#include "synthetic.h"

/* Where neither the config nor the data says what an image is: MNIST. */
enum { ASSUMED_SIDE = 28 };

/* Resident memory that is no array of a role: a switch of a tiny model peaks at 18 MB, and a node with a network at 21, for
 * OpenBLAS packs matrices into buffers of its own. */
enum { PROGRAM = 19000000, BLAS = 3000000 };

void estimate_source(const struct fed_settings *settings, const char *data_dir,
                     struct dataset_source *out)
{
    const struct train_data data = fed_train_data(settings, data_dir);
    train_builtin_source(&data, settings->model,
                         settings->n_layers ? settings->layers[settings->n_layers - 1] : 0, out);
}

/* A program's model is known before it runs where a file has it. */
static int command_shape(const struct fed_settings *settings, struct model_shape *shape,
                         const char **source, struct cairn_problem *why)
{
    struct safetensors_file file;
    if (settings->model_file[0] == '\0') {
        *source = "assumed, for the command makes the model when it runs";
        struct train_shape assumed = fed_train_shape(settings);
        assumed.features = ASSUMED_SIDE * ASSUMED_SIDE;
        return train_builtin_shape(&assumed, shape, why);
    }
    *source = "model.file";
    const int err = model_file_open(&file, settings->model_file, NULL, why);
    if (err == 0) {
        *shape = file.found;
        file.found = (struct model_shape){0};
        safetensors_close(&file);
    }
    return err;
}

/* The network as a client and as the aggregator have it: no batch is larger than their data. */
static void count_networks(const struct train_shape *shape, unsigned batch, struct estimate *facts)
{
    const uint64_t train = facts->train_rows, test = facts->test_rows;
    facts->client_network = train_builtin_bytes(shape, train > 0 && train < batch ? train : batch);
    facts->evaluator_network = train_builtin_bytes(shape, test > 0 && test < batch ? test : batch);
}

static int whole_shape(const struct fed_settings *settings, const char *data_dir,
                       struct model_shape *shape, const char **source, struct estimate *facts,
                       struct cairn_problem *why)
{
    struct train_shape wanted = fed_train_shape(settings);
    struct dataset_source data;
    struct dataset_facts found = {0};
    struct cairn_problem ignored;
    if (strcmp(settings->train_type, "synthetic") == 0) {
        *source = "model.params";
        return train_synthetic_shape((size_t)settings->params, shape, why);
    }
    if (strcmp(settings->train_type, "command") == 0) {
        return command_shape(settings, shape, source, why);
    }
    estimate_source(settings, data_dir, &data);
    bool here = dataset_facts_read(&data, &found, &ignored) == 0;
    if (facts) {
        facts->train_rows = found.train_rows;
        facts->test_rows = found.test_rows;
        facts->features = found.form.features;
        facts->feature_bytes = found.form.bytes ? 1 : sizeof(float);
    }
    *source = settings->n_layers > 0 ? "model.layers"
              : here                 ? "the data set's headers"
                                     : "assumed, for the data set is not here";
    if (here) {
        wanted.features = found.form.features;
        wanted.height = found.form.height;
        wanted.width = found.form.width;
    } else if (settings->n_layers == 0) {
        wanted.features = ASSUMED_SIDE * ASSUMED_SIDE;
    }
    if (facts) {
        count_networks(&wanted, settings->batch, facts);
    }
    return train_builtin_shape(&wanted, shape, why);
}

int estimate_share(const struct fed_settings *settings, const struct model_shape *whole,
                   struct model_share *share, struct cairn_problem *why)
{
    struct model_share_rules rules;
    int error = fed_share_rules(settings, &rules, why);
    if (!error) {
        error = model_share_init(share, whole, &rules, why);
    }
    fed_share_rules_release(&rules);
    return error;
}

/* *shape becomes what model.include and model.exclude leave of it, what goes in plain behind the rest. */
static int keep_shared(const struct fed_settings *settings, struct model_shape *shape,
                       size_t *n_plain, bool *same, struct cairn_problem *why)
{
    struct model_share share;
    const int error = estimate_share(settings, shape, &share, why);
    if (!error) {
        model_shape_release(shape);
        *shape = share.shape;
        *n_plain = share.n_plain;
        *same = share.all_floats;
        share.shape = (struct model_shape){0};
        model_share_release(&share);
    }
    return error;
}

int estimate_shape(const struct fed_settings *settings, const char *data_dir,
                   struct model_shape *shape, const char **source, struct estimate *facts,
                   struct cairn_problem *why)
{
    int error = whole_shape(settings, data_dir, shape, source, facts, why);
    if (error) {
        return error;
    }
    const size_t whole = shape->n_params;
    size_t n_plain = 0;
    bool same = true;
    const bool assumed =
        strcmp(settings->train_type, "command") == 0 && settings->model_file[0] == '\0';
    if (!assumed) { /* an assumed model's names are not those that the patterns mean */
        error = keep_shared(settings, shape, &n_plain, &same, why);
    }
    if (error) {
        model_shape_release(shape);
    } else if (facts) {
        facts->at_home = whole - shape->n_params;
        facts->n_plain = n_plain;
        facts->whole = same ? 0 : whole;
    }
    return error;
}

/* What a client sends in a round, in batches. */
static uint64_t stream_bytes(const struct fed_plan *plan, const struct fed_settings *settings)
{
    const size_t set = fed_plan_set_bytes(plan);
    const uint32_t at_once = fed_plan_batch_frames(plan, settings->batch_bytes);
    uint64_t bytes = size_ceil_div(plan->n_frames, at_once) * (uint64_t)WIRE_BATCH_HEADER;
    for (uint32_t i = 0; i < plan->n_frames; i++) {
        bytes += wire_frame_size(fed_plan_payload_bytes(plan, i), set);
    }
    return bytes;
}

static void count_stream(struct estimate *e, const struct fed_settings *settings,
                         const struct fed_plan *all_encrypted)
{
    e->stream_bytes = stream_bytes(&e->plan, settings);
    e->all_encrypted_bytes = stream_bytes(all_encrypted, settings);
    e->batch_bytes = fed_plan_batch_limit(&e->plan, settings->batch_bytes);
    e->batch_bytes = e->batch_bytes < e->stream_bytes ? e->batch_bytes : e->stream_bytes;
}

/* Sums of c clients lie within +-c * limit; a lane of radix r holds (-r/2, r/2), a field of w bits
 * +-(2^(w-1) - 1). */
static uint64_t most_contributors(const struct he_params *he)
{
    uint64_t limit = (uint64_t)quantiser_limit(he->value_bits);
    uint64_t largest =
        he->profile == HE_NONE ? (UINT64_C(1) << (he->bits - 1)) - 1 : (he->radix - 1) / 2;
    return largest / limit;
}

static uint64_t threads_bytes(const struct he_params *he, unsigned threads)
{
    const long here = sysconf(_SC_NPROCESSORS_ONLN);
    return he_crew_bytes(he, threads > 0 ? threads : here > 0 ? (unsigned)here : 1);
}

int estimate_init(struct estimate *e, const struct fed_config *config, const char *data_dir,
                  struct cairn_problem *why)
{
    const struct fed_settings *s = &config->settings;
    struct he_params he;
    size_t model_bytes = 0;
    *e = (struct estimate){0};
    int error = estimate_shape(s, data_dir, &e->shape, &e->shape_source, e, why);
    if (!error) {
        error = he_params_choose(s->profile, s->value_bits, config->tree.n_clients, &he, why);
    }
    if (!error) {
        error = fed_plan_init(&e->plan, &he, e->shape.n_params, s->frame_params,
                              config->tree.n_clients, s->batch_bytes, why);
    }
    const struct fed_plan all_encrypted = e->plan;
    if (!error) {
        error = fed_plan_split(&e->plan, (size_t)e->n_plain, s->noise_multiplier > 0, why);
    }
    if (!error) {
        error = fed_privacy_plan(s, e->shape.n_params, fed_sample_size(s, config->tree.n_clients),
                                 config->iterations, &e->privacy, why);
    }
    if (!error &&
        wire_model_size((uint32_t)e->shape.n_tensors, 0, e->shape.n_params, 0, &model_bytes)) {
        error = problem_set(why, CAIRN_ERR_CONFIG, NULL, "the model is too large");
    }
    if (error) {
        estimate_release(e);
        return error;
    }
    e->model_bytes = model_bytes;
    e->piece_bytes = fed_plan_piece_count(&e->plan, 0) * sizeof(float);
    e->threads_bytes[0] = threads_bytes(&he, s->train_threads);
    e->threads_bytes[1] = threads_bytes(&he, s->server_threads);
    e->kept_arrays = fed_strategy_arrays(&config->settings.strategy);
    e->window = fed_plan_window(&e->plan, s->window_bytes, s->batch_bytes);
    e->by_run = strcmp(s->train_type, "synthetic") == 0 || strcmp(s->train_type, "command") == 0;
    e->most_contributors = most_contributors(&he);
    count_stream(e, s, &all_encrypted);
    return 0;
}

void estimate_release(struct estimate *e)
{
    model_shape_release(&e->shape);
}

/* How many streams a node sends up: its own sum, or everything that arrives at a dumb switch. */
static uint64_t streams_up(const struct fed_tree *tree, uint32_t node);

static uint64_t streams_in(const struct fed_tree *tree, uint32_t node)
{
    const struct fed_node *self = &tree->nodes[node];
    uint64_t n = 0;
    for (uint32_t i = 0; i < self->n_children; i++) {
        n += streams_up(tree, tree->children[self->first_child + i]);
    }
    return n;
}

static uint64_t streams_up(const struct fed_tree *tree, uint32_t node)
{
    const struct fed_node *self = &tree->nodes[node];
    if (self->type == FED_AGGREGATOR) {
        return 0;
    }
    return self->type == FED_SWITCH && self->dumb ? streams_in(tree, node) : 1;
}

struct estimate_bytes estimate_traffic(const struct estimate *e, const struct fed_tree *tree,
                                       uint32_t node)
{
    const struct fed_node *self = &tree->nodes[node];
    return (struct estimate_bytes){.received = (self->type == FED_AGGREGATOR ? 0 : e->model_bytes) +
                                               streams_in(tree, node) * e->stream_bytes,
                                   .sent = self->n_children * e->model_bytes +
                                           streams_up(tree, node) * e->stream_bytes};
}

/* Rows of one part of the data, shared by so many. */
static uint64_t rows_bytes(const struct estimate *e, uint64_t rows, uint32_t shared_by)
{
    return size_ceil_div(rows, shared_by) * e->features * e->feature_bytes;
}

static uint64_t frame_values(const struct estimate *e)
{
    return e->plan.frame_params < e->plan.n_params ? e->plan.frame_params : e->plan.n_params;
}

/* What is owed; with the built-in trainer the round's model and the trained one, too, and those as the trainer has them. A
 * program's models are in files: of its update a run. */
static uint64_t client_floats(const struct estimate *e)
{
    return e->by_run ? e->plan.n_params + frame_values(e) : 3 * e->plan.n_params + 2 * e->whole;
}

/* Three pieces: the round's first, a model that waits, one that is fetched. Two batches: in the air, and built ahead. */
static uint64_t client_memory(const struct estimate *e, const struct fed_node *self)
{
    const uint32_t clients = self->client_number ? self->client_number : 1;
    return client_floats(e) * sizeof(float) + e->client_network + 3 * e->piece_bytes + 2 * e->batch_bytes +
           frame_values(e) * sizeof(int32_t) + rows_bytes(e, e->train_rows, clients) +
           rows_bytes(e, e->test_rows, clients) + e->threads_bytes[0];
}

/* A batch of each child comes in at once; who adds up sends one and builds one, with a sum on its way there. */
static uint64_t switch_memory(const struct estimate *e, const struct fed_node *self)
{
    const uint64_t frame = fed_plan_frame_bytes(&e->plan);
    const uint64_t sums = self->dumb ? 0 : (e->window + 1) * frame + 2 * e->batch_bytes;
    return (PIECES_KEPT + 2) * e->piece_bytes + self->n_children * e->batch_bytes + sums;
}

/* What the strategy keeps, the model being one; for each child a piece going down and a batch coming up; the sum that is
 * opened, and what the journal gets of it. */
static uint64_t aggregator_memory(const struct estimate *e, const struct fed_node *self)
{
    const uint64_t frame = fed_plan_frame_bytes(&e->plan);
    return (e->kept_arrays * e->plan.n_params + e->whole) * sizeof(float) + e->evaluator_network +
           self->n_children * (e->piece_bytes + e->batch_bytes) + (e->window + 2) * frame +
           frame_values(e) * sizeof(int64_t) + rows_bytes(e, e->test_rows, 1) + e->threads_bytes[1];
}

uint64_t estimate_memory(const struct estimate *e, const struct fed_tree *tree, uint32_t node)
{
    const struct fed_node *self = &tree->nodes[node];
    const uint64_t program = PROGRAM + (self->type != FED_SWITCH && e->client_network > 0 ? BLAS : 0);
    switch (self->type) {
    case FED_CLIENT:
        return program + client_memory(e, self);
    case FED_SWITCH:
        return program + switch_memory(e, self);
    case FED_AGGREGATOR:
        return program + aggregator_memory(e, self);
    }
    return 0;
}
