/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an opening gives away besides the sum, seen with the opener's eyes: with the secret key.
 *
 * Residuals. Opening leaves x - D M of every coefficient, which the opener may keep. The same sum
 * is split among the clients in two ways, the second chosen to shift residuals as far as
 * possible where rounding depends on messages. The two samples of residuals must look alike; a copy
 * of the chunk encryption that adds the message before the switch to 2^K must not pass for
 * that.
 *
 * Refusals. Whatever is wrong with a sum, the answer is the same to the last byte.
 *
 * Keys and masks are fresh in every run; the values are replayable from the printed seed.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "he.h"
#include "he_bfv.h"
#include "he_choice.h"
#include "he_layout.h"
#include "replay.h"

__extension__ typedef __int128 int128;

enum { CLIENTS = 12, N = RING_DEGREE, MAX_LANES = 2, ROUND = 5, FRAME = 9 };

static struct secret_rng *rng;
static struct he_secret_key *secret;
static struct he_public_key *key;
static struct he_scratch *scratch;
static struct replay_rng replay;
static const uint8_t nonce[HE_NONCE_SIZE] = {0x0b, 0x5e, [31] = 3};

static int setup(void **state)
{
    (void)state;
    struct he_params p;
    uint64_t seed;
    if (random_from_system(&seed, sizeof seed) != 0) {
        return -1;
    }
    printf("seed %#llx\n", (unsigned long long)seed);
    replay_init(&replay, "opening test", seed, 0, 0);
    scratch = he_scratch_new();
    return scratch == NULL || he_params_choose(HE_BFV, 8, 15, &p, NULL) || secret_rng_new(&rng) ||
           he_keygen(&p, rng, &secret, &key);
}

static int teardown(void **state)
{
    (void)state;
    he_scratch_free(scratch);
    he_public_key_free(key);
    he_secret_key_free(secret);
    secret_rng_free(rng);
    return 0;
}

static int128 mod(int128 a, int128 b)
{
    return (a % b + b) % b;
}

static int128 floor_div(int128 a, int128 b)
{
    return (a - mod(a, b)) / b;
}

/* ---- one sum, split in two ways ---- */

/* Values of one polynomial, by client: lane j of coefficient i at [j N + i]. */
struct split {
    int32_t values[CLIENTS][MAX_LANES * N];
};

static int32_t draw_value(int32_t limit)
{
    switch (replay_below(&replay, 4)) {
    case 0:
        return limit;
    case 1:
        return -limit;
    default:
        return (int32_t)replay_below(&replay, 2 * (uint32_t)limit + 1) - limit;
    }
}

static int64_t lane_word(const struct he_params *p, const int32_t lanes[MAX_LANES])
{
    int64_t m = 0;
    for (unsigned j = p->lanes; j-- > 0;) {
        m = m * (int64_t)p->radix + lanes[j];
    }
    return m;
}

/* Where a message m goes: q m num / den of a mask mod q, 2^K m num / den on the wire. */
struct position {
    uint64_t num, den;
};

/* D m on the wire, as clients have it. */
static struct position at_step(const struct he_params *p)
{
    return (struct position){p->step, UINT64_C(1) << p->bits};
}

/* q m / t, as in BFV, with t = r^L. */
static struct position at_plain(const struct he_params *p)
{
    struct position at = {1, 1};
    for (unsigned j = 0; j < p->lanes; j++) {
        at.den *= p->radix;
    }
    return at;
}

/* round(q m num / den) - q m num / den, in [-1/2, 1/2]: what the opener would see of m where masks
 * and messages are added mod q. */
static double rounding_error(const struct position *at, int64_t m)
{
    int128 place = (int128)RING_Q_VALUE * at->num % at->den * m;
    double part = (double)(int64_t)(place % (int128)at->den) / (double)at->den; /* (-1, 1) */
    return rint(part) - part;
}

