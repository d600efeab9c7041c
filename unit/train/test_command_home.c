/* SPDX-License-Identifier: Apache-2.0 */
/* What stays with a program between its trainings: byte for byte what the last good one has left, in its types. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "command_guard.h"
#include "command_trainer.h"
#include "file.h"
#include "input.h"
#include "le.h"
#include "log.h"
#include "random.h"
#include "replay.h"
#include "safetensors.h"
#include "shared_trainer.h"

/* The program leaves what the test has put into "next" and shows what it was given in "seen"; in "first" is what it
 * begins with by itself. "fault" says what it does wrong. */
static const char program[] =
    "here=$1; ulimit -S -f unlimited; "
    "case $(cat task.json) in *initial*) cp $here/first trained.safetensors; exit;; esac; "
    "cp model.safetensors $here/seen; cp $here/next trained.safetensors; "
    "echo '{\"samples\": 1}' > metrics.json; . $here/fault";

enum { FEW = 5, SMALL = 8 };

static char folder[] = "/tmp/cairn-home-XXXXXX";
static char path_first[64], path_next[64], path_seen[64], path_fault[64];

static void put_file(const char *path, const void *bytes, size_t size)
{
    assert_int_equal(file_rewrite(path, bytes, size, 0600, NULL), 0);
}

/* A model's file with these bytes behind the header. */
static void put_model(const char *path, const struct model_shape *shape, const uint8_t *bytes)
{
    struct buf file = {0};
    assert_int_equal(safetensors_header(shape, NULL, &file, NULL), 0);
    assert_int_equal(buf_append(&file, bytes, (size_t)shape->n_bytes), 0);
    put_file(path, file.data, file.size);
    buf_release(&file);
}

/* @param only  a pattern of what is encrypted, and so comes first of what is shared; NULL: all is */
static struct trainer *make(const struct model_shape *shape, const char *only)
{
    struct trainer *inner = NULL, *t = NULL;
    struct cairn_problem why = {0};
    json_t *list = json_pack("[s, s, s, s, s]", "sh", "-c", program, "sh", folder);
    struct model_share_rules rules = {.exclude = json_pack("[s]", "own*"),
                                      .only = only == NULL ? NULL : json_pack("[s]", only)};
    char *command = json_dumps(list, 0);
    const struct train_command_options options = {.command = command,
                                                  .shape = shape,
                                                  .samples = 1,
                                                  .client_number = 2,
                                                  .timeout_s = 30};
    const struct train_shared_options sharing = {.rules = &rules, .client = true};
    assert_int_equal(train_command_new(&options, &inner, &why), 0);
    assert_int_equal(train_shared_new(inner, &sharing, &t, &why), 0);
    json_decref(list);
    json_decref(rules.exclude);
    json_decref(rules.only);
    free(command);
    return t;
}

/* A round: the model comes, and what is shared of it is `weights` and `words`. */
static int train(struct trainer *t, const float *weights, const uint64_t *words,
                 struct cairn_problem *why)
{
    struct train_metrics metrics = {0};
    const size_t n = t->shape->n_params, half = n / 2;
    if (t->n_words > 0) {
        memcpy(t->words, words, t->n_words * sizeof *words);
    }
    t->take_model(t, 0, 0, (const uint8_t *)weights);
    if (half > 0) {
        t->take_model(t, 0, half, (const uint8_t *)weights);
    }
    t->take_model(t, half, n - half, (const uint8_t *)(weights + half));
    return t->train(t, NULL, NULL, 1, 1, 0, &metrics, why);
}

/* ---- any model ---- */

static bool is_own(const struct model_tensor *tensor)
{
    return strncmp(tensor->name, "own", 3) == 0;
}

static enum model_dtype some_float(struct replay_rng *rng)
{
    return (enum model_dtype)replay_below(rng, MODEL_BF16 + 1);
}

