/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hostile objects. All of it at N = 8, where every byte can be cut, flipped and lied in. What SEAL
 * 4.3 to 4.4 had to mend in its own loaders is here one by one.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <sys/resource.h>
#include <zlib.h>
#include <zstd.h>

#include "seal_ckks.h"
#include "seal_context.h"
#include "seal_crypto.h"
#include "seal_hex.h"

enum { N = 8 };

/* One key and one object of each kind, for BFV with one prime, BFV with three and CKKS. */
struct world {
    struct seal_context *context;
    struct seal_secret_key sk;
    struct seal_public_key pk;
    struct seal_plain pt;
    struct seal_cipher ct, sct;
};
static struct world worlds[3];
enum { BFV1, BFV3, CKKS3, WORLDS };

static void make_plain(struct world *w)
{
    if (seal_context_params(w->context)->scheme == SEAL_BFV) {
        const uint64_t m[N] = {1, 2, 3, 16, 5, 0, 7, 8};
        assert_int_equal(seal_plain_from_coefficients(w->context, m, &w->pt, NULL), 0);
        return;
    }
    struct seal_ckks_encoder *encoder;
    const double values[N / 2] = {0.5, -1, 2, 0};
    assert_int_equal(seal_ckks_encoder_new(w->context, &encoder, NULL), 0);
    assert_int_equal(seal_ckks_encode(encoder, values, N / 2, ldexp(1, 20), 2, &w->pt, NULL), 0);
    seal_ckks_encoder_free(encoder);
}

static void make_world(struct world *w, enum seal_scheme scheme, unsigned primes, uint64_t t,
                       struct secret_rng *rng)
{
    static const unsigned bits[] = {30, 30, 30};
    struct seal_params p = {.scheme = scheme, .degree = N, .primes = primes, .plain_modulus = t};
    assert_int_equal(seal_params_create_moduli(N, bits, primes, p.q, NULL), 0);
    assert_int_equal(seal_context_new(&p, SEAL_INSECURE, &w->context, NULL), 0);
    assert_int_equal(seal_keygen(w->context, rng, &w->sk, NULL), 0);
    assert_int_equal(seal_public_key_make(w->context, &w->sk, rng, false, &w->pk, NULL), 0);
    make_plain(w);
    assert_int_equal(seal_encrypt(w->context, &w->pk, rng, &w->pt, &w->ct, NULL), 0);
    assert_int_equal(seal_encrypt_symmetric(w->context, &w->sk, rng, &w->pt, &w->sct, NULL), 0);
}

static int setup(void **state)
{
    (void)state;
    struct secret_rng *rng;
    assert_int_equal(secret_rng_new(&rng), 0);
    make_world(&worlds[BFV1], SEAL_BFV, 1, 17, rng);
    make_world(&worlds[BFV3], SEAL_BFV, 3, 17, rng);
    make_world(&worlds[CKKS3], SEAL_CKKS, 3, 0, rng);
    secret_rng_free(rng);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORLDS; i++) {
        seal_secret_key_release(&worlds[i].sk);
        seal_public_key_release(&worlds[i].pk);
        seal_plain_release(&worlds[i].pt);
        seal_cipher_release(&worlds[i].ct);
        seal_cipher_release(&worlds[i].sct);
        seal_context_free(worlds[i].context);
    }
    return 0;
}

/* ---- one interface to all loaders ---- */

enum kind { PLAIN, SECRET, PUBLIC, CIPHER, SEEDED, KINDS };

static struct buf write_object(const struct world *w, enum kind kind, enum seal_version version,
                               enum seal_compression compression)
{
    const struct seal_options o = {version, compression};
    struct buf b = {0};
    int rc = 0;
    switch (kind) {
    case PLAIN:
        rc = seal_plain_write(w->context, &w->pt, version, &b);
        break;
    case SECRET:
        rc = seal_secret_key_write(w->context, &w->sk, version, &b);
        break;
    case PUBLIC:
        rc = seal_public_key_write(w->context, &w->pk, &o, &b);
        break;
    case CIPHER:
        rc = seal_cipher_write(w->context, &w->ct, &o, &b);
        break;
    default:
        rc = seal_cipher_write(w->context, &w->sct, &o, &b);
        break;
    }
    assert_int_equal(rc, 0);
    return b;
}

/*
 * Read into a destination that holds something, and see that a failure leaves it as it was: the
 * struct and the words that it points to. Returns what the reader said.
 */
static int read_plain_or_key(const struct world *w, enum kind kind, struct span bytes,
                             size_t *consumed, struct cairn_problem *why)
{
    struct seal_plain p = {0};
    struct seal_secret_key k = {0};
    struct buf b = {0};
    assert_int_equal(seal_plain_write(w->context, &w->pt, SEAL_VERSION_4_1, &b), 0);
    assert_int_equal(seal_plain_read(w->context, buf_span(&b), NULL, &p, NULL), 0);
    buf_clear(&b);
    assert_int_equal(seal_secret_key_write(w->context, &w->sk, SEAL_VERSION_4_1, &b), 0);
    assert_int_equal(seal_secret_key_read(w->context, buf_span(&b), NULL, &k, NULL), 0);
    buf_release(&b);
    struct seal_plain p_before = p;
    struct seal_secret_key k_before = k;
    int rc = kind == PLAIN ? seal_plain_read(w->context, bytes, consumed, &p, why)
                           : seal_secret_key_read(w->context, bytes, consumed, &k, why);
    if (rc != 0) {
        assert_memory_equal(&p, &p_before, sizeof p);
        assert_memory_equal(&k, &k_before, sizeof k);
        assert_memory_equal(p.words, w->pt.words, 8 * p.count);
        assert_memory_equal(k.words, w->sk.words, 8 * k.count);
    }
    seal_plain_release(&p);
    seal_secret_key_release(&k);
    return rc;
}

