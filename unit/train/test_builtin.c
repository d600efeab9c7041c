/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The built-in trainer as its callers see it, on a small data set made here: image i has one bright
 * line, its label's.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>

#include "../data/idx_files.h"
#include "builtin.h"
#include "digest.h"

enum { SIDE = 10, TRAIN_ROWS = 603, TEST_ROWS = 50 };

static char folder[64];

static void write_lines(const char *name, uint32_t rows)
{
    size_t size;
    uint8_t *bytes = images_bytes(rows, SIDE, SIDE, &size);

    for (size_t i = 0; i < rows; i++) {
        for (size_t p = 0; p < SIDE * SIDE; p++) {
            uint8_t noise = bytes[16 + i * SIDE * SIDE + p] % 128;
            bytes[16 + i * SIDE * SIDE + p] = p / SIDE == i % 10 ? 255 : noise;
        }
    }
    write_raw(folder, name, bytes, size);
    free(bytes);
}

static int setup(void **state)
{
    (void)state;
    make_folder(folder);
    write_data_set(folder, TRAIN_ROWS, TEST_ROWS, SIDE, SIDE);
    write_lines("train-images-idx3-ubyte", TRAIN_ROWS);
    write_lines("t10k-images-idx3-ubyte", TEST_ROWS);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

static struct train_builtin_options usual(uint32_t clients, uint32_t index)
{
    return (struct train_builtin_options){
        .data = {.dir = folder},
        .epochs = 2,
        .batch = 16,
        .learning_rate = 0.05f,
        .momentum = 0.9f,
        .client_number = clients,
        .client_index = index,
    };
}

static struct trainer *must_make(const struct train_builtin_options *options)
{
    struct trainer *trainer = NULL;
    struct cairn_problem why;

    if (train_builtin_new(options, &trainer, &why)) {
        fail_msg("%s", why.what);
    }
    return trainer;
}

static void must_train(struct trainer *trainer, const float *global, float *local, uint64_t seed,
                       uint32_t round, uint32_t index)
{
    struct train_metrics metrics = {.loss = -1, .seconds = -1};
    struct cairn_problem why;

    if (trainer->train(trainer, global, local, seed, round, index, &metrics, &why)) {
        fail_msg("%s", why.what);
    }
    assert_true(isfinite(metrics.loss) && metrics.loss >= 0 && metrics.seconds > 0);
}

static void assert_refused(const struct train_builtin_options *options, const char *words)
{
    struct trainer *trainer = NULL;
    struct cairn_problem why = {0};

    assert_int_equal(train_builtin_new(options, &trainer, &why), CAIRN_ERR_DATA);
    assert_null(trainer);
    if (!strstr(why.what, words)) {
        fail_msg("\"%s\" does not name \"%s\"", why.what, words);
    }
}

static void test_builtin__shape(void **state)
{
    static const size_t layers[] = {784, 128, 10};
    const struct train_shape three = {.layers = layers, .n_layers = 3};
    const struct train_shape one = {.layers = layers, .n_layers = 1};
    struct model_shape shape = {0};
    struct cairn_problem why;

    (void)state;
    assert_int_equal(train_builtin_shape(&three, &shape, &why), 0);
    assert_int_equal(shape.n_tensors, 4);
    assert_int_equal(shape.n_params, 101770);
    assert_string_equal(shape.tensors[0].name, "layer1.weight");
    assert_int_equal(shape.tensors[0].n_dims, 2);
    assert_int_equal(shape.tensors[0].dims[0], 128);
    assert_int_equal(shape.tensors[0].dims[1], 784);
    assert_string_equal(shape.tensors[3].name, "layer2.bias");
    assert_int_equal(shape.tensors[3].n_dims, 1);
    assert_int_equal(shape.tensors[3].offset, 101760);
    model_shape_release(&shape);
    assert_int_equal(train_builtin_shape(&one, &shape, &why), CAIRN_ERR_DATA);
    assert_int_equal(shape.n_tensors, 0);
}

static void test_builtin__evaluator_needs_no_training_data(void **state)
{
    struct train_builtin_options options = usual(0, 0);
    struct train_metrics train_metrics;
    struct eval_metrics metrics;
    struct cairn_problem why;
    struct trainer *evaluator;
    float *model;
    char path[512];

    (void)state;
    (void)snprintf(path, sizeof path, "%s/train-images-idx3-ubyte", folder);
    assert_int_equal(unlink(path), 0);
    evaluator = must_make(&options);
    assert_int_equal(evaluator->samples, 0);
    assert_int_equal(evaluator->shape->n_params, 100 * 128 + 128 + 1280 + 10);
    model = calloc(evaluator->shape->n_params, sizeof *model);
    /* all outputs are equal: class 0 is said, a tenth is right, and the loss is ln 10 */
    assert_int_equal(evaluator->evaluate(evaluator, model, &metrics, &why), 0);
    assert_int_equal(metrics.samples, TEST_ROWS);
    assert_int_equal(metrics.correct, TEST_ROWS / 10);
    assert_true(fabs(metrics.loss - 2.302585) < 1e-5);
    assert_int_equal(evaluator->train(evaluator, model, model, 1, 1, 0, &train_metrics, &why),
                     CAIRN_ERR_TRAINER);
    free(model);
    evaluator->free(evaluator);
}

/* The aggregator's machine need not have the data, if the config says the layers. */
static void test_builtin__evaluator_without_data(void **state)
{
    static const size_t layers[] = {100, 8, 10};
    struct train_builtin_options options = usual(0, 0);
    struct eval_metrics metrics = {.samples = 7};
    struct cairn_problem why;
    struct trainer *evaluator;
    float model[100 * 8 + 8 + 80 + 10];
    char path[512];

    (void)state;
    (void)snprintf(path, sizeof path, "%s/nothing-here", folder);
    options.data.dir = path;
    assert_refused(&options, "t10k-images");
    options.layers = layers;
    options.n_layers = 3;
    evaluator = must_make(&options);
    assert_int_equal(evaluator->shape->n_params, sizeof model / sizeof *model);
    evaluator->initial(evaluator, 1, model);
    assert_int_equal(evaluator->evaluate(evaluator, model, &metrics, &why), 0);
    assert_int_equal(metrics.samples, 0);
    evaluator->free(evaluator);
    options.client_number = 2; /* a client needs its data */
    assert_refused(&options, "t10k-images");
}

static void test_builtin__clients_share_the_rows(void **state)
{
    struct eval_metrics metrics;
    struct cairn_problem why;
    uint64_t train_rows = 0, test_rows = 0;

    (void)state;
    for (uint32_t index = 0; index < 7; index++) {
        struct train_builtin_options options = usual(7, index);
        struct trainer *client = must_make(&options);
        float *model = malloc(client->shape->n_params * sizeof *model);

        client->initial(client, 1, model);
        assert_int_equal(client->evaluate(client, model, &metrics, &why), 0);
        train_rows += client->samples;
        test_rows += metrics.samples;
        free(model);
        client->free(client);
    }
    assert_int_equal(train_rows, TRAIN_ROWS);
    assert_int_equal(test_rows, TEST_ROWS);
}

static void test_builtin__learns(void **state)
{
    struct train_builtin_options options = usual(1, 0);
    struct trainer *client = must_make(&options);
    const size_t n = client->shape->n_params;
    float *global = malloc(n * sizeof *global), *local = malloc(n * sizeof *local);
    struct eval_metrics before, after;
    struct cairn_problem why;

    (void)state;
    client->initial(client, 1, global);
    assert_int_equal(client->evaluate(client, global, &before, &why), 0);
    for (uint32_t round = 1; round <= 3; round++) {
        must_train(client, global, local, 1, round, 0);
        memcpy(global, local, n * sizeof *global);
    }
    assert_int_equal(client->evaluate(client, global, &after, &why), 0);
    assert_true(before.correct < TEST_ROWS / 2);
    assert_true(after.correct >= TEST_ROWS - 2);
    assert_true(after.loss < before.loss / 4);
    free(global);
    free(local);
    client->free(client);
}

/* The same bits whoever else was trained in between, in a new trainer, and from memory that is
 * aligned to nothing but a float; other bits for another seed, round or client. */
static void test_builtin__replays(void **state)
{
    struct train_builtin_options options = usual(3, 1);
    struct trainer *a = must_make(&options), *b = must_make(&options);
    const size_t n = a->shape->n_params;
    float *global = malloc((n + 1) * sizeof *global);
    float *first = malloc(n * sizeof *first), *again = malloc((n + 1) * sizeof *again);

    (void)state;
    a->initial(a, 7, global);
    b->initial(b, 7, first);
    assert_memory_equal(global, first, n * sizeof *first);
    must_train(a, global, first, 7, 2, 1);
    must_train(a, global, again, 7, 3, 1);
    assert_memory_not_equal(first, again, n * sizeof *first);
    must_train(a, global, again, 8, 2, 1);
    assert_memory_not_equal(first, again, n * sizeof *first);
    must_train(a, global, again, 7, 2, 0);
    assert_memory_not_equal(first, again, n * sizeof *first);
    must_train(a, global, again, 7, 2, 1);
    assert_memory_equal(first, again, n * sizeof *first);
    memmove(global + 1, global, n * sizeof *global);
    must_train(b, global + 1, again + 1, 7, 2, 1);
    assert_memory_equal(first, again + 1, n * sizeof *first);
    free(global);
    free(first);
    free(again);
    a->free(a);
    b->free(b);
}

static void test_builtin__resize_and_layers(void **state)
{
    static const size_t fits[] = {25, 12, 11, 10}, other[] = {100, 10}, few[] = {25, 9};
    static const size_t hollow[] = {25, 0, 10};
    struct train_builtin_options options = usual(2, 1);
    struct trainer *client;

    (void)state;
    options.data.resize = 5;
    client = must_make(&options);
    assert_int_equal(client->shape->tensors[0].dims[1], 25);
    client->free(client);
    options.layers = fits;
    options.n_layers = 4;
    client = must_make(&options);
    assert_int_equal(client->shape->n_tensors, 6);
    client->free(client);
    options.layers = other;
    options.n_layers = 2;
    assert_refused(&options, "begins with 100, but images of 5 x 5 have 25 pixels");
    options.layers = few;
    assert_refused(&options, "the label of row 9 is 9, expected 0..8");
    options.layers = hollow;
    options.n_layers = 3;
    assert_refused(&options, "layer size 2 of the list is 0");
    options.n_layers = 1;
    assert_refused(&options, "1 layer sizes");
}

static void test_builtin__batch_larger_than_the_slice(void **state)
{
    struct train_builtin_options options = usual(50, 49);
    struct trainer *client;
    float *global, *local;

    (void)state;
    options.batch = UINT32_MAX;
    client = must_make(&options);
    global = malloc(client->shape->n_params * sizeof *global);
    local = malloc(client->shape->n_params * sizeof *local);
    client->initial(client, 1, global);
    must_train(client, global, local, 1, 1, 49);
    free(global);
    free(local);
    client->free(client);
}

static void test_builtin__refuses_options(void **state)
{
    struct train_builtin_options options = usual(3, 3);

    (void)state;
    assert_refused(&options, "client index 3 of 3");
    options = usual(51, 0);
    assert_refused(&options, "51 clients cannot share 50 rows");
    options = usual(1, 0);
    options.epochs = 0;
    assert_refused(&options, "train nothing");
    options = usual(1, 0);
    options.batch = 0;
    assert_refused(&options, "train nothing");
    options = usual(1, 0);
    options.learning_rate = NAN;
    assert_refused(&options, "cannot train");
    options = usual(1, 0);
    options.momentum = 1.0f;
    assert_refused(&options, "cannot train");
    write_images(folder, "t10k-images-idx3-ubyte", TEST_ROWS, SIDE, SIDE + 1);
    options = usual(1, 0);
    assert_refused(&options, "test images are 10 x 11");
}

static void test_builtin__divergence_is_an_error(void **state)
{
    struct train_builtin_options options = usual(1, 0);
    struct train_metrics metrics;
    struct cairn_problem why = {0};
    struct trainer *client;
    float *global, *local;

    (void)state;
    options.learning_rate = 1e30f;
    client = must_make(&options);
    global = malloc(client->shape->n_params * sizeof *global);
    local = calloc(client->shape->n_params, sizeof *local);
    client->initial(client, 1, global);
    assert_int_equal(client->train(client, global, local, 1, 1, 0, &metrics, &why),
                     CAIRN_ERR_TRAINER);
    assert_non_null(strstr(why.what, "diverged"));
    for (size_t i = 0; i < client->shape->n_params; i++) {
        assert_true(local[i] == 0.0f);
    }
    free(global);
    free(local);
    client->free(client);
}

/* Default layers of every type, and of images their height and width. */
static void test_builtin__models(void **state)
{
    static const size_t n_params[] = {100 * 128 + 128 + 1280 + 10, 1010, 101,
                                      160 + 4640 + 32 * 1 * 128 + 128 + 1290};

    (void)state;
    /* 10 x 10: 8, 4, 2, 1 */
    for (enum train_model model = TRAIN_MLP; model <= TRAIN_CNN; model++) {
        struct train_builtin_options options = usual(2, 1);
        struct eval_metrics before, after;
        struct cairn_problem why;
        struct trainer *client;
        float *global, *local;

        options.model = model;
        options.epochs = 6;
        options.learning_rate = 0.01f;
        options.data.partition = TRAIN_IID;
        client = must_make(&options);
        assert_int_equal(client->shape->n_params, n_params[model]);
        global = malloc(n_params[model] * sizeof *global);
        local = malloc(n_params[model] * sizeof *local);
        client->initial(client, 1, global);
        must_train(client, global, local, 1, 1, 1);
        assert_int_equal(client->evaluate(client, global, &before, &why), 0);
        assert_int_equal(client->evaluate(client, local, &after, &why), 0);
        assert_true(after.loss < before.loss / 2);
        assert_int_equal(after.no_classes, model == TRAIN_LINEAR);
        assert_true(model == TRAIN_LINEAR ? after.correct == 0 : after.correct > TEST_ROWS / 3);
        free(global);
        free(local);
        client->free(client);
    }
}

static double distance(const float *a, const float *b, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++) {
        sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    }
    return sqrt(sum);
}

