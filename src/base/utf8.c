/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8, as much of it as cutting and escaping text takes. */
#include "utf8.h"

size_t utf8_decode(const uint8_t *s, size_t size, uint32_t *code)
{
    /* by length: the smallest character that needs it, anything below is overlong */
    static const uint32_t smallest[5] = {0, 0, 0x80, 0x800, 0x10000};
    if (size == 0) {
        return 0;
    }
    size_t length = s[0] < 0x80 ? 1 : s[0] < 0xc0 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (length == 0 || length > size || s[0] > 0xf4) {
        return 0;
    }
    uint32_t c = length == 1 ? s[0] : s[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
        c = c << 6 | (s[i] & 0x3fu);
    }
    if (c < smallest[length] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) {
        return 0;
    }
    *code = c;
    return length;
}

size_t utf8_whole(const char *s, size_t size)
{
    /* walk back over at most three continuation bytes to the byte that began the character */
    size_t back = 0;
    while (back < 3 && back < size && ((uint8_t)s[size - 1 - back] & 0xc0) == 0x80) {
        back++;
    }
    if (back == size) {
        return size;
    }
    uint8_t lead = (uint8_t)s[size - 1 - back];
    size_t wants = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    return wants > back + 1 ? size - 1 - back : size;
}
