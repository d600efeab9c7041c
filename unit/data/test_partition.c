/* SPDX-License-Identifier: Apache-2.0 */
/* Every row belongs to one client, whatever the remainder. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "partition.h"
#include "replay.h"

static void assert_covers(size_t rows, uint32_t clients)
{
    struct cairn_problem why;
    size_t next = 0;

    for (uint32_t i = 0; i < clients; i++) {
        struct row_range slice;
        assert_int_equal(partition_slice(rows, clients, i, &slice, &why), 0);
        assert_int_equal(slice.first, next);
        assert_true(slice.count >= rows / clients && slice.count <= rows / clients + 1);
        next += slice.count;
    }
    assert_int_equal(next, rows);
}

static void test_partition__every_row_once(void **state)
{
    (void)state;
    assert_covers(60000, 7);
    assert_covers(60000, 12);
    assert_covers(10000, 9999);
    assert_covers(5, 5);
    assert_covers(1, 1);
    for (uint32_t clients = 1; clients <= 60; clients++) {
        for (size_t rows = clients; rows <= 200; rows++) {
            assert_covers(rows, clients);
        }
    }
}

/* floor(6 * 60000 / 7) = 51428, by hand */
static void test_partition__known_slice(void **state)
{
    struct cairn_problem why;
    struct row_range slice;

    (void)state;
    assert_int_equal(partition_slice(60000, 7, 6, &slice, &why), 0);
    assert_int_equal(slice.first, 51428);
    assert_int_equal(slice.count, 8572);
}

static void test_partition__largest_numbers(void **state)
{
    struct cairn_problem why;
    struct row_range slice;

    (void)state;
    assert_int_equal(partition_slice(UINT32_MAX, UINT32_MAX, UINT32_MAX - 1, &slice, &why), 0);
    assert_int_equal(slice.first, UINT32_MAX - 1);
    assert_int_equal(slice.count, 1);
}

static void test_partition__all_rows_without_clients(void **state)
{
    struct cairn_problem why;
    struct row_range slice;

    (void)state;
    assert_int_equal(partition_slice(60000, 0, 3, &slice, &why), 0);
    assert_int_equal(slice.first, 0);
    assert_int_equal(slice.count, 60000);
}

static void test_partition__refuses(void **state)
{
    struct row_range slice = {77, 88};
    struct cairn_problem why;

    (void)state;
    assert_int_equal(partition_slice(11, 12, 0, &slice, &why), CAIRN_ERR_DATA);
    assert_int_equal(partition_slice(60000, 12, 12, &slice, &why), CAIRN_ERR_DATA);
    assert_int_equal(slice.first, 77);
    assert_int_equal(slice.count, 88);
}

/* ---- owners ---- */

enum { ROWS = 6000, CLASSES = 10, CLIENTS = 8 };

static uint8_t labels[ROWS];
static uint32_t owner[ROWS], again[ROWS];

static void make_labels(void)
{
    struct replay_rng rng;

    replay_init(&rng, "test", 1, 0, 0);
    for (size_t i = 0; i < ROWS; i++) {
        labels[i] = (uint8_t)replay_below(&rng, CLASSES);
    }
}

static void must_share(const struct partition_rule *rule, uint32_t *out)
{
    struct cairn_problem why = {0};

    memset(out, 0xff, ROWS * sizeof *out);
    if (partition_rows(rule, labels, ROWS, CLASSES, CLIENTS, out, &why)) {
        fail_msg("%s", why.what);
    }
}

static void count_shares(const uint32_t *of, size_t shares[CLIENTS], size_t classes[CLIENTS])
{
    bool seen[CLIENTS][CLASSES] = {0};

    memset(shares, 0, CLIENTS * sizeof *shares);
    memset(classes, 0, CLIENTS * sizeof *classes);
    for (size_t i = 0; i < ROWS; i++) {
        assert_true(of[i] < CLIENTS);
        shares[of[i]]++;
        classes[of[i]] += !seen[of[i]][labels[i]];
        seen[of[i]][labels[i]] = true;
    }
}

/* The same owners again, others for another seed, and what partition_own says is what owner says. */
static void test_partition__follows_from_the_rule_alone(void **state)
{
    static uint32_t rows[ROWS];

    (void)state;
    make_labels();
    for (enum partition_kind kind = PARTITION_CONTIGUOUS; kind <= PARTITION_SHARDS; kind++) {
        struct partition_rule rule = {kind, 3, 0.5, 1, 2};
        char hex[CLIENTS][DIGEST_HEX_SIZE];
        size_t all = 0;

        must_share(&rule, owner);
        must_share(&rule, again);
        assert_memory_equal(owner, again, sizeof owner);
        for (uint32_t k = 0; k < CLIENTS; k++) {
            const size_t n = partition_own(owner, ROWS, k, rows);
            for (size_t i = 0; i < n; i++) {
                assert_true(owner[rows[i]] == k && (i == 0 || rows[i] > rows[i - 1]));
            }
            partition_fingerprint(rows, n, hex[k]);
            assert_true(k == 0 || strcmp(hex[k], hex[k - 1]) != 0);
            all += n;
        }
        assert_int_equal(all, ROWS);
        rule.seed = 4;
        must_share(&rule, again);
        if (kind != PARTITION_CONTIGUOUS) {
            assert_memory_not_equal(owner, again, sizeof owner);
        }
    }
}