/* The pull is to the model that the round began with, whichever that is. */
static void test_builtin__proximal_term(void **state)
{
    struct train_builtin_options options = usual(1, 0);
    double moved[2];

    (void)state;
    options.momentum = 0;
    for (int i = 0; i < 2; i++) {
        struct trainer *client;
        float *global, *local;
        size_t n;

        options.proximal_mu = i == 0 ? 0 : 5;
        client = must_make(&options);
        n = client->shape->n_params;
        global = malloc(n * sizeof *global);
        local = malloc(n * sizeof *local);
        client->initial(client, 3, global);
        must_train(client, global, local, 1, 1, 0);
        memcpy(global, local, n * sizeof *global);
        for (size_t p = 0; p < n; p++) {
            local[p] = NAN; /* nothing is read from there */
        }
        must_train(client, global, local, 1, 2, 0);
        moved[i] = distance(global, local, n);
        free(global);
        free(local);
        client->free(client);
    }
    assert_true(moved[1] > 0 && moved[1] < moved[0] / 2);
    options.proximal_mu = -1;
    assert_refused(&options, "proximal");
}

static void test_builtin__partitions(void **state)
{
    char hex[4][DIGEST_HEX_SIZE];

    (void)state;
    for (enum train_partition kind = TRAIN_CONTIGUOUS; kind <= TRAIN_SHARDS; kind++) {
        uint64_t rows = 0;
        for (uint32_t k = 0; k < 3; k++) {
            struct train_builtin_options options = usual(3, k);
            struct trainer *client;
            options.data.partition = kind;
            options.data.alpha = 1;
            options.data.shards_per_client = 2;
            client = must_make(&options);
            rows += client->samples;
            assert_int_equal(strlen(client->fingerprint), DIGEST_HEX_SIZE - 1);
            (void)snprintf(hex[kind], sizeof hex[kind], "%s", client->fingerprint);
            client->free(client);
        }
        assert_int_equal(rows, TRAIN_ROWS);
        for (enum train_partition other = TRAIN_CONTIGUOUS; other < kind; other++) {
            assert_string_not_equal(hex[kind], hex[other]);
        }
    }
    struct train_builtin_options options = usual(3, 0);
    options.data.partition = TRAIN_SHARDS;
    options.data.shards_per_client = 300;
    assert_refused(&options, "data.shards_per_client");
}

