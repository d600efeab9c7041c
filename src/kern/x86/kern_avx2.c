/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The AVX2 rung: kern_vector.h with vectors of four words, and byte shuffles within 128 bits for
 * the samplers and fields.
 *
 * AVX2 has no conversion between doubles and 64-bit words and no full 64-bit product. Conversions
 * add a constant whose unit in the last place is 1, so that the whole number appears in the low
 * bits of the double: 2^52 for words, 1.5 * 2^52 for signed ones below 2^51.
 */
#include <immintrin.h>
#include <string.h>

#include "kern_rungs.h"

enum { VL = 4 };
typedef __m256d vd; /* doubles */
typedef __m256i vi; /* 64-bit words */

/* ---- a vector of four ---- */

static inline vd v_set(double x)
{
    return _mm256_set1_pd(x);
}

static inline vi v_set_word(uint64_t x)
{
    return _mm256_set1_epi64x((long long)x);
}

static inline vi v_load(const uint64_t *p)
{
    return _mm256_load_si256((const __m256i *)p);
}

static inline void v_store(uint64_t *p, vi x)
{
    _mm256_store_si256((__m256i *)p, x);
}

static inline vi v_load_any(const void *p)
{
    return _mm256_loadu_si256((const __m256i_u *)p);
}

static inline void v_store_any(void *p, vi x)
{
    _mm256_storeu_si256((__m256i_u *)p, x);
}

static inline vd v_load_real(const uint64_t *p)
{
    return _mm256_castsi256_pd(v_load(p));
}

static inline void v_store_real(uint64_t *p, vd x)
{
    v_store(p, _mm256_castpd_si256(x));
}

static inline vd v_load_any_real(const double *p)
{
    return _mm256_loadu_pd(p);
}

static inline vd v_load_small_real(const int32_t *p)
{
    return _mm256_cvtepi32_pd(_mm_loadu_si128((const __m128i_u *)p));
}

static inline void v_store_small_real(int32_t *p, vd x) /* whole */
{
    _mm_storeu_si128((__m128i_u *)p, _mm256_cvtpd_epi32(x));
}

static inline vd v_load_float(const float *p)
{
    return _mm256_cvtps_pd(_mm_loadu_ps(p));
}

static inline void v_store_float(float *p, vd x)
{
    _mm_storeu_ps(p, _mm256_cvtpd_ps(x));
}

/* words / 2^32, by way of signed numbers: only those convert */
static inline vd v_load_fraction(const uint32_t *p)
{
    __m128i words = _mm_loadu_si128((const __m128i_u *)p);
    vd x = _mm256_cvtepi32_pd(_mm_xor_si128(words, _mm_set1_epi32(INT32_MIN)));
    return _mm256_add_pd(_mm256_mul_pd(x, _mm256_set1_pd(0x1p-32)), _mm256_set1_pd(0.5));
}

static inline vi v_load_small(const int32_t *p)
{
    return _mm256_cvtepi32_epi64(_mm_loadu_si128((const __m128i_u *)p));
}

/* the first `count` < VL, and zeros */
static inline vi v_load_small_part(const int32_t *p, size_t count)
{
    __m128i mask = _mm_cmpgt_epi32(_mm_set1_epi32((int)count), _mm_set_epi32(3, 2, 1, 0));
    return _mm256_cvtepi32_epi64(_mm_maskload_epi32(p, mask));
}

static inline vd v_add(vd a, vd b)
{
    return _mm256_add_pd(a, b);
}

static inline vd v_sub(vd a, vd b)
{
    return _mm256_sub_pd(a, b);
}

static inline vd v_mul(vd a, vd b)
{
    return _mm256_mul_pd(a, b);
}

static inline vd v_fma(vd a, vd b, vd c) /* a b + c */
{
    return _mm256_fmadd_pd(a, b, c);
}

static inline vd v_fms(vd a, vd b, vd c) /* a b - c */
{
    return _mm256_fmsub_pd(a, b, c);
}

static inline vd v_fnma(vd a, vd b, vd c) /* c - a b */
{
    return _mm256_fnmadd_pd(a, b, c);
}

