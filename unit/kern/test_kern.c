/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every kernel against a slow reference, on every rung that this processor has. References use
 * 128-bit division and say what the contract in kern.h says; inputs are random (seed printed) and
 * extreme.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kern_math.h"
#include "kern_rungs.h"
#include "random.h"
#include "replay.h"

enum { N = 2048 };
static const uint64_t primes[] = {UINT64_C(0x3ffffffffc001), UINT64_C(0x3fffffffcc001)};

static struct kern_ops rungs[3];
static int n_rungs;
static uint64_t seed;

static _Alignas(64) uint64_t A[N], B[N], C[N], D[N];
static _Alignas(64) int32_t I[N];
static _Alignas(64) int64_t M[N], V[N * 32];

#define EACH_RUNG(ops) for (const struct kern_ops *ops = rungs; ops < rungs + n_rungs; ops++)

static int setup(void **state)
{
    (void)state;
    enum cpu_rung best;
    if (cpu_rung(&best, NULL) != 0 || random_from_system(&seed, sizeof seed) != 0) {
        return -1;
    }
    for (int r = CPU_RUNG_C; r <= (int)best; r++) {
        kern_fill(&rungs[n_rungs++], (enum cpu_rung)r);
    }
    printf("seed %#llx, rungs up to %s\n", (unsigned long long)seed, cpu_rung_name(best));
    return 0;
}

static struct replay_rng rng_for(uint32_t test)
{
    struct replay_rng r;
    replay_init(&r, "kern test", seed, test, 0);
    return r;
}

static uint64_t below(struct replay_rng *r, uint64_t bound)
{
    return (uint64_t)(((kern_u128)replay_u64(r) * bound) >> 64);
}

/* Words below q: 0, 1, q-1, q-2, the middle, and random ones. */
static void fill_words(struct replay_rng *r, uint64_t *a, uint64_t q)
{
    const uint64_t extremes[] = {0, q - 1, 1, q - 2, q / 2, q / 2 + 1, UINT64_C(1) << 49};
    for (size_t i = 0; i < N; i++) {
        a[i] = i % 3 == 0 ? extremes[below(r, 7)] : below(r, q);
    }
}

static void fill_small(struct replay_rng *r, int32_t *e)
{
    for (size_t i = 0; i < N; i++) {
        e[i] = i % 2 == 0 ? (int32_t)below(r, 43) - 21 : (int32_t)replay_u32(r);
    }
    e[0] = INT32_MIN;
    e[1] = INT32_MAX;
    e[2] = 0;
}

static uint64_t mod_of(int64_t v, uint64_t q)
{
    int64_t r = v % (int64_t)q;
    return (uint64_t)(r < 0 ? r + (int64_t)q : r);
}

static uint64_t mul_mod(uint64_t a, uint64_t b, uint64_t q)
{
    return (uint64_t)((kern_u128)a * b % q);
}

static uint64_t pow_mod(uint64_t a, uint64_t e, uint64_t q)
{
    uint64_t r = 1;
    for (; e; e >>= 1, a = mul_mod(a, a, q)) {
        if (e & 1) {
            r = mul_mod(r, a, q);
        }
    }
    return r;
}

static struct kern_modulus modulus(uint64_t q)
{
    struct kern_modulus m;
    assert_true(kern_modulus_init(&m, q));
    return m;
}

/* ---- constants ---- */

static void test_kern__constants_refuse_what_is_out_of_range(void **state)
{
    (void)state;
    struct kern_modulus m;
    assert_false(kern_modulus_init(&m, UINT64_C(1) << 50));
    assert_false(kern_modulus_init(&m, UINT64_C(1) << 49));
    assert_true(kern_modulus_init(&m, (UINT64_C(1) << 49) + 1));
    struct kern_lanes l;
    assert_false(kern_lanes_init(&l, 0, 3));
    assert_false(kern_lanes_init(&l, 1, 4));
    assert_false(kern_lanes_init(&l, 1, 1));
    assert_false(kern_lanes_init(&l, 2, (1 << 25) + 1));
    assert_true(kern_lanes_init(&l, 2, (1 << 25) - 1));
    assert_true(kern_lanes_init(&l, 31, 3)); /* 3^31 = 2^49.1 */
    assert_false(kern_lanes_init(&l, 32, 3));
    assert_false(kern_lanes_init(&l, 2, UINT64_MAX));
    assert_ptr_equal(kern_get(), kern_get());
}

