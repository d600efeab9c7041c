/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of BFV, in and out. */
#include "rlwe_bfv.h"

#include "modulus.h"
#include "secret.h"

/* What BFV adds for m, modulo one prime: m floor(Q/t) + floor((rest m + floor((t+1)/2)) / t), Q the
 * product of the level's primes and rest = Q mod t. */
struct bfv_scale {
    uint64_t t;
    uint64_t rest, rest_shoup;         /* Q mod t */
    uint64_t half;                     /* floor((t+1) / 2) */
    uint64_t floor_q[RNS_MAX_PRIMES]; /* floor(Q/t) mod q_j */
};

static void bfv_scale_init(const struct rns_ring *ring, unsigned level, uint64_t t,
                           struct bfv_scale *s)
{
    s->t = t;
    s->rest = 1 % t;
    for (unsigned j = 0; j < level; j++) {
        s->rest = (uint64_t)((kern_u128)s->rest * ring->ntt[j].m.q % t);
    }
    s->rest_shoup = (uint64_t)(((kern_u128)s->rest << 64) / t);
    s->half = (t + 1) / 2;
    for (unsigned j = 0; j < level; j++) {
        /* floor(Q/t) = (Q - rest) / t and Q = 0 mod q_j */
        uint64_t q = ring->ntt[j].m.q;
        uint64_t over_t = modulus_inverse(t % q, q);
        s->floor_q[j] = (uint64_t)((kern_u128)((q - s->rest % q) % q) * over_t % q);
    }
}

void rlwe_bfv_add(const struct rns_ring *ring, unsigned level, uint64_t t, const uint64_t *m,
                  uint64_t *c)
{
    struct bfv_scale s;
    bfv_scale_init(ring, level, t, &s);
    for (size_t i = 0; i < ring->n; i++) {
        uint64_t fix = kern_mulhi(m[i], s.rest_shoup);
        uint64_t r = m[i] * s.rest - fix * s.t; /* [0, 2t): floor is one too small or right */
        uint64_t more = ~kern_mask_less(r, s.t);
        fix -= more;
        r -= s.t & more;
        fix -= ~kern_mask_less(r + s.half, s.t); /* the half carries */
        for (unsigned j = 0; j < level; j++) {
            const struct prime_ntt *p = &ring->ntt[j];
            uint64_t whole = prime_reduce64(m[i], p->one_shoup, p->m.q);
            uint64_t term = prime_mul(whole, s.floor_q[j], &p->m);
            term = prime_add(term, prime_reduce64(fix, p->one_shoup, p->m.q), &p->m);
            c[j * ring->n + i] = prime_add(c[j * ring->n + i], term, &p->m);
        }
    }
}

/*
 * m = round(t x / Q) mod t. By the Chinese remainder theorem x / Q = sum_j y_j / q_j mod 1 with
 * y_j = x_j (Q/q_j)^-1 mod q_j, so t x / Q = sum_j t y_j / q_j mod t: whole parts are added mod t,
 * fractions as 2^-64ths, each at most 3 of them too small.
 */
struct bfv_unscale {
    uint64_t whole[RNS_MAX_PRIMES];                             /* floor(t / q_j) */
    uint64_t rest[RNS_MAX_PRIMES], rest_shoup[RNS_MAX_PRIMES]; /* t mod q_j */
    uint64_t factor[RNS_MAX_PRIMES];                            /* (Q/q_j)^-1 mod q_j */
    uint64_t recip[RNS_MAX_PRIMES]; /* floor(2^(63 + bits) / q_j), bits = length of q_j */
};

static void bfv_unscale_init(const struct rns_ring *ring, unsigned level, uint64_t t,
                             struct bfv_unscale *u)
{
    for (unsigned j = 0; j < level; j++) {
        const uint64_t q = ring->ntt[j].m.q;
        uint64_t others = 1;
        for (unsigned i = 0; i < level; i++) {
            if (i != j) {
                others = (uint64_t)((kern_u128)others * (ring->ntt[i].m.q % q) % q);
            }
        }
        u->factor[j] = modulus_inverse(others, q);
        u->whole[j] = t / q;
        u->rest[j] = t % q;
        u->rest_shoup[j] = (uint64_t)(((kern_u128)u->rest[j] << 64) / q);
        u->recip[j] = (uint64_t)(((kern_u128)1 << (63 + ring->ntt[j].m.bits)) / q);
    }
}

/* t y / q, whole part and fraction; whole * y < t because y < q */
static uint64_t scaled_part(const struct prime_modulus *m, const struct bfv_unscale *u, unsigned j,
                            uint64_t y, uint64_t *fraction)
{
    uint64_t quotient = kern_mulhi(y, u->rest_shoup[j]);
    uint64_t r = y * u->rest[j] - quotient * m->q; /* [0, 2q) */
    uint64_t more = ~kern_mask_less(r, m->q);
    r -= m->q & more;
    *fraction = (uint64_t)(((kern_u128)r * u->recip[j]) >> (m->bits - 1));
    return u->whole[j] * y + quotient - more;
}

void rlwe_bfv_round(const struct rns_ring *ring, unsigned level, uint64_t t, const uint64_t *x,
                    uint64_t *m)
{
    struct bfv_unscale u;
    bfv_unscale_init(ring, level, t, &u);
    for (size_t i = 0; i < ring->n; i++) {
        kern_u128 fraction = (kern_u128)1 << 63; /* one half, for rounding */
        uint64_t sum = 0;
        for (unsigned j = 0; j < level; j++) {
            const struct prime_modulus *p = &ring->ntt[j].m;
            uint64_t part;
            uint64_t y = prime_mul(x[j * ring->n + i], u.factor[j], p);
            uint64_t whole = scaled_part(p, &u, j, y, &part);
            fraction += part;
            sum = kern_reduce_once(sum + whole, t);
        }
        for (unsigned j = 0; j <= level; j++) { /* at most `level` carries, and the half */
            uint64_t carry = (uint64_t)(fraction >> 64);
            uint64_t one = (carry | (0 - carry)) >> 63; /* 1 unless carry is 0 */
            sum = kern_reduce_once(sum + one, t);
            fraction -= (kern_u128)one << 64;
        }
        m[i] = sum;
    }
    secret_wipe(&u, sizeof u);
}
