/* SPDX-License-Identifier: Apache-2.0 */
#include "downlink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "log.h"

int downlink_init(struct downlink *down, const struct role_host *host, size_t n)
{
    *down = (struct downlink){.n = n, .host = host};
    down->targets = calloc(n == 0 ? 1 : n, sizeof *down->targets);
    if (down->targets == NULL) {
        down->n = 0;
        return CAIRN_ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < n; i++) {
        down->targets[i].delivered = true;
    }
    return 0;
}

void downlink_halt(struct downlink *down)
{
    for (size_t i = 0; i < down->n; i++) {
        flight_abandon(&down->targets[i].flight);
        down->targets[i].delivered = true;
    }
}

void downlink_release(struct downlink *down)
{
    downlink_halt(down);
    free(down->targets);
    *down = (struct downlink){0};
}

void downlink_again(struct downlink *down, size_t target)
{
    struct downlink_target *t = &down->targets[target];
    if (t->delivered) {
        t->delivered = false;
        t->trouble[0] = '\0';
        backoff_reset(&t->backoff);
    }
}

bool downlink_done(const struct downlink *down)
{
    for (size_t i = 0; i < down->n; i++) {
        if (!down->targets[i].delivered) {
            return false;
        }
    }
    return true;
}

/* What went wrong, kept; a node that refuses in words is heard, each time that it says something else. */
static void note_trouble(struct downlink_target *target, const struct cairn_problem *problem)
{
    const struct http_exchange *x = &target->flight.x;
    const bool refused = x->error == 0 && x->status / 100 == 4 && x->status != 425 && x->status != 429;
    char text[sizeof target->trouble];
    snprintf(text, sizeof text, "%.230s", problem->what);
    if (refused && strcmp(text, target->trouble) != 0) {
        log_line(LOG_WARNING, "%s%s%s; it is asked again", text, problem->hint[0] != '\0' ? "; " : "",
                 problem->hint);
    }
    memcpy(target->trouble, text, sizeof text);
}

/* What came of one post. @return 0, or the error of a refusal that will not pass */
static int settle(struct downlink *down, size_t i, struct cairn_problem *why)
{
    struct downlink_target *target = &down->targets[i];
    const struct http_exchange *x = &target->flight.x;
    const bool taken = x->error == 0 && x->status == 200;
    if (taken && (down->accept == NULL || down->accept(down->ctx, i, x))) {
        target->delivered = true;
        return 0;
    }
    struct cairn_problem problem = {0};
    if (taken) {
        snprintf(target->trouble, sizeof target->trouble, "still has another config");
    } else {
        answer_to_problem(x, &problem);
        note_trouble(target, &problem);
        if (down->strict && !answer_is_temporary(x)) {
            *why = problem;
            return problem.code;
        }
    }
    backoff_failed(&target->backoff, clock_now_ns(down->host->clock), (uint32_t)i,
                   x->retry_after_s);
    return 0;
}

static void start(struct downlink *down, struct downlink_target *target)
{
    target->flight.x = (struct http_exchange){.address = target->address,
                                              .method = "POST",
                                              .path = target->path,
                                              .body = target->body};
    flight_start(&target->flight, down->host);
}

int downlink_step(struct downlink *down, uint64_t *next_ns, struct cairn_problem *why)
{
    int err = 0;
    *next_ns = UINT64_MAX;
    for (size_t i = 0; i < down->n; i++) {
        struct downlink_target *target = &down->targets[i];
        if (flight_landed(&target->flight)) {
            const int refused = settle(down, i, why);
            err = err != 0 ? err : refused;
            flight_clear(&target->flight);
        }
        if (target->delivered || !flight_idle(&target->flight)) {
            continue;
        }
        if (target->backoff.retry_at_ns <= clock_now_ns(down->host->clock)) {
            start(down, target);
        } else if (target->backoff.retry_at_ns < *next_ns) {
            *next_ns = target->backoff.retry_at_ns;
        }
    }
    return err;
}

void downlink_waiting_for(const struct downlink *down, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < down->n && used < size; i++) {
        const struct downlink_target *target = &down->targets[i];
        if (!target->delivered) {
            const int n = snprintf(text + used, size - used, "%s%s (%s)", used > 0 ? ", " : "",
                                   target->address,
                                   target->trouble[0] != '\0' ? target->trouble : "no answer yet");
            used += n > 0 ? (size_t)n : 0;
        }
    }
}
