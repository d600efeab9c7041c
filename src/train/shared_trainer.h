/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRAIN_SHARED_TRAINER_H
#define TRAIN_SHARED_TRAINER_H

#include "input.h"
#include "share.h"
#include "trainer.h"

/**
 * A trainer of which only a part of the model is shared (share.h), as a trainer of just that part:
 * whoever holds it averages what it sees and knows nothing of the rest.
 *
 * What is not shared stays in it, in memory, or with a trainer that takes the model (trainer.h). At a client it is
 * what the last training has left: personal layers and statistics go on from round to round. At an evaluator it is
 * what it was initially.
 * A training that leaves anything that is not finite changes nothing of it.
 */

struct train_shared_options {
    const struct model_share_rules *rules; /* read at once */
    bool client;                           /* it trains; else it evaluates */
    uint64_t seed;                         /* of what a client's own tensors are initially */
};

/**
 * @param inner    taken over; on failure it is still the caller's
 * @param[out] out  may be `inner` itself, when it is a client's and all of its model is shared float32
 * @retval CAIRN_ERR_CONFIG  as model_share_init; a trainer that cannot hold integers
 * @retval CAIRN_ERR_NO_MEMORY
 */
CAIRN_MUST_CHECK int train_shared_new(struct trainer *inner,
                                      const struct train_shared_options *options,
                                      struct trainer **out, struct cairn_problem *why);

/**
 * Begin with the model in a file of safetensors instead: of an evaluator that train_shared_new has made. From then
 * on a model is written as this file was: its order of tensors, their types, its metadata.
 * @param in           read at once
 * @param[out] shared  the shared floats, shape->n_params; the words are in self->words
 * @retval CAIRN_ERR_DATA  unreadable, another model than the trainer's, or a value that is
 *                         not finite
 * @retval CAIRN_ERR_NO_MEMORY
 */
CAIRN_MUST_CHECK int train_shared_load(struct trainer *self, const struct input *in, float *shared,
                                       struct cairn_problem *why);
/**
 * Of an evaluator: the integers that the clients have sent become self->words.
 * @param words  self->n_words, 8 bytes each, unaligned
 * @retval CAIRN_ERR_REFUSED  one that its tensor's type cannot hold, which is named; nothing is changed
 */
CAIRN_MUST_CHECK int train_shared_take_words(struct trainer *self, const uint8_t *words,
                                             struct cairn_problem *why);

#endif
