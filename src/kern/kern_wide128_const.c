/* SPDX-License-Identifier: Apache-2.0 */
/* Constants for the kernels of kern_wide128.c. Divisions here are by and of public numbers. */
#include "kern_wide128.h"

static const kern_u128 one = 1;

/* floor(2^exponent / d) where that is below 2^128, by hand: 2^exponent has more bits than a word */
static kern_u128 power_over(unsigned exponent, kern_u128 d)
{
    kern_u128 quotient = 0, rest = 1; /* rest < d */
    for (unsigned i = 0; i < exponent; i++) {
        rest *= 2; /* below 2^128: d is at most 2^127 */
        quotient *= 2;
        if (rest >= d) {
            rest -= d;
            quotient++;
        }
    }
    return quotient;
}

void kern_wide_switch_init(struct kern_wide_switch *out, const struct kern_wide_join *join,
                           unsigned bits)
{
    out->q = (kern_u128)join->two.q1 * join->two.q2;
    out->bits = bits;
    out->quotient = power_over(bits + 101, out->q);
}

bool kern_wide_lanes_init(struct kern_wide_lanes *out, unsigned lanes, uint64_t radix)
{
    const kern_u128 end = one << 99;
    if (lanes < 1 || lanes > 64 || radix < 3 || radix % 2 == 0 || radix >= UINT64_C(1) << 50) {
        return false;
    }
    kern_u128 power = 1;
    for (unsigned j = 0; j < lanes; j++) {
        if (power > (end - 1) / radix) {
            return false;
        }
        power *= radix;
    }
    out->lanes = lanes;
    out->radix = radix;
    out->recip = power_over(128, radix);
    out->recip64 = (uint64_t)power_over(64, radix);
    out->wide = 0;
    for (kern_u128 left = power - 1; out->wide + 1 < lanes && left >> 63 != 0; left /= radix) {
        out->wide++;
    }
    out->digit_half = (radix - 1) / 2;
    out->half = (power - 1) / 2;
    return true;
}

kern_u128 kern_wide_step_of(const struct kern_wide_lanes *lanes, unsigned bits)
{
    return (one << bits) / (2 * lanes->half + 1);
}

void kern_wide_step_init(struct kern_wide_step *out, const struct kern_wide_join *join,
                         unsigned bits, uint64_t step, uint64_t limit)
{
    out->offset = (one << (bits - 1)) / step + 1;
    kern_wide_switch_init(&out->mask, join, bits);
    out->quotient = power_over(bits + KERN_FRACTION_BITS + 101, out->mask.q);
    out->step = step;
    out->recip = power_over(128, 2 * (kern_u128)step);
    out->limit = limit;
}
