/* SPDX-License-Identifier: Apache-2.0 */
#include "uplink.h"

#include <stdio.h>
#include <string.h>

#include "answer.h"
#include "digest.h"
#include "json.h"

void uplink_init(struct uplink *up, const struct role_host *host,
                 const struct fed_assignment *assignment)
{
    *up = (struct uplink){.host = host,
                          .side = assignment->parent_type == FED_AGGREGATOR ? "/a" : "/s",
                          .origin = assignment->node,
                          .context.stream = WIRE_STREAM_UPDATE};
    memcpy(up->address, assignment->parent, sizeof up->address);
    memcpy(up->context.experiment, assignment->id, WIRE_EXPERIMENT);
}

void uplink_release(struct uplink *up)
{
    flight_abandon(&up->flight);
    buf_release(&up->batch);
}

void uplink_begin(struct uplink *up, uint32_t round)
{
    flight_abandon(&up->flight);
    up->send_s = up->context.round == round ? up->send_s : 0;
    up->context.round = round;
    up->frames = 0;
    up->full = up->lost = false;
    backoff_reset(&up->backoff);
}

bool uplink_ready(const struct uplink *up)
{
    return flight_idle(&up->flight) && up->backoff.retry_at_ns <= clock_now_ns(up->host->clock);
}

int uplink_reserve(struct buf *batch)
{
    static const uint8_t room_for_header[WIRE_BATCH_HEADER];
    buf_clear(batch);
    return buf_append(batch, room_for_header, sizeof room_for_header);
}

void uplink_target(struct uplink *up, const char *route, uint64_t first)
{
    char experiment[2 * WIRE_EXPERIMENT + 1];
    digest_hex(up->context.experiment, WIRE_EXPERIMENT, experiment);
    snprintf(up->target, sizeof up->target, "%s%s?exp=%s&round=%u&origin=%u&first=%llu",
             up->side, route, experiment, (unsigned)up->context.round, (unsigned)up->origin,
             (unsigned long long)first);
}

static void take_off(struct uplink *up, bool asks)
{
    up->asks = asks;
    uplink_target(up, asks ? "/next" : "/receive", up->first);
    up->flight.x = (struct http_exchange){.address = up->address,
                                          .method = asks ? "GET" : "POST",
                                          .path = up->target,
                                          .body = asks ? (struct span){0} : buf_span(&up->batch)};
    up->since_ns = clock_now_ns(up->host->clock);
    flight_start(&up->flight, up->host);
}

void uplink_post(struct uplink *up, struct buf *batch, uint32_t first, uint32_t frames)
{
    const struct buf other = up->batch;
    up->batch = *batch;
    *batch = other;
    up->first = first;
    up->frames = frames;
    wire_batch_header(up->batch.data, &up->context, up->origin, frames, first, up->batch.size);
    take_off(up, up->full);
}

bool uplink_holds(const struct uplink *up, uint32_t first)
{
    return up->frames > 0 && up->first == first;
}

void uplink_repeat(struct uplink *up)
{
    take_off(up, up->full || up->lost);
}

void uplink_ask(struct uplink *up, uint32_t first)
{
    uplink_begin(up, up->context.round);
    up->first = first;
    up->lost = true;
    take_off(up, true);
}

/* The index that an answer names; -1 when it names none. */
static long long named_index(const struct http_exchange *x)
{
    json_t *document = answer_document(x);
    const long long value = json_get_int(document, "next", -1);
    json_decref(document);
    return value > UINT32_MAX ? -1 : value;
}

static enum uplink_verdict no_index(const struct http_exchange *x, struct cairn_problem *why)
{
    problem_set(why, CAIRN_ERR_MALFORMED, "is that address a cairn node?",
                "%s%s answered %d without naming the next frame", x->address, x->path, x->status);
    return UPLINK_FAILED;
}

/* A failure that may pass. */
static enum uplink_verdict later(struct uplink *up, const struct http_exchange *x)
{
    backoff_failed(&up->backoff, clock_now_ns(up->host->clock), up->origin, x->retry_after_s);
    return UPLINK_LATER;
}

/* The parent's window is full: ask when there is room. A parent that can keep a question waiting does; where it
 * answers at once, the question is asked again after a while. */
static enum uplink_verdict no_room(struct uplink *up)
{
    const uint64_t now = clock_now_ns(up->host->clock);
    const bool waited = up->asks && clock_seconds(up->since_ns, now) > 0.5;
    const bool first_time = !up->full;
    up->full = true;
    flight_clear(&up->flight);
    backoff_reset(&up->backoff);
    if (waited || first_time) {
        take_off(up, true);
        return UPLINK_FLYING;
    }
    backoff_failed(&up->backoff, now, up->origin, 0);
    return UPLINK_LATER;
}

/* A 200 or 409: the parent says where to go on. */
static enum uplink_verdict go_on(struct uplink *up, long long named, uint32_t *next,
                                 struct cairn_problem *why)
{
    const bool asked = up->asks;
    backoff_reset(&up->backoff);
    up->full = false;
    if (named < 0) {
        return no_index(&up->flight.x, why);
    }
    if (asked && uplink_holds(up, (uint32_t)named)) { /* there is room for what waited */
        flight_clear(&up->flight);
        take_off(up, false);
        return UPLINK_FLYING;
    }
    *next = (uint32_t)named;
    up->elsewhere = asked || up->flight.x.status == 409;
    up->lost = false;
    up->frames = 0;
    return UPLINK_NEXT;
}

enum uplink_verdict uplink_land(struct uplink *up, uint32_t *next, struct cairn_problem *why)
{
    if (!flight_landed(&up->flight)) {
        return flight_idle(&up->flight) ? UPLINK_IDLE : UPLINK_FLYING;
    }
    const struct http_exchange *x = &up->flight.x;
    if (!up->asks) {
        up->send_s += clock_seconds(up->since_ns, clock_now_ns(up->host->clock));
    }
    const bool answered = x->error == 0;
    const long long named = answered && x->status != 410 ? named_index(x) : -1;
    enum uplink_verdict verdict;
    if (answered && x->status == 503 && named >= 0) {
        answer_to_problem(x, why);
        return no_room(up);
    }
    if (answered && (x->status == 200 || x->status == 409)) {
        verdict = go_on(up, named, next, why);
        if (verdict == UPLINK_FLYING) {
            return verdict;
        }
    } else {
        answer_to_problem(x, why);
        verdict = answered && x->status == 410 ? UPLINK_CLOSED
                  : answer_is_temporary(x)     ? later(up, x)
                                               : UPLINK_FAILED;
    }
    flight_clear(&up->flight);
    return verdict;
}
