/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger, written. Read together with ledger_replay.c, which reads it.
 *
 * Why a crash between any two steps does no harm:
 *
 *   begin    the old journal goes first, so what is left of an old run is never taken for one. The
 *            secret key is durable before a journal exists that needs it.
 *   commit   the checkpoint is durable under the round's own name before the journal that names it
 *            takes the old one's place; the checkpoint before it goes last. Before that rename the
 *            disk says "round r, closing, these frames", and they are opened again to the same
 *            model.
 *   finish   the journal goes first: a run without a secret key is never found unfinished.
 *
 * What is in the way after a crash is removed by whoever opens the ledger next.
 */
#include "ledger.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "checkpoint.h"
#include "file.h"
#include "le.h"
#include "ledger_internal.h"
#include "ledger_records.h"
#include "runlock.h"
#include "secret_file.h"

static const char secret_name[] = "secret.key";
static const char checkpoint_start[] = "checkpoint-";

void ledger_path(const struct ledger *l, const char *name, char out[LEDGER_PATH_SIZE])
{
    (void)snprintf(out, LEDGER_PATH_SIZE, "%s/%s", l->folder, name);
}

void ledger_secret_path(const struct ledger *l, char out[LEDGER_PATH_SIZE])
{
    ledger_path(l, secret_name, out);
}

void ledger_checkpoint_path(const struct ledger *l, uint32_t round, char out[LEDGER_PATH_SIZE])
{
    char name[48];
    (void)snprintf(name, sizeof name, "%s%" PRIu32 ".safetensors", checkpoint_start, round);
    ledger_path(l, name, out);
}

bool ledger_shape_begins(const struct model_shape *shape, uint64_t n_params, size_t n_tensors)
{
    const size_t there = shape->n_tensors > n_tensors ? shape->tensors[n_tensors].offset
                                                      : shape->n_params;
    return shape->n_tensors >= n_tensors && there == n_params;
}

void ledger_key_id(struct span public_key, uint8_t id[HE_KEY_ID_SIZE])
{
    digest_of(public_key.data, public_key.size, id); /* as he_public_key_id */
}

/* ---- what is left over ---- */

static bool begins(const char *name, const char *with)
{
    return strncmp(name, with, strlen(with)) == 0;
}

/* Only a half-written file, or something of the ledger's that nothing needs any more. */
static int remove_one(const struct ledger *l, const char *name, enum ledger_keep keep,
                      const char *keep_path, struct cairn_problem *why)
{
    char path[LEDGER_PATH_SIZE];
    ledger_path(l, name, path);
    const bool draft = file_draft_named(name);
    if (begins(name, secret_name) && (draft || (keep == LEDGER_KEEP_NOTHING &&
                                                strcmp(name, secret_name) == 0))) {
        return secret_file_remove(path, why);
    }
    const bool checkpoint = begins(name, checkpoint_start) && !draft;
    const bool stale = checkpoint && (keep == LEDGER_KEEP_NOTHING ||
                                      (keep == LEDGER_KEEP_ONE && strcmp(path, keep_path) != 0));
    if ((draft || stale) && unlink(path) != 0 && errno != ENOENT) {
        return file_failed(why, path, "remove");
    }
    return 0;
}

int ledger_sweep(const struct ledger *l, enum ledger_keep keep, uint32_t round,
                 struct cairn_problem *why)
{
    char keep_path[LEDGER_PATH_SIZE];
    ledger_checkpoint_path(l, round, keep_path);
    DIR *folder = opendir(l->folder);
    if (folder == NULL) {
        return file_failed(why, l->folder, "list");
    }
    int err = 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        struct cairn_problem inner;
        const int one = remove_one(l, entry->d_name, keep, keep_path, &inner);
        if (one != 0 && err == 0) { /* the others go all the same */
            err = problem_set(why, one, inner.hint, "%s", inner.what);
        }
    }
    (void)closedir(folder);
    if (err == 0 && file_sync_folder(l->journal_path) != 0) {
        err = file_failed(why, l->folder, "flush");
    }
    return err;
}

