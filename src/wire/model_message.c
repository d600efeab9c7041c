/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model on its way down: one message, one digest. The counts in the header
 * fix its length, which is compared before anything behind the header is looked at.
 */
#include <math.h>
#include <string.h>

#include "digest.h"
#include "le.h"
#include "model_message.h"
#include "sizes.h"

enum { VERSION = 1, RESERVED_AT = 48, RESERVED = 16 };

static const char magic[4] = {'C', 'R', 'N', 'M'};

#define VERSION_HINT "is the sender the same version of cairn?"

int wire_model_size(uint32_t tensors, uint64_t parameters, size_t *out)
{
    size_t steps, weights, size = WIRE_MODEL_HEADER + DIGEST_SIZE;
    if (parameters > SIZE_MAX || !size_mul(tensors, 8, &steps) ||
        !size_mul((size_t)parameters, 4, &weights) || !size_add(size, steps, &size) ||
        !size_add(size, weights, &size)) {
        return CAIRN_ERR_TOO_LONG;
    }
    *out = size;
    return CAIRN_OK;
}

int wire_model_write(struct buf *out, const struct wire_model *m)
{
    size_t size;
    int error = wire_model_size(m->tensors, m->parameters, &size);
    if (!error) {
        error = buf_reserve(out, size);
    }
    if (error) {
        return error;
    }
    uint8_t *p = out->data + out->size;
    memset(p, 0, WIRE_MODEL_HEADER);
    memcpy(p, magic, sizeof magic);
    le_put16(p + 4, VERSION);
    le_put16(p + 6, m->flags);
    memcpy(p + 8, m->experiment, WIRE_EXPERIMENT);
    le_put32(p + 24, m->round);
    le_put32(p + 28, m->tensors);
    le_put64(p + 32, m->parameters);
    le_put64(p + 40, m->largest_samples);
    size_t steps = (size_t)m->tensors * 8, weights = (size_t)m->parameters * 4;
    if (steps > 0) {
        memcpy(p + WIRE_MODEL_HEADER, m->steps, steps);
    }
    if (weights > 0) {
        memcpy(p + WIRE_MODEL_HEADER + steps, m->weights, weights);
    }
    digest_of(p, size - DIGEST_SIZE, p + size - DIGEST_SIZE);
    out->size += size;
    return CAIRN_OK;
}

static int malformed(struct cairn_problem *why, const char *what)
{
    return problem_set(why, CAIRN_ERR_MALFORMED, VERSION_HINT, "model message: %s", what);
}

/* Length, kind and digest: whether this is an undamaged model message at all. */
static int check_envelope(struct span body, struct cairn_problem *why)
{
    size_t size;
    if (body.size < WIRE_MODEL_HEADER + DIGEST_SIZE) {
        return malformed(why, "shorter than its header");
    }
    if (memcmp(body.data, magic, sizeof magic) != 0) {
        return malformed(why, "does not begin with CRNM");
    }
    if (le_get16(body.data + 4) != VERSION) {
        return malformed(why, "unknown version");
    }
    if (wire_model_size(le_get32(body.data + 28), le_get64(body.data + 32), &size) ||
        size != body.size) {
        return problem_set(why, CAIRN_ERR_MALFORMED, "was the body cut?",
                           "model message: %zu bytes are not what its counts come to", body.size);
    }
    uint8_t digest[DIGEST_SIZE];
    digest_of(body.data, body.size - DIGEST_SIZE, digest);
    if (memcmp(digest, body.data + body.size - DIGEST_SIZE, DIGEST_SIZE) != 0) {
        return problem_set(why, CAIRN_ERR_INTEGRITY, "ask for it again",
                           "model message: does not match its digest");
    }
    return CAIRN_OK;
}

static int check_steps(const struct wire_model *m, struct cairn_problem *why)
{
    for (uint32_t i = 0; i < m->tensors; i++) {
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

int wire_model_read(struct span body, struct wire_model *out, struct cairn_problem *why)
{
    int error = check_envelope(body, why);
    if (error) {
        return error;
    }
    const uint8_t *p = body.data;
    struct wire_model m = {
        .flags = le_get16(p + 6),
        .round = le_get32(p + 24),
        .tensors = le_get32(p + 28),
        .parameters = le_get64(p + 32),
        .largest_samples = le_get64(p + 40),
        .steps = p + WIRE_MODEL_HEADER,
    };
    m.weights = m.steps + (size_t)m.tensors * 8;
    memcpy(m.experiment, p + 8, WIRE_EXPERIMENT);
    uint8_t reserved = 0;
    for (size_t i = 0; i < RESERVED; i++) {
        reserved |= p[RESERVED_AT + i];
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
    error = check_steps(&m, why);
    if (!error) {
        *out = m;
    }
    return error;
}
