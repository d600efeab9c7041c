/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The AVX-512 rung: kern_vector.h with vectors of eight words, and what the byte permutations of
 * VBMI and the bit counts of VPOPCNTDQ do better than anything that reads the same at every width.
 *
 * Products modulo q are in double precision here too, although there are 52-bit integer products:
 * a butterfly is 8 instructions, balanced between multipliers and adders, against 10 with a lazy
 * 52-bit product, whose first operand must be reduced each time.
 */
#include <immintrin.h>
#include <string.h>

#include "kern_rungs.h"

enum { VL = 8 };
typedef __m512d vd; /* doubles */
typedef __m512i vi; /* 64-bit words */

/* ---- a vector of eight ---- */

static inline vd v_set(double x)
{
    return _mm512_set1_pd(x);
}

static inline vi v_set_word(uint64_t x)
{
    return _mm512_set1_epi64((long long)x);
}

static inline vi v_load(const uint64_t *p)
{
    return _mm512_load_si512(p);
}

static inline void v_store(uint64_t *p, vi x)
{
    _mm512_store_si512(p, x);
}

static inline vi v_load_any(const void *p)
{
    return _mm512_loadu_si512(p);
}

static inline void v_store_any(void *p, vi x)
{
    _mm512_storeu_si512(p, x);
}

static inline vd v_load_real(const uint64_t *p)
{
    return _mm512_load_pd(p);
}

static inline void v_store_real(uint64_t *p, vd x)
{
    _mm512_store_pd(p, x);
}

static inline vd v_load_any_real(const double *p)
{
    return _mm512_loadu_pd(p);
}

static inline vd v_load_small_real(const int32_t *p)
{
    return _mm512_cvtepi32_pd(_mm256_loadu_si256((const __m256i_u *)p));
}

static inline void v_store_small_real(int32_t *p, vd x) /* whole */
{
    _mm256_storeu_si256((__m256i_u *)p, _mm512_cvtpd_epi32(x));
}

static inline vd v_load_float(const float *p)
{
    return _mm512_cvtps_pd(_mm256_loadu_ps(p));
}

static inline void v_store_float(float *p, vd x)
{
    _mm256_storeu_ps(p, _mm512_cvtpd_ps(x));
}

/* words / 2^32 */
static inline vd v_load_fraction(const uint32_t *p)
{
    vd x = _mm512_cvtepu32_pd(_mm256_loadu_si256((const __m256i_u *)p));
    return _mm512_mul_pd(x, _mm512_set1_pd(0x1p-32));
}

static inline vi v_load_small(const int32_t *p)
{
    return _mm512_cvtepi32_epi64(_mm256_loadu_si256((const __m256i_u *)p));
}

/* the first `count` < VL, and zeros */
static inline vi v_load_small_part(const int32_t *p, size_t count)
{
    return _mm512_cvtepi32_epi64(_mm256_maskz_loadu_epi32((__mmask8)((1U << count) - 1), p));
}

static inline vd v_add(vd a, vd b)
{
    return _mm512_add_pd(a, b);
}

static inline vd v_sub(vd a, vd b)
{
    return _mm512_sub_pd(a, b);
}

static inline vd v_mul(vd a, vd b)
{
    return _mm512_mul_pd(a, b);
}

static inline vd v_fma(vd a, vd b, vd c) /* a b + c */
{
    return _mm512_fmadd_pd(a, b, c);
}

static inline vd v_fms(vd a, vd b, vd c) /* a b - c */
{
    return _mm512_fmsub_pd(a, b, c);
}

static inline vd v_fnma(vd a, vd b, vd c) /* c - a b */
{
    return _mm512_fnmadd_pd(a, b, c);
}

/* Without optimisation these are macros of the compiler's own that convert 0xff to char. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"
static inline vd v_round(vd x)
{
    return _mm512_roundscale_pd(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

static inline vd v_floor(vd x)
{
    return _mm512_roundscale_pd(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}
#pragma GCC diagnostic pop

static inline vd v_min(vd a, vd b)
{
    return _mm512_min_pd(a, b);
}

static inline vd v_max(vd a, vd b)
{
    return _mm512_max_pd(a, b);
}

static inline vd v_magnitude(vd x)
{
    return _mm512_abs_pd(x);
}

static inline vi v_bits(vd x)
{
    return _mm512_castpd_si512(x);
}

/* a word below 2^52 */
static inline vd v_from_word(vi x)
{
    return _mm512_cvtepu64_pd(x);
}

/* signed, below 2^51 */
static inline vd v_from_int(vi x)
{
    return _mm512_cvtepi64_pd(x);
}

