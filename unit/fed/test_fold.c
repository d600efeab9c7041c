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
    return fed_plan_init(&plan, &he, PARAMS, FRAME, CLIENTS, 1 << 16, &why);
}

struct test_frame {
    struct wire_frame frame;
    uint8_t payload[FRAME * 8];
    uint8_t set[1];
};

/* A frame of the clients in `set`, all of whose values are `value`. */
static void make_sum(struct test_frame *t, uint32_t index, uint8_t set, int32_t value,
                     uint64_t weight)
{
    int32_t values[FRAME];
    const size_t n = fed_plan_count(&plan, index);
    static const uint8_t nonce[HE_NONCE_SIZE];
    struct cairn_problem why = {0};
    if (set == 0) {
        t->frame = (struct wire_frame){.index = index, .params_id = plan.he.short_id};
        return;
    }
    for (size_t i = 0; i < n; i++) {
        values[i] = value;
    }
    assert_int_equal(
        he_encrypt(&plan.he, NULL, NULL, NULL, nonce, 1, index, values, n, t->payload, &why), 0);
    t->set[0] = set;
    t->frame = (struct wire_frame){.index = index,
                                   .contributors = (uint32_t)__builtin_popcount(set),
                                   .weight = weight,
                                   .params_id = plan.he.short_id,
                                   .payload = {t->payload, he_payload_bytes(&plan.he, n)},
                                   .contributor_set = {t->set, 1}};
}