static void test_partition__contiguous_is_the_slice(void **state)
{
    const struct partition_rule rule = {.kind = PARTITION_CONTIGUOUS};
    struct cairn_problem why;
    struct row_range slice;

    (void)state;
    must_share(&rule, owner);
    for (uint32_t k = 0; k < CLIENTS; k++) {
        assert_int_equal(partition_slice(ROWS, CLIENTS, k, &slice, &why), 0);
        for (size_t i = 0; i < slice.count; i++) {
            assert_int_equal(owner[slice.first + i], k);
        }
    }
}

/* Even shares of every class: 75 expected, 8.6 standard deviation. */
static void test_partition__iid(void **state)
{
    const struct partition_rule rule = {.kind = PARTITION_IID, .seed = 1};
    size_t shares[CLIENTS], classes[CLIENTS], of_class[CLIENTS][CLASSES] = {0};

    (void)state;
    make_labels();
    must_share(&rule, owner);
    count_shares(owner, shares, classes);
    for (size_t i = 0; i < ROWS; i++) {
        of_class[owner[i]][labels[i]]++;
    }
    for (size_t k = 0; k < CLIENTS; k++) {
        assert_int_equal(shares[k], ROWS / CLIENTS);
        for (size_t c = 0; c < CLASSES; c++) {
            assert_in_range(of_class[k][c], 40, 110);
        }
    }
}

/*
 * By hand: 12 rows of 3 labels, 3 clients with 2 shards each: shards of 2 rows, each of one label,
 * two to a label. So every client has 4 rows, and the rows of a shard stay together: rows 0 and 3,
 * 6 and 9 (label 0), 1 and 4, 7 and 10 (label 1), 2 and 5, 8 and 11 (label 2).
 */
static void test_partition__shards_by_hand(void **state)
{
    static const uint8_t three[] = {0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2};
    const struct partition_rule rule = {.kind = PARTITION_SHARDS, .shards_per_client = 2};
    size_t shares[3] = {0};
    struct cairn_problem why;
    uint32_t of[12];

    (void)state;
    assert_int_equal(partition_rows(&rule, three, 12, 3, 3, of, &why), 0);
    for (size_t i = 0; i < 12; i++) {
        shares[of[i]]++;
        assert_int_equal(of[i], of[i / 6 * 6 + i % 3]);
    }
    assert_true(shares[0] == 4 && shares[1] == 4 && shares[2] == 4);
}

static void test_partition__shards_leave_few_labels(void **state)
{
    const struct partition_rule rule = {.kind = PARTITION_SHARDS, .seed = 5, .shards_per_client = 2};
    size_t shares[CLIENTS], classes[CLIENTS];

    (void)state;
    make_labels();
    must_share(&rule, owner);
    count_shares(owner, shares, classes);
    for (size_t k = 0; k < CLIENTS; k++) {
        assert_in_range(shares[k], ROWS / CLIENTS - 2, ROWS / CLIENTS + 2);
        assert_in_range(classes[k], 1, 4); /* a shard is smaller than a class: two labels at most */
    }
}

/*
 * A share of a class is Dirichlet's marginal, a beta variable: mean 1/K and variance
 * (1/K)(1 - 1/K) / (K alpha + 1), K = 8. Of 10 classes and 40 seeds there are 3200 shares, so the
 * variance is known to some 5 % where alpha is 1; allowed are 25 %.
 */
static void check_dirichlet(double alpha)
{
    const double expected = 1.0 / 8 * (7.0 / 8) / (8 * alpha + 1);
    double squares = 0;

    for (uint64_t seed = 1; seed <= 40; seed++) {
        const struct partition_rule rule = {PARTITION_DIRICHLET, seed, alpha, 1, 0};
        double n[CLIENTS][CLASSES] = {0}, all[CLASSES] = {0};

        must_share(&rule, owner);
        for (size_t i = 0; i < ROWS; i++) {
            n[owner[i]][labels[i]]++;
            all[labels[i]]++;
        }
        for (size_t k = 0; k < CLIENTS; k++) {
            for (size_t c = 0; c < CLASSES; c++) {
                squares += pow(n[k][c] / all[c] - 1.0 / 8, 2);
            }
        }
    }
    squares /= 40 * CLIENTS * CLASSES;
    if (squares < 0.75 * expected || squares > 1.25 * expected) {
        fail_msg("alpha %g: variance %g, expected %g", alpha, squares, expected);
    }
}

static void test_partition__dirichlet_shares_vary_as_they_should(void **state)
{
    (void)state;
    make_labels();
    check_dirichlet(0.3);
    check_dirichlet(1);
    check_dirichlet(5);
}

