/* SPDX-License-Identifier: Apache-2.0 */
/* One data set in three formats, and what each refuses. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>

#include "buf.h"
#include "dataset.h"
#include "idx_files.h"
#include "le.h"

enum { ROWS = 23, HEIGHT = 4, WIDTH = 6, FEATURES = HEIGHT * WIDTH };

static char folder[64];
static struct dataset_source source;

static int setup(void **state)
{
    (void)state;
    make_folder(folder);
    source = (struct dataset_source){.dir = folder};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

static void append(struct buf *out, const void *bytes, size_t size)
{
    assert_int_equal(buf_append(out, bytes, size), 0);
}

/* ---- writing ---- */

/* An array as numpy.save writes it. */
static void write_npy(const char *name, const char *descr, const char *shape, const void *elements,
                      size_t size)
{
    struct buf out = {0};
    char header[192];
    uint8_t length[2];
    const int n = snprintf(header, sizeof header,
                           "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }\n", descr,
                           shape);

    le_put16(length, (uint16_t)n);
    append(&out, "\x93NUMPY\x01", 8);
    append(&out, length, 2);
    append(&out, header, (size_t)n);
    append(&out, elements, size);
    write_raw(folder, name, out.data, out.size);
    buf_release(&out);
}

/* The rows of idx_files.h, as pixels or as what pixels become. */
static void write_arrays(const char *part, bool pixels)
{
    static uint8_t bytes[ROWS * FEATURES];
    static float floats[ROWS * FEATURES];
    char name[64];
    int64_t labels[ROWS];

    for (size_t i = 0; i < ROWS; i++) {
        for (size_t p = 0; p < FEATURES; p++) {
            bytes[i * FEATURES + p] = pixel_of(i, p);
        }
        labels[i] = (int64_t)(i % 10);
    }
    dataset_pixels_to_floats(bytes, sizeof bytes, floats);
    (void)snprintf(name, sizeof name, "%s-features.npy", part);
    if (pixels) {
        write_npy(name, "|u1", "23, 4, 6", bytes, sizeof bytes);
    } else {
        write_npy(name, "<f4", "23, 24", floats, sizeof floats);
    }
    (void)snprintf(name, sizeof name, "%s-labels.npy", part);
    write_npy(name, "<i8", "23,", labels, sizeof labels);
}

/* The same as text, with as many digits as a float needs, the label in the middle. */
static void write_csv(const char *name, const char *label)
{
    struct buf out = {0};
    const char *text;

    for (size_t i = 0; i <= ROWS; i++) {
        for (size_t p = 0; p < FEATURES; p++) {
            uint8_t pixel = i > 0 ? pixel_of(i - 1, p) : 0;
            float value;
            dataset_pixels_to_floats(&pixel, 1, &value);
            if (p == 7) {
                assert_int_equal(i > 0 ? buf_printf(&out, "%zu,", (i - 1) % 10)
                                       : buf_printf(&out, "%s,", label), 0);
            }
            assert_int_equal(i > 0 ? buf_printf(&out, "%.9g", (double)value)
                                   : buf_printf(&out, "p%zu", p), 0);
            append(&out, p + 1 < FEATURES ? "," : "\n", 1);
        }
    }
    text = buf_text(&out);
    write_raw(folder, name, text, out.size);
    buf_release(&out);
}

static void write_text(const char *name, const char *text)
{
    write_raw(folder, name, text, strlen(text));
}

/* ---- reading ---- */

static struct dataset must_load(enum dataset_part part, uint32_t clients, uint32_t index)
{
    struct dataset set = {0};
    struct cairn_problem why = {0};

    if (dataset_load(&source, part, clients, index, &set, &why)) {
        fail_msg("%s", why.what);
    }
    return set;
}

static void assert_refused(enum dataset_part part, const char *a, const char *b)
{
    struct dataset set = {0};
    struct cairn_problem why = {0};

    assert_int_equal(dataset_load(&source, part, 0, 0, &set, &why), CAIRN_ERR_DATA);
    if (!strstr(why.what, a) || !strstr(why.what, b)) {
        fail_msg("\"%s\" names neither or one of \"%s\", \"%s\"", why.what, a, b);
    }
}

