/* SPDX-License-Identifier: Apache-2.0 */
/* Models in NumPy's formats: what is in them comes out as safetensors, or they are refused by file and member. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "made_zip.h"
#include "model_file.h"
#include "npz.h"
#include "replay.h"

static char folder[64], path[96], scratch[96];

static int setup(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/cairn-test-XXXXXX");
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/m.npz", folder);
    (void)snprintf(scratch, sizeof scratch, "%s/scratch", folder);
    assert_int_equal(file_make_folders(scratch, NULL), 0);
    return setenv("TMPDIR", scratch, 1);
}

static int teardown(void **state)
{
    (void)state;
    (void)unlink(path);
    (void)rmdir(scratch);
    return rmdir(folder);
}

/* An array as numpy.save writes it. */
struct array {
    uint8_t *bytes;
    size_t size;
};

static struct array make_array(const char *descr, const char *shape, const void *elements,
                               size_t size)
{
    struct buf out = {0};
    const size_t length = strlen(descr) + strlen(shape) + 50;
    const uint8_t prefix[] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (uint8_t)(length & 255),
                              (uint8_t)(length >> 8)};
    assert_int_equal(buf_append(&out, prefix, sizeof prefix), 0);
    assert_int_equal(buf_printf(&out, "{'descr': '%s', 'fortran_order': False, 'shape': %s}", descr, shape), 0);
    while (out.size < sizeof prefix + length) {
        assert_int_equal(buf_append(&out, " ", 1), 0);
    }
    assert_int_equal(buf_append(&out, elements, size), 0);
    return (struct array){out.data, out.size};
}

static struct made_member stored(const char *name, struct array a)
{
    return made_stored(name, a.bytes, a.size);
}

/* Deflated into memory of its own. */
static struct made_member deflated(const char *name, struct array a)
{
    struct made_member m = made_stored(name, a.bytes, a.size);
    uint8_t *out = malloc(a.size + 1000);
    z_stream stream = {0};
    assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_in = a.bytes;
    stream.avail_in = (uInt)a.size;
    stream.next_out = out;
    stream.avail_out = (uInt)a.size + 1000;
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    m.bytes = out;
    m.packed = stream.total_out;
    m.method = 8;
    assert_int_equal(deflateEnd(&stream), Z_OK);
    return m;
}

static void put(const struct made_member *members, size_t n)
{
    const size_t size = made_zip_size(members, n);
    uint8_t *bytes = malloc(size);
    made_zip(members, n, bytes);
    assert_int_equal(file_rewrite(path, bytes, size, 0600, NULL), 0);
    free(bytes);
}

static void put_array(struct array a)
{
    assert_int_equal(file_rewrite(path, a.bytes, a.size, 0600, NULL), 0);
}

static void require_nothing_left(void)
{
    DIR *list = opendir(scratch);
    assert_non_null(list);
    for (const struct dirent *entry = readdir(list); entry != NULL; entry = readdir(list)) {
        assert_true(entry->d_name[0] == '.');
    }
    (void)closedir(list);
}

/* ---- what comes out ---- */

enum { MANY = 100000 }; /* several runs, and more than is read ahead */

