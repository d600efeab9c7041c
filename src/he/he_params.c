/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parameter chooser: how many values share a coefficient, how many bits of it go on the wire,
 * and over which ring. Here is N = 2048 with q = RING_Q_VALUE, and the rule between the two rings
 * (he_choice.h); N = 4096 is in he_wide_params.c, and profile seal-ckks, which chooses nothing, in
 * he_ckks_params.c.
 *
 *   1. lanes L: the fewest bits per value with a failure bound of 2^-64;
 *   2. with that L the fewest bits that reach 2^-128, or if none do, those of step 1.
 *
 * A bound is over 2^40 opened coefficients. Profile capsule opens two things, and each gets half of
 * what may fail.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "digest.h"
#include "he_choice.h"
#include "he_ckks.h"
#include "he_layout.h"
#include "he_noise.h"
#include "modulus.h"
#include "ring_wide.h"
#include "security.h"

enum {
    MAX_WIRE_BITS = 50,  /* bit length of q: more would carry nothing */
    MAX_VALUE_BITS = 32, /* values are int32 */
    MAX_CONTRIBUTORS = 10000,
};

static const char *const profile_names[HE_PROFILES] = {"none", "bfv", "capsule", "seal-ckks"};

const char *he_profile_name(enum he_profile profile)
{
    return profile_names[profile];
}

int he_profile_from_name(const char *name, enum he_profile *out)
{
    for (int i = 0; i < HE_PROFILES; i++) {
        if (strcmp(name, profile_names[i]) == 0) {
            *out = (enum he_profile)i;
            return 0;
        }
    }
    return -1;
}

/* Radix that holds a sum of n numbers of at most this magnitude as a signed digit. */
static uint64_t radix_of(uint32_t n, uint64_t magnitude)
{
    return UINT64_C(2) * n * magnitude + 1;
}

static uint64_t power(uint64_t radix, unsigned lanes)
{
    uint64_t p = 1;
    for (unsigned j = 0; j < lanes; j++) {
        p *= radix;
    }
    return p;
}

/* ---- payload of a capsule ---- */

struct step_choice {
    unsigned lanes;
    unsigned bits;
    uint64_t step;
    double failure;
};

/*
 * log2 of the chance that the opening of a wrong set (another key, frame or list of contributors)
 * passes for honest: all N coefficients, then uniform in +-D/2, would have to lie where honest
 * noise may carry them.
 */
static double wrong_set_log2(uint32_t n, unsigned bits, uint64_t step, double target)
{
    double reach = he_noise_payload(n, bits, he_noise_tail(target));
    return RING_DEGREE * log2(2 * reach / (double)step);
}

/* The fewest bits for L lanes that keep the failure bound at or below `target`, and tell wrong
 * sets with 2^-128 from honest ones. */
static bool choose_step_bits(uint32_t n, uint64_t radix, unsigned lanes, double target,
                             struct step_choice *out)
{
    uint64_t span = power(radix, lanes);
    for (unsigned bits = 1; bits <= MAX_WIRE_BITS; bits++) {
        uint64_t step = (UINT64_C(1) << bits) / span;
        /* correct iff n/2 + |E| 2^K / q < D/2 */
        double room = ((double)step - n) / 2 * ldexp((double)RING_Q_VALUE, -(int)bits);
        double failure = he_noise_payload_failure(n, room);
        if (failure <= target && wrong_set_log2(n, bits, step, target) <= -128) {
            *out = (struct step_choice){lanes, bits, step, failure};
            return true;
        }
    }
    return false;
}

/* Equal bits per value: more lanes, so fewer polynomials. */
static bool choose_step(uint32_t n, uint64_t radix, double target, double floor_target,
                        struct step_choice *out)
{
    struct kern_lanes fits;
    bool found = false;
    for (unsigned lanes = 1; kern_lanes_init(&fits, lanes, radix); lanes++) {
        struct step_choice c;
        if (choose_step_bits(n, radix, lanes, floor_target, &c) &&
            (!found || c.bits * out->lanes <= out->bits * c.lanes)) {
            *out = c;
            found = true;
        }
    }
    struct step_choice better;
    if (found && choose_step_bits(n, radix, out->lanes, target, &better)) {
        *out = better;
    }
    return found;
}

