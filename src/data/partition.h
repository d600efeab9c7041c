/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATA_PARTITION_H
#define DATA_PARTITION_H

#include <stddef.h>
#include <stdint.h>

#include "digest.h"
#include "problem.h"

/**
 * Who trains on which rows. Every way of sharing follows from the rule, the labels and the number of
 * clients alone, so each client works out the same shares for itself, and every row has one owner by
 * construction.
 */
enum partition_kind {
    /** Slices of the file, as it is: partition_slice. */
    PARTITION_CONTIGUOUS,
    /** The same slices of the rows in a random order. */
    PARTITION_IID,
    /**
     * By label: each class is shared out in proportions drawn from a symmetric Dirichlet
     * distribution; the smaller alpha, the fewer clients have most of a class. Drawn again, at most
     * PARTITION_TRIES times, until every client has min_samples rows.
     * Source: Hsu, Qi, Brown, "Measuring the Effects of Non-Identical Data Distribution for Federated
     * Visual Classification", 2019 (there it is each client's classes that are drawn; that cannot
     * use up every row, so here it is each class's clients, as in Yurochkin et al., ICML 2019).
     */
    PARTITION_DIRICHLET,
    /**
     * By label: the rows in the order of their labels, cut into shards_per_client * clients shards of
     * one size; each client gets shards_per_client of them at random, and so few labels.
     * Source: McMahan et al., AISTATS 2017, section 3 ("pathological non-IID").
     */
    PARTITION_SHARDS,
};

/** A draw that succeeds once in a hundred fails a thousand times with probability e^-10. */
enum { PARTITION_TRIES = 1000 };

/** Plain value. */
struct partition_rule {
    enum partition_kind kind;
    uint64_t seed;
    double alpha;               /* of PARTITION_DIRICHLET: above 0 */
    size_t min_samples;         /* fewest rows of a client, whatever the kind; 0 is taken for 1 */
    uint32_t shards_per_client; /* of PARTITION_SHARDS: 1 or more */
};

/** Rows first .. first+count-1 of a file. */
struct row_range {
    size_t first;
    size_t count;
};

/**
 * The rows of one client: contiguous slices, floor(index * rows / clients) up to
 * floor((index + 1) * rows / clients), so every row belongs to exactly one client and
 * slices differ by one row at most. Depends on nothing but these three numbers.
 * @param rows     at most 2^32 - 1, as in an IDX header
 * @param clients  0: all rows, whatever the index
 * @retval CAIRN_ERR_DATA  more clients than rows, or no such index
 */
CAIRN_MUST_CHECK int partition_slice(size_t rows, uint32_t clients, uint32_t index,
                                     struct row_range *out, struct cairn_problem *why);

/**
 * Give every row to a client.
 * Where a proportion falls within the last bits of a row's border, processors whose logarithms
 * differ in their last bit could disagree on that row, once in some 10^10 borders; fingerprints show it.
 * @param labels   (rows), each < classes; NULL where the rows have none: kinds by label are refused
 * @param rows     at most 2^32 - 1
 * @param clients  1 or more
 * @param[out] owner  (rows), each < clients; unspecified on failure
 * @retval CAIRN_ERR_DATA  more clients than rows, a client would have fewer than min_samples rows,
 *                         or a rule that cannot be followed; the setting is named
 * @retval CAIRN_ERR_NO_MEMORY
 */
CAIRN_MUST_CHECK int partition_rows(const struct partition_rule *rule, const uint8_t *labels,
                                    size_t rows, size_t classes, uint32_t clients, uint32_t *owner,
                                    struct cairn_problem *why);

/** The rows of one owner, ascending. @param[out] out  room for all rows @return how many */
size_t partition_own(const uint32_t *owner, size_t rows, uint32_t index, uint32_t *out);
/** Digest of row numbers as 32-bit little-endian words: equal where the rows are. */
void partition_fingerprint(const uint32_t *rows, size_t n, char hex[DIGEST_HEX_SIZE]);

#endif
