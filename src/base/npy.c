/* SPDX-License-Identifier: Apache-2.0 */
/*
 * .npy headers. The dictionary is Python source, but only one form of it is ever written, so this
 * reads that form and no other: three keys in any order, each once, with a string, a boolean and a
 * tuple of whole numbers.
 */
#include "npy.h"

#include <inttypes.h>
#include <string.h>

#include "le.h"
#include "problem.h"
#include "sizes.h"

enum { MAGIC = 6, PREFIX_1 = 10, PREFIX_2 = 12, ALIGN = 64 };
static const uint8_t magic[MAGIC] = {0x93, 'N', 'U', 'M', 'P', 'Y'};

static const char hint_save[] = "convert it with array.astype('float32') and save it again";

bool npy_begins(struct span start)
{
    return start.size >= MAGIC && memcmp(start.data, magic, MAGIC) == 0;
}

/* The dictionary as it is read. */
struct text {
    const char *at, *end;
};

static void skip_space(struct text *t)
{
    while (t->at < t->end && (*t->at == ' ' || *t->at == '\n' || *t->at == '\t')) {
        t->at++;
    }
}

static bool take(struct text *t, const char *word)
{
    size_t n = strlen(word);
    skip_space(t);
    if ((size_t)(t->end - t->at) < n || memcmp(t->at, word, n) != 0) {
        return false;
    }
    t->at += n;
    return true;
}

/* A string in either quotes, without escapes, of fewer than `size` bytes. */
static bool take_string(struct text *t, char *out, size_t size)
{
    skip_space(t);
    if (t->at == t->end || (*t->at != '\'' && *t->at != '"')) {
        return false;
    }
    const char *close = memchr(t->at + 1, *t->at, (size_t)(t->end - t->at) - 1);
    if (close == NULL || (size_t)(close - t->at) > size ||
        memchr(t->at, '\\', (size_t)(close - t->at)) != NULL) {
        return false;
    }
    size_t n = (size_t)(close - t->at) - 1;
    memcpy(out, t->at + 1, n);
    out[n] = 0;
    t->at = close + 1;
    return true;
}

static bool take_number(struct text *t, uint64_t *out)
{
    uint64_t value = 0;
    skip_space(t);
    const char *first = t->at;
    for (; t->at < t->end && *t->at >= '0' && *t->at <= '9'; t->at++) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*t->at - '0'), &value)) {
            return false;
        }
    }
    *out = value;
    return t->at > first;
}

/* "(2, 3)", "(5,)", "()". @return false also for too many */
static bool take_shape(struct text *t, struct npy *out)
{
    if (!take(t, "(")) {
        return false;
    }
    while (!take(t, ")")) {
        if (out->n_dims == NPY_MAX_DIMS || !take_number(t, &out->dims[out->n_dims])) {
            return false;
        }
        out->n_dims++;
        if (!take(t, ",") && !(take(t, ")") && out->n_dims > 1)) {
            return false; /* "(5)" is no tuple */
        }
        if (t->at[-1] == ')') {
            return true;
        }
    }
    return true;
}

struct fields {
    char descr[32];
    bool has_descr, has_order, has_shape;
    bool fortran;
};

static int bad(struct cairn_problem *why, const char *name, const char *what)
{
    return problem_set(why, CAIRN_ERR_DATA, hint_save, "%s: %s", name, what);
}

static int take_field(struct text *t, const char *key, struct fields *f, struct npy *out,
                      const char *name, struct cairn_problem *why)
{
    if (strcmp(key, "descr") == 0 && !f->has_descr) {
        f->has_descr = true;
        if (take(t, "[")) {
            return problem_set(why, CAIRN_ERR_DATA, "save each field as an array of its own",
                               "%s: a structured array, with several fields an element", name);
        }
        return take_string(t, f->descr, sizeof f->descr) ? 0 : bad(why, name, "no usable dtype");
    }
    if (strcmp(key, "fortran_order") == 0 && !f->has_order) {
        f->has_order = true;
        f->fortran = take(t, "True");
        return f->fortran || take(t, "False") ? 0 : bad(why, name, "no usable fortran_order");
    }
    if (strcmp(key, "shape") == 0 && !f->has_shape) {
        f->has_shape = true;
        return take_shape(t, out) ? 0
                                  : bad(why, name,
                                        "its shape is no tuple of at most 8 whole numbers");
    }
    return bad(why, name, "its header has a key twice or one that is unknown");
}