static void test_kern__division_by_reciprocal_is_exact(void **state)
{
    (void)state;
    struct replay_rng r = rng_for(1);
    for (int i = 0; i < 200000; i++) {
        uint64_t d = 2 + below(&r, UINT64_C(1) << (1 + i % 61));
        uint64_t recip = (uint64_t)(((kern_u128)1 << 64) / d);
        uint64_t k = replay_u64(&r) / d;
        const uint64_t xs[] = {
            0, d - 1, d, k * d, k * d - 1, k * d + d - 1, replay_u64(&r), UINT64_MAX};
        for (size_t j = 0; j < sizeof xs / sizeof xs[0]; j++) {
            uint64_t rest;
            assert_int_equal(kern_divide(xs[j], d, recip, &rest), xs[j] / d);
            assert_int_equal(rest, xs[j] % d);
        }
    }
}

/* ---- transforms ---- */

struct tables {
    _Alignas(64) uint64_t roots[N], roots_shoup[N], inverse[N], inverse_shoup[N];
    double roots_real[N], roots_ratio[N], inverse_real[N], inverse_ratio[N];
};
static struct tables tables;

static size_t reverse(size_t k, size_t n)
{
    size_t r = 0;
    for (; n > 1; n /= 2, k /= 2) {
        r = 2 * r + k % 2;
    }
    return r;
}

static struct kern_ntt ntt_tables(uint64_t q, size_t n, uint64_t *psi_out)
{
    uint64_t psi = 0;
    for (uint64_t x = 2; psi == 0 || pow_mod(psi, n, q) != q - 1; x++) {
        psi = pow_mod(x, (q - 1) / (2 * n), q);
    }
    for (size_t k = 0; k < n; k++) {
        tables.roots[k] = pow_mod(psi, reverse(k, n), q);
        tables.inverse[k] = pow_mod(tables.roots[k], q - 2, q);
        tables.roots_shoup[k] = (uint64_t)(((kern_u128)tables.roots[k] << 64) / q);
        tables.inverse_shoup[k] = (uint64_t)(((kern_u128)tables.inverse[k] << 64) / q);
    }
    kern_ntt_real(tables.roots_real, tables.roots_ratio, tables.roots, n, q);
    kern_ntt_real(tables.inverse_real, tables.inverse_ratio, tables.inverse, n, q);
    uint64_t n_inverse = pow_mod(n, q - 2, q);
    *psi_out = psi;
    return (struct kern_ntt){
        .modulus = modulus(q),
        .n = n,
        .roots = tables.roots,
        .roots_shoup = tables.roots_shoup,
        .inverse = tables.inverse,
        .inverse_shoup = tables.inverse_shoup,
        .n_inverse = n_inverse,
        .n_inverse_shoup = (uint64_t)(((kern_u128)n_inverse << 64) / q),
        .roots_real = tables.roots_real,
        .roots_ratio = tables.roots_ratio,
        .inverse_real = tables.inverse_real,
        .inverse_ratio = tables.inverse_ratio,
    };
}

static void test_kern__ntt_evaluates_at_odd_powers(void **state)
{
    (void)state;
    struct replay_rng r = rng_for(2);
    const size_t n = 64;
    for (int p = 0; p < 2; p++) {
        uint64_t psi, q = primes[p];
        struct kern_ntt t = ntt_tables(q, n, &psi);
        EACH_RUNG(ops) {
            fill_words(&r, A, q);
            memcpy(B, A, sizeof A);
            ops->ntt_fwd(B, &t);
            for (size_t j = 0; j < n; j++) {
                uint64_t x = pow_mod(psi, 2 * reverse(j, n) + 1, q), value = 0;
                for (size_t i = n; i-- > 0;) {
                    value = (mul_mod(value, x, q) + A[i]) % q;
                }
                assert_int_equal(B[j], value);
            }
        }
    }
}

static void check_product(const struct kern_ops *ops, const struct kern_ntt *t)
{
    const uint64_t q = t->modulus.q;
    memset(C, 0, sizeof C);
    for (size_t i = 0; i < t->n; i++) {
        for (size_t j = 0; j < t->n; j++) {
            uint64_t x = mul_mod(A[i], B[j], q);
            size_t at = i + j;
            if (at >= t->n) { /* x^N = -1 */
                at -= t->n;
                x = q - x;
            }
            C[at] = (C[at] + x) % q;
        }
    }
    ops->ntt_fwd(A, t);
    ops->ntt_fwd(B, t);
    ops->mul(D, A, B, t->n, &t->modulus);
    ops->ntt_inv(D, t);
    assert_memory_equal(C, D, t->n * sizeof *C);
}

