/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcairn from several threads at once, from the first call of the process on: then it is that
 * tables, kernels and the libraries below are set up. Afterwards all use the same parameters and
 * keys. Meant for ThreadSanitizer (label threaded).
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <cairn/he.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 4, N = 5000 };

/* What is used together. */
struct keys {
    struct cairn_params *params;
    struct cairn_secret_key *secret;
    struct cairn_public_key *key;
};

static pthread_barrier_t together;
static struct keys shared;
static const uint8_t nonce[CAIRN_NONCE_SIZE] = {1, 2, 3};

static int make(struct keys *k, enum cairn_profile profile, uint32_t contributors)
{
    int rc = cairn_params_new(profile, 16, contributors, &k->params, NULL);
    return rc != 0 ? rc : cairn_keygen(k->params, &k->secret, &k->key, NULL);
}

static void release(struct keys *k)
{
    cairn_params_free(k->params);
    cairn_secret_key_free(k->secret);
    cairn_public_key_free(k->key);
    *k = (struct keys){0};
}

/* Both keys to bytes and back. */
static int copy_keys(const struct keys *from, struct keys *to)
{
    size_t size = 0;
    uint8_t bytes[CAIRN_SECRET_KEY_MOST];
    (void)!cairn_public_key_write(from->key, NULL, &size, NULL);
    uint8_t *key_bytes = malloc(size);
    int rc = cairn_public_key_write(from->key, key_bytes, &size, NULL);
    if (rc == 0) {
        rc = cairn_public_key_read(from->params, key_bytes, size, &to->key, NULL);
    }
    free(key_bytes);
    size = sizeof bytes;
    if (rc == 0) {
        rc = cairn_secret_key_write(from->secret, bytes, &size, NULL);
    }
    return rc != 0 ? rc : cairn_secret_key_read(from->params, bytes, size, &to->secret, NULL);
}

/* Two payloads under k's public key, opened with the copy of its secret key. */
static int use(const struct keys *k, const struct keys *copy)
{
    const size_t size = cairn_payload_size(k->params, N);
    uint8_t *one = malloc(size);
    uint8_t *sum = malloc(size);
    int32_t *values = malloc(N * sizeof *values);
    int64_t *sums = malloc(N * sizeof *sums);
    for (int i = 0; i < N; i++) {
        values[i] = i - N / 2;
    }
    int rc = cairn_encrypt(k->params, k->key, nonce, 1, 2, values, N, sum, size, NULL);
    if (rc == 0) {
        rc = cairn_encrypt(k->params, copy->key, nonce, 1, 2, values, N, one, size, NULL);
    }
    if (rc == 0) {
        rc = cairn_add(k->params, N, sum, one, size, NULL);
    }
    if (rc == 0) {
        rc = cairn_open(k->params, copy->secret, nonce, 1, 2, 2, sum, size, sums, N, NULL);
    }
    for (int i = 0; rc == 0 && i < N; i++) {
        rc = sums[i] == 2 * (int64_t)values[i] ? 0 : CAIRN_ERR_BUG;
    }
    free(one);
    free(sum);
    free(values);
    free(sums);
    return rc;
}

static int work_on(const struct keys *k)
{
    struct keys copy = {0};
    int rc = copy_keys(k, &copy);
    if (rc == 0) {
        rc = use(k, &copy);
    }
    release(&copy);
    return rc;
}

/* Which parameters: this thread's number decides, so that both rings are set up at once. */
static void *from_the_first_call(void *arg)
{
    const uintptr_t number = (uintptr_t)arg;
    struct keys own = {0};
    pthread_barrier_wait(&together);
    int rc = make(&own, number % 2 ? CAIRN_PROFILE_BFV : CAIRN_PROFILE_CAPSULE,
                  number / 2 % 2 ? 1000 : 3);
    if (rc == 0) {
        rc = work_on(&own);
    }
    release(&own);
    return (void *)(intptr_t)rc;
}

static void *with_shared_keys(void *arg)
{
    (void)arg;
    int rc = 0;
    pthread_barrier_wait(&together);
    for (int i = 0; i < 2 && rc == 0; i++) {
        rc = work_on(&shared);
    }
    return (void *)(intptr_t)rc;
}

static void all_at_once(void *(*run)(void *arg))
{
    pthread_t threads[THREADS];
    assert_int_equal(pthread_barrier_init(&together, NULL, THREADS), 0);
    for (uintptr_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, run, (void *)i), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *rc;
        assert_int_equal(pthread_join(threads[i], &rc), 0);
        assert_null(rc);
    }
    pthread_barrier_destroy(&together);
}

static void test_lib_threads__first_calls_at_once(void **state)
{
    (void)state;
    all_at_once(from_the_first_call);
}

static void test_lib_threads__shared_keys(void **state)
{
    (void)state;
    static const uint32_t contributors[] = {3, 1000}; /* N = 2048, N = 4096 */
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(make(&shared, CAIRN_PROFILE_CAPSULE, contributors[i]), 0);
        all_at_once(with_shared_keys);
        release(&shared);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lib_threads__first_calls_at_once),
        cmocka_unit_test(test_lib_threads__shared_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
