/* SPDX-License-Identifier: Apache-2.0 */
/* Encryptions of zero, and their phases. */
#include "rlwe.h"

#include <string.h>

#include "he_sample.h"
#include "secret.h"

void rlwe_scratch_release(struct rlwe_scratch *s)
{
    secret_free(s->poly);
    secret_free(s->pair);
    secret_free(s->work);
    secret_free(s->small);
    secret_free(s->random);
    *s = (struct rlwe_scratch){0};
}

int rlwe_scratch_init(struct rlwe_scratch *s, const struct rns_ring *ring, unsigned level)
{
    const size_t n = ring->n;
    *s = (struct rlwe_scratch){.n = n, .level = level};
    s->poly = secret_alloc(8 * n * level);
    s->pair = secret_alloc(16 * n * level);
    s->work = secret_alloc(8 * n);
    s->small = secret_alloc(4 * n);
    s->random = secret_alloc(6 * n);
    if (s->poly == NULL || s->pair == NULL || s->work == NULL || s->small == NULL ||
        s->random == NULL) {
        rlwe_scratch_release(s);
        return CAIRN_ERR_NO_MEMORY;
    }
    return 0;
}

static void lift_hat(const struct rns_ring *ring, unsigned level, const int32_t *small,
                     uint64_t *out)
{
    rns_lift_small(ring, level, small, out);
    rns_forward(ring, level, out);
}

int rlwe_secret(const struct rns_ring *ring, struct secret_rng *rng, uint64_t *key,
                struct rlwe_scratch *s)
{
    int rc = he_draw_ternary(rng, s->small, s->n, s->random);
    if (rc == 0) {
        lift_hat(ring, ring->primes, s->small, key);
    }
    return rc;
}

/* The sum is made in scratch memory: before the error is in, it would show the key. */
int rlwe_zero(const struct rns_ring *ring, unsigned level, const uint64_t *key, const uint64_t *a,
              bool hat, struct secret_rng *rng, struct rlwe_scratch *s)
{
    int rc = he_draw_cbd(rng, s->small, s->n, s->random);
    if (rc != 0) {
        return rc;
    }
    memcpy(s->pair, a, 8 * rns_words(ring, level));
    if (!hat) {
        rns_forward(ring, level, s->pair);
    }
    rns_mul(ring, level, s->poly, s->pair, key);
    if (hat) {
        lift_hat(ring, level, s->small, s->pair);
        rns_add(ring, level, s->poly, s->pair);
    } else {
        rns_backward(ring, level, s->poly);
        rns_add_small(ring, level, s->poly, s->small);
    }
    rns_neg(ring, level, s->poly);
    return 0;
}

/* c + e, divided where it is to be, transformed before; s->small is e. */
static void finish_half(const struct rns_ring *ring, unsigned level, bool hat, uint64_t *c,
                        struct rlwe_scratch *s)
{
    const bool divide = level < s->level;
    if (hat && divide) {
        rns_divide_round_hat(ring, s->level, c, s->small, s->work);
        return;
    }
    rns_backward(ring, s->level, c);
    rns_add_small(ring, s->level, c, s->small);
    if (divide) {
        rns_divide_round(ring, s->level, c);
    }
    if (hat) {
        rns_forward(ring, level, c);
    }
}

int rlwe_zero_public(const struct rns_ring *ring, unsigned level, const uint64_t *key, bool hat,
                     struct secret_rng *rng, struct rlwe_scratch *s)
{
    int rc = he_draw_ternary(rng, s->small, s->n, s->random);
    if (rc == 0) {
        lift_hat(ring, s->level, s->small, s->poly);
    }
    for (unsigned p = 0; rc == 0 && p < 2; p++) {
        uint64_t *c = s->pair + p * rns_words(ring, s->level);
        rc = he_draw_cbd(rng, s->small, s->n, s->random);
        if (rc == 0) {
            rns_mul(ring, s->level, c, key + p * rns_words(ring, ring->primes), s->poly);
            finish_half(ring, level, hat, c, s);
        }
    }
    return rc;
}

void rlwe_phase(const struct rns_ring *ring, unsigned level, const uint64_t *key,
                const uint64_t *pair, bool hat, uint64_t *x)
{
    const size_t half = rns_words(ring, level);
    memcpy(x, pair + half, 8 * half);
    if (!hat) {
        rns_forward(ring, level, x);
    }
    rns_mul(ring, level, x, x, key);
    if (!hat) {
        rns_backward(ring, level, x);
    }
    rns_add(ring, level, x, pair);
}
