/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATA_PARTITION_H
#define DATA_PARTITION_H

#include <stddef.h>
#include <stdint.h>

#include "problem.h"

/** Rows first .. first+count-1 of a file. */
struct row_range {
    size_t first;
    size_t count;
};

/**
 * The rows of one client: contiguous slices, floor(index * rows / clients) up to
 * floor((index + 1) * rows / clients), so every row belongs to exactly one client and
 * slices differ by one row at most. Depends on nothing but these three numbers.
 * @param rows     at most 2^32 - 1, as in an IDX header
 * @param clients  0: all rows, whatever the index
 * @retval CAIRN_ERR_DATA  more clients than rows, or no such index
 */
CAIRN_MUST_CHECK int partition_slice(size_t rows, uint32_t clients, uint32_t index,
                                     struct row_range *out, struct cairn_problem *why);

#endif
