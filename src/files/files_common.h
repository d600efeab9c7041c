/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FILES_FILES_COMMON_H
#define FILES_FILES_COMMON_H

#include <cairn/files.h>

#include "update_file.h"

/** What the four steps of <cairn/files.h> share. */

/** The smallest number of contributors that is opened without asking: with two, either knows the
 * other's update from the sum. */
enum { FILES_FLOOR = 3 };

/** @retval CAIRN_ERR_USAGE always */
int files_missing(const char *function, const char *what, struct cairn_problem *why);
/** Profile of that name; NULL is `otherwise`. @retval CAIRN_ERR_USAGE the names there are */
CAIRN_MUST_CHECK int files_profile(const char *name, enum he_profile otherwise,
                                   enum he_profile *out, struct cairn_problem *why);
/** Fill what follows from the header. */
void files_report_header(struct cairn_files_report *report, const struct update_header *header);
/** A frame's worth of memory for n elements, not for long-term secrets: wiped by files_run_free.
 * NULL without memory. */
void *files_run_new(size_t n, size_t element_size);
void files_run_free(void *run, size_t n, size_t element_size);
/** The threads of one step, with their memory. */
struct files_crew {
    struct parallel *team;
    struct he_crew *crew;
};
/** @param threads  0: one per processor
 * @retval CAIRN_ERR_USAGE  more than 256 threads;  CAIRN_ERR_NO_MEMORY */
CAIRN_MUST_CHECK int files_crew_new(const struct he_params *params, unsigned threads,
                                    struct files_crew *out, struct cairn_problem *why);
void files_crew_release(struct files_crew *crew);
/** Finish a draft and tell its size. */
CAIRN_MUST_CHECK int files_finish(struct file_draft *draft, uint64_t *bytes,
                                  struct cairn_problem *why);

#endif
