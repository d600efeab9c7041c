/* SPDX-License-Identifier: Apache-2.0 */
#include "watch.h"

#include <stdlib.h>

#include "answer.h"
#include "json.h"
#include "log.h"

int watch_init(struct watch *watch, const struct role_host *host, size_t n, double heartbeat_s)
{
    *watch = (struct watch){
        .n = n, .host = host, .heartbeat_ns = (uint64_t)(heartbeat_s * 1e9)};
    watch->nodes = calloc(n == 0 ? 1 : n, sizeof *watch->nodes);
    if (watch->nodes == NULL) {
        watch->n = 0;
        return CAIRN_ERR_NO_MEMORY;
    }
    pthread_mutex_init(&watch->lock, NULL);
    for (size_t i = 0; i < n; i++) {
        fed_liveness_begin(&watch->nodes[i].life, clock_now_ns(host->clock));
    }
    return 0;
}

void watch_release(struct watch *watch)
{
    if (watch->nodes == NULL) {
        return;
    }
    for (size_t i = 0; i < watch->n; i++) {
        flight_abandon(&watch->nodes[i].flight);
    }
    pthread_mutex_destroy(&watch->lock);
    free(watch->nodes);
    *watch = (struct watch){0};
}

enum fed_life watch_state(struct watch *watch, size_t node)
{
    pthread_mutex_lock(&watch->lock);
    const enum fed_life life = fed_liveness_state(&watch->nodes[node].life,
                                                  clock_now_ns(watch->host->clock),
                                                  watch->heartbeat_ns);
    pthread_mutex_unlock(&watch->lock);
    return life;
}

static void hear(struct watch *watch, size_t i)
{
    struct watched *node = &watch->nodes[i];
    json_t *status = node->flight.x.status == 200 ? answer_document(&node->flight.x) : NULL;
    if (status == NULL) {
        return;
    }
    pthread_mutex_lock(&watch->lock);
    const bool restarted = fed_liveness_heard(&node->life, clock_now_ns(watch->host->clock),
                                              json_get_text(status, "boot", ""));
    pthread_mutex_unlock(&watch->lock);
    if (restarted) {
        log_line(LOG_WARNING, "%s has been started again", node->address);
    }
    watch->heard(watch->ctx, i, status);
    json_decref(status);
}

static void note_change(struct watch *watch, size_t i)
{
    struct watched *node = &watch->nodes[i];
    const enum fed_life life = watch_state(watch, i);
    if (life == node->told) {
        return;
    }
    node->told = life;
    if (life == FED_ALIVE) {
        log_line(LOG_INFO, "%s is alive again", node->address);
    } else {
        log_line(LOG_WARNING, "%s is %s: no answer for %.0f s", node->address,
                 fed_life_name(life),
                 clock_seconds(node->life.heard_ns, clock_now_ns(watch->host->clock)));
    }
    if (watch->changed != NULL) {
        watch->changed(watch->ctx, i, life);
    }
}

uint64_t watch_step(struct watch *watch)
{
    uint64_t again = UINT64_MAX;
    for (size_t i = 0; i < watch->n; i++) {
        struct watched *node = &watch->nodes[i];
        const uint64_t now = clock_now_ns(watch->host->clock);
        if (flight_landed(&node->flight)) {
            hear(watch, i);
            flight_clear(&node->flight);
        }
        note_change(watch, i);
        if (flight_idle(&node->flight) && node->due_ns <= now) {
            node->due_ns = now + watch->heartbeat_ns;
            node->flight.x = (struct http_exchange){.address = node->address,
                                                    .method = "GET",
                                                    .path = "/status",
                                                    .timeout_s =
                                                        1 + (unsigned)(watch->heartbeat_ns / 1000000000)};
            flight_start(&node->flight, watch->host);
        }
        if (node->due_ns < now) {
            again = again < now + watch->heartbeat_ns ? again : now + watch->heartbeat_ns;
        } else {
            again = again < node->due_ns ? again : node->due_ns;
        }
    }
    return again;
}

json_t *watch_json(struct watch *watch)
{
    json_t *list = json_array();
    for (size_t i = 0; i < watch->n; i++) {
        const enum fed_life life = watch_state(watch, i);
        pthread_mutex_lock(&watch->lock);
        const double silent = clock_seconds(watch->nodes[i].life.heard_ns,
                                            clock_now_ns(watch->host->clock));
        pthread_mutex_unlock(&watch->lock);
        (void)json_array_append_new(list, json_pack("{s:s, s:s, s:f}", "address",
                                                    watch->nodes[i].address, "state",
                                                    fed_life_name(life), "silent_s", silent));
    }
    return list;
}
