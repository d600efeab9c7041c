/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RING_PRIME_NTT_H
#define RING_PRIME_NTT_H

#include <stddef.h>

#include "kern_math.h"

/**
 * Arithmetic for any prime below 2^61, in portable 64-bit code. The kernels of cairn's own ring
 * are made for one size of prime; SEAL's have up to 60 bits. No branch, index or division depends
 * on an operand.
 */
struct prime_modulus {
    uint64_t q;    /* 3 <= q < 2^61 */
    unsigned bits; /* length of q */
    uint64_t mu;   /* floor(2^(2 bits) / q), below 2^(bits+1) */
};

/** x mod q for x < 2^(2 bits). Source: Barrett as in Menezes et al., Handbook of Applied
 * Cryptography, 14.42: the quotient is at most 2 too small. */
static inline uint64_t prime_reduce128(kern_u128 x, const struct prime_modulus *m)
{
    uint64_t high = (uint64_t)(x >> (m->bits - 1));
    uint64_t quotient = (uint64_t)(((kern_u128)high * m->mu) >> (m->bits + 1));
    uint64_t r = (uint64_t)x - quotient * m->q; /* [0, 3q), below 2^63 */
    return kern_reduce_once(kern_reduce_once(r, 2 * m->q), m->q);
}

/** a b mod q; a, b in [0, q) */
static inline uint64_t prime_mul(uint64_t a, uint64_t b, const struct prime_modulus *m)
{
    return prime_reduce128((kern_u128)a * b, m);
}

static inline uint64_t prime_add(uint64_t a, uint64_t b, const struct prime_modulus *m)
{
    return kern_reduce_once(a + b, m->q);
}

static inline uint64_t prime_sub(uint64_t a, uint64_t b, const struct prime_modulus *m)
{
    return kern_reduce_once(a + m->q - b, m->q);
}

static inline uint64_t prime_neg(uint64_t a, const struct prime_modulus *m)
{
    return kern_reduce_once(m->q - a, m->q);
}

/** a w mod q with w_shoup = floor(w 2^64 / q); any a, w in [0, q) */
static inline uint64_t prime_mul_shoup(uint64_t a, uint64_t w, uint64_t w_shoup, uint64_t q)
{
    return kern_reduce_once(kern_mul_shoup_lazy(a, w, w_shoup, q), q);
}

/** Any 64-bit x mod q, with one_shoup = floor(2^64 / q). */
static inline uint64_t prime_reduce64(uint64_t x, uint64_t one_shoup, uint64_t q)
{
    return kern_reduce_once(x - kern_mulhi(x, one_shoup) * q, q);
}

/** Tables of a negacyclic transform modulo one prime; psi is the smallest primitive 2N-th root. */
struct prime_ntt {
    struct prime_modulus m;
    uint64_t one_shoup; /* floor(2^64 / q) */
    size_t n;           /* N, a power of two >= 2 */
    uint64_t psi;
    uint64_t n_inverse, n_inverse_shoup;
    uint64_t *roots;   /* (N) psi^brv(k), then (N) their Shoup companions */
    uint64_t *inverse; /* (N) psi^-brv(k), then (N) theirs */
};

void prime_modulus_init(struct prime_modulus *out, uint64_t q);
/** @param q  a prime = 1 mod 2n below 2^61. @retval CAIRN_ERR_NO_MEMORY. Free with
 * prime_ntt_release. */
int prime_ntt_init(struct prime_ntt *out, size_t n, uint64_t q);
void prime_ntt_release(struct prime_ntt *t);

/** out[j] = sum_i a[i] psi^((2 brv(j) + 1) i) mod q, in place; words in [0, q). */
void prime_ntt_forward(uint64_t *a, const struct prime_ntt *t);
/** Its inverse. */
void prime_ntt_backward(uint64_t *a, const struct prime_ntt *t);

#endif
