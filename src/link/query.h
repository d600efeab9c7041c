/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_QUERY_H
#define ROLE_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Numbers from the query of a request, "round=3&origin=7&first=0".
 *
 * @param query  what stands behind the '?', "" when there is none
 * @param name   compared whole, as it is: nothing is unescaped
 * @return false when the name is missing or comes twice, or when its value is anything but decimal
 *         digits that make a number of this width; *out is untouched then
 */
bool query_u32(const char *query, const char *name, uint32_t *out);
bool query_u64(const char *query, const char *name, uint64_t *out);
/** `size` bytes as 2 * size hexadecimal digits in small letters. */
bool query_hex(const char *query, const char *name, uint8_t *out, size_t size);
/** Text of 1 .. size-1 characters, as it stands there. */
bool query_text(const char *query, const char *name, char *out, size_t size);

#endif
