/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file as a stream of bytes. zlib's own gzFile reads raw files too, but it takes bytes behind a
 * gzip stream for padding and says nothing; here they are an error, so inflate is called directly.
 */
#include "byte_source.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "input.h"
#include "sizes.h"

/* zlib's manual: larger pieces than its 32 KB window gain little */
enum { CHUNK = 1 << 15 };

struct byte_source {
    struct input file;
    uint64_t at; /* where in it is read next */
    bool gzip;
    bool stream_ended; /* between two members of a gzip file */
    z_stream inflate;
    uint8_t in[CHUNK]; /* read from the file; inflate.next_in and avail_in say what is left */
    uint8_t passed_over[CHUNK];
};

static int no_gzip(const struct byte_source *s, struct cairn_problem *why, const char *reason)
{
    return problem_set(why, CAIRN_ERR_DATA, "download the file again",
                       "%s: the gzip stream is damaged: %s", s->file.path, reason);
}

/* Fill the input buffer behind what is left in it, which is moved to the front. */
static int refill(struct byte_source *s, struct cairn_problem *why)
{
    const size_t left = s->inflate.avail_in, room = CHUNK - left;
    const uint64_t rest = s->file.size - s->at;
    const size_t n = rest < room ? (size_t)rest : room;
    int err;

    memmove(s->in, s->inflate.next_in, left);
    s->inflate.next_in = s->in;
    err = input_read(&s->file, s->at, s->in + left, n, why);
    if (!err) {
        s->at += n;
        s->inflate.avail_in = (uInt)(left + n);
    }
    return err;
}

static bool gzip_begins(const struct byte_source *s)
{
    const uint8_t *p = s->inflate.next_in;

    return s->inflate.avail_in >= 2 && p[0] == 0x1f && p[1] == 0x8b;
}

int byte_source_open(const char *path, struct byte_source **out, struct cairn_problem *why)
{
    struct byte_source *s = calloc(1, sizeof *s);
    int err;

    if (!s) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory to read %s", path);
    }
    s->inflate.next_in = s->in;
    err = input_open(&s->file, path, why);
    if (!err && s->file.size == 0) {
        err = problem_set(why, CAIRN_ERR_DATA, "download the file again", "%s is empty", path);
    }
    if (!err) {
        err = refill(s, why);
    }
    if (err) {
        goto fail;
    }
    if (gzip_begins(s)) {
        /* 15: the largest window; 16 more: gzip, and nothing else */
        if (inflateInit2(&s->inflate, 15 + 16) != Z_OK) {
            err = problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory to unpack %s", path);
            goto fail;
        }
        s->gzip = true;
    }
    *out = s;
    return 0;
fail:
    byte_source_close(s);
    return err;
}

void byte_source_close(struct byte_source *s)
{
    if (!s) {
        return;
    }
    if (s->gzip) {
        (void)inflateEnd(&s->inflate);
    }
    input_close(&s->file);
    free(s);
}

/* Raw: hand on what the input buffer holds. @return bytes, 0 at the end */
static size_t take_raw(struct byte_source *s, uint8_t *out, size_t size)
{
    size_t n = s->inflate.avail_in < size ? s->inflate.avail_in : size;

    memcpy(out, s->inflate.next_in, n);
    s->inflate.next_in += n;
    s->inflate.avail_in -= (uInt)n;
    return n;
}

/* Between two members: the file ends, or another member begins. */
static int next_member(struct byte_source *s, bool *at_end, struct cairn_problem *why)
{
    *at_end = s->inflate.avail_in == 0;
    if (*at_end) {
        return 0;
    }
    if (!gzip_begins(s)) {
        return no_gzip(s, why, "other bytes follow its end");
    }
    s->stream_ended = false;
    return inflateReset(&s->inflate) == Z_OK ? 0 : CAIRN_ERR_BUG;
}

/* Unpack from the input buffer. *n = 0 without *at_end: more input is needed, or more output. */
static int take_gzip(struct byte_source *s, uint8_t *out, size_t size, size_t *n, bool *at_end,
                     struct cairn_problem *why)
{
    int status;

    if (s->stream_ended) {
        int err = next_member(s, at_end, why);
        if (err || *at_end) {
            return err;
        }
    }
    if (s->inflate.avail_in == 0) {
        return problem_set(why, CAIRN_ERR_DATA, "download the file again",
                           "%s: the gzip stream is cut off", s->file.path);
    }
    s->inflate.next_out = out;
    s->inflate.avail_out = (uInt)size;
    status = inflate(&s->inflate, Z_NO_FLUSH);
    *n = size - s->inflate.avail_out;
    if (status == Z_STREAM_END) {
        s->stream_ended = true;
    } else if (status == Z_MEM_ERROR) {
        return problem_set(why, CAIRN_ERR_NO_MEMORY, NULL, "no memory to unpack %s", s->file.path);
    } else if (status != Z_OK && status != Z_BUF_ERROR) {
        return no_gzip(s, why, s->inflate.msg ? s->inflate.msg : zError(status));
    }
    return 0;
}

int byte_source_read(struct byte_source *s, uint8_t *out, size_t size, size_t *got,
                     struct cairn_problem *why)
{
    bool at_end = false;
    size_t done = 0;

    while (done < size && !at_end) {
        size_t most = out ? INT_MAX : CHUNK;
        size_t want = size - done < most ? size - done : most;
        uint8_t *to = out ? out + done : s->passed_over;
        size_t n = 0;
        int err = 0;

        /* two bytes are what it takes to recognise another member */
        if (s->inflate.avail_in < 2) {
            err = refill(s, why);
        }
        if (!err && s->gzip) {
            err = take_gzip(s, to, want, &n, &at_end, why);
        } else if (!err) {
            n = take_raw(s, to, want);
            at_end = n == 0;
        }
        if (err) {
            return err;
        }
        done += n;
    }
    *got = done;
    return 0;
}

bool byte_source_is_gzip(const struct byte_source *s)
{
    return s->gzip;
}

uint64_t byte_source_most(const struct byte_source *s)
{
    return s->gzip ? s->file.size * SIZE_DEFLATE_RATIO : s->file.size;
}
