/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAIRN_HE_H
#define CAIRN_HE_H

#include <stddef.h>
#include <stdint.h>

#include <cairn/err.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Exact sums of small integers, in plain or encrypted, in memory.
 *
 * Every client encrypts a run of values into a PAYLOAD, anybody adds payloads without a key, and
 * whoever holds the secret key opens the sum:
 *
 *     cairn_params_new -> cairn_keygen -> cairn_encrypt ... -> cairn_add ... -> cairn_open
 *
 * Payloads add up when they come from the same parameters, key, nonce, round, frame and n.
 * Opening two sums of the same updates that differ in one client shows that client's update: open
 * each (nonce, round, frame) once, for one set of clients, and not for fewer than three.
 * Payloads are not authenticated: who sent them is for the transport to know.
 *
 * What holds for every function of libcairn: it returns 0 or a CAIRN_ERR_*, fills `why` (which may
 * be NULL) when it fails, never prints and never exits. A NULL where none is allowed, or a size
 * that is wrong, is CAIRN_ERR_USAGE. Objects are opaque, immutable once made, owned by who made
 * them, and may be used by several threads at once; freeing NULL is allowed. Buffers are the
 * caller's.
 */
enum cairn_profile {
    CAIRN_PROFILE_NONE,      /* no protection at all: to compare with */
    CAIRN_PROFILE_BFV,       /* public-key BFV */
    CAIRN_PROFILE_CAPSULE,   /* one polynomial a chunk under a one-time key: the smallest */
    CAIRN_PROFILE_SEAL_CKKS, /* CKKS as Microsoft SEAL has it, 560 bits a value: to compare */
};

enum {
    CAIRN_NONCE_SIZE = 32,
    CAIRN_SECRET_KEY_MOST = 2160, /* cairn_secret_key_write writes no more bytes, often fewer */
};

/** "0.1.0" */
CAIRN_API const char *cairn_version(void);

/* ---- parameters ---- */

struct cairn_params;

/**
 * The smallest parameters that keep their promises for sums of up to `contributors` payloads.
 * @param value_bits    b, 2..32, of CAIRN_PROFILE_SEAL_CKKS 2..24: values lie in +-(2^(b-1) - 1)
 * @param contributors  1..10000
 * @retval CAIRN_ERR_CONFIG  what cannot be promised, and what could be changed; *out is untouched
 */
CAIRN_API CAIRN_MUST_CHECK int cairn_params_new(enum cairn_profile profile, unsigned value_bits,
                                                uint32_t contributors, struct cairn_params **out,
                                                struct cairn_problem *why);
CAIRN_API void cairn_params_free(struct cairn_params *params);
/** Text that is equal exactly when the parameters are; "" for NULL. Lives as long as they do. */
CAIRN_API const char *cairn_params_id(const struct cairn_params *params);
/** log2 of the bound on a wrong sum among 2^40 coefficients; -infinity where it cannot happen
 * (profiles none and seal-ckks), NAN for NULL. */
CAIRN_API double cairn_params_failure_log2(const struct cairn_params *params);
/** Estimated security; 0 for profile none, NAN for NULL. */
CAIRN_API double cairn_params_security_bits(const struct cairn_params *params);
/** The largest magnitude of a value, 2^(b-1) - 1; 0 for NULL. */
CAIRN_API int32_t cairn_params_limit(const struct cairn_params *params);
/** Bytes of a payload of n values; 0 for NULL, n = 0 and n above what one payload may hold. */
CAIRN_API size_t cairn_payload_size(const struct cairn_params *params, size_t n);

/* ---- keys ---- */

struct cairn_public_key;
struct cairn_secret_key; /* in guarded memory, wiped when freed */

/** A fresh pair. @retval CAIRN_ERR_USAGE also for profile none;
 * CAIRN_ERR_NO_ENTROPY, CAIRN_ERR_NO_MEMORY: outputs untouched */
CAIRN_API CAIRN_MUST_CHECK int cairn_keygen(const struct cairn_params *params,
                                            struct cairn_secret_key **secret,
                                            struct cairn_public_key **public_key,
                                            struct cairn_problem *why);
