/* SPDX-License-Identifier: Apache-2.0 */
/* A data set folder: find its files, check that they belong together, load a slice of them. */
#include "dataset.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "idx.h"
#include "partition.h"
#include "resize.h"
#include "sizes.h"

/* resize.h's limit; a side that no image of the format's users comes near */
enum { MAX_SIDE = 65535 };

/* Images and labels of one part, opened side by side. */
struct pair {
    char images_path[PATH_MAX];
    char labels_path[PATH_MAX];
    struct idx_reader *images;
    struct idx_reader *labels;
    size_t rows;
    size_t height, width, features; /* after scaling */
};

static const char *const images_name[] = {
    [DATASET_TRAIN] = "train-images-idx3-ubyte",
    [DATASET_TEST] = "t10k-images-idx3-ubyte",
};
static const char *const labels_name[] = {
    [DATASET_TRAIN] = "train-labels-idx1-ubyte",
    [DATASET_TEST] = "t10k-labels-idx1-ubyte",
};

static size_t class_count(const struct dataset_source *source)
{
    return source->classes == 0 ? DATASET_CLASSES : source->classes;
}

/* The file by its plain name or with ".gz", whichever is there. */
static int find_file(const char *dir, const char *name, char path[PATH_MAX],
                     struct cairn_problem *why)
{
    static const char *const endings[] = {"", ".gz"};

    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
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
    return problem_set(why, CAIRN_ERR_DATA, "data.dir is the folder with the four IDX files",
                       "neither %s nor %s.gz is in %s", name, name, dir);
}

bool dataset_is_there(const char *dir, enum dataset_part part)
{
    char path[PATH_MAX];
    struct cairn_problem ignored;

    return find_file(dir, images_name[part], path, &ignored) == 0 ||
           find_file(dir, labels_name[part], path, &ignored) == 0;
}

static void close_pair(struct pair *p)
{
    idx_close(p->images);
    idx_close(p->labels);
}

static int check_pair(struct pair *p, const struct dataset_source *source,
                      struct cairn_problem *why)
{
    const struct idx_header *images = idx_header(p->images);
    const struct idx_header *labels = idx_header(p->labels);

    if (images->rows != labels->rows) {
        return problem_set(why, CAIRN_ERR_DATA, "the two files are not of one data set",
                           "%s has %zu images, %s has %zu labels", p->images_path, images->rows,
                           p->labels_path, labels->rows);
    }
    p->rows = images->rows;
    p->height = source->resize ? source->resize : images->height;
    p->width = source->resize ? source->resize : images->width;
    p->features = p->height * p->width;
    return 0;
}

/* On failure nothing is left open. */
static int open_pair(const struct dataset_source *source, enum dataset_part part, struct pair *p,
                     struct cairn_problem *why)
{
    int err;

    p->images = NULL;
    p->labels = NULL;
    if (source->resize > MAX_SIDE || class_count(source) > DATASET_MAX_CLASSES) {
        return problem_set(why, CAIRN_ERR_DATA, "check data.resize and model.layers",
                           "at most %d pixels a side and %d classes are possible", MAX_SIDE,
                           DATASET_MAX_CLASSES);
    }
    err = find_file(source->dir, images_name[part], p->images_path, why);
    if (!err) {
        err = find_file(source->dir, labels_name[part], p->labels_path, why);
    }
    if (!err) {
        err = idx_open(p->images_path, IDX_IMAGES, &p->images, why);
    }
    if (!err) {
        err = idx_open(p->labels_path, IDX_LABELS, &p->labels, why);
    }
    if (!err) {
        err = check_pair(p, source, why);
    }
    if (err) {
        close_pair(p);
    }
    return err;
}

int dataset_facts_read(const struct dataset_source *source, struct dataset_facts *out,
                       struct cairn_problem *why)
{
    struct pair train;
    struct pair test;
    int err = open_pair(source, DATASET_TRAIN, &train, why);

