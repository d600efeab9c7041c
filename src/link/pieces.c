/* SPDX-License-Identifier: Apache-2.0 */
#include "pieces.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "answer.h"
#include "digest.h"
#include "query.h"
#include "receiver.h"

enum {
    /* A handler that waits for another's fetch waits no longer than that may take. */
    FETCH_S = 60,
    /* And so many do at most, of a server's 16: when the parent stalls, heartbeats and batches are still answered. Who
     * comes in vain asks again after a moment. */
    MOST_WAITING = 8,
};

void pieces_init(struct pieces *p, const struct role_host *host,
                 const struct fed_assignment *assignment, const struct fed_plan *plan)
{
    *p = (struct pieces){.host = host, .assignment = assignment, .plan = plan};
    pthread_condattr_t monotonic;
    pthread_mutex_init(&p->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&p->landed, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

void pieces_release(struct pieces *p)
{
    if (p->plan == NULL) {
        return;
    }
    for (size_t i = 0; i < PIECES_KEPT; i++) {
        buf_release(&p->slots[i].bytes);
    }
    pthread_cond_destroy(&p->landed);
    pthread_mutex_destroy(&p->lock);
    *p = (struct pieces){0};
}

void pieces_open(struct pieces *p, uint32_t round)
{
    pthread_mutex_lock(&p->lock);
    if (round != p->round) {
        p->round = round;
        for (size_t i = 0; i < PIECES_KEPT; i++) {
            if (!p->slots[i].fetching) { /* else its fetcher sees that the round has changed */
                p->slots[i].used = false;
            }
        }
    }
    pthread_mutex_unlock(&p->lock);
}

int pieces_read_query(const char *query, const struct fed_plan *plan,
                      const uint8_t experiment[WIRE_EXPERIMENT], uint32_t open,
                      struct pieces_asked *out, struct cairn_problem *why)
{
    uint8_t found[WIRE_EXPERIMENT];
    uint64_t first;
    uint32_t round;
    if (!query_hex(query, "exp", found, sizeof found) || !query_u32(query, "round", &round) ||
        !query_u64(query, "first", &first) || first % plan->piece_params != 0 ||
        first >= plan->n_params) {
        return problem_set(why, CAIRN_ERR_MALFORMED, NULL,
                           "the query must name exp, round and first, a piece's first parameter");
    }
    const int err = receiver_check_experiment(experiment, found, why);
    if (err != 0) {
        return err;
    }
    if (round < open) {
        return problem_set(why, CAIRN_ERR_CLOSED, "wait for the next model",
                           "round %u is over, round %u is open", (unsigned)round, (unsigned)open);
    }
    if (round > open || open == 0) {
        return problem_set(why, CAIRN_ERR_BUSY, "try again when the model has come down",
                           "round %u has not reached this node, which is in round %u",
                           (unsigned)round, (unsigned)open);
    }
    *out = (struct pieces_asked){round, (uint32_t)(first / plan->piece_params)};
    return 0;
}

void pieces_answer(struct http_reply *reply, int err, const struct cairn_problem *why,
                   uint32_t open, struct buf *bytes)
{
    if (err == 0) {
        reply->content_type = "application/octet-stream";
        reply->body = *bytes;
        *bytes = (struct buf){0};
    } else if (err == CAIRN_ERR_CLOSED) {
        answer_problem_with(reply, why, "round", open);
    } else {
        http_reply_problem(reply, why);
    }
}

int pieces_read(struct span body, const struct fed_plan *plan,
                const uint8_t experiment[WIRE_EXPERIMENT], const struct pieces_asked *asked,
                struct wire_model *out, struct cairn_problem *why)
{
    struct wire_model m;
    int err = wire_model_read(body, &m, why);
    if (err == 0) {
        err = receiver_check_experiment(experiment, m.experiment, why);
    }
    if (err == 0 && (m.parameters != plan->n_params || m.round != asked->round ||
                     m.first != (uint64_t)asked->number * plan->piece_params ||
                     m.count != fed_plan_piece_count(plan, asked->number))) {
        err = problem_set(why, CAIRN_ERR_REFUSED, "all nodes must run the same config",
                          "%llu of %llu parameters from %llu on in round %u are not the piece %u of "
                          "round %u",
                          (unsigned long long)m.count, (unsigned long long)m.parameters,
                          (unsigned long long)m.first, (unsigned)m.round, (unsigned)asked->number,
                          (unsigned)asked->round);
    }
    if (err == 0) {
        *out = m;
    }
    return err;
}

/* ---- a switch ---- */

/* Ask the parent. */
static int fetch(struct pieces *p, const struct pieces_asked *asked, struct buf *out,
                 struct cairn_problem *why)
{
    const struct fed_assignment *a = p->assignment;
    char experiment[2 * WIRE_EXPERIMENT + 1], path[160];
    digest_hex(a->id, WIRE_EXPERIMENT, experiment);
    snprintf(path, sizeof path, "%s/model?exp=%s&round=%u&first=%llu",
             a->parent_type == FED_AGGREGATOR ? "/a" : "/s", experiment, (unsigned)asked->round,
             (unsigned long long)asked->number * p->plan->piece_params);
    struct http_exchange x = {.address = a->parent, .method = "GET", .path = path,
                              .timeout_s = FETCH_S};
    struct wire_model m;
    p->host->exchange(p->host->ctx, &x, 1);
    int err = x.error == 0 && x.status == 200 ? 0 : answer_to_problem(&x, why);
    if (err != 0 && answer_is_temporary(&x)) {
        err = why->code = CAIRN_ERR_BUSY; /* the parent's trouble is no refusal of this request */
    }
    if (err == 0) {
        err = pieces_read(buf_span(&x.answer), p->plan, a->id, asked, &m, why);
    }
    if (err == 0) {
        *out = x.answer;
        x.answer = (struct buf){0};
    }
    http_exchange_release(&x);
    return err;
}

static struct pieces_slot *find(struct pieces *p, uint32_t number)
{
    for (size_t i = 0; i < PIECES_KEPT; i++) {
        if (p->slots[i].used && p->slots[i].number == number) {
            return &p->slots[i];
        }
    }
    return NULL;
}

/* A slot for a piece: a free one, or that of the piece furthest behind. NULL when this one is further
 * behind than all, or all are being fetched. */
static struct pieces_slot *make_room(struct pieces *p, uint32_t number)
{
    struct pieces_slot *oldest = NULL;
    for (size_t i = 0; i < PIECES_KEPT; i++) {
        struct pieces_slot *slot = &p->slots[i];
        if (!slot->used) {
            return slot;
        }
        if (!slot->fetching && (oldest == NULL || slot->number < oldest->number)) {
            oldest = slot;
        }
    }
    return oldest != NULL && oldest->number < number ? oldest : NULL;
}

/* Under the lock. @return false when it was waited for in vain */
static bool wait_for_fetch(struct pieces *p, const struct pieces_asked *asked)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += FETCH_S;
    const struct pieces_slot *slot;
    bool late = !p->host->may_block;
    while (!late && p->round == asked->round && (slot = find(p, asked->number)) != NULL &&
           slot->fetching) {
        late = pthread_cond_timedwait(&p->landed, &p->lock, &until) != 0;
    }
    return !late;
}

/* Under the lock, which is let go meanwhile. */
static int fetch_into(struct pieces *p, struct pieces_slot *slot, const struct pieces_asked *asked,
                      struct buf *out, struct cairn_problem *why)
{
    struct buf bytes = {0};
    if (slot != NULL) {
        slot->used = slot->fetching = true;
        slot->number = asked->number;
    }
    pthread_mutex_unlock(&p->lock);
    int err = fetch(p, asked, &bytes, why);
    pthread_mutex_lock(&p->lock);
    if (slot != NULL) {
        slot->fetching = false;
        slot->used = err == 0 && p->round == asked->round;
        pthread_cond_broadcast(&p->landed);
    }
    if (slot != NULL && slot->used) {
        const struct buf before = slot->bytes;
        slot->bytes = bytes;
        bytes = before;
        buf_clear(&bytes);
        err = buf_append(&bytes, slot->bytes.data, slot->bytes.size);
    }
    if (err != 0) {
        buf_release(&bytes);
    }
    *out = bytes;
    return err;
}

/* Under the lock: a piece that is kept, or one that is waited for. */
static int give_piece(struct pieces *p, const struct pieces_asked *asked, struct buf *out,
                      struct cairn_problem *why)
{
    const struct pieces_slot *kept = find(p, asked->number);
    if (kept != NULL && !kept->fetching) {
        return buf_append(out, kept->bytes.data, kept->bytes.size);
    }
    int err = 0;
    p->waiting++;
    if (p->waiting > MOST_WAITING || (!wait_for_fetch(p, asked) && p->host->may_block)) {
        err = problem_set(why, CAIRN_ERR_BUSY, "try again", "piece %u is still on its way here",
                          (unsigned)asked->number);
    } else {
        kept = find(p, asked->number);
        err = kept != NULL && !kept->fetching
                  ? buf_append(out, kept->bytes.data, kept->bytes.size)
                  : fetch_into(p, kept == NULL ? make_room(p, asked->number) : NULL, asked, out, why);
    }
    p->waiting--;
    return err;
}

static int give(struct pieces *p, const char *query, struct buf *out, uint32_t *open,
                struct cairn_problem *why)
{
    struct pieces_asked asked;
    pthread_mutex_lock(&p->lock);
    *open = p->round;
    int err = pieces_read_query(query, p->plan, p->assignment->id, p->round, &asked, why);
    if (err == 0) {
        err = give_piece(p, &asked, out, why);
    }
    pthread_mutex_unlock(&p->lock);
    if (err != 0 && why->code == 0) {
        problem_set(why, err, NULL, "no memory for a piece of the model");
    }
    return err;
}

void pieces_handle(struct pieces *p, const struct http_request *request, struct http_reply *reply)
{
    struct cairn_problem why = {0};
    struct buf bytes = {0};
    uint32_t open = 0;
    const int err = give(p, request->query, &bytes, &open, &why);
    pieces_answer(reply, err, &why, open, &bytes);
}
