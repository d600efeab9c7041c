/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sampler of privacy noise: counted out over all outcomes of its first coins, and by statistics over many samples. The
 * statistics draw from a replayable generator whose seed is printed; each bound is one that an honest sampler exceeds
 * in less than one of a million seeds.
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

#include "privacy_noise.h"
#include "replay.h"

/* ---- all outcomes of the first COINS coins ---- */

enum { COINS = 20, MOST = 8 };

/* The tape, and coins of both sides behind it, so that what is undecided comes to an end, too. */
static int fill_tape(void *ctx, void *out, size_t size)
{
    uint64_t *words = out;
    words[0] = *(const uint64_t *)ctx | UINT64_C(0x9e3779b97f4a7c15) << COINS;
    for (size_t i = 1; i < size / sizeof *words; i++) {
        words[i] = words[i - 1] * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        words[i] ^= words[i] >> 29;
    }
    return 0;
}

/* How many coins were thrown, if only the tape was used. */
static unsigned used(const struct privacy_bits *bits)
{
    return bits->used == 1 ? 64 - bits->left : 64;
}

/* Each tape is as likely as any other. count[y]: those on which y came out with no coin beyond; the rest is undecided. */
static unsigned enumerate(int64_t (*sample)(struct privacy_bits *bits), unsigned count[MOST])
{
    struct privacy_bits bits;
    unsigned undecided = 0;
    memset(count, 0, MOST * sizeof *count);
    for (uint64_t tape = 0; tape < UINT64_C(1) << COINS; tape++) {
        privacy_bits_begin(&bits, fill_tape, &tape);
        const int64_t y = sample(&bits);
        const uint64_t at = (uint64_t)(y + MOST / 2);
        if (used(&bits) > COINS) {
            undecided++;
        } else if (at < MOST) {
            count[at]++;
        }
    }
    return undecided;
}

/* The probability lies between what has been decided for it and what may still be. */
static void check_bracket(double probability, unsigned count, unsigned undecided)
{
    const double scale = 1.0 / (1 << COINS);
    assert_true(count * scale <= probability);
    assert_true(probability <= (count + undecided) * scale);
}

static int64_t two_sevenths(struct privacy_bits *bits)
{
    return privacy_bernoulli(bits, 2, 7);
}

static int64_t exp_of_a_third(struct privacy_bits *bits)
{
    return privacy_bernoulli_exp(bits, 1, 3);
}

static int64_t exp_of_five_halves(struct privacy_bits *bits)
{
    return privacy_bernoulli_exp(bits, 5, 2);
}

static int64_t of_variance_1(struct privacy_bits *bits)
{
    return privacy_discrete_gaussian(bits, 1);
}

static void test_privacy_noise__coins_counted_out(void **state)
{
    (void)state;
    unsigned count[MOST];
    unsigned undecided = enumerate(two_sevenths, count);
    assert_int_equal(undecided, 1); /* 2/7 has no end in binary: one tape agrees with all its digits */
    check_bracket(2.0 / 7, count[MOST / 2 + 1], undecided);
    undecided = enumerate(exp_of_a_third, count);
    assert_true(undecided < 400);
    check_bracket(exp(-1.0 / 3), count[MOST / 2 + 1], undecided);
    check_bracket(1 - exp(-1.0 / 3), count[MOST / 2], undecided);
    undecided = enumerate(exp_of_five_halves, count);
    assert_true(undecided < 4000);
    check_bracket(exp(-2.5), count[MOST / 2 + 1], undecided);
}

/* P(y) = exp(-y^2 / 2) / sum. Somewhat less than half of the mass is decided after 20 coins, so this bracket is loose: it finds
 * lost symmetry and impossible values, and what shifts less is left to the statistics below. */
static void test_privacy_noise__gaussian_counted_out(void **state)
{
    (void)state;
    unsigned count[MOST], undecided = enumerate(of_variance_1, count);
    double sum = 0;
    for (int y = -30; y <= 30; y++) {
        sum += exp(-y * y / 2.0);
    }
    print_message("undecided: %u of %u\n", undecided, 1U << COINS);
    for (int y = -MOST / 2; y < MOST / 2; y++) {
        check_bracket(exp(-y * y / 2.0) / sum, count[y + MOST / 2], undecided);
        if (y > -MOST / 2) {
            assert_int_equal(count[y + MOST / 2], count[MOST / 2 - y]);
        }
    }
}

/* ---- statistics ---- */

static struct replay_rng replay;

static int fill_replay(void *ctx, void *out, size_t size)
{
    replay_words(ctx, out, size / sizeof(uint32_t));
    return 0;
}

