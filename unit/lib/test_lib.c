/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public interface, misused: every function, each pointer NULL in turn, sizes one off. Nothing
 * may crash, and outputs stay what they were.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <cairn/he.h>
#include <cairn/quantiser.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = 5 };

static struct cairn_params *params;
static struct cairn_params *plain; /* profile none */
static struct cairn_public_key *key;
static struct cairn_secret_key *secret;
static uint8_t nonce[CAIRN_NONCE_SIZE];
static uint8_t *payload;
static uint8_t *sum;
static size_t size;
static const int32_t values[N] = {1, -2, 3, -4, 127};
static int64_t sums[N];
static uint8_t *key_bytes;
static size_t key_size;
static uint8_t secret_bytes[CAIRN_SECRET_KEY_MOST];
static size_t secret_size = sizeof secret_bytes;

static int setup(void **state)
{
    (void)state;
    if (cairn_params_new(CAIRN_PROFILE_CAPSULE, 8, 3, &params, NULL) ||
        cairn_params_new(CAIRN_PROFILE_NONE, 8, 3, &plain, NULL) ||
        cairn_keygen(params, &secret, &key, NULL) || cairn_nonce_new(nonce, NULL)) {
        return -1;
    }
    size = cairn_payload_size(params, N);
    payload = calloc(1, size);
    sum = calloc(1, size);
    (void)!cairn_public_key_write(key, NULL, &key_size, NULL);
    key_bytes = malloc(key_size);
    return payload == NULL || sum == NULL || key_bytes == NULL ||
           cairn_public_key_write(key, key_bytes, &key_size, NULL) ||
           cairn_secret_key_write(secret, secret_bytes, &secret_size, NULL) ||
           cairn_encrypt(params, key, nonce, 1, 0, values, N, payload, size, NULL);
}

static int teardown(void **state)
{
    (void)state;
    free(payload);
    free(sum);
    free(key_bytes);
    cairn_public_key_free(key);
    cairn_secret_key_free(secret);
    cairn_params_free(params);
    cairn_params_free(plain);
    return 0;
}

/* Every output that a refused call is given, and what was in it. */
static uint64_t outputs_then[3];

static uint64_t checksum(const void *bytes, size_t n)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a: any byte that changes shows */
    for (size_t i = 0; i < n; i++) {
        hash = (hash ^ ((const uint8_t *)bytes)[i]) * 1099511628211u;
    }
    return hash;
}

static void outputs_now(uint64_t out[3])
{
    out[0] = checksum(payload, size) ^ checksum(sum, size) << 1;
    out[1] = checksum(sums, sizeof sums) ^ checksum(nonce, sizeof nonce) << 1;
    out[2] = checksum(key_bytes, key_size) ^ checksum(secret_bytes, sizeof secret_bytes) << 1;
}

static void assert_outputs_untouched(void)
{
    uint64_t now[3];
    outputs_now(now);
    assert_memory_equal(now, outputs_then, sizeof now);
}

/* Each argument that is a pointer and may not be NULL, as a bit. Each call once more without a
 * problem to fill. */
