/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "plan.h"

enum { BATCH = 4 << 20 };

static struct he_params params_of(enum he_profile profile, uint32_t clients)
{
    struct he_params he;
    struct cairn_problem why = {0};
    assert_int_equal(he_params_choose(profile, 16, clients, &he, &why), 0);
    return he;
}

static struct fed_plan plan_of(enum he_profile profile, size_t n, size_t frame, uint32_t clients)
{
    const struct he_params he = params_of(profile, clients);
    struct fed_plan plan;
    struct cairn_problem why = {0};
    assert_int_equal(fed_plan_init(&plan, &he, n, frame, clients, BATCH, &why), 0);
    return plan;
}

static void test_plan__frames_cover_every_parameter_once(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 4095, 4096, 4097, 8192, 8193, 100000};
    static const enum he_profile profiles[] = {HE_NONE, HE_BFV, HE_CAPSULE,
                                               HE_SEAL_CKKS};
    for (size_t p = 0; p < 4; p++) {
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
            const struct fed_plan plan = plan_of(profiles[p], sizes[s], 8200, 12);
            size_t covered = 0;
            for (uint32_t f = 0; f < plan.n_frames; f++) {
                assert_int_equal(fed_plan_first(&plan, f), covered);
                assert_in_range(fed_plan_count(&plan, f), 1, plan.frame_params);
                covered += fed_plan_count(&plan, f);
            }
            assert_int_equal(covered, sizes[s]);
            assert_int_equal(plan.frame_params % plan.he.chunk_params, 0);
        }
    }
}

static void test_plan__a_frame_is_at_least_one_chunk(void **state)
{
    (void)state;
    const struct fed_plan plan = plan_of(HE_CAPSULE, 100000, 1, 12);
    assert_int_equal(plan.frame_params, plan.he.chunk_params);
}

static void test_plan__nothing_to_train_is_refused(void **state)
{
    (void)state;
    const struct he_params he = params_of(HE_NONE, 3);
    struct fed_plan plan;
    struct cairn_problem why = {0};
    assert_int_equal(fed_plan_init(&plan, &he, 0, 4096, 3, BATCH, &why), CAIRN_ERR_CONFIG);
}

static void test_plan__batches_stay_within_their_limit(void **state)
{
    (void)state;
    const struct fed_plan plan = plan_of(HE_CAPSULE, 1000000, 8192, 12);
    const size_t frame = fed_plan_frame_bytes(&plan);
    assert_int_equal(fed_plan_batch_frames(&plan, 10), 1);
    assert_int_equal(fed_plan_batch_frames(&plan, WIRE_BATCH_HEADER + 3 * frame), 3);
    assert_int_equal(fed_plan_batch_frames(&plan, WIRE_BATCH_HEADER + 3 * frame - 1), 2);
    assert_int_equal(fed_plan_batch_frames(&plan, (size_t)1 << 40), plan.n_frames);
    assert_true(fed_plan_batch_limit(&plan, 4 << 20) <= 4 << 20);
}

static void test_plan__pieces_cover_every_parameter_once(void **state)
{
    (void)state;
    /* a piece is batch_bytes / 4 parameters, in whole 1024s */
    static const struct {
        size_t batch_bytes, piece_params;
    } rows[] = {{0, 1024},      {4095, 1024},   {8191, 1024},    {8192, 2048},
                {65536, 16384}, {65540, 16384}, {BATCH, 1048576}};
    static const size_t sizes[] = {1, 1023, 1024, 1025, 16384, 16385, 100000, 1048577};
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
            const struct he_params he = params_of(HE_NONE, 12);
            struct fed_plan plan;
            struct cairn_problem why = {0};
            size_t covered = 0;
            assert_int_equal(
                fed_plan_init(&plan, &he, sizes[s], 8192, 12, rows[r].batch_bytes, &why), 0);
            assert_int_equal(plan.piece_params, rows[r].piece_params);
            for (uint32_t p = 0; p < fed_plan_pieces(&plan); p++) {
                assert_int_equal(covered, p * plan.piece_params);
                assert_in_range(fed_plan_piece_count(&plan, p), 1, plan.piece_params);
                covered += fed_plan_piece_count(&plan, p);
            }
            assert_int_equal(covered, sizes[s]);
        }
    }
}

