/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_DTYPE_H
#define MODEL_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * The types of a tensor's elements, as safetensors names them, and their bytes (little-endian).
 *
 * Floats are averaged, in float32 whatever their own type is. Integers and truth values are never
 * averaged: they are carried, as 64-bit words whose order as unsigned numbers is the order of the
 * values, so that whoever wants the larger of two need not know their type:
 *
 *   unsigned and BOOL   the value
 *   signed              the value + 2^63
 */
enum model_dtype {
    MODEL_F32,
    MODEL_F64,
    MODEL_F16,
    MODEL_BF16,
    MODEL_I64,
    MODEL_I32,
    MODEL_I16,
    MODEL_I8,
    MODEL_U64,
    MODEL_U32,
    MODEL_U16,
    MODEL_U8,
    MODEL_BOOL,
    MODEL_DTYPES, /* how many there are */
};

const char *model_dtype_name(enum model_dtype dtype);
/** @return the type with this name, or MODEL_DTYPES */
enum model_dtype model_dtype_named(const char *name);
/** Bytes of an element, 1 .. 8. */
size_t model_dtype_size(enum model_dtype dtype);
bool model_dtype_is_float(enum model_dtype dtype);

/** n elements of a float type to float32: exact for F16 and BF16, to nearest, ties to even, for F64.
 * A finite F64 beyond float32 becomes infinite. `bytes` may be unaligned. */
void model_dtype_to_floats(enum model_dtype dtype, const uint8_t *bytes, size_t n, float *out);
/** And back, to nearest, ties to even (IEEE 754): what is too large becomes infinite, NaN stays NaN.
 * @return false: a finite value was too large */
bool model_dtype_from_floats(enum model_dtype dtype, const float *values, size_t n, uint8_t *bytes);
/** Which of n elements is the first that is no value to go on with: not finite, or a BOOL that is neither 0 nor 1.
 * @return its number; n where all are good */
size_t model_dtype_first_bad(enum model_dtype dtype, const uint8_t *bytes, size_t n);
/** n elements of an integer type to words.
 * @return false: a BOOL that is neither 0 nor 1 */
bool model_dtype_to_words(enum model_dtype dtype, const uint8_t *bytes, size_t n, uint64_t *out);
/** And back.
 * @return false: a word that stands for no value of this type; the bytes are then unspecified */
bool model_dtype_from_words(enum model_dtype dtype, const uint64_t *words, size_t n,
                            uint8_t *bytes);

#endif
