/* SPDX-License-Identifier: Apache-2.0 */
/* Whole numbers modulo q = q1 q2 (100 bits), in portable C. No branch or index depends on an
 * operand, and there are no divisions. */
#include "kern_wide128.h"

#include <endian.h>
#include <string.h>

/* ---- 128-bit arithmetic: the wide versions of kern_math.h ---- */

static const kern_u128 one = 1;

/* floor(a b / 2^128) */
static kern_u128 mulhi(kern_u128 a, kern_u128 b)
{
    uint64_t a0 = (uint64_t)a, a1 = (uint64_t)(a >> 64);
    uint64_t b0 = (uint64_t)b, b1 = (uint64_t)(b >> 64);
    kern_u128 middle1 = (kern_u128)a1 * b0, middle2 = (kern_u128)a0 * b1;
    /* three numbers below 2^64 */
    kern_u128 carry = ((kern_u128)a0 * b0 >> 64) + (uint64_t)middle1 + (uint64_t)middle2;
    return (kern_u128)a1 * b1 + (middle1 >> 64) + (middle2 >> 64) + (carry >> 64);
}

/* all ones if a < b, else 0; both below 2^127 */
static kern_u128 mask_less(kern_u128 a, kern_u128 b)
{
    uint64_t mask = 0 - (uint64_t)((a - b) >> 127);
    __asm__("" : "+r"(mask)); /* or clang 14 turns "q & mask" into a branch, from -O1 on */
    return (kern_u128)mask << 64 | mask;
}

static kern_u128 mask_bits(unsigned bits)
{
    return ~(kern_u128)0 >> (128 - bits);
}

/* floor(x / d) and the remainder for x < 2^127, d in [2, 2^126], recip = floor(2^128 / d): the
 * product is below x / d by less than x / 2^128 < 1, so one correction is enough. */
static kern_u128 divide(kern_u128 x, kern_u128 d, kern_u128 recip, kern_u128 *remainder)
{
    kern_u128 quotient = mulhi(x, recip);
    kern_u128 rest = x - quotient * d; /* [0, 2d) */
    kern_u128 more = ~mask_less(rest, d);
    *remainder = rest - (d & more);
    return quotient - more; /* more is 0 or -1 */
}

/*
 * floor(x 2^bits / q) and what is left of x 2^bits, for x < q < 2^100 and bits <= 120, with
 * C = floor(2^(bits+101) / q): 2^27 x C / 2^128 is below x 2^bits / q by less than
 * 2^27 x / 2^128 < 1/2, so its floor is at most 1 short.
 */
static kern_u128 shifted_quotient(kern_u128 x, unsigned bits, kern_u128 quotient_constant,
                                  kern_u128 q, kern_u128 *remainder)
{
    kern_u128 quotient = mulhi(x << 27, quotient_constant);
    kern_u128 rest = (x << bits) - quotient * q; /* [0, 2q): the low 128 bits are all of it */
    kern_u128 more = ~mask_less(rest, q);
    *remainder = rest - (q & more);
    return quotient - more;
}

/* A residue mod 2^bits in [-2^(bits-1), 2^(bits-1)), bits <= 127 */
static kern_u128 centre(kern_u128 x, unsigned bits)
{
    kern_u128 sign = one << (bits - 1);
    return ((x & mask_bits(bits)) ^ sign) - sign;
}

/* ---- residues ---- */

/* x = a + q1 k, k = (b - a) q1^-1 mod q2 */
void kern_wide_join2(kern_u128 *out, const uint64_t *a, const uint64_t *b, size_t n,
                     const struct kern_wide_join *join)
{
    const struct kern_crt *two = &join->two;
    for (size_t i = 0; i < n; i++) {
        uint64_t d = b[i] + 2 * two->q2 - a[i]; /* (0, 3 q2): a < q1 < 2 q2 */
        uint64_t k = kern_mul_shoup_lazy(d, two->inverse, two->inverse_shoup, two->q2);
        out[i] = a[i] + (kern_u128)two->q1 * kern_reduce_once(k, two->q2);
    }
}

