/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stories of what goes wrong: nodes that are killed and come back, that stay away, bytes that are damaged, children that
 * are slow. After each, the run's model must be the one that is worked out again, in plain, from the contributor
 * sets that the aggregator logged (tests/recompute); and where nobody was missing, that of an undisturbed run.
 *
 * 100,000 parameters make 25 frames, a few to a batch, and 5 pieces of the model on its way down.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "federation.h"
#include "frame.h"
#include "json.h"
#include "made_up_trainer.h"
#include "recompute.h"
#include "story_folder.h"

enum { PARAMS = 100000, ROUNDS = 3 };

/* Two clients under a switch, one under the aggregator. What nobody can recompute, what a killed client owed, is
 * switched off. */
struct variant {
    const char *profile;
    unsigned seed, window_bytes; /* 0: 7, and two batches */
    const char *under;    /* the children of the switch, and the nodes there; NULL: two clients */
    const char *sections; /* more of them, each with a comma behind; NULL: none */
    const char *round;    /* the rest of that section; NULL: a privacy floor of 2 */
};

static const char *config_of_variant(const struct variant *v)
{
    static const char two_clients[] =
        "\"receive\": [\"10.0.0.3\", \"10.0.0.4\"]},"
        "  \"10.0.0.4\": {\"type\": \"client\", \"client_number\": 3, \"index\": 1,"
        "   \"send\": \"10.0.0.2\", \"ip\": \"10.0.0.4\"}";
    static char config[2048];
    snprintf(config, sizeof config,
             "{\"experiment\": \"survival\", \"seed\": %u,"
             " \"encryption\": {\"profile\": \"%s\", \"error_feedback\": false}, %s"
             " \"round\": {\"frame_params\": 4096, \"deadline_s\": 600, %s},"
             " \"server\": {\"batch_bytes\": 98304, \"window_bytes\": %u, \"start_timeout_s\": 60},"
             " \"aggregator\": {\"iteration\": %d, \"ip\": \"10.0.0.1\"},"
             " \"others\": {"
             "  \"10.0.0.2\": {\"type\": \"switch\", \"send\": \"10.0.0.1\", \"ip\": \"10.0.0.2\", %s,"
             "  \"10.0.0.3\": {\"type\": \"client\", \"client_number\": 3, \"index\": 0,"
             "   \"send\": \"10.0.0.2\", \"ip\": \"10.0.0.3\"},"
             "  \"10.0.0.5\": {\"type\": \"client\", \"client_number\": 3, \"index\": 2,"
             "   \"send\": \"10.0.0.1\", \"ip\": \"10.0.0.5\"}}}",
             v->seed != 0 ? v->seed : 7, v->profile, v->sections != NULL ? v->sections : "",
             v->round != NULL ? v->round : "\"privacy_floor\": 2",
             v->window_bytes != 0 ? v->window_bytes : 65536, ROUNDS,
             v->under != NULL ? v->under : two_clients);
    return config;
}

static const char *config_with_window(const char *profile, unsigned window_bytes)
{
    return config_of_variant(&(struct variant){.profile = profile, .window_bytes = window_bytes});
}

/* One of the two has a dumb switch above it, which does not add. */
static const char *config_with_dumb(const char *profile)
{
    return config_of_variant(&(struct variant){
        .profile = profile,
        .under = "\"receive\": [\"10.0.0.3\", \"10.0.0.6\"]},"
                 "  \"10.0.0.6\": {\"type\": \"switch\", \"receive\": [\"10.0.0.4\"],"
                 "   \"send\": \"10.0.0.2\", \"ip\": \"10.0.0.6\", \"dumb\": true},"
                 "  \"10.0.0.4\": {\"type\": \"client\", \"client_number\": 3, \"index\": 1,"
                 "   \"send\": \"10.0.0.6\", \"ip\": \"10.0.0.4\"}"});
}

static const char *config_of_strategy(const char *name)
{
    char section[64];
    snprintf(section, sizeof section, "\"strategy\": {\"name\": \"%s\"},", name);
    return config_of_variant(&(struct variant){.profile = "none", .sections = section});
}

