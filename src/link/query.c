/* SPDX-License-Identifier: Apache-2.0 */
#include "query.h"

#include <string.h>

/* The value of `name=value`, its length in *size; NULL when there is none or more than one. */
static const char *find_value(const char *query, const char *name, size_t *size)
{
    const size_t name_size = strlen(name);
    const char *found = NULL;
    for (const char *item = query; *item != '\0';) {
        const size_t item_size = strcspn(item, "&");
        if (item_size > name_size && item[name_size] == '=' && memcmp(item, name, name_size) == 0) {
            if (found != NULL) {
                return NULL;
            }
            found = item + name_size + 1;
            *size = item_size - name_size - 1;
        }
        item += item_size;
        item += *item == '&';
    }
    return found;
}

static bool read_number(const char *query, const char *name, uint64_t most, uint64_t *out)
{
    size_t size = 0;
    const char *text = find_value(query, name, &size);
    if (text == NULL || size == 0) {
        return false;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value)) {
            return false;
        }
    }
    if (value > most) {
        return false;
    }
    *out = value;
    return true;
}

bool query_u32(const char *query, const char *name, uint32_t *out)
{
    uint64_t value;
    if (!read_number(query, name, UINT32_MAX, &value)) {
        return false;
    }
    *out = (uint32_t)value;
    return true;
}

bool query_u64(const char *query, const char *name, uint64_t *out)
{
    return read_number(query, name, UINT64_MAX, out);
}

static int digit_of(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c == '\0' ? NULL : strchr(digits, c);
    return at == NULL ? -1 : (int)(at - digits);
}

bool query_hex(const char *query, const char *name, uint8_t *out, size_t size)
{
    size_t length = 0;
    const char *text = find_value(query, name, &length);
    if (text == NULL || length != 2 * size) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if (digit_of(text[i]) < 0) {
            return false;
        }
    }
    for (size_t i = 0; i < size; i++) {
        out[i] = (uint8_t)(digit_of(text[2 * i]) * 16 + digit_of(text[2 * i + 1]));
    }
    return true;
}

bool query_text(const char *query, const char *name, char *out, size_t size)
{
    size_t length = 0;
    const char *text = find_value(query, name, &length);
    if (text == NULL || length == 0 || length >= size) {
        return false;
    }
    memcpy(out, text, length);
    out[length] = '\0';
    return true;
}
