/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects that SEAL 4.4.3's own library wrote: read, written again to the same bytes, decrypted to
 * the plaintexts that are documented for them. Needs the files (CAIRN_SEAL_VECTORS); what fits on
 * a page is also in test_seal_format.c and runs always.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>

#include "le.h"
#include "seal_ckks.h"
#include "seal_context.h"
#include "seal_crypto.h"
#include "seal_vectors.h"

static const struct seal_options version_3_7 = {SEAL_VERSION_3_7, SEAL_PLAIN};

/* ---- reading helpers ---- */

static struct seal_plain read_plain(const struct seal_context *context, const char *name)
{
    struct buf b = vector(name);
    struct seal_plain p = {0};
    struct cairn_problem why = {0};
    ASSERT_OK(seal_plain_read(context, buf_span(&b), NULL, &p, &why), why);
    buf_release(&b);
    return p;
}

static struct seal_secret_key read_key(const struct seal_context *context, const char *name)
{
    struct buf b = vector(name);
    struct seal_secret_key k = {0};
    struct cairn_problem why = {0};
    ASSERT_OK(seal_secret_key_read(context, buf_span(&b), NULL, &k, &why), why);
    buf_release(&b);
    return k;
}

static struct seal_cipher read_cipher(const struct seal_context *context, const char *name)
{
    struct buf b = vector(name);
    struct seal_cipher c = {0};
    struct cairn_problem why = {0};
    ASSERT_OK(seal_cipher_read(context, buf_span(&b), NULL, &c, &why), why);
    buf_release(&b);
    return c;
}

static struct seal_public_key read_public(const struct seal_context *context, const char *name)
{
    struct buf b = vector(name);
    struct seal_public_key k = {0};
    struct cairn_problem why = {0};
    ASSERT_OK(seal_public_key_read(context, buf_span(&b), NULL, &k, &why), why);
    buf_release(&b);
    return k;
}

static struct seal_plain decrypt(const struct seal_context *context,
                                 const struct seal_secret_key *key, const struct seal_cipher *c)
{
    struct seal_plain p = {0};
    struct cairn_problem why = {0};
    ASSERT_OK(seal_decrypt(context, key, c, &p, &why), why);
    return p;
}

/* (i 0x9E3779B97F4A7C15 mod 2^64) mod t, the plaintext of the BFV sets */
static uint64_t documented(size_t i, uint64_t t)
{
    return i * UINT64_C(0x9E3779B97F4A7C15) % t;
}

static void assert_documented(const struct seal_plain *p, uint64_t times, uint64_t t)
{
    for (size_t i = 0; i < p->count; i++) {
        assert_int_equal(p->words[i], times * documented(i, t) % t);
    }
}

/* ---- parameters and parms_id ---- */

static void test_seal_vectors__parameters_in_every_form(void **state)
{
    (void)state;
    struct seal_params plain = vector_params("bfv2k1.parms.none");
    assert_int_equal(plain.scheme, SEAL_BFV);
    assert_int_equal(plain.degree, 2048);
    assert_int_equal(plain.primes, 1);
    assert_int_equal(plain.q[0], 0x3ffffffffed001);
    assert_int_equal(plain.plain_modulus, UINT64_C(1) << 32);
    static const char *const same[] = {"bfv2k1.parms.v37", "bfv2k1.parms.zlib",
                                       "bfv2k1.parms.zstd"};
    for (size_t i = 0; i < 3; i++) {
        struct seal_params p = vector_params(same[i]);
        assert_memory_equal(&p, &plain, sizeof p);
    }
    struct seal_params ckks = vector_params("ckks8k.parms.none");
    struct seal_params zstd = vector_params("ckks8k.parms.zstd");
    assert_memory_equal(&ckks, &zstd, sizeof ckks);
    static const unsigned bits[] = {60, 40, 40, 60};
    uint64_t q[4];
    assert_int_equal(seal_params_create_moduli(8192, bits, 4, q, NULL), 0);
    assert_memory_equal(q, ckks.q, sizeof q);
}

static void assert_id(const struct seal_context *context, unsigned level, const char *name)
{
    struct buf b = vector(name);
    assert_int_equal(b.size, SEAL_ID_SIZE);
    assert_memory_equal(b.data, seal_context_id(context, level), SEAL_ID_SIZE);
    buf_release(&b);
}

