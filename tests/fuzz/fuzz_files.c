/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The readers of public files and update files, headers and frames. They read from a path, so each
 * input becomes a file in memory. Mode byte: bit 0 an update file, else a public file; bit 1
 * repairs the lengths and the digest of the header, so that its JSON is reached.
 */
#include <string.h>

#include <cairn/files.h>

#include "digest.h"
#include "fuzz.h"
#include "le.h"
#include "memory_file.h"
#include "update_file.h"

enum { UPDATE = 1, REPAIR = 2, FIXED = 24 };

static void repair(uint8_t *bytes, size_t size)
{
    static const char label[32] = "cairn file v1";
    struct digest_state state;
    if (size < CONTAINER_OVERHEAD + 2) {
        return;
    }
    size_t header = le_get32(bytes + 8);
    if (header < CONTAINER_OVERHEAD + 2 || header > size) {
        header = size;
    }
    le_put32(bytes + 8, (uint32_t)header);
    le_put64(bytes + 16, size);
    digest_init(&state);
    digest_update(&state, label, sizeof label);
    digest_update(&state, bytes, header - DIGEST_SIZE);
    digest_final(&state, bytes + header - DIGEST_SIZE);
}

static void require_typed(int error, const struct cairn_problem *why)
{
    FUZZ_REQUIRE(error == CAIRN_ERR_DATA || error == CAIRN_ERR_INTEGRITY);
    FUZZ_REQUIRE(why->code == error && why->what[0] != 0);
}

static void check_update(const char *path)
{
    struct update_file file;
    struct cairn_problem why = {0};
    struct buf work = {0};
    struct wire_frame frame;
    int error = update_file_open(&file, path, &why);
    if (error) {
        require_typed(error, &why);
        FUZZ_REQUIRE(file.in.fd < 0);
        return;
    }
    const struct update_header *h = &file.header;
    FUZZ_REQUIRE(h->shape.n_params > 0 && h->contributors > 0 && h->round > 0);
    FUZZ_REQUIRE(h->contributors <= h->params.max_contributors);
    FUZZ_REQUIRE(update_body_size(h) + file.body_at == file.in.size);
    FUZZ_REQUIRE(update_header_match(h, "a", h, "b", &why) == 0);
    for (uint32_t i = 0; i < h->plan.n_frames; i++) {
        error = update_file_frame(&file, i, &work, &frame, &why);
        if (error) {
            require_typed(error, &why);
        } else {
            FUZZ_REQUIRE(frame.payload.size ==
                         he_payload_bytes(&h->params, fed_plan_count(&h->plan, i)));
            FUZZ_REQUIRE(he_check_fields(&h->params, fed_plan_count(&h->plan, i),
                                         frame.payload.data, NULL) == 0);
        }
    }
    buf_release(&work);
    update_file_close(&file);
}

static void check_public(const char *path)
{
    struct session session = {0};
    struct cairn_problem why = {0};
    int error = session_read(path, &session, &why);
    if (error) {
        require_typed(error, &why);
        FUZZ_REQUIRE(session.key == NULL);
        return;
    }
    FUZZ_REQUIRE((session.key == NULL) == (session.params.profile == HE_NONE));
    FUZZ_REQUIRE(session_range_is_good(session.range) && session.largest_samples >= 1);
    session_release(&session);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    const unsigned mode = data[0];
    size--;
    uint8_t *bytes = malloc(size > 0 ? size : 1);
    FUZZ_REQUIRE(bytes);
    memcpy(bytes, data + 1, size);
    if (mode & REPAIR) {
        repair(bytes, size);
    }
    const char *path = memory_file(0, bytes, size);
    free(bytes);
    if (mode & UPDATE) {
        check_update(path);
    } else {
        check_public(path);
    }
    return 0;
}

/* ---- seeds: what cairn itself writes ---- */

static size_t take(const char *path, uint8_t mode, uint8_t *out, size_t capacity)
{
    struct buf bytes = {0};
    FUZZ_REQUIRE(file_read(path, capacity - 1, &bytes, NULL) == 0);
    out[0] = mode;
    memcpy(out + 1, bytes.data, bytes.size);
    const size_t size = bytes.size + 1;
    buf_release(&bytes);
    return size;
}

static void write_array(const char *path)
{
    static const char header[] = "\x93NUMPY\x01\x00\x3e\x00{'descr': '<f4', "
                                 "'fortran_order': False, 'shape': (3,), }    \n";
    uint8_t bytes[sizeof header - 1 + 12] = {0};
    memcpy(bytes, header, sizeof header - 1);
    le_put16(bytes + 8, sizeof header - 1 - 10);
    FUZZ_REQUIRE(file_rewrite(path, bytes, sizeof bytes, 0600, NULL) == 0);
}

size_t fuzz_seed_input(unsigned which, uint8_t *out, size_t capacity)
{
    static const char *const profiles[] = {"none", "capsule"};
    if (which >= 8) {
        return 0;
    }
    char folder[] = "/tmp/cairn-fuzz-XXXXXX";
    char paths[4][64];
    static const char *const names[] = {"public", "secret", "model", "update"};
    struct cairn_keygen_options keygen;
    struct cairn_encrypt_options encrypt;
    FUZZ_REQUIRE(mkdtemp(folder));
    for (int i = 0; i < 4; i++) {
        (void)snprintf(paths[i], sizeof paths[i], "%s/%s", folder, names[i]);
    }
    cairn_keygen_options_init(&keygen);
    keygen.contributors = 3;
    keygen.profile = profiles[which / 2 % 2];
    FUZZ_REQUIRE(cairn_files_keygen(&keygen, paths[0], paths[1], NULL, NULL) == 0);
    write_array(paths[2]);
    cairn_encrypt_options_init(&encrypt);
    encrypt.public_path = paths[0];
    encrypt.in = paths[2];
    encrypt.out = paths[3];
    encrypt.index = 1;
    FUZZ_REQUIRE(cairn_files_encrypt(&encrypt, NULL, NULL) == 0);
    const unsigned mode = which % 2 | (which < 4 ? 0 : REPAIR);
    const size_t size = take(paths[mode & UPDATE ? 3 : 0], (uint8_t)mode, out, capacity);
    for (int i = 0; i < 4; i++) {
        (void)unlink(paths[i]);
    }
    (void)rmdir(folder);
    return size;
}
