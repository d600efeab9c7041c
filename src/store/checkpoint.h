/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_CHECKPOINT_H
#define ROLE_CHECKPOINT_H

#include "digest.h"
#include "shape.h"

/** A model on disk between two rounds, known by the digest of its float32 values in order. */

/** Durable, whole or not at all. @param[out] digest  of the model.  @retval CAIRN_ERR_STORAGE */
CAIRN_MUST_CHECK int checkpoint_write(const char *path, uint32_t round,
                                      const struct model_shape *shape, const float *model,
                                      uint8_t digest[DIGEST_SIZE], struct cairn_problem *why);
/**
 * @param[out] model  shape->n_params; zeroed on failure
 * @retval CAIRN_ERR_DATA       not there, no model, or one of another shape
 * @retval CAIRN_ERR_INTEGRITY  not the model with this digest
 */
CAIRN_MUST_CHECK int checkpoint_read(const char *path, const struct model_shape *shape,
                                     const uint8_t digest[DIGEST_SIZE], float *model,
                                     struct cairn_problem *why);

#endif