/* whole, below 2^51 */
static inline vi v_to_int(vd x)
{
    return _mm512_cvtpd_epi64(x);
}

static inline vi v_add_int(vi a, vi b)
{
    return _mm512_add_epi64(a, b);
}

static inline vi v_sub_int(vi a, vi b)
{
    return _mm512_sub_epi64(a, b);
}

static inline vi v_and(vi a, vi b)
{
    return _mm512_and_si512(a, b);
}

static inline vi v_andnot(vi a, vi b) /* ~a & b */
{
    return _mm512_andnot_si512(a, b);
}

static inline vi v_or(vi a, vi b)
{
    return _mm512_or_si512(a, b);
}

static inline vi v_xor(vi a, vi b)
{
    return _mm512_xor_si512(a, b);
}

static inline vi v_xor_and(vi a, vi b, vi c) /* a ^ (b & c) */
{
    return _mm512_ternarylogic_epi64(a, b, c, 0x78);
}

/* top bit: what a + b = sum carries out */
static inline vi v_carry(vi a, vi b, vi sum) /* a & b | (a | b) & ~sum */
{
    return _mm512_ternarylogic_epi64(a, b, sum, 0xd4);
}

static inline vi v_shift_left(vi x, unsigned bits)
{
    return _mm512_sll_epi64(x, _mm_cvtsi32_si128((int)bits));
}

static inline vi v_shift_right(vi x, unsigned bits)
{
    return _mm512_srl_epi64(x, _mm_cvtsi32_si128((int)bits));
}

static inline vi v_abs(vi x)
{
    return _mm512_abs_epi64(x);
}

/* all ones where negative */
static inline vi v_sign(vi x)
{
    return _mm512_srai_epi64(x, 63);
}

static inline bool v_any_sign(vi x)
{
    return _mm512_movepi64_mask(x) != 0;
}

/* all words of a below those of b, both below 2^63 */
static inline bool v_all_less(vi a, vi b)
{
    return _mm512_cmplt_epu64_mask(a, b) == 0xff;
}

/* x + q where x is negative: without a sign the smaller of both */
static inline vi v_not_negative(vi x, vi q)
{
    return _mm512_min_epu64(x, _mm512_add_epi64(x, q));
}

/* x - q where x >= q */
static inline vi v_reduce_once(vi x, vi q)
{
    return _mm512_min_epu64(x, _mm512_sub_epi64(x, q));
}

/* products of the low halves */
static inline vi v_mul_32(vi a, vi b)
{
    return _mm512_mul_epu32(a, b);
}

static inline vi v_mul_low(vi a, vi b)
{
    return _mm512_mullo_epi64(a, b);
}

/* the words of x moved up by one, and the last of `before` */
static inline vi v_words_up(vi x, vi before)
{
    return _mm512_alignr_epi64(x, before, 7);
}

/*
 * The last stages of a transform on two blocks of eight, a and b. Pairs stand for 128 bits:
 *
 *   memory      u = a01 a23 a45 a67         y = b01 b23 b45 b67
 *   distance 4  u = a01 a23 b01 b23         y = a45 a67 b45 b67
 *   distance 2  u = a01 b01 a45 b45         y = a23 b23 a67 b67
 *   distance 1  u = a02 b02 a46 b46         y = a13 b13 a57 b57
 *
 * The roots of as many blocks are taken in that order.
 */
static inline vd v_roots_4(const double *p) /* 0 0 0 0 1 1 1 1 */
{
    const vi order = _mm512_set_epi64(1, 1, 1, 1, 0, 0, 0, 0);
    return _mm512_permutexvar_pd(order, _mm512_castpd128_pd512(_mm_loadu_pd(p)));
}

static inline vd v_roots_2(const double *p) /* 0 0 2 2 1 1 3 3 */
{
    const vi order = _mm512_set_epi64(3, 3, 1, 1, 2, 2, 0, 0);
    return _mm512_permutexvar_pd(order, _mm512_castpd256_pd512(_mm256_loadu_pd(p)));
}

static inline vd v_roots_1(const double *p) /* 0 1 4 5 2 3 6 7 */
{
    vd x = _mm512_load_pd(p);
    return _mm512_shuffle_f64x2(x, x, 0xd8);
}

static inline void v_split_4(vd *u, vd *y)
{
    vd a = *u, b = *y;
    *u = _mm512_shuffle_f64x2(a, b, 0x44);
    *y = _mm512_shuffle_f64x2(a, b, 0xee);
}

