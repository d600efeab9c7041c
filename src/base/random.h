/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

#include "problem.h"

/**
 * Secret randomness: keys, encryption, privacy noise.
 *
 * A deterministic random bit generator, AES-256 in counter mode, keyed with 48
 * bytes from getrandom(2), rekeyed from its own output every 2^26 bytes
 * (so that a later leak of the state does not show earlier output) and from the operating
 * system after fork. Fails closed: without entropy or without the cipher
 * nothing is handed out. ChaCha20 takes its place where the processor has no AES
 * instructions.
 *
 * It is a type of its own so that the replayable generator of replay.h can
 * never be passed in its place. One thread at a time; make one per thread.
 */
struct secret_rng;

/**
 * Set up the libraries below now rather than on first use. libgcrypt ends the process when it cannot
 * open a file then, so a program that runs for long calls this while descriptors are to be had. What
 * fails is reported by the functions below.
 */
void random_prepare(void);

/** @retval CAIRN_ERR_NO_ENTROPY, CAIRN_ERR_NO_MEMORY: *out is NULL. Free with secret_rng_free. */
CAIRN_MUST_CHECK int secret_rng_new(struct secret_rng **out);
/** Fill with random bytes. @retval CAIRN_ERR_NO_ENTROPY: out is zeroed and must not be used */
CAIRN_MUST_CHECK int secret_rng_fill(struct secret_rng *rng, void *out, size_t size);
/**
 * Secret randomness for pieces of work that run side by side: what a piece gets does not hang on
 * which thread runs it, or when.
 *
 * A root is a fresh key, drawn from a generator. Branch `number` of it is the keystream under that
 * key from a counter of its own on: AES-256-CTR's 16-byte counter block is the number in the upper
 * half and zero in the lower, ChaCha20's nonce is the number. So no two branches, and no two bytes
 * of one, come from the same input of the cipher (a branch would have to be 2^68 bytes long), and
 * telling all branches of a root from random bytes is telling the cipher from a random function,
 * as it is for one generator; branches of different roots have independent keys.
 *
 * A type of its own that only secret_root_draw fills, for the reason that secret_rng is one.
 */
struct secret_root {
    uint8_t key[32]; /* as secret as the bytes of all branches: keep it in secret memory */
};
/** @retval CAIRN_ERR_NO_ENTROPY: the root is zeroed and must not be used */
CAIRN_MUST_CHECK int secret_root_draw(struct secret_root *root, struct secret_rng *rng);
/** `rng` goes on as branch `number` of the root, from its beginning. A branch used twice gives the
 * same bytes twice: one piece of work, one branch.
 * @retval CAIRN_ERR_NO_ENTROPY  no cipher; rng takes a seed of its own before it is used again */
CAIRN_MUST_CHECK int secret_rng_branch(struct secret_rng *rng, const struct secret_root *root,
                                       uint32_t number);
/** Wipe and free; NULL is ignored. */
void secret_rng_free(struct secret_rng *rng);

/** Bytes straight from getrandom(2): loops on EINTR and short answers.
 * @retval CAIRN_ERR_NO_ENTROPY out is zeroed */
CAIRN_MUST_CHECK int random_from_system(void *out, size_t size);

/**
 * Public, uniform, reproducible stream: AES-256-CTR keystream under `key` with the initial
 * counter block zero. Used to expand public polynomials, where every machine must
 * get the same bytes, so it never switches cipher. Random access by `offset`.
 *
 * @param offset  bytes to skip, a multiple of 16
 * @retval CAIRN_ERR_ENVIRONMENT the cipher is not available; out is zeroed
 * @retval CAIRN_ERR_BUG offset is not a multiple of 16; out untouched
 */
CAIRN_MUST_CHECK int random_expand(const uint8_t key[32], uint64_t offset, void *out, size_t size);

#endif
