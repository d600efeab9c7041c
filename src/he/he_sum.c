/* SPDX-License-Identifier: Apache-2.0 */
/* The layout of a payload, and adding two of them. Nothing here is secret or knows a key. */
#include "he_ckks.h"
#include "he_layout.h"
#include "kern_prime.h"
#include "kern_wide128.h"

unsigned he_sections(const struct he_params *params, size_t n,
                     struct he_section sections[HE_MAX_SECTIONS])
{
    size_t chunks = he_chunks(params, n);
    switch (params->profile) {
    case HE_NONE:
        sections[0] = (struct he_section){params->bits, he_plain_fields(params, n), 0};
        return 1;
    case HE_BFV:
        sections[0] = (struct he_section){params->bfv.bits0, chunks * params->degree, 0};
        sections[1] = (struct he_section){params->bfv.bits1, chunks * params->degree, 0};
        return 2;
    case HE_CAPSULE:
        sections[0] = (struct he_section){params->bits, chunks * params->degree, 0};
        sections[1] = (struct he_section){
            params->bfv.bits0, he_key_coefficients_of(params->degree, params->bfv.lanes), 0};
        sections[2] = (struct he_section){params->bfv.bits1, params->degree, 0};
        return 3;
    case HE_SEAL_CKKS:
        for (unsigned i = 0; i < 2 * HE_CKKS_LEVEL; i++) {
            const unsigned k = i % HE_CKKS_LEVEL; /* of c0, then of c1 */
            sections[i] = (struct he_section){he_ckks_prime_bits[k], chunks * params->degree,
                                              he_ckks_primes[k]};
        }
        return 2 * HE_CKKS_LEVEL;
    }
    return 0;
}

size_t he_payload_bytes(const struct he_params *params, size_t n)
{
    struct he_section sections[HE_MAX_SECTIONS];
    unsigned count = he_sections(params, n, sections);
    size_t bytes = 0;
    for (unsigned i = 0; i < count; i++) {
        bytes += he_section_bytes(&sections[i]);
    }
    return bytes;
}

int he_check_fields(const struct he_params *params, size_t n, const uint8_t *payload,
                    struct cairn_problem *why)
{
    struct he_section sections[HE_MAX_SECTIONS];
    unsigned count = he_sections(params, n, sections);
    for (unsigned i = 0; i < count; i++) {
        const struct he_section *s = &sections[i];
        size_t bytes = he_section_bytes(s), at;
        if (s->modulus != 0 &&
            !kern_prime_check_packed(payload, bytes, s->bits, s->modulus, &at)) {
            return problem_set(why, CAIRN_ERR_REFUSED, "the sender is broken, or lies",
                               "payload section %u: field %zu is not below its modulus %llu", i, at,
                               (unsigned long long)s->modulus);
        }
        payload += bytes;
    }
    return 0;
}

static void add_section(const struct he_section *s, uint8_t *sum, const uint8_t *in, size_t bytes)
{
    if (s->modulus != 0) {
        kern_prime_add_packed(sum, in, bytes, s->bits, s->modulus);
    } else if (s->bits > 64) {
        kern_wide_add_packed(sum, in, bytes, s->bits);
    } else {
        kern_get()->add_packed(sum, in, bytes, s->bits);
    }
}

void he_add(const struct he_params *params, size_t n, uint8_t *sum, const uint8_t *payload)
{
    struct he_section sections[HE_MAX_SECTIONS];
    unsigned count = he_sections(params, n, sections);
    for (unsigned i = 0; i < count; i++) {
        size_t bytes = he_section_bytes(&sections[i]);
        add_section(&sections[i], sum, payload, bytes);
        sum += bytes;
        payload += bytes;
    }
}