/*
 * x = a + q1 k + q1 q2 l with k in [0, q2), l in [0, q3); l = (c - a - q1 k) (q1 q2)^-1 mod q3.
 * The upper half of [0, q1 q2 q3), whose l is above q3 / 2, stands for x < 0: |x| < 2^126 keeps far
 * from the middle. What is subtracted there is q1 q2 q3 mod 2^128.
 */
void kern_wide_join3(kern_u128 *out, const uint64_t *a, const uint64_t *b, const uint64_t *c,
                     size_t n, const struct kern_wide_join *join)
{
    const struct kern_crt *two = &join->two;
    const uint64_t q3 = join->q3;
    const kern_u128 q = (kern_u128)two->q1 * two->q2, all = q * q3;
    for (size_t i = 0; i < n; i++) {
        uint64_t d = b[i] + 2 * two->q2 - a[i];
        uint64_t k = kern_mul_shoup_lazy(d, two->inverse, two->inverse_shoup, two->q2);
        k = kern_reduce_once(k, two->q2);
        uint64_t qk = kern_mul_shoup_lazy(k, join->q1_mod_q3, join->q1_mod_q3_shoup, q3);
        uint64_t e = c[i] + 4 * q3 - a[i] - qk; /* (0, 5 q3): a < 2 q3, qk < 2 q3 */
        uint64_t l = kern_mul_shoup_lazy(e, join->inverse3, join->inverse3_shoup, q3);
        l = kern_reduce_once(l, q3);
        kern_u128 negative = 0 - (kern_u128)(kern_mask_less(q3 / 2, l) & 1);
        out[i] = a[i] + (kern_u128)two->q1 * k + q * l - (all & negative);
    }
}

/* x < 2^100 mod q, as the slot mul reduces its products: one subtraction is enough */
static uint64_t reduce(kern_u128 x, const struct kern_modulus *m)
{
    uint64_t quotient = kern_mulhi((uint64_t)(x >> 48), m->barrett);
    return kern_reduce_once((uint64_t)x - quotient * m->q, m->q);
}

void kern_wide_lift_field(uint64_t *out, const kern_u128 *in, unsigned bits, size_t n,
                          const struct kern_modulus *m)
{
    /* 2^bits mod q */
    const uint64_t whole = kern_reduce_once(2 * reduce(one << (bits - 1), m), m->q);
    for (size_t i = 0; i < n; i++) {
        uint64_t negative = 0 - (uint64_t)(in[i] >> (bits - 1) & 1);
        uint64_t x = reduce(in[i], m) + m->q - (whole & negative); /* (0, 2q) */
        out[i] = kern_reduce_once(x, m->q);
    }
}

/* ---- lanes ---- */

static kern_u128 extend(int64_t v)
{
    uint64_t x = (uint64_t)v;
    return (kern_u128)(0 - (x >> 63)) << 64 | x;
}

void kern_wide_lanes_pack(kern_u128 *m, size_t stride, const int32_t *values, size_t count,
                          const struct kern_wide_lanes *lanes)
{
    memset(m, 0, stride * sizeof *m);
    for (unsigned j = lanes->lanes; j-- > 0;) {
        size_t first = j * stride;
        size_t here = first >= count ? 0 : count - first;
        for (size_t i = 0; i < stride; i++) {
            int64_t v = i < here ? values[first + i] : 0;
            m[i] = m[i] * lanes->radix + extend(v); /* signed: |.| < 2^98 */
        }
    }
}

/* The next digit of *u, as a lane's value. What is left is a whole word at first, and below 2^63
 * after lanes->wide digits; how many these are is public. */
static uint64_t take_digit(kern_u128 *u, unsigned j, const struct kern_wide_lanes *lanes)
{
    uint64_t digit;
    if (j < lanes->wide) {
        kern_u128 rest;
        *u = divide(*u, lanes->radix, lanes->recip, &rest);
        digit = (uint64_t)rest;
    } else {
        *u = kern_divide((uint64_t)*u, lanes->radix, lanes->recip64, &digit);
    }
    return digit - lanes->digit_half;
}

