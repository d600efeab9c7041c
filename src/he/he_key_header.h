/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HE_HE_KEY_HEADER_H
#define HE_HE_KEY_HEADER_H

#include <cairn/err.h>

#include "buf.h"

/**
 * What all keys have in common as bytes, little-endian:
 *
 *    0  magic     4    "CRNP" public, "CRNK" secret
 *    4  version   u16  one a ring, so that each has a length of its own
 *    6  reserved  u16  0
 *    8  length    u32  of the whole object
 *   12  degree    u32
 *   16  moduli    u64 each
 *    .  words     32   public: seed of the polynomial a; secret: id of the pair
 *    .  fields
 *    .  digest    32   BLAKE2b-256 of the label (zeros to 32 bytes) and all before
 *
 * The digest finds accidents, not forgeries: who vouches for a key is the transport's business.
 */
enum { HE_KEY_MAX_PRIMES = 4, HE_KEY_WORDS = 32 };

struct he_key_kind {
    char magic[4];
    uint16_t version;
    uint32_t size; /* whole */
    uint32_t degree;
    unsigned primes;
    uint64_t moduli[HE_KEY_MAX_PRIMES];
    const char *name; /* "public key" */
    char label[32];
    const char *hint;
};

/** Where words and fields begin, for a kind with so many primes. */
#define HE_KEY_WORDS_AT(primes) (16 + 8 * (primes))
#define HE_KEY_FIELDS_AT(primes) (HE_KEY_WORDS_AT(primes) + HE_KEY_WORDS)

/** Everything but fields and digest, zeros in their places. */
void he_key_begin(const struct he_key_kind *kind, const uint8_t words[HE_KEY_WORDS],
                  uint8_t *bytes);
/** The digest, when the fields are in place. */
void he_key_end(const struct he_key_kind *kind, uint8_t *bytes);
/** @retval CAIRN_ERR_MALFORMED  length, magic, version, ring; CAIRN_ERR_INTEGRITY  digest */
CAIRN_MUST_CHECK int he_key_check(const struct he_key_kind *kind, struct span bytes,
                                  struct cairn_problem *why);

#endif
