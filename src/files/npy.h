/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FILES_NPY_H
#define FILES_NPY_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "shape.h"

/**
 * NumPy's .npy: magic, version, header length, a Python dictionary with descr, fortran_order and
 * shape, then the elements. Versions 1, 2 and 3; little-endian float32 in C order only, everything
 * else is refused by name. Nothing in it is ever executed: arrays of objects are Python pickles.
 */

/** A header of a plain array is 128 bytes or little more; this is all that version 1 can hold. */
enum { NPY_HEADER_LIMIT = 12 + 65535 };

struct npy {
    uint64_t dims[MODEL_MAX_DIMS];
    unsigned n_dims;
    uint64_t data_at; /* the elements are all from there to the end of the file */
};

bool npy_begins(struct span start);
/**
 * @param start  the file's first bytes, NPY_HEADER_LIMIT or all there are
 * @param size   of the whole file
 * @retval CAIRN_ERR_DATA  what it is instead; *out untouched
 */
CAIRN_MUST_CHECK int npy_parse(struct span start, uint64_t size, const char *name, struct npy *out,
                               struct cairn_problem *why);
/** Append what comes before the elements, version 1. @retval CAIRN_ERR_NO_MEMORY */
CAIRN_MUST_CHECK int npy_header(const uint64_t *dims, unsigned n_dims, struct buf *out);

#endif
