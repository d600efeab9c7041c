/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secret randomness, and the public expansion of a seed.
 *
 * The state lives on guarded, locked pages of its own that the kernel wipes in
 * the child of a fork. So the child finds `alive` at zero, and takes a new key from the operating
 * system instead of repeating its parent's numbers. What may not
 * happen is that anybody gets bytes that are not random: each failure wipes the output
 * and leaves the generator unseeded, so that the next call must reseed first.
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include <gcrypt.h>
#include <sodium.h>

#include "le.h"
#include "random.h"
#include "random_internal.h"
#include "secret.h"
#include "sizes.h"
#include "sodium_once.h"

enum {
    AES_BLOCK = 16,
    /* of ChaCha20, and a multiple of AES's: keystream is always taken in whole blocks of it */
    STREAM_BLOCK = 64,
    /* Small requests are served from this much keystream made in one go, which
     * spreads the cost of a call into the cipher (about 100 ns) over many of them.
     * With the 128 bytes of the other members, two pages of 4096. */
    BUFFER = 8192 - 128,
    /* Zero and encrypt this much at a time: it stays in the first-level cache between the two. */
    CHUNK = 16384,
};

_Static_assert(BUFFER % STREAM_BLOCK == 0 && RANDOM_REKEY_BYTES % STREAM_BLOCK == 0 &&
                   CHUNK % STREAM_BLOCK == 0,
               "keystream is taken in whole blocks");

struct secret_state {
    uint64_t alive;    /* 0: wiped by fork, or never seeded */
    uint64_t produced; /* bytes under this key */
    uint64_t block;    /* ChaCha20: next block */
    size_t used;       /* bytes of `bytes` that are gone */
    uint8_t seed[RANDOM_SEED_SIZE]; /* ChaCha20: key and nonce; AES keeps its own in the handle */
    uint8_t spare[128 - 32 - RANDOM_SEED_SIZE];
    uint8_t bytes[BUFFER];
};

_Static_assert(sizeof(struct secret_state) == 8192, "two pages");

struct secret_rng {
    struct secret_state *state;
    size_t state_size; /* whole pages */
    gcry_cipher_hd_t aes;
    enum random_cipher cipher;
    bool wiped_on_fork; /* by the kernel; else the process id tells */
    pid_t pid;
};

ssize_t (*random_getrandom)(void *out, size_t size, unsigned flags) = getrandom;

static pthread_once_t gcrypt_flag = PTHREAD_ONCE_INIT;
static bool gcrypt_ready;

static void gcrypt_init(void)
{
    if (!gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P)) {
        if (!gcry_check_version("1.10.0")) {
            return;
        }
        /* only key schedules live there, and handles wipe them when they are closed */
        (void)gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
        (void)gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
    }
    gcrypt_ready = gcry_cipher_test_algo(GCRY_CIPHER_AES256) == 0;
}

void random_prepare(void)
{
    (void)sodium_once();
    (void)pthread_once(&gcrypt_flag, gcrypt_init);
}

static bool open_aes(gcry_cipher_hd_t *out)
{
    return pthread_once(&gcrypt_flag, gcrypt_init) == 0 && gcrypt_ready &&
           gcry_cipher_open(out, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_CTR, 0) == 0;
}

/* Keystream is the encryption of zeros. */
static bool aes_keystream(gcry_cipher_hd_t aes, uint8_t *out, size_t size)
{
    while (size > 0) {
        size_t n = size < CHUNK ? size : CHUNK;
        memset(out, 0, n);
        if (gcry_cipher_encrypt(aes, out, n, NULL, 0) != 0) {
            return false;
        }
        out += n;
        size -= n;
    }
    return true;
}

int random_from_system(void *out, size_t size)
{
    uint8_t *at = out;
    size_t left = size;
    while (left > 0) {
        ssize_t got = random_getrandom(at, left, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0 || (size_t)got > left) {
            secret_wipe(out, size);
            return CAIRN_ERR_NO_ENTROPY;
        }
        at += got;
        left -= (size_t)got;
    }
    return CAIRN_OK;
}