static void begin_statistics(struct privacy_bits *bits)
{
    const char *text = getenv("CAIRN_SEED");
    const uint64_t seed = text != NULL ? strtoull(text, NULL, 10) : 20200329;
    print_message("seed %llu (CAIRN_SEED)\n", (unsigned long long)seed);
    replay_init(&replay, "noise test", seed, 0, 0);
    privacy_bits_begin(bits, fill_replay, &replay);
}

/* Chi squared of 400000 samples over the values -3 sigma .. 3 sigma, the tails together: `degrees` of freedom, deviation
 * sqrt(2 degrees); beyond the bound with probability below 10^-6 (Laurent and Massart 2000: chi^2 - k > 2 sqrt(k x) + 2 x with
 * probability below e^-x, x = 13.9). At variance 1 a denominator that is one off shows, at 39 (t = 7) a value that is. */
static void check_frequencies(struct privacy_bits *bits, int variance, int reach)
{
    enum { SAMPLES = 400000, MOST_VALUES = 64 };
    const double degrees = 2 * reach + 1, bound = degrees + 2 * sqrt(degrees * 13.9) + 2 * 13.9;
    unsigned counts[MOST_VALUES] = {0};
    double sum = 0, chi2 = 0, inside = 0;
    for (unsigned i = 0; i < SAMPLES; i++) {
        const int64_t y = privacy_discrete_gaussian(bits, (uint64_t)variance);
        counts[y < -reach || y > reach ? 2 * reach + 1 : y + reach]++;
    }
    for (int y = -200; y <= 200; y++) {
        sum += exp(-y * y / (2.0 * variance));
    }
    for (int y = -reach; y <= reach + 1; y++) {
        const double p = y <= reach ? exp(-y * y / (2.0 * variance)) / sum : 1 - inside;
        const double off = counts[y + reach] - p * SAMPLES;
        inside += p;
        chi2 += off * off / (p * SAMPLES);
    }
    print_message("variance %d: chi squared %.1f, bound %.1f\n", variance, chi2, bound);
    assert_true(chi2 < bound);
}

static void test_privacy_noise__values_are_as_frequent_as_they_should_be(void **state)
{
    (void)state;
    struct privacy_bits bits;
    begin_statistics(&bits);
    check_frequencies(&bits, 1, 3);
    check_frequencies(&bits, 2, 4);
    check_frequencies(&bits, 39, 20);
}

/* Of small and large variances: mean within 5 of its deviations, variance too (that of a sample's square is 2 V^2). */
static void test_privacy_noise__mean_and_variance(void **state)
{
    (void)state;
    enum { SAMPLES = 100000 };
    const uint64_t variances[] = {4, 1000, UINT64_C(12345678901), PRIVACY_NOISE_MAX_VARIANCE};
    struct privacy_bits bits;
    begin_statistics(&bits);
    for (unsigned v = 0; v < 4; v++) {
        const double variance = (double)variances[v];
        double sum = 0, squares = 0;
        unsigned odd = 0;
        for (unsigned i = 0; i < SAMPLES; i++) {
            const int64_t y = privacy_discrete_gaussian(&bits, variances[v]);
            sum += (double)y;
            squares += (double)y * (double)y;
            odd += (unsigned)(y & 1);
        }
        assert_true(fabs(sum) < 5 * sqrt(variance * SAMPLES));
        assert_true(fabs(squares / SAMPLES - variance) < 5 * variance * sqrt(2.0 / SAMPLES));
        assert_true(fabs(odd - SAMPLES / 2.0) < 5 * sqrt(SAMPLES / 4.0)); /* the lowest bit is one, too */
    }
}

/* ---- a client's ---- */

enum { N = 5000 };

static void test_privacy_noise__a_frame_has_the_same_noise_again_and_no_other_has(void **state)
{
    (void)state;
    struct privacy_noise *noise, *other;
    int32_t first[N] = {0}, again[N] = {0}, frame[N] = {0}, round[N] = {0}, client[N] = {0};
    assert_int_equal(privacy_noise_new(1000, &noise), 0);
    assert_int_equal(privacy_noise_new(1000, &other), 0);
    assert_int_equal(privacy_noise_begin(noise), 0);
    assert_int_equal(privacy_noise_add(noise, 3, 32767, first, N), 0);
    assert_int_equal(privacy_noise_add(noise, 4, 32767, frame, N), 0);
    assert_int_equal(privacy_noise_add(noise, 3, 32767, again, N), 0);
    assert_memory_equal(first, again, sizeof first);
    assert_int_equal(privacy_noise_begin(noise), 0);
    assert_int_equal(privacy_noise_add(noise, 3, 32767, round, N), 0);
    assert_int_equal(privacy_noise_add(other, 3, 32767, client, N), 0);
    const int32_t *others[] = {frame, round, client};
    for (unsigned k = 0; k < 3; k++) { /* two values are equal with probability about 1 / (2 sqrt(pi V)) = 0.009 */
        unsigned same = 0;
        for (unsigned i = 0; i < N; i++) {
            same += first[i] == others[k][i];
        }
        assert_true(same < N / 40);
    }
    privacy_noise_free(noise);
    privacy_noise_free(other);
}

