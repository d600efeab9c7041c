/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FED_PRIVACY_H
#define FED_PRIVACY_H

#include "config.h"
#include "shape.h"

/**
 * Differential privacy of what is opened, for a client's whole update (its presence in a round).
 *
 * What a client does (privacy.clip_norm C, privacy.noise_multiplier z, d parameters, e expected contributors):
 *
 *   clip      the update is scaled down to an L2 norm of at most C
 *   weigh     by its samples over the most that any client has, at most 1
 *   round     to whole steps of C / s, at random (quantiser.h); where the squared norm of the whole numbers is more than
 *               B = floor(s^2 + d/4 + 6 (s + sqrt(d)/2)),
 *             which happens with probability below e^-18, towards zero instead: that never lengthens a vector.
 *             So what any client sends, before noise, has a squared norm of at most B, without exception and whatever
 *             became of the floats before. (Of one update: a client that is started anew in mid-round sits out the rest.)
 *   add       to each value a discrete Gaussian of variance V = ceil(z^2 B / e) (privacy_noise.h)
 *
 * The sum of m clients has noise of variance m V: with the expected contributors z times the longest that one client can
 * make a difference of. All that follows from the config is the same for all rounds and tensors, and every node
 * works it out for itself. s is as large as the lane allows: s + 1 + T sqrt(V) stays within the largest
 * magnitude of value_bits, where noise goes beyond T sqrt(V) with probability below 2^-100 in a whole run
 * (P(|y| >= T sigma) <= 2 exp(-T^2 / 2), as the discrete Gaussian is sub-Gaussian: Canonne et al.). What does is
 * clamped; that adds less than 2^-64 to delta for every epsilon up to 24.
 *
 * Sources (the numbers of propositions as the authors' own programs give them):
 *   B            Kairouz, Liu and Steinke, "The Distributed Discrete Gaussian Mechanism for Federated Learning with Secure
 *                Aggregation" (ICML 2021, arXiv 2102.06387), conditional rounding: Theorem 1 and Proposition 22, with
 *                beta = e^-18; here a squared norm of whole numbers, hence the floor
 *   the sum      the same, Proposition 14: of m discrete Gaussians of variance V >= 1/4 it is
 *                rho = 1/2 (sqrt(B / (m V)) + tau sqrt(d))^2 concentrated, tau = 10 sum_{k<m} exp(-2 pi^2 V k/(k+1))
 *   composition  Renyi divergences add up: Mironov, "Renyi Differential Privacy" (CSF 2017, arXiv 1702.07476)
 *   epsilon      Canonne, Kamath and Steinke, "The Discrete Gaussian for Differential Privacy" (NeurIPS 2020, arXiv
 *                2004.00010), Proposition 12: divergence + log(1 - 1/alpha) + (log(1/delta) - log alpha) / (alpha - 1) for any
 *                order alpha > 1, at the best one
 * Nothing is gained from clients being chosen for a round: everybody knows who is (sampling.h).
 */
struct fed_privacy {
    bool noise;        /* else nothing below counts */
    double scale;      /* s: steps in the clip norm, a whole number */
    double step;       /* of every tensor */
    uint64_t norm2;    /* B */
    uint32_t expected; /* e */
    uint64_t variance; /* V */
    int32_t limit;     /* of a value with its noise */
    size_t n_params;
    double delta;
};

/**
 * @param clients  of a round
 * @param rounds   of the run
 * @retval CAIRN_ERR_CONFIG  the lane cannot hold update and noise, or rounding would drown the update
 */
CAIRN_MUST_CHECK int fed_privacy_plan(const struct fed_settings *settings, size_t n_params,
                                      uint32_t clients, uint32_t rounds, struct fed_privacy *out,
                                      struct cairn_problem *why);

/** Every tensor's step for a round: with noise the plan's, else as quantiser_choose_steps has it. */
void fed_privacy_steps(const struct fed_privacy *privacy, const struct model_shape *shape,
                       unsigned value_bits, const double *largest, double *steps);

/** By how much an update of this squared norm is scaled: 1, or less. @param clip  0 = no clipping */
double fed_privacy_share(double clip, double norm2);
/** *norm2 += the squares; stays at UINT64_MAX where that is reached. */
void fed_privacy_square(const int32_t *values, size_t n, uint64_t *norm2);

/** The concentrated privacy loss rho of one opened round. @param contributors  fewest of a frame, >= 1 */
double fed_privacy_rho(const struct fed_privacy *privacy, uint32_t contributors);
/** What a loss of rho in all comes to: the least epsilon that holds with this delta. 0 for 0. */
double fed_privacy_epsilon(double rho, double delta);
/** The same from a single order alpha > 1 whose divergence is known (Proposition 12). */
double fed_privacy_at_order(double divergence, double alpha, double delta);
/** Noise of the opened sum over the longest difference that a client can make: z, if as many contribute as expected. */
double fed_privacy_multiplier(const struct fed_privacy *privacy, uint32_t contributors);

#endif
