/* SPDX-License-Identifier: Apache-2.0 */
/* The model after a round: a safetensors file, and the digest of its values. */
#include "checkpoint.h"

#include <stdio.h>
#include <string.h>

#include "safetensors.h"

int checkpoint_write(const char *path, uint32_t round, const struct model_shape *shape,
                     const float *model, uint8_t digest[DIGEST_SIZE], struct cairn_problem *why)
{
    char number[16];
    (void)snprintf(number, sizeof number, "%u", (unsigned)round);
    json_t *metadata = json_pack("{s:s}", "round", number);
    if (metadata == NULL) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for %s", path);
    }
    digest_of(model, shape->n_params * sizeof *model, digest);
    const int err = safetensors_write_all(path, shape, model, NULL, metadata, why);
    json_decref(metadata);
    return err;
}

int checkpoint_read(const char *path, const struct model_shape *shape,
                    const uint8_t digest[DIGEST_SIZE], float *model, struct cairn_problem *why)
{
    const size_t size = shape->n_params * sizeof *model;
    uint8_t found[DIGEST_SIZE];
    struct cairn_problem inner = {0};
    int err = safetensors_read(path, shape, model, &inner);
    if (err != 0) { /* a model of another shape is no checkpoint of this run */
        err = problem_set(why, err == CAIRN_ERR_REFUSED ? CAIRN_ERR_DATA : err, inner.hint, "%s",
                          inner.what);
    } else {
        digest_of(model, size, found);
        if (memcmp(found, digest, sizeof found) != 0) {
            err = problem_set(why, CAIRN_ERR_INTEGRITY,
                              "move the folder away to begin this run anew",
                              "%s is not the model that the journal names", path);
        }
    }
    if (err != 0) {
        memset(model, 0, size);
    }
    return err;
}
