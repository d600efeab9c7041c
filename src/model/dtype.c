/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Element types. Half precision is converted by integer arithmetic on the bits (IEEE 754-2019
 * section 3.4 has the formats), so that the result depends on no compiler flag and no processor.
 */
#include "dtype.h"

#include <math.h>
#include <string.h>

#include "le.h"

static const struct {
    const char *name;
    uint8_t size;
    bool is_float, is_signed;
} dtypes[MODEL_DTYPES] = {
    [MODEL_F32] = {"F32", 4, true, true},    [MODEL_F64] = {"F64", 8, true, true},
    [MODEL_F16] = {"F16", 2, true, true},    [MODEL_BF16] = {"BF16", 2, true, true},
    [MODEL_I64] = {"I64", 8, false, true},   [MODEL_I32] = {"I32", 4, false, true},
    [MODEL_I16] = {"I16", 2, false, true},   [MODEL_I8] = {"I8", 1, false, true},
    [MODEL_U64] = {"U64", 8, false, false},  [MODEL_U32] = {"U32", 4, false, false},
    [MODEL_U16] = {"U16", 2, false, false},  [MODEL_U8] = {"U8", 1, false, false},
    [MODEL_BOOL] = {"BOOL", 1, false, false}};

const char *model_dtype_name(enum model_dtype dtype)
{
    return dtypes[dtype].name;
}

enum model_dtype model_dtype_named(const char *name)
{
    enum model_dtype dtype = MODEL_F32;
    while (dtype < MODEL_DTYPES && strcmp(dtypes[dtype].name, name) != 0) {
        dtype++;
    }
    return dtype;
}

size_t model_dtype_size(enum model_dtype dtype)
{
    return dtypes[dtype].size;
}

bool model_dtype_is_float(enum model_dtype dtype)
{
    return dtypes[dtype].is_float;
}

/* ---- floats ---- */

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* bits >> by, to nearest, ties to even; by is 1 .. 31. */
static uint32_t round_shift(uint32_t bits, unsigned by)
{
    const uint32_t half = UINT32_C(1) << (by - 1);
    const uint32_t odd = (bits >> by) & 1; /* a tie goes to the even neighbour */
    return (bits + half - 1 + odd) >> by;
}

static float half_to_float(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half >> 15) << 31;
    const uint32_t exponent = (half >> 10) & 31, fraction = half & 1023;
    if (exponent == 31) {
        return of_bits(sign | UINT32_C(0x7f800000) | (fraction << 13));
    }
    if (exponent == 0) { /* fraction * 2^-24: exact, and 0 keeps its sign */
        const float value = (float)fraction * 0x1p-24F;
        return sign != 0 ? -value : value;
    }
    return of_bits(sign | ((exponent + 127 - 15) << 23) | (fraction << 13));
}

static uint16_t float_to_half(float value)
{
    const uint32_t bits = bits_of(value), sign = (bits >> 31) << 15;
    const uint32_t size = bits & UINT32_C(0x7fffffff);
    if (size > UINT32_C(0x7f800000)) {
        return (uint16_t)(sign | 0x7e00);
    }
    if (size >= UINT32_C(0x47800000)) { /* 2^16 and more */
        return (uint16_t)(sign | 0x7c00);
    }
    if (size < UINT32_C(0x33000000)) { /* below half of the smallest, 2^-25 */
        return (uint16_t)sign;
    }
    if (size < UINT32_C(0x38800000)) { /* below 2^-14: a multiple of 2^-24 */
        const uint32_t whole = (size & UINT32_C(0x7fffff)) | UINT32_C(0x800000);
        return (uint16_t)(sign | round_shift(whole, 126 - (size >> 23)));
    }
    /* 112: 127 - 15, between the biases; a carry out of the fraction raises the exponent, up to infinity, as it should */
    return (uint16_t)(sign | round_shift(size - (UINT32_C(112) << 23), 13));
}

