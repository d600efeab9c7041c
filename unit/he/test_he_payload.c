/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encrypt, add, open: what goes in comes out, and what is not an honest sum does not. Keys and
 * masks are fresh in every run; the values are replayable from the printed seed. All sets are over
 * N = 2048; test_he_wide.c has N = 4096.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "he.h"
#include "he_bfv.h"
#include "he_choice.h"
#include "he_layout.h"
#include "he_noise.h"
#include "replay.h"

static struct secret_rng *rng;
static struct he_secret_key *secret;
static struct he_public_key *key;
static struct replay_rng replay;
static const uint8_t nonce[HE_NONCE_SIZE] = {0xca, 0x12, [31] = 7};

static int setup(void **state)
{
    (void)state;
    struct he_params p;
    uint64_t seed;
    if (random_from_system(&seed, sizeof seed) != 0) {
        return -1;
    }
    printf("seed %#llx\n", (unsigned long long)seed);
    replay_init(&replay, "he test", seed, 0, 0);
    return he_params_choose(HE_BFV, 8, 15, &p, NULL) || secret_rng_new(&rng) ||
           he_keygen(&p, rng, &secret, &key);
}

static int teardown(void **state)
{
    (void)state;
    he_public_key_free(key);
    he_secret_key_free(secret);
    secret_rng_free(rng);
    return 0;
}

/* A sum of payloads with all that is needed to open it. Round 1, frame 2. */
struct sum {
    struct he_params params;
    size_t n, bytes;
    uint8_t *payload; /* of the last client */
    uint8_t *total;
    int32_t *values;   /* of the last client */
    int64_t *expected, *sums;
};

static struct sum sum_of(const struct he_params *params, size_t n)
{
    struct sum s = {.params = *params};
    s.n = n;
    s.bytes = he_payload_bytes(&s.params, n);
    s.payload = malloc(s.bytes);
    s.total = calloc(1, s.bytes);
    s.values = calloc(n, sizeof *s.values);
    s.expected = calloc(n, sizeof *s.expected);
    s.sums = malloc(n * sizeof *s.sums);
    return s;
}

static struct sum sum_new(enum he_profile profile, unsigned value_bits, uint32_t clients, size_t n)
{
    struct he_params p;
    assert_int_equal(he_choose_degree(RING_DEGREE, profile, value_bits, clients, &p, NULL), 0);
    return sum_of(&p, n);
}

static void sum_free(struct sum *s)
{
    free(s->payload);
    free(s->total);
    free(s->values);
    free(s->expected);
    free(s->sums);
}

enum pattern { ALL_LARGEST, ALL_SMALLEST, ALTERNATING, RANDOM };

static void fill(struct sum *s, enum pattern pattern)
{
    int64_t limit = (int64_t)he_value_limit(s->params.value_bits);
    for (size_t i = 0; i < s->n; i++) {
        int64_t v = limit;
        if (pattern == ALL_SMALLEST || (pattern == ALTERNATING && i % 2)) {
            v = -limit;
        } else if (pattern == RANDOM) {
            v = (int64_t)replay_below(&replay, (uint32_t)(2 * limit + 1)) - limit;
        }
        s->values[i] = (int32_t)v;
    }
}

static void encrypt(struct sum *s)
{
    memset(s->payload, 0x5a, s->bytes);
    int rc = he_encrypt(&s->params, key, rng, NULL, nonce, 1, 2, s->values, s->n, s->payload, NULL);
    assert_int_equal(rc, 0);
}

static void add_client(struct sum *s, enum pattern pattern)
{
    fill(s, pattern);
    encrypt(s);
    he_add(&s->params, s->n, s->total, s->payload);
    for (size_t i = 0; i < s->n; i++) {
        s->expected[i] += s->values[i];
    }
}

static int open_sum(struct sum *s, uint32_t contributors)
{
    struct cairn_problem why;
    memset(s->sums, 0x77, s->n * sizeof *s->sums);
    return he_open(&s->params, secret, NULL, nonce, 1, 2, contributors, s->total, s->n, s->sums,
                   &why);
}

