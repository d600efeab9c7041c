/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_FRAME_H
#define WIRE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cairn/err.h>

#include "buf.h"

/**
 * Frames and batches: the bytes that go up the tree. All integers little-endian.
 *
 * batch = header (80 bytes), then `frames` frames in index order, nothing after
 *
 *    0  "CRNB"            4
 *    4  version           u16   2
 *    6  stream            u16   enum wire_stream
 *    8  experiment        16    random id of one run of one config
 *   24  round             u32   from 1
 *   28  origin            u32   number of the node whose frames these are
 *   32  frames            u32   1..
 *   36  first index       u32
 *   40  bytes             u64   of the whole batch
 *   48  reserved          16    zero
 *   64  header digest     16    XXH3-128 of bytes 0..63
 *
 * frame = header (32 bytes) | payload | extensions | digest (16 bytes)
 *
 *    0  index             u32   number of the run of parameters, from 0
 *    4  contributors      u32   clients summed in the payload; 0 = nobody, payload empty
 *    8  weight            u64   their samples, summed
 *   16  ring and flags    u32   low 16 bits: parameter set id; rest reserved, zero
 *   20  payload length    u32
 *   24  extension length  u32
 *   28  reserved          u32   zero
 *
 * extension = type u16 | reserved u16 (zero) | length u32 | value, in ascending order of type,
 * each type at most once
 *
 * The frame digest is XXH3-128 of  frame header | payload | extensions  with the seed XXH3-64 of
 * "cairn frame v2\0\0" | experiment | round u32 | stream u32,  so a frame of another round or experiment
 * does not pass, and frames can be put into new batches without being touched.
 * A digest (base/checksum.h) finds accidents; against forgery it protects nothing.
 */
enum {
    WIRE_BATCH_HEADER = 80,
    WIRE_FRAME_HEADER = 32,
    WIRE_FRAME_DIGEST = 16,
    WIRE_EXPERIMENT = 16,
};

enum wire_stream { WIRE_STREAM_UPDATE = 1 };

enum wire_extension {
    /** Bitmap of client indices that are summed, ceil(clients/8) bytes, bit i of byte i/8.
     * Two frames whose sets meet are never added. */
    WIRE_EXT_CONTRIBUTORS = 1,
    /** The model's integers (dtype.h): u64 each, in the clear. Where two frames are added each of them is
     * the larger of the two, compared as unsigned numbers. */
    WIRE_EXT_WORDS = 2,
};

/** What every frame of one stream of one round shares. Plain value. */
struct wire_context {
    uint8_t experiment[WIRE_EXPERIMENT];
    uint32_t round;
    enum wire_stream stream;
};

struct wire_batch {
    struct wire_context context;
    uint32_t origin;
    uint32_t frames;
    uint32_t first_index;
    uint32_t position; /* frames already read; index of the next one: first_index + position */
    struct span rest;  /* bytes of the frames not yet read, borrowed from the body */
};

/** A frame as read: everything borrowed from the body. */
struct wire_frame {
    uint32_t index;
    uint32_t contributors;
    uint64_t weight;
    uint16_t params_id;
    struct span payload;
    struct span contributor_set; /* value of WIRE_EXT_CONTRIBUTORS; empty when absent */
    struct span words;           /* value of WIRE_EXT_WORDS, whole words; empty when absent */
    struct span bytes;           /* the whole frame, header to digest */
};

/** Bytes of a frame with this payload and contributor set (0 = no extension); SIZE_MAX on
 * overflow. */
size_t wire_frame_size(size_t payload, size_t contributor_set);

/**
 * Read and check a batch header and the claimed sizes against the body.
 * @retval CAIRN_ERR_MALFORMED  too short, wrong magic, version, stream, reserved bytes, lengths
 * @retval CAIRN_ERR_INTEGRITY  header digest
 */
CAIRN_MUST_CHECK int wire_batch_read(struct span body, struct wire_batch *out,
                                     struct cairn_problem *why);
