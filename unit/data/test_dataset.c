/* SPDX-License-Identifier: Apache-2.0 */
/* A folder of four files: slices, names, and what does not belong together. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "dataset.h"
#include "idx_files.h"
#include "resize.h"

static char folder[64];
static struct dataset_source source;

static int setup(void **state)
{
    (void)state;
    make_folder(folder);
    source = (struct dataset_source){.dir = folder};
    write_data_set(folder, 23, 11, 4, 6);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

static void remove_file(const char *name)
{
    char path[512];

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(unlink(path), 0);
}

static void assert_load_refused(const char *a, const char *b)
{
    const struct dataset untouched = {.rows = 99};
    struct dataset set = untouched;
    struct cairn_problem why = {0};

    assert_int_equal(dataset_load(&source, DATASET_TRAIN, 0, 0, &set, &why), CAIRN_ERR_DATA);
    assert_memory_equal(&set, &untouched, sizeof set);
    if (!strstr(why.what, a) || !strstr(why.what, b)) {
        fail_msg("\"%s\" names neither or one of \"%s\", \"%s\"", why.what, a, b);
    }
}

static void test_dataset__facts(void **state)
{
    struct dataset_facts facts;
    struct cairn_problem why;

    (void)state;
    assert_int_equal(dataset_facts_read(&source, &facts, &why), 0);
    assert_int_equal(facts.train_rows, 23);
    assert_int_equal(facts.test_rows, 11);
    assert_int_equal(facts.form.height, 4);
    assert_int_equal(facts.form.width, 6);
    assert_int_equal(facts.form.features, 24);
    assert_int_equal(facts.classes, 10);
    source.resize = 3;
    source.classes = 26;
    assert_int_equal(dataset_facts_read(&source, &facts, &why), 0);
    assert_int_equal(facts.form.features, 9);
    assert_int_equal(facts.classes, 26);
}

static void test_dataset__facts_refuse_other_test_images(void **state)
{
    struct dataset_facts facts;
    struct cairn_problem why;

    (void)state;
    write_images(folder, "t10k-images-idx3-ubyte", 11, 6, 4);
    assert_int_equal(dataset_facts_read(&source, &facts, &why), CAIRN_ERR_DATA);
    assert_non_null(strstr(why.what, "4 x 6"));
    assert_non_null(strstr(why.what, "6 x 4"));
}

/* Row `row` of the part is what idx_files.h wrote. */
static void assert_row(const struct dataset *set, size_t i, size_t row)
{
    assert_int_equal(set->labels[i], row % 10);
    for (size_t p = 0; p < set->form.features; p++) {
        assert_int_equal(set->pixels[i * set->form.features + p], pixel_of(row, p));
    }
}

static void test_dataset__slices_hold_every_row_once(void **state)
{
    static const size_t rows[] = {[DATASET_TRAIN] = 23, [DATASET_TEST] = 11};
    struct cairn_problem why;

    (void)state;
    for (enum dataset_part part = DATASET_TRAIN; part <= DATASET_TEST; part++) {
        for (uint32_t clients = 0; clients <= 11; clients++) {
            size_t row = 0;
            for (uint32_t index = 0; index < (clients ? clients : 1); index++) {
                struct dataset set;
                assert_int_equal(dataset_load(&source, part, clients, index, &set, &why), 0);
                for (size_t i = 0; i < set.rows; i++) {
                    assert_row(&set, i, row++);
                }
                dataset_release(&set);
            }
            assert_int_equal(row, rows[part]);
        }
    }
}

static void test_dataset__gzip_under_either_name(void **state)
{
    size_t size;
    uint8_t *bytes = images_bytes(23, 4, 6, &size);
    struct cairn_problem why;
    struct dataset set;

    (void)state;
    write_gzip(folder, "train-images-idx3-ubyte", bytes, size);
    assert_int_equal(dataset_load(&source, DATASET_TRAIN, 2, 1, &set, &why), 0);
    assert_row(&set, 0, 11);
    dataset_release(&set);
    remove_file("train-images-idx3-ubyte");
    write_raw(folder, "train-images-idx3-ubyte.gz", bytes, size);
    assert_int_equal(dataset_load(&source, DATASET_TRAIN, 2, 1, &set, &why), 0);
    assert_row(&set, 11, 22);
    dataset_release(&set);
    free(bytes);
}