static void test_privacy_noise__is_added_and_stays_in_the_lane(void **state)
{
    (void)state;
    struct privacy_noise *noise;
    int32_t values[N];
    double sum = 0;
    for (unsigned i = 0; i < N; i++) {
        values[i] = i % 2 ? 30000 : -200;
    }
    assert_int_equal(privacy_noise_new(100 * 100, &noise), 0);
    assert_int_equal(privacy_noise_add(noise, 0, 30010, values, N), 0);
    for (unsigned i = 0; i < N; i++) {
        assert_true(values[i] <= 30010);
        sum += i % 2 ? 0 : values[i] + 200;
        values[i] = i % 2 ? -30000 : 0;
    }
    assert_int_equal(privacy_noise_add(noise, 1, 30010, values, N), 0);
    for (unsigned i = 0; i < N; i++) {
        assert_true(values[i] >= -30010 && values[i] < 1000);
    }
    assert_true(fabs(sum) < 5 * 100 * sqrt(N / 2.0));
    privacy_noise_free(noise);
}

static unsigned fills_left = UINT32_MAX;

int __real_secret_rng_fill(struct secret_rng *rng, void *out, size_t size);
int __wrap_secret_rng_fill(struct secret_rng *rng, void *out, size_t size);
int __wrap_secret_rng_fill(struct secret_rng *rng, void *out, size_t size)
{
    return fills_left-- == 0 ? CAIRN_ERR_NO_ENTROPY : __real_secret_rng_fill(rng, out, size);
}

/* Some of the values have noise by then: none of them may be sent. */
static void test_privacy_noise__without_randomness_nothing_is_left_to_send(void **state)
{
    (void)state;
    struct privacy_noise *noise;
    int32_t values[N];
    assert_int_equal(privacy_noise_new(1000, &noise), 0);
    for (unsigned fills = 0; fills < 9; fills += 4) {
        for (unsigned i = 0; i < N; i++) {
            values[i] = 77;
        }
        fills_left = fills;
        assert_int_equal(privacy_noise_add(noise, 0, 32767, values, N), CAIRN_ERR_NO_ENTROPY);
        fills_left = UINT32_MAX;
        for (unsigned i = 0; i < N; i++) {
            assert_int_equal(values[i], 0);
        }
    }
    privacy_noise_free(noise);
}

static int no_randomness(void *ctx, void *out, size_t size)
{
    (void)ctx;
    (void)out;
    (void)size;
    return CAIRN_ERR_NO_ENTROPY;
}

static void test_privacy_noise__without_randomness_it_ends_and_says_so(void **state)
{
    (void)state;
    struct privacy_bits bits;
    struct privacy_noise *noise;
    privacy_bits_begin(&bits, no_randomness, NULL);
    (void)privacy_discrete_gaussian(&bits, 1000000);
    assert_int_equal(bits.error, CAIRN_ERR_NO_ENTROPY);
    assert_int_equal(privacy_noise_new(0, &noise), CAIRN_ERR_BUG);
    assert_int_equal(privacy_noise_new(PRIVACY_NOISE_MAX_VARIANCE + 1, &noise), CAIRN_ERR_BUG);
    assert_null(noise);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_privacy_noise__coins_counted_out),
        cmocka_unit_test(test_privacy_noise__gaussian_counted_out),
        cmocka_unit_test(test_privacy_noise__values_are_as_frequent_as_they_should_be),
        cmocka_unit_test(test_privacy_noise__mean_and_variance),
        cmocka_unit_test(test_privacy_noise__a_frame_has_the_same_noise_again_and_no_other_has),
        cmocka_unit_test(test_privacy_noise__is_added_and_stays_in_the_lane),
        cmocka_unit_test(test_privacy_noise__without_randomness_nothing_is_left_to_send),
        cmocka_unit_test(test_privacy_noise__without_randomness_it_ends_and_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