static void test_seal_vectors__ids_of_levels(void **state)
{
    (void)state;
    struct seal_context *bfv = vector_context("bfv2k1.parms.none");
    struct seal_context *ckks = vector_context("ckks8k.parms.none");
    assert_id(bfv, 1, "bfv2k1.keyid");
    assert_id(bfv, seal_context_first_level(bfv), "bfv2k1.firstid");
    assert_id(ckks, 4, "ckks8k.keyid");
    assert_id(ckks, seal_context_first_level(ckks), "ckks8k.firstid");
    seal_context_free(bfv);
    seal_context_free(ckks);
}

static void assert_ramp(const char *parms, const char *ramp)
{
    struct seal_context *context = vector_context(parms);
    struct buf b = vector(ramp);
    const size_t n = context->params.degree;
    uint64_t *a = calloc(n, sizeof *a);
    assert_int_equal(b.size, 8 * n);
    for (size_t i = 0; i < n; i++) {
        a[i] = i + 1;
    }
    prime_ntt_forward(a, &context->ring.ntt[0]);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(a[i], le_get64(b.data + 8 * i));
    }
    prime_ntt_backward(a, &context->ring.ntt[0]);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(a[i], i + 1);
    }
    free(a);
    buf_release(&b);
    seal_context_free(context);
}

static void test_seal_vectors__transforms(void **state)
{
    (void)state;
    assert_ramp("bfv2k1.parms.none", "bfv2k1.nttramp");
    assert_ramp("ckks8k.parms.none", "ckks8k.nttramp");
}

/* ---- written again, byte for byte ---- */

static void assert_plain_again(const struct seal_context *context, const char *name)
{
    struct buf file = vector(name), ours = {0};
    struct seal_plain p = read_plain(context, name);
    assert_int_equal(seal_plain_write(context, &p, SEAL_VERSION_4_1, &ours), 0);
    assert_same_object(&file, &ours);
    buf_release(&ours);
    seal_plain_release(&p);
}

static void assert_key_again(const struct seal_context *context, const char *name,
                             enum seal_version version)
{
    struct buf file = vector(name), ours = {0};
    struct seal_secret_key k = read_key(context, name);
    assert_int_equal(seal_secret_key_write(context, &k, version, &ours), 0);
    assert_same_object(&file, &ours);
    buf_release(&ours);
    seal_secret_key_release(&k);
}

static void assert_cipher_again(const struct seal_context *context, const char *name,
                                const struct seal_options *options)
{
    struct buf file = vector(name), ours = {0};
    struct seal_cipher c = read_cipher(context, name);
    assert_int_equal(seal_cipher_write(context, &c, options, &ours), 0);
    assert_same_object(&file, &ours);
    buf_release(&ours);
    seal_cipher_release(&c);
}

static void assert_public_again(const struct seal_context *context, const char *name)
{
    struct buf file = vector(name), ours = {0};
    struct seal_public_key k = read_public(context, name);
    assert_int_equal(seal_public_key_write(context, &k, NULL, &ours), 0);
    assert_same_object(&file, &ours);
    buf_release(&ours);
    seal_public_key_release(&k);
}

static void test_seal_vectors__bfv_objects_come_out_as_they_went_in(void **state)
{
    (void)state;
    struct seal_context *context = vector_context("bfv2k1.parms.none");
    struct buf file = vector("bfv2k1.parms.none"), ours = {0};
    assert_int_equal(seal_params_write(seal_context_params(context), NULL, &ours), 0);
    assert_same_object(&file, &ours);
    file = vector("bfv2k1.parms.v37");
    assert_int_equal(seal_params_write(seal_context_params(context), &version_3_7, &ours), 0);
    assert_same_object(&file, &ours);
    buf_release(&ours);
    assert_plain_again(context, "bfv2k1.pt.none");
    assert_key_again(context, "bfv2k1.sk.none", SEAL_VERSION_4_1);
    assert_key_again(context, "bfv2k1.sk.v37", SEAL_VERSION_3_7);
    assert_cipher_again(context, "bfv2k1.ct.none", NULL);
    assert_cipher_again(context, "bfv2k1.ct.v37", &version_3_7);
    assert_cipher_again(context, "bfv2k1.sct.none", NULL);
    assert_cipher_again(context, "bfv2k1.sct.v37", &version_3_7);
    assert_cipher_again(context, "bfv2k1.sct.shake", NULL);
    assert_cipher_again(context, "bfv2k1.addplain", NULL);
    assert_public_again(context, "bfv2k1.pk.none");
    assert_public_again(context, "bfv2k1.spk.none");
    seal_context_free(context);
}

