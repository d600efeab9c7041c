/* SPDX-License-Identifier: Apache-2.0 */
#include "downlink.h"

#include <stdio.h>
#include <stdlib.h>

#include "answer.h"

int downlink_init(struct downlink *down, size_t n)
{
    *down = (struct downlink){.n = n};
    down->targets = calloc(n == 0 ? 1 : n, sizeof *down->targets);
    return down->targets == NULL ? CAIRN_ERR_NO_MEMORY : 0;
}

void downlink_release(struct downlink *down)
{
    free(down->targets);
    *down = (struct downlink){0};
}

void downlink_restart(struct downlink *down)
{
    for (size_t i = 0; i < down->n; i++) {
        down->targets[i].delivered = false;
        down->targets[i].trouble[0] = '\0';
        backoff_reset(&down->targets[i].backoff);
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

/* What came of one post. @return 0, or the error of a refusal that will not pass */
static int settle(struct downlink *down, size_t i, const struct http_exchange *x, uint64_t now_ns,
                  struct cairn_problem *why)
{
    struct downlink_target *target = &down->targets[i];
    if (x->error == 0 && x->status == 200 &&
        (down->accept == NULL || down->accept(down->ctx, i, x))) {
        target->delivered = true;
        return 0;
    }
    struct cairn_problem problem = {0};
    if (x->error == 0 && x->status == 200) {
        snprintf(target->trouble, sizeof target->trouble, "still has another config");
    } else {
        answer_to_problem(x, &problem);
        snprintf(target->trouble, sizeof target->trouble, "%.230s", problem.what);
        if (!answer_is_temporary(x)) {
            *why = problem;
            return problem.code;
        }
    }
    backoff_failed(&target->backoff, now_ns, (uint32_t)i, x->retry_after_s);
    return 0;
}

int downlink_step(struct downlink *down, const struct role_host *host, uint64_t *next_ns,
                  struct cairn_problem *why)
{
    *next_ns = UINT64_MAX;
    struct http_exchange *list = calloc(down->n == 0 ? 1 : down->n, sizeof *list);
    size_t *which = calloc(down->n == 0 ? 1 : down->n, sizeof *which);
    int err = 0;
    if (list == NULL || which == NULL) {
        err = problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory to send to %zu nodes",
                          down->n);
        goto cleanup;
    }
    uint64_t now = clock_now_ns(host->clock);
    size_t n = 0;
    for (size_t i = 0; i < down->n; i++) {
        const struct downlink_target *target = &down->targets[i];
        if (!target->delivered && target->backoff.retry_at_ns <= now) {
            list[n] = (struct http_exchange){.address = target->address,
                                             .method = "POST",
                                             .path = target->path,
                                             .body = target->body};
            which[n++] = i;
        }
    }
    if (n > 0) {
        host->exchange(host->ctx, list, n);
    }
    now = clock_now_ns(host->clock);
    for (size_t i = 0; i < n; i++) {
        const int refused = settle(down, which[i], &list[i], now, why);
        err = err != 0 ? err : refused;
        http_exchange_release(&list[i]);
    }
    for (size_t i = 0; i < down->n; i++) {
        if (!down->targets[i].delivered && down->targets[i].backoff.retry_at_ns < *next_ns) {
            *next_ns = down->targets[i].backoff.retry_at_ns;
        }
    }
cleanup:
    free(which);
    free(list);
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
