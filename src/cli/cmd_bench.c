/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cairn bench: what encryption costs on this machine, per kernel and per profile, with memcpy's
 * bandwidth beside it. The document is built first; the tables for people come from it.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "cli.h"
#include "cpu.h"
#include "json.h"
#include "problem.h"
#include "table.h"

enum {
    FRAME_PARAMS = 1 << 19,       /* a frame's default, round.frame_params */
    QUICK_FRAME_PARAMS = 1 << 17, /* still many chunks, and the capsule still weighs little */
    MOST_SETS = 2 * HE_PROFILES,  /* parameter sets: every profile, two widths */
};

struct request {
    bool quick;
    unsigned threads; /* of the second half of the measurements */
    unsigned value_bits;
    unsigned contributors;
    unsigned n; /* parameters of a frame */
    enum cpu_rung rung;
    const struct bench_effort *effort;
    struct he_params sets[MOST_SETS];
    size_t n_sets;
};

/* Five decimals of a nanosecond are more than any clock here has; all that a double holds would be
 * hard to read. */
static json_t *rounded(double value)
{
    return json_real(round(value * 1e5) / 1e5);
}

/* ---- measuring ---- */

static int add_kernels(json_t *document, const struct request *r, struct cairn_problem *why)
{
    const size_t rungs = (size_t)r->rung + 1, n = bench_kernel_slots() * rungs;
    struct bench_kernel *kernels = calloc(n, sizeof *kernels);
    if (!kernels) {
        return cli_no_memory(why);
    }
    fprintf(stderr, "bench: %zu kernels, portable C%s%s\n", bench_kernel_slots(),
            rungs > 1 ? " to " : "", rungs > 1 ? cpu_rung_name(r->rung) : "");
    const int error = bench_kernels(r->rung, r->effort, kernels, why);
    json_t *list = json_array();
    for (size_t i = 0; error == 0 && i < n; i++) {
        const struct bench_kernel *k = &kernels[i];
        (void)json_array_append_new(list, json_pack("{s:s, s:I, s:s, s:s, s:o}", "name", k->name,
                                                    "n", (json_int_t)k->n, "rung",
                                                    cpu_rung_name(k->rung), "code",
                                                    cpu_rung_name(k->code), "ns", rounded(k->ns)));
    }
    (void)json_object_set_new(document, "kernels", list);
    free(kernels);
    return error;
}

static json_t *profile_entry(const struct request *r, const struct he_params *p, unsigned threads,
                             const struct bench_times *t)
{
    json_t *failure = isfinite(p->failure_log2) ? rounded(p->failure_log2) : json_null();
    json_t *entry = json_pack(
        "{s:s, s:i, s:I, s:I, s:i, s:s, s:i, s:I}", "profile", he_profile_name(p->profile),
        "value_bits", (int)p->value_bits, "contributors", (json_int_t)p->max_contributors, "n",
        (json_int_t)p->degree, "lanes", (int)p->lanes, "rung", cpu_rung_name(r->rung), "threads",
        (int)threads, "params", (json_int_t)r->n);
    (void)json_object_set_new(entry, "encrypt_ns_per_param", rounded(t->encrypt_ns));
    (void)json_object_set_new(entry, "fold_ns_per_param", rounded(t->fold_ns));
    (void)json_object_set_new(entry, "fold_gb_s", rounded(t->fold_gb_s));
    (void)json_object_set_new(entry, "open_ns_per_param", rounded(t->open_ns));
    (void)json_object_set_new(entry, "bits_per_param", rounded(t->bits_per_param));
    (void)json_object_set_new(entry, "failure_log2", failure);
    (void)json_object_set_new(entry, "security_bits", json_real(p->security_bits));
    return entry;
}

/* One parameter set, with one thread and then with all of them. */
static int add_set(json_t *list, const struct request *r, const struct he_params *p,
                   struct bench_memory *memory, struct cairn_problem *why)
{
    struct bench_job job = {.params = p, .n = r->n, .memory = memory, .effort = r->effort};
    job.clients = r->contributors < BENCH_MAX_CLIENTS ? r->contributors : BENCH_MAX_CLIENTS;
    const unsigned threads[] = {1, r->threads};
    for (size_t i = 0; i < (r->threads > 1 ? 2u : 1u); i++) {
        struct bench_times times;
        fprintf(stderr, "bench: profile %s, %u-bit values, %u contributors, %u thread%s\n",
                he_profile_name(p->profile), p->value_bits, r->contributors, threads[i],
                threads[i] == 1 ? "" : "s");
        job.threads = threads[i];
        const int error = bench_profile(&job, &times, why);
        if (error != 0) {
            return error;
        }
        (void)json_array_append_new(list, profile_entry(r, p, threads[i], &times));
    }
    return 0;
}

