/* SPDX-License-Identifier: Apache-2.0 */
/* Hashes, hexadecimal and base64, all from libsodium. */
#include <string.h>

#include <sodium.h>

#include "digest.h"
#include "sodium_once.h"

_Static_assert(sizeof(crypto_generichash_blake2b_state) <= sizeof(struct digest_state),
               "the opaque state must hold libsodium's");
_Static_assert(_Alignof(crypto_generichash_blake2b_state) <= _Alignof(struct digest_state),
               "and be aligned for it");
_Static_assert(DIGEST_SIZE == crypto_generichash_blake2b_BYTES, "BLAKE2b-256");

void digest_init(struct digest_state *state)
{
    (void)sodium_once(); /* chooses the fast implementation; the plain one is as right */
    (void)crypto_generichash_blake2b_init((void *)state->opaque, NULL, 0, DIGEST_SIZE);
}

void digest_update(struct digest_state *state, const void *bytes, size_t size)
{
    if (size != 0) {
        (void)crypto_generichash_blake2b_update((void *)state->opaque, bytes, size);
    }
}

void digest_final(struct digest_state *state, uint8_t out[DIGEST_SIZE])
{
    (void)crypto_generichash_blake2b_final((void *)state->opaque, out, DIGEST_SIZE);
}

void digest_of(const void *bytes, size_t size, uint8_t out[DIGEST_SIZE])
{
    struct digest_state state;
    digest_init(&state);
    digest_update(&state, bytes, size);
    digest_final(&state, out);
}

void digest_hex(const uint8_t *bytes, size_t size, char *text)
{
    (void)sodium_bin2hex(text, 2 * size + 1, bytes, size);
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int digest_from_hex(const char *text, uint8_t *out, size_t size)
{
    /* all of it is looked at before anything is written */
    for (size_t i = 0; i < 2 * size; i++) {
        if (hex_value(text[i]) < 0) { /* the terminating zero is no digit either */
            return CAIRN_ERR_MALFORMED;
        }
    }
    if (text[2 * size] != 0) {
        return CAIRN_ERR_MALFORMED;
    }
    for (size_t i = 0; i < size; i++) {
        out[i] = (uint8_t)(hex_value(text[2 * i]) << 4 | hex_value(text[2 * i + 1]));
    }
    return CAIRN_OK;
}

int base64_append(struct buf *out, const uint8_t *bytes, size_t size)
{
    if (size > SIZE_MAX / 4) { /* 4 characters for 3 bytes, rounded up, and a zero byte */
        return CAIRN_ERR_NO_MEMORY;
    }
    size_t room = sodium_base64_encoded_len(size, sodium_base64_VARIANT_ORIGINAL);
    int error = buf_reserve(out, room);
    if (error) {
        return error;
    }
    (void)sodium_bin2base64((char *)out->data + out->size, room, bytes, size,
                            sodium_base64_VARIANT_ORIGINAL);
    out->size += room - 1;
    return CAIRN_OK;
}

int base64_parse(const char *text, struct buf *out)
{
    size_t length = strlen(text);
    if (length == 0) {
        return CAIRN_OK;
    }
    size_t room = length / 4 * 3 + 3, size;
    int error = buf_reserve(out, room);
    if (error) {
        return error;
    }
    /* no character is ignored, and without an end pointer the text must be used up */
    if (sodium_base642bin(out->data + out->size, room, text, length, NULL, &size, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0) {
        return CAIRN_ERR_MALFORMED;
    }
    out->size += size;
    return CAIRN_OK;
}
