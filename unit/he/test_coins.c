/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the sum of one-time keys gives away, counted out exactly.
 *
 * A centred binomial is a number of fair coins, less a constant: a sample of CBD21 is up coins
 * minus down coins, and a down coin turned over is a coin that counts 1 - d. Give an adversary
 * more than the sum, namely the sums of the coins of two honest clients pair by pair. A pair sum of
 * 0 or 2 fixes both coins; 1 leaves them fair, and opposite. So given all pair sums each client's
 * sample is a public shift plus Bin(T, 1/2), T the number of ones: as good as a new sample of half
 * the coins. No approximation is made, and this is what a small case shows by going
 * through all of its outcomes, with the sampler that clients use.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kern.h"

/* Four coins of the 42 are tossed, two of them down; the others lie still. */
enum { COINS = 4, DOWN = 2, TOSSES = 1 << COINS, PAIR_SUMS = 81 /* 3^COINS */ };

/* The sample that the kernel makes of a toss: bits 0 and 1 up, bits 24 and 25 down. */
static int sample_of(unsigned toss)
{
    uint8_t bytes[8 * 6] = {0}; /* n is a multiple of 8 */
    _Alignas(64) int32_t samples[8];
    bytes[0] = (uint8_t)(toss & 3);
    bytes[3] = (uint8_t)(toss >> 2);
    kern_get()->sample_cbd21(samples, 8, bytes);
    return samples[0];
}

/* Coin k of a toss, a down coin turned over. */
static unsigned coin(unsigned toss, unsigned k)
{
    unsigned face = toss >> k & 1;
    return k < COINS - DOWN ? face : 1 - face;
}

static unsigned binomial(unsigned n, unsigned k)
{
    unsigned c = 1;
    for (unsigned i = 0; i < k; i++) {
        c = c * (n - i) / (i + 1);
    }
    return c;
}

/* All pair sums as one number in base 3, how many are 1, and how many are 2. */
struct view {
    unsigned number, ones, twos;
};

static struct view view_of(unsigned toss_a, unsigned toss_b)
{
    struct view v = {0, 0, 0};
    for (unsigned k = 0; k < COINS; k++) {
        unsigned sum = coin(toss_a, k) + coin(toss_b, k);
        v.number = 3 * v.number + sum;
        v.ones += sum == 1;
        v.twos += sum == 2;
    }
    return v;
}

/* Samples lie in +-DOWN; [DOWN + x] in tables. */
enum { RANGE = COINS + 1 };

static void test_coins__a_sample_is_coins_less_a_constant(void **state)
{
    (void)state;
    unsigned count[RANGE] = {0};
    for (unsigned toss = 0; toss < TOSSES; toss++) {
        int heads = 0;
        for (unsigned k = 0; k < COINS; k++) {
            heads += (int)coin(toss, k);
        }
        assert_int_equal(sample_of(toss), heads - DOWN);
        count[DOWN + sample_of(toss)]++;
    }
    for (unsigned k = 0; k < RANGE; k++) {
        assert_int_equal(count[k], binomial(COINS, k));
    }
}

/* outcomes[view][DOWN + x][DOWN + y]: how many of the 2^8 pairs of tosses show this view and give
 * the clients x and y. */
struct joint {
    unsigned outcomes[PAIR_SUMS][RANGE][RANGE];
    struct view views[PAIR_SUMS];
};

static void enumerate(struct joint *j)
{
    memset(j, 0, sizeof *j);
    for (unsigned a = 0; a < TOSSES; a++) {
        for (unsigned b = 0; b < TOSSES; b++) {
            struct view v = view_of(a, b);
            j->views[v.number] = v;
            j->outcomes[v.number][DOWN + sample_of(a)][DOWN + sample_of(b)]++;
        }
    }
}

static void test_coins__given_pair_sums_a_shift_and_half_the_coins(void **state)
{
    (void)state;
    static struct joint j;
    enumerate(&j);
    for (unsigned number = 0; number < PAIR_SUMS; number++) {
        struct view v = j.views[number];
        assert_int_equal(v.number, number); /* every view occurs */
        for (unsigned x = 0; x < RANGE; x++) {
            for (unsigned y = 0; y < RANGE; y++) {
                /* x + DOWN = twos + Bin(ones, 1/2), and y has the other coins of the ones */
                unsigned expected = 0;
                if (x >= v.twos && x - v.twos <= v.ones && x + y == 2 * v.twos + v.ones) {
                    expected = binomial(v.ones, x - v.twos);
                }
                assert_int_equal(j.outcomes[number][x][y], expected);
            }
        }
    }
}

