/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A key pair, encrypted frames and an opening, with everything secret that is: what the generator
 * of keys and masks gives out, the values, the secret key by consequence, the sums until they are
 * handed out. Public becomes what leaves: the public key, payloads, sums, and inside src/he
 * what he_declassify names.
 *
 * The linker puts the functions __wrap_<name> in the place of <name> (see Makefile).
 */
#include "ct.h"

#include <stdlib.h>
#include <string.h>

#include "he.h"
#include "he_choice.h"
#include "he_ckks.h"
#include "he_keys.h"
#include "he_layout.h"
#include "he_wide.h"

const struct kern_ops *__real_kern_get(void);
const struct kern_ops *__wrap_kern_get(void);
int __real_secret_rng_fill(struct secret_rng *rng, void *out, size_t size);
int __wrap_secret_rng_fill(struct secret_rng *rng, void *out, size_t size);
int __wrap_secret_equal(const void *a, const void *b, size_t size);

const struct kern_ops *ct_kernels(void)
{
    return __real_kern_get();
}

const struct kern_ops *__wrap_kern_get(void)
{
    static struct kern_ops ops;
    ops = *ct_kernels();
    ops.sample_ternary = ct_sample_ternary;
    return &ops;
}

int __wrap_secret_rng_fill(struct secret_rng *rng, void *out, size_t size)
{
    int rc = __real_secret_rng_fill(rng, out, size);
    ct_hide(out, size);
    return rc;
}

/* That libsodium compares in constant time is taken from libsodium; its answer is public. */
int __wrap_secret_equal(const void *a, const void *b, size_t size)
{
    const uint8_t *x = a, *y = b;
    uint8_t different = 0;
    for (size_t i = 0; i < size; i++) {
        different |= x[i] ^ y[i];
    }
    ct_reveal(&different, sizeof different);
    return different == 0;
}

enum { CLIENTS = 2, ROUND = 3, FRAME = 7 };
static const uint8_t nonce[HE_NONCE_SIZE] = {1, 2, 3};

struct experiment {
    struct he_params params;
    struct secret_rng *rng;
    struct he_secret_key *secret;
    struct he_public_key *key;
    size_t n, bytes; /* values of a frame, bytes of its payload */
    int32_t *values; /* of the last client */
    int64_t *expected, *sums;
    uint8_t *payload, *total;
};

static void *room_for(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    ct_require(memory != NULL, "memory");
    return memory;
}

static void expect_secret_key(const struct he_secret_key *key)
{
    struct span hat = {(const uint8_t *)key->hat, sizeof key->hat};
    if (key->wide != NULL) {
        hat = (struct span){(const uint8_t *)key->wide->hat, sizeof key->wide->hat};
    } else if (key->ckks != NULL) {
        hat = (struct span){(const uint8_t *)key->ckks->hat, sizeof key->ckks->hat};
    }
    ct_require(ct_is_secret(hat.data, hat.size), "the secret key is secret");
}

static void make_keys(struct experiment *e)
{
    ct_require(secret_rng_new(&e->rng) == 0, "a generator");
    ct_require(he_keygen(&e->params, e->rng, &e->secret, &e->key) == 0, "he_keygen");
    expect_secret_key(e->secret);
    if (e->key->wide != NULL) {
        ct_require(ct_is_secret(e->key->wide->b, sizeof e->key->wide->b), "b is secret so far");
        ct_reveal(e->key->wide, sizeof *e->key->wide);
        return;
    }
    if (e->key->ckks != NULL) {
        const size_t half = sizeof e->key->ckks->pair / 2;
        ct_require(ct_is_secret(e->key->ckks->pair, half), "b is secret so far");
        ct_reveal(e->key->ckks, sizeof *e->key->ckks);
        return;
    }
    ct_require(ct_is_secret(e->key->b, sizeof e->key->b), "b is secret so far");
    ct_reveal(e->key, sizeof *e->key);
}

/* The secret key as bytes, and back. */
static void file_the_secret_key(struct experiment *e)
{
    uint8_t id[HE_KEY_ID_SIZE], other_id[HE_KEY_ID_SIZE], bytes[HE_SECRET_KEY_CKKS_SIZE];
    const struct span file = {bytes, he_secret_key_size(e->secret)};
    ct_require(file.size <= sizeof bytes, "room for a key");
    ct_require(he_public_key_id(e->key, id) == 0, "he_public_key_id");
    ct_require(he_secret_key_write(e->secret, id, bytes) == 0, "he_secret_key_write");
    ct_require(ct_is_secret(bytes, file.size), "the file is secret");

    struct he_secret_key *again = NULL;
    ct_require(he_secret_key_read(file, &again, other_id, NULL) == 0, "he_secret_key_read");
    expect_secret_key(again);
    he_secret_key_free(e->secret);
    e->secret = again; /* the opening will tell whether it is the same */

    bytes[file.size / 2] ^= 1;
    ct_require(he_secret_key_read(file, &again, other_id, NULL) == CAIRN_ERR_INTEGRITY,
               "he_secret_key_read refuses a damaged file");
}