/* A window of two batches: everybody waits for the slowest. */
static const char *config_of(const char *profile)
{
    return config_with_window(profile, 65536);
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

/* What is known of a run that has ended. */
struct outcome {
    char digest[DIGEST_HEX_SIZE];
    uint32_t fewest[ROUNDS], most[ROUNDS]; /* contributors of a frame, of each round */
    double longest_s;                      /* of the rounds */
    uint64_t largest_samples;              /* of the last round */
    unsigned discarded;                    /* frames, of all rounds */
    double wall_s;                         /* of the run, its end included */
};

static void read_rounds(struct outcome *out)
{
    char path[160];
    snprintf(path, sizeof path, "%s/runs/survival/rounds.jsonl", story_folder);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    for (int i = 0; i < ROUNDS; i++) {
        json_t *line = json_loadf(file, JSON_DISABLE_EOF_CHECK, NULL);
        assert_int_equal(json_get_int(line, "round", 0), i + 1);
        out->fewest[i] = (uint32_t)json_get_int(line, "fewest_contributors", 0);
        out->most[i] = (uint32_t)json_get_int(line, "most_contributors", 0);
        const double wall_s = json_get_number(line, "wall_s", 0);
        out->longest_s = wall_s > out->longest_s ? wall_s : out->longest_s;
        out->largest_samples = (uint64_t)json_get_int(line, "largest_samples", 0);
        out->discarded += (unsigned)json_get_int(line, "frames_discarded", 0);
        json_decref(line);
    }
    fclose(file);
}

/* Run to the end; the model must be the one that the logged sets make. */
static struct outcome finish(struct federation *f)
{
    struct cairn_problem problem = {0};
    struct outcome out = {0};
    const int err = federation_run(f, &problem);
    if (err != 0) {
        print_message("%s\n%s", problem.what, federation_said(f));
    }
    assert_int_equal(err, 0);
    json_t *summary = federation_summary(f);
    snprintf(out.digest, sizeof out.digest, "%s", json_get_text(summary, "model_digest", ""));
    out.wall_s = json_get_number(summary, "wall_s", 1e9);
    json_decref(summary);

    char path[160], again[DIGEST_HEX_SIZE];
    const struct recompute_source source = {.config = federation_config(f), .trainer = trainer_for};
    snprintf(path, sizeof path, "%s/runs/survival/rounds.jsonl", story_folder);
    assert_int_equal(recompute_run(&source, path, again), ROUNDS);
    assert_string_equal(out.digest, again);
    read_rounds(&out);
    federation_free(f);
    return out;
}

static struct outcome undisturbed(const char *profile)
{
    const struct federation_options options = options_for(config_of(profile));
    const struct outcome out = finish(federation_new(&options));
    for (int i = 0; i < ROUNDS; i++) {
        assert_int_equal(out.fewest[i], 3);
    }
    return out;
}

/* ---- nodes that are killed, and come back at once ---- */

/* Kill after so many turns, which is somewhere in configuring, round 1, round 2, ... */
static struct outcome killed(const char *config, const char *address, unsigned turns)
{
    const struct federation_options options = options_for(config);
    struct federation *f = federation_new(&options);
    for (unsigned i = 0; i < turns; i++) {
        federation_turns(f, 1);
        federation_advance(f, 0.03); /* waiting for room takes 0.05 s at least */
    }
    federation_restart(f, address);
    return finish(f);
}

static void test_survival__f3_aggregator_killed_at_any_turn(void **state)
{
    (void)state;
    static const char *const profiles[] = {"none", "capsule"};
    for (unsigned p = 0; p < 2; p++) {
        const struct outcome expected = undisturbed(profiles[p]);
        for (unsigned turns = 1; turns < 60; turns += p == 0 ? 1 : 7) {
            const struct outcome out = killed(config_of(profiles[p]), "10.0.0.1:5000", turns);
            assert_string_equal(out.digest, expected.digest);
        }
    }
}

/* What a strategy keeps besides the model comes back with it, wherever the aggregator was killed. */
static void test_survival__f3_what_a_strategy_keeps_is_not_lost(void **state)
{
    (void)state;
    static const char *const names[] = {"fedavgm", "fedadam", "fedyogi", "fedadagrad"};
    char digests[4][DIGEST_HEX_SIZE];
    for (unsigned s = 0; s < 4; s++) {
        const struct federation_options options = options_for(config_of_strategy(names[s]));
        const struct outcome expected = finish(federation_new(&options));
        for (unsigned turns = 3; turns < 60; turns += 4) {
            const struct outcome out =
                killed(config_of_strategy(names[s]), "10.0.0.1:5000", turns);
            assert_string_equal(out.digest, expected.digest);
        }
        memcpy(digests[s], expected.digest, sizeof expected.digest);
        for (unsigned other = 0; other < s; other++) {
            assert_string_not_equal(digests[s], digests[other]);
        }
    }
}

/* Who was chosen in a round, as its line has it. */
static unsigned chosen_in(const char *line)
{
    const char *at = strstr(line, "\"chosen\":");
    assert_non_null(at);
    at = strchr(at + strlen("\"chosen\":"), '"');
    return (unsigned)strtoul(at + 1, NULL, 16);
}

/* One or two of three take part in each round. The others send nothing and are not waited for, nor is a switch below which
 * nobody takes part; and whoever is started anew in mid-round knows all the same who it is that takes part. */
static void test_survival__who_is_not_chosen_is_not_waited_for(void **state)
{
    (void)state;
    unsigned sets = 0;
    for (unsigned seed = 0; seed < 12; seed++) {
        const bool alone = seed % 3 == 0;
        const struct federation_options options = options_for(config_of_variant(&(struct variant){
            .profile = seed % 2 ? "none" : "capsule",
            .seed = seed + 1,
            .round = alone ? "\"fraction\": 0.3, \"privacy_floor\": 1"
                           : "\"fraction\": 0.5, \"privacy_floor\": 2"}));
        char path[160], line[4096];
        struct federation *f = federation_new(&options);
        for (unsigned i = 0; i < 3 * seed; i++) {
            federation_turns(f, 1);
            federation_advance(f, 0.03);
        }
        if (seed > 0) {
            federation_restart(f, seed % 2 ? "10.0.0.2:5000" : "10.0.0.1:5000");
        }
        const struct outcome out = finish(f);
        assert_true(out.longest_s < 60);
        snprintf(path, sizeof path, "%s/runs/survival/rounds.jsonl", story_folder);
        FILE *file = fopen(path, "r");
        for (int i = 0; i < ROUNDS; i++) {
            assert_non_null(fgets(line, sizeof line, file));
            const unsigned set = chosen_in(line);
            assert_int_equal(__builtin_popcount(set), alone ? 1 : 2);
            assert_int_equal(out.fewest[i], alone ? 1 : 2);
            assert_int_equal(out.most[i], alone ? 1 : 2);
            sets |= 1U << set;
        }
        fclose(file);
    }
    assert_int_equal(sets, 0x7e); /* every set of one and of two */
}

/* With room for the whole round clients are through with it, and have to be told to send again. */
static void test_survival__f3_clients_send_again_what_was_lost(void **state)
{
    (void)state;
    const struct outcome expected = undisturbed("none");
    for (unsigned turns = 1; turns < 30; turns++) {
        const struct outcome out =
            killed(config_with_window("none", 64 << 20), "10.0.0.1:5000", turns);
        assert_string_equal(out.digest, expected.digest);
        assert_true(out.longest_s < 60);
    }
}

/* Node 4 is 10.0.0.5, node 1 the switch. */
struct questions {
    bool held;      /* nothing of node 4 arrives */
    unsigned asked; /* by the switch: the first question gets lost */
};

static bool lose_first_question(void *ctx, const struct http_exchange *x)
{
    struct questions *q = ctx;
    if (strstr(x->path, "/a/next") != NULL && strstr(x->path, "origin=1&") != NULL) {
        return q->asked++ > 0;
    }
    return !q->held || strstr(x->path, "/receive") == NULL || strstr(x->path, "origin=4&") == NULL;
}

/* The switch has sent all its sums, which wait for node 4 and are in no journal yet: told the round once more, it asks
 * where to go on, and has nothing to send that would tell it otherwise. */
static void test_survival__f3_a_question_that_is_lost_is_asked_again(void **state)
{
    (void)state;
    const struct outcome expected = undisturbed("none");
    struct questions q = {.held = true};
    struct federation_options options = options_for(config_with_window("none", 64 << 20));
    options.deliver = lose_first_question;
    options.ctx = &q;
    struct federation *f = federation_new(&options);
    for (unsigned i = 0; i < 50; i++) {
        federation_turns(f, 1);
        federation_advance(f, 0.1);
    }
    federation_restart(f, "10.0.0.1:5000");
    q.held = false;
    const struct outcome out = finish(f);
    assert_string_equal(out.digest, expected.digest);
    assert_true(q.asked > 1);
    assert_true(out.longest_s < 60); /* a deadline is 600 s */
}

static void test_survival__f2_switch_killed_at_any_turn(void **state)
{
    (void)state;
    const struct outcome expected = undisturbed("none");
    for (unsigned turns = 1; turns < 60; turns++) {
        const struct outcome out = killed(config_of("none"), "10.0.0.2:5000", turns);
        assert_string_equal(out.digest, expected.digest);
        assert_true(out.longest_s < 60); /* a deadline is 600 s */
    }
}

static void test_survival__f1_client_killed_at_any_turn(void **state)
{
    (void)state;
    const struct outcome expected = undisturbed("none");
    for (unsigned turns = 1; turns < 60; turns++) {
        const struct outcome out = killed(config_of("none"), "10.0.0.3:5000", turns);
        assert_string_equal(out.digest, expected.digest);
        assert_true(out.longest_s < 60);
    }
}

/* The last round is over, and what follows it: the final model on its way down, then the logs on their way up. Who
 * is started anew then has neither config nor model, and the run must not wait for it until a time limit. */
static void test_survival__killed_when_the_rounds_are_over(void **state)
{
    (void)state;
    static const char *const addresses[] = {"10.0.0.2:5000", "10.0.0.3:5000", "10.0.0.5:5000"};
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned turns = 0; turns < 6; turns++) {
            const struct federation_options options = options_for(config_of("none"));
            struct federation *f = federation_new(&options);
            while (strstr(federation_said(f), "round 3 of 3: ") == NULL) {
                federation_turns(f, 1);
                federation_advance(f, 0.03);
            }
            federation_turns(f, turns);
            federation_restart(f, addresses[i]);
            const struct outcome out = finish(f);
            assert_true(out.wall_s < 30); /* a deadline is 600 s, server.start_timeout_s 60 */
        }
    }
}

