/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_LEDGER_H
#define ROLE_LEDGER_H

#include <stdbool.h>

#include "digest.h"
#include "frame.h"
#include "he.h"
#include "shape.h"

/**
 * What the aggregator writes down so that it can go on after a crash at any moment. In the run's
 * folder:
 *
 *   lock                       held (flock) as long as the ledger is open; says by whom
 *   journal                    the session, the last commit, and what has come in since
 *   checkpoint-R.safetensors   the model after round R, the one that the commit names, and behind it
 *                              what the strategy keeps
 *   secret.key                 the session's secret key; only while a run is unfinished
 *
 * The journal decides: without it there is no unfinished run, and what else of these is there is
 * left over and removed. Its records, in this order:
 *
 *   session  commit?  ( round  frame* )?  closing?
 *
 * A commit puts a new journal of two records in the old one's place, in one step, so a journal is
 * never longer than the frames of one round.
 *
 *   ledger_open                 before the run's folder is touched
 *   ledger_look                 is there something to go on with?
 *   ledger_begin | ledger_resume
 *   ledger_round, (ledger_frame.., ledger_sync).., ledger_closing, ledger_commit    for each round
 *   ledger_finish               once summary.json is there
 *   ledger_close
 *
 * One thread at a time. A failure leaves what was durable before as it was; after
 * CAIRN_ERR_STORAGE the same can be tried again (disk full) unless it says otherwise.
 */
struct ledger;

/** What a run has from its beginning to its end. All borrowed. */
struct ledger_session {
    char config_digest[DIGEST_HEX_SIZE]; /* json_digest of the config */
    uint8_t id[WIRE_EXPERIMENT];
    uint8_t nonce[HE_NONCE_SIZE];
    struct span public_key; /* he_public_key_write; empty with profile none */
    uint64_t n_params;
    uint32_t n_tensors;
    uint64_t largest_samples;
    const uint64_t *samples; /* n_nodes: as each node reported */
    uint32_t n_nodes;
};

/**
 * Make the folder if it is not there, take its lock, and remove what an interrupted write has left.
 * @param folder       runfolder's path; copied
 * @param address      of this aggregator, for whoever is refused
 * @param frame_limit  bytes of the largest frame: fed_plan_frame_bytes
 * @retval CAIRN_ERR_BUSY  another aggregator has it: its process, boot and address are named
 * @retval CAIRN_ERR_STORAGE, CAIRN_ERR_INTEGRITY, CAIRN_ERR_NO_MEMORY
 */
CAIRN_MUST_CHECK int ledger_open(const char *folder, const char *address, size_t frame_limit,
                                 struct ledger **out, struct cairn_problem *why);
/** Let go of the folder; what is unfinished can be resumed. NULL is ignored. */
void ledger_close(struct ledger *ledger);

enum ledger_found {
    LEDGER_NOTHING,      /* ledger_begin */
    LEDGER_OTHER_CONFIG, /* an unfinished run of another config: ledger_begin gives it up */
    LEDGER_UNFINISHED,   /* ledger_resume, or ledger_begin to give it up */
};
/**
 * @param config_digest  json_digest of the config that is to be run
 * @retval CAIRN_ERR_INTEGRITY  a journal that cannot be read; ledger_begin gives it up
 */
CAIRN_MUST_CHECK int ledger_look(struct ledger *ledger, const char *config_digest,
                                 enum ledger_found *found, struct cairn_problem *why);

/**
 * A new run. What was unfinished is given up, first of all. Durable when it returns.
 * @param secret  of the public key; NULL with profile none
 */
CAIRN_MUST_CHECK int ledger_begin(struct ledger *ledger, const struct ledger_session *session,
                                  const struct he_secret_key *secret, struct cairn_problem *why);

/** Round `round` is opened with these steps (n_tensors). Durable when it returns.
 * @retval CAIRN_ERR_BUG  one is open already, or it is not later than the last commit */
CAIRN_MUST_CHECK int ledger_round(struct ledger *ledger, uint32_t round, uint64_t largest_samples,
                                  const double *steps, struct cairn_problem *why);
/**
 * A sum of the open round as one whole wire frame, BEFORE it is opened, in index order from 0.
 * Its digest need not be filled in. Durable after ledger_sync.
 * @retval CAIRN_ERR_BUG  no round is open, it is closing, or this is not the next frame
 */
