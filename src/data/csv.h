/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATA_CSV_H
#define DATA_CSV_H

#include <stdbool.h>
#include <stddef.h>

#include "problem.h"

/**
 * CSV with a header, as RFC 4180 has it, read record by record: commas; fields may stand in double
 * quotes, in which a quote is written twice; lines end in LF or CRLF, the last one with or without. A
 * UTF-8 byte order mark at the beginning is passed over. Raw or gzip, told apart by content.
 *
 * Stricter than the RFC: every record has as many fields as the header, no line is empty, and no
 * field holds a line break, so that record n of a file stands on its line n. Every message names file
 * and line.
 */
struct csv_reader;

/** Longest line: a million fields of 16 characters. */
enum { CSV_LINE_LIMIT = 1 << 24 };

/**
 * Open a file and read its first line, the names.
 * @param path  borrowed until csv_close
 * @retval CAIRN_ERR_DATA  not readable, empty, a web page, no CSV
 */
CAIRN_MUST_CHECK int csv_open(const char *path, struct csv_reader **out,
                              struct cairn_problem *why);
void csv_close(struct csv_reader *reader);

/** Of the header and so of every record. */
size_t csv_columns(const struct csv_reader *reader);
/** Field of the header, without blanks around it. */
const char *csv_name(const struct csv_reader *reader, size_t column);
/** Field of the line that csv_next read last, without blanks around it. */
const char *csv_field(const struct csv_reader *reader, size_t column);
/** Number of that line, from 1. */
size_t csv_line(const struct csv_reader *reader);
/** Read the next line. @param[out] at_end  there was none
 * @retval CAIRN_ERR_DATA  ragged, empty, too long, quotes that do not close, a zero byte, a carriage return that does
 *                         not end it, damage */
CAIRN_MUST_CHECK int csv_next(struct csv_reader *reader, bool *at_end, struct cairn_problem *why);
/**
 * A field as a number: decimal, with or without sign, fraction and exponent, finite.
 * @retval CAIRN_ERR_DATA  empty, or no such number
 */
CAIRN_MUST_CHECK int csv_number(const struct csv_reader *reader, size_t column, double *out,
                                struct cairn_problem *why);

#endif