/* Floats and integers, packed in both ways; names, types, order and values are kept. */
static void test_model_file__reads_npz(void **state)
{
    static const uint16_t halves[] = {0x3c00, 0xc000, 0x7bff}; /* 1, -2, 65504 */
    static const double doubles[] = {0.1, -3};
    static const int64_t counter = -7;
    static const uint8_t mask[] = {1, 0};
    float *many = malloc(MANY * sizeof *many), *read = malloc((MANY + 5) * sizeof *read);
    uint64_t words[3];
    struct safetensors_file file;
    struct cairn_problem why = {0};
    (void)state;
    for (size_t i = 0; i < MANY; i++) {
        many[i] = (float)(i % 977) / 16;
    }
    const struct array arrays[] = {make_array("<f2", "(3, 1)", halves, sizeof halves),
                                   make_array("<i8", "()", &counter, sizeof counter),
                                   make_array("<f4", "(100, 1000)", many, MANY * sizeof *many),
                                   make_array("|b1", "(2,)", mask, sizeof mask),
                                   make_array("<f4", "(0, 4)", NULL, 0),
                                   make_array("<f8", "(2,)", doubles, sizeof doubles)};
    const struct made_member members[] = {
        stored("z.npy", arrays[0]),     deflated("bn.n.npy", arrays[1]), deflated("a.npy", arrays[2]),
        stored("mask.npy", arrays[3]),  stored("none.npy", arrays[4]),   stored("layer/0/b.npy", arrays[5])};
    put(members, 6);

    assert_int_equal(model_file_open(&file, path, NULL, &why), 0);
    require_nothing_left();
    static const struct {
        const char *name;
        enum model_dtype dtype;
        unsigned n_dims;
        uint64_t dims[2];
        size_t place;
    } floats[] = {{"z", MODEL_F16, 2, {3, 1}, 0},
                  {"a", MODEL_F32, 2, {100, 1000}, 2},
                  {"none", MODEL_F32, 2, {0, 4}, 4},
                  {"layer/0/b", MODEL_F64, 1, {2}, 5}};
    assert_int_equal(file.found.n_tensors, 4);
    for (size_t t = 0; t < 4; t++) {
        const struct model_tensor *tensor = &file.found.tensors[t];
        assert_string_equal(tensor->name, floats[t].name);
        assert_int_equal(tensor->dtype, floats[t].dtype);
        assert_int_equal(tensor->n_dims, floats[t].n_dims);
        assert_memory_equal(tensor->dims, floats[t].dims, sizeof floats[t].dims);
        assert_int_equal(tensor->place, floats[t].place);
    }
    assert_int_equal(file.found.n_carried, 2);
    assert_string_equal(file.found.carried[0].name, "bn.n");
    assert_int_equal(file.found.carried[1].dtype, MODEL_BOOL);
    assert_int_equal(safetensors_read_run(&file, 0, MANY + 5, read, &why), 0);
    assert_true(read[0] == 1 && read[1] == -2 && read[2] == 65504);
    assert_memory_equal(read + 3, many, MANY * sizeof *many);
    assert_true(read[MANY + 3] == 0.1F && read[MANY + 4] == -3);
    assert_int_equal(safetensors_read_words(&file, words, &why), 0);
    assert_true(words[0] == (UINT64_C(1) << 63) - 7 && words[1] == 1 && words[2] == 0);
    safetensors_close(&file);

    for (size_t i = 0; i < 6; i++) {
        if (members[i].method == 8) {
            free((void *)(uintptr_t)members[i].bytes);
        }
        free(arrays[i].bytes);
    }
    free(many);
    free(read);
}

/* Every type that the format has and a tensor can have. */
static void test_model_file__types(void **state)
{
    static const struct {
        const char *descr;
        enum model_dtype dtype;
    } types[] = {{"<f4", MODEL_F32}, {"<f8", MODEL_F64}, {"<f2", MODEL_F16}, {"|i1", MODEL_I8},
                 {"<i2", MODEL_I16}, {"<i4", MODEL_I32}, {"<i8", MODEL_I64}, {"|u1", MODEL_U8},
                 {"<u2", MODEL_U16}, {"<u4", MODEL_U32}, {"<u8", MODEL_U64}, {"|b1", MODEL_BOOL}};
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        static const uint8_t zeros[16];
        const size_t size = 2 * model_dtype_size(types[i].dtype);
        struct cairn_problem why = {0};
        struct safetensors_file file;
        const struct array array = make_array(types[i].descr, "(2,)", zeros, size);
        put_array(array);
        assert_int_equal(model_file_open(&file, path, NULL, &why), 0);
        const struct model_tensor *tensor = model_shape_named(&file.found, NPY_ONLY_NAME);
        assert_non_null(tensor);
        assert_int_equal(tensor->dtype, types[i].dtype);
        assert_int_equal(tensor->count, 2);
        safetensors_close(&file);
        free(array.bytes);
    }
}

