/* SPDX-License-Identifier: Apache-2.0 */
/* Files as input: opened once, looked at before they are believed, read in runs. */
#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "problem.h"

static int failed(struct cairn_problem *why, const char *path, const char *doing)
{
    struct cairn_problem inner = {0};
    const int error = file_failed(&inner, path, doing);
    return problem_set(why, error == CAIRN_ERR_STORAGE ? CAIRN_ERR_DATA : error, inner.hint, "%s",
                       inner.what);
}

int input_open(struct input *in, const char *path, struct cairn_problem *why)
{
    struct stat status;
    /* O_NONBLOCK: a pipe without a writer would hold the open up */
    *in = (struct input){
        .path = path, .fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)};
    if (in->fd < 0) {
        return failed(why, path, "open");
    }
    int error = 0;
    if (fstat(in->fd, &status) != 0) {
        error = failed(why, path, "look at it");
    } else if (S_ISDIR(status.st_mode)) {
        error = problem_set(why, CAIRN_ERR_DATA, "name a file in it",
                            "%s is no regular file, but a folder", path);
    } else if (!S_ISREG(status.st_mode)) {
        error = problem_set(why, CAIRN_ERR_DATA, "it is read in several passes: save it first",
                            "%s is no regular file", path);
    }
    if (error) {
        input_close(in);
        return error;
    }
    in->size = (uint64_t)status.st_size;
    return 0;
}

void input_close(struct input *in)
{
    if (in->fd >= 0) {
        (void)close(in->fd);
    }
    in->fd = -1;
}

int input_read(const struct input *in, uint64_t at, void *out, size_t size,
               struct cairn_problem *why)
{
    uint8_t *to = out;
    while (size > 0) {
        ssize_t got = pread(in->fd, to, size, (off_t)at);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return failed(why, in->path, "read");
        }
        if (got == 0) {
            return problem_set(why, CAIRN_ERR_DATA, "copy the file again: it is cut off",
                               "%s ends at byte %" PRIu64, in->path, at);
        }
        to += got;
        at += (uint64_t)got;
        size -= (size_t)got;
    }
    return 0;
}

int input_append(const struct input *in, uint64_t at, size_t size, struct buf *out,
                 struct cairn_problem *why)
{
    /* before memory is asked for: a length from a header may be anything */
    if (at > in->size || size > in->size - at) {
        return problem_set(why, CAIRN_ERR_DATA, "copy the file again: it is cut off",
                           "%s: %zu bytes from byte %" PRIu64 " on are needed, the file has "
                           "%" PRIu64, in->path, size, at, in->size);
    }
    if (buf_reserve(out, size)) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "%s: no memory for %zu bytes", in->path,
                           size);
    }
    int error = input_read(in, at, out->data + out->size, size, why);
    if (!error) {
        out->size += size;
    }
    return error;
}
