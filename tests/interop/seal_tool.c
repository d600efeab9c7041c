/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The C half of the interoperation tests: writes objects for another program to judge, and reads
 * what that program made of them.
 *
 *   seal_tool write FOLDER   one folder for each set: parameters, keys, plaintext, ciphertexts
 *   seal_tool read FOLDER    every file whose name begins with "node." or "tenseal."
 *
 * Messages are the same every time (bfv_message, ckks_message), keys are not. A file's name says
 * what it is and how it is compressed: ct.zlib.seal, pk.none.seal. Sets of cairn's own ciphertexts
 * also have expect.words, the lane words that the answer must round to, and scale.txt with the
 * two factors of that rounding.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "he_choice.h"
#include "he_export.h"
#include "he_layout.h"
#include "he_sample.h"
#include "le.h"
#include "kern_math.h"
#include "modulus.h"
#include "seal_bridge.h"
#include "seal_ckks.h"
#include "seal_crypto.h"
#include "secret.h"
#include "sizes.h"
#include "tenseal.h"

static struct secret_rng *rng;
static struct cairn_problem why;
static char path_buffer[1024];

static const char *const compression_names[] = {"none", "zlib", "zstd"};

/* A tool of a test: whatever fails ends it. */
static void must(int rc, const char *what)
{
    if (rc != 0) {
        (void)fprintf(stderr, "seal_tool: %s: %s: %s\n", what, cairn_error_name(rc), why.what);
        exit(1);
    }
}
#define MUST(call) must((call), #call)

static void require(bool ok, const char *set, const char *what)
{
    if (!ok) {
        (void)fprintf(stderr, "seal_tool: %s: %s\n", set, what);
        exit(1);
    }
}

static const char *path(const char *folder, const char *set, const char *name)
{
    (void)snprintf(path_buffer, sizeof path_buffer, "%s/%s/%s", folder, set, name);
    return path_buffer;
}

static void put(const char *folder, const char *set, const char *name, struct buf *b)
{
    MUST(file_replace(path(folder, set, name), b->data, b->size, 0644, &why));
    buf_clear(b);
}

static struct buf get(const char *folder, const char *set, const char *name)
{
    struct buf b = {0};
    MUST(file_read(path(folder, set, name), 16U << 20, &b, &why));
    return b;
}

/* ---- the sets ---- */

struct set {
    const char *name;
    enum seal_scheme scheme;
    size_t degree;
    unsigned count;
    unsigned bits[4];
    uint64_t plain_modulus;
    enum seal_version version;
};

/* t = 65537 is 1 mod 2N for all of these: node-seal 5 and 6 take no others */
static const struct set sets[] = {
    {"bfv1", SEAL_BFV, 2048, 1, {54}, 65537, SEAL_VERSION_4_1},
    {"bfv1_v37", SEAL_BFV, 2048, 1, {54}, 65537, SEAL_VERSION_3_7},
    {"bfv3", SEAL_BFV, 4096, 3, {36, 36, 37}, 65537, SEAL_VERSION_4_1},
    {"ckks", SEAL_CKKS, 8192, 4, {60, 40, 40, 60}, 0, SEAL_VERSION_4_1},
    {"ckks_v37", SEAL_CKKS, 8192, 4, {60, 40, 40, 60}, 0, SEAL_VERSION_3_7},
};
enum { SETS = sizeof sets / sizeof sets[0] };

static struct seal_context *new_context(const struct set *set)
{
    struct seal_params p = {.scheme = set->scheme,
                            .degree = set->degree,
                            .primes = set->count,
                            .plain_modulus = set->plain_modulus};
    struct seal_context *context = NULL;
    MUST(seal_params_create_moduli(set->degree, set->bits, set->count, p.q, &why));
    MUST(seal_context_new(&p, SEAL_128, &context, &why));
    return context;
}

static const double ckks_scale = 1099511627776.0; /* 2^40 */

static uint64_t bfv_message(size_t i, uint64_t t)
{
    return (i * UINT64_C(0x9E3779B97F4A7C15) + 7) % t;
}

static double ckks_message(size_t j)
{
    return 0.001 * (double)j - 1;
}

