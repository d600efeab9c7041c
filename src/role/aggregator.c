/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The aggregator's rounds, read from top to bottom:
 *
 *   open_round         choose the steps, write the round down, open the fold, send the model down
 *   restore_round      the same for a round that was open when the aggregator went down
 *   take_sums          complete sums: into the journal, durable, then decided over, opened and applied
 *   step_collecting    until the round is complete, or its time is up
 *   close_round        evaluate, commit, go on
 *   step_finishing     the final model goes down
 *
 * A sum is in the journal, with its contributor set, before it is opened. What is in the journal may be
 * opened again after a restart, because it is the same sum; nothing else of that round's frames ever is.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aggregation.h"
#include "answer.h"
#include "digest.h"
#include "json.h"
#include "log.h"
#include "model_message.h"
#include "pieces.h"
#include "quantiser.h"
#include "shared_trainer.h"
#include "summary.h"
#include "tenseal_batch.h"

static const char *const state_names[] = {"configuring", "ready", "collecting", "finishing",
                                          "gathering",   "done",  "failed"};

static const uint64_t NOTICE_NS = 5000000000; /* long enough not to chatter, short enough to be asked about */
static const uint64_t RETRY_STORAGE_NS = 1000000000;
static const double STORAGE_PATIENCE_S = 300; /* time for somebody to make room on a full disk */

uint64_t aggregation_now_ns(const struct aggregator *a)
{
    return clock_now_ns(a->host->clock);
}

const struct fed_node *aggregation_node(const struct aggregator *a, uint32_t node)
{
    return &a->config->tree.nodes[node];
}

static const char *name_of(void *ctx, uint32_t node)
{
    return aggregation_node(ctx, node)->address;
}

void CAIRN_PRINTF(2, 3) aggregation_say(struct aggregator *a, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (a->progress != NULL) {
        a->progress(a->progress_ctx, line);
    } else {
        log_line(LOG_INFO, "%s", line);
    }
}

void aggregation_begin_waiting(struct aggregator *a, double seconds)
{
    const uint64_t now = aggregation_now_ns(a);
    a->deadline_ns = now + (uint64_t)(seconds * 1e9);
    a->notice_ns = now + NOTICE_NS;
}

uint64_t aggregation_keep_waiting(struct aggregator *a, uint64_t again, const char *for_what,
                                  const char *who)
{
    if (aggregation_now_ns(a) >= a->notice_ns) {
        aggregation_say(a, "waiting for %s: %s", for_what, who);
        a->notice_ns = aggregation_now_ns(a) + NOTICE_NS;
    }
    again = again < a->notice_ns ? again : a->notice_ns;
    return again < a->deadline_ns ? again : a->deadline_ns;
}

void aggregation_set_state(struct aggregator *a, enum aggregator_state state)
{
    pthread_mutex_lock(&a->lock);
    a->state = state;
    a->round_shown = a->round.number;
    pthread_mutex_unlock(&a->lock);
}

void aggregation_fail(struct aggregator *a, const struct cairn_problem *why)
{
    pthread_mutex_lock(&a->lock);
    a->state = AGG_FAILED;
    a->problem = *why; /* told by whoever asks aggregator_finished */
    pthread_mutex_unlock(&a->lock);
}

/* ---- a round begins ---- */

/* Piece 0 with what the next round, or the end, needs to know; on its way to all children. */
static int send_model(struct aggregator *a, uint16_t flags, uint32_t next_frame)
{
    const uint64_t now = aggregation_now_ns(a);
    const uint64_t left_ms = a->deadline_ns <= now ? 0 : (a->deadline_ns - now) / 1000000;
    struct wire_model m = {.round = a->round.number,
                           .flags = flags,
                           .tensors = (uint32_t)a->trainer->shape->n_tensors,
                           .parameters = a->plan.n_params,
                           .largest_samples = a->largest_samples,
                           .count = fed_plan_piece_count(&a->plan, 0),
                           .next_frame = next_frame,
                           .deadline_ms = (uint32_t)((double)left_ms * FED_DEADLINE_SHARE),
                           .steps = (const uint8_t *)a->steps,
                           .weights = (const uint8_t *)a->model,
                           .n_words = a->plan.n_words,
                           .words = (const uint8_t *)a->trainer->words};
    memcpy(m.experiment, a->id, WIRE_EXPERIMENT);
    downlink_halt(&a->models); /* nobody reads the message while it changes */
    buf_clear(&a->message);
    const int err = wire_model_write(&a->message, &m);
    for (size_t i = 0; err == 0 && i < a->models.n; i++) {
        a->models.targets[i].body = buf_span(&a->message);
        downlink_again(&a->models, i);
    }
    return err;
}

static void set_model_moves(struct aggregator *a, bool moves)
{
    pthread_mutex_lock(&a->lock);
    a->model_moves = moves;
    pthread_mutex_unlock(&a->lock);
}

