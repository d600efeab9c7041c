/* SPDX-License-Identifier: Apache-2.0 */
/* What a ledger hands back, and what it refuses. Crashes are in test_ledger_kill.c. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file.h"
#include "le.h"
#include "ledger.h"

enum { PARAMS = 24, TENSORS = 2, FRAME = 100 };

static char folder[] = "test_ledger_XXXXXX";
static const char config[DIGEST_HEX_SIZE] =
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
static const char other_config[DIGEST_HEX_SIZE] =
    "1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
static const uint64_t samples[] = {0, 60000, 7};
static const double steps[TENSORS] = {0.25, 0.125}, largest[TENSORS] = {1.5, 2.5};

static struct he_secret_key *secret, *secret_of_others;
static struct buf public_key, public_key_of_others;
static struct model_shape shape;
static struct ledger_session session;
static float model[PARAMS];

static int make_key(struct he_secret_key **out, struct buf *bytes)
{
    struct he_params params;
    struct secret_rng *rng = NULL;
    struct he_public_key *key = NULL;
    const int failed = he_params_choose(HE_CAPSULE, 16, 3, &params, NULL) ||
                       secret_rng_new(&rng) || he_keygen(&params, rng, out, &key) ||
                       he_public_key_write(key, bytes);
    he_public_key_free(key);
    secret_rng_free(rng);
    return failed;
}

static int enter(void **state)
{
    (void)state;
    const uint64_t dims[] = {4, 5}, scalars[] = {4};
    if (make_key(&secret, &public_key) || make_key(&secret_of_others, &public_key_of_others) ||
        model_shape_add(&shape, "w", dims, 2, NULL) ||
        model_shape_add(&shape, "b", scalars, 1, NULL) || !mkdtemp(folder) || chdir(folder) != 0) {
        return -1;
    }
    session = (struct ledger_session){.id = {1, 2, 3},
                                      .nonce = {4, 5, 6},
                                      .public_key = buf_span(&public_key),
                                      .n_params = PARAMS,
                                      .n_tensors = TENSORS,
                                      .largest_samples = 60000,
                                      .samples = samples,
                                      .n_nodes = 3};
    memcpy(session.config_digest, config, sizeof config);
    for (size_t i = 0; i < PARAMS; i++) {
        model[i] = (float)i / 3;
    }
    return 0;
}

static int leave(void **state)
{
    (void)state;
    he_secret_key_free(secret);
    he_secret_key_free(secret_of_others);
    buf_release(&public_key);
    buf_release(&public_key_of_others);
    model_shape_release(&shape);
    return chdir("..") == 0 && rmdir(folder) == 0 ? 0 : -1;
}

static int clear(void **state)
{
    (void)state;
    return system("rm -rf runs");
}

static struct ledger *open_ledger(void)
{
    struct ledger *l = NULL;
    assert_int_equal(ledger_open("runs/x", "127.0.0.1:5000", FRAME, &l, NULL), 0);
    return l;
}

static struct ledger *begin(void)
{
    struct ledger *l = open_ledger();
    assert_int_equal(ledger_begin(l, &session, secret, NULL), 0);
    return l;
}

static void frame_of(uint32_t index, uint8_t out[FRAME])
{
    memset(out, (int)(index + 1), FRAME);
    le_put32(out, index);
}

static int add_frame(struct ledger *l, uint32_t index, size_t size)
{
    uint8_t bytes[FRAME + 1] = {0};
    frame_of(index, bytes);
    return ledger_frame(l, (struct span){bytes, size}, NULL);
}

static int commit(struct ledger *l, uint32_t round, const char *history)
{
    return ledger_commit(l, round, &shape, model, largest,
                         (struct span){(const uint8_t *)history, strlen(history)}, NULL);
}

static void one_round(struct ledger *l, uint32_t round)
{
    assert_int_equal(ledger_round(l, round, 60000, steps, NULL), 0);
    assert_int_equal(add_frame(l, 0, FRAME), 0);
    assert_int_equal(ledger_sync(l, NULL), 0);
    assert_int_equal(ledger_closing(l, round, NULL), 0);
    assert_int_equal(commit(l, round, "[]"), 0);
}

static enum ledger_found look(struct ledger *l, const char *digest)
{
    enum ledger_found found = LEDGER_NOTHING;
    assert_int_equal(ledger_look(l, digest, &found, NULL), 0);
    return found;
}

/* A run that was left behind after round 1, with round 2 open and two frames of it. */
static void leave_unfinished(void)
{
    struct ledger *l = begin();
    one_round(l, 1);
    assert_int_equal(ledger_round(l, 2, 60000, steps, NULL), 0);
    assert_int_equal(add_frame(l, 0, FRAME), 0);
    assert_int_equal(add_frame(l, 1, FRAME - 1), 0);
    assert_int_equal(ledger_sync(l, NULL), 0);
    ledger_close(l);
}

