/* SPDX-License-Identifier: Apache-2.0 */
/* From parameters that somebody wrote to a context that can be relied on: the number theory, the
 * security rule, the chain of parms_id, and the transform tables. */
#include "seal_context.h"

#include <stdlib.h>
#include <string.h>

#include "digest.h"
#include "le.h"
#include "modulus.h"
#include "sizes.h"

enum { MIN_BITS = 2, MAX_BITS = 60 }; /* of a modulus, in SEAL */

/* Largest log2 q at 128 bits, N = 1024 .. 32768. Source: HomomorphicEncryption.org security
 * standard, 2018, table 1 (ternary secret, classical), which SEAL enforces by default. */
static const unsigned standard_bits[] = {27, 54, 109, 218, 438, 881};

static unsigned bit_length(uint64_t x)
{
    return x == 0 ? 0 : 64 - (unsigned)__builtin_clzll(x);
}

static unsigned allowed_bits(size_t degree)
{
    unsigned row = 0;
    for (size_t n = 1024; row < sizeof standard_bits / sizeof standard_bits[0]; n *= 2, row++) {
        if (n == degree) {
            return standard_bits[row];
        }
    }
    return 0;
}

/* Bit length of a product: multi-word, because rounding a sum of logarithms could err. */
static unsigned product_bits(const uint64_t *q, unsigned count)
{
    uint64_t words[SEAL_MAX_PRIMES] = {1};
    for (unsigned j = 0; j < count; j++) {
        uint64_t carry = 0;
        for (unsigned i = 0; i < count; i++) {
            kern_u128 x = (kern_u128)words[i] * q[j] + carry;
            words[i] = (uint64_t)x;
            carry = (uint64_t)(x >> 64);
        }
    }
    unsigned top = count - 1;
    while (top > 0 && words[top] == 0) {
        top--;
    }
    return 64 * top + bit_length(words[top]);
}

static int refuse(struct cairn_problem *why, const char *hint, const char *field, uint64_t expected,
                  const char *text, uint64_t found)
{
    return problem_set(why, CAIRN_ERR_REFUSED, hint,
                       "SEAL parameters: %s: expected %s (%llu), found %llu", field, text,
                       (unsigned long long)expected, (unsigned long long)found);
}

static int check_shape(const struct seal_params *p, struct cairn_problem *why)
{
    if (p->scheme != SEAL_BFV && p->scheme != SEAL_CKKS) {
        return refuse(why, "BFV and CKKS are supported", "scheme", SEAL_CKKS, "BFV (1) or CKKS",
                      (uint64_t)p->scheme);
    }
    if (p->degree < SEAL_MIN_DEGREE || p->degree > SEAL_MAX_DEGREE ||
        (p->degree & (p->degree - 1)) != 0) {
        return refuse(why, NULL, "degree", SEAL_MAX_DEGREE, "a power of two from 8 up to the limit",
                      p->degree);
    }
    if (p->primes < 1 || p->primes > SEAL_MAX_PRIMES) {
        return refuse(why, NULL, "number of primes", SEAL_MAX_PRIMES, "1 up to the limit",
                      p->primes);
    }
    return 0;
}

static int check_prime(const struct seal_params *p, unsigned j, struct cairn_problem *why)
{
    uint64_t q = p->q[j];
    unsigned bits = bit_length(q);
    if (bits < MIN_BITS || bits > MAX_BITS || !modulus_is_prime(q)) {
        return refuse(why, NULL, "coefficient modulus", MAX_BITS, "a prime of at most so many bits",
                      q);
    }
    if (q % (2 * p->degree) != 1) {
        return refuse(why, NULL, "coefficient modulus", 2 * p->degree, "1 modulo 2N", q);
    }
    for (unsigned i = 0; i < j; i++) {
        if (p->q[i] == q) {
            return problem_set(why, CAIRN_ERR_REFUSED, NULL,
                               "SEAL parameters: coefficient modulus: expected different primes, "
                               "found %llu twice",
                               (unsigned long long)q);
        }
    }
    return 0;
}

/* The primes are checked before. t < q is asked of the data level, where plaintexts are used. */
static int check_plain_modulus(const struct seal_params *p, struct cairn_problem *why)
{
    uint64_t t = p->plain_modulus;
    unsigned bits = bit_length(t);
    if (p->scheme == SEAL_CKKS) {
        return t == 0 ? 0 : refuse(why, NULL, "plain modulus", 0, "none with CKKS", t);
    }
    if (bits < MIN_BITS || bits > MAX_BITS) {
        return refuse(why, NULL, "plain modulus", MAX_BITS, "2 up to so many bits", t);
    }
    for (unsigned j = 0; j < p->primes; j++) {
        if (t % p->q[j] == 0) { /* a prime: coprime unless it divides */
            return refuse(why, NULL, "plain modulus", p->q[j], "coprime to every prime", t);
        }
    }
    unsigned data = p->primes > 1 ? p->primes - 1 : 1;
    if (data == 1 && t >= p->q[0]) {
        return refuse(why, NULL, "plain modulus", p->q[0], "below the coefficient modulus", t);
    }
    return 0;
}

