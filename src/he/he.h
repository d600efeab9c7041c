/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HE_HE_H
#define HE_HE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cairn/err.h>

#include "buf.h"
#include "random.h"

/**
 * Sums of quantised values, in plain or encrypted, behind one interface.
 *
 * A PAYLOAD is one frame's worth of values. It is a row of SECTIONS, each a run of
 * fields of `bits` bits packed tightly, little-endian, added modulo 2^bits or modulo a prime of that
 * length. Nothing else is needed to add two payloads, so whoever adds knows no key and no profile.
 *
 *   none     [value fields, 32, 64 or as few bits as do]  no protection at all
 *   bfv      [c0, K0 bits][c1, K1 bits]                   public-key BFV, lanes, switched to 2^K
 *   capsule  [b, K bits][capsule c0, K0][capsule c1, K1]  one polynomial a chunk, and the one-time
 *                                                         key itself under profile bfv
 *   seal-ckks  [c0 mod q1][q2][q3][c1 mod q1][q2][q3]     public-key CKKS as Microsoft SEAL has it:
 *                                                         large, and there to compare and to be read
 */
enum he_profile { HE_NONE, HE_BFV, HE_CAPSULE, HE_SEAL_CKKS };
enum { HE_PROFILES = 4 };

/** "none", "bfv", "capsule", "seal-ckks" */
const char *he_profile_name(enum he_profile profile);
/** @return 0, or -1 for another word */
int he_profile_from_name(const char *name, enum he_profile *out);

enum { HE_MAX_SECTIONS = 6, HE_NONCE_SIZE = 32, HE_ID_SIZE = 96 };

struct he_section {
    unsigned bits; /* of each field, 1..64; up to 100 at N = 4096 */
    size_t count;  /* fields; bits * count is a multiple of 8 */
    uint64_t modulus; /* 0: 2^bits; else a prime of `bits` bits, below 2^61 */
};

/** Lanes of one polynomial under public-key BFV. */
struct he_bfv_set {
    unsigned lanes;         /* L: values per coefficient */
    uint64_t radix;         /* r: odd, lane values of a sum lie in (-r/2, r/2) */
    uint64_t plain_modulus; /* t: smallest prime = 1 mod 2N above r^L */
    unsigned bits0, bits1;  /* K0, K1: bits of a c0 and a c1 field on the wire */
    double failure_log2;    /* log2 of the bound on a wrong sum over 2^40 coefficients */
    uint64_t step; /* N = 4096: D = floor(2^K0 / r^L), and plain_modulus is 0; else 0 */
};

/** Everything that follows from (profile, value bits, most contributors). Immutable. */
struct he_params {
    enum he_profile profile;
    unsigned value_bits;       /* b: values lie in +-(2^(b-1)-1) */
    uint32_t max_contributors; /* n */
    size_t degree;             /* N, ring degree; 0 for none */
    uint64_t modulus;          /* q; seal-ckks: its first prime, the others are in he_ckks.h */
    struct he_bfv_set bfv;     /* profile bfv: of the values; capsule: of the capsule's key */
    unsigned lanes;            /* values per coefficient of the payload; 1 for none, seal-ckks */
    uint64_t radix;            /* of the payload's lanes; seal-ckks: of the sums in its slots */
    uint64_t step;             /* capsule: D = floor(2^K / r^L) */
    unsigned bits;             /* capsule: K; none: of a field */
    double failure_log2;       /* of one whole opening, both parts; -inf: it cannot happen */
    double security_bits;      /* estimate of the weakest part, security.c; 0 for none */
    double security_margin_bits; /* log2 q below the 128-bit limit of the 2024 guidelines */
    double bits_per_param;     /* payload bits, without capsule, headers and padding */
    size_t chunk_params;       /* values per polynomial: N * L; 1 for none; seal-ckks: N / 2 */
    char id[HE_ID_SIZE];       /* text form, "capsule-2048-50-b16-n12-L2-K45-..." */
    uint16_t short_id;         /* from the text form; goes into every frame */
    uint64_t modulus2;         /* N = 4096: q = modulus * modulus2; else 0 */
};

