/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Protocol buffers, as much as TenSEAL uses. A message is a row of fields: a key (field number x 8
 * + wire type) as a varint, then a varint (0), 8 bytes (1), a length and bytes (2) or 4 bytes (5).
 * A varint has 7 bits a byte, low ones first; all but its last byte have the top bit set.
 *
 * Fields that are not known are passed over, as the format wants it; groups (3 and 4), which it has
 * given up, are refused.
 */
#include "tenseal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "le.h"
#include "secret.h"
#include "sizes.h"

enum wire_type { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };
enum { MAX_VARINT = 10 }; /* bytes: 64 bits, 7 a byte */

struct reader {
    const char *message; /* for people */
    struct span whole;
    size_t at;
    struct cairn_problem *why;
};

struct field {
    uint32_t number;
    enum wire_type type;
    uint64_t value;    /* VARINT, FIXED64, FIXED32 */
    struct span bytes; /* BYTES */
};

static int malformed(const struct reader *r, const char *what)
{
    return problem_set(r->why, CAIRN_ERR_MALFORMED, NULL, "TenSEAL %s: byte %zu of %zu: %s",
                       r->message, r->at, r->whole.size, what);
}

static int read_varint(struct reader *r, uint64_t *out)
{
    uint64_t x = 0;
    for (unsigned i = 0; i < MAX_VARINT; i++) {
        if (r->at == r->whole.size) {
            return malformed(r, "ends in a number");
        }
        uint8_t byte = r->whole.data[r->at++];
        if (i == MAX_VARINT - 1 && byte > 1) {
            break; /* more than 64 bits */
        }
        x |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *out = x;
            return 0;
        }
    }
    return malformed(r, "a number of more than 64 bits");
}

static int read_run(struct reader *r, uint64_t size, struct span *out)
{
    if (size > r->whole.size - r->at) {
        return malformed(r, "a field is longer than what is left");
    }
    *out = (struct span){r->whole.data + r->at, (size_t)size};
    r->at += (size_t)size;
    return 0;
}

static int read_value(struct reader *r, struct field *f)
{
    struct span run = {0};
    int rc = 0;
    switch (f->type) {
    case VARINT:
        return read_varint(r, &f->value);
    case FIXED64:
        rc = read_run(r, 8, &run);
        f->value = rc == 0 ? le_get64(run.data) : 0;
        return rc;
    case FIXED32:
        rc = read_run(r, 4, &run);
        f->value = rc == 0 ? le_get32(run.data) : 0;
        return rc;
    case BYTES:
        rc = read_varint(r, &f->value);
        return rc != 0 ? rc : read_run(r, f->value, &f->bytes);
    }
    return malformed(r, "a field of an unknown type");
}

/* @return 1 a field, 0 the end, negative an error */
static int next_field(struct reader *r, struct field *f)
{
    if (r->at == r->whole.size) {
        return 0;
    }
    uint64_t key = 0;
    *f = (struct field){0};
    int rc = read_varint(r, &key);
    if (rc != 0) {
        return rc;
    }
    if (key >> 3 == 0 || key >> 3 >= UINT64_C(1) << 29) {
        return malformed(r, "a field without a number");
    }
    f->number = (uint32_t)(key >> 3);
    f->type = (enum wire_type)(key & 7);
    rc = read_value(r, f);
    return rc != 0 ? rc : 1;
}

static int expect_type(const struct reader *r, const struct field *f, enum wire_type type)
{
    return f->type == type ? 0 : malformed(r, "a field of another type than it should have");
}

