/* SPDX-License-Identifier: Apache-2.0 */
/* Two functions that do what must never be done. A check that lets one of them pass is worth
 * nothing; the x >= q ? x - q : x that one would think of first is compiled without a branch from
 * -O1 on, and would show nothing. */
#include "ct.h"

/* The moment of the return tells where the first difference is. */
__attribute__((noinline)) static size_t first_difference(const uint8_t *a, const uint8_t *b,
                                                         size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (a[i] != b[i]) {
            return i;
        }
        __asm__ volatile("" ::: "memory"); /* one byte after the other */
    }
    return size;
}

__attribute__((noinline)) static uint8_t look_up(const uint8_t table[256], uint8_t secret)
{
    return table[secret];
}

static volatile size_t sink;

void ct_planted_branch(void)
{
    uint8_t secret[32], guess[32];
    ct_random_bytes(secret, sizeof secret);
    ct_random_bytes(guess, sizeof guess);
    ct_hide(secret, sizeof secret);
    sink = first_difference(secret, guess, sizeof secret);
}

void ct_planted_index(void)
{
    uint8_t table[256], secret = 77;
    ct_random_bytes(table, sizeof table);
    ct_hide(&secret, sizeof secret);
    sink = look_up(table, secret);
}