/**
 * The parameter chooser: the fewest bits on the wire whose failure bound and security it can
 * promise.
 * @retval CAIRN_ERR_CONFIG  what cannot be promised, and what could be changed
 */
CAIRN_MUST_CHECK int he_params_choose(enum he_profile profile, unsigned value_bits,
                                      uint32_t max_contributors, struct he_params *out,
                                      struct cairn_problem *why);

/**
 * Profile none in as few bits as the sums need, b + ceil(log2 n) at most: for what goes in plain beside something
 * encrypted. (Profile none by itself has fields of 32 or 64 bits, which any program can read.)
 * @retval CAIRN_ERR_CONFIG  the range of he_params_choose
 */
CAIRN_MUST_CHECK int he_params_plain(unsigned value_bits, uint32_t max_contributors,
                                     struct he_params *out, struct cairn_problem *why);

/** Sections of a payload of n values, n >= 1. @return how many, at most HE_MAX_SECTIONS */
unsigned he_sections(const struct he_params *params, size_t n,
                     struct he_section sections[HE_MAX_SECTIONS]);
/** Bytes of a payload of n values. */
size_t he_payload_bytes(const struct he_params *params, size_t n);
/**
 * Has a payload of somebody else's the form of one? Sections modulo a prime have fields below it;
 * of 2^bits every field is one. To be asked before anything is added: nothing secret.
 * @retval CAIRN_ERR_REFUSED  names the first field that is not
 */
CAIRN_MUST_CHECK int he_check_fields(const struct he_params *params, size_t n,
                                     const uint8_t *payload, struct cairn_problem *why);
/** sum += payload, section by section. Both he_payload_bytes(params, n) long, their fields checked.
 * Nothing secret. */
void he_add(const struct he_params *params, size_t n, uint8_t *sum, const uint8_t *payload);

/** Public key: (-(a s + e), a) in the coefficient domain, a expanded from a seed. Owner frees. */
struct he_public_key;
/** Secret key, in secret memory. Owner frees. */
struct he_secret_key;

/**
 * A fresh key pair. Not for HE_NONE.
 * @retval CAIRN_ERR_NO_MEMORY, CAIRN_ERR_NO_ENTROPY  both outputs NULL
 */
CAIRN_MUST_CHECK int he_keygen(const struct he_params *params, struct secret_rng *rng,
                               struct he_secret_key **secret, struct he_public_key **public_key);
void he_secret_key_free(struct he_secret_key *key);
void he_public_key_free(struct he_public_key *key);
/** Append the key's bytes: versioned header with length, seed and packed coefficients, digest. */
CAIRN_MUST_CHECK int he_public_key_write(const struct he_public_key *key, struct buf *out);
/** @retval CAIRN_ERR_MALFORMED  length, version, coefficient not below q;  CAIRN_ERR_INTEGRITY
 *                              digest */
CAIRN_MUST_CHECK int he_public_key_read(struct span bytes, const struct he_params *params,
                                        struct he_public_key **out, struct cairn_problem *why);

enum { HE_SECRET_KEY_SIZE = 600, HE_KEY_ID_SIZE = 32 };
/** Keys of the ring of N = 4096 and of profile seal-ckks are longer; he_secret_key_size tells. */
enum { HE_SECRET_KEY_WIDE_SIZE = 1120, HE_SECRET_KEY_CKKS_SIZE = 2160 };
/** Bytes that he_secret_key_write writes for this key. */
size_t he_secret_key_size(const struct he_secret_key *key);
/** The name of a key pair: digest of the public key's bytes. @retval CAIRN_ERR_NO_MEMORY */
CAIRN_MUST_CHECK int he_public_key_id(const struct he_public_key *key, uint8_t id[HE_KEY_ID_SIZE]);
/**
 * The secret key's bytes: versioned header with length, id of the pair, coefficients, digest.
 * @param id   of the pair; stored beside the key, so that a wrong key is noticed before it is used
 * @param out  he_secret_key_size(key) bytes, from secret_alloc; zeroed on failure
 * @retval CAIRN_ERR_NO_MEMORY
 */
