/* SPDX-License-Identifier: Apache-2.0 */
#include "fold.h"

#include <stdlib.h>
#include <string.h>

#include "le.h"
#include "sizes.h"

struct stream_state {
    struct fed_stream what;
    uint32_t next;    /* one more than its last frame, or where the round was opened */
    uint32_t through; /* contributors of the plan's last frame, once that came */
    bool live;
    bool absent; /* brings nothing in this round */
};

/* One frame on its way to completion; payload is NULL until somebody contributes. */
struct accumulator {
    uint8_t *payload;
    uint8_t *set;
    uint8_t *words; /* NULL in frames that carry none */
    uint32_t contributors;
    uint64_t weight;
};

struct fed_fold {
    const struct fed_plan *plan;
    struct stream_state *streams;
    size_t n_streams;
    struct accumulator *ring; /* of frames taken .. base+window-1: slot() */
    uint32_t window;          /* slots of the ring */
    uint32_t round;
    uint32_t base, taken; /* base <= taken */
    bool closed;
};

void fed_sum_release(struct fed_sum *sum)
{
    buf_release(&sum->payload);
    buf_release(&sum->set);
    buf_release(&sum->words);
}

static void accumulator_drop(struct accumulator *a)
{
    free(a->payload);
    free(a->set);
    free(a->words);
    *a = (struct accumulator){0};
}

/* Also of a fold that could not be made whole. */
static void drop_frames(struct fed_fold *fold)
{
    for (uint32_t i = 0; fold->ring != NULL && i < fold->window; i++) {
        accumulator_drop(&fold->ring[i]);
    }
}

/* No two frames that are held share a slot: they lie within `window` of each other. A frame
 * beyond base + window, which a closed fold gives away, finds the empty slot of one that was taken. */
static struct accumulator *slot(const struct fed_fold *fold, uint32_t frame)
{
    return &fold->ring[frame % fold->window];
}

int fed_fold_new(const struct fed_plan *plan, const struct fed_stream *streams, size_t n,
                 uint32_t window, struct fed_fold **out)
{
    struct fed_fold *fold = calloc(1, sizeof *fold);
    if (fold == NULL) {
        return CAIRN_ERR_NO_MEMORY;
    }
    fold->plan = plan;
    fold->n_streams = n;
    fold->streams = calloc(n, sizeof *fold->streams);
    fold->window = window < plan->n_frames ? window : plan->n_frames;
    fold->ring = calloc(fold->window, sizeof *fold->ring);
    if (fold->streams == NULL || fold->ring == NULL) {
        fed_fold_free(fold);
        return CAIRN_ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < n; i++) {
        fold->streams[i] = (struct stream_state){.what = streams[i], .live = true};
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
    free(fold->ring);
    free(fold->streams);
    free(fold);
}

void fed_fold_open(struct fed_fold *fold, uint32_t round, uint32_t first)
{
    drop_frames(fold);
    for (size_t i = 0; i < fold->n_streams; i++) {
        fold->streams[i].next = first;
        fold->streams[i].through = 0;
        fold->streams[i].absent = false;
    }
    fold->base = fold->taken = first;
    fold->round = round;
    fold->closed = false;
}

void fed_fold_await(struct fed_fold *fold, const bool *awaited)
{
    for (size_t i = 0; i < fold->n_streams; i++) {
        fold->streams[i].absent = !awaited[i];
    }
}

uint32_t fed_fold_round(const struct fed_fold *fold)
{
    return fold->round;
}

static struct stream_state *find_stream(const struct fed_fold *fold, uint32_t origin)
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
    const struct accumulator *a = slot(fold, frame->index);
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
    uint8_t *words = frame->words.size == 0 ? NULL : malloc(frame->words.size);
    if (payload == NULL || set == NULL || (words == NULL && frame->words.size > 0)) {
        free(payload);
        free(set);
        free(words);
        return CAIRN_ERR_NO_MEMORY;
    }
    if (words != NULL) {
        memcpy(words, frame->words.data, frame->words.size);
    }
    memcpy(payload, frame->payload.data, frame->payload.size);
    memcpy(set, frame->contributor_set.data, frame->contributor_set.size);
    a->payload = payload;
    a->set = set;
    a->words = words;
    return 0;
}

