/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parameters, their ids, transforms and seed expansion against known answers of SEAL 4.4.3, all of
 * them small enough to stand here; and parameters that must be refused.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>

#include "seal_context.h"
#include "seal_expand.h"
#include "seal_hex.h"

/* EncryptionParameters as SEAL 4.4.3 wrote them: BFV, N=2048, q=0x3ffffffffed001, t=2^32. */
static const char bfv_4_4[] =
    "5ea1100404000000510000000000000001000800000000000001000000000000005ea1100404000000180000000000"
    "000001d0feffffff3f005ea110040400000018000000000000000000000001000000";
static const char bfv_3_7[] =
    "5ea1100307000000510000000000000001000800000000000001000000000000005ea1100307000000180000000000"
    "000001d0feffffff3f005ea110030700000018000000000000000000000001000000";
static const char bfv_zlib[] =
    "5ea11004040100003600000000000000789c6364e06000034608c510b750808505484b40f98c17fefdffffdf1e431c"
    "a60700e5da0775";
static const char bfv_zstd[] =
    "5ea1100404020000420000000000000028b52ffd20414d0100d80100080001005ea1100404000000180001d0feffff"
    "ff3f01000000050020003ba7011881c1172002";
/* CKKS, N=8192, {60,40,40,60} */
static const char ckks_4_4[] =
    "5ea1100404000000990000000000000002002000000000000004000000000000005ea1100404000000180000000000"
    "00000180feffffffff0f5ea1100404000000180000000000000001c0f4ffff0000005ea11004040000001800000000"
    "00000001c0fdffff0000005ea1100404000000180000000000000001c0ffffffffff0f5ea110040400000018000000"
    "000000000000000000000000";

static const uint64_t ckks_q[4] = {0xffffffffffe8001, 0xfffff4c001, 0xfffffdc001,
                                   0xfffffffffffc001};

static int read_hex(const char *hex, struct seal_params *out)
{
    size_t size;
    uint8_t *bytes = from_hex(hex, &size);
    struct cairn_problem why;
    int rc = seal_params_read((struct span){bytes, size}, NULL, out, &why);
    free(bytes);
    return rc;
}

static struct seal_params bfv_params(size_t n, uint64_t q, uint64_t t)
{
    struct seal_params p = {
        .scheme = SEAL_BFV, .degree = n, .primes = 1, .q = {q}, .plain_modulus = t};
    return p;
}

static struct seal_params ckks_params(void)
{
    struct seal_params p = {.scheme = SEAL_CKKS, .degree = 8192, .primes = 4};
    memcpy(p.q, ckks_q, sizeof ckks_q);
    return p;
}

static struct seal_context *new_context(const struct seal_params *p, enum seal_security security)
{
    struct seal_context *context = NULL;
    struct cairn_problem why = {0};
    if (seal_context_new(p, security, &context, &why) != 0) {
        fail_msg("%s", why.what);
    }
    return context;
}

/* ---- bytes ---- */

static void test_seal_params__seals_own_bytes(void **state)
{
    (void)state;
    const struct seal_params expected = bfv_params(2048, 0x3ffffffffed001, UINT64_C(1) << 32);
    static const char *const forms[] = {bfv_4_4, bfv_3_7, bfv_zlib, bfv_zstd};
    for (size_t i = 0; i < 4; i++) {
        struct seal_params p;
        assert_int_equal(read_hex(forms[i], &p), 0);
        assert_memory_equal(&p, &expected, sizeof p);
    }
    const struct seal_params ckks = ckks_params();
    struct seal_params p;
    assert_int_equal(read_hex(ckks_4_4, &p), 0);
    assert_memory_equal(&p, &ckks, sizeof p);
}

static void assert_written(const struct seal_params *p, const struct seal_options *options,
                           const char *hex, int minor)
{
    size_t size;
    uint8_t *expected = from_hex(hex, &size);
    for (size_t i = 0; i + 4 < size; i++) {
        if (expected[i] == 0x5e && expected[i + 1] == 0xa1) {
            expected[i + 4] = (uint8_t)minor;
        }
    }
    struct buf b = {0};
    assert_int_equal(seal_params_write(p, options, &b), 0);
    assert_int_equal(b.size, size);
    assert_memory_equal(b.data, expected, size);
    buf_release(&b);
    free(expected);
}