/* The set's message. level 0: the first */
static struct seal_plain message(const struct seal_context *context, unsigned level)
{
    const struct seal_params *p = seal_context_params(context);
    struct seal_plain plain = {0};
    if (p->scheme == SEAL_BFV) {
        uint64_t *m = calloc(p->degree, sizeof *m);
        for (size_t i = 0; i < p->degree; i++) {
            m[i] = bfv_message(i, p->plain_modulus);
        }
        MUST(seal_plain_from_coefficients(context, m, &plain, &why));
        free(m);
        return plain;
    }
    double *values = calloc(p->degree / 2, sizeof *values);
    struct seal_ckks_encoder *encoder = NULL;
    for (size_t j = 0; j < p->degree / 2; j++) {
        values[j] = ckks_message(j);
    }
    MUST(seal_ckks_encoder_new(context, &encoder, &why));
    MUST(seal_ckks_encode(encoder, values, p->degree / 2, ckks_scale,
                          level != 0 ? level : seal_context_first_level(context), &plain, &why));
    seal_ckks_encoder_free(encoder);
    free(values);
    return plain;
}

/* ---- writing ---- */

static void write_cipher(const char *folder, const struct set *set,
                         const struct seal_context *context, const char *name,
                         const struct seal_cipher *c)
{
    struct buf b = {0};
    for (int k = SEAL_PLAIN; k <= SEAL_ZSTD; k++) {
        struct seal_options o = {set->version, (enum seal_compression)k};
        char file[64];
        (void)snprintf(file, sizeof file, "%s.%s.seal", name, compression_names[k]);
        MUST(seal_cipher_write(context, c, &o, &b));
        put(folder, set->name, file, &b);
    }
    buf_release(&b);
}

static void write_public_key(const char *folder, const struct set *set,
                             const struct seal_context *context, const char *name,
                             const struct seal_public_key *key)
{
    struct buf b = {0};
    for (int k = SEAL_PLAIN; k <= SEAL_ZSTD; k++) {
        struct seal_options o = {set->version, (enum seal_compression)k};
        char file[64];
        (void)snprintf(file, sizeof file, "%s.%s.seal", name, compression_names[k]);
        MUST(seal_public_key_write(context, key, &o, &b));
        put(folder, set->name, file, &b);
    }
    buf_release(&b);
}

static void write_params(const char *folder, const struct set *set,
                         const struct seal_context *context)
{
    struct buf b = {0};
    for (int k = SEAL_PLAIN; k <= SEAL_ZSTD; k++) {
        struct seal_options o = {set->version, (enum seal_compression)k};
        char file[64];
        (void)snprintf(file, sizeof file, "parms.%s.seal", compression_names[k]);
        MUST(seal_params_write(seal_context_params(context), &o, &b));
        put(folder, set->name, file, &b);
    }
    buf_release(&b);
}

static void write_secret_key(const char *folder, const struct set *set,
                             const struct seal_context *context, const struct seal_secret_key *key)
{
    struct buf b = {0};
    MUST(seal_secret_key_write(context, key, set->version, &b));
    put(folder, set->name, "sk.none.seal", &b);
    buf_release(&b);
}

static void write_plain(const char *folder, const struct set *set,
                        const struct seal_context *context, const char *name,
                        const struct seal_plain *plain)
{
    struct buf b = {0};
    MUST(seal_plain_write(context, plain, set->version, &b));
    put(folder, set->name, name, &b);
    buf_release(&b);
}