static bool set_seed(struct secret_rng *rng, const uint8_t seed[RANDOM_SEED_SIZE])
{
    struct secret_state *state = rng->state;
    if (rng->cipher == RANDOM_AES256 &&
        (gcry_cipher_setkey(rng->aes, seed, 32) != 0 ||
         gcry_cipher_setctr(rng->aes, seed + 32, AES_BLOCK) != 0)) {
        return false;
    }
    if (rng->cipher == RANDOM_CHACHA20) {
        memcpy(state->seed, seed, RANDOM_SEED_SIZE);
    }
    state->block = 0;
    state->produced = 0;
    return true;
}

/* size: a multiple of STREAM_BLOCK */
static bool keystream(struct secret_rng *rng, uint8_t *out, size_t size)
{
    if (rng->cipher == RANDOM_AES256) {
        return aes_keystream(rng->aes, out, size);
    }
    struct secret_state *state = rng->state;
    memset(out, 0, size);
    if (crypto_stream_chacha20_xor_ic(out, out, size, state->seed + 32, state->block,
                                      state->seed) != 0) {
        return false;
    }
    state->block += size / STREAM_BLOCK;
    return true;
}

/* The next key comes out of the old key's stream, and the old key is forgotten. */
static bool rekey(struct secret_rng *rng)
{
    uint8_t seed[STREAM_BLOCK];
    bool ok = keystream(rng, seed, sizeof seed) && set_seed(rng, seed);
    secret_wipe(seed, sizeof seed);
    return ok;
}

/* size: a multiple of STREAM_BLOCK */
static bool produce(struct secret_rng *rng, uint8_t *out, size_t size)
{
    while (size > 0) {
        size_t left = RANDOM_REKEY_BYTES - (size_t)rng->state->produced;
        size_t n = size < left ? size : left;
        if (!keystream(rng, out, n)) {
            return false;
        }
        rng->state->produced += n;
        if (n == left && !rekey(rng)) {
            return false;
        }
        out += n;
        size -= n;
    }
    return true;
}

static int reseed(struct secret_rng *rng)
{
    uint8_t seed[RANDOM_SEED_SIZE];
    int error = random_from_system(seed, sizeof seed);
    if (!error && !set_seed(rng, seed)) {
        error = CAIRN_ERR_NO_ENTROPY;
    }
    secret_wipe(seed, sizeof seed);
    if (!error) {
        rng->state->used = BUFFER;
        rng->state->alive = 1;
    }
    return error;
}

static bool is_seeded(struct secret_rng *rng)
{
    if (!rng->wiped_on_fork && rng->pid != getpid()) {
        secret_wipe(rng->state, sizeof *rng->state);
        rng->pid = getpid();
    }
    return rng->state->alive != 0;
}

/* Kernels before 4.14 refuse the advice. An emulator may nod at every advice and follow none
 * (qemu-user 7.2 does): one that does not refuse what is no advice either is not believed. */
static bool ask_to_wipe_on_fork(void *pages, size_t size)
{
    const int no_advice = -1;
    return madvise(pages, size, MADV_WIPEONFORK) == 0 && madvise(pages, size, no_advice) != 0;
}

static bool new_state(struct secret_rng *rng)
{
    long page = sysconf(_SC_PAGESIZE);
    if (page <= 0) {
        return false;
    }
    rng->state_size = size_round_up(sizeof *rng->state, (size_t)page);
    rng->state = secret_alloc(rng->state_size);
    if (!rng->state) {
        return false;
    }
    /* a whole number of pages begins at a page */
    rng->wiped_on_fork = (uintptr_t)rng->state % (size_t)page == 0 &&
                         ask_to_wipe_on_fork(rng->state, rng->state_size);
    rng->pid = getpid();
    return true;
}

int random_new_with(enum random_cipher cipher, struct secret_rng **out)
{
    *out = NULL;
    if (!sodium_once()) {
        return CAIRN_ERR_NO_ENTROPY;
    }
    struct secret_rng *rng = calloc(1, sizeof *rng);
    if (!rng) {
        return CAIRN_ERR_NO_MEMORY;
    }
    rng->cipher = cipher;
    int error = CAIRN_OK;
    if (cipher == RANDOM_AES256 && !open_aes(&rng->aes)) {
        rng->aes = NULL;
        error = CAIRN_ERR_NO_ENTROPY;
    } else if (!new_state(rng)) {
        error = CAIRN_ERR_NO_MEMORY;
    } else {
        error = reseed(rng);
    }
    if (error) {
        secret_rng_free(rng);
        return error;
    }
    *out = rng;
    return CAIRN_OK;
}

