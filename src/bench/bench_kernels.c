/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every kernel on every rung: run once on the same inputs as portable C and compared, then timed on
 * whatever those runs left, which is in range for all of them. One line of the list per slot.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "bench_time.h"
#include "kern_rungs.h"
#include "problem.h"
#include "replay.h"
#include "ring.h"
#include "sizes.h"

enum { N = RING_DEGREE, MOST_LANES = 4, MOST_BYTES = 8 * N, LIMIT = 32767 /* 16 bits */ };

/* Inputs and outputs of all slots: so that two runs can be compared as a whole. */
struct arrays {
    _Alignas(64) uint64_t words[N]; /* mod q, changed in place */
    uint64_t factors[N];            /* mod q */
    uint64_t fields[N];             /* below 2^K */
    uint64_t out[N];
    uint64_t residues[2][N]; /* of small signed numbers, mod q1 and mod q2 */
    int64_t lane_words[N];
    int64_t plain_words[N]; /* at most (t-1)/2 in magnitude */
    int64_t opened[N];
    int64_t digits[MOST_LANES * N];
    int32_t values[MOST_LANES * N]; /* digits of a sum */
    int32_t noise[N];
    float floats[N];     /* in [-1, 1) */
    uint32_t random[N];
    int32_t samples[N];
    uint8_t bytes[MOST_BYTES]; /* random */
    uint8_t packed[MOST_BYTES];
    uint8_t sum[MOST_BYTES];
    uint64_t returned[8]; /* the first; the others fill a line, so that no padding is compared */
};

struct constants {
    const struct kern_ntt *ring;
    const struct kern_modulus *m;
    const struct kern_crt *crt;
    struct kern_lanes lanes;
    struct kern_plain plain;
    struct kern_step step;
    unsigned bits, bits0, bits1; /* of a payload's field, and of a capsule's */
    size_t count;                /* values of one polynomial */
    size_t bytes;                /* of N packed fields */
};

#define SLOTS(X)                                                                                   \
    X(ntt_fwd, ops->ntt_fwd(w->words, k->ring))                                                    \
    X(ntt_inv, ops->ntt_inv(w->words, k->ring))                                                    \
    X(mul, ops->mul(w->out, w->words, w->factors, N, k->m))                                        \
    X(add_small, ops->add_small(w->words, w->noise, N, k->m))                                      \
    X(neg_add_small, ops->neg_add_small(w->words, w->noise, N, k->m))                              \
    X(lift_small, ops->lift_small(w->out, w->noise, N, k->m))                                      \
    X(lift_field, ops->lift_field(w->out, w->fields, k->bits, N, k->m))                            \
    X(sample_cbd21, ops->sample_cbd21(w->samples, N, w->bytes))                                    \
    X(sample_ternary, w->returned[0] = ops->sample_ternary(w->samples, N, w->bytes, MOST_BYTES))   \
    X(uniform_reject, w->returned[0] = ops->uniform_reject(w->out, N, w->bytes, MOST_BYTES, k->m)) \
    X(lanes_pack, ops->lanes_pack(w->opened, N, w->values, k->count, &k->lanes))                   \
    X(lanes_unpack, w->returned[0] = ops->lanes_unpack(w->digits, k->count, w->lane_words, N,      \
                                                       &k->lanes, k->lanes.digit_half))            \
    X(add_plain, ops->add_plain(w->words, w->plain_words, N, &k->plain, k->m))                     \
    X(switch_pow2, ops->switch_pow2(w->words, N, &k->step.mask))                                   \
    X(add_step, ops->add_step(w->fields, w->lane_words, N, &k->step))                              \
    X(pack_bits, ops->pack_bits(w->packed, w->fields, N, k->bits))                                 \
    X(unpack_bits, ops->unpack_bits(w->out, w->packed, N, k->bits))                                \
    X(add_packed, ops->add_packed(w->sum, w->packed, k->bytes, k->bits))                           \
    X(crt_centred, ops->crt_centred(w->out, w->residues[0], w->residues[1], N, k->crt))            \
    X(open_step, w->returned[0] = ops->open_step(w->opened, w->fields, w->factors, N, &k->step))   \
    X(open_plain, w->returned[0] = ops->open_plain(w->opened, w->fields, k->bits0, w->factors,     \
                                                   k->bits1, N, k->plain.t, UINT64_MAX / 4))       \
    X(round_randomly, w->returned[0] = ops->round_randomly(w->samples, w->floats, w->random, N,    \
                                                           LIMIT, LIMIT))                          \
    X(take_off, ops->take_off(w->floats, w->noise, N, 1.0 / LIMIT))