static void some_shape(struct replay_rng *rng, struct model_shape *shape)
{
    const uint32_t n = replay_below(rng, FEW), kinds = replay_below(rng, 3);
    assert_int_equal(model_shape_add(shape, "w", &(uint64_t){1 + replay_below(rng, SMALL)}, 1, NULL), 0);
    for (uint32_t t = 0; t <= n; t++) {
        char name[16];
        const bool floats = kinds == 0 || (kinds == 1 && t % 2 == 0);
        const enum model_dtype dtype =
            floats ? MODEL_F32 : (enum model_dtype)(MODEL_I64 + replay_below(rng, MODEL_BOOL + 1 - MODEL_I64));
        (void)snprintf(name, sizeof name, "%s%u", t == 0 || replay_below(rng, 2) == 0 ? "own" : "w", t);
        assert_int_equal(model_shape_add_typed(shape, name, dtype, &(uint64_t){replay_below(rng, SMALL)}, 1, NULL), 0);
    }
}

/* Floats beside "w". */
static bool has_more_to_share(const struct model_shape *shape)
{
    size_t n = 0;
    for (size_t t = 1; t < shape->n_tensors; t++) {
        n += is_own(&shape->tensors[t]) ? 0 : shape->tensors[t].count;
    }
    return n > 0;
}

/* As a program leaves it: floats in any type, here and in the next round. */
static void retype(struct replay_rng *rng, const struct model_shape *shape, struct model_shape *out)
{
    enum model_dtype types[FEW + 2];
    for (size_t t = 0; t < shape->n_tensors; t++) {
        types[shape->tensors[t].place] = some_float(rng);
    }
    for (size_t t = 0; t < shape->n_carried; t++) {
        types[shape->carried[t].place] = shape->carried[t].dtype;
    }
    assert_int_equal(model_shape_typed(shape, types, out, NULL), 0);
}

/* Any value of the type that is finite; of what is shared a small one. */
static void fill_one(struct replay_rng *rng, const struct model_tensor *tensor, uint8_t *at)
{
    const size_t size = model_dtype_size(tensor->dtype);
    const float small = (float)(int)(replay_u32(rng) % 2000) / 16.0F - 60.0F;
    do {
        for (size_t i = 0; i < size; i++) {
            at[i] = (uint8_t)(replay_u32(rng) & (tensor->dtype == MODEL_BOOL ? 1 : 255));
        }
        if (model_dtype_is_float(tensor->dtype) && !is_own(tensor)) {
            assert_true(model_dtype_from_floats(tensor->dtype, &small, 1, at));
        }
    } while (model_dtype_first_bad(tensor->dtype, at, 1) == 0);
}

static void fill_list(struct replay_rng *rng, const struct model_tensor *list, size_t n, uint8_t *bytes)
{
    for (size_t t = 0; t < n; t++) {
        for (size_t i = 0; i < list[t].count; i++) {
            fill_one(rng, &list[t], bytes + list[t].byte + i * model_dtype_size(list[t].dtype));
        }
    }
}

static uint8_t *some_bytes(struct replay_rng *rng, const struct model_shape *shape)
{
    uint8_t *bytes = calloc((size_t)shape->n_bytes + 1, 1);
    assert_non_null(bytes);
    fill_list(rng, shape->tensors, shape->n_tensors, bytes);
    fill_list(rng, shape->carried, shape->n_carried, bytes);
    return bytes;
}

/* What a model was given as, or left as. */
struct state {
    struct model_shape shape;
    uint8_t *bytes;
};

static void release(struct state *s)
{
    model_shape_release(&s->shape);
    free(s->bytes);
    *s = (struct state){0};
}

static void leave(struct replay_rng *rng, const struct model_shape *shape, const char *path,
                  struct state *out)
{
    retype(rng, shape, &out->shape);
    out->bytes = some_bytes(rng, &out->shape);
    put_model(path, &out->shape, out->bytes);
}

static void assert_own(const struct state *kept, const struct model_shape *seen, const uint8_t *data,
                       const struct model_tensor *list, size_t n)
{
    for (size_t t = 0; t < n; t++) {
        if (is_own(&list[t])) {
            const struct model_tensor *given = model_shape_named(seen, list[t].name);
            assert_int_equal(given->dtype, list[t].dtype);
            assert_memory_equal(data + given->byte, kept->bytes + list[t].byte,
                                list[t].count * model_dtype_size(list[t].dtype));
        }
    }
}

