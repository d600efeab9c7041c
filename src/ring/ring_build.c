/* SPDX-License-Identifier: Apache-2.0 */
/* Filling transform tables. Everything here is public. */
#include "ring_build.h"

#include "bit_reverse.h"
#include "modulus.h"

void ring_fill_powers(uint64_t *words, uint64_t *shoup, uint64_t root, size_t n, uint64_t q)
{
    uint64_t power = 1;
    for (size_t k = 0; k < n; k++) {
        size_t at = bit_reverse(k, n);
        words[at] = power;
        shoup[at] = modulus_shoup(power, q);
        power = modulus_mul(power, root, q);
    }
}

void ring_build(struct kern_ntt *t, const struct ring_memory *memory, size_t n, uint64_t q)
{
    uint64_t psi = modulus_smallest_root(2 * n, q);
    ring_fill_powers(memory->roots, memory->roots_shoup, psi, n, q);
    ring_fill_powers(memory->inverse, memory->inverse_shoup, modulus_inverse(psi, q), n, q);
    kern_ntt_real(memory->roots_real, memory->roots_ratio, memory->roots, n, q);
    kern_ntt_real(memory->inverse_real, memory->inverse_ratio, memory->inverse, n, q);
    /* the primes of this part lie in range: their tests look */
    (void)kern_modulus_init(&t->modulus, q);
    t->n = n;
    t->roots = memory->roots;
    t->roots_shoup = memory->roots_shoup;
    t->inverse = memory->inverse;
    t->inverse_shoup = memory->inverse_shoup;
    t->roots_real = memory->roots_real;
    t->roots_ratio = memory->roots_ratio;
    t->inverse_real = memory->inverse_real;
    t->inverse_ratio = memory->inverse_ratio;
    t->n_inverse = modulus_inverse(n, q);
    t->n_inverse_shoup = modulus_shoup(t->n_inverse, q);
}
