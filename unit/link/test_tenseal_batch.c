/* SPDX-License-Identifier: Apache-2.0 */
/* A payload, taken apart into SEAL's ciphertexts and put into TenSEAL's vector, comes back to the
 * same bytes: what is behind a conversion is then what is behind a cairn client's batch. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "digest.h"
#include "he_ckks.h"
#include "he_layout.h"
#include "random.h"
#include "seal_bridge.h"
#include "seal_crypto.h"
#include "tenseal.h"
#include "tenseal_batch.h"

enum {
    CLIENTS = 11,
    N = 5 * HE_CKKS_SLOTS + 77, /* frames of two chunks: 2, 2, 2, the last not full */
    FRAME = 2 * HE_CKKS_SLOTS,
    BATCH_BYTES = 2 << 20, /* three frames */
};

static const uint8_t experiment[WIRE_EXPERIMENT] = "sixteen letters";
static struct cairn_problem why;
static struct fed_plan plan;
static struct he_public_key *key;
static struct he_secret_key *secret;
static struct seal_context *context;
static struct buf key_bytes;

static int make_keys(void **state)
{
    struct he_params he;
    struct seal_params p;
    struct secret_rng *rng;
    (void)state;
    seal_bridge_ckks_params(&p);
    int err = secret_rng_new(&rng);
    err = err != 0 ? err : he_params_choose(HE_SEAL_CKKS, 16, CLIENTS, &he, &why);
    err = err != 0 ? err : fed_plan_init(&plan, &he, N, FRAME, CLIENTS, BATCH_BYTES, &why);
    err = err != 0 ? err : he_keygen(&he, rng, &secret, &key);
    err = err != 0 ? err : he_public_key_write(key, &key_bytes);
    err = err != 0 ? err : seal_context_new(&p, SEAL_128, &context, &why);
    secret_rng_free(rng);
    return err;
}

static int drop_keys(void **state)
{
    (void)state;
    he_public_key_free(key);
    he_secret_key_free(secret);
    seal_context_free(context);
    buf_release(&key_bytes);
    return 0;
}

/* A vector of ciphertexts that owns their bytes. */
struct vector {
    struct tenseal_vector v;
    struct buf bytes[8];
    uint32_t sizes[8];
    struct span spans[8];
};

static void add_cipher(struct vector *x, const struct seal_cipher *c, struct seal_options options)
{
    struct buf *bytes = &x->bytes[x->v.chunks];
    assert_int_equal(seal_cipher_write(context, c, &options, bytes), 0);
    x->sizes[x->v.chunks] = HE_CKKS_SLOTS;
    x->spans[x->v.chunks++] = buf_span(bytes);
    x->v.sizes = x->sizes;
    x->v.ciphertexts = x->spans;
    x->v.scale = 0x1p40;
}

static void vector_release(struct vector *x)
{
    for (size_t i = 0; i < x->v.chunks; i++) {
        buf_release(&x->bytes[i]);
    }
    *x = (struct vector){0};
}

/* What a cairn client's frames carry. */
static struct buf encrypt(uint32_t frame)
{
    const size_t n = fed_plan_count(&plan, frame);
    struct buf payload = {0};
    struct secret_rng *rng;
    int32_t *values = calloc(n, sizeof *values);
    assert_int_equal(buf_reserve(&payload, he_payload_bytes(&plan.he, n)), 0);
    payload.size = he_payload_bytes(&plan.he, n);
    for (size_t i = 0; i < n; i++) {
        values[i] = (int32_t)(i % 65535) - 32767;
    }
    assert_int_equal(secret_rng_new(&rng), 0);
    const uint8_t nonce[HE_NONCE_SIZE] = {0};
    assert_int_equal(he_encrypt(&plan.he, key, rng, NULL, nonce, 1, frame, values, n, payload.data,
                                &why),
                     0);
    secret_rng_free(rng);
    free(values);
    return payload;
}

