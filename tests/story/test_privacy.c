/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stories of clipping and noise: what is clipped can be worked out again, noise is as large as it should be and told from no
 * seed, and what it is worth is counted with those who were there, also across restarts.
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

#include "federation.h"
#include "json.h"
#include "made_up_trainer.h"
#include "privacy.h"
#include "recompute.h"
#include "safetensors.h"
#include "sampling.h"
#include "story_folder.h"

enum { PARAMS = 20000, CLIENTS = 3, SAMPLES = 10 + 11 + 12, MOST_SAMPLES = 12 };

/* Updates of the made-up trainer are uniform in +-0.05: about 4.1 long. */
static const char *config_of(const char *profile, unsigned rounds, const char *privacy)
{
    static char config[2048];
    snprintf(config, sizeof config,
             "{\"experiment\": \"privacy\", \"seed\": 7, \"privacy\": {%s},"
             " \"encryption\": {\"profile\": \"%s\"},"
             " \"round\": {\"frame_params\": 4096, \"deadline_s\": 60, \"privacy_floor\": 2},"
             " \"server\": {\"batch_bytes\": 393216},"
             " \"aggregator\": {\"iteration\": %u, \"ip\": \"10.0.0.1\"},"
             " \"others\": {"
             "  \"10.0.0.2\": {\"type\": \"switch\", \"receive\": [\"10.0.0.3\", \"10.0.0.4\"],"
             "   \"send\": \"10.0.0.1\", \"ip\": \"10.0.0.2\"},"
             "  \"10.0.0.3\": {\"type\": \"client\", \"client_number\": 3, \"index\": 0,"
             "   \"send\": \"10.0.0.2\", \"ip\": \"10.0.0.3\"},"
             "  \"10.0.0.4\": {\"type\": \"client\", \"client_number\": 3, \"index\": 1,"
             "   \"send\": \"10.0.0.2\", \"ip\": \"10.0.0.4\"},"
             "  \"10.0.0.5\": {\"type\": \"client\", \"client_number\": 3, \"index\": 2,"
             "   \"send\": \"10.0.0.1\", \"ip\": \"10.0.0.5\"}}}",
             privacy, profile, rounds);
    return config;
}

/* The same with round.fraction, and a seed by which the second client is chosen most often. */
static const char *with_fraction(const char *config)
{
    static char text[2048 + 32];
    const char *at = strstr(config, "\"frame_params\"");
    snprintf(text, sizeof text, "%.*s\"fraction\": 0.6, %s", (int)(at - config), config, at);
    strstr(text, "\"seed\": ")[strlen("\"seed\": ")] = '6';
    return text;
}

static struct federation_options options_for(const char *config)
{
    return (struct federation_options){
        .config = config, .folder = story_folder, .n_params = PARAMS, .bad_client = -1};
}

static int trainer_for(void *ctx, uint32_t client_number, uint32_t index, struct trainer **out)
{
    (void)ctx;
    const struct made_up_options made_up = {.n_params = PARAMS,
                                            .samples = client_number > 0 ? 10 + index : 0};
    return made_up_trainer(&made_up, out);
}

static json_t *run_to_the_end(struct federation *f)
{
    struct cairn_problem problem = {0};
    if (federation_run(f, &problem) != 0) {
        print_message("%s\n%s", problem.what, federation_said(f));
    }
    assert_int_equal(problem.code, 0);
    return federation_summary(f);
}

static void read_model(float *model)
{
    struct model_shape shape = {0};
    char path[160];
    snprintf(path, sizeof path, "%s/runs/privacy/model.safetensors", story_folder);
    assert_int_equal(made_up_shape(PARAMS, &shape), 0);
    assert_int_equal(safetensors_read(path, &shape, model, NULL), 0);
    model_shape_release(&shape);
}

static void test_privacy__clipped_updates_make_the_recomputed_model(void **state)
{
    (void)state;
    const struct federation_options options =
        options_for(config_of("capsule", 3, "\"clip_norm\": 2.5"));
    struct federation *f = federation_new(&options);
    json_t *summary = run_to_the_end(f);
    const struct recompute_source source = {.config = federation_config(f), .trainer = trainer_for};
    char path[160], again[DIGEST_HEX_SIZE];
    snprintf(path, sizeof path, "%s/runs/privacy/rounds.jsonl", story_folder);
    assert_int_equal(recompute_run(&source, path, again), 3);
    assert_string_equal(json_get_text(summary, "model_digest", ""), again);
    assert_null(json_object_get(summary, "privacy"));
    json_decref(summary);
    federation_free(f);
}

