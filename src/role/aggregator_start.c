/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How an aggregator comes to be. It looks into the run's folder first: an unfinished run of the same config is gone on
 * with, under the same keys, so that the other nodes need not be told anything new. Otherwise a
 * new run is made up.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aggregation.h"
#include "initial.h"
#include "json.h"
#include "log.h"
#include "quantiser.h"
#include "secret.h"
#include "shared_trainer.h"
#include "sizes.h"

static void aggregator_free(struct role *role)
{
    struct aggregator *a = aggregator_of(role);
    aggregation_release_nodes(a);
    receiver_release(&a->receiver);
    if (a->log_ready) {
        roundlog_release(&a->log);
    }
    if (a->lock_ready) {
        pthread_mutex_destroy(&a->lock);
    }
    if (a->trainer != NULL) {
        a->trainer->free(a->trainer);
    }
    he_secret_key_free(a->secret);
    he_crew_free(a->crew);
    parallel_free(a->team);
    json_decref(a->summary);
    json_decref(a->contributions);
    for (size_t i = 0; i < a->n_taken; i++) {
        fed_sum_release(&a->taken[i]);
    }
    buf_release(&a->message);
    buf_release(&a->frame);
    buf_release(&a->history);
    buf_release(&a->public_key);
    ledger_state_release(&a->resumed);
    ledger_close(a->ledger);
    free(a->streams);
    free(a->stream_clients);
    free(a->awaited);
    free(a->model);
    model_shape_release(&a->kept);
    free(a->steps);
    free(a->largest);
    free(a->rho);
    if (a->sums != NULL) {
        secret_wipe(a->sums, a->plan.frame_params * sizeof *a->sums);
    }
    free(a->sums);
    free(a);
}

static int make_plan(struct aggregator *a, struct cairn_problem *why)
{
    const struct fed_settings *s = &a->config->settings;
    const bool noise = s->noise_multiplier > 0;
    struct he_params he;
    int err = a->host->trainer(a->host->ctx, s, NULL, NULL, 0, 0, &a->trainer, why);
    if (err == 0) {
        err = he_params_choose(s->profile, s->value_bits, a->config->tree.n_clients, &he, why);
    }
    if (err == 0) {
        err = fed_plan_init(&a->plan, &he, a->trainer->shape->n_params, s->frame_params,
                            a->config->tree.n_clients, s->batch_bytes, why);
    }
    if (err == 0) {
        err = fed_plan_split(&a->plan, a->trainer->n_plain, noise, why);
    }
    if (err == 0) {
        err = fed_plan_carry(&a->plan, (uint32_t)a->trainer->n_words, noise, why);
    }
    a->plan.noise = noise;
    return err != 0 ? err
                    : fed_privacy_plan(s, a->plan.n_params,
                                       fed_sample_size(s, a->config->tree.n_clients),
                                       a->config->iterations, &a->privacy, why);
}

static int make_arrays(struct aggregator *a, struct cairn_problem *why)
{
    const struct fed_strategy *strategy = &a->config->settings.strategy;
    const size_t tensors = a->trainer->shape->n_tensors;
    const int err = fed_strategy_shape(strategy, a->trainer->shape, &a->kept, why);
    if (err != 0) {
        return err;
    }
    a->model = size_alloc_array(a->kept.n_params, sizeof(float));
    a->steps = size_alloc_array(tensors, sizeof(double));
    a->largest = size_alloc_array(tensors, sizeof(double));
    a->sums = size_alloc_array(a->plan.frame_params, sizeof(int64_t));
    a->rho = calloc(a->plan.n_clients, sizeof(double));
    a->contributions = json_array();
    if (a->model == NULL || a->steps == NULL || a->largest == NULL || a->sums == NULL ||
        a->rho == NULL || a->contributions == NULL) {
        return CAIRN_ERR_NO_MEMORY;
    }
    a->trainer->initial(a->trainer, a->config->settings.seed, a->model);
    fed_strategy_begin(strategy, a->plan.n_params, a->model);
    aggregation_choose_steps(a, true);
    return 0;
}

/* ---- a new run ---- */

/* Key pair, nonce and id of this run. */
static int make_session(struct aggregator *a, struct cairn_problem *why)
{
    struct secret_rng *rng = NULL;
    struct he_public_key *key = NULL;
    int err = random_from_system(a->id, sizeof a->id);
    if (err == 0) {
        err = random_from_system(a->nonce, sizeof a->nonce);
    }
    if (err == 0 && a->plan.he.profile != HE_NONE) {
        err = secret_rng_new(&rng);
        if (err == 0) {
            err = he_keygen(&a->plan.he, rng, &a->secret, &key);
        }
        if (err == 0) {
            err = he_public_key_write(key, &a->public_key);
        }
    }
    he_public_key_free(key);
    secret_rng_free(rng);
    return err == 0 ? 0 : problem_set(why, err, NULL, "no keys for this run: %s",
                                      cairn_error_sentence(err));
}

