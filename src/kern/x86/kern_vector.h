/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernels that read the same at every vector width. Not a header like others: kern_avx2.c and
 * kern_avx512.c define a vector of VL 64-bit lanes and its operations (the v_ functions), include
 * this text, and each gets its own static copy, compiled with its own flags.
 *
 * The idea: numbers below 2^53 are exact as doubles, and a fused multiply-add rounds once. So the
 * error of a rounded product is itself a double, and with h = fl(y w), l = y w - h (exact),
 * c = a whole number near y w / q:
 *
 *     y w - c q = (h - c q) + l        exactly, as long as the result stays below 2^53
 *
 * because h - c q is a whole number that small, and so is the sum. No estimate is trusted for more
 * than "near": whoever needs an exact quotient looks at what is left. Everything here assumes
 * rounding to nearest, which is what every process starts with; nothing modulo q gets near the
 * subnormal numbers (the smallest ones are 1/q > 2^-50), so flushing them would change nothing.
 *
 * What a bound is in: units of q ("x in 3" is |x| <= 3 q). q < 2^50, so 8 units are exact.
 *
 * Time: vector instructions whose time does not depend on their operands, and loops over public
 * sizes. Operands may be secret.
 */

/* Loops are specialised by arguments that are constants, and then kept apart: each wants all the
 * registers for itself. */
#define ALWAYS_INLINE inline __attribute__((always_inline))
#define NOINLINE __attribute__((noinline))

/* ---- products modulo q ---- */

/* A public constant w times operands: w, and w / q. */
struct factor {
    vd w, ratio;
};

/* w in (-q/2, q/2), or [0, q) with the error of `times` doubled */
static inline struct factor factor_of(double w, double q)
{
    return (struct factor){v_set(w), v_set(w / q)};
}

/*
 * A product is a chain of dependent instructions, and a transform a chain of products, longer than
 * the processor looks ahead. So up to CHAINS of them go side by side, instruction by instruction.
 */
enum { CHAINS = 4 };
/* NOLINTBEGIN(bugprone-macro-parentheses): k is a name */
#if defined(__clang__)
#define EACH(k) _Pragma("clang loop unroll(full)") for (size_t k = 0; k < count; k++)
#else
#define EACH(k) _Pragma("GCC unroll 4") for (size_t k = 0; k < count; k++)
#endif
/* NOLINTEND(bugprone-macro-parentheses) */

/*
 * y[k] = y[k] w[k] mod q, somewhere near zero. y in 8, |w| <= q/2.
 * The ratio is w / q within a relative 2^-53, its product with y is rounded once more: for y in k
 * the quotient is wrong by less than 2 * 2^-53 k q / 2 < k/8, so the result is in 1/2 + k/8.
 */
static ALWAYS_INLINE void times_each(vd *y, const struct factor *f, size_t count, vd q)
{
    vd h[CHAINS], c[CHAINS], l[CHAINS];
    EACH(k) h[k] = v_mul(y[k], f[k].w);
    EACH(k) c[k] = v_mul(y[k], f[k].ratio);
    EACH(k) l[k] = v_fms(y[k], f[k].w, h[k]);
    EACH(k) c[k] = v_round(c[k]);
    EACH(k) h[k] = v_fnma(c[k], q, h[k]);
    EACH(k) y[k] = v_add(h[k], l[k]);
}

static inline vd times(vd y, struct factor f, vd q)
{
    times_each(&y, &f, 1, q);
    return y;
}

struct modulus {
    vd q, inverse; /* q and 1/q */
    vi word;       /* q */
};

static inline struct modulus modulus_of(uint64_t q)
{
    return (struct modulus){v_set((double)q), v_set(1.0 / (double)q), v_set_word(q)};
}

/* x mod q in 1/2 (and a rounding error of 2^-49); x in 8 */
static inline vd settle(vd x, const struct modulus *m)
{
    return v_fnma(v_round(v_mul(x, m->inverse)), m->q, x);
}

