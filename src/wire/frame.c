/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames and batches, strictly: every byte of a batch is either covered by a
 * digest or compared, and no length is believed before it has been held against
 * the bytes that are there. Reading copies nothing and allocates nothing.
 */
#include <string.h>

#include "checksum.h"
#include "frame.h"
#include "le.h"
#include "sizes.h"

enum {
    HEADER_DIGEST_AT = 64,
    HEADER_DIGEST = CHECKSUM_SIZE,
    VERSION = 2,
    EXTENSION_HEADER = 8,
};

_Static_assert((int)WIRE_FRAME_DIGEST == (int)CHECKSUM_SIZE, "a whole checksum");

/* frame.h: lengths of a payload and a set end here, well inside their 32 bits */
static const size_t longest = (size_t)1 << 31;

static const char batch_magic[4] = {'C', 'R', 'N', 'B'};
static const char frame_domain[16] = "cairn frame v2";

static bool all_zero(const uint8_t *bytes, size_t size)
{
    uint8_t seen = 0;
    for (size_t i = 0; i < size; i++) {
        seen |= bytes[i];
    }
    return seen == 0;
}

static void header_digest(const uint8_t *header, uint8_t out[HEADER_DIGEST])
{
    checksum_of(header, HEADER_DIGEST_AT, 0, out);
}

/* bytes: header, payload and extensions */
static void frame_digest(struct span bytes, const struct wire_context *context,
                         uint8_t out[WIRE_FRAME_DIGEST])
{
    uint8_t belongs[sizeof frame_domain + WIRE_EXPERIMENT + 8];
    uint8_t *numbers = belongs + sizeof frame_domain + WIRE_EXPERIMENT;
    memcpy(belongs, frame_domain, sizeof frame_domain);
    memcpy(belongs + sizeof frame_domain, context->experiment, WIRE_EXPERIMENT);
    le_put32(numbers, context->round);
    le_put32(numbers + 4, (uint32_t)context->stream);
    checksum_of(bytes.data, bytes.size, checksum_seed(belongs, sizeof belongs), out);
}

size_t wire_frame_size(size_t payload, size_t contributor_set)
{
    size_t size = WIRE_FRAME_HEADER + WIRE_FRAME_DIGEST;
    if (!size_add(size, payload, &size) ||
        (contributor_set > 0 && (!size_add(size, EXTENSION_HEADER, &size) ||
                                 !size_add(size, contributor_set, &size)))) {
        return SIZE_MAX;
    }
    return size;
}

#define BATCH_HINT "is the sender the same version of cairn?"

/* What may be said before the digest of the header is known to be right. */
static int check_batch_header(struct span body, struct cairn_problem *why)
{
    if (body.size < WIRE_BATCH_HEADER) {
        return problem_set(why, CAIRN_ERR_MALFORMED, NULL,
                           "batch: %zu bytes are less than a header of %d", body.size,
                           WIRE_BATCH_HEADER);
    }
    if (memcmp(body.data, batch_magic, sizeof batch_magic) != 0) {
        return problem_set(why, CAIRN_ERR_MALFORMED, "this route takes batches of frames",
                           "batch: does not begin with CRNB");
    }
    unsigned version = le_get16(body.data + 4);
    if (version != VERSION) {
        return problem_set(why, CAIRN_ERR_MALFORMED, BATCH_HINT,
                           "batch: version %u, this is version %d", version, VERSION);
    }
    uint8_t digest[HEADER_DIGEST];
    header_digest(body.data, digest);
    if (memcmp(digest, body.data + HEADER_DIGEST_AT, HEADER_DIGEST) != 0) {
        return problem_set(why, CAIRN_ERR_INTEGRITY, "send it again",
                           "batch: the header does not match its digest");
    }
    return CAIRN_OK;
}

