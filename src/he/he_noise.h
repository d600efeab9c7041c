/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HE_HE_NOISE_H
#define HE_HE_NOISE_H

#include <stdint.h>

/**
 * How far honest noise can carry a sum from its message. The functions without a ring are those of
 * N = 2048 and q = RING_Q_VALUE.
 *
 * CBD21 is 42 steps of +-1/2: sub-Gaussian with its variance 10.5 as proxy, so a sum of independent
 * ones with weights w exceeds k sqrt(10.5 sum w^2) with probability at most 2 exp(-k^2 / 2),
 * whatever k. Bounds hold for all of 2^40 opened coefficients at once.
 */

/**
 * k such that honest noise stays within k deviations but for 2^failure_log2 (over 2^40
 * coefficients): 42 - k^2/2 log2(e) = failure_log2. Never beyond what 2^-128 takes: a limit that
 * is drawn tighter tells more dishonest sums from honest ones.
 */
double he_noise_tail(double failure_log2);

/** What the bounds depend on. */
struct he_noise_ring {
    double degree;     /* N */
    double modulus;    /* q */
    double key_weight; /* most non-zero coefficients of a secret key */
    double mask_slack; /* ||sum u||^2 of public-key encryption stays below this times its mean */
    double rounding;   /* of a message inside q: at most this much a ciphertext, in units of 1/q */
};
/** N = 2048, q = RING_Q_VALUE, messages at round(q m / t). */
extern const struct he_noise_ring he_noise_narrow;
/** N = 4096, q = q1 q2 (ring_wide.h), messages at D m of the wire, which rounds nothing. */
extern const struct he_noise_ring he_noise_wide;

double he_noise_payload_in(const struct he_noise_ring *ring, uint32_t contributors, unsigned bits,
                           double k);
double he_noise_bfv_in(const struct he_noise_ring *ring, uint32_t contributors, unsigned bits0,
                       unsigned bits1, double k);
double he_noise_bfv_failure_in(const struct he_noise_ring *ring, uint32_t contributors,
                               unsigned bits0, unsigned bits1, double room);

/** Payload of a capsule, the whole distance from the message in units of 2^-bits:
 * n/2 + min(21 n, k sqrt(10.5 n)) 2^bits / q. */
double he_noise_payload(uint32_t contributors, unsigned bits, double k);
/** log2 of the bound on a wrong sum when |E| may be `room` (units of 1/q); -inf if it cannot
 * happen. The same in every ring. */
double he_noise_payload_failure(uint32_t contributors, double room);

/** Public-key BFV: the whole distance from the message in units of 1/q, wire rounding included. */
double he_noise_bfv(uint32_t contributors, unsigned bits0, unsigned bits1, double k);
/** log2 of the bound on a wrong sum when that distance may be `room`; +inf if the fixed
 * part of the noise alone is above it. */
double he_noise_bfv_failure(uint32_t contributors, unsigned bits0, unsigned bits1, double room);

/**
 * Profile seal-ckks: how far a decoded slot of a sum lies from its whole number at most. No tail:
 * honest noise cannot go further, whatever the dice. What cannot be promised gives 1/2 or more.
 */
double he_noise_ckks(unsigned value_bits, uint32_t contributors);

/** Secret keys with more non-zero coefficients than this are drawn again (he_keygen), so that
 * ||s||^2 in the bounds above is a fact and not a tail. Mean 2N/3 = 1365.3, standard
 * deviation 21.3; 1474 = floor(1.08 2N/3) is 5.1 of them away: one key in some millions. */
enum { HE_NOISE_MAX_KEY_WEIGHT = 1474 };
/** The same at N = 4096: mean 2730.7, standard deviation 30.2, 5.1 of them away. */
enum { HE_NOISE_MAX_WIDE_KEY_WEIGHT = 2884 };

#endif
