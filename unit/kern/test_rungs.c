/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every rung that this processor has against portable C, slot by slot: the same bits out, the same
 * return values, not a byte written or read too far. What portable C computes is checked in
 * test_kern.c. CAIRN_BENCH=1 also prints how long each slot takes on each rung.
 *
 * Arrays of bytes end at the end of a page with nothing behind it, so that reading or writing on
 * stops the test at once.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "kern_math.h"
#include "kern_rungs.h"
#include "random.h"
#include "replay.h"

enum { N = 2048, MAX_N = 32768, RUNGS = 3, MAX_LANES = 32 };

static struct kern_ops rungs[RUNGS]; /* the first one is portable C */
static int n_rungs;
static uint64_t seed;
static bool bench;

/* Two primes of this program, and the extremes of what kern_modulus_init takes. */
static const uint64_t moduli[] = {UINT64_C(0x3ffffffffc001), UINT64_C(0x3fffffffcc001),
                                  (UINT64_C(1) << 49) + 1, (UINT64_C(1) << 50) - 1};
enum { MODULI = sizeof moduli / sizeof moduli[0] };

#define EACH_RUNG(r) for (int r = 0; r < n_rungs; r++)

/* ---- arrays that end where the memory ends ---- */

struct edge {
    uint8_t *base;
    size_t size; /* whole pages, without the forbidden one */
};

static struct edge edge_new(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    struct edge e = {NULL, (size + page - 1) / page * page};
    e.base = mmap(NULL, e.size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(e.base, MAP_FAILED);
    assert_int_equal(mprotect(e.base + e.size, page, PROT_NONE), 0);
    return e;
}

/* the last `size` bytes */
static void *edge_last(const struct edge *e, size_t size)
{
    assert_true(size <= e->size);
    return e->base + e->size - size;
}

enum { EDGES = 4, EDGE_SIZE = 8 * N * MAX_LANES };
static struct edge edges[EDGES];

static _Alignas(64) uint64_t A[MAX_N], B[MAX_N], X[MAX_N], Y[MAX_N];
static _Alignas(64) int32_t I[N], J[N];

static int setup(void **state)
{
    (void)state;
    enum cpu_rung best;
    struct cairn_problem why = {0};
    if (cpu_rung(&best, &why) != 0 || random_from_system(&seed, sizeof seed) != 0) {
        (void)printf("%s\n", why.what);
        return -1;
    }
    for (int r = CPU_RUNG_C; r <= (int)best; r++) {
        kern_fill(&rungs[n_rungs++], (enum cpu_rung)r);
    }
    for (size_t i = 0; i < EDGES; i++) {
        edges[i] = edge_new(EDGE_SIZE);
    }
    bench = getenv("CAIRN_BENCH") != NULL;
    (void)printf("seed %#llx, rungs up to %s\n", (unsigned long long)seed, cpu_rung_name(best));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < EDGES; i++) {
        (void)munmap(edges[i].base, edges[i].size + (size_t)sysconf(_SC_PAGESIZE));
    }
    return 0;
}

/* ---- inputs ---- */

static struct replay_rng rng_for(uint32_t test)
{
    struct replay_rng r;
    replay_init(&r, "kern rungs", seed, test, 0);
    return r;
}

static uint64_t below(struct replay_rng *r, uint64_t bound)
{
    return (uint64_t)(((kern_u128)replay_u64(r) * bound) >> 64);
}

/* Words in [0, end): `pattern` 0 random with extremes among them, 1 all 0, 2 all end-1, 3 both in
 * turn, 4 small ones at either end. */
enum { PATTERNS = 5 };

static void fill_words(struct replay_rng *r, uint64_t *a, size_t n, uint64_t end, int pattern)
{
    const uint64_t extremes[] = {0, end - 1, 1, end - 2, end / 2, end / 2 + 1};
    for (size_t i = 0; i < n; i++) {
        switch (pattern) {
        case 0:
            a[i] = replay_u32(r) % 3 == 0 ? extremes[below(r, 6)] % end : below(r, end);
            break;
        case 1:
        case 2:
            a[i] = pattern == 1 ? 0 : end - 1;
            break;
        case 3:
            a[i] = i % 2 ? end - 1 : 0;
            break;
        default:
            a[i] = below(r, 4) % end;
            a[i] = replay_u32(r) % 2 ? a[i] : end - 1 - a[i];
        }
    }
}

static void fill_small(struct replay_rng *r, int32_t *e, size_t n)
{
    const int32_t extremes[] = {INT32_MIN, INT32_MAX, 0, -1, 1, INT32_MIN + 1};
    for (size_t i = 0; i < n; i++) {
        uint32_t kind = replay_u32(r) % 3;
        e[i] = kind == 0   ? extremes[below(r, 6)]
               : kind == 1 ? (int32_t)below(r, 43) - 21
                           : (int32_t)replay_u32(r);
    }
}

static void fill_bytes(struct replay_rng *r, uint8_t *bytes, size_t size, int pattern)
{
    for (size_t i = 0; i < size; i++) {
        bytes[i] = pattern == 1 ? 0 : pattern == 2 ? 0xff : (uint8_t)replay_u32(r);
    }
}

static struct kern_modulus modulus(uint64_t q)
{
    struct kern_modulus m;
    assert_true(kern_modulus_init(&m, q));
    return m;
}

/* ---- timing ---- */

static double seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void report(const char *slot, int rung, double best, size_t units)
{
    (void)printf("  %-16s %-7s %9.1f ns  %6.3f ns each\n", slot, cpu_rung_name((enum cpu_rung)rung),
                 1e9 * best, 1e9 * best / (double)units);
}