static void forget_files(void)
{
    remove_folder(folder);
    make_folder(folder);
    source.dir = folder;
}

/* Every format, every way of sharing: the same rows as floats, bit for bit, and labels, and
 * fingerprint. */
static void test_formats__same_rows_in_all(void **state)
{
    enum { CLIENTS = 3 };

    (void)state;
    for (enum partition_kind kind = PARTITION_CONTIGUOUS; kind <= PARTITION_SHARDS; kind++) {
        struct dataset first[CLIENTS];
        source.partition = (struct partition_rule){kind, 1, 1, 1, 2};
        for (int format = 0; format < 4; format++) {
            forget_files();
            if (format == 0) {
                write_data_set(folder, ROWS, ROWS, HEIGHT, WIDTH);
            } else if (format == 1) {
                write_csv("train.csv", "label");
            } else {
                write_arrays("train", format == 2);
            }
            for (uint32_t k = 0; k < CLIENTS; k++) {
                struct dataset set = must_load(DATASET_TRAIN, CLIENTS, k);
                float expected[FEATURES], row[FEATURES];

                if (format == 0) {
                    first[k] = set;
                    continue;
                }
                assert_int_equal(set.rows, first[k].rows);
                assert_int_equal(set.form.height, format == 2 ? HEIGHT : 0);
                assert_string_equal(set.fingerprint, first[k].fingerprint);
                assert_memory_equal(set.labels, first[k].labels, set.rows);
                for (size_t i = 0; i < set.rows; i++) {
                    dataset_row(&first[k], i, expected);
                    dataset_row(&set, i, row);
                    assert_memory_equal(row, expected, sizeof row);
                }
                dataset_release(&set);
            }
        }
        for (uint32_t k = 0; k < CLIENTS; k++) {
            dataset_release(&first[k]);
        }
    }
}

/* What dataset_shares says is what dataset_load gives. */
static void test_formats__shares(void **state)
{
    enum { CLIENTS = 4 };
    struct dataset_share shares[CLIENTS];
    size_t counts[CLIENTS][10];
    struct cairn_problem why = {0};

    (void)state;
    write_csv("train.csv", "label");
    source.partition = (struct partition_rule){.kind = PARTITION_DIRICHLET, .seed = 3, .alpha = 0.5};
    assert_int_equal(dataset_shares(&source, CLIENTS, shares, counts[0], &why), 0);
    for (uint32_t k = 0; k < CLIENTS; k++) {
        struct dataset set = must_load(DATASET_TRAIN, CLIENTS, k);
        size_t found[10] = {0};

        for (size_t i = 0; i < set.rows; i++) {
            found[set.labels[i]]++;
        }
        assert_int_equal(set.rows, shares[k].rows);
        assert_string_equal(set.fingerprint, shares[k].fingerprint);
        assert_memory_equal(found, counts[k], sizeof found);
        dataset_release(&set);
    }
}

/* However training rows are shared out: whoever evaluates has a slice of the test file. */
static void test_formats__test_rows_are_slices(void **state)
{
    (void)state;
    write_csv("test.csv", "label");
    source.partition = (struct partition_rule){.kind = PARTITION_SHARDS, .shards_per_client = 2};
    for (uint32_t k = 0, row = 0; k < 4; k++) {
        struct dataset set = must_load(DATASET_TEST, 4, k);
        for (size_t i = 0; i < set.rows; i++) {
            assert_int_equal(set.labels[i], row++ % 10);
        }
        dataset_release(&set);
    }
}