/* Move something of every lane from one client to another, unless a value would leave its range. */
static void move(const struct he_params *p, int32_t from[MAX_LANES], int32_t to[MAX_LANES])
{
    int32_t limit = (int32_t)he_value_limit(p->value_bits);
    for (unsigned j = 0; j < p->lanes; j++) {
        int32_t value = draw_value(limit), other = to[j] + from[j] - value;
        if (other >= -limit && other <= limit) {
            from[j] = value;
            to[j] = other;
        }
    }
}

/* Shares of the clients with the same sum as before, and the sum of their rounding errors low. */
static void spread_out(const struct he_params *p, const struct position *at,
                       int32_t shares[CLIENTS][MAX_LANES])
{
    enum { MOVES = 800 };
    for (int k = 0; k < MOVES; k++) {
        unsigned a = replay_below(&replay, CLIENTS);
        unsigned b = (a + 1 + replay_below(&replay, CLIENTS - 1)) % CLIENTS;
        int32_t moved[2][MAX_LANES];
        memcpy(moved[0], shares[a], sizeof moved[0]);
        memcpy(moved[1], shares[b], sizeof moved[1]);
        move(p, moved[0], moved[1]);
        double before = rounding_error(at, lane_word(p, shares[a])) +
                        rounding_error(at, lane_word(p, shares[b]));
        double after =
            rounding_error(at, lane_word(p, moved[0])) + rounding_error(at, lane_word(p, moved[1]));
        /* they differ by an integer; what changes nothing is done too, to get out of dead ends */
        if (after < before + 0.5) {
            memcpy(shares[a], moved[0], sizeof moved[0]);
            memcpy(shares[b], moved[1], sizeof moved[1]);
        }
    }
}

/* A value that one client has alone, and the same value spread over all of them. */
static void split_coefficient(const struct he_params *p, const struct position *at, size_t i,
                              struct split *one, struct split *spread)
{
    int32_t shares[CLIENTS][MAX_LANES] = {{0}};
    for (unsigned j = 0; j < p->lanes; j++) {
        shares[0][j] = draw_value((int32_t)he_value_limit(p->value_bits));
        one->values[0][j * N + i] = shares[0][j];
    }
    spread_out(p, at, shares);
    for (unsigned j = 0; j < p->lanes; j++) {
        for (int c = 0; c < CLIENTS; c++) {
            spread->values[c][j * N + i] = shares[c][j];
        }
    }
}

/* ---- what the opener sees ---- */

/* The sum of one chunk's payloads: fields, and the sum of one-time keys, transformed. */
struct opened {
    _Alignas(64) uint64_t fields[N];
    uint64_t key[N];
};

/* Encrypt with the code that clients run, add, and take the keys' sum out of the capsule. */
static void sum_of_payloads(const struct he_params *p, const struct split *split,
                            struct opened *out)
{
    const struct kern_ops *ops = kern_get();
    const struct kern_ntt *ring = ring_get(RING_Q);
    size_t n = p->chunk_params, bytes = he_payload_bytes(p, n);
    uint8_t *payload = malloc(bytes), *total = calloc(1, bytes);
    assert_true(payload != NULL && total != NULL);
    for (int c = 0; c < CLIENTS; c++) {
        assert_int_equal(
            he_encrypt(p, key, rng, NULL, nonce, ROUND, FRAME, split->values[c], n, payload, NULL),
            0);
        he_add(p, n, total, payload);
    }
    struct he_section sections[HE_MAX_SECTIONS];
    he_sections(p, n, sections);
    size_t used = sections[1].count;
    const uint8_t *c0 = total + he_section_bytes(&sections[0]);
    const uint8_t *c1 = c0 + he_section_bytes(&sections[1]);
    struct kern_lanes lanes;
    assert_true(kern_lanes_init(&lanes, p->bfv.lanes, p->bfv.radix));
    uint64_t bad = he_bfv_open(&p->bfv, secret, CLIENTS, used, c0, c1, scratch);
    bad |= ops->lanes_unpack(scratch->digits, N, scratch->message, used, &lanes,
                             HE_KEY_MAGNITUDE * CLIENTS);
    assert_true(bad == 0);
    for (size_t i = 0; i < N; i++) {
        scratch->small[i] = (int32_t)scratch->digits[i];
    }
    ops->lift_small(out->key, scratch->small, N, &ring->modulus);
    ops->ntt_fwd(out->key, ring);
    ops->unpack_bits(out->fields, total, N, p->bits);
    free(payload);
    free(total);
}

