/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A piece of the model on its way down: one message, one digest. The counts in the header
 * fix its length, which is compared before anything behind the header is looked at.
 */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "checksum.h"
#include "le.h"
#include "model_message.h"
#include "sizes.h"

enum {
    VERSION = 4,
    NEXT_FRAME_AT = 64,
    DEADLINE_AT = 68,
    WORDS_AT = 72,
    RESERVED_AT = 76,
    RESERVED = WIRE_MODEL_HEADER - RESERVED_AT,
};

_Static_assert((int)WIRE_MODEL_DIGEST == (int)CHECKSUM_SIZE, "a whole checksum");

static const char magic[4] = {'C', 'R', 'N', 'M'};

#define VERSION_HINT "is the sender the same version of cairn?"

/* Bytes of n steps or words in a piece that begins at `first`. */
static size_t eights(uint32_t n, uint64_t first)
{
    return first == 0 ? (size_t)n * 8 : 0; /* n < 2^32, size_t has 64 bits */
}

int wire_model_size(uint32_t tensors, uint32_t words, uint64_t count, uint64_t first, size_t *out)
{
    size_t weights,
        size = WIRE_MODEL_HEADER + WIRE_MODEL_DIGEST + eights(tensors, first) + eights(words, first);
    if (count > SIZE_MAX || !size_mul((size_t)count, 4, &weights) ||
        !size_add(size, weights, &size)) {
        return CAIRN_ERR_TOO_LONG;
    }
    *out = size;
    return CAIRN_OK;
}

/* Written so that nothing overflows. */
static bool lies_in_model(uint64_t first, uint64_t count, uint64_t parameters)
{
    return count >= 1 && count <= parameters && first <= parameters - count;
}

static void finish(uint8_t *bytes, size_t size)
{
    checksum_of(bytes, size - WIRE_MODEL_DIGEST, 0, bytes + size - WIRE_MODEL_DIGEST);
}

static void write_header(uint8_t p[WIRE_MODEL_HEADER], const struct wire_model *m)
{
    memset(p, 0, WIRE_MODEL_HEADER);
    memcpy(p, magic, sizeof magic);
    le_put16(p + 4, VERSION);
    le_put16(p + 6, m->flags);
    memcpy(p + 8, m->experiment, WIRE_EXPERIMENT);
    le_put32(p + 24, m->round);
    le_put32(p + 28, m->tensors);
    le_put64(p + 32, m->parameters);
    le_put64(p + 40, m->largest_samples);
    le_put64(p + 48, m->first);
    le_put64(p + 56, m->count);
    le_put32(p + NEXT_FRAME_AT, m->next_frame);
    le_put32(p + DEADLINE_AT, m->deadline_ms);
    le_put32(p + WORDS_AT, m->n_words);
}

int wire_model_write(struct buf *out, const struct wire_model *m)
{
    size_t size;
    if (!lies_in_model(m->first, m->count, m->parameters)) {
        return CAIRN_ERR_BUG;
    }
    int error = wire_model_size(m->tensors, m->n_words, m->count, m->first, &size);
    if (!error) {
        error = buf_reserve(out, size);
    }
    if (error) {
        return error;
    }
    uint8_t *p = out->data + out->size;
    const size_t steps = eights(m->tensors, m->first), words = eights(m->n_words, m->first);
    write_header(p, m);
    if (steps > 0) {
        memcpy(p + WIRE_MODEL_HEADER, m->steps, steps);
    }
    memcpy(p + WIRE_MODEL_HEADER + steps, m->weights, (size_t)m->count * 4);
    if (words > 0) {
        memcpy(p + WIRE_MODEL_HEADER + steps + (size_t)m->count * 4, m->words, words);
    }
    finish(p, size);
    out->size += size;
    return CAIRN_OK;
}

void wire_model_retime(uint8_t *bytes, size_t size, uint32_t next_frame, uint32_t deadline_ms)
{
    le_put32(bytes + NEXT_FRAME_AT, next_frame);
    le_put32(bytes + DEADLINE_AT, deadline_ms);
    finish(bytes, size);
}

