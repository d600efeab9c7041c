/* SPDX-License-Identifier: Apache-2.0 */
#include "fold.h"

#include <stdlib.h>
#include <string.h>

#include "sizes.h"

struct stream_state {
    struct fed_stream what;
    uint32_t next; /* index expected from it */
};

/* One frame on its way to completion; payload is NULL until somebody contributes. */
struct accumulator {
    uint8_t *payload;
    uint8_t *set;
    uint32_t contributors;
    uint64_t weight;
};

struct fed_fold {
    const struct fed_plan *plan;
    struct stream_state *streams;
    size_t n_streams;
    struct accumulator *frames; /* n_frames */
    uint32_t round;
    uint32_t taken;
};

void fed_sum_release(struct fed_sum *sum)
{
    buf_release(&sum->payload);
    buf_release(&sum->set);
}

static void accumulator_drop(struct accumulator *a)
{
    free(a->payload);
    free(a->set);
    *a = (struct accumulator){0};
}

/* Also of a fold that could not be made whole. */
static void drop_frames(struct fed_fold *fold)
{
    for (uint32_t i = 0; fold->frames != NULL && i < fold->plan->n_frames; i++) {
        accumulator_drop(&fold->frames[i]);
    }
}

int fed_fold_new(const struct fed_plan *plan, const struct fed_stream *streams, size_t n,
                 struct fed_fold **out)
{
    struct fed_fold *fold = calloc(1, sizeof *fold);
    if (fold == NULL) {
        return CAIRN_ERR_NO_MEMORY;
    }
    fold->plan = plan;
    fold->n_streams = n;
    fold->streams = calloc(n, sizeof *fold->streams);
    fold->frames = calloc(plan->n_frames, sizeof *fold->frames);
    if (fold->streams == NULL || fold->frames == NULL) {
        fed_fold_free(fold);
        return CAIRN_ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < n; i++) {
        fold->streams[i].what = streams[i];
    }
    *out = fold;
    return 0;
}

void fed_fold_free(struct fed_fold *fold)
{
    if (fold == NULL) {
        return;
    }
    drop_frames(fold);
    free(fold->frames);
    free(fold->streams);
    free(fold);
}

void fed_fold_open(struct fed_fold *fold, uint32_t round)
{
    drop_frames(fold);
    for (size_t i = 0; i < fold->n_streams; i++) {
        fold->streams[i].next = 0;
    }
    fold->taken = 0;
    fold->round = round;
}

uint32_t fed_fold_round(const struct fed_fold *fold)
{
    return fold->round;
}

static struct stream_state *find_stream(struct fed_fold *fold, uint32_t origin)
{
    for (size_t i = 0; i < fold->n_streams; i++) {
        if (fold->streams[i].what.origin == origin) {
            return &fold->streams[i];
        }
    }
    return NULL;
}

/* Everything that could forbid adding this frame to what is there. */
static int check_against_sum(const struct fed_fold *fold, const struct stream_state *stream,
                             const struct wire_frame *frame, struct cairn_problem *why)
{
    const struct accumulator *a = &fold->frames[frame->index];
    if (frame->contributors > stream->what.n_clients) {
        return problem_set(why, CAIRN_ERR_REFUSED, NULL,
                           "frame %u: %u contributors from node %u, which has %u clients",
                           (unsigned)frame->index, (unsigned)frame->contributors,
                           (unsigned)stream->what.origin, (unsigned)stream->what.n_clients);
    }
    if (frame->weight > UINT64_MAX - a->weight) {
        return problem_set(why, CAIRN_ERR_REFUSED, NULL, "frame %u: weights overflow",
                           (unsigned)frame->index);
    }
    for (size_t i = 0; a->set != NULL && i < frame->contributor_set.size; i++) {
        const unsigned both = a->set[i] & frame->contributor_set.data[i];
        if (both != 0) {
            return problem_set(why, CAIRN_ERR_REFUSED, NULL,
                               "frame %u: client %zu is already in this sum",
                               (unsigned)frame->index, 8 * i + (size_t)__builtin_ctz(both));
        }
    }
    return 0;
}

