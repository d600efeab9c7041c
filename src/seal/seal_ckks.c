/* SPDX-License-Identifier: Apache-2.0 */
/* Slots of SEAL's plaintexts: the encoder of he, in SEAL's shapes. */
#include "seal_ckks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ckks_encoder.h"
#include "seal_context.h"
#include "secret.h"

struct seal_ckks_encoder {
    const struct seal_context *context;
    struct ckks_encoder *slots;
};

void seal_ckks_encoder_free(struct seal_ckks_encoder *encoder)
{
    if (encoder != NULL) {
        ckks_encoder_free(encoder->slots);
        free(encoder);
    }
}

int seal_ckks_encoder_new(const struct seal_context *context, struct seal_ckks_encoder **out,
                          struct cairn_problem *why)
{
    if (context->params.scheme != SEAL_CKKS) {
        return problem_set(why, CAIRN_ERR_REFUSED, NULL,
                           "SEAL encoder: scheme: expected CKKS, found another");
    }
    struct seal_ckks_encoder *e = calloc(1, sizeof *e);
    if (e == NULL || ckks_encoder_new(&context->ring, &e->slots) != 0) {
        seal_ckks_encoder_free(e);
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a SEAL encoder");
    }
    e->context = context;
    *out = e;
    return 0;
}

size_t seal_ckks_slots(const struct seal_ckks_encoder *encoder)
{
    return ckks_slots(encoder->slots);
}

/* What encoding and decoding work in. */
struct work {
    uint64_t *words;
    struct ckks_complex *numbers;
};

static void work_free(struct work *w)
{
    secret_free(w->words);
    secret_free(w->numbers);
}

static int work_new(const struct seal_context *context, size_t words, struct work *w,
                    struct cairn_problem *why)
{
    w->words = secret_alloc(8 * words);
    w->numbers = secret_alloc(context->params.degree * sizeof *w->numbers);
    if (w->words == NULL || w->numbers == NULL) {
        work_free(w);
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for SEAL slots");
    }
    return 0;
}

int seal_ckks_encode(const struct seal_ckks_encoder *encoder, const double *values, size_t count,
                     double scale, unsigned level, struct seal_plain *out,
                     struct cairn_problem *why)
{
    const struct seal_context *context = encoder->context;
    if (!seal_is_data_level(context, (int)level)) {
        return problem_set(why, CAIRN_ERR_REFUSED, NULL,
                           "SEAL encoder: level: expected 1 to %u, found %u",
                           seal_context_first_level(context), level);
    }
    struct work w;
    const size_t words = seal_poly_words(context, level);
    int rc = work_new(context, words, &w, why);
    if (rc != 0) {
        return rc;
    }
    rc = ckks_encode(encoder->slots, values, count, scale, level, w.words, w.numbers, why);
    if (rc == 0) {
        seal_plain_release(out);
        *out = (struct seal_plain){level, scale, words, w.words};
        w.words = NULL;
    }
    work_free(&w);
    return rc;
}

static int check_plain(const struct seal_context *context, const struct seal_plain *plain,
                       struct cairn_problem *why)
{
    if (!seal_is_data_level(context, (int)plain->level) ||
        plain->count != seal_poly_words(context, plain->level) || !isnormal(plain->scale)) {
        return problem_set(why, CAIRN_ERR_REFUSED, NULL,
                           "SEAL encoder: plaintext: expected one of these parameters, found "
                           "level %u with %zu words and scale %g",
                           plain->level, plain->count, plain->scale);
    }
    return 0;
}

int seal_ckks_decode(const struct seal_ckks_encoder *encoder, const struct seal_plain *plain,
                     double *values, struct cairn_problem *why)
{
    struct work w;
    int rc = check_plain(encoder->context, plain, why);
    if (rc == 0) {
        rc = work_new(encoder->context, plain->count, &w, why);
    }
    if (rc == 0) {
        memcpy(w.words, plain->words, 8 * plain->count);
        ckks_decode(encoder->slots, w.words, plain->level, plain->scale, values, w.numbers);
        work_free(&w);
    }
    return rc;
}
