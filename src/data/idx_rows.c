/* SPDX-License-Identifier: Apache-2.0 */
/* Images and labels in IDX files, opened side by side; images are scaled on the way. */
#include <stdlib.h>

#include "idx.h"
#include "resize.h"
#include "row_file.h"

struct pair {
    struct idx_reader *images;
    struct idx_reader *labels;
    unsigned resize;
    size_t next_row; /* of the images */
};

static void pair_close(struct row_file *file)
{
    struct pair *p = file->state;

    if (p) {
        idx_close(p->images);
        idx_close(p->labels);
        free(p);
    }
    file->state = NULL;
}

static int check_pair(struct row_file *file, const struct pair *p, struct cairn_problem *why)
{
    const struct idx_header *images = idx_header(p->images);
    const struct idx_header *labels = idx_header(p->labels);

    if (images->rows != labels->rows) {
        return problem_set(why, CAIRN_ERR_DATA, "the two files are not of one data set",
                           "%s has %zu images, %s has %zu labels", file->features_path,
                           images->rows, file->labels_path, labels->rows);
    }
    file->rows = images->rows;
    file->form.height = p->resize ? p->resize : images->height;
    file->form.width = p->resize ? p->resize : images->width;
    file->form.features = file->form.height * file->form.width;
    file->form.bytes = true;
    return 0;
}

static int pair_open(struct row_file *file, const struct dataset_source *source,
                     struct cairn_problem *why)
{
    struct pair *p = calloc(1, sizeof *p);
    int err;

    file->state = p;
    if (!p) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory to read %s",
                           file->features_path);
    }
    p->resize = source->resize;
    err = idx_open(file->features_path, IDX_IMAGES, &p->images, why);
    if (!err) {
        err = idx_open(file->labels_path, IDX_LABELS, &p->labels, why);
    }
    return err ? err : check_pair(file, p, why);
}

static int pair_labels(struct row_file *file, double *out, struct cairn_problem *why)
{
    const struct pair *p = file->state;
    uint8_t some[4096];
    size_t n;

    for (size_t row = 0; row < file->rows; row += n) {
        int err;
        n = file->rows - row < sizeof some ? file->rows - row : sizeof some;
        err = idx_read(p->labels, some, n, why);
        if (err) {
            return err;
        }
        for (size_t i = 0; i < n; i++) {
            out[row + i] = some[i];
        }
    }
    return idx_finish(p->labels, why);
}

/* @param image  room for one as it is in the file; NULL: it is not scaled */
static int read_one(struct row_file *file, uint32_t row, uint8_t *image, uint8_t *out,
                    struct cairn_problem *why)
{
    struct pair *p = file->state;
    const struct idx_header *h = idx_header(p->images);
    int err = idx_skip(p->images, row - p->next_row, why);

    if (!err) {
        err = idx_read(p->images, image ? image : out, 1, why);
    }
    if (!err && image) {
        resize_image(image, h->height, h->width, out, p->resize);
    }
    p->next_row = (size_t)row + 1;
    return err;
}

static int pair_read(struct row_file *file, const uint32_t *rows, size_t n, void *out,
                     struct cairn_problem *why)
{
    const struct pair *p = file->state;
    uint8_t *image = NULL;
    int err = 0;

    if (p->resize) {
        image = malloc(idx_header(p->images)->row_size);
        if (!image) {
            return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for an image");
        }
    }
    for (size_t i = 0; !err && i < n; i++) {
        err = read_one(file, rows[i], image, (uint8_t *)out + i * file->form.features, why);
    }
    free(image);
    return err ? err : idx_finish(p->images, why);
}

const struct row_format row_format_idx = {
    .features_name = {[DATASET_TRAIN] = "train-images-idx3-ubyte",
                      [DATASET_TEST] = "t10k-images-idx3-ubyte"},
    .labels_name = {[DATASET_TRAIN] = "train-labels-idx1-ubyte",
                    [DATASET_TEST] = "t10k-labels-idx1-ubyte"},
    .packed = true,
    .help = "data.dir is the folder with the four IDX files, or train.csv and test.csv, or the four "
            ".npy files",
    .open = pair_open,
    .labels = pair_labels,
    .read = pair_read,
    .close = pair_close,
};