static void test_kern__ntt_multiplies_as_in_school(void **state)
{
    (void)state;
    struct replay_rng r = rng_for(3);
    static const size_t sizes[] = {16, 32, 256, N};
    for (int p = 0; p < 2; p++) {
        for (size_t s = 0; s < 4; s++) {
            uint64_t psi;
            struct kern_ntt t = ntt_tables(primes[p], sizes[s], &psi);
            EACH_RUNG(ops) {
                fill_words(&r, A, primes[p]);
                fill_words(&r, B, primes[p]);
                check_product(ops, &t);
            }
        }
    }
}

static void test_kern__ntt_round_trip_at_the_extremes(void **state)
{
    (void)state;
    struct replay_rng r = rng_for(4);
    for (int p = 0; p < 2; p++) {
        uint64_t psi, q = primes[p];
        struct kern_ntt t = ntt_tables(q, N, &psi);
        EACH_RUNG(ops) {
            for (int pattern = 0; pattern < 4; pattern++) {
                fill_words(&r, A, q);
                for (size_t i = 0; i < N && pattern < 3; i++) {
                    A[i] = pattern == 0 ? 0 : pattern == 1 ? q - 1 : (i % 2) * (q - 1);
                }
                memcpy(B, A, sizeof A);
                ops->ntt_fwd(B, &t);
                for (size_t i = 0; i < N; i++) {
                    assert_true(B[i] < q);
                }
                ops->ntt_inv(B, &t);
                assert_memory_equal(A, B, sizeof A);
                ops->ntt_inv(B, &t);
                ops->ntt_fwd(B, &t);
                assert_memory_equal(A, B, sizeof A);
            }
        }
    }
}

/* ---- arithmetic ---- */

static void test_kern__arithmetic(void **state)
{
    (void)state;
    struct replay_rng r = rng_for(5);
    const uint64_t moduli[] = {
        primes[0], primes[1], (UINT64_C(1) << 49) + 1, (UINT64_C(1) << 50) - 1};
    for (size_t p = 0; p < 4; p++) {
        uint64_t q = moduli[p];
        struct kern_modulus m = modulus(q);
        EACH_RUNG(ops) {
            fill_words(&r, A, q);
            fill_words(&r, B, q);
            fill_small(&r, I);
            ops->mul(C, A, B, N, &m);
            for (size_t i = 0; i < N; i++) {
                assert_int_equal(C[i], mul_mod(A[i], B[i], q));
            }
            ops->lift_small(C, I, N, &m);
            memcpy(D, A, sizeof A);
            ops->add_small(D, I, N, &m);
            for (size_t i = 0; i < N; i++) {
                assert_int_equal(C[i], mod_of(I[i], q));
                assert_int_equal(D[i], (A[i] + mod_of(I[i], q)) % q);
            }
            memcpy(D, A, sizeof A);
            ops->neg_add_small(D, I, N, &m);
            for (size_t i = 0; i < N; i++) {
                assert_int_equal(D[i], (2 * q - A[i] - mod_of(I[i], q)) % q);
            }
        }
    }
}

static void test_kern__lift_field(void **state)
{
    (void)state;
    struct replay_rng r = rng_for(6);
    for (unsigned bits = 1; bits <= 50; bits++) {
        struct kern_modulus m = modulus(primes[bits % 2]);
        uint64_t end = UINT64_C(1) << bits;
        for (size_t i = 0; i < N; i++) {
            A[i] = below(&r, end);
        }
        A[0] = 0, A[1] = end - 1, A[2] = end / 2, A[3] = end / 2 - 1;
        EACH_RUNG(ops) {
            ops->lift_field(B, A, bits, N, &m);
            for (size_t i = 0; i < N; i++) {
                int64_t v = (int64_t)A[i] - (A[i] >= end / 2 ? (int64_t)end : 0);
                assert_int_equal(B[i], mod_of(v, m.q));
            }
        }
    }
}

/* ---- samplers ---- */

static int bit_count(uint64_t x)
{
    int n = 0;
    for (; x; x >>= 1) {
        n += (int)(x & 1);
    }
    return n;
}

