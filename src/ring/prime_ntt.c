/* SPDX-License-Identifier: Apache-2.0 */
/* Transforms modulo any prime below 2^61: 4q stays below 2^63, which is all that Harvey's lazy
 * butterflies ask for. */
#include "prime_ntt.h"

#include <stdlib.h>

#include <cairn/err.h>

#include "modulus.h"
#include "ring_build.h"
#include "sizes.h"

void prime_modulus_init(struct prime_modulus *out, uint64_t q)
{
    out->q = q;
    out->bits = 64 - (unsigned)__builtin_clzll(q);
    out->mu = (uint64_t)(((kern_u128)1 << (2 * out->bits)) / q);
}

/* The powers of a root, and Shoup's companions n words further on. */
static uint64_t *power_table(uint64_t root, size_t n, uint64_t q)
{
    uint64_t *table = size_alloc_array(2 * n, sizeof *table);
    if (table != NULL) {
        ring_fill_powers(table, table + n, root, n, q);
    }
    return table;
}

int prime_ntt_init(struct prime_ntt *out, size_t n, uint64_t q)
{
    struct prime_ntt t = {.n = n};
    prime_modulus_init(&t.m, q);
    t.one_shoup = modulus_shoup(1, q);
    t.psi = modulus_smallest_root(2 * n, q);
    t.n_inverse = modulus_inverse(n % q, q);
    t.n_inverse_shoup = modulus_shoup(t.n_inverse, q);
    t.roots = power_table(t.psi, n, q);
    t.inverse = power_table(modulus_inverse(t.psi, q), n, q);
    if (t.roots == NULL || t.inverse == NULL) {
        prime_ntt_release(&t);
        return CAIRN_ERR_NO_MEMORY;
    }
    *out = t;
    return 0;
}

void prime_ntt_release(struct prime_ntt *t)
{
    free(t->roots);
    free(t->inverse);
    *t = (struct prime_ntt){0};
}

void prime_ntt_forward(uint64_t *a, const struct prime_ntt *t)
{
    const uint64_t q = t->m.q;
    size_t half = t->n / 2;
    /* words in [0, 4q) at the head of each round */
    for (size_t blocks = 1; blocks < t->n; blocks *= 2, half /= 2) {
        for (size_t b = 0; b < blocks; b++) {
            const uint64_t w = t->roots[blocks + b], ws = t->roots[t->n + blocks + b];
            uint64_t *x = a + 2 * half * b, *y = x + half;
            for (size_t i = 0; i < half; i++) {
                uint64_t u = kern_reduce_once(x[i], 2 * q);       /* [0, 2q) */
                uint64_t v = kern_mul_shoup_lazy(y[i], w, ws, q); /* [0, 2q) */
                x[i] = u + v;
                y[i] = u + 2 * q - v;
            }
        }
    }
    for (size_t i = 0; i < t->n; i++) {
        a[i] = kern_reduce_once(kern_reduce_once(a[i], 2 * q), q);
    }
}

void prime_ntt_backward(uint64_t *a, const struct prime_ntt *t)
{
    const uint64_t q = t->m.q;
    size_t half = 1;
    /* words in [0, 2q) at the head of each round */
    for (size_t blocks = t->n / 2; blocks >= 1; blocks /= 2, half *= 2) {
        for (size_t b = 0; b < blocks; b++) {
            const uint64_t w = t->inverse[blocks + b], ws = t->inverse[t->n + blocks + b];
            uint64_t *x = a + 2 * half * b, *y = x + half;
            for (size_t i = 0; i < half; i++) {
                uint64_t u = x[i], v = y[i];
                x[i] = kern_reduce_once(u + v, 2 * q);
                y[i] = kern_mul_shoup_lazy(u + 2 * q - v, w, ws, q);
            }
        }
    }
    for (size_t i = 0; i < t->n; i++) {
        a[i] = prime_mul_shoup(a[i], t->n_inverse, t->n_inverse_shoup, q);
    }
}
