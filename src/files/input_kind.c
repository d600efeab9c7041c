/* SPDX-License-Identifier: Apache-2.0 */
/* What a file is by its first bytes, and that no step writes over what it reads, or over a key. */
#include "input_kind.h"

#include <string.h>
#include <sys/stat.h>

#include "problem.h"

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
        {"\x5e\xa1\x10", 0, "a SEAL object"},
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
