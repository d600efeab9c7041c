/* SPDX-License-Identifier: Apache-2.0 */
/* safetensors: what is written is read back, and every crooked header is refused by name. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "replay.h"
#include "safetensors.h"

static char path[64];

static int setup(void **state)
{
    int fd;

    (void)state;
    (void)snprintf(path, sizeof path, "/tmp/cairn-test-XXXXXX");
    fd = mkstemp(path);
    assert_true(fd >= 0);
    return close(fd);
}

static int teardown(void **state)
{
    (void)state;
    return unlink(path);
}

/* The shape and the floats of a file of these bytes. */
static int parse_bytes(struct span bytes, const char *name, struct model_shape *shape,
                       float **model, struct cairn_problem *why)
{
    int err = safetensors_parse_shape(bytes, bytes.size, name, shape, why);

    if (err) {
        return err;
    }
    const uint8_t *data = bytes.data + (bytes.size - shape->n_bytes); /* they end where the file does */
    *model = calloc(shape->n_params + 1, sizeof **model);
    for (size_t t = 0; t < shape->n_tensors; t++) {
        const struct model_tensor *tensor = &shape->tensors[t];
        model_dtype_to_floats(tensor->dtype, data + tensor->byte, tensor->count,
                              *model + tensor->offset);
    }
    return 0;
}

/* A file of this header and `data_size` bytes 0, 1, 2, ... */
static int parse(const char *header, size_t data_size, struct model_shape *shape, float **model,
                 struct cairn_problem *why)
{
    uint64_t length = strlen(header);
    struct buf file = {0};
    int err;

    assert_int_equal(buf_append(&file, &length, sizeof length), 0);
    assert_int_equal(buf_append(&file, header, length), 0);
    for (size_t i = 0; i < data_size; i++) {
        uint8_t byte = (uint8_t)i;
        assert_int_equal(buf_append(&file, &byte, 1), 0);
    }
    err = parse_bytes(buf_span(&file), "m", shape, model, why);
    buf_release(&file);
    return err;
}

static void assert_says(const struct cairn_problem *why, const char *a, const char *b)
{
    if (!strstr(why->what, a) || !strstr(why->what, b)) {
        fail_msg("\"%s\" names neither or one of \"%s\", \"%s\"", why->what, a, b);
    }
    assert_non_null(strstr(why->what, "m:")); /* the file */
    assert_true(why->hint[0] != '\0');
}

static void assert_refused(const char *header, size_t data_size, const char *a, const char *b)
{
    struct model_shape shape = {.n_params = 99};
    struct cairn_problem why = {0};
    float *model = NULL;

    assert_int_equal(parse(header, data_size, &shape, &model, &why), CAIRN_ERR_DATA);
    assert_null(model);
    assert_int_equal(shape.n_params, 99);
    assert_says(&why, a, b);
}

#define F32(shape, begin, end)                                                                     \
    "{\"dtype\":\"F32\",\"shape\":[" shape "],\"data_offsets\":[" #begin "," #end "]}"

/* Bytes made by hand from the format's description. */
static void test_safetensors__reads_known_bytes(void **state)
{
    static const float expected[] = {1.0f, -2.0f};
    struct model_shape shape = {0};
    struct cairn_problem why;
    float *model = NULL;
    static const uint8_t bytes[] =
        "\x38\0\0\0\0\0\0\0"
        "{\"w\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[0,8]}}"
        "\x00\x00\x80\x3f\x00\x00\x00\xc0";

    (void)state;
    assert_int_equal(parse_bytes((struct span){bytes, sizeof bytes - 1}, "m", &shape, &model, &why), 0);
    assert_int_equal(shape.n_tensors, 1);
    assert_string_equal(shape.tensors[0].name, "w");
    assert_int_equal(shape.tensors[0].n_dims, 2);
    assert_int_equal(shape.tensors[0].dims[0], 2);
    assert_memory_equal(model, expected, sizeof expected);
    model_shape_release(&shape);
    free(model);
}