/** wire_batch_read of a body of which more is to come: the sizes are held against what it says of itself.
 * Of the frames in `rest`, the last may be cut: ask wire_batch_is_there before wire_batch_next. */
CAIRN_MUST_CHECK int wire_batch_read_part(struct span body, struct wire_batch *out,
                                          struct cairn_problem *why);
/** Is the next frame in `rest` whole, as far as its header tells? */
bool wire_batch_is_there(const struct wire_batch *batch);
/** Bytes of `rest` that are needed before more of the next frame can be told than is known now: those of its
 * header, then all of it. */
size_t wire_batch_needs(const struct wire_batch *batch);
/** Pass over frames that were read before, from this body. False when they are not there. */
bool wire_batch_skip(struct wire_batch *batch, uint32_t frames);
/**
 * Read the next frame and check its digest. After `frames` frames the body must be at its end.
 * Unknown extensions are skipped (they are covered by the digest).
 * @return 1 a frame, 0 no more, or
 * @retval CAIRN_ERR_MALFORMED  lengths, reserved bits, index not first + position, trailing bytes,
 *                              a duplicate or oversized extension, contributors 0 with a payload
 *                              or a weight
 * @retval CAIRN_ERR_INTEGRITY  digest
 * On failure *batch and *out are untouched, so asking again gives the same answer.
 */
CAIRN_MUST_CHECK int wire_batch_next(struct wire_batch *batch, struct wire_frame *out,
                                     struct cairn_problem *why);

/**
 * Read one frame that stands alone, as a batch of it would be read, but for its digest: for bytes
 * that whoever kept them answers for.
 * @retval CAIRN_ERR_MALFORMED  as wire_batch_next, and bytes behind it
 */
CAIRN_MUST_CHECK int wire_frame_read(struct span bytes, struct wire_frame *out,
                                     struct cairn_problem *why);

/**
 * Begin a frame at the end of `out`: header, room for the payload (zeroed), and the set.
 * @param set  bitmap of contributors, copied; may be empty
 * @param[out] payload_at  offset in out->data where the caller writes the payload
 * @retval CAIRN_ERR_NO_MEMORY  out unchanged; CAIRN_ERR_TOO_LONG payload or set over 2^31 bytes
 */
CAIRN_MUST_CHECK int wire_frame_begin(struct buf *out, uint32_t index, uint32_t contributors,
                                      uint64_t weight, uint16_t params_id, size_t payload,
                                      struct span set, size_t *payload_at);
/** Bytes that n words add to a frame; 0 for none. */
size_t wire_words_size(uint32_t n);
/** Put words, 8 bytes each, into the frame that begins at out->data + frame_at, behind its set. None: nothing.
 * @retval CAIRN_ERR_NO_MEMORY  out unchanged */
CAIRN_MUST_CHECK int wire_frame_words(struct buf *out, size_t frame_at, struct span words);
/** Finish the frame that begins at out->data + frame_at: append its digest.
 * @retval CAIRN_ERR_NO_MEMORY  out unchanged
 * @retval CAIRN_ERR_BUG        no frame of exactly the announced lengths is there; out unchanged */
CAIRN_MUST_CHECK int wire_frame_end(struct buf *out, size_t frame_at,
                                    const struct wire_context *context);
/** wire_frame_end in two steps, for a batch whose frames are digested side by side: room for the
 * digest, and when all frames are there and `out` moves no more, the digest of each.
 * @retval as wire_frame_end */
CAIRN_MUST_CHECK int wire_frame_close(struct buf *out, size_t frame_at);
/** @param frame  closed */
void wire_frame_seal(uint8_t *frame, const struct wire_context *context);
/** Write a batch header into 80 bytes. `bytes` counts the header too. */
void wire_batch_header(uint8_t out[WIRE_BATCH_HEADER], const struct wire_context *context,
                       uint32_t origin, uint32_t frames, uint32_t first_index, uint64_t bytes);

#endif
