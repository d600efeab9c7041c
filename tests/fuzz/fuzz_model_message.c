/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader of model messages. Mode byte: bit 0 repairs the digest, bit 1 the
 * magic, version and the number of parameters that fits the length.
 */
#include <math.h>
#include <string.h>

#include "digest.h"
#include "fuzz.h"
#include "le.h"
#include "model_message.h"

enum { REPAIR_DIGEST = 1, REPAIR_HEADER = 2 };

static void repair(uint8_t *body, size_t size, unsigned mode)
{
    if (size < WIRE_MODEL_HEADER + DIGEST_SIZE) {
        return;
    }
    if (mode & REPAIR_HEADER) {
        memcpy(body, "CRNM\x01", 6);
        size_t room = size - WIRE_MODEL_HEADER - DIGEST_SIZE;
        size_t steps = (size_t)le_get32(body + 28) * 8;
        if (steps > room) {
            steps = room - room % 8;
            le_put32(body + 28, (uint32_t)(steps / 8));
        }
        le_put64(body + 32, (room - steps) / 4);
    }
    digest_of(body, size - DIGEST_SIZE, body + size - DIGEST_SIZE);
}

/* What was accepted keeps its promises, and comes out of the writer as it went in. */
static void check_accepted(const struct wire_model *m, const uint8_t *body, size_t size)
{
    FUZZ_REQUIRE(m->steps == body + WIRE_MODEL_HEADER);
    FUZZ_REQUIRE(m->weights == m->steps + (size_t)m->tensors * 8);
    FUZZ_REQUIRE(m->weights + m->parameters * 4 + DIGEST_SIZE == body + size);
    FUZZ_REQUIRE(m->round > 0);
    for (uint32_t i = 0; i < m->tensors; i++) {
        double step;
        memcpy(&step, m->steps + 8 * (size_t)i, 8);
        FUZZ_REQUIRE(step > 0 && isfinite(step));
    }
    struct buf b = {0};
    FUZZ_REQUIRE(wire_model_write(&b, m) == 0);
    FUZZ_REQUIRE(b.size == size && memcmp(b.data, body, size) == 0);
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

/* Three sizes of models, as they are, and then again with everything repaired. */
size_t fuzz_seed_input(unsigned which, uint8_t *out, size_t capacity)
{
    static const uint32_t tensors[] = {0, 1, 4};
    enum { SIZES = sizeof tensors / sizeof tensors[0], MOST = 4, WEIGHTS = 10 };
    if (which >= 2 * SIZES) {
        return 0;
    }
    uint8_t steps[8 * MOST], weights[4 * WEIGHTS] = {0};
    for (size_t i = 0; i < MOST; i++) {
        le_put64(steps + 8 * i, 0x3f50000000000000); /* 2^-10 */
    }
    uint32_t n = tensors[which % SIZES];
    const struct wire_model m = {.experiment = {1, 2, 3},
                                 .round = 1,
                                 .flags = (uint16_t)(which & 1),
                                 .tensors = n,
                                 .parameters = n > 0 ? WEIGHTS : 0,
                                 .largest_samples = 60000,
                                 .steps = steps,
                                 .weights = weights};
    struct buf b = {0};
    uint8_t mode = which < SIZES ? 0 : REPAIR_DIGEST | REPAIR_HEADER;
    FUZZ_REQUIRE(buf_append(&b, &mode, 1) == 0 && wire_model_write(&b, &m) == 0);
    size_t size = b.size;
    FUZZ_REQUIRE(size <= capacity);
    memcpy(out, b.data, size);
    buf_release(&b);
    return size;
}