/* CKKS: the same slots at the level of one prime, and TenSEAL's wrappers. */
static void write_ckks_extras(const char *folder, const struct set *set,
                              const struct seal_context *context, const struct seal_secret_key *sk,
                              const struct seal_public_key *pk, const struct seal_cipher *ct)
{
    struct seal_plain low = message(context, 1);
    struct seal_cipher c = {0};
    MUST(seal_encrypt(context, pk, rng, &low, &c, &why));
    write_cipher(folder, set, context, "low", &c);
    MUST(seal_encrypt_symmetric(context, sk, rng, &low, &c, &why));
    write_cipher(folder, set, context, "slow", &c);
    seal_cipher_release(&c);
    seal_plain_release(&low);

    struct seal_options o = {set->version, SEAL_ZSTD};
    struct buf params = {0}, public_key = {0}, secret_key = {0}, cipher = {0}, out = {0};
    MUST(seal_params_write(seal_context_params(context), &o, &params));
    MUST(seal_public_key_write(context, pk, &o, &public_key));
    MUST(seal_secret_key_write(context, sk, set->version, &secret_key));
    MUST(seal_cipher_write(context, ct, &o, &cipher));
    struct tenseal_context t = {buf_span(&params), buf_span(&public_key), buf_span(&secret_key),
                                ckks_scale,        TENSEAL_FLAGS,         false};
    MUST(tenseal_context_write(&t, &out));
    put(folder, set->name, "context.tenseal", &out);
    uint32_t size = (uint32_t)set->degree / 2;
    struct span span = buf_span(&cipher);
    struct tenseal_vector v = {1, &size, &span, ckks_scale};
    MUST(tenseal_vector_write(&v, &out));
    put(folder, set->name, "vector.tenseal", &out);
    buf_release(&params);
    buf_release(&public_key);
    buf_release(&secret_key);
    buf_release(&cipher);
    buf_release(&out);
}

static void write_set(const char *folder, const struct set *set)
{
    struct seal_context *context = new_context(set);
    struct seal_secret_key sk = {0};
    struct seal_public_key pk = {0}, spk = {0};
    struct seal_plain pt = message(context, 0);
    struct seal_cipher ct = {0}, sct = {0}, sum = {0};
    MUST(file_make_folders(path(folder, set->name, ""), &why));
    MUST(seal_keygen(context, rng, &sk, &why));
    MUST(seal_public_key_make(context, &sk, rng, false, &pk, &why));
    MUST(seal_public_key_make(context, &sk, rng, true, &spk, &why));
    MUST(seal_encrypt(context, &pk, rng, &pt, &ct, &why));
    MUST(seal_encrypt_symmetric(context, &sk, rng, &pt, &sct, &why));
    MUST(seal_encrypt(context, &spk, rng, &pt, &sum, &why));
    MUST(seal_add(context, &sum, &ct, &why));
    write_params(folder, set, context);
    write_secret_key(folder, set, context, &sk);
    write_public_key(folder, set, context, "pk", &pk);
    write_public_key(folder, set, context, "spk", &spk);
    write_plain(folder, set, context, "pt.none.seal", &pt);
    write_cipher(folder, set, context, "ct", &ct);
    write_cipher(folder, set, context, "sct", &sct);
    write_cipher(folder, set, context, "sum", &sum);
    if (set->scheme == SEAL_CKKS) {
        write_ckks_extras(folder, set, context, &sk, &pk, &ct);
    }
    seal_secret_key_release(&sk);
    seal_public_key_release(&pk);
    seal_public_key_release(&spk);
    seal_plain_release(&pt);
    seal_cipher_release(&ct);
    seal_cipher_release(&sct);
    seal_cipher_release(&sum);
    seal_context_free(context);
}

/* ---- cairn's own ciphertexts ---- */

enum { CLIENTS = 15, VALUE_BITS = 8, VALUES = 3 * RING_DEGREE }; /* one chunk of three lanes */

static const uint8_t nonce[HE_NONCE_SIZE] = {1, 2, 3};

/* What client c sends at place i: all of -127..127, the extremes among them. */
static int32_t value_of(unsigned c, size_t i)
{
    return i % 5 == 0 ? 127 : i % 5 == 1 ? -127 : (int32_t)((i * 31 + c * 17) % 255) - 127;
}

/* The sum of all clients' payloads, as a switch would make it. */
static uint8_t *payload_sum(const struct he_params *params, const struct he_public_key *key)
{
    size_t bytes = he_payload_bytes(params, VALUES);
    uint8_t *sum = calloc(1, bytes), *one = calloc(1, bytes);
    int32_t *values = calloc(VALUES, sizeof *values);
    for (unsigned c = 0; c < CLIENTS; c++) {
        for (size_t i = 0; i < VALUES; i++) {
            values[i] = value_of(c, i);
        }
        MUST(he_encrypt(params, key, rng, NULL, nonce, 3, 5, values, VALUES, one, &why));
        he_add(params, VALUES, sum, one);
    }
    free(values);
    free(one);
    return sum;
}

