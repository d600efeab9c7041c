/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SEAL's header and the drawing and writing of fields. Little-endian, no padding:
 *
 *   0  5E A1          magic 0xA15E
 *   2  10             size of this header
 *   3  major, minor   version
 *   5  compression    0 none, 1 zlib, 2 zstd; of everything after the header, nested objects
 *                     included, which themselves say 0
 *   6  reserved       u16 0
 *   8  size           u64, of the object as stored, header included
 */
#include "seal_source.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "le.h"
#include "secret.h"
#include "sizes.h"

enum { MAGIC = 0xA15E };

int seal_source_fail(const struct seal_source *s, int code, const char *field, const char *expected,
                     const char *found_format, ...)
{
    char found[80];
    va_list args;
    va_start(args, found_format);
    (void)vsnprintf(found, sizeof found, found_format, args);
    va_end(args);
    return problem_set(s->why, code, NULL, "SEAL %s: %s: expected %s, found %s", s->object, field,
                       expected, found);
}

/* ---- the header ---- */

/* Sampling and layout are known for these; 3.4 and 3.5 expand seeds in another way. */
static bool is_known_version(unsigned major, unsigned minor)
{
    return major == 4 || (major == 3 && (minor == 6 || minor == 7));
}

/* What holds for outer and nested headers alike. */
static int check_header(const struct seal_source *s, const char *field, const uint8_t *h)
{
    if (le_get16(h) != MAGIC) {
        return seal_source_fail(s, CAIRN_ERR_MALFORMED, field, "magic a15e", "%04x",
                                (unsigned)le_get16(h));
    }
    if (h[2] != SEAL_HEADER_SIZE) {
        return seal_source_fail(s, CAIRN_ERR_MALFORMED, field, "header size 16", "%u",
                                (unsigned)h[2]);
    }
    if (!is_known_version(h[3], h[4])) {
        return seal_source_fail(s, CAIRN_ERR_REFUSED, field, "version 3.6, 3.7 or 4.x", "%u.%u",
                                (unsigned)h[3], (unsigned)h[4]);
    }
    if (le_get16(h + 6) != 0) {
        return seal_source_fail(s, CAIRN_ERR_MALFORMED, field, "reserved 0", "%u",
                                (unsigned)le_get16(h + 6));
    }
    return 0;
}

static int check_outer(struct seal_source *s, struct span bytes, const size_t *consumed)
{
    const char *field = "header";
    if (bytes.size < SEAL_HEADER_SIZE) {
        return seal_source_fail(s, CAIRN_ERR_MALFORMED, field, "16 bytes", "%zu", bytes.size);
    }
    int rc = check_header(s, field, bytes.data);
    if (rc != 0) {
        return rc;
    }
    uint64_t size = le_get64(bytes.data + 8);
    if (size < SEAL_HEADER_SIZE || size > bytes.size) {
        return seal_source_fail(s, CAIRN_ERR_MALFORMED, field,
                                "a size from 16 to the bytes that are there", "%llu with %zu bytes",
                                (unsigned long long)size, bytes.size);
    }
    if (consumed == NULL && size != bytes.size) {
        return seal_source_fail(s, CAIRN_ERR_MALFORMED, field, "nothing after the object",
                                "%zu more bytes", bytes.size - (size_t)size);
    }
    if (bytes.data[5] > SEAL_ZSTD) {
        return seal_source_fail(s, CAIRN_ERR_MALFORMED, field, "compression 0, 1 or 2", "%u",
                                (unsigned)bytes.data[5]);
    }
    s->stored = (size_t)size;
    return 0;
}

int seal_source_open(struct seal_source *s, const char *object, bool secret, struct span bytes,
                     const size_t *consumed, struct cairn_problem *why)
{
    *s = (struct seal_source){.object = object, .why = why};
    int rc = check_outer(s, bytes, consumed);
    if (rc != 0) {
        return rc;
    }
    s->next = bytes.data + SEAL_HEADER_SIZE;
    s->left = s->stored - SEAL_HEADER_SIZE;
    s->major = bytes.data[3];
    s->minor = bytes.data[4];
    if (bytes.data[5] != SEAL_PLAIN) {
        s->inflater = seal_inflater_new((enum seal_compression)bytes.data[5], secret);
        if (s->inflater == NULL) {
            return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory to decompress a SEAL %s",
                               object);
        }
    }
    return 0;
}

void seal_source_close(struct seal_source *s)
{
    seal_inflater_free(s->inflater);
    s->inflater = NULL;
}

