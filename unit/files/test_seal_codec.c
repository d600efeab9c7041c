/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "replay.h"
#include "seal_codec.h"

enum { CLIENTS = 5, BITS = 8, LIMIT = 127 };

struct world {
    struct seal_codec codec;
    struct secret_rng *rng;
    struct seal_secret_key secret;
    struct seal_public_key open;
    struct seal_cipher sum, one;
    int32_t values[8192];
    int64_t exact[8192], found[8192];
};
static struct world w;

static void make(enum he_profile profile, double unit)
{
    struct he_params params;
    memset(&w, 0, sizeof w);
    assert_int_equal(he_params_choose(profile, BITS, CLIENTS, &params, NULL), 0);
    assert_int_equal(seal_codec_init(&w.codec, &params, unit, NULL), 0);
    assert_int_equal(secret_rng_new(&w.rng), 0);
    assert_int_equal(seal_keygen(w.codec.context, w.rng, &w.secret, NULL), 0);
    assert_int_equal(
        seal_public_key_make(w.codec.context, &w.secret, w.rng, false, &w.open, NULL), 0);
}

static void drop(void)
{
    seal_cipher_release(&w.sum);
    seal_cipher_release(&w.one);
    seal_secret_key_release(&w.secret);
    seal_public_key_release(&w.open);
    secret_rng_free(w.rng);
    seal_codec_release(&w.codec);
}

static void add_client(struct replay_rng *rng, unsigned client, size_t count)
{
    for (size_t i = 0; i < count; i++) { /* the extremes of all clients in the same places */
        w.values[i] = i % 3 == 0   ? LIMIT
                      : i % 3 == 1 ? -LIMIT
                                   : (int32_t)replay_below(rng, 2 * LIMIT + 1) - LIMIT;
        w.exact[i] = (client == 0 ? 0 : w.exact[i]) + w.values[i];
    }
    struct seal_cipher *to = client == 0 ? &w.sum : &w.one;
    assert_int_equal(
        seal_codec_encrypt(&w.codec, &w.open, w.rng, w.values, count, to, NULL), 0);
    if (client != 0) {
        assert_int_equal(seal_add(w.codec.context, &w.sum, &w.one, NULL), 0);
    }
}

static void sums_are_exact(enum he_profile profile, double unit)
{
    const uint64_t seed = 11;
    struct replay_rng rng;
    struct cairn_problem why;
    make(profile, unit);
    print_message("seed %llu\n", (unsigned long long)seed);
    replay_init(&rng, "seal_codec", seed, 0, 0);
    const size_t full = w.codec.params.chunk_params;
    const size_t counts[] = {1, full - 1, full};
    for (size_t k = 0; k < sizeof counts / sizeof counts[0]; k++) {
        assert_true(full <= sizeof w.values / sizeof w.values[0]);
        for (unsigned c = 0; c < CLIENTS; c++) {
            add_client(&rng, c, counts[k]);
        }
        assert_int_equal(seal_codec_open(&w.codec, &w.secret, CLIENTS, &w.sum, w.found, counts[k],
                                         &why), 0);
        assert_memory_equal(w.found, w.exact, counts[k] * sizeof w.exact[0]);
    }
    /* more in it than one client can have sent */
    assert_int_equal(seal_codec_open(&w.codec, &w.secret, 1, &w.sum, w.found, full, &why),
                     CAIRN_ERR_INTEGRITY);
    assert_int_equal(w.found[0], 0);
    drop();
}

static void test_seal_codec__sums_are_exact(void **state)
{
    (void)state;
    sums_are_exact(HE_BFV, 0);
    sums_are_exact(HE_SEAL_CKKS, 0);
    sums_are_exact(HE_SEAL_CKKS, 1.0 / LIMIT);
}

/* The least unit that is taken at 5 clients is good, and half of it is refused. */
static void test_seal_codec__least_unit(void **state)
{
    struct he_params params;
    struct seal_codec codec;
    struct cairn_problem why;
    (void)state;
    /* 24 sqrt(5 * 8192) sqrt((1 + 2 * 8192 / 3) / 12) / 2^40 = 9.43e-8 */
    assert_int_equal(he_params_choose(HE_SEAL_CKKS, BITS, CLIENTS, &params, NULL), 0);
    assert_int_equal(seal_codec_init(&codec, &params, 9.4e-8, &why), CAIRN_ERR_CONFIG);
    sums_are_exact(HE_SEAL_CKKS, 9.5e-8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seal_codec__sums_are_exact),
        cmocka_unit_test(test_seal_codec__least_unit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
