/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAIRN_FILES_H
#define CAIRN_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cairn/err.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * The same cryptography on files, for people who bring their own transport.
 *
 *   keygen   once: the PUBLIC FILE, for every client, and the secret key, for who opens sums
 *   encrypt  every client: its model (safetensors, or an array in .npy) becomes an update file
 *   add      anybody: update files become one, which is a sum and may be added again
 *   decrypt  the holder of the secret key: the sum becomes the weighted mean, in the format of the
 *            models
 *
 * The public file carries everything that clients have to agree on: key, parameters, nonce, range,
 * largest number of samples. Nothing is held in memory but one frame (some MB) of each file, so
 * models may be larger than memory. A file that is written appears whole or not at all. Threads that
 * are started end before the call returns; what is written does not depend on how many there are.
 *
 * FORMAT "cairn" is the above. "seal" and "tenseal" have other programs' objects in the files, so that
 * Microsoft SEAL, node-seal and TenSEAL can encrypt, add and open too; what these objects have no
 * room for stands in FILE.json beside each file, to be copied with it:
 *
 *   seal     public file: a SEAL PublicKey, with its EncryptionParameters in PUBLIC.parms; secret
 *            key: a SEAL SecretKey; update: SEAL Ciphertexts, one after the other. Profiles bfv and
 *            seal-ckks.
 *   tenseal  public file and secret key: TenSEAL contexts; update: a CKKSVector, whose slots hold
 *            samples * value. Profile seal-ckks. A vector without FILE.json is that of a TenSEAL
 *            client, of weight 1.
 *
 * All steps are told the same format, and work on the calling thread. Such ciphertexts are longer
 * than cairn's, for SEAL gives every word 64 bits (seal-ckks: 768 bits a value).
 *
 * Errors are CAIRN_ERR_USAGE for options that are wrong, CAIRN_ERR_DATA for a file that is missing,
 * of another kind or holds what cannot be encrypted, CAIRN_ERR_INTEGRITY for one that is damaged,
 * CAIRN_ERR_REFUSED for files that do not belong together, CAIRN_ERR_STORAGE for a disk that
 * refuses, and those named below.
 */

enum { CAIRN_FILES_ID_SIZE = 96 };

/** What was done, for people; filled on success. */
struct cairn_files_report {
    char parameters[CAIRN_FILES_ID_SIZE]; /* id of the parameter set */
    bool encrypted;                       /* false: profile none */
    uint32_t round;
    uint32_t contributors;                /* in the file that was written or opened */
    uint64_t weight;                      /* their samples */
    uint64_t params;                      /* values of the model */
    uint32_t frames;
    uint64_t bytes;                       /* of the file that was written */
    uint64_t clamped;                     /* encrypt: values out of range, with `clip` */
};

struct cairn_keygen_options {
    size_t size;              /* of this struct: set by cairn_keygen_options_init */
    const char *profile;      /* "none", "bfv", "seal-ckks", "capsule" (the default) */
    unsigned value_bits;      /* 2..24; default 16 */
    uint32_t contributors;    /* N: no more clients than this in one sum. No default. */
    double range;             /* values lie within +-range; default 1 */
    uint64_t largest_samples; /* of any client; default 1: the plain mean */
    bool force;               /* replace files that are there */
    const char *format;       /* NULL: "cairn"; "seal"; "tenseal" */
    const char *seal_version; /* of SEAL's objects: "4.1", "3.7"; NULL: 4.1, for tenseal 3.7 */
};

CAIRN_API void cairn_keygen_options_init(struct cairn_keygen_options *options);
/**
 * @param secret_path  mode 0600; not for profile none, which has no key
 * @retval CAIRN_ERR_CONFIG   no parameters keep their promises for this
 * @retval CAIRN_ERR_STORAGE  also: a file is there already, or is a symbolic link
 */
CAIRN_API CAIRN_MUST_CHECK int cairn_files_keygen(const struct cairn_keygen_options *options,
                                                  const char *public_path, const char *secret_path,
                                                  struct cairn_files_report *report,
                                                  struct cairn_problem *why);

struct cairn_encrypt_options {
    size_t size;              /* of this struct: set by cairn_encrypt_options_init */
    const char *public_path;  /* what keygen wrote */
    const char *in;           /* safetensors (F32) or .npy (<f4) */
    const char *out;
    const char *base;         /* NULL, or what the clients started from: in - base is sent */
    uint32_t index;           /* number of this client, 0 .. N-1. No default. */
    uint64_t samples;         /* its weight; default 1 */
    uint32_t round;           /* default 1; another one for every sum that is opened */
    bool clip;                /* clamp what is out of range instead of refusing it */
    const uint64_t *seed;     /* of the stochastic rounding; NULL: from the operating system */
    /* what every client must choose alike; the default is what the public file says */
    const char *profile;
    double range;
    uint64_t largest_samples;
    unsigned threads; /* that encrypt; 0 (the default): one per processor */
    const char *format; /* as keygen's */
};

CAIRN_API void cairn_encrypt_options_init(struct cairn_encrypt_options *options);
CAIRN_API CAIRN_MUST_CHECK int cairn_files_encrypt(const struct cairn_encrypt_options *options,
                                                   struct cairn_files_report *report,
                                                   struct cairn_problem *why);

/**
 * Add n >= 1 update files.
 * @retval CAIRN_ERR_REFUSED  they differ in what must be equal, or one client is in two of them;
 *                            both files are named, and what differs
 */
CAIRN_API CAIRN_MUST_CHECK int cairn_files_add(const char *const *paths, size_t n, const char *out,
                                               struct cairn_files_report *report,
                                               struct cairn_problem *why);

/**
 * The same for files of this format; NULL is "cairn".
 * @param public_path  what keygen wrote, to take TenSEAL vectors without a FILE.json, each for one
 *                     client of weight 1; NULL: refuse them
 */
CAIRN_API CAIRN_MUST_CHECK int cairn_files_add_format(const char *format, const char *public_path,
                                                      const char *const *paths, size_t n,
                                                      const char *out,
                                                      struct cairn_files_report *report,
                                                      struct cairn_problem *why);

struct cairn_decrypt_options {
    size_t size;             /* of this struct: set by cairn_decrypt_options_init */
    const char *secret_path; /* NULL only for profile none */
    const char *in;
    const char *out;
    const char *base;        /* NULL, or the model that was the base of the updates: base + mean */
    bool sum;                /* the sum of samples * model instead of the mean */
    uint32_t floor;          /* fewer contributors are not opened; default 3 */
    unsigned threads;        /* that open; 0 (the default): one per processor */
    const char *format;      /* as keygen's */
};

CAIRN_API void cairn_decrypt_options_init(struct cairn_decrypt_options *options);
/**
 * @retval CAIRN_ERR_QUORUM       fewer contributors than the floor, or no samples in the sum
 * @retval CAIRN_ERR_ENVIRONMENT  the secret key's file can be read by others
 * @retval CAIRN_ERR_IDENTITY     the secret key is not of the pair that encrypted this
 * @retval CAIRN_ERR_INTEGRITY    not an honest sum; no more is told
 */
CAIRN_API CAIRN_MUST_CHECK int cairn_files_decrypt(const struct cairn_decrypt_options *options,
                                                   struct cairn_files_report *report,
                                                   struct cairn_problem *why);

#ifdef __cplusplus
}
#endif

#endif
