/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two tables.
 *
 * Limits: largest bit length of q at 128 bits of classical security, ternary secret, error of
 * standard deviation about 3.2: "Security Guidelines for Implementing Homomorphic Encryption",
 * ePrint 2024/463, as regenerated with the authors' script (gong-cr/FHE-Security-Guidelines). They
 * are stricter than the 2018 standard (54, 109, 218, ...). The newest estimator puts some sets
 * slightly below their target, so cairn stays SECURITY_MARGIN_BITS away from every limit.
 *
 * Estimates: malb/lattice-estimator 27a581bb (June 2026), cheapest of primal usvp, bdd, bdd hybrid,
 * dual and dual hybrid under the MATZOV cost model:
 *   CBD=ND.CenteredBinomial(21);
 *   P=LWE.Parameters(n=2048,q=0x3ffffffffc001,Xs=ND.Ternary,Xe=CBD,m=oo)
 *   LWE.primal_bdd(P.normalize(), red_cost_model=RC.MATZOV) and its siblings.
 * One-time keys are estimated as they stand after the sum has been opened: with the coins of
 * two honest clients given away pair by pair, each is left with Bin(T, 1/2), T ~ Bin(42, 1/2), of
 * effective standard deviation 2.277 (before opening: 143.2).
 * At N = 4096 they have not been estimated by themselves. They get the public key's figure as a
 * lower bound: an attack on LWE may rescale secret against error, so what counts is the product of
 * their deviations, 2.277^2 = 5.18 here and sqrt(2/3) sqrt(10.5) = 2.65 there.
 */
#include "security.h"

#include "kern_math.h"

struct limit {
    size_t degree;
    unsigned modulus_bits;
};

static const struct limit limits[] = {
    {1024, 26}, {2048, 53}, {4096, 106}, {8192, 214}, {16384, 430}, {32768, 868},
};

struct estimate {
    size_t degree;
    uint64_t modulus;
    struct security_estimate bits;
};

static const struct estimate estimates[] = {
    {2048, UINT64_C(0x3ffffffffc001), {.public_key = 137.1, .one_time_key = 140.1}},
    /* times 0x3fffffffcc001; estimated with q = 2^100 */
    {4096, UINT64_C(0x3ffffffffc001), {.public_key = 137.2, .one_time_key = 137.2}},
    /* profile seal-ckks, all four primes: estimated with q = 2^200 and standard deviation 3.2, a
     * little below CBD21's 3.24; it has no one-time keys */
    {8192, UINT64_C(0xffffffffffe8001), {.public_key = 137.7, .one_time_key = 0}},
};

unsigned security_largest_modulus_bits(size_t degree)
{
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        if (limits[i].degree == degree) {
            return limits[i].modulus_bits;
        }
    }
    return 0;
}

unsigned security_modulus_bits(uint64_t modulus, uint64_t modulus2)
{
    kern_u128 q = modulus2 == 0 ? modulus : (kern_u128)modulus * modulus2;
    unsigned bits = 0;
    for (; q != 0; q >>= 1) {
        bits++;
    }
    return bits;
}

int security_margin_bits(size_t degree, uint64_t modulus)
{
    return (int)security_largest_modulus_bits(degree) - (int)security_modulus_bits(modulus, 0);
}

int security_estimate_of(size_t degree, uint64_t modulus, struct security_estimate *out)
{
    for (size_t i = 0; i < sizeof estimates / sizeof estimates[0]; i++) {
        if (estimates[i].degree == degree && estimates[i].modulus == modulus) {
            *out = estimates[i].bits;
            return 0;
        }
    }
    return -1;
}
