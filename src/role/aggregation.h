/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_AGGREGATION_H
#define ROLE_AGGREGATION_H

#include <pthread.h>

#include "aggregator.h"
#include "downlink.h"
#include "ledger.h"
#include "parallel.h"
#include "plan.h"
#include "privacy.h"
#include "receiver.h"
#include "round.h"
#include "roundlog.h"
#include "runfolder.h"
#include "sampling.h"
#include "strategy.h"
#include "watch.h"

/**
 * The aggregator's own state, for the files that it is written in:
 *
 *   aggregator.c         the rounds
 *   aggregator_nodes.c   the other nodes: their configs, who is alive, their logs
 *   aggregator_start.c   how it comes to be: a new run, or one that goes on
 */
enum aggregator_state {
    AGG_CONFIGURING,
    AGG_READY,
    AGG_COLLECTING,
    AGG_FINISHING,
    AGG_GATHERING,
    AGG_DONE,
    AGG_FAILED,
};

enum { WHO_SIZE = 320 };      /* of the list of who is missing */
enum { SUMS_AT_ONCE = 8 };    /* made durable with one flush */
enum { BARREN_ROUNDS = 3 };   /* rounds in a row without a single opened frame that end the run */

/* What is known of a node besides its place in the tree. */
struct peer {
    struct buf config; /* its document */
    char digest[DIGEST_HEX_SIZE];
    char path[DIGEST_HEX_SIZE + 24]; /* "/config?digest=..." */
    uint64_t samples; /* clients: as reported when it took its config */
    struct backoff backoff; /* of asking for its log */
    json_t *told; /* the rounds whose trouble was said, as names of members; NULL = none yet */
};

struct aggregator {
    struct role role;
    const struct role_host *host;
    const struct fed_config *config;
    struct trainer *trainer; /* initial weights and evaluation */
    struct fed_plan plan;
    struct he_secret_key *secret;
    struct parallel *team; /* with which sums are opened */
    struct he_crew *crew;
    uint8_t id[WIRE_EXPERIMENT];
    uint8_t nonce[HE_NONCE_SIZE];
    struct receiver receiver;
    struct roundlog log;
    bool log_ready, lock_ready;
    struct runfolder run;
    struct ledger *ledger;
    char config_digest[DIGEST_HEX_SIZE];
    struct buf public_key; /* its bytes, as the nodes get it */
    bool begun; /* the session is in the ledger */
    void (*progress)(void *ctx, const char *line);
    void *progress_ctx;

    pthread_mutex_t lock; /* guards the next six */
    enum aggregator_state state;
    uint32_t round_shown;
    bool start_asked;
    bool model_moves;             /* sums are being added to the model: it is not this round's any more */
    struct cairn_problem problem; /* of AGG_FAILED */
    json_t *summary;              /* of AGG_DONE */

    /* only the stepping thread touches what follows; handlers read the model under the lock while !model_moves */
    struct peer *peers;      /* n_nodes; peers[0] is unused */
    json_t **logs;           /* n_nodes: the log of each node that has finished */
    struct downlink configs; /* target i is node i + 1 */
    struct downlink models;  /* to the children */
    struct watch watch;      /* node i + 1 */
    struct fed_stream *streams;
    size_t n_streams;
    uint32_t *stream_clients; /* fed_tree_stream_clients */
    bool *awaited;            /* n_streams: in this round */
    struct fed_sample sample; /* who takes part in this round */
    struct buf message;      /* piece 0 on its way down */
    uint64_t largest_samples;
    struct model_shape kept; /* of all that the strategy keeps */
    float *model;    /* kept.n_params, the model first: n_params */
    double *steps;   /* n_tensors */
    double *largest; /* n_tensors: of the last opened update */
    struct fed_privacy privacy;
    double *rho;     /* n_clients: privacy loss of each client so far; behind the steps in a commit */
    uint32_t fewest_opened; /* contributors of a sum that was opened in this round; UINT32_MAX: none was */
    int64_t *sums;   /* frame_params */
    struct fed_round round;
    struct fed_closing closing;
    bool fold_closed; /* this round takes no more */
    bool line_written; /* this round's, in rounds.jsonl */
    bool privacy_counted; /* this round's loss is in `rho` */
    bool only_journalled; /* a restored round of which nothing but what is in the journal counts */
    struct fed_sum taken[SUMS_AT_ONCE]; /* taken from the fold and not yet decided */
    size_t n_taken, n_journalled;
    struct buf frame;        /* a sum as the journal has it */
    struct buf history;      /* of a commit */
    json_t *contributions;   /* of this round: runs of frames with the same contributors */
    struct ledger_state resumed; /* of a run that goes on, until its open round is restored */
    struct roundlog_entry entry;
    uint64_t round_began_ns, began_ns;
    uint64_t deadline_ns; /* of what is being waited for */
    uint64_t notice_ns;   /* when to say next who is being waited for */
    uint64_t storage_ns;  /* since when the disk refuses; 0 = it does not */
    uint32_t discarded;   /* frames of this round whose opening failed its check */
    uint32_t barren;      /* rounds in a row without an opened frame */
    char missing[WHO_SIZE]; /* who was, when this round's fold was closed; "" = nobody */
    struct eval_metrics metrics;
};

static inline struct aggregator *aggregator_of(struct role *role)
{
    return (struct aggregator *)role; /* its first member */
}

/* ---- for all three files ---- */
uint64_t aggregation_now_ns(const struct aggregator *a);
const struct fed_node *aggregation_node(const struct aggregator *a, uint32_t node);
void CAIRN_PRINTF(2, 3) aggregation_say(struct aggregator *a, const char *format, ...);
void aggregation_fail(struct aggregator *a, const struct cairn_problem *why);
void aggregation_set_state(struct aggregator *a, enum aggregator_state state);
/** Every tensor's step for a round. */
void aggregation_choose_steps(struct aggregator *a, bool first);
/** What the client with the greatest privacy loss has lost: epsilon at privacy.delta. */
double aggregation_epsilon(const struct aggregator *a);
/** Clients that a sum needs to be opened, as far as round.quorum goes. */
uint32_t aggregation_quorum(const struct aggregator *a);
/** Something is waited for, this long at most; after a while without it, it is said who is missing. */
void aggregation_begin_waiting(struct aggregator *a, double seconds);
/** Not there yet. @return when to look again */
uint64_t aggregation_keep_waiting(struct aggregator *a, uint64_t again, const char *for_what,
                                  const char *who);

/* ---- aggregator_nodes.c ---- */
CAIRN_MUST_CHECK int aggregation_make_nodes(struct aggregator *a);
/** Are clients told what the model looks like? They cannot know it where it is a program's. */
bool aggregation_tells_models(const struct aggregator *a);
void aggregation_release_nodes(struct aggregator *a);
/** Watch everybody; give configs to those who have lost theirs. @return when to be called again */
uint64_t aggregation_tend_nodes(struct aggregator *a);
uint64_t aggregation_step_configuring(struct aggregator *a);
/** The state after the last round: logs come in. */
uint64_t aggregation_step_gathering(struct aggregator *a);

/* ---- aggregator.c ---- */
extern const struct role_route aggregation_routes[];
uint64_t aggregation_step(struct role *role);
void aggregation_status(struct role *role, json_t *into);
json_t *aggregation_log(struct role *role);

#endif
