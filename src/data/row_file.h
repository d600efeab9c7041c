/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATA_ROW_FILE_H
#define DATA_ROW_FILE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataset.h"

/**
 * One part of a data set, whatever its format: rows of features, each with a label. dataset.c asks
 * for the labels first, decides by them whose rows are whose, and then for some of the rows.
 */
struct row_file {
    const struct row_format *format;
    char features_path[PATH_MAX];
    char labels_path[PATH_MAX]; /* "" where the labels are in the same file */
    size_t rows;
    struct dataset_form form;
    size_t first_line; /* line of row 0; 0: the file is no text */
    void *state;       /* the format's own */
};

struct row_format {
    /* by part; the plain names, each also with ".gz" where `packed` */
    const char *features_name[2];
    const char *labels_name[2]; /* NULL: in the same file */
    bool packed;
    const char *help; /* what belongs into data.dir */
    /**
     * Read the headers; the paths are there. Nothing of the size that a header claims is allocated.
     * On failure `close` is called all the same.
     */
    int (*open)(struct row_file *file, const struct dataset_source *source,
                struct cairn_problem *why);
    /** All of them, and to the end of their file. @param[out] out (rows), finite */
    int (*labels)(struct row_file *file, double *out, struct cairn_problem *why);
    /**
     * Some rows, and to the end of their file; once, after `labels`.
     * @param rows  ascending
     * @param[out] out  (n, features) of uint8_t where form.bytes, else of float, finite
     */
    int (*read)(struct row_file *file, const uint32_t *rows, size_t n, void *out,
                struct cairn_problem *why);
    void (*close)(struct row_file *file);
};

extern const struct row_format row_format_idx, row_format_csv, row_format_npy;

#endif
