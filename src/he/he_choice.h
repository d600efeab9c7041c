/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HE_HE_CHOICE_H
#define HE_HE_CHOICE_H

#include "he.h"

/** Inside this part: the chooser's two halves, one a ring, and the rule between them. */

/**
 * Which ring, where both can promise exact sums: N = 2048, unless N = 4096 saves at least a tenth
 * of the bits.
 *
 * Reason: two primes are twice the transforms, each of one level more, and whole numbers take 128
 * bits: about 2.5 times the time of encrypting, and more of opening. But a value's bits are paid at
 * every hop and, where streams meet, once for every child; its time once at each client and once
 * at the opener. A tenth of 25 bits from 10 children is 25 ns on a link of 1 Gbit/s, about what
 * both ends lose together. For less than that N = 2048 is the better choice, which also pads
 * small models to half as many values.
 *
 * Profile bfv is asked no such question: it is there for other programs to open. None of them can
 * at N = 4096 (Microsoft SEAL's plain modulus has at most 60 bits), so it stays at N = 2048
 * wherever that works.
 */
#define HE_CHOICE_WIDE_SAVES 0.1

/** The best set over one ring, everything but messages and what fill_security adds.
 * @return 0, or -1 if nothing can be promised there */
int he_choose_wide(enum he_profile profile, unsigned value_bits, uint32_t contributors,
                   struct he_params *p);
/** As he_params_choose, over the ring of this degree, 2048 or 4096, whatever the rule says. Profile
 * none has no ring: 2048. Profile seal-ckks has one: 8192. */
CAIRN_MUST_CHECK int he_choose_degree(size_t degree, enum he_profile profile, unsigned value_bits,
                                      uint32_t contributors, struct he_params *out,
                                      struct cairn_problem *why);

#endif
