/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stories: whole federations in one process, with a clock that the test turns
 * and a transport without sockets. What is told here is what the README promises:
 * the same final model in every scenario, in every tree, in every order of arrival, equal to a
 * sum worked out without any of it; nothing counts twice; and a round that
 * cannot be finished says who it waited for.
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

#include "checksum.h"
#include "digest.h"
#include "federation.h"
#include "frame.h"
#include "json.h"
#include "made_up_trainer.h"
#include "model_message.h"
#include "quantiser.h"
#include "replay.h"
#include "story_folder.h"
#include "synthetic.h"

enum { PARAMS = 20000, ROUNDS = 3, CLIENTS = 3 };

/* Room for a few frames of 4096 parameters, for one of profile seal-ckks: a batch of its own each. */
static unsigned batch_bytes(const char *profile)
{
    return strcmp(profile, "seal-ckks") == 0 ? 400000 : 131072;
}

/* One aggregator, one switch, three clients: two under the switch, one under the aggregator. */
static void small_config(char *out, size_t size, const char *profile, bool dumb, unsigned rounds,
                         const char *more)
{
    snprintf(out, size,
             "{\"experiment\": \"story\", \"seed\": 7,"
             " \"encryption\": {\"profile\": \"%s\"},"
             " \"round\": {\"frame_params\": 4096, \"deadline_s\": 60}%s,"
             " \"server\": {\"batch_bytes\": %u, \"start_timeout_s\": 30},"
             " \"aggregator\": {\"iteration\": %u, \"ip\": \"10.0.0.1\"},"
             " \"others\": {"
             "  \"10.0.0.2\": {\"type\": \"switch\", \"receive\": [\"10.0.0.3\", \"10.0.0.4\"],"
             "   \"send\": \"10.0.0.1\", \"ip\": \"10.0.0.2\", \"dumb\": %s},"
             "  \"10.0.0.3\": {\"type\": \"client\", \"client_number\": 3, \"index\": 0,"
             "   \"send\": \"10.0.0.2\", \"ip\": \"10.0.0.3\"},"
             "  \"10.0.0.4\": {\"type\": \"client\", \"client_number\": 3, \"index\": 1,"
             "   \"send\": \"10.0.0.2\", \"ip\": \"10.0.0.4\"},"
             "  \"10.0.0.5\": {\"type\": \"client\", \"client_number\": 3, \"index\": 2,"
             "   \"send\": \"10.0.0.1\", \"ip\": \"10.0.0.5\"}}}",
             profile, more, batch_bytes(profile), rounds, dumb ? "true" : "false");
}

static char *digest_of_run(const struct federation_options *options)
{
    struct federation *f = federation_new(options);
    struct cairn_problem problem = {0};
    const int err = federation_run(f, &problem);
    if (err != 0) {
        print_message("%s\n", problem.what);
    }
    assert_int_equal(err, 0);
    json_t *summary = federation_summary(f);
    assert_non_null(summary);
    char *digest = strdup(json_get_text(summary, "model_digest", "none"));
    json_decref(summary);
    federation_free(f);
    return digest;
}

/* What a client owes more after a round's training. */
static void train_one(struct trainer *t, const float *model, float *local, uint64_t seed,
                      uint32_t round, uint32_t k, float *owed)
{
    struct train_metrics metrics;
    const size_t n = t->shape->n_params;
    assert_int_equal(t->train(t, t->needs_model ? model : NULL, t->by_run ? NULL : local, seed,
                              round, k, &metrics, NULL),
                     0);
    if (t->by_run) {
        assert_int_equal(t->update(t, round, k, 0, n, local, NULL), 0);
        quantiser_add(local, owed, n);
    } else {
        quantiser_owe(model, local, owed, n);
    }
}

/* The same run, worked out with plain integers and none of the machinery. `absent`: a client index that
 * sits round 2 out, or -1. Takes the trainer. */
static void recompute_of(struct trainer *trainer, uint64_t seed, uint32_t clients, unsigned rounds,
                         int absent, uint32_t floor, char *hex)
{
    enum { MOST_TENSORS = 16 };
    const struct model_shape *shape = trainer->shape;
    const size_t n = shape->n_params;
    float *model = calloc(n, sizeof *model), *local = calloc(n, sizeof *local);
    float *owed = calloc((size_t)clients * n, sizeof *owed);
    int64_t *sums = calloc(n, sizeof *sums);
    int32_t *q = calloc(n, sizeof *q);
    double steps[MOST_TENSORS] = {0}, largest[MOST_TENSORS] = {0};
    assert_true(shape->n_tensors <= MOST_TENSORS);
    trainer->initial(trainer, seed, model);
    for (uint32_t round = 1; round <= rounds; round++) {
        uint64_t weight = 0;
        uint32_t contributors = 0;
        quantiser_choose_steps(shape, 16, round == 1 ? NULL : largest, steps);
        memset(largest, 0, sizeof largest);
        memset(sums, 0, n * sizeof *sums);
        for (uint32_t k = 0; k < clients; k++) {
            if ((int)k == absent && round == 2) {
                continue;
            }
            const struct quantiser quantiser = {.shape = shape,
                                                .steps = steps,
                                                .value_bits = 16,
                                                .samples = 10 + k,
                                                .largest_samples = 10 + clients - 1,
                                                .seed = seed,
                                                .round = round,
                                                .client_index = k};
            train_one(trainer, model, local, seed, round, k, owed + k * n);
            quantiser_read(&quantiser, owed + k * n, 0, n, q, NULL);
            quantiser_settle(&quantiser, owed + k * n, 0, n);
            for (size_t i = 0; i < n; i++) {
                sums[i] += q[i];
            }
            weight += 10 + k;
            contributors++;
        }
        if (contributors >= floor) {
            quantiser_apply(shape, steps, 10 + clients - 1, weight, 0, n, sums, model, largest);
        }
    }
    uint8_t digest[DIGEST_SIZE];
    digest_of(model, n * sizeof *model, digest);
    digest_hex(digest, DIGEST_SIZE, hex);
    free(model);
    free(local);
    free(owed);
    free(sums);
    free(q);
    trainer->free(trainer);
}