typedef void slot_fn(const struct kern_ops *ops, struct arrays *w, const struct constants *k);

/* a constant that a slot has no use for is no mistake */
#define DEFINE(name, call)                                                                         \
    static void run_##name(const struct kern_ops *ops, struct arrays *w,                           \
                           const struct constants *k)                                              \
    {                                                                                              \
        (void)k;                                                                                   \
        call;                                                                                      \
    }
SLOTS(DEFINE)
#undef DEFINE

static const struct slot {
    const char *name;
    size_t offset; /* in struct kern_ops */
    slot_fn *run;
} slots[] = {
#define ROW(name, call) {#name, offsetof(struct kern_ops, name), run_##name},
    SLOTS(ROW)
#undef ROW
};

enum { N_SLOTS = sizeof slots / sizeof slots[0] };

_Static_assert(sizeof(struct kern_ops) == N_SLOTS * sizeof(void (*)(void)),
               "a kernel is missing in SLOTS");

size_t bench_kernel_slots(void)
{
    return N_SLOTS;
}

/* ---- inputs ---- */

static int choose_constants(struct constants *k, struct cairn_problem *why)
{
    struct he_params p;
    const int error = he_params_choose(HE_CAPSULE, 16, BENCH_MAX_CLIENTS, &p, why);
    if (error != 0) {
        return error;
    }
    *k = (struct constants){.ring = ring_get(RING_Q), .crt = ring_crt()};
    k->m = &k->ring->modulus;
    if (p.lanes > MOST_LANES || !kern_lanes_init(&k->lanes, p.lanes, p.radix)) {
        return CAIRN_ERR_BUG;
    }
    kern_plain_init(&k->plain, k->m, p.bfv.plain_modulus);
    kern_step_init(&k->step, k->m, p.bits, p.step, p.step / 2);
    k->bits = p.bits;
    k->bits0 = p.bfv.bits0;
    k->bits1 = p.bfv.bits1;
    k->count = (size_t)p.lanes * N;
    k->bytes = (size_t)N / 8 * p.bits;
    return 0;
}

/* uniform in +-half */
static int64_t balanced(struct replay_rng *rng, uint64_t half)
{
    return (int64_t)(replay_u64(rng) % (2 * half + 1)) - (int64_t)half;
}

static uint64_t residue(int64_t x, uint64_t q)
{
    const int64_t r = x % (int64_t)q;
    return (uint64_t)(r < 0 ? r + (int64_t)q : r);
}

static void fill(struct arrays *w, const struct constants *k, const struct kern_ops *portable)
{
    const uint64_t mask = (UINT64_C(1) << k->bits) - 1;
    struct replay_rng rng;
    replay_init(&rng, "bench kernels", 0, 0, 0);
    for (size_t i = 0; i < N; i++) {
        const int64_t x = balanced(&rng, UINT64_MAX / 8);
        w->words[i] = replay_u64(&rng) % k->m->q;
        w->factors[i] = replay_u64(&rng) % k->m->q;
        w->fields[i] = replay_u64(&rng) & mask;
        w->residues[0][i] = residue(x, k->crt->q1);
        w->residues[1][i] = residue(x, k->crt->q2);
        w->plain_words[i] = balanced(&rng, (k->plain.t - 1) / 2);
        w->noise[i] = (int32_t)balanced(&rng, 21); /* CBD21 reaches 21 */
        w->floats[i] = 2 * replay_float(&rng) - 1;
        w->random[i] = replay_u32(&rng);
    }
    for (size_t i = 0; i < k->count; i++) {
        w->values[i] = (int32_t)balanced(&rng, k->lanes.digit_half);
    }
    for (size_t i = 0; i < MOST_BYTES; i++) {
        w->bytes[i] = (uint8_t)replay_u32(&rng);
    }
    portable->lanes_pack(w->lane_words, N, w->values, k->count, &k->lanes);
    portable->pack_bits(w->packed, w->fields, N, k->bits);
    memcpy(w->sum, w->packed, k->bytes);
}

