/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SEAL_TENSEAL_H
#define SEAL_TENSEAL_H

#include <stdbool.h>

#include "buf.h"

/**
 * TenSEAL's wrappers of SEAL objects: the protocol buffers of a CKKSVector and of a context. SEAL's
 * bytes inside are handed out as they are, for seal.h; they point into what was read.
 *
 *   CKKSVector  1: values in each ciphertext, repeated uint32 · 2: ciphertexts, repeated bytes ·
 *               3: scale, double
 *   Context     1: parameters · 2: public {1: public key · 2: flags · 3: scale ·
 *               4: relinearisation keys · 5: Galois keys} ·
 *               3: private {1: secret key · 2, 3: keys can be made} ·
 *               4: 1 for symmetric encryption
 *
 * Checked with TenSEAL 0.3.18, which carries SEAL 4.3: it reads headers 4.3 and 3.x, so write for
 * it with SEAL_VERSION_3_7. It writes zstd.
 * @retval CAIRN_ERR_MALFORMED  not such a message, with the byte where; nothing is handed out
 */
enum {
    TENSEAL_MAX_CHUNKS = 65536, /* 2^28 values at N = 8192 */
    TENSEAL_FLAGS = 7,          /* relinearise, rescale and switch moduli by itself: its default */
};

struct tenseal_vector {
    size_t chunks;            /* >= 1 */
    uint32_t *sizes;          /* (chunks) values that a ciphertext holds, each >= 1 */
    struct span *ciphertexts; /* (chunks) SEAL ciphertexts, borrowed */
    double scale;
};
CAIRN_MUST_CHECK int tenseal_vector_read(struct span bytes, struct tenseal_vector *out,
                                         struct cairn_problem *why);
/** Frees the arrays, not what they point to. */
void tenseal_vector_release(struct tenseal_vector *vector);
CAIRN_MUST_CHECK int tenseal_vector_write(const struct tenseal_vector *vector, struct buf *out);

/** Absent parts are empty spans. Keys for relinearising and rotating are passed over. */
struct tenseal_context {
    struct span params;
    struct span public_key;
    struct span secret_key;
    double scale; /* 0: none */
    uint32_t flags;
    bool symmetric; /* encrypts with the secret key: no public key */
};
CAIRN_MUST_CHECK int tenseal_context_read(struct span bytes, struct tenseal_context *out,
                                          struct cairn_problem *why);
/** With a secret key the bytes are secret: one allocation holds them, the caller wipes it. */
CAIRN_MUST_CHECK int tenseal_context_write(const struct tenseal_context *context, struct buf *out);

#endif