static int read_pair(const struct world *w, enum kind kind, struct span bytes, size_t *consumed,
                     struct cairn_problem *why)
{
    struct seal_cipher c = {0}, before;
    struct seal_public_key k;
    struct buf b = write_object(w, CIPHER, SEAL_VERSION_4_1, SEAL_PLAIN);
    assert_int_equal(seal_cipher_read(w->context, buf_span(&b), NULL, &c, NULL), 0);
    buf_release(&b);
    before = c;
    k.pair = c;
    int rc;
    if (kind == PUBLIC) {
        rc = seal_public_key_read(w->context, bytes, consumed, &k, why);
        c = k.pair;
    } else {
        rc = seal_cipher_read(w->context, bytes, consumed, &c, why);
    }
    if (rc != 0) {
        assert_memory_equal(&c, &before, sizeof c);
        assert_memory_equal(c.words, w->ct.words, 8 * c.count);
    }
    seal_cipher_release(&c);
    return rc;
}

static int read_object(const struct world *w, enum kind kind, struct span bytes, size_t *consumed,
                       struct cairn_problem *why)
{
    memset(why, 0, sizeof *why);
    size_t untouched = 12345, *where = consumed != NULL ? consumed : NULL;
    if (where != NULL) {
        *where = untouched;
    }
    int rc = kind == PLAIN || kind == SECRET ? read_plain_or_key(w, kind, bytes, consumed, why)
                                             : read_pair(w, kind, bytes, consumed, why);
    if (rc != 0) {
        assert_true(rc == CAIRN_ERR_MALFORMED || rc == CAIRN_ERR_REFUSED);
        assert_int_equal(why->code, rc);
        assert_true(where == NULL || *where == untouched);
    }
    return rc;
}

/* A copy of just that size, so that a sanitizer sees a read past the end. */
static int read_exact(const struct world *w, enum kind kind, const uint8_t *bytes, size_t size,
                      struct cairn_problem *why)
{
    uint8_t *exact = malloc(size > 0 ? size : 1);
    memcpy(exact, bytes, size);
    int rc = read_object(w, kind, (struct span){exact, size}, NULL, why);
    free(exact);
    return rc;
}

static enum seal_compression last_compression(enum kind kind)
{
    return kind == PLAIN || kind == SECRET ? SEAL_PLAIN : SEAL_ZSTD;
}

/* ---- all of them come back ---- */

static void test_seal_objects__written_read_and_written_again(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORLDS; i++) {
        for (int kind = PLAIN; kind < KINDS; kind++) {
            for (int version = SEAL_VERSION_4_1; version <= SEAL_VERSION_3_7; version++) {
                for (int k = SEAL_PLAIN; k <= (int)last_compression((enum kind)kind); k++) {
                    struct buf b =
                        write_object(&worlds[i], (enum kind)kind, (enum seal_version)version,
                                     (enum seal_compression)k);
                    struct cairn_problem why;
                    if (read_object(&worlds[i], (enum kind)kind, buf_span(&b), NULL, &why) != 0) {
                        fail_msg("%s", why.what);
                    }
                    assert_int_equal(b.data[3], version == SEAL_VERSION_4_1 ? 4 : 3);
                    buf_release(&b);
                }
            }
        }
    }
}

static void assert_cipher_equal(const struct seal_cipher *a, const struct seal_cipher *b)
{
    assert_int_equal(a->level, b->level);
    assert_int_equal(a->seeded, b->seeded);
    assert_int_equal(a->count, b->count);
    assert_memory_equal(&a->scale, &b->scale, sizeof a->scale);
    assert_memory_equal(a->words, b->words, 8 * a->count);
}

static void test_seal_objects__content_survives(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORLDS; i++) {
        const struct world *w = &worlds[i];
        struct buf b = write_object(w, SEEDED, SEAL_VERSION_4_1, SEAL_ZSTD);
        struct seal_cipher c = {0};
        assert_int_equal(seal_cipher_read(w->context, buf_span(&b), NULL, &c, NULL), 0);
        assert_cipher_equal(&c, &w->sct);
        assert_int_equal(c.seed.prng, SEAL_BLAKE2XB);
        assert_memory_equal(c.seed.bytes, w->sct.seed.bytes, SEAL_SEED_SIZE);
        buf_release(&b);
        b = write_object(w, CIPHER, SEAL_VERSION_3_7, SEAL_ZLIB);
        assert_int_equal(seal_cipher_read(w->context, buf_span(&b), NULL, &c, NULL), 0);
        assert_cipher_equal(&c, &w->ct);
        seal_cipher_release(&c);
        buf_release(&b);
    }
}

/* A plaintext that SEAL has shortened by its trailing zeros is filled up again. */
static void test_seal_objects__short_bfv_plaintext(void **state)
{
    (void)state;
    const struct world *w = &worlds[BFV1];
    struct buf b = write_object(w, PLAIN, SEAL_VERSION_4_1, SEAL_PLAIN);
    for (size_t count = 0; count < N; count++) {
        struct seal_plain p = {0};
        uint8_t *bytes = b.data;
        size_t size = 88 + 8 * count;
        le_put64(bytes + 8, size);
        le_put64(bytes + 48, count);
        le_put64(bytes + 64 + 8, 24 + 8 * count);
        le_put64(bytes + 64 + 16, count);
        assert_int_equal(seal_plain_read(w->context, (struct span){bytes, size}, NULL, &p, NULL),
                         0);
        assert_int_equal(p.count, N);
        for (size_t i = 0; i < N; i++) {
            assert_int_equal(p.words[i], i < count ? w->pt.words[i] : 0);
        }
        seal_plain_release(&p);
    }
    buf_release(&b);
}

