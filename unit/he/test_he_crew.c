/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A frame on a team: the same bits whoever runs its chunks, every chunk with randomness of its own,
 * nothing left in memory, and many callers at once. To compare bits the operating system's
 * randomness is replaced: fixed bytes for a generator that is made while `fixed` is set.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "he.h"
#include "he_choice.h"
#include "he_ckks.h"
#include "he_crew.h"
#include "he_layout.h"
#include "he_wide.h"
#include "parallel.h"
#include "random_internal.h"
#include "replay.h"

enum { CLIENTS = 3, VALUE_BITS = 16 };

static const uint8_t nonce[HE_NONCE_SIZE] = {0xca, 0x12, [31] = 9};
static const unsigned team_sizes[] = {1, 2, 3, 7};

static atomic_bool fixed, failing;

static ssize_t system_bytes(void *out, size_t size, unsigned flags)
{
    if (failing) {
        errno = ENOSYS;
        return -1;
    }
    if (fixed) {
        memset(out, 0x42, size);
        return (ssize_t)size;
    }
    return getrandom(out, size, flags);
}

/* One set of parameters and what it takes to use it. */
struct set {
    struct he_params params;
    struct he_secret_key *secret;
    struct he_public_key *key;
    size_t n; /* five chunks, the last of them not full */
    size_t bytes;
    int32_t *values;
    uint8_t *payload;
    uint8_t *total;
    int64_t *sums;
};

static struct secret_rng *new_rng(void)
{
    struct secret_rng *rng;
    assert_int_equal(secret_rng_new(&rng), 0);
    return rng;
}

static struct set set_new(size_t degree, enum he_profile profile)
{
    struct set s = {0};
    assert_int_equal(he_choose_degree(degree, profile, VALUE_BITS, CLIENTS, &s.params, NULL), 0);
    if (profile != HE_NONE) {
        struct secret_rng *rng = new_rng();
        assert_int_equal(he_keygen(&s.params, rng, &s.secret, &s.key), 0);
        secret_rng_free(rng);
    }
    s.n = 4 * s.params.chunk_params + 1017;
    s.bytes = he_payload_bytes(&s.params, s.n);
    s.values = calloc(s.n, sizeof *s.values);
    s.payload = malloc(s.bytes);
    s.total = calloc(1, s.bytes);
    s.sums = malloc(s.n * sizeof *s.sums);
    struct replay_rng replay;
    replay_init(&replay, "crew test", 1, 0, 0);
    const uint32_t limit = (uint32_t)he_value_limit(VALUE_BITS);
    for (size_t i = 0; i < s.n; i++) {
        s.values[i] = (int32_t)replay_below(&replay, 2 * limit + 1) - (int32_t)limit;
    }
    return s;
}

static void set_free(struct set *s)
{
    he_secret_key_free(s->secret);
    he_public_key_free(s->key);
    free(s->values);
    free(s->payload);
    free(s->total);
    free(s->sums);
}

/* A crew of that many threads; 0: none. */
struct team {
    struct parallel *threads;
    struct he_crew *crew;
};

static struct team team_new(const struct he_params *params, unsigned size)
{
    struct team t = {0};
    if (size > 0) {
        assert_int_equal(parallel_new(size, &t.threads), 0);
        assert_int_equal(he_crew_new(params, t.threads, &t.crew), 0);
    }
    return t;
}

static void team_free(struct team *t)
{
    he_crew_free(t->crew);
    parallel_free(t->threads);
}

static void encrypt_fixed(struct set *s, struct he_crew *crew, uint8_t *payload)
{
    fixed = true;
    struct secret_rng *rng = new_rng();
    fixed = false;
    memset(payload, 0x5a, s->bytes);
    assert_int_equal(
        he_encrypt(&s->params, s->key, rng, crew, nonce, 1, 2, s->values, s->n, payload, NULL), 0);
    secret_rng_free(rng);
}

static int open_total(struct set *s, struct he_crew *crew)
{
    memset(s->sums, 0x77, s->n * sizeof *s->sums);
    return he_open(&s->params, s->secret, crew, nonce, 1, 2, CLIENTS, s->total, s->n, s->sums,
                   NULL);
}

