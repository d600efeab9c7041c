/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of short texts. */
#include "table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static char *next_cell(struct table *table)
{
    if (table->n == table->capacity) {
        size_t capacity = table->capacity ? 2 * table->capacity : 64;
        void *grown = reallocarray(table->cells, capacity, TABLE_CELL_SIZE);
        if (!grown) {
            return NULL;
        }
        table->cells = grown;
        table->capacity = capacity;
    }
    return table->cells[table->n++];
}

void table_cell(struct table *table, const char *format, ...)
{
    char *cell = next_cell(table);
    if (cell) {
        va_list args;
        va_start(args, format);
        (void)vsnprintf(cell, TABLE_CELL_SIZE, format, args);
        va_end(args);
    }
}

void table_cells(struct table *table, ...)
{
    va_list args;
    va_start(args, table);
    for (const char *text; (text = va_arg(args, const char *)) != NULL;) {
        table_cell(table, "%s", text);
    }
    va_end(args);
}

static int column_width(const struct table *table, size_t column)
{
    size_t widest = 0;
    for (size_t i = column; i < table->n; i += table->columns) {
        size_t width = strlen(table->cells[i]);
        widest = width > widest ? width : widest;
    }
    return (int)widest;
}

void table_print(struct table *table, FILE *to)
{
    for (size_t i = 0; i < table->n; i++) {
        size_t column = i % table->columns;
        int width = column_width(table, column);
        fprintf(to, "%s%*s", column ? "  " : "", column ? width : -width, table->cells[i]);
        if (column + 1 == table->columns) {
            fprintf(to, "\n");
        }
    }
    free(table->cells);
    *table = (struct table){0};
}
