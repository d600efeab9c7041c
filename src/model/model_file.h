/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_MODEL_FILE_H
#define MODEL_MODEL_FILE_H

#include "safetensors.h"

/**
 * The file of a model that a user names: safetensors, .npz, or .npy with a model's only tensor. Which it is, is
 * told by its content. Whoever reads it sees safetensors: NumPy's formats are converted into a
 * nameless file for a while (file_scratch_open), which takes the model's size on that disk.
 *
 * Tensors keep names, types, values and order; the one of a .npy file is named as in the model that is
 * wanted, where that has just one, else NPY_ONLY_NAME.
 */

/**
 * @param[out] in  the bytes of a safetensors file, the caller's, input_close; not yet checked where the file is one
 * @param path     borrowed as long as it is open
 * @param wanted   the model that it must be, so that another one is not even unpacked; NULL: any
 * @retval CAIRN_ERR_DATA  not there or unreadable, each fault named with the member of an archive
 * @retval CAIRN_ERR_REFUSED  another model (model_shape_same)
 * @retval CAIRN_ERR_STORAGE, CAIRN_ERR_NO_MEMORY
 */
CAIRN_MUST_CHECK int model_input_open(struct input *in, const char *path,
                                      const struct model_shape *wanted, struct cairn_problem *why);
/** The same, opened as safetensors_open does. */
CAIRN_MUST_CHECK int model_file_open(struct safetensors_file *file, const char *path,
                                     const struct model_shape *shape, struct cairn_problem *why);

#endif
