/* SPDX-License-Identifier: Apache-2.0 */
/* Key pairs of profile seal-ckks, as keys and as bytes. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "digest.h"
#include "he_ckks.h"
#include "le.h"

enum {
    N = HE_CKKS_DEGREE,
    FIELDS_AT = 80,
    PUBLIC_SIZE = FIELDS_AT + N / 8 * 200 + 32,
};

static struct {
    struct he_params params, narrow;
    struct secret_rng *rng;
    struct he_public_key *key, *narrow_key;
    struct he_secret_key *secret, *narrow_secret;
    struct buf bytes;
    uint8_t id[HE_KEY_ID_SIZE];
    uint8_t secret_bytes[HE_SECRET_KEY_CKKS_SIZE];
} f;

static struct cairn_problem why;

static int setup(void **state)
{
    (void)state;
    return he_params_choose(HE_SEAL_CKKS, 16, 15, &f.params, NULL) ||
           he_params_choose(HE_CAPSULE, 16, 15, &f.narrow, NULL) || secret_rng_new(&f.rng) ||
           he_keygen(&f.params, f.rng, &f.secret, &f.key) ||
           he_keygen(&f.narrow, f.rng, &f.narrow_secret, &f.narrow_key) ||
           he_public_key_write(f.key, &f.bytes) || he_public_key_id(f.key, f.id) ||
           he_secret_key_size(f.secret) != sizeof f.secret_bytes ||
           he_secret_key_write(f.secret, f.id, f.secret_bytes);
}

static int teardown(void **state)
{
    (void)state;
    buf_release(&f.bytes);
    he_public_key_free(f.key);
    he_public_key_free(f.narrow_key);
    he_secret_key_free(f.secret);
    he_secret_key_free(f.narrow_secret);
    secret_rng_free(f.rng);
    return 0;
}

static int read_public(const uint8_t *bytes, size_t size, struct he_public_key **out)
{
    return he_public_key_read((struct span){bytes, size}, &f.params, out, &why);
}

static int read_secret(const uint8_t *bytes, size_t size, struct he_secret_key **out)
{
    uint8_t id[HE_KEY_ID_SIZE];
    return he_secret_key_read((struct span){bytes, size}, out, id, &why);
}

/* The digest that a forger would put there. */
static void seal(const char *text, uint8_t *bytes, size_t size)
{
    char label[32] = {0};
    memcpy(label, text, strlen(text));
    struct digest_state s;
    digest_init(&s);
    digest_update(&s, label, sizeof label);
    digest_update(&s, bytes, size - DIGEST_SIZE);
    digest_final(&s, bytes + size - DIGEST_SIZE);
}

static void test_he_ckks_keys__secret_is_ternary(void **state)
{
    (void)state;
    static uint64_t s[HE_CKKS_WORDS];
    unsigned counts[3] = {0};
    memcpy(s, f.secret->ckks->hat, sizeof s);
    rns_backward(he_ckks_ring(), HE_CKKS_PRIMES, s);
    for (size_t i = 0; i < N; i++) {
        const unsigned is = s[i] == 0 ? 0 : s[i] == 1 ? 1 : 2;
        for (size_t k = 0; k < HE_CKKS_PRIMES; k++) { /* the same number modulo each prime */
            const uint64_t q = he_ckks_primes[k];
            assert_int_equal(s[k * N + i], is == 2 ? q - 1 : is);
        }
        counts[is]++;
    }
    for (int i = 0; i < 3; i++) { /* a third each; six deviations of 42.7 */
        assert_in_range(counts[i], N / 3 - 256, N / 3 + 256);
    }
}

/* b + a s = -e, small and the same modulo every prime. */
static void test_he_ckks_keys__public_key_hides_a_small_error(void **state)
{
    (void)state;
    static uint64_t x[HE_CKKS_WORDS];
    double squares = 0;
    rlwe_phase(he_ckks_ring(), HE_CKKS_PRIMES, f.secret->ckks->hat, f.key->ckks->pair, true, x);
    rns_backward(he_ckks_ring(), HE_CKKS_PRIMES, x);
    for (size_t i = 0; i < N; i++) {
        const int64_t e = x[i] > HE_CKKS_Q1 / 2 ? -(int64_t)(HE_CKKS_Q1 - x[i]) : (int64_t)x[i];
        assert_true(e >= -21 && e <= 21);
        for (size_t k = 1; k < HE_CKKS_PRIMES; k++) {
            assert_int_equal(x[k * N + i], e < 0 ? he_ckks_primes[k] - (uint64_t)-e : (uint64_t)e);
        }
        squares += (double)(e * e);
    }
    assert_true(squares / N > 9.3 && squares / N < 11.7); /* 10.5, six deviations of 0.16 */
}

