/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SEAL_SEAL_LOOK_H
#define SEAL_SEAL_LOOK_H

#include "seal.h"

/**
 * What an object is, told without parameters: SEAL's objects do not say, but their layouts differ
 * in where the first nested header stands. A description for people and for refusing to overwrite
 * keys; whoever uses an object reads it with seal.h.
 */
enum seal_kind {
    SEAL_KIND_PARAMS,
    SEAL_KIND_PLAIN,  /* a BFV plaintext */
    SEAL_KIND_SECRET, /* secret key; a CKKS plaintext of scale 1 looks the same */
    SEAL_KIND_CKKS_PLAIN,
    SEAL_KIND_CIPHER, /* ciphertext, or public key: these differ in their level only */
};

struct seal_look {
    enum seal_kind kind;
    unsigned major, minor;
    enum seal_compression compression;
    enum seal_scheme scheme; /* parameters */
    uint64_t degree;         /* parameters, ciphertexts */
    uint64_t primes;         /* parameters, ciphertexts */
    uint64_t words;          /* plaintexts, keys */
    uint64_t polynomials;    /* ciphertexts */
    bool ntt;                /* ciphertexts */
    double scale;            /* all but parameters */
    uint8_t id[SEAL_ID_SIZE]; /* parms_id; all but parameters */
};

/** "parameters", "ciphertext or public key"... */
const char *seal_kind_name(enum seal_kind kind);
bool seal_look_begins(struct span bytes);
enum { SEAL_LOOK_HEADER = 16 };
/** How long an object is as stored, from its header alone. @return 0  no header */
uint64_t seal_look_size(const uint8_t header[SEAL_LOOK_HEADER]);
/** The object at the front of `bytes`, which may be followed by others.
 * @retval CAIRN_ERR_MALFORMED, CAIRN_ERR_REFUSED  none that is known */
CAIRN_MUST_CHECK int seal_look(struct span bytes, size_t *consumed, struct seal_look *out,
                               struct cairn_problem *why);

#endif