/* ---- public-key BFV ---- */

/* Bits on the wire for one value, when a polynomial pair carries them: whole polynomials of values,
 * or (capsule_key) one key of N coefficients with the unused part of c0 left out. */
static double bfv_bits_per_value(unsigned lanes, bool capsule_key, unsigned bits0, unsigned bits1)
{
    if (capsule_key) {
        return (double)(he_key_coefficients(lanes) * bits0) / RING_DEGREE + bits1;
    }
    return (double)(bits0 + bits1) / lanes;
}

struct bfv_choice {
    struct he_bfv_set set;
    double bits_per_value;
};

/* The cheapest K0, K1 for L lanes at or below `target`; of equally cheap ones the safest. */
static bool choose_bfv_bits(uint32_t n, uint64_t radix, unsigned lanes, bool capsule_key,
                            double target, struct bfv_choice *out)
{
    uint64_t t = modulus_next_prime(power(radix, lanes), UINT64_C(2) * RING_DEGREE);
    if (t == 0 || t >= UINT64_C(1) << 49) {
        return false;
    }
    double room = (double)RING_Q_VALUE / (2 * (double)t);
    bool found = false;
    for (unsigned bits0 = 1; bits0 <= MAX_WIRE_BITS; bits0++) {
        for (unsigned bits1 = 1; bits1 <= MAX_WIRE_BITS; bits1++) {
            double failure = he_noise_bfv_failure(n, bits0, bits1, room);
            double cost = bfv_bits_per_value(lanes, capsule_key, bits0, bits1);
            if (failure > target || (found && cost > out->bits_per_value) ||
                (found && cost >= out->bits_per_value && failure >= out->set.failure_log2)) {
                continue;
            }
            out->set = (struct he_bfv_set){lanes, radix, t, bits0, bits1, failure, 0};
            out->bits_per_value = cost;
            found = true;
        }
    }
    return found;
}

static bool choose_bfv(uint32_t n, uint64_t radix, bool capsule_key, double target,
                       double floor_target, struct he_bfv_set *out)
{
    struct kern_lanes fits;
    struct bfv_choice best = {.bits_per_value = INFINITY}, c;
    for (unsigned lanes = 1; kern_lanes_init(&fits, lanes, radix); lanes++) {
        if (choose_bfv_bits(n, radix, lanes, capsule_key, floor_target, &c) &&
            c.bits_per_value <= best.bits_per_value) {
            best = c;
        }
    }
    if (best.set.lanes == 0) {
        return false;
    }
    if (choose_bfv_bits(n, radix, best.set.lanes, capsule_key, target, &c)) {
        best = c;
    }
    *out = best.set;
    return true;
}

/* ---- the three profiles ---- */

static void fill_none(struct he_params *p)
{
    uint64_t largest = (uint64_t)p->max_contributors * he_value_limit(p->value_bits);
    p->bits = largest < UINT64_C(1) << 31 ? 32 : 64; /* two's complement */
    p->lanes = 1;
    p->chunk_params = 1;
    p->failure_log2 = -INFINITY;
    p->bits_per_param = p->bits;
    snprintf(p->id, sizeof p->id, "none-b%u-n%u-w%u", p->value_bits, p->max_contributors, p->bits);
}

/* Two's complement: a sum of n values of magnitude m lies in +-nm, which is below 2^(K-1). */
static void fill_plain(struct he_params *p)
{
    const uint64_t largest = (uint64_t)p->max_contributors * he_value_limit(p->value_bits);
    fill_none(p);
    p->bits = 65 - (unsigned)__builtin_clzll(largest);
    p->bits_per_param = p->bits;
    snprintf(p->id, sizeof p->id, "none-b%u-n%u-K%u", p->value_bits, p->max_contributors, p->bits);
}