static void test_plan__numbers_of_frames_and_pieces_fit_32_bits(void **state)
{
    (void)state;
    const struct he_params he = params_of(HE_NONE, 3);
    const size_t most = (size_t)UINT32_MAX * 1024;
    struct fed_plan plan;
    struct cairn_problem why = {0};
    assert_int_equal(fed_plan_init(&plan, &he, most, 1 << 20, 3, 4096, &why), 0);
    assert_int_equal(fed_plan_pieces(&plan), UINT32_MAX);
    assert_int_equal(fed_plan_init(&plan, &he, most + 1, 1 << 20, 3, 4096, &why), CAIRN_ERR_CONFIG);
    assert_non_null(strstr(why.hint, "batch_bytes"));
    const size_t frames = (size_t)UINT32_MAX * he.chunk_params + 1;
    assert_int_equal(fed_plan_init(&plan, &he, frames, 1, 3, SIZE_MAX, &why), CAIRN_ERR_CONFIG);
    assert_non_null(strstr(why.hint, "frame_params"));
}

static void test_plan__the_window_holds_two_batches_at_least(void **state)
{
    (void)state;
    const struct fed_plan plan = plan_of(HE_CAPSULE, 1000000, 8192, 12);
    const size_t frame = fed_plan_frame_bytes(&plan);
    const size_t batch_of_3 = WIRE_BATCH_HEADER + 3 * frame;
    assert_int_equal(fed_plan_window(&plan, 0, batch_of_3), 6);
    assert_int_equal(fed_plan_window(&plan, 7 * frame - 1, batch_of_3), 6);
    assert_int_equal(fed_plan_window(&plan, 7 * frame, batch_of_3), 7);
    assert_int_equal(fed_plan_window(&plan, SIZE_MAX, batch_of_3), plan.n_frames);
    assert_int_equal(fed_plan_window(&plan, 0, SIZE_MAX), plan.n_frames);
    const struct fed_plan small = plan_of(HE_CAPSULE, 10, 8192, 12);
    assert_int_equal(fed_plan_window(&small, 0, 0), 1);
}

/* What is encrypted fills its own frames, and what goes in plain those behind them. */
static void test_plan__what_goes_in_plain_has_frames_of_its_own(void **state)
{
    (void)state;
    static const size_t sizes[] = {2, 4096, 8192, 8193, 20000};
    static const enum he_profile profiles[] = {HE_BFV, HE_CAPSULE, HE_SEAL_CKKS};
    struct cairn_problem why = {0};
    for (size_t p = 0; p < 3; p++) {
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
            for (size_t n_plain = 1; n_plain < sizes[s]; n_plain = 2 * n_plain + sizes[s] / 3) {
                struct fed_plan plan = plan_of(profiles[p], sizes[s], 8200, 12);
                assert_int_equal(fed_plan_split(&plan, n_plain, false, &why), 0);
                size_t covered = 0, largest = 0;
                for (uint32_t f = 0; f < plan.n_frames; f++) {
                    const bool encrypted = covered < sizes[s] - n_plain;
                    assert_int_equal(fed_plan_first(&plan, f), covered);
                    assert_in_range(fed_plan_count(&plan, f), 1, plan.frame_params);
                    assert_int_equal(fed_plan_he(&plan, f)->profile,
                                     encrypted ? profiles[p] : HE_NONE);
                    assert_int_equal(fed_plan_payload_bytes(&plan, f),
                                     he_payload_bytes(fed_plan_he(&plan, f), fed_plan_count(&plan, f)));
                    const size_t bytes =
                        wire_frame_size(fed_plan_payload_bytes(&plan, f), fed_plan_set_bytes(&plan));
                    largest = bytes > largest ? bytes : largest;
                    covered += fed_plan_count(&plan, f);
                    assert_true(encrypted == (covered <= sizes[s] - n_plain));
                }
                assert_int_equal(covered, sizes[s]);
                assert_int_equal(fed_plan_frame_bytes(&plan), largest);
                assert_int_equal(fed_plan_in_plain(&plan), n_plain);
            }
        }
    }
}