static int check_batch_fields(const struct wire_batch *batch, unsigned stream, uint64_t bytes,
                              size_t body, bool whole, struct cairn_problem *why)
{
    const char *wrong = NULL;
    uint32_t last;
    if (stream != WIRE_STREAM_UPDATE) {
        wrong = "unknown stream";
    } else if (batch->context.round == 0) {
        wrong = "round 0; rounds count from 1";
    } else if (batch->frames == 0) {
        wrong = "no frames";
    } else if (__builtin_add_overflow(batch->first_index, batch->frames - 1, &last)) {
        wrong = "the last frame's index does not fit 32 bits";
    } else if (whole ? bytes != body : bytes < body) {
        return problem_set(why, CAIRN_ERR_MALFORMED, "was the body cut?",
                           "batch: says %llu bytes, has %zu", (unsigned long long)bytes, body);
    } else if (batch->frames > (bytes - WIRE_BATCH_HEADER) / wire_frame_size(0, 0)) {
        return problem_set(why, CAIRN_ERR_MALFORMED, BATCH_HINT,
                           "batch: %u frames do not fit its %llu bytes", batch->frames,
                           (unsigned long long)bytes);
    }
    if (wrong) {
        return problem_set(why, CAIRN_ERR_MALFORMED, BATCH_HINT, "batch: %s", wrong);
    }
    return CAIRN_OK;
}

static int read_batch(struct span body, bool whole, struct wire_batch *out,
                      struct cairn_problem *why)
{
    int error = check_batch_header(body, why);
    if (error) {
        return error;
    }
    const uint8_t *p = body.data;
    struct wire_batch batch = {
        .context.round = le_get32(p + 24),
        .context.stream = WIRE_STREAM_UPDATE,
        .origin = le_get32(p + 28),
        .frames = le_get32(p + 32),
        .first_index = le_get32(p + 36),
        .rest = {p + WIRE_BATCH_HEADER, body.size - WIRE_BATCH_HEADER},
    };
    memcpy(batch.context.experiment, p + 8, WIRE_EXPERIMENT);
    if (!all_zero(p + 48, 16)) {
        return problem_set(why, CAIRN_ERR_MALFORMED, BATCH_HINT,
                           "batch: reserved bytes are not zero");
    }
    error = check_batch_fields(&batch, le_get16(p + 6), le_get64(p + 40), body.size, whole, why);
    if (!error) {
        *out = batch;
    }
    return error;
}

int wire_batch_read(struct span body, struct wire_batch *out, struct cairn_problem *why)
{
    return read_batch(body, true, out, why);
}

int wire_batch_read_part(struct span body, struct wire_batch *out, struct cairn_problem *why)
{
    return read_batch(body, false, out, why);
}

size_t wire_batch_needs(const struct wire_batch *batch)
{
    if (batch->rest.size < WIRE_FRAME_HEADER) {
        return WIRE_FRAME_HEADER;
    }
    const uint8_t *p = batch->rest.data;
    return wire_frame_size(0, 0) + le_get32(p + 20) + le_get32(p + 24);
}

bool wire_batch_is_there(const struct wire_batch *batch)
{
    return batch->position < batch->frames && wire_batch_needs(batch) <= batch->rest.size &&
           batch->rest.size > WIRE_FRAME_HEADER;
}

bool wire_batch_skip(struct wire_batch *batch, uint32_t frames)
{
    while (frames > 0 && wire_batch_is_there(batch)) {
        const size_t size = wire_batch_needs(batch);
        batch->rest.data += size;
        batch->rest.size -= size;
        batch->position++;
        frames--;
    }
    return frames == 0;
}

static int bad_frame(struct cairn_problem *why, uint32_t index, const char *what)
{
    return problem_set(why, CAIRN_ERR_MALFORMED, BATCH_HINT, "frame %u: %s", index, what);
}

/* Walk the extensions and note those that are known here. */
static int read_extensions(struct span rest, struct wire_frame *frame, struct cairn_problem *why)
{
    for (int previous = -1; rest.size > 0;) {
        if (rest.size < EXTENSION_HEADER) {
            return bad_frame(why, frame->index, "an extension is cut");
        }
        int type = le_get16(rest.data);
        size_t length = le_get32(rest.data + 4);
        if (le_get16(rest.data + 2) != 0) {
            return bad_frame(why, frame->index, "reserved bytes of an extension are not zero");
        }
        if (length > rest.size - EXTENSION_HEADER) {
            return bad_frame(why, frame->index, "an extension is longer than its frame");
        }
        if (type <= previous) {
            return bad_frame(why, frame->index, "an extension twice, or not in order");
        }
        if (type == WIRE_EXT_CONTRIBUTORS) {
            if (length == 0) {
                return bad_frame(why, frame->index, "an empty set of contributors");
            }
            frame->contributor_set = (struct span){rest.data + EXTENSION_HEADER, length};
        }
        if (type == WIRE_EXT_WORDS) {
            if (length == 0 || length % 8 != 0) {
                return bad_frame(why, frame->index, "words that are none, or not whole");
            }
            frame->words = (struct span){rest.data + EXTENSION_HEADER, length};
        }
        previous = type;
        rest.data += EXTENSION_HEADER + length;
        rest.size -= EXTENSION_HEADER + length;
    }
    return CAIRN_OK;
}