static void test_seal_vectors__ckks_objects_come_out_as_they_went_in(void **state)
{
    (void)state;
    struct seal_context *context = vector_context("ckks8k.parms.none");
    assert_plain_again(context, "ckks8k.pt.none");
    assert_plain_again(context, "ckks8k.slot1.none");
    assert_key_again(context, "ckks8k.sk.none", SEAL_VERSION_4_1);
    assert_cipher_again(context, "ckks8k.sct.none", NULL);
    assert_cipher_again(context, "ckks8k.lvl0.ct", NULL);
    seal_context_free(context);
    context = vector_context("rej.parms");
    assert_cipher_again(context, "rej.sct", NULL);
    seal_context_free(context);
    context = vector_context("capsule15.parms");
    assert_cipher_again(context, "capsule15.ct", NULL);
    assert_key_again(context, "capsule15.sk", SEAL_VERSION_4_1);
    assert_plain_again(context, "capsule15.pt");
    seal_context_free(context);
}

/* Another version of the libraries may compress otherwise: what is asked is that the compressed
 * vectors hold the same words, and that ours are read back as them. */
static void test_seal_vectors__compressed_objects_hold_the_same(void **state)
{
    (void)state;
    struct seal_context *context = vector_context("bfv2k1.parms.none");
    struct seal_cipher plain = read_cipher(context, "bfv2k1.ct.none");
    struct seal_public_key key = read_public(context, "bfv2k1.pk.none");
    static const char *const ciphers[] = {"bfv2k1.ct.zlib", "bfv2k1.ct.zstd"};
    static const char *const keys[] = {"bfv2k1.pk.zlib", "bfv2k1.pk.zstd"};
    for (int i = 0; i < 2; i++) {
        struct seal_options o = {SEAL_VERSION_4_1, i == 0 ? SEAL_ZLIB : SEAL_ZSTD};
        struct seal_cipher c = read_cipher(context, ciphers[i]);
        struct seal_public_key k = read_public(context, keys[i]);
        assert_memory_equal(c.words, plain.words, 8 * plain.count);
        assert_memory_equal(k.pair.words, key.pair.words, 8 * key.pair.count);
        struct buf b = {0};
        assert_int_equal(seal_cipher_write(context, &c, &o, &b), 0);
        assert_int_equal(b.data[5], o.compression);
        assert_true(b.size < 8 * plain.count);
        memset(c.words, 0, 8 * c.count);
        struct cairn_problem why = {0};
        ASSERT_OK(seal_cipher_read(context, buf_span(&b), NULL, &c, &why), why);
        assert_memory_equal(c.words, plain.words, 8 * plain.count);
        buf_release(&b);
        seal_cipher_release(&c);
        seal_public_key_release(&k);
    }
    seal_cipher_release(&plain);
    seal_public_key_release(&key);
    seal_context_free(context);
}

/* ---- seeds ---- */

/* A file of words: those from `first` on are what the object must have expanded to. */
static void assert_words(const char *name, size_t first, const uint64_t *words, size_t count)
{
    struct buf b = vector(name);
    assert_int_equal(b.size, 8 * count);
    for (size_t i = first; i < count; i++) {
        assert_int_equal(words[i], le_get64(b.data + 8 * i));
    }
    buf_release(&b);
}