static inline vd v_round(vd x)
{
    return _mm256_round_pd(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

static inline vd v_floor(vd x)
{
    return _mm256_round_pd(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}

static inline vd v_min(vd a, vd b)
{
    return _mm256_min_pd(a, b);
}

static inline vd v_max(vd a, vd b)
{
    return _mm256_max_pd(a, b);
}

static inline vd v_magnitude(vd x)
{
    return _mm256_andnot_pd(_mm256_set1_pd(-0.0), x);
}

static inline vi v_bits(vd x)
{
    return _mm256_castpd_si256(x);
}

static inline vi v_add_int(vi a, vi b)
{
    return _mm256_add_epi64(a, b);
}

static inline vi v_sub_int(vi a, vi b)
{
    return _mm256_sub_epi64(a, b);
}

static inline vi v_and(vi a, vi b)
{
    return _mm256_and_si256(a, b);
}

static inline vi v_andnot(vi a, vi b) /* ~a & b */
{
    return _mm256_andnot_si256(a, b);
}

static inline vi v_or(vi a, vi b)
{
    return _mm256_or_si256(a, b);
}

static inline vi v_xor(vi a, vi b)
{
    return _mm256_xor_si256(a, b);
}

static inline vi v_xor_and(vi a, vi b, vi c) /* a ^ (b & c) */
{
    return v_xor(a, v_and(b, c));
}

/* top bit: what a + b = sum carries out */
static inline vi v_carry(vi a, vi b, vi sum)
{
    return v_or(v_and(a, b), v_andnot(sum, v_or(a, b)));
}

static inline vi v_shift_left(vi x, unsigned bits)
{
    return _mm256_sll_epi64(x, _mm_cvtsi32_si128((int)bits));
}

static inline vi v_shift_right(vi x, unsigned bits)
{
    return _mm256_srl_epi64(x, _mm_cvtsi32_si128((int)bits));
}

/* all ones where negative */
static inline vi v_sign(vi x)
{
    return _mm256_cmpgt_epi64(_mm256_setzero_si256(), x);
}

static inline vi v_abs(vi x)
{
    vi sign = v_sign(x);
    return v_sub_int(v_xor(x, sign), sign);
}

static inline bool v_any_sign(vi x)
{
    return _mm256_movemask_pd(_mm256_castsi256_pd(x)) != 0;
}

/* all words of a below those of b, both below 2^63 */
static inline bool v_all_less(vi a, vi b)
{
    return _mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpgt_epi64(b, a))) == 0xf;
}

/* x + q where x is negative */
static inline vi v_not_negative(vi x, vi q)
{
    return v_add_int(x, v_and(v_sign(x), q));
}

/* x - q where x >= q; both below 2^63 */
static inline vi v_reduce_once(vi x, vi q)
{
    return v_not_negative(v_sub_int(x, q), q);
}

/* products of the low halves */
static inline vi v_mul_32(vi a, vi b)
{
    return _mm256_mul_epu32(a, b);
}

static inline vi v_mul_low(vi a, vi b)
{
    vi cross = v_add_int(v_mul_32(v_shift_right(a, 32), b), v_mul_32(a, v_shift_right(b, 32)));
    return v_add_int(v_mul_32(a, b), v_shift_left(cross, 32));
}

static const double word_unit = 0x1p52, int_unit = 0x1.8p52;

/* a word below 2^52 */
static inline vd v_from_word(vi x)
{
    vd unit = v_set(word_unit);
    return v_sub(_mm256_castsi256_pd(v_or(x, _mm256_castpd_si256(unit))), unit);
}

/* signed, below 2^51 */
static inline vd v_from_int(vi x)
{
    vd unit = v_set(int_unit);
    return v_sub(_mm256_castsi256_pd(v_add_int(x, _mm256_castpd_si256(unit))), unit);
}

/* whole, below 2^51 */
static inline vi v_to_int(vd x)
{
    vd unit = v_set(int_unit);
    return v_sub_int(_mm256_castpd_si256(v_add(x, unit)), _mm256_castpd_si256(unit));
}

/* the words of x moved up by one, and the last of `before` */
static inline vi v_words_up(vi x, vi before)
{
    enum { UP = 0x93 }; /* words 3 0 1 2 */
    return _mm256_blend_epi32(_mm256_permute4x64_epi64(x, UP), _mm256_permute4x64_epi64(before, UP),
                              3);
}

/*
 * The last stages of a transform on one block of eight. Pairs stand for 128 bits:
 *
 *   memory      u = 01 23       y = 45 67, which is also what distance 4 wants
 *   distance 2  u = 01 45       y = 23 67
 *   distance 1  u = 02 46       y = 13 57
 *
 * The roots of as many blocks are taken in that order.
 */
static inline vd v_roots_4(const double *p)
{
    return _mm256_broadcast_sd(p);
}

static inline vd v_roots_2(const double *p) /* 0 0 1 1 */
{
    return _mm256_permute4x64_pd(_mm256_castpd128_pd256(_mm_loadu_pd(p)), 0x50);
}

static inline vd v_roots_1(const double *p)
{
    return _mm256_load_pd(p);
}

static inline void v_split_4(vd *u, vd *y)
{
    (void)u;
    (void)y;
}

static inline void v_split_2(vd *u, vd *y)
{
    vd a = *u, b = *y;
    *u = _mm256_permute2f128_pd(a, b, 0x20);
    *y = _mm256_permute2f128_pd(a, b, 0x31);
}

static inline void v_split_1(vd *u, vd *y)
{
    vd a = *u, b = *y;
    *u = _mm256_unpacklo_pd(a, b);
    *y = _mm256_unpackhi_pd(a, b);
}

/* from distance 1 to memory */
static inline void v_join_words(vi *u, vi *y)
{
    vi even = _mm256_unpacklo_epi64(*u, *y); /* 01 45 */
    vi odd = _mm256_unpackhi_epi64(*u, *y);  /* 23 67 */
    *u = _mm256_permute2x128_si256(even, odd, 0x20);
    *y = _mm256_permute2x128_si256(even, odd, 0x31);
}

/* and back */
static inline void v_split_words(vi *u, vi *y)
{
    vi even = _mm256_permute2x128_si256(*u, *y, 0x20);
    vi odd = _mm256_permute2x128_si256(*u, *y, 0x31);
    *u = _mm256_unpacklo_epi64(even, odd);
    *y = _mm256_unpackhi_epi64(even, odd);
}

/* from distance 1 to 2, from 2 to 4, and from there to memory */
static inline void v_join_1(vd *u, vd *y)
{
    v_split_1(u, y);
}

static inline void v_join_2(vd *u, vd *y)
{
    v_split_2(u, y);
}

static inline void v_join_4(vd *u, vd *y)
{
    (void)u;
    (void)y;
}

#include "kern_vector.h"

/* ---- two 128-bit halves ---- */

static inline vi load_halves(const uint8_t *low, const uint8_t *high)
{
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i_u *)low)),
                                   _mm_loadu_si128((const __m128i_u *)high), 1);
}

