/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KERN_KERN_PRIME_H
#define KERN_KERN_PRIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Packed fields modulo a prime, as kern_ops.add_packed has them modulo 2^bits: fields of `bits`
 * bits, the length of q, the low bit first; `size` bytes hold whole fields; any alignment.
 * Public. 2 <= q < 2^62. Built on the table's pack_bits and unpack_bits.
 */

/** sum += in, field by field mod q, for fields below q. (With others the sum is meaningless, and
 * nothing worse.) */
void kern_prime_add_packed(uint8_t *sum, const uint8_t *in, size_t size, unsigned bits, uint64_t q);
/** Is every field below q? @param[out] at  the first that is not */
bool kern_prime_check_packed(const uint8_t *in, size_t size, unsigned bits, uint64_t q, size_t *at);

#endif