/* From layers to tensors and back. */
static void test_builtin__recognises_its_models(void **state)
{
    static const struct {
        enum train_model type;
        size_t layers[5], n;
    } rows[] = {
        {TRAIN_MLP, {7, 3}, 2},
        {TRAIN_MLP, {784, 30, 20, 10}, 4},
        {TRAIN_LOGISTIC, {13, 2}, 2},
        {TRAIN_LINEAR, {13, 1}, 2},
        {TRAIN_CNN, {100, 2, 3, 4, 5}, 5},
    };
    const uint64_t dim = 4;
    struct model_shape other = {0};
    size_t layers[TRAIN_MAX_LAYERS], n;
    enum train_model type;
    struct cairn_problem why = {0};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct train_shape wanted = {
            .type = rows[i].type, .layers = rows[i].layers, .n_layers = rows[i].n};
        struct model_shape shape = {0};

        assert_int_equal(train_builtin_shape(&wanted, &shape, &why), 0);
        assert_int_equal(train_builtin_recognise(&shape, &type, layers, &n, &why), 0);
        assert_int_equal(type, rows[i].type);
        assert_int_equal(n, rows[i].n);
        for (size_t l = 0; l < n; l++) {
            assert_int_equal(layers[l], type == TRAIN_CNN && l == 0 ? 0 : rows[i].layers[l]);
        }
        model_shape_release(&shape);
    }
    assert_int_equal(model_shape_add(&other, "linear.weight", &dim, 1, &why), 0);
    assert_int_equal(train_builtin_recognise(&other, &type, layers, &n, &why), CAIRN_ERR_DATA);
    assert_non_null(strstr(why.what, "built-in"));
    model_shape_release(&other);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(test_builtin__##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(shape),
        CASE(evaluator_needs_no_training_data),
        CASE(evaluator_without_data),
        CASE(clients_share_the_rows),
        CASE(learns),
        CASE(replays),
        CASE(resize_and_layers),
        CASE(batch_larger_than_the_slice),
        CASE(refuses_options),
        CASE(divergence_is_an_error),
        CASE(models),
        CASE(proximal_term),
        CASE(partitions),
        CASE(recognises_its_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