/* out = a s, coefficients, for the frame's only chunk; s transformed */
static void times_public(const struct he_params *p, const uint64_t *s, uint64_t *out)
{
    const struct kern_ntt *ring = ring_get(RING_Q);
    uint8_t seed[32];
    he_capsule_seed(p, nonce, ROUND, FRAME, 0, seed);
    assert_int_equal(he_expand(seed, out, scratch->stream), 0);
    kern_get()->mul(out, out, s, N, &ring->modulus);
    kern_get()->ntt_inv(out, ring);
}

/* The mistake: round(q m num / den) goes into the mask, and both are switched to 2^K together. The
 * one-time key needs no capsule here. */
static void add_leaky_chunk(const struct he_params *p, const struct position *at,
                            const int32_t *values, struct opened *sum)
{
    const struct kern_ops *ops = kern_get();
    const struct kern_ntt *ring = ring_get(RING_Q);
    struct kern_switch to_wire;
    struct kern_lanes lanes;
    kern_switch_init(&to_wire, &ring->modulus, p->bits);
    assert_true(kern_lanes_init(&lanes, p->lanes, p->radix));

    assert_int_equal(he_sample_cbd(rng, scratch), 0);
    ops->lift_small(scratch->key, scratch->small, N, &ring->modulus);
    ops->ntt_fwd(scratch->key, ring);
    times_public(p, scratch->key, scratch->a);
    assert_int_equal(he_sample_cbd(rng, scratch), 0);
    ops->neg_add_small(scratch->a, scratch->small, N, &ring->modulus);
    ops->lanes_pack(scratch->message, N, values, p->chunk_params, &lanes);
    for (size_t i = 0; i < N; i++) {
        int128 twice = (int128)p->modulus * at->num * scratch->message[i] * 2 + at->den;
        int128 place = floor_div(twice, 2 * (int128)at->den);
        scratch->a[i] = (uint64_t)mod(scratch->a[i] + place, p->modulus);
    }
    ops->switch_pow2(scratch->a, N, &to_wire);
    for (size_t i = 0; i < N; i++) {
        sum->fields[i] += scratch->a[i]; /* modulo 2^K when it is looked at */
        sum->key[i] = (sum->key[i] + scratch->key[i]) % p->modulus;
    }
}

static void sum_of_leaky_chunks(const struct he_params *p, const struct position *at,
                                const struct split *split, struct opened *out)
{
    memset(out, 0, sizeof *out);
    for (int c = 0; c < CLIENTS; c++) {
        add_leaky_chunk(p, at, split->values[c], out);
    }
}

/* residuals[i] = fields + a S 2^K / q - 2^K M num / den mod 2^K, centred, in fields, of 20 more
 * bits */
static void residuals_of(const struct he_params *p, const struct position *at,
                         const struct split *split, const struct opened *sum, double residuals[N])
{
    static _Alignas(64) uint64_t product[N];
    times_public(p, sum->key, product);
    const int128 one = (int128)1 << (p->bits + 20);
    for (size_t i = 0; i < N; i++) {
        int32_t lanes[MAX_LANES] = {0};
        for (unsigned j = 0; j < p->lanes; j++) {
            for (int c = 0; c < CLIENTS; c++) {
                lanes[j] += split->values[c][j * N + i];
            }
        }
        int128 x = (int128)sum->fields[i] * (1 << 20) + product[i] * one / (int128)p->modulus;
        x = mod(x - floor_div(at->num * one * lane_word(p, lanes), at->den), one);
        x -= x >= one / 2 ? one : 0;
        residuals[i] = (double)x / (1 << 20);
    }
}