static void test_coins__number_of_free_coins_is_binomial(void **state)
{
    (void)state;
    unsigned count[COINS + 1] = {0};
    for (unsigned a = 0; a < TOSSES; a++) {
        for (unsigned b = 0; b < TOSSES; b++) {
            count[view_of(a, b).ones]++;
        }
    }
    for (unsigned t = 0; t <= COINS; t++) { /* T ~ Bin(COINS, 1/2), out of 2^(2 COINS) */
        assert_int_equal(count[t], TOSSES * binomial(COINS, t));
    }
}

/* The adversary really gets more than the sum: pair sums determine it. */
static void test_coins__pair_sums_tell_the_sum(void **state)
{
    (void)state;
    static struct joint j;
    enumerate(&j);
    for (unsigned a = 0; a < TOSSES; a++) {
        for (unsigned b = 0; b < TOSSES; b++) {
            struct view v = view_of(a, b);
            assert_int_equal(sample_of(a) + sample_of(b) + 2 * DOWN, 2 * v.twos + v.ones);
        }
    }
}

/*
 * The variance that is left, exactly: summed over all views, the squared distances of x from its
 * mean in that view. Bin(T, 1/2) has T/4 and T is half the coins on average: COINS/8 in all, half
 * of the variance before the opening, so a deviation of sigma / sqrt(2).
 */
static void test_coins__half_the_variance_is_left(void **state)
{
    (void)state;
    static struct joint j;
    enumerate(&j);
    uint64_t left = 0, whole = 0; /* times 4, over 2^(2 COINS) outcomes */
    for (unsigned number = 0; number < PAIR_SUMS; number++) {
        for (int x = 0; x < RANGE; x++) {
            for (int y = 0; y < RANGE; y++) {
                int twice_mean = 2 * (int)j.views[number].twos + (int)j.views[number].ones;
                int distance = 2 * x - twice_mean, plain = 2 * (x - DOWN);
                left += j.outcomes[number][x][y] * (uint64_t)(distance * distance);
                whole += j.outcomes[number][x][y] * (uint64_t)(plain * plain);
            }
        }
    }
    assert_int_equal(left, TOSSES * TOSSES * COINS / 2); /* 4 COINS / 8 */
    assert_int_equal(whole, 2 * left);
}

/*
 * CBD21: 42 coins. The estimate of security.c takes the effective deviation, the geometric mean of
 * sqrt(T) / 2 over T ~ Bin(42, 1/2): what counts in a lattice is the product of the deviations of
 * all coordinates, each with its own public T. (T = 0, nothing left, has a share of 2^-42.)
 */
static void test_coins__effective_deviation_of_cbd21(void **state)
{
    (void)state;
    enum { ALL = 42 };
    double chance = ldexp(1, -ALL), mean_log = 0, mean_square = 0, sum = chance;
    for (unsigned t = 1; t <= ALL; t++) {
        chance = chance * (ALL - t + 1) / t;
        mean_log += chance * log(sqrt(t) / 2);
        mean_square += chance * t / 4;
        sum += chance;
    }
    double effective = exp(mean_log);
    printf("effective deviation %.4f, root mean square %.4f\n", effective, sqrt(mean_square));
    const double sigma = sqrt(ALL / 4.0);
    assert_true(fabs(sum - 1) < 1e-12);
    assert_true(fabs(sqrt(mean_square) - sigma / sqrt(2)) < 1e-12);
    assert_true(fabs(effective - 2.277) < 0.0005); /* src/he/security.c */
}

/* Why one-time keys are not ternary: two samples of {-1, 0, 1} have 9 equally likely outcomes, and
 * where the sum is 2 or -2 both are known outright. Of CBD21 that takes all 42 coins of both. */
static void test_coins__ternary_keys_would_be_told(void **state)
{
    (void)state;
    int told = 0, outcomes = 0;
    for (int x = -1; x <= 1; x++) {
        for (int y = -1; y <= 1; y++) {
            int ways = 0;
            for (int other = -1; other <= 1; other++) {
                int rest = x + y - other;
                ways += rest >= -1 && rest <= 1;
            }
            told += ways == 1;
            outcomes++;
        }
    }
    assert_int_equal(told, 2);
    assert_int_equal(outcomes, 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_coins__a_sample_is_coins_less_a_constant),
        cmocka_unit_test(test_coins__given_pair_sums_a_shift_and_half_the_coins),
        cmocka_unit_test(test_coins__number_of_free_coins_is_binomial),
        cmocka_unit_test(test_coins__pair_sums_tell_the_sum),
        cmocka_unit_test(test_coins__half_the_variance_is_left),
        cmocka_unit_test(test_coins__effective_deviation_of_cbd21),
        cmocka_unit_test(test_coins__ternary_keys_would_be_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