static void test_dataset__resizes(void **state)
{
    uint8_t image[24], expected[9];
    struct cairn_problem why;
    struct dataset set;

    (void)state;
    source.resize = 3;
    assert_int_equal(dataset_load(&source, DATASET_TRAIN, 2, 1, &set, &why), 0);
    assert_int_equal(set.rows, 12);
    assert_int_equal(set.form.features, 9);
    for (size_t i = 0; i < set.rows; i++) {
        for (size_t p = 0; p < sizeof image; p++) {
            image[p] = pixel_of(11 + i, p);
        }
        resize_image(image, 4, 6, expected, 3);
        assert_memory_equal(set.pixels + 9 * i, expected, sizeof expected);
    }
    dataset_release(&set);
}

static void test_dataset__missing_file(void **state)
{
    (void)state;
    remove_file("train-labels-idx1-ubyte");
    assert_load_refused("train-labels-idx1-ubyte", "train-labels-idx1-ubyte.gz");
    source.dir = "/nonexistent";
    assert_load_refused("train-images-idx3-ubyte.gz", "/nonexistent");
}

static void test_dataset__counts_differ(void **state)
{
    (void)state;
    write_labels(folder, "train-labels-idx1-ubyte", 22);
    assert_load_refused("23 images", "22 labels");
}

static void test_dataset__label_out_of_range(void **state)
{
    size_t size;
    uint8_t *bytes = labels_bytes(23, &size);
    struct cairn_problem why;
    struct dataset set;

    (void)state;
    bytes[8 + 20] = 10;
    write_raw(folder, "train-labels-idx1-ubyte", bytes, size);
    assert_load_refused("label of row 20 is 10", "0..9");
    /* somebody else's rows count too: the file is one */
    assert_int_equal(dataset_load(&source, DATASET_TRAIN, 23, 0, &set, &why), CAIRN_ERR_DATA);
    source.classes = 11;
    assert_int_equal(dataset_load(&source, DATASET_TRAIN, 0, 0, &set, &why), 0);
    assert_int_equal(set.labels[20], 10);
    dataset_release(&set);
    source.classes = 5;
    assert_load_refused("label of row 5 is 5", "0..4");
    free(bytes);
}

static void test_dataset__more_clients_than_rows(void **state)
{
    struct cairn_problem why;
    struct dataset set;

    (void)state;
    assert_int_equal(dataset_load(&source, DATASET_TEST, 12, 0, &set, &why), CAIRN_ERR_DATA);
    assert_non_null(strstr(why.what, "12 clients"));
}

/* The first client does not need the last row, and yet says that the file is damaged. */
static void test_dataset__damage_behind_the_slice(void **state)
{
    size_t size;
    uint8_t *bytes = images_bytes(23, 4, 6, &size);
    struct cairn_problem why;
    struct dataset set;

    (void)state;
    write_gzip(folder, "train-images-idx3-ubyte", bytes, size - 1);
    assert_int_equal(dataset_load(&source, DATASET_TRAIN, 23, 0, &set, &why), CAIRN_ERR_DATA);
    assert_non_null(strstr(why.what, "cut off"));
    free(bytes);
}

static void test_dataset__absurd_options(void **state)
{
    (void)state;
    source.resize = 65536;
    assert_load_refused("65535", "");
    source.resize = 0;
    source.classes = 257;
    assert_load_refused("256", "");
}

static void test_dataset__pixels_to_floats(void **state)
{
    uint8_t bytes[256];
    float floats[256];

    (void)state;
    for (unsigned i = 0; i < 256; i++) {
        bytes[i] = (uint8_t)i;
    }
    dataset_pixels_to_floats(bytes, 256, floats);
    assert_true(floats[0] == 0.0f);
    assert_true(floats[255] == 1.0f);
    for (unsigned i = 1; i < 256; i++) {
        assert_true(floats[i] > floats[i - 1]);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(test_dataset__##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(facts),
        CASE(facts_refuse_other_test_images),
        CASE(slices_hold_every_row_once),
        CASE(gzip_under_either_name),
        CASE(resizes),
        CASE(missing_file),
        CASE(counts_differ),
        CASE(label_out_of_range),
        CASE(more_clients_than_rows),
        CASE(damage_behind_the_slice),
        CASE(absurd_options),
        CASE(pixels_to_floats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
