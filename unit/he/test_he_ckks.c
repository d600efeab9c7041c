/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Profile seal-ckks: whole frames against plain sums, the bounds at their edges, lies. Keys and
 * masks are fresh in every run; values are replayable from the printed seed. That others open these sums
 * is unit/seal/test_seal_bridge.c.
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

#include "digest.h"
#include "he_choice.h"
#include "he_ckks.h"
#include "he_layout.h"
#include "he_noise.h"
#include "le.h"
#include "random.h"
#include "replay.h"
#include "secret.h"

enum { N = HE_CKKS_DEGREE, SLOTS = HE_CKKS_SLOTS };

static const uint8_t nonce[HE_NONCE_SIZE] = {9};
static struct secret_rng *rng;
static struct he_secret_key *secret, *other_secret;
static struct he_public_key *key, *other_key;
static struct replay_rng replay;
static struct cairn_problem why;

static struct he_params set_of(unsigned value_bits, uint32_t contributors)
{
    struct he_params p;
    assert_int_equal(he_params_choose(HE_SEAL_CKKS, value_bits, contributors, &p, &why), 0);
    return p;
}

static int setup(void **state)
{
    (void)state;
    uint64_t seed;
    struct he_params p;
    if (random_from_system(&seed, sizeof seed) != 0 || secret_rng_new(&rng) != 0 ||
        he_params_choose(HE_SEAL_CKKS, 16, 15, &p, NULL) != 0) {
        return -1;
    }
    printf("seed %#llx\n", (unsigned long long)seed);
    replay_init(&replay, "seal-ckks test", seed, 0, 0);
    return he_keygen(&p, rng, &secret, &key) || he_keygen(&p, rng, &other_secret, &other_key);
}

static int teardown(void **state)
{
    (void)state;
    he_secret_key_free(secret);
    he_secret_key_free(other_secret);
    he_public_key_free(key);
    he_public_key_free(other_key);
    secret_rng_free(rng);
    return 0;
}

/* A sum in the making, and what it should be. */
struct sum {
    struct he_params params;
    size_t n, bytes;
    uint32_t contributors;
    int32_t *values;
    int64_t *expected, *sums;
    uint8_t *payload, *total;
};

static struct sum sum_new(unsigned value_bits, uint32_t contributors, size_t n)
{
    struct sum s = {.params = set_of(value_bits, contributors), .n = n};
    s.bytes = he_payload_bytes(&s.params, n);
    s.values = calloc(n, sizeof *s.values);
    s.expected = calloc(n, sizeof *s.expected);
    s.sums = calloc(n, sizeof *s.sums);
    s.payload = malloc(s.bytes);
    s.total = calloc(1, s.bytes);
    return s;
}

static void sum_free(struct sum *s)
{
    free(s->values);
    free(s->expected);
    free(s->sums);
    free(s->payload);
    free(s->total);
}

/* s->values as one more payload of the sum */
static void contribute(struct sum *s)
{
    assert_int_equal(
        he_encrypt(&s->params, key, rng, NULL, nonce, 1, 2, s->values, s->n, s->payload, &why), 0);
    assert_int_equal(he_check_fields(&s->params, s->n, s->payload, &why), 0);
    he_add(&s->params, s->n, s->total, s->payload);
    s->contributors++;
    for (size_t i = 0; i < s->n; i++) {
        s->expected[i] += s->values[i];
    }
}

/* The sum once more, added to itself. */
static void double_sum(struct sum *s)
{
    memcpy(s->payload, s->total, s->bytes);
    he_add(&s->params, s->n, s->total, s->payload);
    s->contributors *= 2;
    for (size_t i = 0; i < s->n; i++) {
        s->expected[i] *= 2;
    }
}

static int open_sum(struct sum *s)
{
    return he_open(&s->params, secret, NULL, nonce, 1, 2, s->contributors, s->total, s->n, s->sums,
                   &why);
}

static void assert_opens(struct sum *s)
{
    assert_int_equal(open_sum(s), 0);
    assert_memory_equal(s->sums, s->expected, s->n * sizeof *s->sums);
}

static void assert_refused(struct sum *s)
{
    memset(s->sums, 0x5a, s->n * sizeof *s->sums);
    assert_int_equal(open_sum(s), CAIRN_ERR_INTEGRITY);
    assert_string_equal(why.what, "not an honest sum of that many payloads");
    for (size_t i = 0; i < s->n; i++) {
        assert_int_equal(s->sums[i], 0);
    }
}