static void test_safetensors__overlap_gap_and_rest(void **state)
{
    (void)state;
    assert_refused("{\"w\":" F32("2", 0, 8) ",\"v\":" F32("2", 0, 8) "}", 8, "\"w\"", "\"v\"");
    assert_refused("{\"w\":" F32("2", 0, 8) ",\"v\":" F32("2", 4, 12) "}", 12, "\"w\"", "overlap");
    assert_refused("{\"w\":" F32("2", 0, 8) ",\"e\":" F32("0", 4, 4) "}", 8, "\"w\"", "\"e\"");
    assert_refused("{\"w\":" F32("2", 0, 8) ",\"v\":" F32("2", 12, 20) "}", 20, "8 to 12",
                   "no tensor");
    assert_refused("{\"w\":" F32("2", 4, 12) "}", 12, "0 to 4", "\"w\"");
    assert_refused("{\"w\":" F32("2", 0, 8) "}", 11, "3 bytes behind", "\"w\"");
    assert_refused("{}", 1, "1 bytes behind", "");
    assert_refused("{\"w\":" F32("2", 0, 8) "}", 7, "\"w\" ends at byte 8", "holds 7");
}

static void test_safetensors__duplicate_names(void **state)
{
    (void)state;
    assert_refused("{\"w\":" F32("1", 0, 4) ",\"w\":" F32("1", 4, 8) "}", 8, "duplicate", "w");
    assert_refused("{\"w\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[],"
                   "\"data_offsets\":[0,4]}}", 4, "duplicate", "dtype");
}

static void test_safetensors__other_dtypes(void **state)
{
    (void)state;
    assert_refused("{\"w\":{\"dtype\":\"F8_E4M3\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4,
                   "\"w\"", "F8_E4M3");
    assert_refused("{\"w\":{\"dtype\":\"F32\\u0000\",\"shape\":[],\"data_offsets\":[0,4]}}", 4, "\"w\"",
                   "dtype");
    assert_refused("{\"w\":{\"dtype\":\"C64\",\"shape\":[],\"data_offsets\":[0,8]}}", 8, "\"w\"",
                   "C64");
    assert_refused("{\"w\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "\"w\"",
                   "2 elements of 2 bytes");
    assert_refused("{\"w\":{\"dtype\":\"I64\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "\"w\"",
                   "2 elements of 8 bytes");
}

static void test_safetensors__shape_does_not_fit(void **state)
{
    (void)state;
    assert_refused("{\"w\":" F32("3", 0, 8) "}", 8, "3 elements", "8 bytes");
    /* 2^32 * 2^32 wraps to 0 */
    assert_refused("{\"w\":" F32("4294967296,4294967296", 0, 0) "}", 0, "\"w\"", "memory");
    assert_refused("{\"w\":" F32("1,1,1,1,1,1,1,1,1", 0, 4) "}", 4, "\"w\"", "shape");
    assert_refused("{\"w\":" F32("-1", 0, 4) "}", 4, "\"w\"", "shape");
    assert_refused("{\"w\":" F32("1.0", 0, 4) "}", 4, "\"w\"", "shape");
    assert_refused("{\"w\":" F32("1", 4, 0) "}", 4, "\"w\"", "data_offsets");
    assert_refused("{\"w\":" F32("1", -4, 0) "}", 4, "\"w\"", "data_offsets");
    assert_refused("{\"w\":" F32("18446744073709551616", 0, 4) "}", 4, "", "");
}

static void test_safetensors__crooked_headers(void **state)
{
    (void)state;
    assert_refused("[]", 0, "not an object", "");
    assert_refused("{\"w\":", 0, "", "");
    assert_refused("{}{}", 0, "", "");
    assert_refused("", 0, "", "");
    assert_refused("{\"w\":3}", 0, "\"w\"", "dtype");
    assert_refused("{\"w\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "\"w\"", "shape");
    assert_refused("{\"w\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4],\"x\":1}}", 4,
                   "\"w\"", "more than");
    assert_refused("{\"\":" F32("1", 0, 4) "}", 4, "empty name", "");
    assert_refused("{\"__metadata__\":[]}", 0, "__metadata__", "object");
    assert_refused("{\"__metadata__\":{\"a\":1}}", 0, "__metadata__", "\"a\"");
}