static void test_seal_params__written_byte_for_byte(void **state)
{
    (void)state;
    const struct seal_params bfv = bfv_params(2048, 0x3ffffffffed001, UINT64_C(1) << 32);
    const struct seal_params ckks = ckks_params();
    const struct seal_options old = {SEAL_VERSION_3_7, SEAL_PLAIN};
    assert_written(&bfv, NULL, bfv_4_4, 1);
    assert_written(&bfv, &old, bfv_3_7, 7);
    assert_written(&ckks, NULL, ckks_4_4, 1);
}

static void test_seal_params__compressed_and_back(void **state)
{
    (void)state;
    const struct seal_params p = ckks_params();
    for (int k = SEAL_PLAIN; k <= SEAL_ZSTD; k++) {
        const struct seal_options o = {SEAL_VERSION_4_1, (enum seal_compression)k};
        struct buf b = {0};
        struct seal_params q;
        assert_int_equal(seal_params_write(&p, &o, &b), 0);
        assert_int_equal(seal_params_read(buf_span(&b), NULL, &q, NULL), 0);
        assert_memory_equal(&p, &q, sizeof p);
        buf_release(&b);
    }
}

/* Every version that exists is either read or refused by name. */
static void test_seal_params__versions(void **state)
{
    (void)state;
    for (int version = 0; version < 65536; version += version >> 8 < 3 ? 256 : 1) {
        int major = version >> 8, minor = version & 255;
        if (major > 5) {
            break;
        }
        size_t size;
        uint8_t *bytes = from_hex(bfv_3_7, &size);
        for (size_t i = 0; i + 4 < size; i++) {
            if (bytes[i] == 0x5e && bytes[i + 1] == 0xa1) {
                bytes[i + 3] = (uint8_t)major;
                bytes[i + 4] = (uint8_t)minor;
            }
        }
        bool known = major == 4 || (major == 3 && (minor == 6 || minor == 7));
        struct seal_params p;
        struct cairn_problem why;
        int rc = seal_params_read((struct span){bytes, size}, NULL, &p, &why);
        assert_int_equal(rc, known ? 0 : CAIRN_ERR_REFUSED);
        free(bytes);
    }
}

static void test_seal_params__cut_anywhere(void **state)
{
    (void)state;
    static const char *const forms[] = {bfv_4_4, bfv_zlib, bfv_zstd, ckks_4_4};
    for (size_t i = 0; i < 4; i++) {
        size_t size;
        uint8_t *bytes = from_hex(forms[i], &size);
        for (size_t cut = 0; cut < size; cut++) {
            uint8_t *exact = malloc(cut + 1); /* so that reading past the end is seen */
            memcpy(exact, bytes, cut);
            struct seal_params p, before;
            struct cairn_problem why = {0};
            memset(&p, 0x5a, sizeof p);
            before = p;
            assert_int_equal(seal_params_read((struct span){exact, cut}, NULL, &p, &why),
                             CAIRN_ERR_MALFORMED);
            assert_memory_equal(&p, &before, sizeof p);
            /* and once more with a header that has been made to agree */
            if (cut >= 16) {
                le_put64(exact + 8, cut);
                assert_int_equal(seal_params_read((struct span){exact, cut}, NULL, &p, &why),
                                 CAIRN_ERR_MALFORMED);
            }
            free(exact);
        }
        free(bytes);
    }
}

/* No flip of a bit goes unnoticed, except where it makes another valid value: those are counted and
 * must be in fields that hold values. */