CAIRN_API void cairn_public_key_free(struct cairn_public_key *key);
CAIRN_API void cairn_secret_key_free(struct cairn_secret_key *key);
/**
 * A key as bytes.
 * @param[in,out] size  in: bytes that `out` holds; out: bytes of the key, also when `out` is too
 *                      small
 * @param out  may be NULL when *size is 0, to ask for the size
 * @retval CAIRN_ERR_USAGE  `out` is too small and untouched
 */
CAIRN_API CAIRN_MUST_CHECK int cairn_public_key_write(const struct cairn_public_key *key,
                                                      uint8_t *out, size_t *size,
                                                      struct cairn_problem *why);
/** @retval CAIRN_ERR_MALFORMED, CAIRN_ERR_INTEGRITY, CAIRN_ERR_NO_MEMORY  *out is untouched */
CAIRN_API CAIRN_MUST_CHECK int cairn_public_key_read(const struct cairn_params *params,
                                                     const uint8_t *bytes, size_t size,
                                                     struct cairn_public_key **out,
                                                     struct cairn_problem *why);
/** The same for the secret key. Its bytes are as secret as the key: wipe them when done. */
CAIRN_API CAIRN_MUST_CHECK int cairn_secret_key_write(const struct cairn_secret_key *key,
                                                      uint8_t *out, size_t *size,
                                                      struct cairn_problem *why);
CAIRN_API CAIRN_MUST_CHECK int cairn_secret_key_read(const struct cairn_params *params,
                                                     const uint8_t *bytes, size_t size,
                                                     struct cairn_secret_key **out,
                                                     struct cairn_problem *why);

/* ---- the three steps ---- */

/** A nonce for one experiment, public; all its clients use the same.
 * @retval CAIRN_ERR_NO_ENTROPY */
CAIRN_API CAIRN_MUST_CHECK int cairn_nonce_new(uint8_t nonce[CAIRN_NONCE_SIZE],
                                               struct cairn_problem *why);
/**
 * Encrypt n values.
 * @param key           NULL only for profile none
 * @param round, frame  numbers of this run of values within the experiment
 * @param payload_size  exactly cairn_payload_size(params, n)
 * @param[out] payload  zeroed on failure
 * @retval CAIRN_ERR_REFUSED  a value out of range, its index in why
 * @retval CAIRN_ERR_NO_ENTROPY, CAIRN_ERR_NO_MEMORY, CAIRN_ERR_ENVIRONMENT
 */
CAIRN_API CAIRN_MUST_CHECK int
cairn_encrypt(const struct cairn_params *params, const struct cairn_public_key *key,
              const uint8_t nonce[CAIRN_NONCE_SIZE], uint32_t round, uint32_t frame,
              const int32_t *values, size_t n, uint8_t *payload, size_t payload_size,
              struct cairn_problem *why);
/** sum += payload; both of n values and payload_size bytes. Needs no key.
 * @retval CAIRN_ERR_REFUSED  a payload that nobody can have encrypted; sum is untouched */
CAIRN_API CAIRN_MUST_CHECK int cairn_add(const struct cairn_params *params, size_t n, uint8_t *sum,
                                         const uint8_t *payload, size_t payload_size,
                                         struct cairn_problem *why);
/**
 * Open the sum of `contributors` payloads.
 * @param secret     NULL only for profile none
 * @param[out] sums  n exact sums; zeroed on failure
 * @retval CAIRN_ERR_REFUSED    no contributors, or more than the parameters allow
 * @retval CAIRN_ERR_INTEGRITY  no honest sum of that many payloads under this key; no more is told
 */
CAIRN_API CAIRN_MUST_CHECK int
cairn_open(const struct cairn_params *params, const struct cairn_secret_key *secret,
           const uint8_t nonce[CAIRN_NONCE_SIZE], uint32_t round, uint32_t frame,
           uint32_t contributors, const uint8_t *payload, size_t payload_size, int64_t *sums,
           size_t n, struct cairn_problem *why);

#ifdef __cplusplus
}
#endif

#endif