static void recompute(uint64_t seed, uint32_t clients, unsigned rounds, int absent, uint32_t floor,
                      char *hex)
{
    struct trainer *trainer;
    const struct made_up_options made_up = {.n_params = PARAMS};
    assert_int_equal(made_up_trainer(&made_up, &trainer), 0);
    recompute_of(trainer, seed, clients, rounds, absent, floor, hex);
}

static struct federation_options options_for(const char *config)
{
    return (struct federation_options){
        .config = config, .folder = story_folder, .n_params = PARAMS, .bad_client = -1};
}

static void test_story__all_scenarios_give_the_recomputed_model(void **state)
{
    (void)state;
    char expected[DIGEST_HEX_SIZE], config[2048];
    recompute(7, CLIENTS, ROUNDS, -1, 1, expected);
    static const char *const profiles[] = {"none", "bfv", "capsule", "seal-ckks"};
    for (unsigned p = 0; p < 4; p++) {
        for (unsigned dumb = 0; dumb < 2; dumb++) {
            small_config(config, sizeof config, profiles[p], dumb != 0, ROUNDS, "");
            struct federation_options options = options_for(config);
            options.order_seed = 10 * p + dumb;
            char *digest = digest_of_run(&options);
            assert_string_equal(digest, expected);
            free(digest);
        }
    }
}

/* A trainer that tells its updates run by run, to clients that keep no model. */
static void test_story__updates_told_run_by_run(void **state)
{
    (void)state;
    char expected[DIGEST_HEX_SIZE], config[2048];
    struct trainer *trainer;
    const struct train_synthetic_options synthetic = {.n_params = 30001};
    assert_int_equal(train_synthetic_new(&synthetic, &trainer, NULL), 0);
    recompute_of(trainer, 7, CLIENTS, ROUNDS, -1, 1, expected);
    static const char *const profiles[] = {"none", "bfv", "capsule"};
    for (unsigned p = 0; p < 3; p++) {
        small_config(config, sizeof config, profiles[p], p == 1, ROUNDS,
                     ", \"train\": {\"type\": \"synthetic\"}, \"model\": {\"params\": 30001}");
        struct federation_options options = options_for(config);
        char *digest = digest_of_run(&options);
        assert_string_equal(digest, expected);
        free(digest);
    }
}

/* Switches three deep, one of them dumb, uneven: 3 children under one and 1 under another. */
static const char deep_config[] =
    "{\"experiment\": \"deep\", \"seed\": 7, \"encryption\": {\"profile\": \"%s\"},"
    " \"round\": {\"frame_params\": 4096}, \"server\": {\"batch_bytes\": %u},"
    " \"aggregator\": {\"iteration\": 3, \"ip\": \"10.0.0.1\"}, \"others\": {"
    " \"10.0.0.2\": {\"type\": \"switch\", \"receive\": [\"10.0.0.3\", \"10.0.0.4\"], "
    "\"send\": \"10.0.0.1\", \"ip\": \"10.0.0.2\"},"
    " \"10.0.0.3\": {\"type\": \"switch\", \"receive\": [\"10.0.0.5\", \"10.0.1.3\"], "
    "\"send\": \"10.0.0.2\", \"ip\": \"10.0.0.3\", \"dumb\": true},"
    " \"10.0.0.4\": {\"type\": \"switch\", \"receive\": [\"10.0.1.4\"], "
    "\"send\": \"10.0.0.2\", \"ip\": \"10.0.0.4\"},"
    " \"10.0.0.5\": {\"type\": \"switch\", \"receive\": [\"10.0.1.0\", \"10.0.1.1\", "
    "\"10.0.1.2\"], \"send\": \"10.0.0.3\", \"ip\": \"10.0.0.5\"},"
    " \"10.0.1.0\": {\"type\": \"client\", \"client_number\": 5, \"index\": 0, "
    "\"send\": \"10.0.0.5\", \"ip\": \"10.0.1.0\"},"
    " \"10.0.1.1\": {\"type\": \"client\", \"client_number\": 5, \"index\": 1, "
    "\"send\": \"10.0.0.5\", \"ip\": \"10.0.1.1\"},"
    " \"10.0.1.2\": {\"type\": \"client\", \"client_number\": 5, \"index\": 2, "
    "\"send\": \"10.0.0.5\", \"ip\": \"10.0.1.2\"},"
    " \"10.0.1.3\": {\"type\": \"client\", \"client_number\": 5, \"index\": 3, "
    "\"send\": \"10.0.0.3\", \"ip\": \"10.0.1.3\"},"
    " \"10.0.1.4\": {\"type\": \"client\", \"client_number\": 5, \"index\": 4, "
    "\"send\": \"10.0.0.4\", \"ip\": \"10.0.1.4\"}}}";

