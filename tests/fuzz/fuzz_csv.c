/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows from CSV. Mode byte: bit 0 packs the rest by gzip first. What is accepted is a table of finite numbers:
 * written again with its values in full it is accepted with the same ones, packed it is the same
 * table, and some of its rows are what they are among all.
 */
#include <math.h>
#include <string.h>

#include "buf.h"
#include "fuzz.h"
#include "memory_file.h"
#include "row_file.h"

enum { PACKED = 1 };

struct table {
    size_t rows, features;
    uint8_t names[DIGEST_SIZE];
    double *labels;
    float *values; /* (rows, features) */
};

static void table_release(struct table *t)
{
    free(t->labels);
    free(t->values);
    *t = (struct table){0};
}

static void require_typed(int error, const struct cairn_problem *why, const char *path)
{
    FUZZ_REQUIRE(error == CAIRN_ERR_DATA && why->code == error);
    FUZZ_REQUIRE(strstr(why->what, path) != NULL && why->hint[0] != 0);
}

static int read_table(const char *path, struct table *t)
{
    const struct dataset_source source = {.dir = "", .label = "y"};
    struct row_file file = {.format = &row_format_csv};
    struct cairn_problem why = {0};
    (void)snprintf(file.features_path, sizeof file.features_path, "%s", path);
    const int error = file.format->open(&file, &source, &why);
    if (!error) { /* all of it has been read, so nothing can be wrong any more */
        const size_t n = file.rows;
        *t = (struct table){.rows = n, .features = file.form.features};
        memcpy(t->names, file.form.names, sizeof t->names);
        FUZZ_REQUIRE(n > 0 && t->features > 0 && !file.form.bytes);
        t->labels = malloc(n * sizeof *t->labels);
        t->values = malloc(n * t->features * sizeof *t->values);
        uint32_t *all = malloc(n * sizeof *all);
        FUZZ_REQUIRE(t->labels && t->values && all);
        for (size_t i = 0; i < n; i++) {
            all[i] = (uint32_t)i;
        }
        FUZZ_REQUIRE(file.format->labels(&file, t->labels, &why) == 0);
        FUZZ_REQUIRE(file.format->read(&file, all, n, t->values, &why) == 0);
        free(all);
    }
    file.format->close(&file);
    if (error) {
        require_typed(error, &why, path);
    }
    return error;
}

static void require_finite(const struct table *t)
{
    for (size_t i = 0; i < t->rows; i++) {
        FUZZ_REQUIRE(isfinite(t->labels[i]));
    }
    for (size_t i = 0; i < t->rows * t->features; i++) {
        FUZZ_REQUIRE(isfinite(t->values[i]));
    }
}

static void require_same(const struct table *a, const struct table *b)
{
    FUZZ_REQUIRE(a->rows == b->rows && a->features == b->features);
    for (size_t i = 0; i < a->rows; i++) {
        FUZZ_REQUIRE(a->labels[i] == b->labels[i]);
    }
    for (size_t i = 0; i < a->rows * a->features; i++) {
        FUZZ_REQUIRE(a->values[i] == b->values[i]);
    }
}

/* 17 digits tell every double, 9 every float (IEEE 754-2019, 5.12.2). */
static void check_again(const struct table *t)
{
    struct buf text = {0};
    struct table again = {0};
    FUZZ_REQUIRE(buf_printf(&text, "y") == 0);
    for (size_t c = 0; c < t->features; c++) {
        FUZZ_REQUIRE(buf_printf(&text, ",\"x\"\"%zu\"", c) == 0);
    }
    for (size_t i = 0; i < t->rows; i++) {
        FUZZ_REQUIRE(buf_printf(&text, "\r\n%.17g", t->labels[i]) == 0);
        for (size_t c = 0; c < t->features; c++) {
            FUZZ_REQUIRE(buf_printf(&text, ", \"%.9g\"", (double)t->values[i * t->features + c]) == 0);
        }
    }
    FUZZ_REQUIRE(read_table(memory_file(0, text.data, text.size), &again) == 0);
    require_same(t, &again);
    table_release(&again);
    buf_release(&text);
}

/* Every second row. */
static void check_some(const struct table *t, const char *path)
{
    const struct dataset_source source = {.dir = "", .label = "y"};
    struct row_file file = {.format = &row_format_csv};
    const size_t n = (t->rows + 1) / 2, size = t->features * sizeof *t->values;
    uint32_t *some = malloc(n * sizeof *some);
    float *values = malloc(n * size);
    FUZZ_REQUIRE(some && values);
    for (size_t i = 0; i < n; i++) {
        some[i] = (uint32_t)(2 * i);
    }
    (void)snprintf(file.features_path, sizeof file.features_path, "%s", path);
    FUZZ_REQUIRE(file.format->open(&file, &source, NULL) == 0);
    FUZZ_REQUIRE(file.format->read(&file, some, n, values, NULL) == 0);
    file.format->close(&file);
    for (size_t i = 0; i < n; i++) {
        FUZZ_REQUIRE(memcmp(values + i * t->features, t->values + 2 * i * t->features, size) == 0);
    }
    free(some);
    free(values);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct table table = {0}, other = {0};
    if (size == 0) {
        return 0;
    }
    const bool packed = (data[0] & PACKED) != 0;
    const bool gzip = size >= 3 && data[1] == 0x1f && data[2] == 0x8b;
    const char *path = packed ? memory_file_packed(0, data + 1, size - 1)
                              : memory_file(0, data + 1, size - 1);
    if (read_table(path, &table) != 0) {
        return 0;
    }
    require_finite(&table);
    check_some(&table, path);
    if (!gzip) { /* gzip within gzip is no text */
        path = packed ? memory_file(0, data + 1, size - 1)
                      : memory_file_packed(0, data + 1, size - 1);
        FUZZ_REQUIRE(read_table(path, &other) == 0);
        require_same(&table, &other);
        FUZZ_REQUIRE(memcmp(table.names, other.names, sizeof table.names) == 0);
        table_release(&other);
    }
    check_again(&table);
    table_release(&table);
    return 0;
}

size_t fuzz_seed_input(unsigned which, uint8_t *out, size_t capacity)
{
    static const char *const seeds[] = {
        "a,y,b\n1,2,3\n",
        "\xef\xbb\xbfy,\"a \"\"b\"\"\"\r\n\"1\", -2.5e-3 \r\n+0.5,.25\r\n4,5.",
        "x,y\n1,\n",
        "x,y\n1,2,3\n",
        "x,y\n\"1,2\n",
        "x,y\n\n1,2\n",
        "x,y\n1e39,2\nnan,0x10\n",
        "<html>\n",
        "x,y\n1,1e308\n1e-46,1e-320\n",
    };
    enum { SEEDS = sizeof seeds / sizeof seeds[0] };
    if (which == 2 * SEEDS) { /* so that a gzip file's own bytes are changed, too */
        out[0] = 0;
        return 1 + memory_pack((const uint8_t *)seeds[3], strlen(seeds[3]), 15 + 16, out + 1);
    }
    if (which > 2 * SEEDS) {
        return 0;
    }
    const size_t length = strlen(seeds[which % SEEDS]);
    FUZZ_REQUIRE(length + 1 <= capacity);
    out[0] = which >= SEEDS;
    memcpy(out + 1, seeds[which % SEEDS], length);
    return length + 1;
}
