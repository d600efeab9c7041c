/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small aggregator over the ledger, killed before each of its system calls that change the disk, in
 * the middle of each of its writes, and at each of them with everything lost that was not flushed. What
 * it does in the next life is checked against what it had been promised, which it notes in memory that
 * outlives it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file.h"
#include "he.h"
#include "journal.h"
#include "json.h"
#include "le.h"
#include "ledger.h"
#include "runfolder.h"
#include "secret.h"

enum {
    ROUNDS = 3,
    FRAMES = 3,
    FRAME = 64,
    PARAMS = FRAME,
    LIVES = 8,     /* sessions that may be begun */
    INODES = 512,
    EXIT_DONE = 0,
    EXIT_WRONG = 1,
    EXIT_KILLED = 42,
};

enum mode {
    KILL_BEFORE, /* a system call */
    KILL_WITHIN, /* a write, when half of it is written */
    POWER_OFF,   /* before a system call, and what was not flushed is gone */
    POWER_ZEROS, /* the same, and zeros are in its place */
    DISK_FULL,   /* the write fails once; the process lives and tries again */
};

/* What outlives a process. */
struct memory {
    unsigned life;
    bool begun;         /* ledger_begin has returned */
    uint8_t session;    /* number of the session that was begun last */
    uint32_t committed; /* ledger_commit has returned */
    uint32_t open;      /* ledger_round has returned */
    uint32_t synced;    /* frames of the open round that ledger_sync has answered for */
    bool closing;       /* ledger_closing has returned */
    bool whole;         /* there is a summary */
    bool zeros;         /* there is something in place of what was lost */
    bool rotten;        /* bytes that had been flushed are damaged */
    bool cut_short;     /* a round was closed because the journal was damaged */
    uint8_t opened[LIVES][ROUNDS + 1][FRAMES][FRAME]; /* as they were decrypted */
    bool was_opened[LIVES][ROUNDS + 1][FRAMES];
    struct {
        ino_t inode;
        off_t size;
    } flushed[INODES];
    size_t n_flushed;
    char complaint[440];
};
static struct memory *m;

static struct he_secret_key *secret;
static struct buf public_key;
static struct model_shape shape;
/* in memory: some thousand runs, of a hundred flushes each */
static char folder[] = "/dev/shm/test_ledger_XXXXXX";

/* ---- the disk ---- */

static bool counting;
static unsigned calls, kill_at;
static enum mode mode;

int __real_fsync(int fd);
int __real_fdatasync(int fd);
int __real_rename(const char *from, const char *to);
int __real_unlink(const char *path);
int __real_ftruncate(int fd, off_t size);
ssize_t __real_write(int fd, const void *bytes, size_t size);
ssize_t __real_pwrite(int fd, const void *bytes, size_t size, off_t at);
ssize_t __real_pwritev(int fd, const struct iovec *iov, int n, off_t at);
int __wrap_fsync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_rename(const char *from, const char *to);
int __wrap_unlink(const char *path);
int __wrap_ftruncate(int fd, off_t size);
ssize_t __wrap_write(int fd, const void *bytes, size_t size);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t size, off_t at);
ssize_t __wrap_pwritev(int fd, const struct iovec *iov, int n, off_t at);

/* Is this the call? */
static bool now(void)
{
    return counting && ++calls == kill_at;
}

static void call(void)
{
    if (now() && mode != DISK_FULL) {
        _exit(EXIT_KILLED);
    }
}

static void note_flushed(int fd)
{
    struct stat status;
    if (!counting || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        return;
    }
    size_t i = 0;
    while (i < m->n_flushed && m->flushed[i].inode != status.st_ino) {
        i++;
    }
    if (i == INODES) {
        _exit(EXIT_WRONG);
    }
    m->n_flushed += i == m->n_flushed;
    m->flushed[i].inode = status.st_ino;
    m->flushed[i].size = status.st_size;
}

int __wrap_fsync(int fd)
{
    call();
    note_flushed(fd);
    return __real_fsync(fd);
}

int __wrap_fdatasync(int fd)
{
    call();
    note_flushed(fd);
    return __real_fdatasync(fd);
}

int __wrap_rename(const char *from, const char *to)
{
    call();
    return __real_rename(from, to);
}

int __wrap_unlink(const char *path)
{
    call();
    return __real_unlink(path);
}

int __wrap_ftruncate(int fd, off_t size)
{
    call();
    return __real_ftruncate(fd, size);
}

