/* SPDX-License-Identifier: Apache-2.0 */
/* Secret keys on disk: checked on the open descriptor, so that nothing can change in between. */
#include "secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "input_kind.h"
#include "problem.h"
#include "secret.h"

static int failed(struct cairn_problem *why, int code, const char *path, const char *doing)
{
    int number = errno;
    char sentence[128];
    return problem_set(why, code, number == ENOENT ? "check the path" : NULL, "%s: cannot %s: %s",
                       path, doing, strerror_r(number, sentence, sizeof sentence));
}

int secret_file_absent(const char *path, bool replace, struct cairn_problem *why)
{
    struct stat status;
    if (lstat(path, &status) != 0) {
        return errno == ENOENT ? 0 : failed(why, CAIRN_ERR_STORAGE, path, "look at it");
    }
    if (S_ISLNK(status.st_mode)) {
        return problem_set(why, CAIRN_ERR_STORAGE, "keys are written to plain files only",
                           "%s is a symbolic link", path);
    }
    if (!replace) {
        return problem_set(why, CAIRN_ERR_STORAGE,
                           "choose another name; --force replaces it, and what was encrypted for "
                           "the old key cannot be opened any more",
                           "%s is there already", path);
    }
    return 0;
}

/* O_EXCL: nobody gets a file of his own, or a link, in between. */
static int write_new(const char *path, const uint8_t *bytes, size_t size,
                     struct cairn_problem *why)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return failed(why, CAIRN_ERR_STORAGE, path, "create");
    }
    const ssize_t written = write(fd, bytes, size);
    int error = 0;
    if (written != (ssize_t)size || fsync(fd) != 0) {
        errno = written >= 0 && written != (ssize_t)size ? ENOSPC : errno;
        error = failed(why, CAIRN_ERR_STORAGE, path, "write");
    }
    if (close(fd) != 0 && !error) {
        error = failed(why, CAIRN_ERR_STORAGE, path, "write");
    }
    if (error) {
        (void)unlink(path);
    }
    return error;
}

int secret_file_put(const char *path, struct span bytes, bool replace, struct cairn_problem *why)
{
    int error = secret_file_absent(path, replace, why);
    if (error) {
        return error;
    }
    return replace ? file_replace(path, bytes.data, bytes.size, 0600, why)
                   : write_new(path, bytes.data, bytes.size, why);
}

int secret_file_write(const char *path, const struct he_secret_key *key,
                      const uint8_t id[HE_KEY_ID_SIZE], bool replace, struct cairn_problem *why)
{
    const size_t size = he_secret_key_size(key);
    uint8_t *bytes = secret_alloc(size);
    int error = bytes == NULL ? CAIRN_ERR_NO_MEMORY : he_secret_key_write(key, id, bytes);
    if (error) {
        problem_set(why, error, NULL, "no memory for a secret key");
    } else {
        error = secret_file_put(path, (struct span){bytes, size}, replace, why);
    }
    secret_free(bytes);
    return error;
}

/* Zeros over all that the file has, down to the disk. Only what is ours and has no other name: what
 * a hard link leads to is not to be destroyed. @return 0, or -1 with errno */
static int overwrite(int fd)
{
    static const uint8_t zeros[4096];
    struct stat status;
    if (fstat(fd, &status) != 0) {
        return -1;
    }
    if (!S_ISREG(status.st_mode) || status.st_nlink != 1 || status.st_uid != geteuid()) {
        return 0;
    }
    for (off_t at = 0; at < status.st_size;) {
        const off_t left = status.st_size - at;
        const size_t n = left < (off_t)sizeof zeros ? (size_t)left : sizeof zeros;
        const ssize_t written = pwrite(fd, zeros, n, at);
        if (written < 0 && errno != EINTR) {
            return -1;
        }
        at += written > 0 ? written : 0;
    }
    return fdatasync(fd);
}

