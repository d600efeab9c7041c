/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_TENSEAL_BATCH_H
#define ROLE_TENSEAL_BATCH_H

#include "plan.h"
#include "role.h"

/**
 * Clients that are written with TenSEAL. In runs of profile seal-ckks they speak to their parent in
 * TenSEAL's own objects, and everything behind that is as for any other client:
 *
 *   GET  .../tenseal    a TenSEAL context: the run's public key, the parameters, the scale
 *   POST .../receive?exp=E&round=R&origin=O&first=I&form=tenseal&client=C&weight=W&digest=D
 *        CKKSVector.serialize() of the integers of whole frames, from frame I on: 4096 to a
 *        ciphertext, zeros behind the last parameter of the model. C: the client's index.
 *        W: its samples. D: BLAKE2b-256 of the body, in hexadecimal.
 *
 * Such a body is made into the batch that a cairn client would have sent, before anything else
 * looks at it. SEAL's ciphertexts are those of the profile: only the packing of their words
 * changes. Whether slots hold whole numbers in range nobody can see before the sum is opened,
 * which is so for every client's ciphertexts.
 */

/** Does a query announce a body of another form than a batch? */
bool tenseal_batch_asked(const char *query);
/** On the headers: how long the body may be, which is `limit` for a batch, and for a vector what the
 * frames of a batch take. Refuses vectors in runs of other profiles. */
size_t tenseal_batch_admit(const struct fed_plan *plan, size_t batch_bytes, const char *query,
                           size_t limit, struct http_reply *refusal);
/**
 * The batch.
 * @param[out] out  appended to; as it was on failure
 * @retval CAIRN_ERR_MALFORMED  the query or the vector are not as above; no SEAL ciphertext
 * @retval CAIRN_ERR_INTEGRITY  the digest
 * @retval CAIRN_ERR_UNKNOWN    another experiment
 * @retval CAIRN_ERR_REFUSED    another profile; other parameters, level or scale; seeded
 *                              ciphertexts; no whole frames; a client or a weight that cannot be
 */
CAIRN_MUST_CHECK int tenseal_batch_make(const struct fed_plan *plan,
                                        const uint8_t experiment[WIRE_EXPERIMENT],
                                        size_t batch_bytes, const char *query, struct span body,
                                        struct buf *out, struct cairn_problem *why);
/** Answer a POST: hand its batch to `take`, with the query of a batch. */
void tenseal_batch_handle(const struct fed_plan *plan, const uint8_t experiment[WIRE_EXPERIMENT],
                          size_t batch_bytes, const struct http_request *request,
                          struct http_reply *reply,
                          void (*take)(struct role *role, const struct http_request *request,
                                       struct http_reply *reply),
                          struct role *role);
/** The context. @param public_key  he_public_key_write's bytes
 * @retval CAIRN_ERR_REFUSED  another profile */
CAIRN_MUST_CHECK int tenseal_batch_context(const struct fed_plan *plan, struct span public_key,
                                           struct buf *out, struct cairn_problem *why);
/** Answer a GET with it. */
void tenseal_context_handle(const struct fed_plan *plan, struct span public_key,
                            struct http_reply *reply);

#endif
