/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EncryptionParameters as bytes:
 *
 *   header 16 | scheme u8 | N u64 | K u64 | K x Modulus | Modulus of the plaintext (0: none)
 *   Modulus: header 16 | value u64
 */
#include "seal_source.h"

enum { FIXED_SIZE = 57, MODULUS_SIZE = 24 };

/* SEAL's own range; whether it is prime and fits is seal_context_new's question. */
static const uint64_t modulus_end = UINT64_C(1) << 61;

static int read_modulus(struct seal_source *s, const char *field, uint64_t *out)
{
    int rc = seal_source_nested(s, field, MODULUS_SIZE);
    if (rc == 0) {
        rc = seal_source_u64(s, field, out);
    }
    if (rc == 0 && (*out == 1 || *out >= modulus_end)) {
        rc = seal_source_fail(s, CAIRN_ERR_MALFORMED, field, "0 or 2 up to 2^61-1", "%llu",
                              (unsigned long long)*out);
    }
    return rc;
}

static int read_scheme(struct seal_source *s, struct seal_params *p)
{
    uint8_t scheme = 0;
    int rc = seal_source_u8(s, "scheme", &scheme);
    if (rc == 0 && scheme > 3) {
        rc = seal_source_fail(s, CAIRN_ERR_MALFORMED, "scheme", "0 to 3", "%u", (unsigned)scheme);
    }
    if (rc == 0 && scheme != SEAL_BFV && scheme != SEAL_CKKS) {
        rc = seal_source_fail(s, CAIRN_ERR_REFUSED, "scheme", "BFV (1) or CKKS (2)", "%u",
                              (unsigned)scheme);
    }
    p->scheme = (enum seal_scheme)scheme;
    return rc;
}

static int read_degree(struct seal_source *s, struct seal_params *p)
{
    uint64_t n = 0;
    int rc = seal_source_u64(s, "degree", &n);
    if (rc == 0 && (n < 2 || n > UINT64_C(131072) || (n & (n - 1)) != 0)) {
        rc = seal_source_fail(s, CAIRN_ERR_MALFORMED, "degree", "a power of two from 2 to 131072",
                              "%llu", (unsigned long long)n);
    }
    if (rc == 0 && (n < SEAL_MIN_DEGREE || n > SEAL_MAX_DEGREE)) {
        rc = seal_source_fail(s, CAIRN_ERR_REFUSED, "degree", "8 to 32768", "%llu",
                              (unsigned long long)n);
    }
    p->degree = (size_t)n;
    return rc;
}

static int read_moduli(struct seal_source *s, struct seal_params *p)
{
    uint64_t k = 0;
    int rc = seal_source_u64(s, "number of primes", &k);
    if (rc == 0 && (k < 1 || k > SEAL_MAX_PRIMES)) {
        rc = seal_source_fail(s, CAIRN_ERR_REFUSED, "number of primes", "1 to 64", "%llu",
                              (unsigned long long)k);
    }
    for (uint64_t j = 0; rc == 0 && j < k; j++) {
        rc = read_modulus(s, "coefficient modulus", &p->q[j]);
    }
    p->primes = (unsigned)k;
    return rc;
}

int seal_params_read(struct span bytes, size_t *consumed, struct seal_params *out,
                     struct cairn_problem *why)
{
    struct seal_source s;
    struct seal_params p = {0};
    int rc = seal_source_open(&s, "parameters", false, bytes, consumed, why);
    if (rc == 0) {
        rc = read_scheme(&s, &p);
    }
    if (rc == 0) {
        rc = read_degree(&s, &p);
    }
    if (rc == 0) {
        rc = read_moduli(&s, &p);
    }
    if (rc == 0) {
        rc = read_modulus(&s, "plain modulus", &p.plain_modulus);
    }
    if (rc == 0) {
        rc = seal_source_end(&s);
    }
    seal_source_close(&s);
    if (rc == 0) {
        *out = p;
        if (consumed != NULL) {
            *consumed = s.stored;
        }
    }
    return rc;
}

static void put_modulus(struct seal_sink *s, uint64_t value)
{
    seal_sink_nested(s, MODULUS_SIZE);
    seal_sink_u64(s, value);
}

int seal_params_write(const struct seal_params *params, const struct seal_options *options,
                      struct buf *out)
{
    const struct seal_options o = options != NULL ? *options : (struct seal_options){0};
    struct seal_sink s;
    seal_sink_open(&s, o.version, FIXED_SIZE + MODULUS_SIZE * (size_t)params->primes);
    seal_sink_u8(&s, (uint8_t)params->scheme);
    seal_sink_u64(&s, params->degree);
    seal_sink_u64(&s, params->primes);
    for (unsigned j = 0; j < params->primes; j++) {
        put_modulus(&s, params->q[j]);
    }
    put_modulus(&s, params->plain_modulus);
    return seal_sink_close(&s, o.compression, out);
}