/* As in kern_c.c: digit j of m + half is v_j + (r-1)/2. */
uint64_t kern_wide_lanes_unpack(int64_t *values, size_t count, const kern_u128 *m, size_t stride,
                                const struct kern_wide_lanes *lanes, uint64_t limit)
{
    uint64_t bad = 0;
    for (size_t i = 0; i < stride; i++) {
        kern_u128 u = m[i] + lanes->half;
        kern_u128 outside = (0 - (u >> 127)) | mask_less(2 * lanes->half, u);
        bad |= (uint64_t)outside;
        u = (u & ~outside) | (lanes->half & outside);
        for (unsigned j = 0; j < lanes->lanes; j++) {
            uint64_t v = take_digit(&u, j, lanes);
            uint64_t sign = 0 - (v >> 63);
            uint64_t magnitude = (v ^ sign) - sign;
            size_t at = j * stride + i;
            if (at < count) {
                values[at] = (int64_t)v;
                bad |= kern_mask_less(limit, magnitude);
            } else {
                bad |= kern_mask_less(0, magnitude);
            }
        }
    }
    return bad;
}

/* ---- messages into ciphertexts ---- */

void kern_wide_switch(kern_u128 *a, size_t n, const struct kern_wide_switch *s)
{
    const kern_u128 mask = mask_bits(s->bits);
    for (size_t i = 0; i < n; i++) {
        kern_u128 rest;
        kern_u128 floor = shifted_quotient(a[i], s->bits, s->quotient, s->q, &rest);
        kern_u128 up = mask_less((s->q - 1) / 2, rest); /* more than half */
        a[i] = (floor - up) & mask;
    }
}

void kern_wide_add_step(kern_u128 *a, const kern_u128 *message, size_t n,
                        const struct kern_wide_step *s)
{
    const kern_u128 mask = mask_bits(s->mask.bits);
    for (size_t i = 0; i < n; i++) {
        a[i] = (a[i] + s->step * message[i]) & mask;
    }
}

/* ---- fields and bytes ---- */

static uint64_t load_le(const uint8_t *bytes, size_t size)
{
    uint64_t x = 0;
    memcpy(&x, bytes, size);
    return le64toh(x);
}

static void store_le(uint8_t *bytes, size_t size, uint64_t x)
{
    x = htole64(x);
    memcpy(bytes, &x, size);
}

/* A queue of bits between fields and words of 64. */
struct bits {
    uint64_t word; /* the low `have` bits count, the others are 0 */
    unsigned have; /* below 64 between calls */
};

/* Append a piece below 2^bits, bits <= 64. @return where to write on */
static uint8_t *put_piece(struct bits *q, uint8_t *out, uint64_t piece, unsigned bits)
{
    kern_u128 pending = q->word | (kern_u128)piece << q->have;
    q->have += bits;
    if (q->have >= 64) {
        store_le(out, 8, (uint64_t)pending);
        out += 8;
        pending >>= 64;
        q->have -= 64;
    }
    q->word = (uint64_t)pending;
    return out;
}

void kern_wide_pack(uint8_t *out, const kern_u128 *fields, size_t count, unsigned bits)
{
    const unsigned low = bits < 64 ? bits : 64;
    struct bits q = {0, 0};
    for (size_t i = 0; i < count; i++) {
        out = put_piece(&q, out, (uint64_t)fields[i], low);
        if (bits > low) {
            out = put_piece(&q, out, (uint64_t)(fields[i] >> 64), bits - low);
        }
    }
    store_le(out, q.have / 8, q.word);
}

struct source {
    const uint8_t *at;
    size_t left; /* bytes */
};

static uint64_t take_piece(struct bits *q, struct source *in, unsigned bits)
{
    kern_u128 pending = q->word;
    if (q->have < bits) {
        size_t size = in->left < 8 ? in->left : 8;
        pending |= (kern_u128)load_le(in->at, size) << q->have;
        in->at += size;
        in->left -= size;
        q->have += (unsigned)(8 * size);
    }
    q->word = (uint64_t)(pending >> bits);
    q->have -= bits;
    return (uint64_t)(pending & ((one << bits) - 1));
}

void kern_wide_unpack(kern_u128 *fields, const uint8_t *in, size_t count, unsigned bits)
{
    const unsigned low = bits < 64 ? bits : 64;
    struct bits q = {0, 0};
    struct source from = {in, (count / 8 * bits) + (count % 8 * bits / 8)};
    for (size_t i = 0; i < count; i++) {
        fields[i] = take_piece(&q, &from, low);
        if (bits > low) {
            fields[i] |= (kern_u128)take_piece(&q, &from, bits - low) << 64;
        }
    }
}