static void test_plan__a_split_that_makes_no_sense(void **state)
{
    (void)state;
    struct cairn_problem why = {0};
    struct fed_plan plan = plan_of(HE_CAPSULE, 100, 8192, 12);
    assert_int_equal(fed_plan_split(&plan, 100, false, &why), CAIRN_ERR_CONFIG);
    assert_non_null(strstr(why.what, "nothing to encrypt"));
    assert_int_equal(fed_plan_split(&plan, 1, true, &why), CAIRN_ERR_CONFIG); /* never with noise */
    assert_int_equal(plan.n_frames, 1);
    assert_int_equal(fed_plan_split(&plan, 0, true, &why), 0);
    assert_int_equal(fed_plan_in_plain(&plan), 0);
    struct fed_plan none = plan_of(HE_NONE, 100, 8192, 12); /* all frames are alike */
    assert_int_equal(fed_plan_split(&none, 60, false, &why), 0);
    assert_int_equal(none.n_frames, 1);
    assert_int_equal(none.n_plain, 0);
    assert_int_equal(fed_plan_in_plain(&none), 100);
}

/* A frame in plain where one is to be encrypted is refused, and the other way round. */
static void test_plan__no_frame_changes_its_kind(void **state)
{
    (void)state;
    static const uint8_t payload[1 << 20], set[2] = {4, 0};
    struct fed_plan plan = plan_of(HE_CAPSULE, 20000, 8192, 12);
    struct cairn_problem why = {0};
    assert_int_equal(fed_plan_split(&plan, 10000, false, &why), 0);
    assert_int_equal(plan.n_he_frames, 2);
    assert_int_equal(plan.n_frames, 4);
    for (uint32_t f = 0; f < 4; f++) {
        for (int as_plain = 0; as_plain < 2; as_plain++) {
            const struct he_params *he = as_plain ? &plan.plain : &plan.he;
            const struct wire_frame frame = {
                .index = f,
                .contributors = 1,
                .weight = 1,
                .params_id = he->short_id,
                .payload = {payload, he_payload_bytes(he, fed_plan_count(&plan, f))},
                .contributor_set = {set, 2}};
            assert_int_equal(fed_plan_check(&plan, &frame, &why),
                             (f >= 2) == as_plain ? 0 : CAIRN_ERR_REFUSED);
        }
    }
}

static struct wire_frame good_frame(const struct fed_plan *plan, const uint8_t *payload,
                                    const uint8_t *set)
{
    return (struct wire_frame){
        .index = 0,
        .contributors = 1,
        .weight = 10,
        .params_id = plan->he.short_id,
        .payload = {payload, he_payload_bytes(&plan->he, fed_plan_count(plan, 0))},
        .contributor_set = {set, fed_plan_set_bytes(plan)}};
}

static void test_plan__what_a_frame_says_of_itself_is_checked(void **state)
{
    (void)state;
    static const uint8_t payload[1 << 20], one[2] = {4, 0}, two[2] = {4, 1}, outside[2] = {0, 16};
    const struct fed_plan plan = plan_of(HE_CAPSULE, 5000, 8192, 12);
    struct cairn_problem why = {0};
    const struct wire_frame good = good_frame(&plan, payload, one);
    assert_int_equal(fed_plan_check(&plan, &good, &why), 0);

    struct wire_frame f = good;
    f.index = 1;
    assert_int_equal(fed_plan_check(&plan, &f, &why), CAIRN_ERR_REFUSED);
    f = good;
    f.params_id ^= 1;
    assert_int_equal(fed_plan_check(&plan, &f, &why), CAIRN_ERR_REFUSED);
    f = good;
    f.payload.size--;
    assert_int_equal(fed_plan_check(&plan, &f, &why), CAIRN_ERR_REFUSED);
    f = good;
    f.contributor_set = (struct span){two, 2};
    assert_int_equal(fed_plan_check(&plan, &f, &why), CAIRN_ERR_REFUSED);
    f.contributors = 2;
    assert_int_equal(fed_plan_check(&plan, &f, &why), 0);
    f = good;
    f.contributor_set = (struct span){outside, 2}; /* client 12 of 0..11 */
    assert_int_equal(fed_plan_check(&plan, &f, &why), CAIRN_ERR_REFUSED);
    f = good;
    f.contributor_set.size = 1;
    assert_int_equal(fed_plan_check(&plan, &f, &why), CAIRN_ERR_REFUSED);
}

