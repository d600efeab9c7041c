/* SPDX-License-Identifier: Apache-2.0 */
/* Polynomials as residues: plain loops over the primes of a level. */
#include "rns.h"

#include "modulus.h"

int rns_ring_init(struct rns_ring *out, size_t n, const uint64_t *q, unsigned primes)
{
    *out = (struct rns_ring){.n = n};
    for (unsigned j = 0; j < primes; j++) {
        int rc = prime_ntt_init(&out->ntt[j], n, q[j]);
        if (rc != 0) {
            rns_ring_release(out);
            return rc;
        }
        out->primes = j + 1;
    }
    return 0;
}

void rns_ring_release(struct rns_ring *ring)
{
    for (unsigned j = 0; j < ring->primes; j++) {
        prime_ntt_release(&ring->ntt[j]);
    }
    *ring = (struct rns_ring){0};
}

void rns_forward(const struct rns_ring *ring, unsigned level, uint64_t *a)
{
    for (unsigned j = 0; j < level; j++) {
        prime_ntt_forward(a + j * ring->n, &ring->ntt[j]);
    }
}

void rns_backward(const struct rns_ring *ring, unsigned level, uint64_t *a)
{
    for (unsigned j = 0; j < level; j++) {
        prime_ntt_backward(a + j * ring->n, &ring->ntt[j]);
    }
}

void rns_mul(const struct rns_ring *ring, unsigned level, uint64_t *out, const uint64_t *a,
             const uint64_t *b)
{
    for (unsigned j = 0; j < level; j++) {
        const struct prime_modulus m = ring->ntt[j].m;
        for (size_t i = j * ring->n; i < (j + 1) * ring->n; i++) {
            out[i] = prime_mul(a[i], b[i], &m);
        }
    }
}

void rns_add(const struct rns_ring *ring, unsigned level, uint64_t *a, const uint64_t *b)
{
    for (unsigned j = 0; j < level; j++) {
        const struct prime_modulus m = ring->ntt[j].m;
        for (size_t i = j * ring->n; i < (j + 1) * ring->n; i++) {
            a[i] = prime_add(a[i], b[i], &m);
        }
    }
}

void rns_neg(const struct rns_ring *ring, unsigned level, uint64_t *a)
{
    for (unsigned j = 0; j < level; j++) {
        const struct prime_modulus m = ring->ntt[j].m;
        for (size_t i = j * ring->n; i < (j + 1) * ring->n; i++) {
            a[i] = prime_neg(a[i], &m);
        }
    }
}

/* q is added when x is negative */
static inline uint64_t lift(int32_t x, uint64_t q)
{
    int64_t wide = x;
    return (uint64_t)wide + (q & (uint64_t)(wide >> 63));
}

void rns_lift_small(const struct rns_ring *ring, unsigned level, const int32_t *small,
                    uint64_t *out)
{
    for (unsigned j = 0; j < level; j++) {
        const uint64_t q = ring->ntt[j].m.q;
        for (size_t i = 0; i < ring->n; i++) {
            out[j * ring->n + i] = lift(small[i], q);
        }
    }
}

void rns_add_small(const struct rns_ring *ring, unsigned level, uint64_t *a, const int32_t *small)
{
    for (unsigned j = 0; j < level; j++) {
        const struct prime_modulus m = ring->ntt[j].m;
        for (size_t i = 0; i < ring->n; i++) {
            a[j * ring->n + i] = prime_add(a[j * ring->n + i], lift(small[i], m.q), &m);
        }
    }
}

/* What dividing by a prime p takes modulo another: all public. */
struct divisor {
    uint64_t half; /* floor(p / 2) mod q */
    uint64_t inverse, inverse_shoup; /* p^-1 mod q */
};

static struct divisor divisor_of(uint64_t p, uint64_t q)
{
    struct divisor d = {.half = (p >> 1) % q, .inverse = modulus_inverse(p % q, q)};
    d.inverse_shoup = modulus_shoup(d.inverse, q);
    return d;
}

/* x -> (x + floor(p / 2)) mod p, the remainder to take off, moved to where rounding is cutting */
static void shift_last(const struct prime_modulus *p, uint64_t *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        x[i] = prime_add(x[i], p->q >> 1, p);
    }
}

/* That remainder modulo another prime, moved back. */
static inline uint64_t remainder_of(uint64_t shifted, const struct divisor *d,
                                    const struct prime_ntt *t)
{
    return prime_sub(prime_reduce64(shifted, t->one_shoup, t->m.q), d->half, &t->m);
}

void rns_divide_round(const struct rns_ring *ring, unsigned level, uint64_t *a)
{
    const size_t n = ring->n;
    const struct prime_modulus *last = &ring->ntt[level - 1].m;
    const uint64_t *x = a + (level - 1) * n;
    shift_last(last, a + (level - 1) * n, n);
    for (unsigned j = 0; j + 1 < level; j++) {
        const struct prime_ntt t = ring->ntt[j];
        const struct divisor d = divisor_of(last->q, t.m.q);
        uint64_t *y = a + j * n;
        for (size_t i = 0; i < n; i++) {
            uint64_t rest = prime_sub(y[i], remainder_of(x[i], &d, &t), &t.m);
            y[i] = prime_mul_shoup(rest, d.inverse, d.inverse_shoup, t.m.q);
        }
    }
}

void rns_divide_round_hat(const struct rns_ring *ring, unsigned level, uint64_t *a,
                          const int32_t *small, uint64_t *work)
{
    const size_t n = ring->n;
    const struct prime_modulus *last = &ring->ntt[level - 1].m;
    uint64_t *x = a + (level - 1) * n;
    prime_ntt_backward(x, &ring->ntt[level - 1]);
    for (size_t i = 0; i < n; i++) {
        x[i] = prime_add(x[i], lift(small[i], last->q), last);
    }
    shift_last(last, x, n);
    for (unsigned j = 0; j + 1 < level; j++) {
        const struct prime_ntt t = ring->ntt[j];
        const struct divisor d = divisor_of(last->q, t.m.q);
        uint64_t *y = a + j * n;
        for (size_t i = 0; i < n; i++) {
            work[i] = prime_sub(lift(small[i], t.m.q), remainder_of(x[i], &d, &t), &t.m);
        }
        prime_ntt_forward(work, &t);
        for (size_t i = 0; i < n; i++) {
            uint64_t rest = prime_add(y[i], work[i], &t.m);
            y[i] = prime_mul_shoup(rest, d.inverse, d.inverse_shoup, t.m.q);
        }
    }
}
