/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of faults, and the guess at what a misspelt name was meant to be.
 */
#include "config_read.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sizes.h"
#include "utf8.h"

enum {
    /* Names compared per document. Each costs at most NAME_MAX^2 steps, so that a large file full
     * of mistakes costs a fraction of a second. */
    NEAREST_BUDGET = 4000,
    NAME_MAX_COMPARED = 64,
};

void config_reader_init(struct config_reader *r)
{
    *r = (struct config_reader){.nearest_left = NEAREST_BUDGET};
}

void config_reader_release(struct config_reader *r)
{
    config_doc_release(&r->doc);
    fed_faults_release(&r->faults);
}

void fed_faults_release(struct fed_faults *faults)
{
    free(faults->list);
    *faults = (struct fed_faults){0};
}

static struct fed_fault *add(struct config_reader *r)
{
    struct fed_faults *faults = &r->faults;
    if (faults->n == r->faults_capacity) {
        size_t capacity = r->faults_capacity == 0 ? 16 : 2 * r->faults_capacity;
        size_t bytes;
        struct fed_fault *more = NULL;
        if (size_mul(capacity, sizeof *more, &bytes)) {
            more = realloc(faults->list, bytes);
        }
        if (more == NULL) {
            r->no_memory = true;
            return NULL;
        }
        faults->list = more;
        r->faults_capacity = capacity;
    }
    struct fed_fault *fault = &faults->list[faults->n++];
    *fault = (struct fed_fault){0};
    return fault;
}

/* Texts quote what others wrote, cut to length. Drop the halves of characters that a cut left, and
 * take the sting out of control characters (C0, DEL, C1), which a terminal would obey. */
static void clean(char *text)
{
    const uint8_t *in = (const uint8_t *)text;
    size_t left = strlen(text);
    char *out = text; /* never ahead of in */
    while (left > 0) {
        uint32_t code = 0;
        size_t size = utf8_decode(in, left, &code);
        bool control = code < 0x20 || (code >= 0x7F && code < 0xA0);
        if (size > 0 && control) {
            *out++ = '?';
        } else if (size > 0) {
            memmove(out, in, size);
            out += size;
        }
        in += size > 0 ? size : 1;
        left -= size > 0 ? size : 1;
    }
    *out = '\0';
}

CAIRN_PRINTF(5, 0)
static void add_text(struct config_reader *r, unsigned line, unsigned column, bool warning,
                     const char *format, va_list args)
{
    struct fed_fault *fault = add(r);
    if (fault == NULL) {
        return;
    }
    vsnprintf(fault->text, sizeof fault->text, format, args);
    clean(fault->text);
    fault->line = line;
    fault->column = column;
    fault->warning = warning;
    r->faults.n_errors += warning ? 0 : 1;
}

void config_fault(struct config_reader *r, uint32_t place, const char *format, ...)
{
    struct config_place *at = &r->doc.places[place];
    at->bad = true;
    va_list args;
    va_start(args, format);
    add_text(r, at->line, at->column, false, format, args);
    va_end(args);
}

void config_fault_at_key(struct config_reader *r, uint32_t place, const char *format, ...)
{
    struct config_place *at = &r->doc.places[place];
    at->bad = true;
    va_list args;
    va_start(args, format);
    add_text(r, at->key_line, at->key_column, false, format, args);
    va_end(args);
}

void config_warning(struct config_reader *r, uint32_t place, const char *format, ...)
{
    const struct config_place *at = &r->doc.places[place];
    va_list args;
    va_start(args, format);
    add_text(r, at->line, at->column, true, format, args);
    va_end(args);
}

void config_syntax_fault(struct config_reader *r, const struct config_syntax *syntax)
{
    struct fed_fault *fault = add(r);
    if (fault != NULL) {
        fault->line = syntax->line;
        fault->column = syntax->column;
        snprintf(fault->text, sizeof fault->text, "%s", syntax->text);
        clean(fault->text);
        r->faults.n_errors++;
    }
}

/* By place. The text decides where two share one, so that the order is always the same. */
static int by_place(const void *a, const void *b)
{
    const struct fed_fault *x = a;
    const struct fed_fault *y = b;
    if (x->line != y->line) {
        return x->line < y->line ? -1 : 1;
    }
    if (x->column != y->column) {
        return x->column < y->column ? -1 : 1;
    }
    return strcmp(x->text, y->text);
}

void config_faults_sort(struct fed_faults *faults)
{
    if (faults->n > 1) {
        qsort(faults->list, faults->n, sizeof *faults->list, by_place);
    }
}

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Insertions, deletions, replacements and swaps of neighbours that make b of a, letter case aside
 * (optimal string alignment; three rows of the table are enough). */
static size_t edit_distance(const char *a, size_t na, const char *b, size_t nb)
{
    size_t rows[3][NAME_MAX_COMPARED + 1];
    for (size_t j = 0; j <= nb; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= na; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i + 2) % 3];
        const size_t *above2 = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            bool same = lower(a[i - 1]) == lower(b[j - 1]);
            row[j] = min_size(above[j - 1] + (same ? 0 : 1), min_size(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
                lower(a[i - 2]) == lower(b[j - 1])) {
                row[j] = min_size(row[j], above2[j - 2] + 1);
            }
        }
    }
    return rows[na % 3][nb];
}

const char *config_nearest(struct config_reader *r, const char *text, config_name_fn *names,
                           const void *ctx)
{
    const char *best = NULL;
    size_t n = strnlen(text, NAME_MAX_COMPARED + 1);
    /* a third of the letters wrong is a slip; more is another word */
    size_t best_distance = min_size(n / 3, 3) + 1;
    if (n > NAME_MAX_COMPARED) {
        return NULL;
    }
    for (size_t i = 0; r->nearest_left > 0; i++) {
        const char *name = names(ctx, i);
        if (name == NULL) {
            break;
        }
        size_t size = strnlen(name, NAME_MAX_COMPARED + 1);
        if (size > NAME_MAX_COMPARED) {
            continue;
        }
        r->nearest_left--;
        size_t distance = edit_distance(text, n, name, size);
        if (distance < best_distance) {
            best_distance = distance;
            best = name;
        }
    }
    return best;
}
