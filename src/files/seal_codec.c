/* SPDX-License-Identifier: Apache-2.0 */
/* Whole numbers to SEAL ciphertexts and back: see seal_codec.h. */
#include "seal_codec.h"

#include <math.h>
#include <string.h>

#include "he_ckks.h"
#include "he_layout.h"
#include "he_noise.h"
#include "problem.h"
#include "seal_bridge.h"
#include "secret.h"
#include "sizes.h"

static const double ckks_scale = (double)(UINT64_C(1) << HE_CKKS_SCALE_BITS);

/* ---- setting up ---- */

/*
 * A slot's noise after n fresh ciphertexts: a coefficient's is that of dividing by the special
 * prime, standard deviation sqrt((1 + 2N/3) / 12), and a slot adds up N of them. Twelve standard
 * deviations, beyond which a slot falls once in 2^100, have to fit into half a unit.
 */
static double least_unit(uint32_t contributors)
{
    const double degree = HE_CKKS_DEGREE;
    const double coefficient = sqrt((1 + 2 * degree / 3) / 12);
    return 2 * 12 * sqrt(contributors * degree) * coefficient / ckks_scale;
}

/* What ckks_encode takes for sure; sums of as many as there may be then are far below q / 2. */
static const double largest_slot = (double)(UINT64_C(1) << (62 - HE_CKKS_SCALE_BITS));

static int check_unit(const struct seal_codec *c, struct cairn_problem *why)
{
    const double least = least_unit(c->params.max_contributors);
    const double largest = c->unit * (double)he_value_limit(c->params.value_bits);
    if (!c->exact && !(c->unit >= least)) {
        return problem_set(why, CAIRN_ERR_CONFIG, "fewer value bits, or a larger range",
                           "a step of %.3g is below %.3g, what CKKS at scale 2^40 can tell apart "
                           "in a sum of %u", c->unit, least, c->params.max_contributors);
    }
    if (!c->exact && !(largest < largest_slot)) {
        return problem_set(why, CAIRN_ERR_CONFIG,
                           "a smaller range, or samples counted in larger units",
                           "samples * value may be %.3g; slots at scale 2^40 hold less than %.3g",
                           largest, largest_slot);
    }
    return 0;
}

double seal_codec_unit(enum files_format format, double step, uint64_t largest_samples)
{
    return format == FILES_TENSEAL ? step * (double)largest_samples : 0;
}

int seal_codec_init(struct seal_codec *codec, const struct he_params *params, double unit,
                    struct cairn_problem *why)
{
    struct seal_codec c = {.params = *params, .unit = unit != 0 ? unit : 1, .exact = unit == 0};
    const bool ckks = params->profile == HE_SEAL_CKKS;
    struct seal_params p;
    int error = files_format_params(params, why);
    if (!error && ckks) {
        seal_bridge_ckks_params(&p);
        error = check_unit(&c, why);
    } else if (!error) {
        seal_bridge_params(params->bfv.plain_modulus, &p);
        if (!kern_lanes_init(&c.lanes, params->lanes, params->radix)) {
            error = problem_set(why, CAIRN_ERR_BUG, NULL, "no lanes for %s", params->id);
        }
    }
    if (!error) {
        error = seal_context_new(&p, SEAL_128, &c.context, why);
    }
    if (!error && ckks) {
        error = seal_ckks_encoder_new(c.context, &c.encoder, why);
    }
    if (error) {
        seal_codec_release(&c);
        return error;
    }
    *codec = c;
    return 0;
}

void seal_codec_release(struct seal_codec *codec)
{
    seal_ckks_encoder_free(codec->encoder);
    seal_context_free(codec->context);
    *codec = (struct seal_codec){0};
}

/* ---- encrypting: nothing here branches on a value ---- */

static int encode_lanes(const struct seal_codec *c, const int32_t *values, size_t count,
                        struct seal_plain *out, struct cairn_problem *why)
{
    const size_t degree = c->params.degree;
    const uint64_t t = c->params.bfv.plain_modulus;
    int64_t *words = secret_alloc(degree * sizeof *words);
    uint64_t *residues = secret_alloc(degree * sizeof *residues);
    int error = words == NULL || residues == NULL
                    ? problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a plaintext")
                    : 0;
    if (!error) {
        kern_get()->lanes_pack(words, degree, values, count, &c->lanes);
        for (size_t i = 0; i < degree; i++) {
            const uint64_t word = (uint64_t)words[i];
            residues[i] = word + (t & (0 - (word >> 63)));
        }
        error = seal_plain_from_coefficients(c->context, residues, out, why);
    }
    secret_free(residues);
    secret_free(words);
    return error;
}

static int encode_slots(const struct seal_codec *c, const int32_t *values, size_t count,
                        struct seal_plain *out, struct cairn_problem *why)
{
    double *slots = secret_alloc(count * sizeof *slots);
    if (slots == NULL) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a plaintext");
    }
    for (size_t i = 0; i < count; i++) {
        slots[i] = values[i] * c->unit;
    }
    int error = seal_ckks_encode(c->encoder, slots, count, ckks_scale, HE_CKKS_LEVEL, out, why);
    secret_free(slots);
    return error;
}

int seal_codec_encrypt(const struct seal_codec *codec, const struct seal_public_key *key,
                       struct secret_rng *rng, const int32_t *values, size_t count,
                       struct seal_cipher *out, struct cairn_problem *why)
{
    struct seal_plain plain = {0};
    int error = codec->encoder != NULL ? encode_slots(codec, values, count, &plain, why)
                                       : encode_lanes(codec, values, count, &plain, why);
    if (!error) {
        error = seal_encrypt(codec->context, key, rng, &plain, out, why);
    }
    seal_plain_release(&plain);
    return error;
}