static void add_payload(struct vector *x, uint32_t frame, const struct buf *payload,
                        struct seal_options options)
{
    const size_t n = fed_plan_count(&plan, frame);
    struct seal_cipher c = {0};
    for (size_t j = 0; j < he_chunks(&plan.he, n); j++) {
        assert_int_equal(seal_bridge_ckks(context, &plan.he, payload->data, n, j, &c, &why), 0);
        add_cipher(x, &c, options);
    }
    seal_cipher_release(&c);
}

static const char *query_of(struct span body, uint32_t first, const char *more)
{
    static char query[320];
    uint8_t digest[DIGEST_SIZE];
    char id[2 * WIRE_EXPERIMENT + 1], hex[DIGEST_HEX_SIZE];
    digest_of(body.data, body.size, digest);
    digest_hex(digest, DIGEST_SIZE, hex);
    digest_hex(experiment, WIRE_EXPERIMENT, id);
    (void)snprintf(query, sizeof query, "exp=%s&round=7&origin=4&first=%u&digest=%s&%s", id, first,
                   hex, more);
    return query;
}

static const char usual[] = "form=tenseal&client=9&weight=1000";

static int make(const struct vector *x, uint32_t first, const char *more, struct buf *out)
{
    struct buf bytes = {0};
    memset(&why, 0, sizeof why);
    assert_int_equal(tenseal_vector_write(&x->v, &bytes), 0);
    const int err = tenseal_batch_make(&plan, experiment, BATCH_BYTES,
                                       query_of(buf_span(&bytes), first, more), buf_span(&bytes),
                                       out, &why);
    buf_release(&bytes);
    return err;
}

static void test_tenseal_batch__is_what_a_client_would_have_sent(void **state)
{
    const struct seal_options options[] = {{SEAL_VERSION_3_7, SEAL_PLAIN},
                                           {SEAL_VERSION_4_1, SEAL_ZSTD},
                                           {SEAL_VERSION_4_1, SEAL_ZLIB}};
    (void)state;
    assert_int_equal(plan.n_frames, 3);
    for (size_t o = 0; o < 3; o++) {
        struct vector x = {0};
        struct buf payloads[2], out = {0};
        struct wire_batch batch;
        struct wire_frame frame;
        for (uint32_t i = 0; i < 2; i++) {
            payloads[i] = encrypt(1 + i);
            add_payload(&x, 1 + i, &payloads[i], options[o]);
        }
        assert_int_equal(make(&x, 1, usual, &out), 0);
        assert_int_equal(wire_batch_read(buf_span(&out), &batch, &why), 0);
        assert_memory_equal(batch.context.experiment, experiment, WIRE_EXPERIMENT);
        assert_int_equal(batch.context.round, 7);
        assert_int_equal(batch.origin, 4);
        assert_int_equal(batch.frames, 2);
        for (uint32_t i = 0; i < 2; i++) {
            assert_int_equal(wire_batch_next(&batch, &frame, &why), 1);
            assert_int_equal(fed_plan_check(&plan, &frame, &why), 0);
            assert_int_equal(fed_plan_check_fields(&plan, &frame, &why), 0);
            assert_int_equal(frame.index, 1 + i);
            assert_int_equal(frame.weight, 1000);
            assert_int_equal(frame.contributor_set.data[0], 0);
            assert_int_equal(frame.contributor_set.data[1], 2);
            assert_int_equal(frame.payload.size, payloads[i].size);
            assert_memory_equal(frame.payload.data, payloads[i].data, payloads[i].size);
            buf_release(&payloads[i]);
        }
        assert_int_equal(wire_batch_next(&batch, &frame, &why), 0);
        buf_release(&out);
        vector_release(&x);
    }
}

/* A refusal that says `word` and leaves the output as it was. */
static void refused(const struct vector *x, uint32_t first, const char *more, int code,
                    const char *word)
{
    struct buf out = {0};
    assert_int_equal(buf_append(&out, "before", 6), 0);
    const int err = make(x, first, more, &out);
    if (err != code || strstr(why.what, word) == NULL) {
        print_error("%d, not %d: %s\n", err, code, why.what);
        fail();
    }
    assert_int_equal(why.code, code);
    assert_int_equal(out.size, 6);
    buf_release(&out);
}