static void add_clients(struct set *s)
{
    for (int c = 0; c < CLIENTS; c++) {
        he_add(&s->params, s->n, s->total, s->payload);
    }
}

static void assert_sums(const struct set *s)
{
    for (size_t i = 0; i < s->n; i++) {
        assert_int_equal(s->sums[i], (int64_t)CLIENTS * s->values[i]);
    }
}

/* Rubbish in the middle of a sum, and the second time the sum again. */
static void spoil(struct set *s)
{
    for (size_t i = 0; i < 512; i++) {
        s->total[s->bytes / 2 + i] ^= 0xa5;
    }
}

static void with_every_team(size_t degree, enum he_profile profile)
{
    struct set s = set_new(degree, profile);
    uint8_t *again = malloc(s.bytes);
    encrypt_fixed(&s, NULL, s.payload);
    add_clients(&s);
    assert_int_equal(open_total(&s, NULL), 0);
    assert_sums(&s);
    for (size_t t = 0; t < sizeof team_sizes / sizeof team_sizes[0]; t++) {
        struct team team = team_new(&s.params, team_sizes[t]);
        for (int times = 0; times < 3; times++) { /* a crew is the same after it was used */
            encrypt_fixed(&s, team.crew, again);
            assert_memory_equal(again, s.payload, s.bytes);
            assert_int_equal(open_total(&s, team.crew), 0);
            assert_sums(&s);
        }
        spoil(&s);
        assert_int_equal(open_total(&s, team.crew), CAIRN_ERR_INTEGRITY);
        spoil(&s);
        team_free(&team);
    }
    free(again);
    set_free(&s);
}

static void test_he_crew__same_bits_in_every_team(void **state)
{
    (void)state;
    with_every_team(RING_DEGREE, HE_NONE);
    with_every_team(RING_DEGREE, HE_BFV);
    with_every_team(RING_DEGREE, HE_CAPSULE);
    with_every_team(RING_WIDE_DEGREE, HE_BFV);
    with_every_team(RING_WIDE_DEGREE, HE_CAPSULE);
    with_every_team(HE_CKKS_DEGREE, HE_SEAL_CKKS);
}

/* ---- randomness ---- */

enum { CHUNKS = 40, TAKEN = 9000 }; /* more than a generator makes at once */

static uint8_t drawn[CHUNKS][TAKEN];

static int draw(const void *job, size_t chunk, struct he_worker *w)
{
    (void)job;
    /* in two helpings: a rest of the last chunk's would show */
    const size_t first = 100 + chunk;
    int rc = secret_rng_fill(w->rng, drawn[chunk], first);
    return rc != 0 ? rc : secret_rng_fill(w->rng, drawn[chunk] + first, TAKEN - first);
}

static void test_he_crew__every_chunk_draws_its_own(void **state)
{
    (void)state;
    static uint8_t first[CHUNKS][TAKEN];
    struct he_params p;
    assert_int_equal(he_params_choose(HE_BFV, 8, 3, &p, NULL), 0);
    for (size_t t = 0; t < sizeof team_sizes / sizeof team_sizes[0]; t++) {
        struct team team = team_new(&p, team_sizes[t]);
        fixed = true;
        struct secret_rng *rng = new_rng();
        fixed = false;
        assert_int_equal(he_crew_encrypt(team.crew, rng, CHUNKS, draw, NULL), 0);
        if (t == 0) {
            memcpy(first, drawn, sizeof first);
        }
        assert_memory_equal(drawn, first, sizeof first);
        for (size_t i = 0; i < CHUNKS; i++) {
            for (size_t j = 0; j < i; j++) {
                assert_memory_not_equal(drawn[i], drawn[j], 32);
                assert_memory_not_equal(drawn[i] + 8064, drawn[j] + 8064, 32);
            }
        }
        /* the next frame has another root */
        assert_int_equal(he_crew_encrypt(team.crew, rng, CHUNKS, draw, NULL), 0);
        for (size_t i = 0; i < CHUNKS; i++) {
            for (size_t j = 0; j < CHUNKS; j++) {
                assert_memory_not_equal(drawn[i], first[j], 32);
            }
        }
        secret_rng_free(rng);
        team_free(&team);
    }
}

