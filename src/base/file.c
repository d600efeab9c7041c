/* SPDX-License-Identifier: Apache-2.0 */
/* Files: read whole, replaced whole or not at all, appended whole or not at all. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"

static const char *hint_for(int number)
{
    switch (number) {
    case ENOENT:
        return "check the path; folders on the way must exist";
    case EACCES:
    case EPERM:
        return "check who owns it and its mode";
    case ENOSPC:
    case EDQUOT:
        return "free some space on that disk";
    case EFBIG:
        return "raise the limit of a file's size (ulimit -f)";
    case EROFS:
        return "choose a place that can be written to";
    case EMFILE:
    case ENFILE:
        return "too many files are open: raise the limit (ulimit -n)";
    default:
        return NULL;
    }
}

int file_failed(struct cairn_problem *why, const char *path, const char *doing)
{
    int number = errno;
    char sentence[128];
    return problem_set(why, number == ENOMEM ? CAIRN_ERR_NO_MEMORY : CAIRN_ERR_STORAGE,
                       hint_for(number), "%s: cannot %s: %s", path, doing,
                       strerror_r(number, sentence, sizeof sentence));
}

static int too_long(struct cairn_problem *why, const char *path, size_t limit)
{
    return problem_set(why, CAIRN_ERR_STORAGE, "is it the right file?",
                       "%s: longer than the %zu bytes that are allowed here", path, limit);
}

/* Append to out what fd gives, up to limit bytes. */
static int read_all(int fd, const char *path, size_t limit, struct buf *out,
                    struct cairn_problem *why)
{
    /* the size is only a first guess: a pipe has none, and a file may grow meanwhile */
    struct stat status;
    if (fstat(fd, &status) != 0) {
        return file_failed(why, path, "look at it");
    }
    size_t guess = 0;
    if (S_ISREG(status.st_mode)) {
        if ((uintmax_t)status.st_size > limit) {
            return too_long(why, path, limit);
        }
        guess = (size_t)status.st_size;
    }
    enum { STEP = 65536 }; /* a pipe's capacity */
    for (size_t total = 0;;) {
        /* one byte more than expected, to see the end of the file without a second buffer */
        size_t room = guess >= total ? guess - total + 1 : STEP;
        if (buf_reserve(out, room)) {
            return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "%s: no memory to read it", path);
        }
        ssize_t got = read(fd, out->data + out->size, room);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return file_failed(why, path, "read");
        }
        if (got == 0) {
            return CAIRN_OK;
        }
        if ((size_t)got > limit - total) {
            return too_long(why, path, limit);
        }
        total += (size_t)got;
        out->size += (size_t)got;
    }
}

int file_read(const char *path, size_t limit, struct buf *out, struct cairn_problem *why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        return file_failed(why, path, "open");
    }
    size_t before = out->size;
    int error = read_all(fd, path, limit, out, why);
    if (error) {
        out->size = before;
    }
    (void)close(fd);
    return error;
}

static int write_all(int fd, const void *bytes, size_t size)
{
    const char *at = bytes;
    while (size > 0) {
        ssize_t n = write(fd, at, size);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -1;
        }
        at += n;
        size -= (size_t)n;
    }
    return 0;
}

/* The folder that `path` lies in. @return its descriptor or -1 */
static int open_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = !slash ? strdup(".") : strndup(path, slash == path ? 1 : (size_t)(slash - path));
    if (!folder) {
        errno = ENOMEM;
        return -1;
    }
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(folder);
    return fd;
}

/* Make a name last: what a folder holds is written when the folder is. Closes fd. */
static int sync_folder(int fd)
{
    if (fd < 0) {
        return -1;
    }
    /* some file systems have nothing to flush for a folder and say EINVAL */
    int result = fsync(fd) == 0 || errno == EINVAL ? 0 : -1;
    int number = errno;
    (void)close(fd);
    errno = number;
    return result;
}

int file_sync_folder(const char *path)
{
    return sync_folder(open_folder(path));
}

