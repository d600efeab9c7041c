/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FED_SAMPLING_H
#define FED_SAMPLING_H

#include "config.h"

/**
 * Who takes part in a round: round.fraction of the clients, chosen uniformly and without replacement from (seed, round)
 * alone, so every node knows it without being told. The others sit the round out and nobody waits for them.
 *
 * Anybody who knows the config knows who is chosen, so it hides nobody: no privacy is claimed from it.
 * Source of the choice: Floyd, in Bentley and Floyd, "A Sample of Brilliance" (CACM 1987).
 */
struct fed_sample {
    uint32_t size;
    uint8_t set[FED_MAX_CLIENTS / 8]; /* bit k: the client with index k */
};

/** Clients of a round: the share, rounded up, and at least what a sum needs to be opened. */
uint32_t fed_sample_size(const struct fed_settings *settings, uint32_t n_clients);
void fed_sample_choose(const struct fed_settings *settings, uint32_t n_clients, uint32_t round,
                       struct fed_sample *out);
bool fed_sample_has(const struct fed_sample *sample, uint32_t index);
/** Of `below` certain clients: the fewest and the most that a round can choose, whatever the seed. */
struct fed_sample_range {
    uint32_t fewest, most;
};
struct fed_sample_range fed_sample_range(const struct fed_settings *settings, uint32_t n_clients, uint32_t below);
/**
 * Which streams bring anything in this round.
 * @param clients   indices of the clients of each stream, one stream after the other (fed_tree_stream_clients)
 * @param[out] awaited  n; NULL: not asked
 * @return clients that are chosen, of all streams
 */
uint32_t fed_sample_streams(const struct fed_sample *sample, const struct fed_stream *streams,
                            size_t n, const uint32_t *clients, bool *awaited);

#endif
