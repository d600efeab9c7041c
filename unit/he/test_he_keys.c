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
#include "he_keys.h"
#include "he_noise.h"
#include "he_sample.h"

struct fixture {
    struct he_params params;
    struct secret_rng *rng;
    struct he_secret_key *secret;
    struct he_public_key *key;
    struct buf bytes;
};
static struct fixture f;

static int setup(void **state)
{
    (void)state;
    return he_params_choose(HE_CAPSULE, 16, 15, &f.params, NULL) || secret_rng_new(&f.rng) ||
           he_keygen(&f.params, f.rng, &f.secret, &f.key) || he_public_key_write(f.key, &f.bytes);
}

static int teardown(void **state)
{
    (void)state;
    buf_release(&f.bytes);
    he_public_key_free(f.key);
    he_secret_key_free(f.secret);
    secret_rng_free(f.rng);
    return 0;
}

static int read_key(const uint8_t *bytes, size_t size, struct he_public_key **out)
{
    struct cairn_problem why;
    return he_public_key_read((struct span){bytes, size}, &f.params, out, &why);
}

/* The digest that a forger would put there. */
static void seal(uint8_t *bytes)
{
    char label[32] = "cairn public key v1";
    struct digest_state s;
    digest_init(&s);
    digest_update(&s, label, sizeof label);
    digest_update(&s, bytes, f.bytes.size - DIGEST_SIZE);
    digest_final(&s, bytes + f.bytes.size - DIGEST_SIZE);
}

static void test_he_keys__secret_is_ternary_and_not_heavy(void **state)
{
    (void)state;
    static _Alignas(64) uint64_t s[RING_PRIMES][RING_DEGREE];
    memcpy(s, f.secret->hat, sizeof s);
    int weight = 0;
    kern_get()->ntt_inv(s[0], ring_get(RING_Q));
    kern_get()->ntt_inv(s[1], ring_get(RING_Q2));
    for (size_t i = 0; i < RING_DEGREE; i++) {
        assert_true(s[0][i] <= 1 || s[0][i] == RING_Q_VALUE - 1);
        assert_true(s[1][i] == (s[0][i] <= 1 ? s[0][i] : RING_Q2_VALUE - 1));
        weight += s[0][i] != 0;
    }
    assert_true(weight <= HE_NOISE_MAX_KEY_WEIGHT);
    assert_true(weight > 1365 - 9 * 22);
}

static void test_he_keys__public_key_hides_a_small_error(void **state)
{
    (void)state;
    static _Alignas(64) uint64_t x[RING_DEGREE];
    const struct kern_ntt *ring = ring_get(RING_Q);
    kern_get()->mul(x, f.key->a_hat, f.secret->hat[RING_Q], RING_DEGREE, &ring->modulus);
    kern_get()->ntt_inv(x, ring);
    double squares = 0;
    for (size_t i = 0; i < RING_DEGREE; i++) {
        uint64_t e = (x[i] + f.key->b[i]) % RING_Q_VALUE; /* -e */
        double v = e > RING_Q_VALUE / 2 ? (double)e - (double)RING_Q_VALUE : (double)e;
        assert_true(fabs(v) <= 21);
        squares += v * v;
    }
    printf("error variance %.2f\n", squares / RING_DEGREE);
    assert_true(fabs(squares / RING_DEGREE - 10.5) < 9 * 10.5 * sqrt(2.0 / RING_DEGREE));
}

static void test_he_keys__round_trip(void **state)
{
    (void)state;
    struct he_public_key *back = NULL;
    assert_int_equal(read_key(f.bytes.data, f.bytes.size, &back), 0);
    assert_memory_equal(back, f.key, sizeof *back);
    he_public_key_free(back);
}