static void test_story__deep_uneven_tree_in_any_order(void **state)
{
    (void)state;
    static const char *const profiles[] = {"capsule", "none", "seal-ckks"};
    char expected[DIGEST_HEX_SIZE], config[4096];
    recompute(7, 5, 3, -1, 1, expected);
    for (unsigned order = 0; order < 4; order++) {
        const char *profile = profiles[order % 3];
        snprintf(config, sizeof config, deep_config, profile, batch_bytes(profile));
        struct federation_options options = options_for(config);
        options.order_seed = order;
        char *digest = digest_of_run(&options);
        assert_string_equal(digest, expected);
        free(digest);
    }
}

static void test_story__weighted_mean_is_exact(void **state)
{
    (void)state;
    /* samples 1, 9, 90 and models 0, 10, 100 make 90.9; here in hundredths, since the first round's range is 1.
     * A step is then 1/32767. */
    static const uint64_t samples[] = {1, 9, 90};
    static const float targets[] = {0, 0.1F, 1};
    static const char *const profiles[] = {"none", "bfv", "capsule", "seal-ckks"};
    char config[2048], path[256];
    for (unsigned p = 0; p < 4; p++) {
        small_config(config, sizeof config, profiles[p], false, 1, "");
        struct federation_options options = options_for(config);
        options.n_params = 5;
        options.samples = samples;
        options.targets = targets;
        free(digest_of_run(&options));
        snprintf(path, sizeof path, "%s/runs/story/model.safetensors", story_folder);
        FILE *file = fopen(path, "rb");
        assert_non_null(file);
        float last = 0;
        assert_int_equal(fseek(file, -(long)sizeof last, SEEK_END), 0);
        assert_int_equal(fread(&last, sizeof last, 1, file), 1);
        fclose(file);
        print_message("%s: %.6f\n", profiles[p], (double)last);
        assert_true(fabs((double)last - 0.909) <= 1.0 / 32767);
    }
}

/* What a client's log in the run folder says of round 1. */
static long long saturated_of(const char *node)
{
    char path[256];
    snprintf(path, sizeof path, "%s/runs/story/nodes/%s.json", story_folder, node);
    json_t *log = json_load_file(path, 0, NULL);
    assert_non_null(log);
    const json_t *first = json_array_get(json_object_get(log, "iteration"), 0);
    const long long n = json_get_int(first, "saturated", -1);
    json_decref(log);
    return n;
}

static void test_story__saturated_values_are_counted(void **state)
{
    (void)state;
    static const float targets[] = {0, 3, -3}; /* the first round's range is 1 */
    char config[2048];
    small_config(config, sizeof config, "none", false, 1, "");
    struct federation_options options = options_for(config);
    options.targets = targets;
    free(digest_of_run(&options));
    assert_int_equal(saturated_of("10.0.0.3"), 0);
    assert_int_equal(saturated_of("10.0.0.4"), PARAMS);
    assert_int_equal(saturated_of("10.0.0.5"), PARAMS);
}

/* A transport that loses the answer of every batch: it was counted, the child does not know. */
struct lossy {
    unsigned seen, lost;
    bool armed;
};

static void lose_some_answers(void *ctx, const struct http_exchange *x)
{
    struct lossy *lossy = ctx;
    if (strstr(x->path, "/receive") != NULL && ++lossy->seen % 3 == 0) {
        struct http_exchange *answered = (struct http_exchange *)(uintptr_t)x;
        buf_release(&answered->answer);
        answered->error = CAIRN_ERR_NETWORK;
        answered->status = 0;
        snprintf(answered->what, sizeof answered->what, "%.80s: the answer was lost", x->address);
        lossy->lost++;
    }
}

static void test_story__lost_answers_count_once(void **state)
{
    (void)state;
    char expected[DIGEST_HEX_SIZE], config[2048];
    recompute(7, CLIENTS, ROUNDS, -1, 1, expected);
    for (unsigned dumb = 0; dumb < 2; dumb++) {
        struct lossy lossy = {0};
        small_config(config, sizeof config, "capsule", dumb != 0, ROUNDS, "");
        struct federation_options options = options_for(config);
        options.answered = lose_some_answers;
        options.ctx = &lossy;
        char *digest = digest_of_run(&options);
        assert_true(lossy.lost > 3);
        assert_string_equal(digest, expected);
        free(digest);
    }
}

/* A transport that delivers the first frame of a batch by itself, and then the batch: the parent expects the
 * second frame by then, and says so. */
struct cutter {
    struct federation *f;
    bool busy;
    unsigned cut;
};