/* One round with noise and without: the difference has the deviation that the plan says, and another one each time. */
static void test_privacy__noise_is_as_large_as_it_should_be(void **state)
{
    (void)state;
    static const char *const profiles[] = {"none", "capsule", "seal-ckks"};
    static float without[PARAMS], with[PARAMS], before[PARAMS];
    struct federation_options options =
        options_for(config_of("none", 1, "\"clip_norm\": 2.5"));
    struct federation *f = federation_new(&options);
    json_decref(run_to_the_end(f));
    federation_free(f);
    read_model(without);
    for (unsigned p = 0; p < 3; p++) {
        options.config = config_of(profiles[p], 1, "\"clip_norm\": 2.5, \"noise_multiplier\": 1");
        f = federation_new(&options);
        json_t *summary = run_to_the_end(f);
        struct fed_privacy plan;
        const struct fed_settings *s = &federation_config(f)->settings;
        assert_int_equal(fed_privacy_plan(s, PARAMS, CLIENTS, 1, &plan, NULL), 0);
        const double deviation = plan.step * sqrt(CLIENTS * (double)plan.variance) * MOST_SAMPLES /
                                 SAMPLES;
        double sum = 0, squares = 0, same = 0;
        read_model(with);
        for (size_t i = 0; i < PARAMS; i++) {
            const double d = (double)with[i] - (double)without[i];
            sum += d;
            squares += d * d;
            same += p > 0 && with[i] == before[i];
            before[i] = with[i];
        }
        print_message("%s: deviation %g, planned %g\n", profiles[p], sqrt(squares / PARAMS), deviation);
        assert_true(fabs(sum / PARAMS) < 5 * deviation / sqrt(PARAMS));
        assert_true(fabs(sqrt(squares / PARAMS) / deviation - 1) < 5 / sqrt(2.0 * PARAMS));
        assert_true(same < PARAMS / 100.0);
        const json_t *told = json_object_get(summary, "privacy");
        assert_true(fabs(json_get_number(told, "epsilon", 0) - fed_privacy_epsilon(0.5, 1e-5)) < 0.01);
        json_decref(summary);
        federation_free(f);
    }
}

/* One of three sits round 2 out, and takes a third of the noise away: 1/2 + 3/4 + 1/2. */
static void test_privacy__epsilon_counts_who_was_there(void **state)
{
    (void)state;
    struct federation_options options =
        options_for(config_of("none", 3, "\"clip_norm\": 2.5, \"noise_multiplier\": 1"));
    for (unsigned turns = 0; turns < 50; turns += 7) {
        options.bad_client = 1;
        struct federation *f = federation_new(&options);
        for (unsigned i = 0; i < turns; i++) {
            federation_turns(f, 1);
            federation_advance(f, 0.03);
        }
        if (turns > 0) {
            federation_restart(f, "10.0.0.1:5000");
        }
        json_t *summary = run_to_the_end(f);
        const double epsilon =
            json_get_number(json_object_get(summary, "privacy"), "epsilon", 0);
        assert_true(fabs(epsilon - fed_privacy_epsilon(1.75, 1e-5)) < 0.01);
        json_decref(summary);
        federation_free(f);
    }
}

/* Two of three take part in a round, as everybody knows: what counts is who was chosen most often, and nothing is made of the
 * others not knowing it. */