static int check_security(const struct seal_params *p, struct cairn_problem *why)
{
    unsigned bits = product_bits(p->q, p->primes), allowed = allowed_bits(p->degree);
    if (bits > allowed) {
        return refuse(why, "use a larger degree or fewer bits", "bits of all primes", allowed,
                      "at most what 128-bit security allows at this degree", bits);
    }
    return 0;
}

static int check(const struct seal_params *p, enum seal_security security,
                 struct cairn_problem *why)
{
    int rc = check_shape(p, why);
    for (unsigned j = 0; rc == 0 && j < p->primes; j++) {
        rc = check_prime(p, j, why);
    }
    if (rc == 0) {
        rc = check_plain_modulus(p, why);
    }
    if (rc == 0 && security == SEAL_128) {
        rc = check_security(p, why);
    }
    return rc;
}

/* BLAKE2b-256 of the words scheme, N, q_1 .. q_level, t */
static void level_id(const struct seal_params *p, unsigned level, uint8_t id[SEAL_ID_SIZE])
{
    uint8_t words[8 * (SEAL_MAX_PRIMES + 3)];
    size_t at = 0;
    le_put64(words + at, (uint64_t)p->scheme);
    le_put64(words + (at += 8), p->degree);
    for (unsigned j = 0; j < level; j++) {
        le_put64(words + (at += 8), p->q[j]);
    }
    le_put64(words + (at += 8), p->plain_modulus);
    digest_of(words, at + 8, id);
}
_Static_assert((int)SEAL_MAX_PRIMES == (int)RNS_MAX_PRIMES, "a ring holds a context's primes");
_Static_assert((int)SEAL_ID_SIZE == (int)DIGEST_SIZE, "a parms_id is a BLAKE2b-256 digest");

int seal_context_new(const struct seal_params *params, enum seal_security security,
                     struct seal_context **out, struct cairn_problem *why)
{
    int rc = check(params, security, why);
    if (rc != 0) {
        return rc;
    }
    struct seal_context *c = size_alloc_array(1, sizeof *c);
    if (c == NULL) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a SEAL context");
    }
    c->params = *params;
    for (unsigned j = 0; j < params->primes; j++) {
        level_id(params, j + 1, c->ids[j + 1]);
    }
    rc = rns_ring_init(&c->ring, params->degree, params->q, params->primes);
    if (rc != 0) {
        seal_context_free(c);
        return problem_set(why, rc, "use a smaller degree", "no memory for SEAL's tables");
    }
    *out = c;
    return 0;
}

void seal_context_free(struct seal_context *context)
{
    if (context == NULL) {
        return;
    }
    rns_ring_release(&context->ring);
    free(context);
}

const struct seal_params *seal_context_params(const struct seal_context *context)
{
    return &context->params;
}

unsigned seal_context_first_level(const struct seal_context *context)
{
    unsigned k = context->params.primes;
    return k > 1 ? k - 1 : 1;
}

const uint8_t *seal_context_id(const struct seal_context *context, unsigned level)
{
    return context->ids[level];
}

int seal_context_level_of(const struct seal_context *context, const uint8_t id[SEAL_ID_SIZE])
{
    for (unsigned level = 0; level <= context->params.primes; level++) {
        if (memcmp(id, context->ids[level], SEAL_ID_SIZE) == 0) {
            return (int)level;
        }
    }
    return -1;
}

/* Primes = 1 mod 2N of one size, the largest first. */
static unsigned collect_primes(size_t degree, unsigned bits, unsigned count, uint64_t *out)
{
    const uint64_t step = 2 * degree, low = UINT64_C(1) << (bits - 1);
    uint64_t v = ((low << 1) - 1) / step * step + 1;
    unsigned found = 0;
    for (; found < count && v > low; v = v > step ? v - step : 0) {
        if (bit_length(v) == bits && modulus_is_prime(v)) {
            out[found++] = v;
        }
    }
    return found;
}

int seal_params_create_moduli(size_t degree, const unsigned *bits, unsigned count, uint64_t *out,
                              struct cairn_problem *why)
{
    uint64_t q[SEAL_MAX_PRIMES], found[SEAL_MAX_PRIMES];
    if (count < 1 || count > SEAL_MAX_PRIMES || degree < 2 || degree > SEAL_MAX_DEGREE) {
        return refuse(why, NULL, "number of primes", SEAL_MAX_PRIMES, "1 up to the limit", count);
    }
    for (unsigned j = 0; j < count; j++) {
        unsigned same = 0, before = 0;
        for (unsigned i = 0; i < count; i++) {
            same += bits[i] == bits[j];
            before += i < j && bits[i] == bits[j];
        }
        if (bits[j] < MIN_BITS || bits[j] > MAX_BITS ||
            collect_primes(degree, bits[j], same, found) < same) {
            return refuse(why, "other sizes, or a smaller degree", "bits of a prime", MAX_BITS,
                          "a size up to this that has enough primes = 1 mod 2N", bits[j]);
        }
        q[j] = found[same - 1 - before]; /* from the small end */
    }
    memcpy(out, q, count * sizeof *q);
    return 0;
}
