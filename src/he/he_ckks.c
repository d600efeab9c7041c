/* SPDX-License-Identifier: Apache-2.0 */
/* Encrypting and opening a frame of profile seal-ckks. */
#include "he_ckks.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

#include "he_crew.h"
#include "he_layout.h"
#include "he_noise.h"

enum { N = HE_CKKS_DEGREE };

const uint64_t he_ckks_primes[HE_CKKS_PRIMES] = {HE_CKKS_Q1, HE_CKKS_Q2, HE_CKKS_Q3,
                                                 HE_CKKS_SPECIAL};
const unsigned he_ckks_prime_bits[HE_CKKS_PRIMES] = {60, 40, 40, 60};

/* ---- tables ---- */

static struct rns_ring ring;
static struct ckks_encoder *encoder;
static pthread_once_t built = PTHREAD_ONCE_INIT;

static void build(void)
{
    if (rns_ring_init(&ring, N, he_ckks_primes, HE_CKKS_PRIMES) == 0 &&
        ckks_encoder_new(&ring, &encoder) != 0) {
        rns_ring_release(&ring);
    }
}

const struct rns_ring *he_ckks_ring(void)
{
    pthread_once(&built, build);
    return ring.primes != 0 ? &ring : NULL;
}

const struct ckks_encoder *he_ckks_encoder(void)
{
    pthread_once(&built, build);
    return encoder;
}

/* ---- chunks ---- */

/* Where polynomial p modulo prime k of chunk j begins: sections lie one after the other, c0 modulo
 * each prime, then c1, and a section holds all chunks. */
static size_t row_at(const struct he_params *params, size_t n, size_t j, unsigned p, unsigned k)
{
    const size_t chunks = he_chunks(params, n);
    size_t bits = 0, all = 0;
    for (unsigned i = 0; i < HE_CKKS_LEVEL; i++) {
        bits += i < k ? he_ckks_prime_bits[i] : 0;
        all += he_ckks_prime_bits[i];
    }
    return N / 8 * (chunks * (p * all + bits) + j * he_ckks_prime_bits[k]);
}

static size_t values_in(size_t n, size_t j)
{
    const size_t left = n - j * HE_CKKS_SLOTS;
    return left < HE_CKKS_SLOTS ? left : HE_CKKS_SLOTS;
}

/* A frame, as its chunks see it. */
struct job {
    const struct he_params *params;
    const struct he_ckks_public_key *key;    /* encrypting */
    const struct he_ckks_secret_key *secret; /* opening */
    const int32_t *values;                   /* encrypting */
    int64_t *sums;                           /* opening */
    uint8_t *out;                            /* encrypting: the payload */
    const uint8_t *in;                       /* opening: the payload */
    size_t n;
    struct ckks_whole rule; /* opening */
};

/* Chunk j of a payload from its words; c1 begins `stride` words behind c0. */
static void pack_chunk(const struct he_params *params, uint8_t *payload, size_t n, size_t j,
                       const uint64_t *pair, size_t stride)
{
    for (unsigned row = 0; row < 2 * HE_CKKS_LEVEL; row++) {
        const unsigned p = row / HE_CKKS_LEVEL, k = row % HE_CKKS_LEVEL;
        kern_get()->pack_bits(payload + row_at(params, n, j, p, k), pair + p * stride + k * N, N,
                              he_ckks_prime_bits[k]);
    }
}

void he_ckks_pack_chunk(const struct he_params *params, uint8_t *payload, size_t n, size_t j,
                        const uint64_t *pair)
{
    pack_chunk(params, payload, n, j, pair, HE_CKKS_LEVEL * N);
}

static int encrypt_chunk(const void *of, size_t j, struct he_worker *w)
{
    const struct job *job = of;
    struct he_ckks_scratch *s = w->scratch;
    struct rlwe_scratch zero = {N, HE_CKKS_PRIMES, s->poly, s->pair, s->work, s->small, s->random};
    const size_t count = values_in(job->n, j);
    int rc = rlwe_zero_public(&ring, HE_CKKS_LEVEL, job->key->pair, true, w->rng, &zero);
    for (size_t i = 0; i < count; i++) {
        s->values[i] = job->values[j * HE_CKKS_SLOTS + i];
    }
    if (rc == 0) { /* parameters keep it from refusing anything; the mask in poly has served */
        rc = ckks_encode(encoder, s->values, count, ldexp(1, HE_CKKS_SCALE_BITS), HE_CKKS_LEVEL,
                         s->poly, s->numbers, NULL);
    }
    if (rc != 0) {
        return rc;
    }
    rns_add(&ring, HE_CKKS_LEVEL, s->pair, s->poly);
    pack_chunk(job->params, job->out, job->n, j, s->pair, HE_CKKS_WORDS);
    return 0;
}

uint64_t he_ckks_unpack_chunk(const struct he_params *params, const uint8_t *payload, size_t n,
                              size_t j, uint64_t *pair)
{
    uint64_t over = 0;
    for (unsigned row = 0; row < 2 * HE_CKKS_LEVEL; row++) {
        const unsigned k = row % HE_CKKS_LEVEL;
        uint64_t *words = pair + (size_t)row * N;
        kern_get()->unpack_bits(words, payload + row_at(params, n, j, row / HE_CKKS_LEVEL, k), N,
                                he_ckks_prime_bits[k]);
        for (size_t i = 0; i < N; i++) {
            over |= he_ckks_primes[k] - 1 - words[i];
        }
    }
    return 0 - (over >> 63);
}

static int open_chunk(const void *of, size_t j, struct he_worker *w)
{
    const struct job *job = of;
    struct he_ckks_scratch *s = w->scratch;
    w->bad |= he_ckks_unpack_chunk(job->params, job->in, job->n, j, s->pair);
    rlwe_phase(&ring, HE_CKKS_LEVEL, job->secret->hat, s->pair, true, s->poly);
    ckks_decode(encoder, s->poly, HE_CKKS_LEVEL, ldexp(1, HE_CKKS_SCALE_BITS), s->values,
                s->numbers);
    w->bad |= ckks_round(s->values, HE_CKKS_SLOTS, &job->rule, job->sums + j * HE_CKKS_SLOTS,
                         values_in(job->n, j));
    return 0;
}

/* ---- frames ---- */

int he_ckks_encrypt(const struct he_params *params, const struct he_public_key *key,
                    struct secret_rng *rng, const int32_t *values, size_t n, uint8_t *payload,
                    struct he_crew *crew)
{
    const struct job job = {
        .params = params, .key = key->ckks, .values = values, .out = payload, .n = n};
    return he_ckks_ring() == NULL
               ? CAIRN_ERR_NO_MEMORY
               : he_crew_encrypt(crew, rng, he_chunks(params, n), encrypt_chunk, &job);
}

int he_ckks_open(const struct he_params *params, const struct he_secret_key *key,
                 uint32_t contributors, const uint8_t *payload, size_t n, int64_t *sums,
                 uint64_t *bad, struct he_crew *crew)
{
    const struct job job = {
        .params = params,
        .secret = key->ckks,
        .in = payload,
        .sums = sums,
        .n = n,
        .rule = {.limit = he_value_limit(params->value_bits) * contributors,
                 .reach = he_noise_ckks(params->value_bits, contributors)},
    };
    return he_ckks_ring() == NULL ? CAIRN_ERR_NO_MEMORY
                                  : he_crew_open(crew, he_chunks(params, n), open_chunk, &job, bad);
}
