/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "digest.h"
#include "he_choice.h"
#include "he_noise.h"
#include "he_wide.h"
#include "le.h"

enum { N = RING_WIDE_DEGREE, HEADER = 64, FIELDS = N * 50 / 8 };

static struct {
    struct he_params params, narrow;
    struct secret_rng *rng;
    struct he_secret_key *secret, *narrow_secret;
    struct he_public_key *key, *narrow_key;
    struct buf bytes, narrow_bytes;
    uint8_t id[HE_KEY_ID_SIZE];
    uint8_t secret_bytes[HE_SECRET_KEY_WIDE_SIZE];
} f;

static int setup(void **state)
{
    (void)state;
    return he_params_choose(HE_CAPSULE, 24, 10000, &f.params, NULL) ||
           he_params_choose(HE_CAPSULE, 16, 15, &f.narrow, NULL) || secret_rng_new(&f.rng) ||
           he_keygen(&f.params, f.rng, &f.secret, &f.key) ||
           he_keygen(&f.narrow, f.rng, &f.narrow_secret, &f.narrow_key) ||
           he_public_key_write(f.key, &f.bytes) ||
           he_public_key_write(f.narrow_key, &f.narrow_bytes) || he_public_key_id(f.key, f.id) ||
           he_secret_key_size(f.secret) != sizeof f.secret_bytes ||
           he_secret_key_write(f.secret, f.id, f.secret_bytes);
}

static int teardown(void **state)
{
    (void)state;
    buf_release(&f.bytes);
    buf_release(&f.narrow_bytes);
    he_public_key_free(f.key);
    he_public_key_free(f.narrow_key);
    he_secret_key_free(f.secret);
    he_secret_key_free(f.narrow_secret);
    secret_rng_free(f.rng);
    return 0;
}

static struct cairn_problem why;

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

static void test_he_wide_keys__secret_is_ternary_and_not_heavy(void **state)
{
    (void)state;
    static _Alignas(64) uint64_t s[RING_WIDE_ALL_PRIMES][N];
    memcpy(s, f.secret->wide->hat, sizeof s);
    uint64_t minus_one[3];
    for (int p = 0; p < RING_WIDE_ALL_PRIMES; p++) {
        kern_get()->ntt_inv(s[p], ring_wide_get((enum ring_wide_prime)p));
        minus_one[p] = ring_wide_get((enum ring_wide_prime)p)->modulus.q - 1;
    }
    int weight = 0;
    for (size_t i = 0; i < N; i++) {
        assert_true(s[0][i] <= 1 || s[0][i] == minus_one[0]);
        assert_true(s[1][i] == (s[0][i] <= 1 ? s[0][i] : minus_one[1]));
        assert_true(s[2][i] == (s[0][i] <= 1 ? s[0][i] : minus_one[2]));
        weight += s[0][i] != 0;
    }
    assert_in_range(weight, 2730 - 9 * 31, HE_NOISE_MAX_WIDE_KEY_WEIGHT);
}

static void test_he_wide_keys__public_key_hides_a_small_error(void **state)
{
    (void)state;
    static _Alignas(64) uint64_t x[RING_WIDE_PRIMES][N];
    double squares = 0;
    for (int p = 0; p < RING_WIDE_PRIMES; p++) {
        const struct kern_ntt *ring = ring_wide_get((enum ring_wide_prime)p);
        kern_get()->mul(x[p], f.key->wide->a_hat[p], f.secret->wide->hat[p], N, &ring->modulus);
        kern_get()->ntt_inv(x[p], ring);
        for (size_t i = 0; i < N; i++) {
            uint64_t q = ring->modulus.q;
            uint64_t e = (x[p][i] + f.key->wide->b[p][i]) % q; /* -e, the same mod both primes */
            int64_t v = e > q / 2 ? (int64_t)e - (int64_t)q : (int64_t)e;
            assert_in_range(v + 21, 0, 42);
            assert_true(p == 0 || v == (int64_t)x[0][i]);
            x[p][i] = (uint64_t)v;
            squares += p == 0 ? (double)(v * v) : 0;
        }
    }
    printf("error variance %.2f\n", squares / N);
    assert_true(fabs(squares / N - 10.5) < 9 * 10.5 * sqrt(2.0 / N));
}

/* Origin: BLAKE2b-256 of "cairn wide ring v1" (zeros to 32), 32 bytes 0, 1, ... 31 and the number
 * of the prime, from Python's hashlib; the first words of AES-256-CTR under it from
 *   head -c 24 /dev/zero | openssl enc -aes-256-ctr -K <that digest> -iv 0
 * cut to 50 bits. */
static void test_he_wide_keys__expansion(void **state)
{
    (void)state;
    static const uint64_t expected[RING_WIDE_PRIMES][3] = {
        {0x88dae21c340b, 0xf7c32c858e64, 0x1725248a995e1},
        {0x63bdb490c5d2, 0x312f72da45592, 0x1d98dcd2d158e},
    };
    static _Alignas(64) uint64_t out[N];
    static uint8_t stream[8 * N];
    uint8_t seed[32];
    for (uint8_t i = 0; i < 32; i++) {
        seed[i] = i;
    }
    for (int p = 0; p < RING_WIDE_PRIMES; p++) {
        assert_int_equal(he_wide_expand(seed, (enum ring_wide_prime)p, out, stream), 0);
        assert_memory_equal(out, expected[p], sizeof expected[p]);
        for (size_t i = 0; i < N; i++) {
            assert_true(out[i] < ring_wide_get((enum ring_wide_prime)p)->modulus.q);
        }
    }
}

