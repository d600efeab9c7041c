/* SPDX-License-Identifier: Apache-2.0 */
/* The transform tables of the wide ring, generated at first use. */
#include "ring_wide.h"

#include <pthread.h>

#include "modulus.h"
#include "ring_build.h"

_Static_assert(RING_WIDE_Q1_VALUE % (UINT64_C(4) * RING_WIDE_DEGREE) == 1, "q1 = 1 mod 4N");
_Static_assert(RING_WIDE_Q2_VALUE % (UINT64_C(4) * RING_WIDE_DEGREE) == 1, "q2 = 1 mod 4N");
_Static_assert(RING_WIDE_Q3_VALUE % (UINT64_C(4) * RING_WIDE_DEGREE) == 1, "q3 = 1 mod 4N");

enum { N = RING_WIDE_DEGREE };

struct table {
    _Alignas(64) uint64_t words[4][N];
    double reals[4][N];
};

static struct table tables[RING_WIDE_ALL_PRIMES];
static struct kern_ntt transforms[RING_WIDE_ALL_PRIMES];
static struct kern_wide_join join;
static pthread_once_t built = PTHREAD_ONCE_INIT;

static void build_join(void)
{
    const uint64_t q1 = RING_WIDE_Q1_VALUE, q2 = RING_WIDE_Q2_VALUE, q3 = RING_WIDE_Q3_VALUE;
    join.two.q1 = q1;
    join.two.q2 = q2;
    join.two.inverse = modulus_inverse(q1 % q2, q2);
    join.two.inverse_shoup = modulus_shoup(join.two.inverse, q2);
    join.q3 = q3;
    join.q1_mod_q3 = q1 % q3;
    join.q1_mod_q3_shoup = modulus_shoup(join.q1_mod_q3, q3);
    join.inverse3 = modulus_inverse(modulus_mul(q1 % q3, q2 % q3, q3), q3);
    join.inverse3_shoup = modulus_shoup(join.inverse3, q3);
}

static void build(void)
{
    static const uint64_t primes[] = {RING_WIDE_Q1_VALUE, RING_WIDE_Q2_VALUE, RING_WIDE_Q3_VALUE};
    for (int p = 0; p < RING_WIDE_ALL_PRIMES; p++) {
        struct table *t = &tables[p];
        const struct ring_memory memory = {
            .roots = t->words[0],
            .roots_shoup = t->words[1],
            .inverse = t->words[2],
            .inverse_shoup = t->words[3],
            .roots_real = t->reals[0],
            .roots_ratio = t->reals[1],
            .inverse_real = t->reals[2],
            .inverse_ratio = t->reals[3],
        };
        ring_build(&transforms[p], &memory, N, primes[p]);
    }
    build_join();
}

const struct kern_ntt *ring_wide_get(enum ring_wide_prime which)
{
    pthread_once(&built, build);
    return &transforms[which];
}

const struct kern_wide_join *ring_wide_join(void)
{
    pthread_once(&built, build);
    return &join;
}