/* Cannot be resumed: nothing is handed out, and nothing on disk is touched. */
static void expect_refused(int code, const char *words)
{
    struct ledger *l = open_ledger();
    struct ledger_state s, before;
    struct cairn_problem why = {0};
    float found[PARAMS];
    memset(&s, 0x5a, sizeof s);
    before = s;
    memset(found, 0x5a, sizeof found);
    assert_int_equal(ledger_resume(l, &shape, found, &s, &why), code);
    assert_int_equal(why.code, code);
    if (strstr(why.what, words) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", words, why.what);
    }
    assert_memory_equal(&s, &before, sizeof s);
    ledger_close(l);
}

static void expect_resumes(void)
{
    struct ledger *l = open_ledger();
    struct ledger_state s;
    float found[PARAMS];
    assert_int_equal(ledger_resume(l, &shape, found, &s, NULL), 0);
    assert_int_equal(s.open, 2);
    ledger_state_release(&s);
    ledger_close(l);
}

/* ---- what is handed back ---- */

static void test_ledger__nothing_then_another_config_then_unfinished(void **state)
{
    (void)state;
    struct ledger *l = open_ledger();
    assert_int_equal(look(l, config), LEDGER_NOTHING);
    ledger_close(l);
    l = begin();
    ledger_close(l);
    l = open_ledger();
    assert_int_equal(look(l, config), LEDGER_UNFINISHED);
    assert_int_equal(look(l, other_config), LEDGER_OTHER_CONFIG);
    ledger_close(l);
}

static void expect_session(const struct ledger_session *s)
{
    assert_string_equal(s->config_digest, config);
    assert_memory_equal(s->id, session.id, sizeof s->id);
    assert_memory_equal(s->nonce, session.nonce, sizeof s->nonce);
    assert_int_equal(s->public_key.size, public_key.size);
    assert_memory_equal(s->public_key.data, public_key.data, public_key.size);
    assert_int_equal(s->n_params, PARAMS);
    assert_int_equal(s->n_tensors, TENSORS);
    assert_int_equal(s->largest_samples, 60000);
    assert_int_equal(s->n_nodes, 3);
    assert_memory_equal(s->samples, samples, sizeof samples);
}

/* The key that comes back is the one that went in: it writes the same bytes. */
static void expect_secret(const struct he_secret_key *found)
{
    uint8_t a[HE_SECRET_KEY_SIZE], b[HE_SECRET_KEY_SIZE];
    const uint8_t id[HE_KEY_ID_SIZE] = {0};
    assert_non_null(found);
    assert_int_equal(he_secret_key_write(secret, id, a), 0);
    assert_int_equal(he_secret_key_write(found, id, b), 0);
    assert_memory_equal(a, b, sizeof a);
}

static void test_ledger__a_session_alone(void **state)
{
    (void)state;
    struct ledger_state s;
    struct buf frame = {0};
    float found[PARAMS];
    ledger_close(begin());
    struct ledger *l = open_ledger();
    memset(found, 0x5a, sizeof found);
    assert_int_equal(ledger_resume(l, &shape, found, &s, NULL), 0);
    expect_session(&s.session);
    expect_secret(s.secret);
    assert_int_equal(s.committed, 0);
    assert_int_equal(s.open, 0);
    assert_int_equal(s.frames, 0);
    assert_int_equal(s.dropped, 0);
    assert_true(s.largest[0] == 0 && s.steps[1] == 0);
    assert_int_equal(((uint8_t *)found)[PARAMS], 0x5a); /* untouched */
    assert_int_equal(ledger_next_frame(l, &frame, NULL), 0);
    one_round(l, 1);
    ledger_state_release(&s);
    ledger_close(l);
}

