/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every slot of the kernel table with secret operands. What comes out must be secret too: a kernel
 * whose output is not has been called with the wrong memory.
 */
#include "ct.h"

#include <string.h>

#include "ring.h"

/* A slot that is added to the table has to be added here. */
enum { SLOTS = 23 };
_Static_assert(sizeof(struct kern_ops) == SLOTS * sizeof(void (*)(void)),
               "every slot is checked: one function of this file each");

enum { N = RING_DEGREE, LANES = 3, RADIX = 3811 /* 8 bits, 15 clients */ };

/* One more element, to also begin at an odd place where a slot takes any alignment. */
static _Alignas(64) uint64_t a[N + 1], b[N + 1], c[N + 1];
static _Alignas(64) int64_t message[N], values64[LANES * N + 1];
static _Alignas(64) int32_t small[N + 1], values[LANES * N + 1];
static float floats[N + 1];
static uint8_t bytes[8 * N + 8], more[8 * N + 8];

static const struct kern_modulus *modulus(void)
{
    return &ring_get(RING_Q)->modulus;
}

static void words(uint64_t *out, uint64_t below)
{
    for (size_t i = 0; i < N; i++) {
        out[i] = ct_random() % below;
    }
    out[0] = below - 1;
    out[1] = 0;
    ct_hide(out, N * sizeof *out);
}

static void fields(uint64_t *out, unsigned bits)
{
    ct_random_bytes(out, N * sizeof *out);
    for (size_t i = 0; i < N; i++) {
        out[i] >>= 64 - bits;
    }
    ct_hide(out, N * sizeof *out);
}

static void small_numbers(void)
{
    ct_random_bytes(small, sizeof small);
    ct_hide(small, sizeof small);
}

static void messages(int64_t half)
{
    for (size_t i = 0; i < N; i++) {
        message[i] = (int64_t)(ct_random() % (2 * (uint64_t)half + 1)) - half;
    }
    ct_hide(message, sizeof message);
}

static void expect_secret(const void *memory, size_t size, const char *slot)
{
    ct_require(ct_is_secret(memory, size), slot);
}

/* ---- one function a slot, in the table's order ---- */

static void ntt_fwd(const struct kern_ops *ops)
{
    words(a, RING_Q_VALUE);
    ops->ntt_fwd(a, ring_get(RING_Q));
    expect_secret(a, N * sizeof *a, "ntt_fwd");
}

static void ntt_inv(const struct kern_ops *ops)
{
    words(a, RING_Q2_VALUE);
    ops->ntt_inv(a, ring_get(RING_Q2));
    expect_secret(a, N * sizeof *a, "ntt_inv");
}

static void mul(const struct kern_ops *ops)
{
    words(a, RING_Q_VALUE);
    words(b, RING_Q_VALUE);
    ops->mul(c, a, b, N, modulus());
    expect_secret(c, N * sizeof *c, "mul");
}

static void add_small(const struct kern_ops *ops)
{
    words(a, RING_Q_VALUE);
    small_numbers();
    ops->add_small(a, small, N, modulus());
    expect_secret(a, N * sizeof *a, "add_small");
}

static void neg_add_small(const struct kern_ops *ops)
{
    words(a, RING_Q_VALUE);
    small_numbers();
    ops->neg_add_small(a, small, N, modulus());
    expect_secret(a, N * sizeof *a, "neg_add_small");
}

static void lift_small(const struct kern_ops *ops)
{
    small_numbers();
    ops->lift_small(a, small, N, modulus());
    expect_secret(a, N * sizeof *a, "lift_small");
}

static void lift_field(const struct kern_ops *ops)
{
    static const unsigned bits[] = {1, 13, 45, 50};
    for (size_t i = 0; i < 4; i++) {
        fields(b, bits[i]);
        ops->lift_field(a, b, bits[i], N, modulus());
        expect_secret(a, N * sizeof *a, "lift_field");
    }
}

static void sample_cbd21(const struct kern_ops *ops)
{
    ct_random_bytes(bytes, sizeof bytes);
    ct_hide(bytes, sizeof bytes);
    ops->sample_cbd21(small, N, bytes);
    expect_secret(small, N * sizeof *small, "sample_cbd21");
}

static void sample_ternary(const struct kern_ops *ops)
{
    (void)ops;
    ct_random_bytes(bytes, N);
    ct_hide(bytes, N);
    for (size_t skip = 0; skip <= 1; skip++) { /* aligned or not, ended by n or by size */
        size_t room = skip == 0 ? N : 61;
        size_t filled = ct_sample_ternary(small + skip, room, bytes + skip, 512);
        ct_require(filled > 0, "sample_ternary");
        expect_secret(small + skip, filled * sizeof *small, "sample_ternary");
    }
}

