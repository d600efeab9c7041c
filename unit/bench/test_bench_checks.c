/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is wrong is not timed: each test plants one mistake behind the interface that is measured
 * (the linker's --wrap, unit/CMakeLists.txt) and wants it found.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "kern_rungs.h"
#include "sizes.h"

enum { N = 5000, CLIENTS = 3, THREADS = 2 };

static const struct bench_effort effort = {.kernel_ns = 1, .operation_ns = 1, .copies = 1};

/* ---- planted mistakes ---- */

enum mistake { NO_MISTAKE, WRONG_MUL, WRONG_LAST_SUM, WRONG_FIRST_SUM, LOST_PAYLOAD, LOST_BY_ONE };
static enum mistake mistake;
static pthread_t main_thread;

void __real_kern_fill(struct kern_ops *ops, enum cpu_rung rung);
void __wrap_kern_fill(struct kern_ops *ops, enum cpu_rung rung);
int __real_he_open(const struct he_params *params, const struct he_secret_key *secret,
                   struct he_crew *crew, const uint8_t nonce[HE_NONCE_SIZE], uint32_t round,
                   uint32_t frame, uint32_t contributors, const uint8_t *payload, size_t n,
                   int64_t *sums, struct cairn_problem *why);
int __wrap_he_open(const struct he_params *params, const struct he_secret_key *secret,
                   struct he_crew *crew, const uint8_t nonce[HE_NONCE_SIZE], uint32_t round,
                   uint32_t frame, uint32_t contributors, const uint8_t *payload, size_t n,
                   int64_t *sums, struct cairn_problem *why);
void __real_he_add(const struct he_params *params, size_t n, uint8_t *sum, const uint8_t *payload);
void __wrap_he_add(const struct he_params *params, size_t n, uint8_t *sum, const uint8_t *payload);

static void wrong_mul(uint64_t *out, const uint64_t *a, const uint64_t *b, size_t n,
                      const struct kern_modulus *m)
{
    struct kern_ops portable;
    kern_fill_c(&portable);
    portable.mul(out, a, b, n, m);
    out[n - 1] ^= 1;
}

/* Rung avx2 is portable C here, so that this runs on any machine. */
void __wrap_kern_fill(struct kern_ops *ops, enum cpu_rung rung)
{
    __real_kern_fill(ops, CPU_RUNG_C);
    if (rung != CPU_RUNG_C && mistake == WRONG_MUL) {
        ops->mul = wrong_mul;
    }
}

int __wrap_he_open(const struct he_params *params, const struct he_secret_key *secret,
                   struct he_crew *crew, const uint8_t nonce[HE_NONCE_SIZE], uint32_t round,
                   uint32_t frame, uint32_t contributors, const uint8_t *payload, size_t n,
                   int64_t *sums, struct cairn_problem *why)
{
    int error = __real_he_open(params, secret, crew, nonce, round, frame, contributors, payload, n,
                               sums, why);
    sums[0] += mistake == WRONG_FIRST_SUM;
    sums[n - 1] += mistake == WRONG_LAST_SUM;
    return error;
}

void __wrap_he_add(const struct he_params *params, size_t n, uint8_t *sum, const uint8_t *payload)
{
    static _Thread_local unsigned calls;
    if (mistake == LOST_PAYLOAD && calls++ % CLIENTS == 1) {
        return;
    }
    if (mistake == LOST_BY_ONE && !pthread_equal(pthread_self(), main_thread)) {
        return;
    }
    __real_he_add(params, n, sum, payload);
}

/* ---- kernels ---- */

static int run_kernels(struct cairn_problem *why)
{
    struct bench_kernel *out = calloc(2 * bench_kernel_slots(), sizeof *out);
    assert_non_null(out);
    int error = bench_kernels(CPU_RUNG_AVX2, &effort, out, why);
    for (size_t i = 0; error == 0 && i < 2 * bench_kernel_slots(); i++) {
        assert_int_equal(out[i].rung, i % 2);
        assert_int_equal(out[i].code, CPU_RUNG_C); /* both rungs have the same functions */
        assert_string_equal(out[i].name, out[i - i % 2].name);
        assert_true(out[i].ns > 0);
    }
    free(out);
    return error;
}

static void test_bench_checks__kernels(void **state)
{
    (void)state;
    struct cairn_problem why = {0};
    assert_int_equal(run_kernels(&why), 0);
    mistake = WRONG_MUL;
    assert_int_equal(run_kernels(&why), CAIRN_ERR_INTEGRITY);
    assert_non_null(strstr(why.what, "mul"));
    assert_non_null(strstr(why.what, "avx2"));
    mistake = NO_MISTAKE;
}

/* ---- profiles ---- */

static int run_profile(enum he_profile profile, struct bench_times *times,
                       struct cairn_problem *why)
{
    struct he_params params;
    /* small: what it holds is never looked at */
    struct bench_memory memory = {size_alloc_array(64, 1), size_alloc_array(64, 1), 64};
    assert_int_equal(he_params_choose(profile, 8, 4, &params, why), 0);
    const struct bench_job job = {&params, N, CLIENTS, THREADS, &memory, &effort};
    const int error = bench_profile(&job, times, why);
    bench_memory_release(&memory);
    return error;
}

static void test_bench_checks__profiles(void **state)
{
    (void)state;
    static const enum he_profile profiles[] = {HE_NONE, HE_BFV, HE_CAPSULE};
    for (size_t i = 0; i < 3; i++) {
        struct bench_times t = {0};
        struct cairn_problem why = {0};
        struct he_params params;
        assert_int_equal(run_profile(profiles[i], &t, &why), 0);
        assert_true(t.encrypt_ns > 0 && t.fold_ns > 0 && t.open_ns > 0 && t.fold_gb_s > 0);
        assert_int_equal(he_params_choose(profiles[i], 8, 4, &params, &why), 0);
        assert_true(t.bits_per_param == 8.0 * (double)he_payload_bytes(&params, N) / N);
        /* packed bytes over time, whichever way it is put */
        assert_true(t.fold_gb_s * t.fold_ns > 0.999 * t.bits_per_param / 8 &&
                    t.fold_gb_s * t.fold_ns < 1.001 * t.bits_per_param / 8);

        mistake = WRONG_FIRST_SUM;
        assert_int_equal(run_profile(profiles[i], &t, &why), CAIRN_ERR_INTEGRITY);
        mistake = WRONG_LAST_SUM;
        assert_int_equal(run_profile(profiles[i], &t, &why), CAIRN_ERR_INTEGRITY);
        assert_non_null(strstr(why.what, he_profile_name(profiles[i])));
        mistake = LOST_PAYLOAD;
        assert_int_equal(run_profile(profiles[i], &t, &why), CAIRN_ERR_INTEGRITY);
        mistake = LOST_BY_ONE; /* in the second thread's frame only */
        assert_int_equal(run_profile(profiles[i], &t, &why), CAIRN_ERR_INTEGRITY);
        mistake = NO_MISTAKE;
    }
}

static void test_bench_checks__refuses_what_cannot_be(void **state)
{
    (void)state;
    struct he_params params;
    struct bench_times t;
    struct cairn_problem why = {0};
    assert_int_equal(he_params_choose(HE_NONE, 8, 4, &params, &why), 0);
    struct bench_job job = {&params, N, BENCH_MAX_CLIENTS + 1, 1, NULL, &effort};
    assert_int_equal(bench_profile(&job, &t, &why), CAIRN_ERR_BUG);
    job.clients = 1;
    job.threads = 0;
    assert_int_equal(bench_profile(&job, &t, &why), CAIRN_ERR_BUG);
    job.threads = 1;
    job.n = 0;
    assert_int_equal(bench_profile(&job, &t, &why), CAIRN_ERR_BUG);
}

int main(void)
{
    main_thread = pthread_self();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bench_checks__kernels),
        cmocka_unit_test(test_bench_checks__profiles),
        cmocka_unit_test(test_bench_checks__refuses_what_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
