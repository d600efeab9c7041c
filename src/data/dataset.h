/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATA_DATASET_H
#define DATA_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "digest.h"
#include "partition.h"

/**
 * A data set folder, in one of three formats; which it is, is told by the names that are there.
 *
 * IDX   train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte,
 *       t10k-labels-idx1-ubyte: images of bytes.
 * CSV   train.csv, test.csv: numbers, the first line names the columns (csv.h), and one of them is
 *       the label. Both files name the same columns in the same order.
 * .npy  train-features.npy, train-labels.npy, test-features.npy, test-labels.npy: features
 *       (rows, features), or (rows, height, width) for images, and labels (rows), of any plain number
 *       type (npy.h). Features of uint8 are pixels, as in IDX files.
 *
 * IDX and CSV files may also have ".gz" behind their name; what they hold is told by their content,
 * so gzip under the plain name is fine and so is the reverse.
 * Pixels become floats in [0, 1]; other numbers are taken as they are: scale them beforehand.
 */
enum dataset_part { DATASET_TRAIN, DATASET_TEST };

/** MNIST, Fashion-MNIST, KMNIST and USPS have ten; others say so in model.layers. */
enum { DATASET_CLASSES = 10, DATASET_MAX_CLASSES = 256 };
#define DATASET_LABEL "label"

/** Which data, and what it is taken for. Borrowed for the calls. */
struct dataset_source {
    const char *dir;
    unsigned resize;   /* side length that IDX images are scaled to; 0 = as they are */
    size_t classes;    /* labels are 0 .. classes-1; 0 = DATASET_CLASSES */
    const char *label; /* column of a CSV file; NULL = DATASET_LABEL */
    bool numbers;      /* labels are numbers of any kind, for regression; no classes */
    struct partition_rule partition; /* of the training rows; test rows are contiguous slices */
};

/** What a row is. Training and test rows have the same. Plain value. */
struct dataset_form {
    size_t height, width; /* of an image, after scaling; 0 and 0: the rows are no images */
    size_t features;
    bool bytes;                 /* pixels, 0..255; else floats */
    uint8_t names[DIGEST_SIZE]; /* digest of the features' names; zeros: they have none */
};

/** What the headers say, both parts. Plain value. */
struct dataset_facts {
    size_t train_rows, test_rows;
    struct dataset_form form;
    size_t classes;
};

/** Rows of one part in memory. Owner: whoever holds it calls dataset_release. */
struct dataset {
    size_t rows;
    struct dataset_form form;
    uint8_t *pixels; /* (rows, features), 0..255; NULL where they are not bytes */
    float *values;   /* (rows, features); NULL where they are bytes */
    uint8_t *labels; /* (rows), each < classes; NULL where they are numbers */
    float *targets;  /* (rows); NULL where labels are classes */
    char fingerprint[DIGEST_HEX_SIZE]; /* of the rows' places in the file: partition_fingerprint */
};

/**
 * Read the headers only: a few kilobytes, no allocation of the data's size. (CSV files have none and
 * are read through.)
 * @retval CAIRN_ERR_DATA  a file is missing or not what it should be, counts of rows and labels
 *                         differ, training and test rows differ in form, files of several formats
 */
CAIRN_MUST_CHECK int dataset_facts_read(const struct dataset_source *source,
                                        struct dataset_facts *out, struct cairn_problem *why);
/** Is there anything at all of this part in the folder? */
bool dataset_is_there(const char *dir, enum dataset_part part);
/**
 * Load one client's rows of one part. The files are read through and checked to their end, every
 * label included, but only the client's rows are kept, in the file's order.
 * @param clients  0: all rows
 * @retval CAIRN_ERR_DATA  as above, or a label out of range, damage anywhere in a file,
 *                         or a partition that cannot be made (partition.h)
 */
CAIRN_MUST_CHECK int dataset_load(const struct dataset_source *source, enum dataset_part part,
                                  uint32_t clients, uint32_t index, struct dataset *out,
                                  struct cairn_problem *why);
void dataset_release(struct dataset *set);
/** @retval CAIRN_ERR_DATA  they are not of one data set */
CAIRN_MUST_CHECK int dataset_check_match(const char *dir, const struct dataset_form *train,
                                         const struct dataset_form *test,
                                         struct cairn_problem *why);

/** What one client has of the training rows. */
struct dataset_share {
    size_t rows;
    char fingerprint[DIGEST_HEX_SIZE];
};
/**
 * How the training rows are shared out, without reading them: only their labels.
 * @param clients  1 or more
 * @param[out] shares  (clients)
 * @param[out] counts  (clients, classes) rows of each class; NULL where labels are numbers
 * @retval CAIRN_ERR_DATA  as dataset_load
 */
CAIRN_MUST_CHECK int dataset_shares(const struct dataset_source *source, uint32_t clients,
                                    struct dataset_share *shares, size_t *counts,
                                    struct cairn_problem *why);

/** A row as floats. @param out  (features) */
void dataset_row(const struct dataset *set, size_t row, float *out);
/** Bytes to floats in [0, 1]. @param features  of one row */
void dataset_pixels_to_floats(const uint8_t *pixels, size_t features, float *out);

#endif
