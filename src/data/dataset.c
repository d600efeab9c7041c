/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A data set folder: find its files, check that they belong together, decide whose rows are whose,
 * and load some of them.
 */
#include "dataset.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "row_file.h"
#include "sizes.h"

/* resize.h's limit; a side that no image of the format's users comes near */
enum { MAX_SIDE = 65535 };

static const struct row_format *const formats[] = {&row_format_idx, &row_format_csv,
                                                   &row_format_npy};
enum { FORMATS = sizeof formats / sizeof formats[0] };

static size_t class_count(const struct dataset_source *source)
{
    return source->classes == 0 ? DATASET_CLASSES : source->classes;
}

/* ---- finding files ---- */

/* The file by its plain name or, where it may be packed, with ".gz", whichever is there. */
static int find_file(const char *dir, const char *name, const struct row_format *format,
                     char path[PATH_MAX], struct cairn_problem *why)
{
    static const char *const endings[] = {"", ".gz"};
    const size_t n = format->packed ? 2 : 1;

    for (size_t i = 0; i < n; i++) {
        int length = snprintf(path, PATH_MAX, "%s/%s%s", dir, name, endings[i]);
        if (length < 0 || length >= PATH_MAX) {
            return problem_set(why, CAIRN_ERR_DATA, "use a shorter path", "%.100s...: too long",
                               dir);
        }
        if (access(path, F_OK) == 0) {
            return 0;
        }
        if (errno != ENOENT) {
            return problem_set(why, CAIRN_ERR_DATA, "check data.dir and its permissions",
                               "cannot look for %s: %s", path, strerror(errno));
        }
    }
    if (!format->packed) {
        return problem_set(why, CAIRN_ERR_DATA, format->help, "%s is not in %s", name, dir);
    }
    return problem_set(why, CAIRN_ERR_DATA, format->help, "neither %s nor %s.gz is in %s", name,
                       name, dir);
}

static bool format_is_there(const char *dir, const struct row_format *format,
                            enum dataset_part part)
{
    const char *labels = format->labels_name[part];
    char path[PATH_MAX];
    struct cairn_problem ignored;

    return find_file(dir, format->features_name[part], format, path, &ignored) == 0 ||
           (labels && find_file(dir, labels, format, path, &ignored) == 0);
}

bool dataset_is_there(const char *dir, enum dataset_part part)
{
    for (size_t f = 0; f < FORMATS; f++) {
        if (format_is_there(dir, formats[f], part)) {
            return true;
        }
    }
    return false;
}

/* The one format that the part is there in; where there is nothing, the first, whose files will be
 * missed by name. */
static int find_format(const char *dir, enum dataset_part part, const struct row_format **out,
                       struct cairn_problem *why)
{
    const struct row_format *found = NULL;

    for (size_t f = 0; f < FORMATS; f++) {
        if (!format_is_there(dir, formats[f], part)) {
            continue;
        }
        if (found) {
            return problem_set(why, CAIRN_ERR_DATA, "keep one of them in data.dir",
                               "%s holds both %s and %s: which is meant?", dir,
                               found->features_name[part], formats[f]->features_name[part]);
        }
        found = formats[f];
    }
    *out = found ? found : formats[0];
    return 0;
}

/* ---- opening ---- */

static void close_part(struct row_file *file)
{
    file->format->close(file);
    free(file);
}

static int check_options(const struct dataset_source *source, struct cairn_problem *why)
{
    if (source->resize > MAX_SIDE || class_count(source) > DATASET_MAX_CLASSES) {
        return problem_set(why, CAIRN_ERR_DATA, "check data.resize and model.layers",
                           "at most %d pixels a side and %d classes are possible", MAX_SIDE,
                           DATASET_MAX_CLASSES);
    }
    return 0;
}

static int check_part(const struct row_file *file, const struct dataset_source *source,
                      struct cairn_problem *why)
{
    if (file->rows > UINT32_MAX) {
        return problem_set(why, CAIRN_ERR_DATA, "use fewer rows", "%s has %zu rows, more than 2^32",
                           file->features_path, file->rows);
    }
    if (source->resize && file->format != &row_format_idx) {
        return problem_set(why, CAIRN_ERR_DATA, "leave data.resize out",
                           "data.resize: only images in IDX files are scaled, not %s",
                           file->features_path);
    }
    return 0;
}