/* x as a word in [0, q); x in 8 */
static inline vi word_of(vd x, const struct modulus *m)
{
    return v_not_negative(v_to_int(settle(x, m)), m->word);
}

#include "kern_vector_ntt.h"

/* ---- arithmetic mod q ---- */

/* a b < 2^100 and 1/q are rounded, and their product: the quotient is within 3 * 2^-53 * 2^50 of
 * the true one, so what is left is in 1/2 + 3/8 < 1. */
static void mul_vec(uint64_t *out, const uint64_t *a, const uint64_t *b, size_t n,
                    const struct kern_modulus *modulus)
{
    const struct modulus m = modulus_of(modulus->q);
    for (size_t i = 0; i < n; i += VL) {
        vd x = v_from_word(v_load(a + i)), y = v_from_word(v_load(b + i));
        vd h = v_mul(x, y);
        vd l = v_fms(x, y, h);
        vd c = v_round(v_mul(h, m.inverse));
        vd left = v_add(v_fnma(c, m.q, h), l);
        v_store(out + i, v_not_negative(v_to_int(left), m.word));
    }
}

/* x in (-q, 2q) -> [0, q) */
static inline vi wrap(vi x, vi q)
{
    return v_reduce_once(v_not_negative(x, q), q);
}

static void add_small_vec(uint64_t *a, const int32_t *e, size_t n, const struct kern_modulus *m)
{
    const vi q = v_set_word(m->q);
    for (size_t i = 0; i < n; i += VL) {
        v_store(a + i, wrap(v_add_int(v_load(a + i), v_load_small(e + i)), q));
    }
}

static void neg_add_small_vec(uint64_t *a, const int32_t *e, size_t n, const struct kern_modulus *m)
{
    const vi q = v_set_word(m->q);
    for (size_t i = 0; i < n; i += VL) {
        vi x = v_add_int(v_load(a + i), v_load_small(e + i)); /* (-2^31, q + 2^31) */
        v_store(a + i, wrap(v_sub_int(q, x), q));
    }
}

static void lift_small_vec(uint64_t *out, const int32_t *in, size_t n, const struct kern_modulus *m)
{
    const vi q = v_set_word(m->q);
    for (size_t i = 0; i < n; i += VL) {
        v_store(out + i, v_not_negative(v_load_small(in + i), q));
    }
}

/* kern_centre of kern_math.h */
static inline vi centre(vi field, vi mask, vi sign)
{
    return v_sub_int(v_xor(v_and(field, mask), sign), sign);
}

static void lift_field_vec(uint64_t *out, const uint64_t *in, unsigned bits, size_t n,
                           const struct kern_modulus *m)
{
    const vi q = v_set_word(m->q), mask = v_set_word(UINT64_MAX >> (64 - bits));
    const vi sign = v_set_word(UINT64_C(1) << (bits - 1));
    for (size_t i = 0; i < n; i += VL) {
        v_store(out + i, v_not_negative(centre(v_load(in + i), mask, sign), q));
    }
}

/* ---- samplers ---- */

/* The vectors of which every word is kept, as nearly all are when q is close to 2^50; the others
 * word by word. Branches on which words are kept: the stream is public. */
static size_t uniform_reject_vec(uint64_t *out, size_t n, const uint8_t *bytes, size_t size,
                                 const struct kern_modulus *m)
{
    const uint64_t low = (UINT64_C(1) << 50) - 1;
    const vi mask = v_set_word(low), q = v_set_word(m->q);
    size_t filled = 0;
    while (size > 0 && filled < n) {
        if (size >= 8 * VL && n - filled >= VL) {
            vi x = v_and(v_load_any(bytes), mask);
            if (v_all_less(x, q)) {
                v_store_any(out + filled, x);
                filled += VL;
                bytes += 8 * VL;
                size -= 8 * VL;
                continue;
            }
        }
        uint64_t x;
        memcpy(&x, bytes, sizeof x); /* little-endian, as all of x86 */
        x &= low;
        if (x < m->q) {
            out[filled++] = x;
        }
        bytes += 8;
        size -= 8;
    }
    return filled;
}

