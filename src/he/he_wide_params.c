/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wide half of the chooser: N = 4096, q of 100 bits. As he_params.c: first the lanes that take
 * the fewest bits per value with a failure bound of 2^-64; then, with those lanes, the fewest
 * bits that reach 2^-128, or those of the first step where none do.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "he_choice.h"
#include "he_layout.h"
#include "he_noise.h"
#include "he_wide.h"

enum { MAX_WIRE_BITS = RING_WIDE_Q_BITS }; /* more would carry nothing */

/* D = floor(2^bits / r^L); 0 where it is not one that the kernels take */
static uint64_t step_of(const struct kern_wide_lanes *lanes, unsigned bits)
{
    const kern_u128 step = kern_wide_step_of(lanes, bits);
    return step <= (kern_u128)1 << 40 ? (uint64_t)step : 0;
}

/* ---- payload of a capsule ---- */

struct step_choice {
    unsigned lanes;
    unsigned bits;
    uint64_t step;
    double failure;
};

/* As in he_params.c: log2 of the chance that the opening of a wrong set passes. */
static double wrong_set_log2(uint32_t n, unsigned bits, uint64_t step, double target)
{
    double reach = he_noise_payload_in(&he_noise_wide, n, bits, he_noise_tail(target));
    return RING_WIDE_DEGREE * log2(2 * reach / (double)step);
}

static bool choose_step_bits(uint32_t n, const struct kern_wide_lanes *lanes, double target,
                             struct step_choice *out)
{
    for (unsigned bits = 1; bits <= MAX_WIRE_BITS; bits++) {
        const uint64_t step = step_of(lanes, bits);
        if (step <= n) {
            continue; /* rounding alone may reach half of it */
        }
        /* correct iff n/2 + |E| 2^K / q < D/2 */
        double room = ((double)step - n) / 2 * ldexp(he_noise_wide.modulus, -(int)bits);
        double failure = he_noise_payload_failure(n, room);
        if (failure <= target && wrong_set_log2(n, bits, step, target) <= -128) {
            *out = (struct step_choice){lanes->lanes, bits, step, failure};
            return true;
        }
    }
    return false;
}

/* Equal bits per value: more lanes, so fewer polynomials. */
static bool choose_step(uint32_t n, uint64_t radix, double target, double floor_target,
                        struct step_choice *out)
{
    struct kern_wide_lanes lanes;
    bool found = false;
    for (unsigned l = 1; kern_wide_lanes_init(&lanes, l, radix); l++) {
        struct step_choice c;
        if (choose_step_bits(n, &lanes, floor_target, &c) &&
            (!found || c.bits * out->lanes <= out->bits * c.lanes)) {
            *out = c;
            found = true;
        }
    }
    struct step_choice better;
    if (found && kern_wide_lanes_init(&lanes, out->lanes, radix) &&
        choose_step_bits(n, &lanes, target, &better)) {
        *out = better;
    }
    return found;
}

/* ---- public-key encryption ---- */

static double bfv_bits_per_value(unsigned lanes, bool capsule_key, unsigned bits0, unsigned bits1)
{
    if (capsule_key) {
        size_t used = he_key_coefficients_of(RING_WIDE_DEGREE, lanes);
        return (double)(used * bits0) / RING_WIDE_DEGREE + bits1;
    }
    return (double)(bits0 + bits1) / lanes;
}

struct bfv_choice {
    struct he_bfv_set set;
    double bits_per_value;
};

static bool bfv_set_of(uint32_t n, const struct kern_wide_lanes *lanes, unsigned bits0,
                       unsigned bits1, double target, struct he_bfv_set *out)
{
    const uint64_t step = step_of(lanes, bits0);
    const double room = (double)step / 2 * ldexp(he_noise_wide.modulus, -(int)bits0);
    const double failure = he_noise_bfv_failure_in(&he_noise_wide, n, bits0, bits1, room);
    *out = (struct he_bfv_set){
        .lanes = lanes->lanes,
        .radix = lanes->radix,
        .bits0 = bits0,
        .bits1 = bits1,
        .failure_log2 = failure,
        .step = step,
    };
    return step > 0 && failure <= target;
}

/*
 * The cheapest K0, K1 at or below `target`; of equally cheap ones the safest. The fewer bits of
 * c1, the more c0 needs: one walk down K1 and up K0 sees every pair that is least in both.
 */
