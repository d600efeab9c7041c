/* SPDX-License-Identifier: Apache-2.0 */
/* Encrypting and opening a frame: what the profiles have in common, and profiles none and bfv. */
#include <string.h>

#include "he_bfv.h"
#include "he_capsule.h"
#include "he_ckks.h"
#include "he_crew.h"
#include "he_declassify.h"
#include "he_layout.h"
#include "he_wide.h"
#include "le.h"

static const char size_hint[] = "cut the model into smaller frames";

/* 1 if |v| > limit */
static uint64_t is_outside(int64_t limit, int32_t v)
{
    return ((uint64_t)(limit - v) | (uint64_t)(limit + v)) >> 63;
}

/* There is one. Only a frame that is refused is searched. */
static size_t first_outside(int64_t limit, const int32_t *values)
{
    for (size_t at = 0;; at++) {
        uint64_t found = is_outside(limit, values[at]);
        he_declassify(&found, sizeof found); /* the frame's own client is told the place */
        if (found != 0) {
            return at;
        }
    }
}

/* All values are looked at, without a branch. */
static int check_values(const struct he_params *params, const int32_t *values, size_t n,
                        struct cairn_problem *why)
{
    const int64_t limit = (int64_t)he_value_limit(params->value_bits);
    uint64_t outside = 0;
    for (size_t i = 0; i < n; i++) {
        outside |= is_outside(limit, values[i]);
    }
    he_declassify(&outside, sizeof outside); /* the caller sees success or failure */
    if (outside == 0) {
        return 0;
    }
    return problem_set(why, CAIRN_ERR_REFUSED, "quantise with the value_bits of the parameters",
                       "value %zu of the frame is outside +-%lld", first_outside(limit, values),
                       (long long)limit);
}

static int check_size(const struct he_params *params, size_t n, struct cairn_problem *why)
{
    if (n == 0 || (params->profile != HE_NONE && he_chunks(params, n) > HE_MAX_CHUNKS)) {
        return problem_set(why, CAIRN_ERR_REFUSED, size_hint,
                           "a frame of %zu values; 1 to %zu are possible", n,
                           params->chunk_params * HE_MAX_CHUNKS);
    }
    return 0;
}

/* ---- profile none ---- */

/* Fields that are packed at once; a multiple of 8, so that they fill whole bytes. */
enum { PLAIN_RUN = 512 };

/* Fields of any width (he_params_plain). */
static void packed_write(const struct he_params *params, const int32_t *values, size_t n,
                         uint8_t *payload)
{
    const uint64_t mask = UINT64_MAX >> (64 - params->bits);
    uint64_t fields[PLAIN_RUN];
    for (size_t at = 0; at < n; at += PLAIN_RUN) {
        const size_t here = n - at < PLAIN_RUN ? n - at : PLAIN_RUN;
        const size_t filled = he_plain_fields(params, here);
        for (size_t i = 0; i < filled; i++) {
            fields[i] = i < here ? (uint64_t)(int64_t)values[at + i] & mask : 0;
        }
        kern_get()->pack_bits(payload + at / 8 * params->bits, fields, filled, params->bits);
    }
}

static void none_write(const struct he_params *params, const int32_t *values, size_t n,
                       uint8_t *payload)
{
    if (params->bits != 32 && params->bits != 64) {
        packed_write(params, values, n, payload);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (params->bits == 32) {
            le_put32(payload + 4 * i, (uint32_t)values[i]);
        } else {
            le_put64(payload + 8 * i, (uint64_t)(int64_t)values[i]);
        }
    }
}

/* @return 0, or all ones if a field behind the last value is not 0 */
static uint64_t packed_read(const struct he_params *params, const uint8_t *payload, size_t n,
                            int64_t *sums)
{
    const uint64_t sign = UINT64_C(1) << (params->bits - 1);
    uint64_t fields[PLAIN_RUN], rest = 0;
    for (size_t at = 0; at < n; at += PLAIN_RUN) {
        const size_t here = n - at < PLAIN_RUN ? n - at : PLAIN_RUN;
        const size_t filled = he_plain_fields(params, here);
        kern_get()->unpack_bits(fields, payload + at / 8 * params->bits, filled, params->bits);
        for (size_t i = 0; i < here; i++) {
            sums[at + i] = (int64_t)((fields[i] ^ sign) - sign);
        }
        for (size_t i = here; i < filled; i++) {
            rest |= fields[i];
        }
    }
    return 0 - (uint64_t)(rest != 0);
}

