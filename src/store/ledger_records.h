/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_LEDGER_RECORDS_H
#define ROLE_LEDGER_RECORDS_H

#include "ledger.h"

/**
 * The payloads of a ledger's records. All integers and doubles little-endian.
 *
 * session    0  config digest      64   hexadecimal
 *           64  experiment         16
 *           80  nonce              32
 *          112  parameters         u64
 *          120  tensors            u32
 *          124  nodes              u32
 *          128  largest samples    u64
 *          136  public key length  u32
 *          140  committed          u32  round of the commit that comes next; 0: none does
 *          144  public key, then the nodes' samples, u64 each
 * round      0  round              u32
 *            4  reserved           u32  zero
 *            8  largest samples    u64
 *           16  steps              f64 for each tensor
 * frame      a wire frame, with zeros where its digest is: that of the record covers it, and by
 *            the chain the session and the round before it
 * closing    0  round              u32
 * commit     0  round              u32
 *            4  reserved           u32  zero
 *            8  digest             32   of the model
 *           40  largest            f64 for each tensor, then the history
 */
enum ledger_record {
    LEDGER_SESSION = 1,
    LEDGER_ROUND = 2,
    LEDGER_FRAME = 3,
    LEDGER_CLOSING = 4,
    LEDGER_COMMIT = 5,
};

enum { LEDGER_COMMIT_HEAD = 40 };

struct ledger_round {
    uint32_t round;
    uint64_t largest_samples;
};

struct ledger_commit {
    uint32_t round;
    uint8_t digest[DIGEST_SIZE];
};

/** These append. @retval CAIRN_ERR_NO_MEMORY, CAIRN_ERR_TOO_LONG */
CAIRN_MUST_CHECK int ledger_session_write(struct buf *out, const struct ledger_session *session);
/** The same session before another commit. */
void ledger_session_commit(struct buf *record, uint32_t committed);
CAIRN_MUST_CHECK int ledger_round_write(struct buf *out, const struct ledger_round *round,
                                        const double *steps, size_t n_tensors);
CAIRN_MUST_CHECK int ledger_commit_write(struct buf *out, const struct ledger_commit *commit,
                                         const double *largest, size_t n_tensors);

/**
 * @param[out] out      borrows from `record`, except for
 * @param[out] samples    which the caller frees
 * @param[out] committed  round of the commit that must follow, or 0
 * @retval CAIRN_ERR_MALFORMED, CAIRN_ERR_NO_MEMORY
 */
CAIRN_MUST_CHECK int ledger_session_read(struct span record, struct ledger_session *out,
                                         uint64_t **samples, uint32_t *committed);
/** @param[out] steps  n_tensors.  @retval CAIRN_ERR_MALFORMED */
CAIRN_MUST_CHECK int ledger_round_read(struct span record, size_t n_tensors,
                                       struct ledger_round *out, double *steps);
/** @retval CAIRN_ERR_MALFORMED */
CAIRN_MUST_CHECK int ledger_closing_read(struct span record, uint32_t *round);
/** @param[out] history  borrowed from `record`.  @retval CAIRN_ERR_MALFORMED */
CAIRN_MUST_CHECK int ledger_commit_read(struct span record, size_t n_tensors,
                                        struct ledger_commit *out, double *largest,
                                        struct span *history);

#endif
