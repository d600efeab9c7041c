/* SPDX-License-Identifier: Apache-2.0 */
#include "he_key_header.h"

#include <string.h>

#include "digest.h"
#include "kern.h"
#include "le.h"
#include "secret.h"

static void key_digest(const struct he_key_kind *kind, const uint8_t *bytes,
                       uint8_t out[DIGEST_SIZE])
{
    struct digest_state state;
    digest_init(&state);
    digest_update(&state, kind->label, sizeof kind->label);
    digest_update(&state, bytes, kind->size - DIGEST_SIZE);
    digest_final(&state, out);
    secret_wipe(&state, sizeof state);
}

void he_key_begin(const struct he_key_kind *kind, const uint8_t words[HE_KEY_WORDS],
                  uint8_t *bytes)
{
    memset(bytes, 0, kind->size);
    memcpy(bytes, kind->magic, sizeof kind->magic);
    le_put16(bytes + 4, kind->version);
    le_put32(bytes + 8, kind->size);
    le_put32(bytes + 12, kind->degree);
    for (unsigned p = 0; p < kind->primes; p++) {
        le_put64(bytes + HE_KEY_WORDS_AT(p), kind->moduli[p]);
    }
    memcpy(bytes + HE_KEY_WORDS_AT(kind->primes), words, HE_KEY_WORDS);
}

void he_key_end(const struct he_key_kind *kind, uint8_t *bytes)
{
    key_digest(kind, bytes, bytes + kind->size - DIGEST_SIZE);
}

static int same_ring(const struct he_key_kind *kind, const uint8_t *bytes)
{
    int same = le_get32(bytes + 12) == kind->degree;
    for (unsigned p = 0; p < kind->primes; p++) {
        same = same && le_get64(bytes + HE_KEY_WORDS_AT(p)) == kind->moduli[p];
    }
    return same;
}

int he_key_check(const struct he_key_kind *kind, struct span bytes, struct cairn_problem *why)
{
    if (bytes.size != kind->size || memcmp(bytes.data, kind->magic, sizeof kind->magic) != 0 ||
        le_get32(bytes.data + 8) != kind->size) {
        return problem_set(why, CAIRN_ERR_MALFORMED, kind->hint,
                           "not a %s: %zu bytes where %u are expected", kind->name, bytes.size,
                           kind->size);
    }
    if (le_get16(bytes.data + 4) != kind->version || le_get16(bytes.data + 6) != 0) {
        return problem_set(why, CAIRN_ERR_MALFORMED, "use the same version of cairn everywhere",
                           "%s of version %u, this program reads version %u at degree %u",
                           kind->name, (unsigned)le_get16(bytes.data + 4),
                           (unsigned)kind->version, kind->degree);
    }
    if (!same_ring(kind, bytes.data)) {
        return problem_set(why, CAIRN_ERR_MALFORMED, kind->hint, "%s of another ring", kind->name);
    }
    uint8_t digest[DIGEST_SIZE];
    key_digest(kind, bytes.data, digest);
    if (!secret_equal(digest, bytes.data + kind->size - DIGEST_SIZE, DIGEST_SIZE)) {
        return problem_set(why, CAIRN_ERR_INTEGRITY, kind->hint,
                           "the %s's digest does not match: it is damaged", kind->name);
    }
    return 0;
}

bool he_key_is(const struct he_key_kind *kind, struct span bytes)
{
    return bytes.size == kind->size && memcmp(bytes.data, kind->magic, sizeof kind->magic) == 0;
}

void he_key_pack_secret(uint8_t *fields, uint64_t *residues, size_t n, unsigned top)
{
    for (size_t i = 0; i < n; i++) {
        residues[i] = (residues[i] & 1) | (residues[i] >> top & 1) << 1;
    }
    kern_get()->pack_bits(fields, residues, n, HE_KEY_TRIT_BITS);
}

uint64_t he_key_unpack_secret(const uint8_t *fields, size_t n, uint64_t most, int32_t *coefficients,
                              uint64_t *work)
{
    uint64_t bad = 0, weight = 0;
    kern_get()->unpack_bits(work, fields, n, HE_KEY_TRIT_BITS);
    for (size_t i = 0; i < n; i++) {
        const uint64_t plus = work[i] & 1, minus = work[i] >> 1;
        bad |= plus & minus;
        weight += plus + minus;
        coefficients[i] = (int32_t)plus - (int32_t)minus;
    }
    return bad | (most - weight) >> 63;
}
