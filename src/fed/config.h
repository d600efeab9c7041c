/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FED_CONFIG_H
#define FED_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include <cairn/err.h>

#include "buf.h"
#include "builtin.h"
#include "he.h"
#include "share.h"
#include "tree.h"

/**
 * config.json: read, checked whole, all faults at once.
 *
 * One field table (fed_config_fields) drives reading, the range checks, `cairn check`, `cairn schema`
 * and the documentation. The part that describes nodes keeps the form
 * of the project that cairn descends from:
 *
 *   {"aggregator": {"iteration": 10, "ip": "127.0.0.1"},
 *    "others": {"127.0.0.2": {"type": "switch", "receive": ["127.0.0.4"], "send": "127.0.0.1",
 *                             "ip": "127.0.0.2", "dumb": false},
 *               "127.0.0.4": {"type": "client", "client_number": 1, "index": 0,
 *                             "send": "127.0.0.2", "ip": "127.0.0.4"}}}
 *
 * Addresses are host or host:port (5000 when absent). "key" is accepted anywhere in a node and ignored.
 */
enum { FED_MAX_LAYERS = 16, FED_NAME_SIZE = 64, FED_PATH_SIZE = 512, FED_MAX_CLIENTS = 10000 };
enum { FED_JSON_SIZE = 8192 }; /* of what is kept as JSON text: a command line, a trainer's settings */
enum { FED_PATTERNS_SIZE = 2048 }; /* of a list of patterns as JSON: about a hundred of them */
enum { FED_LONGEST_S = 86400 }; /* a day: no wait is longer */

enum fed_key_holder { FED_KEY_AGGREGATOR };

/** What the aggregator does with the mean update: strategy.h. Plain value. */
enum fed_rule { FED_AVG, FED_AVGM, FED_ADAM, FED_YOGI, FED_ADAGRAD };
struct fed_strategy {
    enum fed_rule rule;
    double learning_rate;
    double momentum;     /* fedavgm */
    double beta1, beta2; /* fedadam, fedyogi, fedadagrad */
    double tau;          /* fedadam, fedyogi, fedadagrad */
};

/** Values of the optional sections; every one has a default. Plain value. */
struct fed_settings {
    char experiment[FED_NAME_SIZE]; /* letters, digits, '-', '_', '.'; default: the file's name */
    uint64_t seed;

    /* model */
    enum train_model model;
    size_t layers[FED_MAX_LAYERS]; /* n_layers = 0: train_builtin_layers */
    size_t n_layers;
    uint64_t params; /* of the synthetic trainer's model */
    char model_file[FED_PATH_SIZE]; /* of the aggregator: the initial model of train.type command; "" = none */
    char include[FED_PATTERNS_SIZE]; /* JSON, a list of texts; "" = none: all tensors are shared */
    char exclude[FED_PATTERNS_SIZE]; /* the same: those that are not */
    char only[FED_PATTERNS_SIZE];    /* the same: those that are encrypted; "" = all that is shared */
    /* data */
    char data_dir[FED_PATH_SIZE];
    unsigned resize;
    char data_label[FED_NAME_SIZE];
    enum train_partition partition;
    double alpha;
    uint32_t min_samples;
    uint32_t shards_per_client;
    /* train */
    char train_type[16]; /* "builtin", "synthetic", "command" */
    double step_s;       /* that a synthetic training pretends to take */
    unsigned epochs;
    unsigned batch;
    double learning_rate;
    double momentum;
    double proximal_mu;
    /* train.type command; the first two never leave the machine that they are written on */
    char train_command[FED_JSON_SIZE];     /* JSON, a list of texts; "" = none */
    char train_environment[FED_JSON_SIZE]; /* JSON, an object of texts; "" = none */
    char train_settings[FED_JSON_SIZE];    /* JSON, an object; "" = none */
    bool train_keep;
    bool train_evaluate;
    double train_timeout_s; /* 0 = as long as the round lasts */
    uint64_t train_memory_bytes; /* 0 = no limit */
    uint64_t train_samples; /* most that a client may say it has trained on */
    unsigned train_threads; /* of a client that encrypts; 0 = one per processor */
    /* encryption */
    enum he_profile profile;
    enum fed_key_holder key_holder;
    unsigned value_bits;
    bool error_feedback; /* what rounding and clamping lost is added in the next round; never with noise */
    struct fed_strategy strategy;
    /* privacy */
    double clip_norm;        /* largest L2 norm of an update; 0 = any */
    double noise_multiplier; /* 0 = no noise; privacy.h */
    double noise_expected;   /* share of a round's clients that the noise is dimensioned for */
    double privacy_delta;
    /* round */
    double fraction;        /* of the clients that take part in a round: fed_sample_size */
    double deadline_s;      /* a round ends with those who have delivered by then */
    double quorum;          /* below 1 a share of the clients, else their number: fed_quorum */
    double grace_s;         /* after the quorum is through; 0 = wait for all until the deadline */
    uint32_t privacy_floor; /* 0 in the config = default: 3, or the number of clients where smaller */
    double stop_at_accuracy; /* the run ends after a round that reaches it; 0 = never */
    uint32_t frame_params;  /* parameters in a frame, before rounding down to whole chunks */
    /* server */
    unsigned workers;
    unsigned server_threads; /* of an aggregator that opens sums; 0 = one per processor */
    unsigned max_connections;
    uint32_t batch_bytes; /* largest batch body */
    uint64_t window_bytes; /* sums that a node holds; fed_plan_window */
    double heartbeat_s; /* how often a node asks its children for a sign of life */
    double start_timeout_s; /* how long the aggregator waits for its nodes */
    bool autostart; /* false: wait for POST /a/train */
    /* log */
    char log_dir[FED_PATH_SIZE];
    char runs_dir[FED_PATH_SIZE];
    uint32_t checkpoint_every; /* rounds, after which the model is kept; 0 = never */
};