enum pattern { ZEROS, ALL_MOST, ALL_LEAST, ALTERNATING, ANYTHING, PATTERNS };

static void fill(struct sum *s, enum pattern pattern)
{
    const int32_t limit = (int32_t)he_value_limit(s->params.value_bits);
    for (size_t i = 0; i < s->n; i++) {
        int32_t any = (int32_t)replay_below(&replay, 2 * (uint32_t)limit + 1) - limit;
        s->values[i] = pattern == ZEROS         ? 0
                       : pattern == ALL_MOST    ? limit
                       : pattern == ALL_LEAST   ? -limit
                       : pattern == ALTERNATING ? (i % 2 == 0 ? limit : -limit)
                                                : any;
    }
}

static void test_he_ckks__sums_are_plain_sums(void **state)
{
    (void)state;
    static const unsigned bits[] = {2, 4, 8, 16, 24};
    static const size_t sizes[] = {1, 5, SLOTS, SLOTS + 1};
    for (size_t b = 0; b < sizeof bits / sizeof bits[0]; b++) {
        for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
            struct sum s = sum_new(bits[b], PATTERNS, sizes[k]);
            for (int pattern = 0; pattern < PATTERNS; pattern++) {
                fill(&s, (enum pattern)pattern);
                contribute(&s);
            }
            assert_opens(&s);
            sum_free(&s);
        }
    }
}

/* As many as may be, each at the limit: sums of 37 bits. */
static void test_he_ckks__a_crowd_at_the_limit(void **state)
{
    (void)state;
    for (int pattern = ALL_MOST; pattern < PATTERNS; pattern++) {
        struct sum s = sum_new(24, 10000, SLOTS);
        fill(&s, (enum pattern)pattern);
        contribute(&s);
        for (int i = 0; i < 13; i++) {
            double_sum(&s);
        }
        assert_int_equal(s.contributors, 8192);
        assert_opens(&s);
        sum_free(&s);
    }
}

static void test_he_ckks__order_does_not_matter(void **state)
{
    (void)state;
    struct sum s = sum_new(16, 3, 100);
    uint8_t *each[3], *backwards = calloc(1, s.bytes);
    for (int c = 0; c < 3; c++) {
        fill(&s, ANYTHING);
        contribute(&s);
        each[c] = malloc(s.bytes);
        memcpy(each[c], s.payload, s.bytes);
    }
    for (int c = 2; c >= 0; c--) {
        he_add(&s.params, s.n, backwards, each[c]);
        free(each[c]);
    }
    assert_memory_equal(backwards, s.total, s.bytes);
    assert_opens(&s);
    free(backwards);
    sum_free(&s);
}

static void test_he_ckks__parameters(void **state)
{
    (void)state;
    struct he_params p = set_of(16, 12);
    assert_string_equal(p.id, "seal-ckks-8192-60+40+40+60-s40-b16-n12");
    assert_true(p.bits_per_param == 560 && p.chunk_params == SLOTS && p.degree == N);
    assert_true(p.failure_log2 == (double)-INFINITY && p.security_bits == 137.7 &&
                p.security_margin_bits == 14);
    assert_int_equal(he_payload_bytes(&p, 1), 2 * 140 * N / 8);
    assert_int_equal(he_payload_bytes(&p, SLOTS + 1), 4 * 140 * N / 8);
    /* the length of the whole product, 200 bits */
    const kern_u128 low = (kern_u128)HE_CKKS_Q1 * HE_CKKS_Q2;
    const kern_u128 high = (kern_u128)HE_CKKS_Q3 * HE_CKKS_SPECIAL;
    assert_true(low >> 99 == 1 && high >> 99 == 1 && (low >> 50) * (high >> 50) >> 99 == 1);
    assert_int_equal(he_choose_degree(2048, HE_SEAL_CKKS, 16, 12, &p, &why), CAIRN_ERR_CONFIG);
    assert_int_equal(he_choose_degree(N, HE_CAPSULE, 16, 12, &p, &why), CAIRN_ERR_CONFIG);
}

