/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An append-only file whose records are chained by their digests.
 *
 * Records are written at the place where the last good one ends, not at the file's end: what a
 * failed write has left there is written over, and until then no digest fits it.
 */
#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "digest.h"
#include "le.h"
#include "random.h"

enum { VERSION = 2, SALT = 16, SALT_AT = 8, DIGEST_AT = SALT_AT + SALT, CHECK_AT = 8 };
_Static_assert(DIGEST_AT + JOURNAL_DIGEST == JOURNAL_HEADER, "the header's length");

static const uint8_t magic[4] = {'C', 'R', 'N', 'J'};

static void cut(struct digest_state *state, uint8_t out[JOURNAL_DIGEST])
{
    uint8_t digest[DIGEST_SIZE];
    digest_final(state, digest);
    memcpy(out, digest, JOURNAL_DIGEST);
}

static void header_digest(const uint8_t header[JOURNAL_HEADER], uint8_t out[JOURNAL_DIGEST])
{
    struct digest_state state;
    digest_init(&state);
    digest_update(&state, header, DIGEST_AT);
    cut(&state, out);
}

/* The state that goes on with the payload, and the check that stands before it. */
static void begin_record(struct digest_state *state, const uint8_t chain[JOURNAL_DIGEST],
                         const uint8_t head[CHECK_AT], uint8_t check[JOURNAL_CHECK])
{
    uint8_t digest[JOURNAL_DIGEST];
    digest_init(state);
    digest_update(state, chain, JOURNAL_DIGEST);
    digest_update(state, head, CHECK_AT);
    struct digest_state copy = *state;
    cut(&copy, digest);
    memcpy(check, digest, JOURNAL_CHECK);
}

/* ---- writing ---- */

int journal_create(const char *path, unsigned mode, struct journal *j, struct cairn_problem *why)
{
    uint8_t header[JOURNAL_HEADER] = {0};
    *j = (struct journal){.fd = -1};
    memcpy(header, magic, sizeof magic);
    le_put16(header + 4, VERSION);
    int error = random_from_system(header + SALT_AT, SALT);
    if (error) {
        return problem_set(why, error, NULL, "%s: no random number for it", path);
    }
    header_digest(header, header + DIGEST_AT);
    j->path = strdup(path);
    if (!j->path) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "%s: no memory", path);
    }
    error = file_draft_open(&j->draft, j->path, mode, why);
    if (!error) {
        j->fd = j->draft.fd;
        error = file_draft_write(&j->draft, header, sizeof header, why);
    }
    if (error) {
        journal_close(j);
        return error;
    }
    j->end = sizeof header;
    memcpy(j->chain, header + DIGEST_AT, sizeof j->chain);
    return CAIRN_OK;
}

int journal_publish(struct journal *j, struct cairn_problem *why)
{
    /* the draft closes its own descriptor */
    int fd = fcntl(j->draft.fd, F_DUPFD_CLOEXEC, 0);
    int error = fd < 0 ? file_failed(why, j->path, "open it once more")
                       : file_draft_finish(&j->draft, true, why);
    j->fd = fd;
    if (error && (fd < 0 || !file_is_at(fd, j->path))) {
        journal_close(j);
    }
    return error;
}

/* All of iov at byte `at` of the file; iov is used up. @return 0, or -1 with errno */
static int write_at(int fd, struct iovec *iov, int n, uint64_t at)
{
    while (n > 0) {
        if (iov->iov_len == 0) {
            iov++;
            n--;
            continue;
        }
        ssize_t written = pwritev(fd, iov, n, (off_t)at);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            errno = written == 0 ? ENOSPC : errno; /* nothing written and nothing wrong: no room */
            return -1;
        }
        at += (uint64_t)written;
        for (size_t left = (size_t)written; left > 0;) {
            size_t here = left < iov->iov_len ? left : iov->iov_len;
            iov->iov_base = (char *)iov->iov_base + here;
            iov->iov_len -= here;
            left -= here;
            if (iov->iov_len == 0) {
                iov++;
                n--;
            }
        }
    }
    return 0;
}

static int refuse_lost(const struct journal *j, struct cairn_problem *why)
{
    return problem_set(why, CAIRN_ERR_STORAGE, "see to the disk, then start again",
                       "%s: it could not be flushed before; nothing more is added to it", j->path);
}