static void test_ledger__an_open_round(void **state)
{
    (void)state;
    struct ledger_state s;
    struct buf frame = {0};
    uint8_t expected[FRAME];
    float found[PARAMS];
    leave_unfinished();
    struct ledger *l = open_ledger();
    assert_int_equal(ledger_resume(l, &shape, found, &s, NULL), 0);
    expect_session(&s.session);
    expect_secret(s.secret);
    assert_int_equal(s.committed, 1);
    assert_memory_equal(s.largest, largest, sizeof largest);
    assert_string_equal(buf_text(&s.history), "[]");
    assert_memory_equal(found, model, sizeof model);
    assert_int_equal(s.open, 2);
    assert_int_equal(s.largest_samples, 60000);
    assert_memory_equal(s.steps, steps, sizeof steps);
    assert_false(s.closing);
    assert_int_equal(s.frames, 2);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(ledger_next_frame(l, &frame, NULL), 1);
        frame_of(i, expected);
        assert_int_equal(frame.size, FRAME - i);
        assert_memory_equal(frame.data, expected, frame.size);
        /* what comes in meanwhile is not among them */
        assert_int_equal(add_frame(l, i + 2, FRAME), 0);
    }
    assert_int_equal(ledger_next_frame(l, &frame, NULL), 0);
    assert_int_equal(ledger_next_frame(l, &frame, NULL), 0);
    assert_int_equal(frame.size, 0);
    assert_int_equal(ledger_closing(l, 2, NULL), 0);
    ledger_state_release(&s);
    ledger_close(l);
    l = open_ledger();
    assert_int_equal(ledger_resume(l, &shape, found, &s, NULL), 0);
    assert_true(s.closing);
    assert_int_equal(s.frames, 4);
    assert_int_equal(add_frame(l, 4, FRAME), CAIRN_ERR_BUG);
    assert_int_equal(commit(l, 2, ""), 0);
    ledger_state_release(&s);
    buf_release(&frame);
    ledger_close(l);
}

static void test_ledger__without_encryption_there_is_no_key(void **state)
{
    (void)state;
    struct ledger *l = open_ledger();
    struct ledger_session plain = session;
    struct ledger_state s;
    float found[PARAMS];
    plain.public_key = (struct span){0};
    assert_int_equal(ledger_begin(l, &plain, secret, NULL), CAIRN_ERR_BUG);
    assert_int_equal(ledger_begin(l, &session, NULL, NULL), CAIRN_ERR_BUG);
    assert_int_equal(ledger_begin(l, &plain, NULL, NULL), 0);
    assert_false(file_exists("runs/x/secret.key"));
    ledger_close(l);
    l = open_ledger();
    assert_int_equal(ledger_resume(l, &shape, found, &s, NULL), 0);
    assert_null(s.secret);
    assert_int_equal(s.session.public_key.size, 0);
    ledger_state_release(&s);
    ledger_close(l);
}

static void test_ledger__a_journal_holds_one_round(void **state)
{
    (void)state;
    struct stat first, later;
    struct ledger *l = begin();
    one_round(l, 1);
    assert_int_equal(stat("runs/x/journal", &first), 0);
    assert_int_equal(first.st_mode & 07777, 0600);
    for (uint32_t round = 2; round < 6; round++) {
        one_round(l, round);
        char path[60];
        (void)snprintf(path, sizeof path, "runs/x/checkpoint-%u.safetensors", (unsigned)round - 1);
        assert_false(file_exists(path));
    }
    assert_int_equal(stat("runs/x/journal", &later), 0);
    assert_int_equal(later.st_size, first.st_size);
    assert_true(file_exists("runs/x/checkpoint-5.safetensors"));
    ledger_close(l);
}

