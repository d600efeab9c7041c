/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HE_HE_CKKS_H
#define HE_HE_CKKS_H

#include "ckks_encoder.h"
#include "he_keys.h"
#include "rlwe.h"

/**
 * Profile seal-ckks: public-key CKKS with the parameters of the project that cairn descends from,
 * as Microsoft SEAL computes it, so that SEAL, node-seal and TenSEAL open its sums.
 *
 *   N = 8192, data primes of 60, 40 and 40 bits, a special prime of 60, scale 2^40
 *
 * The quantised whole numbers stand in the 4096 slots, one each. A chunk's payload is (c0, c1),
 * transformed, modulo the three data primes. Opening decodes, rounds every slot to a whole number
 * and lets out nothing else: a CKKS decryption with its noise tells about the key (Li and
 * Micciancio, ePrint 2020/1533).
 */
enum {
    HE_CKKS_DEGREE = 8192,
    HE_CKKS_SLOTS = HE_CKKS_DEGREE / 2,
    HE_CKKS_PRIMES = 4,         /* of keys; the last is the special one */
    HE_CKKS_LEVEL = 3,          /* primes of a ciphertext */
    HE_CKKS_MODULUS_BITS = 200, /* all four: what the hardness of a public key hangs on */
    HE_CKKS_SCALE_BITS = 40,
    HE_CKKS_WORDS = HE_CKKS_PRIMES * HE_CKKS_DEGREE, /* of a polynomial of a key */
};
/* SEAL's CoeffModulus::Create(8192, {60, 40, 40, 60}); the test makes them again. */
#define HE_CKKS_Q1 UINT64_C(0xffffffffffe8001)
#define HE_CKKS_Q2 UINT64_C(0xfffff4c001)
#define HE_CKKS_Q3 UINT64_C(0xfffffdc001)
#define HE_CKKS_SPECIAL UINT64_C(0xfffffffffffc001)

/** Bits of a field modulo each of them. */
extern const uint64_t he_ckks_primes[HE_CKKS_PRIMES];
extern const unsigned he_ckks_prime_bits[HE_CKKS_PRIMES];

static inline bool he_is_ckks(const struct he_params *params)
{
    return params->profile == HE_SEAL_CKKS;
}

/** (b, a) = (-(a s + e), a) modulo all four primes, transformed. */
struct he_ckks_public_key {
    _Alignas(64) uint64_t pair[2 * HE_CKKS_WORDS];
    uint8_t seed[32]; /* a = he_ckks_expand(seed) */
};

/** Ternary s modulo all four primes, transformed; from secret_alloc. */
struct he_ckks_secret_key {
    _Alignas(64) uint64_t hat[HE_CKKS_WORDS];
};

/** Tables, made at the first call, immutable afterwards, any thread, never freed.
 * @return NULL without memory */
const struct rns_ring *he_ckks_ring(void);
const struct ckks_encoder *he_ckks_encoder(void);

/* ---- he_ckks_keys.c ---- */

CAIRN_MUST_CHECK int he_ckks_keygen(struct secret_rng *rng, struct he_secret_key **secret,
                                    struct he_public_key **public_key);
/** Empty keys whose part `ckks` is there. @return NULL without memory */
struct he_public_key *he_ckks_public_key_new(void);
struct he_secret_key *he_ckks_secret_key_new(void);
/**
 * The public polynomial of a key, transformed, modulo all primes. Modulo prime p: the stream of
 * random_expand under he_prime_seed("cairn seal-ckks a v1", seed, number of p, from 0), cut into 8-byte words, each kept when its low bits, as many as p has, are below p.
 * @param[out] a  (HE_CKKS_WORDS)
 * @retval CAIRN_ERR_ENVIRONMENT, CAIRN_ERR_NO_MEMORY
 */
CAIRN_MUST_CHECK int he_ckks_expand(const uint8_t seed[32], uint64_t *a);

/* ---- he_ckks_key_file.c: the halves of he_key_file.c and he_secret_file.c for these keys ---- */

CAIRN_MUST_CHECK int he_ckks_public_key_write(const struct he_public_key *key, struct buf *out);
CAIRN_MUST_CHECK int he_ckks_public_key_read(struct span bytes, struct he_public_key **out,
                                             struct cairn_problem *why);
/** Does the header say so? */
bool he_ckks_is_secret_key(struct span bytes);
CAIRN_MUST_CHECK int he_ckks_secret_key_write(const struct he_secret_key *key,
                                              const uint8_t id[HE_KEY_ID_SIZE], uint8_t *out);
CAIRN_MUST_CHECK int he_ckks_secret_key_read(struct span bytes, struct he_secret_key **out,
                                             uint8_t id[HE_KEY_ID_SIZE], struct cairn_problem *why);

/* ---- he_ckks.c ---- */

/** As struct he_scratch: all temporaries that depend on a secret. About 1.1 MiB. */
struct he_ckks_scratch {
    _Alignas(64) uint64_t pair[2 * HE_CKKS_WORDS];
    uint64_t poly[HE_CKKS_WORDS];
    uint64_t work[HE_CKKS_DEGREE];
    struct ckks_complex numbers[HE_CKKS_DEGREE];
    double values[HE_CKKS_SLOTS];
    int32_t small[HE_CKKS_DEGREE];
    uint8_t random[6 * HE_CKKS_DEGREE];
};

/** (c0, c1) of chunk j, 2 N HE_CKKS_LEVEL words, transformed. @return 0, or all ones if a word is
 * not below its prime */
uint64_t he_ckks_unpack_chunk(const struct he_params *params, const uint8_t *payload, size_t n,
                              size_t j, uint64_t *pair);
/** And back, for words that are below their primes. */
void he_ckks_pack_chunk(const struct he_params *params, uint8_t *payload, size_t n, size_t j,
                        const uint64_t *pair);
/** As he_encrypt and he_open, for values in range and a key of this profile.
 * @param[in,out] bad  all ones is or-ed to it for what is no honest sum
 * @retval CAIRN_ERR_NO_ENTROPY, CAIRN_ERR_NO_MEMORY */
CAIRN_MUST_CHECK int he_ckks_encrypt(const struct he_params *params,
                                     const struct he_public_key *key, struct secret_rng *rng,
                                     const int32_t *values, size_t n, uint8_t *payload,
                                     struct he_crew *crew);
CAIRN_MUST_CHECK int he_ckks_open(const struct he_params *params, const struct he_secret_key *key,
                                  uint32_t contributors, const uint8_t *payload, size_t n,
                                  int64_t *sums, uint64_t *bad, struct he_crew *crew);

/* ---- he_ckks_params.c ---- */

/** Everything but what is the same for all profiles. @retval CAIRN_ERR_CONFIG  cannot be promised,
 * and what could be changed */
CAIRN_MUST_CHECK int he_ckks_choose(unsigned value_bits, uint32_t contributors,
                                    struct he_params *out, struct cairn_problem *why);

#endif