static void test_tenseal_batch__queries(void **state)
{
    static const struct {
        const char *more;
        int code;
        const char *word;
    } cases[] = {
        {"form=tenseal&client=8", CAIRN_ERR_MALFORMED, "weight"},
        {"form=tenseal&weight=1", CAIRN_ERR_MALFORMED, "client"},
        {"form=seal&client=8&weight=1", CAIRN_ERR_MALFORMED, "form=tenseal"},
        {"form=tenseal&client=8&weight=1&weight=2", CAIRN_ERR_MALFORMED, "weight"},
        {"form=tenseal&client=11&weight=1", CAIRN_ERR_REFUSED, "client 11 of 11"},
        {"form=tenseal&client=0&weight=0", CAIRN_ERR_REFUSED, "0 samples"},
    };
    struct vector x = {0};
    struct buf payload = encrypt(0), bytes = {0}, out = {0};
    (void)state;
    add_payload(&x, 0, &payload, (struct seal_options){SEAL_VERSION_3_7, SEAL_PLAIN});
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        refused(&x, 0, cases[i].more, cases[i].code, cases[i].word);
    }
    assert_int_equal(tenseal_vector_write(&x.v, &bytes), 0);
    const char *query = query_of(buf_span(&bytes), 0, usual);
    bytes.data[bytes.size / 2] ^= 1;
    assert_int_equal(tenseal_batch_make(&plan, experiment, BATCH_BYTES, query, buf_span(&bytes),
                                        &out, &why),
                     CAIRN_ERR_INTEGRITY);
    char none[512]; /* found by the fuzzer: a batch was made that no reader of batches takes */
    snprintf(none, sizeof none, "%s", query);
    memcpy(strstr(none, "round="), "round=0", 7);
    assert_int_equal(tenseal_batch_make(&plan, experiment, BATCH_BYTES, none, buf_span(&bytes),
                                        &out, &why),
                     CAIRN_ERR_MALFORMED);
    const uint8_t other[WIRE_EXPERIMENT] = {1};
    assert_int_equal(
        tenseal_batch_make(&plan, other, BATCH_BYTES, query, buf_span(&bytes), &out, &why),
        CAIRN_ERR_UNKNOWN);
    assert_int_equal(out.size, 0);
    assert_true(tenseal_batch_asked(usual));
    assert_true(tenseal_batch_asked("round=1&form=x"));
    assert_false(tenseal_batch_asked("round=1&first=0"));
    buf_release(&payload);
    buf_release(&bytes);
    vector_release(&x);
}

static void test_tenseal_batch__frames(void **state)
{
    struct vector x = {0};
    struct buf payload = encrypt(0);
    const struct seal_options plain = {SEAL_VERSION_3_7, SEAL_PLAIN};
    (void)state;
    add_payload(&x, 0, &payload, plain);
    x.v.chunks = 1;
    refused(&x, 0, usual, CAIRN_ERR_REFUSED, "no whole frames");
    x.v.chunks = 2;
    refused(&x, 3, usual, CAIRN_ERR_REFUSED, "no whole frames");
    refused(&x, UINT32_MAX, usual, CAIRN_ERR_REFUSED, "no whole frames");
    x.sizes[1] = 77;
    refused(&x, 0, usual, CAIRN_ERR_REFUSED, "ciphertext 1 holds 77");
    x.sizes[1] = HE_CKKS_SLOTS;
    x.v.scale = 0x1p39;
    refused(&x, 0, usual, CAIRN_ERR_REFUSED, "scale");
    x.v.scale = 0x1p40;
    add_payload(&x, 0, &payload, plain);
    add_payload(&x, 0, &payload, plain);
    refused(&x, 1, usual, CAIRN_ERR_REFUSED, "6 ciphertexts from frame 1");
    struct buf out = {0};
    assert_int_equal(make(&x, 0, usual, &out), 0); /* three frames, as a batch may have */
    assert_true(out.size <= fed_plan_batch_limit(&plan, BATCH_BYTES));
    struct buf bytes = {0};
    assert_int_equal(tenseal_vector_write(&x.v, &bytes), 0);
    struct http_reply refusal = {0};
    assert_true(bytes.size <= tenseal_batch_admit(&plan, BATCH_BYTES, usual, 5, &refusal));
    assert_int_equal(tenseal_batch_admit(&plan, BATCH_BYTES, "round=1", 5, &refusal), 5);
    assert_int_equal(refusal.status, 0);
    assert_true(bytes.size > fed_plan_batch_limit(&plan, BATCH_BYTES));
    assert_int_equal(tenseal_batch_make(&plan, experiment, 1 << 20,
                                        query_of(buf_span(&bytes), 0, usual), buf_span(&bytes),
                                        &out, &why),
                     CAIRN_ERR_REFUSED); /* but not where a batch has one */
    buf_release(&bytes);
    buf_release(&out);
    buf_release(&payload);
    vector_release(&x);
}