static bool fill_bfv(struct he_params *p)
{
    uint64_t radix = radix_of(p->max_contributors, he_value_limit(p->value_bits));
    if (!choose_bfv(p->max_contributors, radix, false, -128, -64, &p->bfv)) {
        return false;
    }
    p->lanes = p->bfv.lanes;
    p->radix = radix;
    p->failure_log2 = p->bfv.failure_log2;
    p->bits_per_param = bfv_bits_per_value(p->lanes, false, p->bfv.bits0, p->bfv.bits1);
    snprintf(p->id, sizeof p->id, "bfv-%zu-50-b%u-n%u-L%u-K%u+%u", p->degree, p->value_bits,
             p->max_contributors, p->lanes, p->bfv.bits0, p->bfv.bits1);
    return true;
}

static bool fill_capsule(struct he_params *p)
{
    uint32_t n = p->max_contributors;
    struct step_choice c;
    p->radix = radix_of(n, he_value_limit(p->value_bits));
    if (!choose_step(n, p->radix, -129, -65, &c) ||
        !choose_bfv(n, radix_of(n, HE_KEY_MAGNITUDE), true, -129, -65, &p->bfv)) {
        return false;
    }
    p->lanes = c.lanes;
    p->bits = c.bits;
    p->step = c.step;
    p->failure_log2 = log2(exp2(c.failure) + exp2(p->bfv.failure_log2));
    p->bits_per_param = (double)c.bits / c.lanes;
    snprintf(p->id, sizeof p->id, "capsule-%zu-50-b%u-n%u-L%u-K%u-key-L%u-K%u+%u", p->degree,
             p->value_bits, n, p->lanes, p->bits, p->bfv.lanes, p->bfv.bits0, p->bfv.bits1);
    return true;
}

static void fill_short_id(struct he_params *p)
{
    uint8_t digest[DIGEST_SIZE];
    digest_of(p->id, strlen(p->id), digest);
    p->short_id = (uint16_t)(digest[0] | digest[1] << 8);
}

/* N = 2048, or profile none: everything but messages and estimates. @return 0, or -1 if these three
 * cannot be had together */
static int fill_params(enum he_profile profile, unsigned value_bits, uint32_t n,
                       struct he_params *p)
{
    memset(p, 0, sizeof *p);
    p->profile = profile;
    p->value_bits = value_bits;
    p->max_contributors = n;
    if (profile == HE_NONE) {
        fill_none(p);
    } else {
        p->degree = RING_DEGREE;
        p->modulus = RING_Q_VALUE;
        if (!(profile == HE_BFV ? fill_bfv(p) : fill_capsule(p))) {
            return -1;
        }
        p->chunk_params = p->degree * p->lanes;
    }
    return 0;
}

static int fill_security(struct he_params *p, struct cairn_problem *why)
{
    struct security_estimate bits;
    unsigned q_bits = he_is_ckks(p) ? (unsigned)HE_CKKS_MODULUS_BITS
                                    : security_modulus_bits(p->modulus, p->modulus2);
    int margin = (int)security_largest_modulus_bits(p->degree) - (int)q_bits;
    if (margin < SECURITY_MARGIN_BITS || security_estimate_of(p->degree, p->modulus, &bits) != 0) {
        return problem_set(why, CAIRN_ERR_CONFIG, "a larger ring degree carries a larger modulus",
                           "degree %zu is not known to be safe with this modulus (limit %u bits, "
                           "less %d of margin)", p->degree,
                           security_largest_modulus_bits(p->degree), SECURITY_MARGIN_BITS);
    }
    p->security_margin_bits = margin;
    p->security_bits = bits.public_key;
    if (p->profile == HE_CAPSULE) {
        p->security_bits = fmin(bits.public_key, bits.one_time_key);
    }
    return 0;
}