static void assert_length_refused(uint64_t length, size_t size, const char *words)
{
    uint8_t bytes[16] = "00000000{}";
    struct model_shape shape = {0};
    struct cairn_problem why = {0};
    float *model = NULL;

    memcpy(bytes, &length, sizeof length);
    assert_int_equal(parse_bytes((struct span){bytes, size}, "m", &shape, &model, &why),
                     CAIRN_ERR_DATA);
    assert_says(&why, words, "");
}

static void test_safetensors__header_length(void **state)
{
    (void)state;
    assert_length_refused(UINT64_MAX, 10, "header length 18446744073709551615");
    assert_length_refused(100000001, 10, "at most 100000000");
    assert_length_refused(100000000, 10, "only 2 bytes follow");
    assert_length_refused(3, 10, "only 2 bytes follow");
    assert_length_refused(2, 7, "7 bytes");
    assert_length_refused(2, 0, "0 bytes");
}

static void accept(const char *header, size_t data_size, struct model_shape *shape)
{
    struct cairn_problem why = {0};
    float *model = NULL;

    *shape = (struct model_shape){0};
    if (parse(header, data_size, shape, &model, &why)) {
        fail_msg("%s", why.what);
    }
    free(model);
}

static void test_safetensors__empty_metadata_and_long_header(void **state)
{
    char *header = malloc(100001);
    struct model_shape shape;
    int n;

    (void)state;
    accept("{\"__metadata__\":{},\"w\":" F32("1", 0, 4) "}", 4, &shape);
    model_shape_release(&shape);
    accept("{}", 0, &shape);
    assert_int_equal(shape.n_tensors, 0);
    n = snprintf(header, 100001, "{\"w\":" F32("1", 0, 4) "}");
    memset(header + n, ' ', 100000 - (size_t)n);
    header[100000] = '\0';
    accept(header, 4, &shape);
    model_shape_release(&shape);
    free(header);
}

/* The order of names in the header says nothing; that of the bytes does. */
static void test_safetensors__order_of_bytes(void **state)
{
    struct model_shape shape;

    (void)state;
    accept("{\"c\":" F32("1", 8, 12) ",\"e\":" F32("0,5", 8, 8) ",\"a\":" F32("2", 0, 8) "}", 12,
           &shape);
    assert_int_equal(shape.n_tensors, 3);
    assert_string_equal(shape.tensors[0].name, "a");
    assert_string_equal(shape.tensors[1].name, "e");
    assert_string_equal(shape.tensors[2].name, "c");
    model_shape_release(&shape);
}

/* Metadata too, name by name and byte by byte, in its order. */
static void assert_metadata(const json_t *expected)
{
    struct safetensors_file file;
    struct cairn_problem why;

    assert_int_equal(safetensors_open(&file, path, NULL, 0, &why), 0);
    char *found = json_dumps(file.metadata, JSON_ENCODE_ANY);
    char *wanted = json_dumps(expected, JSON_ENCODE_ANY);
    assert_true((found == NULL) == (expected == NULL) && (found == NULL || strcmp(found, wanted) == 0));
    free(found);
    free(wanted);
    safetensors_close(&file);
}

static void round_trip(const struct model_shape *shape, const float *model, const json_t *metadata)
{
    struct model_shape found = {0};
    struct cairn_problem why = {0};
    struct buf file = {0};
    float *values = NULL;
    uint64_t length;

    if (safetensors_write_all(path, shape, model, NULL, metadata, &why) ||
        file_read(path, 1 << 20, &file, &why) ||
        parse_bytes(buf_span(&file), path, &found, &values, &why)) {
        fail_msg("%s", why.what);
    }
    memcpy(&length, file.data, sizeof length);
    assert_int_equal(length % 8, 0);
    assert_int_equal(found.n_tensors, shape->n_tensors);
    assert_int_equal(found.n_params, shape->n_params);
    for (size_t t = 0; t < shape->n_tensors; t++) {
        assert_memory_equal(&found.tensors[t], &shape->tensors[t], sizeof *shape->tensors);
    }
    if (shape->n_params > 0) {
        assert_memory_equal(values, model, shape->n_params * sizeof *values);
    }
    assert_metadata(metadata);
    model_shape_release(&found);
    free(values);
    buf_release(&file);
}

