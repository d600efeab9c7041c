/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_BACKOFF_H
#define ROLE_BACKOFF_H

#include <stdint.h>

/**
 * When to try again: 100 ms, doubled with every failure up to 5 s, and of that a random
 * part between a half and all, so that many nodes do not return in step. Monotonic time only.
 * Plain value; zero-initialised means "may try now".
 */
struct backoff {
    unsigned failures;
    uint64_t retry_at_ns; /* 0 = now */
};

/** Note a failure. @param salt  anything that differs between nodes, for the random part */
void backoff_failed(struct backoff *b, uint64_t now_ns, uint32_t salt, unsigned retry_after_s);
void backoff_reset(struct backoff *b);

#endif
