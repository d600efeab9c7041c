/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader of batches and frames. Mode byte: bit 0 repairs all digests, bit 1
 * the magic, version, stream and length of the header too, bit 2 the indices of the frames.
 */
#include <string.h>

#include "checksum.h"
#include "frame.h"
#include "fuzz.h"
#include "le.h"

enum { REPAIR_DIGESTS = 1, REPAIR_HEADER = 2, REPAIR_INDICES = 4 };

static void repair_frame(uint8_t *frame, size_t covered, const uint8_t *header)
{
    uint8_t context[40] = "cairn frame v2";
    memcpy(context + 16, header + 8, WIRE_EXPERIMENT);
    memcpy(context + 32, header + 24, 4);
    le_put32(context + 36, le_get16(header + 6));
    checksum_of(frame, covered, checksum_seed(context, sizeof context), frame + covered);
}

static void repair(uint8_t *body, size_t size, unsigned mode)
{
    if (size < WIRE_BATCH_HEADER) {
        return;
    }
    if (mode & REPAIR_HEADER) {
        memcpy(body, "CRNB\x02\0\x01", 8);
        le_put64(body + 40, size);
    }
    checksum_of(body, 64, 0, body + 64);
    size_t at = WIRE_BATCH_HEADER;
    for (uint32_t index = le_get32(body + 36); size - at >= wire_frame_size(0, 0); index++) {
        size_t covered = WIRE_FRAME_HEADER + (size_t)le_get32(body + at + 20) +
                         (size_t)le_get32(body + at + 24);
        if (covered > size - at - WIRE_FRAME_DIGEST) {
            return;
        }
        if (mode & REPAIR_INDICES) {
            le_put32(body + at, index);
        }
        repair_frame(body + at, covered, body);
        at += covered + WIRE_FRAME_DIGEST;
    }
}

static int inside(struct span part, struct span whole)
{
    return part.size == 0 || (part.data >= whole.data && part.size <= whole.size &&
                              (size_t)(part.data - whole.data) <= whole.size - part.size);
}

/* A frame without extensions that are unknown here comes out of the writer as it went in. */
static void check_rewritten(const struct wire_frame *f, const struct wire_context *context)
{
    if (f->bytes.size != wire_frame_size(f->payload.size, f->contributor_set.size)) {
        return;
    }
    struct buf b = {0};
    size_t at;
    FUZZ_REQUIRE(wire_frame_begin(&b, f->index, f->contributors, f->weight, f->params_id,
                                  f->payload.size, f->contributor_set, &at) == 0);
    memcpy(b.data + at, f->payload.data, f->payload.size);
    FUZZ_REQUIRE(wire_frame_end(&b, 0, context) == 0);
    FUZZ_REQUIRE(b.size == f->bytes.size && memcmp(b.data, f->bytes.data, b.size) == 0);
    buf_release(&b);
}

static void read_frames(struct wire_batch *batch, struct span body)
{
    struct wire_frame f;
    struct cairn_problem why;
    const uint8_t *next = body.data + WIRE_BATCH_HEADER;
    uint32_t count = 0;
    int result;
    while ((result = wire_batch_next(batch, &f, &why)) == 1) {
        FUZZ_REQUIRE(f.bytes.data == next);
        FUZZ_REQUIRE(inside(f.bytes, body));
        FUZZ_REQUIRE(inside(f.payload, f.bytes) && inside(f.contributor_set, f.bytes));
        FUZZ_REQUIRE(f.index == batch->first_index + count);
        FUZZ_REQUIRE(f.contributors > 0 || (f.payload.size == 0 && f.weight == 0));
        check_rewritten(&f, &batch->context);
        next += f.bytes.size;
        count++;
    }
    FUZZ_REQUIRE(result == 0 || result == CAIRN_ERR_MALFORMED || result == CAIRN_ERR_INTEGRITY);
    FUZZ_REQUIRE(count <= batch->frames);
    FUZZ_REQUIRE(result != 0 || (count == batch->frames && next == body.data + body.size));
    FUZZ_REQUIRE(result == 0 || wire_batch_next(batch, &f, NULL) == result);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    unsigned mode = data[0];
    size--;
    uint8_t *body = malloc(size > 0 ? size : 1);
    FUZZ_REQUIRE(body);
    memcpy(body, data + 1, size);
    if (mode & REPAIR_DIGESTS) {
        repair(body, size, mode);
    }
    struct wire_batch batch, before;
    struct cairn_problem why;
    memset(&batch, 0x5a, sizeof batch);
    before = batch;
    int error = wire_batch_read((struct span){body, size}, &batch, &why);
    if (error) {
        FUZZ_REQUIRE(error == CAIRN_ERR_MALFORMED || error == CAIRN_ERR_INTEGRITY);
        FUZZ_REQUIRE(why.code == error && memcmp(&batch, &before, sizeof batch) == 0);
    } else {
        read_frames(&batch, (struct span){body, size});
    }
    free(body);
    return 0;
}

/* 0: one empty frame; 1: one with payload; 2: with a set; 3: four of different kinds. As they
 * are, and then again with everything repaired. */
size_t fuzz_seed_input(unsigned which, uint8_t *out, size_t capacity)
{
    enum { KINDS = 4 };
    if (which >= 2 * KINDS) {
        return 0;
    }
    static const struct wire_context context = {{1, 2, 3}, 1, WIRE_STREAM_UPDATE};
    static const uint8_t set[2] = {0x0d, 0x80};
    unsigned kind = which % KINDS;
    uint32_t frames = kind == 3 ? 4 : 1;
    struct buf b = {0};
    uint8_t mode = which < KINDS ? 0 : REPAIR_DIGESTS | REPAIR_HEADER | REPAIR_INDICES;
    FUZZ_REQUIRE(buf_append(&b, &mode, 1) == 0);
    FUZZ_REQUIRE(buf_append(&b, (const uint8_t[WIRE_BATCH_HEADER]){0}, WIRE_BATCH_HEADER) == 0);
    for (uint32_t i = 0; i < frames; i++) {
        uint32_t contributors = kind == 0 ? 0 : i + 1;
        size_t begin = b.size, at;
        struct span s = {set, kind >= 2 ? 1 + i % 2 : 0};
        FUZZ_REQUIRE(wire_frame_begin(&b, i, contributors, 100 * (uint64_t)contributors, 7,
                                      contributors > 0 ? 16 : 0, s, &at) == 0);
        FUZZ_REQUIRE(wire_frame_end(&b, begin, &context) == 0);
    }
    wire_batch_header(b.data + 1, &context, 3, frames, 0, b.size - 1);
    size_t size = b.size;
    FUZZ_REQUIRE(size <= capacity);
    memcpy(out, b.data, size);
    buf_release(&b);
    return size;
}
