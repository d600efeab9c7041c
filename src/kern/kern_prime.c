/* SPDX-License-Identifier: Apache-2.0 */
/* Fields modulo a prime, a block at a time: unpacked, worked on, and packed again, all in the first
 * level of the cache. */
#include "kern_prime.h"

#include "kern.h"
#include "kern_math.h"

enum { BLOCK = 512 }; /* fields; a multiple of 8, so a block is whole bytes */

static size_t block_bytes(size_t fields, unsigned bits)
{
    return fields / 8 * bits + fields % 8 * bits / 8;
}

void kern_prime_add_packed(uint8_t *sum, const uint8_t *in, size_t size, unsigned bits, uint64_t q)
{
    const struct kern_ops *ops = kern_get();
    _Alignas(64) uint64_t a[BLOCK], b[BLOCK];
    const size_t count = size * 8 / bits;
    for (size_t done = 0; done < count; done += BLOCK) {
        const size_t n = count - done < BLOCK ? count - done : BLOCK;
        const size_t bytes = block_bytes(n, bits);
        ops->unpack_bits(a, sum, n, bits);
        ops->unpack_bits(b, in, n, bits);
        for (size_t i = 0; i < n; i++) {
            /* the mask keeps a lie within its field */
            a[i] = kern_reduce_once(a[i] + b[i], q) & kern_mask_bits(bits);
        }
        ops->pack_bits(sum, a, n, bits);
        sum += bytes;
        in += bytes;
    }
}

bool kern_prime_check_packed(const uint8_t *in, size_t size, unsigned bits, uint64_t q, size_t *at)
{
    _Alignas(64) uint64_t a[BLOCK];
    const size_t count = size * 8 / bits;
    for (size_t done = 0; done < count; done += BLOCK) {
        const size_t n = count - done < BLOCK ? count - done : BLOCK;
        uint64_t over = 0;
        kern_get()->unpack_bits(a, in, n, bits);
        for (size_t i = 0; i < n; i++) {
            over |= q - 1 - a[i];
        }
        for (size_t i = 0; over >> 63 != 0 && i < n; i++) {
            if (a[i] >= q) {
                *at = done + i;
                return false;
            }
        }
        in += block_bytes(n, bits);
    }
    return true;
}