static uint64_t none_read(const struct he_params *params, const uint8_t *payload, size_t n,
                          int64_t *sums)
{
    if (params->bits != 32 && params->bits != 64) {
        return packed_read(params, payload, n, sums);
    }
    for (size_t i = 0; i < n; i++) {
        sums[i] = params->bits == 32 ? (int32_t)le_get32(payload + 4 * i)
                                     : (int64_t)le_get64(payload + 8 * i);
    }
    return 0;
}

static uint64_t none_open(const struct he_params *params, uint32_t contributors,
                          const uint8_t *payload, size_t n, int64_t *sums)
{
    const int64_t limit = (int64_t)(he_value_limit(params->value_bits) * contributors);
    uint64_t bad = none_read(params, payload, n, sums);
    for (size_t i = 0; i < n; i++) {
        bad |= 0 - (uint64_t)(sums[i] > limit || sums[i] < -limit);
    }
    return bad;
}

/* ---- profile bfv ---- */

/* The lane words of one chunk, and where its two halves lie. */
struct bfv_chunk {
    size_t first, count; /* values */
    uint8_t *c0, *c1;
};

static struct bfv_chunk bfv_chunk_of(const struct he_params *params, size_t n, size_t j,
                                     uint8_t *payload)
{
    struct bfv_chunk c;
    c.first = j * params->chunk_params;
    c.count = n - c.first < params->chunk_params ? n - c.first : params->chunk_params;
    c.c0 = payload + j * (RING_DEGREE / 8 * params->bfv.bits0);
    c.c1 = payload + he_chunks(params, n) * (RING_DEGREE / 8 * params->bfv.bits0) +
           j * (RING_DEGREE / 8 * params->bfv.bits1);
    return c;
}

/* A frame under profile bfv, as its chunks see it. */
struct bfv_job {
    const struct he_params *params;
    const struct he_public_key *key;    /* encrypting */
    const struct he_secret_key *secret; /* opening */
    const int32_t *values;
    int64_t *sums;
    uint8_t *payload; /* opening: only read */
    size_t n;
    uint32_t contributors;
    struct kern_lanes lanes;
};

static int bfv_encrypt_chunk(const void *of, size_t j, struct he_worker *w)
{
    const struct bfv_job *job = of;
    struct he_scratch *s = w->scratch;
    const struct bfv_chunk c = bfv_chunk_of(job->params, job->n, j, job->payload);
    kern_get()->lanes_pack(s->message, RING_DEGREE, job->values + c.first, c.count, &job->lanes);
    return he_bfv_encrypt(&job->params->bfv, job->key, w->rng, RING_DEGREE, c.c0, c.c1, s);
}

static int bfv_open_chunk(const void *of, size_t j, struct he_worker *w)
{
    const struct bfv_job *job = of;
    struct he_scratch *s = w->scratch;
    const struct bfv_chunk c = bfv_chunk_of(job->params, job->n, j, job->payload);
    const uint64_t limit = he_value_limit(job->params->value_bits) * job->contributors;
    w->bad |=
        he_bfv_open(&job->params->bfv, job->secret, job->contributors, RING_DEGREE, c.c0, c.c1, s);
    w->bad |= kern_get()->lanes_unpack(job->sums + c.first, c.count, s->message, RING_DEGREE,
                                       &job->lanes, limit);
    return 0;
}

static int bfv_encrypt(const struct he_params *params, const struct he_public_key *key,
                       struct secret_rng *rng, const int32_t *values, size_t n, uint8_t *payload,
                       struct he_crew *crew)
{
    struct bfv_job job = {
        .params = params, .key = key, .values = values, .payload = payload, .n = n};
    (void)kern_lanes_init(&job.lanes, params->lanes, params->radix); /* the chooser has asked */
    return he_crew_encrypt(crew, rng, he_chunks(params, n), bfv_encrypt_chunk, &job);
}

static int bfv_open(const struct he_params *params, const struct he_secret_key *key,
                    uint32_t contributors, const uint8_t *payload, size_t n, int64_t *sums,
                    uint64_t *bad, struct he_crew *crew)
{
    struct bfv_job job = {.params = params,
                          .secret = key,
                          .payload = (uint8_t *)(uintptr_t)payload,
                          .sums = sums,
                          .n = n,
                          .contributors = contributors};
    (void)kern_lanes_init(&job.lanes, params->lanes, params->radix);
    return he_crew_open(crew, he_chunks(params, n), bfv_open_chunk, &job, bad);
}

/* ---- all of them ---- */

