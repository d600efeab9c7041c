/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The field table, and what can be said of a field without a document: its allowed values in words,
 * its default, its value as JSON, its line in the printed table.
 */
#include "config_fields.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "digest.h"
#include "share.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define INTO(type, member) .offset = offsetof(type, member), .size = sizeof(((type *)0)->member)
#define SETTING(member) INTO(struct fed_settings, member)
#define SELF(member) INTO(struct config_self, member)
#define SESSION(member) INTO(struct config_session, member)
#define RANGE(low, high) .min = (low), .max = (high)
#define FIELDS(array) .list = (array), .n = COUNT(array)
#define SECTION(array) .kind = CONFIG_OBJECT, .members = (array), .n_members = COUNT(array)

/* Words are stored as numbers, so their order is that of the enums. */
_Static_assert(HE_NONE == 0 && HE_BFV == 1 && HE_CAPSULE == 2 && HE_SEAL_CKKS == 3,
               "profile_words");
_Static_assert(FED_KEY_AGGREGATOR == 0, "holder_words");
_Static_assert(FED_AVG == 0 && FED_AVGM == 1 && FED_ADAM == 2 && FED_YOGI == 3 && FED_ADAGRAD == 4,
               "rule_words");
_Static_assert(FED_AGGREGATOR == 0 && FED_SWITCH == 1, "parent_words");
_Static_assert(TRAIN_MLP == 0 && TRAIN_LOGISTIC == 1 && TRAIN_LINEAR == 2 && TRAIN_CNN == 3,
               "model_words");
_Static_assert(TRAIN_CONTIGUOUS == 0 && TRAIN_IID == 1 && TRAIN_DIRICHLET == 2 && TRAIN_SHARDS == 3,
               "partition_words");
_Static_assert(sizeof(enum he_profile) == 4 && sizeof(enum fed_key_holder) == 4 &&
                   sizeof(enum train_model) == 4 && sizeof(enum train_partition) == 4 &&
                   sizeof(enum fed_rule) == 4,
               "words are 32 bits");
static const char *const profile_words[] = {"none", "bfv", "capsule", "seal-ckks",
                                            NULL};
static const char *const holder_words[] = {"aggregator", NULL};
static const char *const rule_words[] = {"fedavg", "fedavgm", "fedadam", "fedyogi", "fedadagrad",
                                         NULL};
static const char *const parent_words[] = {"aggregator", "switch", NULL};
static const char *const model_words[] = {"mlp", "logistic", "linear", "cnn", NULL};
static const char *const partition_words[] = {"contiguous", "iid", "dirichlet", "shards", NULL};
static const char *const trainer_words[] = {"builtin", "synthetic", "command", NULL};
static const char *const type_words[] = {"client", "switch", NULL}; /* config_self.is_switch */

