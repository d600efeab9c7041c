/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_INITIAL_H
#define ROLE_INITIAL_H

#include "digest.h"
#include "runfolder.h"

/**
 * The model that a run was told to begin with (`cairn agg --init`): a copy of it stays in the run's
 * folder, initial.safetensors, because a run that goes on needs it, wherever the file has gone meanwhile.
 */

/** Where the copy is. @return whether it is there */
bool initial_kept(const struct runfolder *run, char path[RUNFOLDER_PATH_SIZE]);
/** Copy the file into the folder, durable, in place of an earlier one. @retval CAIRN_ERR_DATA, CAIRN_ERR_STORAGE */
CAIRN_MUST_CHECK int initial_keep(const struct runfolder *run, const char *from,
                                  struct cairn_problem *why);
/** A run of its own model begins: no copy. */
void initial_drop(const struct runfolder *run);
/**
 * What tells a run from another: its config, and the file that it began with. A copy that is damaged or gone makes
 * it another run, which cannot be gone on with.
 * @param path        of the file or its copy; NULL: none
 * @param[in,out] hex  of the config
 * @retval CAIRN_ERR_DATA
 */
CAIRN_MUST_CHECK int initial_digest(const char *path, char hex[DIGEST_HEX_SIZE],
                                    struct cairn_problem *why);

#endif