static void test_privacy__epsilon_is_that_of_the_client_chosen_most_often(void **state)
{
    (void)state;
    enum { ROUNDS = 7 };
    struct federation_options options =
        options_for(config_of("none", ROUNDS, "\"clip_norm\": 2.5, \"noise_multiplier\": 1"));
    options.config = with_fraction(options.config);
    struct federation *f = federation_new(&options);
    const struct fed_settings *s = &federation_config(f)->settings;
    unsigned times[CLIENTS] = {0};
    for (unsigned round = 1; round <= ROUNDS; round++) {
        struct fed_sample sample;
        fed_sample_choose(s, CLIENTS, round, &sample);
        assert_int_equal(sample.size, 2);
        for (unsigned k = 0; k < CLIENTS; k++) {
            times[k] += fed_sample_has(&sample, k);
        }
    }
    /* else this seed shows little */
    assert_true(times[1] > times[0] && times[1] > times[2] && times[1] < ROUNDS);
    json_t *summary = run_to_the_end(f);
    const double epsilon = json_get_number(json_object_get(summary, "privacy"), "epsilon", 0);
    assert_true(fabs(epsilon - fed_privacy_epsilon(times[1] * 0.5, 1e-5)) < 0.01);
    json_decref(summary);
    federation_free(f);
}

/* Contributors of the first and of the last frames of a round. */
static void ends_of_round(int round, int *first, int *last)
{
    char path[160];
    snprintf(path, sizeof path, "%s/runs/privacy/rounds.jsonl", story_folder);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    for (int i = 0; i < round; i++) {
        json_t *line = json_loadf(file, JSON_DISABLE_EOF_CHECK, NULL);
        const json_t *frames = json_object_get(line, "frames");
        const size_t n = json_array_size(frames);
        *first = (int)json_get_int(json_array_get(frames, 0), "contributors", 0);
        *last = (int)json_get_int(json_array_get(frames, n - 1), "contributors", 0);
        json_decref(line);
    }
    fclose(file);
}

/* Between weights of 2^17 float32 has steps of 2^-6, and what is rounded to them after clipping is longer than before. Two clients
 * have fewer samples than the third, which makes theirs shorter; the third sends nothing. */
static void test_privacy__what_is_too_long_is_not_sent(void **state)
{
    (void)state;
    static float large[PARAMS];
    struct model_shape shape = {0};
    struct federation_options options =
        options_for(config_of("none", 1, "\"clip_norm\": 2.5, \"noise_multiplier\": 1"));
    char path[160];
    for (size_t i = 0; i < PARAMS; i++) {
        large[i] = 0x1p17F;
    }
    snprintf(path, sizeof path, "%s/large.safetensors", story_folder);
    assert_int_equal(made_up_shape(PARAMS, &shape), 0);
    assert_int_equal(safetensors_write(path, &shape, large, NULL), 0);
    model_shape_release(&shape);
    options.init = path;
    struct federation *f = federation_new(&options);
    json_t *summary = run_to_the_end(f);
    const double epsilon = json_get_number(json_object_get(summary, "privacy"), "epsilon", -1);
    assert_true(fabs(epsilon - fed_privacy_epsilon(0.75, 1e-5)) < 0.01);
    json_decref(summary);
    federation_free(f);
    int first = 0, last = 0;
    ends_of_round(1, &first, &last);
    assert_int_equal(first, 2);
    assert_int_equal(last, 2);
}

/* Node 4 is 10.0.0.5. Batches that get through: its first alone, its own, everybody's first, everybody's. */
enum passing { NONE, ITS_FIRST, ITS_OWN, FIRSTS, ALL };

static bool let_pass(void *ctx, const struct http_exchange *x)
{
    const enum passing passing = *(const enum passing *)ctx;
    const bool its = strstr(x->path, "origin=4&") != NULL;
    const bool first = strstr(x->path, "first=0") != NULL;
    return strstr(x->path, "/receive") == NULL || passing == ALL || (its && passing == ITS_OWN) ||
           (first && (passing == FIRSTS || (its && passing == ITS_FIRST)));
}

static void let(struct federation *f, enum passing *passing, enum passing now)
{
    *passing = now;
    for (unsigned i = 0; i < 150; i++) { /* 15 s */
        federation_turns(f, 5);
        federation_advance(f, 0.1);
    }
}

/* A client that was started anew in mid-upload would go on with another update and other noise, and what it has sent in all could
 * be longer than what noise was counted for. So it takes part up to there, and again in the next round. With nothing sent,
 * or without noise, it takes part as ever. */
