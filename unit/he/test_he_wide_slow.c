/* SPDX-License-Identifier: Apache-2.0 */
/* The largest sets with as many clients as they allow, each with an encryption of its own. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "he.h"
#include "he_layout.h"

enum { CLIENTS = 10000 };

static const uint8_t nonce[HE_NONCE_SIZE] = {9};

/* Clients 0, 2, 4, ... send the largest values everywhere, the others the smallest at every third
 * place; all of one sign somewhere. */
static int32_t value_of(int client, size_t i, int32_t limit)
{
    return client % 2 == 1 && i % 3 == 0 ? -limit : limit;
}

static void ten_thousand(enum he_profile profile, unsigned value_bits)
{
    struct he_params p;
    struct secret_rng *rng;
    struct he_secret_key *secret;
    struct he_public_key *key;
    assert_int_equal(he_params_choose(profile, value_bits, CLIENTS, &p, NULL), 0);
    assert_int_equal(p.degree, 4096);
    assert_int_equal(secret_rng_new(&rng), 0);
    assert_int_equal(he_keygen(&p, rng, &secret, &key), 0);
    const size_t n = p.chunk_params - 7, bytes = he_payload_bytes(&p, n);
    const int32_t limit = (int32_t)he_value_limit(value_bits);
    int32_t *values = malloc(n * sizeof *values);
    int64_t *sums = malloc(n * sizeof *sums);
    uint8_t *payload = malloc(bytes), *total = calloc(1, bytes);
    for (int c = 0; c < CLIENTS; c++) {
        for (size_t i = 0; i < n; i++) {
            values[i] = value_of(c, i, limit);
        }
        assert_int_equal(he_encrypt(&p, key, rng, NULL, nonce, 3, 4, values, n, payload, NULL), 0);
        he_add(&p, n, total, payload);
    }
    assert_int_equal(he_open(&p, secret, NULL, nonce, 3, 4, CLIENTS, total, n, sums, NULL), 0);
    for (size_t i = 0; i < n; i++) {
        assert_true(sums[i] == (i % 3 == 0 ? 0 : (int64_t)limit * CLIENTS));
    }
    free(values);
    free(sums);
    free(payload);
    free(total);
    he_public_key_free(key);
    he_secret_key_free(secret);
    secret_rng_free(rng);
}

static void test_he_wide_slow__capsule(void **state)
{
    (void)state;
    ten_thousand(HE_CAPSULE, 24);
}

static void test_he_wide_slow__bfv(void **state)
{
    (void)state;
    ten_thousand(HE_BFV, 24);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_he_wide_slow__capsule),
        cmocka_unit_test(test_he_wide_slow__bfv),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
