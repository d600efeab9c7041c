/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a capsule that leave cairn: see he_export.h, and seal_bridge.h for where they go. */
#include "he_export.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "digest.h"
#include "he_bfv.h"
#include "he_layout.h"
#include "he_noise.h"
#include "he_sample.h"
#include "he_wide.h"
#include "secret.h"
#include "sizes.h"

enum { MAX_WIRE_BITS = 50 }; /* bit length of q */

static int refuse_wide(const struct he_params *params, struct cairn_problem *why)
{
    return problem_set(why, CAIRN_ERR_CONFIG, "fewer value_bits or fewer clients take N = 2048",
                       "parameters %s: other programs open sets of N = 2048 only", params->id);
}

/* Bits T with r^L <= 2^T. */
static unsigned bits_of_words(const struct he_params *params)
{
    uint64_t span = 1; /* r^L < 2^50, the chooser has asked kern_lanes_init */
    for (unsigned j = 0; j < params->lanes; j++) {
        span *= params->radix;
    }
    return 64 - (unsigned)__builtin_clzll(span - 1);
}

/* log2 of the bound on a wrong sum, and that a wrong set is told from an honest one but for
 * 2^-128: the chooser's two rules for K and D. */
static bool keeps_promise(const struct he_params *params, unsigned bits, uint64_t step,
                          double *failure)
{
    uint32_t n = params->max_contributors;
    if (step <= n) {
        return false; /* rounding alone may reach half a step */
    }
    double room = ((double)step - n) / 2 * ldexp((double)params->modulus, -(int)bits);
    *failure = he_noise_payload_failure(n, room);
    double reach = he_noise_payload(n, bits, he_noise_tail(params->failure_log2));
    double wrong_set = RING_DEGREE * log2(2 * reach / (double)step);
    return *failure <= params->failure_log2 && wrong_set <= -128;
}

int he_export_params(const struct he_params *params, struct he_params *out, unsigned *plain_bits,
                     struct cairn_problem *why)
{
    if (he_is_wide(params)) {
        return refuse_wide(params, why);
    }
    struct he_params p = *params;
    double failure = 0;
    unsigned word_bits = p.profile == HE_CAPSULE ? bits_of_words(&p) : MAX_WIRE_BITS;
    p.bits = word_bits;
    do {
        p.bits++;
        p.step = UINT64_C(1) << (p.bits - word_bits);
    } while (p.bits <= MAX_WIRE_BITS && !keeps_promise(params, p.bits, p.step, &failure));
    if (p.bits > MAX_WIRE_BITS) {
        return problem_set(why, CAIRN_ERR_CONFIG, "use fewer value_bits or fewer clients",
                           "no step that is a power of two keeps the promises of %s", params->id);
    }
    p.failure_log2 = log2(exp2(failure) + exp2(p.bfv.failure_log2));
    p.bits_per_param = (double)p.bits / p.lanes;
    (void)snprintf(p.id, sizeof p.id, "capsule-%zu-50-b%u-n%u-L%u-K%u-T%u-key-L%u-K%u+%u", p.degree,
                   p.value_bits, p.max_contributors, p.lanes, p.bits, word_bits, p.bfv.lanes,
                   p.bfv.bits0, p.bfv.bits1);
    uint8_t digest[DIGEST_SIZE];
    digest_of(p.id, strlen(p.id), digest);
    p.short_id = (uint16_t)(digest[0] | digest[1] << 8);
    *out = p;
    *plain_bits = word_bits;
    return 0;
}

int he_export_chunk_polynomial(const struct he_params *params, const uint8_t nonce[HE_NONCE_SIZE],
                               uint32_t round, uint32_t frame, uint32_t chunk,
                               uint64_t *coefficients, struct cairn_problem *why)
{
    if (he_is_wide(params)) {
        return refuse_wide(params, why);
    }
    uint8_t seed[32];
    uint8_t *stream = size_alloc_array(8, RING_DEGREE);
    uint64_t *a = size_alloc_array(RING_DEGREE, sizeof *a);
    int rc = CAIRN_ERR_NO_MEMORY;
    if (stream != NULL && a != NULL) {
        he_capsule_seed(params, nonce, round, frame, chunk, seed);
        rc = he_expand(seed, a, stream);
    }
    if (rc == 0) {
        kern_get()->ntt_inv(a, ring_get(RING_Q));
        memcpy(coefficients, a, RING_DEGREE * sizeof *a);
    } else {
        problem_set(why, rc, NULL, "cannot expand a public polynomial: %s",
                    cairn_error_sentence(rc));
    }
    free(stream);
    free(a);
    return rc;
}

/* s->key = the sum of the keys, transformed. @return 0 or all ones, as he_bfv_open */
static uint64_t summed_key(const struct he_params *params, const struct he_secret_key *secret,
                           uint32_t contributors, const uint8_t *payload, size_t n,
                           struct he_scratch *s)
{
    const struct kern_ops *ops = kern_get();
    const struct kern_ntt *ring = ring_get(RING_Q);
    struct he_section sections[HE_MAX_SECTIONS];
    he_sections(params, n, sections);
    const uint8_t *c0 = payload + he_section_bytes(&sections[0]);
    const uint8_t *c1 = c0 + he_section_bytes(&sections[1]);
    const size_t used = sections[1].count;
    struct kern_lanes lanes = {0};
    (void)kern_lanes_init(&lanes, params->bfv.lanes, params->bfv.radix); /* the chooser has asked */

    uint64_t bad = he_bfv_open(&params->bfv, secret, contributors, used, c0, c1, s);
    bad |= ops->lanes_unpack(s->digits, RING_DEGREE, s->message, used, &lanes,
                             (uint64_t)HE_KEY_MAGNITUDE * contributors);
    for (size_t i = 0; i < RING_DEGREE; i++) {
        s->small[i] = (int32_t)s->digits[i]; /* magnitude at most 21 n */
    }
    ops->lift_small(s->key, s->small, RING_DEGREE, &ring->modulus);
    ops->ntt_fwd(s->key, ring);
    return bad;
}

int he_export_summed_key(const struct he_params *params, const struct he_secret_key *secret,
                         uint32_t contributors, const uint8_t *payload, size_t n, uint64_t *key,
                         struct cairn_problem *why)
{
    memset(key, 0, RING_DEGREE * sizeof *key);
    if (he_is_wide(params)) {
        return refuse_wide(params, why);
    }
    if (params->profile != HE_CAPSULE || contributors < 1 ||
        contributors > params->max_contributors || n < 1) {
        return problem_set(why, CAIRN_ERR_REFUSED, NULL,
                           "a sum of %u payloads of profile %s; profile capsule and 1 to %u have a "
                           "summed key",
                           contributors, he_profile_name(params->profile),
                           params->max_contributors);
    }
    struct he_scratch *s = he_scratch_new();
    if (s == NULL) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory to open a capsule");
    }
    uint64_t bad = summed_key(params, secret, contributors, payload, n, s);
    if (bad == 0) {
        memcpy(key, s->key, sizeof s->key);
    }
    he_scratch_free(s);
    return bad == 0 ? 0
                    : problem_set(why, CAIRN_ERR_INTEGRITY, "the frame is discarded",
                                  "not an honest sum of that many payloads");
}
