/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two generators that SEAL expands seeds with. Seeds are public.
 *
 * BLAKE2Xb is BLAKE2b (RFC 7693) with other parameter blocks: a root hash of key and message, then
 * one compression of that root for each 64 bytes of output. libsodium's BLAKE2b does not let the
 * parameter block be chosen, so its compression function stands here.
 * Source: Aumasson, Neves, Wilcox-O'Hearn, Winnerlein, "BLAKE2X", 2016, section 2.
 */
#include <string.h>

#include "le.h"
#include "seal_expand.h"

/* ---- BLAKE2b ---- */

enum { BLAKE_BLOCK = 128, BLAKE_OUT = 64 };

static const uint64_t blake_iv[8] = {
    /* RFC 7693, 2.6: those of SHA-512 */
    0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};

static const uint8_t blake_sigma[12][16] = {
    /* RFC 7693, 2.7; rounds 10 and 11 repeat 0 and 1 */
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
    {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
    {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
    {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
    {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
};

static inline uint64_t rotr64(uint64_t x, unsigned r)
{
    return x >> r | x << (64 - r);
}

static inline void blake_mix(uint64_t v[16], unsigned a, unsigned b, unsigned c, unsigned d,
                             uint64_t x, uint64_t y)
{
    v[a] += v[b] + x;
    v[d] = rotr64(v[d] ^ v[a], 32);
    v[c] += v[d];
    v[b] = rotr64(v[b] ^ v[c], 24);
    v[a] += v[b] + y;
    v[d] = rotr64(v[d] ^ v[a], 16);
    v[c] += v[d];
    v[b] = rotr64(v[b] ^ v[c], 63);
}

/* h = F(h, block, bytes hashed so far, last) */
static void blake_compress(uint64_t h[8], const uint8_t block[BLAKE_BLOCK], uint64_t total,
                           int last)
{
    uint64_t m[16], v[16];
    for (unsigned i = 0; i < 16; i++) {
        m[i] = le_get64(block + 8 * i);
    }
    memcpy(v, h, 64);
    memcpy(v + 8, blake_iv, 64);
    v[12] ^= total;
    v[14] ^= last ? UINT64_MAX : 0;
    for (unsigned r = 0; r < 12; r++) {
        const uint8_t *s = blake_sigma[r];
        blake_mix(v, 0, 4, 8, 12, m[s[0]], m[s[1]]);
        blake_mix(v, 1, 5, 9, 13, m[s[2]], m[s[3]]);
        blake_mix(v, 2, 6, 10, 14, m[s[4]], m[s[5]]);
        blake_mix(v, 3, 7, 11, 15, m[s[6]], m[s[7]]);
        blake_mix(v, 0, 5, 10, 15, m[s[8]], m[s[9]]);
        blake_mix(v, 1, 6, 11, 12, m[s[10]], m[s[11]]);
        blake_mix(v, 2, 7, 8, 13, m[s[12]], m[s[13]]);
        blake_mix(v, 3, 4, 9, 14, m[s[14]], m[s[15]]);
    }
    for (unsigned i = 0; i < 8; i++) {
        h[i] ^= v[i] ^ v[i + 8];
    }
}

/* Parameter block, RFC 7693 2.5 with BLAKE2X's xof_length in the upper half of the node offset. */
struct blake_params {
    uint8_t key_size, fanout, depth, inner_size;
    uint32_t leaf_size, node_offset, xof_size;
};

static void blake_init(uint64_t h[8], const struct blake_params *p)
{
    uint8_t block[64] = {BLAKE_OUT, p->key_size, p->fanout, p->depth};
    le_put32(block + 4, p->leaf_size);
    le_put32(block + 8, p->node_offset);
    le_put32(block + 12, p->xof_size);
    block[17] = p->inner_size; /* byte 16 is the node depth, 0 */
    for (unsigned i = 0; i < 8; i++) {
        h[i] = blake_iv[i] ^ le_get64(block + 8 * i);
    }
}

static void put_state(const uint64_t h[8], uint8_t out[BLAKE_OUT])
{
    for (unsigned i = 0; i < 8; i++) {
        le_put64(out + 8 * i, h[i]);
    }
}

static void blake2xb_block(const uint8_t seed[SEAL_SEED_SIZE], uint64_t counter,
                           uint8_t out[SEAL_BLOCK_SIZE])
{
    const struct blake_params root = {SEAL_SEED_SIZE, 1, 1, 0, 0, 0, SEAL_BLOCK_SIZE};
    uint64_t h[8];
    uint8_t key[BLAKE_BLOCK] = {0}, message[BLAKE_BLOCK] = {0};
    memcpy(key, seed, SEAL_SEED_SIZE);
    le_put64(message, counter);
    blake_init(h, &root);
    blake_compress(h, key, BLAKE_BLOCK, 0);
    blake_compress(h, message, BLAKE_BLOCK + 8, 1);

    uint8_t top[BLAKE_BLOCK] = {0};
    put_state(h, top);
    for (uint32_t i = 0; i < SEAL_BLOCK_SIZE / BLAKE_OUT; i++) {
        const struct blake_params leaf = {0, 0, 0, BLAKE_OUT, BLAKE_OUT, i, SEAL_BLOCK_SIZE};
        blake_init(h, &leaf);
        blake_compress(h, top, BLAKE_OUT, 1);
        put_state(h, out + BLAKE_OUT * (size_t)i);
    }
}

/* ---- SHAKE256 (FIPS 202) ---- */

enum { SHAKE_RATE = 136, KECCAK_ROUNDS = 24 };

/* Round constants by their definition (FIPS 202, algorithms 5 and 6): bit 2^j - 1 of round i's
 * constant is bit j + 7i of an 8-bit shift register. */
static uint64_t keccak_constant(uint8_t *lfsr)
{
    uint64_t rc = 0;
    for (unsigned j = 0; j < 7; j++) {
        rc |= (uint64_t)(*lfsr & 1) << ((1U << j) - 1);
        *lfsr = (uint8_t)((*lfsr << 1) ^ ((*lfsr >> 7) * 0x71));
    }
    return rc;
}

static inline uint64_t rotl64(uint64_t x, unsigned r)
{
    return r == 0 ? x : x << r | x >> (64 - r);
}

static void keccak_theta(uint64_t a[25])
{
    uint64_t c[5];
    for (unsigned x = 0; x < 5; x++) {
        c[x] = a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20];
    }
    for (unsigned x = 0; x < 5; x++) {
        uint64_t d = c[(x + 4) % 5] ^ rotl64(c[(x + 1) % 5], 1);
        for (unsigned y = 0; y < 25; y += 5) {
            a[x + y] ^= d;
        }
    }
}

/* rho and pi: along (x, y) -> (y, 2x + 3y), step t turns by (t + 1)(t + 2) / 2 */
static void keccak_rho_pi(uint64_t a[25])
{
    unsigned x = 1, y = 0;
    uint64_t moving = a[1];
    for (unsigned t = 0; t < 24; t++) {
        unsigned next = (2 * x + 3 * y) % 5;
        x = y;
        y = next;
        uint64_t kept = a[x + 5 * y];
        a[x + 5 * y] = rotl64(moving, (t + 1) * (t + 2) / 2 % 64);
        moving = kept;
    }
}

static void keccak_chi(uint64_t a[25])
{
    for (unsigned y = 0; y < 25; y += 5) {
        uint64_t row[5];
        memcpy(row, a + y, sizeof row);
        for (unsigned x = 0; x < 5; x++) {
            a[x + y] = row[x] ^ (~row[(x + 1) % 5] & row[(x + 2) % 5]);
        }
    }
}

static void keccak(uint64_t a[25])
{
    uint8_t lfsr = 1;
    for (unsigned round = 0; round < KECCAK_ROUNDS; round++) {
        keccak_theta(a);
        keccak_rho_pi(a);
        keccak_chi(a);
        a[0] ^= keccak_constant(&lfsr);
    }
}

static void absorb(uint64_t a[25], const uint8_t block[SHAKE_RATE])
{
    for (unsigned i = 0; i < SHAKE_RATE / 8; i++) {
        a[i] ^= le_get64(block + 8 * i);
    }
    keccak(a);
}

void seal_shake256(const uint8_t *message, size_t size, uint8_t *out, size_t out_size)
{
    uint64_t a[25] = {0};
    for (; size >= SHAKE_RATE; size -= SHAKE_RATE, message += SHAKE_RATE) {
        absorb(a, message);
    }
    uint8_t block[SHAKE_RATE] = {0};
    if (size > 0) {
        memcpy(block, message, size);
    }
    block[size] = 0x1f; /* the suffix 1111 of SHAKE and the first 1 of the padding */
    block[SHAKE_RATE - 1] |= 0x80;
    absorb(a, block);
    while (out_size > 0) {
        for (unsigned i = 0; i < SHAKE_RATE / 8; i++) {
            le_put64(block + 8 * i, a[i]);
        }
        size_t part = out_size < SHAKE_RATE ? out_size : SHAKE_RATE;
        memcpy(out, block, part);
        out += part;
        out_size -= part;
        keccak(a);
    }
}

void seal_seed_block(const struct seal_seed *seed, uint64_t counter, uint8_t out[SEAL_BLOCK_SIZE])
{
    if (seed->prng == SEAL_SHAKE256) {
        uint8_t message[SEAL_SEED_SIZE + 8];
        memcpy(message, seed->bytes, SEAL_SEED_SIZE);
        le_put64(message + SEAL_SEED_SIZE, counter);
        seal_shake256(message, sizeof message, out, SEAL_BLOCK_SIZE);
    } else {
        blake2xb_block(seed->bytes, counter, out);
    }
}