/* Its stream is public by contract. */
static void uniform_reject(const struct kern_ops *ops)
{
    ct_random_bytes(bytes, sizeof bytes);
    ct_require(ops->uniform_reject(a, N, bytes, 8 * N, modulus()) > 0, "uniform_reject");
}

/* Of `count` values, from the end of the last lane's run on there are none. */
static void pack(const struct kern_ops *ops, size_t count, size_t skip)
{
    struct kern_lanes lanes;
    ct_require(kern_lanes_init(&lanes, LANES, RADIX), "lanes");
    for (size_t i = 0; i < count; i++) {
        values[skip + i] = (int32_t)(ct_random() % RADIX) - RADIX / 2;
    }
    ct_hide(values, sizeof values);
    ops->lanes_pack(message, N, values + skip, count, &lanes);
}

static void lanes_pack(const struct kern_ops *ops)
{
    static const size_t counts[] = {1, N - 3, N, LANES * N - 5, LANES * N};
    for (size_t i = 0; i < 5; i++) {
        pack(ops, counts[i], i % 2);
        expect_secret(message, sizeof message, "lanes_pack");
    }
}

static void lanes_unpack(const struct kern_ops *ops)
{
    static const size_t counts[] = {1, N - 3, N, LANES * N - 5, LANES * N};
    struct kern_lanes lanes;
    ct_require(kern_lanes_init(&lanes, LANES, RADIX), "lanes");
    for (size_t i = 0; i < 5; i++) {
        pack(ops, counts[i], 0);
        uint64_t bad =
            ops->lanes_unpack(values64 + i % 2, counts[i], message, N, &lanes, RADIX / 2);
        expect_secret(values64 + i % 2, counts[i] * sizeof *values64, "lanes_unpack");
        expect_secret(&bad, sizeof bad, "lanes_unpack, answer");
    }
    messages(INT64_C(1) << 61); /* out of every range */
    uint64_t bad = ops->lanes_unpack(values64, LANES * N, message, N, &lanes, 5);
    expect_secret(&bad, sizeof bad, "lanes_unpack, answer");
}

static void add_plain(const struct kern_ops *ops)
{
    const uint64_t t = UINT64_C(0xce31d0001); /* profile bfv, 8 bits, 15 clients */
    struct kern_plain plain;
    kern_plain_init(&plain, modulus(), t);
    words(a, RING_Q_VALUE);
    messages((int64_t)(t - 1) / 2);
    ops->add_plain(a, message, N, &plain, modulus());
    expect_secret(a, N * sizeof *a, "add_plain");
}

static void switch_pow2(const struct kern_ops *ops)
{
    static const unsigned bits[] = {1, 32, 45, 50};
    for (size_t i = 0; i < 4; i++) {
        struct kern_switch s;
        kern_switch_init(&s, modulus(), bits[i]);
        words(a, RING_Q_VALUE);
        ops->switch_pow2(a, N, &s);
        expect_secret(a, N * sizeof *a, "switch_pow2");
    }
}

enum { STEP_BITS = 44, STEP = 28 }; /* profile capsule, 16 bits, 12 clients */

static void add_step(const struct kern_ops *ops)
{
    struct kern_step s;
    kern_step_init(&s, modulus(), STEP_BITS, STEP, 0);
    fields(a, STEP_BITS);
    messages(INT64_C(1) << 36);
    ops->add_step(a, message, N, &s);
    expect_secret(a, N * sizeof *a, "add_step");
}

static const unsigned wire_bits[] = {1, 13, 32, 36, 45, 50, 64};
enum { WIRE_BITS = sizeof wire_bits / sizeof wire_bits[0] };

static void pack_bits(const struct kern_ops *ops)
{
    for (size_t i = 0; i < WIRE_BITS; i++) {
        fields(a, wire_bits[i]);
        ct_reveal(bytes, sizeof bytes);
        ops->pack_bits(bytes + i % 2, a, N, wire_bits[i]);
        expect_secret(bytes, N / 8 * wire_bits[i], "pack_bits");
    }
}

/* The bytes are public by contract; that they need not be is welcome. */
static void unpack_bits(const struct kern_ops *ops)
{
    for (size_t i = 0; i < WIRE_BITS; i++) {
        ct_random_bytes(bytes, sizeof bytes);
        ct_hide(bytes, sizeof bytes);
        ops->unpack_bits(a, bytes + i % 2, N, wire_bits[i]);
        expect_secret(a, N * sizeof *a, "unpack_bits");
    }
}

static void add_packed(const struct kern_ops *ops)
{
    for (size_t i = 0; i < WIRE_BITS; i++) {
        ct_random_bytes(bytes, sizeof bytes);
        ct_random_bytes(more, sizeof more);
        ops->add_packed(bytes + i % 2, more, N / 8 * wire_bits[i], wire_bits[i]);
    }
}

