/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IDX files. Most of this page is about saying what a wrong file is instead:
 * a saved web page, the labels where the images should be, half a download.
 */
#include "idx.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "byte_source.h"
#include "sizes.h"

struct idx_reader {
    const char *path;
    struct byte_source *source;
    struct idx_header header;
    size_t next_row;
};

static const char hint_again[] = "download the file again";

static uint32_t big_endian(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

static const char *kind_name(enum idx_kind kind)
{
    return kind == IDX_IMAGES ? "images" : "labels";
}

/* Element types of the format, to name the one found. */
static const char *type_name(unsigned type)
{
    switch (type) {
    case 0x09: return "signed bytes";
    case 0x0b: return "16-bit integers";
    case 0x0c: return "32-bit integers";
    case 0x0d: return "floats";
    case 0x0e: return "doubles";
    default: return NULL;
    }
}

/* A web page begins with '<', perhaps behind a byte order mark or white space. */
static bool is_html(const uint8_t start[4])
{
    size_t i = memcmp(start, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;

    while (i < 3 && (start[i] == ' ' || start[i] == '\n' || start[i] == '\r' || start[i] == '\t')) {
        i++;
    }
    return start[i] == '<';
}

/* Say what a file is that does not begin with the magic number expected. */
static int wrong_magic(const char *path, const uint8_t start[4], enum idx_kind kind,
                       struct cairn_problem *why)
{
    const uint32_t magic = big_endian(start);
    const enum idx_kind other = kind == IDX_IMAGES ? IDX_LABELS : IDX_IMAGES;

    if (is_html(start)) {
        return problem_set(why, CAIRN_ERR_DATA, "the download saved an error page; get the file "
                           "from another address", "%s: this is an HTML page, not IDX data", path);
    }
    if (magic == (uint32_t)other) {
        return problem_set(why, CAIRN_ERR_DATA, "the two files have been swapped",
                           "%s holds %s (magic number %d), expected %s (magic number %d)", path,
                           kind_name(other), other, kind_name(kind), kind);
    }
    if (memcmp(start, "vers", 4) == 0) {
        return problem_set(why, CAIRN_ERR_DATA, "fetch the file itself: git lfs pull",
                           "%s: this is a pointer of Git LFS, not IDX data", path);
    }
    if (start[0] == 0x1f && start[1] == 0x8b) {
        return problem_set(why, CAIRN_ERR_DATA, "unpack it once", "%s is gzip inside of gzip",
                           path);
    }
    if (start[0] == 0 && start[1] == 0 && type_name(start[2])) {
        return problem_set(why, CAIRN_ERR_DATA, "convert it to unsigned bytes",
                           "%s holds %s, expected unsigned bytes", path, type_name(start[2]));
    }
    return problem_set(why, CAIRN_ERR_DATA, hint_again,
                       "%s: magic number %" PRIu32 ", expected %d (IDX %s)", path, magic, kind,
                       kind_name(kind));
}

/* Read bytes of the header. */
static int read_exactly(struct idx_reader *r, uint8_t *out, size_t size, struct cairn_problem *why)
{
    size_t got;
    int err = byte_source_read(r->source, out, size, &got, why);

    if (!err && got < size) {
        err = problem_set(why, CAIRN_ERR_DATA, hint_again, "%s ends inside its header", r->path);
    }
    return err;
}

static int too_large(const struct idx_reader *r, struct cairn_problem *why)
{
    const struct idx_header *h = &r->header;

    return problem_set(why, CAIRN_ERR_DATA, hint_again,
                       "%s: its header says %zu x %zu x %zu, more than the file can hold", r->path,
                       h->rows, h->height, h->width);
}

/* Compare what the header claims with the size of the file. */
static int check_size(struct idx_reader *r, size_t header_size, struct cairn_problem *why)
{
    struct idx_header *h = &r->header;
    const uint64_t most = byte_source_most(r->source);
    size_t expected;

    if (h->rows == 0 || h->height == 0 || h->width == 0) {
        return problem_set(why, CAIRN_ERR_DATA, hint_again,
                           "%s: its header says %zu x %zu x %zu, which is nothing", r->path,
                           h->rows, h->height, h->width);
    }
    if (!size_mul(h->height, h->width, &h->row_size) ||
        !size_mul(h->rows, h->row_size, &expected) ||
        !size_add(expected, header_size, &expected)) {
        return too_large(r, why);
    }
    if (byte_source_is_gzip(r->source)) {
        return expected > most ? too_large(r, why) : 0;
    }
    if (expected != most) {
        return problem_set(why, CAIRN_ERR_DATA, hint_again,
                           "%s: %zu x %zu x %zu make a file of %zu bytes, found %" PRIu64 ": %s",
                           r->path, h->rows, h->height, h->width, expected, most,
                           most < expected ? "it is cut off" : "bytes follow its end");
    }
    return 0;
}

static int read_header(struct idx_reader *r, enum idx_kind kind, struct cairn_problem *why)
{
    const size_t n_dims = kind == IDX_IMAGES ? 3 : 1;
    uint8_t start[4] = {0};
    uint8_t dims[3 * 4];
    size_t got;
    int err = byte_source_read(r->source, start, sizeof start, &got, why);

    if (err) {
        return err;
    }
    if (got < sizeof start || big_endian(start) != (uint32_t)kind) {
        return wrong_magic(r->path, start, kind, why);
    }
    err = read_exactly(r, dims, 4 * n_dims, why);
    if (err) {
        return err;
    }
    r->header.rows = big_endian(dims);
    r->header.height = n_dims == 3 ? big_endian(dims + 4) : 1;
    r->header.width = n_dims == 3 ? big_endian(dims + 8) : 1;
    return check_size(r, sizeof start + 4 * n_dims, why);
}

int idx_open(const char *path, enum idx_kind kind, struct idx_reader **out,
             struct cairn_problem *why)
{
    struct idx_reader *r = calloc(1, sizeof *r);
    int err;

    if (!r) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory to read %s", path);
    }
    r->path = path;
    err = byte_source_open(path, &r->source, why);
    if (!err) {
        err = read_header(r, kind, why);
    }
    if (err) {
        idx_close(r);
        return err;
    }
    *out = r;
    return 0;
}

void idx_close(struct idx_reader *r)
{
    if (r) {
        byte_source_close(r->source);
        free(r);
    }
}

const struct idx_header *idx_header(const struct idx_reader *r)
{
    return &r->header;
}

/* n rows to `out`, or over them when it is NULL. check_size has seen that rows * row_size fits. */
static int advance(struct idx_reader *r, uint8_t *out, size_t n, struct cairn_problem *why)
{
    const size_t row_size = r->header.row_size;
    size_t got;
    int err;

    if (n > r->header.rows - r->next_row) {
        return problem_set(why, CAIRN_ERR_BUG, NULL, "%s: read beyond its %zu rows", r->path,
                           r->header.rows);
    }
    err = byte_source_read(r->source, out, n * row_size, &got, why);
    if (err) {
        return err;
    }
    if (got < n * row_size) {
        return problem_set(why, CAIRN_ERR_DATA, hint_again,
                           "%s is cut off: expected %zu rows of %zu bytes, found %zu and %zu bytes",
                           r->path, r->header.rows, row_size, r->next_row + got / row_size,
                           got % row_size);
    }
    r->next_row += n;
    return 0;
}

int idx_read(struct idx_reader *r, uint8_t *out, size_t n, struct cairn_problem *why)
{
    return advance(r, out, n, why);
}

int idx_skip(struct idx_reader *r, size_t n, struct cairn_problem *why)
{
    return advance(r, NULL, n, why);
}

int idx_finish(struct idx_reader *r, struct cairn_problem *why)
{
    uint8_t extra;
    size_t got;
    int err = idx_skip(r, r->header.rows - r->next_row, why);

    if (!err) {
        err = byte_source_read(r->source, &extra, 1, &got, why);
    }
    if (!err && got > 0) {
        err = problem_set(why, CAIRN_ERR_DATA, hint_again,
                          "%s: bytes follow its %zu rows of %zu bytes", r->path, r->header.rows,
                          r->header.row_size);
    }
    return err;
}