/* Everything but the digest. `expected`: the index that comes now. */
static int read_frame(struct span rest, uint32_t expected, struct wire_frame *out,
                      struct cairn_problem *why)
{
    if (rest.size < wire_frame_size(0, 0)) {
        return bad_frame(why, expected, "the batch ends before it does");
    }
    const uint8_t *p = rest.data;
    size_t payload = le_get32(p + 20), extensions = le_get32(p + 24);
    /* each is held against what is left of the bytes, so nothing can overflow */
    size_t room = rest.size - wire_frame_size(0, 0);
    if (payload > room || extensions > room - payload) {
        return bad_frame(why, expected, "its lengths go beyond the batch");
    }
    struct wire_frame frame = {
        .index = le_get32(p),
        .contributors = le_get32(p + 4),
        .weight = le_get64(p + 8),
        .params_id = le_get16(p + 16),
        .payload = {p + WIRE_FRAME_HEADER, payload},
        .bytes = {p, wire_frame_size(payload, 0) + extensions},
    };
    if (frame.index != expected) {
        return problem_set(why, CAIRN_ERR_MALFORMED, NULL, "frame %u: stands where %u belongs",
                           frame.index, expected);
    }
    if (le_get16(p + 18) != 0 || le_get32(p + 28) != 0) {
        return bad_frame(why, expected, "reserved bits are not zero");
    }
    if (payload > longest || extensions > longest + EXTENSION_HEADER) {
        return bad_frame(why, expected, "longer than a frame may be");
    }
    if (frame.contributors == 0 && (payload > 0 || frame.weight > 0)) {
        return bad_frame(why, expected, "no contributors, and yet a payload or a weight");
    }
    *out = frame;
    return read_extensions((struct span){p + WIRE_FRAME_HEADER + payload, extensions}, out, why);
}

int wire_batch_next(struct wire_batch *batch, struct wire_frame *out, struct cairn_problem *why)
{
    if (batch->position == batch->frames) {
        if (batch->rest.size > 0) {
            return problem_set(why, CAIRN_ERR_MALFORMED, BATCH_HINT,
                               "batch: %zu bytes after its last frame", batch->rest.size);
        }
        return 0;
    }
    struct wire_frame frame = {0};
    int error = read_frame(batch->rest, batch->first_index + batch->position, &frame, why);
    if (error) {
        return error;
    }
    uint8_t digest[WIRE_FRAME_DIGEST];
    struct span covered = {frame.bytes.data, frame.bytes.size - WIRE_FRAME_DIGEST};
    frame_digest(covered, &batch->context, digest);
    /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): read_frame has pointed it at the body */
    if (memcmp(digest, covered.data + covered.size, sizeof digest) != 0) {
        return problem_set(why, CAIRN_ERR_INTEGRITY,
                           "damaged on its way, or of another round or experiment: send it again",
                           "frame %u: does not match its digest", frame.index);
    }
    batch->rest.data += frame.bytes.size;
    batch->rest.size -= frame.bytes.size;
    batch->position++;
    *out = frame;
    return 1;
}

int wire_frame_read(struct span bytes, struct wire_frame *out, struct cairn_problem *why)
{
    if (bytes.size < WIRE_FRAME_HEADER) {
        return bad_frame(why, 0, "its header is cut");
    }
    struct wire_frame frame = {0};
    const int error = read_frame(bytes, le_get32(bytes.data), &frame, why);
    if (error) {
        return error;
    }
    if (frame.bytes.size != bytes.size) {
        return bad_frame(why, frame.index, "bytes after its end");
    }
    *out = frame;
    return CAIRN_OK;
}

