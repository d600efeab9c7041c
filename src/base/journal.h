/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_JOURNAL_H
#define BASE_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "file.h"

/**
 * A journal: a file to whose end records are added, so that after a crash at any moment whoever
 * reads it finds the records in the order in which they were added, up to some point, and nothing
 * else. All integers little-endian.
 *
 * file = header (40 bytes), then records
 *
 *    0  "CRNJ"            4
 *    4  version           u16   2, of what the records hold, too
 *    6  reserved          u16   zero
 *    8  salt              16    random, so that no record of another journal fits in here
 *   24  digest            16    BLAKE2b-256 of bytes 0..23, cut
 *
 * record = length u32 | type u32 | check (8 bytes) | payload | digest (16 bytes)
 *
 * The check is BLAKE2b-256, cut, of  the digest before it | length | type,  and the digest the same of
 * all that and the payload.  So the last digest stands for everything before, and a record that is
 * damaged, moved or foreign ends what can be read. The check tells a record that was cut off, as
 * a process leaves it that is killed, from one that is damaged, its length included. A digest
 * finds accidents; against forgery it protects nothing.
 */
enum {
    JOURNAL_HEADER = 40,
    JOURNAL_CHECK = 8,
    JOURNAL_RECORD_HEADER = 8 + JOURNAL_CHECK,
    JOURNAL_DIGEST = 16,
    JOURNAL_MAX_PARTS = 8,
};

/** A journal that is being written. Zero-initialised is closed. One thread at a time. */
struct journal {
    char *path; /* NULL: closed */
    int fd;
    uint64_t end;                  /* where the next record goes */
    uint8_t chain[JOURNAL_DIGEST]; /* the last digest */
    struct file_draft draft;       /* open until it is published */
    bool lost;                     /* a flush failed: nobody knows what is on the disk */
};

/**
 * Begin a new journal beside `path`; what is at `path` stays there until journal_publish.
 * @param mode  such as 0600
 * @retval CAIRN_ERR_STORAGE, CAIRN_ERR_NO_MEMORY, CAIRN_ERR_NO_ENTROPY  *j is closed
 */
CAIRN_MUST_CHECK int journal_create(const char *path, unsigned mode, struct journal *j,
                                    struct cairn_problem *why);
/**
 * Make it durable with all its records and put it at its path, in the place of what is there, in
 * one step. Records can be added before and after.
 * @retval CAIRN_ERR_STORAGE  *j is closed and the old journal stands; or, where *j is still open,
 *                            it has the old one's place and a power failure may take that back
 */
CAIRN_MUST_CHECK int journal_publish(struct journal *j, struct cairn_problem *why);
/**
 * Add one record whose payload is the parts one behind the other. Not durable before journal_sync.
 * @param n_parts  at most JOURNAL_MAX_PARTS
 * @retval CAIRN_ERR_STORAGE   nothing was added, and it can be tried again (disk full), unless a
 *                             flush has failed
 * @retval CAIRN_ERR_TOO_LONG  2^32 bytes or more
 */
CAIRN_MUST_CHECK int journal_append(struct journal *j, uint32_t type, const struct span *parts,
                                    size_t n_parts, struct cairn_problem *why);
/**
 * Make all records that were added durable.
 * @retval CAIRN_ERR_STORAGE  final: after a flush that failed the kernel may forget what it could
 *                            not write, and a second one would lie. Close it, read what is there.
 */
CAIRN_MUST_CHECK int journal_sync(struct journal *j, struct cairn_problem *why);
/** What was not published is gone. Closing what is closed is allowed. */
void journal_close(struct journal *j);
/**
 * Go on behind byte `good`, as a reader has found it: records are written over what follows there,
 * until journal_cut.
 * @retval CAIRN_ERR_STORAGE    *j is closed
 * @retval CAIRN_ERR_INTEGRITY  the file is shorter
 */
CAIRN_MUST_CHECK int journal_reopen(const char *path, uint64_t good, struct journal *j,
                                    struct cairn_problem *why);
/**
 * End the file behind its last record, and make all of it durable: a process that was killed may have left
 * records unflushed.
 * @retval CAIRN_ERR_STORAGE  final, as with journal_sync
 */
CAIRN_MUST_CHECK int journal_cut(struct journal *j, struct cairn_problem *why);

/** A journal that is being read, record by record. One thread at a time. */
struct journal_reader {
    const char *path; /* borrowed */
    int fd;           /* -1: closed */
    uint64_t size;    /* of the file when it was opened */
    uint64_t good;    /* bytes up to here are header and records; size - good are of no use */
    bool damaged;     /* and they are more than a record that was cut off */
    size_t limit;
    uint8_t chain[JOURNAL_DIGEST];
};

/**
 * @param limit  bytes of the longest payload that is believed
 * @retval CAIRN_ERR_STORAGE    not there or not readable
 * @retval CAIRN_ERR_INTEGRITY  no regular file, or it does not begin as a journal: one is only
 *                              published with its header, so a crash does not lead to that
 * Nothing to close then.
 */
CAIRN_MUST_CHECK int journal_reader_open(struct journal_reader *r, const char *path, size_t limit,
                                         struct cairn_problem *why);
/**
 * The next record. Memory is asked for only what the file has.
 * @param[out] payload  its content is replaced; on 0 and on failure it is empty
 * @return 1 a record; 0 no more: the end, or bytes that are no record (see `damaged`); or
 * @retval CAIRN_ERR_STORAGE, CAIRN_ERR_NO_MEMORY
 */
CAIRN_MUST_CHECK int journal_reader_next(struct journal_reader *r, uint32_t *type,
                                         struct buf *payload, struct cairn_problem *why);
void journal_reader_close(struct journal_reader *r);

#endif