/* ---- samplers ---- */

/* Four samples from 24 bytes, each as an int32 in the low half of a word. The second load begins at
 * byte 8, not 12, so as not to read past the end. */
static inline vi four_samples(const uint8_t *bytes)
{
    /* clang-format off */
    const vi order = _mm256_set_epi8(-1, -1, 15, 14, 13, 12, 11, 10, -1, -1, 9, 8, 7, 6, 5, 4,
                                     -1, -1, 11, 10, 9, 8, 7, 6, -1, -1, 5, 4, 3, 2, 1, 0);
    const vi ones = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,
                                     0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    /* clang-format on */
    const vi weights = v_set_word(UINT64_C(0x0000ffffff010101)); /* bytes 3, 4, 5 count down */
    const vi nibble = v_set_word(UINT64_C(0x0f0f0f0f0f0f0f0f));

    vi x = _mm256_shuffle_epi8(load_halves(bytes, bytes + 8), order);
    x = v_and(x, v_set_word(UINT64_C(0x1fffff1fffff)));
    /* Counts of half bytes from a table that is a register: the time of a shuffle does not depend
     * on its index. */
    vi count = _mm256_add_epi8(_mm256_shuffle_epi8(ones, v_and(x, nibble)),
                               _mm256_shuffle_epi8(ones, v_and(v_shift_right(x, 4), nibble)));
    vi sums = _mm256_madd_epi16(_mm256_maddubs_epi16(count, weights), _mm256_set1_epi16(1));
    return _mm256_add_epi32(sums, v_shift_right(sums, 32));
}