static void assert_exact(struct sum *s, uint32_t contributors)
{
    assert_int_equal(open_sum(s, contributors), 0);
    assert_memory_equal(s->sums, s->expected, s->n * sizeof *s->sums);
}

static bool all_zero(const void *bytes, size_t size)
{
    const uint8_t *b = bytes;
    uint8_t any = 0;
    for (size_t i = 0; i < size; i++) {
        any |= b[i];
    }
    return any == 0;
}

static void assert_refused(struct sum *s, int rc, int expected)
{
    assert_int_equal(rc, expected);
    assert_true(all_zero(s->sums, s->n * sizeof *s->sums));
}

/* ---- what goes in comes out ---- */

static void round_trip(enum he_profile profile, unsigned value_bits, uint32_t clients)
{
    struct he_params p;
    assert_int_equal(he_choose_degree(RING_DEGREE, profile, value_bits, clients, &p, NULL), 0);
    size_t chunk = profile == HE_NONE ? 64 : p.chunk_params;
    const size_t sizes[] = {1, chunk - 1, chunk, chunk + 1, 3 * chunk};
    size_t last = clients > 15 ? 4 : 5; /* a hundred clients: once, not for the largest frame */
    for (size_t i = 0; i < last; i++) {
        struct sum s = sum_new(profile, value_bits, clients, sizes[i]);
        enum pattern pattern = (enum pattern)((i + value_bits / 2) % 4);
        for (uint32_t c = 0; c < clients; c++) {
            add_client(&s, pattern);
        }
        assert_exact(&s, clients);
        sum_free(&s);
    }
}

static void round_trips(enum he_profile profile)
{
    static const unsigned bits[] = {2, 4, 8, 12, 16, 24};
    static const uint32_t clients[] = {1, 2, 3, 12, 15, 100};
    for (size_t b = 0; b < 6; b++) {
        for (size_t c = 0; c < 6; c++) {
            round_trip(profile, bits[b], clients[c]);
        }
    }
}

static void test_he_payload__round_trip_none(void **state)
{
    (void)state;
    round_trips(HE_NONE);
    round_trip(HE_NONE, 32, 100); /* 64-bit fields */
}

/* Every width from 2 to 46 bits that this comes to, and every number of fields in the last byte. */
static void test_he_payload__round_trip_plain_packed(void **state)
{
    (void)state;
    static const uint32_t clients[] = {1, 2, 3, 12, 100, 10000};
    static const enum pattern patterns[] = {ALL_LARGEST, ALL_SMALLEST, ALTERNATING, RANDOM};
    unsigned widest = 0;
    for (unsigned bits = 2; bits <= 32; bits++) {
        for (size_t c = 0; c < sizeof clients / sizeof clients[0]; c++) {
            struct he_params p;
            assert_int_equal(he_params_plain(bits, clients[c], &p, NULL), 0);
            widest = p.bits > widest ? p.bits : widest;
            const size_t n = 1 + (bits * 7 + c) % 1100;
            struct sum s = sum_of(&p, n);
            assert_int_equal(s.bytes, (p.bits % 8 == 0 ? n : (n + 7) / 8 * 8) * p.bits / 8);
            for (uint32_t k = 0; k < clients[c] && k < 100; k++) {
                add_client(&s, patterns[(bits + c + k / 50) % 4]);
            }
            assert_exact(&s, clients[c]);
            sum_free(&s);
        }
    }
    assert_int_equal(widest, 46);
}