/* A new file beside `path`, its name in *name (free). The process id and a
 * counter make the name; what a crash left behind under the same name is stepped over. */
static int open_beside(const char *path, unsigned mode, char **name)
{
    static unsigned counter;
    enum { TRIES = 100 };
    for (int i = 0; i < TRIES; i++) {
        unsigned n = __atomic_fetch_add(&counter, 1, __ATOMIC_RELAXED);
        if (asprintf(name, "%s.%ld-%u.tmp", path, (long)getpid(), n) < 0) {
            *name = NULL;
            errno = ENOMEM;
            return -1;
        }
        int fd = open(*name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, (mode_t)mode);
        if (fd >= 0) {
            return fd;
        }
        int number = errno;
        free(*name);
        *name = NULL;
        errno = number;
        if (number != EEXIST) {
            return -1;
        }
    }
    return -1;
}

/* ".<number>-<number>.tmp" at the end, as open_beside writes it */
bool file_draft_named(const char *name)
{
    static const char digits[] = "0123456789", end[] = ".tmp";
    const size_t length = strlen(name);
    const char *at = name + length - (length < sizeof end ? length : sizeof end - 1);
    if (strcmp(at, end) != 0) {
        return false;
    }
    const char expected[] = {'-', '.'};
    for (size_t i = 0; i < sizeof expected; i++) {
        const char *last = at;
        while (at > name && strchr(digits, at[-1])) {
            at--;
        }
        if (at == last || at == name || *--at != expected[i]) {
            return false;
        }
    }
    return at > name;
}

int file_draft_open(struct file_draft *draft, const char *path, unsigned mode,
                    struct cairn_problem *why)
{
    *draft = (struct file_draft){.path = path};
    draft->fd = open_beside(path, mode, &draft->beside);
    if (draft->fd < 0) {
        return file_failed(why, path, "create a file beside it");
    }
    return CAIRN_OK;
}

int file_draft_write(struct file_draft *draft, const void *bytes, size_t size,
                     struct cairn_problem *why)
{
    return write_all(draft->fd, bytes, size) == 0 ? CAIRN_OK
                                                  : file_failed(why, draft->path, "write");
}

void file_draft_drop(struct file_draft *draft)
{
    if (draft->beside) {
        (void)close(draft->fd);
        (void)unlink(draft->beside);
        free(draft->beside);
    }
    *draft = (struct file_draft){0};
}

int file_draft_finish(struct file_draft *draft, bool durable, struct cairn_problem *why)
{
    if (!draft->beside) {
        return CAIRN_ERR_BUG; /* nothing is open */
    }
    int error = CAIRN_OK;
    /* first, so that what can be refused is refused while the old file is still there */
    const int folder = durable ? open_folder(draft->path) : -1;
    if (durable && folder < 0) {
        error = file_failed(why, draft->path, "open the folder of");
    }
    if (durable && !error && fsync(draft->fd) != 0) {
        error = file_failed(why, draft->path, "write");
    }
    if (close(draft->fd) != 0 && !error) {
        error = file_failed(why, draft->path, "write");
    }
    if (!error && rename(draft->beside, draft->path) != 0) {
        error = file_failed(why, draft->path, "replace");
    }
    if (error) {
        (void)unlink(draft->beside);
        (void)(folder < 0 ? 0 : close(folder));
    } else if (durable && sync_folder(folder) != 0) {
        error = file_failed(why, draft->path, "flush the folder of");
    }
    free(draft->beside);
    *draft = (struct file_draft){0};
    return error;
}

static int replace(const char *path, const void *bytes, size_t size, unsigned mode, bool durable,
                   struct cairn_problem *why)
{
    struct file_draft draft;
    int error = file_draft_open(&draft, path, mode, why);
    if (error) {
        return error;
    }
    error = file_draft_write(&draft, bytes, size, why);
    if (error) {
        file_draft_drop(&draft);
        return error;
    }
    return file_draft_finish(&draft, durable, why);
}

int file_replace(const char *path, const void *bytes, size_t size, unsigned mode,
                 struct cairn_problem *why)
{
    return replace(path, bytes, size, mode, true, why);
}

