/* SPDX-License-Identifier: Apache-2.0 */
/* Number theory on public moduli, with 128-bit division: plain and exact. */
#include "modulus.h"

#include <stddef.h>

#include "kern_math.h"

uint64_t modulus_mul(uint64_t a, uint64_t b, uint64_t q)
{
    return (uint64_t)((kern_u128)a * b % q);
}

uint64_t modulus_pow(uint64_t base, uint64_t exponent, uint64_t q)
{
    uint64_t result = 1;
    base %= q;
    for (; exponent > 0; exponent >>= 1) {
        if (exponent & 1) {
            result = modulus_mul(result, base, q);
        }
        base = modulus_mul(base, base, q);
    }
    return result;
}

uint64_t modulus_inverse(uint64_t a, uint64_t q)
{
    return modulus_pow(a, q - 2, q); /* Fermat */
}

/* Does the base show that n (odd, n - 1 = odd_part 2^twos) is composite? */
static bool is_witness(uint64_t base, uint64_t n, uint64_t odd_part, unsigned twos)
{
    uint64_t x = modulus_pow(base, odd_part, n);
    if (x == 1 || x == n - 1) {
        return false;
    }
    for (unsigned i = 1; i < twos; i++) {
        x = modulus_mul(x, x, n);
        if (x == n - 1) {
            return false;
        }
    }
    return true;
}

bool modulus_is_prime(uint64_t n)
{
    static const uint64_t bases[] = {2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37};
    if (n < 2) {
        return false;
    }
    for (size_t i = 0; i < sizeof bases / sizeof bases[0]; i++) {
        if (n % bases[i] == 0) {
            return n == bases[i];
        }
    }
    unsigned twos = (unsigned)__builtin_ctzll(n - 1);
    for (size_t i = 0; i < sizeof bases / sizeof bases[0]; i++) {
        if (is_witness(bases[i], n, (n - 1) >> twos, twos)) {
            return false;
        }
    }
    return true;
}

uint64_t modulus_next_prime(uint64_t above, uint64_t step)
{
    const uint64_t end = UINT64_C(1) << 62;
    if (above >= end || step >= end) {
        return 0;
    }
    uint64_t n = above / step * step + 1;
    if (n <= above) {
        n += step;
    }
    while (n < end && !modulus_is_prime(n)) {
        n += step;
    }
    return n < end ? n : 0;
}

uint64_t modulus_smallest_root(uint64_t order, uint64_t q)
{
    /* x^((q-1)/order) has an order that divides `order`; it is exactly that if its order/2-th
     * power is -1. Half of all x will do. */
    uint64_t root = 0;
    for (uint64_t x = 2; root == 0; x++) {
        uint64_t candidate = modulus_pow(x, (q - 1) / order, q);
        if (modulus_pow(candidate, order / 2, q) == q - 1) {
            root = candidate;
        }
    }
    /* All primitive roots are its odd powers. */
    uint64_t square = modulus_mul(root, root, q), smallest = root;
    for (uint64_t i = 1; i < order / 2; i++) {
        root = modulus_mul(root, square, q);
        if (root < smallest) {
            smallest = root;
        }
    }
    return smallest;
}

uint64_t modulus_shoup(uint64_t w, uint64_t q)
{
    return (uint64_t)(((kern_u128)w << 64) / q);
}
