/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The readers of .npy headers and of secret keys. Mode byte: 0 a .npy header, 1 the same with its
 * magic and length repaired, 2 a secret key, 3 the same with its digest repaired.
 */
#include <string.h>

#include "digest.h"
#include "fuzz.h"
#include "he.h"
#include "le.h"
#include "npy.h"

enum { NPY, NPY_REPAIRED, KEY, KEY_REPAIRED, MODES, NPY_PREFIX = 10 };

static void check_npy(uint8_t *bytes, size_t size, int repair)
{
    struct npy npy;
    struct npy before;
    struct cairn_problem why = {0};
    if (repair && size >= NPY_PREFIX) {
        memcpy(bytes, "\x93NUMPY\x01\x00", 8);
        le_put16(bytes + 8, (uint16_t)(size - NPY_PREFIX));
    }
    memset(&npy, 0x5a, sizeof npy);
    before = npy;
    /* the file is as long as the first four shapes of the seeds ask for, and its header */
    int error = npy_parse((struct span){bytes, size}, size + 24, "x", &npy, &why);
    if (error) {
        FUZZ_REQUIRE(error == CAIRN_ERR_DATA && why.code == error);
        FUZZ_REQUIRE(memcmp(&npy, &before, sizeof npy) == 0);
        return;
    }
    FUZZ_REQUIRE(npy.n_dims <= NPY_MAX_DIMS && npy.data_at <= size);
    uint64_t elements = 1;
    for (unsigned d = 0; d < npy.n_dims; d++) {
        elements *= npy.dims[d];
    }
    FUZZ_REQUIRE(npy.data_at + 4 * elements == size + 24);
    struct buf again = {0};
    struct npy read;
    FUZZ_REQUIRE(npy_header(npy.dims, npy.n_dims, &again) == 0);
    FUZZ_REQUIRE(npy_parse(buf_span(&again), again.size + 4 * elements, "x", &read, NULL) == 0);
    FUZZ_REQUIRE(read.n_dims == npy.n_dims &&
                 memcmp(read.dims, npy.dims, npy.n_dims * sizeof npy.dims[0]) == 0);
    buf_release(&again);
}

static void key_digest(const uint8_t *bytes, size_t size, uint8_t *out)
{
    static const char label[32] = "cairn secret key v1";
    struct digest_state state;
    digest_init(&state);
    digest_update(&state, label, sizeof label);
    digest_update(&state, bytes, size);
    digest_final(&state, out);
}

static void check_key(uint8_t *bytes, size_t size, int repair)
{
    struct he_secret_key *key = NULL;
    uint8_t id[HE_KEY_ID_SIZE];
    struct cairn_problem why = {0};
    if (repair && size >= DIGEST_SIZE) {
        key_digest(bytes, size - DIGEST_SIZE, bytes + size - DIGEST_SIZE);
    }
    int error = he_secret_key_read((struct span){bytes, size}, &key, id, &why);
    if (error) {
        FUZZ_REQUIRE(error == CAIRN_ERR_MALFORMED || error == CAIRN_ERR_INTEGRITY);
        FUZZ_REQUIRE(why.code == error && key == NULL);
        return;
    }
    /* what was accepted comes out as it went in */
    uint8_t *again = malloc(size);
    FUZZ_REQUIRE(again && he_secret_key_size(key) == size);
    FUZZ_REQUIRE(he_secret_key_write(key, id, again) == 0);
    FUZZ_REQUIRE(memcmp(again, bytes, size) == 0);
    he_secret_key_free(key);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    const unsigned mode = data[0] % MODES;
    size--;
    uint8_t *bytes = malloc(size > 0 ? size : 1);
    FUZZ_REQUIRE(bytes);
    memcpy(bytes, data + 1, size);
    if (mode == NPY || mode == NPY_REPAIRED) {
        check_npy(bytes, size, mode == NPY_REPAIRED);
    } else {
        check_key(bytes, size, mode == KEY_REPAIRED);
    }
    free(bytes);
    return 0;
}

static size_t key_input(uint8_t *out, size_t capacity, uint8_t mode)
{
    struct he_params params;
    struct secret_rng *rng = NULL;
    struct he_secret_key *secret = NULL;
    struct he_public_key *key = NULL;
    uint8_t id[HE_KEY_ID_SIZE];
    FUZZ_REQUIRE(he_params_choose(HE_BFV, 8, 3, &params, NULL) == 0);
    FUZZ_REQUIRE(secret_rng_new(&rng) == 0);
    FUZZ_REQUIRE(he_keygen(&params, rng, &secret, &key) == 0 && he_public_key_id(key, id) == 0);
    const size_t size = he_secret_key_size(secret);
    FUZZ_REQUIRE(size + 1 <= capacity);
    out[0] = mode;
    FUZZ_REQUIRE(he_secret_key_write(secret, id, out + 1) == 0);
    he_secret_key_free(secret);
    he_public_key_free(key);
    secret_rng_free(rng);
    return size + 1;
}

size_t fuzz_seed_input(unsigned which, uint8_t *out, size_t capacity)
{
    static const struct {
        uint64_t dims[3];
        unsigned n_dims;
    } shapes[] = {{{6}, 1}, {{2, 3}, 2}, {{1, 6, 1}, 3}, {{6, 1}, 2}, {{0}, 0}};
    enum { SHAPES = sizeof shapes / sizeof shapes[0] };
    if (which >= 2 * SHAPES) {
        return which < 2 * SHAPES + 2
                   ? key_input(out, capacity, which == 2 * SHAPES ? KEY : KEY_REPAIRED)
                   : 0;
    }
    struct buf header = {0};
    const uint8_t mode = which < SHAPES ? NPY : NPY_REPAIRED;
    FUZZ_REQUIRE(buf_append(&header, &mode, 1) == 0);
    FUZZ_REQUIRE(npy_header(shapes[which % SHAPES].dims, shapes[which % SHAPES].n_dims,
                            &header) == 0);
    const size_t size = header.size;
    FUZZ_REQUIRE(size <= capacity);
    memcpy(out, header.data, size);
    buf_release(&header);
    return size;
}
