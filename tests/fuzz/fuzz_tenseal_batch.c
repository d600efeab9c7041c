/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a TenSEAL client posts, made into a batch (link/tenseal_batch.h). Mode byte:
 *
 *   0  the rest is the vector
 *   1  the rest is the query, of a good vector
 *   2  the rest patches a good vector that is not compressed: 4 bytes of offset and 8 bytes each
 *
 * The digest in the query is always that of the vector. What is made must be a batch that passes
 * the receiver's checks; what is refused leaves the output as it was.
 */
#include <math.h>
#include <string.h>

#include "digest.h"
#include "fuzz.h"
#include "he_ckks.h"
#include "le.h"
#include "seal_bridge.h"
#include "tenseal.h"
#include "tenseal_batch.h"

enum { PATCH = 12, CLIENTS = 9, BATCH_BYTES = 1 << 20 };

static const uint8_t experiment[WIRE_EXPERIMENT];
static struct fed_plan plan; /* two frames of a ciphertext each */
static struct buf plain, packed;

/* c0 = 2, c1 = 1: compresses to nothing, and opens to nothing anybody wants. */
static void make_vector(enum seal_compression compression, struct buf *out)
{
    const struct seal_options options = {SEAL_VERSION_4_1, compression};
    struct seal_params p;
    struct seal_context *context = NULL;
    struct buf bytes = {0};
    enum { WORDS = 2 * HE_CKKS_LEVEL * HE_CKKS_DEGREE };
    static uint64_t words[WORDS];
    struct seal_cipher c = {
        .level = HE_CKKS_LEVEL, .scale = ldexp(1, HE_CKKS_SCALE_BITS), .count = WORDS, .words = words};
    for (size_t i = 0; i < WORDS; i++) {
        words[i] = i < WORDS / 2 ? 2 : 1;
    }
    seal_bridge_ckks_params(&p);
    FUZZ_REQUIRE(seal_context_new(&p, SEAL_128, &context, NULL) == 0);
    FUZZ_REQUIRE(seal_cipher_write(context, &c, &options, &bytes) == 0);
    uint32_t size = HE_CKKS_SLOTS;
    struct span span = buf_span(&bytes);
    const struct tenseal_vector v = {
        .chunks = 1, .sizes = &size, .ciphertexts = &span, .scale = c.scale};
    FUZZ_REQUIRE(tenseal_vector_write(&v, out) == 0);
    buf_release(&bytes);
    seal_context_free(context);
}

static void begin(void)
{
    struct he_params he;
    if (plain.data != NULL) {
        return;
    }
    FUZZ_REQUIRE(he_params_choose(HE_SEAL_CKKS, 16, CLIENTS, &he, NULL) == 0);
    FUZZ_REQUIRE(fed_plan_init(&plan, &he, HE_CKKS_SLOTS + 5, HE_CKKS_SLOTS, CLIENTS, BATCH_BYTES,
                               NULL) == 0);
    make_vector(SEAL_PLAIN, &plain);
    make_vector(SEAL_ZSTD, &packed);
}

static const char usual[] = "exp=00000000000000000000000000000000&round=1&origin=2&first=1"
                            "&form=tenseal&client=3&weight=4";

static void check(const char *query, size_t length, struct span body)
{
    struct buf text = {0}, out = {0};
    struct cairn_problem why = {0};
    struct wire_batch batch;
    struct wire_frame frame;
    uint8_t digest[DIGEST_SIZE];
    char hex[DIGEST_HEX_SIZE];
    digest_of(body.data, body.size, digest);
    digest_hex(digest, DIGEST_SIZE, hex);
    FUZZ_REQUIRE(buf_append(&text, query, length) == 0);
    FUZZ_REQUIRE(buf_printf(&text, "&digest=%s", hex) == 0);
    FUZZ_REQUIRE(buf_append(&out, "before", 6) == 0);
    const int err = tenseal_batch_make(&plan, experiment, BATCH_BYTES, buf_text(&text), body, &out,
                                       &why);
    if (err != 0) {
        FUZZ_REQUIRE(why.code == err && why.what[0] != 0 && out.size == 6);
    } else {
        struct span made = {out.data + 6, out.size - 6};
        FUZZ_REQUIRE(made.size <= fed_plan_batch_limit(&plan, BATCH_BYTES));
        FUZZ_REQUIRE(wire_batch_read(made, &batch, &why) == 0);
        for (uint32_t i = 0; i < batch.frames; i++) {
            FUZZ_REQUIRE(wire_batch_next(&batch, &frame, &why) == 1);
            FUZZ_REQUIRE(fed_plan_check(&plan, &frame, &why) == 0);
            FUZZ_REQUIRE(fed_plan_check_fields(&plan, &frame, &why) == 0);
        }
        FUZZ_REQUIRE(wire_batch_next(&batch, &frame, &why) == 0);
    }
    buf_release(&text);
    buf_release(&out);
}

static void check_patched(const uint8_t *patches, size_t size)
{
    struct buf b = {0};
    FUZZ_REQUIRE(buf_append(&b, plain.data, plain.size) == 0);
    for (size_t at = 0; at + PATCH <= size; at += PATCH) {
        const size_t offset = le_get32(patches + at) % (b.size - 8);
        memcpy(b.data + offset, patches + at + 4, 8);
    }
    check(usual, sizeof usual - 1, buf_span(&b));
    buf_release(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    begin();
    if (size == 0) {
        return 0;
    }
    switch (data[0] % 3) {
    case 0:
        check(usual, sizeof usual - 1, (struct span){data + 1, size - 1});
        break;
    case 1:
        check((const char *)data + 1, size - 1, buf_span(&packed));
        break;
    default:
        check_patched(data + 1, size - 1);
    }
    return 0;
}

/* The vector, the query, and words at the places of the vector's and the ciphertext's fields. */
size_t fuzz_seed_input(unsigned which, uint8_t *out, size_t capacity)
{
    static const uint32_t places[] = {0, 3, 8, 24, 56, 64, 72, 80, 88, 96, 104, 120, 200000, 393300};
    static const uint64_t words[] = {0, 1, UINT64_C(0xffffffffffe8001), UINT64_MAX};
    enum { PLACES = sizeof places / sizeof places[0], WORDS = sizeof words / sizeof words[0] };
    begin();
    if (which == 0 && packed.size < capacity) {
        out[0] = 0;
        memcpy(out + 1, packed.data, packed.size);
        return packed.size + 1;
    }
    if (which == 1) {
        out[0] = 1;
        memcpy(out + 1, usual, sizeof usual - 1);
        return sizeof usual;
    }
    if (which == 2 + PLACES * WORDS) { /* a round of which no batch is made */
        out[0] = 1;
        memcpy(out + 1, usual, sizeof usual);
        *strstr((char *)out + 1, "1&origin") = '0';
        return sizeof usual;
    }
    if (which > 2 + PLACES * WORDS) {
        return 0;
    }
    out[0] = 2;
    le_put32(out + 1, places[(which - 2) / WORDS]);
    le_put64(out + 5, words[(which - 2) % WORDS]);
    return 1 + PATCH;
}