static void test_seal_params__flips(void **state)
{
    (void)state;
    size_t size;
    uint8_t *bytes = from_hex(bfv_4_4, &size);
    struct seal_params original;
    assert_int_equal(read_hex(bfv_4_4, &original), 0);
    for (size_t i = 0; i < 8 * size; i++) {
        struct seal_params p;
        struct cairn_problem why;
        bytes[i / 8] ^= (uint8_t)(1 << i % 8);
        int rc = seal_params_read((struct span){bytes, size}, NULL, &p, &why);
        if (rc == 0 && memcmp(&p, &original, sizeof p) == 0) {
            /* the minor version of one of the three headers: all 4.x are read */
            assert_true(i / 8 == 4 || i / 8 == 33 + 4 || i / 8 == 57 + 4);
        }
        if (rc != 0) {
            assert_int_equal(why.code, rc);
            assert_true(rc == CAIRN_ERR_MALFORMED || rc == CAIRN_ERR_REFUSED);
        }
        bytes[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    free(bytes);
}

static void test_seal_params__two_objects_back_to_back(void **state)
{
    (void)state;
    const struct seal_params first = ckks_params();
    const struct seal_params second = bfv_params(2048, 0x3ffffffffed001, 65537);
    for (int k = SEAL_PLAIN; k <= SEAL_ZSTD; k++) {
        const struct seal_options o = {SEAL_VERSION_4_1, (enum seal_compression)k};
        struct buf b = {0};
        assert_int_equal(seal_params_write(&first, &o, &b), 0);
        size_t at = b.size;
        assert_int_equal(seal_params_write(&second, &o, &b), 0);
        struct seal_params p;
        struct cairn_problem why;
        size_t consumed = 0;
        assert_int_equal(seal_params_read(buf_span(&b), &consumed, &p, &why), 0);
        assert_int_equal(consumed, at);
        assert_memory_equal(&p, &first, sizeof p);
        struct span rest = {b.data + at, b.size - at};
        assert_int_equal(seal_params_read(rest, &consumed, &p, &why), 0);
        assert_int_equal(consumed, rest.size);
        assert_memory_equal(&p, &second, sizeof p);
        /* as one framed message they are refused */
        assert_int_equal(seal_params_read(buf_span(&b), NULL, &p, &why), CAIRN_ERR_MALFORMED);
        assert_non_null(strstr(why.what, "nothing after the object"));
        buf_release(&b);
    }
}

/* ---- values that no parameters have ---- */

struct lie {
    size_t at;
    uint64_t value;
    unsigned bytes;
    int code;
    const char *field;
};

static void test_seal_params__lies(void **state)
{
    (void)state;
    static const struct lie lies[] = {
        {0, 0xa15f, 2, CAIRN_ERR_MALFORMED, "magic"},
        {2, 15, 1, CAIRN_ERR_MALFORMED, "header size"},
        {5, 3, 1, CAIRN_ERR_MALFORMED, "compression"},
        {6, 1, 2, CAIRN_ERR_MALFORMED, "reserved"},
        {8, 0, 8, CAIRN_ERR_MALFORMED, "size"},
        {8, 1, 8, CAIRN_ERR_MALFORMED, "size"},
        {8, 15, 8, CAIRN_ERR_MALFORMED, "size"},
        {8, 16, 8, CAIRN_ERR_MALFORMED, "nothing after"},
        {8, UINT64_C(1) << 63, 8, CAIRN_ERR_MALFORMED, "size"},
        {8, UINT64_MAX, 8, CAIRN_ERR_MALFORMED, "size"},
        {16, 0, 1, CAIRN_ERR_REFUSED, "scheme"},
        {16, 3, 1, CAIRN_ERR_REFUSED, "scheme"},
        {16, 4, 1, CAIRN_ERR_MALFORMED, "scheme"},
        {17, 0, 8, CAIRN_ERR_MALFORMED, "degree"},
        {17, 2047, 8, CAIRN_ERR_MALFORMED, "degree"},
        {17, UINT64_C(1) << 63, 8, CAIRN_ERR_MALFORMED, "degree"},
        {17, 65536, 8, CAIRN_ERR_REFUSED, "degree"},
        {17, 4, 8, CAIRN_ERR_REFUSED, "degree"},
        {25, 0, 8, CAIRN_ERR_REFUSED, "number of primes"},
        {25, 2, 8, CAIRN_ERR_MALFORMED, "modulus"},
        {25, 65, 8, CAIRN_ERR_REFUSED, "number of primes"},
        {25, UINT64_C(1) << 60, 8, CAIRN_ERR_REFUSED, "number of primes"},
        {33 + 5, 1, 1, CAIRN_ERR_MALFORMED, "coefficient modulus"},
        {33 + 8, 16, 8, CAIRN_ERR_MALFORMED, "coefficient modulus"},
        {33 + 8, UINT64_MAX, 8, CAIRN_ERR_MALFORMED, "coefficient modulus"},
        {33 + 16, 1, 8, CAIRN_ERR_MALFORMED, "coefficient modulus"},
        {33 + 16, UINT64_C(1) << 61, 8, CAIRN_ERR_MALFORMED, "coefficient modulus"},
        {57 + 16, UINT64_MAX, 8, CAIRN_ERR_MALFORMED, "plain modulus"},
    };
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        size_t size;
        uint8_t *bytes = from_hex(bfv_4_4, &size), word[8];
        le_put64(word, lies[i].value);
        memcpy(bytes + lies[i].at, word, lies[i].bytes);
        struct seal_params p, before;
        memset(&p, 0x5a, sizeof p);
        before = p;
        struct cairn_problem why = {0};
        int rc = seal_params_read((struct span){bytes, size}, NULL, &p, &why);
        if (rc != lies[i].code || strstr(why.what, lies[i].field) == NULL) {
            fail_msg("lie %zu: %d %s", i, rc, why.what);
        }
        assert_memory_equal(&p, &before, sizeof p);
        free(bytes);
    }
}

/* ---- contexts ---- */

static void assert_id_words(const uint8_t *id, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    assert_int_equal(le_get64(id), a);
    assert_int_equal(le_get64(id + 8), b);
    assert_int_equal(le_get64(id + 16), c);
    assert_int_equal(le_get64(id + 24), d);
}

/* parms_id words and smallest roots dumped from SEAL 4.4.3. */
static void test_seal_params__golden_ids_and_roots(void **state)
{
    (void)state;
    struct seal_params p = ckks_params();
    struct seal_context *c = new_context(&p, SEAL_128);
    assert_int_equal(seal_context_first_level(c), 3);
    assert_id_words(seal_context_id(c, 4), 0xcfda86153fdda8e2, 0xbab3261f59a402ac,
                    0xae8fe2601f0b6e53, 0xddc508ab0e037ff5);
    assert_id_words(seal_context_id(c, 3), 0x12a009457dbf8b0f, 0x6364d5f3d4c92b3c,
                    0x96a841ccd88e440c, 0x1255677018089458);
    assert_id_words(seal_context_id(c, 1), 0x2af33fda5cee1476, 0xe1a78ed1ec9d76b3,
                    0xed2adee911ba7c4d, 0x94f949f4f9055b1a);
    static const uint64_t roots[4] = {100406242475323, 5405730, 30370987, 25959043411404};
    for (unsigned j = 0; j < 4; j++) {
        assert_int_equal(c->ring.ntt[j].psi, roots[j]);
    }
    seal_context_free(c);

    p = bfv_params(2048, 0x3ffffffffed001, UINT64_C(1) << 32);
    c = new_context(&p, SEAL_128);
    assert_int_equal(seal_context_first_level(c), 1);
    assert_id_words(seal_context_id(c, 1), 0xc6f8a3064b90b4ab, 0x6fd2950a767ed3c,
                    0x2865d698a65810b3, 0xbdfa9a3fe3d430c2);
    assert_int_equal(c->ring.ntt[0].psi, 2604308523238);
    seal_context_free(c);

    p = bfv_params(4096, 0x3ffffffffd6001, 65537);
    p.primes = 2;
    p.q[1] = 0x7ffffffffb4001;
    c = new_context(&p, SEAL_128);
    assert_int_equal(c->ring.ntt[0].psi, 2104035327373);
    assert_int_equal(c->ring.ntt[1].psi, 4306037850660);
    seal_context_free(c);
}

static void assert_created(size_t n, unsigned count, const unsigned *bits, const uint64_t *expected)
{
    uint64_t q[SEAL_MAX_PRIMES];
    assert_int_equal(seal_params_create_moduli(n, bits, count, q, NULL), 0);
    assert_memory_equal(q, expected, count * sizeof *q);
}

/* CoeffModulus::Create of SEAL 4.4.3. */
static void test_seal_params__created_moduli(void **state)
{
    (void)state;
    assert_created(8192, 4, (const unsigned[]){60, 40, 40, 60}, ckks_q);
    assert_created(4096, 2, (const unsigned[]){50, 50},
                   (const uint64_t[]){0x3fffffffcc001, 0x3ffffffffc001});
    assert_created(4096, 2, (const unsigned[]){54, 55},
                   (const uint64_t[]){0x3ffffffffd6001, 0x7ffffffffb4001});
    assert_created(2048, 1, (const unsigned[]){54}, (const uint64_t[]){0x3ffffffffed001});
    uint64_t q[2] = {7, 7};
    struct cairn_problem why;
    assert_int_equal(seal_params_create_moduli(8192, (const unsigned[]){61}, 1, q, &why),
                     CAIRN_ERR_REFUSED);
    assert_int_equal(seal_params_create_moduli(32768, (const unsigned[]){17, 17}, 2, q, &why),
                     CAIRN_ERR_REFUSED);
    assert_int_equal(q[0], 7);
}

static void assert_refused(const struct seal_params *p, enum seal_security security,
                           const char *field)
{
    struct seal_context *c = (void *)0x5a;
    struct cairn_problem why = {0};
    int rc = seal_context_new(p, security, &c, &why);
    if (rc != CAIRN_ERR_REFUSED || strstr(why.what, field) == NULL) {
        fail_msg("%s: %d %s", field, rc, why.what);
    }
    assert_ptr_equal(c, (void *)0x5a);
}

static void test_seal_params__refused_contexts(void **state)
{
    (void)state;
    const struct seal_params good = bfv_params(2048, 0x3ffffffffed001, 65537);
    struct seal_params p = good;
    p.q[0] = UINT64_C(0x3ffffffffed001) - 4096; /* 1 mod 4096, no prime */
    assert_refused(&p, SEAL_INSECURE, "coefficient modulus");
    p.q[0] = 1000003; /* a prime */
    assert_refused(&p, SEAL_INSECURE, "1 modulo 2N");
    p = good;
    p.q[0] = 0;
    assert_refused(&p, SEAL_INSECURE, "coefficient modulus");
    p = good;
    p.primes = 2;
    p.q[1] = p.q[0];
    assert_refused(&p, SEAL_INSECURE, "different primes");
    p = good;
    p.plain_modulus = 0;
    assert_refused(&p, SEAL_INSECURE, "plain modulus");
    p.plain_modulus = p.q[0];
    assert_refused(&p, SEAL_INSECURE, "coprime");
    p.plain_modulus = p.q[0] + 2;
    assert_refused(&p, SEAL_INSECURE, "below the coefficient modulus");
    p = good;
    p.scheme = SEAL_CKKS;
    assert_refused(&p, SEAL_INSECURE, "none with CKKS");
    p = good;
    p.degree = 3000;
    assert_refused(&p, SEAL_INSECURE, "degree");
    p = good;
    p.primes = 0;
    assert_refused(&p, SEAL_INSECURE, "number of primes");
    p.primes = SEAL_MAX_PRIMES + 1;
    assert_refused(&p, SEAL_INSECURE, "number of primes");
    /* 55 bits at N = 2048; 54 pass, which is SEAL's own limit */
    const unsigned bits = 55;
    p = good;
    assert_int_equal(seal_params_create_moduli(2048, &bits, 1, p.q, NULL), 0);
    assert_refused(&p, SEAL_128, "bits of all primes");
    struct seal_context *c = new_context(&p, SEAL_INSECURE);
    seal_context_free(c);
    /* 110 bits in two primes at N = 4096 */
    const unsigned two[] = {55, 55};
    p.degree = 4096;
    p.primes = 2;
    assert_int_equal(seal_params_create_moduli(4096, two, 2, p.q, NULL), 0);
    assert_refused(&p, SEAL_128, "bits of all primes");
}

/* ---- seeds ---- */

/* FIPS 202 SHAKE256, first 32 bytes of output, and BLAKE2b-256 of the first 500: around one block
 * of 136 bytes. Made with Python's hashlib. */
static void test_seal_params__shake256(void **state)
{
    (void)state;
    static const struct {
        size_t size;
        const char *head, *digest;
    } answers[] = {
        {0, "46b9dd2b0ba88d13233b3feb743eeb243fcd52ea62b81b82b50c27646ed5762f",
         "ffe8f8c5f3de09908e7d22abf76d1f7f1a715cd567d173bfd61349c4f761e0dd"},
        {135, "55b991ece1e567b6e7c2c714444dd201cd51f4f3832d08e1d26bebc63e07a3d7",
         "f3f6c1b77e1bce9ac4c1eeda92bd9efc5da88aa0a514df9564e126f2c557c383"},
        {136, "8fcc5a08f0a1f6827c9cf64ee8d16e0443106359ca6c8efd230759256f44996a",
         "3bd83d78c4fa7dd9bbe743c0d880d8498fc37b4f177460f1bc69169cd9bd582a"},
        {137, "a44e1a438dad6273d540be65ee26386c59588efb09139dc086385d2db0c25782",
         "e281ae58c30cd3902439b864cb1d23ef2afb3a70a0d7e665eb57c111ef29a69a"},
        {300, "542e4338ca18e43776834307a2b6158f70c14f22400081b2dc345cc54a6298cd",
         "e4c3e88f17635f73c27d70ffc421fd3ea4fe4b417d5dd3641b8df47186dada0a"},
    };
    uint8_t message[300], out[500];
    memset(message, 'a', sizeof message);
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        char head[65];
        seal_shake256(message, answers[i].size, out, sizeof out);
        digest_hex(out, 32, head);
        assert_string_equal(head, answers[i].head);
        assert_digest(out, sizeof out, answers[i].digest);
    }
}

