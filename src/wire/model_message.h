/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_MODEL_MESSAGE_H
#define WIRE_MODEL_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include <cairn/err.h>

#include "buf.h"
#include "frame.h"

/**
 * The model on its way down. All integers and floats little-endian.
 *
 *    0  "CRNM"            4
 *    4  version           u16   1
 *    6  flags             u16   bit 0: final, nothing to train any more
 *    8  experiment        16
 *   24  round             u32   from 1; with the final flag: the last round
 *   28  tensors           u32
 *   32  parameters        u64
 *   40  largest samples   u64   the largest client's sample count
 *   48  reserved          16    zero
 *   64  steps             tensors x f64   quantiser step per tensor, > 0, finite
 *    .  weights           parameters x f32
 *    .  digest            32    BLAKE2b-256 of all the bytes before it
 */
enum { WIRE_MODEL_HEADER = 64 };
enum { WIRE_MODEL_FINAL = 1 };

struct wire_model {
    uint8_t experiment[WIRE_EXPERIMENT];
    uint32_t round;
    uint16_t flags;
    uint32_t tensors;
    uint64_t parameters;
    uint64_t largest_samples;
    const uint8_t *steps;   /* tensors x f64, unaligned, borrowed */
    const uint8_t *weights; /* parameters x f32, unaligned, borrowed */
};

/** Bytes of a message. @retval CAIRN_ERR_TOO_LONG overflow */
CAIRN_MUST_CHECK int wire_model_size(uint32_t tensors, uint64_t parameters, size_t *out);
/** Append a whole message; m->steps and m->weights are read as given.
 * @retval CAIRN_ERR_NO_MEMORY, CAIRN_ERR_TOO_LONG  out unchanged */
CAIRN_MUST_CHECK int wire_model_write(struct buf *out, const struct wire_model *m);
/**
 * Read a whole message and check its digest; every step must be finite and > 0.
 * @retval CAIRN_ERR_MALFORMED, CAIRN_ERR_INTEGRITY
 */
CAIRN_MUST_CHECK int wire_model_read(struct span body, struct wire_model *out,
                                     struct cairn_problem *why);

#endif