CAIRN_MUST_CHECK int ledger_frame(struct ledger *ledger, struct span frame,
                                  struct cairn_problem *why);
/** @retval CAIRN_ERR_STORAGE  final: close it, start again and resume */
CAIRN_MUST_CHECK int ledger_sync(struct ledger *ledger, struct cairn_problem *why);
/**
 * The open round takes no more: a frame that is not here by now stays out for ever. Durable when it
 * returns. A second time changes nothing.
 * @retval CAIRN_ERR_BUG  that round is not open
 */
CAIRN_MUST_CHECK int ledger_closing(struct ledger *ledger, uint32_t round,
                                    struct cairn_problem *why);
/**
 * The open round is over and this is the model. When it returns the model is durable and the
 * round's frames are gone. After a failure the round is still open, and this can be tried again.
 * @param shape    of what is kept: it begins with the model's n_tensors tensors and n_params parameters
 * @param largest  n_tensors: largest magnitude of each tensor's update, for the next round's steps
 * @param history  whatever is to be handed back with this commit, up to LEDGER_HISTORY_LIMIT bytes
 * @retval CAIRN_ERR_BUG       that round is not open, or the model is of another size
 * @retval CAIRN_ERR_TOO_LONG  history
 */
CAIRN_MUST_CHECK int ledger_commit(struct ledger *ledger, uint32_t round,
                                   const struct model_shape *shape, const float *model,
                                   const double *largest, struct span history,
                                   struct cairn_problem *why);
/** 1 KiB for each of 65536 rounds */
enum { LEDGER_HISTORY_LIMIT = 1 << 26 };

/** The run is whole: nothing is left of it but its results; the secret key is overwritten first.
 * The lock is kept until ledger_close. */
CAIRN_MUST_CHECK int ledger_finish(struct ledger *ledger, struct cairn_problem *why);

/** Where a run stands. Owner: ledger_state_release. */
struct ledger_state {
    struct ledger_session session; /* what it points to is in `record` */
    struct he_secret_key *secret;  /* NULL with profile none; set it to NULL to keep it */

    uint32_t committed; /* round; 0: none, and the model is the initial one */
    double *largest;    /* n_tensors: of the last commit, or zeros */
    struct buf history; /* of the last commit */

    uint32_t open;  /* round; 0: none is open, the next one is committed + 1 */
    bool closing;   /* no more frames for it; there may be none at all */
    uint32_t frames; /* 0 .. frames-1 of the open round are here: ledger_next_frame */
    uint64_t largest_samples; /* of the open round */
    double *steps;            /* n_tensors: of the open round, or zeros */

    uint64_t dropped; /* bytes at the journal's end that were no record */
    bool damaged;     /* and they are more than what was being written when the process was killed:
                       * frames among them may have been opened, so the round after the last commit
                       * is closing with what is left of it */
    uint64_t *samples;
    struct buf record;
};
/**
 * Go on with the run that ledger_look has found.
 * @param shape       as ledger_commit had it
 * @param[out] model  shape->n_params; untouched where no round was committed, zeroed on failure
 * @param[out] state  untouched on failure
 * @retval CAIRN_ERR_INTEGRITY    a journal that makes no sense, a checkpoint or a key that is not
 *                                the one it names
 * @retval CAIRN_ERR_ENVIRONMENT  the key's file may be read by others (the hint is the command
 *                                that mends it), or is a symbolic link
 * @retval CAIRN_ERR_DATA         no key, no checkpoint, or a model of another shape
 */
CAIRN_MUST_CHECK int ledger_resume(struct ledger *ledger, const struct model_shape *shape,
                                   float *model, struct ledger_state *state,
                                   struct cairn_problem *why);
/**
 * The journalled frames of the open round, after ledger_resume: 0, 1, ... state.frames - 1, one
 * per call.
 * @param[out] frame  its content is replaced
 * @return 1 a frame, 0 no more, or
 * @retval CAIRN_ERR_INTEGRITY  the disk gives other bytes than before
 */
CAIRN_MUST_CHECK int ledger_next_frame(struct ledger *ledger, struct buf *frame,
                                       struct cairn_problem *why);
void ledger_state_release(struct ledger_state *state);

#endif