int file_rewrite(const char *path, const void *bytes, size_t size, unsigned mode,
                 struct cairn_problem *why)
{
    return replace(path, bytes, size, mode, false, why);
}

/* ---- files for a while ---- */

const char *file_temporary_folder(void)
{
    const char *folder = getenv("TMPDIR");
    return folder && folder[0] == '/' ? folder : "/tmp";
}

static int scratch_failed(struct cairn_problem *why, const char *doing)
{
    struct cairn_problem inner;
    const int error = file_failed(&inner, file_temporary_folder(), doing);
    return problem_set(why, error, "free some space there, or set TMPDIR to another folder", "%s",
                       inner.what);
}

int file_scratch_open(int *fd, struct cairn_problem *why)
{
    char *path = NULL;
    if (asprintf(&path, "%s/cairn-XXXXXX", file_temporary_folder()) < 0) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a file's name");
    }
    *fd = mkostemp(path, O_CLOEXEC);
    const int error = *fd < 0 ? scratch_failed(why, "create a file in it") : CAIRN_OK;
    if (!error) {
        (void)unlink(path);
    }
    free(path);
    return error;
}

int file_scratch_write(int fd, const void *bytes, size_t size, struct cairn_problem *why)
{
    return write_all(fd, bytes, size) == 0 ? CAIRN_OK
                                           : scratch_failed(why, "write a file in it");
}

int file_append(const char *path, const void *bytes, size_t size, struct cairn_problem *why)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0644);
    if (fd < 0) {
        return file_failed(why, path, "open");
    }
    int error = CAIRN_OK;
    struct stat status;
    if (fstat(fd, &status) != 0) {
        error = file_failed(why, path, "look at it");
    } else if (write_all(fd, bytes, size) != 0) {
        error = file_failed(why, path, "append");
        /* half a line would spoil the next one */
        (void)!ftruncate(fd, status.st_size);
    } else if (fsync(fd) != 0 && errno != EINVAL) { /* EINVAL: a pipe or a device */
        error = file_failed(why, path, "flush");
    } else if (S_ISREG(status.st_mode) && status.st_size == 0 &&
               file_sync_folder(path) != 0) {
        /* an empty file may have been created just now */
        error = file_failed(why, path, "flush the folder of");
    }
    if (close(fd) != 0 && !error) {
        error = file_failed(why, path, "append");
    }
    return error;
}

int file_write_at(int fd, const char *path, uint64_t at, const void *bytes, size_t size,
                  struct cairn_problem *why)
{
    const char *next = bytes;
    while (size > 0) {
        const ssize_t done = pwrite(fd, next, size, (off_t)at);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            return file_failed(why, path, "write");
        }
        next += done;
        at += (uint64_t)done;
        size -= (size_t)done;
    }
    return CAIRN_OK;
}

static int make_folder(const char *path, struct cairn_problem *why)
{
    if (mkdir(path, 0755) == 0) {
        return CAIRN_OK;
    }
    int number = errno;
    struct stat status;
    if (stat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
        return CAIRN_OK; /* whatever mkdir said: on a read-only disk not EEXIST */
    }
    errno = number;
    return file_failed(why, path, "make this folder");
}

int file_make_folders(const char *path, struct cairn_problem *why)
{
    char *copy = strdup(path);
    if (!copy) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "%s: no memory", path);
    }
    int error = CAIRN_OK;
    for (char *at = copy + 1; *copy && *at && !error; at++) {
        if (*at == '/') {
            *at = 0;
            error = make_folder(copy, why);
            *at = '/';
        }
    }
    if (!error) {
        error = make_folder(copy, why);
    }
    free(copy);
    return error;
}

bool file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

bool file_is_at(int fd, const char *path)
{
    struct stat open_one, named;
    return fstat(fd, &open_one) == 0 && lstat(path, &named) == 0 &&
           open_one.st_dev == named.st_dev && open_one.st_ino == named.st_ino;
}