/* First and last word and BLAKE2b-256 of all, modulo each prime, for the seed 0, 1, 2, ..: made
 * with Python's hashlib and openssl enc -aes-256-ctr from the words of he_ckks.h. */
static void test_he_ckks_keys__expansion(void **state)
{
    (void)state;
    static const struct {
        uint64_t first, last;
        const char *digest;
    } known[HE_CKKS_PRIMES] = {
        {0x22653946cbe359f, 0x8cc86af9b9fdd19,
         "fdd3d03c37d02b6189dd4e66e8ec7cfeafd74a47dc13aac90f8d40148ac611ef"},
        {0xf1907de127, 0xa78b4102c8,
         "eae7b396d704a9ef40e65b55f7c6408a231e6ce39f9f1121a31287d7ac00472d"},
        {0x918a5e11ad, 0x32ea904ba4,
         "cef3c4353cdc71c286591f310fad3cf323fe924ec93c9b2159ba9d4e5a180c0e"},
        {0x9cf2705048d3d, 0xfdf9a41e0b10e33,
         "bad24ffcd444163bddbb30ff51ed193b8ac1f40122a886bc681160a3cfd7f096"},
    };
    static uint64_t a[HE_CKKS_WORDS];
    static uint8_t bytes[8 * N];
    uint8_t seed[32], digest[DIGEST_SIZE];
    char text[2 * DIGEST_SIZE + 1];
    for (uint8_t i = 0; i < 32; i++) {
        seed[i] = i;
    }
    assert_int_equal(he_ckks_expand(seed, a), 0);
    for (size_t k = 0; k < HE_CKKS_PRIMES; k++) {
        assert_int_equal(a[k * N], known[k].first);
        assert_int_equal(a[k * N + N - 1], known[k].last);
        for (size_t i = 0; i < N; i++) {
            le_put64(bytes + 8 * i, a[k * N + i]);
        }
        digest_of(bytes, sizeof bytes, digest);
        digest_hex(digest, sizeof digest, text);
        assert_string_equal(text, known[k].digest);
    }
}

static void test_he_ckks_keys__round_trip(void **state)
{
    (void)state;
    struct he_public_key *key = NULL;
    struct he_secret_key *secret = NULL;
    uint8_t id[HE_KEY_ID_SIZE];
    assert_int_equal(f.bytes.size, PUBLIC_SIZE);
    assert_int_equal(read_public(f.bytes.data, f.bytes.size, &key), 0);
    assert_memory_equal(key->ckks, f.key->ckks, sizeof *key->ckks);
    const struct span bytes = {f.secret_bytes, sizeof f.secret_bytes};
    assert_int_equal(he_secret_key_read(bytes, &secret, id, NULL), 0);
    assert_memory_equal(secret->ckks, f.secret->ckks, sizeof *secret->ckks);
    assert_memory_equal(id, f.id, sizeof id);
    he_public_key_free(key);
    he_secret_key_free(secret);
}

static void test_he_ckks_keys__other_lengths(void **state)
{
    (void)state;
    struct he_public_key *key = NULL;
    struct he_secret_key *secret = NULL;
    for (size_t size = 0; size < f.bytes.size; size += size < 150 ? 1 : 9973) {
        uint8_t *copy = malloc(size + 1); /* the sanitizer sees a read beyond */
        memcpy(copy, f.bytes.data, size);
        assert_int_equal(read_public(copy, size, &key), CAIRN_ERR_MALFORMED);
        free(copy);
    }
    for (size_t size = 0; size < sizeof f.secret_bytes; size++) {
        uint8_t *copy = malloc(size + 1);
        memcpy(copy, f.secret_bytes, size);
        assert_int_equal(read_secret(copy, size, &secret), CAIRN_ERR_MALFORMED);
        free(copy);
    }
}

static void test_he_ckks_keys__flipped_bits_are_seen(void **state)
{
    (void)state;
    struct he_public_key *key = NULL;
    struct he_secret_key *secret = NULL;
    for (size_t at = 0; at < f.bytes.size; at += at < FIELDS_AT ? 1 : 4999) {
        f.bytes.data[at] ^= (uint8_t)(1 << at % 8);
        assert_int_equal(read_public(f.bytes.data, f.bytes.size, &key),
                         at < 48 ? CAIRN_ERR_MALFORMED : CAIRN_ERR_INTEGRITY);
        f.bytes.data[at] ^= (uint8_t)(1 << at % 8);
    }
    for (size_t at = 0; at < sizeof f.secret_bytes; at++) {
        f.secret_bytes[at] ^= (uint8_t)(1 << at % 8);
        assert_int_equal(read_secret(f.secret_bytes, sizeof f.secret_bytes, &secret),
                         at < 48 ? CAIRN_ERR_MALFORMED : CAIRN_ERR_INTEGRITY);
        f.secret_bytes[at] ^= (uint8_t)(1 << at % 8);
    }
}

