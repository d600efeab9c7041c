/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_NPY_H
#define BASE_NPY_H

#include <stdbool.h>
#include <stdint.h>

#include "input.h"

/**
 * NumPy's .npy: magic, version, header length, a Python dictionary with descr, fortran_order and
 * shape, then the elements. Versions 1, 2 and 3; little-endian numbers in C order, everything else is
 * refused by name. Nothing in it is ever executed: arrays of objects are Python pickles.
 */

enum { NPY_MAX_DIMS = 8 };
/** A header of a plain array is 128 bytes or little more; this is all that version 1 can hold. */
enum { NPY_HEADER_LIMIT = 12 + 65535 };

enum npy_type {
    NPY_FLOAT32,
    NPY_FLOAT64,
    NPY_UINT8,
    NPY_INT8,
    NPY_UINT16,
    NPY_INT16,
    NPY_UINT32,
    NPY_INT32,
    NPY_UINT64,
    NPY_INT64,
    NPY_FLOAT16,
    NPY_BOOL,
};

struct npy {
    uint64_t dims[NPY_MAX_DIMS];
    unsigned n_dims;
    enum npy_type type;
    uint64_t data_at; /* the elements are all from there to the end of the file */
};

/** What the array in a file is called where it needs a name: the file has none. */
#define NPY_ONLY_NAME "array"

bool npy_begins(struct span start);
/**
 * A file of float32, and of nothing else.
 * @param start  the file's first bytes, NPY_HEADER_LIMIT or all there are
 * @param size   of the whole file
 * @retval CAIRN_ERR_DATA  what it is instead; *out untouched
 */
CAIRN_MUST_CHECK int npy_parse(struct span start, uint64_t size, const char *name, struct npy *out,
                               struct cairn_problem *why);
/** A file of numbers that npy_element reads: any type but float16 and bool. Else as npy_parse. */
CAIRN_MUST_CHECK int npy_parse_numbers(struct span start, uint64_t size, const char *name,
                                       struct npy *out, struct cairn_problem *why);
/** A file of any of the types above. Else as npy_parse. */
CAIRN_MUST_CHECK int npy_parse_any(struct span start, uint64_t size, const char *name,
                                   struct npy *out, struct cairn_problem *why);
/** Look at the header of a file that is open. @param parse  one of the three above
 * @retval CAIRN_ERR_DATA, CAIRN_ERR_NO_MEMORY  *out untouched */
CAIRN_MUST_CHECK int npy_read_header(const struct input *in,
                                     int (*parse)(struct span, uint64_t, const char *, struct npy *,
                                                  struct cairn_problem *),
                                     struct npy *out, struct cairn_problem *why);
/** Bytes of an element. */
size_t npy_element_size(enum npy_type type);
/** The element at `bytes`, of a type that npy_parse_numbers takes; whole numbers beyond 2^53 are rounded. */
double npy_element(enum npy_type type, const uint8_t *bytes);
/** Append what comes before the elements, version 1. @retval CAIRN_ERR_NO_MEMORY */
CAIRN_MUST_CHECK int npy_header(const uint64_t *dims, unsigned n_dims, struct buf *out);

#endif