int journal_append(struct journal *j, uint32_t type, const struct span *parts, size_t n_parts,
                   struct cairn_problem *why)
{
    uint8_t head[JOURNAL_RECORD_HEADER], digest[JOURNAL_DIGEST];
    struct iovec iov[JOURNAL_MAX_PARTS + 2] = {{.iov_base = head, .iov_len = sizeof head}};
    uint64_t length = 0;
    struct digest_state state;
    if (!j->path || n_parts > JOURNAL_MAX_PARTS) {
        return problem_set(why, CAIRN_ERR_BUG, NULL, "a record for a journal that takes none");
    }
    if (j->lost) {
        return refuse_lost(j, why);
    }
    for (size_t i = 0; i < n_parts; i++) {
        if (parts[i].size > UINT32_MAX - length) {
            return problem_set(why, CAIRN_ERR_TOO_LONG, NULL, "%s: a record of 2^32 bytes or more",
                               j->path);
        }
        length += parts[i].size;
    }
    le_put32(head, (uint32_t)length);
    le_put32(head + 4, type);
    begin_record(&state, j->chain, head, head + CHECK_AT);
    for (size_t i = 0; i < n_parts; i++) {
        digest_update(&state, parts[i].data, parts[i].size);
        iov[i + 1] = (struct iovec){(void *)(uintptr_t)parts[i].data, parts[i].size};
    }
    cut(&state, digest);
    iov[n_parts + 1] = (struct iovec){digest, sizeof digest};
    if (write_at(j->fd, iov, (int)n_parts + 2, j->end) != 0) {
        int error = file_failed(why, j->path, "append");
        /* gives the room back; if it fails, the rest is of no use to a reader all the same */
        (void)!ftruncate(j->fd, (off_t)j->end);
        return error;
    }
    memcpy(j->chain, digest, sizeof digest);
    j->end += sizeof head + length + sizeof digest;
    return CAIRN_OK;
}

int journal_sync(struct journal *j, struct cairn_problem *why)
{
    if (j->lost) {
        return refuse_lost(j, why);
    }
    if (fdatasync(j->fd) != 0) {
        j->lost = true;
        return file_failed(why, j->path, "flush");
    }
    return CAIRN_OK;
}

int journal_cut(struct journal *j, struct cairn_problem *why)
{
    if (j->lost) {
        return refuse_lost(j, why);
    }
    if (ftruncate(j->fd, (off_t)j->end) != 0 || fsync(j->fd) != 0) {
        j->lost = true;
        return file_failed(why, j->path, "cut and flush");
    }
    return CAIRN_OK;
}

void journal_close(struct journal *j)
{
    if (j->path && j->draft.beside) {
        file_draft_drop(&j->draft);
    } else if (j->path && j->fd >= 0) {
        (void)close(j->fd);
    }
    free(j->path);
    *j = (struct journal){0};
}

/* A regular file, and itself rather than a link to it. */
static int open_regular(const char *path, int flags, struct stat *status,
                        struct cairn_problem *why)
{
    /* O_NONBLOCK: a pipe without a writer would hold the open up */
    int fd = open(path, flags | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        (void)file_failed(why, path, "open");
        return -1;
    }
    if (fstat(fd, status) != 0 || !S_ISREG(status->st_mode)) {
        (void)close(fd);
        (void)problem_set(why, CAIRN_ERR_INTEGRITY, NULL, "%s is no regular file", path);
        return -1;
    }
    return fd;
}

static int read_at(int fd, uint64_t at, void *out, size_t size)
{
    uint8_t *to = out;
    while (size > 0) {
        ssize_t got = pread(fd, to, size, (off_t)at);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            errno = got == 0 ? EIO : errno; /* shorter than it was a moment ago */
            return -1;
        }
        to += got;
        at += (uint64_t)got;
        size -= (size_t)got;
    }
    return 0;
}

int journal_reopen(const char *path, uint64_t good, struct journal *j, struct cairn_problem *why)
{
    struct stat status;
    *j = (struct journal){.fd = -1};
    struct cairn_problem inner = {0};
    int fd = open_regular(path, O_RDWR, &status, &inner);
    if (fd < 0) {
        return problem_set(why, inner.code, inner.hint, "%s", inner.what);
    }
    int error = CAIRN_OK;
    if (good < JOURNAL_HEADER || good > (uint64_t)status.st_size) {
        error = problem_set(why, CAIRN_ERR_INTEGRITY, NULL, "%s is shorter than it was", path);
    } else if (read_at(fd, good - JOURNAL_DIGEST, j->chain, sizeof j->chain) != 0) {
        error = file_failed(why, path, "read");
    } else if (!(j->path = strdup(path))) {
        error = problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "%s: no memory", path);
    }
    if (error) {
        (void)close(fd);
        *j = (struct journal){0};
        return error;
    }
    j->fd = fd;
    j->end = good;
    return CAIRN_OK;
}

