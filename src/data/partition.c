/* SPDX-License-Identifier: Apache-2.0 */
/* Who trains on which rows: slices, shuffled slices, Dirichlet proportions, shards. */
#include "partition.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "le.h"
#include "replay.h"
#include "sizes.h"

enum { LABELS = UINT8_MAX + 1 };

/* What is being shared. */
struct sharing {
    const struct partition_rule *rule;
    const uint8_t *labels; /* (rows) */
    size_t rows, classes;
    uint32_t clients;
    uint32_t *owner; /* (rows) */
};

static int no_memory(struct cairn_problem *why)
{
    return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory to share out the rows");
}

int partition_slice(size_t rows, uint32_t clients, uint32_t index, struct row_range *out,
                    struct cairn_problem *why)
{
    uint64_t first;
    uint64_t end;

    if (clients == 0) {
        *out = (struct row_range){0, rows};
        return 0;
    }
    if (index >= clients) {
        return problem_set(why, CAIRN_ERR_DATA, "indices count from 0",
                           "client index %u of %u clients", index, clients);
    }
    if (clients > rows) {
        return problem_set(why, CAIRN_ERR_DATA, "use fewer clients or more data",
                           "client_number: %u clients cannot share %zu rows", clients, rows);
    }
    /* 32-bit factors: the products fit in 64 bits */
    first = (uint64_t)index * rows / clients;
    end = ((uint64_t)index + 1) * rows / clients;
    *out = (struct row_range){(size_t)first, (size_t)(end - first)};
    return 0;
}

/* Cut the rows, in the order of `order` or as they are, into pieces of one size. Piece p has the place
 * place[p], or p, in a queue of which each client takes per_client. */
static void cut(const struct sharing *s, const uint32_t *order, size_t pieces,
                const uint32_t *place, uint32_t per_client)
{
    for (size_t p = 0; p < pieces; p++) {
        const size_t first = (size_t)((uint64_t)p * s->rows / pieces);
        const size_t end = (size_t)(((uint64_t)p + 1) * s->rows / pieces);

        for (size_t i = first; i < end; i++) {
            s->owner[order ? order[i] : i] = (place ? place[p] : (uint32_t)p) / per_client;
        }
    }
}

static uint32_t *numbers_up_to(size_t n)
{
    uint32_t *numbers = size_alloc_array(n, sizeof *numbers);

    for (size_t i = 0; numbers && i < n; i++) {
        numbers[i] = (uint32_t)i;
    }
    return numbers;
}

static int share_shuffled(const struct sharing *s, struct cairn_problem *why)
{
    uint32_t *order = numbers_up_to(s->rows);
    struct replay_rng rng;

    if (!order) {
        return no_memory(why);
    }
    replay_init(&rng, "partition rows", s->rule->seed, 0, 0);
    replay_shuffle(&rng, order, s->rows);
    cut(s, order, s->clients, NULL, 1);
    free(order);
    return 0;
}

/* ---- by label ---- */

/* first[c] .. first[c + 1]: where class c stands when the rows are in the order of their labels. */
static void find_classes(const struct sharing *s, size_t first[LABELS + 1])
{
    memset(first, 0, (LABELS + 1) * sizeof *first);
    for (size_t i = 0; i < s->rows; i++) {
        first[s->labels[i] + 1]++;
    }
    for (size_t c = 0; c < LABELS; c++) {
        first[c + 1] += first[c];
    }
}

/* The rows in the order of their labels, rows of one label as in the file; NULL without memory. */
static uint32_t *order_by_label(const struct sharing *s)
{
    uint32_t *order = size_alloc_array(s->rows, sizeof *order);
    size_t next[LABELS + 1];

    find_classes(s, next);
    for (size_t i = 0; order && i < s->rows; i++) {
        order[next[s->labels[i]]++] = (uint32_t)i;
    }
    return order;
}

static int share_shards(const struct sharing *s, struct cairn_problem *why)
{
    const uint32_t per_client = s->rule->shards_per_client;
    struct replay_rng rng;
    uint32_t *order, *place;
    size_t shards;
    int err = 0;

    if (per_client == 0 || !size_mul(s->clients, per_client, &shards) || shards > s->rows) {
        return problem_set(why, CAIRN_ERR_DATA, "lower data.shards_per_client",
                           "data.shards_per_client: %u shards for each of %u clients cannot be cut "
                           "from %zu rows", per_client, s->clients, s->rows);
    }
    order = order_by_label(s);
    place = numbers_up_to(shards);
    if (order && place) {
        replay_init(&rng, "partition shards", s->rule->seed, 0, 0);
        replay_shuffle(&rng, place, shards);
        cut(s, order, shards, place, per_client);
    } else {
        err = no_memory(why);
    }
    free(order);
    free(place);
    return err;
}