/* The larger of each. */
static void keep_largest(uint8_t *words, struct span others)
{
    for (size_t at = 0; at < others.size; at += 8) {
        if (le_get64(others.data + at) > le_get64(words + at)) {
            memcpy(words + at, others.data + at, 8);
        }
    }
}

static int add_frame(struct fed_fold *fold, const struct wire_frame *frame)
{
    struct accumulator *a = slot(fold, frame->index);
    if (frame->contributors == 0) {
        return 0;
    }
    if (a->payload == NULL) {
        const int err = accumulator_start(a, frame);
        if (err != 0) {
            return err;
        }
    } else {
        he_add(fed_plan_he(fold->plan, frame->index), fed_plan_count(fold->plan, frame->index),
               a->payload, frame->payload.data);
        for (size_t i = 0; i < frame->contributor_set.size; i++) {
            a->set[i] |= frame->contributor_set.data[i];
        }
        keep_largest(a->words, frame->words);
    }
    a->contributors += frame->contributors;
    a->weight += frame->weight;
    return 0;
}

static uint32_t expected_of(const struct fed_fold *fold, const struct stream_state *stream)
{
    return stream->next > fold->taken ? stream->next : fold->taken;
}

static int check_open(const struct fed_fold *fold, const struct stream_state *stream,
                      struct cairn_problem *why)
{
    static const char hint[] = "drop the frames of this round and wait for the next model";
    if (fold->round == 0) {
        return problem_set(why, CAIRN_ERR_CLOSED, hint, "no round is open");
    }
    if (fold->closed) {
        return problem_set(why, CAIRN_ERR_CLOSED, hint, "round %u is closed",
                           (unsigned)fold->round);
    }
    if (stream->absent) {
        return problem_set(why, CAIRN_ERR_CLOSED, hint, "node %u sits round %u out",
                           (unsigned)stream->what.origin, (unsigned)fold->round);
    }
    if (stream->next < fold->plan->n_frames && fold->taken == fold->plan->n_frames) {
        return problem_set(why, CAIRN_ERR_CLOSED, hint,
                           "round %u: all sums have gone up, with %u of %u frames of node %u",
                           (unsigned)fold->round, (unsigned)stream->next,
                           (unsigned)fold->plan->n_frames, (unsigned)stream->what.origin);
    }
    return 0;
}

int fed_fold_expect(const struct fed_fold *fold, uint32_t origin, uint32_t index, uint32_t *next,
                    struct cairn_problem *why)
{
    *next = 0;
    const struct stream_state *stream = find_stream(fold, origin);
    if (stream == NULL) {
        return problem_set(why, CAIRN_ERR_UNKNOWN,
                           "a child sends to the node that its config's \"send\" names",
                           "node %u is no child of this node", (unsigned)origin);
    }
    *next = expected_of(fold, stream);
    const int err = check_open(fold, stream, why);
    if (err != 0) {
        return err;
    }
    if (index != *next || *next == fold->plan->n_frames) {
        return problem_set(why, CAIRN_ERR_WRONG_INDEX, "go on at the index that \"next\" names",
                           "frame %u from node %u, expected %u", (unsigned)index, (unsigned)origin,
                           (unsigned)*next);
    }
    if (index - fold->base >= fold->window) { /* base <= taken <= index */
        return problem_set(why, CAIRN_ERR_BUSY, "goes on when the slowest child has caught up",
                           "frame %u from node %u, but this node holds %u frames from %u on",
                           (unsigned)index, (unsigned)origin, (unsigned)fold->window,
                           (unsigned)fold->base);
    }
    return 0;
}

