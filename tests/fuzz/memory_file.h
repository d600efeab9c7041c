/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MEMORY_FILE_H
#define MEMORY_FILE_H

#include <sys/mman.h>
#include <unistd.h>

#include <zlib.h>

#include "fuzz.h"

/** For readers that want a path: files in memory, each made once and good as long as the process lives. */
enum { MEMORY_FILES = 2 };

/** @return the path of file number `which`, which holds these bytes now */
static inline const char *memory_file(unsigned which, const uint8_t *bytes, size_t size)
{
    static int files[MEMORY_FILES];
    static char paths[MEMORY_FILES][64];
    if (files[which] == 0) {
        files[which] = memfd_create("fuzz", MFD_CLOEXEC);
        FUZZ_REQUIRE(files[which] > 0);
        (void)snprintf(paths[which], sizeof paths[which], "/proc/self/fd/%d", files[which]);
    }
    FUZZ_REQUIRE(ftruncate(files[which], 0) == 0);
    FUZZ_REQUIRE(size == 0 || pwrite(files[which], bytes, size, 0) == (ssize_t)size);
    return paths[which];
}

/** Room for what memory_pack makes of `size` bytes. */
static inline size_t memory_pack_room(size_t size)
{
    return size + size / 8 + 1024;
}

/** @param window_bits  as deflateInit2 has them: 15 + 16 for gzip, -15 for bare deflate. @return bytes in `out` */
static inline size_t memory_pack(const uint8_t *bytes, size_t size, int window_bits, uint8_t *out)
{
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)bytes,
                       .avail_in = (uInt)size,
                       .next_out = out,
                       .avail_out = (uInt)memory_pack_room(size)};
    FUZZ_REQUIRE(deflateInit2(&stream, 1, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    FUZZ_REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
    FUZZ_REQUIRE(deflateEnd(&stream) == Z_OK);
    return stream.total_out;
}

/** The same bytes, packed by gzip. */
static inline const char *memory_file_packed(unsigned which, const uint8_t *bytes, size_t size)
{
    uint8_t *packed = malloc(memory_pack_room(size));
    FUZZ_REQUIRE(packed);
    const char *path = memory_file(which, packed, memory_pack(bytes, size, 15 + 16, packed));
    free(packed);
    return path;
}

#endif