/* ---- a run that goes on ---- */

/* As write_history wrote it; there is none before the first commit. */
static void take_history(struct aggregator *a, struct span history)
{
    const size_t steps = a->trainer->shape->n_tensors * sizeof *a->steps;
    const size_t rho = a->plan.n_clients * sizeof *a->rho;
    const size_t words = a->plan.n_words * sizeof *a->trainer->words;
    if (history.size == steps + rho + words) {
        memcpy(a->steps, history.data, steps);
        memcpy(a->rho, history.data + steps, rho);
        if (words > 0) {
            memcpy(a->trainer->words, history.data + steps + rho, words);
        }
    }
}

static int resume_run(struct aggregator *a, struct span text, struct cairn_problem *why)
{
    const struct fed_settings *s = &a->config->settings;
    struct ledger_state *from = &a->resumed;
    int err = ledger_resume(a->ledger, &a->kept, a->model, from, why);
    if (err != 0) {
        return err;
    }
    a->begun = true;
    a->largest_samples = from->session.largest_samples;
    memcpy(a->id, from->session.id, sizeof a->id);
    memcpy(a->nonce, from->session.nonce, sizeof a->nonce);
    a->secret = from->secret;
    from->secret = NULL;
    memcpy(a->largest, from->largest, a->trainer->shape->n_tensors * sizeof *a->largest);
    take_history(a, buf_span(&from->history));
    err = buf_append(&a->public_key, from->session.public_key.data, from->session.public_key.size);
    if (err != 0) {
        return problem_set(why, err, NULL, "no memory for the public key");
    }
    log_line(LOG_INFO, "going on with the unfinished run in %s: %u of %u rounds are done",
             a->run.path, (unsigned)from->committed, (unsigned)a->config->iterations);
    return runfolder_resume(&a->run, s->runs_dir, s->experiment, text, from->committed, why);
}

static int check_resume(enum ledger_found found, enum aggregator_resume wanted,
                        const char *path, struct cairn_problem *why)
{
    if (wanted == AGGREGATOR_RESUME && found != LEDGER_UNFINISHED) {
        return problem_set(why, CAIRN_ERR_CONFIG,
                           found == LEDGER_OTHER_CONFIG
                               ? "use the config that the run was started with (config.json in that "
                                 "folder), or leave out --resume to start anew"
                               : "leave out --resume to start it",
                           found == LEDGER_OTHER_CONFIG
                               ? "the unfinished run in %s has another config"
                               : "there is no unfinished run in %s",
                           path);
    }
    if (found == LEDGER_OTHER_CONFIG) {
        log_line(LOG_WARNING, "the unfinished run of another config in %s is given up", path);
    }
    return 0;
}

static int digest_config(struct aggregator *a, struct span text, struct cairn_problem *why)
{
    json_t *document = json_parse(text, "the config", why);
    const int err = document == NULL ? CAIRN_ERR_CONFIG : json_digest(document, a->config_digest);
    json_decref(document);
    return err;
}

/* Is there an unfinished run that began with this config and this file?
 * @param first  the file that was given, or the copy that a run kept; NULL: none */
static int look_for_run(struct aggregator *a, const struct input *first, bool given,
                        enum aggregator_resume wanted, enum ledger_found *found,
                        struct cairn_problem *why)
{
    char digest[DIGEST_HEX_SIZE];
    memcpy(digest, a->config_digest, sizeof digest);
    int err = initial_digest(first, digest, why);
    if (err == 0 && wanted != AGGREGATOR_ANEW) {
        err = ledger_look(a->ledger, digest, found, why);
    }
    if (err == 0) {
        err = check_resume(*found, wanted, a->run.path, why);
    }
    if (err == 0 && (given || *found == LEDGER_UNFINISHED)) {
        memcpy(a->config_digest, digest, sizeof digest);
    }
    if (err == 0 && *found == LEDGER_UNFINISHED && first != NULL && !given) {
        err = train_shared_load(a->trainer, first, a->model, why);
    }
    return err;
}

/* @param given  the file to begin with; NULL: none */
static int begin_run(struct aggregator *a, struct span text, const struct input *given,
                     struct cairn_problem *why)
{
    const struct fed_settings *s = &a->config->settings;
    int err = make_session(a, why);
    if (err == 0) {
        err = runfolder_begin(&a->run, s->runs_dir, s->experiment, text, why);
    }
    if (err != 0 || given == NULL) {
        initial_drop(&a->run);
        return err;
    }
    return initial_keep(&a->run, given, why);
}

