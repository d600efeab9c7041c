/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transforms of kern_vector.h, which includes this text.
 *
 * Both keep their numbers as doubles in the array between passes. A pass takes two stages at once
 * on four vectors; the three stages whose partners are less than a vector apart (distance 4, 2, 1)
 * are done in registers, with pairs brought opposite each other by shuffles that differ from one
 * vector width to the next (v_split_*, v_join_*, v_roots_*).
 *
 * No stage reduces what it adds up: a table in the comments follows how far numbers may have grown
 * (in units of q, of which 8 are exact), and they are settled where that says so.
 */

/* u, y -> u + y w, u - y w */
static ALWAYS_INLINE void fwd_each(vd *u, vd *y, const struct factor *f, size_t count, vd q)
{
    vd sum[CHAINS];
    times_each(y, f, count, q);
    EACH(k) sum[k] = v_add(u[k], y[k]);
    EACH(k) y[k] = v_sub(u[k], y[k]);
    EACH(k) u[k] = sum[k];
}

/* u, y -> u + y, (u - y) w */
static ALWAYS_INLINE void inv_each(vd *u, vd *y, const struct factor *f, size_t count, vd q)
{
    vd sum[CHAINS];
    EACH(k) sum[k] = v_add(u[k], y[k]);
    EACH(k) y[k] = v_sub(u[k], y[k]);
    EACH(k) u[k] = sum[k];
    times_each(y, f, count, q);
}

static inline struct factor factor_at(const double *real, const double *ratio, size_t at)
{
    return (struct factor){v_set(real[at]), v_set(ratio[at])};
}