static const struct config_field model[] = {
    {.name = "type", .kind = CONFIG_WORD, SETTING(model), .words = model_words,
     .otherwise = TRAIN_MLP,
     .help = "the built-in model: fully connected layers, logistic or linear regression, or two "
             "convolutions of 3 x 3 with pooling and a hidden layer"},
    {.name = "layers", .kind = CONFIG_SIZES, SETTING(layers), RANGE(1, 1000000),
     .help = "sizes from the inputs to the classes: of mlp each layer's neurons; of logistic two; "
             "of linear features and 1; of cnn pixels, channels, channels, hidden neurons, classes. "
             "Empty: the data's features, then 128, 10 | 10 | 1 | 16, 32, 128, 10"},
    {.name = "params", .kind = CONFIG_INTEGER, SETTING(params), RANGE(1, 10000000000.0),
     .otherwise = 1000000,
     .help = "parameters of the model that train.type synthetic makes up; of no other"},
    {.name = "file", .kind = CONFIG_TEXT, SETTING(model_file),
     .help = "file on the aggregator, safetensors, .npz or .npy, with the initial model of train.type "
             "command; left out: the command makes it"},
    {.name = "include", .kind = CONFIG_TEXTS, SETTING(include),
     .help = "patterns of the names of the tensors that are shared, * for any characters and ? for one; "
             "empty: all of them"},
    {.name = "exclude", .kind = CONFIG_TEXTS, SETTING(exclude),
     .help = "patterns of the names of the tensors that stay with each client and are never sent, such as "
             "personal layers or the statistics of a BatchNorm"},
};
static const struct config_field data[] = {
    {.name = "dir", .kind = CONFIG_TEXT, SETTING(data_dir), .otherwise_text = "data",
     .help = "folder that holds the data set, on each client"},
    {.name = "resize", .kind = CONFIG_INTEGER, SETTING(resize), RANGE(0, 1024),
     .help = "scale images in IDX files to this many pixels a side; 0 keeps them as they are"},
    {.name = "label", .kind = CONFIG_TEXT, SETTING(data_label), .otherwise_text = "label",
     .help = "column of train.csv and test.csv that holds the label"},
    {.name = "partition", .kind = CONFIG_WORD, SETTING(partition), .words = partition_words,
     .otherwise = TRAIN_CONTIGUOUS,
     .help = "how clients share the training rows: slices of the file, of the shuffled rows, each "
             "class in Dirichlet proportions, or shards of few classes"},
    {.name = "alpha", .kind = CONFIG_NUMBER, SETTING(alpha), RANGE(0, 1000000), .above_min = true,
     .otherwise = 0.5, .help = "of partition dirichlet: 0.1 is very uneven, 100 hardly"},
    {.name = "min_samples", .kind = CONFIG_INTEGER, SETTING(min_samples), RANGE(1, UINT32_MAX),
     .otherwise = 1, .help = "fewest training rows that a client may have"},
    {.name = "shards_per_client", .kind = CONFIG_INTEGER, SETTING(shards_per_client),
     RANGE(1, 1000000), .otherwise = 2, .help = "of partition shards"},
};
static const struct config_field train[] = {
    {.name = "type", .kind = CONFIG_WORD_TEXT, SETTING(train_type), .words = trainer_words,
     .otherwise_text = "builtin",
     .help = "who trains; command is a program of yours; synthetic makes updates up, without data, to "
             "measure with"},
    {.name = "step_s", .kind = CONFIG_NUMBER, SETTING(step_s), RANGE(0, 3600),
     .help = "seconds that a round of synthetic training pretends to take"},
    {.name = "epochs", .kind = CONFIG_INTEGER, SETTING(epochs), RANGE(1, 1000), .otherwise = 1,
     .help = "passes over a client's own data in each round"},
    {.name = "batch", .kind = CONFIG_INTEGER, SETTING(batch), RANGE(1, 65536), .otherwise = 32,
     .help = "samples per step"},
    {.name = "learning_rate", .kind = CONFIG_NUMBER, SETTING(learning_rate), RANGE(0, 100),
     .above_min = true, .otherwise = 0.1, .help = "step size of gradient descent"},
    {.name = "momentum", .kind = CONFIG_NUMBER, SETTING(momentum), RANGE(0, 1), .below_max = true,
     .otherwise = 0.9, .help = "share of the last step that goes into the next"},
    {.name = "proximal_mu", .kind = CONFIG_NUMBER, SETTING(proximal_mu), RANGE(0, 1000000),
     .help = "FedProx: weight of the pull back to the round's model; 0: none"},
    {.name = "command", .kind = CONFIG_TEXTS, SETTING(train_command),
     .help = "program and arguments of train.type command, started without a shell; of this machine only: "
             "nodes elsewhere have their own (cairn node --train-command)"},
    {.name = "environment", .kind = CONFIG_TEXT_MAP, SETTING(train_environment),
     .help = "what the command's environment has beside PATH, HOME, LANG and CAIRN_*; of this machine "
             "only, as the command is"},
    {.name = "settings", .kind = CONFIG_FREE, SETTING(train_settings),
     .help = "passed through to the command, on every client"},
    {.name = "samples", .kind = CONFIG_INTEGER, SETTING(train_samples), RANGE(0, 1099511627776),
     .help = "most samples that any client's command trains on in a round; it says how many they were"},
    {.name = "keep", .kind = CONFIG_BOOL, SETTING(train_keep),
     .help = "start the command once and speak to it over a socket, instead of once a round"},
    {.name = "evaluate", .kind = CONFIG_BOOL, SETTING(train_evaluate),
     .help = "the aggregator has the command evaluate each round's model"},
    {.name = "timeout_s", .kind = CONFIG_NUMBER, SETTING(train_timeout_s), RANGE(0, FED_LONGEST_S),
     .help = "seconds after which a command is ended; 0: when the round's deadline is over"},
    {.name = "memory_bytes", .kind = CONFIG_INTEGER, SETTING(train_memory_bytes),
     RANGE(0, 1099511627776),
     .help = "most address space of each of the command's processes; 0: no limit"},
    {.name = "threads", .kind = CONFIG_INTEGER, SETTING(train_threads), RANGE(0, 256),
     .help = "threads with which a client encrypts; 0: one per processor"},
};
static const struct config_field encryption[] = {
    {.name = "profile", .kind = CONFIG_WORD, SETTING(profile), .words = profile_words,
     .otherwise = HE_CAPSULE,
     .help = "how updates are protected on their way up; none sends them in the clear, seal-ckks as "
             "Microsoft SEAL would, to compare with"},
    {.name = "key_holder", .kind = CONFIG_WORD, SETTING(key_holder), .words = holder_words,
     .otherwise = FED_KEY_AGGREGATOR, .help = "who can open sums"},
    {.name = "value_bits", .kind = CONFIG_INTEGER, SETTING(value_bits), RANGE(2, 24),
     .otherwise = 16,
     .help = "bits of one quantised value of an update; 8 for the smallest uploads"},
    {.name = "only", .kind = CONFIG_TEXTS, SETTING(only),
     .help = "patterns of the names of the tensors that are encrypted, * for any characters and ? for one; every "
             "other tensor of each client's update goes in plain; empty: all are encrypted"},
    {.name = "error_feedback", .kind = CONFIG_BOOL, SETTING(error_feedback), .otherwise = 1,
     .help = "a client adds what rounding and clamping lost to its next update"},
};
static const struct config_field strategy[] = {
    {.name = "name", .kind = CONFIG_WORD, SETTING(strategy.rule), .words = rule_words,
     .otherwise = FED_AVG, .help = "what the aggregator makes of the mean update of a round"},
    {.name = "learning_rate", .kind = CONFIG_NUMBER, SETTING(strategy.learning_rate), RANGE(0, 100),
     .above_min = true, .otherwise = 1,
     .help = "share of the step that is taken; left out with fedadam, fedyogi and fedadagrad: 0.03"},
    {.name = "momentum", .kind = CONFIG_NUMBER, SETTING(strategy.momentum), RANGE(0, 1),
     .below_max = true, .otherwise = 0.9,
     .help = "fedavgm: share of the last round's step that goes into this one's"},
    {.name = "beta1", .kind = CONFIG_NUMBER, SETTING(strategy.beta1), RANGE(0, 1),
     .below_max = true, .otherwise = 0.9,
     .help = "fedadam, fedyogi, fedadagrad: share of the past in the mean of updates; left out "
             "with fedadagrad: 0"},
    {.name = "beta2", .kind = CONFIG_NUMBER, SETTING(strategy.beta2), RANGE(0, 1),
     .below_max = true, .otherwise = 0.99,
     .help = "fedadam, fedyogi: share of the past in the mean of squared updates"},
    {.name = "tau", .kind = CONFIG_NUMBER, SETTING(strategy.tau), RANGE(0, 1), .above_min = true,
     .otherwise = 0.001,
     .help = "fedadam, fedyogi, fedadagrad: updates well below it are not scaled up"},
};
static const struct config_field privacy[] = {
    {.name = "clip_norm", .kind = CONFIG_NUMBER, SETTING(clip_norm), RANGE(0, 100000),
     .help = "L2 norm that a client's whole update is scaled down to where it is longer; 0 leaves it"},
    {.name = "noise_multiplier", .kind = CONFIG_NUMBER, SETTING(noise_multiplier), RANGE(0, 1000),
     .help = "Gaussian noise on a round's sum, in lengths of clip_norm; each client adds its share "
             "before it encrypts; 0 adds none"},
    {.name = "expected", .kind = CONFIG_NUMBER, SETTING(noise_expected), RANGE(0, 1),
     .above_min = true, .otherwise = 1,
     .help = "share of a round's clients whose shares of the noise make noise_multiplier; with less, "
             "clients that drop out take away what is not needed"},
    {.name = "delta", .kind = CONFIG_NUMBER, SETTING(privacy_delta), RANGE(0, 1),
     .above_min = true, .below_max = true, .otherwise = 0.00001,
     .help = "for which epsilon is told; well below one over the number of clients"},
};
static const struct config_field round_fields[] = {
    {.name = "fraction", .kind = CONFIG_NUMBER, SETTING(fraction), RANGE(0, 1), .above_min = true,
     .otherwise = 1,
     .help = "share of the clients that take part in a round, chosen by seed and round; at least "
             "round.privacy_floor, and round.quorum where that is a number"},
    {.name = "deadline_s", .kind = CONFIG_NUMBER, SETTING(deadline_s), RANGE(1, FED_LONGEST_S),
     .otherwise = 600, .help = "seconds after which a round ends with those who have delivered"},
    {.name = "quorum", .kind = CONFIG_NUMBER, SETTING(quorum), RANGE(0, FED_MAX_CLIENTS),
     .above_min = true, .otherwise = 0.5,
     .help = "fewest clients in a sum that changes the model: below 1 a share of the clients that "
             "take part, rounded up; from 1 on their number"},
    {.name = "grace_s", .kind = CONFIG_NUMBER, SETTING(grace_s), RANGE(0, FED_LONGEST_S),
     .help = "seconds that stragglers have once the quorum has delivered, at each level of the "
             "tree; 0 waits for every live client until the deadline"},
    {.name = "privacy_floor", .kind = CONFIG_INTEGER, SETTING(privacy_floor),
     RANGE(0, FED_MAX_CLIENTS),
     .help = "fewest clients in a sum that is opened: colluding clients to withstand + 2; 0 means "
             "3, or the number of clients where that is smaller"},
    {.name = "stop_at_accuracy", .kind = CONFIG_NUMBER, SETTING(stop_at_accuracy), RANGE(0, 1),
     .help = "the run ends after the first round whose model is this good on the aggregator's test data, as "
             "a share; 0: after all rounds"},
    {.name = "frame_params", .kind = CONFIG_INTEGER, SETTING(frame_params), RANGE(2048, 8388608),
     .otherwise = 524288,
     .help = "parameters in a frame, the unit that is sent, added and repeated; left out, and too "
             "many for server.batch_bytes: as many as fit"},
};
static const struct config_field server[] = {
    {.name = "workers", .kind = CONFIG_INTEGER, SETTING(workers), RANGE(1, 64), .otherwise = 16,
     .help = "threads that answer requests, on each node"},
    {.name = "threads", .kind = CONFIG_INTEGER, SETTING(server_threads), RANGE(0, 256),
     .help = "threads with which the aggregator opens sums; 0: one per processor"},
    {.name = "max_connections", .kind = CONFIG_INTEGER, SETTING(max_connections), RANGE(16, 65536),
     .otherwise = 1024, .help = "open connections, on each node"},
    {.name = "batch_bytes", .kind = CONFIG_INTEGER, SETTING(batch_bytes), RANGE(65536, 268435456),
     .otherwise = 4194304, .help = "largest body of a request; holds at least one frame"},
    {.name = "window_bytes", .kind = CONFIG_INTEGER, SETTING(window_bytes),
     RANGE(65536, 1099511627776), .otherwise = 67108864,
     .help = "memory for sums on each node that adds up; a child that is further ahead waits. Two "
             "batches are always held"},
    {.name = "heartbeat_s", .kind = CONFIG_NUMBER, SETTING(heartbeat_s), RANGE(0.1, 3600),
     .otherwise = 5,
     .help = "seconds between two questions whether a child is alive; it is suspect after 3 "
             "without an answer, and after 6 no longer waited for"},
    {.name = "start_timeout_s", .kind = CONFIG_NUMBER, SETTING(start_timeout_s), RANGE(1, FED_LONGEST_S),
     .otherwise = 60, .help = "seconds that the aggregator waits for its nodes"},
    {.name = "autostart", .kind = CONFIG_BOOL, SETTING(autostart), .otherwise = 1,
     .help = "begin as soon as all nodes are there; false waits for POST /a/train"},
};
static const struct config_field log_fields[] = {
    {.name = "dir", .kind = CONFIG_TEXT, SETTING(log_dir), .otherwise_text = "log",
     .help = "folder of each node's log"},
    {.name = "runs", .kind = CONFIG_TEXT, SETTING(runs_dir), .otherwise_text = "runs",
     .help = "folder where the aggregator collects each run"},
    {.name = "checkpoint_every", .kind = CONFIG_INTEGER, SETTING(checkpoint_every),
     RANGE(0, 100000),
     .help = "rounds after which the model is kept in the run's folder, as round-R.safetensors; 0: only the "
             "final one is"},
};