static int check_range(unsigned value_bits, uint32_t n, struct cairn_problem *why)
{
    if (value_bits < 2 || value_bits > MAX_VALUE_BITS) {
        return problem_set(why, CAIRN_ERR_CONFIG, "16 is a good choice, 8 for the smallest uploads",
                           "value_bits %u is outside 2..%d", value_bits, MAX_VALUE_BITS);
    }
    if (n < 1 || n > MAX_CONTRIBUTORS) {
        return problem_set(why, CAIRN_ERR_CONFIG, NULL, "%u clients is outside 1..%d", n,
                           MAX_CONTRIBUTORS);
    }
    return 0;
}

/* A set that a ring can promise: with its estimates, and out of hand. */
static int accept(struct he_params *p, struct he_params *out, struct cairn_problem *why)
{
    fill_short_id(p);
    if (p->profile != HE_NONE) {
        int rc = fill_security(p, why);
        if (rc != 0) {
            return rc;
        }
    }
    *out = *p;
    return 0;
}

static int refuse(enum he_profile profile, unsigned value_bits, uint32_t n,
                  struct cairn_problem *why)
{
    return problem_set(why, CAIRN_ERR_CONFIG, "use fewer value_bits or fewer clients",
                       "profile %s cannot promise exact sums of %u clients at value_bits %u",
                       he_profile_name(profile), n, value_bits);
}

int he_choose_degree(size_t degree, enum he_profile profile, unsigned value_bits, uint32_t n,
                     struct he_params *out, struct cairn_problem *why)
{
    struct he_params p;
    int rc = check_range(value_bits, n, why);
    if (rc != 0) {
        return rc;
    }
    if ((profile == HE_SEAL_CKKS) != (degree == HE_CKKS_DEGREE)) {
        return problem_set(why, CAIRN_ERR_CONFIG, NULL, "profile %s has no ring of degree %zu",
                           he_profile_name(profile), degree);
    }
    if (profile == HE_SEAL_CKKS) {
        rc = he_ckks_choose(value_bits, n, &p, why);
        return rc != 0 ? rc : accept(&p, out, why);
    }
    rc = degree == RING_WIDE_DEGREE ? he_choose_wide(profile, value_bits, n, &p)
                                    : fill_params(profile, value_bits, n, &p);
    return rc != 0 ? refuse(profile, value_bits, n, why) : accept(&p, out, why);
}

int he_params_plain(unsigned value_bits, uint32_t max_contributors, struct he_params *out,
                    struct cairn_problem *why)
{
    struct he_params p = {
        .profile = HE_NONE, .value_bits = value_bits, .max_contributors = max_contributors};
    const int rc = check_range(value_bits, max_contributors, why);
    if (rc != 0) {
        return rc;
    }
    fill_plain(&p);
    return accept(&p, out, why);
}

/* Of two sets of profile capsule that are both possible. */
static bool prefer_wide(const struct he_params *narrow, const struct he_params *wide)
{
    return wide->bits_per_param <= (1 - HE_CHOICE_WIDE_SAVES) * narrow->bits_per_param;
}

int he_params_choose(enum he_profile profile, unsigned value_bits, uint32_t max_contributors,
                     struct he_params *out, struct cairn_problem *why)
{
    int rc = check_range(value_bits, max_contributors, why);
    if (rc != 0) {
        return rc;
    }
    if (profile == HE_SEAL_CKKS) {
        return he_choose_degree(HE_CKKS_DEGREE, profile, value_bits, max_contributors, out, why);
    }
    struct he_params narrow, wide;
    bool have_narrow = fill_params(profile, value_bits, max_contributors, &narrow) == 0;
    if (profile == HE_NONE || (profile == HE_BFV && have_narrow)) {
        return accept(&narrow, out, why); /* none has no ring; for bfv see he_choice.h */
    }
    bool have_wide = he_choose_wide(profile, value_bits, max_contributors, &wide) == 0;
    if (!have_narrow && !have_wide) {
        return refuse(profile, value_bits, max_contributors, why);
    }
    bool choose_wide = have_wide && (!have_narrow || prefer_wide(&narrow, &wide));
    return accept(choose_wide ? &wide : &narrow, out, why);
}