static int open_found(struct row_file *file, const struct dataset_source *source,
                      enum dataset_part part, struct cairn_problem *why)
{
    const struct row_format *format = file->format;
    const char *labels = format->labels_name[part];
    int err = find_file(source->dir, format->features_name[part], format, file->features_path, why);

    if (!err && labels) {
        err = find_file(source->dir, labels, format, file->labels_path, why);
    }
    if (!err) {
        err = format->open(file, source, why);
    }
    return err ? err : check_part(file, source, why);
}

/* On failure nothing is left open. */
static int open_part(const struct dataset_source *source, enum dataset_part part,
                     struct row_file **out, struct cairn_problem *why)
{
    const struct row_format *format = NULL;
    struct row_file *file;
    int err = check_options(source, why);

    if (!err) {
        err = find_format(source->dir, part, &format, why);
    }
    if (err) {
        return err;
    }
    file = calloc(1, sizeof *file);
    if (!file) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory to read %s", source->dir);
    }
    file->format = format;
    err = open_found(file, source, part, why);
    if (err) {
        close_part(file);
        return err;
    }
    *out = file;
    return 0;
}

int dataset_check_match(const char *dir, const struct dataset_form *train,
                        const struct dataset_form *test, struct cairn_problem *why)
{
    static const char hint[] = "the files are not of one data set";

    if (train->height != test->height || train->width != test->width) {
        return problem_set(why, CAIRN_ERR_DATA, hint,
                           "%s: training images are %zu x %zu, test images are %zu x %zu", dir,
                           train->height, train->width, test->height, test->width);
    }
    if (train->features != test->features) {
        return problem_set(why, CAIRN_ERR_DATA, hint,
                           "%s: training rows have %zu features, test rows %zu", dir,
                           train->features, test->features);
    }
    if (train->bytes != test->bytes) {
        return problem_set(why, CAIRN_ERR_DATA, hint,
                           "%s: one of the parts is of uint8, whose values are divided by 255, the "
                           "other is not", dir);
    }
    if (memcmp(train->names, test->names, sizeof train->names) != 0) {
        return problem_set(why, CAIRN_ERR_DATA, "their first lines must agree",
                           "%s: train.csv and test.csv name other columns, or in another order",
                           dir);
    }
    return 0;
}

int dataset_facts_read(const struct dataset_source *source, struct dataset_facts *out,
                       struct cairn_problem *why)
{
    struct row_file *file;
    struct dataset_form test;
    struct dataset_facts facts = {.classes = class_count(source)};
    int err = open_part(source, DATASET_TRAIN, &file, why);

    if (err) {
        return err;
    }
    facts.train_rows = file->rows;
    facts.form = file->form;
    close_part(file);
    err = open_part(source, DATASET_TEST, &file, why);
    if (err) {
        return err;
    }
    facts.test_rows = file->rows;
    test = file->form;
    close_part(file);
    err = dataset_check_match(source->dir, &facts.form, &test, why);
    if (!err) {
        *out = facts;
    }
    return err;
}

/* ---- labels ---- */

/* All labels of a part. `numbers` is filled first; `classes` where the source has classes. */
struct labels {
    double *numbers;  /* (rows) */
    uint8_t *classes; /* (rows), or NULL */
};

static void free_labels(struct labels *labels)
{
    free(labels->numbers);
    free(labels->classes);
}

static int bad_label(const struct row_file *file, size_t row, double label, size_t classes,
                     struct cairn_problem *why)
{
    const char *path = file->labels_path[0] ? file->labels_path : file->features_path;
    static const char hint[] =
        "labels count from 0; the last entry of model.layers is the number of classes";