static const char seed_a[] = "dba4441babf106a9499124c88025630f61f6f15d2755971643b413d6ce5ef168"
                             "bce6a3659d2af9386ad2fd5ea8032aa31c156ded2faf3df0b51dd11f475a11c7";
static const char seed_b[] = "1769be6f97a27287e71a0965363162525d626a165751128bca753191d2525be5"
                             "2c947091ad1d6134161723229f2255af72869f6df252275c854701b9c8d20218";
static const char seed_c[] = "d93e250b6f25e73b44c5bc6d4a7109d2dee6917daba4d7c606b7ba86b23ceffe"
                             "b258b6e50ef6f859beaed108ceaa36d4606819d91ea04765da70e1fb3762c2be";

static void assert_expands(const struct seal_params *p, enum seal_prng prng, const char *seed_hex,
                           uint64_t first, const char *digest)
{
    struct seal_context *c = new_context(p, SEAL_INSECURE);
    struct seal_seed seed = seed_from_hex(prng, seed_hex);
    unsigned level = seal_context_first_level(c);
    size_t count = seal_poly_words(c, level);
    uint64_t *a = calloc(count, sizeof *a);
    assert_int_equal(seal_expand(c, &seed, level, a), 0);
    assert_int_equal(a[0], first);
    assert_words_digest(a, count, digest);
    free(a);
    seal_context_free(c);
}

