/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KERN_KERN_H
#define KERN_KERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * The kernels: every loop that runs once per coefficient, behind one table of functions.
 *
 * One slot per kernel, one call per polynomial. The portable C version (kern_c.c) is complete and
 * is the definition; a faster rung replaces slots one by one and must return the same bits
 * for every input in range. So no slot hands out a value that is reduced only lazily.
 *
 * What holds for every slot unless it says otherwise
 *   Polynomials  n words or n int32, 64-byte aligned, n a multiple of 8; ring words in [0, q)
 *   Time         depends on n and the constants only: operands may be secret
 *   Memory       no allocation; the caller owns all arrays; outputs do not overlap inputs except
 *                where an operand is marked in,out
 *   Threads      the constants below are immutable after their init function
 *
 * Notation: N ring degree, q ciphertext modulus, K bits of a field on the wire, D message step.
 */

/** A prime q with 2^49 < q < 2^50 (small enough for double-precision rungs: 8 q is exact). */
struct kern_modulus {
    uint64_t q;
    uint64_t barrett; /* floor(2^112 / q), in (2^62, 2^63) */
};
/** @return false, out untouched, for a q outside (2^49, 2^50). Primality is not looked at. */
bool kern_modulus_init(struct kern_modulus *out, uint64_t q);

/**
 * Tables of one negacyclic transform. psi is the smallest primitive 2N-th root of unity mod q, brv
 * reverses log2(N) bits. Built by ring_get (ring.h), which owns the arrays.
 * A *_shoup word is floor(w 2^64 / q).
 */
struct kern_ntt {
    struct kern_modulus modulus;
    size_t n;                      /* N, a power of two, 16..32768 */
    const uint64_t *roots;         /* (N) roots[k] = psi^brv(k) */
    const uint64_t *roots_shoup;   /* (N) */
    const uint64_t *inverse;       /* (N) inverse[k] = psi^-brv(k) */
    const uint64_t *inverse_shoup; /* (N) */
    uint64_t n_inverse;            /* N^-1 mod q */
    uint64_t n_inverse_shoup;
    /* For double-precision rungs, kern_ntt_real of roots and of inverse: */
    const double *roots_real, *roots_ratio;     /* (N) each, 64-byte aligned */
    const double *inverse_real, *inverse_ratio; /* (N) each, 64-byte aligned */
};
/** real[k] = words[k] mod q as a number in (-q/2, q/2), ratio[k] = real[k] / q, rounded. */
void kern_ntt_real(double *real, double *ratio, const uint64_t *words, size_t n, uint64_t q);

/** From mod q to mod 2^bits. */
struct kern_switch {
    uint64_t q;
    unsigned bits;     /* K, 1..50 */
    uint64_t quotient; /* floor(2^(K+63) / q) */
};
void kern_switch_init(struct kern_switch *out, const struct kern_modulus *m, unsigned bits);

/** Lanes: digits v_j in [-(r-1)/2, (r-1)/2] of a word m = sum_j v_j r^j, |m| <= (r^L-1)/2. */
struct kern_lanes {
    unsigned lanes;      /* L, 1..32 */
    uint64_t radix;      /* r, odd, >= 3 */
    uint64_t recip;      /* floor(2^64 / r) */
    uint64_t digit_half; /* (r-1)/2 */
    uint64_t half;       /* (r^L-1)/2 */
};
/** @return false, out untouched, unless r is odd, >= 3, L >= 1 and r^L < 2^50 */
bool kern_lanes_init(struct kern_lanes *out, unsigned lanes, uint64_t radix);

/** The plain modulus t of BFV inside q: message m sits at round(q m / t). */
struct kern_plain {
    uint64_t t;          /* odd, 3 <= t < 2^49 */
    uint64_t delta;      /* floor(q / t) */
    uint64_t rest;       /* q mod t */
    uint64_t rest_shoup; /* floor(rest 2^64 / t) */
};
void kern_plain_init(struct kern_plain *out, const struct kern_modulus *m, uint64_t t);

enum { KERN_FRACTION_BITS = 20 };

