/* SPDX-License-Identifier: Apache-2.0 */
/* Who takes part in a round. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "sampling.h"

static struct fed_settings settings_of(double fraction, double quorum, uint32_t floor)
{
    return (struct fed_settings){
        .seed = 5, .fraction = fraction, .quorum = quorum, .privacy_floor = floor};
}

/* Worked by hand: the share, rounded up, and never less than floor and quorum ask for, nor more than there are. */
static void test_sampling__size(void **state)
{
    (void)state;
    static const struct {
        double fraction, quorum;
        uint32_t floor, clients, size;
    } rows[] = {{1, 0.5, 3, 12, 12},   {0.5, 0.5, 3, 12, 6},  {0.1, 0.5, 3, 100, 10},
                {0.1, 0.5, 3, 101, 11}, {0.07, 0.5, 3, 100, 7}, {0.01, 0.5, 3, 12, 3},
                {0.1, 5, 3, 12, 5},    {0.1, 0.5, 7, 12, 7},  {0.001, 0.5, 1, 12, 1},
                {0.5, 12, 3, 12, 12},  {0.0001, 0.9, 2, 10000, 2}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct fed_settings s = settings_of(rows[i].fraction, rows[i].quorum, rows[i].floor);
        assert_int_equal(fed_sample_size(&s, rows[i].clients), rows[i].size);
    }
}

static uint32_t members(const struct fed_sample *sample, uint32_t n)
{
    uint32_t count = 0;
    for (uint32_t k = 0; k < n; k++) {
        count += fed_sample_has(sample, k);
    }
    return count;
}

static void test_sampling__as_many_as_it_says_and_again_the_same(void **state)
{
    (void)state;
    for (uint32_t n = 1; n < 200; n += 3) {
        const struct fed_settings s = settings_of(0.3, 0.5, 1);
        struct fed_sample sample, again;
        fed_sample_choose(&s, n, n, &sample);
        fed_sample_choose(&s, n, n, &again);
        assert_int_equal(sample.size, fed_sample_size(&s, n));
        assert_int_equal(members(&sample, n), sample.size);
        assert_int_equal(members(&sample, FED_MAX_CLIENTS), sample.size);
        assert_memory_equal(&sample, &again, sizeof sample);
    }
    const struct fed_settings all = settings_of(1, 0.5, 3);
    struct fed_sample sample;
    fed_sample_choose(&all, FED_MAX_CLIENTS, 9, &sample);
    assert_int_equal(members(&sample, FED_MAX_CLIENTS), FED_MAX_CLIENTS);
}

/* 6000 rounds of 3 of 6: each of the 20 sets 300 times on average, with deviation 17; and seeds differ. */
static void test_sampling__every_set_is_as_likely(void **state)
{
    (void)state;
    struct fed_settings s = settings_of(0.5, 0.5, 3);
    struct fed_sample sample;
    unsigned counts[64] = {0}, sets = 0, same = 0;
    for (uint32_t round = 1; round <= 6000; round++) {
        fed_sample_choose(&s, 6, round, &sample);
        counts[sample.set[0]]++;
        const uint8_t before = sample.set[0];
        s.seed++;
        fed_sample_choose(&s, 6, round, &sample);
        same += sample.set[0] == before;
        s.seed--;
    }
    for (unsigned i = 0; i < 64; i++) {
        sets += counts[i] > 0;
        assert_true(counts[i] == 0 || fabs(counts[i] - 300.0) < 5 * 17);
    }
    assert_int_equal(sets, 20);
    assert_true(same < 400);
}

/* By hand; and nothing beyond it in 2000 rounds, in which both ends are met. */
static void test_sampling__range_of_some(void **state)
{
    (void)state;
    static const struct {
        double fraction;
        uint32_t clients, below, fewest, most;
    } rows[] = {{1, 12, 5, 5, 5}, {0.5, 12, 5, 0, 5}, {0.5, 12, 8, 2, 6}, {0.5, 12, 12, 6, 6}, {0.25, 8, 3, 0, 2},
                {0.75, 8, 3, 1, 3}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct fed_settings s = settings_of(rows[i].fraction, 0.5, 1);
        const struct fed_sample_range range = fed_sample_range(&s, rows[i].clients, rows[i].below);
        struct fed_sample_range seen = {UINT32_MAX, 0};
        assert_int_equal(range.fewest, rows[i].fewest);
        assert_int_equal(range.most, rows[i].most);
        for (uint32_t round = 1; round <= 2000; round++) {
            struct fed_sample sample;
            fed_sample_choose(&s, rows[i].clients, round, &sample);
            const uint32_t chosen = members(&sample, rows[i].below);
            seen.fewest = chosen < seen.fewest ? chosen : seen.fewest;
            seen.most = chosen > seen.most ? chosen : seen.most;
        }
        assert_int_equal(seen.fewest, range.fewest);
        assert_int_equal(seen.most, range.most);
    }
}

static void test_sampling__streams(void **state)
{
    (void)state;
    const struct fed_stream streams[] = {{1, 2, 0}, {2, 1, 1}, {3, 3, 2}};
    const uint32_t clients[] = {9, 0, 4, 2, 3, 8};
    struct fed_sample sample = {.size = 4, .set = {1U << 0 | 1U << 2 | 1U << 3, 1U << 2}}; /* 10: elsewhere */
    bool awaited[3];
    assert_int_equal(fed_sample_streams(&sample, streams, 3, clients, awaited), 3);
    assert_true(awaited[0] && !awaited[1] && awaited[2]);
    assert_int_equal(fed_sample_streams(&sample, streams, 2, clients, NULL), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sampling__size),
        cmocka_unit_test(test_sampling__as_many_as_it_says_and_again_the_same),
        cmocka_unit_test(test_sampling__every_set_is_as_likely),
        cmocka_unit_test(test_sampling__range_of_some),
        cmocka_unit_test(test_sampling__streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