int seal_source_end(struct seal_source *s)
{
    if (s->inflater != NULL && !seal_inflater_at_end(s->inflater, &s->next, &s->left)) {
        return seal_source_fail(s, CAIRN_ERR_MALFORMED, "end", "the end of the compressed bytes",
                                "more, or damage");
    }
    if (s->left != 0) {
        return seal_source_fail(s, CAIRN_ERR_MALFORMED, "end", "the size that the header says",
                                "%zu bytes more than the fields need", s->left);
    }
    return 0;
}

/* ---- fields ---- */

int seal_source_bytes(struct seal_source *s, const char *field, void *out, size_t size)
{
    if (s->inflater != NULL) {
        int rc = seal_inflater_draw(s->inflater, &s->next, &s->left, out, size);
        if (rc == CAIRN_ERR_MALFORMED) {
            return seal_source_fail(s, rc, field, "compressed bytes", "damage or their end");
        }
        return rc == 0
                   ? 0
                   : problem_set(s->why, rc, NULL, "no memory to decompress a SEAL %s", s->object);
    }
    if (size > s->left) {
        return seal_source_fail(s, CAIRN_ERR_MALFORMED, field, "more bytes", "%zu of %zu", s->left,
                                size);
    }
    memcpy(out, s->next, size);
    s->next += size;
    s->left -= size;
    return 0;
}

int seal_source_u64(struct seal_source *s, const char *field, uint64_t *out)
{
    uint8_t bytes[8];
    int rc = seal_source_bytes(s, field, bytes, sizeof bytes);
    if (rc == 0) {
        *out = le_get64(bytes);
    }
    return rc;
}

int seal_source_u8(struct seal_source *s, const char *field, uint8_t *out)
{
    return seal_source_bytes(s, field, out, 1);
}

int seal_source_f64(struct seal_source *s, const char *field, double *out)
{
    uint64_t bits;
    int rc = seal_source_u64(s, field, &bits);
    if (rc == 0) {
        memcpy(out, &bits, sizeof *out);
    }
    return rc;
}

/* A nested header, whatever size it says. */
static int nested_size(struct seal_source *s, const char *field, uint64_t *size)
{
    uint8_t h[SEAL_HEADER_SIZE];
    int rc = seal_source_bytes(s, field, h, sizeof h);
    if (rc == 0) {
        rc = check_header(s, field, h);
    }
    if (rc == 0 && h[5] != SEAL_PLAIN) {
        rc = seal_source_fail(s, CAIRN_ERR_MALFORMED, field, "a nested object without compression",
                              "%u", (unsigned)h[5]);
    }
    if (rc == 0) {
        *size = le_get64(h + 8);
    }
    return rc;
}

static int check_nested_size(const struct seal_source *s, const char *field, uint64_t expected,
                             uint64_t found)
{
    if (found == expected) {
        return 0;
    }
    char text[40];
    (void)snprintf(text, sizeof text, "size %llu", (unsigned long long)expected);
    return seal_source_fail(s, CAIRN_ERR_MALFORMED, field, text, "%llu", (unsigned long long)found);
}

int seal_source_nested(struct seal_source *s, const char *field, uint64_t size)
{
    uint64_t found = 0;
    int rc = nested_size(s, field, &found);
    return rc != 0 ? rc : check_nested_size(s, field, size, found);
}

int seal_source_array(struct seal_source *s, const char *field, uint64_t *count)
{
    const uint64_t fixed = SEAL_HEADER_SIZE + 8;
    uint64_t size = 0;
    int rc = nested_size(s, field, &size);
    if (rc == 0) {
        rc = seal_source_u64(s, field, count);
    }
    if (rc == 0 && *count > (UINT64_MAX - fixed) / 8) {
        rc = seal_source_fail(s, CAIRN_ERR_MALFORMED, field, "a possible count", "%llu",
                              (unsigned long long)*count);
    }
    return rc != 0 ? rc : check_nested_size(s, field, fixed + 8 * *count, size);
}

int seal_source_expect_words(struct seal_source *s, const char *field, size_t count)
{
    if (s->inflater == NULL && s->left / 8 < count) {
        return seal_source_fail(s, CAIRN_ERR_MALFORMED, field, "all its words",
                                "%zu bytes for %zu words", s->left, count);
    }
    return 0;
}

