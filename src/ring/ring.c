/* SPDX-License-Identifier: Apache-2.0 */
/* The transform tables of the two primes, generated at first use from the smallest primitive 2N-th
 * root of unity, which is searched for and so needs no constant to be trusted. */
#include "ring.h"

#include <pthread.h>

#include "modulus.h"

enum { LOG_DEGREE = 11 };
_Static_assert(1 << LOG_DEGREE == RING_DEGREE, "N = 2^LOG_DEGREE");
_Static_assert(RING_Q_VALUE % (UINT64_C(4) * RING_DEGREE) == 1, "q = 1 mod 4N");
_Static_assert(RING_Q2_VALUE % (UINT64_C(4) * RING_DEGREE) == 1, "q2 = 1 mod 4N");

struct table {
    _Alignas(64) uint64_t roots[RING_DEGREE];
    uint64_t roots_shoup[RING_DEGREE];
    uint64_t inverse[RING_DEGREE];
    uint64_t inverse_shoup[RING_DEGREE];
};

static struct table tables[RING_PRIMES];
static struct kern_ntt transforms[RING_PRIMES];
static struct kern_crt crt;
static pthread_once_t built = PTHREAD_ONCE_INIT;

static size_t bit_reverse(size_t k)
{
    size_t r = 0;
    for (unsigned i = 0; i < LOG_DEGREE; i++) {
        r |= (k >> i & 1) << (LOG_DEGREE - 1 - i);
    }
    return r;
}

/* words[k] = root^brv(k), and Shoup's companions */
static void fill_powers(uint64_t *words, uint64_t *shoup, uint64_t root, uint64_t q)
{
    uint64_t power = 1;
    for (size_t k = 0; k < RING_DEGREE; k++) {
        size_t at = bit_reverse(k);
        words[at] = power;
        shoup[at] = modulus_shoup(power, q);
        power = modulus_mul(power, root, q);
    }
}

static void build_transform(struct kern_ntt *t, struct table *table, uint64_t q)
{
    uint64_t psi = modulus_smallest_root(UINT64_C(2) * RING_DEGREE, q);
    fill_powers(table->roots, table->roots_shoup, psi, q);
    fill_powers(table->inverse, table->inverse_shoup, modulus_inverse(psi, q), q);
    /* both primes lie in range: test_ring__primes_are_what_they_should_be */
    (void)kern_modulus_init(&t->modulus, q);
    t->n = RING_DEGREE;
    t->roots = table->roots;
    t->roots_shoup = table->roots_shoup;
    t->inverse = table->inverse;
    t->inverse_shoup = table->inverse_shoup;
    t->n_inverse = modulus_inverse(RING_DEGREE, q);
    t->n_inverse_shoup = modulus_shoup(t->n_inverse, q);
}

static void build(void)
{
    build_transform(&transforms[RING_Q], &tables[RING_Q], RING_Q_VALUE);
    build_transform(&transforms[RING_Q2], &tables[RING_Q2], RING_Q2_VALUE);
    crt.q1 = RING_Q_VALUE;
    crt.q2 = RING_Q2_VALUE;
    crt.inverse = modulus_inverse(RING_Q_VALUE % RING_Q2_VALUE, RING_Q2_VALUE);
    crt.inverse_shoup = modulus_shoup(crt.inverse, crt.q2);
}

const struct kern_ntt *ring_get(enum ring_prime which)
{
    pthread_once(&built, build);
    return &transforms[which];
}

const struct kern_crt *ring_crt(void)
{
    pthread_once(&built, build);
    return &crt;
}
