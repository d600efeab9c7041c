/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "digest.h"
#include "model_files.h"

static void add(struct model_shape *shape, const char *name, uint64_t a, uint64_t b, unsigned n)
{
    const uint64_t dims[2] = {a, b};
    assert_int_equal(model_shape_add(shape, name, dims, n, NULL), 0);
}

/* Two files with the same tensors in another order are the same flattened model. */
static void test_tensor_file__order_of_names(void **state)
{
    (void)state;
    static const float first[] = {10, 20, 30, 40, 50, 60, 70, 80};
    static const float second[] = {80, 50, 60, 70, 10, 20, 30, 40};
    struct model_shape x = {0};
    struct model_shape y = {0};
    add(&x, "z", 2, 2, 2);
    add(&x, "a", 3, 0, 1);
    add(&x, "e", 0, 5, 2);
    add(&x, "m", 0, 0, 0);
    add(&y, "m", 0, 0, 0);
    add(&y, "a", 3, 0, 1);
    add(&y, "z", 2, 2, 2);
    add(&y, "e", 0, 5, 2);
    assert_int_equal(safetensors_write(in_folder("x"), &x, first, NULL), 0);
    assert_int_equal(safetensors_write(in_folder("y"), &y, second, NULL), 0);

    static const float expected[] = {50, 60, 70, 80, 10, 20, 30, 40}; /* a, e, m, z */
    float values[8];
    read_model(in_folder("x"), values, 8);
    assert_memory_equal(values, expected, sizeof expected);
    read_model(in_folder("y"), values, 8);
    assert_memory_equal(values, expected, sizeof expected);

    struct tensor_file file;
    uint8_t digest[DIGEST_SIZE];
    uint8_t of_expected[DIGEST_SIZE];
    assert_int_equal(tensor_file_open(&file, in_folder("x"), NULL), 0);
    assert_string_equal(file.shape.tensors[0].name, "a");
    assert_string_equal(file.shape.tensors[1].name, "e");
    /* any run, also across tensors */
    for (size_t at = 0; at < 8; at++) {
        for (size_t n = 1; n <= 8 - at; n++) {
            assert_int_equal(tensor_file_read(&file, at, n, values, NULL), 0);
            assert_memory_equal(values, expected + at, n * sizeof values[0]);
        }
    }
    assert_int_equal(tensor_file_digest(&file, digest, NULL), 0);
    digest_of(expected, sizeof expected, of_expected);
    assert_memory_equal(digest, of_expected, sizeof digest);
    tensor_file_close(&file);
    model_shape_release(&x);
    model_shape_release(&y);
}

static void refused(const char *path, const char *said)
{
    struct tensor_file file;
    struct cairn_problem why = {0};
    assert_int_equal(tensor_file_open(&file, path, &why), CAIRN_ERR_DATA);
    if (strstr(why.what, said) == NULL) {
        print_error("\"%s\" does not say \"%s\"\n", why.what, said);
    }
    assert_non_null(strstr(why.what, said));
}

static void test_tensor_file__refuses_other_kinds_by_name(void **state)
{
    (void)state;
    const char *path = in_folder("other");
    write_bytes(path, "", 0);
    refused(path, "empty");
    write_bytes(path, "<!DOCTYPE html><html>", 21);
    refused(path, "HTML");
    write_bytes(path, "PK\x03\x04 a zip archive of some kind", 30);
    refused(path, "npz");
    write_bytes(path, "\x80\x04\x95 a pickle of some kind", 25);
    refused(path, "pickle");
    write_bytes(path, "CRNK and then some more", 23);
    refused(path, "secret key");
    refused(folder, "no regular file");
    refused(in_folder("not there"), "No such file");
}

static void test_tensor_file__refuses_no_parameters(void **state)
{
    (void)state;
    struct model_shape shape = {0};
    const char *path = in_folder("nothing");
    assert_int_equal(safetensors_write(path, &shape, NULL, NULL), 0);
    refused(path, "no parameters");
    add(&shape, "e", 0, 5, 2);
    assert_int_equal(safetensors_write(path, &shape, NULL, NULL), 0);
    refused(path, "no parameters");
    model_shape_release(&shape);
}

static void test_tensor_file__every_truncation_is_refused(void **state)
{
    (void)state;
    static const float values[3] = {1, 2, 3};
    size_t size = 0;
    struct tensor_file file;
    write_model(in_folder("whole"), values, 3);
    uint8_t *bytes = read_bytes(in_folder("whole"), &size);
    for (size_t n = 0; n < size; n++) {
        write_bytes(in_folder("cut"), bytes, n);
        assert_int_equal(tensor_file_open(&file, in_folder("cut"), NULL), CAIRN_ERR_DATA);
    }
    free(bytes);
}

/* The file is shortened while it is open: an error, not a signal. */
static void test_tensor_file__survives_a_file_that_shrinks(void **state)
{
    (void)state;
    static float values[100];
    struct tensor_file file;
    write_model(in_folder("shrinks"), values, 100);
    assert_int_equal(tensor_file_open(&file, in_folder("shrinks"), NULL), 0);
    assert_int_equal(truncate(in_folder("shrinks"), 200), 0);
    assert_int_equal(tensor_file_read(&file, 0, 100, values, NULL), CAIRN_ERR_DATA);
    tensor_file_close(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tensor_file__order_of_names),
        cmocka_unit_test(test_tensor_file__refuses_other_kinds_by_name),
        cmocka_unit_test(test_tensor_file__refuses_no_parameters),
        cmocka_unit_test(test_tensor_file__every_truncation_is_refused),
        cmocka_unit_test(test_tensor_file__survives_a_file_that_shrinks),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_drop);
}