/* Longer than what is turned into numbers at once. */
static void test_formats__npy_of_wide_rows(void **state)
{
    enum { WIDE = 10000 };
    static double x[2 * WIDE];
    static const uint8_t y[] = {0, 1};
    struct dataset set;

    (void)state;
    for (size_t i = 0; i < 2 * WIDE; i++) {
        x[i] = (double)i;
    }
    write_npy("train-features.npy", "<f8", "2, 10000", x, sizeof x);
    write_npy("train-labels.npy", "|u1", "2,", y, 2);
    set = must_load(DATASET_TRAIN, 2, 1);
    for (size_t i = 0; i < WIDE; i++) {
        assert_true(set.values[i] == (float)(WIDE + i));
    }
    dataset_release(&set);
}

static void test_formats__numbers_as_labels(void **state)
{
    struct dataset set;

    (void)state;
    source.numbers = true;
    source.classes = 1;
    source.label = "y";
    write_text("train.csv", "y,x\n-1.5,1\n2e3,2\n");
    set = must_load(DATASET_TRAIN, 0, 0);
    assert_null(set.labels);
    assert_true(set.targets[0] == -1.5f && set.targets[1] == 2000.0f);
    assert_true(set.values[1] == 2.0f);
    dataset_release(&set);
}

static void test_formats__csv_labels(void **state)
{
    (void)state;
    write_text("train.csv", "x,label\n1,0\n2,1.5\n");
    assert_refused(DATASET_TRAIN, "train.csv:3: the label is 1.5", "whole number, 0..9");
    write_text("train.csv", "x,label\n1,0\n2,3\n3,-1\n");
    assert_refused(DATASET_TRAIN, "train.csv:4: the label is -1", "0..9");
    write_text("train.csv", "x,label\n1,10\n");
    assert_refused(DATASET_TRAIN, "train.csv:2: the label is 10", "0..9");
    write_text("train.csv", "x,label\n1,\n");
    assert_refused(DATASET_TRAIN, "train.csv:2: ", "no value for \"label\"");
    write_text("train.csv", "x,y\n1,1\n");
    assert_refused(DATASET_TRAIN, "no column is named \"label\"", "from \"x\" to \"y\"");
    write_text("train.csv", "label\n1\n");
    assert_refused(DATASET_TRAIN, "a label and nothing else", "");
    write_text("train.csv", "x,x,label\n1,1,1\n");
    assert_refused(DATASET_TRAIN, "train.csv:1: ", "two columns are named \"x\"");
    write_text("train.csv", "x,,label\n1,1,1\n");
    assert_refused(DATASET_TRAIN, "train.csv:1: ", "without a name");
    write_text("train.csv", "x,label\n");
    assert_refused(DATASET_TRAIN, "no rows", "");
    write_text("train.csv", "x,label\n1e39,1\n");
    assert_refused(DATASET_TRAIN, "train.csv:2: ", "float32");
}

/* Damage far behind the rows that are wanted counts, too. */
static void test_formats__csv_is_checked_to_its_end(void **state)
{
    struct dataset set = {0};
    struct cairn_problem why = {0};

    (void)state;
    write_text("train.csv", "x,label\n1,0\n2,1\n3,2\n4\n");
    assert_int_equal(dataset_load(&source, DATASET_TRAIN, 3, 0, &set, &why), CAIRN_ERR_DATA);
    assert_non_null(strstr(why.what, "train.csv:5: 1 fields"));
}