/* Everything that is asked for, and plain words where it ends. */
static void test_he_ckks__what_can_be_promised(void **state)
{
    (void)state;
    static const uint32_t crowds[] = {1, 2, 3, 100, 1000, 9999, 10000};
    struct he_params p;
    for (unsigned bits = 2; bits <= 24; bits++) {
        double before = 0;
        for (size_t i = 0; i < sizeof crowds / sizeof crowds[0]; i++) {
            p = set_of(bits, crowds[i]);
            assert_true(he_noise_ckks(bits, crowds[i]) > before);
            before = he_noise_ckks(bits, crowds[i]);
        }
        assert_true(before < 0.5);
    }
    for (unsigned bits = 25; bits <= 32; bits++) {
        assert_int_equal(he_params_choose(HE_SEAL_CKKS, bits, 1, &p, &why), CAIRN_ERR_CONFIG);
        assert_non_null(strstr(why.what, "value_bits up to 24"));
    }
    assert_int_equal(he_ckks_choose(24, 20000, &p, &why), CAIRN_ERR_CONFIG);
    assert_non_null(strstr(why.what, "cannot promise exact sums of 20000 clients"));
    assert_int_equal(he_params_choose(HE_SEAL_CKKS, 16, 10001, &p, &why), CAIRN_ERR_CONFIG);
}

/* Coefficients of c0 + c1 s - message of a fresh chunk, modulo the first prime. */
static void noise_of(const int32_t *values, const uint8_t *payload, const struct he_params *p,
                     double *noise)
{
    struct he_ckks_scratch *s = secret_alloc(sizeof *s);
    const struct rns_ring *ring = he_ckks_ring();
    static uint64_t message[3 * N];
    static double slots[SLOTS];
    assert_non_null(s);
    assert_int_equal(he_ckks_unpack_chunk(p, payload, SLOTS, 0, s->pair), 0);
    rlwe_phase(ring, HE_CKKS_LEVEL, secret->ckks->hat, s->pair, true, s->poly);
    for (size_t i = 0; i < SLOTS; i++) {
        slots[i] = values[i];
    }
    assert_int_equal(ckks_encode(he_ckks_encoder(), slots, SLOTS, 0x1p40, HE_CKKS_LEVEL, message,
                                 s->numbers, &why),
                     0);
    rns_neg(ring, 1, message);
    rns_add(ring, 1, s->poly, message);
    rns_backward(ring, 1, s->poly);
    for (size_t i = 0; i < N; i++) {
        uint64_t x = s->poly[i];
        noise[i] = x > HE_CKKS_Q1 / 2 ? -(double)(HE_CKKS_Q1 - x) : (double)x;
    }
    secret_free(s);
}

/* Division by the special prime leaves its rounding and that of c1 times s, of deviation
 * sqrt((1 + 2N/3) / 12) = 21.3, and no more: SEAL's own ciphertexts show 21.0. */
static void test_he_ckks__noise_is_that_of_seal(void **state)
{
    (void)state;
    static double noise[N];
    struct sum s = sum_new(16, 1, SLOTS);
    double sum = 0, squares = 0, most = 0;
    fill(&s, ANYTHING);
    contribute(&s);
    noise_of(s.values, s.total, &s.params, noise);
    for (size_t i = 0; i < N; i++) {
        sum += noise[i];
        squares += noise[i] * noise[i];
        most = fmax(most, fabs(noise[i]));
    }
    double deviation = sqrt(squares / N);
    printf("deviation %.2f, mean %.2f, largest %.0f\n", deviation, sum / N, most);
    assert_true(deviation > 19.5 && deviation < 23);
    assert_true(fabs(sum / N) < 6 * 21.3 / sqrt(N));
    assert_true(most < (1 + N) / 2.0 + 0.5); /* what he_noise_ckks takes for granted */
    sum_free(&s);
}

/* All words of c0 of chunk 0 plus a constant: every slot moves by shift / 2^40. */
static void shift_slots(struct sum *s, int64_t shift)
{
    static _Alignas(64) uint64_t words[N];
    uint8_t *at = s->total;
    for (unsigned k = 0; k < HE_CKKS_LEVEL; k++) {
        const uint64_t q = he_ckks_primes[k];
        const uint64_t lifted = shift < 0 ? q - (uint64_t)-shift % q : (uint64_t)shift % q;
        kern_get()->unpack_bits(words, at, N, he_ckks_prime_bits[k]);
        for (size_t i = 0; i < N; i++) {
            words[i] = (words[i] + lifted) % q;
        }
        kern_get()->pack_bits(at, words, N, he_ckks_prime_bits[k]);
        at += N / 8 * he_ckks_prime_bits[k] * he_chunks(&s->params, s->n);
    }
}