static void test_safetensors__scalars_and_empty_tensors(void **state)
{
    static const uint64_t empty[] = {0, 5};
    json_t *metadata = json_pack("{s:s, s:s}", "round", "7", "made by", "cairn");
    static const float model[] = {1.5f, -0.0f};
    struct model_shape shape = {0};
    struct cairn_problem why;

    (void)state;
    round_trip(&shape, model, NULL);
    assert_int_equal(model_shape_add(&shape, "empty", empty, 2, &why), 0);
    round_trip(&shape, model, metadata);
    assert_int_equal(model_shape_add(&shape, "scalar", NULL, 0, &why), 0);
    assert_int_equal(model_shape_add(&shape, "empty too", empty, 1, &why), 0);
    assert_int_equal(model_shape_add(&shape, "scalar, \"quoted\"", NULL, 0, &why), 0);
    assert_int_equal(model_shape_add(&shape, "empty at the end", empty, 1, &why), 0);
    round_trip(&shape, model, metadata);
    json_decref(metadata);
    model_shape_release(&shape);
}

/* Any characters: zero bytes, quotes, what is long in UTF-8; in the order in which they stand; none, and an empty object. */
static void test_safetensors__metadata_is_kept_as_it_is(void **state)
{
    static const char *const texts[] = {
        "{}",
        "{\"z\": \"\", \"\": \"no name\", \"a\": \"\\u0000\\u0000end\\u0000\"}",
        "{\"format\": \"\\n\\u001f\\\\\\\"/\\u007f\\u0085\\u2028\", \"\xf0\x9f\x98\x80\": \"\\ud83d\\ude00 \xef\xbf\xbf\"}",
    };
    struct model_shape shape = {0};
    struct cairn_problem why;
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const struct span text = {(const uint8_t *)texts[i], strlen(texts[i])};
        json_t *metadata = safetensors_parse_metadata(text, "text", &why);
        assert_non_null(metadata);
        assert_int_equal(json_object_size(metadata), i == 0 ? 0 : i == 1 ? 3 : 2);
        assert_int_equal(i == 1 ? json_string_length(json_object_get(metadata, "a")) : 6, 6);
        round_trip(&shape, NULL, metadata);
        json_decref(metadata);
    }
    round_trip(&shape, NULL, NULL);
    assert_null(safetensors_parse_metadata((struct span){(const uint8_t *)"[]", 2}, "text", &why));
    assert_null(safetensors_parse_metadata((struct span){(const uint8_t *)"{\"a\":1}", 7}, "text", &why));
    assert_null(safetensors_parse_metadata((struct span){(const uint8_t *)"{\"a\":", 5}, "text", &why));
    assert_int_equal(why.code, CAIRN_ERR_DATA);
}

static void random_shape(struct replay_rng *rng, struct model_shape *shape)
{
    unsigned n = replay_below(rng, 12);
    struct cairn_problem why;
    char name[32];

    for (unsigned t = 0; t < n; t++) {
        uint64_t dims[3];
        for (unsigned d = 0; d < 3; d++) {
            dims[d] = replay_below(rng, 6);
        }
        (void)snprintf(name, sizeof name, "t%u", t);
        assert_int_equal(model_shape_add(shape, name, dims, replay_below(rng, 4), &why), 0);
    }
}

static void test_safetensors__round_trip_property(void **state)
{
    static float model[12 * 125];
    struct replay_rng rng;

    (void)state;
    print_message("seed 6\n");
    replay_init(&rng, "test", 6, 0, 0);
    for (int repeat = 0; repeat < 50; repeat++) {
        struct model_shape shape = {0};

        random_shape(&rng, &shape);
        for (size_t i = 0; i < shape.n_params; i++) {
            uint32_t bits = replay_u32(&rng); /* any float, NaN too */
            memcpy(&model[i], &bits, sizeof bits);
        }
        round_trip(&shape, model, NULL);
        model_shape_release(&shape);
    }
}

