/* SPDX-License-Identifier: Apache-2.0 */
/* safetensors files whose values are read straight to where they belong. */
#include "checkpoint.h"

#include <stdio.h>
#include <string.h>

#include "input.h"
#include "safetensors.h"
#include "tensor_file.h"

int checkpoint_write(const char *path, uint32_t round, const struct model_shape *shape,
                     const float *model, uint8_t digest[DIGEST_SIZE], struct cairn_problem *why)
{
    char number[16];
    (void)snprintf(number, sizeof number, "%u", (unsigned)round);
    const char *const pairs[] = {"round", number};
    digest_of(model, shape->n_params * sizeof *model, digest);
    return safetensors_write(path, shape, model, pairs, 1, why);
}

/* *data_at = where the values begin in a file that holds a model of just this shape */
static int check_header(const struct input *in, const struct model_shape *shape,
                        uint64_t *data_at, struct cairn_problem *why)
{
    uint8_t first[8] = {0};
    struct buf start = {0};
    struct model_shape found = {0};
    struct cairn_problem inner;
    int err = input_read(in, 0, first, in->size < sizeof first ? (size_t)in->size : sizeof first,
                         why);
    if (err == 0) {
        err = safetensors_data_at(first, in->size, in->path, data_at, why);
    }
    if (err == 0) {
        err = input_append(in, 0, (size_t)*data_at, &start, why);
    }
    if (err == 0) {
        err = safetensors_parse_shape(buf_span(&start), in->size, in->path, &found, why);
    }
    if (err == 0 && tensor_same_shape(&found, in->path, shape, "this run's model", &inner) != 0) {
        err = problem_set(why, CAIRN_ERR_DATA, inner.hint, "%s", inner.what);
    }
    buf_release(&start);
    model_shape_release(&found);
    return err;
}

int checkpoint_read(const char *path, const struct model_shape *shape,
                    const uint8_t digest[DIGEST_SIZE], float *model, struct cairn_problem *why)
{
    const size_t size = shape->n_params * sizeof *model;
    struct input in;
    uint64_t data_at = 0;
    uint8_t found[DIGEST_SIZE];
    int err = input_open(&in, path, why);
    if (err == 0) {
        err = check_header(&in, shape, &data_at, why);
    }
    if (err == 0) {
        err = input_read(&in, data_at, model, size, why);
    }
    input_close(&in);
    if (err == 0) {
        digest_of(model, size, found);
        if (memcmp(found, digest, sizeof found) != 0) {
            err = problem_set(why, CAIRN_ERR_INTEGRITY,
                              "move the folder away to begin this run anew", "%s is not the model that the journal names", path);
        }
    }
    if (err != 0) {
        memset(model, 0, size);
    }
    return err;
}