static void test_he_ckks__further_off_than_noise_goes(void **state)
{
    (void)state;
    for (int sign = -1; sign <= 1; sign += 2) {
        struct sum s = sum_new(16, 15, SLOTS);
        const double reach = he_noise_ckks(16, 1);
        fill(&s, ANYTHING);
        contribute(&s);
        shift_slots(&s, sign * (int64_t)ldexp(0.9 * reach, 40));
        assert_opens(&s);
        shift_slots(&s, sign * (int64_t)ldexp(0.2 * reach, 40));
        assert_refused(&s);
        s.contributors = 2; /* twice as far is fine for two */
        assert_int_equal(open_sum(&s), 0);
        sum_free(&s);
    }
}

static void test_he_ckks__one_more_than_the_largest(void **state)
{
    (void)state;
    for (int sign = -1; sign <= 1; sign += 2) {
        struct sum s = sum_new(16, 15, SLOTS);
        fill(&s, sign > 0 ? ALL_MOST : ALL_LEAST);
        contribute(&s);
        assert_opens(&s);
        shift_slots(&s, sign * (INT64_C(1) << 40));
        assert_refused(&s);
        sum_free(&s);
    }
}

/* Doubles at every power of two and around it, far beyond what a sum can be. */
static void test_he_ckks__rounding_at_every_size(void **state)
{
    (void)state;
    const struct ckks_whole rule = {.limit = (UINT64_C(1) << 50) - 1, .reach = 0.25};
    const double odd[] = {INFINITY, -INFINITY, NAN, -NAN, -0x1.8p52, -0x1p52, -0x1.8p53};
    int64_t out;
    for (int e = -1074; e <= 1023; e++) {
        for (int k = -6; k <= 6; k++) {
            const double x = k == 0 ? 0 : ldexp(k < 0 ? -1 : 1, e) + (abs(k) - 3.5) / 2;
            const bool good = fabs(round(x)) < 0x1p50 && fabs(x - round(x)) <= 0.25;
            assert_int_equal(ckks_round(&x, 1, &rule, &out, 1), good ? 0 : UINT64_MAX);
            assert_true(!good || out == (int64_t)round(x));
        }
    }
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        assert_int_equal(ckks_round(&odd[i], 1, &rule, &out, 1), UINT64_MAX);
    }
}

static void test_he_ckks__slots_that_should_be_empty(void **state)
{
    (void)state;
    struct sum s = sum_new(16, 15, SLOTS - 1);
    fill(&s, ZEROS);
    contribute(&s);
    assert_opens(&s);
    shift_slots(&s, INT64_C(1) << 40); /* in range everywhere, but the last slot is nobody's */
    assert_refused(&s);
    sum_free(&s);
}

static void test_he_ckks__wrong_key_or_rubbish(void **state)
{
    (void)state;
    struct sum s = sum_new(16, 15, SLOTS + 7);
    fill(&s, ANYTHING);
    contribute(&s);
    assert_int_equal(
        he_open(&s.params, other_secret, NULL, nonce, 1, 2, 1, s.total, s.n, s.sums, &why),
        CAIRN_ERR_INTEGRITY);
    struct he_section sections[HE_MAX_SECTIONS];
    const unsigned count = he_sections(&s.params, s.n, sections);
    uint8_t *at = s.total;
    for (unsigned i = 0; i < count; i++) {
        uint8_t *const byte = at + replay_below(&replay, (uint32_t)he_section_bytes(&sections[i]));
        *byte ^= 1; /* honest by its fields, most likely */
        assert_refused(&s);
        *byte ^= 1;
        at += he_section_bytes(&sections[i]);
    }
    assert_opens(&s);
    sum_free(&s);
}

/* A field that is not below its prime, in every section: refused before it is added, and never
 * opened. */
