/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_SAFETENSORS_H
#define MODEL_SAFETENSORS_H

#include <stdbool.h>

#include "buf.h"
#include "input.h"
#include "shape.h"

/**
 * safetensors: u64 header length, JSON header, then the tensors' bytes.
 * Read strictly: header at most 100 MB and valid JSON without duplicate names,
 * no gap, no overlap, nothing behind, shape times dtype size equal to the range.
 * This floor reads and writes dtype F32 only; any other is refused by name.
 */

/**
 * Write a model, whole or not at all, in the memory of its header.
 * @param metadata_pairs  key, value, key, value, ...: 2 * n_metadata_pairs texts in UTF-8 that
 *                        become `__metadata__`; NULL when there are none
 * @retval CAIRN_ERR_STORAGE, CAIRN_ERR_NO_MEMORY
 * @retval CAIRN_ERR_DATA  a name that the format does not allow
 */
CAIRN_MUST_CHECK int safetensors_write(const char *path, const struct model_shape *shape,
                                       const float *model, const char *const *metadata_pairs,
                                       size_t n_metadata_pairs, struct cairn_problem *why);
/**
 * Read a file into a model that is there, tensor by tensor: the file holds just the tensors of
 * `shape`, with the same shapes, in any order.
 * @param[out] model  shape->n_params; untouched when the file is refused for what its header says,
 *                    zeros when reading fails later
 * @retval CAIRN_ERR_DATA  not there or unreadable, each fault named with its tensor
 * @retval CAIRN_ERR_REFUSED  a tensor that is missing, too many, or of another shape
 */
CAIRN_MUST_CHECK int safetensors_read(const char *path, const struct model_shape *shape,
                                      float *model, struct cairn_problem *why);
/**
 * A file that is read in runs of a model that is there: what is needed of one that is larger than
 * memory. Owner: safetensors_close, also after a failure; zero-initialised is closed.
 */
struct safetensors_file {
    struct input in;
    bool open;
    struct model_shape found; /* of the file, in the order of its bytes */
    const struct model_shape *shape; /* in which runs are counted; `found` where none was given */
    size_t *at;                      /* of each tensor of `shape`: its first element in the file's order */
    uint64_t data_at;
};
/**
 * @param path   borrowed as long as the file is open
 * @param shape  borrowed too; NULL: the file's own
 * @param header_most  bytes; a longer header is refused before it is read; 0 = the format's limit
 * @retval as safetensors_read
 */
CAIRN_MUST_CHECK int safetensors_open(struct safetensors_file *file, const char *path,
                                      const struct model_shape *shape, uint64_t header_most,
                                      struct cairn_problem *why);
/** Flattened elements first .. first+n-1 of `shape`. @retval CAIRN_ERR_DATA shortened meanwhile */
CAIRN_MUST_CHECK int safetensors_read_run(const struct safetensors_file *file, size_t first,
                                          size_t n, float *out, struct cairn_problem *why);
void safetensors_close(struct safetensors_file *file);

/**
 * Read a model from bytes. *shape and *model are the caller's (model_shape_release, free). Tensors
 * are flattened in the order of their bytes, whatever the order of their names in the header.
 * @param name  for messages
 * @retval CAIRN_ERR_DATA  each fault named with its tensor
 */
CAIRN_MUST_CHECK int safetensors_parse(struct span bytes, const char *name,
                                       struct model_shape *shape, float **model,
                                       struct cairn_problem *why);

/** Where the tensors' bytes begin in a file that starts with these 8 bytes and is `size` long.
 * @retval CAIRN_ERR_DATA  no such header is possible */
CAIRN_MUST_CHECK int safetensors_data_at(const uint8_t first[8], uint64_t size, const char *name,
                                         uint64_t *data_at, struct cairn_problem *why);
/**
 * Read only the shape: for files that are larger than memory. All checks of safetensors_parse.
 * Element i of the flattened model lies at byte data_at + 4 i, float32 little-endian.
 * @param start  the file's first safetensors_data_at bytes
 * @param size   of the whole file
 * @param shape  the caller's, model_shape_release; untouched on failure
 * @retval CAIRN_ERR_DATA  each fault named with its tensor
 */
CAIRN_MUST_CHECK int safetensors_parse_shape(struct span start, uint64_t size, const char *name,
                                             struct model_shape *shape, struct cairn_problem *why);
/**
 * Append the bytes that come before the tensors', which follow in the shape's order.
 * @retval CAIRN_ERR_NO_MEMORY; CAIRN_ERR_DATA a name that the format does not allow
 */
CAIRN_MUST_CHECK int safetensors_header(const struct model_shape *shape,
                                        const char *const *metadata_pairs, size_t n_metadata_pairs,
                                        struct buf *out, struct cairn_problem *why);

#endif
