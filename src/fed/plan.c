/* SPDX-License-Identifier: Apache-2.0 */
#include "plan.h"

#include <stdbool.h>

#include "sizes.h"

/* Pieces end at multiples of this, so that they begin aligned in whatever holds the model. */
enum { PIECE_UNIT = 1024 };

static size_t piece_params_of(size_t batch_bytes)
{
    const size_t params = batch_bytes / sizeof(float);
    return params < PIECE_UNIT ? PIECE_UNIT : params - params % PIECE_UNIT;
}

static int count_frames(size_t params, size_t frame_params, uint32_t *out, struct cairn_problem *why)
{
    const size_t frames = size_ceil_div(params, frame_params);
    if (frames > UINT32_MAX) {
        return problem_set(why, CAIRN_ERR_CONFIG, "raise round.frame_params",
                           "%zu parameters make %zu frames, more than fit 32 bits", params, frames);
    }
    *out = (uint32_t)frames;
    return 0;
}

int fed_plan_init(struct fed_plan *plan, const struct he_params *he, size_t n_params,
                  size_t frame_params, uint32_t n_clients, size_t batch_bytes,
                  struct cairn_problem *why)
{
    if (n_params == 0 || n_clients == 0) {
        return problem_set(why, CAIRN_ERR_CONFIG, "give the model at least one layer",
                           "nothing to train: %zu parameters, %u clients", n_params,
                           (unsigned)n_clients);
    }
    size_t whole = frame_params - frame_params % he->chunk_params;
    if (whole == 0) {
        whole = he->chunk_params;
    }
    uint32_t frames = 0;
    const int err = count_frames(n_params, whole, &frames, why);
    if (err != 0) {
        return err;
    }
    const size_t piece = piece_params_of(batch_bytes);
    if (size_ceil_div(n_params, piece) > UINT32_MAX) {
        return problem_set(why, CAIRN_ERR_CONFIG, "raise server.batch_bytes",
                           "%zu parameters in pieces of %zu are more than fit 32 bits", n_params,
                           piece);
    }
    *plan = (struct fed_plan){.he = *he,
                              .plain = *he,
                              .n_params = n_params,
                              .frame_params = whole,
                              .n_he_frames = frames,
                              .n_frames = frames,
                              .n_clients = n_clients,
                              .piece_params = piece};
    return 0;
}

int fed_plan_split(struct fed_plan *plan, size_t n_plain, bool noise, struct cairn_problem *why)
{
    uint32_t encrypted = 0, in_plain = 0;
    if (n_plain == 0 || plan->he.profile == HE_NONE) {
        return 0;
    }
    if (noise) {
        return problem_set(why, CAIRN_ERR_CONFIG,
                           "encrypt everything, or do without privacy.noise_multiplier",
                           "%zu parameters go in plain, where each client's own share of the noise is "
                           "all that covers them", n_plain);
    }
    if (n_plain >= plan->n_params) {
        return problem_set(why, CAIRN_ERR_CONFIG, "encryption.profile none says that openly",
                           "encryption.only leaves nothing to encrypt");
    }
    int err = he_params_plain(plan->he.value_bits, plan->he.max_contributors, &plan->plain, why);
    if (err == 0) {
        err = count_frames(plan->n_params - n_plain, plan->frame_params, &encrypted, why);
    }
    if (err == 0) {
        err = count_frames(n_plain, plan->frame_params, &in_plain, why);
    }
    if (err == 0 && in_plain > UINT32_MAX - encrypted) {
        err = problem_set(why, CAIRN_ERR_CONFIG, "raise round.frame_params",
                          "%zu parameters make more frames than fit 32 bits", plan->n_params);
    }
    if (err == 0) {
        plan->n_plain = n_plain;
        plan->n_he_frames = encrypted;
        plan->n_frames = encrypted + in_plain;
    }
    return err;
}

size_t fed_plan_in_plain(const struct fed_plan *plan)
{
    return plan->he.profile == HE_NONE ? plan->n_params : plan->n_plain;
}

const struct he_params *fed_plan_he(const struct fed_plan *plan, uint32_t frame)
{
    return frame < plan->n_he_frames ? &plan->he : &plan->plain;
}

size_t fed_plan_payload_bytes(const struct fed_plan *plan, uint32_t frame)
{
    return he_payload_bytes(fed_plan_he(plan, frame), fed_plan_count(plan, frame));
}

int fed_plan_carry(struct fed_plan *plan, uint32_t n_words, bool noise, struct cairn_problem *why)
{
    if (n_words > 0 && noise) {
        return problem_set(why, CAIRN_ERR_CONFIG,
                           "put them into model.exclude, or do without privacy.noise_multiplier",
                           "the model has %u integers, which travel in the clear and without noise",
                           (unsigned)n_words);
    }
    plan->n_words = n_words;
    return 0;
}

size_t fed_plan_first(const struct fed_plan *plan, uint32_t frame)
{
    const size_t encrypted = plan->n_params - plan->n_plain;
    const size_t first = frame <= plan->n_he_frames
                             ? plan->frame_params * frame
                             : encrypted + plan->frame_params * (frame - plan->n_he_frames);
    const size_t end = frame <= plan->n_he_frames ? encrypted : plan->n_params;
    return first < end ? first : end;
}

size_t fed_plan_count(const struct fed_plan *plan, uint32_t frame)
{
    return fed_plan_first(plan, frame + 1) - fed_plan_first(plan, frame);
}

uint32_t fed_plan_pieces(const struct fed_plan *plan)
{
    return (uint32_t)size_ceil_div(plan->n_params, plan->piece_params);
}

