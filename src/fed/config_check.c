/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What no single value can show to be wrong: keys that come twice, and settings against each other
 * and against the number of clients.
 */
#include "config_check.h"
#include "sampling.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    PRIVACY_FLOOR = 3, /* one colluding client that is withstood, + 2 */
    /* what a frame and its batch add to the payload: headers, digest, contributor set; the set of
     * FED_MAX_CLIENTS takes 1250 bytes, and the rest leaves room for extensions to come */
    FRAME_OVERHEAD = 64 << 10,
};

void config_check_repeats(struct config_reader *r)
{
    for (uint32_t i = 0; i < r->doc.n; i++) {
        const struct config_place *place = &r->doc.places[i];
        if (place->repeats != 0) {
            const struct config_place *earlier = &r->doc.places[place->repeats];
            config_fault_at_key(r, i,
                                "\"%.60s\" stands twice in one object, also at line %u, column %u",
                                place->name, earlier->key_line, earlier->key_column);
        }
    }
}

/* The place of a setting, or of the nearest thing around it that the config has. */
static uint32_t place_of(const struct config_reader *r, const struct config_object *root,
                         const char *section, const char *name)
{
    uint32_t outer = config_found(root, section);
    uint32_t inner = outer != 0 ? config_doc_member(&r->doc, outer, name) : 0;
    return inner != 0 ? inner : outer;
}

static bool is_bad(const struct config_reader *r, uint32_t place)
{
    return place != 0 && r->doc.places[place].bad;
}

/* @return whether params can be relied on */
static bool check_lanes(struct config_reader *r, const struct config_object *root,
                        const struct fed_settings *settings, uint32_t n_clients,
                        struct he_params *params)
{
    uint32_t bits = place_of(r, root, "encryption", "value_bits");
    uint32_t profile = place_of(r, root, "encryption", "profile");
    struct cairn_problem why = {0};
    if (is_bad(r, bits) || is_bad(r, profile)) {
        return false;
    }
    if (he_params_choose(settings->profile, settings->value_bits, n_clients, params, &why) == 0) {
        return true;
    }
    config_fault(r, bits != 0 ? bits : profile, "encryption.value_bits: %s%s%s", why.what,
                 why.hint[0] != '\0' ? "; " : "", why.hint);
    return false;
}

static uint64_t frame_bytes(const struct he_params *params, uint32_t frame_params)
{
    return he_payload_bytes(params, frame_params) + (uint64_t)FRAME_OVERHEAD;
}

/* A default that does not fit a batch gives way, chunk by chunk; what the config asks for stands. */
static void fit_frame(const struct config_reader *r, const struct config_object *root,
                      struct fed_settings *settings, const struct he_params *params)
{
    const uint32_t section = config_found(root, "round");
    const uint32_t chunk = (uint32_t)params->chunk_params;
    if (section != 0 && config_doc_member(&r->doc, section, "frame_params") != 0) {
        return;
    }
    while (settings->frame_params > chunk &&
           frame_bytes(params, settings->frame_params) > settings->batch_bytes) {
        settings->frame_params = (settings->frame_params - 1) / chunk * chunk;
    }
}

static void check_frame(struct config_reader *r, const struct config_object *root,
                        struct fed_settings *settings, const struct he_params *params)
{
    uint32_t frame = place_of(r, root, "round", "frame_params");
    uint32_t batch = place_of(r, root, "server", "batch_bytes");
    if (is_bad(r, frame) || is_bad(r, batch)) {
        return;
    }
    fit_frame(r, root, settings, params);
    uint64_t bytes = frame_bytes(params, settings->frame_params);
    if (bytes > settings->batch_bytes) {
        config_fault(r, frame != 0 ? frame : batch,
                     "round.frame_params: a frame of %" PRIu32 " parameters needs %" PRIu64
                     " bytes, but server.batch_bytes is %" PRIu32
                     "; lower round.frame_params or raise server.batch_bytes",
                     settings->frame_params, bytes, settings->batch_bytes);
    }
}