/* ---- one slot on one rung ---- */

struct desk {
    struct constants k;
    struct arrays *fresh, *expected, *work;
    struct kern_ops rungs[CPU_RUNG_AVX512 + 1];
    const struct bench_effort *effort;
};

struct call {
    const struct slot *slot;
    const struct kern_ops *ops;
    const struct desk *desk;
};

static void run_call(void *ctx)
{
    const struct call *c = ctx;
    c->slot->run(c->ops, c->desk->work, &c->desk->k);
}

static int check(const struct desk *d, const struct slot *slot, enum cpu_rung rung,
                 struct cairn_problem *why)
{
    memcpy(d->expected, d->fresh, sizeof *d->fresh);
    slot->run(&d->rungs[CPU_RUNG_C], d->expected, &d->k);
    memcpy(d->work, d->fresh, sizeof *d->fresh);
    slot->run(&d->rungs[rung], d->work, &d->k);
    if (memcmp(d->work, d->expected, sizeof *d->work) != 0) {
        return problem_set(why, CAIRN_ERR_INTEGRITY,
                           "CAIRN_CPU=c runs without it; please report this machine",
                           "kernel %s: rung %s returns something else than portable C", slot->name,
                           cpu_rung_name(rung));
    }
    return 0;
}

static bool same_function(const struct desk *d, const struct slot *slot, enum cpu_rung a,
                          enum cpu_rung b)
{
    return memcmp((const char *)&d->rungs[a] + slot->offset,
                  (const char *)&d->rungs[b] + slot->offset, sizeof(void (*)(void))) == 0;
}

static int measure_slot(const struct desk *d, const struct slot *slot, enum cpu_rung best,
                        struct bench_kernel *out, struct cairn_problem *why)
{
    for (enum cpu_rung rung = CPU_RUNG_C; rung <= best; rung++) {
        if (rung > CPU_RUNG_C && same_function(d, slot, rung, rung - 1)) {
            out[rung] = out[rung - 1];
            out[rung].rung = rung;
            continue;
        }
        const int error = check(d, slot, rung, why);
        if (error != 0) {
            return error;
        }
        struct call call = {slot, &d->rungs[rung], d};
        const double ns = bench_call_ns(run_call, &call, d->effort->kernel_ns);
        out[rung] = (struct bench_kernel){slot->name, N, rung, rung, ns};
    }
    return 0;
}

int bench_kernels(enum cpu_rung best, const struct bench_effort *effort, struct bench_kernel *out,
                  struct cairn_problem *why)
{
    struct desk d = {.effort = effort};
    int error = choose_constants(&d.k, why);
    if (error != 0) {
        return error;
    }
    struct arrays *arrays = size_alloc_array(3, sizeof *arrays);
    if (!arrays) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory to measure kernels");
    }
    d.fresh = arrays;
    d.expected = arrays + 1;
    d.work = arrays + 2;
    for (enum cpu_rung rung = CPU_RUNG_C; rung <= best; rung++) {
        kern_fill(&d.rungs[rung], rung);
    }
    fill(d.fresh, &d.k, &d.rungs[CPU_RUNG_C]);
    for (size_t i = 0; i < N_SLOTS && error == 0; i++) {
        error = measure_slot(&d, &slots[i], best, out + i * ((size_t)best + 1), why);
    }
    free(arrays);
    return error;
}
