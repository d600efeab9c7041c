/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "le.h"
#include "npy.h"

/* A file's start as numpy would write it, with any dictionary. @return its length */
static size_t make(uint8_t *out, unsigned version, const char *dictionary)
{
    const size_t n = strlen(dictionary);
    const size_t prefix = version == 1 ? 10 : 12;
    memcpy(out, "\x93NUMPY", 6);
    out[6] = (uint8_t)version;
    out[7] = 0;
    if (version == 1) {
        le_put16(out + 8, (uint16_t)n);
    } else {
        le_put32(out + 8, (uint32_t)n);
    }
    memcpy(out + prefix, dictionary, n);
    return prefix + n;
}

static int parse(unsigned version, const char *dictionary, size_t elements, struct npy *out,
                 struct cairn_problem *why)
{
    uint8_t bytes[512] = {0};
    const size_t n = make(bytes, version, dictionary);
    return npy_parse((struct span){bytes, n}, n + 4 * elements, "x.npy", out, why);
}

static void test_npy__reads_what_numpy_writes(void **state)
{
    (void)state;
    static const struct {
        const char *dictionary; /* numpy 1.24: numpy.save of arrays of these shapes */
        unsigned n_dims;
        uint64_t dims[3];
        size_t elements;
    } good[] = {
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }      \n", 2, {2, 3}, 6},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (5,), }\n", 1, {5}, 5},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (), }\n", 0, {0}, 1},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 5), }\n", 2, {0, 5}, 0},
        {"{'shape': (1, 2, 3), 'descr': \"<f4\", 'fortran_order': False}", 3, {1, 2, 3}, 6},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (7,), }\n", 1, {7}, 7},
    };
    for (unsigned version = 1; version <= 3; version++) {
        for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
            struct npy npy = {0};
            struct cairn_problem why = {0};
            assert_int_equal(parse(version, good[i].dictionary, good[i].elements, &npy, &why), 0);
            assert_int_equal(npy.n_dims, good[i].n_dims);
            for (unsigned d = 0; d < npy.n_dims; d++) {
                assert_int_equal(npy.dims[d], good[i].dims[d]);
            }
            assert_int_equal(npy.data_at, (version == 1 ? 10 : 12) + strlen(good[i].dictionary));
        }
    }
}

static void test_npy__refuses_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *dictionary;
        const char *said;
    } bad[] = {
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (6,), }", "big-endian"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }", "<f8"},
        {"{'descr': '<f2', 'fortran_order': False, 'shape': (12,), }", "<f2"},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (6,), }", "<i4"},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (6,), }", "Python objects"},
        {"{'descr': 'O', 'fortran_order': False, 'shape': (6,), }", "Python objects"},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (6,), }", "structured"},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }", "Fortran"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 4), }", "takes 32 bytes"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (5,), }", "takes 20 bytes"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (6), }", "shape"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,621, 1), }", "bytes"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-6,), }", "shape"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", "shape"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296, 2), }",
         "multiply"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,6), }", "shape"},
        {"{'descr': '<f4', 'fortran_order': False, 'descr': '<f4', 'shape': (6,), }", "twice"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (6,), 'more': 1}", "unknown"},
        {"{'descr': '<f4', 'shape': (6,), }", "dictionary"},
        {"{'descr': '<f4', 'fortran_order': 0, 'shape': (6,), }", "fortran_order"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (6,), } x", "dictionary"},
        {"{'descr': '\\x3cf4', 'fortran_order': False, 'shape': (6,), }", "dtype"},
        {"{'descr", "dictionary"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct npy npy = {.n_dims = 99};
        struct cairn_problem why = {0};
        int rc = parse(1, bad[i].dictionary, 6, &npy, &why);
        if (rc != CAIRN_ERR_DATA || strstr(why.what, bad[i].said) == NULL) {
            print_error("%s: %d \"%s\"\n", bad[i].dictionary, rc, why.what);
        }
        assert_int_equal(rc, CAIRN_ERR_DATA);
        assert_non_null(strstr(why.what, bad[i].said));
        assert_int_equal(npy.n_dims, 99);
    }
}

/* Cut anywhere, nothing behind the end is looked at (the sanitizers would tell) or believed. */
static void test_npy__every_truncation_is_refused(void **state)
{
    (void)state;
    uint8_t bytes[256];
    struct npy npy;
    struct cairn_problem why;
    for (unsigned version = 1; version <= 2; version++) {
        const size_t n = make(
            bytes, version, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }  \n");
        for (size_t size = 0; size < n; size++) {
            uint8_t cut[256];
            memcpy(cut, bytes, size);
            assert_int_equal(npy_parse((struct span){cut, size}, size, "x.npy", &npy, &why),
                             CAIRN_ERR_DATA);
        }
    }
}