static bool choose_bfv_bits(uint32_t n, const struct kern_wide_lanes *lanes, bool capsule_key,
                            double target, struct bfv_choice *out)
{
    bool found = false;
    unsigned bits0 = 1;
    for (unsigned bits1 = MAX_WIRE_BITS; bits1 >= 1; bits1--) {
        struct he_bfv_set set;
        while (bits0 <= MAX_WIRE_BITS && !bfv_set_of(n, lanes, bits0, bits1, target, &set)) {
            bits0++;
        }
        if (bits0 > MAX_WIRE_BITS) {
            break;
        }
        double cost = bfv_bits_per_value(lanes->lanes, capsule_key, bits0, bits1);
        if (!found || cost < out->bits_per_value ||
            (cost <= out->bits_per_value && set.failure_log2 < out->set.failure_log2)) {
            *out = (struct bfv_choice){set, cost};
            found = true;
        }
    }
    return found;
}

static bool choose_bfv(uint32_t n, uint64_t radix, bool capsule_key, double target,
                       double floor_target, struct he_bfv_set *out)
{
    struct kern_wide_lanes lanes;
    struct bfv_choice best = {.bits_per_value = INFINITY}, c;
    for (unsigned l = 1; kern_wide_lanes_init(&lanes, l, radix); l++) {
        if (choose_bfv_bits(n, &lanes, capsule_key, floor_target, &c) &&
            c.bits_per_value <= best.bits_per_value) {
            best = c;
        }
    }
    if (best.set.lanes == 0) {
        return false;
    }
    if (kern_wide_lanes_init(&lanes, best.set.lanes, radix) &&
        choose_bfv_bits(n, &lanes, capsule_key, target, &c)) {
        best = c;
    }
    *out = best.set;
    return true;
}

/* ---- the profiles ---- */

static bool fill_bfv(struct he_params *p)
{
    if (!choose_bfv(p->max_contributors, p->radix, false, -128, -64, &p->bfv)) {
        return false;
    }
    p->lanes = p->bfv.lanes;
    p->failure_log2 = p->bfv.failure_log2;
    p->bits_per_param = bfv_bits_per_value(p->lanes, false, p->bfv.bits0, p->bfv.bits1);
    (void)snprintf(p->id, sizeof p->id, "bfv-%zu-%d-b%u-n%u-L%u-K%u+%u", p->degree,
                   RING_WIDE_Q_BITS, p->value_bits, p->max_contributors, p->lanes, p->bfv.bits0,
                   p->bfv.bits1);
    return true;
}

static bool fill_capsule(struct he_params *p)
{
    const uint32_t n = p->max_contributors;
    struct step_choice c;
    if (!choose_step(n, p->radix, -129, -65, &c) ||
        !choose_bfv(n, UINT64_C(2) * n * HE_KEY_MAGNITUDE + 1, true, -129, -65, &p->bfv)) {
        return false;
    }
    p->lanes = c.lanes;
    p->bits = c.bits;
    p->step = c.step;
    p->failure_log2 = log2(exp2(c.failure) + exp2(p->bfv.failure_log2));
    p->bits_per_param = (double)c.bits / c.lanes;
    (void)snprintf(p->id, sizeof p->id, "capsule-%zu-%d-b%u-n%u-L%u-K%u-key-L%u-K%u+%u",
                   p->degree, RING_WIDE_Q_BITS, p->value_bits, n, p->lanes, p->bits, p->bfv.lanes,
                   p->bfv.bits0, p->bfv.bits1);
    return true;
}

int he_choose_wide(enum he_profile profile, unsigned value_bits, uint32_t contributors,
                   struct he_params *p)
{
    memset(p, 0, sizeof *p);
    p->profile = profile;
    p->value_bits = value_bits;
    p->max_contributors = contributors;
    p->degree = RING_WIDE_DEGREE;
    p->modulus = RING_WIDE_Q1_VALUE;
    p->modulus2 = RING_WIDE_Q2_VALUE;
    p->radix = UINT64_C(2) * contributors * he_value_limit(value_bits) + 1;
    if (!(profile == HE_BFV ? fill_bfv(p) : fill_capsule(p))) {
        return -1;
    }
    p->chunk_params = p->degree * p->lanes;
    return 0;
}