static const struct config_field settings[] = {
    {.name = "experiment", .kind = CONFIG_NAME, SETTING(experiment),
     .help = "names folders and logs; left out: the config's file name"},
    {.name = "seed", .kind = CONFIG_INTEGER, SETTING(seed), RANGE(0, CONFIG_EXACT_MAX),
     .otherwise = 1,
     .help = "of initial weights, shuffling and rounding, so that a run can be repeated; never "
             "of keys"},
    {.name = "model", SECTION(model), .help = "the model that is trained"},
    {.name = "data", SECTION(data), .help = "what it is trained on"},
    {.name = "train", SECTION(train), .help = "how a client trains"},
    {.name = "encryption", SECTION(encryption), .help = "how updates are protected"},
    {.name = "strategy", SECTION(strategy),
     .help = "from the mean update to the next model, at the aggregator"},
    {.name = "privacy", SECTION(privacy), .help = "clipping and noise, at the clients"},
    {.name = "round", SECTION(round_fields), .help = "when a round ends, and its unit of work"},
    {.name = "server", SECTION(server), .help = "limits of each node's server"},
    {.name = "security", .kind = CONFIG_OBJECT, .help = "has no settings yet"},
    {.name = "log", SECTION(log_fields), .help = "where logs and results go"},
};

static const struct config_field nodes[] = {
    {.name = "aggregator", .kind = CONFIG_NODE, .required = true,
     .help = "the node at the root of the tree"},
    {.name = "others", .kind = CONFIG_NODE, .required = true,
     .help = "every other node: its address, and what it is"},
};

