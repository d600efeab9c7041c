/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Profile capsule. With a one-time key s (CBD21) and public polynomials a_j:
 *
 *   chunk j    b_j = round(-(a_j s + e_j) 2^K / q) + D m_j  mod 2^K
 *   capsule    s, in lanes, under the long-term public key (he_bfv)
 *   sum        of both, field by field; S = sum of the keys
 *   opening    x = b_j + a_j S 2^K / q = D m_j + (a small distance)  mod 2^K
 *
 * The mask is rounded first and the message added afterwards, so no rounding error depends on a
 * message: what the opener learns besides the sum is a sum of errors that know nothing of the
 * values.
 */
#include "he_capsule.h"

#include <math.h>

#include "he_bfv.h"
#include "he_crew.h"
#include "he_layout.h"
#include "he_noise.h"

/* Where the three sections of a payload begin. */
struct parts {
    size_t chunk_bytes;
    size_t c0, c1; /* offsets of the capsule */
    size_t used;   /* coefficients of c0 */
};

static struct parts parts_of(const struct he_params *params, size_t n)
{
    struct he_section sections[HE_MAX_SECTIONS];
    he_sections(params, n, sections);
    struct parts p;
    p.chunk_bytes = RING_DEGREE / 8 * params->bits;
    p.c0 = he_section_bytes(&sections[0]);
    p.c1 = p.c0 + he_section_bytes(&sections[1]);
    p.used = sections[1].count;
    return p;
}

static size_t values_in_chunk(const struct he_params *params, size_t n, size_t chunk)
{
    size_t left = n - chunk * params->chunk_params;
    return left < params->chunk_params ? left : params->chunk_params;
}

/* Lanes of values or keys. Parameters come from the chooser, which has asked kern_lanes_init. */
static struct kern_lanes lanes_of(unsigned lanes, uint64_t radix)
{
    struct kern_lanes l = {0};
    (void)kern_lanes_init(&l, lanes, radix);
    return l;
}

/* A frame, as its chunks see it. */
struct job {
    const struct he_params *params;
    const struct he_frame_name *name;
    const uint64_t *key;   /* one-time key or the sum of them, transformed */
    const int32_t *values; /* encrypting */
    int64_t *sums;         /* opening */
    uint8_t *out;          /* encrypting: the payload */
    const uint8_t *in;     /* opening: the payload */
    size_t n;
    uint64_t limit; /* of a sum's magnitude */
    struct parts parts;
    struct kern_lanes lanes;
    struct kern_step step;
};

/* s->a = a_j s mod q, coefficients */
static int masked_product(const struct job *job, size_t chunk, struct he_scratch *s)
{
    const struct kern_ops *ops = kern_get();
    const struct kern_ntt *ring = ring_get(RING_Q);
    uint8_t seed[32];
    he_capsule_seed(job->params, job->name->nonce, job->name->round, job->name->frame,
                    (uint32_t)chunk, seed);
    int rc = he_expand(seed, s->a, s->stream);
    if (rc == 0) {
        ops->mul(s->a, s->a, job->key, RING_DEGREE, &ring->modulus);
        ops->ntt_inv(s->a, ring);
    }
    return rc;
}

/* A fresh one-time key: into the capsule, and transformed into s->key. */
static int new_key(const struct he_params *params, const struct he_public_key *key,
                   struct secret_rng *rng, const struct parts *p, uint8_t *payload,
                   struct he_scratch *s)
{
    const struct kern_ops *ops = kern_get();
    const struct kern_ntt *ring = ring_get(RING_Q);
    struct kern_lanes lanes = lanes_of(params->bfv.lanes, params->bfv.radix);
    int rc = he_sample_cbd(rng, s);
    if (rc != 0) {
        return rc;
    }
    ops->lift_small(s->key, s->small, RING_DEGREE, &ring->modulus);
    ops->ntt_fwd(s->key, ring);
    ops->lanes_pack(s->message, p->used, s->small, RING_DEGREE, &lanes);
    return he_bfv_encrypt(&params->bfv, key, rng, p->used, payload + p->c0, payload + p->c1, s);
}

static int encrypt_chunk(const void *of, size_t j, struct he_worker *w)
{
    const struct kern_ops *ops = kern_get();
    const struct kern_modulus *m = &ring_get(RING_Q)->modulus;
    const struct job *job = of;
    const unsigned bits = job->params->bits;
    struct he_scratch *s = w->scratch;
    int rc = masked_product(job, j, s);
    if (rc == 0) {
        rc = he_sample_cbd(w->rng, s);
    }
    if (rc != 0) {
        return rc;
    }
    ops->neg_add_small(s->a, s->small, RING_DEGREE, m);
    ops->switch_pow2(s->a, RING_DEGREE, &job->step.mask);
    ops->lanes_pack(s->message, RING_DEGREE, job->values + j * job->params->chunk_params,
                    values_in_chunk(job->params, job->n, j), &job->lanes);
    ops->add_step(s->a, s->message, RING_DEGREE, &job->step);
    ops->pack_bits(job->out + j * job->parts.chunk_bytes, s->a, RING_DEGREE, bits);
    return 0;
}