/* The lane words of the first chunk of the sum. */
static void expected_words(const struct he_params *params, int64_t *words)
{
    struct kern_lanes lanes = {0};
    int32_t *sums = calloc(VALUES, sizeof *sums);
    for (unsigned c = 0; c < CLIENTS; c++) {
        for (size_t i = 0; i < VALUES; i++) {
            sums[i] += value_of(c, i);
        }
    }
    require(kern_lanes_init(&lanes, params->lanes, params->radix), "lanes", "no such lanes");
    size_t count = VALUES < params->chunk_params ? VALUES : params->chunk_params;
    kern_get()->lanes_pack(words, RING_DEGREE, sums, count, &lanes);
    free(sums);
}

static void write_numbers(const char *folder, const struct set *set, const int64_t *numbers,
                          size_t count)
{
    struct buf b = {0};
    for (size_t i = 0; i < count; i++) {
        uint8_t bytes[8];
        le_put64(bytes, (uint64_t)numbers[i]);
        MUST(buf_append(&b, bytes, sizeof bytes));
    }
    put(folder, set->name, "expect.words", &b);
    buf_release(&b);
}

/* m = round(y numerator / denominator) for a centred answer y */
static void write_expected(const char *folder, const struct set *set, const int64_t *words,
                           uint64_t numerator, uint64_t denominator)
{
    struct buf b = {0};
    write_numbers(folder, set, words, RING_DEGREE);
    MUST(buf_printf(&b, "%llu %llu\n", (unsigned long long)numerator,
                    (unsigned long long)denominator));
    put(folder, set->name, "scale.txt", &b);
    buf_release(&b);
}

static struct seal_context *bridge_context(uint64_t t)
{
    struct seal_params p;
    struct seal_context *context = NULL;
    seal_bridge_params(t, &p);
    MUST(seal_context_new(&p, SEAL_128, &context, &why));
    return context;
}

static void write_bfv_profile(const char *folder)
{
    const struct set set = {.name = "cairn_bfv"};
    struct he_params params;
    struct he_secret_key *sk = NULL;
    struct he_public_key *pk = NULL;
    MUST(file_make_folders(path(folder, set.name, ""), &why));
    MUST(he_choose_degree(RING_DEGREE, HE_BFV, VALUE_BITS, CLIENTS, &params, &why));
    MUST(he_keygen(&params, rng, &sk, &pk));
    struct seal_context *context = bridge_context(params.bfv.plain_modulus);
    uint8_t *sum = payload_sum(&params, pk);
    int64_t *words = size_alloc_array(RING_DEGREE, sizeof *words);
    struct seal_secret_key key = {0};
    struct seal_public_key public_key = {0};
    struct seal_cipher c = {0};
    expected_words(&params, words);
    MUST(seal_bridge_secret_key(context, sk, &key, &why));
    MUST(seal_bridge_public_key(context, pk, &public_key, &why));
    MUST(seal_bridge_bfv(context, &params, sum, VALUES, 0, &c, &why));
    write_params(folder, &set, context);
    write_secret_key(folder, &set, context, &key);
    write_public_key(folder, &set, context, "pk", &public_key);
    write_cipher(folder, &set, context, "folded", &c);
    write_expected(folder, &set, words, 1, 1);
    seal_secret_key_release(&key);
    seal_public_key_release(&public_key);
    seal_cipher_release(&c);
    seal_context_free(context);
    he_secret_key_free(sk);
    he_public_key_free(pk);
    free(words);
    free(sum);
}