/* @return true: the write is to fail */
static bool write_call(int fd, const struct iovec *iov, int n, off_t at)
{
    if (!now()) {
        return false;
    }
    for (int i = 0; i < n && (mode == KILL_WITHIN || mode == DISK_FULL); i++) {
        /* the whole of the first, and half of the last */
        const size_t size = i + 1 < n ? iov[i].iov_len : iov[i].iov_len / 2;
        if (at < 0) {
            (void)!__real_write(fd, iov[i].iov_base, size);
        } else {
            (void)!__real_pwrite(fd, iov[i].iov_base, size, at);
            at += (off_t)size;
        }
    }
    if (mode != DISK_FULL) {
        _exit(EXIT_KILLED);
    }
    errno = ENOSPC;
    return true;
}

ssize_t __wrap_write(int fd, const void *bytes, size_t size)
{
    const struct iovec one = {(void *)(uintptr_t)bytes, size};
    return write_call(fd, &one, 1, -1) ? -1 : __real_write(fd, bytes, size);
}

ssize_t __wrap_pwrite(int fd, const void *bytes, size_t size, off_t at)
{
    const struct iovec one = {(void *)(uintptr_t)bytes, size};
    return write_call(fd, &one, 1, at) ? -1 : __real_pwrite(fd, bytes, size, at);
}

ssize_t __wrap_pwritev(int fd, const struct iovec *iov, int n, off_t at)
{
    return write_call(fd, iov, n, at) ? -1 : __real_pwritev(fd, iov, n, at);
}

/* The power fails: of each file, what was not flushed is gone, or was never written. */
static void lose_unflushed(bool zeros)
{
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *entry; (entry = readdir(d)) != NULL;) {
        char path[600];
        struct stat status;
        (void)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        assert_int_equal(lstat(path, &status), 0);
        off_t size = 0;
        for (size_t i = 0; i < m->n_flushed; i++) {
            size = m->flushed[i].inode == status.st_ino ? m->flushed[i].size : size;
        }
        if (S_ISREG(status.st_mode) && size < status.st_size) {
            assert_int_equal(truncate(path, size), 0);
            assert_int_equal(zeros ? truncate(path, status.st_size) : 0, 0);
        }
    }
    (void)closedir(d);
}

/* ---- the small aggregator ---- */

#define WANT(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)snprintf(m->complaint, sizeof m->complaint, "line %d: %s", __LINE__, #condition); \
            _exit(EXIT_WRONG);                                                                     \
        }                                                                                          \
    } while (0)

/* What fails for want of room succeeds at the second try. */
#define DO(expression)                                                                             \
    do {                                                                                           \
        struct cairn_problem why = {0};                                                            \
        int err_ = (expression);                                                                   \
        if (err_ == CAIRN_ERR_STORAGE && mode == DISK_FULL) {                                      \
            err_ = (expression);                                                                   \
        }                                                                                          \
        if (err_ != 0) {                                                                           \
            (void)snprintf(m->complaint, sizeof m->complaint, "line %d: %s", __LINE__, why.what);  \
            _exit(EXIT_WRONG);                                                                     \
        }                                                                                          \
    } while (0)

static const char config_digest[DIGEST_HEX_SIZE] =
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/* A frame that arrives now; in another life other clients would be in it. */
static void arrive(uint32_t round, uint32_t index, uint8_t frame[FRAME])
{
    memset(frame, (int)(m->life * 31 + round * 5 + index), FRAME);
    le_put32(frame, index);
}

static void open_frame(uint32_t round, const uint8_t *frame, float *model)
{
    const uint32_t index = le_get32(frame);
    WANT(index < FRAMES);
    /* never a second sum of the same updates */
    WANT(!m->was_opened[m->session][round][index] ||
         memcmp(m->opened[m->session][round][index], frame, FRAME) == 0);
    memcpy(m->opened[m->session][round][index], frame, FRAME);
    m->was_opened[m->session][round][index] = true;
    for (size_t i = 0; i < PARAMS; i++) {
        model[i] += (float)frame[i] * (float)round;
    }
}

/* In round 2 one frame stays out. */
static uint32_t frames_of(uint32_t round)
{
    return round == 2 ? FRAMES - 1 : FRAMES;
}

struct run {
    struct ledger *ledger;
    struct runfolder folder;
    struct ledger_state state;
    float model[PARAMS];
};

