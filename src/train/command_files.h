/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRAIN_COMMAND_FILES_H
#define TRAIN_COMMAND_FILES_H

#include <stdbool.h>
#include <time.h>

#include <jansson.h>

#include "command_home.h"

/**
 * The work folder of a trainer's program, which is its current folder and its HOME, and what passes
 * through it:
 *
 *   model.safetensors    there: the model to begin with, floats as F32 and behind them integers, each in its
 *                        type, but what stays with the program as it has left it; for reading only
 *   task.json            there: what is to be done
 *   trained.safetensors  left: the model that came of it, the same tensors in any order
 *   metrics.json         left: an object of numbers
 *
 * Nothing of the model's size is kept in memory. One thread at a time.
 */
enum { COMMAND_PATH_SIZE = 512 };

struct command_files {
    char folder[COMMAND_PATH_SIZE]; /* private (0700), absolute; "" = there is none */
    int model;                      /* model.safetensors; -1 = not open */
    uint64_t data_at;               /* of its first element */
    struct timespec written;        /* when it was last written to by us */
    struct safetensors_file trained;
    const json_t *metadata;          /* of the model, the owner's; NULL: none */
    const struct model_share *share; /* the owner's, borrowed; NULL: nothing stays with the program */
    struct command_home home;        /* what does */
    struct model_shape given;        /* model.safetensors */
};

/** Make a folder in TMPDIR, or /tmp. @retval CAIRN_ERR_STORAGE */
CAIRN_MUST_CHECK int command_files_make(struct command_files *files, struct cairn_problem *why);
/** Remove it with all that is in it. Zero-initialised is ignored. */
void command_files_remove(struct command_files *files);

/** Does something stay with the program of which there is nothing yet? */
bool command_files_lack_home(const struct command_files *files);
/** Keep what stays with it, of `trained`, all of it or nothing. @retval as command_home_keep */
CAIRN_MUST_CHECK int command_files_keep_home(struct command_files *files, struct cairn_problem *why);
/** Begin model.safetensors anew, with what has been kept. @retval CAIRN_ERR_STORAGE, CAIRN_ERR_NO_MEMORY */
CAIRN_MUST_CHECK int command_files_begin_model(struct command_files *files,
                                               const struct model_shape *shape,
                                               struct cairn_problem *why);
/** Put floats first .. first+n-1 into it, a run of what is shared, float32 little-endian. @retval CAIRN_ERR_STORAGE */
CAIRN_MUST_CHECK int command_files_put(struct command_files *files, size_t first, size_t n,
                                       const uint8_t *weights, struct cairn_problem *why);
/** Put the integers that are shared into it. @param words  all of the model
 * @retval CAIRN_ERR_STORAGE, CAIRN_ERR_NO_MEMORY
 * @retval CAIRN_ERR_DATA  a word that its tensor's type cannot hold */
CAIRN_MUST_CHECK int command_files_put_words(struct command_files *files, const uint64_t *words,
                                             struct cairn_problem *why);
/** Write task.json and remove what an earlier task has left. @retval CAIRN_ERR_STORAGE */
CAIRN_MUST_CHECK int command_files_put_task(struct command_files *files, const json_t *task,
                                            struct cairn_problem *why);

/**
 * metrics.json: an object whose values are numbers, with "samples" from 1 on.
 * @retval CAIRN_ERR_TRAINER  absent, or something else
 */
CAIRN_MUST_CHECK int command_files_metrics(const struct command_files *files, json_t **out,
                                           struct cairn_problem *why);
/**
 * Open trained.safetensors, which command_files_update and command_files_words read from then on.
 * @param shape  what it must hold; NULL: whatever it does
 * @retval CAIRN_ERR_TRAINER  absent, broken, or another model
 */
CAIRN_MUST_CHECK int command_files_open_trained(struct command_files *files,
                                                const struct model_shape *shape,
                                                struct cairn_problem *why);
/** model.safetensors is as it was written. @retval CAIRN_ERR_TRAINER */
CAIRN_MUST_CHECK int command_files_check_model(const struct command_files *files,
                                               struct cairn_problem *why);
/** The shared integers of trained, in their places. @param[out] words  all of the shape that it was opened with
 * @retval CAIRN_ERR_TRAINER */
CAIRN_MUST_CHECK int command_files_words(const struct command_files *files, uint64_t *words,
                                         struct cairn_problem *why);
/** trained minus model, floats first .. first+n-1, a run of what is shared. @retval CAIRN_ERR_DATA */
CAIRN_MUST_CHECK int command_files_update(const struct command_files *files, size_t first, size_t n,
                                          float *out, struct cairn_problem *why);

#endif