uint32_t aggregation_quorum(const struct aggregator *a)
{
    const uint32_t clients = fed_sample_size(&a->config->settings, a->config->tree.n_clients);
    return fed_quorum(&a->config->settings, clients, clients);
}

/* What a new round and a restored one have in common. */
static void begin_round(struct aggregator *a, uint32_t number)
{
    const struct fed_settings *s = &a->config->settings;
    const uint64_t now = aggregation_now_ns(a);
    fed_round_begin(&a->round, number, a->plan.n_frames, s->privacy_floor, aggregation_quorum(a));
    a->entry = (struct roundlog_entry){.round = number,
                                       .start_us = a->host->clock->wall_us(a->host->clock->ctx)};
    a->round_began_ns = now;
    fed_sample_choose(s, a->config->tree.n_clients, number, &a->sample);
    (void)fed_sample_streams(&a->sample, a->streams, a->n_streams, a->stream_clients, a->awaited);
    aggregation_begin_waiting(a, s->deadline_s);
    a->discarded = 0;
    a->fewest_opened = UINT32_MAX;
    a->fold_closed = a->line_written = a->only_journalled = a->privacy_counted = false;
    a->missing[0] = '\0';
    json_array_clear(a->contributions);
    set_model_moves(a, true); /* until the round is given out */
    fed_closing_begin(&a->closing, now, a->deadline_ns,
                      fed_grace_s(s, fed_tree_height(&a->config->tree, 0)), aggregation_quorum(a));
}

static int give_out_round(struct aggregator *a, uint32_t first, struct cairn_problem *why)
{
    receiver_open(&a->receiver, a->round.number, first, a->awaited);
    if (send_model(a, 0, first) != 0) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for the model of round %u",
                           (unsigned)a->round.number);
    }
    set_model_moves(a, false);
    aggregation_set_state(a, AGG_COLLECTING);
    return 0;
}

void aggregation_choose_steps(struct aggregator *a, bool first)
{
    fed_privacy_steps(&a->privacy, a->trainer->shape, a->config->settings.value_bits,
                      first ? NULL : a->largest, a->steps);
}

static uint64_t open_round(struct aggregator *a, uint32_t number)
{
    struct cairn_problem why = {0};
    begin_round(a, number);
    aggregation_choose_steps(a, number == 1);
    memset(a->largest, 0, a->trainer->shape->n_tensors * sizeof *a->largest);
    int err = ledger_round(a->ledger, number, a->largest_samples, a->steps, &why);
    if (err == 0) {
        err = give_out_round(a, 0, &why);
    }
    if (err != 0) {
        aggregation_fail(a, &why);
        return UINT64_MAX;
    }
    return 0;
}

/* ---- sums ---- */

static const char *const verdict_names[] = {
    [FED_OPEN] = "opened",
    [FED_KEEP_FLOOR] = "fewer contributors than the privacy floor",
    [FED_KEEP_QUORUM] = "fewer contributors than the quorum",
    [FED_KEEP_NOTHING] = "no samples behind it",
};

/* Who is in which frame, for the round's log: frames with the same contributors are one entry. */
static void note_contributors(struct aggregator *a, const struct fed_sum *sum, const char *outcome)
{
    char *set = malloc(2 * sum->set.size + 1);
    json_t *last = json_array_get(a->contributions, json_array_size(a->contributions) - 1);
    if (set != NULL) {
        digest_hex(sum->set.data, sum->set.size, set);
    }
    if (last != NULL && json_get_int(last, "last", -1) == (long long)sum->index - 1 &&
        strcmp(json_get_text(last, "set", ""), set == NULL ? "?" : set) == 0 &&
        json_get_int(last, "weight", -1) == (long long)sum->weight &&
        strcmp(json_get_text(last, "outcome", ""), outcome) == 0) {
        json_object_set_new(last, "last", json_integer((json_int_t)sum->index));
    } else {
        json_array_append_new(a->contributions,
                              json_pack("{s:I, s:I, s:I, s:I, s:s, s:s}", "first",
                                        (json_int_t)sum->index, "last", (json_int_t)sum->index,
                                        "contributors", (json_int_t)sum->contributors, "weight",
                                        (json_int_t)sum->weight, "set", set == NULL ? "" : set,
                                        "outcome", outcome));
    }
    free(set);
}

/* The largest of the model's integers, unless somebody has sent what cannot be one. */
static void take_words(struct aggregator *a, const struct fed_sum *sum)
{
    struct cairn_problem why = {0};
    if (sum->words.size > 0 && train_shared_take_words(a->trainer, sum->words.data, &why) != 0) {
        log_line(LOG_ERROR, "round %u: integers keep their old values: %s", (unsigned)a->round.number,
                 why.what);
    }
}

/* A sum that passed the rules is opened and becomes part of the model.
 * @retval CAIRN_ERR_INTEGRITY  it is none: its frame keeps the old values */