static void test_he_wide_keys__round_trip(void **state)
{
    (void)state;
    struct he_public_key *key = NULL;
    struct he_secret_key *secret = NULL;
    uint8_t id[HE_KEY_ID_SIZE];
    assert_int_equal(read_public(f.bytes.data, f.bytes.size, &key), 0);
    assert_memory_equal(key->wide, f.key->wide, sizeof *key->wide);
    const struct span bytes = {f.secret_bytes, sizeof f.secret_bytes};
    assert_int_equal(he_secret_key_read(bytes, &secret, id, NULL), 0);
    assert_memory_equal(secret->wide, f.secret->wide, sizeof *secret->wide);
    assert_memory_equal(id, f.id, sizeof id);
    he_public_key_free(key);
    he_secret_key_free(secret);
}

static void test_he_wide_keys__other_lengths(void **state)
{
    (void)state;
    struct he_public_key *key = NULL;
    struct he_secret_key *secret = NULL;
    uint8_t *longer = calloc(1, f.bytes.size + 1);
    for (size_t size = 0; size <= f.bytes.size + 1; size += size < 100 ? 1 : 333) {
        uint8_t *copy = malloc(size + 1); /* the sanitizer sees a read beyond */
        size_t there = size < f.bytes.size ? size : f.bytes.size;
        memcpy(copy, f.bytes.data, there);
        copy[size] = 0;
        assert_int_equal(size == f.bytes.size ? CAIRN_ERR_MALFORMED
                                              : read_public(copy, size, &key),
                         CAIRN_ERR_MALFORMED);
        free(copy);
    }
    memcpy(longer, f.bytes.data, f.bytes.size);
    assert_int_equal(read_public(longer, f.bytes.size + 1, &key), CAIRN_ERR_MALFORMED);
    free(longer);
    for (size_t size = 0; size < sizeof f.secret_bytes; size++) {
        uint8_t *copy = malloc(size + 1);
        memcpy(copy, f.secret_bytes, size);
        assert_int_equal(read_secret(copy, size, &secret), CAIRN_ERR_MALFORMED);
        free(copy);
    }
}

static void test_he_wide_keys__flipped_bits_are_seen(void **state)
{
    (void)state;
    struct he_public_key *key = NULL;
    struct he_secret_key *secret = NULL;
    for (size_t at = 0; at < f.bytes.size; at += at < HEADER ? 1 : 997) {
        f.bytes.data[at] ^= (uint8_t)(1 << at % 8);
        int rc = read_public(f.bytes.data, f.bytes.size, &key);
        assert_int_equal(rc, at < 32 ? CAIRN_ERR_MALFORMED : CAIRN_ERR_INTEGRITY);
        f.bytes.data[at] ^= (uint8_t)(1 << at % 8);
    }
    for (size_t at = 0; at < sizeof f.secret_bytes; at++) {
        f.secret_bytes[at] ^= (uint8_t)(1 << at % 8);
        int rc = read_secret(f.secret_bytes, sizeof f.secret_bytes, &secret);
        assert_int_equal(rc, at < 32 ? CAIRN_ERR_MALFORMED : CAIRN_ERR_INTEGRITY);
        f.secret_bytes[at] ^= (uint8_t)(1 << at % 8);
    }
}

static void test_he_wide_keys__coefficients_not_below_their_prime(void **state)
{
    (void)state;
    static _Alignas(64) uint64_t b[N];
    struct he_public_key *key = NULL;
    uint8_t *copy = malloc(f.bytes.size);
    static const size_t places[] = {0, 2049, N - 1};
    for (int p = 0; p < RING_WIDE_PRIMES; p++) {
        const uint64_t q = ring_wide_get((enum ring_wide_prime)p)->modulus.q;
        for (size_t i = 0; i < 3; i++) {
            for (uint64_t value = q - 1; value <= q; value++) {
                memcpy(copy, f.bytes.data, f.bytes.size);
                memcpy(b, f.key->wide->b[p], sizeof b);
                b[places[i]] = value;
                kern_get()->pack_bits(copy + HEADER + p * FIELDS, b, N, 50);
                seal("cairn public key v2", copy, f.bytes.size);
                int rc = read_public(copy, f.bytes.size, &key);
                assert_int_equal(rc, value < q ? 0 : CAIRN_ERR_MALFORMED);
                if (rc == 0) {
                    he_public_key_free(key);
                }
            }
        }
    }
    free(copy);
}