static void test_ledger__finish_leaves_results_only(void **state)
{
    (void)state;
    struct ledger *l = begin();
    one_round(l, 1);
    int key = open("runs/x/secret.key", O_RDONLY | O_CLOEXEC);
    uint8_t bytes[HE_SECRET_KEY_SIZE], zeros[HE_SECRET_KEY_SIZE] = {0};
    assert_int_equal(pread(key, bytes, sizeof bytes, 0), sizeof bytes);
    assert_memory_not_equal(bytes, zeros, sizeof bytes);
    assert_int_equal(file_replace("runs/x/summary.json", "{}", 2, 0644, NULL), 0);
    assert_int_equal(ledger_finish(l, NULL), 0);
    /* wiped before it was removed */
    assert_int_equal(pread(key, bytes, sizeof bytes, 0), sizeof bytes);
    assert_memory_equal(bytes, zeros, sizeof bytes);
    (void)close(key);
    ledger_close(l);
    assert_int_equal(system("test \"$(ls runs/x)\" = summary.json"), 0);
    l = open_ledger();
    assert_int_equal(look(l, config), LEDGER_NOTHING);
    ledger_close(l);
}

/* Of a crash: half-written files, a checkpoint of a round that was not committed, a key without a run. */
static void test_ledger__what_a_crash_left_is_removed(void **state)
{
    (void)state;
    leave_unfinished();
    assert_int_equal(system("cd runs/x && cp secret.key secret.key.77-0.tmp && "
                            "cp journal journal.77-12.tmp && touch model.safetensors.1-1.tmp && "
                            "cp checkpoint-1.safetensors checkpoint-2.safetensors && "
                            "touch mine.tmp checkpoint.txt"), 0);
    expect_resumes();
    assert_int_equal(system("test \"$(ls runs/x | tr '\\n' ' ')\" = "
                            "'checkpoint-1.safetensors checkpoint.txt journal lock mine.tmp "
                            "secret.key '"), 0);
    assert_int_equal(unlink("runs/x/journal"), 0);
    ledger_close(open_ledger());
    assert_int_equal(system("test \"$(ls runs/x | tr '\\n' ' ')\" = "
                            "'checkpoint.txt lock mine.tmp '"), 0);
}

static void test_ledger__begin_gives_up_what_was_there(void **state)
{
    (void)state;
    leave_unfinished();
    struct ledger *l = open_ledger();
    struct ledger_session another = session;
    struct ledger_state s;
    float found[PARAMS];
    memcpy(another.config_digest, other_config, sizeof other_config);
    another.public_key = buf_span(&public_key_of_others);
    assert_int_equal(ledger_begin(l, &another, secret_of_others, NULL), 0);
    assert_false(file_exists("runs/x/checkpoint-1.safetensors"));
    ledger_close(l);
    l = open_ledger();
    assert_int_equal(look(l, other_config), LEDGER_UNFINISHED);
    assert_int_equal(ledger_resume(l, &shape, found, &s, NULL), 0);
    assert_int_equal(s.committed, 0);
    assert_int_equal(s.open, 0);
    ledger_state_release(&s);
    ledger_close(l);
}

/* ---- what is refused ---- */