/* ---- lanes ---- */

/* Horner's rule; every word on the way is below 2^49 and so exact. `whole`: all lanes are full. */
static ALWAYS_INLINE void pack_lanes(int64_t *m, size_t stride, const int32_t *values, size_t count,
                                     const struct kern_lanes *lanes, bool whole)
{
    const vd radix = v_set((double)lanes->radix);
    for (size_t i = 0; i < stride; i += VL) {
        vd word = v_set(0);
        for (unsigned j = lanes->lanes; j-- > 0;) {
            size_t at = j * stride + i;
            vd v = v_set(0);
            if (whole || at + VL <= count) {
                v = v_load_small_real(values + at);
            } else if (at < count) {
                v = v_from_int(v_load_small_part(values + at, count - at));
            }
            word = v_fma(word, radix, v);
        }
        v_store((uint64_t *)m + i, v_to_int(word));
    }
}

static void lanes_pack_vec(int64_t *m, size_t stride, const int32_t *values, size_t count,
                           const struct kern_lanes *lanes)
{
    if (count == lanes->lanes * stride) {
        pack_lanes(m, stride, values, count, lanes, true);
    } else {
        pack_lanes(m, stride, values, count, lanes, false);
    }
}

/* The part of a vector of digits that lies below count. What does not must be 0. */
static NOINLINE vd unpack_part(int64_t *values, size_t at, size_t count, vd digits, uint64_t limit)
{
    int64_t all[VL];
    double most[VL];
    v_store_any(all, v_to_int(digits));
    for (size_t k = 0; k < VL; k++) {
        most[k] = 0;
        if (at + k < count) {
            values[at + k] = all[k];
            most[k] = (double)limit;
        }
    }
    return v_load_any_real(most);
}

/*
 * Digit by digit: c = round(m / r), v = m - c r. The rounded quotient is wrong by less than
 * 2^-52 |m| / r < 1/(8r), and m / r with odd r is at least 1/(2r) away from where rounding turns:
 * c is exact.
 */
static ALWAYS_INLINE uint64_t unpack_lanes(int64_t *values, size_t count, const int64_t *m,
                                           size_t stride, const struct kern_lanes *lanes,
                                           uint64_t limit, bool whole)
{
    const vd radix = v_set((double)lanes->radix), inverse = v_set(1.0 / (double)lanes->radix);
    const vd limit_v = v_set((double)limit); /* rounded only where no digit gets to */
    const vi half = v_set_word(lanes->half);
    vi bad = v_set_word(0);   /* words: the sign bit counts */
    vd least = v_set(0x1p62); /* of what digits leave of their limits */
    for (size_t i = 0; i < stride; i += VL) {
        vi word = v_load((const uint64_t *)m + i);
        vi room = v_sub_int(half, v_abs(word));
        bad = v_or(bad, room);
        vd left = v_from_int(v_andnot(v_sign(room), word));
        for (unsigned j = 0; j < lanes->lanes; j++) {
            size_t at = j * stride + i;
            vd c = v_round(v_mul(left, inverse));
            vd v = v_fnma(c, radix, left);
            vd most = limit_v;
            left = c;
            if (whole || at + VL <= count) {
                v_store_any(values + at, v_to_int(v));
            } else {
                most = unpack_part(values, at, count, v, limit);
            }
            least = v_min(least, v_sub(most, v_magnitude(v)));
        }
    }
    return 0 - (uint64_t)v_any_sign(v_or(bad, v_bits(least)));
}

