/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UNIT_FILES_MODEL_FILES_H
#define UNIT_FILES_MODEL_FILES_H

/* A folder of its own for each test, and models in it. Included behind cmocka.h. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "safetensors.h"
#include "tensor_file.h"

static char folder[64];

static int folder_make(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "%s", "/tmp/cairn-files-XXXXXX");
    return mkdtemp(folder) == NULL;
}

static int folder_drop(void **state)
{
    char command[100];
    (void)state;
    (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

/* A path in the folder; good until eight more have been asked for. */
static const char *in_folder(const char *name)
{
    static char paths[8][128];
    static unsigned next;
    char *path = paths[next++ % 8];
    (void)snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

/* Bytes of a file, in memory of its own so that the sanitizers see a step over its end. */
static uint8_t *read_bytes(const char *path, size_t *size)
{
    struct buf all = {0};
    assert_int_equal(file_read(path, (size_t)1 << 28, &all, NULL), 0);
    *size = all.size;
    return all.data;
}

static void write_bytes(const char *path, const void *bytes, size_t size)
{
    assert_int_equal(file_rewrite(path, bytes, size, 0600, NULL), 0);
}

/* A model of one tensor "w". */
static void write_model(const char *path, const float *values, uint64_t n)
{
    struct model_shape shape = {0};
    assert_int_equal(model_shape_add(&shape, "w", &n, 1, NULL), 0);
    assert_int_equal(safetensors_write(path, &shape, values, NULL), 0);
    model_shape_release(&shape);
}

/* All values of a model, n of them. */
static void read_model(const char *path, float *values, size_t n)
{
    struct tensor_file file;
    struct cairn_problem why = {0};
    int rc = tensor_file_open(&file, path, &why);
    if (rc != 0) {
        print_error("%s\n", why.what);
    }
    assert_int_equal(rc, 0);
    assert_int_equal(file.shape.n_params, n);
    assert_int_equal(tensor_file_read(&file, 0, n, values, &why), 0);
    tensor_file_close(&file);
}

#endif