/* Property: bytes of a good file changed at random are refused or read, under the sanitizers. */
static void test_safetensors__survives_damage(void **state)
{
    static const uint64_t dims[] = {2, 3};
    static const float model[12] = {0};
    struct model_shape shape = {0};
    struct cairn_problem why;
    struct replay_rng rng;
    struct buf file = {0};
    unsigned refused = 0;

    (void)state;
    print_message("seed 7\n");
    replay_init(&rng, "test", 7, 0, 0);
    assert_int_equal(model_shape_add(&shape, "a", dims, 2, &why), 0);
    assert_int_equal(model_shape_add(&shape, "b", dims, 2, &why), 0);
    assert_int_equal(safetensors_write(path, &shape, model, &why), 0);
    assert_int_equal(file_read(path, 1 << 20, &file, &why), 0);
    for (int repeat = 0; repeat < 3000; repeat++) {
        uint8_t *copy = malloc(file.size); /* of exact size, so that one byte too far is seen */
        size_t size = replay_below(&rng, 4) ? file.size : replay_below(&rng, (uint32_t)file.size);
        struct model_shape found = {0};
        float *values = NULL;

        memcpy(copy, file.data, file.size);
        for (uint32_t k = 1 + replay_below(&rng, 3); k > 0; k--) {
            copy[replay_below(&rng, (uint32_t)file.size)] = (uint8_t)replay_u32(&rng);
        }
        if (parse_bytes((struct span){copy, size}, "m", &found, &values, &why) == 0) {
            model_shape_release(&found);
            free(values);
        } else {
            refused++;
        }
        free(copy);
    }
    assert_true(refused > 1000);
    model_shape_release(&shape);
    buf_release(&file);
}

static void test_safetensors__write_fails_whole(void **state)
{
    static const float model[] = {1.0f};
    struct model_shape shape = {0};
    struct cairn_problem why;
    struct buf before = {0}, after = {0};

    (void)state;
    assert_int_equal(model_shape_add(&shape, "w", NULL, 0, &why), 0);
    assert_int_equal(safetensors_write(path, &shape, model, &why), 0);
    assert_int_equal(file_read(path, 1 << 20, &before, &why), 0);
    assert_int_equal(safetensors_write("/nonexistent/m", &shape, model, &why),
                     CAIRN_ERR_STORAGE);
    model_shape_release(&shape);
    assert_int_equal(model_shape_add(&shape, "__metadata__", NULL, 0, &why), 0);
    assert_int_equal(safetensors_write(path, &shape, model, &why), CAIRN_ERR_DATA);
    assert_int_equal(file_read(path, 1 << 20, &after, &why), 0);
    assert_int_equal(before.size, after.size);
    assert_memory_equal(before.data, after.data, before.size);
    model_shape_release(&shape);
    buf_release(&before);
    buf_release(&after);
}

static void must_add(struct model_shape *shape, const char *name, uint64_t rows, uint64_t columns)
{
    const uint64_t dims[] = {rows, columns};
    assert_int_equal(model_shape_add(shape, name, dims, 2, NULL), 0);
}

/* Into a model whose tensors come in another order than the file's. */
static void test_safetensors__read_into_a_model(void **state)
{
    static const float written[] = {1, 2, 3, 4, 5, 6, 7, 8};
    static const float expected[] = {7, 8, 1, 2, 3, 4, 5, 6};
    float model[9] = {0, 0, 0, 0, 0, 0, 0, 0, 99};
    struct model_shape in_file = {0}, shape = {0};
    struct cairn_problem why;

    (void)state;
    must_add(&in_file, "a", 2, 3);
    must_add(&in_file, "none", 0, 3);
    must_add(&in_file, "b", 1, 2);
    must_add(&shape, "b", 1, 2);
    must_add(&shape, "a", 2, 3);
    must_add(&shape, "none", 0, 3);
    assert_int_equal(safetensors_write(path, &in_file, written, &why), 0);
    assert_int_equal(safetensors_read(path, &shape, model, &why), 0);
    assert_memory_equal(model, expected, sizeof expected);
    assert_true(model[8] == 99.0f);
    model_shape_release(&in_file);
    model_shape_release(&shape);
}

