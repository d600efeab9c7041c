/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FILES_ADD_JOB_H
#define FILES_ADD_JOB_H

#include "cipher_file.h"

/** One addition while it goes on: files_add.c, and files_add_ciphers.c for the other formats. */

/** What is kept of each file. */
struct add_part {
    const char *path;
    uint32_t contributors;
    uint64_t weight;
    struct buf set;
    /* cairn's own */
    uint64_t size, body_at;
    uint8_t digest[DIGEST_SIZE]; /* of its header */
    /* the others' */
    struct cipher_file ciphers;
};

struct add_job {
    struct update_header total; /* the first file's, with the contributors of all */
    const char *first;          /* whose it is; NULL: nobody's yet */
    struct add_part *parts;
    size_t n;
    struct buf work, out; /* one frame each */
};

/** Keep what is needed of a file's header; the header itself goes to the total or stays.
 * @retval CAIRN_ERR_REFUSED  it does not belong to those before it, or has one of their clients */
CAIRN_MUST_CHECK int add_keep(struct add_job *job, size_t at, const char *path,
                              struct update_header *header, struct cairn_problem *why);
/** The sum in format seal or tenseal. job->parts is empty. */
CAIRN_MUST_CHECK int add_ciphers(struct add_job *job, enum files_format format,
                                 const char *public_path, const char *const *paths,
                                 const char *out, uint64_t *bytes, struct cairn_problem *why);

#endif
