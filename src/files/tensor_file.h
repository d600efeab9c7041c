/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FILES_TENSOR_FILE_H
#define FILES_TENSOR_FILE_H

#include "file.h"
#include "input.h"
#include "shape.h"

/**
 * A model in a file, read and written in runs of the flattened model.
 *
 * The flattened model has its tensors in the order of their names, whatever their order in the
 * file: two clients whose programs write the same tensors in another order still add up.
 * It is float32, whatever floats the file holds; integers are refused.
 */
enum tensor_format { TENSOR_SAFETENSORS, TENSOR_NPY };
const char *tensor_format_name(enum tensor_format format);

struct tensor_file {
    struct input in;
    enum tensor_format format;
    struct model_shape shape; /* by name; a .npy array is one tensor, called "array" */
    uint64_t *at;             /* where in the file each tensor begins */
};

/** @param path  borrowed.  @retval CAIRN_ERR_DATA, CAIRN_ERR_NO_MEMORY  nothing to close */
CAIRN_MUST_CHECK int tensor_file_open(struct tensor_file *file, const char *path,
                                      struct cairn_problem *why);
void tensor_file_close(struct tensor_file *file);
/** Parameters first .. first+n-1 of the flattened model. @retval CAIRN_ERR_DATA */
CAIRN_MUST_CHECK int tensor_file_read(const struct tensor_file *file, size_t first, size_t n,
                                      float *out, struct cairn_problem *why);
/** BLAKE2b-256 of the flattened model, in runs. @retval CAIRN_ERR_DATA, CAIRN_ERR_NO_MEMORY */
CAIRN_MUST_CHECK int tensor_file_digest(const struct tensor_file *file, uint8_t out[32],
                                        struct cairn_problem *why);

/** Are names and shapes the same? @retval CAIRN_ERR_REFUSED  names the first tensor that differs */
CAIRN_MUST_CHECK int tensor_same_shape(const struct model_shape *a, const char *a_name,
                                       const struct model_shape *b, const char *b_name,
                                       struct cairn_problem *why);
/** Write what comes before the floats of a flattened model. @retval as file_draft_write */
CAIRN_MUST_CHECK int tensor_header_write(enum tensor_format format, const struct model_shape *shape,
                                         struct file_draft *draft, struct cairn_problem *why);

#endif