/* ---- cut and flipped ---- */

static void test_seal_objects__cut_anywhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORLDS; i++) {
        for (int kind = PLAIN; kind < KINDS; kind++) {
            for (int k = SEAL_PLAIN; k <= (int)last_compression((enum kind)kind); k++) {
                struct buf b = write_object(&worlds[i], (enum kind)kind, SEAL_VERSION_4_1,
                                            (enum seal_compression)k);
                for (size_t cut = 0; cut < b.size; cut++) {
                    struct cairn_problem why;
                    assert_int_equal(read_exact(&worlds[i], (enum kind)kind, b.data, cut, &why),
                                     CAIRN_ERR_MALFORMED);
                    if (cut >= 16) { /* with a header that agrees */
                        uint8_t size[8];
                        memcpy(size, b.data + 8, 8);
                        le_put64(b.data + 8, cut);
                        assert_int_equal(read_exact(&worlds[i], (enum kind)kind, b.data, cut, &why),
                                         CAIRN_ERR_MALFORMED);
                        memcpy(b.data + 8, size, 8);
                    }
                }
                buf_release(&b);
            }
        }
    }
}

/* Compressed bytes take the same way through the loader whatever they hold: one kind will do. */
static enum seal_compression flipped_compression(enum kind kind)
{
    return kind == CIPHER ? SEAL_ZSTD : SEAL_PLAIN;
}

/* Either refused, or another object that keeps all rules; never a crash, and nothing is changed by
 * a refusal (read_object looks). */
static void test_seal_objects__every_bit_flipped(void **state)
{
    (void)state;
    unsigned read = 0, refused = 0;
    for (size_t i = 0; i < WORLDS; i++) {
        for (int kind = PLAIN; kind < KINDS; kind++) {
            for (int k = SEAL_PLAIN; k <= (int)flipped_compression((enum kind)kind); k++) {
                struct buf b = write_object(&worlds[i], (enum kind)kind, SEAL_VERSION_4_1,
                                            (enum seal_compression)k);
                for (size_t bit = 0; bit < 8 * b.size; bit++) {
                    struct cairn_problem why;
                    b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
                    int rc = read_exact(&worlds[i], (enum kind)kind, b.data, b.size, &why);
                    read += rc == 0;
                    refused += rc != 0;
                    b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
                }
                buf_release(&b);
            }
        }
    }
    print_message("%u flips made another object, %u were refused\n", read, refused);
    assert_true(refused > read / 2);
}

static void test_seal_objects__two_back_to_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORLDS; i++) {
        for (int k = SEAL_PLAIN; k <= SEAL_ZSTD; k++) {
            struct buf b =
                write_object(&worlds[i], CIPHER, SEAL_VERSION_4_1, (enum seal_compression)k);
            size_t first = b.size;
            const struct seal_options o = {SEAL_VERSION_3_7, (enum seal_compression)k};
            assert_int_equal(seal_cipher_write(worlds[i].context, &worlds[i].sct, &o, &b), 0);
            struct cairn_problem why;
            size_t consumed;
            assert_int_equal(read_object(&worlds[i], CIPHER, buf_span(&b), &consumed, &why), 0);
            assert_int_equal(consumed, first);
            struct span rest = {b.data + first, b.size - first};
            assert_int_equal(read_object(&worlds[i], CIPHER, rest, &consumed, &why), 0);
            assert_int_equal(consumed, rest.size);
            assert_int_equal(read_object(&worlds[i], CIPHER, buf_span(&b), NULL, &why),
                             CAIRN_ERR_MALFORMED);
            /* a broken first one does not eat into the second */
            b.data[first - 1] ^= 0x80;
            assert_true(read_object(&worlds[i], CIPHER, buf_span(&b), &consumed, &why) != 0 ||
                        consumed == first);
            buf_release(&b);
        }
    }
}

/* ---- lies ---- */

struct lie {
    size_t at;
    unsigned bytes;
    uint64_t value;
    int code;
    const char *field;
};

static void assert_lies(const struct world *w, enum kind kind, enum seal_version version,
                        const struct lie *lies, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct buf b = write_object(w, kind, version, SEAL_PLAIN);
        uint8_t word[8];
        le_put64(word, lies[i].value);
        memcpy(b.data + lies[i].at, word, lies[i].bytes);
        struct cairn_problem why;
        int rc = read_object(w, kind, buf_span(&b), NULL, &why);
        if (rc != lies[i].code || strstr(why.what, lies[i].field) == NULL) {
            fail_msg("lie %zu (byte %zu): %d %s", i, lies[i].at, rc, why.what);
        }
        buf_release(&b);
    }
}
#define ASSERT_LIES(world, kind, version, lies)                                                    \
    assert_lies(&worlds[world], kind, version, lies, sizeof(lies) / sizeof((lies)[0]))