static void test_he_ckks_keys__coefficients_not_below_their_prime(void **state)
{
    (void)state;
    static _Alignas(64) uint64_t b[N];
    struct he_public_key *key = NULL;
    uint8_t *copy = malloc(f.bytes.size);
    size_t at = FIELDS_AT;
    for (size_t k = 0; k < HE_CKKS_PRIMES; k++) {
        const uint64_t q = he_ckks_primes[k];
        for (uint64_t value = q - 1; value <= q; value++) {
            memcpy(copy, f.bytes.data, f.bytes.size);
            memcpy(b, f.key->ckks->pair + k * N, sizeof b);
            b[N - 1 - k] = value;
            kern_get()->pack_bits(copy + at, b, N, he_ckks_prime_bits[k]);
            seal("cairn public key v3", copy, f.bytes.size);
            int rc = read_public(copy, f.bytes.size, &key);
            assert_int_equal(rc, value < q ? 0 : CAIRN_ERR_MALFORMED);
            if (rc == 0) {
                he_public_key_free(key);
            }
        }
        at += N / 8 * he_ckks_prime_bits[k];
    }
    free(copy);
}

static void test_he_ckks_keys__secrets_that_are_none(void **state)
{
    (void)state;
    struct he_secret_key *secret = NULL;
    uint8_t bytes[sizeof f.secret_bytes];
    memcpy(bytes, f.secret_bytes, sizeof bytes);
    bytes[FIELDS_AT + 2047] |= 3 << 6; /* 3 is no coefficient */
    seal("cairn secret key v3", bytes, sizeof bytes);
    assert_int_equal(read_secret(bytes, sizeof bytes, &secret), CAIRN_ERR_MALFORMED);
}

static void test_he_ckks_keys__keys_of_another_ring(void **state)
{
    (void)state;
    static const uint8_t nonce[HE_NONCE_SIZE];
    const int32_t values[3] = {1, 2, 3};
    int64_t sums[3];
    struct he_public_key *key = NULL;
    uint8_t *payload = calloc(1, he_payload_bytes(&f.params, 3));
    assert_int_equal(
        he_encrypt(&f.params, f.narrow_key, f.rng, NULL, nonce, 0, 0, values, 3, payload, &why),
        CAIRN_ERR_REFUSED);
    assert_non_null(strstr(why.what, "ring 2048-50"));
    assert_non_null(strstr(why.what, "ring 8192-200"));
    assert_int_equal(
        he_encrypt(&f.narrow, f.key, f.rng, NULL, nonce, 0, 0, values, 3, payload, &why),
        CAIRN_ERR_REFUSED);
    assert_int_equal(
        he_open(&f.params, f.narrow_secret, NULL, nonce, 0, 0, 1, payload, 3, sums, &why),
        CAIRN_ERR_REFUSED);
    assert_int_equal(he_open(&f.narrow, f.secret, NULL, nonce, 0, 0, 1, payload, 3, sums, &why),
                     CAIRN_ERR_REFUSED);
    assert_int_equal(he_public_key_read(buf_span(&f.bytes), &f.narrow, &key, &why),
                     CAIRN_ERR_MALFORMED);
    assert_non_null(strstr(why.what, "ring 8192-200"));
    free(payload);
}

static void test_he_ckks_keys__two_keys_differ(void **state)
{
    (void)state;
    struct he_public_key *key;
    struct he_secret_key *secret;
    uint8_t id[HE_KEY_ID_SIZE];
    assert_int_equal(he_keygen(&f.params, f.rng, &secret, &key), 0);
    assert_memory_not_equal(secret->ckks->hat, f.secret->ckks->hat, 8 * N);
    assert_memory_not_equal(key->ckks->seed, f.key->ckks->seed, 32);
    assert_int_equal(he_public_key_id(key, id), 0);
    assert_memory_not_equal(id, f.id, sizeof id);
    he_public_key_free(key);
    he_secret_key_free(secret);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_he_ckks_keys__secret_is_ternary),
        cmocka_unit_test(test_he_ckks_keys__public_key_hides_a_small_error),
        cmocka_unit_test(test_he_ckks_keys__expansion),
        cmocka_unit_test(test_he_ckks_keys__round_trip),
        cmocka_unit_test(test_he_ckks_keys__other_lengths),
        cmocka_unit_test(test_he_ckks_keys__flipped_bits_are_seen),
        cmocka_unit_test(test_he_ckks_keys__coefficients_not_below_their_prime),
        cmocka_unit_test(test_he_ckks_keys__secrets_that_are_none),
        cmocka_unit_test(test_he_ckks_keys__keys_of_another_ring),
        cmocka_unit_test(test_he_ckks_keys__two_keys_differ),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
