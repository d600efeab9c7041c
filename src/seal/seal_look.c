/* SPDX-License-Identifier: Apache-2.0 */
/* Tell SEAL's objects apart: see seal_look.h. */
#include "seal_look.h"

#include <string.h>

#include "le.h"
#include "seal_source.h"

/* Of what follows the header. */
enum {
    PARAMS_NESTED = 17, /* scheme 1, N 8, K 8 */
    PLAIN_NESTED = 48,  /* parms_id 32, count 8, scale 8 */
    CIPHER_NESTED = 65, /* parms_id 32, flag 1, three numbers 24, scale 8; since 4.0 8 more */
    LOOKED_AT = CIPHER_NESTED + 8 + 3,
};

const char *seal_kind_name(enum seal_kind kind)
{
    switch (kind) {
    case SEAL_KIND_PARAMS:
        return "parameters";
    case SEAL_KIND_PLAIN:
        return "BFV plaintext";
    case SEAL_KIND_SECRET:
        return "secret key";
    case SEAL_KIND_CKKS_PLAIN:
        return "CKKS plaintext";
    case SEAL_KIND_CIPHER:
        return "ciphertext or public key";
    }
    return "unknown";
}

static bool nested_at(const uint8_t *body, size_t at)
{
    return body[at] == 0x5e && body[at + 1] == 0xa1 && body[at + 2] == SEAL_HEADER_SIZE;
}

bool seal_look_begins(struct span bytes)
{
    return bytes.size >= SEAL_HEADER_SIZE && nested_at(bytes.data, 0);
}

_Static_assert((int)SEAL_LOOK_HEADER == (int)SEAL_HEADER_SIZE, "one header");

uint64_t seal_look_size(const uint8_t header[SEAL_LOOK_HEADER])
{
    const uint64_t size = le_get64(header + 8);
    return nested_at(header, 0) && size >= SEAL_HEADER_SIZE ? size : 0;
}

static bool is_zero(const uint8_t *bytes, size_t size)
{
    uint8_t any = 0;
    for (size_t i = 0; i < size; i++) {
        any |= bytes[i];
    }
    return any == 0;
}

static void look_at_plain(const uint8_t *body, struct seal_look *out)
{
    uint64_t bits = le_get64(body + SEAL_ID_SIZE + 8);
    memcpy(&out->scale, &bits, sizeof bits);
    memcpy(out->id, body, SEAL_ID_SIZE);
    out->words = le_get64(body + SEAL_ID_SIZE);
    out->kind = is_zero(out->id, SEAL_ID_SIZE) ? SEAL_KIND_PLAIN
                : out->scale == 1.0            ? SEAL_KIND_SECRET
                                               : SEAL_KIND_CKKS_PLAIN;
}

static void look_at_cipher(const uint8_t *body, struct seal_look *out)
{
    const uint8_t *numbers = body + SEAL_ID_SIZE + 1;
    uint64_t bits = le_get64(numbers + 24);
    memcpy(&out->scale, &bits, sizeof bits);
    memcpy(out->id, body, SEAL_ID_SIZE);
    out->ntt = body[SEAL_ID_SIZE] != 0;
    out->polynomials = le_get64(numbers);
    out->degree = le_get64(numbers + 8);
    out->primes = le_get64(numbers + 16);
    out->kind = SEAL_KIND_CIPHER;
}

/* Each draws as far as its kind needs, for a shorter object has no more. */
static int look_at_body(struct seal_source *s, struct seal_look *out)
{
    uint8_t body[LOOKED_AT] = {0};
    int rc = seal_source_bytes(s, "beginning", body, PARAMS_NESTED + 3);
    if (rc == 0 && nested_at(body, PARAMS_NESTED) && body[0] <= SEAL_CKKS && body[0] != 0) {
        out->kind = SEAL_KIND_PARAMS;
        out->scheme = (enum seal_scheme)body[0];
        out->degree = le_get64(body + 1);
        out->primes = le_get64(body + 9);
        return 0;
    }
    if (rc == 0) {
        rc = seal_source_bytes(s, "beginning", body + PARAMS_NESTED + 3,
                               PLAIN_NESTED - PARAMS_NESTED);
    }
    if (rc == 0 && nested_at(body, PLAIN_NESTED)) {
        look_at_plain(body, out);
        return 0;
    }
    if (rc == 0) {
        rc = seal_source_bytes(s, "beginning", body + PLAIN_NESTED + 3,
                               LOOKED_AT - PLAIN_NESTED - 3);
    }
    if (rc == 0 && nested_at(body, s->major == 3 ? CIPHER_NESTED : CIPHER_NESTED + 8)) {
        look_at_cipher(body, out);
        return 0;
    }
    return rc != 0 ? rc
                   : seal_source_fail(s, CAIRN_ERR_REFUSED, "layout",
                                      "parameters, a key, a plaintext or a ciphertext", "another");
}

int seal_look(struct span bytes, size_t *consumed, struct seal_look *out,
              struct cairn_problem *why)
{
    struct seal_source s;
    struct seal_look look = {0};
    int rc = seal_source_open(&s, "object", true, bytes, consumed, why);
    if (rc == 0) {
        look.major = s.major;
        look.minor = s.minor;
        look.compression = (enum seal_compression)bytes.data[5];
        rc = look_at_body(&s, &look);
    }
    if (rc == 0) {
        *out = look;
        *consumed = s.stored;
    }
    seal_source_close(&s);
    return rc;
}