static void test_lib__null_arguments(void **state)
{
    (void)state;
    struct cairn_params *p = NULL;
    struct cairn_public_key *pk = NULL;
    struct cairn_secret_key *sk = NULL;
    struct cairn_problem why;
    struct cairn_quantiser q = {
        .range = 1, .value_bits = 8, .largest_samples = 1, .samples = 1, .round = 1};
    float floats[N] = {0};
    int32_t integers[N];
    size_t room = key_size;
#define IF(bit, pointer) (mask & 1u << (bit) ? NULL : (pointer))
#define REFUSES(n, call)                                                                           \
    for (unsigned turn = 0; turn < 2; turn++) {                                                    \
        struct cairn_problem *said = turn == 0 ? &why : NULL;                                      \
        for (unsigned mask = 1; mask < 1u << (n); mask++) {                                        \
            memset(&why, 0, sizeof why);                                                           \
            assert_int_equal(call, CAIRN_ERR_USAGE);                                               \
            assert_true(said == NULL || (why.what[0] != 0 && why.code == CAIRN_ERR_USAGE));        \
            assert_outputs_untouched();                                                            \
        }                                                                                          \
    }
    outputs_now(outputs_then);
    assert_int_equal(cairn_params_new(CAIRN_PROFILE_BFV, 8, 3, NULL, &why), CAIRN_ERR_USAGE);
    REFUSES(3, cairn_keygen(IF(0, params), IF(1, &sk), IF(2, &pk), said))
    REFUSES(2, cairn_public_key_write(IF(0, key), key_bytes, IF(1, &room), said))
    REFUSES(1, cairn_public_key_write(key, IF(0, key_bytes), &room, said))
    REFUSES(3, cairn_public_key_read(IF(0, params), IF(1, key_bytes), key_size, IF(2, &pk), said))
    REFUSES(2, cairn_secret_key_write(IF(0, secret), secret_bytes, IF(1, &room), said))
    REFUSES(1, cairn_secret_key_write(secret, IF(0, secret_bytes), &room, said))
    REFUSES(
        3, cairn_secret_key_read(IF(0, params), IF(1, secret_bytes), secret_size, IF(2, &sk), said))
    REFUSES(1, cairn_nonce_new(IF(0, nonce), said))
    REFUSES(5, cairn_encrypt(IF(0, params), IF(1, key), IF(2, nonce), 1, 0, IF(3, values), N,
                             IF(4, payload), size, said))
    REFUSES(3, cairn_add(IF(0, params), N, IF(1, sum), IF(2, payload), size, said))
    REFUSES(5, cairn_open(IF(0, params), IF(1, secret), IF(2, nonce), 1, 0, 1, IF(3, payload), size,
                          IF(4, sums), N, said))
    REFUSES(3, cairn_quantise(IF(0, &q), IF(1, floats), NULL, N, IF(2, integers), NULL, said))
    REFUSES(3, cairn_mean(IF(0, &q), 1, IF(1, sums), N, IF(2, floats), said))
    assert_null(p);
    assert_null(pk);
    assert_null(sk);

    cairn_params_free(NULL);
    cairn_public_key_free(NULL);
    cairn_secret_key_free(NULL);
    assert_string_equal(cairn_params_id(NULL), "");
    assert_true(isnan(cairn_params_failure_log2(NULL)));
    assert_true(isnan(cairn_params_security_bits(NULL)));
    assert_int_equal(cairn_params_limit(NULL), 0);
    assert_int_equal(cairn_payload_size(NULL, 1), 0);
}

static void test_lib__sizes_one_off(void **state)
{
    (void)state;
    struct cairn_problem why;
    struct cairn_public_key *pk = NULL;
    struct cairn_secret_key *sk = NULL;
    uint8_t small[CAIRN_SECRET_KEY_MOST] = {0};
    uint8_t zeros[sizeof small] = {0};
    static const int off[] = {-1, 1};
    for (int i = 0; i < 2; i++) {
        const size_t wrong = size + (size_t)off[i];
        assert_int_equal(cairn_encrypt(params, key, nonce, 1, 0, values, N, payload, wrong, &why),
                         CAIRN_ERR_USAGE);
        assert_int_equal(cairn_add(params, N, sum, payload, wrong, &why), CAIRN_ERR_USAGE);
        assert_int_equal(
            cairn_open(params, secret, nonce, 1, 0, 1, payload, wrong, sums, N, &why),
            CAIRN_ERR_USAGE);
        assert_int_equal(cairn_public_key_read(params, key_bytes, key_size - 1, &pk, &why),
                         CAIRN_ERR_MALFORMED);
        assert_int_equal(cairn_secret_key_read(params, secret_bytes, secret_size - 1, &sk, &why),
                         CAIRN_ERR_MALFORMED);
    }
    assert_int_equal(cairn_encrypt(params, key, nonce, 1, 0, values, 0, payload, 0, &why),
                     CAIRN_ERR_USAGE);
    assert_int_equal(cairn_payload_size(params, 0), 0);
    assert_int_equal(cairn_payload_size(params, SIZE_MAX), 0);
    assert_int_equal(cairn_payload_size(plain, SIZE_MAX), 0);

    size_t room = secret_size - 1;
    assert_int_equal(cairn_secret_key_write(secret, small, &room, &why), CAIRN_ERR_USAGE);
    assert_int_equal(room, secret_size);
    assert_memory_equal(small, zeros, sizeof small);
    room = key_size - 1;
    assert_int_equal(cairn_public_key_write(key, payload, &room, &why), CAIRN_ERR_USAGE);
    assert_int_equal(room, key_size);
}

