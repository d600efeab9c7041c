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

int he_sample_cbd(struct secret_rng *rng, struct he_scratch *s)
{
    int rc = secret_rng_fill(rng, s->random, 6 * RING_DEGREE);
    if (rc == 0) {
        kern_get()->sample_cbd21(s->small, RING_DEGREE, s->random);
    }
    return rc;
}

int he_sample_ternary(struct secret_rng *rng, struct he_scratch *s)
{
    /* 3 of 4 pairs of bits are kept: N/4 bytes give 3N/4 samples; the rest comes with the next
     * helpings. */
    enum { HELPING = RING_DEGREE / 4 };
    size_t filled = 0;
    while (filled < RING_DEGREE) {
        int rc = secret_rng_fill(rng, s->random, HELPING);
        if (rc != 0) {
            return rc;
        }
        filled += kern_get()->sample_ternary(s->small + filled, RING_DEGREE - filled, s->random,
                                             HELPING);
    }
    return 0;
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

void he_public_key_seed(const uint8_t key_seed[32], uint8_t seed[32])
{
    struct digest_state state;
    digest_init(&state);
    put_padded(&state, "cairn public key a v1", LABEL_SIZE);
    digest_update(&state, key_seed, 32);
    digest_final(&state, seed);
}
