/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FED_LIVENESS_H
#define FED_LIVENESS_H

#include <stdbool.h>
#include <stdint.h>

/**
 * Is a neighbour alive? Known from when it was last heard, counted in heartbeats, the interval
 * at which it is asked. One question or its answer may be lost and a second one come late, so three
 * make a suspect; six make a dead one, which is not waited for. A single answer brings it back.
 *
 * Pure state of one neighbour; times are monotonic nanoseconds. One thread at a time.
 */
/* of a boot id with its zero; of longer ones that much is compared */
enum { FED_BOOT_SIZE = 65 };

/* heartbeats of silence */
enum { FED_SUSPECT_HEARTBEATS = 3, FED_DEAD_HEARTBEATS = 6 };

struct fed_liveness {
    uint64_t heard_ns;
    char boot[FED_BOOT_SIZE]; /* "" = not known yet */
};

enum fed_life { FED_ALIVE, FED_SUSPECT, FED_DEAD };

/** A neighbour of whom nothing is known counts as heard now: it has the usual time to answer. */
void fed_liveness_begin(struct fed_liveness *l, uint64_t now_ns);
/**
 * The neighbour was heard: it answered, or asked.
 * @param boot  id that a process makes up at its start; NULL or "" where the message has none
 * @return true when another process than before speaks: it was restarted and knows nothing of what its
 *         predecessor was told
 */
bool fed_liveness_heard(struct fed_liveness *l, uint64_t now_ns, const char *boot);
/** @param heartbeat_ns  > 0 */
enum fed_life fed_liveness_state(const struct fed_liveness *l, uint64_t now_ns,
                                 uint64_t heartbeat_ns);
/** Nanoseconds since it was last heard. */
uint64_t fed_liveness_silence(const struct fed_liveness *l, uint64_t now_ns);
/** "alive", "suspect", "dead" */
const char *fed_life_name(enum fed_life life);

#endif
