/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/**
 * Bytes of the well-formed UTF-8 character at the beginning of `s` (Unicode
 * table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF), and the
 * character itself in *code.
 * @return 1..4, or 0 where the bytes are not well-formed or are cut
 */
size_t utf8_decode(const uint8_t *s, size_t size, uint32_t *code);

/** Bytes of s[0..size) without a character that was cut off at the end. */
size_t utf8_whole(const char *s, size_t size);

#endif
