/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_ESTIMATE_H
#define CLI_ESTIMATE_H

#include "config.h"
#include "plan.h"
#include "privacy.h"
#include "share.h"

/**
 * What a config will cost, worked out from its parameters before anything runs. Bytes are those of
 * request bodies: HTTP headers come on top, some hundred bytes a request.
 */
struct estimate {
    struct model_shape shape; /* owned: estimate_release */
    uint64_t at_home;         /* parameters that model.include and model.exclude keep from being sent */
    uint64_t n_plain;         /* parameters that encryption.only lets go in plain */
    uint64_t whole;           /* parameters of the model as it is trained, where that is not the array that is shared; else 0 */
    const char *shape_source; /* where the layers are from, for people; static */
    struct fed_plan plan;
    bool by_run;                   /* updates come run by run: clients keep no model in memory */
    uint64_t train_rows, features; /* of the data set; 0 where it is not here */
    uint64_t test_rows;
    uint64_t feature_bytes;     /* of one in memory */
    uint64_t client_network, evaluator_network; /* bytes of the built-in model with its batch; 0: it is another's */
    uint64_t stream_bytes;      /* one stream's batches in one round: what a client sends */
    uint64_t all_encrypted_bytes; /* and what it would be without encryption.only */
    uint64_t batch_bytes;       /* the largest batch */
    uint64_t model_bytes;       /* the model on its way down */
    uint64_t piece_bytes;       /* a piece of the model on its way down */
    uint64_t threads_bytes[2];  /* what the threads of a client and of the aggregator encrypt and open with */
    unsigned kept_arrays;       /* of the model's size, that the strategy keeps: the model is one */
    struct fed_privacy privacy;
    uint32_t window;            /* frames whose sums a node holds at most */
    uint64_t most_contributors; /* how many clients' sums still fit into a lane */
};

/** What of a model is shared by model.include and model.exclude. @param[out] share  the caller's, model_share_release
 * @retval as model_share_init */
CAIRN_MUST_CHECK int estimate_share(const struct fed_settings *settings,
                                    const struct model_shape *whole, struct model_share *share,
                                    struct cairn_problem *why);
struct dataset_source;
/** The data set of a config, as its clients read it. Points into both. */
void estimate_source(const struct fed_settings *settings, const char *data_dir,
                     struct dataset_source *out);
/** What is shared of the model that a config trains. Owner: model_shape_release. @param[out] source  static text
 * @param[out] facts  rows and features of the data set, or zeros where it is not here; NULL */
CAIRN_MUST_CHECK int estimate_shape(const struct fed_settings *settings, const char *data_dir,
                                    struct model_shape *shape, const char **source,
                                    struct estimate *facts, struct cairn_problem *why);

/** @param data_dir  the data set's folder, which may be missing
 * @retval CAIRN_ERR_CONFIG, CAIRN_ERR_NO_MEMORY */
CAIRN_MUST_CHECK int estimate_init(struct estimate *e, const struct fed_config *config,
                                   const char *data_dir, struct cairn_problem *why);
void estimate_release(struct estimate *e);

/** Request bodies that a node receives and sends in one round. */
struct estimate_bytes {
    uint64_t received, sent;
};
struct estimate_bytes estimate_traffic(const struct estimate *e, const struct fed_tree *tree,
                                       uint32_t node);
/**
 * A node's memory at its peak: what its role's file declares, everything that can be on its way at once, and the program
 * itself, measured on x86-64 with Debian 12's libraries. Without what a trainer's program takes.
 * A node that adds up holds less than its window while children are as fast as each other.
 */
uint64_t estimate_memory(const struct estimate *e, const struct fed_tree *tree, uint32_t node);

#endif