    if (file->first_line > 0) {
        return problem_set(why, CAIRN_ERR_DATA, hint,
                           "%s:%zu: the label is %.15g, expected a whole number, 0..%zu", path,
                           file->first_line + row, label, classes - 1);
    }
    return problem_set(why, CAIRN_ERR_DATA, hint,
                       "%s: the label of row %zu is %.15g, expected 0..%zu%s", path, row, label,
                       classes - 1, label == floor(label) ? "" : ", whole numbers");
}

static int take_classes(const struct row_file *file, const double *labels, size_t classes,
                        uint8_t *out, struct cairn_problem *why)
{
    for (size_t row = 0; row < file->rows; row++) {
        if (!(labels[row] >= 0 && labels[row] < (double)classes) ||
            labels[row] != floor(labels[row])) {
            return bad_label(file, row, labels[row], classes, why);
        }
        out[row] = (uint8_t)labels[row];
    }
    return 0;
}

/* On failure, too, free_labels is the caller's to call. */
static int read_labels(struct row_file *file, const struct dataset_source *source,
                       struct labels *out, struct cairn_problem *why)
{
    int err;

    out->numbers = size_alloc_array(file->rows, sizeof *out->numbers);
    out->classes = source->numbers ? NULL : size_alloc_array(file->rows, 1);
    if (!out->numbers || (!out->classes && !source->numbers)) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for %zu labels", file->rows);
    }
    err = file->format->labels(file, out->numbers, why);
    if (!err && out->classes) {
        err = take_classes(file, out->numbers, class_count(source), out->classes, why);
    }
    return err;
}

/* ---- whose rows ---- */

/* What the file cannot be shared out by, with its name before it. */
static int cannot_share(const struct row_file *file, int err, const struct cairn_problem *inner,
                        struct cairn_problem *why)
{
    return problem_set(why, err, inner->hint, "%s: %s", file->features_path, inner->what);
}

/* Owners of all rows by the source's rule. @return new array, or NULL with *err */
static uint32_t *share(const struct row_file *file, const struct dataset_source *source,
                       const uint8_t *classes, uint32_t clients, int *err,
                       struct cairn_problem *why)
{
    struct cairn_problem inner = {0};
    uint32_t *owner = size_alloc_array(file->rows, sizeof *owner);

    *err = owner ? partition_rows(&source->partition, classes, file->rows, class_count(source),
                                  clients, owner, &inner)
                 : problem_set(&inner, CAIRN_ERR_NO_MEMORY, NULL, "no memory to share out %zu rows",
                               file->rows);
    if (*err) {
        (void)cannot_share(file, *err, &inner, why);
        free(owner);
        return NULL;
    }
    return owner;
}

/* The rows that a client has, ascending. @param[out] rows  (file->rows) */
static int choose_rows(const struct row_file *file, const struct dataset_source *source,
                       enum dataset_part part, const uint8_t *classes, uint32_t clients,
                       uint32_t index, uint32_t *rows, size_t *n, struct cairn_problem *why)
{
    struct row_range slice;
    uint32_t *owner;
    struct cairn_problem inner = {0};
    int err = partition_slice(file->rows, clients, index, &slice, &inner); /* the index, too */

    if (err) {
        return cannot_share(file, err, &inner, why);
    }
    if (clients == 0 || part == DATASET_TEST) {
        for (size_t i = 0; i < slice.count; i++) {
            rows[i] = (uint32_t)(slice.first + i);
        }
        *n = slice.count;
        return 0;
    }
    owner = share(file, source, classes, clients, &err, why);
    if (owner) {
        *n = partition_own(owner, file->rows, index, rows);
    }
    free(owner);
    return err;
}

/* ---- loading ---- */

