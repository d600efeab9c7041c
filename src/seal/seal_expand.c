/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The uniform polynomial of a seed, as SEAL's sample_poly_uniform draws it: first one word for each
 * coefficient of each prime, then, in order, every word that is too large is replaced by the next
 * ones of the stream.
 */
#include "seal_expand.h"

#include <stdlib.h>

#include "le.h"
#include "seal_context.h"

struct stream {
    const struct seal_seed *seed;
    uint64_t counter; /* of the next block */
    size_t at;
    uint8_t block[SEAL_BLOCK_SIZE];
};

static uint64_t next_word(struct stream *s)
{
    if (s->at == SEAL_BLOCK_SIZE) {
        seal_seed_block(s->seed, s->counter++, s->block);
        s->at = 0;
    }
    uint64_t w = le_get64(s->block + s->at);
    s->at += 8;
    return w;
}

static void reject_and_reduce(struct stream *s, uint64_t *words, size_t n, uint64_t q)
{
    for (size_t i = 0; i < n; i++) {
        while (seal_is_rejected(words[i], q)) {
            words[i] = next_word(s);
        }
        words[i] %= q;
    }
}

int seal_expand(const struct seal_context *context, const struct seal_seed *seed, unsigned level,
                uint64_t *out)
{
    const size_t n = context->params.degree;
    struct stream *s = malloc(sizeof *s);
    if (s == NULL) {
        return CAIRN_ERR_NO_MEMORY;
    }
    s->seed = seed;
    s->counter = 0;
    s->at = SEAL_BLOCK_SIZE;
    for (size_t i = 0; i < n * level; i++) {
        out[i] = next_word(s);
    }
    for (unsigned j = 0; j < level; j++) {
        reject_and_reduce(s, out + j * n, n, context->params.q[j]);
    }
    free(s);
    return 0;
}
