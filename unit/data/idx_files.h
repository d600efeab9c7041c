/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UNIT_IDX_FILES_H
#define UNIT_IDX_FILES_H

/* Small data sets for tests, written to a folder of their own. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <zlib.h>

/* A fresh folder; remove_folder deletes it with its files. */
static inline void make_folder(char path[64])
{
    (void)snprintf(path, 64, "/tmp/cairn-test-XXXXXX");
    assert_non_null(mkdtemp(path));
}

static inline void remove_folder(const char *path)
{
    char file[512];
    DIR *folder = opendir(path);

    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (entry->d_name[0] != '.') {
            (void)snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
            (void)unlink(file);
        }
    }
    closedir(folder);
    (void)rmdir(path);
}

static inline void write_raw(const char *dir, const char *name, const void *bytes, size_t size)
{
    char path[512];
    FILE *file;

    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static inline void write_gzip(const char *dir, const char *name, const void *bytes, size_t size)
{
    char path[512];
    gzFile file;

    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    file = gzopen(path, "wb9");
    assert_non_null(file);
    assert_int_equal(gzwrite(file, bytes, (unsigned)size), (int)size);
    assert_int_equal(gzclose(file), Z_OK);
}

static inline void put_big_endian(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

/* Pixel p of image i in the files made here. */
static inline uint8_t pixel_of(size_t i, size_t p)
{
    return (uint8_t)(i * 37 + p * 11 + 5);
}

/* Bytes of an images file; the caller frees them. */
static inline uint8_t *images_bytes(uint32_t rows, uint32_t height, uint32_t width, size_t *size)
{
    const size_t features = (size_t)height * width;
    uint8_t *bytes;

    *size = 16 + rows * features;
    bytes = malloc(*size);
    assert_non_null(bytes);
    put_big_endian(bytes, 2051);
    put_big_endian(bytes + 4, rows);
    put_big_endian(bytes + 8, height);
    put_big_endian(bytes + 12, width);
    for (size_t i = 0; i < rows; i++) {
        for (size_t p = 0; p < features; p++) {
            bytes[16 + i * features + p] = pixel_of(i, p);
        }
    }
    return bytes;
}

/* Bytes of a labels file: 0, 1, ..., 9, 0, 1, ... */
static inline uint8_t *labels_bytes(uint32_t rows, size_t *size)
{
    uint8_t *bytes;

    *size = 8 + (size_t)rows;
    bytes = malloc(*size);
    assert_non_null(bytes);
    put_big_endian(bytes, 2049);
    put_big_endian(bytes + 4, rows);
    for (size_t i = 0; i < rows; i++) {
        bytes[8 + i] = (uint8_t)(i % 10);
    }
    return bytes;
}

static inline void write_images(const char *dir, const char *name, uint32_t rows, uint32_t height,
                                uint32_t width)
{
    size_t size;
    uint8_t *bytes = images_bytes(rows, height, width, &size);

    write_raw(dir, name, bytes, size);
    free(bytes);
}

static inline void write_labels(const char *dir, const char *name, uint32_t rows)
{
    size_t size;
    uint8_t *bytes = labels_bytes(rows, &size);

    write_raw(dir, name, bytes, size);
    free(bytes);
}

/* All four files. */
static inline void write_data_set(const char *dir, uint32_t train_rows, uint32_t test_rows,
                                  uint32_t height, uint32_t width)
{
    write_images(dir, "train-images-idx3-ubyte", train_rows, height, width);
    write_labels(dir, "train-labels-idx1-ubyte", train_rows);
    write_images(dir, "t10k-images-idx3-ubyte", test_rows, height, width);
    write_labels(dir, "t10k-labels-idx1-ubyte", test_rows);
}

#endif
