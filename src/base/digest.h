/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "buf.h"

/** BLAKE2b-256 (RFC 7693, unkeyed), from libsodium. */
enum { DIGEST_SIZE = 32, DIGEST_HEX_SIZE = 2 * DIGEST_SIZE + 1 };

/** Opaque streaming state; plain value, nothing to free. */
struct digest_state {
    _Alignas(64) uint8_t opaque[384];
};

void digest_init(struct digest_state *state);
void digest_update(struct digest_state *state, const void *bytes, size_t size);
void digest_final(struct digest_state *state, uint8_t out[DIGEST_SIZE]);
/** Of one run of bytes. */
void digest_of(const void *bytes, size_t size, uint8_t out[DIGEST_SIZE]);
/** Lower-case hexadecimal with a terminating zero; text holds 2*size+1. */
void digest_hex(const uint8_t *bytes, size_t size, char *text);
/** Parse exactly 2*size hexadecimal digits. @retval CAIRN_ERR_MALFORMED out untouched */
CAIRN_MUST_CHECK int digest_from_hex(const char *text, uint8_t *out, size_t size);

/** Base64 (RFC 4648, with padding), for binary fields in JSON. Appends to `out`. */
CAIRN_MUST_CHECK int base64_append(struct buf *out, const uint8_t *bytes, size_t size);
/** Strict decode, appended to `out`. @retval CAIRN_ERR_MALFORMED out unchanged */
CAIRN_MUST_CHECK int base64_parse(const char *text, struct buf *out);

#endif
