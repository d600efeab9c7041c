/* SPDX-License-Identifier: Apache-2.0 */
#include "initial.h"

#include <stdio.h>
#include <unistd.h>

#include "file.h"
#include "model_file.h"

enum { BLOCK = 1 << 16 };

bool initial_kept(const struct runfolder *run, char path[RUNFOLDER_PATH_SIZE])
{
    runfolder_path(run, "initial.safetensors", path);
    return file_exists(path);
}

void initial_drop(const struct runfolder *run)
{
    char path[RUNFOLDER_PATH_SIZE];
    if (initial_kept(run, path)) {
        unlink(path);
    }
}

int initial_open(struct input *in, const char *path, const struct model_shape *model,
                 struct cairn_problem *why)
{
    struct cairn_problem inner = {0};
    const int err = model_input_open(in, path, model, &inner);
    return err == 0 ? 0
                    : problem_set(why, err == CAIRN_ERR_REFUSED ? CAIRN_ERR_DATA : err, inner.hint,
                                  "%s", inner.what);
}

/* All bytes of a file, block by block. */
static int for_each_block(const struct input *in,
                          int (*use)(void *ctx, const uint8_t *bytes, size_t size,
                                     struct cairn_problem *why),
                          void *ctx, struct cairn_problem *why)
{
    uint8_t block[BLOCK];
    int err = 0;
    for (uint64_t at = 0; err == 0 && at < in->size; at += sizeof block) {
        const size_t n = in->size - at < sizeof block ? (size_t)(in->size - at) : sizeof block;
        err = input_read(in, at, block, n, why);
        if (err == 0) {
            err = use(ctx, block, n, why);
        }
    }
    return err;
}

static int copy_block(void *ctx, const uint8_t *bytes, size_t size, struct cairn_problem *why)
{
    return file_draft_write(ctx, bytes, size, why);
}

int initial_keep(const struct runfolder *run, const struct input *from,
                 struct cairn_problem *why)
{
    char path[RUNFOLDER_PATH_SIZE];
    struct file_draft draft = {0};
    (void)initial_kept(run, path);
    int err = file_draft_open(&draft, path, 0644, why);
    if (err == 0) {
        err = for_each_block(from, copy_block, &draft, why);
    }
    if (err == 0) {
        err = file_draft_finish(&draft, true, why);
    }
    file_draft_drop(&draft);
    return err;
}

static int digest_block(void *ctx, const uint8_t *bytes, size_t size, struct cairn_problem *why)
{
    (void)why;
    digest_update(ctx, bytes, size);
    return 0;
}

int initial_digest(const struct input *in, char hex[DIGEST_HEX_SIZE], struct cairn_problem *why)
{
    uint8_t digest[DIGEST_SIZE];
    struct digest_state state;
    if (in == NULL) {
        return 0;
    }
    digest_init(&state);
    digest_update(&state, hex, DIGEST_HEX_SIZE);
    const int err = for_each_block(in, digest_block, &state, why);
    digest_final(&state, digest);
    if (err == 0) {
        digest_hex(digest, DIGEST_SIZE, hex);
    }
    return err;
}
