/* SPDX-License-Identifier: Apache-2.0 */
/* TenSEAL's messages. Mode byte: bit 0 a context, else a vector. */
#include <math.h>
#include <string.h>

#include "fuzz.h"
#include "tenseal.h"

enum { CONTEXT = 1 };

static int inside(struct span part, struct span whole)
{
    return part.size == 0 || (part.data >= whole.data && part.size <= whole.size &&
                              (size_t)(part.data - whole.data) <= whole.size - part.size);
}

static int same(struct span a, struct span b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static void run_vector(struct span bytes)
{
    struct tenseal_vector v = {0}, again = {0};
    struct cairn_problem why = {0};
    struct buf b = {0};
    int rc = tenseal_vector_read(bytes, &v, &why);
    if (rc != 0) {
        FUZZ_REQUIRE(rc == CAIRN_ERR_MALFORMED && why.code == rc && v.sizes == NULL);
        return;
    }
    FUZZ_REQUIRE(v.chunks >= 1 && v.chunks <= TENSEAL_MAX_CHUNKS && isnormal(v.scale));
    size_t empty = 0;
    for (size_t i = 0; i < v.chunks; i++) {
        FUZZ_REQUIRE(v.sizes[i] >= 1 && inside(v.ciphertexts[i], bytes));
        empty += v.ciphertexts[i].size == 0;
    }
    FUZZ_REQUIRE(tenseal_vector_write(&v, &b) == 0);
    rc = tenseal_vector_read(buf_span(&b), &again, NULL);
    /* an empty ciphertext, which no SEAL reads, is not written */
    FUZZ_REQUIRE((rc == 0) == (empty == 0));
    for (size_t i = 0; rc == 0 && i < v.chunks; i++) {
        FUZZ_REQUIRE(again.sizes[i] == v.sizes[i] && same(again.ciphertexts[i], v.ciphertexts[i]));
    }
    tenseal_vector_release(&again);
    tenseal_vector_release(&v);
    buf_release(&b);
}

static void run_context(struct span bytes)
{
    struct tenseal_context c, again;
    struct cairn_problem why = {0};
    struct buf b = {0};
    int rc = tenseal_context_read(bytes, &c, &why);
    if (rc != 0) {
        FUZZ_REQUIRE(rc == CAIRN_ERR_MALFORMED && why.code == rc);
        return;
    }
    FUZZ_REQUIRE(inside(c.params, bytes) && inside(c.public_key, bytes) &&
                 inside(c.secret_key, bytes));
    FUZZ_REQUIRE(tenseal_context_write(&c, &b) == 0);
    FUZZ_REQUIRE(tenseal_context_read(buf_span(&b), &again, NULL) == 0);
    FUZZ_REQUIRE(same(c.params, again.params) && same(c.public_key, again.public_key) &&
                 same(c.secret_key, again.secret_key) && c.symmetric == again.symmetric);
    buf_release(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    uint8_t *exact = malloc(size);
    FUZZ_REQUIRE(exact);
    memcpy(exact, data + 1, size - 1);
    struct span bytes = {exact, size - 1};
    if (data[0] & CONTEXT) {
        run_context(bytes);
    } else {
        run_vector(bytes);
    }
    free(exact);
    return 0;
}

size_t fuzz_seed_input(unsigned which, uint8_t *out, size_t capacity)
{
    if (which >= 3) {
        return 0;
    }
    const struct span part = {(const uint8_t *)"abcdefgh", 8};
    struct span ciphertexts[2] = {part, {part.data, 3}};
    uint32_t sizes[2] = {4096, 10};
    const struct tenseal_vector v = {which == 0 ? 1 : 2, sizes, ciphertexts, 1024};
    const struct tenseal_context c = {part, part, part, 1024, TENSEAL_FLAGS, true};
    const uint8_t mode = which == 2 ? CONTEXT : 0;
    struct buf b = {0};
    FUZZ_REQUIRE(buf_append(&b, &mode, 1) == 0);
    FUZZ_REQUIRE((which == 2 ? tenseal_context_write(&c, &b) : tenseal_vector_write(&v, &b)) == 0);
    size_t size = b.size;
    FUZZ_REQUIRE(size <= capacity);
    memcpy(out, b.data, size);
    buf_release(&b);
    return size;
}
