/* SPDX-License-Identifier: Apache-2.0 */
/* The fold on profile none, whose sums can be read: values are plain 32-bit fields. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fold.h"
#include "replay.h"

enum { CLIENTS = 5, PARAMS = 10, FRAME = 4 }; /* frames of 4, 4 and 2 parameters */

static struct fed_plan plan;

static int make_plan(void **state)
{
    (void)state;
    struct he_params he;
    struct cairn_problem why = {0};
    if (he_params_choose(HE_NONE, 16, CLIENTS, &he, &why) != 0) {
        return -1;
    }
    return fed_plan_init(&plan, &he, PARAMS, FRAME, CLIENTS, &why);
}

struct test_frame {
    struct wire_frame frame;
    uint8_t payload[FRAME * 8];
    uint8_t set[1];
};

/* The frame of one client, all of whose values are `value`. */
static void make_frame(struct test_frame *t, uint32_t index, uint32_t client, int32_t value)
{
    int32_t values[FRAME];
    const size_t n = fed_plan_count(&plan, index);
    static const uint8_t nonce[HE_NONCE_SIZE];
    struct cairn_problem why = {0};
    for (size_t i = 0; i < n; i++) {
        values[i] = value;
    }
    assert_int_equal(
        he_encrypt(&plan.he, NULL, NULL, NULL, nonce, 1, index, values, n, t->payload, &why), 0);
    t->set[0] = (uint8_t)(1U << client);
    t->frame = (struct wire_frame){.index = index,
                                   .contributors = 1,
                                   .weight = 10 + client,
                                   .params_id = plan.he.short_id,
                                   .payload = {t->payload, he_payload_bytes(&plan.he, n)},
                                   .contributor_set = {t->set, 1}};
}

static int64_t first_sum(const struct fed_sum *sum)
{
    int64_t sums[FRAME];
    static const uint8_t nonce[HE_NONCE_SIZE];
    struct cairn_problem why = {0};
    assert_int_equal(he_open(&plan.he, NULL, NULL, nonce, 1, sum->index, sum->contributors,
                             sum->payload.data, fed_plan_count(&plan, sum->index), sums, &why),
                     0);
    for (size_t i = 1; i < fed_plan_count(&plan, sum->index); i++) {
        assert_int_equal(sums[i], sums[0]);
    }
    return sums[0];
}

static struct fed_fold *fold_of(const struct fed_stream *streams, size_t n)
{
    struct fed_fold *fold;
    assert_int_equal(fed_fold_new(&plan, streams, n, &fold), 0);
    fed_fold_open(fold, 1);
    return fold;
}

static int accept(struct fed_fold *fold, uint32_t origin, const struct wire_frame *frame,
                  uint32_t *next)
{
    struct cairn_problem why = {0};
    const int err = fed_fold_accept(fold, origin, frame, next, &why);
    assert_true(err == 0 || why.what[0] != '\0');
    return err;
}

static const struct fed_stream two_clients[] = {{.origin = 3, .n_clients = 1},
                                                {.origin = 7, .n_clients = 1}};

static void test_fold__sums_what_came_and_nothing_else(void **state)
{
    (void)state;
    struct fed_fold *fold = fold_of(two_clients, 2);
    struct test_frame t;
    struct fed_sum sum;
    uint32_t next;
    for (uint32_t i = 0; i < plan.n_frames; i++) {
        make_frame(&t, i, 0, 100);
        assert_int_equal(accept(fold, 3, &t.frame, &next), 0);
        assert_int_equal(next, i + 1);
        assert_false(fed_fold_ready(fold));
        make_frame(&t, i, 1, -7);
        assert_int_equal(accept(fold, 7, &t.frame, &next), 0);
        assert_true(fed_fold_ready(fold));
        fed_fold_take(fold, &sum);
        assert_int_equal(sum.index, i);
        assert_int_equal(sum.contributors, 2);
        assert_int_equal(sum.weight, 21);
        assert_int_equal(sum.set.data[0], 3);
        assert_int_equal(first_sum(&sum), 93);
        fed_sum_release(&sum);
    }
    assert_false(fed_fold_ready(fold));
    assert_int_equal(fed_fold_taken(fold), plan.n_frames);
    fed_fold_free(fold);
}

