/* SPDX-License-Identifier: Apache-2.0 */
/* Encrypting and opening a frame over the wide ring. The formulas are those of he_capsule.c and
 * he_payload.c. */
#include <math.h>

#include "he_crew.h"
#include "he_layout.h"
#include "he_noise.h"
#include "he_sample.h"
#include "he_wide.h"

enum { N = RING_WIDE_DEGREE };

/* Lanes of values or keys. Parameters come from the chooser, which has asked. */
static struct kern_wide_lanes lanes_of(unsigned lanes, uint64_t radix)
{
    struct kern_wide_lanes l = {0};
    (void)kern_wide_lanes_init(&l, lanes, radix);
    return l;
}

/* One polynomial's share of a payload: values, and where its fields begin. */
struct chunk {
    size_t first, count; /* values */
    size_t at, at1;      /* bytes: of b or c0, and of c1 */
};

static struct chunk chunk_of(const struct he_params *params, size_t n, size_t j)
{
    const unsigned bits = params->profile == HE_BFV ? params->bfv.bits0 : params->bits;
    const size_t bytes = (size_t)N / 8 * bits, bytes1 = (size_t)N / 8 * params->bfv.bits1;
    struct chunk c;
    c.first = j * params->chunk_params;
    c.count = n - c.first < params->chunk_params ? n - c.first : params->chunk_params;
    c.at = j * bytes;
    c.at1 = he_chunks(params, n) * bytes + j * bytes1;
    return c;
}

/* A frame, as its chunks see it. */
struct job {
    const struct he_params *params;
    const struct he_frame_name *name;
    const struct he_wide_public_key *key;    /* bfv, encrypting */
    const struct he_wide_secret_key *secret; /* bfv, opening */
    const uint64_t (*once)[N]; /* capsule: the one-time key or the sum of them, transformed */
    const int32_t *values;     /* encrypting */
    int64_t *sums;             /* opening */
    uint8_t *out;              /* encrypting: the payload */
    const uint8_t *in;         /* opening: the payload */
    size_t n;
    uint32_t contributors;
    uint64_t limit; /* of a sum's magnitude */
    struct kern_wide_lanes lanes;
    struct kern_wide_step step; /* capsule */
};

/* ---- profile bfv ---- */

static int bfv_encrypt_chunk(const void *of, size_t j, struct he_worker *w)
{
    const struct job *job = of;
    struct he_wide_scratch *s = w->scratch;
    const struct chunk c = chunk_of(job->params, job->n, j);
    kern_wide_lanes_pack(s->message, N, job->values + c.first, c.count, &job->lanes);
    return he_wide_bfv_encrypt(&job->params->bfv, job->key, w->rng, N, job->out + c.at,
                               job->out + c.at1, s);
}

static int bfv_open_chunk(const void *of, size_t j, struct he_worker *w)
{
    const struct job *job = of;
    struct he_wide_scratch *s = w->scratch;
    const struct chunk c = chunk_of(job->params, job->n, j);
    w->bad |= he_wide_bfv_open(&job->params->bfv, job->secret, job->contributors, N, job->in + c.at,
                               job->in + c.at1, s);
    w->bad |= kern_wide_lanes_unpack(job->sums + c.first, c.count, s->message, N, &job->lanes,
                                     job->limit);
    return 0;
}

/* ---- profile capsule ---- */

/* Where the capsule lies in a payload. */
struct capsule {
    size_t c0, c1;
    size_t used; /* coefficients of c0 */
};

static struct capsule capsule_of(const struct he_params *params, size_t n)
{
    struct he_section sections[HE_MAX_SECTIONS];
    he_sections(params, n, sections);
    size_t c0 = he_section_bytes(&sections[0]);
    return (struct capsule){c0, c0 + he_section_bytes(&sections[1]), sections[1].count};
}

/* s->a = residues of a_j s, coefficients */
static int masked_product(const struct job *job, size_t j, struct he_wide_scratch *s)
{
    const struct kern_ops *ops = kern_get();
    uint8_t seed[32];
    he_capsule_seed(job->params, job->name->nonce, job->name->round, job->name->frame, (uint32_t)j,
                    seed);
    for (int p = 0; p < RING_WIDE_PRIMES; p++) {
        const struct kern_ntt *ring = ring_wide_get((enum ring_wide_prime)p);
        int rc = he_wide_expand(seed, (enum ring_wide_prime)p, s->a[p], s->stream);
        if (rc != 0) {
            return rc;
        }
        ops->mul(s->a[p], s->a[p], job->once[p], N, &ring->modulus);
        ops->ntt_inv(s->a[p], ring);
    }
    return 0;
}

/* A fresh one-time key: into the capsule, and transformed into s->key. */
static int new_key(const struct he_params *params, const struct he_wide_public_key *key,
                   struct secret_rng *rng, size_t n, uint8_t *payload, struct he_wide_scratch *s)
{
    const struct kern_wide_lanes lanes = lanes_of(params->bfv.lanes, params->bfv.radix);
    const struct capsule at = capsule_of(params, n);
    int rc = he_wide_sample_cbd(rng, s);
    if (rc != 0) {
        return rc;
    }
    he_wide_forward(s->key, s->small, RING_WIDE_PRIMES);
    kern_wide_lanes_pack(s->message, at.used, s->small, N, &lanes);
    return he_wide_bfv_encrypt(&params->bfv, key, rng, at.used, payload + at.c0, payload + at.c1,
                               s);
}