static void test_ledger__out_of_order_is_a_bug(void **state)
{
    (void)state;
    struct ledger *l = begin();
    assert_int_equal(add_frame(l, 0, FRAME), CAIRN_ERR_BUG);
    assert_int_equal(ledger_closing(l, 0, NULL), CAIRN_ERR_BUG);
    assert_int_equal(commit(l, 0, ""), CAIRN_ERR_BUG);
    assert_int_equal(commit(l, 1, ""), CAIRN_ERR_BUG);
    assert_int_equal(ledger_round(l, 0, 1, steps, NULL), CAIRN_ERR_BUG);
    assert_int_equal(ledger_round(l, 1, 1, steps, NULL), 0);
    assert_int_equal(ledger_round(l, 2, 1, steps, NULL), CAIRN_ERR_BUG);
    assert_int_equal(add_frame(l, 1, FRAME), CAIRN_ERR_BUG);
    assert_int_equal(add_frame(l, 0, FRAME + 1), CAIRN_ERR_BUG);
    assert_int_equal(add_frame(l, 0, WIRE_FRAME_HEADER - 1), CAIRN_ERR_BUG);
    assert_int_equal(add_frame(l, 0, FRAME), 0);
    assert_int_equal(add_frame(l, 0, FRAME), CAIRN_ERR_BUG);
    assert_int_equal(ledger_closing(l, 2, NULL), CAIRN_ERR_BUG);
    assert_int_equal(ledger_closing(l, 1, NULL), 0);
    assert_int_equal(ledger_closing(l, 1, NULL), 0);
    assert_int_equal(add_frame(l, 1, FRAME), CAIRN_ERR_BUG);
    struct model_shape smaller = shape;
    smaller.n_tensors = 1;
    assert_int_equal(ledger_commit(l, 1, &smaller, model, largest, (struct span){0}, NULL),
                     CAIRN_ERR_BUG);
    assert_int_equal(commit(l, 1, ""), 0);
    assert_int_equal(ledger_round(l, 1, 1, steps, NULL), CAIRN_ERR_BUG);
    assert_int_equal(ledger_round(l, 2, 1, steps, NULL), 0);
    ledger_close(l);
}

static void test_ledger__the_key_must_be_safe_and_the_runs_own(void **state)
{
    (void)state;
    leave_unfinished();
    assert_int_equal(chmod("runs/x/secret.key", 0644), 0);
    expect_refused(CAIRN_ERR_ENVIRONMENT, "mode 0644");
    assert_int_equal(chmod("runs/x/secret.key", 0600), 0);
    expect_resumes();
    assert_int_equal(rename("runs/x/secret.key", "runs/key"), 0);
    expect_refused(CAIRN_ERR_DATA, "secret.key: cannot open");
    assert_int_equal(symlink("../key", "runs/x/secret.key"), 0);
    expect_refused(CAIRN_ERR_ENVIRONMENT, "symbolic link");
    assert_int_equal(unlink("runs/x/secret.key"), 0);
    assert_int_equal(mkfifo("runs/x/secret.key", 0600), 0);
    expect_refused(CAIRN_ERR_DATA, "no regular file");
    assert_int_equal(unlink("runs/x/secret.key"), 0);
    assert_int_equal(file_replace("runs/x/secret.key", "", 0, 0600, NULL), 0);
    expect_refused(CAIRN_ERR_DATA, "empty");
    /* somebody else's */
    uint8_t bytes[HE_SECRET_KEY_SIZE], id[HE_KEY_ID_SIZE];
    digest_of(public_key_of_others.data, public_key_of_others.size, id);
    assert_int_equal(he_secret_key_write(secret_of_others, id, bytes), 0);
    assert_int_equal(file_replace("runs/x/secret.key", bytes, sizeof bytes, 0600, NULL), 0);
    expect_refused(CAIRN_ERR_INTEGRITY, "another key pair");
    assert_int_equal(rename("runs/key", "runs/x/secret.key"), 0);
    expect_resumes();
}

/* A symbolic link in the key's place is not followed when the key is written or wiped. */
static void test_ledger__a_link_is_never_followed(void **state)
{
    (void)state;
    ledger_close(open_ledger());
    assert_int_equal(file_replace("runs/precious", "12345", 5, 0600, NULL), 0);
    assert_int_equal(symlink("../precious", "runs/x/secret.key"), 0);
    struct ledger *l = begin();
    one_round(l, 1);
    assert_int_equal(ledger_finish(l, NULL), 0);
    ledger_close(l);
    assert_int_equal(link("runs/precious", "runs/x/secret.key"), 0);
    ledger_close(open_ledger());
    assert_false(file_exists("runs/x/secret.key"));
    struct buf b = {0};
    assert_int_equal(file_read("runs/precious", 10, &b, NULL), 0);
    assert_string_equal(buf_text(&b), "12345");
    buf_release(&b);
}