static bool deliver_first_frame_before(void *ctx, const struct http_exchange *x)
{
    struct cutter *c = ctx;
    struct wire_batch batch;
    struct wire_frame frame;
    struct cairn_problem why = {0};
    if (c->busy || strstr(x->path, "/receive") == NULL) {
        return true;
    }
    assert_int_equal(wire_batch_read(x->body, &batch, &why), 0);
    assert_int_equal(wire_batch_next(&batch, &frame, &why), 1);
    if (batch.frames == 1) {
        return true;
    }
    uint8_t header[WIRE_BATCH_HEADER];
    struct buf first = {0};
    wire_batch_header(header, &batch.context, batch.origin, 1, batch.first_index,
                      sizeof header + frame.bytes.size);
    assert_int_equal(buf_append(&first, header, sizeof header), 0);
    assert_int_equal(buf_append(&first, frame.bytes.data, frame.bytes.size), 0);
    struct http_exchange alone = *x;
    alone.body = buf_span(&first);
    c->busy = true;
    federation_request(c->f, &alone);
    c->busy = false;
    c->cut += alone.status == 200;
    http_exchange_release(&alone);
    buf_release(&first);
    return true;
}

static void test_story__a_child_goes_where_its_parent_says(void **state)
{
    (void)state;
    char expected[DIGEST_HEX_SIZE], config[2048];
    recompute(7, CLIENTS, ROUNDS, -1, 1, expected);
    for (unsigned dumb = 0; dumb < 2; dumb++) {
        struct cutter cutter = {0};
        small_config(config, sizeof config, "capsule", dumb != 0, ROUNDS, "");
        struct federation_options options = options_for(config);
        options.deliver = deliver_first_frame_before;
        options.ctx = &cutter;
        struct federation *f = federation_new(&options);
        struct cairn_problem problem = {0};
        cutter.f = f;
        assert_int_equal(federation_run(f, &problem), 0);
        assert_true(cutter.cut > 2 * ROUNDS);
        json_t *summary = federation_summary(f);
        assert_string_equal(json_get_text(summary, "model_digest", ""), expected);
        json_decref(summary);
        federation_free(f);
    }
}

static void test_story__f20_a_client_with_nan_sits_the_round_out(void **state)
{
    (void)state;
    char expected[DIGEST_HEX_SIZE], config[2048];
    recompute(7, CLIENTS, ROUNDS, 1, 1, expected);
    small_config(config, sizeof config, "capsule", false, ROUNDS,
                 ", \"privacy_floor\": 2");
    /* the floor belongs into "round" */
    char *at = strstr(config, "}, \"privacy_floor\": 2");
    assert_non_null(at);
    memcpy(at, ", \"privacy_floor\": 2}", 21);
    struct federation_options options = options_for(config);
    options.bad_client = 1;
    char *digest = digest_of_run(&options);
    assert_string_equal(digest, expected);
    free(digest);
}

static void test_story__below_the_privacy_floor_nothing_is_opened(void **state)
{
    (void)state;
    char config[2048], path[256], expected[DIGEST_HEX_SIZE];
    recompute(7, CLIENTS, ROUNDS, 1, 3, expected);
    small_config(config, sizeof config, "capsule", false, ROUNDS, "");
    struct federation_options options = options_for(config);
    options.bad_client = 1; /* two contributors are left in round 2, the floor is 3 */
    char *digest = digest_of_run(&options);
    assert_string_equal(digest, expected); /* round 2 has left the model as it was */
    free(digest);
    snprintf(path, sizeof path, "%s/runs/story/rounds.jsonl", story_folder);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    for (int round = 1; round <= 2; round++) {
        json_t *line = json_loadf(file, JSON_DISABLE_EOF_CHECK, NULL);
        assert_non_null(line);
        assert_int_equal(json_get_int(line, "round", 0), round);
        assert_int_equal(json_get_int(line, "fewest_contributors", 0), round == 1 ? 3 : 2);
        assert_int_equal(json_get_int(line, "frames_kept", -1), round == 1 ? 0 : 5);
        json_decref(line);
    }
    fclose(file);
}

/* A run that must fail because `address` does not get what `deliver` holds back from it. */
static struct federation *failed_run(const char *profile, char *address,
                                     bool (*deliver)(void *, const struct http_exchange *),
                                     int code, struct cairn_problem *problem)
{
    static char config[2048]; /* borrowed by the federation */
    small_config(config, sizeof config, profile, false, ROUNDS, "");
    struct federation_options options = options_for(config);
    options.deliver = deliver;
    options.ctx = address;
    struct federation *f = federation_new(&options);
    assert_int_equal(federation_run(f, problem), code);
    assert_non_null(strstr(problem->what, address));
    assert_null(federation_summary(f));
    return f;
}

static bool without_one_client(void *ctx, const struct http_exchange *x)
{
    const char *address = ctx;
    return strcmp(x->address, address) != 0 || strcmp(x->path, "/c/model") != 0;
}

