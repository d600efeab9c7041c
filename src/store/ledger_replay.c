/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger, read. Frames are checked as they pass and never kept: ledger_next_frame reads them
 * again, one at a time. Nothing on disk is touched before everything has turned out well.
 */
#include "ledger.h"

#include <stdlib.h>
#include <string.h>

#include "checkpoint.h"
#include "file.h"
#include "le.h"
#include "ledger_internal.h"
#include "ledger_records.h"
#include "secret_file.h"
#include "sizes.h"

static const char hint_give_up[] = "move the folder away to begin this run anew";

static size_t record_limit(const struct ledger *l)
{
    /* the longest commit; sessions and rounds are shorter */
    const size_t commit =
        LEDGER_COMMIT_HEAD + MODEL_MAX_TENSORS * sizeof(double) + LEDGER_HISTORY_LIMIT;
    return l->frame_limit > commit ? l->frame_limit : commit;
}

static int senseless(const struct ledger *l, const char *what, struct cairn_problem *why)
{
    return problem_set(why, CAIRN_ERR_INTEGRITY, hint_give_up, "%s: %s", l->journal_path, what);
}

/* The session record, which must be the first. Its bytes stay in `record`. */
static int read_session(const struct ledger *l, struct journal_reader *r, struct buf *record,
                        struct ledger_session *session, uint64_t **samples, uint32_t *committed,
                        struct cairn_problem *why)
{
    uint32_t type = 0;
    const int got = journal_reader_next(r, &type, record, why);
    if (got < 0) {
        return got;
    }
    const int err = got == 1 && type == LEDGER_SESSION
                        ? ledger_session_read(buf_span(record), session, samples, committed)
                        : CAIRN_ERR_MALFORMED;
    if (err == CAIRN_ERR_NO_MEMORY) {
        return problem_set(why, err, NULL, "%s: no memory to read it", l->journal_path);
    }
    return err != 0 ? senseless(l, "it does not begin with a session", why) : 0;
}

int ledger_look(struct ledger *l, const char *config_digest, enum ledger_found *found,
                struct cairn_problem *why)
{
    struct journal_reader reader;
    struct buf record = {0};
    struct ledger_session session;
    uint64_t *samples = NULL;
    uint32_t committed;
    if (!file_exists(l->journal_path)) {
        *found = LEDGER_NOTHING;
        return 0;
    }
    int err = journal_reader_open(&reader, l->journal_path, record_limit(l), why);
    if (err == 0) {
        err = read_session(l, &reader, &record, &session, &samples, &committed, why);
        journal_reader_close(&reader);
    }
    if (err == 0) {
        *found = strcmp(session.config_digest, config_digest) == 0 ? LEDGER_UNFINISHED
                                                                   : LEDGER_OTHER_CONFIG;
    }
    free(samples);
    buf_release(&record);
    return err;
}

/* ---- record by record ---- */

static int replay_commit(struct ledger_state *s, struct span record, struct ledger_commit *commit)
{
    struct span history;
    if (s->committed != 0 || s->open != 0 ||
        ledger_commit_read(record, s->session.n_tensors, commit, s->largest, &history) != 0 ||
        commit->round == 0) {
        return CAIRN_ERR_MALFORMED;
    }
    s->committed = commit->round;
    return buf_append(&s->history, history.data, history.size);
}

static int replay_round(struct ledger_state *s, struct span record)
{
    struct ledger_round round;
    if (s->open != 0 || ledger_round_read(record, s->session.n_tensors, &round, s->steps) != 0 ||
        round.round <= s->committed) {
        return CAIRN_ERR_MALFORMED;
    }
    s->open = round.round;
    s->largest_samples = round.largest_samples;
    return 0;
}

static int replay_frame(struct ledger_state *s, struct span record)
{
    if (s->open == 0 || s->closing || record.size < WIRE_FRAME_HEADER ||
        le_get32(record.data) != s->frames) {
        return CAIRN_ERR_MALFORMED;
    }
    s->frames++;
    return 0;
}