static int open_sum(struct aggregator *a, const struct fed_sum *sum, struct cairn_problem *why)
{
    const size_t first = fed_plan_first(&a->plan, sum->index);
    const size_t count = fed_plan_count(&a->plan, sum->index);
    const int err = he_open(fed_plan_he(&a->plan, sum->index), a->secret, a->crew, a->nonce, a->round.number, sum->index,
                            sum->contributors, sum->payload.data, count, a->sums, why);
    if (err == CAIRN_ERR_INTEGRITY) {
        a->discarded++;
        log_line(LOG_ERROR, "round %u, frame %u is discarded: %s", (unsigned)a->round.number,
                 (unsigned)sum->index, why->what);
    }
    if (err != 0) {
        return err;
    }
    set_model_moves(a, true);
    fed_strategy_apply(&a->config->settings.strategy, a->trainer->shape, a->steps,
                       a->largest_samples, sum->weight, first, count, a->sums, a->model,
                       a->largest);
    take_words(a, sum);
    return 0;
}

static int decide(struct aggregator *a, const struct fed_sum *sum, struct cairn_problem *why)
{
    const uint64_t from = aggregation_now_ns(a);
    enum fed_verdict verdict = FED_KEEP_NOTHING;
    int err = fed_round_decide(&a->round, sum, &verdict, why);
    const char *outcome = verdict_names[verdict];
    if (err == 0 && verdict == FED_OPEN) {
        a->fewest_opened =
            sum->contributors < a->fewest_opened ? sum->contributors : a->fewest_opened;
        err = open_sum(a, sum, why);
        if (err == CAIRN_ERR_INTEGRITY) {
            outcome = "discarded";
            err = 0;
        }
    } else if (err == 0) {
        log_line(LOG_WARNING, "round %u, frame %u keeps the old values: %s",
                 (unsigned)a->round.number, (unsigned)sum->index, outcome);
    }
    note_contributors(a, sum, outcome);
    a->entry.decrypt_s += clock_seconds(from, aggregation_now_ns(a));
    return err;
}

static int journal_sum(struct aggregator *a, const struct fed_sum *sum, struct cairn_problem *why)
{
    size_t payload_at = 0;
    buf_clear(&a->frame);
    int err = wire_frame_begin(&a->frame, sum->index, sum->contributors, sum->weight,
                               fed_plan_he(&a->plan, sum->index)->short_id, sum->payload.size, buf_span(&sum->set),
                               &payload_at);
    if (err == 0 && sum->payload.size > 0) {
        memcpy(a->frame.data + payload_at, sum->payload.data, sum->payload.size);
    }
    if (err == 0) {
        err = wire_frame_words(&a->frame, 0, buf_span(&sum->words));
    }
    if (err == 0) {
        err = wire_frame_close(&a->frame, 0);
    }
    return err != 0 ? problem_set(why, err, NULL, "no memory to write a sum down")
                    : ledger_frame(a->ledger, buf_span(&a->frame), why);
}

/* Everything that was taken, into the journal, durable. What is in it already after a failure is not written
 * twice. */
static int make_durable(struct aggregator *a, struct cairn_problem *why)
{
    int err = 0;
    if (a->only_journalled) {
        return 0; /* what is left is empty */
    }
    for (size_t i = a->n_journalled; err == 0 && i < a->n_taken; i++) {
        err = journal_sum(a, &a->taken[i], why);
        a->n_journalled += err == 0;
    }
    return err != 0 ? err : ledger_sync(a->ledger, why);
}

static int decide_taken(struct aggregator *a, struct cairn_problem *why)
{
    int err = 0;
    for (size_t i = 0; i < a->n_taken; i++) {
        if (err == 0) {
            err = decide(a, &a->taken[i], why);
        }
        fed_sum_release(&a->taken[i]);
    }
    a->n_taken = a->n_journalled = 0;
    receiver_move(&a->receiver, a->round.decided);
    return err;
}

/* The disk refuses: what came in is kept, and it is tried again for a while. @return when, or 0 to give up */
static uint64_t wait_for_disk(struct aggregator *a, const struct cairn_problem *why)
{
    const uint64_t now = aggregation_now_ns(a);
    if (a->storage_ns == 0) {
        a->storage_ns = now;
        aggregation_say(a, "waiting for the disk: %s", why->what);
    }
    return clock_seconds(a->storage_ns, now) < STORAGE_PATIENCE_S ? now + RETRY_STORAGE_NS : 0;
}

/* @return 0, or an error; *again is lowered when the disk has to be waited for */
static int take_sums(struct aggregator *a, uint64_t *again, struct cairn_problem *why)
{
    for (;;) {
        while (a->n_taken < SUMS_AT_ONCE && receiver_take(&a->receiver, &a->taken[a->n_taken])) {
            a->n_taken++;
        }
        if (a->n_taken == 0) {
            return 0;
        }
        const uint64_t from = aggregation_now_ns(a);
        int err = make_durable(a, why);
        a->entry.journal_s += clock_seconds(from, aggregation_now_ns(a));
        if (err == CAIRN_ERR_STORAGE) {
            const uint64_t retry = wait_for_disk(a, why);
            *again = retry < *again ? retry : *again;
            return retry != 0 ? 0 : err;
        }
        a->storage_ns = 0;
        if (err == 0) {
            err = decide_taken(a, why);
        }
        if (err != 0) {
            return err;
        }
    }
}

