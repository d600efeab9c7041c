/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys travel as bytes: who opens makes the pair and hands the public key out; a client that has
 * nothing but those bytes and the parameters encrypts.
 *
 *     cc 02_keys_as_bytes.c $(pkg-config --cflags --libs cairn)
 */
#include <cairn/he.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(int error, const struct cairn_problem *why)
{
    if (error != 0) {
        fprintf(stderr, "%s: %s\n", cairn_error_name(error), why->what);
        exit(cairn_error_exit(error));
    }
}

/* What a client does with the bytes that it got. */
static void client(const uint8_t *key_bytes, size_t key_size, const uint8_t *nonce,
                   uint8_t *payload, size_t size)
{
    const int32_t values[2] = {41, -1};
    struct cairn_problem why;
    struct cairn_params *params;
    struct cairn_public_key *key;
    check(cairn_params_new(CAIRN_PROFILE_BFV, 8, 10, &params, &why), &why);
    check(cairn_public_key_read(params, key_bytes, key_size, &key, &why), &why);
    check(cairn_encrypt(params, key, nonce, 1, 0, values, 2, payload, size, &why), &why);
    cairn_public_key_free(key);
    cairn_params_free(params);
}

int main(void)
{
    struct cairn_problem why;
    struct cairn_params *params;
    struct cairn_secret_key *secret;
    struct cairn_public_key *public_key;
    uint8_t nonce[CAIRN_NONCE_SIZE];
    check(cairn_params_new(CAIRN_PROFILE_BFV, 8, 10, &params, &why), &why);
    check(cairn_keygen(params, &secret, &public_key, &why), &why);
    check(cairn_nonce_new(nonce, &why), &why);

    /* ask for the size, then for the bytes */
    size_t size = 0;
    if (cairn_public_key_write(public_key, NULL, &size, &why) != CAIRN_ERR_USAGE) {
        return 70;
    }
    uint8_t *bytes = malloc(size);
    if (bytes == NULL) {
        return 4;
    }
    check(cairn_public_key_write(public_key, bytes, &size, &why), &why);
    printf("public key: %zu bytes\n", size);

    /* a secret key is kept the same way; these bytes are as secret as the key */
    uint8_t kept[CAIRN_SECRET_KEY_MOST];
    size_t kept_size = sizeof kept;
    check(cairn_secret_key_write(secret, kept, &kept_size, &why), &why);
    cairn_secret_key_free(secret);
    check(cairn_secret_key_read(params, kept, kept_size, &secret, &why), &why);
    explicit_bzero(kept, sizeof kept);

    const size_t payload_size = cairn_payload_size(params, 2);
    uint8_t *payload = malloc(payload_size);
    int64_t opened[2];
    if (payload == NULL) {
        return 4;
    }
    client(bytes, size, nonce, payload, payload_size);
    check(cairn_open(params, secret, nonce, 1, 0, 1, payload, payload_size, opened, 2, &why), &why);
    printf("opened: %d, %d\n", (int)opened[0], (int)opened[1]);

    free(payload);
    free(bytes);
    cairn_public_key_free(public_key);
    cairn_secret_key_free(secret);
    cairn_params_free(params);
    return opened[0] == 41 && opened[1] == -1 ? 0 : 1;
}