int wire_frame_begin(struct buf *out, uint32_t index, uint32_t contributors, uint64_t weight,
                     uint16_t params_id, size_t payload, struct span set, size_t *payload_at)
{
    if (payload > longest || set.size > longest) {
        return CAIRN_ERR_TOO_LONG;
    }
    size_t extensions = set.size > 0 ? EXTENSION_HEADER + set.size : 0;
    /* room for the digest too, so that the end of the frame seldom has to move it */
    int error = buf_reserve(out, wire_frame_size(payload, set.size));
    if (error) {
        return error;
    }
    uint8_t *p = out->data + out->size;
    memset(p, 0, WIRE_FRAME_HEADER + payload);
    le_put32(p, index);
    le_put32(p + 4, contributors);
    le_put64(p + 8, weight);
    le_put16(p + 16, params_id);
    le_put32(p + 20, (uint32_t)payload);
    le_put32(p + 24, (uint32_t)extensions);
    if (extensions > 0) {
        uint8_t *e = p + WIRE_FRAME_HEADER + payload;
        le_put16(e, WIRE_EXT_CONTRIBUTORS);
        le_put16(e + 2, 0);
        le_put32(e + 4, (uint32_t)set.size);
        memcpy(e + EXTENSION_HEADER, set.data, set.size);
    }
    *payload_at = out->size + WIRE_FRAME_HEADER;
    out->size += WIRE_FRAME_HEADER + payload + extensions;
    return CAIRN_OK;
}

size_t wire_words_size(uint32_t n)
{
    return n == 0 ? 0 : EXTENSION_HEADER + (size_t)n * 8;
}

int wire_frame_words(struct buf *out, size_t frame_at, struct span words)
{
    if (words.size == 0) {
        return CAIRN_OK;
    }
    const int error = buf_reserve(out, EXTENSION_HEADER + words.size + WIRE_FRAME_DIGEST);
    if (error) {
        return error;
    }
    uint8_t *e = out->data + out->size, *frame = out->data + frame_at;
    le_put16(e, WIRE_EXT_WORDS);
    le_put16(e + 2, 0);
    le_put32(e + 4, (uint32_t)words.size);
    memcpy(e + EXTENSION_HEADER, words.data, words.size);
    le_put32(frame + 24, le_get32(frame + 24) + EXTENSION_HEADER + (uint32_t)words.size);
    out->size += EXTENSION_HEADER + words.size;
    return CAIRN_OK;
}

/* What the header promises, header and digest apart. */
static size_t announced(const uint8_t *frame)
{
    return (size_t)le_get32(frame + 20) + le_get32(frame + 24);
}

int wire_frame_close(struct buf *out, size_t frame_at)
{
    static const uint8_t room[WIRE_FRAME_DIGEST];
    if (frame_at > out->size || out->size - frame_at < WIRE_FRAME_HEADER ||
        out->size - frame_at - WIRE_FRAME_HEADER != announced(out->data + frame_at)) {
        return CAIRN_ERR_BUG;
    }
    return buf_append(out, room, sizeof room);
}

void wire_frame_seal(uint8_t *frame, const struct wire_context *context)
{
    const struct span covered = {frame, WIRE_FRAME_HEADER + announced(frame)};
    frame_digest(covered, context, frame + covered.size);
}

int wire_frame_end(struct buf *out, size_t frame_at, const struct wire_context *context)
{
    const int error = wire_frame_close(out, frame_at);
    if (!error) {
        wire_frame_seal(out->data + frame_at, context);
    }
    return error;
}

void wire_batch_header(uint8_t out[WIRE_BATCH_HEADER], const struct wire_context *context,
                       uint32_t origin, uint32_t frames, uint32_t first_index, uint64_t bytes)
{
    memset(out, 0, WIRE_BATCH_HEADER);
    memcpy(out, batch_magic, sizeof batch_magic);
    le_put16(out + 4, VERSION);
    le_put16(out + 6, (uint16_t)context->stream);
    memcpy(out + 8, context->experiment, WIRE_EXPERIMENT);
    le_put32(out + 24, context->round);
    le_put32(out + 28, origin);
    le_put32(out + 32, frames);
    le_put32(out + 36, first_index);
    le_put64(out + 40, bytes);
    header_digest(out, out + HEADER_DIGEST_AT);
}
