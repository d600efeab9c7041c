/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HE_HE_KEY_HEADER_H
#define HE_HE_KEY_HEADER_H

#include <stdbool.h>

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
/** Are these bytes as long as this kind, and do they begin like it? */
bool he_key_is(const struct he_key_kind *kind, struct span bytes);

/*
 * The fields of every secret key: n coefficients of 2 bits, 0, 1, and 2 for -1. In secret memory,
 * and without a branch on them.
 */
enum { HE_KEY_TRIT_BITS = 2 };
/**
 * @param[in,out] residues  n of 0, 1 and q - 1, 64-byte aligned; they become what is packed
 * @param top  a bit that is set in q - 1, whose lowest one is not
 */
void he_key_pack_secret(uint8_t *fields, uint64_t *residues, size_t n, unsigned top);
/**
 * @param[out] coefficients  n
 * @param[out] work          n, 64-byte aligned
 * @param most               coefficients of a key that are not 0
 * @return 0, or nonzero where these are no fields of a key
 */
uint64_t he_key_unpack_secret(const uint8_t *fields, size_t n, uint64_t most, int32_t *coefficients,
                              uint64_t *work);

#endif