struct fed_config {
    struct fed_settings settings;
    uint32_t iterations;
    struct fed_tree tree;
};

/**
 * The quorum in clients, for a node that has `below` of all n_clients below it: the same share at
 * every node, rounded up, at least 1.
 */
uint32_t fed_quorum(const struct fed_settings *settings, uint32_t n_clients, uint32_t below);
/** How long a node of this height waits for stragglers: each level of the tree adds a grace, so that
 * a child is not closed out by its parent while it waits itself. At most FED_LONGEST_S. */
double fed_grace_s(const struct fed_settings *settings, uint32_t height);
/** The built-in model that they ask for, without what only the data can tell. Points into settings. */
struct train_shape fed_train_shape(const struct fed_settings *settings);
/** The data set in this folder, as they have it shared out. Points into both. */
struct train_data fed_train_data(const struct fed_settings *settings, const char *data_dir);
/** All that the built-in trainer is told of them. Points into both.
 * @param client_number, index  as in struct train_builtin_options */
struct train_builtin_options fed_train_options(const struct fed_settings *settings,
                                               const char *data_dir, uint32_t client_number,
                                               uint32_t index);
/** Share of its own time that a switch leaves its children; in the rest the sums of whoever came
 * last go up. */
#define FED_DEADLINE_SHARE 0.9
/** How long a round may last at a node of this depth. */
double fed_deadline_s(const struct fed_settings *settings, uint32_t depth);

/**
 * What of the model is shared, and what of that is encrypted.
 * @param[out] out  fed_share_rules_release, also after a failure
 * @retval CAIRN_ERR_NO_MEMORY  never taken for an empty list, which would share everything
 */
CAIRN_MUST_CHECK int fed_share_rules(const struct fed_settings *settings,
                                     struct model_share_rules *out, struct cairn_problem *why);
void fed_share_rules_release(struct model_share_rules *rules);

/** One fault of a config. */
struct fed_fault {
    unsigned line, column; /* from 1; 0 when the fault has no place */
    bool warning;          /* does not stop anything */
    char text[360];        /* what, the offending text, allowed values, nearest known name */
};

struct fed_faults {
    struct fed_fault *list;
    size_t n;
    size_t n_errors; /* those that are no warnings */
};

void fed_faults_release(struct fed_faults *faults);