/** Messages at multiples of D modulo 2^K, and how far from one an opened coefficient may lie. */
struct kern_step {
    struct kern_switch mask;   /* K, and q of the mask */
    uint64_t fraction;         /* floor(2^(KERN_FRACTION_BITS+63) / q) */
    uint64_t step;             /* D, 1 <= D <= 2^40, D <= 2^K */
    uint64_t recip;            /* floor(2^64 / 2D) */
    uint64_t offset;           /* floor(2^(K-1) / D) + 1: makes the rounded quotient non-negative */
    uint64_t limit;            /* in units of 2^-KERN_FRACTION_BITS, below 2^62 */
};
void kern_step_init(struct kern_step *out, const struct kern_modulus *m, unsigned bits,
                    uint64_t step, uint64_t limit);

/** Two primes, to rebuild a small signed integer from its residues. */
struct kern_crt {
    uint64_t q1, q2;        /* 2^49 < q2 < q1 < 2^50 */
    uint64_t inverse;       /* q1^-1 mod q2 */
    uint64_t inverse_shoup; /* floor(inverse 2^64 / q2) */
};

struct kern_ops {
    /**
     * Forward negacyclic transform, in place.
     * Computes  out[j] = sum_i a[i] psi^((2 brv(j) + 1) i) mod q
     * Domain    coefficient order -> bit-reversed order
     * Cost      N/2 log2 N butterflies
     * Source    Harvey 2014 (lazy butterflies), loop order of Longa-Naehrig 2016, alg. 1; the
     *           order of the output and the choice of psi are those of Microsoft SEAL
     */
    void (*ntt_fwd)(uint64_t *a, const struct kern_ntt *t);
    /** Its inverse, N^-1 included: bit-reversed order -> coefficient order. */
    void (*ntt_inv)(uint64_t *a, const struct kern_ntt *t);

    /** out[i] = a[i] b[i] mod q. out may be a or b. */
    void (*mul)(uint64_t *out, const uint64_t *a, const uint64_t *b, size_t n,
                const struct kern_modulus *m);
    /** a[i] = a[i] + e[i] mod q, any int32 e. */
    void (*add_small)(uint64_t *a, const int32_t *e, size_t n, const struct kern_modulus *m);
    /** a[i] = -(a[i] + e[i]) mod q, any int32 e. */
    void (*neg_add_small)(uint64_t *a, const int32_t *e, size_t n, const struct kern_modulus *m);
    /** out[i] = in[i] mod q in [0, q), any int32. */
    void (*lift_small)(uint64_t *out, const int32_t *in, size_t n, const struct kern_modulus *m);
    /** out[i] = the field in[i] < 2^bits, centred, mod q; 1 <= bits <= 50. out may be in. */
    void (*lift_field)(uint64_t *out, const uint64_t *in, unsigned bits, size_t n,
                       const struct kern_modulus *m);

    /**
     * Centred binomial 21+21 from 6 random bytes a sample.
     * Computes  out[i] = popcount(low 21 bits of x) - popcount(low 21 bits of x >> 24),
     *           x = bytes 6i..6i+5, little-endian. Mean 0, variance 10.5, |out| <= 21.
     */
    void (*sample_cbd21)(int32_t *out, size_t n, const uint8_t *bytes);
    /**
     * Uniform {-1, 0, 1} from random bytes, two bits at a time from the low end: 0, 1, 2 give -1,
     * 0, 1 and 3 is thrown away. Time and the number of samples depend on what is thrown away,
     * never on a sample that is kept.
     * @return samples written, at most n (any n, any alignment)
     */
    size_t (*sample_ternary)(int32_t *out, size_t n, const uint8_t *bytes, size_t size);
    /**
     * Public uniform words in [0, q) from a stream: each 8 bytes, little-endian, cut to 50 bits,
     * are kept when below q. Time depends on the (public) stream. size is a multiple of 8.
     * @return words written, at most n (any n, any alignment)
     */
    size_t (*uniform_reject)(uint64_t *out, size_t n, const uint8_t *bytes, size_t size,
                             const struct kern_modulus *m);

    /**
     * Values to words: m[i] = sum_j v_j r^j with v_j = values[j stride + i], 0 from index `count`
     * on.
     * @param values  (count) count <= L stride; each |v| <= (r-1)/2; any alignment
     * @param m       (stride)
     */
    void (*lanes_pack)(int64_t *m, size_t stride, const int32_t *values, size_t count,
                       const struct kern_lanes *lanes);
    /**
     * And back: values[j stride + i] = v_j of m[i], for indices below count.
     * @param values  (count) any alignment
     * @param limit   below 2^62
     * @return 0, or all ones if any |m[i]| > (r^L-1)/2 (|m| below 2^62; read as 0 then), any |v_j|
     *         > limit, or any v_j != 0 from index `count` on
     */
    uint64_t (*lanes_unpack)(int64_t *values, size_t count, const int64_t *m, size_t stride,
                             const struct kern_lanes *lanes, uint64_t limit);