/* ---- opening ---- */

/* @return 0, or all ones for what is no honest sum */
static uint64_t decode_lanes(const struct seal_codec *c, const struct seal_plain *plain,
                             uint64_t limit, int64_t *words, int64_t *sums, size_t count)
{
    const uint64_t t = c->params.bfv.plain_modulus;
    for (size_t i = 0; i < plain->count; i++) {
        const uint64_t x = plain->words[i];
        words[i] = (int64_t)(x - (t & (0 - ((t / 2 - x) >> 63)))); /* centred */
    }
    return kern_get()->lanes_unpack(sums, count, words, plain->count, &c->lanes, limit);
}

static uint64_t decode_slots(const struct seal_codec *c, double *slots, uint64_t limit,
                             uint32_t contributors, int64_t *sums, size_t count)
{
    /* Other programs' clients send what is no whole number of units: their sum is rounded to the
     * nearest, at most one half each beyond the largest. The slots behind the last value may hold
     * anything: TenSEAL repeats a short vector there. */
    const struct ckks_whole whole = {
        .limit = limit, .reach = he_noise_ckks(c->params.value_bits, contributors)};
    if (c->exact) {
        return ckks_round(slots, HE_CKKS_SLOTS, &whole, sums, count);
    }
    uint64_t bad = 0;
    for (size_t i = 0; i < count; i++) {
        const double x = slots[i] / c->unit;
        const bool fits = fabs(x) <= (double)limit + contributors; /* false for NaN */
        bad |= 0 - (uint64_t)!fits;
        sums[i] = (int64_t)nearbyint(fits ? x : 0);
    }
    return bad;
}

static int decode(const struct seal_codec *c, const struct seal_plain *plain,
                  uint32_t contributors, int64_t *sums, size_t count, uint64_t *bad,
                  struct cairn_problem *why)
{
    const uint64_t limit = he_value_limit(c->params.value_bits) * contributors;
    int error = 0;
    void *work = secret_alloc(c->params.degree * sizeof(int64_t)); /* or half as many doubles */
    if (work == NULL) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a plaintext");
    }
    if (c->encoder == NULL) {
        *bad = decode_lanes(c, plain, limit, work, sums, count);
    } else {
        error = seal_ckks_decode(c->encoder, plain, work, why);
        if (!error) {
            *bad = decode_slots(c, work, limit, contributors, sums, count);
        }
    }
    secret_free(work);
    return error;
}

int seal_codec_open(const struct seal_codec *codec, const struct seal_secret_key *key,
                    uint32_t contributors, const struct seal_cipher *cipher, int64_t *sums,
                    size_t count, struct cairn_problem *why)
{
    struct seal_plain plain = {0};
    uint64_t bad = 0;
    int error = seal_decrypt(codec->context, key, cipher, &plain, why);
    if (!error) {
        error = decode(codec, &plain, contributors, sums, count, &bad, why);
    }
    if (!error && bad != 0) {
        error = problem_set(why, CAIRN_ERR_INTEGRITY, NULL, "not an honest sum");
    }
    if (error) {
        memset(sums, 0, count * sizeof *sums);
    }
    seal_plain_release(&plain);
    return error;
}

/* ---- reading ---- */

static unsigned level_of(const struct he_params *params)
{
    return he_is_ckks(params) ? HE_CKKS_LEVEL : 1;
}

size_t seal_codec_longest(const struct he_params *params)
{
    /* full, uncompressed: 121 bytes and two polynomials; what compression adds to bytes that
     * cannot be compressed is far below an eighth */
    const size_t full = 121 + 16 * params->degree * level_of(params);
    return full + full / 8;
}

static int check_cipher(const struct seal_codec *c, const struct seal_cipher *x,
                        struct cairn_problem *why)
{
    const double scale = c->encoder != NULL ? ckks_scale : 1;
    if (x->seeded) {
        return problem_set(why, CAIRN_ERR_REFUSED, "encrypt with the public key",
                           "it is seeded, so it was made with the secret key");
    }
    const unsigned level = level_of(&c->params);
    if (x->level != level) {
        return problem_set(why, CAIRN_ERR_REFUSED, "encrypt at the first level",
                           "its level is %u and must be %u", x->level, level);
    }
    if (x->scale != scale) {
        return problem_set(why, CAIRN_ERR_REFUSED, "encode with the same scale",
                           "its scale is %.17g and must be %.17g", x->scale, scale);
    }
    return 0;
}

int seal_codec_read(const struct seal_codec *codec, const char *path, size_t number,
                    struct span bytes, size_t *consumed, struct seal_cipher *out,
                    struct cairn_problem *why)
{
    struct cairn_problem inner = {0};
    struct seal_cipher found = {0};
    int error = seal_cipher_read(codec->context, bytes, consumed, &found, &inner);
    if (!error) {
        error = check_cipher(codec, &found, &inner);
    }
    if (error) {
        seal_cipher_release(&found);
        return problem_set(why, error == CAIRN_ERR_MALFORMED ? CAIRN_ERR_DATA : error,
                           inner.hint[0] != 0 ? inner.hint
                                              : "all objects must be of the same public file",
                           "%s: object %zu: %s", path, number, inner.what);
    }
    seal_cipher_release(out);
    *out = found;
    return 0;
}