/* The program was given `kept` as its own, and what has come as the rest. */
static void assert_seen(const struct trainer *t, const struct state *kept, const struct model_shape *whole,
                        const float *weights, const uint64_t *words)
{
    struct safetensors_file file;
    struct buf bytes = {0};
    assert_int_equal(file_read(path_seen, 1 << 20, &bytes, NULL), 0);
    assert_int_equal(safetensors_open(&file, path_seen, whole, 0, NULL), 0);
    const uint8_t *data = bytes.data + file.data_at;
    assert_own(kept, &file.found, data, kept->shape.tensors, kept->shape.n_tensors);
    assert_own(kept, &file.found, data, kept->shape.carried, kept->shape.n_carried);
    for (size_t i = 0; i < t->shape->n_tensors; i++) {
        const struct model_tensor *tensor = &t->shape->tensors[i];
        const struct model_tensor *given = model_shape_named(&file.found, tensor->name);
        assert_int_equal(given->dtype, MODEL_F32);
        assert_memory_equal(data + given->byte, weights + tensor->offset, tensor->count * sizeof *weights);
    }
    for (size_t i = 0; i < whole->n_carried; i++) {
        const struct model_tensor *tensor = &whole->carried[i];
        uint64_t found[SMALL];
        if (!is_own(tensor)) {
            assert_int_equal(safetensors_read_words_of(&file, tensor, found, NULL), 0);
            assert_memory_equal(found, words, tensor->count * sizeof *words);
            words += tensor->count;
        }
    }
    safetensors_close(&file);
    buf_release(&bytes);
}

/* The update of what is shared is what was left minus what was given; its words are those that were left. */
static void assert_update(struct trainer *t, const struct state *left, const float *weights)
{
    float update[FEW * SMALL + SMALL], now[SMALL];
    uint64_t words[SMALL];
    size_t word = 0;
    assert_int_equal(t->update(t, 1, 0, 0, t->shape->n_params, update, NULL), 0);
    for (size_t i = 0; i < t->shape->n_tensors; i++) {
        const size_t offset = t->shape->tensors[i].offset;
        const struct model_tensor *tensor = model_shape_named(&left->shape, t->shape->tensors[i].name);
        model_dtype_to_floats(tensor->dtype, left->bytes + tensor->byte, tensor->count, now);
        for (size_t k = 0; k < tensor->count; k++) {
            assert_true(update[offset + k] == now[k] - weights[offset + k]);
        }
    }
    for (size_t i = 0; i < left->shape.n_carried; i++) {
        const struct model_tensor *tensor = &left->shape.carried[i];
        if (!is_own(tensor)) {
            assert_true(model_dtype_to_words(tensor->dtype, left->bytes + tensor->byte, tensor->count, words));
            assert_memory_equal(t->words + word, words, tensor->count * sizeof *words);
            word += tensor->count;
        }
    }
}

static const struct model_tensor *first_own(const struct model_shape *shape, bool (*wanted)(enum model_dtype))
{
    const struct model_tensor **order = model_shape_order(shape), *found = NULL;
    for (size_t i = 0; found == NULL && i < shape->n_tensors + shape->n_carried; i++) {
        found = is_own(order[i]) && order[i]->count > 0 && wanted(order[i]->dtype) ? order[i] : NULL;
    }
    free(order);
    return found;
}

static bool is_bool(enum model_dtype dtype)
{
    return dtype == MODEL_BOOL;
}

/* Something that is wrong with it. @return false: not with this model */
static bool spoil(struct replay_rng *rng, uint32_t kind, struct state *left)
{
    static const float nan = NAN, large = 3e7F;
    const struct model_tensor *own = first_own(&left->shape, kind == 3 ? is_bool : model_dtype_is_float);
    const struct model_tensor *shared = model_shape_named(&left->shape, "w");
    const char *fault = kind == 0 ? "exit 3" : kind == 1 ? "rm metrics.json" : "";
    put_file(path_fault, fault, strlen(fault));
    if (kind == 2 || kind == 3) {
        if (own == NULL) {
            return false;
        }
        const size_t i = replay_below(rng, (uint32_t)own->count), size = model_dtype_size(own->dtype);
        uint8_t *at = left->bytes + own->byte + i * size;
        if (kind == 3) {
            *at = 2;
        } else {
            (void)model_dtype_from_floats(own->dtype, replay_below(rng, 2) == 0 ? &nan : &(float){-INFINITY}, 1, at);
        }
    } else if (kind == 4 || kind == 5) { /* large is inf in half precision, too much for an update in any */
        (void)model_dtype_from_floats(shared->dtype, kind == 4 ? &nan : &large, 1, left->bytes + shared->byte);
    }
    put_model(path_next, &left->shape, left->bytes);
    if (kind == 6) {
        put_file(path_next, "no model", 8);
    }
    return true;
}

