/* SPDX-License-Identifier: Apache-2.0 */
#include "recompute.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "json.h"
#include "plan.h"
#include "privacy.h"
#include "quantiser.h"
#include "sampling.h"
#include "strategy.h"

/* A client as this sees it: its trainer, and what it owes. */
struct client {
    struct trainer *trainer;
    float *owed;
    int32_t *integers; /* of this round */
    uint32_t trained;  /* in this round? */
    struct quantiser last;
    double *last_steps;
};

struct work {
    const struct recompute_source *source;
    const struct fed_settings *settings;
    struct fed_plan plan;
    struct client *clients;
    uint32_t n_clients;
    struct trainer *evaluator; /* shape and initial model */
    float *model, *before, *local;
    double *steps, *largest;
    int64_t *sums;
};

static void *need(void *memory)
{
    if (memory == NULL) {
        fprintf(stderr, "recompute: out of memory\n");
        exit(1);
    }
    return memory;
}

static uint32_t number_of(const struct fed_config *config, uint32_t index)
{
    for (uint32_t i = 0; i < config->tree.n_nodes; i++) {
        const struct fed_node *node = &config->tree.nodes[i];
        if (node->type == FED_CLIENT && node->index == index) {
            return node->client_number;
        }
    }
    return 0;
}

static int begin(struct work *w, const struct recompute_source *source)
{
    struct cairn_problem why = {0};
    struct he_params he;
    const struct fed_settings *s = &source->config->settings;
    w->source = source;
    w->settings = s;
    w->n_clients = source->config->tree.n_clients;
    if (s->noise_multiplier > 0) {
        fprintf(stderr, "recompute: privacy noise is never made again; nothing can be said\n");
        return -1;
    }
    w->clients = need(calloc(w->n_clients, sizeof *w->clients));
    int err = source->trainer(source->ctx, 0, 0, &w->evaluator);
    if (err == 0) {
        err = he_params_choose(s->profile, s->value_bits, w->n_clients, &he, &why);
    }
    if (err == 0) {
        err = fed_plan_init(&w->plan, &he, w->evaluator->shape->n_params, s->frame_params,
                            w->n_clients, s->batch_bytes, &why);
    }
    if (err == 0) {
        err = fed_plan_split(&w->plan, w->evaluator->n_plain, false, &why);
    }
    if (err != 0) {
        fprintf(stderr, "recompute: %s\n", why.what);
        return -1;
    }
    const size_t n = w->plan.n_params, tensors = w->evaluator->shape->n_tensors;
    w->model = need(calloc(n, fed_strategy_arrays(&s->strategy) * sizeof(float)));
    w->before = need(calloc(n, sizeof(float)));
    w->local = need(calloc(n, sizeof(float)));
    w->steps = need(calloc(tensors, sizeof(double)));
    w->largest = need(calloc(tensors, sizeof(double)));
    w->sums = need(calloc(w->plan.frame_params, sizeof(int64_t)));
    w->evaluator->initial(w->evaluator, s->seed, w->model);
    fed_strategy_begin(&s->strategy, n, w->model);
    for (uint32_t k = 0; k < w->n_clients; k++) {
        struct client *c = &w->clients[k];
        c->owed = need(calloc(n, sizeof(float)));
        c->integers = need(calloc(n, sizeof(int32_t)));
        c->last_steps = need(calloc(tensors, sizeof(double)));
        if (source->trainer(source->ctx, number_of(source->config, k), k, &c->trainer) != 0) {
            fprintf(stderr, "recompute: no trainer for client %u\n", (unsigned)k);
            return -1;
        }
    }
    return 0;
}

static void end(struct work *w)
{
    for (uint32_t k = 0; k < w->n_clients; k++) {
        struct client *c = &w->clients[k];
        if (c->trainer != NULL) {
            c->trainer->free(c->trainer);
        }
        free(c->owed);
        free(c->integers);
        free(c->last_steps);
    }
    if (w->evaluator != NULL) {
        w->evaluator->free(w->evaluator);
    }
    free(w->clients);
    free(w->model);
    free(w->before);
    free(w->local);
    free(w->steps);
    free(w->largest);
    free(w->sums);
}