/* The shortest of many runs of `call`, which handles `units` coefficients. */
#define BENCH(slot, rung, units, call)                                                             \
    do {                                                                                           \
        double best_ = 1;                                                                          \
        for (int run_ = 0; bench && run_ < 2000; run_++) {                                         \
            double time_ = seconds();                                                              \
            for (int again_ = 0; again_ < 4; again_++) {                                           \
                call;                                                                              \
            }                                                                                      \
            time_ = (seconds() - time_) / 4;                                                       \
            best_ = time_ < best_ ? time_ : best_;                                                 \
        }                                                                                          \
        if (bench) {                                                                               \
            report(slot, rung, best_, units);                                                      \
        }                                                                                          \
    } while (0)

/* ---- transforms ---- */

static uint64_t mul_mod(uint64_t a, uint64_t b, uint64_t q)
{
    return (uint64_t)((kern_u128)a * b % q);
}

static uint64_t pow_mod(uint64_t a, uint64_t e, uint64_t q)
{
    uint64_t r = 1;
    for (; e; e >>= 1, a = mul_mod(a, a, q)) {
        r = e & 1 ? mul_mod(r, a, q) : r;
    }
    return r;
}

/* Miller and Rabin's test; the bases up to 37 decide for every 64-bit number (Sorenson and
 * Webster). */
static bool is_prime(uint64_t q)
{
    for (uint64_t base = 2; base <= 37; base++) {
        uint64_t e = q - 1;
        while (e % 2 == 0 && pow_mod(base, e, q) == 1) {
            e /= 2;
        }
        uint64_t x = pow_mod(base, e, q);
        if (x != 1 && x != q - 1) {
            return false;
        }
    }
    return true;
}