static void test_privacy__one_update_a_round_comes_from_one_process(void **state)
{
    (void)state;
    static const char noise[] = "\"clip_norm\": 2.5, \"noise_multiplier\": 1";
    static const struct {
        const char *profile, *privacy;
        size_t n_params;
        enum passing before, after;
        int last;
    } cases[] = {
        {"none", noise, 15 * PARAMS, ITS_FIRST, ITS_OWN, 2}, /* two batches, nothing is opened */
        {"seal-ckks", noise, PARAMS, FIRSTS, ALL, 2},        /* five batches, one is opened */
        {"none", noise, 15 * PARAMS, NONE, ITS_OWN, 3},
        {"none", "\"clip_norm\": 2.5", 15 * PARAMS, ITS_FIRST, ITS_OWN, 3},
    };
    for (unsigned c = 0; c < 4; c++) {
        enum passing passing = NONE;
        int first = 0, last = 0;
        struct federation_options options =
            options_for(config_of(cases[c].profile, 2, cases[c].privacy));
        options.n_params = cases[c].n_params;
        options.deliver = let_pass;
        options.ctx = &passing;
        struct federation *f = federation_new(&options);
        let(f, &passing, cases[c].before);
        federation_restart(f, "10.0.0.5:5000");
        if (cases[c].before == FIRSTS) { /* who then tells everybody to go on behind them */
            federation_restart(f, "10.0.0.1:5000");
        }
        let(f, &passing, cases[c].after);
        passing = ALL;
        json_decref(run_to_the_end(f));
        federation_free(f);
        ends_of_round(1, &first, &last);
        print_message("case %u: %d, %d\n", c, first, last);
        assert_int_equal(first, 3);
        assert_int_equal(last, cases[c].last);
        ends_of_round(2, &first, &last);
        assert_int_equal(first, 3);
        assert_int_equal(last, 3);
    }
}

/* The answer to the first batch of 10.0.0.5 in this round gets lost, once. */
static void lose_an_answer(void *ctx, const struct http_exchange *x)
{
    unsigned *round = ctx;
    char batch[64];
    snprintf(batch, sizeof batch, "round=%u&origin=4&first=0", *round);
    if (strstr(x->path, "/receive") == NULL || strstr(x->path, batch) == NULL) {
        return;
    }
    struct http_exchange *answered = (struct http_exchange *)(uintptr_t)x;
    buf_release(&answered->answer);
    answered->error = CAIRN_ERR_NETWORK;
    answered->status = 0;
    snprintf(answered->what, sizeof answered->what, "%.80s: the answer was lost", x->address);
    *round = 0;
}

/* Told that its frames are there already, a client of one round's standing cannot know whose they are. Later it can. */
static void test_privacy__frames_that_are_there_are_anothers_in_a_first_round_only(void **state)
{
    (void)state;
    for (unsigned round = 1; round <= 2; round++) {
        unsigned losing = round;
        struct federation_options options =
            options_for(config_of("none", 2, "\"clip_norm\": 2.5, \"noise_multiplier\": 1"));
        options.n_params = 15 * PARAMS;
        options.answered = lose_an_answer;
        options.ctx = &losing;
        struct federation *f = federation_new(&options);
        json_decref(run_to_the_end(f));
        federation_free(f);
        assert_int_equal(losing, 0);
        for (unsigned r = 1; r <= 2; r++) {
            int first = 0, last = 0;
            ends_of_round((int)r, &first, &last);
            assert_int_equal(first, 3);
            assert_int_equal(last, r == 1 && round == 1 ? 2 : 3);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_privacy__clipped_updates_make_the_recomputed_model),
        cmocka_unit_test(test_privacy__noise_is_as_large_as_it_should_be),
        cmocka_unit_test(test_privacy__epsilon_counts_who_was_there),
        cmocka_unit_test(test_privacy__epsilon_is_that_of_the_client_chosen_most_often),
        cmocka_unit_test(test_privacy__what_is_too_long_is_not_sent),
        cmocka_unit_test(test_privacy__one_update_a_round_comes_from_one_process),
        cmocka_unit_test(test_privacy__frames_that_are_there_are_anothers_in_a_first_round_only),
    };
    return cmocka_run_group_tests(tests, story_folder_make, story_folder_remove);
}
