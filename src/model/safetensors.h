/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_SAFETENSORS_H
#define MODEL_SAFETENSORS_H

#include "buf.h"
#include "shape.h"

/**
 * safetensors: u64 header length, JSON header, then the tensors' bytes.
 * Read strictly: header at most 100 MB and valid JSON without duplicate names, offsets in order,
 * no gap, no overlap, nothing behind, shape times dtype size equal to the range.
 * This floor reads and writes dtype F32 only; any other is refused by name.
 */

/** Write a model, whole or not at all. metadata: flat JSON object of strings, or NULL.
 * @retval CAIRN_ERR_STORAGE, CAIRN_ERR_NO_MEMORY */
CAIRN_MUST_CHECK int safetensors_write(const char *path, const struct model_shape *shape,
                                       const float *model, const char *const *metadata_pairs,
                                       size_t n_metadata_pairs, struct cairn_problem *why);
/**
 * Read a model from bytes. *shape and *model are the caller's (model_shape_release, free).
 * @param name  for messages
 * @retval CAIRN_ERR_DATA  each fault named with its tensor
 */
CAIRN_MUST_CHECK int safetensors_parse(struct span bytes, const char *name,
                                       struct model_shape *shape, float **model,
                                       struct cairn_problem *why);

#endif
