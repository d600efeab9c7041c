/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HE_HE_LAYOUT_H
#define HE_HE_LAYOUT_H

#include "he.h"
#include "ring.h"
#include "sizes.h"

/** Sizes that the files of this part share. */

enum {
    HE_KEY_MAGNITUDE = 21,  /* of a coefficient of a one-time key: CBD21 */
    HE_MAX_CHUNKS = 4096,   /* of one frame: as many public polynomials are told apart */
};

/** Largest magnitude of a value, 2^(b-1) - 1. */
static inline uint64_t he_value_limit(unsigned value_bits)
{
    return (UINT64_C(1) << (value_bits - 1)) - 1;
}

/** Coefficients of a capsule that carry a one-time key: ceil(N / L), rounded up so that fields of
 * any width fill whole bytes. */
static inline size_t he_key_coefficients_of(size_t degree, unsigned lanes)
{
    return size_round_up(size_ceil_div(degree, lanes), 8);
}

/** The same at N = 2048. */
static inline size_t he_key_coefficients(unsigned lanes)
{
    return he_key_coefficients_of(RING_DEGREE, lanes);
}

/** Polynomials of a payload of n values. */
static inline size_t he_chunks(const struct he_params *params, size_t n)
{
    return size_ceil_div(n, params->chunk_params);
}

/** Fields of n values under profile none: so many that they fill whole bytes. */
static inline size_t he_plain_fields(const struct he_params *params, size_t n)
{
    return params->bits % 8 == 0 ? n : size_round_up(n, 8);
}

/** Bytes of one section. */
static inline size_t he_section_bytes(const struct he_section *section)
{
    return section->count / 8 * section->bits + section->count % 8 * section->bits / 8;
}

#endif