static void sample_cbd21_avx2(int32_t *out, size_t n, const uint8_t *bytes)
{
    for (size_t i = 0; i < n; i += 8, bytes += 48) {
        __m256 a = _mm256_castsi256_ps(four_samples(bytes));
        __m256 b = _mm256_castsi256_ps(four_samples(bytes + 24));
        vi low = _mm256_castps_si256(_mm256_shuffle_ps(a, b, 0x88)); /* 0 1 4 5 2 3 6 7 */
        v_store_any(out + i, _mm256_permute4x64_epi64(low, 0xd8));
    }
}

/* ---- fields and bytes ---- */

/*
 * Fields of K <= 57 bits, eight in K bytes, two at a time: fields 2p and 2p + 1 begin at bit 2pK,
 * in byte floor(2pK / 8) at bit s = 2pK mod 8 <= 6, and end before bit s + 2K <= 120 from there.
 */
enum { WIDEST = 57 };

/* first bytes of the four pairs, and what 16 bytes from the last one reach to */
static size_t pair_at(unsigned pair, unsigned bits)
{
    return pair * bits / 4;
}

static size_t reach(unsigned bits)
{
    return pair_at(3, bits) + 16;
}

/*
 * A pair in 128 bits is  f0 << s | f1 << (K+s)  below and  f1 >> (64-K-s)  above: K + s <= 63, so
 * all of f0 is below. It may share its first byte with the pair before, which hands it over.
 */
struct packer {
    vi up[2], down[2]; /* counts: pairs 0 and 1, pairs 2 and 3 */
    __m128i shared[3]; /* brings the byte where the next pair begins to the front */
    size_t at[4];
};

static void packer_init(struct packer *p, unsigned bits)
{
    uint64_t up[8], down[8];
    for (unsigned i = 0; i < 4; i++) {
        unsigned s = 2 * i * bits % 8;
        p->at[i] = pair_at(i, bits);
        up[2 * i] = s;
        up[2 * i + 1] = bits + s;
        down[2 * i] = 64; /* gives zero */
        down[2 * i + 1] = 64 - bits - s;
    }
    for (unsigned i = 0; i < 3; i++) {
        uint8_t order[16];
        memset(order, 0x80, sizeof order); /* zero */
        order[0] = (uint8_t)(p->at[i + 1] - p->at[i]);
        p->shared[i] = _mm_loadu_si128((const __m128i_u *)order);
    }
    for (unsigned h = 0; h < 2; h++) {
        p->up[h] = v_load_any(up + 4 * h);
        p->down[h] = v_load_any(down + 4 * h);
    }
}

static inline vi pack_pairs(const uint64_t *fields, vi up, vi down)
{
    vi x = v_load_any(fields);
    vi low = _mm256_sllv_epi64(x, up), high = _mm256_srlv_epi64(x, down);
    return v_or(_mm256_unpacklo_epi64(low, high), _mm256_unpackhi_epi64(low, high));
}

static inline void pack_eight(uint8_t *out, const uint64_t *fields, const struct packer *p)
{
    vi first = pack_pairs(fields, p->up[0], p->down[0]);
    vi second = pack_pairs(fields + 4, p->up[1], p->down[1]);
    const __m128i pairs[4] = {_mm256_castsi256_si128(first), _mm256_extracti128_si256(first, 1),
                              _mm256_castsi256_si128(second), _mm256_extracti128_si256(second, 1)};
    __m128i x = pairs[0];
    for (unsigned i = 0; i < 3; i++) {
        _mm_storeu_si128((__m128i_u *)(out + p->at[i]), x);
        x = _mm_or_si128(pairs[i + 1], _mm_shuffle_epi8(x, p->shared[i]));
    }
    _mm_storeu_si128((__m128i_u *)(out + p->at[3]), x);
}