size_t fed_plan_piece_count(const struct fed_plan *plan, uint32_t piece)
{
    const size_t rest = plan->n_params - plan->piece_params * piece;
    return rest < plan->piece_params ? rest : plan->piece_params;
}

size_t fed_plan_set_bytes(const struct fed_plan *plan)
{
    return size_ceil_div(plan->n_clients, 8);
}

uint32_t fed_plan_words(const struct fed_plan *plan, uint32_t frame)
{
    return frame == 0 ? plan->n_words : 0;
}

size_t fed_plan_frame_bytes(const struct fed_plan *plan)
{
    const size_t first = fed_plan_payload_bytes(plan, 0);
    const size_t in_plain =
        plan->n_plain == 0 ? 0 : fed_plan_payload_bytes(plan, plan->n_he_frames);
    return wire_frame_size(first > in_plain ? first : in_plain, fed_plan_set_bytes(plan)) +
           wire_words_size(plan->n_words);
}

uint32_t fed_plan_batch_frames(const struct fed_plan *plan, size_t batch_bytes)
{
    const size_t fit = batch_bytes < WIRE_BATCH_HEADER
                           ? 0
                           : (batch_bytes - WIRE_BATCH_HEADER) / fed_plan_frame_bytes(plan);
    if (fit == 0) {
        return 1;
    }
    return fit < plan->n_frames ? (uint32_t)fit : plan->n_frames;
}

uint32_t fed_plan_window(const struct fed_plan *plan, size_t window_bytes, size_t batch_bytes)
{
    const size_t fit = window_bytes / fed_plan_frame_bytes(plan);
    const size_t least = 2 * (size_t)fed_plan_batch_frames(plan, batch_bytes);
    const size_t frames = fit > least ? fit : least;
    return frames < plan->n_frames ? (uint32_t)frames : plan->n_frames;
}

size_t fed_plan_batch_limit(const struct fed_plan *plan, size_t batch_bytes)
{
    return WIRE_BATCH_HEADER +
           fed_plan_batch_frames(plan, batch_bytes) * fed_plan_frame_bytes(plan);
}

static int check_set(const struct fed_plan *plan, const struct wire_frame *frame,
                     struct cairn_problem *why)
{
    const size_t expected = frame->contributors == 0 ? 0 : fed_plan_set_bytes(plan);
    if (frame->contributor_set.size != expected) {
        return problem_set(why, CAIRN_ERR_REFUSED, NULL,
                           "frame %u: contributor set of %zu bytes, expected %zu",
                           (unsigned)frame->index, frame->contributor_set.size, expected);
    }
    if (expected == 0) {
        return 0;
    }
    uint32_t members = 0;
    for (size_t i = 0; i < frame->contributor_set.size; i++) {
        members += (uint32_t)__builtin_popcount(frame->contributor_set.data[i]);
    }
    const unsigned used = plan->n_clients % 8;
    const uint8_t last = frame->contributor_set.data[frame->contributor_set.size - 1];
    if (used != 0 && (last >> used) != 0) {
        return problem_set(why, CAIRN_ERR_REFUSED, NULL,
                           "frame %u: its contributor set names a client above index %u",
                           (unsigned)frame->index, (unsigned)plan->n_clients - 1);
    }
    if (members != frame->contributors) {
        return problem_set(why, CAIRN_ERR_REFUSED, NULL,
                           "frame %u: %u contributors, but its set has %u", (unsigned)frame->index,
                           (unsigned)frame->contributors, (unsigned)members);
    }
    return 0;
}

int fed_plan_check(const struct fed_plan *plan, const struct wire_frame *frame,
                   struct cairn_problem *why)
{
    if (frame->index >= plan->n_frames) {
        return problem_set(why, CAIRN_ERR_REFUSED, NULL, "frame %u, but a model has %u",
                           (unsigned)frame->index, (unsigned)plan->n_frames);
    }
    const struct he_params *he = fed_plan_he(plan, frame->index);
    if (frame->params_id != he->short_id) {
        return problem_set(
            why, CAIRN_ERR_REFUSED, "all nodes of an experiment must run the same config",
            "frame %u has parameter set %04x, expected %04x (%s)", (unsigned)frame->index,
            frame->params_id, he->short_id, he->id);
    }
    const bool nobody = frame->contributors == 0;
    const size_t expected = nobody ? 0 : fed_plan_payload_bytes(plan, frame->index);
    if (frame->payload.size != expected || (nobody && frame->weight != 0)) {
        return problem_set(why, CAIRN_ERR_REFUSED, NULL,
                           "frame %u: payload of %zu bytes from %u contributors, expected %zu",
                           (unsigned)frame->index, frame->payload.size,
                           (unsigned)frame->contributors, expected);
    }
    const size_t words = nobody ? 0 : 8 * (size_t)fed_plan_words(plan, frame->index);
    if (frame->words.size != words) {
        return problem_set(why, CAIRN_ERR_REFUSED,
                           "all nodes of an experiment must run the same model",
                           "frame %u: %zu bytes of integers, expected %zu", (unsigned)frame->index,
                           frame->words.size, words);
    }
    return check_set(plan, frame, why);
}

int fed_plan_check_fields(const struct fed_plan *plan, const struct wire_frame *frame,
                          struct cairn_problem *why)
{
    struct cairn_problem inner = {0};
    int err = frame->contributors == 0
                  ? 0
                  : he_check_fields(fed_plan_he(plan, frame->index),
                                    fed_plan_count(plan, frame->index), frame->payload.data,
                                    &inner);
    return err == 0 ? 0
                    : problem_set(why, err, inner.hint, "frame %u: %s", (unsigned)frame->index,
                                  inner.what);
}