/* ---- Dirichlet ---- */

/* In (0, 1). */
static double uniform(struct replay_rng *rng)
{
    return ((double)(replay_u64(rng) >> 11) + 0.5) * 0x1p-53;
}

/*
 * Logarithm of a gamma variable, because below alpha = 0.01 most of them are too small for a double.
 * Source: Marsaglia, Tsang, "A simple method for generating gamma variables", ACM TOMS 26 (2000);
 * its section 6 for alpha < 1: gamma(alpha) = gamma(alpha + 1) * uniform^(1 / alpha).
 */
static double log_gamma_variable(struct replay_rng *rng, double alpha)
{
    const double boost = alpha < 1 ? log(uniform(rng)) / alpha : 0;
    const double d = (alpha < 1 ? alpha + 1 : alpha) - 1.0 / 3;
    const double c = 1 / sqrt(9 * d);

    for (;;) {
        const double x = replay_normal(rng);
        const double root = 1 + c * x;
        const double v = root * root * root;

        if (root > 0 && log(uniform(rng)) < 0.5 * x * x + d - d * v + d * log(v)) {
            return log(d * v) + boost;
        }
    }
}

/* Dirichlet proportions of n clients, cumulated: ends[k] of `count` rows belong to the first k + 1. */
static void draw_ends(struct replay_rng *rng, double alpha, size_t count, uint32_t n,
                      double *proportions, uint32_t *ends)
{
    double largest = -INFINITY, sum = 0, passed = 0;

    for (uint32_t k = 0; k < n; k++) {
        proportions[k] = log_gamma_variable(rng, alpha);
        largest = fmax(largest, proportions[k]);
    }
    for (uint32_t k = 0; k < n; k++) {
        proportions[k] = exp(proportions[k] - largest); /* the largest is 1: the sum is not 0 */
        sum += proportions[k];
    }
    for (uint32_t k = 0; k < n; k++) {
        passed += proportions[k];
        ends[k] = (uint32_t)fmin(floor(passed / sum * (double)count), (double)count);
    }
    ends[n - 1] = (uint32_t)count;
}

/* One draw of all classes. @param ends (classes, clients) @return rows of whom has fewest */
static size_t draw_all(const struct sharing *s, uint32_t number, const size_t *first,
                       double *proportions, uint32_t *ends, size_t *sizes)
{
    struct replay_rng rng;
    size_t fewest = SIZE_MAX;

    memset(sizes, 0, s->clients * sizeof *sizes);
    replay_init(&rng, "partition draw", s->rule->seed, number, 0);
    for (size_t c = 0; c < s->classes; c++, ends += s->clients) {
        draw_ends(&rng, s->rule->alpha, first[c + 1] - first[c], s->clients, proportions, ends);
        for (uint32_t k = 0; k < s->clients; k++) {
            sizes[k] += ends[k] - (k > 0 ? ends[k - 1] : 0);
        }
    }
    for (uint32_t k = 0; k < s->clients; k++) {
        fewest = sizes[k] < fewest ? sizes[k] : fewest;
    }
    return fewest;
}

static void give_classes(const struct sharing *s, const size_t *first, const uint32_t *ends,
                         uint32_t *order)
{
    struct replay_rng rng;

    for (size_t c = 0; c < s->classes; c++, ends += s->clients) {
        uint32_t *rows = order + first[c];
        const size_t n = first[c + 1] - first[c];
        uint32_t k = 0;

        replay_init(&rng, "partition rows", s->rule->seed, 0, (uint32_t)c);
        replay_shuffle(&rng, rows, n);
        for (size_t i = 0; i < n; i++) {
            while (i >= ends[k]) {
                k++;
            }
            s->owner[rows[i]] = k;
        }
    }
}

static int draw_until_enough(const struct sharing *s, size_t least, const size_t *first,
                             double *proportions, uint32_t *ends, size_t *sizes,
                             struct cairn_problem *why)
{
    size_t nearest = 0;

