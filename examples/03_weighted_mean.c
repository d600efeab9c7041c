/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Federated averaging proper: float32 values, every client weighted by its number of samples.
 * Samples 1, 9 and 90 with values 0, 10 and 100: the mean is 90.9, not 36.67.
 *
 *     cc 03_weighted_mean.c $(pkg-config --cflags --libs cairn) -lm
 */
#include <cairn/he.h>
#include <cairn/quantiser.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { CLIENTS = 3, N = 1000 };

static void check(int error, const struct cairn_problem *why)
{
    if (error != 0) {
        fprintf(stderr, "%s: %s\n", cairn_error_name(error), why->what);
        exit(cairn_error_exit(error));
    }
}

int main(void)
{
    static const uint64_t samples[CLIENTS] = {1, 9, 90};
    static const float value[CLIENTS] = {0, 10, 100};
    static float model[N];
    static int32_t quantised[N];
    static int64_t sums[N];
    struct cairn_problem why;
    struct cairn_params *params;
    struct cairn_secret_key *secret;
    struct cairn_public_key *key;
    uint8_t nonce[CAIRN_NONCE_SIZE];

    check(cairn_params_new(CAIRN_PROFILE_CAPSULE, 16, CLIENTS, &params, &why), &why);
    check(cairn_keygen(params, &secret, &key, &why), &why);
    check(cairn_nonce_new(nonce, &why), &why);

    /* what all clients agree on */
    struct cairn_quantiser q = {
        .range = 100, .value_bits = 16, .largest_samples = 90, .round = 1, .seed = 7};

    const size_t size = cairn_payload_size(params, N);
    uint8_t *sum = calloc(1, size);
    uint8_t *payload = calloc(1, size);
    if (sum == NULL || payload == NULL) {
        return 4;
    }
    for (uint32_t i = 0; i < CLIENTS; i++) {
        for (int j = 0; j < N; j++) {
            model[j] = value[i];
        }
        q.client = i;
        q.samples = samples[i];
        check(cairn_quantise(&q, model, NULL, N, quantised, NULL, &why), &why);
        check(cairn_encrypt(params, key, nonce, q.round, 0, quantised, N, i == 0 ? sum : payload,
                            size, &why), &why);
        if (i > 0) {
            check(cairn_add(params, N, sum, payload, size, &why), &why);
        }
    }
    check(cairn_open(params, secret, nonce, q.round, 0, CLIENTS, sum, size, sums, N, &why), &why);
    check(cairn_mean(&q, 100, sums, N, model, &why), &why);
    printf("mean of the first value: %.3f\n", (double)model[0]);

    /* each client is off by less than a step, weighted as it is */
    const double step = q.range / cairn_params_limit(params);
    int wrong = 0;
    for (int j = 0; j < N; j++) {
        wrong += fabs((double)model[j] - 90.9) > CLIENTS * step * 90 / 100;
    }
    free(sum);
    free(payload);
    cairn_public_key_free(key);
    cairn_secret_key_free(secret);
    cairn_params_free(params);
    return wrong != 0;
}