int secret_rng_new(struct secret_rng **out)
{
    *out = NULL;
    if (!sodium_once()) {
        return CAIRN_ERR_NO_ENTROPY;
    }
    /* Without AES instructions AES is table look-ups, slow and with timings that
     * depend on the key. (libsodium looks for x86's only; others get ChaCha20.) */
    return random_new_with(sodium_runtime_has_aesni() ? RANDOM_AES256 : RANDOM_CHACHA20, out);
}

/* Hand out buffered bytes, and forget them. */
static size_t take(struct secret_state *state, uint8_t *out, size_t size)
{
    size_t n = BUFFER - state->used;
    n = n < size ? n : size;
    memcpy(out, state->bytes + state->used, n);
    secret_wipe(state->bytes + state->used, n);
    state->used += n;
    return n;
}

int secret_rng_fill(struct secret_rng *rng, void *out, size_t size)
{
    struct secret_state *state = rng->state;
    uint8_t *at = out;
    size_t left = size;
    int error = is_seeded(rng) ? CAIRN_OK : reseed(rng);
    while (!error && left > 0) {
        size_t n = take(state, at, left);
        if (n == 0 && left >= BUFFER) { /* much: straight to where it is wanted */
            n = left - left % STREAM_BLOCK;
            error = produce(rng, at, n) ? CAIRN_OK : CAIRN_ERR_NO_ENTROPY;
        } else if (n == 0) {
            error = produce(rng, state->bytes, BUFFER) ? CAIRN_OK : CAIRN_ERR_NO_ENTROPY;
            state->used = 0;
        }
        at += n;
        left -= n;
    }
    if (error) {
        secret_wipe(state, sizeof *state);
        secret_wipe(out, size);
    }
    return error;
}

int secret_root_draw(struct secret_root *root, struct secret_rng *rng)
{
    return secret_rng_fill(rng, root->key, sizeof root->key);
}

int secret_rng_branch(struct secret_rng *rng, const struct secret_root *root, uint32_t number)
{
    struct secret_state *state = rng->state;
    uint8_t seed[RANDOM_SEED_SIZE] = {0};
    (void)is_seeded(rng); /* in the child of a fork: from here on this process's own */
    memcpy(seed, root->key, sizeof root->key);
    le_put32(seed + sizeof root->key, number); /* the lower half counts blocks, from zero */
    const bool ok = set_seed(rng, seed);
    secret_wipe(seed, sizeof seed);
    if (!ok) {
        secret_wipe(state, sizeof *state);
        return CAIRN_ERR_NO_ENTROPY;
    }
    secret_wipe(state->bytes + state->used, BUFFER - state->used);
    state->used = BUFFER;
    state->alive = 1;
    return CAIRN_OK;
}

void secret_rng_free(struct secret_rng *rng)
{
    if (!rng) {
        return;
    }
    if (rng->aes) {
        gcry_cipher_close(rng->aes); /* wipes its key schedule */
    }
    secret_free(rng->state);
    free(rng);
}

int random_expand(const uint8_t key[32], uint64_t offset, void *out, size_t size)
{
    if (offset % AES_BLOCK != 0) {
        return CAIRN_ERR_BUG;
    }
    gcry_cipher_hd_t aes;
    if (!open_aes(&aes)) {
        return CAIRN_ERR_ENVIRONMENT;
    }
    uint8_t counter[AES_BLOCK] = {0}; /* big-endian; the upper half is never reached */
    uint64_t block = offset / AES_BLOCK;
    for (int i = AES_BLOCK - 1; block > 0; i--, block >>= 8) {
        counter[i] = (uint8_t)block;
    }
    bool ok = gcry_cipher_setkey(aes, key, 32) == 0 &&
              gcry_cipher_setctr(aes, counter, sizeof counter) == 0 &&
              aes_keystream(aes, out, size);
    gcry_cipher_close(aes);
    if (!ok) {
        secret_wipe(out, size);
        return CAIRN_ERR_ENVIRONMENT;
    }
    return CAIRN_OK;
}
