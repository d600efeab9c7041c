/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_SHARE_H
#define MODEL_SHARE_H

#include <jansson.h>

#include "shape.h"

/**
 * Which tensors of a model are shared with the others, and which stay where they are (personal
 * layers, statistics of a BatchNorm); and which of the shared ones are encrypted.
 *
 * What is shared is a model of its own: its floats are averaged and its integers carried. So whoever
 * averages knows nothing of the rest. Its tensors are in the model's order, those that go in plain
 * behind all the others.
 */
struct model_share {
    const struct model_shape *whole; /* borrowed */
    struct model_shape shape;        /* its shared floats, each as F32; no integers */
    size_t n_plain;                  /* parameters of `shape`, the last ones, that go in plain */
    size_t *from;                    /* of each of those tensors: its first element in the whole's floats */
    size_t *words;                   /* of each shared word: its place among the whole's words */
    size_t n_words;
    bool *shared;                    /* of each tensor of the whole, by its place */
    bool all_floats;                 /* both flattened models are the same array, in the same order */
    bool everything;                 /* nothing stays where it is */
};

/** Words are sent in the clear and with one frame, whose size they must not rule; room for the counters
 * of a few thousand layers. */
enum { MODEL_MOST_WORDS = 4096 };

/** Lists of patterns; NULL or empty: as if it had not been given. Each is its holder's. */
struct model_share_rules {
    json_t *include; /* only what one of them means is shared; else everything */
    json_t *exclude; /* what one of them means is not */
    json_t *only;    /* of floats, only what one of them means is encrypted; else everything */
};

/** Is this name meant by the pattern? '*' stands for any characters, '?' for one. */
bool model_pattern_matches(const char *pattern, const char *name);

/** Do they leave the model as it is? */
bool model_share_everything(const struct model_share_rules *rules);

/**
 * @param whole  borrowed
 * @param rules  read at once
 * @retval CAIRN_ERR_CONFIG  a pattern that means no tensor, or of encryption.only no shared float; nothing to
 *                           average or to encrypt is left; or more than MODEL_MOST_WORDS integers
 * @retval CAIRN_ERR_NO_MEMORY
 */
CAIRN_MUST_CHECK int model_share_init(struct model_share *share, const struct model_shape *whole,
                                      const struct model_share_rules *rules,
                                      struct cairn_problem *why);
void model_share_release(struct model_share *share);

/** Is this tensor shared? @param tensor  of the whole, or of a model with the same tensors in its places */
bool model_share_has(const struct model_share *share, const struct model_tensor *tensor);
/**
 * Shared parameters first .. first+n-1 lie in the whole in runs.
 * @param[out] at  where the run that begins at `first` lies in the whole's floats
 * @return its length, 1 .. n
 */
size_t model_share_run(const struct model_share *share, size_t first, size_t n, size_t *at);
/** Shared parameters first .. first+n-1 out of a whole model, and into one. */
void model_share_gather(const struct model_share *share, const float *whole, size_t first, size_t n,
                        float *part);
void model_share_scatter(const struct model_share *share, const float *part, size_t first, size_t n,
                         float *whole);
/** The shared words out of all words, and into them. */
void model_share_gather_words(const struct model_share *share, const uint64_t *whole,
                              uint64_t *part);
void model_share_scatter_words(const struct model_share *share, const uint64_t *part,
                               uint64_t *whole);

#endif