/* ---- a round that was open when the aggregator went down ---- */

/* A journalled frame as a sum; what it holds is borrowed from `bytes`. */
static int read_journalled(struct aggregator *a, const struct buf *bytes, struct fed_sum *sum,
                           struct cairn_problem *why)
{
    struct wire_frame frame;
    int err = wire_frame_read(buf_span(bytes), &frame, why);
    if (err == 0) {
        err = fed_plan_check(&a->plan, &frame, why);
    }
    if (err == 0) {
        *sum = (struct fed_sum){
            .index = frame.index, .contributors = frame.contributors, .weight = frame.weight};
        sum->payload.data = (uint8_t *)(uintptr_t)frame.payload.data;
        sum->payload.size = frame.payload.size;
        sum->set.data = (uint8_t *)(uintptr_t)frame.contributor_set.data;
        sum->set.size = frame.contributor_set.size;
        sum->words.data = (uint8_t *)(uintptr_t)frame.words.data;
        sum->words.size = frame.words.size;
    }
    return err;
}

static int replay_journal(struct aggregator *a, struct cairn_problem *why)
{
    struct buf bytes = {0};
    struct fed_sum sum;
    int err = 0, more;
    while (err == 0 && (more = ledger_next_frame(a->ledger, &bytes, why)) != 0) {
        err = more < 0 ? more : read_journalled(a, &bytes, &sum, why);
        if (err == 0) {
            err = decide(a, &sum, why);
        }
    }
    buf_release(&bytes);
    return err;
}

static uint64_t restore_round(struct aggregator *a)
{
    struct cairn_problem why = {0};
    struct ledger_state *from = &a->resumed;
    begin_round(a, from->open);
    a->largest_samples = from->largest_samples;
    memcpy(a->steps, from->steps, a->trainer->shape->n_tensors * sizeof *a->steps);
    memset(a->largest, 0, a->trainer->shape->n_tensors * sizeof *a->largest);
    int err = send_model(a, 0, from->frames); /* the round's model, before sums are added to it */
    if (err != 0) {
        problem_set(&why, err, NULL, "no memory for the model of round %u", (unsigned)from->open);
    } else {
        err = replay_journal(a, &why);
    }
    if (err == 0) {
        aggregation_say(a, "round %u goes on at frame %u of %u", (unsigned)from->open,
                        (unsigned)a->round.decided, (unsigned)a->plan.n_frames);
        receiver_open(&a->receiver, a->round.number, a->round.decided, a->awaited);
        set_model_moves(a, a->round.opened > 0);
        if (from->closing) { /* what is not in the journal may have been opened and lost */
            receiver_close(&a->receiver);
            a->fold_closed = a->only_journalled = true;
        }
        aggregation_set_state(a, AGG_COLLECTING);
    } else {
        aggregation_fail(a, &why);
    }
    ledger_state_release(from);
    return err == 0 ? 0 : UINT64_MAX;
}

/* ---- a round ends ---- */

static json_t *round_line(const struct aggregator *a)
{
    json_t *line = json_pack(
        "{s:I, s:f, s:I, s:I, s:I, s:I, s:f, s:f, s:I, s:O}", "round",
        (json_int_t)a->round.number, "wall_s",
        clock_seconds(a->round_began_ns, aggregation_now_ns(a)), "fewest_contributors",
        (json_int_t)a->round.fewest, "most_contributors", (json_int_t)a->round.most, "frames_kept",
        (json_int_t)a->round.kept, "frames_discarded", (json_int_t)a->discarded, "fold_s",
        a->entry.fold_s, "decrypt_s", a->entry.decrypt_s, "largest_samples",
        (json_int_t)a->largest_samples, "frames", a->contributions);
    if (line != NULL && a->metrics.samples > 0) {
        if (!a->metrics.no_classes) {
            json_object_set_new(line, "accuracy",
                                json_real((double)a->metrics.correct / (double)a->metrics.samples));
        }
        json_object_set_new(line, "loss", json_real(a->metrics.loss));
    }
    if (line != NULL && a->sample.size < a->plan.n_clients) {
        char *set = malloc(2 * fed_plan_set_bytes(&a->plan) + 1);
        if (set != NULL) {
            digest_hex(a->sample.set, fed_plan_set_bytes(&a->plan), set);
            json_object_set_new(line, "chosen", json_string(set));
        }
        free(set);
    }
    if (line != NULL && a->privacy.noise) {
        json_object_set_new(line, "epsilon", json_real(aggregation_epsilon(a)));
        json_object_set_new(line, "noise_multiplier",
                            json_real(a->fewest_opened == UINT32_MAX
                                          ? 0
                                          : fed_privacy_multiplier(&a->privacy, a->fewest_opened)));
    }
    return line;
}

