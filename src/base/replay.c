/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replayable randomness. Everything here must give the same bits on every
 * machine, so the normal distribution has its own logarithm and cosine: those of libm differ in
 * the last place between versions and even between processors (with and without fused
 * multiply-add). Below are additions, multiplications, divisions and one square root, each of
 * which IEEE 754 rounds in one way only; cairn is compiled with contraction off.
 */
#include <endian.h>
#include <math.h>
#include <string.h>

#include <sodium.h>

#include "digest.h"
#include "le.h"
#include "replay.h"

enum { BLOCK = 64, WORDS = BLOCK / 4, PURPOSE = 32 };

_Static_assert(sizeof((struct replay_rng *)0)->bytes % BLOCK == 0, "whole blocks");

/* The next n bytes of keystream, whole blocks. */
static void draw(struct replay_rng *rng, void *out, size_t n)
{
    static const uint8_t nonce[crypto_stream_chacha20_NONCEBYTES];
    memset(out, 0, n);
    (void)crypto_stream_chacha20_xor_ic(out, out, n, nonce, rng->block, rng->key);
    rng->block += n / BLOCK;
}

static void refill(struct replay_rng *rng)
{
    draw(rng, rng->bytes, sizeof rng->bytes);
    rng->used = 0;
}

void replay_init(struct replay_rng *rng, const char *purpose, uint64_t seed, uint32_t round,
                 uint32_t index)
{
    static const char domain[] = "cairn replay v1"; /* without its zero byte */
    uint8_t fields[PURPOSE + 8 + 4 + 4] = {0};
    memcpy(fields, purpose, strnlen(purpose, PURPOSE));
    le_put64(fields + PURPOSE, seed);
    le_put32(fields + PURPOSE + 8, round);
    le_put32(fields + PURPOSE + 12, index);
    *rng = (struct replay_rng){0};
    struct digest_state state;
    digest_init(&state);
    digest_update(&state, domain, sizeof domain - 1);
    digest_update(&state, fields, sizeof fields);
    digest_final(&state, rng->key);
    rng->used = sizeof rng->bytes; /* the first block is made when it is asked for */
}

void replay_seek(struct replay_rng *rng, uint64_t word)
{
    rng->block = word / WORDS;
    refill(rng);
    rng->used = (size_t)(word % WORDS) * 4;
}

uint32_t replay_u32(struct replay_rng *rng)
{
    if (rng->used == sizeof rng->bytes) {
        refill(rng);
    }
    uint32_t v = le_get32(rng->bytes + rng->used);
    rng->used += 4;
    return v;
}

/* Words from what is in the buffer, at most n. @return how many */
static size_t take_words(struct replay_rng *rng, uint32_t *out, size_t n)
{
    const size_t here = (sizeof rng->bytes - rng->used) / 4, take = n < here ? n : here;
    memcpy(out, rng->bytes + rng->used, 4 * take);
    rng->used += 4 * take;
    return take;
}

void replay_words(struct replay_rng *rng, uint32_t *out, size_t n)
{
    size_t at = take_words(rng, out, n);
    const size_t whole = (n - at) / WORDS * WORDS; /* past the buffer */
    draw(rng, out + at, 4 * whole);
    at += whole;
    if (at < n) {
        refill(rng);
        at += take_words(rng, out + at, n - at);
    }
    for (size_t i = 0; i < n; i++) {
        out[i] = le32toh(out[i]);
    }
}

uint64_t replay_u64(struct replay_rng *rng)
{
    uint64_t low = replay_u32(rng);
    return low | (uint64_t)replay_u32(rng) << 32;
}

float replay_float(struct replay_rng *rng)
{
    return (float)(replay_u32(rng) >> 8) * 0x1p-24f;
}

/* The high half of word * bound is uniform once the products whose low half lies
 * below 2^32 mod bound are drawn again: then each result has floor(2^32 / bound) words. */
uint32_t replay_below(struct replay_rng *rng, uint32_t bound)
{
    uint32_t surplus = (0u - bound) % bound; /* 2^32 mod bound */
    uint64_t product;
    do {
        product = (uint64_t)replay_u32(rng) * bound;
    } while ((uint32_t)product < surplus);
    return (uint32_t)(product >> 32);
}

/* ln x for normal x > 0: x = m * 2^e with m in [sqrt(1/2), sqrt(2)), and
 * ln m = 2 artanh(s), s = (m - 1) / (m + 1), |s| < 0.1716. The first term left out,
 * 2 s^25 / 25, is below 2^-66, less than half a unit in the last place of s. */
static double exact_log(double x)
{
    static const double ln2 = 0.69314718055994530942;
    int e;
    double m = frexp(x, &e); /* exact, in [1/2, 1) */
    if (m < 0.70710678118654752440) {
        m *= 2;
        e--;
    }
    double s = (m - 1) / (m + 1), square = s * s, sum = 0;
    for (int k = 23; k >= 1; k -= 2) {
        sum = sum * square + 1.0 / k;
    }
    return 2 * s * sum + e * ln2;
}

/* cos(2 pi t) for t in [0, 1): folded into an eighth of a turn, a = 2 pi f <= pi/4, then the
 * Taylor series; the first terms left out, a^20 / 20! and a^21 / 21!, are below 2^-64. */
static double exact_cos_turns(double t)
{
    static const double two_pi = 6.28318530717958647692;
    double f = t > 0.5 ? 1 - t : t; /* cosine is even; these subtractions are exact */
    double sign = 1;
    if (f > 0.25) {
        f = 0.5 - f;
        sign = -1;
    }
    int odd = f > 0.125; /* cos a = sin(pi/2 - a) */
    double a = two_pi * (odd ? 0.25 - f : f), square = a * a, sum = 1;
    for (int k = 18 + odd; k >= 2; k -= 2) {
        sum = 1 - sum * square / (k * (k - 1));
    }
    return sign * (odd ? a * sum : sum);
}

double replay_normal(struct replay_rng *rng)
{
    /* 53 bits each, as many as a double holds: u in (0, 1], t in [0, 1) */
    double u = (double)((replay_u64(rng) >> 11) + 1) * 0x1p-53;
    double t = (double)(replay_u64(rng) >> 11) * 0x1p-53;
    return sqrt(-2 * exact_log(u)) * exact_cos_turns(t);
}

void replay_shuffle(struct replay_rng *rng, uint32_t *indices, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = replay_below(rng, (uint32_t)i);
        uint32_t t = indices[i - 1];
        indices[i - 1] = indices[j];
        indices[j] = t;
    }
}