static void test_kern__cbd21_counts_coins(void **state)
{
    (void)state;
    struct replay_rng r = rng_for(7);
    static uint8_t bytes[6 * N];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = i < 60 ? 0xff : i < 120 ? 0 : (uint8_t)replay_u32(&r);
    }
    memset(bytes + 120, 0xff, 3), memset(bytes + 123, 0, 3); /* +21 */
    memset(bytes + 126, 0, 3), memset(bytes + 129, 0xff, 3); /* -21 */
    EACH_RUNG(ops) {
        ops->sample_cbd21(I, N, bytes);
        for (size_t i = 0; i < N; i++) {
            const uint8_t *b = bytes + 6 * i;
            uint64_t up = b[0] | (unsigned)b[1] << 8 | (b[2] & 0x1fu) << 16;
            uint64_t down = b[3] | (unsigned)b[4] << 8 | (b[5] & 0x1fu) << 16;
            assert_int_equal(I[i], bit_count(up) - bit_count(down));
        }
        assert_int_equal(I[20], 21);
        assert_int_equal(I[21], -21);
    }
}

static void test_kern__ternary_keeps_three_of_four(void **state)
{
    (void)state;
    struct replay_rng r = rng_for(8);
    uint8_t bytes[700];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)replay_u32(&r);
    }
    EACH_RUNG(ops) {
        for (size_t n = 0; n < N; n += n < 40 ? 1 : 97) {
            size_t kept = 0;
            size_t got = ops->sample_ternary(I, n, bytes, sizeof bytes);
            for (size_t i = 0; i < 4 * sizeof bytes && kept < n; i++) {
                int two = bytes[i / 4] >> (2 * (i % 4)) & 3;
                if (two != 3) {
                    assert_int_equal(I[kept++], two - 1);
                }
            }
            assert_int_equal(got, kept < n ? kept : n);
        }
        assert_int_equal(ops->sample_ternary(I, 5, (const uint8_t *)"\xff\xff", 2), 0);
    }
}

static void test_kern__uniform_rejects_from_q_on(void **state)
{
    (void)state;
    struct replay_rng r = rng_for(9);
    struct kern_modulus m = modulus(primes[0]);
    static uint64_t words[N];
    for (size_t i = 0; i < N; i++) {
        words[i] = i % 5 == 0 ? m.q + below(&r, 3) - 1 : replay_u64(&r);
    }
    words[7] = UINT64_MAX;
    EACH_RUNG(ops) {
        for (size_t n = 0; n <= N; n += 256) {
            size_t kept = 0;
            size_t got = ops->uniform_reject(A, n, (const uint8_t *)words, sizeof words, &m);
            for (size_t i = 0; i < N && kept < n; i++) {
                uint64_t x = words[i] & ((UINT64_C(1) << 50) - 1);
                if (x < m.q) {
                    assert_int_equal(A[kept++], x);
                }
            }
            assert_int_equal(got, kept);
        }
    }
}

/* ---- lanes ---- */

static const struct { unsigned lanes; uint64_t radix; } lane_sets[] = {
    {1, 3}, {31, 3}, {2, 983011}, {3, 3811}, {4, 1017}, {1, (UINT64_C(1) << 49) + 1}, {2, 33554431},
    {2, 631}, {9, 43},
};

static int32_t digit(struct replay_rng *r, uint64_t half, size_t i)
{
    if (half > INT32_MAX) {
        half = INT32_MAX;
    }
    switch (i % 4) {
    case 0:
        return (int32_t)half;
    case 1:
        return -(int32_t)half;
    default:
        return (int32_t)((int64_t)below(r, 2 * half + 1) - (int64_t)half);
    }
}

static void test_kern__lanes_round_trip(void **state)
{
    (void)state;
    struct replay_rng r = rng_for(10);
    static int32_t values[N * 32];
    for (size_t s = 0; s < sizeof lane_sets / sizeof lane_sets[0]; s++) {
        struct kern_lanes l;
        assert_true(kern_lanes_init(&l, lane_sets[s].lanes, lane_sets[s].radix));
        const size_t full = (size_t)l.lanes * N;
        const size_t counts[] = {1, N - 1, N, full / 2 + 3, full - 1, full};
        for (size_t k = 0; k < 6; k++) {
            for (size_t i = 0; i < full; i++) {
                values[i] = digit(&r, l.digit_half, i < 64 ? s : replay_u32(&r));
            }
            EACH_RUNG(ops) {
                ops->lanes_pack(M, N, values, counts[k], &l);
                for (size_t i = 0; i < N; i++) {
                    uint64_t m = 0; /* two's complement */
                    for (unsigned j = l.lanes; j-- > 0;) {
                        size_t at = j * (size_t)N + i;
                        m = m * l.radix + (uint64_t)(int64_t)(at < counts[k] ? values[at] : 0);
                    }
                    assert_int_equal(M[i], (int64_t)m);
                }
                assert_int_equal(ops->lanes_unpack(V, counts[k], M, N, &l, l.digit_half), 0);
                for (size_t i = 0; i < counts[k]; i++) {
                    assert_int_equal(V[i], values[i]);
                }
            }
        }
    }
}

