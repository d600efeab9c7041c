/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HE_HE_WIDE_H
#define HE_HE_WIDE_H

#include "he_capsule.h"
#include "he_keys.h"
#include "ring_wide.h"

/**
 * The profiles over the wide ring: N = 4096, q = q1 q2 of 100 bits (ring_wide.h).
 *
 * What differs from N = 2048 besides the size: messages of public-key encryption sit at D m on the
 * wire, D = floor(2^K0 / r^L), added after the mask has been switched to 2^K0, as those of
 * capsule chunks do in either ring. Only cairn opens these sets (a plain modulus above 60 bits is
 * more than Microsoft SEAL has), so they need no prime plain modulus, no rounding depends on a
 * message, and bounds are those of he_noise_wide.
 */

static inline bool he_is_wide(const struct he_params *params)
{
    return params->degree == RING_WIDE_DEGREE;
}

/** (b, a) = (-(a s + e), a) as residues; the part of a struct he_public_key that counts here. */
struct he_wide_public_key {
    _Alignas(64) uint64_t b[RING_WIDE_PRIMES][RING_WIDE_DEGREE]; /* coefficients */
    uint64_t b_hat[RING_WIDE_PRIMES][RING_WIDE_DEGREE];          /* transformed */
    uint64_t a_hat[RING_WIDE_PRIMES][RING_WIDE_DEGREE];
    uint8_t seed[32]; /* a = he_wide_expand(he_public_key_seed(seed), prime), coefficients */
};

/** Ternary s, transformed modulo each prime; from secret_alloc. */
struct he_wide_secret_key {
    _Alignas(64) uint64_t hat[RING_WIDE_ALL_PRIMES][RING_WIDE_DEGREE];
};

/** As struct he_scratch: all temporaries that depend on a secret. About 570 KiB. */
struct he_wide_scratch {
    _Alignas(64) uint64_t key[RING_WIDE_PRIMES][RING_WIDE_DEGREE]; /* one-time key or its sum */
    uint64_t mask[RING_WIDE_PRIMES][RING_WIDE_DEGREE];             /* u of an encryption */
    uint64_t a[RING_WIDE_ALL_PRIMES][RING_WIDE_DEGREE];            /* residues */
    kern_u128 wide[RING_WIDE_DEGREE];    /* whole numbers or fields */
    kern_u128 product[RING_WIDE_DEGREE];
    kern_u128 message[RING_WIDE_DEGREE]; /* lane words */
    int64_t digits[RING_WIDE_DEGREE];
    int32_t small[RING_WIDE_DEGREE]; /* samples */
    uint8_t random[6 * RING_WIDE_DEGREE];
    uint8_t stream[8 * RING_WIDE_DEGREE]; /* public */
};

/** @return NULL without memory. Free with he_wide_scratch_free (NULL is ignored). */
struct he_wide_scratch *he_wide_scratch_new(void);
void he_wide_scratch_free(struct he_wide_scratch *s);

/* ---- he_wide_keys.c ---- */

/** s->small = N fresh samples; s->random changes. @retval CAIRN_ERR_NO_ENTROPY */
CAIRN_MUST_CHECK int he_wide_sample_cbd(struct secret_rng *rng, struct he_wide_scratch *s);
CAIRN_MUST_CHECK int he_wide_sample_ternary(struct secret_rng *rng, struct he_wide_scratch *s);
/**
 * Residues of a public polynomial modulo one prime of q: as he_expand, the stream under
 * BLAKE2b-256("cairn wide ring v1", zeros to 32 bytes | seed | number of the prime, u32).
 * @param stream  8 N bytes of work
 * @retval CAIRN_ERR_ENVIRONMENT
 */
CAIRN_MUST_CHECK int he_wide_expand(const uint8_t seed[32], enum ring_wide_prime prime,
                                    uint64_t *out, uint8_t *stream);
/** Of residues modulo q1 and q2. */
void he_wide_forward(uint64_t hat[][RING_WIDE_DEGREE], const int32_t *small, int primes);

CAIRN_MUST_CHECK int he_wide_keygen(struct secret_rng *rng, struct he_secret_key **secret,
                                    struct he_public_key **public_key);
/** Empty keys whose part `wide` is there. @return NULL without memory */
struct he_public_key *he_wide_public_key_new(void);
struct he_secret_key *he_wide_secret_key_new(void);
/** Fill b_hat and a_hat from b and seed. @retval CAIRN_ERR_ENVIRONMENT, CAIRN_ERR_NO_MEMORY */
CAIRN_MUST_CHECK int he_wide_public_key_complete(struct he_wide_public_key *key);

/* ---- he_wide_key_file.c: the wide halves of he_key_file.c and he_secret_file.c ---- */

CAIRN_MUST_CHECK int he_wide_public_key_write(const struct he_public_key *key, struct buf *out);
CAIRN_MUST_CHECK int he_wide_public_key_read(struct span bytes, struct he_public_key **out,
                                             struct cairn_problem *why);
/** Does the header say so? */
bool he_wide_is_secret_key(struct span bytes);
CAIRN_MUST_CHECK int he_wide_secret_key_write(const struct he_secret_key *key,
                                              const uint8_t id[HE_KEY_ID_SIZE], uint8_t *out);
CAIRN_MUST_CHECK int he_wide_secret_key_read(struct span bytes, struct he_secret_key **out,
                                             uint8_t id[HE_KEY_ID_SIZE],
                                             struct cairn_problem *why);

/* ---- he_wide_bfv.c: as he_bfv.h ---- */

CAIRN_MUST_CHECK int he_wide_bfv_encrypt(const struct he_bfv_set *set,
                                         const struct he_wide_public_key *key,
                                         struct secret_rng *rng, size_t used, uint8_t *c0,
                                         uint8_t *c1, struct he_wide_scratch *s);
uint64_t he_wide_bfv_open(const struct he_bfv_set *set, const struct he_wide_secret_key *key,
                          uint32_t contributors, size_t used, const uint8_t *c0,
                          const uint8_t *c1, struct he_wide_scratch *s);

/* ---- he_wide_payload.c ---- */

/** The wide halves of he_payload.c's encrypt and open_payload. */
CAIRN_MUST_CHECK int he_wide_encrypt(const struct he_params *params,
                                     const struct he_public_key *key, struct secret_rng *rng,
                                     const struct he_frame_name *name, const int32_t *values,
                                     size_t n, uint8_t *payload, struct he_crew *crew);
CAIRN_MUST_CHECK int he_wide_open(const struct he_params *params, const struct he_secret_key *key,
                                  const struct he_frame_name *name, uint32_t contributors,
                                  const uint8_t *payload, size_t n, int64_t *sums, uint64_t *bad,
                                  struct he_crew *crew);

#endif