static int add_profiles(json_t *document, const struct request *r, struct bench_memory *memory,
                        struct cairn_problem *why)
{
    json_t *list = json_array();
    int error = 0;
    for (size_t i = 0; i < r->n_sets && error == 0; i++) {
        error = add_set(list, r, &r->sets[i], memory, why);
    }
    (void)json_object_set_new(document, "profiles", list);
    return error;
}

static int add_memory(json_t *document, const struct request *r, struct bench_memory *memory,
                      struct cairn_problem *why)
{
    double one = 0, all = 0;
    fprintf(stderr, "bench: memcpy, buffers of %zu MiB\n", memory->size >> 20);
    int error = bench_memory_copy(memory, 1, r->effort, &one, why);
    if (error == 0) {
        error = bench_memory_copy(memory, r->threads, r->effort, &all, why);
    }
    (void)json_object_set_new(document, "memcpy_gb_s", rounded(one));
    (void)json_object_set_new(document, "memcpy_threads_gb_s", rounded(all));
    (void)json_object_set_new(document, "memcpy_bytes", json_integer((json_int_t)memory->size));
    return error;
}

static int add_quantiser(json_t *document, const struct request *r, struct cairn_problem *why)
{
    double quantise = 0, apply = 0;
    const int error = bench_quantiser(r->effort, &quantise, &apply, why);
    (void)json_object_set_new(document, "quantise_ns_per_param", rounded(quantise));
    (void)json_object_set_new(document, "apply_ns_per_param", rounded(apply));
    return error;
}

static int measure(json_t *document, const struct request *r, struct cairn_problem *why)
{
    struct bench_memory memory = {0};
    int error = bench_memory_init(&memory, why);
    if (error != 0) {
        return error;
    }
    error = add_memory(document, r, &memory, why);
    if (error == 0) {
        error = add_quantiser(document, r, why);
    }
    if (error == 0) {
        error = add_kernels(document, r, why);
    }
    if (error == 0) {
        error = add_profiles(document, r, &memory, why);
    }
    bench_memory_release(&memory);
    return error;
}

/* ---- for people ---- */

/* A row a kernel, a column a rung: entries of one kernel follow each other. */
static void print_kernels(const json_t *document, enum cpu_rung best)
{
    const json_t *list = json_object_get(document, "kernels");
    const size_t rungs = (size_t)best + 1;
    struct table table = {.columns = 3 + rungs};
    table_cells(&table, "kernel", "n", NULL);
    for (size_t rung = 0; rung < rungs; rung++) {
        table_cell(&table, "%s ns", cpu_rung_name((enum cpu_rung)rung));
    }
    table_cell(&table, "faster");
    for (size_t i = 0; i + rungs <= json_array_size(list); i += rungs) {
        const json_t *first = json_array_get(list, i), *last = json_array_get(list, i + rungs - 1);
        table_cell(&table, "%s", json_get_text(first, "name", "?"));
        table_cell(&table, "%lld", json_get_int(first, "n", 0));
        for (size_t rung = 0; rung < rungs; rung++) {
            const json_t *k = json_array_get(list, i + rung);
            const char *code = json_get_text(k, "code", "");
            const bool own = strcmp(code, json_get_text(k, "rung", "")) == 0;
            if (own) {
                table_cell(&table, "%.1f", json_get_number(k, "ns", 0));
            } else {
                table_cell(&table, "as %s", code);
            }
        }
        table_cell(&table, "%.1f x",
                   json_get_number(first, "ns", 0) / json_get_number(last, "ns", 1));
    }
    printf("\n");
    table_print(&table, stdout);
}

static void print_profile(struct table *table, const json_t *p, const json_t *document)
{
    const long long threads = json_get_int(p, "threads", 1);
    const double copy =
        json_get_number(document, threads == 1 ? "memcpy_gb_s" : "memcpy_threads_gb_s", 1);
    const double bits = json_get_number(p, "bits_per_param", 0);
    table_cell(table, "%s", json_get_text(p, "profile", "?"));
    table_cell(table, "%lld bit", json_get_int(p, "value_bits", 0));
    table_cell(table, "%lld", threads);
    table_cell(table, "%.3f", json_get_number(p, "encrypt_ns_per_param", 0));
    table_cell(table, "%.3f", json_get_number(p, "fold_ns_per_param", 0));
    table_cell(table, "%.3f", json_get_number(p, "open_ns_per_param", 0));
    table_cell(table, "%.2f", json_get_number(p, "fold_gb_s", 0));
    table_cell(table, "%.0f %%", 100 * json_get_number(p, "fold_gb_s", 0) / copy);
    table_cell(table, "%.2f", bits);
    table_cell(table, "%.2f", bits / 8);
    const double security = json_get_number(p, "security_bits", 0);
    if (security <= 0) {
        table_cells(table, "-", "NONE", NULL);
        return;
    }
    if (json_is_number(json_object_get(p, "failure_log2"))) {
        table_cell(table, "2^%.0f", json_get_number(p, "failure_log2", 0));
    } else {
        table_cell(table, "never");
    }
    table_cell(table, "%.0f", security);
}