struct tables {
    _Alignas(64) uint64_t roots[MAX_N], roots_shoup[MAX_N], inverse[MAX_N], inverse_shoup[MAX_N];
    double roots_real[MAX_N], roots_ratio[MAX_N], inverse_real[MAX_N], inverse_ratio[MAX_N];
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

static uint64_t shoup(uint64_t w, uint64_t q)
{
    return (uint64_t)(((kern_u128)w << 64) / q);
}

static struct kern_ntt ntt_tables(uint64_t q, size_t n)
{
    struct kern_ntt t = {
        .modulus = modulus(q),
        .n = n,
        .roots = tables.roots,
        .roots_shoup = tables.roots_shoup,
        .inverse = tables.inverse,
        .inverse_shoup = tables.inverse_shoup,
        .n_inverse = pow_mod(n, q - 2, q),
        .roots_real = tables.roots_real,
        .roots_ratio = tables.roots_ratio,
        .inverse_real = tables.inverse_real,
        .inverse_ratio = tables.inverse_ratio,
    };
    t.n_inverse_shoup = shoup(t.n_inverse, q);
    uint64_t psi = 0;
    for (uint64_t x = 2; psi == 0 || pow_mod(psi, n, q) != q - 1; x++) {
        psi = pow_mod(x, (q - 1) / (2 * n), q);
    }
    uint64_t back = pow_mod(psi, q - 2, q), up = 1, down = 1;
    for (size_t k = 0; k < n; k++, up = mul_mod(up, psi, q), down = mul_mod(down, back, q)) {
        size_t at = reverse(k, n);
        tables.roots[at] = up;
        tables.inverse[at] = down;
        tables.roots_shoup[at] = shoup(up, q);
        tables.inverse_shoup[at] = shoup(down, q);
    }
    kern_ntt_real(tables.roots_real, tables.roots_ratio, tables.roots, n, q);
    kern_ntt_real(tables.inverse_real, tables.inverse_ratio, tables.inverse, n, q);
    return t;
}

/* A root of 1 less than q, or the middle, everywhere: the largest factors there can be. Not a
 * transform any more, but the same sums and products. */
static void extreme_tables(const struct kern_ntt *t, struct replay_rng *r)
{
    const uint64_t q = t->modulus.q;
    for (size_t k = 0; k < t->n; k++) {
        tables.roots[k] = q / 2 + replay_u32(r) % 2;
        tables.inverse[k] = q / 2 + replay_u32(r) % 2;
        tables.roots_shoup[k] = shoup(tables.roots[k], q);
        tables.inverse_shoup[k] = shoup(tables.inverse[k], q);
    }
    kern_ntt_real(tables.roots_real, tables.roots_ratio, tables.roots, t->n, q);
    kern_ntt_real(tables.inverse_real, tables.inverse_ratio, tables.inverse, t->n, q);
}

/* The product of the double-precision rungs, to know what they will see: y w - round(y w/q) q with
 * an estimated quotient. */
static double near_product(double y, uint64_t root, uint64_t q)
{
    double w, ratio;
    kern_ntt_real(&w, &ratio, &root, 1, q);
    double h = y * w;
    return fma(-rint(y * ratio), (double)q, h) + fma(y, w, -h);
}

/*
 * Roots that push word 0 of A as far up as it goes: in every stage of the forward transform it is
 * the first operand, and the product that is added to it is made nearly q/2. Signed representatives
 * that nobody reduces would pass 2^53 so before the last stage of the longest transform.
 */
static void growing_tables(const struct kern_ntt *t, struct replay_rng *r)
{
    static double values[MAX_N]; /* of the first block: what follows word 0 */
    const uint64_t q = t->modulus.q;
    fill_words(r, A, t->n, q, 0);
    A[0] = q - 1;
    for (size_t i = 0; i < t->n; i++) {
        values[i] = (double)A[i];
    }
    for (size_t blocks = 1; blocks < t->n; blocks *= 2) {
        const size_t half = t->n / 2 / blocks;
        const double y = values[half];
        const int64_t rest = (int64_t)fmod(y, (double)q);
        const uint64_t back = pow_mod((uint64_t)(rest < 0 ? rest + (int64_t)q : rest), q - 2, q);
        uint64_t w = 0;
        for (int tries = 0; tries < 50; tries++) {
            w = mul_mod(q / 2 - below(r, q / 32), back, q);
            if (near_product(y, w, q) > 0) {
                break;
            }
        }
        for (size_t j = 0; j < half; j++) {
            values[j] += near_product(values[j + half], w, q);
        }
        tables.roots[blocks] = w;
        tables.roots_shoup[blocks] = shoup(w, q);
    }
    kern_ntt_real(tables.roots_real, tables.roots_ratio, tables.roots, t->n, q);
}

/* A, both ways */
static void compare_on(const struct kern_ntt *t)
{
    memcpy(X, A, sizeof A);
    memcpy(Y, A, sizeof A);
    rungs[0].ntt_fwd(X, t);
    rungs[0].ntt_inv(Y, t);
    EACH_RUNG(k) {
        memcpy(B, A, sizeof A);
        rungs[k].ntt_fwd(B, t);
        assert_memory_equal(B, X, sizeof B);
        memcpy(B, A, sizeof A);
        rungs[k].ntt_inv(B, t);
        assert_memory_equal(B, Y, sizeof B);
    }
}

static void compare_transforms(const struct kern_ntt *t, struct replay_rng *r)
{
    for (int pattern = 0; pattern < PATTERNS; pattern++) {
        fill_words(r, A, t->n, t->modulus.q, pattern);
        compare_on(t);
    }
}

/* Of every size, modulo the largest and the smallest prime that the size allows. */
static void test_rungs__transforms(void **state)
{
    (void)state;
    struct replay_rng r = rng_for(1);
    for (size_t n = 16; n <= MAX_N; n *= 2) {
        const uint64_t step = 2 * n;
        uint64_t largest = (UINT64_C(1) << 50) + 1 - step;
        uint64_t smallest = (UINT64_C(1) << 49) + 1 + step;
        while (!is_prime(largest)) {
            largest -= step;
        }
        while (!is_prime(smallest)) {
            smallest += step;
        }
        const uint64_t qs[] = {largest, smallest};
        for (int i = 0; i < 2; i++) {
            struct kern_ntt t = ntt_tables(qs[i], n);
            compare_transforms(&t, &r);
            extreme_tables(&t, &r);
            compare_transforms(&t, &r);
            for (int round = 0; round < 8; round++) {
                growing_tables(&t, &r);
                compare_on(&t);
            }
        }
    }
    struct kern_ntt t = ntt_tables(moduli[0], N);
    fill_words(&r, A, N, moduli[0], 0);
    EACH_RUNG(k) {
        BENCH("ntt_fwd", k, N, rungs[k].ntt_fwd(A, &t));
        BENCH("ntt_inv", k, N, rungs[k].ntt_inv(A, &t));
    }
}

/* ---- arithmetic ---- */

static void test_rungs__mul(void **state)
{
    (void)state;
    struct replay_rng r = rng_for(2);
    for (int p = 0; p < MODULI; p++) {
        struct kern_modulus m = modulus(moduli[p]);
        for (int pattern = 0; pattern < PATTERNS * PATTERNS; pattern++) {
            fill_words(&r, A, N, m.q, pattern % PATTERNS);
            fill_words(&r, B, N, m.q, pattern / PATTERNS);
            rungs[0].mul(X, A, B, N, &m);
            EACH_RUNG(k) {
                for (size_t n = 8; n <= N; n *= 16) {
                    memset(Y, 0, sizeof Y);
                    rungs[k].mul(Y, A, B, n, &m);
                    assert_memory_equal(Y, X, n * sizeof *Y);
                    assert_int_equal(Y[n], 0);
                    memcpy(Y, A, sizeof Y);
                    rungs[k].mul(Y, Y, B, n, &m);
                    assert_memory_equal(Y, X, n * sizeof *Y);
                    memcpy(Y, B, sizeof Y);
                    rungs[k].mul(Y, A, Y, n, &m);
                    assert_memory_equal(Y, X, n * sizeof *Y);
                }
            }
        }
    }
    struct kern_modulus m = modulus(moduli[0]);
    EACH_RUNG(k) {
        BENCH("mul", k, N, rungs[k].mul(Y, A, B, N, &m));
    }
}

static void test_rungs__small(void **state)
{
    (void)state;
    struct replay_rng r = rng_for(3);
    for (int p = 0; p < MODULI; p++) {
        struct kern_modulus m = modulus(moduli[p]);
        for (int pattern = 0; pattern < PATTERNS; pattern++) {
            fill_words(&r, A, N, m.q, pattern);
            fill_small(&r, I, N);
            EACH_RUNG(k) {
                memcpy(X, A, sizeof X);
                memcpy(Y, A, sizeof Y);
                rungs[0].add_small(X, I, N, &m);
                rungs[k].add_small(Y, I, N, &m);
                assert_memory_equal(X, Y, sizeof X);
                rungs[0].neg_add_small(X, I, N, &m);
                rungs[k].neg_add_small(Y, I, N, &m);
                assert_memory_equal(X, Y, sizeof X);
                rungs[0].lift_small(X, I, N, &m);
                rungs[k].lift_small(Y, I, N, &m);
                assert_memory_equal(X, Y, sizeof X);
            }
        }
    }
    struct kern_modulus m = modulus(moduli[0]);
    EACH_RUNG(k) {
        BENCH("add_small", k, N, rungs[k].add_small(A, I, N, &m));
        BENCH("neg_add_small", k, N, rungs[k].neg_add_small(A, I, N, &m));
        BENCH("lift_small", k, N, rungs[k].lift_small(A, I, N, &m));
    }
}

static void test_rungs__lift_field(void **state)
{
    (void)state;
    struct replay_rng r = rng_for(4);
    for (int p = 0; p < MODULI; p++) {
        struct kern_modulus m = modulus(moduli[p]);
        for (unsigned bits = 1; bits <= 50; bits++) {
            fill_words(&r, A, N, UINT64_C(1) << bits, (int)(bits % PATTERNS));
            fill_words(&r, A, N / 2, UINT64_C(1) << bits, 0);
            rungs[0].lift_field(X, A, bits, N, &m);
            EACH_RUNG(k) {
                rungs[k].lift_field(Y, A, bits, N, &m);
                assert_memory_equal(X, Y, N * sizeof *X);
                memcpy(Y, A, sizeof Y);
                rungs[k].lift_field(Y, Y, bits, N, &m);
                assert_memory_equal(X, Y, N * sizeof *X);
            }
        }
    }
    struct kern_modulus m = modulus(moduli[0]);
    EACH_RUNG(k) {
        BENCH("lift_field", k, N, rungs[k].lift_field(X, A, 44, N, &m));
    }
}

/* ---- samplers ---- */

static void test_rungs__sample_cbd21(void **state)
{
    (void)state;
    struct replay_rng r = rng_for(5);
    for (size_t n = 8; n <= N; n += n < 64 ? 8 : 496) {
        uint8_t *bytes = edge_last(&edges[0], 6 * n);
        for (int pattern = 0; pattern < 3; pattern++) {
            fill_bytes(&r, bytes, 6 * n, pattern);
            rungs[0].sample_cbd21(I, n, bytes);
            EACH_RUNG(k) {
                memset(J, 0x55, sizeof J);
                rungs[k].sample_cbd21(J, n, bytes);
                assert_memory_equal(I, J, n * sizeof *I);
                assert_true(n == N || J[n] == 0x55555555);
            }
        }
    }
    EACH_RUNG(k) {
        BENCH("sample_cbd21", k, N, rungs[k].sample_cbd21(I, N, edge_last(&edges[0], 6 * N)));
    }
}

static void test_rungs__sample_ternary(void **state)
{
    (void)state;
    struct replay_rng r = rng_for(6);
    for (int round = 0; round < 300; round++) {
        size_t size = replay_u32(&r) % 600, n = replay_u32(&r) % N;
        uint8_t *bytes = edge_last(&edges[0], size);
        fill_bytes(&r, bytes, size, round < 6 ? round : 0);
        size_t kept = rungs[0].sample_ternary(I, n, bytes, size);
        EACH_RUNG(k) {
            int32_t *out = edge_last(&edges[1], 4 * n);
            assert_int_equal(rungs[k].sample_ternary(out, n, bytes, size), kept);
            assert_memory_equal(I, out, kept * sizeof *I);
        }
    }
    uint8_t *bytes = edge_last(&edges[0], N / 4);
    EACH_RUNG(k) {
        BENCH("sample_ternary", k, N * 3 / 4, rungs[k].sample_ternary(I, N, bytes, N / 4));
    }
}

static void test_rungs__uniform_reject(void **state)
{
    (void)state;
    struct replay_rng r = rng_for(7);
    for (int p = 0; p < MODULI; p++) {
        struct kern_modulus m = modulus(moduli[p]);
        for (int round = 0; round < 300; round++) {
            size_t words = replay_u32(&r) % 80;
            size_t n = round % 2 ? words : replay_u32(&r) % (words + 4);
            uint8_t *bytes = edge_last(&edges[0], 8 * words);
            fill_bytes(&r, bytes, 8 * words, round % 4);
            for (size_t i = 0; i < words && round % 3 == 0; i++) { /* around q, both sides */
                uint64_t x = m.q - 4 + replay_u32(&r) % 8 + (replay_u64(&r) << 50);
                memcpy(bytes + 8 * i, &x, sizeof x); /* x86 or not, only compared */
            }
            uint64_t *expected = edge_last(&edges[1], 8 * n), *out = edge_last(&edges[2], 8 * n);
            memset(expected, 0xa5, 8 * n);
            size_t kept = rungs[0].uniform_reject(expected, n, bytes, 8 * words, &m);
            EACH_RUNG(k) {
                memset(out, 0xa5, 8 * n);
                assert_int_equal(rungs[k].uniform_reject(out, n, bytes, 8 * words, &m), kept);
                assert_memory_equal(out, expected, 8 * n);
            }
        }
    }
    struct kern_modulus m = modulus(moduli[0]);
    uint8_t *bytes = edge_last(&edges[0], 8 * N);
    fill_bytes(&r, bytes, 8 * N, 0);
    EACH_RUNG(k) {
        BENCH("uniform_reject", k, N, rungs[k].uniform_reject(X, N, bytes, 8 * N, &m));
    }
}

/* ---- lanes ---- */

static const struct { unsigned lanes; uint64_t radix; } lane_sets[] = {
    {2, 983011}, {1, 3}, {31, 3}, {3, 3811}, {4, 1017}, {1, (UINT64_C(1) << 49) + 1},
    {2, 33554431}, {2, 631}, {9, 43}, {7, 127}, {1, (UINT64_C(1) << 50) - 1},
};
enum { LANE_SETS = sizeof lane_sets / sizeof lane_sets[0] };

static void compare_lanes(const struct kern_lanes *l, size_t stride, size_t count,
                          struct replay_rng *r)
{
    const uint64_t half = l->digit_half < INT32_MAX ? l->digit_half : INT32_MAX;
    int32_t *values = edge_last(&edges[0], 4 * count);
    for (size_t i = 0; i < count; i++) {
        uint32_t kind = replay_u32(r) % 4;
        int64_t v = (int64_t)below(r, 2 * half + 1) - (int64_t)half;
        values[i] = (int32_t)(kind == 0 ? (int64_t)half : kind == 1 ? -(int64_t)half : v);
    }
    rungs[0].lanes_pack((int64_t *)X, stride, values, count, l);
    EACH_RUNG(k) {
        rungs[k].lanes_pack((int64_t *)Y, stride, values, count, l);
        assert_memory_equal(X, Y, stride * sizeof *X);
    }