#define KEY_FIELD {.name = "key", .kind = CONFIG_IGNORED, .help = "accepted and ignored"}
#define IP_HELP "the node's address, host or host:port; port 5000 when left out"
static const struct config_field aggregator[] = {
    {.name = "iteration", .kind = CONFIG_INTEGER, SELF(iteration), RANGE(1, 100000),
     .required = true, .help = "rounds"},
    {.name = "ip", .kind = CONFIG_ADDRESS, SELF(ip), .required = true, .help = IP_HELP},
    {.name = "receive", .kind = CONFIG_LIST,
     .help = "addresses of its children; may be left out, and must agree with their send"},
    KEY_FIELD,
};
static const struct config_field client[] = {
    {.name = "type", .kind = CONFIG_WORD, SELF(is_switch), .words = type_words, .required = true,
     .help = "what the node is"},
    {.name = "client_number", .kind = CONFIG_INTEGER, SELF(client_number),
     RANGE(1, FED_MAX_CLIENTS), .required = true, .help = "how many clients share the data"},
    {.name = "index", .kind = CONFIG_INTEGER, SELF(index), RANGE(0, FED_MAX_CLIENTS - 1),
     .required = true, .help = "which slice of the data this client has, from 0"},
    {.name = "send", .kind = CONFIG_ADDRESS, SELF(send), .required = true,
     .help = "address of its parent"},
    {.name = "ip", .kind = CONFIG_ADDRESS, SELF(ip), .help = IP_HELP},
    KEY_FIELD,
};
static const struct config_field switch_fields[] = {
    {.name = "type", .kind = CONFIG_WORD, SELF(is_switch), .words = type_words, .required = true,
     .help = "what the node is"},
    {.name = "receive", .kind = CONFIG_LIST, .required = true,
     .help = "addresses of its children; must agree with their send"},
    {.name = "send", .kind = CONFIG_ADDRESS, SELF(send), .required = true,
     .help = "address of its parent"},
    {.name = "ip", .kind = CONFIG_ADDRESS, SELF(ip), .help = IP_HELP},
    {.name = "dumb", .kind = CONFIG_BOOL, SELF(dumb),
     .help = "true: pass each child's frames on untouched; false: add them up"},
    KEY_FIELD,
};