double aggregation_epsilon(const struct aggregator *a)
{
    double most = 0;
    for (uint32_t k = 0; k < a->plan.n_clients; k++) {
        most = a->rho[k] > most ? a->rho[k] : most;
    }
    return fed_privacy_epsilon(most, a->privacy.delta);
}

/* An opened round costs every client that took part what its smallest sum costs. The others were not in it, as everybody
 * knows. */
static void count_privacy(struct aggregator *a)
{
    if (!a->privacy.noise || a->fewest_opened == UINT32_MAX) {
        return;
    }
    const double rho = fed_privacy_rho(&a->privacy, a->fewest_opened);
    for (uint32_t k = 0; k < a->plan.n_clients; k++) {
        a->rho[k] += fed_sample_has(&a->sample, k) ? rho : 0;
    }
}

/* Once, though a commit may be tried again: a line behind the last commit is dropped on resuming. */
static int write_line(struct aggregator *a, struct cairn_problem *why)
{
    if (a->line_written) {
        return 0;
    }
    if (!a->privacy_counted) {
        count_privacy(a);
        a->privacy_counted = true;
    }
    json_t *line = round_line(a);
    const int err = line == NULL
                        ? problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a log line")
                        : runfolder_round(&a->run, line, why);
    json_decref(line);
    a->line_written = err == 0;
    return err;
}

static void say_round(struct aggregator *a)
{
    char accuracy[48] = "", kept[64] = "", epsilon[48] = "";
    if (a->metrics.samples > 0 && a->metrics.no_classes) {
        snprintf(accuracy, sizeof accuracy, ", loss %.6g", a->metrics.loss);
    } else if (a->metrics.samples > 0) {
        snprintf(accuracy, sizeof accuracy, ", accuracy %.4f",
                 (double)a->metrics.correct / (double)a->metrics.samples);
    }
    if (a->round.kept + a->discarded > 0) {
        snprintf(kept, sizeof kept, ", %u of %u frames keep their old values",
                 (unsigned)(a->round.kept + a->discarded), (unsigned)a->plan.n_frames);
    }
    if (a->privacy.noise) {
        snprintf(epsilon, sizeof epsilon, ", epsilon %.3f", aggregation_epsilon(a));
    }
    aggregation_say(a, "round %u of %u: %u of %u clients%s%s%s, %.2f s", (unsigned)a->round.number,
                    (unsigned)a->config->iterations, (unsigned)a->round.fewest,
                    (unsigned)a->sample.size, accuracy, epsilon, kept,
                    clock_seconds(a->round_began_ns, aggregation_now_ns(a)));
}

/* Rounds that change nothing are not gone through for ever. */
static int check_barren(struct aggregator *a, struct cairn_problem *why)
{
    a->barren = a->round.opened > a->discarded ? 0 : a->barren + 1;
    if (a->barren < BARREN_ROUNDS) {
        return 0;
    }
    const uint32_t quorum = aggregation_quorum(a), floor = a->config->settings.privacy_floor;
    const uint32_t fewest = quorum > floor ? quorum : floor;
    return problem_set(why, CAIRN_ERR_QUORUM,
                       "look at the nodes with `cairn status`; then start the aggregator again, which goes on "
                       "where it stopped",
                       "%d rounds in a row, %u the last, brought no sum of at least %u clients; missing: %.200s",
                       BARREN_ROUNDS, (unsigned)a->round.number, (unsigned)fewest,
                       a->missing[0] != '\0' ? a->missing : "samples of those who delivered");
}

/* What goes with a commit: the steps, because a tensor whose update was all zero keeps the one it had, what the
 * rounds have cost each client's privacy, and the model's integers. */
static int write_history(struct aggregator *a, struct cairn_problem *why)
{
    buf_clear(&a->history);
    int err = buf_append(&a->history, a->steps, a->trainer->shape->n_tensors * sizeof *a->steps);
    if (err == 0) {
        err = buf_append(&a->history, a->rho, a->plan.n_clients * sizeof *a->rho);
    }
    if (err == 0 && a->plan.n_words > 0) {
        err = buf_append(&a->history, a->trainer->words,
                         a->plan.n_words * sizeof *a->trainer->words);
    }
    return err == 0 ? 0 : problem_set(why, err, NULL, "no memory to commit a round");
}

/* log.checkpoint_every: a copy that is read by nobody here. Again, if the commit is tried again. */
static int keep_model(struct aggregator *a, struct cairn_problem *why)
{
    const uint32_t every = a->config->settings.checkpoint_every;
    return every == 0 || a->round.number % every != 0
               ? 0
               : runfolder_model(&a->run, a->round.number, a->trainer, a->model, why);
}