static double to_double(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* ---- vectors ---- */

/* The first pass counts, the second fills arrays of just that size. */
struct vector_pass {
    struct tenseal_vector *vector;
    bool fill;
    size_t sizes, ciphertexts;
};

static int add_size(const struct reader *r, struct vector_pass *p, uint64_t size)
{
    if (size == 0 || size > UINT32_MAX) {
        return malformed(r, "a ciphertext of no values, or of too many");
    }
    if (p->fill) {
        p->vector->sizes[p->sizes] = (uint32_t)size;
    }
    p->sizes++;
    return 0;
}

/* Repeated numbers come packed into one field, or one by one. */
static int add_sizes(const struct reader *r, struct vector_pass *p, const struct field *f)
{
    if (f->type == VARINT) {
        return add_size(r, p, f->value);
    }
    int rc = expect_type(r, f, BYTES);
    struct reader inner = {r->message, f->bytes, 0, r->why};
    while (rc == 0 && inner.at < inner.whole.size) {
        uint64_t size = 0;
        rc = read_varint(&inner, &size);
        if (rc == 0) {
            rc = add_size(r, p, size);
        }
    }
    return rc;
}

static int add_ciphertext(const struct reader *r, struct vector_pass *p, const struct field *f)
{
    int rc = expect_type(r, f, BYTES);
    if (rc == 0 && p->fill) {
        p->vector->ciphertexts[p->ciphertexts] = f->bytes;
    }
    p->ciphertexts++;
    return rc;
}

static int run_pass(struct span bytes, struct vector_pass *p, struct cairn_problem *why)
{
    struct reader r = {"CKKS vector", bytes, 0, why};
    struct field f;
    int rc;
    while ((rc = next_field(&r, &f)) == 1) {
        int bad = 0;
        if (f.number == 1) {
            bad = add_sizes(&r, p, &f);
        } else if (f.number == 2) {
            bad = add_ciphertext(&r, p, &f);
        } else if (f.number == 3) {
            bad = expect_type(&r, &f, FIXED64);
            p->vector->scale = to_double(f.value);
        }
        if (bad != 0) {
            return bad;
        }
    }
    return rc;
}

static int check_vector(const struct vector_pass *p, struct cairn_problem *why)
{
    if (p->ciphertexts < 1 || p->ciphertexts > TENSEAL_MAX_CHUNKS || p->sizes != p->ciphertexts) {
        return problem_set(why, CAIRN_ERR_MALFORMED, NULL,
                           "TenSEAL CKKS vector: expected 1 to %d ciphertexts and a size for each, "
                           "found %zu and %zu",
                           TENSEAL_MAX_CHUNKS, p->ciphertexts, p->sizes);
    }
    if (!isnormal(p->vector->scale) || p->vector->scale < 0) {
        return problem_set(
            why, CAIRN_ERR_MALFORMED, NULL,
            "TenSEAL CKKS vector: scale: expected a normal positive number, found %g",
            p->vector->scale);
    }
    return 0;
}

int tenseal_vector_read(struct span bytes, struct tenseal_vector *out, struct cairn_problem *why)
{
    struct tenseal_vector v = {0};
    struct vector_pass count = {.vector = &v}, fill = {.vector = &v, .fill = true};
    int rc = run_pass(bytes, &count, why);
    if (rc == 0) {
        rc = check_vector(&count, why);
    }
    if (rc != 0) {
        return rc;
    }
    v.chunks = count.ciphertexts;
    v.sizes = calloc(v.chunks + 1, sizeof *v.sizes); /* never of size 0 */
    v.ciphertexts = calloc(v.chunks + 1, sizeof *v.ciphertexts);
    if (v.sizes == NULL || v.ciphertexts == NULL) {
        rc = problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a TenSEAL vector");
    } else {
        rc = run_pass(bytes, &fill, why);
    }
    if (rc != 0) {
        tenseal_vector_release(&v);
        return rc;
    }
    tenseal_vector_release(out);
    *out = v;
    return 0;
}

void tenseal_vector_release(struct tenseal_vector *vector)
{
    free(vector->sizes);
    free(vector->ciphertexts);
    *vector = (struct tenseal_vector){0};
}

/* ---- contexts ---- */

static int read_public(const struct reader *outer, struct span bytes, struct tenseal_context *c)
{
    struct reader r = {outer->message, bytes, 0, outer->why};
    struct field f;
    int rc;
    while ((rc = next_field(&r, &f)) == 1) {
        int bad = 0;
        if (f.number == 1) {
            bad = expect_type(&r, &f, BYTES);
            c->public_key = f.bytes;
        } else if (f.number == 2) {
            bad = expect_type(&r, &f, VARINT);
            c->flags = (uint32_t)f.value;
        } else if (f.number == 3) {
            bad = expect_type(&r, &f, FIXED64);
            c->scale = to_double(f.value);
        }
        if (bad != 0) {
            return bad;
        }
    }
    return rc;
}

static int read_private(const struct reader *outer, struct span bytes, struct tenseal_context *c)
{
    struct reader r = {outer->message, bytes, 0, outer->why};
    struct field f;
    int rc;
    while ((rc = next_field(&r, &f)) == 1) {
        if (f.number != 1) {
            continue;
        }
        int bad = expect_type(&r, &f, BYTES);
        if (bad != 0) {
            return bad;
        }
        c->secret_key = f.bytes;
    }
    return rc;
}

static int read_context_field(const struct reader *r, const struct field *f,
                              struct tenseal_context *c)
{
    int rc = expect_type(r, f, f->number == 4 ? VARINT : BYTES);
    if (rc != 0) {
        return rc;
    }
    switch (f->number) {
    case 1:
        c->params = f->bytes;
        return 0;
    case 2:
        return read_public(r, f->bytes, c);
    case 3:
        return read_private(r, f->bytes, c);
    default:
        c->symmetric = f->value != 0;
        return f->value <= 1 ? 0 : malformed(r, "an unknown kind of encryption");
    }
}

int tenseal_context_read(struct span bytes, struct tenseal_context *out, struct cairn_problem *why)
{
    struct tenseal_context c = {0};
    struct reader r = {"context", bytes, 0, why};
    struct field f;
    int rc;
    while ((rc = next_field(&r, &f)) == 1) {
        int bad = f.number <= 4 ? read_context_field(&r, &f, &c) : 0;
        if (bad != 0) {
            return bad;
        }
    }
    if (rc == 0 && c.params.size == 0) {
        rc = malformed(&r, "no parameters");
    }
    if (rc == 0 && (isnan(c.scale) || isinf(c.scale) || c.scale < 0)) {
        rc = malformed(&r, "a scale that is no number");
    }
    if (rc == 0) {
        *out = c;
    }
    return rc;
}

/* ---- writing ---- */

static size_t varint_size(uint64_t x)
{
    size_t n = 1;
    for (; x >= 0x80; x >>= 7) {
        n++;
    }
    return n;
}

static int put_varint(struct buf *b, uint64_t x)
{
    uint8_t bytes[MAX_VARINT];
    size_t n = 0;
    for (; x >= 0x80; x >>= 7) {
        bytes[n++] = (uint8_t)(x | 0x80);
    }
    bytes[n++] = (uint8_t)x;
    return buf_append(b, bytes, n);
}

static int put_key(struct buf *b, uint32_t number, enum wire_type type)
{
    return put_varint(b, (uint64_t)number << 3 | (unsigned)type);
}

/* Numbers that are 0 and bytes that are empty are left out, as everywhere in this format. */
static int put_number(struct buf *b, uint32_t number, uint64_t x)
{
    if (x == 0) {
        return 0;
    }
    int rc = put_key(b, number, VARINT);
    return rc != 0 ? rc : put_varint(b, x);
}

static int put_bytes(struct buf *b, uint32_t number, struct span bytes)
{
    if (bytes.size == 0) {
        return 0;
    }
    int rc = put_key(b, number, BYTES);
    if (rc == 0) {
        rc = put_varint(b, bytes.size);
    }
    return rc != 0 ? rc : buf_append(b, bytes.data, bytes.size);
}

static int put_double(struct buf *b, uint32_t number, double x)
{
    uint8_t bytes[8];
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (bits == 0) {
        return 0;
    }
    le_put64(bytes, bits);
    int rc = put_key(b, number, FIXED64);
    return rc != 0 ? rc : buf_append(b, bytes, sizeof bytes);
}

static int write_vector(const struct tenseal_vector *v, struct buf *out)
{
    size_t packed = 0;
    for (size_t i = 0; i < v->chunks; i++) {
        packed += varint_size(v->sizes[i]);
    }
    int rc = put_key(out, 1, BYTES);
    if (rc == 0) {
        rc = put_varint(out, packed);
    }
    for (size_t i = 0; rc == 0 && i < v->chunks; i++) {
        rc = put_varint(out, v->sizes[i]);
    }
    for (size_t i = 0; rc == 0 && i < v->chunks; i++) {
        rc = put_bytes(out, 2, v->ciphertexts[i]);
    }
    return rc != 0 ? rc : put_double(out, 3, v->scale);
}

int tenseal_vector_write(const struct tenseal_vector *vector, struct buf *out)
{
    const size_t begin = out->size;
    int rc = write_vector(vector, out);
    if (rc != 0) {
        out->size = begin;
    }
    return rc;
}

static int write_public(const struct tenseal_context *c, struct buf *out)
{
    struct buf inner = {0};
    int rc = put_bytes(&inner, 1, c->public_key);
    if (rc == 0) {
        rc = put_number(&inner, 2, c->flags);
    }
    if (rc == 0) {
        rc = put_double(&inner, 3, c->scale);
    }
    if (rc == 0) {
        rc = put_bytes(out, 2, buf_span(&inner));
    }
    buf_release(&inner);
    return rc;
}

/* Field 3 of the context, holding field 1: no second copy of the key is made. */
static int write_private(const struct tenseal_context *c, struct buf *out)
{
    if (c->secret_key.size == 0) {
        return 0;
    }
    size_t inner = 1 + varint_size(c->secret_key.size) + c->secret_key.size;
    int rc = put_key(out, 3, BYTES);
    if (rc == 0) {
        rc = put_varint(out, inner);
    }
    return rc != 0 ? rc : put_bytes(out, 1, c->secret_key);
}

int tenseal_context_write(const struct tenseal_context *context, struct buf *out)
{
    enum { OVERHEAD = 100 }; /* seven keys, lengths and numbers of at most 11 bytes each */
    const size_t begin = out->size;
    size_t size = context->params.size + context->public_key.size;
    if (!size_add(size, context->secret_key.size, &size) || !size_add(size, OVERHEAD, &size)) {
        return CAIRN_ERR_NO_MEMORY;
    }
    int rc = buf_reserve(out, size);
    if (rc == 0) {
        rc = put_bytes(out, 1, context->params);
    }
    if (rc == 0) {
        rc = write_public(context, out);
    }
    if (rc == 0) {
        rc = write_private(context, out);
    }
    if (rc == 0) {
        rc = put_number(out, 4, context->symmetric ? 1 : 0);
    }
    if (rc != 0) {
        if (out->size > begin) {
            secret_wipe(out->data + begin, out->size - begin);
        }
        out->size = begin;
    }
    return rc;
}
