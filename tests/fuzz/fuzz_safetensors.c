/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader of safetensors, from bytes. Mode byte: bit 0 repairs the header's length, so that it
 * ends where the JSON does. What is accepted covers its data exactly, and its header, written
 * again, is accepted with the same tensors.
 */
#include <string.h>

#include "fuzz.h"
#include "le.h"
#include "safetensors.h"

enum { LENGTH_SIZE = 8 };

/* The header ends with the last brace. */
static void repair(uint8_t *bytes, size_t size)
{
    size_t end = size;
    while (end > LENGTH_SIZE && bytes[end - 1] != '}') {
        end--;
    }
    if (end > LENGTH_SIZE) {
        le_put64(bytes, end - LENGTH_SIZE);
    }
}

static void require_same(const struct model_tensor *a, const struct model_tensor *b, size_t n)
{
    for (size_t t = 0; t < n; t++) {
        FUZZ_REQUIRE(memcmp(&a[t], &b[t], sizeof a[t]) == 0);
    }
}

static void check_shape(const struct model_shape *shape, uint64_t data)
{
    const struct model_tensor **order = model_shape_order(shape);
    uint64_t at = 0;
    FUZZ_REQUIRE(order != NULL && shape->n_bytes == data);
    for (size_t t = 0; t < shape->n_tensors + shape->n_carried; t++) {
        FUZZ_REQUIRE(order[t]->place == t && order[t]->byte == at);
        at += order[t]->count * model_dtype_size(order[t]->dtype);
    }
    FUZZ_REQUIRE(at == data);
    free(order);
}

static void check_again(const struct model_shape *shape)
{
    struct buf header = {0};
    struct model_shape found = {0};
    if (model_shape_named(shape, "__metadata__") != NULL) {
        return;
    }
    FUZZ_REQUIRE(safetensors_header(shape, NULL, &header, NULL) == 0);
    FUZZ_REQUIRE(safetensors_parse_shape(buf_span(&header), header.size + shape->n_bytes, "x",
                                         &found, NULL) == 0);
    FUZZ_REQUIRE(found.n_tensors == shape->n_tensors && found.n_carried == shape->n_carried);
    require_same(found.tensors, shape->tensors, shape->n_tensors);
    require_same(found.carried, shape->carried, shape->n_carried);
    model_shape_release(&found);
    buf_release(&header);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct model_shape shape = {.n_params = 99};
    struct cairn_problem why = {0};
    if (size == 0) {
        return 0;
    }
    const bool repaired = (data[0] & 1) != 0;
    size--;
    uint8_t *bytes = malloc(size > 0 ? size : 1); /* of its own, so that reading beyond it is seen */
    FUZZ_REQUIRE(bytes);
    memcpy(bytes, data + 1, size);
    if (repaired && size >= LENGTH_SIZE) {
        repair(bytes, size);
    }
    const int error = safetensors_parse_shape((struct span){bytes, size}, size, "x", &shape, &why);
    if (error) {
        FUZZ_REQUIRE(error == CAIRN_ERR_DATA && why.code == error && why.what[0] != 0);
        FUZZ_REQUIRE(shape.n_params == 99 && shape.tensors == NULL);
    } else {
        check_shape(&shape, size - LENGTH_SIZE - le_get64(bytes));
        check_again(&shape);
        model_shape_release(&shape);
    }
    free(bytes);
    return 0;
}

size_t fuzz_seed_input(unsigned which, uint8_t *out, size_t capacity)
{
    static const struct {
        const char *header;
        size_t data;
    } seeds[] = {
        {"{\"w\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[0,8]}}", 8},
        {"{\"__metadata__\":{\"a\":\"b\"},\"h\":{\"dtype\":\"F16\",\"shape\":[3],"
         "\"data_offsets\":[0,6]},\"n\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[6,14]}}",
         14},
        {"{\"b\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[9,11]},\"m\":{\"dtype\":\"BOOL\","
         "\"shape\":[1],\"data_offsets\":[8,9]},\"d\":{\"dtype\":\"F64\",\"shape\":[1],"
         "\"data_offsets\":[0,8]},\"e\":{\"dtype\":\"U8\",\"shape\":[0,4],\"data_offsets\":[8,8]}}",
         11},
        {"{}", 0},
    };
    enum { SEEDS = sizeof seeds / sizeof seeds[0] };
    if (which >= 2 * SEEDS) {
        return 0;
    }
    const char *header = seeds[which % SEEDS].header;
    const size_t length = strlen(header), data = seeds[which % SEEDS].data;
    const size_t size = 1 + LENGTH_SIZE + length + data;
    FUZZ_REQUIRE(size <= capacity);
    memset(out, 0, size);
    out[0] = which >= SEEDS;
    le_put64(out + 1, length);
    memcpy(out + 1 + LENGTH_SIZE, header, length);
    return size;
}