/* Node 4 is 10.0.0.5. Of its batches only the first of round 2 gets through, until it is killed. */
static bool first_batch_only(void *ctx, const struct http_exchange *x)
{
    const bool *held = ctx;
    return !*held || strstr(x->path, "/receive") == NULL || strstr(x->path, "round=1&") != NULL ||
           strstr(x->path, "origin=4&") == NULL || strstr(x->path, "first=0") != NULL;
}

/* Its first frames are in the sum, and opened: the model of that round is gone. It sits the rest out, and nobody waits
 * for it. */
static void test_survival__f1_client_killed_in_mid_upload(void **state)
{
    (void)state;
    static const char *const profiles[] = {"none", "capsule"};
    for (unsigned p = 0; p < 2; p++) {
        bool held = true;
        struct federation_options options = options_for(config_of(profiles[p]));
        options.deliver = first_batch_only;
        options.ctx = &held;
        struct federation *f = federation_new(&options);
        for (unsigned i = 0; i < 100; i++) { /* 10 s: as far as round 2 gets without it */
            federation_turns(f, 5);
            federation_advance(f, 0.1);
        }
        federation_restart(f, "10.0.0.5:5000");
        held = false;
        const struct outcome out = finish(f);
        assert_int_equal(out.fewest[0], 3);
        assert_int_equal(out.fewest[1], 2);
        assert_int_equal(out.most[1], 3);
        assert_int_equal(out.fewest[2], 3);
        assert_true(out.longest_s < 60);
    }
}

