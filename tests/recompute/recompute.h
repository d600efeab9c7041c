/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RECOMPUTE_RECOMPUTE_H
#define RECOMPUTE_RECOMPUTE_H

#include "config.h"
#include "digest.h"
#include "trainer.h"

/**
 * A run worked out a second time, with plain integers and none of the machinery that moved it: from the config, the
 * clients' own updates, and the contributor sets that the aggregator logged for each frame
 * (rounds.jsonl). The result must be the run's model, bit for bit, whatever happened on the way.
 *
 * With encryption.error_feedback a client that was started anew has forgotten what it owed, which no log tells;
 * runs in which clients restart have it switched off.
 */
struct recompute_source {
    const struct fed_config *config;
    /** The trainer of a client (client_number as in the config), or with client_number 0 an evaluator's.
     * Owner: the caller of it. */
    int (*trainer)(void *ctx, uint32_t client_number, uint32_t index, struct trainer **out);
    void *ctx;
};

/**
 * @param rounds  path of rounds.jsonl
 * @param[out] hex  digest of the model, as in summary.json
 * @return rounds worked out, or -1 with a sentence on stderr
 */
int recompute_run(const struct recompute_source *source, const char *rounds,
                  char hex[DIGEST_HEX_SIZE]);

#endif