static const struct config_field session[] = {
    {.name = "id", .kind = CONFIG_HEX, SESSION(id), .required = true, .help = "of this run"},
    {.name = "nonce", .kind = CONFIG_HEX, SESSION(nonce), .required = true,
     .help = "names the public polynomials of this run"},
    {.name = "node", .kind = CONFIG_INTEGER, SESSION(node), RANGE(1, UINT32_MAX), .required = true,
     .help = "this node's number"},
    {.name = "iterations", .kind = CONFIG_INTEGER, SESSION(iterations), RANGE(1, 100000),
     .required = true, .help = "rounds"},
    {.name = "n_clients", .kind = CONFIG_INTEGER, SESSION(n_clients), RANGE(1, FED_MAX_CLIENTS),
     .required = true, .help = "clients of the whole federation"},
    {.name = "n_params", .kind = CONFIG_INTEGER, SESSION(n_params), RANGE(1, 68719476736.0),
     .required = true, .help = "parameters of the model"},
    {.name = "n_tensors", .kind = CONFIG_INTEGER, SESSION(n_tensors), RANGE(1, 1000000),
     .required = true, .help = "tensors of the model"},
    {.name = "n_words", .kind = CONFIG_INTEGER, SESSION(n_words), RANGE(0, MODEL_MOST_WORDS),
     .help = "integers of the model"},
    {.name = "n_plain", .kind = CONFIG_INTEGER, SESSION(n_plain), RANGE(0, 68719476736.0),
     .help = "parameters of the model that go in plain, the last ones"},
    {.name = "aggregator", .kind = CONFIG_ADDRESS, SESSION(aggregator),
     .help = "who runs it; asked before another run's config is taken"},
    {.name = "parent", .kind = CONFIG_ADDRESS, SESSION(parent), .required = true,
     .help = "where sums go"},
    {.name = "parent_type", .kind = CONFIG_WORD, SESSION(parent_type), .words = parent_words,
     .required = true, .help = "what the parent is"},
    {.name = "grace_s", .kind = CONFIG_NUMBER, SESSION(grace_s), RANGE(0, FED_LONGEST_S),
     .required = true, .help = "seconds that stragglers have here"},
    {.name = "children", .kind = CONFIG_LIST, .required = true, .help = "who sends here"},
    {.name = "streams", .kind = CONFIG_LIST, .required = true, .help = "what arrives here"},
    {.name = "clients", .kind = CONFIG_LIST, .required = true,
     .help = "indices of the clients of each stream, one stream after the other"},
    {.name = "public_key", .kind = CONFIG_BASE64, .required = true,
     .help = "empty without encryption"},
    {.name = "tensors", .kind = CONFIG_LIST, .required = true,
     .help = "names and shapes, where clients cannot know them; else empty"},
    {.name = "metadata", .kind = CONFIG_BASE64,
     .help = "what the model's file says beside them, JSON; left out where it says nothing"},
};
static const struct config_field tensor[] = {
    {.name = "name", .kind = CONFIG_TEXT, INTO(struct config_tensor, name), .required = true,
     .help = "of the tensor"},
    {.name = "shape", .kind = CONFIG_LIST, .required = true, .help = "sizes of its dimensions"},
    {.name = "dtype", .kind = CONFIG_TEXT, INTO(struct config_tensor, dtype),
     .help = "type of its integers; left out: floats"},
};
static const struct config_field child[] = {
    {.name = "address", .kind = CONFIG_ADDRESS, INTO(struct config_child, address),
     .required = true, .help = "of the child"},
    {.name = "type", .kind = CONFIG_WORD, INTO(struct config_child, type), .words = type_words,
     .required = true, .help = "what the child is"},
};
static const struct config_field stream[] = {
    {.name = "origin", .kind = CONFIG_INTEGER, INTO(struct config_stream, origin),
     RANGE(1, UINT32_MAX), .required = true, .help = "number of the node whose frames these are"},
    {.name = "clients", .kind = CONFIG_INTEGER, INTO(struct config_stream, clients),
     RANGE(1, FED_MAX_CLIENTS), .required = true, .help = "clients below it"},
    {.name = "child", .kind = CONFIG_INTEGER, INTO(struct config_stream, child),
     RANGE(0, UINT32_MAX), .required = true, .help = "position of the child it comes through"},
};

