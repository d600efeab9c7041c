/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "seal_crypto.h"
#include "seal_look.h"

/* One object of each kind, N = 2048, as its writers make them. */
struct objects {
    struct seal_context *context;
    struct secret_rng *rng;
    struct seal_secret_key secret;
    struct seal_public_key open;
    struct seal_plain plain;
    struct seal_cipher cipher;
};

static void make(struct objects *o)
{
    static uint64_t coefficients[2048];
    struct seal_params p = {
        .scheme = SEAL_BFV, .degree = 2048, .primes = 1, .plain_modulus = 65537};
    const unsigned bits = 54;
    memset(o, 0, sizeof *o);
    assert_int_equal(seal_params_create_moduli(2048, &bits, 1, p.q, NULL), 0);
    assert_int_equal(seal_context_new(&p, SEAL_128, &o->context, NULL), 0);
    assert_int_equal(secret_rng_new(&o->rng), 0);
    assert_int_equal(seal_keygen(o->context, o->rng, &o->secret, NULL), 0);
    assert_int_equal(
        seal_public_key_make(o->context, &o->secret, o->rng, false, &o->open, NULL), 0);
    assert_int_equal(seal_plain_from_coefficients(o->context, coefficients, &o->plain, NULL), 0);
    assert_int_equal(
        seal_encrypt(o->context, &o->open, o->rng, &o->plain, &o->cipher, NULL), 0);
}

static void drop(struct objects *o)
{
    seal_cipher_release(&o->cipher);
    seal_plain_release(&o->plain);
    seal_public_key_release(&o->open);
    seal_secret_key_release(&o->secret);
    secret_rng_free(o->rng);
    seal_context_free(o->context);
}

static void expect(struct buf *b, enum seal_kind kind, const struct seal_options *options)
{
    struct seal_look look;
    size_t consumed = 0;
    const size_t size = b->size;
    assert_int_equal(buf_append(b, "behind", 6), 0);
    assert_true(seal_look_begins(buf_span(b)));
    assert_int_equal(seal_look(buf_span(b), &consumed, &look, NULL), 0);
    assert_int_equal(consumed, size);
    assert_int_equal(look.kind, kind);
    assert_int_equal(look.compression, options->compression);
    assert_int_equal(look.major, options->version == SEAL_VERSION_3_7 ? 3 : 4);
    if (kind == SEAL_KIND_CIPHER || kind == SEAL_KIND_PARAMS) {
        assert_int_equal(look.degree, 2048);
        assert_int_equal(look.primes, 1);
    } else {
        assert_int_equal(look.words, 2048);
    }
    buf_clear(b);
}

static void test_seal_look__kinds(void **state)
{
    struct objects o;
    struct buf b = {0};
    (void)state;
    make(&o);
    for (int v = SEAL_VERSION_4_1; v <= SEAL_VERSION_3_7; v++) {
        for (int c = SEAL_PLAIN; c <= SEAL_ZSTD; c++) {
            const struct seal_options options = {(enum seal_version)v, (enum seal_compression)c};
            const struct seal_options plain = {(enum seal_version)v, SEAL_PLAIN};
            assert_int_equal(seal_params_write(seal_context_params(o.context), &options, &b), 0);
            expect(&b, SEAL_KIND_PARAMS, &options);
            assert_int_equal(seal_public_key_write(o.context, &o.open, &options, &b), 0);
            expect(&b, SEAL_KIND_CIPHER, &options);
            assert_int_equal(seal_cipher_write(o.context, &o.cipher, &options, &b), 0);
            expect(&b, SEAL_KIND_CIPHER, &options);
            assert_int_equal(seal_secret_key_write(o.context, &o.secret, plain.version, &b), 0);
            expect(&b, SEAL_KIND_SECRET, &plain);
            assert_int_equal(seal_plain_write(o.context, &o.plain, plain.version, &b), 0);
            expect(&b, SEAL_KIND_PLAIN, &plain);
        }
    }
    buf_release(&b);
    drop(&o);
}

/* Every beginning of an object is refused, and so is what is none; outputs stay. */
static void test_seal_look__cut_and_others(void **state)
{
    struct objects o;
    struct buf b = {0};
    struct seal_look look = {.degree = 77};
    size_t consumed = 99;
    uint8_t other[200] = {0};
    (void)state;
    make(&o);
    assert_int_equal(seal_cipher_write(o.context, &o.cipher, NULL, &b), 0);
    for (size_t n = 0; n < 300; n++) {
        assert_int_not_equal(seal_look((struct span){b.data, n}, &consumed, &look, NULL), 0);
    }
    memcpy(other, b.data, 16);
    memset(other + 8, 0, 8);
    other[8] = sizeof other;
    assert_int_equal(seal_look((struct span){other, sizeof other}, &consumed, &look, NULL),
                     CAIRN_ERR_REFUSED);
    assert_int_equal(look.degree, 77);
    assert_int_equal(consumed, 99);
    assert_false(seal_look_begins((struct span){b.data, 15}));
    buf_release(&b);
    drop(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seal_look__kinds),
        cmocka_unit_test(test_seal_look__cut_and_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
