/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SEAL_SEAL_CONTEXT_H
#define SEAL_SEAL_CONTEXT_H

#include "rns.h"
#include "seal.h"

/** What seal_context_new makes; for the files of this part. Immutable. */
struct seal_context {
    struct seal_params params;
    uint8_t ids[SEAL_MAX_PRIMES + 1][SEAL_ID_SIZE]; /* by level; row 0 is all zero: coefficients */
    struct rns_ring ring;
};

/** The level whose parms_id this is; 0 for the all-zero id; -1 for one that is not of this
 * context. */
int seal_context_level_of(const struct seal_context *context, const uint8_t id[SEAL_ID_SIZE]);
/** N level */
static inline size_t seal_poly_words(const struct seal_context *context, unsigned level)
{
    return context->params.degree * level;
}
/** Is it a level that a ciphertext may have? */
static inline bool seal_is_data_level(const struct seal_context *context, int level)
{
    return level >= 1 && (unsigned)level <= seal_context_first_level(context);
}

#endif