/* As add_packed in kern_c.c: H, the top bits of all fields, repeats after `bits` words. */
static void top_bits(uint64_t *high, unsigned bits)
{
    memset(high, 0, bits * sizeof *high);
    for (size_t at = bits - 1; at < (size_t)64 * bits; at += bits) {
        high[at / 64] |= UINT64_C(1) << (at % 64);
    }
}

static uint64_t add_word(uint64_t a, uint64_t b, uint64_t high, uint64_t *carry)
{
    uint64_t sum;
    uint64_t over = __builtin_add_overflow(a & ~high, b & ~high, &sum);
    over |= __builtin_add_overflow(sum, *carry, &sum);
    *carry = over;
    return sum ^ ((a ^ b) & high);
}

void kern_wide_add_packed(uint8_t *sum, const uint8_t *in, size_t size, unsigned bits)
{
    uint64_t high[128];
    top_bits(high, bits);
    uint64_t carry = 0; /* between blocks of 64 fields there is none: the last word has a top bit */
    for (; size >= (size_t)8 * bits; size -= (size_t)8 * bits) {
        for (unsigned word = 0; word < bits; word++, sum += 8, in += 8) {
            store_le(sum, 8, add_word(load_le(sum, 8), load_le(in, 8), high[word], &carry));
        }
    }
    for (unsigned word = 0; size > 0; word++) {
        size_t here = size < 8 ? size : 8;
        store_le(sum, here,
                 add_word(load_le(sum, here), load_le(in, here), high[word], &carry));
        sum += here;
        in += here;
        size -= here;
    }
}

/* ---- opening ---- */

/* round((whole + fraction / 2^20) / D), ties up, of `whole` modulo 2^K; flags a distance beyond the
 * limit. As open_step in kern_c.c. */
static kern_u128 nearest(kern_u128 whole, kern_u128 fraction, const struct kern_wide_step *s,
                         uint64_t *bad)
{
    const kern_u128 step = s->step;
    kern_u128 unused;
    kern_u128 x = centre(whole, s->mask.bits); /* |x| <= 2^99 */
    kern_u128 twice = 2 * x + (fraction >> (KERN_FRACTION_BITS - 1)) + step;
    /* 2 D offset is above 2^K, so the sum is positive, and below 2^102 */
    kern_u128 quotient =
        divide(twice + 2 * step * s->offset, 2 * step, s->recip, &unused) - s->offset;
    /* |x - D quotient| <= D/2 + 1 */
    kern_u128 distance = ((x - step * quotient) << KERN_FRACTION_BITS) + fraction;
    kern_u128 sign = 0 - (distance >> 127);
    *bad |= (uint64_t)mask_less(s->limit, (distance ^ sign) - sign);
    return quotient;
}

uint64_t kern_wide_open_step(kern_u128 *message, const kern_u128 *sum, const kern_u128 *product,
                             size_t n, const struct kern_wide_step *s)
{
    const unsigned bits = s->mask.bits + KERN_FRACTION_BITS;
    uint64_t bad = 0;
    for (size_t i = 0; i < n; i++) {
        kern_u128 unused;
        kern_u128 x = shifted_quotient(product[i], bits, s->quotient, s->mask.q, &unused);
        message[i] = nearest(sum[i] + (x >> KERN_FRACTION_BITS), x & mask_bits(KERN_FRACTION_BITS),
                             s, &bad);
    }
    return bad;
}

uint64_t kern_wide_open_torus(kern_u128 *message, const kern_u128 *c0, const kern_u128 *product,
                              unsigned bits1, size_t n, const struct kern_wide_step *s)
{
    const unsigned bits0 = s->mask.bits;
    uint64_t bad = 0;
    for (size_t i = 0; i < n; i++) {
        /* of 1, in units of 2^-128 */
        kern_u128 phase = (c0[i] << (128 - bits0)) + (product[i] << (128 - bits1));
        kern_u128 fraction =
            phase >> (128 - bits0 - KERN_FRACTION_BITS) & mask_bits(KERN_FRACTION_BITS);
        message[i] = nearest(phase >> (128 - bits0), fraction, s, &bad);
    }
    return bad;
}