    /** a[i] = a[i] + round(q m / t) mod q, m = message[i] mod t; |message[i]| <= (t-1)/2.
     * round(q m / t) = delta m + floor((rest m + (t+1)/2) / t), SEAL's value. */
    void (*add_plain)(uint64_t *a, const int64_t *message, size_t n, const struct kern_plain *plain,
                      const struct kern_modulus *m);
    /** a[i] = round(a[i] 2^K / q) mod 2^K. q is odd: no ties. */
    void (*switch_pow2)(uint64_t *a, size_t n, const struct kern_switch *s);
    /** a[i] = a[i] + D message[i] mod 2^K. */
    void (*add_step)(uint64_t *a, const int64_t *message, size_t n, const struct kern_step *s);

    /** Fields of `bits` bits (1..64), tightly, the low bit first. bits * count is a multiple of 8
     * (any such count); fields below 2^bits. Bytes are public. */
    void (*pack_bits)(uint8_t *out, const uint64_t *fields, size_t count, unsigned bits);
    void (*unpack_bits)(uint64_t *fields, const uint8_t *in, size_t count, unsigned bits);
    /** sum += in, field by field mod 2^bits, both packed, `size` bytes holding whole fields; any
     * alignment. Public. */
    void (*add_packed)(uint8_t *sum, const uint8_t *in, size_t size, unsigned bits);

    /** out[i] = x mod 2^64 for the integer x, |x| < q1 q2 / 4, with x = a[i] mod q1 = b[i] mod q2.
     * out may be a or b. */
    void (*crt_centred)(uint64_t *out, const uint64_t *a, const uint64_t *b, size_t n,
                        const struct kern_crt *crt);
    /**
     * Open messages at multiples of D.
     * Computes  x = sum[i] + product[i] 2^K / q mod 2^K, centred, as a whole part (exact floor) and
     *           KERN_FRACTION_BITS of fraction (exact floor);  message[i] = round(x / D), ties up
     * @param sum      (n) fields below 2^K
     * @param product  (n) in [0, q)
     * @return 0, or all ones if any |x - D message[i]| > limit
     */
    uint64_t (*open_step)(int64_t *message, const uint64_t *sum, const uint64_t *product, size_t n,
                          const struct kern_step *s);
    /**
     * Open messages at multiples of 1/t of the torus, phases as fractions of 2^64.
     * Computes  phase = c0[i] 2^(64-bits0) + product[i] 2^(64-bits1) mod 2^64,
     *           message[i] = round(t phase / 2^64) mod t, balanced: |message| <= (t-1)/2
     * @param limit  below 2^63
     * @return 0, or all ones if any |t phase - 2^64 round(t phase / 2^64)| > limit
     */
    uint64_t (*open_plain)(int64_t *message, const uint64_t *c0, unsigned bits0,
                           const uint64_t *product, unsigned bits1, size_t n, uint64_t t,
                           uint64_t limit);

    /**
     * Values to whole numbers, at random up or down. Any n, any alignment.
     * Computes  out[i] = floor(values[i] scale + words[i] / 2^32), clamped to [-limit, limit]; in
     *           double, the product and the sum rounded one after the other
     * Time      also depends on which values are subnormal, on processors that are slow with those
     * @param values  finite
     * @param scale   finite
     * @param limit   1 .. 2^24 - 1
     * @return how many were clamped
     */
    size_t (*round_randomly)(int32_t *out, const float *values, const uint32_t *words, size_t n,
                             double scale, int32_t limit);
    /** values[i] = values[i] - whole[i] unit; in double, the product, the difference and the result
     * rounded one after the other. Any n, any alignment. Time: as above. */
    void (*take_off)(float *values, const int32_t *whole, size_t n, double unit);
};

/**
 * The table for this machine, chosen once at the first call through cpu_rung. Never NULL: with a
 * CAIRN_CPU that cpu_rung refuses (main reports that at start) the portable table serves.
 * Immutable, any thread.
 */
const struct kern_ops *kern_get(void);

#endif