/* @param plain_bits  0: any step, and a large prime as plain modulus; else T */
static void write_capsule(const char *folder, const char *name, const struct he_params *params,
                          unsigned plain_bits)
{
    const struct set set = {.name = name};
    struct he_secret_key *sk = NULL;
    struct he_public_key *pk = NULL;
    MUST(file_make_folders(path(folder, name, ""), &why));
    MUST(he_keygen(params, rng, &sk, &pk));
    uint64_t t = plain_bits != 0 ? UINT64_C(1) << plain_bits
                                 : modulus_next_prime(UINT64_C(1) << 48, 2 * RING_DEGREE);
    struct seal_context *context = bridge_context(t);
    uint8_t *sum = payload_sum(params, pk);
    int64_t *words = size_alloc_array(RING_DEGREE, sizeof *words);
    struct seal_secret_key key = {0};
    struct seal_cipher c = {0};
    expected_words(params, words);
    MUST(seal_bridge_summed_key(context, params, sk, CLIENTS, sum, VALUES, &key, &why));
    MUST(seal_bridge_chunk(context, params, nonce, 3, 5, sum, VALUES, 0, &c, &why));
    write_params(folder, &set, context);
    write_secret_key(folder, &set, context, &key);
    write_cipher(folder, &set, context, "folded", &c);
    write_expected(folder, &set, words, UINT64_C(1) << params->bits, t * params->step);
    seal_secret_key_release(&key);
    seal_cipher_release(&c);
    seal_context_free(context);
    he_secret_key_free(sk);
    he_public_key_free(pk);
    free(words);
    free(sum);
}

/*
 * One-poly ciphertexts over a polynomial from a SEAL seed, summed modulo 2^K: a seeded ciphertext,
 * with the sum of the keys as its secret key.
 */
static void write_seeded_capsule(const char *folder)
{
    enum { K = 45, T = 30 };
    const struct set set = {.name = "cairn_seeded"};
    const uint64_t t = modulus_next_prime(UINT64_C(1) << 48, 2 * RING_DEGREE);
    const struct kern_ntt *ring = ring_get(RING_Q);
    const struct kern_ops *ops = kern_get();
    struct seal_context *context = bridge_context(t);
    struct he_scratch *s = he_scratch_new();
    struct seal_seed seed = {.prng = SEAL_BLAKE2XB};
    struct kern_step step;
    uint64_t *fields = size_alloc_array(RING_DEGREE, sizeof *fields);
    uint64_t *a = size_alloc_array(RING_DEGREE, sizeof *a);
    struct seal_secret_key key = {RING_DEGREE, secret_alloc(8 * RING_DEGREE)};
    struct seal_cipher c = {0};
    MUST(file_make_folders(path(folder, set.name, ""), &why));
    MUST(secret_rng_fill(rng, seed.bytes, sizeof seed.bytes));
    MUST(seal_expand(context, &seed, 1, a));
    ops->ntt_fwd(a, ring);
    kern_step_init(&step, &ring->modulus, K, UINT64_C(1) << (K - T), 0);
    for (unsigned client = 0; client < CLIENTS; client++) {
        MUST(he_sample_cbd(rng, s));
        ops->lift_small(s->key, s->small, RING_DEGREE, &ring->modulus);
        ops->ntt_fwd(s->key, ring);
        for (size_t i = 0; i < RING_DEGREE; i++) {
            key.words[i] = (key.words[i] + s->key[i]) % RING_Q_VALUE;
            s->message[i] = value_of(client, i);
        }
        ops->mul(s->a, a, s->key, RING_DEGREE, &ring->modulus);
        ops->ntt_inv(s->a, ring);
        MUST(he_sample_cbd(rng, s));
        ops->neg_add_small(s->a, s->small, RING_DEGREE, &ring->modulus);
        ops->switch_pow2(s->a, RING_DEGREE, &step.mask);
        ops->add_step(s->a, s->message, RING_DEGREE, &step);
        for (size_t i = 0; i < RING_DEGREE; i++) {
            fields[i] = (fields[i] + s->a[i]) & kern_mask_bits(K);
        }
    }
    for (size_t i = 0; i < RING_DEGREE; i++) {
        s->message[i] = 0;
        for (unsigned client = 0; client < CLIENTS; client++) {
            s->message[i] += value_of(client, i);
        }
    }
    MUST(seal_bridge_seeded(context, fields, K, &seed, &c, &why));
    write_params(folder, &set, context);
    write_secret_key(folder, &set, context, &key);
    write_cipher(folder, &set, context, "folded", &c);
    write_expected(folder, &set, s->message, UINT64_C(1) << T, t);
    seal_cipher_release(&c);
    seal_secret_key_release(&key);
    seal_context_free(context);
    he_scratch_free(s);
    free(fields);
    free(a);
}

