/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows from a pair of IDX files. Mode byte: bit 0 packs both by gzip, bit 1 makes their headers say how long they
 * are, bit 2 scales the images. Two bytes with the length of the images' file, which comes first, then
 * the labels'. What is accepted holds, row by row, the bytes that are in the files.
 */
#include <string.h>

#include "fuzz.h"
#include "idx.h"
#include "le.h"
#include "memory_file.h"
#include "row_file.h"

enum { PACK = 1, REPAIR = 2, RESIZE = 4, MODE_AND_LENGTH = 3, SIDE = 3 };
enum { IMAGES_HEADER = 16, LABELS_HEADER = 8 };

static void put_big_endian(uint8_t *to, size_t value)
{
    for (unsigned i = 0; i < 4; i++) {
        to[i] = (uint8_t)(value >> (24 - 8 * i));
    }
}

/* Images of 2 x 3 bytes, as many as there are labels, or fewer. */
static void repair(uint8_t *images, size_t *n_images, uint8_t *labels, size_t *n_labels)
{
    if (*n_images < IMAGES_HEADER || *n_labels < LABELS_HEADER) {
        return;
    }
    const size_t most = (*n_images - IMAGES_HEADER) / 6, there = *n_labels - LABELS_HEADER;
    const size_t rows = there < most ? there : most;
    put_big_endian(images, IDX_IMAGES);
    put_big_endian(images + 4, rows);
    put_big_endian(images + 8, 2);
    put_big_endian(images + 12, 3);
    put_big_endian(labels, IDX_LABELS);
    put_big_endian(labels + 4, rows);
    *n_images = IMAGES_HEADER + 6 * rows;
    *n_labels = LABELS_HEADER + rows;
}

static void require_typed(int error, const struct cairn_problem *why)
{
    FUZZ_REQUIRE(error == CAIRN_ERR_DATA && why->code == error);
    FUZZ_REQUIRE(strstr(why->what, "/proc/self/fd/") != NULL && why->hint[0] != 0);
}

/* The pair, as it was before it was packed. */
struct pair {
    const uint8_t *images, *labels;
    size_t n_images, n_labels;
    unsigned mode;
};

static bool is_gzip(const uint8_t *bytes, size_t size)
{
    return size >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
}

/* Is what is read what is in the pair? Not where that is gzip itself. */
static bool is_plain(const struct pair *p)
{
    return !is_gzip(p->images, p->n_images) && !is_gzip(p->labels, p->n_labels);
}

/* @param labels (rows). @param some  every second row's features */
static void require_pair(const struct pair *p, const struct row_file *file, const double *labels,
                         const uint8_t *some)
{
    const size_t features = file->form.features;
    FUZZ_REQUIRE(p->n_labels == LABELS_HEADER + file->rows);
    for (size_t i = 0; i < file->rows; i++) {
        FUZZ_REQUIRE(labels[i] == p->labels[LABELS_HEADER + i]);
    }
    if (p->mode & RESIZE) {
        return;
    }
    FUZZ_REQUIRE(p->n_images == IMAGES_HEADER + file->rows * features);
    for (size_t i = 0; 2 * i < file->rows; i++) {
        FUZZ_REQUIRE(memcmp(some + i * features, p->images + IMAGES_HEADER + 2 * i * features, features) == 0);
    }
}

static void check_rows(const struct pair *p, struct row_file *file)
{
    struct cairn_problem why = {0};
    const size_t n = (file->rows + 1) / 2;
    double *labels = malloc(file->rows * sizeof *labels);
    uint32_t *rows = malloc(n * sizeof *rows);
    uint8_t *some = malloc(n * file->form.features);
    FUZZ_REQUIRE(labels && rows && some);
    for (size_t i = 0; i < n; i++) {
        rows[i] = (uint32_t)(2 * i);
    }
    int error = file->format->labels(file, labels, &why);
    error = error ? error : file->format->read(file, rows, n, some, &why);
    if (error) {
        /* a raw file's size was compared with its header when it was opened */
        FUZZ_REQUIRE((p->mode & PACK) || !is_plain(p));
        require_typed(error, &why);
    } else if (is_plain(p)) {
        require_pair(p, file, labels, some);
    }
    free(labels);
    free(rows);
    free(some);
}

static void check_pair(const struct pair *p)
{
    const struct dataset_source source = {.dir = "", .resize = p->mode & RESIZE ? SIDE : 0};
    struct row_file file = {.format = &row_format_idx};
    struct cairn_problem why = {0};
    const char *(*put)(unsigned, const uint8_t *, size_t) = p->mode & PACK ? memory_file_packed : memory_file;
    (void)snprintf(file.features_path, sizeof file.features_path, "%s", put(0, p->images, p->n_images));
    (void)snprintf(file.labels_path, sizeof file.labels_path, "%s", put(1, p->labels, p->n_labels));
    const int error = file.format->open(&file, &source, &why);
    if (error) {
        require_typed(error, &why);
    } else {
        FUZZ_REQUIRE(file.rows > 0 && file.form.bytes && file.form.features > 0);
        FUZZ_REQUIRE(file.form.features == file.form.height * file.form.width);
        FUZZ_REQUIRE(!source.resize || file.form.features == SIDE * SIDE);
        check_rows(p, &file);
    }
    file.format->close(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < MODE_AND_LENGTH) {
        return 0;
    }
    const size_t all = size - MODE_AND_LENGTH, wanted = le_get16(data + 1);
    size_t n_images = wanted < all ? wanted : all, n_labels = all - n_images;
    uint8_t *images = malloc(n_images + 1), *labels = malloc(n_labels + 1); /* never of size 0 */
    FUZZ_REQUIRE(images && labels);
    memcpy(images, data + MODE_AND_LENGTH, n_images);
    memcpy(labels, data + MODE_AND_LENGTH + n_images, n_labels);
    if (data[0] & REPAIR) {
        repair(images, &n_images, labels, &n_labels);
    }
    check_pair(&(struct pair){images, labels, n_images, n_labels, data[0]});
    free(images);
    free(labels);
    return 0;
}

size_t fuzz_seed_input(unsigned which, uint8_t *out, size_t capacity)
{
    enum { ROWS = 5, N_IMAGES = IMAGES_HEADER + 6 * ROWS, N_LABELS = LABELS_HEADER + ROWS, MODES = 8 };
    uint8_t *images = out + MODE_AND_LENGTH, *labels = images + N_IMAGES;
    size_t n_images = N_IMAGES, n_labels = N_LABELS;
    if (which >= MODES) {
        return 0;
    }
    FUZZ_REQUIRE(MODE_AND_LENGTH + N_IMAGES + N_LABELS <= capacity);
    for (unsigned i = 0; i < N_IMAGES + N_LABELS; i++) {
        images[i] = (uint8_t)(37 * i);
    }
    repair(images, &n_images, labels, &n_labels);
    out[0] = (uint8_t)which;
    le_put16(out + 1, N_IMAGES);
    return MODE_AND_LENGTH + N_IMAGES + N_LABELS;
}