    /* opened words: those, now and then with a fault */
    const uint64_t faults[] = {l->half, 0 - l->half, l->half + 1, 0 - l->half - 1,
                               (UINT64_C(1) << 62) - 1, 0 - ((UINT64_C(1) << 62) - 1), 1, 0};
    const uint64_t limits[] = {l->digit_half, l->digit_half - 1, 0, (UINT64_C(1) << 62) - 1};
    for (int round = 0; round < 8; round++) {
        uint64_t limit = limits[round % 4];
        if (round >= 4) {
            X[below(r, stride)] = faults[below(r, 8)];
        }
        int64_t *expected = edge_last(&edges[1], 8 * count), *out = edge_last(&edges[2], 8 * count);
        uint64_t bad =
            rungs[0].lanes_unpack(expected, count, (const int64_t *)X, stride, l, limit);
        EACH_RUNG(k) {
            memset(out, 0xa5, 8 * count);
            assert_int_equal(
                rungs[k].lanes_unpack(out, count, (const int64_t *)X, stride, l, limit), bad);
            assert_memory_equal(out, expected, 8 * count);
        }
    }
}

static void test_rungs__lanes(void **state)
{
    (void)state;
    struct replay_rng r = rng_for(8);
    for (size_t s = 0; s < LANE_SETS; s++) {
        struct kern_lanes l;
        assert_true(kern_lanes_init(&l, lane_sets[s].lanes, lane_sets[s].radix));
        for (size_t stride = 8; stride <= N; stride *= 16) {
            const size_t full = l.lanes * stride;
            const size_t counts[] = {0, 1, 7, stride - 1, stride, full / 2 + 3, full - 5, full};
            for (size_t i = 0; i < 8; i++) {
                compare_lanes(&l, stride, counts[i] < full ? counts[i] : full, &r);
            }
        }
    }
    struct kern_lanes l;
    assert_true(kern_lanes_init(&l, lane_sets[0].lanes, lane_sets[0].radix));
    compare_lanes(&l, N, 2 * N, &r);
    int32_t *values = edge_last(&edges[0], 8 * N);
    int64_t *out = edge_last(&edges[1], 16 * N);
    EACH_RUNG(k) {
        BENCH("lanes_pack", k, N, rungs[k].lanes_pack((int64_t *)X, N, values, 2 * N, &l));
        BENCH("lanes_unpack", k, N,
              rungs[k].lanes_unpack(out, 2 * N, (const int64_t *)X, N, &l, 491505));
    }
}

/* ---- messages ---- */

static void test_rungs__add_plain(void **state)
{
    (void)state;
    struct replay_rng r = rng_for(9);
    /* 49 and 103: t (1/t) is below 1 in doubles */
    const uint64_t ts[] = {3, 5, 49, 103, 12289, UINT64_C(0xd0a38b001), UINT64_C(0xce31d0001),
                           (UINT64_C(1) << 49) - 1, (UINT64_C(1) << 48) + 1};
    for (int p = 0; p < MODULI; p++) {
        struct kern_modulus m = modulus(moduli[p]);
        for (size_t i = 0; i < sizeof ts / sizeof ts[0]; i++) {
            struct kern_plain plain;
            kern_plain_init(&plain, &m, ts[i]);
            for (int pattern = 0; pattern < PATTERNS; pattern++) {
                fill_words(&r, A, N, m.q, pattern);
                fill_words(&r, B, N, ts[i], pattern == 1 ? 0 : pattern);
                for (size_t j = 0; j < N; j++) {
                    B[j] -= ts[i] / 2;
                }
                memcpy(X, A, sizeof X);
                rungs[0].add_plain(X, (const int64_t *)B, N, &plain, &m);
                EACH_RUNG(k) {
                    memcpy(Y, A, sizeof Y);
                    rungs[k].add_plain(Y, (const int64_t *)B, N, &plain, &m);
                    assert_memory_equal(X, Y, sizeof X);
                }
            }
        }
    }
    struct kern_modulus m = modulus(moduli[0]);
    struct kern_plain plain;
    kern_plain_init(&plain, &m, UINT64_C(0xd0a38b001));
    memset(B, 0, sizeof B);
    EACH_RUNG(k) {
        BENCH("add_plain", k, N, rungs[k].add_plain(A, (const int64_t *)B, N, &plain, &m));
    }
}

static void test_rungs__switch_pow2(void **state)
{
    (void)state;
    struct replay_rng r = rng_for(10);
    struct kern_switch s;
    for (int p = 0; p < MODULI; p++) {
        struct kern_modulus m = modulus(moduli[p]);
        for (unsigned bits = 1; bits <= 50; bits++) {
            kern_switch_init(&s, &m, bits);
            fill_words(&r, A, N, m.q, (int)(bits % PATTERNS));
            for (size_t i = 8; i < N; i++) { /* both sides of where rounding turns */
                uint64_t y = 2 * below(&r, UINT64_C(1) << bits) + 1;
                uint64_t x = (uint64_t)((kern_u128)y * m.q >> (bits + 1));
                A[i] = (x + i % 3) % m.q;
            }
            memcpy(X, A, sizeof X);
            rungs[0].switch_pow2(X, N, &s);
            EACH_RUNG(k) {
                memcpy(Y, A, sizeof Y);
                rungs[k].switch_pow2(Y, N, &s);
                assert_memory_equal(X, Y, sizeof X);
            }
        }
    }
    struct kern_modulus m = modulus(moduli[0]);
    kern_switch_init(&s, &m, 45);
    EACH_RUNG(k) {
        BENCH("switch_pow2", k, N, rungs[k].switch_pow2(A, N, &s));
    }
}

static const struct { unsigned bits; uint64_t step; } steps[] = {
    {45, 36}, {40, 19}, {30, 4}, {2, 1}, {1, 1}, {50, 3}, {44, 2}, {36, 9}, {50, 1}, {48, 49},
    {47, UINT64_C(1) << 30}, {50, UINT64_C(1) << 40}, {41, (UINT64_C(1) << 40) - 1},
    {40, UINT64_C(1) << 40}, {49, 196}, {50, 206158430208},
};
enum { STEPS = sizeof steps / sizeof steps[0] };

static void test_rungs__add_step(void **state)
{
    (void)state;
    struct replay_rng r = rng_for(11);
    struct kern_modulus m = modulus(moduli[0]);
    struct kern_step s;
    for (size_t i = 0; i < STEPS; i++) {
        kern_step_init(&s, &m, steps[i].bits, steps[i].step, 0);
        for (int pattern = 0; pattern < PATTERNS; pattern++) {
            fill_words(&r, A, N, UINT64_C(1) << steps[i].bits, pattern);
            for (size_t j = 0; j < N; j++) { /* any message: D m is taken mod 2^K */
                B[j] = j % 2 ? replay_u64(&r) : replay_u32(&r) - (UINT64_C(1) << 31);
            }
            memcpy(X, A, sizeof X);
            rungs[0].add_step(X, (const int64_t *)B, N, &s);
            EACH_RUNG(k) {
                memcpy(Y, A, sizeof Y);
                rungs[k].add_step(Y, (const int64_t *)B, N, &s);
                assert_memory_equal(X, Y, sizeof X);
            }
        }
    }
    EACH_RUNG(k) {
        BENCH("add_step", k, N, rungs[k].add_step(A, (const int64_t *)B, N, &s));
    }
}

/* ---- fields and bytes ---- */

static void compare_fields(unsigned bits, size_t count, int pattern, struct replay_rng *r)
{
    const size_t size = bits * count / 8;
    uint64_t *fields = edge_last(&edges[3], 8 * count);
    for (size_t i = 0; i < count; i++) {
        uint64_t x = pattern == 1 ? 0 : pattern == 2 ? UINT64_MAX : replay_u64(r);
        fields[i] = x & kern_mask_bits(bits);
    }
    uint8_t *packed = edge_last(&edges[0], size), *out = edge_last(&edges[1], size);
    rungs[0].pack_bits(packed, fields, count, bits);
    EACH_RUNG(k) {
        memset(out, 0xa5, size);
        rungs[k].pack_bits(out, fields, count, bits);
        assert_memory_equal(out, packed, size);
        uint64_t *back = edge_last(&edges[2], 8 * count);
        memset(back, 0xa5, 8 * count);
        rungs[k].unpack_bits(back, packed, count, bits);
        assert_memory_equal(back, fields, 8 * count);
    }

    uint8_t *expected = edge_last(&edges[2], size);
    fill_bytes(r, out, size, pattern == 1 ? 2 : pattern); /* 0 + 1.., 1.. + 1.., random */
    memcpy(expected, out, size);
    memcpy(X, out, size);
    rungs[0].add_packed(expected, packed, size, bits);
    EACH_RUNG(k) {
        memcpy(out, X, size);
        rungs[k].add_packed(out, packed, size, bits);
        assert_memory_equal(out, expected, size);
    }
}

static void test_rungs__fields(void **state)
{
    (void)state;
    struct replay_rng r = rng_for(12);
    for (unsigned bits = 1; bits <= 64; bits++) {
        for (size_t count = 0; count <= 400; count += count < 150 ? 1 : 31) {
            if (bits * count % 8 == 0) {
                for (int pattern = 0; pattern < 3; pattern++) {
                    compare_fields(bits, count, pattern, &r);
                }
            }
        }
    }
    fill_words(&r, A, N, UINT64_C(1) << 45, 0);
    uint8_t *packed = edge_last(&edges[0], 45 * N / 8), *sum = edge_last(&edges[1], 45 * N / 8);
    EACH_RUNG(k) {
        BENCH("pack_bits", k, N, rungs[k].pack_bits(packed, A, N, 45));
        BENCH("unpack_bits", k, N, rungs[k].unpack_bits(A, packed, N, 45));
        BENCH("add_packed", k, N, rungs[k].add_packed(sum, packed, 45 * N / 8, 45));
    }
}

/* ---- opening ---- */

static void test_rungs__crt_centred(void **state)
{
    (void)state;
    struct replay_rng r = rng_for(13);
    struct kern_crt crt = {.q1 = moduli[0], .q2 = moduli[1]};
    crt.inverse = pow_mod(crt.q1 % crt.q2, crt.q2 - 2, crt.q2);
    crt.inverse_shoup = shoup(crt.inverse, crt.q2);
    for (int pattern = 0; pattern < PATTERNS * PATTERNS; pattern++) {
        fill_words(&r, A, N, crt.q1, pattern % PATTERNS);
        fill_words(&r, B, N, crt.q2, pattern / PATTERNS);
        rungs[0].crt_centred(X, A, B, N, &crt);
        EACH_RUNG(k) {
            rungs[k].crt_centred(Y, A, B, N, &crt);
            assert_memory_equal(X, Y, N * sizeof *X);
            memcpy(Y, A, sizeof Y);
            rungs[k].crt_centred(Y, Y, B, N, &crt);
            assert_memory_equal(X, Y, N * sizeof *X);
            memcpy(Y, B, sizeof Y);
            rungs[k].crt_centred(Y, A, Y, N, &crt);
            assert_memory_equal(X, Y, N * sizeof *X);
        }
    }
    EACH_RUNG(k) {
        BENCH("crt_centred", k, N, rungs[k].crt_centred(X, A, B, N, &crt));
    }
}

static void compare_open_step(uint64_t q, size_t set, int pattern, struct replay_rng *r)
{
    struct kern_modulus m = modulus(q);
    struct kern_step s;
    const uint64_t step = steps[set].step, end = UINT64_C(1) << steps[set].bits;
    fill_words(r, A, N, end, pattern);
    fill_words(r, B, N, q, pattern == 1 ? 0 : pattern);
    for (size_t i = 0; i < N / 2 && pattern == 1; i++) { /* at and around (j + 1/2) D */
        uint64_t j = below(r, end / step + 1);
        A[i] = (step * j + step / 2 + replay_u32(r) % 3 - 1) & (end - 1);
        B[i] = replay_u32(r) % 2 ? below(r, 3) : q - 1 - below(r, 3);
    }
    const uint64_t limits[] = {step << 20, step << 19, step << 18, (step << 19) - 1, 0,
                               (UINT64_C(1) << 62) - 1};
    for (size_t i = 0; i < 6; i++) {
        kern_step_init(&s, &m, steps[set].bits, step, limits[i]);
        uint64_t bad = rungs[0].open_step((int64_t *)X, A, B, N, &s);
        EACH_RUNG(k) {
            assert_int_equal(rungs[k].open_step((int64_t *)Y, A, B, N, &s), bad);
            assert_memory_equal(X, Y, N * sizeof *X);
        }
    }
    for (size_t i = 0; i + 8 <= 64; i += 8) { /* single vectors: their flags one by one */
        kern_step_init(&s, &m, steps[set].bits, step, below(r, step) << 19);
        uint64_t bad = rungs[0].open_step((int64_t *)X, A + i, B + i, 8, &s);
        EACH_RUNG(k) {
            assert_int_equal(rungs[k].open_step((int64_t *)Y, A + i, B + i, 8, &s), bad);
        }
    }
}

static void test_rungs__open_step(void **state)
{
    (void)state;
    struct replay_rng r = rng_for(14);
    for (int p = 0; p < MODULI; p++) {
        for (size_t i = 0; i < STEPS; i++) {
            for (int pattern = 0; pattern < PATTERNS; pattern++) {
                compare_open_step(moduli[p], i, pattern, &r);
            }
        }
    }
    struct kern_modulus m = modulus(moduli[0]);
    struct kern_step s;
    kern_step_init(&s, &m, 45, 36, 1 << 20);
    EACH_RUNG(k) {
        BENCH("open_step", k, N, rungs[k].open_step((int64_t *)X, A, B, N, &s));
    }
}

static void test_rungs__open_plain(void **state)
{
    (void)state;
    struct replay_rng r = rng_for(15);
    const uint64_t ts[] = {3, 12289, UINT64_C(0xd0a38b001), (UINT64_C(1) << 49) - 1};
    for (size_t i = 0; i < 4; i++) {
        for (unsigned bits = 1; bits <= 50; bits++) {
            unsigned bits1 = 51 - bits;
            fill_words(&r, A, N, UINT64_C(1) << bits, (int)(bits % PATTERNS));
            for (size_t j = 0; j < N; j++) {
                B[j] = replay_u32(&r) % 4 ? replay_u64(&r) : 0 - (uint64_t)(replay_u32(&r) % 3);
            }
            for (size_t j = 0; j < 64; j++) { /* just where the phase is half a message */
                uint64_t phase = (uint64_t)(((kern_u128)(2 * j + 1) << 63) / ts[i]);
                A[j] = 0;
                B[j] = (phase >> (64 - bits1)) + replay_u32(&r) % 2;
            }
            const uint64_t limits[] = {INT64_MAX, UINT64_C(1) << 61, 0, replay_u64(&r) >> 1};
            for (size_t j = 0; j < 4; j++) {
                uint64_t bad =
                    rungs[0].open_plain((int64_t *)X, A, bits, B, bits1, N, ts[i], limits[j]);
                EACH_RUNG(k) {
                    assert_int_equal(rungs[k].open_plain((int64_t *)Y, A, bits, B, bits1, N, ts[i],
                                                         limits[j]),
                                     bad);
                    assert_memory_equal(X, Y, N * sizeof *X);
                }
                for (size_t at = 0; at < 64; at += 8) {
                    bad = rungs[0].open_plain((int64_t *)X, A + at, bits, B + at, bits1, 8, ts[i],
                                              limits[j]);
                    EACH_RUNG(k) {
                        assert_int_equal(rungs[k].open_plain((int64_t *)Y, A + at, bits, B + at,
                                                             bits1, 8, ts[i], limits[j]),
                                         bad);
                    }
                    rungs[0].open_plain((int64_t *)X, A, bits, B, bits1, N, ts[i], limits[j]);
                }
            }
        }
    }
    EACH_RUNG(k) {
        BENCH("open_plain", k, N,
              rungs[k].open_plain((int64_t *)X, A, 44, B, 50, N, ts[2], INT64_MAX));
    }
}

/* ---- floats ---- */

/* 0 small with numbers just between two whole ones, 1 anything finite, 2 far beyond every limit */
static float any_float(struct replay_rng *r, int pattern)
{
    static const float special[] = {0, -0.0f, 0x1p-149f, -0x1p-149f, 0x1.fffffep127f, 16777216};
    if (pattern == 2) {
        return replay_u32(r) % 2 ? 0x1.fffffep127f : -0x1.fffffep127f;
    }
    switch (replay_u32(r) % 3) {
    case 0:
        return pattern == 1 ? special[below(r, 6)] : (float)below(r, 64) / 4 - 8;
    case 1:
        return ldexpf(2 * replay_float(r) - 1, pattern == 1 ? (int)below(r, 256) - 128 : 3);
    default:
        return (float)replay_normal(r);
    }
}

static void compare_floats(size_t n, double scale, int32_t limit, int pattern, struct replay_rng *r)
{
    const uint32_t extremes[] = {0, 1, UINT32_MAX, UINT32_C(1) << 31, UINT32_MAX / 2};
    float *values = edge_last(&edges[0], 4 * n), *left = (float *)X;
    uint32_t *words = edge_last(&edges[1], 4 * n);
    int32_t *out = edge_last(&edges[2], 4 * n), *expected = I;
    for (size_t i = 0; i < n; i++) {
        values[i] = any_float(r, pattern);
        words[i] = replay_u32(r) % 2 ? replay_u32(r) : extremes[below(r, 5)];
    }
    memcpy(Y, values, 4 * n);
    memcpy(left, values, 4 * n);
    const size_t clamped = rungs[0].round_randomly(expected, values, words, n, scale, limit);
    rungs[0].take_off(left, expected, n, 1 / scale);
    EACH_RUNG(k) {
        memset(out, 0xa5, 4 * n);
        assert_int_equal(rungs[k].round_randomly(out, values, words, n, scale, limit), clamped);
        assert_memory_equal(out, expected, 4 * n);
        rungs[k].take_off(values, out, n, 1 / scale);
        assert_memory_equal(values, left, 4 * n);
        memcpy(values, Y, 4 * n);
    }
}

/*
 * Where the product and the random word cancel: rounded one after the other they are often just 0,
 * and a fused multiply-add would be a little below.
 */
static void compare_cancelled(struct replay_rng *r)
{
    for (int run = 0; run < 200; run++) {
        const uint32_t word = replay_u32(r) | 1;
        const float value = replay_float(r) + 0.5f;
        float values[16];
        uint32_t words[16];
        int32_t expected[16], out[16];
        for (size_t i = 0; i < 16; i++) {
            values[i] = value;
            words[i] = word;
        }
        const double scale = -(word * 0x1p-32) / (double)value;
        (void)rungs[0].round_randomly(expected, values, words, 16, scale, 7);
        EACH_RUNG(k) {
            (void)rungs[k].round_randomly(out, values, words, 16, scale, 7);
            assert_memory_equal(out, expected, sizeof out);
        }
    }
}

static void test_rungs__floats(void **state)
{
    (void)state;
    static const struct { double scale; int32_t limit; } rows[] = {
        {1, 1},     {1, 7}, {100.0 / 3, 127}, {32767, 32767}, {1e6, (1 << 24) - 1}, {0x1p900, 1},
        {1e-30, 3},
    };
    struct replay_rng r = rng_for(16);
    for (size_t k = 0; k < sizeof rows / sizeof rows[0]; k++) {
        for (size_t n = 0; n <= N; n += n < 40 ? 1 : 251) {
            for (int pattern = 0; pattern < 3; pattern++) {
                compare_floats(n, rows[k].scale, rows[k].limit, pattern, &r);
            }
        }
    }
    compare_cancelled(&r);
    float *values = (float *)A;
    for (size_t i = 0; i < N; i++) {
        values[i] = 2 * replay_float(&r) - 1;
    }
    EACH_RUNG(k) {
        BENCH("round_randomly", k, N,
              rungs[k].round_randomly(I, values, (const uint32_t *)B, N, 32767, 32767));
        BENCH("take_off", k, N, rungs[k].take_off(values, I, N, 0x1p-40));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rungs__transforms),
        cmocka_unit_test(test_rungs__mul),
        cmocka_unit_test(test_rungs__small),
        cmocka_unit_test(test_rungs__lift_field),
        cmocka_unit_test(test_rungs__sample_cbd21),
        cmocka_unit_test(test_rungs__sample_ternary),
        cmocka_unit_test(test_rungs__uniform_reject),
        cmocka_unit_test(test_rungs__lanes),
        cmocka_unit_test(test_rungs__add_plain),
        cmocka_unit_test(test_rungs__switch_pow2),
        cmocka_unit_test(test_rungs__add_step),
        cmocka_unit_test(test_rungs__fields),
        cmocka_unit_test(test_rungs__crt_centred),
        cmocka_unit_test(test_rungs__open_step),
        cmocka_unit_test(test_rungs__open_plain),
        cmocka_unit_test(test_rungs__floats),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
