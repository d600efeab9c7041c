/* SPDX-License-Identifier: Apache-2.0 */
#include "sampling.h"

#include <math.h>
#include <string.h>

#include "replay.h"

uint32_t fed_sample_size(const struct fed_settings *s, uint32_t n_clients)
{
    const double slack = 1e-9; /* as in fed_quorum */
    const double share = ceil(s->fraction * n_clients - slack);
    const uint32_t quorum = s->quorum < 1 ? 1 : (uint32_t)s->quorum;
    uint32_t size = share < 1 ? 1 : (uint32_t)share;
    size = size < quorum ? quorum : size;
    size = size < s->privacy_floor ? s->privacy_floor : size;
    return size < n_clients ? size : n_clients;
}

static void add(struct fed_sample *sample, uint32_t index)
{
    sample->set[index / 8] |= (uint8_t)(1U << (index % 8));
}

bool fed_sample_has(const struct fed_sample *sample, uint32_t index)
{
    return (sample->set[index / 8] >> (index % 8) & 1) != 0;
}

void fed_sample_choose(const struct fed_settings *s, uint32_t n_clients, uint32_t round,
                       struct fed_sample *out)
{
    struct replay_rng rng;
    memset(out, 0, sizeof *out);
    out->size = fed_sample_size(s, n_clients);
    replay_init(&rng, "sampling", s->seed, round, 0);
    for (uint32_t last = n_clients - out->size; last < n_clients; last++) {
        const uint32_t one = replay_below(&rng, last + 1);
        add(out, fed_sample_has(out, one) ? last : one);
    }
}

struct fed_sample_range fed_sample_range(const struct fed_settings *s, uint32_t n_clients, uint32_t below)
{
    const uint32_t size = fed_sample_size(s, n_clients), others = n_clients - below;
    return (struct fed_sample_range){.fewest = size > others ? size - others : 0,
                                     .most = size < below ? size : below};
}

uint32_t fed_sample_streams(const struct fed_sample *sample, const struct fed_stream *streams,
                            size_t n, const uint32_t *clients, bool *awaited)
{
    uint32_t chosen = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t here = 0;
        for (uint32_t k = 0; k < streams[i].n_clients; k++) {
            here += fed_sample_has(sample, *clients++);
        }
        if (awaited != NULL) {
            awaited[i] = here > 0;
        }
        chosen += here;
    }
    return chosen;
}