/* As many as the width was made for: the sums reach both ends of what is allowed. */
static void test_he_payload__plain_packed_is_full(void **state)
{
    (void)state;
    struct he_params p;
    assert_int_equal(he_params_plain(4, 9, &p, NULL), 0); /* 9 x 7 = 63 */
    assert_int_equal(p.bits, 7);
    for (int sign = 0; sign < 2; sign++) {
        struct sum s = sum_of(&p, 13);
        for (int c = 0; c < 9; c++) {
            add_client(&s, sign ? ALL_SMALLEST : ALL_LARGEST);
        }
        assert_exact(&s, 9);
        assert_refused(&s, open_sum(&s, 8), CAIRN_ERR_INTEGRITY); /* more than 8 could send */
        s.total[s.bytes - 1] ^= 0x80; /* a field behind the last value */
        assert_refused(&s, open_sum(&s, 9), CAIRN_ERR_INTEGRITY);
        sum_free(&s);
    }
}

static void test_he_payload__round_trip_bfv(void **state)
{
    (void)state;
    round_trips(HE_BFV);
}

static void test_he_payload__round_trip_capsule(void **state)
{
    (void)state;
    round_trips(HE_CAPSULE);
}

static void test_he_payload__fewer_contributors_than_possible(void **state)
{
    (void)state;
    for (int profile = HE_NONE; profile <= HE_CAPSULE; profile++) {
        struct sum s = sum_new((enum he_profile)profile, 12, 15, 5000);
        for (uint32_t c = 1; c <= 15; c++) {
            add_client(&s, c % 3 == 0 ? RANDOM : ALL_LARGEST);
            assert_exact(&s, c);
        }
        sum_free(&s);
    }
}

static void test_he_payload__order_does_not_matter(void **state)
{
    (void)state;
    enum { CLIENTS = 6 };
    for (int profile = HE_NONE; profile <= HE_CAPSULE; profile++) {
        struct sum s = sum_new((enum he_profile)profile, 8, CLIENTS, 3000);
        uint8_t *each[CLIENTS], *backwards = calloc(1, s.bytes);
        for (int c = 0; c < CLIENTS; c++) {
            add_client(&s, RANDOM);
            each[c] = malloc(s.bytes);
            memcpy(each[c], s.payload, s.bytes);
        }
        for (int c = CLIENTS; c-- > 0;) {
            he_add(&s.params, s.n, backwards, each[c]);
        }
        assert_memory_equal(backwards, s.total, s.bytes);
        for (int c = 0; c < CLIENTS; c += 2) { /* a tree: (0+1) + ((2+3) + (4+5)) */
            he_add(&s.params, s.n, each[c], each[c + 1]);
        }
        he_add(&s.params, s.n, each[2], each[4]);
        he_add(&s.params, s.n, each[0], each[2]);
        assert_memory_equal(each[0], s.total, s.bytes);
        for (int c = 0; c < CLIENTS; c++) {
            free(each[c]);
        }
        free(backwards);
        sum_free(&s);
    }
}

/* ---- what is not an honest sum ---- */

/* The section of a payload by number, in `bytes`. */
static uint8_t *section(const struct sum *s, uint8_t *bytes, unsigned which, size_t *size)
{
    struct he_section sections[HE_MAX_SECTIONS];
    assert_true(which < he_sections(&s->params, s->n, sections));
    for (unsigned i = 0; i < which; i++) {
        bytes += he_section_bytes(&sections[i]);
    }
    *size = he_section_bytes(&sections[which]);
    return bytes;
}

static struct sum capsule_sum(uint32_t clients)
{
    struct sum s = sum_new(HE_CAPSULE, 16, 15, 5000);
    for (uint32_t c = 0; c < clients; c++) {
        add_client(&s, RANDOM);
    }
    return s;
}