/* A .npy file has no name: it is the model's, where that has but one tensor. */
static void test_model_file__npy_takes_the_models_name(void **state)
{
    static const float values[] = {1, 2, 3};
    const uint64_t three = 3;
    const struct array array = make_array("<f4", "(3,)", values, sizeof values);
    struct model_shape wanted = {0};
    struct safetensors_file file;
    struct cairn_problem why = {0};
    float read[3];
    (void)state;
    put_array(array);
    assert_int_equal(model_shape_add(&wanted, "w", &three, 1, NULL), 0);
    assert_int_equal(model_file_open(&file, path, &wanted, &why), 0);
    assert_int_equal(safetensors_read_run(&file, 0, 3, read, &why), 0);
    assert_memory_equal(read, values, sizeof values);
    safetensors_close(&file);

    assert_int_equal(model_shape_add(&wanted, "v", &three, 1, NULL), 0);
    assert_int_equal(model_file_open(&file, path, &wanted, &why), CAIRN_ERR_REFUSED);
    assert_non_null(strstr(why.what, "no tensor \"w\""));
    model_shape_release(&wanted);
    free(array.bytes);
}

/* ---- what is refused ---- */

static void require_refused(const char *said)
{
    struct cairn_problem why = {0};
    struct input in;
    const int err = model_input_open(&in, path, NULL, &why);
    if (err != CAIRN_ERR_DATA || strstr(why.what, said) == NULL) {
        print_error("expected \"%s\": %d \"%s\"\n", said, err, why.what);
    }
    assert_int_equal(err, CAIRN_ERR_DATA);
    assert_non_null(strstr(why.what, said));
    assert_non_null(strstr(why.what, path));
    assert_true(why.hint[0] != '\0');
    assert_true(in.fd < 0);
    require_nothing_left();
}

static void test_model_file__refuses_members_by_name(void **state)
{
    static const float values[] = {1, 2, 3};
    const struct array good = make_array("<f4", "(3,)", values, sizeof values);
    const struct array bad[] = {make_array("|O", "(3,)", values, sizeof values),
                                make_array(">f4", "(3,)", values, sizeof values),
                                make_array("<c8", "(3,)", values, sizeof values),
                                make_array("<f4", "(4,)", values, sizeof values)};
    static const char *const said[] = {
        "member \"b.npy\": an array of Python objects",
        "member \"b.npy\": its elements are big-endian",
        "member \"b.npy\": its dtype is <c8; float16, 32 or 64, whole numbers or bool are needed",
        "member \"b.npy\": its shape takes 16 bytes, the file has 12"};
    (void)state;
    struct made_member members[2] = {stored("a.npy", good)};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        members[1] = stored("b.npy", bad[i]);
        put(members, 2);
        require_refused(said[i]);
        free(bad[i].bytes);
    }
    static const struct {
        const char *name, *said;
    } names[] = {{"a.npy", "two tensors are called \"a\""},
                 {"archive/data.pkl", "member \"archive/data.pkl\" is no .npy array"},
                 {".npy", "is named like a path"},
                 {"../b.npy", "member \"../b.npy\" is named like a path"},
                 {"/etc/b.npy", "is named like a path"},
                 {"b/./c.npy", "is named like a path"},
                 {"b\\c.npy", "is named like a path"},
                 {"b/", "is no .npy array"},
                 {"\xff.npy", "cannot be written"},
                 {"__metadata__.npy", "__metadata__"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        members[1] = stored(names[i].name, good);
        put(members, 2);
        require_refused(names[i].said);
    }
    char longest[MODEL_NAME_SIZE + 4 + 1];
    memset(longest, 'n', sizeof longest);
    memcpy(longest + MODEL_NAME_SIZE, ".npy", 5);
    members[1] = stored(longest, good);
    put(members, 2);
    require_refused("longer name");
    members[1] = stored("b.npy\0.npy", good);
    members[1].name_size = 10;
    put(members, 2);
    require_refused("zero byte");
    put(members, 1);
    struct input in;
    struct cairn_problem why;
    assert_int_equal(model_input_open(&in, path, NULL, &why), 0);
    input_close(&in);
    free(good.bytes);
}