static uint64_t lanes_unpack_vec(int64_t *values, size_t count, const int64_t *m, size_t stride,
                                 const struct kern_lanes *lanes, uint64_t limit)
{
    if (count == lanes->lanes * stride) {
        return unpack_lanes(values, count, m, stride, lanes, limit, true);
    }
    return unpack_lanes(values, count, m, stride, lanes, limit, false);
}

/* ---- messages into ciphertexts ---- */

/*
 * x 2^K / q for x < q: the estimate, below 2^50, is within 2 * 2^-53 * 2^50 = 1/4 of it, so c is a
 * whole number with x 2^K - c q in 3/4. x 2^K is exact: only the exponent changes.
 */
struct scaler {
    vd power, ratio; /* 2^K, 2^K / q */
};

static inline struct scaler scaler_of(unsigned bits, uint64_t q)
{
    const double power = (double)(UINT64_C(1) << bits);
    return (struct scaler){v_set(power), v_set(power / (double)q)};
}

static inline vd scaled_quotient(vd x, const struct scaler *s, const struct modulus *m, vd *rest)
{
    vd c = v_round(v_mul(x, s->ratio));
    *rest = v_fnma(c, m->q, v_mul(x, s->power));
    return c;
}

/* The rest r is turned into -1, 0 or 1 more by rounding r / q. Next to 1/2 lie (q +- 1)/2q,
 * 2^-51 away from it, and the rounding error is 2^-53: never on the wrong side. */
static void switch_pow2_vec(uint64_t *a, size_t n, const struct kern_switch *s)
{
    const struct modulus m = modulus_of(s->q);
    const struct scaler scale = scaler_of(s->bits, s->q);
    const vi mask = v_set_word(UINT64_MAX >> (64 - s->bits));
    for (size_t i = 0; i < n; i += VL) {
        vd rest;
        vd c = scaled_quotient(v_from_word(v_load(a + i)), &scale, &m, &rest);
        c = v_add(c, v_round(v_mul(rest, m.inverse)));
        v_store(a + i, v_and(v_to_int(c), mask));
    }
}

static void add_step_vec(uint64_t *a, const int64_t *message, size_t n, const struct kern_step *s)
{
    const vi mask = v_set_word(UINT64_MAX >> (64 - s->mask.bits)), step = v_set_word(s->step);
    for (size_t i = 0; i < n; i += VL) {
        vi scaled = v_mul_low(v_load((const uint64_t *)message + i), step);
        v_store(a + i, v_and(v_add_int(v_load(a + i), scaled), mask));
    }
}

/*
 * rest x / t with x, rest in [0, t), t < 2^49: as in `times` the rounded quotient is within
 * 1/2 + 1/4 of it. What is left and (t+1)/2 make a whole number in (-t/4, 5t/4 + 1]; half more
 * keeps it 1/2t > 2^-50 away from the multiples of t, and the division is off by less than
 * 1.3 * 2^-52.
 */
static void add_plain_vec(uint64_t *a, const int64_t *message, size_t n,
                          const struct kern_plain *plain, const struct kern_modulus *m)
{
    const double t = (double)plain->t;
    const vd modulus = v_set(t), inverse = v_set(1.0 / t);
    const struct factor rest = factor_of((double)plain->rest, t);
    const vd half = v_set((t + 1) / 2 + 0.5), delta = v_set((double)plain->delta);
    const vi t_int = v_set_word(plain->t), q = v_set_word(m->q);
    for (size_t i = 0; i < n; i += VL) {
        vi message_i = v_load((const uint64_t *)message + i);
        vd x = v_from_int(v_not_negative(message_i, t_int));
        vd h = v_mul(x, rest.w);
        vd l = v_fms(x, rest.w, h);
        vd c = v_round(v_mul(x, rest.ratio));
        vd left = v_add(v_fnma(c, modulus, h), l);
        c = v_add(c, v_floor(v_mul(v_add(left, half), inverse)));
        vd scaled = v_fma(delta, x, c); /* [0, q] */
        v_store(a + i, v_reduce_once(v_add_int(v_load(a + i), v_to_int(scaled)), q));
    }
}

