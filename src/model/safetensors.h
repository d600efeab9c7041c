/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_SAFETENSORS_H
#define MODEL_SAFETENSORS_H

#include <stdbool.h>

#include <jansson.h>

#include "buf.h"
#include "input.h"
#include "shape.h"

/**
 * safetensors: u64 header length, JSON header, then the tensors' bytes.
 * Read strictly: header at most 100 MB and valid JSON without duplicate names,
 * no gap, no overlap, nothing behind, shape times dtype size equal to the range.
 * All types of dtype.h; any other (8-bit floats, complex numbers) is refused by name.
 * What a file says of its model beside the tensors, `__metadata__`, is an object of texts: kept as it is, never
 * read. Its texts may hold any characters, zero bytes too, but for its names, which jansson cannot have so.
 * Source: the format's description in its reference implementation, https://github.com/huggingface/safetensors
 */

/**
 * Write a model, whole or not at all, in the memory of its header: the tensors in their places, each in its own
 * dtype (model_dtype_from_floats rounds).
 * @param words     shape->n_words; NULL when there are none
 * @param metadata  an object of texts; NULL for none
 * @retval CAIRN_ERR_STORAGE, CAIRN_ERR_NO_MEMORY
 * @retval CAIRN_ERR_DATA  a name that the format does not allow, or a value that its tensor's dtype cannot
 *                         hold: no file is written then
 */
CAIRN_MUST_CHECK int safetensors_write_all(const char *path, const struct model_shape *shape,
                                           const float *model, const uint64_t *words,
                                           const json_t *metadata, struct cairn_problem *why);
/** The same of a model without integers and metadata. */
CAIRN_MUST_CHECK int safetensors_write(const char *path, const struct model_shape *shape,
                                       const float *model, struct cairn_problem *why);
/**
 * Read a file into a model that is there, tensor by tensor: the file holds just the tensors of
 * `shape` (model_shape_same), in any order; those of floats are read.
 * @param[out] model  shape->n_params; untouched when the file is refused for what its header says,
 *                    zeros when reading fails later
 * @retval CAIRN_ERR_DATA  not there or unreadable, each fault named with its tensor
 * @retval CAIRN_ERR_REFUSED  a tensor that is missing, too many, or of another shape
 */
CAIRN_MUST_CHECK int safetensors_read(const char *path, const struct model_shape *shape,
                                      float *model, struct cairn_problem *why);

/**
 * A file that is read in runs, of its own shape or of a model's that is there: what is needed of one that is
 * larger than memory. Owner: safetensors_close, also after a failure; zero-initialised is closed.
 */
struct safetensors_file {
    struct input in;
    bool owns; /* it closes `in` */
    struct model_shape found;        /* of the file, in the order of its bytes */
    const struct model_shape *shape; /* in which runs are counted; `found` where none was given */
    size_t *at;                      /* of each tensor of shape->tensors: its number in found.tensors */
    uint64_t data_at;
    json_t *metadata; /* NULL: there is none */
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
/** The same of a file that is open, and stays the caller's: open as long as runs of it are read. */
CAIRN_MUST_CHECK int safetensors_open_input(struct safetensors_file *file, const struct input *in,
                                            const struct model_shape *shape, uint64_t header_most,
                                            struct cairn_problem *why);
/** Flattened elements first .. first+n-1 of `shape`, from whatever dtype. @retval CAIRN_ERR_DATA shortened meanwhile */
CAIRN_MUST_CHECK int safetensors_read_run(const struct safetensors_file *file, size_t first,
                                          size_t n, float *out, struct cairn_problem *why);
/** All its integers. @param[out] words  shape->n_words
 * @retval CAIRN_ERR_DATA  shortened meanwhile, or a BOOL that is neither 0 nor 1 */
CAIRN_MUST_CHECK int safetensors_read_words(const struct safetensors_file *file, uint64_t *words,
                                            struct cairn_problem *why);
/** Those of one tensor of `shape`->carried. @param[out] words  its count */
CAIRN_MUST_CHECK int safetensors_read_words_of(const struct safetensors_file *file,
                                               const struct model_tensor *tensor, uint64_t *words,
                                               struct cairn_problem *why);
/** An object of texts? @return a new reference; NULL with `why`: CAIRN_ERR_DATA, CAIRN_ERR_NO_MEMORY
 * @param name  of what it is in, for messages */
json_t *safetensors_parse_metadata(struct span text, const char *name, struct cairn_problem *why);
void safetensors_close(struct safetensors_file *file);
/** n elements of a type of floats that lie at byte `at` of a file. @retval CAIRN_ERR_DATA */
CAIRN_MUST_CHECK int safetensors_read_floats(const struct input *in, uint64_t at,
                                             enum model_dtype dtype, size_t n, float *out,
                                             struct cairn_problem *why);

/** Where the tensors' bytes begin in a file that starts with these 8 bytes and is `size` long.
 * @retval CAIRN_ERR_DATA  no such header is possible */
CAIRN_MUST_CHECK int safetensors_data_at(const uint8_t first[8], uint64_t size, const char *name,
                                         uint64_t *data_at, struct cairn_problem *why);
/**
 * Read the shape, with all checks of what the header says. Tensors are flattened in the order of their bytes,
 * whatever the order of their names.
 * A tensor's first element lies at byte data_at + its `byte`.
 * @param start  the file's first safetensors_data_at bytes
 * @param size   of the whole file
 * @param shape  the caller's, model_shape_release; untouched on failure
 * @retval CAIRN_ERR_DATA  each fault named with its tensor
 */
CAIRN_MUST_CHECK int safetensors_parse_shape(struct span start, uint64_t size, const char *name,
                                             struct model_shape *shape, struct cairn_problem *why);
/**
 * Append the bytes that come before the tensors', which follow in the order of their places, each in its dtype.
 * @param metadata  NULL for none
 * @retval CAIRN_ERR_NO_MEMORY; CAIRN_ERR_DATA a name that the format does not allow
 */
CAIRN_MUST_CHECK int safetensors_header(const struct model_shape *shape,
                                        const json_t *metadata, struct buf *out,
                                        struct cairn_problem *why);

#endif
