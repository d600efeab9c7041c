/* SPDX-License-Identifier: Apache-2.0 */
/* zlib and zstd behind one interface. */
#include <limits.h>
#include <stdlib.h>

#include <zlib.h>
#include <zstd.h>

#include "secret.h"
#include "seal_source.h"
#include "sizes.h"

/* What SEAL 4.4 reads at most: 2^23 bytes of window. A frame asks for its window in its header,
 * up to 2^31, and the library would allocate it. */
enum { WINDOW_LOG = 23 };

struct seal_inflater {
    enum seal_compression compression;
    bool between; /* the last frame is complete */
    z_stream z;
    ZSTD_DCtx *zstd;
};

static voidpf z_secret_alloc(voidpf opaque, uInt items, uInt size)
{
    (void)opaque;
    size_t bytes;
    return size_mul(items, size, &bytes) ? secret_alloc(bytes) : NULL;
}

static void z_secret_free(voidpf opaque, voidpf memory)
{
    (void)opaque;
    secret_free(memory);
}

struct seal_inflater *seal_inflater_new(enum seal_compression compression, bool secret)
{
    struct seal_inflater *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return NULL;
    }
    s->compression = compression;
    bool ready;
    if (compression == SEAL_ZLIB) {
        s->z.zalloc = secret ? z_secret_alloc : Z_NULL;
        s->z.zfree = secret ? z_secret_free : Z_NULL;
        ready = inflateInit(&s->z) == Z_OK;
    } else {
        s->zstd = ZSTD_createDCtx();
        ready = s->zstd != NULL &&
                !ZSTD_isError(ZSTD_DCtx_setParameter(s->zstd, ZSTD_d_windowLogMax, WINDOW_LOG));
    }
    if (!ready) {
        seal_inflater_free(s);
        return NULL;
    }
    return s;
}

void seal_inflater_free(struct seal_inflater *s)
{
    if (s == NULL) {
        return;
    }
    if (s->compression == SEAL_ZLIB) {
        (void)inflateEnd(&s->z);
    }
    (void)ZSTD_freeDCtx(s->zstd);
    free(s);
}

/* One step: some output, or an advance in the input, or an error. *drawn says how much came out. */
static int step_zlib(struct seal_inflater *s, const uint8_t **next, size_t *left, uint8_t *out,
                     size_t size, size_t *drawn)
{
    uInt in = *left < UINT_MAX ? (uInt)*left : UINT_MAX;
    uInt room = size < UINT_MAX ? (uInt)size : UINT_MAX;
    *drawn = 0;
    if (s->between) {
        return CAIRN_ERR_MALFORMED; /* zlib has one stream only */
    }
    s->z.next_in = (z_const Bytef *)(uintptr_t)*next;
    s->z.avail_in = in;
    s->z.next_out = out;
    s->z.avail_out = room;
    int rc = inflate(&s->z, Z_SYNC_FLUSH);
    *next += in - s->z.avail_in;
    *left -= in - s->z.avail_in;
    *drawn = room - s->z.avail_out;
    s->between = rc == Z_STREAM_END;
    if (rc == Z_MEM_ERROR) {
        return CAIRN_ERR_NO_MEMORY;
    }
    return rc == Z_OK || rc == Z_STREAM_END ? 0 : CAIRN_ERR_MALFORMED;
}

static int step_zstd(struct seal_inflater *s, const uint8_t **next, size_t *left, uint8_t *out,
                     size_t size, size_t *drawn)
{
    ZSTD_inBuffer in = {*next, *left, 0};
    ZSTD_outBuffer room = {out, size, 0};
    size_t rc = ZSTD_decompressStream(s->zstd, &room, &in);
    *next += in.pos;
    *left -= in.pos;
    *drawn = room.pos;
    if (ZSTD_isError(rc)) {
        return CAIRN_ERR_MALFORMED;
    }
    if (in.pos == 0 && room.pos == 0) {
        return CAIRN_ERR_MALFORMED; /* the input is at its end */
    }
    s->between = rc == 0;
    return 0;
}

static int step(struct seal_inflater *s, const uint8_t **next, size_t *left, uint8_t *out,
                size_t size, size_t *drawn)
{
    return s->compression == SEAL_ZLIB ? step_zlib(s, next, left, out, size, drawn)
                                       : step_zstd(s, next, left, out, size, drawn);
}

int seal_inflater_draw(struct seal_inflater *s, const uint8_t **next, size_t *left, void *out,
                       size_t size)
{
    uint8_t *at = out;
    while (size > 0) {
        size_t drawn;
        int rc = step(s, next, left, at, size, &drawn);
        if (rc != 0) {
            return rc;
        }
        at += drawn;
        size -= drawn;
    }
    return 0;
}

bool seal_inflater_at_end(struct seal_inflater *s, const uint8_t **next, size_t *left)
{
    /* The end of a stream (a checksum) is read only when asked for more: room for one byte more,
     * which must stay empty. A zstd object may be several frames. */
    uint8_t extra;
    while (*left > 0 || !s->between) {
        size_t drawn;
        if (step(s, next, left, &extra, 1, &drawn) != 0 || drawn != 0) {
            return false;
        }
    }
    return true;
}

static int deflate_zlib(struct span bytes, struct buf *out)
{
    uLongf room = compressBound((uLong)bytes.size);
    int rc = buf_reserve(out, room);
    if (rc != 0) {
        return rc;
    }
    int z = compress2(out->data + out->size, &room, bytes.data, (uLong)bytes.size,
                      Z_DEFAULT_COMPRESSION);
    if (z != Z_OK) {
        return CAIRN_ERR_NO_MEMORY; /* nothing else can go wrong: the room is enough */
    }
    out->size += room;
    return 0;
}

static int deflate_zstd(struct span bytes, struct buf *out)
{
    size_t room = ZSTD_compressBound(bytes.size);
    int rc = buf_reserve(out, room);
    ZSTD_CCtx *c = rc == 0 ? ZSTD_createCCtx() : NULL;
    if (c == NULL) {
        return CAIRN_ERR_NO_MEMORY;
    }
    /* The default level stays below the window that is allowed. Where the content would need more
     * it is said, so that no change of defaults makes objects that SEAL refuses. */
    size_t written = 0;
    if (bytes.size > (size_t)1 << WINDOW_LOG) {
        written = ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, WINDOW_LOG);
    }
    if (!ZSTD_isError(written)) {
        written = ZSTD_compress2(c, out->data + out->size, room, bytes.data, bytes.size);
    }
    (void)ZSTD_freeCCtx(c);
    if (ZSTD_isError(written)) {
        return CAIRN_ERR_NO_MEMORY;
    }
    out->size += written;
    return 0;
}

int seal_deflate(enum seal_compression compression, struct span bytes, struct buf *out)
{
    return compression == SEAL_ZLIB ? deflate_zlib(bytes, out) : deflate_zstd(bytes, out);
}