static inline void v_split_2(vd *u, vd *y)
{
    vd a = *u, b = *y;
    *u = _mm512_shuffle_f64x2(a, b, 0x88);
    *y = _mm512_shuffle_f64x2(a, b, 0xdd);
}

static inline void v_split_1(vd *u, vd *y)
{
    vd a = *u, b = *y;
    *u = _mm512_unpacklo_pd(a, b);
    *y = _mm512_unpackhi_pd(a, b);
}

/* pairs 0 and 2, or 1 and 3, of a and of b in turn */
static inline vi even_pairs(vi a, vi b)
{
    return _mm512_permutex2var_epi64(a, _mm512_set_epi64(13, 12, 5, 4, 9, 8, 1, 0), b);
}

static inline vi odd_pairs(vi a, vi b)
{
    return _mm512_permutex2var_epi64(a, _mm512_set_epi64(15, 14, 7, 6, 11, 10, 3, 2), b);
}

/* from distance 1 to memory */
static inline void v_join_words(vi *u, vi *y)
{
    vi even = _mm512_unpacklo_epi64(*u, *y); /* a01 b01 a45 b45 */
    vi odd = _mm512_unpackhi_epi64(*u, *y);  /* a23 b23 a67 b67 */
    *u = even_pairs(even, odd);
    *y = odd_pairs(even, odd);
}

/* and back */
static inline void v_split_words(vi *u, vi *y)
{
    vi even = even_pairs(*u, *y); /* a01 b01 a45 b45 */
    vi odd = odd_pairs(*u, *y);   /* a23 b23 a67 b67 */
    *u = _mm512_unpacklo_epi64(even, odd);
    *y = _mm512_unpackhi_epi64(even, odd);
}

/* from distance 1 to 2 */
static inline void v_join_1(vd *u, vd *y)
{
    v_split_1(u, y);
}

/* from distance 2 to 4 */
static inline void v_join_2(vd *u, vd *y)
{
    vd a = *u, b = *y;
    *u = _mm512_permutex2var_pd(a, _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0), b);
    *y = _mm512_permutex2var_pd(a, _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4), b);
}

/* from distance 4 to memory */
static inline void v_join_4(vd *u, vd *y)
{
    v_split_4(u, y);
}

#include "kern_vector.h"

/* ---- samplers ---- */

/* One half of sixteen samples, three bytes each: in bytes 6k + half of the 96 that `low` (0..63)
 * and `high` (32..95) hold. A fourth byte comes along and is cut off. */
static inline vi coins(vi low, vi high, vi order)
{
    vi bits = _mm512_permutex2var_epi8(low, order, high);
    return _mm512_popcnt_epi32(_mm512_and_si512(bits, _mm512_set1_epi32(0x1fffff)));
}

static inline vi coin_order(unsigned half)
{
    uint8_t order[64];
    for (unsigned k = 0; k < 64; k++) {
        unsigned at = 6 * (k / 4) + half + k % 4;
        at = at > 95 ? 95 : at;
        order[k] = (uint8_t)(at < 64 ? at : 64 + at - 32);
    }
    return _mm512_loadu_si512(order);
}

static void sample_cbd21_avx512(int32_t *out, size_t n, const uint8_t *bytes)
{
    const vi up = coin_order(0), down = coin_order(3);
    size_t i = 0;
    for (; i + 16 <= n; i += 16, bytes += 96) {
        vi low = v_load_any(bytes), high = v_load_any(bytes + 32);
        v_store_any(out + i, _mm512_sub_epi32(coins(low, high, up), coins(low, high, down)));
    }
    if (i < n) { /* eight more */
        vi low = _mm512_maskz_loadu_epi8((UINT64_C(1) << 48) - 1, bytes);
        vi x = _mm512_sub_epi32(coins(low, low, up), coins(low, low, down));
        _mm256_storeu_si256((__m256i *)(out + i), _mm512_castsi512_si256(x));
    }
}

/* ---- fields and bytes ---- */

/* Eight fields of K bits are K bytes. Word w of those holds bits of the fields from
 * floor(64 w / K) on: the first shifted right, the others shifted left. A count of 64 or more gives
 * zero, which is what is wanted for fields that begin behind the word. */
struct packer {
    vi field[8], shift[8];
};

static void packer_init(struct packer *p, unsigned bits)
{
    for (unsigned t = 0; t < 8; t++) {
        uint64_t field[8], shift[8];
        for (unsigned w = 0; w < 8; w++) {
            unsigned at = 64 * w / bits + t;
            field[w] = at & 7;
            shift[w] = at > 7 ? 64 : t == 0 ? 64 * w - bits * at : bits * at - 64 * w;
        }
        p->field[t] = v_load_any(field);
        p->shift[t] = v_load_any(shift);
    }
}

