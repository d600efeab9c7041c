/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <stddef.h>
#include <stdio.h>

#include <cairn/err.h>

/**
 * A table for people: cells are added one after the other, row by row, and columns get as
 * wide as they must. The first column is left-aligned, the others are right-aligned. A cell that
 * finds no memory is lost, and with it the alignment; nothing else happens.
 */
enum { TABLE_CELL_SIZE = 64 };

struct table {
    size_t columns;
    char (*cells)[TABLE_CELL_SIZE];
    size_t n, capacity;
};

void table_cell(struct table *table, const char *format, ...) CAIRN_PRINTF(2, 3);
/** Several cells of plain text; ends with NULL. */
void table_cells(struct table *table, ...) __attribute__((sentinel));
/** Print and release. */
void table_print(struct table *table, FILE *to);

#endif
