/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole of it in memory: three clients have four numbers each, somebody without a key adds what
 * they send, and the holder of the key sees the sums and nothing else.
 *
 *     cc 01_keygen_encrypt_add_open.c $(pkg-config --cflags --libs cairn)
 */
#include <cairn/he.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { CLIENTS = 3, N = 4, ROUND = 1, FRAME = 0 };

/* Every function of libcairn returns 0 or an error, and says in `why` what is wrong. */
static void check(int error, const struct cairn_problem *why)
{
    if (error != 0) {
        fprintf(stderr, "%s: %s\n", cairn_error_name(error), why->what);
        exit(cairn_error_exit(error));
    }
}

int main(void)
{
    static const int32_t values[CLIENTS][N] = {{1, -2, 3, 0}, {10, 20, -30, 0}, {100, 200, 300, 7}};
    struct cairn_problem why;
    struct cairn_params *params;
    struct cairn_secret_key *secret;
    struct cairn_public_key *public_key;
    uint8_t nonce[CAIRN_NONCE_SIZE];

    /* once: 16-bit values, at most three clients in a sum */
    check(cairn_params_new(CAIRN_PROFILE_CAPSULE, 16, CLIENTS, &params, &why), &why);
    check(cairn_keygen(params, &secret, &public_key, &why), &why);
    check(cairn_nonce_new(nonce, &why), &why);
    printf("parameters %s, %.0f bits of security\n", cairn_params_id(params),
           cairn_params_security_bits(params));

    /* every client encrypts; whoever is on the way adds */
    const size_t size = cairn_payload_size(params, N);
    uint8_t *sum = calloc(1, size);
    uint8_t *payload = calloc(1, size);
    if (sum == NULL || payload == NULL) {
        return 4;
    }
    for (int i = 0; i < CLIENTS; i++) {
        check(cairn_encrypt(params, public_key, nonce, ROUND, FRAME, values[i], N,
                            i == 0 ? sum : payload, size, &why), &why);
        if (i > 0) {
            check(cairn_add(params, N, sum, payload, size, &why), &why);
        }
    }

    /* the holder of the secret key opens the sum, once */
    int64_t sums[N];
    check(cairn_open(params, secret, nonce, ROUND, FRAME, CLIENTS, sum, size, sums, N, &why), &why);
    int wrong = 0;
    for (int j = 0; j < N; j++) {
        int64_t expected = 0;
        for (int i = 0; i < CLIENTS; i++) {
            expected += values[i][j];
        }
        printf("sum %d: %" PRId64 "\n", j, sums[j]);
        wrong += sums[j] != expected;
    }
    free(sum);
    free(payload);
    cairn_public_key_free(public_key);
    cairn_secret_key_free(secret);
    cairn_params_free(params);
    return wrong;
}