static uint64_t bits_of(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* Counts beside what this context allows, small ones and huge ones; the header of the array made to
 * agree where a reader might trust it. */
static void test_seal_objects__lying_dimensions(void **state)
{
    (void)state;
    const uint64_t huge = UINT64_C(1) << 40, most = UINT64_MAX;
    const struct lie lies[] = {
        {8, 8, 0, CAIRN_ERR_MALFORMED, "size"},
        {8, 8, 15, CAIRN_ERR_MALFORMED, "size"},
        {8, 8, UINT64_C(1) << 63, CAIRN_ERR_MALFORMED, "size"},
        {49, 8, 0, CAIRN_ERR_REFUSED, "polynomials"},
        {49, 8, 1, CAIRN_ERR_REFUSED, "polynomials"},
        {49, 8, 3, CAIRN_ERR_REFUSED, "polynomials"},
        {49, 8, 17, CAIRN_ERR_MALFORMED, "polynomials"},
        {49, 8, most, CAIRN_ERR_MALFORMED, "polynomials"},
        {57, 8, 0, CAIRN_ERR_MALFORMED, "degree"},
        {57, 8, 2 * N, CAIRN_ERR_MALFORMED, "degree"},
        {57, 8, 32768, CAIRN_ERR_MALFORMED, "degree"},
        {65, 8, 0, CAIRN_ERR_MALFORMED, "primes"},
        {65, 8, 2, CAIRN_ERR_MALFORMED, "primes"},
        {65, 8, 64, CAIRN_ERR_MALFORMED, "primes"},
        {97, 8, 24, CAIRN_ERR_MALFORMED, "coefficients"},
        {97, 8, most, CAIRN_ERR_MALFORMED, "coefficients"},
        {105, 8, 0, CAIRN_ERR_MALFORMED, "coefficients"},
        {105, 8, huge, CAIRN_ERR_MALFORMED, "coefficients"},
        {105, 8, most, CAIRN_ERR_MALFORMED, "coefficients"},
    };
    ASSERT_LIES(BFV1, CIPHER, SEAL_VERSION_4_1, lies);
    /* count and the array's header agree: 0, half (a seed must follow), twice as much, 2^40, and
     * one whose size wraps around to the right one */
    const uint64_t counts[] = {0, N, 2 * N - 1, 4 * N, huge, (UINT64_C(1) << 61) + 2 * N};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct buf b = write_object(&worlds[BFV1], CIPHER, SEAL_VERSION_4_1, SEAL_PLAIN);
        le_put64(b.data + 97, 24 + 8 * counts[i]);
        le_put64(b.data + 105, counts[i]);
        struct cairn_problem why;
        assert_int_equal(read_object(&worlds[BFV1], CIPHER, buf_span(&b), NULL, &why),
                         CAIRN_ERR_MALFORMED);
        buf_release(&b);
    }
}

/* Zero polynomials, and an array that is full all the same. */
static void test_seal_objects__nothing_announced_much_sent(void **state)
{
    (void)state;
    struct buf b = write_object(&worlds[BFV1], CIPHER, SEAL_VERSION_4_1, SEAL_PLAIN);
    struct cairn_problem why;
    le_put64(b.data + 49, 0);
    assert_int_equal(read_object(&worlds[BFV1], CIPHER, buf_span(&b), NULL, &why),
                     CAIRN_ERR_REFUSED);
    le_put64(b.data + 57, 0);
    le_put64(b.data + 65, 0);
    assert_int_equal(read_object(&worlds[BFV1], CIPHER, buf_span(&b), NULL, &why),
                     CAIRN_ERR_REFUSED);
    buf_release(&b);
}

static void test_seal_objects__metadata_against_the_scheme(void **state)
{
    (void)state;
    const struct lie bfv[] = {
        {48, 1, 1, CAIRN_ERR_MALFORMED, "is_ntt_form"},
        {48, 1, 2, CAIRN_ERR_MALFORMED, "is_ntt_form"},
        {16, 1, worlds[BFV1].context->ids[1][0] ^ 1U, CAIRN_ERR_REFUSED, "parms_id"},
        {73, 8, bits_of(2.0), CAIRN_ERR_MALFORMED, "scale"},
        {73, 8, bits_of(NAN), CAIRN_ERR_MALFORMED, "scale"},
        {73, 8, bits_of(0.0), CAIRN_ERR_MALFORMED, "scale"},
        {81, 8, 0, CAIRN_ERR_MALFORMED, "correction_factor"},
        {81, 8, 2, CAIRN_ERR_MALFORMED, "correction_factor"},
        {6, 2, 1, CAIRN_ERR_MALFORMED, "reserved"},
        {89 + 6, 2, 1, CAIRN_ERR_MALFORMED, "reserved"},
        {89 + 5, 1, 1, CAIRN_ERR_MALFORMED, "compression"},
        {89 + 3, 1, 5, CAIRN_ERR_REFUSED, "version"},
    };
    ASSERT_LIES(BFV1, CIPHER, SEAL_VERSION_4_1, bfv);
    const struct lie ckks[] = {
        {48, 1, 0, CAIRN_ERR_MALFORMED, "is_ntt_form"},
        {73, 8, bits_of(NAN), CAIRN_ERR_MALFORMED, "scale"},
        {73, 8, bits_of(INFINITY), CAIRN_ERR_MALFORMED, "scale"},
        {73, 8, bits_of(-INFINITY), CAIRN_ERR_MALFORMED, "scale"},
        {73, 8, bits_of(0.0), CAIRN_ERR_MALFORMED, "scale"},
        {73, 8, bits_of(-0.0), CAIRN_ERR_MALFORMED, "scale"},
        {73, 8, bits_of(-1024.0), CAIRN_ERR_MALFORMED, "scale"},
        {73, 8, bits_of(DBL_MIN / 2), CAIRN_ERR_MALFORMED, "scale"},
        {73, 8, 1, CAIRN_ERR_MALFORMED, "scale"},
        {81, 8, 0, CAIRN_ERR_MALFORMED, "correction_factor"},
    };
    ASSERT_LIES(CKKS3, CIPHER, SEAL_VERSION_4_1, ckks);
    ASSERT_LIES(CKKS3, SEEDED, SEAL_VERSION_4_1, ckks);
    const struct lie key[] = {
        {48, 1, 0, CAIRN_ERR_MALFORMED, "is_ntt_form"},
        {73, 8, bits_of(2.0), CAIRN_ERR_MALFORMED, "scale"},
        {49, 8, 1, CAIRN_ERR_REFUSED, "polynomials"},
    };
    for (size_t i = 0; i < WORLDS; i++) {
        assert_lies(&worlds[i], PUBLIC, SEAL_VERSION_4_1, key, 3);
    }
    const struct lie plain[] = {
        {48, 8, N + 1, CAIRN_ERR_MALFORMED, "coeff_count"},
        {48, 8, UINT64_C(1) << 61, CAIRN_ERR_MALFORMED, "coeff_count"},
        {56, 8, bits_of(2.0), CAIRN_ERR_MALFORMED, "scale"},
        {64 + 8, 8, 24, CAIRN_ERR_MALFORMED, "coefficients"},
        {64 + 16, 8, 0, CAIRN_ERR_MALFORMED, "coefficients"},
    };
    ASSERT_LIES(BFV1, PLAIN, SEAL_VERSION_4_1, plain);
    const struct lie secret[] = {
        {48, 8, N - 1, CAIRN_ERR_MALFORMED, "coeff_count"},
        {48, 8, 0, CAIRN_ERR_MALFORMED, "coeff_count"},
        {56, 8, bits_of(0.5), CAIRN_ERR_MALFORMED, "scale"},
    };
    ASSERT_LIES(BFV1, SECRET, SEAL_VERSION_4_1, secret);
}