/* The last word that is kept, the one that need not be thrown away but is, and the largest. */
static void test_seal_params__words_that_are_thrown_away(void **state)
{
    (void)state;
    const uint64_t primes[] = {3, 17, 59, 65537, 0x3ffffffffed001, 0x9eb851eb8526801};
    for (size_t i = 0; i < sizeof primes / sizeof primes[0]; i++) {
        const uint64_t q = primes[i], whole = UINT64_MAX / q * q; /* floor(M/q) q */
        assert_false(seal_is_rejected(0, q));
        assert_false(seal_is_rejected(whole - 2, q));
        assert_true(seal_is_rejected(whole - 1, q));
        assert_true(seal_is_rejected(whole, q));
        assert_true(seal_is_rejected(UINT64_MAX, q));
    }
}

/* What SEAL 4.4.3 expanded seeds of its own objects to, BLAKE2b-256 of the words. The last set has
 * primes near 0.62 2^60, where one word in dozens is rejected. */
static void test_seal_params__seeds_expand_as_in_seal(void **state)
{
    (void)state;
    const struct seal_params p = bfv_params(2048, 0x3ffffffffed001, UINT64_C(1) << 32);
    assert_expands(&p, SEAL_BLAKE2XB, seed_a, 0x1c315f4a6f7c7,
                   "6a05d60129081e8ba58fac4f56ee2bbb2cb9419f58f6607e850867774ed67b93");
    assert_expands(&p, SEAL_SHAKE256, seed_a, 0x3b671465d1851b,
                   "ad825479350587c7b08eec4330463298c7bd12fd1e3218fba70e2fe789214805");
    assert_expands(&p, SEAL_BLAKE2XB, seed_b, 0x265ace7a8947df,
                   "7db1458a5a2d4556e62eec5a73cff4582bfa980c3de2642699751c0e269dd483");
    const struct seal_params reject = {
        .scheme = SEAL_BFV,
        .degree = 1024,
        .primes = 3,
        .q = {0x9eb851eb8526801, 0x9eb851eb8541001, 0xfffffffffffc001},
        .plain_modulus = 65537};
    assert_expands(&reject, SEAL_BLAKE2XB, seed_c, 0x620967c6b118bb1,
                   "622a8e1d1722705885119bab2c9695420dcf782881e041e4d9f67cacd26773ed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seal_params__seals_own_bytes),
        cmocka_unit_test(test_seal_params__written_byte_for_byte),
        cmocka_unit_test(test_seal_params__compressed_and_back),
        cmocka_unit_test(test_seal_params__versions),
        cmocka_unit_test(test_seal_params__cut_anywhere),
        cmocka_unit_test(test_seal_params__flips),
        cmocka_unit_test(test_seal_params__two_objects_back_to_back),
        cmocka_unit_test(test_seal_params__lies),
        cmocka_unit_test(test_seal_params__golden_ids_and_roots),
        cmocka_unit_test(test_seal_params__created_moduli),
        cmocka_unit_test(test_seal_params__refused_contexts),
        cmocka_unit_test(test_seal_params__shake256),
        cmocka_unit_test(test_seal_params__words_that_are_thrown_away),
        cmocka_unit_test(test_seal_params__seeds_expand_as_in_seal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
