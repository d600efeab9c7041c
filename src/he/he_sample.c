/* SPDX-License-Identifier: Apache-2.0 */
/* Drawing polynomials: secret ones from a struct secret_rng, public ones from a seed that everybody
 * derives alike. */
#include "he_sample.h"

#include <string.h>

#include "digest.h"
#include "le.h"
#include "secret.h"

enum { LABEL_SIZE = 32 };

struct he_scratch *he_scratch_new(void)
{
    return secret_alloc(sizeof(struct he_scratch));
}

void he_scratch_free(struct he_scratch *s)
{
    secret_free(s);
}

int he_draw_cbd(struct secret_rng *rng, int32_t *out, size_t n, uint8_t *random)
{
    int rc = secret_rng_fill(rng, random, 6 * n);
    if (rc == 0) {
        kern_get()->sample_cbd21(out, n, random);
    }
    return rc;
}

int he_draw_ternary(struct secret_rng *rng, int32_t *out, size_t n, uint8_t *random)
{
    /* 3 of 4 pairs of bits are kept: n/4 bytes give 3n/4 samples; the rest comes with the next
     * helpings. */
    const size_t helping = n / 4;
    size_t filled = 0;
    while (filled < n) {
        int rc = secret_rng_fill(rng, random, helping);
        if (rc != 0) {
            return rc;
        }
        filled += kern_get()->sample_ternary(out + filled, n - filled, random, helping);
    }
    return 0;
}

int he_sample_cbd(struct secret_rng *rng, struct he_scratch *s)
{
    return he_draw_cbd(rng, s->small, RING_DEGREE, s->random);
}

int he_sample_ternary(struct secret_rng *rng, struct he_scratch *s)
{
    return he_draw_ternary(rng, s->small, RING_DEGREE, s->random);
}

int he_expand(const uint8_t seed[32], uint64_t *out, uint8_t *stream)
{
    const struct kern_modulus *m = &ring_get(RING_Q)->modulus;
    size_t filled = 0, size = 8 * RING_DEGREE;
    uint64_t offset = 0;
    while (filled < RING_DEGREE) {
        int rc = random_expand(seed, offset, stream, size);
        if (rc != 0) {
            return rc;
        }
        filled += kern_get()->uniform_reject(out + filled, RING_DEGREE - filled, stream, size, m);
        offset += size;
        size = 64; /* a word is refused once in 2^36: rarely more than one */
    }
    return 0;
}

static void put_padded(struct digest_state *state, const char *text, size_t width)
{
    static const uint8_t zeros[HE_ID_SIZE];
    size_t size = strlen(text);
    digest_update(state, text, size);
    digest_update(state, zeros, width - size);
}

void he_capsule_seed(const struct he_params *params, const uint8_t nonce[HE_NONCE_SIZE],
                     uint32_t round, uint32_t frame, uint32_t chunk, uint8_t seed[32])
{
    uint8_t numbers[12];
    le_put32(numbers, round);
    le_put32(numbers + 4, frame);
    le_put32(numbers + 8, chunk);
    struct digest_state state;
    digest_init(&state);
    put_padded(&state, "cairn capsule a v1", LABEL_SIZE);
    put_padded(&state, params->id, HE_ID_SIZE);
    digest_update(&state, nonce, HE_NONCE_SIZE);
    digest_update(&state, numbers, sizeof numbers);
    digest_final(&state, seed);
}

void he_prime_seed(const char *label, const uint8_t seed[32], uint32_t number, uint8_t out[32])
{
    uint8_t bytes[4];
    le_put32(bytes, number);
    struct digest_state state;
    digest_init(&state);
    put_padded(&state, label, LABEL_SIZE);
    digest_update(&state, seed, 32);
    digest_update(&state, bytes, sizeof bytes);
    digest_final(&state, out);
}

void he_public_key_seed(const uint8_t key_seed[32], uint8_t seed[32])
{
    struct digest_state state;
    digest_init(&state);
    put_padded(&state, "cairn public key a v1", LABEL_SIZE);
    digest_update(&state, key_seed, 32);
    digest_final(&state, seed);
}