/* Far below what a double can hold of a gamma variable: each class goes to one client, nearly. */
static void test_partition__dirichlet_of_tiny_alpha(void **state)
{
    const struct partition_rule rule = {PARTITION_DIRICHLET, 1, 1e-4, 1, 0};
    struct cairn_problem why = {0};
    size_t whole = 0, n[2][CLASSES] = {0};

    (void)state;
    make_labels();
    assert_int_equal(partition_rows(&rule, labels, ROWS, CLASSES, 2, owner, &why), 0);
    for (size_t i = 0; i < ROWS; i++) {
        n[owner[i]][labels[i]]++;
    }
    for (size_t c = 0; c < CLASSES; c++) {
        whole += n[0][c] == 0 || n[1][c] == 0;
    }
    assert_true(whole >= CLASSES - 1);
}

/* Some of the seeds need more than one draw. */
static void test_partition__dirichlet_keeps_the_smallest_share(void **state)
{
    size_t shares[CLIENTS], classes[CLIENTS];

    (void)state;
    make_labels();
    for (uint64_t seed = 1; seed <= 20; seed++) {
        const struct partition_rule rule = {PARTITION_DIRICHLET, seed, 0.1, 100, 0};
        must_share(&rule, owner);
        count_shares(owner, shares, classes);
        for (size_t k = 0; k < CLIENTS; k++) {
            assert_true(shares[k] >= 100);
        }
    }
}

static void assert_not_shared(struct partition_rule rule, const uint8_t *of, uint32_t clients,
                              const char *a, const char *b)
{
    struct cairn_problem why = {0};

    assert_int_equal(partition_rows(&rule, of, ROWS, CLASSES, clients, owner, &why),
                     CAIRN_ERR_DATA);
    if (!strstr(why.what, a) || !strstr(why.what, b)) {
        fail_msg("\"%s\" names neither or one of \"%s\", \"%s\"", why.what, a, b);
    }
}

static void test_partition__rules_that_cannot_be_followed(void **state)
{
    (void)state;
    make_labels();
    assert_not_shared((struct partition_rule){PARTITION_DIRICHLET, 1, 0.01, 700, 0}, labels, 8,
                      "data.min_samples: 1000 draws", "fewer than 700 rows");
    assert_not_shared((struct partition_rule){PARTITION_IID, 1, 1, 751, 0}, labels, 8,
                      "data.min_samples: 8 clients with 751", "6000");
    assert_not_shared((struct partition_rule){PARTITION_DIRICHLET, 1, 0, 1, 0}, labels, 8,
                      "data.alpha: 0", "above 0");
    assert_not_shared((struct partition_rule){PARTITION_DIRICHLET, 1, -1, 1, 0}, labels, 8,
                      "data.alpha: -1", "above 0");
    assert_not_shared((struct partition_rule){PARTITION_SHARDS, 1, 1, 1, 751}, labels, 8,
                      "data.shards_per_client: 751", "6000 rows");
    assert_not_shared((struct partition_rule){PARTITION_SHARDS, 1, 1, 1, 0}, labels, 8,
                      "data.shards_per_client: 0", "");
    assert_not_shared((struct partition_rule){PARTITION_SHARDS, 1, 1, 1, 2}, NULL, 8,
                      "data.partition: shards", "linear");
    assert_not_shared((struct partition_rule){PARTITION_IID, 1, 1, 1, 2}, labels, ROWS + 1,
                      "client_number: 6001 clients", "6000 rows");
}

/* BLAKE2b-256 of 00000000 01000000, from Python's hashlib. */
static void test_partition__fingerprint(void **state)
{
    static const uint32_t rows[] = {0, 1};
    char hex[DIGEST_HEX_SIZE];

    (void)state;
    partition_fingerprint(rows, 2, hex);
    assert_string_equal(hex, "33fef478c8f7a59373e54f9014094d6cd63e74d6ab33b9125375014a30bb71b9");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_partition__every_row_once),
        cmocka_unit_test(test_partition__known_slice),
        cmocka_unit_test(test_partition__largest_numbers),
        cmocka_unit_test(test_partition__all_rows_without_clients),
        cmocka_unit_test(test_partition__refuses),
        cmocka_unit_test(test_partition__follows_from_the_rule_alone),
        cmocka_unit_test(test_partition__contiguous_is_the_slice),
        cmocka_unit_test(test_partition__iid),
        cmocka_unit_test(test_partition__shards_by_hand),
        cmocka_unit_test(test_partition__shards_leave_few_labels),
        cmocka_unit_test(test_partition__dirichlet_shares_vary_as_they_should),
        cmocka_unit_test(test_partition__dirichlet_of_tiny_alpha),
        cmocka_unit_test(test_partition__dirichlet_keeps_the_smallest_share),
        cmocka_unit_test(test_partition__rules_that_cannot_be_followed),
        cmocka_unit_test(test_partition__fingerprint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