static void test_npy__unknown_version(void **state)
{
    (void)state;
    struct npy npy;
    struct cairn_problem why;
    assert_int_equal(parse(4, "{'descr': '<f4', 'fortran_order': False, 'shape': (6,), }", 6, &npy,
                           &why), CAIRN_ERR_DATA);
    assert_non_null(strstr(why.what, "version 4.0"));
}

/* The header that is written is 64-byte aligned, and reads back. */
static void test_npy__writes_what_it_reads(void **state)
{
    (void)state;
    static const uint64_t dims[NPY_MAX_DIMS] = {3, 1, 4, 1, 5, 9, 2, 6};
    for (unsigned n_dims = 0; n_dims <= NPY_MAX_DIMS; n_dims++) {
        struct buf out = {0};
        struct npy npy;
        uint64_t elements = 1;
        for (unsigned d = 0; d < n_dims; d++) {
            elements *= dims[d];
        }
        assert_int_equal(npy_header(dims, n_dims, &out), 0);
        assert_int_equal(out.size % 64, 0);
        assert_int_equal(out.data[out.size - 1], '\n');
        assert_int_equal(npy_parse(buf_span(&out), out.size + 4 * elements, "x", &npy, NULL), 0);
        assert_int_equal(npy.n_dims, n_dims);
        assert_memory_equal(npy.dims, dims, n_dims * sizeof dims[0]);
        buf_release(&out);
    }
}

/* Elements as numpy 1.24 lays them out: numpy.array([-2], '<i2').tobytes() and the like. */
static void test_npy__numbers(void **state)
{
    static const struct {
        const char *descr;
        enum npy_type type;
        size_t size;
        uint8_t bytes[8];
        double value;
    } good[] = {
        {"<f4", NPY_FLOAT32, 4, {0, 0, 0xc0, 0xbf}, -1.5},
        {"<f8", NPY_FLOAT64, 8, {0, 0, 0, 0, 0, 0, 0xf8, 0x3f}, 1.5},
        {"|u1", NPY_UINT8, 1, {255}, 255},
        {"|i1", NPY_INT8, 1, {255}, -1},
        {"<u2", NPY_UINT16, 2, {0xfe, 0xff}, 65534},
        {"<i2", NPY_INT16, 2, {0xfe, 0xff}, -2},
        {"<u4", NPY_UINT32, 4, {0xfe, 0xff, 0xff, 0xff}, 4294967294.0},
        {"<i4", NPY_INT32, 4, {0xfe, 0xff, 0xff, 0xff}, -2},
        {"<u8", NPY_UINT64, 8, {1, 0, 0, 0, 1, 0, 0, 0}, 4294967297.0},
        {"<i8", NPY_INT64, 8, {0xfd, 255, 255, 255, 255, 255, 255, 255}, -3},
    };
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        uint8_t bytes[512];
        char text[128];
        struct npy npy = {0};
        struct cairn_problem why = {0};
        (void)snprintf(text, sizeof text,
                       "{'descr': '%s', 'fortran_order': False, 'shape': (3,), }", good[i].descr);
        const size_t n = make(bytes, 1, text);
        const struct span start = {bytes, n};
        const uint64_t size = n + 3 * good[i].size;
        assert_int_equal(npy_parse_numbers(start, size, "x.npy", &npy, &why), 0);
        assert_int_equal(npy.type, good[i].type);
        assert_int_equal(npy_element_size(npy.type), good[i].size);
        assert_true(npy_element(npy.type, good[i].bytes) == good[i].value);
        assert_int_equal(npy_parse_numbers(start, size + 1, "x.npy", &npy, &why), CAIRN_ERR_DATA);
        assert_int_equal(npy_parse(start, size, "x.npy", &npy, &why),
                         good[i].type == NPY_FLOAT32 ? 0 : CAIRN_ERR_DATA);
    }
}

static void test_npy__what_is_no_number(void **state)
{
    static const char *const bad[] = {"|b1", "<c8", "<U3", "<M8[s]", "<f2", "|O", ">i8", "|S1", ""};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint8_t bytes[512];
        char text[128];
        struct npy npy;
        struct cairn_problem why = {0};
        (void)snprintf(text, sizeof text,
                       "{'descr': '%s', 'fortran_order': False, 'shape': (0,), }", bad[i]);
        const size_t n = make(bytes, 1, text);
        assert_int_equal(npy_parse_numbers((struct span){bytes, n}, n, "x.npy", &npy, &why),
                         CAIRN_ERR_DATA);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_npy__reads_what_numpy_writes),
        cmocka_unit_test(test_npy__refuses_by_name),
        cmocka_unit_test(test_npy__every_truncation_is_refused),
        cmocka_unit_test(test_npy__unknown_version),
        cmocka_unit_test(test_npy__writes_what_it_reads),
        cmocka_unit_test(test_npy__numbers),
        cmocka_unit_test(test_npy__what_is_no_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