/* Few clients: say plainly who learns what. */
static void warn_of_floor(struct config_reader *r, uint32_t place, uint32_t floor,
                          uint32_t n_clients)
{
    if (n_clients == 1) {
        config_warning(r, place,
                       "round.privacy_floor: with 1 client a sum is that client's own update: "
                       "whoever opens it learns it; cairn protects from 3 clients on");
    } else if (n_clients == 2) {
        config_warning(r, place,
                       "round.privacy_floor: with 2 clients each of them can subtract its own "
                       "update from the sum, and with it whoever opens the sum learns the "
                       "other's; cairn protects from 3 clients on");
    } else if (floor == 1) {
        config_warning(r, place,
                       "round.privacy_floor: 1 lets a sum of a single client be opened, "
                       "which is that client's own update; 3 or more protects");
    } else if (floor == 2) {
        config_warning(r, place,
                       "round.privacy_floor: 2 lets a sum of two clients be opened, and each "
                       "of them can subtract its own update and so learn the other's, "
                       "together with the opener; 3 or more protects");
    }
}

/* @return whether there is a floor now */
static bool check_floor(struct config_reader *r, const struct config_object *root,
                        struct fed_settings *settings, uint32_t n_clients)
{
    uint32_t place = place_of(r, root, "round", "privacy_floor");
    if (is_bad(r, place)) {
        return false;
    }
    if (settings->privacy_floor > n_clients) {
        config_fault(r, place,
                     "round.privacy_floor: %" PRIu32 " is more than the number of clients, %" PRIu32
                     ": no sum could ever be opened",
                     settings->privacy_floor, n_clients);
        return false;
    }
    if (settings->privacy_floor == 0) {
        settings->privacy_floor = n_clients < PRIVACY_FLOOR ? n_clients : PRIVACY_FLOOR;
    }
    if (place == 0) {
        place = config_found(root, "others");
    }
    warn_of_floor(r, place, settings->privacy_floor, n_clients);
    return true;
}

/* @return whether there is a quorum that makes sense */
static bool check_quorum(struct config_reader *r, uint32_t place,
                         const struct fed_settings *settings, uint32_t n_clients)
{
    const double quorum = settings->quorum;
    if (is_bad(r, place)) {
        return false;
    }
    if (quorum > 1 && quorum != floor(quorum)) {
        config_fault(
            r, place,
            "round.quorum: %.15g is neither a share of the clients, below 1, nor a number of "
            "clients",
            quorum);
        return false;
    }
    if (quorum > n_clients) {
        config_fault(r, place,
                     "round.quorum: %.15g is more than the number of clients, %" PRIu32
                     ": no sum could ever change the model; below 1 it is a share of them",
                     quorum, n_clients);
        return false;
    }
    return true;
}

/* Only of a quorum that somebody wrote: the default gives way to the floor where clients are few. */
static void warn_of_quorum(struct config_reader *r, const struct config_object *root,
                           const struct fed_settings *settings, uint32_t n_clients)
{
    const uint32_t section = config_found(root, "round");
    const uint32_t written = section != 0 ? config_doc_member(&r->doc, section, "quorum") : 0;
    const uint32_t size = fed_sample_size(settings, n_clients);
    const uint32_t quorum = fed_quorum(settings, size, size);
    if (written != 0 && quorum < settings->privacy_floor) {
        config_warning(r, written,
                       "round.quorum: %" PRIu32 " of %" PRIu32 " clients are fewer than "
                       "round.privacy_floor, %" PRIu32 ", which decides: no smaller sum is opened",
                       quorum, size, settings->privacy_floor);
    }
}

/* What train.type command cannot do without. */
static void check_command(struct config_reader *r, const struct config_object *root,
                          const struct fed_settings *settings)
{
    if (strcmp(settings->train_type, "command") != 0) {
        return;
    }
    const uint32_t samples = place_of(r, root, "train", "samples");
    if (settings->train_samples == 0 && !is_bad(r, samples)) {
        config_fault(r, samples,
                     "train.samples: train.type command needs the most samples that any client's command "
                     "trains on in a round");
    }
}