const struct config_fields config_settings = {FIELDS(settings)};
const struct config_fields config_nodes = {FIELDS(nodes)};
const struct config_fields config_aggregator = {FIELDS(aggregator)};
const struct config_fields config_client = {FIELDS(client)};
const struct config_fields config_switch = {FIELDS(switch_fields)};
const struct config_fields config_session = {FIELDS(session)};
const struct config_fields config_child = {FIELDS(child)};
const struct config_fields config_stream = {FIELDS(stream)};
const struct config_fields config_tensor = {FIELDS(tensor)};

static void allowed_words(const struct config_field *field, char text[CONFIG_ALLOWED_SIZE])
{
    size_t at = 0;
    for (size_t i = 0; field->words[i] != NULL && at < CONFIG_ALLOWED_SIZE; i++) {
        int n = snprintf(text + at, CONFIG_ALLOWED_SIZE - at, "%s\"%s\"", i > 0 ? ", " : "",
                         field->words[i]);
        at += n > 0 ? (size_t)n : 0;
    }
}

static void allowed_number(const struct config_field *field, char text[CONFIG_ALLOWED_SIZE])
{
    /* no range in the table reaches 10^6 in fractions, so %g shows those of numbers whole */
    const char *format = field->kind == CONFIG_NUMBER ? "%s%s%g .. %s%g" : "%s%s%.0f .. %s%.0f";
    const char *what = field->kind == CONFIG_NUMBER ? "a number, "
                       : field->kind == CONFIG_SIZES
                           ? "an empty list, or 2 .. 16 whole numbers, each "
                           : "a whole number, ";
    snprintf(text, CONFIG_ALLOWED_SIZE, format, what, field->above_min ? "above " : "", field->min,
             field->below_max ? "below " : "", field->max);
}

