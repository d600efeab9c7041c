/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FED_CONFIG_FIELDS_H
#define FED_CONFIG_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "config.h"
#include "shape.h"

/**
 * The one table of everything that may stand in a config: name, type, range, default, help.
 * Reading (config_read.c), defaults, fed_settings_json, the JSON Schema and the printed
 * table all come from it.
 */

/* 2^53: whole numbers up to it survive every JSON reader that keeps numbers as doubles, ours too */
#define CONFIG_EXACT_MAX 9007199254740992.0

enum config_kind {
    CONFIG_OBJECT,    /* members of its own, in the same struct */
    CONFIG_INTEGER,   /* stored by size: uint32_t or uint64_t and what has their size */
    CONFIG_NUMBER,    /* double */
    CONFIG_BOOL,      /* bool */
    CONFIG_TEXT,      /* char[size], not empty */
    CONFIG_NAME,      /* char[size]: letters, digits, '.', '_', '-'; not beginning with '.' */
    CONFIG_WORD,      /* one of `words`; stored as its number, an enum of uint32_t's size */
    CONFIG_WORD_TEXT, /* one of `words`; stored as char[size] */
    CONFIG_SIZES,     /* list of integers: size_t[FED_MAX_LAYERS], then their count */
    CONFIG_TEXTS,     /* list of texts, or nothing: kept as JSON in char[size] */
    CONFIG_TEXT_MAP,  /* object of texts: kept as JSON in char[size] */
    CONFIG_FREE,      /* any object: kept as JSON in char[size] */
    CONFIG_HEX,       /* uint8_t[size] as hexadecimal */
    CONFIG_ADDRESS,   /* char[size], brought to "host:port" */
    CONFIG_LIST,      /* a list that its caller reads */
    CONFIG_NODE,      /* an object that its caller reads: the aggregator, `others` */
    CONFIG_BASE64,    /* text that its caller reads */
    CONFIG_IGNORED,   /* anything at all */
};

struct config_field {
    const char *name;
    enum config_kind kind;
    const char *help;
    size_t offset, size;        /* of the member in the struct that is read into */
    double min, max;            /* numbers; for lists of numbers the range of each */
    bool above_min;             /* min itself is not allowed */
    bool below_max;             /* max itself is not allowed */
    double otherwise;           /* default of numbers, words (their number) and bools */
    const char *otherwise_text; /* default of texts */
    bool required;
    const char *const *words; /* NULL at the end */
    const struct config_field *members;
    size_t n_members;
};

struct config_fields {
    const struct config_field *list;
    size_t n;
};

/** A node as it stands in a config, before it is known whether it fits anywhere. Also `self` of an
 * assignment. */
struct config_self {
    uint32_t is_switch;     /* the number of the word in "type" */
    uint32_t iteration;     /* aggregator; 0 = not read */
    uint32_t client_number; /* clients; 0 = not read */
    uint32_t index;         /* clients; UINT32_MAX = not read */
    bool dumb;
    char ip[FED_ADDRESS_SIZE];   /* "" = not read */
    char send[FED_ADDRESS_SIZE]; /* "" = not read */
};

/** What stands below "session" in an assignment, without its lists. */
struct config_session {
    uint8_t id[16];
    uint8_t nonce[HE_NONCE_SIZE];
    uint32_t node, iterations, n_clients, n_tensors, n_words;
    uint64_t n_params, n_plain;
    char aggregator[FED_ADDRESS_SIZE]; /* "" = not told */
    char parent[FED_ADDRESS_SIZE];
    uint32_t parent_type; /* FED_AGGREGATOR or FED_SWITCH */
    double grace_s;
};
struct config_child {
    char address[FED_ADDRESS_SIZE];
    uint32_t type; /* 0 client, 1 switch */
};
struct config_stream {
    uint32_t origin, clients, child;
};
struct config_tensor {
    char name[MODEL_NAME_SIZE];
    char dtype[8]; /* of an integer tensor; "" = floats */
};

extern const struct config_fields config_settings;   /* into struct fed_settings */
extern const struct config_fields config_nodes;      /* "aggregator", "others" */
extern const struct config_fields config_aggregator; /* into struct config_self */
extern const struct config_fields config_client;     /* into struct config_self */
extern const struct config_fields config_switch;     /* into struct config_self */
extern const struct config_fields config_session;    /* into struct config_session */
extern const struct config_fields config_child;      /* into struct config_child */
extern const struct config_fields config_stream;     /* into struct config_stream */
extern const struct config_fields config_tensor;     /* into struct config_tensor */

enum {
    /* members of the largest object: an assignment has 8 of a node, 12 settings and the session */
    CONFIG_MAX_MEMBERS = 24,
    CONFIG_ALLOWED_SIZE = 120,
};

/** What is allowed in a field, in words: "a whole number, 1 .. 1000". */
void config_allowed(const struct config_field *field, char text[CONFIG_ALLOWED_SIZE]);

/** Set the defaults of all fields. */
void config_defaults(struct config_fields fields, void *base);

/** The field's value as JSON, from the struct at `base`. New reference, NULL without memory. */
json_t *config_value_json(const struct config_field *field, const void *base);
/** Its default; NULL when it has none. New reference. */
json_t *config_default_json(const struct config_field *field);

/** Number of a word in the field's list; -1 when it is not there. */
int config_word(const struct config_field *field, const char *text);

#endif