/* ---- nodes that stay away ---- */

struct away {
    const char *address;
    bool now;
};

static bool deliver_unless_away(void *ctx, const struct http_exchange *x)
{
    const struct away *away = ctx;
    return !away->now || strcmp(x->address, away->address) != 0;
}

/* Dead after six heartbeats: then its stream is not waited for any more. The privacy floor is 2. */
static void test_survival__f7_a_dead_client_is_not_waited_for(void **state)
{
    (void)state;
    static const char *const addresses[] = {"10.0.0.5:5000", "10.0.0.3:5000"}; /* at the root, at the switch */
    for (unsigned i = 0; i < 2; i++) {
        struct away away = {.address = addresses[i]};
        struct federation_options options = options_for(config_of("none"));
        options.deliver = deliver_unless_away;
        options.ctx = &away;
        struct federation *f = federation_new(&options);
        federation_turns(f, 3);
        away.now = true;
        const struct outcome out = finish(f);
        assert_int_equal(out.fewest[ROUNDS - 1], 2);
        assert_true(out.longest_s > 20 && out.longest_s < 60);
    }
}

/* The folding switch watches the dumb one, which is well, and learns from it of the client. */
static void test_survival__f7_a_client_dies_behind_a_dumb_switch(void **state)
{
    (void)state;
    struct away away = {.address = "10.0.0.4:5000"};
    struct federation_options options = options_for(config_with_dumb("none"));
    options.deliver = deliver_unless_away;
    options.ctx = &away;
    struct federation *f = federation_new(&options);
    federation_turns(f, 3);
    away.now = true;
    const struct outcome out = finish(f);
    assert_int_equal(out.fewest[ROUNDS - 1], 2);
    assert_true(out.longest_s > 20 && out.longest_s < 60);
}

