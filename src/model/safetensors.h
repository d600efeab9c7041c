/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_SAFETENSORS_H
#define MODEL_SAFETENSORS_H

#include "buf.h"
#include "shape.h"

/**
 * safetensors: u64 header length, JSON header, then the tensors' bytes.
 * Read strictly: header at most 100 MB and valid JSON without duplicate names,
 * no gap, no overlap, nothing behind, shape times dtype size equal to the range.
 * This floor reads and writes dtype F32 only; any other is refused by name.
 */

/**
 * Write a model, whole or not at all.
 * @param metadata_pairs  key, value, key, value, ...: 2 * n_metadata_pairs texts in UTF-8 that
 *                        become `__metadata__`; NULL when there are none
 * @retval CAIRN_ERR_STORAGE, CAIRN_ERR_NO_MEMORY
 * @retval CAIRN_ERR_DATA  a name that the format does not allow
 */
CAIRN_MUST_CHECK int safetensors_write(const char *path, const struct model_shape *shape,
                                       const float *model, const char *const *metadata_pairs,
                                       size_t n_metadata_pairs, struct cairn_problem *why);
/**
 * Read a model from bytes. *shape and *model are the caller's (model_shape_release, free). Tensors
 * are flattened in the order of their bytes, whatever the order of their names in the header.
 * @param name  for messages
 * @retval CAIRN_ERR_DATA  each fault named with its tensor
 */
CAIRN_MUST_CHECK int safetensors_parse(struct span bytes, const char *name,
                                       struct model_shape *shape, float **model,
                                       struct cairn_problem *why);

#endif
