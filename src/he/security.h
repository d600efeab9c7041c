/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HE_SECURITY_H
#define HE_SECURITY_H

#include <stddef.h>
#include <stdint.h>

/** What is known about the hardness of a ring, from tables; nothing is computed here but a
 * look-up. */

enum { SECURITY_MARGIN_BITS = 3 };

/**
 * Largest bit length of q that the 2024 guidelines allow at 128 bits (classical, ternary secret).
 * @return 0 for a degree that is not in the table
 */
unsigned security_largest_modulus_bits(size_t degree);

/** Bit length of q = modulus, or of modulus * modulus2 where that is not 0. */
unsigned security_modulus_bits(uint64_t modulus, uint64_t modulus2);

/** Bits between log2 q and that limit: limit - bit length of q; negative above it or off the
 * table. */
int security_margin_bits(size_t degree, uint64_t modulus);

/** Estimates in bits (log2 of the cheapest known attack, MATZOV's cost model). */
struct security_estimate {
    double public_key; /* ternary secret, CBD21 error: public key and what is under it */
    /* CBD21 secret and error, after the sum with at least one other honest client is opened */
    double one_time_key;
};

/** @param modulus  q, or its first prime: one set has been estimated at each degree
 * @return 0, or -1 where nothing has been estimated; out untouched */
int security_estimate_of(size_t degree, uint64_t modulus, struct security_estimate *out);

#endif
