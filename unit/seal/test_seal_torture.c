/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SEAL's objects without memory, randomness or threads (torture.h): made, written and read, in every
 * compression. zlib's and zstd's own requests are not refused.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "seal_ckks.h"
#include "seal_context.h"
#include "seal_crypto.h"
#include "torture.h"

enum { N = 8, PRIMES = 3, OBJECTS = 3 };

/* Parameters, secret key, public key and ciphertext of one scheme. */
struct world {
    enum seal_scheme scheme;
    struct seal_context *context;
    struct seal_secret_key sk;
    struct seal_public_key pk;
    struct seal_plain pt;
    struct seal_cipher ct;
};

/* What is written and read; a scenario's argument. */
struct case_of {
    const struct world *world;
    struct seal_options options;
    struct buf bytes[OBJECTS];
};

static const int no_cipher[] = {CAIRN_ERR_NO_ENTROPY, CAIRN_ERR_ENVIRONMENT, 0};

static void world_release(struct world *w)
{
    seal_secret_key_release(&w->sk);
    seal_public_key_release(&w->pk);
    seal_plain_release(&w->pt);
    seal_cipher_release(&w->ct);
    seal_context_free(w->context);
}

static int make_plain(struct world *w)
{
    if (w->scheme == SEAL_BFV) {
        const uint64_t m[N] = {1, 2, 3, 16, 5, 0, 7, 8};
        return seal_plain_from_coefficients(w->context, m, &w->pt, NULL);
    }
    struct seal_ckks_encoder *encoder = NULL;
    const double values[N / 2] = {0.5, -1, 2, 0};
    int rc = seal_ckks_encoder_new(w->context, &encoder, NULL);
    if (rc == 0) {
        rc = seal_ckks_encode(encoder, values, N / 2, ldexp(1, 20), 2, &w->pt, NULL);
    }
    seal_ckks_encoder_free(encoder);
    return rc;
}

static int make_world(struct world *w)
{
    static const unsigned bits[PRIMES] = {30, 30, 30};
    struct secret_rng *rng = NULL;
    struct seal_params p = {.scheme = w->scheme,
                            .degree = N,
                            .primes = PRIMES,
                            .plain_modulus = w->scheme == SEAL_BFV ? 17 : 0};
    int rc = seal_params_create_moduli(N, bits, PRIMES, p.q, NULL);
    if (rc == 0) {
        rc = seal_context_new(&p, SEAL_INSECURE, &w->context, NULL);
    }
    if (rc == 0) {
        rc = secret_rng_new(&rng);
    }
    if (rc == 0) {
        rc = seal_keygen(w->context, rng, &w->sk, NULL);
    }
    if (rc == 0) {
        rc = seal_public_key_make(w->context, &w->sk, rng, false, &w->pk, NULL);
    }
    if (rc == 0) {
        rc = make_plain(w);
    }
    if (rc == 0) {
        rc = seal_encrypt(w->context, &w->pk, rng, &w->pt, &w->ct, NULL);
    }
    secret_rng_free(rng);
    return rc;
}

static int make(void *ctx)
{
    struct world w = {.scheme = ((const struct world *)ctx)->scheme};
    const int rc = make_world(&w);
    torture_over();
    world_release(&w);
    return rc;
}

static int write_all(const struct case_of *c, struct buf out[OBJECTS])
{
    const struct world *w = c->world;
    int rc = seal_secret_key_write(w->context, &w->sk, c->options.version, &out[0]);
    if (rc == 0) {
        rc = seal_public_key_write(w->context, &w->pk, &c->options, &out[1]);
    }
    return rc != 0 ? rc : seal_cipher_write(w->context, &w->ct, &c->options, &out[2]);
}

static int write_objects(void *ctx)
{
    const struct case_of *c = ctx;
    struct buf out[OBJECTS] = {{0}};
    const int rc = write_all(c, out);
    torture_over();
    for (int i = 0; i < OBJECTS; i++) {
        /* whole or not there */
        assert_true(out[i].size == c->bytes[i].size || (rc != 0 && out[i].size == 0));
        buf_release(&out[i]);
    }
    return rc;
}

static int read_objects(void *ctx)
{
    const struct case_of *c = ctx;
    const struct world *w = c->world;
    struct world read = {.context = NULL};
    struct cairn_problem why = {0};
    int rc = seal_secret_key_read(w->context, buf_span(&c->bytes[0]), NULL, &read.sk, &why);
    if (rc == 0) {
        rc = seal_public_key_read(w->context, buf_span(&c->bytes[1]), NULL, &read.pk, &why);
    }
    if (rc == 0) {
        rc = seal_cipher_read(w->context, buf_span(&c->bytes[2]), NULL, &read.ct, &why);
    }
    torture_over();
    assert_int_equal(why.code, rc);
    if (rc == 0) {
        assert_memory_equal(read.sk.words, w->sk.words, w->sk.count * sizeof *w->sk.words);
        assert_memory_equal(read.ct.words, w->ct.words, w->ct.count * sizeof *w->ct.words);
    } else {
        assert_true(read.ct.words == NULL && read.ct.count == 0);
    }
    world_release(&read);
    return rc;
}

static void test_seal_torture__objects(void **state)
{
    (void)state;
    static const enum seal_scheme schemes[] = {SEAL_BFV, SEAL_CKKS};
    for (size_t s = 0; s < 2; s++) {
        struct world w = {.scheme = schemes[s]};
        torture("make", make, &w, no_cipher);
        assert_int_equal(make_world(&w), 0);
        for (int compression = SEAL_PLAIN; compression <= SEAL_ZSTD; compression++) {
            struct case_of c = {.world = &w,
                                .options.compression = (enum seal_compression)compression};
            assert_int_equal(write_all(&c, c.bytes), 0);
            torture("write", write_objects, &c, NULL);
            torture("read", read_objects, &c, NULL);
            for (int i = 0; i < OBJECTS; i++) {
                buf_release(&c.bytes[i]);
            }
        }
        world_release(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seal_torture__objects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
