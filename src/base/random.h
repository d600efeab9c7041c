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

/** @retval CAIRN_ERR_NO_ENTROPY, CAIRN_ERR_NO_MEMORY: *out is NULL. Free with secret_rng_free. */
CAIRN_MUST_CHECK int secret_rng_new(struct secret_rng **out);
/** Fill with random bytes. @retval CAIRN_ERR_NO_ENTROPY: out is zeroed and must not be used */
CAIRN_MUST_CHECK int secret_rng_fill(struct secret_rng *rng, void *out, size_t size);
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