/* The chosen rows with their labels. On failure, too, dataset_release is the caller's to call. */
static int load_rows(struct row_file *file, const struct labels *labels, const uint32_t *rows,
                     size_t n, struct dataset *set, struct cairn_problem *why)
{
    size_t size = 0;
    const bool counted = size_mul(n, file->form.features, &size);

    *set = (struct dataset){.rows = n, .form = file->form};
    if (counted && file->form.bytes) {
        set->pixels = size_alloc_array(size, sizeof *set->pixels);
    } else if (counted) {
        set->values = size_alloc_array(size, sizeof *set->values);
    }
    if (labels->classes) {
        set->labels = size_alloc_array(n, sizeof *set->labels);
    } else {
        set->targets = size_alloc_array(n, sizeof *set->targets);
    }
    if ((!set->pixels && !set->values) || (!set->labels && !set->targets)) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, "use more clients, or data.resize",
                           "no memory for %zu rows of %zu features", n, file->form.features);
    }
    for (size_t i = 0; i < n; i++) {
        if (set->labels) {
            set->labels[i] = labels->classes[rows[i]];
        } else {
            set->targets[i] = (float)labels->numbers[rows[i]];
        }
    }
    partition_fingerprint(rows, n, set->fingerprint);
    return file->format->read(file, rows, n, set->pixels ? (void *)set->pixels : set->values, why);
}

int dataset_load(const struct dataset_source *source, enum dataset_part part, uint32_t clients,
                 uint32_t index, struct dataset *out, struct cairn_problem *why)
{
    struct dataset set = {0};
    struct labels labels = {0};
    struct row_file *file;
    uint32_t *rows = NULL;
    size_t n = 0;
    int err = open_part(source, part, &file, why);

    if (err) {
        return err;
    }
    err = read_labels(file, source, &labels, why);
    if (!err) {
        rows = size_alloc_array(file->rows, sizeof *rows);
        err = rows ? choose_rows(file, source, part, labels.classes, clients, index, rows, &n, why)
                   : problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a list of rows");
    }
    if (!err) {
        err = load_rows(file, &labels, rows, n, &set, why);
    }
    if (!err) {
        *out = set;
        set = (struct dataset){0};
    }
    dataset_release(&set);
    free(rows);
    free_labels(&labels);
    close_part(file);
    return err;
}

void dataset_release(struct dataset *set)
{
    free(set->pixels);
    free(set->values);
    free(set->labels);
    free(set->targets);
    *set = (struct dataset){0};
}

/* ---- shares ---- */

static int count_shares(const struct row_file *file, const struct dataset_source *source,
                        const uint8_t *classes, uint32_t clients, struct dataset_share *shares,
                        size_t *counts, struct cairn_problem *why)
{
    const size_t n_classes = class_count(source);
    int err = 0;
    uint32_t *owner = share(file, source, classes, clients, &err, why);
    uint32_t *rows = owner ? size_alloc_array(file->rows, sizeof *rows) : NULL;

    if (owner && !rows) {
        err = problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a list of rows");
    }
    for (uint32_t k = 0; !err && k < clients; k++) {
        shares[k].rows = partition_own(owner, file->rows, k, rows);
        partition_fingerprint(rows, shares[k].rows, shares[k].fingerprint);
        if (!counts || !classes) {
            continue;
        }
        memset(counts + k * n_classes, 0, n_classes * sizeof *counts);
        for (size_t i = 0; i < shares[k].rows; i++) {
            counts[k * n_classes + classes[rows[i]]]++;
        }
    }
    free(owner);
    free(rows);
    return err;
}

int dataset_shares(const struct dataset_source *source, uint32_t clients,
                   struct dataset_share *shares, size_t *counts, struct cairn_problem *why)
{
    struct labels labels = {0};
    struct row_file *file;
    int err = open_part(source, DATASET_TRAIN, &file, why);

    if (err) {
        return err;
    }
    err = read_labels(file, source, &labels, why);
    if (!err) {
        err = count_shares(file, source, labels.classes, clients, shares, counts, why);
    }
    free_labels(&labels);
    close_part(file);
    return err;
}

/* ---- rows as floats ---- */

void dataset_row(const struct dataset *set, size_t row, float *out)
{
    const size_t n = set->form.features;

    if (set->pixels) {
        dataset_pixels_to_floats(set->pixels + row * n, n, out);
    } else {
        memcpy(out, set->values + row * n, n * sizeof *out);
    }
}

void dataset_pixels_to_floats(const uint8_t *pixels, size_t features, float *out)
{
    for (size_t i = 0; i < features; i++) {
        out[i] = (float)pixels[i] * (1.0f / 255.0f);
    }
}