/* ---- reading ---- */

static int read_header(struct journal_reader *r, struct cairn_problem *why)
{
    uint8_t header[JOURNAL_HEADER];
    if (r->size >= sizeof header && read_at(r->fd, 0, header, sizeof header) != 0) {
        return file_failed(why, r->path, "read");
    }
    if (r->size < sizeof header || memcmp(header, magic, sizeof magic) != 0) {
        return problem_set(why, CAIRN_ERR_INTEGRITY, NULL, "%s does not begin as a journal",
                           r->path);
    }
    header_digest(header, r->chain);
    if (memcmp(r->chain, header + DIGEST_AT, sizeof r->chain) != 0) {
        return problem_set(why, CAIRN_ERR_INTEGRITY, NULL, "%s: the journal's header is damaged",
                           r->path);
    }
    if (le_get16(header + 4) != VERSION || le_get16(header + 6) != 0) {
        return problem_set(why, CAIRN_ERR_INTEGRITY, "use the version of cairn that wrote it",
                           "%s: a journal of version %u, this program reads version %d", r->path,
                           (unsigned)le_get16(header + 4), VERSION);
    }
    r->good = sizeof header;
    return CAIRN_OK;
}

int journal_reader_open(struct journal_reader *r, const char *path, size_t limit,
                        struct cairn_problem *why)
{
    struct stat status;
    struct cairn_problem inner = {0};
    *r = (struct journal_reader){.path = path, .fd = -1, .limit = limit};
    r->fd = open_regular(path, O_RDONLY, &status, &inner);
    if (r->fd < 0) {
        return problem_set(why, inner.code, inner.hint, "%s", inner.what);
    }
    r->size = (uint64_t)status.st_size;
    int error = read_header(r, why);
    if (error) {
        journal_reader_close(r);
    }
    return error;
}

/* The head of the next record, and the digest's state behind it. @return as journal_reader_next */
static int read_head(struct journal_reader *r, uint8_t head[JOURNAL_RECORD_HEADER],
                     struct digest_state *state, struct cairn_problem *why)
{
    uint8_t check[JOURNAL_CHECK];
    const uint64_t left = r->size - r->good;
    if (left < JOURNAL_RECORD_HEADER) {
        return 0;
    }
    if (read_at(r->fd, r->good, head, JOURNAL_RECORD_HEADER) != 0) {
        return file_failed(why, r->path, "read");
    }
    begin_record(state, r->chain, head, check);
    const size_t length = le_get32(head);
    if (memcmp(check, head + CHECK_AT, sizeof check) != 0 || length > r->limit) {
        r->damaged = true;
        return 0;
    }
    return left - JOURNAL_RECORD_HEADER >= length + JOURNAL_DIGEST;
}

int journal_reader_next(struct journal_reader *r, uint32_t *type, struct buf *payload,
                        struct cairn_problem *why)
{
    uint8_t head[JOURNAL_RECORD_HEADER], digest[JOURNAL_DIGEST];
    struct digest_state state;
    buf_clear(payload);
    int got = read_head(r, head, &state, why);
    if (got != 1) {
        return got;
    }
    const size_t length = le_get32(head);
    if (buf_reserve(payload, length + sizeof digest)) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL,
                           "%s: no memory for a record of %zu bytes", r->path, length);
    }
    if (read_at(r->fd, r->good + sizeof head, payload->data, length + sizeof digest) != 0) {
        return file_failed(why, r->path, "read");
    }
    digest_update(&state, payload->data, length);
    cut(&state, digest);
    if (memcmp(digest, payload->data + length, sizeof digest) != 0) {
        r->damaged = true;
        return 0;
    }
    memcpy(r->chain, digest, sizeof digest);
    r->good += sizeof head + length + sizeof digest;
    payload->size = length;
    *type = le_get32(head + 4);
    return 1;
}

void journal_reader_close(struct journal_reader *r)
{
    if (r->fd >= 0) {
        (void)close(r->fd);
    }
    r->fd = -1;
}