/* The sum of profile seal-ckks, SEAL's own form but for the packing: sums stand in the slots. */
static void write_ckks_profile(const char *folder, const char *name, enum seal_version version)
{
    const struct set set = {.name = name, .version = version};
    struct he_params params;
    struct he_secret_key *sk = NULL;
    struct he_public_key *pk = NULL;
    struct seal_params p;
    struct seal_context *context = NULL;
    struct seal_secret_key key = {0};
    struct seal_public_key public_key = {0};
    struct seal_cipher c = {0};
    int64_t *sums = calloc(VALUES, sizeof *sums);
    MUST(file_make_folders(path(folder, name, ""), &why));
    MUST(he_params_choose(HE_SEAL_CKKS, VALUE_BITS, CLIENTS, &params, &why));
    MUST(he_keygen(&params, rng, &sk, &pk));
    seal_bridge_ckks_params(&p);
    MUST(seal_context_new(&p, SEAL_128, &context, &why));
    uint8_t *sum = payload_sum(&params, pk);
    for (size_t i = 0; i < VALUES; i++) {
        for (unsigned client = 0; client < CLIENTS; client++) {
            sums[i] += value_of(client, i);
        }
    }
    MUST(seal_bridge_secret_key(context, sk, &key, &why));
    MUST(seal_bridge_public_key(context, pk, &public_key, &why));
    MUST(seal_bridge_ckks(context, &params, sum, VALUES, 0, &c, &why));
    write_params(folder, &set, context);
    write_secret_key(folder, &set, context, &key);
    write_public_key(folder, &set, context, "pk", &public_key);
    write_cipher(folder, &set, context, "folded", &c);
    write_numbers(folder, &set, sums, params.chunk_params);
    seal_secret_key_release(&key);
    seal_public_key_release(&public_key);
    seal_cipher_release(&c);
    seal_context_free(context);
    he_secret_key_free(sk);
    he_public_key_free(pk);
    free(sums);
    free(sum);
}

static void write_all(const char *folder)
{
    struct he_params params, pow2;
    unsigned plain_bits = 0;
    for (size_t i = 0; i < SETS; i++) {
        write_set(folder, &sets[i]);
    }
    write_bfv_profile(folder);
    MUST(he_choose_degree(RING_DEGREE, HE_CAPSULE, VALUE_BITS, CLIENTS, &params, &why));
    write_capsule(folder, "cairn_capsule", &params, 0);
    MUST(he_export_params(&params, &pow2, &plain_bits, &why));
    write_capsule(folder, "cairn_pow2", &pow2, plain_bits);
    write_seeded_capsule(folder);
    write_ckks_profile(folder, "cairn_ckks", SEAL_VERSION_4_1);
    write_ckks_profile(folder, "cairn_ckks_v37", SEAL_VERSION_3_7);
}

/* ---- reading what came back ---- */

static struct seal_secret_key read_key(const char *folder, const struct set *set,
                                       const struct seal_context *context, const char *name)
{
    struct seal_secret_key key = {0};
    struct buf b = get(folder, set->name, name);
    MUST(seal_secret_key_read(context, buf_span(&b), NULL, &key, &why));
    secret_wipe(b.data, b.size);
    buf_release(&b);
    return key;
}

static struct seal_cipher read_cipher(const char *folder, const struct set *set,
                                      const struct seal_context *context, const char *name)
{
    struct seal_cipher c = {0};
    struct buf b = get(folder, set->name, name);
    MUST(seal_cipher_read(context, buf_span(&b), NULL, &c, &why));
    buf_release(&b);
    return c;
}

