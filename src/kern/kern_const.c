/* SPDX-License-Identifier: Apache-2.0 */
/* Constants that kernels are given: reciprocals of public moduli. Divisions here are by and of
 * public numbers. */
#include "kern.h"

#include "kern_math.h"

bool kern_modulus_init(struct kern_modulus *out, uint64_t q)
{
    if (q <= UINT64_C(1) << 49 || q >= UINT64_C(1) << 50) {
        return false;
    }
    out->q = q;
    out->barrett = (uint64_t)(((kern_u128)1 << 112) / q);
    return true;
}

void kern_ntt_real(double *real, double *ratio, const uint64_t *words, size_t n, uint64_t q)
{
    for (size_t k = 0; k < n; k++) {
        int64_t w = (int64_t)words[k];
        real[k] = (double)(words[k] > q / 2 ? w - (int64_t)q : w); /* exact: below 2^49 */
        ratio[k] = real[k] / (double)q;
    }
}

void kern_switch_init(struct kern_switch *out, const struct kern_modulus *m, unsigned bits)
{
    out->q = m->q;
    out->bits = bits;
    out->quotient = (uint64_t)(((kern_u128)1 << (bits + 63)) / m->q);
}

bool kern_lanes_init(struct kern_lanes *out, unsigned lanes, uint64_t radix)
{
    const uint64_t end = UINT64_C(1) << 50;
    if (lanes < 1 || radix < 3 || radix % 2 == 0 || radix >= end) {
        return false;
    }
    uint64_t power = 1;
    for (unsigned j = 0; j < lanes; j++) {
        if (power > (end - 1) / radix) {
            return false;
        }
        power *= radix;
    }
    out->lanes = lanes;
    out->radix = radix;
    out->recip = (uint64_t)(((kern_u128)1 << 64) / radix);
    out->digit_half = (radix - 1) / 2;
    out->half = (power - 1) / 2;
    return true;
}

void kern_plain_init(struct kern_plain *out, const struct kern_modulus *m, uint64_t t)
{
    out->t = t;
    out->delta = m->q / t;
    out->rest = m->q % t;
    out->rest_shoup = (uint64_t)(((kern_u128)out->rest << 64) / t);
}

void kern_step_init(struct kern_step *out, const struct kern_modulus *m, unsigned bits,
                    uint64_t step, uint64_t limit)
{
    kern_switch_init(&out->mask, m, bits);
    out->fraction = (uint64_t)(((kern_u128)1 << (KERN_FRACTION_BITS + 63)) / m->q);
    out->step = step;
    out->recip = (uint64_t)(((kern_u128)1 << 64) / (2 * step));
    out->offset = (UINT64_C(1) << (bits - 1)) / step + 1;
    out->limit = limit;
}