static void test_survival__aggregator_goes_on_while_a_client_is_away(void **state)
{
    (void)state;
    struct away away = {.address = "10.0.0.5:5000"}; /* it has the most samples */
    struct federation_options options = options_for(config_of("none"));
    options.deliver = deliver_unless_away;
    options.ctx = &away;
    struct federation *f = federation_new(&options);
    federation_turns(f, 12);
    away.now = true;
    federation_restart(f, "10.0.0.1:5000");
    const struct outcome out = finish(f);
    assert_int_equal(out.fewest[ROUNDS - 1], 2);
    assert_int_equal(out.largest_samples, 12); /* so that it may come back */
}

/* ---- bytes that are damaged ---- */

struct flipper {
    const char *path; /* of what is damaged */
    unsigned seen, flipped;
    bool armed;
};

static uint8_t *victim_byte(const struct http_exchange *x)
{
    return (uint8_t *)(uintptr_t)x->body.data + x->body.size * 2 / 3;
}

static bool flip(void *ctx, const struct http_exchange *x)
{
    struct flipper *flipper = ctx;
    if (strstr(x->path, flipper->path) != NULL && x->body.size > 0 && flipper->seen++ % 2 == 0) {
        *victim_byte(x) ^= 0x10;
        flipper->armed = true;
        flipper->flipped++;
    }
    return true;
}

static void flip_back(void *ctx, const struct http_exchange *x)
{
    struct flipper *flipper = ctx;
    if (flipper->armed && strstr(x->path, flipper->path) != NULL) {
        *victim_byte(x) ^= 0x10;
        flipper->armed = false;
    }
}

/* Every other batch, model and config. Flipping in a config hits JSON text, which may stay JSON: those nodes run
 * another config than was meant, say so by its digest, and get it again. */
static void test_survival__f12_damaged_messages_are_sent_again(void **state)
{
    (void)state;
    static const char *const paths[] = {"/receive", "/model", "/config"};
    const struct outcome expected = undisturbed("none");
    for (unsigned i = 0; i < 3; i++) {
        struct flipper flipper = {.path = paths[i]};
        struct federation_options options = options_for(config_of("none"));
        options.deliver = flip;
        options.answered = flip_back;
        options.ctx = &flipper;
        const struct outcome out = finish(federation_new(&options));
        print_message("%s: %u damaged, longest round %.1f s\n", paths[i], flipper.flipped,
                      out.longest_s);
        assert_true(flipper.flipped >= 4);
        assert_string_equal(out.digest, expected.digest);
        assert_true(out.longest_s < 60);
    }
}

/* ---- a client whose ciphertexts are garbage ---- */

struct liar {
    unsigned frames; /* that were spoilt */
    uint32_t newest; /* first frame of the newest spoilt batch, so that one that is sent again stays as it is */
};