enum { FAULTS = 7 };

static void run_rounds(struct replay_rng *rng)
{
    struct model_shape shape = {0};
    struct state kept = {0}, left = {0};
    struct cairn_problem why = {0};
    float weights[FEW * SMALL + SMALL];
    uint64_t words[FEW * SMALL];
    some_shape(rng, &shape);
    struct trainer *t = make(&shape, has_more_to_share(&shape) && replay_below(rng, 2) == 0 ? "w?" : NULL);
    leave(rng, &shape, path_first, &kept);
    for (int round = 0; round < 12; round++) {
        for (size_t i = 0; i < t->shape->n_params; i++) {
            weights[i] = (float)(int)(replay_u32(rng) % 2000) / 16.0F - 60.0F;
        }
        memset(words, 0, sizeof words);
        for (size_t i = 0; i < t->n_words; i++) {
            words[i] = t->words[i]; /* as the first training leaves them: values of their types */
        }
        leave(rng, &shape, path_next, &left);
        const bool bad = replay_below(rng, 2) == 0 && spoil(rng, replay_below(rng, FAULTS), &left);
        if (!bad) {
            put_file(path_fault, "", 0);
        }
        if (round == 0) { /* words that are no value of their type are refused: begin with the first file's */
            struct safetensors_file file;
            assert_int_equal(safetensors_open(&file, path_first, &shape, 0, NULL), 0);
            size_t at = 0;
            for (size_t c = 0; c < shape.n_carried; c++) {
                if (!is_own(&shape.carried[c])) {
                    assert_int_equal(safetensors_read_words_of(&file, &shape.carried[c], words + at, NULL), 0);
                    at += shape.carried[c].count;
                }
            }
            safetensors_close(&file);
        }
        const int err = train(t, weights, words, &why);
        if ((err != 0) != bad) {
            fail_msg("round %d: %s", round, err != 0 ? why.what : "no fault was seen");
        }
        assert_seen(t, &kept, &shape, weights, words);
        if (!bad) {
            assert_update(t, &left, weights);
            release(&kept);
            kept = left;
            left = (struct state){0};
        }
        release(&left);
    }
    t->free(t);
    release(&kept);
    model_shape_release(&shape);
}

static void test_command_home__is_what_the_last_good_training_left(void **state)
{
    struct replay_rng rng;
    uint64_t seed = 0;
    (void)state;
    assert_int_equal(random_from_system((uint8_t *)&seed, sizeof seed), 0);
    print_message("seed %llu\n", (unsigned long long)seed);
    replay_init(&rng, "command home", seed, 0, 0);
    for (int i = 0; i < 8; i++) {
        run_rounds(&rng);
    }
}

/* ---- by hand ---- */

/* Its header is longer than any that is expected without looking at the model. */
static void test_command_home__of_a_model_with_many_tensors(void **state)
{
    struct model_shape shape = {0};
    struct cairn_problem why = {0};
    char name[MODEL_NAME_SIZE];
    (void)state;
    for (int i = 0; i < 1200; i++) {
        (void)snprintf(name, sizeof name, "%s.of.the.encoder.and.one.more.word.to.make.it.longer.%04d",
                       i < 600 ? "own" : "w", i);
        assert_int_equal(model_shape_add(&shape, name, NULL, 0, NULL), 0);
    }
    uint8_t *bytes = calloc(1200, 4);
    struct trainer *t = make(&shape, NULL);
    put_file(path_fault, "", 0);
    put_model(path_first, &shape, bytes);
    put_model(path_next, &shape, bytes);
    float *weights = calloc(600, sizeof *weights);
    if (train(t, weights, NULL, &why) != 0) {
        fail_msg("%s", why.what);
    }
    t->free(t);
    free(weights);
    free(bytes);
    model_shape_release(&shape);
}

