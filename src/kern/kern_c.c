/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernels in portable C: complete, always built, and the definition that faster rungs
 * are compared with. Range comments stand beside each step; "exact" quotients are proved
 * in kern_math.h or on the spot.
 *
 * popcount is written out: the compiler's builtin may look counts up in a table, and an index
 * must not depend on a secret.
 */
#include <endian.h>
#include <string.h>

#include "kern_math.h"
#include "kern_rungs.h"

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

/* ---- transforms ---- */

/* x in [0, 4q), y in [0, 4q) -> both in [0, 4q) */
static void fwd_butterflies(uint64_t *x, uint64_t *y, size_t n, uint64_t w, uint64_t w_shoup,
                            uint64_t q)
{
    for (size_t j = 0; j < n; j++) {
        uint64_t u = kern_reduce_once(x[j], 2 * q);              /* [0, 2q) */
        uint64_t v = kern_mul_shoup_lazy(y[j], w, w_shoup, q);   /* [0, 2q) */
        x[j] = u + v;                                            /* [0, 4q) */
        y[j] = u - v + 2 * q;                                    /* (0, 4q) */
    }
}

static void ntt_fwd_c(uint64_t *a, const struct kern_ntt *t)
{
    const uint64_t q = t->modulus.q;
    size_t half = t->n;
    for (size_t blocks = 1; blocks < t->n; blocks *= 2) {
        half /= 2;
        for (size_t i = 0; i < blocks; i++) {
            uint64_t *x = a + 2 * i * half;
            fwd_butterflies(x, x + half, half, t->roots[blocks + i], t->roots_shoup[blocks + i], q);
        }
    }
    for (size_t j = 0; j < t->n; j++) {
        a[j] = kern_reduce_once(kern_reduce_once(a[j], 2 * q), q);
    }
}

/* x, y in [0, 2q) -> both in [0, 2q) */
static void inv_butterflies(uint64_t *x, uint64_t *y, size_t n, uint64_t w, uint64_t w_shoup,
                            uint64_t q)
{
    for (size_t j = 0; j < n; j++) {
        uint64_t u = x[j], v = y[j];
        x[j] = kern_reduce_once(u + v, 2 * q);                        /* [0, 2q) */
        y[j] = kern_mul_shoup_lazy(u - v + 2 * q, w, w_shoup, q);     /* (0, 4q) -> [0, 2q) */
    }
}

static void ntt_inv_c(uint64_t *a, const struct kern_ntt *t)
{
    const uint64_t q = t->modulus.q;
    size_t half = 1;
    for (size_t blocks = t->n / 2; blocks >= 1; blocks /= 2) {
        for (size_t i = 0; i < blocks; i++) {
            uint64_t *x = a + 2 * i * half;
            inv_butterflies(x, x + half, half, t->inverse[blocks + i], t->inverse_shoup[blocks + i],
                            q);
        }
        half *= 2;
    }
    for (size_t j = 0; j < t->n; j++) {
        uint64_t x = kern_mul_shoup_lazy(a[j], t->n_inverse, t->n_inverse_shoup, q);
        a[j] = kern_reduce_once(x, q);
    }
}

/* ---- arithmetic mod q ---- */

/*
 * With x = a b < 2^100, x1 = floor(x / 2^48) < 2^52 and mu = floor(2^112 / q):
 *   x1 mu / 2^64 > (x/2^48 - 1)(2^112/q - 1) / 2^64 > x/q - 2^48/q - x/2^112 > x/q - 1/2 - 2^-12
 * so the floored quotient is at most 1 short, and x - quotient q lies in [0, 2q).
 */
static void mul_c(uint64_t *out, const uint64_t *a, const uint64_t *b, size_t n,
                  const struct kern_modulus *m)
{
    for (size_t i = 0; i < n; i++) {
        kern_u128 x = (kern_u128)a[i] * b[i];
        uint64_t quotient = kern_mulhi((uint64_t)(x >> 48), m->barrett);
        out[i] = kern_reduce_once((uint64_t)x - quotient * m->q, m->q);
    }
}

/* int32 -> [0, q) */
static uint64_t residue(int32_t v, uint64_t q)
{
    uint64_t x = (uint64_t)(int64_t)v;
    return x + (q & (0 - (x >> 63)));
}