/* What a client sends in this round, from the model that it was sent. */
static int train(struct work *w, uint32_t k, uint32_t round, uint64_t largest_samples)
{
    struct client *c = &w->clients[k];
    struct cairn_problem why = {0};
    struct train_metrics metrics;
    const size_t n = w->plan.n_params;
    if (!w->settings->error_feedback) {
        memset(c->owed, 0, n * sizeof *c->owed);
    } else if (c->last.shape != NULL) {
        quantiser_settle(&c->last, c->owed, 0, n);
    }
    const bool by_run = c->trainer->by_run;
    const int err = c->trainer->train(c->trainer, by_run ? NULL : w->before,
                                      by_run ? NULL : w->local, w->settings->seed, round, k,
                                      &metrics, &why);
    if (err != 0) {
        fprintf(stderr, "recompute: client %u in round %u: %s\n", (unsigned)k, (unsigned)round,
                why.what);
        return err;
    }
    const float *from = by_run ? NULL : w->before;
    if (by_run) {
        if (c->trainer->update(c->trainer, round, k, 0, n, w->local, &why) != 0) {
            fprintf(stderr, "recompute: client %u in round %u: %s\n", (unsigned)k, (unsigned)round,
                    why.what);
            return why.code;
        }
    }
    if (w->settings->clip_norm > 0) {
        double norm2 = 0;
        quantiser_norm(from, w->local, n, &norm2);
        quantiser_shrink(from, w->local, n, fed_privacy_share(w->settings->clip_norm, norm2));
    }
    if (by_run) {
        quantiser_add(w->local, c->owed, n);
    } else {
        quantiser_owe(w->before, w->local, c->owed, n);
    }
    memcpy(c->last_steps, w->steps, w->evaluator->shape->n_tensors * sizeof *w->steps);
    c->last = (struct quantiser){.shape = w->evaluator->shape,
                                 .steps = c->last_steps,
                                 .value_bits = w->settings->value_bits,
                                 .samples = c->trainer->samples,
                                 .largest_samples = largest_samples,
                                 .seed = w->settings->seed,
                                 .round = round,
                                 .client_index = k};
    quantiser_read(&c->last, c->owed, 0, n, c->integers, NULL);
    c->trained = round;
    return 0;
}

static bool in_set(const char *hex, uint32_t k)
{
    const size_t at = 2 * (size_t)(k / 8);
    if (at + 1 >= strlen(hex)) {
        return false;
    }
    const char byte[3] = {hex[at], hex[at + 1], '\0'};
    return (strtoul(byte, NULL, 16) >> (k % 8) & 1) != 0;
}

/* One run of frames with the same contributors. */
static int add_frames(struct work *w, uint32_t round, uint64_t largest_samples,
                      const json_t *entry)
{
    const char *set = json_get_text(entry, "set", "");
    if (strcmp(json_get_text(entry, "outcome", ""), "opened") != 0) {
        return 0;
    }
    uint64_t weight = 0;
    struct fed_sample sample;
    fed_sample_choose(w->settings, w->n_clients, round, &sample);
    for (uint32_t k = 0; k < w->n_clients; k++) {
        if (in_set(set, k) && !fed_sample_has(&sample, k)) {
            fprintf(stderr, "recompute: round %u: client %u was not chosen\n", (unsigned)round, (unsigned)k);
            return -1;
        }
        if (in_set(set, k)) {
            weight += w->clients[k].trainer->samples;
            if (w->clients[k].trained != round && train(w, k, round, largest_samples) != 0) {
                return -1;
            }
        }
    }
    if (weight != (uint64_t)json_get_int(entry, "weight", -1)) {
        fprintf(stderr, "recompute: round %u: the log says weight %lld, the clients in the set have %llu\n",
                (unsigned)round, json_get_int(entry, "weight", -1), (unsigned long long)weight);
        return -1;
    }
    for (uint32_t i = (uint32_t)json_get_int(entry, "first", 0);
         i <= (uint32_t)json_get_int(entry, "last", 0); i++) {
        const size_t first = fed_plan_first(&w->plan, i), count = fed_plan_count(&w->plan, i);
        memset(w->sums, 0, count * sizeof *w->sums);
        for (uint32_t k = 0; k < w->n_clients; k++) {
            for (size_t j = 0; in_set(set, k) && j < count; j++) {
                w->sums[j] += w->clients[k].integers[first + j];
            }
        }
        fed_strategy_apply(&w->settings->strategy, w->evaluator->shape, w->steps, largest_samples,
                           weight, first, count, w->sums, w->model, w->largest);
    }
    return 0;
}

