/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRAIN_COMMAND_HOME_H
#define TRAIN_COMMAND_HOME_H

#include "safetensors.h"
#include "share.h"

/**
 * What of a model stays with a trainer's program (share.h), from one training to the next: each tensor in the type
 * and with the bytes that the program has left. It is in a file without a name, which goes when its owner does, and
 * which no program can open; nothing of the model's size is in memory. One thread at a time.
 *
 * The file has the bytes where the model has them in these types, and holes where it is shared.
 */
struct command_home {
    enum model_dtype *types; /* of the whole's tensors, by place; NULL: nothing is kept yet */
    int fd;
};

/**
 * Keep what a program has left, all of it or nothing: what was kept before stays then.
 * @param folder   where there is room for it
 * @param trained  open with the whole's shape
 * @retval CAIRN_ERR_TRAINER  a value that is not finite, or a BOOL that is neither 0 nor 1; which
 * @retval CAIRN_ERR_DATA     `trained` has been shortened meanwhile
 * @retval CAIRN_ERR_STORAGE, CAIRN_ERR_NO_MEMORY
 */
CAIRN_MUST_CHECK int command_home_keep(struct command_home *home, const char *folder,
                                       const struct model_share *share,
                                       const struct safetensors_file *trained,
                                       struct cairn_problem *why);
/**
 * Put it into a model's file.
 * @param shape    the whole in the types that are kept, model_shape_typed
 * @param to, at   the file, and where its first element is
 * @param path     of the file, for messages
 * @retval CAIRN_ERR_STORAGE
 */
CAIRN_MUST_CHECK int command_home_give(const struct command_home *home,
                                       const struct model_share *share,
                                       const struct model_shape *shape, int to, uint64_t at,
                                       const char *path, struct cairn_problem *why);
/** Zero-initialised is ignored. */
void command_home_release(struct command_home *home);

#endif