static void test_tenseal_batch__ciphertexts(void **state)
{
    struct vector x = {0};
    struct buf payload = encrypt(0);
    struct seal_cipher c = {0};
    const struct seal_options plain = {SEAL_VERSION_3_7, SEAL_PLAIN};
    (void)state;
    const size_t n = fed_plan_count(&plan, 0);
    add_payload(&x, 0, &payload, plain);
    struct buf *second = &x.bytes[1];
    const uint8_t kept = second->data[16];
    second->data[16] ^= 1; /* parms_id */
    refused(&x, 0, usual, CAIRN_ERR_REFUSED, "object 1");
    second->data[16] = kept;
    second->data[0] ^= 1;
    refused(&x, 0, usual, CAIRN_ERR_MALFORMED, "object 1");
    second->data[0] ^= 1;
    memset(second->data + second->size - 8, 0xff, 8); /* a word that is not below its prime */
    refused(&x, 0, usual, CAIRN_ERR_MALFORMED, "object 1");
    buf_clear(second);
    assert_int_equal(seal_bridge_ckks(context, &plan.he, payload.data, n, 1, &c, &why), 0);
    c.scale = 0x1p41;
    assert_int_equal(seal_cipher_write(context, &c, &plain, second), 0);
    x.spans[1] = buf_span(second);
    refused(&x, 0, usual, CAIRN_ERR_REFUSED, "its scale");
    c.scale = 0x1p40;
    memset(c.words + c.count / 2, 0, 8 * (c.count / 2)); /* c1 = 0: the values in the clear */
    buf_clear(second);
    assert_int_equal(seal_cipher_write(context, &c, &plain, second), 0);
    x.spans[1] = buf_span(second);
    refused(&x, 0, usual, CAIRN_ERR_REFUSED, "object 1");
    seal_cipher_release(&c);
    buf_release(&payload);
    vector_release(&x);
}

/* Every flipped bit that is not found out by the digest, because that was made anew, ends in a
 * refusal or in a batch that passes the receiver's checks. */
static void test_tenseal_batch__flips(void **state)
{
    struct vector x = {0};
    struct buf payload = encrypt(2), bytes = {0}, out = {0};
    const unsigned seed = 20;
    unsigned made = 0;
    (void)state;
    print_message("seed %u\n", seed);
    srandom(seed);
    add_payload(&x, 2, &payload, (struct seal_options){SEAL_VERSION_4_1, SEAL_PLAIN});
    assert_int_equal(tenseal_vector_write(&x.v, &bytes), 0);
    for (unsigned i = 0; i < 300; i++) { /* in front, where the fields are, and anywhere */
        const size_t at = (size_t)random() % (i % 3 != 0 ? 140 : bytes.size);
        const uint8_t bit = (uint8_t)(1U << random() % 8);
        struct wire_batch batch;
        struct wire_frame frame;
        bytes.data[at] ^= bit;
        buf_clear(&out);
        if (tenseal_batch_make(&plan, experiment, BATCH_BYTES,
                               query_of(buf_span(&bytes), 2, usual), buf_span(&bytes), &out,
                               &why) == 0) {
            made++;
            assert_int_equal(wire_batch_read(buf_span(&out), &batch, &why), 0);
            assert_int_equal(wire_batch_next(&batch, &frame, &why), 1);
            assert_int_equal(fed_plan_check(&plan, &frame, &why), 0);
            assert_int_equal(fed_plan_check_fields(&plan, &frame, &why), 0);
        }
        bytes.data[at] ^= bit;
    }
    assert_true(made > 10 && made < 150); /* flips of words pass, those of fields do not */
    buf_release(&bytes);
    buf_release(&out);
    buf_release(&payload);
    vector_release(&x);
}

