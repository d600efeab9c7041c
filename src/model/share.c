/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of a model is shared. A pattern that means no tensor is a misspelt one, and what it was to keep at
 * home would be sent: so it is refused.
 */
#include "share.h"

#include <stdlib.h>
#include <string.h>

#include "sizes.h"

/* The next character; names are UTF-8. */
static const char *after(const char *at)
{
    at++;
    while (((unsigned char)*at & 0xC0) == 0x80) {
        at++;
    }
    return at;
}

bool model_pattern_matches(const char *pattern, const char *name)
{
    const char *star = NULL, *from = name; /* the last '*', and what it has not swallowed yet */
    while (*name != '\0') {
        if (*pattern == '*') {
            star = pattern++;
            from = name;
        } else if (*pattern == '?') {
            pattern++;
            name = after(name);
        } else if (*pattern == *name) {
            pattern++;
            name++;
        } else if (star != NULL) { /* it swallows one more, and what follows it is tried again */
            pattern = star + 1;
            from = after(from);
            name = from;
        } else {
            return false;
        }
    }
    while (*pattern == '*') {
        pattern++;
    }
    return *pattern == '\0';
}

static bool any_matches(const json_t *patterns, const char *name)
{
    size_t i;
    const json_t *pattern;
    json_array_foreach(patterns, i, pattern)
    {
        if (model_pattern_matches(json_string_value(pattern), name)) {
            return true;
        }
    }
    return false;
}

static bool is_meant(const struct model_tensor *list, size_t n, const char *pattern)
{
    for (size_t t = 0; t < n; t++) {
        if (model_pattern_matches(pattern, list[t].name)) {
            return true;
        }
    }
    return false;
}

static int check_patterns(const struct model_shape *whole, const json_t *patterns, const char *field,
                          struct cairn_problem *why)
{
    size_t i;
    const json_t *pattern;
    json_array_foreach(patterns, i, pattern)
    {
        const char *text = json_string_value(pattern);
        if (!is_meant(whole->tensors, whole->n_tensors, text) &&
            !is_meant(whole->carried, whole->n_carried, text)) {
            return problem_set(why, CAIRN_ERR_CONFIG,
                               "* stands for any characters and ? for one; `cairn inspect` lists the "
                               "tensors of a model",
                               "%s: no tensor of the model is called \"%s\"", field, text);
        }
    }
    return 0;
}

bool model_share_everything(const struct model_share_rules *rules)
{
    return json_array_size(rules->include) == 0 && json_array_size(rules->exclude) == 0 &&
           json_array_size(rules->only) == 0;
}

static bool is_shared(const struct model_share_rules *rules, const char *name)
{
    return (json_array_size(rules->include) == 0 || any_matches(rules->include, name)) &&
           !any_matches(rules->exclude, name);
}

static bool is_encrypted(const struct model_share_rules *rules, const char *name)
{
    return json_array_size(rules->only) == 0 || any_matches(rules->only, name);
}

static void choose(struct model_share *share, const struct model_tensor *list, size_t n,
                   const struct model_share_rules *rules)
{
    for (size_t t = 0; t < n; t++) {
        const bool shared = is_shared(rules, list[t].name);
        share->shared[list[t].place] = shared;
        share->everything = share->everything && shared;
    }
}

/* Append the shared floats that are encrypted, or those that are not. */
static int choose_floats(struct model_share *share, const struct model_share_rules *rules,
                         bool encrypted, struct cairn_problem *why)
{
    int err = 0;
    for (size_t t = 0; err == 0 && t < share->whole->n_tensors; t++) {
        const struct model_tensor *tensor = &share->whole->tensors[t];
        if (share->shared[tensor->place] && is_encrypted(rules, tensor->name) == encrypted) {
            share->from[share->shape.n_tensors] = tensor->offset;
            share->all_floats = share->all_floats && tensor->offset == share->shape.n_params;
            err = model_shape_add(&share->shape, tensor->name, tensor->dims, tensor->n_dims, why);
        }
    }
    return err;
}

/* Who names a tensor there believes that it is encrypted: integers never are. */
static int check_only(const struct model_share *share, const json_t *only, struct cairn_problem *why)
{
    size_t i;
    const json_t *pattern;
    json_array_foreach(only, i, pattern)
    {
        const char *text = json_string_value(pattern);
        if (!is_meant(share->shape.tensors, share->shape.n_tensors, text)) {
            return problem_set(why, CAIRN_ERR_CONFIG,
                               "integers go in the clear always, and what model.exclude names is not sent",
                               "encryption.only: no tensor of floats that is shared is called \"%s\"", text);
        }
    }
    return 0;
}