static void test_story__a_missing_client_is_named_at_the_deadline(void **state)
{
    (void)state;
    char address[] = "10.0.0.5:5000";
    struct cairn_problem problem = {0};
    struct federation *f =
        failed_run("capsule", address, without_one_client, CAIRN_ERR_QUORUM, &problem);
    assert_null(strstr(problem.what, "10.0.0.2:5000"));
    assert_non_null(strstr(problem.what, "3 rounds in a row"));
    assert_non_null(
        strstr(federation_said(f), "waiting for the updates of round 1: 10.0.0.5:5000"));
    assert_non_null(
        strstr(federation_said(f), "round 1: closed (deadline) without 10.0.0.5:5000"));
    federation_free(f);
}

static bool nobody(void *ctx, const struct http_exchange *x)
{
    return strcmp(x->address, ctx) != 0;
}

static void test_story__a_node_that_never_starts_is_named(void **state)
{
    (void)state;
    char address[] = "10.0.0.4:5000";
    struct cairn_problem problem = {0};
    struct federation *f = failed_run("none", address, nobody, CAIRN_ERR_NETWORK, &problem);
    assert_null(strstr(problem.what, "10.0.0.3:5000"));
    assert_non_null(strstr(federation_said(f), "waiting for nodes to take their config: 10.0.0.4"));
    federation_free(f);
}

static void test_story__one_thread_per_node(void **state)
{
    (void)state;
    char expected[DIGEST_HEX_SIZE], config[2048];
    recompute(7, CLIENTS, ROUNDS, -1, 1, expected);
    for (unsigned dumb = 0; dumb < 2; dumb++) {
        small_config(config, sizeof config, "capsule", dumb != 0, ROUNDS, "");
        struct federation_options options = options_for(config);
        options.threads = true;
        char *digest = digest_of_run(&options);
        assert_string_equal(digest, expected);
        free(digest);
    }
}

/* ---- requests that must change nothing ---- */

struct prober {
    struct federation *f;
    unsigned done;
    struct buf batch; /* a good batch of 10.0.0.3, seen on its way */
    bool probing;
};

static int probe(struct prober *p, const char *method, const char *path, const void *body,
                 size_t size)
{
    struct http_exchange x = {.address = "10.0.0.2:5000",
                              .method = method,
                              .path = path,
                              .body = {body, size}};
    federation_request(p->f, &x);
    if (x.status >= 400) {
        const char *text = buf_text(&x.answer);
        assert_non_null(strstr(text, "\"error\""));
        assert_non_null(strstr(text, "\"hint\""));
    }
    const int status = x.status;
    http_exchange_release(&x);
    return status;
}

/* Change one field of the batch header and make its digest good again. */
static struct buf edited(const struct buf *batch, size_t at, uint32_t value)
{
    struct buf copy = {0};
    assert_int_equal(buf_append(&copy, batch->data, batch->size), 0);
    memcpy(copy.data + at, &value, sizeof value);
    checksum_of(copy.data, 64, 0, copy.data + 64);
    return copy;
}

static int probe_edited(struct prober *p, size_t at, uint32_t value)
{
    struct buf b = edited(&p->batch, at, value);
    const int status = probe(p, "POST", "/s/receive", b.data, b.size);
    buf_release(&b);
    return status;
}

static void probe_everything(struct prober *p)
{
    const struct buf *b = &p->batch;
    assert_int_equal(probe(p, "POST", "/s/receive", b->data, b->size), 409); /* once more */
    assert_int_equal(probe(p, "POST", "/s/receive", b->data, b->size / 2), 400);
    assert_int_equal(probe(p, "POST", "/s/receive", b->data, 10), 400);
    assert_int_equal(probe(p, "POST", "/s/receive", "", 0), 400);
    assert_int_equal(probe(p, "POST", "/s/receive", "{\"hello\": 1}", 12), 400);
    assert_int_equal(probe_edited(p, 8, 0x12345678), 404);  /* experiment */
    assert_int_equal(probe_edited(p, 24, 1), 410);          /* round that is over */
    assert_int_equal(probe_edited(p, 24, 9), 503);          /* round that has not begun here */
    assert_int_equal(probe_edited(p, 28, 77), 404);         /* unknown child */
    struct buf flipped = {0};
    assert_int_equal(buf_append(&flipped, b->data, b->size), 0);
    flipped.data[WIRE_BATCH_HEADER + WIRE_FRAME_HEADER + 100] ^= 1; /* in the first payload */
    assert_int_equal(probe(p, "POST", "/s/receive", flipped.data, flipped.size), 409); /* its index decides before its bytes */
    buf_release(&flipped);
    uint8_t *huge = calloc(1, 4 << 20);
    assert_non_null(huge);
    assert_int_equal(probe(p, "POST", "/s/receive", huge, 4 << 20), 413);
    free(huge);
    assert_int_equal(probe(p, "POST", "/c/model", "x", 1), 404); /* another role's */
    assert_int_equal(probe(p, "POST", "/a/receive", "x", 1), 404);
    assert_int_equal(probe(p, "GET", "/nowhere", NULL, 0), 404);
    assert_int_equal(probe(p, "POST", "/config", "{", 1), 400);
    assert_int_equal(probe(p, "POST", "/config", "{}", 2), 422);
    assert_int_equal(probe(p, "POST", "/s/model", "x", 1), 400);
    assert_int_equal(probe(p, "GET", "/status", NULL, 0), 200);
    assert_int_equal(probe(p, "GET", "/config", NULL, 0), 200);
    assert_int_equal(probe(p, "GET", "/metrics", NULL, 0), 200);
}

