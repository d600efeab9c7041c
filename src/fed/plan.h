/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FED_PLAN_H
#define FED_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cairn/err.h>

#include "frame.h"
#include "he.h"

/**
 * How the flattened model is cut into frames on its way up, and into pieces on its way down:
 * the same for every node of an experiment, derived from the parameters and never negotiated. Plain
 * value, immutable.
 *
 * With encryption.only a model's last parameters go in plain, in frames of their own behind the others:
 *
 *   |-- frame_params --|-- frame_params --|- rest -|-- frame_params --|- rest -|
 *   0                                     n_params - n_plain            n_params
 *   <---------- n_he_frames, by `he` -------------><--------- by `plain` ------>
 */
struct fed_plan {
    struct he_params he;    /* of the frames below n_he_frames */
    struct he_params plain; /* of those from there on; fields of `he` where there are none */
    size_t n_params;
    size_t n_plain;      /* of them, the last ones, in plain although `he` encrypts; 0 after fed_plan_init */
    size_t frame_params; /* parameters in every frame but the last of its kind: whole chunks */
    uint32_t n_he_frames;
    uint32_t n_frames;
    uint32_t n_clients; /* bits of a contributor set */
    bool noise; /* clients owe noise with what they send; false from fed_plan_init, and its caller's to set */
    size_t piece_params; /* parameters in every piece of the model on its way down but the last */
    uint32_t n_words; /* of the model's integers; frame 0 carries them. 0 after fed_plan_init */
};

/**
 * @param n_params      at least 1
 * @param frame_params  wanted; rounded down to whole chunks, but at least one chunk
 * @param batch_bytes   bounds a piece, too: its parameters are 4 bytes each; rounded down to a
 *                      multiple of 1024 parameters, but at least that many
 * @retval CAIRN_ERR_CONFIG  no parameters, or more than 2^32 - 1 frames or pieces
 */
CAIRN_MUST_CHECK int fed_plan_init(struct fed_plan *plan, const struct he_params *he,
                                   size_t n_params, size_t frame_params, uint32_t n_clients,
                                   size_t batch_bytes, struct cairn_problem *why);
/**
 * So many parameters, the last ones, go in plain (encryption.only). Cuts anew; before fed_plan_carry.
 * @param n_plain  below n_params; 0, and any number where `he` is profile none: all frames are alike
 * @param noise    the config asks for privacy noise, of which a single client's share would not be enough
 * @retval CAIRN_ERR_CONFIG  no parameter is left to encrypt, too many frames, or some in plain, and noise
 */
CAIRN_MUST_CHECK int fed_plan_split(struct fed_plan *plan, size_t n_plain, bool noise,
                                    struct cairn_problem *why);
/** Parameters that go in plain: n_plain, or all of them under profile none. */
size_t fed_plan_in_plain(const struct fed_plan *plan);
/** How the payload of a frame is made. */
const struct he_params *fed_plan_he(const struct fed_plan *plan, uint32_t frame);
/** Bytes of a frame's payload. */
size_t fed_plan_payload_bytes(const struct fed_plan *plan, uint32_t frame);
/**
 * Frame 0 carries so many of the model's integers.
 * @param noise  the config asks for privacy noise, of which integers would get none
 * @retval CAIRN_ERR_CONFIG  there are some, and noise
 */
CAIRN_MUST_CHECK int fed_plan_carry(struct fed_plan *plan, uint32_t n_words, bool noise,
                                    struct cairn_problem *why);
/** First flattened parameter of a frame; of n_frames: n_params. */
size_t fed_plan_first(const struct fed_plan *plan, uint32_t frame);
/** Parameters in a frame, 1 .. frame_params. */
size_t fed_plan_count(const struct fed_plan *plan, uint32_t frame);
/** Pieces of the model, at least 1; piece k begins at parameter k * piece_params. */
uint32_t fed_plan_pieces(const struct fed_plan *plan);
/** Parameters in a piece, 1 .. piece_params. */
size_t fed_plan_piece_count(const struct fed_plan *plan, uint32_t piece);
/** Bytes of a contributor set: ceil(n_clients / 8). */
size_t fed_plan_set_bytes(const struct fed_plan *plan);
/** Words in this frame: all of them in frame 0, none in others. */
uint32_t fed_plan_words(const struct fed_plan *plan, uint32_t frame);
/** Bytes of the largest frame on the wire, header to digest. */
size_t fed_plan_frame_bytes(const struct fed_plan *plan);
/** Frames that go into one batch of at most batch_bytes, at least 1. */
uint32_t fed_plan_batch_frames(const struct fed_plan *plan, size_t batch_bytes);
/**
 * Frames that a fold may hold: as many as fit window_bytes, but at least two batches, so that one
 * can come in while another goes up, and at most all.
 */
uint32_t fed_plan_window(const struct fed_plan *plan, size_t window_bytes, size_t batch_bytes);
/** The largest batch body that anybody may send under this plan. */
size_t fed_plan_batch_limit(const struct fed_plan *plan, size_t batch_bytes);

/**
 * Check what a frame says of itself against the plan: index, parameter set, exact payload
 * length, and a contributor set of the right length that has `contributors` bits, none above n_clients.
 * Words are in frame 0, exactly n_words of them. A frame without contributors has no payload, no set, no words
 * and weight 0.
 * @retval CAIRN_ERR_REFUSED  expected and found
 */
CAIRN_MUST_CHECK int fed_plan_check(const struct fed_plan *plan, const struct wire_frame *frame,
                                    struct cairn_problem *why);
/** And what it carries: every field of the payload below its modulus (he_check_fields), for a frame
 * that passes fed_plan_check. Reads the whole payload. @retval CAIRN_ERR_REFUSED */
CAIRN_MUST_CHECK int fed_plan_check_fields(const struct fed_plan *plan,
                                           const struct wire_frame *frame,
                                           struct cairn_problem *why);

#endif