/**
 * Read a root config.
 * @param name  file name for messages and the default experiment name
 * @param[out] out     valid only when 0 is returned; fed_config_release
 * @param[out] faults  everything found, warnings too, in order of place; fed_faults_release
 * @retval CAIRN_ERR_CONFIG     faults->n_errors > 0
 * @retval CAIRN_ERR_NO_MEMORY
 */
CAIRN_MUST_CHECK int fed_config_read(const char *name, struct span text, struct fed_config *out,
                                     struct fed_faults *faults);
void fed_config_release(struct fed_config *config);

/**
 * One run of one config, as the aggregator made it up: goes into every node's config.
 */
struct fed_session {
    uint8_t id[16];                 /* random; `experiment` of every batch */
    uint8_t nonce[HE_NONCE_SIZE];   /* random, public */
    struct span public_key;         /* he_public_key_write's bytes; empty for profile none */
    uint64_t n_params;              /* of the model: fixes the size of every frame and model message */
    uint32_t n_tensors;
    const struct model_shape *shape; /* for clients that cannot know it by themselves (train.type command) */
    const json_t *metadata;         /* of its file, for the same clients; NULL: none (safetensors.h) */
    uint32_t n_words;               /* of the model's integers: fixes the size of frame 0 */
    uint64_t n_plain;               /* of n_params, the last ones, in plain: fed_plan_split */
};

/** What a node other than the aggregator is told; owns its arrays (fed_assignment_release). */
struct fed_assignment {
    struct fed_settings settings;
    struct fed_node self; /* type, address, client_number, index, dumb */
    uint32_t node;        /* own number */
    uint32_t iterations;
    uint32_t n_clients;   /* of the whole federation: most contributors of a sum */
    char parent[FED_ADDRESS_SIZE];
    enum fed_type parent_type;
    char (*children)[FED_ADDRESS_SIZE];
    enum fed_type *child_types;
    size_t n_children;
    struct fed_stream *streams; /* that arrive here, also at a dumb switch; a client has none */
    size_t n_streams;
    uint32_t *stream_clients; /* indices behind each stream, one stream after the other */
    double grace_s;  /* 0 = none */
    uint8_t id[16];
    uint8_t nonce[HE_NONCE_SIZE];
    struct buf public_key;
    uint64_t n_params;
    uint32_t n_tensors;
    struct model_shape shape; /* of train.type command; otherwise empty */
    json_t *metadata;         /* the same; NULL: none */
    uint32_t n_words;
    uint64_t n_plain;
};

/**
 * The document that is posted to `node` (not 0): the seed's own form for that node ("type", "client_number",
 * "index", "send", "receive", "ip", "dumb"), the settings sections but for data.dir, log, model.file and what
 * is run (train.command, train.environment), which are every machine's own, and "session".
 * @return new reference, NULL without memory
 */
json_t *fed_assignment_write(const struct fed_config *config, uint32_t node,
                             const struct fed_session *session);
/**
 * Read such a document as strictly as a root config: unknown keys, ranges, types.
 * @retval CAIRN_ERR_CONFIG with the first fault
 */
CAIRN_MUST_CHECK int fed_assignment_read(const json_t *document, struct fed_assignment *out,
                                         struct cairn_problem *why);
/** Bytes of a model's metadata, as JSON, that clients can be told: room for what trainers of adapters write down, and
 * with the largest list of tensors still a config that a node takes. */
enum { FED_MOST_METADATA = 256 << 10 };
/** Can clients be told of it? @param metadata  NULL: there is none
 * @retval CAIRN_ERR_DATA, CAIRN_ERR_NO_MEMORY */
CAIRN_MUST_CHECK int fed_check_metadata(const json_t *metadata, struct cairn_problem *why);
void fed_assignment_release(struct fed_assignment *assignment);

/** JSON Schema (2020-12) of config.json, from the field table. New reference. */
json_t *fed_config_schema(void);
/** Append a table of all settings: path, what is allowed, default, help. @retval CAIRN_ERR_NO_MEMORY */
CAIRN_MUST_CHECK int fed_config_fields_text(struct buf *out);
/** The settings as a JSON object with every default filled in, in sections. New reference. */
json_t *fed_settings_json(const struct fed_settings *settings);

#endif