/* Node 4 is 10.0.0.5. In round 2 every byte of its payloads is made up, and the digests are good. */
static bool lie(void *ctx, const struct http_exchange *x)
{
    struct liar *liar = ctx;
    struct wire_batch batch;
    struct wire_frame frame;
    if (strstr(x->path, "/receive") == NULL || strstr(x->path, "round=2&") == NULL ||
        strstr(x->path, "origin=4&") == NULL) {
        return true;
    }
    assert_int_equal(wire_batch_read(x->body, &batch, NULL), 0);
    if (liar->frames > 0 && batch.first_index <= liar->newest) {
        return true;
    }
    liar->newest = batch.first_index;
    while (wire_batch_next(&batch, &frame, NULL) == 1) {
        uint8_t *payload = (uint8_t *)(uintptr_t)frame.payload.data;
        for (size_t i = 0; i < frame.payload.size; i++) {
            payload[i] = (uint8_t)(payload[i] ^ (i * 2654435761U) >> 13);
        }
        wire_frame_seal((uint8_t *)(uintptr_t)frame.bytes.data, &batch.context);
        liar->frames++;
    }
    return true;
}

/* Nobody can see it in the ciphertexts, but the sum opens to no sum of updates: those frames keep their old values, and
 * the rest of the run is as it would be. */
static void test_survival__f20_garbage_for_ciphertexts_changes_nothing(void **state)
{
    (void)state;
    static const char *const profiles[] = {"capsule", "bfv"};
    for (unsigned p = 0; p < 2; p++) {
        struct liar liar = {0};
        struct federation_options options = options_for(config_of(profiles[p]));
        options.deliver = lie;
        options.ctx = &liar;
        const struct outcome out = finish(federation_new(&options));
        print_message("%s: %u frames spoilt, %u discarded\n", profiles[p], liar.frames, out.discarded);
        assert_true(liar.frames > 20);
        assert_int_equal(out.discarded, liar.frames);
    }
}

/* ---- children that run ahead ---- */

struct slow {
    bool held;
    unsigned refused; /* batches beyond the window, and questions whether there is room */
};

/* Node 4 is 10.0.0.5, whose batches do not get through until the others have run into the window. */
static bool hold_one(void *ctx, const struct http_exchange *x)
{
    const struct slow *slow = ctx;
    return !slow->held || strstr(x->path, "/receive") == NULL || strstr(x->path, "origin=4&") == NULL;
}

static void count_refusals(void *ctx, const struct http_exchange *x)
{
    struct slow *slow = ctx;
    if (strncmp(x->path, "/a/", 3) == 0 && x->status == 503) {
        slow->refused++;
        slow->held = slow->refused < 3;
    }
}

static void test_survival__a_child_that_runs_ahead_waits_for_the_window(void **state)
{
    (void)state;
    const struct outcome expected = undisturbed("none");
    struct slow slow = {.held = true};
    struct federation_options options = options_for(config_of("none"));
    options.deliver = hold_one;
    options.answered = count_refusals;
    options.ctx = &slow;
    const struct outcome out = finish(federation_new(&options));
    assert_true(slow.refused >= 3);
    assert_string_equal(out.digest, expected.digest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_survival__f3_aggregator_killed_at_any_turn),
        cmocka_unit_test(test_survival__f3_what_a_strategy_keeps_is_not_lost),
        cmocka_unit_test(test_survival__who_is_not_chosen_is_not_waited_for),
        cmocka_unit_test(test_survival__f3_clients_send_again_what_was_lost),
        cmocka_unit_test(test_survival__f3_a_question_that_is_lost_is_asked_again),
        cmocka_unit_test(test_survival__f2_switch_killed_at_any_turn),
        cmocka_unit_test(test_survival__f1_client_killed_at_any_turn),
        cmocka_unit_test(test_survival__killed_when_the_rounds_are_over),
        cmocka_unit_test(test_survival__f1_client_killed_in_mid_upload),
        cmocka_unit_test(test_survival__f7_a_dead_client_is_not_waited_for),
        cmocka_unit_test(test_survival__f7_a_client_dies_behind_a_dumb_switch),
        cmocka_unit_test(test_survival__aggregator_goes_on_while_a_client_is_away),
        cmocka_unit_test(test_survival__f12_damaged_messages_are_sent_again),
        cmocka_unit_test(test_survival__f20_garbage_for_ciphertexts_changes_nothing),
        cmocka_unit_test(test_survival__a_child_that_runs_ahead_waits_for_the_window),
    };
    return cmocka_run_group_tests(tests, story_folder_make, story_folder_remove);
}