/* What the chosen trainer does not look at. */
static void warn_of_trainer(struct config_reader *r, const struct config_object *root,
                            const struct fed_settings *settings)
{
    const bool synthetic = strcmp(settings->train_type, "synthetic") == 0;
    const uint32_t model = config_found(root, "model");
    const uint32_t params = model != 0 ? config_doc_member(&r->doc, model, "params") : 0;
    if (synthetic && settings->n_layers > 0) {
        config_warning(r, place_of(r, root, "model", "layers"),
                       "model.layers: train.type synthetic has no layers; the size of its model is "
                       "model.params");
    } else if (strcmp(settings->train_type, "command") == 0) {
        if (settings->n_layers > 0) {
            config_warning(r, place_of(r, root, "model", "layers"),
                           "model.layers: train.type command has a model of its own");
        }
    } else if (!synthetic && params != 0 && !is_bad(r, params)) {
        config_warning(r, params,
                       "model.params: is for train.type synthetic; the model of train.type %s is "
                       "as large as model.layers say",
                       settings->train_type);
    }
}

/* Layers that the model cannot have; sizes alone, for the data may be elsewhere. */
static void check_layers(struct config_reader *r, const struct config_object *root,
                         const struct fed_settings *settings)
{
    const uint32_t place = place_of(r, root, "model", "layers");
    const struct train_shape wanted = fed_train_shape(settings);
    struct model_shape shape = {0};
    struct cairn_problem why = {0};
    if (strcmp(settings->train_type, "builtin") != 0 || settings->n_layers == 0 ||
        is_bad(r, place) || is_bad(r, place_of(r, root, "model", "type"))) {
        return;
    }
    if (train_builtin_shape(&wanted, &shape, &why) == CAIRN_ERR_DATA) {
        config_fault(r, place, "model.layers: %s%s%s", why.what, why.hint[0] != '\0' ? "; " : "",
                     why.hint);
    }
    model_shape_release(&shape);
}

/* Classes are what these go by. */
static void check_partition(struct config_reader *r, const struct config_object *root,
                            const struct fed_settings *settings)
{
    const uint32_t place = place_of(r, root, "data", "partition");
    const bool by_label =
        settings->partition == TRAIN_DIRICHLET || settings->partition == TRAIN_SHARDS;
    if (by_label && settings->model == TRAIN_LINEAR && !is_bad(r, place)) {
        config_fault(r, place,
                     "data.partition: %s goes by classes, and model.type linear has none; "
                     "\"contiguous\" and \"iid\" need none",
                     settings->partition == TRAIN_SHARDS ? "shards" : "dirichlet");
    }
}

static bool is_written(const struct config_reader *r, const struct config_object *root,
                       const char *section, const char *name)
{
    const uint32_t outer = config_found(root, section);
    return outer != 0 && config_doc_member(&r->doc, outer, name) != 0;
}

/* Defaults that hang on the rule: a step of an adaptive rule is about as long as its rate in every element, so 1 is
 * none; and the paper's FedAdagrad has no momentum (Reddi et al., ICLR 2021, section 5). */
static void fit_strategy(const struct config_reader *r, const struct config_object *root,
                         struct fed_strategy *strategy)
{
    const bool adaptive = strategy->rule != FED_AVG && strategy->rule != FED_AVGM;
    if (adaptive && !is_written(r, root, "strategy", "learning_rate")) {
        strategy->learning_rate = 0.03;
    }
    if (strategy->rule == FED_ADAGRAD && !is_written(r, root, "strategy", "beta1")) {
        strategy->beta1 = 0;
    }
}