static int commit(struct aggregator *a, struct cairn_problem *why)
{
    int err = a->trainer->evaluate(a->trainer, a->model, &a->metrics, why);
    if (err == 0) {
        err = keep_model(a, why);
    }
    if (err == 0) {
        err = write_line(a, why);
    }
    if (err == 0) {
        err = write_history(a, why);
    }
    return err != 0 ? err
                    : ledger_commit(a->ledger, a->round.number, &a->kept, a->model, a->largest,
                                    buf_span(&a->history), why);
}

static uint64_t end_rounds(struct aggregator *a)
{
    struct cairn_problem why = {0};
    aggregation_begin_waiting(a, a->config->settings.deadline_s);
    if (send_model(a, WIRE_MODEL_FINAL, 0) != 0) {
        problem_set(&why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for the final model");
        aggregation_fail(a, &why);
        return UINT64_MAX;
    }
    aggregation_set_state(a, AGG_FINISHING);
    return 0;
}

/* round.stop_at_accuracy: is the model good enough? */
static bool reached_target(struct aggregator *a)
{
    const double target = a->config->settings.stop_at_accuracy;
    const bool reached = target > 0 && a->metrics.samples > 0 &&
                         (double)a->metrics.correct / (double)a->metrics.samples >= target;
    if (reached) {
        aggregation_say(a, "accuracy %g is reached after %u of %u rounds", target,
                        (unsigned)a->round.number, (unsigned)a->config->iterations);
    }
    return reached;
}

static uint64_t close_round(struct aggregator *a)
{
    struct cairn_problem why = {0};
    a->entry.fold_s = receiver_fold_seconds(&a->receiver);
    const uint64_t from = aggregation_now_ns(a);
    int err = ledger_closing(a->ledger, a->round.number, &why);
    if (err == 0) {
        err = commit(a, &why);
    }
    if (err == CAIRN_ERR_STORAGE) {
        const uint64_t retry = wait_for_disk(a, &why);
        if (retry != 0) {
            return retry;
        }
    }
    a->storage_ns = 0;
    if (err == 0) {
        a->entry.commit_s += clock_seconds(from, aggregation_now_ns(a));
        a->entry.frames = a->plan.n_frames;
        a->entry.contributors = a->round.fewest;
        a->entry.end_us = a->host->clock->wall_us(a->host->clock->ctx);
        roundlog_add(&a->log, &a->entry);
        say_round(a);
        err = check_barren(a, &why);
    }
    if (err != 0) {
        aggregation_fail(a, &why);
        return UINT64_MAX;
    }
    return a->round.number < a->config->iterations && !reached_target(a)
               ? open_round(a, a->round.number + 1)
               : end_rounds(a);
}

/* A run that stopped in the moment in which its model became good enough: it still is. */
static bool had_reached_target(struct aggregator *a, uint32_t committed)
{
    struct cairn_problem why = {0};
    if (committed == 0 || a->config->settings.stop_at_accuracy == 0) {
        return false;
    }
    const int err = a->trainer->evaluate(a->trainer, a->model, &a->metrics, &why);
    return err == 0 && reached_target(a);
}

static uint64_t step_ready(struct aggregator *a)
{
    pthread_mutex_lock(&a->lock);
    const bool start = a->config->settings.autostart || a->start_asked || a->resumed.open > 0 ||
                       a->resumed.committed > 0;
    pthread_mutex_unlock(&a->lock);
    if (!start) {
        return UINT64_MAX;
    }
    a->began_ns = aggregation_now_ns(a);
    if (a->resumed.open > 0) {
        return restore_round(a);
    }
    const uint32_t committed = a->resumed.committed;
    ledger_state_release(&a->resumed);
    a->round.number = committed;
    if (committed >= a->config->iterations || had_reached_target(a, committed)) {
        return end_rounds(a); /* only the end was missing */
    }
    return open_round(a, committed + 1);
}

/* Time is up, or enough clients are through: say who is missing, and take no more. */
static void close_fold(struct aggregator *a, enum fed_close reason, const char who[WHO_SIZE])
{
    aggregation_say(a, "round %u: closed (%s) without %s", (unsigned)a->round.number,
                    fed_close_name(reason), who[0] != '\0' ? who : "anybody missing");
    memcpy(a->missing, who, sizeof a->missing);
    receiver_close(&a->receiver);
    a->fold_closed = true;
}

static uint64_t step_collecting(struct aggregator *a)
{
    struct cairn_problem why = {0};
    uint64_t again = UINT64_MAX, closing_again = UINT64_MAX;
    char who[WHO_SIZE], what[48];
    (void)downlink_step(&a->models, &again, &why); /* a child that refuses is asked again */
    receiver_waiting_for(&a->receiver, name_of, a, who, sizeof who);
    if (!a->fold_closed) {
        const enum fed_close reason = receiver_closing(&a->receiver, &a->closing, &closing_again);
        if (reason == FED_CLOSE_GRACE || reason == FED_CLOSE_DEADLINE) {
            close_fold(a, reason, who);
        }
        if (reason == FED_WAIT && closing_again < again) {
            again = closing_again;
        }
    }
    if (take_sums(a, &again, &why) != 0) {
        aggregation_fail(a, &why);
        return UINT64_MAX;
    }
    if (fed_round_complete(&a->round)) {
        return close_round(a);
    }
    if (a->fold_closed) {
        return again; /* only the disk is waited for */
    }
    snprintf(what, sizeof what, "the updates of round %u", (unsigned)a->round.number);
    return aggregation_keep_waiting(a, again, what, who);
}

/* Does anybody who is alive still want the final model? */
static bool final_is_awaited(struct aggregator *a)
{
    const struct fed_tree *tree = &a->config->tree;
    for (uint32_t i = 0; i < a->models.n; i++) {
        const uint32_t node = tree->children[tree->nodes[0].first_child + i];
        if (!a->models.targets[i].delivered && watch_state(&a->watch, node - 1) != FED_DEAD) {
            return true;
        }
    }
    return false;
}

static uint64_t step_finishing(struct aggregator *a)
{
    struct cairn_problem why = {0};
    uint64_t again = UINT64_MAX;
    (void)downlink_step(&a->models, &again, &why);
    char who[WHO_SIZE];
    downlink_waiting_for(&a->models, who, sizeof who);
    if (final_is_awaited(a) && aggregation_now_ns(a) < a->deadline_ns) {
        return aggregation_keep_waiting(a, again, "nodes to take the final model", who);
    }
    if (!downlink_done(&a->models)) {
        log_line(LOG_WARNING, "the final model did not reach %s", who);
    }
    roundlog_finish(&a->log);
    aggregation_begin_waiting(a, a->config->settings.start_timeout_s);
    aggregation_set_state(a, AGG_GATHERING);
    return 0;
}

static uint64_t step_state(struct aggregator *a)
{
    switch (a->state) {
    case AGG_CONFIGURING:
        return aggregation_step_configuring(a);
    case AGG_READY:
        return step_ready(a);
    case AGG_COLLECTING:
        return step_collecting(a);
    case AGG_FINISHING:
        return step_finishing(a);
    case AGG_GATHERING:
        return aggregation_step_gathering(a);
    case AGG_DONE:
    case AGG_FAILED:
        break;
    }
    return UINT64_MAX;
}

uint64_t aggregation_step(struct role *role)
{
    struct aggregator *a = aggregator_of(role);
    const uint64_t tend = a->state < AGG_DONE ? aggregation_tend_nodes(a) : UINT64_MAX;
    uint64_t again = 0;
    while (again == 0) { /* a state that has just begun is looked at once more */
        again = step_state(a);
    }
    return tend < again ? tend : again;
}

/* ---- requests ---- */

static size_t admit_batch(struct role *role, const char *query, int64_t length,
                          struct http_reply *refusal)
{
    (void)length;
    struct aggregator *a = aggregator_of(role);
    const size_t limit = receiver_admit(&a->receiver, query, refusal);
    return tenseal_batch_admit(&a->plan, a->config->settings.batch_bytes, query, limit, refusal);
}

static void take_batch(struct role *role, const struct http_request *request,
                       struct http_reply *reply)
{
    receiver_handle(&aggregator_of(role)->receiver, request, reply);
}

static void handle_receive(struct role *role, const struct http_request *request,
                           struct http_reply *reply)
{
    const struct aggregator *a = aggregator_of(role);
    if (tenseal_batch_asked(request->query)) {
        tenseal_batch_handle(&a->plan, a->id, a->config->settings.batch_bytes, request, reply,
                             take_batch, role);
    } else {
        take_batch(role, request, reply);
    }
}

static void handle_tenseal(struct role *role, const struct http_request *request,
                           struct http_reply *reply)
{
    const struct aggregator *a = aggregator_of(role);
    (void)request;
    tenseal_context_handle(&a->plan, buf_span(&a->public_key), reply);
}

static size_t take_part(struct role *role, const struct http_request *request)
{
    return tenseal_batch_asked(request->query)
               ? SIZE_MAX
               : receiver_part(&aggregator_of(role)->receiver, request);
}

static void handle_next(struct role *role, const struct http_request *request,
                        struct http_reply *reply)
{
    receiver_next(&aggregator_of(role)->receiver, request, reply);
}

/* Under the lock: a piece of this round's model. */
static int write_piece(struct aggregator *a, const struct pieces_asked *asked, struct buf *out,
                       struct cairn_problem *why)
{
    if (a->model_moves) {
        return problem_set(why, CAIRN_ERR_CLOSED, "wait for the next model",
                           "sums of round %u are being added to its model", (unsigned)asked->round);
    }
    const size_t first = (size_t)asked->number * a->plan.piece_params;
    struct wire_model m = {.round = asked->round,
                           .tensors = (uint32_t)a->trainer->shape->n_tensors,
                           .parameters = a->plan.n_params,
                           .largest_samples = a->largest_samples,
                           .first = first,
                           .count = fed_plan_piece_count(&a->plan, asked->number),
                           .steps = (const uint8_t *)a->steps,
                           .weights = (const uint8_t *)(a->model + first),
                           .n_words = a->plan.n_words,
                           .words = (const uint8_t *)a->trainer->words};
    memcpy(m.experiment, a->id, WIRE_EXPERIMENT);
    const int err = wire_model_write(out, &m);
    return err == 0 ? 0 : problem_set(why, err, NULL, "no memory for a piece of the model");
}

static void handle_piece(struct role *role, const struct http_request *request,
                         struct http_reply *reply)
{
    struct aggregator *a = aggregator_of(role);
    struct cairn_problem why = {0};
    struct pieces_asked asked;
    struct buf bytes = {0};
    pthread_mutex_lock(&a->lock);
    const uint32_t open = a->round_shown;
    int err = pieces_read_query(request->query, &a->plan, a->id, open, &asked, &why);
    if (err == 0) {
        err = write_piece(a, &asked, &bytes, &why);
    }
    pthread_mutex_unlock(&a->lock);
    pieces_answer(reply, err, &why, open, &bytes);
}

static void handle_train(struct role *role, const struct http_request *request,
                         struct http_reply *reply)
{
    (void)request;
    struct aggregator *a = aggregator_of(role);
    pthread_mutex_lock(&a->lock);
    a->start_asked = true;
    const enum aggregator_state state = a->state;
    const uint32_t round = a->round_shown;
    pthread_mutex_unlock(&a->lock);
    a->host->wake(a->host->ctx);
    answer_json(reply, json_pack("{s:s, s:I}", "state", state_names[state], "round",
                                 (json_int_t)round));
}

void aggregation_status(struct role *role, json_t *into)
{
    struct aggregator *a = aggregator_of(role);
    pthread_mutex_lock(&a->lock);
    json_object_set_new(into, "state", json_string(state_names[a->state]));
    json_object_set_new(into, "round", json_integer((json_int_t)a->round_shown));
    if (a->state == AGG_FAILED) {
        json_object_set_new(into, "trouble", json_string(a->problem.what));
    }
    const bool collecting = a->state == AGG_COLLECTING;
    pthread_mutex_unlock(&a->lock);
    json_object_set_new(into, "rounds", json_integer((json_int_t)a->config->iterations));
    char session[2 * sizeof a->id + 1];
    digest_hex(a->id, sizeof a->id, session);
    json_object_set_new(into, "experiment", json_string(a->config->settings.experiment));
    json_object_set_new(into, "session", json_string(session));
    json_object_set_new(into, "parameters", json_string(a->plan.he.id));
    json_object_set_new(into, "params_in_plain", json_integer((json_int_t)fed_plan_in_plain(&a->plan)));
    json_object_set_new(into, "nodes", watch_json(&a->watch));
    json_object_set_new(into, "refused",
                        json_integer((json_int_t)receiver_refused(&a->receiver)));
    if (collecting) {
        char who[WHO_SIZE];
        receiver_waiting_for(&a->receiver, name_of, a, who, sizeof who);
        json_object_set_new(into, "waiting_for", json_string(who));
        json_object_set_new(into, "clients_through",
                            json_integer((json_int_t)receiver_through(&a->receiver)));
    }
}

json_t *aggregation_log(struct role *role)
{
    return roundlog_document(&aggregator_of(role)->log);
}

const struct role_route aggregation_routes[] = {
    {"POST", "/a/receive", admit_batch, handle_receive, take_part},
    {"GET", "/a/next", NULL, handle_next, NULL},
    {"GET", "/a/tenseal", NULL, handle_tenseal, NULL},
    {"GET", "/a/model", NULL, handle_piece, NULL},
    {"POST", "/a/train", NULL, handle_train, NULL},
    {"GET", "/train", NULL, handle_train, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

/* ---- for whoever runs it ---- */

void aggregator_on_progress(struct role *self, void (*progress)(void *ctx, const char *line),
                            void *ctx)
{
    struct aggregator *a = aggregator_of(self);
    a->progress = progress;
    a->progress_ctx = ctx;
}

bool aggregator_finished(struct role *self, struct cairn_problem *problem)
{
    struct aggregator *a = aggregator_of(self);
    pthread_mutex_lock(&a->lock);
    const bool finished = a->state == AGG_DONE || a->state == AGG_FAILED;
    *problem = a->problem;
    pthread_mutex_unlock(&a->lock);
    return finished;
}

json_t *aggregator_summary(struct role *self)
{
    struct aggregator *a = aggregator_of(self);
    pthread_mutex_lock(&a->lock);
    json_t *summary = a->summary == NULL ? NULL : json_incref(a->summary);
    pthread_mutex_unlock(&a->lock);
    return summary;
}