void config_allowed(const struct config_field *field, char text[CONFIG_ALLOWED_SIZE])
{
    _Static_assert(FED_MAX_LAYERS == 16, "the sentence about lists names this number");
    switch (field->kind) {
    case CONFIG_INTEGER:
    case CONFIG_NUMBER:
    case CONFIG_SIZES:
        allowed_number(field, text);
        return;
    case CONFIG_WORD:
    case CONFIG_WORD_TEXT:
        allowed_words(field, text);
        return;
    case CONFIG_BOOL:
        snprintf(text, CONFIG_ALLOWED_SIZE, "true or false");
        return;
    case CONFIG_TEXT:
        snprintf(text, CONFIG_ALLOWED_SIZE, "text of 1 .. %zu bytes", field->size - 1);
        return;
    case CONFIG_NAME:
        snprintf(text, CONFIG_ALLOWED_SIZE,
                 "1 .. %zu letters, digits, '-', '_' and '.', not beginning with '.'",
                 field->size - 1);
        return;
    case CONFIG_TEXTS:
        snprintf(text, CONFIG_ALLOWED_SIZE, "a list of texts, %zu bytes at most", field->size - 1);
        return;
    case CONFIG_TEXT_MAP:
        snprintf(text, CONFIG_ALLOWED_SIZE, "an object of texts, %zu bytes at most",
                 field->size - 1);
        return;
    case CONFIG_FREE:
        snprintf(text, CONFIG_ALLOWED_SIZE, "any object, %zu bytes at most", field->size - 1);
        return;
    case CONFIG_HEX:
        snprintf(text, CONFIG_ALLOWED_SIZE, "%zu hexadecimal digits", 2 * field->size);
        return;
    case CONFIG_ADDRESS:
        snprintf(text, CONFIG_ALLOWED_SIZE, "an address in quotes, \"host\" or \"host:port\"");
        return;
    case CONFIG_LIST:
        snprintf(text, CONFIG_ALLOWED_SIZE, "a list, [ ... ]");
        return;
    case CONFIG_OBJECT:
    case CONFIG_NODE:
        snprintf(text, CONFIG_ALLOWED_SIZE, "an object, { ... }");
        return;
    case CONFIG_BASE64:
        snprintf(text, CONFIG_ALLOWED_SIZE, "base64 text");
        return;
    case CONFIG_IGNORED:
        snprintf(text, CONFIG_ALLOWED_SIZE, "anything");
        return;
    }
}

int config_word(const struct config_field *field, const char *text)
{
    for (int i = 0; field->words[i] != NULL; i++) {
        if (strcmp(field->words[i], text) == 0) {
            return i;
        }
    }
    return -1;
}

static void set_default(const struct config_field *field, void *base)
{
    uint8_t *at = (uint8_t *)base + field->offset;
    uint64_t whole = (uint64_t)field->otherwise;
    uint32_t narrow = (uint32_t)whole;
    bool yes = field->otherwise != 0;
    switch (field->kind) {
    case CONFIG_OBJECT:
        config_defaults((struct config_fields){field->members, field->n_members}, base);
        return;
    case CONFIG_INTEGER:
    case CONFIG_WORD:
        memcpy(at, field->size == sizeof whole ? (void *)&whole : (void *)&narrow, field->size);
        return;
    case CONFIG_NUMBER:
        memcpy(at, &field->otherwise, field->size);
        return;
    case CONFIG_BOOL:
        memcpy(at, &yes, field->size);
        return;
    case CONFIG_SIZES:
        memset(at, 0, field->size + sizeof(size_t));
        return;
    case CONFIG_TEXT:
    case CONFIG_NAME:
    case CONFIG_WORD_TEXT:
    case CONFIG_ADDRESS:
    case CONFIG_TEXTS:
    case CONFIG_TEXT_MAP:
    case CONFIG_FREE:
    case CONFIG_HEX:
        memset(at, 0, field->size);
        if (field->otherwise_text != NULL) {
            memcpy(at, field->otherwise_text, strlen(field->otherwise_text));
        }
        return;
    case CONFIG_LIST:
    case CONFIG_NODE:
    case CONFIG_BASE64:
    case CONFIG_IGNORED:
        return;
    }
}

void config_defaults(struct config_fields fields, void *base)
{
    for (size_t i = 0; i < fields.n; i++) {
        set_default(&fields.list[i], base);
    }
}

