/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is asked of a payload before it is added: he_check_fields of profile seal-ckks, whose
 * fields are residues of primes. The input patches a payload of zeros, which is one; the answer
 * must be that of a reader that takes every field bit by bit, and what passes may be added and
 * passes again.
 *
 * Input: a byte that says how many chunks (1 or 2), then patches of 4 bytes of offset and 8 bytes.
 */
#include <stdbool.h>
#include <string.h>

#include "fuzz.h"
#include "he.h"
#include "le.h"

enum { PATCH = 12, SLOTS = 4096 };

/* Field number `at` of fields of `bits` bits. */
static uint64_t field_of(const uint8_t *bytes, size_t at, unsigned bits)
{
    uint64_t x = 0;
    for (unsigned i = 0; i < bits; i++) {
        const size_t bit = at * bits + i;
        x |= (uint64_t)(bytes[bit / 8] >> bit % 8 & 1) << i;
    }
    return x;
}

static size_t bytes_of(const struct he_section *s)
{
    return s->count / 8 * s->bits;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Fields around a patch; all others are zero. */
static int patched_are_below(const struct he_section *s, const uint8_t *section, size_t begin,
                             size_t end)
{
    const size_t size = bytes_of(s);
    if (begin >= size) {
        return 1;
    }
    const size_t last = least((least(end, size) * 8 - 1) / s->bits, s->count - 1);
    for (size_t at = begin * 8 / s->bits; at <= last; at++) {
        if (field_of(section, at, s->bits) >= s->modulus) {
            return 0;
        }
    }
    return 1;
}

static int is_good(const struct he_params *params, size_t n, const uint8_t *payload,
                   const uint8_t *patches, size_t size)
{
    struct he_section sections[HE_MAX_SECTIONS];
    const unsigned count = he_sections(params, n, sections);
    const size_t total = he_payload_bytes(params, n);
    for (; size >= PATCH; patches += PATCH, size -= PATCH) {
        const size_t offset = le_get32(patches) % total;
        size_t at = 0;
        for (unsigned i = 0; i < count; i++) {
            const size_t end_of_section = at + bytes_of(&sections[i]);
            if (offset < end_of_section && offset + 8 > at &&
                !patched_are_below(&sections[i], payload + at, offset > at ? offset - at : 0,
                                   offset + 8 - at)) {
                return 0;
            }
            at = end_of_section;
        }
    }
    return 1;
}

/* A payload of zeros and room for a sum: made once, since fresh pages were a good part of a run. */
struct room {
    size_t n, total;
    uint8_t *payload, *sum;
};

static struct room *room_for(const struct he_params *params, unsigned chunks)
{
    static struct room rooms[2];
    struct room *r = &rooms[chunks - 1];
    if (!r->payload) {
        r->n = chunks == 1 ? 1 : SLOTS + 1;
        r->total = he_payload_bytes(params, r->n);
        r->payload = calloc(1, r->total);
        r->sum = malloc(r->total);
        FUZZ_REQUIRE(r->payload && r->sum);
    }
    return r;
}

/* Lay the patches over the payload, or zeros where they were. */
static void patch(const struct room *r, const uint8_t *patches, size_t size, bool undo)
{
    static const uint8_t zeros[8];
    for (size_t at = 0; at + PATCH <= size; at += PATCH) {
        const size_t offset = le_get32(patches + at) % r->total;
        memcpy(r->payload + offset, undo ? zeros : patches + at + 4, least(8, r->total - offset));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct he_params params;
    struct cairn_problem why = {0};
    if (size == 0) {
        return 0;
    }
    FUZZ_REQUIRE(he_params_choose(HE_SEAL_CKKS, 16, 15, &params, NULL) == 0);
    const struct room *r = room_for(&params, data[0] % 2 == 0 ? 1 : 2);
    patch(r, data + 1, size - 1, false);
    const int error = he_check_fields(&params, r->n, r->payload, &why);
    FUZZ_REQUIRE(error == 0 || (error == CAIRN_ERR_REFUSED && why.what[0] != 0));
    FUZZ_REQUIRE((error == 0) == is_good(&params, r->n, r->payload, data + 1, size - 1));
    if (error == 0) {
        memcpy(r->sum, r->payload, r->total);
        he_add(&params, r->n, r->sum, r->payload);
        FUZZ_REQUIRE(he_check_fields(&params, r->n, r->sum, NULL) == 0);
    }
    patch(r, data + 1, size - 1, true);
    return 0;
}

/* The first prime and what is below and above it, at the ends of sections of one chunk. */
size_t fuzz_seed_input(unsigned which, uint8_t *out, size_t capacity)
{
    static const uint64_t words[] = {1, 0xffffffffffe8000, 0xffffffffffe8001, UINT64_MAX,
                                     0xfffff4c000, 0xfffff4c001, 0xfffffdc000, 0xfffffdc001};
    static const uint32_t places[] = {0, 61440 - 8, 61440, 102400 - 5, 102400, 143360 - 5, 286720 - 5};
    enum { WORDS = sizeof words / sizeof words[0], PLACES = sizeof places / sizeof places[0] };
    if (which >= WORDS * PLACES) {
        return 0;
    }
    FUZZ_REQUIRE(capacity >= 1 + PATCH);
    out[0] = 0;
    le_put32(out + 1, places[which % PLACES]);
    le_put64(out + 5, words[which / PLACES]);
    return 1 + PATCH;
}
