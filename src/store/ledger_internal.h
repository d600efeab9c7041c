/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_LEDGER_INTERNAL_H
#define ROLE_LEDGER_INTERNAL_H

#include "config.h"
#include "journal.h"
#include "ledger.h"

/** What ledger.c and ledger_replay.c share. */

enum {
    LEDGER_FOLDER_SIZE = FED_PATH_SIZE + FED_NAME_SIZE, /* as struct runfolder has it */
    LEDGER_PATH_SIZE = LEDGER_FOLDER_SIZE + 256,        /* and a name in it, NAME_MAX */
};

struct ledger {
    char folder[LEDGER_FOLDER_SIZE];
    char journal_path[LEDGER_PATH_SIZE];
    char lock_path[LEDGER_PATH_SIZE];
    int lock; /* -1: not taken */
    size_t frame_limit;
    struct journal journal;
    struct buf session; /* its record, to be written again at each commit */
    struct buf scratch;
    uint64_t n_params;
    uint32_t n_tensors;
    uint32_t committed;
    uint32_t open; /* 0: none */
    uint32_t frames;
    bool closing;
    struct journal_reader reader; /* of ledger_next_frame; fd -1: not begun */
    uint32_t to_read, read;       /* frames that it hands out, and how many it has */
};

void ledger_path(const struct ledger *l, const char *name, char out[LEDGER_PATH_SIZE]);
void ledger_secret_path(const struct ledger *l, char out[LEDGER_PATH_SIZE]);
void ledger_checkpoint_path(const struct ledger *l, uint32_t round, char out[LEDGER_PATH_SIZE]);
/** Does a checkpoint of this shape begin with a model of so many parameters and tensors? */
bool ledger_shape_begins(const struct model_shape *shape, uint64_t n_params, size_t n_tensors);
void ledger_key_id(struct span public_key, uint8_t id[HE_KEY_ID_SIZE]);

enum ledger_keep {
    LEDGER_KEEP_NOTHING, /* there is no run */
    LEDGER_KEEP_ONE,     /* the secret key, and one checkpoint */
    LEDGER_KEEP_ALL,     /* the secret key, and checkpoints */
};
/** Remove what is left over, drafts always. @retval CAIRN_ERR_STORAGE */
CAIRN_MUST_CHECK int ledger_sweep(const struct ledger *l, enum ledger_keep keep, uint32_t round,
                                  struct cairn_problem *why);

#endif
