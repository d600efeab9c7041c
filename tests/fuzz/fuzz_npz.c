/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Models in NumPy's formats. Mode byte: bit 0 makes an archive of the rest, with good sizes and checksums: up to
 * four members, each a byte with its name's length and bit 7 for deflate, two with its content's, name, content; else
 * the rest is the file. What is accepted is a safetensors file of just these tensors and bytes.
 */
#include <string.h>

#include "fuzz.h"
#include "made_zip.h"
#include "memory_file.h"
#include "model_file.h"
#include "npz.h"

enum { MAKE = 1, DEFLATE = 128, NAME = 31, PREFIX = 3, MEMBERS = 4 };

struct archive {
    struct made_member members[MEMBERS];
    const uint8_t *plain[MEMBERS]; /* what is in them */
    char names[MEMBERS][NAME + 1];
    size_t n;
};

static void archive_release(struct archive *a)
{
    for (size_t i = 0; i < a->n; i++) {
        if (a->members[i].method == 8) {
            free((void *)(uintptr_t)a->members[i].bytes);
        }
    }
}

static void cut_members(const uint8_t *data, size_t size, struct archive *a)
{
    for (a->n = 0; a->n < MEMBERS && size > PREFIX; a->n++) {
        struct made_member *m = &a->members[a->n];
        const size_t left = size - PREFIX, name = data[0] & NAME;
        const size_t name_size = name < left ? name : left;
        const size_t content = le_get16(data + 1), rest = left - name_size;
        const uint8_t *bytes = data + PREFIX + name_size;
        memcpy(a->names[a->n], data + PREFIX, name_size);
        *m = made_stored(a->names[a->n], bytes, content < rest ? content : rest);
        m->name_size = name_size;
        a->plain[a->n] = bytes;
        const bool packed = (data[0] & DEFLATE) != 0;
        data = bytes + m->size;
        size = rest - m->size;
        if (packed) {
            uint8_t *out = malloc(memory_pack_room(m->size));
            FUZZ_REQUIRE(out);
            m->packed = memory_pack(bytes, m->size, -15, out);
            m->bytes = out;
            m->method = 8;
        }
    }
}

/* The tensors are the members' last bytes, in their order. */
static void require_members(const struct archive *a, const struct input *in,
                            const struct model_shape *shape)
{
    const struct model_tensor **order = model_shape_order(shape);
    FUZZ_REQUIRE(order && shape->n_tensors + shape->n_carried == a->n);
    for (size_t i = 0; i < a->n; i++) {
        const size_t size = order[i]->count * model_dtype_size(order[i]->dtype);
        uint8_t *there = malloc(size + 1); /* never of size 0 */
        FUZZ_REQUIRE(there && size < a->members[i].size);
        FUZZ_REQUIRE(input_read(in, in->size - shape->n_bytes + order[i]->byte, there, size, NULL) == 0);
        FUZZ_REQUIRE(memcmp(there, a->plain[i] + a->members[i].size - size, size) == 0);
        const size_t length = strlen(order[i]->name);
        FUZZ_REQUIRE(a->members[i].name_size == length + 4);
        FUZZ_REQUIRE(memcmp(a->names[i], order[i]->name, length) == 0 &&
                     memcmp(a->names[i] + length, ".npy", 4) == 0);
        free(there);
    }
    free(order);
}

/* @param a  what the file was made of; NULL: it was not made */
static void check_file(const char *path, const struct archive *a, bool numpy)
{
    struct input in;
    struct safetensors_file file;
    struct cairn_problem why = {0};
    int error = model_input_open(&in, path, NULL, &why);
    if (!error) {
        error = safetensors_open_input(&file, &in, NULL, 0, &why);
        FUZZ_REQUIRE(!numpy || !error); /* what was converted is never refused */
        if (!error && a != NULL) {
            require_members(a, &in, &file.found);
        }
        if (!error) {
            safetensors_close(&file);
        }
        input_close(&in);
    }
    if (error) {
        FUZZ_REQUIRE(error == CAIRN_ERR_DATA && why.code == error);
        FUZZ_REQUIRE(strstr(why.what, path) != NULL && why.hint[0] != 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    if (!(data[0] & MAKE)) {
        const struct span file = {data + 1, size - 1};
        check_file(memory_file(0, file.data, file.size), NULL, npy_begins(file) || npz_begins(file));
        return 0;
    }
    struct archive a = {0};
    cut_members(data + 1, size - 1, &a);
    const size_t zip_size = made_zip_size(a.members, a.n);
    uint8_t *zip = malloc(zip_size);
    FUZZ_REQUIRE(zip);
    made_zip(a.members, a.n, zip);
    check_file(memory_file(0, zip, zip_size), &a, true);
    archive_release(&a);
    free(zip);
    return 0;
}

/* ---- seeds ---- */

static size_t put_array(const char *descr, const char *shape, size_t elements, uint8_t *out)
{
    const int length = snprintf((char *)out + 10, 128, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }\n",
                                descr, shape);
    FUZZ_REQUIRE(length > 0 && length < 128);
    memcpy(out, "\x93NUMPY\x01", 8);
    le_put16(out + 8, (uint16_t)length);
    for (size_t i = 0; i < elements; i++) {
        out[10 + (size_t)length + i] = (uint8_t)(i & 1);
    }
    return 10 + (size_t)length + elements;
}

/* @return bytes of a member for mode MAKE */
static size_t put_member(const char *name, bool packed, const uint8_t *array, size_t size, uint8_t *out)
{
    const size_t name_size = strlen(name);
    out[0] = (uint8_t)(name_size | (packed ? DEFLATE : 0));
    le_put16(out + 1, (uint16_t)size);
    memcpy(out + PREFIX, name, name_size);
    memcpy(out + PREFIX + name_size, array, size);
    return PREFIX + name_size + size;
}

size_t fuzz_seed_input(unsigned which, uint8_t *out, size_t capacity)
{
    static const struct {
        const char *descr, *shape;
        size_t size;
    } arrays[] = {{"<f4", "(2, 3)", 24}, {"<i8", "()", 8}, {"|b1", "(3,)", 3}, {"<f2", "(0, 2)", 0}};
    enum { ARRAYS = sizeof arrays / sizeof arrays[0] };
    uint8_t array[256], *to = out + 1;
    FUZZ_REQUIRE(capacity >= 4096);
    out[0] = which < 3 ? MAKE : 0;
    if (which == 7) { /* a .npy file */
        return 1 + put_array("<f8", "(1,)", 8, to);
    }
    if (which > 7) {
        return 0;
    }
    for (unsigned i = 0; i <= which % 3 && i < ARRAYS; i++) {
        const unsigned k = (which + i) % ARRAYS;
        const char name[] = {'a', (char)('0' + k), '.', 'n', 'p', 'y', 0};
        const size_t size = put_array(arrays[k].descr, arrays[k].shape, arrays[k].size, array);
        to += put_member(name, k % 2 == 1, array, size, to);
    }
    if (which < 3) {
        return (size_t)(to - out);
    }
    struct archive a = {0};
    uint8_t zip[2048];
    cut_members(out + 1, (size_t)(to - out) - 1, &a);
    const size_t size = made_zip_size(a.members, a.n);
    FUZZ_REQUIRE(size <= sizeof zip);
    made_zip(a.members, a.n, zip);
    memcpy(out + 1, zip, size);
    archive_release(&a);
    return 1 + size;
}