/* ---- opening ---- */

/* d = b - a is in 1, so k = d / q1 mod q2 in 1/2 + 2/8 (the factor is not centred). */
static void crt_centred_vec(uint64_t *out, const uint64_t *a, const uint64_t *b, size_t n,
                            const struct kern_crt *crt)
{
    const vd q2 = v_set((double)crt->q2);
    const struct factor inverse = factor_of((double)crt->inverse, (double)crt->q2);
    const vi q1_int = v_set_word(crt->q1), q2_int = v_set_word(crt->q2);
    const vi half = v_set_word(crt->q2 / 2), product = v_set_word(crt->q1 * crt->q2);
    for (size_t i = 0; i < n; i += VL) {
        vi a_int = v_load(a + i);
        vd d = v_from_int(v_sub_int(v_load(b + i), a_int));
        vi k = v_not_negative(v_to_int(times(d, inverse, q2)), q2_int);
        vi down = v_and(v_sign(v_sub_int(half, k)), product);
        v_store(out + i, v_sub_int(v_add_int(a_int, v_mul_low(q1_int, k)), down));
    }
}

/* floor(left / q) of a whole number left in [-q, 2q), but for q itself: 1/q is rounded, so only
 * numbers that are no multiple of q (or are 0) come out right. Added to c, taken from left. */
static inline void carry(vd *c, vd *left, const struct modulus *m)
{
    vd more = v_floor(v_mul(*left, m->inverse));
    *c = v_add(*c, more);
    *left = v_fnma(more, m->q, *left);
}

/* Constants of one opening. */
struct opener {
    struct modulus m;
    struct scaler whole, fraction;
    vd step, step_inverse, double_inverse; /* D, 1/D, 1/2D */
    vd half_step;                          /* D + 1/2 */
    vi mask, sign;
};

static inline struct opener opener_of(const struct kern_step *s)
{
    const double step = (double)s->step;
    struct opener o;
    o.m = modulus_of(s->mask.q);
    o.whole = scaler_of(s->mask.bits, s->mask.q);
    o.fraction = scaler_of(KERN_FRACTION_BITS, s->mask.q);
    o.step = v_set(step);
    o.step_inverse = v_set(1.0 / step);
    o.double_inverse = v_set(0.5 / step);
    o.half_step = v_set(step + 0.5);
    o.mask = v_set_word(UINT64_MAX >> (64 - s->mask.bits));
    o.sign = v_set_word(UINT64_C(1) << (s->mask.bits - 1));
    return o;
}

/*
 * One vector of open_step. The product's whole part: c with a rest in 3/4, carried to [0, q). Its
 * fraction likewise: the estimate is below 2^20, so wrong by far less than 1, and what is left is
 * only 0 where the rest was. Then message = floor((2x + top bit of the fraction + D) / 2D): the
 * rounded x / D leaves |x - m D| <= D/2 + 2^-52 |x|, 2^-3 at most, so the correction is -1, 0 or 1;
 * the half in D + 1/2 keeps its whole numbers off the multiples of 2D.
 */
static inline vi open_vector(vi sum, vd product, const struct opener *o, vi *distance)
{
    vd rest;
    vd whole = scaled_quotient(product, &o->whole, &o->m, &rest);
    carry(&whole, &rest, &o->m);
    vd fraction = v_round(v_mul(rest, o->fraction.ratio));
    rest = v_fnma(fraction, o->m.q, v_mul(rest, o->fraction.power));
    carry(&fraction, &rest, &o->m);

    vd x = v_from_int(centre(v_add_int(sum, v_to_int(whole)), o->mask, o->sign));
    vd message = v_round(v_mul(x, o->step_inverse));
    vd off = v_fnma(message, o->step, x);
    vd top = v_floor(v_mul(fraction, v_set(2.0 / (1 << KERN_FRACTION_BITS))));
    vd twice = v_fma(v_set(2), off, v_add(top, o->half_step));
    vd more = v_floor(v_mul(twice, o->double_inverse));
    message = v_add(message, more);
    off = v_fnma(more, o->step, off);
    vi off_int = v_shift_left(v_to_int(off), KERN_FRACTION_BITS);
    *distance = v_abs(v_add_int(off_int, v_to_int(fraction)));
    return v_to_int(message);
}