static void watch_for_batches(void *ctx, const struct http_exchange *x)
{
    struct prober *p = ctx;
    if (p->probing || p->done > 0 || strncmp(x->path, "/s/receive", 10) != 0 || x->status != 200) {
        return;
    }
    uint32_t round;
    memcpy(&round, x->body.data + 24, sizeof round);
    if (round != 2) {
        return; /* in round 2 there is a round that is over, too */
    }
    p->probing = true;
    p->done++;
    assert_int_equal(buf_append(&p->batch, x->body.data, x->body.size), 0);
    probe_everything(p);
    p->probing = false;
}

static void test_story__bad_requests_change_nothing(void **state)
{
    (void)state;
    char expected[DIGEST_HEX_SIZE], config[2048];
    recompute(7, CLIENTS, ROUNDS, -1, 1, expected);
    struct prober prober = {0};
    small_config(config, sizeof config, "capsule", false, ROUNDS, "");
    struct federation_options options = options_for(config);
    options.answered = watch_for_batches;
    options.ctx = &prober;
    struct federation *f = federation_new(&options);
    prober.f = f;
    /* before a config has named a role */
    struct prober early = {.f = f};
    prober.probing = true;
    assert_int_equal(probe(&early, "POST", "/s/receive", "x", 1), 425);
    assert_int_equal(probe(&early, "GET", "/log", NULL, 0), 425);
    assert_int_equal(probe(&early, "GET", "/healthz", NULL, 0), 200);
    prober.probing = false;
    struct cairn_problem problem = {0};
    assert_int_equal(federation_run(f, &problem), 0);
    assert_int_equal(prober.done, 1);
    json_t *summary = federation_summary(f);
    assert_string_equal(json_get_text(summary, "model_digest", ""), expected);
    json_decref(summary);
    federation_free(f);
    buf_release(&prober.batch);
}

/* ---- a client that lies ---- */

/* A client's next frame, with the payload of the one before but for two fields that are not below
 * their prime: well-formed in everything else. */
static struct buf lying_batch(const struct wire_batch *batch, const struct wire_frame *frame)
{
    struct buf b = {0};
    uint8_t header[WIRE_BATCH_HEADER] = {0};
    size_t at = 0;
    assert_int_equal(buf_append(&b, header, sizeof header), 0);
    assert_int_equal(wire_frame_begin(&b, frame->index + 1, frame->contributors, frame->weight,
                                      frame->params_id, frame->payload.size,
                                      frame->contributor_set, &at), 0);
    memcpy(b.data + at, frame->payload.data, frame->payload.size);
    memset(b.data + at, 0xff, 15); /* two of 60 bits */
    assert_int_equal(wire_frame_end(&b, sizeof header, &batch->context), 0);
    wire_batch_header(b.data, &batch->context, batch->origin, 1, frame->index + 1, b.size);
    return b;
}

static void send_a_lie(void *ctx, const struct http_exchange *x)
{
    struct prober *p = ctx;
    struct wire_batch batch;
    struct wire_frame frame;
    if (p->probing || p->done > 0 || strncmp(x->path, "/s/receive", 10) != 0 || x->status != 200) {
        return;
    }
    p->probing = true;
    p->done++;
    assert_int_equal(wire_batch_read(x->body, &batch, NULL), 0);
    assert_int_equal(wire_batch_next(&batch, &frame, NULL), 1);
    struct buf lie = lying_batch(&batch, &frame);
    struct http_exchange request = {.address = "10.0.0.2:5000",
                                    .method = "POST",
                                    .path = "/s/receive",
                                    .body = buf_span(&lie)};
    federation_request(p->f, &request);
    assert_int_equal(request.status, 422);
    assert_non_null(strstr(buf_text(&request.answer),
                           "frame 1: payload section 0: field 0 is not below its modulus"));
    http_exchange_release(&request);
    buf_release(&lie);
    p->probing = false;
}

/* It is refused before anything of it is added: the honest frame that follows counts. */
static void test_story__f20_a_lying_payload_adds_nothing(void **state)
{
    (void)state;
    char expected[DIGEST_HEX_SIZE], config[2048];
    recompute(7, CLIENTS, 1, -1, 1, expected);
    struct prober prober = {0};
    small_config(config, sizeof config, "seal-ckks", false, 1, "");
    struct federation_options options = options_for(config);
    options.answered = send_a_lie;
    options.ctx = &prober;
    struct federation *f = federation_new(&options);
    prober.f = f;
    struct cairn_problem problem = {0};
    assert_int_equal(federation_run(f, &problem), 0);
    assert_int_equal(prober.done, 1);
    json_t *summary = federation_summary(f);
    assert_string_equal(json_get_text(summary, "model_digest", ""), expected);
    json_decref(summary);
    federation_free(f);
}

/* ---- what travels ---- */

struct listener {
    struct buf seen; /* every body on its way up */
};

static void listen_in(void *ctx, const struct http_exchange *x)
{
    struct listener *l = ctx;
    if (strstr(x->path, "/receive") != NULL) {
        assert_int_equal(buf_append(&l->seen, x->body.data, x->body.size), 0);
    }
}

