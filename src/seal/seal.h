/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SEAL_SEAL_H
#define SEAL_SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cairn/err.h>

#include "buf.h"

/**
 * Microsoft SEAL's binary objects, in and out: schemes BFV and CKKS.
 *
 * Reading    One object from the front of `bytes`. With `consumed` NULL the bytes are one framed
 *            message and anything after the object is refused; otherwise *consumed says how many
 *            bytes it took. Headers of versions 3.6, 3.7 and 4.x; compression none, zlib, zstd.
 *            Nothing is allocated, inflated or read beyond what parameters known beforehand allow.
 *            What is read is checked whole before it is handed out: every word against its modulus,
 *            every field against the scheme. Where SEAL is lenient (reserved bytes, a wrong NTT
 *            flag, a second polynomial that is all zero) this is not.
 * Writing    Appended to a struct buf. Nested objects carry the same version as the outer one.
 * Failure    CAIRN_ERR_MALFORMED (no such object), CAIRN_ERR_REFUSED (an object, but not for these
 *            parameters, or one that protects nothing), CAIRN_ERR_NO_MEMORY; `why` names object,
 *            field, expected and found. Outputs are untouched: a destination is replaced only when
 *            its successor is complete.
 * Owner      Whoever holds a struct calls its release function; zero-initialised is empty and
 *            valid. A context is borrowed by everything that takes it, and immutable.
 *
 * Levels: with K primes, keys live at level K, a fresh ciphertext at K-1 (or 1 if K is 1); level k
 * means the first k primes. Polynomials at level k: N words of the first prime, N of the second...
 */
enum {
    SEAL_MIN_DEGREE = 8,     /* kernels work on eights; a secure degree is 1024 or more */
    SEAL_MAX_DEGREE = 32768, /* the last row of the security table */
    SEAL_MAX_PRIMES = 64,    /* SEAL's limit before 4.4 */
    SEAL_ID_SIZE = 32,
    SEAL_SEED_SIZE = 64,
};

enum seal_scheme { SEAL_BFV = 1, SEAL_CKKS = 2 };
enum seal_prng { SEAL_BLAKE2XB = 1, SEAL_SHAKE256 = 2 };
enum seal_compression { SEAL_PLAIN, SEAL_ZLIB, SEAL_ZSTD };

/**
 * 4.1 is read by node-seal 5 to 7 and by SEAL 4.1 and 4.4; SEAL 4.2 and 4.3 (TenSEAL 0.3.18) read
 * only their own minor version and 3.x. 3.7 is read by every SEAL since 3.7.
 */
enum seal_version { SEAL_VERSION_4_1, SEAL_VERSION_3_7 };

/** How to write; NULL stands for all zero. */
struct seal_options {
    enum seal_version version;
    enum seal_compression compression;
};

/* ---- parameters ---- */

/** EncryptionParameters as read or as wished; a plain value. */
struct seal_params {
    enum seal_scheme scheme;
    size_t degree;               /* N */
    unsigned primes;             /* K */
    uint64_t q[SEAL_MAX_PRIMES]; /* (K) */
    uint64_t plain_modulus;      /* t; 0 for CKKS */
};

/**
 * Of the bytes only what their layout says is checked (scheme, degree, count and range of moduli);
 * the rest is seal_context_new's.
 */
CAIRN_MUST_CHECK int seal_params_read(struct span bytes, size_t *consumed, struct seal_params *out,
                                      struct cairn_problem *why);
CAIRN_MUST_CHECK int seal_params_write(const struct seal_params *params,
                                       const struct seal_options *options, struct buf *out);

/** Moduli as SEAL's CoeffModulus::Create(N, bits): of one size the smaller primes first.
 * @retval CAIRN_ERR_REFUSED  a size outside 2..60 or too few primes of it; out untouched */
CAIRN_MUST_CHECK int seal_params_create_moduli(size_t degree, const unsigned *bits, unsigned count,
                                               uint64_t *out, struct cairn_problem *why);

/** SEAL_128: log2 q as the 2018 standard allows it for 128 bits, which is SEAL's own rule (it
 * lets 54 bits pass at N = 2048, where the 2024 guidelines stop at 53). */
enum seal_security { SEAL_128, SEAL_INSECURE };

/** Parameters that have been found consistent, with tables. */
struct seal_context;

/**
 * @retval CAIRN_ERR_REFUSED  moduli not prime, not 1 mod 2N, not distinct, of 2..60 bits; a plain
 *         modulus that is out of range or shares a factor; too many bits for the security asked for
 */