static void test_lib__profile_none(void **state)
{
    (void)state;
    struct cairn_public_key *pk = NULL;
    struct cairn_secret_key *sk = NULL;
    const size_t n = cairn_payload_size(plain, N);
    uint8_t *bytes = calloc(1, n);
    assert_non_null(bytes);
    assert_int_equal(cairn_keygen(plain, &sk, &pk, NULL), CAIRN_ERR_USAGE);
    assert_int_equal(cairn_encrypt(plain, NULL, nonce, 1, 0, values, N, bytes, n, NULL), 0);
    assert_int_equal(cairn_add(plain, N, bytes, bytes, n, NULL), 0); /* twice itself */
    assert_int_equal(cairn_open(plain, NULL, nonce, 1, 0, 2, bytes, n, sums, N, NULL), 0);
    assert_int_equal(sums[4], 254);
    free(bytes);
    struct cairn_params *none = NULL;
    assert_int_equal(cairn_params_new((enum cairn_profile)4, 8, 3, &none, NULL), CAIRN_ERR_USAGE);
    assert_int_equal(cairn_params_new(CAIRN_PROFILE_BFV, 99, 3, &none, NULL), CAIRN_ERR_CONFIG);
    assert_null(none);
}

static const struct {
    enum cairn_profile profile;
    unsigned most_bits; /* as he.h says */
} ranges[] = {{CAIRN_PROFILE_NONE, 32},
              {CAIRN_PROFILE_BFV, 32},
              {CAIRN_PROFILE_CAPSULE, 32},
              {CAIRN_PROFILE_SEAL_CKKS, 24}};

static void test_lib__ranges_of_parameters(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        const enum cairn_profile profile = ranges[i].profile;
        struct cairn_params *p = NULL;
        assert_int_equal(cairn_params_new(profile, 1, 3, &p, NULL), CAIRN_ERR_CONFIG);
        assert_int_equal(cairn_params_new(profile, 8, 0, &p, NULL), CAIRN_ERR_CONFIG);
        assert_int_equal(cairn_params_new(profile, 8, 10001, &p, NULL), CAIRN_ERR_CONFIG);
        assert_int_equal(cairn_params_new(profile, ranges[i].most_bits + 1, 3, &p, NULL),
                         CAIRN_ERR_CONFIG);
        assert_null(p);
        for (unsigned bits = 2; bits <= ranges[i].most_bits; bits++) {
            assert_int_equal(cairn_params_new(profile, bits, 3, &p, NULL), 0);
            assert_int_equal(cairn_params_limit(p), (INT64_C(1) << (bits - 1)) - 1);
            cairn_params_free(p);
            p = NULL;
        }
    }
}

/* The largest values that parameters allow, from three clients, come out exactly. */
static void largest_sums(enum cairn_profile profile, unsigned bits)
{
    struct cairn_params *p = NULL;
    struct cairn_public_key *pk = NULL;
    struct cairn_secret_key *sk = NULL;
    assert_int_equal(cairn_params_new(profile, bits, 3, &p, NULL), 0);
    const int32_t limit = cairn_params_limit(p);
    const int32_t largest[N] = {limit, -limit, 0, 1, -1};
    const size_t bytes = cairn_payload_size(p, N);
    uint8_t *one = calloc(1, bytes), *all = calloc(1, bytes);
    assert_true(one != NULL && all != NULL);
    assert_true(profile == CAIRN_PROFILE_NONE || cairn_keygen(p, &sk, &pk, NULL) == 0);
    for (int client = 0; client < 3; client++) {
        assert_int_equal(cairn_encrypt(p, pk, nonce, 1, 0, largest, N, one, bytes, NULL), 0);
        assert_int_equal(cairn_add(p, N, all, one, bytes, NULL), 0);
    }
    assert_int_equal(cairn_open(p, sk, nonce, 1, 0, 3, all, bytes, sums, N, NULL), 0);
    for (int i = 0; i < N; i++) {
        assert_true(sums[i] == 3 * (int64_t)largest[i]);
    }
    free(one);
    free(all);
    cairn_public_key_free(pk);
    cairn_secret_key_free(sk);
    cairn_params_free(p);
}