static void test_he_ckks__fields_that_are_none(void **state)
{
    (void)state;
    static _Alignas(64) uint64_t words[2 * N];
    struct sum s = sum_new(16, 15, SLOTS + 1);
    struct he_section sections[HE_MAX_SECTIONS];
    const unsigned count = he_sections(&s.params, s.n, sections);
    fill(&s, ZEROS);
    contribute(&s);
    assert_int_equal(count, 6);
    uint8_t *at = s.total;
    for (unsigned i = 0; i < count; i++) {
        const size_t place = replay_below(&replay, (uint32_t)sections[i].count);
        char name[64];
        kern_get()->unpack_bits(words, at, sections[i].count, sections[i].bits);
        const uint64_t honest = words[place];
        words[place] = sections[i].modulus;
        kern_get()->pack_bits(at, words, sections[i].count, sections[i].bits);
        assert_int_equal(he_check_fields(&s.params, s.n, s.total, &why), CAIRN_ERR_REFUSED);
        snprintf(name, sizeof name, "section %u: field %zu is", i, place);
        assert_non_null(strstr(why.what, name));
        assert_refused(&s);
        words[place] = sections[i].modulus - 1;
        kern_get()->pack_bits(at, words, sections[i].count, sections[i].bits);
        assert_int_equal(he_check_fields(&s.params, s.n, s.total, &why), 0);
        words[place] = honest;
        kern_get()->pack_bits(at, words, sections[i].count, sections[i].bits);
        at += he_section_bytes(&sections[i]);
    }
    assert_opens(&s);
    sum_free(&s);
}

/* A field equal to its prime is 0 to whoever reduces: it must be refused all the same. */
static void test_he_ckks__a_prime_is_not_zero(void **state)
{
    (void)state;
    struct sum s = sum_new(16, 15, 3);
    static _Alignas(64) uint64_t words[N];
    fill(&s, ANYTHING);
    contribute(&s);
    kern_get()->unpack_bits(words, s.total, N, 60);
    uint64_t small = 0;
    size_t place = 0;
    for (size_t i = 0; i < N; i++) { /* words below 2^60 - q1 have a second form */
        if (words[i] < (UINT64_C(1) << 60) - HE_CKKS_Q1) {
            small = words[i];
            place = i;
        }
    }
    if (small == 0) { /* there is one in 2^43: make one, with the rest of the row of zeros */
        memset(s.total, 0, s.bytes);
        memset(words, 0, sizeof words);
        memset(s.expected, 0, s.n * sizeof *s.expected);
        assert_opens(&s);
    }
    words[place] = small + HE_CKKS_Q1;
    kern_get()->pack_bits(s.total, words, N, 60);
    assert_refused(&s);
    sum_free(&s);
}

static void test_he_ckks__fresh_every_time(void **state)
{
    (void)state;
    struct sum s = sum_new(16, 15, 1);
    uint8_t *first = malloc(s.bytes);
    contribute(&s);
    memcpy(first, s.payload, s.bytes);
    contribute(&s);
    size_t same = 0;
    for (size_t i = 0; i < s.bytes; i++) {
        same += first[i] == s.payload[i];
    }
    /* of fields that are uniform to whoever has no key, one byte in 256; six deviations */
    double mean = (double)s.bytes / 256;
    assert_true(fabs((double)same - mean) < 6 * sqrt(mean));
    free(first);
    sum_free(&s);
}

static void test_he_ckks__values_out_of_range(void **state)
{
    (void)state;
    struct sum s = sum_new(8, 15, 600);
    s.values[599] = 128;
    assert_int_equal(
        he_encrypt(&s.params, key, rng, NULL, nonce, 1, 2, s.values, s.n, s.payload, &why),
        CAIRN_ERR_REFUSED);
    assert_non_null(strstr(why.what, "value 599"));
    for (size_t i = 0; i < s.bytes; i++) {
        assert_int_equal(s.payload[i], 0);
    }
    sum_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_he_ckks__sums_are_plain_sums),
        cmocka_unit_test(test_he_ckks__a_crowd_at_the_limit),
        cmocka_unit_test(test_he_ckks__order_does_not_matter),
        cmocka_unit_test(test_he_ckks__parameters),
        cmocka_unit_test(test_he_ckks__what_can_be_promised),
        cmocka_unit_test(test_he_ckks__noise_is_that_of_seal),
        cmocka_unit_test(test_he_ckks__further_off_than_noise_goes),
        cmocka_unit_test(test_he_ckks__one_more_than_the_largest),
        cmocka_unit_test(test_he_ckks__rounding_at_every_size),
        cmocka_unit_test(test_he_ckks__slots_that_should_be_empty),
        cmocka_unit_test(test_he_ckks__wrong_key_or_rubbish),
        cmocka_unit_test(test_he_ckks__fields_that_are_none),
        cmocka_unit_test(test_he_ckks__a_prime_is_not_zero),
        cmocka_unit_test(test_he_ckks__fresh_every_time),
        cmocka_unit_test(test_he_ckks__values_out_of_range),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
