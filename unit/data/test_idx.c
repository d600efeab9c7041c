/* SPDX-License-Identifier: Apache-2.0 */
/* IDX files that are what they should be, and every way in which they are something else. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <sys/stat.h>

#include "idx.h"
#include "idx_files.h"

static char folder[64];

static int setup(void **state)
{
    (void)state;
    make_folder(folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

/* Open the file, read it to its end. */
static int read_through(const char *name, enum idx_kind kind, struct cairn_problem *why)
{
    struct idx_reader *reader = NULL;
    char path[512];
    int err;

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    memset(why, 0, sizeof *why);
    err = idx_open(path, kind, &reader, why);
    if (!err) {
        err = idx_finish(reader, why);
        idx_close(reader);
    } else {
        assert_null(reader);
    }
    return err;
}

/* The file is refused, and the sentence has these words in it. */
static void assert_refused(const char *name, enum idx_kind kind, const char *a, const char *b)
{
    struct cairn_problem why;

    assert_int_equal(read_through(name, kind, &why), CAIRN_ERR_DATA);
    if (!strstr(why.what, a) || !strstr(why.what, b)) {
        fail_msg("\"%s\" names neither or one of \"%s\", \"%s\"", why.what, a, b);
    }
    assert_true(why.hint[0] != '\0');
}

static void assert_bytes_refused(const void *bytes, size_t size, const char *a, const char *b)
{
    write_raw(folder, "f", bytes, size);
    assert_refused("f", IDX_IMAGES, a, b);
}

static void test_idx__reads_rows(void **state)
{
    struct idx_reader *reader;
    struct cairn_problem why;
    char path[512];
    uint8_t row[6];

    (void)state;
    write_images(folder, "f", 5, 2, 3);
    (void)snprintf(path, sizeof path, "%s/f", folder);
    assert_int_equal(idx_open(path, IDX_IMAGES, &reader, &why), 0);
    assert_int_equal(idx_header(reader)->rows, 5);
    assert_int_equal(idx_header(reader)->height, 2);
    assert_int_equal(idx_header(reader)->width, 3);
    assert_int_equal(idx_skip(reader, 3, &why), 0);
    assert_int_equal(idx_read(reader, row, 1, &why), 0);
    for (size_t p = 0; p < sizeof row; p++) {
        assert_int_equal(row[p], pixel_of(3, p));
    }
    assert_int_equal(idx_read(reader, row, 2, &why), CAIRN_ERR_BUG);
    assert_int_equal(idx_finish(reader, &why), 0);
    idx_close(reader);
}

static void test_idx__tells_gzip_by_content(void **state)
{
    struct cairn_problem why;
    size_t size;
    uint8_t *bytes = images_bytes(300, 28, 28, &size); /* several buffers of input */

    (void)state;
    write_raw(folder, "raw", bytes, size);
    write_raw(folder, "raw.gz", bytes, size);
    write_gzip(folder, "packed", bytes, size);
    write_gzip(folder, "packed.gz", bytes, size);
    assert_int_equal(read_through("raw", IDX_IMAGES, &why), 0);
    assert_int_equal(read_through("raw.gz", IDX_IMAGES, &why), 0);
    assert_int_equal(read_through("packed", IDX_IMAGES, &why), 0);
    assert_int_equal(read_through("packed.gz", IDX_IMAGES, &why), 0);
    free(bytes);
}

/* Read a whole file made here. */
static uint8_t *slurp(const char *name, size_t *size)
{
    uint8_t *bytes = malloc(1 << 20);
    char path[512];
    FILE *file;

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "rb");
    assert_non_null(file);
    *size = fread(bytes, 1, 1 << 20, file);
    (void)fclose(file);
    return bytes;
}

static void test_idx__gzip_of_several_members(void **state)
{
    struct cairn_problem why;
    size_t size, first_size, second_size;
    uint8_t *bytes = images_bytes(300, 28, 28, &size);
    uint8_t *first, *second;

    (void)state;
    write_gzip(folder, "1", bytes, size / 3);
    write_gzip(folder, "2", bytes + size / 3, size - size / 3);
    first = slurp("1", &first_size);
    second = slurp("2", &second_size);
    memcpy(first + first_size, second, second_size);
    write_raw(folder, "both", first, first_size + second_size);
    assert_int_equal(read_through("both", IDX_IMAGES, &why), 0);
    free(bytes);
    free(first);
    free(second);
}