static void test_lib__largest_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        largest_sums(ranges[i].profile, ranges[i].most_bits);
    }
}

/* Failures leave nothing behind: the payload is zeros, the sums are. */
static void test_lib__failures_zero_their_outputs(void **state)
{
    (void)state;
    int32_t outside[N] = {0, 0, 128};
    struct cairn_problem why;
    memset(sum, 1, size);
    assert_int_equal(cairn_encrypt(params, key, nonce, 1, 0, outside, N, sum, size, &why),
                     CAIRN_ERR_REFUSED);
    assert_non_null(strstr(why.what, "value 2"));
    for (size_t i = 0; i < size; i++) {
        assert_int_equal(sum[i], 0);
    }
    memset(sums, 1, sizeof sums);
    assert_int_equal(cairn_open(params, secret, nonce, 2, 0, 1, payload, size, sums, N, &why),
                     CAIRN_ERR_INTEGRITY); /* of another round */
    for (int i = 0; i < N; i++) {
        assert_int_equal(sums[i], 0);
    }
    assert_int_equal(cairn_open(params, secret, nonce, 1, 0, 4, payload, size, sums, N, &why),
                     CAIRN_ERR_REFUSED);
}

static void test_lib__quantiser_members(void **state)
{
    (void)state;
    const struct cairn_quantiser good = {
        .range = 1, .value_bits = 8, .largest_samples = 4, .samples = 4, .round = 1};
    float floats[2] = {0.5f, -0.5f};
    int32_t out[2] = {7, 7};
    struct cairn_problem why;
    struct cairn_quantiser bad[8];
    for (int i = 0; i < 8; i++) {
        bad[i] = good;
    }
    bad[0].range = 0;
    bad[1].range = (double)NAN;
    bad[2].value_bits = 1;
    bad[3].value_bits = 25;
    bad[4].largest_samples = 0;
    bad[5].samples = 5;
    bad[6].first = UINT64_MAX;
    bad[7].range = (double)INFINITY;
    for (int i = 0; i < 8; i++) {
        assert_int_equal(cairn_quantise(&bad[i], floats, NULL, 2, out, NULL, &why),
                         CAIRN_ERR_USAGE);
    }
    floats[1] = NAN;
    assert_int_equal(cairn_quantise(&good, floats, NULL, 2, out, NULL, &why), CAIRN_ERR_DATA);
    assert_non_null(strstr(why.what, "value 1"));
    assert_int_equal(out[0], 7);
    floats[1] = 2;
    uint64_t clamped = 10;
    assert_int_equal(cairn_quantise(&good, floats, NULL, 2, out, &clamped, &why), 0);
    assert_int_equal(clamped, 11);
    assert_int_equal(out[1], 127);
    assert_int_equal(cairn_mean(&good, 0, sums, 2, floats, &why), CAIRN_ERR_USAGE);
}

/* A run that starts elsewhere is that part of the whole. */
static void test_lib__quantiser_first(void **state)
{
    (void)state;
    struct cairn_quantiser q = {.range = 1, .value_bits = 4, .largest_samples = 1, .samples = 1,
                                .round = 3, .seed = 99, .client = 2};
    float floats[100];
    int32_t whole[100];
    int32_t part[60];
    for (int i = 0; i < 100; i++) {
        floats[i] = (float)i / 101;
    }
    assert_int_equal(cairn_quantise(&q, floats, NULL, 100, whole, NULL, NULL), 0);
    q.first = 40;
    assert_int_equal(cairn_quantise(&q, floats + 40, NULL, 60, part, NULL, NULL), 0);
    assert_memory_equal(part, whole + 40, sizeof part);
}