static void test_he_keys__truncated_at_every_byte(void **state)
{
    (void)state;
    struct he_public_key *back = (void *)&f;
    for (size_t size = 0; size < f.bytes.size; size++) {
        uint8_t *copy = malloc(size + 1); /* the sanitizer sees a read beyond */
        memcpy(copy, f.bytes.data, size);
        assert_int_equal(read_key(size == 0 ? NULL : copy, size, &back), CAIRN_ERR_MALFORMED);
        free(copy);
    }
    assert_ptr_equal(back, &f);
    uint8_t *longer = calloc(1, f.bytes.size + 1);
    memcpy(longer, f.bytes.data, f.bytes.size);
    assert_int_equal(read_key(longer, f.bytes.size + 1, &back), CAIRN_ERR_MALFORMED);
    free(longer);
}

static void test_he_keys__flipped_bits_are_seen(void **state)
{
    (void)state;
    struct he_public_key *back = NULL;
    for (size_t at = 0; at < f.bytes.size; at += at < 64 ? 1 : 97) {
        f.bytes.data[at] ^= (uint8_t)(1 << at % 8);
        int rc = read_key(f.bytes.data, f.bytes.size, &back);
        assert_int_equal(rc, at < 24 ? CAIRN_ERR_MALFORMED : CAIRN_ERR_INTEGRITY);
        f.bytes.data[at] ^= (uint8_t)(1 << at % 8);
    }
    assert_null(back);
}

static void test_he_keys__coefficients_not_below_q_are_refused(void **state)
{
    (void)state;
    struct he_public_key *back = NULL;
    static _Alignas(64) uint64_t b[RING_DEGREE];
    uint8_t *copy = malloc(f.bytes.size);
    const size_t places[] = {0, 1, 1023, RING_DEGREE - 1};
    const uint64_t values[] = {RING_Q_VALUE, RING_Q_VALUE + 1, (UINT64_C(1) << 50) - 1};
    for (size_t i = 0; i < 4; i++) {
        for (size_t v = 0; v < 3; v++) {
            memcpy(copy, f.bytes.data, f.bytes.size);
            memcpy(b, f.key->b, sizeof b);
            b[places[i]] = values[v];
            kern_get()->pack_bits(copy + 56, b, RING_DEGREE, 50);
            seal(copy);
            assert_int_equal(read_key(copy, f.bytes.size, &back), CAIRN_ERR_MALFORMED);
        }
        b[places[i]] = RING_Q_VALUE - 1;
        kern_get()->pack_bits(copy + 56, b, RING_DEGREE, 50);
        seal(copy);
        assert_int_equal(read_key(copy, f.bytes.size, &back), 0);
        he_public_key_free(back);
        back = NULL;
    }
    free(copy);
}

static void test_he_keys__two_keys_differ(void **state)
{
    (void)state;
    struct he_secret_key *secret;
    struct he_public_key *key;
    assert_int_equal(he_keygen(&f.params, f.rng, &secret, &key), 0);
    assert_memory_not_equal(key->seed, f.key->seed, 32);
    assert_memory_not_equal(key->b, f.key->b, 64);
    assert_memory_not_equal(secret->hat, f.secret->hat, 64);
    he_secret_key_free(secret);
    he_public_key_free(key);
    struct he_params none;
    assert_int_equal(he_params_choose(HE_NONE, 16, 15, &none, NULL), 0);
    assert_int_equal(he_keygen(&none, f.rng, &secret, &key), CAIRN_ERR_BUG);
    assert_null(secret);
    assert_null(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_he_keys__secret_is_ternary_and_not_heavy),
        cmocka_unit_test(test_he_keys__public_key_hides_a_small_error),
        cmocka_unit_test(test_he_keys__round_trip),
        cmocka_unit_test(test_he_keys__truncated_at_every_byte),
        cmocka_unit_test(test_he_keys__flipped_bits_are_seen),
        cmocka_unit_test(test_he_keys__coefficients_not_below_q_are_refused),
        cmocka_unit_test(test_he_keys__two_keys_differ),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
