/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_RUNFOLDER_H
#define ROLE_RUNFOLDER_H

#include <jansson.h>

#include "config.h"
#include "trainer.h"

/**
 * What a run leaves behind: <runs>/<experiment>/ with config.json, summary.json,
 * rounds.jsonl, model.safetensors and nodes/<node>.json; where log.checkpoint_every asks for them, models of
 * earlier rounds, too. A new run of the same experiment replaces them.
 */
struct runfolder {
    char path[FED_PATH_SIZE + FED_NAME_SIZE];
};

enum { RUNFOLDER_PATH_SIZE = FED_PATH_SIZE + FED_NAME_SIZE + FED_ADDRESS_SIZE + 32 };
/** A file's path in the folder. */
void runfolder_path(const struct runfolder *run, const char *name, char out[RUNFOLDER_PATH_SIZE]);

/** Make the folder and put the config there. @retval CAIRN_ERR_STORAGE */
CAIRN_MUST_CHECK int runfolder_begin(struct runfolder *run, const char *runs_dir,
                                     const char *experiment, struct span config_text,
                                     struct cairn_problem *why);
/** Where runfolder_begin and runfolder_resume will be: for what must be done before either. */
void runfolder_locate(struct runfolder *run, const char *runs_dir, const char *experiment);
/**
 * Go on with a run that was interrupted. Lines of rounds.jsonl behind that of round `committed` are
 * dropped, and so is a line that is not whole; a summary is removed: the run is not whole.
 * @retval CAIRN_ERR_STORAGE
 */
CAIRN_MUST_CHECK int runfolder_resume(struct runfolder *run, const char *runs_dir,
                                      const char *experiment, struct span config_text,
                                      uint32_t committed, struct cairn_problem *why);
/** Append one round's line. @retval CAIRN_ERR_STORAGE */
CAIRN_MUST_CHECK int runfolder_round(struct runfolder *run, const json_t *line,
                                     struct cairn_problem *why);
/**
 * Write a model, each tensor in its own type; all as float32, with a warning, where a value does not fit its.
 * @param round   0: model.safetensors, the final one; else that round's, round-R.safetensors
 * @param trainer  of the model
 * @retval CAIRN_ERR_STORAGE
 */
CAIRN_MUST_CHECK int runfolder_model(struct runfolder *run, uint32_t round, struct trainer *trainer,
                                     const float *model, struct cairn_problem *why);
/** Write nodes/<node>.json. @retval CAIRN_ERR_STORAGE */
CAIRN_MUST_CHECK int runfolder_node(struct runfolder *run, const char *address, const json_t *log,
                                    struct cairn_problem *why);
/** Write summary.json: last, so that a folder with a summary is whole. @retval CAIRN_ERR_STORAGE */
CAIRN_MUST_CHECK int runfolder_summary(struct runfolder *run, const json_t *summary,
                                       struct cairn_problem *why);

#endif
