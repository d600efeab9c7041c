/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_INITIAL_H
#define ROLE_INITIAL_H

#include "digest.h"
#include "input.h"
#include "runfolder.h"
#include "shape.h"

/**
 * The model that a run was told to begin with (`cairn agg --init`): a copy of it stays in the run's
 * folder, initial.safetensors, because a run that goes on needs it, wherever the file has gone meanwhile.
 */

/** Where the copy is. @return whether it is there */
bool initial_kept(const struct runfolder *run, char path[RUNFOLDER_PATH_SIZE]);
/**
 * Open what the user has named, or the copy: what is read of it is safetensors (model_file.h).
 * @param model  that it must be
 * @retval CAIRN_ERR_DATA  also another model; CAIRN_ERR_STORAGE, CAIRN_ERR_NO_MEMORY
 */
CAIRN_MUST_CHECK int initial_open(struct input *in, const char *path,
                                  const struct model_shape *model, struct cairn_problem *why);
/** Copy it into the folder, durable, in place of an earlier one. @retval CAIRN_ERR_DATA, CAIRN_ERR_STORAGE */
CAIRN_MUST_CHECK int initial_keep(const struct runfolder *run, const struct input *from,
                                  struct cairn_problem *why);
/** A run of its own model begins: no copy. */
void initial_drop(const struct runfolder *run);
/**
 * What tells a run from another: its config, and the file that it began with. A copy that is damaged or gone makes
 * it another run, which cannot be gone on with.
 * @param in          the file or its copy; NULL: none
 * @param[in,out] hex  of the config
 * @retval CAIRN_ERR_DATA
 */
CAIRN_MUST_CHECK int initial_digest(const struct input *in, char hex[DIGEST_HEX_SIZE],
                                    struct cairn_problem *why);

#endif