/* ---- are two samples alike? ---- */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Kolmogorov and Smirnov: the largest difference of the two distribution functions. */
static double largest_difference(double *a, double *b, size_t n)
{
    qsort(a, n, sizeof *a, by_size);
    qsort(b, n, sizeof *b, by_size);
    double largest = 0;
    for (size_t i = 0, j = 0; i < n && j < n;) {
        double at = fmin(a[i], b[j]);
        while (i < n && a[i] <= at) {
            i++;
        }
        while (j < n && b[j] <= at) {
            j++;
        }
        largest = fmax(largest, fabs((double)i - (double)j) / (double)n);
    }
    return largest;
}

enum { FRAMES = 64, SAMPLES = FRAMES * N };

/*
 * Two samples of n from one distribution differ by more than k sqrt(2 / n) with probability at
 * most 2 exp(-2 k^2), which is 2^-32 for this k: a run in 10^9 fails for no reason.
 * Source: Wei and Dudley, "Two-sample Dvoretzky-Kiefer-Wolfowitz inequalities", 2012 (n >= 458)
 */
static double bound(void)
{
    double k = sqrt((32 + 1) * log(2) / 2);
    return k * sqrt(2.0 / SAMPLES);
}

/* Of what clients send (wrong = NULL) or of the mistake, when the splits are made for messages at
 * `at`. */
static double difference_between_splits(const struct he_params *p, const struct position *at,
                                        const struct position *wrong)
{
    static struct split one, spread;
    static struct opened sum;
    static double residuals[2][SAMPLES];
    const struct position place = wrong ? *wrong : at_step(p);
    memset(&one, 0, sizeof one);
    for (size_t i = 0; i < N; i++) {
        split_coefficient(p, at, i, &one, &spread);
    }
    for (size_t k = 0; k < 2 * FRAMES; k++) {
        const struct split *split = k % 2 == 0 ? &one : &spread;
        if (wrong) {
            sum_of_leaky_chunks(p, wrong, split, &sum);
        } else {
            sum_of_payloads(p, split, &sum);
        }
        residuals_of(p, &place, split, &sum, residuals[k % 2] + k / 2 * N);
    }
    double difference = largest_difference(residuals[0], residuals[1], SAMPLES);
    printf("%s: samples differ by %.4f, bound %.4f, residuals within [%.2f, %.2f]\n", p->id,
           difference, bound(), residuals[0][0], residuals[0][SAMPLES - 1]);
    /* a wrong residual would be anywhere in +-D/2 */
    assert_true(residuals[0][SAMPLES - 1] < (double)p->step / 2);
    return difference;
}

/* The defaults; and fields as wide as q, where the switch rounds nothing away. N = 2048 for both. */
static struct he_params params_of(int which)
{
    struct he_params p;
    unsigned value_bits = which == 0 ? 16 : 17;
    uint32_t contributors = which == 0 ? 12 : 14;
    assert_int_equal(he_choose_degree(N, HE_CAPSULE, value_bits, contributors, &p, NULL), 0);
    assert_in_range(p.lanes, 1, MAX_LANES);
    return p;
}

static void test_opening__residual_does_not_know_the_split(void **state)
{
    (void)state;
    for (int which = 0; which <= 1; which++) {
        struct he_params p = params_of(which);
        struct position step = at_step(&p), plain = at_plain(&p);
        assert_true(difference_between_splits(&p, &step, NULL) < bound());
        assert_true(difference_between_splits(&p, &plain, NULL) < bound());
    }
}

static void test_opening__a_message_before_the_switch_would_show(void **state)
{
    (void)state;
    for (int which = 0; which <= 1; which++) {
        struct he_params p = params_of(which);
        struct position step = at_step(&p), plain = at_plain(&p);
        assert_true(difference_between_splits(&p, &step, &step) > bound());
        assert_true(difference_between_splits(&p, &plain, &plain) > bound());
    }
}

/* ---- refusals ---- */

/* Payloads of CLIENTS clients, by client, and others of the same clients that do not belong. */
struct frame {
    struct he_params params;
    size_t n, bytes;
    uint8_t *of[CLIENTS], *total;
};

