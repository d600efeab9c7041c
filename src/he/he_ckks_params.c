/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters of profile seal-ckks: nothing to choose, only to be found good enough. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "he_ckks.h"
#include "he_layout.h"
#include "he_noise.h"

/* All values at the limit make one coefficient of limit 2^40, which must stay below 2^63
 * (ckks_encode); what floating point adds is below 2^-40 of it. */
enum { MAX_VALUE_BITS = 63 - HE_CKKS_SCALE_BITS + 1 };

static void fill(unsigned value_bits, uint32_t n, struct he_params *p)
{
    unsigned bits = 0;
    for (unsigned k = 0; k < HE_CKKS_LEVEL; k++) {
        bits += he_ckks_prime_bits[k];
    }
    memset(p, 0, sizeof *p);
    p->profile = HE_SEAL_CKKS;
    p->value_bits = value_bits;
    p->max_contributors = n;
    p->degree = HE_CKKS_DEGREE;
    p->modulus = HE_CKKS_Q1;
    p->lanes = 1;
    p->radix = 2 * n * he_value_limit(value_bits) + 1;
    p->chunk_params = HE_CKKS_SLOTS;
    p->failure_log2 = -INFINITY; /* he_noise_ckks is no tail: honest noise cannot go further */
    p->bits_per_param = 2.0 * bits * HE_CKKS_DEGREE / HE_CKKS_SLOTS;
    snprintf(p->id, sizeof p->id, "seal-ckks-%d-60+40+40+60-s%d-b%u-n%u", HE_CKKS_DEGREE,
             HE_CKKS_SCALE_BITS, value_bits, n);
}

int he_ckks_choose(unsigned value_bits, uint32_t contributors, struct he_params *out,
                   struct cairn_problem *why)
{
    if (value_bits > MAX_VALUE_BITS) {
        return problem_set(why, CAIRN_ERR_CONFIG, "use fewer value_bits, or profile capsule",
                           "profile seal-ckks at scale 2^%d has room for value_bits up to %d, not "
                           "%u",
                           HE_CKKS_SCALE_BITS, MAX_VALUE_BITS, value_bits);
    }
    if (he_noise_ckks(value_bits, contributors) >= 0.5) {
        return problem_set(why, CAIRN_ERR_CONFIG, "use fewer value_bits or fewer clients",
                           "profile seal-ckks cannot promise exact sums of %u clients at "
                           "value_bits %u: noise may reach %.2f of the step between two sums",
                           contributors, value_bits, he_noise_ckks(value_bits, contributors));
    }
    fill(value_bits, contributors, out);
    return 0;
}
