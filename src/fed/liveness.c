/* SPDX-License-Identifier: Apache-2.0 */
#include "liveness.h"

#include <stdio.h>
#include <string.h>

void fed_liveness_begin(struct fed_liveness *l, uint64_t now_ns)
{
    *l = (struct fed_liveness){.heard_ns = now_ns};
}

bool fed_liveness_heard(struct fed_liveness *l, uint64_t now_ns, const char *boot)
{
    /* readings that were taken on several threads may come in another order than they were taken */
    if (now_ns > l->heard_ns) {
        l->heard_ns = now_ns;
    }
    if (boot == NULL || boot[0] == '\0') {
        return false;
    }
    const bool restarted = l->boot[0] != '\0' && strncmp(l->boot, boot, sizeof l->boot - 1) != 0;
    snprintf(l->boot, sizeof l->boot, "%s", boot);
    return restarted;
}

uint64_t fed_liveness_silence(const struct fed_liveness *l, uint64_t now_ns)
{
    return now_ns > l->heard_ns ? now_ns - l->heard_ns : 0;
}

enum fed_life fed_liveness_state(const struct fed_liveness *l, uint64_t now_ns,
                                 uint64_t heartbeat_ns)
{
    const uint64_t silent = fed_liveness_silence(l, now_ns) / heartbeat_ns;
    if (silent >= FED_DEAD_HEARTBEATS) {
        return FED_DEAD;
    }
    return silent >= FED_SUSPECT_HEARTBEATS ? FED_SUSPECT : FED_ALIVE;
}

const char *fed_life_name(enum fed_life life)
{
    static const char *const names[] = {
        [FED_ALIVE] = "alive", [FED_SUSPECT] = "suspect", [FED_DEAD] = "dead"};
    return names[life];
}