/* It is asked again for what it begins with, until there is something. */
static void test_command_home__begins_when_it_can(void **state)
{
    struct model_shape shape = {0};
    struct cairn_problem why = {0};
    const float weights[1] = {1}, left[2] = {2, 0.1F};
    float update[1];
    (void)state;
    assert_int_equal(model_shape_add(&shape, "w", NULL, 0, NULL), 0);
    assert_int_equal(model_shape_add(&shape, "own", NULL, 0, NULL), 0);
    struct trainer *t = make(&shape, NULL);
    put_file(path_fault, "", 0);
    put_model(path_next, &shape, (const uint8_t *)left);
    (void)unlink(path_first);
    assert_int_equal(train(t, weights, NULL, &why), CAIRN_ERR_TRAINER);
    put_model(path_first, &shape, (const uint8_t *)(const float[]){9, NAN});
    assert_int_equal(train(t, weights, NULL, &why), CAIRN_ERR_TRAINER);
    assert_string_equal(why.what, "tensor \"own\", element 0 is not finite");
    put_model(path_first, &shape, (const uint8_t *)left);
    assert_int_equal(train(t, weights, NULL, &why), 0);
    assert_int_equal(t->update(t, 1, 0, 0, 1, update, &why), 0);
    assert_true(update[0] == 1);
    (void)unlink(path_first); /* and never again */
    assert_int_equal(train(t, weights, NULL, &why), 0);
    t->free(t);
    model_shape_release(&shape);
}

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* No room for what the program has left, in wider types than before: what was kept before stays. */
static void test_command_home__a_full_disk_loses_nothing(void **state)
{
    enum { N = 100000 };
    static const enum model_dtype half[] = {MODEL_F32, MODEL_F16}, wide[] = {MODEL_F32, MODEL_F64};
    struct model_shape shape = {0};
    struct state kept = {0}, left = {0};
    struct cairn_problem why = {0};
    const float weights[1] = {1};
    (void)state;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(model_shape_add(&shape, "w", NULL, 0, NULL), 0);
    assert_int_equal(model_shape_add(&shape, "own", &(uint64_t){N}, 1, NULL), 0);
    assert_int_equal(model_shape_typed(&shape, half, &kept.shape, NULL), 0);
    assert_int_equal(model_shape_typed(&shape, wide, &left.shape, NULL), 0);
    kept.bytes = calloc(N, sizeof(float));
    left.bytes = calloc(N, 2 * sizeof(double));
    memset(kept.bytes + sizeof(float), 1, 2 * (size_t)N);
    memset(left.bytes + sizeof(float), 2, sizeof(double) * (size_t)N);
    put_file(path_fault, "", 0);
    put_model(path_first, &kept.shape, kept.bytes);
    put_model(path_next, &left.shape, left.bytes);
    struct trainer *t = make(&shape, NULL);
    limit_files(N);
    assert_int_equal(train(t, weights, NULL, &why), CAIRN_ERR_STORAGE); /* not even for what it begins with */
    for (int i = 0; i < 2; i++) {
        limit_files(4 * (rlim_t)N);
        assert_int_equal(train(t, weights, NULL, &why), CAIRN_ERR_STORAGE);
        assert_non_null(strstr(why.what, "cannot write: File too large"));
        assert_seen(t, &kept, &shape, weights, NULL);
    }
    limit_files(RLIM_INFINITY);
    assert_int_equal(train(t, weights, NULL, &why), 0);
    assert_seen(t, &kept, &shape, weights, NULL);
    assert_int_equal(train(t, weights, NULL, &why), 0);
    assert_seen(t, &left, &shape, weights, NULL);
    t->free(t);
    release(&kept);
    release(&left);
    model_shape_release(&shape);
}

static int make_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    (void)snprintf(path_first, sizeof path_first, "%s/first", folder);
    (void)snprintf(path_next, sizeof path_next, "%s/next", folder);
    (void)snprintf(path_seen, sizeof path_seen, "%s/seen", folder);
    (void)snprintf(path_fault, sizeof path_fault, "%s/fault", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    for (const char *const *path = (const char *const[]){path_first, path_next, path_seen, path_fault, NULL};
         *path != NULL; path++) {
        (void)unlink(*path);
    }
    return rmdir(folder);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], COMMAND_GUARD_WORD) == 0) {
        return command_guard_main(argc, argv);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_command_home__is_what_the_last_good_training_left),
        cmocka_unit_test(test_command_home__of_a_model_with_many_tensors),
        cmocka_unit_test(test_command_home__begins_when_it_can),
        cmocka_unit_test(test_command_home__a_full_disk_loses_nothing),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