static void test_seal_vectors__seeds_expand_as_in_seal(void **state)
{
    (void)state;
    struct seal_context *context = vector_context("bfv2k1.parms.none");
    struct seal_cipher c = read_cipher(context, "bfv2k1.sct.none");
    assert_true(c.seeded);
    assert_words("bfv2k1.sct.data", 0, c.words, c.count);
    seal_cipher_release(&c);
    c = read_cipher(context, "bfv2k1.sct.shake");
    assert_int_equal(c.seed.prng, SEAL_SHAKE256);
    assert_words("bfv2k1.sct.shake.data", c.count / 2, c.words, c.count);
    seal_cipher_release(&c);
    struct seal_public_key k = read_public(context, "bfv2k1.spk.none");
    assert_words("bfv2k1.spk.data", 0, k.pair.words, k.pair.count);
    seal_public_key_release(&k);
    seal_context_free(context);
    context = vector_context("rej.parms");
    c = read_cipher(context, "rej.sct");
    assert_words("rej.data", 0, c.words, c.count);
    seal_cipher_release(&c);
    seal_context_free(context);
}

/* ---- decryption ---- */

static void assert_decrypts(const struct seal_context *context, const struct seal_secret_key *key,
                            const char *name, uint64_t times)
{
    struct seal_cipher c = read_cipher(context, name);
    struct seal_plain p = decrypt(context, key, &c);
    assert_int_equal(p.count, context->params.degree);
    assert_documented(&p, times, context->params.plain_modulus);
    seal_plain_release(&p);
    seal_cipher_release(&c);
}

static void test_seal_vectors__bfv_decrypts_to_the_documented_plaintext(void **state)
{
    (void)state;
    struct seal_context *context = vector_context("bfv2k1.parms.none");
    struct seal_secret_key key = read_key(context, "bfv2k1.sk.none");
    struct seal_plain p = read_plain(context, "bfv2k1.pt.none");
    assert_documented(&p, 1, UINT64_C(1) << 32);
    seal_plain_release(&p);
    static const char *const names[] = {"bfv2k1.ct.none", "bfv2k1.ct.v37",   "bfv2k1.ct.zlib",
                                        "bfv2k1.ct.zstd", "bfv2k1.sct.none", "bfv2k1.sct.v37"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_decrypts(context, &key, names[i], 1);
    }
    assert_decrypts(context, &key, "bfv2k1.addplain", 2);
    seal_secret_key_release(&key);
    seal_context_free(context);
}

/* SEAL's add_plain of the same operands gave these very words. */
static void test_seal_vectors__add_plain_word_for_word(void **state)
{
    (void)state;
    struct seal_context *context = vector_context("bfv2k1.parms.none");
    struct seal_cipher c = read_cipher(context, "bfv2k1.ct.none");
    struct seal_plain p = read_plain(context, "bfv2k1.pt.none");
    struct buf file = vector("bfv2k1.addplain"), ours = {0};
    assert_int_equal(seal_add_plain(context, &c, &p, NULL), 0);
    assert_int_equal(seal_cipher_write(context, &c, NULL, &ours), 0);
    assert_same_object(&file, &ours);
    buf_release(&ours);
    seal_plain_release(&p);
    seal_cipher_release(&c);
    seal_context_free(context);
}

static void test_seal_vectors__summed_capsule(void **state)
{
    (void)state;
    struct seal_context *context = vector_context("capsule15.parms");
    struct seal_secret_key key = read_key(context, "capsule15.sk");
    struct seal_cipher c = read_cipher(context, "capsule15.ct");
    struct seal_plain expected = read_plain(context, "capsule15.pt");
    struct seal_plain p = decrypt(context, &key, &c);
    assert_memory_equal(p.words, expected.words, 8 * p.count);
    seal_plain_release(&p);
    seal_plain_release(&expected);
    seal_cipher_release(&c);
    seal_secret_key_release(&key);
    seal_context_free(context);
}

/* Slot j holds 0.001 j - 1; the tolerance is what is documented for scale 2^40. */
static void assert_slots(const struct seal_ckks_encoder *encoder, const struct seal_plain *p,
                         double tolerance)
{
    const size_t slots = seal_ckks_slots(encoder);
    double *values = calloc(slots, sizeof *values), worst = 0;
    assert_int_equal(seal_ckks_decode(encoder, p, values, NULL), 0);
    for (size_t j = 0; j < slots; j++) {
        worst = fmax(worst, fabs(values[j] - (0.001 * (double)j - 1)));
    }
    print_message("largest error %g\n", worst);
    assert_true(worst < tolerance);
    free(values);
}