/* New or going on, as the run's folder and the caller have it. */
static int find_run(struct aggregator *a, struct span text, enum aggregator_resume wanted,
                    const struct input *first, bool given, struct cairn_problem *why)
{
    enum ledger_found found = LEDGER_NOTHING;
    int err = given ? train_shared_load(a->trainer, first, a->model, why) : 0;
    if (err == 0 && aggregation_tells_models(a)) {
        err = fed_check_metadata(a->trainer->metadata, why);
    }
    if (err == 0) {
        err = ledger_open(a->run.path, a->host->address, fed_plan_frame_bytes(&a->plan),
                          &a->ledger, why);
    }
    if (err == 0) {
        err = look_for_run(a, first, given, wanted, &found, why);
    }
    if (err != 0) {
        return err;
    }
    return found == LEDGER_UNFINISHED ? resume_run(a, text, why)
                                      : begin_run(a, text, given ? first : NULL, why);
}

/* The file that it begins with is opened once: what is loaded is what is compared and kept. */
static int make_run(struct aggregator *a, struct span text, enum aggregator_resume wanted,
                    const char *init, struct cairn_problem *why)
{
    const struct fed_settings *s = &a->config->settings;
    char kept[RUNFOLDER_PATH_SIZE];
    struct input first = {.fd = -1};
    int err = digest_config(a, text, why);
    runfolder_locate(&a->run, s->runs_dir, s->experiment);
    const bool there = initial_kept(&a->run, kept) || init != NULL;
    if (err == 0 && there) {
        err = initial_open(&first, init != NULL ? init : kept, a->trainer->whole, why);
    }
    if (err == 0) {
        err = find_run(a, text, wanted, there ? &first : NULL, init != NULL, why);
    }
    input_close(&first);
    return err;
}

/* ---- both ---- */

static int make_receiver(struct aggregator *a)
{
    const struct fed_settings *s = &a->config->settings;
    const struct fed_tree *tree = &a->config->tree;
    int err = fed_tree_streams(tree, 0, &a->streams, &a->n_streams);
    if (err == 0) {
        err = fed_tree_stream_clients(tree, 0, a->streams, a->n_streams, &a->stream_clients);
    }
    if (err == 0) {
        a->awaited = size_alloc_array(a->n_streams, sizeof *a->awaited);
        err = a->awaited == NULL ? CAIRN_ERR_NO_MEMORY : 0;
    }
    return err != 0 ? err
                    : receiver_init(&a->receiver, a->host, &a->plan, a->streams, a->n_streams,
                                    fed_plan_window(&a->plan, s->window_bytes, s->batch_bytes),
                                    fed_plan_batch_limit(&a->plan, s->batch_bytes), a->id);
}

static int make_team(struct aggregator *a)
{
    if (a->secret == NULL) {
        return 0;
    }
    const int err = parallel_new(a->config->settings.server_threads, &a->team);
    return err != 0 ? err : he_crew_new(&a->plan.he, a->team, &a->crew);
}

static int make_aggregator(struct aggregator *a, struct span text, enum aggregator_resume wanted,
                           const char *init, struct cairn_problem *why)
{
    int err = make_plan(a, why);
    if (err == 0) {
        err = make_arrays(a, why);
    }
    if (err == 0) {
        err = make_run(a, text, wanted, init, why);
    }
    if (err == 0) {
        err = make_team(a);
    }
    if (err == 0) {
        err = make_receiver(a);
    }
    if (err == 0) {
        err = aggregation_make_nodes(a);
    }
    if (err == 0) {
        err = roundlog_init(&a->log, a->host, aggregation_node(a, 0)->address, "aggregator",
                            a->config->settings.experiment);
        a->log_ready = err == 0;
    }
    return err;
}

int aggregator_new(const struct fed_config *config, struct span text,
                   enum aggregator_resume wanted, const char *init, const struct role_host *host,
                   struct role **out, struct cairn_problem *why)
{
    struct aggregator *a = calloc(1, sizeof *a);
    if (a == NULL) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for an aggregator");
    }
    a->host = host;
    a->config = config;
    a->role = (struct role){.name = "aggregator",
                            .routes = aggregation_routes,
                            .step = aggregation_step,
                            .status = aggregation_status,
                            .log = aggregation_log,
                            .free = aggregator_free};
    pthread_mutex_init(&a->lock, NULL);
    a->lock_ready = true;
    const int err = make_aggregator(a, text, wanted, init, why);
    if (err != 0) {
        if (why->code == 0) {
            problem_set(why, err, NULL, "the aggregator cannot start: %s",
                        cairn_error_sentence(err));
        }
        aggregator_free(&a->role);
        return err;
    }
    a->began_ns = aggregation_now_ns(a);
    aggregation_begin_waiting(a, config->settings.start_timeout_s);
    *out = &a->role;
    return 0;
}