/* A gzip member of exactly `size` bytes: its header is filled up with an extra field. */
static void padded_member(const uint8_t *bytes, size_t n, uint8_t *out, size_t size)
{
    uint8_t *padding = calloc(1, size);
    gz_header header = {.extra = padding};

    for (int pass = 0; pass < 2; pass++) { /* first measure with an empty field, then fill it */
        z_stream z = {.next_in = (z_const Bytef *)bytes, .avail_in = (uInt)n, .next_out = out,
                      .avail_out = (uInt)size};
        assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY), Z_OK);
        assert_int_equal(deflateSetHeader(&z, &header), Z_OK);
        assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
        header.extra_len = (uInt)(size - z.total_out);
        assert_int_equal(deflateEnd(&z), Z_OK);
    }
    assert_int_equal(header.extra_len, 0);
    free(padding);
}

/* The second member's two magic bytes fall into two reads of the file (32768 bytes each). */
static void test_idx__gzip_member_across_reads(void **state)
{
    struct cairn_problem why;
    size_t size, second_size;
    uint8_t *bytes = images_bytes(300, 28, 28, &size);
    uint8_t *both = malloc(1 << 20), *second;

    (void)state;
    write_gzip(folder, "2", bytes + size / 3, size - size / 3);
    second = slurp("2", &second_size);
    for (size_t first_size = 32764; first_size <= 32772; first_size++) {
        padded_member(bytes, size / 3, both, first_size);
        memcpy(both + first_size, second, second_size);
        write_raw(folder, "both", both, first_size + second_size);
        if (read_through("both", IDX_IMAGES, &why)) {
            fail_msg("%zu: %s", first_size, why.what);
        }
    }
    free(bytes);
    free(both);
    free(second);
}

static void test_idx__truncated_raw(void **state)
{
    size_t size;
    uint8_t *bytes = images_bytes(10, 28, 28, &size);

    (void)state;
    /* 9.5 images: 16 + 7448 bytes found, 16 + 7840 expected */
    assert_bytes_refused(bytes, size - 392, "7856", "7464");
    assert_bytes_refused(bytes, 12, "inside its header", "");
    free(bytes);
}

static void test_idx__trailing_bytes_raw(void **state)
{
    size_t size;
    uint8_t *bytes = images_bytes(10, 28, 28, &size);

    (void)state;
    put_big_endian(bytes + 4, 9);
    assert_bytes_refused(bytes, size, "7072", "bytes follow its end");
    free(bytes);
}

static void test_idx__wrong_length_gzip(void **state)
{
    size_t size;
    uint8_t *bytes = images_bytes(10, 28, 28, &size);

    (void)state;
    write_gzip(folder, "f", bytes, size - 392);
    assert_refused("f", IDX_IMAGES, "cut off: expected 10 rows of 784", "found 9 and 392");
    put_big_endian(bytes + 4, 9);
    write_gzip(folder, "f", bytes, size);
    assert_refused("f", IDX_IMAGES, "bytes follow its 9 rows", "");
    free(bytes);
}

static void test_idx__damaged_gzip(void **state)
{
    size_t size, packed_size;
    uint8_t *bytes = images_bytes(100, 28, 28, &size);
    uint8_t *packed;

    (void)state;
    write_gzip(folder, "f", bytes, size);
    packed = slurp("f", &packed_size);
    write_raw(folder, "f", packed, packed_size - 5);
    assert_refused("f", IDX_IMAGES, "gzip stream is cut off", "");
    packed[packed_size - 6] ^= 1; /* in the checksum */
    write_raw(folder, "f", packed, packed_size);
    assert_refused("f", IDX_IMAGES, "gzip stream is damaged", "data check");
    packed[packed_size - 6] ^= 1;
    packed[packed_size] = 'x';
    packed[packed_size + 1] = 'y';
    write_raw(folder, "f", packed, packed_size + 2);
    assert_refused("f", IDX_IMAGES, "gzip stream is damaged", "follow its end");
    write_raw(folder, "f", packed, packed_size + 1);
    assert_refused("f", IDX_IMAGES, "gzip stream is damaged", "follow its end");
    free(bytes);
    free(packed);
}

