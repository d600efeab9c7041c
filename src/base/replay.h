/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_REPLAY_H
#define BASE_REPLAY_H

#include <stddef.h>
#include <stdint.h>

/**
 * Replayable randomness: initial weights, shuffling, stochastic rounding.
 *
 * ChaCha20 keystream under BLAKE2b-256("cairn replay v1" | purpose | seed | round
 * | index), fixed-width little-endian fields, purpose padded with zeros to 32 bytes. The same
 * four inputs give the same numbers on every machine. NEVER for keys, encryption or
 * privacy noise: those take a struct secret_rng (random.h), another type.
 * One thread at a time. Plain value, nothing to free.
 */
struct replay_rng {
    uint8_t key[32];
    uint64_t block;     /* next keystream block */
    size_t used;        /* bytes used of `bytes` */
    uint8_t bytes[1024];
};

/**
 * @param purpose  "weights", "shuffle", "rounding", ... at most 32 bytes
 * @param seed     the config's seed
 * @param round    round number, 0 where it does not apply
 * @param index    client index, 0 where it does not apply
 */
void replay_init(struct replay_rng *rng, const char *purpose, uint64_t seed, uint32_t round,
                 uint32_t index);
/** Continue at 32-bit word number `word` of the stream: replay_u32 returns that word next. */
void replay_seek(struct replay_rng *rng, uint64_t word);
/** The next 32 or 64 uniform bits. */
uint32_t replay_u32(struct replay_rng *rng);
uint64_t replay_u64(struct replay_rng *rng);
/** The next n words: what n calls of replay_u32 return, only faster. */
void replay_words(struct replay_rng *rng, uint32_t *out, size_t n);
/** Uniform in [0, 1), a multiple of 2^-24. */
float replay_float(struct replay_rng *rng);
/** Uniform in [0, bound), bound >= 1, without bias. */
uint32_t replay_below(struct replay_rng *rng, uint32_t bound);
/** Standard normal, Box-Muller. */
double replay_normal(struct replay_rng *rng);
/** Fisher-Yates shuffle of n indices. */
void replay_shuffle(struct replay_rng *rng, uint32_t *indices, size_t n);

#endif