/* What a member's headers say of it and is not so. */
static void test_model_file__refuses_lies(void **state)
{
    static const uint8_t zeros[1 << 20];
    struct array array = make_array("<f4", "(262144,)", zeros, sizeof zeros);
    struct made_member good = stored("w.npy", array), bad;
    (void)state;
    bad = good;
    bad.flag = 1;
    put(&bad, 1);
    require_refused("member \"w.npy\" is encrypted");
    bad = good;
    bad.method = 12;
    put(&bad, 1);
    require_refused("is packed by method 12");
    bad = good;
    bad.crc ^= 1;
    put(&bad, 1);
    require_refused("its checksum is another one");
    bad = good;
    bad.size++;
    put(&bad, 1);
    require_refused("which cannot be in");

    struct made_member packed = deflated("w.npy", array);
    put(&packed, 1);
    struct input in;
    struct cairn_problem why;
    assert_int_equal(model_input_open(&in, path, NULL, &why), 0);
    assert_int_equal(in.size % 8, 0);
    input_close(&in);
    bad = packed;
    bad.size = bad.packed * 2000;
    put(&bad, 1);
    require_refused("which cannot be in");
    /* both headers agree, but there is less in it, and more */
    free(array.bytes);
    static const struct {
        const char *shape, *said;
    } other[] = {{"(262145,)", "cannot be unpacked"}, {"(262143,)", "its checksum is another one"}};
    for (size_t i = 0; i < 2; i++) {
        array = make_array("<f4", other[i].shape, zeros, sizeof zeros);
        bad = deflated("w.npy", array);
        bad.size = bad.size + 4 - 8 * i;
        put(&bad, 1);
        require_refused(other[i].said);
        free((void *)(uintptr_t)bad.bytes);
        free(array.bytes);
    }
    free((void *)(uintptr_t)packed.bytes);
}

/* Members that lie over each other would make much of little. */
static void test_model_file__refuses_overlapping_members(void **state)
{
    enum { SIZE = 1 << 16, MEMBERS = 3 };
    static const uint8_t zeros[SIZE];
    const struct array array = make_array("<f4", "(16384,)", zeros, sizeof zeros);
    const struct made_member one = stored("w.npy", array);
    const size_t size = made_zip_size(&one, 1), directory = size - 22 - 46 - 5;
    uint8_t bytes[SIZE + 1024];
    (void)state;
    made_zip(&one, 1, bytes);
    uint8_t entry[46 + 5], end[22];
    memcpy(entry, bytes + directory, sizeof entry);
    memcpy(end, bytes + size - 22, sizeof end);
    uint8_t *to = bytes + directory;
    for (int i = 0; i < MEMBERS; i++) {
        entry[46] = (uint8_t)('a' + i);
        made_bytes(&to, entry, sizeof entry);
    }
    le_put16(end + 8, MEMBERS);
    le_put16(end + 10, MEMBERS);
    le_put32(end + 12, MEMBERS * sizeof entry);
    made_bytes(&to, end, sizeof end);
    assert_int_equal(file_rewrite(path, bytes, (size_t)(to - bytes), 0600, NULL), 0);
    require_refused("member \"b.npy\" would take more room than the file has");
    free(array.bytes);
}

static void test_model_file__refuses_what_is_no_archive(void **state)
{
    static const uint8_t empty[22] = "PK\5\6";
    (void)state;
    assert_int_equal(file_rewrite(path, empty, sizeof empty, 0600, NULL), 0);
    require_refused("empty, cut off or damaged");
    assert_int_equal(file_rewrite(path, "PK\3\4 and more", 13, 0600, NULL), 0);
    require_refused("empty, cut off or damaged");
    static const float values[] = {1, 2, 3};
    const struct array array = make_array("<f4", "(3,)", values, sizeof values);
    const struct made_member one = stored("w.npy", array);
    uint8_t bytes[512];
    const size_t size = made_zip_size(&one, 1);
    made_zip(&one, 1, bytes);
    le_put16(bytes + size - 12, 20000); /* members in all, and on this disk */
    le_put16(bytes + size - 14, 20000);
    assert_int_equal(file_rewrite(path, bytes, size, 0600, NULL), 0);
    require_refused("20000 members");
    free(array.bytes);
}

