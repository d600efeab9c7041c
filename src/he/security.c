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
 */
#include "security.h"

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

int security_margin_bits(size_t degree, uint64_t modulus)
{
    int bits = 0;
    for (; modulus != 0; modulus >>= 1) {
        bits++;
    }
    return (int)security_largest_modulus_bits(degree) - bits;
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
