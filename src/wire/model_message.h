/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_MODEL_MESSAGE_H
#define WIRE_MODEL_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include <cairn/err.h>

#include "buf.h"
#include "frame.h"

/**
 * The model on its way down, in pieces: a run of the flattened model that says what it is a piece
 * of, so that it can be asked for, passed on and checked by itself. All integers and floats
 * little-endian.
 *
 *    0  "CRNM"            4
 *    4  version           u16   4
 *    6  flags             u16   bit 0: final, nothing to train any more
 *    8  experiment        16
 *   24  round             u32   from 1; with the final flag: the last round
 *   28  tensors           u32   of the whole model
 *   32  parameters        u64   of the whole model
 *   40  largest samples   u64   the largest client's sample count
 *   48  first             u64   flattened parameter that this piece begins at
 *   56  count             u64   parameters in this piece, >= 1
 *   64  next frame        u32   from which the sender expects this round's frames
 *   68  deadline          u32   milliseconds that the receiver has left to deliver
 *   72  words             u32   of the whole model's integers
 *   76  reserved          20    zero
 *   96  steps             tensors x f64   quantiser step per tensor, > 0, finite;
 *                                         only in the piece that begins at 0
 *    .  weights           count x f32
 *    .  words             words x u64   its integers (dtype.h), only in the piece that begins at 0
 *    .  digest            16    XXH3-128 of all the bytes before it (base/checksum.h)
 */
enum { WIRE_MODEL_HEADER = 96, WIRE_MODEL_DIGEST = 16 };
enum { WIRE_MODEL_FINAL = 1 };

struct wire_model {
    uint8_t experiment[WIRE_EXPERIMENT];
    uint32_t round;
    uint16_t flags;
    uint32_t tensors;
    uint64_t parameters;
    uint64_t largest_samples;
    uint64_t first, count;
    uint32_t next_frame;
    uint32_t deadline_ms;
    const uint8_t *steps;   /* tensors x f64, unaligned, borrowed; NULL unless first = 0 */
    const uint8_t *weights; /* count x f32, unaligned, borrowed */
    uint32_t n_words;
    const uint8_t *words;   /* n_words x u64, unaligned, borrowed; NULL unless first = 0 */
};

/** Bytes of a piece. @retval CAIRN_ERR_TOO_LONG overflow */
CAIRN_MUST_CHECK int wire_model_size(uint32_t tensors, uint32_t words, uint64_t count,
                                     uint64_t first, size_t *out);
/** Append a whole piece; m->steps and m->words (where first = 0) and m->weights are read as given.
 * @retval CAIRN_ERR_NO_MEMORY, CAIRN_ERR_TOO_LONG  out unchanged
 * @retval CAIRN_ERR_BUG  the piece is empty or reaches beyond the model; out unchanged */
CAIRN_MUST_CHECK int wire_model_write(struct buf *out, const struct wire_model *m);
/**
 * Read a whole piece and check its digest; it must lie in the model it speaks of, and every step
 * must be finite and > 0.
 * @retval CAIRN_ERR_MALFORMED, CAIRN_ERR_INTEGRITY
 */
CAIRN_MUST_CHECK int wire_model_read(struct span body, struct wire_model *out,
                                     struct cairn_problem *why);
/** What wire_model_read has said of these bytes, or of those that they are a copy of: nothing is checked again. */
struct wire_model wire_model_again(const uint8_t *bytes);
/** Change two fields of a finished piece, as wire_model_write made it, and its digest with them: a
 * switch keeps the first piece and sends it again at another time. */
void wire_model_retime(uint8_t *bytes, size_t size, uint32_t next_frame, uint32_t deadline_ms);

#endif
