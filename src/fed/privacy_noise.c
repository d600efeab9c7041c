/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The discrete Gaussian out of coins. What could be done with a uniform number of many bits is done with as many bits as it
 * takes to tell, one by one: two on average.
 */
#include "privacy_noise.h"

#include <string.h>

#include "secret.h"

enum { WORDS = 64 };

struct privacy_noise {
    struct secret_root root; /* of this round; the structure is in secret memory */
    struct privacy_bits bits;
    struct secret_rng *source; /* of roots */
    struct secret_rng *branch; /* goes on as a frame's */
    uint64_t variance;
};

/* ---- coins ---- */

void privacy_bits_begin(struct privacy_bits *bits, int (*fill)(void *ctx, void *out, size_t size),
                        void *ctx)
{
    *bits = (struct privacy_bits){.fill = fill, .ctx = ctx, .used = WORDS};
}

static uint64_t next_word(struct privacy_bits *b)
{
    if (b->used == WORDS) {
        const int err = b->error != 0 ? b->error : b->fill(b->ctx, b->words, sizeof b->words);
        if (err != 0) { /* nothing that is made of these counts; every loop below looks at `error` */
            b->error = err;
            memset(b->words, 0xff, sizeof b->words);
        }
        b->used = 0;
    }
    const uint64_t word = b->words[b->used];
    b->words[b->used++] = 0;
    return word;
}

static unsigned next_bit(struct privacy_bits *b)
{
    if (b->left == 0) {
        b->bits = next_word(b);
        b->left = 64;
    }
    const unsigned bit = (unsigned)(b->bits & 1);
    b->bits >>= 1;
    b->left--;
    return bit;
}

/* A uniform number in [0, 1) bit by bit against num / den bit by bit: the first difference decides. */
int privacy_bernoulli(struct privacy_bits *bits, privacy_u128 num, privacy_u128 den)
{
    if (num >= den) {
        return 1;
    }
    while (bits->error == 0) {
        num <<= 1;
        const unsigned digit = num >= den;
        num -= digit ? den : 0;
        const unsigned bit = next_bit(bits);
        if (bit != digit) {
            return digit > bit;
        }
    }
    return 0;
}

/* Algorithm 1 for an exponent of at most 1: how often in a row does a coin of num / (k den) come up? */
static int bernoulli_exp_small(struct privacy_bits *bits, privacy_u128 num, privacy_u128 den)
{
    unsigned k = 1;
    while (privacy_bernoulli(bits, num, den * k)) {
        k++;
    }
    return (k & 1) != 0;
}

int privacy_bernoulli_exp(struct privacy_bits *bits, privacy_u128 num, privacy_u128 den)
{
    for (; num > den; num -= den) {
        if (!bernoulli_exp_small(bits, 1, 1)) {
            return 0;
        }
    }
    return bernoulli_exp_small(bits, num, den);
}

/* Uniform in [0, bound). */
static uint64_t below(struct privacy_bits *bits, uint64_t bound)
{
    uint64_t x;
    do {
        x = 0;
        for (uint64_t reach = bound - 1; reach > 0; reach >>= 1) {
            x = x << 1 | next_bit(bits);
        }
    } while (x >= bound && bits->error == 0);
    return x;
}

/* Algorithm 2: P(y) in proportion to exp(-|y| / t). */
static int64_t discrete_laplace(struct privacy_bits *bits, uint64_t t)
{
    while (bits->error == 0) {
        const uint64_t u = below(bits, t);
        if (!privacy_bernoulli_exp(bits, u, t)) {
            continue;
        }
        uint64_t v = 0; /* reaches 2^10 with probability e^-1024 */
        while (bernoulli_exp_small(bits, 1, 1) && bits->error == 0) {
            v++;
        }
        const int64_t magnitude = (int64_t)(u + t * v);
        const unsigned negative = next_bit(bits);
        if (!(negative && magnitude == 0)) {
            return negative ? -magnitude : magnitude;
        }
    }
    return 0;
}

/* The largest whole number whose square is at most x. */
static uint64_t whole_root(uint64_t x)
{
    uint64_t root = 0;
    for (uint64_t bit = UINT64_C(1) << 31; bit > 0; bit >>= 1) {
        root += (root + bit) * (root + bit) <= x ? bit : 0;
    }
    return root;
}

/* Algorithm 3: Laplace noise of t = floor(sigma) + 1 is kept with probability
 * exp(-(|y| - variance / t)^2 / (2 variance)), here over the denominator 2 variance t^2. */
int64_t privacy_discrete_gaussian(struct privacy_bits *bits, uint64_t variance)
{
    const uint64_t t = whole_root(variance) + 1;
    while (bits->error == 0) {
        const int64_t y = discrete_laplace(bits, t);
        const privacy_u128 there = (privacy_u128)(uint64_t)(y < 0 ? -y : y) * t;
        const privacy_u128 off = there > variance ? there - variance : variance - there;
        if (privacy_bernoulli_exp(bits, off * off, (privacy_u128)2 * variance * t * t)) {
            return y;
        }
    }
    return 0;
}

/* ---- a client's ---- */

static int fill_from_branch(void *ctx, void *out, size_t size)
{
    const struct privacy_noise *noise = ctx;
    return secret_rng_fill(noise->branch, out, size);
}

int privacy_noise_new(uint64_t variance, struct privacy_noise **out)
{
    *out = NULL;
    if (variance == 0 || variance > PRIVACY_NOISE_MAX_VARIANCE) {
        return CAIRN_ERR_BUG;
    }
    struct privacy_noise *noise = secret_alloc(sizeof *noise);
    if (noise == NULL) {
        return CAIRN_ERR_NO_MEMORY;
    }
    noise->variance = variance;
    int err = secret_rng_new(&noise->source);
    if (err == 0) {
        err = secret_rng_new(&noise->branch);
    }
    if (err == 0) {
        err = privacy_noise_begin(noise);
    }
    if (err != 0) {
        privacy_noise_free(noise);
        return err;
    }
    *out = noise;
    return 0;
}

void privacy_noise_free(struct privacy_noise *noise)
{
    if (noise != NULL) {
        secret_rng_free(noise->source);
        secret_rng_free(noise->branch);
    }
    secret_free(noise);
}

int privacy_noise_begin(struct privacy_noise *noise)
{
    return secret_root_draw(&noise->root, noise->source);
}

int privacy_noise_add(struct privacy_noise *noise, uint32_t frame, int32_t limit, int32_t *values,
                      size_t n)
{
    int err = secret_rng_branch(noise->branch, &noise->root, frame);
    privacy_bits_begin(&noise->bits, fill_from_branch, noise);
    for (size_t i = 0; err == 0 && i < n; i++) {
        const int64_t sum = values[i] + privacy_discrete_gaussian(&noise->bits, noise->variance);
        values[i] = sum > limit ? limit : sum < -limit ? -limit : (int32_t)sum;
        err = noise->bits.error;
    }
    if (err != 0) {
        memset(values, 0, n * sizeof *values);
    }
    secret_wipe(&noise->bits, sizeof noise->bits);
    return err;
}