static uint16_t float_to_bfloat(float value)
{
    const uint32_t bits = bits_of(value);
    if ((bits & UINT32_C(0x7fffffff)) > UINT32_C(0x7f800000)) {
        return (uint16_t)((bits >> 16) | 0x40); /* quiet, and no infinity when its low bits go */
    }
    return (uint16_t)(((uint64_t)bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

static float to_float(enum model_dtype dtype, const uint8_t *bytes)
{
    double wide;
    uint64_t bits;
    switch (dtype) {
    case MODEL_F64:
        bits = le_get64(bytes);
        memcpy(&wide, &bits, sizeof wide);
        return (float)wide;
    case MODEL_F16:
        return half_to_float(le_get16(bytes));
    case MODEL_BF16:
        return of_bits((uint32_t)le_get16(bytes) << 16);
    default:
        return of_bits(le_get32(bytes));
    }
}

static void from_float(enum model_dtype dtype, float value, uint8_t *bytes)
{
    const double wide = value;
    uint64_t bits;
    switch (dtype) {
    case MODEL_F64:
        memcpy(&bits, &wide, sizeof bits);
        le_put64(bytes, bits);
        return;
    case MODEL_F16:
        le_put16(bytes, float_to_half(value));
        return;
    case MODEL_BF16:
        le_put16(bytes, float_to_bfloat(value));
        return;
    default:
        le_put32(bytes, bits_of(value));
        return;
    }
}

void model_dtype_to_floats(enum model_dtype dtype, const uint8_t *bytes, size_t n, float *out)
{
    const size_t size = dtypes[dtype].size;
    for (size_t i = 0; i < n; i++) {
        out[i] = to_float(dtype, bytes + size * i);
    }
}

bool model_dtype_from_floats(enum model_dtype dtype, const float *values, size_t n, uint8_t *bytes)
{
    const size_t size = dtypes[dtype].size;
    bool fit = true;
    for (size_t i = 0; i < n; i++) {
        from_float(dtype, values[i], bytes + size * i);
        fit = fit && (isinf(values[i]) || !isinf(to_float(dtype, bytes + size * i)));
    }
    return fit;
}

/* Of the last two bytes, those of the exponent: all ones in what is not finite. */
static uint16_t exponent_of(enum model_dtype dtype)
{
    return dtype == MODEL_F64 ? 0x7ff0 : dtype == MODEL_F16 ? 0x7c00 : 0x7f80;
}

size_t model_dtype_first_bad(enum model_dtype dtype, const uint8_t *bytes, size_t n)
{
    const size_t size = dtypes[dtype].size;
    size_t i = 0;
    if (model_dtype_is_float(dtype)) {
        const uint16_t exponent = exponent_of(dtype);
        while (i < n && (le_get16(bytes + size * i + size - 2) & exponent) != exponent) {
            i++;
        }
        return i;
    }
    while (i < n && (dtype != MODEL_BOOL || bytes[i] <= 1)) {
        i++;
    }
    return i;
}

/* ---- integers ---- */

/* What a signed value is raised by, so that the lowest one becomes 0. */
static uint64_t raised_by(enum model_dtype dtype)
{
    return dtypes[dtype].is_signed ? UINT64_C(1) << 63 : 0;
}

bool model_dtype_to_words(enum model_dtype dtype, const uint8_t *bytes, size_t n, uint64_t *out)
{
    const size_t size = dtypes[dtype].size;
    const unsigned unused = 64 - 8 * (unsigned)size;
    bool good = true;
    for (size_t i = 0; i < n; i++) {
        uint64_t value = 0;
        for (size_t k = 0; k < size; k++) {
            value |= (uint64_t)bytes[size * i + k] << (8 * k);
        }
        if (dtypes[dtype].is_signed && (value << unused) >> 63 != 0 && unused > 0) {
            value |= UINT64_MAX << (64 - unused); /* a negative one keeps its value */
        }
        out[i] = value + raised_by(dtype);
        good = good && (dtype != MODEL_BOOL || value <= 1);
    }
    return good;
}

bool model_dtype_from_words(enum model_dtype dtype, const uint64_t *words, size_t n, uint8_t *bytes)
{
    const size_t size = dtypes[dtype].size;
    for (size_t i = 0; i < n; i++) {
        const uint64_t value = words[i] - raised_by(dtype);
        uint64_t again = 0;
        for (size_t k = 0; k < size; k++) {
            bytes[size * i + k] = (uint8_t)(value >> (8 * k));
        }
        if (!model_dtype_to_words(dtype, bytes + size * i, 1, &again) || again != words[i]) {
            return false;
        }
    }
    return true;
}