static void test_seal_vectors__ckks_decrypts_to_the_documented_slots(void **state)
{
    (void)state;
    struct seal_context *context = vector_context("ckks8k.parms.none");
    struct seal_secret_key key = read_key(context, "ckks8k.sk.none");
    struct seal_ckks_encoder *encoder;
    assert_int_equal(seal_ckks_encoder_new(context, &encoder, NULL), 0);
    struct seal_plain p = read_plain(context, "ckks8k.pt.none");
    assert_slots(encoder, &p, 1e-9);
    seal_plain_release(&p);
    static const char *const names[] = {"ckks8k.ct.zstd", "ckks8k.sct.none", "ckks8k.lvl0.ct"};
    for (size_t i = 0; i < 3; i++) {
        struct seal_cipher c = read_cipher(context, names[i]);
        p = decrypt(context, &key, &c);
        assert_slots(encoder, &p, 1e-8);
        seal_plain_release(&p);
        seal_cipher_release(&c);
    }
    seal_ckks_encoder_free(encoder);
    seal_secret_key_release(&key);
    seal_context_free(context);
}

/* Largest difference of two plaintexts' coefficients, modulo the first prime, centred. */
static uint64_t distance(const struct seal_context *context, const struct seal_plain *a,
                         const struct seal_plain *b)
{
    const struct prime_ntt *t = &context->ring.ntt[0];
    uint64_t *d = calloc(t->n, sizeof *d), worst = 0;
    for (size_t i = 0; i < t->n; i++) {
        d[i] = prime_sub(a->words[i], b->words[i], &t->m);
    }
    prime_ntt_backward(d, t);
    for (size_t i = 0; i < t->n; i++) {
        uint64_t x = d[i] < t->m.q / 2 ? d[i] : t->m.q - d[i];
        worst = x > worst ? x : worst;
    }
    free(d);
    return worst;
}

/* Both round the same real numbers; at a half, floating point may decide otherwise. */
static void test_seal_vectors__encoder_agrees_with_seal(void **state)
{
    (void)state;
    struct seal_context *context = vector_context("ckks8k.parms.none");
    struct seal_ckks_encoder *encoder;
    assert_int_equal(seal_ckks_encoder_new(context, &encoder, NULL), 0);
    double values[4096];
    for (size_t j = 0; j < 4096; j++) {
        values[j] = 0.001 * (double)j - 1;
    }
    const double scale = ldexp(1, 40), one[2] = {0, 1};
    struct seal_plain ours = {0}, theirs = read_plain(context, "ckks8k.pt.none");
    assert_int_equal(seal_ckks_encode(encoder, values, 4096, scale, 3, &ours, NULL), 0);
    print_message("pt: coefficients differ by %llu at most\n",
                  (unsigned long long)distance(context, &ours, &theirs));
    assert_true(distance(context, &ours, &theirs) <= 1);
    seal_plain_release(&theirs);
    theirs = read_plain(context, "ckks8k.slot1.none");
    assert_int_equal(seal_ckks_encode(encoder, one, 2, scale, 3, &ours, NULL), 0);
    print_message("slot1: coefficients differ by %llu at most\n",
                  (unsigned long long)distance(context, &ours, &theirs));
    assert_true(distance(context, &ours, &theirs) <= 1);
    seal_plain_release(&theirs);
    seal_plain_release(&ours);
    seal_ckks_encoder_free(encoder);
    seal_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seal_vectors__parameters_in_every_form),
        cmocka_unit_test(test_seal_vectors__ids_of_levels),
        cmocka_unit_test(test_seal_vectors__transforms),
        cmocka_unit_test(test_seal_vectors__bfv_objects_come_out_as_they_went_in),
        cmocka_unit_test(test_seal_vectors__ckks_objects_come_out_as_they_went_in),
        cmocka_unit_test(test_seal_vectors__compressed_objects_hold_the_same),
        cmocka_unit_test(test_seal_vectors__seeds_expand_as_in_seal),
        cmocka_unit_test(test_seal_vectors__bfv_decrypts_to_the_documented_plaintext),
        cmocka_unit_test(test_seal_vectors__add_plain_word_for_word),
        cmocka_unit_test(test_seal_vectors__summed_capsule),
        cmocka_unit_test(test_seal_vectors__ckks_decrypts_to_the_documented_slots),
        cmocka_unit_test(test_seal_vectors__encoder_agrees_with_seal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
