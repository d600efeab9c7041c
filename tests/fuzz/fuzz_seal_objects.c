/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loaders of SEAL's plaintexts, secret keys, public keys and ciphertexts, at N = 8. Mode byte:
 * bits 0-1 the kind, bit 2 the scheme, bit 3 repairs the size in the header, bits 4-5 take the rest
 * as the content of an object that is still to be compressed (1 zlib, 2 zstd).
 */
#include <math.h>
#include <string.h>

#include "fuzz.h"
#include "le.h"
#include "seal_context.h"
#include "seal_source.h"

enum { KIND_PLAIN, KIND_SECRET, KIND_PUBLIC, KIND_CIPHER, KINDS, KIND_MASK = 3 };
enum { CKKS = 4, REPAIR = 8, COMPRESS_SHIFT = 4, COMPRESS_MASK = 3 };
enum { N = 8 };

static struct seal_context *contexts[2];

/* BFV with one prime, CKKS with two and a special one. */
static const struct seal_context *context_of(unsigned mode)
{
    static const unsigned bits[] = {20, 20, 20};
    unsigned which = (mode & CKKS) != 0;
    if (contexts[which] == NULL) {
        struct seal_params p = {.scheme = which ? SEAL_CKKS : SEAL_BFV,
                                .degree = N,
                                .primes = which ? 3 : 1,
                                .plain_modulus = which ? 0 : 17};
        FUZZ_REQUIRE(seal_params_create_moduli(N, bits, p.primes, p.q, NULL) == 0);
        FUZZ_REQUIRE(seal_context_new(&p, SEAL_INSECURE, &contexts[which], NULL) == 0);
    }
    return contexts[which];
}

static void check_words(const struct seal_context *c, unsigned level, const uint64_t *words,
                        size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t limit = level == 0 ? c->params.plain_modulus : c->params.q[i / N % level];
        FUZZ_REQUIRE(words[i] < limit);
    }
}

/* What was read comes back the same from what is written. */
static void check_pair(const struct seal_context *c, int is_key, const struct seal_cipher *x)
{
    const struct seal_options o = {SEAL_VERSION_3_7, SEAL_PLAIN};
    struct seal_public_key key = {*x}, key_again = {{0}};
    struct seal_cipher again = {0};
    struct buf b = {0};
    FUZZ_REQUIRE(x->count == 2 * N * (size_t)x->level && isnormal(x->scale) && x->scale > 0);
    check_words(c, x->level, x->words, x->count);
    if (is_key) {
        FUZZ_REQUIRE(seal_public_key_write(c, &key, &o, &b) == 0);
        FUZZ_REQUIRE(seal_public_key_read(c, buf_span(&b), NULL, &key_again, NULL) == 0);
        again = key_again.pair;
    } else {
        FUZZ_REQUIRE(seal_cipher_write(c, x, &o, &b) == 0);
        FUZZ_REQUIRE(seal_cipher_read(c, buf_span(&b), NULL, &again, NULL) == 0);
    }
    FUZZ_REQUIRE(again.seeded == x->seeded && again.level == x->level && again.count == x->count);
    FUZZ_REQUIRE(memcmp(again.words, x->words, 8 * x->count) == 0);
    seal_cipher_release(&again);
    buf_release(&b);
}

static int read_one(unsigned mode, struct span bytes, size_t *consumed, struct cairn_problem *why)
{
    const struct seal_context *c = context_of(mode);
    struct seal_plain plain = {0};
    struct seal_secret_key secret = {0};
    struct seal_public_key public_key = {{0}};
    struct seal_cipher cipher = {0};
    int rc = 0;
    switch (mode & KIND_MASK) {
    case KIND_PLAIN:
        rc = seal_plain_read(c, bytes, consumed, &plain, why);
        FUZZ_REQUIRE((rc == 0) == (plain.words != NULL));
        check_words(c, plain.level, plain.words, plain.count);
        break;
    case KIND_SECRET:
        rc = seal_secret_key_read(c, bytes, consumed, &secret, why);
        FUZZ_REQUIRE((rc == 0) == (secret.words != NULL));
        check_words(c, c->params.primes, secret.words, secret.count);
        break;
    case KIND_PUBLIC:
        rc = seal_public_key_read(c, bytes, consumed, &public_key, why);
        FUZZ_REQUIRE((rc == 0) == (public_key.pair.words != NULL));
        if (rc == 0) {
            check_pair(c, 1, &public_key.pair);
        }
        break;
    default:
        rc = seal_cipher_read(c, bytes, consumed, &cipher, why);
        FUZZ_REQUIRE((rc == 0) == (cipher.words != NULL));
        if (rc == 0) {
            check_pair(c, 0, &cipher);
        }
    }
    seal_plain_release(&plain);
    seal_secret_key_release(&secret);
    seal_public_key_release(&public_key);
    seal_cipher_release(&cipher);
    return rc;
}

