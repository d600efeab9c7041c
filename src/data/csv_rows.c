/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A CSV file of numbers. How many rows there are shows at its end only, so it is read twice: once
 * through, every field checked and the labels kept, and once more for the rows that are wanted.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "csv.h"
#include "digest.h"
#include "row_file.h"

struct csv_state {
    size_t label;      /* its column */
    struct buf labels; /* double: one a row */
};

static void csv_rows_close(struct row_file *file)
{
    struct csv_state *s = file->state;

    if (s) {
        buf_release(&s->labels);
        free(s);
    }
    file->state = NULL;
}

/* ---- columns ---- */

static int no_label(const struct row_file *file, const struct csv_reader *csv, const char *label,
                    struct cairn_problem *why)
{
    return problem_set(why, CAIRN_ERR_DATA,
                       csv_columns(csv) > 1 ? "data.label names the column of the labels"
                                            : "commas separate the columns",
                       "%s: no column is named \"%s\"; there are %zu, from \"%.40s\" to \"%.40s\"",
                       file->features_path, label, csv_columns(csv), csv_name(csv, 0),
                       csv_name(csv, csv_columns(csv) - 1));
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Two columns of one name: which is meant? */
static int check_names(const struct row_file *file, const struct csv_reader *csv,
                       struct cairn_problem *why)
{
    const size_t n = csv_columns(csv);
    const char **names = calloc(n, sizeof *names);
    int err = 0;

    if (!names) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory to read %s",
                           file->features_path);
    }
    for (size_t c = 0; c < n; c++) {
        names[c] = csv_name(csv, c);
    }
    qsort(names, n, sizeof *names, compare_names);
    for (size_t c = 0; !err && c < n; c++) {
        if (names[c][0] == 0 || (c > 0 && strcmp(names[c], names[c - 1]) == 0)) {
            err = problem_set(why, CAIRN_ERR_DATA, "the first line names each column, each once",
                              names[c][0] ? "%s:1: two columns are named \"%.60s\""
                                          : "%s:1: a column without a name",
                              file->features_path, names[c]);
        }
    }
    free(names);
    return err;
}

/* Which column is the label, and what the others are called. */
static int read_names(struct row_file *file, const struct csv_reader *csv, const char *label,
                      struct cairn_problem *why)
{
    struct csv_state *s = file->state;
    struct digest_state digest;
    int err = check_names(file, csv, why);

    if (err) {
        return err;
    }
    s->label = csv_columns(csv);
    digest_init(&digest);
    for (size_t c = 0; c < csv_columns(csv); c++) {
        const char *name = csv_name(csv, c);
        if (strcmp(name, label) == 0) {
            s->label = c;
        } else {
            digest_update(&digest, name, strlen(name) + 1);
        }
    }
    digest_final(&digest, file->form.names);
    if (s->label == csv_columns(csv)) {
        return no_label(file, csv, label, why);
    }
    file->form.features = csv_columns(csv) - 1;
    if (file->form.features == 0) {
        return problem_set(why, CAIRN_ERR_DATA, "every column but the label's is a feature",
                           "%s has a label and nothing else", file->features_path);
    }
    return 0;
}

/* ---- rows ---- */

/* The features of the line that was read last. @param out (features), or NULL: only check them */
static int take_features(const struct row_file *file, const struct csv_reader *csv, float *out,
                         struct cairn_problem *why)
{
    const struct csv_state *s = file->state;

    for (size_t c = 0; c < csv_columns(csv); c++) {
        double value;
        int err = c == s->label ? 0 : csv_number(csv, c, &value, why);
        if (err) {
            return err;
        }
        if (c != s->label && !isfinite((float)value)) {
            return problem_set(why, CAIRN_ERR_DATA, "scale the column",
                               "%s:%zu: %g for \"%.60s\" is more than a float32 can hold",
                               file->features_path, csv_line(csv), value, csv_name(csv, c));
        }
        if (out && c != s->label) {
            *out++ = (float)value;
        }
    }
    return 0;
}

static int read_through(struct row_file *file, struct csv_reader *csv, struct cairn_problem *why)
{
    struct csv_state *s = file->state;
    bool at_end = false;
    int err = 0;

    while (!err) {
        double label;
        err = csv_next(csv, &at_end, why);
        if (err || at_end) {
            break;
        }
        err = csv_number(csv, s->label, &label, why);
        if (!err) {
            err = take_features(file, csv, NULL, why);
        }
        if (!err && buf_append(&s->labels, &label, sizeof label)) {
            err = problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for the labels of %s",
                              file->features_path);
        }
    }
    file->rows = s->labels.size / sizeof(double);
    if (!err && file->rows == 0) {
        err = problem_set(why, CAIRN_ERR_DATA, "rows follow the names", "%s has no rows",
                          file->features_path);
    }
    return err;
}

static int csv_rows_open(struct row_file *file, const struct dataset_source *source,
                         struct cairn_problem *why)
{
    struct csv_reader *csv = NULL;
    int err;

    file->state = calloc(1, sizeof(struct csv_state));
    if (!file->state) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory to read %s",
                           file->features_path);
    }
    file->first_line = 2;
    err = csv_open(file->features_path, &csv, why);
    if (!err) {
        err = read_names(file, csv, source->label ? source->label : DATASET_LABEL, why);
    }
    if (!err) {
        err = read_through(file, csv, why);
    }
    csv_close(csv);
    return err;
}

static int csv_rows_labels(struct row_file *file, double *out, struct cairn_problem *why)
{
    const struct csv_state *s = file->state;

    (void)why;
    memcpy(out, s->labels.data, s->labels.size);
    return 0;
}

static int changed(const struct row_file *file, struct cairn_problem *why)
{
    return problem_set(why, CAIRN_ERR_DATA, "leave it alone while it is read",
                       "%s changed while it was read", file->features_path);
}

/* The file once more, to its end. */
static int csv_rows_read(struct row_file *file, const uint32_t *rows, size_t n, void *out,
                         struct cairn_problem *why)
{
    struct csv_reader *csv = NULL;
    float *values = out; /* (n, features) */
    bool at_end = false;
    size_t row = 0, taken = 0;
    int err = csv_open(file->features_path, &csv, why);

    if (!err && csv_columns(csv) != file->form.features + 1) {
        err = changed(file, why);
    }
    for (; !err; row++) {
        err = csv_next(csv, &at_end, why);
        if (err || at_end) {
            break;
        }
        if (taken < n && row == rows[taken]) {
            err = take_features(file, csv, values + taken++ * file->form.features, why);
        }
    }
    if (!err && (taken < n || row != file->rows)) {
        err = changed(file, why);
    }
    csv_close(csv);
    return err;
}

const struct row_format row_format_csv = {
    .features_name = {[DATASET_TRAIN] = "train.csv", [DATASET_TEST] = "test.csv"},
    .packed = true,
    .help = "data.dir is the folder with train.csv and test.csv",
    .open = csv_rows_open,
    .labels = csv_rows_labels,
    .read = csv_rows_read,
    .close = csv_rows_close,
};