static void begin(struct run *r)
{
    const uint64_t samples[] = {0, 10, 20};
    WANT(!m->begun); /* or a run was lost */
    m->session++;
    WANT(m->session < LIVES);
    struct ledger_session session = {.id = {m->session},
                                     .public_key = buf_span(&public_key),
                                     .n_params = PARAMS,
                                     .n_tensors = 1,
                                     .largest_samples = 20,
                                     .samples = samples,
                                     .n_nodes = 3};
    memcpy(session.config_digest, config_digest, sizeof config_digest);
    DO(runfolder_begin(&r->folder, folder, ".", (struct span){(const uint8_t *)"{}", 2}, &why));
    DO(ledger_begin(r->ledger, &session, secret, &why));
    m->begun = true;
}

static void resume(struct run *r)
{
    struct ledger_state *s = &r->state;
    DO(ledger_resume(r->ledger, &shape, r->model, s, &why));
    WANT(s->secret != NULL && s->session.samples[2] == 20 && s->session.id[0] <= m->session);
    m->begun = true;
    m->cut_short = m->cut_short || s->damaged;
    WANT(m->zeros || m->rotten || !s->damaged);
    WANT(s->session.id[0] == m->session);
    WANT(!m->rotten || s->open != 3 || s->closing);
    WANT(s->committed >= m->committed);
    WANT(s->committed > m->committed || s->open >= m->open);
    WANT(s->open == 0 || s->open == s->committed + 1);
    if (s->open != 0 && s->open == m->open) {
        WANT((s->frames >= m->synced || m->rotten) && s->frames <= frames_of(s->open));
        WANT(s->closing || !m->closing);
        /* or the record of its opening was among what is damaged */
        WANT(s->steps[0] == 1.0 / s->open || (m->cut_short && s->closing && s->frames == 0));
        WANT(!s->damaged || s->closing);
    }
    WANT(s->committed == 0 || s->largest[0] == 0.5 * s->committed);
    WANT(s->committed == 0 || (s->history.size == 1 && s->history.data[0] == s->committed));
    DO(runfolder_resume(&r->folder, folder, ".", (struct span){(const uint8_t *)"{}", 2},
                        s->committed, &why));
}

static uint32_t open_again(struct run *r, uint32_t round)
{
    struct buf frame = {0};
    struct cairn_problem why;
    uint32_t n = 0;
    int got;
    while ((got = ledger_next_frame(r->ledger, &frame, &why)) == 1) {
        WANT(frame.size == FRAME && le_get32(frame.data) == n);
        open_frame(round, frame.data, r->model);
        n++;
    }
    WANT(got == 0 && n == r->state.frames);
    buf_release(&frame);
    return n;
}

static void collect(struct run *r, uint32_t round, uint32_t from)
{
    uint8_t frame[FRAME];
    for (uint32_t i = from; i < frames_of(round); i++) {
        arrive(round, i, frame);
        DO(ledger_frame(r->ledger, (struct span){frame, sizeof frame}, &why));
        DO(ledger_sync(r->ledger, &why));
        m->synced = i + 1;
        open_frame(round, frame, r->model);
    }
    DO(ledger_closing(r->ledger, round, &why));
    m->closing = true;
}

static void one_round(struct run *r, uint32_t round)
{
    const double step = 1.0 / round, largest = 0.5 * round;
    const uint8_t history = (uint8_t)round;
    uint32_t have = 0;
    if (r->state.open == round) {
        have = open_again(r, round);
    } else {
        DO(ledger_round(r->ledger, round, 20, &step, &why));
    }
    m->open = round;
    m->synced = have;
    m->closing = r->state.open == round && r->state.closing;
    if (!m->closing) {
        collect(r, round, have);
    }
    json_t *line = json_pack("{s:i}", "round", (int)round);
    DO(runfolder_round(&r->folder, line, &why));
    json_decref(line);
    DO(ledger_commit(r->ledger, round, &shape, r->model, &largest, (struct span){&history, 1},
                     &why));
    m->committed = round;
    m->open = m->synced = 0;
    m->closing = false;
}