/* The id of another level of the same parameters. */
static void test_seal_objects__wrong_level(void **state)
{
    (void)state;
    static const struct {
        unsigned world;
        enum kind kind;
        unsigned level;
    } wrong[] = {
        {BFV3, CIPHER, 3},  {BFV3, CIPHER, 1},  {BFV3, CIPHER, 0},  {BFV3, SEEDED, 3},
        {CKKS3, CIPHER, 3}, {CKKS3, CIPHER, 1}, {CKKS3, CIPHER, 0}, {CKKS3, SEEDED, 1},
        {BFV3, PUBLIC, 2},  {BFV3, PUBLIC, 1},  {BFV3, PUBLIC, 0},  {CKKS3, PUBLIC, 2},
        {BFV3, SECRET, 2},  {BFV3, SECRET, 0},  {CKKS3, SECRET, 2}, {BFV3, PLAIN, 1},
        {BFV3, PLAIN, 3},   {CKKS3, PLAIN, 0},  {CKKS3, PLAIN, 1},  {CKKS3, PLAIN, 3},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        const struct world *w = &worlds[wrong[i].world];
        struct buf b = write_object(w, wrong[i].kind, SEAL_VERSION_4_1, SEAL_PLAIN);
        memcpy(b.data + 16, w->context->ids[wrong[i].level], SEAL_ID_SIZE);
        struct cairn_problem why;
        assert_true(read_object(w, wrong[i].kind, buf_span(&b), NULL, &why) != 0);
        buf_release(&b);
    }
}

/* Objects for one context offered to all others, and as objects of another kind. */
static void test_seal_objects__wrong_context_and_kind(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORLDS; i++) {
        for (int kind = PLAIN; kind < KINDS; kind++) {
            struct buf b = write_object(&worlds[i], (enum kind)kind, SEAL_VERSION_4_1, SEAL_PLAIN);
            for (size_t j = 0; j < WORLDS; j++) {
                for (int as = PLAIN; as < KINDS; as++) {
                    bool both_ciphers = kind >= CIPHER && as >= CIPHER;
                    /* a BFV plaintext of N coefficients is one for every context with its t */
                    bool both_bfv_plain = kind == PLAIN && as == PLAIN && i != CKKS3 && j != CKKS3;
                    if (both_bfv_plain || (i == j && (kind == as || both_ciphers))) {
                        continue;
                    }
                    struct cairn_problem why;
                    assert_true(read_object(&worlds[j], (enum kind)as, buf_span(&b), NULL, &why) !=
                                0);
                }
            }
            buf_release(&b);
        }
    }
}

/* Words that only a reduction would make legal: refused at every position, before any transform. */
static void test_seal_objects__words_at_and_above_the_modulus(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORLDS; i++) {
        const struct world *w = &worlds[i];
        for (int kind = PLAIN; kind < KINDS; kind++) {
            bool head = kind == PLAIN || kind == SECRET;
            size_t at = head ? 88 : 113, count;
            struct buf b = write_object(w, (enum kind)kind, SEAL_VERSION_4_1, SEAL_PLAIN);
            count = le_get64(b.data + at - 8);
            unsigned level = kind == PUBLIC || kind == SECRET
                                 ? w->context->params.primes
                                 : seal_context_first_level(w->context);
            for (size_t j = 0; j < count; j++) {
                uint64_t q = w->context->params.q[j / N % level];
                if (kind == PLAIN && w->context->params.scheme == SEAL_BFV) {
                    q = w->context->params.plain_modulus;
                }
                const uint64_t bad[] = {q, q + 1, UINT64_C(1) << 62, UINT64_C(1) << 63, UINT64_MAX};
                uint64_t good = le_get64(b.data + at + 8 * j);
                for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++) {
                    struct cairn_problem why;
                    le_put64(b.data + at + 8 * j, bad[k]);
                    assert_int_equal(read_object(w, (enum kind)kind, buf_span(&b), NULL, &why),
                                     CAIRN_ERR_MALFORMED);
                    assert_non_null(strstr(why.what, "a word below"));
                }
                le_put64(b.data + at + 8 * j, q - 1);
                struct cairn_problem why;
                assert_int_equal(read_object(w, (enum kind)kind, buf_span(&b), NULL, &why), 0);
                le_put64(b.data + at + 8 * j, good);
            }
            buf_release(&b);
        }
    }
}