static void test_idx__swapped_files(void **state)
{
    (void)state;
    write_labels(folder, "l", 10);
    assert_refused("l", IDX_IMAGES, "labels (magic number 2049)", "images (magic number 2051)");
    write_images(folder, "i", 10, 2, 2);
    assert_refused("i", IDX_LABELS, "images (magic number 2051)", "labels (magic number 2049)");
}

static void test_idx__web_page(void **state)
{
    static const char page[] = "<!DOCTYPE html><html><body>404</body></html>";

    (void)state;
    assert_bytes_refused(page, sizeof page - 1, "this is an HTML page", "");
    assert_bytes_refused("\n <html>", 8, "this is an HTML page", "");
    assert_bytes_refused("\xef\xbb\xbf<html>", 9, "this is an HTML page", "");
    write_gzip(folder, "f", page, sizeof page - 1);
    assert_refused("f", IDX_IMAGES, "this is an HTML page", "");
}

static void test_idx__other_contents(void **state)
{
    static const uint8_t floats[8] = {0, 0, 0x0d, 3};
    static const uint8_t other_magic[8] = {0x1f, 0x9d, 8, 8};

    (void)state;
    assert_bytes_refused("", 0, "is empty", "");
    assert_bytes_refused("\0\0", 2, "magic number 0, expected 2051", "");
    assert_bytes_refused("version https://git-lfs", 23, "Git LFS", "");
    assert_bytes_refused(floats, sizeof floats, "floats", "unsigned bytes");
    assert_bytes_refused(other_magic, sizeof other_magic, "expected 2051", "");
    write_gzip(folder, "f", "\x1f\x8b\x08\x00", 4);
    assert_refused("f", IDX_IMAGES, "gzip inside of gzip", "");
}

/* Nothing of the claimed size may be allocated: the sanitizer's allocator would refuse these. */
static void test_idx__absurd_dimensions(void **state)
{
    static const uint32_t absurd[][3] = {
        {UINT32_MAX, UINT32_MAX, UINT32_MAX}, {1, UINT32_MAX, UINT32_MAX}, {0, 28, 28},
        {10, 0, 28},                          {10, 28, 0},                 {1u << 31, 28, 28},
    };
    size_t size;
    uint8_t *bytes = images_bytes(10, 28, 28, &size);

    (void)state;
    for (size_t i = 0; i < sizeof absurd / sizeof absurd[0]; i++) {
        for (size_t d = 0; d < 3; d++) {
            put_big_endian(bytes + 4 + 4 * d, absurd[i][d]);
        }
        write_raw(folder, "f", bytes, size);
        assert_refused("f", IDX_IMAGES, " x ", "");
        write_gzip(folder, "f", bytes, size);
        assert_refused("f", IDX_IMAGES, "its header says", "");
    }
    free(bytes);
}

static void test_idx__not_a_readable_file(void **state)
{
    char path[512];

    (void)state;
    assert_refused("absent", IDX_IMAGES, "cannot open", "No such file");
    assert_refused("", IDX_IMAGES, "is no regular file, but a folder", "");
    (void)snprintf(path, sizeof path, "%s/pipe", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_refused("pipe", IDX_IMAGES, "is no regular file", ""); /* and does not wait for a writer */
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(test_idx__##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(reads_rows),
        CASE(tells_gzip_by_content),
        CASE(gzip_of_several_members),
        CASE(gzip_member_across_reads),
        CASE(truncated_raw),
        CASE(trailing_bytes_raw),
        CASE(wrong_length_gzip),
        CASE(damaged_gzip),
        CASE(swapped_files),
        CASE(web_page),
        CASE(other_contents),
        CASE(absurd_dimensions),
        CASE(not_a_readable_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