/* Until the end, or until it is killed. */
static void live(void)
{
    struct run r = {0};
    enum ledger_found found;
    char path[600];
    counting = true;
    DO(ledger_open(folder, "127.0.0.1:5000", FRAME, &r.ledger, &why));
    DO(ledger_look(r.ledger, config_digest, &found, &why));
    WANT(found != LEDGER_OTHER_CONFIG);
    (void)snprintf(path, sizeof path, "%s/summary.json", folder);
    if (found == LEDGER_NOTHING && m->whole) {
        ledger_close(r.ledger); /* killed while it cleared up; nothing is left to be done */
        return;
    }
    if (found == LEDGER_NOTHING) {
        begin(&r);
    } else {
        resume(&r);
    }
    for (uint32_t round = r.state.committed + 1; round <= ROUNDS; round++) {
        one_round(&r, round);
    }
    struct trainer trainer = {.shape = &shape};
    DO(runfolder_model(&r.folder, 0, &trainer, r.model, &why));
    DO(file_replace(path, "{}", 2, 0644, &why));
    m->whole = true;
    DO(ledger_finish(r.ledger, &why));
    ledger_close(r.ledger);
    ledger_state_release(&r.state);
}

/* @return its exit code */
static int live_in_child(unsigned die_at, enum mode how)
{
    m->life++;
    (void)fflush(NULL);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        kill_at = die_at;
        mode = how;
        live();
        _exit(EXIT_DONE);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void empty_folder(void)
{
    char command[100];
    (void)snprintf(command, sizeof command, "rm -rf '%s' && mkdir '%s'", folder, folder);
    assert_int_equal(system(command), 0);
    memset(m, 0, sizeof *m);
}

static void expect_file(const char *name, bool there)
{
    char path[600];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    if (file_exists(path) != there) {
        fail_msg("%s is %sthere", name, there ? "not " : "");
    }
}

/* The run is whole, nothing but results is left, and the model is that of the frames that were opened. */
static void expect_whole(void)
{
    static const char *const results[] = {"config.json", "model.safetensors", "nodes",
                                          "rounds.jsonl", "summary.json"};
    struct buf text = {0};
    char path[600];
    float model[PARAMS] = {0};
    size_t n = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    while (readdir(d) != NULL) {
        n++;
    }
    (void)closedir(d);
    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++) {
        expect_file(results[i], true);
    }
    expect_file("secret.key", false);
    expect_file("journal", false);
    /* a lock may be left by one that was killed when all the rest was done */
    (void)snprintf(path, sizeof path, "%s/lock", folder);
    assert_int_equal(n - 2 - file_exists(path), sizeof results / sizeof results[0]);
    (void)snprintf(path, sizeof path, "%s/rounds.jsonl", folder);
    assert_int_equal(file_read(path, 1000, &text, NULL), 0);
    assert_string_equal(buf_text(&text), "{\"round\": 1}\n{\"round\": 2}\n{\"round\": 3}\n");
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        for (uint32_t i = 0; i < FRAMES; i++) {
            const bool opened = m->was_opened[m->session][round][i];
            assert_true(m->cut_short || opened == (i < frames_of(round)));
            for (size_t p = 0; p < PARAMS && opened; p++) {
                model[p] += (float)m->opened[m->session][round][i][p] * (float)round;
            }
        }
    }
    (void)snprintf(path, sizeof path, "%s/model.safetensors", folder);
    buf_clear(&text);
    assert_int_equal(file_read(path, 10000, &text, NULL), 0);
    if (!m->rotten) { /* sums that were opened are lost then */
        assert_memory_equal(text.data + text.size - sizeof model, model, sizeof model);
    }
    buf_release(&text);
}

/* One life. @return true: it was killed */
static bool live_until(unsigned at, enum mode how)
{
    const int code = live_in_child(at, how);
    if (code == EXIT_WRONG) {
        fail_msg("call %u, life %u: %s", at, m->life, m->complaint);
    }
    if (code == EXIT_KILLED && (how == POWER_OFF || how == POWER_ZEROS)) {
        m->zeros = m->zeros || how == POWER_ZEROS;
        lose_unflushed(how == POWER_ZEROS);
    }
    assert_true(code == EXIT_KILLED || code == EXIT_DONE);
    return code == EXIT_KILLED;
}

/* Killed at one call, and at one in the life after it. @return false: there is no such first call */
static bool killed_twice(unsigned first, enum mode how, unsigned second, enum mode then)
{
    empty_folder();
    const bool happened = live_until(first, how);
    if (happened && live_until(second, then)) {
        assert_false(live_until(0, then));
    }
    expect_whole();
    return happened;
}

static bool killed_at(unsigned at, enum mode how)
{
    return killed_twice(at, how, 0, how);
}

