/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader of the model's pieces. Mode byte: bit 0 repairs the digest, bit 1 the magic, the
 * version and the number of parameters that fits the length, bit 2 the size of the model.
 */
#include <math.h>
#include <string.h>

#include "checksum.h"
#include "fuzz.h"
#include "le.h"
#include "model_message.h"

enum { REPAIR_DIGEST = 1, REPAIR_HEADER = 2, REPAIR_MODEL = 4 };

static void repair(uint8_t *body, size_t size, unsigned mode)
{
    if (size < WIRE_MODEL_HEADER + WIRE_MODEL_DIGEST) {
        return;
    }
    if (mode & REPAIR_HEADER) {
        memcpy(body, "CRNM\x04", 6);
        size_t room = size - WIRE_MODEL_HEADER - WIRE_MODEL_DIGEST;
        size_t steps = le_get64(body + 48) == 0 ? (size_t)le_get32(body + 28) * 8 : 0;
        if (steps > room) {
            steps = room - room % 8;
            le_put32(body + 28, (uint32_t)(steps / 8));
        }
        room -= steps;
        size_t words = le_get64(body + 48) == 0 ? (size_t)le_get32(body + 72) * 8 : 0;
        if (words > room) {
            words = room / 2 - room / 2 % 8;
            le_put32(body + 72, (uint32_t)(words / 8));
        }
        le_put64(body + 56, (room - words) / 4);
    }
    if (mode & REPAIR_MODEL) {
        le_put64(body + 32, le_get64(body + 48) + le_get64(body + 56)); /* may overflow: a lie */
    }
    checksum_of(body, size - WIRE_MODEL_DIGEST, 0, body + size - WIRE_MODEL_DIGEST);
}

/* What was accepted keeps its promises, and comes out of the writer as it went in. */
static void check_accepted(const struct wire_model *m, const uint8_t *body, size_t size)
{
    const size_t steps = m->first == 0 ? (size_t)m->tensors * 8 : 0;
    FUZZ_REQUIRE(m->steps == (m->first == 0 ? body + WIRE_MODEL_HEADER : NULL));
    FUZZ_REQUIRE(m->weights == body + WIRE_MODEL_HEADER + steps);
    const uint8_t *words = m->weights + m->count * 4;
    FUZZ_REQUIRE(m->words == (m->first == 0 ? words : NULL));
    FUZZ_REQUIRE(words + (m->first == 0 ? 8 * (size_t)m->n_words : 0) + WIRE_MODEL_DIGEST == body + size);
    FUZZ_REQUIRE(m->count >= 1 && m->count <= m->parameters);
    FUZZ_REQUIRE(m->first <= m->parameters - m->count);
    FUZZ_REQUIRE(m->round > 0);
    for (uint32_t i = 0; i < steps / 8; i++) {
        double step;
        memcpy(&step, m->steps + 8 * (size_t)i, 8);
        FUZZ_REQUIRE(step > 0 && isfinite(step));
    }
    struct buf b = {0};
    FUZZ_REQUIRE(wire_model_write(&b, m) == 0);
    FUZZ_REQUIRE(b.size == size && memcmp(b.data, body, size) == 0);
    wire_model_retime(b.data, b.size, ~m->next_frame, m->deadline_ms);
    FUZZ_REQUIRE(memcmp(b.data, body, size - WIRE_MODEL_DIGEST) != 0);
    wire_model_retime(b.data, b.size, m->next_frame, m->deadline_ms);
    FUZZ_REQUIRE(memcmp(b.data, body, size) == 0);
    buf_release(&b);
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
    if (mode & REPAIR_DIGEST) {
        repair(body, size, mode);
    }
    struct wire_model m, before;
    struct cairn_problem why;
    memset(&m, 0x5a, sizeof m);
    before = m;
    int error = wire_model_read((struct span){body, size}, &m, &why);
    if (error) {
        FUZZ_REQUIRE(error == CAIRN_ERR_MALFORMED || error == CAIRN_ERR_INTEGRITY);
        FUZZ_REQUIRE(why.code == error && memcmp(&m, &before, sizeof m) == 0);
    } else {
        check_accepted(&m, body, size);
    }
    free(body);
    return 0;
}

/* A whole model without steps, the first piece, one in the middle, the last; as they are, and then
 * again with everything repaired. */
size_t fuzz_seed_input(unsigned which, uint8_t *out, size_t capacity)
{
    static const struct {
        uint32_t tensors;
        uint64_t first, parameters;
    } pieces[] = {{0, 0, 10}, {4, 0, 30}, {4, 7, 30}, {1, UINT64_MAX - 10, UINT64_MAX}};
    enum { PIECES = sizeof pieces / sizeof pieces[0], MOST = 4, WEIGHTS = 10 };
    if (which >= 2 * PIECES) {
        return 0;
    }
    uint8_t steps[8 * MOST], weights[4 * WEIGHTS] = {0};
    for (size_t i = 0; i < MOST; i++) {
        le_put64(steps + 8 * i, 0x3f50000000000000); /* 2^-10 */
    }
    const struct wire_model m = {.experiment = {1, 2, 3},
                                 .round = 1,
                                 .flags = (uint16_t)(which & 1),
                                 .tensors = pieces[which % PIECES].tensors,
                                 .parameters = pieces[which % PIECES].parameters,
                                 .largest_samples = 60000,
                                 .first = pieces[which % PIECES].first,
                                 .count = WEIGHTS,
                                 .next_frame = which,
                                 .deadline_ms = 90000,
                                 .steps = steps,
                                 .weights = weights};
    struct buf b = {0};
    uint8_t mode = which < PIECES ? 0 : REPAIR_DIGEST | REPAIR_HEADER | REPAIR_MODEL;
    FUZZ_REQUIRE(buf_append(&b, &mode, 1) == 0 && wire_model_write(&b, &m) == 0);
    size_t size = b.size;
    FUZZ_REQUIRE(size <= capacity);
    memcpy(out, b.data, size);
    buf_release(&b);
    return size;
}
