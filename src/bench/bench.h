/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cairn/err.h>

#include "cpu.h"
#include "he.h"

/**
 * Measuring cairn on the machine it runs on: each kernel on each rung, each profile as a whole, and
 * the bandwidth of plain memcpy beside them.
 *
 * Nothing is timed that is not also checked: a kernel must return what portable C returns, an
 * opened sum must be the plain sum. What a fast but wrong kernel gets is CAIRN_ERR_INTEGRITY.
 *
 * Every time is the median of several repetitions behind a warm-up, on the monotonic clock. Nothing
 * here prints; results are plain values.
 */

/** How long to measure. */
struct bench_effort {
    uint64_t kernel_ns;    /* for one kernel on one rung */
    uint64_t operation_ns; /* for one operation of one profile */
    unsigned copies;       /* of the whole buffer, for memcpy's bandwidth */
};
extern const struct bench_effort bench_effort_full, bench_effort_quick;

/** Processors that this process may use, at least 1, at most BENCH_MAX_THREADS. */
unsigned bench_processors(void);
enum { BENCH_MAX_THREADS = 256 };

/* ---- memory ---- */

/** Two buffers that no cache holds. Owner: bench_memory_release. */
struct bench_memory {
    uint8_t *from, *to;
    size_t size; /* of each: twice the last level of cache */
};

/** @retval CAIRN_ERR_NO_MEMORY */
CAIRN_MUST_CHECK int bench_memory_init(struct bench_memory *memory, struct cairn_problem *why);
void bench_memory_release(struct bench_memory *memory);
/**
 * Bytes copied per nanosecond (GB/s) by the C library's memcpy: from one buffer to the other as a
 * whole, each thread its own part of both; the best of several. A byte that is copied counts once.
 */
CAIRN_MUST_CHECK int bench_memory_copy(struct bench_memory *memory, unsigned threads,
                                       const struct bench_effort *effort, double *gb_s,
                                       struct cairn_problem *why);
/** Copy once, so that nothing that was in the caches is there any more. */
void bench_memory_evict(struct bench_memory *memory);

/* ---- kernels ---- */

struct bench_kernel {
    const char *name; /* of the slot in struct kern_ops; static */
    size_t n;         /* coefficients of one call */
    enum cpu_rung rung;
    enum cpu_rung code; /* the rung whose function serves here: a lower one where `rung` has none */
    double ns;          /* of one call */
};

/** Slots of struct kern_ops. */
size_t bench_kernel_slots(void);

/**
 * All slots on the rungs from portable C to `best`, slot by slot: slot s on rung r is
 * out[s * (best + 1) + r]. Polynomials of 2048 coefficients, constants of the parameter set
 * capsule with 16-bit values and 15 contributors.
 * @param[out] out  bench_kernel_slots() * (best + 1)
 * @retval CAIRN_ERR_INTEGRITY  a rung's output differs from portable C's
 * @retval CAIRN_ERR_NO_MEMORY
 */
CAIRN_MUST_CHECK int bench_kernels(enum cpu_rung best, const struct bench_effort *effort,
                                   struct bench_kernel *out, struct cairn_problem *why);

/* ---- the quantiser ---- */

/** One thread, 16-bit values: all that a client does with its floats in a round (quantiser_owe,
 * quantiser_read, quantiser_settle), and opened sums back into a model of floats; nanoseconds per
 * parameter.
 * @retval CAIRN_ERR_NO_MEMORY */
CAIRN_MUST_CHECK int bench_quantiser(const struct bench_effort *effort, double *quantise_ns,
                                     double *apply_ns, struct cairn_problem *why);

/* ---- profiles ---- */

enum { BENCH_MAX_CLIENTS = 15 };

/** One parameter set at work. */
struct bench_job {
    const struct he_params *params;
    size_t n; /* parameters of a frame */
    /* Payloads of a sum, 1 .. min(BENCH_MAX_CLIENTS, params->max_contributors). More would only
     * take memory: what an addition costs does not depend on how many there are. */
    unsigned clients;
    unsigned threads;            /* on one frame together; folding, each on a frame of its own */
    struct bench_memory *memory; /* to empty the caches before each fold */
    const struct bench_effort *effort;
};

/** Nanoseconds are wall time. */
struct bench_times {
    double encrypt_ns, open_ns; /* per parameter of the frame */
    double fold_ns;             /* per parameter of each payload that is added, by all threads */
    double fold_gb_s;           /* packed bytes of all payloads that are added */
    double bits_per_param;      /* of a whole payload: padding and capsule too */
};

/**
 * @retval CAIRN_ERR_INTEGRITY  an opened sum is not the plain sum, or was refused
 * @retval CAIRN_ERR_NO_MEMORY, CAIRN_ERR_NO_ENTROPY, CAIRN_ERR_ENVIRONMENT
 */
CAIRN_MUST_CHECK int bench_profile(const struct bench_job *job, struct bench_times *out,
                                   struct cairn_problem *why);

#endif