static void test_kern__lanes_unpack_flags_what_cannot_be(void **state)
{
    (void)state;
    struct kern_lanes l;
    assert_true(kern_lanes_init(&l, 3, 3811));
    EACH_RUNG(ops) {
        for (int sign = -1; sign <= 1; sign += 2) {
            memset(M, 0, sizeof M);
            M[5] = sign * (int64_t)l.half; /* all digits at their limit */
            assert_int_equal(ops->lanes_unpack(V, 3 * N, M, N, &l, 1905), 0);
            assert_int_equal(V[5], sign * 1905);
            assert_int_equal(ops->lanes_unpack(V, 3 * N, M, N, &l, 1904), UINT64_MAX);
            M[5] = sign * (int64_t)(l.half + 1);
            assert_int_equal(ops->lanes_unpack(V, 3 * N, M, N, &l, 1905), UINT64_MAX);
            M[5] = sign * ((INT64_C(1) << 62) - 1);
            assert_int_equal(ops->lanes_unpack(V, 3 * N, M, N, &l, 1905), UINT64_MAX);
            M[5] = sign * 3811; /* digit 1 of coefficient 5 */
            assert_int_equal(ops->lanes_unpack(V, N + 6, M, N, &l, 1905), 0);
            assert_int_equal(V[N + 5], sign);
            assert_int_equal(ops->lanes_unpack(V, N + 5, M, N, &l, 1905), UINT64_MAX);
        }
    }
}

/* ---- messages ---- */

static void test_kern__add_plain_rounds_exactly(void **state)
{
    (void)state;
    struct replay_rng r = rng_for(11);
    const uint64_t ts[] = {3, 12289, UINT64_C(0xd0a38b001), UINT64_C(0xce31d0001),
                           (UINT64_C(1) << 49) - 1, (UINT64_C(1) << 48) + 1};
    struct kern_modulus m = modulus(primes[0]);
    for (size_t k = 0; k < 6; k++) {
        uint64_t t = ts[k];
        struct kern_plain plain;
        kern_plain_init(&plain, &m, t);
        fill_words(&r, A, m.q);
        for (size_t i = 0; i < N; i++) {
            M[i] = (int64_t)below(&r, t) - (int64_t)(t / 2);
        }
        M[0] = 0, M[1] = -1, M[2] = 1, M[3] = (int64_t)(t / 2), M[4] = -(int64_t)(t / 2);
        A[1] = m.q - 1;
        EACH_RUNG(ops) {
            memcpy(B, A, sizeof A);
            ops->add_plain(B, M, N, &plain, &m);
            for (size_t i = 0; i < N; i++) {
                kern_u128 scaled = ((kern_u128)mod_of(M[i], t) * m.q + (t + 1) / 2) / t;
                assert_int_equal(B[i], (uint64_t)((A[i] + scaled) % m.q));
            }
        }
    }
}

static void test_kern__switch_rounds_exactly(void **state)
{
    (void)state;
    struct replay_rng r = rng_for(12);
    for (int p = 0; p < 2; p++) {
        struct kern_modulus m = modulus(primes[p]);
        for (unsigned bits = 1; bits <= 50; bits++) {
            struct kern_switch s;
            kern_switch_init(&s, &m, bits);
            fill_words(&r, A, m.q);
            for (size_t i = 8; i < 1024; i++) { /* both sides of a rounding boundary */
                uint64_t y = 2 * below(&r, UINT64_C(1) << bits) + 1;
                uint64_t x = (uint64_t)((kern_u128)y * m.q >> (bits + 1));
                A[i] = (x + i % 2) % m.q;
            }
            EACH_RUNG(ops) {
                memcpy(B, A, sizeof A);
                ops->switch_pow2(B, N, &s);
                for (size_t i = 0; i < N; i++) {
                    kern_u128 exact = (((kern_u128)A[i] << (bits + 1)) + m.q) / (2 * m.q);
                    assert_int_equal(B[i], (uint64_t)exact & kern_mask_bits(bits));
                }
            }
        }
    }
}