/* First contribution to a frame: the sum is a copy of it. */
static int accumulator_start(struct accumulator *a, const struct wire_frame *frame)
{
    uint8_t *payload = size_alloc_array(frame->payload.size, 1);
    uint8_t *set = malloc(frame->contributor_set.size);
    if (payload == NULL || set == NULL) {
        free(payload);
        free(set);
        return CAIRN_ERR_NO_MEMORY;
    }
    memcpy(payload, frame->payload.data, frame->payload.size);
    memcpy(set, frame->contributor_set.data, frame->contributor_set.size);
    a->payload = payload;
    a->set = set;
    return 0;
}

static int add_frame(struct fed_fold *fold, const struct wire_frame *frame)
{
    struct accumulator *a = &fold->frames[frame->index];
    if (frame->contributors == 0) {
        return 0;
    }
    if (a->payload == NULL) {
        const int err = accumulator_start(a, frame);
        if (err != 0) {
            return err;
        }
    } else {
        he_add(&fold->plan->he, fed_plan_count(fold->plan, frame->index), a->payload,
               frame->payload.data);
        for (size_t i = 0; i < frame->contributor_set.size; i++) {
            a->set[i] |= frame->contributor_set.data[i];
        }
    }
    a->contributors += frame->contributors;
    a->weight += frame->weight;
    return 0;
}

int fed_fold_accept(struct fed_fold *fold, uint32_t origin, const struct wire_frame *frame,
                    uint32_t *next, struct cairn_problem *why)
{
    *next = 0;
    struct stream_state *stream = find_stream(fold, origin);
    if (stream == NULL) {
        return problem_set(why, CAIRN_ERR_UNKNOWN,
                           "a child sends to the node that its config's \"send\" names",
                           "node %u is no child of this node", (unsigned)origin);
    }
    *next = stream->next;
    if (frame->index != stream->next || stream->next == fold->plan->n_frames) {
        return problem_set(why, CAIRN_ERR_WRONG_INDEX, "go on at the index that \"next\" names",
                           "frame %u from node %u, expected %u", (unsigned)frame->index,
                           (unsigned)origin, (unsigned)stream->next);
    }
    int err = fed_plan_check(fold->plan, frame, why);
    if (err == 0) {
        err = check_against_sum(fold, stream, frame, why);
    }
    if (err == 0) {
        err = add_frame(fold, frame);
    }
    if (err == 0) {
        *next = ++stream->next;
    }
    return err;
}

bool fed_fold_ready(const struct fed_fold *fold)
{
    if (fold->round == 0 || fold->taken == fold->plan->n_frames) {
        return false;
    }
    for (size_t i = 0; i < fold->n_streams; i++) {
        if (fold->streams[i].next <= fold->taken) {
            return false;
        }
    }
    return true;
}

void fed_fold_take(struct fed_fold *fold, struct fed_sum *out)
{
    struct accumulator *a = &fold->frames[fold->taken];
    *out = (struct fed_sum){
        .index = fold->taken, .contributors = a->contributors, .weight = a->weight};
    if (a->payload != NULL) {
        const size_t bytes =
            he_payload_bytes(&fold->plan->he, fed_plan_count(fold->plan, fold->taken));
        const size_t set = fed_plan_set_bytes(fold->plan);
        out->payload = (struct buf){.data = a->payload, .size = bytes, .capacity = bytes};
        out->set = (struct buf){.data = a->set, .size = set, .capacity = set};
    }
    *a = (struct accumulator){0};
    fold->taken++;
}

uint32_t fed_fold_taken(const struct fed_fold *fold)
{
    return fold->taken;
}

bool fed_fold_missing(const struct fed_fold *fold, size_t i, uint32_t *origin, uint32_t *next)
{
    for (size_t s = 0; s < fold->n_streams; s++) {
        const struct stream_state *stream = &fold->streams[s];
        if (stream->next == fold->plan->n_frames) {
            continue;
        }
        if (i == 0) {
            *origin = stream->what.origin;
            *next = stream->next;
            return true;
        }
        i--;
    }
    return false;
}