/* The journal first: from then on there is no run here. */
static int clear(struct ledger *l, struct cairn_problem *why)
{
    journal_reader_close(&l->reader);
    journal_close(&l->journal);
    if (unlink(l->journal_path) != 0 && errno != ENOENT) {
        return file_failed(why, l->journal_path, "remove");
    }
    if (file_sync_folder(l->journal_path) != 0) {
        return file_failed(why, l->folder, "flush");
    }
    l->committed = l->open = l->frames = 0;
    l->closing = false;
    return ledger_sweep(l, LEDGER_KEEP_NOTHING, 0, why);
}

/* ---- the folder ---- */

int ledger_open(const char *folder, const char *address, size_t frame_limit, struct ledger **out,
                struct cairn_problem *why)
{
    struct ledger *l = calloc(1, sizeof *l);
    if (l == NULL) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a ledger");
    }
    l->lock = -1;
    l->reader.fd = -1;
    l->frame_limit = frame_limit;
    int err = 0;
    if (strlen(folder) >= sizeof l->folder) {
        err = problem_set(why, CAIRN_ERR_STORAGE, "choose a shorter one", "%s: too long a path",
                          folder);
        goto cleanup;
    }
    (void)snprintf(l->folder, sizeof l->folder, "%s", folder);
    ledger_path(l, "journal", l->journal_path);
    ledger_path(l, "lock", l->lock_path);
    err = file_make_folders(folder, why);
    if (err == 0) {
        err = runlock_take(l->lock_path, address, &l->lock, why);
    }
    if (err == 0) {
        err = ledger_sweep(l, file_exists(l->journal_path) ? LEDGER_KEEP_ALL : LEDGER_KEEP_NOTHING,
                           0, why);
    }
cleanup:
    if (err != 0) {
        ledger_close(l);
        return err;
    }
    *out = l;
    return 0;
}

void ledger_close(struct ledger *l)
{
    if (l == NULL) {
        return;
    }
    journal_reader_close(&l->reader);
    journal_close(&l->journal);
    if (l->lock >= 0) {
        (void)close(l->lock);
    }
    buf_release(&l->session);
    buf_release(&l->scratch);
    free(l);
}

static int append(struct journal *to, enum ledger_record type, struct span payload,
                  struct cairn_problem *why)
{
    return journal_append(to, (uint32_t)type, &payload, 1, why);
}

int ledger_begin(struct ledger *l, const struct ledger_session *session,
                 const struct he_secret_key *secret, struct cairn_problem *why)
{
    char path[LEDGER_PATH_SIZE];
    uint8_t id[HE_KEY_ID_SIZE];
    struct journal next = {0};
    if ((secret == NULL) != (session->public_key.size == 0)) {
        return problem_set(why, CAIRN_ERR_BUG, NULL, "ledger: one half of a key pair");
    }
    int err = clear(l, why);
    if (err != 0) {
        return err;
    }
    buf_clear(&l->session);
    err = ledger_session_write(&l->session, session);
    if (err != 0) {
        return problem_set(why, err, NULL, "no memory for this run's session");
    }
    if (secret != NULL) {
        ledger_key_id(session->public_key, id);
        ledger_secret_path(l, path);
        err = secret_file_write(path, secret, id, true, why);
    }
    if (err == 0) {
        err = journal_create(l->journal_path, 0600, &next, why);
    }
    if (err == 0) {
        err = append(&next, LEDGER_SESSION, buf_span(&l->session), why);
    }
    if (err == 0) {
        err = journal_publish(&next, why);
    }
    if (err != 0) {
        journal_close(&next);
        return err;
    }
    l->journal = next;
    l->n_params = session->n_params;
    l->n_tensors = session->n_tensors;
    return 0;
}

/* ---- a round ---- */

static int bug(struct cairn_problem *why, const struct ledger *l, const char *what)
{
    return problem_set(why, CAIRN_ERR_BUG, NULL, "ledger: %s (committed %u, open %u, %u frames%s)",
                       what, (unsigned)l->committed, (unsigned)l->open, (unsigned)l->frames,
                       l->closing ? ", closing" : "");
}