static void test_ledger__the_model_must_be_the_one_that_was_committed(void **state)
{
    (void)state;
    leave_unfinished();
    const char *path = "runs/x/checkpoint-1.safetensors";
    struct buf b = {0};
    assert_int_equal(file_read(path, 10000, &b, NULL), 0);
    b.data[b.size - 1] ^= 1;
    assert_int_equal(file_replace(path, b.data, b.size, 0644, NULL), 0);
    expect_refused(CAIRN_ERR_INTEGRITY, "not the model that the journal names");
    b.data[b.size - 1] ^= 1;
    assert_int_equal(file_replace(path, b.data, b.size - 1, 0644, NULL), 0);
    expect_refused(CAIRN_ERR_DATA, "ends at byte");
    assert_int_equal(file_replace(path, b.data, b.size, 0644, NULL), 0);
    expect_resumes();
    assert_int_equal(unlink(path), 0);
    expect_refused(CAIRN_ERR_DATA, "cannot open");
    buf_release(&b);
}

static void test_ledger__the_model_must_have_the_runs_shape(void **state)
{
    (void)state;
    leave_unfinished();
    const uint64_t dims[] = {5, 4}, scalars[] = {4};
    struct model_shape turned = {0}, small = {0};
    struct ledger *l = open_ledger();
    struct ledger_state s;
    float found[PARAMS];
    assert_int_equal(model_shape_add(&turned, "w", dims, 2, NULL), 0);
    assert_int_equal(model_shape_add(&turned, "b", scalars, 1, NULL), 0);
    assert_int_equal(model_shape_add(&small, "w", scalars, 1, NULL), 0);
    assert_int_equal(ledger_resume(l, &turned, found, &s, NULL), CAIRN_ERR_DATA);
    assert_int_equal(ledger_resume(l, &small, found, &s, NULL), CAIRN_ERR_DATA);
    model_shape_release(&turned);
    model_shape_release(&small);
    ledger_close(l);
}

/* At every byte: it resumes with a beginning of what was there, or says why not. */
static void test_ledger__a_journal_cut_anywhere(void **state)
{
    (void)state;
    leave_unfinished();
    struct buf whole = {0};
    uint32_t most = 0;
    assert_int_equal(file_read("runs/x/journal", 1 << 20, &whole, NULL), 0);
    /* the session is longer than all the rest; without it and its commit there is no run */
    for (size_t size = 0; size <= whole.size; size += size < whole.size - 600 ? 97 : 1) {
        struct ledger_state s = {0};
        float found[PARAMS];
        assert_int_equal(file_rewrite("runs/x/journal", whole.data, size, 0600, NULL), 0);
        struct ledger *l = open_ledger();
        enum ledger_found what;
        const int looked = ledger_look(l, config, &what, NULL);
        const int err = ledger_resume(l, &shape, found, &s, NULL);
        assert_true(looked == err || looked == 0); /* it looks at the session only */
        if (err != 0) {
            assert_int_equal(err, CAIRN_ERR_INTEGRITY);
        } else {
            assert_true(s.committed == 1 && (s.open == 0 || s.open == 2));
            assert_true(!s.damaged && !s.closing);
            assert_true(s.frames >= most); /* the more there is, the more is found */
            most = s.frames;
            struct stat status;
            assert_int_equal(stat("runs/x/journal", &status), 0);
            assert_int_equal(status.st_size + (off_t)s.dropped, size);
        }
        ledger_state_release(&s);
        ledger_close(l);
        assert_true(file_exists("runs/x/checkpoint-1.safetensors"));
    }
    assert_int_equal(most, 2);
    buf_release(&whole);
}