static struct frame frame_new(enum he_profile profile, uint32_t round, uint32_t index)
{
    struct frame f;
    assert_int_equal(he_params_choose(profile, 8, 15, &f.params, NULL), 0);
    f.n = f.params.chunk_params + 100;
    f.bytes = he_payload_bytes(&f.params, f.n);
    f.total = calloc(1, f.bytes);
    int32_t *values = malloc(f.n * sizeof *values);
    assert_true(f.total != NULL && values != NULL);
    for (int c = 0; c < CLIENTS; c++) {
        for (size_t i = 0; i < f.n; i++) {
            values[i] = draw_value((int32_t)he_value_limit(f.params.value_bits));
        }
        f.of[c] = malloc(f.bytes);
        assert_non_null(f.of[c]);
        assert_int_equal(
            he_encrypt(&f.params, key, rng, NULL, nonce, round, index, values, f.n, f.of[c], NULL),
            0);
        he_add(&f.params, f.n, f.total, f.of[c]);
    }
    free(values);
    return f;
}

static void frame_free(struct frame *f)
{
    for (int c = 0; c < CLIENTS; c++) {
        free(f->of[c]);
    }
    free(f->total);
}

/* Bytes of the first section: a capsule begins there, or c1. */
static size_t body_bytes(const struct frame *f)
{
    struct he_section sections[HE_MAX_SECTIONS];
    he_sections(&f->params, f->n, sections);
    return he_section_bytes(&sections[0]);
}

enum part { BODY, REST, ALL };

/* total += part of payload */
static void add_part(struct frame *f, const uint8_t *payload, enum part part)
{
    uint8_t *bytes = malloc(f->bytes);
    assert_non_null(bytes);
    memcpy(bytes, payload, f->bytes);
    size_t body = body_bytes(f);
    if (part == BODY) {
        memset(bytes + body, 0, f->bytes - body);
    } else if (part == REST) {
        memset(bytes, 0, body);
    }
    he_add(&f->params, f->n, f->total, bytes);
    free(bytes);
}

/* The sum of the first `whole` clients, of whom every part is there. */
static void begin_sum(struct frame *f, int whole)
{
    memset(f->total, 0, f->bytes);
    for (int c = 0; c < whole; c++) {
        add_part(f, f->of[c], ALL);
    }
}

/* How an opening ended. Prefilled, so that whatever is left untouched compares equal too. */
struct outcome {
    int rc;
    struct cairn_problem why;
};

static struct outcome open_as(const struct frame *f, const struct he_secret_key *with,
                              uint32_t round, uint32_t index, uint32_t contributors)
{
    int64_t *sums = malloc(f->n * sizeof *sums);
    assert_non_null(sums);
    memset(sums, 0x77, f->n * sizeof *sums);
    struct outcome o;
    memset(&o, 0x5a, sizeof o);
    o.rc = he_open(&f->params, with, NULL, nonce, round, index, contributors, f->total, f->n, sums,
                   &o.why);
    int64_t any = 0;
    for (size_t i = 0; i < f->n; i++) {
        any |= sums[i];
    }
    assert_true(o.rc == 0 || any == 0);
    free(sums);
    return o;
}

static struct outcome open_it(const struct frame *f)
{
    return open_as(f, secret, ROUND, FRAME, CLIENTS);
}

static void assert_same_refusal(struct outcome o)
{
    static struct outcome first;
    static bool have_first;
    if (!have_first) {
        first = o;
        have_first = true;
        printf("refused: %s; %s\n", o.why.what, o.why.hint);
    }
    assert_int_equal(o.rc, CAIRN_ERR_INTEGRITY);
    assert_memory_equal(&o.why, &first.why, sizeof o.why);
}

static void test_opening__every_part_of_every_client_once(void **state)
{
    (void)state;
    struct frame f = frame_new(HE_CAPSULE, ROUND, FRAME);
    assert_int_equal(open_it(&f).rc, 0);
    for (int part = BODY; part <= REST; part++) {
        begin_sum(&f, CLIENTS - 1); /* the other part of the last client is missing */
        add_part(&f, f.of[CLIENTS - 1], (enum part)part);
        assert_same_refusal(open_it(&f));
        assert_same_refusal(open_as(&f, secret, ROUND, FRAME, CLIENTS - 1));

        begin_sum(&f, CLIENTS); /* this part of the first client is there twice */
        add_part(&f, f.of[0], (enum part)part);
        assert_same_refusal(open_it(&f));
        assert_same_refusal(open_as(&f, secret, ROUND, FRAME, CLIENTS + 1));
    }
    begin_sum(&f, CLIENTS);
    assert_int_equal(open_it(&f).rc, 0);
    frame_free(&f);
}