/* Does any run of 6 values of the quantised update, as 16 or 32 bit integers, appear in what was heard? */
static bool contains_update(const struct buf *seen, const int32_t *q, size_t n)
{
    for (size_t i = 0; i + 6 <= n; i += 97) {
        int16_t shorts[6];
        for (size_t k = 0; k < 6; k++) {
            shorts[k] = (int16_t)q[i + k];
        }
        if (memmem(seen->data, seen->size, q + i, 6 * sizeof *q) != NULL ||
            memmem(seen->data, seen->size, shorts, sizeof shorts) != NULL) {
            return true;
        }
    }
    return false;
}

static void first_update(uint32_t index, int32_t *q)
{
    struct model_shape shape = {0};
    assert_int_equal(made_up_shape(PARAMS, &shape), 0);
    struct trainer *trainer;
    const struct made_up_options made_up = {.n_params = PARAMS};
    assert_int_equal(made_up_trainer(&made_up, &trainer), 0);
    float *model = calloc(PARAMS, sizeof *model), *local = calloc(PARAMS, sizeof *local);
    float *owed = calloc(PARAMS, sizeof *owed);
    double steps[2];
    trainer->initial(trainer, 7, model);
    made_up_update(PARAMS, model, local, 7, 1, index);
    quantiser_choose_steps(&shape, 16, NULL, steps);
    const struct quantiser quantiser = {.shape = &shape,
                                        .steps = steps,
                                        .value_bits = 16,
                                        .samples = 10 + index,
                                        .largest_samples = 12,
                                        .seed = 7,
                                        .round = 1,
                                        .client_index = index};
    quantiser_owe(model, local, owed, PARAMS);
    quantiser_read(&quantiser, owed, 0, PARAMS, q, NULL);
    free(model);
    free(local);
    free(owed);
    trainer->free(trainer);
    model_shape_release(&shape);
}

static void test_story__an_update_is_never_seen_in_plain(void **state)
{
    (void)state;
    static const char *const profiles[] = {"none", "bfv", "capsule", "seal-ckks"};
    int32_t *q = calloc(PARAMS, sizeof *q);
    assert_non_null(q);
    first_update(0, q);
    char config[2048];
    for (unsigned p = 0; p < 4; p++) {
        struct listener listener = {0};
        small_config(config, sizeof config, profiles[p], true, 1, "");
        struct federation_options options = options_for(config);
        options.answered = listen_in;
        options.ctx = &listener;
        free(digest_of_run(&options));
        /* profile none shows that this ear hears */
        assert_int_equal(contains_update(&listener.seen, q, PARAMS), p == 0);
        buf_release(&listener.seen);
    }
    free(q);
}

/* ---- where the secret key is not ---- */

/* The last key pair that anybody made: its secret key's bytes, and where in them are the coefficients,
 * 2 bits each (he_key_header.h: of one prime, or of four). */
enum { MOST_DEGREE = 8192 };
static uint8_t seen_key[HE_SECRET_KEY_CKKS_SIZE];
static size_t seen_size, fields_at, degree;

int __real_he_keygen(const struct he_params *params, struct secret_rng *rng,
                     struct he_secret_key **secret, struct he_public_key **public_key);
int __wrap_he_keygen(const struct he_params *params, struct secret_rng *rng,
                     struct he_secret_key **secret, struct he_public_key **public_key);

int __wrap_he_keygen(const struct he_params *params, struct secret_rng *rng,
                     struct he_secret_key **secret, struct he_public_key **public_key)
{
    static const uint8_t id[HE_KEY_ID_SIZE];
    const int err = __real_he_keygen(params, rng, secret, public_key);
    if (err == 0) {
        seen_size = he_secret_key_size(*secret);
        assert_true(seen_size == HE_SECRET_KEY_SIZE || seen_size == HE_SECRET_KEY_CKKS_SIZE);
        fields_at = seen_size == HE_SECRET_KEY_SIZE ? 56 : 80;
        degree = seen_size == HE_SECRET_KEY_SIZE ? 2048 : MOST_DEGREE;
        assert_int_equal(he_secret_key_write(*secret, id, seen_key), 0);
    }
    return err;
}

/* The key as somebody might send it: 2-bit fields, one signed byte, short, word or float a coefficient, and
 * runs of 96 coefficients as text: base64 at each of its three alignments, and hexadecimal. */
enum { TEXT_BYTES = 24, MOST_RUNS = MOST_DEGREE / 4 / TEXT_BYTES, TEXTS = 4 };

struct key_forms {
    char texts[MOST_RUNS][TEXTS][2 * TEXT_BYTES + 1];
    int8_t bytes[MOST_DEGREE];
    int16_t shorts[MOST_DEGREE];
    int32_t words[MOST_DEGREE];
    int64_t longs[MOST_DEGREE];
    float floats[MOST_DEGREE];
};

static size_t key_runs(void)
{
    return degree / 4 / TEXT_BYTES;
}