/* A bit of each byte behind the session: no frame that was there is ever missing and asked for again. */
static void test_ledger__a_journal_damaged_anywhere(void **state)
{
    (void)state;
    leave_unfinished();
    struct buf whole = {0};
    unsigned seen[4] = {0}; /* without a commit; with 0, 1 frames of round 2 */
    assert_int_equal(file_read("runs/x/journal", 1 << 20, &whole, NULL), 0);
    for (size_t at = whole.size - 600; at < whole.size; at++) {
        struct ledger_state s = {0};
        float found[PARAMS];
        whole.data[at] ^= 0x10;
        assert_int_equal(file_rewrite("runs/x/journal", whole.data, whole.size, 0600, NULL), 0);
        whole.data[at] ^= 0x10;
        for (int again = 0; again < 2; again++) {
            struct ledger *l = open_ledger();
            const int err = ledger_resume(l, &shape, found, &s, NULL);
            if (err != 0) {
                assert_int_equal(err, CAIRN_ERR_INTEGRITY);
                seen[0]++;
            } else {
                assert_int_equal(s.committed, 1);
                assert_int_equal(s.open, 2);
                assert_true(s.closing && s.largest_samples == 60000 && s.frames < 2);
                assert_int_equal(s.damaged, again == 0); /* remembered when it is cut off */
                assert_int_equal(add_frame(l, s.frames, FRAME), CAIRN_ERR_BUG);
                seen[1 + s.frames]++;
            }
            ledger_state_release(&s);
            ledger_close(l);
        }
    }
    assert_true(seen[0] > 0 && seen[1] > 0 && seen[2] > 0);
    buf_release(&whole);
}

static void test_ledger__one_aggregator_per_folder(void **state)
{
    (void)state;
    struct ledger *l = begin(), *second = NULL;
    struct cairn_problem why;
    char process[40];
    assert_int_equal(ledger_open("runs/x", "127.0.0.9:5000", FRAME, &second, &why),
                     CAIRN_ERR_BUSY);
    (void)snprintf(process, sizeof process, "process %ld, boot ", (long)getpid());
    assert_non_null(strstr(why.what, process));
    assert_non_null(strstr(why.what, "127.0.0.1:5000"));
    assert_null(second);
    ledger_close(l);
    assert_int_equal(ledger_open("runs/x", "127.0.0.9:5000", FRAME, &second, &why), 0);
    ledger_close(second);
}

/* Held by another process, until it is killed. */
static void test_ledger__a_killed_holder_lets_go(void **state)
{
    (void)state;
    int ready[2];
    char byte;
    struct ledger *l = NULL;
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    (void)fflush(NULL);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        l = open_ledger();
        (void)!write(ready[1], "x", 1);
        for (;;) {
            pause();
        }
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    struct cairn_problem why;
    char process[40];
    (void)snprintf(process, sizeof process, "process %ld", (long)pid);
    assert_int_equal(ledger_open("runs/x", "127.0.0.1:5000", FRAME, &l, &why), CAIRN_ERR_BUSY);
    assert_non_null(strstr(why.what, process));
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    ledger_close(open_ledger());
    (void)close(ready[0]);
    (void)close(ready[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_ledger__nothing_then_another_config_then_unfinished, clear),
        cmocka_unit_test_teardown(test_ledger__a_session_alone, clear),
        cmocka_unit_test_teardown(test_ledger__an_open_round, clear),
        cmocka_unit_test_teardown(test_ledger__without_encryption_there_is_no_key, clear),
        cmocka_unit_test_teardown(test_ledger__a_journal_holds_one_round, clear),
        cmocka_unit_test_teardown(test_ledger__finish_leaves_results_only, clear),
        cmocka_unit_test_teardown(test_ledger__what_a_crash_left_is_removed, clear),
        cmocka_unit_test_teardown(test_ledger__begin_gives_up_what_was_there, clear),
        cmocka_unit_test_teardown(test_ledger__out_of_order_is_a_bug, clear),
        cmocka_unit_test_teardown(test_ledger__the_key_must_be_safe_and_the_runs_own, clear),
        cmocka_unit_test_teardown(test_ledger__a_link_is_never_followed, clear),
        cmocka_unit_test_teardown(test_ledger__the_model_must_be_the_one_that_was_committed, clear),
        cmocka_unit_test_teardown(test_ledger__the_model_must_have_the_runs_shape, clear),
        cmocka_unit_test_teardown(test_ledger__a_journal_cut_anywhere, clear),
        cmocka_unit_test_teardown(test_ledger__a_journal_damaged_anywhere, clear),
        cmocka_unit_test_teardown(test_ledger__one_aggregator_per_folder, clear),
        cmocka_unit_test_teardown(test_ledger__a_killed_holder_lets_go, clear),
    };
    return cmocka_run_group_tests(tests, enter, leave);
}