static void test_opening__every_part_from_this_frame(void **state)
{
    (void)state;
    static const uint32_t names[][2] = {{ROUND, FRAME + 1}, {ROUND + 1, FRAME}};
    struct frame f = frame_new(HE_CAPSULE, ROUND, FRAME);
    for (size_t k = 0; k < 2; k++) {
        struct frame other = frame_new(HE_CAPSULE, names[k][0], names[k][1]);
        for (int part = BODY; part <= ALL; part++) {
            begin_sum(&f, CLIENTS - 1);
            add_part(&f, other.of[CLIENTS - 1], (enum part)part);
            if (part != ALL) {
                add_part(&f, f.of[CLIENTS - 1], part == BODY ? REST : BODY);
            }
            assert_same_refusal(open_it(&f));
        }
        assert_same_refusal(open_as(&other, secret, ROUND, FRAME, CLIENTS));
        assert_int_equal(open_as(&other, secret, names[k][0], names[k][1], CLIENTS).rc, 0);
        frame_free(&other);
    }
    frame_free(&f);
}

/* Rubbish in one place of one section after the other, and a stranger's key. */
static void refuse_rubbish(enum he_profile profile)
{
    enum { RUBBISH = 64 };
    struct frame f = frame_new(profile, ROUND, FRAME);
    struct he_section sections[HE_MAX_SECTIONS];
    unsigned count = he_sections(&f.params, f.n, sections);
    uint8_t *at = f.total;
    for (unsigned k = 0; k < count; k++) {
        uint8_t saved[RUBBISH];
        memcpy(saved, at, RUBBISH);
        assert_int_equal(secret_rng_fill(rng, at, RUBBISH), 0);
        assert_same_refusal(open_it(&f));
        memcpy(at, saved, RUBBISH);
        at += he_section_bytes(&sections[k]);
    }
    struct he_secret_key *stranger;
    struct he_public_key *unused;
    assert_int_equal(he_keygen(&f.params, rng, &stranger, &unused), 0);
    assert_same_refusal(open_as(&f, stranger, ROUND, FRAME, CLIENTS));
    he_secret_key_free(stranger);
    he_public_key_free(unused);
    assert_int_equal(open_it(&f).rc, 0);
    frame_free(&f);
}

static void test_opening__rubbish_is_refused_alike_everywhere(void **state)
{
    (void)state;
    refuse_rubbish(HE_CAPSULE);
    refuse_rubbish(HE_BFV);
}

/* Fields that are moved, but not as far as the next message: only distances can tell. */
static void test_opening__right_but_off_is_refused_alike(void **state)
{
    (void)state;
    enum { FIELDS = 64 };
    struct frame f = frame_new(HE_CAPSULE, ROUND, FRAME);
    _Alignas(64) uint64_t push[FIELDS];
    uint8_t packed[8 * FIELDS];
    for (size_t i = 0; i < FIELDS; i++) {
        push[i] = f.params.step * 2 / 5; /* of 1/2; honest noise of 12 clients has about 1 field */
    }
    kern_get()->pack_bits(packed, push, FIELDS, f.params.bits);
    kern_get()->add_packed(f.total, packed, FIELDS / 8 * f.params.bits, f.params.bits);
    assert_same_refusal(open_it(&f));
    frame_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opening__residual_does_not_know_the_split),
        cmocka_unit_test(test_opening__a_message_before_the_switch_would_show),
        cmocka_unit_test(test_opening__every_part_of_every_client_once),
        cmocka_unit_test(test_opening__every_part_from_this_frame),
        cmocka_unit_test(test_opening__rubbish_is_refused_alike_everywhere),
        cmocka_unit_test(test_opening__right_but_off_is_refused_alike),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