static int parse_dictionary(struct text t, struct fields *f, struct npy *out, const char *name,
                            struct cairn_problem *why)
{
    static const char broken[] = "its header is not the dictionary that numpy.save writes";
    char key[16];
    if (!take(&t, "{")) {
        return bad(why, name, broken);
    }
    while (!take(&t, "}")) {
        if (!take_string(&t, key, sizeof key) || !take(&t, ":")) {
            return bad(why, name, broken);
        }
        int error = take_field(&t, key, f, out, name, why);
        if (error) {
            return error;
        }
        if (!take(&t, ",")) {
            if (!take(&t, "}")) {
                return bad(why, name, broken);
            }
            break;
        }
    }
    skip_space(&t);
    if (t.at != t.end || !f->has_descr || !f->has_order || !f->has_shape) {
        return bad(why, name, broken);
    }
    return 0;
}

static const struct {
    const char *descr;
    size_t size;
} types[] = {
    [NPY_FLOAT32] = {"<f4", 4}, [NPY_FLOAT64] = {"<f8", 8}, [NPY_UINT8] = {"|u1", 1},
    [NPY_INT8] = {"|i1", 1},    [NPY_UINT16] = {"<u2", 2},  [NPY_INT16] = {"<i2", 2},
    [NPY_UINT32] = {"<u4", 4},  [NPY_INT32] = {"<i4", 4},   [NPY_UINT64] = {"<u8", 8},
    [NPY_INT64] = {"<i8", 8},   [NPY_FLOAT16] = {"<f2", 2}, [NPY_BOOL] = {"|b1", 1},
};
enum { TYPES = sizeof types / sizeof types[0] };

size_t npy_element_size(enum npy_type type)
{
    return types[type].size;
}

double npy_element(enum npy_type type, const uint8_t *bytes)
{
    float narrow;
    double wide;

    switch (type) {
    case NPY_FLOAT32:
        memcpy(&narrow, bytes, sizeof narrow);
        return (double)narrow;
    case NPY_FLOAT64:
        memcpy(&wide, bytes, sizeof wide);
        return wide;
    case NPY_UINT8: return bytes[0];
    case NPY_INT8: return (int8_t)bytes[0];
    case NPY_UINT16: return le_get16(bytes);
    case NPY_INT16: return (int16_t)le_get16(bytes);
    case NPY_UINT32: return le_get32(bytes);
    case NPY_INT32: return (int32_t)le_get32(bytes);
    case NPY_UINT64: return (double)le_get64(bytes);
    case NPY_INT64: return (double)(int64_t)le_get64(bytes);
    case NPY_FLOAT16:
    case NPY_BOOL: break; /* refused by npy_parse_numbers */
    }
    return 0;
}

/* Which types a caller takes: those before `end` in the list. */
struct taken {
    unsigned end;
    const char *needed;
};
static const struct taken only_float32 = {NPY_FLOAT32 + 1, "float32 (<f4) is needed"};
static const struct taken numbers = {NPY_INT64 + 1, "float32, float64 or whole numbers are needed"};
static const struct taken all_types = {TYPES, "float16, 32 or 64, whole numbers or bool are needed"};

static int check_fields(const struct fields *f, const struct taken *taken, struct npy *npy,
                        const char *name, struct cairn_problem *why)
{
    const char *type = f->descr + (f->descr[0] && strchr("<>|=", f->descr[0]) != NULL ? 1 : 0);
    unsigned found = 0;
    if (type[0] == 'O') {
        return bad(why, name, "an array of Python objects; such files can run code and are never "
                              "read");
    }
    if (f->descr[0] == '>') {
        return problem_set(why, CAIRN_ERR_DATA, hint_save,
                           "%s: its elements are big-endian (%s); little-endian ones are needed",
                           name, f->descr);
    }
    while (found < taken->end && strcmp(f->descr, types[found].descr) != 0) {
        found++;
    }
    if (found == taken->end) {
        return problem_set(why, CAIRN_ERR_DATA, hint_save, "%s: its dtype is %s; %s", name,
                           f->descr, taken->needed);
    }
    /* with one dimension the two orders are the same */
    if (f->fortran && npy->n_dims > 1) {
        return problem_set(why, CAIRN_ERR_DATA,
                           "convert it with numpy.ascontiguousarray(array) and save it again",
                           "%s: its elements are in Fortran order; C order is needed", name);
    }
    npy->type = (enum npy_type)found;
    return 0;
}