static void test_he_payload__wrong_name_or_key(void **state)
{
    (void)state;
    struct sum s = capsule_sum(5);
    uint8_t other_nonce[HE_NONCE_SIZE];
    memcpy(other_nonce, nonce, sizeof nonce);
    other_nonce[0] ^= 1;
    const struct { const uint8_t *nonce; uint32_t round, frame; } names[] = {
        {nonce, 2, 2}, {nonce, 1, 3}, {other_nonce, 1, 2}, {nonce, 2, 1}};
    for (size_t i = 0; i < 4; i++) {
        struct cairn_problem why;
        int rc = he_open(&s.params, secret, NULL, names[i].nonce, names[i].round, names[i].frame, 5,
                         s.total, s.n, s.sums, &why);
        assert_refused(&s, rc, CAIRN_ERR_INTEGRITY);
        assert_string_equal(why.what, "not an honest sum of that many payloads");
    }
    struct he_secret_key *stranger;
    struct he_public_key *unused;
    assert_int_equal(he_keygen(&s.params, rng, &stranger, &unused), 0);
    int rc = he_open(&s.params, stranger, NULL, nonce, 1, 2, 5, s.total, s.n, s.sums, NULL);
    assert_refused(&s, rc, CAIRN_ERR_INTEGRITY);
    he_secret_key_free(stranger);
    he_public_key_free(unused);
    assert_exact(&s, 5);
    sum_free(&s);
}

/* Only the body, or only the capsule, of s->payload. */
static void add_part(struct sum *s, bool body)
{
    size_t size;
    uint8_t *part = calloc(1, s->bytes);
    for (unsigned k = body ? 0 : 1; k < (body ? 1 : 3); k++) {
        const uint8_t *from = section(s, s->payload, k, &size);
        memcpy(section(s, part, k, &size), from, size);
    }
    he_add(&s->params, s->n, s->total, part);
    free(part);
}

static void test_he_payload__capsule_and_body_must_belong_together(void **state)
{
    (void)state;
    for (int body = 0; body <= 1; body++) {
        for (int doubled = 0; doubled <= 1; doubled++) {
            struct sum s = capsule_sum(4);
            assert_exact(&s, 4);
            if (!doubled) { /* a fifth client, of whom one part is missing */
                fill(&s, RANDOM);
                encrypt(&s);
            }
            add_part(&s, body);
            assert_refused(&s, open_sum(&s, 4), CAIRN_ERR_INTEGRITY);
            assert_refused(&s, open_sum(&s, 5), CAIRN_ERR_INTEGRITY);
            add_part(&s, !body); /* complete again */
            assert_int_equal(open_sum(&s, 5), 0);
            sum_free(&s);
        }
    }
}

