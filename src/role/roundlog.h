/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_ROUNDLOG_H
#define ROLE_ROUNDLOG_H

#include <pthread.h>

#include "digest.h"
#include "role.h"

/**
 * A node's log of an experiment, one entry per round, kept in
 * <log_dir>/<experiment>/<node>.json and answered by GET /log:
 *
 *   {"address", "role", "experiment", "finished", "byte_received", "byte_send", "cpu_s",
 *    "peak_rss_bytes", "iteration": [{"round", "start_time", "end_time", "byte_received",
 *    "byte_send", "wall_s", "fetch_s", "train_s", "encrypt_s", "fold_s", "send_s", "journal_s",
 *    "decrypt_s", "commit_s", "wait_s", "peak_rss_bytes", "frames", "contributors", "saturated",
 *    and "trouble" where there was any}]}
 *
 * and a client's also has "samples_fingerprint": which rows of the data set it trains on.
 *
 * Times are RFC 3339 UTC with microseconds, durations seconds; wall_s is from start to
 * end, and wait_s what the others do not explain of it. Bytes are those of request and answer bodies
 * since the entry before (as struct role_host counts them: what moves a round, also in vain, but nobody's
 * looking at /status or /log), so the entries add up to everything that the experiment moved.
 * A file that cannot be written is warned about once; the entries stay in memory.
 * Internally locked.
 */
struct roundlog_entry {
    uint32_t round;
    int64_t start_us, end_us; /* wall clock */
    double fetch_s;   /* client: the model's pieces on their way down, after the first */
    double train_s;   /* client */
    double encrypt_s; /* client: rounding and encrypting, also while a batch is in the air */
    double fold_s;    /* checking and adding batches, beside the rest */
    double send_s;    /* a batch is in the air and nothing is being encrypted */
    double journal_s; /* aggregator: sums become durable */
    double decrypt_s; /* aggregator: opening sums, adding them to the model */
    double commit_s;  /* aggregator: evaluating, and the model becomes durable */
    uint32_t frames, contributors;
    uint64_t saturated;
    char trouble[400]; /* what kept it from contributing, or was wrong otherwise; "" = nothing */
};

struct roundlog {
    pthread_mutex_t lock;
    const struct role_host *host;
    json_t *entries;
    char address[FED_ADDRESS_SIZE];
    char role[16];
    char experiment[FED_NAME_SIZE];
    char path[FED_PATH_SIZE + FED_NAME_SIZE + FED_ADDRESS_SIZE + 8];
    uint64_t received_before, sent_before; /* traffic that is already in an entry */
    uint64_t received_start, sent_start;   /* traffic before this experiment */
    bool finished, warned;
    char fingerprint[DIGEST_HEX_SIZE]; /* of a client's rows; "" = none */
};

/** @param address  this node's as the config has it.  @retval CAIRN_ERR_NO_MEMORY */
CAIRN_MUST_CHECK int roundlog_init(struct roundlog *log, const struct role_host *host,
                                   const char *address, const char *role, const char *experiment);
/** Right after roundlog_init. @param fingerprint  NULL: none */
void roundlog_set_fingerprint(struct roundlog *log, const char *fingerprint);
void roundlog_release(struct roundlog *log);
void roundlog_add(struct roundlog *log, const struct roundlog_entry *entry);
/** The experiment is over: bytes since the last entry are added to it. Idempotent. */
void roundlog_finish(struct roundlog *log);
/** New reference; NULL without memory. */
json_t *roundlog_document(struct roundlog *log);

/** The names of an entry's durations, wall_s first and wait_s last. */
enum { ROUNDLOG_DURATIONS = 10 };
extern const char *const roundlog_durations[ROUNDLOG_DURATIONS];

/** CPU time and peak memory of this process, from getrusage(2). */
void roundlog_usage(double *cpu_s, uint64_t *peak_rss_bytes);
/** File name for a node: its address without the default port, ':' and brackets replaced. */
void roundlog_file_name(const char *address, char *out, size_t size);

#endif