static void expand_key(struct key_forms *forms)
{
    for (size_t run = 0; run < key_runs(); run++) {
        const uint8_t *fields = seen_key + fields_at + TEXT_BYTES * run;
        for (size_t shift = 0; shift < 3; shift++) {
            struct buf text = {0};
            assert_int_equal(base64_append(&text, fields + shift, TEXT_BYTES), 0);
            snprintf(forms->texts[run][shift], sizeof forms->texts[run][shift], "%s",
                     buf_text(&text));
            buf_release(&text);
        }
        digest_hex(fields, TEXT_BYTES, forms->texts[run][3]);
    }
    for (size_t i = 0; i < degree; i++) {
        const unsigned field = seen_key[fields_at + i / 4] >> (2 * (i % 4)) & 3;
        const int8_t s = field == 2 ? -1 : (int8_t)field;
        forms->bytes[i] = s;
        forms->shorts[i] = s;
        forms->words[i] = s;
        forms->longs[i] = s;
        forms->floats[i] = s;
    }
}

/* Any run of 64 coefficients, from a multiple of 64 on, in any form. */
static bool contains_key(const struct buf *seen, const struct key_forms *f)
{
    for (size_t i = 0; i < key_runs() * TEXTS; i++) {
        const char *text = f->texts[i / TEXTS][i % TEXTS];
        if (memmem(seen->data, seen->size, text, strlen(text)) != NULL) {
            return true;
        }
    }
    for (size_t i = 0; i < degree; i += 64) {
        if (memmem(seen->data, seen->size, seen_key + fields_at + i / 4, 16) != NULL ||
            memmem(seen->data, seen->size, f->bytes + i, 64) != NULL ||
            memmem(seen->data, seen->size, f->shorts + i, sizeof(int16_t) * 64) != NULL ||
            memmem(seen->data, seen->size, f->words + i, sizeof(int32_t) * 64) != NULL ||
            memmem(seen->data, seen->size, f->longs + i, sizeof(int64_t) * 64) != NULL ||
            memmem(seen->data, seen->size, f->floats + i, sizeof(float) * 64) != NULL) {
            return true;
        }
    }
    return false;
}

static void hear_everything(void *ctx, const struct http_exchange *x)
{
    struct listener *l = ctx;
    assert_int_equal(buf_append(&l->seen, x->body.data, x->body.size), 0);
    assert_int_equal(buf_append(&l->seen, x->answer.data, x->answer.size), 0);
}

static void test_story__the_secret_key_never_travels(void **state)
{
    (void)state;
    static struct key_forms forms;
    char config[2048];
    static const char *const profiles[] = {"bfv", "capsule", "seal-ckks"};
    for (unsigned p = 0; p < 3; p++) {
        struct listener listener = {0};
        small_config(config, sizeof config, profiles[p], false, 2, "");
        struct federation_options options = options_for(config);
        options.n_params = p == 2 ? 5 : PARAMS; /* a frame of one chunk is much to search */
        options.answered = hear_everything;
        options.ctx = &listener;
        memset(seen_key, 0, sizeof seen_key);
        free(digest_of_run(&options));
        assert_int_equal(seen_key[0], 'C');
        expand_key(&forms);
        assert_true(listener.seen.size > 500000); /* configs, models, frames, logs, all answers */
        assert_false(contains_key(&listener.seen, &forms));
        /* and this ear hears: each form is found once it is there */
        struct buf base64 = {0};
        assert_int_equal(base64_append(&base64, seen_key, seen_size), 0);
        const struct span planted[] = {{seen_key, seen_size},
                                       {(uint8_t *)forms.bytes, degree},
                                       {(uint8_t *)forms.floats, degree * sizeof(float)},
                                       buf_span(&base64)};
        for (size_t i = 0; i < sizeof planted / sizeof planted[0]; i++) {
            const size_t size = listener.seen.size;
            assert_int_equal(buf_append(&listener.seen, planted[i].data, planted[i].size), 0);
            assert_true(contains_key(&listener.seen, &forms));
            listener.seen.size = size;
        }
        buf_release(&base64);
        buf_release(&listener.seen);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_story__all_scenarios_give_the_recomputed_model),
        cmocka_unit_test(test_story__updates_told_run_by_run),
        cmocka_unit_test(test_story__deep_uneven_tree_in_any_order),
        cmocka_unit_test(test_story__weighted_mean_is_exact),
        cmocka_unit_test(test_story__saturated_values_are_counted),
        cmocka_unit_test(test_story__lost_answers_count_once),
        cmocka_unit_test(test_story__a_child_goes_where_its_parent_says),
        cmocka_unit_test(test_story__f20_a_client_with_nan_sits_the_round_out),
        cmocka_unit_test(test_story__below_the_privacy_floor_nothing_is_opened),
        cmocka_unit_test(test_story__a_missing_client_is_named_at_the_deadline),
        cmocka_unit_test(test_story__a_node_that_never_starts_is_named),
        cmocka_unit_test(test_story__one_thread_per_node),
        cmocka_unit_test(test_story__bad_requests_change_nothing),
        cmocka_unit_test(test_story__f20_a_lying_payload_adds_nothing),
        cmocka_unit_test(test_story__an_update_is_never_seen_in_plain),
        cmocka_unit_test(test_story__the_secret_key_never_travels),
    };
    return cmocka_run_group_tests(tests, story_folder_make, story_folder_remove);
}