/* The round after the last commit gets no more frames, even if it is not known to have been opened. */
static void close_next(struct ledger_state *s)
{
    if (s->open == 0) {
        s->open = s->committed + 1;
        s->largest_samples = s->session.largest_samples;
    }
    s->closing = true;
}

static int replay_closing(struct ledger_state *s, struct span record)
{
    uint32_t round;
    if (s->closing || ledger_closing_read(record, &round) != 0 ||
        round != (s->open != 0 ? s->open : s->committed + 1)) {
        return CAIRN_ERR_MALFORMED;
    }
    close_next(s);
    return 0;
}

static int replay_record(struct ledger_state *s, uint32_t type, struct span record,
                         struct ledger_commit *commit)
{
    switch (type) {
    case LEDGER_ROUND:
        return replay_round(s, record);
    case LEDGER_FRAME:
        return replay_frame(s, record);
    case LEDGER_CLOSING:
        return replay_closing(s, record);
    case LEDGER_COMMIT:
        return replay_commit(s, record, commit);
    default:
        return CAIRN_ERR_MALFORMED;
    }
}

static int replay(const struct ledger *l, struct journal_reader *r, struct ledger_state *s,
                  struct ledger_commit *commit, struct cairn_problem *why)
{
    struct buf record = {0};
    uint32_t type = 0, committed = 0;
    int err = read_session(l, r, &s->record, &s->session, &s->samples, &committed, why);
    if (err != 0) {
        return err;
    }
    s->largest = size_alloc_array((size_t)s->session.n_tensors + 1, sizeof *s->largest);
    s->steps = size_alloc_array((size_t)s->session.n_tensors + 1, sizeof *s->steps);
    int got = s->largest == NULL || s->steps == NULL ? CAIRN_ERR_NO_MEMORY : 1;
    while (got == 1 && err == 0) {
        got = journal_reader_next(r, &type, &record, why);
        err = got == 1 ? replay_record(s, type, buf_span(&record), commit) : got;
    }
    buf_release(&record);
    if (err == CAIRN_ERR_MALFORMED) {
        return senseless(l, "a record that cannot be there", why);
    }
    if (got == CAIRN_ERR_NO_MEMORY || err == CAIRN_ERR_NO_MEMORY) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "%s: no memory to read it",
                           l->journal_path);
    }
    if (err == 0 && s->committed != committed) {
        return senseless(l, "the last commit cannot be read", why);
    }
    s->dropped = r->size - r->good;
    s->damaged = r->damaged;
    return err;
}

/*
 * From here on the journal is written to again. What had been cut off is removed. Where bytes are damaged
 * that may have been good once, the closing of the round is written over them first: cut off
 * before, they would be forgotten, and with them what must not be opened a second time.
 */
static int go_on(struct ledger *l, const struct journal_reader *r, struct ledger_state *s,
                 struct cairn_problem *why)
{
    uint8_t record[4];
    const bool close_it = s->damaged && !s->closing;
    int err = journal_reopen(l->journal_path, r->good, &l->journal, why);
    if (err == 0 && close_it) {
        close_next(s);
        le_put32(record, s->open);
        const struct span payload = {record, sizeof record};
        err = journal_append(&l->journal, LEDGER_CLOSING, &payload, 1, why);
    }
    if (err == 0 && close_it) {
        err = journal_sync(&l->journal, why);
    }
    if (err == 0) {
        err = journal_cut(&l->journal, why);
    }
    if (err == 0) {
        err = ledger_sweep(l, LEDGER_KEEP_ONE, s->committed, why);
    }
    return err;
}

/* ---- what belongs to it ---- */

static int read_secret(const struct ledger *l, struct ledger_state *s, struct cairn_problem *why)
{
    char path[LEDGER_PATH_SIZE];
    uint8_t found[HE_KEY_ID_SIZE], expected[HE_KEY_ID_SIZE];
    if (s->session.public_key.size == 0) {
        return 0;
    }
    ledger_secret_path(l, path);
    const int err = secret_file_read(path, &s->secret, found, why);
    if (err != 0) {
        return err;
    }
    ledger_key_id(s->session.public_key, expected);
    if (memcmp(found, expected, sizeof found) != 0) {
        return problem_set(why, CAIRN_ERR_INTEGRITY, hint_give_up,
                           "%s belongs to another key pair than the journal's", path);
    }
    return 0;
}