static int encrypt(const struct he_params *params, const struct he_public_key *key,
                   struct secret_rng *rng, struct he_crew *given, const struct he_frame_name *name,
                   const int32_t *values, size_t n, uint8_t *payload)
{
    struct he_crew *crew = NULL;
    if (params->profile == HE_NONE) {
        none_write(params, values, n, payload);
        return 0;
    }
    int rc = he_crew_enter(params, given, &crew);
    if (rc != 0) {
        return rc;
    }
    if (he_is_ckks(params)) {
        rc = he_ckks_encrypt(params, key, rng, values, n, payload, crew);
    } else if (he_is_wide(params)) {
        rc = he_wide_encrypt(params, key, rng, name, values, n, payload, crew);
    } else if (params->profile == HE_BFV) {
        rc = bfv_encrypt(params, key, rng, values, n, payload, crew);
    } else {
        rc = he_capsule_encrypt(params, key, rng, name, values, n, payload, crew);
    }
    he_crew_leave(crew, given);
    return rc;
}

int he_encrypt(const struct he_params *params, const struct he_public_key *key,
               struct secret_rng *rng, struct he_crew *crew, const uint8_t nonce[HE_NONCE_SIZE],
               uint32_t round, uint32_t frame, const int32_t *values, size_t n, uint8_t *payload,
               struct cairn_problem *why)
{
    const struct he_frame_name name = {nonce, round, frame};
    int rc = check_size(params, n, why);
    if (rc != 0) {
        return rc; /* there is no payload of such a size */
    }
    rc = check_values(params, values, n, why);
    if (rc == 0) {
        rc = he_check_public_key(params, key, why);
    }
    if (rc == 0) {
        rc = encrypt(params, key, rng, crew, &name, values, n, payload);
        if (rc != 0) {
            problem_set(why, rc, NULL, "cannot encrypt a frame: %s", cairn_error_sentence(rc));
        }
    }
    if (rc != 0) {
        memset(payload, 0, he_payload_bytes(params, n));
    }
    return rc;
}

static int open_payload(const struct he_params *params, const struct he_secret_key *secret,
                        struct he_crew *given, const struct he_frame_name *name,
                        uint32_t contributors, const uint8_t *payload, size_t n, int64_t *sums,
                        uint64_t *bad)
{
    struct he_crew *crew = NULL;
    if (params->profile == HE_NONE) {
        *bad = none_open(params, contributors, payload, n, sums);
        return 0;
    }
    int rc = he_crew_enter(params, given, &crew);
    if (rc != 0) {
        return rc;
    }
    if (he_is_ckks(params)) {
        rc = he_ckks_open(params, secret, contributors, payload, n, sums, bad, crew);
    } else if (he_is_wide(params)) {
        rc = he_wide_open(params, secret, name, contributors, payload, n, sums, bad, crew);
    } else if (params->profile == HE_BFV) {
        rc = bfv_open(params, secret, contributors, payload, n, sums, bad, crew);
    } else {
        rc = he_capsule_open(params, secret, name, contributors, payload, n, sums, bad, crew);
    }
    he_crew_leave(crew, given);
    return rc;
}

int he_open(const struct he_params *params, const struct he_secret_key *secret,
            struct he_crew *crew, const uint8_t nonce[HE_NONCE_SIZE], uint32_t round,
            uint32_t frame, uint32_t contributors, const uint8_t *payload, size_t n, int64_t *sums,
            struct cairn_problem *why)
{
    const struct he_frame_name name = {nonce, round, frame};
    uint64_t bad = 0;
    int rc = 0;
    if (contributors < 1 || contributors > params->max_contributors) {
        rc = problem_set(why, CAIRN_ERR_REFUSED, "the parameters fix the most clients of a sum",
                         "a sum of %u payloads; these parameters open 1 to %u", contributors,
                         params->max_contributors);
    }
    if (rc == 0) {
        rc = check_size(params, n, why);
    }
    if (rc == 0) {
        rc = he_check_secret_key(params, secret, why);
    }
    if (rc == 0) {
        rc = open_payload(params, secret, crew, &name, contributors, payload, n, sums, &bad);
        if (rc != 0) {
            problem_set(why, rc, NULL, "cannot open a frame: %s", cairn_error_sentence(rc));
        }
    }
    he_declassify(&bad, sizeof bad); /* the caller sees success or failure, and no more */
    if (bad != 0) {
        rc = problem_set(why, CAIRN_ERR_INTEGRITY, "the frame is discarded",
                         "not an honest sum of that many payloads");
    }
    if (rc != 0 && n < SIZE_MAX / sizeof *sums) {
        memset(sums, 0, n * sizeof *sums);
    }
    return rc;
}