/* c1 = 0: a plaintext in disguise, as SEAL's own "transparent ciphertext". */
static void test_seal_objects__transparent(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORLDS; i++) {
        for (int kind = PUBLIC; kind <= CIPHER; kind++) {
            struct buf b = write_object(&worlds[i], (enum kind)kind, SEAL_VERSION_4_1, SEAL_PLAIN);
            size_t half = 8 * (le_get64(b.data + 105) / 2);
            memset(b.data + 113 + half, 0, half);
            struct cairn_problem why;
            assert_int_equal(read_object(&worlds[i], (enum kind)kind, buf_span(&b), NULL, &why),
                             CAIRN_ERR_REFUSED);
            assert_non_null(strstr(why.what, "second polynomial"));
            b.data[113 + half] = 1; /* one word is enough not to be */
            assert_int_equal(read_object(&worlds[i], (enum kind)kind, buf_span(&b), NULL, &why), 0);
            buf_release(&b);
        }
    }
}

static void test_seal_objects__seeds(void **state)
{
    (void)state;
    const struct world *w = &worlds[BFV1];
    const size_t at = 113 + 8 * N; /* the seed object, at the end */
    const struct lie lies[] = {
        {at, 2, 0, CAIRN_ERR_MALFORMED, "seed"},
        {at + 3, 1, 3, CAIRN_ERR_REFUSED, "seed"}, /* 3.1 */
        {at + 8, 8, 80, CAIRN_ERR_MALFORMED, "seed"},
        {at + 16, 1, 0, CAIRN_ERR_MALFORMED, "seed generator"},
        {at + 16, 1, 3, CAIRN_ERR_MALFORMED, "seed generator"},
        {49, 8, 3, CAIRN_ERR_REFUSED, "polynomials"},
        {49, 8, 1, CAIRN_ERR_REFUSED, "polynomials"},
    };
    ASSERT_LIES(BFV1, SEEDED, SEAL_VERSION_4_1, lies);
    /* SEAL's marker of a seeded polynomial in memory is no word */
    struct buf b = write_object(w, CIPHER, SEAL_VERSION_4_1, SEAL_PLAIN);
    struct cairn_problem why;
    le_put64(b.data + 113 + 8 * N, UINT64_MAX);
    assert_int_equal(read_object(w, CIPHER, buf_span(&b), NULL, &why), CAIRN_ERR_MALFORMED);
    buf_release(&b);
    /* 3.4 and 3.5 expanded seeds in other ways */
    for (uint8_t minor = 4; minor <= 5; minor++) {
        b = write_object(w, SEEDED, SEAL_VERSION_3_7, SEAL_PLAIN);
        b.data[4] = minor;
        assert_int_equal(read_object(w, SEEDED, buf_span(&b), NULL, &why), CAIRN_ERR_REFUSED);
        assert_non_null(strstr(why.what, "version"));
        buf_release(&b);
    }
    /* a full one with a seed behind it, and a seeded one that has been cut to c0 */
    b = write_object(w, CIPHER, SEAL_VERSION_4_1, SEAL_PLAIN);
    struct buf seeded = write_object(w, SEEDED, SEAL_VERSION_4_1, SEAL_PLAIN);
    assert_int_equal(buf_append(&b, seeded.data + at, 81), 0);
    le_put64(b.data + 8, b.size);
    assert_int_equal(read_object(w, CIPHER, buf_span(&b), NULL, &why), CAIRN_ERR_MALFORMED);
    le_put64(seeded.data + 8, at);
    assert_int_equal(read_object(w, SEEDED, (struct span){seeded.data, at}, NULL, &why),
                     CAIRN_ERR_MALFORMED);
    buf_release(&b);
    buf_release(&seeded);
}

/* ---- compressed lies, and memory ---- */

/* Header and compressed content. */
static struct buf framed(enum seal_compression compression, const void *stream, size_t size)
{
    uint8_t h[16] = {0x5e, 0xa1, 16, 4, 1, (uint8_t)compression};
    struct buf b = {0};
    le_put64(h + 8, sizeof h + size);
    assert_int_equal(buf_append(&b, h, sizeof h), 0);
    assert_int_equal(buf_append(&b, stream, size), 0);
    return b;
}

/* 64 MB of zeros after `head`, compressed piece by piece so that they never exist. */
static struct buf bomb(enum seal_compression compression, struct span head)
{
    enum { PIECE = 1 << 16, PIECES = 1024 };
    uint8_t *zeros = calloc(1, PIECE), *out = malloc(2 * PIECE);
    struct buf stream = {0};
    if (compression == SEAL_ZSTD) { /* frame after frame: a legal stream */
        size_t size = ZSTD_compress(out, 2 * PIECE, head.data, head.size, 3);
        assert_int_equal(buf_append(&stream, out, size), 0);
        size = ZSTD_compress(out, 2 * PIECE, zeros, PIECE, 3);
        for (int i = 0; i < PIECES; i++) {
            assert_int_equal(buf_append(&stream, out, size), 0);
        }
    } else {
        z_stream z = {0};
        assert_int_equal(deflateInit(&z, 1), Z_OK);
        for (int i = -1; i < PIECES; i++) {
            z.next_in = i < 0 ? (z_const Bytef *)(uintptr_t)head.data : zeros;
            z.avail_in = i < 0 ? (uInt)head.size : PIECE;
            do {
                z.next_out = out;
                z.avail_out = 2 * PIECE;
                (void)deflate(&z, i == PIECES - 1 ? Z_FINISH : Z_NO_FLUSH);
                assert_int_equal(buf_append(&stream, out, 2 * PIECE - z.avail_out), 0);
            } while (z.avail_out == 0);
        }
        assert_int_equal(deflateEnd(&z), Z_OK);
    }
    struct buf b = framed(compression, stream.data, stream.size);
    buf_release(&stream);
    free(zeros);
    free(out);
    return b;
}

