/* SPDX-License-Identifier: Apache-2.0 */
#include "backoff.h"

#include "replay.h"

static const uint64_t first_ns = 100000000;   /* 0.1 s */
static const uint64_t longest_ns = 5000000000; /* 5 s */

void backoff_failed(struct backoff *b, uint64_t now_ns, uint32_t salt, unsigned retry_after_s)
{
    uint64_t wait = longest_ns;
    if (b->failures < 6) { /* 0.1 s * 2^6 is above the longest wait */
        wait = first_ns << b->failures;
    }
    struct replay_rng rng;
    replay_init(&rng, "backoff", now_ns, b->failures, salt);
    const uint64_t half = wait / 2;
    wait = half + (uint64_t)((double)half * (double)replay_float(&rng));
    const uint64_t asked = (uint64_t)retry_after_s * 1000000000;
    b->retry_at_ns = now_ns + (wait > asked ? wait : asked);
    b->failures++;
}

void backoff_reset(struct backoff *b)
{
    *b = (struct backoff){0};
}