static void test_kern__add_step_wraps(void **state)
{
    (void)state;
    struct replay_rng r = rng_for(13);
    struct kern_modulus m = modulus(primes[0]);
    struct kern_step s;
    kern_step_init(&s, &m, 45, 36, 0);
    for (size_t i = 0; i < N; i++) {
        A[i] = below(&r, UINT64_C(1) << 45);
        M[i] = (int64_t)below(&r, UINT64_C(1) << 40) - (INT64_C(1) << 39);
    }
    EACH_RUNG(ops) {
        memcpy(B, A, sizeof A);
        ops->add_step(B, M, N, &s);
        for (size_t i = 0; i < N; i++) {
            assert_int_equal(B[i], (A[i] + 36 * (uint64_t)M[i]) % (UINT64_C(1) << 45));
        }
    }
}

/* ---- fields ---- */

static uint64_t get_field(const uint8_t *bytes, size_t index, unsigned bits)
{
    uint64_t x = 0;
    for (unsigned b = 0; b < bits; b++) {
        size_t at = index * bits + b;
        x |= (uint64_t)(bytes[at / 8] >> (at % 8) & 1) << b;
    }
    return x;
}

static void test_kern__fields_pack_unpack_add(void **state)
{
    (void)state;
    struct replay_rng r = rng_for(14);
    static uint8_t guarded[3][8 * 600 + 1];
    uint8_t *pa = guarded[0] + 1, *pb = guarded[1] + 1, *out = guarded[2] + 1; /* unaligned */
    for (unsigned bits = 1; bits <= 64; bits++) {
        for (size_t count = 8; count <= 520; count += count < 72 ? 8 : 224) {
            size_t size = count * bits / 8;
            for (size_t i = 0; i < count; i++) {
                A[i] = i % 3 ? replay_u64(&r) & kern_mask_bits(bits) : kern_mask_bits(bits);
                B[i] = i % 4 ? replay_u64(&r) & kern_mask_bits(bits) : kern_mask_bits(bits);
            }
            EACH_RUNG(ops) {
                memset(out, 0xa5, size + 1);
                ops->pack_bits(pa, A, count, bits);
                ops->pack_bits(pb, B, count, bits);
                ops->pack_bits(out, A, count, bits);
                assert_int_equal(out[size], 0xa5);
                ops->unpack_bits(C, pa, count, bits);
                ops->add_packed(out, pb, size, bits);
                assert_int_equal(out[size], 0xa5);
                for (size_t i = 0; i < count; i++) {
                    assert_int_equal(get_field(pa, i, bits), A[i]);
                    assert_int_equal(C[i], A[i]);
                    assert_int_equal(get_field(out, i, bits), (A[i] + B[i]) & kern_mask_bits(bits));
                }
            }
        }
    }
    for (size_t i = 0; i < 20; i++) {
        A[i] &= UINT32_MAX;
    }
    EACH_RUNG(ops) { /* counts that are no multiple of 8 */
        for (size_t count = 1; count < 20; count++) {
            ops->pack_bits(pa, A, count, 32);
            ops->unpack_bits(C, pa, count, 32);
            ops->add_packed(pa, pa, 4 * count, 32);
            for (size_t i = 0; i < count; i++) {
                assert_int_equal(C[i], A[i]);
                assert_int_equal(get_field(pa, i, 32), (uint32_t)(2 * A[i]));
            }
        }
    }
}

/* ---- opening ---- */

static void test_kern__crt_rebuilds_signed_integers(void **state)
{
    (void)state;
    struct replay_rng r = rng_for(15);
    struct kern_crt crt = {.q1 = primes[0], .q2 = primes[1]};
    crt.inverse = pow_mod(crt.q1 % crt.q2, crt.q2 - 2, crt.q2);
    crt.inverse_shoup = (uint64_t)(((kern_u128)crt.inverse << 64) / crt.q2);
    for (size_t i = 0; i < N; i++) {
        V[i] = (int64_t)replay_u64(&r) >> (1 + i % 62);
    }
    V[0] = 0, V[1] = 1, V[2] = -1, V[3] = INT64_MAX, V[4] = INT64_MIN, V[5] = (int64_t)primes[0],
    V[6] = -(int64_t)primes[1];
    for (size_t i = 0; i < N; i++) {
        A[i] = mod_of(V[i], primes[0]);
        B[i] = mod_of(V[i], primes[1]);
    }
    EACH_RUNG(ops) {
        ops->crt_centred(C, A, B, N, &crt);
        assert_memory_equal(C, V, sizeof C);
    }
}

/* floor(a / b) for signed a */
static int64_t floor_div(__int128 a, int64_t b)
{
    __int128 f = a / b;
    return (int64_t)(f - (a % b != 0 && a < 0));
}