static int add_round(struct work *w, const json_t *line)
{
    const uint32_t round = (uint32_t)json_get_int(line, "round", 0);
    const uint64_t largest_samples = (uint64_t)json_get_int(line, "largest_samples", 0);
    const size_t tensors = w->evaluator->shape->n_tensors;
    quantiser_choose_steps(w->evaluator->shape, w->settings->value_bits,
                           round == 1 ? NULL : w->largest, w->steps);
    memset(w->largest, 0, tensors * sizeof *w->largest);
    memcpy(w->before, w->model, w->plan.n_params * sizeof *w->model);
    struct fed_sample sample;
    fed_sample_choose(w->settings, w->n_clients, round, &sample);
    for (uint32_t k = 0; w->settings->error_feedback && k < w->n_clients; k++) {
        if (fed_sample_has(&sample, k) && train(w, k, round, largest_samples) != 0) { /* in the sum or not, it owes from now on */
            return -1;
        }
    }
    size_t i;
    const json_t *entry;
    uint32_t expected = 0;
    json_array_foreach(json_object_get(line, "frames"), i, entry)
    {
        if (json_get_int(entry, "first", -1) != expected ||
            add_frames(w, round, largest_samples, entry) != 0) {
            fprintf(stderr, "recompute: round %u: frames from %u on do not add up\n",
                    (unsigned)round, (unsigned)expected);
            return -1;
        }
        expected = (uint32_t)json_get_int(entry, "last", 0) + 1;
    }
    return expected == w->plan.n_frames ? 0 : -1;
}

static int add_rounds(struct work *w, const char *path)
{
    struct cairn_problem why = {0};
    struct buf text = {0};
    int rounds = file_read(path, (size_t)1 << 30, &text, &why) == 0 ? 0 : -1;
    char *at = rounds == 0 ? (char *)(uintptr_t)buf_text(&text) : NULL;
    char *rest = NULL;
    for (char *one = at == NULL ? NULL : strtok_r(at, "\n", &rest); one != NULL && rounds >= 0;
         one = strtok_r(NULL, "\n", &rest)) {
        json_t *line = json_parse((struct span){(const uint8_t *)one, strlen(one)}, path, &why);
        rounds = line != NULL && add_round(w, line) == 0 ? rounds + 1 : -1;
        json_decref(line);
    }
    if (why.code != 0) {
        fprintf(stderr, "recompute: %s\n", why.what);
    }
    buf_release(&text);
    return rounds;
}

int recompute_run(const struct recompute_source *source, const char *rounds,
                  char hex[DIGEST_HEX_SIZE])
{
    struct work w = {0};
    int n = begin(&w, source);
    if (n == 0) {
        n = add_rounds(&w, rounds);
    }
    if (n >= 0) {
        uint8_t digest[DIGEST_SIZE];
        digest_of(w.model, w.plan.n_params * sizeof *w.model, digest);
        digest_hex(digest, DIGEST_SIZE, hex);
    }
    end(&w);
    return n;
}