static void test_plan__fields_are_below_their_primes(void **state)
{
    (void)state;
    static uint8_t payload[2 << 20];
    static const uint8_t one[2] = {4, 0};
    const struct fed_plan plan = plan_of(HE_SEAL_CKKS, 5000, 8192, 12);
    struct cairn_problem why = {0};
    struct wire_frame f = good_frame(&plan, payload, one);
    assert_true(f.payload.size <= sizeof payload);
    assert_int_equal(fed_plan_check_fields(&plan, &f, &why), 0);
    memset(payload + f.payload.size - 5, 0xff, 5); /* the last field, modulo the third prime */
    assert_int_equal(fed_plan_check_fields(&plan, &f, &why), CAIRN_ERR_REFUSED);
    assert_non_null(strstr(why.what, "frame 0: payload section 5: field 16383 is not"));
    /* anything is a field of 2^K */
    const struct fed_plan capsule = plan_of(HE_CAPSULE, 5000, 8192, 12);
    memset(payload, 0xff, sizeof payload);
    f = good_frame(&capsule, payload, one);
    assert_int_equal(fed_plan_check_fields(&capsule, &f, &why), 0);
    f = (struct wire_frame){.params_id = plan.he.short_id}; /* nobody's frame has no payload */
    assert_int_equal(fed_plan_check_fields(&plan, &f, &why), 0);
}

static void test_plan__nobody_brings_nothing(void **state)
{
    (void)state;
    static const uint8_t set[2];
    const struct fed_plan plan = plan_of(HE_CAPSULE, 5000, 8192, 12);
    struct cairn_problem why = {0};
    struct wire_frame f = {.params_id = plan.he.short_id};
    assert_int_equal(fed_plan_check(&plan, &f, &why), 0);
    f.weight = 1;
    assert_int_equal(fed_plan_check(&plan, &f, &why), CAIRN_ERR_REFUSED);
    f.weight = 0;
    f.contributor_set = (struct span){set, 2};
    assert_int_equal(fed_plan_check(&plan, &f, &why), CAIRN_ERR_REFUSED);
}

static void test_plan__integers_travel_in_the_clear(void **state)
{
    (void)state;
    struct fed_plan plan = plan_of(HE_CAPSULE, 20000, 8192, 12);
    struct cairn_problem why = {0};
    const size_t before = fed_plan_frame_bytes(&plan);
    assert_int_equal(fed_plan_carry(&plan, 3, true, &why), CAIRN_ERR_CONFIG); /* never with noise */
    assert_int_equal(plan.n_words, 0);
    assert_int_equal(fed_plan_carry(&plan, 0, true, &why), 0);
    assert_int_equal(fed_plan_frame_bytes(&plan), before);
    assert_int_equal(fed_plan_carry(&plan, 3, false, &why), 0);
    assert_int_equal(fed_plan_frame_bytes(&plan), before + 8 + 3 * 8);
    assert_int_equal(fed_plan_words(&plan, 0), 3);
    assert_int_equal(fed_plan_words(&plan, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan__frames_cover_every_parameter_once),
        cmocka_unit_test(test_plan__a_frame_is_at_least_one_chunk),
        cmocka_unit_test(test_plan__nothing_to_train_is_refused),
        cmocka_unit_test(test_plan__batches_stay_within_their_limit),
        cmocka_unit_test(test_plan__pieces_cover_every_parameter_once),
        cmocka_unit_test(test_plan__numbers_of_frames_and_pieces_fit_32_bits),
        cmocka_unit_test(test_plan__the_window_holds_two_batches_at_least),
        cmocka_unit_test(test_plan__what_goes_in_plain_has_frames_of_its_own),
        cmocka_unit_test(test_plan__a_split_that_makes_no_sense),
        cmocka_unit_test(test_plan__no_frame_changes_its_kind),
        cmocka_unit_test(test_plan__what_a_frame_says_of_itself_is_checked),
        cmocka_unit_test(test_plan__fields_are_below_their_primes),
        cmocka_unit_test(test_plan__nobody_brings_nothing),
        cmocka_unit_test(test_plan__integers_travel_in_the_clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