static int check_size(const struct npy *npy, uint64_t size, const char *name,
                      struct cairn_problem *why)
{
    size_t bytes = types[npy->type].size;
    bool fits = true;
    for (unsigned d = 0; d < npy->n_dims; d++) {
        fits = fits && npy->dims[d] <= INT64_MAX && size_mul(bytes, (size_t)npy->dims[d], &bytes);
    }
    if (!fits) {
        return problem_set(why, CAIRN_ERR_DATA, "check its dimensions",
                           "%s: its dimensions multiply to more than memory can hold", name);
    }
    if (bytes != size - npy->data_at) {
        return problem_set(why, CAIRN_ERR_DATA, "copy the file again",
                           "%s: its shape takes %zu bytes, the file has %" PRIu64, name, bytes,
                           size - npy->data_at);
    }
    return 0;
}

static int parse(struct span start, uint64_t size, const char *name, const struct taken *taken,
                 struct npy *out, struct cairn_problem *why)
{
    struct npy npy = {0};
    struct fields fields = {0};
    if (!npy_begins(start) || start.size < PREFIX_2) {
        return bad(why, name, "no .npy array, or cut off within its header");
    }
    const unsigned version = start.data[6];
    if (version < 1 || version > 3 || start.data[7] != 0) {
        return problem_set(why, CAIRN_ERR_DATA, hint_save,
                           "%s: .npy version %u.%u; 1.0, 2.0 and 3.0 can be read", name, version,
                           start.data[7]);
    }
    const size_t prefix = version == 1 ? PREFIX_1 : PREFIX_2;
    const size_t length = version == 1 ? le_get16(start.data + 8) : le_get32(start.data + 8);
    if (length > start.size - prefix) {
        return problem_set(why, CAIRN_ERR_DATA, hint_save,
                           "%s: says that its header has %zu bytes; it is cut off, or no plain "
                           "array", name, length);
    }
    const char *text = (const char *)start.data + prefix;
    int error = parse_dictionary((struct text){text, text + length}, &fields, &npy, name, why);
    npy.data_at = prefix + length;
    if (!error) {
        error = check_fields(&fields, taken, &npy, name, why);
    }
    if (!error) {
        error = check_size(&npy, size, name, why);
    }
    if (!error) {
        *out = npy;
    }
    return error;
}

int npy_parse(struct span start, uint64_t size, const char *name, struct npy *out,
              struct cairn_problem *why)
{
    return parse(start, size, name, &only_float32, out, why);
}

int npy_parse_numbers(struct span start, uint64_t size, const char *name, struct npy *out,
                      struct cairn_problem *why)
{
    return parse(start, size, name, &numbers, out, why);
}

int npy_parse_any(struct span start, uint64_t size, const char *name, struct npy *out,
                  struct cairn_problem *why)
{
    return parse(start, size, name, &all_types, out, why);
}

int npy_read_header(const struct input *in,
                    int (*parse_start)(struct span, uint64_t, const char *, struct npy *,
                                       struct cairn_problem *),
                    struct npy *out, struct cairn_problem *why)
{
    struct buf start = {0};
    int error = input_append(in, 0, in->size < NPY_HEADER_LIMIT ? (size_t)in->size : NPY_HEADER_LIMIT,
                             &start, why);
    if (!error) {
        error = parse_start(buf_span(&start), in->size, in->path, out, why);
    }
    buf_release(&start);
    return error;
}

int npy_header(const uint64_t *dims, unsigned n_dims, struct buf *out)
{
    const size_t start = out->size;
    const uint8_t prefix[PREFIX_1] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, 0, 0};
    int error = buf_append(out, prefix, sizeof prefix);
    if (!error) {
        error = buf_printf(out, "{'descr': '<f4', 'fortran_order': False, 'shape': (");
    }
    for (unsigned d = 0; !error && d < n_dims; d++) {
        error = buf_printf(out, d == 0 ? "%" PRIu64 "," : " %" PRIu64 ",", dims[d]);
    }
    if (!error && n_dims > 1) {
        out->size--; /* only a tuple of one keeps its comma */
    }
    if (!error) {
        error = buf_printf(out, "), }");
    }
    /* spaces, so that the elements are aligned, and the newline that ends a header */
    const size_t used = out->size - start + 1;
    if (!error) {
        error = buf_printf(out, "%*s\n", (int)(size_round_up(used, ALIGN) - used), "");
    }
    if (error) {
        out->size = start;
        return error;
    }
    le_put16(out->data + start + 8, (uint16_t)(out->size - start - PREFIX_1));
    return 0;
}