/* The set's message, `times` over? CKKS within `tolerance`. */
static void check_plain(const struct set *set, const struct seal_context *context,
                        const struct seal_plain *p, unsigned times, const char *name)
{
    const double tolerance = 1e-6; /* noise at scale 2^40 was measured at 7e-9 */
    if (set->scheme == SEAL_BFV) {
        for (size_t i = 0; i < p->count; i++) {
            require(p->words[i] == times * bfv_message(i, set->plain_modulus) % set->plain_modulus,
                    set->name, name);
        }
        return;
    }
    struct seal_ckks_encoder *encoder = NULL;
    double *values = calloc(set->degree / 2, sizeof *values);
    MUST(seal_ckks_encoder_new(context, &encoder, &why));
    MUST(seal_ckks_decode(encoder, p, values, &why));
    for (size_t j = 0; j < set->degree / 2; j++) {
        require(fabs(values[j] - times * ckks_message(j)) < tolerance, set->name, name);
    }
    seal_ckks_encoder_free(encoder);
    free(values);
}

static void check_cipher(const char *folder, const struct set *set,
                         const struct seal_context *context, const struct seal_secret_key *key,
                         const char *name, unsigned times)
{
    struct seal_cipher c = read_cipher(folder, set, context, name);
    struct seal_plain p = {0};
    MUST(seal_decrypt(context, key, &c, &p, &why));
    check_plain(set, context, &p, times, name);
    seal_plain_release(&p);
    seal_cipher_release(&c);
}

/* What came back without compression and in our version must be our bytes. */
static void check_same_file(const char *folder, const struct set *set, const char *ours,
                            const char *theirs)
{
    if (set->version != SEAL_VERSION_4_1) {
        return;
    }
    struct buf a = get(folder, set->name, ours), b = get(folder, set->name, theirs);
    require(a.size == b.size && memcmp(a.data, b.data, a.size) == 0, set->name, theirs);
    buf_release(&a);
    buf_release(&b);
}

static void check_params(const char *folder, const struct set *set,
                         const struct seal_context *context, const char *name)
{
    struct seal_params p;
    struct buf b = get(folder, set->name, name);
    MUST(seal_params_read(buf_span(&b), NULL, &p, &why));
    require(memcmp(&p, seal_context_params(context), sizeof p) == 0, set->name, name);
    buf_release(&b);
}

/* Under a public key that the other program made or kept, a fresh ciphertext of ours opens. */
static void check_public_key(const char *folder, const struct set *set,
                             const struct seal_context *context, const struct seal_secret_key *sk,
                             const char *name)
{
    struct seal_public_key pk = {0};
    struct seal_cipher c = {0};
    struct seal_plain pt = message(context, 0), back = {0};
    struct buf b = get(folder, set->name, name);
    MUST(seal_public_key_read(context, buf_span(&b), NULL, &pk, &why));
    MUST(seal_encrypt(context, &pk, rng, &pt, &c, &why));
    MUST(seal_decrypt(context, sk, &c, &back, &why));
    check_plain(set, context, &back, 1, name);
    buf_release(&b);
    seal_public_key_release(&pk);
    seal_cipher_release(&c);
    seal_plain_release(&pt);
    seal_plain_release(&back);
}

static void check_plain_file(const char *folder, const struct set *set,
                             const struct seal_context *context, const char *name)
{
    struct seal_plain p = {0};
    struct buf b = get(folder, set->name, name);
    MUST(seal_plain_read(context, buf_span(&b), NULL, &p, &why));
    check_plain(set, context, &p, 1, name);
    seal_plain_release(&p);
    buf_release(&b);
}

static void check_compressed(const char *folder, const struct set *set,
                             const struct seal_context *context, const char *form)
{
    char name[64];
    (void)snprintf(name, sizeof name, "node.parms.%s.seal", form);
    check_params(folder, set, context, name);
    (void)snprintf(name, sizeof name, "node.sk.%s.seal", form);
    struct seal_secret_key key = read_key(folder, set, context, name);
    (void)snprintf(name, sizeof name, "node.own.sk.%s.seal", form);
    struct seal_secret_key own = read_key(folder, set, context, name);
    (void)snprintf(name, sizeof name, "node.pk.%s.seal", form);
    check_public_key(folder, set, context, &key, name);
    (void)snprintf(name, sizeof name, "node.own.pk.%s.seal", form);
    check_public_key(folder, set, context, &own, name);
    (void)snprintf(name, sizeof name, "node.own.spk.%s.seal", form);
    check_public_key(folder, set, context, &own, name);
    (void)snprintf(name, sizeof name, "node.pt.%s.seal", form);
    check_plain_file(folder, set, context, name);
    (void)snprintf(name, sizeof name, "node.ct.%s.seal", form);
    check_cipher(folder, set, context, &key, name, 1);
    (void)snprintf(name, sizeof name, "node.sct.%s.seal", form);
    check_cipher(folder, set, context, &key, name, 1);
    (void)snprintf(name, sizeof name, "node.sum.%s.seal", form);
    check_cipher(folder, set, context, &key, name, 2);
    seal_secret_key_release(&key);
    seal_secret_key_release(&own);
}