static void test_he_payload__flipped_bit_in_the_capsule(void **state)
{
    (void)state;
    /* Either the key's sum is still right (a bit below the noise) and so are all sums, or nothing
     * opens. */
    struct sum s = capsule_sum(3);
    int refused = 0, trials = 0;
    for (unsigned k = 1; k <= 2; k++) {
        size_t size;
        uint8_t *part = section(&s, s.total, k, &size);
        for (int i = 0; i < 150; i++) {
            size_t bit = replay_below(&replay, (uint32_t)(8 * size));
            part[bit / 8] ^= (uint8_t)(1 << bit % 8);
            int rc = open_sum(&s, 3);
            if (rc == 0) {
                assert_memory_equal(s.sums, s.expected, s.n * sizeof *s.sums);
            } else {
                assert_refused(&s, rc, CAIRN_ERR_INTEGRITY);
                refused++;
            }
            trials++;
            part[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
    printf("%d of %d flips refused\n", refused, trials);
    assert_true(refused > trials / 2);
    assert_exact(&s, 3);
    sum_free(&s);
}

static void test_he_payload__capsule_that_is_right_but_off(void **state)
{
    (void)state;
    /* A c0 field that is moved, but not as far as the next key: every sum would be right. Only the
     * capsule's own distance check can see it. */
    struct sum s = capsule_sum(3);
    size_t size;
    uint8_t *part = section(&s, s.total, 1, &size);
    unsigned bits = s.params.bfv.bits0;
    uint8_t *push = calloc(1, size);
    uint64_t spacing = (UINT64_C(1) << bits) / s.params.bfv.plain_modulus;
    push[0] = (uint8_t)(spacing * 3 / 10); /* of 1/2: honest noise of 3 reaches 0.16 */
    kern_get()->add_packed(part, push, size, bits);
    assert_refused(&s, open_sum(&s, 3), CAIRN_ERR_INTEGRITY);
    free(push);
    sum_free(&s);
}

static void test_he_payload__flipped_bit_in_the_body(void **state)
{
    (void)state;
    /* Ciphertexts can be bent: 2^i close to a multiple of D moves one message by that multiple.
     * Everything else is refused, or below the noise and harmless; never does a flip reach another
     * coefficient. */
    struct sum s = capsule_sum(3);
    int refused = 0, moved = 0;
    enum { TRIALS = 200 };
    for (int i = 0; i < TRIALS; i++) {
        size_t bit = replay_below(&replay, 2048 * 45); /* the first chunk */
        s.total[bit / 8] ^= (uint8_t)(1 << bit % 8);
        int rc = open_sum(&s, 3);
        if (rc == 0) {
            size_t coefficient = bit / 45;
            for (size_t v = 0; v < s.n; v++) {
                bool touched = v < 4096 && v % 2048 == coefficient;
                assert_true(touched || s.sums[v] == s.expected[v]);
            }
            moved += s.sums[coefficient] != s.expected[coefficient];
        } else {
            assert_refused(&s, rc, CAIRN_ERR_INTEGRITY);
            refused++;
        }
        s.total[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    printf("%d of %d flips refused, %d moved a message\n", refused, TRIALS, moved);
    assert_true(refused > TRIALS / 2);
    sum_free(&s);
}

static void test_he_payload__bfv_residual(void **state)
{
    (void)state;
    struct sum s = sum_new(HE_BFV, 16, 15, 3000);
    for (int c = 0; c < 4; c++) {
        add_client(&s, RANDOM);
    }
    for (int i = 0; i < 20; i++) { /* rubbish in either half */
        size_t size, at;
        uint8_t *part = section(&s, s.total, (unsigned)i % 2, &size), saved[64];
        at = replay_below(&replay, (uint32_t)(size - sizeof saved));
        memcpy(saved, part + at, sizeof saved);
        assert_int_equal(secret_rng_fill(rng, part + at, sizeof saved), 0);
        assert_refused(&s, open_sum(&s, 4), CAIRN_ERR_INTEGRITY);
        memcpy(part + at, saved, sizeof saved);
    }
    struct he_secret_key *stranger;
    struct he_public_key *unused;
    assert_int_equal(he_keygen(&s.params, rng, &stranger, &unused), 0);
    int rc = he_open(&s.params, stranger, NULL, nonce, 1, 2, 4, s.total, s.n, s.sums, NULL);
    assert_refused(&s, rc, CAIRN_ERR_INTEGRITY);
    he_secret_key_free(stranger);
    he_public_key_free(unused);
    assert_exact(&s, 4);
    sum_free(&s);
}

static void test_he_payload__more_than_that_many_could_send(void **state)
{
    (void)state;
    for (int profile = HE_NONE; profile <= HE_CAPSULE; profile++) {
        struct sum s = sum_new((enum he_profile)profile, 8, 15, 100);
        add_client(&s, ALL_LARGEST);
        add_client(&s, ALL_LARGEST);
        add_client(&s, ALL_LARGEST);
        assert_exact(&s, 3);
        assert_refused(&s, open_sum(&s, 2), CAIRN_ERR_INTEGRITY); /* |sum| > 2 * 127 */
        sum_free(&s);
    }
}

static void test_he_payload__contributors_are_checked_first(void **state)
{
    (void)state;
    for (int profile = HE_NONE; profile <= HE_CAPSULE; profile++) {
        struct sum s = sum_new((enum he_profile)profile, 8, 15, 10);
        add_client(&s, RANDOM);
        assert_refused(&s, open_sum(&s, 0), CAIRN_ERR_REFUSED);
        assert_refused(&s, open_sum(&s, 16), CAIRN_ERR_REFUSED);
        assert_refused(&s, open_sum(&s, UINT32_MAX), CAIRN_ERR_REFUSED);
        sum_free(&s);
    }
}

/* ---- refusing to encrypt ---- */

static void test_he_payload__values_out_of_range(void **state)
{
    (void)state;
    static const int32_t wrong[] = {128, -128, INT32_MAX, INT32_MIN};
    for (int profile = HE_NONE; profile <= HE_CAPSULE; profile++) {
        struct sum s = sum_new((enum he_profile)profile, 8, 15, 500);
        for (size_t i = 0; i < 4; i++) {
            struct cairn_problem why;
            fill(&s, ALTERNATING);
            s.values[137] = wrong[i];
            s.values[140] = wrong[i];
            memset(s.payload, 0x5a, s.bytes);
            int rc =
                he_encrypt(&s.params, key, rng, NULL, nonce, 1, 2, s.values, s.n, s.payload, &why);
            assert_int_equal(rc, CAIRN_ERR_REFUSED);
            assert_non_null(strstr(why.what, "value 137 "));
            assert_true(all_zero(s.payload, s.bytes));
        }
        sum_free(&s);
    }
}

static void test_he_payload__frame_too_long(void **state)
{
    (void)state;
    struct he_params p;
    assert_int_equal(he_params_choose(HE_CAPSULE, 8, 15, &p, NULL), 0);
    int32_t value = 0;
    uint8_t payload = 0;
    const size_t sizes[] = {0, p.chunk_params * HE_MAX_CHUNKS + 1};
    for (int i = 0; i < 2; i++) {
        int rc = he_encrypt(&p, key, rng, NULL, nonce, 1, 2, &value, sizes[i], &payload, NULL);
        assert_int_equal(rc, CAIRN_ERR_REFUSED);
    }
}

/* ---- what a payload shows ---- */

static void test_he_payload__fresh_every_time(void **state)
{
    (void)state;
    for (int profile = HE_BFV; profile <= HE_CAPSULE; profile++) {
        struct sum s = sum_new((enum he_profile)profile, 16, 15, 5000);
        encrypt(&s);
        memcpy(s.total, s.payload, s.bytes);
        encrypt(&s); /* the same values again */
        size_t bits = 0;
        for (size_t i = 0; i < s.bytes; i++) {
            bits += (size_t)__builtin_popcount(s.total[i] ^ s.payload[i]);
        }
        /* half of the bits differ, within 8 standard deviations */
        double expected = 4.0 * (double)s.bytes;
        assert_true(fabs((double)bits - expected) < 8 * sqrt(2.0 * (double)s.bytes));
        sum_free(&s);
    }
}

static void test_he_payload__bits_are_balanced(void **state)
{
    (void)state;
    for (int profile = HE_BFV; profile <= HE_CAPSULE; profile++) {
        for (int pattern = ALL_LARGEST; pattern <= RANDOM; pattern++) {
            struct sum s = sum_new((enum he_profile)profile, 8, 3, 60000);
            fill(&s, (enum pattern)pattern);
            encrypt(&s);
            size_t ones = 0, bytes[256] = {0};
            for (size_t i = 0; i < s.bytes; i++) {
                ones += (size_t)__builtin_popcount(s.payload[i]);
                bytes[s.payload[i]]++;
            }
            double size = (double)s.bytes;
            assert_true(fabs((double)ones - 4 * size) < 8 * sqrt(2 * size));
            double chi2 = 0, each = size / 256;
            for (int b = 0; b < 256; b++) {
                chi2 += ((double)bytes[b] - each) * ((double)bytes[b] - each) / each;
            }
            assert_true(chi2 < 255 + 10 * sqrt(2 * 255.0));
            sum_free(&s);
        }
    }
}

/* ---- noise ---- */

/* Phases of fresh ciphertexts of zero and of sums of 15, with 50 + 50 bits on the wire. */
static void test_he_payload__noise_is_as_predicted(void **state)
{
    (void)state;
    enum { CLIENTS = 15, ROUNDS = 4 };
    const struct kern_ops *ops = kern_get();
    struct he_params p;
    assert_int_equal(he_params_choose(HE_BFV, 8, CLIENTS, &p, NULL), 0);
    struct he_bfv_set set = p.bfv;
    set.bits0 = set.bits1 = 50;
    size_t half = RING_DEGREE * 50 / 8;
    uint8_t *sum = malloc(2 * half), *one = malloc(2 * half);
    struct he_scratch *s = he_scratch_new();
    double squares = 0, single = 0, largest = 0;
    for (int r = 0; r < ROUNDS; r++) {
        memset(sum, 0, 2 * half);
        for (int c = 0; c < CLIENTS; c++) {
            memset(s->message, 0, sizeof s->message);
            assert_int_equal(he_bfv_encrypt(&set, key, rng, RING_DEGREE, one, one + half, s), 0);
            ops->add_packed(sum, one, 2 * half, 50);
            if (c == 0 || c == CLIENTS - 1) {
                const uint8_t *which = c == 0 ? one : sum;
                (void)he_bfv_open(&set, secret, CLIENTS, RING_DEGREE, which, which + half, s);
                for (size_t i = 0; i < RING_DEGREE; i++) {
                    /* opening leaves c0 and s c1 there; 2^64 stands for 1, 2^14 for 2^-50 */
                    double e = (double)(int64_t)((s->a[i] + s->b[i]) << 14) / 16384;
                    *(c == 0 ? &single : &squares) += e * e;
                    largest = fmax(largest, fabs(e));
                }
            }
        }
    }
    single = sqrt(single / (ROUNDS * RING_DEGREE));
    squares = sqrt(squares / (ROUNDS * RING_DEGREE));
    double predicted = sqrt(10.5 * (4 * RING_DEGREE / 3.0 + 1));
    printf("deviation of one %.1f (predicted %.1f), of %d %.1f (%.1f), largest %.0f\n", single,
           predicted, CLIENTS, squares, predicted * sqrt(CLIENTS), largest);
    assert_true(fabs(single / predicted - 1) < 0.12);
    assert_true(fabs(squares / (predicted * sqrt(CLIENTS)) - 1) < 0.12);
    assert_true(largest < he_noise_bfv(CLIENTS, 50, 50, he_noise_tail(-64)));
    he_scratch_free(s);
    free(sum);
    free(one);
}

/* The one-time key of a single payload, transformed into s->key; its variance is returned. */
static double open_one_time_key(const struct sum *sum, struct he_scratch *s)
{
    const struct he_bfv_set *set = &sum->params.bfv;
    struct kern_lanes lanes;
    size_t size, used = he_key_coefficients(set->lanes);
    const uint8_t *c0 = section(sum, sum->payload, 1, &size);
    const uint8_t *c1 = section(sum, sum->payload, 2, &size);
    assert_true(kern_lanes_init(&lanes, set->lanes, set->radix));
    assert_int_equal(he_bfv_open(set, secret, 1, used, c0, c1, s), 0);
    uint64_t bad =
        kern_get()->lanes_unpack(s->digits, RING_DEGREE, s->message, used, &lanes, 21);
    assert_int_equal(bad, 0);
    double squares = 0;
    for (size_t i = 0; i < RING_DEGREE; i++) {
        s->small[i] = (int32_t)s->digits[i];
        squares += (double)(s->digits[i] * s->digits[i]);
    }
    kern_get()->lift_small(s->key, s->small, RING_DEGREE, &ring_get(RING_Q)->modulus);
    kern_get()->ntt_fwd(s->key, ring_get(RING_Q));
    return squares / RING_DEGREE;
}

/* b + round(a s 2^50 / q) of chunk j of a payload of zeros: the errors, and two roundings. */
static void body_errors(const struct sum *sum, uint32_t j, struct he_scratch *s, double *e)
{
    const struct kern_ntt *ring = ring_get(RING_Q);
    uint8_t seed[32];
    he_capsule_seed(&sum->params, nonce, 1, 2, j, seed);
    assert_int_equal(he_expand(seed, s->a, s->stream), 0);
    kern_get()->mul(s->a, s->a, s->key, RING_DEGREE, &ring->modulus);
    kern_get()->ntt_inv(s->a, ring);
    struct kern_switch to_wire;
    kern_switch_init(&to_wire, &ring->modulus, 50);
    kern_get()->switch_pow2(s->a, RING_DEGREE, &to_wire);
    const size_t chunk_bytes = RING_DEGREE * 50 / 8;
    kern_get()->unpack_bits(s->b, sum->payload + j * chunk_bytes, RING_DEGREE, 50);
    for (size_t i = 0; i < RING_DEGREE; i++) {
        uint64_t x = (s->a[i] + s->b[i]) << 14;
        e[i] = (double)(int64_t)x / 16384;
    }
}

static void test_he_payload__capsule_body_has_fresh_errors(void **state)
{
    (void)state;
    enum { CHUNKS = 24 };
    struct sum s = sum_new(HE_CAPSULE, 16, 15, CHUNKS * 4096);
    s.params.bits = 50; /* the errors, not the rounding, must show */
    s.params.step = 1000;
    free(s.payload);
    s.bytes = he_payload_bytes(&s.params, s.n);
    s.payload = malloc(s.bytes);
    struct he_scratch *scratch = he_scratch_new();
    static double e[CHUNKS][RING_DEGREE];
    encrypt(&s);
    double key_variance = open_one_time_key(&s, scratch), squares = 0, sum = 0, across = 0;
    const double total = CHUNKS * RING_DEGREE;
    for (uint32_t j = 0; j < CHUNKS; j++) {
        body_errors(&s, j, scratch, e[j]);
        for (size_t i = 0; i < RING_DEGREE; i++) {
            assert_true(fabs(e[j][i]) <= 22);
            sum += e[j][i];
            squares += e[j][i] * e[j][i];
            across += j > 0 ? e[j][i] * e[j - 1][i] : 0;
        }
    }
    printf("key variance %.2f, error mean %.3f, variance %.3f\n", key_variance, sum / total,
           squares / total);
    assert_true(fabs(key_variance - 10.5) < 8 * 10.5 * sqrt(2.0 / RING_DEGREE));
    assert_true(fabs(squares / total - 10.5 - 2 / 12.0) < 8 * 10.5 * sqrt(2 / total));
    assert_true(fabs(sum) < 8 * sqrt(10.5 * total));
    assert_true(fabs(across) < 8 * 10.5 * sqrt(total));
    he_scratch_free(scratch);
    sum_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_he_payload__round_trip_none),
        cmocka_unit_test(test_he_payload__round_trip_plain_packed),
        cmocka_unit_test(test_he_payload__plain_packed_is_full),
        cmocka_unit_test(test_he_payload__round_trip_bfv),
        cmocka_unit_test(test_he_payload__round_trip_capsule),
        cmocka_unit_test(test_he_payload__fewer_contributors_than_possible),
        cmocka_unit_test(test_he_payload__order_does_not_matter),
        cmocka_unit_test(test_he_payload__wrong_name_or_key),
        cmocka_unit_test(test_he_payload__capsule_and_body_must_belong_together),
        cmocka_unit_test(test_he_payload__flipped_bit_in_the_capsule),
        cmocka_unit_test(test_he_payload__capsule_that_is_right_but_off),
        cmocka_unit_test(test_he_payload__flipped_bit_in_the_body),
        cmocka_unit_test(test_he_payload__bfv_residual),
        cmocka_unit_test(test_he_payload__more_than_that_many_could_send),
        cmocka_unit_test(test_he_payload__contributors_are_checked_first),
        cmocka_unit_test(test_he_payload__values_out_of_range),
        cmocka_unit_test(test_he_payload__frame_too_long),
        cmocka_unit_test(test_he_payload__fresh_every_time),
        cmocka_unit_test(test_he_payload__bits_are_balanced),
        cmocka_unit_test(test_he_payload__noise_is_as_predicted),
        cmocka_unit_test(test_he_payload__capsule_body_has_fresh_errors),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