static int read_model(const struct ledger *l, const struct ledger_state *s,
                      const struct ledger_commit *commit, const struct model_shape *shape,
                      float *model, struct cairn_problem *why)
{
    char path[LEDGER_PATH_SIZE];
    if (!ledger_shape_begins(shape, s->session.n_params, s->session.n_tensors)) {
        return problem_set(why, CAIRN_ERR_DATA, hint_give_up,
                           "%s: a run of a model with %llu parameters in %u tensors; this one has "
                           "%zu in %zu", l->journal_path, (unsigned long long)s->session.n_params,
                           (unsigned)s->session.n_tensors, shape->n_params, shape->n_tensors);
    }
    if (s->committed == 0) {
        return 0;
    }
    ledger_checkpoint_path(l, s->committed, path);
    return checkpoint_read(path, shape, commit->digest, model, why);
}

static void adopt(struct ledger *l, const struct ledger_state *s)
{
    l->n_params = s->session.n_params;
    l->n_tensors = s->session.n_tensors;
    l->committed = s->committed;
    l->open = s->open;
    l->frames = s->frames;
    l->closing = s->closing;
    l->to_read = s->frames;
    l->read = 0;
}

int ledger_resume(struct ledger *l, const struct model_shape *shape, float *model,
                  struct ledger_state *out, struct cairn_problem *why)
{
    struct journal_reader reader;
    struct ledger_state s = {0};
    struct ledger_commit commit = {0};
    journal_reader_close(&l->reader);
    journal_close(&l->journal);
    int err = journal_reader_open(&reader, l->journal_path, record_limit(l), why);
    if (err != 0) {
        return err;
    }
    err = replay(l, &reader, &s, &commit, why);
    journal_reader_close(&reader);
    if (err == 0) {
        err = read_secret(l, &s, why);
    }
    if (err == 0) {
        err = read_model(l, &s, &commit, shape, model, why);
    }
    if (err == 0) {
        buf_clear(&l->session);
        err = buf_append(&l->session, s.record.data, s.record.size);
        if (err != 0) {
            problem_set(why, err, NULL, "no memory for this run's session");
        }
    }
    if (err == 0) {
        err = go_on(l, &reader, &s, why);
    }
    if (err != 0) {
        if (s.committed != 0 &&
            ledger_shape_begins(shape, s.session.n_params, s.session.n_tensors)) {
            memset(model, 0, shape->n_params * sizeof *model);
        }
        journal_close(&l->journal);
        ledger_state_release(&s);
        return err;
    }
    adopt(l, &s);
    *out = s;
    return 0;
}

int ledger_next_frame(struct ledger *l, struct buf *frame, struct cairn_problem *why)
{
    uint32_t type = 0;
    buf_clear(frame);
    if (l->read == l->to_read) {
        journal_reader_close(&l->reader);
        return 0;
    }
    if (l->reader.fd < 0) {
        const int err = journal_reader_open(&l->reader, l->journal_path, record_limit(l), why);
        if (err != 0) {
            return err;
        }
    }
    for (int got = 1; got == 1;) {
        got = journal_reader_next(&l->reader, &type, frame, why);
        if (got < 0) {
            return got;
        }
        if (got == 1 && type == LEDGER_FRAME) {
            l->read++;
            return 1;
        }
    }
    return senseless(l, "frames that were there before cannot be read any more", why);
}

void ledger_state_release(struct ledger_state *s)
{
    he_secret_key_free(s->secret);
    buf_release(&s->record);
    buf_release(&s->history);
    free(s->samples);
    free(s->largest);
    free(s->steps);
    *s = (struct ledger_state){0};
}