CAIRN_MUST_CHECK int he_secret_key_write(const struct he_secret_key *key,
                                         const uint8_t id[HE_KEY_ID_SIZE], uint8_t *out);
/**
 * @param bytes  in secret memory
 * @param[out] id  of the pair
 * @retval CAIRN_ERR_MALFORMED  length, version, ring, a coefficient that is none, too heavy
 * @retval CAIRN_ERR_INTEGRITY  digest
 * @retval CAIRN_ERR_NO_MEMORY
 */
CAIRN_MUST_CHECK int he_secret_key_read(struct span bytes, struct he_secret_key **out,
                                        uint8_t id[HE_KEY_ID_SIZE], struct cairn_problem *why);

struct parallel;
/** Threads for encrypting and opening, with working memory for each: 150 KiB, 570 KiB at N = 4096,
 * 1.1 MiB for profile seal-ckks. One call at a time. */
struct he_crew;
/** @param team  parallel.h; borrowed; NULL is the calling thread alone. Any frame comes out the same
 *               with any team.
 * @param[out] out  NULL for profile none, which needs none
 * @retval CAIRN_ERR_NO_MEMORY  *out is NULL. Free with he_crew_free (NULL is ignored). */
CAIRN_MUST_CHECK int he_crew_new(const struct he_params *params, struct parallel *team,
                                 struct he_crew **out);
void he_crew_free(struct he_crew *crew);
/** Working memory of a crew of so many threads; 0 for profile none. */
size_t he_crew_bytes(const struct he_params *params, unsigned threads);

/**
 * Encrypt one frame.
 * @param key      NULL only for HE_NONE; borrowed
 * @param crew     of the same parameters; NULL: the calling thread, with memory of its own
 * @param nonce    public, of the experiment; with (round, frame, chunk) it names the public
 *                 polynomials
 * @param values   n values, |v| <= 2^(b-1)-1
 * @param[out] payload  he_payload_bytes(params, n); zeroed on failure
 * @retval CAIRN_ERR_REFUSED  a value outside the range (index in why), n above 4096 polynomials, a
 *                            key of another ring
 * @retval CAIRN_ERR_NO_ENTROPY, CAIRN_ERR_NO_MEMORY, CAIRN_ERR_ENVIRONMENT
 */
CAIRN_MUST_CHECK int he_encrypt(const struct he_params *params, const struct he_public_key *key,
                                struct secret_rng *rng, struct he_crew *crew,
                                const uint8_t nonce[HE_NONCE_SIZE], uint32_t round, uint32_t frame,
                                const int32_t *values, size_t n, uint8_t *payload,
                                struct cairn_problem *why);

/**
 * Open the sum of `contributors` payloads.
 * The caller sees to it that a (round, frame) is opened once, for one contributor set
 * (fed/round.h).
 * @param secret   NULL only for HE_NONE
 * @param crew     as for he_encrypt
 * @param[out] sums  n exact sums; zeroed on failure
 * @retval CAIRN_ERR_REFUSED    contributors 0 or above max_contributors, n above 4096 polynomials,
 *                              a key of another ring
 * @retval CAIRN_ERR_INTEGRITY  not an honest sum of that many payloads; no more is told
 */
CAIRN_MUST_CHECK int he_open(const struct he_params *params, const struct he_secret_key *secret,
                             struct he_crew *crew, const uint8_t nonce[HE_NONCE_SIZE],
                             uint32_t round, uint32_t frame, uint32_t contributors,
                             const uint8_t *payload, size_t n, int64_t *sums,
                             struct cairn_problem *why);

#endif