/* The frame of one client. */
static void make_frame(struct test_frame *t, uint32_t index, uint32_t client, int32_t value)
{
    make_sum(t, index, (uint8_t)(1U << client), value, 10 + client);
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

static struct fed_fold *fold_with_window(const struct fed_stream *streams, size_t n,
                                         uint32_t window)
{
    struct fed_fold *fold;
    assert_int_equal(fed_fold_new(&plan, streams, n, window, &fold), 0);
    fed_fold_open(fold, 1, 0);
    return fold;
}

static struct fed_fold *fold_of(const struct fed_stream *streams, size_t n)
{
    return fold_with_window(streams, n, plan.n_frames);
}

static int accept(struct fed_fold *fold, uint32_t origin, const struct wire_frame *frame,
                  uint32_t *next)
{
    struct cairn_problem why = {0};
    const int err = fed_fold_accept(fold, origin, frame, next, &why);
    assert_true(err == 0 || why.what[0] != '\0');
    return err;
}

/* One client's frame of value 100 * (client + 1) + index. @return what the fold said */
static int deliver(struct fed_fold *fold, uint32_t origin, uint32_t client, uint32_t index,
                   uint32_t *next)
{
    struct test_frame t;
    make_frame(&t, index, client, (int32_t)(100 * (client + 1) + index));
    return accept(fold, origin, &t.frame, next);
}

/* Take a sum of just the clients in `set`, each of whom delivered() that frame. */
static void assert_takes(struct fed_fold *fold, uint32_t index, uint8_t set)
{
    struct fed_sum sum;
    int64_t expected = 0;
    uint64_t weight = 0;
    assert_true(fed_fold_ready(fold));
    fed_fold_take(fold, &sum);
    assert_int_equal(sum.index, index);
    assert_int_equal(sum.contributors, __builtin_popcount(set));
    for (uint32_t client = 0; client < CLIENTS; client++) {
        if ((set >> client & 1) != 0) {
            expected += 100 * (client + 1) + index;
            weight += 10 + client;
        }
    }
    assert_true(sum.weight == weight);
    if (set == 0) {
        assert_int_equal(sum.payload.size + sum.set.size, 0);
    } else {
        assert_int_equal(sum.set.data[0], set);
        assert_int_equal(first_sum(&sum), expected);
    }
    fed_sum_release(&sum);
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
    fed_fold_open(fold, 2, 0);
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
    bool live;
    for (uint32_t i = 0; i < plan.n_frames; i++) {
        make_frame(&t, i, 0, 1);
        assert_int_equal(accept(fold, 3, &t.frame, &next), 0);
    }
    make_frame(&t, 0, 1, 1);
    assert_int_equal(accept(fold, 7, &t.frame, &next), 0);
    assert_true(fed_fold_missing(fold, 0, &origin, &next, &live));
    assert_int_equal(origin, 7);
    assert_int_equal(next, 1);
    assert_true(live);
    assert_false(fed_fold_missing(fold, 1, &origin, &next, &live));
    fed_fold_set_live(fold, 7, false);
    assert_true(fed_fold_missing(fold, 0, &origin, &next, &live));
    assert_int_equal(origin, 7);
    assert_false(live);
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

static void test_fold__nothing_comes_in_before_a_round_is_open(void **state)
{
    (void)state;
    struct fed_fold *fold;
    uint32_t next;
    assert_int_equal(fed_fold_new(&plan, two_clients, 2, 1, &fold), 0);
    assert_int_equal(deliver(fold, 3, 0, 0, &next), CAIRN_ERR_CLOSED);
    assert_false(fed_fold_ready(fold));
    assert_false(fed_fold_all_through(fold));
    fed_fold_close(fold);
    assert_false(fed_fold_ready(fold));
    fed_fold_free(fold);
}

/* What headers ask is answered as the frame would be, and changes nothing: every origin and index
 * against a fold with one stream behind, one ahead of the window and one through. */
static void test_fold__headers_get_the_answer_that_the_frame_would_get(void **state)
{
    (void)state;
    static const struct {
        uint32_t origin, index;
        int err;
        uint32_t next;
    } rows[] = {
        {3, 0, CAIRN_ERR_WRONG_INDEX, 2},
        {3, 1, CAIRN_ERR_WRONG_INDEX, 2},
        {3, 2, CAIRN_ERR_BUSY, 2},
        {3, 3, CAIRN_ERR_WRONG_INDEX, 2},
        {7, 0, 0, 0},
        {7, 1, CAIRN_ERR_WRONG_INDEX, 0},
        {8, 0, CAIRN_ERR_UNKNOWN, 0},
        {7, UINT32_MAX, CAIRN_ERR_WRONG_INDEX, 0},
    };
    struct fed_fold *fold = fold_with_window(two_clients, 2, 2);
    struct cairn_problem why;
    uint32_t next;
    assert_int_equal(deliver(fold, 3, 0, 0, &next), 0);
    assert_int_equal(deliver(fold, 3, 0, 1, &next), 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        why = (struct cairn_problem){0};
        assert_int_equal(fed_fold_expect(fold, rows[i].origin, rows[i].index, &next, &why),
                         rows[i].err);
        assert_int_equal(next, rows[i].next);
        assert_true(rows[i].err == 0 || why.what[0] != '\0');
    }
    assert_int_equal(deliver(fold, 3, 0, 2, &next), CAIRN_ERR_BUSY);
    assert_int_equal(next, 2);
    fed_fold_close(fold);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const int err = fed_fold_expect(fold, rows[i].origin, rows[i].index, &next, &why);
        assert_int_equal(err, rows[i].origin == 8 ? CAIRN_ERR_UNKNOWN : CAIRN_ERR_CLOSED);
        assert_int_equal(next, rows[i].next);
    }
    fed_fold_free(fold);
}

/* Taking makes no room; the base does, which stays between where it was and what is taken. */
static void test_fold__the_window_is_counted_from_the_base(void **state)
{
    (void)state;
    struct fed_fold *fold = fold_with_window(two_clients, 2, 1);
    uint32_t next;
    for (uint32_t i = 0; i < plan.n_frames; i++) {
        assert_int_equal(deliver(fold, 3, 0, i, &next), 0);
        fed_fold_move(fold, i + 1); /* not taken yet: no effect */
        assert_int_equal(fed_fold_taken(fold), i);
        if (i + 1 < plan.n_frames) {
            assert_int_equal(deliver(fold, 3, 0, i + 1, &next), CAIRN_ERR_BUSY);
            assert_int_equal(next, i + 1);
        }
        assert_int_equal(deliver(fold, 7, 1, i, &next), 0);
        assert_takes(fold, i, 3);
        if (i + 1 < plan.n_frames) {
            assert_int_equal(deliver(fold, 3, 0, i + 1, &next), CAIRN_ERR_BUSY);
            assert_int_equal(deliver(fold, 7, 1, i + 1, &next), CAIRN_ERR_BUSY);
        }
        fed_fold_move(fold, i + 1);
        fed_fold_move(fold, 0); /* never back */
    }
    /* all that is left of the round is a repetition of the last frame */
    assert_int_equal(deliver(fold, 3, 0, plan.n_frames - 1, &next), CAIRN_ERR_WRONG_INDEX);
    assert_int_equal(next, plan.n_frames);
    fed_fold_free(fold);
}

static void test_fold__a_dead_stream_is_not_waited_for(void **state)
{
    (void)state;
    struct fed_fold *fold = fold_of(two_clients, 2);
    uint32_t next;
    assert_int_equal(deliver(fold, 3, 0, 0, &next), 0);
    assert_int_equal(deliver(fold, 7, 1, 0, &next), 0);
    assert_int_equal(deliver(fold, 3, 0, 1, &next), 0);
    assert_takes(fold, 0, 3);
    assert_false(fed_fold_ready(fold));
    fed_fold_set_live(fold, 7, false);
    fed_fold_set_live(fold, 99, false); /* nobody */
    assert_takes(fold, 1, 1);
    assert_false(fed_fold_ready(fold)); /* the live one has not come to frame 2 */
    fed_fold_set_live(fold, 3, false);
    assert_false(fed_fold_ready(fold)); /* and without a live one nothing is complete */
    assert_false(fed_fold_all_through(fold));
    fed_fold_free(fold);
}

static void test_fold__who_comes_back_goes_on_where_the_sums_are(void **state)
{
    (void)state;
    struct fed_fold *fold = fold_of(two_clients, 2);
    uint32_t next;
    fed_fold_set_live(fold, 7, false);
    assert_int_equal(deliver(fold, 3, 0, 0, &next), 0);
    assert_int_equal(deliver(fold, 3, 0, 1, &next), 0);
    assert_takes(fold, 0, 1);
    assert_int_equal(deliver(fold, 7, 1, 0, &next), CAIRN_ERR_WRONG_INDEX);
    assert_int_equal(next, 1);
    assert_true(fed_fold_ready(fold)); /* a refused frame brings nobody back */
    assert_int_equal(deliver(fold, 7, 1, 1, &next), 0);
    assert_int_equal(next, 2);
    assert_takes(fold, 1, 3);
    assert_int_equal(deliver(fold, 3, 0, 2, &next), 0);
    assert_false(fed_fold_ready(fold)); /* it is live again by itself, so it is waited for */
    assert_int_equal(deliver(fold, 7, 1, 2, &next), 0);
    assert_takes(fold, 2, 3);
    fed_fold_free(fold);
}

/* Neither for its frames nor for being through; it may not bring any, and is back in the next round. */
static void test_fold__who_sits_out_is_not_waited_for(void **state)
{
    (void)state;
    struct fed_fold *fold = fold_of(two_clients, 2);
    uint32_t next, origin;
    bool live;
    fed_fold_await(fold, (const bool[]){true, false});
    assert_int_equal(deliver(fold, 7, 1, 0, &next), CAIRN_ERR_CLOSED);
    for (uint32_t i = 0; i < plan.n_frames; i++) {
        assert_int_equal(deliver(fold, 3, 0, i, &next), 0);
        assert_takes(fold, i, 1);
    }
    assert_true(fed_fold_all_through(fold));
    assert_false(fed_fold_missing(fold, 0, &origin, &next, &live));
    fed_fold_open(fold, 2, 0);
    fed_fold_await(fold, (const bool[]){false, true});
    fed_fold_set_live(fold, 7, false);
    assert_false(fed_fold_all_through(fold)); /* nobody who counts is there */
    fed_fold_open(fold, 3, 0);
    assert_int_equal(deliver(fold, 7, 1, 0, &next), 0);
    assert_false(fed_fold_ready(fold));
    fed_fold_free(fold);
}

static void test_fold__what_a_dead_stream_brought_stays_in(void **state)
{
    (void)state;
    struct fed_fold *fold = fold_of(two_clients, 2);
    uint32_t next;
    assert_int_equal(deliver(fold, 7, 1, 0, &next), 0);
    fed_fold_set_live(fold, 7, false);
    assert_int_equal(deliver(fold, 3, 0, 0, &next), 0);
    assert_takes(fold, 0, 3);
    fed_fold_free(fold);
}

static void test_fold__who_comes_after_the_last_sum_finds_it_closed(void **state)
{
    (void)state;
    struct fed_fold *fold = fold_of(two_clients, 2);
    uint32_t next;
    fed_fold_set_live(fold, 7, false);
    for (uint32_t i = 0; i < plan.n_frames; i++) {
        assert_int_equal(deliver(fold, 3, 0, i, &next), 0);
        assert_takes(fold, i, 1);
    }
    assert_int_equal(deliver(fold, 7, 1, 0, &next), CAIRN_ERR_CLOSED);
    assert_int_equal(next, plan.n_frames);
    assert_false(fed_fold_closed(fold));
    fed_fold_free(fold);
}

static void test_fold__closing_completes_every_frame_with_what_it_has(void **state)
{
    (void)state;
    /* window 2 of 3 frames: the last one has no slot of its own */
    struct fed_fold *fold = fold_with_window(two_clients, 2, 2);
    uint32_t next;
    assert_int_equal(deliver(fold, 3, 0, 0, &next), 0);
    assert_int_equal(deliver(fold, 3, 0, 1, &next), 0);
    assert_int_equal(deliver(fold, 7, 1, 0, &next), 0);
    assert_false(fed_fold_closed(fold));
    fed_fold_close(fold);
    assert_true(fed_fold_closed(fold));
    assert_int_equal(deliver(fold, 7, 1, 1, &next), CAIRN_ERR_CLOSED);
    assert_int_equal(next, 1);
    assert_takes(fold, 0, 3);
    assert_takes(fold, 1, 1);
    assert_takes(fold, 2, 0);
    assert_false(fed_fold_ready(fold));
    fed_fold_open(fold, 2, 0);
    assert_false(fed_fold_closed(fold));
    assert_int_equal(deliver(fold, 7, 1, 0, &next), 0);
    fed_fold_free(fold);
}

static void test_fold__closing_with_nobody(void **state)
{
    (void)state;
    struct fed_fold *fold = fold_with_window(two_clients, 2, 1);
    fed_fold_set_live(fold, 3, false);
    fed_fold_set_live(fold, 7, false);
    fed_fold_close(fold);
    for (uint32_t i = 0; i < plan.n_frames; i++) {
        assert_takes(fold, i, 0);
    }
    assert_false(fed_fold_ready(fold));
    assert_int_equal(fed_fold_through(fold), 0);
    fed_fold_free(fold);
}

static void test_fold__a_round_can_begin_further_on(void **state)
{
    (void)state;
    struct fed_fold *fold = fold_with_window(two_clients, 2, 1);
    uint32_t next;
    fed_fold_set_live(fold, 7, false);
    fed_fold_open(fold, 5, 1);
    assert_int_equal(fed_fold_taken(fold), 1);
    assert_int_equal(deliver(fold, 3, 0, 0, &next), CAIRN_ERR_WRONG_INDEX);
    assert_int_equal(next, 1);
    assert_int_equal(deliver(fold, 3, 0, 1, &next), 0);
    assert_int_equal(deliver(fold, 3, 0, 2, &next), CAIRN_ERR_BUSY);
    assert_takes(fold, 1, 1); /* the dead one is still dead */
    /* and go back within it: what was held is gone, and the same frames come again */
    fed_fold_move(fold, 2);
    assert_int_equal(deliver(fold, 3, 0, 2, &next), 0);
    fed_fold_open(fold, 5, 0);
    assert_int_equal(fed_fold_round(fold), 5);
    assert_int_equal(fed_fold_through(fold), 0);
    assert_int_equal(deliver(fold, 3, 0, 0, &next), 0);
    assert_int_equal(deliver(fold, 7, 1, 0, &next), 0);
    assert_takes(fold, 0, 3);
    /* with nothing left to come, everything has come */
    fed_fold_open(fold, 6, plan.n_frames);
    assert_false(fed_fold_ready(fold));
    assert_true(fed_fold_all_through(fold));
    fed_fold_free(fold);
}

static void test_fold__through_counts_clients_in_the_last_frame(void **state)
{
    (void)state;
    static const struct fed_stream streams[] = {{.origin = 3, .n_clients = 1},
                                                {.origin = 7, .n_clients = 3}};
    struct fed_fold *fold = fold_of(streams, 2);
    struct test_frame t;
    uint32_t next;
    const uint32_t last = plan.n_frames - 1;
    for (uint32_t i = 0; i <= last; i++) {
        make_sum(&t, i, i == last ? 0x06 : 0x0e, 5, 30); /* the last one without client 3 */
        assert_int_equal(fed_fold_through(fold), 0);
        assert_int_equal(accept(fold, 7, &t.frame, &next), 0);
    }
    assert_int_equal(fed_fold_through(fold), 2);
    assert_false(fed_fold_all_through(fold));
    fed_fold_set_live(fold, 3, false);
    assert_true(fed_fold_all_through(fold));
    fed_fold_set_live(fold, 3, true);
    for (uint32_t i = 0; i <= last; i++) {
        assert_int_equal(deliver(fold, 3, 0, i, &next), 0);
    }
    assert_int_equal(fed_fold_through(fold), 3);
    fed_fold_set_live(fold, 7, false); /* dead, but through */
    assert_int_equal(fed_fold_through(fold), 3);
    assert_true(fed_fold_all_through(fold));
    fed_fold_open(fold, 2, 0);
    assert_int_equal(fed_fold_through(fold), 0);
    fed_fold_free(fold);
}

/*
 * The fold against a model that keeps a list of all frames that were accepted and works
 * everything out from it, over random rows of deliveries (right ones, repeated ones, gaps,
 * strangers, clients that are there already), deaths, returns, moves, closes and rewinds.
 */
enum { STREAMS = 4, MOST_FRAMES = 9, MOST_ACCEPTED = STREAMS * MOST_FRAMES };

struct accepted {
    uint32_t stream, index;
    int32_t value;
    uint64_t weight;
    uint8_t set;
};

struct model {
    struct accepted list[MOST_ACCEPTED]; /* since the fold was opened */
    size_t n;
    bool live[STREAMS];
    uint32_t round, first, base, taken, window;
    bool closed;
};

static const struct fed_stream mixed[STREAMS] = {{.origin = 20, .n_clients = 1},
                                                 {.origin = 21, .n_clients = 1},
                                                 {.origin = 22, .n_clients = 1},
                                                 {.origin = 23, .n_clients = 2}};

static bool model_has(const struct model *m, uint32_t stream, uint32_t index)
{
    for (size_t i = 0; i < m->n; i++) {
        if (m->list[i].stream == stream && m->list[i].index == index) {
            return true;
        }
    }
    return false;
}

static uint32_t model_next(const struct model *m, uint32_t stream)
{
    uint32_t next = m->first;
    for (uint32_t i = m->first; i < plan.n_frames; i++) {
        next = model_has(m, stream, i) ? i + 1 : next;
    }
    return next > m->taken ? next : m->taken;
}

static uint8_t model_set(const struct model *m, uint32_t index)
{
    uint8_t set = 0;
    for (size_t i = 0; i < m->n; i++) {
        set |= m->list[i].index == index ? m->list[i].set : 0;
    }
    return set;
}

static int model_answer(const struct model *m, uint32_t stream, const struct test_frame *t)
{
    const uint32_t next = model_next(m, stream);
    const uint8_t set = t->frame.contributors > 0 ? t->set[0] : 0;
    const bool has_all = model_has(m, stream, plan.n_frames - 1);
    if (m->closed || (m->taken == plan.n_frames && m->first < plan.n_frames && !has_all)) {
        return CAIRN_ERR_CLOSED;
    }
    if (t->frame.index != next || next == plan.n_frames) {
        return CAIRN_ERR_WRONG_INDEX;
    }
    if (next >= m->base + m->window) {
        return CAIRN_ERR_BUSY;
    }
    const bool boasts = t->frame.contributors > mixed[stream].n_clients;
    return boasts || (model_set(m, next) & set) != 0 ? CAIRN_ERR_REFUSED : 0;
}

static bool model_reached(const struct model *m, uint32_t index)
{
    bool any = false;
    for (uint32_t i = 0; i < STREAMS; i++) {
        if (m->live[i] && index >= m->first && !model_has(m, i, index)) {
            return false;
        }
        any = any || m->live[i];
    }
    return any;
}

static bool model_ready(const struct model *m)
{
    return m->taken < plan.n_frames && (m->closed || model_reached(m, m->taken));
}

static uint32_t model_through(const struct model *m)
{
    return (uint32_t)__builtin_popcount(model_set(m, plan.n_frames - 1));
}

static void random_delivery(struct model *m, struct fed_fold *fold, struct replay_rng *rng)
{
    const uint32_t stream = replay_below(rng, STREAMS);
    const uint32_t kind = replay_below(rng, 8);
    struct test_frame t;
    uint32_t next, asked;
    uint32_t index = model_next(m, stream);
    uint8_t set = (uint8_t)(stream < 3 ? 1U << stream : replay_below(rng, 4) << 3);
    if (kind == 0 || index == plan.n_frames) {
        index = replay_below(rng, plan.n_frames);
    } else if (kind == 1) {
        set = (uint8_t)(1U << replay_below(rng, CLIENTS)); /* perhaps somebody else's */
    } else if (kind == 2) {
        set = stream < 3 ? 0 : 0x1c; /* nobody; one too many */
    }
    const int32_t value = set == 0 ? 0 : (int32_t)replay_below(rng, 2001) - 1000;
    const uint64_t weight = set == 0 ? 0 : replay_below(rng, 1000);
    make_sum(&t, index, set, value, weight);
    const int err = model_answer(m, stream, &t);
    struct cairn_problem why = {0};
    const int on_headers = fed_fold_expect(fold, mixed[stream].origin, index, &asked, &why);
    assert_int_equal(on_headers, err == CAIRN_ERR_REFUSED ? 0 : err);
    assert_int_equal(asked, model_next(m, stream));
    assert_int_equal(accept(fold, mixed[stream].origin, &t.frame, &next), err);
    if (err == 0) {
        m->list[m->n++] = (struct accepted){
            .stream = stream, .index = index, .value = value, .weight = weight, .set = set};
        m->live[stream] = true;
    }
    assert_int_equal(next, model_next(m, stream));
}

static void check_take(struct model *m, struct fed_fold *fold)
{
    struct fed_sum sum;
    int64_t value = 0;
    uint64_t weight = 0;
    const uint8_t set = model_set(m, m->taken);
    for (size_t i = 0; i < m->n; i++) {
        value += m->list[i].index == m->taken ? m->list[i].value : 0;
        weight += m->list[i].index == m->taken ? m->list[i].weight : 0;
    }
    fed_fold_take(fold, &sum);
    assert_int_equal(sum.index, m->taken);
    assert_int_equal(sum.contributors, __builtin_popcount(set));
    assert_true(sum.weight == weight);
    assert_int_equal(sum.set.size, set != 0 ? 1 : 0);
    if (set != 0) {
        assert_int_equal(sum.set.data[0], set);
        assert_true(first_sum(&sum) == value);
    }
    fed_sum_release(&sum);
    m->taken++;
}

static void model_open(struct model *m, struct fed_fold *fold, uint32_t round, uint32_t first)
{
    fed_fold_open(fold, round, first);
    m->n = 0;
    m->round = round;
    m->first = m->base = m->taken = first;
    m->closed = false;
}

/* Anything but a delivery. */
static void random_event(struct model *m, struct fed_fold *fold, struct replay_rng *rng)
{
    const uint32_t stream = replay_below(rng, STREAMS);
    const uint32_t frame = replay_below(rng, plan.n_frames + 1);
    switch (replay_below(rng, 20)) {
    case 0:
        fed_fold_close(fold);
        m->closed = true;
        break;
    case 1: /* back to what the parent has */
        model_open(m, fold, m->round, replay_below(rng, m->base + 1));
        break;
    case 2:
        model_open(m, fold, m->round + 1, frame);
        break;
    case 3:
    case 4:
    case 5:
    case 6:
        m->live[stream] = replay_below(rng, 2) == 0;
        fed_fold_set_live(fold, mixed[stream].origin, m->live[stream]);
        break;
    default: {
        fed_fold_move(fold, frame);
        const uint32_t to = frame < m->taken ? frame : m->taken;
        m->base = to > m->base ? to : m->base;
        break;
    }
    }
}

static void check_state(const struct model *m, const struct fed_fold *fold)
{
    uint32_t origin, next;
    bool live;
    size_t behind = 0;
    for (uint32_t i = 0; i < STREAMS; i++) {
        if (m->first < plan.n_frames && !model_has(m, i, plan.n_frames - 1)) {
            assert_true(fed_fold_missing(fold, behind++, &origin, &next, &live));
            assert_int_equal(origin, mixed[i].origin);
            assert_int_equal(live, m->live[i]);
            assert_in_range(next, m->first, model_next(m, i));
        }
    }
    assert_false(fed_fold_missing(fold, behind, &origin, &next, &live));
    assert_int_equal(fed_fold_ready(fold), model_ready(m));
    assert_int_equal(fed_fold_taken(fold), m->taken);
    assert_int_equal(fed_fold_closed(fold), m->closed);
    assert_int_equal(fed_fold_round(fold), m->round);
    assert_int_equal(fed_fold_through(fold), model_through(m));
    assert_int_equal(fed_fold_all_through(fold), model_reached(m, plan.n_frames - 1));
}

static void run_against_model(struct replay_rng *rng)
{
    struct model m = {.live = {true, true, true, true}};
    struct fed_fold *fold;
    m.window = 1 + replay_below(rng, MOST_FRAMES + 2);
    assert_int_equal(fed_fold_new(&plan, mixed, STREAMS, m.window, &fold), 0);
    model_open(&m, fold, 1, 0);
    for (unsigned step = 0; step < 300; step++) {
        if (replay_below(rng, 4) != 0) {
            random_delivery(&m, fold, rng);
        } else {
            random_event(&m, fold, rng);
        }
        check_state(&m, fold);
        if (fed_fold_ready(fold) && replay_below(rng, 2) == 0) {
            check_take(&m, fold);
        }
    }
    fed_fold_free(fold);
}

static void test_fold__against_a_list_of_what_was_accepted(void **state)
{
    (void)state;
    const struct fed_plan before = plan;
    const uint64_t seed = (uint64_t)time(NULL);
    print_message("seed %llu\n", (unsigned long long)seed);
    struct replay_rng rng;
    replay_init(&rng, "fold against list", seed, 0, 0);
    for (unsigned run = 0; run < 300; run++) {
        struct cairn_problem why = {0};
        const size_t n = 1 + replay_below(&rng, MOST_FRAMES * FRAME);
        assert_int_equal(fed_plan_init(&plan, &before.he, n, FRAME, CLIENTS, 1 << 16, &why), 0);
        run_against_model(&rng);
    }
    plan = before;
}

/* Of integers the larger of each, by whole words, whatever the order; only frame 0 has any. */
static void test_fold__keeps_the_largest_words(void **state)
{
    (void)state;
    static const uint64_t words[3][2] = {
        {5, UINT64_C(1) << 63}, {0x100, UINT64_MAX >> 1}, {0xff, 9}};
    static const uint64_t largest[2] = {0x100, UINT64_C(1) << 63};
    const struct fed_stream streams[] = {{.origin = 1, .n_clients = CLIENTS}};
    const struct fed_plan before = plan;
    struct test_frame t[CLIENTS];
    struct fed_sum sum;
    uint32_t next;
    plan.n_words = 2;
    for (uint32_t order = 0; order < CLIENTS; order++) {
        struct fed_stream each[CLIENTS];
        for (uint32_t k = 0; k < CLIENTS; k++) {
            each[k] = (struct fed_stream){.origin = k + 1, .n_clients = 1};
        }
        struct fed_fold *fold = fold_of(each, CLIENTS);
        for (uint32_t i = 0; i < CLIENTS; i++) {
            const uint32_t k = (i + order) % CLIENTS;
            make_frame(&t[k], 0, k, 1);
            assert_int_equal(accept(fold, k + 1, &t[k].frame, &next), CAIRN_ERR_REFUSED);
            t[k].frame.words = (struct span){(const uint8_t *)words[k % 3], 8};
            assert_int_equal(accept(fold, k + 1, &t[k].frame, &next), CAIRN_ERR_REFUSED);
            t[k].frame.words.size = 16;
            assert_int_equal(accept(fold, k + 1, &t[k].frame, &next), 0);
        }
        fed_fold_take(fold, &sum);
        assert_int_equal(sum.words.size, sizeof largest);
        assert_memory_equal(sum.words.data, largest, sizeof largest);
        fed_sum_release(&sum);
        fed_fold_free(fold);
    }
    struct fed_fold *fold = fold_of(streams, 1);
    fed_fold_open(fold, 1, 1);
    make_frame(&t[0], 1, 0, 1);
    t[0].frame.words = (struct span){(const uint8_t *)words[0], 16};
    assert_int_equal(accept(fold, 1, &t[0].frame, &next), CAIRN_ERR_REFUSED);
    t[0].frame.words = (struct span){0};
    assert_int_equal(accept(fold, 1, &t[0].frame, &next), 0);
    fed_fold_take(fold, &sum);
    assert_int_equal(sum.words.size, 0);
    fed_sum_release(&sum);
    fed_fold_free(fold);
    plan = before;
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
        cmocka_unit_test(test_fold__nothing_comes_in_before_a_round_is_open),
        cmocka_unit_test(test_fold__headers_get_the_answer_that_the_frame_would_get),
        cmocka_unit_test(test_fold__the_window_is_counted_from_the_base),
        cmocka_unit_test(test_fold__a_dead_stream_is_not_waited_for),
        cmocka_unit_test(test_fold__who_comes_back_goes_on_where_the_sums_are),
        cmocka_unit_test(test_fold__who_sits_out_is_not_waited_for),
        cmocka_unit_test(test_fold__what_a_dead_stream_brought_stays_in),
        cmocka_unit_test(test_fold__who_comes_after_the_last_sum_finds_it_closed),
        cmocka_unit_test(test_fold__closing_completes_every_frame_with_what_it_has),
        cmocka_unit_test(test_fold__closing_with_nobody),
        cmocka_unit_test(test_fold__a_round_can_begin_further_on),
        cmocka_unit_test(test_fold__through_counts_clients_in_the_last_frame),
        cmocka_unit_test(test_fold__against_a_list_of_what_was_accepted),
        cmocka_unit_test(test_fold__keeps_the_largest_words),
    };
    return cmocka_run_group_tests(tests, make_plan, NULL);
}
