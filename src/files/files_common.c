/* SPDX-License-Identifier: Apache-2.0 */
/* What the four steps on files share. */
#include "files_common.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "parallel.h"
#include "problem.h"
#include "secret.h"
#include "sizes.h"

_Static_assert((int)CAIRN_FILES_ID_SIZE >= (int)HE_ID_SIZE, "room for a parameter set's id");

int files_missing(const char *function, const char *what, struct cairn_problem *why)
{
    return problem_set(why, CAIRN_ERR_USAGE, NULL, "%s: %s is missing", function, what);
}

int files_profile(const char *name, enum he_profile otherwise, enum he_profile *out,
                  struct cairn_problem *why)
{
    *out = otherwise;
    if (name != NULL && he_profile_from_name(name, out) != 0) {
        return problem_set(why, CAIRN_ERR_USAGE, "capsule is the smallest",
                           "there is no profile \"%s\"; capsule, bfv and seal-ckks encrypt, none "
                           "does not", name);
    }
    return 0;
}

void files_report_header(struct cairn_files_report *report, const struct update_header *header)
{
    if (report == NULL) {
        return;
    }
    *report = (struct cairn_files_report){
        .encrypted = header->params.profile != HE_NONE,
        .round = header->round,
        .contributors = header->contributors,
        .weight = header->weight,
        .params = header->shape.n_params,
        .frames = header->plan.n_frames,
    };
    (void)snprintf(report->parameters, sizeof report->parameters, "%s", header->params.id);
}

void *files_run_new(size_t n, size_t element_size)
{
    return size_alloc_array(n, element_size);
}

void files_run_free(void *run, size_t n, size_t element_size)
{
    if (run != NULL) {
        secret_wipe(run, n * element_size);
    }
    free(run);
}

int files_crew_new(const struct he_params *params, unsigned threads, struct files_crew *out,
                   struct cairn_problem *why)
{
    enum { MOST = 256 }; /* as of a node */
    if (threads > MOST) {
        return problem_set(why, CAIRN_ERR_USAGE, "0 is one per processor", "%u threads; at most %u",
                           threads, MOST);
    }
    int error = parallel_new(threads, &out->team);
    if (!error) {
        error = he_crew_new(params, out->team, &out->crew);
    }
    return error ? problem_set(why, error, "ask for fewer threads",
                               "no memory for the threads of one frame")
                 : 0;
}

void files_crew_release(struct files_crew *crew)
{
    he_crew_free(crew->crew);
    parallel_free(crew->team);
}

int files_finish(struct file_draft *draft, uint64_t *bytes, struct cairn_problem *why)
{
    struct stat status;
    *bytes = fstat(draft->fd, &status) == 0 ? (uint64_t)status.st_size : 0;
    return file_draft_finish(draft, true, why);
}
