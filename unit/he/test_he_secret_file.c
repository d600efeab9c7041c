/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "digest.h"
#include "he_keys.h"
#include "he_noise.h"

struct fixture {
    struct he_params params;
    struct secret_rng *rng;
    struct he_secret_key *secret;
    struct he_public_key *key;
    uint8_t id[HE_KEY_ID_SIZE];
    uint8_t bytes[HE_SECRET_KEY_SIZE];
};
static struct fixture f;

static int setup(void **state)
{
    (void)state;
    return he_params_choose(HE_CAPSULE, 16, 3, &f.params, NULL) || secret_rng_new(&f.rng) ||
           he_keygen(&f.params, f.rng, &f.secret, &f.key) || he_public_key_id(f.key, f.id) ||
           he_secret_key_write(f.secret, f.id, f.bytes);
}

static int teardown(void **state)
{
    (void)state;
    he_public_key_free(f.key);
    he_secret_key_free(f.secret);
    secret_rng_free(f.rng);
    return 0;
}

/* Reads bytes that must be refused: nothing is handed out. */
static int refused(const uint8_t *bytes, size_t size)
{
    struct he_secret_key *none = NULL;
    uint8_t id[HE_KEY_ID_SIZE] = {0};
    uint8_t zeros[HE_KEY_ID_SIZE] = {0};
    struct cairn_problem why = {0};
    int rc = he_secret_key_read((struct span){bytes, size}, &none, id, &why);
    assert_int_not_equal(rc, 0);
    assert_int_equal(rc, why.code);
    assert_null(none);
    assert_memory_equal(id, zeros, sizeof id);
    return rc;
}

/* The digest that a forger would put there. */
static void seal(uint8_t *bytes)
{
    char label[32] = "cairn secret key v1";
    struct digest_state s;
    digest_init(&s);
    digest_update(&s, label, sizeof label);
    digest_update(&s, bytes, HE_SECRET_KEY_SIZE - DIGEST_SIZE);
    digest_final(&s, bytes + HE_SECRET_KEY_SIZE - DIGEST_SIZE);
}

static void test_he_secret_file__round_trip_opens(void **state)
{
    (void)state;
    struct he_secret_key *again = NULL;
    uint8_t id[HE_KEY_ID_SIZE];
    const uint8_t nonce[HE_NONCE_SIZE] = {1};
    const int32_t values[3] = {5, -7, 32767};
    int64_t sums[3];
    uint8_t payload[20000];
    assert_in_range(he_payload_bytes(&f.params, 3), 1, sizeof payload);
    assert_int_equal(he_secret_key_read((struct span){f.bytes, sizeof f.bytes}, &again, id, NULL),
                     0);
    assert_memory_equal(id, f.id, sizeof id);
    assert_memory_equal(again->hat, f.secret->hat, sizeof again->hat);
    assert_int_equal(
        he_encrypt(&f.params, f.key, f.rng, NULL, nonce, 1, 0, values, 3, payload, NULL), 0);
    assert_int_equal(he_open(&f.params, again, NULL, nonce, 1, 0, 1, payload, 3, sums, NULL), 0);
    assert_int_equal(sums[2], 32767);
    he_secret_key_free(again);
}

static void test_he_secret_file__every_truncation_is_refused(void **state)
{
    (void)state;
    for (size_t size = 0; size < sizeof f.bytes; size++) {
        assert_int_equal(refused(f.bytes, size), CAIRN_ERR_MALFORMED);
    }
    uint8_t longer[HE_SECRET_KEY_SIZE + 1] = {0};
    memcpy(longer, f.bytes, sizeof f.bytes);
    assert_int_equal(refused(longer, sizeof longer), CAIRN_ERR_MALFORMED);
}

static void test_he_secret_file__every_flipped_byte_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof f.bytes; i++) {
        f.bytes[i] ^= 0x40;
        (void)refused(f.bytes, sizeof f.bytes);
        f.bytes[i] ^= 0x40;
    }
}

static void test_he_secret_file__refuses_what_is_no_key_behind_a_good_digest(void **state)
{
    (void)state;
    uint8_t bytes[HE_SECRET_KEY_SIZE];
    memcpy(bytes, f.bytes, sizeof bytes);
    bytes[100] |= 3; /* a coefficient that is neither -1, 0 nor 1 */
    seal(bytes);
    assert_int_equal(refused(bytes, sizeof bytes), CAIRN_ERR_MALFORMED);
    memset(bytes + 56, 0x55, 512); /* all ones: 2048 of them, and HE_NOISE_MAX_KEY_WEIGHT may be */
    seal(bytes);
    assert_int_equal(refused(bytes, sizeof bytes), CAIRN_ERR_MALFORMED);
    for (int at = 4; at < 24; at++) {
        if (at >= 8 && at < 12) {
            continue; /* the length: a flip there is caught before the digest */
        }
        memcpy(bytes, f.bytes, sizeof bytes);
        bytes[at] ^= 1;
        seal(bytes);
        assert_int_equal(refused(bytes, sizeof bytes), CAIRN_ERR_MALFORMED);
    }
}

/* Exactly as many non-zero coefficients as keygen allows are read, one more is not. */
static void test_he_secret_file__weight_limit(void **state)
{
    (void)state;
    uint8_t bytes[HE_SECRET_KEY_SIZE];
    uint8_t id[HE_KEY_ID_SIZE];
    struct he_secret_key *key = NULL;
    memcpy(bytes, f.bytes, sizeof bytes);
    memset(bytes + 56, 0, 512);
    for (int i = 0; i < HE_NOISE_MAX_KEY_WEIGHT; i++) {
        bytes[56 + i / 4] |= (uint8_t)((i % 2 + 1) << (2 * (i % 4)));
    }
    seal(bytes);
    assert_int_equal(he_secret_key_read((struct span){bytes, sizeof bytes}, &key, id, NULL), 0);
    he_secret_key_free(key);
    bytes[56 + 511] |= 1 << 6;
    seal(bytes);
    assert_int_equal(refused(bytes, sizeof bytes), CAIRN_ERR_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_he_secret_file__round_trip_opens),
        cmocka_unit_test(test_he_secret_file__every_truncation_is_refused),
        cmocka_unit_test(test_he_secret_file__every_flipped_byte_is_refused),
        cmocka_unit_test(test_he_secret_file__refuses_what_is_no_key_behind_a_good_digest),
        cmocka_unit_test(test_he_secret_file__weight_limit),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