static int malformed(struct cairn_problem *why, const char *what)
{
    return problem_set(why, CAIRN_ERR_MALFORMED, VERSION_HINT, "model message: %s", what);
}

/* Length, kind and digest: whether this is an undamaged model message at all. */
static int check_envelope(struct span body, struct cairn_problem *why)
{
    size_t size;
    if (body.size < WIRE_MODEL_HEADER + WIRE_MODEL_DIGEST) {
        return malformed(why, "shorter than its header");
    }
    if (memcmp(body.data, magic, sizeof magic) != 0) {
        return malformed(why, "does not begin with CRNM");
    }
    const unsigned version = le_get16(body.data + 4);
    if (version != VERSION) {
        return problem_set(why, CAIRN_ERR_MALFORMED, VERSION_HINT,
                           "model message: version %u, this is version %d", version, VERSION);
    }
    if (wire_model_size(le_get32(body.data + 28), le_get32(body.data + WORDS_AT),
                        le_get64(body.data + 56), le_get64(body.data + 48), &size) ||
        size != body.size) {
        return problem_set(why, CAIRN_ERR_MALFORMED, "was the body cut?",
                           "model message: %zu bytes are not what its counts come to", body.size);
    }
    uint8_t digest[WIRE_MODEL_DIGEST];
    checksum_of(body.data, body.size - WIRE_MODEL_DIGEST, 0, digest);
    if (memcmp(digest, body.data + body.size - WIRE_MODEL_DIGEST, WIRE_MODEL_DIGEST) != 0) {
        return problem_set(why, CAIRN_ERR_INTEGRITY, "ask for it again",
                           "model message: does not match its digest");
    }
    return CAIRN_OK;
}

static int check_steps(const struct wire_model *m, struct cairn_problem *why)
{
    for (uint32_t i = 0; m->steps != NULL && i < m->tensors; i++) {
        uint64_t bits = le_get64(m->steps + (size_t)i * 8);
        double step;
        memcpy(&step, &bits, sizeof step);
        if (!isfinite(step) || !(step > 0)) {
            return problem_set(why, CAIRN_ERR_MALFORMED, VERSION_HINT,
                               "model message: the step of tensor %u is %g", i, step);
        }
    }
    return CAIRN_OK;
}

struct wire_model wire_model_again(const uint8_t *p)
{
    struct wire_model m = {
        .flags = le_get16(p + 6),
        .round = le_get32(p + 24),
        .tensors = le_get32(p + 28),
        .parameters = le_get64(p + 32),
        .largest_samples = le_get64(p + 40),
        .first = le_get64(p + 48),
        .count = le_get64(p + 56),
        .next_frame = le_get32(p + NEXT_FRAME_AT),
        .deadline_ms = le_get32(p + DEADLINE_AT),
        .n_words = le_get32(p + WORDS_AT),
    };
    memcpy(m.experiment, p + 8, WIRE_EXPERIMENT);
    m.steps = m.first == 0 ? p + WIRE_MODEL_HEADER : NULL;
    m.weights = p + WIRE_MODEL_HEADER + eights(m.tensors, m.first);
    m.words = m.first == 0 ? m.weights + m.count * 4 : NULL;
    return m;
}

int wire_model_read(struct span body, struct wire_model *out, struct cairn_problem *why)
{
    int error = check_envelope(body, why);
    if (error) {
        return error;
    }
    const struct wire_model m = wire_model_again(body.data);
    uint8_t reserved = 0;
    for (size_t i = 0; i < RESERVED; i++) {
        reserved |= body.data[RESERVED_AT + i];
    }
    if (reserved != 0) {
        return malformed(why, "reserved bytes are not zero");
    }
    if (m.flags & ~(unsigned)WIRE_MODEL_FINAL) {
        return malformed(why, "unknown flags");
    }
    if (m.round == 0) {
        return malformed(why, "round 0; rounds count from 1");
    }
    if (!lies_in_model(m.first, m.count, m.parameters)) {
        return malformed(why, "its run is empty or does not lie in the model");
    }
    error = check_steps(&m, why);
    if (!error) {
        *out = m;
    }
    return error;
}
