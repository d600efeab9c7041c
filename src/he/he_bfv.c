/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Public-key BFV on the torus wire.
 *
 * Opening works on fractions of 1: c0 / 2^K0 + s c1 / 2^K1 = m / t + noise mod 1. With c1 centred,
 * |s c1| <= N 2^49 = 2^60, far below q1 q2 / 4 = 2^98, so two transforms modulo two primes give it
 * exactly.
 */
#include "he_bfv.h"

#include <math.h>

#include "he_noise.h"

/* a = INTT(x u_hat) + e mod q, with a fresh e */
static int mask(const uint64_t *x, struct secret_rng *rng, struct he_scratch *s)
{
    const struct kern_ops *ops = kern_get();
    const struct kern_ntt *ring = ring_get(RING_Q);
    int rc = he_sample_cbd(rng, s);
    if (rc == 0) {
        ops->mul(s->a, x, s->b, RING_DEGREE, &ring->modulus);
        ops->ntt_inv(s->a, ring);
        ops->add_small(s->a, s->small, RING_DEGREE, &ring->modulus);
    }
    return rc;
}

static void to_wire(uint64_t *a, size_t used, unsigned bits, uint8_t *out)
{
    const struct kern_ops *ops = kern_get();
    struct kern_switch s;
    kern_switch_init(&s, &ring_get(RING_Q)->modulus, bits);
    ops->switch_pow2(a, used, &s);
    ops->pack_bits(out, a, used, bits);
}

int he_bfv_encrypt(const struct he_bfv_set *set, const struct he_public_key *key,
                   struct secret_rng *rng, size_t used, uint8_t *c0, uint8_t *c1,
                   struct he_scratch *s)
{
    const struct kern_ops *ops = kern_get();
    const struct kern_ntt *ring = ring_get(RING_Q);
    struct kern_plain plain;
    kern_plain_init(&plain, &ring->modulus, set->plain_modulus);

    int rc = he_sample_ternary(rng, s);
    if (rc != 0) {
        return rc;
    }
    ops->lift_small(s->b, s->small, RING_DEGREE, &ring->modulus);
    ops->ntt_fwd(s->b, ring); /* u */

    rc = mask(key->b_hat, rng, s);
    if (rc != 0) {
        return rc;
    }
    ops->add_plain(s->a, s->message, used, &plain, &ring->modulus);
    to_wire(s->a, used, set->bits0, c0);

    rc = mask(key->a_hat, rng, s);
    if (rc != 0) {
        return rc;
    }
    to_wire(s->a, RING_DEGREE, set->bits1, c1);
    return 0;
}

/* out = field (K1 bits, centred) times the secret, modulo one prime */
static void times_secret(uint64_t *out, const uint64_t *fields, unsigned bits,
                         const struct he_secret_key *key, enum ring_prime prime)
{
    const struct kern_ops *ops = kern_get();
    const struct kern_ntt *ring = ring_get(prime);
    ops->lift_field(out, fields, bits, RING_DEGREE, &ring->modulus);
    ops->ntt_fwd(out, ring);
    ops->mul(out, out, key->hat[prime], RING_DEGREE, &ring->modulus);
    ops->ntt_inv(out, ring);
}

/* t (noise / q) as a fraction of 2^64. Where even that passes 1/2 every distance is honest. */
static uint64_t distance_limit(const struct he_bfv_set *set, uint32_t contributors)
{
    double k = he_noise_tail(set->failure_log2);
    double noise = he_noise_bfv(contributors, set->bits0, set->bits1, k);
    double share = noise * (double)set->plain_modulus / (double)RING_Q_VALUE;
    const double half = 0.5;
    return share < half ? (uint64_t)ldexp(share, 64) : INT64_MAX;
}

uint64_t he_bfv_open(const struct he_bfv_set *set, const struct he_secret_key *key,
                     uint32_t contributors, size_t used, const uint8_t *c0, const uint8_t *c1,
                     struct he_scratch *s)
{
    const struct kern_ops *ops = kern_get();
    ops->unpack_bits(s->a, c1, RING_DEGREE, set->bits1);
    times_secret(s->b, s->a, set->bits1, key, RING_Q);
    times_secret(s->c, s->a, set->bits1, key, RING_Q2);
    ops->crt_centred(s->b, s->b, s->c, RING_DEGREE, ring_crt());
    ops->unpack_bits(s->a, c0, used, set->bits0);
    return ops->open_plain(s->message, s->a, set->bits0, s->b, set->bits1, used, set->plain_modulus,
                           distance_limit(set, contributors));
}