static void test_he_wide_keys__secrets_that_are_none(void **state)
{
    (void)state;
    struct he_secret_key *secret = NULL;
    uint8_t bytes[sizeof f.secret_bytes];
    memcpy(bytes, f.secret_bytes, sizeof bytes);
    bytes[HEADER + 77] |= 3 << 4; /* 3 is no coefficient */
    seal("cairn secret key v2", bytes, sizeof bytes);
    assert_int_equal(read_secret(bytes, sizeof bytes, &secret), CAIRN_ERR_MALFORMED);
    memset(bytes + HEADER, 0, N / 4);
    for (size_t i = 0; i < HE_NOISE_MAX_WIDE_KEY_WEIGHT; i++) {
        bytes[HEADER + i / 4] |= (uint8_t)(1 << i % 4 * 2); /* the heaviest key */
    }
    seal("cairn secret key v2", bytes, sizeof bytes);
    assert_int_equal(read_secret(bytes, sizeof bytes, &secret), 0);
    he_secret_key_free(secret);
    bytes[HEADER + N / 4 - 1] = 2 << 6; /* and one more */
    seal("cairn secret key v2", bytes, sizeof bytes);
    assert_int_equal(read_secret(bytes, sizeof bytes, &secret), CAIRN_ERR_MALFORMED);
}

/* A program that knows N = 2048 only looks at the length first: that of version 2 is another. */
static void test_he_wide_keys__lengths_tell_versions_apart(void **state)
{
    (void)state;
    assert_int_equal(f.bytes.size, HEADER + 2 * FIELDS + 32);
    assert_int_equal(f.narrow_bytes.size, 56 + 2048 * 50 / 8 + 32);
    assert_int_equal(le_get16(f.bytes.data + 4), 2);
    assert_int_equal(le_get16(f.narrow_bytes.data + 4), 1);
    assert_true((int)HE_SECRET_KEY_SIZE != (int)HE_SECRET_KEY_WIDE_SIZE);
}

static void assert_both_are_named(const char *key_ring, const char *id, const char *ring)
{
    const char *first = strstr(why.what, key_ring), *second = strstr(why.what, id);
    assert_true(first != NULL && second != NULL && first < second);
    assert_non_null(strstr(second + strlen(id), ring));
}

static void test_he_wide_keys__files_of_the_other_ring(void **state)
{
    (void)state;
    struct he_public_key *key = NULL;
    assert_int_equal(read_public(f.narrow_bytes.data, f.narrow_bytes.size, &key),
                     CAIRN_ERR_MALFORMED);
    assert_both_are_named("2048-50", f.params.id, "4096-100");
    assert_int_equal(he_public_key_read(buf_span(&f.bytes), &f.narrow, &key, &why),
                     CAIRN_ERR_MALFORMED);
    assert_both_are_named("4096-100", f.narrow.id, "2048-50");
    assert_null(key);
}

static void test_he_wide_keys__keys_of_the_other_ring(void **state)
{
    (void)state;
    static const uint8_t nonce[HE_NONCE_SIZE];
    const struct he_params *sets[] = {&f.params, &f.narrow};
    for (int i = 0; i < 2; i++) {
        const struct he_params *p = sets[i];
        struct he_public_key *key = i == 0 ? f.narrow_key : f.key;
        struct he_secret_key *secret = i == 0 ? f.narrow_secret : f.secret;
        int32_t values[3] = {1, 2, 3};
        int64_t sums[3] = {7, 7, 7};
        uint8_t *payload = calloc(1, he_payload_bytes(p, 3)), any = 0;
        assert_int_equal(he_encrypt(p, key, f.rng, NULL, nonce, 0, 0, values, 3, payload, &why),
                         CAIRN_ERR_REFUSED);
        assert_both_are_named(i == 0 ? "2048-50" : "4096-100", p->id,
                              i == 0 ? "4096-100" : "2048-50");
        for (size_t at = 0; at < he_payload_bytes(p, 3); at++) {
            any |= payload[at];
        }
        assert_int_equal(any, 0);
        assert_int_equal(he_open(p, secret, NULL, nonce, 0, 0, 1, payload, 3, sums, &why),
                         CAIRN_ERR_REFUSED);
        assert_both_are_named(i == 0 ? "2048-50" : "4096-100", p->id,
                              i == 0 ? "4096-100" : "2048-50");
        assert_true(sums[0] == 0 && sums[1] == 0 && sums[2] == 0);
        free(payload);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_he_wide_keys__secret_is_ternary_and_not_heavy),
        cmocka_unit_test(test_he_wide_keys__public_key_hides_a_small_error),
        cmocka_unit_test(test_he_wide_keys__expansion),
        cmocka_unit_test(test_he_wide_keys__round_trip),
        cmocka_unit_test(test_he_wide_keys__other_lengths),
        cmocka_unit_test(test_he_wide_keys__flipped_bits_are_seen),
        cmocka_unit_test(test_he_wide_keys__coefficients_not_below_their_prime),
        cmocka_unit_test(test_he_wide_keys__secrets_that_are_none),
        cmocka_unit_test(test_he_wide_keys__lengths_tell_versions_apart),
        cmocka_unit_test(test_he_wide_keys__files_of_the_other_ring),
        cmocka_unit_test(test_he_wide_keys__keys_of_the_other_ring),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