static void test_fold__a_frame_counts_once(void **state)
{
    (void)state;
    struct fed_fold *fold = fold_of(two_clients, 2);
    struct test_frame t;
    uint32_t next;
    make_frame(&t, 0, 0, 100);
    assert_int_equal(accept(fold, 3, &t.frame, &next), 0);
    assert_int_equal(accept(fold, 3, &t.frame, &next), CAIRN_ERR_WRONG_INDEX);
    assert_int_equal(next, 1);
    make_frame(&t, 2, 0, 100); /* one is left out */
    assert_int_equal(accept(fold, 3, &t.frame, &next), CAIRN_ERR_WRONG_INDEX);
    assert_int_equal(next, 1);
    /* the same client through another stream */
    make_frame(&t, 0, 0, 100);
    assert_int_equal(accept(fold, 7, &t.frame, &next), CAIRN_ERR_REFUSED);
    assert_int_equal(next, 0);
    make_frame(&t, 0, 1, 1);
    assert_int_equal(accept(fold, 7, &t.frame, &next), 0);
    struct fed_sum sum;
    fed_fold_take(fold, &sum);
    assert_int_equal(first_sum(&sum), 101);
    fed_sum_release(&sum);
    fed_fold_free(fold);
}

static void test_fold__after_the_last_frame_there_is_no_more(void **state)
{
    (void)state;
    struct fed_fold *fold = fold_of(two_clients, 1);
    struct test_frame t;
    uint32_t next;
    for (uint32_t i = 0; i < plan.n_frames; i++) {
        make_frame(&t, i, 0, 1);
        assert_int_equal(accept(fold, 3, &t.frame, &next), 0);
    }
    make_frame(&t, 0, 0, 1);
    t.frame.index = plan.n_frames;
    assert_int_equal(accept(fold, 3, &t.frame, &next), CAIRN_ERR_WRONG_INDEX);
    assert_int_equal(next, plan.n_frames);
    fed_fold_free(fold);
}

static void test_fold__strangers_and_boasters_are_refused(void **state)
{
    (void)state;
    struct fed_fold *fold = fold_of(two_clients, 2);
    struct test_frame t;
    uint32_t next;
    make_frame(&t, 0, 0, 1);
    assert_int_equal(accept(fold, 4, &t.frame, &next), CAIRN_ERR_UNKNOWN);
    t.frame.contributors = 2;
    t.set[0] = 3;
    assert_int_equal(accept(fold, 3, &t.frame, &next), CAIRN_ERR_REFUSED);
    make_frame(&t, 0, 0, 1);
    t.frame.payload.size -= 4;
    assert_int_equal(accept(fold, 3, &t.frame, &next), CAIRN_ERR_REFUSED);
    make_frame(&t, 0, 0, 1);
    t.frame.weight = UINT64_MAX;
    assert_int_equal(accept(fold, 3, &t.frame, &next), 0);
    make_frame(&t, 0, 1, 1);
    assert_int_equal(accept(fold, 7, &t.frame, &next), CAIRN_ERR_REFUSED); /* weights overflow */
    fed_fold_free(fold);
}

static void test_fold__a_child_may_bring_nothing(void **state)
{
    (void)state;
    struct fed_fold *fold = fold_of(two_clients, 2);
    struct test_frame t;
    struct fed_sum sum;
    uint32_t next;
    const struct wire_frame nothing = {.params_id = plan.he.short_id};
    assert_int_equal(accept(fold, 3, &nothing, &next), 0);
    make_frame(&t, 0, 1, 5);
    assert_int_equal(accept(fold, 7, &t.frame, &next), 0);
    fed_fold_take(fold, &sum);
    assert_int_equal(sum.contributors, 1);
    assert_int_equal(first_sum(&sum), 5);
    fed_sum_release(&sum);
    struct wire_frame second = nothing;
    second.index = 1;
    assert_int_equal(accept(fold, 3, &second, &next), 0);
    assert_int_equal(accept(fold, 7, &second, &next), 0);
    fed_fold_take(fold, &sum);
    assert_int_equal(sum.contributors, 0);
    assert_int_equal(sum.payload.size, 0);
    fed_sum_release(&sum);
    fed_fold_free(fold);
}