static int capsule_encrypt_chunk(const void *of, size_t j, struct he_worker *w)
{
    const struct job *job = of;
    struct he_wide_scratch *s = w->scratch;
    const struct chunk c = chunk_of(job->params, job->n, j);
    int rc = masked_product(job, j, s);
    if (rc == 0) {
        rc = he_wide_sample_cbd(w->rng, s);
    }
    if (rc != 0) {
        return rc;
    }
    for (int p = 0; p < RING_WIDE_PRIMES; p++) {
        kern_get()->neg_add_small(s->a[p], s->small, N,
                                  &ring_wide_get((enum ring_wide_prime)p)->modulus);
    }
    kern_wide_join2(s->wide, s->a[0], s->a[1], N, ring_wide_join());
    kern_wide_switch(s->wide, N, &job->step.mask);
    kern_wide_lanes_pack(s->message, N, job->values + c.first, c.count, &job->lanes);
    kern_wide_add_step(s->wide, s->message, N, &job->step);
    kern_wide_pack(job->out + c.at, s->wide, N, job->params->bits);
    return 0;
}

/* s->key = the sum of the one-time keys, transformed. @return 0 or all ones */
static uint64_t open_key(const struct he_params *params, const struct he_wide_secret_key *key,
                         uint32_t contributors, const uint8_t *payload, size_t n,
                         struct he_wide_scratch *s)
{
    const struct kern_wide_lanes lanes = lanes_of(params->bfv.lanes, params->bfv.radix);
    const struct capsule at = capsule_of(params, n);
    uint64_t bad = he_wide_bfv_open(&params->bfv, key, contributors, at.used, payload + at.c0,
                                    payload + at.c1, s);
    bad |= kern_wide_lanes_unpack(s->digits, N, s->message, at.used, &lanes,
                                  (uint64_t)HE_KEY_MAGNITUDE * contributors);
    for (size_t i = 0; i < N; i++) {
        s->small[i] = (int32_t)s->digits[i]; /* magnitude at most 21 n */
    }
    he_wide_forward(s->key, s->small, RING_WIDE_PRIMES);
    return bad;
}

/* As in he_capsule.c. */
static uint64_t distance_limit(const struct he_params *params, uint32_t contributors)
{
    double k = he_noise_tail(params->failure_log2);
    double distance = he_noise_payload_in(&he_noise_wide, contributors, params->bits, k);
    return (uint64_t)ldexp(distance, KERN_FRACTION_BITS) + 2;
}

static int capsule_open_chunk(const void *of, size_t j, struct he_worker *w)
{
    const struct job *job = of;
    struct he_wide_scratch *s = w->scratch;
    const struct chunk c = chunk_of(job->params, job->n, j);
    int rc = masked_product(job, j, s);
    if (rc != 0) {
        return rc;
    }
    kern_wide_join2(s->product, s->a[0], s->a[1], N, ring_wide_join());
    kern_wide_unpack(s->wide, job->in + c.at, N, job->params->bits);
    w->bad |= kern_wide_open_step(s->message, s->wide, s->product, N, &job->step);
    w->bad |= kern_wide_lanes_unpack(job->sums + c.first, c.count, s->message, N, &job->lanes,
                                     job->limit);
    return 0;
}

/* ---- both ---- */

int he_wide_encrypt(const struct he_params *params, const struct he_public_key *key,
                    struct secret_rng *rng, const struct he_frame_name *name, const int32_t *values,
                    size_t n, uint8_t *payload, struct he_crew *crew)
{
    const size_t chunks = he_chunks(params, n);
    struct he_wide_scratch *s = he_crew_first(crew)->scratch;
    struct job job = {.params = params,
                      .name = name,
                      .key = key->wide,
                      .once = (const uint64_t(*)[N])s->key, /* no chunk changes it */
                      .values = values,
                      .out = payload,
                      .n = n,
                      .lanes = lanes_of(params->lanes, params->radix)};
    if (params->profile == HE_BFV) {
        return he_crew_encrypt(crew, rng, chunks, bfv_encrypt_chunk, &job);
    }
    kern_wide_step_init(&job.step, ring_wide_join(), params->bits, params->step, 0);
    int rc = new_key(params, key->wide, rng, n, payload, s);
    return rc != 0 ? rc : he_crew_encrypt(crew, rng, chunks, capsule_encrypt_chunk, &job);
}

int he_wide_open(const struct he_params *params, const struct he_secret_key *key,
                 const struct he_frame_name *name, uint32_t contributors, const uint8_t *payload,
                 size_t n, int64_t *sums, uint64_t *bad, struct he_crew *crew)
{
    const size_t chunks = he_chunks(params, n);
    struct he_wide_scratch *s = he_crew_first(crew)->scratch;
    struct job job = {.params = params,
                      .name = name,
                      .secret = key->wide,
                      .once = (const uint64_t(*)[N])s->key,
                      .in = payload,
                      .sums = sums,
                      .n = n,
                      .contributors = contributors,
                      .limit = he_value_limit(params->value_bits) * contributors,
                      .lanes = lanes_of(params->lanes, params->radix)};
    if (params->profile == HE_BFV) {
        return he_crew_open(crew, chunks, bfv_open_chunk, &job, bad);
    }
    kern_wide_step_init(&job.step, ring_wide_join(), params->bits, params->step,
                        distance_limit(params, contributors));
    *bad = open_key(params, key->wide, contributors, payload, n, s);
    return he_crew_open(crew, chunks, capsule_open_chunk, &job, bad);
}