static int choose_all_floats(struct model_share *share, const struct model_share_rules *rules,
                             struct cairn_problem *why)
{
    share->all_floats = true;
    int err = choose_floats(share, rules, true, why);
    const size_t encrypted = share->shape.n_params;
    if (err == 0) {
        err = choose_floats(share, rules, false, why);
    }
    if (err == 0 && share->shape.n_params == 0) {
        err = problem_set(why, CAIRN_ERR_CONFIG, "share at least one tensor of floats",
                          "model.include and model.exclude leave nothing to average");
    }
    if (err == 0) {
        err = check_only(share, rules->only, why);
    }
    if (err == 0 && encrypted == 0) {
        err = problem_set(why, CAIRN_ERR_CONFIG, "name a tensor that is not empty",
                          "encryption.only leaves nothing to encrypt");
    }
    share->n_plain = share->shape.n_params - encrypted;
    share->all_floats = share->all_floats && share->shape.n_params == share->whole->n_params;
    return err;
}

static int choose_words(struct model_share *share, struct cairn_problem *why)
{
    for (size_t t = 0; t < share->whole->n_carried; t++) {
        const struct model_tensor *tensor = &share->whole->carried[t];
        if (!share->shared[tensor->place]) {
            continue;
        }
        if (tensor->count > MODEL_MOST_WORDS - share->n_words) {
            return problem_set(why, CAIRN_ERR_CONFIG,
                               "integers are not averaged but sent in the clear, and only a few: put the "
                               "large ones into model.exclude",
                               "with tensor \"%s\" the model has more than %d integers", tensor->name,
                               MODEL_MOST_WORDS);
        }
        for (size_t i = 0; i < tensor->count; i++) {
            share->words[share->n_words++] = tensor->offset + i;
        }
    }
    return 0;
}

int model_share_init(struct model_share *share, const struct model_shape *whole,
                     const struct model_share_rules *rules, struct cairn_problem *why)
{
    const size_t most = whole->n_words < MODEL_MOST_WORDS ? whole->n_words : MODEL_MOST_WORDS;
    *share = (struct model_share){.whole = whole, .everything = true};
    int err = check_patterns(whole, rules->include, "model.include", why);
    if (err == 0) {
        err = check_patterns(whole, rules->exclude, "model.exclude", why);
    }
    if (err == 0) {
        err = check_patterns(whole, rules->only, "encryption.only", why);
    }
    if (err != 0) {
        return err;
    }
    share->from = size_alloc_array(whole->n_tensors + 1, sizeof *share->from);
    share->words = size_alloc_array(most + 1, sizeof *share->words);
    share->shared = size_alloc_array(whole->n_tensors + whole->n_carried + 1, sizeof *share->shared);
    if (share->from == NULL || share->words == NULL || share->shared == NULL) {
        err = problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a list of tensors");
    }
    if (err == 0) {
        choose(share, whole->tensors, whole->n_tensors, rules);
        choose(share, whole->carried, whole->n_carried, rules);
        err = choose_all_floats(share, rules, why);
    }
    if (err == 0) {
        err = choose_words(share, why);
    }
    if (err != 0) {
        model_share_release(share);
    }
    return err;
}

void model_share_release(struct model_share *share)
{
    model_shape_release(&share->shape);
    free(share->from);
    free(share->words);
    free(share->shared);
    *share = (struct model_share){0};
}

bool model_share_has(const struct model_share *share, const struct model_tensor *tensor)
{
    return share->shared[tensor->place];
}

size_t model_share_run(const struct model_share *share, size_t first, size_t n, size_t *at)
{
    if (share->all_floats) {
        *at = first;
        return n;
    }
    const struct model_tensor *tensor = model_shape_find(&share->shape, first);
    const size_t within = first - tensor->offset, left = tensor->count - within;
    *at = share->from[tensor - share->shape.tensors] + within;
    return left < n ? left : n;
}

void model_share_gather(const struct model_share *share, const float *whole, size_t first, size_t n,
                        float *part)
{
    for (size_t done = 0, here, at; done < n; done += here) {
        here = model_share_run(share, first + done, n - done, &at);
        memcpy(part + done, whole + at, here * sizeof *part);
    }
}

void model_share_scatter(const struct model_share *share, const float *part, size_t first, size_t n,
                         float *whole)
{
    for (size_t done = 0, here, at; done < n; done += here) {
        here = model_share_run(share, first + done, n - done, &at);
        memcpy(whole + at, part + done, here * sizeof *part);
    }
}

void model_share_gather_words(const struct model_share *share, const uint64_t *whole, uint64_t *part)
{
    for (size_t i = 0; i < share->n_words; i++) {
        part[i] = whole[share->words[i]];
    }
}

void model_share_scatter_words(const struct model_share *share, const uint64_t *part,
                               uint64_t *whole)
{
    for (size_t i = 0; i < share->n_words; i++) {
        whole[share->words[i]] = part[i];
    }
}