/* Whole numbers without a fraction: 600, not 600.0. */
static json_t *number_json(double value)
{
    if (value == floor(value) && fabs(value) <= CONFIG_EXACT_MAX) {
        return json_integer((json_int_t)value);
    }
    return json_real(value);
}

static json_t *sizes_json(const uint8_t *at)
{
    _Static_assert(offsetof(struct fed_settings, n_layers) ==
                       offsetof(struct fed_settings, layers) + sizeof(size_t[FED_MAX_LAYERS]),
                   "the count follows the list");
    size_t sizes[FED_MAX_LAYERS];
    size_t n;
    memcpy(sizes, at, sizeof sizes);
    memcpy(&n, at + sizeof sizes, sizeof n);
    json_t *list = json_array();
    for (size_t i = 0; i < n && i < FED_MAX_LAYERS; i++) {
        if (json_array_append_new(list, json_integer((json_int_t)sizes[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *members_json(const struct config_field *field, const void *base)
{
    json_t *object = json_object();
    for (size_t i = 0; i < field->n_members; i++) {
        const struct config_field *member = &field->members[i];
        const char *text = (const char *)base + member->offset;
        if (member->kind == CONFIG_TEXT && text[0] == '\0') {
            continue; /* one that may be left out, and was */
        }
        if (json_object_set_new(object, member->name, config_value_json(member, base)) != 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

/* What is kept as JSON; nothing is an empty list or object. */
static json_t *kept_json(const struct config_field *field, const uint8_t *at)
{
    if (at[0] == '\0') {
        return field->kind == CONFIG_TEXTS ? json_array() : json_object();
    }
    return json_loads((const char *)at, 0, NULL);
}

static json_t *hex_json(const uint8_t *bytes, size_t size)
{
    char text[2 * HE_NONCE_SIZE + 1]; /* the longest in the table */
    if (size > HE_NONCE_SIZE) {
        return NULL;
    }
    digest_hex(bytes, size, text);
    return json_string(text);
}

json_t *config_value_json(const struct config_field *field, const void *base)
{
    const uint8_t *at = (const uint8_t *)base + field->offset;
    uint64_t whole = 0;
    uint32_t narrow = 0;
    double number = 0;
    bool yes = false;
    switch (field->kind) {
    case CONFIG_OBJECT:
        return members_json(field, base);
    case CONFIG_INTEGER:
        memcpy(field->size == sizeof whole ? (void *)&whole : (void *)&narrow, at, field->size);
        return json_integer((json_int_t)whole + (json_int_t)narrow); /* one of them is 0 */
    case CONFIG_WORD:
        memcpy(&narrow, at, sizeof narrow);
        return json_string(field->words[narrow]);
    case CONFIG_NUMBER:
        memcpy(&number, at, sizeof number);
        return number_json(number);
    case CONFIG_BOOL:
        memcpy(&yes, at, sizeof yes);
        return json_boolean(yes);
    case CONFIG_SIZES:
        return sizes_json(at);
    case CONFIG_TEXT:
    case CONFIG_NAME:
    case CONFIG_WORD_TEXT:
    case CONFIG_ADDRESS:
        return json_string((const char *)at);
    case CONFIG_TEXTS:
    case CONFIG_TEXT_MAP:
    case CONFIG_FREE:
        return kept_json(field, at);
    case CONFIG_HEX:
        return hex_json(at, field->size);
    case CONFIG_LIST:
    case CONFIG_NODE:
    case CONFIG_BASE64:
    case CONFIG_IGNORED:
        return NULL; /* their caller writes them */
    }
    return NULL;
}

json_t *config_default_json(const struct config_field *field)
{
    if (field->required || (field->kind == CONFIG_NAME && field->otherwise_text == NULL)) {
        return NULL;
    }
    switch (field->kind) {
    case CONFIG_INTEGER:
    case CONFIG_NUMBER:
        return number_json(field->otherwise);
    case CONFIG_WORD:
        return json_string(field->words[(size_t)field->otherwise]);
    case CONFIG_BOOL:
        return json_boolean(field->otherwise != 0);
    case CONFIG_SIZES:
    case CONFIG_TEXTS:
        return json_array();
    case CONFIG_TEXT_MAP:
    case CONFIG_FREE:
        return json_object();
    default:
        return field->otherwise_text != NULL ? json_string(field->otherwise_text) : NULL;
    }
}

json_t *fed_settings_json(const struct fed_settings *values)
{
    struct config_field all = {.members = settings, .n_members = COUNT(settings)};
    return members_json(&all, values);
}