int secret_file_remove(const char *path, struct cairn_problem *why)
{
    const int fd = open(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    int error = 0;
    if (fd < 0 && errno == ENOENT) {
        return 0;
    }
    if (fd >= 0) {
        error = overwrite(fd) == 0 ? 0 : failed(why, CAIRN_ERR_STORAGE, path, "overwrite");
        (void)close(fd);
    }
    if (unlink(path) != 0) {
        error = failed(why, CAIRN_ERR_STORAGE, path, "remove");
    }
    return error;
}

/* *size = the length of the file */
static int check_status(int fd, const char *path, size_t *size, struct cairn_problem *why)
{
    struct stat status;
    if (fstat(fd, &status) != 0) {
        return failed(why, CAIRN_ERR_DATA, path, "look at it");
    }
    if (!S_ISREG(status.st_mode)) {
        return problem_set(why, CAIRN_ERR_DATA, NULL, "%s is no regular file", path);
    }
    if ((status.st_mode & 077) != 0) {
        char hint[200];
        (void)snprintf(hint, sizeof hint, "chmod 600 '%s'", path);
        return problem_set(why, CAIRN_ERR_ENVIRONMENT, hint,
                           "%s has mode %04o: others than its owner may read or change a secret "
                           "key", path, (unsigned)(status.st_mode & 07777));
    }
    if (status.st_uid != geteuid() && geteuid() != 0) {
        return problem_set(why, CAIRN_ERR_ENVIRONMENT, "use a key of your own",
                           "%s belongs to user %u", path, (unsigned)status.st_uid);
    }
    *size = (size_t)status.st_size;
    return 0;
}

int secret_file_get(const char *path, size_t limit, uint8_t **out, size_t *out_size,
                    struct cairn_problem *why)
{
    const int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 && errno == ELOOP) {
        return problem_set(why, CAIRN_ERR_ENVIRONMENT, "name the file itself",
                           "%s is a symbolic link", path);
    }
    if (fd < 0) {
        return failed(why, CAIRN_ERR_DATA, path, "open");
    }
    uint8_t *bytes = NULL;
    size_t size = 0;
    int error = check_status(fd, path, &size, why);
    struct input in = {.path = path, .fd = fd, .size = size};
    if (!error && (size == 0 || size > limit)) {
        error = problem_set(why, CAIRN_ERR_DATA, "the secret key is the file that keygen named",
                            "%s is %s of %zu bytes; a secret key has at most %zu", path,
                            input_kind(&in), size, limit);
    }
    if (!error && (bytes = secret_alloc(size)) == NULL) {
        error = problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory for a secret key");
    }
    if (!error) {
        error = input_read(&in, 0, bytes, size, why);
    }
    (void)close(fd);
    if (error) {
        secret_free(bytes);
        return error;
    }
    *out = bytes;
    *out_size = size;
    return 0;
}

/* Keys of each ring have a length of their own. */
static int check_size(const char *path, size_t size, struct cairn_problem *why)
{
    struct input in;
    if (size == HE_SECRET_KEY_SIZE || size == HE_SECRET_KEY_WIDE_SIZE ||
        size == HE_SECRET_KEY_CKKS_SIZE) {
        return 0;
    }
    int error = input_open(&in, path, why);
    if (error) {
        return error;
    }
    error = problem_set(why, CAIRN_ERR_DATA, "the secret key is the file that keygen named",
                        "%s is %s of %zu bytes; a secret key has %d, %d or %d", path,
                        input_kind(&in), size, HE_SECRET_KEY_SIZE, HE_SECRET_KEY_WIDE_SIZE,
                        HE_SECRET_KEY_CKKS_SIZE);
    input_close(&in);
    return error;
}

int secret_file_read(const char *path, struct he_secret_key **key, uint8_t id[HE_KEY_ID_SIZE],
                     struct cairn_problem *why)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    struct cairn_problem inner;
    int error = secret_file_get(path, HE_SECRET_KEY_CKKS_SIZE, &bytes, &size, why);
    if (error) {
        return error;
    }
    error = check_size(path, size, why);
    if (!error) {
        error = he_secret_key_read((struct span){bytes, size}, key, id, &inner);
        if (error) {
            error = problem_set(why, error == CAIRN_ERR_MALFORMED ? CAIRN_ERR_DATA : error,
                                inner.hint, "%s: %s", path, inner.what);
        }
    }
    secret_free(bytes);
    return error;
}