/* @return the error of reading the file with tensors a [2, 3] and b [1, 2] into this */
static int read_error(const struct model_shape *shape, const char *words)
{
    float model[16];
    struct cairn_problem why = {0};
    for (size_t i = 0; i < 16; i++) {
        model[i] = 99.0f;
    }
    const int err = safetensors_read(path, shape, model, &why);
    if (strstr(why.what, words) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", why.what, words);
    }
    for (size_t i = 0; i < 16; i++) {
        assert_true(model[i] == 99.0f);
    }
    return err;
}

static void test_safetensors__read_refuses_other_models(void **state)
{
    static const float written[8] = {0};
    struct model_shape good = {0}, missing = {0}, more = {0}, turned = {0};
    struct cairn_problem why;

    (void)state;
    must_add(&good, "a", 2, 3);
    must_add(&good, "b", 1, 2);
    must_add(&missing, "a", 2, 3);
    must_add(&more, "a", 2, 3);
    must_add(&more, "b", 1, 2);
    must_add(&more, "c", 1, 1);
    must_add(&turned, "a", 3, 2);
    must_add(&turned, "b", 1, 2);
    assert_int_equal(safetensors_write(path, &good, written, &why), 0);
    assert_int_equal(read_error(&missing, "has 2 tensors, the model has 1"), CAIRN_ERR_REFUSED);
    assert_int_equal(read_error(&more, "has no tensor \"c\""), CAIRN_ERR_REFUSED);
    assert_int_equal(read_error(&turned, "tensor \"a\" has another shape"), CAIRN_ERR_REFUSED);

    struct buf file = {0};
    assert_int_equal(file_read(path, 1 << 20, &file, &why), 0);
    for (size_t size = 0; size < file.size; size++) {
        assert_int_equal(file_rewrite(path, file.data, size, 0644, &why), 0);
        assert_int_equal(read_error(&good, path), CAIRN_ERR_DATA);
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(read_error(&good, "cannot open"), CAIRN_ERR_DATA);
    assert_int_equal(file_rewrite(path, file.data, file.size, 0644, &why), 0); /* for teardown */
    buf_release(&file);
    model_shape_release(&good);
    model_shape_release(&missing);
    model_shape_release(&more);
    model_shape_release(&turned);
}

/* Only the header is there, and the length of the rest is told. */
static void test_safetensors__shape_alone(void **state)
{
    static const char header[] =
        "{\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]},"
        "\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}";
    uint64_t length = strlen(header);
    uint64_t data_at = 0;
    struct buf file = {0};
    struct buf again = {0};
    struct model_shape shape = {0}, none = {.n_params = 99};
    struct cairn_problem why = {0};

    (void)state;
    assert_int_equal(buf_append(&file, &length, sizeof length), 0);
    assert_int_equal(buf_append(&file, header, length), 0);
    assert_int_equal(safetensors_data_at(file.data, file.size + 12, "m", &data_at, &why), 0);
    assert_int_equal(data_at, file.size);
    assert_int_equal(
        safetensors_parse_shape(buf_span(&file), file.size + 12, "m", &shape, &why), 0);
    assert_int_equal(shape.n_params, 3);
    assert_string_equal(shape.tensors[0].name, "a"); /* the order of the bytes */
    for (uint64_t rest = 0; rest < 20; rest++) {
        if (rest != 12) {
            assert_int_equal(
                safetensors_parse_shape(buf_span(&file), file.size + rest, "m", &none, &why),
                CAIRN_ERR_DATA);
            assert_int_equal(none.n_params, 99);
        }
    }
    assert_int_equal(safetensors_data_at(file.data, length + 7, "m", &data_at, &why),
                     CAIRN_ERR_DATA); /* one byte of the header is missing */
    assert_int_equal(safetensors_header(&shape, NULL, &again, &why), 0);
    model_shape_release(&shape);
    assert_int_equal(
        safetensors_parse_shape(buf_span(&again), again.size + 12, "m", &shape, &why), 0);
    model_shape_release(&shape);
    buf_release(&again);
    buf_release(&file);
}

static void add_typed(struct model_shape *shape, const char *name, enum model_dtype dtype,
                      uint64_t count)
{
    assert_int_equal(
        model_shape_add_typed(shape, name, dtype, &count, count == 1 ? 0 : 1, NULL), 0);
}

/* A model as a training program leaves it: halves, a counter, a scalar, a mask, nothing at all. */
static void make_mixed(struct model_shape *shape)
{
    add_typed(shape, "weight", MODEL_F16, 3);
    add_typed(shape, "steps", MODEL_I64, 1);
    add_typed(shape, "scale", MODEL_F64, 1);
    add_typed(shape, "mask", MODEL_BOOL, 3);
    add_typed(shape, "empty", MODEL_U8, 0);
    add_typed(shape, "bias", MODEL_BF16, 2);
    add_typed(shape, "plain", MODEL_F32, 2);
}

static const float mixed_floats[] = {1.0F, -0.5F, 2.0F, 0.1F, 3.0F, -4.0F, 0x1p-140F, 7.0F};
static const uint64_t mixed_words[] = {(UINT64_C(1) << 63) - 5, 1, 0, 1};

/* The bytes, worked out by hand from the formats, stand in the order of the tensors. */
static void test_safetensors__writes_each_dtype(void **state)
{
    static const uint8_t expected[] = {
        0x00, 0x3c, 0x00, 0xb8, 0x00, 0x40,             /* 1, -0.5, 2 */
        0xfb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, /* -5 */
        0x00, 0x00, 0x00, 0xa0, 0x99, 0x99, 0xb9, 0x3f, /* 0.1F as a double */
        1,    0,    1,    0x40, 0x40, 0x80, 0xc0,       /* the mask; 3, -4 */
        0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0xe0, 0x40, /* 2^-140, 7 */
    };
    json_t *metadata = json_pack("{s:s, s:s}", "format", "pt", "made by", "hand");
    struct model_shape shape = {0};
    struct safetensors_file file;
    struct buf bytes = {0};
    struct cairn_problem why = {0};
    float floats[8];
    uint64_t words[4];
    (void)state;
    make_mixed(&shape);
    assert_int_equal(shape.n_params, 8);
    assert_int_equal(shape.n_words, 4);
    assert_int_equal(
        safetensors_write_all(path, &shape, mixed_floats, mixed_words, metadata, &why), 0);
    assert_int_equal(file_read(path, 1 << 16, &bytes, &why), 0);
    assert_memory_equal(bytes.data + bytes.size - sizeof expected, expected, sizeof expected);

    assert_int_equal(safetensors_open(&file, path, NULL, 0, &why), 0);
    assert_true(json_equal(file.metadata, metadata));
    json_decref(metadata);
    assert_int_equal(safetensors_read_run(&file, 0, 8, floats, &why), 0);
    assert_memory_equal(floats, mixed_floats, sizeof floats);
    assert_int_equal(safetensors_read_run(&file, 3, 2, floats, &why), 0);
    assert_memory_equal(floats, mixed_floats + 3, 2 * sizeof *floats);
    assert_int_equal(safetensors_read_words(&file, words, &why), 0);
    assert_memory_equal(words, mixed_words, sizeof words);
    for (size_t t = 0; t < shape.n_tensors; t++) {
        assert_memory_equal(&file.found.tensors[t], &shape.tensors[t], sizeof *shape.tensors);
    }
    for (size_t t = 0; t < shape.n_carried; t++) {
        assert_memory_equal(&file.found.carried[t], &shape.carried[t], sizeof *shape.carried);
    }
    safetensors_close(&file);
    buf_release(&bytes);
    model_shape_release(&shape);
}

/* A float may come in another type, an integer may not, and neither for the other. */
static void test_safetensors__into_a_model_of_other_dtypes(void **state)
{
    struct model_shape shape = {0}, wanted = {0}, longer = {0}, floats = {0};
    struct safetensors_file file;
    struct cairn_problem why = {0};
    float model[8];
    uint64_t words[4];
    (void)state;
    make_mixed(&shape);
    assert_int_equal(safetensors_write_all(path, &shape, mixed_floats, mixed_words, NULL, &why), 0);
    add_typed(&wanted, "mask", MODEL_BOOL, 3);
    add_typed(&wanted, "plain", MODEL_F32, 2);
    add_typed(&wanted, "bias", MODEL_F32, 2);
    add_typed(&wanted, "steps", MODEL_I64, 1);
    add_typed(&wanted, "scale", MODEL_F16, 1);
    add_typed(&wanted, "weight", MODEL_F64, 3);
    add_typed(&wanted, "empty", MODEL_U8, 0);
    assert_int_equal(safetensors_open(&file, path, &wanted, 0, &why), 0);
    assert_int_equal(safetensors_read_run(&file, 0, 8, model, &why), 0);
    assert_int_equal(safetensors_read_words(&file, words, &why), 0);
    safetensors_close(&file);
    static const float in_order[] = {0x1p-140F, 7.0F, 3.0F, -4.0F, 0.1F, 1.0F, -0.5F, 2.0F};
    assert_memory_equal(model, in_order, sizeof in_order);
    assert_memory_equal(words, mixed_words + 1, 3 * sizeof *words);
    assert_int_equal(words[3], mixed_words[0]);

    for (size_t t = 0; t < wanted.n_carried; t++) {
        if (strcmp(wanted.carried[t].name, "steps") == 0) {
            wanted.carried[t].dtype = MODEL_U64;
        }
    }
    assert_int_equal(safetensors_open(&file, path, &wanted, 0, &why), CAIRN_ERR_REFUSED);
    assert_non_null(strstr(why.what, "tensor \"steps\" has dtype I64, the model's has U64"));
    add_typed(&floats, "mask", MODEL_F32, 3);
    assert_int_equal(safetensors_open(&file, path, &floats, 0, &why), CAIRN_ERR_REFUSED);
    assert_non_null(strstr(why.what, "dtype BOOL, the model's has F32"));
    add_typed(&longer, "mask", MODEL_BOOL, 2);
    assert_int_equal(safetensors_open(&file, path, &longer, 0, &why), CAIRN_ERR_REFUSED);
    assert_int_equal(safetensors_open(&file, path, NULL, 40, &why), CAIRN_ERR_REFUSED);
    assert_non_null(strstr(why.what, "a header of"));
    model_shape_release(&shape);
    model_shape_release(&wanted);
    model_shape_release(&floats);
    model_shape_release(&longer);
}

static void test_safetensors__a_bool_is_0_or_1(void **state)
{
    struct model_shape shape = {0};
    struct safetensors_file file;
    struct buf bytes = {0};
    struct cairn_problem why = {0};
    uint64_t words[2] = {1, 0};
    (void)state;
    add_typed(&shape, "mask", MODEL_BOOL, 2);
    assert_int_equal(safetensors_write_all(path, &shape, NULL, words, NULL, &why), 0);
    assert_int_equal(file_read(path, 1 << 16, &bytes, &why), 0);
    bytes.data[bytes.size - 1] = 2;
    assert_int_equal(file_rewrite(path, bytes.data, bytes.size, 0644, &why), 0);
    assert_int_equal(safetensors_open(&file, path, NULL, 0, &why), 0);
    assert_int_equal(safetensors_read_words(&file, words, &why), CAIRN_ERR_DATA);
    assert_non_null(strstr(why.what, "\"mask\""));
    safetensors_close(&file);
    words[0] = 2;
    assert_int_equal(safetensors_write_all(path, &shape, NULL, words, NULL, &why), CAIRN_ERR_DATA);
    buf_release(&bytes);
    model_shape_release(&shape);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(test_safetensors__##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(reads_known_bytes),
        CASE(overlap_gap_and_rest),
        CASE(duplicate_names),
        CASE(other_dtypes),
        CASE(shape_does_not_fit),
        CASE(crooked_headers),
        CASE(header_length),
        CASE(empty_metadata_and_long_header),
        CASE(metadata_is_kept_as_it_is),
        CASE(order_of_bytes),
        CASE(scalars_and_empty_tensors),
        CASE(round_trip_property),
        CASE(survives_damage),
        CASE(write_fails_whole),
        CASE(read_into_a_model),
        CASE(read_refuses_other_models),
        CASE(writes_each_dtype),
        CASE(into_a_model_of_other_dtypes),
        CASE(a_bool_is_0_or_1),
        cmocka_unit_test(test_safetensors__shape_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
