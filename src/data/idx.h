/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATA_IDX_H
#define DATA_IDX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "problem.h"

/**
 * IDX files, the format of MNIST and its relatives: a big-endian magic number (two zero bytes,
 * element type, number of dimensions), the dimensions as big-endian u32, then the elements. Raw or
 * gzip, told apart by content. Read as a stream, row by row.
 *
 *     idx_open -> { idx_read | idx_skip }* -> idx_finish -> idx_close
 *
 * Source: http://yann.lecun.com/exdb/mnist/, "The IDX file format".
 */
enum idx_kind {
    IDX_LABELS = 2049, /* 00 00 08 01: unsigned bytes, one dimension */
    IDX_IMAGES = 2051, /* 00 00 08 03: unsigned bytes, three dimensions */
};

struct idx_header {
    size_t rows;
    size_t height, width; /* 1 and 1 for labels */
    size_t row_size;      /* height * width, bytes */
};

struct idx_reader;

/**
 * Open and read the header. Nothing of the size that the header claims is allocated, and a claim
 * that the file cannot hold is refused here.
 * @param path  borrowed until idx_close
 * @retval CAIRN_ERR_DATA  not readable, empty, not IDX (HTML is named), of the other kind, of
 *                         another element type, absurd dimensions, or a raw file of another size
 *                         than it claims
 */
CAIRN_MUST_CHECK int idx_open(const char *path, enum idx_kind kind, struct idx_reader **out,
                              struct cairn_problem *why);
void idx_close(struct idx_reader *reader);
/** Valid until idx_close. */
const struct idx_header *idx_header(const struct idx_reader *reader);

/** Read the next n rows. @retval CAIRN_ERR_DATA the data ends too early or is damaged */
CAIRN_MUST_CHECK int idx_read(struct idx_reader *reader, uint8_t *out, size_t n,
                              struct cairn_problem *why);
CAIRN_MUST_CHECK int idx_skip(struct idx_reader *reader, size_t n, struct cairn_problem *why);
/** Pass over the rows that are left and see that the data ends there. @retval CAIRN_ERR_DATA */
CAIRN_MUST_CHECK int idx_finish(struct idx_reader *reader, struct cairn_problem *why);

#endif