    if (err) {
        return err;
    }
    close_pair(&train);
    err = open_pair(source, DATASET_TEST, &test, why);
    if (err) {
        return err;
    }
    close_pair(&test);
    if (train.height != test.height || train.width != test.width) {
        return problem_set(why, CAIRN_ERR_DATA, "the files are not of one data set",
                           "training images are %zu x %zu, test images are %zu x %zu",
                           train.height, train.width, test.height, test.width);
    }
    *out = (struct dataset_facts){
        .train_rows = train.rows,
        .test_rows = test.rows,
        .height = train.height,
        .width = train.width,
        .features = train.features,
        .classes = class_count(source),
    };
    return 0;
}

static int load_labels(struct pair *p, size_t classes, struct row_range slice, uint8_t *out,
                       struct cairn_problem *why)
{
    uint8_t some[4096];
    size_t n;

    for (size_t row = 0; row < p->rows; row += n) {
        int err;
        n = p->rows - row < sizeof some ? p->rows - row : sizeof some;
        err = idx_read(p->labels, some, n, why);
        if (err) {
            return err;
        }
        for (size_t i = 0; i < n; i++) {
            if (some[i] >= classes) {
                return problem_set(why, CAIRN_ERR_DATA,
                                   "labels count from 0; the last entry of model.layers is the "
                                   "number of classes",
                                   "%s: the label of row %zu is %u, expected 0..%zu",
                                   p->labels_path, row + i, some[i], classes - 1);
            }
            /* rows before the slice wrap round to large numbers */
            if (row + i - slice.first < slice.count) {
                out[row + i - slice.first] = some[i];
            }
        }
    }
    return idx_finish(p->labels, why);
}

/* Read the slice, image by image where they are to be scaled, and the rest of the file. */
static int load_images(struct pair *p, struct row_range slice, unsigned resize, uint8_t *out,
                       struct cairn_problem *why)
{
    const struct idx_header *h = idx_header(p->images);
    uint8_t *image = NULL;
    int err = idx_skip(p->images, slice.first, why);

    if (!err && !resize) {
        err = idx_read(p->images, out, slice.count, why);
    }
    if (!err && resize) {
        image = malloc(h->row_size);
        if (!image) {
            err = problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for an image");
        }
        for (size_t row = 0; !err && row < slice.count; row++) {
            err = idx_read(p->images, image, 1, why);
            if (!err) {
                resize_image(image, h->height, h->width, out + row * p->features, resize);
            }
        }
        free(image);
    }
    return err ? err : idx_finish(p->images, why);
}

int dataset_load(const struct dataset_source *source, enum dataset_part part, uint32_t clients,
                 uint32_t index, struct dataset *out, struct cairn_problem *why)
{
    struct dataset set = {0};
    struct row_range slice;
    struct pair p;
    size_t size;
    int err = open_pair(source, part, &p, why);

    if (err) {
        return err;
    }
    err = partition_slice(p.rows, clients, index, &slice, why);
    if (err) {
        goto cleanup;
    }
    set = (struct dataset){slice.count, p.height, p.width, p.features, NULL, NULL};
    set.pixels = size_mul(set.rows, set.features, &size) ? malloc(size) : NULL;
    set.labels = malloc(set.rows);
    if (!set.pixels || !set.labels) {
        err = problem_set(why, CAIRN_ERR_NO_MEMORY, "use more clients, or data.resize",
                          "no memory for %zu images of %zu bytes", set.rows, set.features);
        goto cleanup;
    }
    err = load_labels(&p, class_count(source), slice, set.labels, why);
    if (!err) {
        err = load_images(&p, slice, source->resize, set.pixels, why);
    }
    if (!err) {
        *out = set;
        set = (struct dataset){0};
    }
cleanup:
    dataset_release(&set);
    close_pair(&p);
    return err;
}

void dataset_release(struct dataset *set)
{
    free(set->pixels);
    free(set->labels);
    *set = (struct dataset){0};
}

void dataset_pixels_to_floats(const uint8_t *pixels, size_t features, float *out)
{
    for (size_t i = 0; i < features; i++) {
        out[i] = (float)pixels[i] * (1.0f / 255.0f);
    }
}
