/* SPDX-License-Identifier: Apache-2.0 */
/* The layout of a payload, and adding two of them. Nothing here is secret or knows a key. */
#include "he_layout.h"
#include "kern_wide128.h"

unsigned he_sections(const struct he_params *params, size_t n,
                     struct he_section sections[HE_MAX_SECTIONS])
{
    size_t chunks = he_chunks(params, n);
    switch (params->profile) {
    case HE_NONE:
        sections[0] = (struct he_section){params->bits, n};
        return 1;
    case HE_BFV:
        sections[0] = (struct he_section){params->bfv.bits0, chunks * params->degree};
        sections[1] = (struct he_section){params->bfv.bits1, chunks * params->degree};
        return 2;
    case HE_CAPSULE:
        sections[0] = (struct he_section){params->bits, chunks * params->degree};
        sections[1] = (struct he_section){
            params->bfv.bits0, he_key_coefficients_of(params->degree, params->bfv.lanes)};
        sections[2] = (struct he_section){params->bfv.bits1, params->degree};
        return 3;
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

void he_add(const struct he_params *params, size_t n, uint8_t *sum, const uint8_t *payload)
{
    const struct kern_ops *ops = kern_get();
    struct he_section sections[HE_MAX_SECTIONS];
    unsigned count = he_sections(params, n, sections);
    for (unsigned i = 0; i < count; i++) {
        size_t bytes = he_section_bytes(&sections[i]);
        if (sections[i].bits > 64) {
            kern_wide_add_packed(sum, payload, bytes, sections[i].bits);
        } else {
            ops->add_packed(sum, payload, bytes, sections[i].bits);
        }
        sum += bytes;
        payload += bytes;
    }
}
