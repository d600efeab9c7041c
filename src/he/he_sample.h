/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HE_HE_SAMPLE_H
#define HE_HE_SAMPLE_H

#include "he.h"
#include "ring.h"

/**
 * Working memory of one encryption or opening, from secret_alloc, wiped when freed: all temporaries
 * that depend on a secret live here. About 150 KiB.
 */
struct he_scratch {
    _Alignas(64) uint64_t key[RING_DEGREE]; /* one-time key or its sum, transformed */
    uint64_t a[RING_DEGREE];
    uint64_t b[RING_DEGREE];
    uint64_t c[RING_DEGREE];
    int64_t message[RING_DEGREE]; /* lane words */
    int64_t digits[RING_DEGREE];
    int32_t small[RING_DEGREE]; /* samples */
    uint8_t random[6 * RING_DEGREE];
    uint8_t stream[8 * RING_DEGREE]; /* public, here only to have one allocation */
};

/** @return NULL without memory. Free with he_scratch_free (NULL is ignored). */
struct he_scratch *he_scratch_new(void);
void he_scratch_free(struct he_scratch *s);

/** out = n fresh samples of CBD21. @param random  6 n bytes of work. @retval CAIRN_ERR_NO_ENTROPY */
CAIRN_MUST_CHECK int he_draw_cbd(struct secret_rng *rng, int32_t *out, size_t n, uint8_t *random);
/** out = n fresh uniform samples of {-1, 0, 1}, n a multiple of 4. @param random  n / 4 bytes of
 * work. @retval CAIRN_ERR_NO_ENTROPY */
CAIRN_MUST_CHECK int he_draw_ternary(struct secret_rng *rng, int32_t *out, size_t n,
                                     uint8_t *random);

/** s->small = N fresh samples of CBD21. Changes s->random. @retval CAIRN_ERR_NO_ENTROPY */
CAIRN_MUST_CHECK int he_sample_cbd(struct secret_rng *rng, struct he_scratch *s);
/** s->small = N fresh uniform samples of {-1, 0, 1}. Changes s->random. @retval
 * CAIRN_ERR_NO_ENTROPY */
CAIRN_MUST_CHECK int he_sample_ternary(struct secret_rng *rng, struct he_scratch *s);

/**
 * A public polynomial from a seed: the AES-256-CTR stream of random_expand under `seed`, cut into
 * 8-byte words, each kept when its low 50 bits are below q (kern_ops.uniform_reject).
 * @param[out] out     (N) in [0, q), 64-byte aligned
 * @param      stream  8 N bytes of work
 * @retval CAIRN_ERR_ENVIRONMENT
 */
CAIRN_MUST_CHECK int he_expand(const uint8_t seed[32], uint64_t *out, uint8_t *stream);

/**
 * The seed of the public polynomial of one chunk:
 * BLAKE2b-256("cairn capsule a v1", zeros to 32 bytes | params->id, zeros to HE_ID_SIZE | nonce |
 * round u32 | frame u32 | chunk u32), little-endian. The polynomial is taken to be in the
 * transform domain, in the order of kern_ops.ntt_fwd. No two chunks of one key share it, and it
 * must stay so: two messages under one (key, polynomial) show their difference.
 */
void he_capsule_seed(const struct he_params *params, const uint8_t nonce[HE_NONCE_SIZE],
                     uint32_t round, uint32_t frame, uint32_t chunk, uint8_t seed[32]);

/** BLAKE2b-256(label, zeros to 32 bytes | seed | number u32): of one polynomial, or one prime's part
 * of it, that comes from a seed together with others. */
void he_prime_seed(const char *label, const uint8_t seed[32], uint32_t number, uint8_t out[32]);

/** The stream key for a public key's polynomial: BLAKE2b-256("cairn public key a v1", zeros to 32
 * bytes | seed). The polynomial is in the coefficient domain. */
void he_public_key_seed(const uint8_t key_seed[32], uint8_t seed[32]);

#endif
