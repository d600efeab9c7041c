/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UNIT_SEAL_VECTORS_H
#define UNIT_SEAL_VECTORS_H

/**
 * The files that SEAL 4.4.3 wrote, from the folder that CAIRN_SEAL_VECTORS names; and what the
 * tests of this part have in common. Include after cmocka.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "seal.h"

/** Skip the running test when the files are not at hand. */
static inline const char *vectors_folder(void)
{
    const char *folder = getenv("CAIRN_SEAL_VECTORS");
    if (folder == NULL || folder[0] == 0) {
        print_message("CAIRN_SEAL_VECTORS names no folder with SEAL's files: skipped\n");
        skip();
    }
    return folder;
}

/** The whole file. Release it with buf_release. */
static inline struct buf vector(const char *name)
{
    char path[512];
    struct buf b = {0};
    struct cairn_problem why = {0};
    (void)snprintf(path, sizeof path, "%s/%s", vectors_folder(), name);
    if (file_read(path, 1 << 20, &b, &why) != 0) {
        fail_msg("%s", why.what);
    }
    return b;
}

/** Print what a call said before failing, so that a broken test tells why. */
#define ASSERT_OK(call, why)                                                                       \
    do {                                                                                           \
        int assert_ok_code = (call);                                                               \
        if (assert_ok_code != 0) {                                                                 \
            fail_msg("%s: %d %s", #call, assert_ok_code, (why).what);                              \
        }                                                                                          \
    } while (0)

static inline struct seal_params vector_params(const char *name)
{
    struct buf b = vector(name);
    struct seal_params p;
    struct cairn_problem why = {0};
    ASSERT_OK(seal_params_read(buf_span(&b), NULL, &p, &why), why);
    buf_release(&b);
    return p;
}

static inline struct seal_context *vector_context(const char *parms)
{
    struct seal_params p = vector_params(parms);
    struct seal_context *context = NULL;
    struct cairn_problem why = {0};
    ASSERT_OK(seal_context_new(&p, SEAL_INSECURE, &context, &why), why);
    return context;
}

/** Headers of SEAL 4.4, nested ones too, made 4.1: bytes 5E A1 10 04 04 cannot be data by chance
 * (2^-40 a byte). */
static inline void to_version_4_1(struct buf *b)
{
    static const uint8_t head[5] = {0x5e, 0xa1, 0x10, 4, 4};
    for (size_t i = 0; i + sizeof head <= b->size; i++) {
        if (memcmp(b->data + i, head, sizeof head) == 0) {
            b->data[i + 4] = 1;
        }
    }
}

/** Same bytes, but for the version: consumes `file`, clears `ours`. */
static inline void assert_same_object(struct buf *file, struct buf *ours)
{
    to_version_4_1(file);
    assert_int_equal(ours->size, file->size);
    assert_memory_equal(ours->data, file->data, file->size);
    buf_release(file);
    buf_clear(ours);
}

#endif