    for (uint32_t number = 0; number < PARTITION_TRIES; number++) {
        const size_t fewest = draw_all(s, number, first, proportions, ends, sizes);
        if (fewest >= least) {
            return 0;
        }
        nearest = fewest > nearest ? fewest : nearest;
    }
    return problem_set(why, CAIRN_ERR_DATA, "raise data.alpha, lower data.min_samples, or use fewer "
                       "clients",
                       "data.min_samples: %d draws with data.alpha %g left some of %u clients with "
                       "fewer than %zu rows; the best draw's smallest share was %zu",
                       PARTITION_TRIES, s->rule->alpha, s->clients, least, nearest);
}

static int share_dirichlet(const struct sharing *s, size_t least, struct cairn_problem *why)
{
    size_t first[LABELS + 1], cells = 0;
    uint32_t *order = NULL, *ends = NULL;
    double *proportions = NULL;
    size_t *sizes = NULL;
    int err = 0;

    if (!(s->rule->alpha > 0) || !isfinite(s->rule->alpha)) {
        return problem_set(why, CAIRN_ERR_DATA, "0.1 is very uneven, 1 somewhat, 100 hardly",
                           "data.alpha: %g; a number above 0 is needed", s->rule->alpha);
    }
    order = order_by_label(s);
    ends = size_mul(s->classes, s->clients, &cells) ? size_alloc_array(cells, sizeof *ends) : NULL;
    proportions = size_alloc_array(s->clients, sizeof *proportions);
    sizes = size_alloc_array(s->clients, sizeof *sizes);
    if (!order || !ends || !proportions || !sizes) {
        err = no_memory(why);
    } else {
        find_classes(s, first);
        err = draw_until_enough(s, least, first, proportions, ends, sizes, why);
    }
    if (!err) {
        give_classes(s, first, ends, order);
    }
    free(order);
    free(ends);
    free(proportions);
    free(sizes);
    return err;
}

/* ---- all kinds ---- */

static int check(const struct sharing *s, size_t least, struct cairn_problem *why)
{
    const bool by_label =
        s->rule->kind == PARTITION_DIRICHLET || s->rule->kind == PARTITION_SHARDS;
    struct row_range slice;
    size_t needed;
    int err = partition_slice(s->rows, s->clients, 0, &slice, why);

    if (err) {
        return err;
    }
    if (by_label && !s->labels) {
        return problem_set(why, CAIRN_ERR_DATA, "\"contiguous\" and \"iid\" need no classes",
                           "data.partition: %s goes by classes, and model.type linear has none",
                           s->rule->kind == PARTITION_SHARDS ? "shards" : "dirichlet");
    }
    /* an even split is the best that any kind can do */
    if (!size_mul(least, s->clients, &needed) || needed > s->rows) {
        return problem_set(why, CAIRN_ERR_DATA, "lower data.min_samples, or use fewer clients",
                           "data.min_samples: %u clients with %zu rows each need more than the %zu "
                           "that there are", s->clients, least, s->rows);
    }
    return 0;
}

int partition_rows(const struct partition_rule *rule, const uint8_t *labels, size_t rows,
                   size_t classes, uint32_t clients, uint32_t *owner, struct cairn_problem *why)
{
    const struct sharing s = {rule, labels, rows, classes, clients, owner};
    const size_t least = rule->min_samples > 0 ? rule->min_samples : 1;
    int err = check(&s, least, why);

    if (err) {
        return err;
    }
    switch (rule->kind) {
    case PARTITION_CONTIGUOUS:
        cut(&s, NULL, clients, NULL, 1);
        return 0;
    case PARTITION_IID:
        return share_shuffled(&s, why);
    case PARTITION_DIRICHLET:
        return share_dirichlet(&s, least, why);
    case PARTITION_SHARDS:
        return share_shards(&s, why);
    }
    return problem_set(why, CAIRN_ERR_BUG, NULL, "there is no partition %d", (int)rule->kind);
}

size_t partition_own(const uint32_t *owner, size_t rows, uint32_t index, uint32_t *out)
{
    size_t n = 0;

    for (size_t i = 0; i < rows; i++) {
        if (owner[i] == index) {
            out[n++] = (uint32_t)i;
        }
    }
    return n;
}

void partition_fingerprint(const uint32_t *rows, size_t n, char hex[DIGEST_HEX_SIZE])
{
    struct digest_state state;
    uint8_t digest[DIGEST_SIZE];

    digest_init(&state);
    for (size_t i = 0; i < n; i++) {
        uint8_t word[4];
        le_put32(word, rows[i]);
        digest_update(&state, word, sizeof word);
    }
    digest_final(&state, digest);
    digest_hex(digest, DIGEST_SIZE, hex);
}
