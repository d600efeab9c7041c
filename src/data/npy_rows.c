/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Features and labels in two .npy arrays. Features are (rows, features), or (rows, height, width)
 * where the rows are images; of uint8 they are pixels, as in IDX files. Labels are (rows).
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "npy.h"
#include "row_file.h"
#include "sizes.h"

struct arrays {
    struct input features, labels;
    struct npy features_npy, labels_npy;
};

enum { BLOCK = 4096 }; /* elements that are turned into numbers at once */

static void arrays_close(struct row_file *file)
{
    struct arrays *a = file->state;

    if (a) {
        input_close(&a->features);
        input_close(&a->labels);
        free(a);
    }
    file->state = NULL;
}

static int open_array(const char *path, struct input *in, struct npy *npy,
                      struct cairn_problem *why)
{
    const int err = input_open(in, path, why);

    return err ? err : npy_read_header(in, npy_parse_numbers, npy, why);
}

static int check_arrays(struct row_file *file, const struct arrays *a, struct cairn_problem *why)
{
    const struct npy *x = &a->features_npy, *y = &a->labels_npy;
    const bool images = x->n_dims == 3;
    size_t features = images ? 0 : (size_t)x->dims[1];

    if (x->n_dims != 2 && x->n_dims != 3) {
        return problem_set(why, CAIRN_ERR_DATA, "give it the shape (rows, features), or (rows, "
                           "height, width) for images",
                           "%s has %u dimensions; two or three are needed", file->features_path,
                           x->n_dims);
    }
    if (y->n_dims != 1) {
        return problem_set(why, CAIRN_ERR_DATA, "save it with numpy.save(path, labels.reshape(-1))",
                           "%s has %u dimensions; labels have one", file->labels_path, y->n_dims);
    }
    if (x->dims[0] != y->dims[0]) {
        return problem_set(why, CAIRN_ERR_DATA, "the two files are not of one data set",
                           "%s has %" PRIu64 " rows, %s has %" PRIu64 " labels",
                           file->features_path, x->dims[0], file->labels_path, y->dims[0]);
    }
    if ((images && !size_mul((size_t)x->dims[1], (size_t)x->dims[2], &features)) || features == 0 ||
        x->dims[0] == 0) {
        return problem_set(why, CAIRN_ERR_DATA, "check its shape", "%s holds nothing",
                           file->features_path);
    }
    file->rows = (size_t)x->dims[0];
    file->form.features = features;
    file->form.height = images ? (size_t)x->dims[1] : 0;
    file->form.width = images ? (size_t)x->dims[2] : 0;
    file->form.bytes = x->type == NPY_UINT8;
    return 0;
}

static int arrays_open(struct row_file *file, const struct dataset_source *source,
                       struct cairn_problem *why)
{
    struct arrays *a = calloc(1, sizeof *a);
    int err;

    (void)source;
    file->state = a;
    if (!a) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory to read %s",
                           file->features_path);
    }
    a->features.fd = -1;
    a->labels.fd = -1;
    err = open_array(file->features_path, &a->features, &a->features_npy, why);
    if (!err) {
        err = open_array(file->labels_path, &a->labels, &a->labels_npy, why);
    }
    return err ? err : check_arrays(file, a, why);
}

static int no_number(const struct input *in, const struct npy *npy, uint64_t element, double found,
                     struct cairn_problem *why)
{
    static const char hint[] = "replace it, or leave its row out";
    uint64_t width = 1;

    for (unsigned d = 1; d < npy->n_dims; d++) {
        width *= npy->dims[d];
    }
    return npy->n_dims == 1
               ? problem_set(why, CAIRN_ERR_DATA, hint,
                             "%s: the label of row %" PRIu64 " is %g, no finite float32", in->path,
                             element, found)
               : problem_set(why, CAIRN_ERR_DATA, hint,
                             "%s: feature %" PRIu64 " of row %" PRIu64 " is %g, no finite float32",
                             in->path, element % width, element / width, found);
}

/* n elements from number `first` on as doubles, a block at a time, each finite. */
static int read_block(const struct input *in, const struct npy *npy, uint64_t first, size_t n,
                      double out[BLOCK], struct cairn_problem *why)
{
    const size_t size = npy_element_size(npy->type);
    uint8_t bytes[BLOCK * sizeof(double)];
    int err = input_read(in, npy->data_at + first * size, bytes, n * size, why);

    for (size_t i = 0; !err && i < n; i++) {
        out[i] = npy_element(npy->type, bytes + i * size);
        if (!isfinite((float)out[i])) {
            err = no_number(in, npy, first + i, out[i], why);
        }
    }
    return err;
}

static int arrays_labels(struct row_file *file, double *out, struct cairn_problem *why)
{
    const struct arrays *a = file->state;
    double block[BLOCK];
    size_t n;
    int err = 0;

    for (size_t row = 0; !err && row < file->rows; row += n) {
        n = file->rows - row < BLOCK ? file->rows - row : BLOCK;
        err = read_block(&a->labels, &a->labels_npy, row, n, block, why);
        for (size_t i = 0; !err && i < n; i++) {
            out[row + i] = block[i];
        }
    }
    return err;
}

static int read_floats(const struct row_file *file, uint32_t row, float *out,
                       struct cairn_problem *why)
{
    const struct arrays *a = file->state;
    double block[BLOCK];
    size_t n;
    int err = 0;

    for (size_t done = 0; !err && done < file->form.features; done += n) {
        n = file->form.features - done < BLOCK ? file->form.features - done : BLOCK;
        err = read_block(&a->features, &a->features_npy, (uint64_t)row * file->form.features + done, n,
                         block, why);
        for (size_t i = 0; !err && i < n; i++) {
            out[done + i] = (float)block[i];
        }
    }
    return err;
}

static int arrays_read(struct row_file *file, const uint32_t *rows, size_t n, void *out,
                       struct cairn_problem *why)
{
    const struct arrays *a = file->state;
    int err = 0;

    for (size_t i = 0; !err && i < n; i++) {
        err = file->form.bytes
                  ? input_read(&a->features,
                               a->features_npy.data_at + (uint64_t)rows[i] * file->form.features,
                               (uint8_t *)out + i * file->form.features, file->form.features, why)
                  : read_floats(file, rows[i], (float *)out + i * file->form.features, why);
    }
    return err;
}

const struct row_format row_format_npy = {
    .features_name = {[DATASET_TRAIN] = "train-features.npy",
                      [DATASET_TEST] = "test-features.npy"},
    .labels_name = {[DATASET_TRAIN] = "train-labels.npy", [DATASET_TEST] = "test-labels.npy"},
    .help = "data.dir is the folder with {train,test}-{features,labels}.npy",
    .open = arrays_open,
    .labels = arrays_labels,
    .read = arrays_read,
    .close = arrays_close,
};
