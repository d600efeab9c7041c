/* SPDX-License-Identifier: Apache-2.0 */
/* A ledger's records as bytes, and back: lengths must fit exactly. */
#include "ledger_records.h"

#include <string.h>

#include "le.h"
#include "sizes.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && sizeof(double) == 8,
               "doubles are copied as they are in memory");

enum {
    CONFIG_SIZE = DIGEST_HEX_SIZE - 1,
    ID_AT = CONFIG_SIZE,
    NONCE_AT = ID_AT + WIRE_EXPERIMENT,
    PARAMS_AT = NONCE_AT + HE_NONCE_SIZE,
    TENSORS_AT = PARAMS_AT + 8,
    NODES_AT = TENSORS_AT + 4,
    LARGEST_AT = NODES_AT + 4,
    KEY_AT = LARGEST_AT + 8,
    COMMITTED_AT = KEY_AT + 4,
    SESSION_HEAD = COMMITTED_AT + 4,
    ROUND_HEAD = 16,
};
_Static_assert(SESSION_HEAD == 144, "as drawn in the header");

int ledger_session_write(struct buf *out, const struct ledger_session *s)
{
    uint8_t head[SESSION_HEAD] = {0}, number[8];
    if (s->public_key.size > UINT32_MAX) {
        return CAIRN_ERR_TOO_LONG;
    }
    memcpy(head, s->config_digest, CONFIG_SIZE);
    memcpy(head + ID_AT, s->id, sizeof s->id);
    memcpy(head + NONCE_AT, s->nonce, sizeof s->nonce);
    le_put64(head + PARAMS_AT, s->n_params);
    le_put32(head + TENSORS_AT, s->n_tensors);
    le_put32(head + NODES_AT, s->n_nodes);
    le_put64(head + LARGEST_AT, s->largest_samples);
    le_put32(head + KEY_AT, (uint32_t)s->public_key.size);
    int err = buf_append(out, head, sizeof head);
    if (err == 0) {
        err = buf_append(out, s->public_key.data, s->public_key.size);
    }
    for (uint32_t i = 0; err == 0 && i < s->n_nodes; i++) {
        le_put64(number, s->samples[i]);
        err = buf_append(out, number, sizeof number);
    }
    return err;
}

void ledger_session_commit(struct buf *record, uint32_t committed)
{
    le_put32(record->data + COMMITTED_AT, committed);
}

int ledger_session_read(struct span record, struct ledger_session *out, uint64_t **samples,
                        uint32_t *committed)
{
    struct ledger_session s = {0};
    uint8_t digest[DIGEST_SIZE];
    if (record.size < SESSION_HEAD) {
        return CAIRN_ERR_MALFORMED;
    }
    const uint8_t *p = record.data;
    memcpy(s.config_digest, p, CONFIG_SIZE);
    memcpy(s.id, p + ID_AT, sizeof s.id);
    memcpy(s.nonce, p + NONCE_AT, sizeof s.nonce);
    s.n_params = le_get64(p + PARAMS_AT);
    s.n_tensors = le_get32(p + TENSORS_AT);
    s.n_nodes = le_get32(p + NODES_AT);
    s.largest_samples = le_get64(p + LARGEST_AT);
    s.public_key = (struct span){p + SESSION_HEAD, le_get32(p + KEY_AT)};
    const size_t rest = record.size - SESSION_HEAD;
    if (digest_from_hex(s.config_digest, digest, sizeof digest) != 0 ||
        s.n_tensors > MODEL_MAX_TENSORS || s.public_key.size > rest ||
        rest - s.public_key.size != 8 * (size_t)s.n_nodes) {
        return CAIRN_ERR_MALFORMED;
    }
    uint64_t *list = size_alloc_array((size_t)s.n_nodes + 1, sizeof *list); /* never of size 0 */
    if (list == NULL) {
        return CAIRN_ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < s.n_nodes; i++) {
        list[i] = le_get64(s.public_key.data + s.public_key.size + 8 * (size_t)i);
    }
    s.samples = list;
    *samples = list;
    *committed = le_get32(p + COMMITTED_AT);
    *out = s;
    return 0;
}

int ledger_round_write(struct buf *out, const struct ledger_round *round, const double *steps,
                       size_t n_tensors)
{
    uint8_t head[ROUND_HEAD] = {0};
    le_put32(head, round->round);
    le_put64(head + 8, round->largest_samples);
    const int err = buf_append(out, head, sizeof head);
    return err != 0 ? err : buf_append(out, steps, n_tensors * sizeof *steps);
}

int ledger_round_read(struct span record, size_t n_tensors, struct ledger_round *out,
                      double *steps)
{
    if (record.size != ROUND_HEAD + n_tensors * sizeof *steps || le_get32(record.data + 4) != 0) {
        return CAIRN_ERR_MALFORMED;
    }
    out->round = le_get32(record.data);
    out->largest_samples = le_get64(record.data + 8);
    memcpy(steps, record.data + ROUND_HEAD, n_tensors * sizeof *steps);
    return 0;
}

int ledger_closing_read(struct span record, uint32_t *round)
{
    if (record.size != 4) {
        return CAIRN_ERR_MALFORMED;
    }
    *round = le_get32(record.data);
    return 0;
}

int ledger_commit_write(struct buf *out, const struct ledger_commit *commit,
                        const double *largest, size_t n_tensors)
{
    uint8_t head[LEDGER_COMMIT_HEAD] = {0};
    le_put32(head, commit->round);
    memcpy(head + 8, commit->digest, sizeof commit->digest);
    const int err = buf_append(out, head, sizeof head);
    return err != 0 ? err : buf_append(out, largest, n_tensors * sizeof *largest);
}

int ledger_commit_read(struct span record, size_t n_tensors, struct ledger_commit *out,
                       double *largest, struct span *history)
{
    const size_t head = LEDGER_COMMIT_HEAD + n_tensors * sizeof *largest;
    if (record.size < head || le_get32(record.data + 4) != 0) {
        return CAIRN_ERR_MALFORMED;
    }
    out->round = le_get32(record.data);
    memcpy(out->digest, record.data + 8, sizeof out->digest);
    memcpy(largest, record.data + LEDGER_COMMIT_HEAD, n_tensors * sizeof *largest);
    *history = (struct span){record.data + head, record.size - head};
    return 0;
}