/* Damaged bytes are never values: cut anywhere, or with any byte changed, the file is refused or says what it said. */
static void test_model_file__damage_is_noticed(void **state)
{
    static const float values[] = {1, 2, 3};
    const struct array array = make_array("<f4", "(3,)", values, sizeof values);
    const struct made_member members[] = {stored("a.npy", array), deflated("b.npy", array)};
    const size_t size = made_zip_size(members, 2);
    const uint64_t seed = 20240611;
    struct replay_rng rng;
    uint8_t bytes[1024];
    unsigned accepted = 0;
    (void)state;
    print_message("seed %llu\n", (unsigned long long)seed);
    replay_init(&rng, "damage", seed, 0, 0);
    assert_true(size <= sizeof bytes);
    for (size_t i = 0; i < 2 * size; i++) {
        struct input in;
        struct cairn_problem why = {0};
        const bool cut = i >= size;
        made_zip(members, 2, bytes);
        bytes[i % size] ^= cut ? 0 : (uint8_t)(1 + replay_below(&rng, 255));
        assert_int_equal(file_rewrite(path, bytes, cut ? i - size : size, 0600, NULL), 0);
        const int err = model_input_open(&in, path, NULL, &why);
        if (err == 0 && !cut && i >= 4) { /* without its first bytes it is no archive, and no safetensors either */
            float read[3];
            accepted++;
            for (unsigned t = 0; t < 2; t++) {
                assert_int_equal(input_read(&in, in.size - (t + 1) * sizeof read, read, sizeof read, &why), 0);
                assert_memory_equal(read, values, sizeof read);
            }
        }
        if (err == 0) {
            assert_true(!cut || i - size < 4);
            input_close(&in);
        } else {
            assert_int_equal(err, CAIRN_ERR_DATA);
        }
    }
    assert_true(accepted > 0); /* dates and the like */
    free((void *)(uintptr_t)members[1].bytes);
    free(array.bytes);
}

/* Another model than the wanted one is not even unpacked: what is damaged in it is not seen. */
static void test_model_file__other_models_are_not_unpacked(void **state)
{
    static const uint8_t zeros[1 << 20];
    const struct array array = make_array("<f4", "(262144,)", zeros, sizeof zeros);
    struct made_member member = stored("w.npy", array);
    struct model_shape wanted = {0};
    struct cairn_problem why = {0};
    struct input in;
    (void)state;
    member.crc ^= 1;
    put(&member, 1);
    assert_int_equal(model_shape_add(&wanted, "w", &(uint64_t){262143}, 1, NULL), 0);
    assert_int_equal(model_input_open(&in, path, &wanted, &why), CAIRN_ERR_REFUSED);
    assert_non_null(strstr(why.what, "another shape"));
    model_shape_release(&wanted);
    free(array.bytes);
}

static void test_model_file__says_where_room_is_missing(void **state)
{
    static const float values[] = {1, 2, 3};
    const struct array array = make_array("<f4", "(3,)", values, sizeof values);
    struct cairn_problem why = {0};
    struct input in;
    (void)state;
    put_array(array);
    assert_int_equal(rmdir(scratch), 0);
    assert_int_equal(model_input_open(&in, path, NULL, &why), CAIRN_ERR_STORAGE);
    assert_non_null(strstr(why.what, scratch));
    assert_non_null(strstr(why.hint, "TMPDIR"));
    assert_int_equal(file_make_folders(scratch, NULL), 0);
    free(array.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model_file__reads_npz),
        cmocka_unit_test(test_model_file__types),
        cmocka_unit_test(test_model_file__npy_takes_the_models_name),
        cmocka_unit_test(test_model_file__refuses_members_by_name),
        cmocka_unit_test(test_model_file__refuses_lies),
        cmocka_unit_test(test_model_file__refuses_overlapping_members),
        cmocka_unit_test(test_model_file__refuses_what_is_no_archive),
        cmocka_unit_test(test_model_file__damage_is_noticed),
        cmocka_unit_test(test_model_file__other_models_are_not_unpacked),
        cmocka_unit_test(test_model_file__says_where_room_is_missing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