int he_capsule_encrypt(const struct he_params *params, const struct he_public_key *key,
                       struct secret_rng *rng, const struct he_frame_name *name,
                       const int32_t *values, size_t n, uint8_t *payload, struct he_crew *crew)
{
    struct he_scratch *s = he_crew_first(crew)->scratch;
    struct job job = {.params = params,
                      .name = name,
                      .key = s->key, /* no chunk changes it */
                      .values = values,
                      .out = payload,
                      .n = n,
                      .parts = parts_of(params, n),
                      .lanes = lanes_of(params->lanes, params->radix)};
    kern_step_init(&job.step, &ring_get(RING_Q)->modulus, params->bits, params->step, 0);
    int rc = new_key(params, key, rng, &job.parts, payload, s);
    return rc != 0 ? rc : he_crew_encrypt(crew, rng, he_chunks(params, n), encrypt_chunk, &job);
}

/* s->key = the sum of the one-time keys, transformed. @return 0 or all ones, as he_bfv_open */
static uint64_t open_key(const struct he_params *params, const struct he_secret_key *key,
                         uint32_t contributors, const struct parts *p, const uint8_t *payload,
                         struct he_scratch *s)
{
    const struct kern_ops *ops = kern_get();
    const struct kern_ntt *ring = ring_get(RING_Q);
    struct kern_lanes lanes = lanes_of(params->bfv.lanes, params->bfv.radix);
    uint64_t bad = he_bfv_open(&params->bfv, key, contributors, p->used, payload + p->c0,
                               payload + p->c1, s);
    bad |= ops->lanes_unpack(s->digits, RING_DEGREE, s->message, p->used, &lanes,
                             (uint64_t)HE_KEY_MAGNITUDE * contributors);
    for (size_t i = 0; i < RING_DEGREE; i++) {
        s->small[i] = (int32_t)s->digits[i]; /* magnitude at most 21 n */
    }
    ops->lift_small(s->key, s->small, RING_DEGREE, &ring->modulus);
    ops->ntt_fwd(s->key, ring);
    return bad;
}

/* Honest noise of that many payloads in units of 2^-KERN_FRACTION_BITS: one more for the fraction
 * that opening cuts off, one for rounding up. */
static uint64_t distance_limit(const struct he_params *params, uint32_t contributors)
{
    double k = he_noise_tail(params->failure_log2);
    double distance = he_noise_payload(contributors, params->bits, k);
    return (uint64_t)ldexp(distance, KERN_FRACTION_BITS) + 2;
}

static int open_chunk(const void *of, size_t j, struct he_worker *w)
{
    const struct kern_ops *ops = kern_get();
    const struct job *job = of;
    struct he_scratch *s = w->scratch;
    int rc = masked_product(job, j, s);
    if (rc != 0) {
        return rc;
    }
    ops->unpack_bits(s->b, job->in + j * job->parts.chunk_bytes, RING_DEGREE, job->params->bits);
    w->bad |= ops->open_step(s->message, s->b, s->a, RING_DEGREE, &job->step);
    w->bad |= ops->lanes_unpack(job->sums + j * job->params->chunk_params,
                                values_in_chunk(job->params, job->n, j), s->message, RING_DEGREE,
                                &job->lanes, job->limit);
    return 0;
}

int he_capsule_open(const struct he_params *params, const struct he_secret_key *key,
                    const struct he_frame_name *name, uint32_t contributors, const uint8_t *payload,
                    size_t n, int64_t *sums, uint64_t *bad, struct he_crew *crew)
{
    struct he_scratch *s = he_crew_first(crew)->scratch;
    struct job job = {.params = params,
                      .name = name,
                      .key = s->key,
                      .in = payload,
                      .sums = sums,
                      .n = n,
                      .limit = he_value_limit(params->value_bits) * contributors,
                      .parts = parts_of(params, n),
                      .lanes = lanes_of(params->lanes, params->radix)};
    kern_step_init(&job.step, &ring_get(RING_Q)->modulus, params->bits, params->step,
                   distance_limit(params, contributors));
    *bad = open_key(params, key, contributors, &job.parts, payload, s);
    return he_crew_open(crew, he_chunks(params, n), open_chunk, &job, bad);
}