/* The object to be read, of just its size. Released by the caller. */
static struct buf build(unsigned mode, const uint8_t *data, size_t size)
{
    unsigned compression = mode >> COMPRESS_SHIFT & COMPRESS_MASK;
    struct buf b = {0};
    if (compression != SEAL_ZLIB && compression != SEAL_ZSTD) {
        FUZZ_REQUIRE(buf_append(&b, data, size) == 0);
    } else {
        uint8_t h[SEAL_HEADER_SIZE] = {0x5e, 0xa1, SEAL_HEADER_SIZE, 4, 1, (uint8_t)compression};
        FUZZ_REQUIRE(buf_append(&b, h, sizeof h) == 0);
        FUZZ_REQUIRE(
            seal_deflate((enum seal_compression)compression, (struct span){data, size}, &b) == 0);
        mode |= REPAIR;
    }
    if ((mode & REPAIR) != 0 && b.size >= SEAL_HEADER_SIZE) {
        le_put64(b.data + 8, b.size);
    }
    return b;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    unsigned mode = data[0];
    struct buf b = build(mode, data + 1, size - 1);
    uint8_t *exact = malloc(b.size > 0 ? b.size : 1);
    FUZZ_REQUIRE(exact);
    if (b.size > 0) {
        memcpy(exact, b.data, b.size);
    }
    struct cairn_problem why = {0};
    size_t consumed = 0;
    int rc = read_one(mode, (struct span){exact, b.size}, &consumed, &why);
    if (rc == 0) {
        FUZZ_REQUIRE(consumed >= SEAL_HEADER_SIZE && consumed <= b.size);
        int framed = read_one(mode, (struct span){exact, b.size}, NULL, &why);
        FUZZ_REQUIRE(framed == (consumed == b.size ? 0 : CAIRN_ERR_MALFORMED));
    } else {
        FUZZ_REQUIRE(rc == CAIRN_ERR_MALFORMED || rc == CAIRN_ERR_REFUSED);
        FUZZ_REQUIRE(why.code == rc && consumed == 0);
    }
    free(exact);
    buf_release(&b);
    return 0;
}

/* An honest object of each kind. */
static void write_one(unsigned mode, struct buf *b)
{
    const struct seal_context *c = context_of(mode);
    const int ckks = (mode & CKKS) != 0;
    unsigned kind = mode & KIND_MASK;
    unsigned level =
        kind == KIND_SECRET || kind == KIND_PUBLIC ? c->params.primes : seal_context_first_level(c);
    uint64_t words[2 * 3 * N];
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        words[i] = (i * i + 1) % 17;
    }
    struct seal_cipher pair = {.level = level,
                               .scale = ckks && kind == KIND_CIPHER ? 1024 : 1,
                               .count = 2 * N * (size_t)level,
                               .words = words};
    const struct seal_public_key key = {pair};
    const struct seal_plain plain = {ckks ? level : 0, ckks ? 1024 : 1,
                                     N * (size_t)(ckks ? level : 1), words};
    const struct seal_secret_key secret = {N * (size_t)level, words};
    int rc = 0;
    switch (kind) {
    case KIND_PLAIN:
        rc = seal_plain_write(c, &plain, SEAL_VERSION_4_1, b);
        break;
    case KIND_SECRET:
        rc = seal_secret_key_write(c, &secret, SEAL_VERSION_3_7, b);
        break;
    case KIND_PUBLIC:
        rc = seal_public_key_write(c, &key, NULL, b);
        break;
    default:
        pair.seeded = ckks; /* one of each */
        pair.seed.prng = SEAL_SHAKE256;
        rc = seal_cipher_write(c, &pair, NULL, b);
    }
    FUZZ_REQUIRE(rc == 0);
}

/* Each kind for each scheme: as it is, repaired, and to be compressed in both ways. */
size_t fuzz_seed_input(unsigned which, uint8_t *out, size_t capacity)
{
    enum { FORMS = 4 };
    if (which >= 2 * KINDS * FORMS) {
        return 0;
    }
    unsigned form = which / (2 * KINDS), mode = which % (2 * KINDS);
    struct buf b = {0};
    FUZZ_REQUIRE(buf_append(&b, "", 1) == 0);
    write_one(mode, &b);
    size_t skip = form >= 2 ? SEAL_HEADER_SIZE : 0; /* the content only */
    mode |= form == 1 ? REPAIR : form >= 2 ? (form - 1) << COMPRESS_SHIFT : 0;
    size_t size = b.size - skip;
    FUZZ_REQUIRE(size <= capacity);
    memcpy(out + 1, b.data + 1 + skip, size - 1);
    out[0] = (uint8_t)mode;
    buf_release(&b);
    return size;
}