static void check_open_step(const struct kern_ops *ops, uint64_t q, unsigned bits, uint64_t step,
                            uint64_t limit)
{
    struct kern_modulus m = modulus(q);
    struct kern_step s;
    kern_step_init(&s, &m, bits, step, limit);
    uint64_t bad = ops->open_step(M, A, B, N, &s);
    uint64_t expected_bad = 0;
    for (size_t i = 0; i < N; i++) {
        /* x in units of 2^-20 */
        kern_u128 product = ((kern_u128)B[i] << (bits + 20 - 15)) / q; /* 128 bits hold 50 + 55 */
        uint64_t rest = (uint64_t)(((kern_u128)B[i] << (bits + 5)) % q);
        product = (product << 15) + ((kern_u128)rest << 15) / q;
        kern_u128 end = (kern_u128)1 << (bits + 20);
        kern_u128 x = (((kern_u128)A[i] << 20) + product) % end;
        __int128 centred = (__int128)x - (x >= end / 2 ? (__int128)end : 0);
        int64_t unit = (int64_t)(step << 20);
        int64_t message = floor_div(2 * centred + unit, 2 * unit);
        __int128 distance = centred - (__int128)message * unit;
        assert_int_equal(M[i], message);
        if (distance > (__int128)limit || -distance > (__int128)limit) {
            expected_bad = UINT64_MAX;
        }
    }
    assert_int_equal(bad, expected_bad);
}

static void test_kern__open_step_rounds_exactly(void **state)
{
    (void)state;
    struct replay_rng r = rng_for(16);
    const struct { unsigned bits; uint64_t step; } sets[] = {
        {45, 36}, {40, 19}, {30, 4}, {2, 1}, {50, 3},
        {44, 2},  {36, 9},  {50, 1}, {47, UINT64_C(1) << 30},
    };
    for (size_t k = 0; k < sizeof sets / sizeof sets[0]; k++) {
        uint64_t end = UINT64_C(1) << sets[k].bits;
        fill_words(&r, B, primes[0]);
        for (size_t i = 0; i < N; i++) {
            A[i] = below(&r, end);
        }
        A[0] = 0, B[0] = 0;
        A[1] = end - 1, B[1] = primes[0] - 1;
        A[2] = end / 2, B[2] = 0;
        A[3] = end / 2 - 1, B[3] = primes[0] - 1;
        EACH_RUNG(ops) {
            check_open_step(ops, primes[0], sets[k].bits, sets[k].step, sets[k].step << 20);
            check_open_step(ops, primes[0], sets[k].bits, sets[k].step, sets[k].step << 18);
        }
        for (size_t i = 0; i < N; i++) { /* around one distance: the limit is met to the unit */
            A[i] = (sets[k].step * (i % 7) + 1) % end;
            B[i] = 0;
        }
        EACH_RUNG(ops) {
            check_open_step(ops, primes[0], sets[k].bits, sets[k].step, UINT64_C(1) << 20);
            check_open_step(ops, primes[0], sets[k].bits, sets[k].step, (UINT64_C(1) << 20) - 1);
        }
    }
}

static void test_kern__open_plain_rounds_exactly(void **state)
{
    (void)state;
    struct replay_rng r = rng_for(17);
    const uint64_t ts[] = {3, 12289, UINT64_C(0xd0a38b001), (UINT64_C(1) << 49) - 1};
    for (size_t k = 0; k < 4; k++) {
        uint64_t t = ts[k];
        unsigned bits0 = 20 + (unsigned)below(&r, 31), bits1 = 20 + (unsigned)below(&r, 31);
        for (size_t i = 0; i < N; i++) {
            A[i] = below(&r, UINT64_C(1) << bits0);
            B[i] = replay_u64(&r);
        }
        A[0] = B[0] = 0;
        A[1] = (UINT64_C(1) << bits0) - 1, B[1] = 0; /* rounds to t, that is 0 */
        const uint64_t limits[] = {INT64_MAX, UINT64_C(1) << 61, 0};
        for (size_t j = 0; j < 3; j++) {
            EACH_RUNG(ops) {
                uint64_t expected = 0;
                uint64_t bad = ops->open_plain(M, A, bits0, B, bits1, N, t, limits[j]);
                for (size_t i = 0; i < N; i++) {
                    uint64_t phase = (A[i] << (64 - bits0)) + (B[i] << (64 - bits1));
                    kern_u128 x = (kern_u128)phase * t, half = (kern_u128)1 << 63;
                    uint64_t m = (uint64_t)((x + half) >> 64);
                    kern_u128 at = (kern_u128)m << 64, far = x > at ? x - at : at - x;
                    m %= t;
                    assert_int_equal(M[i], (int64_t)m - (m > t / 2 ? (int64_t)t : 0));
                    expected |= far > limits[j] ? UINT64_MAX : 0;
                }
                assert_int_equal(bad, expected);
            }
        }
    }
}