static void test_he_crew__without_entropy_nothing_is_encrypted(void **state)
{
    (void)state;
    struct set s = set_new(RING_DEGREE, HE_CAPSULE);
    struct team team = team_new(&s.params, 3);
    struct secret_rng *rng = new_rng();
    memset(s.payload, 0x5a, s.bytes);
    failing = true; /* the workers' generators cannot be made */
    assert_int_equal(
        he_encrypt(&s.params, s.key, rng, team.crew, nonce, 1, 2, s.values, s.n, s.payload, NULL),
        CAIRN_ERR_NO_ENTROPY);
    failing = false;
    for (size_t i = 0; i < s.bytes; i++) {
        assert_int_equal(s.payload[i], 0);
    }
    assert_int_equal(
        he_encrypt(&s.params, s.key, rng, team.crew, nonce, 1, 2, s.values, s.n, s.payload, NULL),
        0);
    add_clients(&s);
    assert_int_equal(open_total(&s, team.crew), 0);
    assert_sums(&s);
    secret_rng_free(rng);
    team_free(&team);
    set_free(&s);
}

/* ---- failures and what is left behind ---- */

static int fail_at(const void *job, size_t chunk, struct he_worker *w)
{
    const size_t *at = job;
    (void)w;
    return chunk == *at ? CAIRN_ERR_ENVIRONMENT : 0;
}

static int bad_at(const void *job, size_t chunk, struct he_worker *w)
{
    const size_t *at = job;
    w->bad |= chunk == *at ? UINT64_MAX : 0;
    return 0;
}

static void test_he_crew__one_chunk_is_enough(void **state)
{
    (void)state;
    struct he_params p;
    assert_int_equal(he_params_choose(HE_BFV, 8, 3, &p, NULL), 0);
    struct team team = team_new(&p, 3);
    const size_t nowhere = CHUNKS;
    for (size_t at = 0; at < CHUNKS; at++) {
        uint64_t bad = 0;
        assert_int_equal(he_crew_open(team.crew, CHUNKS, fail_at, &at, &bad),
                         CAIRN_ERR_ENVIRONMENT);
        assert_true(bad == 0);
        assert_int_equal(he_crew_open(team.crew, CHUNKS, bad_at, &at, &bad), 0);
        assert_true(bad == UINT64_MAX);
        bad = 0; /* and nothing of it stays */
        assert_int_equal(he_crew_open(team.crew, CHUNKS, bad_at, &nowhere, &bad), 0);
        assert_true(bad == 0);
    }
    team_free(&team);
}

static void assert_wiped(struct he_crew *crew, size_t size)
{
    const uint8_t *scratch = he_crew_first(crew)->scratch;
    for (size_t i = 0; i < size; i++) {
        assert_int_equal(scratch[i], 0);
    }
}

static void test_he_crew__leaves_nothing_in_memory(void **state)
{
    (void)state;
    static const struct {
        size_t degree, scratch;
        enum he_profile profile;
    } sets[] = {{RING_DEGREE, sizeof(struct he_scratch), HE_BFV},
                {RING_DEGREE, sizeof(struct he_scratch), HE_CAPSULE},
                {RING_WIDE_DEGREE, sizeof(struct he_wide_scratch), HE_BFV},
                {RING_WIDE_DEGREE, sizeof(struct he_wide_scratch), HE_CAPSULE},
                {HE_CKKS_DEGREE, sizeof(struct he_ckks_scratch), HE_SEAL_CKKS}};
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        struct set s = set_new(sets[i].degree, sets[i].profile);
        struct team team = team_new(&s.params, 3);
        /* slots lie one behind the other: all of the team's memory */
        encrypt_fixed(&s, team.crew, s.payload);
        assert_wiped(team.crew, 3 * sets[i].scratch);
        add_clients(&s);
        assert_int_equal(open_total(&s, team.crew), 0);
        assert_wiped(team.crew, 3 * sets[i].scratch);
        spoil(&s);
        assert_int_equal(open_total(&s, team.crew), CAIRN_ERR_INTEGRITY);
        assert_wiped(team.crew, 3 * sets[i].scratch);
        team_free(&team);
        set_free(&s);
    }
}