static ALWAYS_INLINE vi pack_vector(vi x, const struct packer *p, unsigned terms)
{
    vi out = _mm512_srlv_epi64(_mm512_permutexvar_epi64(p->field[0], x), p->shift[0]);
    for (unsigned t = 1; t < terms; t++) {
        vi more = _mm512_sllv_epi64(_mm512_permutexvar_epi64(p->field[t], x), p->shift[t]);
        out = v_or(out, more);
    }
    return out;
}

static inline __mmask64 first_bytes(size_t count)
{
    return count >= 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1;
}

static inline __mmask8 first_words(size_t count)
{
    return (__mmask8)(count >= 8 ? 0xff : (1U << count) - 1);
}

/* Whole vectors as long as 64 bytes are wanted: what lies behind the K bytes is written over by the
 * next one. Then exactly what belongs there. */
static ALWAYS_INLINE void pack_with(uint8_t *out, const uint64_t *fields, size_t count,
                                    unsigned bits, unsigned terms)
{
    struct packer p;
    packer_init(&p, bits);
    size_t left = bits * count / 8;
    for (; left >= 64 && count >= 8; count -= 8, fields += 8, out += bits, left -= bits) {
        v_store_any(out, pack_vector(v_load_any(fields), &p, terms));
    }
    for (; left > 0; fields += 8, out += bits) {
        vi x = pack_vector(_mm512_maskz_loadu_epi64(first_words(count), fields), &p, terms);
        size_t size = left < bits ? left : bits;
        _mm512_mask_storeu_epi8(out, first_bytes(size), x);
        count -= count < 8 ? count : 8;
        left -= size;
    }
}

static void pack_bits_avx512(uint8_t *out, const uint64_t *fields, size_t count, unsigned bits)
{
    if (bits >= 32) {
        pack_with(out, fields, count, bits, 3); /* a word touches three fields at most */
    } else {
        pack_with(out, fields, count, bits, 8);
    }
}

/* Field i begins in byte floor(K i / 8), at bit K i mod 8, and up to 57 bits from there are in
 * eight bytes. */
static ALWAYS_INLINE void unpack_with(uint64_t *fields, const uint8_t *in, size_t count,
                                      unsigned bits, bool narrow)
{
    uint8_t order[64];
    uint64_t word[8], next[8], shift[8];
    for (unsigned i = 0; i < 8; i++) {
        unsigned at = bits * i;
        for (unsigned b = 0; b < 8; b++) {
            order[8 * i + b] = (uint8_t)((at / 8 + b) & 63);
        }
        word[i] = at / 64;
        next[i] = (at / 64 + 1) & 7;
        shift[i] = narrow ? at % 8 : at % 64;
    }
    const vi order_v = v_load_any(order), word_v = v_load_any(word), next_v = v_load_any(next);
    const vi shift_v = v_load_any(shift), back = v_sub_int(v_set_word(64), shift_v);
    const vi mask = v_set_word(UINT64_MAX >> (64 - bits));
    size_t left = bits * count / 8;
    while (count > 0) {
        vi x = left >= 64 ? v_load_any(in) : _mm512_maskz_loadu_epi8(first_bytes(left), in);
        vi y;
        if (narrow) {
            y = _mm512_srlv_epi64(_mm512_permutexvar_epi8(order_v, x), shift_v);
        } else {
            y = v_or(_mm512_srlv_epi64(_mm512_permutexvar_epi64(word_v, x), shift_v),
                     _mm512_sllv_epi64(_mm512_permutexvar_epi64(next_v, x), back));
        }
        if (count < 8) {
            _mm512_mask_storeu_epi64(fields, first_words(count), v_and(y, mask));
            return;
        }
        v_store_any(fields, v_and(y, mask));
        fields += 8;
        count -= 8;
        in += bits;
        left -= bits;
    }
}

static void unpack_bits_avx512(uint64_t *fields, const uint8_t *in, size_t count, unsigned bits)
{
    if (bits <= 57) {
        unpack_with(fields, in, count, bits, true);
    } else {
        unpack_with(fields, in, count, bits, false);
    }
}

void kern_fill_avx512(struct kern_ops *ops)
{
    fill_vec(ops);
    ops->sample_cbd21 = sample_cbd21_avx512;
    ops->pack_bits = pack_bits_avx512;
    ops->unpack_bits = unpack_bits_avx512;
}