/* Keys as bytes and back, a sum, and a payload that nobody can have encrypted. */
static void test_lib__profile_seal_ckks(void **state)
{
    (void)state;
    struct cairn_params *ckks = NULL;
    struct cairn_public_key *pk = NULL, *pk_again = NULL;
    struct cairn_secret_key *sk = NULL, *sk_again = NULL;
    uint8_t secret_file[CAIRN_SECRET_KEY_MOST];
    size_t secret_file_size = sizeof secret_file, file_size = 0;
    assert_int_equal(cairn_params_new(CAIRN_PROFILE_SEAL_CKKS, 8, 3, &ckks, NULL), 0);
    assert_int_equal(cairn_keygen(ckks, &sk, &pk, NULL), 0);
    assert_int_equal(cairn_secret_key_write(sk, secret_file, &secret_file_size, NULL), 0);
    (void)!cairn_public_key_write(pk, NULL, &file_size, NULL);
    uint8_t *file = malloc(file_size);
    assert_int_equal(cairn_public_key_write(pk, file, &file_size, NULL), 0);
    assert_int_equal(cairn_public_key_read(ckks, file, file_size, &pk_again, NULL), 0);
    assert_int_equal(
        cairn_secret_key_read(ckks, secret_file, secret_file_size, &sk_again, NULL), 0);

    const size_t bytes = cairn_payload_size(ckks, N);
    uint8_t *one = malloc(bytes), *total = malloc(bytes);
    assert_int_equal(cairn_encrypt(ckks, pk_again, nonce, 1, 0, values, N, one, bytes, NULL), 0);
    assert_int_equal(cairn_encrypt(ckks, pk, nonce, 1, 0, values, N, total, bytes, NULL), 0);
    assert_int_equal(cairn_add(ckks, N, total, one, bytes, NULL), 0);
    memset(one, 0xff, bytes);
    assert_int_equal(cairn_add(ckks, N, total, one, bytes, NULL), CAIRN_ERR_REFUSED);
    assert_int_equal(cairn_open(ckks, sk_again, nonce, 1, 0, 2, total, bytes, sums, N, NULL), 0);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(sums[i], 2 * values[i]);
    }
    free(file);
    free(one);
    free(total);
    cairn_public_key_free(pk);
    cairn_public_key_free(pk_again);
    cairn_secret_key_free(sk);
    cairn_secret_key_free(sk_again);
    cairn_params_free(ckks);
}

/* What was not sent is owed and comes with the next run; without samples nothing moves. */
static void test_lib__quantiser_residual(void **state)
{
    (void)state;
    struct cairn_quantiser q = {.range = 127, .value_bits = 8, .largest_samples = 2, .samples = 2,
                                .round = 1, .seed = 5};
    const float floats[3] = {200.0f, 3.25f, -7.0f}; /* a step is 1 */
    float residual[3] = {0, 10.25f, 0.5f};
    int32_t out[3];
    uint64_t clamped = 0;
    assert_int_equal(cairn_quantise(&q, floats, residual, 3, out, &clamped, NULL), 0);
    assert_int_equal(clamped, 1);
    assert_int_equal(out[0], 127);
    assert_true(residual[0] == 73.0f);
    assert_true(residual[1] == 13.5f - (float)out[1] && fabsf(residual[1]) < 1);
    assert_true(residual[2] == -6.5f - (float)out[2] && fabsf(residual[2]) < 1);
    const float before[3] = {residual[0], residual[1], residual[2]};
    q.samples = 0;
    assert_int_equal(cairn_quantise(&q, floats, residual, 3, out, NULL, NULL), 0);
    assert_memory_equal(residual, before, sizeof before);
    assert_memory_equal(out, ((int32_t[3]){0}), sizeof out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lib__null_arguments),
        cmocka_unit_test(test_lib__sizes_one_off),
        cmocka_unit_test(test_lib__profile_none),
        cmocka_unit_test(test_lib__ranges_of_parameters),
        cmocka_unit_test(test_lib__largest_values),
        cmocka_unit_test(test_lib__failures_zero_their_outputs),
        cmocka_unit_test(test_lib__profile_seal_ckks),
        cmocka_unit_test(test_lib__quantiser_members),
        cmocka_unit_test(test_lib__quantiser_first),
        cmocka_unit_test(test_lib__quantiser_residual),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
