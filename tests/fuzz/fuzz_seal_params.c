/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loader of SEAL's parameters, and what makes a context of them. Mode byte: bit 0 repairs the
 * size in the header, bits 1-2 take the rest as the content of an object that is still to be compressed
 * (1 zlib, 2 zstd).
 */
#include <string.h>

#include "fuzz.h"
#include "le.h"
#include "seal.h"
#include "seal_source.h"

enum { REPAIR = 1, COMPRESS_SHIFT = 1, COMPRESS_MASK = 3 };

static void check_rewritten(const struct seal_params *p)
{
    struct buf b = {0};
    struct seal_params again;
    FUZZ_REQUIRE(seal_params_write(p, NULL, &b) == 0);
    FUZZ_REQUIRE(seal_params_read(buf_span(&b), NULL, &again, NULL) == 0);
    FUZZ_REQUIRE(memcmp(&again, p, sizeof again) == 0);
    buf_release(&b);
}

/* Tables of small ones only: a large one is honest work of a second. */
static void try_context(const struct seal_params *p)
{
    struct seal_context *c = NULL;
    struct cairn_problem why;
    if (p->degree > 64 || p->primes > 4) {
        return;
    }
    int rc = seal_context_new(p, SEAL_INSECURE, &c, &why);
    FUZZ_REQUIRE(rc == 0 || (rc == CAIRN_ERR_REFUSED && c == NULL && why.code == rc));
    seal_context_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    unsigned mode = data[0], compression = mode >> COMPRESS_SHIFT & COMPRESS_MASK;
    struct buf b = {0};
    if (compression == SEAL_ZLIB || compression == SEAL_ZSTD) {
        uint8_t h[SEAL_HEADER_SIZE] = {0x5e, 0xa1, SEAL_HEADER_SIZE, 4, 1, (uint8_t)compression};
        FUZZ_REQUIRE(buf_append(&b, h, sizeof h) == 0);
        FUZZ_REQUIRE(seal_deflate((enum seal_compression)compression,
                                  (struct span){data + 1, size - 1}, &b) == 0);
        mode |= REPAIR;
    } else {
        FUZZ_REQUIRE(buf_append(&b, data + 1, size - 1) == 0);
    }
    if ((mode & REPAIR) != 0 && b.size >= SEAL_HEADER_SIZE) {
        le_put64(b.data + 8, b.size);
    }
    struct seal_params p, before;
    struct cairn_problem why = {0};
    size_t consumed = 0;
    memset(&p, 0x5a, sizeof p);
    before = p;
    int rc = seal_params_read(buf_span(&b), &consumed, &p, &why);
    if (rc == 0) {
        FUZZ_REQUIRE(consumed >= SEAL_HEADER_SIZE && consumed <= b.size);
        check_rewritten(&p);
        try_context(&p);
    } else {
        FUZZ_REQUIRE(rc == CAIRN_ERR_MALFORMED || rc == CAIRN_ERR_REFUSED);
        FUZZ_REQUIRE(why.code == rc && consumed == 0 && memcmp(&p, &before, sizeof p) == 0);
    }
    buf_release(&b);
    return 0;
}

/* BFV and CKKS, at sizes for which tables are made and at real ones; in all modes. */
size_t fuzz_seed_input(unsigned which, uint8_t *out, size_t capacity)
{
    static const unsigned bits[] = {40, 40, 40};
    enum { SETS = 4, FORMS = 4 };
    if (which >= SETS * FORMS) {
        return 0;
    }
    unsigned set = which % SETS, form = which / SETS;
    struct seal_params p = {.scheme = set % 2 == 0 ? SEAL_BFV : SEAL_CKKS,
                            .degree = set < 2 ? 16 : 4096,
                            .primes = set + 1 < 3 ? set + 1 : 3,
                            .plain_modulus = set % 2 == 0 ? 97 : 0};
    FUZZ_REQUIRE(seal_params_create_moduli(p.degree, bits, p.primes, p.q, NULL) == 0);
    struct buf b = {0};
    FUZZ_REQUIRE(buf_append(&b, "", 1) == 0);
    FUZZ_REQUIRE(seal_params_write(&p, NULL, &b) == 0);
    size_t skip = form >= 2 ? SEAL_HEADER_SIZE : 0, size = b.size - skip;
    FUZZ_REQUIRE(size <= capacity);
    memcpy(out + 1, b.data + 1 + skip, size - 1);
    out[0] = (uint8_t)(form == 1 ? REPAIR : form >= 2 ? (form - 1) << COMPRESS_SHIFT : 0);
    buf_release(&b);
    return size;
}