static uint64_t open_step_vec(int64_t *message, const uint64_t *sum, const uint64_t *product,
                              size_t n, const struct kern_step *s)
{
    const struct opener o = opener_of(s);
    const vi limit = v_set_word(s->limit);
    vi bad = v_set_word(0); /* the sign bit counts */
    for (size_t i = 0; i < n; i += VL) {
        vi distance;
        vi m = open_vector(v_load(sum + i), v_from_word(v_load(product + i)), &o, &distance);
        bad = v_or(bad, v_sub_int(limit, distance));
        v_store((uint64_t *)message + i, m);
    }
    return 0 - (uint64_t)v_any_sign(bad);
}

/* floor(a b / 2^64), from products of halves. Each sum stays below 2^64:
 * (2^32-1)^2 + 2 (2^32-1) is 2^64 - 1. */
static inline vi mul_high(vi a, vi b)
{
    const vi low = v_set_word(UINT32_MAX);
    vi a_high = v_shift_right(a, 32), b_high = v_shift_right(b, 32);
    vi middle = v_add_int(v_mul_32(a_high, b), v_shift_right(v_mul_32(a, b), 32));
    vi other = v_add_int(v_mul_32(a, b_high), v_and(middle, low));
    return v_add_int(v_mul_32(a_high, b_high),
                     v_add_int(v_shift_right(middle, 32), v_shift_right(other, 32)));
}

/* Words all the way, as in portable C. */
static uint64_t open_plain_vec(int64_t *message, const uint64_t *c0, unsigned bits0,
                               const uint64_t *product, unsigned bits1, size_t n, uint64_t t,
                               uint64_t limit)
{
    const vi t_int = v_set_word(t), half = v_set_word(t / 2);
    const vi limit_int = v_set_word(limit);
    vi bad = v_set_word(0);
    for (size_t i = 0; i < n; i += VL) {
        vi phase = v_add_int(v_shift_left(v_load(c0 + i), 64 - bits0),
                             v_shift_left(v_load(product + i), 64 - bits1));
        vi distance = v_mul_low(phase, t_int); /* signed: what is above half has been rounded up */
        vi m = v_sub_int(mul_high(phase, t_int), v_sign(distance));
        bad = v_or(bad, v_sub_int(limit_int, v_abs(distance)));
        /* |-2^63| stays -2^63, and limit minus that is 2^63 + limit: negative as it should be */
        m = v_sub_int(m, v_and(v_sign(v_sub_int(half, m)), t_int));
        v_store((uint64_t *)message + i, m);
    }
    return 0 - (uint64_t)v_any_sign(bad);
}

/* ---- fields and bytes ---- */

/*
 * As in portable C, H holds the top bits of the fields, which are added without carry. Fields are
 * at most 64 bits wide, so every word holds a top bit, and there a carry from the word below ends:
 * whether a word carries into the next depends on that word alone. So all words of a vector are
 * added at once, and what each carries is moved up by one and added.
 */
static inline vi add_vector(vi a, vi b, vi high, vi *carried)
{
    vi x = v_andnot(high, a), y = v_andnot(high, b);
    vi sum = v_add_int(x, y);
    vi carries = v_shift_right(v_carry(x, y, sum), 63);
    sum = v_add_int(sum, v_words_up(carries, *carried));
    *carried = carries;
    return v_xor_and(sum, v_xor(a, b), high);
}

