/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CSV, line by line. A line is taken whole first, then cut in place: the pieces are shorter than what
 * they are cut from, so fields and their closing zeros fit where the line stood.
 */
#include "csv.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "byte_source.h"
#include "sizes.h"

enum { CHUNK = 1 << 16 };

struct csv_reader {
    const char *path;
    struct byte_source *source;
    uint8_t chunk[CHUNK]; /* read ahead */
    size_t at, end;       /* of what is left in it */
    struct buf line;      /* without its ending, then cut into fields */
    struct buf starts;    /* size_t: where each field begins in `line` */
    struct buf header;    /* the first line, and */
    struct buf names;     /* where each name begins in it */
    size_t columns;       /* 0 while the header is being read */
    size_t number;        /* of the line */
};

static int bad(const struct csv_reader *r, const char *hint, const char *what,
               struct cairn_problem *why)
{
    return problem_set(why, CAIRN_ERR_DATA, hint, "%s:%zu: %s", r->path, r->number, what);
}

static int no_memory(const struct csv_reader *r, struct cairn_problem *why)
{
    return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory to read %s", r->path);
}

/* ---- lines ---- */

/* More bytes. *got = 0 at the end. */
static int refill(struct csv_reader *r, size_t *got, struct cairn_problem *why)
{
    int err = byte_source_read(r->source, r->chunk, CHUNK, got, why);

    r->at = 0;
    r->end = err ? 0 : *got;
    return err;
}

/* The next line into r->line, without LF or CRLF. */
static int take_line(struct csv_reader *r, bool *at_end, struct cairn_problem *why)
{
    const uint8_t *newline = NULL;
    bool any = false;

    buf_clear(&r->line);
    while (!newline) {
        size_t got = r->end - r->at;
        if (got == 0) {
            int err = refill(r, &got, why);
            if (err) {
                return err;
            }
            if (got == 0) {
                break;
            }
        }
        any = true;
        newline = memchr(r->chunk + r->at, '\n', got);
        got = newline ? (size_t)(newline - (r->chunk + r->at)) : got;
        if (r->line.size + got > CSV_LINE_LIMIT) {
            r->number++;
            return bad(r, "check that it is CSV", "this line is longer than 16 MiB", why);
        }
        if (buf_append(&r->line, r->chunk + r->at, got)) {
            return no_memory(r, why);
        }
        r->at += got + (newline ? 1 : 0);
    }
    *at_end = !any;
    r->number += any;
    if (r->line.size > 0 && r->line.data[r->line.size - 1] == '\r') {
        r->line.size--;
    }
    return 0;
}

/* ---- fields ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* A field that begins with a quote: moved to `to` without its quotes. @return behind it, or NULL when
 * it does not close or something but blanks follows */
static char *cut_quoted(char *at, const char *end, char **to)
{
    for (at++; at < end; at++) {
        if (*at == '"' && (at + 1 == end || at[1] != '"')) {
            break;
        }
        at += *at == '"';
        *(*to)++ = *at;
    }
    if (at == end) {
        return NULL;
    }
    for (at++; at < end && is_blank(*at); at++) {
    }
    return at == end || *at == ',' ? at : NULL;
}

/* @return behind it, or NULL when there is a quote in it */
static char *cut_plain(char *at, const char *end, char **to)
{
    const char *start = *to;

    for (; at < end && *at != ','; at++) {
        if (*at == '"') {
            return NULL;
        }
        *(*to)++ = *at;
    }
    while (*to > start && is_blank((*to)[-1])) {
        (*to)--;
    }
    return at;
}

/* Cut the line, all of it, into fields with closing zeros. */
static int cut_line(struct csv_reader *r, struct cairn_problem *why)
{
    char *at, *to, *end;

    buf_clear(&r->starts);
    if (buf_append(&r->line, "", 1)) { /* the last field's zero */
        return no_memory(r, why);
    }
    at = (char *)r->line.data;
    to = at;
    end = at + r->line.size - 1;
    if (memchr(at, 0, r->line.size - 1)) {
        return bad(r, "save it as UTF-8", "a zero byte; is this UTF-16, or no text?", why);
    }
    if (memchr(at, '\r', r->line.size - 1)) {
        return bad(r, "save it with lines that end in LF or CRLF",
                   "a carriage return within the line", why);
    }
    for (;;) {
        const size_t start = (size_t)(to - (char *)r->line.data);
        if (buf_append(&r->starts, &start, sizeof start)) {
            return no_memory(r, why);
        }
        while (at < end && is_blank(*at)) {
            at++;
        }
        at = at < end && *at == '"' ? cut_quoted(at, end, &to) : cut_plain(at, end, &to);
        if (!at) {
            return bad(r, "a quote inside a field is written twice, around a field in quotes; line "
                       "breaks in fields are not read",
                       "a quote where none can be, or one that does not close on this line", why);
        }
        const bool last = at == end;
        at++;
        *to++ = 0; /* the comma's place, or behind the end */
        if (last) {
            return 0;
        }
    }
}