/* Kilobytes that this process has needed at most so far. */
static long peak_kib(void)
{
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    return usage.ru_maxrss;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static size_t address_space(void)
{
    size_t pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%zu", &pages), 1);
    (void)fclose(f);
    return pages * 4096;
}

/* From here on nothing large can be allocated. A sanitizer's shadow does not fit under a limit:
 * there the peak is what is looked at. */
static struct rlimit limit_memory(size_t extra)
{
    struct rlimit old;
    assert_int_equal(getrlimit(RLIMIT_AS, &old), 0);
    if (!SANITIZED) {
        struct rlimit low = old;
        low.rlim_cur = address_space() + extra;
        assert_int_equal(setrlimit(RLIMIT_AS, &low), 0);
    }
    return old;
}

/* What a reader may need at N = 8: zstd's window of 8 MiB, its other buffers, and slack. */
enum { MEMORY_ALLOWED = 24 << 20 };

static void assert_refused_flat(const struct world *w, enum kind kind, struct buf *b)
{
    struct rlimit old = limit_memory(MEMORY_ALLOWED);
    long before = peak_kib();
    struct cairn_problem why;
    int rc = read_object(w, kind, buf_span(b), NULL, &why);
    long after = peak_kib();
    assert_int_equal(setrlimit(RLIMIT_AS, &old), 0);
    assert_true(rc != 0);
    assert_true(after - before < MEMORY_ALLOWED / 1024);
    buf_release(b);
}

static void test_seal_objects__bombs(void **state)
{
    (void)state;
    for (int k = SEAL_ZLIB; k <= SEAL_ZSTD; k++) {
        for (size_t i = 0; i < WORLDS; i++) {
            struct buf whole = write_object(&worlds[i], CIPHER, SEAL_VERSION_4_1, SEAL_PLAIN);
            /* zeros after a good object; after its fixed fields; and nothing but zeros */
            const size_t sizes[] = {whole.size, 113, 16};
            for (size_t j = 0; j < 3; j++) {
                struct buf b =
                    bomb((enum seal_compression)k, (struct span){whole.data + 16, sizes[j] - 16});
                assert_true(b.size < 1U << 20);
                assert_refused_flat(&worlds[i], CIPHER, &b);
            }
            buf_release(&whole);
        }
    }
}

/* Sizes that are announced and not there: nothing is allocated for them. */
static void test_seal_objects__announced_memory_is_not_taken(void **state)
{
    (void)state;
    for (int shift = 20; shift < 64; shift++) {
        struct buf b = write_object(&worlds[BFV1], CIPHER, SEAL_VERSION_4_1, SEAL_PLAIN);
        le_put64(b.data + 8, UINT64_C(1) << shift);
        assert_refused_flat(&worlds[BFV1], CIPHER, &b);
        b = write_object(&worlds[BFV1], CIPHER, SEAL_VERSION_4_1, SEAL_PLAIN);
        le_put64(b.data + 97, 24 + (UINT64_C(8) << shift));
        le_put64(b.data + 105, UINT64_C(1) << shift);
        assert_refused_flat(&worlds[BFV1], CIPHER, &b);
    }
    /* a header for 8 MB of tail that is there: bytes used stay those of the object */
    enum { TAIL = 8 << 20 };
    struct buf b = write_object(&worlds[BFV1], CIPHER, SEAL_VERSION_4_1, SEAL_PLAIN);
    size_t size = b.size, consumed;
    assert_int_equal(buf_reserve(&b, TAIL), 0);
    memset(b.data + size, 0xff, TAIL);
    b.size += TAIL;
    struct cairn_problem why;
    assert_int_equal(read_object(&worlds[BFV1], CIPHER, buf_span(&b), &consumed, &why), 0);
    assert_int_equal(consumed, size);
    le_put64(b.data + 8, b.size); /* lying: the tail belongs to the object */
    assert_int_equal(read_object(&worlds[BFV1], CIPHER, buf_span(&b), &consumed, &why),
                     CAIRN_ERR_MALFORMED);
    buf_release(&b);
}

/* A zstd frame of one raw block, with any window. Source: RFC 8878, 3.1.1. */
static struct buf zstd_window(struct span content, unsigned window_log)
{
    uint8_t frame[9 + 512] = {0x28, 0xb5, 0x2f, 0xfd, 0, (uint8_t)((window_log - 10) << 3)};
    assert_true(content.size <= 512);
    le_put32(frame + 6, (uint32_t)content.size << 3 | 1); /* last block, raw */
    memcpy(frame + 9, content.data, content.size);
    return framed(SEAL_ZSTD, frame, 9 + content.size);
}

static void test_seal_objects__window_of_a_frame(void **state)
{
    (void)state;
    struct buf whole = write_object(&worlds[BFV1], CIPHER, SEAL_VERSION_4_1, SEAL_PLAIN);
    struct span content = {whole.data + 16, whole.size - 16};
    for (unsigned window_log = 10; window_log <= 41; window_log++) {
        struct buf b = zstd_window(content, window_log);
        struct cairn_problem why;
        int rc = read_object(&worlds[BFV1], CIPHER, buf_span(&b), NULL, &why);
        assert_int_equal(rc, window_log <= 23 ? 0 : CAIRN_ERR_MALFORMED);
        if (window_log > 23) {
            assert_refused_flat(&worlds[BFV1], CIPHER, &b);
        }
        buf_release(&b);
    }
    buf_release(&whole);
}

/* More after the stream's end, inside the object; a second zlib stream is more, a second zstd frame
 * is part of it. */
static void test_seal_objects__after_the_stream(void **state)
{
    (void)state;
    for (int k = SEAL_ZLIB; k <= SEAL_ZSTD; k++) {
        struct buf b =
            write_object(&worlds[BFV1], CIPHER, SEAL_VERSION_4_1, (enum seal_compression)k);
        struct cairn_problem why;
        assert_int_equal(buf_append(&b, "", 1), 0);
        le_put64(b.data + 8, b.size);
        assert_int_equal(read_object(&worlds[BFV1], CIPHER, buf_span(&b), NULL, &why),
                         CAIRN_ERR_MALFORMED);
        buf_release(&b);
    }
    struct buf whole = write_object(&worlds[BFV1], CIPHER, SEAL_VERSION_4_1, SEAL_PLAIN);
    uint8_t frames[1024];
    size_t first = ZSTD_compress(frames, sizeof frames, whole.data + 16, 50, 3);
    size_t second =
        ZSTD_compress(frames + first, sizeof frames - first, whole.data + 66, whole.size - 66, 3);
    struct buf b = framed(SEAL_ZSTD, frames, first + second);
    struct cairn_problem why;
    assert_int_equal(read_object(&worlds[BFV1], CIPHER, buf_span(&b), NULL, &why), 0);
    buf_release(&b);
    buf_release(&whole);
}

/* A complete frame that holds one byte too few or too many, and streams of the other library. */
static void test_seal_objects__wrong_amount_compressed(void **state)
{
    (void)state;
    struct buf whole = write_object(&worlds[BFV1], CIPHER, SEAL_VERSION_4_1, SEAL_PLAIN);
    assert_int_equal(buf_append(&whole, "", 1), 0);
    uint8_t out[1024];
    struct cairn_problem why;
    for (int more = -1; more <= 1; more++) {
        size_t size = (size_t)((int)whole.size - 17 + more);
        uLongf zsize = sizeof out;
        assert_int_equal(compress2(out, &zsize, whole.data + 16, size, 6), Z_OK);
        struct buf b = framed(SEAL_ZLIB, out, zsize);
        assert_int_equal(read_object(&worlds[BFV1], CIPHER, buf_span(&b), NULL, &why),
                         more == 0 ? 0 : CAIRN_ERR_MALFORMED);
        b.data[5] = SEAL_ZSTD;
        assert_int_equal(read_object(&worlds[BFV1], CIPHER, buf_span(&b), NULL, &why),
                         CAIRN_ERR_MALFORMED);
        buf_release(&b);
        size = ZSTD_compress(out, sizeof out, whole.data + 16, size, 3);
        b = framed(SEAL_ZSTD, out, size);
        assert_int_equal(read_object(&worlds[BFV1], CIPHER, buf_span(&b), NULL, &why),
                         more == 0 ? 0 : CAIRN_ERR_MALFORMED);
        b.data[5] = SEAL_ZLIB;
        assert_int_equal(read_object(&worlds[BFV1], CIPHER, buf_span(&b), NULL, &why),
                         CAIRN_ERR_MALFORMED);
        buf_release(&b);
    }
    buf_release(&whole);
}

/* What is written does not depend on what stands in the buffer before, and comes after it. */
static void test_seal_objects__appended(void **state)
{
    (void)state;
    struct buf b = {0}, alone = write_object(&worlds[BFV1], CIPHER, SEAL_VERSION_4_1, SEAL_ZSTD);
    const struct seal_options o = {SEAL_VERSION_4_1, SEAL_ZSTD};
    assert_int_equal(buf_append(&b, "before", 6), 0);
    assert_int_equal(seal_cipher_write(worlds[BFV1].context, &worlds[BFV1].ct, &o, &b), 0);
    assert_memory_equal(b.data, "before", 6);
    assert_int_equal(b.size, 6 + alone.size);
    assert_memory_equal(b.data + 6, alone.data, alone.size);
    buf_release(&b);
    buf_release(&alone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seal_objects__written_read_and_written_again),
        cmocka_unit_test(test_seal_objects__content_survives),
        cmocka_unit_test(test_seal_objects__short_bfv_plaintext),
        cmocka_unit_test(test_seal_objects__cut_anywhere),
        cmocka_unit_test(test_seal_objects__every_bit_flipped),
        cmocka_unit_test(test_seal_objects__two_back_to_back),
        cmocka_unit_test(test_seal_objects__lying_dimensions),
        cmocka_unit_test(test_seal_objects__nothing_announced_much_sent),
        cmocka_unit_test(test_seal_objects__metadata_against_the_scheme),
        cmocka_unit_test(test_seal_objects__wrong_level),
        cmocka_unit_test(test_seal_objects__wrong_context_and_kind),
        cmocka_unit_test(test_seal_objects__words_at_and_above_the_modulus),
        cmocka_unit_test(test_seal_objects__transparent),
        cmocka_unit_test(test_seal_objects__seeds),
        cmocka_unit_test(test_seal_objects__bombs),
        cmocka_unit_test(test_seal_objects__announced_memory_is_not_taken),
        cmocka_unit_test(test_seal_objects__window_of_a_frame),
        cmocka_unit_test(test_seal_objects__after_the_stream),
        cmocka_unit_test(test_seal_objects__wrong_amount_compressed),
        cmocka_unit_test(test_seal_objects__appended),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
