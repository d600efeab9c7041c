/* SPDX-License-Identifier: Apache-2.0 */
/* The transform tables of the two primes, generated at first use. */
#include "ring.h"

#include <pthread.h>

#include "modulus.h"
#include "ring_build.h"

_Static_assert(RING_Q_VALUE % (UINT64_C(4) * RING_DEGREE) == 1, "q = 1 mod 4N");
_Static_assert(RING_Q2_VALUE % (UINT64_C(4) * RING_DEGREE) == 1, "q2 = 1 mod 4N");

struct table {
    _Alignas(64) uint64_t roots[RING_DEGREE];
    uint64_t roots_shoup[RING_DEGREE];
    uint64_t inverse[RING_DEGREE];
    uint64_t inverse_shoup[RING_DEGREE];
    double roots_real[RING_DEGREE], roots_ratio[RING_DEGREE];
    double inverse_real[RING_DEGREE], inverse_ratio[RING_DEGREE];
};

static struct table tables[RING_PRIMES];
static struct kern_ntt transforms[RING_PRIMES];
static struct kern_crt crt;
static pthread_once_t built = PTHREAD_ONCE_INIT;

static void build_transform(struct kern_ntt *t, struct table *table, uint64_t q)
{
    const struct ring_memory memory = {
        .roots = table->roots,
        .roots_shoup = table->roots_shoup,
        .inverse = table->inverse,
        .inverse_shoup = table->inverse_shoup,
        .roots_real = table->roots_real,
        .roots_ratio = table->roots_ratio,
        .inverse_real = table->inverse_real,
        .inverse_ratio = table->inverse_ratio,
    };
    ring_build(t, &memory, RING_DEGREE, q);
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