static void fill_values(struct experiment *e)
{
    int64_t limit = (int64_t)he_value_limit(e->params.value_bits);
    ct_reveal(e->values, e->n * sizeof *e->values);
    for (size_t i = 0; i < e->n; i++) {
        e->values[i] = (int32_t)(ct_random() % (uint64_t)(2 * limit + 1)) - (int32_t)limit;
        e->expected[i] += e->values[i];
    }
    ct_hide(e->values, e->n * sizeof *e->values);
}

static int encrypt(struct experiment *e)
{
    return he_encrypt(&e->params, e->key, e->rng, NULL, nonce, ROUND, FRAME, e->values, e->n,
                      e->payload, NULL);
}

static void encrypt_sum(struct experiment *e)
{
    for (int client = 0; client < CLIENTS; client++) {
        fill_values(e);
        ct_require(encrypt(e) == 0, "he_encrypt");
        struct he_section sections[HE_MAX_SECTIONS];
        const uint8_t *at = e->payload;
        for (unsigned i = 0; i < he_sections(&e->params, e->n, sections); i++) {
            size_t size = he_section_bytes(&sections[i]);
            ct_require(ct_is_secret(at, size), "every section comes from secrets");
            at += size;
        }
        ct_reveal(e->payload, e->bytes); /* on its way through the network */
        he_add(&e->params, e->n, e->total, e->payload);
    }
}

/* A value that is too large, somewhere: the frame is refused. */
static void refuse_to_encrypt(struct experiment *e)
{
    fill_values(e);
    ct_reveal(e->values, e->n * sizeof *e->values);
    e->values[e->n / 2] = INT32_MAX;
    ct_hide(e->values, e->n * sizeof *e->values);
    ct_require(encrypt(e) == CAIRN_ERR_REFUSED, "he_encrypt refuses a value that is too large");
}

static int open_total(struct experiment *e)
{
    struct cairn_problem why = {0};
    int rc = he_open(&e->params, e->secret, NULL, nonce, ROUND, FRAME, CLIENTS, e->total, e->n,
                     e->sums, &why);
    ct_require(!ct_is_secret(&rc, sizeof rc), "success or failure is public");
    ct_require(!ct_is_secret(&why, sizeof why), "the sentence is public");
    return rc;
}

static void open_sum(struct experiment *e)
{
    ct_require(open_total(e) == 0, "he_open");
    ct_require(ct_is_secret(e->sums, e->n * sizeof *e->sums), "sums come from the secret key");
    ct_reveal(e->sums, e->n * sizeof *e->sums); /* the result that everybody waits for */
    ct_require(memcmp(e->sums, e->expected, e->n * sizeof *e->sums) == 0, "sums are exact");
}

static void refuse_to_open(struct experiment *e)
{
    ct_random_bytes(e->total, e->bytes / 2);
    ct_require(open_total(e) == CAIRN_ERR_INTEGRITY, "he_open refuses rubbish");
    ct_require(!ct_is_secret(e->sums, e->n * sizeof *e->sums), "sums are zeroed");
}

static void one_profile(enum he_profile profile, size_t degree, unsigned value_bits,
                        uint32_t contributors)
{
    struct experiment e = {0};
    ct_require(he_choose_degree(degree, profile, value_bits, contributors, &e.params, NULL) == 0,
               "parameters");
    e.n = e.params.chunk_params + 5; /* a whole polynomial and the beginning of one */
    e.bytes = he_payload_bytes(&e.params, e.n);
    e.values = room_for(e.n, sizeof *e.values);
    e.expected = room_for(e.n, sizeof *e.expected);
    e.sums = room_for(e.n, sizeof *e.sums);
    e.payload = room_for(1, e.bytes);
    e.total = room_for(1, e.bytes);
    make_keys(&e);
    file_the_secret_key(&e);
    encrypt_sum(&e);
    open_sum(&e);
    refuse_to_encrypt(&e);
    refuse_to_open(&e);
    he_public_key_free(e.key);
    he_secret_key_free(e.secret);
    secret_rng_free(e.rng);
    free(e.values);
    free(e.expected);
    free(e.sums);
    free(e.payload);
    free(e.total);
}

void ct_encryption(void)
{
    one_profile(HE_BFV, 2048, 8, 15);
    one_profile(HE_CAPSULE, 2048, 8, 15);
    one_profile(HE_CAPSULE, 2048, 16, 12);
    one_profile(HE_BFV, 4096, 8, 15);
    one_profile(HE_CAPSULE, 4096, 17, 14);
    one_profile(HE_SEAL_CKKS, 8192, 16, 15);
}