/* ---- floats ---- */

enum { FLOATS = 2000 };

static void fill_floats(struct replay_rng *r, float *values, uint32_t *words)
{
    static const float special[] = {0,     -0.0f, 0x1p-149f, -0x1p-149f, 0.5f,
                                    -0.5f, 1,     16777215,  -3e38f};
    static const uint32_t edges[] = {0, 1, UINT32_C(1) << 31, UINT32_MAX};
    for (size_t i = 0; i < FLOATS; i++) {
        values[i] = i % 4 == 0 ? special[below(r, 9)] : 4 * (float)replay_normal(r);
        words[i] = i % 3 == 0 ? edges[below(r, 4)] : replay_u32(r);
    }
}

static void test_kern__rounds_randomly(void **state)
{
    (void)state;
    static const struct { double scale; int32_t limit; } rows[] = {
        {1, 1},     {1, 7}, {100.0 / 3, 127}, {8191.9, 32767}, {1e6, (1 << 24) - 1}, {0x1p900, 5},
        {0, 1},
    };
    static float values[FLOATS];
    static uint32_t words[FLOATS];
    static int32_t out[FLOATS];
    struct replay_rng r = rng_for(20);
    for (size_t k = 0; k < sizeof rows / sizeof rows[0]; k++) {
        const int32_t limit = rows[k].limit;
        fill_floats(&r, values, words);
        EACH_RUNG(ops) {
            size_t clamped =
                ops->round_randomly(out, values, words, FLOATS, rows[k].scale, limit);
            for (size_t i = 0; i < FLOATS; i++) {
                double whole = floor((double)values[i] * rows[k].scale + words[i] / 4294967296.0);
                assert_true(out[i] == fmax(fmin(whole, limit), -limit));
                clamped -= whole != out[i];
            }
            assert_int_equal(clamped, 0);
        }
    }
}

static void test_kern__takes_off(void **state)
{
    (void)state;
    static const double units[] = {1, 1.0 / 3, 0x1p-30, 1e10};
    static float values[FLOATS], left[FLOATS];
    static uint32_t words[FLOATS];
    static int32_t whole[FLOATS];
    struct replay_rng r = rng_for(21);
    for (size_t k = 0; k < sizeof units / sizeof units[0]; k++) {
        fill_floats(&r, values, words);
        for (size_t i = 0; i < FLOATS; i++) {
            whole[i] = (int32_t)(words[i] >> 7) - (1 << 24);
        }
        EACH_RUNG(ops) {
            memcpy(left, values, sizeof left);
            ops->take_off(left, whole, FLOATS, units[k]);
            for (size_t i = 0; i < FLOATS; i++) {
                const double taken = whole[i] * units[k];
                assert_true(left[i] == (float)((double)values[i] - taken));
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kern__constants_refuse_what_is_out_of_range),
        cmocka_unit_test(test_kern__division_by_reciprocal_is_exact),
        cmocka_unit_test(test_kern__ntt_evaluates_at_odd_powers),
        cmocka_unit_test(test_kern__ntt_multiplies_as_in_school),
        cmocka_unit_test(test_kern__ntt_round_trip_at_the_extremes),
        cmocka_unit_test(test_kern__arithmetic),
        cmocka_unit_test(test_kern__lift_field),
        cmocka_unit_test(test_kern__cbd21_counts_coins),
        cmocka_unit_test(test_kern__ternary_keeps_three_of_four),
        cmocka_unit_test(test_kern__uniform_rejects_from_q_on),
        cmocka_unit_test(test_kern__lanes_round_trip),
        cmocka_unit_test(test_kern__lanes_unpack_flags_what_cannot_be),
        cmocka_unit_test(test_kern__add_plain_rounds_exactly),
        cmocka_unit_test(test_kern__switch_rounds_exactly),
        cmocka_unit_test(test_kern__add_step_wraps),
        cmocka_unit_test(test_kern__fields_pack_unpack_add),
        cmocka_unit_test(test_kern__crt_rebuilds_signed_integers),
        cmocka_unit_test(test_kern__open_step_rounds_exactly),
        cmocka_unit_test(test_kern__open_plain_rounds_exactly),
        cmocka_unit_test(test_kern__rounds_randomly),
        cmocka_unit_test(test_kern__takes_off),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
