/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATA_DATASET_H
#define DATA_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cairn/err.h>

/**
 * A data set folder: train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte,
 * t10k-labels-idx1-ubyte, each also with ".gz" behind its name. What a file holds is told by its
 * content, so gzip under the plain name is fine and so is the reverse.
 */
enum dataset_part { DATASET_TRAIN, DATASET_TEST };

/** MNIST, Fashion-MNIST, KMNIST and USPS have ten; others say so in model.layers. */
enum { DATASET_CLASSES = 10, DATASET_MAX_CLASSES = 256 };

/** Which data, and what it is taken for. Borrowed for the calls. */
struct dataset_source {
    const char *dir;
    unsigned resize; /* side length that images are scaled to; 0 = as they are */
    size_t classes;  /* labels are 0 .. classes-1; 0 = DATASET_CLASSES */
};

/** What the headers say, both parts. Plain value. */
struct dataset_facts {
    size_t train_rows, test_rows;
    size_t height, width; /* after scaling */
    size_t features;      /* height * width */
    size_t classes;
};

/** Rows of one part in memory, as bytes. Owner: whoever holds it calls dataset_release. */
struct dataset {
    size_t rows;
    size_t height, width; /* after scaling */
    size_t features;      /* height * width */
    uint8_t *pixels;      /* (rows, features), 0..255 */
    uint8_t *labels;      /* (rows), each < classes */
};

/**
 * Read the four headers only: a few kilobytes, no allocation of the data's size.
 * @retval CAIRN_ERR_DATA  a file is missing or not what it should be, counts of images and labels
 *                         differ, training and test images differ in size
 */
CAIRN_MUST_CHECK int dataset_facts_read(const struct dataset_source *source,
                                        struct dataset_facts *out, struct cairn_problem *why);
/** Is there anything at all of this part in the folder? */
bool dataset_is_there(const char *dir, enum dataset_part part);
/**
 * Load one client's slice of one part (partition.h). The files are read through once and checked
 * to their end, every label included, but only the slice is kept.
 * @param clients  0: all rows
 * @retval CAIRN_ERR_DATA  as above, or a label out of range, damage anywhere in a file,
 *                         more clients than rows
 */
CAIRN_MUST_CHECK int dataset_load(const struct dataset_source *source, enum dataset_part part,
                                  uint32_t clients, uint32_t index, struct dataset *out,
                                  struct cairn_problem *why);
void dataset_release(struct dataset *set);

/** Bytes to floats in [0, 1]. @param features  of one row */
void dataset_pixels_to_floats(const uint8_t *pixels, size_t features, float *out);

#endif