static void test_tenseal_batch__other_profiles(void **state)
{
    struct fed_plan other;
    struct he_params he;
    struct buf out = {0};
    (void)state;
    assert_int_equal(he_params_choose(HE_CAPSULE, 16, CLIENTS, &he, &why), 0);
    assert_int_equal(fed_plan_init(&other, &he, N, FRAME, CLIENTS, BATCH_BYTES, &why), 0);
    assert_int_equal(tenseal_batch_make(&other, experiment, BATCH_BYTES,
                                        query_of((struct span){0}, 0, usual), (struct span){0},
                                        &out, &why),
                     CAIRN_ERR_REFUSED);
    assert_non_null(strstr(why.what, "profile is capsule"));
    assert_int_equal(tenseal_batch_context(&other, buf_span(&key_bytes), &out, &why),
                     CAIRN_ERR_REFUSED);
    struct http_reply refusal = {0};
    assert_int_equal(tenseal_batch_admit(&other, BATCH_BYTES, usual, 5, &refusal), 0);
    assert_int_equal(refusal.status, 422);
    assert_int_equal(tenseal_batch_admit(&other, BATCH_BYTES, "round=1", 5, &refusal), 5);
    http_reply_release(&refusal);
}

/* A CKKSVector is encrypted whole. */
static void test_tenseal_batch__a_run_with_a_part_in_plain(void **state)
{
    struct fed_plan split = plan;
    struct buf out = {0};
    (void)state;
    assert_int_equal(fed_plan_split(&split, 5, false, &why), 0);
    assert_int_equal(tenseal_batch_context(&split, buf_span(&key_bytes), &out, &why),
                     CAIRN_ERR_REFUSED);
    assert_non_null(strstr(why.what, "encryption.only"));
    assert_int_equal(tenseal_batch_make(&split, experiment, BATCH_BYTES,
                                        query_of((struct span){0}, 0, usual), (struct span){0}, &out,
                                        &why),
                     CAIRN_ERR_REFUSED);
    assert_non_null(strstr(why.what, "encryption.only"));
}

/* What SEAL encrypts with the context's key, cairn's secret key opens. */
static void test_tenseal_batch__context(void **state)
{
    struct buf out = {0};
    struct tenseal_context c = {0};
    struct seal_params p, wanted;
    struct seal_public_key open = {0}, own = {0};
    (void)state;
    assert_int_equal(tenseal_batch_context(&plan, buf_span(&key_bytes), &out, &why), 0);
    assert_int_equal(tenseal_context_read(buf_span(&out), &c, &why), 0);
    assert_int_equal(c.secret_key.size, 0);
    assert_true(c.scale == 0x1p40 && !c.symmetric);
    seal_bridge_ckks_params(&wanted);
    assert_int_equal(seal_params_read(c.params, NULL, &p, &why), 0);
    assert_memory_equal(p.q, wanted.q, 4 * sizeof p.q[0]);
    assert_int_equal(seal_public_key_read(context, c.public_key, NULL, &open, &why), 0);
    assert_int_equal(seal_bridge_public_key(context, key, &own, &why), 0);
    assert_memory_equal(open.pair.words, own.pair.words, 8 * own.pair.count);
    seal_public_key_release(&open);
    seal_public_key_release(&own);
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tenseal_batch__is_what_a_client_would_have_sent),
        cmocka_unit_test(test_tenseal_batch__queries),
        cmocka_unit_test(test_tenseal_batch__frames),
        cmocka_unit_test(test_tenseal_batch__ciphertexts),
        cmocka_unit_test(test_tenseal_batch__flips),
        cmocka_unit_test(test_tenseal_batch__other_profiles),
        cmocka_unit_test(test_tenseal_batch__a_run_with_a_part_in_plain),
        cmocka_unit_test(test_tenseal_batch__context),
    };
    return cmocka_run_group_tests(tests, make_keys, drop_keys);
}