static void read_set(const char *folder, const struct set *set)
{
    struct seal_context *context = new_context(set);
    for (int k = SEAL_PLAIN; k <= SEAL_ZSTD; k++) {
        check_compressed(folder, set, context, compression_names[k]);
    }
    check_same_file(folder, set, "parms.none.seal", "node.parms.none.seal");
    check_same_file(folder, set, "sk.none.seal", "node.sk.none.seal");
    check_same_file(folder, set, "pk.none.seal", "node.pk.none.seal");
    check_same_file(folder, set, "ct.none.seal", "node.again.ct.none.seal");
    check_same_file(folder, set, "pt.none.seal", "node.pt.none.seal");
    seal_context_free(context);
}

/* ---- TenSEAL ---- */

/* Any context: its own parameters, and a vector of ckks_message under its key. */
static void read_tenseal(const char *folder, const char *context_name, const char *vector_name,
                         unsigned times)
{
    const struct set *set = &sets[SETS - 1];
    struct buf bytes = get(folder, set->name, context_name);
    struct buf vector_bytes = get(folder, set->name, vector_name);
    struct tenseal_context t;
    struct tenseal_vector v = {0};
    struct seal_params p;
    struct seal_context *context = NULL;
    struct seal_secret_key key = {0};
    MUST(tenseal_context_read(buf_span(&bytes), &t, &why));
    MUST(seal_params_read(t.params, NULL, &p, &why));
    MUST(seal_context_new(&p, SEAL_128, &context, &why));
    MUST(seal_secret_key_read(context, t.secret_key, NULL, &key, &why));
    if (!t.symmetric) {
        struct seal_public_key pk = {0};
        MUST(seal_public_key_read(context, t.public_key, NULL, &pk, &why));
        seal_public_key_release(&pk);
    }
    MUST(tenseal_vector_read(buf_span(&vector_bytes), &v, &why));
    require(v.chunks == 1 && v.sizes[0] == set->degree / 2, set->name, vector_name);
    struct seal_cipher c = {0};
    struct seal_plain plain = {0};
    MUST(seal_cipher_read(context, v.ciphertexts[0], NULL, &c, &why));
    MUST(seal_decrypt(context, &key, &c, &plain, &why));
    check_plain(set, context, &plain, times, vector_name);
    seal_cipher_release(&c);
    seal_plain_release(&plain);
    tenseal_vector_release(&v);
    seal_secret_key_release(&key);
    seal_context_free(context);
    buf_release(&bytes);
    buf_release(&vector_bytes);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        (void)fprintf(stderr, "seal_tool write|read|read-tenseal FOLDER\n");
        return 2;
    }
    MUST(secret_rng_new(&rng));
    if (strcmp(argv[1], "write") == 0) {
        write_all(argv[2]);
    } else if (strcmp(argv[1], "read") == 0) {
        for (size_t i = 0; i < SETS; i++) {
            read_set(argv[2], &sets[i]);
        }
    } else if (strcmp(argv[1], "read-tenseal") == 0) {
        read_tenseal(argv[2], "tenseal.own.context", "tenseal.own.vector", 1);
        read_tenseal(argv[2], "tenseal.symmetric.context", "tenseal.symmetric.vector", 1);
        read_tenseal(argv[2], "tenseal.ours.context", "tenseal.ours.vector", 2);
    } else {
        (void)fprintf(stderr, "seal_tool: no such command: %s\n", argv[1]);
        return 2;
    }
    secret_rng_free(rng);
    return 0;
}