static void add_packed_vec(uint8_t *sum, const uint8_t *in, size_t size, unsigned bits)
{
    enum { BYTES = 8 * VL };
    uint64_t high[64 + VL] = {0}; /* `bits` words, after which they repeat, and VL more */
    for (size_t at = bits - 1; at < 64 * (bits + (size_t)VL); at += bits) {
        high[at / 64] |= UINT64_C(1) << (at % 64);
    }
    const size_t step = VL % bits;
    vi carried = v_set_word(0);
    size_t word = 0;
    for (; size >= BYTES; size -= BYTES, sum += BYTES, in += BYTES) {
        vi x = add_vector(v_load_any(sum), v_load_any(in), v_load_any(high + word), &carried);
        v_store_any(sum, x);
        word += step;
        word -= word >= bits ? bits : 0;
    }
    if (size > 0) {
        uint8_t x[BYTES] = {0}, y[BYTES] = {0};
        memcpy(x, sum, size);
        memcpy(y, in, size);
        v_store_any(x, add_vector(v_load_any(x), v_load_any(y), v_load_any(high + word), &carried));
        memcpy(sum, x, size);
    }
}

/* ---- floats ---- */

/* of whole numbers below 2^51 */
static uint64_t sum_of(vd x)
{
    uint64_t all[VL], sum = 0;
    v_store_any(all, v_to_int(x));
    for (size_t k = 0; k < VL; k++) {
        sum += all[k];
    }
    return sum;
}

/* Clamped one beyond the limit, floored, clamped to the limit: the second one moves a value by 1 or
 * not at all, so those distances are the count. */
static size_t round_randomly_vec(int32_t *out, const float *values, const uint32_t *words, size_t n,
                                 double scale, int32_t limit)
{
    const vd most = v_set(limit), least = v_set(-limit), unit = v_set(scale);
    const vd beyond = v_set(limit + 1.0), below = v_set(-limit - 1.0);
    vd clamped = v_set(0);
    size_t i = 0;
    for (; i + VL <= n; i += VL) {
        vd t = v_add(v_mul(v_load_float(values + i), unit), v_load_fraction(words + i));
        vd whole = v_floor(v_max(v_min(t, beyond), below));
        vd kept = v_max(v_min(whole, most), least);
        clamped = v_add(clamped, v_magnitude(v_sub(whole, kept)));
        v_store_small_real(out + i, kept);
    }
    return sum_of(clamped) +
           kern_round_randomly_c(out + i, values + i, words + i, n - i, scale, limit);
}

static void take_off_vec(float *values, const int32_t *whole, size_t n, double unit)
{
    const vd unit_v = v_set(unit);
    size_t i = 0;
    for (; i + VL <= n; i += VL) {
        vd less = v_mul(v_load_small_real(whole + i), unit_v);
        v_store_float(values + i, v_sub(v_load_float(values + i), less));
    }
    kern_take_off_c(values + i, whole + i, n - i, unit);
}

static void fill_vec(struct kern_ops *ops)
{
    ops->ntt_fwd = ntt_fwd_vec;
    ops->ntt_inv = ntt_inv_vec;
    ops->mul = mul_vec;
    ops->add_small = add_small_vec;
    ops->neg_add_small = neg_add_small_vec;
    ops->lift_small = lift_small_vec;
    ops->lift_field = lift_field_vec;
    ops->lanes_pack = lanes_pack_vec;
    ops->lanes_unpack = lanes_unpack_vec;
    ops->add_plain = add_plain_vec;
    ops->switch_pow2 = switch_pow2_vec;
    ops->add_step = add_step_vec;
    ops->crt_centred = crt_centred_vec;
    ops->open_step = open_step_vec;
    ops->open_plain = open_plain_vec;
    ops->round_randomly = round_randomly_vec;
    ops->take_off = take_off_vec;
    ops->add_packed = add_packed_vec;
    ops->uniform_reject = uniform_reject_vec;
}