static void print_document(const json_t *document, const struct request *r)
{
    printf("cpu      %s, rung %s\n", json_get_text(document, "cpu", "?"), cpu_rung_name(r->rung));
    printf("memcpy   %.2f GB/s with 1 thread, %.2f with %u (best of %u copies of %lld MiB)\n",
           json_get_number(document, "memcpy_gb_s", 0),
           json_get_number(document, "memcpy_threads_gb_s", 0), r->threads, r->effort->copies,
           json_get_int(document, "memcpy_bytes", 0) >> 20);
    print_kernels(document, r->rung);

    struct table table = {.columns = 12};
    table_cells(&table, "profile", "values", "threads", "encrypt ns", "fold ns", "open ns",
                "fold GB/s", "of memcpy", "bits", "bytes", "wrong sum", "security", NULL);
    size_t k;
    const json_t *p;
    json_array_foreach(json_object_get(document, "profiles"), k, p)
    {
        print_profile(&table, p, document);
    }
    printf("\n");
    table_print(&table, stdout);
    printf(
        "per parameter; frames of %u parameters, sums of up to %u clients; several threads encrypt "
        "and open a frame together and fold a frame each\n",
        r->n, r->contributors);
    printf("around it a client quantises floats, %.2f ns, and sums become a model again, %.2f ns\n",
           json_get_number(document, "quantise_ns_per_param", 0),
           json_get_number(document, "apply_ns_per_param", 0));
    printf(
        "checked: every kernel returns what portable C does, every sum opens to the plain one\n");
}

/* Before anything is measured, so that what cannot be promised is said at once. */
static int choose_sets(struct request *r, const char *profile, unsigned value_bits,
                       struct cairn_problem *why)
{
    const unsigned usual[] = {8, 16};
    const unsigned *bits = value_bits ? &value_bits : usual;
    const size_t n_bits = value_bits ? 1 : 2;
    enum he_profile only = HE_NONE;
    if (profile && he_profile_from_name(profile, &only) != 0) {
        return problem_set(why, CAIRN_ERR_USAGE, "one of none, bfv, capsule, seal-ckks",
                           "--profile %s: no such profile", profile);
    }
    for (int i = 0; i < HE_PROFILES; i++) {
        const enum he_profile one = (enum he_profile)i;
        for (size_t j = 0; j < n_bits && (!profile || one == only); j++) {
            const int error =
                he_params_choose(one, bits[j], r->contributors, &r->sets[r->n_sets++], why);
            if (error != 0) {
                return error;
            }
        }
    }
    return 0;
}

static int run(struct cli *cli, const struct request *r, struct cairn_problem *why)
{
    json_t *document = json_pack("{s:s, s:s, s:i}", "cpu", cpu_model_name(), "rung",
                                 cpu_rung_name(r->rung), "threads", (int)r->threads);
    int error = document ? measure(document, r, why) : cli_no_memory(why);
    if (error == 0 && cli->json) {
        error = cli_print_json(cli, json_incref(document), why);
    } else if (error == 0) {
        print_document(document, r);
    }
    json_decref(document);
    return error;
}

int cmd_bench(struct cli *cli, int argc, char **argv, struct cairn_problem *why)
{
    struct request r = {.threads = bench_processors(), .contributors = BENCH_MAX_CLIENTS};
    const char *profile = NULL;
    unsigned value_bits = 0;
    const struct cli_option list[] = {
        {"quick", CLI_FLAG, NULL, "measure for two or three seconds instead of some ten", &r.quick,
         0, 0},
        {"threads", CLI_NUMBER, "N", "of the second measurement; default: all processors",
         &r.threads, 1, BENCH_MAX_THREADS},
        {"profile", CLI_TEXT, "NAME", "none, bfv, capsule or seal-ckks; default: all", &profile, 0, 0},
        {"value-bits", CLI_NUMBER, "B", "bits of a value; default: 8 and 16", &value_bits, 2, 24},
        {"contributors", CLI_NUMBER, "N",
         "most clients of a sum; default 15; of more than 15 only 15 are added", &r.contributors, 1,
         10000},
        {"params", CLI_NUMBER, "N", "parameters of a frame; default 524288, with --quick 131072",
         &r.n, 1, 1 << 23},
    };
    int error = cli_parse(cli, &argc, &argv, list, sizeof list / sizeof list[0], 0, 0, why);
    if (error == 0) {
        error = cpu_rung(&r.rung, why);
    }
    if (error == 0) {
        error = choose_sets(&r, profile, value_bits, why);
    }
    if (error != 0) {
        return error;
    }
    r.n = r.n ? r.n : r.quick ? QUICK_FRAME_PARAMS : FRAME_PARAMS;
    r.effort = r.quick ? &bench_effort_quick : &bench_effort_full;
    return run(cli, &r, why);
}