static void every_call(enum mode how)
{
    unsigned at = 1;
    while (killed_at(at, how)) {
        at++;
    }
    assert_in_range(at, 100, 1000); /* 3 rounds of about 40 calls */
}

static void test_ledger_kill__before_every_call(void **state)
{
    (void)state;
    every_call(KILL_BEFORE);
}

static void test_ledger_kill__in_the_middle_of_every_write(void **state)
{
    (void)state;
    every_call(KILL_WITHIN);
}

static void test_ledger_kill__power_off_before_every_call(void **state)
{
    (void)state;
    every_call(POWER_OFF);
}

/* Whatever was not flushed may have been good and opened: the round is closed. */
static void test_ledger_kill__power_off_leaves_zeros(void **state)
{
    (void)state;
    bool cut_short = false;
    for (unsigned at = 1; killed_at(at, POWER_ZEROS); at++) {
        cut_short = cut_short || m->cut_short;
    }
    assert_true(cut_short);
}

/* The disk has changed the last frame of an open round, which was flushed and opened; and then the
 * recovery from that is killed. */
static void test_ledger_kill__while_it_recovers_from_damage(void **state)
{
    (void)state;
    char path[600];
    unsigned tries = 0, at = 1;
    (void)snprintf(path, sizeof path, "%s/journal", folder);
    bool more = true;
    for (unsigned again = 1; more; again++) {
        do {
            empty_folder();
            assert_true(live_until(at, KILL_BEFORE));
        } while ((m->open != 3 || m->synced != 2) && at++);
        struct buf b = {0};
        assert_int_equal(file_read(path, 1 << 20, &b, NULL), 0);
        b.data[b.size - JOURNAL_DIGEST - 1] ^= 1;
        assert_int_equal(file_rewrite(path, b.data, b.size, 0600, NULL), 0);
        buf_release(&b);
        m->rotten = m->cut_short = true;
        more = live_until(again, again % 2 == 0 ? KILL_WITHIN : KILL_BEFORE);
        tries += more;
        assert_false(more && live_until(0, KILL_BEFORE));
        expect_whole();
    }
    assert_in_range(tries, 15, 200); /* to the end of the run */
}

/* Recovering is killed, too: a second time at a few calls after each first one. */
static void test_ledger_kill__while_it_recovers(void **state)
{
    (void)state;
    static const enum mode how[] = {KILL_BEFORE, KILL_WITHIN, POWER_OFF, POWER_ZEROS};
    bool more = true;
    for (unsigned at = 1; more; at++) {
        for (unsigned again = 1 + at % 9; again < 30; again += 9) {
            /* what a process leaves unflushed, a failing power may still take */
            more = killed_twice(at, how[(at + again) % 4], again, how[again % 4]);
        }
    }
}

/* Each write fails once for want of room, and is tried again by the same process. */
static void test_ledger_kill__disk_full_at_every_write(void **state)
{
    (void)state;
    for (unsigned at = 1; at <= 250; at++) {
        empty_folder();
        assert_false(live_until(at, DISK_FULL));
        expect_whole();
    }
}

static int setup(void **state)
{
    (void)state;
    struct he_params params;
    struct secret_rng *rng = NULL;
    struct he_public_key *key = NULL;
    const uint64_t dims[] = {PARAMS};
    m = mmap(NULL, sizeof *m, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    const int failed = m == MAP_FAILED || mkdtemp(folder) == NULL ||
                       he_params_choose(HE_CAPSULE, 16, 3, &params, NULL) ||
                       secret_rng_new(&rng) || he_keygen(&params, rng, &secret, &key) ||
                       he_public_key_write(key, &public_key) ||
                       model_shape_add(&shape, "w", dims, 1, NULL);
    he_public_key_free(key);
    secret_rng_free(rng);
    return failed;
}

static int teardown(void **state)
{
    (void)state;
    char command[100];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
    he_secret_key_free(secret);
    buf_release(&public_key);
    model_shape_release(&shape);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ledger_kill__before_every_call),
        cmocka_unit_test(test_ledger_kill__in_the_middle_of_every_write),
        cmocka_unit_test(test_ledger_kill__power_off_before_every_call),
        cmocka_unit_test(test_ledger_kill__power_off_leaves_zeros),
        cmocka_unit_test(test_ledger_kill__while_it_recovers_from_damage),
        cmocka_unit_test(test_ledger_kill__while_it_recovers),
        cmocka_unit_test(test_ledger_kill__disk_full_at_every_write),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
