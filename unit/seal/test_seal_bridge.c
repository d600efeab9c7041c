/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cairn's own keys and sums as SEAL objects: written, read back as any SEAL would, and opened with
 * SEAL's arithmetic to the same sums that he_open gives.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "he_choice.h"
#include "he_ckks.h"
#include "he_export.h"
#include "modulus.h"
#include "ring.h"
#include "seal_bridge.h"
#include "seal_ckks.h"
#include "seal_context.h"
#include "seal_crypto.h"

enum { CLIENTS = 15, VALUE_BITS = 8 };

static struct secret_rng *rng;
static struct cairn_problem why;
static const uint8_t nonce[HE_NONCE_SIZE] = {9, 8, 7};

#define ASSERT_OK(call)                                                                            \
    do {                                                                                           \
        int assert_ok_code = (call);                                                               \
        if (assert_ok_code != 0) {                                                                 \
            fail_msg("%s: %d %s", #call, assert_ok_code, why.what);                                \
        }                                                                                          \
    } while (0)

static int setup(void **state)
{
    (void)state;
    return secret_rng_new(&rng);
}

static int teardown(void **state)
{
    (void)state;
    secret_rng_free(rng);
    return 0;
}

static int32_t value_of(unsigned client, size_t i)
{
    return i % 5 == 0 ? 127 : i % 5 == 1 ? -127 : (int32_t)((i * 31 + client * 17) % 255) - 127;
}

/* A key pair, the folded payload of all clients, and what he_open makes of it. */
struct round {
    struct he_params params;
    struct he_secret_key *sk;
    struct he_public_key *pk;
    size_t n;
    uint8_t *payload;
    int64_t *sums;
};

static struct round new_round(const struct he_params *params, size_t chunks)
{
    struct round r = {.params = *params, .n = chunks * params->chunk_params - 5};
    size_t bytes = he_payload_bytes(params, r.n);
    uint8_t *one = malloc(bytes);
    int32_t *values = malloc(r.n * sizeof *values);
    r.payload = calloc(1, bytes);
    r.sums = calloc(r.n, sizeof *r.sums);
    ASSERT_OK(he_keygen(params, rng, &r.sk, &r.pk));
    for (unsigned c = 0; c < CLIENTS; c++) {
        for (size_t i = 0; i < r.n; i++) {
            values[i] = value_of(c, i);
        }
        ASSERT_OK(he_encrypt(params, r.pk, rng, NULL, nonce, 2, 4, values, r.n, one, &why));
        he_add(params, r.n, r.payload, one);
    }
    ASSERT_OK(he_open(params, r.sk, NULL, nonce, 2, 4, CLIENTS, r.payload, r.n, r.sums, &why));
    assert_int_equal(r.sums[0], 127 * CLIENTS);
    assert_int_equal(r.sums[1], -127 * CLIENTS);
    free(values);
    free(one);
    return r;
}

static void free_round(struct round *r)
{
    he_secret_key_free(r->sk);
    he_public_key_free(r->pk);
    free(r->payload);
    free(r->sums);
}

static struct seal_context *new_context(uint64_t t)
{
    struct seal_params p;
    struct seal_context *context = NULL;
    seal_bridge_params(t, &p);
    ASSERT_OK(seal_context_new(&p, SEAL_128, &context, &why));
    return context;
}

/* Through bytes and back, compressed, in both versions. */
static void through_bytes(const struct seal_context *context, struct seal_cipher *c)
{
    for (int version = SEAL_VERSION_4_1; version <= SEAL_VERSION_3_7; version++) {
        const struct seal_options o = {(enum seal_version)version, SEAL_ZSTD};
        struct buf b = {0};
        ASSERT_OK(seal_cipher_write(context, c, &o, &b));
        ASSERT_OK(seal_cipher_read(context, buf_span(&b), NULL, c, &why));
        buf_release(&b);
    }
}

/* Lane words of chunk `chunk` of the sums that he_open found. */
static void lane_words(const struct round *r, size_t chunk, int64_t words[RING_DEGREE])
{
    size_t first = chunk * r->params.chunk_params;
    size_t count = r->n - first < r->params.chunk_params ? r->n - first : r->params.chunk_params;
    for (size_t i = 0; i < RING_DEGREE; i++) {
        int64_t word = 0, place = 1;
        for (unsigned j = 0; j < r->params.lanes; j++) {
            size_t at = j * RING_DEGREE + i;
            word += at < count ? place * r->sums[first + at] : 0;
            place *= (int64_t)r->params.radix;
        }
        words[i] = word;
    }
}

/* m = round(y numerator / denominator) for each centred answer y */
static void assert_words(const struct seal_plain *p, uint64_t t, uint64_t numerator,
                         uint64_t denominator, const int64_t words[RING_DEGREE])
{
    for (size_t i = 0; i < RING_DEGREE; i++) {
        __extension__ __int128 y =
            p->words[i] > t / 2 ? -(__int128)(t - p->words[i]) : (__int128)p->words[i];
        __extension__ __int128 twice = 2 * y * (__int128)numerator + (__int128)denominator;
        __extension__ __int128 divisor = 2 * (__int128)denominator;
        __extension__ __int128 m = twice / divisor - (twice % divisor < 0);
        assert_int_equal((int64_t)m, words[i]);
    }
}

static void test_seal_bridge__profile_bfv(void **state)
{
    (void)state;
    struct he_params params;
    ASSERT_OK(he_choose_degree(RING_DEGREE, HE_BFV, VALUE_BITS, CLIENTS, &params, &why));
    struct round r = new_round(&params, 2);
    const uint64_t t = params.bfv.plain_modulus;
    struct seal_context *context = new_context(t);
    struct seal_secret_key sk = {0};
    struct seal_plain p = {0};
    struct seal_cipher c = {0};
    int64_t words[RING_DEGREE];
    ASSERT_OK(seal_bridge_secret_key(context, r.sk, &sk, &why));
    for (size_t chunk = 0; chunk < 2; chunk++) {
        ASSERT_OK(seal_bridge_bfv(context, &params, r.payload, r.n, chunk, &c, &why));
        through_bytes(context, &c);
        ASSERT_OK(seal_decrypt(context, &sk, &c, &p, &why));
        lane_words(&r, chunk, words);
        assert_words(&p, t, 1, 1, words);
    }
    assert_int_equal(seal_bridge_bfv(context, &params, r.payload, r.n, 2, &c, &why),
                     CAIRN_ERR_REFUSED);
    assert_int_equal(c.level, 1); /* still the last good one */
    seal_plain_release(&p);
    seal_cipher_release(&c);
    seal_secret_key_release(&sk);
    seal_context_free(context);
    free_round(&r);
}

/* SEAL's arithmetic encrypts under cairn's key; on cairn's torus wire he_open takes it for a
 * payload of its own. */
static void test_seal_bridge__public_key_serves_seal(void **state)
{
    (void)state;
    struct he_params params;
    ASSERT_OK(he_choose_degree(RING_DEGREE, HE_BFV, VALUE_BITS, CLIENTS, &params, &why));
    struct round r = new_round(&params, 1);
    struct seal_context *context = new_context(params.bfv.plain_modulus);
    struct seal_public_key pk = {0};
    struct seal_cipher c = {0};
    struct seal_plain p = {0};
    struct buf b = {0};
    uint64_t m[RING_DEGREE], fields[RING_DEGREE] __attribute__((aligned(64)));
    int64_t words[RING_DEGREE];
    ASSERT_OK(seal_bridge_public_key(context, r.pk, &pk, &why));
    ASSERT_OK(seal_public_key_write(context, &pk, NULL, &b));
    ASSERT_OK(seal_public_key_read(context, buf_span(&b), NULL, &pk, &why));
    lane_words(&r, 0, words);
    for (size_t i = 0; i < RING_DEGREE; i++) {
        m[i] = (uint64_t)words[i] + (words[i] < 0 ? params.bfv.plain_modulus : 0);
    }
    ASSERT_OK(seal_plain_from_coefficients(context, m, &p, &why));
    ASSERT_OK(seal_encrypt(context, &pk, rng, &p, &c, &why));
    uint8_t *payload = calloc(1, he_payload_bytes(&params, r.n));
    int64_t *sums = calloc(r.n, sizeof *sums);
    const unsigned bits[2] = {params.bfv.bits0, params.bfv.bits1};
    for (size_t half = 0; half < 2; half++) {
        seal_bridge_to_torus(c.words + half * RING_DEGREE, bits[half], fields);
        kern_get()->pack_bits(payload + half * (RING_DEGREE / 8 * bits[0]), fields, RING_DEGREE,
                              bits[half]);
    }
    ASSERT_OK(he_open(&params, r.sk, NULL, nonce, 2, 4, CLIENTS, payload, r.n, sums, &why));
    assert_memory_equal(sums, r.sums, r.n * sizeof *sums);
    free(payload);
    free(sums);
    buf_release(&b);
    seal_plain_release(&p);
    seal_cipher_release(&c);
    seal_public_key_release(&pk);
    seal_context_free(context);
    free_round(&r);
}

static void open_capsule(const struct he_params *params, uint64_t t)
{
    struct round r = new_round(params, 2);
    struct seal_context *context = new_context(t);
    struct seal_secret_key key = {0};
    struct seal_cipher c = {0};
    struct seal_plain p = {0};
    struct buf b = {0};
    int64_t words[RING_DEGREE];
    ASSERT_OK(seal_bridge_summed_key(context, params, r.sk, CLIENTS, r.payload, r.n, &key, &why));
    ASSERT_OK(seal_secret_key_write(context, &key, SEAL_VERSION_4_1, &b));
    ASSERT_OK(seal_secret_key_read(context, buf_span(&b), NULL, &key, &why));
    for (size_t chunk = 0; chunk < 2; chunk++) {
        ASSERT_OK(seal_bridge_chunk(context, params, nonce, 2, 4, r.payload, r.n, chunk, &c, &why));
        through_bytes(context, &c);
        ASSERT_OK(seal_decrypt(context, &key, &c, &p, &why));
        lane_words(&r, chunk, words);
        assert_words(&p, t, UINT64_C(1) << params->bits, t * params->step, words);
    }
    buf_release(&b);
    seal_plain_release(&p);
    seal_cipher_release(&c);
    seal_secret_key_release(&key);
    seal_context_free(context);
    free_round(&r);
}

static void test_seal_bridge__capsule_through_a_prime(void **state)
{
    (void)state;
    struct he_params params;
    ASSERT_OK(he_choose_degree(RING_DEGREE, HE_CAPSULE, VALUE_BITS, CLIENTS, &params, &why));
    open_capsule(&params, modulus_next_prime(UINT64_C(1) << 48, 2 * RING_DEGREE));
}

/* The step is a power of two: SEAL's answers are the lane words, with no second rounding. */
static void test_seal_bridge__capsule_with_a_power_of_two(void **state)
{
    (void)state;
    struct he_params params, pow2;
    unsigned plain_bits = 0;
    ASSERT_OK(he_choose_degree(RING_DEGREE, HE_CAPSULE, VALUE_BITS, CLIENTS, &params, &why));
    ASSERT_OK(he_export_params(&params, &pow2, &plain_bits, &why));
    assert_int_equal(pow2.step, UINT64_C(1) << (pow2.bits - plain_bits));
    assert_true(UINT64_C(1) << plain_bits >= params.radix * params.radix * params.radix);
    assert_true(pow2.failure_log2 <= params.failure_log2 + 1);
    assert_string_not_equal(pow2.id, params.id);
    open_capsule(&pow2, UINT64_C(1) << plain_bits);
    /* t D = 2^K: assert_words has divided by 1 */
    assert_true((UINT64_C(1) << plain_bits) * pow2.step == UINT64_C(1) << pow2.bits);
}

static void test_seal_bridge__powers_of_two_for_all_sizes(void **state)
{
    (void)state;
    unsigned refused = 0;
    for (unsigned bits = 2; bits <= 24; bits++) {
        for (uint32_t n = 1; n <= 1000; n = n * 3 + 1) {
            struct he_params params, pow2;
            unsigned plain_bits = 99;
            if (he_params_choose(HE_CAPSULE, bits, n, &params, &why) != 0) {
                continue;
            }
            int rc = he_export_params(&params, &pow2, &plain_bits, &why);
            if (rc != 0) {
                assert_int_equal(rc, CAIRN_ERR_CONFIG);
                assert_int_equal(plain_bits, 99);
                refused++;
                continue;
            }
            assert_true(pow2.bits >= params.bits && pow2.bits <= params.bits + 2);
            assert_true(pow2.step > n && pow2.failure_log2 < -64);
        }
    }
    struct he_params params;
    unsigned plain_bits;
    ASSERT_OK(he_choose_degree(RING_DEGREE, HE_BFV, 8, 15, &params, &why));
    assert_int_equal(he_export_params(&params, &params, &plain_bits, &why), CAIRN_ERR_CONFIG);
    print_message("%u sets have no power of two\n", refused);
}

static void test_seal_bridge__a_dishonest_sum_has_no_key(void **state)
{
    (void)state;
    struct he_params params, bfv;
    ASSERT_OK(he_choose_degree(RING_DEGREE, HE_CAPSULE, VALUE_BITS, CLIENTS, &params, &why));
    ASSERT_OK(he_params_choose(HE_BFV, VALUE_BITS, CLIENTS, &bfv, &why));
    struct round r = new_round(&params, 1);
    struct seal_context *context = new_context(65537);
    struct seal_secret_key key = {.count = 77};
    r.payload[he_payload_bytes(&params, r.n) - 1] ^= 0x80; /* in the capsule */
    assert_int_equal(
        seal_bridge_summed_key(context, &params, r.sk, CLIENTS, r.payload, r.n, &key, &why),
        CAIRN_ERR_INTEGRITY);
    assert_int_equal(seal_bridge_summed_key(context, &params, r.sk, 0, r.payload, r.n, &key, &why),
                     CAIRN_ERR_REFUSED);
    assert_int_equal(
        seal_bridge_summed_key(context, &params, r.sk, CLIENTS + 1, r.payload, r.n, &key, &why),
        CAIRN_ERR_REFUSED);
    assert_int_equal(
        seal_bridge_summed_key(context, &bfv, r.sk, CLIENTS, r.payload, r.n, &key, &why),
        CAIRN_ERR_REFUSED);
    assert_true(key.count == 77 && key.words == NULL);
    _Alignas(64) uint64_t words[RING_DEGREE], zeros[RING_DEGREE] = {0};
    memset(words, 0x5a, sizeof words);
    assert_int_equal(he_export_summed_key(&params, r.sk, CLIENTS, r.payload, r.n, words, &why),
                     CAIRN_ERR_INTEGRITY);
    assert_memory_equal(words, zeros, sizeof words);
    seal_context_free(context);
    free_round(&r);
}

/* Parameters and keys of N = 4096 exist for cairn only: their lane words are too long for SEAL. */
static struct seal_context *new_ckks_context(void)
{
    struct seal_params p;
    struct seal_context *context = NULL;
    seal_bridge_ckks_params(&p);
    ASSERT_OK(seal_context_new(&p, SEAL_128, &context, &why));
    return context;
}

/* The sums are in the slots of what SEAL decrypts, and are SEAL's parameters. */
static void test_seal_bridge__profile_seal_ckks(void **state)
{
    (void)state;
    const unsigned bits[] = {60, 40, 40, 60};
    uint64_t created[4];
    ASSERT_OK(seal_params_create_moduli(8192, bits, 4, created, &why));
    assert_memory_equal(created, he_ckks_primes, sizeof created);

    struct he_params params;
    ASSERT_OK(he_params_choose(HE_SEAL_CKKS, VALUE_BITS, CLIENTS, &params, &why));
    struct round r = new_round(&params, 2);
    struct seal_context *context = new_ckks_context();
    struct seal_ckks_encoder *encoder;
    struct seal_secret_key sk = {0};
    struct seal_plain p = {0};
    struct seal_cipher c = {0};
    double slots[HE_CKKS_SLOTS];
    ASSERT_OK(seal_ckks_encoder_new(context, &encoder, &why));
    ASSERT_OK(seal_bridge_secret_key(context, r.sk, &sk, &why));
    uint8_t *back = calloc(1, he_payload_bytes(&params, r.n));
    for (size_t chunk = 0; chunk < 2; chunk++) {
        ASSERT_OK(seal_bridge_ckks(context, &params, r.payload, r.n, chunk, &c, &why));
        assert_true(c.scale == 0x1p40 && c.level == 3);
        through_bytes(context, &c);
        ASSERT_OK(seal_bridge_ckks_payload(&c, &params, r.n, chunk, back, &why));
        ASSERT_OK(seal_decrypt(context, &sk, &c, &p, &why));
        ASSERT_OK(seal_ckks_decode(encoder, &p, slots, &why));
        for (size_t i = 0; i < HE_CKKS_SLOTS; i++) {
            const size_t at = chunk * HE_CKKS_SLOTS + i;
            assert_true(fabs(slots[i] - (at < r.n ? (double)r.sums[at] : 0)) < 1e-6);
        }
    }
    assert_memory_equal(back, r.payload, he_payload_bytes(&params, r.n));
    assert_int_equal(seal_bridge_ckks_payload(&c, &params, r.n, 2, back, &why), CAIRN_ERR_REFUSED);
    c.scale *= 2;
    assert_int_equal(seal_bridge_ckks_payload(&c, &params, r.n, 1, back, &why), CAIRN_ERR_REFUSED);
    assert_memory_equal(back, r.payload, he_payload_bytes(&params, r.n));
    free(back);
    assert_int_equal(seal_bridge_ckks(context, &params, r.payload, r.n, 2, &c, &why),
                     CAIRN_ERR_REFUSED);
    memset(r.payload, 0xff, 15); /* two fields of 60 bits, none below its prime */
    assert_int_equal(seal_bridge_ckks(context, &params, r.payload, r.n, 0, &c, &why),
                     CAIRN_ERR_REFUSED);
    seal_ckks_encoder_free(encoder);
    seal_plain_release(&p);
    seal_cipher_release(&c);
    seal_secret_key_release(&sk);
    seal_context_free(context);
    free_round(&r);
}

/* SEAL's arithmetic encrypts whole numbers under cairn's key; as a payload they open. */
static void test_seal_bridge__ckks_public_key_serves_seal(void **state)
{
    (void)state;
    struct he_params params;
    ASSERT_OK(he_params_choose(HE_SEAL_CKKS, VALUE_BITS, CLIENTS, &params, &why));
    struct he_secret_key *sk;
    struct he_public_key *key;
    ASSERT_OK(he_keygen(&params, rng, &sk, &key));
    struct seal_context *context = new_ckks_context();
    struct seal_ckks_encoder *encoder;
    struct seal_public_key pk = {0};
    struct seal_plain p = {0};
    struct seal_cipher c = {0};
    struct buf b = {0};
    double slots[HE_CKKS_SLOTS];
    int64_t sums[HE_CKKS_SLOTS];
    for (size_t i = 0; i < HE_CKKS_SLOTS; i++) {
        slots[i] = value_of(3, i);
    }
    ASSERT_OK(seal_ckks_encoder_new(context, &encoder, &why));
    ASSERT_OK(seal_bridge_public_key(context, key, &pk, &why));
    ASSERT_OK(seal_public_key_write(context, &pk, NULL, &b));
    ASSERT_OK(seal_public_key_read(context, buf_span(&b), NULL, &pk, &why));
    ASSERT_OK(seal_ckks_encode(encoder, slots, HE_CKKS_SLOTS, 0x1p40, 3, &p, &why));
    ASSERT_OK(seal_encrypt(context, &pk, rng, &p, &c, &why));
    uint8_t *payload = calloc(1, he_payload_bytes(&params, HE_CKKS_SLOTS)), *at = payload;
    for (size_t row = 0; row < 6; row++) { /* the words of a ciphertext, packed, are a payload */
        uint64_t words[HE_CKKS_DEGREE] __attribute__((aligned(64)));
        memcpy(words, c.words + row * HE_CKKS_DEGREE, sizeof words);
        kern_get()->pack_bits(at, words, HE_CKKS_DEGREE, he_ckks_prime_bits[row % 3]);
        at += HE_CKKS_DEGREE / 8 * he_ckks_prime_bits[row % 3];
    }
    ASSERT_OK(he_open(&params, sk, NULL, nonce, 0, 0, 1, payload, HE_CKKS_SLOTS, sums, &why));
    for (size_t i = 0; i < HE_CKKS_SLOTS; i++) {
        assert_int_equal(sums[i], value_of(3, i));
    }
    /* keys and contexts of the other scheme */
    struct seal_context *bfv = new_context(65537);
    assert_int_equal(seal_bridge_public_key(bfv, key, &pk, &why), CAIRN_ERR_REFUSED);
    struct seal_secret_key secret = {0};
    assert_int_equal(seal_bridge_secret_key(bfv, sk, &secret, &why), CAIRN_ERR_REFUSED);
    seal_context_free(bfv);
    free(payload);
    buf_release(&b);
    seal_ckks_encoder_free(encoder);
    seal_public_key_release(&pk);
    seal_plain_release(&p);
    seal_cipher_release(&c);
    seal_context_free(context);
    he_secret_key_free(sk);
    he_public_key_free(key);
}

static void test_seal_bridge__the_wide_ring_is_refused(void **state)
{
    (void)state;
    struct seal_context *context = new_context(65537);
    for (int profile = HE_BFV; profile <= HE_CAPSULE; profile++) {
        struct he_params params = {.degree = RING_DEGREE}, pow2;
        for (unsigned bits = 2; bits <= 30 && params.degree == RING_DEGREE; bits++) {
            if (he_params_choose((enum he_profile)profile, bits, CLIENTS, &params, &why) != 0) {
                break;
            }
        }
        if (params.degree == RING_DEGREE) {
            continue; /* this chooser never takes the wide ring here */
        }
        struct he_secret_key *sk;
        struct he_public_key *pk;
        struct seal_secret_key key = {0}, summed = {0};
        struct seal_public_key public_key = {0};
        struct seal_cipher c = {0};
        unsigned plain_bits;
        uint8_t *payload = calloc(1, he_payload_bytes(&params, 100));
        ASSERT_OK(he_keygen(&params, rng, &sk, &pk));
        assert_int_equal(seal_bridge_secret_key(context, sk, &key, &why), CAIRN_ERR_REFUSED);
        assert_int_equal(seal_bridge_public_key(context, pk, &public_key, &why), CAIRN_ERR_REFUSED);
        assert_true(seal_bridge_bfv(context, &params, payload, 100, 0, &c, &why) != 0);
        assert_true(seal_bridge_chunk(context, &params, nonce, 2, 4, payload, 100, 0, &c, &why) !=
                    0);
        assert_true(seal_bridge_summed_key(context, &params, sk, 1, payload, 100, &summed, &why) !=
                    0);
        assert_true(he_export_params(&params, &pow2, &plain_bits, &why) != 0);
        assert_true(key.words == NULL && summed.words == NULL && c.words == NULL);
        assert_null(public_key.pair.words);
        free(payload);
        he_secret_key_free(sk);
        he_public_key_free(pk);
    }
    seal_context_free(context);
}

static void test_seal_bridge__other_rings_are_refused(void **state)
{
    (void)state;
    struct he_params params;
    ASSERT_OK(he_choose_degree(RING_DEGREE, HE_BFV, VALUE_BITS, CLIENTS, &params, &why));
    struct round r = new_round(&params, 1);
    struct seal_params p;
    struct seal_context *context = NULL;
    struct seal_secret_key sk = {0};
    struct seal_public_key pk = {0};
    struct seal_cipher c = {0};
    struct seal_seed seed = {.prng = SEAL_BLAKE2XB};
    uint64_t fields[RING_DEGREE] = {0};
    seal_bridge_params(65537, &p);
    p.q[0] = 0x3ffffffffed001;
    ASSERT_OK(seal_context_new(&p, SEAL_128, &context, &why));
    assert_int_equal(seal_bridge_secret_key(context, r.sk, &sk, &why), CAIRN_ERR_REFUSED);
    assert_int_equal(seal_bridge_public_key(context, r.pk, &pk, &why), CAIRN_ERR_REFUSED);
    assert_int_equal(seal_bridge_bfv(context, &params, r.payload, r.n, 0, &c, &why),
                     CAIRN_ERR_REFUSED);
    assert_int_equal(seal_bridge_chunk(context, &params, nonce, 2, 4, r.payload, r.n, 0, &c, &why),
                     CAIRN_ERR_REFUSED);
    assert_int_equal(seal_bridge_seeded(context, fields, 40, &seed, &c, &why), CAIRN_ERR_REFUSED);
    assert_true(sk.words == NULL && pk.pair.words == NULL && c.words == NULL);
    seal_context_free(context);
    free_round(&r);
}

/* From fields to words and back nothing is lost: q is larger than half of 2^50. */
static void test_seal_bridge__torus_and_back(void **state)
{
    (void)state;
    _Alignas(64) uint64_t words[RING_DEGREE], fields[RING_DEGREE], back[RING_DEGREE];
    for (unsigned bits = 1; bits <= 50; bits++) {
        uint64_t mask = (UINT64_C(1) << bits) - 1;
        for (size_t i = 0; i < RING_DEGREE; i++) {
            fields[i] = (i < 4 ? (uint64_t)i - 2 : i * UINT64_C(0x9E3779B97F4A7C15)) & mask;
        }
        seal_bridge_from_torus(fields, bits, words);
        for (size_t i = 0; i < RING_DEGREE; i++) {
            assert_true(words[i] < RING_Q_VALUE);
        }
        seal_bridge_to_torus(words, bits, back);
        assert_memory_equal(back, fields, sizeof back);
    }
}

/* One-poly ciphertexts over a polynomial from a SEAL seed, as in the vector capsule15. */
static void test_seal_bridge__seeded_sum(void **state)
{
    (void)state;
    enum { K = 44, T = 32 };
    const uint64_t t = UINT64_C(1) << T;
    struct seal_context *context = new_context(t);
    struct seal_secret_key sk = {0};
    struct seal_cipher c = {0}, full = {0};
    struct seal_plain p = {0};
    _Alignas(64) uint64_t fields[RING_DEGREE];
    uint64_t m[RING_DEGREE];
    for (size_t i = 0; i < RING_DEGREE; i++) {
        m[i] = i * UINT64_C(0x9E3779B97F4A7C15) % t;
    }
    ASSERT_OK(seal_keygen(context, rng, &sk, &why));
    ASSERT_OK(seal_plain_from_coefficients(context, m, &p, &why));
    ASSERT_OK(seal_encrypt_symmetric(context, &sk, rng, &p, &full, &why));
    seal_bridge_to_torus(full.words, K, fields);
    ASSERT_OK(seal_bridge_seeded(context, fields, K, &full.seed, &c, &why));
    assert_true(c.seeded);
    struct buf b = {0};
    ASSERT_OK(seal_cipher_write(context, &c, NULL, &b));
    assert_int_equal(b.size, 194 + 8 * RING_DEGREE);
    ASSERT_OK(seal_cipher_read(context, buf_span(&b), NULL, &c, &why));
    ASSERT_OK(seal_decrypt(context, &sk, &c, &p, &why));
    assert_memory_equal(p.words, m, sizeof m);
    buf_release(&b);
    seal_plain_release(&p);
    seal_cipher_release(&c);
    seal_cipher_release(&full);
    seal_secret_key_release(&sk);
    seal_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seal_bridge__profile_bfv),
        cmocka_unit_test(test_seal_bridge__public_key_serves_seal),
        cmocka_unit_test(test_seal_bridge__capsule_through_a_prime),
        cmocka_unit_test(test_seal_bridge__capsule_with_a_power_of_two),
        cmocka_unit_test(test_seal_bridge__powers_of_two_for_all_sizes),
        cmocka_unit_test(test_seal_bridge__a_dishonest_sum_has_no_key),
        cmocka_unit_test(test_seal_bridge__profile_seal_ckks),
        cmocka_unit_test(test_seal_bridge__ckks_public_key_serves_seal),
        cmocka_unit_test(test_seal_bridge__the_wide_ring_is_refused),
        cmocka_unit_test(test_seal_bridge__other_rings_are_refused),
        cmocka_unit_test(test_seal_bridge__torus_and_back),
        cmocka_unit_test(test_seal_bridge__seeded_sum),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