static void test_fold__opening_a_round_forgets_the_one_before(void **state)
{
    (void)state;
    struct fed_fold *fold = fold_of(two_clients, 2);
    struct test_frame t;
    struct fed_sum sum;
    uint32_t next;
    make_frame(&t, 0, 0, 1000);
    assert_int_equal(accept(fold, 3, &t.frame, &next), 0);
    fed_fold_open(fold, 2);
    assert_int_equal(fed_fold_round(fold), 2);
    make_frame(&t, 0, 0, 1);
    assert_int_equal(accept(fold, 3, &t.frame, &next), 0);
    make_frame(&t, 0, 1, 2);
    assert_int_equal(accept(fold, 7, &t.frame, &next), 0);
    fed_fold_take(fold, &sum);
    assert_int_equal(first_sum(&sum), 3);
    fed_sum_release(&sum);
    fed_fold_free(fold);
}

static void test_fold__missing_names_who_is_behind(void **state)
{
    (void)state;
    struct fed_fold *fold = fold_of(two_clients, 2);
    struct test_frame t;
    uint32_t origin, next;
    for (uint32_t i = 0; i < plan.n_frames; i++) {
        make_frame(&t, i, 0, 1);
        assert_int_equal(accept(fold, 3, &t.frame, &next), 0);
    }
    make_frame(&t, 0, 1, 1);
    assert_int_equal(accept(fold, 7, &t.frame, &next), 0);
    assert_true(fed_fold_missing(fold, 0, &origin, &next));
    assert_int_equal(origin, 7);
    assert_int_equal(next, 1);
    assert_false(fed_fold_missing(fold, 1, &origin, &next));
    fed_fold_free(fold);
}

/* Any interleaving of five streams, with duplicates and gaps thrown in, gives the same sums. */
static void test_fold__any_order_gives_the_same_sums(void **state)
{
    (void)state;
    const uint64_t seed = (uint64_t)time(NULL);
    print_message("seed %llu\n", (unsigned long long)seed);
    struct replay_rng rng;
    replay_init(&rng, "fold", seed, 0, 0);
    for (unsigned run = 0; run < 200; run++) {
        struct fed_stream streams[CLIENTS];
        uint32_t next[CLIENTS] = {0}, done = 0;
        for (uint32_t i = 0; i < CLIENTS; i++) {
            streams[i] = (struct fed_stream){.origin = 20 + i, .n_clients = 1};
        }
        struct fed_fold *fold = fold_of(streams, CLIENTS);
        while (done < CLIENTS * plan.n_frames) {
            const uint32_t client = replay_below(&rng, CLIENTS);
            const uint32_t index = replay_below(&rng, plan.n_frames);
            struct test_frame t;
            uint32_t expected;
            make_frame(&t, index, client, (int32_t)(client * 100 + index));
            const int err = accept(fold, 20 + client, &t.frame, &expected);
            assert_int_equal(err, index == next[client] ? 0 : CAIRN_ERR_WRONG_INDEX);
            next[client] += err == 0;
            done += err == 0;
            assert_int_equal(expected, next[client]);
        }
        for (uint32_t i = 0; i < plan.n_frames; i++) {
            struct fed_sum sum;
            assert_true(fed_fold_ready(fold));
            fed_fold_take(fold, &sum);
            assert_int_equal(first_sum(&sum), 1000 + (int64_t)i * CLIENTS);
            assert_int_equal(sum.contributors, CLIENTS);
            fed_sum_release(&sum);
        }
        fed_fold_free(fold);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fold__sums_what_came_and_nothing_else),
        cmocka_unit_test(test_fold__a_frame_counts_once),
        cmocka_unit_test(test_fold__after_the_last_frame_there_is_no_more),
        cmocka_unit_test(test_fold__strangers_and_boasters_are_refused),
        cmocka_unit_test(test_fold__a_child_may_bring_nothing),
        cmocka_unit_test(test_fold__opening_a_round_forgets_the_one_before),
        cmocka_unit_test(test_fold__missing_names_who_is_behind),
        cmocka_unit_test(test_fold__any_order_gives_the_same_sums),
    };
    return cmocka_run_group_tests(tests, make_plan, NULL);
}