static void add_small_c(uint64_t *a, const int32_t *e, size_t n, const struct kern_modulus *m)
{
    for (size_t i = 0; i < n; i++) {
        a[i] = kern_reduce_once(a[i] + residue(e[i], m->q), m->q);
    }
}

static void neg_add_small_c(uint64_t *a, const int32_t *e, size_t n, const struct kern_modulus *m)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t x = kern_reduce_once(a[i] + residue(e[i], m->q), m->q);
        a[i] = kern_reduce_once(m->q - x, m->q); /* (0, q], and q itself becomes 0 */
    }
}

static void lift_small_c(uint64_t *out, const int32_t *in, size_t n, const struct kern_modulus *m)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = residue(in[i], m->q);
    }
}

static void lift_field_c(uint64_t *out, const uint64_t *in, unsigned bits, size_t n,
                         const struct kern_modulus *m)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t x = (uint64_t)kern_centre(in[i], bits); /* magnitude at most 2^49 < q */
        out[i] = x + (m->q & (0 - (x >> 63)));
    }
}

/* ---- samplers ---- */

/* Two samples' worth of 21 coins: bits 0..20 count up, bits 24..44 count down. */
static int32_t coins(uint64_t x)
{
    x &= UINT64_C(0x1fffff1fffff);
    x -= (x >> 1) & UINT64_C(0x555555555555);
    x = (x & UINT64_C(0x333333333333)) + ((x >> 2) & UINT64_C(0x333333333333));
    x = (x + (x >> 4)) & UINT64_C(0x0f0f0f0f0f0f);
    x = x + (x >> 8) + (x >> 16); /* bytes 0 and 3 hold the sum of three, at most 24 */
    return (int32_t)(x & 0xff) - (int32_t)((x >> 24) & 0xff);
}

static void sample_cbd21_c(int32_t *out, size_t n, const uint8_t *bytes)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = coins(load_le(bytes + 6 * i, 6));
    }
}

static size_t sample_ternary_c(int32_t *out, size_t n, const uint8_t *bytes, size_t size)
{
    size_t filled = 0;
    for (size_t i = 0; i < 4 * size && filled < n; i++) {
        unsigned two = (bytes[i / 4] >> (2 * (i % 4))) & 3;
        out[filled] = (int32_t)two - 1;
        filled += 1 - ((two >> 1) & two & 1); /* stay in place for 3 */
    }
    return filled;
}

static size_t uniform_reject_c(uint64_t *out, size_t n, const uint8_t *bytes, size_t size,
                               const struct kern_modulus *m)
{
    size_t filled = 0;
    for (size_t at = 0; at + 8 <= size && filled < n; at += 8) {
        uint64_t x = load_le(bytes + at, 8) & kern_mask_bits(50);
        if (x < m->q) {
            out[filled++] = x;
        }
    }
    return filled;
}

/* ---- lanes ---- */

static void lanes_pack_c(int64_t *m, size_t stride, const int32_t *values, size_t count,
                         const struct kern_lanes *lanes)
{
    memset(m, 0, stride * sizeof *m);
    for (unsigned j = lanes->lanes; j-- > 0;) {
        size_t first = j * stride;
        size_t here = first >= count ? 0 : count - first;
        for (size_t i = 0; i < stride; i++) {
            int64_t v = i < here ? values[first + i] : 0;
            m[i] = m[i] * (int64_t)lanes->radix + v; /* |.| < 2^49 */
        }
    }
}

/*
 * Adding (r^L-1)/2 = sum_j (r-1)/2 r^j turns signed digits into ordinary ones:
 * digit j of m + half is v_j + (r-1)/2.
 */
