/* SPDX-License-Identifier: Apache-2.0 */
/* Files as input: opened once, looked at before they are believed, read in runs. */
#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "problem.h"

static int failed(struct cairn_problem *why, const char *path, const char *doing)
{
    int number = errno;
    char sentence[128];
    return problem_set(why, CAIRN_ERR_DATA, number == ENOENT ? "check the path" : NULL,
                       "%s: cannot %s: %s", path, doing,
                       strerror_r(number, sentence, sizeof sentence));
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

const char *input_kind(const struct input *in)
{
    static const struct {
        const char *magic;
        size_t at;
        const char *kind;
    } kinds[] = {
        {"CRNS", 0, "the public file of a key pair"},
        {"CRNU", 0, "an update file"},
        {"CRNK", 0, "a secret key"},
        {"CRNP", 0, "a bare public key"},
        {"CRNB", 0, "a batch of frames"},
        {"CRNM", 0, "a model message"},
        {"\x93NUMPY", 0, "a .npy array"},
        {"{", 8, "a safetensors model"},
        {"PK", 0, "a zip archive (.npz, .pt)"},
        {"\x1f\x8b", 0, "compressed with gzip"},
        {"\x80", 0, "a Python pickle"},
        {"<", 0, "HTML or XML"},
    };
    uint8_t start[16] = {0};
    size_t size = in->size < sizeof start ? (size_t)in->size : sizeof start;
    if (size == 0) {
        return "empty";
    }
    if (input_read(in, 0, start, size, NULL) != 0) {
        return "unreadable";
    }
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        size_t length = strlen(kinds[i].magic);
        if (kinds[i].at + length <= size &&
            memcmp(start + kinds[i].at, kinds[i].magic, length) == 0) {
            return kinds[i].kind;
        }
    }
    return "no file that cairn knows";
}

bool input_is(const char *input_path, const char *path)
{
    struct stat a;
    struct stat b;
    return stat(input_path, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

int input_keep(const char *in, const char *out, struct cairn_problem *why)
{
    if (in != NULL && input_is(in, out)) {
        return problem_set(why, CAIRN_ERR_USAGE, "choose another name for the output",
                           "%s is to be read and cannot be written over", out);
    }
    return 0;
}

int input_keep_keys(const char *out, struct cairn_problem *why)
{
    struct input in;
    uint8_t magic[4] = {0};
    if (input_open(&in, out, NULL) != 0) {
        return 0; /* whether it can be written is for the writing to say */
    }
    const bool read = in.size >= sizeof magic && input_read(&in, 0, magic, sizeof magic, NULL) == 0;
    input_close(&in);
    if (read && (memcmp(magic, "CRNK", 4) == 0 || memcmp(magic, "CRNS", 4) == 0)) {
        return problem_set(why, CAIRN_ERR_USAGE, "choose another name for the output",
                           "%s is a key, and would be lost", out);
    }
    return 0;
}
