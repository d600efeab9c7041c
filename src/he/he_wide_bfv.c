/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Public-key encryption over the wide ring, on the torus wire:
 *
 *   c0 = round((b u + e1) 2^K0 / q) + D m mod 2^K0,   c1 = round((a u + e2) 2^K1 / q) mod 2^K1
 *   opening: c0 / 2^K0 + s c1 / 2^K1 = D m / 2^K0 + noise mod 1
 *
 * This is BFV with t = 2^K0 / D in the place of a plain modulus. D is an integer, so D m is exact
 * and D |M| <= D (r^L - 1)/2 < 2^(K0-1) keeps every sum apart from its neighbours modulo 2^K0.
 *
 * s c1 is taken over the integers: with c1 centred, |s c1| <= weight(s) 2^(K1-1) < 2^12 2^99 =
 * 2^111, so three transforms modulo primes whose product is above 2^147 give it exactly.
 */
#include <math.h>

#include "he_noise.h"
#include "he_wide.h"

enum { N = RING_WIDE_DEGREE };

/* s->wide = INTT(x u_hat) + e in [0, q), with a fresh e */
static int mask(const uint64_t x[][N], struct secret_rng *rng, struct he_wide_scratch *s)
{
    const struct kern_ops *ops = kern_get();
    int rc = he_wide_sample_cbd(rng, s);
    if (rc != 0) {
        return rc;
    }
    for (int p = 0; p < RING_WIDE_PRIMES; p++) {
        const struct kern_ntt *ring = ring_wide_get((enum ring_wide_prime)p);
        ops->mul(s->a[p], x[p], s->mask[p], N, &ring->modulus);
        ops->ntt_inv(s->a[p], ring);
        ops->add_small(s->a[p], s->small, N, &ring->modulus);
    }
    kern_wide_join2(s->wide, s->a[0], s->a[1], N, ring_wide_join());
    return 0;
}

int he_wide_bfv_encrypt(const struct he_bfv_set *set, const struct he_wide_public_key *key,
                        struct secret_rng *rng, size_t used, uint8_t *c0, uint8_t *c1,
                        struct he_wide_scratch *s)
{
    struct kern_wide_step step;
    struct kern_wide_switch second;
    kern_wide_step_init(&step, ring_wide_join(), set->bits0, set->step, 0);
    kern_wide_switch_init(&second, ring_wide_join(), set->bits1);

    int rc = he_wide_sample_ternary(rng, s);
    if (rc != 0) {
        return rc;
    }
    he_wide_forward(s->mask, s->small, RING_WIDE_PRIMES);
    rc = mask(key->b_hat, rng, s);
    if (rc != 0) {
        return rc;
    }
    kern_wide_switch(s->wide, used, &step.mask);
    kern_wide_add_step(s->wide, s->message, used, &step);
    kern_wide_pack(c0, s->wide, used, set->bits0);

    rc = mask(key->a_hat, rng, s);
    if (rc != 0) {
        return rc;
    }
    kern_wide_switch(s->wide, N, &second);
    kern_wide_pack(c1, s->wide, N, set->bits1);
    return 0;
}

/* Honest noise of that many ciphertexts in units of 2^-KERN_FRACTION_BITS: one more for the
 * fraction that opening cuts off, one for rounding up. Below D/2, so below 2^60. */
static uint64_t distance_limit(const struct he_bfv_set *set, uint32_t contributors)
{
    double k = he_noise_tail(set->failure_log2);
    double noise = he_noise_bfv_in(&he_noise_wide, contributors, set->bits0, set->bits1, k);
    double distance = ldexp(noise / he_noise_wide.modulus, (int)set->bits0);
    return (uint64_t)ldexp(distance, KERN_FRACTION_BITS) + 2;
}

/* s->product = c1, centred, times the secret */
static void times_secret(const struct he_bfv_set *set, const struct he_wide_secret_key *key,
                         const uint8_t *c1, struct he_wide_scratch *s)
{
    const struct kern_ops *ops = kern_get();
    kern_wide_unpack(s->wide, c1, N, set->bits1);
    for (int p = 0; p < RING_WIDE_ALL_PRIMES; p++) {
        const struct kern_ntt *ring = ring_wide_get((enum ring_wide_prime)p);
        kern_wide_lift_field(s->a[p], s->wide, set->bits1, N, &ring->modulus);
        ops->ntt_fwd(s->a[p], ring);
        ops->mul(s->a[p], s->a[p], key->hat[p], N, &ring->modulus);
        ops->ntt_inv(s->a[p], ring);
    }
    kern_wide_join3(s->product, s->a[0], s->a[1], s->a[2], N, ring_wide_join());
}

uint64_t he_wide_bfv_open(const struct he_bfv_set *set, const struct he_wide_secret_key *key,
                          uint32_t contributors, size_t used, const uint8_t *c0,
                          const uint8_t *c1, struct he_wide_scratch *s)
{
    struct kern_wide_step step;
    kern_wide_step_init(&step, ring_wide_join(), set->bits0, set->step,
                        distance_limit(set, contributors));
    times_secret(set, key, c1, s);
    kern_wide_unpack(s->wide, c0, used, set->bits0);
    return kern_wide_open_torus(s->message, s->wide, s->product, set->bits1, used, &step);
}