static uint64_t lanes_unpack_c(int64_t *values, size_t count, const int64_t *m, size_t stride,
                               const struct kern_lanes *lanes, uint64_t limit)
{
    uint64_t bad = 0;
    for (size_t i = 0; i < stride; i++) {
        uint64_t u = (uint64_t)m[i] + lanes->half;
        uint64_t outside = (0 - (u >> 63)) | kern_mask_less(2 * lanes->half, u);
        bad |= outside;
        u = (u & ~outside) | (lanes->half & outside);
        for (unsigned j = 0; j < lanes->lanes; j++) {
            uint64_t digit;
            u = kern_divide(u, lanes->radix, lanes->recip, &digit);
            uint64_t v = digit - lanes->digit_half;
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

/*
 * rest m / t: Shoup's quotient is below the true one by less than 1 + m / 2^64, so what is left
 * lies in [0, t + t/2^15), and with (t+1)/2 below 2t: the floor is the quotient plus 0 or 1.
 * delta m + that is at most round(q (t-1) / t) <= q, since q/t >= 1.
 */
static void add_plain_c(uint64_t *a, const int64_t *message, size_t n,
                        const struct kern_plain *plain, const struct kern_modulus *m)
{
    const uint64_t t = plain->t;
    for (size_t i = 0; i < n; i++) {
        uint64_t x = (uint64_t)message[i];
        x += t & (0 - (x >> 63)); /* [0, t) */
        uint64_t quotient = kern_mulhi(x, plain->rest_shoup);
        uint64_t left = x * plain->rest - quotient * t + (t + 1) / 2;
        quotient += 1 + kern_mask_less(left, t);
        uint64_t scaled = plain->delta * x + quotient; /* [0, q] */
        a[i] = kern_reduce_once(a[i] + scaled, m->q);  /* [0, 2q) before */
    }
}

/*
 * floor(x 2^K / q) and what is left of x 2^K, for x < 2^50, with C = floor(2^(K+63) / q):
 * 2x C / 2^64 is below x 2^K / q by less than 2x / 2^64 < 2^-12, so its floor is at most 1 short.
 */
static uint64_t shifted_quotient(uint64_t x, unsigned bits, uint64_t quotient_constant, uint64_t q,
                                 uint64_t *remainder)
{
    uint64_t quotient = kern_mulhi(2 * x, quotient_constant);
    uint64_t rest = (x << bits) - quotient * q; /* [0, 2q): the low 64 bits are all of it */
    uint64_t more = ~kern_mask_less(rest, q);
    *remainder = rest - (q & more);
    return quotient - more;
}

static void switch_pow2_c(uint64_t *a, size_t n, const struct kern_switch *s)
{
    const uint64_t mask = kern_mask_bits(s->bits);
    for (size_t i = 0; i < n; i++) {
        uint64_t rest;
        uint64_t floor = shifted_quotient(a[i], s->bits, s->quotient, s->q, &rest);
        uint64_t up = kern_mask_less((s->q - 1) / 2, rest); /* more than half */
        a[i] = (floor - up) & mask;
    }
}

static void add_step_c(uint64_t *a, const int64_t *message, size_t n, const struct kern_step *s)
{
    const uint64_t mask = kern_mask_bits(s->mask.bits);
    for (size_t i = 0; i < n; i++) {
        a[i] = (a[i] + s->step * (uint64_t)message[i]) & mask;
    }
}

/* ---- fields and bytes ---- */

void kern_pack_bits_c(uint8_t *out, const uint64_t *fields, size_t count, unsigned bits)
{
    kern_u128 pending = 0; /* fewer than 64 bits between fields */
    unsigned have = 0;
    for (size_t i = 0; i < count; i++) {
        pending |= (kern_u128)fields[i] << have;
        have += bits;
        if (have >= 64) {
            store_le(out, 8, (uint64_t)pending);
            out += 8;
            pending >>= 64;
            have -= 64;
        }
    }
    store_le(out, have / 8, (uint64_t)pending);
}

void kern_unpack_bits_c(uint64_t *fields, const uint8_t *in, size_t count, unsigned bits)
{
    const uint64_t mask = kern_mask_bits(bits);
    size_t left = count * bits / 8;
    kern_u128 pending = 0;
    unsigned have = 0; /* fewer than 64 before a field is taken out, fewer than 128 always */
    for (size_t i = 0; i < count; i++) {
        if (have < bits) {
            size_t size = left < 8 ? left : 8;
            pending |= (kern_u128)load_le(in, size) << have;
            in += size;
            left -= size;
            have += (unsigned)(8 * size);
        }
        fields[i] = (uint64_t)pending & mask;
        pending >>= bits;
        have -= bits;
    }
}

/*
 * Adding packed fields without unpacking them. Let H hold the top bit of every field. Without
 * those bits two fields never carry into the next one, so one long addition with carry from word
 * to word adds all of them, and the top bits are added by exclusive or. H repeats after `bits`
 * words (bits * 64 is a multiple of both).
 */
static void top_bits(uint64_t *high, unsigned bits)
{
    memset(high, 0, bits * sizeof *high);
    for (size_t at = bits - 1; at < (size_t)64 * bits; at += bits) {
        high[at / 64] |= UINT64_C(1) << (at % 64);
    }
}

static uint64_t add_word(uint64_t a, uint64_t b, uint64_t high, uint64_t *carry)
{
    kern_u128 sum = (kern_u128)(a & ~high) + (b & ~high) + *carry;
    *carry = (uint64_t)(sum >> 64);
    return (uint64_t)sum ^ ((a ^ b) & high);
}

static void add_packed_c(uint8_t *sum, const uint8_t *in, size_t size, unsigned bits)
{
    uint64_t high[64];
    top_bits(high, bits);
    uint64_t carry = 0;
    size_t word = 0;
    while (size >= 8) {
        store_le(sum, 8, add_word(load_le(sum, 8), load_le(in, 8), high[word], &carry));
        sum += 8;
        in += 8;
        size -= 8;
        word = word + 1 == bits ? 0 : word + 1;
    }
    store_le(sum, size, add_word(load_le(sum, size), load_le(in, size), high[word], &carry));
}

/* ---- opening ---- */

/* x = a + q1 k with k = (b - a) q1^-1 mod q2 in [0, q2), minus q1 q2 for the negative half. */
static void crt_centred_c(uint64_t *out, const uint64_t *a, const uint64_t *b, size_t n,
                          const struct kern_crt *crt)
{
    const uint64_t product = crt->q1 * crt->q2; /* mod 2^64 */
    for (size_t i = 0; i < n; i++) {
        uint64_t d = b[i] + 2 * crt->q2 - a[i]; /* (0, 3q2): a < q1 < 2 q2 */
        uint64_t k = kern_mul_shoup_lazy(d, crt->inverse, crt->inverse_shoup, crt->q2);
        k = kern_reduce_once(k, crt->q2);
        out[i] = a[i] + crt->q1 * k - (product & kern_mask_less(crt->q2 / 2, k));
    }
}

static uint64_t open_step_c(int64_t *message, const uint64_t *sum, const uint64_t *product,
                            size_t n, const struct kern_step *s)
{
    const unsigned bits = s->mask.bits;
    const uint64_t q = s->mask.q, step = s->step;
    uint64_t bad = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t rest, unused;
        uint64_t whole = shifted_quotient(product[i], bits, s->mask.quotient, q, &rest);
        uint64_t fraction = shifted_quotient(rest, KERN_FRACTION_BITS, s->fraction, q, &unused);
        uint64_t x = (uint64_t)kern_centre(sum[i] + whole, bits); /* signed, in two's complement */
        /* round(x / D) = floor((2x + D) / 2D); of 2x only the whole part counts */
        uint64_t twice = 2 * x + (fraction >> (KERN_FRACTION_BITS - 1)) + step;
        uint64_t quotient =
            kern_divide(twice + 2 * step * s->offset, 2 * step, s->recip, &unused) - s->offset;
        uint64_t distance = ((x - step * quotient) << KERN_FRACTION_BITS) + fraction;
        uint64_t sign = 0 - (distance >> 63);
        bad |= kern_mask_less(s->limit, (distance ^ sign) - sign);
        message[i] = (int64_t)quotient;
    }
    return bad;
}

static uint64_t open_plain_c(int64_t *message, const uint64_t *c0, unsigned bits0,
                             const uint64_t *product, unsigned bits1, size_t n, uint64_t t,
                             uint64_t limit)
{
    uint64_t bad = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t phase = (c0[i] << (64 - bits0)) + (product[i] << (64 - bits1));
        kern_u128 scaled = (kern_u128)phase * t + (UINT64_C(1) << 63);
        uint64_t m = (uint64_t)(scaled >> 64);                         /* [0, t] */
        uint64_t distance = (uint64_t)scaled - (UINT64_C(1) << 63);    /* signed */
        uint64_t sign = 0 - (distance >> 63);
        uint64_t magnitude = (distance ^ sign) - sign;                 /* [0, 2^63] */
        bad |= 0 - ((limit - magnitude) >> 63);
        message[i] = (int64_t)(m - (t & kern_mask_less(t / 2, m)));    /* t itself becomes 0 */
    }
    return bad;
}

/* ---- floats ---- */

/* x, or the nearer of -largest and largest. Magnitudes are compared as words, which have the same
 * order. */
static double clamp_real(double x, double largest)
{
    uint64_t bits, most;
    memcpy(&bits, &x, sizeof bits);
    memcpy(&most, &largest, sizeof most);
    const uint64_t sign = bits & (UINT64_C(1) << 63);
    uint64_t magnitude = bits ^ sign;
    magnitude ^= (magnitude ^ most) & kern_mask_less(most, magnitude);
    bits = sign | magnitude;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/*
 * floor(y + u), clamped, without a branch or a call, so that compilers make vectors of it. For
 * |t| <= 2^24 adding and subtracting 1.5 2^52 rounds to a whole number (to nearest, ties to even);
 * it is one less where that went up, which the sign of the exact difference tells.
 * u = word / 2^32, by way of a signed number: those convert quickly.
 */
static int32_t floor_of_sum(double y, uint32_t word, double largest)
{
    const double to_whole = 0x1.8p52;
    const double u = (double)(int32_t)(word ^ UINT32_C(0x80000000)) * 0x1p-32 + 0.5;
    const double t = clamp_real(y + u, largest);
    const double whole = (t + to_whole) - to_whole;
    const double above = t - whole; /* in [-1/2, 1/2] */
    uint64_t bits;
    memcpy(&bits, &above, sizeof bits);
    return (int32_t)whole - (int32_t)(bits >> 63);
}

/* Two loops: compilers make vectors of each. Clamped one beyond the limit first, so that the second
 * loop moves a number by 1 or not at all. */
size_t kern_round_randomly_c(int32_t *restrict out, const float *restrict values,
                             const uint32_t *restrict words, size_t n, double scale, int32_t limit)
{
    const double beyond = limit + 1;
    size_t clamped = 0;

    for (size_t i = 0; i < n; i++) {
        out[i] = floor_of_sum((double)values[i] * scale, words[i], beyond);
    }
    for (size_t i = 0; i < n; i++) {
        const uint32_t over = (uint32_t)(limit - out[i]) >> 31;
        const uint32_t under = (uint32_t)(out[i] + limit) >> 31;

        out[i] += (int32_t)under - (int32_t)over;
        clamped += over + under;
    }
    return clamped;
}

void kern_take_off_c(float *restrict values, const int32_t *restrict whole, size_t n, double unit)
{
    for (size_t i = 0; i < n; i++) {
        values[i] = (float)((double)values[i] - whole[i] * unit);
    }
}

void kern_fill_c(struct kern_ops *ops)
{
    *ops = (struct kern_ops){
        .ntt_fwd = ntt_fwd_c,
        .ntt_inv = ntt_inv_c,
        .mul = mul_c,
        .add_small = add_small_c,
        .neg_add_small = neg_add_small_c,
        .lift_small = lift_small_c,
        .lift_field = lift_field_c,
        .sample_cbd21 = sample_cbd21_c,
        .sample_ternary = sample_ternary_c,
        .uniform_reject = uniform_reject_c,
        .lanes_pack = lanes_pack_c,
        .lanes_unpack = lanes_unpack_c,
        .add_plain = add_plain_c,
        .switch_pow2 = switch_pow2_c,
        .add_step = add_step_c,
        .pack_bits = kern_pack_bits_c,
        .unpack_bits = kern_unpack_bits_c,
        .add_packed = add_packed_c,
        .crt_centred = crt_centred_c,
        .open_step = open_step_c,
        .open_plain = open_plain_c,
        .round_randomly = kern_round_randomly_c,
        .take_off = kern_take_off_c,
    };
}