int ledger_round(struct ledger *l, uint32_t round, uint64_t largest_samples, const double *steps,
                 struct cairn_problem *why)
{
    const struct ledger_round record = {.round = round, .largest_samples = largest_samples};
    if (l->open != 0 || round <= l->committed) {
        return bug(why, l, "a round is opened out of order");
    }
    buf_clear(&l->scratch);
    int err = ledger_round_write(&l->scratch, &record, steps, l->n_tensors);
    if (err != 0) {
        return problem_set(why, err, NULL, "no memory for the record of a round");
    }
    err = append(&l->journal, LEDGER_ROUND, buf_span(&l->scratch), why);
    if (err != 0) {
        return err;
    }
    l->open = round;
    l->frames = 0;
    l->closing = false;
    return journal_sync(&l->journal, why);
}

int ledger_frame(struct ledger *l, struct span frame, struct cairn_problem *why)
{
    if (l->open == 0 || l->closing || frame.size < WIRE_FRAME_HEADER ||
        frame.size > l->frame_limit || le_get32(frame.data) != l->frames) {
        return bug(why, l, "a frame that is not the next one");
    }
    const int err = append(&l->journal, LEDGER_FRAME, frame, why);
    l->frames += err == 0;
    return err;
}

int ledger_sync(struct ledger *l, struct cairn_problem *why)
{
    return journal_sync(&l->journal, why);
}

int ledger_closing(struct ledger *l, uint32_t round, struct cairn_problem *why)
{
    uint8_t record[4];
    if (round == 0 || l->open != round) {
        return bug(why, l, "a round is closed that is not open");
    }
    if (!l->closing) {
        le_put32(record, round);
        const int err = append(&l->journal, LEDGER_CLOSING,
                               (struct span){record, sizeof record}, why);
        if (err != 0) {
            return err;
        }
        l->closing = true;
    }
    return journal_sync(&l->journal, why);
}

/* The small journal that takes the old one's place. */
static int replace_journal(struct ledger *l, const struct ledger_commit *commit,
                           const double *largest, struct span history, struct cairn_problem *why)
{
    struct journal next = {0};
    buf_clear(&l->scratch);
    int err = ledger_commit_write(&l->scratch, commit, largest, l->n_tensors);
    if (err != 0) {
        return problem_set(why, err, NULL, "no memory for the record of a commit");
    }
    const struct span parts[] = {buf_span(&l->scratch), history};
    ledger_session_commit(&l->session, commit->round);
    err = journal_create(l->journal_path, 0600, &next, why);
    if (err == 0) {
        err = append(&next, LEDGER_SESSION, buf_span(&l->session), why);
    }
    if (err == 0) {
        err = journal_append(&next, LEDGER_COMMIT, parts, 2, why);
    }
    if (err != 0) {
        journal_close(&next);
        return err;
    }
    err = journal_publish(&next, why);
    if (next.path != NULL) { /* it is in place, whether or not that is durable */
        journal_close(&l->journal);
        l->journal = next;
    }
    return err;
}

int ledger_commit(struct ledger *l, uint32_t round, const struct model_shape *shape,
                  const float *model, const double *largest, struct span history,
                  struct cairn_problem *why)
{
    char path[LEDGER_PATH_SIZE];
    struct ledger_commit commit = {.round = round};
    if (round == 0 || l->open != round ||
        !ledger_shape_begins(shape, l->n_params, l->n_tensors)) {
        return bug(why, l, "a commit of a round that is not open, or of another model");
    }
    if (history.size > LEDGER_HISTORY_LIMIT) {
        return problem_set(why, CAIRN_ERR_TOO_LONG, NULL, "round %u: %zu bytes of history",
                           (unsigned)round, history.size);
    }
    ledger_checkpoint_path(l, round, path);
    int err = checkpoint_write(path, round, shape, model, commit.digest, why);
    if (err == 0) {
        err = replace_journal(l, &commit, largest, history, why);
    }
    if (err != 0) {
        return err;
    }
    if (l->committed != 0) {
        ledger_checkpoint_path(l, l->committed, path);
        (void)unlink(path); /* one that stays goes when the ledger is resumed or finished */
    }
    journal_reader_close(&l->reader);
    l->committed = round;
    l->open = l->frames = 0;
    l->closing = false;
    return 0;
}

int ledger_finish(struct ledger *l, struct cairn_problem *why)
{
    const int err = clear(l, why);
    if (err == 0) {
        runlock_drop(l->lock_path, l->lock);
    }
    return err;
}