static void test_he_crew__is_of_one_ring(void **state)
{
    (void)state;
    struct set s = set_new(RING_DEGREE, HE_BFV), wide = set_new(RING_WIDE_DEGREE, HE_BFV);
    struct team team = team_new(&s.params, 2);
    assert_int_equal(open_total(&wide, team.crew), CAIRN_ERR_BUG);
    team_free(&team);
    set_free(&s);
    set_free(&wide);
}

/* ---- many callers ---- */

struct caller {
    const struct set *set;
    uint8_t *payload;
    int64_t *sums;
    int rc;
};

static void *call(void *of)
{
    struct caller *c = of;
    const struct set *s = c->set;
    struct secret_rng *rng = NULL;
    struct team team = {0};
    struct buf bytes = {0};
    int rc = secret_rng_new(&rng) || parallel_new(2, &team.threads) ||
             he_crew_new(&s->params, team.threads, &team.crew);
    for (int i = 0; rc == 0 && i < 3; i++) {
        buf_clear(&bytes);
        rc = he_public_key_write(s->key, &bytes) ||
             he_encrypt(&s->params, s->key, rng, i == 0 ? NULL : team.crew, nonce, 1, 2, s->values,
                        s->n, c->payload, NULL) ||
             he_open(&s->params, s->secret, i == 0 ? NULL : team.crew, nonce, 1, 2, 1, c->payload,
                     s->n, c->sums, NULL);
    }
    buf_release(&bytes);
    team_free(&team);
    secret_rng_free(rng);
    c->rc = rc;
    return NULL;
}

/* The same keys and tables, everything else their own. */
static void test_he_crew__several_callers_at_once(void **state)
{
    (void)state;
    enum { CALLERS = 4 };
    static const enum he_profile profiles[] = {HE_CAPSULE, HE_BFV, HE_CAPSULE, HE_BFV,
                                               HE_SEAL_CKKS};
    static const size_t degrees[] = {RING_DEGREE, RING_DEGREE, RING_WIDE_DEGREE, RING_WIDE_DEGREE,
                                     HE_CKKS_DEGREE};
    for (size_t d = 0; d < sizeof degrees / sizeof degrees[0]; d++) {
        struct set s = set_new(degrees[d], profiles[d]);
        struct caller callers[CALLERS];
        pthread_t threads[CALLERS];
        for (int i = 0; i < CALLERS; i++) {
            callers[i] = (struct caller){&s, malloc(s.bytes), malloc(s.n * sizeof *s.sums), 0};
            assert_int_equal(pthread_create(&threads[i], NULL, call, &callers[i]), 0);
        }
        for (int i = 0; i < CALLERS; i++) {
            assert_int_equal(pthread_join(threads[i], NULL), 0);
            assert_int_equal(callers[i].rc, 0);
            for (size_t v = 0; v < s.n; v++) {
                assert_int_equal(callers[i].sums[v], s.values[v]);
            }
            free(callers[i].payload);
            free(callers[i].sums);
        }
        set_free(&s);
    }
}

int main(void)
{
    random_getrandom = system_bytes;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_he_crew__several_callers_at_once),
        cmocka_unit_test(test_he_crew__same_bits_in_every_team),
        cmocka_unit_test(test_he_crew__every_chunk_draws_its_own),
        cmocka_unit_test(test_he_crew__without_entropy_nothing_is_encrypted),
        cmocka_unit_test(test_he_crew__one_chunk_is_enough),
        cmocka_unit_test(test_he_crew__leaves_nothing_in_memory),
        cmocka_unit_test(test_he_crew__is_of_one_ring),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
