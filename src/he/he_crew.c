/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A team and its working memory: one piece of secret memory with a scratch for each worker behind
 * the root of their randomness. It is kept between frames, because getting it (locking pages, one
 * worker after the other) takes about as long as a worker then computes; what a frame leaves in it
 * is wiped, by each worker its own.
 */
#include "he_crew.h"

#include <stdlib.h>

#include "he_ckks.h"
#include "he_wide.h"
#include "parallel.h"
#include "secret.h"
#include "sizes.h"

struct he_crew {
    struct parallel *team;     /* borrowed; NULL: the calling thread */
    size_t degree;             /* of the ring that the memory is for */
    size_t scratch_size;       /* of one worker */
    unsigned size;             /* workers */
    struct he_worker *workers; /* size */
    struct secret_root *root;  /* begins the secret memory */
};

/* A frame at work. */
struct run {
    struct he_crew *crew;
    he_chunk_body *body;
    const void *job;
    bool draws; /* each chunk has a branch */
};

static size_t scratch_size(const struct he_params *params)
{
    return he_is_ckks(params)   ? sizeof(struct he_ckks_scratch)
           : he_is_wide(params) ? sizeof(struct he_wide_scratch)
                                : sizeof(struct he_scratch);
}

size_t he_crew_bytes(const struct he_params *params, unsigned threads)
{
    return params->profile == HE_NONE ? 0 : threads * scratch_size(params);
}

int he_crew_new(const struct he_params *params, struct parallel *team, struct he_crew **out)
{
    enum { ROOT = 64 }; /* scratch begins at a multiple of 64 */
    _Static_assert(sizeof(struct secret_root) <= ROOT, "room for it");
    *out = NULL;
    if (params->profile == HE_NONE) {
        return 0;
    }
    struct he_crew *crew = calloc(1, sizeof *crew);
    if (crew == NULL) {
        return CAIRN_ERR_NO_MEMORY;
    }
    crew->team = team;
    crew->degree = params->degree;
    crew->size = parallel_size(team);
    crew->scratch_size = scratch_size(params);
    size_t bytes = 0;
    crew->workers = calloc(crew->size, sizeof *crew->workers);
    if (size_mul(crew->size, crew->scratch_size, &bytes) && size_add(bytes, ROOT, &bytes)) {
        crew->root = secret_alloc(bytes);
    }
    if (crew->workers == NULL || crew->root == NULL) {
        he_crew_free(crew);
        return CAIRN_ERR_NO_MEMORY;
    }
    for (unsigned i = 0; i < crew->size; i++) {
        crew->workers[i].scratch = (uint8_t *)crew->root + ROOT + i * crew->scratch_size;
    }
    *out = crew;
    return 0;
}

void he_crew_free(struct he_crew *crew)
{
    if (crew == NULL) {
        return;
    }
    for (unsigned i = 0; crew->workers != NULL && i < crew->size; i++) {
        secret_rng_free(crew->workers[i].rng);
    }
    free(crew->workers);
    secret_free(crew->root);
    free(crew);
}

struct he_worker *he_crew_first(struct he_crew *crew)
{
    return &crew->workers[0];
}

int he_crew_enter(const struct he_params *params, struct he_crew *given, struct he_crew **out)
{
    if (given == NULL) {
        return he_crew_new(params, NULL, out);
    }
    *out = given;
    return given->degree == params->degree ? 0 : CAIRN_ERR_BUG;
}

static void wipe_one(void *ctx, size_t i, unsigned worker)
{
    struct he_crew *crew = ctx;
    (void)worker;
    secret_wipe(crew->workers[i].scratch, crew->scratch_size);
}

void he_crew_leave(struct he_crew *crew, const struct he_crew *given)
{
    if (crew != given) {
        he_crew_free(crew);
    } else if (crew != NULL) {
        secret_wipe(crew->root, sizeof *crew->root);
        parallel_for(crew->team, crew->size, wipe_one, crew);
    }
}

static void run_one(void *ctx, size_t chunk, unsigned worker)
{
    const struct run *run = ctx;
    struct he_worker *w = &run->crew->workers[worker];
    if (w->rc == 0 && run->draws) {
        w->rc = secret_rng_branch(w->rng, run->crew->root, (uint32_t)chunk);
    }
    if (w->rc == 0) {
        w->rc = run->body(run->job, chunk, w);
    }
}

static int run_all(struct run *run, size_t chunks, uint64_t *bad)
{
    struct he_crew *crew = run->crew;
    int rc = 0;
    for (unsigned i = 0; i < crew->size; i++) {
        crew->workers[i].rc = 0;
        crew->workers[i].bad = 0;
    }
    parallel_for(crew->team, chunks, run_one, run);
    for (unsigned i = 0; i < crew->size; i++) {
        rc = rc != 0 ? rc : crew->workers[i].rc;
        *bad |= crew->workers[i].bad;
    }
    return rc;
}

int he_crew_encrypt(struct he_crew *crew, struct secret_rng *rng, size_t chunks,
                    he_chunk_body *body, const void *job)
{
    struct run run = {crew, body, job, true};
    uint64_t bad = 0;
    int rc = secret_root_draw(crew->root, rng);
    for (unsigned i = 0; rc == 0 && i < crew->size && i < chunks; i++) {
        rc = crew->workers[i].rng != NULL ? 0 : secret_rng_new(&crew->workers[i].rng);
    }
    return rc != 0 ? rc : run_all(&run, chunks, &bad);
}

int he_crew_open(struct he_crew *crew, size_t chunks, he_chunk_body *body, const void *job,
                 uint64_t *bad)
{
    struct run run = {crew, body, job, false};
    return run_all(&run, chunks, bad);
}
