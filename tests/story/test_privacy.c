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
#include <unistd.h>

#include "federation.h"
#include "json.h"
#include "made_up_trainer.h"
#include "privacy.h"
#include "recompute.h"
#include "safetensors.h"

enum { PARAMS = 20000, CLIENTS = 3, SAMPLES = 10 + 11 + 12, MOST_SAMPLES = 12 };

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/cairn-privacy-XXXXXX");
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

/* Updates of the made-up trainer are uniform in +-0.05: about 4.1 long. */
static const char *config_of(const char *profile, unsigned rounds, const char *privacy)
{
    static char config[2048];
    snprintf(config, sizeof config,
             "{\"experiment\": \"privacy\", \"seed\": 7, \"privacy\": {%s},"
             " \"encryption\": {\"profile\": \"%s\"},"
             " \"round\": {\"frame_params\": 4096, \"deadline_s\": 60, \"privacy_floor\": 2},"
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

static struct federation_options options_for(const char *config)
{
    return (struct federation_options){
        .config = config, .folder = folder, .n_params = PARAMS, .bad_client = -1};
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
    snprintf(path, sizeof path, "%s/runs/privacy/model.safetensors", folder);
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
    snprintf(path, sizeof path, "%s/runs/privacy/rounds.jsonl", folder);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_privacy__clipped_updates_make_the_recomputed_model),
        cmocka_unit_test(test_privacy__noise_is_as_large_as_it_should_be),
        cmocka_unit_test(test_privacy__epsilon_counts_who_was_there),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