static size_t fields(const struct csv_reader *r)
{
    return r->starts.size / sizeof(size_t);
}

int csv_next(struct csv_reader *r, bool *at_end, struct cairn_problem *why)
{
    int err = take_line(r, at_end, why);

    if (err || *at_end) {
        return err;
    }
    if (r->line.size == 0) {
        return bad(r, "delete it", "this line is empty", why);
    }
    err = cut_line(r, why);
    if (!err && r->columns > 0 && fields(r) != r->columns) {
        return problem_set(why, CAIRN_ERR_DATA, "every line has as many fields as the first",
                           "%s:%zu: %zu fields, but the header has %zu", r->path, r->number,
                           fields(r), r->columns);
    }
    return err;
}

size_t csv_columns(const struct csv_reader *r)
{
    return r->columns;
}

size_t csv_line(const struct csv_reader *r)
{
    return r->number;
}

static const char *field_of(const struct buf *line, const struct buf *starts, size_t column)
{
    size_t start;

    memcpy(&start, starts->data + column * sizeof start, sizeof start);
    return (const char *)line->data + start;
}

const char *csv_name(const struct csv_reader *r, size_t column)
{
    return field_of(&r->header, &r->names, column);
}

const char *csv_field(const struct csv_reader *r, size_t column)
{
    return field_of(&r->line, &r->starts, column);
}

int csv_number(const struct csv_reader *r, size_t column, double *out, struct cairn_problem *why)
{
    const char *name = csv_name(r, column);
    const char *text = csv_field(r, column);
    const size_t digits = strspn(text, "+-0123456789.eE"); /* strtod reads nan, inf and 0x10, too */
    char *end = NULL;

    if (text[0] == 0) {
        return problem_set(why, CAIRN_ERR_DATA, "fill it in, or delete the line",
                           "%s:%zu: no value for \"%.60s\"", r->path, r->number, name);
    }
    if (text[digits] == 0) {
        *out = strtod(text, &end); /* no part of cairn sets a locale, so the point is a point */
    }
    if (!end || end == text || *end != 0 || !isfinite(*out)) {
        return problem_set(why, CAIRN_ERR_DATA, "only numbers such as 3, -0.5 and 1e-3 can be read",
                           "%s:%zu: \"%.40s\" for \"%.60s\" is no finite number", r->path, r->number,
                           text, name);
    }
    return 0;
}

/* ---- opening ---- */

static int read_header(struct csv_reader *r, struct cairn_problem *why)
{
    bool at_end;
    size_t got;
    int err = refill(r, &got, why);

    if (!err && got >= 3 && memcmp(r->chunk, "\xef\xbb\xbf", 3) == 0) {
        r->at = 3;
    }
    if (!err && got > r->at && r->chunk[r->at] == '<') {
        return problem_set(why, CAIRN_ERR_DATA, "the download saved an error page; get the file "
                           "from another address", "%s: this is an HTML page, not CSV", r->path);
    }
    if (!err) {
        err = csv_next(r, &at_end, why);
    }
    if (!err && at_end) {
        return problem_set(why, CAIRN_ERR_DATA, "its first line names the columns", "%s is empty",
                           r->path);
    }
    if (!err) {
        r->columns = fields(r);
        r->header = r->line;
        r->names = r->starts;
        r->line = (struct buf){0};
        r->starts = (struct buf){0};
    }
    return err;
}

int csv_open(const char *path, struct csv_reader **out, struct cairn_problem *why)
{
    struct csv_reader *r = calloc(1, sizeof *r);
    int err;

    if (!r) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory to read %s", path);
    }
    r->path = path;
    err = byte_source_open(path, &r->source, why);
    if (!err) {
        err = read_header(r, why);
    }
    if (err) {
        csv_close(r);
        return err;
    }
    *out = r;
    return 0;
}

void csv_close(struct csv_reader *r)
{
    if (r) {
        byte_source_close(r->source);
        buf_release(&r->line);
        buf_release(&r->starts);
        buf_release(&r->header);
        buf_release(&r->names);
        free(r);
    }
}