int seal_source_words(struct seal_source *s, const char *field, uint64_t *out, size_t count,
                      uint64_t limit)
{
    int rc = seal_source_bytes(s, field, out, 8 * count);
    if (rc != 0) {
        return rc;
    }
    uint64_t over = 0;
    for (size_t i = 0; i < count; i++) {
        uint8_t bytes[8];
        memcpy(bytes, &out[i], sizeof bytes);
        out[i] = le_get64(bytes);
        over |= (limit - 1 - out[i]) | out[i]; /* the sign bit: limit is below 2^63 */
    }
    if (over >> 63 == 0) {
        return 0;
    }
    size_t at = 0;
    while (out[at] < limit) { /* only bytes that are thrown away are searched */
        at++;
    }
    char expected[60];
    (void)snprintf(expected, sizeof expected, "a word below %llu", (unsigned long long)limit);
    return seal_source_fail(s, CAIRN_ERR_MALFORMED, field, expected, "one that is not, word %zu",
                            at);
}

/* ---- writing ---- */

static void put_header(struct seal_sink *s, uint8_t h[SEAL_HEADER_SIZE], uint64_t size)
{
    le_put16(h, MAGIC);
    h[2] = SEAL_HEADER_SIZE;
    h[3] = (uint8_t)s->major;
    h[4] = (uint8_t)s->minor;
    h[5] = SEAL_PLAIN;
    le_put16(h + 6, 0);
    le_put64(h + 8, size);
}

/* With room for the whole object at once: growth would leave copies of what may be secret. */
void seal_sink_open(struct seal_sink *s, enum seal_version version, size_t size)
{
    *s = (struct seal_sink){0};
    s->major = version == SEAL_VERSION_3_7 ? 3 : 4;
    s->minor = version == SEAL_VERSION_3_7 ? 7 : 1;
    s->error = buf_reserve(&s->bytes, size);
    seal_sink_nested(s, size);
}

void seal_sink_bytes(struct seal_sink *s, const void *bytes, size_t size)
{
    if (s->error == 0) {
        s->error = buf_append(&s->bytes, bytes, size);
    }
}

void seal_sink_u8(struct seal_sink *s, uint8_t x)
{
    seal_sink_bytes(s, &x, 1);
}

void seal_sink_u64(struct seal_sink *s, uint64_t x)
{
    uint8_t bytes[8];
    le_put64(bytes, x);
    seal_sink_bytes(s, bytes, sizeof bytes);
}

void seal_sink_f64(struct seal_sink *s, double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    seal_sink_u64(s, bits);
}

void seal_sink_nested(struct seal_sink *s, uint64_t size)
{
    uint8_t h[SEAL_HEADER_SIZE];
    put_header(s, h, size);
    seal_sink_bytes(s, h, sizeof h);
}

void seal_sink_words(struct seal_sink *s, const uint64_t *words, size_t count)
{
    seal_sink_nested(s, SEAL_HEADER_SIZE + 8 + 8 * (uint64_t)count);
    seal_sink_u64(s, count);
    if (s->error == 0) {
        s->error = buf_reserve(&s->bytes, 8 * count);
    }
    for (size_t i = 0; s->error == 0 && i < count; i++) {
        le_put64(s->bytes.data + s->bytes.size, words[i]);
        s->bytes.size += 8;
    }
}

static int append_compressed(struct seal_sink *s, enum seal_compression compression,
                             struct buf *out)
{
    const size_t begin = out->size;
    int rc = buf_append(out, s->bytes.data, SEAL_HEADER_SIZE);
    if (rc == 0) {
        struct span rest = {s->bytes.data + SEAL_HEADER_SIZE, s->bytes.size - SEAL_HEADER_SIZE};
        rc = seal_deflate(compression, rest, out);
    }
    if (rc != 0) {
        out->size = begin;
        return rc;
    }
    out->data[begin + 5] = (uint8_t)compression;
    le_put64(out->data + begin + 8, out->size - begin);
    return 0;
}

int seal_sink_close(struct seal_sink *s, enum seal_compression compression, struct buf *out)
{
    int rc = s->error;
    if (rc == 0 && le_get64(s->bytes.data + 8) != s->bytes.size) {
        rc = CAIRN_ERR_BUG; /* announced another size than was written */
    }
    if (rc == 0) {
        rc = compression == SEAL_PLAIN ? buf_append(out, s->bytes.data, s->bytes.size)
                                       : append_compressed(s, compression, out);
    }
    if (s->bytes.data != NULL) {
        secret_wipe(s->bytes.data, s->bytes.size);
    }
    buf_release(&s->bytes);
    return rc;
}