static void pack_bits_avx2(uint8_t *out, const uint64_t *fields, size_t count, unsigned bits)
{
    if (bits > WIDEST) {
        kern_pack_bits_c(out, fields, count, bits);
        return;
    }
    struct packer p;
    packer_init(&p, bits);
    size_t left = bits * count / 8;
    for (; count >= 8 && left >= reach(bits); count -= 8, fields += 8, out += bits, left -= bits) {
        pack_eight(out, fields, &p);
    }
    while (left > 0) { /* the last two or so, to where writing on does no harm */
        uint64_t all[8] = {0};
        uint8_t padded[64 + 16];
        size_t here = count < 8 ? count : 8, size = left < bits ? left : bits;
        memcpy(all, fields, here * sizeof *all);
        pack_eight(padded, all, &p);
        memcpy(out, padded, size);
        count -= here;
        fields += here;
        out += size;
        left -= size;
    }
}

/* A shuffle brings the eight bytes in which a field begins to a word, a shift does the rest. */
struct unpacker {
    vi order[2], shift[2]; /* pairs 0 and 1, pairs 2 and 3 */
    size_t at[4];          /* first bytes of the pairs */
    vi mask;
};

static void unpacker_init(struct unpacker *u, unsigned bits)
{
    uint8_t order[64];
    uint64_t shift[8];
    for (unsigned i = 0; i < 8; i++) {
        u->at[i / 2] = pair_at(i / 2, bits);
        unsigned from = i * bits - 8 * (unsigned)u->at[i / 2]; /* bit within the pair's bytes */
        shift[i] = from % 8;
        for (unsigned b = 0; b < 8; b++) {
            order[8 * i + b] = (uint8_t)(from / 8 + b);
        }
    }
    for (unsigned h = 0; h < 2; h++) {
        u->order[h] = v_load_any(order + 32 * h);
        u->shift[h] = v_load_any(shift + 4 * h);
    }
    u->mask = v_set_word(UINT64_MAX >> (64 - bits));
}

static inline void unpack_eight(uint64_t *fields, const uint8_t *in, const struct unpacker *u)
{
    vi a = _mm256_shuffle_epi8(load_halves(in + u->at[0], in + u->at[1]), u->order[0]);
    vi b = _mm256_shuffle_epi8(load_halves(in + u->at[2], in + u->at[3]), u->order[1]);
    v_store_any(fields, v_and(_mm256_srlv_epi64(a, u->shift[0]), u->mask));
    v_store_any(fields + 4, v_and(_mm256_srlv_epi64(b, u->shift[1]), u->mask));
}

static void unpack_bits_avx2(uint64_t *fields, const uint8_t *in, size_t count, unsigned bits)
{
    if (bits > WIDEST) {
        kern_unpack_bits_c(fields, in, count, bits);
        return;
    }
    struct unpacker u;
    unpacker_init(&u, bits);
    size_t left = bits * count / 8;
    for (; count >= 8 && left >= reach(bits); count -= 8, fields += 8, in += bits, left -= bits) {
        unpack_eight(fields, in, &u);
    }
    while (count > 0) { /* the last two or so, from where reading on does no harm */
        uint8_t padded[64 + 16] = {0};
        uint64_t all[8];
        memcpy(padded, in, left < bits ? left : bits);
        unpack_eight(all, padded, &u);
        size_t here = count < 8 ? count : 8;
        memcpy(fields, all, here * sizeof *all);
        count -= here;
        fields += here;
        in += bits;
        left -= left < bits ? left : bits;
    }
}

void kern_fill_avx2(struct kern_ops *ops)
{
    fill_vec(ops);
    ops->sample_cbd21 = sample_cbd21_avx2;
    ops->pack_bits = pack_bits_avx2;
    ops->unpack_bits = unpack_bits_avx2;
}