static void test_formats__npy_refused(void **state)
{
    static const float x[] = {1, 2, 3, 4, 5, 6};
    static const float holes[] = {0, 1.5f, 2}, nan_[] = {0, 1, NAN};
    static const uint8_t y[] = {0, 1, 2};

    (void)state;
    write_npy("train-labels.npy", "|u1", "3,", y, 3);
    write_npy("train-features.npy", "|O", "3, 2", x, sizeof x);
    assert_refused(DATASET_TRAIN, "train-features.npy", "Python objects");
    write_npy("train-features.npy", "<c8", "3, 1", x, sizeof x);
    assert_refused(DATASET_TRAIN, "train-features.npy",
                   "its dtype is <c8; float32, float64 or whole numbers are needed");
    write_npy("train-features.npy", "<f4", "6,", x, sizeof x);
    assert_refused(DATASET_TRAIN, "train-features.npy has 1 dimensions", "");
    write_npy("train-features.npy", "<f4", "2, 3", x, sizeof x);
    assert_refused(DATASET_TRAIN, "has 2 rows", "3 labels");
    write_npy("train-features.npy", "<f4", "3, 3", x, sizeof x);
    assert_refused(DATASET_TRAIN, "train-features.npy", "36 bytes");
    write_npy("train-features.npy", "<f4", "3, 2", x, sizeof x);
    write_npy("train-labels.npy", "<f4", "3,", holes, sizeof holes);
    assert_refused(DATASET_TRAIN, "train-labels.npy: the label of row 1 is 1.5", "whole numbers");
    write_npy("train-labels.npy", "<f4", "3,", nan_, sizeof nan_);
    assert_refused(DATASET_TRAIN, "train-labels.npy: the label of row 2", "no finite");
    write_npy("train-labels.npy", "|u1", "3, 1", y, 3);
    assert_refused(DATASET_TRAIN, "train-labels.npy has 2 dimensions", "");
    write_npy("train-labels.npy", "|u1", "3,", y, 3);
    write_npy("train-features.npy", "<f4", "3, 1", nan_, sizeof nan_);
    assert_refused(DATASET_TRAIN, "train-features.npy: feature 0 of row 2", "no finite");
}

static void test_formats__npy_fortran_order(void **state)
{
    static const char file[] = "\x93NUMPY\x01\0\x40\0{'descr': '<f4', 'fortran_order': True, "
                               "'shape': (1, 2), }       \n12345678";
    static const uint8_t y[] = {0};

    (void)state;
    write_raw(folder, "train-features.npy", file, sizeof file - 1);
    write_npy("train-labels.npy", "|u1", "1,", y, 1);
    assert_refused(DATASET_TRAIN, "train-features.npy", "Fortran order");
}

static void test_formats__ambiguous_or_missing(void **state)
{
    (void)state;
    write_data_set(folder, ROWS, ROWS, HEIGHT, WIDTH);
    write_text("train.csv", "x,label\n1,1\n");
    assert_refused(DATASET_TRAIN, "train-images-idx3-ubyte and train.csv", "which is meant");
    forget_files();
    write_arrays("train", true);
    source.resize = 3;
    assert_refused(DATASET_TRAIN, "data.resize", "train-features.npy");
    source.resize = 0;
    assert_refused(DATASET_TEST, "t10k-images-idx3-ubyte", folder);
    write_raw(folder, "test-labels.npy", "x", 1);
    assert_refused(DATASET_TEST, "test-features.npy is not in", folder);
}

static void assert_facts_refused(const char *words)
{
    struct dataset_facts facts;
    struct cairn_problem why = {0};

    assert_int_equal(dataset_facts_read(&source, &facts, &why), CAIRN_ERR_DATA);
    if (!strstr(why.what, words)) {
        fail_msg("\"%s\" does not name \"%s\"", why.what, words);
    }
}

static void test_formats__parts_that_do_not_match(void **state)
{
    (void)state;
    write_text("train.csv", "a,b,label\n1,2,1\n");
    write_text("test.csv", "b,a,label\n1,2,1\n");
    assert_facts_refused("name other columns");
    write_text("test.csv", "a,label\n1,1\n");
    assert_facts_refused("training rows have 2 features, test rows 1");
    forget_files();
    write_arrays("train", true);
    write_arrays("test", false);
    assert_facts_refused("training images are 4 x 6, test images are 0 x 0");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(test_formats__##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(same_rows_in_all),
        CASE(shares),
        CASE(test_rows_are_slices),
        CASE(npy_of_wide_rows),
        CASE(numbers_as_labels),
        CASE(csv_labels),
        CASE(csv_is_checked_to_its_end),
        CASE(npy_refused),
        CASE(npy_fortran_order),
        CASE(ambiguous_or_missing),
        CASE(parts_that_do_not_match),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