int fed_fold_accept(struct fed_fold *fold, uint32_t origin, const struct wire_frame *frame,
                    uint32_t *next, struct cairn_problem *why)
{
    struct stream_state *stream = find_stream(fold, origin);
    int err = fed_fold_expect(fold, origin, frame->index, next, why);
    if (err == 0) {
        err = fed_plan_check(fold->plan, frame, why);
    }
    if (err == 0) {
        err = check_against_sum(fold, stream, frame, why);
    }
    if (err == 0) {
        err = add_frame(fold, frame);
    }
    if (err == 0) {
        *next = stream->next = frame->index + 1;
        stream->live = true;
        stream->through = *next == fold->plan->n_frames ? frame->contributors : 0;
    }
    return err;
}

void fed_fold_set_live(struct fed_fold *fold, uint32_t origin, bool live)
{
    struct stream_state *stream = find_stream(fold, origin);
    if (stream != NULL) {
        stream->live = live;
    }
}

/* Has every live stream that is awaited delivered the frames below `end`, and is there such a one? */
static bool live_streams_reached(const struct fed_fold *fold, uint32_t end)
{
    bool any = false;
    for (size_t i = 0; i < fold->n_streams; i++) {
        const struct stream_state *stream = &fold->streams[i];
        const bool counts = stream->live && !stream->absent;
        if (counts && stream->next < end) {
            return false;
        }
        any = any || counts;
    }
    return any;
}

bool fed_fold_ready(const struct fed_fold *fold)
{
    if (fold->round == 0 || fold->taken == fold->plan->n_frames) {
        return false;
    }
    return fold->closed || live_streams_reached(fold, fold->taken + 1);
}

void fed_fold_take(struct fed_fold *fold, struct fed_sum *out)
{
    struct accumulator *a = slot(fold, fold->taken);
    *out = (struct fed_sum){
        .index = fold->taken, .contributors = a->contributors, .weight = a->weight};
    if (a->payload != NULL) {
        const size_t bytes = fed_plan_payload_bytes(fold->plan, fold->taken);
        const size_t set = fed_plan_set_bytes(fold->plan);
        out->payload = (struct buf){.data = a->payload, .size = bytes, .capacity = bytes};
        out->set = (struct buf){.data = a->set, .size = set, .capacity = set};
        const size_t words = 8 * (size_t)fed_plan_words(fold->plan, fold->taken);
        out->words = (struct buf){.data = a->words, .size = words, .capacity = words};
    }
    *a = (struct accumulator){0};
    fold->taken++;
}

uint32_t fed_fold_taken(const struct fed_fold *fold)
{
    return fold->taken;
}

void fed_fold_move(struct fed_fold *fold, uint32_t base)
{
    const uint32_t to = base < fold->taken ? base : fold->taken;
    fold->base = to > fold->base ? to : fold->base;
}

void fed_fold_close(struct fed_fold *fold)
{
    fold->closed = true;
}

bool fed_fold_closed(const struct fed_fold *fold)
{
    return fold->closed;
}

uint32_t fed_fold_through(const struct fed_fold *fold)
{
    uint32_t clients = 0;
    for (size_t i = 0; i < fold->n_streams; i++) {
        clients += fold->streams[i].through; /* disjoint: each was in the sum of one frame */
    }
    return clients;
}

bool fed_fold_all_through(const struct fed_fold *fold)
{
    return live_streams_reached(fold, fold->plan->n_frames);
}

bool fed_fold_missing(const struct fed_fold *fold, size_t i, uint32_t *origin, uint32_t *next,
                      bool *live)
{
    for (size_t s = 0; s < fold->n_streams; s++) {
        const struct stream_state *stream = &fold->streams[s];
        if (stream->next == fold->plan->n_frames || stream->absent) {
            continue;
        }
        if (i == 0) {
            *origin = stream->what.origin;
            *next = stream->next;
            *live = stream->live;
            return true;
        }
        i--;
    }
    return false;
}
