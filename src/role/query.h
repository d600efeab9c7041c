/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_QUERY_H
#define ROLE_QUERY_H

#include <stdbool.h>
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

#endif