CAIRN_MUST_CHECK int seal_context_new(const struct seal_params *params, enum seal_security security,
                                      struct seal_context **out, struct cairn_problem *why);
void seal_context_free(struct seal_context *context);
const struct seal_params *seal_context_params(const struct seal_context *context);
/** The level of fresh ciphertexts. */
unsigned seal_context_first_level(const struct seal_context *context);
/** parms_id of a level, 1 <= level <= K: SEAL_ID_SIZE bytes, borrowed. */
const uint8_t *seal_context_id(const struct seal_context *context, unsigned level);

/* ---- plaintexts and secret keys: secret ---- */

/**
 * BFV: N coefficients below t (a shorter one is filled up with zeros); level 0, scale 1.
 * CKKS: transformed, N words for each prime of its level.
 */
struct seal_plain {
    unsigned level;
    double scale;
    size_t count;    /* words */
    uint64_t *words; /* from secret_alloc */
};
CAIRN_MUST_CHECK int seal_plain_read(const struct seal_context *context, struct span bytes,
                                     size_t *consumed, struct seal_plain *out,
                                     struct cairn_problem *why);
/**
 * Never compressed, and BFV always with all N coefficients: lengths would tell about the content.
 * The bytes are secret; one allocation holds them all, so that the caller can wipe it.
 */
CAIRN_MUST_CHECK int seal_plain_write(const struct seal_context *context,
                                      const struct seal_plain *plain, enum seal_version version,
                                      struct buf *out);
void seal_plain_release(struct seal_plain *plain);

/** Any polynomial, transformed, modulo all K primes (SEAL does not ask for ternary ones). */
struct seal_secret_key {
    size_t count;    /* N K words */
    uint64_t *words; /* from secret_alloc */
};
/** Reading one that was compressed with zstd leaves pieces of it in memory that libzstd has freed:
 * keep secret keys uncompressed. */
CAIRN_MUST_CHECK int seal_secret_key_read(const struct seal_context *context, struct span bytes,
                                          size_t *consumed, struct seal_secret_key *out,
                                          struct cairn_problem *why);
/** As seal_plain_write: never compressed, the bytes are secret. */
CAIRN_MUST_CHECK int seal_secret_key_write(const struct seal_context *context,
                                           const struct seal_secret_key *key,
                                           enum seal_version version, struct buf *out);
void seal_secret_key_release(struct seal_secret_key *key);

/* ---- ciphertexts and public keys ---- */

struct seal_seed {
    enum seal_prng prng;
    uint8_t bytes[SEAL_SEED_SIZE];
};

/**
 * Two polynomials (c0, c1), decrypting as c0 + c1 s. BFV: coefficients; CKKS: transformed.
 * Reading expands a seeded one; `seeded` then tells that c1 still is what `seed` expands to, so
 * that writing may leave it out.
 */
struct seal_cipher {
    unsigned level;
    double scale; /* 1 for BFV */
    bool seeded;
    struct seal_seed seed;
    size_t count;    /* 2 N level words */
    uint64_t *words; /* c0, then c1 */
};
/** Besides malformed ones refuses: sizes other than 2, another level than a data level, seeded ones
 * with a 3.4/3.5 header, c1 = 0 (a plaintext in disguise). */
CAIRN_MUST_CHECK int seal_cipher_read(const struct seal_context *context, struct span bytes,
                                      size_t *consumed, struct seal_cipher *out,
                                      struct cairn_problem *why);
CAIRN_MUST_CHECK int seal_cipher_write(const struct seal_context *context,
                                       const struct seal_cipher *cipher,
                                       const struct seal_options *options, struct buf *out);
void seal_cipher_release(struct seal_cipher *cipher);

/** (-(a s + e), a), transformed, at level K. */
struct seal_public_key {
    struct seal_cipher pair;
};
CAIRN_MUST_CHECK int seal_public_key_read(const struct seal_context *context, struct span bytes,
                                          size_t *consumed, struct seal_public_key *out,
                                          struct cairn_problem *why);
CAIRN_MUST_CHECK int seal_public_key_write(const struct seal_context *context,
                                           const struct seal_public_key *key,
                                           const struct seal_options *options, struct buf *out);
void seal_public_key_release(struct seal_public_key *key);

/**
 * The uniform polynomial of a seed, as SEAL samples it, reduced modulo the first `level` primes.
 * Public. The representation is whatever the ciphertext's is.
 * @param[out] out  (N level)
 */
CAIRN_MUST_CHECK int seal_expand(const struct seal_context *context, const struct seal_seed *seed,
                                 unsigned level, uint64_t *out);

#endif