/* What the chosen rule does not look at. */
static void warn_of_strategy(struct config_reader *r, const struct config_object *root,
                             const struct fed_strategy *strategy)
{
    static const struct {
        const char *name;
        unsigned rules; /* bit by bit */
    } used[] = {{"momentum", 1U << FED_AVGM},
                {"beta1", 1U << FED_ADAM | 1U << FED_YOGI | 1U << FED_ADAGRAD},
                {"beta2", 1U << FED_ADAM | 1U << FED_YOGI},
                {"tau", 1U << FED_ADAM | 1U << FED_YOGI | 1U << FED_ADAGRAD}};
    for (size_t i = 0; i < sizeof used / sizeof used[0]; i++) {
        if (is_written(r, root, "strategy", used[i].name) &&
            (used[i].rules >> strategy->rule & 1) == 0) {
            config_warning(r, place_of(r, root, "strategy", used[i].name),
                           "strategy.%s: has no effect on the strategy in strategy.name",
                           used[i].name);
        }
    }
}

/* Noise hides an update of bounded length, once. What was owed would be neither. */
static void check_noise(struct config_reader *r, const struct config_object *root,
                          struct fed_settings *settings)
{
    const uint32_t noise = place_of(r, root, "privacy", "noise_multiplier");
    const uint32_t clip = place_of(r, root, "privacy", "clip_norm");
    if (settings->noise_multiplier == 0 || is_bad(r, noise) || is_bad(r, clip)) {
        return;
    }
    if (settings->clip_norm == 0) {
        config_fault(r, noise,
                     "privacy.noise_multiplier: noise hides updates of a bounded length only; set "
                     "privacy.clip_norm");
    }
    if (settings->error_feedback && is_written(r, root, "encryption", "error_feedback")) {
        config_fault(r, place_of(r, root, "encryption", "error_feedback"),
                     "encryption.error_feedback: true carries an update into later rounds, where no "
                     "noise was counted for it; leave it out, or set privacy.noise_multiplier to 0");
    }
    settings->error_feedback = false;
    if (settings->only[0] != '\0') {
        config_fault(r, place_of(r, root, "encryption", "only"),
                     "encryption.only: of what goes in plain each update is covered by its client's share of "
                     "the noise alone, for which no epsilon is counted; encrypt everything, or set "
                     "privacy.noise_multiplier to 0");
    }
    if (settings->profile == HE_NONE) {
        config_warning(r, noise,
                       "privacy.noise_multiplier: each client adds only its share of the noise, and "
                       "encryption.profile none shows each update with no more than that");
    }
}

/* What others can read, said plainly. */
static void warn_of_plain(struct config_reader *r, const struct config_object *root,
                          const struct fed_settings *settings)
{
    const uint32_t profile = place_of(r, root, "encryption", "profile");
    const uint32_t only = place_of(r, root, "encryption", "only");
    if (settings->profile == HE_NONE && !is_bad(r, profile)) {
        config_warning(r, profile,
                       "encryption.profile: none: updates travel unencrypted; every switch "
                       "and everybody on the network can read each client's");
    } else if (settings->only[0] != '\0' && !is_bad(r, only)) {
        config_warning(r, only,
                       "encryption.only: tensors that none of its patterns means travel unencrypted; every "
                       "switch and everybody on the network can read each client's update of them");
    }
}

void config_check_settings(struct config_reader *r, const struct config_object *root,
                           struct fed_settings *settings, uint32_t n_clients)
{
    struct he_params params;
    if (check_lanes(r, root, settings, n_clients, &params)) {
        check_frame(r, root, settings, &params);
    }
    const bool floor_good = check_floor(r, root, settings, n_clients);
    if (check_quorum(r, place_of(r, root, "round", "quorum"), settings, n_clients) && floor_good) {
        warn_of_quorum(r, root, settings, n_clients);
    }
    check_command(r, root, settings);
    warn_of_trainer(r, root, settings);
    check_layers(r, root, settings);
    check_partition(r, root, settings);
    fit_strategy(r, root, &settings->strategy);
    warn_of_strategy(r, root, &settings->strategy);
    check_noise(r, root, settings);
    warn_of_plain(r, root, settings);
}
