/* SPDX-License-Identifier: Apache-2.0 */
#include "uplink.h"

#include "answer.h"
#include "json.h"

void uplink_begin(struct uplink *up, uint32_t round)
{
    up->context.round = round;
    up->send_s = 0;
    backoff_reset(&up->backoff);
}

/* The index that a 200 or 409 names; an answer without one is no answer of a parent. */
static enum uplink_verdict read_next(const struct http_exchange *x, uint32_t *next,
                                     struct cairn_problem *why)
{
    json_t *document = answer_document(x);
    const long long value = json_get_int(document, "next", -1);
    json_decref(document);
    if (value < 0 || value > UINT32_MAX) {
        problem_set(why, CAIRN_ERR_MALFORMED, "is that address a cairn node?",
                    "%s%s answered %d without naming the next frame", x->address, x->path,
                    x->status);
        return UPLINK_FAILED;
    }
    *next = (uint32_t)value;
    return UPLINK_NEXT;
}

enum uplink_verdict uplink_post(struct uplink *up, const struct role_host *host, struct buf *batch,
                                uint32_t first, uint32_t frames, uint32_t *next,
                                struct cairn_problem *why)
{
    wire_batch_header(batch->data, &up->context, up->origin, frames, first, batch->size);
    struct http_exchange x = {
        .address = up->address, .method = "POST", .path = up->path, .body = buf_span(batch)};
    const uint64_t from = clock_now_ns(host->clock);
    host->exchange(host->ctx, &x, 1);
    const uint64_t now = clock_now_ns(host->clock);
    up->send_s += clock_seconds(from, now);

    enum uplink_verdict verdict;
    if (x.error == 0 && (x.status == 200 || x.status == 409)) {
        backoff_reset(&up->backoff);
        verdict = read_next(&x, next, why);
    } else if (x.error == 0 && x.status == 410) {
        verdict = UPLINK_CLOSED;
    } else {
        answer_to_problem(&x, why);
        verdict = UPLINK_FAILED;
        if (answer_is_temporary(&x)) {
            backoff_failed(&up->backoff, now, up->origin, x.retry_after_s);
            verdict = UPLINK_LATER;
        }
    }
    http_exchange_release(&x);
    return verdict;
}
