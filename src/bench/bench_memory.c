/* SPDX-License-Identifier: Apache-2.0 */
/* How fast this machine copies memory, and how to empty its caches. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "bench_time.h"
#include "problem.h"
#include "sizes.h"

const struct bench_effort bench_effort_full = {
    .kernel_ns = 20 * UINT64_C(1000000), .operation_ns = 150 * UINT64_C(1000000), .copies = 20};
const struct bench_effort bench_effort_quick = {
    .kernel_ns = 2 * UINT64_C(1000000), .operation_ns = 5 * UINT64_C(1000000), .copies = 6};

unsigned bench_processors(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return n < 1 ? 1 : n > BENCH_MAX_THREADS ? BENCH_MAX_THREADS : (unsigned)n;
}

/* Bytes of the cache that the first processor shares with its neighbours, 0 where nobody says. Not
 * sysconf's answer, which on some processors is the sum over all such groups of the package. */
static size_t last_level_cache(void)
{
    char text[32] = "";
    FILE *f = fopen("/sys/devices/system/cpu/cpu0/cache/index3/size", "re");
    if (!f) {
        return 0;
    }
    if (!fgets(text, sizeof text, f)) {
        text[0] = 0;
    }
    (void)fclose(f);
    char *unit = NULL;
    const unsigned long number = strtoul(text, &unit, 10);
    return number < 1 << 20 && *unit == 'K' ? (size_t)number << 10 : 0;
}

/* Twice that. The bounds: virtual machines may name none, or one that they share with many. */
static size_t buffer_size(void)
{
    const size_t least = (size_t)64 << 20, most = (size_t)256 << 20;
    const size_t twice = size_round_up(2 * last_level_cache(), 4096);
    return twice < least ? least : twice > most ? most : twice;
}

int bench_memory_init(struct bench_memory *memory, struct cairn_problem *why)
{
    memory->size = buffer_size();
    memory->from = size_alloc_array(memory->size, 1);
    memory->to = size_alloc_array(memory->size, 1);
    if (!memory->from || !memory->to) {
        const size_t size = memory->size;
        bench_memory_release(memory);
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL,
                           "no memory for two buffers of %zu MiB to copy between", size >> 20);
    }
    /* pages that were never written are all one page of zeros, which the caches hold */
    memset(memory->from, 1, memory->size);
    memset(memory->to, 2, memory->size);
    return 0;
}

void bench_memory_release(struct bench_memory *memory)
{
    free(memory->from);
    free(memory->to);
    *memory = (struct bench_memory){0};
}

struct copy {
    struct bench_memory *memory;
    unsigned threads;
};

static int copy_part(void *ctx, unsigned thread, unsigned pass)
{
    const struct copy *c = ctx;
    const size_t size = c->memory->size / c->threads;
    (void)pass;
    memcpy(c->memory->to + thread * size, c->memory->from + thread * size, size);
    return 0;
}

int bench_memory_copy(struct bench_memory *memory, unsigned threads,
                      const struct bench_effort *effort, double *gb_s, struct cairn_problem *why)
{
    struct copy copy = {memory, threads};
    const struct bench_work work = {
        .part = copy_part, .ctx = &copy, .threads = threads, .least = effort->copies};
    double ns = 0;
    const int error = bench_work_best(&work, &ns);
    if (error != 0) {
        return problem_set(why, error, "try fewer --threads", "cannot measure memcpy: %s",
                           cairn_error_sentence(error));
    }
    const size_t copied = memory->size / threads * threads;
    *gb_s = (double)copied / ns;
    return 0;
}

void bench_memory_evict(struct bench_memory *memory)
{
    memcpy(memory->to, memory->from, memory->size);
}