static void crt_centred(const struct kern_ops *ops)
{
    words(a, RING_Q_VALUE);
    words(b, RING_Q2_VALUE);
    ops->crt_centred(c, a, b, N, ring_crt());
    expect_secret(c, N * sizeof *c, "crt_centred");
}

static void open_step(const struct kern_ops *ops)
{
    struct kern_step s;
    kern_step_init(&s, modulus(), STEP_BITS, STEP, ((uint64_t)STEP / 2) << KERN_FRACTION_BITS);
    fields(a, STEP_BITS);
    words(b, RING_Q_VALUE);
    ct_reveal(message, sizeof message);
    uint64_t bad = ops->open_step(message, a, b, N, &s);
    expect_secret(message, sizeof message, "open_step");
    expect_secret(&bad, sizeof bad, "open_step, answer");
}

static void open_plain(const struct kern_ops *ops)
{
    enum { BITS0 = 41, BITS1 = 47 };
    const uint64_t t = UINT64_C(0xce31d0001); /* as above */
    fields(a, BITS0);
    fields(b, 64);
    ct_reveal(message, sizeof message);
    uint64_t bad = ops->open_plain(message, a, BITS0, b, BITS1, N, t, UINT64_C(1) << 61);
    expect_secret(message, sizeof message, "open_plain");
    expect_secret(&bad, sizeof bad, "open_plain, answer");
}

/* Values are secret, and how many of them are clamped; the random words are not. */
static void secret_floats(void)
{
    for (size_t i = 0; i <= N; i++) {
        floats[i] = (float)(ct_random() % 4001) / 1000.0f - 2;
    }
    ct_hide(floats, sizeof floats);
}

static void round_randomly(const struct kern_ops *ops)
{
    static const size_t counts[] = {1, N - 3, N};
    static uint32_t random[N];
    ct_random_bytes(random, sizeof random);
    for (size_t i = 0; i < 3; i++) {
        secret_floats();
        ct_reveal(small, sizeof small);
        size_t clamped =
            ops->round_randomly(small + i % 2, floats + i % 2, random, counts[i], 100, 127);
        expect_secret(small + i % 2, counts[i] * sizeof *small, "round_randomly");
        expect_secret(&clamped, sizeof clamped, "round_randomly, answer");
    }
}

static void take_off(const struct kern_ops *ops)
{
    static const size_t counts[] = {1, N - 3, N};
    for (size_t i = 0; i < 3; i++) {
        secret_floats();
        small_numbers();
        ops->take_off(floats + i % 2, small, counts[i], 0.01);
        expect_secret(floats + i % 2, counts[i] * sizeof *floats, "take_off");
    }
}

static void (*const checks[])(const struct kern_ops *ops) = {
    ntt_fwd,    ntt_inv,      mul,          add_small,      neg_add_small,
    lift_small, lift_field,   sample_cbd21, sample_ternary, uniform_reject,
    lanes_pack, lanes_unpack, add_plain,    switch_pow2,    add_step,
    pack_bits,  unpack_bits,  add_packed,   crt_centred,    open_step,
    open_plain, round_randomly, take_off,
};
_Static_assert(sizeof checks / sizeof checks[0] == SLOTS, "one a slot");

void ct_every_kernel(void)
{
    for (size_t i = 0; i < SLOTS; i++) {
        checks[i](ct_kernels());
    }
}

/* ---- the sampler that throws away ---- */

/*
 * Two bits are thrown away when both are 1. So a bit of a pair may be secret, and "thrown away?"
 * still public, where the other bit is known to be 0. valgrind follows single bits through masks
 * and comparisons, and so can be told just that: the low bits of pairs 0 and 1 (which = 0), or the
 * high bits of pairs 0 and 2 (which = 1).
 */
static void hide_kept(const uint8_t *pairs, size_t size, unsigned which)
{
    for (size_t i = 0; i < size; i++) {
        uint8_t low = pairs[i] & 0x55, high = pairs[i] >> 1 & 0x55;
        uint8_t hidden = (uint8_t)(which == 0 ? ~high & 0x55 : (~low & 0x55) << 1);
        ct_require(VALGRIND_SET_VBITS(pairs + i, &hidden, 1) == 1, "valgrind knows the memory");
    }
}

size_t ct_sample_ternary(int32_t *out, size_t n, const uint8_t *random, size_t size)
{
    static uint8_t pairs[8 * N];
    ct_require(size <= sizeof pairs, "room for the random bytes");
    size_t filled = 0;
    for (unsigned which = 0; which <= 1; which++) {
        memcpy(pairs, random, size);
        ct_reveal(pairs, size);
        hide_kept(pairs, size, which);
        filled = ct_kernels()->sample_ternary(out, n, pairs, size);
        ct_require(!ct_is_secret(&filled, sizeof filled), "the number of samples is public");
        ct_require(ct_is_secret(out, filled * sizeof *out), "samples are secret");
    }
    ct_hide(out, filled * sizeof *out);
    return filled;
}
