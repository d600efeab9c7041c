/* SPDX-License-Identifier: Apache-2.0 */
/* Who trains on which rows. */
#include "partition.h"

int partition_slice(size_t rows, uint32_t clients, uint32_t index, struct row_range *out,
                    struct cairn_problem *why)
{
    uint64_t first;
    uint64_t end;

    if (clients == 0) {
        *out = (struct row_range){0, rows};
        return 0;
    }
    if (index >= clients) {
        return problem_set(why, CAIRN_ERR_DATA, "indices count from 0",
                           "client index %u of %u clients", index, clients);
    }
    if (clients > rows) {
        return problem_set(why, CAIRN_ERR_DATA, "use fewer clients or more data",
                           "%u clients cannot share %zu rows", clients, rows);
    }
    /* 32-bit factors: the products fit in 64 bits */
    first = (uint64_t)index * rows / clients;
    end = ((uint64_t)index + 1) * rows / clients;
    *out = (struct row_range){(size_t)first, (size_t)(end - first)};
    return 0;
}