/* The roots of as many blocks as two vectors hold, from block `at` on, for a stage in registers. */
#define FACTORS(distance, real, ratio, at)                                                         \
    ((struct factor){v_roots_##distance((real) + (at)), v_roots_##distance((ratio) + (at))})

/* The one stage that is left over when their number is odd: the first. In 1 -> 1.625. */
static NOINLINE void fwd_first_stage(uint64_t *a, const struct kern_ntt *t, const struct modulus *m)
{
    const struct factor f = factor_at(t->roots_real, t->roots_ratio, 1);
    const size_t half = t->n / 2;
    for (size_t j = 0; j < half; j += VL) {
        vd u = v_from_word(v_load(a + j)), y = v_from_word(v_load(a + half + j));
        fwd_each(&u, &y, &f, 1, m->q);
        v_store_real(a + j, u);
        v_store_real(a + half + j, y);
    }
}

static ALWAYS_INLINE vd words_or_real(const uint64_t *p, bool words)
{
    return words ? v_from_word(v_load(p)) : v_load_real(p);
}

/*
 * Two stages: `blocks` blocks, then twice as many. One stage takes a bound k to k + 1/2 + k/8:
 * 1, 1.63, 2.33, 3.13, 4.02, 5.02, 6.15, 7.42 after 0 .. 7 stages. With `settled`, the first
 * operands of the first stage are brought to 1/2 before: from k in 7.42 to 1 + k/8 <= 1.93 and
 * then 2.68.
 */
static ALWAYS_INLINE void fwd_pass(uint64_t *a, size_t blocks, bool words, bool settled,
                                   const struct kern_ntt *t, const struct modulus *m)
{
    const size_t quarter = t->n / blocks / 4;
    for (size_t i = 0; i < blocks; i++) {
        struct factor f[2], g[2];
        f[0] = f[1] = factor_at(t->roots_real, t->roots_ratio, blocks + i);
        g[0] = factor_at(t->roots_real, t->roots_ratio, 2 * (blocks + i));
        g[1] = factor_at(t->roots_real, t->roots_ratio, 2 * (blocks + i) + 1);
        uint64_t *x = a + 4 * quarter * i;
        for (size_t j = 0; j < quarter; j += VL, x += VL) {
            vd u[2], y[2]; /* quarters 0 and 1, quarters 2 and 3 */
            const size_t count = 2;
            EACH(k) u[k] = words_or_real(x + k * quarter, words);
            EACH(k) y[k] = words_or_real(x + (k + 2) * quarter, words);
            if (settled) {
                EACH(k) u[k] = settle(u[k], m);
            }
            fwd_each(u, y, f, 2, m->q);
            vd w[2] = {u[0], y[0]}, z[2] = {u[1], y[1]}; /* 0 and 2, 1 and 3 */
            fwd_each(w, z, g, 2, m->q);
            EACH(k) v_store_real(x + 2 * k * quarter, w[k]);
            EACH(k) v_store_real(x + (2 * k + 1) * quarter, z[k]);
        }
    }
}

static NOINLINE void fwd_first_pass(uint64_t *a, const struct kern_ntt *t, const struct modulus *m)
{
    fwd_pass(a, 1, true, false, t, m);
}

static NOINLINE void fwd_plain_pass(uint64_t *a, size_t blocks, const struct kern_ntt *t,
                                    const struct modulus *m)
{
    fwd_pass(a, blocks, false, false, t, m);
}

static NOINLINE void fwd_settled_pass(uint64_t *a, size_t blocks, const struct kern_ntt *t,
                                      const struct modulus *m)
{
    fwd_pass(a, blocks, false, true, t, m);
}

/* The stages of distance 4, 2 and 1 on `count` pairs of vectors, and out as words. From 2.68: 3.52,
 * 4.46, 5.52. */
static ALWAYS_INLINE void fwd_last_on(uint64_t *a, size_t at, size_t count,
                                      const struct kern_ntt *t, const struct modulus *m)
{
    vd u[CHAINS], y[CHAINS];
    struct factor f[CHAINS];
    a += at;
    at += t->n;
    EACH(k) u[k] = v_load_real(a + 2 * VL * k);
    EACH(k) y[k] = v_load_real(a + 2 * VL * k + VL);
    EACH(k) v_split_4(&u[k], &y[k]);
    EACH(k) f[k] = FACTORS(4, t->roots_real, t->roots_ratio, (at + 2 * VL * k) / 8);
    fwd_each(u, y, f, count, m->q);
    EACH(k) v_split_2(&u[k], &y[k]);
    EACH(k) f[k] = FACTORS(2, t->roots_real, t->roots_ratio, (at + 2 * VL * k) / 4);
    fwd_each(u, y, f, count, m->q);
    EACH(k) v_split_1(&u[k], &y[k]);
    EACH(k) f[k] = FACTORS(1, t->roots_real, t->roots_ratio, (at + 2 * VL * k) / 2);
    fwd_each(u, y, f, count, m->q);
    EACH(k) {
        vi first = word_of(u[k], m), second = word_of(y[k], m);
        v_join_words(&first, &second);
        v_store(a + 2 * VL * k, first);
        v_store(a + 2 * VL * k + VL, second);
    }
}

static NOINLINE void fwd_last_stages(uint64_t *a, const struct kern_ntt *t, const struct modulus *m)
{
    size_t i = 0;
    for (; i + 2 * VL * CHAINS <= t->n; i += 2 * VL * CHAINS) {
        fwd_last_on(a, i, CHAINS, t, m);
    }
    for (; i < t->n; i += 2 * VL) { /* the smallest N */
        fwd_last_on(a, i, 1, t, m);
    }
}

/*
 * When to settle: before a bound could pass 8, and always just before the last three stages, which
 * can only be entered with 4.4 or less. From 64 blocks on: six stages are done then (6.15), or
 * seven at 128 blocks when their number is odd (7.42).
 */
static void ntt_fwd_vec(uint64_t *a, const struct kern_ntt *t)
{
    const struct modulus m = modulus_of(t->modulus.q);
    const size_t end = t->n / 8; /* blocks when only the last three stages are left */
    size_t blocks;
    if (__builtin_ctzll(end) % 2 != 0) {
        fwd_first_stage(a, t, &m);
        blocks = 2;
    } else {
        fwd_first_pass(a, t, &m);
        blocks = 4;
    }
    for (; blocks < end; blocks *= 4) {
        if (4 * blocks == end || blocks >= 64) {
            fwd_settled_pass(a, blocks, t, &m);
        } else {
            fwd_plain_pass(a, blocks, t, &m);
        }
    }
    fwd_last_stages(a, t, &m);
}

/*
 * In as words, and the stages of distance 1, 2 and 4. Sums of two grow to 2, 4 and 8, which is
 * still exact, and are settled; differences are in 4 at most, so their products are in
 * 1/2 + 4/8 = 1. Out in 1.
 */
static ALWAYS_INLINE void inv_first_on(uint64_t *a, size_t at, size_t count,
                                       const struct kern_ntt *t, const struct modulus *m)
{
    vd u[CHAINS], y[CHAINS];
    struct factor f[CHAINS];
    a += at;
    at += t->n;
    EACH(k) {
        vi first = v_load(a + 2 * VL * k), second = v_load(a + 2 * VL * k + VL);
        v_split_words(&first, &second);
        u[k] = v_from_word(first);
        y[k] = v_from_word(second);
    }
    EACH(k) f[k] = FACTORS(1, t->inverse_real, t->inverse_ratio, (at + 2 * VL * k) / 2);
    inv_each(u, y, f, count, m->q);
    EACH(k) v_join_1(&u[k], &y[k]);
    EACH(k) f[k] = FACTORS(2, t->inverse_real, t->inverse_ratio, (at + 2 * VL * k) / 4);
    inv_each(u, y, f, count, m->q);
    EACH(k) v_join_2(&u[k], &y[k]);
    EACH(k) f[k] = FACTORS(4, t->inverse_real, t->inverse_ratio, (at + 2 * VL * k) / 8);
    inv_each(u, y, f, count, m->q);
    EACH(k) u[k] = settle(u[k], m);
    EACH(k) v_join_4(&u[k], &y[k]);
    EACH(k) v_store_real(a + 2 * VL * k, u[k]);
    EACH(k) v_store_real(a + 2 * VL * k + VL, y[k]);
}

static NOINLINE void inv_first_stages(uint64_t *a, const struct kern_ntt *t,
                                      const struct modulus *m)
{
    size_t i = 0;
    for (; i + 2 * VL * CHAINS <= t->n; i += 2 * VL * CHAINS) {
        inv_first_on(a, i, CHAINS, t, m);
    }
    for (; i < t->n; i += 2 * VL) { /* the smallest N */
        inv_first_on(a, i, 1, t, m);
    }
}

/*
 * Two stages: `blocks` blocks, then half as many. From k < 2, the first stage has sums in 2k and
 * products in 1/2 + 2k/8; the second stage
 *   x0  4k < 8, settled to 1/2                    x1  2 (1/2 + 2k/8) = 1 + k/2
 *   x2  1/2 + 4k/8 = 1/2 + k/2                    x3  1/2 + (1 + k/2)/8
 * so k goes to at most 1 + k/2, which is below 2 again.
 */
static NOINLINE void inv_pass(uint64_t *a, size_t blocks, const struct kern_ntt *t,
                              const struct modulus *m)
{
    const size_t quarter = t->n / blocks / 2;
    for (size_t i = 0; i < blocks; i += 2) {
        struct factor f[2], g[2];
        f[0] = factor_at(t->inverse_real, t->inverse_ratio, blocks + i);
        f[1] = factor_at(t->inverse_real, t->inverse_ratio, blocks + i + 1);
        g[0] = g[1] = factor_at(t->inverse_real, t->inverse_ratio, (blocks + i) / 2);
        uint64_t *x = a + 2 * quarter * i;
        for (size_t j = 0; j < quarter; j += VL, x += VL) {
            vd u[2], y[2]; /* quarters 0 and 2, quarters 1 and 3 */
            const size_t count = 2;
            EACH(k) u[k] = v_load_real(x + 2 * k * quarter);
            EACH(k) y[k] = v_load_real(x + (2 * k + 1) * quarter);
            inv_each(u, y, f, 2, m->q);
            vd w[2] = {u[0], y[0]}, z[2] = {u[1], y[1]}; /* 0 and 1, 2 and 3 */
            inv_each(w, z, g, 2, m->q);
            v_store_real(x, settle(w[0], m));
            v_store_real(x + quarter, w[1]);
            EACH(k) v_store_real(x + (k + 2) * quarter, z[k]);
        }
    }
}

/*
 * The last two stages and 1/N, which goes into the last factor; out as words. The rounded product
 * of two factors has a ratio half as exact again: from k to 1/2 + 3k/16. With the bounds of
 * inv_pass, quarters 0 and 2 are multiplied from 4k < 8, and come out in 2; the others from
 * 1 + k/2 < 2, and come out in 7/8 < 1, where adding q to what is negative is all that is missing.
 */
static NOINLINE void inv_last_pass(uint64_t *a, const struct kern_ntt *t, struct factor scale,
                                   struct factor scaled_root, const struct modulus *m)
{
    const size_t quarter = t->n / 4;
    const struct factor f[2] = {factor_at(t->inverse_real, t->inverse_ratio, 2),
                                factor_at(t->inverse_real, t->inverse_ratio, 3)};
    const struct factor g[4] = {scale, scale, scaled_root, scaled_root};
    for (uint64_t *x = a; x < a + quarter; x += VL) {
        vd u[2], y[2]; /* quarters 0 and 2, quarters 1 and 3 */
        const size_t count = 2;
        EACH(k) u[k] = v_load_real(x + 2 * k * quarter);
        EACH(k) y[k] = v_load_real(x + (2 * k + 1) * quarter);
        inv_each(u, y, f, 2, m->q);
        vd z[4] = {v_add(u[0], u[1]), v_add(y[0], y[1]), v_sub(u[0], u[1]), v_sub(y[0], y[1])};
        times_each(z, g, 4, m->q);
        EACH(k) v_store(x + 2 * k * quarter, word_of(z[2 * k], m));
        EACH(k) v_store(x + (2 * k + 1) * quarter, v_not_negative(v_to_int(z[2 * k + 1]), m->word));
    }
}

/* The same for one stage that is left over. */
static NOINLINE void inv_last_stage(uint64_t *a, const struct kern_ntt *t, struct factor scale,
                                    struct factor scaled_root, const struct modulus *m)
{
    const size_t half = t->n / 2;
    for (uint64_t *x = a; x < a + half; x += VL) {
        vd u = v_load_real(x), y = v_load_real(x + half);
        v_store(x, word_of(times(v_add(u, y), scale, m->q), m));
        v_store(x + half, word_of(times(v_sub(u, y), scaled_root, m->q), m));
    }
}

static void ntt_inv_vec(uint64_t *a, const struct kern_ntt *t)
{
    const struct modulus m = modulus_of(t->modulus.q);
    const double q = (double)t->modulus.q;
    const uint64_t r = t->n_inverse;
    const struct factor scale = factor_of(2 * r > t->modulus.q ? (double)r - q : (double)r, q);
    struct factor root;
    root.w = settle(times(v_set(t->inverse_real[1]), scale, m.q), &m);
    root.ratio = v_mul(root.w, m.inverse);

    inv_first_stages(a, t, &m);
    size_t blocks = t->n / 16;
    for (; blocks > 2; blocks /= 4) {
        inv_pass(a, blocks, t, &m);
    }
    if (blocks == 2) {
        inv_last_pass(a, t, scale, root, &m);
    } else {
        inv_last_stage(a, t, scale, root, &m);
    }
}
